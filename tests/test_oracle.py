"""The oracle against three others: rationals written out by hand, NumPy's casts and ml_dtypes' arithmetic.

Where a format has 16 bits, every pattern is tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ODD, Array

from vggprep import oracle, reference, strategies
from vggprep.oracle import FORMATS, Format
from vggprep.spec import DIRECTIONS, MODES, Direction, Mode, ModeName, Step, definition, known
from vggprep.tolerance import same_values

BINARY16 = ("float16", "bfloat16")
DTYPES: dict[str, npt.DTypeLike] = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}

EACH_DIRECTION = pytest.mark.parametrize("direction", DIRECTIONS)
EACH_MODE = pytest.mark.parametrize("mode", MODES)
ODD_NAMES = [known(mode) for mode in ODD]
EACH_BINARY16 = pytest.mark.parametrize("name", BINARY16)


def same(a: float, b: float) -> bool:
    """Equal, with all NaNs equal and the zeros apart."""
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))


def assert_same(got: Array, expected: Array) -> None:
    """Equal element by element, with all NaNs equal and the zeros apart."""
    wrong = ~same_values(widened(got), widened(expected), signed_zero=True)
    assert not wrong.any(), f"{int(wrong.sum())} differ, first {got[wrong][0]!r} for {expected[wrong][0]!r}"


def every_pattern(name: str) -> Array:
    """All 65,536 values of a 16-bit format."""
    return np.arange(2**16, dtype=np.uint16).view(DTYPES[name])


def widened(array: Array) -> npt.NDArray[np.float64]:
    """As float64, silently: to NumPy a signalling NaN is worth a warning."""
    with np.errstate(invalid="ignore"):
        return np.asarray(array, np.float64)


def finite_patterns(name: str) -> npt.NDArray[np.float64]:
    """All finite values of a 16-bit format, ascending, one zero (the positive one), as float64."""
    values = widened(every_pattern(name))
    return np.unique(values[np.isfinite(values)] + 0.0)


def half(values: npt.ArrayLike) -> Array:
    return np.array(values, np.float16)


def single(values: npt.ArrayLike) -> Array:
    return np.array(values, np.float32)


def rounded(values: Iterable[float], fmt: Format) -> Array:
    """Rational rounding of finite float64 numbers, one at a time."""
    return np.array(
        [oracle.round_ratio(*v.as_integer_ratio(), fmt, math.copysign(1, v) < 0) for v in map(float, values)]
    )


STEPS = list(
    dict.fromkeys(
        operation
        for direction, mode, channel in itertools.product(DIRECTIONS, MODES, range(3))
        for operation in oracle.operations(direction, mode, channel)
    )
)
"""Every (operation, decimal constant) of every mode, forward and inverse, once."""
FIRST_STEPS = {step.operation: step for step in STEPS}.values()
"""One of each operation."""


# Rounding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DTYPES)
def test_the_formats_are_those_of_numpy_and_ml_dtypes(name: str) -> None:
    finfo: Any = ml_dtypes.finfo
    info, fmt = finfo(DTYPES[name]), FORMATS[name]
    assert (fmt.precision, fmt.emin, fmt.emax) == (info.nmant + 1, info.minexp, info.maxexp - 1)
    assert fmt.unit_roundoff == float(info.eps) / 2


@EACH_BINARY16
def test_rounding_is_the_cast_of_numpy_and_ml_dtypes_around_every_value_and_tie(name: str) -> None:
    wide = np.float32 if name == "bfloat16" else np.float64  # ml_dtypes goes by way of float32
    values: Array = finite_patterns(name).astype(wide)
    ties = ((values[:-1].astype(np.float64) + values[1:].astype(np.float64)) / 2).astype(
        wide
    )  # exact: one more bit than the format has
    near = np.concatenate([values, ties, np.nextafter(ties, wide(np.inf)), np.nextafter(ties, wide(-np.inf))])
    expected = near.astype(DTYPES[name])
    assert_same(oracle.round_array(near.astype(np.float64), FORMATS[name]), expected)
    assert_same(rounded(near, FORMATS[name]), expected)
    assert_same(oracle.round_array(widened(every_pattern(name)), FORMATS[name]), every_pattern(name))


def any_bits(dtype: npt.DTypeLike, count: int) -> Array:
    """Values of a dtype, each bit pattern as likely as the next."""
    size = np.dtype(dtype).itemsize
    return np.random.default_rng(size).integers(0, 256, count * size, np.uint8).view(dtype)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_rounding_is_numpys_cast_from_float64(name: str) -> None:
    with np.errstate(all="ignore"):
        singles = widened(any_bits(np.float32, 2000))
        ties = (singles + widened(np.nextafter(singles.astype(np.float32), np.float32(0)))) / 2
        corners = np.array([3.4028235677973366e38, 3.4028235677973362e38, 2.0**-150, -(2.0**-150), 2.0**-150 * 1.5])
        near = np.concatenate([singles, ties, corners, [5e-324, -0.0], any_bits(np.float64, 2000)])
        near = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
        expected = near.astype(name)
    assert_same(oracle.round_array(near, FORMATS[name]), expected)
    finite = np.isfinite(near)
    assert_same(rounded(near[finite], FORMATS[name]), expected[finite])


@given(st.fractions(), st.sampled_from(sorted(FORMATS)))
def test_no_number_of_the_format_is_nearer_than_the_rounded_one(value: Fraction, name: str) -> None:
    fmt = FORMATS[name]
    got = oracle.round_rational(value, fmt)
    assert oracle.round_ratio(3 * value.numerator, 3 * value.denominator, fmt) == got
    if math.isinf(got):
        assert abs(value) >= Fraction(2) ** (fmt.emax + 1) * (1 - Fraction(1, 2 ** (fmt.precision + 1)))
        return
    exponent = max(math.frexp(got)[1] - 1, fmt.emin) if got else fmt.emin
    place = Fraction(2) ** (exponent - fmt.precision + 1)
    assert (Fraction(got) / place).denominator == 1, "has more bits than the format"
    assert abs(value - Fraction(got)) <= place / 2


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_is_half_a_place_beyond_the_largest_number_overflows(name: str) -> None:
    fmt = FORMATS[name]
    largest = (2 - Fraction(2) ** (1 - fmt.precision)) * Fraction(2) ** fmt.emax
    half = Fraction(2) ** (fmt.emax - fmt.precision)
    for sign in (1, -1):
        assert oracle.round_rational(sign * largest, fmt) == sign * float(largest)
        assert oracle.round_rational(sign * (largest + half - Fraction(1, 10**9)), fmt) == sign * float(largest)
        assert oracle.round_rational(sign * (largest + half), fmt) == sign * math.inf


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_is_at_most_half_the_smallest_number_becomes_a_zero_of_its_sign(name: str) -> None:
    fmt = FORMATS[name]
    smallest = Fraction(2) ** (fmt.emin - fmt.precision + 1)
    for sign in (1, -1):
        assert same(oracle.round_rational(sign * smallest, fmt), sign * float(smallest))
        assert same(oracle.round_rational(sign * smallest / 2, fmt), sign * 0.0)
        assert same(oracle.round_rational(sign * smallest * Fraction(51, 100), fmt), sign * float(smallest))
        assert same(oracle.round_rational(sign * smallest * Fraction(149, 100), fmt), sign * float(smallest))
        assert same(oracle.round_rational(sign * smallest * Fraction(3, 2), fmt), sign * 2 * float(smallest))


def test_an_exact_zero_has_the_sign_asked_for() -> None:
    for fmt in FORMATS.values():
        assert same(oracle.round_ratio(0, 7, fmt), 0.0)
        assert same(oracle.round_ratio(0, 7, fmt, negative=True), -0.0)
        assert same(oracle.round_ratio(1, 1, fmt, negative=True), 1.0)


# Steps, every 16-bit pattern --------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.no_cover
@EACH_BINARY16
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.operation} {float(step.constant)}")
def test_every_step_is_correctly_rounded_for_every_pattern(step: oracle.Operation, name: str) -> None:
    fmt, dtype = FORMATS[name], DTYPES[name]
    patterns = every_pattern(name)
    constant = oracle.round_rational(step.constant, fmt)
    assert constant == float(np.float32(float(step.constant)).astype(dtype))

    values, ufunc = widened(patterns), getattr(np, step.operation)
    with np.errstate(all="ignore"):
        # 1: what NumPy and ml_dtypes compute in the format itself.
        theirs = ufunc(patterns, np.array(constant, dtype))
        # 2: the oracle's fast way, one operation in float64 and one rounding.
        fast = oracle.round_array(ufunc(values, constant), fmt)
    assert theirs.dtype == dtype
    assert_same(fast, theirs)
    # 3: rationals, as ratios of integers for speed: every finite pattern with one constant of each operation, every
    # ninth with the others.
    above, below = constant.as_integer_ratio()
    keeps_sign = step.operation in ("multiply", "divide")
    finite = np.isfinite(values) & ((np.arange(2**16) % 9 == 0) | (step in FIRST_STEPS))
    slow = []
    for value in values[finite].tolist():
        numerator, denominator = value.as_integer_ratio()
        ratio = {
            "multiply": (numerator * above, denominator * below),
            "divide": (numerator * below, denominator * above),
            "add": (numerator * below + above * denominator, denominator * below),
            "subtract": (numerator * below - above * denominator, denominator * below),
        }[step.operation]
        slow.append(oracle.round_ratio(*ratio, fmt, negative=keeps_sign and math.copysign(1, value) < 0))
    assert_same(fast[finite], np.array(slow))


@EACH_DIRECTION
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_whole_mode_is_its_steps_in_numpy_for_every_float16_pattern(mode: ModeName, direction: Direction) -> None:
    patterns = every_pattern("float16")
    x = np.stack([patterns, np.roll(patterns, 7), patterns[::-1]], axis=-1)
    mean, m, s = (half(v) for v in ((103.939, 116.779, 123.68), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    one, scale, most = half(1), half(127.5), half(255)
    with np.errstate(all="ignore"):
        expected = {
            ("forward", "caffe"): x[..., ::-1] - mean,
            ("forward", "tf"): x / scale - one,
            ("forward", "torch"): (x / most - m) / s,
            ("inverse", "caffe"): (x + mean)[..., ::-1],
            ("inverse", "tf"): (x + one) * scale,
            ("inverse", "torch"): (x * s + m) * most,
        }[direction, mode]
    assert expected.dtype == np.float16
    assert_same(oracle.exact(x, direction, mode), expected)


# Arrays are the numbers, one by one -------------------------------------------------------------------------------


def adversarial() -> list[float]:
    """Values around which formulas round, cancel, overflow or lose their sign."""
    centres = [0.0, 1.0, -1.0, 103.939, 116.779, 123.68, 127.5, 255.0, 0.485 * 255, 0.456 * 255, 0.406 * 255]
    found = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 2.0**-149, 2.0**-126, 2.0**-24, 2.0**-14]
    for centre in centres:
        single = np.float32(centre)
        for value in (centre, -centre, float(single)):
            found += [value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)]
        found += [float(np.nextafter(single, np.float32(s * np.inf))) for s in (1, -1)]
    return [*found, 65504.0, -65504.0, 3.4028234663852886e38, 1.7976931348623157e308, -1.7976931348623157e308, 1e-300]


def numbers(name: str) -> Array:
    """Values of a dtype: adversarial ones, any bits, what pixels are, and where quotients are subnormal."""
    if name in DTYPES:
        dtype: Any = DTYPES[name]
        with np.errstate(all="ignore"):
            chosen = np.array([*adversarial(), *np.linspace(-300, 300, 101)]).astype(dtype)
            tiny = (any_bits(dtype, 60) * np.array(np.finfo(np.float32).tiny, dtype)).astype(dtype)
        return np.concatenate([chosen, any_bits(dtype, 150), tiny])
    info = np.iinfo(name)
    corners = [int(info.min), int(info.max), *range(-2, 3), 255, 256]
    # Beyond 2^53, float64 is no longer exact; ties of float32 at 2^40 and of float64 at 2^54 and 2^62.
    for centre in (2**24, 2**40 + 2**16, 2**53, 2**54 + 2, 2**62 + 2**38, 2**62 + 2**9, 2**63 - 2**38):
        corners += [sign * centre + off for sign in (1, -1) for off in (-2, -1, 0, 1, 2)]
    fitting = [corner for corner in corners if info.min <= corner <= info.max]
    return np.concatenate([np.array(fitting, name), any_bits(name, 100)])


@pytest.mark.no_cover
@EACH_DIRECTION
@pytest.mark.parametrize("mode", [*MODES, *ODD_NAMES])
@pytest.mark.parametrize("name", [*DTYPES, "uint8", "int64", "uint64", "int32"])
def test_an_array_gets_what_each_number_gets_in_rationals(name: str, mode: ModeName, direction: Direction) -> None:
    values = numbers(name)
    x = np.stack([values, values[::-1], np.roll(values, 5)], axis=-1)
    got = oracle.exact(x, direction, mode)
    assert got.shape == x.shape
    order = definition(mode).order
    if not definition(mode).steps and direction == "forward":
        assert_same(got, x[..., list(order)])
        return
    computed = oracle.computed_dtype(name, mode, direction)
    for (row, source), value in np.ndenumerate(x):
        channel = order.index(source) if direction == "forward" else source
        target = channel if direction == "forward" else order[channel]
        number = int(value) if x.dtype.kind in "iu" else float(value)
        expected = oracle.one_exact(number, direction, mode, channel, computed)
        assert same(float(got[row, target]), expected), f"{number!r} in channel {source}"


def fractions(mode: Mode, direction: Direction, channel: int, value: Fraction) -> tuple[Fraction, Fraction]:
    """The formula and S of any mode, as its words have it: another account than the oracle's."""
    signs = {"add": 1, "subtract": -1, "multiply": 1, "divide": -1}
    scale = abs(value)
    for step in mode.steps if direction == "forward" else reversed(mode.steps):
        constant, sign = (
            Fraction(step.constants[channel]),
            signs[step.operation] * (1 if direction == "forward" else -1),
        )
        if step.operation in ("add", "subtract"):
            value, scale = value + sign * constant, scale + abs(constant)
        else:
            value, scale = value * constant**sign, scale * abs(constant) ** sign
    return value, scale


@EACH_DIRECTION
@settings(max_examples=30)
@given(mode=strategies.definitions(max_steps=6), value=st.integers(0, 255) | st.floats(-1e4, 1e4))
def test_any_mode_is_its_steps_in_fractions_and_in_numpy(direction: Direction, mode: Mode, value: float) -> None:
    for channel in range(3):
        formula, scale = fractions(mode, direction, channel, Fraction(value))
        assert oracle.one_real(value, direction, mode.name, channel) == formula
        assert oracle.one_magnitude(value, direction, mode.name, channel) == scale
        assert oracle.grey_levels(mode.name)[channel] > 0
    # The reference, which shares nothing with the oracle, has each operation rounded by NumPy.
    special = [value, 0.0, -0.0, -value, math.inf, -math.inf, math.nan, 1e-6, 255.0]
    for dtype in ("float16", "float32", "float64"):
        x = np.array([special, special[::-1], np.roll(special, 4)]).T.astype(dtype)
        by_reference = reference.forward if direction == "forward" else reference.inverse
        assert_same(oracle.exact(x, direction, mode.name), by_reference(x, mode, np.dtype(dtype)))
        target, _ = oracle.real(np.full((1, 3), value, dtype), direction, mode.name)
        for channel, _, output in oracle.routes(direction, mode.name):
            exactly, scale = fractions(mode, direction, channel, Fraction(float(np.array(value, dtype))))
            assert abs(Fraction(float(target[0, output])) - exactly) <= scale * Fraction(40, 2**53)


def test_an_integer_that_float64_cannot_hold_is_rounded_once() -> None:
    # Just above a tie of float32: by way of float64 it would become the tie and go down to even.
    value = 2**62 + 2**38 + 1
    assert np.float32(float(value)) == 2.0**62
    x = np.array([[value, value - 1, value - 2]], np.int64)
    above = float(np.nextafter(np.float32(2.0**62), np.float32(np.inf)))
    scales: dict[ModeName, float] = {"caffe": 1.0, "tf": 127.5}
    for mode, scale in scales.items():
        got = oracle.exact(x, "forward", mode)
        expected = single([above, 2.0**62, 2.0**62]) / np.float32(scale)
        np.testing.assert_array_equal(got[0, ::-1] if mode == "caffe" else got[0], expected)


def test_the_zeros_are_where_ieee_puts_them() -> None:
    assert_same(oracle.exact(single([[127.5, 127.5, -0.0]]), "forward", "tf"), np.array([[0.0, 0.0, -1.0]]))
    assert_same(oracle.exact(single([[-1.0, -1.0, -0.0]]), "inverse", "tf"), np.array([[0.0, 0.0, 127.5]]))
    zeros = np.array([[0.0, -0.0, -1e-45]])
    for direction, dtype in itertools.product(DIRECTIONS, (np.float32, np.float64)):
        assert_same(oracle.exact(zeros.astype(dtype), direction, "identity"), zeros.astype(dtype))


@EACH_DIRECTION
@EACH_MODE
@pytest.mark.parametrize("name", ["float16", "float32", "float64", "uint8"])
def test_the_result_depends_on_neither_shape_nor_memory_layout(name: str, mode: ModeName, direction: Direction) -> None:
    rows = (np.arange(24 * 3).reshape(-1, 3) * 89 % 256).astype(name)
    expected = oracle.exact(rows, direction, mode)
    for shaped in (rows.reshape(4, 6, 3), np.asfortranarray(rows.reshape(2, 3, 4, 3)), rows.reshape(24, 1, 1, 3)):
        assert_same(oracle.exact(shaped, direction, mode).reshape(-1, 3), expected)
    assert_same(oracle.exact(rows[::-1], direction, mode), expected[::-1])
    many = np.tile(rows, (100, 1))  # beyond what is remembered
    assert_same(oracle.exact(many, direction, mode), np.tile(expected, (100, 1)))


# The formula in real numbers --------------------------------------------------------------------------------------


def by_hand(direction: str, mode: ModeName, channel: int, x: Fraction) -> tuple[Fraction, Fraction]:
    """The formula and S, written out a second time; ``channel`` counts preprocessed channels."""
    if mode == "identity":
        return x, abs(x)
    if mode == "caffe":
        m = [Fraction("103.939"), Fraction("116.779"), Fraction("123.68")][channel]
        return (x - m if direction == "forward" else x + m), abs(x) + m
    if mode == "tf":
        if direction == "forward":
            return x / Fraction("127.5") - 1, abs(x) / Fraction("127.5") + 1
        return (x + 1) * Fraction("127.5"), (abs(x) + 1) * Fraction("127.5")
    m = [Fraction(485, 1000), Fraction(456, 1000), Fraction(406, 1000)][channel]
    s = [Fraction(229, 1000), Fraction(224, 1000), Fraction(225, 1000)][channel]
    if direction == "forward":
        return (x / 255 - m) / s, (abs(x) / 255 + m) / s
    return (x * s + m) * 255, (abs(x) * s + m) * 255


@EACH_DIRECTION
@EACH_MODE
@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("value", [0, 255, 128, 0.5, -3.25, 1e10, 2.0**-40, -1.0, 103.939, 2**70])
def test_the_formula_and_its_scale_are_as_written_by_hand(
    value: float, channel: int, mode: ModeName, direction: Direction
) -> None:
    formula, scale = by_hand(direction, mode, channel, Fraction(value))
    assert oracle.one_real(value, direction, mode, channel) == formula
    assert oracle.one_magnitude(value, direction, mode, channel) == scale


@EACH_DIRECTION
@EACH_MODE
def test_the_formula_of_an_array_is_that_of_each_number_nearly(mode: ModeName, direction: Direction) -> None:
    x = np.array([[0, 255, 128.5], [-3.25, 1e10, 1.0], [103.939, 116.779, 123.68], [-1, -2.1179, 2.64]])
    formula, scale = oracle.real(x, direction, mode)
    order = MODES[mode].order
    for (row, source), value in np.ndenumerate(x):
        channel = order.index(source) if direction == "forward" else source
        target = channel if direction == "forward" else order[channel]
        exactly, magnitude = by_hand(direction, mode, channel, Fraction(float(value)))
        assert abs(Fraction(float(formula[row, target])) - exactly) <= magnitude * Fraction(4, 2**53)
        assert abs(Fraction(float(scale[row, target])) - magnitude) <= magnitude * Fraction(4, 2**53)


def test_errors_are_counted_in_unit_roundoffs_of_the_magnitudes_combined() -> None:
    assert oracle.one_error(0, -1.0, "forward", "tf", 0, "float32") == 0
    assert oracle.one_error(0, -1.0 + 2.0**-24, "forward", "tf", 0, "float32") == 1  # S is 1, u is 2^-24
    assert oracle.one_error(0, -1.0 + 2.0**-24, "forward", "tf", 0, "float16") == Fraction(1, 2**13)
    assert oracle.one_error(127.5, 2.0**-8, "forward", "tf", 1, "bfloat16") == Fraction(1, 2)  # S is 2
    rational = (Fraction(151) - Fraction("151.061")) / Fraction("358.939") * 2**11
    assert oracle.one_error(255, 151.0, "forward", "caffe", 0, "float16") == abs(rational)
    assert oracle.one_error(0, 0.0, "forward", "identity", 0, "float32") == 0
    assert oracle.one_error(0, 5e-324, "forward", "identity", 0, "float32") > 10**6


def test_one_grey_level_is_what_a_step_of_a_pixel_makes() -> None:
    np.testing.assert_array_equal(oracle.grey_levels("caffe"), [1, 1, 1])
    np.testing.assert_array_equal(oracle.grey_levels("tf"), [127.5, 127.5, 127.5])
    np.testing.assert_allclose(oracle.grey_levels("torch"), [58.395, 57.12, 57.375], rtol=1e-15)
    np.testing.assert_array_equal(oracle.grey_levels("identity"), [1, 1, 1])


@EACH_MODE
def test_sources_say_which_input_channel_an_output_channel_is_made_from(mode: ModeName) -> None:
    expected = [2, 1, 0] if mode == "caffe" else [0, 1, 2]
    for direction in DIRECTIONS:
        assert oracle.input_channels(direction, mode) == expected


def test_pixels_are_rounded_half_to_even_and_saturated() -> None:
    values = np.array([0.5, 1.5, 254.5, -0.5, 255.5, -np.inf, np.inf, 300, -7])
    np.testing.assert_array_equal(oracle.pixels(values), [0, 2, 254, 0, 255, 0, 255, 255, 0])


def test_a_constant_is_rounded_to_float64_first_as_in_python() -> None:
    near_a_tie = "1.000000059604644775390625000001"  # just above 1 + 2**-24, which float64 makes of it
    mode = Mode("near_a_tie", "RGB", [Step("divide", (near_a_tie, "255", "255"))])
    x = np.arange(256, dtype=np.uint8).reshape(256, 1).repeat(3, axis=-1)
    right = x.astype(np.float32) / np.array([float(near_a_tie), 255, 255], np.float32)
    assert (right[:, 0] == x[:, 0]).all()
    assert (oracle.exact(x, "forward", known(mode)) == right).all()
    assert (reference.forward(x, mode, np.dtype(np.float32)) == right).all()
    assert (oracle.exact_plane(x[:, 0], "forward", mode.name, 0) == right[:, 0]).all()
