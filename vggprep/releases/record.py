"""The recorded behaviour of Keras releases: how it is stored, and what can be asked of it.

Most rows never change, so the record holds, for each question, runs of releases that answered alike:
``[releases, answer, releases, answer, ...]`` in the order recorded, answers by number. Compressed with LZMA.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.version import Version

from vggprep.cases import Cell
from vggprep.releases.changes import Difference, compare_backends
from vggprep.releases.environments import PUBLISHED
from vggprep.releases.observation import Observation, ObservationError, Row, clarified
from vggprep.releases.questions import parse
from vggprep.releases.verdicts import defined

FILE = Path(__file__).with_name("record.json.xz")
FORMAT = "vggprep record of releases"
FORMAT_VERSION = 1

# Left out of the record: no difference is ever made of them, and they differ from machine to machine.
_NOT_RECORDED = ("message", "warnings")


@dataclass(frozen=True)
class Recorded:
    """One release on one backend: its line of succession, and what ran."""

    name: str
    line: str
    running: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Record:
    """Everything recorded: the releases in order, line by line, and the runs of answers by question.

    ``answers`` are rows as ``Row.to_json`` has them, made rows when a release is asked for.
    """

    releases: tuple[Recorded, ...]
    runs: Mapping[str, Sequence[int]]
    answers: Sequence[Mapping[str, Any]]
    not_run: Mapping[str, str]
    _rows: dict[int, Row] = field(default_factory=dict, repr=False)

    def names(self) -> list[str]:
        """Every recorded release, ``keras[torch]==3.15.1`` for instance."""
        return [release.name for release in self.releases]

    def observation(self, name: str) -> Observation:
        """What a recorded release did."""
        index = self.names().index(name)
        rows = {}
        for question_id, runs in self.runs.items():
            at = _at(runs, index)
            if at not in self._rows and self.answers[at]:
                # An answer given by many releases is one object in all their observations: comparing them is fast.
                self._rows[at] = Row.from_json(self.answers[at])
            if at in self._rows:
                rows[question_id] = self._rows[at]
        return Observation(self.releases[index].running, clarified(rows))


def _at(runs: Sequence[int], index: int) -> int:
    for length, answer in zip(runs[::2], runs[1::2], strict=True):
        if index < length:
            return answer
        index -= length
    raise IndexError(index)


def pack(observed: Sequence[tuple[Recorded, Observation]], not_run: Mapping[str, str]) -> bytes:
    """The record as stored. An empty answer stands for a question that a release was not asked."""
    numbers: dict[str, int] = {"{}": 0}
    runs: dict[str, list[int]] = {}
    for question_id in dict.fromkeys(question_id for _, observation in observed for question_id in observation.rows):
        answers = []
        for _, observation in observed:
            row = observation.rows.get(question_id)
            said = {} if row is None else {k: v for k, v in row.to_json().items() if k not in _NOT_RECORDED}
            answers.append(numbers.setdefault(json.dumps(said, sort_keys=True), len(numbers)))
        runs[question_id] = [number for answer, same in groupby(answers) for number in (len(list(same)), answer)]
    whole = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "releases": [[recorded.name, recorded.line, dict(recorded.running)] for recorded, _ in observed],
        "not run": dict(not_run),
        "runs": runs,
        "answers": [json.loads(answer) for answer in numbers],
    }
    return lzma.compress(json.dumps(whole, separators=(",", ":")).encode(), preset=9 | lzma.PRESET_EXTREME)


def unpack(data: bytes) -> Record:
    """The inverse of ``pack``."""
    whole = json.loads(lzma.decompress(data))
    if whole["format"] != FORMAT or whole["version"] > FORMAT_VERSION:
        raise ObservationError("this vggprep cannot read this record of releases; install vggprep again")
    releases = tuple(Recorded(*release) for release in whole["releases"])
    return Record(releases, whole["runs"], whole["answers"], whole["not run"])


@cache
def shipped() -> Record:
    """The record that ships with the package."""
    return read(FILE)


def read(path: Path) -> Record:
    """The record in a file."""
    try:
        return unpack(path.read_bytes())
    except (OSError, lzma.LZMAError, ValueError, LookupError):
        remedy = "install vggprep again, or run python -m vggprep.releases rebuild"
        raise ObservationError(f"the record of releases is missing or damaged; {remedy}") from None


def no_longer_accepted(record: Record, release: str, path: str, refused: Sequence[Cell]) -> str:
    """A sentence on what ``release`` refuses on a path and the nearest earlier one in the record accepted, if anything.

    ``release`` is, for instance, ``keras[torch]==3.16.0``; of two recorded releases, the later is asked.
    """
    line, _, version = release.partition("==")
    earlier = [name for name in record.names() if name.partition("==")[0] == line]
    earlier = [name for name in earlier if Version(name.partition("==")[2]) <= Version(version)]
    if not earlier or not refused:
        return ""
    nearest = max(earlier, key=lambda name: Version(name.partition("==")[2]))
    answered: dict[tuple[Any, ...], bool] = {}
    for question_id, row in record.observation(nearest).rows.items():
        asked = parse(question_id)
        usual = defined(asked.shape, asked.dtype, asked.known_mode, asked.data_format)
        if asked.path == path and usual and not (asked.signature or asked.layout or asked.after or row.skipped):
            key = asked.known_mode, asked.data_format, asked.dtype, len(asked.shape)
            answered[key] = answered.get(key, True) and bool(row.dtype)
    lost = [cell for cell in refused if answered.get(tuple(cell))]
    if not lost:
        return ""
    more = f" and {len(lost) - 1} more kinds of input" if len(lost) > 1 else ""
    return f"refuses {lost[0]}{more}, which {nearest} accepted when it was recorded"


# ---- history ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One difference between two successive recorded releases of a line, or of several: a line for each backend.

    ``adjacent``: no release was published between the two, so the later one made the change. ``also_changed`` is what
    else differed between the two runs (TensorFlow, NumPy, Python), which may be the cause as well.
    """

    lines: tuple[str, ...]
    before: str
    release: str
    adjacent: bool
    also_changed: Mapping[str, tuple[str, str]]
    difference: Difference

    @property
    def line(self) -> str:
        """The line of ``release``; where the change is in several, the first."""
        return self.lines[0]

    @property
    def version(self) -> str:
        """The number of ``release``."""
        return self.release.split("==")[1]

    @property
    def releases(self) -> tuple[str, ...]:
        """The release on every backend that the change is in."""
        return self.release, *(f"{line}=={self.version}" for line in self.lines[1:])

    @property
    def when(self) -> str:
        """The release that made the change, or the interval in which it was made."""
        return self.release if self.adjacent else f"after {self.before}, by {self.release}"


class _Step(NamedTuple):
    """From one recorded release to the next of its line."""

    before: Recorded
    after: Recorded
    old: Observation
    new: Observation

    @property
    def versions(self) -> tuple[Any, ...]:
        """What is the same where a change may be one on several backends."""
        names = (self.before.name, self.after.name)
        return self.line, *(name.split("==")[1] for name in names), *beside(self.old, self.new).items()

    @property
    def line(self) -> str:
        """The line, whatever the backend."""
        return self.after.line.split("[")[0]

    @property
    def date(self) -> tuple[bool, str, Version]:
        """What orders the steps: Keras on all its backends, then other lines."""
        return self.line == "keras", self.line, Version(self.new.running["keras"])


def history(mode: str | None = None, path: str | None = None, of: Record | None = None) -> list[Change]:
    """Every change of behaviour in the record, newest first, worst first within a release.

    ``mode`` and ``path`` keep the differences that touch such rows (``"caffe"``; ``"tensor"``).
    """
    changes = _changes(of or shipped())
    return [change for change in changes if _touches(change, "mode", mode) and _touches(change, "path", path)]


@lru_cache(maxsize=1)
def _changes(recorded: Record) -> Sequence[Change]:
    steps: list[_Step] = []
    for _, releases in groupby(recorded.releases, lambda release: release.line):
        observations = [(release, recorded.observation(release.name)) for release in releases]
        steps += [_Step(before, after, old, new) for (before, old), (after, new) in pairwise(observations)]
    together: dict[tuple[Any, ...], dict[str, _Step]] = {}
    for step in steps:
        together.setdefault(step.versions, {})[step.new.running.get("backend", "")] = step
    changes: list[Change] = []
    for backends in sorted(together.values(), key=lambda found: next(iter(found.values())).date)[::-1]:
        for found in compare_backends({name: (step.old, step.new) for name, step in backends.items()}):
            first, *others = (backends[name] for name in dict.fromkeys(name for name, _ in found.keys))
            lines = tuple(step.after.line for step in (first, *others))
            is_next, also = adjacent(first.before.name, first.after.name), beside(first.old, first.new)
            changes.append(Change(lines, first.before.name, first.after.name, is_next, also, found))
    return changes


def between(old: str, new: str) -> list[Change]:
    """The changes from release to release between two of the shipped record, as ``history``; none for any others."""
    releases = {release.name: release.line for release in shipped().releases}
    names = list(releases)
    if old not in releases or new not in releases or releases[old] != releases[new]:
        return []
    made = set(names[names.index(old) + 1 : names.index(new) + 1])
    return [change for change in history() if made & set(change.releases)]


def _touches(change: Change, key: Literal["mode", "path"], value: str | None) -> bool:
    return value is None or any(getattr(parse(row), key) == value for row in change.difference.rows)


def beside(old: Observation, new: Observation) -> dict[str, tuple[str, str]]:
    """What else differed between two runs: the versions of Python, NumPy and the frameworks."""
    keys = ("python", "numpy", "tensorflow", "torch", "jax")
    found = {key: (old.running.get(key, "none"), new.running.get(key, "none")) for key in keys}
    return {key: (before, after) for key, (before, after) in found.items() if before != after}


def adjacent(before: str, after: str) -> bool:
    """Whether no release was published between two of one line; tf.keras moved from TensorFlow 2.5 to Keras 2.6."""
    (old_package, old), (package, new) = (name.split("==") for name in (before, after))
    if old_package == "tensorflow" and package == "keras":
        return (old, new) == (PUBLISHED["tensorflow"][-1], "2.6.0")
    if old_package != package:
        # keras-applications was recorded under Keras 2.2.4, whose requirement admits each of its releases.
        return (before, after) == ("keras==2.2.4", "keras-applications==1.0.7")
    published = PUBLISHED[package.split("[")[0]]
    return old in published and new in published and published.index(new) - published.index(old) == 1
