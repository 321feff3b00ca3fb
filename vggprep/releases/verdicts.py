"""What an output is worth by the definition, and if it is wrong, what was done instead.

The oracle decides whether an output is right, in ``_faithful`` alone. How far off a wrong one is, and what was done
instead, is found by trying suspicions, in the widest dtype that NumPy has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import oracle, reference
from vggprep.spec import DATA_FORMATS, MODES, Mode

Array = npt.NDArray[Any]

UNIT_ROUNDOFF = {
    "bfloat16": 2.0**-8,
    "float16": 2.0**-11,
    "float32": 2.0**-24,
    "float64": 2.0**-53,
    "longdouble": 2.0**-53,
}
"""Unit roundoff by dtype. longdouble has float64's, whose constants it uses."""

FAITHFUL = float(oracle.FAITHFUL_BOUND)
"""How many u·S an honest computation may be off."""


@dataclass(frozen=True)
class Judgement:
    """``right``, ``wrong``, or ``undefined`` where nothing is defined; the error, and what was done instead."""

    verdict: str
    levels: float | None = None
    cause: str = ""


def channel_axis(rank: int, data_format: Any) -> int | None:
    """Where the channels are; None if there is no such axis or format. Extends ranks 3 and 4 to others."""
    if data_format not in (None, *DATA_FORMATS):
        return None
    if data_format != "channels_first":
        return rank - 1 if rank else None
    return {3: 0, 4: 1, 5: 1}.get(rank)


def defined(shape: tuple[int, ...], dtype: str, mode: Any, data_format: Any) -> bool:
    """Whether the definition covers the input: a known mode and format, rank 3 or 4, 3 channels, real numbers."""
    axis = channel_axis(len(shape), data_format)
    return mode in MODES and len(shape) in (3, 4) and axis is not None and shape[axis] == 3 and dtype[:7] != "complex"


def judge(x: Array, y: Array, x_dtype: str, y_dtype: str, mode: Any, data_format: Any) -> Judgement:
    """Judge output ``y`` for input ``x``; ``*_dtype`` say what they were where NumPy has no such dtype (bfloat16)."""
    axis = channel_axis(x.ndim, data_format)
    if not isinstance(mode, str) or mode not in MODES:
        # Nothing says what an unknown mode should do; saying what it was taken for is all that helps.
        taken = [] if axis is None else _right(x, y, x_dtype, y_dtype, [(other, data_format) for other in MODES])
        return Judgement("undefined", cause=f"taken for mode {taken[0][0]}" if taken else "")
    if axis is None and data_format in (None, *DATA_FORMATS):
        return Judgement("undefined")
    if axis is None:
        taken = _right(x, y, x_dtype, y_dtype, [(mode, other) for other in DATA_FORMATS])
        return Judgement("undefined", cause=f"taken for {taken[0][1]}" if taken else "")
    if x.shape[axis] != 3:
        given, came = x.shape[axis], y.shape[axis] if y.ndim == x.ndim else -1
        if given == came:
            return Judgement("undefined", cause=f"{given} channel{'s' * (given != 1)} kept")
        return Judgement("wrong", cause=f"{given} channel{'s' * (given != 1)} in, {came} out")
    if x.shape != y.shape:
        return Judgement("wrong", cause="another shape")
    if x_dtype[:7] == "complex" or y_dtype[:7] == "complex":
        kept = y_dtype[:7] == "complex"
        return Judgement("undefined", cause="complex numbers kept" if kept else "the imaginary part dropped")
    if x.size == 0:
        return Judgement("right", 0.0)
    spec = MODES[mode]
    want = _formula(x, spec, axis)
    _, levels = _error(x, y, want, spec, axis, y_dtype)
    if spec.steps and y_dtype not in UNIT_ROUNDOFF:
        return Judgement("wrong", levels, "all True" if y_dtype == "bool" else "computed in integers")
    if _faithful(x, y, spec, axis, y_dtype) and _wide_enough(x_dtype, y_dtype):
        return Judgement("right", levels)
    return Judgement("wrong", levels, _cause(x, y, spec, axis, x_dtype, y_dtype))


def _faithful(x: Array, y: Array, mode: Mode, axis: int, y_dtype: str) -> bool:
    """Whether the oracle takes an output for right, to the precision of ``y_dtype``."""
    given, got = (np.moveaxis(_at_most_float64(array), axis, -1) for array in (x, y))
    return oracle.compare_faithful(given, got, "forward", mode.name, y_dtype).ok


def _at_most_float64(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype == np.longdouble else values


def _right(x: Array, y: Array, x_dtype: str, y_dtype: str, candidates: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Which of the modes and data formats the output is right for."""
    return [pair for pair in candidates if judge(x, y, x_dtype, y_dtype, *pair).verdict == "right"]


def _wide_enough(x_dtype: str, y_dtype: str) -> bool:
    """A result may be narrower than float32 only where the input is."""
    narrow = UNIT_ROUNDOFF.get(x_dtype, 0)
    return UNIT_ROUNDOFF.get(y_dtype, 0) <= max(narrow, UNIT_ROUNDOFF["float32"])


def _formula(x: Array, mode: Mode, axis: int) -> Array:
    """The definition in the widest dtype that NumPy has, constants as float64 has them."""
    wide = np.dtype(np.longdouble)
    return np.moveaxis(reference.forward(np.moveaxis(x, axis, -1), mode, wide), -1, axis)


def _per_channel(values: Any, rank: int, axis: int) -> Array:
    shape = [1] * rank
    shape[axis] = 3
    return np.asarray(values, np.float64).reshape(shape)


def _constants(mode: Mode, step: int) -> list[float]:
    return [float(constant) for constant in mode.steps[step].constants]


def _error(x: Array, y: Array, want: Array, mode: Mode, axis: int, y_dtype: str) -> tuple[float, float]:
    """The worst error in units of u·S and in grey levels; infinite where NaN or an infinity is lost or made."""
    magnitude, level = _magnitude(x, mode, axis), _grey_level(mode, x.ndim, axis)
    finite = np.isfinite(want)
    got = y.astype(np.longdouble)
    alike = np.where(np.isnan(want), np.isnan(got), got == want)
    if not alike[~finite].all() or not np.isfinite(got[finite]).all():
        return np.inf, np.inf
    if not finite.any():
        return 0.0, 0.0
    with np.errstate(all="ignore"):
        off = np.abs(got - want)[finite]
        u = UNIT_ROUNDOFF.get(y_dtype, 2.0**-53)
        bound = np.broadcast_to(u * magnitude, x.shape)[finite]
        units = np.where(off == 0, 0, off / np.where(bound == 0, np.finfo(np.float64).tiny, bound))
        in_levels = off * np.broadcast_to(level, x.shape)[finite]
    return float(units.max()), float(in_levels.max())


def _magnitude(x: Array, mode: Mode, axis: int) -> Array:
    """S(x): the sum of the magnitudes combined."""
    ordered = np.abs(np.take(x.astype(np.longdouble), list(mode.order), axis))
    if mode.name == "caffe":
        return ordered + _per_channel(_constants(mode, 0), x.ndim, axis)
    if mode.name == "tf":
        return ordered / 127.5 + 1
    if mode.name == "torch":
        mean, std = (_per_channel(_constants(mode, step), x.ndim, axis) for step in (1, 2))
        return (ordered / 255 + mean) / std
    return np.zeros_like(ordered)


def _grey_level(mode: Mode, rank: int, axis: int) -> Array:
    """How many grey levels a difference of 1 in the output is."""
    if mode.name == "torch":
        return 255 * _per_channel(_constants(mode, 2), rank, axis)
    return np.asarray(127.5 if mode.name == "tf" else 1.0)


def _alike(y: Array, suspected: Array, magnitude: Array, u: float) -> bool:
    """Whether an output is a suspected one, to rounding; with room, as another computation has other magnitudes."""
    got = y.astype(np.longdouble)
    finite = np.isfinite(suspected)
    with np.errstate(all="ignore"):
        room = 16 * u * (np.where(np.isfinite(magnitude), magnitude, 0) + 2 * np.abs(suspected))
        close = np.abs(got - suspected) <= room
    same = np.where(np.isnan(suspected), np.isnan(got), got == suspected)
    return bool(np.where(finite, close, same).all())


_AXES = {
    ("channels_last", 3): ("the height", "the width", "the channels"),
    ("channels_last", 4): ("the batch", "the height", "the width", "the channels"),
    ("channels_last", 5): ("the batch", "the depth", "the height", "the width", "the channels"),
    ("channels_first", 3): ("the channels", "the height", "the width"),
    ("channels_first", 4): ("the batch", "the channels", "the height", "the width"),
    ("channels_first", 5): ("the batch", "the channels", "the depth", "the height", "the width"),
}


def _cause(x: Array, y: Array, mode: Mode, axis: int, x_dtype: str, y_dtype: str) -> str:
    """What was done instead, in words: the first suspicion that explains every value."""
    want = _formula(x, mode, axis)
    if _error(x, y, want, mode, axis, y_dtype)[0] <= FAITHFUL:
        return f"{x_dtype} in, {y_dtype} out"
    suspicions = list(_suspicions(x, mode, axis))
    precision = UNIT_ROUNDOFF.get(y_dtype, 2.0**-53)
    for narrow in (y_dtype, "float32", "float16", "bfloat16"):
        u = UNIT_ROUNDOFF.get(narrow, precision)
        if narrow != y_dtype and u <= precision:
            continue
        for words, suspected, magnitude in suspicions:
            if _alike(y, suspected, magnitude, u):
                return words if narrow == y_dtype else f"{words}, only as precise as {narrow}"
    # Right, but for a rounding to something narrower on the way.
    for narrow in ("float32", "float16", "bfloat16"):
        if UNIT_ROUNDOFF[narrow] > UNIT_ROUNDOFF.get(y_dtype, 1):
            units, _ = _error(x, y, want, mode, axis, narrow)
            if units <= FAITHFUL:
                return f"only as precise as {narrow}"
    return "wrong in a way of its own"


Suspicion = tuple[str, Array, Array]
"""What may have been done, in words; what it gives; the magnitudes combined in it."""


def _suspicions(x: Array, mode: Mode, axis: int) -> Iterator[Suspicion]:
    magnitude = _magnitude(x, mode, axis)
    yield "the input unchanged", x.astype(np.longdouble), magnitude
    for other in MODES.values():
        if other is not mode and other.steps:
            yield f"the result of mode {other.name}", _formula(x, other, axis), _magnitude(x, other, axis)
    if mode.name == "tf":
        yield "x / 128 - 1", x.astype(np.longdouble) / 128 - 1, magnitude
    if mode.name in ("caffe", "torch"):
        yield from _stale_means(x, mode, axis)
        yield from ((words, y, magnitude) for words, y in _other_axes(x, mode, axis))
    if mode.name != "caffe":
        yield "the channels swapped", np.flip(_formula(x, mode, axis), axis), np.flip(magnitude, axis)


def _stale_means(x: Array, mode: Mode, axis: int) -> Iterator[Suspicion]:
    """The mean of the mode that was used before."""
    caffe = _per_channel(_constants(MODES["caffe"], 0), x.ndim, axis)
    torch = _per_channel(_constants(MODES["torch"], 1), x.ndim, axis)
    std = _per_channel(_constants(MODES["torch"], 2), x.ndim, axis)
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if mode.name == "caffe":
            flipped = np.flip(wide, axis)
            yield "the mean of mode torch", flipped - torch, np.abs(flipped) + torch
        else:
            yield "the mean of mode caffe", (wide / 255 - caffe) / std, (np.abs(wide) / 255 + caffe) / std


def _other_axes(x: Array, mode: Mode, axis: int) -> Iterator[tuple[str, Array]]:
    """Swap, mean and std, each along any axis that is 3 long."""
    names = _AXES.get(("channels_first" if axis < x.ndim - 1 else "channels_last", x.ndim))
    if names is None:
        return
    threes = [i for i, size in enumerate(x.shape) if size == 3]
    swaps = threes if mode.name == "caffe" else [axis]
    stds = threes if mode.name == "torch" else [axis]
    wide = x.astype(np.longdouble)
    for swap, mean, std in product(swaps, threes, stds):
        wrong = [(word, i) for word, i in (("the swap", swap), ("the mean", mean), ("the std", std)) if i != axis]
        if not wrong:
            continue
        with np.errstate(all="ignore"):
            if mode.name == "caffe":
                y = np.flip(wide, swap) - _per_channel(_constants(mode, 0), x.ndim, mean)
            else:
                y = wide / 255 - _per_channel(_constants(mode, 1), x.ndim, mean)
                y = y / _per_channel(_constants(mode, 2), x.ndim, std)
        yield " and ".join(f"{word} along {names[i]}" for word, i in wrong), y
