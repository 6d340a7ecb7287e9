"""The `step` program: its dialect, shapes, verifier, interpreter and command-line tool."""
