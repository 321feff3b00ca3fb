"""Checks of everything but the numbers: shapes, aliasing, memory layouts, sizes, state, threads and errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.cases import (
    LARGE,
    SMALL_SIZES,
    SPREAD,
    SQUARES,
    USUAL,
    Case,
    Cell,
    available_dtypes,
    dtype_of,
    from_format,
    largest,
    layout_cases,
    mixed_cases,
    panel,
    regimes,
    size_cases,
    to_format,
)
from vggprep.checks.check import check
from vggprep.checks.findings import Arguments, Finding, Kind
from vggprep.checks.subject import Skipped, Subject, same_bits
from vggprep.implementations.callables import Call, Outcome, Raised, Together, parameters
from vggprep.spec import DATA_FORMATS, MODES, Direction, definition

Array = npt.NDArray[Any]


@check("forward", "inverse", clauses=("VP-RESULT-1", "VP-RESULT-2", "VP-DTYPE-1", "VP-DTYPE-2", "VP-DTYPE-3"))
def shape_and_dtype(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The result is an array of the input's shape, in the dtype that belongs to the input's."""
    shapes: tuple[tuple[int, ...], ...] = (panel(direction, cell).shape,)
    if not subject.implementation.compiled:
        shapes += ((1, 1, 3), (2, 1, 3)) if cell.rank == 3 else ((1, 1, 1, 3), (1, 5, 4, 3), (3, 1, 2, 3))
    for shape in shapes:
        case = Case(direction, cell.mode, cell.data_format, cell.dtype, "c", "bytes", shape)
        subject.output(case)
        yield subject.wrong_dtype(case, subject.run(case))


@check("forward", "inverse", clauses=("VP-INPUT-1", "VP-INPUT-2", "VP-INPUT-3"))
def purity(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The caller's array is left as it was (or, where writing to float input is declared, becomes the result)."""
    may_write = subject.implementation.writes_input and direction == "forward"
    floating = dtype_of(cell.dtype).kind == "f"
    case = panel(direction, cell)
    for other in (*_elsewhere(subject, cell, direction), case):
        if subject.effects(other).changed_input and not (may_write and floating):
            case = other  # the panel, if it shows there, is the plainest
    outcome = subject.run(case)
    if outcome.changed_input and not (may_write and floating):
        yield Finding("mutation", direction, cell, case, outcome=outcome)
    elif outcome.changed_input:
        # Keras: tf and torch return the array itself, caffe a view of it with the channels reversed.
        assert outcome.input_after is not None
        channel = cell.rank - (1 if cell.data_format == "channels_last" else 3)
        seen = np.take(outcome.input_after, definition(cell.mode).order, axis=channel)
        output = outcome.output
        if output is None or not outcome.shares_input or not same_bits(seen, output):
            yield Finding("other_write", direction, cell, case, outcome=outcome)
    # It must not keep an array and write to it later, either.
    kept = subject.call(direction, case.array(), cell.mode, cell.data_format, keep=True)
    before = subject.now(direction, kept)[0].tobytes()
    for regime in ("bytes", "noise" if direction == "inverse" else "dark"):
        if regime in regimes(direction, cell.dtype):
            later = panel(direction, cell, regime)
            subject.call(direction, later.array(), cell.mode, cell.data_format)
    if subject.now(direction, kept)[0].tobytes() != before:
        yield Finding("late_write", direction, cell, case, outcome=outcome)
    yield None


@check("forward", "inverse", clauses=("VP-OUTPUT-1", "VP-OUTPUT-2"))
def fresh_output(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """A result is the caller's own: no later call changes it, and it is not the input."""
    case = panel(direction, cell)
    subject.output(case)
    implementation = subject.implementation
    if not implementation.writes_input and not implementation.native_only:
        for other in (*_elsewhere(subject, cell, direction), case):
            if subject.effects(other).shares_input:
                case = other
        outcome = subject.run(case)
        if outcome.shares_input and _is_passed_through(subject, cell, direction):
            subject.remarks.add("returns the caller's array itself, as Keras's models that preprocess inside do")
        elif outcome.shares_input:
            kind: Kind = "input_returned" if outcome.returns_input else "view_returned"
            yield Finding(kind, direction, cell, case, outcome=outcome)
    tried = _small_and_large(subject, cell, direction)
    photograph = cell.dtype == "float32" and not subject.implementation.serial
    if photograph and len(tried) > 1 and _in_first_format(subject, cell, direction):
        tried.append(largest(direction, cell))  # a photograph, for buffers of whole images
    for case in tried:
        first = subject.call(direction, case.array(), cell.mode, cell.data_format, keep=True)
        if first.output is None:
            continue
        before = first.output.tobytes()
        changed = _of(case, case.values()[..., ::-1, :])
        # Buffers may be used in turn: many are looked for in the usual dtypes and one data format, elsewhere two.
        many = cell.dtype in USUAL and case == tried[0] and _in_first_format(subject, cell, direction)
        many = many and not subject.implementation.serial
        for _ in range(_LATER_CALLS if many else 2):
            subject.call(direction, changed.copy(), cell.mode, cell.data_format)
        after = subject.now(direction, first)[1]
        if after is None or after.tobytes() != before:
            yield Finding("overwritten_result", direction, cell, case, outcome=first)
    yield None


_LATER_CALLS = 40


def _is_passed_through(subject: Subject, cell: Cell, direction: Direction) -> bool:
    """Whether nothing is to be done: it is all that the function does, so it may hand on any array in any layout."""
    return cell.mode == "identity" and not subject.takes(direction, "mode")


def _of(case: Case, image: Array) -> Array:
    """Another image of the shape of the case, which is channels last, as an input of its own."""
    return np.ascontiguousarray(to_format(image, case.data_format)).copy()


def _small_and_large(subject: Subject, cell: Cell, direction: Direction) -> list[Case]:
    """The panel, and for batches in uint8 and float32 one that is large enough for blocks and buffers."""
    small = panel(direction, cell)
    if subject.implementation.compiled or cell.rank == 3 or cell.dtype not in USUAL:
        return [small]
    return [small, replace(small, shape=LARGE)]


def _in_first_format(subject: Subject, cell: Cell, direction: Direction) -> bool:
    """Whether there is no other data format to prefer where one is enough."""
    last = cell._replace(data_format="channels_last")
    return cell == last or not subject.covers(direction, last)


def _elsewhere(subject: Subject, cell: Cell, direction: Direction) -> list[Case]:
    """Cases in other layouts and sizes, where a copy that protects the caller's array may be missing."""
    if subject.implementation.native_only:
        return []
    layouts = [case for case in layout_cases(direction, cell) if case.layout not in (*SPREAD, "readonly")]
    one = replace(panel(direction, cell), shape=(*panel(direction, cell).shape[:-3], 5, 7, 3))
    return [largest(direction, cell), one, *layouts]


def _runs_expensive_checks(subject: Subject, cell: Cell, direction: Direction) -> bool:
    """Whether an expensive check runs in this cell: uint8 and float32, or the first accepted dtype if neither is."""
    accepted = [
        dtype for dtype in (*USUAL, *available_dtypes()) if subject.accepts(direction, cell._replace(dtype=dtype))
    ]
    usual = [dtype for dtype in accepted if dtype in USUAL]
    return cell.dtype in (usual or accepted[:1])


@check("forward", "inverse", clauses=("VP-MEMORY-1", "VP-REFUSE-1"))
def memory_layouts(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The layout of the input in memory changes no bit of the result."""
    for case in (*layout_cases(direction, cell), *mixed_cases(direction, cell)):
        if case.layout not in ("c", "big_endian"):
            yield _same_bits(subject, case)


@check("forward", "inverse", clauses=["VP-MEMORY-2"])
def byte_order(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Big-endian input gives the bits of native input."""
    for case in (*layout_cases(direction, cell), *mixed_cases(direction, cell)):
        if case.layout == "big_endian":
            yield _same_bits(subject, case)


def _same_bits(subject: Subject, case: Case) -> Finding | None:
    if subject.implementation.native_only:
        raise Skipped("it is only ever given native, contiguous arrays")
    direction, cell = case.direction, case.cell
    if direction == "inverse" and case.regime == "nonfinite" and subject.returns_pixels(cell):
        return None  # pixels cannot hold NaN
    outcome = subject.run(case)
    if outcome.refusal is not None:
        array = case.array()
        if subject.implementation.writes_input and not array.flags.writeable and array.dtype.kind == "f":
            return None
        if case.layout == "big_endian":
            raise Skipped(f"refuses big-endian input, as it may refuse a dtype: {outcome.refusal}")
    if (finding := subject.unusable(case, outcome, case.array_shape)) is not None:
        return finding  # not raised: the other layouts are tried, too
    got = subject.usable(case, outcome, case.array_shape)
    contiguous = replace(case, layout="c")
    plain = (
        subject.try_input(direction, np.ascontiguousarray(case.array()), cell.mode, cell.data_format)
        if case.layout in SPREAD
        else subject.run(contiguous)
    )
    expected = subject.usable(contiguous, plain, case.array_shape)
    if same_bits(expected, got):
        return None
    array = case.array()
    x, got, expected = (from_format(a, cell.data_format) for a in (array, got, expected))
    x = x.astype(x.dtype.newbyteorder("="))
    found = subject.disagreement("memory_layout", case, x, got, expected, layout=case.layout)
    return found or Finding("memory_layout", direction, cell, case, outcome=outcome, about={"layout": case.layout})


@check("forward", "inverse", clauses=("VP-SIZE-1", "VP-REFUSE-1"))
def sizes(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Any number of pixels is accepted: none, the lengths around vectors and blocks, and the large."""
    compiled = subject.implementation.compiled
    if compiled and (cell.dtype != "float32" or cell.rank != 4):
        raise Skipped("it compiles for every shape: sizes are tried on float32 batches only")
    for case in size_cases(direction, cell, few=compiled):
        long = cell.rank == 3 and case.shape[1] > SMALL_SIZES[-1]
        if subject.implementation.serial and (long or case == largest(direction, cell)):
            continue  # every byte goes through a pipe: the large sizes are tried on some batches
        yield subject.judge(case)
    for case in () if compiled else mixed_cases(direction, cell):
        pixels = direction == "inverse" and subject.returns_pixels(cell)
        if not (pixels and case.regime == "nonfinite"):
            yield subject.judge(replace(case, layout="c"))


@check("forward", "inverse", clauses=("VP-STATE-1", "VP-STATE-2"))
def determinism(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The same input gives the same bits, whatever was called before."""
    case = panel(direction, cell)
    first = subject.output(case)
    for mode in dict.fromkeys((*MODES, cell.mode)):
        for data_format in DATA_FORMATS if subject.takes(direction, "data_format") else (cell.data_format,):
            other = panel(direction, cell._replace(mode=mode, data_format=data_format))
            if subject.takes(direction, "mode") or mode == cell.mode:
                subject.call(direction, other.array(), mode, data_format)
    outcome = subject.call(direction, case.array(), cell.mode, cell.data_format)
    again = subject.usable(case, outcome, case.array_shape)
    if not same_bits(again, first):
        array = case.array()
        x, got, expected = (from_format(a, cell.data_format) for a in (array, again, first))
        found = subject.disagreement("state", case, x, got, expected)
        yield found or Finding("state", direction, cell, case, outcome=outcome)
    else:
        yield _refilled(subject, case)
        yield _middle_changed(subject, case)


def _refilled(subject: Subject, case: Case) -> Finding | None:
    """The finding if an array that is filled anew, as a camera's buffer is, gets the result that it had before."""
    earlier = subject.call(case.direction, case.array(), case.mode, case.data_format, keep=True)
    other = _of(case, case.values()[..., ::-1, :])
    later = subject.call_again(case.direction, earlier, other, case.mode, case.data_format)
    return _stale(
        subject, case, earlier, later, "an array that was filled with other values", np.ones(case.shape, np.bool_)
    )


_MIDDLES = {3: (24, 32, 3), 4: (2, 12, 32, 3)}


def _middle_changed(subject: Subject, case: Case) -> Finding | None:
    """The finding if an image that differs in the middle only gets the result of the earlier one.

    A result kept by shape, by corners, by a part of the bytes or by the abridged text of the array is stale then.
    """
    shape = LARGE[-case.rank :] if case.dtype in USUAL else _MIDDLES[case.rank]
    larger = case if subject.implementation.compiled else replace(case, shape=shape)
    image = larger.values()
    other = image.copy()
    # Two neighbours change places, so that sums stay, too.
    row, column = image.shape[-3] // 2, image.shape[-2] // 2
    pair = (*[-1] * (case.rank - 3), row, slice(column, column + 2))
    other[pair] = image[pair][::-1]
    earlier, later = (subject.call(case.direction, _of(larger, x), case.mode, case.data_format) for x in (image, other))
    return _stale(subject, larger, earlier, later, "an image that differs in the middle only", other != image)


def _stale(
    subject: Subject, case: Case, earlier: Outcome, later: Outcome, what: str, changed: npt.NDArray[np.bool_]
) -> Finding | None:
    """The finding if ``later`` is the result of ``earlier`` although the pixels have ``changed``.

    How far off the values are, other checks report: an output that is no earlier one, or that was wrong before, is
    none of this check's.
    """
    if later.output is None or earlier.output is None or later.output.shape != case.array_shape:
        return None
    # Of a pixel, all channels: they may come in another order.
    pixels = changed.any(axis=-1)
    if not pixels.any():
        return None
    old, new = (from_format(output, case.data_format)[pixels] for output in (earlier.output, later.output))
    if old.tobytes() != new.tobytes() or subject.verdict(case, earlier)[0] is not None:
        return None
    return Finding("stale", case.direction, case.cell, case, outcome=later, about={"what": what})


_THREADS = 4
_ROUNDS = 3


@check("forward", "inverse", clauses=["VP-THREAD-1"])
def threads(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """Calls from several threads at once, in any modes, give the bits of calls one after the other."""
    if not _runs_expensive_checks(subject, cell, direction):
        return
    if subject.implementation.serial:
        raise Skipped("it answers one call at a time")
    for case in _small_and_large(subject, cell, direction):
        yield from _in_threads(subject, case, [cell])
    batches = cell.rank == 4 or not subject.accepts(direction, cell._replace(rank=4))
    asked = [
        other
        for mode in (cell.mode, *MODES)
        for data_format in DATA_FORMATS
        if batches and _in_first_format(subject, cell, direction)
        if (mode == cell.mode or subject.takes(direction, "mode"))
        and (data_format == cell.data_format or subject.takes(direction, "data_format"))
        and subject.covers(direction, other := cell._replace(mode=mode, data_format=data_format))
        and subject.accepts(direction, other)
    ]
    if len(set(asked)) > 1:
        yield from _in_threads(subject, panel(direction, cell), list(dict.fromkeys([cell, *asked])))


def _in_threads(subject: Subject, case: Case, cells: list[Cell]) -> Iterator[Finding | None]:
    """Threads with an image each, in the cells in turn."""
    direction = case.direction
    image = case.values()
    of_threads = [replace(case, mode=cell.mode, data_format=cell.data_format) for cell in cells * _THREADS]
    calls = [
        Call(_of(one, np.roll(image, n, axis=-2)), one.mode, one.data_format)
        for n, one in enumerate(of_threads[: max(_THREADS, len(cells))])
    ]
    alone = [
        subject.usable(one, subject.call(direction, call.array.copy(), call.mode, call.data_format), one.array_shape)
        for one, call in zip(of_threads, calls, strict=False)
    ]
    for got, expected in zip(subject.call_together(direction, calls, _ROUNDS), alone, strict=True):
        yield _compare_thread(case, got, expected)


def _compare_thread(case: Case, got: Together, expected: Array) -> Finding | None:
    if got is None:
        return None  # another thread has raised
    if isinstance(got, Raised):
        return Finding("thread_error", case.direction, case.cell, case, about={"error": got})
    wrong = sum(result is None or not same_bits(result, expected) for result in got)
    about = {"wrong": wrong, "calls": len(got)}
    return Finding("thread_race", case.direction, case.cell, case, about=about) if wrong else None


UNKNOWN = "no_such_name"


@check("forward", "inverse", clauses=("VP-ERROR-1", "VP-ERROR-2"))
def errors(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """An unknown mode or data format is an error, and a fourth channel is not dropped silently."""
    if not _runs_expensive_checks(subject, cell, direction):
        return
    image = panel(direction, cell).values()[..., :2, :2, :]
    array = np.ascontiguousarray(to_format(image, cell.data_format))
    for keyword, mode, data_format in (("mode", UNKNOWN, cell.data_format), ("data_format", cell.mode, UNKNOWN)):
        if not subject.takes(direction, keyword):
            continue
        outcome = subject.call(direction, array.copy(), mode, data_format)
        if outcome.refusal is None and _is_passed_through(subject, cell, direction):
            subject.remarks.add(f"accepts any {keyword}, as it changes nothing in any")
        elif outcome.refusal is None:
            given, about = Arguments(array, mode, data_format), {"keyword": keyword, "value": UNKNOWN}
            yield Finding("unknown_accepted", direction, cell, given=given, outcome=outcome, about=about)
    for channels in (4,) if subject.implementation.serial else (4, 1):  # there, each call is a start
        other = np.concatenate([image, image], axis=-1)[..., :channels]
        array = np.ascontiguousarray(to_format(other, cell.data_format))
        outcome = subject.call(direction, array.copy(), cell.mode, cell.data_format)
        if outcome.output is None or outcome.output.size == array.size:
            continue
        if channels == 4 and outcome.output.size < array.size:
            arguments = Arguments(array, cell.mode, cell.data_format)
            shapes = {"shape": array.shape, "got": outcome.output.shape}
            yield Finding("alpha_dropped", direction, cell, given=arguments, outcome=outcome, about=shapes)
        elif channels == 1:  # outside the domain, and what broadcasting does in every short function
            subject.remarks.add("makes three channels of an image with one, without an error")
    _note_defaults(subject, cell, direction)
    yield None


def _note_defaults(subject: Subject, cell: Cell, direction: Direction) -> None:
    """Note where a call written for Keras's ``(x, data_format=None, mode="caffe")`` gets something else.

    That is no failure: a function may have defaults and an order of its own.
    """
    function = subject.function(direction)
    assert function is not None
    takes = parameters(function)
    who = "the inverse" if direction == "inverse" else "it"
    if takes.mode_first:
        subject.remarks.add(f"{who} takes mode before data_format: by position, Keras takes data_format first")
    its = subject.implementation.default_format or "channels_last"
    caffe, last = (cell._replace(mode="caffe"), cell._replace(data_format=its))
    for name, other, usual in (("mode", caffe, "caffe"), ("data_format", last, its)):
        default = dict(takes.defaults).get(name, usual)
        wanted = {default, None} if name == "data_format" and takes.data_format else {default}
        for value in wanted - {usual}:
            if not (subject.covers(direction, other) and subject.accepts(direction, other)):
                continue
            for height, width in SQUARES[1:]:
                shape = (height, width, 3) if cell.rank == 3 else (1, height, width, 3)
                case = replace(panel(direction, other), shape=shape)
                asked = (value, other.data_format) if name == "mode" else (other.mode, value)
                outcome = subject.call(direction, case.array(), *asked)
                expected = subject.run(case).output
                if outcome.output is None or expected is None:
                    continue
                if not same_bits(outcome.output, expected):
                    if name == "data_format" and value is None:
                        subject.remarks.add(
                            f"{who}: takes data_format=None otherwise than as {usual!r}, as Keras has it"
                        )
                    else:
                        subject.remarks.add(f"{who}: by default {name} is {value!r}, and not what Keras has, {usual!r}")
