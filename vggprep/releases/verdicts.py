"""Verdicts on observed outputs, and what was computed instead of the right one.

``compare_faithful`` decides whether an output is right. What was computed instead is found by trying suspicions, to
the precision of the output. Here channels come last and numbers travel as float64, as in ``oracle``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import permutations, product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vggprep.oracle import FORMATS, Arithmetic, as_float64, grey_levels, real, round_array
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
    if not compare_faithful(x, y, "forward", mode, y_dtype).ok:
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
    """What an integer result is: a mode's steps carried out in integers, or right values without their fractions."""
    if y_dtype == "bool":
        return ("all True" if y.all() else "a bool result"), ""
    with np.errstate(all="ignore"):
        for words, values, kind in _whole(x, mode):
            if np.isfinite(values).all() and np.array_equal(y, as_float64(values.astype(np.int64).astype(y_dtype))):
                return words, kind
    return "integers for no known reason", ""


def _whole(x: Float64, mode: ModeName) -> Iterator[tuple[str, Float64, CauseKind]]:
    """What whole numbers may be, in words; their values and kind."""
    right, _ = real(x, "forward", mode)
    for name in dict.fromkeys((mode, "caffe")):
        steps = [(operation, np.trunc(constant)) for operation, constant in _steps_of(name, x.ndim)]
        words = "computed in integers" if name == mode else f"the result of mode {name}, computed in integers"
        yield words, _through(_start(x, name), steps, np.floor)[0], ""
    for axis in range(x.ndim - 1):
        if x.shape[axis] == 3:
            steps = [(operation, np.trunc(constant)) for operation, constant in _steps_of("caffe", x.ndim, axis)]
            words = f"computed in integers, the mean along the {_AXES[x.ndim][axis]}"
            yield words, _through(_start(x, "caffe"), steps)[0], "axis"
    yield "the input unchanged", x, ""
    yield "cut to whole numbers", np.trunc(right), ""
    yield "rounded to whole numbers", np.rint(right), ""


# ---- causes ----------------------------------------------------------------------------------------------------------

Operation = tuple[Arithmetic, Float64]
Operations = Sequence[Operation]
"""Steps: what is done, and with which constants, shaped as the axis wants along which they lie."""

_OPERATORS: Mapping[Arithmetic, Callable[[Float64, Float64], Float64]] = {
    "divide": np.divide, "multiply": np.multiply, "subtract": np.subtract, "add": np.add,
}  # fmt: skip
_OPPOSITE: Mapping[Arithmetic, Arithmetic] = {
    "divide": "multiply", "multiply": "divide", "subtract": "add", "add": "subtract"
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What may have been computed, in words: steps from a start on."""

    words: str
    start: Float64
    steps: Operations
    kind: CauseKind = ""

    @cached_property
    def through(self) -> tuple[Float64, Float64]:
        """The values after all steps, and how far off rounding takes them at most, in unit roundoffs."""
        return _through(self.start, self.steps)


_AXES = {3: ("height", "width"), 4: ("batch", "height", "width"), 5: ("batch", "depth", "height", "width")}
"""The axes but the channels', by rank."""


def _cause(x: Float64, y: Float64, mode: ModeName, y_dtype: str) -> tuple[str, CauseKind]:
    """What was computed instead, in words, and its kind: what alone explains every value, to the output's precision.

    ``only as precise as`` a narrower dtype is what constants, steps or results explain that are rounded to it.
    """
    right, *suspicions = _suspected(x.tobytes(), x.shape, mode)
    u = _unit_roundoff(y_dtype) or FORMATS["float64"].unit_roundoff
    found = [suspicion for suspicion in suspicions if _alike(y, *suspicion.through, u)]
    if found:
        return (found[0].words, found[0].kind) if _one(found) else (_UNKNOWN, "")
    for dtype in ("float32", "float16", "bfloat16"):
        if FORMATS[dtype].unit_roundoff <= u:
            continue
        found = [suspicion for suspicion in (right, *suspicions) if _narrowed(y, suspicion, u, dtype)]
        if found and _one(found):
            words = ", ".join(filter(None, (found[0].words, f"only as precise as {dtype}")))
            return words, found[0].kind or "precision"
        if found:  # the lost precision hides which it was
            return _UNKNOWN, ""
    return _measured(x, y, u) or _UNKNOWN, ""


_UNKNOWN = "wrong values for no known reason"


def _one(found: Sequence[Suspicion]) -> bool:
    """Whether suspicions are of the same values, differently come by."""
    first, *others = (suspicion.through[0] for suspicion in found)
    return all(np.allclose(first, other, rtol=1e-12, atol=1e-12, equal_nan=True) for other in others)


def _through(
    start: Float64, steps: Operations, each: Callable[[Float64], Float64] | None = None
) -> tuple[Float64, Float64]:
    """The values after all steps, and how far off rounding takes them at most, in unit roundoffs.

    A constant and a result are rounded in every step, the start once. ``each``: what is done to every result.
    """
    values, off = start, np.abs(start)
    with np.errstate(all="ignore"):
        for operation, constant in steps:
            values = _OPERATORS[operation](values, constant)
            values = values if each is None else each(values)
            if operation in ("add", "subtract"):
                off = off + np.abs(constant) + np.abs(values)
            else:
                off = np.abs(_OPERATORS[operation](off, constant)) + 2 * np.abs(values)
    return values, off


def _alike(y: Float64, values: Float64, off: Float64, u: float) -> bool:
    """Whether an output is what is suspected, to rounding."""
    # The values that are suspected are rounded themselves, to float64.
    room = (u + FORMATS["float64"].unit_roundoff) * off
    with np.errstate(all="ignore"):
        alike = np.where(
            np.isfinite(values), np.abs(y - values) <= room, (y == values) | (np.isnan(y) & np.isnan(values))
        )
    return bool(alike.all())


def _narrowed(y: Float64, suspicion: Suspicion, u: float, dtype: str) -> bool:
    """Whether an output is what is suspected, with the constants, every step or the result rounded to ``dtype``."""
    rounded = partial(round_array, fmt=FORMATS[dtype])
    start, steps, (values, off) = suspicion.start, suspicion.steps, suspicion.through
    if not _alike(y, values, off, 4 * FORMATS[dtype].unit_roundoff):  # far off: no need to try
        return False
    coarse = list(_rounded_constants(steps, rounded))
    if any(_alike(y, *_through(one, each), u) for one in (start, rounded(start)) for each in coarse):
        return True
    if any(np.array_equal(y, _through(rounded(start), each, rounded)[0], equal_nan=True) for each in coarse):
        return True
    with np.errstate(all="ignore"):
        low, high = rounded(values - u * off), rounded(values + u * off)
        nearest = (low <= y) & (y <= high)
        # Or cut off, as bits are: towards zero.
        last = np.maximum(np.frexp(y)[1] - 1, FORMATS[dtype].emin) - FORMATS[dtype].precision + 1
        beyond = np.abs(values) - np.abs(y)
        cut = (beyond >= -u * off) & (beyond < np.ldexp(1.0, last))
        finite, same = np.isfinite(values), (y == values) | (np.isnan(y) & np.isnan(values))
        on_grid = np.where(finite, rounded(y) == y, same).all()
    return bool(on_grid and any(inside[finite].all() for inside in (nearest, cut)))


def _rounded_constants(steps: Operations, rounded: Callable[[Float64], Float64]) -> Iterator[Operations]:
    """Steps with constants that are rounded: the summands; all; reciprocals; scale and offset; mean and variance."""
    sums = ("add", "subtract")
    yield [(operation, rounded(constant) if operation in sums else constant) for operation, constant in steps]
    yield [(operation, rounded(constant)) for operation, constant in steps]
    yield [
        ("multiply", rounded(1 / constant)) if operation == "divide" else (operation, rounded(constant))
        for operation, constant in steps
    ]
    offset, _ = _through(np.zeros(1), steps)
    scale, _ = _through(np.ones(1), [(operation, c) for operation, c in steps if operation not in sums])
    yield [("multiply", rounded(scale)), ("add", rounded(offset))]
    deviation = np.sqrt(rounded(1 / scale**2))
    for divisor in (deviation, rounded(deviation)):
        yield [("add", rounded(offset / scale)), ("divide", divisor)]


def _measured(x: Float64, y: Float64, u: float) -> str:
    """The map of each channel that gives every value, in words; empty where there is none, or too few pixels."""
    from vggprep.explanation import affine

    pixels, values = x.reshape(-1, 3), y.reshape(-1, 3)
    usual = np.isfinite(pixels).all(-1)
    fitted = affine.fit(pixels[usual], values[usual], u) if usual.sum() > 2 else None
    if fitted is None:
        return ""
    slack = 4 * u * float(np.abs(values[usual]).max())
    channels = affine.readable(fitted[0], slack / 255, slack)
    steps: Operations = [
        ("multiply", np.array([channel.scale for channel in channels])),
        ("add", np.array([channel.offset for channel in channels])),
    ]
    order = [channel.source for channel in channels]
    return f"computes {', '.join(map(str, channels))}" if _alike(y, *_through(x[..., order], steps), 2 * u) else ""


def _start(x: Float64, mode: ModeName) -> Float64:
    """The input with its channels as a mode has them."""
    return np.flip(x, -1) if mode == "caffe" else x


def _steps_of(mode: ModeName, rank: int, mean: int = -1, std: int = -1) -> Operations:
    """The steps of a mode; mode caffe's or torch's with the mean and std along these axes."""
    axes = (mean,) if mode == "caffe" else (-1, mean, std)
    steps = MODES[mode].steps
    return [(step.operation, _shaped(step, rank, axis)) for step, axis in zip(steps, axes, strict=False)]


@lru_cache(maxsize=64)
def _suspected(pixels: bytes, shape: tuple[int, ...], mode: ModeName) -> Sequence[Suspicion]:
    """What is right, then all that is suspected instead; many rows of an observation have the same pixels."""
    x = np.frombuffer(pixels).reshape(shape)
    return Suspicion("", _start(x, mode), _steps_of(mode, x.ndim)), *_suspicions(x, mode)


def _suspicions(x: Float64, mode: ModeName) -> Iterator[Suspicion]:
    one = np.ones(1)
    yield Suspicion("the input unchanged", x, ())
    for other in MODES:
        if other != mode and MODES[other].steps:
            yield Suspicion(f"the result of mode {other}", _start(x, other), _steps_of(other, x.ndim))
    if mode == "tf":
        for divisor in (127, 128):
            yield Suspicion(f"x / {divisor} - 1", x, (("divide", divisor * one), ("subtract", one)))
        yield Suspicion("x - 1, nothing divided", x, (("subtract", one),))
    if mode in ("caffe", "torch"):
        stale: ModeName = "torch" if mode == "caffe" else "caffe"
        means: Operation = ("subtract", _shaped(_SUBTRACTIONS[stale], x.ndim, -1))
        steps = [means if step[0] == "subtract" else step for step in _steps_of(mode, x.ndim)]
        yield Suspicion(f"the mean of mode {stale}", _start(x, mode), steps)
        yield from _other_axes(x, mode)
    if mode == "torch":
        yield Suspicion("not divided by 255", x, _steps_of(mode, x.ndim)[1:])
        for suspicion in _other_axes(x, "caffe"):
            yield replace(suspicion, words=f"the result of mode caffe with {suspicion.words}")
    if mode == "caffe":
        yield Suspicion("the channels left in RGB order", x, _steps_of(mode, x.ndim))
    steps = [(operation, np.flip(constant, -1)) for operation, constant in _steps_of(mode, x.ndim)]
    yield Suspicion("the channels swapped", np.flip(_start(x, mode), -1), steps)
    yield from _other_orders(x, mode)


_NAMES: Mapping[ModeName, tuple[str, ...]] = {"caffe": ("mean",), "tf": ("127.5", "1"), "torch": ("255", "mean", "std")}
_SIGNS: Mapping[Arithmetic, str] = {"divide": "/", "multiply": "*", "subtract": "-", "add": "+"}


def _other_orders(x: Float64, mode: ModeName) -> Iterator[Suspicion]:
    """The steps of a mode in another order, some left out, some the other way round; the most of them first."""
    steps = list(zip(_NAMES.get(mode, ()), _steps_of(mode, x.ndim), strict=True))
    for count in range(len(steps), 0, -1):
        for chosen in permutations(steps, count):
            for turned in product((False, True), repeat=count):
                words, made = "x", list[Operation]()
                for (name, (operation, constant)), turn in zip(chosen, turned, strict=True):
                    sign = _OPPOSITE[operation] if turn else operation
                    bracket = sign in ("divide", "multiply") and made and made[-1][0] in ("add", "subtract")
                    words = f"{f'({words})' if bracket else words} {_SIGNS[sign]} {name}"
                    made.append((sign, constant))
                if any(turned) or list(chosen) != steps:
                    yield Suspicion(words, _start(x, mode), made)


def _other_axes(x: Float64, mode: ModeName) -> Iterator[Suspicion]:
    """Swap, mean and std, each along any axis that is 3 long."""
    names = (*_AXES.get(x.ndim, ()), "channels")
    threes = [x.ndim - 1, *(axis for axis in range(len(names) - 1) if x.shape[axis] == 3)]
    swaps, stds = (threes if mode == wanted else threes[:1] for wanted in ("caffe", "torch"))
    for swap, mean, std in product(swaps, threes, stds):
        found = zip(("swap", "mean", "std"), (swap, mean, std), strict=True)
        wrong = [f"the {what} along the {names[axis]}" for what, axis in found if axis != x.ndim - 1]
        if wrong:
            start = np.flip(x, swap) if mode == "caffe" else x
            yield Suspicion(" and ".join(wrong), start, _steps_of(mode, x.ndim, mean, std), "axis")


_SUBTRACTIONS = {name: step for name, mode in MODES.items() for step in mode.steps if step.operation == "subtract"}


def _shaped(step: Step, rank: int, axis: int) -> Float64:
    """The constants of a step along an axis."""
    shape = [1] * rank
    shape[axis] = 3
    return np.array([float(constant) for constant in step.constants]).reshape(shape)
