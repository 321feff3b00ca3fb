"""The enumeration: what is enumerated, how it is judged, and what is kept of it. In this process, nothing mocked."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import deprocess_input, oracle, preprocess_input
from vggprep.cases import available_dtypes
from vggprep.conformance.engine import Selection
from vggprep.faults import FAULTS, HONEST, Fault
from vggprep.implementations import Implementation
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import Certificate, ProofError, Row, Worst, certificates, plan, prove, verify
from vggprep.proof.domains import BITS, DTYPES, SAMPLES, SHARD, SMALL, domain
from vggprep.proof.shards import IMAGE, Part, Tally, from_bits, implementations, judge
from vggprep.spec import Direction

Array = npt.NDArray[Any]

WIDE = tuple(dtype for dtype in BITS if dtype not in SMALL)


def needs(dtype: str) -> None:
    if dtype not in available_dtypes():
        pytest.skip(f"NumPy has no {dtype} here")


def bits(values: Array) -> Array:
    """The patterns of values, as unsigned integers."""
    return values.view(f"uint{8 * values.dtype.itemsize}")


# What is enumerated -------------------------------------------------------------------------------------------------


def test_the_dtypes_of_up_to_32_bits_are_enumerated_and_the_others_sampled() -> None:
    assert {d: BITS[d] for d in BITS} == {
        "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "float16": 16, "bfloat16": 16,
        "float32": 32, "int32": 32, "uint32": 32,
    }  # fmt: skip
    assert set(DTYPES) - set(BITS) == set(SAMPLES) == {"float64", "int64", "uint64"}
    for dtype in ("uint8", "float32", "float64"):
        assert domain(dtype).complete == (dtype in BITS)


@pytest.mark.parametrize("dtype", SMALL)
def test_every_bit_pattern_comes_in_each_channel_exactly_once(dtype: str) -> None:
    needs(dtype)
    found = domain(dtype)
    assert [stop - start for start, stop in found.shards] == [1 << BITS[dtype]]
    for channel in range(3):
        values = found.values(0, found.size, channel)
        assert values.dtype.name == dtype
        assert np.array_equal(np.sort(bits(values)), np.arange(1 << BITS[dtype]))


def test_nan_payloads_subnormals_infinities_and_both_zeros_are_among_the_patterns() -> None:
    values = domain("float16").values(0, 1 << 16)
    assert np.isnan(values).sum() == 2 * 1023
    assert np.isinf(values).sum() == 2
    assert ((values != 0) & (abs(values) < np.finfo(np.float16).smallest_normal)).sum() == 2 * 1023
    assert sorted(np.signbit(values[values == 0])) == [False, True]


@pytest.mark.parametrize("dtype", WIDE)
def test_the_shards_of_32_bits_tile_all_patterns(dtype: str) -> None:
    parts = sorted(domain(dtype).shards)
    assert parts[0][0] == 0
    assert parts[-1][1] == 1 << 32
    assert [stop for _, stop in parts[:-1]] == [start for start, _ in parts[1:]]
    assert {stop - start for start, stop in parts} == {SHARD}


def test_the_search_of_float32_begins_where_pixels_are() -> None:
    first = domain("float32").shards[0]
    pattern = int(np.float32(128).view(np.uint32))
    assert first[0] <= pattern < first[1]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("channel", range(3))
def test_a_part_of_32_bits_holds_the_patterns_that_it_should(dtype: str, channel: int) -> None:
    found = domain(dtype)
    for start in (0, 1, 0x7F800000 - 2, 0x80000000 - 2, (1 << 32) // 3 - 2, (1 << 32) - SHARD, (1 << 32) - 3):
        values = found.values(start, 5, channel)
        offset = channel * ((1 << 32) // 3)
        assert values.dtype.name == dtype
        assert bits(values).tolist() == [(start + offset + i) % (1 << 32) for i in range(5)]


@pytest.mark.parametrize("dtype", BITS)
def test_no_two_channels_of_a_pixel_are_alike(dtype: str) -> None:
    needs(dtype)
    found = domain(dtype)
    count = min(found.size, 1 << 16)
    for start in {0, found.size - count}:
        red, green, blue = (bits(found.values(start, count, channel)) for channel in range(3))
        assert not ((red == green) | (green == blue) | (blue == red)).any()


def test_the_sample_of_float64_is_what_it_says() -> None:
    found = domain("float64")
    values = found.values(0, found.size)
    held = set(bits(values).tolist())
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    with np.errstate(invalid="ignore"):  # what NumPy says of signalling NaNs
        brain = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32).astype(np.float64)
    for widened in (half, brain, np.arange((1 << 16) + 1, dtype=np.float64)):
        assert held.issuperset(bits(widened).tolist())
    distinct = np.array(sorted(held), np.uint64)
    assert np.bincount((distinct >> np.uint64(52)).astype(int), minlength=1 << 12).min() >= 32
    assert {1, (1 << 63) + 1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000001} <= held  # subnormals, largest, signalling NaN


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_sample_of_64_bit_integers_is_what_it_says(dtype: str) -> None:
    found = domain(dtype)
    values = found.values(0, found.size)
    inner = values <= 1 << 24
    if dtype == "int64":
        inner &= values >= -(1 << 24)
    small = np.zeros((1 << 25) + 1, np.bool_)
    small[values[inner].astype(np.int64) + (1 << 24)] = True
    assert small[0 if dtype == "int64" else 1 << 24 :].all()
    outer = values[~inner]
    for signed in (outer, -outer.astype(np.int64)) if dtype == "int64" else (outer,):
        long = signed[signed > 0].astype(np.uint64)
        for length in range(25, 65 if dtype == "uint64" else 64):
            distinct = np.unique(long[long >> np.uint64(length - 1) == 1])
            assert len(distinct) >= 4095  # two meet, of the shortest


# What it is judged by -----------------------------------------------------------------------------------------------

OPERATIONS = {
    oracle.operations(direction, mode, channel): (direction, mode, channel)
    for direction in ("forward", "inverse")
    for mode in ("identity", "torch", "tf", "caffe")
    for channel in (2, 1, 0)
}
"""One direction, mode and channel for each of the different sequences of operations."""

EACH_PLANE = pytest.mark.parametrize(("direction", "mode", "channel"), OPERATIONS.values())


def same_bits(got: Array, expected: list[float]) -> bool:
    """Whether float32 values are the expected ones, zeros with their signs, all NaNs being equal."""
    wide = np.array(expected)
    return bool((((got == wide) & (np.signbit(got) == np.signbit(wide))) | (np.isnan(got) & np.isnan(wide))).all())


def difficult_floats() -> Array:
    """float32 values on which a second rounding could go wrong: near ties, at the ends, and anything."""
    random = np.random.default_rng(19)
    largest = np.finfo(np.float32).max
    with np.errstate(all="ignore"):
        ends = [[0.0, 1.0, largest, 2.0**100, 2.0**-126, 2.0**-149, np.inf, np.nan]]
        ends += [largest / np.float32(c) for c in (255, 127.5, 123.68, 0.485, 0.229, 0.224, 0.225)]
        # What a division makes a tie of, or nearly: of subnormals, of the smallest normals, and of the middle.
        for constant in (255, 127.5, 0.229, 0.224, 0.225):
            for exponent in (-149, -127, -24):
                ends.append(np.ldexp((random.integers(0, 1 << 23, 60) + 0.5) * np.float32(constant), exponent))
        # And what a sum does.
        for constant in (103.939, 116.779, 123.68, 0.485, 0.456, 0.406, 1):
            ends.append(np.float32(constant) + np.ldexp(random.integers(0, 1 << 25, 60) + 0.5, -24))
        singles = np.concatenate([np.ravel(e) for e in ends]).astype(np.float32)
    near = [bits(singles) + np.uint32(step) for step in (0, 1, 2)] + [bits(singles) - np.uint32(1)]
    anything = random.integers(0, 1 << 32, 3000, np.uint64).astype(np.uint32)
    both = np.concatenate([*near, anything])
    return np.concatenate([both, both ^ np.uint32(1 << 31)]).view(np.float32)


DIFFICULT = {
    "float32": difficult_floats(),
    "int32": np.array([*range(-3, 300), -(2**31), 2**31 - 1, 2**24 + 1, 2**24 + 3, 2**25 + 2, -(2**24) - 1], np.int32),
    "uint32": np.array([*range(300), 2**32 - 1, 2**31, 2**24 + 1, 2**32 - 2**7, 2**32 - 2**7 - 1], np.uint32),
    "uint16": np.array([*range(300), 2**16 - 1, 2**15], np.uint16),
    "int16": np.array([*range(-300, 300), 2**15 - 1, -(2**15)], np.int16),
    "int8": np.arange(-128, 128).astype(np.int8),
}


@EACH_PLANE
def test_exact_plane_is_what_rationals_say(direction: Direction, mode: str, channel: int) -> None:
    for dtype, values in DIFFICULT.items():
        got = oracle.exact_plane(values, direction, mode, channel)
        assert got.dtype == np.float32
        assert same_bits(got, [oracle.one_exact(v, direction, mode, channel, "float32") for v in values.tolist()]), (
            dtype
        )


@EACH_PLANE
def test_exact_plane_is_what_rationals_say_of_every_upper_half_of_a_pattern(
    direction: Direction, mode: str, channel: int
) -> None:
    values = (np.arange(0, 1 << 16, dtype=np.uint32) << 16).view(np.float32)[channel::3]
    got = oracle.exact_plane(values, direction, mode, channel)
    assert same_bits(got, [oracle.one_exact(v, direction, mode, channel, "float32") for v in values.tolist()])


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_exact_plane_is_what_exact_says_of_whole_images(mode: str) -> None:
    for direction in ("forward", "inverse"):
        values = np.random.default_rng(7).integers(0, 1 << 32, (3000, 3), np.uint64).astype(np.uint32).view(np.float32)
        expected = oracle.exact(values, direction, mode)
        for channel, source, target in oracle.channels(direction, mode):
            assert same_bits(oracle.exact_plane(values[:, source], direction, mode, channel), expected[:, target])


@EACH_PLANE
def test_real_plane_is_off_by_less_than_the_search_allows_for(direction: Direction, mode: str, channel: int) -> None:
    # shards._Run._sharpen takes an error of real_plane for less than 5 units of 2**-53·S.
    values = DIFFICULT["float32"]
    values = values[np.isfinite(values)].astype(np.float64)
    target, scale = oracle.real_plane(values, direction, mode, channel)
    for value, found, size in zip(values.tolist(), target.tolist(), scale.tolist(), strict=True):
        magnitude = oracle.one_magnitude(value, direction, mode, channel)
        assert abs(Fraction(found) - oracle.one_real(value, direction, mode, channel)) * 2**53 <= 4 * magnitude
        assert abs(Fraction(size) - magnitude) * 2**53 <= 8 * magnitude


# What is wrong is found ---------------------------------------------------------------------------------------------

GALLERY = SimpleNamespace(**{one.name: one for one in (*(fault.implementation() for fault in FAULTS), *HONEST)})


def one_thread() -> ThreadPoolExecutor:
    """An executor that works in this process."""
    return ThreadPoolExecutor(1)


def proven(
    target: str,
    *dtypes: str,
    inverse: bool = False,
    modes: tuple[str, ...] | None = None,
    level: Any = None,
    everything: bool = True,
    progress_file: Path | None = None,
) -> Certificate:
    """The certificate of a target in this module."""
    name = f"{__name__}:{target}"
    wanted = TargetSpec((), name, level) if inverse else TargetSpec((name,), None, level)
    selection = Selection(modes, None, tuple(d for d in dtypes if d in available_dtypes()))
    what = plan(wanted, selection, everything=everything)
    return prove(what, progress_file=progress_file, executor=f"{__name__}:one_thread")


def rows_of(certificate: Certificate, **wanted: str) -> list[Row]:
    return [row for row in certificate.rows if all(getattr(row, key) == value for key, value in wanted.items())]


QUICK = ("uint8", "int8", "int16", "uint16", "float16")

# Enumeration looks at values: of these faults it never meets the occasion. Rank 4 alone is judged, native and
# contiguous images in batches of one, of one large size, in a mode and a data format that exist.
UNSEEN = {
    "memory_layouts": {
        "strides_ignored", "negative_strides_read_forwards", "negative_strides_refused", "non_contiguous_refused",
        "read_only_refused", "cropped_rows_read_flat",
    },
    "byte_order": {"byte_order_ignored"},
    "errors": {
        "unknown_mode_taken_as_caffe", "unknown_data_format_taken_as_channels_last", "alpha_of_bytes_dropped",
        "alpha_dropped",
    },
    "sizes": {"vector_tail_raw", "short_input_raw", "last_block_missing", "empty_refused"},
    "batch_consistency": {"first_image_only"},
    "shape_and_dtype": {"batch_axis_added"},  # to images of rank 3
    "layout_equivariance": {  # in images of rank 3, or with a side of 3
        "rank_3_means_along_height", "rank_4_means_along_width", "means_added_as_bias", "std_along_width",
        "channel_axis_guessed_from_the_end", "channel_axis_guessed_from_the_front",
    },
    # Of bool and the 64-bit dtypes, which are not enumerated; and of images whose largest value is small.
    "value": {"bool_taken_as_black_and_white", "means_through_single", "range_guessed_from_maximum"},
    "integers_agree": {"int64_through_half"},
}  # fmt: skip


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.stateless], ids=lambda fault: fault.name)
def test_a_fault_that_shows_in_values_is_found_in_every_mode(fault: Fault) -> None:
    found: set[str] = set()
    for dtype in QUICK:
        certificate = proven(f"GALLERY.{fault.name}", dtype, inverse=fault.preprocess is None)
        found |= {row.mode for row in certificate.rows if row.status == "wrong"}
        if found == set(fault.modes):
            break
    assert found == (set() if fault.name in UNSEEN.get(fault.caught_by, ()) else set(fault.modes))


def test_what_goes_unseen_is_in_the_gallery() -> None:
    assert {(fault.caught_by, fault.name) for fault in FAULTS} >= {(c, n) for c, names in UNSEEN.items() for n in names}


@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
def test_an_honest_variant_holds_for_every_pattern(honest: Implementation) -> None:
    certificate = proven(f"GALLERY.{honest.name}", *QUICK, "bfloat16")
    assert {row.status for row in certificate.rows} == {"proven"}
    assert certificate.holds
    assert {row.direction for row in certificate.rows} == {"forward", "inverse"}
    assert all(row.patterns == 1 << BITS[row.dtype] for row in certificate.rows)


def test_the_reference_holds_to_the_bit() -> None:
    name = ("reference",)
    certificate = prove(plan(TargetSpec(name), Selection(None, None, SMALL[:2])), executor=f"{__name__}:one_thread")
    assert {(row.level, row.status) for row in certificate.rows} == {("exact", "proven")}
    assert len(certificate.rows) == 2 * 3 * 4 * 2  # dtypes; forward, to pixels and to floats; modes; data formats
    assert certificate.values == sum(3 * row.patterns for row in certificate.rows)


def test_a_level_can_be_too_much_for_an_honest_variant() -> None:
    certificate = proven("GALLERY.reciprocal", "uint8", modes=("torch",), level="exact")
    assert {row.status for row in rows_of(certificate, direction="forward")} == {"wrong"}
    assert not certificate.holds


# One value in the whole domain --------------------------------------------------------------------------------------


def one_number_wrong(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[x == 43981] = 7
    return y


def one_nan_made_a_number(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[bits(x) == 0x7D23] = 0
    return y


def minus_zero_made_white(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[(x == 0) & np.signbit(x)] = 1
    return y


def sign_of_zero_lost(x: Array, mode: str = "identity") -> Array:
    return preprocess_input(x, mode=mode) + x.dtype.type(0)


def wrong_in_blue(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[..., 2][x[..., 2] == 200] = 0
    return y


def wrong_channels_first(x: Array, data_format: str, mode: str = "tf") -> Array:
    y = preprocess_input(x, data_format, mode)
    if data_format == "channels_first":
        y[x == 201] = 0
    return y


def infinity_made_a_number(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[x == np.inf] = 60000
    return y


def pixel_at(pattern: int, channel: int, dtype: str) -> tuple[str, ...]:
    """The pixel, as hexadecimal digits, in which a channel meets a pattern."""
    found = domain(dtype)
    start = (pattern - channel * (found.size // 3)) % found.size
    return tuple(f"{int(bits(found.values(start, 1, each))[0]):0{BITS[dtype] // 4}x}" for each in range(3))


@pytest.mark.parametrize(
    ("target", "dtype", "mode", "pattern", "channel", "values"),
    [
        ("one_number_wrong", "uint16", "tf", 43981, 0, 3),
        ("one_nan_made_a_number", "float16", "tf", 0x7D23, 0, 3),
        ("minus_zero_made_white", "float16", "tf", 0x8000, 0, 3),
        ("infinity_made_a_number", "float16", "tf", 0x7C00, 0, 3),
        ("wrong_in_blue", "uint8", "tf", 200, 2, 1),
    ],
)
def test_one_wrong_pattern_in_the_whole_domain_is_found_and_told(
    target: str, dtype: str, mode: str, pattern: int, channel: int, values: int
) -> None:
    certificate = proven(target, dtype, modes=(mode,))
    assert not certificate.holds
    (row,) = certificate.rows
    assert (row.status, row.wrong, row.patterns) == ("wrong", values, 1 << BITS[dtype])
    assert row.counterexample == pixel_at(pattern, channel, dtype)
    assert row.digest == ""


def nan_for_one_number(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    y[x == 200] = np.nan
    return y


def test_a_number_made_nan_is_infinitely_wrong() -> None:
    (row,) = proven("nan_for_one_number", "uint8", modes=("tf",)).rows
    assert (row.status, row.wrong) == ("wrong", 3)
    assert row.units is not None
    assert (row.units.error, row.units.value) == (float("inf"), "200")
    assert row.levels is not None
    assert (row.levels.error, row.levels.value) == (float("inf"), "200")


def test_a_sign_of_zero_is_wrong_to_the_bit_and_nothing_else() -> None:
    (faithful,) = proven("sign_of_zero_lost", "float16", modes=("identity",)).rows
    (exact,) = proven("sign_of_zero_lost", "float16", modes=("identity",), level="exact").rows
    assert faithful.status == "proven"
    assert (exact.status, exact.wrong) == ("wrong", 3)
    assert exact.counterexample == pixel_at(0x8000, 0, "float16")


def test_what_is_wrong_in_one_data_format_is_told_of_that_one() -> None:
    certificate = proven("wrong_channels_first", "uint8", modes=("tf",))
    by_format = {row.data_format: row for row in certificate.rows}
    assert by_format["channels_last"].status == "proven"
    assert by_format["channels_first"].wrong == 3
    assert by_format["channels_first"].counterexample == pixel_at(201, 0, "uint8")


def test_the_first_counterexample_ends_the_search() -> None:
    certificate = proven("one_number_wrong", "uint16", "int16", "float16", modes=("tf",), everything=False)
    assert [row.status for row in certificate.rows].count("wrong") == 1
    assert "unfinished" in {row.status for row in certificate.rows}
    assert not certificate.holds


# What comes back is no result ---------------------------------------------------------------------------------------


def integers_kept(x: Array, mode: str = "caffe") -> Array:
    return preprocess_input(x, mode=mode).astype(x.dtype)


def raises_for_one_value(x: Array, mode: str = "tf") -> Array:
    if (x == 43981).any():
        raise ArithmeticError("no such grey")
    return preprocess_input(x, mode=mode)


def a_list_for_large_images(x: Array, mode: str = "tf") -> Any:
    y = preprocess_input(x, mode=mode)
    return y if x.size < 5000 else y.tolist()


def another_axis_for_large_images(x: Array, mode: str = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    return y if x.size < 5000 else y[np.newaxis]


def refuses_integers(x: Array, mode: str = "tf") -> Array:
    if x.dtype.kind != "f":
        raise TypeError("floats only")
    return preprocess_input(x, mode=mode)


def test_integers_that_stay_integers_are_all_wrong_and_grey_levels_say_how_far() -> None:
    (row,) = proven("integers_kept", "int16", modes=("caffe",)).rows
    assert (row.status, row.wrong, row.patterns) == ("wrong", 3 << 16, 1 << 16)
    assert "returns int16 for int16, not a floating dtype" in row.message
    # What the cast cuts off, of pixel-like values, the largest mean first in line: at most 0.939.
    assert row.levels is not None
    assert row.levels.error == pytest.approx(0.939, abs=1e-6)


def test_a_function_that_raises_for_one_value_is_told_with_that_value() -> None:
    (row,) = proven("raises_for_one_value", "uint16", modes=("tf",)).rows
    assert row.status == "wrong"
    assert row.message == "ArithmeticError: no such grey"
    assert row.counterexample is not None
    assert f"{43981:04x}" in row.counterexample


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("a_list_for_large_images", "returns a list, not a NumPy array"),
        ("another_axis_for_large_images", "returns shape (1, 1, "),
    ],
)
def test_what_is_no_image_of_the_same_shape_is_wrong(target: str, said: str) -> None:
    (row,) = proven(target, "uint16", modes=("tf",)).rows
    assert row.status == "wrong"
    assert row.message.startswith(said)


def test_what_is_refused_is_no_proof() -> None:
    certificate = proven("refuses_integers", "uint8", "float16", modes=("tf",))
    assert [(row.dtype, row.status) for row in certificate.rows] == [("float16", "proven"), ("uint8", "refused")]
    assert certificate.rows[1].message == "TypeError: floats only"
    assert certificate.holds
    assert not proven("refuses_integers", "uint8", modes=("tf",)).holds


# Inverses -----------------------------------------------------------------------------------------------------------


def truncating(y: Array, mode: str = "tf") -> Array:
    return ((y + 1) * np.float32(127.5)).clip(0, 255).astype(np.uint8)


def test_an_inverse_that_truncates_loses_pixels() -> None:
    (row,) = proven("truncating", "uint8", inverse=True, modes=("tf",)).rows
    pixels = np.arange(256, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=-1)
    lost = int((truncating(preprocess_input(pixels, mode="tf")) != pixels).sum())
    assert lost > 0
    assert (row.status, row.lost) == ("wrong", lost)
    assert row.units is None
    assert row.levels is not None
    assert row.levels.error == 1
    assert truncating(preprocess_input(np.full((1, 1, 3), int(row.levels.value), np.uint8), mode="tf"))[
        0, 0, row.levels.channel
    ] != int(row.levels.value)


def test_the_inverse_to_pixels_loses_none() -> None:
    wanted = TargetSpec(("reference",))
    rows = prove(plan(wanted, Selection(None, None, QUICK)), executor=f"{__name__}:one_thread").rows
    to_pixels = [row for row in rows if row.direction == "inverse" and row.units is None]
    assert {row.dtype for row in to_pixels} == set(QUICK)
    assert {row.lost for row in to_pixels} == {0}
    assert all(row.levels is not None and row.levels.error == 0 for row in to_pixels if row.dtype == "uint8")


# The worst errors ---------------------------------------------------------------------------------------------------


def right(x: Array, data_format: str, mode: str) -> Array:
    return preprocess_input(x, data_format, mode)


def to_floats(y: Array, data_format: str, mode: str) -> Array:
    return deprocess_input(y, data_format, mode, dtype=None)


def attains(worst: Worst | None, dtype: str, errors: dict[tuple[Any, int], Fraction]) -> bool:
    """Whether an error is the largest, within what it promises, and the exact one of the input told with it."""
    assert worst is not None
    told = from_bits(worst.bits, dtype).item()
    assert repr(told) == worst.value
    largest = max(errors.values())
    return (
        worst.error == float(errors[told, worst.channel]) and largest <= Fraction(worst.error) * (1 + 2**-24) + 2**-24
    )


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("target", ["right", "GALLERY.reciprocal", "GALLERY.fused_multiply_add"])
def test_the_worst_error_over_all_bytes_is_what_rationals_say(target: str, mode: str) -> None:
    rows = rows_of(proven(target, "uint8", modes=(mode,)), direction="forward")
    function = implementations(TargetSpec((f"{__name__}:{target}",)))[0].preprocess
    assert function is not None
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    got = function(image, data_format="channels_last", mode=mode).reshape(256, 3).tolist()
    units, levels = {}, {}
    for channel, source, target_channel in oracle.channels("forward", mode):
        level = oracle.one_real(1, "forward", mode, channel) - oracle.one_real(0, "forward", mode, channel)
        for value in range(256):
            result = got[value][target_channel]
            units[value, source] = oracle.one_error(value, result, "forward", mode, channel, "float32")
            levels[value, source] = abs(Fraction(result) - oracle.one_real(value, "forward", mode, channel)) / level
    assert max(units.values()) > 0
    assert len(rows) == 2
    for row in rows:
        assert attains(row.units, "uint8", units)
        assert attains(row.levels, "uint8", levels)


@pytest.mark.parametrize("target", ["right", "GALLERY.folded_affine"])
def test_the_worst_error_over_all_halves_is_what_rationals_say(target: str) -> None:
    (row, _) = rows_of(proven(target, "float16", modes=("tf",)), direction="forward")
    function = implementations(TargetSpec((f"{__name__}:{target}",)))[0].preprocess
    assert function is not None
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    got = function(patterns.reshape(1, 256, 256, 1).repeat(3, axis=-1), data_format="channels_last", mode="tf")
    units, levels = {}, {}
    for value, result in zip(patterns.tolist(), got.reshape(-1, 3)[:, 0].tolist(), strict=True):
        if abs(value) <= 2**14:  # where the bound applies
            error = oracle.one_error(value, result, "forward", "tf", 0, "float16")
            # All channels have the same constants.
            units.update({(value, channel): error for channel in range(3)})
            if abs(value) <= 1024:
                error = abs(Fraction(result) - oracle.one_real(value, "forward", "tf", 0)) * Fraction("127.5")
                levels.update({(value, channel): error for channel in range(3)})
    assert attains(row.units, "float16", units)
    assert attains(row.levels, "float16", levels)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_the_worst_error_of_the_way_there_and_back_is_what_rationals_say(mode: str) -> None:
    (row, _) = proven("to_floats", "int16", inverse=True, modes=(mode,)).rows
    image = np.arange(-(1 << 15), 1 << 15).astype(np.int16).reshape(256, 256, 1).repeat(3, axis=-1)
    fed = preprocess_input(image, mode=mode)
    back = deprocess_input(fed, mode=mode, dtype=None)
    units, levels = {}, {}
    for channel, source, target in oracle.channels("inverse", mode):
        given, found = fed[..., source].ravel().tolist(), back[..., target].ravel().tolist()
        for value, y, x in zip(image[..., 0].ravel().tolist(), given, found, strict=True):
            if x != value:
                scale = oracle.one_magnitude(y, "inverse", mode, channel)
                units[value, target] = abs(Fraction(x) - value) / scale * 2**24
                if abs(value) <= 1024:
                    levels[value, target] = abs(Fraction(x) - value)
    assert attains(row.units, "int16", units)
    assert attains(row.levels, "int16", levels)


# Parts of 32 bits and of samples ------------------------------------------------------------------------------------


def one_single_raises(x: Array, mode: str = "tf") -> Array:
    if (x == np.float32(130.5)).any():
        raise ArithmeticError("no such grey")
    return preprocess_input(x, mode=mode)


def part(target: str, dtype: str, start: int, stop: int, mode: str = "tf") -> Tally:
    """What comes of some patterns, channels last."""
    words = (TargetSpec((f"{__name__}:{target}",)), 0, "forward", mode, ("channels_last",), dtype)
    return judge(Part(*words, start, stop, True))[0]  # type: ignore[arg-type]


def test_a_part_of_many_images_is_judged_to_its_end() -> None:
    start = int(np.float32(128).view(np.uint32))
    bad = int(np.float32(130.5).view(np.uint32))
    assert start + IMAGE < bad < start + 2 * IMAGE
    found = part("one_single_raises", "float32", start, start + 3 * IMAGE)
    assert found.refusal == "ArithmeticError: no such grey"
    assert found.counterexample is not None
    assert f"{bad:08x}" in found.counterexample
    assert found.patterns == 2 * IMAGE  # that image gave nothing
    assert part("right", "float32", start, start + 3 * IMAGE).patterns == 3 * IMAGE


def test_what_is_wrong_with_a_sampled_dtype_is_found_in_the_sample() -> None:
    wanted = TargetSpec((f"{__name__}:GALLERY.means_through_single",))
    words = (wanted, 0, "forward", "caffe", ("channels_last",), "float64", 131072, 131072 + 256, True)
    (found,) = judge(Part(*words))  # type: ignore[arg-type]
    assert found.wrong > 0
    assert part("right", "float64", 131072, 131072 + 256, "caffe").wrong == 0


# Certificates -------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate() -> Certificate:
    """One with something proven, something wrong, something refused and an infinite error."""
    found = proven("refuses_integers", "uint8", "float16", modes=("tf",))
    wrong = proven("infinity_made_a_number", "float16", modes=("tf",)).rows[0]
    return replace(found, rows=(*found.rows, replace(wrong, units=Worst(float("inf"), "7bff", "65504.0", 1))))


def test_a_certificate_that_is_written_and_read_says_the_same(certificate: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    certificates.write(certificate, path)
    found = certificates.read(path)
    assert found.rows == certificate.rows
    assert {row.status for row in found.rows} == {"proven", "refused", "wrong"}
    assert replace(found, wanted={}) == replace(certificate, wanted={})
    assert dict(found.wanted) == {**certificate.wanted, "targets": list(certificate.wanted["targets"])}
    assert not found.holds


def test_half_a_certificate_is_none(certificate: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    certificates.write(certificate, path)
    whole = path.read_text(encoding="utf-8")
    for length in range(0, len(whole) - 2, 97):
        path.write_text(whole[:length], encoding="utf-8")
        with pytest.raises(ProofError, match=r"is no certificate, or half of one: [^\n]+$"):
            certificates.read(path)


def test_what_is_no_certificate_is_told_in_one_line(certificate: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    certificates.write(certificate, path)
    whole = json.loads(path.read_text(encoding="utf-8"))
    row = whole["rows"][0]
    for other, said in [
        ([], "it names no format"),
        ({"kind": "header", "format": "vggprep-report/1"}, "its format is 'vggprep-report/1'"),
        ({**whole, "format": "vggprep-certificate/2"}, "its format is 'vggprep-certificate/2'"),
        ({key: value for key, value in whole.items() if key != "versions"}, "versions"),
        ({**whole, "versions": None}, "None is no object"),
        ({**whole, "wanted": 5}, "5 is no object"),
        ({key: value for key, value in whole.items() if key != "rows"}, "'rows'"),
        ({**whole, "rows": [{**row, "colour": "red"}]}, "colour"),
        ({**whole, "rows": [{**row, "units": ["much", "7bff", "65504.0", 1]}]}, "much"),
        ({**whole, "rows": ["proven"]}, "not a whole certificate"),
    ]:
        path.write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(ProofError) as error:
            certificates.read(path)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    path.write_bytes(b"\x93NUMPY\x01\xff")
    with pytest.raises(ProofError, match="is no certificate"):
        certificates.read(path)
    for missing in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(ProofError, match="cannot read"):
            certificates.read(missing)


def test_a_certificate_that_names_no_target_cannot_be_verified(certificate: Certificate) -> None:
    with pytest.raises(ProofError, match="does not say what it is about"):
        verify(replace(certificate, wanted={}))


def test_a_certificate_that_cannot_be_written_leaves_the_old_one(certificate: Certificate, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "certificate.json"
    certificates.write(certificate, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(ProofError, match=r"cannot write .*certificate.json: File too large$"):
            certificates.write(certificate, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["certificate.json"]
    for nowhere in (path / "below.json", tmp_path / "nowhere" / "certificate.json"):
        with pytest.raises(ProofError, match="cannot write"):
            certificates.write(certificate, nowhere)


def test_a_certificate_is_verified_by_doing_parts_of_it_again() -> None:
    good = proven("right", "uint8", "int8", "float16", modes=("tf", "torch"))
    here = f"{__name__}:one_thread"
    found = verify(good, parts=4, seed=3, executor=here)
    assert (found.again, found.of, found.disagreements, found.notes) == (4, 6, (), ())
    assert verify(good, parts=100, executor=here).again == 6

    bad = replace(good, rows=(*good.rows[:-1], replace(good.rows[-1], digests=("0" * 32,))))
    (said,) = verify(bad, parts=6, executor=here).disagreements
    assert "other outputs than the certificate tells of" in said
    assert good.rows[-1].data_format in said
    assert good.rows[-1].dtype in said

    row = good.rows[-1]
    assert row.units is not None
    for better in (None, row.units._replace(error=row.units.error * 0.99)):
        bad = replace(good, rows=(*good.rows[:-1], replace(row, units=better)))
        (said,) = verify(bad, parts=6, executor=here).disagreements
        assert "larger errors than the certificate tells of" in said

    older = replace(good, versions={**good.versions, "numpy": "1.0"}, machine={**good.machine, "machine": "abacus"})
    notes = verify(older, parts=1, executor=here).notes
    assert [note.partition(":")[0] for note in notes] == [
        "other versions than in the certificate",
        "other machine than in the certificate",
    ]
    with pytest.raises(ProofError, match="has no part"):
        verify(replace(good, rows=tuple(replace(row, digests=()) for row in good.rows)), executor=here)


def test_a_certificate_of_what_is_wrong_is_verified_too() -> None:
    wrong = proven("one_number_wrong", "uint16", modes=("tf",))
    assert verify(wrong, executor=f"{__name__}:one_thread").disagreements == ()
    (said,) = verify(
        replace(wrong, rows=tuple(replace(row, wrong=0, status="proven") for row in wrong.rows)),
        executor=f"{__name__}:one_thread",
    ).disagreements
    assert "3 values are wrong" in said


# Progress -----------------------------------------------------------------------------------------------------------


def counted(x: Array, mode: str = "tf") -> Array:
    if x.size > 100_000:
        with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as file:
            file.write(f"{x.dtype.name}\n")
    return preprocess_input(x, mode=mode)


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "certificate.json.progress"


def counted_proof(progress: Path, *dtypes: str, **more: Any) -> tuple[Certificate, list[str]]:
    """The certificate of ``counted``, and the dtypes of its calls on large images."""
    calls = Path(os.environ["CALLS"])
    calls.write_text("", encoding="utf-8")
    certificate = proven("counted", *dtypes, progress_file=progress, **more)
    return certificate, calls.read_text(encoding="utf-8").split()


def timeless(certificate: Certificate) -> list[Row]:
    return [replace(row, seconds=0) for row in certificate.rows]


def test_what_is_done_is_not_done_again(progress: Path) -> None:
    first, calls = counted_proof(progress, "int16", "uint16", modes=("tf",))
    assert sorted(calls) == ["int16", "uint16"]
    again, calls = counted_proof(progress, "int16", "uint16", modes=("tf",))
    assert calls == []
    assert timeless(again) == timeless(first)
    more, calls = counted_proof(progress, "int16", "uint16", "float16", modes=("tf",))
    assert calls == ["float16"]
    assert {row.status for row in more.rows} == {"proven"}


def test_half_a_line_of_progress_is_done_again(progress: Path) -> None:
    first, _ = counted_proof(progress, "int16", "uint16", modes=("tf",))
    whole = progress.read_bytes()
    head, one, two = whole.splitlines(keepends=True)
    for cut in (1, 2, len(two) // 2, len(two) - 1):
        progress.write_bytes(whole[:-cut])
        again, calls = counted_proof(progress, "int16", "uint16", modes=("tf",))
        assert calls == [json.loads(two)["part"].split()[4]]
        assert timeless(again) == timeless(first)
        assert [json.loads(line)["part"] for line in progress.read_bytes().splitlines()[1:]] == [
            json.loads(line)["part"] for line in (one, two)
        ]
    progress.write_bytes(head[: len(head) // 2])  # killed while it wrote the first line
    _, calls = counted_proof(progress, "int16", "uint16", modes=("tf",))
    assert sorted(calls) == ["int16", "uint16"]


def test_a_counterexample_is_remembered(progress: Path) -> None:
    first = proven("one_number_wrong", "uint16", "float16", modes=("tf",), everything=False, progress_file=progress)
    before = progress.read_bytes()
    again = proven("one_number_wrong", "uint16", "float16", modes=("tf",), everything=False, progress_file=progress)
    assert timeless(again) == timeless(first)
    assert progress.read_bytes() == before


def test_progress_of_something_else_is_refused_with_the_reason(progress: Path) -> None:
    counted_proof(progress, "int8", modes=("tf",))
    whole = progress.read_text(encoding="utf-8")
    head, rest = whole.split("\n", 1)
    said = json.loads(head)
    for change, reason in [
        ({"target": "other:f"}, f"is of target other:f, not {__name__}:counted"),
        ({"versions": {**said["versions"], "numpy": "1.0"}}, "with other versions \\(numpy .* instead of 1.0\\)"),
        ({"versions": {**said["versions"], "vggprep code": "0"}}, "vggprep code .* instead of 0"),
        ({"machine": {**said["machine"], "processor": "abacus"}}, "other machine \\(processor .* instead of abacus"),
        ({"format": "vggprep-progress/9"}, "is no progress of a proof"),
    ]:
        other = json.dumps({**said, **change}) + "\n" + rest
        progress.write_text(other, encoding="utf-8")
        with pytest.raises(ProofError, match=reason) as error:
            counted_proof(progress, "int8", modes=("tf",))
        assert "delete it" in str(error.value)
        assert progress.read_text(encoding="utf-8") == other


@pytest.mark.parametrize(
    "foreign", [b"my diary\n", b"my diary", b"\x93NUMPY\xff\xff", b"[]\n", b'{"kind": "header"}\n', b"\n"]
)
def test_a_file_of_another_kind_is_refused_and_left_alone(foreign: bytes, progress: Path) -> None:
    progress.write_bytes(foreign)
    with pytest.raises(ProofError, match="is no progress of a proof: delete it"):
        counted_proof(progress, "int8", modes=("tf",))
    assert progress.read_bytes() == foreign
    progress.unlink()
    assert counted_proof(progress, "int8", modes=("tf",))[0].holds


def test_a_second_process_is_refused(progress: Path) -> None:
    with certificates.Progress(progress, {}), pytest.raises(ProofError, match="another process is at work on"):
        counted_proof(progress, "int8", modes=("tf",))


def test_progress_that_cannot_be_kept_is_told_before_anything_is_done(progress: Path) -> None:
    progress.write_text("", encoding="utf-8")
    for nowhere in (progress / "below", progress.parent):
        with pytest.raises(ProofError, match="cannot keep progress in"):
            counted_proof(nowhere, "int16", modes=("tf",))
        assert Path(os.environ["CALLS"]).read_text(encoding="utf-8") == ""
