"""The list: each name once, each copied mistake what it is said to be, by name."""

from __future__ import annotations

import numpy as np
import pytest

from vggprep.field.adapters import ADAPTERS
from vggprep.field.judged import as_implementation, colours, worst
from vggprep.field.setup import MODES, Setup
from vggprep.identification import functions
from vggprep.identification.functions import identify
from vggprep.spec import DATA_FORMATS, DIRECTIONS

BY_NAME = {adapter.name: adapter for adapter in ADAPTERS}


def test_every_name_is_there_once_and_claims_what_exists() -> None:
    assert len(BY_NAME) == len(ADAPTERS) > 60
    for adapter in ADAPTERS:
        assert set(adapter.directions) <= set(DIRECTIONS)
        assert adapter.modes
        assert set(adapter.modes) <= set(MODES)
        assert set(adapter.data_formats) <= set(DATA_FORMATS)
        # A process that Keras runs in on another backend, or a program, cannot be timed among the others.
        shared = adapter.family in {a.family for a in ADAPTERS if a.in_benchmarks}
        assert shared or not adapter.in_benchmarks


def test_every_byte_is_in_every_channel_and_no_pixel_is_grey() -> None:
    x = colours()
    assert x.dtype == np.uint8
    assert all(set(x[..., k].flat) == set(range(256)) for k in range(3))
    assert not (x[..., 0] == x[..., 1]).any()
    assert not (x[..., 0] == x[..., 2]).any()


MISTAKES = {
    ("[..., ::-1] after the means", "caffe"): "means_swapped",
    ("no flip to BGR", "caffe"): "swap_undone",
    ("means 104, 117, 123", "caffe"): "squeezenet",
    ("(x - 128) / 128", "tf"): "efficientnet_v2_sml_inside",
}


@pytest.mark.parametrize(("name", "mode"), MISTAKES)
def test_identify_names_what_people_copy(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_checked", lambda implementation, answer, few: answer)
    call = BY_NAME[name].build(Setup("forward", mode))
    (answer,) = identify(lambda x: call(x, None)).answers
    assert MISTAKES[name, mode] in (answer.name, *answer.also)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("channel by channel", 0),
        ("means as float64", 0),
        ("NumPy, as the formula", 0),
        ("no flip to BGR", 512),
        ("means as bytes", 768),
        ("[::-1] for [..., ::-1]", 512),
    ],
)
def test_the_worst_error_counts_pairs_of_a_channel_and_a_byte(name: str, wrong: int) -> None:
    function = as_implementation(BY_NAME[name], "caffe", "forward").preprocess
    assert function is not None
    found = worst(lambda x: function(x, data_format="channels_last"), "caffe", "forward")
    assert found["wrong"] == wrong
    assert (found["units"] <= 8) == (wrong == 0)


def test_what_returns_no_image_or_raises_has_no_error() -> None:
    def refuses(x: object) -> object:
        raise TypeError("no bytes")

    assert worst(refuses, "tf", "forward") == {"units": None, "levels": None, "wrong": None}
    assert worst(lambda x: x[0], "tf", "forward") == {"units": None, "levels": None, "wrong": 768}
    assert worst(lambda x: np.zeros((1, 16, 16, 3), np.uint8), "caffe", "inverse")["units"] is None
