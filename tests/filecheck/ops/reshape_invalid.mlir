// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.reshape %x : tensor<?x64xf32> -> tensor<?x9x64xf32>

// CHECK: reshape: the number of features must not change
