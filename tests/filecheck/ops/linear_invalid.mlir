// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[96, 32], "f32">
%y = step.linear %x, %w : tensor<?x64xf32>, !step.weight<[96, 32], "f32"> -> tensor<?x96xf32>

// CHECK: linear: the input needs 32 features

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[96, 64], "f32">
%y = step.linear %x, %w : tensor<?x64xf32>, !step.weight<[96, 64], "f32"> -> tensor<?x64xf32>

// CHECK: linear: the result has 96 features

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[64], "f32">
%y = step.linear %x, %w : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>

// CHECK: expected a weight [rows, columns], got [64]

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[96, 64], "f32">
%b = step.weight "b" : !step.weight<[64], "f32">
%y = step.linear %x, %w bias %b : !step.weight<[64], "f32"> : tensor<?x64xf32>, !step.weight<[96, 64], "f32"> -> tensor<?x96xf32>

// CHECK: linear: at most one bias, of 96 entries

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[96, 64], "f32">
%y = step.linear %x, %w activation "q7" : tensor<?x64xf32>, !step.weight<[96, 64], "f32"> -> tensor<?x96xf32>

// CHECK: linear: activation: unknown format 'q7'; one of ('f32', 'q8')
