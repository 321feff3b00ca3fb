"""What an implementation of the field is built for, and what it is: ``Setup`` and ``Adapter``.

Imports NumPy and the vocabulary only; libraries are imported by the functions that need them, with ``load``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.spec import DATA_FORMATS, RANKS, DataFormat, Direction, ModeName

Array = npt.NDArray[Any]

Call = Callable[[Array, Array | None], Any]
"""Takes the input and ``out``, which is None where the result is to be a new array."""

MODES: tuple[ModeName, ...] = ("caffe", "tf", "torch")
LAST: tuple[DataFormat, ...] = ("channels_last",)
BYTES = ("uint8",)
FEW = ("uint8", "float32")
"""To be judged where every dtype costs compilations."""

Triple = tuple[float, float, float]

# y = (x / scale - mean) / std, in the order of the result's channels.
CONSTANTS: dict[ModeName, tuple[float, Triple, Triple]] = {
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class UnavailableError(Exception):
    """An implementation cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Setup:
    """What a call is built for: direction, mode, data format and number of threads."""

    direction: Direction = "forward"
    mode: ModeName = "caffe"
    data_format: DataFormat = "channels_last"
    threads: int = 1


@dataclass(frozen=True)
class Adapter:
    """An implementation: ``build`` makes a call on NumPy arrays for a setup, and raises ``UnavailableError``.

    ``distribution`` is its name on PyPI, or in npm. ``family``: those of one family share a process.
    ``dtypes``: of the inputs that it is timed on; one that takes bytes alone is also judged on these alone.
    ``judged``: the dtypes to judge, of an inverse float32, where others would take too long; None for all. ``out``: it
    can write to the caller's array. ``threads``: the number can be set at any time (``"start"``: only when it starts,
    so that it has one number per process). ``most_images`` keeps the slow ones out of benchmarks that would take
    minutes. One that is ``on_gpu`` may return a tensor on the GPU. ``plain``: it works on the caller's NumPy array
    itself, whatever its memory looks like; ``compiled``, ``serial``, ``writes_input`` as in ``Implementation``.
    ``copied``: people copy it from each other, some of them with its mistakes. ``in_benchmarks``: whether it shares a
    process with the rest. ``program``: the words that start it for a setup, if it is a program (``programs``).
    """

    name: str
    build: Callable[[Setup], Call]
    distribution: str = "numpy"
    family: str = "numpy"
    directions: tuple[Direction, ...] = ("forward",)
    modes: tuple[ModeName, ...] = MODES
    data_formats: tuple[DataFormat, ...] = DATA_FORMATS
    dtypes: tuple[str, ...] = ("uint8", "float32")
    judged: tuple[str, ...] | None = None
    ranks: tuple[int, ...] = RANKS
    out: bool = False
    threads: bool | str = False
    most_images: int = 1 << 30
    on_gpu: bool = False
    plain: bool = False
    compiled: bool = False
    serial: bool = False
    writes_input: bool = False
    copied: bool = False
    in_benchmarks: bool = True
    program: Callable[[Setup], list[str]] | None = None


def load(module: str) -> Any:
    """Import a library; an error that it raises is the reason why its rows are skipped."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # a broken install raises anything
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
        raise UnavailableError(f"cannot import {module} ({reason})") from error


def along(values: tuple[float, ...] | Array, setup: Setup, dtype: Any = np.float32) -> Array:
    """One value for each channel, in a shape that broadcasts over the arrays."""
    shape = (3,) if setup.data_format == "channels_last" else (3, 1, 1)
    return np.asarray(values).astype(dtype).reshape(shape)


def axis_of(setup: Setup) -> int:
    """The axis of the channels, from the end."""
    return -1 if setup.data_format == "channels_last" else -3


def reverse(x: Any, setup: Setup) -> Any:
    """The channels backwards: RGB to BGR and back."""
    return x[..., ::-1] if setup.data_format == "channels_last" else x[..., ::-1, :, :]


def pixel_units(mode: ModeName) -> tuple[Array, Array]:
    """Mean and standard deviation of pixels 0..255, for libraries that know only these two."""
    scale, mean, std = CONSTANTS[mode]
    return np.array(mean) * scale, np.array(std) * scale


def unit_range(mode: ModeName) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of pixels 0..1, for libraries that divide by 255 first."""
    mean, std = pixel_units(mode)
    return (mean / 255).tolist(), (std / 255).tolist()


def formula(
    setup: Setup,
    to_float: Callable[[Any], Any],
    constant: Callable[[Array], Any],
    flip: Callable[[Any], Any] | None = None,
) -> Callable[[Any], Any]:
    """The formula for any library's arrays; the inverse is left unrounded.

    ``to_float`` casts to float32, ``constant`` makes an array the library's, ``flip`` reverses the channels.
    """
    scale, mean, std = CONSTANTS[setup.mode]
    means, stds = constant(along(mean, setup)), constant(along(std, setup))
    backwards = flip or functools.partial(reverse, setup=setup)

    def forward(t: Any) -> Any:
        if setup.mode == "caffe":
            return to_float(backwards(t)) - means
        if setup.mode == "tf":
            return to_float(t) / scale - 1.0
        return (to_float(t) / scale - means) / stds

    def inverse(t: Any) -> Any:
        if setup.mode == "caffe":
            return backwards(t + means)
        if setup.mode == "tf":
            return (t + 1.0) * scale
        return (t * stds + means) * scale

    return forward if setup.direction == "forward" else inverse


def image_by_image(function: Callable[[Array], Any]) -> Call:
    """A function of one image, for one image and for batches."""

    def call(x: Array, out: Array | None) -> Any:
        if x.ndim == 3:
            return function(x)
        return np.stack([function(image) for image in x]) if len(x) else np.empty(x.shape, np.float32)

    return call


def to_pixels(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Round, clip and cast what an inverse returns."""
    return lambda y: np.clip(np.rint(function(y)), 0, 255).astype(np.uint8)
