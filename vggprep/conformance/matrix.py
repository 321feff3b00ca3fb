"""One table of several reports: checks down, environments across.

``python -m vggprep.conformance.matrix FOLDER`` prints it, and with a FILE that of one report.
``tox run -e matrix`` writes the reports, having cleared an environment's last one with ``--clear FILE``, so that a run
that fails to start is missing from the table rather than shown as it was. Imports the report's vocabulary and rich.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vggprep.checks import CHECKS
from vggprep.conformance.report import FORMAT, counts

_VERSIONS = ("python", "numpy", "keras", "tf_keras", "tensorflow", "torch", "jax")


@dataclass(frozen=True)
class Column:
    """One report: its environment's name, the versions that ran, and how often each check had each status."""

    name: str
    versions: Mapping[str, str]
    statuses: Mapping[str, Counter[str]]

    @property
    def conforms(self) -> bool:
        """Whether nothing failed and something passed."""
        total = sum(self.statuses.values(), Counter[str]())
        return not total["failed"] and bool(total["passed"])


def read(path: Path) -> Column:
    """Read a report that ``vggprep check --report`` wrote. Raises ``ValueError`` for another or a truncated file."""
    try:
        header, *rows, footer = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        foreign = header["format"] != FORMAT or footer["kind"] != "footer" or footer["rows"] != len(rows)
    except (ValueError, LookupError, TypeError):
        foreign = True
    if foreign:
        raise ValueError(f"{path} is no whole report of vggprep check; run the check again")
    statuses: dict[str, Counter[str]] = {}
    for row in rows:
        statuses.setdefault(row["check"], Counter())[row["status"]] += 1
    return Column(path.stem, header["versions"], statuses)


def table(columns: Sequence[Column]) -> Table:
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
    verdicts = (
        Text("conforms", style="bold green") if column.conforms else Text("does NOT", style="bold red")
        for column in columns
    )
    grid.add_row("verdict", *verdicts)
    return grid


def _field(found: Counter[str]) -> Text:
    """The statuses that say most: what failed or is known, else that it passed, else what else became of it."""
    loud = Counter({status: found[status] for status in ("failed", "known") if found[status]})
    return counts(loud or Counter({"passed": found["passed"]}) if found["passed"] or loud else found, sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of one report or of those in a folder; 2 if there are none or one of them is not whole."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) == 2 and given[0] == "--clear":
        Path(given[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(given[1]).unlink(missing_ok=True)
        return 0
    if len(given) != 1:
        print("usage: python -m vggprep.conformance.matrix FOLDER or FILE, or --clear FILE", file=sys.stderr)
        return 2
    place = Path(given[0])
    paths = [place] if place.is_file() else sorted(place.glob("*.jsonl"))
    if not paths:
        print(f"there are no reports (*.jsonl) in {place}; run tox run -e matrix", file=sys.stderr)
        return 2
    try:
        columns = [read(path) for path in paths]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(highlight=False)
    grid = table(columns)
    # As wide as it must be: a table folded in the middle of its words cannot be read, a scrolled one can.
    needed = console.measure(grid, options=console.options.update(max_width=1000)).maximum
    Console(highlight=False, width=max(needed, 60)).print(grid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
