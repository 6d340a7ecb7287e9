"""Model files: what they hold, how their weights are laid out, and where they come from."""
