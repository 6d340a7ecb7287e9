// RUN: headrace-opt %s -p fuse-stages | filecheck %s

// A norm over a product's whole row ends the stage. With no product behind it in the loop, it is a
// row-wise stage, which every worker computes for itself.

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %y = step.loop <2> %x : tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb1(%c: tensor<?x32xf32>):
    %gw = step.weight "{}.gate" layers <0, 1> : !step.weight<[64, 32], "q4_0">
    %g = step.linear %c, %gw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
    %dw = step.weight "{}.down" layers <0, 1> : !step.weight<[32, 64], "q4_0">
    %d = step.linear %g, %dw : tensor<?x64xf32>, !step.weight<[32, 64], "q4_0"> -> tensor<?x32xf32>
    %nw = step.weight "{}.norm" layers <0, 1> : !step.weight<[32], "f32">
    %n = step.norm %d, %nw epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
    %r = step.map %c, %n : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
    ^bb0(%l: f32, %r: f32):
      %s = arith.addf %l, %r : f32
      step.yield %s : f32
    }
    step.yield %r : tensor<?x32xf32>
  }
  %hw = step.weight "head" : !step.weight<[100, 32], "q4_0">
  %logits = step.linear %y, %hw : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
  step.return %logits : tensor<?x100xf32>
}

// CHECK:          %x = step.stage @embed -> tensor<?x32xf32> {
// CHECK:            step.yield %x_1 : tensor<?x32xf32>
// CHECK:          %y = step.loop <2> %x : tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:            %g = step.stage @up -> tensor<?x64xf32> {
// CHECK:              %g_1 = step.linear %c, %gw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
// CHECK-NEXT:         step.yield %g_1 : tensor<?x64xf32>
// CHECK:            %d = step.stage @down -> tensor<?x32xf32> {
// CHECK:              %d_1 = step.linear %g, %dw : tensor<?x64xf32>, !step.weight<[32, 64], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:         step.yield %d_1 : tensor<?x32xf32>
// CHECK:            %r = step.stage @merge -> tensor<?x32xf32> {
// CHECK:              %n = step.norm %d, %nw epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:         %r_1 = step.map %c, %n : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:                step.yield %s : f32
// CHECK:              step.yield %r_1 : tensor<?x32xf32>
// CHECK:            step.yield %r : tensor<?x32xf32>
// CHECK:          %logits = step.stage @head -> tensor<?x100xf32> {
// CHECK:            %logits_1 = step.linear %y, %hw : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
// CHECK-NEXT:       step.yield %logits_1 : tensor<?x100xf32>
