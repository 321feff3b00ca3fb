"""The probe against a stand-in for Keras: what it answers, and what survives what."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from stand_in import question, write_stand_in

import vggprep
from vggprep.releases import observation, probe
from vggprep.releases.observation import Row, observe


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_stand_in(tmp_path_factory.mktemp("stand_in"))


def ask(stand_in: dict[str, str], *asked: object, **more: object) -> list[Row]:
    observed = observe(environment=stand_in, asked=list(asked), **more)  # type: ignore[arg-type]
    return [observed.rows[q.id] for q in asked]  # type: ignore[attr-defined]


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
        stand_in, question(mode="unknown"), question(mode=None), question(layout="read-only")
    )
    assert (unknown.error, unknown.message) == ("ValueError", "unknown mode")
    assert null.error == "ValueError"
    assert read_only.error == "ValueError"


def test_what_does_not_exist_here_is_skipped_with_the_reason(stand_in: dict[str, str]) -> None:
    tensor, module = ask(stand_in, question("tensor"), question(module="vgg19"))
    assert "numpy" in tensor.skipped
    assert "vgg19" in module.skipped


@pytest.mark.parametrize("layout", ["F", "reversed", "sliced", "unaligned", "big-endian"])
def test_layouts_hold_the_same_values(stand_in: dict[str, str], layout: str) -> None:
    plain, odd = ask(stand_in, question(dtype="float64"), question(dtype="float64", layout=layout))
    assert odd.digest == plain.digest
    assert odd.dtype == "float64"


def test_settings_hold_for_their_row_alone(stand_in: dict[str, str]) -> None:
    wide, after = ask(stand_in, question(dtype="uint8", floatx="float64"), question(dtype="uint8"))
    assert (wide.dtype, after.dtype) == ("float64", "float32")
    first = ask(stand_in, question(data_format=None, image_data_format="channels_first"))[0]
    assert first.error == "NotImplementedError"


def test_groups_share_no_process_and_rows_of_a_group_do(stand_in: dict[str, str]) -> None:
    torch, stale = ask(
        stand_in, question(mode="torch", group="torch"), question(mode="caffe", group="torch", after="torch")
    )
    assert torch.verdict == "right"
    assert (stale.verdict, stale.cause) == ("wrong", "the mean of mode torch")
    assert ask(stand_in, question(mode="torch", group="a"), question(mode="caffe", group="b"))[1].verdict == "right"


def test_a_row_that_kills_the_interpreter_says_so_and_the_rest_still_run(stand_in: dict[str, str]) -> None:
    before, abort, after = ask(stand_in, question(mode="tf"), question("test-abort"), question())
    assert before.verdict == after.verdict == "right"
    assert abort.fatal == "SIGABRT"


def test_a_row_that_hangs_is_ended_and_the_rest_still_run(stand_in: dict[str, str]) -> None:
    hang, after = ask(stand_in, question("test-hang"), question(), row_seconds=2)
    assert hang.fatal == "no answer in 2 s"
    assert after.verdict == "right"


def test_fatal_rows_first_last_and_alone(stand_in: dict[str, str]) -> None:
    rows = ask(stand_in, question("test-abort"), question("test-abort", mode="tf"))
    assert [row.fatal for row in rows] == ["SIGABRT", "SIGABRT"]


def test_digests_see_values_and_dtypes_not_how_they_are_kept() -> None:
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


def digest(y: np.ndarray) -> str:
    said = probe.describe_array(y.reshape(1, -1, 1))
    return observation._judged(question(shape=(4, 5, 3)), {**said, "type": "array"}).digest


def test_the_probe_is_in_the_package() -> None:
    assert Path(probe.__file__).parent == Path(vggprep.__file__).parent
