// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%y = step.attention %q, %c, %p, %p scale <0.125> windows <0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x8x64xf32>

// CHECK: attention: query and result are [T, heads, head]

// -----

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%y = step.attention %q, %c, %p, %p scale <0.125, 0.25> windows <0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: attention: scale and softcap: expected one number

// -----

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%y = step.attention %q, %c, %p, %p scale <0.125> windows <> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: attention: windows: expected one entry, or one a trip

// -----

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%y = step.attention %q, %c, %p, %p scale <0.125> windows <0> slopes <0.5> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: attention: slopes and sinks have one entry a query head, 9

// -----

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%s = step.weight "sinks" : !step.weight<[8], "f32">
%y = step.attention %q, %c, %p, %p scale <0.125> windows <0> sinks %s : !step.weight<[8], "f32"> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: attention: slopes and sinks have one entry a query head, 9

// -----

%q = "test.op"() : () -> tensor<?x9x64xf32>
%c = "test.op"() : () -> !step.cache
%p = "test.op"() : () -> tensor<?xi32>
%y = step.attention %q, %c, %p, %p scale <0.125> windows <0> softcap <-1.0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: attention: the softcap is positive, or 0 for none
