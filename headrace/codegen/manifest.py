"""What the runtime must know about compiled code: sizes, and where each weight goes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """Units first .. last of some weights of one shape, unit by unit; see `step.run`.

    weights: for each trip, the names of the weights that are interleaved. cols: all of a weight's
        columns, of which those from first_col to last_col are read.
    """

    weights: tuple[tuple[str, ...], ...]
    unit_rows: int
    first: int
    last: int
    cols: int
    first_col: int
    last_col: int
    format: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StreamPart:
    """What one worker reads in one stage: at byte `at` of its stream, `trip` bytes a trip apart."""

    stage: str
    worker: int
    at: int
    bytes: int
    trip: int
    trips: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class VectorPart:
    """A one-dimensional weight, float32: one name a trip, `trip` bytes apart."""

    names: tuple[str, ...]
    at: int
    trip: int
    length: int


@dataclass(frozen=True, slots=True)
class RowsPart:
    """An embedding's table, row by row as stored, `at` bytes after the first one."""

    name: str
    format: str
    rows: int
    cols: int
    row_bytes: int
    at: int

    @property
    def bytes(self) -> int:
        return self.rows * self.row_bytes


@dataclass(frozen=True, slots=True)
class RotaryTable:
    """Frequencies in radians a position; cosines and sines are multiplied by `scale`.

    beyond: with a context of more positions, the long frequencies and scale hold; None: never.
    """

    frequencies: tuple[float, ...]
    scale: float
    beyond: int | None = None
    long_frequencies: tuple[float, ...] = ()
    long_scale: float = 1.0

    def at_context(self, context: int) -> tuple[tuple[float, ...], float]:
        """Frequencies and scale of a program that is loaded for `context` positions."""
        if self.beyond is None or context <= self.beyond:
            return self.frequencies, self.scale
        return self.long_frequencies, self.long_scale


@dataclass(frozen=True, slots=True)
class CacheShape:
    """KV entries: bytes of a block of 64 positions, over all layers."""

    layers: int
    heads: int
    key_head: int
    value_head: int
    format: str
    block_bytes: int
    token_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A compiled program's facts. Sizes in bytes.

    stream_starts: of each worker's stream in the packed file; vectors_start and rows_start
    likewise. vocabulary: of tokens that can be fed and sampled. context: positions that the model
    has, at most. logits_at: of row 0 of the logits in shared memory, rows `logits_stride` floats
    apart. hidden: features of the rows from which logits are made; hidden_at and hidden_stride as
    those of logits.
    stages: names, in order. token_edges_per_step: of a step that generates a token.
    traced: whether workers record what they do.
    """

    workers: int
    vocabulary: int
    context: int
    max_tokens: int
    max_outputs: int
    stages: tuple[str, ...]
    streams: tuple[StreamPart, ...]
    stream_starts: tuple[int, ...]
    stream_bytes: tuple[int, ...]
    vectors: tuple[VectorPart, ...]
    vectors_start: int
    rows: tuple[RowsPart, ...]
    rows_start: int
    tables: tuple[RotaryTable, ...]
    cache: CacheShape
    logits_at: int
    logits_stride: int
    hidden: int
    hidden_at: int
    hidden_stride: int
    shared_bytes: int
    private_bytes: int
    packed_bytes: int
    token_edges_per_step: int
    traced: bool

    @property
    def weight_bytes_per_token(self) -> int:
        """Weights read for one token: all streams."""
        return sum(self.stream_bytes)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        data: dict[str, Any] = json.loads(text)
        data["streams"] = tuple(_stream(part) for part in data["streams"])
        data["vectors"] = tuple(
            VectorPart(tuple(part.pop("names")), **part) for part in data["vectors"]
        )
        data["tables"] = tuple(_table(table) for table in data["tables"])
        data["rows"] = tuple(RowsPart(**part) for part in data["rows"])
        data["cache"] = CacheShape(**data["cache"])
        for name in ("stages", "stream_starts", "stream_bytes"):
            data[name] = tuple(data[name])
        return cls(**data)


def _table(data: dict[str, Any]) -> RotaryTable:
    frequencies, long = tuple(data.pop("frequencies")), tuple(data.pop("long_frequencies"))
    return RotaryTable(frequencies=frequencies, long_frequencies=long, **data)


def _stream(data: dict[str, Any]) -> StreamPart:
    runs = tuple(
        Run(tuple(tuple(names) for names in run.pop("weights")), **run) for run in data.pop("runs")
    )
    return StreamPart(runs=runs, **data)
