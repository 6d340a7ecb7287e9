// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%heads = "test.op"() : () -> tensor<?x9x64xf32>
%w = step.weight "norm" : !step.weight<[64], "f32">
%rows = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
%each = step.norm %heads, %w epsilon <1.0e-06> offset <1.0> : tensor<?x9x64xf32>, !step.weight<[64], "f32"> -> tensor<?x9x64xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %heads = "test.op"() : () -> tensor<?x9x64xf32>
// CHECK-NEXT: %w = step.weight "norm" : !step.weight<[64], "f32">
// CHECK-NEXT: %rows = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
// CHECK-NEXT: %each = step.norm %heads, %w epsilon <1.0e-06> offset <1.0> : tensor<?x9x64xf32>, !step.weight<[64], "f32"> -> tensor<?x9x64xf32>
// CHECK-NEXT: }
