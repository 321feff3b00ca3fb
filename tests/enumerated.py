"""Functions to enumerate, most of them wrong somewhere, and the certificate of one, made in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import deprocess_input, oracle, preprocess_input
from vggprep.cases import available_dtypes
from vggprep.conformance.engine import Selection
from vggprep.faults import FAULTS, HONEST
from vggprep.implementations import Implementation
from vggprep.implementations.callables import NoArray
from vggprep.implementations.targets import TargetSpec
from vggprep.proof.certificates import Certificate, Row
from vggprep.proof.domains import BITS, domain
from vggprep.proof.plan import plan
from vggprep.proof.run import prove
from vggprep.spec import DataFormat, Level, ModeName

Array = npt.NDArray[Any]

QUICK = ("uint8", "int8", "int16", "uint16", "float16")

GALLERY = SimpleNamespace(**{one.name: one for one in (*(fault.implementation() for fault in FAULTS), *HONEST)})


def one_thread() -> ThreadPoolExecutor:
    """An executor that works in this process."""
    return ThreadPoolExecutor(1)


def interrupted() -> None:
    """As if Ctrl-C were pressed before the work begins."""
    raise KeyboardInterrupt


def no_executor() -> int:
    return 5


def no_luck() -> None:
    raise RuntimeError("no machines today")


class Refusing(ThreadPoolExecutor):
    """An executor each of whose tasks ends with ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(1)
        self.error = error

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self.error)
        return future


def no_work() -> Refusing:
    return Refusing(RuntimeError("not today"))


def loses_workers() -> Refusing:
    return Refusing(BrokenExecutor())


def drops_work() -> Refusing:
    return Refusing(CancelledError())


HERE = f"{__name__}:one_thread"


def proven(
    target: str,
    *dtypes: str,
    inverse: bool = False,
    modes: tuple[ModeName, ...] | None = None,
    level: Level | None = None,
    stop_at_first: bool = False,
    progress_file: Path | None = None,
) -> Certificate:
    """The certificate of a target in this module, or of another if it names one."""
    name = target if ":" in target else f"{__name__}:{target}"
    spec = TargetSpec((), name, level) if inverse else TargetSpec((name,), None, level)
    selection = Selection(modes, None, tuple(d for d in dtypes if d in available_dtypes()))
    what = plan(spec, selection, stop_at_first=stop_at_first)
    return prove(what, progress_file=progress_file, executor=HERE)


def timeless(certificate: Certificate) -> list[Row]:
    return [replace(row, seconds=0) for row in certificate.rows]


def bits(values: Array) -> Array:
    """The patterns of values, as unsigned integers."""
    return values.view(f"uint{8 * values.dtype.itemsize}")


def pixel_at(pattern: int, channel: int, dtype: str) -> tuple[str, ...]:
    """The pixel, as hexadecimal digits, in which a channel meets a pattern."""
    found = domain(dtype)
    start = (pattern - channel * (found.size // 3)) % found.size
    return tuple(f"{int(bits(found.values(start, 1, each))[0]):0{BITS[dtype] // 4}x}" for each in range(3))


# Right --------------------------------------------------------------------------------------------------------------


def right(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return preprocess_input(x, data_format, mode)


def to_floats(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
    return deprocess_input(y, data_format, mode, dtype=None)


def tf_alone(x: Array) -> Array:
    return preprocess_input(x, mode="tf")


def caffe_back_alone(y: Array) -> Array:
    return deprocess_input(y, mode="caffe", dtype=None)


only_bytes = Implementation("only_bytes", preprocess_input, dtypes=("uint8",))


def refuses_integers(x: Array, mode: ModeName = "tf") -> Array:
    if x.dtype.kind != "f":
        raise TypeError("floats only")
    return preprocess_input(x, mode=mode)


def counted(x: Array, mode: ModeName = "tf") -> Array:
    """Writes the dtype of each large image to the file that ``$CALLS`` names."""
    if x.size > 100_000:
        with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as file:
            file.write(f"{x.dtype.name}\n")
    return preprocess_input(x, mode=mode)


# Wrong for one value ------------------------------------------------------------------------------------------------


def spoiled(where: Callable[[Array], Array], value: float) -> Callable[..., Array]:
    """``preprocess_input`` with ``value`` in place of some results."""

    def function(x: Array, mode: ModeName = "tf") -> Array:
        y = preprocess_input(x, mode=mode)
        y[where(x)] = value
        return y

    return function


one_number_wrong = spoiled(lambda x: x == 43981, 7)
two_numbers_wrong = spoiled(lambda x: (x == 3) | (x == 43981), 7)
needs_a_crowd = spoiled(lambda x: (x == 43981) & (x.size > 100_000), 7)
one_nan_made_a_number = spoiled(lambda x: bits(x) == 0x7D23, 0)
minus_zero_made_white = spoiled(lambda x: (x == 0) & np.signbit(x), 1)
infinity_made_a_number = spoiled(lambda x: x == np.inf, 60000)
nan_for_one_number = spoiled(lambda x: x == 200, np.nan)
wrong_in_blue = spoiled(lambda x: (x == 200) & np.array([False, False, True]), 0)


def one_number_off(x: Array, data_format: DataFormat, mode: ModeName = "caffe") -> Array:
    """One unit in the last place off for blue 3, less than what rounding does elsewhere."""
    y = preprocess_input(x, data_format, mode)
    blue, result = (np.moveaxis(z, -1 if data_format == "channels_last" else -3, -1) for z in (x[...], y))
    first = result[..., 0]
    first[blue[..., 2] == 3] = np.nextafter(first[blue[..., 2] == 3], np.float32(1000))
    return y


def lowest_bit_flipped(x: Array, mode: ModeName = "identity") -> Array:
    flipped: Array = np.bitwise_xor(x, np.array(1, x.dtype))
    return flipped


def restored_without_signs(y: Array, mode: ModeName = "identity") -> Array:
    return y.astype(np.float64) + 0.0


def one_byte_of_a_half_lost(y: Array, data_format: DataFormat, mode: ModeName = "caffe") -> Array:
    """201 for the half that red 200 becomes, which the bound allows."""
    pixels = deprocess_input(y, data_format, mode).copy()
    axis = -1 if data_format == "channels_last" else -3
    red = preprocess_input(np.array([[[200, 0, 0]]], np.float16), mode=mode)[0, 0, 2]
    given, first = np.moveaxis(y, axis, -1)[..., 2], np.moveaxis(pixels, axis, -1)[..., 0]
    first[(given == red) & (y.dtype == np.float16)] = 201
    return pixels


def sign_of_zero_lost(x: Array, mode: ModeName = "identity") -> Array:
    return np.asarray(preprocess_input(x, mode=mode) + x.dtype.type(0))


def wrong_channels_first(x: Array, data_format: DataFormat, mode: ModeName = "tf") -> Array:
    y = preprocess_input(x, data_format, mode)
    if data_format == "channels_first":
        y[x == 201] = 0
    return y


# No result ----------------------------------------------------------------------------------------------------------


def integers_kept(x: Array, mode: ModeName = "caffe") -> Array:
    return preprocess_input(x, mode=mode).astype(x.dtype)


def raising(value: float) -> Callable[..., Array]:
    """``preprocess_input`` that raises for one value."""

    def function(x: Array, mode: ModeName = "tf") -> Array:
        if (x == value).any():
            raise ArithmeticError("no such grey")
        return preprocess_input(x, mode=mode)

    return function


raises_for_one_value = raising(43981)
one_single_raises = raising(130.5)


def a_list_for_large_images(x: Array, mode: ModeName = "tf") -> Any:
    y = preprocess_input(x, mode=mode)
    return y if x.size < 5000 else []


def nothing_for_large_images(x: Array, mode: ModeName = "tf") -> Any:
    """As a program that breaks off."""
    return preprocess_input(x, mode=mode) if x.size < 5000 else NoArray("exits without an answer")


def another_axis_for_large_images(x: Array, mode: ModeName = "tf") -> Array:
    y = preprocess_input(x, mode=mode)
    return y if x.size < 5000 else y[np.newaxis]


def truncating(y: Array, mode: ModeName = "tf") -> Array:
    return ((y + 1) * np.float32(127.5)).clip(0, 255).astype(np.uint8)


# Off by a known number of grey levels -------------------------------------------------------------------------------


def off_by(levels: float, mode: ModeName = "caffe") -> Implementation:
    """Results and restored pixels that are off by so many grey levels."""
    unit = np.float32(levels / oracle.grey_levels(mode))

    def preprocess(x: Array) -> Array:
        y = preprocess_input(x, mode=mode)
        return np.asarray(y + unit.astype(y.dtype))

    def deprocess(y: Array) -> Array:
        return np.asarray(deprocess_input(y, mode=mode, dtype=None) + np.asarray(levels, y.dtype))

    return Implementation("off", preprocess, deprocess, modes=(mode,), data_formats=("channels_last",))


mean_off, scaled_mean_off, nan_everywhere, infinite = (
    off_by(0.24), off_by(2.5, "torch"), off_by(np.nan, "tf"), off_by(np.inf),
)  # fmt: skip
mistaken_identity = Implementation(
    "off", lambda x: x + x.dtype.type(1), modes=("identity",), data_formats=("channels_last",)
)
cut_off = Implementation("off", deprocess=truncating, modes=("tf",), data_formats=("channels_last",))
