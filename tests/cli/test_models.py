"""``vggprep modes --models``: the table, without Keras."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from command_line import vggprep

from vggprep.constructors import CONSTRUCTORS, KERAS


def test_every_constructor_is_printed_in_80_columns_with_what_happens_to_a_pixel(tmp_path: Path) -> None:
    done = vggprep("modes", "--models", cwd=tmp_path)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert set(CONSTRUCTORS) <= set(done.stdout.replace(",", " ").split())
    text = " ".join(done.stdout.split())
    assert 'weights="imagenet" the same, then multiply by (2.08969, 2.11289, 2.10819)' in text
    assert "the model divide by 128, subtract 1: values from -1 to 0.9922" in text
    assert "ResNet152 preprocess_input caffe: RGB to BGR" in text
    assert "Keras 3.11.0 to 3.11.3" in text


def test_as_json_there_is_a_row_for_each_constructor_and_graph(tmp_path: Path) -> None:
    rows = {
        (row.pop("constructor"), row.pop("weights")): row
        for row in json.loads(vggprep("modes", "--models", "--json", cwd=tmp_path).stdout)
    }
    assert set(rows) == {(name, weights) for name in CONSTRUCTORS for weights in (None, "imagenet")}
    vgg, efficient = rows["VGG19", None], rows["EfficientNetB0", "imagenet"]
    assert (vgg["mode"], vgg["order"], vgg["scale"], vgg["offset"]) == ("caffe", "BGR", [1, 1, 1], [0, 0, 0])
    assert (efficient["mode"], efficient["statistics_are_loaded"], efficient["offset"]) == ("identity", True, [0, 0, 0])
    assert efficient["scale"] == pytest.approx([0.0081948701, 0.0082858263, 0.0082673924], abs=1e-9)
    assert rows["EfficientNetB7", None]["scale"] == [1 / 255] * 3
    assert rows["EfficientNetV2L", None]["offset"] == [-1, -1, -1]
    torch = rows["ConvNeXtBase", "imagenet"]
    assert torch["scale"] == pytest.approx([0.017124754, 0.017507004, 0.017429194], rel=1e-7)
    assert torch["offset"] == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert rows["MobileNetV3Small", None]["include_preprocessing"] is True


@pytest.mark.parametrize(
    ("version", "text", "said"),
    [
        (None, "", "Keras is not installed here"),
        (KERAS, None, f"Keras {KERAS} is installed here, with the same constructors"),
        ("3.99.0", None, "with the same constructors (vggprep check keras:NAME measures one)"),
        ("3.99.0", "import Vgg99 as Vgg99", f"without: {', '.join(sorted(CONSTRUCTORS))}; not in this table: Vgg99"),
        ("3.99.0", "", "Keras 3.99.0 is installed here, and does not say which constructors it has"),
    ],
)
def test_it_says_by_which_constructors_the_installed_keras_differs(
    version: str | None, text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    if text != "":
        folder = tmp_path / "keras" / "applications"
        folder.mkdir(parents=True)
        listed = "\n".join(f"from keras.src.applications import {name} as {name}" for name in CONSTRUCTORS)
        (folder / "__init__.py").write_text(text or listed)
    monkeypatch.setattr(metadata, "version", installed)
    origin = str(tmp_path / "keras" / "__init__.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None, origin=origin))
    before = set(sys.modules)
    printed = " ".join(vggprep("modes", "--models", cwd=tmp_path).stdout.split())
    assert said in printed
    assert "keras" not in set(sys.modules) - before
