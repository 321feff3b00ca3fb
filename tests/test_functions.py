"""The contract of the two public functions: values, dtypes, ``out``, and what is an error."""

from __future__ import annotations

import itertools
import re
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from support import Array, bits, colours, every_byte

import vggprep
from vggprep import MODES, deprocess_input, preprocess_input
from vggprep.cases import LAYOUTS, arrange
from vggprep.functions import Backend
from vggprep.spec import DATA_FORMATS, INTEGERS, DataFormat, ModeName

Function = Callable[..., Array]

FLOATS = ("float16", "float32", "float64", "longdouble")

BOTH = pytest.mark.parametrize("function", [preprocess_input, deprocess_input])
EACH_MODE = pytest.mark.parametrize("mode", MODES)
EACH_STEPPED = pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
EACH_FORMAT = pytest.mark.parametrize("data_format", DATA_FORMATS)

WHITE = np.full((1, 1, 3), 255, np.uint8)
MEANS = (103.939, 116.779, 123.68)


def single(values: npt.ArrayLike) -> Array:
    return np.array(values, np.float32)


# Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("caffe", [151.061, 138.221, 131.32]),
        ("tf", [1, 1, 1]),
        ("torch", [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]),
        ("identity", [255, 255, 255]),
    ],
)
def test_white_has_the_values_that_everybody_knows(mode: ModeName, expected: list[float]) -> None:
    np.testing.assert_allclose(preprocess_input(WHITE, mode=mode), [[expected]], rtol=4e-7)
    np.testing.assert_allclose(preprocess_input(WHITE, mode=mode, dtype="float64"), [[expected]], rtol=1e-15)


@EACH_FORMAT
def test_caffe_reverses_the_channels_along_the_axis_that_the_format_names(data_format: DataFormat) -> None:
    cube = colours(3, 3, 3)  # only the data format says which axis holds the channels
    got = preprocess_input(cube, data_format)
    axis = 2 if data_format == "channels_last" else 0
    expected = np.flip(single(cube), axis) - (single(MEANS) if axis == 2 else single(MEANS)[:, None, None])
    np.testing.assert_array_equal(got, expected)


@BOTH
@EACH_MODE
def test_formats_and_ranks_hold_the_same_values(function: Function, mode: ModeName) -> None:
    last = colours(2, 5, 3, 3).astype(np.float32)
    expected = function(last, "channels_last", mode)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(function(first, "channels_first", mode).transpose(0, 2, 3, 1), expected)
    np.testing.assert_array_equal(function(last[1], "channels_last", mode), expected[1])
    np.testing.assert_array_equal(function(last, None, mode), expected)


def test_the_inverse_follows_the_steps_backwards_in_the_dtype_of_its_input() -> None:
    y = single([[[0.1, -0.7, 2.3]]])
    means, deviations = single([0.485, 0.456, 0.406]), single([0.229, 0.224, 0.225])
    expected: dict[ModeName, Array] = {
        "caffe": (y + single(MEANS))[..., ::-1],
        "tf": (y + single(1)) * single(127.5),
        "torch": (y * deviations + means) * single(255),
        "identity": y,
    }
    for mode, values in expected.items():
        np.testing.assert_array_equal(deprocess_input(y, mode=mode, dtype=None), values)


@EACH_MODE
@EACH_FORMAT
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_byte_survives_the_round_trip(dtype: str, data_format: DataFormat, mode: ModeName) -> None:
    image = every_byte(data_format)
    there = preprocess_input(image.astype(dtype), data_format, mode)
    assert there.dtype == np.dtype(dtype)
    out = np.full(image.shape, 77, np.uint8)
    assert deprocess_input(there, data_format, mode, out=out) is out
    assert bits(deprocess_input(there, data_format, mode)) == bits(out) == bits(image)


# Dtypes -----------------------------------------------------------------------------------------------------------


@EACH_STEPPED
@pytest.mark.parametrize("dtype", [*INTEGERS, ml_dtypes.bfloat16])
def test_what_is_no_float_becomes_float32(dtype: npt.DTypeLike, mode: ModeName) -> None:
    image = colours(2, 2, 3).astype(dtype)
    got = preprocess_input(image, mode=mode)
    assert bits(got) == bits(preprocess_input(image.astype(np.float32), mode=mode))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, ml_dtypes.bfloat16])
def test_identity_keeps_every_dtype_and_integers_that_no_float_holds(dtype: npt.DTypeLike) -> None:
    image = colours(2, 2, 3).astype(dtype)
    if image.dtype.kind in "iu":
        image[0, 0] = np.iinfo(image.dtype).max
    got = preprocess_input(image, mode="identity")
    assert bits(got) == bits(image)
    assert not np.shares_memory(got, image)


@EACH_MODE
@pytest.mark.parametrize("asked", FLOATS)
@pytest.mark.parametrize("given", ["uint8", "int64", "float16", "float64", ml_dtypes.bfloat16])
def test_a_dtype_asked_for_is_cast_to_before_anything_is_computed(
    given: npt.DTypeLike, asked: str, mode: ModeName
) -> None:
    image = (colours(3, 4, 3) * 0.7).astype(given)
    got = preprocess_input(image, mode=mode, dtype=asked)
    assert bits(got) == bits(preprocess_input(image.astype(asked), mode=mode))


def test_a_cast_that_overflows_is_silent_and_gives_infinity() -> None:
    image = np.array([[[1e300, -1e300, 0.0]]])
    got = preprocess_input(image, dtype="float16", mode="tf")
    np.testing.assert_array_equal(got, np.array([[[np.inf, -np.inf, -1]]], np.float16))


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "f4", ">f4", "single"])
def test_a_dtype_may_be_named_as_numpy_names_it_and_the_result_is_native(
    function: Function, dtype: npt.DTypeLike
) -> None:
    assert function(WHITE, dtype=dtype).dtype.str == np.dtype(np.float32).str


NO_FLOATS: tuple[npt.DTypeLike, ...] = ("int8", bool, "complex64", "str", object, "M8[s]", ml_dtypes.bfloat16, "3f4")


@pytest.mark.parametrize(
    ("function", "dtype", "accepted"),
    [
        *((preprocess_input, dtype, "one of float16.*longdouble") for dtype in ("uint8", *NO_FLOATS)),
        *((deprocess_input, dtype, r"None, an integer dtype that holds 0\.\.255 or .*") for dtype in NO_FLOATS),
    ],
)
def test_a_dtype_that_cannot_be_the_results_is_a_type_error(
    function: Function, dtype: npt.DTypeLike, accepted: str
) -> None:
    with pytest.raises(TypeError, match=f"dtype must be {accepted}; got"):
        function(WHITE, dtype=dtype)


@BOTH
@pytest.mark.parametrize("dtype", ["float23", 32, 3.5, ["float32"]])
def test_a_dtype_that_numpy_does_not_know_is_a_type_error_that_quotes_it(function: Function, dtype: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"got {dtype!r}")):
        function(WHITE, dtype=dtype)


def test_longdouble_takes_its_constants_by_way_of_float64() -> None:
    white = np.full((1, 1, 3), 255, np.longdouble)
    assert bits(preprocess_input(white)) == bits(white - np.array(MEANS, np.float64).astype(np.longdouble))


@pytest.mark.parametrize("given", FLOATS)
def test_the_inverse_without_a_dtype_keeps_that_of_its_input(given: str) -> None:
    assert deprocess_input(WHITE.astype(given), dtype=None).dtype == np.dtype(given)


@pytest.mark.parametrize("given", [*INTEGERS, ml_dtypes.bfloat16])
def test_the_inverse_of_anything_else_computes_in_float32(given: npt.DTypeLike) -> None:
    y = colours(2, 2, 3).astype(given)
    for dtype in (None, "uint8"):
        got = deprocess_input(y, dtype=dtype)
        assert bits(got) == bits(deprocess_input(y.astype(np.float32), dtype=dtype))


@EACH_MODE
@pytest.mark.parametrize("asked", FLOATS)
def test_the_inverse_to_another_floating_dtype_computes_in_that_of_its_input(asked: str, mode: ModeName) -> None:
    y = single([[[0.1, -0.7, 2.3]]])
    got = deprocess_input(y, mode=mode, dtype=asked)
    assert bits(got) == bits(deprocess_input(y, mode=mode, dtype=None).astype(asked))


@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
@pytest.mark.parametrize("values", [[-300.25, 0.375, 1000.5], [np.nan, np.inf, -np.inf]])
def test_the_inverse_to_floats_keeps_what_is_no_pixel(values: list[float], dtype: str | None) -> None:
    y = np.array([[values]])
    np.testing.assert_array_equal(deprocess_input(y, mode="identity", dtype=dtype), y)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("given", FLOATS)
def test_the_inverse_to_pixels_saturates_and_rounds_half_to_even(given: str, dtype: str) -> None:
    y = np.array([[[-np.inf, np.inf, -1], [256, 300, -300], [-0.0, 255.75, 60000], [0.5, 1.5, 254.5]]], given)
    got = deprocess_input(y, mode="identity", dtype=dtype)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, [[[0, 255, 0], [255, 255, 0], [0, 255, 255], [0, 2, 254]]])


def test_the_inverse_saturates_integers_beyond_a_byte() -> None:
    y = np.array([[[2**63, 2**64 - 1, 255]]], np.uint64)
    np.testing.assert_array_equal(deprocess_input(y, mode="identity"), [[[255, 255, 255]]])


@EACH_MODE
@pytest.mark.parametrize("threads", [1, 3])
def test_nan_is_not_a_pixel(threads: int, mode: ModeName) -> None:
    y = np.zeros((5, 4, 3), np.float32)
    y[4, 2, 1] = np.nan
    backends: tuple[Backend, ...] = ("numpy", "reference")
    for backend in backends:
        with pytest.raises(ValueError, match=r"holds NaN, which is not a valid pixel value; use a floating dtype="):
            deprocess_input(y, mode=mode, threads=threads, backend=backend)


# What x may be ----------------------------------------------------------------------------------------------------


class Picture:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return colours(2, 2, 3)


@BOTH
@pytest.mark.parametrize("given", [colours(2, 2, 3).tolist(), Picture(), colours(2, 2, 3).data], ids=type)
def test_whatever_numpy_can_make_an_array_of_is_accepted(function: Function, given: Any) -> None:
    assert bits(function(given)) == bits(function(colours(2, 2, 3)))


@BOTH
def test_a_subclass_gives_a_plain_array(function: Function) -> None:
    masked = np.ma.MaskedArray(colours(2, 2, 3), mask=colours(2, 2, 3) > 100)
    assert type(function(masked)) is np.ndarray


@BOTH
@EACH_MODE
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_input_is_never_written_to_and_its_layout_does_not_matter(
    function: Function, mode: ModeName, layout: str
) -> None:
    for data_format, dtype in itertools.product(DATA_FORMATS, ("uint8", "float32", ">f8", ">i2")):
        x = arrange(colours(2, 4, 5, 3).astype(dtype), data_format, layout)
        before = x.tobytes()
        got = function(x, data_format, mode)
        assert x.tobytes() == before
        assert bits(got) == bits(function(np.array(x, x.dtype.newbyteorder("="), order="C"), data_format, mode))
        assert (got.flags.c_contiguous, got.flags.writeable, got.flags.aligned, got.dtype.isnative) == (True,) * 4
        assert not np.shares_memory(got, x)
        assert not np.shares_memory(got, function(x, data_format, mode))


# out --------------------------------------------------------------------------------------------------------------


def unsuitable_outs() -> dict[str, tuple[Array, str]]:
    """Each wrong ``out`` for a (2, 4, 3) image that gives float32, and what its error must speak of."""
    readonly = np.full((2, 4, 3), 77, np.float32)
    readonly.flags.writeable = False
    return {
        "one row too many": (np.full((3, 4, 3), 77, np.float32), r"shape \(2, 4, 3\); got \(3, 4, 3\)"),
        "another rank": (np.full((1, 2, 4, 3), 77, np.float32), r"shape \(2, 4, 3\); got \(1, 2, 4, 3\)"),
        "transposed": (np.full((4, 2, 3), 77, np.float32), r"shape \(2, 4, 3\); got \(4, 2, 3\)"),
        "wider dtype": (np.full((2, 4, 3), 77, np.float64), "dtype float32.*got float64"),
        "narrower dtype": (np.full((2, 4, 3), 77, np.float16), "dtype float32.*got float16"),
        "integer dtype": (np.full((2, 4, 3), 77, np.int32), "dtype float32.*got int32"),
        "byte order": (np.full((2, 4, 3), 77, np.dtype(np.float32).newbyteorder("S")), "dtype float32.*got"),
        "Fortran order": (np.full((2, 4, 3), 77, np.float32, order="F"), "C-contiguous"),
        "every second row": (np.full((4, 4, 3), 77, np.float32)[::2], "C-contiguous"),
        "reversed": (np.full((2, 4, 3), 77, np.float32)[::-1], "C-contiguous"),
        "read-only": (readonly, "writeable"),
    }


@BOTH
@pytest.mark.parametrize("which", unsuitable_outs())
def test_an_unsuitable_out_is_an_error_and_stays_as_it_was(function: Function, which: str) -> None:
    out, message = unsuitable_outs()[which]
    before = out.tobytes()
    with pytest.raises(ValueError, match=rf"out must .*{message}"):
        function(colours(2, 4, 3), dtype="float32", out=out)
    assert out.tobytes() == before


@BOTH
@pytest.mark.parametrize("out", [[[[0.0, 0.0, 0.0]]], "out", 3.0, np.zeros((1, 1, 3), np.float32).data])
def test_an_out_that_is_no_array_is_a_type_error(function: Function, out: Any) -> None:
    with pytest.raises(TypeError, match=r"out must be a NumPy array; got "):
        function(WHITE, dtype="float32", out=out)


@EACH_STEPPED
def test_out_never_chooses_the_dtype(mode: ModeName) -> None:
    with pytest.raises(ValueError, match="out must have dtype float32"):
        preprocess_input(WHITE, mode=mode, out=np.zeros(WHITE.shape, np.float64))
    with pytest.raises(ValueError, match="out must have dtype uint8"):
        deprocess_input(WHITE, mode=mode, out=np.zeros(WHITE.shape, np.float32))


@BOTH
@pytest.mark.parametrize("mode", ["caffe", "identity"])
@pytest.mark.parametrize("offset", [0, 1, 3, 12, 23])
def test_an_out_that_overlaps_the_input_is_an_error_and_both_stay_as_they_were(
    function: Function, mode: ModeName, offset: int
) -> None:
    memory = colours(48).astype(np.float32)
    before = memory.tobytes()
    x, out = memory[:24].reshape(2, 4, 3), memory[offset : offset + 24].reshape(2, 4, 3)
    for overlapping in (x, x[::-1, :, ::-1], memory[::2].reshape(2, 4, 3)):
        with pytest.raises(ValueError, match="overlap"):
            function(overlapping, mode=mode, dtype="float32", out=out)
    assert memory.tobytes() == before


@BOTH
def test_an_out_beside_the_input_or_in_its_gaps_is_no_overlap(function: Function) -> None:
    memory = np.arange(200, dtype=np.float32).reshape(2, 100)
    beside, with_gaps = memory.reshape(-1)[50:74].reshape(2, 4, 3), memory[:, :12].reshape(2, 4, 3)
    assert np.shares_memory(with_gaps, memory)
    out = memory.reshape(-1)[20:44].reshape(2, 4, 3)
    for x in (beside, with_gaps):
        expected = bits(function(x, dtype="float32"))
        assert bits(function(x, dtype="float32", out=out)) == expected


# The other arguments, and errors that leave out untouched -----------------------------------------------------------


@BOTH
@EACH_MODE
@EACH_FORMAT
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (0, 3), (64, 3)])
def test_neither_threads_nor_backend_change_a_bit(
    function: Function, mode: ModeName, data_format: DataFormat, shape: tuple[int, int]
) -> None:
    image = colours(*((*shape, 3) if data_format == "channels_last" else (3, *shape)))
    expected = bits(function(image, data_format, mode))
    for threads in (1, 2, 3, 100, np.int64(2)):
        for backend in ("auto", "numpy", "reference"):
            assert bits(function(image, data_format, mode, threads=threads, backend=backend)) == expected


UNKNOWN = {
    (
        "mode",
        "must be one of caffe, tf, torch, identity, a name in vggprep.PUBLISHED or a vggprep.Mode; got {!r}",
        ValueError,
    ): (*("bgr", "", "Caffe", "TF", " tf", None, ["caffe"], ("tf",), b"tf", 0, True, np.nan),),
    ("data_format", "must be None or one of channels_last, channels_first; got {!r}", ValueError): (
        *("nhwc", "", "Channels_Last", ["channels_last"], b"channels_last", 0, False),
    ),
    ("backend", "must be one of auto, numpy, numba, reference; got {!r}", ValueError): (
        *("", "Auto", "gpu", None, b"auto", ["auto"], 0),
    ),
    ("threads", "must be 1 or more; got {}", ValueError): (0, -1, np.int8(0)),
    ("threads", "must be a whole number; got {!r}", TypeError): (1.0, "2", None, [1]),
}


@BOTH
@pytest.mark.parametrize(
    ("word", "value", "message", "error"),
    [(word, value, text.format(value), error) for (word, text, error), values in UNKNOWN.items() for value in values],
)
def test_an_unknown_argument_is_an_error_that_lists_those_there_are_and_leaves_out_untouched(
    function: Function, word: str, value: Any, message: str, error: type[Exception]
) -> None:
    out = np.full((1, 1, 3), 77, np.float32)
    with pytest.raises(error, match=re.escape(f"{word} {message}")):
        function(WHITE, dtype="float32", out=out, **{word: value})
    assert (out == 77).all()


@BOTH
def test_strings_of_numpy_are_strings(function: Function) -> None:
    got = function(WHITE, np.str_("channels_last"), np.str_("tf"))
    assert bits(got) == bits(function(WHITE, "channels_last", "tf"))


@BOTH
@EACH_FORMAT
@pytest.mark.parametrize("shape", [(), (3,), (3, 3), (1, 3, 3, 3, 3)])
def test_another_rank_than_3_or_4_is_an_error_that_says_which(
    function: Function, data_format: DataFormat, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=rf"rank 3 .* or 4 .*; got rank {len(shape)}, shape {re.escape(str(shape))}"):
        function(np.zeros(shape, np.uint8), data_format)


@BOTH
@pytest.mark.parametrize(
    ("data_format", "shape", "axis"),
    [
        *(("channels_last", (3, 4, 4), 2), ("channels_last", (4, 4, 0), 2), ("channels_last", (2, 3, 4, 4), 3)),
        *(("channels_first", (4, 4, 3), 0), ("channels_first", (2, 4, 4, 3), 1), ("channels_first", (3, 4, 3, 3), 1)),
    ],
)
def test_a_channel_axis_that_is_not_3_is_an_error_that_says_where(
    function: Function, data_format: DataFormat, shape: tuple[int, ...], axis: int
) -> None:
    expected = rf"with {data_format}, axis {axis} must hold the 3 channels; got shape {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=expected):
        function(np.zeros(shape, np.float32), data_format)


WRONG_TYPES: tuple[Any, ...] = (
    *(np.zeros((1, 1, 3), dtype) for dtype in (np.complex64, object, "U3", "S3", "M8[s]", "m8[s]", "V2")),
    *(np.zeros((1, 1, 3), dtype) for dtype in ([("red", "u1"), ("green", "u1")], ml_dtypes.float8_e4m3fn)),
    np.zeros((1, 1, 3), ml_dtypes.int4),
    *([[[value, 0, 0]]] for value in ("1", None, 1j, 2**70, datetime(2026, 1, 1))),
    *({"image": 1}, None),
)


@BOTH
@pytest.mark.parametrize("given", WRONG_TYPES, ids=repr)
def test_what_holds_no_real_numbers_is_a_type_error(function: Function, given: Any) -> None:
    with pytest.raises(TypeError, match=r"bool, integer or real floating dtype .*; got"):
        function(given)


@BOTH
def test_a_ragged_list_is_an_error_in_words(function: Function) -> None:
    with pytest.raises(ValueError, match="one array of numbers"):
        function([[[1, 2, 3], [4, 5]]])


# Memory that is used again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [lambda y: y, lambda y: y[1:], lambda y: y.T, memoryview, np.ravel])
def test_memory_is_used_again_only_when_nobody_refers_to_the_result(hold: Callable[[Array], Any]) -> None:
    preprocess, image = vggprep.Preprocessor(mode="torch"), colours(5, 6, 3)
    first = preprocess(image)
    address, held = first.ctypes.data, hold(first)
    del first
    before = np.asarray(held).tobytes()
    assert preprocess(255 - image).ctypes.data != address
    assert np.asarray(held).tobytes() == before
    del held
    assert preprocess(image).ctypes.data == address


def test_a_preprocessor_returns_what_the_function_does() -> None:
    given = [colours(2, 3, 3), colours(2, 3, 3).astype(">f8"), colours(2, 4, 3, 3).astype("float16"), colours(0, 2, 3)]
    for mode, dtype in (("caffe", None), ("identity", None), ("tf", "float64")):
        preprocess = vggprep.Preprocessor("channels_last", mode, dtype=dtype, keep=2)
        results = [preprocess(x) for x in [*given, *given]]
        for x, result in zip([*given, *given], results, strict=True):
            expected = preprocess_input(x, None, mode, dtype=dtype)
            assert bits(result) == bits(expected)
            assert not np.shares_memory(result, x)
        assert len({result.ctypes.data for result in results if result.size}) == 6
    for x in (np.zeros((2, 2)), np.zeros((2, 2, 3), complex)):
        with pytest.raises((TypeError, ValueError), match="images must have"):
            preprocess(x)
    with pytest.raises(ValueError, match="keep must be 1 or more; got 0"):
        vggprep.Preprocessor(keep=0)


def test_memory_of_another_shape_or_dtype_is_let_go_and_no_more_is_kept_than_asked_for() -> None:
    preprocess = vggprep.Preprocessor(mode="tf", keep=2)
    for x in (
        colours(5, 6, 3),
        colours(5, 6, 3).astype("float64"),
        colours(6, 5, 3).astype("float64"),
        colours(9, 3)[None],
    ):
        assert bits(preprocess(x)) == bits(preprocess_input(x, mode="tf"))
    held = [preprocess(colours(5, 6, 3)) for _ in range(5)]
    alive = [weakref.ref(y) for y in held]
    del held
    assert [y() is not None for y in alive] == [True, True, False, False, False]
    preprocess(colours(6, 5, 3))
    assert not any(y() is not None for y in alive)


def test_threads_never_get_memory_that_another_still_has(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = vggprep.Preprocessor(mode="tf", keep=3)
    monkeypatch.setattr(preprocess, "_references", slowly(preprocess._references))

    def work(value: int) -> bool:
        expected = np.float32(value) / np.float32(127.5) - 1
        held = [preprocess(np.full((40, 40, 3), value, np.uint8)) for _ in range(2)]
        return all((y == expected).all() for y in held)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(40)))


def slowly(function: Callable[[int], int]) -> Callable[[int], int]:
    """The same, leaving other threads the time to come in between."""

    def slow(place: int) -> int:
        found = function(place)
        time.sleep(1e-3)
        return found

    return slow
