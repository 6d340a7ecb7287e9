"""Where tables are printed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a file or pipe, which has no width of its own.
_WIDE = 150


def table_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for any table."""
    from rich.console import Console

    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if known else _WIDE)
