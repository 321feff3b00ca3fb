"""``vggprep faults``, ``checks`` and ``spec``: what is known to be wrong, how it is found out, and what must hold."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.table import Table

from vggprep.checks import CHECKS
from vggprep.cli.common import console, fail, mode_named
from vggprep.faults import FAULTS, Fault, in_mode, mutated
from vggprep.spec import is_known
from vggprep.specification import BY_ID, CLAUSES, VERSION, Clause

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
            "breaks": ", ".join(clauses_of(fault)),
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
            "clauses": ", ".join(check.clauses),
            "catches": ", ".join(fault.name for fault in caught),
        },
        caught[0],
    )


def _caught_by(check: str) -> list[Fault]:
    return [fault for fault in FAULTS if fault.caught_by == check]


@click.command()
@click.argument("clause", required=False)
@click.option("--trace", is_flag=True, help="Show the checks, faults, certificates and theorems of each clause.")
@click.option("--json", "as_json", is_flag=True, help="Print version and clauses, with their trace, as JSON.")
def spec(clause: str | None, trace: bool, as_json: bool) -> None:
    """Print the clauses of the specification, or one of them, and what tests, breaks and proves each.

    \b
    vggprep spec
    vggprep spec VP-CAFFE-1
    vggprep spec --trace
    """
    known = {name: one for one in CLAUSES for name in (one.id, one.id.lower())}
    chosen = CLAUSES if clause is None else (_find("clause", clause, known, "spec"),)
    rows = traced(chosen)
    if as_json:
        click.echo(json.dumps({"version": VERSION, "clauses": rows}, indent=2))
        return
    if clause is None and not trace:
        more = f"version {VERSION}; vggprep spec CLAUSE shows one of them, --trace what tests, breaks and proves each"
        _list(("clause", "what must hold"), ((one.id, one.sentence) for one in chosen), more)
        return
    for one, row in zip(chosen, rows, strict=True):
        facts = {name: ", ".join(row[name]) for name in TRACED} if trace else {}
        _tell(one.id, f"{one.sentence} {one.reason}".strip(), facts)
    if clause is None:
        counts = ", ".join(f"{sum(bool(row[name]) for row in rows)} have {name}" for name in TRACED)
        click.echo(f"version {VERSION}: {len(rows)} clauses; {counts}")


TRACED = ("checks", "faults", "certificates", "theorems")
_SPECIAL = ("VP-REFUSE-1", "VP-PIXEL-2", "VP-INPUT-2", "VP-INPUT-3")
"""What a fault breaks only if it says so: most faults give wrong values."""


def traced(clauses: Iterable[Clause]) -> list[dict[str, Any]]:
    """Each clause as data, with the names of what tests, breaks and proves it."""
    # Mutations of a published mode stand for those of all modes that are not Keras's.
    known = {fault.name: clauses_of(fault) for fault in (*FAULTS, *mutated("clip").faults)}
    return [
        {
            "id": clause.id,
            "sentence": clause.sentence,
            "reason": clause.reason,
            "checks": [check.name for check in CHECKS if clause.id in check.clauses],
            "faults": [name for name, breaks in known.items() if clause.id in breaks],
            "certificates": list(clause.certificates),
            "theorems": list(clause.theorems),
        }
        for clause in clauses
    ]


def clauses_of(fault: Fault) -> tuple[str, ...]:
    """The clauses that a fault breaks: those that it names, or those of its check for its direction and modes."""
    if fault.breaks:
        return fault.breaks
    named = next(check.clauses for check in CHECKS if check.name == fault.caught_by)
    about = (name for name in named if any(BY_ID[name].concerns(fault.direction, mode) for mode in fault.modes))
    return tuple(name for name in about if name not in _SPECIAL)


Known = TypeVar("Known")


def _find(what: str, name: str, known: Mapping[str, Known], verb: str = "") -> Known:
    if name not in known:
        near = difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else f"vggprep {verb or f'{what}s'} lists them"
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


def _tell(name: str, sentence: str, facts: Mapping[str, str], fault: Fault | None = None) -> None:
    """One of them in full; the command stands alone on its line, to be copied."""
    out = console()
    out.print(name, style="bold", markup=False)
    out.print(sentence, markup=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in facts.items():
        if value:
            table.add_row(key, value)
    out.print(table, markup=False)
    if (
        fault is not None and "." not in fault.name
    ):  # of a mode that a file defines, which another process does not know by name
        out.print(f"to see it fail:\n  vggprep check vggprep.faults:{fault.name}", markup=False, soft_wrap=True)
