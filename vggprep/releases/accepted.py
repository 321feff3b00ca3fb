"""Differences that were accepted: an earlier ``vggprep diff --json``, from which entries may be deleted by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggprep.releases import questions
from vggprep.releases.changes import Difference, behaves_alike, common, compare
from vggprep.releases.observation import Observation, ObservationError, Row


@dataclass(frozen=True)
class Entry:
    """A difference that was accepted: its sentence, and what each of its rows answered when it was."""

    sentence: str
    rows: Mapping[str, Row]


def to_json(difference: Difference, new: Observation) -> dict[str, Any]:
    """A difference with the answers of ``new`` that it is about, as ``--json`` prints and ``read`` reads it."""
    answers = [new.rows[name].to_json() for name in difference.rows]
    # What belongs to the machine is no part of what is accepted.
    kept = [{key: value for key, value in answer.items() if key not in ("message", "warnings")} for answer in answers]
    return {**difference.to_json(), "answers": kept}


def read(path: Path) -> list[Entry]:
    """The entries of a file that ``vggprep diff --json`` printed."""
    try:
        entries = []
        for said in json.loads(path.read_text(encoding="utf-8"))["differences"]:
            answers = map(Row.from_json, said["answers"])
            rows = dict(zip(said["rows"], answers, strict=True))
            list(map(questions.parse, rows))
            entries.append(Entry(str(said["sentence"]), rows))
        return entries
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}"
    except (ValueError, LookupError, TypeError, AttributeError):
        reason = f"{path} is not a list of differences"
    raise ObservationError(f"{reason}; create one with vggprep diff OLD NEW --json") from None


def apply(entries: Sequence[Entry], old: Observation, new: Observation) -> tuple[list[Difference], list[str]]:
    """The differences that no entry accepts, and the sentences of the entries that nothing is like any more.

    A row is accepted if it behaves as it did when it was accepted, whatever ``old`` does. An entry about rows that
    are not compared is left alone.
    """
    changed = {name for difference in compare(old, new) for name in difference.rows}
    accepted = {
        name
        for entry in entries
        for name, row in entry.rows.items()
        if name in changed and behaves_alike(name, row, new.rows[name])
    }
    left = Observation(new.running, {name: row for name, row in new.rows.items() if name not in accepted})
    both = common(old, new)
    stale = [entry.sentence for entry in entries if entry.rows.keys() & both and not entry.rows.keys() & accepted]
    return compare(old, left), stale
