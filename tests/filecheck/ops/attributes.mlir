// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

"test.op"() {ints = #step.ints<3, 5>, run = #step.ints<0 to 29>, short = #step.ints<0, 1, 2>, down = #step.ints<3, 2, 1, 0>, none = #step.ints<>, minus = #step.ints<-2, -1>} : () -> ()
"test.op"() {small = #step.reals<1.0e-05>, exact = #step.reals<0.1, 1.0e+300, -0.0>} : () -> ()
"test.op"() {shard = #step.shard<"context", []>, token = #step.token<@qkv, 1>, buffer = #step.buffer<"partial", 2>} : () -> ()
"test.op"() {heads = #step.shard<"heads", [0, 1, 3]>, columns = #step.shard<"columns", [0, 32, 96]>} : () -> ()

// CHECK:      "test.op"() {ints = #step.ints<3, 5>, run = #step.ints<0 to 29>, short = #step.ints<0, 1, 2>, down = #step.ints<3, 2, 1, 0>, none = #step.ints<>, minus = #step.ints<-2, -1>} : () -> ()
// CHECK-NEXT: "test.op"() {small = #step.reals<1.0e-05>, exact = #step.reals<0.1, 1.0e+300, -0.0>} : () -> ()
// CHECK-NEXT: "test.op"() {shard = #step.shard<"context", []>, token = #step.token<@qkv, 1>, buffer = #step.buffer<"partial", 2>} : () -> ()
// CHECK-NEXT: "test.op"() {heads = #step.shard<"heads", [0, 1, 3]>, columns = #step.shard<"columns", [0, 32, 96]>} : () -> ()
// CHECK-NEXT: }
