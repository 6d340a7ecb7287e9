"""All passes in order: a captured program becomes one that a machine can run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from headrace.errors import ProgramError
from headrace.ir.dialect import step_context
from headrace.passes.choose_formats import ChooseFormatsPass
from headrace.passes.fuse_stages import FuseStagesPass
from headrace.passes.loop_layers import LoopLayersPass
from headrace.passes.order_tokens import OrderTokensPass
from headrace.passes.pack_weights import PackWeightsPass
from headrace.passes.plan_memory import PlanMemoryPass
from headrace.passes.shard import ShardPass

if TYPE_CHECKING:
    from headrace.machine.description import Machine

#: Called after each pass with its name and the module, which it must not change.
Observer = Callable[[str, ModuleOp], None]


def mapping_passes(
    workers: int,
    weights: str = "auto",
    kv: str = "auto",
    mapping: str = "auto",
    exchange: int = 0,
) -> tuple[ModulePass, ...]:
    """The passes that map a captured program onto a number of workers, in order.

    weights, kv: of `choose-formats`. mapping, exchange: of `shard`.
    """
    return (
        ChooseFormatsPass(weights, kv),
        LoopLayersPass(),
        FuseStagesPass(),
        ShardPass(workers, mapping, exchange),
        OrderTokensPass(),
        PlanMemoryPass(),
        PackWeightsPass(),
    )


def map_program(
    module: ModuleOp,
    machine: Machine | int,
    weights: str = "auto",
    kv: str = "auto",
    mapping: str = "auto",
    *,
    observer: Observer | None = None,
) -> None:
    """Map a captured program, in place, onto a machine's cores (or a number of workers).

    weights, kv: of `choose-formats`. mapping: of `shard`, which prices exchanges if it
    is told the machine. The module is verified before, between and after.

    Raises:
        ProgramError: the program breaks a pass's contract, or does not verify.
    """
    workers, exchange = (machine, 0) if isinstance(machine, int) else _figures(machine)
    context = step_context()
    _verify(module, "before the passes")
    for each in mapping_passes(workers, weights, kv, mapping, exchange):
        each.apply(context, module)
        _verify(module, f"after {each.name}")
        if observer is not None:
            observer(each.name, module)


def _figures(machine: Machine) -> tuple[int, int]:
    """A machine's workers, and the bytes that each reads in the time of an exchange."""
    share = machine.read_bandwidth / machine.cores
    return machine.cores, round(machine.token_exchange_s * share)


def _verify(module: ModuleOp, where: str) -> None:
    try:
        module.verify()
    except VerifyException as error:
        raise ProgramError(f"the program does not verify: {error}", where=where) from error
