"""``vggprep faults`` and ``vggprep checks``: what the suite knows to be wrong, and how it finds out."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import click
from rich.table import Table

from vggprep.checks import CHECKS
from vggprep.cli.common import console, fail, mode_named
from vggprep.faults import FAULTS, Fault, in_mode, mutated
from vggprep.spec import is_known

_FUNCTIONS = {"forward": "preprocess_input", "inverse": "its inverse"}


@click.command()
@click.argument("name", required=False)
@click.option("--mode", metavar="MODE", help="Those of this mode, with the mutations of its definition.")
def faults(name: str | None, mode: str | None) -> None:
    """List the known wrong implementations, or tell the story of one and how to see it fail.

    \b
    vggprep faults
    vggprep faults slim_means
    vggprep faults --mode clip
    vggprep faults --mode preprocessor_config.json
    """
    if mode is not None:
        mode = mode_named(mode)
    known = FAULTS if mode is None else in_mode(mode)
    if name is None:
        rows = ((fault.name, fault.caught_by, fault.story) for fault in known)
        more = "vggprep faults NAME tells more about one of them"
        if mode is not None:
            more = f"mutations that are {mode} exactly: {', '.join(mutated(mode).equal) or 'none'}"
        _list(("fault", "caught by", "what it does"), rows, more)
        return
    fault = _find("fault", name, {fault.name: fault for fault in (*known, *_mutations_named(name))})
    sentence = next(check.sentence for check in CHECKS if check.name == fault.caught_by)
    _tell(
        fault.name,
        fault.story,
        {
            "seen in": fault.origin or "",
            "wrong in": f"{_FUNCTIONS[fault.direction]}, mode {', '.join(fault.modes)}",
            "caught by": f"{fault.caught_by}: {sentence}",
        },
        fault,
    )


def _mutations_named(name: str) -> tuple[Fault, ...]:
    """The mutations of the mode before the colon."""
    mode, colon, _ = name.rpartition(":")
    return mutated(mode).faults if colon and is_known(mode) else ()


@click.command()
@click.argument("name", required=False)
def checks(name: str | None) -> None:
    """List the checks, or tell what one of them demands, which faults it catches, and how to see it fail.

    \b
    vggprep checks
    vggprep checks purity
    """
    if name is None:
        rows = ((check.name, str(len(_caught_by(check.name))), check.sentence) for check in CHECKS)
        _list(("check", "faults", "what must hold"), rows, "vggprep checks NAME tells more about one of them")
        return
    check = _find("check", name, {check.name: check for check in CHECKS})
    caught = _caught_by(check.name)
    _tell(
        check.name,
        check.sentence,
        {
            "judges": " and ".join(_FUNCTIONS[direction] for direction in check.directions),
            "input": f"{check.domain} dtypes" if check.domain == "all" else check.domain,
            "catches": ", ".join(fault.name for fault in caught),
        },
        caught[0],
    )


def _caught_by(check: str) -> list[Fault]:
    return [fault for fault in FAULTS if fault.caught_by == check]


Known = TypeVar("Known")


def _find(what: str, name: str, known: Mapping[str, Known]) -> Known:
    if name not in known:
        near = difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else f"vggprep {what}s lists them"
        fail(f"there is no {what} {name!r}; {hint}")
    return known[name]


def _list(head: Sequence[str], rows: Iterable[Sequence[str]], more: str) -> None:
    """A line a row: cut where a terminal ends; elsewhere whole, for searching."""
    lines = [head, *rows]
    widths = [min(30, max(map(len, column))) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join([*map(str.ljust, line[:-1], widths), line[-1]])
        if sys.stdout.isatty() and len(text) > (width := shutil.get_terminal_size().columns):
            text = f"{text[: width - 1]}…"
        click.secho(text, bold=line is head or None)
    click.echo(more, err=True)


def _tell(name: str, sentence: str, facts: Mapping[str, str], fault: Fault) -> None:
    """One of them in full; the command stands alone on its line, to be copied."""
    out = console()
    out.print(name, style="bold", markup=False)
    out.print(sentence, markup=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in facts.items():
        if value:
            table.add_row(key, value)
    out.print(table, markup=False)
    if "." not in fault.name:  # of a mode that a file defines, which another process does not know by name
        out.print(f"to see it fail:\n  vggprep check vggprep.faults:{fault.name}", markup=False, soft_wrap=True)
