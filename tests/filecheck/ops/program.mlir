// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

step.program @main context <8192> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %logits = "test.op"(%tokens) : (tensor<?xi32>) -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:      step.program @main context <8192> {
// CHECK-NEXT: ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
// CHECK-NEXT: %logits = "test.op"(%tokens) : (tensor<?xi32>) -> tensor<?x100xf32>
// CHECK-NEXT: %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
// CHECK-NEXT: step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
// CHECK-NEXT: }
// CHECK-NEXT: }
