"""Checks of the inverse on what the oracle says the forward direction gives: a round trip of its own proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vggprep import oracle
from vggprep.cases import Cell, from_format, panel
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
        x, got = (from_format(z, cell.data_format) for z in (case.array(), subject.output(case)))
        image = from_format(panel("forward", cell).array(), cell.data_format).astype(np.float64)
        # A dtype may be too coarse for a mode: what the definition itself loses need not be restored.
        kept = oracle.pixels(oracle.exact(x, direction, cell.mode)) == image
        wrong = (oracle.as_float64(got) != image) & kept
        if wrong.any():
            worst = tuple(int(i[0]) for i in np.nonzero(wrong))
            levels = float(np.abs(oracle.as_float64(got) - image).max())
            deviation = Deviation(x, got, image, int(wrong.sum()), worst, levels)
            yield Finding("lost_pixels", direction, cell, case, None, subject.run(case), deviation)


@check("inverse", domain="floats", clauses=INVERSE)
def restores_floats(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The unrounded inverse is off by no more than rounding; this distinguishes means that bytes cannot."""
    if subject.returns_pixels(cell):
        raise Skipped("the inverse returns pixels: see restores_pixels")
    for regime in ("bytes", "noise", "wide"):
        yield subject.judge(panel(direction, cell, regime))
