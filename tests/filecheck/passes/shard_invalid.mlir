// RUN: headrace-opt %s -p 'shard{workers=2}' --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %w = step.weight "w" : !step.weight<[32, 32], "q4_0">
  %e = step.embedding %tokens, %w : tensor<?xi32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  step.return
}

// CHECK: step.weight is in no stage
// CHECK:   at: %w = step.weight "w" : !step.weight<[32, 32], "q4_0">
// CHECK:   try: run fuse-stages before
