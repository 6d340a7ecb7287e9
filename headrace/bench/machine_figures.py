"""The figures of a machine that its cost model needs, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.bench.bandwidth import probe_bytes
from headrace.bench.exchange import exchange_seconds
from headrace.bench.rates import measured_rates
from headrace.build import Options
from headrace.checkpoint.progress import Progress, step
from headrace.machine import Machine, probe_host


def measured_figures(
    machine: Machine, formats: Sequence[str], options: Options, progress: Progress
) -> Machine:
    """The machine with what arithmetic and exchanges take now; its bandwidth stays as it is.

    An exchange among workers that share cores is not measured: it keeps its figure.

    Raises:
        HeadraceError: as `build`.
    """
    host = probe_host()
    fitting = replace(options, workers=min(options.workers, host.cores))
    rates = measured_rates(formats, fitting, progress)
    cpus, exchange = host.core_cpus[: options.workers], None
    if 1 < len(cpus) == options.workers:
        with step(progress, "measuring exchanges", None):
            exchange = exchange_seconds(cpus, probe_bytes(host))
    return machine.with_measured(
        read_bandwidth=machine.read_bandwidth, token_exchange_s=exchange, rates=rates
    )
