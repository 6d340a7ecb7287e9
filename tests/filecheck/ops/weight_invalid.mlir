// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%w = step.weight "w" : !step.weight<[0, 64], "f32">

// CHECK: a weight needs positive dimensions, got [0, 64]

// -----

%w = step.weight "layers.{}.w" : !step.weight<[64], "f32">

// CHECK: weight 'layers.{}.w': '{}' and 'layers' belong together

// -----

%w = step.weight "w" layers <0, 1> : !step.weight<[64], "f32">

// CHECK: weight 'w': '{}' and 'layers' belong together

// -----

%w = step.weight "{}" layers <> : !step.weight<[64], "f32">

// CHECK: weight: layers: expected one entry, or one a trip
