"""Reports: JSON Lines for programs, written and read; tables and causes for people; one table of several reports."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vggprep.cases import Cell
from vggprep.checks import CHECKS
from vggprep.conformance.results import STATUSES, Report, Result, Status
from vggprep.conformance.words import FOLLOWS, OF_VALUES
from vggprep.errors import VggprepError
from vggprep.files import json_line, replacing
from vggprep.machine import versions
from vggprep.spec import DATA_FORMATS, MODES, RANKS, Direction, ModeName, as_data, definitions
from vggprep.specification import VERSION

FORMAT = "vggprep-report/2"
_READABLE = (FORMAT, "vggprep-report/1")


# JSON Lines -------------------------------------------------------------------------------------------------------


_PACKAGES = ("vggprep", "numpy", "hypothesis", "keras", "tensorflow", "tf_keras", "torch", "jax", "ml_dtypes")
_ALWAYS = ("vggprep", "numpy", "hypothesis")


def head(report: Report) -> dict[str, Any]:
    """What the first row says of one implementation; ``modes`` are the definitions of those that are not Keras's."""
    modes = [as_data(mode) for mode in definitions(result.mode for result in report.results)]
    return {
        "name": report.implementation.name,
        **({"modes": modes} if modes else {}),
        "level": report.implementation.level,
        "notes": report.notes,
        "guessed": dict(report.guessed),
        "interrupted": report.interrupted,
    }


def write(path: Path, reports: Sequence[Report], **more: Any) -> None:
    """Write a report of everything that was judged."""
    write_rows(path, [head(r) for r in reports], [asdict(row) for r in reports for row in r.results], **more)


def write_rows(path: Path, heads: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], **more: Any) -> None:
    """Write a header, a row a result, and a footer that counts the rows, so that a truncated file is noticed."""
    with replacing(path) as file:
        file.write(
            json_line(
                {
                    "kind": "header",
                    "format": FORMAT,
                    "specification": VERSION,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "versions": versions(name for name in _PACKAGES if name in _ALWAYS or name in sys.modules),
                    "machine": {"system": platform.system(), "machine": platform.machine(), "byteorder": sys.byteorder},
                    "implementations": list(heads),
                    **more,
                }
            )
        )
        for row in rows:
            file.write(json_line({"kind": "result", **row}))
        total = Counter(row["status"] for row in rows)
        file.write(json_line({"kind": "footer", "rows": len(rows), **{str(s): total[s] for s in STATUSES}}))


# For people -------------------------------------------------------------------------------------------------------

# The word and the style of each status, the loudest first.
_SHOWN: dict[Status, tuple[str, str]] = {
    "error": ("ERROR", "bold red"),
    "failed": ("FAILED", "bold red"),
    "known": ("known", "magenta"),
    "passed": ("ok", "green"),
    "refused": ("refused", "yellow"),
    "skipped": ("skipped", "dim"),
}


def table(report: Report) -> Table:
    """Checks down, modes across; in each field the number of cells of each status."""
    there = dict.fromkeys(r.mode for r in report.results)
    modes = [mode for mode in dict.fromkeys((*MODES, *there)) if mode in there]
    title = escape(f"{report.implementation.name}  (level {report.implementation.level})")
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False)
    grid.add_column("check", no_wrap=True)
    for mode in modes:
        grid.add_column(escape(mode))
    grid.add_column("worst error", justify="right")
    for check in CHECKS:
        results = [r for r in report.results if r.check == check.name]
        if not results:
            continue
        fields = [counts(Counter(r.status for r in results if r.mode == mode)) for mode in modes]
        grid.add_row(check.name, *fields, worst_error(results))
    return grid


def worst_error(results: Sequence[Result]) -> str:
    """The largest error of what was judged, in grey levels; empty for none."""
    judged = [r.worst_levels for r in results if r.status in ("passed", "failed", "known")]
    worst = max(judged, key=_finite_first, default=0.0)
    return f"{worst:.3g}" if worst else ""


def counts(found: Mapping[Status, int], sep: str = ", ") -> Text:
    """How many results there are of each status, the loudest first; a dash for none."""
    text = Text()
    for status, (word, style) in _SHOWN.items():
        if count := found.get(status, 0):
            text.append((sep if text else "") + f"{word} {count}", style=style)
    return text or Text("-", style="dim")


def causes(results: Sequence[Result]) -> list[list[Result]]:
    """Failed results grouped by cause, the widest-spread cause first; of each, the most telling result first.

    Wrong results that no fault explains, in exactly the same cells, are one cause seen from several sides.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.status == "failed":
            groups.setdefault(result.cause, []).append(result)
    merged: dict[object, list[Result]] = {}
    for cause, group in groups.items():
        of_results = not group[0].diagnosis and all(r.check in _ABOUT_RESULTS for r in group)
        key = (group[0].direction, frozenset(r.cell for r in group)) if of_results else cause
        merged.setdefault(key, []).extend(group)
    _fold_in_place(merged)
    _fold_what_follows(merged)
    for group in merged.values():
        # Shapes, then the largest error in values, which the reproducer shows; of equals, the best to read.
        said = Counter(r.diagnosis for r in group).most_common(1)[0][0]
        of_state = group[0].cause.endswith("/fault/state")
        of_form = any(r.finding == "shape" for r in group) and not of_state
        leading = _OF_STATE if of_state else OF_VALUES
        group.sort(
            key=lambda r: (
                (r.finding in FOLLOWS | OF_VALUES) if of_form else (r.finding not in leading),
                *(-n for n in _finite_first(0.0 if of_form else float(f"{r.worst_levels:.3g}"))),
                r.diagnosis != said,
                r.example not in ("pixel", "arguments"),
                r.check in _OF_ODD_VALUES,
                r.dtype not in ("uint8", "float32"),
            )
        )
    return sorted(merged.values(), key=lambda group: -len(group))


def _finite_first(levels: float) -> tuple[bool, float]:
    """A key: infinite errors, which NaN and infinities have by themselves, say least."""
    return math.isfinite(levels), levels


def _fold_what_follows(groups: dict[object, list[Result]]) -> None:
    """Outputs that disagree where values are wrong, in either of the cells compared, are no cause of their own.

    Nor are wrong values of which nothing is known, beside others in the mode of which something is.
    """
    for cause, group in list(groups.items()):
        first = group[0]
        if first.diagnosis or not all(r.finding in FOLLOWS | OF_VALUES for r in group):
            continue
        follows = all(r.finding in FOLLOWS for r in group)
        cells = {c for r in group for c in _compared(r)}
        others = [
            other
            for other in groups.values()
            if other is not group and other[0].direction == first.direction
            if any(
                r.finding in OF_VALUES and (r.cell in cells if follows else r.mode == first.mode and r.diagnosis != "")
                for r in other
            )
        ]
        if others and (follows or len(others) == 1):
            max(others, key=len).extend(groups.pop(cause))


def _compared(result: Result) -> set[Cell]:
    """The cells of the outputs that a result is about."""
    cell = result.cell
    if result.finding in ("layout", "batch_of_three"):
        return {cell._replace(data_format=f, rank=r) for f in DATA_FORMATS for r in RANKS}
    return {cell, cell._replace(dtype="float32")} if result.finding == "integer_dtypes" else {cell}


def _fold_in_place(groups: dict[object, list[Result]]) -> None:
    """What follows from an array that is written to, in the same cells: one cause.

    The caller's, if overwritten, also comes back and must not be read-only; a shared result is shared by threads, too.
    """
    for group in [g for g in groups.values() if g[0].finding in _FOLLOWED]:
        cells = {r.cell for r in group}
        for cause, other in list(groups.items()):
            follows = other[0].finding in _FOLLOWED[group[0].finding] and (
                other[0].finding != "refusal" or all(r.check == "memory_layouts" for r in other)
            )
            same = other[0].direction == group[0].direction and not other[0].diagnosis
            if follows and same and {r.cell for r in other} <= cells:
                group.extend(groups.pop(cause))


_FOLLOWED = {"mutation": ("input_returned", "view_returned", "refusal"), "overwritten_result": ("thread_race",)}


_ABOUT_RESULTS = {check.name for check in CHECKS} - {
    "purity", "fresh_output", "memory_layouts", "byte_order", "determinism", "threads", "errors",
}  # fmt: skip


_OF_STATE = ("stale", "state")

_OF_ODD_VALUES = ("nonfinite", "monotone")
"""What fails in these alone has to do with them; what fails elsewhere, too, is better seen there."""


class Cause(NamedTuple):
    """One cause in words: what, where, the check that it breaks and the clauses, what it behaves like, how to see it.

    ``elsewhere``: pairs of where and what it behaves like there, where that is not the same.
    """

    message: str
    where: str
    check: str
    clauses: list[str]
    sentence: str
    also_fails: list[str]
    diagnosis: str
    elsewhere: list[tuple[str, str]]
    reproducer: str


def cause(group: Sequence[Result]) -> Cause:
    """What is said of one of ``causes``."""
    first = group[0]
    names = [check.name for check in CHECKS if any(r.check == check.name for r in group)]
    names.sort(key=lambda name: (first.finding in _OF_STATE and name != first.check, name in _OF_ODD_VALUES))
    return Cause(
        message=first.message,
        where=_where([r for r in group if r.diagnosis == first.diagnosis]),
        check=names[0],
        clauses=list(dict.fromkeys([*first.clauses, *(c for r in group if r.check == names[0] for c in r.clauses)])),
        sentence=next(check.sentence for check in CHECKS if check.name == names[0]),
        also_fails=names[1:],
        diagnosis=first.diagnosis,
        elsewhere=[
            (_where([r for r in group if r.diagnosis == said]), said)
            for said in dict.fromkeys(r.diagnosis for r in group if r.diagnosis != first.diagnosis)
        ],
        reproducer=first.reproducer,
    )


def cause_text(group: Sequence[Result]) -> str:
    """One cause in full: what, where, how far off, what it behaves like, and how to see it."""
    of = cause(group)
    by_name = f" ({', '.join(of.clauses)})" if of.clauses else ""
    also = f" Also fails {', '.join(of.also_fails)}." if of.also_fails else ""
    lines = [of.message, f"  in {of.where}", f"  breaks {of.check}{by_name}: {of.sentence}{also}"]
    if of.diagnosis:
        lines.append(f"  {of.diagnosis}")
    lines += [f"  in {where}: {said}" if said else f"  and in {where}" for where, said in of.elsewhere]
    if of.reproducer:
        lines += ["  to see it:", *(f"    {line}" for line in of.reproducer.splitlines())]
    return "\n".join(lines)


def _where(results: Sequence[Result]) -> str:
    words = [_listed(getattr(r, name) for r in results) for name in ("mode", "data_format", "dtype")]
    count = f"{len(results)} result{'s' if len(results) > 1 else ''}"
    return f"{'; '.join(words)}; rank {_listed(str(r.rank) for r in results)} ({count})"


def _listed(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def headlines(report: Report) -> list[str]:
    """What a reader must know before the verdict: a mode that was guessed."""
    both = report.implementation.preprocess is not None
    return [guess(direction, mode, both) for direction, mode in report.guessed.items()]


def guess(direction: Direction, mode: ModeName, both: bool) -> str:
    """That a mode was guessed. ``both``: whether there is a forward function besides an inverse."""
    who = "the inverse takes" if direction == "inverse" and both else "takes"
    why = "which returns its input" if mode == "identity" else "the nearest of caffe, tf and torch"
    said = f"{who} no mode: judged as {mode}, {why}"
    return f"{said}; name the mode or the model if it is another"


def verdict(report: Report) -> str:
    """The last line: the outcome, and how many results there are of each status."""
    total = Counter(result.status for result in report.results)
    said = ", ".join(f"{total[status]} {status}" for status in STATUSES if total[status]) or "nothing was judged"
    word = "conforms" if report.conforms else "does NOT conform"
    if report.interrupted:
        word = "was interrupted; so far"
    if total["error"]:
        word = "cannot be judged"
    guessed = dict.fromkeys(report.guessed.values())
    to = f" to {' and '.join(guessed)} (guessed)" if guessed and not report.interrupted and not total["error"] else ""
    return f"{report.implementation.name} {word}{to} at level {report.implementation.level}: {said}"


def overall(reports: Sequence[Report]) -> str:
    """The one verdict over several targets."""
    bad = [report.implementation.name for report in reports if not report.conforms]
    some = f"{len(reports) - len(bad)} of {len(reports)} conform"
    return f"{some}; not {', '.join(bad)}" if bad else f"all {len(reports)} conform"


def known_text(report: Report) -> list[str]:
    """One line for each known deviation that was met."""
    groups = Counter(result.diagnosis for result in report.results if result.status == "known")
    return [f"known ({count} results): {reason}" for reason, count in groups.items()]


def error_text(report: Report) -> list[str]:
    """One line for each way in which the suite itself failed, and what to do about it."""
    failed = [result for result in report.results if result.status == "error"]
    groups = Counter((result.message, result.check) for result in failed)
    lines = [f"{message} ({check}, {count} results)" for (message, check), count in groups.items()]
    if lines:
        lines.append(
            "this is a fault of vggprep: please report it with the traceback, which --report FILE.jsonl writes"
        )
    return lines


def failure_text(reports: Sequence[Report]) -> str:
    """Everything that failed, as plain text; for assertions and terminals."""
    parts = []
    for report in reports:
        parts += [*headlines(report), verdict(report), *error_text(report)]
        parts += [f"{number}. {cause_text(group)}" for number, group in enumerate(causes(report.results), 1)]
    return "\n".join(parts)


def print_report(report: Report, console: Console) -> None:
    """The table, the notes, the causes and the verdict."""
    console.print(table(report))
    for line in headlines(report):
        console.print(line, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False)
    for line in known_text(report):
        console.print(line, style="magenta", markup=False, highlight=False, soft_wrap=True)
    for number, group in enumerate(causes(report.results), 1):
        console.print()
        console.print(f"{number}. {cause_text(group)}", markup=False, highlight=False, soft_wrap=True)
    for line in error_text(report):
        console.print(line, style="bold red", markup=False, highlight=False, soft_wrap=True)
    console.print()
    style = "bold green" if report.conforms else "bold red"
    console.print(verdict(report), style=style, markup=False, highlight=False, soft_wrap=True)


# Several reports --------------------------------------------------------------------------------------------------


class ReportError(VggprepError):
    """A file that is not a whole report."""


@dataclass(frozen=True)
class Column:
    """One report: its environment's name, the versions that ran, and how often each check had each status."""

    name: str
    versions: Mapping[str, str]
    statuses: Mapping[str, Counter[Status]]

    @property
    def conforms(self) -> bool:
        """Whether nothing failed and something passed."""
        total = sum(self.statuses.values(), Counter[Status]())
        return not total["failed"] and not total["error"] and bool(total["passed"])


def read(path: Path) -> Column:
    """Read a report that ``vggprep check --report`` wrote. Raises ``ReportError`` for another or a truncated file."""
    try:
        header, *rows, footer = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        whole = footer["kind"] == "footer" and footer["rows"] == len(rows)
        form = header["format"]
    except (ValueError, LookupError, TypeError):
        whole, form = False, FORMAT
    if form not in _READABLE:
        raise ReportError(f"{path} has the format {form!r}; this vggprep reads {' and '.join(_READABLE)}")
    if not whole:
        raise ReportError(f"{path} is not a whole report of vggprep check; run the check again")
    statuses: dict[str, Counter[Status]] = {}
    for row in rows:
        statuses.setdefault(row["check"], Counter())[row["status"]] += 1
    return Column(path.stem, header["versions"], statuses)


_VERSIONS = ("python", "numpy", "keras", "tf_keras", "tensorflow", "torch", "jax")


def matrix(columns: Sequence[Column]) -> Table:
    """The versions, then a line for each check that any environment ran, then the verdicts."""
    grid = Table(header_style="bold", pad_edge=False)
    grid.add_column("check", no_wrap=True)
    for column in columns:
        grid.add_column("\n".join(column.name.split("-")), no_wrap=True)
    for package in _VERSIONS:
        if any(package in column.versions for column in columns):
            grid.add_row(package, *(column.versions.get(package, "") for column in columns), style="dim")
    grid.add_section()
    for check in CHECKS:
        if any(check.name in column.statuses for column in columns):
            grid.add_row(check.name, *(_field(column.statuses.get(check.name, Counter())) for column in columns))
    grid.add_section()
    conforms, differs = Text("conforms", style="bold green"), Text("does NOT", style="bold red")
    grid.add_row("verdict", *(conforms if column.conforms else differs for column in columns))
    return grid


def _field(found: Counter[Status]) -> Text:
    """The statuses that say most: what failed or is known, else that it passed, else what there is."""
    loud: dict[Status, int] = {status: found[status] for status in _LOUD if found[status]}
    passed: dict[Status, int] = {"passed": found["passed"]} if found["passed"] else {}
    return counts(loud or passed or found, sep="\n")


_LOUD: tuple[Status, ...] = ("error", "failed", "known")
