"""Model files under test, made by the real converters; a converter that is missing is a visible skip."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, vggprep

from vggprep import identify
from vggprep.conformance.engine import run
from vggprep.conformance.report import failure_text
from vggprep.errors import VggprepError
from vggprep.implementations.targets import load

pytestmark = [  # of Keras and its converter
    pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

Target = Callable[..., str]
Nodes = tuple[tuple[Any, ...], ...]
TAPS = {"onnx": "BiasAdd", "tflite": "BiasAdd", "savedmodel": "BiasAdd", "keras-model": "preprocessed"}


def network(
    keras: Any, dtype: str = "float32", shape: tuple[int | None, ...] = (32, 32, 3), fault: bool = False
) -> Any:
    """``preprocess_input`` in front of a small network."""
    image = keras.Input(shape, dtype=dtype, name="image")
    x = image if dtype == "float32" else keras.ops.cast(image, "float32")
    x = x[..., ::-1] if fault else x  # swapped twice: the classic
    x = keras.applications.imagenet_utils.preprocess_input(x, mode="caffe")
    x = keras.layers.Identity(name="preprocessed")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pool")(x))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A model file of a kind: made once, by the converter that people use."""
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("models")

    def make(
        kind: str, dtype: str = "float32", shape: tuple[int | None, ...] = (32, 32, 3), fault: bool = False
    ) -> str:
        path = folder / f"{dtype}-{shape[0]}-{fault}.{kind}"
        if kind == "keras-model":
            path = path.with_suffix(".keras")
        if kind == "onnx":
            pytest.importorskip("onnxruntime")
            pytest.importorskip("tf2onnx")
        if path.exists():
            return f"{kind}:{path}"
        model = network(keras, dtype, shape, fault)
        with contextlib.redirect_stdout(None):
            model(np.zeros((1, 32, 32, 3), dtype))  # a model that was never called cannot be exported
            if kind == "keras-model":
                model.save(path)
            elif kind == "savedmodel":
                model.export(str(path), verbose=False)
            elif kind == "onnx":
                model.export(str(path), format="onnx", verbose=False)
            else:
                if not hasattr(tf, "lite"):
                    pytest.skip("this TensorFlow has no TFLite converter")
                saved = f"{path}.saved"
                model.export(saved, verbose=False)
                path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())
        return f"{kind}:{path}"

    return make


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in TAPS),
        ("tflite", {"dtype": "uint8"}),
        *((kind, {"shape": (None, None, 3)}) for kind in ("tflite", "onnx", "keras-model")),
    ],
)
def test_a_model_with_preprocessing_inside_conforms(model_file: Target, kind: str, options: dict[str, Any]) -> None:
    found = load(model_file(kind, **options), tensor_name=TAPS[kind])[0]
    claimed = (options.get("dtype", "float32"),)
    assert (found.dtypes, found.ranks, found.data_formats) == (claimed, (4,), ("channels_last",))
    report = run(found, examples=0 if "shape" in options else 10)
    assert report.conforms, failure_text([report])
    assert report.guessed == {"forward": "caffe"}


@pytest.mark.parametrize("kind", TAPS)
def test_a_fault_inside_a_model_is_named(model_file: Target, kind: str) -> None:
    found = load(model_file(kind, fault=True), tensor_name=TAPS[kind])[0]
    report = run(found, examples=0)
    assert not report.conforms
    assert any(r.diagnosis.startswith("behaves like no_swap:") for r in report.results)
    assert identify(found).answers[0].name == "no_swap"


@pytest.mark.parametrize("kind", TAPS)
def test_a_network_without_a_tap_says_what_to_tap(model_file: Target, kind: str) -> None:
    said = one_line(vggprep("check", model_file(kind)))
    assert "has shape (2, 4) for an input of shape (2, 32, 32, 3); name the tensor" in said
    assert TAPS[kind] in said.partition("; it has ")[2].split(", ")[0]  # the likeliest first


@pytest.mark.parametrize("kind", TAPS)
def test_an_unknown_tensor_or_input_is_named_with_those_there_are(model_file: Target, kind: str) -> None:
    with pytest.raises(VggprepError, match="has no tensor 'nowhere'; it has"):
        load(model_file(kind), tensor_name="nowhere")
    with pytest.raises(VggprepError, match="has no input 'nowhere'; it has"):
        load(model_file(kind), input_name="nowhere")


# Graphs made by hand, which need no TensorFlow -------------------------------------------------------------------


@pytest.fixture
def onnx_file(tmp_path: Path) -> Target:
    """An ONNX file of the torch mode, channels first."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")

    def make(
        shape: tuple[str | int, ...] = ("n", 3, "h", "w"),
        inputs: tuple[str, ...] = ("image",),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        transposed: bool = False,
        dtype: str = "FLOAT",
    ) -> str:
        h, types = onnx.helper, onnx.TensorProto
        constants: dict[str, Sequence[float]] = {"d": [255.0], "m": [0.485, 0.456, 0.406], "s": std}
        tensors = [
            h.make_tensor(k, types.FLOAT, [1, len(v), 1, 1], np.array(v, np.float32)) for k, v in constants.items()
        ]
        nodes = [
            h.make_node("Cast", [inputs[0]], ["floats"], to=types.FLOAT),
            h.make_node("Div", ["floats", "d"], ["a"]),
            h.make_node("Sub", ["a", "m"], ["b"]),
            h.make_node("Div", ["b", "s"], ["c"]),
            h.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1] if transposed else [0, 1, 2, 3]),
        ]
        if len(inputs) > 1:
            nodes.append(h.make_node("Identity", [inputs[1]], ["z"]))
        values = [h.make_tensor_value_info(name, getattr(types, dtype), shape) for name in inputs]
        output = h.make_tensor_value_info("y", types.FLOAT, None)
        graph = h.make_graph(nodes, "g", values, [output], tensors)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(model, path)
        return f"onnx:{path}"

    return make


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, 24, 20), (4, 3, "h", "w"), ("n", 3, 8, 8)])
@pytest.mark.parametrize("transposed", [False, True])
def test_fixed_and_free_sizes_and_batches(onnx_file: Target, shape: tuple[str | int, ...], transposed: bool) -> None:
    found = load(onnx_file(shape, transposed=transposed))[0]
    assert found.data_formats == ("channels_first",)
    report = run(found, examples=10)
    assert report.conforms, failure_text([report])
    assert {r.mode for r in report.results} == {"torch"}


def test_a_static_byte_input_is_the_claim(onnx_file: Target) -> None:
    found = load(onnx_file(dtype="UINT8"))[0]
    assert found.dtypes == ("uint8",)
    assert run(found, examples=0).conforms


def test_one_deviation_for_all_channels_is_named(onnx_file: Target) -> None:
    checked = vggprep("check", onnx_file(std=[0.226]), "--examples", "0")
    identified = vggprep("identify", onnx_file(std=[0.226]))
    assert (checked.returncode, identified.returncode) == (1, 1)
    assert "behaves like one_std" in checked.output
    assert "one_std (in mode torch), channels_first" in identified.output


def test_of_two_inputs_one_must_be_named(onnx_file: Target) -> None:
    target = onnx_file(inputs=("image", "other"))
    said = one_line(vggprep("check", target))
    assert "it has 2 inputs, image, other: name the one that takes images with --input" in said
    assert run(load(target, input_name="image")[0], examples=0).conforms  # the other one leads elsewhere


def onnx_graph(path: Path, shape: tuple[str | int, ...], *nodes: tuple[Any, ...], inputs: Sequence[str] = ()) -> str:
    """An ONNX file that subtracts 1 and divides by 127.5, with other nodes before it, which end with ``ready``."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    h, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants = {
        "one": np.float32(1),
        "scale": np.float32(127.5),
        "starts": np.array([4, 6]),
        "ends": np.array([28, 30]),
        "axes": np.array([2, 3]),
        "sizes": np.array([2, 3, 24, 24]),
        "half": np.array([1, 1, 0.5, 0.5], np.float32),
        "kernel": np.ones((4, 3, 1, 1), np.float32),
    }
    tail: list[tuple[Any, ...]] = [("Div", ["ready", "scale"], ["unit"], {}), ("Sub", ["unit", "one"], ["y"], {})]
    made = [h.make_node(kind, reads, makes, **more) for kind, reads, makes, more in [*nodes, *tail]]
    values = [h.make_tensor_value_info("image", floats, shape)]
    values += [h.make_tensor_value_info(name, floats, [1]) for name in inputs]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = h.make_graph(made, "g", values, [h.make_tensor_value_info("y", floats, None)], tensors)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return f"onnx:{path}"


CROP: tuple[Any, ...] = ("Slice", ["image", "starts", "ends", "axes"], ["ready"], {})
RESIZE: tuple[Any, ...] = ("Resize", ["image", "", "", "sizes"], ["ready"], {"mode": "linear"})
HALVE: tuple[Any, ...] = ("Resize", ["image", "", "half"], ["ready"], {"mode": "linear"})


@pytest.mark.parametrize(
    ("node", "shape"), [(CROP, ("n", 3, 32, 40)), (CROP, (2, 3, 32, 32)), (RESIZE, (2, 3, "h", "w"))]
)
def test_a_crop_or_a_resize_inside_is_judged_at_the_size_that_it_gives(
    tmp_path: Path, node: tuple[Any, ...], shape: tuple[str | int, ...]
) -> None:
    report = run(load(onnx_graph(tmp_path / "m.onnx", shape, node))[0], examples=5)
    assert report.conforms, failure_text([report])
    assert {r.mode for r in report.results} == {"tf"}
    wrong: Nodes = ("Neg", ["image"], ["turned"], {}), (node[0], ["turned", *node[1][1:]], *node[2:])
    assert not run(load(onnx_graph(tmp_path / "w.onnx", shape, *wrong))[0], examples=0).conforms


@pytest.mark.parametrize(("node", "shape"), [(RESIZE, (2, 3, 32, 32)), (HALVE, ("n", 3, "h", "w"))])
def test_a_resize_that_cannot_be_undone_is_told_apart(
    tmp_path: Path, node: tuple[Any, ...], shape: tuple[str | int, ...]
) -> None:
    with pytest.raises(
        VggprepError, match=r"images are resized inside, and not cropped .* name the tensor .* with --tensor"
    ):
        load(onnx_graph(tmp_path / "m.onnx", shape, node))


def test_further_inputs_that_matter_are_refused_by_name(tmp_path: Path) -> None:
    nodes: Nodes = ("Mul", ["image", "gain"], ["louder"], {}), ("Add", ["louder", "offset"], ["ready"], {})
    target = onnx_graph(tmp_path / "m.onnx", ("n", 3, "h", "w"), *nodes, inputs=["gain", "offset"])
    with pytest.raises(VggprepError, match="depends on further inputs, gain, offset, that nobody says what to give"):
        load(target, input_name="image")
    with pytest.raises(VggprepError, match=r"depends on a further input, gain, that"):
        load(target, input_name="image", tensor_name="louder")


def test_escape_sequences_in_the_names_of_files_and_tensors_are_shown(tmp_path: Path) -> None:
    target = onnx_graph(tmp_path / "\x1b[2J.onnx", (1, 3, 8, 8), ("Identity", ["image"], ["\x1b]0;a\x07"], {}), CROP)
    for words in ({"tensor_name": "nowhere"}, {"input_name": "\x9b1m"}):
        with pytest.raises(VggprepError, match=re.escape(r"\x1b[2J.onnx: it has no")) as error:
            load(target, **words)
        assert str(error.value).isprintable()


def test_the_likeliest_tensor_is_listed_first_and_then_all_in_the_order_of_the_graph(tmp_path: Path) -> None:
    network: Nodes = ("Conv", ["y", "kernel"], ["features"], {}), ("GlobalAveragePool", ["features"], ["pooled"], {})
    target = onnx_graph(tmp_path / "m.onnx", ("n", 3, "h", "w"), ("Identity", ["image"], ["ready"], {}))
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.node.extend(onnx.helper.make_node(kind, reads, makes) for kind, reads, makes, _ in network)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("pooled", onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(VggprepError, match=r"--tensor; it has y, ready, unit, features, pooled$"):
        load(target)
    assert run(load(target, tensor_name="y")[0], examples=0).conforms


@pytest.mark.parametrize("kind", ["keras-model", "savedmodel", "tflite"])
def test_two_inputs_of_other_kinds(tmp_path: Path, kind: str) -> None:
    keras, tf = pytest.importorskip("keras"), pytest.importorskip("tensorflow")
    image, gain = keras.Input((8, 8, 3), name="image"), keras.Input((1, 1, 1), name="gain")
    ready = keras.layers.Rescaling(1 / 127.5, offset=-1, name="ready")(image)
    model = keras.Model([image, gain], keras.layers.Multiply(name="louder")([ready, gain]))
    path = tmp_path / ("m.keras" if kind == "keras-model" else "m")
    with contextlib.redirect_stdout(None):
        if kind == "keras-model":
            model.save(path)
        elif kind == "savedmodel":
            model.export(str(path), verbose=False)
        else:
            model.export(f"{path}.saved", verbose=False)
            path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(f"{path}.saved").convert())
    with pytest.raises(
        VggprepError, match=r"it has 2 inputs, .*: name the one that takes images with --input"
    ) as error:
        load(f"{kind}:{path}")
    names = re.findall(r"inputs, (.*): name", str(error.value))[0].split(", ")
    name = next(n for n in names if "image" in n)
    with pytest.raises(VggprepError, match=r"its output depends on a further input, .*gain.*, that nobody says"):
        load(f"{kind}:{path}", input_name=name)


def test_bad_files_are_one_line_and_code_2(tmp_path: Path, onnx_file: Target) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"<html>not a model</html>")
    (tmp_path / "empty").mkdir()
    flat = onnx_file(shape=(3, 4))
    for arguments, words in (
        ([f"onnx:{broken}"], "cannot load onnx:"),
        ([f"onnx:{tmp_path / 'gone.onnx'}"], "there is no file"),
        ([f"savedmodel:{tmp_path / 'gone'}"], "there is no folder"),
        (["onnx:"], "needs a file"),
        ([flat], "which is not that of RGB images"),
        (["reference", "--tensor", "x"], "model file: --input and --tensor are for"),
    ):
        assert words in one_line(vggprep("check", *arguments))


@pytest.mark.parametrize(
    ("kind", "modules", "words"),
    [
        ("onnx", ["onnxruntime"], "it needs onnxruntime"),
        ("tflite", ["ai_edge_litert.interpreter", "tensorflow"], "it needs LiteRT or TensorFlow"),
        ("savedmodel", ["tensorflow"], "it needs TensorFlow"),
        ("keras-model", ["keras"], "it needs Keras"),
    ],
)
def test_a_missing_runtime_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, modules: list[str], words: str
) -> None:
    path = tmp_path / "model"
    path.mkdir() if kind == "savedmodel" else path.touch()
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(VggprepError, match=f"cannot load {kind}:.*{words}: pip install"):
        load(f"{kind}:{path}")


def test_a_tensor_inside_an_onnx_file_needs_onnx(onnx_file: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    target = onnx_file()
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(load(target)[0], examples=0).conforms
    with pytest.raises(VggprepError, match="--tensor needs the package onnx: pip install"):
        load(target, tensor_name="a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dtype": "STRING"}, r"its input has type tensor\(string\), which NumPy does not have"),
        ({"shape": ("n", 1, 8, 8)}, r"its input has shape \(\?, 1, 8, 8\), which is not that of RGB images"),
    ],
)
def test_an_input_of_text_or_without_colour_is_refused(onnx_file: Target, given: dict[str, Any], said: str) -> None:
    with pytest.raises(VggprepError, match=said):
        load(onnx_file(**given))


def test_a_savedmodel_without_a_signature_is_refused(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    with pytest.raises(VggprepError, match="it has no signature to call"):
        load(f"savedmodel:{tmp_path / 'm'}")


@pytest.mark.parametrize("kind", ["tflite", "keras-model", "savedmodel"])
def test_corrupt_files_of_other_runtimes_are_one_line(tmp_path: Path, kind: str) -> None:
    pytest.importorskip({"tflite": "ai_edge_litert"}.get(kind, "tensorflow"))
    path = tmp_path / {"keras-model": "m.keras"}.get(kind, "m")
    if kind == "savedmodel":
        path.mkdir()
    else:
        path.write_bytes(b"<html>not a model</html>")
    with pytest.raises(VggprepError, match=f"cannot load {kind}:") as error:
        load(f"{kind}:{path}")
    assert "\n" not in str(error.value)
    if kind == "tflite":
        path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
        with pytest.raises(VggprepError):
            load(f"{kind}:{path}")
