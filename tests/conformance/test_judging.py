"""The Python door, and that all doors give the same rows, notes and verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from judged import RIGHT, WRONG, Array, essence, essence_of

from vggprep import Result, check_implementation
from vggprep.cli import main
from vggprep.conformance import ledger
from vggprep.conformance.judging import judge
from vggprep.conformance.report import headlines, verdict
from vggprep.conformance.results import exit_code
from vggprep.implementations.targets import load


def test_by_default_failures_raise_once_after_all_checks() -> None:
    with pytest.raises(AssertionError) as caught:
        check_implementation(WRONG, examples=0)
    text = str(caught.value)
    assert "swapped" in text
    assert "value" in text
    assert "grey level" in text


def test_failures_can_be_warned_of_instead() -> None:
    with pytest.warns(UserWarning, match="swapped"):
        results = check_implementation(WRONG, examples=0, on_fail="warn")
    assert "failed" in {result.status for result in results}


def test_failures_can_be_returned_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    results = check_implementation(WRONG, examples=0, on_fail=None)
    assert "failed" in {result.status for result in results}
    assert not recwarn.list


def test_nothing_is_raised_for_what_conforms() -> None:
    ways: tuple[Literal["raise", "warn"] | None, ...] = (None, "warn", "raise")
    for on_fail in ways:
        results = check_implementation(RIGHT, examples=5, on_fail=on_fail)
        assert {result.status for result in results} <= {"passed", "skipped"}


def test_an_unknown_way_to_fail_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"on_fail must be .*; got 'ignore'"):
        check_implementation(RIGHT, on_fail="ignore")  # type: ignore[arg-type]


def test_expected_failures_are_a_mapping_or_a_list_of_entries() -> None:
    checks = sorted({r.check for r in check_implementation(WRONG, examples=0, on_fail=None) if r.status == "failed"})
    as_mapping: Any = dict.fromkeys(checks, "known since spring")
    as_list: Any = [{"check": checks, "mode": "caffe", "reason": "known since spring"}]
    for expected in (as_mapping, as_list, [ledger.entry(as_list[0])]):
        results = check_implementation(WRONG, expected_failures=expected, examples=0)
        assert {r.check for r in results if r.status == "known"} == set(checks)


def test_an_expected_failure_that_does_not_fail_fails() -> None:
    with pytest.raises(AssertionError, match=r"stale ledger entry.*not for long"):
        check_implementation(RIGHT, expected_failures={"value": "not for long"}, examples=0)


def test_a_function_goes_by_its_own_name() -> None:
    def my_preprocess(x: Array) -> Array:
        raise RuntimeError("closed")

    results = check_implementation(my_preprocess, examples=0, on_fail=None)
    assert {result.implementation for result in results} == {"my_preprocess"}


# The doors against each other -------------------------------------------------------------------------------------

MODULE = """
import vggprep

def correct(x, data_format=None, mode="caffe"):
    return vggprep.preprocess_input(x, data_format, mode)

def swapped(x, data_format=None, mode="caffe"):
    y = correct(x, data_format, mode)
    return y[..., ::-1, :, :].copy() if data_format == "channels_first" else y[..., ::-1].copy()

claims = dict(modes=["caffe"], data_formats=["channels_last"], dtypes=["uint8"], ranks=[4])
right = vggprep.Implementation("door:right", correct, **claims)
wrong = vggprep.Implementation("door:wrong", swapped, **claims)
keras = vggprep.Implementation("keras:graph", swapped, **claims)
"""

TESTS = """
import json, pathlib, pytest, vggprep, door
KNOWN = {known!r}
REPORT = []

@vggprep.parametrize_with_checks([door.{name}], expected_failures=KNOWN)
def test_it(implementation, check):
    check(implementation)
"""

OLDER = [{"check": ["value", "every_byte"], "reason": "known of old", "releases": ["3.0.0"]}]
STALE = {"check": "purity", "reason": "not any more"}
DOORS: list[tuple[str, Any]] = [
    ("right", None),
    ("right", [STALE]),
    ("wrong", None),
    ("wrong", [{"check": ["value", "every_byte"], "reason": "red and blue"}, STALE]),
    ("wrong", OLDER),
    ("keras", None),
    ("keras", [*OLDER, {**STALE, "releases": ["3.0.0"]}]),
    ("keras", [{"check": "value", "reason": "of the future", "releases": ["99.0"]}]),
]


def toml(entries: list[dict[str, Any]]) -> str:
    tables = ("[[entry]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in e.items()) for e in entries)
    return "\n".join(tables)


# Ledgers with releases depend on the installed Keras; where that is required, the others have been run without it.
DOORS = [door for door in DOORS if door[0] == "keras" or not os.environ.get("VGGPREP_REQUIRE_KERAS")]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "known"), DOORS)
def test_all_doors_give_the_same_rows_notes_and_verdict(
    name: str, known: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "keras":
        pytest.importorskip("keras")
    (tmp_path / "door.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in ("door", "test_doors"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    target = f"door:{name}"
    (implementation,) = load(target)

    expected = judge(implementation, known=None if known is None else ledger.expected(known), examples=0)
    rows = essence(expected)

    # The command line
    words = ["check", target, "--examples", "0", "--report", str(tmp_path / "cli.jsonl")]
    if known is not None:
        (tmp_path / "ledger.toml").write_text(toml(known), encoding="utf-8")
        words += ["--known", str(tmp_path / "ledger.toml")]
    done = CliRunner().invoke(main, words)
    head, found = read_rows(tmp_path / "cli.jsonl")
    assert found == rows
    assert head["notes"] == expected.notes
    assert head["guessed"] == expected.guessed
    assert done.exit_code == exit_code([expected])
    assert verdict(expected) in done.output

    # check_implementation
    results = check_implementation(implementation, expected_failures=known, on_fail=None, examples=0)
    assert essence_of(results) == rows
    if not expected.conforms:
        with pytest.raises(AssertionError, match=re.escape(verdict(expected))):
            check_implementation(implementation, expected_failures=known, examples=0)

    # parametrize_with_checks
    (tmp_path / "test_doors.py").write_text(TESTS.format(known=known, name=name), encoding="utf-8")
    code, said = run_pytest("test_doors.py")
    statuses: dict[str, set[str]] = {}
    for result in results:
        statuses.setdefault(result.check, set()).add(result.status)
    failing = {check for check, found in statuses.items() if "failed" in found}
    excused = {check for check, found in statuses.items() if "known" in found} - failing
    assert set(re.findall(r"^FAILED test_doors.py::test_it\[.*?-(\w+)\]", said, re.M)) == failing
    assert set(re.findall(r"^XFAIL test_doors.py::test_it\[.*?-(\w+)\]", said, re.M)) == excused
    assert (code == 0) == expected.conforms

    # pytest --implementation, which takes the shipped ledger
    if known is None:
        report = tmp_path / "pytest.jsonl"
        (tmp_path / "test_doors.py").unlink()
        code, said = run_pytest(
            "--strict-markers",
            "-W",
            "error",
            "--implementation",
            target,
            "--implementation-report",
            str(report),
        )
        head, found = read_rows(report)
        assert sorted(row[:4] for row in found) == sorted(row[:4] for row in rows)
        assert head["notes"] == expected.notes
        assert all(line in said for line in headlines(expected))
        assert all(f"note: {note}" in said for note in expected.notes)
        assert (code == 0) == expected.conforms


def run_pytest(*words: str) -> tuple[int, str]:
    """A pytest of its own, in this process."""
    without = [option for name in ("cacheprovider", "xdist", "faulthandler") for option in ("-p", f"no:{name}")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main(["-rfx", "--import-mode=importlib", *without, *words])
    return code, said.getvalue()


def read_rows(path: Path) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    header, *rows, _ = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    fields = [field.name for field in dataclasses.fields(Result)]
    return header["implementations"][0], essence_of([Result(**{f: row[f] for f in fields}) for row in rows])
