"""The benchmarks' verdicts: exact, faithful, or how many of the 768 pairs of a channel and a byte are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.tasks import MODES, Array, Arrays, Task, all_tasks, judge, usual_tasks
from vggprep import deprocess_input, preprocess_input
from vggprep.spec import DATA_FORMATS, DataFormat, ModeName


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> ModeName:
    found: ModeName = request.param
    return found


@pytest.fixture(params=DATA_FORMATS)
def arrays(request: pytest.FixtureRequest, mode: ModeName) -> Arrays:
    data_format: DataFormat = request.param
    return Arrays(Task(mode=mode, data_format=data_format, images=1))


def label(arrays: Arrays, change: Callable[[Array], Any] = lambda y: y) -> str:
    """The label of the right result after a change."""
    task = arrays.task
    return judge(arrays, change(preprocess_input(arrays.x, task.data_format, task.mode, backend="numpy"))).label


def with_one(value: float) -> Callable[[Array], Array]:
    def change(y: Array) -> Array:
        y.flat[12345] = value
        return y

    return change


def test_the_definition_is_exact_and_a_last_bit_off_is_faithful(arrays: Arrays) -> None:
    assert label(arrays) == "exact"
    assert label(arrays, lambda y: np.nextafter(y, np.float32(9))) == "faithful"


def test_one_wrong_element_is_one_wrong_pair(arrays: Arrays) -> None:
    assert label(arrays, with_one(1000)) == "1 of 768 wrong"
    assert label(arrays, with_one(np.nan)) == "1 of 768 wrong"


def test_a_mean_that_is_off_by_one_grey_level_is_wrong_everywhere(arrays: Arrays, mode: ModeName) -> None:
    level = {"caffe": 1, "tf": 1 / 127.5, "torch": 1 / 57}[mode]
    assert label(arrays, lambda y: y + np.float32(level)) == "768 of 768 wrong"


def test_other_dtypes_shapes_and_types_are_wrong(arrays: Arrays) -> None:
    assert label(arrays, lambda y: y.astype(np.uint8)).endswith("wrong: returns uint8")
    assert label(arrays, lambda y: y.astype(bool)) == "768 of 768 wrong: returns bool"
    assert label(arrays, lambda y: y.astype(np.float16)).endswith("wrong: returns float16")
    assert label(arrays, lambda y: y[0]).startswith("768 of 768 wrong: returns shape")
    assert label(arrays, lambda y: y.tolist()) == "768 of 768 wrong: returns a list"


def test_float_input_is_judged_like_bytes(mode: ModeName) -> None:
    arrays = Arrays(Task(mode=mode, dtype="float32", images=1))
    assert label(arrays) == "exact"
    assert label(arrays, with_one(1000)) == "1 of 768 wrong"


def test_swapped_channels_are_wrong_but_for_bytes_that_do_not_move() -> None:
    arrays = Arrays(Task(mode="caffe", images=1))
    assert label(arrays, lambda y: y[..., ::-1]) == "512 of 768 wrong"  # green stays where it is


def test_inverses_are_judged_as_pixels_or_as_floats(mode: ModeName) -> None:
    arrays = Arrays(Task("inverse", mode, dtype="float32", images=1))
    assert judge(arrays, deprocess_input(arrays.x, mode=mode)).label == "exact"
    floats = deprocess_input(arrays.x, mode=mode, dtype=None)
    assert judge(arrays, floats).label == "exact, unrounded"
    assert judge(arrays, np.nextafter(floats, np.float32(999))).label == "faithful, unrounded"
    assert judge(arrays, arrays.pixels + np.uint8(1)).label == "768 of 768 wrong"
    truncated = judge(arrays, floats.astype(np.uint8)).pairs_wrong
    assert truncated == {"caffe": 0, "tf": 189, "torch": 137}[mode]


def test_every_task_of_the_usual_run_is_in_the_full_grid_and_has_a_name_of_its_own() -> None:
    grid = all_tasks((1, 2), large=True)
    assert set(usual_tasks((1, 2), large=True)) <= set(grid)
    assert len({task.name for task in grid}) == len(grid)
