"""Faults of shape, dtype, aliasing, memory layout, size, memory between calls, and errors that are not raised."""

from __future__ import annotations

import functools
import time
from collections.abc import Hashable
from typing import Any

import numpy as np

from vggprep.faults.arithmetic import (
    Array,
    channel_axis,
    floats,
    in_order,
    is_floating,
    native,
    numbers,
    right,
    wrapped,
)
from vggprep.faults.fault import ALL_MODES, fault
from vggprep.functions import preprocess_input
from vggprep.spec import DATA_FORMATS, MODES, RANKS, DataFormat, ModeName


@fault("shape_and_dtype", modes=ALL_MODES, breaks=["VP-RESULT-2"])
def channels_last_returned(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """channels_first images come back as channels_last."""
    return np.moveaxis(preprocess_input(x, data_format, mode), channel_axis(data_format), -1)


@fault("shape_and_dtype", modes=ALL_MODES, breaks=["VP-RESULT-2"])
def batch_of_one_squeezed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """A batch of one image comes back without its batch axis."""
    y = preprocess_input(x, data_format, mode)
    return y[0] if y.ndim == 4 and len(y) == 1 else y


@fault("shape_and_dtype", modes=ALL_MODES, breaks=["VP-RESULT-2"])
def batch_axis_added(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """A single image comes back as a batch of one."""
    y = preprocess_input(x, data_format, mode)
    return y[np.newaxis] if y.ndim == 3 else y


@fault("shape_and_dtype", breaks=["VP-DTYPE-1", "VP-DTYPE-2"])
def half_returned(x: Array, mode: ModeName) -> Array:
    """The result is rounded to float16 whatever the input's dtype."""
    return right(x, mode).astype(np.float16)


@fault("shape_and_dtype", breaks=["VP-DTYPE-1", "VP-DTYPE-2"])
def cast_back_to_integers(x: Array, mode: ModeName) -> Array:
    """Integer images are computed in floating point and then cast back to their own dtype, which cuts fractions off
    and wraps negative values."""
    y = right(x, mode)
    return wrapped(y, native(x)) if x.dtype.kind in "iu" else y


@fault("purity", origin="Keras's ndarray path, every release", stateless=False)
def computed_in_place(x: Array, mode: ModeName) -> Array:
    """Floating-point input is overwritten and the result is a view of it, so the caller's images are gone."""
    y = right(x, mode)
    if not (is_floating(x) and x.flags.writeable):
        return y
    result = x[..., ::-1] if mode == "caffe" else x
    result[...] = y
    return result


@fault("purity", stateless=False, breaks=["VP-INPUT-1", "VP-INPUT-3"])
def scaled_and_scaled_back(x: Array, mode: ModeName) -> Array:
    """Floating-point input is scaled in place and scaled back afterwards, which leaves rounding errors in the
    caller's images."""
    y = right(x, mode)
    if is_floating(x) and x.flags.writeable:
        scale = x.dtype.type(3 / 255)
        x *= scale
        x /= scale
    return y


@fault("shape_and_dtype", stateless=False, breaks=["VP-RESULT-1"])
def no_data_masked(x: Array, mode: ModeName) -> Array:
    """The result is a masked array that hides black pixels as missing data, so that means and sums leave them out."""
    black = np.broadcast_to((x == 0).any(axis=-1, keepdims=True), x.shape)
    return np.ma.masked_array(right(x, mode), mask=black)


@fault("shape_and_dtype", stateless=False, breaks=["VP-RESULT-1"])
def big_endian_returned(x: Array, mode: ModeName) -> Array:
    """The result is big-endian, as files and networks have it, which torch.from_numpy and compiled code refuse."""
    y = right(x, mode)
    return y.astype(y.dtype.newbyteorder(">"))


@fault("purity", stateless=False)
def in_place_if_large(x: Array, mode: ModeName) -> Array:
    """Floating-point input from one megabyte on is overwritten, to save memory where it matters."""
    y = right(x, mode)
    if is_floating(x) and x.flags.writeable and x.nbytes >= 2**20:
        x[...] = y
        return x
    return y


@fault("purity", memory=list, breaks=["VP-INPUT-2"])
def earlier_image_as_scratch(x: Array, mode: ModeName, kept: list[Array]) -> Array:
    """The caller's array is kept, and the next call uses it as scratch, so that an earlier image turns black."""
    y = right(x, mode)
    if kept and kept[0].flags.writeable and not np.shares_memory(kept[0], x):
        kept[0][...] = 0
    kept[:] = [x]
    return y


@fault("purity", modes=("caffe",), stateless=False)
def swapped_in_place(x: Array, mode: ModeName) -> Array:
    """The caller's image is left with red and blue exchanged, because the swap is done in place."""
    y = right(x, mode)
    if x.flags.writeable:
        x[...] = x[..., ::-1].copy()
    return y


def _reused(y: Array, buffers: dict[Hashable, Array]) -> Array:
    """``y`` in the one buffer for its shape and dtype."""
    buffer = buffers.setdefault((y.shape, y.dtype), y)
    buffer[...] = y
    return buffer


@fault("fresh_output", memory=dict, breaks=["VP-OUTPUT-2"])
def buffer_reused(x: Array, mode: ModeName, buffers: dict[Hashable, Array]) -> Array:
    """The same output buffer is returned by every call for one shape, so a later call changes earlier results."""
    return _reused(right(x, mode), buffers)


@fault("fresh_output", memory=dict, breaks=["VP-OUTPUT-2"])
def large_buffer_reused(x: Array, mode: ModeName, buffers: dict[Hashable, Array]) -> Array:
    """Large images share one output buffer, which small ones do not show: a later call changes earlier results."""
    y = right(x, mode)
    return _reused(y, buffers) if x.size > 200_000 else y


@fault("fresh_output", memory=dict, breaks=["VP-OUTPUT-2"])
def buffers_in_turn(x: Array, mode: ModeName, rings: dict[Hashable, list[Array]]) -> Array:
    """Sixteen output buffers for each shape are used in turn, so the seventeenth call changes the first result."""
    y = right(x, mode)
    ring = rings.setdefault((y.shape, y.dtype), [])
    ring.append(y if len(ring) < 16 else ring.pop(0))
    ring[-1][...] = y
    return ring[-1]


@fault(
    "fresh_output",
    modes=("identity",),
    origin="Keras models that preprocess inside, such as EfficientNet",
    stateless=False,
    breaks=["VP-OUTPUT-1"],
)
def input_returned(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The result is the input itself and not a copy, so writing to one changes the other."""
    return x


def _rising(x: Array) -> Array:
    """The same memory with every stride positive: what a reader sees that takes the strides' magnitudes."""
    return x[tuple(slice(None, None, -1) if stride < 0 else slice(None) for stride in x.strides)]


@fault("memory_layouts")
def strides_ignored(x: Array) -> Array:
    """The array's memory is read as if C-contiguous, whatever its strides, as native code does that takes only a
    pointer and a shape."""
    return _read_flat(x)


@fault("memory_layouts")
def large_views_read_flat(x: Array) -> Array:
    """The memory of images of more than 4096 elements is read as if C-contiguous, because only the path that works in
    blocks takes a pointer and a length."""
    return _read_flat(x) if x.size > 4096 else x


def _read_flat(x: Array) -> Array:
    if not x.size:
        return x
    lowest = _rising(x)
    reach = sum((length - 1) * stride for length, stride in zip(lowest.shape, lowest.strides, strict=True))
    elements = np.lib.stride_tricks.as_strided(lowest, (reach // x.itemsize + 1,), (x.itemsize,), writeable=False)
    return np.resize(elements, x.shape)  # repeated where there is not enough memory


@fault("memory_layouts")
def negative_strides_read_forwards(x: Array) -> Array:
    """Axes with a negative stride are read forwards, so a mirrored view comes back unmirrored."""
    return _rising(x)


@fault("memory_layouts")
def frames_not_skipped(x: Array) -> Array:
    """Of a batch that takes every second frame of a video, the frames between are read as well, because the distance
    between images is not looked at."""
    packed = np.empty(x.shape, x.dtype).strides
    if x.ndim == 4 and x.strides[1:] == packed[1:] and x.strides[0] > packed[0]:
        return np.lib.stride_tricks.as_strided(x, x.shape, packed, writeable=False)
    return x


@fault("memory_layouts")
def repeated_image_read_on(x: Array, mode: ModeName) -> Array:
    """Of one image that is broadcast over a batch, all but the first come back as 0, because the batch is read as if
    there were as much memory."""
    y = right(x, mode)
    if x.ndim == 4 and x.strides[0] == 0:
        y[1:] = 0
    return y


@fault("memory_layouts")
def grey_read_as_colour(x: Array) -> Array:
    """Of a grey image that is broadcast over the channels, neighbouring pixels are read as red, green and blue."""
    if x.size and x.strides[-1] == 0:
        return np.resize(x[..., 0], x.shape)
    return x


@fault("memory_layouts")
def row_pitch_in_pixels(x: Array, mode: ModeName) -> Array:
    """Where rows end in padding that is no whole number of pixels, as in buffers of QImage or GStreamer, each row
    starts too early, because the distance between rows is divided by the size of a pixel."""
    y = right(x, mode)
    pixel = 3 * x.itemsize
    if x.strides[-2:] == (pixel, x.itemsize) and x.strides[-3] > pixel * x.shape[-2] and x.strides[-3] % pixel:
        y[..., 1:, 1:, :] = y[..., 1:, :-1, :].copy()
    return y


@fault("memory_layouts", origin="torch.from_numpy", breaks=["VP-REFUSE-1"])
def negative_strides_refused(x: Array) -> Array:
    """Arrays with a negative stride, such as mirrored images, raise an error, as torch.from_numpy does."""
    if any(stride < 0 for stride in x.strides):
        raise ValueError("negative strides are not supported")
    return x


@fault("memory_layouts", breaks=["VP-REFUSE-1"])
def non_contiguous_refused(x: Array) -> Array:
    """Arrays that are not C-contiguous raise an error, as with native code that takes only such buffers."""
    if not x.flags.c_contiguous:
        raise ValueError("the array is not C-contiguous")
    return x


@fault("memory_layouts", origin="Keras's ndarray path, every release", breaks=["VP-REFUSE-1"])
def read_only_refused(x: Array) -> Array:
    """Read-only floating-point images raise an error, because the function writes into them."""
    if is_floating(x) and not x.flags.writeable:
        raise ValueError("output array is read-only")
    return x


@fault("byte_order")
def byte_order_ignored(x: Array) -> Array:
    """Big-endian input is read as if it had the machine's byte order."""
    return x.view(native(x))


def _elements(x: Array, mode: ModeName) -> tuple[Array, Array]:
    """The right answer as one row of elements, pixel after pixel, and the input's in the same dtype."""
    y = right(x, mode).reshape(-1)
    return y, x.reshape(-1).astype(y.dtype)


@fault("sizes")
def vector_tail_raw(x: Array, mode: ModeName) -> Array:
    """The last elements, those that do not fill a vector of 16, are left raw, because the loop for the rest is
    missing."""
    y, raw = _elements(x, mode)
    whole = y.size - y.size % 16
    y[whole:] = raw[whole:]
    return y.reshape(x.shape)


@fault("sizes")
def short_input_raw(x: Array, mode: ModeName) -> Array:
    """Input of fewer than 16 elements is left raw, because the vector loop never runs."""
    y, raw = _elements(x, mode)
    return (raw if y.size < 16 else y).reshape(x.shape)


def _out_of_phase(x: Array, mode: ModeName) -> Array:
    if x.size <= 65536:
        return right(x, mode)
    y = in_order(x, mode).reshape(-1)
    phase = np.arange(y.size) % 65536 % 3
    for step in MODES[mode].steps:
        constants = numbers(step.constants, y.dtype)[phase]
        y = y / constants if step.operation == "divide" else y - constants
    return y.reshape(x.shape)


@fault("sizes", modes=("caffe", "torch"))
def second_block_out_of_phase(x: Array, mode: ModeName) -> Array:
    """From element 65536 on the constants of the channels are exchanged, because every block starts with the first
    channel's though its length is not a multiple of 3."""
    return _out_of_phase(x, mode)


@fault("sizes", modes=("caffe", "torch"))
def float_batches_out_of_phase(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """As second_block_out_of_phase, but only in float32 batches in channels_last, which have a loop of their own."""
    if x.dtype != np.float32 or x.ndim != 4 or data_format != "channels_last":
        return preprocess_input(x, data_format, mode)
    return _out_of_phase(x, mode)


@fault("sizes")
def plane_counter_of_16_bits(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """Of channels_first images, the pixels of a plane from 65536 on come back as 0, because a counter has 16 bits."""
    y = preprocess_input(x, data_format, mode)
    if data_format == "channels_first" and x.shape[-1] * x.shape[-2] > 65536:
        planes = y.reshape(*y.shape[:-2], -1)
        planes[..., 65536:] = 0
        return planes.reshape(y.shape)
    return y


@fault("sizes")
def single_image_counter_of_16_bits(x: Array, mode: ModeName) -> Array:
    """Of a single image, not of a batch, the pixels from 65536 on come back as 0."""
    y = right(x, mode)
    if x.ndim == 3:
        y = y.reshape(-1, 3)
        y[65536:] = 0
    return y.reshape(x.shape)


@fault("sizes")
def large_floats_held_as_bytes(x: Array) -> Array:
    """Floats of more than 4096 elements are held as bytes to save memory, so fractions and what lies outside 0..255 are
    lost."""
    if x.dtype.kind != "f" or x.size <= 4096:
        return x
    held: Array = np.clip(np.rint(np.nan_to_num(x)), 0, 255)
    return held.astype(x.dtype)


@fault("sizes")
def line_buffer_of_2048(x: Array, mode: ModeName) -> Array:
    """Of rows wider than 2048 pixels, the rest comes back as 0, because a line buffer is full."""
    y = right(x, mode)
    y[..., 2048:, :] = 0
    return y


@fault("sizes")
def portrait_turned(x: Array, mode: ModeName) -> Array:
    """Images at least twice as high as wide are turned upside down, because they are taken for turned photographs."""
    y = right(x, mode)
    return y[..., ::-1, ::-1, :] if x.shape[-3] >= 2 * x.shape[-2] > 2 else y


@fault("sizes", modes=("caffe", "torch"))
def means_along_batch_of_three(x: Array, mode: ModeName) -> Array:
    """In a batch of three images, each image gets one mean for all its channels."""
    if x.ndim != 4 or len(x) != 3:
        return right(x, mode)
    y = in_order(x, mode)
    for step in MODES[mode].steps:
        constants = numbers(step.constants, y.dtype)
        constants = constants.reshape(3, 1, 1, 1) if step.operation == "subtract" else constants
        y = y / constants if step.operation == "divide" else y - constants
    return y


@fault("sizes")
def ends_at_65536(x: Array, mode: ModeName) -> Array:
    """Everything from element 65536 on comes back as 0, because a counter has 16 bits."""
    y, _ = _elements(x, mode)
    y[65536:] = 0
    return y.reshape(x.shape)


@fault("sizes")
def last_block_missing(x: Array, mode: ModeName) -> Array:
    """What does not fill a block of 4096 elements at the end comes back as 0, because the blocks are counted by
    whole division."""
    y, _ = _elements(x, mode)
    if y.size > 4096:
        y[y.size - y.size % 4096 :] = 0
    return y.reshape(x.shape)


@fault("sizes", memory=list)
def stale_length(x: Array, mode: ModeName, lengths: list[int]) -> Array:
    """Elements beyond the length of the previous call's input are left raw, because the length is kept from it."""
    y, raw = _elements(x, mode)
    if lengths:
        y[lengths[-1] :] = raw[lengths[-1] :]
    lengths[:] = [y.size]
    return y.reshape(x.shape)


@fault("sizes", breaks=["VP-REFUSE-1"])
def empty_refused(x: Array) -> Array:
    """Empty arrays raise an error."""
    if not x.size:
        raise ValueError("the array is empty")
    return x


@fault("value", memory=dict)
def cached_by_shape(x: Array, data_format: DataFormat, mode: ModeName, results: dict[Hashable, Array]) -> Array:
    """The result of an earlier call is returned for every image of the same shape and dtype, because the cache's
    key leaves out the pixels."""
    key = (x.shape, x.dtype, data_format, mode)
    if key not in results:
        results.clear()
        results[key] = preprocess_input(x, data_format, mode)
    return results[key].copy()


@fault("determinism", memory=list, breaks=["VP-STATE-1"])
def constants_of_previous_call(x: Array, mode: ModeName, previous: list[ModeName]) -> Array:
    """Each call uses the constants of the mode that the call before it asked for, because the mode is stored too
    late."""
    used = previous[-1] if previous else mode
    previous[:] = [mode]
    return right(x, used)


@fault("determinism", modes=("caffe",), memory=functools.partial(np.zeros, 3), breaks=["VP-STATE-1"])
def running_means(x: Array, mode: ModeName, means: Array) -> Array:
    """Means that follow the images seen so far replace ImageNet's, as in batch normalisation left in training
    mode."""
    if not x.size:
        return right(x, mode)
    values = floats(x)[..., ::-1]
    seen = values.reshape(-1, 3).mean(axis=0).astype(np.float64)
    means[:] = 0.9 * means + 0.1 * np.where(np.isfinite(seen), seen, means)
    values -= means.astype(values.dtype)
    return values


@fault("determinism", memory=functools.partial(np.random.default_rng, 0), breaks=["VP-STATE-1"])
def dithered(x: Array, mode: ModeName, generator: np.random.Generator) -> Array:
    """Random noise of half a grey level is added, because an augmentation of the training pipeline was left on."""
    values = floats(x)
    return right(values + generator.uniform(-0.5, 0.5, x.shape).astype(values.dtype), mode)


@fault("determinism", memory=list, breaks=["VP-STATE-2"])
def same_array_remembered(x: Array, data_format: DataFormat, mode: ModeName, last: list[Any]) -> Array:
    """The result of the last call is returned when the same array comes again, though it has been filled with another
    image since, as cameras do with their buffers."""
    if not last or last[0] is not x or last[1] != (data_format, mode):
        last[:] = [x, (data_format, mode), preprocess_input(x, data_format, mode)]
    y: Array = last[2].copy()
    return y


@fault("determinism", memory=dict, breaks=["VP-STATE-2"])
def cached_by_text(x: Array, mode: ModeName, results: dict[Hashable, Array]) -> Array:
    """Results are kept by the text of the array, which is abridged from 1000 elements on."""
    with np.printoptions(threshold=1000, edgeitems=3):
        key = (mode, x.shape, x.dtype.name, str(x))
    return results.setdefault(key, right(x, mode)).copy()


@fault("threads", memory=dict)
def mode_kept_in_module(x: Array, mode: ModeName, settings: dict[str, ModeName]) -> Array:
    """The mode is kept in a variable of the module while a call works, so that threads in other modes change it."""
    settings["mode"] = mode
    values = x.copy()
    time.sleep(0.001)  # Long enough for another thread to come between.
    return right(values, settings["mode"])


@fault("threads", memory=dict)
def scratch_shared_between_threads(x: Array, mode: ModeName, scratches: dict[Hashable, Array]) -> Array:
    """All threads share one scratch array, so concurrent calls return each other's pixels."""
    scratch = _reused(right(x, mode), scratches)
    time.sleep(0.001)  # Long enough for another thread to come between.
    return scratch.copy()


@fault("errors", origin="TensorFlow before 2.3", checked=False, breaks=["VP-ERROR-1"])
def unknown_mode_taken_as_caffe(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """An unknown mode is taken as caffe without an error, so a misspelt mode goes unnoticed."""
    return preprocess_input(x, data_format, mode if mode in MODES else "caffe")


@fault("errors", origin="Keras before 2.1.2", checked=False, breaks=["VP-ERROR-1"])
def unknown_data_format_taken_as_channels_last(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """An unknown data_format is taken as channels_last without an error, so a misspelt one goes unnoticed."""
    return preprocess_input(x, data_format if data_format in DATA_FORMATS else "channels_last", mode)


def _without_alpha(x: Array, data_format: DataFormat) -> Array:
    if data_format in DATA_FORMATS and x.ndim in RANKS and x.shape[channel_axis(data_format)] == 4:
        return np.take(x, (0, 1, 2), axis=channel_axis(data_format))
    return x


@fault("errors", checked=False, breaks=["VP-ERROR-2"])
def alpha_of_bytes_dropped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The fourth channel of RGBA images is dropped without an error, but only of bytes, as images are read."""
    return preprocess_input(_without_alpha(x, data_format) if x.dtype == np.uint8 else x, data_format, mode)


@fault("determinism", memory=dict, breaks=["VP-STATE-2"])
def result_kept_by_ends(x: Array, mode: ModeName, results: dict[Hashable, Array]) -> Array:
    """Results are kept for images of equal shape with equal first and last pixels, as two frames of one film have."""
    pixels = np.ascontiguousarray(x).reshape(-1)
    key = (mode, x.shape, x.dtype.name, pixels[:12].tobytes(), pixels[-12:].tobytes())
    return results.setdefault(key, right(x, mode)).copy()


@fault("purity", stateless=False)
def planes_in_place(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The image's planes are overwritten, because the copy made of them is no copy if the image is a transposed array
    of planes."""
    y = preprocess_input(x, data_format, mode)
    if data_format == "channels_last":
        planes = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        if np.shares_memory(planes, x) and planes.flags.writeable and is_floating(x):
            planes[...] = np.moveaxis(y, -1, 0)
    return y


@fault("sizes")
def far_pixels_left_out(x: Array, mode: ModeName) -> Array:
    """The pixels beyond the last whole tile of rows and columns are left at 0."""
    y = right(x, mode)
    y[..., 64:, 40:, :] = 0
    return y


@fault("memory_layouts")
def cropped_rows_read_flat(x: Array, mode: ModeName) -> Array:
    """Of a crop, every row but the first is read from the wrong place, because the distance between rows is ignored."""
    y = right(x, mode)
    if x.size and x.strides[-2] == x.itemsize * 3 and x.strides[-3] > x.shape[-2] * x.strides[-2]:
        y[..., 1:, :, :] = y[..., :-1, :, :]
    return y


@fault("errors", origin="Keras 3 tensors, caffe mode", checked=False, breaks=["VP-ERROR-2"])
def alpha_dropped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The fourth channel of RGBA images is dropped without an error."""
    return preprocess_input(_without_alpha(x, data_format), data_format, mode)
