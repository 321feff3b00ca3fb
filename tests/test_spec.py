"""The two tables everything is derived from. That Keras agrees is tested in ``test_keras.py``."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest

from vggprep.spec import DATA_FORMATS, MODELS, MODES, RANKS, Mode

# Written out once more, so that a slip of the finger in the table is seen.
STEPS = {
    "caffe": [("subtract", ("103.939", "116.779", "123.68"))],
    "tf": [("divide", ("127.5", "127.5", "127.5")), ("subtract", ("1", "1", "1"))],
    "torch": [
        ("divide", ("255", "255", "255")),
        ("subtract", ("0.485", "0.456", "0.406")),
        ("divide", ("0.229", "0.224", "0.225")),
    ],
    "identity": [],
}

EACH_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def test_the_modes_are_keras_three_and_identity() -> None:
    assert list(MODES) == ["caffe", "tf", "torch", "identity"]


@EACH_MODE
def test_a_mode_is_known_by_its_own_name(mode: Mode) -> None:
    assert MODES[mode.name] is mode


@EACH_MODE
def test_the_steps_and_their_constants_are_as_published(mode: Mode) -> None:
    assert [(step.operation, step.constants) for step in mode.steps] == STEPS[mode.name]


@EACH_MODE
def test_only_caffe_reverses_the_channels(mode: Mode) -> None:
    order, letters = ((2, 1, 0), "BGR") if mode.name == "caffe" else ((0, 1, 2), "RGB")
    assert mode.order == order
    assert mode.channel_order == letters


@EACH_MODE
def test_every_constant_is_a_positive_decimal_string(mode: Mode) -> None:
    for step in mode.steps:
        assert len(step.constants) == 3
        assert all(isinstance(constant, str) and Decimal(constant) > 0 for constant in step.constants)


@EACH_MODE
def test_every_mode_says_what_it_does_and_where_that_comes_from(mode: Mode) -> None:
    assert mode.summary
    assert mode.source
    for step in mode.steps:
        assert all(constant in mode.summary for constant in step.constants)


def test_every_model_has_a_mode_that_exists() -> None:
    assert set(MODELS.values()) == set(MODES)


@pytest.mark.parametrize(
    ("mode", "modules"),
    [
        ("caffe", {"resnet", "resnet50", "vgg16", "vgg19"}),
        ("tf", {"inception_v3", "inception_resnet_v2", "mobilenet", "mobilenet_v2", "nasnet", "resnet_v2", "xception"}),
        ("torch", {"densenet"}),
        ("identity", {"mobilenet_v3", "efficientnet", "efficientnet_v2", "convnext", "regnet", "resnet_rs"}),
    ],
)
def test_each_model_is_in_the_mode_of_its_weights(mode: str, modules: set[str]) -> None:
    assert {name for name, its in MODELS.items() if its == mode} == modules


def test_formats_and_ranks_are_those_of_images_and_batches() -> None:
    assert DATA_FORMATS == ("channels_last", "channels_first")
    assert RANKS == (3, 4)


@pytest.mark.parametrize("table", [MODES, MODELS], ids=["MODES", "MODELS"])
def test_a_table_cannot_be_changed_by_its_users(table: Any) -> None:
    with pytest.raises(TypeError):
        table["vgg19"] = "tf"
    with pytest.raises(TypeError):
        del table["caffe" if "caffe" in table else "vgg19"]


@EACH_MODE
def test_a_mode_cannot_be_changed_by_its_users(mode: Mode) -> None:
    with pytest.raises(FrozenInstanceError):
        mode.order = (1, 1, 1)  # type: ignore[misc]
