// RUN: headrace-opt %s -p 'fuse-stages,shard{workers=2 mapping=columns},order-tokens,plan-memory,pack-weights' | filecheck %s

// Two exchanges a layer: each worker goes on with its own heads, and with its own rows of gate and
// up; the stages after the products by columns add up the sums.

step.frequencies @rope <1.0, 0.5> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 64], "q4_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 64], "q4_0"> -> tensor<?x64xf32>
  %n1w = step.weight "n1" : !step.weight<[64], "f32">
  %n1 = step.norm %x, %n1w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
  %qw = step.weight "q" : !step.weight<[64, 64], "q4_0">
  %q = step.linear %n1, %qw : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %kw = step.weight "k" : !step.weight<[64, 64], "q4_0">
  %k = step.linear %n1, %kw : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %qh = step.reshape %q : tensor<?x64xf32> -> tensor<?x2x32xf32>
  %kh = step.reshape %k : tensor<?x64xf32> -> tensor<?x2x32xf32>
  %qr = step.rope %qh, %positions tables [@rope] : tensor<?x2x32xf32>, tensor<?xi32> -> tensor<?x2x32xf32>
  %cache = step.append %kh, %kh, %positions, %sequences layers <0> : tensor<?x2x32xf32>, tensor<?x2x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a = step.attention %qr, %cache, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x32xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x32xf32>
  %flat = step.reshape %a : tensor<?x2x32xf32> -> tensor<?x64xf32>
  %ow = step.weight "o" : !step.weight<[64, 64], "q4_0">
  %o = step.linear %flat, %ow : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %x1 = step.map %x, %o : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %n2w = step.weight "n2" : !step.weight<[64], "f32">
  %n2 = step.norm %x1, %n2w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
  %gw = step.weight "gate" : !step.weight<[64, 64], "q4_0">
  %g = step.linear %n2, %gw : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %uw = step.weight "up" : !step.weight<[64, 64], "q4_0">
  %u = step.linear %n2, %uw : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %m = step.map %g, %u : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %dw = step.weight "down" : !step.weight<[64, 64], "q4_0">
  %d = step.linear %m, %dw : tensor<?x64xf32>, !step.weight<[64, 64], "q4_0"> -> tensor<?x64xf32>
  %x2 = step.map %x1, %d : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %last = step.select %x2, %outputs : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %hw = step.weight "head" : !step.weight<[100, 64], "q4_0">
  %logits = step.linear %last, %hw : tensor<?x64xf32>, !step.weight<[100, 64], "q4_0"> -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:          %x = step.stage @embed shard <"tokens", []> after [] buffers [#step.buffer<"shared", 0>] -> tensor<?x64xf32> {
// CHECK:          %qr, %cache = step.stage @qkv shard <"heads", [0, 1, 2]> after [#step.token<@embed, 0>] buffers [#step.buffer<"shared", 1>, #step.buffer<"cache", 0>] -> tensor<?x2x32xf32>, !step.cache {
// CHECK:          %flat = step.stage @attention shard <"heads", [0, 1, 2]> after [] buffers [#step.buffer<"shared", 2>] -> tensor<?x64xf32> {
// CHECK:          %o = step.stage @out shard <"columns", [0, 32, 64]> after [] buffers [#step.buffer<"partial", 0>] -> tensor<?x64xf32> {
// CHECK:          %x1, %m = step.stage @gate_up shard <"rows", [0, 1, 2]> after [#step.token<@out, 0>] buffers [#step.buffer<"private", 0>, #step.buffer<"shared", 1>] -> tensor<?x64xf32>, tensor<?x64xf32> {
// CHECK:          %d = step.stage @down shard <"columns", [0, 32, 64]> after [] buffers [#step.buffer<"partial", 1>] -> tensor<?x64xf32> {
// CHECK:          %x2 = step.stage @merge shard <"all", []> after [#step.token<@down, 0>] buffers [#step.buffer<"private", 1>] -> tensor<?x64xf32> {
// CHECK:          %logits = step.stage @head shard <"rows", [0, 2, 4]> after [] buffers [#step.buffer<"shared", 0>] -> tensor<?x100xf32> {
// CHECK:          %next = step.stage @sample shard <"tokens", []> after [#step.token<@head, 0>] buffers [#step.buffer<"shared", 3>] -> tensor<?xi32> {
// CHECK:          step.stream @qkv worker <0> at <0> bytes <2304> trip <0> runs [#step.run<["q"], 32, 0, 1>, #step.run<["k"], 32, 0, 1>]
// CHECK:          step.stream @out worker <0> at <2304> bytes <1152> trip <0> runs [#step.run<["o"], 32, 0, 2, columns 0, 32>]
// CHECK:          step.stream @gate_up worker <0> at <3456> bytes <2304> trip <0> runs [#step.run<["gate", "up"], 32, 0, 1>]
// CHECK:          step.stream @down worker <0> at <5760> bytes <1152> trip <0> runs [#step.run<["down"], 32, 0, 2, columns 0, 32>]
// CHECK:          step.stream @head worker <0> at <6912> bytes <2304> trip <0> runs [#step.run<["head"], 32, 0, 2>]
// CHECK:          step.stream @qkv worker <1> at <0> bytes <2304> trip <0> runs [#step.run<["q"], 32, 1, 2>, #step.run<["k"], 32, 1, 2>]
// CHECK:          step.stream @out worker <1> at <2304> bytes <1152> trip <0> runs [#step.run<["o"], 32, 0, 2, columns 32, 64>]
// CHECK:          step.stream @gate_up worker <1> at <3456> bytes <2304> trip <0> runs [#step.run<["gate", "up"], 32, 1, 2>]
// CHECK:          step.stream @down worker <1> at <5760> bytes <1152> trip <0> runs [#step.run<["down"], 32, 0, 2, columns 32, 64>]
// CHECK:          step.stream @head worker <1> at <6912> bytes <2304> trip <0> runs [#step.run<["head"], 32, 2, 4>]
