// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[32], "f32">
%y = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[32], "f32"> -> tensor<?x64xf32>

// CHECK: norm: weight and bias have one entry a normalised feature, or one a feature of each head

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[64], "f32">
%y = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x1x64xf32>

// CHECK: norm: input and result have one type

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[64], "f32">
%y = step.norm %x, %w epsilon <1.0e-05, 1.0e-06> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>

// CHECK: norm: epsilon and offset: expected one number

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[64], "f32">
%y = step.norm %x, %w bias %w : !step.weight<[64], "f32"> epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>

// CHECK: norm: only the kind 'layer' has a bias

// -----

%x = "test.op"() : () -> tensor<?x64xf32>
%w = step.weight "w" : !step.weight<[64], "f32">
%y = step.norm %x, %w kind "batch" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>

// CHECK: norm: kind: unknown format 'batch'
