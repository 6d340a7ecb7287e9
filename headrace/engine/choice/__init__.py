"""Tokens that the host chooses: penalties, biases, log-probabilities and grammars."""
