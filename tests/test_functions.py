"""The contract of the two public functions: values, dtypes, ``out``, and what is an error."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from vggprep import MODES, deprocess_input, preprocess_input
from vggprep.cases import LAYOUTS, arrange
from vggprep.functions import Backend
from vggprep.spec import DATA_FORMATS, INTEGERS, DataFormat, ModeName

Array = npt.NDArray[Any]
Function = Callable[..., Array]

FLOATS = ("float16", "float32", "float64", "longdouble")

BOTH = pytest.mark.parametrize("function", [preprocess_input, deprocess_input])
EACH_MODE = pytest.mark.parametrize("mode", MODES)
EACH_FORMAT = pytest.mark.parametrize("data_format", DATA_FORMATS)

WHITE = np.full((1, 1, 3), 255, np.uint8)


def colours(*shape: int) -> Array:
    """Bytes that keep the channels of a channels-last image apart."""
    return ((np.arange(np.prod(shape)) * 89 + 7).reshape(shape) % 256).astype(np.uint8)


def single(values: npt.ArrayLike) -> Array:
    return np.array(values, np.float32)


def every_byte(data_format: DataFormat) -> Array:
    """Each of the 256 bytes in each channel, the channels in different orders."""
    image = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1).reshape(16, 16, 3)
    image = image.astype(np.uint8)
    return image if data_format == "channels_last" else np.ascontiguousarray(image.transpose(2, 0, 1))


def bits(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    """Dtype with its byte order, shape and values to the last bit."""
    values = array.tobytes()
    if array.dtype == np.longdouble:  # has padding of any value: take it apart
        with np.errstate(all="ignore"):
            near = array.astype(np.float64)
            values = near.tobytes() + (array - near).astype(np.float64).tobytes()
    return array.dtype.str, array.shape, values


# Values -----------------------------------------------------------------------------------------------------------


def test_white_in_caffe_mode_is_255_less_each_mean_in_bgr() -> None:
    got = preprocess_input(WHITE)
    np.testing.assert_array_equal(got, np.float32(255) - single([[[103.939, 116.779, 123.68]]]))
    np.testing.assert_allclose(got, [[[151.061, 138.221, 131.32]]], atol=1e-5, rtol=0)
    exact = preprocess_input(WHITE, dtype="float64")
    np.testing.assert_array_equal(exact, [[[255 - 103.939, 255 - 116.779, 255 - 123.68]]])


def test_white_in_tf_mode_is_one() -> None:
    np.testing.assert_array_equal(preprocess_input(WHITE, mode="tf"), np.ones((1, 1, 3), np.float32))


def test_white_in_torch_mode_is_one_less_the_mean_in_standard_deviations() -> None:
    expected = [[[0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]]]
    np.testing.assert_allclose(preprocess_input(WHITE, mode="torch"), expected, rtol=4e-7)


def test_white_in_mode_identity_is_white() -> None:
    assert bits(preprocess_input(WHITE, mode="identity")) == bits(WHITE)


def test_red_goes_last_in_caffe_mode() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    expected = np.array([[[-103.939, -116.779, 131.32]]], np.float32)
    np.testing.assert_array_equal(preprocess_input(red), expected)


@EACH_FORMAT
def test_channels_are_found_along_the_axis_that_the_format_names(data_format: DataFormat) -> None:
    cube = colours(3, 3, 3)  # only the data format says which axis holds the channels
    got = preprocess_input(cube, data_format)
    expected = cube.astype(np.float32)
    axis = 2 if data_format == "channels_last" else 0
    means = np.array([103.939, 116.779, 123.68], np.float32)
    expected = np.flip(expected, axis) - (means if axis == 2 else means[:, None, None])
    np.testing.assert_array_equal(got, expected)


@BOTH
@EACH_MODE
def test_the_two_data_formats_give_transposed_results(function: Function, mode: ModeName) -> None:
    last = colours(2, 5, 3, 3).astype(np.float32)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    got = function(first, "channels_first", mode).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(got, function(last, "channels_last", mode))


@BOTH
@EACH_MODE
def test_an_image_gets_the_result_of_a_batch_of_one(function: Function, mode: ModeName) -> None:
    image = colours(4, 5, 3).astype(np.float32)
    np.testing.assert_array_equal(function(image, mode=mode), function(image[None], mode=mode)[0])


@BOTH
def test_no_data_format_means_channels_last(function: Function) -> None:
    cube = colours(3, 3, 3).astype(np.float32)
    assert bits(function(cube)) == bits(function(cube, "channels_last"))
    assert bits(function(cube, None, "tf")) == bits(function(cube, "channels_last", "tf"))


def test_the_inverse_follows_the_steps_backwards_in_the_dtype_of_its_input() -> None:
    y = np.array([[[0.1, -0.7, 2.3]]], np.float32)
    one, half = np.float32(1), np.float32(127.5)
    got = deprocess_input(y, mode="tf", dtype=None)
    np.testing.assert_array_equal(got, (y + one) * half)
    means, deviations = single([0.485, 0.456, 0.406]), single([0.229, 0.224, 0.225])
    got = deprocess_input(y, mode="torch", dtype=None)
    np.testing.assert_array_equal(got, (y * deviations + means) * np.float32(255))
    got = deprocess_input(y, dtype=None)
    np.testing.assert_array_equal(got, (y + single([103.939, 116.779, 123.68]))[..., ::-1])
    np.testing.assert_array_equal(deprocess_input(y, mode="identity", dtype=None), y)


@EACH_MODE
@EACH_FORMAT
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_every_byte_survives_the_round_trip(dtype: str, data_format: DataFormat, mode: ModeName) -> None:
    image = every_byte(data_format)
    there = preprocess_input(image.astype(dtype), data_format, mode)
    assert there.dtype == np.dtype(dtype)
    back = deprocess_input(there, data_format, mode)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, image)


# Dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_floating_dtypes_are_kept(dtype: str, mode: ModeName) -> None:
    assert preprocess_input(colours(2, 2, 3).astype(dtype), mode=mode).dtype == np.dtype(dtype)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", [*INTEGERS, ml_dtypes.bfloat16])
def test_other_dtypes_become_float32(dtype: npt.DTypeLike, mode: ModeName) -> None:
    image = colours(2, 2, 3).astype(dtype)
    got = preprocess_input(image, mode=mode)
    assert bits(got) == bits(preprocess_input(image.astype(np.float32), mode=mode))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, ml_dtypes.bfloat16])
def test_identity_keeps_every_dtype(dtype: npt.DTypeLike) -> None:
    image = colours(2, 2, 3).astype(dtype)
    got = preprocess_input(image, mode="identity")
    assert bits(got) == bits(image)
    assert not np.shares_memory(got, image)


def test_identity_keeps_integers_that_no_float_holds() -> None:
    image = np.array([[[2**63 - 1, -(2**63), 2**53 + 1]]], np.int64)
    np.testing.assert_array_equal(preprocess_input(image, mode="identity"), image)


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


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "f4", ">f4", "single"])
def test_a_dtype_may_be_named_as_numpy_names_it_and_the_result_is_native(dtype: npt.DTypeLike) -> None:
    assert preprocess_input(WHITE, dtype=dtype).dtype.str == np.dtype(np.float32).str
    assert deprocess_input(WHITE, dtype=dtype).dtype.str == np.dtype(np.float32).str


@pytest.mark.parametrize("dtype", ["uint8", bool, "complex64", "str", object, "M8[s]", ml_dtypes.bfloat16, "3f4"])
def test_preprocessing_to_a_dtype_that_is_not_floating_is_a_type_error(dtype: npt.DTypeLike) -> None:
    with pytest.raises(TypeError, match=r"dtype must be one of float16.*longdouble; got"):
        preprocess_input(WHITE, dtype=dtype)


@BOTH
@pytest.mark.parametrize("dtype", ["float23", "no such dtype", 32, 3.5, ["float32"]])
def test_a_dtype_that_numpy_does_not_know_is_a_type_error_that_quotes_it(function: Function, dtype: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"got {dtype!r}")):
        function(WHITE, dtype=dtype)


def test_longdouble_takes_its_constants_by_way_of_float64() -> None:
    white = np.full((1, 1, 3), 255, np.longdouble)
    expected = white - np.array([103.939, 116.779, 123.68], np.float64).astype(np.longdouble)
    assert bits(preprocess_input(white)) == bits(expected)


@EACH_MODE
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_the_inverse_goes_to_every_integer_dtype_that_holds_a_byte(dtype: str, mode: ModeName) -> None:
    image = every_byte("channels_last")
    back = deprocess_input(preprocess_input(image, mode=mode), mode=mode, dtype=dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("dtype", ["int8", bool, "complex64", "str", object, "m8[s]", ml_dtypes.bfloat16])
def test_the_inverse_to_a_dtype_that_holds_no_byte_is_a_type_error(dtype: npt.DTypeLike) -> None:
    with pytest.raises(TypeError, match=r"dtype must be None, an integer dtype that holds 0\.\.255 or .*; got"):
        deprocess_input(WHITE.astype(np.float32), dtype=dtype)


@pytest.mark.parametrize("given", FLOATS)
def test_the_inverse_without_a_dtype_keeps_that_of_its_input(given: str) -> None:
    assert deprocess_input(WHITE.astype(given), dtype=None).dtype == np.dtype(given)


@pytest.mark.parametrize("given", [*INTEGERS, ml_dtypes.bfloat16])
def test_the_inverse_of_anything_else_computes_in_float32(given: npt.DTypeLike) -> None:
    y = colours(2, 2, 3).astype(given)
    for dtype in (None, "uint8"):
        got = deprocess_input(y, dtype=dtype)
        assert bits(got) == bits(deprocess_input(y.astype(np.float32), dtype=dtype))


@pytest.mark.parametrize("asked", FLOATS)
def test_the_inverse_to_another_floating_dtype_computes_in_that_of_its_input(asked: str) -> None:
    y = np.array([[[0.1, -0.7, 2.3]]], np.float32)
    for mode in MODES:
        got = deprocess_input(y, mode=mode, dtype=asked)
        assert bits(got) == bits(deprocess_input(y, mode=mode, dtype=None).astype(asked))


@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
def test_the_inverse_to_floats_neither_rounds_nor_clips(dtype: str | None) -> None:
    y = np.array([[[-300.25, 0.375, 1000.5]]])
    got = deprocess_input(y, mode="identity", dtype=dtype)
    np.testing.assert_array_equal(got, y)


def test_the_inverse_to_floats_keeps_nan_and_infinities() -> None:
    y = np.array([[[np.nan, np.inf, -np.inf]]], np.float32)
    for mode in ("tf", "torch", "identity"):
        np.testing.assert_array_equal(deprocess_input(y, mode=mode, dtype=None), y)
    np.testing.assert_array_equal(deprocess_input(y, dtype=None), y[..., ::-1])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("given", ["float16", "float32", "float64", "longdouble"])
def test_the_inverse_to_pixels_saturates(given: str, dtype: str) -> None:
    y = np.array([[[-np.inf, np.inf, -1], [256, 300, -300], [-0.0, 255.49, 60000]]], given)
    got = deprocess_input(y, mode="identity", dtype=dtype)
    np.testing.assert_array_equal(got, np.array([[[0, 255, 0], [255, 255, 0], [0, 255, 255]]]))


def test_the_inverse_saturates_integers_beyond_a_byte() -> None:
    y = np.array([[[2**63, 2**64 - 1, 255]]], np.uint64)
    np.testing.assert_array_equal(deprocess_input(y, mode="identity"), [[[255, 255, 255]]])


def test_the_inverse_rounds_half_to_even() -> None:
    y = np.array([[[0.5, 1.5, 2.5], [253.5, 254.5, -0.5], [0.75, 1.25, 127.5]]], np.float32)
    got = deprocess_input(y, mode="identity")
    np.testing.assert_array_equal(got, [[[0, 2, 2], [254, 254, 0], [1, 1, 128]]])


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


@BOTH
def test_nested_lists_are_accepted(function: Function) -> None:
    nested = [[[0, 100, 255], [1, 2, 3]]]
    assert bits(function(nested)) == bits(function(np.array(nested)))
    assert function([[[0.5, 100.25, 255.0]]], dtype="float64").dtype == np.float64


@BOTH
def test_whatever_numpy_can_make_an_array_of_is_accepted(function: Function) -> None:
    class Picture:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
            return colours(2, 2, 3)

    assert bits(function(Picture())) == bits(function(colours(2, 2, 3)))
    assert bits(function(colours(2, 2, 3).data)) == bits(function(colours(2, 2, 3)))


@BOTH
def test_a_subclass_gives_a_plain_array(function: Function) -> None:
    masked = np.ma.MaskedArray(colours(2, 2, 3), mask=colours(2, 2, 3) > 100)
    assert type(function(masked)) is np.ndarray


@BOTH
@EACH_MODE
@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 2, 2, 3), (2, 0, 2, 3), (2, 2, 0, 3), (0, 0, 0, 3)])
def test_an_empty_image_gives_an_empty_result(function: Function, mode: ModeName, shape: tuple[int, ...]) -> None:
    for threads in (1, 2):
        got = function(np.zeros(shape, np.float32), mode=mode, dtype="float32", threads=threads)
        assert got.shape == shape
        assert got.dtype == np.float32


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
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert got.flags.aligned
        assert got.dtype.isnative
        assert not np.shares_memory(got, x)


@BOTH
@EACH_MODE
def test_each_call_returns_an_array_of_its_own(function: Function, mode: ModeName) -> None:
    image = colours(4, 4, 3).astype(np.float32)
    first = function(image, mode=mode)
    kept = first.copy()
    second = function(image[::-1], mode=mode)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


# out --------------------------------------------------------------------------------------------------------------


@BOTH
@EACH_MODE
@EACH_FORMAT
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_out_is_filled_and_returned(function: Function, mode: ModeName, data_format: DataFormat, dtype: str) -> None:
    x = colours(*((2, 4, 5, 3) if data_format == "channels_last" else (2, 3, 4, 5)))
    expected = function(x, data_format, mode, dtype=dtype)
    out = np.full(x.shape, 77, dtype)
    assert function(x, data_format, mode, dtype=dtype, out=out) is out
    assert bits(out) == bits(expected)


@EACH_MODE
def test_pixels_can_go_to_out(mode: ModeName) -> None:
    image = every_byte("channels_last")
    out = np.full(image.shape, 77, np.uint8)
    assert deprocess_input(preprocess_input(image, mode=mode), mode=mode, out=out) is out
    np.testing.assert_array_equal(out, image)


def test_out_may_be_a_contiguous_part_of_a_larger_array() -> None:
    batch = np.full((3, 2, 2, 3), 77, np.float32)
    preprocess_input(colours(2, 2, 3), out=batch[1])
    assert bits(batch[1]) == bits(preprocess_input(colours(2, 2, 3)))
    assert (batch[[0, 2]] == 77).all()


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


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
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
    with pytest.raises(ValueError, match="overlap"):
        function(x, mode=mode, dtype="float32", out=out)
    with pytest.raises(ValueError, match="overlap"):
        function(x[::-1, :, ::-1], mode=mode, dtype="float32", out=out)
    assert memory.tobytes() == before


@BOTH
def test_an_out_beside_the_input_in_the_same_memory_is_no_overlap(function: Function) -> None:
    memory = colours(48).astype(np.float32)
    x, out = memory[:24].reshape(2, 4, 3), memory[24:].reshape(2, 4, 3)
    expected = function(x, dtype="float32")
    assert bits(function(x, dtype="float32", out=out)) == bits(expected)


@BOTH
def test_an_out_across_the_elements_of_a_strided_input_is_an_overlap(function: Function) -> None:
    memory = colours(2 * 24).astype(np.float32)
    with pytest.raises(ValueError, match="overlap"):
        function(memory[::2].reshape(2, 4, 3), dtype="float32", out=memory[12:36].reshape(2, 4, 3))


@BOTH
def test_an_out_in_a_gap_of_the_input_is_no_overlap(function: Function) -> None:
    memory = np.arange(200, dtype=np.float32).reshape(2, 100)
    x = memory[:, :12].reshape(2, 4, 3)
    assert np.shares_memory(x, memory)
    out = memory.reshape(-1)[20:44].reshape(2, 4, 3)
    expected = function(x, dtype="float32")
    assert bits(function(x, dtype="float32", out=out)) == bits(expected)


@BOTH
def test_an_error_in_the_arguments_leaves_out_untouched(function: Function) -> None:
    out = np.full((1, 1, 3), 77, np.float32)
    for words in ({"mode": "bgr"}, {"data_format": "nchw"}, {"threads": 0}, {"backend": "gpu"}):
        with pytest.raises(ValueError, match="must be"):
            function(WHITE, dtype="float32", out=out, **words)
    assert (out == 77).all()


# threads and backend ----------------------------------------------------------------------------------------------


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


@BOTH
@pytest.mark.parametrize("threads", [0, -1, np.int8(0)])
def test_less_than_one_thread_is_an_error(function: Function, threads: int) -> None:
    with pytest.raises(ValueError, match=rf"threads must be 1 or more; got {threads}"):
        function(WHITE, threads=threads)


@BOTH
@pytest.mark.parametrize("threads", [1.0, "2", None, [1]])
def test_threads_that_are_no_whole_number_are_a_type_error(function: Function, threads: Any) -> None:
    with pytest.raises(TypeError, match=rf"threads must be a whole number; got {re.escape(repr(threads))}"):
        function(WHITE, threads=threads)


@BOTH
@pytest.mark.parametrize("backend", ["", "Auto", "gpu", None, b"auto", ["auto"], 0])
def test_an_unknown_backend_is_an_error_that_lists_those_there_are(function: Function, backend: Any) -> None:
    with pytest.raises(ValueError, match=rf"backend must be one of auto, numpy.*; got {re.escape(repr(backend))}"):
        function(WHITE, backend=backend)


# Modes and formats ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("mode", ["bgr", "", "Caffe", "TF", " tf", None, ["caffe"], ("tf",), b"tf", 0, True, np.nan])
def test_an_unknown_mode_is_an_error_that_names_the_four(function: Function, mode: Any) -> None:
    expected = rf"mode must be one of caffe, tf, torch, identity; got {re.escape(repr(mode))}"
    with pytest.raises(ValueError, match=expected):
        function(WHITE, mode=mode)


@BOTH
@pytest.mark.parametrize("data_format", ["nhwc", "", "Channels_Last", ["channels_last"], b"channels_last", 0, False])
def test_an_unknown_data_format_is_an_error_that_names_both(function: Function, data_format: Any) -> None:
    expected = rf"None or one of channels_last, channels_first; got {re.escape(repr(data_format))}"
    with pytest.raises(ValueError, match=expected):
        function(WHITE, data_format)


@BOTH
def test_strings_of_numpy_are_strings(function: Function) -> None:
    got = function(WHITE, np.str_("channels_last"), np.str_("tf"))
    assert bits(got) == bits(function(WHITE, "channels_last", "tf"))


# Shapes and dtypes that are none ----------------------------------------------------------------------------------


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
        ("channels_last", (3, 4, 4), 2),
        ("channels_last", (4, 4, 1), 2),
        ("channels_last", (4, 4, 0), 2),
        ("channels_last", (2, 3, 4, 4), 3),
        ("channels_first", (4, 4, 3), 0),
        ("channels_first", (2, 4, 4, 3), 1),
        ("channels_first", (3, 4, 3, 3), 1),
    ],
)
def test_a_channel_axis_that_is_not_3_is_an_error_that_says_where(
    function: Function, data_format: DataFormat, shape: tuple[int, ...], axis: int
) -> None:
    expected = rf"with {data_format}, axis {axis} must hold the 3 channels; got shape {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=expected):
        function(np.zeros(shape, np.float32), data_format)


WRONG_TYPES = {
    "complex": np.zeros((1, 1, 3), np.complex64),
    "object": np.zeros((1, 1, 3), object),
    "text": np.full((1, 1, 3), "255"),
    "bytes": np.full((1, 1, 3), b"255"),
    "datetime": np.zeros((1, 1, 3), "M8[s]"),
    "timedelta": np.zeros((1, 1, 3), "m8[s]"),
    "structured": np.zeros((1, 1, 3), [("red", "u1"), ("green", "u1")]),
    "void": np.zeros((1, 1, 3), "V2"),
    "another ml_dtypes float": np.zeros((1, 1, 3), ml_dtypes.float8_e4m3fn),
    "an ml_dtypes integer": np.zeros((1, 1, 3), ml_dtypes.int4),
    "a list of text": [[["1", "2", "3"]]],
    "a list of None": [[[None, None, None]]],
    "a list of complex": [[[1j, 0, 0]]],
    "a list of huge integers": [[[2**70, 0, 0]]],
    "a list of datetimes": [[[datetime(2026, 1, 1)] * 3]],
    "a dictionary": {"image": 1},
    "nothing": None,
}


@BOTH
@pytest.mark.parametrize("which", WRONG_TYPES)
def test_what_holds_no_real_numbers_is_a_type_error(function: Function, which: str) -> None:
    with pytest.raises(TypeError, match=r"bool, integer or real floating dtype .*; got"):
        function(WRONG_TYPES[which])


@BOTH
def test_a_ragged_list_is_an_error_in_words(function: Function) -> None:
    with pytest.raises(ValueError, match="one array of numbers"):
        function([[[1, 2, 3], [4, 5]]])
