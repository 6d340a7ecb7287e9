// RUN: headrace-opt %s -p choose-formats --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %w = step.weight "w" : !step.weight<[8, 40], "q4_0">
  step.return
}

// -----

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %w = step.weight "w" : !step.weight<[8, 32], "q3_k">
  step.return
}

// CHECK: rows of 40 values are no whole number of q4_0 blocks
// CHECK:   at: weight 'w'
// CHECK:   try: choose weights=f32 or weights=bf16
// CHECK: there is no weight format 'q3_k'
// CHECK:   at: weight 'w'
// CHECK:   try: one of f32, f16, bf16, q4_0, q4_1, q8_0
