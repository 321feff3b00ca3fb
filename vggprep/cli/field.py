"""``vggprep field``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vggprep.cli.common import console, fail, output_option, progress, writing
from vggprep.field import quiet, results


@click.command()
@click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    help="The implementations whose name contains NAME, such as torch (repeatable), and Keras's arrays.",
)
@click.option(
    "--mode",
    "modes",
    type=click.Choice(["caffe", "tf", "torch"]),
    multiple=True,
    default=("caffe",),
    help="The mode that all are judged and timed in (repeatable); caffe by default.",
)
@click.option(
    "--merge",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run nothing; show the results in FILE, which --report has written (repeatable: several machines).",
)
@output_option("--report", "report_file", metavar="FILE.json", help="Also write the results, to send or to merge.")
@output_option("--html", "html_file", metavar="FILE.html", help="Also write a page with the picture.")
@output_option("--markdown", "page_file", metavar="FILE.md", help="Also write Markdown, and the picture beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print the results in place of the table.")
@click.option("--noisy", is_flag=True, help="Draw the picture even if the machine was too busy to measure well.")
@click.option("--images", metavar="N", type=click.IntRange(min=1), default=64, help="Time N images; 64 by default.")
def field(
    only: tuple[str, ...],
    modes: tuple[str, ...],
    merge: tuple[Path, ...],
    report_file: Path | None,
    html_file: Path | None,
    page_file: Path | None,
    as_json: bool,
    noisy: bool,
    images: int,
) -> None:
    """Judge and time every implementation that is installed here, in one table.

    Libraries, Keras on each backend, programs in Node, and what people copy from each other. Verdicts are kept until
    something of them changes, so that a second run only times. What is not installed is listed as skipped.

    \b
    vggprep field --html field.html
    vggprep field --only torch --only opencv --mode torch
    vggprep field --report mine.json
    vggprep field --merge mine.json --merge yours.json
    """
    if report_file is not None and max(len(merge), len(modes)) > 1:
        fail("--report writes the results of one machine in one mode; name one mode")
    if html_file is not None:
        from vggprep.pages import require

        require()
    files = (
        [results.read(path) for path in merge] if merge else [_run(only, mode, images) for mode in dict.fromkeys(modes)]
    )
    if as_json:
        for found in files:
            click.echo(results.text(found), nl=False)
    else:
        _show(files)
    if report_file is not None:
        with writing(report_file):
            results.write(report_file, files[0])
    if html_file is None and page_file is None:
        return
    reasons = [quiet.why_noisy(quiet.read(found["noise"])) for found in files]
    if any(reasons) and not noisy:
        fail(f"no picture is drawn of a noisy run: {next(filter(None, reasons))}; --noisy draws it all the same")
    _draw(files, html_file, page_file)


def _run(only: tuple[str, ...], mode: str, images: int) -> results.Row:
    from vggprep.field.adapters import ADAPTERS, KERAS, named
    from vggprep.field.run import field as run

    chosen = named(only)
    if not chosen:
        fail(f"no implementation is called {', '.join(only)}; there are {', '.join(a.name for a in ADAPTERS)}")
    # The yardstick is always there.
    adapters = [a for a in ADAPTERS if a in chosen or a.name == KERAS]
    with progress() as advance:
        said = ""

        def told(what: str, done: float) -> None:
            nonlocal said
            advance(what, done)
            if not sys.stderr.isatty() and what != said:
                said = what
                click.echo(f"{done:4.0%} {what}", err=True)

        return run(adapters, mode, told, images)


def _show(files: list[results.Row]) -> None:
    out = console()
    for found in files:
        for line in results.about(found):
            out.print(line, markup=False, soft_wrap=True)
    if len({found["mode"] for found in files}) < len(files):
        out.print(results.merged(files))
        return
    for found in files:
        for direction in results.TITLES:
            if results.ranked(found, direction):
                out.print()
                out.print(results.table(found, direction))
        for row in results.skipped(found):
            out.print(f"skipped: {row['name']}: {row['skipped']}", style="yellow", markup=False, soft_wrap=True)


def _draw(files: list[dict[str, Any]], html_file: Path | None, page_file: Path | None) -> None:
    from vggprep.field import page

    if page_file is not None:
        with writing(page_file):
            page.write_markdown(page_file, files)
    if html_file is not None:
        with writing(html_file):
            page.write_html(html_file, files, " ".join(["vggprep", *sys.argv[1:]]))
