"""The gallery: well formed, wrong where it says so, no fault in it twice; and the proof of the suite.

The proof: every fault fails the check it names, every check is named by some fault, and honest variants pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import MODES, deprocess_input, preprocess_input, reference
from vggprep.cases import arrange
from vggprep.checks import CHECKS
from vggprep.cli.catalogue import clauses_of
from vggprep.conformance.engine import Selection, run
from vggprep.faults import FAULTS, HONEST, Fault
from vggprep.faults.arithmetic import row
from vggprep.faults.fault import fault as make_fault
from vggprep.implementations import Implementation
from vggprep.spec import DATA_FORMATS, DTYPES, DataFormat, Direction, ModeName
from vggprep.specification import BY_ID

Array = npt.NDArray[Any]
Outcome = Array | type[Exception]

STATELESS = [fault for fault in FAULTS if fault.stateless]
NAMED = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
NAMED_STATELESS = pytest.mark.parametrize("fault", STATELESS, ids=lambda fault: fault.name)
NAMED_HONEST = pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)


def colours(shape: tuple[int, ...]) -> Array:
    """Every byte, in an order that keeps the channels apart."""
    return (np.arange(np.prod(shape)) * 89 + 7).reshape(shape) % 256


def in_format(images: Array, data_format: str) -> Array:
    return np.moveaxis(images, -1, -3).copy() if data_format == "channels_first" else images


def forward_inputs() -> Iterator[tuple[str, Array, DataFormat | None]]:
    """Inputs with a data format; ``None`` for an unknown one."""
    every_byte = np.stack([np.roll(np.arange(256), 85 * channel) for channel in range(3)], axis=-1).reshape(16, 16, 3)
    fractions = colours((2, 5, 7, 3)) * 0.983 + 0.37
    for data_format in DATA_FORMATS:
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
        view = np.flip((colours((40, 41, 3)) + 0.25).astype("float32"), 1)
        yield f"large view {data_format}", np.flip(in_format(view, data_format)), data_format
        for low, high in ((-124, 152), (0, 1023), (0, 4095), (16, 235)):
            ranged = low + colours((16, 16, 3)) * (high - low) // 255
            yield f"{low}..{high} {data_format}", in_format(ranged.astype("int16"), data_format), data_format
        for dtype, shape in (
            ("float32", (1, 148, 149, 3)), ("uint8", (257, 257, 3)), ("uint8", (1, 2051, 3)), ("uint8", (33, 2, 3, 3)),
            ("uint8", (3, 17, 5, 3)),
        ):  # fmt: skip
            yield f"{shape} {data_format}", in_format(colours(shape).astype(dtype), data_format), data_format
        yield f"RGBA {data_format}", in_format(colours((4, 5, 4)), data_format), data_format
        yield f"RGBA bytes {data_format}", in_format(colours((4, 5, 4)).astype("uint8"), data_format), data_format
        for name, layout in LAYOUTS.items():
            given = layout(in_format(fractions, data_format))
            if given.shape[-1 if data_format == "channels_last" else -3] == 3:
                yield f"{name} {data_format}", given, data_format
        yield f"one channel {data_format}", in_format(colours((4, 5, 1)), data_format), data_format
    yield "unknown data_format", fractions, None


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "mirrored": lambda x: np.flip(np.flip(x, -2).copy(), -2),
    "cropped": lambda x: np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, 1), (0, 0)])[..., :-1, :],
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "pitched": lambda x: arrange(x, "channels_last", "pitched"),
    "repeated": lambda x: np.broadcast_to(x[:1], (3, *x.shape[1:])),
    "grey": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "big-endian": lambda x: x.astype(">f8"),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@cache
def panel(mode: ModeName, direction: Direction) -> tuple[tuple[str, Array, Any, Any], ...]:
    """Inputs, each with its name, data format and mode (unknown ones, too), on which to compare implementations."""
    rows: list[tuple[str, Array, Any, Any]] = []
    for name, x, data_format in forward_inputs():
        if direction == "forward":
            rows.append((name, x, data_format or "channels_middle", mode))
        elif data_format and x.dtype.kind == "f" and "nan" not in name and "RGBA" not in name and "one" not in name:
            rows.append((name, preprocess_input(x, data_format, mode), data_format, mode))
    if direction == "forward":
        rows.append(("unknown mode", colours((2, 3, 3)), "channels_last", "cafe"))
    return tuple(rows)


right_floats = partial(deprocess_input, dtype=None)


def outcome(function: Callable[..., Array], x: Array, data_format: DataFormat, mode: ModeName) -> Outcome:
    try:
        return np.array(function(x, data_format=data_format, mode=mode))
    except (ValueError, TypeError) as error:
        return type(error)


def outcomes(function: Callable[..., Array], mode: ModeName, direction: Direction) -> Iterator[Outcome]:
    return (outcome(function, x, data_format, m) for _, x, data_format, m in panel(mode, direction))


@cache
def known(function: Callable[..., Array], mode: ModeName, direction: Direction) -> tuple[Outcome, ...]:
    return tuple(outcomes(function, mode, direction))


def are_alike(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes differ by no more than arithmetic in another order makes."""
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "f":
        return np.array_equal(one, other)
    tolerance = 16 * np.finfo(one.dtype).eps
    return np.allclose(one, other, rtol=tolerance, atol=300 * tolerance, equal_nan=True)


def function_of(fault: Fault) -> Callable[..., Array]:
    function = fault.preprocess or fault.deprocess
    assert function is not None
    return function


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
    assert (fault.preprocess is None) == (fault.direction == "inverse")
    assert (fault.deprocess is None) == (fault.direction == "forward")
    assert fault.modes
    assert set(fault.modes) <= set(MODES)
    implementation = fault.implementation()
    assert implementation.name == fault.name
    assert implementation.level == "faithful"
    assert implementation.modes == fault.modes


@NAMED
def test_a_fault_returns_an_array_in_every_mode_it_claims(fault: Fault) -> None:
    function = function_of(fault)
    for mode in fault.modes:
        for dtype in ("uint8", "float32"):
            image = colours((4, 5, 3)).astype(dtype)
            given = image if fault.direction == "forward" else preprocess_input(image, mode=mode)
            assert isinstance(function(given, data_format="channels_last", mode=mode), np.ndarray)


def assert_equal_bits(first: Iterable[Outcome], second: Iterable[Outcome]) -> None:
    for one, other in zip(first, second, strict=True):
        if isinstance(one, type) or isinstance(other, type):
            assert one is other
        else:
            assert np.array_equal(one, other, equal_nan=True)


@NAMED_STATELESS
def test_a_stateless_fault_gives_the_same_outcomes_again(fault: Fault) -> None:
    function, mode = function_of(fault), fault.modes[0]
    first = tuple(outcomes(function, mode, fault.direction))
    assert_equal_bits(first, outcomes(function, mode, fault.direction))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.stateless], ids=lambda fault: fault.name)
def test_each_use_of_a_fault_starts_without_memory(fault: Fault) -> None:
    def used() -> tuple[Outcome, ...]:
        function = function_of(fault)
        rows = panel(fault.modes[0], fault.direction)
        return tuple(outcome(function, x.copy(), data_format, mode) for _, x, data_format, mode in rows)

    assert_equal_bits(used(), used())


def test_a_fault_is_made_of_a_function_whose_parameters_say_what_it_sees() -> None:
    @make_fault("value", modes=("tf",), origin="here")
    def halved(x: Array) -> Array:
        """The image is
        halved."""
        return x / 2

    @make_fault("sizes", memory=list)
    def counted(x: Array, mode: str, seen: list[int]) -> Array:
        """The calls are counted."""
        seen.append(x.shape[-1])
        return np.full(x.shape, len(seen))

    assert (halved.name, halved.story, halved.modes) == ("halved", "The image is halved.", ("tf",))
    assert (halved.caught_by, halved.origin, halved.stateless) == ("value", "here", True)
    x = np.full((3, 2, 2), 255.0, np.float32)
    given = function_of(halved)(x, "channels_first", "tf")
    assert np.array_equal(given, preprocess_input(x / 2, "channels_first", "tf"))
    assert not counted.stateless
    once = function_of(counted)
    assert [once(x, "channels_first", "tf").max() for _ in range(2)] == [1, 2]
    assert function_of(counted)(x, "channels_first", "tf").max() == 1


def test_rows_in_short_are_rows_of_the_table() -> None:
    short: dict[ModeName, str] = {
        "caffe": "BGR - 103.939 116.779 123.68",
        "tf": "RGB / 127.5 - 1",
        "torch": "RGB / 255 - 0.485 0.456 0.406 / 0.229 0.224 0.225",
        "identity": "RGB",
    }
    for mode, text in short.items():
        assert (row(text).order, row(text).steps) == (MODES[mode].order, MODES[mode].steps)


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("mode", MODES)
def test_a_stateless_fault_is_wrong_somewhere_and_no_two_are_the_same(mode: ModeName, direction: Direction) -> None:
    answers = (preprocess_input,) if direction == "forward" else (deprocess_input, right_floats)
    right = [known(answer, mode, direction) for answer in answers]
    before: dict[str, dict[int, Outcome]] = {}
    for fault in STATELESS:
        if fault.direction != direction or mode not in fault.modes:
            continue
        given = tuple(outcomes(function_of(fault), mode, direction))
        assert not any(all(map(are_alike, given, answer)) for answer in right), f"{fault.name} is right in mode {mode}"
        wrong = {place: one for place, one in enumerate(given) if not are_alike(one, right[0][place])}
        for name, other in before.items():
            same = wrong.keys() == other.keys() and all(are_alike(wrong[place], other[place]) for place in wrong)
            assert not same, f"{fault.name} and {name} are one fault in mode {mode}"
        before[fault.name] = wrong


@NAMED
def test_a_fault_refuses_unknown_modes_and_formats_unless_that_is_its_fault(fault: Fault) -> None:
    function = function_of(fault)
    accepted = {"unknown_mode_taken_as_caffe": "cafe", "unknown_data_format_taken_as_channels_last": "channels_middle"}
    for data_format, mode in (("channels_last", "cafe"), ("channels_middle", fault.modes[0])):
        if accepted.get(fault.name) in (data_format, mode):
            continue
        with pytest.raises(ValueError, match=r"cafe|channels_middle"):
            function(colours((2, 3, 3)), data_format=data_format, mode=mode)


def fault_named(name: str) -> Callable[..., Any]:
    return function_of(next(fault for fault in FAULTS if fault.name == name))


def test_integer_arithmetic_gives_what_keras_gives() -> None:
    image = np.array([[[0, 100, 255]]], np.uint8)
    result = fault_named("integer_arithmetic")(image, "channels_last", "caffe")
    assert result.dtype == np.uint8
    assert result.tolist() == [[[152, 240, 133]]]


def test_in_place_faults_change_their_input() -> None:
    for fault in FAULTS:
        if fault.caught_by == "purity":
            function = function_of(fault)
            for mode in fault.modes:
                planes = np.ascontiguousarray(np.moveaxis(colours((300, 301, 3)), -1, 0).astype("float32"))
                image = np.moveaxis(planes, 0, -1)
                function(image, "channels_last", mode)
                function(image + 1, "channels_last", mode)  # of some, the next call does it
                assert not np.array_equal(image, colours((300, 301, 3))), (fault.name, mode)


def test_stale_faults_show_between_calls() -> None:
    small, large = colours((2, 3, 3)).astype("float32"), colours((5, 6, 3)).astype("float32")
    for name in ("stale_length", "dithered", "constants_of_previous_call", "running_means"):
        function = fault_named(name)
        results = [function(small, "channels_last", "caffe"), function(large, "channels_last", "caffe")]
        function(small, "channels_last", "tf" if name.startswith("constants") else "caffe")
        results += [function(small, "channels_last", "caffe"), function(large, "channels_last", "caffe")]
        expected = [preprocess_input(x, "channels_last", "caffe") for x in (small, large)] * 2
        assert not all(map(np.array_equal, results, expected)), name


@NAMED_HONEST
@pytest.mark.parametrize("mode", MODES)
def test_an_honest_variant_is_within_rounding_of_the_definition(honest: Implementation, mode: ModeName) -> None:
    spec = MODES[mode]
    assert honest.preprocess is not None
    for name, x, data_format, _ in panel(mode, "forward"):
        if "RGBA" in name or "one channel" in name or "unknown" in name:
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


@NAMED_HONEST
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_an_honest_variant_restores_every_byte(honest: Implementation, mode: ModeName, dtype: str) -> None:
    assert honest.deprocess is not None
    image = np.stack([np.roll(np.arange(256), 85 * channel) for channel in range(3)], axis=-1).reshape(16, 16, 3)
    for data_format in DATA_FORMATS:
        x = in_format(image.astype(dtype), data_format)
        restored = honest.deprocess(preprocess_input(x, data_format, mode), data_format=data_format, mode=mode)
        if restored.dtype.kind == "f":
            assert np.all(abs(restored.astype(float) - x) < 0.5)
        else:
            assert np.array_equal(restored, x)


def test_honest_variants_differ_from_the_reference_in_bits() -> None:
    """Otherwise they prove nothing about the tolerance."""
    x = colours((16, 16, 3)).astype("float32") * np.float32(0.983)
    half = x.astype("float16")
    for honest in HONEST:
        preprocess = honest.preprocess
        assert preprocess is not None
        given = (x, half, colours((16, 16, 3)).astype("uint8"))
        results = [preprocess(images, data_format="channels_last", mode="torch") for images in given]
        expected = [preprocess_input(images, mode="torch") for images in given]
        assert not all(map(np.array_equal, results, expected)), honest.name


# The proof of the suite -------------------------------------------------------------------------------------------

BY_NAME = {check.name: check for check in CHECKS}

# Where the failing cell itself is right, and what it is compared with is wrong; or where the dtype alone is wrong.
NOT_NAMED = {
    "only_uint8_scaled",
    "floats_taken_as_unit_range",
    "channel_axis_guessed_from_the_front",
    "always_channels_first",
    "half_returned",
}

# Wrong in neither bytes nor float32, and in one dtype that their names do not say.
SHOWS_IN = {"wide_integers_cast_to_bytes": "int64", "means_through_single": "float64", "inverse_truncated": "float16"}

# Nothing but another mode, which is said to be computed.
ANOTHER_MODE = {"half_mean_half_std": "tf", "always_caffe": "caffe", "not_preprocessed": "identity"}


@pytest.mark.thorough
@NAMED
@pytest.mark.no_cover  # so many judgements take half as long again when their lines are counted; others count them
def test_a_fault_fails_the_check_it_names_without_a_crash_and_is_diagnosed(fault: Fault) -> None:
    # Sizes, layouts and memory show in float32, and take long. The faults of a check share further dtypes out among
    # them, as it may crash in none.
    same_check = [other.name for other in FAULTS if other.caught_by == fault.caught_by]
    turn = same_check.index(fault.name)
    if fault.caught_by in ("sizes", "memory_layouts") or not fault.stateless:
        dtypes = ("float32", "uint8")[: 1 + (turn % 3 == 0)]
    else:
        own = [dtype for dtype in DTYPES if fault.name.startswith(dtype) or SHOWS_IN.get(fault.name) == dtype]
        share = ("int8", "int64", "float16", "float64")[turn % 4 :: len(same_check)]
        dtypes = ("uint8", "float32", *share, *own)
    selection = Selection(dtypes=dtypes)
    report = run(fault.implementation(), checks=[BY_NAME[fault.caught_by]], examples=0, selection=selection)
    assert all(result.status != "error" for result in report.results)
    failed = [r for r in report.results if r.status == "failed" and r.check == fault.caught_by]
    assert {result.mode for result in failed} == set(fault.modes)
    assert not report.conforms
    broken = {clause for clause in clauses_of(fault) if "faithful" in BY_ID[clause].levels} - {"VP-INPUT-3"}
    assert broken & {*BY_NAME[fault.caught_by].clauses} <= {clause for result in failed for clause in result.clauses}
    named = {result.diagnosis.partition(":")[0].removeprefix("behaves like ") for result in failed}
    if fault.stateless and fault.name not in NOT_NAMED:
        other = f"computes mode {ANOTHER_MODE.get(fault.name)}"
        assert fault.name in named or any(said.startswith(other) for said in named)


def test_every_check_is_the_killer_of_some_fault() -> None:
    assert {fault.caught_by for fault in FAULTS} == set(BY_NAME)


@pytest.mark.thorough
@NAMED_HONEST
@pytest.mark.no_cover
def test_an_honest_variant_passes_the_whole_suite(honest: Implementation) -> None:
    # Rounding is coarse in these; of the others, each variant has one.
    other = ("uint8", "int16", "uint64", "float64")[HONEST.index(honest) % 4]
    dtypes = (other, "float16", "bfloat16", "float32")
    report = run(honest, examples=5, selection=Selection(dtypes=dtypes))
    assert [r for r in report.results if r.status in ("failed", "error")] == []
    assert report.conforms
    assert len(report.results) > 500
