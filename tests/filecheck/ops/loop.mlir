// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%last = step.loop <3> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%hidden: tensor<?x64xf32>):
  %w = step.weight "{}.w" layers <2, 4, 6> : !step.weight<[64, 64], "f16">
  %y = step.linear %hidden, %w : tensor<?x64xf32>, !step.weight<[64, 64], "f16"> -> tensor<?x64xf32>
  step.yield %y : tensor<?x64xf32>
}

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %last = step.loop <3> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
// CHECK-NEXT: ^bb0(%hidden: tensor<?x64xf32>):
// CHECK-NEXT: %w = step.weight "{}.w" layers <2, 4, 6> : !step.weight<[64, 64], "f16">
// CHECK-NEXT: %y = step.linear %hidden, %w : tensor<?x64xf32>, !step.weight<[64, 64], "f16"> -> tensor<?x64xf32>
// CHECK-NEXT: step.yield %y : tensor<?x64xf32>
// CHECK-NEXT: }
// CHECK-NEXT: }
