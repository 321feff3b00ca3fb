"""What faults are made of: dtypes, constants and the right answers, on channels-last images."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import reference
from vggprep.configurations.affine import lines
from vggprep.functions import preprocess_input
from vggprep.spec import MODES, DataFormat, Mode, ModeName, Operation, Step, definition

Array = npt.NDArray[Any]

BGR_MEANS = MODES["caffe"].steps[0].constants


def channel_axis(data_format: DataFormat) -> int:
    """The axis of the channels, counted from the end."""
    return -1 if data_format == "channels_last" else -3


def is_floating(x: Array) -> bool:
    """Whether the right answer keeps this dtype."""
    return x.dtype.kind == "f" and x.dtype.name != "bfloat16"


def native(x: Array) -> np.dtype[Any]:
    """The dtype in the machine's byte order."""
    return x.dtype.newbyteorder("=")


def computed(x: Array) -> np.dtype[Any]:
    """The dtype the right answer is computed in: that of floating input, else float32."""
    return native(x) if is_floating(x) else np.dtype(np.float32)


def floats(x: Array) -> Array:
    """A copy in the dtype the right answer is computed in."""
    return x.astype(computed(x))


def numbers(constants: Sequence[str], dtype: np.dtype[Any]) -> Array:
    """Decimal constants, rounded to float64 and then to ``dtype``."""
    return np.array([float(constant) for constant in constants]).astype(dtype)


def right(x: Array, mode: ModeName) -> Array:
    """The right answer."""
    return preprocess_input(x, "channels_last", mode)


def right_inverse(y: Array, mode: ModeName) -> Array:
    """The right inverse, unrounded."""
    return reference.inverse(y, definition(mode), computed(y))


def in_order(x: Array, mode: ModeName) -> Array:
    """The channels in the order of the output, as floats."""
    return floats(x[..., list(definition(mode).order)])


def through_half(x: Array, mode: ModeName) -> Array:
    """The mode computed in float16."""
    return reference.forward(x, definition(mode), np.dtype(np.float16)).astype(computed(x))


def to_bytes(x: Array) -> Array:
    """Rounded and saturated to uint8."""
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def wrapped(x: Array, dtype: npt.DTypeLike) -> Array:
    """Cast to an integer dtype modulo 2^bits, on every machine alike; fractions are cut off, NaN becomes 0."""
    if not (is_floating(x) or x.dtype.name == "bfloat16"):
        return x.astype(dtype)
    whole = np.fmod(np.trunc(x.astype(np.float64)), 2.0**32)
    return np.nan_to_num(whole, nan=0, posinf=0, neginf=0).astype(np.int64).astype(dtype)


def normalised(x: Array, mode: ModeName, axes: tuple[int, ...]) -> Array:
    """The mode with the images' own statistics over ``axes``."""
    if not x.size:
        return right(x, mode)
    values = floats(x)
    y: Array = values - values.mean(axis=axes, keepdims=True)
    if mode == "caffe":
        return y[..., ::-1]
    y /= values.std(axis=axes, keepdims=True) + values.dtype.type(1e-6)
    return y


def folded(mode: ModeName) -> tuple[Array, Array]:
    """The mode as ``x * scale + offset`` in float64, in the order of the output's channels."""
    return _folded(definition(mode))


@functools.cache
def _folded(mode: Mode) -> tuple[Array, Array]:
    each = lines(mode)
    return np.array([float(line.scale) for line in each]), np.array([float(line.offset) for line in each])


_SIGNS: dict[str, Operation] = {"/": "divide", "*": "multiply", "-": "subtract"}


def row(text: str | Mode) -> Mode:
    """A row of the table of modes in short: ``"RGB / 255 - 0.485 0.456 0.406 / 0.226"``; a mode is one already.

    First the order of the output's channels, then the steps; a single constant serves all three channels.
    """
    if isinstance(text, Mode):
        return text
    steps = [Step(_SIGNS[sign], constants.split()) for sign, constants in re.findall(r"([-/*])([\d. ]+)", text)]
    return Mode("row", text[:3], steps)
