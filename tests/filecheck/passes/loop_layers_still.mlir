// RUN: headrace-opt %s -p loop-layers | filecheck %s

// The second layer rotates nothing: it takes a table of zero frequencies, so that the layers are
// calls of one loop, and rotations stand before the append in both.
step.frequencies @rope0 <1.0, 0.5> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "t" : !step.weight<[100, 32], "f32">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "f32"> -> tensor<?x32xf32>
  %w0 = step.weight "h.0.qkv[0:32]" : !step.weight<[32, 32], "f32">
  %l0 = step.linear %x, %w0 : tensor<?x32xf32>, !step.weight<[32, 32], "f32"> -> tensor<?x32xf32>
  %h0 = step.reshape %l0 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %q0 = step.rope %h0, %positions tables [@rope0] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %k0 = step.rope %h0, %positions tables [@rope0] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %v0 = step.reshape %l0 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %c0 = step.append %k0, %v0, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a0 = step.attention %q0, %c0, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %x1 = step.reshape %a0 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %w1 = step.weight "h.1.qkv[0:32]" : !step.weight<[32, 32], "f32">
  %l1 = step.linear %x1, %w1 : tensor<?x32xf32>, !step.weight<[32, 32], "f32"> -> tensor<?x32xf32>
  %h1 = step.reshape %l1 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %v1 = step.reshape %l1 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %c1 = step.append %h1, %v1, %positions, %sequences layers <1> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a1 = step.attention %h1, %c1, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %x2 = step.reshape %a1 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  step.return %x2 : tensor<?x32xf32>
}

// CHECK:      builtin.module {
// CHECK-NEXT:   step.frequencies @rope0 <1.0, 0.5> scale <1.0>
// CHECK-NEXT:   step.frequencies @still <0.0, 0.0> scale <1.0>
// CHECK-NEXT:   step.program @main context <64> {
// CHECK-NEXT:   ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
// CHECK-NEXT:     %table = step.weight "t" : !step.weight<[100, 32], "f32">
// CHECK-NEXT:     %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:     %x2 = step.loop <2> %x : tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK-NEXT:     ^bb0(%x1: tensor<?x32xf32>):
// CHECK-NEXT:       %w0 = step.weight "h.{}.qkv[0:32]" layers <0, 1> : !step.weight<[32, 32], "f32">
// CHECK-NEXT:       %l0 = step.linear %x1, %w0 : tensor<?x32xf32>, !step.weight<[32, 32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %h0 = step.reshape %l0 : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %v0 = step.reshape %l0 : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %q0 = step.rope %h0, %positions tables [@rope0, @still] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %k0 = step.rope %h0, %positions tables [@rope0, @still] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %c0 = step.append %k0, %v0, %positions, %sequences layers <0, 1> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT:       %a0 = step.attention %q0, %c0, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %x1_1 = step.reshape %a0 : tensor<?x2x16xf32> -> tensor<?x32xf32>
// CHECK-NEXT:       step.yield %x1_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     step.return %x2 : tensor<?x32xf32>
// CHECK-NEXT:   }
// CHECK-NEXT: }
