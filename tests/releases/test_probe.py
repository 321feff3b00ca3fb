"""The probe against a stand-in for Keras: what it answers, and what survives what."""

from __future__ import annotations

import ast
import io
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import question, write_stand_in

from vggprep.releases import probe
from vggprep.releases.observation import Interpreter, MachineError, Row, observe
from vggprep.releases.questions import Question, array, encode


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


def test_an_image_that_cannot_be_written_is_no_answer_of_keras(tmp_path: Path, full_disk: Path) -> None:
    variables = write_stand_in(tmp_path)
    with open(tmp_path / "keras" / "__init__.py", "a", encoding="utf-8") as file:
        file.write("class utils:\n    load_img = img_to_array = lambda it: it\n")
    (full_disk / "all").write_bytes(b"")  # Python passes over a folder in which it can write nothing at all
    asked = Question("load_img", "uint8", (4, 5, 3), file="rgb")
    with pytest.raises(
        MachineError, match=r"^no folder for temporary files .*: No space left on device; make room, or"
    ):
        ask({**variables, "TMPDIR": str(full_disk)}, asked)
    assert ask(variables, asked)[0].type == "other"


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


@pytest.mark.parametrize(
    ("kind", "mode", "channels"),
    [("grey", "L", 1), ("grey-alpha", "LA", 2), ("rgb", "RGB", 3), ("rgba", "RGBA", 4), ("palette", "P", 3),
     ("16-bit", "I;16", 1), ("1-bit", "1", 1)],
)  # fmt: skip
def test_a_png_holds_the_pixels_that_were_asked_for(kind: str, mode: str, channels: int) -> None:
    image = pytest.importorskip("PIL.Image")
    x = array(Question("load_img", "uint8", (4, 5, channels), file=kind))
    found = image.open(io.BytesIO(probe.png(x, kind)))
    assert found.mode == mode
    assert found.size == (5, 4)
    values = np.asarray(found.convert("RGB") if kind == "palette" else found).reshape(x.shape)
    assert np.array_equal(values, x > 127 if kind == "1-bit" else x.astype(int) * (257 if kind == "16-bit" else 1))


class Symbol:
    """A stand-in for a tensor of a model: what was done to it, in words."""

    def __init__(self, shape: tuple[int | None, ...], done: str = "input") -> None:
        self.shape, self.done = shape, done


def of_models(constructor: Any) -> Any:
    """A stand-in for a Keras with this constructor, whose layers say what they do."""

    class Layer:
        def __call__(self, given: Symbol) -> Symbol:
            return Symbol(given.shape, f"{given.done} {type(self).__name__}")

    names = ("Conv2D", "DepthwiseConv2D", "ZeroPadding2D", "Dense", "Rescaling")
    layers = types.SimpleNamespace(**{name: type(name, (Layer,), {}) for name in names})
    keras = types.SimpleNamespace(
        layers=layers, Sequential=type("Sequential", (Layer,), {}), Input=lambda shape: Symbol((None, *shape))
    )
    keras.Model = lambda inputs, outputs: lambda x: (outputs.done, x.shape)
    keras.applications = types.SimpleNamespace(Made=constructor(layers))
    return types.SimpleNamespace(keras=keras, session=False, backend="numpy")


def test_a_model_is_stopped_at_its_first_layer_with_weights_and_nothing_stays_replaced() -> None:
    def constructor(layers: Any) -> Any:
        def made(
            weights: str | None, include_top: bool, input_tensor: Symbol, include_preprocessing: bool = True
        ) -> None:
            x = layers.Rescaling()(input_tensor) if include_preprocessing else input_tensor
            if weights == "imagenet":
                x = layers.Rescaling()(x)
            layers.Conv2D()(x)
            raise AssertionError("it went on")

        return made

    target = of_models(constructor)
    x = np.zeros((1, 32, 32, 3), "uint8")
    for using, done in ((None, "input Rescaling"), ("imagenet", "input Rescaling Rescaling")):
        row = {"module": "Made", **({"using": using} if using else {})}
        assert probe.run_built(target, len, x, row) == (None, (done, x.shape))
    _, same = probe.run_built(target, len, x, {"module": "Made", "using": "left-out"})
    assert (same.dtype, same.shape) == (np.float32, x.shape)
    assert target.keras.layers.Conv2D()(Symbol((1,), "a")).done == "a Conv2D"
    with pytest.raises(probe.UnavailableError, match="no Other"):
        probe.run_built(target, len, x, {"module": "Other"})
