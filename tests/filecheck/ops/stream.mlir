// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

step.stream @qkv worker <1> at <4096> bytes <96> trip <128> runs [#step.run<["q"], 32, 0, 2>]
step.stream @gate_up worker <0> at <0> bytes <0> trip <0> runs []
step.stream @gate_up worker <1> at <64> bytes <64> trip <0> runs [#step.run<["gate", "up"], 32, 0, 1>, #step.run<["gate", "up"], 16, 1, 2>]
step.stream @down worker <1> at <96> bytes <64> trip <0> runs [#step.run<["down"], 32, 0, 2, columns 32, 64>]

// CHECK:      step.stream @qkv worker <1> at <4096> bytes <96> trip <128> runs [#step.run<["q"], 32, 0, 2>]
// CHECK-NEXT: step.stream @gate_up worker <0> at <0> bytes <0> trip <0> runs []
// CHECK-NEXT: step.stream @gate_up worker <1> at <64> bytes <64> trip <0> runs [#step.run<["gate", "up"], 32, 0, 1>, #step.run<["gate", "up"], 16, 1, 2>]
// CHECK-NEXT: step.stream @down worker <1> at <96> bytes <64> trip <0> runs [#step.run<["down"], 32, 0, 2, columns 32, 64>]
