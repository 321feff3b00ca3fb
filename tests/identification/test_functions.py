"""Naming functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from black_boxes import CONSTANTS, PHOTOGRAPH, Array, black_box

import vggprep
from vggprep.faults import FAULTS, HONEST
from vggprep.identification import functions
from vggprep.identification.functions import Answer, identify
from vggprep.implementations import Implementation
from vggprep.published import PUBLISHED
from vggprep.spec import ModeName


@pytest.fixture
def names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What check finds besides is not asked for."""
    monkeypatch.setattr(functions, "_checked", lambda implementation, answer, few: answer)


def answer_of(function: Callable[..., Any]) -> Answer:
    (answer,) = identify(function).answers
    return answer


@pytest.mark.thorough
@pytest.mark.usefixtures("names_alone")
@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_named_in_float32(name: str) -> None:
    answer = answer_of(black_box(name, np.float32))
    assert answer.name == name
    assert not answer.also
    assert answer.channels is not None


HALF = [n for n in CONSTANTS if n not in ("slim_means", "slim", "scale_0_007843", "scale_0_003921")]


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.usefixtures("names_alone")
@pytest.mark.parametrize("name", HALF)
def test_constants_are_named_in_float16(name: str) -> None:
    answer = answer_of(black_box(name, np.float16))
    conforms = answer.kind == "mode" and answer.level == "faithful"  # in so few bits, near misses do
    assert answer.name == name or (conforms and name in answer.also), answer


@pytest.mark.usefixtures("names_alone")
@pytest.mark.parametrize("name", ["slim_means", "scale_0_003921"])
def test_what_float16_cannot_tell_apart_is_said(name: str) -> None:
    answer = answer_of(black_box(name, np.float16))
    assert answer.kind == "mode"
    assert name in answer.also
    assert f"what was seen fits {' and '.join(answer.also)}, too" in repr(answer)


NOT_AFFINE = {
    "own_channel_statistics": "caffe", "min_max_stretched": "torch", "clipped_first": "tf",
    "result_clipped_to_unit": "caffe", "fractions_rounded": "tf", "integer_arithmetic": "caffe",
    "saturating_subtraction": "caffe", "half_inside": "torch", "range_guessed_from_maximum": "tf",
    "uint16_rescaled": "torch", "nan_replaced_by_zero": "caffe", "bytes_read_as_signed": "tf",
}  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), NOT_AFFINE.items())
def test_faults_that_are_no_constants_are_named(name: str, mode: ModeName) -> None:
    fault = next(f for f in FAULTS if f.name == name)
    function: Any = fault.preprocess
    answer = answer_of(lambda x, data_format: function(x, data_format, mode))
    assert (answer.kind, answer.name, answer.mode, answer.channels) == ("fault", name, mode, None)
    assert fault.story in repr(answer)


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.usefixtures("names_alone")
@pytest.mark.parametrize("honest", HONEST, ids=lambda h: h.name)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_honest_variants_are_called_what_they_are(honest: Implementation, dtype: str) -> None:
    function: Any = honest.preprocess

    def preprocess(x: Array, mode: ModeName) -> Any:
        if x.dtype.name != dtype:
            raise TypeError
        return function(x, "channels_last", mode)

    found = identify(preprocess)
    assert [a.name for a in found.answers] == list(vggprep.MODES), found
    assert found.is_right


KERAS = {"half": "tf", "mmdetection": "torch", "efficientnet_transformers": "torch"}  # to the precision of float32


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.usefixtures("names_alone")
@pytest.mark.parametrize("mode", PUBLISHED)
def test_a_published_mode_is_named_of_a_function_and_of_an_array(mode: ModeName) -> None:
    def preprocess(x: Array) -> Array:
        if x.dtype != np.float32:
            raise TypeError
        return vggprep.preprocess_input(x, mode=mode)

    name = KERAS.get(mode, mode)
    found = identify(preprocess)
    assert (found.answers[0].kind, found.answers[0].name, found.is_right) == ("mode", name, True)
    array = vggprep.identify_array(preprocess(PHOTOGRAPH.astype(np.float32)))
    assert array.name == name
    if name == mode:
        source = PUBLISHED[mode].source
        assert f"mode {mode} (published), level " in repr(found)
        assert source in repr(found)
        assert source in repr(array)


def test_a_published_mode_that_was_not_asked_for_is_said() -> None:
    found = identify(lambda x, mode: vggprep.preprocess_input(x, mode="cifar100"))
    assert not found.is_right
    assert "asked for torch: NOT what was asked for: mode cifar100 (published), level exact" in repr(found)
    asked = identify(lambda x, mode: vggprep.preprocess_input(x, mode="clip"))
    assert "asked for torch: clip_statistics (in mode torch)" in repr(asked)  # the fault says how one comes to it


def test_a_mode_that_is_claimed_is_asked_for() -> None:
    def preprocess(x: Array, mode: ModeName) -> Array:
        return vggprep.preprocess_input(x[..., ::-1] if wrong else x, mode=mode)

    wrong = False
    claimed = Implementation("claims", preprocess, modes=["clip"], dtypes=["float32"])
    (answer,) = identify(claimed).answers
    assert (answer.asked, answer.name, answer.level, answer.is_right) == ("clip", "clip", "exact", True)
    wrong = True
    (answer,) = identify(claimed).answers
    assert (answer.name, answer.mode, answer.is_right) == ("clip:order_reversed", "clip", False)


def test_our_own_function_is_every_mode_exactly() -> None:
    found = identify(vggprep.preprocess_input)
    assert [(a.asked, a.name, a.level) for a in found.answers] == [(m, m, "exact") for m in vggprep.MODES]
    assert "channels_last and channels_first" in repr(found)


def test_a_mode_that_was_not_asked_for_is_said() -> None:
    found = identify(lambda x, mode: vggprep.preprocess_input(x, mode="caffe"))
    assert not found.is_right
    assert "asked for torch: NOT what was asked for: mode caffe" in repr(found)


def test_a_channels_first_box_is_recognised() -> None:
    answer = answer_of(black_box("torch", np.float32, channels_first=True))
    assert (answer.name, answer.data_format) == ("torch", "channels_first")


def test_an_unknown_affine_map_is_written_out() -> None:
    answer = answer_of(lambda x: x[..., ::-1] * np.float32(0.5) - np.array([100, 110, 120], np.float32))
    assert answer.kind == "affine"
    assert [str(c) for c in answer.channels or ()] == ["B/2 - 100", "G/2 - 110", "R/2 - 120"]
    assert answer.story == ""  # none is near


def test_the_nearest_family_of_an_unknown_map_is_named() -> None:
    answer = answer_of(lambda x: x[..., ::-1] - np.array([103.9, 116.8, 123.7], np.float32))
    assert answer.kind == "affine"
    assert answer.name in ("caffe", "slim_means")
    assert "off by up to 0.0" in answer.story


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x - x.mean()) / x.std() ** 2, "depends on the whole image"),
        (
            lambda x: x + np.roll(x, 1, axis=-2),
            "depends on its neighbours, up to 1 column away (1 of 1547 others",
        ),
        (lambda x: np.tanh(x / 255), "alone, by a rising curve: 0 becomes 0, 64 becomes 0.2458"),
        (lambda x: np.cbrt(x.mean(axis=-1, keepdims=True)) * np.ones(3, np.float32), "several input channels"),
        (lambda x: x + np.random.default_rng().normal(size=x.shape), "second time"),
        (lambda x, mean=[100.0]: x - (mean.append(0.9 * mean[-1] + 0.1 * x.mean()) or mean[-1]), "second time"),
        (lambda x: x[..., :2], "becomes an output of shape"),
        (lambda x: np.arange(1.0 * x.size).reshape(x.shape) ** 2, "no output depends on the pixels"),
    ],
)
def test_what_is_no_map_of_the_pixels_is_described(function: Callable[..., Any], words: str) -> None:
    answer = answer_of(function)
    assert answer.kind == "other"
    assert words in repr(answer)
    assert not answer.is_right


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x - x.mean()) / x.std(), "R, G, B of the batch standardised by its own mean and deviation"),
        (
            lambda x: x.mean(axis=-1, keepdims=True) * np.ones(3, np.float32),
            "computes 0.333333*R + 0.333333*G + 0.333333*B in every channel",
        ),
    ],
)
def test_what_several_pixels_or_channels_make_is_measured(function: Callable[..., Any], words: str) -> None:
    answer = answer_of(function)
    assert (answer.kind, answer.is_right) == ("measured", False)
    assert words in repr(answer)


def test_a_constant_is_said_to_be_one() -> None:
    assert "returns 0.3 whatever the image" in repr(answer_of(lambda x: np.full(x.shape, np.float32(0.3))))


def test_what_conforms_is_right_whatever_its_dtype() -> None:
    found = identify(lambda x: np.asarray(x, np.float32) / np.float32(127.5) - 1)
    assert found.is_right
    assert (found.answers[0].name, found.answers[0].level) == ("tf", "faithful")


def test_dtypes_that_are_treated_differently_are_told_apart() -> None:
    said = repr(answer_of(lambda x: x / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)))
    assert "given uint8, it computes mode yolo" in said
    assert "mode identity" in said


def test_a_box_that_refuses_everything_says_so() -> None:
    answer = answer_of(lambda x: 1 / 0)
    assert answer.kind == "refuses"
    assert "ZeroDivisionError" in repr(answer)


def test_a_mode_that_is_wrong_in_one_dtype_is_not_right() -> None:
    def preprocess(x: Array) -> Array:
        y = vggprep.preprocess_input(x, mode="tf")
        return y * 1.0001 if x.dtype == np.int32 else y

    found = identify(preprocess)
    assert not found.is_right
    assert "given int32, it computes R/127.487 - 1.0001" in repr(found)


def of_224_alone(x: Array) -> Array:
    used = x if x.shape[-3:-1] == (224, 224) else np.zeros_like(x)
    return vggprep.preprocess_input(used, mode="caffe")


def one_of_299(x: Array) -> Array:
    if x.shape != (1, 299, 299, 3):
        raise ValueError("wants (1, 299, 299, 3)")
    return vggprep.preprocess_input(x, mode="caffe")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (of_224_alone, "returns the same for all images of 8x32, but not for those of 224x224: judged at that size"),
        (one_of_299, "refuses batches of more than one image and accepts one of 299x299: wrap it as lambda x: np.conc"),
    ],
)
def test_what_works_for_one_size_or_one_image_is_said_to(function: Callable[[Array], Array], said: str) -> None:
    found = identify(function)
    assert said in repr(found)
    assert (found.answers[0].name == "caffe") == (function is of_224_alone)


def less_the_first(x: Array) -> Array:
    y = x.astype(np.float32)
    return y - y[:1] if x.ndim == 4 else y


@pytest.mark.thorough
def test_what_ignores_no_image_is_not_judged_at_one_size() -> None:
    for function in (less_the_first, lambda x: x * 0, lambda x: np.sign(x.astype(np.int64) - 128)):
        assert "judged at that size" not in repr(identify(function))


def raw_from_the_third(x: Array) -> Array:
    y = vggprep.preprocess_input(x, mode="caffe")
    y[2:] = x[2:] if x.ndim == 4 else y[2:]
    return y


def wide_alone(x: Array) -> Array:
    y = vggprep.preprocess_input(x, mode="caffe")
    return y + 1 if x.shape[-2] > x.shape[-3] else y


def large_otherwise(x: Array) -> Array:
    y = vggprep.preprocess_input(x, mode="tf")
    return y * 2 if x.size > 100_000 else y


def odd_rows(x: Array) -> Array:
    y = vggprep.preprocess_input(x, mode="tf")
    y[..., 1::2, :, :] += 1
    return y


def every_second_row(x: Array) -> Array:
    y = x.astype(np.float32)
    y[..., ::2, :, :] /= np.float32(127.5)
    return y


def of_bytes_above(x: Array) -> Array:
    return vggprep.preprocess_input(np.where(x > 200, 200, x).astype(x.dtype), mode="tf")


def TF(x: Array) -> Array:  # noqa: N802
    return vggprep.preprocess_input(x, mode="tf")


def means_in_bytes(x: Array) -> Array:
    if x.dtype != np.uint8:
        return vggprep.preprocess_input(x, mode="caffe")
    return (x[..., ::-1] - np.array([104, 117, 124], np.uint8)).astype(np.float32)


def overwriting(x: Array) -> Array:
    y = vggprep.preprocess_input(x, mode="caffe")
    if x.dtype.kind == "f":
        x[...] = y
    return y


MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def floats(x: Array) -> Array:
    return np.array(x, x.dtype if x.dtype.kind == "f" else np.float32)


def cropped(x: Array) -> Array:
    rows, columns = (n // 16 for n in x.shape[-3:-1])
    y = (floats(x) / 255 - MEAN) / STD
    return y[..., rows : y.shape[-3] - rows, columns : y.shape[-2] - columns, :]


def with_gamma(x: Array) -> Array:
    return (np.power(np.clip(x, 0, 255) / 255, 0.8) * 2 - 1).astype(np.float32)


def saturated(x: Array) -> Array:
    grey = (floats(x) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    y: Array = (grey + np.float32(1.4) * (floats(x) - grey)) / np.float32(127.5) - 1
    return y


def by_slices(x: Array) -> Array:
    y = floats(x)[..., ::-1].copy()
    for k, mean in enumerate((103.939, 116.779, 123.68)):
        y[:, :, k] -= np.float32(mean)
    return y


def by_its_dtype(x: Array) -> Array:
    return floats(x / np.float64(np.iinfo(x.dtype).max)) if x.dtype.kind in "iu" else floats(x)


def of_unit_range_alone(x: Array) -> Array:
    if x.size and np.nanmax(x) > 1:
        raise ValueError("not in 0..1")
    return floats(x) * 2 - 1


def without_alpha(x: Array) -> Array:
    return vggprep.preprocess_input(x[..., :3], mode="caffe")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("function", "said", "unsaid"),
    [
        (raw_from_the_third, "depends on the number of images", "first_image_only"),
        (wide_alone, "depends on the size of the image", "affine map of the pixels,"),
        (large_otherwise, "depends on the size of the image", "computes mode"),
        (odd_rows, "it computes R times 0.007843 plus -1..0", "curve"),
        (every_second_row, "depends on where it is in the image", "channels_first"),
        (lambda x: x.astype(">f4"), "returns float32 in foreign byte order", "refuses"),
        (lambda x: x // np.float32(127.5) - 1, "computes mode tf, rounded down to whole numbers", "no output"),
        (of_bytes_above, "computes mode tf, clipped to at most 0.568627", "depends on where"),
        (
            lambda x: TF(x)[:, None] if x.ndim == 3 else TF(x),
            "given single images, it adds an axis of length 1 as the second; apart from that, it computes mode tf",
            "given float",
        ),
        (
            means_in_bytes,
            "whose integers wrap around when R's 124, G's 117 and B's 104 are subtracted",
            "neither known",
        ),
        (np.squeeze, "drops every axis of length 1; apart from that, it computes mode identity", "batch_of_one"),
        (overwriting, "but it fails vggprep check: overwrites the caller's array", "at neither level"),
        (without_alpha, "drops the fourth channel of an RGBA image", "alpha_of_bytes"),
        (cropped, "each pixel moves 2 pixels up and 2 pixels to the left; of 36 by 43 pixels, 32 by 39", "dtype"),
        (with_gamma, "it computes R*2 - 1, G*2 - 1, B*2 - 1 of (x/255)^0.8 of the image clipped to 0..255", "differs"),
        (saturated, "it computes 0.0100424*R - 0.00184157*G - 0.000357647*B - 1", "depends on where"),
        (by_slices, "given batches, it computes B, G, R with -103.939, -116.779, -123.68 in columns", "at each place"),
        (by_its_dtype, "given int64, it computes R*1.0842e-19", "inf grey levels"),
        (lambda x: floats(x) / 255 - MEAN / STD, "R/255 - 2.1179\n", "differs by dtype"),
        (lambda x: floats(x) / 255 - MEAN / STD, "of float16, only to the precision of float16", "254."),
        (lambda x: floats(x) - floats(x[:1]) if x.ndim == 4 else floats(x), "that at [1, 17, 20] on those at", "moves"),
        (of_unit_range_alone, "of an image of 0..1, it computes R*2 - 1, G*2 - 1, B*2 - 1", "range_guessed"),
    ],
)
def test_what_is_said_is_true_of_other_sizes_places_and_numbers_and_agrees_with_check(
    function: Callable[[Array], Array], said: str, unsaid: str
) -> None:
    found = identify(function)
    assert said in repr(found)
    assert unsaid not in repr(found)
    assert not found.is_right
