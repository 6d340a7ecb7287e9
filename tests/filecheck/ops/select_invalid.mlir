// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%o = "test.op"() : () -> tensor<?xi32>
%y = step.select %x, %o : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x32xf32>

// CHECK: select: input and result have one type
