"""What a kernel is asked to do, and how the work is cut into tiles. Imports NumPy and the spec only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.spec import Direction, Mode

Array = npt.NDArray[Any]
Constants = tuple[float, float, float]
Step = tuple[str, Constants]
"""The name of a NumPy ufunc (divide, subtract, multiply or add) and its second operand for each channel."""

Tile = tuple[slice, slice, slice]
"""Images, rows and columns: what ``job.source[tile]`` and ``job.target[tile]`` have in common."""

_INVERTED = {"divide": "multiply", "multiply": "divide", "subtract": "add", "add": "subtract"}

KEPT, REVERSED = (0, 1, 2), (2, 1, 0)
"""The orders of channels that come up most."""


class Job(NamedTuple):
    """``target`` from ``source``, both seen as ``(N, H, W, 3)`` whatever the data format.

    First the channels of each pixel are put in ``order``, which gives for each channel of ``target`` the one of
    ``source``; then follow ``steps``: elementary operations in the dtype ``computed``, each with one constant for each
    channel of ``target``. If ``target`` has another dtype,
    the result is cast to it, by way of rounding and saturating to 0..255 if that is an integer dtype.

    ``interleaved``: memory runs through the channels first (channels last), otherwise through one plane after the
    other. ``contiguous``: so it does in ``source``, too; adjacent axes are then merged into ``W``.
    """

    source: Array
    target: Array
    interleaved: bool
    contiguous: bool
    caller_owns_target: bool
    order: tuple[int, int, int]
    steps: tuple[Step, ...]
    computed: np.dtype[Any]

    @property
    def to_pixels(self) -> bool:
        """Whether the result is rounded and saturated: floats become integers, which only the inverse does."""
        return self.computed.kind == "f" and self.target.dtype.kind in "iu"


def make_job(
    direction: Direction,
    x: Array,
    mode: Mode,
    axis: int,
    computed: np.dtype[Any],
    out: Array,
    caller_owns_out: bool,
) -> Job:
    """The job of filling ``out``, C-contiguous, from ``x`` of the same shape, with the channels on axis ``axis``."""
    contiguous = x.flags.c_contiguous
    order, steps = plan(direction, mode)
    return Job(
        source=_four_axes(x, axis, contiguous),
        target=_four_axes(out, axis, contiguous),
        interleaved=axis == x.ndim - 1,
        contiguous=contiguous,
        caller_owns_target=caller_owns_out,
        order=order,
        steps=steps,
        computed=computed,
    )


@cache
def plan(direction: Direction, mode: Mode) -> tuple[tuple[int, int, int], tuple[Step, ...]]:
    """The ``order`` and ``steps`` of a job."""
    steps: list[Step] = []
    for step in mode.steps:
        first, second, third = map(float, step.constants)
        steps.append((step.operation, (first, second, third)))
    if direction == "forward":
        return mode.order, tuple(steps)
    # Out of the preprocessed order into that of the image.
    red, green, blue = (mode.order.index(channel) for channel in range(3))
    return (red, green, blue), tuple((_INVERTED[name], (c[red], c[green], c[blue])) for name, c in reversed(steps))


def _four_axes(array: Array, axis: int, merge: bool) -> Array:
    """A view of shape ``(N, H, W, 3)``; with ``merge``, of ``(1, 1, N*H*W, 3)`` or, in planes, ``(N, 1, H*W, 3)``."""
    batch = array if array.ndim == 4 else array[np.newaxis]
    if axis == array.ndim - 1:
        return batch.reshape(1, 1, -1, 3) if merge else batch
    if merge:
        images, _, rows, columns = batch.shape
        batch = batch.reshape(images, 3, 1, rows * columns)
    return batch.transpose(0, 2, 3, 1)


def share_memory(a: Array, b: Array) -> bool:
    """Whether two arrays share memory, or it would take long to know."""
    try:
        return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type]  # any number will do
    except np.exceptions.TooHardError:
        return True


def tiles(shape: tuple[int, ...], limit: int) -> list[Tile]:
    """Cut ``(N, H, W)`` into tiles of similar size, at most ``limit`` pixels each.

    A tile is whole images, or else whole rows of one image, or else part of a row: contiguous in C order.
    """
    images, rows, columns = shape[:3]
    if 0 < images * rows * columns <= limit:
        return [(slice(0, images), slice(0, rows), slice(0, columns))]
    if rows * columns <= limit:
        per_tile = (limit // max(1, rows * columns), rows, columns)
    elif columns <= limit:
        per_tile = (1, limit // columns, columns)
    else:
        per_tile = (1, 1, limit)
    return list(product(_pieces(images, per_tile[0]), _pieces(rows, per_tile[1]), _pieces(columns, per_tile[2])))


def _pieces(length: int, limit: int) -> list[slice]:
    count = -(-length // max(1, limit))
    return [slice(index * length // count, (index + 1) * length // count) for index in range(count)]


def split(fill: Callable[[slice], None], length: int, threads: int) -> None:
    """Call ``fill`` on at most ``threads`` slices that together cover ``range(length)``, each in a thread."""
    if threads == 1 or length < 2:
        fill(slice(0, length))
        return
    first, *others = _pieces(length, -(-length // min(threads, length)))
    # The caller's thread takes a share: one thread less to start.
    with ThreadPoolExecutor(max_workers=len(others)) as pool:
        futures = [pool.submit(fill, part) for part in others]
        fill(first)
        for future in futures:
            future.result()
