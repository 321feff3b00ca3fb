"""The law: what is stated of a function reproduces what it does, on images that were not shown, too."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from support import Array

from vggprep import deprocess_input, preprocess_input
from vggprep.cases import Case, Cell, panel, regimes
from vggprep.explanation.candidates import candidates
from vggprep.explanation.measure import GEOMETRIES, Geometry
from vggprep.explanation.search import explain, measured, reproduces
from vggprep.explanation.statements import Seen, Statement
from vggprep.faults import FAULTS
from vggprep.implementations.callables import Outcome, call
from vggprep.spec import MODES, Direction, ModeName

Function = Callable[[Array], Array]


def F(value: object) -> Array:  # noqa: N802
    return np.asarray(value, np.float32)


def after(*steps: Function) -> Function:
    return lambda x: functools.reduce(lambda y, step: step(y), steps, F(x))


def in_mode(mode: ModeName) -> Function:
    return after(functools.partial(preprocess_input, mode=mode))


def undone(mode: ModeName) -> Function:
    return after(functools.partial(deprocess_input, mode=mode, dtype=None))


def times(scale: float, offset: float = 0.0) -> Function:
    return lambda x: x * F(scale) + F(offset)


def plus(offset: float, scale: float) -> Function:
    return lambda x: (x + F(offset)) * F(scale)


def clipped(low: float, high: float) -> Function:
    return lambda x: np.clip(x, F(low), F(high))


def reordered(order: list[int]) -> Function:
    return lambda x: x[..., order]


OWN: dict[str, Function] = {
    "stretched": lambda x: (x - x.min()) / F(max(float(np.ptp(x)), 1e-6)),
    "over its maximum": lambda x: x / x.max(),
    "less its mean": lambda x: x - x.mean(axis=(-3, -2, -1), keepdims=True),
    "standardised": lambda x: (x - x.mean((-3, -2), keepdims=True)) / (x.std((-3, -2), keepdims=True) + F(1e-9)),
    "grey": lambda x: np.repeat((x @ F([0.299, 0.587, 0.114]))[..., None], 3, axis=-1) / F(255),
    "gamma": lambda x: np.sign(x) * (np.abs(x) / F(255)) ** F(2.2),
    "constant": lambda x: np.full(x.shape, F(0.3)),
    "black bytes": lambda x: np.zeros(x.shape, np.uint8),
    "divided by nothing": lambda x: (x - F(255)) / F(0),
}


def in_lines(axis: int, *offsets: float) -> Function:
    """Constants that the first rows or columns get."""

    def function(x: Array) -> Array:
        y = np.moveaxis(F(x).copy(), axis, 0)
        for line, offset in zip(y, offsets, strict=False):
            line += F(offset)
        return np.moveaxis(y, 0, axis)

    return function


CONSTANTS = [(1 / 128, -1), (0.017, -1.9), (2, 3), (1 / 63.75, -2), (-1, 255), (1 / 255, 0.1), (0.5, -100)]
CLIPS: dict[ModeName, tuple[tuple[float, float], ...]] = {
    "caffe": ((0, 1), (-50, 20)),
    "tf": ((0, 1), (-0.7, 0.6)),
    "torch": ((0, 1), (-1, 2)),
}


def behaviours() -> Iterator[tuple[str, ModeName, Direction, Function, str]]:
    """A name, the mode asked for, the direction, the function, and what the statement must say."""
    for scale, offset in CONSTANTS:
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            name = f"{scale:.4g}x{offset:+}{order}"
            yield name, "tf", "forward", after(reordered(order), times(scale, offset)), ""
    for mode, clips in CLIPS.items():
        for geometry in GEOMETRIES:
            if not geometry.words.startswith(
                ("returns channels last", "drops", "adds a fourth", "returns channels first,")
            ):
                words = "upside down" if "upside" in geometry.words else geometry.words
                yield f"{mode} {geometry.words}", mode, "forward", after(in_mode(mode), geometry.redo), words
        for other in MODES:
            if other != mode:
                yield f"{other} for {mode}", mode, "forward", in_mode(other), ""
        for low, high in clips:
            clip = after(in_mode(mode), clipped(low, high))
            yield f"{mode} clipped to {low}..{high}", mode, "forward", clip, "clipped to"
        for scale in (1 / 255, 255, 0.5):
            yield f"{mode} times {scale:.3g}", mode, "forward", after(in_mode(mode), times(scale)), ""
        for words, before in (
            ("of x/255", times(1 / 255)),
            ("of 255 x", times(255)),
            ("of x + 0.5 times 255", plus(0.5, 255)),
            ("of x + 1 times 127.5", plus(1, 127.5)),
        ):
            yield f"{mode} {words}", mode, "forward", after(before, in_mode(mode)), ""
        yield f"the inverse for {mode}", mode, "forward", undone(mode), "inverse"
        for words, step in (
            ("over 255", times(1 / 255)),
            ("over 255, clipped", after(times(1 / 255), clipped(0, 1))),
            ("cut", lambda y: np.clip(y, 0, 255).astype(np.uint8)),
            ("reversed", reordered([2, 1, 0])),
            ("halved", times(0.5, 1)),
        ):
            yield f"inverse of {mode}, {words}", mode, "inverse", after(undone(mode), step), ""
    for name, axis, order in (("rows", -3, [0, 1, 2]), ("columns", -2, [2, 1, 0])):
        lines = after(reordered(order), in_lines(axis, -103.939, -116.779, -123.68))
        yield (
            name,
            "caffe",
            "forward",
            lines,
            f"-103.939, -116.779, -123.68 in {name} 0, 1, 2 of every channel and nothing",
        )
    for words, function in OWN.items():
        yield words, "identity", "forward", after(function), ""
    for mode in CLIPS:
        yield f"black bytes for {mode}", mode, "forward", after(OWN["black bytes"]), "returns 0 whatever the image"


# Nothing that is known or measured does these: nothing may be said.
STRANGE: dict[str, Function] = {
    "sine": lambda x: np.sin(F(x)),
    "blurred": lambda x: (F(x) + np.roll(x, 1, axis=-2)) / F(255),
    "two halves": lambda x: np.where(np.asarray(x) < 100, F(x), F(x) * 2),
    "vignette": lambda x: F(x) * np.linspace(0.5, 1, x.shape[-2], dtype=np.float32)[:, None],
    "noise": lambda x: F(x) + np.random.default_rng(x.size).normal(size=x.shape).astype(np.float32),
    "sorted": lambda x: np.sort(F(x), axis=-2),
    "squared": lambda x: F(x) ** 2,
    "quantised": lambda x: np.rint(F(x) / 16) * 16,
    "thresholded": lambda x: (np.asarray(x) > 127).astype(np.float32),
}

MEAN, STD = F([0.485, 0.456, 0.406]), F([0.229, 0.224, 0.225])


def of_images(function: Function) -> Function:
    return lambda x: np.stack([function(image) for image in x])


def placed(mode: ModeName, place: Callable[[Array, Array], None]) -> Function:
    """The mode, and something else in a place."""

    def function(x: Array) -> Array:
        place(y := preprocess_input(F(x), mode=mode), F(x))
        return y

    return function


def row(at: int | slice) -> Callable[[Array, Array], None]:
    def place(y: Array, x: Array) -> None:
        y[:, at] = x[:, at]

    return place


def bordered(y: Array, x: Array) -> None:
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        y[edge] = 0


def last_image(y: Array, x: Array) -> None:
    y[-1] = x[-1]


def table(levels: Array) -> Function:
    """A table of bytes."""
    return lambda x: levels[np.clip(x, 0, len(levels) - 1).astype(int)]


def skewed(x: Array) -> Array:
    flat = np.concatenate([x.reshape(len(x), -1, 3), np.zeros((len(x), x.shape[1], 3))], axis=1)
    wide = x.shape[2] + 1
    return np.stack([flat[:, r * wide : r * wide + wide - 1] for r in range(x.shape[1])], axis=1).astype(np.float32)


TORCH, TF, CAFFE = in_mode("torch"), in_mode("tf"), in_mode("caffe")
AS_WRITTEN: dict[str, tuple[ModeName, Direction, Function, str | None]] = {
    "folded, in half": ("torch", "forward",
        after(lambda x: x * F(np.float16(1 / 255 / STD)) + F(np.float16(-MEAN / STD))),
        "R/58.41 - 2.11719"),
    "folded, three digits": ("torch", "forward",
        after(lambda x: x * F([0.0171, 0.0175, 0.0174]) - F([2.118, 2.036, 1.804])),
        "R*0.0171 - 2.118, G*0.0175 - 2.036, B*0.0174 - 1.804"),
    "a mean mistyped": ("torch", "forward",
        after(lambda x: (x / 255 - F([0.485, 0.465, 0.406])) / STD),
        "G/57.12 - 2.07589"),
    "a deviation twice": ("torch", "forward", after(lambda x: (x / 255 - MEAN) / STD[[0, 1, 1]]), "B/57.12 - 1.8125"),
    "deviation plus 0.001": ("torch", "forward",
        after(lambda x: (x / 255 - MEAN) / (STD + F(1e-3))),
        "R/58.65 - 2.1087"),
    "GRB": ("torch", "forward",
        after(reordered([1, 0, 2]), lambda x: (x / 255 - MEAN) / STD),
        "G/58.395 - 2.1179, R/57.12"),
    "caffe with deviations": ("caffe", "forward",
        after(CAFFE, lambda y: y / F([57.375, 57.12, 58.395])),
        "B/57.375 - 1.81157"),
    "limited range": ("tf", "forward",
        after(lambda x: np.clip((x - 16) * F(255 / 219), 0, 255), TF),
        "R/109.5 - 1.14612"),
    "a table, one off": ("tf", "forward",
        lambda x: table(F(np.arange(256) / 127.5 - 1))(np.trunc(np.clip(x, 0, 255)) + 1),
        "- 0.992157 of the image with its fractions cut off"),
    "a table of 255": ("tf", "forward",
        table(F(np.linspace(-1, 1, 255))),
        "R/127 - 1, G/127 - 1, B/127 - 1 of the image with its fractions"),
    "a table": ("tf", "forward",
        table(F(np.arange(256) / 127.5 - 1)),
        "of the image clipped to 0..255, with its fractions cut off"),
    "two decimals": ("torch", "forward",
        after(TORCH, lambda y: np.round(y, 2)),
        "mode torch, rounded to multiples of 0.01"),
    "%.3f": ("torch", "forward",
        after(TORCH, lambda y: F(np.round(y.astype(float), 3))),
        "mode torch, rounded to multiples of 0.001"),
    "fake quantised": ("tf", "forward",
        after(TF, lambda y: F(np.clip(np.rint(y * F(127.5)), -128, 127) / 127.5)),
        "rounded to multiples of 0.00784314 and clipped"),
    "fixed point": ("tf", "forward",
        after(TF, lambda y: np.floor(y * 256) / F(256)),
        "mode tf, rounded down to multiples of 0.00390625"),
    "floor division": ("tf", "forward", after(lambda x: x // F(127.5) - 1), "mode tf, rounded down to whole numbers"),
    "int8 of a model": ("torch", "forward",
        after(TORCH, lambda y: np.clip(np.rint(y / F(0.01866) - 14), -128, 127).astype(np.int8)),
        "mode torch divided by 0.01866 minus 14, rounded to whole numbers"),
    "uint8 of a model": ("tf", "forward",
        after(TF, lambda y: np.clip(np.rint(y / F(0.0078125) + 128), 0, 255).astype(np.uint8)),
        "128 times mode tf plus 128, rounded to whole numbers"),
    "cut to int32": ("caffe", "forward",
        after(CAFFE, lambda y: y.astype(np.int32)),
        "mode caffe, cut to whole numbers"),
    "gamma decoded": ("torch", "forward",
        after(lambda x: np.clip(x, 0, 255) / 255, lambda u: (u ** F(2.2) - MEAN) / STD),
        "of (x/255)^2.2 of the image clipped to 0..255"),
    "square root": ("tf", "forward",
        after(lambda x: np.sqrt(np.clip(x, 0, 255) / 255) * 2 - 1),
        "R*2 - 1, G*2 - 1, B*2 - 1 of (x/255)^0.5"),
    "sRGB decoded": ("torch", "forward",
        after(lambda x: np.clip(x, 0, 255) / 255,
        lambda u: (np.where(u <= 0.04045, u / F(12.92), ((u + F(0.055)) / F(1.055)) ** F(2.4)) - MEAN) / STD),
        "decoded from sRGB to linear light"),
    "negative": ("tf", "forward", after(lambda x: 255 - x, TF), "image_subtracted_from_mean"),
    "per image, torch": ("torch", "forward", of_images(lambda x: (x - x.mean()) / max(x.std(), 1e-6)), "standardised"),
    "in half": ("torch", "forward",
        lambda x: F((np.float16(x) / np.float16(255) - np.float16(MEAN)) / np.float16(STD)),
        "half_inside"),
    "last row raw": ("caffe", "forward", placed("caffe", row(-1)), "but its input in the last row"),
    "first row raw": ("tf", "forward", placed("tf", row(0)), "but its input in the first row"),
    "odd rows raw": ("tf", "forward",
        placed("tf", row(np.s_[1::2])),
        "but its input in every second row, from the second"),
    "border of 0": ("tf", "forward", placed("tf", bordered), "but 0 in the border"),
    "last image raw": ("torch", "forward", placed("torch", last_image), "but its input in the last image of a batch"),
    "reshaped to planes": ("caffe", "forward",
        after(CAFFE, lambda y: y.reshape(len(y), 3, *y.shape[1:3])),
        "takes the shape of channels first"),
    "added before the swap": ("caffe", "inverse",
        after(reordered([2, 1, 0]), lambda y: y + F([103.939, 116.779, 123.68])),
        "R + 103.939"),
    "clipped early": ("torch", "inverse",
        after(clipped(0, 1), lambda y: (y * STD + MEAN) * 255),
        "of the image clipped to 0..1"),
    "divided by the deviation": ("torch", "inverse", after(lambda y: (y / STD + MEAN) * 255), "R*1113.54 + 123.675"),
    "times 128, plus 127": ("tf", "inverse",
        after(lambda y: np.clip(np.rint(y * 128 + 127), 0, 255).astype(np.uint8)),
        "128 times its input plus 127, rounded to whole numbers"),
    "rounded constants": ("torch", "inverse",
        after(lambda y: y * F(58.8) + F([123.68, 116.78, 103.94])),
        "R*58.8 + 123.68"),
    "mixed channels": ("tf", "forward",
        after(lambda x: x @ F([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]) + 3),
        "0.5*R + 0.1*G + 0.3*B + 3, 0.2*R + 0.8*G + 0.3*B + 3, 0.3*R + 0.1*G + 0.4*B + 3"),
    "grey, as Pillow": ("identity", "forward",
        lambda x: F(np.repeat((np.clip(x, 0, 255).astype(int) @ [19595, 38470, 7471] + 32768 >> 16)[..., None], 3, -1)),
        "computes 0.299*R + 0.587*G + 0.115*B"),
    "percentiles": ("identity", "forward",
        of_images(lambda x: (x - np.percentile(x, 2)) / max(np.percentile(x, 98) - np.percentile(x, 2), 1e-6)),
        "of the image stretched from its own percentiles 2 and 98 to 0..1"),
    "floored below": ("torch", "forward", after(TORCH, lambda y: np.maximum(y, 0)), "clipped to at least 0"),
    "ranked": ("tf", "forward", of_images(lambda x: F(x.ravel().argsort().argsort().reshape(x.shape)) / x.size), None),
    "HSV's value": ("tf", "forward", after(lambda x: np.repeat(x.max(-1, keepdims=True), 3, -1), TF), None),
    "unit vectors": ("identity", "forward",
        after(lambda x: x / np.maximum(np.sqrt((x * x).sum(-1, keepdims=True)), F(1e-9))),
        "of each pixel divided by its own Euclidean norm"),
    "skewed": ("tf", "forward", after(TF, skewed), None),
    "shifted by a column": ("caffe", "forward", after(CAFFE, lambda y: y[:, :, [0, *range(y.shape[2] - 1)]]), None),
    "a mean image": ("caffe", "forward",
        after(CAFFE, lambda y: y - F(9 * np.sin(np.arange(y.shape[2])))[:, None]),
        None),
    "in half at the end": ("tf", "forward",
        after(TF, lambda y: F(y.astype(np.float16))),
        "rounded to float16"),
    "in bfloat16 at the end": ("tf", "forward",
        after(TF, lambda y: (y.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)),
        "mode tf, cut to the bits of bfloat16"),
    "clipped at 3": ("torch", "forward", after(TORCH, clipped(-3, 3)), "mode torch, clipped to -3..3"),
    "white at most": ("tf", "forward", after(lambda x: np.minimum(x, 255), TF), "mode tf, clipped to at most 1"),
    "absolute": ("tf", "forward", after(np.abs, TF), "of the image's absolute values"),
    "bytes first": ("tf", "forward", after(clipped(0, 255), np.rint, TF), "clipped to 0..255 and rounded to whole"),
    "floored, halved": ("tf", "forward",
        after(lambda x: np.maximum(x / 255 - F(0.5), 0)),
        "0.5, clipped to at least 0"),
    "transposed where square": ("tf", "forward",
        after(TF, lambda y: np.swapaxes(y, 1, 2) if y.shape[1] == y.shape[2] else y),
        "exchanges height and width of images that are square"),
    "lying": ("torch", "forward",
        after(TORCH, lambda y: np.swapaxes(y, 1, 2) if y.shape[1] > y.shape[2] else y),
        "exchanges height and width of images that are higher than wide"),
    "0 of odd height": ("tf", "forward",
        after(TF, lambda y: y * F(y.shape[1] % 2 == 0)),
        "but 0 in images of odd height"),
    "batches in caffe": ("tf", "forward",
        lambda x: CAFFE(x) if len(x) > 1 else TF(x),
        "but mode caffe in batches of more than one image"),
    "rows exchanged": ("torch", "forward",
        after(TORCH, lambda y: y[:, [i ^ (i < y.shape[1] // 2 * 2) for i in range(y.shape[1])]]),
        "exchanges each pair of rows"),
    "planes read": ("torch", "forward",
        after(lambda x: np.moveaxis(x.reshape(len(x), 3, *x.shape[1:3]), 1, -1), TORCH),
        "of an image whose memory is read as planes"),
    "batch statistics": ("torch", "forward",
        after(lambda x: x - x.mean((0, 1, 2))),
        "R, G, B of each channel of the batch less its own mean"),
    "NaN to 0": ("torch", "forward", after(TORCH, np.nan_to_num), "but NaN becomes 0 and infinity becomes 3.40282e+38"),
    "NaN to black": ("caffe", "forward",
        after(lambda x: np.where(np.isnan(x), F(0), x), CAFFE),
        "nan_replaced_by_zero"),
    "NaN to grey": ("torch", "forward",
        after(lambda x: np.where(np.isnan(x), F(127), x), TORCH),
        "computes mode torch, but NaN is taken for 127"),
    "infinity to white": ("tf", "forward",
        after(lambda x: np.where(np.isposinf(x), F(255), x), TF),
        "computes mode tf, but infinity becomes 1"),
    "absolute bytes": ("tf", "inverse",
        after(undone("tf"), np.abs, clipped(0, 255), lambda y: y.astype(np.uint8)),
        "of which it takes the absolute values, clipped to 0..255 and cut"),
    "squeezed": ("torch", "forward", after(TORCH, np.squeeze), "drops every axis of length 1; apart from that, it"),
    "forward twice": ("torch", "inverse", TORCH, "computes mode torch, and not its inverse"),
    "bytes for OpenCV": ("torch", "inverse",
        after(undone("torch"), clipped(0, 255), np.rint, lambda y: y.astype(np.uint8)[..., ::-1]),
        "with the channels in reverse order, clipped to 0..255 and rounded to whole bytes"),
    "rounded up": ("tf", "inverse",
        after(undone("tf"), clipped(0, 255), np.ceil, lambda y: y.astype(np.uint8)),
        "clipped to 0..255 and rounded up to whole bytes"),
    "bytes of 0..1": ("tf", "inverse",
        after(lambda y: (y + 1) / 2, clipped(0, 1), lambda y: y.astype(np.uint8)),
        "so that all but white becomes 0"),
    "wrapped": ("torch", "inverse",
        after(undone("torch"), lambda y: np.rint(y).astype(np.int64).astype(np.uint8)),
        "inverse_not_clipped"),
    "brackets forgotten, in float16": ("torch", "forward",
        lambda x: F(np.float16(x) / np.float16(255)) - F([2.1179, 2.0357, 1.8044]),
        None),
    "over and times": ("torch", "forward",
        after(lambda x: (x - MEAN * 255) / STD * 255),
        "R*1113.54 - 137717, G*1138.39 - 132372, B*1133.33 - 117334, where"),
    "gamma 0.8": ("tf", "forward",
        after(lambda x: np.power(np.clip(x, 0, 255) / 255, F(0.8)) * 2 - 1),
        "R*2 - 1, G*2 - 1, B*2 - 1 of (x/255)^0.8 of the image clipped to 0..255"),
    "gamma 2.4": ("torch", "forward",
        after(lambda x: ((x.clip(0, 255) / 255)[..., ::-1] ** F(2.4) - MEAN) / STD),
        "B/0.229 - 2.1179, G/0.224 - 2.03571, R/0.225 - 1.80444 of (x/255)^2.4"),
    "unbiased": ("identity", "forward",
        of_images(lambda x: F((x.astype(float) - x.mean(dtype=float)) / x.std(ddof=1, dtype=float))),
        "of the image standardised by its own mean and unbiased deviation"),
    "clipped to a tiny range": ("tf", "forward",
        after(lambda x: np.clip(x, 0, 255) * F(2.0**-32)),
        "computes R*2.32831e-10"),
    "int8 that wraps": ("torch", "forward",
        after(TORCH, lambda y: np.rint(y / F(0.01866)).astype(np.int64).astype(np.int8)),
        "mode torch divided by 0.01866, rounded to whole numbers, which wrap around in int8"),
    "signed bytes": ("tf", "forward",
        lambda x: (np.clip(x, 0, 255).astype(np.uint8) ^ 0x80).view(np.int8),
        "returns its input minus 128, rounded down to whole numbers and clipped to -128..127"),
    "signed, clipped": ("tf", "forward",
        after(np.rint, lambda x: np.clip(x - 128, -128, 127).astype(np.int8)),
        "returns its input minus 128, rounded to whole numbers and clipped to -128..127"),
    "flattened": ("tf", "forward",
        after(TF, lambda y: y.reshape(len(y), -1)),
        "returns the values in their order, in another shape; apart from that, it computes mode tf"),
    "stacked": ("tf", "forward", after(TF, lambda y: y.reshape(-1, *y.shape[2:])), "in another shape"),
    "a channel of zeros": ("caffe", "forward",
        after(CAFFE, lambda y: np.concatenate([y, 0 * y[..., :1]], axis=-1)),
        "adds a fourth channel; apart from that, it computes mode caffe"),
    "infinity to NaN": ("tf", "forward",
        lambda x: F(np.polyval([1 / 127.5, -1], x)),
        "computes mode tf, but infinity and minus infinity become NaN"),
    "cut for OpenCV": ("caffe", "inverse",
        after(lambda y: np.clip(y + F([103.939, 116.779, 123.68]), 0, 255).astype(np.uint8)),
        "the inverse of mode caffe, with the channels in reverse order, clipped to 0..255 and cut to whole bytes"),
    "tanh": ("tf", "forward", after(TF, np.tanh), None),
    "log": ("identity", "forward", after(lambda x: np.log1p(np.maximum(x, 0))), None),
}  # fmt: skip
BEHAVIOURS = list(behaviours())
BROKEN = [
    AS_WRITTEN[name][2] for name in ("NaN to 0", "NaN to black", "NaN to grey", "infinity to white", "infinity to NaN")
]


def evidence(function: Function, mode: ModeName, direction: Direction, shown: bool) -> list[Seen]:
    """What a function does in a cell: on the corpus's images, or on others of other sizes."""
    cell = Cell(mode, "channels_last", "float32", 4)
    cases = [
        panel(direction, cell, r)
        for r in regimes(direction, "float32")
        if r != "huge" and (r != "nonfinite" or function in BROKEN)
    ]
    cases += [
        replace(cases[0], shape=shape)
        for shape in ((1, 5, 7, 3), (3, 1, 9, 3), (1, 9, 4, 3), (2, 6, 6, 3), (1, 1, 1, 3))
    ]
    if not shown:
        generator = np.random.default_rng(7)
        cases = []
        for shape, low, high in (((3, 9, 14, 3), 0, 255), ((1, 40, 30, 3), -300, 700), ((2, 5, 5, 3), -40, 90)):
            values = generator.uniform(low, high, shape).astype(np.float32)
            if direction == "inverse":
                values = preprocess_input(values, mode=mode)
            cases.append(Case(direction, mode, "channels_last", "float32", "c", "drawn", shape, values.tobytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [Seen(case, call(lambda x: function(x), case.array(), mode, "channels_last")) for case in cases]


def stated(function: Function, mode: ModeName, direction: Direction) -> Statement | None:
    found = explain(evidence(function, mode, direction, shown=True), direction, mode)
    if found is not None and found.name != "nonfinite":
        assert reproduces(found, evidence(function, mode, direction, shown=False)), found.text
    return found


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mode", "direction", "function", "said"), [b[1:] for b in BEHAVIOURS], ids=[b[0] for b in BEHAVIOURS]
)
def test_a_behaviour_is_stated_and_true(mode: ModeName, direction: Direction, function: Function, said: str) -> None:
    found = stated(function, mode, direction)
    assert found is not None
    assert said in found.text


@pytest.mark.thorough
@pytest.mark.parametrize("name", AS_WRITTEN)
def test_functions_as_people_write_them_are_told_truly_or_not_at_all(name: str) -> None:
    mode, direction, function, said = AS_WRITTEN[name]
    found = stated(function, mode, direction)
    assert (found is None) == (said is None), found
    assert found is None or (said or "") in found.text


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_not_known_is_not_named(name: str) -> None:
    assert stated(STRANGE[name], "tf", "forward") is None


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_said_of_what_is_right(mode: ModeName) -> None:
    assert explain(evidence(in_mode(mode), mode, "forward", shown=True), "forward", mode) is None


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=[geometry.words for geometry in GEOMETRIES])
def test_what_has_not_moved_is_not_said_to_have(geometry: Geometry) -> None:
    for shape in ((2, 4, 6, 3), (2, 6, 4, 3), (2, 4, 4, 3)):
        y = np.arange(np.prod(shape)).reshape(shape)
        back = geometry.undo(y, y.shape)
        if geometry.redo is np.squeeze or back is None or back.shape != y.shape or (back != y).any():
            return
    raise AssertionError(geometry.words)


def test_a_map_that_is_clipped_at_one_end_alone_is_stated_exactly() -> None:
    found = stated(after(times(0.01, -0.7), clipped(0, np.inf)), "tf", "forward")
    assert found is not None
    assert found.text.endswith("clipped to at least 0")
    assert not found.within


def test_no_axis_is_said_to_be_dropped_where_there_was_none() -> None:
    along_height = next(fault for fault in FAULTS if fault.name == "rank_3_means_along_height").make()
    images: list[tuple[str, tuple[int, ...]]] = [("bytes", (3, 3, 3)), ("bytes", (3, 4, 3)), ("dim", (3, 2, 3))]
    cases = [Case("forward", "caffe", "channels_first", "float32", "c", regime, shape) for regime, shape in images]
    shown = [Seen(case, call(along_height, case.array(), "caffe", "channels_first")) for case in cases]
    found = explain(shown, "forward", "caffe", admit=lambda statement: statement.kind != "fault")
    assert found is None or "length 1" not in found.text


def test_what_is_right_but_for_precision_is_no_fault_that_is_right_there_too() -> None:
    """In channels_last, a fault of channels_first is right: it is likely elsewhere, and not told from right here."""
    fault = next(each for each in candidates("forward", "torch") if each.name == "rank_4_means_along_width")
    likely = replace(fault, single=True)
    cases = [panel("forward", Cell("torch", "channels_last", "float64", 4), r) for r in ("bytes", "signed", "limited")]
    seen = [Seen(c, Outcome(preprocess_input(F(c.array()), mode="torch").astype(np.float64))) for c in cases]
    assert reproduces(likely, seen)
    found = explain(seen, "forward", "torch", [likely])
    assert found is not None
    assert found.kind == "rounding"
    assert explain(seen, "forward", "torch", [likely], thorough=False) is None


def test_no_pixels_and_no_numbers_are_no_trouble_to_measures() -> None:
    cell = Cell("torch", "channels_last", "float32", 4)
    cases = [panel("inverse", cell, regime) for regime in regimes("inverse", "float32")]
    cases.append(replace(cases[0], shape=(1, 0, 1, 3)))

    def grid(y: Array) -> Array:
        return F((y - y.min()) / max(float(np.ptp(y)), 1e-5)) if y.size else F(y)

    def whole(y: Array) -> Array:
        return np.where(np.isfinite(y), np.rint(y * 3 + 1), y).astype(np.float32)

    for function in (grid, whole):
        with np.errstate(all="ignore"):
            seen = [Seen(case, call(function, case.array(), "torch", "channels_last")) for case in cases]
        found = explain(seen, "inverse", "torch")
        assert found is None or reproduces(found, seen)


def test_images_that_cannot_tell_support_no_cause() -> None:
    grey = [s for s in evidence(in_mode("caffe"), "tf", "forward", shown=True) if s.case.regime in ("black", "white")]
    assert len(grey) == 2
    assert explain(grey, "forward", "tf") is None
    assert measured(grey, "forward", "tf") is None


@pytest.mark.thorough
@pytest.mark.no_cover
def test_what_is_stated_of_a_fault_is_true_of_it() -> None:
    """Every fault that the corpus shows in float32, in each of its modes."""
    named = 0
    for fault in FAULTS:
        if not fault.stateless:
            continue
        for mode in fault.modes:
            function = fault.preprocess or fault.deprocess
            assert function is not None
            found = stated(lambda x, f=function, m=mode: f(x, "channels_last", m), mode, fault.direction)  # type: ignore[misc]
            named += found is not None and found.name == fault.name
    assert named > 100
