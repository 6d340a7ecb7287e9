// RUN: headrace-opt %s -p 'fuse-stages,shard{workers=2},order-tokens,plan-memory' --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %y = step.loop <2> %x : tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb1(%c: tensor<?x32xf32>):
    %w = step.weight "{}.w" layers <0, 1> : !step.weight<[32, 32], "q4_0">
    %d = step.linear %c, %w : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
    step.yield %d : tensor<?x32xf32>
  }
  step.return %y : tensor<?x32xf32>
}

// CHECK: the result of @embed may still be read when @up overwrites it; a loop carries both in one buffer
// CHECK:   at: stage @up
// CHECK:   try: compute a loop's next value behind the last read of the current one
