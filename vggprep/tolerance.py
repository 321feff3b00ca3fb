"""How far an output is from the definition, and whether that is too far: the levels ``exact`` and ``faithful``.

Errors are counted in ``u·S``, with ``u`` the unit roundoff of the output dtype and ``S`` the sum of the magnitudes
combined (``oracle.real``), and reported in grey levels, one being a step of an 8-bit pixel. Arrays are channels last.

Why ``8·u·S``. ``S`` is the formula with the magnitudes of the input and of all constants and with every subtraction
made an addition. A rounding is off by at most ``u`` times its result, which is at most the ``S`` of the steps so far;
the steps that follow carry that to at most ``u·S`` at the end, whatever their signs. A constant that is rounded to the
dtype does no more: a mean as a summand, a scale as a factor, to first order. So ``n`` roundings give at most ``n·u·S``,
and to be exact ``n·u/(1 - n·u)·S`` (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, lemma 3.1).
A function that carries out ``k`` steps has ``2·k`` of them, each constant and each result, and one more for the input
that is cast: ``2·k + 1``. One more is granted, for a cast of the output, for a reciprocal, and for what is of
second order: ``2·k + 2``. That is 8 for three steps, the most that Keras's modes have, and fewer steps get 8 as well,
so that one bound serves nearly all; the constants that are exact (255, 1) and the bytes that need no cast leave room
there for reciprocals in place of both divisions, for a folded scale and offset, and for the like. For more than three
steps the bound is ``2·k + 2``: ``bound``.

Below the normal numbers a rounding is off by at most ``u`` times the smallest of them, not ``u`` times its result:
that, carried through the scales that follow, is the least that ``S`` counts for. A scale below the normal numbers has
itself so much less precision: ``S`` counts for more by that factor. ``oracle.coarseness`` has both; they matter to
modes that do nothing but scale, and to float16. Where a step before the last may overflow (``reach``), the bound
does not apply. The tests draw modes and compare with rationals.

Imports the oracle, the spec and NumPy.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.oracle import FORMATS, Array, Float64
from vggprep.spec import Direction, ModeName, definition

Bools = npt.NDArray[np.bool_]

FAITHFUL_BOUND = 8
"""Largest error of a faithful result in a mode of up to three steps, in units of ``u·S``: see the head."""


def bound(mode: ModeName) -> int:
    """Largest error of a faithful result, in units of ``u·S``: two roundings for each step, and two more; at least 8.

    >>> bound("torch")
    8
    """
    return max(FAITHFUL_BOUND, 2 * len(definition(mode).steps) + 2)


def agreement(mode: ModeName) -> int:
    """Largest difference of two faithful results that should agree: one bound for each."""
    return 2 * bound(mode)


PIXEL_LIKE = 1024.0
"""The largest magnitude of pixels whose errors are reported in grey levels first: rounding errors grow with them."""

_MANY = 4096
"""Elements from which comparing the bytes first is worth it."""


def limit(*dtypes: str) -> float:
    """The largest magnitude that the faithful bound applies to; beyond it results may overflow."""
    return 2.0**14 if "float16" in dtypes else 2.0**100


class Range(NamedTuple):
    """What a format's range does to the bound, for each output channel: ``S`` in it, and the inputs that it is for."""

    factor: Float64
    least: Float64
    reach: Float64


@functools.cache
def narrowness(direction: Direction, mode: ModeName, dtype: str) -> Range | None:
    """The range of ``dtype`` in a mode; ``None`` where it is wide enough: in Keras's modes."""
    rows = []
    for channel, _, target in oracle.routes(direction, mode):
        factor, least = oracle.coarseness(direction, mode, channel, dtype)
        reach, scale, offset = math.inf, 1.0, 0.0
        for operation, constant in oracle.operations(direction, mode, channel)[:-1]:
            size = abs(float(constant))
            if operation in ("add", "subtract"):
                offset += size
            else:
                size = size if operation == "multiply" else 1 / size
                scale, offset = scale * size, offset * size
            reach = min(reach, (2 * limit(dtype) - offset) / scale)
        rows.append((target, math.inf if factor is None else float(factor), float(least), reach))
    columns = [np.array(column, np.float64) for column in zip(*(row[1:] for row in sorted(rows)), strict=True)]
    found = Range(*columns)
    wide = (found.factor == 1).all() and not found.least.any() and (found.reach >= limit(dtype)).all()
    return None if wide else found


def scaled(scale: Float64, direction: Direction, mode: ModeName, dtype: str, target: int | None = None) -> Float64:
    """``S`` as it counts in ``dtype``; ``target``: the output channel, if ``scale`` is not all three, channels last."""
    found = narrowness(direction, mode, dtype)
    if found is None:
        return scale
    factor, least = (found.factor, found.least) if target is None else (found.factor[target], found.least[target])
    with np.errstate(all="ignore"):
        result: Float64 = np.where(np.isinf(factor), np.inf, np.maximum(scale * factor, least))
    return result


def within_reach(
    values: Float64, direction: Direction, mode: ModeName, dtype: str, target: int | None = None
) -> Bools | None:
    """Where no step before the last can overflow, or ``None`` for everywhere. ``values``: for each output its input."""
    found = narrowness(direction, mode, dtype)
    if found is None:
        return None
    inside: Bools = np.abs(values) <= (found.reach if target is None else found.reach[target])
    return inside


@dataclass(frozen=True)
class Comparison:
    """How an output compares with the definition.

    ``wrong`` marks the wrong elements, ``units`` is the largest error in ``u·S`` among the elements that the bound
    applies to, ``levels`` the largest in grey levels of those ``shown``, ``expected`` is the right output.
    """

    wrong: Bools
    units: float
    levels: float
    expected: Float64

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not np.count_nonzero(self.wrong)


def is_floating(x: Array) -> bool:
    """Whether the numbers are floats, those of ml_dtypes included."""
    return x.dtype.kind == "f" or oracle.name_of(x.dtype) in FORMATS


def distance(floats: Array, integers: Array) -> Float64:
    """How far floats are from integers of 64 bits, which a difference in float64 would blur; 0 where they are equal."""
    values, most = oracle.as_float64(floats), np.iinfo(integers.dtype).max
    difference = np.abs(values - oracle.as_float64(integers))
    near, top = difference == 0, values == float(most)  # that float is one more than the largest integer: no cast
    back = np.where(near & ~top, values, 0).astype(integers.dtype)
    exact = (np.maximum(back, integers) - np.minimum(back, integers)).astype(np.float64)
    return np.where(near, np.where(top, (most - integers).astype(np.float64) + 1.0, exact), difference)


def same_values(a: Float64, b: Float64, signed_zero: bool) -> Bools:
    """Where two arrays hold the same numbers, all NaNs being equal."""
    same: Bools = (a == b) | (np.isnan(a) & np.isnan(b))
    if signed_zero:
        same &= (np.signbit(a) == np.signbit(b)) | np.isnan(a)
    return same


def compare_exact(x: Array, got: Array, direction: Direction, mode: ModeName) -> Comparison:
    """Compare ``got`` with the bits of Keras's operation order. Both of shape ``(..., 3)``.

    Where the bits are right, the error is reported as 0: the remaining distance is inherent in the definition.
    """
    expected = oracle.exact(x, direction, mode)
    if _is_pixels(got, direction):
        expected = oracle.pixels(expected)
    copies = _copies(direction, mode)
    # In the dtype that was computed in, the cast loses nothing.
    own = (
        got.dtype.kind == "f"
        and not copies
        and oracle.computed_dtype(oracle.name_of(x.dtype), mode, direction) == oracle.name_of(got.dtype)
    )
    if (own or got.size > _MANY) and got.tobytes() == expected.astype(got.dtype).tobytes():
        return Comparison(np.zeros(got.shape, np.bool_), 0.0, 0.0, expected)
    wrong = ~same_values(expected, oracle.as_float64(got), signed_zero=is_floating(got))
    if not copies and not np.count_nonzero(wrong):
        return Comparison(wrong, 0.0, 0.0, expected)
    unfaithful, units, levels = _errors(x, got, direction, mode, None, wrong)
    return Comparison(wrong | unfaithful if copies else wrong, units, levels, expected)


def compare_faithful(
    x: Array, got: Array, direction: Direction, mode: ModeName, dtype: str | None = None
) -> Comparison:
    """Compare ``got`` with the real-valued formula, within ``8·u·S`` of the dtype of ``got``.

    ``dtype`` says which format the numbers in ``got`` came in, if they were put into a wider one.

    An inverse that returns integers is judged as pixels: within half a grey level of the clipped real value,
    plus the bound for the dtype it computed in (that of ``x``).
    """
    expected, _ = oracle.real(x, direction, mode)
    if _is_pixels(got, direction):
        expected = oracle.pixels(expected)
    return Comparison(*_errors(x, got, direction, mode, dtype), expected)


def _is_pixels(got: Array, direction: Direction) -> bool:
    return direction == "inverse" and got.dtype.kind in "iub"


def _copies(direction: Direction, mode: ModeName) -> bool:
    """Whether the output must equal the input, integers beyond float64 included."""
    return direction == "forward" and not definition(mode).steps


def _errors(
    x: Array, got: Array, direction: Direction, mode: ModeName, dtype: str | None, bits: Bools | None = None
) -> tuple[Bools, float, float]:
    """What is wrong at ``faithful``, and the largest errors in ``u·S`` and in grey levels; ``bits``: what is wrong."""
    if _copies(direction, mode):
        return _copy_errors(x, got, direction, mode)
    if _is_pixels(got, direction):
        return _pixel_errors(x, got, direction, mode)
    return _float_errors(x, got, direction, mode, dtype or oracle.name_of(got.dtype), bits)


def _copy_errors(x: Array, got: Array, direction: Direction, mode: ModeName) -> tuple[Bools, float, float]:
    result, (target, _) = oracle.as_float64(got), oracle.real(x, direction, mode)
    wrong = ~same_values(target, result, signed_zero=False)
    with np.errstate(all="ignore"):
        off = np.abs(result - target)
        if x.dtype.kind in "iu" and x.dtype.itemsize == 8:  # float64 would blur them
            right = oracle.by_output(x, direction, mode)
            if is_floating(got):
                off = distance(got, right)
            wrong = off != 0 if is_floating(got) else got != right
        levels = _worst(off, shown(target, wrong)[0] & wrong)
    return wrong, math.inf if wrong.any() else 0.0, levels


def _pixel_errors(x: Array, got: Array, direction: Direction, mode: ModeName) -> tuple[Bools, float, float]:
    result, (target, scale) = oracle.as_float64(got), oracle.real(x, direction, mode)
    dtype = oracle.computed_dtype(oracle.name_of(x.dtype), mode, direction)
    slack = pixel_slack(scale, direction, mode, dtype)
    lowest, highest = np.clip(target - slack, 0.0, 255.0) - 0.5, np.clip(target + slack, 0.0, 255.0) + 0.5
    wrong = ~((lowest <= result) & (result <= highest))
    chosen = shown(target, wrong)[0] if wrong.any() else np.isfinite(target)
    return wrong, 0.0, _worst(np.abs(result - oracle.pixels(target)), chosen)


def pixel_slack(scale: Float64, direction: Direction, mode: ModeName, dtype: str, target: int | None = None) -> Float64:
    """How far from half a grey level pixels may be that were computed in ``dtype``; none where ``S`` is not finite."""
    slack: Float64 = bound(mode) * FORMATS[dtype].unit_roundoff * np.where(np.isfinite(scale), scale, 0.0)
    return scaled(slack, direction, mode, dtype, target)


def _float_errors(
    x: Array, got: Array, direction: Direction, mode: ModeName, dtype: str, bits: Bools | None
) -> tuple[Bools, float, float]:
    result, (target, scale) = oracle.as_float64(got), oracle.real(x, direction, mode)
    values = oracle.as_float64(oracle.by_output(x, direction, mode))
    dtype = dtype if dtype in FORMATS else "float64"  # an integer dtype is wrong for other reasons
    bounded = limit(oracle.name_of(x.dtype), dtype)
    with np.errstate(all="ignore"):
        judged = (np.abs(values) <= bounded) & (np.abs(target) <= bounded)
        if (reached := within_reach(values, direction, mode, dtype)) is not None:
            judged &= reached
        difference = np.abs(result - target)
        scale = scaled(scale, direction, mode, dtype)
        some = scale > 0
        if np.count_nonzero(some) == some.size:
            units = difference / scale
        else:
            units = np.divide(difference, scale, out=np.where(difference == 0, 0.0, np.inf), where=some)
        units /= FORMATS[dtype].unit_roundoff
    if dtype == "float64":
        _sharpen(units, judged, x, result, direction, mode)
    wrong = unfaithful(values, result, target, judged, units, bound(mode))
    chosen, telling = shown(values if direction == "forward" else target, wrong if bits is None else bits)
    levels = difference * oracle.grey_levels(mode) if direction == "forward" else difference
    return wrong, _worst(units, judged), _worst(levels, chosen if telling else chosen & judged)


def shown(pixels: Float64, wrong: Bools | None) -> tuple[Bools, int]:
    """Whose errors are reported in grey levels, and how telling these are.

    Of what is wrong and of the size of a pixel (2); else of what is wrong (1); else of what could be a pixel (0).
    """
    usual = np.abs(pixels) <= PIXEL_LIKE
    if wrong is None or not np.count_nonzero(wrong):
        return usual, 0
    both = wrong & usual
    return (both, 2) if np.count_nonzero(both) else (wrong, 1)


def unfaithful(values: Float64, result: Float64, target: Float64, judged: Bools, units: Float64, most: int) -> Bools:
    """Which results are off by more than ``most``, or, where no bound applies (not ``judged``), wrong beyond it."""
    wrong: Bools = judged & ~(units <= most)
    if np.count_nonzero(judged) == judged.size:
        return wrong
    # Beyond the bound: NaN stays NaN and nothing else becomes NaN; infinities have the right sign.
    wrong |= ~judged & (np.isnan(result) != np.isnan(target))
    wrong |= np.isinf(values) & ~np.isnan(target) & (result != target)
    wrong |= ~judged & np.isinf(result) & (np.sign(result) != np.sign(target))
    return wrong


def _worst(errors: Float64, where: Bools) -> float:
    chosen = errors if np.count_nonzero(where) == where.size else errors[where]
    if not chosen.size:
        return 0.0
    most = float(chosen.max())  # NaN, if there is one
    return math.inf if math.isnan(most) else most


def _sharpen(units: Float64, judged: Bools, x: Array, result: Float64, direction: Direction, mode: ModeName) -> None:
    """Recompute with rationals what float64 cannot tell from the bound."""
    doubtful = judged & (units > bound(mode) / 2) & (units < bound(mode) * 2)
    by_output = {route.target: route for route in oracle.routes(direction, mode)}
    for index in zip(*np.nonzero(doubtful), strict=True):
        route = by_output[int(index[-1])]
        value = x[(*index[:-1], route.source)].item()
        error = oracle.one_error(value, float(result[index]), direction, mode, route.preprocessed, "float64")
        units[index] = float(error)
