"""``vggprep observe``, ``vggprep diff`` and ``vggprep history``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vggprep.cli.common import fail, output_option, progress
from vggprep.releases import counterpart, load_side, observation, record
from vggprep.releases.changes import MATTERS, PATHS, TITLES, Difference, compare, compared
from vggprep.releases.observation import Interpreter
from vggprep.releases.questions import KERAS_MODES


@click.command()
@click.argument("target", type=click.Choice(["keras", "tf_keras", "tensorflow.keras"]))
@output_option("-o", "--output", required=True, help="Where to write it.")
@click.option("--python", metavar="INTERPRETER", help="Observe the Keras of this interpreter, which needs no vggprep.")
def observe(target: str, output: Path, python: str | None) -> None:
    """Record how an installed Keras behaves, to compare it with another one later.

    \b
    vggprep observe keras -o now.jsonl
    vggprep observe keras --python ../old-venv/bin/python -o old.jsonl
    """
    with progress() as advance:
        observed = observation.observe(
            target, Interpreter(python), progress=lambda done, all_: advance(f"observing {target}", done / all_)
        )
    observation.write(observed, output)
    click.echo(f"{observed.name}: {len(observed.rows)} rows written to {output.name}")


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--strict", is_flag=True, help="Exit with 1 for any difference, not only for one that matters.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@click.option(
    "--install", is_flag=True, help="Install and observe a release that is not in the record (takes minutes)."
)
def diff(old: str, new: str, strict: bool, as_json: bool, install: bool) -> None:
    """Say in words what changed between two releases or environments, worst first.

    OLD and NEW are files written by observe, python:INTERPRETER, or releases such as keras==2.15.0,
    keras[torch]==3.15.1, tf_keras==2.21.0, tensorflow==2.4.4 (its tf.keras) or keras-applications==1.0.7. OLD may be
    the word recorded: the release in the record that NEW should behave like. Exit code 1 if something that matters
    changed: a value that was or is wrong, or working input that is now refused or written to.

    \b
    vggprep diff keras==2.15.0 keras==3.15.1
    vggprep diff python:../old/bin/python python:../new/bin/python
    vggprep diff recorded now.jsonl
    """
    if new == "recorded":
        fail("only OLD can be recorded: the release that NEW should behave like")
    with progress() as advance:
        after = load_side(new, install=install, progress=lambda d, a: advance(f"observing {new}", d / a))
        name = counterpart(after) if old == "recorded" else old
        before = load_side(name, install=install, progress=lambda d, a: advance(f"observing {name}", d / a))
    rows = compared(before, after)
    if not rows:
        fail(f"{name} and {new} have no row in common that both could run; observe again with this vggprep")
    found = compare(before, after)
    matters = [difference for difference in found if difference.matters]
    if as_json:
        document = {"old": before.running, "new": after.running, "differences": [d.to_json() for d in found]}
        click.echo(json.dumps(document, indent=2))
    else:
        _print_differences(f"{name} -> {new}", found, rows)
    raise SystemExit(1 if (found if strict else matters) else 0)


def _print_differences(title: str, found: Sequence[Difference], rows: int) -> None:
    click.echo(f"{title}: {rows} rows compared")
    for kind, differences in groupby(found, lambda difference: difference.kind):
        click.echo(f"\n{TITLES[kind]}{' (this matters)' if kind in MATTERS else ''}")
        for difference in differences:
            click.echo(f"  {difference.sentence}")
    matters = sum(difference.matters for difference in found)
    count = f"{len(found)} difference{'s' * (len(found) != 1)}"
    verb = "matters" if matters in (0, 1) else "matter"
    click.echo(f"\n{count}, {matters or 'none'} that {verb}" if found else "\nnothing differs")


@click.command()
@click.option("--mode", type=click.Choice(KERAS_MODES), help="Changes in this mode only.")
@click.option("--path", type=click.Choice(tuple(PATHS)), help="Changes of this way to call only.")
@click.option("--all", "everything", is_flag=True, help="Also changes that do not matter: errors, dtypes, rounding.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def history(mode: str | None, path: str | None, everything: bool, as_json: bool) -> None:
    """List the changes of behaviour in the recorded releases, with the release that made each.

    \b
    vggprep history
    vggprep history --mode torch --path tensor --all
    """
    found = [change for change in record.history(mode, path) if everything or change.difference.matters]
    if as_json:
        rows = [
            {
                "line": c.line,
                "before": c.before,
                "release": c.release,
                "adjacent": c.adjacent,
                "beside": dict(c.also_changed),
                **c.difference.to_json(),
            }
            for c in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("line", "release", "what changed", show_lines=True)
    for change in found:
        table.add_row(*map(escape, (change.line, change.when, change.difference.sentence)))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    click.echo(f"{len(record.shipped().releases)} releases are recorded.")
    reasons: dict[str, list[str]] = {}
    for release, reason in record.shipped().not_run.items():
        reasons.setdefault(reason, []).append(release)
    for reason, releases in reasons.items():
        click.echo(f"Not run: {', '.join(releases)} ({reason}).")
