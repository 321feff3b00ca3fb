"""How much Hypothesis explores: by names, known without importing it, which takes as long as NumPy, click and rich."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Profile(NamedTuple):
    """How Hypothesis explores on top of the corpus.

    ``examples``: cases drawn for each direction of an implementation. ``random``: new ones in every run, and failures
    are saved in the example database. ``replay``: the cases in the database come first.
    """

    examples: int
    random: bool
    replay: bool


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "dev": Profile(40, random=False, replay=True),
        "ci": Profile(400, random=False, replay=False),
        "nightly": Profile(4000, random=True, replay=True),
    }
)
"""``dev`` is the default. The verdict of ``ci`` depends on nothing but the code."""
