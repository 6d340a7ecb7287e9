// RUN: headrace-opt %s -p 'fuse-stages,shard{workers=2},order-tokens,plan-memory' | filecheck %s

// The residual is private: no edge leads from @merge to its readers.

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

// CHECK:          %x = step.stage @embed shard <"all", []> after [] buffers [#step.buffer<"private", 0>] -> tensor<?x32xf32> {
// CHECK:          %y = step.loop <2> %x : tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK:            %g = step.stage @up shard <"rows", [0, 1, 2]> after [] buffers [#step.buffer<"shared", 0>] -> tensor<?x64xf32> {
// CHECK:            %d = step.stage @down shard <"rows", [0, 0, 1]> after [#step.token<@up, 0>] buffers [#step.buffer<"shared", 1>] -> tensor<?x32xf32> {
// CHECK:            %r = step.stage @merge shard <"all", []> after [#step.token<@down, 0>] buffers [#step.buffer<"private", 0>] -> tensor<?x32xf32> {
// CHECK:          %logits = step.stage @head shard <"rows", [0, 2, 4]> after [] buffers [#step.buffer<"shared", 0>] -> tensor<?x100xf32> {
