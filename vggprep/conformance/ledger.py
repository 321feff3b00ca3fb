"""Ledgers of known deviations: which failures are expected, and why.

An entry that no longer fails anything is stale and fails the run, so that a ledger cannot rot. Imports the
standard library only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vggprep.errors import VggprepError


class LedgerError(VggprepError, ValueError):
    """A ledger that cannot be read; the message says where and what."""


@dataclass(frozen=True)
class Entry:
    """One known deviation. A field that is ``None`` matches everything; the others list what they match."""

    check: tuple[str, ...]
    reason: str
    implementation: tuple[str, ...] | None = None
    mode: tuple[str, ...] | None = None
    data_format: tuple[str, ...] | None = None
    dtype: tuple[str, ...] | None = None
    rank: tuple[int, ...] | None = None
    releases: tuple[str, ...] | None = None
    link: str | None = None

    def matches(self, implementation: str, check: str, cell: tuple[str, str, str, int]) -> bool:
        """Whether the entry speaks of this check in this cell of this implementation."""
        given = (implementation, check, *cell)
        wanted = (self.implementation, self.check, self.mode, self.data_format, self.dtype, self.rank)
        return all(w is None or g in w for g, w in zip(given, wanted, strict=True))


_FIELDS = {field.name for field in fields(Entry)}


def entry(given: Mapping[str, Any], where: str = "ledger entry") -> Entry:
    """Make an entry of a mapping; single values may stand for lists of one."""
    unknown = set(given) - _FIELDS
    if unknown:
        raise LedgerError(f"{where}: unknown key {sorted(unknown)[0]!r}; the keys are {', '.join(sorted(_FIELDS))}")
    for key in ("check", "reason"):
        if not given.get(key):
            raise LedgerError(f"{where}: {key!r} is missing")
    from vggprep.checks import CHECKS
    from vggprep.spec import DATA_FORMATS, DTYPES, MODES, RANKS

    names = [check.name for check in CHECKS]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("reason", "link"):
            values[key] = str(value)
        else:
            values[key] = tuple(value) if isinstance(value, list | tuple) else (value,)
    accepted = {"check": names, "mode": tuple(MODES), "data_format": DATA_FORMATS, "dtype": DTYPES, "rank": RANKS}
    for key, known in accepted.items():
        for name in values.get(key, ()):
            if name not in known:
                raise LedgerError(f"{where}: {name!r} is no {key}; there are {', '.join(map(str, known))}")
    return Entry(**values)


def read(path: Path) -> tuple[Entry, ...]:
    """Read a TOML file of ``[[entry]]`` tables. Raises ``LedgerError``."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise LedgerError(f"cannot read the ledger {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path} is not a TOML ledger: {error}") from error
    found = document.get("entry", [])
    if not isinstance(found, list) or set(document) - {"entry"}:
        raise LedgerError(f"{path}: a ledger holds [[entry]] tables and nothing else")
    return tuple(entry(e, f"{path}, entry {n}") for n, e in enumerate(found, 1))


def expected(given: Mapping[str, str] | Sequence[Any] | None) -> tuple[Entry, ...]:
    """Entries from ``{check: reason}``, or from a list of entries or mappings."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        return tuple(entry({"check": check, "reason": reason}, "expected_failures") for check, reason in given.items())
    return tuple(e if isinstance(e, Entry) else entry(e, "expected_failures") for e in given)


@dataclass(frozen=True)
class Shipped:
    """The entries that vggprep ships for an installed release, and the older release they were written for, if so."""

    entries: tuple[Entry, ...]
    note: str = ""
    borrowed_from: str = ""


def shipped(name: str) -> Shipped:
    """The shipped ledger for an implementation such as ``"keras:tensor"``; empty for anything but Keras."""
    from vggprep.implementations import keras

    package = name.partition(":")[0]
    if package not in keras.PACKAGES:
        return Shipped(())
    path = _FOLDER / f"{package}-{keras.backend_of(package)}.toml"
    if not path.exists():
        return Shipped(())
    return for_release(read(path), package, keras.version_of(package))


def given(entries: Sequence[Entry], name: str) -> Shipped:
    """The entries of somebody's own ledger that speak of the installed release of Keras, or of anything else."""
    from vggprep.implementations import keras

    package = name.partition(":")[0]
    if package not in keras.PACKAGES or not any(e.releases for e in entries):
        return Shipped(tuple(entries))
    return for_release(entries, package, keras.version_of(package))


def for_release(entries: Sequence[Entry], package: str, version: str) -> Shipped:
    """The entries for a release; if none lists it, those of the nearest older release that some entry lists."""
    listed = {release for e in entries for release in e.releases or ()}
    if version not in listed:
        older = [release for release in listed if _order(release) < _order(version)]
        if not older:
            return Shipped(tuple(e for e in entries if e.releases is None))
        nearest = max(older, key=_order)
        note = (
            f"the ledger does not know {package} {version}: the entries for {nearest} serve, stale ones are only named"
        )
        return Shipped(tuple(e for e in entries if e.releases is None or nearest in e.releases), note, nearest)
    return Shipped(tuple(e for e in entries if e.releases is None or version in e.releases))


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release))


_FOLDER = Path(__file__).parent / "ledgers"
