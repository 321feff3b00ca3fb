"""Reports: JSON Lines for programs, tables and causes for people."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vggprep.checks import CHECKS
from vggprep.conformance.engine import Report, Result
from vggprep.files import json_line, replacing
from vggprep.spec import MODES

FORMAT = "vggprep-report/1"
STATUSES = ("passed", "failed", "refused", "known", "skipped")


# JSON Lines -------------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Versions of everything that may bear on a result, of what is already imported or was asked for."""
    found = {"python": platform.python_version()}
    for name in ("vggprep", "numpy", "hypothesis", "keras", "tensorflow", "tf_keras", "torch", "jax", "ml_dtypes"):
        if name in ("vggprep", "numpy", "hypothesis") or name in sys.modules:
            try:
                module = sys.modules.get(name)
                found[name] = str(getattr(module, "__version__", None) or metadata.version(name))
            except metadata.PackageNotFoundError:
                continue
    return found


def head(report: Report) -> dict[str, Any]:
    """What the first row says of one implementation."""
    return {"name": report.implementation.name, "level": report.implementation.level, "notes": report.notes}


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
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "versions": versions(),
                    "machine": {"system": platform.system(), "machine": platform.machine(), "byteorder": sys.byteorder},
                    "implementations": list(heads),
                    **more,
                }
            )
        )
        for row in rows:
            file.write(json_line({"kind": "result", **row}))
        total = {status: sum(row["status"] == status for row in rows) for status in STATUSES}
        file.write(json_line({"kind": "footer", "rows": len(rows), **total}))


def exit_code(reports: Sequence[Report]) -> int:
    """What a command ends with: 0 if everything conforms, else 1."""
    return 0 if all(report.conforms for report in reports) else 1


# For people -------------------------------------------------------------------------------------------------------

_STYLES = {"passed": "green", "failed": "bold red", "refused": "yellow", "known": "magenta", "skipped": "dim"}
_WORDS = {"passed": "ok", "failed": "FAILED", "refused": "refused", "known": "known", "skipped": "skipped"}


def table(report: Report) -> Table:
    """Checks down, modes across; in each field the number of cells of each status."""
    modes = [mode for mode in MODES if any(r.mode == mode for r in report.results)]
    title = f"{report.implementation.name}  (level {report.implementation.level})"
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False)
    grid.add_column("check", no_wrap=True)
    for mode in modes:
        grid.add_column(mode)
    grid.add_column("worst error", justify="right")
    for check in CHECKS:
        results = [r for r in report.results if r.check == check.name]
        if not results:
            continue
        fields = [counts(Counter(r.status for r in results if r.mode == mode)) for mode in modes]
        judged = [r.worst_levels for r in results if r.status in ("passed", "failed", "known")]
        worst = max(judged, default=0.0)
        grid.add_row(check.name, *fields, f"{worst:.2g}" if worst else "")
    return grid


def counts(found: Mapping[str, int], sep: str = ", ") -> Text:
    """How many results there are of each status, the loudest first; a dash for none."""
    text = Text()
    for status in ("failed", "known", "passed", "refused", "skipped"):
        if count := found.get(status, 0):
            text.append((sep if text else "") + f"{_WORDS[status]} {count}", style=_STYLES[status])
    return text or Text("-", style="dim")


def causes(results: Sequence[Result]) -> list[list[Result]]:
    """Failed results grouped by cause, the widest-spread cause first; of each, the most telling result first."""
    groups: dict[Any, list[Result]] = {}
    for result in results:
        if result.status == "failed":
            groups.setdefault(result.cause, []).append(result)
    groups = _merged(groups)
    for group in groups.values():
        # Best to read: a reproducer on one pixel, then a plain dtype.
        group.sort(key=lambda r: ("np.array(" not in r.reproducer, r.dtype not in ("uint8", "float32")))
    return sorted(groups.values(), key=lambda group: -len(group))


_ABOUT_RESULTS = {check.name for check in CHECKS} - {
    "purity", "fresh_output", "memory_layouts", "byte_order", "determinism", "threads", "errors",
}  # fmt: skip


def _merged(groups: dict[Any, list[Result]]) -> dict[Any, list[Result]]:
    """Wrong results that no fault explains, in exactly the same cells, are one cause seen from several sides."""
    merged: dict[Any, list[Result]] = {}
    for key, group in groups.items():
        first = group[0]
        if not first.diagnosis and all(r.check in _ABOUT_RESULTS for r in group):
            key = (first.direction, frozenset(r.cell for r in group))
        merged.setdefault(key, []).extend(group)
    return merged


def cause_text(group: Sequence[Result]) -> str:
    """One cause in full: what, where, how far off, what it behaves like, and how to see it."""
    first = group[0]
    lines = [first.message]
    where = (
        f"{_listed(r.mode for r in group)}; "
        f"{_listed(r.data_format for r in group)}; {_listed(r.dtype for r in group)}; "
        f"rank {_listed(str(r.rank) for r in group)}"
    )
    lines.append(f"  in {where} ({len(group)} results)")
    names = [check.name for check in CHECKS if any(r.check == check.name for r in group)]
    sentence = next(check.sentence for check in CHECKS if check.name == names[0])
    also = f" Also fails {', '.join(names[1:])}." if names[1:] else ""
    lines.append(f"  breaks {names[0]}: {sentence}{also}")
    if first.diagnosis:
        lines.append(f"  {first.diagnosis}")
    if first.reproducer:
        lines.append("  to see it:")
        lines += [f"    {line}" for line in first.reproducer.splitlines()]
    return "\n".join(lines)


def _listed(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def verdict(report: Report) -> str:
    """The last line: what the results come to."""
    total = {status: sum(r.status == status for r in report.results) for status in STATUSES}
    said = ", ".join(f"{count} {status}" for status, count in total.items() if count)
    word = "conforms" if report.conforms else "does NOT conform"
    return f"{report.implementation.name} {word} at level {report.implementation.level}: {said or 'nothing was judged'}"


def known_text(report: Report) -> list[str]:
    """One line for each known deviation that was met."""
    groups: dict[str, list[Result]] = {}
    for result in report.results:
        if result.status == "known":
            groups.setdefault(result.diagnosis, []).append(result)
    return [f"known ({len(group)} results): {reason}" for reason, group in groups.items()]


def failure_text(reports: Sequence[Report]) -> str:
    """Everything that failed, as plain text; for assertions and terminals."""
    parts = []
    for report in reports:
        parts.append(verdict(report))
        for number, group in enumerate(causes(report.results), 1):
            parts.append(f"{number}. {cause_text(group)}")
    return "\n".join(parts)


def print_report(report: Report, console: Console) -> None:
    """The table, the notes, the causes and the verdict."""
    console.print(table(report))
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False)
    for line in known_text(report):
        console.print(line, style="magenta", markup=False, highlight=False, soft_wrap=True)
    for number, group in enumerate(causes(report.results), 1):
        console.print()
        console.print(f"{number}. {cause_text(group)}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    style = "bold green" if report.conforms else "bold red"
    console.print(verdict(report), style=style, markup=False, highlight=False, soft_wrap=True)
