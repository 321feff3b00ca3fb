"""The levels exact and faithful: what they accept, what they refuse, and how large they say an error is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Array

from vggprep import oracle, reference, strategies
from vggprep.cases import dtype_of
from vggprep.oracle import FORMATS
from vggprep.spec import DIRECTIONS, MODES, Direction, Mode, ModeName, known
from vggprep.tolerance import Comparison, bound, compare_exact, compare_faithful, distance, same_values, scaled

EACH_DIRECTION = pytest.mark.parametrize("direction", DIRECTIONS)
EACH_MODE = pytest.mark.parametrize("mode", MODES)
EACH_STEPPED = pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
EACH_FLOAT = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])

Compare = Callable[[Array, Array, Direction, ModeName], Comparison]
BOTH_LEVELS = pytest.mark.parametrize("compare", [compare_exact, compare_faithful])
COLOURS = np.array([[0, 100, 255], [255, 30, 140], [60, 200, 10]])


def ulps(array: Array, count: int) -> Array:
    """A copy with element (1, 1) moved up by ``count`` units in the last place."""
    moved = array.copy()
    for _ in range(abs(count)):
        moved[1, 1] = np.nextafter(moved[1, 1], np.array(np.sign(count) * np.inf, array.dtype))
    return moved


@BOTH_LEVELS
@EACH_DIRECTION
@EACH_MODE
@EACH_FLOAT
def test_the_exact_result_is_accepted_at_both_levels(
    compare: Compare, dtype: str, mode: ModeName, direction: Direction
) -> None:
    x = COLOURS.astype(dtype)
    got = oracle.exact(x, direction, mode).astype(dtype)
    result = compare(x, got, direction, mode)
    assert result.ok
    assert result.units <= 3
    real, _ = oracle.real(x, direction, mode)
    assert same_values(result.expected, got if compare is compare_exact else real, signed_zero=True).all()


@EACH_DIRECTION
@EACH_MODE
@EACH_FLOAT
@pytest.mark.parametrize("count", [1, -1])
def test_one_unit_in_the_last_place_is_wrong_at_exact_and_right_at_faithful(
    count: int, dtype: str, mode: ModeName, direction: Direction
) -> None:
    x = COLOURS.astype(dtype)
    got = ulps(oracle.exact(x, direction, mode).astype(dtype), count)
    result = compare_exact(x, got, direction, mode)
    assert np.argwhere(result.wrong).tolist() == [[1, 1]]
    faithful = compare_faithful(x, got, direction, mode)
    assert faithful.ok == (not (mode == "identity" and direction == "forward"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("units", "accepted"), [(0, True), (7, True), (8, True), (9, False), (30, False)])
def test_faithful_is_eight_unit_roundoffs_of_the_output_dtype(dtype: str, units: int, accepted: bool) -> None:
    # Black in tf mode is -1 and S is 1, so that every multiple of u below 1 is a number of the format.
    x = np.zeros((1, 3), np.float32 if dtype == "bfloat16" else dtype)
    u = FORMATS[dtype].unit_roundoff
    for sign in (1, -1) if units % 2 == 0 else (1,):
        got = np.full((1, 3), -1.0)
        got[0, 1] += sign * units * u
        got = got.astype(dtype_of(dtype))
        assert float(got[0, 1]) == -1 + sign * units * u
        result = compare_faithful(x, got, "forward", "tf")
        assert result.units == units
        assert result.ok is accepted
        assert result.levels == units * u * 127.5


def with_element(array: Array, at: tuple[int, ...], value: float) -> Array:
    """A copy with another value at one place."""
    changed = array.copy()
    changed[at] = value
    return changed


def test_faithful_judges_a_wider_output_at_its_own_precision() -> None:
    x = np.zeros((1, 3), np.float32)
    for dtype, accepted in ((np.float32, True), (np.float64, False)):
        got = np.full((1, 3), -1 + 7 * 2.0**-24, dtype)
        assert compare_faithful(x, got, "forward", "tf").ok is accepted


@EACH_DIRECTION
@EACH_STEPPED
def test_float64_at_the_border_is_decided_by_rationals(mode: ModeName, direction: Direction) -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 255, (400, 3)) if direction == "forward" else rng.uniform(-1, 1, (400, 3))
    formula, scale = oracle.real(x, direction, mode)
    # Aim at 8 u·S; where that lands is rounded to float64, a little within or beyond.
    got = formula + 8 * 2.0**-53 * scale * rng.choice([1, -1], x.shape)
    shortcut = np.abs(got - formula) / (2.0**-53 * scale) > 8
    truly = np.zeros(x.shape, bool)
    for channel, source, target in oracle.routes(direction, mode):
        for row, value in enumerate(x[:, source].tolist()):
            error = oracle.one_error(value, float(got[row, target]), direction, mode, channel, "float64")
            truly[row, target] = error > 8
    assert truly.any()
    assert not truly.all()
    assert (truly != shortcut).any(), "float64 would have done"
    np.testing.assert_array_equal(compare_faithful(x, got, direction, mode).wrong, truly)


@BOTH_LEVELS
@EACH_DIRECTION
@EACH_MODE
@EACH_FLOAT
def test_nan_and_infinities_must_stay_what_they_are(
    compare: Compare, dtype: str, mode: ModeName, direction: Direction
) -> None:
    x = (COLOURS / 2).astype(dtype)  # halved, to stay where the bound applies to float16
    x[1] = [np.nan, np.inf, -np.inf]
    right = oracle.exact(x, direction, mode).astype(dtype)
    other_nan = np.where(np.isnan(right), np.copysign(np.array(np.nan, dtype), -1), right)
    assert compare(x, right, direction, mode).ok
    assert compare(x, other_nan, direction, mode).ok
    for at in np.ndindex(right.shape):
        for value in (np.nan, np.inf, -np.inf, 7.25):
            got = with_element(right, at, value)
            same_value = got[at] == right[at] or (np.isnan(got[at]) and np.isnan(right[at]))
            result = compare(x, got, direction, mode)
            assert np.argwhere(result.wrong).tolist() == ([] if same_value else [list(at)]), (at, value)


@BOTH_LEVELS
@EACH_DIRECTION
@EACH_MODE
def test_one_wrong_element_among_many_is_found(compare: Compare, mode: ModeName, direction: Direction) -> None:
    x = np.resize(COLOURS, (5000, 3)).astype(np.float32)
    got = oracle.exact(x, direction, mode).astype(np.float32)
    assert compare(x, got, direction, mode).ok
    got[4321, 1] += 1
    assert np.argwhere(compare(x, got, direction, mode).wrong).tolist() == [[4321, 1]]


def test_the_sign_of_zero_counts_at_exact_only() -> None:
    x = np.full((1, 3), 127.5, np.float32)
    got = np.array([[0.0, -0.0, 0.0]], np.float32)
    assert np.argwhere(compare_exact(x, got, "forward", "tf").wrong).tolist() == [[0, 1]]
    assert compare_faithful(x, got, "forward", "tf").ok
    zeros = np.zeros((1, 3), np.float32)
    assert not compare_exact(zeros, got, "forward", "identity").ok
    assert compare_faithful(zeros, got, "forward", "identity").ok


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_only_beyond_the_bound_may_a_result_overflow_with_the_right_sign(dtype: str) -> None:
    bounded = np.array([[2.0**14 if dtype == "float16" else 2.0**99, 1, 2]], dtype)
    got = with_element(oracle.exact(bounded, "forward", "tf").astype(dtype), (0, 0), np.inf)
    assert np.argwhere(compare_faithful(bounded, got, "forward", "tf").wrong).tolist() == [[0, 0]]
    top = np.finfo(dtype).max
    x = np.array([[top, -top, 0]], dtype)
    right = np.array([[np.inf, -np.inf, 127.5]], dtype)
    result = compare_faithful(x, right, "inverse", "tf")
    assert result.ok
    for at, value in (((0, 0), -np.inf), ((0, 1), np.inf), ((0, 0), np.nan)):
        got = with_element(right, at, value)
        assert np.argwhere(compare_faithful(x, got, "inverse", "tf").wrong).tolist() == [list(at)]


@BOTH_LEVELS
@EACH_MODE
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_an_inverse_to_pixels_may_not_be_off_by_one(compare: Compare, dtype: str, mode: ModeName) -> None:
    y = oracle.exact(COLOURS.astype(np.float32), "forward", mode).astype(np.float32)
    right = COLOURS.astype(dtype)
    result = compare(y, right, "inverse", mode)
    assert result.ok
    np.testing.assert_array_equal(result.expected, COLOURS)
    for value in (29, 31):
        result = compare(y, with_element(right, (1, 1), value), "inverse", mode)
        assert np.argwhere(result.wrong).tolist() == [[1, 1]]
        assert result.levels == 1


@BOTH_LEVELS
def test_an_inverse_to_pixels_must_saturate(compare: Compare) -> None:
    y = np.array([[-300.0, 300.0, 0.0], [np.inf, -np.inf, 255.4]], np.float32)
    right = np.array([[0, 255, 0], [255, 0, 255]], np.uint8)
    assert compare(y, right, "inverse", "identity").ok
    for at, value in (((0, 0), 212), ((0, 1), 44), ((1, 0), 0), ((1, 1), 255), ((1, 2), 254)):
        got = with_element(right, at, value)
        assert np.argwhere(compare(y, got, "inverse", "identity").wrong).tolist() == [list(at)]


@BOTH_LEVELS
def test_identity_is_equal_integers_even_beyond_float64(compare: Compare) -> None:
    x = np.array([[2**63 - 1, -(2**63), 2**53 + 1]], np.int64)
    assert compare(x, x.copy(), "forward", "identity").ok
    got = x.copy()
    got[0, 2] -= 1
    assert np.argwhere(compare(x, got, "forward", "identity").wrong).tolist() == [[0, 2]]


def test_grey_levels_are_those_of_what_is_wrong_however_large_the_pixel() -> None:
    x = np.array([[2000.0, 100.0, 100.0]], np.float32)
    got = oracle.exact(x, "forward", "tf").astype(np.float32)
    got[0, 0] += 0.5  # 63.75 grey levels
    assert compare_faithful(x, got, "forward", "tf").levels == pytest.approx(63.75, abs=0.01)


def test_the_worst_error_is_given_in_grey_levels() -> None:
    x = COLOURS.astype(np.float32)
    for mode in ("caffe", "tf", "torch"):
        got = oracle.exact(x, "forward", mode)
        got = (got + 3 / oracle.grey_levels(mode) * (np.arange(9).reshape(3, 3) == 4)).astype(np.float32)
        result = compare_faithful(x, got, "forward", mode)
        assert result.levels == pytest.approx(3, rel=1e-4)


@BOTH_LEVELS
@EACH_DIRECTION
@EACH_MODE
def test_nothing_is_wrong_with_an_empty_image(compare: Compare, mode: ModeName, direction: Direction) -> None:
    empty = np.zeros((0, 3), np.float32)
    result = compare(empty, empty, direction, mode)
    assert result.ok
    assert (result.units, result.levels) == (0, 0)


# Any mode ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(8))
def test_the_bound_is_8_for_three_steps_and_grows_by_two_roundings_with_each_more(steps: int) -> None:
    mode = Mode(f"{steps} steps", "RGB", [("multiply", "2")] * steps)
    assert bound(known(mode)) == max(8, 2 * steps + 2)


def folded(x: Array, mode: Mode, direction: Direction, dtype: str) -> Array:
    """One scale and one offset for each channel, rounded once each."""
    y = x.astype(dtype)
    result = np.empty_like(y)
    for channel, source, target in oracle.routes(direction, mode.name):
        zero = oracle.one_real(0, direction, mode.name, channel)
        scale = oracle.one_real(1, direction, mode.name, channel) - zero
        result[..., target] = y[..., source] * np.array(float(scale), dtype) + np.array(float(zero), dtype)
    return result


def reciprocals(x: Array, mode: Mode, direction: Direction, dtype: str) -> Array:
    """A product in place of each quotient."""
    y = x[..., oracle.input_channels(direction, mode.name)].astype(dtype)
    for channel, _, target in oracle.routes(direction, mode.name):
        for operation, constant in oracle.operations(direction, mode.name, channel):
            c = np.array(float(constant), dtype)
            named = {"divide": np.multiply, "multiply": np.multiply, "subtract": np.subtract, "add": np.add}
            y[..., target] = named[operation](y[..., target], 1 / c if operation == "divide" else c)
    return y


def inside(wide: str) -> Callable[..., Array]:
    """The steps in a dtype, cast at the end to that of the result."""

    def compute(x: Array, mode: Mode, direction: Direction, dtype: str) -> Array:
        function = reference.forward if direction == "forward" else reference.inverse
        return function(x, mode, np.dtype(wide or dtype)).astype(dtype)

    return compute


HONEST = {"": inside(""), "float32": inside("float32"), "float64": inside("float64"), "folded": folded}
HONEST["reciprocals"] = reciprocals


@settings(max_examples=50)
@given(
    mode=strategies.definitions(max_steps=6),
    direction=st.sampled_from(DIRECTIONS),
    values=st.lists(st.integers(0, 255) | st.floats(-300, 300) | st.floats(-1e-6, 1e-6), min_size=3, max_size=30),
)
def test_what_computes_any_mode_in_another_way_is_faithful(
    mode: Mode, direction: Direction, values: list[float]
) -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = np.resize(np.array(values), (len(values), 3)).astype(dtype_of(dtype))
        for name, compute in HONEST.items():
            if (dtype in ("float16", "bfloat16") and name not in ("", "float32")) or (dtype, name) == (
                "float64",
                "float32",
            ):
                continue
            with np.errstate(all="ignore"):
                got = compute(x, mode, direction, dtype).astype(dtype_of(dtype))
            if not mode.steps and direction == "forward" and name == "folded":
                continue
            result = compare_faithful(x, got, direction, mode.name)
            assert result.ok, (name, dtype, result, got, x)
            scale = scaled(oracle.real(x, direction, mode.name)[1], direction, mode.name, dtype)
            if dtype == "float32" and (scale > 1e-30).any():  # twice the bound is no rounding
                wrong = (result.expected + 2.1 * bound(mode.name) * 2.0**-24 * scale).astype(np.float32)
                assert not compare_faithful(x, wrong, direction, mode.name).ok


@pytest.mark.parametrize("wrong", ["float16", "float64"])
def test_exact_bits_are_those_of_the_dtype_that_is_computed_in(wrong: str) -> None:
    x = np.arange(48, dtype=np.float32).reshape(4, 4, 3) + np.float32(0.3)
    right = oracle.exact(x, "forward", "torch").astype(np.float32)
    assert compare_exact(x, right, "forward", "torch").ok
    assert compare_exact(x, right.astype(wrong), "forward", "torch").ok == (wrong == "float64")
    one_off = np.nextafter(right, np.float32(9))
    assert compare_exact(x, one_off, "forward", "torch").wrong.all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_at_level_exact_a_zero_has_its_sign_in_every_dtype(dtype: str) -> None:
    x = np.array([[-0.0, 0.0, 1.0]]).astype(dtype_of(dtype))
    assert compare_exact(x, x, "forward", "identity").ok
    assert compare_exact(x, np.abs(x), "forward", "identity").wrong.tolist() == [[True, False, False]]


@pytest.mark.parametrize("compare", [compare_exact, compare_faithful])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_a_copy_as_floats_is_right_only_where_they_hold_the_integers(compare: Compare, dtype: str) -> None:
    most = int(np.iinfo(dtype).max)
    x = np.array([[2**53, 2**53 + 1, most], [most - 1023, 2**62, 7]], dtype)
    result = compare(x, x.astype(np.float64), "forward", "identity")
    held = [[float(n) == n and int(float(n)) == n for n in row] for row in x.tolist()]
    assert result.wrong.tolist() == [[not right for right in row] for row in held]
    assert not any(held[0][1:])
    usual = [abs(n - int(float(n))) for n in x.ravel().tolist()]
    assert distance(x.astype(np.float64), x).ravel().tolist() == usual
    assert result.levels == max(usual) >= 1
