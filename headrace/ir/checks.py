"""What verifiers ask of operators."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.utils.exceptions import VerifyException

from headrace.ir.literals import IntsAttr, RealsAttr


def require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyException(message)


def require_one(name: str, *attributes: RealsAttr | IntsAttr) -> None:
    if any(len(attribute.data) != 1 for attribute in attributes):
        raise VerifyException(f"{name}: expected one number")


def require_entries(name: str, count: int) -> None:
    require(count > 0, f"{name}: expected one entry, or one a trip")


def require_format(name: str, format: StringAttr | None, known: tuple[str, ...]) -> None:
    if format is not None and format.data not in known:
        raise VerifyException(f"{name}: unknown format {format.data!r}; one of {known}")
