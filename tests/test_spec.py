"""The two tables everything is derived from. That Keras agrees is tested in ``test_keras.py``."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from vggprep.published import PUBLISHED
from vggprep.spec import MODELS, MODES, Mode

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


def test_the_modes_are_keras_three_and_identity_known_by_their_names() -> None:
    assert [(name, mode.name) for name, mode in MODES.items()] == [(name, name) for name in STEPS]


@EACH_MODE
def test_the_steps_and_their_constants_are_as_published(mode: Mode) -> None:
    assert [(step.operation, step.constants) for step in mode.steps] == STEPS[mode.name]


@EACH_MODE
def test_only_caffe_reverses_the_channels(mode: Mode) -> None:
    order, letters = ((2, 1, 0), "BGR") if mode.name == "caffe" else ((0, 1, 2), "RGB")
    assert mode.order == order
    assert mode.channel_order == letters


@EACH_MODE
def test_every_mode_says_what_it_does_and_where_that_comes_from(mode: Mode) -> None:
    assert mode.summary
    assert mode.source
    for step in mode.steps:
        assert all(constant in mode.summary for constant in step.constants)


def test_each_model_is_in_the_mode_of_its_weights() -> None:
    modules = {
        "caffe": "resnet resnet50 vgg16 vgg19",
        "tf": "inception_v3 inception_resnet_v2 mobilenet mobilenet_v2 nasnet resnet_v2 xception",
        "torch": "densenet",
        "identity": "mobilenet_v3 efficientnet efficientnet_v2 convnext regnet resnet_rs",
    }
    assert {module: mode for mode, names in modules.items() for module in names.split()} == MODELS


@pytest.mark.parametrize("table", [MODES, MODELS, PUBLISHED], ids=["MODES", "MODELS", "PUBLISHED"])
def test_a_table_cannot_be_changed_by_its_users(table: Any) -> None:
    with pytest.raises(TypeError):
        table["vgg19"] = "tf"
    with pytest.raises(TypeError):
        del table[next(iter(table))]


@EACH_MODE
def test_a_mode_cannot_be_changed_by_its_users(mode: Mode) -> None:
    with pytest.raises(FrozenInstanceError):
        mode.order = (1, 1, 1)  # type: ignore[misc]
