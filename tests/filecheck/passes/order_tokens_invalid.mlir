// RUN: headrace-opt %s -p order-tokens --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %e = step.stage @embed -> tensor<?x32xf32> {
    %t = step.weight "t" : !step.weight<[100, 32], "q4_0">
    %y = step.embedding %tokens, %t : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
    step.yield %y : tensor<?x32xf32>
  }
  step.return %e : tensor<?x32xf32>
}

// CHECK: the stage has no shard
// CHECK:   at: stage @embed
// CHECK:   try: run shard before
