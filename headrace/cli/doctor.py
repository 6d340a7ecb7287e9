"""`headrace doctor`: what this machine gives, and what would make it faster."""

from __future__ import annotations

from headrace.cli.tables import table_console


def doctor() -> None:
    """Look at this machine: cores, instruction set, caches, read and multiply rates; give advice.

    The bandwidth that it measures is noted in the cache, for predictions, and how many workers read
    fastest: as many run a model where nothing else is asked for.
    """
    import os

    from rich.table import Table

    from headrace.bench.advice import advice
    from headrace.bench.bandwidth import fastest_workers, probe_bytes, read_bandwidth
    from headrace.bench.diagnosis import bandwidth_lines, findings, multiply_lines
    from headrace.bench.multiplier import multiply_rates
    from headrace.codegen.target import Target
    from headrace.machine import probe_host, recall, remember

    console, host = table_console(), probe_host()
    target, load, cpus = Target.host(), os.getloadavg()[0], host.core_cpus[: host.cores]
    special = target.special
    bandwidth = read_bandwidth(cpus, probe_bytes(host))
    machine = recall(host.machine())
    workers = fastest_workers(bandwidth)
    remember(machine.with_measured(read_bandwidth=bandwidth[host.cores].median), workers=workers)
    table = Table.grid(padding=(0, 2))
    rates = multiply_lines(multiply_rates(target, cpus))
    for name, value in (*findings(host, special, workers), *bandwidth_lines(bandwidth), *rates):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table)
    hints = list(advice(host, special, bandwidth, load))
    console.print("\n[bold]what would make it faster[/bold]")
    for hint in hints or ["Nothing that headrace knows of."]:
        console.print(f"- {hint}")
