"""``vggprep observe``, ``vggprep diff``, ``vggprep history`` and ``vggprep show``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from packaging.version import Version

from vggprep.cli.common import fail, html_option, output_option, progress, write_page
from vggprep.cli.formats import Format, Remark, format_option, present
from vggprep.releases import accepted, bisection, counterpart, dated, load_side, observation, record
from vggprep.releases import watch as watching
from vggprep.releases.changes import (
    FAULTS,
    MATTERS,
    MEANINGS,
    PATHS,
    TITLES,
    Difference,
    Kind,
    common,
    compare,
    faults,
    listed,
    unchanged,
)
from vggprep.releases.environments import published_on
from vggprep.releases.observation import Interpreter, Observation
from vggprep.releases.questions import KERAS_MODES, Question, parse
from vggprep.spec import DATA_FORMATS, DTYPES, MODES

if TYPE_CHECKING:
    from click.decorators import FC


def _narrowing(name: str, choices: Sequence[str], help: str) -> Callable[[FC], FC]:
    """A repeatable option that takes what some recorded row has."""

    def known(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
        for value in given:
            if value not in choices:
                fail(f"{name} {value}: no recorded row has it; expected {listed(choices, 'or')}")
        return given

    metavar = f"[{'|'.join(choices)}]"
    return click.option(name, multiple=True, metavar=metavar, callback=known, help=f"{help} (repeatable).")


def _narrow(command: FC) -> FC:
    """The options that narrow what is compared or shown."""
    for option in (
        _narrowing("--dtype", (*DTYPES, "longdouble", "complex64"), "Rows of this input dtype only"),
        _narrowing("--data-format", DATA_FORMATS, "Rows in this data format only"),
        _narrowing("--path", tuple(PATHS), "Rows that call on this path only"),
        _narrowing("--mode", tuple(MODES), "Rows in this mode only"),
    ):
        command = option(command)
    return command


def _only(narrow: Mapping[str, Sequence[str]]) -> str:
    return "".join(f", {key.replace('_', ' ')} {listed(values, 'or')}" for key, values in narrow.items() if values)


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
@_narrow
@click.option(
    "--baseline",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Only differences that this output of --json does not have; it names those that are gone.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for any difference, not only for one that matters.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON, as --format json does.")
@format_option
@html_option
@click.option(
    "--install", is_flag=True, help="Install and observe a release that is not in the record (takes minutes)."
)
def diff(
    old: str,
    new: str,
    baseline: Path | None,
    strict: bool,
    as_json: bool,
    form: Format,
    page: Path | None,
    install: bool,
    **narrow: tuple[str, ...],
) -> None:
    """Say in words what changed between two releases or environments, worst first.

    OLD and NEW are files written by observe, python:INTERPRETER, or releases such as keras==2.15.0,
    keras[torch]==3.15.1, tf_keras==2.21.0, tensorflow==2.4.4 (its tf.keras) or keras-applications==1.0.7. OLD may be
    the word recorded: the release in the record that NEW should behave like. Exit code 1 if something that matters
    changed: a value that was or is wrong, or working input that is now refused or written to.

    \b
    vggprep diff keras==2.15.0 keras==3.15.1 --mode caffe --path tensor
    vggprep diff python:../old/bin/python python:../new/bin/python
    vggprep diff recorded now.jsonl

    To accept what differs and hear of new differences only, keep the JSON (delete entries that are not accepted):

    \b
    vggprep diff keras==2.15.0 now.jsonl --json > accepted.json
    vggprep diff keras==2.15.0 now.jsonl --baseline accepted.json
    """
    if new == "recorded":
        fail("only OLD can be recorded: the release that NEW should behave like")
    entries = accepted.read(baseline) if baseline else []
    with progress() as advance:
        after = load_side(new, install=install, progress=lambda d, a: advance(f"observing {new}", d / a))
        name = counterpart(after) if old == "recorded" else old
        before = load_side(name, install=install, progress=lambda d, a: advance(f"observing {name}", d / a))
    before, after = (_narrowed(side, narrow) for side in (before, after))
    only = _only(narrow)
    rows = len(common(before, after))
    if not rows:
        remedy = "leave out an option" if only else "observe again with this vggprep"
        fail(f"{name} and {new} have no row in common that both could run{only}; {remedy}")
    whole = compare(before, after)
    found, stale = accepted.apply(entries, before, after) if baseline else (whole, [])
    same = unchanged(before, after, whole) if whole or as_json or form == "json" else ""
    matters = any(difference.matters for difference in found)
    also = f"Also different, and perhaps the cause: {_versions(record.beside(before, after))}." if whole else ""
    also = also if record.beside(before, after) else ""
    gone = [f"{baseline} accepts what is no longer so; delete that entry: {sentence}" for sentence in stale]
    stays = f"Not changed: ordinary {same}." if same and whole else ""
    alone = _alone({name: before, new: after})
    but = f" but what {baseline} accepts" if whole else ""
    if as_json or form == "json":
        differences = [accepted.to_json(difference, after) for difference in found]
        sides = {"old": before.running, "new": after.running}
        document = {**sides, "unchanged": same, "stale": stale, "differences": differences}
        click.echo(json.dumps(document, indent=2))
    else:
        title = f"{name} -> {new}{only}: {rows} rows compared"
        unlike = [
            Remark("error" if d.matters else "warning", f"{TITLES[d.kind].capitalize()}: {d.sentence}") for d in found
        ]
        notices = [Remark("notice", line) for line in (also, stays, *alone, *gone) if line]

        def text() -> None:
            click.echo(title)
            if also:
                click.echo(also)
            _print_sentences(found, TITLES)
            click.echo(f"\n{_count(found, but)}")
            for line in (stays, *alone, *gone):
                if line:
                    click.echo(line)

        present(form, title, [*unlike, *notices], text)
    if page is not None:
        from vggprep.pages import changes

        said = [
            line for line in (_count(found, but), f"{rows} rows compared{only}", also, stays, *alone, *gone) if line
        ]
        between = [] if only else record.between(name, new)
        write_page(page, lambda typed: changes.of_diff(f"{name} -> {new}", found, said, between, typed))
    raise SystemExit(1 if (found if strict else matters) else 0)


def _alone(sides: Mapping[str, Observation]) -> list[str]:
    """The paths that one side ran and the other did not, or was not asked: nothing is said of them."""
    ran = {name: {parse(row).path for row, did in side.rows.items() if not did.skipped} for name, side in sides.items()}
    (one, paths), (other, others) = ran.items() if len(ran) == 2 else [*ran.items()] * 2
    pairs = ((one, others - paths), (other, paths - others))
    shown = [(name, [words for path, words in PATHS.items() if path in lost]) for name, lost in pairs if lost]
    return [f"Not compared, as it was not observed of {name}: {listed(words)}." for name, words in shown]


def _narrowed(observed: Observation, narrow: Mapping[str, Sequence[str]]) -> Observation:
    """The rows that the options ask for. A model's module counts as its mode, no data format as the default one."""

    def wanted(row: Question) -> bool:
        data_format = row.effective_format or DATA_FORMATS[0]
        has = {"mode": row.known_mode, "path": row.path, "data_format": data_format, "dtype": row.dtype}
        return all(not values or has[key] in values for key, values in narrow.items())

    if not any(narrow.values()):
        return observed
    return Observation(observed.running, {name: row for name, row in observed.rows.items() if wanted(parse(name))})


_NAMES = {"python": "Python", "numpy": "NumPy", "tensorflow": "TensorFlow", "jax": "JAX"}


def _versions(also: Mapping[str, tuple[str, str]]) -> str:
    """What else differed between two runs."""
    return ", ".join(f"{_NAMES.get(key, key)} {old} to {new}" for key, (old, new) in also.items())


def _print_sentences(found: Sequence[Difference], titles: Mapping[Kind, str]) -> None:
    for kind, differences in groupby(found, lambda difference: difference.kind):
        matters = kind in MATTERS and not (titles is FAULTS and kind == "compared")
        click.echo(f"\n{titles[kind]}{' (this matters)' if matters else ''}")
        for difference in differences:
            click.echo(f"  {difference.sentence}")


def _count(found: Sequence[Difference], but: str) -> str:
    """How many differences there are. ``but``: what was accepted besides."""
    matters = sum(difference.matters for difference in found)
    count = f"{len(found)} difference{'s' * (len(found) != 1)}"
    verb = "matters" if matters in (0, 1) else "matter"
    return f"{count}, {matters or 'none'} that {verb}" if found else f"nothing differs{but}"


@click.command()
@click.argument("release")
@_narrow
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.option("--install", is_flag=True, help="Install and observe a release that is not in the record.")
def show(release: str, as_json: bool, install: bool, **narrow: tuple[str, ...]) -> None:
    """Say what one release does wrong, or otherwise than with arrays, worst first.

    RELEASE is named as in diff; a file written by observe or python:INTERPRETER will do, too. Exit code 1 if anything
    is. With --path load_img, directory, generator, adapted, built or converter it says what comes out of these, too.

    \b
    vggprep show keras==3.15.1
    vggprep show keras[torch]==3.15.1 --path tensor --mode tf
    """
    with progress() as advance:
        observed = load_side(release, install=install, progress=lambda d, a: advance(f"observing {release}", d / a))
    ran = _narrowed(observed, narrow).rows
    rows = {name for name, row in ran.items() if not row.skipped}
    if not rows:
        fail(f"{release} has no row that it could run{_only(narrow)}; leave out an option")
    found = [d for d in faults(observed, rows) if d.kind != "compared" or narrow["path"]]
    wrong = [difference for difference in found if difference.kind != "compared"]
    if as_json:
        said = [{key: value for key, value in d.to_json().items() if key != "matters"} for d in found]
        click.echo(json.dumps({"release": observed.running, "faults": said}, indent=2))
    else:
        click.echo(f"{release}{_only(narrow)}: {len(rows)} rows")
        _print_sentences(found, FAULTS)
        if not wrong:
            click.echo("\nnothing is wrong, or otherwise than with arrays")
    raise SystemExit(1 if wrong else 0)


@click.command()
@click.argument("package")
@click.argument("old")
@click.argument("new")
@_narrow
@click.option("--nightly", is_flag=True, help="Search the nightly builds between them, too: to the day.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, as --format json does.")
@format_option
def bisect(
    package: str, old: str, new: str, nightly: bool, as_json: bool, form: Format, **narrow: tuple[str, ...]
) -> None:
    """Find the release, or the day, at which behaviour first changed between two versions.

    PACKAGE is keras, tf_keras, keras[torch] or keras[jax]; OLD and NEW are its versions, of releases or of nightly
    builds. Builds are installed, without their dependencies, into the user's cache directory and asked a few of the
    rows that differ; an interrupted search goes on where it was. Exit code 1 if something changed, 0 if nothing did.

    \b
    vggprep bisect keras 3.10.0 3.12.0 --path tensor --data-format channels_first
    vggprep bisect keras 3.11.3 3.12.0 --nightly
    """
    as_json = as_json or form == "json"
    ends = bisection.build(package, old), bisection.build(package, new)
    if Version(ends[0].version) >= Version(ends[1].version):
        fail(f"{old} is not older than {new}: name the older one first")
    with progress() as advance:

        def side(end: bisection.Build) -> Observation:
            return _narrowed(bisection.whole(end, lambda d, a: advance(end.name, d / a)), narrow)

        before, after = map(side, ends)
        differences = [d for d in compare(before, after) if d.kind != "rounding"]
        if not common(before, after):
            fail(f"{old} and {new} have no row in common that both could run{_only(narrow)}; leave out an option")
        gone = ""
        if not differences:
            unlike = bisection.came_and_went(*ends, before, lambda side: _narrowed(side, narrow))
            if not unlike:
                click.echo(json.dumps({"changed": False}) if as_json else f"nothing differs{_only(narrow)}")
                return
            gone = f"{old} and {new} behave alike{_only(narrow)}, but {listed([one.name for one in unlike])} did not"
            ends = ends[0], unlike[0]
            after = side(ends[1])
            differences = [d for d in compare(before, after) if d.kind != "rounding"]
        between = bisection.nightlies(*ends) if nightly else bisection.releases(*ends)
        total = len(between).bit_length() + 2
        tries: list[bisection.Try] = []

        def report(tried: bisection.Try) -> None:
            tries.append(tried)
            advance(f"tried {tried.build.name}", len(tries) / total)

        advance(f"{len(between)} builds between", 0)
        found = bisection.search(ends, (before, after), between, differences, report=report)
    if as_json:
        click.echo(json.dumps(_bisection_json(found, gone), indent=2))
    else:
        title = f"First changed after {found.before}, in {found.after}"
        moved = [
            Remark("error" if d.matters else "warning", f"{TITLES[d.kind].capitalize()}: {d.sentence}")
            for d, *_ in found.moved
        ]
        present(form, title, moved, lambda: _print_bisection(found, gone, len(between)))
    raise SystemExit(1)


def _bisection_json(found: bisection.Found, gone: str) -> dict[str, object]:
    def named(one: bisection.Build) -> dict[str, str | None]:
        return {"build": one.name, "day": str(one.day) if one.day else None}

    return {
        "changed": True,
        "before": named(found.before),
        "after": named(found.after),
        "not_run_between": [one.name for one in found.between],
        "came_and_went": gone,
        "differences": [{"rows_changed": n, "rows_asked": of, **d.to_json()} for d, n, of in found.moved],
        "later": [difference.sentence for difference in found.later],
        "changed_again": list(found.again),
        "tries": [{**named(t.build), "rows_changed": len(t.changed), "why_not": t.why_not} for t in found.tries],
    }


def _print_bisection(found: bisection.Found, gone: str, between: int) -> None:
    if gone:
        click.echo(f"{gone}: where that began.")
    for tried in found.tries:
        said = f"not run: {tried.why_not}" if tried.why_not else f"{len(tried.changed) or 'no'} rows changed"
        click.echo(f"tried {tried.build}: {said}")
    click.echo(
        f"\nFirst changed after {found.before}, in {found.after}; {len(found.tries)} of {between + 2} builds tried."
    )
    if found.between:
        click.echo(f"Not run, so it may have been in one of these: {listed([one.name for one in found.between])}.")
    for difference, count, of in found.moved:
        click.echo(f"  {difference.sentence} Of {_asked(of)}, {count} changed here.")
    if found.again:
        click.echo(f"Changed again later: {_asked(len(found.again))} of these answer otherwise at the new end.")
    if found.later:
        click.echo(f"\nChanged later ({len(found.later)} differences), for instance:")
        for difference in found.later[:3]:
            click.echo(f"  {difference.sentence}")


def _asked(rows: int) -> str:
    return f"{rows} row{'s' * (rows != 1)}{' asked' if rows else ''}"


@click.command()
@click.argument("package", default="keras")
@click.option("--since/--no-since", default=True, help="Search the builds between for the first that differs.")
@format_option
def watch(package: str, since: bool, form: Format) -> None:
    """Compare the newest nightly build with the newest release, and print the text of a bug report.

    PACKAGE is keras (the default), tf_keras, keras[torch] or keras[jax]. Both are installed, without their
    dependencies, into the user's cache directory, unless the record has the release. Exit codes as of diff: 1 if
    something that matters differs, else 0.

    \b
    vggprep watch
    vggprep watch "keras[jax]" --no-since
    """
    with progress() as advance:
        ends = bisection.newest(package)

        def side(end: bisection.Build) -> Observation:
            return bisection.whole(end, lambda d, a: advance(end.name, d / a))

        sides = side(ends[0]), side(ends[1])
        found = compare(*sides)
        matters = [difference for difference in found if difference.matters]
        dated = {}
        between = bisection.nightlies(*ends) if matters and since else []
        for at, difference in enumerate(matters if since else ()):
            advance(f"{ends[1].name}: since when", at / len(matters))
            dated[difference.sentence] = bisection.search(ends, sides, between, [difference])
    others = f", but {len(found)} differences do not matter" if found else ""
    said = f"{ends[1]} behaves as {ends[0]} in {len(common(*sides))} rows{others}"
    said = watching.issue(ends, sides, dated) if matters else said
    if form == "json":
        differences = [{"since": s.after.name if (s := dated.get(d.sentence)) else None, **d.to_json()} for d in found]
        click.echo(json.dumps({"old": sides[0].running, "new": sides[1].running, "differences": differences}, indent=2))
    elif form == "github":
        remarks = [Remark("error", difference.sentence) for difference in matters]
        present(form, f"{ends[1].name} against {ends[0].name}", remarks, lambda: click.echo(said))
    else:
        click.echo(said)
    raise SystemExit(1 if matters else 0)


@click.command()
@click.option("--mode", type=click.Choice(KERAS_MODES), help="Changes in this mode only.")
@click.option("--path", type=click.Choice(tuple(PATHS)), help="Changes of this way to call only.")
@click.option("--all", "everything", is_flag=True, help="Also changes that do not matter: errors, dtypes, rounding.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@html_option
def history(mode: str | None, path: str | None, everything: bool, as_json: bool, page: Path | None) -> None:
    """List the changes in the recorded releases by what they mean, worst first, with the release of each.

    \b
    vggprep history
    vggprep history --mode torch --path tensor --all
    """
    found = [change for change in record.history(mode, path) if everything or change.difference.matters]
    said = [f"{len(record.shipped().releases)} releases are recorded."]
    reasons: dict[str, list[str]] = {}
    for release, reason in record.shipped().not_run.items():
        reasons.setdefault(reason, []).append(release)
    said += [f"Not run: {', '.join(releases)} ({reason})." for reason, releases in reasons.items()]
    if page is not None:
        from vggprep.pages import changes

        write_page(page, lambda typed: changes.of_history(found, said, typed))
    if as_json:
        rows = [
            {
                "line": c.line,
                "lines": list(c.lines),
                "before": c.before,
                "release": c.release,
                "published": str(published_on(c.release) or "") or None,
                "adjacent": c.adjacent,
                "beside": dict(c.also_changed),
                "commit": known.commit if (known := dated.found(c.release, c.difference.rows)) else None,
                **c.difference.to_json(),
            }
            for c in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    commits: dict[str, str] = {}
    for meaning, title in MEANINGS.items():
        heads: dict[str, list[str]] = {}
        for change in (one for one in found if one.difference.meaning == meaning):
            known = dated.found(change.release, change.difference.rows)
            commits |= {known.commit: known.sentence} if known else {}
            tag = f" [{known.commit}]" if known else ""
            heads.setdefault(_head(change), []).append(f"    {change.difference.sentence}{tag}")
        if heads:
            click.echo(f"{title}\n")
            click.echo("\n".join(line for head, lines in heads.items() for line in (f"  {head}", *lines)) + "\n")
    if commits:
        click.echo("\n".join(("commits", "", *(f"  [{commit}] {words}" for commit, words in commits.items()), "")))
    click.echo("\n".join(said))


def _head(change: record.Change) -> str:
    """The release that made a change, its backends, its day, and what else was newer."""
    backends = [line.partition("[")[2].rstrip("]") or "tensorflow" for line in change.lines]
    shown = listed([{"tensorflow": "TensorFlow", "jax": "JAX"}.get(backend, backend) for backend in backends])
    where = f" on {shown}" if change.line.startswith("keras") and Version(change.version).major > 2 else ""
    day = published_on(change.release)
    also = f" (also {_versions(change.also_changed)})" if change.also_changed else ""
    when = re.sub(r"\[\w+\]", "", change.when)
    return f"{when}{where}{f', {day}' if day else ''}{also}"
