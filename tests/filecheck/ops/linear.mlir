// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[96, 64], "q4_1">
%b = step.weight "b" : !step.weight<[96], "f32">
%plain = step.linear %x, %w : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>
%biased = step.linear %x, %w bias %b : !step.weight<[96], "f32"> : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>
%quantised = step.linear %x, %w activation "q8" : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %w = step.weight "w" : !step.weight<[96, 64], "q4_1">
// CHECK-NEXT: %b = step.weight "b" : !step.weight<[96], "f32">
// CHECK-NEXT: %plain = step.linear %x, %w : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>
// CHECK-NEXT: %biased = step.linear %x, %w bias %b : !step.weight<[96], "f32"> : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>
// CHECK-NEXT: %quantised = step.linear %x, %w activation "q8" : tensor<?x64xf32>, !step.weight<[96, 64], "q4_1"> -> tensor<?x96xf32>
// CHECK-NEXT: }
