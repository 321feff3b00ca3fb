"""The corpus: complete in pairs, colourful, laid out as it says, and the same on every run."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import oracle
from vggprep.cases import (
    BATCHES,
    EMPTY_SHAPES,
    EVERYDAY,
    FEW_SIZES,
    LARGE_SIZES,
    LAYOUTS,
    REGIMES,
    SIZES,
    SMALL_SIZES,
    SPREAD,
    Case,
    Cell,
    arrange,
    available_dtypes,
    byte_indices,
    byte_places,
    corpus,
    dtype_of,
    from_format,
    has_layout,
    panel,
    regimes,
    size_cases,
    to_format,
)
from vggprep.spec import (
    DATA_FORMATS,
    DIRECTIONS,
    DTYPES,
    FLOATS,
    INTEGERS,
    MODES,
    RANKS,
    DataFormat,
    Direction,
    ModeName,
)

Array = npt.NDArray[Any]

EACH_DIRECTION = pytest.mark.parametrize("direction", DIRECTIONS)
EACH_FORMAT = pytest.mark.parametrize("data_format", DATA_FORMATS)
EACH_RANK = pytest.mark.parametrize("rank", RANKS)

LITTLE_ENDIAN = pytest.mark.skipif(sys.byteorder != "little", reason="the digest is of little-endian bytes")
CORPUS_DIGEST = "8e27474e0ff8b1cdaaefbbdd4959886bf2d974dd9713d64f81104d6b5dd33693"


@cache
def everything() -> tuple[Case, ...]:
    return tuple(corpus())


def image(rank: int, dtype: str) -> Array:
    """A channels-last image with even sides, all of them different."""
    shape = (4, 6, 3) if rank == 3 else (2, 4, 6, 3)
    return (np.arange(np.prod(shape)).reshape(shape) * 37 % 251).astype(dtype_of(dtype))


# Coverage ---------------------------------------------------------------------------------------------------------


def exists(direction: Direction, given: dict[str, Any]) -> bool:
    """Whether there is any case with these two factors."""
    dtypes = [given["dtype"]] if "dtype" in given else list(available_dtypes())
    return any(
        (direction == "forward" or d in FLOATS)
        and ("layout" not in given or has_layout(d, given["layout"]))
        and (given.get("layout"), given.get("rank")) != ("repeated", 3)
        and (given.get("layout"), given.get("size")) != ("repeated", "one pixel")
        and (given.get("size") != "empty" or (given.get("layout", "c"), given.get("regime", "bytes")) == ("c", "bytes"))
        and ("regime" not in given or given["regime"] in regimes(direction, d))
        for d in dtypes
    )


FACTORS: dict[str, tuple[Any, ...]] = {
    "mode": tuple(MODES),
    "data_format": DATA_FORMATS,
    "dtype": available_dtypes(),
    "rank": RANKS,
    "layout": LAYOUTS,
    "regime": REGIMES,
    "size": tuple(SIZES),
}


@EACH_DIRECTION
@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(FACTORS, 2)))
def test_every_pair_of_factors_that_exists_is_in_the_corpus(direction: Direction, first: str, second: str) -> None:
    covered = {(getattr(c, first), getattr(c, second)) for c in everything() if c.direction == direction}
    possible = {
        pair
        for pair in itertools.product(FACTORS[first], FACTORS[second])
        if exists(direction, dict(zip((first, second), pair, strict=True)))
    }
    assert covered == possible


@EACH_DIRECTION
def test_every_cell_meets_every_regime_and_every_layout(direction: Direction) -> None:
    met: dict[Cell, set[str]] = {}
    for case in everything():
        if case.direction == direction:
            met.setdefault(case.cell, set()).update((case.regime, case.layout))
    dtypes = [d for d in available_dtypes() if direction == "forward" or d in FLOATS]
    assert len(met) == len(MODES) * len(DATA_FORMATS) * len(dtypes) * len(RANKS)
    for cell, words in met.items():
        assert set(regimes(direction, cell.dtype)) <= words
        assert {layout for layout in LAYOUTS if has_layout(cell.dtype, layout)} <= words | {"repeated"}
        assert ("repeated" in words) == (cell.rank == 4)


def test_no_case_comes_twice() -> None:
    assert len(set(everything())) == len(everything())


def test_a_name_tells_everything_about_a_case() -> None:
    assert len({case.name for case in everything()}) == len(everything())


@pytest.mark.parametrize("dtype", INTEGERS)
@EACH_FORMAT
@EACH_RANK
def test_every_byte_is_in_every_channel_of_the_panel(rank: int, data_format: DataFormat, dtype: str) -> None:
    x = from_format(panel("forward", Cell("tf", data_format, dtype, rank)).array(), data_format).reshape(-1, 3)
    values = 2 if dtype == "bool" else 256
    for channel in range(3):
        assert len(np.unique(x[:, channel])) == values
    if dtype not in ("bool", "int8"):
        assert (x.min(), x.max()) == (0, 255)


@pytest.mark.parametrize("mode", MODES)
@EACH_RANK
def test_an_inverse_is_given_what_the_oracle_makes_of_every_byte(rank: int, mode: ModeName) -> None:
    y = panel("inverse", Cell(mode, "channels_last", "float64", rank)).array()
    back = oracle.pixels(oracle.exact(y, "inverse", mode)).reshape(-1, 3)
    for channel in range(3):
        np.testing.assert_array_equal(np.unique(back[:, channel]), np.arange(256))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("regime", ["bytes", "noise"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_inverse_is_never_given_a_value_near_a_rounding_tie(dtype: str, regime: str, mode: ModeName) -> None:
    y = panel("inverse", Cell(mode, "channels_last", dtype, 4), regime).values()
    restored, _ = oracle.real(y, "inverse", mode)
    restored = restored[np.abs(restored - 127.5) <= 129]  # beyond, everything saturates
    assert (np.abs(restored - np.rint(restored)) < 0.4).all()
    if regime == "noise":
        everything, _ = oracle.real(y, "inverse", mode)
        assert everything.min() < -39_000  # beyond 16 bits
        assert everything.max() > 39_000
        assert (np.abs(restored - np.rint(restored)) > 0.1).any()


@EACH_DIRECTION
@pytest.mark.parametrize("dtype", FLOATS)
def test_nonfinite_cases_have_nan_and_both_infinities_in_every_channel_and_bytes_beside_them(
    dtype: str, direction: Direction
) -> None:
    y = panel(direction, Cell("caffe", "channels_last", dtype, 3), "nonfinite").values().astype(np.float64)
    rows = y.reshape(-1, 3)
    assert np.isnan(rows).any(axis=1).sum() == 2
    for value in (np.inf, -np.inf):
        assert (rows == value).sum() == 2
    assert np.isfinite(rows).all(axis=1).sum() > 200
    assert (~np.isfinite(rows)).any(axis=0).all()


def test_the_regimes_of_floats_are_what_they_say() -> None:
    def values(regime: str, dtype: str = "float64") -> Array:
        return panel("forward", Cell("tf", "channels_last", dtype, 4), regime).values()

    assert values("dark").max() <= 1
    assert values("dark").min() >= 0
    for regime, ends in {
        "centred": (-124, 152),
        "limited": (16, 235),
        "ten_bit": (0, 1023),
        "twelve_bit": (0, 4095),
    }.items():
        for dtype in ("int16", "float32"):
            assert (values(regime, dtype).min(), values(regime, dtype).max()) == ends
    fractions = values("fractions")
    assert fractions.min() >= 0
    assert fractions.max() <= 255
    assert (fractions != np.rint(fractions)).mean() > 0.99
    assert (values("wide") < -1000).any()
    assert (values("wide") > 1000).any()
    for dtype in ("float16", "float32"):
        huge = values("huge", dtype)
        info = np.finfo(dtype)
        assert np.isfinite(huge).all()
        assert huge.max() >= float(info.max) / 2
        assert ((huge != 0) & (np.abs(huge) < info.smallest_normal)).any()
        assert (np.signbit(huge) & (huge == 0)).any()
        assert (~np.signbit(huge) & (huge == 0)).any()
    assert (values("black", "uint8") == 0).all()
    assert (values("white", "uint8") == 255).all()


@pytest.mark.parametrize("dtype", [d for d in INTEGERS if d != "bool"])
def test_wide_integers_reach_both_ends_of_their_dtype(dtype: str) -> None:
    values = panel("forward", Cell("tf", "channels_last", dtype, 3), "wide").values()
    info = np.iinfo(dtype)
    assert (values.min(), values.max()) == (info.min, info.max)
    assert len(np.unique(values)) > 100


def test_channels_differ_unless_the_image_is_uniform() -> None:
    for case in everything():
        if case.regime in ("black", "white") or np.prod(case.shape) < 30 or case.layout in SPREAD:
            continue
        tolerated = 0.7 if case.dtype == "bool" or (case.regime == "dark" and case.dtype in INTEGERS) else 0.3
        rows = case.values().reshape(-1, 3)[:4096].astype(np.float64)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert (rows[:, one] == rows[:, other]).mean() <= tolerated, case.name


# Sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_are_every_number_up_to_70_and_odd_ones_around_the_blocks() -> None:
    assert list(SMALL_SIZES) == list(range(71))
    for elements in (2**12, 2**14, 2**16, 2**18):
        near = [3 * pixels for pixels in LARGE_SIZES if abs(3 * pixels - elements) < 16]
        assert any(n < elements for n in near)
        assert any(n > elements for n in near)
    assert all(3 * pixels % 16 for pixels in LARGE_SIZES)
    assert len(FEW_SIZES) == 12


@EACH_DIRECTION
@EACH_RANK
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_ladder_holds_every_size_and_every_way_to_be_empty(dtype: str, rank: int, direction: Direction) -> None:
    cell = Cell("torch", "channels_last" if dtype == "uint8" else "channels_first", dtype, rank)
    shapes = [case.shape for case in size_cases(direction, cell)]
    expected = {*SMALL_SIZES, *LARGE_SIZES} if rank == 4 else set(FEW_SIZES[1::2])
    assert {int(np.prod(shape[:-1])) for shape in shapes} >= expected | {0}
    assert set(EMPTY_SHAPES[rank]) <= set(shapes)
    empty_axes = {axis for shape in shapes for axis in range(rank - 1) if shape[axis] == 0}
    assert empty_axes == set(range(rank - 1))


@EACH_DIRECTION
@EACH_RANK
@EACH_FORMAT
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_everyday_images_and_batches_are_there_in_every_data_format(
    dtype: str, data_format: DataFormat, rank: int, direction: Direction
) -> None:
    if direction == "inverse" and dtype not in FLOATS:
        return
    shapes = {case.shape for case in size_cases(direction, Cell("tf", data_format, dtype, rank))}
    heights, widths = zip(*((shape[-3], shape[-2]) for shape in shapes), strict=True)
    assert max(widths) > 2048
    assert any(height > 3 * width > 3 for height, width in zip(heights, widths, strict=True))
    assert max(map(np.prod, shapes)) > 2**16
    if rank == 4:
        assert {1, 3, 33} <= {shape[0] for shape in shapes}
    if dtype in ("uint8", "float32"):
        assert {shape if rank == 3 else (1, *shape) for shape in EVERYDAY} <= shapes
        assert any(shape[-3] * shape[-2] > 2**16 and shape[-2] > 3 for shape in shapes)
        assert rank == 3 or {shape[0] for shape in shapes} >= set(BATCHES)
        nbytes = max(int(np.prod(shape)) for shape in shapes) * np.dtype(dtype).itemsize
        assert dtype == "uint8" or nbytes > 2**20


@pytest.mark.parametrize("mode", MODES)
@EACH_DIRECTION
def test_large_images_of_bytes_repeat_what_their_first_pixels_hold(direction: Direction, mode: ModeName) -> None:
    case = Case(direction, mode, "channels_last", "float32", "c", "bytes", (1, 3000, 3))
    bytes_ = byte_indices(3000)
    image = bytes_.astype(np.float32)
    expected = image if direction == "forward" else oracle.exact(image, "forward", mode).astype(np.float32)
    np.testing.assert_array_equal(case.values()[0], expected)
    assert all(len(np.unique(bytes_[:256, channel])) == 256 for channel in range(3))


@pytest.mark.parametrize("count", [0, 3, 256, 300, 70000])
def test_every_byte_of_a_large_image_has_its_place_among_the_first_pixels(count: int) -> None:
    bytes_, places = byte_indices(count), byte_places(count)
    assert places.shape == (3, count)
    for channel in range(3):
        np.testing.assert_array_equal(bytes_[:256][places[channel], channel], bytes_[:, channel])


@EACH_RANK
def test_every_dtype_has_a_dozen_sizes_at_least(rank: int) -> None:
    for dtype in available_dtypes():
        counts = {int(np.prod(c.shape[:-1])) for c in size_cases("forward", Cell("tf", "channels_last", dtype, rank))}
        assert len(counts) >= (12 if rank == 4 else 6)
        assert max(counts) > 1024


def test_no_block_of_a_large_image_repeats_another() -> None:
    case = Case("forward", "tf", "channels_last", "uint8", "c", "bytes", (1, 20000, 3))
    rows = case.values()[0]
    blocks = {rows[at : at + 1024].tobytes() for at in range(0, 16384, 1024)}
    assert len(blocks) == 16


# Layouts ----------------------------------------------------------------------------------------------------------


def strides_reversed(array: Array) -> bool:
    return all(stride < 0 for stride in array.strides)


def strides_doubled(array: Array) -> bool:
    packed = np.empty([2 * n + 1 for n in array.shape], array.dtype).strides
    return array.strides == tuple(2 * stride for stride in packed)


CHARACTERS: dict[str, Callable[[Array], bool]] = {
    "c": lambda a: a.flags.c_contiguous and a.flags.owndata,
    "fortran": lambda a: a.flags.f_contiguous and not a.flags.c_contiguous,
    "permuted": lambda a: all(s > 0 for s in a.strides) and not a.flags.c_contiguous,
    "sliced": lambda a: strides_doubled(a) and not a.flags.c_contiguous,
    "cropped": lambda a: all(s > 0 for s in a.strides) and not a.flags.c_contiguous,
    "mirrored": lambda a: sum(s < 0 for s in a.strides) == 1,
    "channels_reversed": lambda a: sum(s < 0 for s in a.strides) == 1,
    "negative": lambda a: strides_reversed(a) and not a.flags.c_contiguous,
    "zero": lambda a: 0 in a.strides and not a.flags.writeable,
    "repeated": lambda a: a.strides[0] == 0 and not a.flags.writeable,
    "grey": lambda a: 0 in (a.strides[-1], a.strides[-3]) and not a.flags.writeable,
    "every_second": lambda a: a.strides[0] == 2 * a[0].nbytes and a[0].flags.c_contiguous,
    "pitched": lambda a: (
        a.flags.writeable
        and a.strides[-1] == a.itemsize
        and a.strides[-2] in (3 * a.itemsize, (a.shape[-1] + 2) * a.itemsize)
        and not a.flags.c_contiguous
    ),
    "unaligned": lambda a: a.flags.c_contiguous and a.ctypes.data % 2 == 1,
    "readonly": lambda a: a.flags.c_contiguous and not a.flags.writeable,
    "big_endian": lambda a: a.flags.c_contiguous and a.dtype.byteorder == (">" if sys.byteorder == "little" else "="),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_what_it_says_and_changes_no_value(layout: str) -> None:
    for dtype, data_format, rank in itertools.product(DTYPES, DATA_FORMATS, RANKS):
        if has_layout(dtype, layout) and (layout, rank) != ("repeated", 3):
            check_layout(image(rank, dtype), data_format, layout)


def check_layout(given: Array, data_format: DataFormat, layout: str) -> None:
    if layout in SPREAD:
        part = {"zero": given[..., :1, :, :], "grey": given[..., :1], "repeated": given[:1]}[layout]
        given = np.broadcast_to(part, given.shape).copy()
    kept = given.copy()
    array = arrange(given, data_format, layout)
    assert CHARACTERS[layout](array)
    assert array.dtype.newbyteorder("=") == given.dtype
    assert array.flags.writeable == (layout not in (*SPREAD, "readonly"))
    assert array.flags.aligned == (layout != "unaligned" or array.dtype.itemsize == 1)
    assert not np.shares_memory(array, given)
    expected = given if data_format == "channels_last" else np.moveaxis(given, -1, -3)
    assert array.shape == expected.shape
    np.testing.assert_array_equal(np.array(array, array.dtype.newbyteorder("="), order="C"), expected)
    np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_small_and_empty_images_have_every_layout(layout: str) -> None:
    shapes = ((0, 4, 3), (4, 0, 3), (1, 1, 3), (0, 2, 2, 3), (1, 1, 1, 3))
    for data_format, shape in itertools.product(DATA_FORMATS, shapes):
        given = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        if layout in ("grey", "repeated"):
            given[...] = 7
        array = arrange(given, data_format, layout)
        np.testing.assert_array_equal(from_format(array, data_format), given)


def test_an_unknown_layout_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"layout must be one of c, fortran, .*; got 'spiral'"):
        arrange(image(3, "uint8"), "channels_last", "spiral")


@EACH_RANK
def test_from_format_undoes_to_format(rank: int) -> None:
    given = image(rank, "uint8")
    first = to_format(given, "channels_first")
    np.testing.assert_array_equal(first, np.moveaxis(given, -1, -3))
    np.testing.assert_array_equal(from_format(first, "channels_first"), given)
    for turn in (to_format, from_format):
        np.testing.assert_array_equal(turn(given, "channels_last"), given)


def test_every_case_is_an_array_of_its_dtype_shape_and_values() -> None:
    for case in everything():
        if np.prod(case.shape) > 5000:
            continue
        array, values = case.array(), case.values()
        assert array.dtype.name == case.dtype
        assert from_format(array, case.data_format).shape == values.shape == case.shape
        assert array.shape == case.array_shape
        assert not case.view().flags.writeable
        assert case.view().tobytes() == values.tobytes()
        same = from_format(array, case.data_format).astype(values.dtype)
        assert same.tobytes() == values.tobytes(), case.name


# The same on every run --------------------------------------------------------------------------------------------


@EACH_DIRECTION
def test_a_case_makes_a_new_array_each_time(direction: Direction) -> None:
    for layout in LAYOUTS:
        case = panel(direction, Cell("caffe", "channels_last", "float32", 4), "bytes", layout)
        first, second = case.array(), case.array()
        assert not np.shares_memory(first, second)
        kept = second.copy()
        if first.flags.writeable:
            first[...] = 1
        np.testing.assert_array_equal(case.array(), kept)
    values = case.values()
    values[...] = 1
    np.testing.assert_array_equal(case.array().astype(np.float32), kept.astype(np.float32))


@LITTLE_ENDIAN
def test_the_corpus_is_the_same_as_ever() -> None:
    """One digest of all inputs. A new one is a decision: results recorded with the old corpus compare no more."""
    if "bfloat16" not in available_dtypes():
        pytest.skip("the digest is of the whole corpus, and bfloat16 is missing: install ml_dtypes")
    digest = hashlib.sha256()
    for case in everything():
        digest.update(case.name.encode())
        digest.update(case.array().tobytes())
    assert digest.hexdigest() == CORPUS_DIGEST


def test_drawn_pixels_are_the_bytes_they_are_given() -> None:
    pixels = np.array([[[0, 100, 255], [1, 2, 3]]], np.float16)
    case = Case("forward", "tf", "channels_first", "float16", "fortran", "drawn", (1, 2, 3), pixels.tobytes())
    np.testing.assert_array_equal(case.array(), pixels.transpose(2, 0, 1))
