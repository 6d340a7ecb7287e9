// RUN: headrace-opt %s -p 'fuse-stages,shard{workers=2}' | filecheck %s

// Products by units of rows, the first segment's before the second's.

step.frequencies @rope <1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %n1w = step.weight "n1" : !step.weight<[32], "f32">
  %n1 = step.norm %x, %n1w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %qw = step.weight "q" : !step.weight<[32, 32], "q4_0">
  %q = step.linear %n1, %qw : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %kw = step.weight "k" : !step.weight<[16, 32], "q4_0">
  %k = step.linear %n1, %kw : tensor<?x32xf32>, !step.weight<[16, 32], "q4_0"> -> tensor<?x16xf32>
  %qh = step.reshape %q : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %kh = step.reshape %k : tensor<?x16xf32> -> tensor<?x1x16xf32>
  %qr = step.rope %qh, %positions tables [@rope] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %cache = step.append %kh, %kh, %positions, %sequences layers <0> : tensor<?x1x16xf32>, tensor<?x1x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a = step.attention %qr, %cache, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %flat = step.reshape %a : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %ow = step.weight "o" : !step.weight<[32, 32], "q4_0">
  %o = step.linear %flat, %ow : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %x1 = step.map %x, %o : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %n2w = step.weight "n2" : !step.weight<[32], "f32">
  %n2 = step.norm %x1, %n2w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %gw = step.weight "gate" : !step.weight<[64, 32], "q4_0">
  %g = step.linear %n2, %gw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
  %uw = step.weight "up" : !step.weight<[64, 32], "q4_0">
  %u = step.linear %n2, %uw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
  %m = step.map %g, %u : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %dw = step.weight "down" : !step.weight<[32, 64], "q4_0">
  %d = step.linear %m, %dw : tensor<?x64xf32>, !step.weight<[32, 64], "q4_0"> -> tensor<?x32xf32>
  %x2 = step.map %x1, %d : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %last = step.select %x2, %outputs : tensor<?x32xf32>, tensor<?xi32> -> tensor<?x32xf32>
  %hw = step.weight "head" : !step.weight<[100, 32], "q4_0">
  %logits = step.linear %last, %hw : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:          %x = step.stage @embed shard <"tokens", []> -> tensor<?x32xf32> {
// CHECK:          %qr, %cache = step.stage @qkv shard <"rows", [0, 1, 2]> -> tensor<?x2x16xf32>, !step.cache {
// CHECK:          %flat = step.stage @attention shard <"context", []> -> tensor<?x32xf32> {
// CHECK:          %x1 = step.stage @out shard <"rows", [0, 0, 1]> -> tensor<?x32xf32> {
// CHECK:          %m = step.stage @gate_up shard <"rows", [0, 1, 2]> -> tensor<?x64xf32> {
// CHECK:          %x2 = step.stage @down shard <"rows", [0, 0, 1]> -> tensor<?x32xf32> {
// CHECK:          %logits = step.stage @head shard <"rows", [0, 2, 4]> -> tensor<?x100xf32> {
// CHECK:          %next = step.stage @sample shard <"tokens", []> -> tensor<?xi32> {
