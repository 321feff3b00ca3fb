"""A crash of the suite is an error, not a failure of the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from judged import CELL, WRONG, correct, judge, row

from vggprep import Implementation
from vggprep.cases import Cell
from vggprep.checks import CHECKS, Finding, Subject
from vggprep.checks.check import check
from vggprep.conformance import report as reports
from vggprep.conformance.results import exit_code
from vggprep.spec import Direction


@check("forward")
def crashes(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
    """The suite itself fails here."""
    yield None
    raise ZeroDivisionError(f"in {cell.mode}")


VALUE = next(check for check in CHECKS if check.name == "value")


def test_a_crash_in_a_check_is_an_error_and_the_rest_is_judged() -> None:
    report = judge(correct, checks=[crashes, VALUE])
    result = row(report, "crashes")
    assert (result.status, result.message) == ("error", "the suite itself failed: ZeroDivisionError: in caffe")
    assert "ZeroDivisionError" in result.traceback
    assert "test_errors.py" in result.traceback
    assert row(report, "value").status == "passed"
    assert not report.conforms
    assert exit_code([report]) == 3
    assert reports.verdict(report).startswith("it cannot be judged")
    assert "please report it" in "\n".join(reports.error_text(report))


def test_an_error_goes_before_a_failure_in_the_exit_code() -> None:
    swapped = judge(WRONG, checks=[VALUE])
    assert exit_code([swapped]) == 1
    assert exit_code([swapped, judge(correct, checks=[crashes])]) == 3
    assert exit_code([judge(correct, checks=[VALUE])]) == 0


def test_what_was_found_before_a_crash_is_a_failure() -> None:
    @check("forward")
    def finds_and_crashes(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
        """Both."""
        yield Finding("mutation", direction, cell)
        raise ZeroDivisionError

    result = row(judge(correct, checks=[finds_and_crashes]), "finds_and_crashes")
    assert result.status == "failed"
    assert "ZeroDivisionError" in result.traceback


def test_no_ledger_excuses_an_error() -> None:
    from vggprep.conformance.ledger import Entry

    report = judge(Implementation("it", correct), checks=[crashes], ledger=[Entry(("crashes",), "known")])
    assert row(report, "crashes", CELL).status == "error"


def test_the_report_file_has_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = judge(correct, checks=[crashes])
    reports.write(tmp_path / "r.jsonl", [report])
    assert "test_errors.py" in (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    column = reports.read(tmp_path / "r.jsonl")
    assert column.statuses["crashes"]["error"] == len(report.results)
    assert not column.conforms
