"""Tables of cosines and sines by position, as the native program reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.codegen.manifest import RotaryTable


def rotary_tables(tables: Sequence[RotaryTable], positions: int) -> NDArray[np.float32]:
    """For each table, `[positions, 2, pairs]` of cosines and sines, one after the other.

    positions: the context for which the program is loaded; it chooses between short and long
    frequencies. The angle is the product of position and frequency rounded to float32, as in
    transformers.
    """
    parts = [np.zeros(1, np.float32)]
    for table in tables:
        values, scale = table.at_context(positions)
        frequencies = np.asarray(values, np.float32)
        angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
        both = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.float32(scale)
        parts.append(both.astype(np.float32).reshape(-1))
    return np.concatenate(parts[1:] or parts)
