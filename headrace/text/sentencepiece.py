"""SentencePiece vocabularies of the BPE kind, as merges in the order they are preferred."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

SPACE = "▁"


def merges_by_rank(
    tokens: Sequence[str], rank: Mapping[str, float], whole: Collection[str]
) -> list[tuple[str, str]]:
    """Every way to make a token out of two others, the preferred first.

    SentencePiece keeps no list of merges: it joins the neighbours whose union has the highest
    rank. A list of merges sorted by that rank, longer left part first, says the same
    (transformers' `generate_merges` derives it so).

    Args:
        tokens: the vocabulary in the order of ids.
        rank: preference of each mergeable token; higher is merged earlier.
        whole: tokens that never are part of a merge, such as control tokens.
    """
    identifiers = {token: index for index, token in enumerate(tokens) if token not in whole}
    found: list[tuple[float, int, int, int, str, str]] = []
    for token, index in identifiers.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in identifiers and right in identifiers:
                found.append((-rank[token], -len(left), -len(right), index, left, right))
    found.sort()
    return [(left, right) for *_, left, right in found]


def normalizer(*, prefix_space: bool) -> dict[str, object]:
    """The `normalizer` of a tokenizer.json: spaces become "▁", with one in front if asked."""
    replace: dict[str, object] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if not prefix_space:
        return replace
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]}
