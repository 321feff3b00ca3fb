"""Checks of everything but the numbers: shapes, aliasing, memory layouts, sizes, state, threads and errors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.cases import (
    LAYOUTS,
    SMALL_SIZES,
    Case,
    Cell,
    from_format,
    has_layout,
    layout_regime,
    panel,
    regimes,
    size_cases,
    to_format,
)
from vggprep.checks.check import check
from vggprep.checks.subject import Finding, Skipped, Subject, canonical_bytes
from vggprep.implementations.callables import Outcome, keywords
from vggprep.oracle import Direction
from vggprep.spec import DATA_FORMATS, MODES

Array = npt.NDArray[Any]


@check("forward", "inverse")
def shape_and_dtype(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The result is an array of the input's shape, in the dtype that belongs to the input's."""
    shapes: tuple[tuple[int, ...], ...] = (panel(direction, cell).shape,)
    if not subject.implementation.compiled:
        shapes += ((1, 1, 3), (2, 1, 3)) if cell.rank == 3 else ((1, 1, 1, 3), (1, 5, 4, 3), (3, 1, 2, 3))
    for shape in shapes:
        case = Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", shape)
        outcome = subject.run(case)
        finding = subject.unusable(case, case.array(), outcome)
        if finding is not None:
            yield finding
            continue
        assert outcome.output is not None
        wrong = subject.wrong_dtype(case, outcome.output)
        if wrong is not None:
            got = from_format(outcome.output, cell.data_format)
            yield Finding(direction, cell, wrong, case, x=case.values(), got=got)
        yield None


@check("forward", "inverse")
def purity(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The caller's array is left as it was (or, where writing to float input is declared, becomes the result)."""
    case = panel(direction, cell)
    outcome = subject.run(case)
    may_write = subject.implementation.writes_input and direction == "forward" and case.array().dtype.kind == "f"
    prefix = "inverse: " if direction == "inverse" else ""
    if outcome.changed_input and not may_write:
        yield Finding(direction, cell, f"{prefix}overwrites the caller's array", case)
    elif outcome.changed_input:
        # Keras: tf and torch return the array itself, caffe a view of it with the channels reversed.
        after, output = outcome.input_after, outcome.output
        assert after is not None
        channel = 2 if cell.data_format == "channels_last" else 0
        channel += cell.rank - 3
        seen = np.flip(after, channel) if MODES[cell.mode].order != (0, 1, 2) else after
        if output is None or not outcome.shares_input or canonical_bytes(seen) != canonical_bytes(output):
            yield Finding(
                direction, cell, "overwrites the caller's array with something else than the result it returns", case
            )
    # It must not hang on to an array and write to it later, either.
    kept = case.array()
    subject.call(direction, kept, cell.mode, cell.data_format)
    before = kept.tobytes()
    for regime in ("bytes", "noise" if direction == "inverse" else "dark"):
        if regime in regimes(direction, cell.dtype):
            other = panel(direction, cell, regime)
            subject.call(direction, other.array(), cell.mode, cell.data_format)
    if kept.tobytes() != before:
        yield Finding(direction, cell, f"{prefix}keeps the caller's array and writes to it in a later call", case)
    yield None


@check("forward", "inverse")
def fresh_output(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """A result is the caller's own: no later call changes it, and it is not the input."""
    case = panel(direction, cell)
    prefix = "inverse: " if direction == "inverse" else ""
    outcome = subject.run(case)
    finding = subject.unusable(case, case.array(), outcome)
    if finding is not None:
        yield finding
        return
    implementation = subject.implementation
    if outcome.shares_input and not implementation.writes_input and not implementation.native_only:
        what = (
            "the caller's array itself" if outcome.returned is outcome.input_after else "a view of the caller's array"
        )
        yield Finding(direction, cell, f"{prefix}returns {what}", case)
    first = subject.call(direction, case.array(), cell.mode, cell.data_format)
    if not isinstance(first.returned, np.ndarray) or first.output is None:
        return
    before = canonical_bytes(first.output)
    image = case.values()
    changed = np.ascontiguousarray(to_format(image[..., ::-1, :], cell.data_format)).copy()
    subject.call(direction, changed, cell.mode, cell.data_format)
    if canonical_bytes(np.asarray(first.returned)) != before:
        yield Finding(direction, cell, f"{prefix}a later call changes the result of an earlier one", case)
    yield None


@check("forward", "inverse")
def memory_layouts(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The layout of the input in memory changes no bit of the result."""
    for layout in LAYOUTS[1:-1]:
        yield _same_bits(subject, cell, direction, layout)


@check("forward", "inverse")
def byte_order(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Big-endian input gives the bits of native input."""
    if has_layout(cell.dtype, "big_endian"):
        yield _same_bits(subject, cell, direction, "big_endian")


def _same_bits(subject: Subject, cell: Cell, direction: Direction, layout: str) -> Finding | None:
    if subject.implementation.native_only:
        raise Skipped("it is only ever given native, contiguous arrays")
    case = panel(direction, cell, layout_regime(cell, layout, direction), layout)
    array = case.array()
    outcome = subject.run(case)
    may_refuse = subject.implementation.writes_input and not array.flags.writeable and array.dtype.kind == "f"
    if outcome.refusal is not None and may_refuse:
        return None
    finding = subject.unusable(case, array, outcome)
    if finding is not None:
        return finding
    plain = subject.call(
        direction, np.array(array, array.dtype.newbyteorder("="), order="C"), cell.mode, cell.data_format
    )
    if plain.output is None or plain.output.shape != array.shape:
        return subject.unusable(panel(direction, cell, case.regime), array, plain)
    assert outcome.output is not None
    if canonical_bytes(plain.output) == canonical_bytes(outcome.output):
        return None
    x, got, expected = (from_format(a, cell.data_format) for a in (array, outcome.output, plain.output))
    message = f"{layout} layout gives other bits than a C-ordered copy of the same values"
    found = subject.disagreement(case, x.astype(x.dtype.newbyteorder("=")), got, expected, message)
    prefix = "inverse: " if direction == "inverse" else ""
    return found or Finding(direction, cell, f"{prefix}{message} (in rounding only)", case)


@check("forward", "inverse")
def sizes(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Any number of pixels will do: none, the lengths around vectors and blocks, and the large."""
    compiled = subject.implementation.compiled
    if compiled and (cell.dtype != "float32" or cell.rank != 4):
        raise Skipped("it compiles for every shape: sizes are tried on float32 batches only")
    for case in size_cases(direction, cell, few=compiled):
        if subject.implementation.serial and cell.rank == 3 and case.shape[1] > SMALL_SIZES[-1]:
            continue  # every byte goes through a pipe: the large sizes are tried on batches
        yield subject.judge(case)


@check("forward", "inverse")
def determinism(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The same input gives the same bits, whatever was called before."""
    case = panel(direction, cell)
    first = subject.run(case)
    if first.output is None:
        yield subject.unusable(case, case.array(), first)
        return
    for mode in MODES:
        for data_format in DATA_FORMATS if subject.takes(direction, "data_format") else (cell.data_format,):
            other = panel(direction, cell._replace(mode=mode, data_format=data_format))
            if subject.takes(direction, "mode") or mode == cell.mode:
                subject.call(direction, other.array(), mode, data_format)
    array = case.array()
    again = subject.call(direction, array.copy(), cell.mode, cell.data_format)
    finding = subject.unusable(case, array, again)
    if finding is not None or again.output is None:
        yield finding
    elif canonical_bytes(again.output) != canonical_bytes(first.output):
        x, got, expected = (from_format(a, cell.data_format) for a in (array, again.output, first.output))
        message = "the same input gives other bits after calls in other modes"
        prefix = "inverse: " if direction == "inverse" else ""
        found = subject.disagreement(case, x, got, expected, message)
        yield found or Finding(direction, cell, f"{prefix}{message} (in rounding only)", case)
    else:
        yield None


_THREADS = 4
_ROUNDS = 3


@check("forward", "inverse")
def threads(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Calls from several threads at once give the bits of calls one after the other."""
    if cell.dtype not in ("uint8", "float32"):
        return
    if subject.implementation.serial:
        raise Skipped("it answers one call at a time")
    case = panel(direction, cell)
    image = case.values()
    arrays = [
        np.ascontiguousarray(to_format(np.roll(image, n, axis=-2), cell.data_format)).copy() for n in range(_THREADS)
    ]
    serial = [subject.call(direction, a.copy(), cell.mode, cell.data_format) for a in arrays]
    for array, outcome in zip(arrays, serial, strict=True):
        finding = subject.unusable(case, array, outcome)
        if finding is not None:
            yield finding
            return
    function = subject.function(direction)
    assert function is not None
    words = keywords(function, cell.mode, cell.data_format)
    start = Barrier(_THREADS)

    def work(n: int) -> list[Any]:
        results = []
        for _ in range(_ROUNDS):
            mine = arrays[n].copy()
            start.wait()
            results.append(function(mine, **words))
        return results

    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(work, n) for n in range(_THREADS)]
        for n, future in enumerate(futures):
            yield _compare_thread(subject, case, future.exception(), future, arrays[n], serial[n])


def _compare_thread(
    subject: Subject, case: Case, error: BaseException | None, future: Any, array: Array, serial: Outcome
) -> Finding | None:
    prefix = "inverse: " if case.direction == "inverse" else ""
    if error is not None:
        return Finding(case.direction, case.cell, f"{prefix}raises when called from several threads: {error!r}", case)
    assert serial.output is not None
    for result in future.result():
        same = isinstance(result, np.ndarray) and canonical_bytes(result) == canonical_bytes(serial.output)
        if not same:
            return Finding(
                case.direction, case.cell, f"{prefix}calls from several threads at once disturb each other", case
            )
    return None


UNKNOWN = "no_such_name"


@check("forward", "inverse")
def errors(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """An unknown mode or data format is an error, and a fourth channel is not dropped without a word."""
    if cell.dtype != "float32":
        return
    prefix = "inverse: " if direction == "inverse" else ""
    image = panel(direction, cell).values()[..., :2, :2, :]
    array = np.ascontiguousarray(to_format(image, cell.data_format))
    for keyword, mode, data_format in (("mode", UNKNOWN, cell.data_format), ("data_format", cell.mode, UNKNOWN)):
        if not subject.takes(direction, keyword):
            continue
        outcome = subject.call(direction, array.copy(), mode, data_format)
        if outcome.refusal is None:
            message = f"{prefix}accepts {keyword}={UNKNOWN!r} without an error"
            yield Finding(direction, cell, message, given=(array, mode, data_format))
    four = np.concatenate([image, image[..., :1]], axis=-1)
    array = np.ascontiguousarray(to_format(four, cell.data_format))
    outcome = subject.call(direction, array.copy(), cell.mode, cell.data_format)
    if outcome.output is not None and outcome.output.size < array.size:
        message = (
            f"{prefix}drops the fourth channel of an RGBA image without an error: shape {array.shape} becomes "
            f"{outcome.output.shape}"
        )
        yield Finding(direction, cell, message, given=(array, cell.mode, cell.data_format))
    yield None
