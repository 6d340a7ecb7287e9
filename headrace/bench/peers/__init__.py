"""Other engines on the same file, each in a process of its own so that its threads keep apart."""
