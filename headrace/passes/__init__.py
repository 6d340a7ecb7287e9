"""Passes from `step` to `step`: they lay a captured program over time, workers and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdsl.passes import ModulePass


def _imported(module: str, name: str) -> Callable[[], type[ModulePass]]:
    return lambda: getattr(import_module(f"{__name__}.{module}"), name)


#: Every pass by its name, in the order in which they map a program; imported when called.
ALL_PASSES: Mapping[str, Callable[[], type[ModulePass]]] = MappingProxyType(
    {
        "choose-formats": _imported("choose_formats", "ChooseFormatsPass"),
        "loop-layers": _imported("loop_layers", "LoopLayersPass"),
        "fuse-stages": _imported("fuse_stages", "FuseStagesPass"),
        "shard": _imported("shard", "ShardPass"),
        "order-tokens": _imported("order_tokens", "OrderTokensPass"),
        "plan-memory": _imported("plan_memory", "PlanMemoryPass"),
        "pack-weights": _imported("pack_weights", "PackWeightsPass"),
    }
)
