"""Other engines' own processes: files that run in whatever Python has the engine.

They import nothing of headrace, and `serve.py` finds them by their path.
"""
