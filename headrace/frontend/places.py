"""Module paths, those that differ in numbers alone written as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Path = tuple[str, ...]


def fold(paths: Iterable[str]) -> list[str]:
    """`layers.0.mlp`, `layers.1.mlp` → `layers.{0-1}.mlp`; in the order of their first."""
    folded: list[Path] = [tuple(path.split(".")) for path in dict.fromkeys(paths)]
    for position in range(max(map(len, folded), default=0)):
        folded = _fold_at(folded, position)
    return [".".join(path) for path in folded]


def _fold_at(paths: Sequence[Path], position: int) -> list[Path]:
    """Join paths that are equal but for a number at one position."""
    groups: dict[Path, list[int]] = {}
    for path in paths:
        if len(path) > position and path[position].isdigit():
            key = (*path[:position], "", *path[position + 1 :])
            groups.setdefault(key, []).append(int(path[position]))
        else:
            groups[path] = []
    return [
        (*path[:position], _ranges(numbers), *path[position + 1 :]) if numbers else path
        for path, numbers in groups.items()
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """`3`, `{0-3}` or `{0-3,5}`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return texts[0] if len(numbers) == 1 else "{" + ",".join(texts) + "}"
