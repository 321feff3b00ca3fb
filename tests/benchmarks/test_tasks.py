"""The benchmarks' verdicts: exact, faithful, or how many of the 768 pairs of a channel and a byte are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.tasks import Arrays, Task, all_tasks, judge, usual_tasks
from vggprep import deprocess_input, preprocess_input
from vggprep.field.setup import MODES, Array
from vggprep.spec import DATA_FORMATS, DataFormat, ModeName

EACH_MODE = pytest.mark.parametrize("mode", MODES)


def with_one(value: float) -> Callable[[Array], Array]:
    def change(y: Array) -> Array:
        y.flat[12345] = value
        return y

    return change


@EACH_MODE
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda y: y, "exact"),
        (lambda y: np.nextafter(y, np.float32(9)), "faithful"),
        (with_one(1000), "1 of 768 wrong"),
        (with_one(np.nan), "1 of 768 wrong"),
        (lambda y: y.astype(np.uint8), "wrong: returns uint8"),
        (lambda y: y.astype(bool), "768 of 768 wrong: returns bool"),
        (lambda y: y.astype(np.float16), "wrong: returns float16"),
        (lambda y: y[0].ravel(), "768 of 768 wrong: returns shape (150528,)"),
        (lambda y: y.tolist(), "768 of 768 wrong: returns a list"),
    ],
)
def test_a_result_of_bytes_or_floats_has_a_verdict(
    change: Callable[[Array], Any], label: str, data_format: DataFormat, mode: ModeName
) -> None:
    for dtype in ("uint8", "float32"):
        arrays = Arrays(Task(mode=mode, data_format=data_format, dtype=dtype, images=1))
        right = preprocess_input(arrays.x, data_format, mode, backend="numpy")
        assert judge(arrays, change(right)).label.endswith(label)


@pytest.mark.parametrize(("mode", "level"), [("caffe", 1), ("tf", 1 / 127.5), ("torch", 1 / 57)])
def test_a_mean_that_is_off_by_one_grey_level_is_wrong_everywhere(mode: ModeName, level: float) -> None:
    arrays = Arrays(Task(mode=mode, images=1))
    assert judge(arrays, preprocess_input(arrays.x, mode=mode) + np.float32(level)).label == "768 of 768 wrong"


def test_swapped_channels_are_wrong_but_for_bytes_that_do_not_move() -> None:
    arrays = Arrays(Task(mode="caffe", images=1))
    swapped = preprocess_input(arrays.x)[..., ::-1]
    assert judge(arrays, swapped).label == "512 of 768 wrong"  # green stays where it is


@EACH_MODE
def test_inverses_are_judged_as_pixels_or_as_floats(mode: ModeName) -> None:
    arrays = Arrays(Task("inverse", mode, dtype="float32", images=1))
    floats = deprocess_input(arrays.x, mode=mode, dtype=None)
    truncated = {"caffe": "exact", "tf": "189 of 768 wrong", "torch": "137 of 768 wrong"}
    for result, label in (
        (deprocess_input(arrays.x, mode=mode), "exact"),
        (floats, "exact, unrounded"),
        (np.nextafter(floats, np.float32(999)), "faithful, unrounded"),
        (arrays.pixels + np.uint8(1), "768 of 768 wrong"),
        (floats.astype(np.uint8), truncated[mode]),
    ):
        assert judge(arrays, result).label == label


@pytest.mark.parametrize("data_format", DATA_FORMATS)
def test_float16_and_cropped_images_are_judged_as_they_are(data_format: DataFormat) -> None:
    half = Arrays(Task(data_format=data_format, dtype="float16", images=1))
    assert judge(half, preprocess_input(half.x, data_format)).label == "exact"
    assert judge(half, preprocess_input(half.x.astype("float32"), data_format)).label == "faithful"
    cropped = Arrays(Task(data_format=data_format, images=2, cropped=True))
    assert not cropped.x.flags.c_contiguous
    assert np.array_equal(cropped.x, cropped.pristine)
    assert judge(cropped, preprocess_input(cropped.x, data_format)).label == "exact"


def test_every_task_of_the_usual_run_is_in_the_full_grid_and_has_a_name_of_its_own() -> None:
    grid = all_tasks((1, 2), large=True)
    assert set(usual_tasks((1, 2), large=True)) <= set(grid)
    assert len({task.name for task in grid}) == len(grid)
