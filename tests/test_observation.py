"""Observations kept in files, and what differs between two."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stand_in import question, write_stand_in

from vggprep.releases import observation, questions
from vggprep.releases.changes import KINDS, compare, compared
from vggprep.releases.observation import Observation, ObservationError, Row, read, write

RIGHT = Row(dtype="float32", shape=(4, 5, 3), digest="a", type="tensor", verdict="right", levels=1e-6, aliasing="fresh")
WRONG = replace(RIGHT, digest="b", verdict="wrong", levels=19.7, cause="the mean along the height")
RAISES = Row(error="TypeError", message="no")


def observed(**rows: Row) -> Observation:
    return Observation({"keras": "3.0.0"}, {question(path).id: row for path, row in rows.items()})


def one(old: Row, new: Row, **attributes: Any) -> Any:
    asked = question("tensor", **attributes).id
    differences = compare(Observation({}, {asked: old}), Observation({}, {asked: new}))
    assert len(differences) <= 1
    return differences[0] if differences else None


# ---- files -----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    whole = observed(ndarray=RIGHT, tensor=WRONG, graph=RAISES, xla=Row(skipped="no XLA"), model=Row(fatal="SIGSEGV"))
    write(whole, tmp_path / "now.jsonl")
    assert read(tmp_path / "now.jsonl") == whole


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_truncated_file_is_noticed(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT, tensor=RIGHT), path)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    path.write_text("".join(lines[:kept]))
    with pytest.raises(ObservationError, match="truncated or damaged; observe again"):
        read(path)


def test_a_file_cut_within_a_line_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT), path)
    path.write_text(path.read_text()[:-4])
    with pytest.raises(ObservationError, match="truncated"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"[]\n", b'{"a": 1}\n', b"\x93NUMPY\x01\x00\xff\xfe", b"1\n2\n3"])
def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(ObservationError, match="is not an observation") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.jsonl"
    path.write_text(json.dumps({"format": observation.FORMAT, "version": 99, "running": {}}) + "\n" + '{"rows": 0}\n')
    with pytest.raises(ObservationError, match=r"format version 99.*update vggprep"):
        read(path)


@pytest.mark.parametrize("asked", ["nothing", 5, "path=tensor", "path=tensor shape=axb"])
def test_a_row_that_asks_nothing_is_noticed(tmp_path: Path, asked: Any) -> None:
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT), path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], json.dumps({"id": asked, "digest": "a"}), lines[2]]) + "\n")
    with pytest.raises(ObservationError, match="truncated or damaged"):
        read(path)


@pytest.mark.parametrize(
    "wrong", [{"verdict": 7}, {"levels": "many"}, {"digest": ["a"]}, {"written": "no"}, {"shape": 3}, {"error": None}]
)
def test_a_row_with_a_value_of_another_kind_is_noticed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT), path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], json.dumps({**json.loads(lines[1]), **wrong}), lines[2]]) + "\n")
    with pytest.raises(ObservationError, match="truncated or damaged"):
        read(path)


def test_keys_of_a_later_release_are_left_out(tmp_path: Path) -> None:
    assert Row.from_json({"dtype": "float32", "shape": [1], "invented": 1}) == Row(dtype="float32", shape=(1,))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match="cannot read"):
        read(tmp_path / "nothing")


def test_a_half_written_observation_never_replaces_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "now.jsonl"
    write(observed(ndarray=RIGHT), path)
    before = path.read_bytes()

    class Breaks(dict[str, Row]):
        def items(self) -> Iterator[Any]:  # type: ignore[override]
            yield "x", RIGHT
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Observation({}, Breaks()), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["now.jsonl"]


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match="cannot write"):
        write(observed(ndarray=RIGHT), tmp_path / "no" / "now.jsonl")


# ---- interpreters ----------------------------------------------------------------------------------------------------


def test_an_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"cannot start the interpreter .*; give the path") as caught:
        observation.observe(python=tmp_path / "python")
    assert "\n" not in str(caught.value)


def test_an_interpreter_without_keras(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"cannot import no_such_keras .*; install it there"):
        observation.observe("no_such_keras", python=sys.executable)


def test_a_program_that_is_no_interpreter() -> None:
    program = shutil.which("true")
    assert program
    with pytest.raises(ObservationError, match="did not run the probe"):
        observation.observe(python=program)


def test_observing_to_a_file_leaves_the_old_one_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "now.jsonl"
    observation.observe_to_file(path, environment=write_stand_in(tmp_path / "keras"), asked=[question()])
    before = path.read_bytes()
    with pytest.raises(ObservationError):
        observation.observe_to_file(path, "no_such_keras")
    assert path.read_bytes() == before
    assert read(path).running["keras"] == "3.99.0"


# ---- questions -------------------------------------------------------------------------------------------------------


def test_the_questions_are_many_distinct_and_named_by_what_they_ask() -> None:
    asked = questions.questions()
    assert 2000 <= len(asked) <= 2600
    assert len({q.id for q in asked}) == len(asked)
    for q in asked:
        attributes = questions.parse(q.id)
        assert attributes["shape"] == tuple(map(int, filter(None, dict(q.attributes)["shape"].split("x"))))
        assert " " not in q.id.replace(" ", "", q.id.count(" "))


def test_the_questions_keep_the_colours_apart() -> None:
    x = questions.array("bytes", "uint8", (4, 5, 3))
    assert len({tuple(x[..., c].ravel()) for c in range(3)}) == 3
    assert {0, 255} <= set(x.ravel())
    every = questions.array("every-byte", "uint8", (1, 16, 16, 3))
    assert all(len(set(every[..., c].ravel())) == 256 for c in range(3))


# ---- differences -----------------------------------------------------------------------------------------------------


def test_nothing_differs_from_itself() -> None:
    whole = observed(ndarray=RIGHT, tensor=WRONG, graph=RAISES, model=Row(fatal="SIGSEGV"))
    assert compare(whole, whole) == []
    assert compared(whole, whole) == 4


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (WRONG, RIGHT, "value"),
        (RIGHT, WRONG, "value"),
        (WRONG, replace(WRONG, digest="c", levels=40.0), "value"),
        (RAISES, WRONG, "value"),
        (WRONG, RAISES, "value"),
        (RIGHT, Row(fatal="SIGABRT"), "crash"),
        (RIGHT, RAISES, "refusal"),
        (RIGHT, replace(RIGHT, written=True), "writes"),
        (RAISES, RIGHT, "error"),
        (RAISES, Row(error="ValueError"), "error"),
        (Row(fatal="SIGABRT"), RIGHT, "error"),
        (RIGHT, replace(RIGHT, dtype="float64", digest="c"), "dtype"),
        (RIGHT, replace(RIGHT, aliasing="same"), "aliasing"),
        (replace(RIGHT, written=True), RIGHT, "aliasing"),
        (RIGHT, replace(RIGHT, digest="c"), "rounding"),
        (WRONG, replace(WRONG, digest="c"), "rounding"),
    ],
)
def test_every_kind_of_difference(old: Row, new: Row, kind: str) -> None:
    difference = one(old, new)
    assert difference.kind == kind
    assert difference.matters == (kind in ("value", "crash", "refusal", "writes"))
    assert difference.sentence.endswith(".")
    assert json.dumps(difference.to_json())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RAISES, replace(RAISES, message="another text")),
        (RIGHT, replace(RIGHT, warnings=("UserWarning",))),
        (RIGHT, Row(skipped="not here")),
        (Row(skipped="not here"), WRONG),
        (RIGHT, replace(RIGHT, levels=2e-6)),
    ],
)
def test_noise_is_no_difference(old: Row, new: Row) -> None:
    assert one(old, new) is None


def test_how_xla_rounds_on_another_processor_is_no_difference() -> None:
    here = observed(xla=RIGHT, graph=RIGHT)
    there = Observation({**here.running, "processor": "another"}, dict(here.rows))
    other_bits = {question(path).id: replace(RIGHT, digest="c") for path in ("xla", "graph")}
    assert compare(here, there) == []
    (both,) = compare(here, Observation(here.running, other_bits))
    (graph,) = compare(here, Observation(there.running, other_bits))
    assert set(both.rows) == set(other_bits)
    assert graph.rows == (question("graph").id,)
    (wrong,) = compare(here, Observation(there.running, {question("xla").id: WRONG}))
    assert wrong.matters


def test_outside_the_definition_nothing_matters_but_a_dropped_channel() -> None:
    undefined = replace(RIGHT, verdict="undefined", levels=None, digest="c")
    assert one(undefined, replace(undefined, digest="d"), shape=(4, 5, 4)).kind == "outside"
    assert one(RIGHT, WRONG, shape=(2, 2, 4, 5, 3)).kind == "outside"
    dropped = replace(WRONG, cause="4 channels in, 3 out", levels=None)
    assert one(undefined, dropped, shape=(4, 5, 4)).kind == "value"


def test_an_unknown_mode_or_format_that_is_answered_is_wrong() -> None:
    taken = replace(RIGHT, verdict="undefined", levels=None, cause="taken for mode caffe")
    assert one(taken, RAISES, mode="unknown").sentence == (
        "3-D channels_last float32 eager tensors with mode 'unknown': "
        "now raises TypeError; before, taken for mode caffe. 1 row."
    )
    assert one(taken, RAISES, mode="unknown").matters
    assert one(RAISES, taken, data_format="NHWC").matters


def test_rows_of_one_cause_are_one_sentence_and_the_worst_comes_first() -> None:
    narrow = question("tensor", shape=(3, 3, 5), data_format="channels_first").id
    usual = [question(path, shape=(3, 4, 5), data_format="channels_first").id for path in ("tensor", "graph")]
    rounded = question("xla").id
    old = {narrow: WRONG, **dict.fromkeys(usual, RAISES), rounded: RIGHT}
    new = {**dict.fromkeys(old, RIGHT), rounded: replace(RIGHT, digest="z")}
    first, last = compare(Observation({}, old), Observation({}, new))
    assert first.sentence == (
        "3-D channels_first float32 eager tensors and graphs in caffe mode: now right; "
        "before, the mean along the height, silently where that is 3 long, else raises TypeError. "
        "3 rows; up to 19.7 grey levels."
    )
    assert last.kind == "rounding"
    assert KINDS.index(first.kind) < KINDS.index(last.kind)
