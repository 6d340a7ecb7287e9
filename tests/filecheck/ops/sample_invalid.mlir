// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x9x64xf32>
%y = step.sample %x : tensor<?x9x64xf32> -> tensor<?xi32>

// CHECK: sample: the logits are [T, vocabulary]

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%y = step.sample %x : tensor<?x64xf32> -> tensor<?xf32>

// CHECK: sample: the result is tensor<?xi32>
