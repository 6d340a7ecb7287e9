// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

step.frequencies @r <1.0> scale <1.0, 2.0>

// CHECK: frequencies: scale: expected one number

// -----

step.frequencies @r <1.0> scale <1.0> beyond <4096> values <0.5, 0.25> scale <1.0>

// CHECK: frequencies: as many long values as values

// -----

"step.frequencies"() <{sym_name = "r", values = #step.reals<1.0>, scale = #step.reals<1.0>, beyond = #step.ints<4096>}> : () -> ()

// CHECK: frequencies: beyond, long values and long scale belong together

// -----

step.frequencies @r <1.0> scale <1.0> beyond <4096, 1> values <0.5> scale <1.0>

// CHECK: frequencies: beyond and scale: expected one number
