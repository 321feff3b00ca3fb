"""Exploration on top of the corpus: Hypothesis draws cases, and an example database remembers what failed."""

from __future__ import annotations

import hashlib
import unittest
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import Flaky

from vggprep import strategies
from vggprep.cases import LAYOUTS, PANEL, Case, Cell
from vggprep.checks import Finding, Subject
from vggprep.conformance.profiles import Profile
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Outcome
from vggprep.implementations.commands import answers_at_end, foresee
from vggprep.spec import DataFormat, Direction, ModeName, definitions


def explore(
    subject: Subject, direction: Direction, cells: Sequence[Cell], profile: Profile, seed: int | None
) -> Finding | None:
    """What Hypothesis finds in the cells, if anything: among the cases in the database, then among new ones."""

    def test(case: Case) -> None:
        outcome = subject.call(case.direction, case.array(), case.mode, case.data_format)
        if outcome.refusal is not None and case.layout == "big_endian":
            return  # a byte order may be refused, as a dtype may
        finding = subject.judge(case, outcome)
        if finding is not None:
            found.append(replace(finding, explored=True))
            raise _Counterexample

    found: list[Finding] = []
    judged = subject
    native = subject.implementation.native_only or subject.implementation.writes_input
    layouts = ("c",) if native else LAYOUTS
    shapes = tuple(PANEL.values()) if subject.implementation.compiled else None
    cases = strategies.cases(cells=cells, direction=direction, layouts=layouts, shapes=shapes)
    # A saved example stands for draws from these strategies, and for no others.
    own = [mode.definition for mode in definitions(cell.mode for cell in cells)]
    about = repr((subject.implementation.name, subject.exact, direction, list(cells), layouts, shapes, *own))
    for chosen in _passes(profile, seed, about):
        explored = chosen(given(cases)(test))
        if seed is not None:
            explored = seeded(seed)(explored)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if answers_at_end(judged.function(direction)) and Phase.reuse not in chosen.phases:
                    subject = noting = _Noting(judged.implementation)  # the same test draws the same cases
                    explored()
                    foresee(judged.function(direction), noting.asked)
                    subject = judged
                explored()
        except unittest.SkipTest:  # how Hypothesis reports an empty database
            continue
        except (_Counterexample, Flaky):  # the simplest comes last; wrong once and then right counts as wrong
            return found[-1]
    return None


class _Noting(Subject):
    """In the place of a subject, notes what it would be asked."""

    def __init__(self, implementation: Implementation) -> None:
        super().__init__(implementation)
        self.asked: list[tuple[Any, ModeName, DataFormat]] = []

    def call(self, direction: Direction, array: Any, mode: Any, data_format: Any, *, keep: bool = False) -> Outcome:
        self.asked.append((array, mode, data_format))
        return Outcome(None)

    def judge(self, case: Case, outcome: Outcome | None = None) -> Finding | None:
        return None


class _Counterexample(Exception):
    pass


def _passes(profile: Profile, seed: int | None, about: str) -> list[settings]:
    """The settings of each pass: the replay of the database, if it is one of its own, and the search."""
    search = settings(
        max_examples=profile.examples,
        derandomize=not profile.random and seed is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    if not profile.replay:
        return [search]
    saved = database(about)
    if profile.random:
        return [settings(search, database=saved, phases=[Phase.reuse, Phase.generate, Phase.shrink])]
    return [settings(search, derandomize=False, database=saved, phases=[Phase.reuse, Phase.shrink]), search]


FOLDER = ".hypothesis/examples"
"""Hypothesis's own default, below the current folder; used where its profile has no database, as on a CI server."""


def database(about: str) -> ExampleDatabase:
    """The database of Hypothesis's current profile, with keys that belong to ``about`` alone.

    Hypothesis tells tests apart by their code, and all implementations are explored by the same code.
    """
    return _NamespacedDatabase(settings().database or DirectoryBasedExampleDatabase(FOLDER), about)


class _NamespacedDatabase(ExampleDatabase):
    def __init__(self, shared: ExampleDatabase, about: str) -> None:
        super().__init__()
        self._shared, self._about = shared, about.encode()

    def _key(self, key: bytes) -> bytes:
        return hashlib.sha256(self._about + b"\0" + key).digest()[:16]

    def save(self, key: bytes, value: bytes) -> None:
        self._shared.save(self._key(key), value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._shared.fetch(self._key(key))

    def delete(self, key: bytes, value: bytes) -> None:
        self._shared.delete(self._key(key), value)
