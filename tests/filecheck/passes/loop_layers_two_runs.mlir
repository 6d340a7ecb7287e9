// RUN: headrace-opt %s -p loop-layers | filecheck %s

// Layers in different formats are not the same layer: two loops.

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
  %a0 = step.attention %r0, %c0, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %f0 = step.reshape %a0 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %x1 = step.map %x0, %f0 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %wq1 = step.weight "layers.1.q" : !step.weight<[32, 32], "q4_0">
  %q1 = step.linear %x1, %wq1 : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %h1 = step.reshape %q1 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %r1 = step.rope %h1, %positions tables [@local] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %c1 = step.append %r1, %h1, %positions, %sequences layers <1> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a1 = step.attention %r1, %c1, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %f1 = step.reshape %a1 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %x2 = step.map %x1, %f1 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %wq2 = step.weight "layers.2.q" : !step.weight<[32, 32], "q8_0">
  %q2 = step.linear %x2, %wq2 : tensor<?x32xf32>, !step.weight<[32, 32], "q8_0"> -> tensor<?x32xf32>
  %h2 = step.reshape %q2 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %r2 = step.rope %h2, %positions tables [@local] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %c2 = step.append %r2, %h2, %positions, %sequences layers <2> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a2 = step.attention %r2, %c2, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %f2 = step.reshape %a2 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %x3 = step.map %x2, %f2 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %wq3 = step.weight "layers.3.q" : !step.weight<[32, 32], "q8_0">
  %q3 = step.linear %x3, %wq3 : tensor<?x32xf32>, !step.weight<[32, 32], "q8_0"> -> tensor<?x32xf32>
  %h3 = step.reshape %q3 : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %r3 = step.rope %h3, %positions tables [@local] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %c3 = step.append %r3, %h3, %positions, %sequences layers <3> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a3 = step.attention %r3, %c3, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %f3 = step.reshape %a3 : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %x4 = step.map %x3, %f3 : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %head = step.weight "head" : !step.weight<[100, 32], "q4_0">
  %logits = step.linear %x4, %head : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:          %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
// CHECK-NEXT:     %x0 = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:     %x2 = step.loop <2> %x0 : tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:            %wq0 = step.weight "layers.{}.q" layers <0, 1> : !step.weight<[32, 32], "q4_0">
// CHECK-NEXT:       %q0 = step.linear %x1, %wq0 : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK:            %c0 = step.append %r0, %h0, %positions, %sequences layers <0, 1> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK:          %x4 = step.loop <2> %x2 : tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:            %wq2 = step.weight "layers.{}.q" layers <2, 3> : !step.weight<[32, 32], "q8_0">
// CHECK-NEXT:       %q2 = step.linear %x3, %wq2 : tensor<?x32xf32>, !step.weight<[32, 32], "q8_0"> -> tensor<?x32xf32>
// CHECK:            %c2 = step.append %r2, %h2, %positions, %sequences layers <2, 3> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK:          %head = step.weight "head" : !step.weight<[100, 32], "q4_0">
// CHECK-NEXT:     %logits = step.linear %x4, %head : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
