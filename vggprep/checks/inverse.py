"""Checks of the inverse on what the oracle says the forward direction gives: a round trip of its own proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vggprep import oracle
from vggprep.cases import Case, Cell, from_format, panel
from vggprep.checks.check import check
from vggprep.checks.findings import Deviation, Finding
from vggprep.checks.subject import Skipped, Subject
from vggprep.spec import Direction
from vggprep.specification import INVERSE


@check("inverse", domain="floats", clauses=("VP-PIXEL-1", "VP-PIXEL-2", "VP-EXACT-1"))
def restores_pixels(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The inverse gives every byte back from the exact preprocessed value, and saturates where noise was added."""
    if not subject.returns_pixels(cell):
        raise Skipped("the inverse returns floats: see restores_floats")
    for regime in ("bytes", "noise"):
        case = panel(direction, cell, regime)
        finding = subject.judge(case)
        if finding is not None or regime == "noise" or cell.dtype == "bfloat16":
            yield finding  # bfloat16 has too few bits to keep a byte
            continue
        if (finding := lost_pixels(subject, case)) is not None:
            yield finding


def lost_pixels(subject: Subject, case: Case) -> Finding | None:
    """Bytes that an inverse within the bound does not give back although the definition keeps them apart."""
    x, got = (from_format(z, case.data_format) for z in (case.array(), subject.output(case)))
    image = oracle.pixels(oracle.exact(x, "inverse", case.mode))
    # A dtype may be too coarse for a mode: what the definition itself loses need not be restored.
    made = oracle.exact(image.astype(x.dtype), "forward", case.mode) == oracle.as_float64(x)
    wrong = (oracle.as_float64(got) != image) & made[..., oracle.input_channels("inverse", case.mode)]
    if not wrong.any():
        return None
    worst = tuple(int(i[0]) for i in np.nonzero(wrong))
    levels = float(np.abs(oracle.as_float64(got) - image)[wrong].max())
    deviation = Deviation(x, got, image, int(wrong.sum()), worst, levels)
    return Finding("lost_pixels", "inverse", case.cell, case, None, subject.run(case), deviation)


@check("inverse", domain="floats", clauses=INVERSE)
def restores_floats(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The unrounded inverse is off by no more than rounding; this distinguishes means that bytes cannot."""
    if subject.returns_pixels(cell):
        raise Skipped("the inverse returns pixels: see restores_pixels")
    for regime in ("bytes", "noise", "wide"):
        yield subject.judge(panel(direction, cell, regime))
