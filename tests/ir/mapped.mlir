builtin.module {
  step.frequencies @rope <1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125> scale <1.0>
  step.program @main context <64> {
  ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
    %embedded = step.stage @embed shard <"tokens", []> buffers [#step.buffer<"shared", 0>] -> tensor<?x64xf32> {
      %table = step.weight "embed" : !step.weight<[96, 64], "f32">
      %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[96, 64], "f32"> -> tensor<?x64xf32>
      step.yield %x : tensor<?x64xf32>
    }
    %decoded = step.loop <3> %embedded : tensor<?x64xf32> -> tensor<?x64xf32> {
    ^bb1(%hidden: tensor<?x64xf32>):
      %query, %cache = step.stage @qkv shard <"rows", [0, 3, 6]> after [#step.token<@embed, 0>, #step.token<@out, 1>] buffers [#step.buffer<"shared", 1>, #step.buffer<"cache", 0>] -> tensor<?x2x32xf32>, !step.cache {
        %weight = step.weight "{}.norm" layers <0, 1, 2> : !step.weight<[64], "f32">
        %normed = step.norm %hidden, %weight epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
        %wq = step.weight "{}.q" layers <0, 1, 2> : !step.weight<[64, 64], "f32">
        %wk = step.weight "{}.k" layers <0, 1, 2> : !step.weight<[64, 64], "f32">
        %wv = step.weight "{}.v" layers <0, 1, 2> : !step.weight<[64, 64], "f32">
        %q = step.linear %normed, %wq : tensor<?x64xf32>, !step.weight<[64, 64], "f32"> -> tensor<?x64xf32>
        %k = step.linear %normed, %wk : tensor<?x64xf32>, !step.weight<[64, 64], "f32"> -> tensor<?x64xf32>
        %v = step.linear %normed, %wv : tensor<?x64xf32>, !step.weight<[64, 64], "f32"> -> tensor<?x64xf32>
        %qh = step.reshape %q : tensor<?x64xf32> -> tensor<?x2x32xf32>
        %kh = step.reshape %k : tensor<?x64xf32> -> tensor<?x2x32xf32>
        %vh = step.reshape %v : tensor<?x64xf32> -> tensor<?x2x32xf32>
        %qr = step.rope %qh, %positions tables [@rope] : tensor<?x2x32xf32>, tensor<?xi32> -> tensor<?x2x32xf32>
        %kr = step.rope %kh, %positions tables [@rope] : tensor<?x2x32xf32>, tensor<?xi32> -> tensor<?x2x32xf32>
        %c = step.append %kr, %vh, %positions, %sequences layers <0, 1, 2> : tensor<?x2x32xf32>, tensor<?x2x32xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
        step.yield %qr, %c : tensor<?x2x32xf32>, !step.cache
      }
      %attended = step.stage @attention shard <"context", []> after [#step.token<@qkv, 0>] buffers [#step.buffer<"partial", 0>] -> tensor<?x64xf32> {
        %a = step.attention %query, %cache, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x32xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x32xf32>
        %flat = step.reshape %a : tensor<?x2x32xf32> -> tensor<?x64xf32>
        step.yield %flat : tensor<?x64xf32>
      }
      %next = step.stage @out shard <"rows", [0, 1, 2]> after [#step.token<@attention, 0>] buffers [#step.buffer<"shared", 0>] -> tensor<?x64xf32> {
        %wo = step.weight "{}.o" layers <0, 1, 2> : !step.weight<[64, 64], "f32">
        %o = step.linear %attended, %wo : tensor<?x64xf32>, !step.weight<[64, 64], "f32"> -> tensor<?x64xf32>
        %sum = step.map %hidden, %o : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
        ^bb2(%left: f32, %right: f32):
          %s = arith.addf %left, %right : f32
          step.yield %s : f32
        }
        step.yield %sum : tensor<?x64xf32>
      }
      step.yield %next : tensor<?x64xf32>
    }
    %logits = step.stage @head shard <"rows", [0, 2, 3]> after [#step.token<@out, 0>] buffers [#step.buffer<"shared", 2>] -> tensor<?x96xf32> {
      %selected = step.select %decoded, %outputs : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
      %w = step.weight "head" : !step.weight<[96, 64], "f32">
      %l = step.linear %selected, %w : tensor<?x64xf32>, !step.weight<[96, 64], "f32"> -> tensor<?x96xf32>
      step.yield %l : tensor<?x96xf32>
    }
    %following = step.stage @sample shard <"tokens", []> after [#step.token<@head, 0>] buffers [#step.buffer<"shared", 3>] -> tensor<?xi32> {
      %n = step.sample %logits : tensor<?x96xf32> -> tensor<?xi32>
      step.yield %n : tensor<?xi32>
    }
    step.return %logits, %following : tensor<?x96xf32>, tensor<?xi32>
  }
}
