"""Keys of KV blocks: equal keys, equal entries."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_BYTES = 16


def block_key(before: bytes, tokens: NDArray[np.int32]) -> bytes:
    """The key of a full block behind the one with the key `before` (empty: it is the first).

    Entries depend on all tokens up to their own, and so does the key: a chain of hashes, which
    nobody can make collide (BLAKE2b, 128 bits).
    """
    return blake2b(tokens.tobytes(), digest_size=_BYTES, key=before).digest()
