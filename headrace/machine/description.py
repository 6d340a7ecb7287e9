"""Machines as data: what the passes and the roofline know of the hardware."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from headrace.errors import MachineError

KIB = 1024
GIGA = 1e9
NANO = 1e-9
DESCRIPTIONS = files("headrace.machine").joinpath("descriptions")


@dataclass(frozen=True, slots=True)
class Rates:
    """What one core does a second, one token at a time, when its data are in its caches.

    Attributes:
        products: multiply-adds of products by the weights' storage format. Formats without a rate
            are taken to be at the machine's peak.
        attention: multiply-adds of attention. rows: values that one operator on whole rows takes
            (a norm, a merge, the quantisation of activations).

    Raises:
        MachineError: a rate is not positive.
    """

    products: Mapping[str, float]
    attention: float
    rows: float

    def __post_init__(self) -> None:
        for rate in (*self.products.values(), self.attention, self.rows):
            if not rate > 0:
                raise MachineError(f"a rate of {rate} a second is impossible")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as the cost models see it: peaks, sizes and one exchange's time.

    Attributes:
        cpu: LLVM's name of the processor, or None when the description fits any.
        isa: LLVM's architecture name, "x86_64" or "aarch64".
        features: LLVM's names of the instruction-set extensions.
        l1d_bytes, l2_bytes: of one core. l3_bytes: shared by all cores.
        core_read_bandwidth, read_bandwidth: bytes/s one core reads alone, and all cores together.
        core_int8_macs_per_s: 8-bit multiply-adds a second of one core.
        token_exchange_s: seconds that one exchange of tokens adds to the streams of all workers.
        rates: of one core's arithmetic.
    """

    name: str
    cpu: str | None
    cores: int
    isa: str
    features: frozenset[str]
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    core_read_bandwidth: float
    read_bandwidth: float
    core_int8_macs_per_s: float
    token_exchange_s: float
    rates: Rates

    @property
    def int8_macs_per_s(self) -> float:
        """8-bit multiply-adds a second of all cores."""
        return self.cores * self.core_int8_macs_per_s

    def with_measured(
        self,
        *,
        read_bandwidth: float,
        token_exchange_s: float | None = None,
        rates: Rates | None = None,
    ) -> Machine:
        """The same machine with what was measured: bandwidth in bytes/s of all cores.

        Products of formats that were not measured keep their rates.

        Raises:
            MachineError: the bandwidth is not positive.
        """
        if not read_bandwidth > 0:
            raise MachineError(
                f"a read bandwidth of {read_bandwidth} bytes/s is impossible", where=self.name
            )
        core = max(self.core_read_bandwidth, read_bandwidth / self.cores)
        found = self.rates
        if rates is not None:
            found = replace(rates, products={**found.products, **rates.products})
        return replace(
            self,
            read_bandwidth=read_bandwidth,
            core_read_bandwidth=min(core, read_bandwidth),
            token_exchange_s=self.token_exchange_s
            if token_exchange_s is None
            else token_exchange_s,
            rates=found,
        )

    def with_cores(self, cores: int) -> Machine:
        """The same machine when only `cores` of its cores work (or more of the same are there).

        Raises:
            MachineError: `cores` is below 1.
        """
        if cores < 1:
            raise MachineError(f"{cores} cores cannot work", where=self.name)
        ceiling = self.read_bandwidth * max(1.0, cores / self.cores)
        bandwidth = min(ceiling, cores * self.core_read_bandwidth)
        return replace(self, cores=cores, read_bandwidth=bandwidth)


def described_machines() -> tuple[str, ...]:
    """Names of the descriptions that come with headrace, sorted."""
    found = (
        Path(entry.name) for entry in files("headrace.machine").joinpath("descriptions").iterdir()
    )
    return tuple(sorted(path.stem for path in found if path.suffix == ".toml"))


def load_machine(name: str) -> Machine:
    """Read a description that comes with headrace by its name, or any TOML file by its path.

    Raises:
        MachineError: there is none of this name, or it is malformed.
    """
    if name in described_machines():
        text = DESCRIPTIONS.joinpath(f"{name}.toml").read_text("utf-8")
        return parse_machine(text, where=f"{name}.toml")
    try:
        text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(described_machines())
        raise MachineError(
            f"no machine description: {error}",
            where=name,
            hint=f"one of {known}, or the path of a TOML file",
        ) from error
    return parse_machine(text, where=name)


def parse_machine(text: str, *, where: str) -> Machine:
    """Read one description from TOML text; `where` names it in errors.

    Raises:
        MachineError: the text is no TOML, or a field is missing or has the wrong type or range.
    """
    try:
        table = _Table(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise MachineError(f"a machine description is not TOML: {error}", where=where) from error
    cache, memory, compute = (table.sub(key) for key in ("cache", "memory", "compute"))
    return Machine(
        name=table.text("name"),
        cpu=table.text("cpu") if "cpu" in table.values else None,
        cores=table.count("cores"),
        isa=table.text("isa"),
        features=table.names("features"),
        l1d_bytes=cache.count("l1d_kib") * KIB,
        l2_bytes=cache.count("l2_kib") * KIB,
        l3_bytes=cache.count("l3_kib") * KIB,
        core_read_bandwidth=memory.number("core_read_gb_s") * GIGA,
        read_bandwidth=memory.number("read_gb_s") * GIGA,
        core_int8_macs_per_s=compute.number("core_int8_gmac_s") * GIGA,
        token_exchange_s=compute.number("token_exchange_ns") * NANO,
        rates=Rates(
            products={name: rate * GIGA for name, rate in compute.numbers("product_gmac_s")},
            attention=compute.number("core_attention_gmac_s") * GIGA,
            rows=compute.number("core_row_gvalue_s") * GIGA,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table whose fields are checked as they are read."""

    values: dict[str, Any]
    where: str

    def sub(self, key: str) -> _Table:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self._wrong(key, "a table")
        return _Table(cast("dict[str, Any]", value), f"{self.where}: {key}")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a text")
        return value

    def count(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number above 0")
        return value

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise self._wrong(key, "a number above 0")
        return float(value)

    def numbers(self, key: str) -> list[tuple[str, float]]:
        """The entries of a table of numbers; none if there is no such table."""
        if key not in self.values:
            return []
        table = self.sub(key)
        return [(name, table.number(name)) for name in table.values]

    def names(self, key: str) -> frozenset[str]:
        value = self.values.get(key)
        entries = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(isinstance(entry, str) for entry in entries):
            raise self._wrong(key, "a list of texts")
        return frozenset(cast("list[str]", entries))

    def _wrong(self, key: str, wanted: str) -> MachineError:
        return MachineError(
            f"a machine description needs `{key}` to be {wanted}, not {self.values.get(key)!r}",
            where=self.where,
        )
