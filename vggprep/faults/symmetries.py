"""Faults that depend on the data format, the batch, the place of a pixel or the other channels."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from vggprep.faults.arithmetic import BGR_MEANS, Array, computed, floats, normalised, numbers, right
from vggprep.faults.fault import ALL_MODES, fault
from vggprep.functions import preprocess_input
from vggprep.spec import MODES, DataFormat, ModeName, Operation


def _constants_along(
    axis: int, operation: Operation, ranks: Container[int], x: Array, data_format: DataFormat, mode: ModeName
) -> Array:
    """For channels_first images, the constants of one operation along ``axis`` when that has length 3."""
    if data_format != "channels_first" or x.ndim not in ranks or x.shape[axis] != 3:
        return preprocess_input(x, data_format, mode)
    y = np.take(x, MODES[mode].order, axis=-3).astype(computed(x))
    for step in MODES[mode].steps:
        shape = [1] * x.ndim
        shape[axis if step.operation == operation else -3] = 3
        constants = numbers(step.constants, y.dtype).reshape(shape)
        y = y / constants if step.operation == "divide" else y - constants
    return y


@fault("layout_equivariance", modes=("caffe", "torch"), origin="Keras tensors before 3.12.0")
def rank_3_means_along_height(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """For one channels_first image whose height is 3, the means are subtracted along the height, because the
    broadcast is written for batches."""
    return _constants_along(-2, "subtract", (3,), x, data_format, mode)


@fault("layout_equivariance", modes=("caffe", "torch"))
def rank_4_means_along_width(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """For channels_first batches whose width is 3, the means are subtracted along the width, because they broadcast
    against the last axis."""
    return _constants_along(-1, "subtract", (4,), x, data_format, mode)


@fault(
    "layout_equivariance",
    modes=("caffe", "torch"),
    origin="keras.ops.add on TensorFlow, in functional models up to Keras 3.15.1",
)
def means_added_as_bias(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """For channels_first images, the means are added along a width of 3 (or, for one image, a height of 3): the
    addition looks like a bias and goes to bias_add, which takes the first axis of that length for the channels."""
    if x.shape[-1] == 3:
        return _constants_along(-1, "subtract", (3, 4), x, data_format, mode)
    return _constants_along(-2, "subtract", (3,), x, data_format, mode)


@fault("layout_equivariance", modes=("torch",), origin="TensorFlow before 2.5")
def std_along_width(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """For channels_first images whose width is 3, the standard deviations are divided out along the width, because
    they broadcast against the last axis."""
    return _constants_along(-1, "divide", (3, 4), x, data_format, mode)


@fault("layout_equivariance", modes=("caffe", "torch"))
def channel_axis_guessed_from_the_end(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The channel axis is taken to be the last one whenever that has length 3, so channels_first images three pixels
    wide are misread."""
    return preprocess_input(x, "channels_last" if x.shape[-1] == 3 else data_format, mode)


@fault("layout_equivariance", modes=("caffe", "torch"))
def channel_axis_guessed_from_the_front(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The channel axis is taken to be the first of an image whenever that has length 3, so channels_last images
    three pixels high are misread."""
    return preprocess_input(x, "channels_first" if x.shape[-3] == 3 else data_format, mode)


@fault("layout_equivariance", modes=("caffe",))
def channels_first_not_swapped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """The swap to BGR is done for channels_last and forgotten for channels_first."""
    return preprocess_input(np.flip(x, -3) if data_format == "channels_first" else x, data_format, mode)


@fault("layout_equivariance", modes=("caffe", "torch"))
def reshaped_for_transposed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """channels_first images are reshaped to channels_last instead of transposed, which deals the constants out to
    the wrong pixels."""
    if data_format == "channels_last":
        return preprocess_input(x, data_format, mode)
    *batch, channels, height, width = x.shape
    return preprocess_input(x.reshape(*batch, height, width, channels), "channels_last", mode).reshape(x.shape)


@fault("layout_equivariance", modes=("caffe",))
def always_channels_first(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """channels_last images are treated as channels_first, which turns them upside down and takes the means from the
    first three rows."""
    if data_format == "channels_first":
        return preprocess_input(x, data_format, mode)
    y = np.flip(x, -3).astype(computed(x))
    for line, mean in enumerate(numbers(BGR_MEANS, y.dtype)):
        y[..., line : line + 1, :, :] -= mean
    return y


@fault("batch_consistency")
def first_image_only(x: Array, mode: ModeName) -> Array:
    """Only the first image of a batch is preprocessed and the others are left raw."""
    y = right(x, mode)
    if x.ndim == 4:
        y[1:] = x[1:]
    return y


@fault("batch_consistency")
def whole_chunks_only(x: Array, mode: ModeName) -> Array:
    """Batches of more than 32 images are worked off in chunks of 32, and what does not fill a chunk is left raw."""
    y = right(x, mode)
    if x.ndim == 4 and len(x) > 32:
        whole = len(x) - len(x) % 32
        y[whole:] = x[whole:]
    return y


@fault("batch_consistency", modes=ALL_MODES)
def in_order_of_completion(x: Array, mode: ModeName) -> Array:
    """Batches of more than 16 images are dealt out to workers and gathered as these are ready, not in order."""
    y = right(x, mode)
    return np.concatenate([y[1::2], y[::2]]) if x.ndim == 4 and len(x) > 16 else y


@fault("batch_consistency", modes=("caffe", "torch"))
def batch_statistics(x: Array, mode: ModeName) -> Array:
    """The batch's own channel means, and deviations where the mode scales, replace ImageNet's, as with
    featurewise_center."""
    return normalised(x, mode, axes=(0, 1, 2)) if x.ndim == 4 else right(x, mode)


@fault("batch_consistency", modes=("caffe",))
def batch_reversed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """For channels_first batches the first axis is reversed, which turns the order of the images around and leaves
    the channels RGB, because the swap is written for one image."""
    if data_format != "channels_first" or x.ndim != 4:
        return preprocess_input(x, data_format, mode)
    y = x[::-1].astype(computed(x))
    y -= numbers(BGR_MEANS, y.dtype).reshape(3, 1, 1)
    return y


@fault("pixel_equivariance", modes=("caffe",))
def mean_image_subtracted(x: Array, mode: ModeName) -> Array:
    """A mean image, a little brighter to one side, is subtracted instead of one mean for each channel, as with
    Caffe's mean.binaryproto."""
    y = right(x, mode)
    height, width = x.shape[-3:-1]
    rows, columns = np.arange(height), np.arange(width)
    # Brighter by up to two grey levels to the bottom right, with the right mean overall.
    slope = (rows[:, None] - (height - 1) / 2) / max(height, 1) + (columns - (width - 1) / 2) / max(width, 1)
    y -= 2 * slope[..., None].astype(y.dtype)
    return y


@fault("pixel_equivariance", modes=ALL_MODES)
def upside_down(x: Array, mode: ModeName) -> Array:
    """The image comes back upside down, because its rows are stored from the bottom up as in BMP and OpenGL."""
    return right(x, mode)[..., ::-1, :, :]


@fault("channel_independence", modes=("tf", "torch"))
def standardised(x: Array, mode: ModeName) -> Array:
    """The image is standardised by the mean and deviation of all its values together, as
    tf.image.per_image_standardization does."""
    if not x.size:
        return right(x, mode)
    values = floats(x)
    least = values.dtype.type(np.prod(x.shape[-3:]) ** -0.5)
    deviation = np.maximum(values.std(axis=(-3, -2, -1), keepdims=True), least)
    values -= values.mean(axis=(-3, -2, -1), keepdims=True)
    values /= deviation
    return values


@fault("channel_independence", modes=ALL_MODES)
def grey(x: Array, mode: ModeName) -> Array:
    """All three channels hold the image's luminance, because it was converted to grey and back."""
    values = floats(x)
    weights = np.array([0.299, 0.587, 0.114], values.dtype)
    return right(np.repeat((values * weights).sum(axis=-1, keepdims=True), 3, axis=-1), mode)
