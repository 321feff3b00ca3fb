"""KerasHub's image converters as targets; with KerasHub, by ``tox run -e configurations``, each that it has."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, vggprep
from support import every_byte

from vggprep.cases import from_format
from vggprep.configurations.affine import lines
from vggprep.constructors import CONVERTERS, KERAS_HUB, NOTHING, PATCHES
from vggprep.errors import VggprepError
from vggprep.implementations.targets import load
from vggprep.spec import DATA_FORMATS, definition

needs_keras_hub = pytest.mark.skipif(
    "VGGPREP_REQUIRE_LIBRARIES" not in os.environ, reason="tox run -e configurations has KerasHub"
)
pytestmark = pytest.mark.filterwarnings("default")  # theirs


def serialized(**config: Any) -> dict[str, Any]:
    name = "ResNetImageConverter"
    return {"class_name": name, "config": {"name": "c", **config}, "registered_name": f"keras_hub>{name}"}


CONFIG = {"scale": [0.017, 0.0175, 0.0174], "offset": [-2.1, -2.0, -1.8], "image_size": [16, 16]}
OLD = {"scale": 1 / 255, "mean": [0.5, 0.25, 0.125], "variance": [4, 9, 0.25], "height": 16, "width": 16}


@needs_keras_hub
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("config", [CONFIG, OLD])
def test_a_converter_of_a_file_does_what_is_read_from_it(config: Any, data_format: Any, tmp_path: Path) -> None:
    (tmp_path / "image_converter.json").write_text(json.dumps({"preprocessor": serialized(**config)}))
    (converter,) = load(f"keras-hub:{tmp_path / 'image_converter.json'}")
    assert_does(converter, data_format)


@needs_keras_hub
def test_each_converter_does_what_the_table_says() -> None:
    import keras_hub

    names = [name for name in dir(keras_hub.layers) if name.endswith("ImageConverter")]
    assert keras_hub.__version__ == KERAS_HUB
    assert {*CONVERTERS} < {*names}
    for name in names:
        if name in PATCHES:
            with pytest.raises(VggprepError, match=f"{name} returns patches and no images"):
                load(f"keras-hub:{name}")
            continue
        (converter,) = load(f"keras-hub:{name}")
        assert converter.modes is not None
        assert definition(converter.modes[0]) == CONVERTERS.get(name, NOTHING)
        assert_does(converter, "channels_last")


def assert_does(converter: Any, data_format: Any) -> None:
    (mode,) = converter.modes
    x = every_byte(data_format)[None]
    y = from_format(converter.preprocess(x, data_format), data_format).astype(np.float64)
    for channel, line in enumerate(lines(definition(mode))):
        level, scale, offset = from_format(x, data_format)[..., line.source], float(line.scale), float(line.offset)
        bound = 8 * 2.0**-24 * (level * abs(scale) + abs(offset))
        assert (abs(y[..., channel] - (level * scale + offset)) <= bound).all()


@needs_keras_hub
def test_a_converter_is_judged_and_identified_by_its_values(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(serialized(**CONFIG)))
    done = vggprep("check", "keras-hub:c.json", "--examples", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "keras-hub:c.json (values; resizing: not judged here) conforms" in done.stdout
    done = vggprep("identify", "keras-hub:BLIP2ImageConverter", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "mode blip2_converter, level exact" in done.stdout
    for target, said in (
        ("ResNetImageConvertr", "names neither a file nor an image converter of keras_hub.layers; did you mean ResNet"),
        ("missing.json", "vggprep modes --models lists them"),
        ("Embedding", "names neither a file nor an image converter"),
    ):
        assert said in one_line(vggprep("check", f"keras-hub:{target}", cwd=tmp_path))
    (tmp_path / "other.json").write_text('{"mean": 0.5, "std": 0.5}')
    assert "describes no image converter" in one_line(vggprep("check", "keras-hub:other.json", cwd=tmp_path))


def test_without_keras_hub_a_converter_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    line = one_line(vggprep("check", "keras-hub:ResNetImageConverter", cwd=tmp_path))
    assert line.startswith("vggprep: keras-hub:ResNetImageConverter needs KerasHub: pip install keras-hub")


def test_the_table_of_models_lists_the_converters_that_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = tmp_path / "keras_hub" / "layers"
    layers.mkdir(parents=True)
    (tmp_path / "keras_hub" / "__init__.py").touch()
    (tmp_path / "keras_hub-9.9.dist-info").mkdir()
    (tmp_path / "keras_hub-9.9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras-hub\nVersion: 9.9\n"
    )
    names = ("BLIP2ImageConverter", "NewImageConverter", PATCHES[0])
    (layers / "__init__.py").write_text("".join(f"from x import (\n    {n} as {n},\n)\n" for n in names))
    monkeypatch.delitem(sys.modules, "keras_hub", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    words = " ".join(vggprep("modes", "--models", cwd=tmp_path).stdout.split())
    assert "Image converters of the installed KerasHub 9.9" in words
    assert "NewImageConverter the converter nothing; with a preset, its scale and offset BLIP2ImageConverter" in words
    assert f"{PATCHES[0]} the converter not judged: it returns patches" in words
