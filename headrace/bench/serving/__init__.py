"""Servers under load: what makes the load, who answers it, and what came of it."""
