// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%table = step.weight "embed" : !step.weight<[100, 64], "q4_0">
%norms = step.weight "layers.{}.norm" layers <0 to 29> : !step.weight<[64], "f32">
%some = step.weight "layers.{}.norm" layers <0, 2, 4> : !step.weight<[64], "bf16">
%part = step.weight "h.{}.attn.c_attn.weight[0:768]" layers <0 to 11> : !step.weight<[768, 768], "f32">

// CHECK:      %table = step.weight "embed" : !step.weight<[100, 64], "q4_0">
// CHECK-NEXT: %norms = step.weight "layers.{}.norm" layers <0 to 29> : !step.weight<[64], "f32">
// CHECK-NEXT: %some = step.weight "layers.{}.norm" layers <0, 2, 4> : !step.weight<[64], "bf16">
// CHECK-NEXT: %part = step.weight "h.{}.attn.c_attn.weight[0:768]" layers <0 to 11> : !step.weight<[768, 768], "f32">
// CHECK-NEXT: }
