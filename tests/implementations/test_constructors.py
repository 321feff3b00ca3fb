"""The table of constructors against the models that the installed Keras builds; in children, on torch and JAX.

Built are the first of each family, and both graphs where they differ, in both data formats where something happens
inside; with ``VGGPREP_EVERY_CONSTRUCTOR`` set, every constructor, both graphs, both data formats.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, vggprep
from support import ROOT, every_byte

from vggprep.configurations.affine import levels_apart
from vggprep.constructors import CONSTRUCTORS, FAMILIES, NOTHING, WEIGHTS, Family, Weights
from vggprep.explanation import affine
from vggprep.implementations.constructors import Built, apply, inside
from vggprep.implementations.targets import load
from vggprep.spec import DATA_FORMATS, DataFormat, Mode

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

keras: Any
if os.environ.get("VGGPREP_REQUIRE_KERAS"):
    import keras  # type: ignore[no-redef]
else:
    keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras's and TensorFlow's

EVERY = bool(os.environ.get("VGGPREP_EVERY_CONSTRUCTOR"))
CHILD = "VGGPREP_BACKEND_OF_CHILD"
UNIT_ROUNDOFF = 2.0**-24
CHANNELS_LAST_ONLY = {"densenet", "convnext", "nasnet"}

ALL = [(name, weights, data_format) for name in CONSTRUCTORS for weights in WEIGHTS for data_format in DATA_FORMATS]
FEW = [
    (name, weights, data_format)
    for name, weights, data_format in ALL
    for family in [CONSTRUCTORS[name]]
    if name == family.constructors[0]
    and (weights or family.inside is not family.imagenet)
    and (data_format == "channels_last" or family.inside is not NOTHING)
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("something is downloaded")

    monkeypatch.setattr("socket.socket.connect", connect)


def seen(built: Built, data_format: DataFormat) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every byte in every channel, and what the first weight is given for it, as pixels in float64."""
    x = every_byte(data_format)[None]
    y = apply(keras, built, x, data_format)
    assert y.dtype == np.float32
    pair = [array if data_format == "channels_last" else array.transpose(0, 2, 3, 1) for array in (x, y)]
    return pair[0].reshape(-1, 3).astype(float), pair[1].reshape(-1, 3).astype(float)


def measured(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Mode:
    """The map that the outputs show, in the decimals of fewest digits that fit, as a mode."""
    fitted = affine.fit(x, y, UNIT_ROUNDOFF)
    assert fitted is not None
    size = float(np.abs(y).max())
    found = affine.readable(fitted[0], 4 * UNIT_ROUNDOFF * size / 255, 4 * UNIT_ROUNDOFF * size)
    scales, offsets = [channel.scale for channel in found], [channel.offset for channel in found]
    return Mode("measured", [channel.source for channel in found], [("multiply", scales), ("add", offsets)])


def prove(mode: Mode, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    """Each of the 768 values is the mode's to within 8 unit roundoffs of the magnitudes combined."""
    seen_bytes = 0
    for channel, source in enumerate(mode.order):
        for byte, got in dict(zip(x[:, source], y[:, channel], strict=True)).items():
            value = size = Fraction(int(byte))
            for step in mode.steps:
                constant = Fraction(step.constants[channel])
                if step.operation in ("add", "subtract"):
                    value, size = value + (constant if step.operation == "add" else -constant), size + abs(constant)
                else:
                    factor = constant if step.operation == "multiply" else 1 / constant
                    value, size = value * factor, size * abs(factor)
            assert abs(got - value) <= 8 * UNIT_ROUNDOFF * size, (channel, byte, got, float(value))
            seen_bytes += 1
    assert seen_bytes == 768


@pytest.mark.parametrize(("name", "weights", "data_format"), ALL if EVERY else FEW)
def test_the_table_says_what_a_constructor_builds(name: str, weights: Weights, data_format: DataFormat) -> None:
    family = CONSTRUCTORS[name]
    if data_format == "channels_first" and family.module in CHANNELS_LAST_ONLY:
        with pytest.raises(ValueError, match=r"channels_first|torch backend"):
            inside(keras, name, weights, data_format)
        return
    if name == "NASNetMobile" and keras.backend.backend() == "torch":
        pytest.skip("Keras has no NASNetMobile on torch")
    built = inside(keras, name, weights, data_format)
    x, y = seen(built, data_format)
    mode = family.does(weights)
    prove(mode, x, y)
    assert levels_apart(mode, measured(x, y)) < 1e-3
    assert any(getattr(layer, "weights", ()) for layer in built[1]) == family.loaded
    assert bool(built[1]) == (family.inside is not NOTHING)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.inside is not NOTHING])
def test_include_preprocessing_leaves_it_out_where_there_is_such_an_argument(family: Family) -> None:
    build = keras.applications.__dict__[family.constructors[0]]
    assert ("include_preprocessing" in build.__code__.co_varnames) == family.optional
    if family.optional:
        assert inside(keras, family.constructors[0], "imagenet", "channels_last", include_preprocessing=False)[1] == ()


def test_the_table_has_every_constructor_and_its_module() -> None:
    if keras.backend.backend() != "tensorflow":
        return
    built = {name for name in dir(keras.applications) if name[0].isupper()}
    assert built == set(CONSTRUCTORS)
    for name, family in CONSTRUCTORS.items():
        assert getattr(keras.applications, name).__module__.rpartition(".")[2] == family.module


@pytest.mark.skipif(CHILD in os.environ, reason="in the parent")
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_table_holds_on_other_backends(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    some = "says_what and (MobileNetV3 or ConvNeXt or EfficientNet)"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, *([] if EVERY else ["-k", some])],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, CHILD: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_with_the_statistics_of_imagenet_its_graph_has_the_values_of_torch_and_the_other_has_not() -> None:
    x = every_byte("channels_last")[None]
    outputs = {}
    for weights in WEIGHTS:
        _, (rescaling, normalization, *rest) = inside(keras, "EfficientNetB0", weights, "channels_last")
        assert isinstance(normalization, keras.layers.Normalization)
        adapted = keras.layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.229, 0.224, 0.225])
        outputs[weights] = apply(keras, ("float32", (rescaling, adapted, *rest)), x, "channels_last")[0]
    pixels = x.reshape(-1, 3).astype(float)
    prove(CONSTRUCTORS["ConvNeXtTiny"].inside, pixels, outputs["imagenet"].reshape(-1, 3).astype(float))
    ratio = outputs["imagenet"] / outputs[None]
    assert 2.08 < ratio.min() < ratio.max() < 2.12


@pytest.mark.skipif(not EVERY, reason="makes two models with weights")
def test_weights_of_one_graph_load_into_the_other_without_a_word_and_the_model_gives_other_values(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from vggprep.implementations.constructors import _nothing_loaded

    made = keras.applications.EfficientNetB0
    with _nothing_loaded(keras):
        trained = made(weights="imagenet", include_top=False, input_shape=(32, 32, 3))
    trained.save_weights(tmp_path / "trained.weights.h5")
    deployed = made(weights=None, include_top=False, input_shape=(32, 32, 3))
    capfd.readouterr()
    deployed.load_weights(tmp_path / "trained.weights.h5")  # a warning would be an error
    assert capfd.readouterr() == ("", "")
    image = every_byte("channels_last").repeat(2, 0).repeat(2, 1)[None].astype("float32")
    before, after = (np.asarray(keras.ops.convert_to_numpy(model(image))) for model in (trained, deployed))
    assert not np.allclose(before, after, rtol=0.01, atol=0.01 * np.abs(before).max())


# The target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("keras:EfficientNetB9", "did you mean EfficientNet"),
        ("keras:vgg", "did you mean VGG"),
        ("keras:tensors", "did you mean tensor?"),
        ("keras:Qq", "vggprep modes --models lists all"),
    ],
)
def test_an_unknown_name_is_answered_with_those_spelt_alike(target: str, near: str, tmp_path: Path) -> None:
    line = one_line(vggprep("check", target, cwd=tmp_path))
    assert target in line
    assert near in line


def test_a_model_that_conforms_is_said_to(tmp_path: Path) -> None:
    done = vggprep("check", "keras:ConvNeXtTiny", "--examples", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "keras:ConvNeXtTiny conforms at level faithful" in done.stdout


def test_a_model_that_the_installed_keras_builds_otherwise_does_not_conform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = keras.applications.MobileNetV3Small
    monkeypatch.setattr(
        keras.applications,
        "MobileNetV3Small",
        lambda **options: right(**options, include_preprocessing=False),
    )
    done = vggprep("check", "keras:MobileNetV3Small", "--examples", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert "does NOT conform" in done.stdout


def test_a_layer_that_says_that_one_channel_comes_out_is_noticed_as_in_keras_3_11(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        keras.layers.Rescaling,
        "compute_output_shape",
        lambda layer, shape: (*shape[:-1], 1) if isinstance(layer.scale, list) else shape,
    )
    with pytest.raises(ValueError, match=r"rescaling_\d+ of EfficientNetB0 says that \(None, None, None, 1\) comes"):
        inside(keras, "EfficientNetB0", "imagenet", "channels_last")
    done = vggprep("check", "keras:EfficientNetB0", "--examples", "0", cwd=tmp_path)
    assert done.returncode == 1
    words = " ".join(done.stdout.split())
    assert "refuses efficientnet_imagenet_inside, uint8, rank 4, which it claims: ValueError: rescaling" in words


def test_a_model_that_the_installed_keras_has_not_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(keras.applications, "VGG16")
    assert "VGG16" in one_line(vggprep("check", "keras:VGG16", cwd=tmp_path))


def test_a_model_with_two_graphs_is_judged_in_a_mode_for_each() -> None:
    (efficient,) = load("keras:EfficientNetB0")
    assert efficient.modes == ("efficientnet_inside", "efficientnet_imagenet_inside")
    assert efficient.preprocess is not None
    x = np.full((1, 2, 2, 3), 255, np.uint8)
    assert np.allclose(efficient.preprocess(x, "channels_last", "efficientnet_inside"), 1)
    assert np.allclose(
        efficient.preprocess(x, "channels_last", "efficientnet_imagenet_inside"), [2.08969, 2.11289, 2.10819]
    )
    with pytest.raises(ValueError, match="mode must be one of efficientnet_inside, efficientnet_imagenet_inside"):
        efficient.preprocess(x, "channels_last", "caffe")
    assert efficient.source is not None
    namespace: dict[str, Any] = {"x": x}
    *lines, last = efficient.source("efficientnet_inside", "channels_last").splitlines()
    exec("\n".join([*lines, f"y = {last}"]), namespace)
    assert np.allclose(namespace["y"], 1)
