"""Images to show to a black box, by arithmetic, with other values than those of the corpus. Imports NumPy and cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Case, dtype_of
from vggprep.spec import DataFormat

Array = npt.NDArray[Any]

DTYPES = ("float32", "float64", "float16", "uint8", "uint16", "int8", "int32", "int64", "bool")

_KINDS = {
    "plain": "{} image",
    "whole": "{} image of whole numbers",
    "dark": "{} image with values from 0 to 1",
    "wide": "{} image with values outside 0..255",
    "nonfinite": "{} image with NaN and infinities",
}


class Probe(NamedTuple):
    """An image to show; ``what`` names it in answers. The case's mode is not used."""

    what: str
    case: Case


def _probe(what: str, image: Array, data_format: DataFormat) -> Probe:
    pixels = image.tobytes()
    return Probe(what, Case("forward", "identity", data_format, image.dtype.name, "c", "drawn", image.shape, pixels))


def probes(dtype: str, rank: int, data_format: DataFormat) -> Iterator[Probe]:
    """Images of every kind that the dtype can hold; a plain one first."""
    shape = (2, 11, 13, 3) if rank == 4 else (11, 26, 3)
    kinds = list(_KINDS) if dtype in oracle.FORMATS else ["plain", "dark", "wide"]
    if dtype in ("bool", "uint8", "int8"):
        kinds = kinds[:2] if dtype != "bool" else kinds[:1]
    for kind in kinds:
        yield _probe(_KINDS[kind].format(dtype), image(kind, dtype, shape), data_format)


def square_probes(dtype: str, ranks: Sequence[int], data_format: DataFormat) -> Iterator[Probe]:
    """Images three pixels high or wide, whose axes can be mistaken for each other."""
    for shape in ((3, 5, 3), (5, 3, 3), (1, 3, 5, 3), (1, 5, 3, 3)):
        if len(shape) in ranks:
            yield _probe(f"{dtype} image of shape {shape}, {data_format}", image("plain", dtype, shape), data_format)


def sized_probes(dtype: str, ranks: Sequence[int], data_format: DataFormat) -> Iterator[Probe]:
    """High and wide images, and batches of three and more; a large image last."""
    batches = ((3, 7, 5, 3), (1, 1, 40, 3), (35, 2, 3, 3), (1, 200, 210, 3))
    for shape in batches if 4 in ranks else ((8, 5, 3), (5, 8, 3), (200, 210, 3)):
        what = f"{dtype} image of {shape[-3]} by {shape[-2]} pixels"
        what = what if shape[:-3] in ((), (1,)) else f"batch of {shape[0]} images"
        yield _probe(what, image("plain", dtype, shape), data_format)


def image(kind: str, dtype: str, shape: tuple[int, ...]) -> Array:
    """Pixels of one kind, mixed by multiplication and shifts."""
    count = int(np.prod(shape))
    index = np.arange(1, count + 1, dtype=np.uint64)
    mixed = index * np.uint64(0xD1342543DE82EF95)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x2545F4914F6CDD1D)
    unit = ((mixed >> np.uint64(33)).astype(np.float64) / 2.0**31).reshape(shape)
    if dtype == "bool":
        return unit >= 0.5
    floating = dtype in oracle.FORMATS
    if kind == "dark":
        values = unit
    elif kind == "wide":
        low, high = -400.0, 700.0
        if not floating:
            low, high = float(max(np.iinfo(dtype).min, -3000)), float(min(np.iinfo(dtype).max, 60000))
        values = low + unit * (high - low)
    else:
        # Black, white and the two halves of the range in every channel, so that both ends are seen.
        values = unit * 255.0
        values.reshape(-1)[:6] = (0.0, 255.0, 131.0, 255.0, 0.0, 64.0)
        if kind == "nonfinite":
            values.reshape(-1)[[7, 20, 33]] = (np.nan, np.inf, -np.inf)
    if kind == "whole" or not floating:
        values = np.rint(values)
    return (np.minimum(values, 127) if dtype == "int8" else values).astype(dtype_of(dtype))
