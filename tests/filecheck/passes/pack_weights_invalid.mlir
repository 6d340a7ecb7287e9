// RUN: headrace-opt %s -p pack-weights --split-input-file --verify-diagnostics --allow-unregistered-dialect | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %x = "test.op"() : () -> tensor<?x32xf32>
  %y = step.stage @down -> tensor<?x32xf32> {
    %w = step.weight "w" : !step.weight<[32, 32], "q4_0">
    %d = step.linear %x, %w : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
    step.yield %d : tensor<?x32xf32>
  }
  step.return
}

// CHECK: a product has no shard
// CHECK:   at: @down
// CHECK:   try: run shard before

// -----

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  step.return
}
step.stream @qkv worker <0> at <0> bytes <0> trip <0> runs []

// CHECK: the module has streams already
// CHECK:   at: pack-weights
