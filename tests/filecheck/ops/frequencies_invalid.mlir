// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

step.frequencies @r <1.0> scale <1.0, 2.0>

// CHECK: frequencies: scale: expected one number
