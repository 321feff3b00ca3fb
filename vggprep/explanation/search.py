"""The law: a statement is made only if it reproduces every output seen, right ones included, and tells it from right.

Of what fits, the plainest is stated, with the names of the others. What explains some cells is stated of those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from vggprep.cases import from_format, to_format
from vggprep.explanation.candidates import candidates
from vggprep.explanation.measure import GEOMETRIES, Geometry, affine_maps
from vggprep.explanation.statements import Array, Seen, Statement, same
from vggprep.implementations.callables import Outcome
from vggprep.spec import Direction, ModeName


def reproduces(statement: Statement, evidence: Iterable[Seen], *, single: bool = False) -> bool:
    """Whether a statement predicts every output in the evidence."""
    for seen in evidence:
        if seen.outcome.output is None:
            continue
        predicted = statement.predict(seen)
        if predicted is None or not same(seen.outcome.output, predicted, single=single):
            return False
    return True


def explain(
    evidence: Sequence[Seen], direction: Direction, mode: ModeName, likely: Sequence[Statement] = ()
) -> Statement | None:
    """What a function does that was asked for ``mode``, if anything fits all that was seen of it.

    ``likely``: statements to try first, which fitted before. The evidence is of one direction; it must be wrong
    somewhere, in an image that tells causes apart.
    """
    shown = [seen for seen in evidence if seen.outcome.output is not None]
    shown.sort(key=lambda seen: not seen.tells)
    if not shown or not shown[0].tells:
        return None
    for statement in likely:
        if reproduces(statement, shown):
            return statement
    wide = any(seen.outcome.output is not None and seen.outcome.output.dtype == np.float64 for seen in shown)
    for single in (False, True) if wide else (False,):
        fitting = [each for each in candidates(direction, mode) if reproduces(each, shown, single=single)]
        if fitting:
            return _chosen(fitting)
        for statement in affine_maps(shown, direction, mode):
            if reproduces(statement, shown, single=single):
                return statement
    return _moved(shown, direction, mode)


def _chosen(fitting: Sequence[Statement]) -> Statement:
    """The first, with what else fits; nothing at all, if it is right but for rounding."""
    first, *others = fitting
    return dataclasses.replace(first, also=tuple(dict.fromkeys(o.name for o in others if o.name != first.name)))


def _moved(shown: Sequence[Seen], direction: Direction, mode: ModeName) -> Statement | None:
    """A statement about pixels in another place, whose numbers are then explained."""
    for geometry in GEOMETRIES:
        undone = [_undone(geometry, seen) for seen in shown]
        back = [seen for seen in undone if seen is not None]
        if len(back) < len(undone):
            continue
        numbers = next((c for c in candidates(direction, mode) if reproduces(c, back)), None)
        if numbers is None:
            numbers = next((m for m in affine_maps(back, direction, mode) if reproduces(m, back)), None)
        if numbers is not None:
            return _at_another_place(geometry, numbers)
    return None


def _undone(geometry: Geometry, seen: Seen) -> Seen | None:
    output, case = seen.outcome.output, seen.case
    assert output is not None
    if output.ndim == len(case.shape) and output.ndim in (3, 4):
        output = from_format(output, case.data_format)
    found = geometry.undo(output, case.shape)
    if found is None:
        return None
    return Seen(case, Outcome(np.ascontiguousarray(to_format(found, case.data_format))))


def _at_another_place(geometry: Geometry, numbers: Statement) -> Statement:
    def predict(seen: Seen) -> Array | None:
        found = numbers.predict(seen)
        if found is None:
            return None
        moved = geometry.redo(from_format(found, seen.case.data_format))
        return to_format(moved, seen.case.data_format) if moved.ndim == found.ndim else moved

    text = f"{geometry.words}; apart from that, it {numbers.text}"
    return Statement("measured", f"{geometry.words}/{numbers.name}", text, predict, None, numbers.mode, numbers.also)
