"""The strategies: they reach everything, shrink to a small colourful image, and reject what they do not know."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from support import Array

from vggprep import oracle, strategies
from vggprep.cases import LAYOUTS, Case, Cell, dtype_of, from_format
from vggprep.spec import DATA_FORMATS, DTYPES, INTEGERS, MODES, DataFormat

QUICK = settings(max_examples=250, derandomize=True, database=None, phases=[Phase.generate])


def drawn(strategy: st.SearchStrategy[Any], seen: Callable[[Any], Any]) -> list[Any]:
    """What ``seen`` makes of each of many examples."""
    found = []

    @QUICK
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(seen(example))

    collect()
    return found


def smallest(strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool] = lambda _: True) -> Any:
    # Not "explain": it varies the smallest example, and find returns what was tried last.
    phases = [Phase.generate, Phase.shrink]
    return find(
        strategy, condition, settings=settings(derandomize=True, database=None, max_examples=2000, phases=phases)
    )


# Reach ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (strategies.modes(), set(MODES)),
        (strategies.data_formats(), set(DATA_FORMATS)),
        (strategies.dtypes(), set(DTYPES)),
        (strategies.layouts(), set(LAYOUTS)),
    ],
    ids=["modes", "data_formats", "dtypes", "layouts"],
)
def test_each_name_is_drawn(strategy: st.SearchStrategy[str], expected: set[str]) -> None:
    assert set(drawn(strategy, lambda name: name)) == expected


def layout_of(array: Array) -> str:
    """A coarse name of how an array lies in memory."""
    found = {
        "foreign byte order": not array.dtype.isnative,
        "broadcast": not array.flags.writeable and 0 in array.strides,
        "read-only": not array.flags.writeable,
        "unaligned": not array.flags.aligned,
        "reversed": any(stride < 0 for stride in array.strides),
        "C": array.flags.c_contiguous,
        "Fortran": array.flags.f_contiguous,
        "other strides": True,
    }
    return next(name for name, is_so in found.items() if is_so)


def test_images_have_every_dtype_rank_and_memory_layout() -> None:
    found = drawn(strategies.images(), lambda a: (a.dtype.name, a.ndim, layout_of(a)))
    dtypes, ranks, layouts = (set(those) for those in zip(*found, strict=True))
    assert (dtypes, ranks) == (set(DTYPES), {3, 4})
    odd = {"foreign byte order", "broadcast", "read-only", "unaligned", "reversed", "other strides"}
    assert layouts == {"C", "Fortran", *odd}


def test_only_what_is_asked_for_is_drawn_each_independently() -> None:
    found = drawn(
        strategies.images(dtypes=["uint8", "float32"], layouts=["c", "fortran"]),
        lambda a: (a.dtype.name, a.ndim, layout_of(a)),
    )
    assert set(found) == set(itertools.product(("uint8", "float32"), (3, 4), ("C", "Fortran")))


def test_sides_of_0_1_3_and_the_largest_come_up_everywhere() -> None:
    *sides, channels = map(set, zip(*drawn(strategies.images(ranks=[4]), lambda a: a.shape), strict=True))
    assert all({0, 1, 3, 8} <= each <= set(range(9)) for each in sides)
    assert channels == {3}


@pytest.mark.parametrize("side", [1, 2, 4, 8, 20])
def test_no_side_is_larger_than_asked_for(side: int) -> None:
    found = drawn(strategies.images(max_side=side), lambda a: max(a.shape[:-1]))
    assert max(found) == side


@pytest.mark.parametrize("data_format", [*DATA_FORMATS, strategies.data_formats()])
def test_the_channels_are_where_the_data_format_has_them(data_format: Any) -> None:
    found = drawn(strategies.images(data_format=data_format), lambda a: (a.shape[-1] == 3, a.shape[-3] == 3))
    last, first = (all(those) for those in zip(*found, strict=True))
    assert (last, first) == (data_format == "channels_last", data_format == "channels_first")
    assert all(map(any, found))


@pytest.mark.parametrize(
    "kind",
    [
        lambda a: (a == np.rint(a)).all() and a.max() > 1,
        lambda a: (a != np.rint(a)).any() and a.min() >= 0 and a.max() > 1,
        lambda a: a.max() <= 1 and a.min() >= 0,
        lambda a: a.min() < 0,
        lambda a: a.max() > 1000,
    ],
    ids=["bytes", "fractions", "dark", "negative", "large"],
)
def test_floats_have_every_range(kind: Callable[[Array], bool]) -> None:
    assert any(drawn(strategies.images(dtypes=["float64"], max_side=3), lambda a: a.size and bool(kind(a))))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint64"])
def test_wide_integers_go_beyond_a_byte(dtype: str) -> None:
    largest = max(drawn(strategies.images(dtypes=[dtype], max_side=3), lambda a: int(a.max(initial=0))))
    assert largest > np.iinfo(dtype).max // 4


def test_large_images_are_as_varied_as_small_ones() -> None:
    found = drawn(strategies.images(dtypes=["uint8"], ranks=[3], max_side=20), lambda a: a.copy())
    large = [a for a in found if a.size > 600]
    assert len({a.tobytes() for a in large}) >= 5  # Hypothesis repeats small seeds
    assert all(len(np.unique(a)) > 50 for a in large)


# NaN and infinities -----------------------------------------------------------------------------------------------


def special(array: Array) -> set[str]:
    values = array.astype(np.float64)
    names = {"nan": np.isnan(values), "inf": values == np.inf, "-inf": values == -np.inf}
    return {name for name, where in names.items() if where.any()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"dtypes": ["float32", "float64"]}, set()),
        ({"dtypes": ["float16", "float32"], "nonfinite": True}, {"nan", "inf", "-inf"}),
        ({"dtypes": INTEGERS, "nonfinite": True}, set()),
    ],
)
def test_nan_and_infinities_come_up_only_when_asked_for(words: dict[str, Any], expected: set[str]) -> None:
    assert set().union(*drawn(strategies.images(**words), special)) == expected


# Shrinking --------------------------------------------------------------------------------------------------------

PIXEL = [0, 100, 255]


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", [None, *(d for d in DTYPES if d not in ("bool", "int8"))])
def test_an_image_shrinks_to_one_colourful_pixel(dtype: str | None, data_format: DataFormat) -> None:
    dtypes = None if dtype is None else [dtype]
    image = smallest(strategies.images(dtypes=dtypes, data_format=data_format), lambda a: a.size > 0)
    assert image.dtype == dtype_of(dtype or "uint8")
    assert image.shape == ((1, 1, 3) if data_format == "channels_last" else (3, 1, 1))
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image.ravel().astype(np.float64), PIXEL)


def test_shrinking_keeps_what_matters_and_drops_the_rest() -> None:
    image = smallest(
        strategies.images(data_format=strategies.data_formats()),
        lambda a: a.size > 0 and a.dtype == np.float32 and a.shape[0] >= 3 and bool(a.max() > 300),
    )
    assert image.dtype == np.float32
    assert np.prod(image.shape) <= 9
    assert image.max() > 300


def test_a_case_shrinks_to_one_colourful_byte_pixel() -> None:
    case = smallest(strategies.cases())
    expected = Case("forward", "caffe", "channels_last", "uint8", "c", "drawn", (1, 1, 3), bytes(PIXEL))
    assert case == expected


def test_a_case_of_an_inverse_shrinks_to_the_preprocessed_pixel() -> None:
    case = smallest(strategies.cases(direction="inverse"))
    assert (case.mode, case.dtype, case.shape, case.layout) == ("caffe", "float32", (1, 1, 3), "c")
    restored = oracle.pixels(oracle.exact(case.array(), "inverse", "caffe"))
    np.testing.assert_array_equal(restored, [[PIXEL]])


# Cases ------------------------------------------------------------------------------------------------------------


def test_cases_have_every_mode_format_dtype_rank_and_layout() -> None:
    found = drawn(strategies.cases(), lambda c: c)
    expected = {"mode": MODES, "data_format": DATA_FORMATS, "dtype": DTYPES, "rank": (3, 4), "layout": LAYOUTS}
    for attribute, values in {**expected, "direction": ("forward",)}.items():
        assert {getattr(case, attribute) for case in found} == set(values)


@settings(max_examples=200, derandomize=True, database=None)
@given(strategies.cases() | strategies.cases(direction="inverse"))
def test_a_case_makes_the_array_it_describes(case: Case) -> None:
    array = case.array()
    assert array.dtype.name == case.dtype
    assert from_format(array, case.data_format).shape == case.shape
    assert array.tobytes() == case.array().tobytes()


@settings(max_examples=200, derandomize=True, database=None)
@given(strategies.cases(direction="inverse"))
def test_an_inverse_is_never_given_what_rounds_either_way(case: Case) -> None:
    array = from_format(case.array(), case.data_format)
    restored, _ = oracle.real(array, "inverse", case.mode)
    slack = 0.25 if case.dtype == "float16" else 0.01
    assert np.isfinite(restored).all()
    assert (np.abs(restored - np.rint(restored)) < 0.4 + slack).all()


def test_cases_stay_in_the_cells_layouts_and_shapes_given() -> None:
    cells = [Cell("tf", "channels_first", "float64", 3), Cell("torch", "channels_last", "uint8", 4)]
    shapes = ((2, 5, 3), (2, 1, 2, 3), (1, 1, 1, 3))
    found = drawn(strategies.cases(cells=cells, layouts=["c", "negative"], shapes=shapes), lambda c: c)
    assert {c.cell for c in found} == set(cells)
    assert {c.layout for c in found} == {"c", "negative"}
    assert {c.shape for c in found} == set(shapes)


def test_a_layout_that_a_dtype_does_not_have_is_left_out() -> None:
    found = drawn(strategies.images(dtypes=["uint8"], layouts=["big_endian", "fortran"]), layout_of)
    assert "foreign byte order" not in found
    found = drawn(strategies.images(dtypes=["bfloat16"], layouts=["big_endian"]), lambda a: a.dtype)
    assert set(found) == {np.dtype(ml_dtypes.bfloat16)}


# Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "words", "message"),
    [
        (strategies.images, {"dtypes": ["float23"]}, r"dtypes must be .*one or more of bool, .*; got \['float23'\]"),
        (strategies.images, {"dtypes": ["uint8", "complex64"]}, r"dtypes .*; got \['uint8', 'complex64'\]"),
        (strategies.images, {"dtypes": []}, r"dtypes .*; got \[\]"),
        (strategies.images, {"dtypes": "uint8"}, r"dtypes must be a sequence .*; got 'uint8'"),
        (strategies.images, {"ranks": [2]}, r"ranks .*3, 4; got \[2\]"),
        (strategies.images, {"ranks": 3}, r"ranks must be a sequence .*; got 3"),
        (strategies.images, {"data_format": "nhwc"}, r"data_format must be one of channels_last, .*; got 'nhwc'"),
        (strategies.images, {"data_format": None}, r"data_format .*; got None"),
        (strategies.images, {"data_format": st.just("NCHW")}, r"data_format .*; got 'NCHW'"),
        (strategies.images, {"layouts": ["spiral"]}, r"layouts .*c, fortran, .*; got \['spiral'\]"),
        (strategies.images, {"max_side": 0}, r"max_side must be an integer of 1 or more; got 0"),
        (strategies.images, {"max_side": 2.5}, r"max_side .*; got 2.5"),
        (strategies.images, {"max_side": True}, r"max_side .*; got True"),
        (strategies.cases, {"layouts": ["spiral"]}, r"layouts .*; got \['spiral'\]"),
        (strategies.cases, {"direction": "backward"}, r"direction must be one of forward, inverse; got 'backward'"),
        (strategies.cases, {"cells": []}, r"length-zero"),
        (
            strategies.cases,
            {"direction": "inverse", "cells": [Cell("tf", "channels_last", "uint8", 3)]},
            r"cells of an inverse .* float16, .*; got .*'uint8'",
        ),
    ],
)
def test_an_unsuitable_argument_is_an_error_that_says_what_is_accepted(
    strategy: Callable[..., st.SearchStrategy[Any]], words: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        find(strategy(**words), lambda _: True)
