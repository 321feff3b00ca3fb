"""Checks of everything but the numbers: shapes, aliasing, memory layouts, sizes, state, threads and errors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.cases import (
    LARGE,
    SMALL_SIZES,
    Case,
    Cell,
    available_dtypes,
    from_format,
    layout_cases,
    panel,
    regimes,
    size_cases,
    to_format,
)
from vggprep.checks.check import check
from vggprep.checks.subject import Finding, Skipped, Subject, canonical_bytes
from vggprep.implementations.callables import Outcome, keywords, quiet
from vggprep.spec import DATA_FORMATS, MODES, Direction

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
    for other in (*_elsewhere(subject, cell, direction), case):
        may_write = subject.implementation.writes_input and direction == "forward" and other.array().dtype.kind == "f"
        if subject.run(other).changed_input and not may_write:
            case, outcome = other, subject.run(other)  # the panel, if it shows there, is the plainest
    may_write = subject.implementation.writes_input and direction == "forward" and case.array().dtype.kind == "f"
    prefix = "inverse: " if direction == "inverse" else ""
    if outcome.changed_input and not may_write:
        yield Finding(direction, cell, f"{prefix}overwrites the caller's array", case, hint="# x has changed")
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
            later = panel(direction, cell, regime)
            subject.call(direction, later.array(), cell.mode, cell.data_format)
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
    if not implementation.writes_input and not implementation.native_only:
        for other in (*_elsewhere(subject, cell, direction), case):
            if subject.run(other).shares_input:
                case, outcome = other, subject.run(other)
        if outcome.shares_input:
            itself = outcome.returned is outcome.input_after
            what = "the caller's array itself" if itself else "a view of the caller's array"
            yield Finding(direction, cell, f"{prefix}returns {what}", case, hint="# the result shares memory with x")
    for case in _small_and_large(subject, cell, direction):
        first = subject.call(direction, case.array(), cell.mode, cell.data_format)
        if not isinstance(first.returned, np.ndarray) or first.output is None:
            continue
        before = first.output.tobytes()
        image = case.values()
        changed = np.ascontiguousarray(to_format(image[..., ::-1, :], cell.data_format)).copy()
        subject.call(direction, changed, cell.mode, cell.data_format)
        after = np.asarray(first.returned, first.output.dtype)
        if np.ascontiguousarray(after).tobytes() != before:
            hint = "# keep this result, call with another image, and look at it again: it has changed"
            message = f"{prefix}a later call changes the result of an earlier one"
            yield Finding(direction, cell, message, case, hint=hint)
    yield None


def _small_and_large(subject: Subject, cell: Cell, direction: Direction) -> list[Case]:
    """The panel, and for batches in uint8 and float32 one that is large enough for blocks and buffers."""
    small = panel(direction, cell)
    if subject.implementation.compiled or cell.rank == 3 or cell.dtype not in ("uint8", "float32"):
        return [small]
    return [small, replace(small, shape=LARGE)]


def _elsewhere(subject: Subject, cell: Cell, direction: Direction) -> list[Case]:
    """Cases in other layouts and sizes, where a copy that protects the caller's array may not be made."""
    if subject.implementation.native_only:
        return []
    layouts = [case for case in layout_cases(direction, cell) if case.layout not in ("zero", "readonly")]
    one = replace(panel(direction, cell), shape=(*panel(direction, cell).shape[:-3], 5, 7, 3))
    return [one, *layouts]


def _tried_on(subject: Subject, cell: Cell, direction: Direction) -> bool:
    """Whether a dear check is run in this cell: uint8 and float32, or what is accepted in place of both."""
    accepted = [
        dtype
        for dtype in ("uint8", "float32", *available_dtypes())
        if subject.accepts_quietly(direction, cell._replace(dtype=dtype))
    ]
    usual = [dtype for dtype in accepted if dtype in ("uint8", "float32")]
    return cell.dtype in (usual or accepted[:1])


@check("forward", "inverse")
def memory_layouts(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The layout of the input in memory changes no bit of the result."""
    for case in layout_cases(direction, cell):
        if case.layout != "big_endian":
            yield _same_bits(subject, case)


@check("forward", "inverse")
def byte_order(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Big-endian input gives the bits of native input."""
    for case in layout_cases(direction, cell):
        if case.layout == "big_endian":
            yield _same_bits(subject, case)


def _same_bits(subject: Subject, case: Case) -> Finding | None:
    if subject.implementation.native_only:
        raise Skipped("it is only ever given native, contiguous arrays")
    direction, cell = case.direction, case.cell
    if direction == "inverse" and case.regime == "nonfinite" and subject.returns_pixels(cell):
        return None  # pixels cannot hold NaN
    array = case.array()
    outcome = subject.run(case)
    may_refuse = subject.implementation.writes_input and not array.flags.writeable and array.dtype.kind == "f"
    if outcome.refusal is not None and may_refuse:
        return None
    if outcome.refusal is not None and case.layout == "big_endian":
        raise Skipped(f"refuses big-endian input, as it may a dtype: {outcome.refusal}")
    finding = subject.unusable(case, array, outcome)
    if finding is not None:
        return finding
    if case.layout == "zero":  # one row for all
        copied = np.array(array, array.dtype.newbyteorder("="), order="C")
        plain = subject.call(direction, copied, cell.mode, cell.data_format)
    else:
        plain = subject.run(replace(case, layout="c"))
    if plain.output is None or plain.output.shape != array.shape:
        return subject.unusable(panel(direction, cell, case.regime), array, plain)
    assert outcome.output is not None
    if canonical_bytes(plain.output) == canonical_bytes(outcome.output):
        return None
    x, got, expected = (from_format(a, cell.data_format) for a in (array, outcome.output, plain.output))
    message = f"{case.layout} layout gives other bits than a C-ordered copy of the same values"
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
        yield _middle_changed(subject, case)


def _middle_changed(subject: Subject, case: Case) -> Finding | None:
    """Judge an image that differs from the panel in the middle only: a result kept by shape or by corners is stale."""
    image = case.values().reshape(-1, 3)
    image[100:160] = image[100:160, ::-1][::-1]
    other = replace(case, regime="drawn", pixels=image.tobytes())
    array = other.array()
    outcome = subject.call(case.direction, array.copy(), case.mode, case.data_format)
    levels = subject.levels
    before, after = subject.judge(case), subject.judge(other, array, outcome)
    subject.levels = levels  # how far off it is, other checks tell
    return after if before is None else None


_THREADS = 4
_ROUNDS = 3


@check("forward", "inverse")
def threads(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Calls from several threads at once give the bits of calls one after the other."""
    if not _tried_on(subject, cell, direction):
        return
    if subject.implementation.serial:
        raise Skipped("it answers one call at a time")
    for case in _small_and_large(subject, cell, direction):
        yield from _in_threads(subject, case)


def _in_threads(subject: Subject, case: Case) -> Iterator[Finding | None]:
    direction, cell = case.direction, case.cell
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
        try:
            for _ in range(_ROUNDS):
                mine = arrays[n].copy()
                start.wait()
                results.append(function(mine, **words))
        except BaseException:
            start.abort()  # or the others would wait for this one for ever
            raise
        return results

    with quiet(), ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(work, n) for n in range(_THREADS)]
    for n, future in enumerate(futures):
        error = future.exception()
        if not isinstance(error, BrokenBarrierError):
            yield _compare_thread(subject, case, error, future, arrays[n], serial[n])


def _compare_thread(
    subject: Subject, case: Case, error: BaseException | None, future: Any, array: Array, serial: Outcome
) -> Finding | None:
    prefix = "inverse: " if case.direction == "inverse" else ""
    if error is not None:
        return Finding(case.direction, case.cell, f"{prefix}raises when called from several threads: {error!r}", case)
    assert serial.output is not None
    for result in future.result():
        same = isinstance(result, np.ndarray) and np.array_equal(
            np.asarray(result, serial.output.dtype), serial.output, equal_nan=True
        )
        if not same:
            return Finding(
                case.direction, case.cell, f"{prefix}calls from several threads at once disturb each other", case
            )
    return None


UNKNOWN = "no_such_name"


@check("forward", "inverse")
def errors(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """An unknown mode or data format is an error, and a fourth channel is not dropped without a word."""
    if not _tried_on(subject, cell, direction):
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
