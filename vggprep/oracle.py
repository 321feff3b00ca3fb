"""The exact definition: what every mode and its inverse must give. ``tolerance`` says whether a result is near enough.

It owes nothing to NumPy's or Keras's arithmetic in the dtype under test. One number at a time it is rational
arithmetic on the spec's decimal constants with one correct rounding for each operation. Whole arrays of up to 24
bits of precision take a fast way with the same results: each operation in float64, then one rounding to the
format, done here on the bits. Rounding twice is harmless there, because float64 has more than twice the precision
plus two bits (S. A. Figueroa, "When is double rounding innocuous?", 1995); the tests check it against the
rationals. float64 itself is computed with rationals, once for each distinct value.

Numbers of every format travel as float64, which holds them all exactly, so a format needs no NumPy dtype.
Imports the spec and NumPy; never ``reference``, which it judges.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.spec import MODES, Direction, ModeName, definition

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Arithmetic = Literal["divide", "subtract", "multiply", "add"]
_OPPOSITE: dict[Arithmetic, Arithmetic] = {
    "divide": "multiply", "multiply": "divide", "subtract": "add", "add": "subtract"
}  # fmt: skip


class Format(NamedTuple):
    """A binary floating-point format: significant bits (the hidden one included) and exponents."""

    precision: int
    emin: int
    emax: int

    @property
    def unit_roundoff(self) -> float:
        """``u``: the largest relative error of one rounding, ``2**-precision``."""
        return math.ldexp(1.0, -self.precision)


# IEEE 754-2019, table 3.5; bfloat16 is float32 with 8 significant bits.
FORMATS = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
}


class Operation(NamedTuple):
    """One step on one channel, with its decimal constant as a rational number."""

    operation: Arithmetic
    constant: Fraction


@functools.cache
def operations(direction: Direction, mode: ModeName, channel: int) -> tuple[Operation, ...]:
    """The steps for one *preprocessed* channel (0 is blue in caffe), in the order they are carried out."""
    steps = [Operation(step.operation, Fraction(step.constants[channel])) for step in definition(mode).steps]
    if direction == "forward":
        return tuple(steps)
    return tuple(Operation(_OPPOSITE[step.operation], step.constant) for step in reversed(steps))


# One number at a time ---------------------------------------------------------------------------------------------


def round_ratio(numerator: int, denominator: int, fmt: Format, negative: bool = False) -> float:
    """Round ``numerator / denominator`` (the latter positive) to nearest, ties to even.

    ``negative`` gives the sign of an exact zero. Integers only, not even a greatest common divisor.
    """
    sign = -1.0 if numerator < 0 or (numerator == 0 and negative) else 1.0
    magnitude = abs(numerator)
    if magnitude == 0:
        return math.copysign(0.0, sign)
    if fmt.precision == 53:
        try:
            return math.copysign(magnitude / denominator, sign)  # Python divides integers with one correct rounding
        except OverflowError:
            return math.copysign(math.inf, sign)
    # The exponent of the leading bit is this or one less; then that of the last place kept.
    exponent = magnitude.bit_length() - denominator.bit_length()
    if magnitude << max(0, -exponent) < denominator << max(0, exponent):
        exponent -= 1
    last = max(exponent, fmt.emin) - fmt.precision + 1
    denominator <<= max(0, last)
    count, rest = divmod(magnitude << max(0, -last), denominator)
    if 2 * rest > denominator or (2 * rest == denominator and count & 1):
        count += 1
    if count.bit_length() + last > fmt.emax + 1:
        return math.copysign(math.inf, sign)
    return math.copysign(math.ldexp(count, last), sign)


def round_rational(value: Fraction, fmt: Format, negative: bool = False) -> float:
    """``round_ratio`` of a fraction."""
    return round_ratio(value.numerator, value.denominator, fmt, negative)


_OPERATORS: dict[Arithmetic, Callable[[Any, Any], Any]] = {
    "subtract": operator.sub,
    "add": operator.add,
    "divide": operator.truediv,
    "multiply": operator.mul,
}
"""For fractions and for arrays."""


@functools.cache
def _rounded_constants(
    direction: Direction, mode: ModeName, channel: int, dtype: str
) -> tuple[tuple[Arithmetic, float], ...]:
    """Each step's operation with its constant, rounded to ``dtype``."""
    return tuple((step.operation, constant_in(step, dtype)) for step in operations(direction, mode, channel))


def constant_in(step: Operation, dtype: str) -> float:
    """The constant of a step as Keras has it: a Python float, hence rounded to float64 before it is to ``dtype``."""
    return round_rational(Fraction(float(step.constant)), FORMATS[dtype])


def one_exact(value: float | int, direction: Direction, mode: ModeName, channel: int, dtype: str) -> float:
    """One value through the steps in ``dtype``: constants and every result correctly rounded to it."""
    fmt = FORMATS[dtype]
    if isinstance(value, float) and (dtype == "float64" or not math.isfinite(value)):
        rounded = value
    else:
        rounded = round_ratio(*value.as_integer_ratio(), fmt, negative=math.copysign(1.0, value) < 0)
    for operation, constant in _rounded_constants(direction, mode, channel, dtype):
        rounded = _one_step(rounded, operation, constant, fmt)
    return rounded


def _one_step(value: float, operation: Arithmetic, constant: float, fmt: Format) -> float:
    if not (math.isfinite(value) and math.isfinite(constant)) or (operation == "divide" and constant == 0.0):
        with np.errstate(all="ignore"):  # nothing to round: the result is a zero, an infinity or NaN
            return float(_OPERATORS[operation](np.float64(value), np.float64(constant)))
    numerator, denominator = value.as_integer_ratio()
    above, below = constant.as_integer_ratio()
    minus, opposed = math.copysign(1.0, value) < 0, math.copysign(1.0, constant) < 0
    # A zero keeps its sign or takes the constant's; of sums, only that of two zeros of one sign is not +0.
    if operation == "divide":
        sign = -1 if opposed else 1
        return round_ratio(sign * numerator * below, denominator * abs(above), fmt, minus != opposed)
    if operation == "multiply":
        return round_ratio(numerator * above, denominator * below, fmt, minus != opposed)
    if operation == "subtract":
        above, opposed = -above, not opposed
    return round_ratio(numerator * below + above * denominator, denominator * below, fmt, minus and opposed)


def one_real(value: float | int, direction: Direction, mode: ModeName, channel: int) -> Fraction:
    """One finite value through the formula in real numbers."""
    result = Fraction(value)
    for step in operations(direction, mode, channel):
        result = _OPERATORS[step.operation](result, step.constant)
    return result


_MAGNITUDES: dict[Arithmetic, Arithmetic] = {
    "divide": "divide", "multiply": "multiply", "subtract": "add", "add": "add"
}  # fmt: skip
"""What the operations do to ``S``, with the magnitudes of the constants."""


def one_magnitude(value: float | int, direction: Direction, mode: ModeName, channel: int) -> Fraction:
    """``S``: the formula with every term made positive, the scale on which rounding errors live."""
    result = abs(Fraction(value))
    for step in operations(direction, mode, channel):
        result = _OPERATORS[_MAGNITUDES[step.operation]](result, abs(step.constant))
    return result


class Coarseness(NamedTuple):
    """Where a format's range is too narrow for ``S`` alone to bound rounding errors: see ``tolerance``.

    ``factor``: what to multiply ``S`` by, for constants below the normal numbers; ``None`` where a constant is 0 or
    infinite in the format, which then says nothing of the result. ``least``: ``S`` counts as no less than that, which
    is what underflow can do.
    """

    factor: Fraction | None
    least: Fraction


@functools.cache
def coarseness(direction: Direction, mode: ModeName, channel: int, dtype: str) -> Coarseness:
    """The coarseness of one preprocessed channel in a format: ``(1, 0)`` where ``S`` alone will do."""
    fmt = FORMATS[dtype]
    smallest = Fraction(2) ** fmt.emin
    factor, least = Fraction(1), Fraction(0)
    for operation, constant in operations(direction, mode, channel):
        rounded, size = round_rational(abs(constant), fmt), abs(constant)
        if operation in ("add", "subtract"):
            least += max(smallest - size, Fraction(0)) if 0 < size < smallest else 0
            if math.isinf(rounded):
                return Coarseness(None, least)
            continue
        if rounded == 0.0 or math.isinf(rounded):
            return Coarseness(None, least)
        factor *= max(Fraction(1), smallest / size)
        least = _OPERATORS[operation](least, size) + smallest
    certain = one_magnitude(0, direction, mode, channel)
    return Coarseness(factor, least if least > certain else Fraction(0))


@functools.cache
def keeps_bytes(mode: ModeName, dtype: str) -> bool:
    """Whether the 256 bytes stay finite and apart on their way through the steps, for images of ``dtype``.

    Where they do not, results neither tell right from wrong nor one image from another.
    """
    computed = computed_dtype(dtype, mode)
    if mode in MODES or computed not in FORMATS:
        return True
    for channel in range(3):
        images = {one_exact(float(value), "forward", mode, channel, computed) for value in range(256)}
        if len(images) < 256 or not all(map(math.isfinite, images)):
            return False
    return True


def one_error(
    value: float | int, result: float, direction: Direction, mode: ModeName, channel: int, dtype: str
) -> Fraction:
    """Error of a finite ``result`` in ``dtype`` against the real formula, in units of ``u·S``."""
    error = abs(Fraction(result) - one_real(value, direction, mode, channel))
    scale = one_scale(value, direction, mode, channel, dtype)
    if scale is None:
        return Fraction(0)
    if scale == 0:  # identity of 0
        return Fraction(0) if error == 0 else Fraction(2) ** 1100
    return error / scale * (1 << FORMATS[dtype].precision)


def one_scale(value: float | int, direction: Direction, mode: ModeName, channel: int, dtype: str) -> Fraction | None:
    """``S`` in a format; ``None`` where it is infinite, for a constant that the format cannot hold."""
    factor, least = coarseness(direction, mode, channel, dtype)
    return None if factor is None else max(one_magnitude(value, direction, mode, channel) * factor, least)


# Whole arrays, channels last --------------------------------------------------------------------------------------


def round_array(values: Float64, fmt: Format) -> Float64:
    """Round float64 numbers to ``fmt``, ties to even, with its subnormals and its overflow."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        _, exponent = np.frexp(values)
        last = np.maximum(exponent - 1, fmt.emin) - fmt.precision + 1
        rounded: Float64 = np.ldexp(np.rint(np.ldexp(values, -last)), last)
    largest = math.ldexp(2.0 - math.ldexp(1.0, 1 - fmt.precision), fmt.emax)
    over = np.abs(rounded) > largest
    if np.count_nonzero(over):
        rounded[over] = np.copysign(np.inf, rounded[over])
    return rounded


def as_float64(x: Array) -> Float64:
    """The values of ``x`` as float64: exact for every dtype of the corpus but integers beyond ``2**53``."""
    if x.dtype == np.float64 or x.dtype.kind in "biu":
        return np.ascontiguousarray(x, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.ascontiguousarray(x, dtype=np.float64)


def _cast(x: Array, dtype: str) -> Float64:
    """The values of ``x`` after one rounding to ``dtype``."""
    values = as_float64(x)
    if name_of(x.dtype) == dtype or x.dtype.itemsize == 1:
        return values
    rounded = round_array(values, FORMATS[dtype]) if dtype != "float64" else values.copy()
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        # float64 has rounded these once already; begin again from the integers.
        for index in zip(*np.nonzero(np.abs(values) >= 2.0**53), strict=True):
            rounded[index] = round_rational(Fraction(int(x[index])), FORMATS[dtype])
    return rounded


@functools.lru_cache(maxsize=500_000)
def _one_float64(value: float, direction: Direction, mode: ModeName, channel: int) -> float:
    return one_exact(value, direction, mode, channel, "float64")


class Route(NamedTuple):
    """One of the three channels: its number in the preprocessed image, in the input and in the output."""

    preprocessed: int
    source: int
    target: int


@functools.cache
def routes(direction: Direction, mode: ModeName) -> tuple[Route, ...]:
    """The route of each channel, in the order of the preprocessed image: first blue in caffe, else red."""
    if direction == "forward":
        return tuple(Route(k, image, k) for k, image in enumerate(definition(mode).order))
    return tuple(Route(k, k, image) for k, image in enumerate(definition(mode).order))


@functools.cache
def input_channels(direction: Direction, mode: ModeName) -> list[int]:
    """For each output channel, the input channel it is made from."""
    return [route.source for route in sorted(routes(direction, mode), key=lambda route: route.target)]


def by_output(x: Array, direction: Direction, mode: ModeName) -> Array:
    """For each output, the input that it is made from: ``x``, channels last, with its channels in that order."""
    sources = input_channels(direction, mode)
    return x if sources == [0, 1, 2] else x[..., sources]


def computed_dtype(dtype: str, mode: ModeName, direction: Direction = "forward") -> str:
    """The dtype that vggprep computes in, and returns if no dtype is asked for, for an input of ``dtype``."""
    if direction == "forward" and not definition(mode).steps:
        return dtype
    return dtype if dtype in ("float16", "float32", "float64") else "float32"


def exact(x: Array, direction: Direction, mode: ModeName) -> Float64:
    """The values of ``x``, shape ``(..., 3)``, through the steps in ``computed_dtype``, unrounded to pixels.

    Read-only where it is remembered: the same pixels come in many shapes and orders.
    """
    x = np.ascontiguousarray(x)
    remembered = _exact_of_bytes if x.size <= _REMEMBERED else _exact_of_many_bytes
    return remembered(x.tobytes(), x.dtype, direction, mode).reshape(x.shape)


_REMEMBERED = 4096


def _exact_of(pixels: bytes, dtype: np.dtype[Any], direction: Direction, mode: ModeName) -> Float64:
    result = _exact(np.frombuffer(pixels, dtype).reshape(-1, 3), direction, mode)
    result.flags.writeable = False
    return result


_exact_of_bytes = functools.lru_cache(maxsize=4096)(_exact_of)
_exact_of_many_bytes = functools.lru_cache(maxsize=32)(_exact_of)


@functools.cache
def _byte_table(direction: Direction, mode: ModeName) -> Float64:
    """What each byte becomes in each preprocessed channel, in float32: shape ``(256, 3)``, by rationals."""
    return np.array([[one_exact(v, direction, mode, k, "float32") for k in range(3)] for v in range(256)])


@functools.cache
def name_of(dtype: np.dtype[Any]) -> str:
    """``dtype.name``, which NumPy makes anew each time it is asked."""
    return str(dtype.name)


def _exact(x: Array, direction: Direction, mode: ModeName) -> Float64:
    if direction == "forward" and not definition(mode).steps:
        return as_float64(by_output(x, direction, mode))
    dtype = computed_dtype(name_of(x.dtype), mode, direction)
    if x.dtype == np.uint8:
        table = _byte_table(direction, mode)
        columns = {target: table[x[..., source], k] for k, source, target in routes(direction, mode)}
        return np.stack([columns[target] for target in range(3)], axis=-1)
    values = _cast(x, dtype)
    result = np.empty(x.shape, np.float64)
    if dtype == "float64":
        for channel, source, target in routes(direction, mode):
            # By bits: zeros of either sign are equal, and so are they as keys of a cache.
            column = np.ascontiguousarray(values[..., source]).view(np.int64)
            distinct, where = np.unique(column, return_inverse=True)
            images = [
                _one_float64(v, direction, mode, channel)
                if v and v == v
                else one_exact(v, direction, mode, channel, dtype)
                for v in distinct.view(np.float64).tolist()
            ]
            result[..., target] = np.array(images, np.float64)[where.reshape(column.shape)]
        return result
    _, sources, targets = zip(*routes(direction, mode), strict=True)
    by_channel = values[..., list(sources)]
    steps = zip(*(_rounded_constants(direction, mode, channel, dtype) for channel in range(3)), strict=True)
    with np.errstate(all="ignore"):
        for step in steps:
            constants = np.array([constant for _, constant in step])
            by_channel = round_array(_OPERATORS[step[0][0]](by_channel, constants), FORMATS[dtype])
    result[..., list(targets)] = by_channel
    return result


def pixels(values: Float64) -> Float64:
    """Values rounded half to even and saturated to 0..255, as the inverse to an integer dtype does."""
    return np.clip(np.rint(values), 0.0, 255.0)


def real(x: Array, direction: Direction, mode: ModeName) -> tuple[Float64, Float64]:
    """The real-valued formula and its ``S``, evaluated in float64 (a few times ``2**-53·S`` off). Read-only."""
    if x.size > _REMEMBERED:
        return _real(x, direction, mode)
    x = np.ascontiguousarray(x)
    result, scale = _real_of_bytes(x.tobytes(), x.dtype, direction, mode)
    return result.reshape(x.shape), scale.reshape(x.shape)


@functools.lru_cache(maxsize=4096)
def _real_of_bytes(
    pixels: bytes, dtype: np.dtype[Any], direction: Direction, mode: ModeName
) -> tuple[Float64, Float64]:
    both = _real(np.frombuffer(pixels, dtype).reshape(-1, 3), direction, mode)
    for array in both:
        array.flags.writeable = False
    return both


def _real(x: Array, direction: Direction, mode: ModeName) -> tuple[Float64, Float64]:
    values = as_float64(x)
    result, scale = np.empty(x.shape, np.float64), np.empty(x.shape, np.float64)
    for channel, source, target in routes(direction, mode):
        result[..., target], scale[..., target] = real_plane(values[..., source], direction, mode, channel)
    return result, scale


# One channel at a time, for the enumeration of every bit pattern ----------------------------------------------------


def exact_plane(x: Array, direction: Direction, mode: ModeName, channel: int) -> npt.NDArray[np.float32]:
    """The values of one channel, of any shape, through the steps in float32: ``exact``, some fifty times faster.

    For float32 and integers of up to 32 bits. Each operation is done in float64, which rounds once, and the result
    is cast to float32, which rounds again, harmlessly: see the head of this module.
    """
    with np.errstate(all="ignore"):
        single = x.astype(np.float64).astype(np.float32)
        for step in operations(direction, mode, channel):
            constant = constant_in(step, "float32")
            single = _OPERATORS[step.operation](single.astype(np.float64), constant).astype(np.float32)
    return single


def real_plane(values: Float64, direction: Direction, mode: ModeName, channel: int) -> tuple[Float64, Float64]:
    """The real-valued formula and its ``S`` for one channel, evaluated in float64 (a few times ``2**-53·S`` off)."""
    result, scale = values, np.abs(values)
    with np.errstate(all="ignore"):
        for step in operations(direction, mode, channel):
            constant = float(step.constant)
            result = _OPERATORS[step.operation](result, constant)
            scale = _OPERATORS[_MAGNITUDES[step.operation]](scale, abs(constant))
    return result, scale


def turns_round(mode: ModeName, channel: int) -> bool:
    """Whether a preprocessed channel falls as the image's rises."""
    return one_real(1, "forward", mode, channel) < one_real(0, "forward", mode, channel)


@functools.cache
def grey_levels(mode: ModeName) -> Float64:
    """How many grey levels an error of 1 is, for each preprocessed channel: one level is a step of an 8-bit pixel."""
    steps = (one_real(1, "forward", mode, k) - one_real(0, "forward", mode, k) for k in range(3))
    return np.array([float(1 / abs(step)) for step in steps])
