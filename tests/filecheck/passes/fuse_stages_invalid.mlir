// RUN: headrace-opt %s -p fuse-stages --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %w = step.weight "k" : !step.weight<[32, 32], "q4_0">
  %t = step.weight "t" : !step.weight<[100, 32], "q4_0">
  %x = step.embedding %tokens, %t : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %k = step.linear %x, %w : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %nw = step.weight "n" : !step.weight<[32], "f32">
  %n = step.norm %k, %nw epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %h = step.reshape %n : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %c = step.append %h, %h, %positions, %sequences layers <0> : tensor<?x2x16xf32>, tensor<?x2x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  step.return
}

// CHECK: keys and values are appended by the stage that computes them, but here other workers' rows are needed first
// CHECK:   at: cache [0]
// CHECK:   try: keys may be normalised per head, not over all heads
