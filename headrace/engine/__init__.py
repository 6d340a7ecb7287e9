"""Requests become schedules: validation, chunks of a prompt, tokens as they come."""
