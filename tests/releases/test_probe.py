"""The probe against a stand-in for Keras: what it answers, and what survives what."""

from __future__ import annotations

import ast
import types
from pathlib import Path
from typing import Any

import pytest
from stand_in import question, write_stand_in

from vggprep.releases import probe
from vggprep.releases.observation import Interpreter, Row, observe
from vggprep.releases.questions import Question, encode


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_stand_in(tmp_path_factory.mktemp("stand_in"))


def ask(stand_in: dict[str, str], *asked: Question, row_seconds: float = 60) -> list[Row]:
    observed = observe(interpreter=Interpreter(environment=stand_in, row_seconds=row_seconds), asked=asked)
    return [observed.rows[q.id] for q in asked]


def test_the_probe_keeps_to_the_syntax_of_python_3_6() -> None:
    source = Path(probe.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 6))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert "vggprep" not in {alias.name.split(".")[0] for node in imports for alias in node.names}
    assert not any(isinstance(node, ast.ImportFrom) and "vggprep" in str(node.module) for node in ast.walk(tree))


def test_a_right_answer_is_found_right_and_chatter_does_no_harm(stand_in: dict[str, str]) -> None:
    uint8, tf = ask(stand_in, question(dtype="uint8"), question(mode="tf"))
    assert (uint8.verdict, uint8.dtype, uint8.shape, uint8.written) == ("right", "float32", (4, 5, 3), False)
    assert uint8.aliasing == "fresh"
    assert uint8.warnings == ("UserWarning",)
    # As Keras: float input is overwritten, and itself returned in tf mode.
    assert (tf.verdict, tf.written, tf.aliasing) == ("right", True, "same")


def test_an_exception_is_a_row_with_the_first_line_of_its_message(stand_in: dict[str, str]) -> None:
    unknown, null, read_only = ask(
        stand_in, question(mode="unknown"), question(mode="null"), question(layout="read-only")
    )
    assert (unknown.error, unknown.message) == ("ValueError", "unknown mode")
    assert null.error == "ValueError"
    assert read_only.error == "ValueError"


def test_what_does_not_exist_here_is_skipped_with_the_reason(stand_in: dict[str, str]) -> None:
    tensor, module = ask(stand_in, question("tensor"), question(module="vgg19"))
    assert "numpy" in tensor.skipped
    assert "vgg19" in module.skipped


def test_layouts_hold_the_same_values(stand_in: dict[str, str]) -> None:
    layouts = ("F", "reversed", "sliced", "unaligned", "big-endian")
    plain, *odd = ask(stand_in, *(question(dtype="float64", layout=layout) for layout in ("C", *layouts)))
    assert [(row.digest, row.dtype) for row in odd] == [(plain.digest, "float64")] * len(layouts)


def test_settings_hold_for_their_row_alone(stand_in: dict[str, str]) -> None:
    wide, after = ask(stand_in, question(dtype="uint8", floatx="float64"), question(dtype="uint8"))
    assert (wide.dtype, after.dtype) == ("float64", "float32")
    first = ask(stand_in, question(data_format="null", image_data_format="channels_first"))[0]
    assert first.error == "NotImplementedError"


def test_groups_share_no_process_and_rows_of_a_group_do(stand_in: dict[str, str]) -> None:
    torch, stale = ask(
        stand_in, question(mode="torch", group="torch"), question(mode="caffe", group="torch", after="torch")
    )
    assert torch.verdict == "right"
    assert (stale.verdict, stale.cause) == ("wrong", "the mean of mode torch")
    assert ask(stand_in, question(mode="torch", group="a"), question(mode="caffe", group="b"))[1].verdict == "right"


def test_a_row_that_kills_the_interpreter_says_so_and_the_rest_still_run(stand_in: dict[str, str]) -> None:
    asked = (question("test-abort"), question(mode="tf"), question("test-abort", mode="tf"), question())
    first, before, second, after = ask(stand_in, *asked)
    assert before.verdict == after.verdict == "right"
    assert first.fatal == second.fatal == "SIGABRT"


def test_a_row_that_hangs_is_ended_and_the_rest_still_run(stand_in: dict[str, str]) -> None:
    hang, after = ask(stand_in, question("test-hang"), question(), row_seconds=1)
    assert hang.fatal == "no answer in 1 s"
    assert after.verdict == "right"


def test_what_a_call_that_raises_has_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def halve_and_raise(x: Any, **_: str) -> None:
        x /= 2
        raise RuntimeError

    module = types.SimpleNamespace(preprocess_input=halve_and_raise)
    target: Any = types.SimpleNamespace(module=lambda _: module, torch=None, jax=None, multi_backend=False)
    monkeypatch.setattr(probe, "to_tensor", lambda x, _: x.copy())  # the tensor is not the array that it is made of
    asked = question("tensor")
    said = probe.answer(asked.ask(), {asked.array_name: encode(asked)}, target)
    assert (said["error"], said["written"]) == ("RuntimeError", True)


def test_a_setting_that_is_refused_is_no_error_of_preprocess_input(tmp_path: Path) -> None:
    found = write_stand_in(tmp_path)
    with open(tmp_path / "keras/backend.py", "a") as file:
        file.write("def set_floatx(value): raise ValueError(value)\n")
    refused, right = ask(found, question(floatx="bfloat16"), question())
    assert (refused.error, refused.type, right.verdict) == ("ValueError", "setting", "right")
