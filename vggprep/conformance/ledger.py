"""Ledgers of known deviations: which failures are expected, and why.

An entry that no longer excuses anything is stale and fails the run, so that a ledger cannot rot.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from vggprep import spec
from vggprep.checks import CHECKS
from vggprep.conformance.words import WORDS
from vggprep.errors import VggprepError
from vggprep.implementations import keras
from vggprep.spec import DATA_FORMATS, DTYPES, MODES, RANKS, Mode


class LedgerError(VggprepError, ValueError):
    """A ledger that cannot be read; the message says where and what."""


@dataclass(frozen=True)
class Entry:
    """One known deviation. A field that is ``None`` matches everything; the others list what they match.

    ``finding`` and ``cause`` are those of a report: another bug in the same cells is not excused. ``until`` is the last
    day on which the entry is accepted, ``until_release`` the first release of Keras with which it no longer is;
    ``over`` says of an entry that applies which of them has passed.
    """

    check: tuple[str, ...]
    reason: str
    implementation: tuple[str, ...] | None = None
    mode: tuple[str, ...] | None = None
    data_format: tuple[str, ...] | None = None
    dtype: tuple[str, ...] | None = None
    rank: tuple[int, ...] | None = None
    finding: tuple[str, ...] | None = None
    cause: tuple[str, ...] | None = None
    releases: tuple[str, ...] | None = None
    link: str | None = None
    until: date | None = None
    until_release: str | None = None
    over: str = ""

    def ended(self, today: date, release: str | None) -> str:
        """Since when the entry is no longer accepted, in words; empty while it is. ``release``: of Keras, if it is."""
        if self.until is not None and today > self.until:
            return f"it was accepted until {self.until}"
        if self.until_release is not None and release is not None and Version(release) >= Version(self.until_release):
            return f"it was accepted until release {self.until_release}"
        return ""

    @property
    def text(self) -> str:
        """The reason, with the link if there is one."""
        return f"{self.reason} ({self.link})" if self.link else self.reason

    def matches(self, implementation: str, check: str, cell: tuple[str, str, str, int]) -> bool:
        """Whether the entry is about this check in this cell of this implementation, for any cause."""
        given = (implementation, check, *cell)
        wanted = (self.implementation, self.check, self.mode, self.data_format, self.dtype, self.rank)
        return all(w is None or g in w for g, w in zip(given, wanted, strict=True))

    def knows(self, kind: str) -> bool:
        """Whether the entry is about findings of this kind."""
        return self.finding is None or kind in self.finding


_FIELDS = {field.name for field in fields(Entry)} - {"over"}


def entry(given: Mapping[str, Any], where: str = "ledger entry", defined: Sequence[str] = ()) -> Entry:
    """Make an entry of a mapping; single values may stand for lists of one. ``defined``: modes besides the usual."""
    unknown = set(given) - _FIELDS
    if unknown:
        raise LedgerError(f"{where}: unknown key {sorted(unknown)[0]!r}; the keys are {', '.join(sorted(_FIELDS))}")
    for key in ("check", "reason"):
        if not given.get(key):
            raise LedgerError(f"{where}: {key!r} is missing")
    names = [check.name for check in CHECKS]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("reason", "link"):
            values[key] = str(value)
        elif key == "until":
            values[key] = _day(value, where)
        elif key == "until_release":
            values[key] = _release(value, where)
        else:
            values[key] = tuple(value) if isinstance(value, list | tuple) else (value,)
    own = [spec.known(mode) for mode in values.get("mode", ()) if isinstance(mode, Mode)]
    if own:
        values["mode"] = tuple(mode.name if isinstance(mode, Mode) else mode for mode in values["mode"])
    accepted: dict[str, Collection[Any]] = {
        "check": names,
        "mode": (*MODES, *defined, *own),
        "data_format": DATA_FORMATS,
        "dtype": DTYPES,
        "rank": RANKS,
        "finding": WORDS,
    }
    for key, known in accepted.items():
        for name in values.get(key, ()):
            if name not in known and not (key == "mode" and name in spec.published()):
                raise LedgerError(f"{where}: unknown {key} {name!r}; expected one of {', '.join(map(str, known))}")
    for release in values.get("releases", ()):
        _release(release, where)
    return Entry(**values)


def _release(given: Any, where: str) -> str:
    try:
        Version(str(given))
    except InvalidVersion:
        raise LedgerError(f"{where}: {given!r} is not a release; expected one such as '3.15.1'") from None
    return str(given)


def _day(given: Any, where: str) -> date:
    """A day as TOML has it, or as text. (A datetime is a date to Python, and compares with none.)"""
    try:
        return given if type(given) is date else date.fromisoformat(given)
    except (TypeError, ValueError):
        raise LedgerError(f"{where}: until is {given!r}; expected a day such as 2027-01-31") from None


def read(path: Path) -> tuple[Entry, ...]:
    """Read a TOML file of ``[[entry]]`` tables. Raises ``LedgerError``.

    Modes that are neither Keras's nor published have a ``[[mode]]`` table each: ``name``, ``order``, ``steps``.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise LedgerError(f"cannot read the ledger {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path} is not a TOML ledger: {error}") from error
    found = document.get("entry", [])
    modes = document.get("mode", [])
    if not isinstance(found, list) or not isinstance(modes, list) or set(document) - {"entry", "mode"}:
        raise LedgerError(f"{path}: a ledger holds [[entry]] tables and nothing else but [[mode]] tables")
    try:
        defined = [spec.known(spec.from_data(mode)) for mode in modes]
    except ValueError as error:
        raise LedgerError(f"{path}: {error}") from error
    return tuple(entry(e, f"{path}, entry {n}", defined) for n, e in enumerate(found, 1))


def expected(given: Mapping[str, str] | Sequence[Any] | None) -> tuple[Entry, ...]:
    """Entries from ``{check: reason}``, or from a list of entries or mappings."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        return tuple(entry({"check": check, "reason": reason}, "expected_failures") for check, reason in given.items())
    return tuple(e if isinstance(e, Entry) else entry(e, "expected_failures") for e in given)


@dataclass(frozen=True)
class Applicable:
    """The entries for an implementation; those of an older release may serve: ``note`` says so.

    ``release`` is that of the Keras which it is a path of, if it is one.
    """

    entries: tuple[Entry, ...]
    note: str = ""
    borrowed_from: str = ""
    release: str | None = None


def applicable(known: Sequence[Entry] | None, name: str, today: date | None = None) -> Applicable:
    """The entries that apply to an implementation such as ``"keras:tensor"``, of ``known`` or of the shipped ledgers.

    An entry with ``releases`` applies to these releases of Keras only. ``today`` decides which are over.
    """
    found = _applicable(known, name)
    day = today or date.today()
    return replace(found, entries=tuple(replace(e, over=e.ended(day, found.release)) for e in found.entries))


NOTICE = 30
"""How many days before an entry's ``until`` a report says that it comes."""


def ending(
    entries: Sequence[Entry], name: str, judged: Iterable[tuple[str, tuple[str, str, str, int]]], today: date
) -> list[str]:
    """A line for each day within ``NOTICE`` days on which entries end that match something that was judged.

    ``judged``: a check and a cell of the implementation ``name`` each.
    """
    found: dict[date, list[str]] = {}
    several = list(judged)
    for one in entries:
        near = one.until is not None and 0 <= (one.until - today).days <= NOTICE
        if one.until is not None and near and any(one.matches(name, *each) for each in several):
            found.setdefault(one.until, []).append(one.reason)
    return [
        f"accepted until {day}, {(day - today).days} days from now, and failing the run after that: "
        + "; ".join(dict.fromkeys(reasons))
        for day, reasons in sorted(found.items())
    ]


def _applicable(known: Sequence[Entry] | None, name: str) -> Applicable:
    package = name.partition(":")[0]
    if package not in keras.PACKAGES:
        chosen = tuple(entry for entry in known or () if entry.releases is None)
        note = "ledger entries with releases do not apply: the releases are those of Keras"
        return Applicable(chosen, note if len(chosen) < len(known or ()) else "")
    if known is None:
        path = _FOLDER / f"{package}-{keras.backend_of(package)}.toml"
        known = read(path) if path.exists() else ()
    if not any(entry.releases or entry.until_release for entry in known):
        return Applicable(tuple(known))
    version = keras.version_of(package)
    return replace(for_release(known, package, version), release=version)


def for_release(entries: Sequence[Entry], package: str, version: str) -> Applicable:
    """The entries for a release; if none lists it, those of the nearest older release that some entry lists."""
    listed = {release for entry in entries for release in entry.releases or ()}
    nearest, note = version, ""
    if listed and version not in listed:
        older = [release for release in listed if Version(release) < Version(version)]
        nearest = max(older, key=Version, default="")
        note = (
            f"the ledger has no entries for {package} {version}: those for {nearest} are used, and stale ones do not "
            "fail the run"
        )
    chosen = tuple(entry for entry in entries if entry.releases is None or nearest in entry.releases)
    return Applicable(chosen, note, nearest) if note and nearest else Applicable(chosen)


_FOLDER = Path(__file__).parent / "ledgers"
