"""Verdicts on observed outputs, and what was computed instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vggprep import preprocess_input
from vggprep.releases.verdicts import Judgement, defined, judge
from vggprep.spec import DataFormat, ModeName

X = (np.arange(4 * 5 * 3) * 37 % 256).astype("float32").reshape(4, 5, 3)
CUBE = (np.arange(3 * 3 * 3) * 37 % 256).astype("float32").reshape(3, 3, 3)
MEAN = np.array([103.939, 116.779, 123.68], "float32")
TORCH_MEAN, STD = (np.array(v, "float32") for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
CAFFE = "the result of mode caffe"


def judged(
    x: Any, y: Any, mode: ModeName | None = "caffe", data_format: str | None = "channels_last", **dtypes: str
) -> Judgement:
    return judge(x, y, dtypes.get("x_dtype", x.dtype.name), dtypes.get("y_dtype", y.dtype.name), mode, data_format)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_right_result_is_right_in_every_dtype(mode: ModeName, dtype: str, data_format: DataFormat) -> None:
    x = X if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(X, -1, 0))
    computed = "float64" if dtype == "longdouble" else dtype
    y = preprocess_input(x.astype(computed), data_format, mode).astype(dtype)
    found = judged(x.astype(dtype), y, mode, data_format, x_dtype=dtype, y_dtype=dtype)
    assert (found.verdict, found.cause) == ("right", "")
    assert found.levels is not None
    assert found.levels < 1


def test_a_result_is_held_to_the_precision_of_its_dtype() -> None:
    y = preprocess_input(X, mode="caffe")
    bfloat16 = (y.view("uint32") & 0xFFFF0000).view("float32")
    assert judged(X, bfloat16, x_dtype="bfloat16", y_dtype="bfloat16").verdict == "right"
    coarse = judged(X, bfloat16)
    assert coarse == Judgement("wrong", coarse.levels, "only as precise as bfloat16", "precision")
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
        ("tf", X / np.float32(127) - 1, "x / 127 - 1"),
        ("tf", X - 1, "x - 1, nothing divided"),
        ("torch", preprocess_input(X * 255, mode="torch"), "not divided by 255"),
        ("tf", preprocess_input(X, mode="tf")[..., ::-1], "the channels swapped"),
        ("caffe", X[..., ::-1] - np.array([0.485, 0.456, 0.406], "float32"), "the mean of mode torch"),
        ("caffe", X * np.float32(0.5), "computes R/2, G/2, B/2"),
        ("caffe", X - MEAN, "the channels left in RGB order"),
        ("caffe", X - MEAN[::-1], "the channels swapped"),
        ("caffe", X[..., ::-1] + MEAN, "x + mean"),
        ("caffe", np.where(X > 200, 0, X[..., ::-1] - MEAN), "wrong values for no known reason"),
        ("torch", X / np.float32(255) / STD - TORCH_MEAN, "x / 255 / std - mean"),
        ("torch", (X - TORCH_MEAN) / np.float32(255) / STD, "(x - mean) / 255 / std"),
        ("torch", X / np.float32(255) - TORCH_MEAN, "x / 255 - mean"),
        ("torch", (X / np.float32(255) - TORCH_MEAN) * STD, "(x / 255 - mean) * std"),
        ("tf", (X - 1) / np.float32(127.5), "(x - 1) / 127.5"),
        ("caffe", X.astype("int32"), "the input unchanged"),
        ("caffe", X[..., ::-1].astype("int32") - np.array([103, 116, 123], "int32"), "computed in integers"),
        ("torch", X[..., ::-1].astype("int32") - np.array([103, 116, 123], "int32"), f"{CAFFE}, computed in integers"),
        ("caffe", preprocess_input(X, mode="caffe").astype("int32"), "cut to whole numbers"),
        ("caffe", np.rint(preprocess_input(X, mode="caffe")).astype("int32"), "rounded to whole numbers"),
        ("tf", X.astype("int32") // 127 - 1, "computed in integers"),
        ("caffe", X.astype("int32") * 3, "integers for no known reason"),
        ("caffe", X[:2], "another shape"),
    ],
)
def test_a_wrong_result_says_what_was_computed_instead(mode: ModeName, y: Any, cause: str) -> None:
    found = judged(X, np.ascontiguousarray(y), mode)
    assert (found.verdict, found.cause, found.cause_kind) == ("wrong", cause, "")


def test_a_suspicion_may_hold_to_a_lower_precision_only() -> None:
    x = X + np.float32(0.3)
    found = judged(x, preprocess_input(x, mode="caffe").astype("float16").astype("float32"), "tf")
    assert found == Judgement(
        "wrong", found.levels, "the result of mode caffe, only as precise as float16", "precision"
    )
    found = judged(x, (x / np.float32(128) - 1).astype("float16").astype("float32"), "tf")
    assert found.cause == "x / 128 - 1, only as precise as float16"


def test_of_two_causes_that_fit_none_is_named() -> None:
    bright = X + 300
    assert judged(bright, bright - 1, "tf").cause == "x - 1, nothing divided"
    # To bfloat16, x - 1 is as near as x.
    assert judged(bright, bright - 1, "tf", y_dtype="bfloat16").cause == "wrong values for no known reason"
    # Cut to even numbers, which bfloat16 does from 256 on.
    assert judged(X + 200, (X + 199) // 2 * 2, "tf").cause == "wrong values for no known reason"


def _off(mean: Any = 0, scale: Any = 1) -> Any:
    return (X[..., ::-1] - MEAN - np.float32(mean)) * np.float32(scale)


@pytest.mark.parametrize(
    ("y", "cause"),
    [
        (_off(1), "computes B - 104.939, G - 117.779, R - 124.68"),
        (_off(0.5), "computes B - 104.439, G - 117.279, R - 124.18"),
        (_off(scale=1.002), "computes B*1.002 - 104.147, G*1.002 - 117.013, R*1.002 - 123.927"),
        # Nearer to zero by less than bfloat16 cuts off, but not among its numbers.
        (_off(scale=0.999), "computes B*0.999 - 103.835, G*0.999 - 116.662, R*0.999 - 123.556"),
        # Whole numbers, which bfloat16 holds; but to it the means are 104, 117 and 123.5.
        (X[..., ::-1] - np.array([104, 117, 124], "float32"), "computes B - 104, G - 117, R - 124"),
        (np.rint(_off()), "computes B - 104, G - 117, R - 124"),
        (_off() + np.float32(0.25) * (X[..., ::-1] % 2), "wrong values for no known reason"),
        (X[..., ::-1] - np.array([104, 117, 123.5], "float32"), "only as precise as bfloat16"),
        (X[..., ::-1] - MEAN.astype("float16").astype("float32"), "only as precise as float16"),
    ],
)
def test_an_error_within_the_bound_of_a_narrower_dtype_is_not_put_down_to_it_unless_it_gives_the_values(
    y: Any, cause: str
) -> None:
    found = judged(X, np.ascontiguousarray(y.astype("float32")))
    assert (found.verdict, found.cause) == ("wrong", cause)


def test_means_along_another_axis_are_named_with_the_axis() -> None:
    for shape, words in (((1, 3, 1), "the height"), ((1, 1, 3), "the width")):
        found = judged(CUBE, CUBE[::-1] - MEAN.reshape(shape), "caffe", "channels_first")
        assert found == Judgement("wrong", found.levels, f"the mean along {words}", "axis")
        assert found.levels is not None
        assert 10 < found.levels < 30


def test_every_axis_that_went_wrong_is_named() -> None:
    cube = np.stack([CUBE, CUBE[::-1]])
    mean, std = (np.array(v, "float32") for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    y = (cube / np.float32(255) - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 1, 3, 1)
    assert judged(cube, y, "torch").cause == "the mean along the height and the std along the width"
    y = cube[:, ::-1] - MEAN
    assert judged(cube, y).cause == "the swap along the height"


def test_nan_and_infinities_must_stay() -> None:
    x = X.copy()
    x[0, 0, 0], x[1, 1, 1] = np.nan, np.inf
    y = preprocess_input(x, mode="caffe")
    assert judged(x, y).verdict == "right"
    assert judged(x, np.nan_to_num(y)).verdict == "wrong"

    assert judged(x, np.nan_to_num(y)).levels == np.inf
    assert judged(X, np.where(X[0, 0, 0] == X, np.nan, preprocess_input(X, mode="caffe"))).levels == np.inf


def test_outside_the_definition_there_is_no_verdict() -> None:
    y = preprocess_input(X, mode="caffe")
    assert judged(X, y, None) == Judgement("undefined", cause="taken for mode caffe")
    assert judged(X, X * 7, None) == Judgement("undefined")
    assert judged(X, y, "caffe", "NHWC") == Judgement("undefined", cause="taken for channels_last")
    assert judged(X[0, 0, 0], y[0, 0, 0]) == Judgement("undefined")
    four = np.zeros((4, 5, 4), "float32")
    assert judged(four, four) == Judgement("undefined", cause="4 channels kept")
    assert judged(four, four[..., :3]) == Judgement("wrong", cause="4 channels in, 3 out")
    assert judged(four[..., :1], four[..., :3]).cause == "1 channel in, 3 out"
    assert judged(four[:0, :, :3], four[:0, :, :3]) == Judgement("right", 0.0)


def test_complex_numbers_are_outside_the_definition() -> None:
    x = X.astype("complex64")
    assert judged(x, x) == Judgement("undefined", cause="complex numbers kept")
    assert judged(x, X) == Judgement("undefined", cause="the imaginary part dropped")


def test_the_definition_covers_images_of_three_real_channels() -> None:
    assert defined((4, 5, 3), "float32", "caffe", "channels_last")
    assert defined((2, 3, 4, 5), "uint8", "tf", "channels_first")
    assert not defined((4, 5, 4), "float32", "caffe", "channels_last")
    assert not defined((4, 5, 3), "float32", None, "channels_last")
    assert not defined((4, 5, 3), "float32", "caffe", "NHWC")
    assert not defined((4, 5, 3), "complex64", "caffe", "channels_last")
    assert not defined((5, 3), "float32", "caffe", "channels_last")
    assert not defined((3, 4), "float32", "caffe", "channels_first")
