"""Checks of the forward values against the oracle, and of what follows from them without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Cell, from_format, panel, regimes
from vggprep.checks.check import check
from vggprep.checks.subject import Finding, Skipped, Subject
from vggprep.spec import Direction

Array = npt.NDArray[Any]


@check("forward")
def value(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Every pixel gets the value that the mode's definition gives it, whatever the range of the image."""
    for regime in regimes(direction, cell.dtype):
        if regime != "nonfinite" and not (regime == "bytes" and every_byte.concerns(cell, direction)):
            yield subject.judge(panel(direction, cell, regime))


@check("forward", domain="integers")
def every_byte(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Each of the 256 bytes gets its value in each of the three channels."""
    yield subject.judge(panel(direction, cell, "bytes"))


@check("forward", "inverse", domain="floats")
def nonfinite(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """NaN and infinities stay in their pixel and channel, and nothing else becomes one."""
    if direction == "inverse" and subject.returns_pixels(cell):
        raise Skipped("the inverse returns pixels, which cannot hold NaN")
    yield subject.judge(panel(direction, cell, "nonfinite"))


@check("forward", domain="integers")
def integers_agree(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Equal values give equal results in every integer dtype and in float32."""
    other = cell._replace(dtype="float32")
    if not subject.accepts(direction, other):
        raise Skipped("float32, the dtype to compare with, is not accepted")
    case = panel(direction, cell)
    array = case.array()
    outcome = subject.run(case)
    finding = subject.unusable(case, array, outcome)
    if finding is not None:
        yield finding
        return
    twin = subject.call(direction, array.astype(np.float32), cell.mode, cell.data_format)
    if twin.output is None or twin.output.shape != array.shape:
        raise Skipped("float32, the dtype to compare with, gives nothing that can be compared")
    assert outcome.output is not None
    x, got, same = (from_format(a, cell.data_format) for a in (array, outcome.output, twin.output))
    yield subject.disagreement(case, x, got, same, f"differs from float32 for the same values in {cell.dtype}")


@check("forward", "inverse")
def monotone(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """No output falls as the channel it is made from rises."""
    case = panel(direction, cell)
    array = case.array()
    outcome = subject.run(case)
    finding = subject.unusable(case, array, outcome)
    if finding is not None:
        yield finding
        return
    assert outcome.output is not None
    x = from_format(array, cell.data_format).reshape(-1, 3)
    got = from_format(outcome.output, cell.data_format).reshape(-1, 3)
    sources = oracle.sources(direction, cell.mode)
    order = [np.argsort(x[:, source], kind="stable") for source in sources]
    rising = np.stack([x[o, s] for o, s in zip(order, sources, strict=True)], axis=-1)
    values = np.stack([got[o, k] for k, o in enumerate(order)], axis=-1)
    # What each value must not fall below: the largest before it. Where it does, they must at least be near.
    highest = np.maximum.accumulate(values, axis=0)
    inputs = rising[:, np.argsort(sources)]
    falls = subject.agree(case, values, highest, inputs)
    if falls.any():
        channel = "RGB"[sources[int(np.nonzero(falls)[1][0])]]
        row = int(np.nonzero(falls)[0][0])
        yield Finding(
            direction,
            cell,
            f"the output falls from {_show(highest, falls)} to {_show(values, falls)} "
            f"although {channel} has risen to {rising[row, int(np.nonzero(falls)[1][0])]}",
            case,
        )
    yield None


def _show(values: Array, where: npt.NDArray[np.bool_]) -> str:
    return str(values[where][0])
