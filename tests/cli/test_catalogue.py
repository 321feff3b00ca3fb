"""``vggprep faults`` and ``vggprep checks``: everything is told, and every command shown does what is said of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import on_terminal, one_line, vggprep

from vggprep.checks import CHECKS, Check
from vggprep.faults import FAULTS, HONEST, Fault
from vggprep.implementations.targets import load
from vggprep.specification import CLAUSES, VERSION


def example(said: str) -> list[str]:
    """The words of the command that is said to show a failure."""
    command = re.search(r"to see it fail:\n  vggprep (.*)\n", said)
    assert command is not None, said
    return shlex.split(command[1])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_is_told_with_its_faults_and_a_command_that_judges_one_of_them(check: Check, tmp_path: Path) -> None:
    said = vggprep("checks", check.name, cwd=tmp_path).stdout
    words = " ".join(said.split())
    assert check.sentence in words
    assert all(fault.name in words for fault in FAULTS if fault.caught_by == check.name)
    assert all(clause in words for clause in check.clauses)
    verb, target = example(said)
    (judged,) = load(target)
    # In which the check fails: tests/faults/test_gallery.py judges them all.
    assert (verb, check.name) == ("check", next(fault.caught_by for fault in FAULTS if fault.name == judged.name))


def test_the_command_of_a_check_shows_it_fail(tmp_path: Path) -> None:
    command = example(vggprep("checks", "value", cwd=tmp_path).stdout)
    narrow = ["--examples", "0", "--dtype", "float32", "--dtype", "uint8", "--report", "report.jsonl"]
    assert vggprep(*command, *narrow, cwd=tmp_path).returncode == 1
    rows = [json.loads(row) for row in (tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any(row["status"] == "failed" and row["check"] == "value" for row in rows[1:-1])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_told_with_a_command_that_judges_it(fault: Fault, tmp_path: Path) -> None:
    said = vggprep("faults", fault.name, cwd=tmp_path).stdout
    words = " ".join(said.split())
    assert all(part in words for part in (fault.story, fault.caught_by, ", ".join(fault.modes), fault.origin or ""))
    verb, target = example(said)
    (judged,) = load(target)
    assert (verb, judged.name, judged.modes) == ("check", fault.name, fault.modes)
    assert (judged.preprocess is None, judged.deprocess is None) == (fault.preprocess is None, fault.deprocess is None)


def test_honest_variants_are_targets_and_no_name_is_that_of_a_module() -> None:
    assert [load(f"vggprep.faults:{honest.name}")[0].name for honest in HONEST] == [honest.name for honest in HONEST]
    names = [fault.name for fault in FAULTS] + [honest.name for honest in HONEST]
    assert not [name for name in names if f"vggprep.faults.{name}" in sys.modules]


@pytest.mark.parametrize(("verb", "known"), [("checks", CHECKS), ("faults", FAULTS)])
def test_the_list_is_whole_where_it_is_no_terminal(verb: str, known: tuple[Check | Fault, ...], tmp_path: Path) -> None:
    lines = vggprep(verb, cwd=tmp_path).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [one.name for one in known]
    assert all(
        (one.sentence if isinstance(one, Check) else one.story) in line for one, line in zip(known, lines, strict=True)
    )


@pytest.mark.parametrize(
    "arguments", [["faults"], ["checks"], ["faults", "no_swap"], ["checks", "value"], ["spec"]], ids=str
)
def test_on_a_terminal_nothing_is_wider_than_it(arguments: list[str], tmp_path: Path) -> None:
    lines = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(arguments, {"TERM": "xterm"}, subprocess.DEVNULL)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= len(FAULTS) + 10
    names = arguments[1:] or [line.split()[0] for line in vggprep(*arguments, cwd=tmp_path).stdout.splitlines()[1:]]
    assert all(any(line.startswith(name[:30]) for line in lines) for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["faults", "slim-means"], "there is no fault 'slim-means'; the nearest: slim_means, "),
        (["faults", "qqqq"], "there is no fault 'qqqq'; vggprep faults lists them"),
        (["checks", "puritee"], "there is no check 'puritee'; the nearest: purity"),
        (["spec", "VP-CAFE-1"], "there is no clause 'VP-CAFE-1'; the nearest: VP-CAFFE-1"),
        (["spec", "purity"], "there is no clause 'purity'; vggprep spec lists them"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in one_line(vggprep(*arguments, cwd=tmp_path))


def test_the_clauses_are_listed_told_and_traced(tmp_path: Path) -> None:
    lines = vggprep("spec", cwd=tmp_path).stdout.splitlines()[1:]
    assert [line.split(maxsplit=1) for line in lines] == [[clause.id, clause.sentence] for clause in CLAUSES]
    clause = CLAUSES[0]
    said = vggprep("spec", clause.id.lower(), cwd=tmp_path).stdout
    assert said.split() == [clause.id, *clause.sentence.split()]
    traced = vggprep("spec", clause.id, "--trace", cwd=tmp_path).stdout
    assert re.findall(r"^(\w+)  ", traced, flags=re.M) == ["checks", "faults", "certificates"]
    whole = json.loads(vggprep("spec", "--json", cwd=tmp_path).stdout)
    assert whole["version"] == VERSION
    assert [row["id"] for row in whole["clauses"]] == [clause.id for clause in CLAUSES]
    assert all(name in traced for name in whole["clauses"][0]["faults"])
    last = vggprep("spec", "--trace", cwd=tmp_path).stdout.splitlines()[-1]
    count = len(CLAUSES)
    assert last.startswith(f"version {VERSION}: {count} clauses; {count} have checks, {count} have faults, ")


def test_the_gallery_of_a_mode_is_listed_told_and_judged(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('order = "BGR"\nsteps = [{subtract = [104, 117, 123]}]\n', encoding="utf-8")
    for mode, name in (("clip", "clip:std_of_torch"), ("own.toml", "own.toml:mean_of_caffe"), ("torch", "one_std")):
        listed = vggprep("faults", "--mode", mode, cwd=tmp_path)
        (story,) = (line.split(maxsplit=2)[2] for line in listed.stdout.splitlines() if line.split()[0] == name)
        told = vggprep("faults", "--mode", mode, name, cwd=tmp_path).stdout
        assert story in " ".join(told.split())
        assert ("to see it fail" in told) == (mode != "own.toml")  # whose name says nothing in another process
    assert "that are clip exactly: clip:scale_reversed, " in vggprep("faults", "--mode", "clip", cwd=tmp_path).stderr
    verb, target = example(vggprep("faults", "clip:mean_reversed", cwd=tmp_path).stdout)
    judged = vggprep(verb, target, "--dtype", "uint8", "--examples", "0", cwd=tmp_path)
    assert judged.returncode == 1
    assert "behaves like clip:mean_reversed: It subtracts (0.40821073, 0.4578275, 0.48145466), in the" in judged.stdout
    unknown = one_line(vggprep("faults", "clip:std_of_torc", cwd=tmp_path))
    assert "there is no fault 'clip:std_of_torc'; the nearest: clip:std_of_torch, " in unknown
    assert vggprep("faults", "--mode", "clap", cwd=tmp_path).returncode == 2
