"""How a part is judged: the definition on planes, every fault, single wrong values, and the worst errors."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from enumerated import HERE, QUICK, Array, bits, pixel_at, proven, truncating

from vggprep import deprocess_input, oracle, preprocess_input
from vggprep.conformance.engine import Selection
from vggprep.faults import FAULTS, HONEST, Fault
from vggprep.implementations import Implementation
from vggprep.implementations.targets import TargetSpec
from vggprep.proof.certificates import Certificate, Row
from vggprep.proof.domains import BITS, SMALL
from vggprep.proof.plan import plan
from vggprep.proof.report import failures
from vggprep.proof.run import prove
from vggprep.proof.shards import IMAGE, Part, Problem, Tally, WorstError, from_bits, implementations, judge
from vggprep.spec import Direction, ModeName

# What it is judged by -----------------------------------------------------------------------------------------------

OPERATIONS = {
    oracle.operations(direction, mode, channel): (direction, mode, channel)
    for direction in ("forward", "inverse")
    for mode in ("identity", "torch", "tf", "caffe")
    for channel in (2, 1, 0)
}
"""One direction, mode and channel for each of the different sequences of operations."""

EACH_PLANE = pytest.mark.parametrize(("direction", "mode", "channel"), OPERATIONS.values())


def same_bits(got: Array, expected: list[float] | Array) -> bool:
    """Whether float32 values are the expected ones, zeros with their signs, all NaNs being equal."""
    wide = np.array(expected)
    return bool((((got == wide) & (np.signbit(got) == np.signbit(wide))) | (np.isnan(got) & np.isnan(wide))).all())


def difficult_floats() -> Array:
    """float32 values on which a second rounding could go wrong: near ties, at the ends, and anything."""
    random = np.random.default_rng(19)
    largest = np.finfo(np.float32).max
    with np.errstate(all="ignore"):
        ends: list[Any] = [[0.0, 1.0, largest, 2.0**100, 2.0**-126, 2.0**-149, np.inf, np.nan]]
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


@pytest.mark.no_cover
@EACH_PLANE
def test_exact_plane_is_what_rationals_say(direction: Direction, mode: ModeName, channel: int) -> None:
    for dtype, numbers in DIFFICULT.items():
        values = numbers[channel::3] if dtype == "float32" else numbers
        got = oracle.exact_plane(values, direction, mode, channel)
        assert got.dtype == np.float32
        assert same_bits(got, [oracle.one_exact(v, direction, mode, channel, "float32") for v in values.tolist()]), (
            dtype
        )


@pytest.mark.thorough
@pytest.mark.no_cover
@EACH_PLANE
def test_exact_plane_is_what_rationals_say_of_every_upper_half_of_a_pattern(
    direction: Direction, mode: ModeName, channel: int
) -> None:
    values = (np.arange(0, 1 << 16, dtype=np.uint32) << 16).view(np.float32)[channel::3]
    got = oracle.exact_plane(values, direction, mode, channel)
    assert same_bits(got, [oracle.one_exact(v, direction, mode, channel, "float32") for v in values.tolist()])


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_exact_plane_is_what_exact_says_of_whole_images(mode: ModeName) -> None:
    for direction in ("forward", "inverse"):
        values = np.random.default_rng(7).integers(0, 1 << 32, (3000, 3), np.uint64).astype(np.uint32).view(np.float32)
        expected = oracle.exact(values, direction, mode)
        for channel, source, target in oracle.routes(direction, mode):
            assert same_bits(oracle.exact_plane(values[:, source], direction, mode, channel), expected[:, target])


@pytest.mark.thorough
@pytest.mark.no_cover
@EACH_PLANE
def test_real_plane_is_off_by_less_than_the_search_allows_for(
    direction: Direction, mode: ModeName, channel: int
) -> None:
    # shards._Run._sharpen takes an error of real_plane for less than 5 units of 2**-53·S.
    values = DIFFICULT["float32"][channel::3]
    values = values[np.isfinite(values)].astype(np.float64)
    target, scale = oracle.real_plane(values, direction, mode, channel)
    for value, found, size in zip(values.tolist(), target.tolist(), scale.tolist(), strict=True):
        magnitude = oracle.one_magnitude(value, direction, mode, channel)
        assert abs(Fraction(found) - oracle.one_real(value, direction, mode, channel)) * 2**53 <= 4 * magnitude
        assert abs(Fraction(size) - magnitude) * 2**53 <= 8 * magnitude


# What is wrong is found ---------------------------------------------------------------------------------------------


def rows_of(certificate: Certificate, **where: str) -> list[Row]:
    return [row for row in certificate.rows if all(getattr(row, key) == value for key, value in where.items())]


# Enumeration looks at values; these faults need another occasion. Only rank 4 is judged: native and contiguous images
# in batches of one, of one large size, in a mode and a data format that exist.
UNSEEN = {
    "memory_layouts": {
        "strides_ignored", "negative_strides_read_forwards", "negative_strides_refused", "non_contiguous_refused",
        "read_only_refused", "cropped_rows_read_flat", "frames_not_skipped", "repeated_image_read_on",
        "grey_read_as_colour", "row_pitch_in_pixels", "large_views_read_flat",
    },
    "byte_order": {"byte_order_ignored"},
    "errors": {
        "unknown_mode_taken_as_caffe", "unknown_data_format_taken_as_channels_last", "alpha_of_bytes_dropped",
        "alpha_dropped",
    },
    "sizes": {
        "vector_tail_raw", "short_input_raw", "last_block_missing", "empty_refused", "float_batches_out_of_phase",
        "plane_counter_of_16_bits", "single_image_counter_of_16_bits", "line_buffer_of_2048", "portrait_turned",
        "means_along_batch_of_three",
    },
    "batch_consistency": {"first_image_only", "whole_chunks_only", "in_order_of_completion"},
    "shape_and_dtype": {"batch_axis_added"},  # to images of rank 3
    "layout_equivariance": {  # in images of rank 3, or with a side of 3
        "rank_3_means_along_height", "rank_4_means_along_width", "means_added_as_bias", "std_along_width",
        "channel_axis_guessed_from_the_end", "channel_axis_guessed_from_the_front",
    },
    # Of bool and the 64-bit dtypes, which are not enumerated; and of images within a narrow range.
    "value": {
        "bool_taken_as_black_and_white", "means_through_single", "range_guessed_from_maximum",
        "preprocessed_guessed_from_range", "ten_bits_guessed", "twelve_bits_guessed",
    },
    "integers_agree": {"int64_through_half"},
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.stateless], ids=lambda fault: fault.name)
def test_a_fault_that_shows_in_values_is_found_in_every_mode(fault: Fault) -> None:
    unseen = fault.name in UNSEEN.get(fault.caught_by, ())
    found: set[str] = set()
    for dtype in ("uint8", "float16") if unseen else QUICK:
        certificate = proven(f"GALLERY.{fault.name}", dtype, inverse=fault.preprocess is None)
        found |= {row.mode for row in certificate.rows if row.status == "wrong"}
        if found == set(fault.modes):
            break
    assert found == (set() if unseen else set(fault.modes))


def test_what_goes_unseen_is_in_the_gallery() -> None:
    assert {(fault.caught_by, fault.name) for fault in FAULTS} >= {(c, n) for c, names in UNSEEN.items() for n in names}


@pytest.mark.thorough
@pytest.mark.parametrize("honest", HONEST, ids=lambda honest: honest.name)
def test_an_honest_variant_holds_for_every_pattern(honest: Implementation) -> None:
    certificate = proven(f"GALLERY.{honest.name}", *QUICK, "bfloat16")
    assert {row.status for row in certificate.rows} == {"proven"}
    assert certificate.holds
    assert {row.direction for row in certificate.rows} == {"forward", "inverse"}
    assert all(row.patterns == 1 << BITS[row.dtype] for row in certificate.rows)


def test_the_reference_holds_to_the_bit() -> None:
    name = ("reference",)
    certificate = prove(plan(TargetSpec(name), Selection(None, None, SMALL[:2])), executor=HERE)
    assert {(row.level, row.status) for row in certificate.rows} == {("exact", "proven")}
    assert len(certificate.rows) == 2 * 3 * 4 * 2  # dtypes; forward, to pixels and to floats; modes; data formats
    assert certificate.values == sum(3 * row.patterns for row in certificate.rows)


def test_a_level_can_be_too_much_for_an_honest_variant() -> None:
    certificate = proven("GALLERY.reciprocal", "uint8", modes=("torch",), level="exact")
    assert {row.status for row in rows_of(certificate, direction="forward")} == {"wrong"}
    assert not certificate.holds


# One value in the whole domain --------------------------------------------------------------------------------------


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
def test_one_wrong_pattern_in_the_whole_domain_is_found_and_reported(
    target: str, dtype: str, mode: ModeName, pattern: int, channel: int, values: int
) -> None:
    certificate = proven(target, dtype, modes=(mode,))
    assert not certificate.holds
    (row,) = certificate.rows
    assert (row.status, row.wrong, row.patterns) == ("wrong", values, 1 << BITS[dtype])
    assert row.counterexample == pixel_at(pattern, channel, dtype)
    assert row.digest == ""


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


def test_an_error_in_one_data_format_is_reported_for_that_one() -> None:
    certificate = proven("wrong_channels_first", "uint8", modes=("tf",))
    by_format = {row.data_format: row for row in certificate.rows}
    assert by_format["channels_last"].status == "proven"
    assert by_format["channels_first"].wrong == 3
    assert by_format["channels_first"].counterexample == pixel_at(201, 0, "uint8")


def test_the_first_counterexample_ends_the_search() -> None:
    certificate = proven("one_number_wrong", "uint16", "int16", "float16", modes=("tf",), stop_at_first=True)
    assert [row.status for row in certificate.rows].count("wrong") == 1
    assert "unfinished" in {row.status for row in certificate.rows}
    assert not certificate.holds


# Outputs that are not a result --------------------------------------------------------------------------------------


def test_integers_that_stay_integers_are_all_wrong_and_grey_levels_say_how_far() -> None:
    (row,) = proven("integers_kept", "int16", modes=("caffe",)).rows
    assert (row.status, row.wrong, row.patterns) == ("wrong", 3 << 16, 1 << 16)
    assert row.problem == "dtype"
    assert "returns int16 for int16, not a floating dtype" in row.message
    # What the cast cuts off from pixel-like values: with the largest fraction of the means, 0.939.
    assert row.levels is not None
    assert row.levels.error == pytest.approx(0.939, abs=1e-6)


def test_a_function_that_raises_for_one_value_is_reported_with_that_value() -> None:
    (row,) = proven("raises_for_one_value", "uint16", modes=("tf",)).rows
    assert row.status == "wrong"
    assert (row.problem, row.message) == ("no_result", "ArithmeticError: no such grey")
    assert row.counterexample is not None
    assert f"{43981:04x}" in row.counterexample


@pytest.mark.parametrize(
    ("target", "problem", "message"),
    [
        ("a_list_for_large_images", "type", "returns a list, not a NumPy array"),
        ("another_axis_for_large_images", "shape", "returns shape (1, 1, "),
        ("nothing_for_large_images", "no_result", "exits without an answer"),
    ],
)
def test_an_output_that_is_not_an_image_of_the_same_shape_is_wrong(target: str, problem: Problem, message: str) -> None:
    (row,) = proven(target, "uint16", modes=("tf",)).rows
    assert (row.status, row.problem) == ("wrong", problem)
    assert row.message.startswith(message)


def test_refused_rows_alone_prove_nothing() -> None:
    certificate = proven("refuses_integers", "uint8", "float16", modes=("tf",))
    assert [(row.dtype, row.status) for row in certificate.rows] == [("float16", "proven"), ("uint8", "refused")]
    assert certificate.rows[1].message == "TypeError: floats only"
    assert certificate.holds
    assert not proven("refuses_integers", "uint8", modes=("tf",)).holds


# Inverses -----------------------------------------------------------------------------------------------------------


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
    rows = prove(plan(TargetSpec(("reference",)), Selection(None, None, QUICK)), executor=HERE).rows
    to_pixels = [row for row in rows if row.direction == "inverse" and row.units is None]
    assert {row.dtype for row in to_pixels} == set(QUICK)
    assert {row.lost for row in to_pixels} == {0}
    assert all(row.levels is not None and row.levels.error == 0 for row in to_pixels if row.dtype == "uint8")


# The worst errors ---------------------------------------------------------------------------------------------------


def attains(worst: WorstError | None, dtype: str, errors: dict[tuple[Any, int], Fraction]) -> bool:
    """Whether an error is the largest, within what ``WorstError`` promises, and exact for the input given with it."""
    assert worst is not None
    value = from_bits(worst.bits, dtype).item()
    assert repr(value) == worst.value
    bound = Fraction(worst.error) * (1 + 2**-24) + 2**-24
    return worst.error == float(errors[value, worst.channel]) and max(errors.values()) <= bound


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("target", ["right", "GALLERY.reciprocal", "GALLERY.fused_multiply_add"])
def test_the_worst_error_over_all_bytes_is_what_rationals_say(target: str, mode: ModeName) -> None:
    rows = rows_of(proven(target, "uint8", modes=(mode,)), direction="forward")
    function = implementations(TargetSpec((f"enumerated:{target}",)))[0].preprocess
    assert function is not None
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    got = function(image, data_format="channels_last", mode=mode).reshape(256, 3).tolist()
    units, levels = {}, {}
    for channel, source, target_channel in oracle.routes("forward", mode):
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


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize("target", ["GALLERY.folded_affine"])
def test_the_worst_error_over_all_halves_is_what_rationals_say(target: str) -> None:
    (row, _) = rows_of(proven(target, "float16", modes=("tf",)), direction="forward")
    function = implementations(TargetSpec((f"enumerated:{target}",)))[0].preprocess
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
def test_the_worst_error_of_the_round_trip_is_what_rationals_say(mode: ModeName) -> None:
    (row, _) = proven("to_floats", "int16", inverse=True, modes=(mode,)).rows
    image = np.arange(-(1 << 15), 1 << 15).astype(np.int16).reshape(256, 256, 1).repeat(3, axis=-1)
    inputs = preprocess_input(image, mode=mode)
    back = deprocess_input(inputs, mode=mode, dtype=None)
    units, levels = {}, {}
    for channel, source, target in oracle.routes("inverse", mode):
        given, found = inputs[..., source].ravel().tolist(), back[..., target].ravel().tolist()
        for value, y, x in zip(image[..., 0].ravel().tolist(), given, found, strict=True):
            if x != value:
                scale = oracle.one_magnitude(y, "inverse", mode, channel)
                units[value, target] = abs(Fraction(x) - value) / scale * 2**24
                if abs(value) <= 1024:
                    levels[value, target] = abs(Fraction(x) - value)
    assert attains(row.units, "int16", units)
    assert attains(row.levels, "int16", levels)


# Parts of 32 bits and of samples ------------------------------------------------------------------------------------


def part(target: str, dtype: str, start: int, stop: int, mode: ModeName = "tf") -> Tally:
    """The result of some patterns, channels last."""
    spec = TargetSpec((f"enumerated:{target}",))
    return judge(Part(spec, 0, "forward", mode, ("channels_last",), dtype, start, stop, stop_at_first=False))[0]


def test_a_part_of_many_images_is_judged_to_its_end() -> None:
    start = int(np.float32(128).view(np.uint32))
    bad = int(np.float32(130.5).view(np.uint32))
    assert start + IMAGE < bad < start + 2 * IMAGE
    found = part("one_single_raises", "float32", start, start + 3 * IMAGE)
    assert found.message == "ArithmeticError: no such grey"
    assert found.counterexample is not None
    assert f"{bad:08x}" in found.counterexample
    assert found.patterns == 2 * IMAGE  # that image gave nothing
    assert part("right", "float32", start, start + 3 * IMAGE).patterns == 3 * IMAGE


def test_an_error_in_a_sampled_dtype_is_found_in_the_sample() -> None:
    start, stop = 131072, 131072 + 256
    assert part("GALLERY.means_through_single", "float64", start, stop, "caffe").wrong > 0
    assert part("right", "float64", start, stop, "caffe").wrong == 0


# Wrong by little ----------------------------------------------------------------------------------------------------


def test_of_a_wrong_value_its_own_error_is_given_and_not_a_larger_one_of_right_values() -> None:
    (row, _) = proven("one_number_off", "uint8", modes=("caffe",), level="exact").rows
    got = np.nextafter(preprocess_input(np.array([[[0, 0, 3]]], np.uint8))[0, 0, 0], np.float32(1000))
    error = abs(Fraction(got.item()) - oracle.one_real(3, "forward", "caffe", 0))
    assert (row.status, row.wrong) == ("wrong", 1)
    assert row.levels == WorstError(float(error), "03", "3", 2)


def test_what_an_image_repeats_at_the_end_of_a_sample_is_not_counted_twice() -> None:
    row = proven("lowest_bit_flipped", "uint64", modes=("identity",), level="exact").rows[0]
    assert row.patterns % 256
    assert row.wrong == 3 * row.patterns


def test_a_zero_has_its_sign_in_a_wider_dtype_too() -> None:
    row = proven("restored_without_signs", "float16", inverse=True, modes=("identity",), level="exact").rows[0]
    assert (row.status, row.wrong) == ("wrong", 3)


def test_a_byte_that_the_bound_lets_go_is_wrong_all_the_same() -> None:
    certificate = proven("one_byte_of_a_half_lost", "float16", inverse=True, modes=("caffe",), level="faithful")
    (row, _) = certificate.rows
    assert (row.status, row.wrong, row.lost) == ("wrong", 1, 1)
    (text,) = failures(certificate)
    assert "breaks restores_pixels (VP-PIXEL-2)" in text
    assert "in a large image" not in text
    (kept, _) = proven("one_byte_of_a_half_lost", "bfloat16", inverse=True, modes=("caffe",), level="faithful").rows
    assert kept.status == "proven"
