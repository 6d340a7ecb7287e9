// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%key = "test.op"() : () -> tensor<?x3x64xf32>
%value = "test.op"() : () -> tensor<?x3x32xf32>
%positions = "test.op"() : () -> tensor<?xi32>
%sequences = "test.op"() : () -> tensor<?xi32>
%cache = step.append %key, %value, %positions, %sequences layers <7> : tensor<?x3x64xf32>, tensor<?x3x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
%half = step.append %key, %value, %positions, %sequences layers <0 to 5> format "f16" : tensor<?x3x64xf32>, tensor<?x3x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache

// CHECK:      %key = "test.op"() : () -> tensor<?x3x64xf32>
// CHECK-NEXT: %value = "test.op"() : () -> tensor<?x3x32xf32>
// CHECK-NEXT: %positions = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %sequences = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %cache = step.append %key, %value, %positions, %sequences layers <7> : tensor<?x3x64xf32>, tensor<?x3x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT: %half = step.append %key, %value, %positions, %sequences layers <0 to 5> format "f16" : tensor<?x3x64xf32>, tensor<?x3x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT: }
