"""Naming arrays, and how often each word is right.

``python tests/identification/test_arrays.py [IMAGE...]`` prints the table of docs/arrays.md, for the pictures below and
for image files.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from black_boxes import CONSTANTS, PHOTOGRAPH, TORCH_MEAN, TORCH_STD, black_box

import vggprep
from vggprep import oracle
from vggprep.identification.arrays import SHIFTED, ArrayIdentification, identify_array
from vggprep.spec import DataFormat, ModeName

Array = npt.NDArray[Any]


def f(numbers: Any) -> Array:
    return np.asarray(numbers, np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_preprocessed_array_is_recognised_and_undone(mode: ModeName, data_format: DataFormat, dtype: str) -> None:
    image = PHOTOGRAPH if data_format == "channels_last" else PHOTOGRAPH.transpose(2, 0, 1)
    found = identify_array(vggprep.preprocess_input(image, data_format, mode, dtype=dtype))
    assert (found.name, found.data_format) == (mode, data_format)
    assert found.sure == ("likely" if mode == "tf" or dtype == "float16" else "certain")
    assert found.pixels is not None
    assert np.array_equal(found.pixels, PHOTOGRAPH)


@pytest.mark.parametrize("name", sorted(set(CONSTANTS) - {"no_swap", "means_swapped", "swap_only", "identity"}))
def test_arrays_of_other_constants_are_recognised(name: str) -> None:
    found = identify_array(black_box(name, np.float32)(PHOTOGRAPH.astype(np.float32)))
    assert name == found.name or name in found.also, found


# Calibration ----------------------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """An array, the names that are right for it, the bytes it was made of (``None``: lost), and unknown deviations."""

    array: Array
    names: set[str]
    pixels: Array | None = None
    std: tuple[float, ...] = ()


def affine(order: str, mean: Any, std: Any, *names: str, unit: float = 255) -> Callable[[Array], Made]:
    def make(x: Array) -> Made:
        y = f(x[..., ::-1] if order == "BGR" else x) / f(unit)
        return Made((y - f(mean)) / f(std), set(names), x)

    return make


def unknown(mean: Any, std: Any) -> Callable[[Array], Made]:
    def make(x: Array) -> Made:
        made = affine("RGB", mean, std)(x)
        return Made(made.array, {""}, x, tuple(np.broadcast_to(np.array(std, float), 3)))

    return make


def own(x: Array, low: Any, extent: Any) -> Made:
    low, extent = np.broadcast_to(low, 3), np.broadcast_to(extent, 3)
    if not (extent > 0).all():
        return Made(f(x), {"raw"}, x)
    if (low == 0).all() and (extent == 255).all():
        return UNIT(x)
    return Made(f((x - low) / extent), {""}, x, tuple(extent / 255))


def mode(name: ModeName, dtype: str = "float32") -> Callable[[Array], Made]:
    std = TORCH_STD if name == "torch" else ()
    return lambda x: Made(vggprep.preprocess_input(x, mode=name, dtype=dtype), {name}, x, std)


def after(make: Callable[[Array], Made], change: Callable[[Array], Array], *names: str) -> Callable[[Array], Made]:
    """A change that loses pixels."""

    def changed(x: Array) -> Made:
        made = make(x)
        y = change(made.array)
        return Made(y, set(names) or made.names, x if np.array_equal(y, made.array) else None, made.std)

    return changed


def resized(x: Array) -> Array:
    """To two thirds, with fractions."""
    rows, columns = (np.arange(0, side - 1.01, 1.5) for side in x.shape[:2])
    r, c, x = rows.astype(int), columns.astype(int), f(x)
    a, b = f((rows - r)[:, None, None]), f((columns - c)[None, :, None] * 0.83)
    top, bottom = x[r][:, c] * (1 - b) + x[r][:, c + 1] * b, x[r + 1][:, c] * (1 - b) + x[r + 1][:, c + 1] * b
    return np.asarray(top * (1 - a * f(0.9)) + bottom * a * f(0.9))


def averaged(x: Array) -> Array:
    return (x[:-1:2, :-1:2] + f(0) + x[1::2, :-1:2] + x[:-1:2, 1::2] + x[1::2, 1::2]) / f(4)


def bfloat16(y: Array) -> Array:
    return f(oracle.round_array(y.astype(np.float64), oracle.FORMATS["bfloat16"]))


def cut_out(y: Array) -> Array:
    y = y.copy()
    y[:6, :6] = 0
    return y


def as_planes(y: Array) -> Array:
    """Planes in the shape of pixels."""
    return np.moveaxis(y, -1, 0).copy().reshape(y.shape)


def as_pixels(y: Array) -> Array:
    """Pixels in the shape of planes."""
    return y.reshape(3, *y.shape[:2])


def moved(make: Callable[[Array], Made], change: Callable[[Array], Array]) -> Callable[[Array], Made]:
    """Values in other places, in an image that is large enough to show it."""
    return lambda x: (m := make(x))._replace(array=change(m.array) if x.shape[0] * x.shape[1] >= 256 else m.array)


def shifted(make: Callable[[Array], Made], by: float) -> Callable[[Array], Made]:
    """Of whole grey levels: what is given back is another picture."""
    return lambda x: Made((m := make(x)).array + f(by), {SHIFTED, "" if m.std else SHIFTED}, None, m.std)


def in_bfloat16(x: Array) -> Made:
    y = bfloat16(bfloat16(x / f(127.5)) - f(1))
    return Made(y, {"tf"}, x)


def noised(y: Array) -> Array:
    return y + f(np.random.default_rng(1).normal(0, 0.01, y.shape))


def ycrcb(x: Array) -> Array:
    luma = f(x) @ f([0.299, 0.587, 0.114])
    red, blue = (x[..., 0] - luma) * f(0.713) + 128, (x[..., 2] - luma) * f(0.564) + 128
    made: Array = np.rint(np.clip(np.stack([luma, red, blue], -1), 0, 255)).astype(np.uint8)
    return made


def quantised(x: Array, dtype: str) -> Made:
    low = -128 if dtype == "int8" else 0
    y = np.rint(vggprep.preprocess_input(x, mode="torch") / 0.01866 + 114 + low)
    return Made(np.clip(y, low, low + 255).astype(dtype), {"quantised"})


def mixed(x: Array) -> Made:
    both = [vggprep.preprocess_input(x, mode="caffe"), vggprep.preprocess_input(x, mode="tf")]
    return Made(np.stack(both), {"mixed"}, np.stack([x, x]))


TF = affine("RGB", 0.5, 0.5, "tf")
UNIT = affine("RGB", 0, 1, "yolo")
RAW = affine("RGB", 0, 1, "raw", unit=1)
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
PIPELINES: dict[str, Callable[[Array], Made]] = {
    "raw uint8": lambda x: Made(x, {"raw"}, x),
    "raw float32": lambda x: Made(f(x), {"raw"}, x),
    "caffe": mode("caffe"),
    "tf": mode("tf"),
    "torch": mode("torch"),
    "torch, folded in float64": lambda x: Made(
        f(x * (1 / np.array(TORCH_STD) / 255) - np.array(TORCH_MEAN) / TORCH_STD), {"torch"}, x
    ),
    "/255": UNIT,
    "/255 - 0.5, BGR": affine("BGR", 0.5, 1, "half_range"),
    "torch, BGR images": affine("BGR", TORCH_MEAN, TORCH_STD, "torch", "bgr_images"),
    "torch, all BGR": affine("BGR", TORCH_MEAN[::-1], TORCH_STD[::-1], "torch_in_bgr"),
    "CLIP, BGR images": affine(
        "BGR", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "clip"
    ),
    "Kinetics": affine("RGB", *KINETICS, "kinetics"),
    "Kinetics, float16": lambda x: Made(affine("RGB", *KINETICS)(x).array.astype(np.float16), {"kinetics"}, x),
    "unknown mean and std": unknown((0.5137, 0.4702, 0.4411), (0.2517, 0.2433, 0.2612)),
    "unknown std, one for all": unknown(0.1307, 0.3081),
    "x - 120": lambda x: Made(f(x) - 120, {""}, x, (1 / 255,) * 3),
    "x - 128": affine("RGB", 128, 1, "centred", unit=1),
    "means 131.1, 120.4, 99.7": lambda x: Made(f(x) - f([131.1, 120.4, 99.7]), {""}, x, (1 / 255,) * 3),
    "standardised by channel": lambda x: own(x, x.mean((0, 1)), x.std((0, 1))),
    "standardised by image": lambda x: own(x, x.mean(), x.std()),
    "stretched to 0..1": lambda x: own(x, x.min(), np.ptp(x)),
    "over its maximum": lambda x: own(x, 0, x.max()),
    "resized, torch": lambda x: Made(vggprep.preprocess_input(resized(x), mode="torch"), {"torch"}, resized(x)),
    "resized, caffe": lambda x: Made(vggprep.preprocess_input(resized(x), mode="caffe"), {"caffe"}, resized(x)),
    "averaged over 2 x 2, torch": lambda x: mode("torch")(averaged(x)),
    "gamma of /255": after(UNIT, lambda y: y ** f(2.2), ""),
    "YCrCb bytes, tf": lambda x: TF(ycrcb(x)),
    "inverted, tf": lambda x: TF(255 - x),
    "wrapped bytes": lambda x: Made(x[..., ::-1] - np.array([103, 116, 123], np.uint8), {"integer_arithmetic"}),
    "quantised int8": lambda x: quantised(x, "int8"),
    "quantised uint8": lambda x: quantised(x, "uint8"),
    "caffe, cut to int16": after(mode("caffe"), lambda y: y.astype(np.int16), "", "integer_arithmetic"),
    "torch, clipped to -1..1": after(mode("torch"), lambda y: np.clip(y, -1, 1)),
    "caffe float16": mode("caffe", "float16"),
    "torch float16": mode("torch", "float16"),
    "/255, bfloat16": lambda x: Made(bfloat16(x / f(255)), {"yolo"}, x),
    "torch, bfloat16": lambda x: Made(bfloat16(vggprep.preprocess_input(x, mode="torch")), {"torch"}, x),
    "caffe, padded with 0": after(mode("caffe"), lambda y: np.pad(y, ((4, 4), (0, 0), (0, 0)))),
    "torch, a square cut out": after(mode("torch"), cut_out),
    "caffe and tf in a batch": mixed,
    "tf twice": lambda x: Made(
        vggprep.preprocess_input(vggprep.preprocess_input(x, mode="tf"), mode="tf"), {"applied_twice"}, x
    ),
    "tf of /255": lambda x: Made(vggprep.preprocess_input(x / f(255), mode="tf"), {"tf_of_unit"}, x),
    "tf, /255": lambda x: Made(TF(x).array / f(255), {"tf_over_255"}, x),
    "torch without 255 of tf": lambda x: Made(
        (TF(x).array - f(TORCH_MEAN)) / f(TORCH_STD), {"torch_without_255_of_tf"}, x
    ),
    "tf, planes": moved(TF, as_planes),
    "torch, planes": moved(mode("torch"), as_planes),
    "raw, planes": moved(RAW, as_planes),
    "caffe, pixels": moved(mode("caffe"), as_pixels),
    "/255, pixels": moved(UNIT, as_pixels),
    "caffe, plus 5": shifted(lambda x: mode("caffe")(x)._replace(std=(1 / 255,) * 3), 5),
    "tf, plus 2 levels": shifted(lambda x: TF(x)._replace(std=(0.5,) * 3), 2 / 127.5),
    "tf, bfloat16 arithmetic": in_bfloat16,
    "torch with noise": after(mode("torch"), noised, "torch", ""),
}  # fmt: skip


def pictures() -> Iterator[Array]:
    """By arithmetic: smooth, noisy, dark, bright, flat, grey, lettered, two-level, coarse, tiny."""
    random = np.random.default_rng(7)
    noise = random.integers(0, 256, (40, 56, 3)).astype(np.uint8)
    y, x = np.mgrid[:40, :56]
    waves = np.stack([127 + 126 * np.sin(x / 9), 120 + 90 * np.cos((x + y) / 13), 128 + 60 * np.sin(y / 7)], -1)
    letters = np.where((x // 5 + y // 7)[..., None] % 3 == 0, 0, 255) + np.zeros(3)
    yield from (PHOTOGRAPH, noise, waves.astype(np.uint8), noise // 16, 230 + noise // 12, 100 + noise // 64)
    yield from (np.repeat(waves[..., :1], 3, -1).astype(np.uint8), letters.astype(np.uint8), noise // 64 * 85)
    yield from (noise[:8, :8], noise[:2, :2], np.full((16, 16, 3), 255, np.uint8))


def outcome(made: Made, found: ArrayIdentification) -> str:
    """Whether what is said is right, has the right name in its list, says nothing, or is wrong."""
    if not found.name and found.sure != "guess":
        said = re.search(r"std (\(.*?\)|[-\d.e]+)", found.why)
        numbers = [float(n) for n in re.findall(r"[\d.]+(?:e-?\d+)?", said[1])] if said else [1 / 255]
        made = made._replace(std=(1 / 255,) * 3) if "centred" in made.names else made
        return "right" if made.std and np.allclose(numbers, made.std, rtol=1e-3) else "wrong"
    if found.name and found.name in made.names:
        return "right" if found.pixels is None or is_restored(made, found) else "wrong"
    if made.names & {*found.also}:
        return "in the list"
    return "wrong" if found.name else "nothing said"


def is_restored(made: Made, found: ArrayIdentification) -> bool:
    both = () if made.pixels is None else (made.pixels, made.pixels[..., ::-1])
    return found.pixels is not None and any(np.array_equal(found.pixels, p) for p in both)


def calibration(images: list[Array]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """How often each word had each outcome, and what was wrong."""
    table: Counter[tuple[str, str]] = Counter()
    wrong = []
    for number, image in enumerate(images):
        for name, make in PIPELINES.items():
            made = make(image)
            found = identify_array(made.array)
            result = outcome(made, found)
            table[found.sure, result] += 1
            if found.pixels is not None:
                table["pixels", "right" if is_restored(made, found) else result.replace("right", "wrong")] += 1
            if result == "wrong":
                wrong.append(f"picture {number}, {name}: {found.sure}, {found.name or found.why}")
    return table, wrong


@pytest.mark.no_cover
def test_what_is_certain_is_right_and_what_is_likely_is_right_or_in_the_list() -> None:
    table, wrong = calibration(list(pictures()))
    assert sum(n for (word, _), n in table.items() if word != "pixels") >= 500
    assert {result for word, result in table if word == "certain"} == {"right"}
    assert {result for word, result in table if word == "likely"} == {"right", "in the list"}, wrong
    assert ("pixels", "wrong") not in table
    assert table["certain", "right"] >= 15
    assert table["likely", "right"] >= 250


# One of each kind -----------------------------------------------------------------------------------------------------

EIGHT = (np.arange(24).reshape(1, 8, 3) * 7).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
WAVES = list(pictures())[2]
GREY = np.repeat(NOISE[..., :1], 3, -1)


def white(name: ModeName) -> Array:
    return vggprep.preprocess_input(np.full((2, 2, 3), 255, np.uint8), mode=name)


def cut(y: Array) -> Array:
    """The upper half of each float32."""
    return (f(y).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def clipped(y: Array) -> Array:
    return np.clip(y, 0, 255).astype(np.uint8)


def wrapped(y: Array) -> Array:
    return y.astype(np.int64).astype(np.uint8)


TORCH, CAFFE = (functools.partial(vggprep.preprocess_input, mode=name) for name in ("torch", "caffe"))


def with_nan(y: Array) -> Array:
    y[:, 3] = np.nan
    return y


@pytest.mark.parametrize(
    ("array", "name", "said"),
    [
        (np.dstack([TORCH(WAVES), np.ones((40, 56))]), "torch", "fourth channel holds 1 everywhere: taken for alpha"),
        (np.dstack([np.full((40, 56), 255), WAVES]), "raw", "first channel holds 255 everywhere: taken for alpha"),
        (np.moveaxis(np.dstack([TF(WAVES).array, WAVES[..., 1]]), -1, 0), "tf", "fourth channel holds 30 to 210"),
        (with_nan(TF(WAVES).array), "tf", "120 values are NaN or infinite, which no preprocessing step makes of pix"),
        (np.stack([with_nan(CAFFE(PHOTOGRAPH)), TORCH(PHOTOGRAPH)]), "mixed", "image 0 caffe (certain), image 1 torch"),
    ],
)
def test_a_fourth_channel_or_values_that_are_no_numbers_do_not_hide_the_others(
    array: Array, name: str, said: str
) -> None:
    found = identify_array(array)
    assert (found.name, found.sure, found.shape) == (name, "likely", array.shape)
    assert said in repr(found)
    assert (found.pixels is None) == ("NaN" in found.why)


@pytest.mark.parametrize(
    ("array", "sure", "name", "also", "has_pixels"),
    [
        pytest.param(white("caffe"), "likely", "caffe", "no_swap", True, id="white in mode caffe"),
        pytest.param(np.array([[[151.061, 138.221, 131.32]]]), "likely", "caffe", "no_swap", True, id="typed decimals"),
        pytest.param(white("torch"), "guess", "torch", "torch_without_255", False, id="white in mode torch"),
        pytest.param(white("tf"), "guess", "tf", "yolo", False, id="white in mode tf"),
        pytest.param(f(np.full((1, 1, 3), -1)), "guess", "tf", "centred", False, id="black in mode tf"),
        pytest.param(f([[[0] * 3, [1] * 3]]), "guess", "yolo", "raw", False, id="black and white"),
        pytest.param(f(EIGHT) - f(120), "guess", "centred", "", False, id="a whole shift"),
        pytest.param(f([[[0, 17, 51], [34, 51, 0]]]) / f(51), "guess", "yolo", "", False, id="own maximum"),
        pytest.param(f(EIGHT[..., ::-1]) / f(255) - f(0.5), "guess", "half_range", "", False, id="few levels"),
        pytest.param(PHOTOGRAPH, "likely", "raw", "integer_arithmetic", True, id="a smooth picture of bytes"),
        pytest.param(NOISE, "guess", "raw", "quantised", False, id="bytes without neighbours alike"),
        pytest.param(WAVES - np.uint8(120), "guess", "raw", "integer_arithmetic", False, id="bytes that wrapped"),
        pytest.param(f(WAVES - np.uint8(120)), "guess", "raw", "swap_only", False, id="wrapped, then float"),
        pytest.param(WAVES.astype(np.int8), "guess", "", "centred", False, id="int8"),
        pytest.param(clipped(TORCH(WAVES) * 255), "guess", "", "stretched", False, id="torch clipped to bytes"),
        pytest.param(wrapped(TORCH(WAVES) * 255), "guess", "", "stretched", False, id="torch wrapped to bytes"),
        pytest.param(
            np.clip((WAVES - f(127.5)) / 128, -0.5, 0.5), "likely", "facenet", "", False, id="facenet clipped"
        ),
        pytest.param(np.clip((GREY - f(127.5)) / 128, -0.5, 0.5), "likely", "facenet", "", False, id="grey clipped"),
        pytest.param(np.round(TORCH(WAVES), 4), "likely", "torch", "bgr_images", True, id="torch, four decimals"),
        pytest.param(np.round(CAFFE(WAVES), 1), "likely", "caffe", "slim_means", True, id="caffe, one decimal"),
        pytest.param(clipped((WAVES - f(128)) * 4 + 128), "guess", "raw", "stretched", False, id="clipped contrast"),
        pytest.param(clipped(TF(WAVES).array), "guess", "", "quantised", False, id="tf cut to bytes"),
        pytest.param(cut(TF(PHOTOGRAPH).array), "likely", "tf", "bgr_images", False, id="tf cut to bfloat16"),
        pytest.param(cut(TORCH(WAVES)), "likely", "torch", "bgr_images", False, id="torch cut to bfloat16"),
        pytest.param(cut(f(PHOTOGRAPH) / 255), "likely", "yolo", "unit_range_in_bgr", False, id="/255 cut to bfloat16"),
        pytest.param((WAVES - f(127.5)) / 128, "likely", "facenet", "tf cut to bfloat16", True, id="facenet or tf cut"),
        pytest.param(CAFFE(NOISE).astype(np.int32), "guess", "caffe", "integer_arithmetic", False, id="caffe cut"),
        pytest.param(
            TF(f(NOISE).mean(-1, keepdims=True) + f([0] * 3)).array, "guess", "tf", "", False, id="tf of grey"
        ),
        pytest.param(resized(TF(NOISE).array) * f(1.07), "guess", "tf", "torch", False, id="tf, then resized"),
        pytest.param(TORCH(NOISE)[..., [1, 2, 0]], "certain", "torch_in_gbr", "", True, id="torch, channels permuted"),
        pytest.param(f(EIGHT).astype(np.int16) - 104, "guess", "", "quantised", False, id="int16 below 0"),
        pytest.param(EIGHT // 2, "likely", "raw", "quantised", False, id="dark bytes"),
        pytest.param((EIGHT // 2).astype(np.int8), "guess", "raw", "quantised", False, id="int8 not below 0"),
        pytest.param(np.full((4, 4, 3), np.finfo(float).max), "guess", "", "", False, id="the largest number"),
        pytest.param(WAVES.astype(np.int64), "likely", "raw", "quantised", True, id="int64 of bytes"),
        pytest.param(WAVES.astype(np.uint16) * 257, "guess", "", "", False, id="bytes widened to 16 bits"),
        pytest.param(WAVES > 100, "guess", "", "", False, id="a mask"),
        pytest.param(np.arange(12.0).reshape(2, 2, 3) * 1e5, "guess", "", "", False, id="far out of range"),
    ],
)
def test_no_more_is_promised_than_the_values_show(
    array: Array, sure: str, name: str, also: str, has_pixels: bool
) -> None:
    found = identify_array(array)
    assert (found.sure, found.name, found.pixels is not None) == (sure, name, has_pixels)
    assert also in found.also or not also
    assert has_pixels == (not found.why_not)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            wrapped(TORCH(NOISE) * 255),
            "bytes that torch mode times 255 gives where they wrapped modulo 256, and no others",
        ),
        (clipped(TORCH(NOISE) * 255), "bytes that torch mode times 255 gives where they were clipped to 0..255"),
        (np.clip(NOISE * f(1.3), 0, 255) / 255, "0.00509804 apart; if that is one grey level: (x/255 - mean) / std"),
        (np.clip(NOISE * f(1.3), 0, 255) / 255, "; then clipped at 1\n"),
        (np.clip((NOISE - f(128)) * f(1.5), -128, 127), "; then clipped at -128 and 127\n"),
        (np.clip((GREY - f(127.5)) / 128, -0.5, 0.5), "in 12288 values; then clipped at -0.5 and 0.5\n"),
        (np.round(TORCH(NOISE), 2), "with the precision of 2 decimals"),
        (NOISE.astype(np.uint16) * 256, "bytes times 256, as 8-bit images widened to 16 bits"),
        (NOISE.astype(np.uint16) * 4 + 3, "levels beyond 255, as of 10 bits"),
        (
            np.random.default_rng(3).random((64, 64, 3)) * [359.3, 1, 1],
            " in its channels, as of a hue in degrees beside saturation and value",
        ),
    ],
)
def test_what_was_clipped_cut_or_widened_is_said_to_be(array: Array, said: str) -> None:
    assert said in repr(identify_array(array))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("pipeline", ["torch", "/255", "raw float32", "quantised int8", "torch with noise"])
def test_the_channel_order_is_said_to_be_open_once_and_always(pipeline: str, order: str) -> None:
    text = repr(identify_array(PIPELINES[pipeline](NOISE[..., :: -1 if order == "BGR" else 1]).array))
    assert text.count("RGB or BGR") == 1
    assert "recovered exactly if that is what it is" in text or "cannot be recovered exactly:" in text


def test_unknown_constants_are_measured_in_their_published_form() -> None:
    made = PIPELINES["unknown mean and std"](NOISE[..., :] // 2 + 20)
    found = identify_array(made.array)
    assert (found.name, found.sure, found.pixels) == ("", "likely", None)
    assert "std (0.2517, 0.2433, 0.2612)" in found.why
    means = [float(n) for n in re.findall(r"-?[\d.]+", found.why.split("and mean (")[1].split(")")[0])]
    assert np.allclose(np.array(means) + 20 / 255, (0.5137, 0.4702, 0.4411), atol=1e-6)
    assert "each plus n/255, where n is the darkest grey level of the channel, from 0 to 128" in found.why


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("standardised by channel", "each channel has mean 0 and deviation 1"),
        ("standardised by image", "each image has mean 0 and deviation 1"),
        ("stretched to 0..1", "each image ranges from 0 to 1"),
        ("over its maximum", "the largest value of each image is 1"),
        ("gamma of /255", "unevenly spaced, as by a curve (gamma), a table, clipping or few bits"),
        ("caffe, padded with 0", "448 pixels are (0, 0, 0), which is no pixel of it in rows 0-3 and 44-47: padded"),
        ("torch, a square cut out", "36 pixels are (0, 0, 0), which is no pixel of it: padded or cut out"),
        ("torch, clipped to -1..1", "then clipped at -1"),
        ("/255, bfloat16", "with the precision of bfloat16"),
        ("caffe and tf in a batch", "image 0 caffe (likely), image 1 tf (likely)"),
        ("averaged over 2 x 2, torch", "of an image whose levels are multiples of 1/4"),
    ],
)
def test_what_was_done_beside_is_said(pipeline: str, said: str) -> None:
    assert said in repr(identify_array(PIPELINES[pipeline](WAVES // 2 + 40).array))


def test_images_of_a_batch_are_judged_one_by_one() -> None:
    batch = np.stack([mode(name)(PHOTOGRAPH).array for name in ("torch", "torch", "caffe", "tf", "torch")])
    found = identify_array(batch)
    assert (found.name, found.sure) == ("mixed", "likely")
    assert "images 0-1, 4 torch (certain), image 2 caffe (certain), image 3 tf (likely)" in found.story
    assert found.pixels is not None
    assert np.array_equal(found.pixels, np.stack([PHOTOGRAPH] * 5))
    standardised = np.stack([own(x, x.mean(), x.std()).array for x in (WAVES, WAVES // 2, WAVES // 3 + 9)])
    assert "each image by other constants; each image has mean 0 and deviation 1" in identify_array(standardised).story
    batch[1, 2, 3] = np.nan
    assert "3 values are NaN" in repr(identify_array(batch))
    assert "noise" not in repr(identify_array(np.stack([noised(mode("torch")(PHOTOGRAPH).array)] * 2)))


def test_a_mapped_file_is_read_image_by_image(tmp_path: Path) -> None:
    batch = np.stack([np.roll(PHOTOGRAPH, n, 0) for n in range(70)])
    np.save(tmp_path / "a.npy", vggprep.preprocess_input(batch, mode="caffe"))
    for memory in ("r", "c"):
        found = identify_array(np.load(tmp_path / "a.npy", mmap_mode=memory))
        assert (found.name, found.sure) == ("caffe", "certain")
        assert found.pixels is not None
        assert np.array_equal(found.pixels, batch)


def test_64_images_take_less_than_2_seconds() -> None:
    batch = np.tile(WAVES, (64, 5, 4, 1))[:, :, :200]
    array = vggprep.preprocess_input(batch, mode="torch")
    start = time.process_time()
    assert identify_array(array).name == "torch"
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((4, 4)), ValueError),
        (np.zeros((4, 4, 4)), ValueError),
        (np.zeros((0, 4, 3)), ValueError),
        (np.array([["a"]]), TypeError),
        (np.zeros((2, 2, 3), complex), TypeError),
        (np.array([None]), TypeError),
    ],
)
def test_bad_arrays_are_errors(array: Array, error: type[Exception]) -> None:
    with pytest.raises(error):
        identify_array(array)


@pytest.mark.parametrize("name", ["tf", "raw"])
def test_an_array_with_two_axes_of_3_may_have_either_data_format(name: str) -> None:
    array = f(PHOTOGRAPH[:3, :3]) / f(127.5) - 1 if name == "tf" else f(PHOTOGRAPH[:3, :3])
    found = identify_array(array)
    assert (found.name, found.sure, found.pixels) == (name, "likely", None)
    assert "data format: either" in repr(found)
    assert "the data format cannot be determined" in repr(found)


def test_the_axis_of_the_channels_is_found_where_the_constants_tell() -> None:
    found = identify_array(vggprep.preprocess_input(PHOTOGRAPH[:3].transpose(2, 0, 1), "channels_first", "torch"))
    assert (found.name, found.data_format) == ("torch", "channels_first")


if __name__ == "__main__":
    images = list(pictures())
    if sys.argv[1:]:
        from PIL import Image

        images += [np.asarray(Image.open(name).convert("RGB"))[:96, :128] for name in sys.argv[1:]]
    table, wrong = calibration(images)
    print(f"{len(images)} pictures, {len(PIPELINES)} pipelines, {len(images) * len(PIPELINES)} arrays\n")
    outcomes = ("right", "in the list", "nothing said", "wrong")
    print(f"| word | {' | '.join(outcomes)} |\n|---|{'---|' * len(outcomes)}")
    for word in ("certain", "likely", "guess", "pixels"):
        print(f"| {word} | {' | '.join(str(table[word, result]) for result in outcomes)} |")
    print("\n".join(wrong), file=sys.stderr)
