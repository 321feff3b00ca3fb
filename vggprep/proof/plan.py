"""What there is to enumerate of a target: rows of the certificate, and the parts that they are computed from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from vggprep.cases import Cell, available_dtypes
from vggprep.checks.subject import Subject
from vggprep.conformance.engine import Selection, keeping_bytes, scope
from vggprep.conformance.report import guess
from vggprep.implementations.targets import TargetSpec
from vggprep.proof.certificates import ProofError, Row, describe_domain
from vggprep.proof.domains import DTYPES, SMALL, domain
from vggprep.proof.shards import Part, implementations, input_dtype
from vggprep.spec import DataFormat, Direction, ModeName, definitions


class Group(NamedTuple):
    """Rows that are enumerated together, one for each data format, and their parts."""

    rows: tuple[Row, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plan:
    """What there is to do: groups of rows with their parts, rows that are refused, and notes."""

    spec: TargetSpec
    groups: tuple[Group, ...]
    refused: tuple[Row, ...]
    notes: tuple[str, ...]
    stop_at_first: bool

    @property
    def parts(self) -> list[Part]:
        """The work, small dtypes first."""
        return sorted((part for group in self.groups for part in group.parts), key=lambda part: domain(part.dtype).size)

    @property
    def values(self) -> int:
        """How many values there are to judge: patterns, times three channels, in each data format."""
        return sum(map(values_of, self.parts))


def values_of(part: Part) -> int:
    """How many values a part judges."""
    return (part.stop - part.start) * 3 * len(part.data_formats)


def plan(spec: TargetSpec, selection: Selection | None = None, *, stop_at_first: bool = True) -> Plan:
    """What to enumerate of the targets in ``spec``: by default the dtypes of up to 16 bits, which take seconds.

    Raises ``TargetError`` if there is no such target, ``ProofError`` if nothing of it can be enumerated.
    """
    selection = selection or Selection()
    dtypes = _dtypes(selection)
    groups: list[Group] = []
    refused: list[Row] = []
    notes: list[str] = []
    for number, implementation in enumerate(implementations(spec)):
        subject = Subject(implementation)
        for direction in subject.directions:
            guessed: dict[Direction, ModeName] = {}
            modes, data_formats = scope(subject, direction, selection, notes, guessed)
            notes += [guess(*found, implementation.preprocess is not None) for found in guessed.items()]
            claimed = [d for d in dtypes if implementation.dtypes is None or d in implementation.dtypes]
            judged = [(mode, dtype) for mode in modes for dtype in keeping_bytes(mode, claimed, notes)]
            for mode, dtype in judged:
                found = [_row(subject, direction, mode, data_format, dtype) for data_format in data_formats]
                refused += [row for row in found if row.status == "refused"]
                rows = tuple(row for row in found if row.status != "refused")
                if not rows:
                    continue
                accepted = tuple(row.data_format for row in rows)
                parts = tuple(
                    Part(
                        spec, number, direction, mode, accepted, dtype, start, stop, stop_at_first, *definitions([mode])
                    )
                    for start, stop in domain(dtype).shards
                )
                groups.append(Group(rows, parts))
    if not groups and not refused:
        raise ProofError("nothing to enumerate: the target claims none of the selected modes, data formats and dtypes")
    return Plan(spec, tuple(groups), tuple(refused), tuple(dict.fromkeys(notes)), stop_at_first)


def _dtypes(selection: Selection) -> tuple[str, ...]:
    dtypes = selection.dtypes or tuple(d for d in SMALL if d in available_dtypes())
    if unknown := [d for d in dtypes if d not in DTYPES]:
        raise ProofError(f"cannot enumerate {unknown[0]}; expected one of {', '.join(DTYPES)}")
    if missing := [d for d in dtypes if d not in available_dtypes()]:
        raise ProofError(f"NumPy has no {missing[0]} here: install ml_dtypes")
    return dtypes


def _row(subject: Subject, direction: Direction, mode: ModeName, data_format: DataFormat, dtype: str) -> Row:
    """The row before the enumeration: unfinished, or refused."""
    implementation = subject.implementation
    name, level = implementation.name, implementation.level
    row = Row(name, level, direction, mode, data_format, dtype, describe_domain(dtype), "unfinished")
    cell = Cell(mode, data_format, input_dtype(direction, mode, dtype), 4)
    if subject.accepts(direction, cell):
        return row
    return replace(row, status="refused", message=str(subject.refusal(direction, cell)) or "refused")
