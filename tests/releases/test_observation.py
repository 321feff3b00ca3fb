"""Observing other interpreters, and observations kept in files."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import RIGHT, WRONG, observed, question, write_script
from support import Array

from vggprep import preprocess_input
from vggprep.releases import observation, probe, questions
from vggprep.releases.observation import (
    Interpreter,
    MachineError,
    Observation,
    ObservationError,
    Row,
    clarified,
    observe,
    read,
    write,
)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with one row."""
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT), path)
    return path


# ---- files -----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    lost = Row("float32", (4, 5, 3), "c", verdict="wrong", levels=math.inf, cause="wrong in a way of its own")
    said = Row(error="ValueError", message="a\u2028b\x85\u00fc", warnings=("UserWarning",))
    whole = observed(ndarray=RIGHT, tensor=WRONG, graph=said, xla=Row(skipped="no XLA"), model=lost)
    write(whole, tmp_path / "now.jsonl")
    assert read(tmp_path / "now.jsonl") == whole


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    causes = ("the mean along the width", "only as precise as float32", "computed in integers")
    rows = [{"id": question(path).id, "verdict": "wrong", "cause": c} for path, c in zip("abc", causes, strict=True)]
    header = {"format": "vggprep observation", "running": {"keras": "3.15.1"}, "version": 1}
    lines = [header, {**rows[0], "levels": math.inf}, *rows[1:], {"rows": 3}]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = read(tmp_path / "old.jsonl")
    assert found.running == {"keras": "3.15.1"}
    assert [row.cause_kind for row in found.rows.values()] == ["axis", "precision", ""]
    assert found.rows[question("a").id].levels == math.inf


@pytest.mark.parametrize("content", [b"", b"hello", b"[]\n", b'{"a": 1}\n', b"\x93NUMPY\x01\x00\xff\xfe", b"1\n2\n3"])
def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(ObservationError, match=r"^.* is not an observation; create one with vggprep observe$"):
        read(path)


def test_a_newer_format_is_refused(kept: Path) -> None:
    kept.write_text(kept.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(ObservationError, match=r"format version 99, this vggprep reads 1; update vggprep"):
        read(kept)


def with_row(**wrong: Any) -> Callable[[str, str, str], str]:
    return lambda header, row, footer: header + json.dumps({**json.loads(row), **wrong}) + "\n" + footer


@pytest.mark.parametrize(
    "damaged",
    [
        lambda header, row, footer: header,
        lambda header, row, footer: header + row,
        lambda header, row, footer: header + row + footer[:-4],
        lambda header, row, footer: header + footer,
        *(with_row(id=name) for name in ("nothing", 5, "path=tensor", "path=tensor shape=axb")),
        *(with_row(verdict=7), with_row(levels="many"), with_row(digest=["a"]), with_row(written="no")),
        *(with_row(shape=3), with_row(error=None), with_row(cause=1)),
    ],
)
def test_a_damaged_file_is_noticed(kept: Path, damaged: Callable[[str, str, str], str]) -> None:
    kept.write_text(damaged(*kept.read_text().splitlines(keepends=True)))
    with pytest.raises(ObservationError, match="truncated or damaged; observe again"):
        read(kept)


def test_keys_of_a_later_release_are_left_out() -> None:
    assert Row.from_json({"dtype": "float32", "shape": [1], "invented": 1}) == Row(dtype="float32", shape=(1,))


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"cannot read .*nothing"):
        read(tmp_path / "nothing")


def test_what_cannot_be_written_where_it_should_be_is_written_elsewhere(
    tmp_path: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))
    for folder, reason in ((full_disk, "No space left on device"), (tmp_path / "no", "No such file")):
        with pytest.raises(MachineError, match=rf"^cannot write .*/now.jsonl: {reason}.*; nothing is lost: make room"):
            write(observed(ndarray=RIGHT), folder / "now.jsonl")
        (kept,) = (tmp_path / "kept").iterdir()
        assert read(kept) == observed(ndarray=RIGHT)
        kept.unlink()
    for nowhere in ("tempfile.gettempdir", "vggprep.releases.observation.cache_folder", "pathlib.Path.home"):
        monkeypatch.setattr(nowhere, lambda *_: full_disk)
    with pytest.raises(MachineError, match=r"cannot write .*; make room there, or choose another folder$"):
        write(observed(ndarray=RIGHT), full_disk / "now.jsonl")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_no_room_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda: nullcontext(str(tmp_path)))
    with pytest.raises(MachineError, match=r"^no folder for temporary files .*: No space left .*; make room, or set "):
        observe("keras", asked=[question()])


def test_a_half_written_observation_never_replaces_a_good_one(kept: Path) -> None:
    before = kept.read_bytes()

    class Breaks(dict[str, Row]):
        def items(self) -> Iterator[Any]:  # type: ignore[override]
            yield "x", RIGHT
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Observation({}, Breaks()), kept)
    assert kept.read_bytes() == before
    assert list(kept.parent.iterdir()) == [kept]


# ---- interpreters ----------------------------------------------------------------------------------------------------


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for python in (tmp_path / "python", "no-such-python"):
        with pytest.raises(ObservationError, match=r"^cannot start the interpreter .*python: .*; give the path[^\n]*$"):
            observe(interpreter=Interpreter(python))


def test_an_interpreter_without_keras_is_named() -> None:
    with pytest.raises(ObservationError, match=r"cannot import no_such_keras .*; install it there$"):
        observe("no_such_keras", Interpreter(sys.executable))


@pytest.mark.parametrize("broken", ["import no_such_dependency", "raise AttributeError('no longer')", "1 +"])
def test_a_keras_that_is_there_and_broken_is_not_told_to_be_installed_there(tmp_path: Path, broken: str) -> None:
    (tmp_path / "broken_keras").mkdir()
    (tmp_path / "broken_keras" / "__init__.py").write_text(broken)
    there = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(
        ObservationError, match=r"cannot import broken_keras \(.*\); install it anew, with what it needs$"
    ):
        observe("broken_keras", there)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("exit 0", "no answer"),
        ("echo oh dear >&2", "oh dear"),
        ("echo [] && echo", "no answer"),
        ("echo {", "no answer"),
        ("exec sleep 60", "no answer"),
    ],
)
def test_a_program_that_is_not_an_interpreter_is_named(tmp_path: Path, lines: str, reason: str) -> None:
    slow = Interpreter(write_script(tmp_path / "program", lines), start_seconds=0.1 if "sleep" in lines else 600)
    with pytest.raises(ObservationError, match=rf"did not run the probe \({reason}\); give a Python 3.6 or newer"):
        observe(interpreter=slow)


@pytest.mark.parametrize(
    ("ending", "fatal"),
    [("exit 3", "exit 3"), ("kill -9 $$", "SIGKILL"), ("kill -40 $$", "signal 40"), ("echo '{\"id\"'", "exit 0")],
)
def test_how_the_probe_ended_is_the_row_that_it_did_not_answer(tmp_path: Path, ending: str, fatal: str) -> None:
    hello = """echo '{"running": {"keras": "1"}}'"""
    program = write_script(tmp_path / "program", f"{hello}\n{ending}")
    found = observe(interpreter=Interpreter(program), asked=[question(), question("tensor")])
    assert found.running == {"keras": "1"}
    assert {row.fatal for row in found.rows.values()} == {fatal}


def test_another_interpreter_does_not_see_where_this_one_finds_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "here")
    assert Interpreter().variables["PYTHONPATH"] == "here"
    assert "PYTHONPATH" not in Interpreter("python").variables
    assert Interpreter("python", {"PYTHONPATH": "there"}).variables["PYTHONPATH"] == "there"


def test_an_observation_is_named_after_what_ran() -> None:
    running = {"target": "keras", "keras": "3.15.1", "backend": "jax"}
    assert Observation(running, {}).name == "keras 3.15.1 (jax)"
    assert Observation({**running, "backend": "tensorflow"}, {}).name == "keras 3.15.1"


# ---- digests ---------------------------------------------------------------------------------------------------------


def digest(y: Array) -> str:
    return observation._judged(question(), probe.describe_array(y.reshape(1, -1, 1))).digest


def test_digests_see_values_and_dtypes_not_how_they_are_stored() -> None:
    x = np.array([1.0, np.nan, -0.0], np.float32)
    other_nan = x.copy()
    other_nan.view(np.uint32)[1] |= 0x80000001
    digests = [digest(y) for y in (x, other_nan, x.astype(">f4"), np.repeat(x, 2)[::2])]
    assert len(set(digests)) == 1
    assert digest(x.astype(np.float64)) != digests[0]
    assert digest(np.abs(x)) != digests[0]


def test_padding_of_longdouble_is_not_in_the_digest() -> None:
    x = np.arange(6, dtype=np.longdouble) / 7
    padded = np.frombuffer(bytearray(b"\xff" * x.nbytes), np.longdouble).copy()
    padded[...] = x
    assert digest(padded) == digest(x)


def test_bfloat16_is_judged_at_its_own_precision_and_text_not_at_all() -> None:
    asked = question(dtype="bfloat16")
    x = questions.array(asked)
    right = preprocess_input(x, mode="caffe")
    stored = (right.view("<u4") >> 16).astype("<u2")  # truncated
    said = {**probe.describe_array(stored), "dtype": "bfloat16"}
    assert observation._judged(asked, said).verdict == "right"
    assert observation._judged(question(), probe.describe_array(np.array(["a"]))).verdict == "undefined"


def test_what_no_file_can_hold_is_replaced_in_messages() -> None:
    assert observation._judged(question(), {"error": "OSError", "message": "file \udc80"}).message == "file ?"


def test_where_floatx_chose_a_narrow_dtype_for_integers_its_precision_is_enough() -> None:
    asked, narrow = question(dtype="uint8"), question(dtype="uint8", floatx="float16")
    said = probe.describe_array(preprocess_input(questions.array(asked), mode="caffe").astype("float16"))
    assert observation._judged(asked, said).cause == "uint8 in, float16 out"
    assert observation._judged(narrow, said).verdict == "right"


def test_a_setting_that_all_its_rows_raise_alike_and_a_mode_taken_for_another_are_understood() -> None:
    rows = {question(mode=mode, floatx="bfloat16").id: Row(error="ValueError") for mode in ("caffe", "tf")}
    same = Row("uint8", (4, 5, 3), "a", verdict="wrong", cause="computed in integers")
    rows |= {question().id: same, question(mode="odd").id: replace(same, verdict="undefined", cause="")}
    found = list(clarified(dict(rows)).values())
    assert [row.type for row in found] == ["setting", "setting", "", ""]
    assert found[-1].cause == "taken for mode caffe"
    one_works = {**rows, question(floatx="bfloat16").id: same}
    assert {row.type for row in clarified(one_works).values()} == {""}
