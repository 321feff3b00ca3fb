"""The verdict on one implementation in one mode and direction: by the engine, and by every byte in every channel."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import Cell
from vggprep.checks import Subject, Unusable
from vggprep.checks.values import every_byte, value
from vggprep.conformance.engine import Selection
from vggprep.conformance.judging import judge
from vggprep.conformance.report import causes
from vggprep.conformance.results import Report, Result
from vggprep.errors import VggprepError
from vggprep.field.setup import BYTES, Adapter, Array, Setup, UnavailableError
from vggprep.implementations import Implementation, commands
from vggprep.spec import DATA_FORMATS, DTYPES, RANKS, DataFormat, Direction, ModeName

Row = dict[str, Any]


def judged(adapter: Adapter, mode: ModeName, direction: Direction) -> Row:
    """What is right and wrong about it. Raises ``UnavailableError``."""
    implementation = as_implementation(adapter, mode, direction)
    function = implementation.preprocess if direction == "forward" else implementation.deprocess
    assert function is not None
    # Before it has been asked for what it refuses, which not all survive.
    error = worst(lambda x: function(x, data_format="channels_last"), mode, direction)
    report = judge(implementation, known=[], selection=Selection(modes=(mode,)), examples=0)
    level = None
    if report.conforms:
        level = "exact" if is_exact(implementation, direction, report.results) else "faithful"
    return {
        "conforms": report.conforms,
        "level": level,
        **error,
        "causes": [_cause(group, report.results) for group in causes(report.results)],
        "crashes": [r.message for r in report.results if r.status == "error"][:1],
        "refused": refused(adapter, report),
        "results": len(report.results),
        "failed": sum(r.status == "failed" for r in report.results),
    }


def as_implementation(adapter: Adapter, mode: ModeName, direction: Direction) -> Implementation:
    """What the engine is given. Raises ``UnavailableError``."""
    made: dict[DataFormat, Any] = {}
    formats = adapter.data_formats

    def call(x: Array, data_format: DataFormat) -> Any:
        if data_format not in formats:
            raise ValueError(f"data_format must be among {', '.join(formats)}; got {data_format!r}")
        return made[data_format](x, None)

    function: Callable[..., Any] = call
    if adapter.program is not None:
        only = adapter.data_formats[0] if len(adapter.data_formats) == 1 else "{data_format}"
        words = adapter.program(Setup(direction, mode, only))  # type: ignore[arg-type]
        try:
            program = commands.load(adapter.name, shlex.join(words)).preprocess
        except VggprepError as error:
            raise UnavailableError(str(error)) from error
        assert program is not None
        function = program if len(adapter.data_formats) > 1 else _without_format(program)
    else:
        for data_format in formats:
            try:
                made[data_format] = adapter.build(Setup(direction, mode, data_format))
            except UnavailableError:
                if data_format == formats[0]:
                    raise
        formats = tuple(made)
    dtypes = adapter.judged or (BYTES if adapter.dtypes == BYTES else None)
    if direction == "inverse" and dtypes:
        dtypes = ("float32",)
    return Implementation(
        adapter.name,
        function if direction == "forward" else None,
        function if direction == "inverse" else None,
        modes=(mode,),
        data_formats=formats,
        dtypes=dtypes,
        ranks=adapter.ranks if adapter.ranks != RANKS else None,
        writes_input=adapter.writes_input,
        native_only=not adapter.plain,
        compiled=adapter.compiled,
        serial=adapter.serial,
    )


def _without_format(program: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Array, data_format: DataFormat) -> Any:
        if data_format != "channels_last":
            raise ValueError(f"channels_last only; got {data_format!r}")
        return program(x)

    return call


def is_exact(implementation: Implementation, direction: Direction, results: Sequence[Result]) -> bool:
    """Whether it has the bits of Keras's arrays on every value that it is judged on."""
    subject = Subject(replace(implementation, level="exact"))
    for cell in dict.fromkeys(r.cell for r in results if r.status == "passed"):
        for check in (value, every_byte):
            if check.applies_to(cell, direction) and subject.accepts(direction, cell):
                try:
                    if any(finding is not None for finding in check.judge(subject, cell, direction)):
                        return False
                except Unusable:
                    return False
    return True


def colours() -> Array:
    """Every byte in every channel, no pixel grey: shape ``(1, 16, 16, 3)``."""
    byte = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return np.stack([byte, byte + np.uint8(85), byte + np.uint8(170)], axis=-1)[np.newaxis]


def worst(function: Callable[[Array], Any], mode: ModeName, direction: Direction) -> Row:
    """The error over every byte in every channel: ``units`` of float32's ``u·S``, grey levels, and wrong pairs.

    A pair is a channel and a byte, of 768. An inverse to bytes has no ``units``. All None if there is no image.
    """
    x = colours()
    if direction == "inverse":
        x = oracle.exact(x.astype(np.float32), "forward", mode).astype(np.float32)
    try:
        got = np.asarray(function(x.copy()))
    except Exception:
        return {"units": None, "levels": None, "wrong": None}
    if got.shape != x.shape or got.dtype.kind not in "fiu":
        return {"units": None, "levels": None, "wrong": x.size}
    pixels = got.dtype.kind in "iu" and direction == "inverse"
    if not pixels:
        got = got.astype(np.float32) if got.dtype.kind != "f" or got.dtype.itemsize < 4 else got
    found = tolerance.compare_faithful(x, got, direction, mode, None if pixels else "float32")
    return {
        "units": None if pixels else float(found.units),
        "levels": float(found.levels),
        "wrong": int(np.count_nonzero(found.wrong)),
    }


def refused(adapter: Adapter, report: Report) -> list[str]:
    """Dtypes, ranks and data formats that it refuses, or was never meant for, as few words as say it."""
    judged_cells = {r.cell for r in report.results}
    no = {r.cell for r in report.results if r.status == "refused"}
    no -= {r.cell for r in report.results if r.status in ("passed", "failed")}
    words: list[str] = [f for f in DATA_FORMATS if f not in (report.implementation.data_formats or ())]
    words += [f"rank {rank}" for rank in RANKS if rank not in adapter.ranks]
    only = adapter.dtypes == BYTES and report.implementation.dtypes is not None
    words += ["all but uint8"] if only else []
    for name, values in (("data_format", DATA_FORMATS), ("rank", RANKS), ("dtype", DTYPES)):
        for choice in values:
            cells = {cell for cell in judged_cells if getattr(cell, name) == choice}
            if cells and cells <= no:
                words.append(f"rank {choice}" if name == "rank" else str(choice))
                no -= cells
                judged_cells -= cells
    return words + sorted({_cell(cell) for cell in no})


def _cell(cell: Cell) -> str:
    return f"{cell.dtype} {cell.data_format} of rank {cell.rank}"


def _cause(group: Sequence[Result], every: Sequence[Result]) -> Row:
    first = group[0]
    judged = [result for result in every if result.status in ("passed", "failed")]
    where = [
        f"rank {first.rank}" if name == "rank" else str(getattr(first, name))
        for name in ("data_format", "rank")
        if len({getattr(r, name) for r in group}) == 1 < len({getattr(r, name) for r in judged})
    ]
    words = first.diagnosis or first.message
    _, kind, name = [*first.cause.split("/", 2), "", ""][:3]
    return {
        "fault": name if kind == "fault" else "",
        "check": first.check,
        "message": first.message,
        "words": words,
        "dtypes": list(dict.fromkeys(r.dtype for r in group)),
        "where": where,
        "results": len(group),
    }
