"""``python -m vggprep.releases``: ``rebuild`` makes the record, ``backtest`` tries the watch on the past."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

import click

from vggprep.cli.common import output_option
from vggprep.errors import VggprepError
from vggprep.files import cache_folder
from vggprep.releases.environments import combinations
from vggprep.releases.rebuild import rebuild
from vggprep.releases.record import FILE
from vggprep.releases.watch import Told, backtest


@click.group()
def main() -> None:
    """The record of Keras releases."""


@main.command("rebuild")
@click.argument("releases", nargs=-1)
@click.option("--directory", type=click.Path(path_type=Path), help="Where environments are built; a cache folder.")
@output_option("--output", metavar="FILE", help="The record to write; the one in the package.")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="How many releases to observe at a time; 2.")
@click.option("--resume", is_flag=True, help="Keep the observations that are in the directory already.")
def rebuild_record(
    releases: tuple[str, ...], directory: Path | None, output: Path | None, workers: int, resume: bool
) -> None:
    """Build every environment, observe every release, write the record; or only RELEASES, keeping the others."""
    unknown = set(releases) - {combination.name for combination in combinations()}
    if unknown:
        raise click.UsageError(f"the record has no release {', '.join(sorted(unknown))}")
    report = partial(click.echo, err=True)
    directory = directory or cache_folder("releases")
    try:
        rebuild(directory, output or FILE, only=releases, workers=workers, resume=resume, report=report)
    except (VggprepError, OSError) as error:
        report(str(error))
        raise SystemExit(2) from None


@main.command("backtest")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), default="2021-01-01", help="Releases from this day on.")
def backtest_watch(since: datetime) -> None:
    """Tell of each change in the record that matters when a weekly watch of nightly builds would have seen it.

    Prints a row of a Markdown table for each; takes some minutes for each change, and keeps what it observes.
    """
    click.echo("| release | what changed | first nightly build with it | the one before | a weekly watch tells |")
    click.echo("|---|---|---|---|---|")

    def report(told: Told) -> None:
        first, before = (f"{one.version} ({one.day})" if one else "none" for one in (told.first, told.last_without))
        said = f"{told.days} days before" if told.days is not None else told.why_not or "not before the release"
        click.echo(f"| {told.release} ({told.released}) | {told.sentence} | {first} | {before} | {said} |")

    try:
        backtest(report, since.date())
    except (VggprepError, OSError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(prog_name="python -m vggprep.releases")
