"""The program drawn: stages, streams, weights and token edges, laid out from top to bottom."""
