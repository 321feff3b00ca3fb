"""Verdicts on observed outputs, and what was computed instead of the right one.

``compare_faithful`` decides whether an output is right. What was computed instead is found by trying suspicions, to
the precision of the output. Here channels come last and numbers travel as float64, as in ``oracle``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.oracle import FORMATS, as_float64, grey_levels, real
from vggprep.spec import DATA_FORMATS, MODES, ModeName, Step
from vggprep.tolerance import compare_faithful

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
CauseKind = Literal["", "axis", "precision", "known"]


@dataclass(frozen=True)
class Judgement:
    """``right``, ``wrong``, or ``undefined`` where nothing is defined; the error, and what was computed instead.

    ``levels`` is the worst error in grey levels, infinite where NaN or an infinity is lost or made. ``cause_kind`` is
    ``axis`` for swap, mean or std along another axis than the channels', ``precision`` for lost precision. ``known`` is
    that of results where no mode is meant, if what came out is recognised.
    """

    verdict: Literal["right", "wrong", "undefined"]
    levels: float | None = None
    cause: str = ""
    cause_kind: CauseKind = ""


def channel_axis(rank: int, data_format: str | None) -> int | None:
    """Where the channels are; None if there is no such axis or format. Extends ranks 3 and 4 to others."""
    if data_format not in (None, *DATA_FORMATS):
        return None
    if data_format != "channels_first":
        return rank - 1 if rank else None
    return {3: 0, 4: 1, 5: 1}.get(rank)


def free_axes(shape: tuple[int, ...], data_format: str | None) -> dict[str, int]:
    """The lengths of the axes but the channels', by name: height, width, batch and depth; empty for other ranks."""
    axis = channel_axis(len(shape), data_format)
    names = _AXES.get(len(shape), ()) if axis is not None else ()
    return dict(zip(names, (side for i, side in enumerate(shape) if i != axis), strict=bool(names)))


def defined(shape: tuple[int, ...], dtype: str, mode: ModeName | None, data_format: str | None) -> bool:
    """Whether the definition covers the input: a known mode and format, rank 3 or 4, 3 channels, real numbers."""
    axis = channel_axis(len(shape), data_format)
    known = mode is not None and len(shape) in (3, 4) and axis is not None and shape[axis] == 3
    return known and not _is_complex(dtype)


def judge(x: Array, y: Array, x_dtype: str, y_dtype: str, mode: ModeName | None, data_format: str | None) -> Judgement:
    """Judge output ``y`` for input ``x``; ``*_dtype`` say what they were where NumPy has no such dtype (bfloat16)."""
    axis = channel_axis(x.ndim, data_format)
    if mode is None:
        # Nothing says what an unknown mode should do; only what it was taken for can be said.
        modes = MODES if axis is not None else ()
        taken = [f"mode {m}" for m in modes if judge(x, y, x_dtype, y_dtype, m, data_format).verdict == "right"]
        return Judgement("undefined", cause=f"taken for {taken[0]}" if taken else "")
    if axis is None:
        formats = DATA_FORMATS if data_format not in (None, *DATA_FORMATS) else ()
        taken = [str(f) for f in formats if judge(x, y, x_dtype, y_dtype, mode, f).verdict == "right"]
        return Judgement("undefined", cause=f"taken for {taken[0]}" if taken else "")
    if x.shape[axis] != 3:
        given, came = x.shape[axis], y.shape[axis] if y.ndim == x.ndim else -1
        channels = f"{given} channel{'s' * (given != 1)}"
        if given == came:
            return Judgement("undefined", cause=f"{channels} kept")
        return Judgement("wrong", cause=f"{channels} in, {came} out")
    if x.shape != y.shape:
        return Judgement("wrong", cause="another shape")
    if _is_complex(x_dtype) or _is_complex(y_dtype):
        kept = _is_complex(y_dtype)
        return Judgement("undefined", cause="complex numbers kept" if kept else "the imaginary part dropped")
    if x.size == 0:
        return Judgement("right", 0.0)
    x, y = (as_float64(np.moveaxis(values, axis, -1)) for values in (x, y))
    levels = _levels(x, y, mode)
    if MODES[mode].steps and _unit_roundoff(y_dtype) is None:
        return Judgement("wrong", levels, *_integers(x, y, mode, y_dtype))
    if not _faithful(x, y, mode, y_dtype):
        return Judgement("wrong", levels, *_cause(x, y, mode, y_dtype))
    if not _wide_enough(x_dtype, y_dtype):
        return Judgement("wrong", levels, f"{x_dtype} in, {y_dtype} out")
    return Judgement("right", levels)


def _is_complex(dtype: str) -> bool:
    return dtype.startswith("complex")


def _unit_roundoff(dtype: str) -> float | None:
    """``u`` of a floating dtype, else None. longdouble has that of float64, whose constants it uses."""
    form = FORMATS.get("float64" if dtype == "longdouble" else dtype)
    return form.unit_roundoff if form else None


def _faithful(x: Float64, y: Float64, mode: ModeName, y_dtype: str) -> bool:
    return compare_faithful(x, y, "forward", mode, y_dtype).ok


def _wide_enough(x_dtype: str, y_dtype: str) -> bool:
    """A result may be narrower than float32 only where the input is."""
    narrowest = max(_unit_roundoff(x_dtype) or 0.0, FORMATS["float32"].unit_roundoff)
    return (_unit_roundoff(y_dtype) or 0.0) <= narrowest


def _levels(x: Float64, y: Float64, mode: ModeName) -> float:
    """The worst error in grey levels; infinite where NaN or an infinity is lost or made."""
    right, _ = real(x, "forward", mode)
    finite = np.isfinite(right)
    alike = np.where(np.isnan(right), np.isnan(y), right == y)
    if not alike[~finite].all() or not np.isfinite(y[finite]).all():
        return np.inf
    with np.errstate(all="ignore"):
        off = np.abs(y - right) * grey_levels(mode)
    return float(off[finite].max(initial=0.0))


def _integers(x: Float64, y: Float64, mode: ModeName, y_dtype: str) -> tuple[str, CauseKind]:
    """What an integer result is: the truncated means of mode caffe are seen to lie along another axis, or not."""
    if y_dtype == "bool":
        return ("all True" if y.all() else "a bool result"), ""
    for axis in range(x.ndim - 1):
        with np.errstate(all="ignore"):
            along = _along(x, "caffe", mean=axis, truncated=True) if x.shape[axis] == 3 else None
            if along is not None and np.array_equal(y, as_float64(along.astype(np.int64).astype(y_dtype))):
                return f"computed in integers, the mean along the {_AXES[x.ndim][axis]}", "axis"
    return "computed in integers", ""


# ---- causes ----------------------------------------------------------------------------------------------------------


class Suspicion(NamedTuple):
    """What may have been computed, in words; what it gives, and the magnitudes combined in it (``S``)."""

    words: str
    values: Float64
    magnitude: Float64
    kind: CauseKind = ""


_AXES = {3: ("height", "width"), 4: ("batch", "height", "width"), 5: ("batch", "depth", "height", "width")}
"""The axes but the channels', by rank."""


def _cause(x: Float64, y: Float64, mode: ModeName, y_dtype: str) -> tuple[str, CauseKind]:
    """What was computed instead, in words, and its kind: the first suspicion that explains every value."""
    suspicions = list(_suspicions(x, mode))
    precision = _unit_roundoff(y_dtype) or FORMATS["float64"].unit_roundoff
    narrower = [dtype for dtype in ("float32", "float16", "bfloat16") if FORMATS[dtype].unit_roundoff > precision]
    for dtype in (y_dtype, *narrower):
        u = _unit_roundoff(dtype) or precision
        found = [suspicion for suspicion in suspicions if _alike(y, suspicion, u)]
        if found and dtype == y_dtype:
            return found[0].words, found[0].kind
        if len(found) == 1:
            return f"{found[0].words}, only as precise as {dtype}", found[0].kind or "precision"
        if found:  # the lost precision hides which it was
            break
        # Right, but for a rounding to something narrower on the way.
        if dtype != y_dtype and _faithful(x, y, mode, dtype):
            return f"only as precise as {dtype}", "precision"
    return "wrong values for no known reason", ""


def _alike(y: Float64, suspicion: Suspicion, u: float) -> bool:
    """Whether an output is a suspected one, to rounding; with room, as another computation has other magnitudes."""
    _, suspected, magnitude, _ = suspicion
    with np.errstate(all="ignore"):
        room = 16 * u * (np.where(np.isfinite(magnitude), magnitude, 0) + 2 * np.abs(suspected))
        close = np.abs(y - suspected) <= room
    same = np.where(np.isnan(suspected), np.isnan(y), y == suspected)
    return bool(np.where(np.isfinite(suspected), close, same).all())


def _suspicions(x: Float64, mode: ModeName) -> Iterator[Suspicion]:
    right, magnitude = real(x, "forward", mode)
    yield Suspicion("the input unchanged", x, magnitude)
    for other in MODES:
        if other != mode and MODES[other].steps:
            yield Suspicion(f"the result of mode {other}", *real(x, "forward", other))
    if mode == "tf":
        for divisor in (127, 128):
            yield Suspicion(f"x / {divisor} - 1", x / divisor - 1, magnitude)
        yield Suspicion("x - 1, nothing divided", x - 1, np.abs(x) + 1)
    if mode in ("caffe", "torch"):
        stale: ModeName = "torch" if mode == "caffe" else "caffe"
        values = _along(x, mode, means=stale)
        yield Suspicion(f"the mean of mode {stale}", values, magnitude + np.abs(values))
        yield from _other_axes(x, mode)
    if mode == "torch":
        yield Suspicion("not divided by 255", *real(x * 255, "forward", mode))
        for suspicion in _other_axes(x, "caffe"):
            yield suspicion._replace(words=f"the result of mode caffe with {suspicion.words}")
    if mode != "caffe":
        yield Suspicion("the channels swapped", np.flip(right, -1), np.flip(magnitude, -1))


def _other_axes(x: Float64, mode: ModeName) -> Iterator[Suspicion]:
    """Swap, mean and std, each along any axis that is 3 long."""
    _, magnitude = real(x, "forward", mode)
    names = (*_AXES.get(x.ndim, ()), "channels")
    threes = [x.ndim - 1, *(axis for axis in range(len(names) - 1) if x.shape[axis] == 3)]
    swaps, stds = (threes if mode == wanted else threes[:1] for wanted in ("caffe", "torch"))
    for axes in product(swaps, threes, stds):
        found = zip(("swap", "mean", "std"), axes, strict=True)
        wrong = [f"the {what} along the {names[axis]}" for what, axis in found if axis != x.ndim - 1]
        if wrong:
            yield Suspicion(" and ".join(wrong), _along(x, mode, *axes), magnitude, "axis")


def _along(
    x: Float64,
    mode: ModeName,
    swap: int = -1,
    mean: int = -1,
    std: int = -1,
    means: ModeName | None = None,
    truncated: bool = False,
) -> Float64:
    """Mode caffe or torch with swap, mean and std along these axes, and the means of the mode ``means``, perhaps cut
    to whole numbers.
    """
    y = np.flip(x, swap) if mode == "caffe" else x
    with np.errstate(all="ignore"):
        for step, axis in zip(MODES[mode].steps, (mean,) if mode == "caffe" else (-1, mean, std), strict=True):
            if step.operation == "divide":
                y = y / _shaped(step, x.ndim, axis)
            else:
                subtracted = _shaped(_SUBTRACTIONS[means or mode], x.ndim, axis)
                y = y - (np.trunc(subtracted) if truncated else subtracted)
    return y


_SUBTRACTIONS = {name: step for name, mode in MODES.items() for step in mode.steps if step.operation == "subtract"}


def _shaped(step: Step, rank: int, axis: int) -> Float64:
    """The constants of a step along an axis."""
    shape = [1] * rank
    shape[axis] = 3
    return np.array([float(constant) for constant in step.constants]).reshape(shape)
