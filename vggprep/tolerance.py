"""How far an output is from the definition, and whether that is too far: the levels ``exact`` and ``faithful``.

Errors are counted in ``u·S``, with ``u`` the unit roundoff of the output dtype and ``S`` the sum of the magnitudes
combined (``oracle.real``), and reported in grey levels, one being a step of an 8-bit pixel. Arrays are channels last.
Imports the oracle, the spec and NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.oracle import FORMATS, Array, Float64
from vggprep.spec import MODES, Direction, ModeName

Bools = npt.NDArray[np.bool_]

FAITHFUL_BOUND = 8
"""Largest error of a faithful result, in units of ``u·S``."""

AGREEMENT_BOUND = 16
"""Largest difference of two faithful results that should agree: one bound for each."""

PIXEL_LIKE = 1024.0
"""The largest magnitude of pixels whose errors are reported in grey levels first: rounding errors grow with them."""

_MANY = 4096
"""Elements from which comparing the bytes first is worth it."""


def limit(*dtypes: str) -> float:
    """The largest magnitude that the faithful bound applies to; beyond it results may overflow."""
    return 2.0**14 if "float16" in dtypes else 2.0**100


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
        return not self.wrong.any()


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
    if got.size > _MANY and np.ascontiguousarray(got).tobytes() == expected.astype(got.dtype).tobytes():
        return Comparison(np.zeros(got.shape, np.bool_), 0.0, 0.0, expected)
    wrong = ~same_values(expected, oracle.as_float64(got), signed_zero=got.dtype.kind == "f")
    copies = _copies(direction, mode)
    if not wrong.any() and not copies:
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
    return direction == "forward" and not MODES[mode].steps


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
    if got.dtype == x.dtype and x.dtype.kind in "iu":
        wrong = got != x  # float64 would blur 64-bit integers
    with np.errstate(all="ignore"):
        levels = _worst(np.abs(result - target), shown(target, wrong)[0] & wrong)
    return wrong, math.inf if wrong.any() else 0.0, levels


def _pixel_errors(x: Array, got: Array, direction: Direction, mode: ModeName) -> tuple[Bools, float, float]:
    result, (target, scale) = oracle.as_float64(got), oracle.real(x, direction, mode)
    u = FORMATS[oracle.computed_dtype(oracle.name_of(x.dtype), mode, direction)].unit_roundoff
    slack = FAITHFUL_BOUND * u * np.where(np.isfinite(scale), scale, 0.0)
    lowest, highest = np.clip(target - slack, 0.0, 255.0) - 0.5, np.clip(target + slack, 0.0, 255.0) + 0.5
    wrong = ~((lowest <= result) & (result <= highest))
    chosen = shown(target, wrong)[0] if wrong.any() else np.isfinite(target)
    return wrong, 0.0, _worst(np.abs(result - oracle.pixels(target)), chosen)


def _float_errors(
    x: Array, got: Array, direction: Direction, mode: ModeName, dtype: str, bits: Bools | None
) -> tuple[Bools, float, float]:
    result, (target, scale) = oracle.as_float64(got), oracle.real(x, direction, mode)
    values = oracle.as_float64(x)[..., oracle.input_channels(direction, mode)]
    dtype = dtype if dtype in FORMATS else "float64"  # an integer dtype is wrong for other reasons
    bounded = limit(oracle.name_of(x.dtype), dtype)
    with np.errstate(all="ignore"):
        judged = (np.abs(values) <= bounded) & (np.abs(target) <= bounded)
        difference = np.abs(result - target)
        unit = FORMATS[dtype].unit_roundoff * scale
        units = np.divide(difference, unit, out=np.where(difference == 0, 0.0, np.inf), where=scale > 0)
    if dtype == "float64":
        _sharpen(units, judged, x, result, direction, mode)
    wrong = unfaithful(values, result, target, judged, units)
    chosen, telling = shown(values if direction == "forward" else target, wrong if bits is None else bits)
    levels = difference * oracle.grey_levels(mode) if direction == "forward" else difference
    return wrong, _worst(units, judged), _worst(levels, chosen if telling else chosen & judged)


def shown(pixels: Float64, wrong: Bools | None) -> tuple[Bools, int]:
    """Whose errors are reported in grey levels, and how telling these are.

    Of what is wrong and of the size of a pixel (2); else of what is wrong (1); else of what could be a pixel (0).
    """
    usual = np.abs(pixels) <= PIXEL_LIKE
    if wrong is None or not wrong.any():
        return usual, 0
    return (wrong & usual, 2) if (wrong & usual).any() else (wrong, 1)


def unfaithful(values: Float64, result: Float64, target: Float64, judged: Bools, units: Float64) -> Bools:
    """Which results break the bound, or, where it does not apply (not ``judged``), what must hold beyond it."""
    wrong: Bools = judged & ~(units <= FAITHFUL_BOUND)
    # Beyond the bound: NaN stays NaN and nothing else becomes NaN; infinities have the right sign.
    wrong |= ~judged & (np.isnan(result) != np.isnan(target))
    wrong |= np.isinf(values) & ~np.isnan(target) & (result != values)
    wrong |= ~judged & np.isinf(result) & (np.sign(result) != np.sign(target))
    return wrong


def _worst(errors: Float64, where: Bools) -> float:
    chosen = errors[where]
    if not chosen.size:
        return 0.0
    return math.inf if np.isnan(chosen).any() else float(chosen.max())


def _sharpen(units: Float64, judged: Bools, x: Array, result: Float64, direction: Direction, mode: ModeName) -> None:
    """Recompute with rationals what float64 cannot tell from the bound."""
    doubtful = judged & (units > FAITHFUL_BOUND / 2) & (units < FAITHFUL_BOUND * 2)
    by_output = {route.target: route for route in oracle.routes(direction, mode)}
    for index in zip(*np.nonzero(doubtful), strict=True):
        route = by_output[int(index[-1])]
        value = x[(*index[:-1], route.source)].item()
        error = oracle.one_error(value, float(result[index]), direction, mode, route.preprocessed, "float64")
        units[index] = float(error)
