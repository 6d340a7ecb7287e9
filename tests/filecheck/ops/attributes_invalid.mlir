// RUN: headrace-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics --allow-unregistered-dialect | filecheck %s

"test.op"() {shard = #step.shard<"layers", []>} : () -> ()

// CHECK: unknown shard axis 'layers'; one of ('rows', 'heads', 'columns', 'context', 'tokens', 'all')

// -----

"test.op"() {shard = #step.shard<"rows", []>} : () -> ()

// CHECK: bounds belong to the axes ('rows', 'heads', 'columns') and to no other

// -----

"test.op"() {shard = #step.shard<"tokens", [0, 1]>} : () -> ()

// CHECK: bounds belong to the axes ('rows', 'heads', 'columns') and to no other

// -----

"test.op"() {shard = #step.shard<"rows", [0, 5, 4]>} : () -> ()

// CHECK: shard bounds must not decrease, got [0, 5, 4]

// -----

"test.op"() {shard = #step.shard<"columns", []>} : () -> ()

// CHECK: bounds belong to the axes ('rows', 'heads', 'columns') and to no other

// -----

"test.op"() {buffer = #step.buffer<"moon", 0>} : () -> ()

// CHECK: unknown storage 'moon'; one of ('shared', 'partial', 'private', 'cache')
