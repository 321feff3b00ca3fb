"""Wrong values: guesses about the input, and faults of single bytes, dtypes, NaN and infinity."""

from __future__ import annotations

import numpy as np

from vggprep import reference
from vggprep.faults.arithmetic import (
    BGR_MEANS,
    Array,
    computed,
    floats,
    folded,
    in_order,
    is_floating,
    native,
    normalised,
    numbers,
    right,
    row,
    through_half,
    wrapped,
)
from vggprep.faults.fault import ALL_MODES, fault
from vggprep.spec import MODES, ModeName


@fault("value")
def not_preprocessed(x: Array, mode: ModeName) -> Array:
    """The image comes back as it was, only cast to floating point."""
    return floats(x)


@fault("value", modes=ALL_MODES)
def clipped_first(x: Array) -> Array:
    """The image is clipped to 0..255 first, which changes resized or augmented images that overshoot."""
    return np.clip(floats(x), 0, 255)


@fault("value", modes=("caffe", "torch"))
def result_clipped_to_unit(x: Array, mode: ModeName) -> Array:
    """The result is clipped to -1..1, though this mode's values run beyond."""
    return np.clip(right(x, mode), -1, 1)


@fault("value")
def fractions_rounded(x: Array) -> Array:
    """Fractional values, as resizing makes them, are rounded to whole grey levels first."""
    return np.rint(floats(x))


@fault("value", modes=ALL_MODES)
def floats_cast_to_bytes(x: Array) -> Array:
    """Floating-point images are cast to uint8 first, which cuts fractions off and wraps what is outside 0..255."""
    return wrapped(x, np.uint8) if is_floating(x) or x.dtype.name == "bfloat16" else x


@fault("value", modes=ALL_MODES)
def wide_integers_cast_to_bytes(x: Array) -> Array:
    """Integer images wider than 8 bits are cast to uint8 first, which wraps what is outside 0..255."""
    return x.astype(np.uint8) if x.dtype.kind in "iu" and x.dtype.itemsize > 1 else x


@fault("value")
def bool_taken_as_black_and_white(x: Array) -> Array:
    """Boolean images become 0 and 255 instead of 0 and 1, because a mask was expected."""
    return x.astype(np.uint8) * np.uint8(255) if x.dtype == np.bool_ else x


@fault("value", modes=ALL_MODES)
def range_guessed_from_maximum(x: Array) -> Array:
    """An image whose largest value is at most 1 is taken to be scaled to 0..1 and multiplied by 255, so dark images
    come out bright."""
    values = floats(x)
    return values * values.dtype.type(255) if x.size and values.max() <= 1 else x


@fault("value")
def preprocessed_guessed_from_minimum(x: Array, mode: ModeName) -> Array:
    """An image with a negative value is taken to be preprocessed already and returned unchanged."""
    values = floats(x)
    return values if x.size and values.min() < 0 else right(x, mode)


@fault("value")
def preprocessed_guessed_from_range(x: Array, mode: ModeName) -> Array:
    """An image within -124..152 that reaches below -100 is taken to be preprocessed in caffe already and returned
    unchanged."""
    values = floats(x)
    return values if x.size and -124 <= values.min() < -100 and values.max() <= 152 else right(x, mode)


def _scaled_down(x: Array, bits: int) -> Array:
    """``x`` in 8 bits, if it looks as if it had ``bits``: judged by its largest value."""
    values = floats(x)
    if not x.size or not 2 ** (bits - 2) < values.max() < 2**bits or values.min() < 0:
        return x
    scaled: Array = values / values.dtype.type((2**bits - 1) / 255)
    return scaled


@fault("value")
def ten_bits_guessed(x: Array) -> Array:
    """An image whose largest value is below 1024 and not far is taken to have 10 bits, as video has, and scaled."""
    return _scaled_down(x, 10)


@fault("value")
def twelve_bits_guessed(x: Array) -> Array:
    """An image whose largest value is below 4096 and not far is taken to have 12 bits, as raw photographs have, and
    scaled."""
    return _scaled_down(x, 12)


@fault("value")
def limited_range_guessed(x: Array) -> Array:
    """An image within 16..235 is taken to be video and stretched to 0..255."""
    values = floats(x)
    if not x.size or values.min() < 16 or values.max() > 235:
        return x
    stretched: Array = (values - values.dtype.type(16)) * values.dtype.type(255 / 219)
    return stretched


@fault("value", breaks=["VP-REFUSE-1"])
def values_above_255_refused(x: Array) -> Array:
    """An image with a value above 255 raises an error, though resizing by cubic interpolation makes such values."""
    if x.size and floats(x).max() > 255:
        raise ValueError("pixel values must be within 0..255")
    return x


@fault("value", modes=("caffe", "torch"))
def own_channel_statistics(x: Array, mode: ModeName) -> Array:
    """The image's own channel means, and deviations where the mode scales, replace ImageNet's, as with
    samplewise_center."""
    return normalised(x, mode, axes=(-3, -2))


@fault("value")
def min_max_stretched(x: Array, mode: ModeName) -> Array:
    """The image is stretched from its own minimum and maximum to the full range first."""
    if not x.size:
        return right(x, mode)
    values = floats(x)
    low = values.min(axis=(-3, -2, -1), keepdims=True)
    high = values.max(axis=(-3, -2, -1), keepdims=True)
    return right((values - low) / np.maximum(high - low, values.dtype.type(1e-6)) * values.dtype.type(255), mode)


@fault("value")
def half_inside(x: Array, mode: ModeName) -> Array:
    """The arithmetic is done in float16 and only the result is cast, as under a mixed-precision policy."""
    return through_half(x, mode)


@fault("value", modes=("caffe", "torch"), origin="Keras tensors before 3.0, tf_keras up to 2.21")
def means_through_single(x: Array, mode: ModeName) -> Array:
    """Images in float64 meet means that were rounded to float32, as a constant tensor is unless its dtype is given."""
    y = in_order(x, mode)
    for step in MODES[mode].steps:
        if step.operation == "divide":
            y = y / numbers(step.constants, y.dtype)
        else:
            y = y - numbers(step.constants, np.dtype(np.float32)).astype(y.dtype)
    return y


def _round_to_bfloat16(x: Array) -> Array:
    """Round float32 values to bfloat16, half to even; the result is float32 still."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


@fault("value")
def bfloat16_inside(x: Array, mode: ModeName) -> Array:
    """The arithmetic is done in bfloat16 and only the result is cast, as under automatic mixed precision."""
    y = _round_to_bfloat16(x[..., list(MODES[mode].order)].astype(np.float32))
    for step in MODES[mode].steps:
        constants = _round_to_bfloat16(numbers(step.constants, np.dtype(np.float32)))
        y = _round_to_bfloat16(y / constants if step.operation == "divide" else y - constants)
    return y.astype(computed(x))


@fault("every_byte", modes=("caffe",), origin="keras-applications#128 (2019); Keras tensors up to 3.15.1")
def integer_arithmetic(x: Array, mode: ModeName) -> Array:
    """Integer images stay integers: the means lose their fractions and the result wraps around, so uint8 black
    becomes 153, 140 and 133."""
    if x.dtype.kind not in "iu":
        return right(x, mode)
    return x[..., ::-1].astype(native(x)) - numbers(BGR_MEANS, native(x))


@fault("every_byte", modes=("caffe",))
def saturating_subtraction(x: Array, mode: ModeName) -> Array:
    """The means are subtracted from uint8 images with saturation, so everything darker than the mean becomes 0, as
    cv2.subtract does."""
    y = right(x, mode)
    return np.clip(np.rint(y), 0, 255) if x.dtype == np.uint8 else y


@fault("every_byte", modes=("tf", "torch"))
def integer_division(x: Array) -> Array:
    """Integer images are divided by 255 with integer division, so everything below white becomes 0."""
    if x.dtype.kind not in "iu":
        return x
    return np.floor_divide(x.astype(np.float64), 255).astype(np.float32) * np.float32(255)


@fault("every_byte")
def wrong_table_entry(x: Array, mode: ModeName) -> Array:
    """One entry of a lookup table for bytes is wrong: green 173 is treated as 172."""
    if x.dtype == np.uint8:
        x = x.copy()
        x[..., 1][x[..., 1] == 173] = 172
    return right(x, mode)


@fault("nonfinite")
def nan_replaced_by_zero(x: Array) -> Array:
    """NaN is replaced by 0 before preprocessing, so that a broken pixel looks like a black one."""
    return np.nan_to_num(floats(x), nan=0, posinf=np.inf, neginf=-np.inf)


@fault("nonfinite")
def infinity_clipped(x: Array, mode: ModeName) -> Array:
    """Infinities become the largest finite number, because the result is sanitised by a clip."""
    y = right(x, mode)
    largest = np.finfo(y.dtype).max
    return np.clip(y, -largest, largest)


@fault("nonfinite")
def nan_spreads_by_matrix_product(x: Array, mode: ModeName) -> Array:
    """A NaN or an infinity spreads to the other channels of its pixel, because channels are swapped or scaled by a
    matrix product in which 0 times NaN is NaN."""
    values = floats(x)
    scale, offset = folded(mode)
    red, green, blue = np.diag(scale)[np.argsort(MODES[mode].order)].astype(values.dtype)
    product: Array = values[..., :1] * red + values[..., 1:2] * green + values[..., 2:] * blue
    product += offset.astype(values.dtype)
    return product


@fault("nonfinite")
def nan_spreads_to_image(x: Array, mode: ModeName) -> Array:
    """One NaN makes the whole image NaN, because a guard or a statistic looks at the image as a whole."""
    y = right(x, mode)
    return np.where(np.isnan(y).any(axis=(-3, -2, -1), keepdims=True), y.dtype.type(np.nan), y)


@fault("nonfinite", breaks=["VP-REFUSE-1"])
def nan_refused(x: Array) -> Array:
    """An image with a NaN raises an error."""
    if np.isnan(floats(x)).any():
        raise ValueError("the image holds NaN")
    return x


@fault("integers_agree", modes=("torch",), origin="torchvision's ToTensor")
def only_uint8_scaled(x: Array, mode: ModeName) -> Array:
    """Only uint8 images are divided by 255, as torchvision's ToTensor does, so other dtypes come out 255 times too
    large."""
    if x.dtype == np.uint8:
        return right(x, mode)
    return reference.forward(x, row("RGB - 0.485 0.456 0.406 / 0.229 0.224 0.225"), computed(x))


@fault("integers_agree")
def floats_taken_as_unit_range(x: Array) -> Array:
    """Floating-point images are taken to run from 0 to 1 and are multiplied by 255, while integer images are not."""
    return x if x.dtype.kind in "iub" else floats(x) * computed(x).type(255)


@fault("integers_agree")
def uint16_rescaled(x: Array) -> Array:
    """uint16 images are taken to run from 0 to 65535 and are divided by 257, as for 16-bit PNG files."""
    return floats(x) / np.float32(257) if x.dtype == np.uint16 else x


@fault("integers_agree")
def int8_taken_as_quantised(x: Array) -> Array:
    """int8 images are taken to be bytes less 128, as quantised models expect them, and are raised by 128."""
    return x.astype(np.int16) + np.int16(128) if x.dtype == np.int8 else x


@fault("integers_agree")
def int64_through_half(x: Array, mode: ModeName) -> Array:
    """int64 images go through float16, because a dtype table sends an unlisted dtype to the narrowest float."""
    return through_half(x, mode) if x.dtype.kind == "i" and x.dtype.itemsize == 8 else right(x, mode)


@fault("monotone")
def bytes_read_as_signed(x: Array) -> Array:
    """uint8 images are read as int8, so values above 127 come out as if 256 lower."""
    return x.view(np.int8) if x.dtype == np.uint8 else x


@fault("monotone")
def image_subtracted_from_mean(x: Array, mode: ModeName) -> Array:
    """The image is subtracted from the mean and not the mean from the image, so the result is a negative."""
    return -right(x, mode)
