"""Naming arrays, and how often each word is right.

``python tests/identification/test_arrays.py [IMAGE...]`` prints the table of docs/arrays.md, for the pictures below and
for image files.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from black_boxes import CONSTANTS, PHOTOGRAPH, TORCH_MEAN, TORCH_STD, black_box

import vggprep
from vggprep import oracle
from vggprep.identification.arrays import ArrayIdentification, identify_array
from vggprep.spec import DataFormat, ModeName

Array = np.ndarray[Any, Any]
f = np.float32


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_preprocessed_array_is_recognised_and_undone(mode: ModeName, data_format: DataFormat, dtype: str) -> None:
    image = PHOTOGRAPH if data_format == "channels_last" else PHOTOGRAPH.transpose(2, 0, 1)
    found = identify_array(vggprep.preprocess_input(image, data_format, mode, dtype=dtype))
    assert (found.name, found.data_format) == (mode, data_format)
    assert found.sure == ("likely" if mode == "tf" or dtype == "float16" else "certain")
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


def affine(order: str, mean: Any, std: Any, *names: str, unit: float = 255, dtype: Any = f) -> Callable[[Array], Made]:
    def make(x: Array) -> Made:
        y = (x[..., ::-1] if order == "BGR" else x).astype(dtype) / dtype(unit)
        return Made((y - np.array(mean, dtype)) / np.array(std, dtype), set(names), x)

    return make


def unknown(mean: Any, std: Any) -> Callable[[Array], Made]:
    def make(x: Array) -> Made:
        made = affine("RGB", mean, std)(x)
        return Made(made.array, {""}, x, tuple(np.broadcast_to(np.array(std, float), 3)))

    return make


def own(x: Array, low: Any, extent: Any) -> Made:
    low, extent = np.broadcast_to(low, 3), np.broadcast_to(extent, 3)
    if not (extent > 0).all():
        return Made(x.astype(f), {"raw"}, x)
    if (low == 0).all() and (extent == 255).all():
        return UNIT(x)
    return Made(((x - low) / extent).astype(f), {""}, x, tuple(extent / 255))


def mode(name: ModeName, dtype: str = "float32") -> Callable[[Array], Made]:
    return lambda x: Made(vggprep.preprocess_input(x, mode=name, dtype=dtype), {name}, x)


def after(make: Callable[[Array], Made], change: Callable[[Array], Array], *names: str) -> Callable[[Array], Made]:
    """A change that loses pixels."""

    def changed(x: Array) -> Made:
        made = make(x)
        y = change(made.array)
        return Made(y, set(names) or made.names, x if np.array_equal(y, made.array) else None)

    return changed


def resized(x: Array) -> Array:
    """To two thirds, with fractions."""
    rows, columns = (np.arange(0, side - 1.01, 1.5) for side in x.shape[:2])
    r, c, x = rows.astype(int), columns.astype(int), x.astype(f)
    a, b = f((rows - r)[:, None, None]), f((columns - c)[None, :, None] * 0.83)
    top, bottom = x[r][:, c] * (1 - b) + x[r][:, c + 1] * b, x[r + 1][:, c] * (1 - b) + x[r + 1][:, c + 1] * b
    return np.asarray(top * (1 - a * f(0.9)) + bottom * a * f(0.9))


def bfloat16(y: Array) -> Array:
    return oracle.round_array(y.astype(np.float64), oracle.FORMATS["bfloat16"]).astype(f)


def ycrcb(x: Array) -> Array:
    luma = x.astype(f) @ f([0.299, 0.587, 0.114])
    red, blue = (x[..., 0] - luma) * f(0.713) + 128, (x[..., 2] - luma) * f(0.564) + 128
    return np.rint(np.clip(np.stack([luma, red, blue], -1), 0, 255)).astype(np.uint8)


def quantised(x: Array, dtype: str) -> Made:
    low = -128 if dtype == "int8" else 0
    y = np.rint(vggprep.preprocess_input(x, mode="torch") / 0.01866 + 114 + low)
    return Made(np.clip(y, low, low + 255).astype(dtype), {"quantised"})


def mixed(x: Array) -> Made:
    both = [vggprep.preprocess_input(x, mode="caffe"), vggprep.preprocess_input(x, mode="tf")]
    return Made(np.stack(both), {"mixed"}, np.stack([x, x]))


TF = affine("RGB", 0.5, 0.5, "tf")
UNIT = affine("RGB", 0, 1, "unit_range")
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
PIPELINES: dict[str, Callable[[Array], Made]] = {
    "raw uint8": lambda x: Made(x, {"raw"}, x),
    "raw float32": lambda x: Made(x.astype(f), {"raw"}, x),
    "caffe": mode("caffe"),
    "tf": mode("tf"),
    "torch": mode("torch"),
    "torch, folded in float64": lambda x: Made(
        (x * (1 / np.array(TORCH_STD) / 255) - np.array(TORCH_MEAN) / TORCH_STD).astype(f), {"torch"}, x
    ),
    "/255": UNIT,
    "/255 - 0.5, BGR": affine("BGR", 0.5, 1, "half_range"),
    "torch, BGR images": affine("BGR", TORCH_MEAN, TORCH_STD, "torch", "bgr_images"),
    "torch, all BGR": affine("BGR", TORCH_MEAN[::-1], TORCH_STD[::-1], "torch_in_bgr"),
    "CLIP, BGR images": affine(
        "BGR", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "clip_statistics"
    ),
    "Kinetics": affine("RGB", *KINETICS, "kinetics"),
    "Kinetics, float16": lambda x: Made(affine("RGB", *KINETICS)(x).array.astype(np.float16), {"kinetics"}, x),
    "unknown mean and std": unknown((0.5137, 0.4702, 0.4411), (0.2517, 0.2433, 0.2612)),
    "unknown std, one for all": unknown(0.1307, 0.3081),
    "x - 120": lambda x: Made(x.astype(f) - 120, {""}, x, (1 / 255,) * 3),
    "x - 128": affine("RGB", 128, 1, "centred", unit=1),
    "means 131.1, 120.4, 99.7": lambda x: Made(x.astype(f) - f([131.1, 120.4, 99.7]), {""}, x, (1 / 255,) * 3),
    "standardised by channel": lambda x: own(x, x.mean((0, 1)), x.std((0, 1))),
    "standardised by image": lambda x: own(x, x.mean(), x.std()),
    "stretched to 0..1": lambda x: own(x, x.min(), np.ptp(x)),
    "over its maximum": lambda x: own(x, 0, x.max()),
    "resized, torch": lambda x: Made(vggprep.preprocess_input(resized(x), mode="torch"), {"torch"}, resized(x)),
    "resized, caffe": lambda x: Made(vggprep.preprocess_input(resized(x), mode="caffe"), {"caffe"}, resized(x)),
    "averaged over 2 x 2, torch": lambda x: Made(
        vggprep.preprocess_input((x[:-1:2, :-1:2] + f(0) + x[1::2, :-1:2] + x[:-1:2, 1::2] + x[1::2, 1::2]) / 4, mode="torch"),
        {"torch"},
    ),
    "gamma of /255": after(UNIT, lambda y: y ** f(2.2), ""),
    "YCrCb bytes, tf": lambda x: TF(ycrcb(x)),
    "inverted, tf": lambda x: TF(255 - x),
    "wrapped bytes": lambda x: Made(x[..., ::-1] - np.uint8([103, 116, 123]), {"integer_arithmetic"}),
    "quantised int8": lambda x: quantised(x, "int8"),
    "quantised uint8": lambda x: quantised(x, "uint8"),
    "caffe, cut to int16": after(mode("caffe"), lambda y: y.astype(np.int16), "", "integer_arithmetic"),
    "torch, clipped to -1..1": after(mode("torch"), lambda y: np.clip(y, -1, 1)),
    "caffe float16": mode("caffe", "float16"),
    "torch float16": mode("torch", "float16"),
    "/255, bfloat16": lambda x: Made(bfloat16(x / f(255)), {"unit_range"}, x),
    "torch, bfloat16": lambda x: Made(bfloat16(vggprep.preprocess_input(x, mode="torch")), {"torch"}, x),
    "caffe, padded with 0": after(mode("caffe"), lambda y: np.pad(y, ((4, 4), (0, 0), (0, 0)))),
    "torch, a square cut out": after(mode("torch"), lambda y: np.where(np.mgrid[: len(y), : y.shape[1]][..., None].max(0) < 6, f(0), y)),
    "caffe and tf in a batch": mixed,
    "tf twice": lambda x: Made(
        vggprep.preprocess_input(vggprep.preprocess_input(x, mode="tf"), mode="tf"), {"applied_twice"}, x
    ),
    "tf of /255": lambda x: Made(vggprep.preprocess_input(x / f(255), mode="tf"), {"tf_of_unit"}, x),
    "tf, /255": lambda x: Made(TF(x).array / f(255), {"tf_over_255"}, x),
    "torch without 255 of tf": lambda x: Made(
        ((x / f(127.5) - 1 - f(TORCH_MEAN)) / f(TORCH_STD)).astype(f), {"torch_without_255_of_tf"}, x
    ),
    "noise": lambda x: Made(mode("torch")(x).array + np.random.default_rng(1).normal(0, 0.01, x.shape).astype(f), {"torch", ""}),
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


if __name__ == "__main__":
    images = list(pictures())
    if sys.argv[1:]:
        from PIL import Image

        images += [np.asarray(Image.open(name).convert("RGB"))[:96, :128] for name in sys.argv[1:]]
    table, wrong = calibration(images)
    print(f"{len(images)} pictures, {len(PIPELINES)} pipelines, {sum(table.values())} arrays\n")
    outcomes = ("right", "in the list", "nothing said", "wrong")
    print(f"| word | {' | '.join(outcomes)} |\n|---|{'---|' * len(outcomes)}")
    for word in ("certain", "likely", "guess", "pixels"):
        print(f"| {word} | {' | '.join(str(table[word, result]) for result in outcomes)} |")
    print("\n".join(wrong), file=sys.stderr)
