// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%t = "test.op"() : () -> tensor<?xi32>
%w = step.weight "w" : !step.weight<[100, 64], "f32">
%x = step.embedding %t, %w : tensor<?xi32>, !step.weight<[100, 64], "f32"> -> tensor<?x32xf32>

// CHECK: embedding: the result's features are the table's columns

// -----

%t = "test.op"() : () -> tensor<?xi32>
%w = step.weight "w" : !step.weight<[64], "f32">
%x = step.embedding %t, %w : tensor<?xi32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>

// CHECK: expected a weight [rows, columns], got [64]
