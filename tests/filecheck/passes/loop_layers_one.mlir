// RUN: headrace-opt %s -p loop-layers | filecheck %s

// A model of one layer stays straight.

step.frequencies @local <1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125> scale <1.0>
step.frequencies @global <1.0, 0.1, 0.01, 0.001, 0.0001, 1.0e-05, 1.0e-06, 1.0e-07> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
  %x0 = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %wq0 = step.weight "layers.0.q" : !step.weight<[32, 32], "q4_0">
  %q0 = step.linear %x0, %wq0 : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %h0 = step.reshape %q0 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %r0 = step.rope %h0, %positions tables [@local] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %c0 = step.append %r0, %h0, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a0 = step.attention %r0, %c0, %positions, %sequences scale <0.25> windows <8> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %f0 = step.reshape %a0 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %x1 = step.map %x0, %f0 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %head = step.weight "head" : !step.weight<[100, 32], "q4_0">
  %logits = step.linear %x1, %head : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:          %wq0 = step.weight "layers.0.q" : !step.weight<[32, 32], "q4_0">
// CHECK-NEXT:     %q0 = step.linear %x0, %wq0 : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK:          %c0 = step.append %r0, %h0, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK:          %x1 = step.map %x0, %f0 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:          %logits = step.linear %x1, %head : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
