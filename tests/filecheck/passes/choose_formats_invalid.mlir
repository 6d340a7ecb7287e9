// RUN: headrace-opt %s -p choose-formats --split-input-file --verify-diagnostics | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %w = step.weight "w" : !step.weight<[8, 32], "q3_x">
  step.return
}

// CHECK: there is no storage format 'q3_x'
// CHECK:   at: weight 'w'
// CHECK:   try: one of f32, f16, bf16, q4_0, q4_1,
