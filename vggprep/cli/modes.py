"""``vggprep modes``: what each mode does, Keras's, published ones, and those in configuration files."""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vggprep.cli.models import models_option
from vggprep.configurations import FORMATS, Configuration, read, words, write
from vggprep.configurations.affine import levels_apart, same_as
from vggprep.errors import VggprepError
from vggprep.files import printable
from vggprep.published import PUBLISHED
from vggprep.spec import MODELS, MODES


@click.command()
@click.argument("sources", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--as", "format", type=click.Choice(FORMATS), help="Write the mode in this format.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@models_option
def modes(sources: tuple[str, ...], format: str | None, as_json: bool) -> None:
    """Print which keras.applications module wants which mode, and what each mode does.

    \b
    vggprep modes
    vggprep modes clip
    vggprep modes preprocessor_config.json
    vggprep modes preprocessor_config.json --as deepstream
    vggprep modes --json

    A FILE is the configuration that ships with somebody's weights: Hugging Face's, timm's, KerasHub's, Keras's,
    albumentations', torchvision's, OpenVINO's, DeepStream's, OpenCV's, Core ML's, or vggprep's own TOML. With --as, the
    exit code is 1 if the format cannot say the mode, and it is told how far off the file is.
    """
    found = [_source(source) for source in sources]
    if format and (len(found) != 1 or as_json):
        raise VggprepError("--as writes one mode: name one mode or file, and leave --json out")
    if format:
        _write(found[0], format)
    elif found and as_json:
        click.echo(json.dumps([_document(one) for one in found], indent=2))
    elif found:
        click.echo("\n\n".join(map(_described, found)))
    elif as_json:
        tables = {"modes": MODES, "published": PUBLISHED}
        document: dict[str, Any] = {key: {n: asdict(m) for n, m in table.items()} for key, table in tables.items()}
        click.echo(json.dumps(document | {"models": dict(MODELS)}, indent=2))
    else:
        _table()


def _source(source: str) -> Configuration:
    """A name is looked up first, so that a file of that name does not change what it means."""
    if known := MODES.get(source) or PUBLISHED.get(source):
        return Configuration(known, "")
    if "." not in source and "/" not in source and not Path(source).exists():
        near = difflib.get_close_matches(source, [*MODES, *PUBLISHED], n=3)
        hint = f"the nearest: {', '.join(near)}" if near else "vggprep modes lists the modes"
        raise VggprepError(f"there is no mode and no file {source!r}; {hint}")
    return read(source)


def _described(one: Configuration) -> str:
    mode = one.mode
    do, undo = words.python(mode)
    same = [_same(one, name) for name in same_as(mode) if name != mode.name]
    rows = [
        ("does", words.sentence(mode)),
        ("formula", f"{words.formula(mode)}, {mode.channel_order}"),
        *([("values", f"those of {', '.join(same)}")] if same else []),
        ("in Python", do),
        ("undone by", undo),
        *([("for", mode.summary)] if mode.summary and mode.name not in MODES else []),
        *([("source", mode.source)] if mode.source and not (one.format and one.format != "toml") else []),
        *(("note", note) for note in one.notes),
        *([("asks for", f"{', '.join(one.unjudged)}: not judged here")] if one.unjudged else []),
    ]
    head = f"{mode.name}: {f'a mode in the format {one.format}' if one.format else 'a mode'}"
    return "\n".join([printable(head), *(printable(f"  {label:<10} {text}") for label, text in rows)])


def _same(one: Configuration, name: str) -> str:
    apart = levels_apart(one.mode, MODES.get(name) or PUBLISHED[name])
    return f"{name} (to {float(apart):.1g} grey levels)" if apart else name


def _document(one: Configuration) -> dict[str, Any]:
    said = {"format": one.format or None, "not_judged": one.unjudged, "notes": one.notes}
    return asdict(one.mode) | said | {"same_values_as": list(same_as(one.mode))}


def _write(one: Configuration, format: str) -> None:
    written = write(one.mode, format)
    click.echo(written.text, nl=False)
    if one.unjudged:
        click.echo(f"vggprep: {printable(', '.join(one.unjudged))}: not carried over", err=True)
    if written.lost:
        lost = f"{format} cannot say {' and '.join(written.lost)} of {one.mode.name}"
        message = f"{lost}: what is written is up to {written.levels:.3g} grey levels off"
        click.echo(f"vggprep: {printable(message)}", err=True)
        raise SystemExit(1)


def _table() -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(
        "mode", "keras.applications modules", "what it does to RGB 0..255", "where it comes from", show_lines=True
    )
    for name, mode in MODES.items():
        table.add_row(name, ", ".join(model for model in MODELS if MODELS[model] == name), mode.summary, mode.source)
    others = Table("published mode", "what it does to RGB 0..255", "whose it is")
    for column in (*table.columns, *others.columns):
        column.overflow = "fold"  # a long name is broken, not cut
    console.print(table)
    for mode in PUBLISHED.values():
        others.add_row(mode.name, words.sentence(mode), mode.summary)
    console.print(others)
    console.print("vggprep modes NAME tells more of one; vggprep modes FILE reads the configuration of other weights.")
