"""Checks that need no oracle: what must hold between the outputs for related inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.cases import PLACES, SQUARES, Case, Cell, from_format, panel, to_format
from vggprep.checks.check import check
from vggprep.checks.findings import Finding
from vggprep.checks.subject import Skipped, Subject
from vggprep.oracle import input_channels
from vggprep.spec import DATA_FORMATS, RANKS, DataFormat, Direction

Array = npt.NDArray[Any]


@check("forward", "inverse", clauses=["VP-FORMAT-1"])
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
    _skip_if_recompiling(subject, cell)
    if not others:
        raise Skipped("only one data format and rank is accepted: there is nothing to compare with")
    squares = SQUARES[:2] if subject.implementation.compiled else SQUARES
    for height, width in squares:
        mine = _case(direction, cell, height, width)
        x, output = _image(mine, mine.array()), subject.output(mine)
        findings = []
        for other in others:
            theirs = _case(direction, other, height, width)
            twin = subject.run(theirs).output
            if twin is None or twin.shape != theirs.array_shape:
                continue
            about = {"height": height, "width": width, "data_format": other.data_format, "rank": other.rank}
            findings.append(
                subject.disagreement("layout", mine, x, _image(mine, output), _image(theirs, twin), **about)
            )
        # Which to blame? A cell that disagrees with all others; of two, the one further from a channels_last batch.
        if findings and all(findings) and (len(findings) > 1 or _blame_order(cell) > _blame_order(others[0])):
            yield findings[0]
    yield None
    if cell.rank == 4 and not subject.implementation.compiled:
        yield from _batch_of_three(subject, cell, direction)


def _offers(subject: Subject, direction: Direction, data_format: DataFormat) -> bool:
    """Whether the data format can be asked for; images with a side of 3 fit a function for the other one, too."""
    claimed = subject.implementation.data_formats
    if claimed is not None:
        return data_format in claimed
    return data_format == "channels_last" or subject.takes(direction, "data_format")


def _skip_if_recompiling(subject: Subject, cell: Cell) -> None:
    if subject.implementation.compiled and cell.dtype not in ("uint8", "float32"):
        raise Skipped("it compiles for every shape: this is tried on uint8 and float32 only")


def _blame_order(cell: Cell) -> tuple[int, int]:
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
    if cell.data_format == "channels_last":
        return
    case = Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", (3, 3, 3, 3))
    partner = cell._replace(data_format="channels_last")
    if not (_offers(subject, direction, "channels_last") and subject.accepts(direction, partner)):
        return
    x, mine = (from_format(z, case.data_format) for z in (case.array(), subject.output(case)))
    twin = subject.run(replace(case, data_format="channels_last")).output
    if twin is not None and twin.shape == case.shape:
        yield subject.disagreement("batch_of_three", case, x, mine, twin)


@check("forward", "inverse", clauses=["VP-IMAGE-1"])
def batch_consistency(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Each image of a batch gets the result it gets alone."""
    if cell.rank != 4:
        return
    _skip_if_recompiling(subject, cell)
    cases: list[tuple[Case, tuple[int, ...]]] = [(panel(direction, cell), (0, 1))]
    if not subject.implementation.compiled:
        many = replace(panel(direction, cell), shape=PLACES[4][-1])
        cases.append((many, (1, 17, 32)))
    for case, chosen in cases:
        yield from _images_alone(subject, case, chosen)


def _images_alone(subject: Subject, case: Case, chosen: tuple[int, ...]) -> Iterator[Finding | None]:
    direction, cell = case.direction, case.cell
    array, together = case.array(), subject.output(case)
    for n in chosen:
        one = array[n : n + 1].copy()
        alone = subject.usable(case, subject.try_input(direction, one, cell.mode, cell.data_format), one.shape)
        x, a, b = (from_format(z, cell.data_format) for z in (one, together[n : n + 1], alone))
        yield subject.disagreement("batch", case, x, a, b, image=n, images=len(array))


def _result_for(subject: Subject, case: Case, image: Array) -> Array:
    """The output for another image of the shape of the case, both channels last. Raises ``Unusable``."""
    array = np.ascontiguousarray(to_format(image, case.data_format))
    outcome = subject.try_input(case.direction, array, case.mode, case.data_format)
    return from_format(subject.usable(case, outcome, array.shape), case.data_format)


@check("forward", "inverse", clauses=["VP-IMAGE-2"])
def pixel_equivariance(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Rearranging pixels rearranges the results: no pixel's result depends on its position or its neighbours."""
    case = panel(direction, cell)
    image, output = case.values(), from_format(subject.output(case), cell.data_format)
    # A permutation without fixed points that mixes rows, columns and images.
    order = (np.arange(image.size // 3) * 77 + 13) % (image.size // 3)
    moved = image.reshape(-1, 3)[order].reshape(image.shape)
    expected = output.reshape(-1, 3)[order].reshape(image.shape)
    yield subject.disagreement("permutation", case, moved, _result_for(subject, case, moved), expected)


@check("forward", "inverse", clauses=["VP-IMAGE-3"])
def channel_independence(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Changing one input channel changes its own output channel and no other."""
    case = panel(direction, cell)
    image, before = case.values(), from_format(subject.output(case), cell.data_format)
    reads = input_channels(direction, cell.mode)
    for channel in range(3):
        changed = image.copy()
        changed[..., channel] = image[..., channel].reshape(-1)[::-1].reshape(image.shape[:-1])
        after = _result_for(subject, case, changed)
        own = reads.index(channel)
        expected = before.copy()
        expected[..., own] = after[..., own]
        name = "RGB"[channel] if direction == "forward" else f"channel {channel}"
        yield subject.disagreement("channels", case, changed, after, expected, channel=name, own=own)
