// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%h = "test.op"() : () -> tensor<?x1x64xf32>
%y = step.map %x, %h : tensor<?x64xf32>, tensor<?x1x64xf32> -> tensor<?x64xf32> {
^bb0(%a: f32, %b: f32):
  step.yield %a : f32
}

// CHECK: map: inputs and result have one type

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.map %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%a: f32, %b: f32):
  step.yield %a : f32
}

// CHECK: map: the region has one f32 argument an input

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.map %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%a: f32):
  %b = arith.negf %a : f32
}

// CHECK: Operation arith.negf terminates block in single-block region but is not a terminator

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.map %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%a: f32):
  %b = math.sin %a : f32
  step.yield %b : f32
}

// CHECK: map: math.sin is no scalar operator of a map; there are arith.constant, arith.addf

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.map %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%a: f32):
  %c = arith.constant 1.0 : f64
  step.yield %a : f32
}

// CHECK: map: arith.constant takes and gives f32
