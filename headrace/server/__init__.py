"""Models served over HTTP: one process speaks HTTP, and each model has an engine process."""
