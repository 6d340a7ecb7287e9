// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%x = "test.op"() : () -> tensor<?x576xf32>
%heads = step.reshape %x : tensor<?x576xf32> -> tensor<?x9x64xf32>
%flat = step.reshape %heads : tensor<?x9x64xf32> -> tensor<?x576xf32>

// CHECK:      %x = "test.op"() : () -> tensor<?x576xf32>
// CHECK-NEXT: %heads = step.reshape %x : tensor<?x576xf32> -> tensor<?x9x64xf32>
// CHECK-NEXT: %flat = step.reshape %heads : tensor<?x9x64xf32> -> tensor<?x576xf32>
// CHECK-NEXT: }
