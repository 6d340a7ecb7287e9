"""headrace: a PyTorch language model as one streaming tensor program."""
