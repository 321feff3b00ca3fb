"""What an observed output is worth, and what was done instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vggprep import preprocess_input
from vggprep.releases import verdicts as judging
from vggprep.releases.verdicts import judge

X = (np.arange(4 * 5 * 3) * 37 % 256).astype("float32").reshape(4, 5, 3)
CUBE = (np.arange(3 * 3 * 3) * 37 % 256).astype("float32").reshape(3, 3, 3)
MEAN = np.array([103.939, 116.779, 123.68], "float32")


def judged(x: Any, y: Any, mode: Any = "caffe", data_format: str = "channels_last", **dtypes: str) -> Any:
    return judge(x, y, dtypes.get("x_dtype", x.dtype.name), dtypes.get("y_dtype", y.dtype.name), mode, data_format)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_right_result_is_right_in_every_dtype(mode: Any, dtype: str, data_format: Any) -> None:
    x = X if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(X, -1, 0))
    computed = "float64" if dtype == "longdouble" else dtype
    y = preprocess_input(x.astype(computed), data_format, mode).astype(dtype)
    found = judged(x.astype(dtype), y, mode, data_format, x_dtype=dtype, y_dtype=dtype)
    assert (found.verdict, found.cause) == ("right", "")
    assert found.levels < 1


def test_a_result_is_held_to_the_precision_of_its_dtype() -> None:
    y = preprocess_input(X, mode="caffe")
    bfloat16 = (y.view("uint32") & 0xFFFF0000).view("float32")
    assert judged(X, bfloat16, x_dtype="bfloat16", y_dtype="bfloat16").verdict == "right"
    coarse = judged(X, bfloat16)
    assert (coarse.verdict, coarse.cause) == ("wrong", "only as precise as bfloat16")
    narrow = judged(X, y.astype("float16"))
    assert (narrow.verdict, narrow.cause) == ("wrong", "float32 in, float16 out")
    assert judged(X.astype("uint8"), y).verdict == "right"


@pytest.mark.parametrize(
    ("mode", "y", "cause"),
    [
        ("caffe", X, "the input unchanged"),
        ("caffe", preprocess_input(X, mode="tf"), "the result of mode tf"),
        ("torch", preprocess_input(X, mode="caffe"), "the result of mode caffe"),
        ("tf", X / np.float32(128) - 1, "x / 128 - 1"),
        ("tf", preprocess_input(X, mode="tf")[..., ::-1], "the channels swapped"),
        ("caffe", X[..., ::-1] - np.array([0.485, 0.456, 0.406], "float32"), "the mean of mode torch"),
        ("caffe", X * np.float32(0.5), "wrong in a way of its own"),
        ("caffe", X.astype("int32"), "computed in integers"),
        ("caffe", X[:2], "another shape"),
    ],
)
def test_a_wrong_result_says_what_was_done_instead(mode: str, y: Any, cause: str) -> None:
    found = judged(X, np.ascontiguousarray(y), mode)
    assert (found.verdict, found.cause) == ("wrong", cause)


def test_means_along_another_axis_are_named_with_the_axis() -> None:
    swapped = CUBE[::-1]
    for shape, words in (((1, 3, 1), "the height"), ((1, 1, 3), "the width")):
        found = judged(CUBE, swapped - MEAN.reshape(shape), "caffe", "channels_first")
        assert (found.verdict, found.cause) == ("wrong", f"the mean along {words}")
        assert 10 < found.levels < 30


def test_nan_and_infinities_must_stay() -> None:
    x = X.copy()
    x[0, 0, 0], x[1, 1, 1] = np.nan, np.inf
    y = preprocess_input(x, mode="caffe")
    assert judged(x, y).verdict == "right"
    assert judged(x, np.nan_to_num(y)).verdict == "wrong"


def test_outside_the_definition_there_is_no_verdict() -> None:
    y = preprocess_input(X, mode="caffe")
    assert judged(X, y, "Caffe").verdict == "undefined"
    assert judged(X, y, "Caffe").cause == "taken for mode caffe"
    four = np.zeros((4, 5, 4), "float32")
    assert judged(four, four).cause == "4 channels kept"
    assert judged(four, four[..., :3]).verdict == "wrong"
    assert not judging.defined((4, 5, 4), "float32", "caffe", "channels_last")
    assert judging.defined((4, 5, 3), "float32", "caffe", "channels_last")
