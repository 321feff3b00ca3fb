"""What came out where no mode is meant: of loaders, generators, layers and the models' own preprocessing, in words.

Only what reproduces every value is said, to the precision of the output; of all else, which values came out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.constructors import CONSTRUCTORS, CONVERTERS, UNIT
from vggprep.oracle import as_float64, real
from vggprep.published import PUBLISHED
from vggprep.releases.questions import Question, array
from vggprep.releases.verdicts import CauseKind, channel_axis
from vggprep.spec import MODES, Mode, known
from vggprep.tolerance import compare_faithful

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Said = tuple[str, Float64, float]
"""What may have come out: in words, its values, and how far off they may be."""

_LUMA = (0.299, 0.587, 0.114)
"""Rec. 601, which Pillow and libpng use."""


def recognised(question: Question, x: Array, y: Array, y_dtype: str) -> tuple[str, CauseKind]:
    """What ``y`` is, made of ``x``, and ``known``; or the least and greatest value, if nothing explains it."""
    out = as_float64(y)
    if question.using == "channels_first" and y.ndim == 3:
        out = np.moveaxis(out, 0, -1)
    if question.path == "directory" and out.shape[:1] == (1,):
        out = out[0]
    for words, values, room in (
        _loaded(question, as_float64(x)) if question.file else _computed(question, as_float64(x))
    ):
        if out.shape == values.shape and bool((np.abs(out - values) <= room).all()):
            return words, "known"
    axis = channel_axis(x.ndim, question.effective_format)
    if not question.file and y.shape == x.shape and axis is not None:
        given, came = (as_float64(np.moveaxis(v, axis, -1)) for v in (x, y))
        for name, words in _definitions().items():
            if given.shape[-1] == 3 and compare_faithful(given, came, "forward", name, y_dtype).ok:
                return words, "known"
    if out.size == 0 or not np.isfinite(out).all():
        return "values that are not all finite" if out.size else "values of which there are none", ""
    return f"values from {out.min():.4g} to {out.max():.4g}", ""


def digest(dtype: str, shape: Sequence[int], canonical: bytes) -> str:
    """What the record keeps of a result, whose bytes have all NaNs made one."""
    return hashlib.sha256(f"{dtype}{list(shape)}".encode() + canonical).hexdigest()[:16]


_COMPUTED = ("float32", "float64", "complex64", "complex128", "object")
"""The dtypes in which what Keras computes can be computed again, bit for bit."""


def computed_as(question: Question, dtype: str, shape: Sequence[int], kept: str) -> str:
    """The mode whose steps, computed as Keras does without asking for three channels, give a result kept as a digest.

    Bit for bit, perhaps with reciprocals in place of divisors; an empty string if none does.
    """
    axis = channel_axis(len(question.shape), question.effective_format)
    if axis is None or len(shape) != len(question.shape) or dtype not in _COMPUTED:
        return ""
    x = np.moveaxis(array(question).astype(dtype), axis, -1)
    for name, mode in MODES.items():
        for reciprocals in (False, True) if mode.steps else ():
            with np.errstate(all="ignore"):
                y = np.moveaxis(_steps(x, mode, shape[axis], reciprocals), -1, axis)
            canonical = repr(y.tolist()).encode() if dtype == "object" else y.tobytes()
            if digest(dtype, y.shape, canonical) == kept:
                return name
    return ""


def _steps(x: Array, mode: Mode, channels: int, reciprocals: bool) -> Array:
    """Each step on every channel, or the first three where its constants differ; one channel may become three."""
    y = x[..., ::-1] if mode.order == (2, 1, 0) else x
    y = np.array(np.repeat(y, channels, -1) if y.shape[-1] == 1 else y)
    for step in mode.steps:
        constants = [float(constant) for constant in step.constants]
        for at in range(y.shape[-1]):
            if at < len(constants) or len(set(constants)) == 1:
                constant = constants[min(at, len(constants) - 1)]
                if step.operation == "subtract":
                    y[..., at] -= constant
                elif reciprocals:
                    y[..., at] *= 1 / y.dtype.type(constant) if y.dtype != object else 1 / constant
                else:
                    y[..., at] /= constant
    return y


@cache
def _definitions() -> Mapping[str, str]:
    """The modes that may be recognised, in words: Keras's, those of the models, what others publish."""
    words = {name: f"what mode {name} gives" if mode.steps else "the pixels themselves" for name, mode in MODES.items()}
    own = [mode for family in CONSTRUCTORS.values() for mode in (family.inside, family.imagenet)]
    for mode in (UNIT, *own, *CONVERTERS.values(), *PUBLISHED.values()):
        if known(mode) not in words:
            words[mode.name] = f'what "{mode.summary}" gives'
    return words


def _computed(question: Question, x: Float64) -> Iterator[Said]:
    """What layers, generators and converters make of a batch, beside modes."""
    if question.path == "adapted":
        mean, std = x.mean((0, 1, 2)), x.std((0, 1, 2))
        yield "standardised by the mean and variance of what it was adapted to", (x - mean) / std, 1e-5
    if question.using == "both":
        tf, _ = real(x, "forward", "tf")
        yield "what mode tf gives, then divided by 255", tf / 255, 1e-7
        yield "divided by 255, then what mode tf gives", real(x / 255, "forward", "tf")[0], 1e-6
    if question.using == "larger" and x.ndim == 4:
        for words, resize in _RESIZED.items():
            resized = np.stack([resize(one, (8, 10)) for one in x])
            yield f"resized to {words}", resized, 1e-3
            yield f"resized to {words}, in whole numbers", resized, 0.51


def _loaded(question: Question, x: Float64) -> Iterator[Said]:
    """What a PNG with these samples, of shape (H, W, channels), may be loaded as."""
    samples = {"": x}
    if question.file == "16-bit":
        samples = {"16 bits cut to 255": np.minimum(x * 257, 255), "the upper 8 of 16 bits": x, "all 16 bits": x * 257}
    elif question.file == "1-bit":
        samples = {"": np.where(x > 127, 255.0, 0.0)}
    for depth, plain in samples.items():
        alpha = plain[..., -1:] if plain.shape[-1] in (2, 4) else None
        colours = plain if alpha is None else plain[..., :-1]
        grey = colours.shape[-1] == 1
        three = np.repeat(colours, 3, -1) if grey else colours
        luma = colours if grey else (three * _LUMA).sum(-1, keepdims=True)
        form = "grey" if grey else "colours"
        made = {
            "the pixels themselves": (plain, 0.0),
            f"the {form} without alpha" if alpha is not None else "grey": (colours, 0.0),
            "grey three times" + " without alpha" * (alpha is not None): (three, 0.0),
            f"the {form} with an alpha of 255": (np.concatenate([three, np.full_like(luma, 255)], -1), 0.0),
            "Rec. 601 luma": (luma, 1.0),
        }
        if alpha is not None:
            made["grey three times with its alpha"] = (np.concatenate([three, alpha], -1), 0.0)
        for words, (values, room) in made.items():
            yield ", ".join(filter(None, (words, depth))), values, room
        for size in ((2, 3), (8, 10)) if question.using in ("smaller", "larger") else ():
            for words, resize in _RESIZED.items():
                yield f"resized to {words}", resize(three, size), 1e-3


def _positions(size: int, sides: int) -> Float64:
    """Where the centres of ``size`` pixels lie among ``sides``."""
    found: Float64 = (np.arange(size) + 0.5) * sides / size - 0.5
    return found


def _nearest(x: Float64, size: tuple[int, int]) -> Float64:
    rows, columns = (np.floor(_positions(n, s) + 0.5).astype(int) for n, s in zip(size, x.shape, strict=False))
    found: Float64 = x[rows][:, columns]
    return found


def _bilinear(x: Float64, size: tuple[int, int]) -> Float64:
    for axis, n in enumerate(size):
        at = np.clip(_positions(n, x.shape[axis]), 0, x.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


_RESIZED = {"the nearest pixels": _nearest, "bilinear means of four pixels": _bilinear}
