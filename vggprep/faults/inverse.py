"""Wrong inverses."""

from __future__ import annotations

import functools

import numpy as np

from vggprep import reference
from vggprep.faults.arithmetic import (
    BGR_MEANS,
    Array,
    channel_axis,
    computed,
    floats,
    in_order,
    is_floating,
    numbers,
    right_inverse,
    to_bytes,
    wrapped,
)
from vggprep.faults.fault import ALL_MODES, Fault, fault, wrong_inverse_rows
from vggprep.spec import MODES, DataFormat, ModeName

inverse = functools.partial(fault, direction="inverse")


@inverse("restores_pixels", modes=("tf", "torch"), breaks=["VP-PIXEL-1", "VP-PIXEL-2"])
def inverse_truncated(y: Array, mode: ModeName) -> Array:
    """The inverse cuts fractions off instead of rounding, so many bytes come back one too low."""
    return np.clip(right_inverse(y, mode), 0, 255).astype(np.uint8)


@inverse("restores_pixels", modes=("caffe",))
def inverse_promoted_and_truncated(y: Array, mode: ModeName) -> Array:
    """The inverse adds the means as a list, which promotes float32 to float64 and shows its rounding errors, and
    then cuts fractions off."""
    promoted: Array = np.add(floats(y), [float(mean) for mean in BGR_MEANS])
    return np.clip(promoted[..., ::-1], 0, 255).astype(np.uint8)


@inverse("restores_pixels")
def inverse_not_clipped(y: Array, mode: ModeName) -> Array:
    """The inverse rounds but does not clip before the cast to uint8, so what overshoots wraps around from white to
    black."""
    return wrapped(np.rint(right_inverse(y, mode)), np.uint8)


@inverse("restores_pixels")
def inverse_cast_to_bytes(y: Array, mode: ModeName) -> Array:
    """The inverse casts to uint8 and does nothing else, so fractions are cut off and what overshoots wraps around."""
    return wrapped(right_inverse(y, mode), np.uint8)


@inverse("restores_pixels")
def inverse_wraps_at_16_bits(y: Array, mode: ModeName) -> Array:
    """The inverse casts to int16 before it clips, so what is beyond 32767 wraps around and becomes black."""
    return np.clip(wrapped(np.rint(right_inverse(y, mode)), np.int16), 0, 255).astype(np.uint8)


@inverse("restores_pixels", breaks=["VP-PIXEL-1", "VP-DTYPE-3"])
def inverse_to_signed_bytes(y: Array, mode: ModeName) -> Array:
    """The inverse returns int8, in which values above 127 turn negative."""
    return to_bytes(right_inverse(y, mode)).view(np.int8)


@inverse("restores_pixels", modes=("caffe",))
def inverse_not_swapped(y: Array, mode: ModeName) -> Array:
    """The inverse adds the means but forgets to swap the channels back, so red and blue are exchanged."""
    return to_bytes(right_inverse(y, mode)[..., ::-1])


@inverse("restores_pixels", modes=("caffe",))
def inverse_swapped_before_means(y: Array, mode: ModeName) -> Array:
    """The inverse swaps the channels back first and then adds the means in BGR order to RGB channels."""
    return to_bytes(floats(y)[..., ::-1] + numbers(BGR_MEANS, computed(y)))


@inverse("restores_pixels")
def inverse_clipped_before_means(y: Array, mode: ModeName) -> Array:
    """The inverse clips to 0..255 before it adds the means, so everything darker than the mean is lost."""
    return to_bytes(right_inverse(np.clip(floats(y), 0, 255), mode))


@inverse("restores_pixels", modes=("caffe",), origin="the second inverse of the question this project began with")
def inverse_squeezed_and_truncated(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The inverse drops the batch axis of a single image and cuts fractions off, which loses half a grey level on
    resized images and turns NaN into 0."""
    axis = channel_axis(data_format)
    x = np.moveaxis(right_inverse(np.moveaxis(y, axis, -1), mode), -1, axis)
    pixels: Array = np.nan_to_num(np.clip(x, 0, 255), nan=0).astype(np.uint8)
    return pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels


@inverse("restores_pixels", origin="Keras's conv_filter_visualization example")
def inverse_contrast_stretched(y: Array, mode: ModeName) -> Array:
    """The inverse standardises the image and maps it to a tenth of the contrast around grey, the deprocess_image of
    filter visualisations, which restores no pixels."""
    values = floats(y)
    if values.size:
        one = values.dtype.type
        values -= values.mean()
        values /= values.std() + one(1e-5)
        values *= one(0.1)
        values += one(0.5)
        values = np.clip(values, 0, 1)
        values *= one(255)
    return values.astype(np.uint8)


@inverse("restores_pixels", modes=("caffe", "torch"))
def inverse_stretched_for_display(y: Array, mode: ModeName) -> Array:
    """The inverse stretches the image from its own minimum and maximum to 0..255, as plotting code does."""
    x = in_order(y, mode)
    if not x.size:
        return x.astype(np.uint8)
    low, high = x.min(axis=(-3, -2, -1), keepdims=True), x.max(axis=(-3, -2, -1), keepdims=True)
    return to_bytes((x - low) / np.maximum(high - low, x.dtype.type(1e-6)) * 255)


@inverse("restores_pixels", modes=("tf", "torch"))
def inverse_from_unit_range(y: Array, mode: ModeName) -> Array:
    """The inverse multiplies by 255 as if the values ran from 0 to 1, so the dark half of the image becomes black."""
    return to_bytes(floats(y) * computed(y).type(255))


ROWS: tuple[Fault, ...] = (
    wrong_inverse_rows(
        "inverse_mmdetection_means",
        "The inverse adds 103.53, 116.28 and 123.675, which rounding to bytes hides.",
        "mmdetection",
        caffe="BGR - 103.53 116.28 123.675",
    ),
    wrong_inverse_rows(
        "inverse_slim_means",
        "The inverse adds 103.94, 116.78 and 123.68, means rounded to two decimals, which rounding to bytes hides.",
        "TF-Slim's constants",
        caffe="BGR - 103.94 116.78 123.68",
    ),
    wrong_inverse_rows("inverse_scaled_by_128", "The inverse multiplies by 128 instead of 127.5.", tf="RGB / 128 - 1"),
    wrong_inverse_rows(
        "inverse_left_in_unit_range",
        "The inverse stops at values from 0 to 1, ready for plotting, instead of going on to grey levels.",
        tf="RGB / 0.5 - 1",
        torch="RGB - 0.485 0.456 0.406 / 0.229 0.224 0.225",
    ),
    wrong_inverse_rows(
        "inverse_mean_before_std",
        "The inverse adds the mean before it multiplies by the standard deviation.",
        torch="RGB / 255 / 0.229 0.224 0.225 - 0.485 0.456 0.406",
    ),
)


@inverse("restores_floats", modes=ALL_MODES)
def inverse_half_inside(y: Array, mode: ModeName) -> Array:
    """The inverse computes in float16, which is coarser than rounding to bytes shows."""
    return reference.inverse(y, MODES[mode], np.dtype(np.float16)).astype(computed(y))


@inverse("restores_floats", modes=("caffe",))
def inverse_always_channels_first(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The inverse takes every image for channels_first, because that is its default, which turns channels_last
    images upside down and adds the means to their first three rows."""
    x = floats(y)
    for line, mean in enumerate(numbers(BGR_MEANS, x.dtype)):
        x[..., line : line + 1, :, :] += mean
    return np.flip(x, -3)


@inverse(
    "purity",
    modes=("caffe",),
    origin="the first inverse of the question this project began with",
    stateless=False,
)
def inverse_in_place(y: Array, mode: ModeName) -> Array:
    """The inverse adds the means in place and returns a view, so its input is overwritten and a second call on it
    adds them again."""
    if not (is_floating(y) and y.flags.writeable):
        return right_inverse(y, mode)
    y += numbers(BGR_MEANS, computed(y))
    return y[..., ::-1]


@inverse("purity", stateless=False)
def inverse_in_place_if_large(y: Array, mode: ModeName) -> Array:
    """The inverse overwrites its input from one megabyte on, to save memory where it matters."""
    x = right_inverse(y, mode)
    if is_floating(y) and y.flags.writeable and y.nbytes >= 2**20:
        y[...] = x
    return x


@inverse("sizes")
def inverse_chunk_missing(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The inverse leaves the elements from 65536 on at 0 in channels_last batches, which have a loop of their own."""
    axis = channel_axis(data_format)
    x = np.ascontiguousarray(np.moveaxis(right_inverse(np.moveaxis(y, axis, -1), mode), -1, axis))
    if data_format == "channels_last" and y.ndim == 4:
        x.reshape(-1)[65536:] = 0
    return x
