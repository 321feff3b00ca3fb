"""One table of several reports: checks down, environments across. For ``tox run -e matrix``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from vggprep.conformance.report import ReportError, matrix, read


@click.group()
def main() -> None:
    """Work with the reports of vggprep check."""


@main.command()
@click.argument("place", type=click.Path(path_type=Path))
def table(place: Path) -> None:
    """Print the table of one report or of those in a folder."""
    paths = [place] if place.is_file() else sorted(place.glob("*.jsonl"))
    if not paths:
        raise click.UsageError(f"there are no reports (*.jsonl) in {place}; run tox run -e matrix")
    try:
        grid = matrix([read(path) for path in paths])
    except ReportError as error:
        raise click.UsageError(str(error)) from error
    # As wide as it must be: a table folded in the middle of its words cannot be read, a scrolled one can.
    console = Console(highlight=False)
    needed = console.measure(grid, options=console.options.update(max_width=1000)).maximum
    Console(highlight=False, width=max(needed, 60)).print(grid)


@main.command()
@click.argument("report", type=click.Path(path_type=Path))
def clear(report: Path) -> None:
    """Remove the report of an earlier run, so that a run that fails to start is missing from the table."""
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
