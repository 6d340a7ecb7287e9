// RUN: ROUNDTRIP
// RUN: GENERIC_ROUNDTRIP

step.frequencies @local <1.0, 0.1, 1.0e-05> scale <1.0>
step.frequencies @long <0.7498942093324559> scale <1.3465735902799727>
step.frequencies @beyond <1.0, 0.5> scale <1.0> beyond <4096> values <0.5, 0.125> scale <1.19>

// CHECK:      step.frequencies @local <1.0, 0.1, 1.0e-05> scale <1.0>
// CHECK-NEXT: step.frequencies @long <0.7498942093324559> scale <1.3465735902799727>
// CHECK-NEXT: step.frequencies @beyond <1.0, 0.5> scale <1.0> beyond <4096> values <0.5, 0.125> scale <1.19>
// CHECK-NEXT: }
