"""One input of the suite (``Case``), and the corpus: the fixed list of cases that decides every verdict.

Pixels are made by integer arithmetic, never by a random generator, so that a case is the same array on every
version of everything and results can be compared by digest. R, G and B are kept apart: a grey image cannot show
a swapped channel. Imports NumPy, the spec and the oracle (for the inputs of an inverse).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.spec import (
    DATA_FORMATS,
    DTYPES,
    FLOATS,
    INTEGERS,
    MODES,
    RANKS,
    DataFormat,
    Direction,
    ModeName,
    definition,
)

Array = npt.NDArray[Any]

LAYOUTS = (
    "c", "fortran", "permuted", "cropped", "mirrored", "channels_reversed", "sliced", "negative", "unaligned",
    "readonly", "zero", "big_endian", "every_second", "pitched", "repeated", "grey",
)  # fmt: skip
"""Memory layouts.

=====================  ==============================================================
``c``                  C order
``fortran``            Fortran order
``permuted``           the other data format, transposed
``cropped``            a part of a larger image
``mirrored``           left and right exchanged
``channels_reversed``  a view with the channels reversed, as OpenCV's BGR seen as RGB
``sliced``             every second element of a larger array
``negative``           all axes reversed
``unaligned``          at an odd address
``readonly``           not writeable
``zero``               one row broadcast over the height
``big_endian``         foreign byte order (on little-endian machines)
``every_second``       every second entry of the first axis, as of a video's frames
``pitched``            rows with two more elements at their end, as in aligned buffers
``repeated``           one image broadcast over the batch
``grey``               one channel broadcast over the three
=====================  ==============================================================
"""

SPREAD = ("zero", "repeated", "grey")
"""The layouts in which one part of the image is broadcast: with equal values all along an axis, and not writeable."""

REGIMES = (
    "bytes", "dark", "faint", "signed", "dim", "fractions", "wide", "huge", "black", "white", "nonfinite", "noise",
    "centred", "limited", "ten_bit", "twelve_bit",
)  # fmt: skip
"""What the values are. For an inverse, ``bytes``, ``noise`` and ``nonfinite`` are preprocessed first.

=============  =============================================================
``bytes``      every byte in every channel
``dark``       0..1 (integers: 0 and 1)
``faint``      0..2
``signed``     -1..1
``dim``        0..60
``fractions``  between the integers of 0..255
``wide``       outside 0..255; integers over the whole range of their dtype
``huge``       tiny and huge numbers, and zeros of both signs
``black``      all 0
``white``      all 255
``nonfinite``  bytes, and among them NaN and infinities
``noise``      bytes with noise of up to 60 grey levels that must saturate
``centred``    -124..152, as if means were subtracted already
``limited``    16..235, as in video
``ten_bit``    0..1023
``twelve_bit`` 0..4095
=============  =============================================================
"""


SIZES = {"empty": 0, "one pixel": 1, "small": 16, "medium": 256, "large": 4096, "very large": 1 << 62}
"""Classes of images by their number of pixels, each with its largest."""


def dtype_of(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name; bfloat16 needs ml_dtypes and raises ``ImportError`` without."""
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(name)


@functools.cache
def available_dtypes() -> tuple[str, ...]:
    """The dtypes that arrays can have here: all of them, bfloat16 only where ml_dtypes is installed."""
    try:
        dtype_of("bfloat16")
    except ImportError:
        return tuple(d for d in DTYPES if d != "bfloat16")
    return DTYPES


class Cell(NamedTuple):
    """What results are grouped by: a mode in a data format for inputs of one dtype and rank."""

    mode: ModeName
    data_format: DataFormat
    dtype: str
    rank: int

    def __str__(self) -> str:
        return f"{self.mode}, {self.data_format}, {self.dtype}, rank {self.rank}"


@dataclass(frozen=True)
class Case:
    """One input: direction, mode, data format, dtype, memory layout, values, and the shape as channels last.

    The values follow from ``regime``; with ``"drawn"``, they are ``pixels``, native bytes of the case's dtype.
    """

    direction: Direction
    mode: ModeName
    data_format: DataFormat
    dtype: str
    layout: str
    regime: str
    shape: tuple[int, ...]
    pixels: bytes = b""

    @property
    def rank(self) -> int:
        """3 for one image, 4 for a batch."""
        return len(self.shape)

    @property
    def size(self) -> str:
        """The class of its number of pixels."""
        pixels = math.prod(self.shape[:-1])
        return next(name for name, most in SIZES.items() if pixels <= most)

    @property
    def cell(self) -> Cell:
        """The group that results on this case belong to."""
        return Cell(self.mode, self.data_format, self.dtype, self.rank)

    @property
    def name(self) -> str:
        """A name that states everything about the case, for reports."""
        shape = "x".join(map(str, self.shape))
        return f"{self.direction}-{self.mode}-{self.data_format}-{self.dtype}-{self.layout}-{self.regime}-{shape}"

    @property
    def of_values(self) -> Case:
        """The same for all cases with these values: channels last, in C order, and forward in no mode."""
        mode = "identity" if self.direction == "forward" else self.mode
        layout = self.layout if self.layout in SPREAD else "c"
        return Case(self.direction, mode, "channels_last", self.dtype, layout, self.regime, self.shape, self.pixels)

    def values(self) -> Array:
        """The pixels, channels last, C order, native; a new array."""
        return self.view().copy()

    def view(self) -> Array:
        """The pixels, channels last, native; read-only, for they belong to every case that has them."""
        count = math.prod(self.shape[:-1])
        if self.regime == "drawn":
            rows = np.frombuffer(self.pixels, dtype_of(self.dtype)).reshape(-1, 3)
        elif self.direction == "forward":
            rows = _forward_pixels(self.regime, self.dtype, count)
        else:
            rows = _inverse_pixels(self.regime, self.mode, self.dtype, count)
        image = rows.reshape(self.shape)
        if self.layout in SPREAD:
            image = _spread(image, {"zero": -3, "grey": -1, "repeated": 0}[self.layout])
        return image

    @property
    def array_shape(self) -> tuple[int, ...]:
        """The shape of the input itself, in its data format."""
        if self.data_format == "channels_last":
            return self.shape
        return tuple(self.shape[axis] for axis in _TO_FIRST[self.rank])

    def array(self) -> Array:
        """The input itself, in its data format and memory layout; a new array each time."""
        return arrange(self.view(), self.data_format, self.layout)


def to_format(image: Array, data_format: DataFormat) -> Array:
    """A channels-last array seen in ``data_format``."""
    return image if data_format == "channels_last" else image.transpose(*_TO_FIRST[image.ndim])


def from_format(array: Array, data_format: DataFormat) -> Array:
    """An array in ``data_format`` seen as channels last."""
    return array if data_format == "channels_last" else array.transpose(*_TO_LAST[array.ndim])


_TO_FIRST = {3: (2, 0, 1), 4: (0, 3, 1, 2)}
_TO_LAST = {3: (1, 2, 0), 4: (0, 2, 3, 1)}


def arrange(image: Array, data_format: DataFormat, layout: str) -> Array:
    """Lay a channels-last array out in memory as ``layout`` in ``data_format``. Equal values, never a view."""
    array = np.ascontiguousarray(to_format(image, data_format))
    channel, width = (-1, -2) if data_format == "channels_last" else (-3, -1)
    if layout == "c":
        return array if array.base is None and array is not image else array.copy()
    if layout == "fortran":
        return array.copy(order="F")
    if layout == "permuted":
        other: DataFormat = "channels_first" if data_format == "channels_last" else "channels_last"
        return to_format(from_format(to_format(image, other).copy(), other), data_format)
    if layout == "sliced":
        larger = np.full([2 * n + 1 for n in array.shape], 77).astype(array.dtype)
        return _filled(larger[tuple(slice(1, None, 2) for _ in array.shape)], array)
    if layout == "cropped":
        # The channels of a pixel, or the planes of an image, stay whole, as in a crop.
        kept = channel % array.ndim
        larger = np.full([n if axis == kept else n + 3 for axis, n in enumerate(array.shape)], 77).astype(array.dtype)
        inside = (slice(None) if axis == kept else slice(2, n + 2) for axis, n in enumerate(array.shape))
        return _filled(larger[tuple(inside)], array)
    if layout in ("mirrored", "channels_reversed"):
        axis = channel if layout == "channels_reversed" else width
        return np.flip(np.flip(array, axis).copy(), axis)
    if layout == "negative":
        return np.flip(np.flip(array).copy())
    if layout in SPREAD:
        return _spread(array, {"zero": width - 1, "grey": channel, "repeated": 0}[layout])
    if layout == "every_second":
        return _filled(np.full([2 * len(array), *array.shape[1:]], 77).astype(array.dtype)[::2], array)
    if layout == "pitched":
        lines, length = array.shape[: width % array.ndim], math.prod(array.shape[width % array.ndim :])
        larger = np.full([*lines, length + 2], 77).astype(array.dtype)
        strides = (*larger.strides[:-1], *array.strides[width % array.ndim :])
        return _filled(np.lib.stride_tricks.as_strided(larger, array.shape, strides), array)
    if layout == "unaligned":
        return _filled(np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape), array)
    if layout == "readonly":
        array = array.copy()
        array.flags.writeable = False
        return array
    if layout == "big_endian":
        return array.astype(array.dtype.newbyteorder(">"))
    raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}; got {layout!r}")


def _spread(array: Array, axis: int) -> Array:
    """The first entry along an axis, broadcast over it."""
    return np.broadcast_to(np.take(array, [0] if array.shape[axis] else [], axis=axis), array.shape)


def _filled(view: Array, content: Array) -> Array:
    view[...] = content
    return view


def has_layout(dtype: str, layout: str) -> bool:
    """Whether the layout exists for the dtype: a single byte has no order, and ml_dtypes has only the native one."""
    return layout != "big_endian" or dtype not in ("bool", "uint8", "int8", "bfloat16")


# Pixels -----------------------------------------------------------------------------------------------------------

# Odd multipliers permute 0..255: every byte comes up in every channel within 256 pixels, and nowhere are two
# channels equal for long.
_BYTES = ((1, 0), (101, 37), (203, 150))


@functools.lru_cache(maxsize=16)
def _bytes(count: int) -> npt.NDArray[np.int64]:
    index = np.arange(count, dtype=np.int64)
    # After 256 pixels the channels drift against each other, so that no block of a large image repeats another.
    drift = index // 256
    rows = np.stack([(a * index + b + k * drift) % 256 for k, (a, b) in enumerate(_BYTES)], axis=-1)
    rows.flags.writeable = False
    return rows


@functools.lru_cache(maxsize=64)
def byte_indices(count: int) -> npt.NDArray[np.uint8]:
    """The byte that each value of ``count`` pixels of the regime ``bytes`` stands for: red, green and blue.

    The first 256 pixels have every byte in every channel.
    """
    indices = _bytes(count).astype(np.uint8)
    indices.flags.writeable = False
    return indices


@functools.lru_cache(maxsize=64)
def byte_places(count: int) -> npt.NDArray[np.uint8]:
    """For each channel and each of ``count`` pixels of the regime ``bytes``: which of the first 256 has its byte.

    Shape ``(3, count)``.
    """
    indices = byte_indices(count)
    places = np.empty((3, count), np.uint8)
    for channel in range(3):
        table = np.empty(256, np.uint8)
        table[indices[:256, channel]] = np.arange(min(256, count))
        places[channel] = table[indices[:, channel]]
    places.flags.writeable = False
    return places


@functools.lru_cache(maxsize=16)
def _hashed(count: int) -> npt.NDArray[np.int64]:
    """Well-mixed 32-bit numbers, of shape ``(count, 3)``: multiplication and shifts, no generator."""
    index = np.arange(3 * count, dtype=np.uint64).reshape(count, 3)
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(32)).astype(np.int64)


_NONFINITE = {0: np.nan, 4: np.inf, 8: -np.inf, 13: np.nan, 18: np.inf, 23: -np.inf}
_BEYOND_NARROW_INTEGERS = {5: -1000.0, 10: 1000.0, 15: 40000.0, 20: -40000.0, 25: 400.0}
_RANGES = {"centred": (-124, 152), "limited": (16, 235), "ten_bit": (0, 1023), "twelve_bit": (0, 4095)}


def _placed(values: Array, special: Mapping[int, float]) -> Array:
    """``values``, changed: ``special`` says which elements become what."""
    for place, value in special.items():
        if place < values.size:
            values.flat[place] = value
    return values


@functools.cache
def regimes(direction: Direction, dtype: str) -> tuple[str, ...]:
    """The value regimes that exist for a dtype."""
    if direction == "inverse":
        return ("bytes", "noise", "wide", "nonfinite") if dtype in FLOATS else ()
    if dtype in FLOATS:
        return tuple(r for r in REGIMES if r != "noise")
    if dtype == "bool":
        return ("bytes", "black", "white")
    info = np.iinfo(dtype)
    held = (r for r, (low, high) in _RANGES.items() if info.min <= low and high <= info.max)
    return ("bytes", "dark", "dim", "wide", "black", "white", *held)


@functools.lru_cache(maxsize=4096)
def _forward_pixels(regime: str, dtype: str, count: int) -> Array:
    rows = _make_forward_pixels(regime, dtype, count)
    rows.flags.writeable = False
    return rows


def _make_forward_pixels(regime: str, dtype: str, count: int) -> Array:
    target = dtype_of(dtype)
    if regime == "black":
        return np.zeros((count, 3), target)
    if regime == "white":
        return np.full((count, 3), 255).astype(target)
    rows = _bytes(count)
    if regime in _RANGES:
        low, high = _RANGES[regime]
        scaled = rows * (high - low)
        return (low + (scaled // 255 if dtype in INTEGERS else scaled / 255)).astype(target)
    if dtype in INTEGERS:
        if dtype == "bool":
            return (rows >= 128).astype(target)
        if regime == "dark":
            return (rows // 128).astype(target)  # not the lowest bit, which red and blue have in common
        if regime == "wide":
            info = np.iinfo(target)
            span = int(info.max) - int(info.min)
            part = _hashed(count).astype(np.uint64)
            # Of 64 bits, the span is a multiple of 2**32 - 1; of fewer, the product fits into 64 bits.
            part *= np.uint64(span // (2**32 - 1) if target.itemsize == 8 else span)
            part //= np.uint64(1 if target.itemsize == 8 else 2**32 - 1)
            exact = (part + np.uint64(int(info.min) % 2**64)).view(np.int64).astype(target)  # modulo 2**64
            corners = [[info.min, info.max, 0], [info.max, 1, info.min], [256 % info.max, info.min, info.max]]
            exact[: len(corners)] = np.array(corners[:count], target).reshape(-1, 3)
            return exact
        if regime == "dim":
            return (rows % 61).astype(target)
        return rows.astype(target)  # wraps to -128..127 in int8: every bit pattern all the same
    if regime == "dark":
        return (rows / 255.0).astype(target)
    if regime == "faint":
        return (rows / 127.5).astype(target)
    if regime == "signed":
        return (rows / 127.5 - 1.0).astype(target)
    if regime == "dim":
        return (rows % 61).astype(target)
    if regime == "fractions":
        return (_hashed(count) / 2.0**32 * 255.0).astype(target)
    if regime == "wide":
        sign = np.where(_hashed(count) % 2, 1.0, -1.0)
        return (sign * (_hashed(count) / 2.0**32) * 10.0 ** (rows % 5)).astype(target)
    if regime == "huge":
        top = np.finfo(np.float16).max if dtype == "float16" else 3.0e38
        scale = 2.0 ** (rows % 16 - 24) if dtype == "float16" else 2.0 ** (rows % 250 - 149)
        values = scale * (1.0 + (_hashed(count) % 1024) / 1024.0) * np.where(rows % 2, 1.0, -1.0)
        ends = np.array([[-0.0, 0.0, top], [-top, -0.0, top / 2], [0.0, -top / 2, -0.0]])
        values[: len(ends)] = ends[:count]
        with np.errstate(over="ignore"):
            return values.astype(target)
    if regime == "nonfinite":
        return _placed(rows.astype(np.float64), _NONFINITE).astype(target)
    return rows.astype(target)


@functools.lru_cache(maxsize=4096)
def _inverse_pixels(regime: str, mode: ModeName, dtype: str, count: int) -> Array:
    """Inputs of an inverse: the oracle's outputs for the bytes; the same with noise; floats far outside."""
    if regime == "bytes" and count > 256:
        # What the first 256 pixels have for each byte, dealt out: an oracle asked for each pixel takes its time.
        first, index = _inverse_pixels(regime, mode, dtype, 256), byte_indices(count)[:, list(definition(mode).order)]
        table = np.empty((256, 3), first.dtype)
        np.put_along_axis(table, index[:256].astype(np.intp), first, axis=0)
        values = np.stack([table[index[:, k], k] for k in range(3)], axis=-1)
        values.flags.writeable = False
        return values
    rows = oracle.exact(_bytes(count).astype(dtype_of("float32")), "forward", mode)
    if regime == "noise":
        # Uneven steps of up to 60 grey levels, ending at least 0.1 from a rounding tie, which half precision blurs.
        step = 0.12 if dtype in ("float16", "bfloat16") else 0.19
        noise = (_hashed(count) % 121 - 60) + ((_hashed(count) >> 8) % 5 - 2) * step
        noise = _placed(noise, _BEYOND_NARROW_INTEGERS)
        rows = rows + noise / oracle.grey_levels(mode)
    elif regime == "wide":
        rows = _make_forward_pixels("wide", "float64", count)
    elif regime == "nonfinite":
        rows = _placed(rows.copy(), _NONFINITE)
    if dtype in ("float64", "float16"):
        rows = oracle.exact(_bytes(count).astype(dtype), "forward", mode) if regime == "bytes" else rows
    values = rows.astype(dtype_of(dtype))
    values.flags.writeable = False
    return values


# The corpus -------------------------------------------------------------------------------------------------------

PANEL = {3: (8, 32, 3), 4: (2, 8, 16, 3)}
"""Shape, as channels last, of the image that every cell is tried on: 256 pixels, every byte in every channel."""

SMALL_SIZES = tuple(range(71))
"""Numbers of pixels tried one by one: every tail of every vector width, and the empty image."""

LARGE_SIZES = tuple(
    pixels
    for elements in (2**12, 2**14, 2**16, 2**18)
    for pixels in (elements // 3 - 1, elements // 3, elements // 3 + 2)
)
"""Numbers of pixels around 2^12, 2^14, 2^16 and 2^18 elements, none a multiple of 16 elements."""

FEW_SIZES = (0, 1, 2, 3, 5, 8, 15, 16, 17, 33, 70, 2051)
"""The sizes for implementations that compile anew for each shape; the last one is a line of more than 2^11 pixels."""

EMPTY_SHAPES = {3: ((0, 4, 3), (4, 0, 3)), 4: ((0, 4, 4, 3), (1, 0, 4, 3), (2, 4, 0, 3))}

PLACES = {3: ((97, 31, 3),), 4: ((5, 17, 19, 3), (3, 17, 5, 3), (33, 3, 2, 3))}
"""Images of many rows and columns, upright, and in batches, among them one of three: no pixel's place may matter."""

EVERYDAY = ((224, 224, 3), (300, 301, 3))
"""Images in uint8 and float32: what VGG takes, and one of more than 2^16 pixels and, in float32, a megabyte."""

ANY_DTYPE = (148, 148, 3)
"""An image of more than 2^16 elements, for the other dtypes."""

BATCHES = (8, 32, 130)
"""Numbers of images at once in uint8 and float32, besides 33."""

USUAL = ("uint8", "float32")
"""The dtypes of most images: what is expensive is tried on these."""

LARGE = (2, 64, 96, 3)
"""Shape of the image for aliasing and threads besides the panel: more than 2^15 elements, where blocks begin."""

SQUARES = ((3, 3), (3, 4), (4, 3))
"""Heights and widths where another axis can be mistaken for the channels."""


def size_shape(pixels: int, rank: int) -> tuple[int, ...]:
    """The shape of an image with ``pixels`` pixels in one row or column, so that any number is possible."""
    return (1, pixels, 3) if rank == 3 else (1, pixels, 1, 3)


def cells(
    modes: Sequence[ModeName], data_formats: Sequence[DataFormat], dtypes: Sequence[str], ranks: Sequence[int]
) -> list[Cell]:
    """The product, in the order of the report."""
    return [Cell(m, f, d, r) for m in modes for f in data_formats for d in dtypes for r in ranks]


@functools.lru_cache(maxsize=16384)
def panel(direction: Direction, cell: Cell, regime: str = "bytes", layout: str = "c") -> Case:
    """The cell's case of 256 pixels."""
    return Case(direction, cell.mode, cell.data_format, cell.dtype, layout, regime, PANEL[cell.rank])


def layout_cases(direction: Direction, cell: Cell) -> Iterator[Case]:
    """The panels in every memory layout: over all cells, every layout meets every regime.

    Each layout comes with values that tell elements apart. Uniform and non-finite values are added, each in one
    layout per cell.
    """
    layouts = [layout for layout in LAYOUTS[1:] if has_layout(cell.dtype, layout)]
    if cell.rank == 3:
        layouts.remove("repeated")  # there is no batch
    rare = [r for r in regimes(direction, cell.dtype) if r in ("black", "white", "nonfinite")]
    telling = [r for r in regimes(direction, cell.dtype) if r not in rare]
    position = (
        (*MODES, cell.mode).index(cell.mode)
        + 4 * DATA_FORMATS.index(cell.data_format)
        + DTYPES.index(cell.dtype)
        + 8 * cell.rank
    )
    for layout in layouts:
        yield panel(direction, cell, telling[(position + LAYOUTS.index(layout)) % len(telling)], layout)
    for number, regime in enumerate(rare):
        yield panel(direction, cell, regime, layouts[(position + number) % len(layouts)])


def size_cases(direction: Direction, cell: Cell, few: bool = False) -> Iterator[Case]:
    """The sizes tried in a cell: for batches in uint8 and float32 every small one; for others a dozen, or six.

    The many large ones are for uint8 in channels_last and for float32 in channels_first.
    """
    counts: tuple[int, ...] = FEW_SIZES if few or cell.rank == 4 else FEW_SIZES[1::2]
    usual = not few and cell.dtype in USUAL
    if usual and cell.rank == 4:
        large = (cell.dtype == "uint8") == (cell.data_format == "channels_last")
        counts = SMALL_SIZES + (LARGE_SIZES if large else FEW_SIZES[-1:])
    rows = (FEW_SIZES[-1], *LARGE_SIZES[1::3])  # the others are columns in batches, and rows in single images
    shapes = [_ranked((1, n, 3), cell.rank) if n in rows else size_shape(n, cell.rank) for n in counts]
    if few:
        shapes += [PLACES[4][-1], (1, *EVERYDAY[0])]
    else:
        shapes += EMPTY_SHAPES[cell.rank] + PLACES[cell.rank]
        shapes += [(n, 3, 2, 3) for n in BATCHES if usual and cell.rank == 4]
        shapes += [_ranked(shape, cell.rank) for shape in (EVERYDAY if usual else (ANY_DTYPE,))]
    for shape in shapes:
        yield Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", shape)


MIXED = ((67, 83), (1, 1), (7, 53), (3, 2))
"""Heights and widths that meet every memory layout and every regime: of each class but the panel's and the empty."""


def mixed_cases(direction: Direction, cell: Cell) -> Iterator[Case]:
    """Sizes in one layout and regime each: over all cells, every size meets every layout and every regime.

    In uint8 and floating dtypes all sizes, in other dtypes three.
    """
    telling = regimes(direction, cell.dtype)
    layouts = [layout for layout in LAYOUTS[1:] if has_layout(cell.dtype, layout)]
    if cell.rank == 3:
        layouts.remove("repeated")
    place = 16 * DTYPES.index(cell.dtype) + 4 * (*MODES, cell.mode).index(cell.mode)
    place += 2 * DATA_FORMATS.index(cell.data_format) + RANKS.index(cell.rank)
    for number in range(len(MIXED) if cell.dtype in (*USUAL, *FLOATS) else 3):
        turn = place + 2 * number
        lead = () if cell.rank == 3 else (2,)
        shape = (*lead, *MIXED[(place + 3 * number) % len(MIXED)], 3)
        layout = layouts[turn % len(layouts)]
        regime = telling[(turn + (place // 16 if direction == "inverse" else 0)) % len(telling)]
        if cell.dtype == "float64" and shape[-2] == MIXED[0][1] and regime in ("fractions", "wide", "huge", "noise"):
            regime = "bytes"  # each of so many different values takes the oracle a division of rationals
        yield Case(direction, cell.mode, cell.data_format, cell.dtype, layout, regime, shape)


def largest(direction: Direction, cell: Cell) -> Case:
    """The largest image that ``size_cases`` has in each data format and rank."""
    shape = _ranked(EVERYDAY[-1] if cell.dtype in USUAL else ANY_DTYPE, cell.rank)
    return Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", shape)


def _ranked(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return shape if rank == 3 else (1, *shape)


def corpus() -> Iterator[Case]:
    """Every case of the corpus, forward and inverse."""
    for direction in ("forward", "inverse"):
        for cell in cells(tuple(MODES), DATA_FORMATS, available_dtypes(), RANKS):
            for regime in regimes(direction, cell.dtype):
                yield panel(direction, cell, regime)
            if not regimes(direction, cell.dtype):
                continue
            yield from layout_cases(direction, cell)
            for height, width in SQUARES:
                for lead in ((),) if cell.rank == 3 else ((1,), (3,)):
                    yield Case(
                        direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", (*lead, height, width, 3)
                    )
            yield from size_cases(direction, cell)
            yield from mixed_cases(direction, cell)
