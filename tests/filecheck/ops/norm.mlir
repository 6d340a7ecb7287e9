// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x64xf32>
%heads = "test.op"() : () -> tensor<?x9x64xf32>
%w = step.weight "norm" : !step.weight<[64], "f32">
%rows = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
%each = step.norm %heads, %w epsilon <1.0e-06> offset <1.0> : tensor<?x9x64xf32>, !step.weight<[64], "f32"> -> tensor<?x9x64xf32>
%full = step.weight "full" : !step.weight<[576], "f32">
%features = step.norm %heads, %full epsilon <1.0e-06> offset <0.0> : tensor<?x9x64xf32>, !step.weight<[576], "f32"> -> tensor<?x9x64xf32>
%plain = step.norm %x epsilon <1.0e-06> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>
%layer = step.norm %x, %w bias %w : !step.weight<[64], "f32"> kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
%bare = step.norm %x kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>
%shifted = step.norm %x bias %w : !step.weight<[64], "f32"> kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x64xf32>
// CHECK-NEXT: %heads = "test.op"() : () -> tensor<?x9x64xf32>
// CHECK-NEXT: %w = step.weight "norm" : !step.weight<[64], "f32">
// CHECK-NEXT: %rows = step.norm %x, %w epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
// CHECK-NEXT: %each = step.norm %heads, %w epsilon <1.0e-06> offset <1.0> : tensor<?x9x64xf32>, !step.weight<[64], "f32"> -> tensor<?x9x64xf32>
// CHECK-NEXT: %full = step.weight "full" : !step.weight<[576], "f32">
// CHECK-NEXT: %features = step.norm %heads, %full epsilon <1.0e-06> offset <0.0> : tensor<?x9x64xf32>, !step.weight<[576], "f32"> -> tensor<?x9x64xf32>
// CHECK-NEXT: %plain = step.norm %x epsilon <1.0e-06> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>
// CHECK-NEXT: %layer = step.norm %x, %w bias %w : !step.weight<[64], "f32"> kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32>, !step.weight<[64], "f32"> -> tensor<?x64xf32>
// CHECK-NEXT: %bare = step.norm %x kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>
// CHECK-NEXT: %shifted = step.norm %x bias %w : !step.weight<[64], "f32"> kind "layer" epsilon <1.0e-05> offset <0.0> : tensor<?x64xf32> -> tensor<?x64xf32>
// CHECK-NEXT: }
