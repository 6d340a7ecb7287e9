"""One module a group of ATen operators; importing this package registers all their rules."""

from headrace.frontend.lower import attention, linear, maps, norms, rope, views

__all__ = ["attention", "linear", "maps", "norms", "rope", "views"]
