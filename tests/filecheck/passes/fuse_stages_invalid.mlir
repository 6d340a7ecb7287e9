// RUN: headrace-opt %s -p fuse-stages --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %x = step.stage @embed -> tensor<?x32xf32> {
    %t = step.weight "t" : !step.weight<[100, 32], "q4_0">
    %e = step.embedding %tokens, %t : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
    step.yield %e : tensor<?x32xf32>
  }
  step.return %x : tensor<?x32xf32>
}

// CHECK: the program has stages already
// CHECK:   at: @embed
