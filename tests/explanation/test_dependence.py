"""What an output depends on, measured by calling the function."""

from __future__ import annotations

import numpy as np
import pytest
from support import Array

from vggprep import preprocess_input
from vggprep.cases import Cell, panel
from vggprep.explanation.dependence import dependence
from vggprep.implementations.callables import call
from vggprep.spec import ModeName


def tf(x: Array) -> Array:
    return preprocess_input(np.asarray(x, np.float32), mode="tf")


def blurred(x: Array) -> Array:
    padded = np.pad(x.astype(np.float32), [(0, 0)] * (x.ndim - 3) + [(1, 1), (0, 0), (0, 0)], mode="edge")
    return tf((padded[..., 2:, :, :] + 2 * padded[..., 1:-1, :, :] + padded[..., :-2, :, :]) / 4)


def skewed(x: Array) -> Array:
    flat = np.concatenate([tf(x).reshape(len(x), -1, 3), np.zeros((len(x), x.shape[-3], 3))], axis=1)
    return flat.reshape(len(x), x.shape[-3], -1, 3)[:, :, :-1].astype(np.float32)


def equalised(x: Array) -> Array:
    planes = np.moveaxis(x, -1, 1).reshape(-1, *x.shape[-3:-1])
    ranks = np.stack([np.searchsorted(np.sort(z.ravel()), z, side="right") for z in planes])
    return np.moveaxis(ranks.reshape(-1, 3, *x.shape[-3:-1]), 1, -1).astype(np.float32)


def sorted_by_brightness(x: Array) -> Array:
    return tf(x)[np.argsort(x.reshape(len(x), -1).sum(axis=1), kind="stable")]


def hue(x: Array) -> Array:
    y: Array = np.repeat(x.max(axis=-1, keepdims=True), 3, axis=-1).astype(np.float32) * np.array([1, 0, 1], np.float32)
    return y


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (blurred,
            "on its neighbours, up to 1 row away (2 of 1547 others follow a change of one); "
            "of a change it passes on 0.25; 0.5; 0.25 of the whole; of images of one colour, it computes mode tf"),
        (lambda x: tf(x)[..., [0, *range(x.shape[-2] - 1)], :],
            "each pixel moves 1 pixel to the right; of images of one colour, it computes mode tf"),
        (lambda x: tf(x)[..., 1:-1, 2:-2, :],
            "1 pixel up and 2 pixels to the left; of 36 by 43 pixels, 34 by 39 are returned; "
            "of images of one colour, it computes mode tf"),
        (lambda x: tf(x)[..., ::2, ::2, :], "an image of 36 by 43 pixels becomes one of 18 by 22"),
        (skewed, "pixels go to other places: "),
        (equalised, "within one image, each channel goes by a rising curve"),
        (lambda x: x / np.float32(np.sqrt((x.astype(float) ** 3).sum())), "every pixel depends on the whole image"),
        (lambda x: tf(x)[..., ::2, ::2, :].repeat(2, -3).repeat(2, -2)[..., : x.shape[-3], : x.shape[-2], :],
            "a pixel depends on its neighbours, up to 1 away (3 of 1547 others follow a change of one)"),
        (lambda x: x.astype(np.float32) - x[:1].astype(np.float32),
            "a pixel depends on others, that at [1, 17, 20] on those at [0, 17, 20] and [1, 17, 20]"),
        (lambda x: np.maximum(tf(x), np.roll(tf(x), 1, -2)),
            "up to 1 column away (1 of 1547 others follow a change of one); of images of one colour"),
        (lambda x: tf(x) * np.float32(np.ptp(x) ** 2),
            "what becomes of a pixel depends on the range of values in its batch"),
        (sorted_by_brightness,
            "returns the images of a batch in another order, here [2, 1, 0]; apart from that, it computes mode tf"),
        (lambda x: tf(x) + np.float32(0.1) * (np.arange(x.shape[-2]) % 5)[:, None],
            "it computes R times 0.007843 plus -1..-0.6"),
        (lambda x: tf(x)[[*[-1] * (len(x) - 1), 0]], "each pixel moves to another image of the batch"),
        (lambda x: tf(x) * np.float32(x.shape[-2] > 12), "depends on the size of the image"),
        (hue, "(255, 0, 0) becomes (255, 0, 255); (0, 255, 0) becomes (255, 0, 255)"),
        (lambda x: np.rint(tf(x[..., ::-1]) * 4),
            "pixel and channel (B, G, R) alone, by a rising curve with 9 different values for 256: "
            "0 becomes -4, 64 becomes -2,"),
        (lambda x: np.ones(x.shape, np.float32), "no output depends on the pixels"),
        (lambda x: x[..., :2], "an input of shape (2, 36, 43, 3) becomes an output of shape (2, 36, 43, 2)"),
    ],
)  # fmt: skip
def test_what_is_measured_is_so(function, said: str) -> None:  # type: ignore[no-untyped-def]
    mode: ModeName = "tf"
    image = panel("forward", Cell(mode, "channels_last", "float32", 4)).values()
    found = dependence(lambda x: call(function, x, mode, "channels_last"), image, "forward", mode)
    assert said in found.story
    assert not found.of_calls


def test_chance_and_refusals_are_of_calls() -> None:
    image = panel("forward", Cell("tf", "channels_last", "float32", 4)).values()
    for function in (lambda x: x + np.random.default_rng().normal(size=x.shape), lambda x: 1 / 0):
        assert dependence(lambda x, f=function: call(f, x, "tf", "channels_last"), image, "forward", "tf").of_calls  # type: ignore[misc]
