"""`headrace doctor`: what this machine gives, and what would make it faster."""

from __future__ import annotations

from headrace.cli.tables import table_console


def doctor() -> None:
    """Look at this machine: cores, instruction set, caches, memory, read bandwidth; give advice.

    The bandwidth that it measures is noted in the cache, for predictions.
    """
    import os

    from rich.table import Table

    from headrace.bench.advice import advice
    from headrace.bench.bandwidth import probe_bytes, read_bandwidth
    from headrace.bench.diagnosis import bandwidth_lines, findings
    from headrace.codegen.target import Target
    from headrace.machine import probe_host, remember

    console, host = table_console(), probe_host()
    special, load = Target.host().special, os.getloadavg()[0]
    bandwidth = read_bandwidth(host.core_cpus[: host.cores], probe_bytes(host))
    remember(host.machine().with_measured(read_bandwidth=bandwidth[host.cores].median))
    table = Table.grid(padding=(0, 2))
    for name, value in (*findings(host, special), *bandwidth_lines(bandwidth)):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table)
    hints = list(advice(host, special, bandwidth, load))
    console.print("\n[bold]what would make it faster[/bold]")
    for hint in hints or ["Nothing that headrace knows of."]:
        console.print(f"- {hint}")
