// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>):
  step.return
}

// CHECK: program: the arguments are tokens, positions, sequences and outputs (tensor<?xi32>)

// -----

step.program @main context <64> {
^bb0(%a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<?xi32>, %d: tensor<?xi32>):
  step.yield
}

// CHECK: program: the body ends in step.return

// -----

step.program @main context <64, 65> {
^bb0(%a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<?xi32>, %d: tensor<?xi32>):
  step.return
}

// CHECK: program: context: expected one number

// -----

step.program @main context <64> {
^bb0(%a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<?xi32>, %d: tensor<?xi32>):
  %x = "test.op"() : () -> tensor<?x2x4xf32>
  %y = step.rope %x, %b tables [@gone] : tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  step.return
}

// CHECK: rope: there is no step.frequencies @gone

// -----

step.frequencies @long <1.0, 0.5, 0.25> scale <1.0>
step.program @main context <64> {
^bb0(%a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<?xi32>, %d: tensor<?xi32>):
  %x = "test.op"() : () -> tensor<?x2x4xf32>
  %y = step.rope %x, %b tables [@long] : tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  step.return
}

// CHECK: rope: a head of 4 features has no room for 3 frequencies, @long

// -----

step.frequencies @one <1.0> scale <1.0>
step.frequencies @two <1.0, 0.5> scale <1.0>
step.program @main context <64> {
^bb0(%a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<?xi32>, %d: tensor<?xi32>):
  %x = "test.op"() : () -> tensor<?x2x4xf32>
  %y = step.rope %x, %b tables [@one, @two] : tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  step.return
}

// CHECK: rope: its tables have one number of frequencies
