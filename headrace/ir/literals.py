"""Literal attributes of the `step` dialect: numbers that print short and read back exactly."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer


@irdl_attr_definition
class IntsAttr(Data[tuple[int, ...]]):
    """Integers: `<3, 5>`; a run of four or more consecutive ones as `<0 to 29>`."""

    name = "step.ints"

    @classmethod
    def of(cls, values: Sequence[int]) -> IntsAttr:
        return cls(tuple(int(value) for value in values))

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, ...]:
        with parser.in_angle_brackets():
            first = parser.parse_optional_integer()
            if first is None:
                return ()
            if parser.parse_optional_keyword("to"):
                return tuple(range(first, parser.parse_integer() + 1))
            values = [first]
            while parser.parse_optional_punctuation(","):
                values.append(parser.parse_integer())
            return tuple(values)

    def print_parameter(self, printer: Printer) -> None:
        values = self.data
        if len(values) > 3 and values == tuple(range(values[0], values[0] + len(values))):
            printer.print_string(f"<{values[0]} to {values[-1]}>")
        else:
            printer.print_string(f"<{', '.join(map(str, values))}>")


@irdl_attr_definition
class RealsAttr(Data[tuple[float, ...]]):
    """Finite float64 numbers: `<1.0e-05>`, `<1.0, 0.5>`; the text gives the same bits back."""

    name = "step.reals"

    @classmethod
    def of(cls, values: Sequence[float]) -> RealsAttr:
        return cls(tuple(float(value) for value in values))

    @property
    def only(self) -> float:
        """The number, where there is just one."""
        (value,) = self.data
        return value

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[float, ...]:
        with parser.in_angle_brackets():
            first = parser.parse_optional_number()
            if first is None:
                return ()
            values = [float(first)]
            while parser.parse_optional_punctuation(","):
                values.append(float(parser.parse_number()))
            return tuple(values)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{', '.join(map(_exact, self.data))}>")


def _exact(value: float) -> str:
    text = repr(value)
    if "e" in text and "." not in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}.0e{exponent}"
    return text
