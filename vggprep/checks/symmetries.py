"""Checks that need no oracle: what must hold between the outputs for related inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.cases import SQUARES, Case, Cell, from_format, panel, to_format
from vggprep.checks.check import check
from vggprep.checks.subject import Finding, Skipped, Subject
from vggprep.oracle import sources
from vggprep.spec import DATA_FORMATS, RANKS, DataFormat, Direction

Array = npt.NDArray[Any]


@check("forward", "inverse")
def layout_equivariance(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """channels_first gives the transposed result of channels_last, and one image the result of a batch of one."""
    others = [
        other
        for rank in reversed(RANKS)
        for data_format in DATA_FORMATS
        if (other := cell._replace(data_format=data_format, rank=rank)) != cell
        and _offers(subject, direction, data_format)
        and subject.accepts(direction, other)
    ]
    _affordable(subject, cell)
    if not others:
        raise Skipped("only one data format and rank is accepted: there is nothing to compare with")
    squares = SQUARES[:2] if subject.implementation.compiled else SQUARES
    for height, width in squares:
        mine = _case(direction, cell, height, width)
        finding = subject.unusable(mine, mine.array(), subject.run(mine))
        if finding is not None:
            yield finding
            continue
        x, output = _image(mine, mine.array()), subject.run(mine).output
        assert output is not None
        findings = []
        for other in others:
            theirs = _case(direction, other, height, width)
            twin = subject.run(theirs).output
            if twin is None or twin.shape != theirs.array().shape:
                continue
            message = (
                f"{height} by {width} pixels: differs from {other.data_format}, rank {other.rank}, for the same image"
            )
            findings.append(subject.disagreement(mine, x, _image(mine, output), _image(theirs, twin), message))
        # Who is to blame? A cell that stands alone against all; of two, the one further from a channels_last batch.
        if findings and all(findings) and (len(findings) > 1 or _rank_of_trust(cell) > _rank_of_trust(others[0])):
            yield findings[0]
    yield None
    if cell.rank == 4 and not subject.implementation.compiled:
        yield from _batch_of_three(subject, cell, direction)


def _offers(subject: Subject, direction: Direction, data_format: DataFormat) -> bool:
    """Whether the data format can be asked for; images with a side of 3 fit a function for the other one too."""
    claimed = subject.implementation.data_formats
    if claimed is None:
        claimed = DATA_FORMATS if subject.takes(direction, "data_format") else ("channels_last",)
    return data_format in claimed


def _affordable(subject: Subject, cell: Cell) -> None:
    if subject.implementation.compiled and cell.dtype not in ("uint8", "float32"):
        raise Skipped("it compiles for every shape: this is tried on uint8 and float32 only")


def _rank_of_trust(cell: Cell) -> tuple[int, int]:
    return DATA_FORMATS.index(cell.data_format), -cell.rank


def _case(direction: Direction, cell: Cell, height: int, width: int) -> Case:
    shape = (height, width, 3) if cell.rank == 3 else (1, height, width, 3)
    return Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", shape)


def _image(case: Case, array: Array) -> Array:
    """One image, channels last, whatever the rank."""
    image = from_format(array, case.data_format)
    return image if case.rank == 3 else image[0]


def _batch_of_three(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """A batch whose every axis is 3: nothing but the data format says where the channels are."""
    case = Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", (3, 3, 3, 3))
    if len(DATA_FORMATS) < 2 or cell.data_format == "channels_last":
        return
    partner = cell._replace(data_format="channels_last")
    if not (_offers(subject, direction, "channels_last") and subject.accepts(direction, partner)):
        return
    finding = subject.unusable(case, case.array(), subject.run(case))
    twin = subject.run(replace(case, data_format="channels_last")).output
    mine = subject.run(case).output
    if finding is not None:
        yield finding
    elif mine is not None and twin is not None and twin.shape == case.shape:
        x = from_format(case.array(), case.data_format)
        message = "3 images of 3 by 3 pixels: differs from channels_last for the same images"
        yield subject.disagreement(case, x, from_format(mine, case.data_format), twin, message)


@check("forward", "inverse")
def batch_consistency(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Each image of a batch gets the result it gets alone."""
    if cell.rank != 4:
        return
    _affordable(subject, cell)
    case = panel(direction, cell)
    array = case.array()
    finding = subject.unusable(case, array, subject.run(case))
    if finding is not None:
        yield finding
        return
    together = subject.run(case).output
    assert together is not None
    for n in range(len(array)):
        one = array[n : n + 1].copy()
        alone = subject.call(direction, one.copy(), cell.mode, cell.data_format)
        finding = subject.unusable(case, one, alone)
        if finding is not None:
            yield finding
            continue
        assert alone.output is not None
        x, a, b = (from_format(z, cell.data_format) for z in (one, together[n : n + 1], alone.output))
        yield subject.disagreement(case, x, a, b, f"image {n} of a batch of {len(array)} differs from the image alone")


def _related(
    subject: Subject, cell: Cell, direction: Direction, image: Array
) -> tuple[Case, Array | None, Array | None, Finding | None]:
    """The panel's output, that of a related image of the same shape, and the finding if there is no such pair."""
    case = panel(direction, cell)
    first = subject.run(case)
    finding = subject.unusable(case, case.array(), first)
    if finding is not None or first.output is None:
        return case, None, None, finding
    array = np.ascontiguousarray(to_format(image, cell.data_format))
    second = subject.call(direction, array.copy(), cell.mode, cell.data_format)
    finding = subject.unusable(case, array, second)
    if finding is not None or second.output is None:
        return case, None, None, finding
    return case, from_format(first.output, cell.data_format), from_format(second.output, cell.data_format), None


@check("forward", "inverse")
def pixel_equivariance(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Moving the pixels about moves the results about: no pixel's result depends on its place or its neighbours."""
    image = panel(direction, cell).values()
    # A permutation without fixed points that mixes rows, columns and images.
    order = (np.arange(image.size // 3) * 77 + 13) % (image.size // 3)
    moved = image.reshape(-1, 3)[order].reshape(image.shape)
    case, first, second, finding = _related(subject, cell, direction, moved)
    if first is None or second is None:
        yield finding
        return
    expected = first.reshape(-1, 3)[order].reshape(image.shape)
    yield subject.disagreement(
        case, moved, second, expected, "a pixel's result changes when the pixels are moved about"
    )


@check("forward", "inverse")
def channel_independence(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Changing one input channel changes its own output channel and no other."""
    image = panel(direction, cell).values()
    reads = sources(direction, cell.mode)
    for channel in range(3):
        changed = image.copy()
        changed[..., channel] = image[..., channel].reshape(-1)[::-1].reshape(image.shape[:-1])
        case, before, after, finding = _related(subject, cell, direction, changed)
        if before is None or after is None:
            yield finding
            return
        own = reads.index(channel)
        expected = before.copy()
        expected[..., own] = after[..., own]
        name = "RGB"[channel] if direction == "forward" else f"channel {channel}"
        message = f"changing {name} changes outputs other than channel {own}"
        yield subject.disagreement(case, changed, after, expected, message)
