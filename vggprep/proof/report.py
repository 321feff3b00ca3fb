"""A certificate for people: a table, the causes of failures, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vggprep.cases import Case, Cell, panel, regimes, to_format
from vggprep.checks import Finding, Subject, clauses_broken
from vggprep.checks.findings import Arguments
from vggprep.checks.inverse import lost_pixels
from vggprep.conformance import ledger
from vggprep.conformance.diagnosis import UNEXPLAINED, explain
from vggprep.conformance.report import cause_text, causes
from vggprep.conformance.results import Result
from vggprep.conformance.words import cause_of, up_to
from vggprep.proof.certificates import Certificate, Row
from vggprep.proof.shards import WorstError, from_bits, implementations, input_dtype

_STYLES = {"proven": "green", "sampled": "green", "wrong": "bold red", "refused": "yellow", "unfinished": "dim"}
STATUSES = tuple(_STYLES)


def print_certificate(certificate: Certificate, notes: Sequence[str], console: Console) -> None:
    """The tables, the notes, the causes and the verdict."""
    for name in dict.fromkeys(row.implementation for row in certificate.rows):
        console.print(_table([row for row in certificate.rows if row.implementation == name]))
    for domain in dict.fromkeys(row.domain for row in certificate.rows if row.status == "sampled"):
        dtype = next(row.dtype for row in certificate.rows if row.domain == domain)
        console.print(f"{dtype} is {domain}. That is not a proof.", style="yellow", markup=False, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for number, text in enumerate(failures(certificate), 1):
        console.print()
        console.print(f"{number}. {text}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    style = "bold green" if certificate.holds else "bold red"
    console.print(verdict(certificate), style=style, markup=False, highlight=False, soft_wrap=True)


def verdict(certificate: Certificate) -> str:
    """The last line: what was shown, for how many values, and how long it took."""
    level = certificate.rows[0].level
    found = "nothing is wrong" if certificate.holds else "NOT proven"
    if {row.status for row in certificate.rows} == {"refused"}:
        found = "nothing was proven: everything was refused"
    speed = certificate.values / max(certificate.worked, 1e-9) / 1e6
    return (
        f"{certificate.target} at level {level}: {found} ({counts(certificate)}); {certificate.values:,} values "
        f"in {certificate.seconds:.1f} s, {speed:,.0f} million per second and process"
    )


def counts(certificate: Certificate) -> str:
    """How many rows there are of each status."""
    total = Counter[str](row.status for row in certificate.rows)
    return ", ".join(f"{total[status]} {status}" for status in STATUSES if total[status])


def _table(rows: Sequence[Row]) -> Table:
    title = escape(f"{rows[0].implementation}  (level {rows[0].level})")
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False)
    for name in ("", "mode", "dtype", "data format", "patterns", "result"):
        table.add_column(name, no_wrap=name != "data format")
    for name in ("worst u·S", "worst grey levels"):
        table.add_column(name, justify="right")
    for group in _alike(rows):
        row = group[0]
        result = {"wrong": f"WRONG {row.wrong:,}", "sampled": "no fault found"}.get(row.status, row.status)
        if row.lost:
            result += f", loses {row.lost:,}"
        table.add_row(
            row.direction,
            escape(row.mode),
            row.dtype,
            "both" if len(group) > 1 else row.data_format,
            f"{row.patterns:,}" if row.patterns else "",
            Text(result, style=_STYLES[row.status]),
            _error(row.units),
            _error(row.levels),
        )
    return table


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that differ in nothing but the data format, together."""
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        key = replace(
            row, data_format="channels_last", digest="", digests=(), problem=None, message="", counterexample=None
        )
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _error(worst: WorstError | None) -> str:
    if worst is None:
        return ""
    return f"{worst.error:.3g} at {_short(worst.value)}" if worst.error else "0"


def _short(value: str) -> str:
    return value if len(value) < 9 else f"{float(value):.4g}"


# What is wrong ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Failure:
    """A wrong row, the check that it fails, and its counterexample judged again."""

    row: Row
    check: str
    message: str
    finding: Finding | None


def failures(certificate: Certificate) -> list[str]:
    """The distinct causes of failures, diagnosed and with a reproducer, as ``vggprep check`` prints them."""
    wrong = [row for row in certificate.rows if row.status == "wrong"]
    found: dict[Subject, list[_Failure]] = {}
    for implementation in implementations(certificate.spec):
        subject = Subject(implementation)
        rows = [row for row in wrong if row.implementation == implementation.name]
        found[subject] = [_failure(subject, row, certificate.stop_at_first) for row in rows]
    return _explained(found)


def _explained(found: Mapping[Subject, Sequence[_Failure]]) -> list[str]:
    results: list[Result] = []
    for subject, failed in found.items():
        name = subject.implementation.name
        known = ledger.applicable(None, name).entries
        explanations = iter(explain(subject, [(f.check, f.finding) for f in failed if f.finding is not None]))
        for failure in failed:
            row, finding = failure.row, failure.finding
            explanation = UNEXPLAINED if finding is None else next(explanations)
            # An exception explains itself; which of the faults refuse the same value means little.
            stated = row.problem != "no_result"
            cause = f"{row.direction}/in large images only/{row.mode}"
            result = Result(
                name,
                failure.check,
                row.mode,
                row.data_format,
                input_dtype(row.direction, row.mode, row.dtype),
                4,
                "failed",
                failure.message,
                explanation.text if stated else "",
                explanation.reproducer,
                direction=row.direction,
                cause=cause_of(finding, failure.check, explanation.cause if stated else "") if finding else cause,
                example=explanation.example,
                clauses=clauses_broken(failure.check, finding, row.level) if finding else (),
            )
            if reasons := [entry.reason for entry in known if entry.matches(name, result.check, result.cell)]:
                result = replace(result, diagnosis=f"{result.diagnosis} (known: {reasons[0]})".strip())
            results.append(result)
    return [cause_text(group) for group in causes(results)]


def _failure(subject: Subject, row: Row, at_least: bool) -> _Failure:
    check = "value" if row.direction == "forward" else "restores_floats" if row.units else "restores_pixels"
    finding = _finding(subject, row)
    message = f"{'at least ' * at_least}{row.wrong:,} of {3 * row.patterns:,} values wrong"
    if row.problem == "no_result":
        message = f"gives no result for some values that it should accept: {row.message}"
    elif row.message:
        message = row.message
    if row.levels and row.problem in (None, "dtype"):
        message += f", {up_to(row.levels.error)}"
    if finding is None:
        message += f"; seen with the pixel {row.counterexample} in a large image, but not in a small one"
    return _Failure(row, check, message, finding)


def _finding(subject: Subject, row: Row) -> Finding | None:
    """The row's counterexample, judged again: among other pixels, which a fault must fit; alone if it has no result."""
    assert row.counterexample is not None
    dtype = input_dtype(row.direction, row.mode, row.dtype)
    cell = Cell(row.mode, row.data_format, dtype, 4)
    pixel = np.array([from_bits(bits, dtype) for bits in row.counterexample])
    if row.problem == "no_result":
        image = np.ascontiguousarray(to_format(pixel.reshape(1, 1, 1, 3), row.data_format))
        given = Arguments(image, row.mode, row.data_format)
        return Finding("refusal", row.direction, cell, given=given, about={"error": row.message})
    regime = next(r for r in ("noise", "fractions", "wide") if r in regimes(row.direction, dtype))
    others = panel(row.direction, cell, regime).values().reshape(1, 16, 16, 3)
    others[0, 0, 0] = pixel
    pixels = others.tobytes()
    case = Case(row.direction, row.mode, row.data_format, dtype, "c", "drawn", others.shape, pixels)
    found = subject.judge(case)
    if found is not None or row.direction == "forward" or not subject.returns_pixels(cell):
        return found
    alone = replace(case, shape=(1, 1, 1, 3), pixels=pixel.tobytes())
    return lost_pixels(subject, alone) or lost_pixels(subject, case)
