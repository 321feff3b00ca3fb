"""At which release, or on which day, behaviour changed between two versions: builds are tried halfway between.

The rows that differ between the two ends are known; of each difference a few are asked of the builds between, so a try
takes seconds. What was observed is kept in the user's cache directory, so a search that was interrupted goes on.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from packaging.version import Version

from vggprep.releases import canonical, load_side, questions, record
from vggprep.releases.changes import Difference, behaves_alike, common, listed
from vggprep.releases.environments import DAYS, NIGHTLY, PUBLISHED, install_and_observe
from vggprep.releases.observation import MachineError, Observation, ObservationError, Progress
from vggprep.releases.questions import Question

WITH_NIGHTLIES = ("keras", "tf_keras", "keras-hub")
"""The packages of which there are nightly builds."""

ROWS = 6
"""How many rows of a difference are asked of the builds between."""

# A release is branched off before its day, so builds of these days before it may lack what it has, or the reverse.
_BRANCHED = timedelta(days=45)
_RELEASE = re.compile(r"\b\d+(?:\.\d+)+\b(?!\.)")
_NIGHTLY = re.compile(r"\d+(?:\.\d+)+\.dev(\d{8})\d*")


@dataclass(frozen=True)
class Build:
    """A release or a nightly build of a package, ``keras`` or ``keras[torch]`` for instance, and its day if known."""

    package: str
    version: str
    day: date | None

    @property
    def nightly(self) -> bool:
        """Whether it is a nightly build."""
        return ".dev" in self.version

    @property
    def name(self) -> str:
        """As a requirement: ``keras==3.12.0``, ``keras-nightly==3.12.0.dev2025090803``."""
        name, bracket, backend = self.package.partition("[")
        return f"{name}{NIGHTLY if self.nightly else ''}{bracket}{backend}=={self.version}"

    def __str__(self) -> str:
        return f"{self.name} ({self.day or 'day unknown'})"


def build(package: str, version: str) -> Build:
    """The build that a person names; ObservationError if no such release was published."""
    if nightly := _NIGHTLY.fullmatch(version):
        return Build(package, version, _day(nightly[1]))
    package, _, version = canonical(f"{package}=={version}").partition("==")
    return Build(package, version, DAYS.get(f"{package.partition('[')[0]}=={version}"))


def releases(old: Build, new: Build) -> list[Build]:
    """The releases between two builds, oldest first."""
    package = old.package.partition("[")[0]
    found = [Build(old.package, version, DAYS.get(f"{package}=={version}")) for version in PUBLISHED[package]]
    return [one for one in found if Version(old.version) < Version(one.version) < Version(new.version)]


def nightlies(old: Build, new: Build) -> list[Build]:
    """The nightly builds between two builds that an index offers, oldest first.

    From 45 days before a release on, as a release is branched off before it is published.
    """
    first = (old.day or date.min) - (timedelta() if old.nightly or not old.day else _BRANCHED)
    last = new.day or date.max
    found = [one for one in _offered(old.package) if one.day and first <= one.day <= last]
    return [one for one in found if one.version not in (old.version, new.version)]


def newest(package: str) -> tuple[Build, Build]:
    """The newest release and the newest nightly build that an index offers for this Python."""
    name = package.partition("[")[0]
    if name not in WITH_NIGHTLIES:
        raise ObservationError(f"{name} has no nightly builds to watch; expected {listed(WITH_NIGHTLIES, 'or')}")
    versions = sorted(map(Version, _RELEASE.findall(_index(name))))
    if not versions:
        raise ObservationError(f"the package index offers no release of {package}")
    return build(package, str(versions[-1])), _offered(package)[-1]


def _offered(package: str) -> list[Build]:
    """Every nightly build that an index offers for this Python, oldest first."""
    name = package.partition("[")[0] + NIGHTLY
    versions = {found[0] for found in _NIGHTLY.finditer(_index(name, "--pre"))}
    if not versions:
        raise ObservationError(f"the package index offers no nightly build of {name} for this Python")
    found = [build(package, version) for version in versions]
    return sorted(found, key=lambda one: (one.day or date.min, Version(one.version)))


def _index(name: str, *options: str) -> str:
    """The versions of a package that an index offers, in the words of pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions", *options, name]
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        lines = [line for line in said.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        why = lines[-1].removeprefix("ERROR: ") if lines else "pip gives no reason"
        raise MachineError(
            f"cannot list {name}: {why}; is the package index reachable, has it {name}, and is pip here?"
        )
    return said.stdout.partition("Available versions:")[2].partition("\n")[0]


def _day(digits: str) -> date | None:
    try:
        return date.fromisoformat(digits)
    except ValueError:
        return None


# ---- the search ------------------------------------------------------------------------------------------------------


def rows_to_ask(differences: Sequence[Difference]) -> list[Question]:
    """A few rows of each difference, spread over it, with what must be asked before them in the same process."""
    wanted: set[str] = set()
    for difference in differences:
        step = max(1, len(difference.rows) // ROWS)
        wanted |= set(difference.rows[::step][:ROWS])
    every = questions.questions()
    groups = {(q.group, q.after) for q in every if q.id in wanted and q.after}
    return [q for q in every if q.id in wanted or (q.group, q.after) in groups]


@dataclass(frozen=True)
class Try:
    """What one build did: nothing other than the old end, something, or it could not be run, and why."""

    build: Build
    changed: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class Found:
    """The two neighbours between which behaviour first changed, and every build that was tried, in order.

    ``moved`` are the differences between the ends of which a row changed here, with how many of the rows asked did;
    ``later`` those of which none did. ``again`` are rows that changed here and answer otherwise at the new end.
    """

    before: Build
    after: Build
    moved: tuple[tuple[Difference, int, int], ...] = ()
    later: tuple[Difference, ...] = ()
    again: tuple[str, ...] = ()
    between: tuple[Build, ...] = ()
    tries: tuple[Try, ...] = field(default=())


def whole(one: Build, progress: Progress | None = None) -> Observation:
    """Every row of a build: from the record, or installed and observed."""
    if one.nightly:
        return install_and_observe(one.name, progress=progress)
    return load_side(one.name, install=True, progress=progress)


Observe = Callable[[Build, Sequence[Question]], Observation]


def install(one: Build, asked: Sequence[Question]) -> Observation:
    """Install a build into the user's cache directory and ask it."""
    return install_and_observe(one.name, asked=asked)


def search(
    ends: tuple[Build, Build],
    sides: tuple[Observation, Observation],
    between: Sequence[Build],
    differences: Sequence[Difference],
    *,
    observe: Observe = install,
    report: Callable[[Try], None] = lambda _: None,
) -> Found:
    """Find where the old end's behaviour ends. Takes about log2 of the builds between, and two for the ends.

    A build that cannot be run is passed over for its neighbour. An end that was not observed here is, where it is one
    of the two neighbours found: ObservationError if it does not behave as it did elsewhere, or if nothing could be run.
    """
    asked = [q for q in rows_to_ask(differences) if q.id in common(*sides)]
    builds = [ends[0], *between, ends[1]]
    low, high = 0, len(builds) - 1
    tries: list[Try] = []
    ran: dict[int, Observation] = {}

    def ask(at: int) -> bool:
        try:
            found = observe(builds[at], asked)
            if not common(sides[0], found):
                raise ObservationError("it can run none of the rows that are asked")
            ran[at] = found
            tried = Try(builds[at], _unlike(sides[0], found, asked))
        except MachineError:
            raise  # no other build would do better
        except ObservationError as error:
            tried = Try(builds[at], why_not=str(error))
        tries.append(tried)
        report(tried)
        return not tried.why_not

    failed: set[int] = set()
    while left := set(range(low + 1, high)) - failed:
        at = min(left, key=lambda one: abs(2 * one - low - high))
        if not ask(at):
            failed.add(at)
        elif tries[-1].changed:
            high = at
        else:
            low = at
    for at, side in ((low, sides[0]), (high, sides[1])):
        if builds[at] in ends and at not in ran and ask(at) and (other := _unlike(side, ran[at], asked)):
            raise ObservationError(
                f"{builds[at].name} does not behave here as recorded ({len(other)} of {len(asked)} rows, {other[0]}), "
                "so it is not the builds alone that differ; observe both ends here and use vggprep diff"
            )
    if tries and not ran:
        first = tries[0]
        raise ObservationError(
            f"none of the {len(tries)} builds tried can be run here; {first.build.name}: {first.why_not}"
        )
    last = ran.get(high, sides[1])
    changed = set(_unlike(sides[0], last, asked))
    again = tuple(name for name in _unlike(sides[1], last, asked) if name in changed)
    here = [(d, len(changed & set(d.rows)), sum(q.id in d.rows for q in asked)) for d in differences]
    return Found(
        builds[low],
        builds[high],
        moved=tuple(one for one in here if one[1]),
        later=tuple(d for d, count, of in here if not count),
        again=again,
        between=tuple(builds[at] for at in sorted(failed) if low < at < high),
        tries=tuple(tries),
    )


def _unlike(one: Observation, other: Observation, asked: Sequence[Question]) -> tuple[str, ...]:
    """The rows that two observations answer otherwise, but for rounding."""
    both = common(one, other)
    names = [question.id for question in asked if question.id in both]
    return tuple(name for name in names if not behaves_alike(name, one.rows[name], other.rows[name]))


def came_and_went(
    old: Build, new: Build, side: Observation, narrowed: Callable[[Observation], Observation]
) -> list[Build]:
    """The recorded releases between two that behave alike which behave otherwise: ``side`` is what the ends do."""
    found = []
    for one in releases(old, new):
        if one.name in record.shipped().names():
            other = narrowed(record.shipped().observation(one.name))
            if any(not behaves_alike(name, side.rows[name], other.rows[name]) for name in common(side, other)):
                found.append(one)
    return found
