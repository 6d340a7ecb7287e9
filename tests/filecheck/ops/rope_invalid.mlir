// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

%x = "test.op"() : () -> tensor<?x64xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = step.rope %x, %p tables [@r] : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>

// CHECK: rope: the input is [T, heads, head]

// -----

%x = "test.op"() : () -> tensor<?x2x16xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = step.rope %x, %p tables [] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>

// CHECK: rope: tables: expected one entry, or one a trip

// -----

%x = "test.op"() : () -> tensor<?x9x64xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = step.rope %x, %p tables [@r] style "both" : tensor<?x9x64xf32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK: rope: style: unknown format 'both'
