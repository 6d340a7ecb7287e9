"""Packed weights, memory, workers: running a schedule of a compiled program."""
