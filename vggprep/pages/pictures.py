"""What a function does to three ramps and to one small image: measured by calling it, to be drawn.

Errors are signed, in grey levels. Imports NumPy and what judges; nothing that draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Case, Cell, dtype_of, from_format
from vggprep.checks.findings import Deviation, Finding
from vggprep.checks.subject import Subject
from vggprep.conformance.results import Result
from vggprep.conformance.words import FOLLOWS, OF_VALUES, predicate
from vggprep.implementations import Implementation
from vggprep.spec import DATA_FORMATS, RANKS, Direction, ModeName

Bytes = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
Drawn = TypeVar("Drawn")

_OTHERS = (200, 120, 40)
"""What red, green and blue are while another channel rises: apart, so that a channel taken for another shows."""


@dataclass(frozen=True, eq=False)
class Image:
    """What came out for one small image.

    ``original``, ``came``, ``expected``: uint8, shape (height, width, 3): the image, what came out and what should
    have; of a forward function, the latter two carried back to colours by the mode's exact inverse. ``errors``: shape
    (height, width), the largest magnitude of each pixel. ``wrong`` of ``size`` values are. ``worst``: of the worst
    pixel, the three numbers that went in, came out and should have.
    """

    original: Bytes
    came: Bytes
    expected: Bytes
    errors: Float64
    wrong: int
    size: int
    worst: tuple[Sequence[float], Sequence[float], Sequence[float]]


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a function did in one cell; ``None`` for what came out right.

    ``ramps``: shape (3, 256), the error of red, green and blue where that channel of the image is 0, 1, ..., 255.
    """

    direction: Direction
    cell: Cell
    ramps: Float64 | None
    image: Image | None


def measure(implementation: Implementation, group: Sequence[Result]) -> Pictures | str | None:
    """What the function does in a cell of a cause; or why there is no picture; ``None`` if it is not about values.

    ``group``: results of one cause, the most telling first.
    """
    told = [r for r in group if r.diagnosis == group[0].diagnosis and r.finding in OF_VALUES | FOLLOWS]
    able = [r for r in told if r.dtype not in ("bool", "int8")]
    if not told:
        return None
    if not able:
        return f"No picture: {told[0].dtype} does not hold all bytes."
    first = min(able, key=lambda r: ("uint8", "float32", r.dtype).index(r.dtype))
    subject = Subject(implementation)
    with np.errstate(all="ignore"):
        ramps = _drawn(subject, first, _ramps(), _errors_of_ramps)
        image = _drawn(subject, first, scene(), _image)
    for made in (ramps, image):
        if isinstance(made, Finding):
            return f"No picture: in {first.cell}, it {predicate(made)}."
    if ramps is None and image is None:
        return f"No picture: in {first.cell}, ramps of all bytes and a small image of bytes come out right."
    assert not isinstance(ramps, Finding)
    assert not isinstance(image, Finding)
    return Pictures(first.direction, first.cell, ramps, image)


def _drawn(
    subject: Subject, result: Result, image: Bytes, draw: Callable[[Direction, ModeName, Bytes, Deviation], Drawn]
) -> Drawn | Finding | None:
    """What to draw of the output for a uint8 image, for an inverse of what the mode makes of it; ``None`` if right."""
    array = image if result.direction == "forward" else oracle.exact(image, "forward", result.mode)
    array = np.ascontiguousarray(array, dtype_of(result.dtype))[(None,) * (result.rank - 3)]
    cell = result.mode, result.data_format, result.dtype
    case = Case(result.direction, *cell, "c", "drawn", array.shape, array.tobytes())
    found, _ = subject.verdict(case, subject.run(case))
    if found is None or found.deviation is None:
        # A wrong dtype is no wrong value.
        return None if found is None or found.kind.startswith("dtype") else found
    deviation = replace(
        found.deviation,
        x=found.deviation.x.reshape(image.shape),
        got=oracle.as_float64(found.deviation.got).reshape(image.shape),
        expected=found.deviation.expected.reshape(image.shape),
    )
    return draw(result.direction, result.mode, image, deviation)


def _ramps() -> Bytes:
    """Shape (48, 16, 3): 16 lines in which red rises from 0 to 255, 16 in which green does, 16 in which blue does."""
    ramps = np.empty((3, 256, 3), np.uint8)
    ramps[...] = _OTHERS
    for channel in range(3):
        ramps[channel, :, channel] = np.arange(256)
    return ramps.reshape(48, 16, 3)


def scene(side: int = 32) -> Bytes:
    """A landscape, shape (side, side, 3): colours that differ in each channel, black and white among them."""
    y, x = np.mgrid[:side, :side] * 32 // side
    image = np.stack([60 + 4 * y, 130 + 3 * y, 235 - y], axis=-1)
    image[(x - 24) ** 2 + (y - 7) ** 2 <= 16] = 255, 214, 64
    hill = y > 20 + (x - 10) ** 2 // 40
    image[hill] = np.stack([30 + 3 * x, 150 - 2 * y, 40 + x], axis=-1)[hill]
    image[(abs(x - 9) <= 4) & (y >= 15) & (y <= 24)] = 200, 60, 50
    image[(abs(x - 9) <= 15 - y + 5) & (y >= 10) & (y < 15) & (abs(x - 9) <= y - 9)] = 90, 30, 110
    image[(abs(x - 7) <= 1) & (abs(y - 18) <= 1)] = 255
    image[(abs(x - 11) <= 1) & (y >= 19) & (y <= 24)] = 0
    return image.astype(np.uint8)


def _signed(direction: Direction, mode: ModeName, deviation: Deviation) -> Float64:
    """Errors in grey levels, by the channels of the image."""
    error = deviation.got - deviation.expected
    if direction == "inverse":
        return error
    levels = error * oracle.grey_levels(mode)
    return levels[..., [target for _, _, target in sorted(oracle.routes("forward", mode), key=lambda r: r.source)]]


def _errors_of_ramps(direction: Direction, mode: ModeName, image: Bytes, deviation: Deviation) -> Float64:
    errors = _signed(direction, mode, deviation).reshape(3, 256, 3)
    return np.stack([errors[channel, :, channel] for channel in range(3)])


def _image(direction: Direction, mode: ModeName, image: Bytes, deviation: Deviation) -> Image:
    def seen(values: Float64) -> Bytes:
        colours = oracle.real(values, "inverse", mode)[0] if direction == "forward" else values
        return oracle.pixels(np.nan_to_num(colours)).astype(np.uint8)

    errors = np.abs(_signed(direction, mode, deviation)).max(axis=-1)
    worst = np.unravel_index(int(np.nan_to_num(errors, nan=np.inf).argmax()), errors.shape)
    pixels = tuple(a[worst].tolist() for a in (deviation.x, deviation.got, deviation.expected))
    came, expected = seen(deviation.got), seen(deviation.expected)
    return Image(image, came, expected, errors, deviation.wrong, image.size, pixels)


def transfer(implementation: Implementation, mode: ModeName | None, dtype: str) -> tuple[Case, Float64] | None:
    """What comes out as each channel of an image rises from 0 to 255: shape (3, 256, 3), by input, then output channel.

    In the first data format and rank that give an array of the input's shape; ``None`` if none does. ``mode``: what to
    ask for, if the function takes a mode.
    """
    direction: Direction = "forward" if implementation.preprocess is not None else "inverse"
    subject = Subject(implementation)
    for data_format, rank in product(implementation.data_formats or DATA_FORMATS, implementation.ranks or RANKS):
        array = np.ascontiguousarray(_ramps(), dtype_of(dtype))[(None,) * (rank - 3)]
        cell = mode or "identity", data_format, dtype
        case = Case(direction, *cell, "c", "drawn", array.shape, array.tobytes())
        output = subject.run(case).output
        if output is not None and output.shape == case.array_shape:
            return case, oracle.as_float64(from_format(output, data_format)).reshape(3, 256, 3)
    return None
