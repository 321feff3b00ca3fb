"""Programs that answer at the end of their input are asked everything in a few starts, whatever they are told."""

from __future__ import annotations

import select
import sys
from pathlib import Path

import pytest

from vggprep.conformance.engine import Selection
from vggprep.conformance.judging import judge
from vggprep.conformance.report import failure_text
from vggprep.implementations import Implementation
from vggprep.implementations.commands import Command, load_inverse

pytestmark = pytest.mark.skipif(not hasattr(select, "poll"), reason="command: targets need POSIX")

PROGRAM = """
import io, sys
import numpy as np
sys.path.insert(0, {examples!r})
from port import preprocess, restore
data, answers = io.BytesIO(sys.stdin.buffer.read()), io.BytesIO()
while data.tell() < len(data.getbuffer()):
    x = np.load(data)
    if x.shape[-1] != 3:
        sys.exit("no RGB images")
    np.save(answers, {answer})
sys.stdout.buffer.write(answers.getvalue())
"""
MEAN, STD = "np.float32([0.485, 0.456, 0.406])", "np.float32([0.229, 0.224, 0.225])"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("answer", "direction"),
    [
        ("preprocess(x, 'torch')", "forward"),
        ("restore(x, 'torch')", "inverse"),
        (f"(x * {STD} + {MEAN}) * np.float32(255)", "inverse"),
    ],
)
def test_a_program_that_takes_no_words_is_judged_in_its_nearest_mode(
    tmp_path: Path, answer: str, direction: str
) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(examples=str(Path(__file__).parents[2] / "examples"), answer=answer))
    program, _ = load_inverse(f"{sys.executable} {path}", direction=direction)  # type: ignore[arg-type]
    assert isinstance(program, Command)
    assert program.answers_at_end
    functions = {"preprocess": program} if direction == "forward" else {"deprocess": program}
    named = Implementation("reads all", **functions, native_only=True, serial=True)  # type: ignore[arg-type]
    report = judge(named, selection=Selection(dtypes=("float32",)), examples=10)
    assert report.conforms, failure_text([report])
    assert {r.mode for r in report.results} == {"torch"}
    assert {r.status for r in report.results if r.check == "determinism"} == {"passed"}
    assert program.starts <= 20
