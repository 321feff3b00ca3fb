"""What people copy from each other, right and wrong, in our own words: functions of images with the channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vggprep.field.setup import CONSTANTS, Array, Call, Setup, formula, load, reverse, to_pixels

BGR = np.array(CONSTANTS["caffe"][1])


def plain(function: Callable[[Array], Any]) -> Callable[[Setup], Call]:
    """A function that is the same for every setup."""
    return lambda setup: lambda x, out: function(x)


# Forward ----------------------------------------------------------------------------------------------------------


def numpy_formula(setup: Setup) -> Call:
    """The formula in NumPy, in float32, with a temporary for each step."""
    function = formula(setup, to_float=lambda x: x.astype(np.float32), constant=lambda values: values)
    return lambda x, out: function(x)


def channel_by_channel(x: Array) -> Array:
    """Cast, flip, subtract each mean in place."""
    x = x.astype("float32")
    x = x[..., ::-1]
    x[..., 0] -= 103.939
    x[..., 1] -= 116.779
    x[..., 2] -= 123.68
    return x


def float64_means(x: Array) -> Any:
    """Flip, subtract an array of means: NumPy's default dtype is float64."""
    return x[..., ::-1] - BGR


def scaled_first(x: Array) -> Any:
    """Divide by 255, as for other networks, then caffe."""
    x = x / 255.0
    return x[..., ::-1] - BGR


def flipped_after(x: Array) -> Any:
    """Subtract the means in BGR order from RGB, then flip."""
    return (x - BGR)[..., ::-1]


def first_axis_flipped(x: Array) -> Any:
    """``[::-1]`` where ``[..., ::-1]`` is meant: the rows of an image, or the images of a batch, are reversed."""
    return x[::-1] - BGR


def not_flipped(x: Array) -> Any:
    """Each channel's own mean, in RGB order: for the networks that were converted to RGB."""
    return x.astype(np.float32) - BGR[::-1].astype(np.float32)


def byte_means(x: Array) -> Array:
    """Whole means as bytes: NumPy keeps bytes and wraps around."""
    return (x[..., ::-1] - np.array([103, 116, 123], np.uint8)).astype(np.float32)


def whole_means(x: Array) -> Array:
    """104, 117, 123, as for SSD and many of OpenCV's samples."""
    return x[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)


def blob_104(setup: Setup) -> Call:
    """``blobFromImages(images, 1.0, mean=(104, 117, 123))`` without ``swapRB``, as OpenCV's samples call it."""
    cv2 = load("cv2")
    return lambda x, out: cv2.dnn.blobFromImages(list(x), 1.0, None, (104, 117, 123)).transpose(0, 2, 3, 1)


def without_deviation(x: Array) -> Any:
    """torch: the division by the standard deviation is forgotten."""
    return x / 255.0 - np.array(CONSTANTS["torch"][1])


def one_deviation(x: Array) -> Any:
    """torch: 0.226 for all three channels."""
    return (x / 255.0 - np.array(CONSTANTS["torch"][1])) / 0.226


def divided_by_128(x: Array) -> Any:
    """tf: 128 for 127.5."""
    return (x.astype(np.float32) - 128) / 128


# Inverses ---------------------------------------------------------------------------------------------------------


def usual_inverse(setup: Setup) -> Call:
    """The inverse as people write it, without the mistakes: round, clip, cast."""
    function = to_pixels(formula(setup, to_float=lambda y: y, constant=lambda values: values))
    return lambda y, out: function(y)


def inverse_in_place(setup: Setup) -> Call:
    """The first inverse that people copy: adds the means to its input in place, returns it flipped, as floats."""
    mean = CONSTANTS["caffe"][1]

    def call(y: Array, out: Array | None) -> Any:
        channels = np.moveaxis(y, -3, -1) if setup.data_format == "channels_first" else y
        for k in range(3):
            channels[..., k] += mean[k]
        return reverse(y, setup)

    return call


def inverse_truncating(setup: Setup) -> Call:
    """The second: copies, drops the axis of a batch of one, adds the means, flips, clips and cuts the fraction off."""
    mean = CONSTANTS["caffe"][1]

    def call(y: Array, out: Array | None) -> Array:
        image: Array = np.squeeze(y.copy(), 0) if y.ndim == 4 and len(y) == 1 else y.copy()
        for k in range(3):
            image[..., k] += mean[k]
        return np.clip(image[..., ::-1], 0, 255).astype(np.uint8)

    return call


def inverse_unit_range(y: Array) -> Array:
    """tf, from DeepDream: halve, add a half, times 255, clip, cast."""
    image: Array = np.clip((y / 2.0 + 0.5) * 255.0, 0, 255).astype("uint8")
    return image


def inverse_for_pillow(y: Array) -> Array:
    """torch, from tutorials: undo ``Normalize``, clip to 0..1, times 255, cast."""
    _, mean, std = CONSTANTS["torch"]
    image: Array = (np.clip(y * np.array(std) + np.array(mean), 0, 1) * 255).astype(np.uint8)
    return image


def inverse_not_flipped(y: Array) -> Array:
    """Adds the means, rounds, clips, and leaves BGR."""
    image: Array = to_pixels(lambda image: image + BGR.astype(image.dtype))(y)
    return image
