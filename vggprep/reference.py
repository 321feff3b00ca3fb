"""The definition in readable NumPy: forward and inverse, one whole-array operation for each step of the spec.

Bit for bit what Keras does with arrays, because it does the same operations in the same order in the same
dtype. No argument checking and no tricks: ``functions.py`` has the former, ``kernels/`` the latter. Never
imports ``oracle``, which judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.spec import Mode

Array = npt.NDArray[Any]

NAN_MESSAGE = "the array to restore holds NaN, which is not a valid pixel value; use a floating dtype= to keep it"


def forward(x: Array, mode: Mode, dtype: np.dtype[Any]) -> Array:
    """Preprocess ``x``, channels last, any shape ``(..., 3)``, computing in ``dtype``. Returns a new array."""
    with np.errstate(all="ignore"):
        y = _in_order(x, mode.order, dtype)
        for step in mode.steps:
            constants = _rounded(step.constants, dtype)
            if step.operation == "divide":
                y /= constants
            elif step.operation == "multiply":
                y *= constants
            elif step.operation == "subtract":
                y -= constants
            else:
                y += constants
    return y


def _in_order(x: Array, order: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """The channels of ``x`` in ``order``, in ``dtype``: a new array, one channel after the other in memory.

    So each step goes through whole planes, and NumPy does not stop after three numbers.
    """
    planes = np.empty((3, *x.shape[:-1]), dtype)
    for plane, channel in zip(planes, order, strict=True):
        plane[...] = x[..., channel]
    return planes.transpose(*range(1, x.ndim), 0)


@cache
def _rounded(constants: tuple[str, str, str], dtype: np.dtype[Any]) -> Array:
    """The constants of a step in ``dtype``, read-only.

    By way of float64, as a Python float meets an array; exact for every dtype but longdouble, where Keras has the same
    rounding.
    """
    rounded = np.array([float(c) for c in constants]).astype(dtype)
    rounded.flags.writeable = False
    return rounded


def inverse(y: Array, mode: Mode, dtype: np.dtype[Any]) -> Array:
    """Undo ``forward`` on ``y``, channels last, any shape ``(..., 3)``, computing in ``dtype``.

    Returns a new array, neither rounded nor clipped: ``y + m``, ``(y + 1) * 127.5`` or ``(y * s + m) * 255``, with
    the channels back in RGB. Of any mode: the opposite of each step, the last one first.
    """
    back = [mode.order.index(channel) for channel in range(3)]
    x = _in_order(y, back, dtype)
    with np.errstate(all="ignore"):
        for step in reversed(mode.steps):
            constants = _rounded(step.constants, dtype)[back]
            if step.operation == "divide":
                x *= constants
            elif step.operation == "multiply":
                x /= constants
            elif step.operation == "subtract":
                x += constants
            else:
                x -= constants
    return x


def to_pixels(x: Array, dtype: np.dtype[Any]) -> Array:
    """Round half to even and saturate to 0..255, as an integer ``dtype``. NaN is an error."""
    if np.isnan(x).any():
        raise ValueError(NAN_MESSAGE)
    whole = np.rint(x)
    return np.clip(whole, 0, 255, out=whole).astype(dtype)
