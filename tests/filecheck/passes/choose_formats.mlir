// RUN: headrace-opt %s -p choose-formats | filecheck %s

// What is stored is kept; vectors become f32.

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q8_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q8_0"> -> tensor<?x32xf32>
  %norm = step.weight "norm" : !step.weight<[32], "bf16">
  %n = step.norm %x, %norm epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "bf16"> -> tensor<?x32xf32>
  %k = step.weight "k" : !step.weight<[32, 32], "q4_1">
  %bias = step.weight "k.bias" : !step.weight<[32], "f16">
  %key = step.linear %n, %k bias %bias : !step.weight<[32], "f16"> : tensor<?x32xf32>, !step.weight<[32, 32], "q4_1"> -> tensor<?x32xf32>
  %heads = step.reshape %key : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %cache = step.append %heads, %heads, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %head = step.weight "head" : !step.weight<[100, 32], "bf16">
  %logits = step.linear %n, %head : tensor<?x32xf32>, !step.weight<[100, 32], "bf16"> -> tensor<?x100xf32>
  step.return %logits : tensor<?x100xf32>
}

// CHECK:      builtin.module {
// CHECK-NEXT:   step.program @main context <64> {
// CHECK-NEXT:   ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
// CHECK-NEXT:     %table = step.weight "embed" : !step.weight<[100, 32], "q8_0">
// CHECK-NEXT:     %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q8_0"> -> tensor<?x32xf32>
// CHECK-NEXT:     %norm = step.weight "norm" : !step.weight<[32], "f32">
// CHECK-NEXT:     %n = step.norm %x, %norm epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:     %k = step.weight "k" : !step.weight<[32, 32], "q4_1">
// CHECK-NEXT:     %bias = step.weight "k.bias" : !step.weight<[32], "f32">
// CHECK-NEXT:     %key = step.linear %n, %k bias %bias : !step.weight<[32], "f32"> activation "q8" : tensor<?x32xf32>, !step.weight<[32, 32], "q4_1"> -> tensor<?x32xf32>
// CHECK-NEXT:     %heads = step.reshape %key : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:     %cache = step.append %heads, %heads, %positions, %sequences layers <0> format "f16" : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT:     %head = step.weight "head" : !step.weight<[100, 32], "bf16">
// CHECK-NEXT:     %logits = step.linear %n, %head activation "f32" : tensor<?x32xf32>, !step.weight<[100, 32], "bf16"> -> tensor<?x100xf32>
// CHECK-NEXT:     step.return %logits : tensor<?x100xf32>
// CHECK-NEXT:   }
// CHECK-NEXT: }
