"""Hypothesis strategies: images as real callers have them, and whole cases.

For the suite's own exploration and for your tests. Everything that a fault may depend on (mode, data format, dtype,
rank, memory layout) is drawn first and independently; pixels come from a short byte string where they are few and from
one integer where they are many, which keeps an example well under 2 ms. Byte 0 does not stand for a black pixel: a
drawn image shrinks to a small colourful one, since grey images hide channel faults.

Imports Hypothesis, NumPy and the cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from vggprep import oracle
from vggprep.cases import LAYOUTS, Case, Cell, arrange, available_dtypes, dtype_of, has_layout
from vggprep.spec import (
    DATA_FORMATS,
    DIRECTIONS,
    DTYPES,
    FLOATS,
    MODES,
    OPERATIONS,
    RANKS,
    DataFormat,
    Direction,
    Mode,
    ModeName,
    definition,
    known,
)

Array = npt.NDArray[Any]

_DRAWN_BYTES = 192
"""Up to this many elements are drawn byte by byte, more from a seed: a long byte string is slow to draw and slower
to shrink."""

# What byte 0 stands for, pixel by pixel: red, green and blue apart in each.
_COLOURS = np.array([[0, 100, 255], [255, 30, 140], [60, 200, 10], [190, 5, 85]], np.uint8)


def modes() -> st.SearchStrategy[ModeName]:
    """The names of the four modes."""
    return st.sampled_from(tuple(MODES))


@st.composite
def definitions(draw: st.DrawFn, *, max_steps: int = 3) -> Mode:
    """Modes that nobody has published: any order, and up to so many steps, of constants of either sign.

    Each has a name of its own, and is known by it (``spec.known``).
    """
    order = draw(st.permutations(range(3)))
    constants = st.decimals("0.001", "1000", places=3).map(str) | st.sampled_from(("255", "1", "127.5", "0.5", "1e-5"))
    signed = st.tuples(st.sampled_from(("", "", "-")), constants).map("".join)
    one_or_three = st.tuples(signed, signed, signed) | signed
    steps = draw(st.lists(st.tuples(st.sampled_from(OPERATIONS), one_or_three), max_size=max_steps))
    made = Mode("drawn", order, steps)
    name = f"drawn {hashlib.sha256(repr(made.definition).encode()).hexdigest()[:12]}"
    return definition(known(Mode(name, order, steps)))


def data_formats() -> st.SearchStrategy[DataFormat]:
    """``"channels_last"`` and ``"channels_first"``."""
    return st.sampled_from(DATA_FORMATS)


def dtypes() -> st.SearchStrategy[str]:
    """Names of dtypes an image can have: uint8 first, then the others; bfloat16 where ml_dtypes is installed."""
    return st.sampled_from(_uint8_first())


def _uint8_first() -> list[str]:
    return sorted(available_dtypes(), key=lambda name: name != "uint8")


def layouts() -> st.SearchStrategy[str]:
    """Names of memory layouts, C order first. ``vggprep.cases.LAYOUTS`` explains them."""
    return st.sampled_from(LAYOUTS)


@st.composite
def images(
    draw: st.DrawFn,
    *,
    dtypes: Sequence[str] | None = None,
    ranks: Sequence[int] = RANKS,
    data_format: DataFormat | st.SearchStrategy[DataFormat] = "channels_last",
    layouts: Sequence[str] = LAYOUTS,
    max_side: int = 8,
    nonfinite: bool = False,
) -> Array:
    """RGB images as arrays of every dtype, rank, memory layout and range of values.

    Args:
        draw: given by Hypothesis.
        dtypes: names of dtypes to draw from; all by default.
        ranks: 3 for one image, 4 for a batch.
        data_format: ``"channels_last"``, ``"channels_first"``, or a strategy such as ``data_formats()``.
        layouts: names of memory layouts to draw from.
        max_side: the largest height, width and batch size. Sides of 0 and 3 are drawn often: code breaks there.
        nonfinite: whether floats may hold NaN and infinities.

    >>> from hypothesis import given
    >>> @given(images(dtypes=["uint8"], ranks=[3]))
    ... def test_white_stays_brightest(image): ...
    """
    names = _uint8_first() if dtypes is None else dtypes
    _check_some("dtypes", names, DTYPES)
    _check_some("ranks", ranks, RANKS)
    _check_some("layouts", layouts, LAYOUTS)
    if isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 1:
        raise InvalidArgument(f"max_side must be an integer of 1 or more; got {max_side!r}")
    dtype = draw(st.sampled_from(tuple(names)))
    rank = draw(st.sampled_from(tuple(ranks)))
    chosen = draw(data_format) if isinstance(data_format, st.SearchStrategy) else data_format
    _check_one("data_format", chosen, DATA_FORMATS)
    layout = draw(st.sampled_from([name for name in layouts if has_layout(dtype, name)] or ["c"]))
    shape = _draw_shape(draw, rank, max_side)
    return arrange(_draw_forward(draw, dtype, shape, nonfinite), chosen, layout)


def _check_one(what: str, given: object, accepted: Sequence[object]) -> None:
    if given not in accepted:
        raise InvalidArgument(f"{what} must be one of {', '.join(map(str, accepted))}; got {given!r}")


def _check_some(what: str, given: Any, accepted: Sequence[object]) -> None:
    """Raise unless ``given`` is a sequence of one or more of what is accepted."""
    sequence = isinstance(given, Sequence) and not isinstance(given, str)
    if not sequence or not given or any(value not in accepted for value in given):
        expected = ", ".join(map(str, accepted))
        raise InvalidArgument(f"{what} must be a sequence of one or more of {expected}; got {given!r}")


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    cells: Sequence[Cell] | None = None,
    direction: Direction = "forward",
    layouts: Sequence[str] = LAYOUTS,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> Case:
    """Whole cases: mode, data format, dtype, rank, memory layout and pixels.

    Args:
        draw: given by Hypothesis.
        cells: the (mode, data format, dtype, rank) to draw from; all by default. A mode may be a ``Mode``.
        direction: ``"forward"``, or ``"inverse"`` for preprocessed images of pixels a little beyond 0..255.
        layouts: names of memory layouts to draw from.
        shapes: shapes, as channels last, to draw from; free by default.
    """
    _check_some("layouts", layouts, LAYOUTS)
    _check_one("direction", direction, DIRECTIONS)
    if cells is not None:
        if direction == "inverse" and any(cell.dtype not in FLOATS for cell in cells):
            raise InvalidArgument(f"cells of an inverse must have a dtype of {', '.join(FLOATS)}; got {list(cells)!r}")
        cell = draw(st.sampled_from(tuple(cells)))
        cell = cell._replace(mode=known(cell.mode))
    else:
        dtype = draw(st.sampled_from(_uint8_first() if direction == "forward" else ["float32", "float64", "float16"]))
        cell = Cell(draw(modes()), draw(data_formats()), dtype, draw(st.sampled_from(RANKS)))
    layout = draw(st.sampled_from([name for name in layouts if has_layout(cell.dtype, name)] or ["c"]))
    fitting = [shape for shape in shapes or () if len(shape) == cell.rank]
    shape = draw(st.sampled_from(fitting)) if fitting else _draw_shape(draw, cell.rank, 8)
    if direction == "forward":
        image = _draw_forward(draw, cell.dtype, shape, nonfinite=False)
    else:
        image = _draw_inverse(draw, cell, shape)
    return Case(direction, cell.mode, cell.data_format, cell.dtype, layout, "drawn", shape, image.tobytes())


def _draw_shape(draw: st.DrawFn, rank: int, max_side: int) -> tuple[int, ...]:
    # Shrinks towards one pixel, not towards the empty image.
    sides = st.sampled_from([side for side in (1, 2, 3, 3, 5, 0) if side <= max_side] + [max_side])
    return (*(draw(sides) for _ in range(rank - 1)), 3)


def _draw_bytes(draw: st.DrawFn, count: int) -> npt.NDArray[np.uint8]:
    """``count`` pixels of three bytes."""
    if 3 * count <= _DRAWN_BYTES:
        drawn = np.frombuffer(draw(st.binary(min_size=3 * count, max_size=3 * count)), np.uint8)
    else:
        seed = np.uint64(draw(st.integers(0, 2**32 - 1)))
        mixed = (np.arange(3 * count, dtype=np.uint64) + np.uint64(1)) * (
            seed * np.uint64(2) + np.uint64(0x9E3779B97F4A7C15)
        )
        drawn = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(24)).astype(np.uint8)
    return drawn.reshape(count, 3) + np.resize(_COLOURS, (count, 3))


_FORWARD_RANGES = ("bytes", "fractions", "dark", "wide")


def _draw_forward(draw: st.DrawFn, dtype: str, shape: tuple[int, ...], nonfinite: bool) -> Array:
    count = int(np.prod(shape[:-1], dtype=np.int64))
    target = dtype_of(dtype)
    rows = _draw_bytes(draw, count)
    values: Array
    if dtype == "bool":
        values = rows >= 128
    elif dtype not in FLOATS:
        shift = draw(st.sampled_from((0, 8, 16, 24, 48, 55)))
        values = rows.astype(np.uint64) << np.uint64(min(shift, 8 * target.itemsize - 8))
        values = values.astype(target)
    else:
        kind = draw(st.sampled_from(_FORWARD_RANGES))
        fraction = (rows.astype(np.int64) * 167 % 256) / 256.0
        if kind == "bytes":
            values = rows.astype(np.float64)
        elif kind == "fractions":
            values = rows * (255 / 256) + fraction / 2
        elif kind == "dark":
            values = rows / 255.0
        else:
            values = (rows - 128.0 + fraction) * draw(st.sampled_from((-3.0, 30.0, -100.0)))
        if nonfinite and values.size:
            place = draw(st.integers(0, values.size - 1))
            values.flat[place] = draw(st.sampled_from((np.nan, np.inf, -np.inf)))
        values = values.astype(target)
    return values.reshape(shape)


def _draw_inverse(draw: st.DrawFn, cell: Cell, shape: tuple[int, ...]) -> Array:
    """Preprocessed images of pixels from -64 to 319, at least 0.1 from a rounding tie."""
    rows = _draw_bytes(draw, int(np.prod(shape[:-1], dtype=np.int64)))
    stretch = draw(st.sampled_from((1.0, 1.5)))
    pixels = np.rint((rows - 128.0) * stretch) + 128.0 + (rows % 7 - 3.0) * draw(st.sampled_from((0.0, 0.1)))
    values, _ = oracle.real(pixels, "forward", cell.mode)
    return values.astype(dtype_of(cell.dtype)).reshape(shape)
