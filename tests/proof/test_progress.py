"""Progress: what is done is not done again, whatever happened to the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from enumerated import proven, timeless

from vggprep.proof.certificates import Certificate, ProofError
from vggprep.proof.progress import Progress


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "certificate.json.progress"


def counted_proof(progress: Path, *dtypes: str, **more: Any) -> tuple[Certificate, list[str]]:
    """The certificate of ``counted``, and the dtypes of its calls on large images."""
    calls = Path(os.environ["CALLS"])
    calls.write_text("", encoding="utf-8")
    certificate = proven("counted", *dtypes, modes=("tf",), progress_file=progress, **more)
    return certificate, calls.read_text(encoding="utf-8").split()


def test_what_is_done_is_not_done_again(progress: Path) -> None:
    first, calls = counted_proof(progress, "int16", "uint16")
    assert sorted(calls) == ["int16", "uint16"]
    again, calls = counted_proof(progress, "int16", "uint16")
    assert calls == []
    assert timeless(again) == timeless(first)
    more, calls = counted_proof(progress, "int16", "uint16", "float16")
    assert calls == ["float16"]
    assert {row.status for row in more.rows} == {"proven"}


def test_an_incomplete_line_is_done_again(progress: Path) -> None:
    first, _ = counted_proof(progress, "int16", "uint16")
    whole = progress.read_bytes()
    head, one, two = whole.splitlines(keepends=True)
    for cut in (1, 2, len(two) // 2, len(two) - 1):
        progress.write_bytes(whole[:-cut])
        again, calls = counted_proof(progress, "int16", "uint16")
        assert calls == [json.loads(two)["part"].split()[4]]
        assert timeless(again) == timeless(first)
        assert [json.loads(line)["part"] for line in progress.read_bytes().splitlines()[1:]] == [
            json.loads(line)["part"] for line in (one, two)
        ]
    progress.write_bytes(head[: len(head) // 2])  # killed while it wrote the first line
    _, calls = counted_proof(progress, "int16", "uint16")
    assert sorted(calls) == ["int16", "uint16"]


def test_a_counterexample_is_remembered(progress: Path) -> None:
    arguments: dict[str, Any] = {"modes": ("tf",), "stop_at_first": True, "progress_file": progress}
    first = proven("one_number_wrong", "uint16", "float16", **arguments)
    before = progress.read_bytes()
    again = proven("one_number_wrong", "uint16", "float16", **arguments)
    assert timeless(again) == timeless(first)
    assert progress.read_bytes() == before


def test_progress_of_another_proof_is_refused_with_the_reason(progress: Path) -> None:
    counted_proof(progress, "int8")
    head, rest = progress.read_text(encoding="utf-8").split("\n", 1)
    said = json.loads(head)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"target": "other:f"}, "is of target other:f, not enumerated:counted"),
        ({"versions": {**said["versions"], "numpy": "1.0"}}, "with other versions \\(numpy 1.0 instead of [^1].*\\)"),
        ({"versions": {**said["versions"], "vggprep code": "0"}}, "vggprep code 0 instead of .{12}"),
        ({"machine": {**said["machine"], "processor": "abacus"}}, "other machine \\(processor abacus instead of "),
        ({"files": {"model.onnx": "5"}}, "other files \\(model.onnx 5 instead of none\\)"),
        ({"format": "vggprep-progress/1"}, "its format is 'vggprep-progress/1', not 'vggprep-progress/2'"),
    ]
    for change, reason in changes:
        other = json.dumps({**said, **change}) + "\n" + rest
        progress.write_text(other, encoding="utf-8")
        with pytest.raises(ProofError, match=reason) as error:
            counted_proof(progress, "int8")
        assert "delete it" in str(error.value)
        assert progress.read_text(encoding="utf-8") == other


@pytest.mark.parametrize(
    "foreign",
    [b"my diary\n", b"my diary", b"\x93NUMPY\xff\xff", b"[]\n", b"[" * 9999 + b"\n", b'{"kind": "header"}\n', b"\n"],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(foreign: bytes, progress: Path) -> None:
    progress.write_bytes(foreign)
    with pytest.raises(ProofError, match="is not a progress file of a proof; delete it"):
        counted_proof(progress, "int8")
    assert progress.read_bytes() == foreign
    progress.unlink()
    assert counted_proof(progress, "int8")[0].holds


def test_a_second_process_is_refused(progress: Path) -> None:
    with Progress(progress, {}), pytest.raises(ProofError, match="another process is using"):
        counted_proof(progress, "int8")


def test_progress_that_cannot_be_kept_is_an_error_before_anything_is_done(progress: Path) -> None:
    progress.write_text("", encoding="utf-8")
    for nowhere in (progress / "below", progress.parent):
        with pytest.raises(ProofError, match="cannot keep progress in"):
            counted_proof(nowhere, "int16")
        assert Path(os.environ["CALLS"]).read_text(encoding="utf-8") == ""


def test_a_line_that_no_proof_writes_is_done_again(progress: Path) -> None:
    first, _ = counted_proof(progress, "int16", "uint16")
    whole = progress.read_bytes()
    *good, last = whole.splitlines(keepends=True)
    said = json.loads(last)
    tally = said["tallies"][0]
    lines: list[bytes | dict[str, Any]] = [
        {key: value for key, value in said.items() if key != "part"},
        {**said, "part": ["x"]},
        {**said, "part": 5},
        {**said, "tallies": []},
        {**said, "tallies": {}},
        {**said, "tallies": said["tallies"] * 2},
        {**said, "seconds": "long"},
        {**said, "seconds": int("9" * 400)},
        {**said, "processor": 5},
        *({**said, "tallies": [{**tally, **changed}]} for changed in (
            {"patterns": "many"}, {"wrong": int("9" * 400)}, {"digest": 5}, {"units": [int("9" * 400), "00", "0", 0]},
            {"data_format": "channels_first"}, {"counterexample": 5},
        )),
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        last.replace(b'"part": "', b'"part": "\xff'),
    ]  # fmt: skip
    for line in lines:
        progress.write_bytes(b"".join(good) + (line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"))
        again, calls = counted_proof(progress, "int16", "uint16")
        assert calls == [said["part"].split()[4]], line
        assert timeless(again) == timeless(first)
    assert [json.loads(line)["part"] for line in progress.read_bytes().splitlines()[1:]] == [
        json.loads(line)["part"] for line in (*good[1:], last)
    ]
