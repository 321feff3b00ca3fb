"""What a function may be: a mode, a fault of the gallery, an inverse, other people's constants, two steps in a row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from vggprep import oracle
from vggprep.cases import Case, dtype_of, to_format
from vggprep.configurations.affine import lines
from vggprep.explanation import affine
from vggprep.explanation.statements import (
    ROUNDINGS,
    Array,
    Float64,
    Kind,
    Seen,
    Statement,
    kept_of_small,
    said_end,
    same,
    unit_roundoff,
    values_of,
)
from vggprep.faults import FAULTS, Fault, in_mode
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, DataFormat, Direction, ModeName

Function = Callable[..., Array]


@functools.cache
def candidates(direction: Direction, mode: ModeName) -> tuple[Statement, ...]:
    """Everything that a function asked for a mode may be, the plainest first."""
    return (
        *_modes(direction, mode),
        *(_fault(fault, mode) for fault in _faults(mode) if fault.direction == direction),
        *(published_modes() if direction == "forward" else ()),
        *_families(direction),
        *_steps(direction, mode),
        *(_not_undone(each, direction) for each in _modes(_OPPOSITE[direction], mode)),
    )


_OPPOSITE: dict[Direction, Direction] = {"forward": "inverse", "inverse": "forward"}


def _not_undone(statement: Statement, direction: Direction) -> Statement:
    """A mode, where an inverse is asked for: it is no inverse of its own."""
    if direction == "forward" or statement.kind != "rounding":
        return statement
    return replace(statement, kind="mode", text=f"{statement.text}, and not its inverse")


def _faults(mode: ModeName) -> Iterator[Fault]:
    """The gallery's that show in a mode of Keras's; of others, mutations that are no other mode, which has a name."""
    named = {lines(each) for each in (*MODES.values(), *PUBLISHED.values())}
    for fault in in_mode(mode) if mode not in MODES else FAULTS:
        if fault.stateless and mode in fault.modes and (mode in MODES or lines(fault.rows[mode]) not in named):
            yield fault


@functools.cache
def published_modes() -> tuple[Statement, ...]:
    """That a function computes a published mode, but for those that ``published_maps`` leaves out."""
    modes = (PUBLISHED[known.name] for known in affine.published_maps())
    return tuple(
        _statement("mode", m.name, f"computes the published mode {m.name}: {m.summary}", preprocess_input, m.name)
        for m in modes
    )


def _modes(direction: Direction, asked: ModeName) -> Iterator[Statement]:
    for name in dict.fromkeys((*MODES, asked)):
        if direction == "forward":
            kind: Kind = "rounding" if name == asked else "mode"
            yield _statement(kind, f"mode {name}", f"computes mode {name}", preprocess_input, name)
            continue
        for words, dtype in (("", None), (", rounded and clipped to bytes", "uint8")):
            undo = functools.partial(_undo, dtype=dtype)
            yield _statement("inverse", f"inverse of {name}", f"computes the inverse of mode {name}{words}", undo, name)


def _undo(y: Array, data_format: DataFormat, mode: ModeName, dtype: str | None) -> Array:
    return deprocess_input(y, data_format, mode, dtype=dtype)


def _fault(fault: Fault, mode: ModeName) -> Statement:
    origin = f" [{fault.origin}]" if fault.origin else ""
    function = fault.preprocess or fault.deprocess
    assert function is not None
    text = f"behaves like {fault.name}: {fault.story}{origin}"
    return _statement("fault", fault.name, text, function, mode, fault)


def _statement(
    kind: Kind, name: str, text: str, function: Function, mode: ModeName, fault: Fault | None = None
) -> Statement:
    return Statement(kind, name, text, functools.partial(_predict, function, mode), fault, mode)


def _predict(function: Function, mode: ModeName, seen: Seen) -> Array | None:
    output = seen.outcome.output
    given = dtype_of(seen.case.dtype)
    dtypes: list[np.dtype[Any] | None] = [None]
    if output is not None and _is_narrower(given, output.dtype):
        dtypes = [output.dtype]  # it computes with more bits than it was given; so must the candidate
    elif output is not None and seen.case.regime == "huge" and _is_narrower(output.dtype, given):
        dtypes += [output.dtype]  # in which it computes decides what overflows
    found: list[Array] = []
    for dtype in dtypes:
        predicted = _returned(function, mode, dtype, seen.case)
        if predicted is None:
            return None
        found.append(predicted)
    return next((z for z in found[:-1] if output is not None and same(output, z)), found[-1])


@kept_of_small
def _returned(function: Function, mode: ModeName, dtype: np.dtype[Any] | None, case: Case) -> Array | None:
    try:
        with np.errstate(all="ignore"):
            return function(case.array() if dtype is None else case.array().astype(dtype), case.data_format, mode)
    except Exception:  # whatever it does on purpose
        return None


@functools.cache
def _is_narrower(dtype: np.dtype[Any], other: np.dtype[Any]) -> bool:
    known = [oracle.FORMATS[name].precision for name in (dtype.name, other.name) if name in oracle.FORMATS]
    return len(known) == 2 and known[0] < known[1]


# Constants of other people, and two steps in a row -----------------------------------------------------------------


def on_values(kind: Kind, name: str, text: str, compute: Callable[[Float64], Array], size: float = 0.0) -> Statement:
    """A statement about values, channels last, in float64."""

    def predict(seen: Seen) -> Array | None:
        if not seen.x.size:
            return seen.outcome.output  # no pixels support no cause, and contradict none
        with np.errstate(all="ignore"):
            return to_format(_computed(compute, seen.case.of_values), seen.case.data_format)

    return Statement(kind, name, text, predict, size=size)


@kept_of_small
def _computed(compute: Callable[[Float64], Array], case: Case) -> Array:
    return compute(values_of(case))


def _families(direction: Direction) -> Iterator[Statement]:
    if direction == "forward":
        for family in affine.FAMILIES:
            text = f"computes {family.story}"
            yield on_values("family", family.name, text, functools.partial(affine.apply, family.channels))


class _Step(NamedTuple):
    """Something done before or after a mode."""

    name: str
    words: str
    compute: Callable[[Float64], Any]
    clips: bool = False
    cuts: bool = False


def _bytes(first: Callable[[Float64], Float64], cut: Callable[[Float64], Float64]) -> Callable[[Float64], Array]:
    return lambda y: cut(np.clip(first(y), 0, 255)).astype(np.uint8)


_BEFORE = (
    _Step("unit", "of an image that is divided by 255 first", lambda x: x / 255),
    _Step(
        "times_255", "of an image that is multiplied by 255 first, as if its values ran from 0 to 1", lambda x: x * 255
    ),
    _Step("half_range", "of (x + 0.5) * 255, as if the image's values ran from -0.5 to 0.5", lambda x: (x + 0.5) * 255),
    _Step("signed_range", "of (x + 1) * 127.5, as if the image's values ran from -1 to 1", lambda x: (x + 1) * 127.5),
)
_AFTER = (
    _Step("over_255", "divided by 255 afterwards", lambda y: y / 255),
    _Step("times_255", "multiplied by 255 afterwards", lambda y: y * 255),
    _Step("reversed", "with the channels in reverse order", lambda y: y[..., ::-1]),
    _Step("to_unit", "clipped to 0..1", lambda y: np.clip(y, 0, 1), clips=True),
    _Step("to_signed", "clipped to -1..1", lambda y: np.clip(y, -1, 1), clips=True),
    *(
        _Step(f"{name}{to}_bytes", f"{words}clipped to 0..255 and {cuts} to whole bytes", _bytes(first, cut), cuts=True)
        for name, words, first in (
            ("", "", np.asarray),
            ("reversed_", "with the channels in reverse order, ", lambda y: y[..., ::-1]),
            ("absolute_", "of which it takes the absolute values, ", np.abs),
        )
        for to, cuts, cut in (
            ("to", "cut", np.trunc),
            ("to_rounded", "rounded", np.rint),
            ("to_raised", "rounded up", np.ceil),
        )
    ),
    _Step(
        "over_255_to_bytes",
        "divided by 255, clipped to 0..1 and cut to whole bytes, so that all but white becomes 0",
        lambda y: np.clip(y / 255, 0, 1).astype(np.uint8),
        cuts=True,
    ),
    _Step("absolute", "of which it takes the absolute values", np.abs),
    _Step("in_half", "rounded to float16", lambda y: y.astype(np.float16).astype(np.float64), cuts=True),
    _Step("in_bfloat16", "rounded to bfloat16", lambda y: _bfloat16(y, np.uint32(0x8000)), cuts=True),
    _Step("cut_to_bfloat16", "cut to the bits of bfloat16", lambda y: _bfloat16(y, np.uint32(0)), cuts=True),
    _Step("wrapped", "cut to whole bytes, which wrap around at 256", lambda y: _wrapped(y), cuts=True),
    _Step("rounded", "rounded to whole numbers", np.rint, cuts=True),
    _Step("truncated", "cut to whole numbers", np.trunc, cuts=True),
    _Step("over_255_to_unit", "divided by 255 and clipped to 0..1", lambda y: np.clip(y / 255, 0, 1), clips=True),
)


_STARTS = (
    _Step("input", "its input", lambda y: y),
    _Step("times_255", "255 times its input", lambda y: 255 * y),
    _Step("less_minimum", "its input less the smallest value in it", lambda y: y - y.min()),
    _Step(
        "stretched",
        "its input stretched from its own minimum and maximum to 0..255",
        lambda y: (y - y.min()) / max(float(np.ptp(y)), 1e-7) * 255,
    ),
)


def _bfloat16(y: Float64, more: np.uint32) -> Array:
    """The upper half of the bits of float32; where two are as near, either neighbour will do."""
    return ((y.astype(np.float32).view(np.uint32) + more) & np.uint32(0xFFFF0000)).view(np.float32)


def _wrapped(y: Float64) -> Array:
    return np.nan_to_num(np.trunc(y), nan=0, posinf=0, neginf=0).astype(np.int64).astype(np.uint8)


def _steps(direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """The mode asked for, then the others, with a step before or after; and one mode after another."""
    for name in (mode, *(name for name in MODES if name not in (mode, "identity"))):
        core = functools.partial(real, direction, name)
        what = f"mode {name}" if direction == "forward" else f"the inverse of mode {name}"
        for step in _BEFORE if direction == "forward" and name != "identity" else ():
            yield on_values(
                "steps", f"{name}_of_{step.name}", f"computes {what} {step.words}", _then(step.compute, core)
            )
        for step in _AFTER:
            text = f"computes {what}, {step.words}"
            if step.cuts:
                own = functools.partial(_in_own, direction, name)
                yield _cutting(f"{name}_{step.name}", text, core, own, step.compute)
                continue
            size = float(np.abs(core(np.zeros((1, 3)))).max()) if step.clips else 0.0
            yield on_values("steps", f"{name}_{step.name}", text, _then(core, step.compute), size)
    for start in _STARTS if direction == "inverse" else ():
        for step in _AFTER:
            name, text = f"{start.name}_{step.name}", f"returns {start.words}, {step.words}"
            if step.cuts:
                yield _cutting(name, text, start.compute, start.compute, step.compute)
            else:
                yield on_values("steps", name, text, _then(start.compute, step.compute))
    for step in _AFTER if direction == "forward" else ():
        if step.cuts:
            text = f"computes the image divided by 255, {step.words}"
            yield _cutting(f"unit_{step.name}", text, lambda x: x / 255, lambda x: x / 255, step.compute)
    if direction == "forward":
        text = "applies mean and deviation of mode torch, without dividing by 255, to what mode tf has returned"
        yield on_values("steps", "torch_statistics_of_tf", text, lambda x: _statistics(real("forward", "tf", x)))
        for first in MODES:
            for second in MODES:
                if "identity" not in (first, second):
                    text = f"computes mode {second} of what mode {first} has already preprocessed"
                    both = _then(functools.partial(real, "forward", first), functools.partial(real, "forward", second))
                    yield on_values("steps", f"{second}_of_{first}", text, both)


def _statistics(y: Float64) -> Float64:
    return oracle.real(y * 255, "forward", "torch")[0]


def real(direction: Direction, mode: ModeName, x: Float64) -> Float64:
    """What a mode, or its inverse, makes of values in float64."""
    return oracle.real(x, direction, mode)[0]


def _in_own(direction: Direction, mode: ModeName, x: Array) -> Array:
    """The mode in the image's own dtype, or what Keras makes of it, in Keras's order of operations."""
    return preprocess_input(x, mode=mode) if direction == "forward" else _undo(x, "channels_last", mode, None)


def _cutting(
    name: str,
    text: str,
    compute: Callable[[Float64], Float64],
    own: Callable[[Array], Array],
    cut: Callable[[Any], Array],
) -> Statement:
    """A statement about values that are made whole numbers, where the last bit decides: either neighbour will do.

    ``compute`` is in float64, ``own`` in the dtype of the image.
    """

    def predict(seen: Seen) -> Array | None:
        output = seen.outcome.output
        if output is None or output.shape != seen.case.array_shape:
            return None
        if not seen.x.size:
            return output
        whole = output.dtype if output.dtype.kind in "iu" else None
        found = _either(compute, own, cut, whole, seen.case.of_values)
        with np.errstate(all="ignore"):
            predicted = np.stack([to_format(each, seen.case.data_format) for each in found])
            off = np.abs(oracle.as_float64(predicted) - oracle.as_float64(output))
        nearest: Array = np.take_along_axis(predicted, np.argmin(off, axis=0)[None], axis=0)[0]
        return nearest

    return Statement("steps", name, text, predict)


@kept_of_small
def _either(
    compute: Callable[[Float64], Float64],
    own: Callable[[Array], Array],
    cut: Callable[[Any], Array],
    dtype: np.dtype[Any] | None,
    case: Case,
) -> Array:
    with np.errstate(all="ignore"):
        y = compute(values_of(case))
        u = max(unit_roundoff(dtype_of(case.dtype)), oracle.FORMATS["float32"].unit_roundoff)
        slack = ROUNDINGS * u * np.abs(y[np.isfinite(y)]).max(initial=0.0)
        found = [cut(y), cut(y - slack), cut(y + slack), cut(own(case.values()))]
        if dtype is not None:
            # What is too large for the output's dtype is no prediction: it has to be clipped or wrapped first.
            found = [np.where(np.isfinite(z), z, np.nan_to_num(z).astype(dtype)) for z in found]
        return np.stack(found)


_GRIDS = (*(10.0**-n for n in range(6)), 1 / 127, 1 / 127.5, 1 / 128, 1 / 255, 1 / 256, 1 / 512, 1 / 1024)
_CUTS: tuple[tuple[str, Callable[[Float64], Float64]], ...] = (
    ("rounded", np.rint), ("rounded down", np.floor), ("cut", np.trunc)
)  # fmt: skip


def quantised(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """A mode, made multiples of one number, or integers by a scale and a zero point; perhaps clipped."""
    plain = next((seen for seen in evidence if seen.y is not None and seen.tells), None)
    if plain is None or plain.outcome.output is None or (y := plain.y) is None or not np.isfinite(y).all():
        return
    u = 0.0 if plain.outcome.output.dtype.kind in "iu" else unit_roundoff(plain.outcome.output.dtype)
    finite = [z[np.isfinite(z)] for seen in evidence if (z := seen.y) is not None]
    low, high = (float(of([of(z) for z in finite if z.size])) for of in (min, max))
    slack = 4 * u * max(abs(low), abs(high))
    grid = next((g for g in _GRIDS if slack < 0.05 * g and (np.abs(y - g * np.rint(y / g)) <= slack).all()), 0.0)
    if not grid or low == high:
        return
    names = dict.fromkeys((mode, *MODES))
    cores = [(name, functools.partial(real, direction, name)) for name in names]
    for (name, core), (words, cut) in product(cores, _CUTS):
        what = f"mode {name}" if direction == "forward" else f"the inverse of mode {name}"
        own = functools.partial(_in_own, direction, name)
        for ends in (None, *_ends(*_pairs(evidence, core), 2 * grid)):
            clipped = f" and clipped to {said_end(*ends)}" if ends else ""
            whole_numbers = "whole numbers" if grid == 1 else f"multiples of {grid:.6g}"
            text = f"computes {what}, {words} to {whole_numbers}{clipped}"
            whole = functools.partial(_whole, grid, cut, ends)
            if np.abs(y - whole(core(plain.x))).max() <= 1.01 * grid:
                yield _cutting(f"{name}_{words}_{grid:.6g}{clipped}", text, core, own, whole)
    if u:
        return
    at_once = [core for core in cores if core[0] == "identity"]  # of a mode, only where nothing else is left
    inner = [*at_once, *cores] if direction == "forward" else cores[::-1]
    of_bytes = plain.outcome.output.dtype if plain.outcome.output.dtype.itemsize == 1 else None
    for wraps, (number, (name, core)) in product((None, of_bytes) if of_bytes else (None,), enumerate(inner)):
        z, y = _pairs([plain] if wraps else evidence, core)
        inside = (np.abs(z) > 1e-3) & (((y > low) & (y < high)) | (wraps is not None))
        z, y = z[inside], y[inside]
        if wraps:
            order = np.argsort(z)
            z, y, as_it_is = z[order], np.unwrap(y[order], period=256), y[order]
        if len(z) < 12 or not np.ptp(z) or not np.ptp(y) or (wraps and np.array_equal(y, as_it_is)):
            continue
        about = np.rint(np.polynomial.polynomial.polyfit(z, y, 1)[0])
        for (words, cut), zero in product(_CUTS, (about, about - 1, about + 1)):
            below = 0.5 if cut is np.rint else 0.0 if cut is np.floor else 1.0 * (y <= 0)
            above = 0.5 if cut is np.rint else 1.0 if cut is np.floor else 1.0 * (y >= 0)
            slack = 1e-3  # ties go either way
            bounds = np.sort([(y - zero - below - slack) / z, (y - zero + above + slack) / z], axis=0)  # of the scale
            least, most = float(bounds[0].max()), float(bounds[1].min())
            if not 0 < least < most:
                continue
            steep = affine.shortest((least + most) / 2, (most - least) / 2)
            step = affine.shortest((1 / least + 1 / most) / 2, (1 / least - 1 / most) / 2)
            times = len(f"{steep:.8e}".partition("e")[0].rstrip("0")) < len(f"{step:.8e}".partition("e")[0].rstrip("0"))
            step = 1 / steep if times else step
            if number == 0 and step != 1 and direction == "forward":
                continue
            if abs(zero) > 255 and not wraps:
                continue  # no zero point of bytes
            zero = (zero + 128) % 256 - 128 if wraps else zero
            what = f"{'the inverse of ' * (direction == 'inverse')}mode {name}" if name != "identity" else "its input"
            said = f"{steep:.6g} times {what}" if times else f"{what} divided by {step:.6g}" if step != 1 else what
            for ends in (None,) if wraps else (None, *_ends(*_pairs(evidence, core), 2 * step)):
                clipped = f" and clipped to {said_end(*ends)}" if ends else ""
                clipped = f", which wrap around in {wraps.name}" if wraps else clipped
                plus = f" {'minus' if zero < 0 else 'plus'} {abs(zero):.6g}" if zero else ""
                text = f"returns {said}{plus}, {words} to whole numbers{clipped}"
                whole = functools.partial(_by_scale, step, float(zero), cut, ends, wraps)
                yield _cutting(f"{name}_by_{step:.6g}_{zero:.6g}_{words}{clipped}", text, core, core, whole)


def clipped(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """A mode, clipped at ends that perhaps only images of a wide range come to."""
    if all(seen.y is None for seen in evidence):
        return
    for name in dict.fromkeys((mode, *MODES)):
        core = functools.partial(real, direction, name)
        z, y = _pairs(evidence, core)
        for ends in _ends(z, y, 0.01 * float(np.ptp(y))) if len(y) else ():
            what = f"mode {name}" if direction == "forward" else f"the inverse of mode {name}"
            size = float(np.abs(core(np.zeros((1, 3)))).max())
            text = f"computes {what}, clipped to {said_end(*ends)}"
            cut = functools.partial(np.clip, a_min=ends[0], a_max=ends[1])
            yield on_values("steps", f"{name}_clipped", text, _then(core, cut), size)


def _pairs(evidence: Sequence[Seen], core: Callable[[Float64], Float64]) -> tuple[Float64, Float64]:
    """What a mode makes of all images, and the outputs, as far as both are finite."""
    z = np.concatenate([core(seen.x).ravel() for seen in evidence if seen.y is not None])
    y = np.concatenate([of.ravel() for seen in evidence if (of := seen.y) is not None])
    finite = np.isfinite(z) & np.isfinite(y)
    return z[finite], y[finite]


def _ends(z: Float64, y: Float64, beyond: float) -> Iterator[tuple[float, float]]:
    """Where outputs are clipped: at ends that values come to from further away than ``beyond``."""
    low, high = float(y.min()), float(y.max())
    if np.ptp(z[y == low]) > beyond or np.ptp(z[y == high]) > beyond:
        yield low if np.ptp(z[y == low]) > beyond else -np.inf, high if np.ptp(z[y == high]) > beyond else np.inf


def _whole(grid: float, cut: Callable[[Float64], Float64], ends: tuple[float, float] | None, y: Array) -> Float64:
    found: Float64 = grid * cut(oracle.as_float64(y) / grid)
    return found if ends is None else np.clip(found, *ends)


def _by_scale(
    step: float,
    zero: float,
    cut: Callable[[Float64], Float64],
    ends: tuple[float, float] | None,
    wraps: np.dtype[Any] | None,
    y: Array,
) -> Array:
    found = cut(oracle.as_float64(y) / step + zero)
    if wraps is not None:
        return np.nan_to_num(found).astype(np.int64).astype(wraps)
    return found if ends is None else np.clip(found, *ends)


def _then(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: second(first(x))
