// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.stage @s -> tensor<?x32xf32> {
  step.yield %x : tensor<?x64xf32>
}

// CHECK: stage: yields and results must agree in type

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.stage @s buffers [] -> tensor<?x64xf32> {
  step.yield %x : tensor<?x64xf32>
}

// CHECK: stage: one buffer a result

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.stage @s -> tensor<?x64xf32> {
  %z = "test.op"() : () -> tensor<?x64xf32>
}

// CHECK: stage: the body ends in step.yield
