"""The gallery: known wrong implementations, each with its story and the check that must catch it.

It proves the suite (``FAULTS`` must fail, ``HONEST`` must pass) and diagnoses users' failures: a wrong output
is compared with what each fault makes of the same input. A fault that shows only for one data format, dtype or
shape returns the right answer elsewhere, so that the suite has to find the spot. Imports NumPy, the spec, the
reference, the public functions and ``implementations``; never the checks, which it judges, nor a framework.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from vggprep import reference
from vggprep.functions import preprocess_input
from vggprep.implementations import Implementation
from vggprep.spec import DATA_FORMATS, MODES, RANKS, DataFormat, Mode, ModeName, Operation, Step

Array = npt.NDArray[Any]
Function = Callable[[Array, str, str], Array]
"""A forward function or an inverse under test: ``(x, data_format, mode)``."""
Images = Callable[[Array, str], Array]
"""The same for channels-last images only: ``(x, mode)``."""


@dataclass(frozen=True)
class Fault:
    """A known way to get preprocessing wrong.

    Args:
        name: in terms of the field, unique in the gallery.
        story: one sentence on what the code does wrong and how people come to it; printed as
            "behaves like NAME: STORY".
        caught_by: the name of the check that must catch it.
        origin: where it was seen: an upstream issue, a project, a release. ``None`` if no place is known.
        preprocess: the wrong forward function, called with ``(x, data_format, mode)``.
        deprocess: the wrong inverse, called likewise.
        modes: the modes in which the fault shows; it is not to be run in others.
        data_formats, dtypes, ranks: claims, as in ``Implementation``.
        stateless: whether its outcome depends on the arguments alone and differs from the right one for some
            input, so that a user's output can be compared with it.
    """

    name: str
    story: str
    caught_by: str
    origin: str | None = None
    preprocess: Callable[..., Any] | None = None
    deprocess: Callable[..., Any] | None = None
    modes: tuple[str, ...] = ("caffe", "tf", "torch")
    data_formats: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    ranks: tuple[int, ...] | None = None
    stateless: bool = True

    def implementation(self) -> Implementation:
        """The fault as something to judge, at level ``faithful``, claiming the modes in which it shows."""
        return Implementation(
            self.name,
            self.preprocess,
            self.deprocess,
            modes=self.modes,
            data_formats=self.data_formats,
            dtypes=self.dtypes,
            ranks=self.ranks,
        )


# What the entries are made of.

_BGR_MEANS = ("103.939", "116.779", "123.68")
_RGB_MEANS = ("123.68", "116.779", "103.939")
_TORCH_MEANS = ("0.485", "0.456", "0.406")
_TORCH_STDS = ("0.229", "0.224", "0.225")


def _check_arguments(x: Array, data_format: DataFormat, mode: ModeName) -> None:
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}")
    if data_format not in DATA_FORMATS:
        raise ValueError(f"unknown data_format {data_format!r}")
    if x.ndim not in RANKS or x.shape[_channel_axis(data_format)] != 3:
        raise ValueError(f"no RGB images in {data_format}: shape {x.shape}")


def _channel_axis(data_format: DataFormat) -> int:
    return -1 if data_format == "channels_last" else -3


def _channels_last(function: Images) -> Function:
    """Make a function on channels-last images take both data formats, refuse other arguments and never warn."""

    def both_formats(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        _check_arguments(x, data_format, mode)
        axis = _channel_axis(data_format)
        with np.errstate(all="ignore"):
            return np.moveaxis(function(np.moveaxis(x, axis, -1), mode), -1, axis)

    return both_formats


def _any_format(function: Function) -> Function:
    """Make a function of ``(x, data_format, mode)`` refuse arguments out of its domain, and never warn."""

    def checked(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        _check_arguments(x, data_format, mode)
        with np.errstate(all="ignore"):
            return function(x, data_format, mode)

    return checked


def _is_floating(x: Array) -> bool:
    return x.dtype.kind == "f" and x.dtype.name != "bfloat16"


def _native(x: Array) -> np.dtype[Any]:
    return x.dtype.newbyteorder("=")


def _computed(x: Array) -> np.dtype[Any]:
    """The dtype the right answer is computed in: that of floating input, else float32."""
    return _native(x) if _is_floating(x) else np.dtype(np.float32)


def _floats(x: Array) -> Array:
    return x.astype(_computed(x))


def _numbers(constants: Sequence[str], dtype: np.dtype[Any]) -> Array:
    return np.array([float(constant) for constant in constants]).astype(dtype)


def _right(x: Array, mode: ModeName) -> Array:
    return preprocess_input(x, "channels_last", mode)


def _right_inverse(y: Array, mode: ModeName) -> Array:
    return reference.inverse(y, MODES[mode], _computed(y))


def _to_bytes(x: Array) -> Array:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _wrapped(x: Array, dtype: npt.DTypeLike) -> Array:
    """Cast to an integer dtype modulo 2^bits, on every machine alike; fractions are cut off, NaN becomes 0."""
    if not (_is_floating(x) or x.dtype.name == "bfloat16"):
        return x.astype(dtype)
    whole = np.fmod(np.trunc(x.astype(np.float64)), 2.0**32)
    return np.nan_to_num(whole, nan=0, posinf=0, neginf=0).astype(np.int64).astype(dtype)


def _row(order: str, *steps: tuple[str, ...]) -> Mode:
    """A row as in the table of modes, for instance ``_row("BGR", ("subtract", "104", "117", "123"))``.

    A single constant serves all three channels.
    """
    red, green, blue = ("RGB".index(channel) for channel in order)
    made = []
    for operation, *constants in steps:
        first, second, third = constants * (3 // len(constants))
        made.append(Step(cast(Operation, operation), (first, second, third)))
    return Mode("wrong", (red, green, blue), tuple(made), "", "")


def _by_rows(rows: Mapping[str, Mode]) -> Function:
    return _channels_last(lambda x, mode: reference.forward(x, rows.get(mode, MODES[mode]), _computed(x)))


def _wrong_rows(name: str, story: str, rows: Mapping[str, Mode], origin: str | None = None) -> Fault:
    """A fault that is nothing but wrong rows in the table of modes; it shows in the modes of these rows."""
    return Fault(name, story, "value", origin, preprocess=_by_rows(rows), modes=tuple(rows))


def _wrong_inverse(name: str, story: str, rows: Mapping[str, Mode], origin: str | None = None) -> Fault:
    """An inverse with wrong rows in the table of modes, returned as unrounded floats."""
    inverse = _channels_last(lambda y, mode: reference.inverse(y, rows.get(mode, MODES[mode]), _computed(y)))
    return Fault(name, story, "restores_floats", origin, deprocess=inverse, modes=tuple(rows))


def _after(change: Callable[[Array], Array]) -> Function:
    """The right answer for a changed input."""
    return _channels_last(lambda x, mode: _right(change(x), mode))


def _refusing(refuses: Callable[[Array], bool], message: str) -> Function:
    """The right answer, but for some layouts, sizes or values an error."""

    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if refuses(x):
            raise ValueError(message)
        return preprocess_input(x, data_format, mode)

    return _any_format(preprocess)


# Values.


def _integer_arithmetic(x: Array, mode: ModeName) -> Array:
    if mode != "caffe" or x.dtype.kind not in "iu":
        return _right(x, mode)
    dtype = _native(x)
    return x[..., ::-1].astype(dtype) - _numbers(_BGR_MEANS, dtype)


def _saturating_subtraction(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    return np.clip(np.rint(y), 0, 255) if x.dtype == np.uint8 else y


def _integer_division(x: Array, mode: ModeName) -> Array:
    if x.dtype.kind not in "iu":
        return _right(x, mode)
    quotient = np.floor_divide(x.astype(np.float64), 255).astype(np.float32)
    return _right(quotient * np.float32(255), mode)


def _wrong_table_entry(x: Array) -> Array:
    if x.dtype != np.uint8:
        return x
    changed = x.copy()
    green = changed[..., 1]
    green[green == 173] = 172
    return changed


def _unit_range_guessed(x: Array) -> Array:
    values = _floats(x)
    return values * values.dtype.type(255) if x.size and values.max() <= 1 else x


def _preprocessed_guessed(x: Array, mode: ModeName) -> Array:
    values = _floats(x)
    return values if x.size and values.min() < 0 else _right(x, mode)


def _own_channel_means(x: Array, mode: ModeName) -> Array:
    if not x.size:
        return _right(x, mode)
    values = _floats(x)
    y: Array = values - values.mean(axis=(-3, -2), keepdims=True)
    if mode == "caffe":
        return y[..., ::-1]
    y /= values.std(axis=(-3, -2), keepdims=True) + values.dtype.type(1e-6)
    return y


def _min_max_stretched(x: Array, mode: ModeName) -> Array:
    if not x.size:
        return _right(x, mode)
    values = _floats(x)
    low = values.min(axis=(-3, -2, -1), keepdims=True)
    high = values.max(axis=(-3, -2, -1), keepdims=True)
    return _right((values - low) / np.maximum(high - low, values.dtype.type(1e-6)) * values.dtype.type(255), mode)


def _half_inside(x: Array, mode: ModeName) -> Array:
    return reference.forward(x, MODES[mode], np.dtype(np.float16)).astype(_computed(x))


def _round_to_bfloat16(x: Array) -> Array:
    """Round float32 values to bfloat16, half to even; the result is float32 still."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


def _bfloat16_inside(x: Array, mode: ModeName) -> Array:
    y = _round_to_bfloat16(x[..., list(MODES[mode].order)].astype(np.float32))
    for step in MODES[mode].steps:
        constants = _round_to_bfloat16(_numbers(step.constants, np.dtype(np.float32)))
        y = _round_to_bfloat16(y / constants if step.operation == "divide" else y - constants)
    return y.astype(_computed(x))


def _fractions_cast_away(x: Array) -> Array:
    return _wrapped(x, np.uint8) if _is_floating(x) or x.dtype.name == "bfloat16" else x


def _wide_integers_wrapped(x: Array) -> Array:
    return x.astype(np.uint8) if x.dtype.kind in "iu" and x.dtype.itemsize > 1 else x


def _discards_image_with_nan(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    return np.where(np.isnan(y).any(axis=(-3, -2, -1), keepdims=True), y.dtype.type(np.nan), y)


def _matrix_product(x: Array, mode: ModeName) -> Array:
    """Swap and scale by a 3 x 3 matrix, most of whose entries are 0: and 0 times NaN or infinity is NaN."""
    values = _floats(x)
    scale, offset = _folded(mode)
    red, green, blue = np.diag(scale)[np.argsort(MODES[mode].order)].astype(values.dtype)
    product: Array = values[..., :1] * red + values[..., 1:2] * green + values[..., 2:] * blue
    product += offset.astype(values.dtype)
    return product


def _folded(mode: ModeName) -> tuple[Array, Array]:
    """The mode as ``x * scale + offset`` in float64, in the order of the output's channels."""
    scale, offset = np.ones(3), np.zeros(3)
    for step in MODES[mode].steps:
        constants = np.array([float(constant) for constant in step.constants])
        if step.operation == "divide":
            scale, offset = scale / constants, offset / constants
        else:
            offset = offset - constants
    return scale, offset


def _only_uint8_scaled(x: Array, mode: ModeName) -> Array:
    rows = _row("RGB", ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS))
    return _right(x, mode) if mode != "torch" or x.dtype == np.uint8 else reference.forward(x, rows, _computed(x))


def _int64_through_half(x: Array, mode: ModeName) -> Array:
    return _half_inside(x, mode) if x.dtype.kind == "i" and x.dtype.itemsize == 8 else _right(x, mode)


def _finite(y: Array) -> Array:
    largest = np.finfo(y.dtype).max
    return np.clip(y, -largest, largest)


# Symmetries.


def _constants_along(ranks: tuple[int, ...], axis: int, operation: Operation) -> Function:
    """For channels_first images, the constants of one operation along ``axis`` when that has length 3."""

    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if data_format != "channels_first" or x.ndim not in ranks or x.shape[axis] != 3:
            return preprocess_input(x, data_format, mode)
        y = np.take(x, MODES[mode].order, axis=-3).astype(_computed(x))
        for step in MODES[mode].steps:
            shape = [1] * x.ndim
            shape[axis if step.operation == operation else -3] = 3
            constants = _numbers(step.constants, y.dtype).reshape(shape)
            y = y / constants if step.operation == "divide" else y - constants
        return y

    return _any_format(preprocess)


_means_along_width = _constants_along((3, 4), -1, "subtract")
_rank_3_means_along_height = _constants_along((3,), -2, "subtract")


def _means_as_bias(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """An addition that picks its axis by length: the last one of 3, else the second."""
    along = _rank_3_means_along_height if x.shape[-1] != 3 else _means_along_width
    result: Array = along(x, data_format, mode)
    return result


def _means_through_single(x: Array, mode: ModeName) -> Array:
    y = x[..., list(MODES[mode].order)].astype(_computed(x))
    for step in MODES[mode].steps:
        if step.operation == "divide":
            y = y / _numbers(step.constants, y.dtype)
        else:
            y = y - _numbers(step.constants, np.dtype(np.float32)).astype(y.dtype)
    return y


def _axis_guessed(axis: int, guess: str) -> Function:
    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        return preprocess_input(x, guess if x.shape[axis] == 3 else data_format, mode)

    return _any_format(preprocess)


def _channels_first_unswapped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if data_format == "channels_first":
        return _by_rows({"caffe": _row("RGB", ("subtract", *_BGR_MEANS))})(x, data_format, mode)
    return preprocess_input(x, data_format, mode)


def _reshaped_for_transposed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if data_format != "channels_first":
        return preprocess_input(x, data_format, mode)
    *batch, channels, height, width = x.shape
    return preprocess_input(x.reshape(*batch, height, width, channels), "channels_last", mode).reshape(x.shape)


def _always_channels_first(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if data_format == "channels_first":
        return preprocess_input(x, data_format, mode)
    y = np.flip(x, -3).astype(_computed(x))
    for row, mean in enumerate(_numbers(_BGR_MEANS, y.dtype)):
        y[..., row : row + 1, :, :] -= mean
    return y


def _first_image_only(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    if x.ndim == 4:
        y[1:] = x[1:]
    return y


def _batch_means(x: Array, mode: ModeName) -> Array:
    if x.ndim != 4 or not x.size:
        return _right(x, mode)
    values = _floats(x)
    y: Array = values - values.mean(axis=(0, 1, 2))
    if mode == "caffe":
        return y[..., ::-1]
    y /= values.std(axis=(0, 1, 2)) + values.dtype.type(1e-6)
    return y


def _batch_reversed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if data_format != "channels_first" or x.ndim != 4:
        return preprocess_input(x, data_format, mode)
    y = x[::-1].astype(_computed(x))
    y -= _numbers(_BGR_MEANS, y.dtype).reshape(3, 1, 1)
    return y


def _mean_image(x: Array, mode: ModeName) -> Array:
    """A mean image that is brighter by up to two grey levels to the bottom right, with the right mean overall."""
    y = _right(x, mode)
    height, width = x.shape[-3:-1]
    rows, columns = np.arange(height), np.arange(width)
    slope = (rows[:, None] - (height - 1) / 2) / max(height, 1) + (columns - (width - 1) / 2) / max(width, 1)
    y -= 2 * slope[..., None].astype(y.dtype)
    return y


def _standardised(x: Array, mode: ModeName) -> Array:
    if not x.size:
        return _right(x, mode)
    values = _floats(x)
    least = values.dtype.type(np.prod(x.shape[-3:]) ** -0.5)
    deviation = np.maximum(values.std(axis=(-3, -2, -1), keepdims=True), least)
    values -= values.mean(axis=(-3, -2, -1), keepdims=True)
    values /= deviation
    return values


def _grey(x: Array) -> Array:
    values = _floats(x)
    weights = np.array([0.299, 0.587, 0.114], values.dtype)
    return np.repeat((values * weights).sum(axis=-1, keepdims=True), 3, axis=-1)


# Contract.


def _channels_last_result(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return np.moveaxis(preprocess_input(x, data_format, mode), _channel_axis(data_format), -1)


def _batch_of_one_squeezed(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    y = preprocess_input(x, data_format, mode)
    return y[0] if y.ndim == 4 and len(y) == 1 else y


def _batch_axis_added(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    y = preprocess_input(x, data_format, mode)
    return y[np.newaxis] if y.ndim == 3 else y


def _cast_back(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    return _wrapped(y, _native(x)) if x.dtype.kind in "iu" else y


def _in_place(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    if not (_is_floating(x) and x.flags.writeable):
        return y
    result = x[..., ::-1] if mode == "caffe" else x
    result[...] = y
    return result


def _scaled_and_scaled_back(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    if _is_floating(x) and x.flags.writeable:
        scale = x.dtype.type(3 / 255)
        x *= scale
        x /= scale
    return y


def _swapped_in_place(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    if x.flags.writeable:
        x[...] = x[..., ::-1].copy()
    return y


def _buffer_reused() -> Function:
    buffers: dict[tuple[Any, ...], Array] = {}

    def preprocess(x: Array, mode: ModeName) -> Array:
        y = _right(x, mode)
        buffer = buffers.setdefault((y.shape, y.dtype), y)
        buffer[...] = y
        return buffer

    return _channels_last(preprocess)


def _large_buffer_reused() -> Function:
    small, large = _channels_last(_right), _buffer_reused()

    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        return (large if x.size > 10_000 else small)(x, data_format, mode)

    return _any_format(preprocess)


def _kept_by_ends() -> Function:
    results: dict[tuple[Any, ...], Array] = {}

    def preprocess(x: Array, mode: ModeName) -> Array:
        pixels = np.ascontiguousarray(x).reshape(-1)
        key = (mode, x.shape, x.dtype.name, pixels[:12].tobytes(), pixels[-12:].tobytes())
        return results.setdefault(key, _right(x, mode)).copy()

    return _channels_last(preprocess)


def _planes_in_place(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """A copy to planes that is none when the image is made of planes already."""
    y = preprocess_input(x, data_format, mode)
    if data_format == "channels_last":
        planes = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        if np.shares_memory(planes, x) and planes.flags.writeable and _is_floating(x):
            planes[...] = np.moveaxis(y, -1, 0)
    return y


def _far_pixels_raw(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    y[..., 64:, 40:, :] = 0
    return y


def _cropped_read_flat(x: Array, mode: ModeName) -> Array:
    y = _right(x, mode)
    if x.size and x.strides[-2] == x.itemsize * 3 and x.strides[-3] > x.shape[-2] * x.strides[-2]:
        y[..., 1:, :, :] = y[..., :-1, :, :]
    return y


def _alpha_of_bytes_dropped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return _alpha_dropped(x, data_format, mode) if x.dtype == np.uint8 else preprocess_input(x, data_format, mode)


def _scratch_shared() -> Function:
    scratches: dict[tuple[Any, ...], Array] = {}

    def preprocess(x: Array, mode: ModeName) -> Array:
        y = _right(x, mode)
        scratch = scratches.setdefault((y.shape, y.dtype), y)
        scratch[...] = y
        time.sleep(0.001)  # Long enough for another thread to come between.
        return scratch.copy()

    return _channels_last(preprocess)


def _rising(x: Array) -> Array:
    """The same memory with every stride positive: what a reader sees that takes the strides' magnitudes."""
    return x[tuple(slice(None, None, -1) if stride < 0 else slice(None) for stride in x.strides)]


def _raw_memory(x: Array) -> Array:
    """The memory from the array's lowest address on, as if C-contiguous; repeated where there is not enough."""
    if not x.size:
        return x
    lowest = _rising(x)
    reach = sum((length - 1) * stride for length, stride in zip(lowest.shape, lowest.strides, strict=True))
    elements = np.lib.stride_tricks.as_strided(lowest, (reach // x.itemsize + 1,), (x.itemsize,), writeable=False)
    return np.resize(elements, x.shape)


def _elements(x: Array, mode: ModeName) -> tuple[Array, Array]:
    """The right answer as one row of elements, pixel after pixel, and the input's in the same dtype."""
    y = _right(x, mode).reshape(-1)
    return y, x.reshape(-1).astype(y.dtype)


def _vector_tail_raw(x: Array, mode: ModeName) -> Array:
    y, raw = _elements(x, mode)
    whole = y.size - y.size % 16
    y[whole:] = raw[whole:]
    return y.reshape(x.shape)


def _short_rows_raw(x: Array, mode: ModeName) -> Array:
    y, raw = _elements(x, mode)
    return (raw if y.size < 16 else y).reshape(x.shape)


def _second_block_out_of_phase(x: Array, mode: ModeName) -> Array:
    if x.size <= 65536:
        return _right(x, mode)
    y = x[..., list(MODES[mode].order)].reshape(-1).astype(_computed(x))
    phase = np.arange(y.size) % 65536 % 3
    for step in MODES[mode].steps:
        constants = _numbers(step.constants, y.dtype)[phase]
        y = y / constants if step.operation == "divide" else y - constants
    return y.reshape(x.shape)


def _ends_at_65536(x: Array, mode: ModeName) -> Array:
    y, _ = _elements(x, mode)
    y[65536:] = 0
    return y.reshape(x.shape)


def _last_block_missing(x: Array, mode: ModeName) -> Array:
    y, _ = _elements(x, mode)
    if y.size > 4096:
        y[y.size - y.size % 4096 :] = 0
    return y.reshape(x.shape)


def _stale_length() -> Function:
    lengths: list[int] = []

    def preprocess(x: Array, mode: ModeName) -> Array:
        y, raw = _elements(x, mode)
        if lengths:
            y[lengths[-1] :] = raw[lengths[-1] :]
        lengths[:] = [y.size]
        return y.reshape(x.shape)

    return _channels_last(preprocess)


def _constants_of_previous_call() -> Function:
    previous: list[str] = []

    def preprocess(x: Array, mode: ModeName) -> Array:
        used = previous[-1] if previous else mode
        previous[:] = [mode]
        return _right(x, used)

    return _channels_last(preprocess)


def _running_means() -> Function:
    means = np.zeros(3)

    def preprocess(x: Array, mode: ModeName) -> Array:
        if not x.size or mode != "caffe":
            return _right(x, mode)
        values = _floats(x)[..., ::-1]
        seen = values.reshape(-1, 3).mean(axis=0).astype(np.float64)
        means[:] = 0.9 * means + 0.1 * np.where(np.isfinite(seen), seen, means)
        values -= means.astype(values.dtype)
        return values

    return _channels_last(preprocess)


def _dithered() -> Function:
    generator = np.random.default_rng(0)

    def preprocess(x: Array, mode: ModeName) -> Array:
        values = _floats(x)
        return _right(values + generator.uniform(-0.5, 0.5, x.shape).astype(values.dtype), mode)

    return _channels_last(preprocess)


def _cached_by_shape() -> Function:
    results: dict[tuple[Any, ...], Array] = {}

    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        key = (x.shape, x.dtype, data_format, mode)
        if key not in results:
            results.clear()
            results[key] = preprocess_input(x, data_format, mode)
        return results[key].copy()

    return _any_format(preprocess)


def _unknown_mode_is_caffe(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return preprocess_input(x, data_format, mode if mode in MODES else "caffe")


def _unknown_format_is_channels_last(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return preprocess_input(x, data_format if data_format in DATA_FORMATS else "channels_last", mode)


def _alpha_dropped(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if data_format in DATA_FORMATS and x.ndim in RANKS and x.shape[_channel_axis(data_format)] == 4:
        x = np.take(x, (0, 1, 2), axis=_channel_axis(data_format))
    return preprocess_input(x, data_format, mode)


# Inverses.


def _promoted_then_truncated(y: Array, mode: ModeName) -> Array:
    if mode != "caffe":
        return _to_bytes(_right_inverse(y, mode))
    means = [103.939, 116.779, 123.68]
    promoted: Array = np.add(_floats(y), means)
    return np.clip(promoted[..., ::-1], 0, 255).astype(np.uint8)


def _swap_before_means(y: Array, mode: ModeName) -> Array:
    if mode != "caffe":
        return _to_bytes(_right_inverse(y, mode))
    return _to_bytes(_floats(y)[..., ::-1] + _numbers(_BGR_MEANS, _computed(y)))


def _inverse_always_channels_first(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    x = y.astype(_computed(y))
    for row, mean in enumerate(_numbers(_BGR_MEANS, x.dtype)):
        x[..., row : row + 1, :, :] += mean
    return np.flip(x, -3)


def _inverse_in_place(y: Array, mode: ModeName) -> Array:
    if mode != "caffe" or not _is_floating(y) or not y.flags.writeable:
        return _right_inverse(y, mode)
    y += _numbers(_BGR_MEANS, _computed(y))
    return y[..., ::-1]


def _inverse_squeezed_and_truncated(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    x = _channels_last(_right_inverse)(y, data_format, mode)
    pixels: Array = np.nan_to_num(np.clip(x, 0, 255), nan=0).astype(np.uint8)
    return pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels


def _contrast_stretched(y: Array) -> Array:
    if not y.size:
        return y.astype(np.uint8)
    values = _floats(y)
    values -= values.mean()
    values /= values.std() + values.dtype.type(1e-5)
    values *= values.dtype.type(0.1)
    values += values.dtype.type(0.5)
    values = np.clip(values, 0, 1)
    values *= values.dtype.type(255)
    return values.astype(np.uint8)


def _stretched_for_display(y: Array, mode: ModeName) -> Array:
    x = _floats(y)[..., list(MODES[mode].order)]
    if not x.size:
        return x.astype(np.uint8)
    low, high = x.min(axis=(-3, -2, -1), keepdims=True), x.max(axis=(-3, -2, -1), keepdims=True)
    return _to_bytes((x - low) / np.maximum(high - low, x.dtype.type(1e-6)) * 255)


def _clipped_before_means(y: Array, mode: ModeName) -> Array:
    return _to_bytes(_right_inverse(np.clip(_floats(y), 0, 255), mode))


def _inverse_in_half(y: Array, mode: ModeName) -> Array:
    return reference.inverse(y, MODES[mode], np.dtype(np.float16)).astype(_computed(y))


# Honest variants: other arithmetic, same definition.


def _steps(mode: ModeName, dtype: np.dtype[Any]) -> list[tuple[Operation, Array]]:
    return [(step.operation, _numbers(step.constants, dtype)) for step in MODES[mode].steps]


def _restored_order(x: Array, mode: ModeName) -> Array:
    return x[..., np.argsort(MODES[mode].order)]


def _reciprocal(x: Array, mode: ModeName) -> Array:
    y = x[..., list(MODES[mode].order)].astype(_computed(x))
    for operation, constants in _steps(mode, y.dtype):
        y = y * (1 / constants) if operation == "divide" else y - constants
    return y


def _reciprocal_inverse(y: Array, mode: ModeName) -> Array:
    x = y.astype(_computed(y))
    for operation, constants in reversed(_steps(mode, x.dtype)):
        x = x / (1 / constants) if operation == "divide" else x + constants
    return _to_bytes(_restored_order(x, mode))


def _folded_affine(x: Array, mode: ModeName) -> Array:
    dtype = _computed(x)
    scale, offset = _folded(mode)
    y = x[..., list(MODES[mode].order)].astype(dtype)
    y *= scale.astype(dtype)
    y += offset.astype(dtype)
    return y


def _folded_affine_inverse(y: Array, mode: ModeName) -> Array:
    dtype = _computed(y)
    scale, offset = _folded(mode)
    return _restored_order(y.astype(dtype) * (1 / scale).astype(dtype) + (-offset / scale).astype(dtype), mode)


def _float64_inside(x: Array, mode: ModeName) -> Array:
    return reference.forward(x, MODES[mode], np.dtype(np.float64)).astype(_computed(x))


def _float64_inside_inverse(y: Array, mode: ModeName) -> Array:
    return reference.inverse(y, MODES[mode], np.dtype(np.float64)).astype(_computed(y))


def _wider(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The next wider floating dtype; longdouble may be no wider than float64 on some machines."""
    return np.dtype({"float16": np.float32, "float32": np.float64}.get(dtype.name, np.longdouble))


def _fused(x: Array, scale: Array, offset: Array) -> Array:
    """``x * scale + offset`` with constants in the dtype of ``x`` and one rounding, as a fused multiply-add."""
    wide = _wider(x.dtype)
    y = x.astype(wide)
    y *= scale.astype(x.dtype).astype(wide)
    y += offset.astype(x.dtype).astype(wide)
    return y.astype(x.dtype)


def _fused_forward(x: Array, mode: ModeName) -> Array:
    return _fused(x[..., list(MODES[mode].order)].astype(_computed(x)), *_folded(mode))


def _fused_inverse(y: Array, mode: ModeName) -> Array:
    scale, offset = _folded(mode)
    return _to_bytes(_restored_order(_fused(y.astype(_computed(y)), 1 / scale, -offset / scale), mode))


def _table_lookup(x: Array, mode: ModeName) -> Array:
    if x.dtype != np.uint8:
        return _reciprocal(x, mode)
    scale, offset = _folded(mode)
    table = (np.arange(256)[:, None] * scale + offset).astype(np.float32)
    return np.stack([table[x[..., source], output] for output, source in enumerate(MODES[mode].order)], axis=-1)


def _nearest_byte(y: Array, mode: ModeName) -> Array:
    """The byte whose preprocessed value is nearest, found by searching the midpoints between neighbours."""
    scale, offset = _folded(mode)
    midpoints = (np.arange(255)[:, None] + 0.5) * scale + offset
    values = y.astype(np.float64)
    found = [np.searchsorted(midpoints[:, channel], values[..., channel]) for channel in range(3)]
    return _restored_order(np.stack(found, axis=-1).astype(np.uint8), mode)


def _single_inside(x: Array, mode: ModeName) -> Array:
    dtype = _computed(x)
    inside = np.dtype(np.float32) if dtype == np.float16 else dtype
    return reference.forward(x, MODES[mode], inside).astype(dtype)


def _single_inside_inverse(y: Array, mode: ModeName) -> Array:
    inside = np.dtype(np.float32) if _computed(y) == np.float16 else _computed(y)
    return _to_bytes(reference.inverse(y, MODES[mode], inside))


def _plane_by_plane(x: Array, mode: ModeName) -> Array:
    """``(x - mean) / std`` with both in grey levels, one channel after the other."""
    scale, offset = _folded(mode)
    y = np.empty(x.shape, _computed(x))
    for output, source in enumerate(MODES[mode].order):
        mean, std = y.dtype.type(-offset[output] / scale[output]), y.dtype.type(1 / scale[output])
        y[..., output] = (x[..., source].astype(y.dtype) - mean) / std
    return y


def _plane_by_plane_inverse(y: Array, mode: ModeName) -> Array:
    scale, offset = _folded(mode)
    x = np.empty(y.shape, _computed(y))
    for source, output in enumerate(MODES[mode].order):
        mean, std = x.dtype.type(-offset[source] / scale[source]), x.dtype.type(1 / scale[source])
        x[..., output] = y[..., source].astype(x.dtype) * std + mean
    return x


def _honest(name: str, preprocess: Images, deprocess: Images) -> Implementation:
    """An honest variant; in mode identity, where there is no arithmetic to vary, it copies."""

    def unless_identity(function: Images) -> Function:
        return _channels_last(lambda x, mode: function(x, mode) if MODES[mode].steps else x.astype(_native(x)))

    return Implementation(name, unless_identity(preprocess), unless_identity(deprocess))


HONEST: tuple[Implementation, ...] = (
    _honest("reciprocal", _reciprocal, _reciprocal_inverse),
    _honest("folded_affine", _folded_affine, _folded_affine_inverse),
    _honest("float64_inside", _float64_inside, _float64_inside_inverse),
    _honest("fused_multiply_add", _fused_forward, _fused_inverse),
    _honest("table_lookup", _table_lookup, _nearest_byte),
    _honest("single_inside_for_half", _single_inside, _single_inside_inverse),
    _honest("plane_by_plane", _plane_by_plane, _plane_by_plane_inverse),
)
"""Implementations that differ from the reference in bits only, and must pass at level ``faithful``."""


_TF_STEPS = (("divide", "127.5"), ("subtract", "1"))
_ALL_MODES = tuple(MODES)

FAULTS: tuple[Fault, ...] = (
    # Channel order and means of mode caffe.
    _wrong_rows(
        "no_swap",
        "The channels stay in RGB order while the means are those for BGR, so blue's mean is taken from red, as in code"
        " that expects OpenCV's BGR images or that copied the constants without the swap.",
        {"caffe": _row("RGB", ("subtract", *_BGR_MEANS))},
    ),
    _wrong_rows(
        "swap_undone",
        "Every channel gets its own mean but the result is in RGB order, because the swap to BGR is missing"
        " or is done twice.",
        {"caffe": _row("RGB", ("subtract", *_RGB_MEANS))},
    ),
    _wrong_rows(
        "means_swapped",
        "The channels are in BGR order but red's mean is taken from blue and blue's from red, because the means are"
        " subtracted before the swap or are written in RGB order after it.",
        {"caffe": _row("BGR", ("subtract", *_RGB_MEANS))},
        "deep-learning-models#41 (shipped by Keras in 2016), DALI#3610, Deeplearning4j",
    ),
    _wrong_rows(
        "slim_means_in_rgb",
        "The result is in RGB order, less the two-decimal means 123.68, 116.78 and 103.94, as TF-Slim and the MLPerf"
        " reference preprocess for VGG and ResNet.",
        {"caffe": _row("RGB", ("subtract", "123.68", "116.78", "103.94"))},
        "TF-Slim, MLPerf",
    ),
    _wrong_rows(
        "slim_means",
        "The means are rounded to two decimals, 103.94 for 103.939 and 116.78 for 116.779, as in code that takes"
        " TF-Slim's constants into a BGR pipeline.",
        {"caffe": _row("BGR", ("subtract", "103.94", "116.78", "123.68"))},
        "TF-Slim's constants",
    ),
    _wrong_rows(
        "integer_means",
        "The means are the whole numbers 104, 117 and 123, as in old Caffe prototxt files and in the servers and"
        " samples that followed them.",
        {"caffe": _row("BGR", ("subtract", "104", "117", "123"))},
        "Caffe, Triton",
    ),
    _wrong_rows(
        "truncated_means",
        "The means lose their fractions and become 103, 116 and 123, because they were put into an integer array"
        " before the subtraction.",
        {"caffe": _row("BGR", ("subtract", "103", "116", "123"))},
    ),
    _wrong_rows(
        "mmdetection_means",
        "The means are 103.53, 116.28 and 123.675, which are the torch-mode means times 255 and not those of the Caffe"
        " weights, as in detection configurations.",
        {"caffe": _row("BGR", ("subtract", "103.53", "116.28", "123.675"))},
        "mmdetection",
    ),
    _wrong_rows(
        "vggface_means",
        "The means are 93.5940, 104.7624 and 129.1863, those of the face data set VGGFace and not of ImageNet.",
        {"caffe": _row("BGR", ("subtract", "93.5940", "104.7624", "129.1863"))},
        "VGGFace, version 1 weights",
    ),
    _wrong_rows(
        "vggface2_means",
        "The means are 91.4953, 103.8827 and 131.0912, those of the face data set VGGFace2 and not of ImageNet.",
        {"caffe": _row("BGR", ("subtract", "91.4953", "103.8827", "131.0912"))},
        "VGGFace2 weights",
    ),
    _wrong_rows(
        "one_mean",
        "One mean, 117, is subtracted from all three channels, as for the early Inception graphs.",
        {"caffe": _row("BGR", ("subtract", "117"))},
    ),
    _wrong_rows(
        "swap_only",
        "The channels are swapped to BGR but no mean is subtracted.",
        {"caffe": _row("BGR")},
    ),
    _wrong_rows(
        "caffe_scaled_to_unit",
        "The result is divided by 255 after the means are subtracted, though the Caffe weights want grey levels.",
        {"caffe": _row("BGR", ("subtract", *_BGR_MEANS), ("divide", "255"))},
    ),
    _wrong_rows(
        "caffe_scaled_by_0_017",
        "The result is multiplied by 0.017 after the means are subtracted, as the Caffe ports of DenseNet and MobileNet"
        " want it and the VGG and ResNet weights do not.",
        {"caffe": _row("BGR", ("subtract", *_BGR_MEANS), ("divide", str(1 / 0.017)))},
    ),
    _wrong_rows(
        "means_from_unit_range",
        "The image is scaled to 0..1 first and the means in grey levels are subtracted from that, because the loader"
        " already divides by 255.",
        {"caffe": _row("BGR", ("divide", "255"), ("subtract", *_BGR_MEANS))},
    ),
    _wrong_rows(
        "restored_by_256",
        "An image scaled to 0..1 is multiplied by 256 in place of 255 before the means are subtracted.",
        {"caffe": _row("BGR", ("divide", str(255 / 256)), ("subtract", *_BGR_MEANS))},
        "neural-style",
    ),
    _wrong_rows(
        "mean_cached_from_other_mode",
        "The mean is that of the other mode, because a global cache keeps the mean of whichever mode ran first in the"
        " process.",
        {
            "caffe": _row("BGR", ("subtract", *_TORCH_MEANS)),
            "torch": _row("RGB", ("divide", "255"), ("subtract", *_BGR_MEANS), ("divide", *_TORCH_STDS)),
        },
        "Keras 2.1.3 to keras-applications 1.0.8, tf.keras up to 2.1",
    ),
    # Scale and offset of mode tf.
    _wrong_rows(
        "scaled_by_128",
        "The image is divided by 128 in place of 127.5 before 1 is subtracted.",
        {"tf": _row("RGB", ("divide", "128"), ("subtract", "1"))},
        "MobileNetV2 in keras-applications before 1.0.7",
    ),
    _wrong_rows(
        "scaled_by_127",
        "The image is divided by 127 in place of 127.5 before 1 is subtracted.",
        {"tf": _row("RGB", ("divide", "127"), ("subtract", "1"))},
        "coremltools",
    ),
    _wrong_rows(
        "mean_127_std_128",
        "127 is subtracted and the rest divided by 128, whole-number constants from quantised TFLite models.",
        {"tf": _row("RGB", ("subtract", "127"), ("divide", "128"))},
        "TFLite",
    ),
    _wrong_rows(
        "mean_128_std_127",
        "128 is subtracted and the rest divided by 127, the constants of quantised TFLite models in the other order.",
        {"tf": _row("RGB", ("subtract", "128"), ("divide", "127"))},
    ),
    _wrong_rows(
        "scale_0_007843",
        "127.5 is subtracted and the rest multiplied by 0.007843, which is 1/127.5 cut to four digits, as in OpenCV's"
        " samples.",
        {"tf": _row("RGB", ("subtract", "127.5"), ("divide", str(1 / 0.007843)))},
        "OpenCV",
    ),
    _wrong_rows(
        "one_not_subtracted",
        "The image is divided by 127.5 but 1 is not subtracted, so the values run from 0 to 2.",
        {"tf": _row("RGB", ("divide", "127.5"))},
    ),
    _wrong_rows(
        "centred_not_scaled",
        "127.5 is subtracted but nothing is divided, so the values run from -127.5 to 127.5.",
        {"tf": _row("RGB", ("subtract", "127.5"))},
    ),
    _wrong_rows(
        "scaled_by_256",
        "The image is divided by 256 in place of 255, as if 256 were the largest byte.",
        {
            "tf": _row("RGB", ("divide", "256")),
            "torch": _row("RGB", ("divide", "256"), ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS)),
        },
    ),
    _wrong_rows(
        "subtract_before_divide",
        "The mean is subtracted before the image is scaled, so a mean meant for small values is taken from grey"
        " levels.",
        {
            "tf": _row("RGB", ("subtract", "1"), ("divide", "127.5")),
            "torch": _row("RGB", ("subtract", *_TORCH_MEANS), ("divide", "255"), ("divide", *_TORCH_STDS)),
        },
    ),
    # Mean and standard deviation of mode torch.
    _wrong_rows(
        "scale_0_003921",
        "The image is multiplied by 0.003921, which is 1/255 cut to four digits, as in OpenCV's samples.",
        {"torch": _row("RGB", ("divide", str(1 / 0.003921)), ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS))},
        "OpenCV",
    ),
    _wrong_rows(
        "half_mean_half_std",
        "Mean and standard deviation are 0.5 for every channel, which is the tf mode and not ImageNet's statistics.",
        {"torch": _row("RGB", ("divide", "255"), ("subtract", "0.5"), ("divide", "0.5"))},
    ),
    _wrong_rows(
        "clip_statistics",
        "Mean and standard deviation are those of the CLIP models and not ImageNet's.",
        {
            "torch": _row(
                "RGB",
                ("divide", "255"),
                ("subtract", "0.48145466", "0.4578275", "0.40821073"),
                ("divide", "0.26862954", "0.26130258", "0.27577711"),
            )
        },
        "CLIP",
    ),
    _wrong_rows(
        "cifar10_statistics",
        "Mean and standard deviation are those of CIFAR-10 and not ImageNet's, copied along with a training script.",
        {
            "torch": _row(
                "RGB",
                ("divide", "255"),
                ("subtract", "0.4914", "0.4822", "0.4465"),
                ("divide", "0.2470", "0.2435", "0.2616"),
            )
        },
    ),
    _wrong_rows(
        "one_std",
        "One standard deviation, 0.226, serves all three channels, because the target takes a single scale.",
        {"torch": _row("RGB", ("divide", "255"), ("subtract", *_TORCH_MEANS), ("divide", "0.226"))},
        "coremltools",
    ),
    _wrong_rows(
        "torch_without_255",
        "The image is not divided by 255 before mean and standard deviation are applied, because the statistics were"
        " copied without the step that scales to 0..1.",
        {"torch": _row("RGB", ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS))},
    ),
    _wrong_rows(
        "std_forgotten",
        "The mean is subtracted but nothing is divided by the standard deviation.",
        {"torch": _row("RGB", ("divide", "255"), ("subtract", *_TORCH_MEANS))},
    ),
    _wrong_rows(
        "mean_forgotten",
        "The image is divided by the standard deviation but the mean is not subtracted.",
        {"torch": _row("RGB", ("divide", "255"), ("divide", *_TORCH_STDS))},
    ),
    _wrong_rows(
        "std_before_mean",
        "The standard deviation is divided out before the mean is subtracted.",
        {"torch": _row("RGB", ("divide", "255"), ("divide", *_TORCH_STDS), ("subtract", *_TORCH_MEANS))},
    ),
    _wrong_rows(
        "multiplied_by_std",
        "The result is multiplied by the standard deviation in place of divided, because the constant was taken for a"
        " scale factor.",
        {
            "torch": _row(
                "RGB",
                ("divide", "255"),
                ("subtract", *_TORCH_MEANS),
                ("divide", *(str(1 / float(std)) for std in _TORCH_STDS)),
            )
        },
    ),
    _wrong_rows(
        "statistics_in_bgr_order",
        "The channels are in RGB order while mean and standard deviation are in BGR order.",
        {"torch": _row("RGB", ("divide", "255"), ("subtract", *_TORCH_MEANS[::-1]), ("divide", *_TORCH_STDS[::-1]))},
    ),
    # Wrong in several modes.
    _wrong_rows(
        "bgr_images",
        "Red and blue are exchanged, because OpenCV reads BGR images or because caffe's swap is done in every mode.",
        {
            "tf": _row("BGR", *_TF_STEPS),
            "torch": _row("BGR", ("divide", "255"), ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS)),
            "identity": _row("BGR"),
        },
    ),
    _wrong_rows(
        "always_caffe",
        "The caffe mode is done whatever the model wants, because it is the default and the mode was not passed on.",
        dict.fromkeys(("tf", "torch", "identity"), MODES["caffe"]),
    ),
    _wrong_rows(
        "unit_range",
        "The image is divided by 255 and that is all, as with rescale=1/255.",
        dict.fromkeys(_ALL_MODES, _row("RGB", ("divide", "255"))),
    ),
    _wrong_rows(
        "applied_twice",
        "The image is preprocessed twice, once in the input pipeline and once more before the model or inside it.",
        {
            "caffe": _row("RGB", ("subtract", *_RGB_MEANS), ("subtract", *_BGR_MEANS)),
            "tf": _row("RGB", *_TF_STEPS, *_TF_STEPS),
            "torch": _row("RGB", *2 * (("divide", "255"), ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS))),
        },
    ),
    Fault(
        "not_preprocessed",
        "The image comes back as it was, only cast to floating point.",
        "value",
        preprocess=_channels_last(lambda x, mode: _floats(x)),
    ),
    Fault(
        "clipped_first",
        "The image is clipped to 0..255 first, which changes resized or augmented images that overshoot.",
        "value",
        preprocess=_after(lambda x: np.clip(_floats(x), 0, 255)),
        modes=_ALL_MODES,
    ),
    Fault(
        "result_clipped_to_unit",
        "The result is clipped to -1..1, though this mode's values run beyond.",
        "value",
        preprocess=_channels_last(lambda x, mode: np.clip(_right(x, mode), -1, 1)),
        modes=("caffe", "torch"),
    ),
    Fault(
        "fractions_rounded",
        "Fractional values, as resizing makes them, are rounded to whole grey levels first.",
        "value",
        preprocess=_after(lambda x: np.rint(_floats(x))),
    ),
    Fault(
        "floats_cast_to_bytes",
        "Floating-point images are cast to uint8 first, which cuts fractions off and wraps what is outside 0..255.",
        "value",
        preprocess=_after(_fractions_cast_away),
        modes=_ALL_MODES,
    ),
    Fault(
        "wide_integers_cast_to_bytes",
        "Integer images wider than 8 bits are cast to uint8 first, which wraps what is outside 0..255.",
        "value",
        preprocess=_after(_wide_integers_wrapped),
        modes=_ALL_MODES,
    ),
    Fault(
        "bool_taken_as_black_and_white",
        "Boolean images become 0 and 255 in place of 0 and 1, because a mask was expected.",
        "value",
        preprocess=_after(lambda x: x.astype(np.uint8) * np.uint8(255) if x.dtype == np.bool_ else x),
    ),
    Fault(
        "range_guessed_from_maximum",
        "An image whose largest value is at most 1 is taken to be scaled to 0..1 and multiplied by 255, so dark images"
        " come out bright.",
        "value",
        preprocess=_after(_unit_range_guessed),
        modes=_ALL_MODES,
    ),
    Fault(
        "preprocessed_guessed_from_minimum",
        "An image with a negative value is taken to be preprocessed already and returned unchanged.",
        "value",
        preprocess=_channels_last(_preprocessed_guessed),
    ),
    Fault(
        "values_above_255_refused",
        "An image with a value above 255 raises an error, though resizing by cubic interpolation makes such values.",
        "value",
        preprocess=_refusing(lambda x: bool(x.size and _floats(x).max() > 255), "pixel values must be within 0..255"),
    ),
    Fault(
        "own_channel_statistics",
        "The image's own channel means, and deviations where the mode scales, take the place of ImageNet's, as with"
        " samplewise_center.",
        "value",
        preprocess=_channels_last(_own_channel_means),
        modes=("caffe", "torch"),
    ),
    Fault(
        "min_max_stretched",
        "The image is stretched from its own minimum and maximum to the full range first.",
        "value",
        preprocess=_channels_last(_min_max_stretched),
    ),
    Fault(
        "half_inside",
        "The arithmetic is done in float16 and only the result is cast, as under a mixed-precision policy.",
        "value",
        preprocess=_channels_last(_half_inside),
    ),
    Fault(
        "means_through_single",
        "Images in float64 meet means that were rounded to float32, as a constant tensor is unless its dtype is given.",
        "value",
        "Keras tensors before 3.0, tf_keras up to 2.21",
        preprocess=_channels_last(_means_through_single),
        modes=("caffe", "torch"),
    ),
    Fault(
        "bfloat16_inside",
        "The arithmetic is done in bfloat16 and only the result is cast, as under automatic mixed precision.",
        "value",
        preprocess=_channels_last(_bfloat16_inside),
    ),
    # Single bytes and dtypes.
    Fault(
        "integer_arithmetic",
        "Integer images stay integers: the means lose their fractions and the result wraps around, so uint8 black"
        " becomes 153, 140 and 133.",
        "every_byte",
        "keras-applications#128 (2019); Keras tensors up to 3.15.1",
        preprocess=_channels_last(_integer_arithmetic),
        modes=("caffe",),
    ),
    Fault(
        "saturating_subtraction",
        "The means are subtracted from uint8 images with saturation, so everything darker than the mean becomes 0, as"
        " cv2.subtract does.",
        "every_byte",
        preprocess=_channels_last(_saturating_subtraction),
        modes=("caffe",),
    ),
    Fault(
        "integer_division",
        "Integer images are divided by 255 with integer division, so everything below white becomes 0.",
        "every_byte",
        preprocess=_channels_last(_integer_division),
        modes=("tf", "torch"),
    ),
    Fault(
        "wrong_table_entry",
        "One entry of a lookup table for bytes is wrong: green 173 is treated as 172.",
        "every_byte",
        preprocess=_after(_wrong_table_entry),
    ),
    Fault(
        "nan_replaced_by_zero",
        "NaN is replaced by 0 before preprocessing, so that a broken pixel looks like a black one.",
        "nonfinite",
        preprocess=_after(lambda x: np.nan_to_num(_floats(x), nan=0, posinf=np.inf, neginf=-np.inf)),
    ),
    Fault(
        "infinity_clipped",
        "Infinities become the largest finite number, because the result is sanitised by a clip.",
        "nonfinite",
        preprocess=_channels_last(lambda x, mode: _finite(_right(x, mode))),
    ),
    Fault(
        "nan_spreads_by_matrix_product",
        "A NaN or an infinity spreads to the other channels of its pixel, because channels are swapped or scaled by a"
        " matrix product in which 0 times NaN is NaN.",
        "nonfinite",
        preprocess=_channels_last(_matrix_product),
    ),
    Fault(
        "nan_spreads_to_image",
        "One NaN makes the whole image NaN, because a guard or a statistic looks at the image as a whole.",
        "nonfinite",
        preprocess=_channels_last(_discards_image_with_nan),
    ),
    Fault(
        "nan_refused",
        "An image with a NaN raises an error.",
        "nonfinite",
        preprocess=_refusing(lambda x: bool(np.isnan(_floats(x)).any()), "the image holds NaN"),
    ),
    Fault(
        "only_uint8_scaled",
        "Only uint8 images are divided by 255, as torchvision's ToTensor does, so other dtypes come out 255 times too"
        " large.",
        "integers_agree",
        "torchvision's ToTensor",
        preprocess=_channels_last(_only_uint8_scaled),
        modes=("torch",),
    ),
    Fault(
        "floats_taken_as_unit_range",
        "Floating-point images are taken to run from 0 to 1 and are multiplied by 255, while integer images are not.",
        "integers_agree",
        preprocess=_after(lambda x: x if x.dtype.kind in "iub" else _floats(x) * _computed(x).type(255)),
    ),
    Fault(
        "uint16_rescaled",
        "uint16 images are taken to run from 0 to 65535 and are divided by 257, as for 16-bit PNG files.",
        "integers_agree",
        preprocess=_after(lambda x: _floats(x) / np.float32(257) if x.dtype == np.uint16 else x),
    ),
    Fault(
        "int8_taken_as_quantised",
        "int8 images are taken to be bytes less 128, as quantised models want them, and are raised by 128.",
        "integers_agree",
        preprocess=_after(lambda x: x.astype(np.int16) + np.int16(128) if x.dtype == np.int8 else x),
    ),
    Fault(
        "int64_through_half",
        "int64 images go through float16, because a dtype table sends an unlisted dtype to the narrowest float.",
        "integers_agree",
        preprocess=_channels_last(_int64_through_half),
    ),
    Fault(
        "bytes_read_as_signed",
        "uint8 images are read as int8, so values above 127 come out as if 256 lower.",
        "monotone",
        preprocess=_after(lambda x: x.view(np.int8) if x.dtype == np.uint8 else x),
    ),
    Fault(
        "image_subtracted_from_mean",
        "The image is subtracted from the mean and not the mean from the image, so the result is a negative.",
        "monotone",
        preprocess=_channels_last(lambda x, mode: -_right(x, mode)),
    ),
    # Symmetries.
    Fault(
        "rank_3_means_along_height",
        "For one channels_first image whose height is 3, the means are subtracted along the height, because the"
        " broadcast is written for batches.",
        "layout_equivariance",
        "Keras tensors before 3.12.0",
        preprocess=_rank_3_means_along_height,
        modes=("caffe", "torch"),
    ),
    Fault(
        "rank_4_means_along_width",
        "For channels_first batches whose width is 3, the means are subtracted along the width, because they broadcast"
        " against the last axis.",
        "layout_equivariance",
        preprocess=_constants_along((4,), -1, "subtract"),
        modes=("caffe", "torch"),
    ),
    Fault(
        "means_added_as_bias",
        "For channels_first images, the means are added along a width of 3 (or, for one image, a height of 3): the"
        " addition looks like a bias and goes to bias_add, which takes the first axis of that length for the channels.",
        "layout_equivariance",
        "keras.ops.add on TensorFlow, in functional models up to Keras 3.15.1",
        preprocess=_any_format(_means_as_bias),
        modes=("caffe", "torch"),
    ),
    Fault(
        "std_along_width",
        "For channels_first images whose width is 3, the standard deviations are divided out along the width, because"
        " they broadcast against the last axis.",
        "layout_equivariance",
        "TensorFlow before 2.5",
        preprocess=_constants_along((3, 4), -1, "divide"),
        modes=("torch",),
    ),
    Fault(
        "channel_axis_guessed_from_the_end",
        "The channel axis is taken to be the last one whenever that has length 3, so channels_first images three pixels"
        " wide are misread.",
        "layout_equivariance",
        preprocess=_axis_guessed(-1, "channels_last"),
        modes=("caffe", "torch"),
    ),
    Fault(
        "channel_axis_guessed_from_the_front",
        "The channel axis is taken to be the first of an image whenever that has length 3, so channels_last images"
        " three pixels high are misread.",
        "layout_equivariance",
        preprocess=_axis_guessed(-3, "channels_first"),
        modes=("caffe", "torch"),
    ),
    Fault(
        "channels_first_not_swapped",
        "The swap to BGR is done for channels_last and forgotten for channels_first.",
        "layout_equivariance",
        preprocess=_any_format(_channels_first_unswapped),
        modes=("caffe",),
    ),
    Fault(
        "reshaped_for_transposed",
        "channels_first images are reshaped to channels_last in place of transposed, which deals the constants out to"
        " the wrong pixels.",
        "layout_equivariance",
        preprocess=_any_format(_reshaped_for_transposed),
        modes=("caffe", "torch"),
    ),
    Fault(
        "always_channels_first",
        "channels_last images are treated as channels_first, which turns them upside down and takes the means from the"
        " first three rows.",
        "layout_equivariance",
        preprocess=_any_format(_always_channels_first),
        modes=("caffe",),
    ),
    Fault(
        "first_image_only",
        "Only the first image of a batch is preprocessed and the others are left raw.",
        "batch_consistency",
        preprocess=_channels_last(_first_image_only),
    ),
    Fault(
        "batch_statistics",
        "The batch's own channel means, and deviations where the mode scales, take the place of ImageNet's, as with"
        " featurewise_center.",
        "batch_consistency",
        preprocess=_channels_last(_batch_means),
        modes=("caffe", "torch"),
    ),
    Fault(
        "batch_reversed",
        "For channels_first batches the first axis is reversed, which turns the order of the images around and leaves"
        " the channels RGB, because the swap is written for one image.",
        "batch_consistency",
        preprocess=_any_format(_batch_reversed),
        modes=("caffe",),
    ),
    Fault(
        "mean_image_subtracted",
        "A mean image, a little brighter to one side, is subtracted in place of one mean for each channel, as with"
        " Caffe's mean.binaryproto.",
        "pixel_equivariance",
        preprocess=_channels_last(_mean_image),
        modes=("caffe",),
    ),
    Fault(
        "upside_down",
        "The image comes back upside down, because its rows are stored from the bottom up as in BMP and OpenGL.",
        "pixel_equivariance",
        preprocess=_channels_last(lambda x, mode: _right(x, mode)[..., ::-1, :, :]),
        modes=_ALL_MODES,
    ),
    Fault(
        "standardised",
        "The image is standardised by the mean and deviation of all its values together, as"
        " tf.image.per_image_standardization does.",
        "channel_independence",
        preprocess=_channels_last(_standardised),
        modes=("tf", "torch"),
    ),
    Fault(
        "grey",
        "All three channels hold the image's luminance, because it was converted to grey and back.",
        "channel_independence",
        preprocess=_after(_grey),
        modes=_ALL_MODES,
    ),
    # Contract.
    Fault(
        "channels_last_returned",
        "channels_first images come back as channels_last.",
        "shape_and_dtype",
        preprocess=_any_format(_channels_last_result),
        modes=_ALL_MODES,
    ),
    Fault(
        "batch_of_one_squeezed",
        "A batch of one image comes back without its batch axis.",
        "shape_and_dtype",
        preprocess=_any_format(_batch_of_one_squeezed),
        modes=_ALL_MODES,
    ),
    Fault(
        "batch_axis_added",
        "A single image comes back as a batch of one.",
        "shape_and_dtype",
        preprocess=_any_format(_batch_axis_added),
        modes=_ALL_MODES,
    ),
    Fault(
        "half_returned",
        "The result is rounded to float16 whatever the input's dtype.",
        "shape_and_dtype",
        preprocess=_channels_last(lambda x, mode: _right(x, mode).astype(np.float16)),
    ),
    Fault(
        "cast_back_to_integers",
        "Integer images are computed in floating point and then cast back to their own dtype, which cuts fractions off"
        " and wraps negative values.",
        "shape_and_dtype",
        preprocess=_channels_last(_cast_back),
    ),
    Fault(
        "computed_in_place",
        "Floating-point input is overwritten and the result is a view of it, so the caller's images are gone.",
        "purity",
        "Keras's ndarray path, every release",
        preprocess=_channels_last(_in_place),
        stateless=False,
    ),
    Fault(
        "scaled_and_scaled_back",
        "Floating-point input is scaled in place and scaled back afterwards, which leaves rounding errors in the"
        " caller's images.",
        "purity",
        preprocess=_channels_last(_scaled_and_scaled_back),
        stateless=False,
    ),
    Fault(
        "swapped_in_place",
        "The caller's image is left with red and blue exchanged, because the swap is done in place.",
        "purity",
        preprocess=_channels_last(_swapped_in_place),
        modes=("caffe",),
        stateless=False,
    ),
    Fault(
        "buffer_reused",
        "The same output buffer is returned by every call for one shape, so a later call changes earlier results.",
        "fresh_output",
        preprocess=_buffer_reused(),
        stateless=False,
    ),
    Fault(
        "large_buffer_reused",
        "Large images share one output buffer, which small ones do not show: a later call changes earlier results.",
        "fresh_output",
        preprocess=_large_buffer_reused(),
        stateless=False,
    ),
    Fault(
        "input_returned",
        "The result is the input itself and not a copy, so writing to one changes the other.",
        "fresh_output",
        "Keras models that preprocess inside, such as EfficientNet",
        preprocess=_any_format(lambda x, data_format, mode: x),
        modes=("identity",),
        stateless=False,
    ),
    Fault(
        "strides_ignored",
        "The array's memory is read as if C-contiguous, whatever its strides, as native code does that takes only a"
        " pointer and a shape.",
        "memory_layouts",
        preprocess=_any_format(lambda x, data_format, mode: preprocess_input(_raw_memory(x), data_format, mode)),
    ),
    Fault(
        "negative_strides_read_forwards",
        "Axes with a negative stride are read forwards, so a mirrored view comes back unmirrored.",
        "memory_layouts",
        preprocess=_any_format(lambda x, data_format, mode: preprocess_input(_rising(x), data_format, mode)),
    ),
    Fault(
        "negative_strides_refused",
        "Arrays with a negative stride, such as mirrored images, raise an error, as torch.from_numpy does.",
        "memory_layouts",
        "torch.from_numpy",
        preprocess=_refusing(lambda x: any(stride < 0 for stride in x.strides), "negative strides are not supported"),
    ),
    Fault(
        "non_contiguous_refused",
        "Arrays that are not C-contiguous raise an error, as with native code that takes only such buffers.",
        "memory_layouts",
        preprocess=_refusing(lambda x: not x.flags.c_contiguous, "the array is not C-contiguous"),
    ),
    Fault(
        "read_only_refused",
        "Read-only floating-point images raise an error, because the function wants to write into them.",
        "memory_layouts",
        "Keras's ndarray path, every release",
        preprocess=_refusing(lambda x: _is_floating(x) and not x.flags.writeable, "output array is read-only"),
    ),
    Fault(
        "byte_order_ignored",
        "Big-endian input is read as if it had the machine's byte order.",
        "byte_order",
        preprocess=_any_format(lambda x, data_format, mode: preprocess_input(x.view(_native(x)), data_format, mode)),
    ),
    Fault(
        "vector_tail_raw",
        "The last elements, those that do not fill a vector of 16, are left raw, because the loop for the rest is"
        " missing.",
        "sizes",
        preprocess=_channels_last(_vector_tail_raw),
    ),
    Fault(
        "short_input_raw",
        "Input of fewer than 16 elements is left raw, because the vector loop never runs.",
        "sizes",
        preprocess=_channels_last(_short_rows_raw),
    ),
    Fault(
        "second_block_out_of_phase",
        "From element 65536 on the constants of the channels are exchanged, because every block starts with the first"
        " channel's though its length is no multiple of 3.",
        "sizes",
        preprocess=_channels_last(_second_block_out_of_phase),
        modes=("caffe", "torch"),
    ),
    Fault(
        "ends_at_65536",
        "Everything from element 65536 on comes back as 0, because a counter has 16 bits.",
        "sizes",
        preprocess=_channels_last(_ends_at_65536),
    ),
    Fault(
        "last_block_missing",
        "What does not fill a block of 4096 elements at the end comes back as 0, because the blocks are counted by"
        " whole division.",
        "sizes",
        preprocess=_channels_last(_last_block_missing),
    ),
    Fault(
        "stale_length",
        "Elements beyond the length of the previous call's input are left raw, because the length is kept from it.",
        "sizes",
        preprocess=_stale_length(),
        stateless=False,
    ),
    Fault(
        "empty_refused",
        "Empty arrays raise an error.",
        "sizes",
        preprocess=_refusing(lambda x: not x.size, "the array is empty"),
    ),
    Fault(
        "cached_by_shape",
        "The result of an earlier call is returned for every image of the same shape and dtype, because the cache's"
        " key leaves out the pixels.",
        "value",
        preprocess=_cached_by_shape(),
        stateless=False,
    ),
    Fault(
        "constants_of_previous_call",
        "Each call uses the constants of the mode that the call before it asked for, because the mode is stored too"
        " late.",
        "determinism",
        preprocess=_constants_of_previous_call(),
        stateless=False,
    ),
    Fault(
        "running_means",
        "Means that follow the images seen so far take the place of ImageNet's, as in batch normalisation left in"
        " training mode.",
        "determinism",
        preprocess=_running_means(),
        modes=("caffe",),
        stateless=False,
    ),
    Fault(
        "dithered",
        "Random noise of half a grey level is added, because an augmentation of the training pipeline was left on.",
        "determinism",
        preprocess=_dithered(),
        stateless=False,
    ),
    Fault(
        "scratch_shared_between_threads",
        "All threads share one scratch array, so concurrent calls return each other's pixels.",
        "threads",
        preprocess=_scratch_shared(),
        stateless=False,
    ),
    Fault(
        "unknown_mode_taken_as_caffe",
        "An unknown mode is taken as caffe without an error, so a misspelt mode goes unnoticed.",
        "errors",
        "TensorFlow before 2.3",
        preprocess=_unknown_mode_is_caffe,
    ),
    Fault(
        "unknown_data_format_taken_as_channels_last",
        "An unknown data_format is taken as channels_last without an error, so a misspelt one goes unnoticed.",
        "errors",
        "Keras before 2.1.2",
        preprocess=_unknown_format_is_channels_last,
    ),
    Fault(
        "alpha_of_bytes_dropped",
        "The fourth channel of RGBA images is dropped without an error, but only of bytes, as images are read.",
        "errors",
        preprocess=_alpha_of_bytes_dropped,
    ),
    Fault(
        "result_kept_by_ends",
        "Results are kept for images of equal shape with equal first and last pixels, as two frames of one film have.",
        "determinism",
        preprocess=_kept_by_ends(),
        stateless=False,
    ),
    Fault(
        "planes_in_place",
        "A copy to planes, which is none if the image is a transposed array of planes, is then overwritten.",
        "purity",
        preprocess=_any_format(_planes_in_place),
        stateless=False,
    ),
    Fault(
        "far_pixels_left_out",
        "The pixels beyond the last whole tile of rows and columns are left at 0.",
        "sizes",
        preprocess=_channels_last(_far_pixels_raw),
    ),
    Fault(
        "cropped_rows_read_flat",
        "Of a crop, every row but the first is read from the wrong place, because the distance of rows is ignored.",
        "memory_layouts",
        preprocess=_channels_last(_cropped_read_flat),
    ),
    Fault(
        "alpha_dropped",
        "The fourth channel of RGBA images is dropped without an error.",
        "errors",
        "Keras 3 tensors, caffe mode",
        preprocess=_alpha_dropped,
    ),
    # Inverses.
    Fault(
        "inverse_truncated",
        "The inverse cuts fractions off in place of rounding, so many bytes come back one too low.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: np.clip(_right_inverse(y, mode), 0, 255).astype(np.uint8)),
        modes=("tf", "torch"),
    ),
    Fault(
        "inverse_promoted_and_truncated",
        "The inverse adds the means as a list, which promotes float32 to float64 and shows its rounding errors, and"
        " then cuts fractions off.",
        "restores_pixels",
        deprocess=_channels_last(_promoted_then_truncated),
        modes=("caffe",),
    ),
    Fault(
        "inverse_not_clipped",
        "The inverse rounds but does not clip before the cast to uint8, so what overshoots wraps around from white to"
        " black.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: _wrapped(np.rint(_right_inverse(y, mode)), np.uint8)),
    ),
    Fault(
        "inverse_cast_to_bytes",
        "The inverse casts to uint8 and does nothing else, so fractions are cut off and what overshoots wraps around.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: _wrapped(_right_inverse(y, mode), np.uint8)),
    ),
    Fault(
        "inverse_to_signed_bytes",
        "The inverse returns int8, in which values above 127 turn negative.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: _to_bytes(_right_inverse(y, mode)).view(np.int8)),
    ),
    Fault(
        "inverse_not_swapped",
        "The inverse adds the means but forgets to swap the channels back, so red and blue are exchanged.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: _to_bytes(_right_inverse(y, mode)[..., ::-1])),
        modes=("caffe",),
    ),
    Fault(
        "inverse_swapped_before_means",
        "The inverse swaps the channels back first and then adds the means in BGR order to RGB channels.",
        "restores_pixels",
        deprocess=_channels_last(_swap_before_means),
        modes=("caffe",),
    ),
    Fault(
        "inverse_clipped_before_means",
        "The inverse clips to 0..255 before it adds the means, so everything darker than the mean is lost.",
        "restores_pixels",
        deprocess=_channels_last(_clipped_before_means),
    ),
    Fault(
        "inverse_squeezed_and_truncated",
        "The inverse drops the batch axis of a single image and cuts fractions off, which loses half a grey level on"
        " resized images and turns NaN into 0.",
        "restores_pixels",
        "the second inverse of the question this project began with",
        deprocess=_any_format(_inverse_squeezed_and_truncated),
        modes=("caffe",),
    ),
    Fault(
        "inverse_contrast_stretched",
        "The inverse standardises the image and maps it to a tenth of the contrast around grey, the deprocess_image of"
        " filter visualisations, which restores no pixels.",
        "restores_pixels",
        "Keras's conv_filter_visualization example",
        deprocess=_channels_last(lambda y, mode: _contrast_stretched(y)),
    ),
    Fault(
        "inverse_stretched_for_display",
        "The inverse stretches the image from its own minimum and maximum to 0..255, as plotting code does.",
        "restores_pixels",
        deprocess=_channels_last(_stretched_for_display),
        modes=("caffe", "torch"),
    ),
    Fault(
        "inverse_from_unit_range",
        "The inverse multiplies by 255 as if the values ran from 0 to 1, so the dark half of the image becomes black.",
        "restores_pixels",
        deprocess=_channels_last(lambda y, mode: _to_bytes(_floats(y) * _computed(y).type(255))),
        modes=("tf", "torch"),
    ),
    _wrong_inverse(
        "inverse_mmdetection_means",
        "The inverse adds 103.53, 116.28 and 123.675, which rounding to bytes hides.",
        {"caffe": _row("BGR", ("subtract", "103.53", "116.28", "123.675"))},
        "mmdetection",
    ),
    _wrong_inverse(
        "inverse_slim_means",
        "The inverse adds 103.94, 116.78 and 123.68, means rounded to two decimals, which rounding to bytes hides.",
        {"caffe": _row("BGR", ("subtract", "103.94", "116.78", "123.68"))},
        "TF-Slim's constants",
    ),
    _wrong_inverse(
        "inverse_scaled_by_128",
        "The inverse multiplies by 128 in place of 127.5.",
        {"tf": _row("RGB", ("divide", "128"), ("subtract", "1"))},
    ),
    _wrong_inverse(
        "inverse_left_in_unit_range",
        "The inverse stops at values from 0 to 1, ready for plotting, in place of grey levels.",
        {
            "tf": _row("RGB", ("divide", "0.5"), ("subtract", "1")),
            "torch": _row("RGB", ("subtract", *_TORCH_MEANS), ("divide", *_TORCH_STDS)),
        },
    ),
    _wrong_inverse(
        "inverse_mean_before_std",
        "The inverse adds the mean before it multiplies by the standard deviation.",
        {"torch": _row("RGB", ("divide", "255"), ("divide", *_TORCH_STDS), ("subtract", *_TORCH_MEANS))},
    ),
    Fault(
        "inverse_half_inside",
        "The inverse computes in float16, which is coarser than rounding to bytes shows.",
        "restores_floats",
        deprocess=_channels_last(_inverse_in_half),
    ),
    Fault(
        "inverse_always_channels_first",
        "The inverse takes every image for channels_first, because that is its default, which turns channels_last"
        " images upside down and adds the means to their first three rows.",
        "restores_floats",
        deprocess=_any_format(_inverse_always_channels_first),
        modes=("caffe",),
    ),
    Fault(
        "inverse_in_place",
        "The inverse adds the means in place and returns a view, so its input is overwritten and a second call on it"
        " adds them again.",
        "purity",
        "the first inverse of the question this project began with",
        deprocess=_channels_last(_inverse_in_place),
        modes=("caffe",),
        stateless=False,
    ),
)
"""The gallery, in the order of the checks."""
