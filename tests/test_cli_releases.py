"""observe, diff and history in processes of their own: sentences, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from stand_in import question, write_stand_in
from test_cli import one_line, vggprep

from vggprep.cli import main
from vggprep.releases import record
from vggprep.releases.observation import Observation, Row, read, write

RIGHT = Row(dtype="float32", shape=(4, 5, 3), digest="a", type="tensor", verdict="right", levels=0.0)


@pytest.fixture
def observed(tmp_path: Path) -> Path:
    path = tmp_path / "now.jsonl"
    running = {"target": "keras", "keras": "3.15.1", "backend": "tensorflow"}
    write(Observation(running, {question("tensor").id: RIGHT, question("graph").id: RIGHT}), path)
    return path


# ---- diff ------------------------------------------------------------------------------------------------------------


def test_diff_says_what_an_upgrade_changes_and_exits_with_1(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = vggprep("diff", "keras==2.15.0", "keras==3.15.1", cwd=tmp_path)
    assert time.perf_counter() - started < 30
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("keras==2.15.0 -> keras==3.15.1: ")
    mean = next(line for line in lines if "the mean along the height" in line)
    assert mean.startswith("3-D channels_first")
    assert "now right; before, the mean along the height, silently where that is 3 long" in mean
    assert "up to 20.1 grey levels" in mean
    model = next(line for line in lines if "functional models" in line and "the mean along the width" in line)
    assert model.startswith("4-D channels_first float32 functional models in caffe and torch mode: ")
    headings = ["wrong values, before or now (this matters)", "what worked raises now (this matters)", "rounding only"]
    assert [lines.index(heading) for heading in headings] == sorted(lines.index(heading) for heading in headings)
    assert lines[-1].endswith("that matter")


@pytest.mark.parametrize("release", ["keras==3.15.1", "keras[jax]==3.15.1", "tensorflow==2.4.4", "tf_keras==2.21.0"])
def test_a_release_does_not_differ_from_itself(release: str, tmp_path: Path) -> None:
    done = vggprep("diff", release, release, "--strict", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith("\nnothing differs\n")


def test_strict_exits_with_1_for_any_difference(observed: Path) -> None:
    other = observed.with_name("other.jsonl")
    changed = Row(**{**vars(RIGHT), "digest": "b"})
    whole = read(observed)
    write(Observation(whole.running, {**whole.rows, question("graph").id: changed}), other)
    lax, strict = (
        vggprep("diff", "now.jsonl", "other.jsonl", *more, cwd=observed.parent) for more in ([], ["--strict"])
    )
    assert (lax.returncode, strict.returncode) == (0, 1)
    assert lax.stdout == strict.stdout
    assert "rounding only\n" in lax.stdout
    assert lax.stdout.endswith("\n1 difference, none that matters\n")


def test_diff_prints_json(tmp_path: Path) -> None:
    done = vggprep("diff", "keras==3.11.3", "keras==3.12.0", "--json", cwd=tmp_path)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["old"]["keras"] == "3.11.3"
    assert document["new"]["keras"] == "3.12.0"
    assert document["differences"][0]["matters"]
    wanted = {"kind", "matters", "subject", "old", "new", "levels", "sentence", "rows"}
    assert all(set(difference) == wanted for difference in document["differences"])


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("keras==3.0.3", "not in the record; nearest: keras==3.0.0 and keras==3.0.5; --install observes it"),
        ("keras==99.0", "not in the record; nearest: keras==3.15.1; --install observes it"),
        ("keras==2.16.0", "is no final release since 2.1.0; did you mean keras==2.14.0 or keras==2.15.0"),
        ("keras[theano]==3.0.0", "a backend is torch, jax or tensorflow"),
        ("numpy==2.0", "names no release"),
        ("nowhere.jsonl", "cannot read nowhere.jsonl"),
        ("python:./nowhere", "cannot start the interpreter ./nowhere"),
        ("python:", "cannot start the interpreter"),
    ],
)
def test_a_side_that_cannot_be_had_is_one_line_and_exit_code_2(release: str, said: str, tmp_path: Path) -> None:
    for sides in ((release, "keras==3.15.1"), ("keras==3.15.1", release)):
        assert said in one_line(vggprep("diff", *sides, cwd=tmp_path))


def test_a_truncated_file_is_one_line(observed: Path) -> None:
    observed.write_bytes(observed.read_bytes()[:-20])
    message = one_line(vggprep("diff", "recorded", "now.jsonl", cwd=observed.parent))
    assert "now.jsonl is truncated or damaged; observe again" in message


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x89PNG\xff\n", b"[]\n", b'{"kind": "header"}\n', b"3\n"])
def test_a_foreign_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(content)
    message = one_line(vggprep("diff", "foreign", "keras==3.15.1", cwd=tmp_path))
    assert "foreign is not an observation; make one with vggprep observe" in message


def test_a_file_of_a_newer_format_is_one_line(observed: Path) -> None:
    observed.write_text(observed.read_text(encoding="utf-8").replace('"version": 1', '"version": 2'), encoding="utf-8")
    message = one_line(vggprep("diff", "now.jsonl", "keras==3.15.1", cwd=observed.parent))
    assert "now.jsonl has format version 2, this vggprep reads 1; update vggprep or observe again" in message


def test_two_observations_without_a_common_row_are_not_called_the_same(observed: Path) -> None:
    other = observed.with_name("other.jsonl")
    write(Observation(read(observed).running, {question("xla").id: RIGHT}), other)
    message = one_line(vggprep("diff", "now.jsonl", "other.jsonl", cwd=observed.parent))
    assert "now.jsonl and other.jsonl have no row in common" in message


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    assert "cannot read ." in one_line(vggprep("diff", ".", "keras==3.15.1", cwd=tmp_path))


def test_a_file_that_does_not_say_what_ran_has_no_recorded_counterpart(observed: Path) -> None:
    write(Observation({}, read(observed).rows), observed)
    message = one_line(vggprep("diff", "recorded", "now.jsonl", cwd=observed.parent))
    assert "does not say which release it is of" in message


def test_only_the_old_side_can_be_the_recorded_one(tmp_path: Path) -> None:
    message = one_line(vggprep("diff", "keras==3.15.1", "recorded", cwd=tmp_path))
    assert "recorded stands for OLD" in message


# ---- history ---------------------------------------------------------------------------------------------------------

NAMED = (
    *("keras==2.1.3", "keras-applications==1.0.7", "tensorflow==2.3.0", "tensorflow==2.5.0"),
    *("keras==3.0.0", "keras==3.12.0", "keras[torch]==3.12.0", "keras[jax]==3.12.0"),
)


def test_history_names_the_releases_that_made_the_changes(tmp_path: Path) -> None:
    done = vggprep("history", cwd=tmp_path)
    assert done.returncode == 0
    for release in NAMED:
        assert f" {release} " in done.stdout, release
    assert "after keras==3.0.0, by keras==3.0.5" in done.stdout
    assert f"\n{len(record().releases)} releases are recorded.\n" in done.stdout


def test_history_names_what_could_not_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(record(), not_run={"keras==2.1.1": "no Python 3.6", "keras==2.1.2": "no Python 3.6"})
    monkeypatch.setattr("vggprep.releases.record", lambda: lacking)
    done = CliRunner().invoke(main, ["history", "--path", "lambda"])
    assert done.exit_code == 0
    assert done.output.endswith("\nNot run: keras==2.1.1, keras==2.1.2 (no Python 3.6).\n")


def test_history_can_be_narrowed_and_printed_as_json(tmp_path: Path) -> None:
    done = vggprep("history", "--mode", "torch", "--path", "tf.data", "--json", cwd=tmp_path)
    assert done.returncode == 0
    changes = json.loads(done.stdout)
    assert {change["release"] for change in changes} >= {"keras==2.1.3", "tensorflow==2.5.0", "keras==3.12.0"}
    for change in changes:
        assert change["matters"]
        assert any("mode=torch" in row for row in change["rows"])
        assert any("path=tf.data" in row for row in change["rows"])
    everything = json.loads(vggprep("history", "--json", "--all", cwd=tmp_path).stdout)
    assert len(everything) > len(changes)
    assert {change["kind"] for change in everything} >= {"value", "refusal", "error", "rounding"}


@pytest.mark.parametrize("path", ["ndarray", "tensor", "graph", "xla", "model", "lambda", "tf.data", "variable"])
def test_history_has_something_to_say_of_every_path(path: str, tmp_path: Path) -> None:
    assert json.loads(vggprep("history", "--path", path, "--all", "--json", cwd=tmp_path).stdout)


def test_history_of_an_unknown_path_exits_with_2(tmp_path: Path) -> None:
    done = vggprep("history", "--path", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "'tf.data'" in done.stderr


# ---- observe ---------------------------------------------------------------------------------------------------------


def test_an_interpreter_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    done = vggprep("observe", "keras", "--python", "./nowhere", "-o", "now.jsonl", cwd=tmp_path)
    assert "cannot start the interpreter ./nowhere" in one_line(done)
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_without_keras_is_one_line(tmp_path: Path) -> None:
    # An interpreter that is started without its packages has no Keras.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    message = one_line(vggprep("observe", "keras", "--python", str(bare), "-o", "now.jsonl", cwd=tmp_path))
    assert str(bare) in message
    assert "install it there" in message or "give a Python 3.6 or newer with NumPy" in message


def test_a_program_that_is_no_interpreter_is_one_line(tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program
    done = vggprep("observe", "keras", "--python", program, "-o", "now.jsonl", cwd=tmp_path)
    assert "did not run the probe" in one_line(done)


def test_an_output_without_a_folder_is_one_line(tmp_path: Path) -> None:
    message = one_line(vggprep("observe", "keras", "-o", "nowhere/now.jsonl", cwd=tmp_path))
    assert "there is no folder nowhere" in message


def test_an_output_that_is_a_folder_is_one_line_before_anything_is_observed(tmp_path: Path) -> None:
    message = one_line(vggprep("observe", "keras", "--python", "./nowhere", "-o", ".", cwd=tmp_path))
    assert "cannot write .: it is a folder" in message


def test_observe_asks_another_interpreter_and_a_good_file_outlives_an_interrupted_run(tmp_path: Path) -> None:
    variables = write_stand_in(tmp_path / "packages")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{variables["PYTHONPATH"]}" exec "{sys.executable}" "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    command = ["observe", "keras", "--python", "./python", "-o", "now.jsonl"]
    done = vggprep(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("keras 3.99.0 (numpy): ")
    good = (tmp_path / "now.jsonl").read_bytes()
    before = sorted(tmp_path.iterdir())

    process = subprocess.Popen([sys.executable, "-m", "vggprep", *command], cwd=tmp_path, stderr=subprocess.PIPE)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert (tmp_path / "now.jsonl").read_bytes() == good
    assert sorted(tmp_path.iterdir()) == before
