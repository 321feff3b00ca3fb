"""Affine maps in words, and the known ones."""

from __future__ import annotations

from vggprep.explanation.affine import FAMILIES, Channel, known_maps
from vggprep.faults import FAULTS
from vggprep.spec import MODES


def test_channels_read_as_people_write_them() -> None:
    assert str(Channel(0, 1 / 127.5, -1)) == "R/127.5 - 1"
    assert str(Channel(2, 1, -103.939)) == "B - 103.939"
    assert str(Channel(1, 0.017, 0)) == "G*0.017"
    assert str(Channel(1, 0, 5)) == "5"


def test_families_are_distinct() -> None:
    assert len({f.name for f in FAMILIES} | {f.name for f in FAULTS}) == len(FAMILIES) + len(FAULTS)


def test_the_modes_come_first_among_the_known_maps() -> None:
    names = [known.name for known in known_maps()]
    assert names[: len(MODES)] == list(MODES)
    assert len(names) >= 40
