"""Known failures: live, stale and ignored entries, and which release they are for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged import CELL, FEW, Array, correct, failed, failing_checks, judge, refuses_caffe_bytes, row, swapped_in_caffe

from vggprep import (
    Implementation,
    check_implementation,
    preprocess_input,
)
from vggprep.checks import CHECKS
from vggprep.conformance import engine, judging, ledger
from vggprep.conformance.engine import Selection
from vggprep.conformance.ledger import LedgerError
from vggprep.implementations import keras
from vggprep.spec import DataFormat, ModeName


def entry(**words: Any) -> ledger.Entry:
    return ledger.entry({"reason": "red and blue change places"} | words)


def test_a_failure_that_a_ledger_knows_is_known_and_says_why() -> None:
    report = judge(swapped_in_caffe)
    checks = sorted(failing_checks(report))
    assert checks
    known = judge(swapped_in_caffe, ledger=[entry(check=checks, mode="caffe", link="https://example.org/1")])
    assert known.conforms
    assert not failed(known)
    result = row(known, "value")
    assert result.status == "known"
    assert result.diagnosis == "red and blue change places (https://example.org/1)"
    assert row(known, "value", CELL._replace(mode="tf")).status == "passed"


def test_an_entry_covers_only_what_it_names() -> None:
    checks = sorted(failing_checks(judge(swapped_in_caffe)))
    for words in ({"rank": 4}, {"check": checks[:1]}, {"implementation": "another"}, {"dtype": "uint8"}):
        report = judge(swapped_in_caffe, ledger=[entry(**({"check": checks, "mode": "caffe"} | words))])
        assert not report.conforms
    assert row(judge(swapped_in_caffe, ledger=[entry(check="value", rank=4)]), "value").status == "known"


MEASURED = "computes R - 103.939, G - 116.779, B - 123.68, where B - 103.939, G - 116.779, R - 123.68 is expected"


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ({"finding": ["value", "falling"]}, True),
        ({"finding": "mutation"}, False),
        ({"cause": MEASURED}, True),
        ({"cause": ["no_swap", "means_swapped"]}, False),
        ({"finding": "mutation", "cause": MEASURED}, False),
    ],
)
def test_another_bug_in_the_same_cells_is_not_covered(words: dict[str, Any], known: bool) -> None:
    report = judge(swapped_in_caffe, ledger=[entry(check=["value"], mode="caffe", **words)])
    assert row(report, "value").status == ("known" if known else "failed")
    assert any(result.finding == "stale_entry" for result in report.results) != known


def test_cells_that_pass_stay_passed_under_a_live_entry() -> None:
    report = judge(swapped_in_caffe, ledger=[entry(check="value")])
    assert row(report, "value").status == "known"
    assert row(report, "value", CELL._replace(dtype="uint8")).status == "passed"


def test_an_entry_that_matches_what_was_judged_and_did_not_fail_is_stale_and_fails_the_run() -> None:
    stale = entry(check="monotone", mode="tf")
    report = judge(correct, ledger=[stale])
    assert not report.conforms
    (result,) = failed(report)
    assert result.message == "stale ledger entry, nothing fails any more: red and blue change places"
    warned = judge(correct, ledger=[stale], tolerate_stale=True)
    assert warned.conforms
    assert result.message in warned.notes


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        ({"until": date(2026, 1, 31)}, "mine", ", it was accepted until 2026-01-31: "),
        ({"until": "2026-01-31"}, "mine", ", it was accepted until 2026-01-31: "),
        ({"until": "2026-02-01"}, "mine", ""),
        ({"until_release": "1.9"}, "keras:tensor", ", it was accepted until release 1.9: "),
        ({"until_release": "2.0.0"}, "keras:tensor", ", it was accepted until release 2.0.0: "),
        ({"until_release": "2.1"}, "keras:tensor", ""),
        ({"until_release": "1.9"}, "mine", ""),
    ],
)
def test_an_entry_past_its_date_fails_the_run_and_says_so(
    words: dict[str, Any], name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras, "version_of", lambda package: "2.0.0")
    known = ledger.applicable([entry(check=["value"], mode="caffe", **words)], name, date(2026, 2, 1)).entries
    report = judge(swapped_in_caffe, ledger=known)
    assert row(report, "value").status == "known"
    over = [result for result in report.results if result.finding == "expired_entry"]
    assert [result.status for result in over] == (["failed"] if said else [])
    assert all(result.message == f"expired ledger entry{said}red and blue change places" for result in over)


@pytest.mark.parametrize(
    ("until", "mode", "days"),
    [
        ("2026-03-03", "caffe", 30),
        ("2026-02-01", "caffe", 0),
        ("2026-03-04", "caffe", None),
        ("2026-01-31", "caffe", None),
        ("2026-02-20", "tf", None),
    ],
)
def test_the_end_of_an_entry_is_announced_thirty_days_before(until: str, mode: str, days: int | None) -> None:
    known = [
        entry(check="value", mode=mode, until=until),
        entry(check="value", until_release="3.0"),
        entry(check="value"),
    ]
    said = ledger.ending(known, "mine", [("value", CELL), ("monotone", CELL._replace(mode="tf"))], date(2026, 2, 1))
    line = f"accepted until {until}, {days} days from now, and failing the run after that: red and blue change places"
    assert said == ([] if days is None else [line])


def test_a_report_announces_the_end_of_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    until = date.today() + timedelta(9)
    value = [check for check in CHECKS if check.name == "value"]
    monkeypatch.setattr(judging, "run", functools.partial(engine.run, checks=value))
    known = [entry(check="value", until=until)]
    report = judging.judge(Implementation("it", swapped_in_caffe), known=known, selection=FEW, examples=0)
    assert report.conforms
    assert [note.partition(", and")[0] for note in report.notes] == [f"accepted until {until}, 9 days from now"]


def test_an_entry_past_its_date_fails_a_run_that_tolerates_stale_ones() -> None:
    known = ledger.applicable([entry(check="value", until="2026-01-31")], "mine", date(2026, 2, 1)).entries
    report = judge(correct, ledger=known, tolerate_stale=True)
    assert [result.finding for result in failed(report)] == ["expired_entry"]


@pytest.mark.parametrize("until", [datetime(2026, 1, 1), "31.1.2026", 2026, ""])
def test_a_day_that_is_none_is_an_error_that_says_what_one_is(until: object) -> None:
    with pytest.raises(LedgerError, match=r"expected a day such as 2027-01-31"):
        entry(check="value", until=until)


def test_an_entry_that_matches_nothing_that_was_run_is_ignored() -> None:
    for words in (
        {"mode": "torch"},
        {"implementation": "another"},
        {"dtype": "float64"},
        {"data_format": "channels_first"},
    ):
        assert judge(correct, ledger=[entry(check="value", **words)]).conforms
    refusing = Implementation("it", refuses_caffe_bytes)
    assert judge(refusing, ledger=[entry(check="value", mode="caffe")]).conforms


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"valeu": "a slip"}, r"unknown check 'valeu'; expected one of value, every_byte, .*errors"),
        ([{"check": "value"}], "'reason' is missing"),
        ([{"check": "value", "reason": "why", "finding": "wrong"}], "unknown finding 'wrong'; expected one of .*value"),
        ([{"reason": "why"}], "'check' is missing"),
        ([{"check": "value", "reason": "why", "color": "red"}], "unknown key 'color'; the keys are "),
    ],
)
def test_expected_failures_that_make_no_sense_are_errors(given: Any, message: str) -> None:
    with pytest.raises(ledger.LedgerError, match=message):
        check_implementation(correct, expected_failures=given, examples=0)


def keras_entry(*releases: str) -> ledger.Entry:
    return entry(check="value", releases=list(releases))


def test_releases_are_ordered_as_versions() -> None:
    entries = [keras_entry("3.9.0"), keras_entry("3.16.0rc1"), keras_entry("3.15.1")]
    for installed, used in (("3.16.0", "3.16.0rc1"), ("3.16.0rc1", "3.16.0rc1"), ("3.16.0.dev0", "3.15.1")):
        applicable = ledger.for_release(entries, "keras", installed)
        assert [found.releases for found in applicable.entries] == [(used,)]
        assert (used in applicable.note) == bool(applicable.borrowed_from) == (used != installed)


def test_without_an_older_release_only_entries_for_every_release_apply() -> None:
    always = entry(check="value")
    assert ledger.for_release([always, keras_entry("3.15.1")], "keras", "2.0.0") == ledger.Applicable((always,))


def test_a_release_that_is_none_is_an_error() -> None:
    with pytest.raises(ledger.LedgerError, match=r"'newest' is not a release; expected one such as '3\.15\.1'"):
        keras_entry("newest")


def test_entries_with_releases_speak_of_keras_and_excuse_nobody_else() -> None:
    applicable = ledger.applicable([keras_entry("1.0.0")], "mine")
    assert applicable.entries == ()
    assert "those of Keras" in applicable.note


def truncated_means(x: Array) -> Array:
    return np.array(x[..., ::-1].astype("int64") - [103, 116, 123]).astype(x.dtype)


def saturating(x: Array) -> Array:
    y: Array = np.clip(x[..., ::-1].astype("int64") - [103, 116, 123], 0, 255)
    return y.astype(x.dtype)


@pytest.mark.parametrize(
    ("integers", "known"),
    [(truncated_means, True), (saturating, False), (np.copy, False)],
)
def test_another_bug_with_integers_is_not_what_the_shipped_ledger_accepts(
    integers: Callable[[Array], Array], known: bool
) -> None:
    def like_keras(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        return integers(x) if mode == "caffe" and x.dtype.kind in "iu" else preprocess_input(x, data_format, mode)

    shipped = ledger.read(Path(ledger.__file__).with_name("ledgers") / "keras-tensorflow.toml")
    entries = ledger.for_release(shipped, "keras", "3.15.1").entries
    narrow = Selection(modes=("caffe",), data_formats=("channels_last",), dtypes=("uint8",))
    named = [check for check in CHECKS if check.name in ("value", "every_byte")]
    like = Implementation("keras:tensor", like_keras)
    report = judge(like, selection=narrow, checks=named, ledger=entries, tolerate_stale=True)
    assert {result.status for result in report.results} == {"known" if known else "failed"}
