"""``vggprep modes``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from vggprep.cli.models import models_option
from vggprep.spec import MODELS, MODES


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@models_option
def modes(as_json: bool) -> None:
    """Print which keras.applications module wants which mode, and what each mode does.

    \b
    vggprep modes
    vggprep modes --json
    """
    if as_json:
        document = {"modes": {name: asdict(mode) for name, mode in MODES.items()}, "models": dict(MODELS)}
        click.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "mode", "keras.applications modules", "what it does to RGB 0..255", "where it comes from", show_lines=True
    )
    for name, mode in MODES.items():
        table.add_row(name, ", ".join(model for model in MODELS if MODELS[model] == name), mode.summary, mode.source)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
