"""A table of workloads, measured against every engine that is installed, and its pictures."""
