// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x9x64xf32>
%positions = "test.op"() : () -> tensor<?xi32>
%every = step.rope %x, %positions tables [@local] : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>
%each = step.rope %x, %positions tables [@local, @long] : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>
%pairs = step.rope %x, %positions tables [@local] style "pairs" : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x9x64xf32>
// CHECK-NEXT: %positions = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %every = step.rope %x, %positions tables [@local] : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: %each = step.rope %x, %positions tables [@local, @long] : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: %pairs = step.rope %x, %positions tables [@local] style "pairs" : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: }
