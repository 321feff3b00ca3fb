"""The modes' arithmetic in plain NumPy, in blocks that stay in the cache, most of it inside the output itself.

Whole-array operations are bound by memory: each of them reads and writes everything again. The operations are
those of ``reference.py``, so the bits are. Imports NumPy only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vggprep.kernels.job import KEPT, REVERSED, Array, Job, Step, Tile, plan, split, tiles
from vggprep.spec import Direction, Mode

_BLOCK_BYTES = 3 << 17
"""Size of a block, 32768 pixels in float32: the block, a table of constants and the input share an L2 cache."""

_BYTE, _HALF = np.dtype(np.uint8), np.dtype(np.float16)
_PATTERNS = 1 << 16
"""How many float16 values there are."""

_WORTH_TABLES = 1 << 17
"""Elements from which looking float16 values up beats computing, which NumPy does one by one.

The tables cost as much as this many elements computed, but once for many calls.
"""


_NOTHING = np.empty(0, np.uint8)

Operations = tuple[tuple[np.ufunc, Array], ...]


def run(job: Job, threads: int) -> bool:
    """Fill ``job.target``. Returns whether the source held a NaN that has no pixel value."""
    limit = _block_pixels(job.computed)
    if job.target.size <= 6 * limit and _are_equal(job.steps):
        limit *= 2  # nothing but the image needs the cache, and a second block costs more than it saves
    pixels = job.target.size // 3
    if _is_one_stretch(job):
        size = 3 * -(-pixels // max(1, -(-pixels // limit)))
        pieces: Sequence[Any] = range(0, job.target.size, size) if size else ()
        fill: Callable[[Job, Sequence[Any], int], bool] = _stretch
    else:
        pieces, size = tiles(job.target.shape, limit), 3 * min(limit, pixels)
        fill = _interleaved if job.interleaved else _planes
    if len(pieces) == 1 or threads == 1:
        with contextlib.nullcontext() if _is_tame(job) else np.errstate(all="ignore"):
            return fill(job, pieces, size)
    found_nan = []

    def fill_some(part: slice) -> None:
        with np.errstate(all="ignore"):  # here, because each thread has its own
            found_nan.append(fill(job, pieces[part], size))

    split(fill_some, len(pieces), threads)
    return any(found_nan)


FEW_ELEMENTS = 1 << 11
"""Up to here ``run_few`` is faster than ``run``: the calls take longer than the arithmetic."""


def run_few(direction: Direction, x: Array, mode: Mode, axis: int, computed: np.dtype[Any], target: Array) -> bool:
    """Fill ``target`` from the few pixels of ``x``, as ``run`` does a job: in one piece, with the fewest calls."""
    channels, operations = _whole(direction, mode, axis - x.ndim, computed)
    y = target if target.dtype == computed else np.empty(x.shape, computed)
    with np.errstate(all="ignore"):
        np.copyto(y, x if channels is None else x[channels], casting="unsafe")
        for operate, operand in operations:
            operate(y, operand, out=y)
        if y is target:
            return False
        found_nan = False
        if computed.kind == "f" and target.dtype.kind in "iu":
            np.rint(y, out=y)
            np.maximum(y, 0, out=y)
            np.minimum(y, 255, out=y)
            total = y.sum()  # NaN if anything is
            found_nan = bool(total != total)
        np.copyto(target, y, casting="unsafe")
    return found_nan


@lru_cache(maxsize=64)
def _whole(
    direction: Direction, mode: Mode, axis: int, computed: np.dtype[Any]
) -> tuple[tuple[Any, ...] | None, Operations]:
    """How to index an array with its channels on ``axis`` (-1 or -3) for their order, and the steps on all of it."""
    order, steps = plan(direction, mode)
    reordered = slice(None, None, -1) if order == REVERSED else list(order)
    channels = None if order == KEPT else (..., reordered, *[slice(None)] * (-1 - axis))
    shape = (3,) + (1,) * (-1 - axis)
    return channels, tuple((getattr(np, name), np.array(c).astype(computed).reshape(shape)) for name, c in steps)


@lru_cache(maxsize=64)
def _are_equal(steps: tuple[Step, ...]) -> bool:
    """Whether each step does the same to every channel."""
    return all(first == second == third for _, (first, second, third) in steps)


def _is_tame(job: Job) -> bool:
    """Whether there is no warning to silence: bytes neither overflow nor are they NaN."""
    return job.source.dtype == _BYTE and job.computed != _HALF and _are_tame(job.steps)


@lru_cache(maxsize=64)
def _are_tame(steps: tuple[Step, ...]) -> bool:
    """Whether the constants are too near to 1, and the steps too few, for bytes to overflow or vanish in float32."""
    return len(steps) <= 3 and all(not c or 1e-9 < abs(c) < 1e9 for _, constants in steps for c in constants)


def _is_one_stretch(job: Job) -> bool:
    """Whether source and target are pixel after pixel in memory, with channels that need no strided copy."""
    bytes_swapped = job.order == REVERSED and 1 in (job.source.itemsize, job.target.itemsize)
    return job.interleaved and job.contiguous and job.computed != _HALF and (job.order == KEPT or bytes_swapped)


def _stretch(job: Job, starts: Sequence[int], size: int) -> bool:
    """Fill ``size`` elements from each of ``starts`` on: one axis, and as few calls for each block as there can be."""
    source, target = job.source.reshape(-1), job.target.reshape(-1)
    # Bytes are cheaper to swap than anything else, be it before or after.
    swap_first = job.order == REVERSED and job.source.itemsize == 1
    swap_last = job.order == REVERSED and not swap_first
    operations = _operations(job.steps, (2, 1, 0) if swap_last else (0, 1, 2), job.computed)
    work = None if job.target.dtype == job.computed else np.empty(size, job.computed)
    swapped = np.empty(size, np.uint8) if swap_first else _NOTHING
    spare = np.empty(size, np.uint8) if swap_first or swap_last else _NOTHING
    found_nan = False
    for start in starts:
        x, y = source[start : start + size], target[start : start + size]
        if swap_first:
            _swap_bytes(x, swapped, spare)
            x = swapped[: x.size].view(x.dtype)
        found_nan |= _compute(job, x, y, [(operate, c[: y.size] if c.ndim else c) for operate, c in operations], work)
        if swap_last:
            _swap_bytes(y, y, spare)
    return found_nan


def _block_pixels(computed: np.dtype[Any]) -> int:
    # Float16 is looked up by way of integers of eight bytes.
    return _BLOCK_BYTES // (3 * (8 if computed == _HALF else max(4, computed.itemsize)))


def _planes(job: Job, blocks: Sequence[Tile], size: int) -> bool:
    """Fill blocks, of at most ``size`` elements, of an array with the channels first, plane by plane."""
    tables, pixels = _half_tables(job), size // 3
    work = None if job.target.dtype == job.computed else np.empty(pixels, job.computed)
    indices = None if tables is None else np.empty(pixels, np.intp)
    found_nan = False
    for channel in range(3):
        operations = _operations(job.steps, (channel,) * 3, job.computed)
        for block in blocks:
            source = job.source[block][..., job.order[channel]]
            target = job.target[block][..., channel]
            if tables is None or indices is None:
                found_nan |= _compute(job, source, target, operations, work)
            else:
                found_nan |= _look_up(job, source, target, tables[channel], 0, indices, work)
    return found_nan


def _interleaved(job: Job, blocks: Sequence[Tile], size: int) -> bool:
    """Fill blocks, of at most ``size`` elements, of an array with the channels last, in any layout and order."""
    operations = _operations(job.steps, (0, 1, 2), job.computed)
    tables = _half_tables(job)
    work = None if job.target.dtype == job.computed else np.empty(size, job.computed)
    indices = None if tables is None else np.empty(size, np.intp)
    offsets = None
    if tables is not None:
        offsets = _pattern(0, _PATTERNS, 2 * _PATTERNS, "intp", _block_pixels(_HALF))
    found_nan = False
    for block in blocks:
        source, target = job.source[block], job.target[block]
        n, shape = target.size, target.shape
        if job.order != KEPT:
            permuted = target if work is None else work[:n].reshape(shape)
            for channel in range(3):
                np.copyto(permuted[..., channel], source[..., job.order[channel]], casting="unsafe")
            source = permuted
        if tables is None or indices is None or offsets is None:
            cut = [(operate, c[:n].reshape(shape) if c.ndim else c) for operate, c in operations]
            found_nan |= _compute(job, source, target, cut, work)
        else:
            found_nan |= _look_up(job, source, target, tables.reshape(-1), offsets[:n].reshape(shape), indices, work)
    return found_nan


@lru_cache(maxsize=48)
def _operations(steps: tuple[Step, ...], channels: tuple[int, int, int], computed: np.dtype[Any]) -> Operations:
    """The steps for an array that runs through these channels; the operands are 0-d where the channels agree.

    Kept from call to call, for making a block of constants takes longer than using it.
    """
    operations = []
    for name, constants in steps:
        first, second, third = (constants[channel] for channel in channels)
        operand = np.array([first, second, third]).astype(computed)  # by way of float64, like the reference
        operand = operand[0].reshape(()) if first == second == third else np.tile(operand, _block_pixels(computed))
        operations.append((getattr(np, name), operand))
    return tuple(operations)


@lru_cache(maxsize=4)
def _pattern(first: int, second: int, third: int, dtype: str, pixels: int) -> Array:
    """Three integers, ``pixels`` times."""
    return np.tile(np.array([first, second, third], dtype), pixels)


def _compute(
    job: Job, source: Array, target: Array, operations: Sequence[tuple[np.ufunc, Array]], work: Array | None
) -> bool:
    """``target`` from ``source``, channels in order. Returns whether there was a NaN that has no pixel value."""
    y = target if work is None else work[: target.size].reshape(target.shape)
    values = source
    # The first operation casts by itself, one pass less, unless its operand is an array: then a copy is faster.
    if source is not y and (not operations or (source.dtype != job.computed and operations[0][1].ndim)):
        np.copyto(y, source, casting="unsafe")
        values = y
    for operate, operand in operations:
        operate(values, operand, out=y, dtype=job.computed, casting="unsafe")
        values = y
    if y is target:
        return False
    found_nan = False
    if job.to_pixels:
        np.rint(y, out=y)
        np.clip(y, 0, 255, out=y)
        found_nan = bool(np.isnan(y.min()))  # the cheapest test that finds a NaN
    np.copyto(target, y, casting="unsafe")
    return found_nan


def _swap_bytes(source: Array, target: Array, spare: Array) -> None:
    """Exchange the first and the third byte of each pixel; one axis, ``target`` may be ``source`` or longer.

    Four operations on whole arrays, which run at 64 bytes an instruction; a strided copy moves one byte at a time.
    """
    x, y = source.view(np.uint8), target[: source.size].view(np.uint8)
    difference = spare[: x.size - 2]
    np.bitwise_xor(x[:-2], x[2:], out=difference)
    np.bitwise_and(difference, _pattern(255, 0, 0, "uint8", _BLOCK_BYTES // 6)[: difference.size], out=difference)
    y[-2:] = x[-2:]
    np.bitwise_xor(x[:-2], difference, out=y[:-2])
    np.bitwise_xor(y[2:], difference, out=y[2:])


def _look_up(
    job: Job, source: Array, target: Array, table: Array, offset: Array | int, indices: Array, work: Array | None
) -> bool:
    """``target`` from ``source`` through a table with a row for each float16. Returns as ``_compute`` does."""
    half = source
    if source.dtype != _HALF:
        half = target if work is None else work[: target.size].reshape(target.shape)
        if source is not half:
            np.copyto(half, source, casting="unsafe")
    index = indices[: target.size].reshape(target.shape)
    np.copyto(index, half.view(np.uint16))
    if isinstance(offset, np.ndarray):
        np.add(index, offset, out=index)
    found_nan = job.to_pixels and bool(np.isnan(half).any())
    if target.dtype == table.dtype and target.flags.c_contiguous:
        np.take(table, index, out=target, mode="clip")  # any mode but "raise" writes to out without a copy
    else:
        np.copyto(target, np.take(table, index), casting="unsafe")
    return found_nan


def _half_tables(job: Job) -> Array | None:
    """For each channel the result for every float16, or None where that is not possible or not worth it."""
    if job.computed != _HALF or not job.steps or job.target.size < _WORTH_TABLES:
        return None
    return _every_half(job.steps, job.to_pixels)


@lru_cache(maxsize=4)
def _every_half(steps: tuple[Step, ...], to_pixels: bool) -> Array:
    """A table of shape ``(3, 65536)``, indexed by channel and bit pattern; float16, or bytes (NaN is any byte)."""
    patterns = np.arange(_PATTERNS, dtype=np.uint16).view(_HALF)
    table = np.empty((3, _PATTERNS), _HALF)
    for channel, row in enumerate(table):
        row[:] = patterns
        for name, constants in steps:
            getattr(np, name)(row, np.float64(constants[channel]).astype(_HALF), out=row)
    if to_pixels:
        return np.clip(np.rint(np.nan_to_num(table, nan=0.0, posinf=np.inf, neginf=-np.inf)), 0, 255).astype(np.uint8)
    table.setflags(write=False)
    return table
