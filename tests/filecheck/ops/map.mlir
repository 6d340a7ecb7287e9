// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%gate = "test.op"() : () -> tensor<?x64xf32>
%up = "test.op"() : () -> tensor<?x64xf32>
%gated = step.map %gate, %up : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
^bb0(%g: f32, %u: f32):
  %one = arith.constant 1.000000e+00 : f32
  %minus = arith.negf %g : f32
  %power = math.exp %minus : f32
  %divisor = arith.addf %one, %power : f32
  %silu = arith.divf %g, %divisor : f32
  %product = arith.mulf %silu, %u : f32
  step.yield %product : f32
}

// CHECK:      %gate = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %up = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %gated = step.map %gate, %up : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
// CHECK-NEXT: ^bb0(%g: f32, %u: f32):
// CHECK-NEXT: %one = arith.constant 1.000000e+00 : f32
// CHECK-NEXT: %minus = arith.negf %g : f32
// CHECK-NEXT: %power = math.exp %minus : f32
// CHECK-NEXT: %divisor = arith.addf %one, %power : f32
// CHECK-NEXT: %silu = arith.divf %g, %divisor : f32
// CHECK-NEXT: %product = arith.mulf %silu, %u : f32
// CHECK-NEXT: step.yield %product : f32
// CHECK-NEXT: }
// CHECK-NEXT: }
