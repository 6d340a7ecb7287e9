// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.loop <0> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%h: tensor<?x64xf32>):
  step.yield %h : tensor<?x64xf32>
}

// CHECK: loop: at least one trip

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.loop <2> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%h: tensor<?x64xf32>):
  step.yield
}

// CHECK: loop: inits, arguments, yields and results must agree in type

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.loop <2> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%h: tensor<?x64xf32>):
  %z = "test.op"() : () -> tensor<?x64xf32>
}

// CHECK: loop: the body ends in step.yield

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.loop <2> %x : tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%h: tensor<?x64xf32>):
  %w = step.weight "{}" layers <0, 1, 2> : !step.weight<[64], "f32">
  step.yield %h : tensor<?x64xf32>
}

// CHECK: loop: step.weight has 3 entries for 2 trips
