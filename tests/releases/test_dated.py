"""What is known of the days of changes: the days lie where the builds and releases say that they must."""

from __future__ import annotations

import re
from datetime import date

import pytest

from vggprep.releases import dated
from vggprep.releases.dated import DATED, Dated
from vggprep.releases.environments import DAYS, PUBLISHED
from vggprep.releases.record import history


def of_build(version: str) -> date:
    (digits,) = re.findall(r"\.dev(\d{8})", version)
    return date.fromisoformat(digits)


@pytest.mark.parametrize("one", DATED, ids=lambda one: f"{one.release}-{one.commit}")
def test_a_day_lies_between_the_neighbouring_builds_and_before_the_release(one: Dated) -> None:
    released = DAYS[f"keras=={one.release}"]
    first = of_build(one.first) if one.first else released
    published = PUBLISHED["keras"]
    before = DAYS[f"keras=={published[published.index(one.release) - 1]}"]
    # A release is branched off before its day: by two months at most so far.
    without = of_build(one.without) if one.without else before
    assert (one.day - without).days >= (0 if one.without else -60)
    assert one.day <= first <= released


def test_each_is_of_a_change_in_the_record_and_of_no_other() -> None:
    known = {change.difference.sentence: dated.found(change.release, change.difference.rows) for change in history()}
    assert {one.commit for one in DATED} == {one.commit for one in known.values() if one}
    (model,) = [change.difference for change in history(path="model") if change.version == "3.12.0"]
    assert known[model.sentence] is None  # made by another commit
    (variable,) = [change.difference for change in history(path="rescaling") if change.version == "3.11.0"][:1]
    assert dated.found("keras[jax]==3.11.0", variable.rows) is not None
    assert dated.found("tf_keras==3.11.0", variable.rows) is None
