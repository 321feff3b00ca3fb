"""What is measured: tasks, their arrays, and the verdict on a result.

Imports NumPy and vggprep only. The verdict is the oracle's, on the same array that is timed afterwards.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import from_format, to_format
from vggprep.field.setup import MODES, Array, Setup
from vggprep.spec import DATA_FORMATS, DIRECTIONS, DataFormat, Direction, ModeName

SIDE = 224
PAIRS = 3 * 256
IMAGE_AXES: dict[DataFormat, tuple[int, int]] = {"channels_last": (1, 2), "channels_first": (2, 3)}

IMAGES = (1, 8, 64, 256)
LARGE = 512
OUTPUTS = ("fresh", "reused")
DTYPES: dict[Direction, tuple[str, ...]] = {"forward": ("uint8", "float32", "float16"), "inverse": ("float32",)}
"""Dtypes of the input. Forward gives float32, and float16 for float16; the inverse uint8."""


@dataclass(frozen=True)
class Task:
    """One thing to do: a number of images of 224x224 in one direction, mode and data format.

    ``output``: ``"fresh"``, a new array each time, or ``"reused"``, the caller's. ``reading``: the result is then read
    from one end to the other, as a consumer would, so that the cost of a view or of a lazy result is counted.
    ``cropped``: the input is the middle of larger images, a view whose rows are apart in memory.
    """

    direction: Direction = "forward"
    mode: ModeName = "caffe"
    data_format: DataFormat = "channels_last"
    dtype: str = "uint8"
    images: int = 64
    output: str = "fresh"
    threads: int = 1
    reading: bool = False
    cropped: bool = False

    @property
    def name(self) -> str:
        """The task's name in ids, groups and tables."""
        words = (self.direction, self.mode, self.data_format, self.dtype, self.images, self.output)
        return "-".join(map(str, words)) + f"-{self.threads}thread" + "-read" * self.reading + "-cropped" * self.cropped

    @property
    def setup(self) -> Setup:
        """What an implementation is built for."""
        return Setup(self.direction, self.mode, self.data_format, self.threads)

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """The dtype of vggprep's result."""
        return np.dtype({"inverse": "uint8"}.get(self.direction, "float16" if self.dtype == "float16" else "float32"))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of input and result."""
        n = self.images
        return (n, SIDE, SIDE, 3) if self.data_format == "channels_last" else (n, 3, SIDE, SIDE)

    @property
    def elements(self) -> int:
        """How many numbers there are in input and result."""
        return self.images * SIDE * SIDE * 3

    @property
    def nbytes(self) -> int:
        """The minimum of memory traffic: the input once, the result once."""
        return self.elements * (np.dtype(self.dtype).itemsize + self.result_dtype.itemsize)


def usual_tasks(threads: tuple[int, ...], large: bool) -> list[Task]:
    """One axis varied at a time, for 64 images in each mode: what ``pytest benchmarks`` runs."""
    found: list[Task] = []
    least, *more = threads
    for mode in MODES:
        base = Task(mode=mode, threads=least)
        found += [
            base,
            replace(base, output="reused"),
            replace(base, reading=True),
            replace(base, data_format="channels_first"),
            replace(base, dtype="float32"),
            replace(base, dtype="float16"),
            replace(base, cropped=True),
            replace(base, images=1),
        ]
        found += [replace(base, output="reused", threads=n) for n in more]
        inverse = replace(base, direction="inverse", dtype="float32")
        found += [inverse, replace(inverse, output="reused")]
    # The curve over batch sizes, in one mode.
    caffe = Task(threads=least)
    for count in (*IMAGES, LARGE) if large else IMAGES:
        found += [replace(caffe, images=count), replace(caffe, images=count, output="reused")]
    return list(dict.fromkeys(found))


def all_tasks(threads: tuple[int, ...], large: bool) -> list[Task]:
    """The full grid."""
    counts = (*IMAGES, LARGE) if large else IMAGES
    return [
        Task(direction, *rest)
        for direction in DIRECTIONS
        for rest in itertools.product(
            MODES, DATA_FORMATS, DTYPES[direction], counts, OUTPUTS, threads, (False, True), (False, True)
        )
    ]


class Arrays:
    """The images of a task: ``pixels``, channels last; ``x``, the input; ``pristine``, what it has to hold."""

    def __init__(self, task: Task) -> None:
        self.task = task
        shape = (task.images, SIDE, SIDE, 3)
        self.pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        if task.direction == "forward":
            image = self.pixels.astype(task.dtype, copy=False)
        else:
            # The oracle's values: no implementation has a part in what the inverse is given.
            table = _forward_of_bytes(task.mode).astype(task.dtype)
            image = np.empty(shape, task.dtype)
            for k, source in enumerate(oracle.input_channels("forward", task.mode)):
                image[..., k] = table[:, k][self.pixels[..., source]]
        self.pristine = np.ascontiguousarray(to_format(image, task.data_format))
        self.x = _in_the_middle(self.pristine, task.data_format) if task.cropped else self.pristine.copy()

    @cached_property
    def changed(self) -> Array:
        """A buffer for ``is_changed``."""
        return np.empty(self.x.shape, np.bool_)

    def is_changed(self) -> bool:
        """Whether the input was written to."""
        return bool(np.not_equal(self.x, self.pristine, out=self.changed).any())

    def restore(self) -> None:
        """Undo changes of the input."""
        np.copyto(self.x, self.pristine)


def _in_the_middle(images: Array, data_format: DataFormat) -> Array:
    """The same images as a view of larger ones, 16 pixels to each side."""
    rim = [(16, 16) if axis in IMAGE_AXES[data_format] else (0, 0) for axis in range(4)]
    inside = tuple(slice(before, -after if after else None) for before, after in rim)
    return np.pad(images, rim)[inside]


@dataclass(frozen=True)
class Verdict:
    """The verdict on an output. ``label``: ``exact``, ``faithful`` or how many of the 768 pairs are wrong.

    A pair is a channel and a byte. A pair is wrong where the output fails the level ``faithful``.
    """

    label: str
    pairs_wrong: int

    @property
    def ok(self) -> bool:
        """Whether a speed means anything."""
        return self.pairs_wrong == 0


def judge(arrays: Arrays, output: Any) -> Verdict:
    """Judge every element of an output by the oracle."""
    task = arrays.task
    if not isinstance(output, np.ndarray) or output.shape != task.shape:
        what = f"shape {output.shape}" if isinstance(output, np.ndarray) else f"a {type(output).__name__}"
        return Verdict(f"{PAIRS} of {PAIRS} wrong: returns {what}", PAIRS)
    if output.dtype.kind not in "fiu":
        return Verdict(f"{PAIRS} of {PAIRS} wrong: returns {output.dtype}", PAIRS)
    whole = output.dtype.kind in "iu" and task.direction == "inverse"
    unrounded = "" if whole or task.direction == "forward" else ", unrounded"
    least, most = _extremes(arrays, from_format(output, task.data_format))
    expected = output.dtype == task.result_dtype
    narrow = not expected and (output.dtype.kind in "iu" or output.dtype == np.float16) and not whole
    if narrow:
        least, most = least.astype(np.float32), most.astype(np.float32)
    given = (_bytes() if task.direction == "forward" else _forward_of_bytes(task.mode)).astype(task.dtype)
    if (whole or expected or output.dtype == np.float32) and all(
        tolerance.compare_exact(given, rows, task.direction, task.mode).ok for rows in (least, most)
    ):
        return Verdict(f"exact{unrounded}", 0)
    wrong = np.zeros((256, 3), np.bool_)
    for rows in (least, most):
        wrong |= tolerance.compare_faithful(given, rows, task.direction, task.mode).wrong
    count = int(wrong.sum())
    if count:
        return Verdict(f"{count} of {PAIRS} wrong" + (f": returns {output.dtype}" if narrow else ""), count)
    return Verdict(f"faithful{unrounded}", 0)


def _bytes() -> Array:
    """Every byte in every channel, shape ``(256, 3)``."""
    return np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)


def _forward_of_bytes(mode: ModeName) -> Array:
    return oracle.exact(_bytes().astype(np.float32), "forward", mode)


def _extremes(arrays: Arrays, got: Array) -> tuple[Array, Array]:
    """The least and the greatest result that each pair has anywhere, each of shape ``(256, 3)``."""
    task, pixels = arrays.task, arrays.pixels
    sources = oracle.input_channels("forward", task.mode) if task.direction == "forward" else [0, 1, 2]
    least = np.empty((256, 3), got.dtype.newbyteorder("="))
    for k, source in enumerate(sources):
        least[pixels[..., source], k] = got[..., k]  # any one of them
    most = least.copy()
    for k, source in enumerate(sources):
        byte, values = pixels[..., source], got[..., k]
        if not np.array_equal(least[:, k][byte], values):
            # The same byte came out in several ways (or as NaN, which both of these keep).
            np.minimum.at(least[:, k], byte.reshape(-1), values.reshape(-1))
            np.maximum.at(most[:, k], byte.reshape(-1), values.reshape(-1))
    return least, most
