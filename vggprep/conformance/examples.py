"""Hypothesis's example database for the suite's exploration: shared by processes, runs, and whoever has the folder.

A counterexample that one process saves comes first in the next. Imports Hypothesis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

FOLDER = ".hypothesis/examples"
"""Where Hypothesis has it, below the current folder; used where its own profile has no database, as on a CI server."""


def database(about: str) -> ExampleDatabase:
    """The database of Hypothesis's current profile, with keys that belong to ``about`` alone.

    Hypothesis tells tests apart by their code, and all implementations are explored by the same code.
    """
    return _Apart(settings().database or DirectoryBasedExampleDatabase(FOLDER), about)


class _Apart(ExampleDatabase):
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
