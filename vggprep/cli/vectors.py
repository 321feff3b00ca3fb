"""``vggprep vectors`` and ``vggprep verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vggprep import vectors as corpus
from vggprep.cli.common import THIS_MODE, console, level_option, mode_option, report_option, writing
from vggprep.conformance import report
from vggprep.conformance.results import exit_code
from vggprep.spec import MODES, Level


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@mode_option(THIS_MODE)
def vectors(folder: Path, modes: tuple[str, ...]) -> None:
    """Write the corpus as files, for a program in another language.

    DIR then holds inputs, expected outputs and a manifest.

    \b
    vggprep vectors vectors
    vggprep vectors vectors --mode preprocessor_config.json
    your-program vectors/inputs outputs
    vggprep verify vectors outputs
    """
    count = corpus.write(folder, modes or tuple(MODES))
    click.echo(f"{count} vectors in {folder}: see {folder / 'README.txt'}")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("outputs", metavar="OUTPUTS", type=click.Path(path_type=Path))
@level_option
@report_option
def verify(folder: Path, outputs: Path, level: Level | None, report_file: Path | None) -> None:
    """Judge the outputs of a program for the files that vectors wrote.

    DIR is the folder with the vectors; OUTPUTS holds NAME.npy, or NAME.bin, for each input.

    \b
    vggprep verify vectors outputs
    """
    found = corpus.verify(folder, outputs, level or "faithful")
    report.print_report(found, console())
    if report_file is not None:
        with writing(report_file):
            report.write(report_file, [found], arguments=sys.argv[1:])
    raise SystemExit(exit_code([found]))
