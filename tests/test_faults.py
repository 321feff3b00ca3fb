"""The gallery itself: well formed, wrong where it says so, and no fault told twice.

That every fault is caught by the check it names is tested beside the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import MODES, deprocess_input, preprocess_input, reference
from vggprep.checks import CHECKS
from vggprep.conformance.engine import Selection, run
from vggprep.faults import FAULTS, HONEST, Fault
from vggprep.implementations import Implementation

Array = npt.NDArray[Any]
Outcome = Array | type[Exception]

STATELESS = [fault for fault in FAULTS if fault.stateless]
NAMED = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
NAMED_STATELESS = pytest.mark.parametrize("fault", STATELESS, ids=lambda fault: fault.name)


def colours(shape: tuple[int, ...]) -> Array:
    """Every byte, in an order that keeps the channels apart."""
    return (np.arange(np.prod(shape)) * 89 + 7).reshape(shape) % 256


def in_format(images: Array, data_format: str) -> Array:
    return np.moveaxis(images, -1, -3).copy() if data_format == "channels_first" else images


def forward_inputs() -> Iterator[tuple[str, Array, str | None]]:
    """Inputs with a data format; ``None`` for one that nobody knows."""
    every_byte = np.stack([np.roll(np.arange(256), 85 * channel) for channel in range(3)], axis=-1).reshape(16, 16, 3)
    fractions = colours((2, 5, 7, 3)) * 0.983 + 0.37
    for data_format in ("channels_last", "channels_first"):
        for dtype in ("uint8", "uint16", "int32", "float32", "float64"):
            yield f"{dtype} {data_format}", in_format(every_byte.astype(dtype), data_format), data_format
        for dtype in ("bool", "int8", "uint16", "int16", "int64", "float16", "float32", "float64"):
            batch = in_format(fractions, data_format) * 1.25 - 20
            batch = np.trunc(batch).astype(np.int64) if dtype[0] in "iu" else batch
            yield f"{dtype} batch {data_format}", batch.astype(dtype), data_format
        for shape in ((3, 3, 3), (3, 5, 3), (5, 3, 3), (3, 3, 4, 3), (2, 4, 3, 3), (1, 2, 2, 3), (1, 1, 3), (0, 2, 3)):
            yield f"{shape} {data_format}", in_format(colours(shape).astype("float32"), data_format), data_format
        for special in (np.nan, np.inf, -np.inf):
            broken = fractions.copy()
            broken[0, 2, 3, 1] = special
            yield f"{special} {data_format}", in_format(broken, data_format), data_format
        yield f"dark {data_format}", in_format(fractions / 256, data_format), data_format
        large = in_format(colours((204, 215, 3)).astype("float64"), data_format)
        yield f"large {data_format}", large, data_format
        yield f"RGBA {data_format}", in_format(colours((4, 5, 4)), data_format), data_format
        yield f"RGBA bytes {data_format}", in_format(colours((4, 5, 4)).astype("uint8"), data_format), data_format
        for name, layout in LAYOUTS.items():
            yield f"{name} {data_format}", layout(in_format(fractions, data_format)), data_format
    yield "unknown data_format", fractions, None


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "mirrored": lambda x: np.flip(np.flip(x, -2).copy(), -2),
    "cropped": lambda x: np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, 1), (0, 0)])[..., :-1, :],
    "big-endian": lambda x: x.astype(">f8"),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@cache
def panel(mode: str, direction: str) -> tuple[tuple[str, Array, str, str], ...]:
    """Inputs, each with its name, data format and mode, on which to compare what implementations return."""
    rows = []
    for name, x, data_format in forward_inputs():
        if direction == "forward":
            rows.append((name, x, data_format or "channels_middle", mode))
        elif data_format and x.dtype.kind == "f" and "nan" not in name and "RGBA" not in name:
            rows.append((name, preprocess_input(x, data_format, mode), data_format, mode))
    if direction == "forward":
        rows.append(("unknown mode", colours((2, 3, 3)), "channels_last", "cafe"))
    return tuple(rows)


def right(x: Array, data_format: str, mode: str) -> Array:
    return preprocess_input(x, data_format, mode)


def right_pixels(y: Array, data_format: str, mode: str) -> Array:
    return deprocess_input(y, data_format, mode)


def right_floats(y: Array, data_format: str, mode: str) -> Array:
    return deprocess_input(y, data_format, mode, dtype=None)


def outcome(function: Callable[..., Array], x: Array, data_format: str, mode: str) -> Outcome:
    try:
        return np.array(function(x, data_format=data_format, mode=mode))
    except (ValueError, TypeError) as error:
        return type(error)


@cache
def outcomes(function: Callable[..., Array], mode: str, direction: str) -> tuple[Outcome, ...]:
    return tuple(outcome(function, *row[1:]) for row in panel(mode, direction))


def tell_the_same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes differ by no more than arithmetic in another order makes."""
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "f":
        return np.array_equal(one, other)
    tolerance = 16 * np.finfo(one.dtype).eps
    return np.allclose(one, other, rtol=tolerance, atol=300 * tolerance, equal_nan=True)


def function_and_direction(fault: Fault) -> tuple[Callable[..., Array], str]:
    function, direction = (fault.preprocess, "forward") if fault.preprocess else (fault.deprocess, "inverse")
    assert function is not None
    return function, direction


def test_there_are_at_least_sixty_faults_and_their_names_are_unique() -> None:
    names = [fault.name for fault in FAULTS] + [implementation.name for implementation in HONEST]
    assert len(names) == len(set(names))
    assert len(FAULTS) >= 60
    assert len(HONEST) >= 6


@NAMED
def test_a_fault_tells_its_story_in_one_sentence(fault: Fault) -> None:
    assert fault.name.isidentifier()
    assert fault.name == fault.name.lower()
    assert fault.story.endswith(".")
    assert ". " not in fault.story
    assert "  " not in fault.story
    assert fault.story[0].isupper() or fault.story[0].isdigit() or fault.story.startswith(("uint", "int", "channels_"))


@NAMED
def test_a_fault_is_one_direction_in_known_modes(fault: Fault) -> None:
    assert (fault.preprocess is None) != (fault.deprocess is None)
    assert fault.modes
    assert set(fault.modes) <= set(MODES)
    implementation = fault.implementation()
    assert implementation.name == fault.name
    assert implementation.level == "faithful"
    assert implementation.modes == fault.modes


@NAMED
@pytest.mark.filterwarnings("error")
def test_a_fault_returns_an_array_in_every_mode_it_claims(fault: Fault) -> None:
    function, direction = function_and_direction(fault)
    for mode in fault.modes:
        for dtype in ("uint8", "float32"):
            image = colours((4, 5, 3)).astype(dtype)
            given = image if direction == "forward" else preprocess_input(image, mode=mode)
            assert isinstance(function(given, data_format="channels_last", mode=mode), np.ndarray)


@NAMED_STATELESS
@pytest.mark.filterwarnings("error")
def test_a_stateless_fault_is_wrong_somewhere_in_every_mode_it_claims(fault: Fault) -> None:
    function, direction = function_and_direction(fault)
    for mode in fault.modes:
        wrong = outcomes(function, mode, direction)
        for answer in (right,) if direction == "forward" else (right_pixels, right_floats):
            pairs = zip(wrong, outcomes(answer, mode, direction), strict=True)
            assert not all(tell_the_same(*pair) for pair in pairs), mode


@NAMED_STATELESS
def test_a_stateless_fault_gives_the_same_outcomes_again(fault: Fault) -> None:
    function, direction = function_and_direction(fault)
    mode = fault.modes[0]
    again = tuple(outcome(function, *row[1:]) for row in panel(mode, direction))
    for first, second in zip(outcomes(function, mode, direction), again, strict=True):
        assert first is second or np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("mode", MODES)
def test_no_two_faults_are_the_same(mode: str, direction: str) -> None:
    told: list[tuple[str, tuple[Outcome, ...]]] = []
    for fault in STATELESS:
        function, found = function_and_direction(fault)
        if found != direction or mode not in fault.modes:
            continue
        given = outcomes(function, mode, direction)
        for name, other in told:
            assert not all(map(tell_the_same, given, other)), f"{fault.name} and {name} are one fault in mode {mode}"
        told.append((fault.name, given))


@NAMED
def test_a_fault_refuses_unknown_modes_and_formats_unless_that_is_its_fault(fault: Fault) -> None:
    function, _ = function_and_direction(fault)
    accepted = {"unknown_mode_taken_as_caffe": "cafe", "unknown_data_format_taken_as_channels_last": "channels_middle"}
    for data_format, mode in (("channels_last", "cafe"), ("channels_middle", fault.modes[0])):
        if accepted.get(fault.name) in (data_format, mode):
            continue
        with pytest.raises(ValueError, match=r"cafe|channels_middle"):
            function(colours((2, 3, 3)), data_format=data_format, mode=mode)


def fault_named(name: str) -> Callable[..., Any]:
    return function_and_direction(next(fault for fault in FAULTS if fault.name == name))[0]


def test_integer_arithmetic_gives_what_keras_gives() -> None:
    image = np.array([[[0, 100, 255]]], np.uint8)
    result = fault_named("integer_arithmetic")(image, "channels_last", "caffe")
    assert result.dtype == np.uint8
    assert result.tolist() == [[[152, 240, 133]]]


def test_in_place_faults_change_their_input() -> None:
    for fault in FAULTS:
        if fault.caught_by == "purity":
            function, _ = function_and_direction(fault)
            for mode in fault.modes:
                planes = np.ascontiguousarray(np.moveaxis(colours((16, 16, 3)), -1, 0).astype("float32"))
                image = np.moveaxis(planes, 0, -1)
                function(image, "channels_last", mode)
                assert not np.array_equal(image, colours((16, 16, 3))), (fault.name, mode)


def test_stale_faults_show_between_calls() -> None:
    small, large = colours((2, 3, 3)).astype("float32"), colours((5, 6, 3)).astype("float32")
    for name in ("stale_length", "dithered", "constants_of_previous_call", "running_means"):
        function = fault_named(name)
        results = [function(small, "channels_last", "caffe"), function(large, "channels_last", "caffe")]
        function(small, "channels_last", "tf" if name.startswith("constants") else "caffe")
        results += [function(small, "channels_last", "caffe"), function(large, "channels_last", "caffe")]
        expected = [right(x, "channels_last", "caffe") for x in (small, large)] * 2
        assert not all(map(np.array_equal, results, expected)), name


@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("error")
def test_an_honest_variant_is_within_rounding_of_the_definition(honest: Any, mode: str) -> None:
    spec = MODES[mode]
    for name, x, data_format, _ in panel(mode, "forward"):
        if "RGBA" in name or "unknown" in name:
            continue
        given = honest.preprocess(x, data_format=data_format, mode=mode)
        expected = preprocess_input(x, data_format, mode)
        assert given.dtype == expected.dtype.newbyteorder("="), name
        last = np.moveaxis(x, -3 if data_format == "channels_first" else -1, -1)
        exact = reference.forward(last, spec, np.dtype(np.longdouble))
        magnitude = -reference.forward(-abs(last.astype(np.longdouble)), spec, np.dtype(np.longdouble))
        found = np.moveaxis(given, -3 if data_format == "channels_first" else -1, -1)
        roundoff = np.finfo(given.dtype).eps / 2 if given.dtype.kind == "f" else 0
        with np.errstate(invalid="ignore"):
            near = (abs(found - exact) <= 8 * roundoff * magnitude) | (found == exact)
        assert np.all(near | (np.isnan(found) & np.isnan(exact))), name


@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_an_honest_variant_restores_every_byte(honest: Any, mode: str, dtype: str) -> None:
    image = np.stack([np.roll(np.arange(256), 85 * channel) for channel in range(3)], axis=-1).reshape(16, 16, 3)
    for data_format in ("channels_last", "channels_first"):
        x = in_format(image.astype(dtype), data_format)
        restored = honest.deprocess(preprocess_input(x, data_format, mode), data_format=data_format, mode=mode)
        if restored.dtype.kind == "f":
            assert np.all(abs(restored.astype(float) - x) < 0.5)
        else:
            assert np.array_equal(restored, x)


def test_honest_variants_differ_from_the_reference_in_bits() -> None:
    x = colours((16, 16, 3)).astype("float32") * np.float32(0.983)
    half = x.astype("float16")
    for honest in HONEST:
        preprocess = honest.preprocess
        assert preprocess is not None
        given = (x, half, colours((16, 16, 3)).astype("uint8"))
        results = [preprocess(images, data_format="channels_last", mode="torch") for images in given]
        expected = [preprocess_input(images, mode="torch") for images in given]
        assert not all(map(np.array_equal, results, expected)), honest.name


# The proof of the suite: every fault is caught by the check it names, and by an assertion, not a crash.

BY_NAME = {check.name: check for check in CHECKS}

# Where another fault is named, the two cannot be told apart on the inputs that fail.
NAMED_OTHERWISE = {
    "preprocessed_guessed_from_minimum": "not_preprocessed",
    "reshaped_for_transposed": "channel_axis_guessed_from_the_end",
    "negative_strides_read_forwards": "strides_ignored",
    "short_input_raw": "vector_tail_raw",
}
# Where the result of the failing cell itself is right, and the one it is compared with is wrong.
NOT_NAMED = {
    "only_uint8_scaled",
    "floats_taken_as_unit_range",
    "channel_axis_guessed_from_the_front",
    "always_channels_first",
}


@NAMED
def test_a_fault_is_caught_by_the_check_it_names_and_diagnosed(fault: Fault) -> None:
    # The ladder of sizes is long for these two dtypes and short for the others.
    selection = Selection(dtypes=("uint8", "float32")) if fault.caught_by == "sizes" else Selection()
    report = run(fault.implementation(), checks=[BY_NAME[fault.caught_by]], examples=0, selection=selection)
    failed = [result for result in report.results if result.status == "failed"]
    assert {result.mode for result in failed} == set(fault.modes)
    assert not report.conforms
    named = {result.diagnosis.partition(":")[0].removeprefix("behaves like ") for result in failed}
    if fault.stateless and fault.name not in NOT_NAMED:
        assert NAMED_OTHERWISE.get(fault.name, fault.name) in named


def test_every_check_is_the_killer_of_some_fault() -> None:
    assert {fault.caught_by for fault in FAULTS} == set(BY_NAME)


@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
def test_an_honest_variant_passes_the_whole_suite(honest: Implementation) -> None:
    report = run(honest, examples=50)
    assert [r for r in report.results if r.status == "failed"] == []
    assert report.conforms
    assert len(report.results) > 1000


@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
def test_an_honest_variant_differs_in_bits(honest: Implementation) -> None:
    """Else it would prove nothing about the tolerance."""
    checks = [BY_NAME[name] for name in ("value", "every_byte", "restores_floats")]
    selection = Selection(modes=("caffe", "tf", "torch"))
    judged = {
        r.status for r in run(replace(honest, level="exact"), checks=checks, examples=0, selection=selection).results
    }
    assert judged & {"failed"} or honest.name in ("table_lookup", "plane_by_plane")
