"""The law: a statement is made only if it reproduces every output seen, right ones included, and tells it from right.

Of what fits, the plainest is stated, with the names of the others. What explains some cells is stated of those.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from vggprep import oracle
from vggprep.cases import dtype_of, from_format, to_format
from vggprep.explanation.candidates import candidates, clipped, quantised
from vggprep.explanation.measure import (
    AS_IT_IS,
    GEOMETRIES,
    READ,
    Geometry,
    affine_maps,
    in_places,
    nearly,
    of_no_numbers,
    offsets_along_an_axis,
)
from vggprep.explanation.statements import Array, Float64, Seen, Statement, same, unit_roundoff
from vggprep.implementations.callables import Outcome
from vggprep.spec import Direction, ModeName


def reproduces(statement: Statement, evidence: Iterable[Seen]) -> bool:
    """Whether a statement predicts every output in the evidence.

    What is computed in float64 to predict it does not overflow where the function does: the regime of huge numbers
    is for modes and faults alone.
    """
    for seen in evidence:
        if seen.outcome.output is None or (seen.case.regime == "huge" and statement.kind in _COMPUTED):
            continue
        if not seen.outcome.output.size:
            continue  # an empty image has no mean
        predicted = statement.predict(seen)
        if statement.kind == "measured" and predicted is not None and not seen.tells and np.isnan(predicted).all():
            continue  # a single colour has no deviation to divide by: what rounding leaves of it decides
        bounds = {"size": statement.size, "within": statement.within}
        if predicted is None or not same(seen.outcome.output, predicted, single=statement.single, **bounds):
            return False
    return True


_COMPUTED = ("family", "steps", "measured")


def explain(
    evidence: Sequence[Seen],
    direction: Direction,
    mode: ModeName,
    likely: Sequence[Statement] = (),
    *,
    thorough: bool = True,
    admit: Callable[[Statement], bool] = lambda statement: True,
) -> Statement | None:
    """What a function does that was asked for ``mode``, if anything fits all that was seen of it.

    ``likely``: statements to try first, which other evidence bears out; without ``thorough``, no others. ``admit``:
    whether what is known besides the evidence allows a statement. The evidence is of one direction. Nothing is said
    where no image that tells causes apart came out wrong.
    """
    shown = [seen for seen in evidence if seen.outcome.output is not None]
    shown.sort(key=lambda seen: not seen.tells)
    telling = [seen for seen in shown if seen.tells]
    right = [each for each in candidates(direction, mode) if each.kind == "rounding"]
    if not shown or any(reproduces(each, telling or shown) for each in right):
        return None
    in_single = is_wide(shown) and any(reproduces(replace(each, single=True), shown) for each in right)
    for statement in likely:
        if not (in_single and statement.single and statement.kind != "rounding") and reproduces(statement, shown):
            return statement
    if not thorough or not telling:
        return None
    # What is wrong first: there, most of what is known does something else.
    wrong_first = sorted(shown, key=lambda seen: any(reproduces(replace(e, single=True), [seen]) for e in right))
    found = known(wrong_first, direction, mode, admit) or measured(shown, direction, mode)
    return None if found is None else plainer(found, shown, direction, mode)


def plainer(statement: Statement, shown: Sequence[Seen], direction: Direction, mode: ModeName) -> Statement:
    """The statement, or that all is one number, where that says as much as two steps in a row would."""
    if statement.kind != "steps":
        return statement
    first = next(affine_maps(shown, direction, mode, (AS_IT_IS,)), statement)
    return first if first.name == "constant" and reproduces(first, shown) else statement


def known(
    shown: Sequence[Seen],
    direction: Direction,
    mode: ModeName,
    admit: Callable[[Statement], bool] = lambda statement: True,
) -> Statement | None:
    """Of what has a name, the first that fits all that was seen."""
    wide = is_wide(shown)
    loose = [each for each in _to_precision(direction, mode, wide) if reproduces(each, shown)]
    for fits in (_strict(loose, shown), loose) if wide else (loose,):
        for each in fits:
            if each.single and each.kind == "rounding":
                return _only_to("float32", each)
        if admitted := [each for each in fits if each.kind != "rounding" and admit(each)]:
            return _chosen(admitted, shown)
    return None


def _only_to(dtype: str, statement: Statement) -> Statement:
    return replace(statement, text=f"{statement.text.rstrip('.')}, but only to the precision of {dtype}")


def roughly(statement: Statement, shown: Iterable[Seen]) -> Statement | None:
    """The statement of images of few bits, where outputs of more miss it by what steps in so few bits may lose."""
    worst, dtype = 0.0, ""
    for seen in shown:
        output, predicted, dtype = seen.outcome.output, statement.predict(seen), seen.case.dtype
        if output is None or not output.size or seen.case.regime == "huge":
            continue
        few = unit_roundoff(dtype_of(dtype))
        if predicted is None or predicted.shape != output.shape or few <= unit_roundoff(output.dtype):
            return None
        y, z = oracle.as_float64(output), oracle.as_float64(predicted)
        finite = np.isfinite(y)
        off = float(np.abs(y[finite] - z[finite]).max(initial=0.0))
        if (finite != np.isfinite(z)).any() or not off <= 4 * few * np.abs(y[finite]).max(initial=0.0):
            return None
        worst = max(worst, off)
    return replace(_only_to(dtype, statement), within=1.25 * worst) if worst else None


@functools.cache
def _to_precision(direction: Direction, mode: ModeName, single: bool) -> tuple[Statement, ...]:
    return tuple(replace(each, single=single) for each in candidates(direction, mode))


def fitting(statements: Iterable[Statement], shown: Sequence[Seen]) -> list[Statement]:
    """Those that fit all that was seen; only to the precision of float32, where they are ``single``, if none does."""
    loose = [each for each in statements if reproduces(each, shown)]
    return _strict(loose, shown) or loose


def _strict(loose: Iterable[Statement], shown: Sequence[Seen]) -> list[Statement]:
    """Of statements that fit to the precision of float32, those that fit to that of the outputs."""
    return [e for e in (replace(e, single=False) for e in loose) if reproduces(e, shown)]


def measured(shown: Sequence[Seen], direction: Direction, mode: ModeName) -> Statement | None:
    """What is measured of that which has no name, if an image tells."""
    telling = [seen for seen in shown if seen.tells]
    if not telling:
        return None
    for single in (False, True) if is_wide(shown) else (False,):
        measures = (clipped, affine_maps, offsets_along_an_axis, quantised, in_places, of_no_numbers)
        for statement in chain.from_iterable(measure(shown, direction, mode) for measure in measures):
            if reproduces(found := replace(statement, single=single), shown):
                return found
    if (other := _moved(shown, direction, mode) or _nowhere_finite(telling)) is not None:
        return other
    read = affine_maps(shown, direction, mode, READ)
    return next((e for e in read if reproduces(e, shown)), None) or nearly(telling, direction, mode)


LOWEST: dict[Direction, float] = {"forward": 0.0, "inverse": -255.0}
"""From which values up to 255 an array is a usual one."""


def usual(shown: Iterable[Seen], direction: Direction) -> list[Seen]:
    """Of what was seen, what has usual values alone."""
    return [seen for seen in shown if _usual(seen.x, direction).all()]


def _usual(x: Float64, direction: Direction) -> Array:
    found: Array = (x >= LOWEST[direction]) & (x <= 255)
    return found


def contradicted(statement: Statement, shown: Iterable[Seen], direction: Direction) -> bool:
    """Whether usual pixels come out otherwise in an array that has others, too, which they do not depend on."""
    for seen in shown:
        x, y, predicted = seen.x, seen.y, statement.predict(seen)
        inside = _usual(x, direction).all(axis=-1)
        if y is None or predicted is None or predicted.shape != seen.array.shape or inside.all() or not inside.any():
            continue
        values = seen.case.values()
        values[~inside] = values[inside][0]
        plain = replace(seen.case, layout="c", regime="drawn", shape=values.shape, pixels=values.tobytes())
        alone = statement.predict(seen._replace(case=plain))
        here = from_format(predicted, seen.case.data_format)[inside]
        if alone is None or not same(from_format(alone, plain.data_format)[inside], here, single=True):
            continue
        bounds = {"size": statement.size, "within": statement.within}
        output = from_format(np.asarray(seen.outcome.output), seen.case.data_format)[inside]
        if not same(output, here, single=statement.single, **bounds):
            return True
    return False


def is_wide(shown: Sequence[Seen]) -> bool:
    """Whether an output has more bits than float32: what is in it may have been computed with fewer."""
    return any(seen.outcome.output is not None and seen.outcome.output.dtype == np.float64 for seen in shown)


def closest(fitting: Sequence[Statement], shown: Sequence[Seen]) -> list[Statement]:
    """Of statements that fit, those that fit best, in their order: in few bits, much fits.

    Faults that return the outputs' dtypes, if the first of these does not, say what it leaves open.
    """
    misfits = [_misfit(statement, shown) for statement in fitting]
    best = min(misfits, default=0.0)
    near = [each for each, misfit in zip(fitting, misfits, strict=True) if misfit <= 2.0 * best + 1.0]
    own = [each for each in near if each.kind == "fault" and _has_dtypes(each, shown)]
    return own if any(not _has_dtypes(each, shown) for each in near[:1]) and own else near


def _has_dtypes(statement: Statement, shown: Sequence[Seen]) -> bool:
    """Whether what is predicted has the dtypes of the outputs."""
    found = ((seen.outcome.output, statement.predict(seen)) for seen in shown)
    return all(y is None or z is None or y.dtype == z.dtype for y, z in found)


def _misfit(statement: Statement, shown: Sequence[Seen]) -> float:
    """The largest root mean square difference of an output, in unit roundoffs of its largest value."""
    worst = 0.0
    for seen in shown:
        output, predicted = seen.outcome.output, statement.predict(seen)
        if output is None or predicted is None or output.dtype.kind in "iub" or not output.size:
            continue
        y, expected = oracle.as_float64(output), oracle.as_float64(predicted)
        finite = np.isfinite(y) & np.isfinite(expected)
        largest = unit_roundoff(output.dtype) * np.abs(y[finite]).max(initial=0.0)
        if largest > 0:
            worst = max(worst, float(np.sqrt(np.mean((y[finite] - expected[finite]) ** 2))) / largest)
    return worst


def _chosen(fitting: Sequence[Statement], shown: Sequence[Seen]) -> Statement:
    """The first of the best, and what else fits."""
    first = closest(fitting, shown)[0]
    others = [
        e
        for e in fitting
        if e.name != first.name and (e.kind != "fault" or _has_dtypes(e, shown) >= _has_dtypes(first, shown))
    ]
    return replace(first, also=tuple(dict.fromkeys(e.text if e.kind == "steps" else e.name for e in others)))


def _nowhere_finite(telling: Sequence[Seen]) -> Statement | None:
    outputs = [oracle.as_float64(seen.outcome.output) for seen in telling if seen.outcome.output is not None]
    if any(np.isfinite(output).any() for output in outputs):
        return None
    return Statement(
        "measured", "nonfinite", "returns nothing but infinities and NaN", lambda seen: seen.outcome.output
    )


def _moved(shown: Sequence[Seen], direction: Direction, mode: ModeName) -> Statement | None:
    """A statement about pixels in another place, whose numbers are then explained.

    Where the first image that tells comes out right, nothing has moved.
    """
    known = candidates(direction, mode)
    plain = [each for each in known if each.kind in ("rounding", "mode", "family")]
    telling = [seen for seen in shown if seen.tells]
    telling = [s for s in telling if s.y is None] or telling
    if any(reproduces(replace(each, single=True), telling) for each in plain if each.kind == "rounding"):
        return None
    predicted: dict[object, tuple[Array | None, float, float]] = {}

    def fits_one(statement: Statement, first: Seen, low: float, high: float) -> bool:
        output = first.outcome.output
        if output is None or output.dtype.kind in "iub":
            return True
        if statement.predict not in predicted:
            found = statement.predict(first)
            predicted[statement.predict] = found, *((0.0, 0.0) if found is None else _extremes(found))
        one, lowest, highest = predicted[statement.predict]
        # The values are the same wherever they are.
        near = 1e-2 * max(abs(low), abs(high)) + statement.size
        if one is None or abs(lowest - low) > near or abs(highest - high) > near:
            return False
        return same(output, one, single=statement.single, size=statement.size)

    single = _to_precision(direction, mode, True) if is_wide(shown) else ()
    undone = [(geometry, [_undone(geometry, seen) for seen in shown]) for geometry in GEOMETRIES]
    moved = [(geometry, [s for s in seen if s is not None]) for geometry, seen in undone if all(seen)]
    moved = [(geometry, back) for geometry, back in moved if any(map(_differ, back, shown))]
    for numbers in (plain, known, single):
        for geometry, back in moved:
            extremes = _extremes(np.asarray(back[0].outcome.output))
            found = next((e for e in numbers if fits_one(e, back[0], *extremes) and reproduces(e, back)), None)
            if found is not None and numbers is single:
                found = _only_to("float32", found)
            if found is None and numbers is (single or known):
                maps = affine_maps(back, direction, mode, (AS_IT_IS,))
                found = next((each for each in maps if reproduces(each, back)), None)
            if found is not None:
                return _at_another_place(geometry, found)
    return None


def _extremes(array: Array) -> tuple[float, float]:
    """The smallest and the largest finite value, as far as there are any."""
    values = oracle.as_float64(array)
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _undone(geometry: Geometry, seen: Seen) -> Seen | None:
    output, case = seen.outcome.output, seen.case
    assert output is not None
    if output.ndim == len(case.shape) and output.ndim in (3, 4):
        output = from_format(output, case.data_format)
    found = geometry.undo(output, case.shape)
    if found is None:
        return None
    return Seen(case, Outcome(np.ascontiguousarray(to_format(found, case.data_format))))


def _differ(one: Seen, other: Seen) -> bool:
    a, b = np.asarray(one.outcome.output), np.asarray(other.outcome.output)
    return a.shape != b.shape or not np.array_equal(a, b, equal_nan=a.dtype.kind not in "iub")


def _at_another_place(geometry: Geometry, numbers: Statement) -> Statement:
    def predict(seen: Seen) -> Array | None:
        found, output = numbers.predict(seen), seen.outcome.output
        if found is None or output is None:
            return None
        last, output = (from_format(z, seen.case.data_format) if z.ndim == found.ndim else z for z in (found, output))
        try:
            moved = geometry.like(last, output) if geometry.like else geometry.redo(last)
        except ValueError:
            return None
        return to_format(moved, seen.case.data_format) if moved.ndim == found.ndim else moved

    text = f"{geometry.words}; apart from that, it {numbers.text}"
    return Statement(
        "measured",
        f"{geometry.words}/{numbers.name}",
        text,
        predict,
        mode=numbers.mode,
        single=numbers.single,
        also=numbers.also,
    )
