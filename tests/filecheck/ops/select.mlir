// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%outputs = "test.op"() : () -> tensor<?xi32>
%wanted = step.select %x, %outputs : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %outputs = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %wanted = step.select %x, %outputs : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
// CHECK-NEXT: }
