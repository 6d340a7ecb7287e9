// RUN: headrace-opt %s -p fuse-stages | filecheck %s

// A layer of five stages: norms are prologues, rotary embedding, cache and residuals epilogues.

step.frequencies @rope <1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125> scale <1.0>
step.program @main context <64> {
^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
  %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
  %x = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
  %n1w = step.weight "n1" : !step.weight<[32], "f32">
  %n1 = step.norm %x, %n1w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %qw = step.weight "q" : !step.weight<[32, 32], "q4_0">
  %q = step.linear %n1, %qw : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %kw = step.weight "k" : !step.weight<[16, 32], "q4_0">
  %k = step.linear %n1, %kw : tensor<?x32xf32>, !step.weight<[16, 32], "q4_0"> -> tensor<?x16xf32>
  %qh = step.reshape %q : tensor<?x32xf32> -> tensor<?x2x16xf32>
  %kh = step.reshape %k : tensor<?x16xf32> -> tensor<?x1x16xf32>
  %qr = step.rope %qh, %positions tables [@rope] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %cache = step.append %kh, %kh, %positions, %sequences layers <0> : tensor<?x1x16xf32>, tensor<?x1x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
  %a = step.attention %qr, %cache, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
  %flat = step.reshape %a : tensor<?x2x16xf32> -> tensor<?x32xf32>
  %ow = step.weight "o" : !step.weight<[32, 32], "q4_0">
  %o = step.linear %flat, %ow : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
  %x1 = step.map %x, %o : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %n2w = step.weight "n2" : !step.weight<[32], "f32">
  %n2 = step.norm %x1, %n2w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
  %gw = step.weight "gate" : !step.weight<[64, 32], "q4_0">
  %g = step.linear %n2, %gw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
  %uw = step.weight "up" : !step.weight<[64, 32], "q4_0">
  %u = step.linear %n2, %uw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
  %m = step.map %g, %u : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %dw = step.weight "down" : !step.weight<[32, 64], "q4_0">
  %d = step.linear %m, %dw : tensor<?x64xf32>, !step.weight<[32, 64], "q4_0"> -> tensor<?x32xf32>
  %x2 = step.map %x1, %d : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    step.yield %s : f32
  }
  %last = step.select %x2, %outputs : tensor<?x32xf32>, tensor<?xi32> -> tensor<?x32xf32>
  %hw = step.weight "head" : !step.weight<[100, 32], "q4_0">
  %logits = step.linear %last, %hw : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
  %next = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
  step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
}

// CHECK:      builtin.module {
// CHECK-NEXT:   step.frequencies @rope <1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125> scale <1.0>
// CHECK-NEXT:   step.program @main context <64> {
// CHECK-NEXT:   ^bb0(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %sequences: tensor<?xi32>, %outputs: tensor<?xi32>):
// CHECK-NEXT:     %x = step.stage @embed -> tensor<?x32xf32> {
// CHECK-NEXT:       %table = step.weight "embed" : !step.weight<[100, 32], "q4_0">
// CHECK-NEXT:       %x_1 = step.embedding %tokens, %table : tensor<?xi32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:       step.yield %x_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %qr, %cache = step.stage @qkv -> tensor<?x2x16xf32>, !step.cache {
// CHECK-NEXT:       %n1w = step.weight "n1" : !step.weight<[32], "f32">
// CHECK-NEXT:       %n1 = step.norm %x, %n1w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %qw = step.weight "q" : !step.weight<[32, 32], "q4_0">
// CHECK-NEXT:       %q = step.linear %n1, %qw : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:       %kw = step.weight "k" : !step.weight<[16, 32], "q4_0">
// CHECK-NEXT:       %k = step.linear %n1, %kw : tensor<?x32xf32>, !step.weight<[16, 32], "q4_0"> -> tensor<?x16xf32>
// CHECK-NEXT:       %qh = step.reshape %q : tensor<?x32xf32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %kh = step.reshape %k : tensor<?x16xf32> -> tensor<?x1x16xf32>
// CHECK-NEXT:       %qr_1 = step.rope %qh, %positions tables [@rope] : tensor<?x2x16xf32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %cache_1 = step.append %kh, %kh, %positions, %sequences layers <0> : tensor<?x1x16xf32>, tensor<?x1x16xf32>, tensor<?xi32>, tensor<?xi32> -> !step.cache
// CHECK-NEXT:       step.yield %qr_1, %cache_1 : tensor<?x2x16xf32>, !step.cache
// CHECK-NEXT:     }
// CHECK-NEXT:     %flat = step.stage @attention -> tensor<?x32xf32> {
// CHECK-NEXT:       %a = step.attention %qr, %cache, %positions, %sequences scale <0.25> windows <0> : tensor<?x2x16xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x16xf32>
// CHECK-NEXT:       %flat_1 = step.reshape %a : tensor<?x2x16xf32> -> tensor<?x32xf32>
// CHECK-NEXT:       step.yield %flat_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %x1 = step.stage @out -> tensor<?x32xf32> {
// CHECK-NEXT:       %ow = step.weight "o" : !step.weight<[32, 32], "q4_0">
// CHECK-NEXT:       %o = step.linear %flat, %ow : tensor<?x32xf32>, !step.weight<[32, 32], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:       %x1_1 = step.map %x, %o : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK-NEXT:       ^bb0(%l: f32, %r: f32):
// CHECK-NEXT:         %s = arith.addf %l, %r : f32
// CHECK-NEXT:         step.yield %s : f32
// CHECK-NEXT:       }
// CHECK-NEXT:       step.yield %x1_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %m = step.stage @gate_up -> tensor<?x64xf32> {
// CHECK-NEXT:       %n2w = step.weight "n2" : !step.weight<[32], "f32">
// CHECK-NEXT:       %n2 = step.norm %x1, %n2w epsilon <1.0e-05> offset <0.0> : tensor<?x32xf32>, !step.weight<[32], "f32"> -> tensor<?x32xf32>
// CHECK-NEXT:       %gw = step.weight "gate" : !step.weight<[64, 32], "q4_0">
// CHECK-NEXT:       %g = step.linear %n2, %gw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
// CHECK-NEXT:       %uw = step.weight "up" : !step.weight<[64, 32], "q4_0">
// CHECK-NEXT:       %u = step.linear %n2, %uw : tensor<?x32xf32>, !step.weight<[64, 32], "q4_0"> -> tensor<?x64xf32>
// CHECK-NEXT:       %m_1 = step.map %g, %u : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x64xf32> {
// CHECK-NEXT:       ^bb0(%l_1: f32, %r_1: f32):
// CHECK-NEXT:         %s_1 = arith.addf %l_1, %r_1 : f32
// CHECK-NEXT:         step.yield %s_1 : f32
// CHECK-NEXT:       }
// CHECK-NEXT:       step.yield %m_1 : tensor<?x64xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %x2 = step.stage @down -> tensor<?x32xf32> {
// CHECK-NEXT:       %dw = step.weight "down" : !step.weight<[32, 64], "q4_0">
// CHECK-NEXT:       %d = step.linear %m, %dw : tensor<?x64xf32>, !step.weight<[32, 64], "q4_0"> -> tensor<?x32xf32>
// CHECK-NEXT:       %x2_1 = step.map %x1, %d : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x32xf32> {
// CHECK-NEXT:       ^bb0(%l_2: f32, %r_2: f32):
// CHECK-NEXT:         %s_2 = arith.addf %l_2, %r_2 : f32
// CHECK-NEXT:         step.yield %s_2 : f32
// CHECK-NEXT:       }
// CHECK-NEXT:       step.yield %x2_1 : tensor<?x32xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %logits = step.stage @head -> tensor<?x100xf32> {
// CHECK-NEXT:       %last = step.select %x2, %outputs : tensor<?x32xf32>, tensor<?xi32> -> tensor<?x32xf32>
// CHECK-NEXT:       %hw = step.weight "head" : !step.weight<[100, 32], "q4_0">
// CHECK-NEXT:       %logits_1 = step.linear %last, %hw : tensor<?x32xf32>, !step.weight<[100, 32], "q4_0"> -> tensor<?x100xf32>
// CHECK-NEXT:       step.yield %logits_1 : tensor<?x100xf32>
// CHECK-NEXT:     }
// CHECK-NEXT:     %next = step.stage @sample -> tensor<?xi32> {
// CHECK-NEXT:       %next_1 = step.sample %logits : tensor<?x100xf32> -> tensor<?xi32>
// CHECK-NEXT:       step.yield %next_1 : tensor<?xi32>
// CHECK-NEXT:     }
// CHECK-NEXT:     step.return %logits, %next : tensor<?x100xf32>, tensor<?xi32>
// CHECK-NEXT:   }
// CHECK-NEXT: }
