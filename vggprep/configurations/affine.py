"""What a mode amounts to: for each output channel one input channel, a scale and an offset, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode

ROUNDING = 1e-9
"""Grey levels by which constants of 17 digits may move a value: some thousand times what float64 can."""


class Line(NamedTuple):
    """``value = input[source] * scale + offset``."""

    source: int
    scale: Fraction
    offset: Fraction


def lines(mode: Mode) -> tuple[Line, Line, Line]:
    """The map of each output channel."""
    first, second, third = (_line(mode, channel) for channel in range(3))
    return first, second, third


def _line(mode: Mode, channel: int) -> Line:
    scale, offset = Fraction(1), Fraction(0)
    for step in mode.steps:
        constant = Fraction(step.constants[channel])
        if step.operation in ("add", "subtract"):
            offset += constant if step.operation == "add" else -constant
        else:
            factor = constant if step.operation == "multiply" else 1 / constant
            scale, offset = scale * factor, offset * factor
    return Line(mode.order[channel], scale, offset)


def levels_apart(mode: Mode, other: Mode) -> Fraction:
    """The largest difference of two modes on any image of bytes, in grey levels of the first.

    The largest difference of two linear functions is at an end, so 0 and 255 are enough.
    """
    return max(
        abs(one.scale * x + one.offset - two.scale * y - two.offset) / abs(one.scale)
        for one, two in zip(lines(mode), lines(other), strict=True)
        for x, y in product((0, 255), repeat=2)
        if x == y or one.source != two.source
    )


def same_as(mode: Mode) -> Iterable[str]:
    """Keras's and published modes that give the same values, to within ``ROUNDING``."""
    known: Mapping[str, Mode] = {**MODES, **PUBLISHED}
    return [name for name, other in known.items() if levels_apart(mode, other) < ROUNDING]
