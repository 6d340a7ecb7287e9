"""Machine descriptions, and the probe of the machine headrace runs on."""

from headrace.machine.description import (
    Machine,
    Rates,
    described_machines,
    load_machine,
    parse_machine,
)
from headrace.machine.host import Host, probe_host
from headrace.machine.memo import recall, recall_workers, remember

__all__ = [
    "Host",
    "Machine",
    "Rates",
    "described_machines",
    "load_machine",
    "parse_machine",
    "probe_host",
    "recall",
    "recall_workers",
    "remember",
]
