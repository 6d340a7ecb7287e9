"""The shape of one layer's attention, and how many rows of it a kernel takes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from headrace.codegen.cache import CacheLayout
from headrace.codegen.tile import LANES
from headrace.codegen.widths import padded

#: Rows of a call at most: their scores at the 64 positions of a block fit in registers.
MOST_ROWS = 6


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """heads: query heads; scale: of the scores; cache: geometry of the KV entries.

    softcap, slopes, sinks: see `AttentionOp`; 0, none and False: the scores are as they are.
    """

    heads: int
    scale: float
    cache: CacheLayout
    softcap: float = 0.0
    slopes: tuple[float, ...] = ()
    sinks: bool = False

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.cache.heads

    @property
    def token_rows(self) -> int:
        """Rows of a call for one token: the group, evenly cut to what registers hold."""
        calls = -(-self.group // MOST_ROWS)
        return -(-self.group // calls)

    @property
    def row_vectors(self) -> int:
        return -(-self.cache.value_head // LANES)

    @property
    def suffix(self) -> str:
        """What tells the kernels of different shapes apart."""
        sizes = f"{self.heads}x{self.cache.key_head}x{self.cache.value_head}_{self.scale!r}"
        cap = f"_cap{self.softcap!r}" if self.softcap else ""
        slopes = f"_slopes{sha256(repr(self.slopes).encode()).hexdigest()[:16]}"
        return sizes + cap + (slopes if self.slopes else "") + ("_sinks" if self.sinks else "")

    @property
    def query_stride(self) -> int:
        """Floats from one token's queries to the next one's."""
        return padded(self.heads * self.cache.key_head)

    @property
    def result_features(self) -> int:
        return self.heads * self.cache.value_head

    @property
    def partial_floats(self) -> int:
        """Floats of one worker's partial result: sums, largest scores, weights."""
        return self.result_features + 2 * self.heads
