"""The pages of ``vggprep diff --html`` and ``vggprep history --html``: where behaviour changed, and each change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from vggprep import pages
from vggprep.releases.changes import PATHS, TITLES, Difference
from vggprep.releases.environments import published_on
from vggprep.releases.questions import parse
from vggprep.releases.record import Change
from vggprep.spec import MODES


def of_diff(
    title: str, found: Sequence[Difference], said: Sequence[str], between: Sequence[Change] = (), command: str = ""
) -> str:
    """Two releases compared. ``said``: lines for the verdict, the first of them the loudest.

    ``between``: the changes that were made from release to release between the two, if both are in the record.
    """
    entries = [_entry(f"d{n}", n, difference) for n, difference in enumerate(found, 1)]
    modes = [mode for mode in MODES if any(mode in e["modes"] for e in entries)]
    part = {
        "title": "On which path and in which mode",
        "columns": [{"label": mode, "day": ""} for mode in modes],
        "rows": [
            (path, "", [[e for e in entries if (path, mode) in e["places"]] for mode in modes])
            for path in _paths(entries)
        ],
        "groups": [
            {"title": TITLES[kind].capitalize(), "day": "", "entries": list(own)}
            for kind, own in groupby(entries, lambda entry: entry["kind"])
        ],
    }
    look = "bad" if any(difference.matters for difference in found) else "warn" if found else "good"
    parts = [part, _timeline("Release by release", between)] if between else [part]
    return pages.render("changes.html", title=title, command=command, said=said, look=look, parts=parts)


def of_history(found: Sequence[Change], said: Sequence[str], command: str = "") -> str:
    """Every change of the record: a timeline by path and mode, newest first, and the sentences by release."""
    matter = sum(change.difference.matters for change in found)
    head = f"{len(found)} change{'s' * (len(found) != 1)} of behaviour, {matter or 'none'} of them matter"
    return pages.render(
        "changes.html",
        title="What changed in Keras's preprocess_input",
        command=command,
        said=[head, *said],
        look="",
        parts=[_timeline("When, on which path and in which mode", found)],
    )


def _timeline(title: str, found: Sequence[Change]) -> dict[str, Any]:
    entries = [
        {
            **_entry(f"c{n}", n, change.difference),
            "release": re.sub(r"\[\w+\]", "", change.release),
            "when": _when(change),
            "lines": change.lines,
        }
        for n, change in enumerate(found, 1)
    ]
    columns = [
        {
            "label": release.replace("==", " "),
            "day": str(published_on(release) or ""),
            "of": [e for e in entries if e["release"] == release],
        }
        for release in dict.fromkeys(e["release"] for e in entries)
    ]
    return {
        "title": title,
        "columns": columns,
        "rows": [
            (path, mode, [[e for e in column["of"] if (path, mode) in e["places"]] for column in columns])
            for path in _paths(entries)
            for mode in MODES
            if any((path, mode) in e["places"] for e in entries)
        ],
        "groups": [{"title": column["label"], "day": column["day"], "entries": column["of"]} for column in columns],
    }


def _entry(name: str, number: int, difference: Difference) -> dict[str, Any]:
    asked = [parse(row) for row in difference.rows]
    return {
        "id": name,
        "number": number,
        "kind": difference.kind,
        "word": TITLES[difference.kind],
        "matters": difference.matters,
        "sentence": difference.sentence,
        "lines": (),
        "when": "",
        "places": {(question.path, question.known_mode) for question in asked},
        "modes": {question.known_mode for question in asked},
    }


def _paths(entries: Iterable[dict[str, Any]]) -> list[str]:
    there = {path for entry in entries for path, _ in entry["places"]}
    return [path for path in PATHS if path in there]


def _when(change: Change) -> str:
    """What the release alone does not say: that others lie between, and what else was newer."""
    between = "" if change.adjacent else f"after {change.before}, by {change.release}"
    also = ", ".join(f"{name} {old} to {new}" for name, (old, new) in change.also_changed.items())
    return "; ".join(filter(None, (between, f"also {also}" if also else "")))
