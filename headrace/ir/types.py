"""Types and attributes of the `step` dialect that xDSL's builtins do not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr, SymbolRefAttr
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

#: How a stage's work is divided over workers.
SHARD_AXES = ("rows", "heads", "columns", "context", "tokens", "all")

#: Those that say where each worker's share begins and ends.
BOUNDED_AXES = ("rows", "heads", "columns")

#: Where a stage's result lives.
STORAGES = ("shared", "partial", "private", "cache")


@irdl_attr_definition
class WeightType(ParametrizedAttribute, TypeAttribute):
    """A constant of the model in its storage format: `!step.weight<[rows, cols], "q4_1">`."""

    name = "step.weight"

    dims: ArrayAttr[IntAttr] = param_def()
    format: StringAttr = param_def()

    @classmethod
    def of(cls, dims: Sequence[int], format: str) -> WeightType:
        return cls(ArrayAttr([IntAttr(dim) for dim in dims]), StringAttr(format))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dim.data for dim in self.dims)

    @property
    def rows(self) -> int:
        return self.shape[0]

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            dims = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: IntAttr(parser.parse_integer())
            )
            parser.parse_punctuation(",")
            return ArrayAttr(dims), StringAttr(parser.parse_str_literal())

    def print_parameters(self, printer: Printer) -> None:
        dims = ", ".join(str(dim) for dim in self.shape)
        printer.print_string(f'<[{dims}], "{self.format.data}">')

    def verify(self) -> None:
        if not self.shape or any(dim <= 0 for dim in self.shape):
            raise VerifyException(f"a weight needs positive dimensions, got {list(self.shape)}")


@irdl_attr_definition
class CacheType(ParametrizedAttribute, TypeAttribute):
    """The keys and values of one layer, for every sequence: what `append` extends."""

    name = "step.cache"


@dataclass(frozen=True, slots=True)
class Shard:
    """The share of one stage that each worker does.

    axis: one of SHARD_AXES:
        rows     output features, in units of rows that one epilogue needs together;
        heads    KV heads: of a product, as large a part of the rows of every segment; of attention,
                 these heads with all that belongs to them: every token, all of its entries.
                 Results are final;
        columns  input features of a product: each worker has a partial sum of every row, and
                 their reader adds them, in the order of the workers;
        context  with one token, a part of its KV entries; results are partial, and merged by
                 their reader. With several tokens, pairs of a KV head and a block of rows, where
                 a row is a token and one of the query heads that share the KV head; results are
                 final;
        tokens   token t belongs to worker t mod W;
        one      worker 0 does it all;
        all      every worker does it all, for itself (replicated).
    bounds: for `rows`, `heads` and `columns`, W + 1 non-decreasing numbers of units, KV heads or
        columns; worker w does bounds[w] .. bounds[w + 1]. The last one is the number of all.
        Empty for the other axes.
    """

    axis: str
    bounds: tuple[int, ...] = ()


@irdl_attr_definition
class ShardAttr(ParametrizedAttribute):
    """`#step.shard<"rows", [0, 8, 15]>`; see `Shard`."""

    name = "step.shard"

    axis: StringAttr = param_def()
    bounds: ArrayAttr[IntAttr] = param_def()

    @classmethod
    def of(cls, shard: Shard) -> ShardAttr:
        return cls(StringAttr(shard.axis), ArrayAttr([IntAttr(b) for b in shard.bounds]))

    @property
    def data(self) -> Shard:
        return Shard(self.axis.data, tuple(bound.data for bound in self.bounds))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            axis = StringAttr(parser.parse_str_literal())
            parser.parse_punctuation(",")
            bounds = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: IntAttr(parser.parse_integer())
            )
            return axis, ArrayAttr(bounds)

    def print_parameters(self, printer: Printer) -> None:
        bounds = ", ".join(str(bound.data) for bound in self.bounds)
        printer.print_string(f'<"{self.axis.data}", [{bounds}]>')

    def verify(self) -> None:
        shard = self.data
        if shard.axis not in SHARD_AXES:
            raise VerifyException(f"unknown shard axis {shard.axis!r}; one of {SHARD_AXES}")
        if (shard.axis in BOUNDED_AXES) != bool(shard.bounds):
            raise VerifyException(f"bounds belong to the axes {BOUNDED_AXES} and to no other")
        if list(shard.bounds) != sorted(shard.bounds):
            raise VerifyException(f"shard bounds must not decrease, got {list(shard.bounds)}")


@irdl_attr_definition
class TokenAttr(ParametrizedAttribute):
    """A token edge `#step.token<@stage, distance>`.

    Before it starts, a worker waits until every other worker that produces for it has finished
    `stage`, `distance` iterations of the enclosing loop ago (0: this iteration; for a stage
    outside of the loop that waits, its only execution in this step).
    """

    name = "step.token"

    stage: SymbolRefAttr = param_def()
    distance: IntAttr = param_def()

    @classmethod
    def of(cls, stage: str, distance: int) -> TokenAttr:
        return cls(SymbolRefAttr(stage), IntAttr(distance))

    @property
    def stage_name(self) -> str:
        return self.stage.root_reference.data

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            stage = SymbolRefAttr(parser.parse_symbol_name())
            parser.parse_punctuation(",")
            return stage, IntAttr(parser.parse_integer())

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<@{self.stage_name}, {self.distance.data}>")


@irdl_attr_definition
class BufferAttr(ParametrizedAttribute):
    """Where a stage's result is kept: `#step.buffer<"shared", 0>`.

    storage: one of STORAGES:
        shared   one copy; each worker writes its share and reads what others wrote;
        partial  one partial result a worker, merged by the reader (attention: online softmax;
                 a product by columns: sum);
        private  a copy a worker, computed by each for itself;
        cache    the KV cache.
    slot: the number of the buffer within its storage; values with one slot share memory.
    """

    name = "step.buffer"

    storage: StringAttr = param_def()
    slot: IntAttr = param_def()

    @classmethod
    def of(cls, storage: str, slot: int) -> BufferAttr:
        return cls(StringAttr(storage), IntAttr(slot))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            storage = StringAttr(parser.parse_str_literal())
            parser.parse_punctuation(",")
            return storage, IntAttr(parser.parse_integer())

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f'<"{self.storage.data}", {self.slot.data}>')

    def verify(self) -> None:
        if self.storage.data not in STORAGES:
            raise VerifyException(f"unknown storage {self.storage.data!r}; one of {STORAGES}")


@irdl_attr_definition
class RunAttr(ParametrizedAttribute):
    """A part of a stream: `#step.run<["gate", "up"], 32, 0, 24>`.

    Units first .. last of some weights of one shape, in order; of each unit, `unit_rows` rows of
    the first weight, then of the second, and so on. Each unit fills whole tiles. With
    `columns` (`#step.run<["down"], 32, 0, 18, columns 0, 768>`) only these of each row.
    """

    name = "step.run"

    weights: ArrayAttr[StringAttr] = param_def()
    unit_rows: IntAttr = param_def()
    first: IntAttr = param_def()
    last: IntAttr = param_def()
    columns: ArrayAttr[IntAttr] = param_def()

    @classmethod
    def of(
        cls, weights: Sequence[str], unit_rows: int, units: range, columns: range | None = None
    ) -> RunAttr:
        names = ArrayAttr([StringAttr(name) for name in weights])
        ends = () if columns is None else (columns.start, columns.stop)
        first, last = IntAttr(units.start), IntAttr(units.stop)
        cut = ArrayAttr([IntAttr(end) for end in ends])
        return cls(names, IntAttr(unit_rows), first, last, cut)

    @property
    def units(self) -> range:
        return range(self.first.data, self.last.data)

    def column_range(self, cols: int) -> range:
        """The columns of weights that have `cols` of them."""
        ends = [end.data for end in self.columns]
        return range(*ends) if ends else range(cols)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            weights = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: StringAttr(parser.parse_str_literal())
            )
            numbers: list[IntAttr] = []
            for _ in range(3):
                parser.parse_punctuation(",")
                numbers.append(IntAttr(parser.parse_integer()))
            return ArrayAttr(weights), *numbers, ArrayAttr(_columns(parser))

    def print_parameters(self, printer: Printer) -> None:
        weights = ", ".join(f'"{name.data}"' for name in self.weights)
        units = f"{self.first.data}, {self.last.data}"
        ends = ", ".join(str(end.data) for end in self.columns)
        columns = f", columns {ends}" if ends else ""
        printer.print_string(f"<[{weights}], {self.unit_rows.data}, {units}{columns}>")

    def verify(self) -> None:
        if len(self.columns) not in (0, 2):
            raise VerifyException("a run's columns have a first and a last")


def _columns(parser: AttrParser) -> list[IntAttr]:
    """The ends of a run's columns; none where it has all."""
    if parser.parse_optional_punctuation(",") is None:
        return []
    parser.parse_keyword("columns")
    first = parser.parse_integer()
    parser.parse_punctuation(",")
    return [IntAttr(first), IntAttr(parser.parse_integer())]
