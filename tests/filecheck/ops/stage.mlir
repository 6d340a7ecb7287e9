// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%plain = step.stage @plain -> tensor<?x64xf32> {
  step.yield %x : tensor<?x64xf32>
}
%one, %two = step.stage @mapped shard <"rows", [0, 8, 15]> after [#step.token<@plain, 0>, #step.token<@mapped, 1>] buffers [#step.buffer<"shared", 0>, #step.buffer<"private", 1>] -> tensor<?x64xf32>, tensor<?x64xf32> {
  step.yield %x, %plain : tensor<?x64xf32>, tensor<?x64xf32>
}

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %plain = step.stage @plain -> tensor<?x64xf32> {
// CHECK-NEXT: step.yield %x : tensor<?x64xf32>
// CHECK-NEXT: }
// CHECK-NEXT: %one, %two = step.stage @mapped shard <"rows", [0, 8, 15]> after [#step.token<@plain, 0>, #step.token<@mapped, 1>] buffers [#step.buffer<"shared", 0>, #step.buffer<"private", 1>] -> tensor<?x64xf32>, tensor<?x64xf32> {
// CHECK-NEXT: step.yield %x, %plain : tensor<?x64xf32>, tensor<?x64xf32>
// CHECK-NEXT: }
// CHECK-NEXT: }
