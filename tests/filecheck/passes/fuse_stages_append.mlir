// RUN: headrace-opt %s -p 'fuse-stages,shard{workers=2},order-tokens,plan-memory' | filecheck %s

// Queries and keys are normalised over all heads, so the worker of a token needs other workers'
// rows: it normalises, rotates and appends in a stage of its own.
step.frequencies @rope0 <1.0, 0.5> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "t" : !step.weight<[100, 32], "f32">
  %learned = step.weight "p" : !step.weight<[64, 32], "f32">
  %e = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "f32"> -> tensor<?x32xf32>
  %p = step.embedding %positions, %learned : tensor<?xi32>, !step.weight<[64, 32], "f32"> -> tensor<?x32xf32>
  %x = step.map %e, %p : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb1(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    step.yield %s : f32
  }
  %w = step.weight "w" : !step.weight<[32, 32], "f32">
  %n = step.weight "n" : !step.weight<[32], "f32">
  %k = step.linear %x, %w : tensor<?x32xf32>, !step.weight<[32, 32], "f32"> -> tensor<?x32xf32>
  %normed = step.norm %k, %n epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %h = step.reshape %normed : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %r = step.rope %h, %positions tables [@rope0] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %v = step.reshape %k : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %c = step.append %r, %v, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a = step.attention %r, %c, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %flat = step.reshape %a : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %l = step.linear %flat, %table : tensor<?x32xf32>, !step.weight<[100, 32], "f32"> -> tensor<?x100xf32>
  step.return %l : tensor<?x100xf32>
}

// CHECK:      builtin.module {
// CHECK-NEXT:   step.frequencies @rope0 <1.0, 0.5> scale <1.0>
// CHECK-NEXT:   step.program @main context <64> {
// CHECK-NEXT:   ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
// CHECK-NEXT:     %x = step.stage @embed shard <"tokens", []> after [] buffers [#step.buffer<"shared", 0>] -> tensor<?x32xf32> {
// CHECK-NEXT:       %table = step.weight "t" : !step.weight<[100, 32], "f32">
// CHECK-NEXT:       %e = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %learned = step.weight "p" : !step.weight<[64, 32], "f32">
// CHECK-NEXT:       %p = step.embedding %positions, %learned : tensor<?xi32>, !step.weight<[64, 32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %x_1 = step.map %e, %p : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK-NEXT:       ^bb0(%a: f32, %b: f32):
// CHECK-NEXT:         %s = arith.addf %a, %b : f32
// CHECK-NEXT:         step.yield %s : f32
// CHECK-NEXT:       }
// CHECK-NEXT:       step.yield %x_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %k, %v = step.stage @qkv shard <"rows", [0, 0, 1]> after [#step.token<@embed, 0>] buffers [#step.buffer<"shared", 1>, #step.buffer<"shared", 2>] -> tensor<?x32xf32>, tensor<?x2x16xf32> {
// CHECK-NEXT:       %w = step.weight "w" : !step.weight<[32, 32], "f32">
// CHECK-NEXT:       %k_1 = step.linear %x, %w : tensor<?x32xf32>, !step.weight<[32, 32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %v_1 = step.reshape %k_1 : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       step.yield %k_1, %v_1 : tensor<?x32xf32>, tensor<?x2x16xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %r, %c = step.stage @append shard <"tokens", []> after [#step.token<@qkv, 0>] buffers [#step.buffer<"shared", 0>, #step.buffer<"cache", 0>] -> tensor<?x2x16xf32>, !step.cache {
// CHECK-NEXT:       %n = step.weight "n" : !step.weight<[32], "f32">
// CHECK-NEXT:       %normed = step.norm %k, %n epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %h = step.reshape %normed : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %r_1 = step.rope %h, %positions tables [@rope0] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %c_1 = step.append %r_1, %v, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT:       step.yield %r_1, %c_1 : tensor<?x2x16xf32>, !step.cache
// CHECK-NEXT:     }
// CHECK-NEXT:     %flat = step.stage @attention shard <"context", []> after [#step.token<@append, 0>] buffers [#step.buffer<"partial", 0>] -> tensor<?x32xf32> {
// CHECK-NEXT:       %a_1 = step.attention %r, %c, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %flat_1 = step.reshape %a_1 : tensor<?x2x16xf32> -> tensor<?x32xf32>
// CHECK-NEXT:       step.yield %flat_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %l = step.stage @head shard <"rows", [0, 2, 4]> after [#step.token<@attention, 0>] buffers [#step.buffer<"shared", 0>] -> tensor<?x100xf32> {
// CHECK-NEXT:       %table_1 = step.weight "t" : !step.weight<[100, 32], "f32">
// CHECK-NEXT:       %l_1 = step.linear %flat, %table_1 : tensor<?x32xf32>, !step.weight<[100, 32], "f32"> -> tensor<?x100xf32>
// CHECK-NEXT:       step.yield %l_1 : tensor<?x100xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     step.return %l : tensor<?x100xf32>
// CHECK-NEXT:   }
// CHECK-NEXT: }
