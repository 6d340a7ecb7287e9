// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%tokens = "test.op"() : () -> tensor<?xi32>
%table = step.weight "embed" : !step.weight<[100, 64], "q8_0">
%x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 64], "q8_0"> -> tensor<?x64xf32>
%positions = "test.op"() : () -> tensor<?xi32>
%learned = step.weight "positions" : !step.weight<[32, 64], "f32">
%p = step.embedding %positions, %learned : tensor<?xi32>, !step.weight<[32, 64], "f32"> -> tensor<?x64xf32>

// CHECK:      %tokens = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %table = step.weight "embed" : !step.weight<[100, 64], "q8_0">
// CHECK-NEXT: %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 64], "q8_0"> -> tensor<?x64xf32>
// CHECK-NEXT: %positions = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %learned = step.weight "positions" : !step.weight<[32, 64], "f32">
// CHECK-NEXT: %p = step.embedding %positions, %learned : tensor<?xi32>, !step.weight<[32, 64], "f32"> -> tensor<?x64xf32>
// CHECK-NEXT: }
