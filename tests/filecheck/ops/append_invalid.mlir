// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%k = "test.op"() : () -> tensor<?x3x64xf32>
%v = "test.op"() : () -> tensor<?x2x64xf32>
%p = "test.op"() : () -> tensor<?xi32>
%c = step.append %k, %v, %p, %p layers <0> : tensor<?x3x64xf32>, tensor<?x2x64xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache

// CHECK: append: keys and values are [T, kv heads, head], with the same heads

// -----

%k = "test.op"() : () -> tensor<?x3x64xf32>
%p = "test.op"() : () -> tensor<?xi32>
%c = step.append %k, %k, %p, %p layers <0> format "q4" : tensor<?x3x64xf32>, tensor<?x3x64xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache

// CHECK: append: unknown format 'q4'; one of ('f32', 'f16', 'bf16', 'q8')

// -----

%k = "test.op"() : () -> tensor<?x3x64xf32>
%p = "test.op"() : () -> tensor<?xi32>
%c = step.append %k, %k, %p, %p layers <> : tensor<?x3x64xf32>, tensor<?x3x64xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache

// CHECK: append: layers: expected one entry, or one a trip
