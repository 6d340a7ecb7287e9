"""Paths of repeated modules are written as one."""

from __future__ import annotations

import pytest

from headrace.frontend.places import fold


@pytest.mark.parametrize(
    ("paths", "folded"),
    [
        ([], []),
        (["lm_head"], ["lm_head"]),
        (["h.3.mlp", "h.3.mlp"], ["h.3.mlp"]),
        ([f"h.{i}.mlp" for i in (2, 0, 1, 5)], ["h.{0-2,5}.mlp"]),
        (["h.0.a", "h.0.b", "h.1.a", "h.1.b"], ["h.{0-1}.a", "h.{0-1}.b"]),
        ([f"h.{i}.norms.{j}" for i in range(3) for j in range(2)], ["h.{0-2}.norms.{0-1}"]),
        (["h.0.n.0", "h.0.n.1", "h.1.n.0"], ["h.{0-1}.n.0", "h.0.n.1"]),
        (["h.0", "h", "0.0"], ["h.0", "h", "0.0"]),
    ],
)
def test_fold(paths: list[str], folded: list[str]) -> None:
    assert fold(paths) == folded
