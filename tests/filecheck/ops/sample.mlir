// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%logits = "test.op"() : () -> tensor<?x100xf32>
%next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>

// CHECK:      %logits = "test.op"() : () -> tensor<?x100xf32>
// CHECK-NEXT: %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
// CHECK-NEXT: }
