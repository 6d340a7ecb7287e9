"""The KV cache of the interpreter: entries by layer, sequence and position."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.ir.interpreter.arrays import Floats, Ints, Mask


@dataclass(slots=True)
class Entries:
    """The keys and values of one layer and sequence: [positions, kv heads, head].

    What was never written is NaN. `present` says at which positions an entry was appended.
    """

    keys: Floats
    values: Floats
    present: NDArray[np.bool_]

    @classmethod
    def empty(cls, key_features: tuple[int, ...], value_features: tuple[int, ...]) -> Entries:
        return cls(
            np.empty((0, *key_features), np.float32),
            np.empty((0, *value_features), np.float32),
            np.empty(0, np.bool_),
        )

    def reserve(self, positions: int) -> None:
        """Make room for the positions below `positions`."""
        missing = positions - len(self.present)
        if missing > 0:
            more = max(missing, len(self.present))
            self.keys = _extend(self.keys, more)
            self.values = _extend(self.values, more)
            self.present = np.concatenate([self.present, np.zeros(more, np.bool_)])

    def visible(self, position: int, window: int) -> NDArray[np.intp]:
        """The positions to which a token at `position` attends (window 0: all before it)."""
        first = max(0, position - window + 1) if window else 0
        return first + np.flatnonzero(self.present[first : position + 1])


def _extend(array: Floats, count: int) -> Floats:
    poison = np.full((count, *array.shape[1:]), np.nan, np.float32)
    return np.concatenate([array, poison])


@dataclass(slots=True)
class KVCache:
    """Entries of every layer and sequence; a program's steps extend it."""

    entries: dict[tuple[int, int], Entries] = field(default_factory=dict[tuple[int, int], Entries])

    def of(self, layer: int, sequence: int) -> Entries | None:
        return self.entries.get((layer, sequence))

    def append(
        self,
        layer: int,
        sequences: Ints,
        positions: Ints,
        keys: Floats,
        values: Floats,
        own_keys: Mask,
        own_values: Mask,
    ) -> None:
        """Write the heads of `keys` and `values`, [T, kv heads, head], that the caller owns.

        `own_keys` and `own_values`, [T, kv heads], say which.
        """
        for token, (sequence, position) in enumerate(zip(sequences, positions, strict=True)):
            entries = self._reserve(
                layer, int(sequence), int(position), keys.shape[1:], values.shape[1:]
            )
            own_key, own_value = own_keys[token], own_values[token]
            entries.keys[position, own_key] = keys[token, own_key]
            entries.values[position, own_value] = values[token, own_value]
            entries.present[position] = True

    def poison(
        self,
        layer: int,
        sequences: Ints,
        positions: Ints,
        key_features: tuple[int, ...],
        value_features: tuple[int, ...],
    ) -> None:
        """Make the entries of a step's tokens present and NaN, until they are appended."""
        for sequence, position in zip(sequences.tolist(), positions.tolist(), strict=True):
            entries = self._reserve(layer, sequence, position, key_features, value_features)
            entries.keys[position] = np.nan
            entries.values[position] = np.nan
            entries.present[position] = True

    def _reserve(
        self,
        layer: int,
        sequence: int,
        position: int,
        key_features: tuple[int, ...],
        value_features: tuple[int, ...],
    ) -> Entries:
        place = (layer, sequence)
        if place not in self.entries:
            self.entries[place] = Entries.empty(key_features, value_features)
        self.entries[place].reserve(position + 1)
        return self.entries[place]
