"""Measurement: our own speed, the pure read beside it, and other engines on the same file."""
