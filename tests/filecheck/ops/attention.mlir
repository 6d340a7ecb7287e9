// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

%query = "test.op"() : () -> tensor<?x9x64xf32>
%cache = "test.op"() : () -> !step.cache
%positions = "test.op"() : () -> tensor<?xi32>
%sequences = "test.op"() : () -> tensor<?xi32>
%full = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>
%mixed = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <512, 512, 0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x32xf32>
%capped = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> softcap <50.0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>
%two = "test.op"() : () -> tensor<?x2x64xf32>
%biased = step.attention %two, %cache, %positions, %sequences scale <0.125> windows <0> slopes <0.5, 0.25> : tensor<?x2x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x64xf32>
%weight = step.weight "sinks" : !step.weight<[9], "f32">
%sunk = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> softcap <50.0> sinks %weight : !step.weight<[9], "f32"> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>

// CHECK:      %query = "test.op"() : () -> tensor<?x9x64xf32>
// CHECK-NEXT: %cache = "test.op"() : () -> !step.cache
// CHECK-NEXT: %positions = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %sequences = "test.op"() : () -> tensor<?xi32>
// CHECK-NEXT: %full = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: %mixed = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <512, 512, 0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x32xf32>
// CHECK-NEXT: %capped = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> softcap <50.0> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: %two = "test.op"() : () -> tensor<?x2x64xf32>
// CHECK-NEXT: %biased = step.attention %two, %cache, %positions, %sequences scale <0.125> windows <0> slopes <0.5, 0.25> : tensor<?x2x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x2x64xf32>
// CHECK-NEXT: %weight = step.weight "sinks" : !step.weight<[9], "f32">
// CHECK-NEXT: %sunk = step.attention %query, %cache, %positions, %sequences scale <0.125> windows <0> softcap <50.0> sinks %weight : !step.weight<[9], "f32"> : tensor<?x9x64xf32>, !step.cache, tensor<?xi32>, tensor<?xi32> -> tensor<?x9x64xf32>
// CHECK-NEXT: }
