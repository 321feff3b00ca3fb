"""The questions: their ids, and the arrays that they pass."""

from __future__ import annotations

import numpy as np
import pytest

from vggprep.releases import questions
from vggprep.releases.questions import Question, array, parse


def test_the_questions_are_many_and_distinct_and_an_id_says_all_of_one() -> None:
    asked = questions.questions()
    assert 2000 <= len(asked) <= 2800
    assert len({question.id for question in asked}) == len(asked)
    assert [parse(question.id) for question in asked] == asked


def test_an_id_reads_as_recorded() -> None:
    full = Question(
        "graph", "float32", (2, 4, 5, 3), "torch", "null", image_data_format="channels_first", after="caffe"
    )
    start = "path=graph mode=torch data_format=null dtype=float32 pixels=bytes shape=2x4x5x3"
    assert full.id == f"{start} image_data_format=channels_first after=caffe"
    assert (
        Question("tensor", "uint8", (), module="vgg19").id == "module=vgg19 path=tensor dtype=uint8 pixels=bytes shape="
    )


def test_odd_arguments_reach_the_probe_as_python_values() -> None:
    asked = [Question("ndarray", "uint8", (3,), mode=mode).ask() for mode in ("null", '["caffe"]', "1", "", "Caffe")]
    assert [row["mode"] for row in asked] == [None, ["caffe"], 1, "", "Caffe"]
    assert "mode" not in Question("ndarray", "uint8", (3,)).ask()


def test_the_mode_that_is_asked_for_is_named_by_module_or_by_default() -> None:
    assert Question("ndarray", "uint8", (3,)).known_mode == "caffe"
    assert Question("ndarray", "uint8", (3,), module="densenet").known_mode == "torch"
    assert Question("ndarray", "uint8", (3,), module="invented").known_mode is None
    assert Question("ndarray", "uint8", (3,), mode="identity").known_mode is None


def test_a_setting_holds_where_no_data_format_is_passed() -> None:
    settings = [Question("ndarray", "uint8", (3,), data_format=f, image_data_format="set") for f in (None, "null", "x")]
    assert [question.effective_format for question in settings] == ["set", "set", "x"]


def test_the_arrays_keep_the_colours_apart() -> None:
    x = array(Question("ndarray", "uint8", (4, 5, 3)))
    assert len({tuple(x[..., c].ravel()) for c in range(3)}) == 3
    assert {0, 255} <= set(x.ravel())
    every = array(Question("ndarray", "uint8", (1, 16, 16, 3), pixels="every-byte"))
    assert all(len(set(every[..., c].ravel())) == 256 for c in range(3))


def test_the_arrays_hold_what_their_pixels_say() -> None:
    wide, odd, alike = (
        array(Question("ndarray", "float64", (4, 5, 3), pixels=p)) for p in ("wide", "nonfinite", "alike")
    )
    assert wide.min() < 0
    assert wide.max() > 255
    assert np.isnan(odd).any()
    assert {-np.inf, np.inf} <= set(odd.ravel())
    assert (alike == alike[:1]).all()
    with pytest.raises(ValueError, match="purple"):
        array(Question("ndarray", "uint8", (4, 5, 3), pixels="purple"))


def test_bfloat16_values_come_in_the_upper_half_of_float32() -> None:
    x = array(Question("ndarray", "bfloat16", (4, 5, 3), pixels="wide"))
    assert x.dtype == np.float32
    assert not (x.view(np.uint32) & 0xFFFF).any()
