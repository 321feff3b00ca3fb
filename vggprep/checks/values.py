"""Checks of the forward values against the oracle, and of what follows from them without it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vggprep import oracle
from vggprep.cases import Cell, from_format, panel, regimes
from vggprep.checks.check import check
from vggprep.checks.findings import Finding, Kind
from vggprep.checks.subject import Skipped, Subject, disagreeing
from vggprep.spec import Direction
from vggprep.specification import FORWARD


@check("forward", clauses=(*FORWARD, "VP-REFUSE-1"))
def value(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Every pixel gets the value that the mode's definition gives it, whatever the range of the image."""
    for regime in regimes(direction, cell.dtype):
        if regime != "nonfinite" and not (regime == "bytes" and every_byte.applies_to(cell, direction)):
            yield subject.judge(panel(direction, cell, regime))


@check("forward", domain="integers", clauses=FORWARD)
def every_byte(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Each of the 256 bytes gets its value in each of the three channels."""
    yield subject.judge(panel(direction, cell, "bytes"))


@check("forward", "inverse", domain="floats", clauses=("VP-NAN-1", "VP-REFUSE-1"))
def nonfinite(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """NaN and infinities stay in their pixel and channel, and nothing else becomes one."""
    if direction == "inverse" and subject.returns_pixels(cell):
        raise Skipped("the inverse returns pixels, which cannot hold NaN")
    yield subject.judge(panel(direction, cell, "nonfinite"))


@check("forward", domain="integers", clauses=["VP-INTEGER-1"])
def integers_agree(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Equal values give equal results in every integer dtype and in float32."""
    other = cell._replace(dtype="float32")
    if "float32" not in (subject.implementation.dtypes or ["float32"]) or not subject.accepts(direction, other):
        raise Skipped("float32, the dtype to compare with, is not accepted")
    case = panel(direction, cell)
    array, output = case.array(), subject.output(case)
    twin = subject.try_input(direction, array.astype(np.float32), cell.mode, cell.data_format)
    if twin.output is None or twin.output.shape != array.shape:
        raise Skipped("float32, the dtype to compare with, gives nothing that can be compared")
    x, got, same = (from_format(a, cell.data_format) for a in (array, output, twin.output))
    yield subject.disagreement("integer_dtypes", case, x, got, same, dtype=cell.dtype)


@check("forward", "inverse", clauses=["VP-MONOTONE-1"])
def monotone(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """No output falls as the channel it is made from rises; or rises, where the mode turns values round."""
    case = panel(direction, cell)
    x = from_format(case.array(), cell.data_format).reshape(-1, 3)
    got = from_format(subject.output(case), cell.data_format).reshape(-1, 3)
    sources = oracle.input_channels(direction, cell.mode)
    # In the order in which the outputs are to rise.
    order = [np.argsort(x[:, source], kind="stable") for source in sources]
    turned = [r.target for r in oracle.routes(direction, cell.mode) if oracle.turns_round(cell.mode, r.preprocessed)]
    for target in turned:
        order[target] = order[target][::-1]
    rising = np.stack([x[o, s] for o, s in zip(order, sources, strict=True)], axis=-1)
    values = np.stack([got[o, k] for k, o in enumerate(order)], axis=-1)
    # What each value must not fall below: the largest before it. Where it does, they must at least be near.
    highest = np.maximum.accumulate(values, axis=0)
    inputs = rising[:, np.argsort(sources)]
    falls = disagreeing(direction, cell.mode, inputs, values, highest, exact=subject.exact)
    if falls.any():
        row, column = (int(index[0]) for index in np.nonzero(falls))
        kind: Kind = "rising" if column in turned else "falling"
        before, after, at = highest[row, column], values[row, column], row
        if kind == "rising":  # these were looked at the other way round
            before, after, at = after, before, int(np.argmax(values[: row + 1, column]))
        about = {
            "before": str(before),
            "after": str(after),
            "channel": "RGB"[sources[column]] if direction == "forward" else f"channel {sources[column]}",
            "input": str(rising[at, column]),
        }
        yield Finding(kind, direction, cell, case, outcome=subject.run(case), about=about)
    yield None
