"""What a function does, from its outputs on a few images. Imports NumPy, the gallery and the public functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import Case, from_format, to_format
from vggprep.checks.subject import Subject
from vggprep.conformance.words import sentence
from vggprep.faults import FAULTS
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.identification import affine
from vggprep.identification.affine import Affine, Float64, KnownMap, unit_roundoff
from vggprep.identification.probes import DTYPES, Array, Probe, probes, square_probes
from vggprep.implementations import Implementation
from vggprep.implementations.advice import recognised
from vggprep.implementations.callables import Outcome, call, parameters
from vggprep.spec import DATA_FORMATS, LEVELS, MODES, DataFormat, Level, ModeName

_SURVIVES = 16.0  # in units of u times the largest value of a channel
_ROUNDING = 1.0  # root mean square, in the same units: what honest arithmetic differs by


@dataclass(frozen=True, repr=False)
class Answer:
    """What a function does when asked for ``asked`` (``None`` if it takes no mode).

    ``name``: of the mode, fault or family (for ``"affine"``, of the nearest). ``level`` is that of a mode.
    ``data_format`` and ``dtype`` are words: those that it was recognised in. ``channels``: the affine map, if it is
    one. ``also``: what ``dtype`` cannot distinguish it from. ``notes``: what else there is to say.
    """

    kind: Literal["mode", "fault", "family", "inverse", "affine", "other", "refuses"]
    name: str
    asked: ModeName | None = None
    mode: ModeName | None = None
    level: Level | None = None
    data_format: str = ""
    dtype: str = ""
    channels: Affine | None = None
    story: str = ""
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it is a mode or the inverse of one, and the one asked for."""
        known = (self.kind == "mode" and self.level is not None) or self.kind == "inverse"
        return known and self.asked in (None, self.mode)

    def __repr__(self) -> str:
        level = f"level {self.level}" if self.level else "at neither level"
        head = {
            "mode": f"mode {self.name}, {level}, {self.data_format}: {self.story}",
            "fault": f"{self.name} (in mode {self.mode}), {self.data_format}: {self.story}",
            "family": f"{self.name}, {self.data_format}: {self.story}",
            "inverse": f"{self.name}, {self.data_format}: {self.story}",
            "affine": f"an affine map of the pixels, {self.data_format}; {self.story}",
            "other": f"not an affine map of the pixels: {self.story}",
            "refuses": f"refuses everything: {self.story}",
        }[self.kind]
        if self.asked is not None:
            wrong = "" if self.mode == self.asked or self.kind != "mode" else "NOT what was asked for: "
            head = f"asked for {self.asked}: {wrong}{head}"
        lines = [head]
        if self.channels is not None:
            lines += [f"  channel {k} = {channel}" for k, channel in enumerate(self.channels)]
        if self.also:
            lines.append(f"  {self.dtype} cannot tell it from {', '.join(self.also)}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True, repr=False)
class Identification:
    """What a black box is: one answer, or one for each mode if it takes a mode; ``notes`` on how it was called."""

    name: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether every answer is a mode or the inverse of one, and the one asked for."""
        return all(answer.is_right for answer in self.answers)

    def __repr__(self) -> str:
        lines = [*(f"{answer!r}" for answer in self.answers), *(f"  {note}" for note in self.notes)]
        return "\n".join([f"{self.name}:", *lines])


def identify(function: Callable[..., Any] | Implementation) -> Identification:
    """Find out what a function, or an implementation, does to images.

    Args:
        function: called with arrays of RGB images, and with ``mode=`` and ``data_format=`` if its signature names
            them, as ``check_implementation`` calls it.

    Returns:
        An object whose ``repr`` says it, with one ``Answer`` for each mode that it takes.

    >>> import vggprep
    >>> vggprep.identify(lambda x: x / 127.5 - 1.0).answers[0].name
    'tf'
    """
    if not isinstance(function, Implementation):
        function = Implementation(getattr(function, "__name__", type(function).__name__), function)
    function, advice = recognised(function)
    called = function.preprocess or function.deprocess
    assert called is not None
    asked = (function.modes or tuple(MODES)) if parameters(called).mode else (None,)
    forms: dict[str, None] = {}
    answers = tuple(_identify(function, called, mode, forms) for mode in asked)
    return Identification(function.name, answers, (*filter(None, forms), *map(str, advice)))


# Asking -----------------------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What was shown, and what came back."""

    what: str
    case: Case
    outcome: Outcome

    @property
    def pixels(self) -> Float64:
        return oracle.as_float64(self.case.values())

    @property
    def output(self) -> Float64 | None:
        return _same_shape(self.outcome, self.case)


def _same_shape(outcome: Outcome, case: Case) -> Float64 | None:
    """The output, channels last, if it has the shape of the input."""
    shape = to_format(np.empty(case.shape, np.bool_), case.data_format).shape
    if outcome.output is None or outcome.output.shape != shape:
        return None
    return oracle.as_float64(from_format(outcome.output, case.data_format))


def _identify(
    implementation: Implementation, function: Callable[..., Any], asked: ModeName | None, forms: dict[str, None]
) -> Answer:
    def ask(probe: Probe) -> _Seen:
        outcome = call(function, probe.case.array(), asked, probe.case.data_format)
        forms[outcome.form] = None
        return _Seen(*probe, outcome)

    takes_format = parameters(function).data_format
    dtypes = [dtype for dtype in implementation.dtypes or DTYPES if dtype in DTYPES]
    first = [
        ask(next(probes(dtype, rank, data_format)))
        for data_format, dtype, rank in product(
            implementation.data_formats or DATA_FORMATS, dtypes, implementation.ranks or (4, 3)
        )
    ]
    plain = [seen for seen in first if seen.outcome.output is not None]
    if not plain:
        said = (str(seen.outcome.refusal or seen.outcome.problem or "") for seen in first)
        return Answer("refuses", "", asked, story=next(filter(None, said), ""))
    base, fitted = _base(plain)
    seen = _all_seen(plain, base.case, takes_format, ask)
    channels, error = fitted or (None, 0.0)
    answer = Answer(
        "other", "", asked, data_format=_formats(plain, base, channels, takes_format), dtype=base.case.dtype
    )
    named = _matches(seen, asked)
    level, doubts = _level(named[0], seen) if named and named[0].kind == "mode" else (None, ())
    if doubts:
        # The numbers are a mode's, and something else is not: a fault may explain that too.
        named = [c for c in named if c.kind == "fault" and _same_dtypes(c, seen)][:1] or named
    if named:
        best = named[0]
        maps = {(known.name, known.mode) for known in affine.known_maps()}
        also = dict.fromkeys(c.name for c in named[1:] if c.name != best.name and (c.name, c.mode) in maps)
        return replace(
            answer,
            kind=best.kind,
            name=best.name,
            mode=best.mode,
            level=level,
            channels=channels,
            story=best.story,
            also=tuple(also)[:4],
            notes=doubts if best.kind == "mode" else (),
        )
    dependence = _dependence(ask, base)
    if channels is not None and not dependence.elsewhere:
        return _affine_answer(answer, channels, error, seen)
    return replace(answer, story=dependence.story)


def _base(plain: Sequence[_Seen]) -> tuple[_Seen, tuple[Affine, float] | None]:
    """The first image in the data format in which the outputs are an affine map, else in the first one; and the map."""
    firsts = [next(seen for seen in plain if seen.case.data_format == f) for f in _data_formats(plain)]
    for seen in firsts:
        if fitted := _fit(seen):
            return seen, fitted
    return firsts[0], None


def _data_formats(plain: Sequence[_Seen]) -> list[DataFormat]:
    return list(dict.fromkeys(seen.case.data_format for seen in plain))


def _fit(seen: _Seen) -> tuple[Affine, float] | None:
    y = seen.output
    if y is None or seen.outcome.output is None or not np.isfinite(y).all():
        return None
    return affine.fit(seen.pixels.reshape(-1, 3), y.reshape(-1, 3), unit_roundoff(seen.outcome.output.dtype))


def _all_seen(plain: Sequence[_Seen], base: Case, takes_format: bool, ask: Callable[[Probe], _Seen]) -> list[_Seen]:
    """More images of what the function accepts; the kind of ``base`` in every way, the others once."""
    seen: list[_Seen] = []
    for each in plain:
        case = each.case
        if case.data_format != base.data_format and not takes_format:
            continue
        if case.rank == base.rank and case.data_format == base.data_format:
            seen += map(ask, probes(case.dtype, case.rank, case.data_format))
        elif case.dtype == base.dtype:
            seen.append(each)
    if takes_format:
        ranks = [each.case.rank for each in plain if each.case.dtype == base.dtype]
        for data_format in _data_formats(plain):
            seen += map(ask, square_probes(base.dtype, ranks, data_format))
    return seen


def _formats(plain: Sequence[_Seen], base: _Seen, channels: Affine | None, takes_format: bool) -> str:
    """In words, the data formats that it takes."""
    data_formats = _data_formats(plain)
    if takes_format:
        return " and ".join(data_formats)
    layout = base.case.data_format
    if channels is None or len(data_formats) == 1:
        return layout
    again = _fit(next(seen for seen in plain if seen.case.data_format != layout))
    return "either data format" if again and affine.distance(again[0], channels) < 0.01 else layout


# Candidates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """Something that the black box may be. ``rank``: of two that fit equally well, the lower is named."""

    kind: Literal["mode", "fault", "family", "inverse"]
    name: str
    story: str
    mode: ModeName | None
    function: Callable[..., Any]
    rank: int


@functools.lru_cache(maxsize=4096)  # outcomes of up to 7 kB each
def _outcome(candidate: _Candidate, case: Case) -> Outcome:
    """What a candidate does; remembered, since every black box is shown the same images."""
    found = call(candidate.function, case.array(), candidate.mode, case.data_format)
    return Outcome(found.output, found.refusal, found.problem)


@functools.cache
def _candidates(asked: ModeName | None) -> tuple[_Candidate, ...]:
    """Everything that a black box may be when asked for a mode: the faults of that mode come first."""
    found = [
        _Candidate("mode", name, mode.summary, name, preprocess_input, 0 if name == asked else 1)
        for name, mode in MODES.items()
    ]
    for fault in FAULTS:
        if fault.preprocess is None or not fault.stateless:
            continue
        for mode_name in fault.modes:
            rank = 0 if mode_name == asked else 2
            found.append(_Candidate("fault", fault.name, fault.story, mode_name, fault.preprocess, rank))
    for family in affine.FAMILIES:
        found.append(_Candidate("family", family.name, family.story, None, _of_family(family), 3))
    for name in MODES:
        if name == "identity":
            continue
        for words, dtype in (("unrounded", None), ("rounded and clipped to pixels", "uint8")):
            undo = functools.partial(_undo, dtype=dtype)
            story = f"the inverse of mode {name}, {words}"
            found.append(_Candidate("inverse", f"inverse of {name}", story, name, undo, 4))
    return tuple(found)


def _of_family(family: KnownMap) -> Callable[..., Any]:
    def function(x: Array, data_format: DataFormat) -> Array:
        dtype = np.dtype(oracle.computed_dtype(x.dtype.name, "tf"))
        y = affine.apply(family.channels, from_format(x, data_format).astype(np.float64))
        return to_format(y.astype(dtype), data_format)

    return function


def _undo(y: Array, data_format: DataFormat, mode: ModeName, dtype: str | None) -> Array:
    return deprocess_input(y, data_format, mode, dtype=dtype)


def _matches(seen: Sequence[_Seen], asked: ModeName | None) -> list[_Candidate]:
    """The candidates that do the same on every image, the best first; of equals, all are given."""
    plain = {each.case.dtype: each.outcome for each in reversed(seen)}
    shown = [s for s in seen if s.outcome.refusal is None or plain[s.case.dtype].refusal is None]
    left: list[tuple[float, _Candidate]] = []
    for candidate in _candidates(asked):
        total = 0.0
        for _, case, outcome in shown:
            difference = _difference(outcome, _outcome(candidate, case), case)
            if difference is None:
                break
            total = max(total, difference)
        else:
            left.append((total, candidate))
    best = min((total for total, _ in left), default=0.0)
    equal = [(total, candidate) for total, candidate in left if total <= 2.0 * best + _ROUNDING]
    # Modes first: a mode must not be called a fault because of a rounding error.
    return [c for _, c in sorted(equal, key=lambda found: (found[1].kind != "mode", found[1].rank, found[0]))]


def _difference(mine: Outcome, theirs: Outcome, case: Case) -> float | None:
    """Root mean square difference in units of ``u`` times the channel's extent; ``None`` if they cannot be the same."""
    if mine.output is None or theirs.output is None:
        return 0.0 if mine.refusal is not None and theirs.refusal is not None else None
    a, b = _same_shape(mine, case), _same_shape(theirs, case)
    if a is None or b is None:
        same = mine.output.shape == theirs.output.shape and np.array_equal(mine.output, theirs.output)
        return 0.0 if same else None
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any() or not tolerance.same_values(a[~finite], b[~finite], False).all():
        return None
    if all(output.dtype.name not in oracle.FORMATS for output in (mine.output, theirs.output)):
        return 0.0 if np.array_equal(a, b) else None
    # An output wider than float32 may still have been computed in float32; a narrower one has been rounded.
    single = oracle.FORMATS["float32"].unit_roundoff
    u = max(unit_roundoff(mine.output.dtype), min(unit_roundoff(theirs.output.dtype), single))
    size = np.maximum(np.abs(np.where(finite, b, 0.0)).max(axis=tuple(range(b.ndim - 1)), initial=0.0), 1e-12)
    with np.errstate(invalid="ignore"):
        units = np.where(finite, np.abs(a - b), 0.0) / (u * size)
    if not units.size:
        return 0.0
    return float(np.sqrt(np.mean(units**2))) if units.max() <= _SURVIVES else None


def _same_dtypes(candidate: _Candidate, seen: Sequence[_Seen]) -> bool:
    pairs = [(mine.output, _outcome(candidate, case).output) for _, case, mine in seen]
    return all(a is None or b is None or a.dtype == b.dtype for a, b in pairs)


def _level(mode: _Candidate, seen: Sequence[_Seen]) -> tuple[Level | None, tuple[str, ...]]:
    """The level at which it is the mode on all images; if at none, what is wrong with which image."""
    assert mode.mode is not None
    wrong: list[str] = []
    for level in LEVELS:
        subject = Subject(Implementation("seen", np.asarray, level=level))
        judged = [
            (what, subject.judge(replace(case, mode=mode.mode), outcome=outcome))
            for what, case, outcome in seen
            if outcome.refusal is None
        ]
        wrong = [f"but not on {what}: {sentence(finding)}" for what, finding in judged if finding is not None]
        if not wrong:
            return level, ()
    more = (f"and {len(wrong) - 3} more like these",) if len(wrong) > 3 else ()
    return None, (*wrong[:3], *more)


# No candidate -----------------------------------------------------------------------------------------------------


def _affine_answer(answer: Answer, channels: Affine, error: float, seen: Sequence[_Seen]) -> Answer:
    known, distance = affine.nearest(channels)
    near = f"nearest is {known.name}, off by up to {distance:.3g} grey levels: {known.story}"
    if not np.isfinite(distance):
        near = "no known family swaps and scales the channels in this way"
    notes = []
    if error > 0.01:
        notes.append(f"with errors of up to {error:.2g} grey levels: rounded, or computed with few bits")
    astray = dict.fromkeys(each.what for each in seen if _is_astray(each, channels, error))
    if astray:
        notes.append(f"but something else on: {', '.join(astray)}")
    name = known.name if np.isfinite(distance) else ""
    return replace(answer, kind="affine", name=name, channels=channels, story=near, notes=tuple(notes))


def _is_astray(seen: _Seen, channels: Affine, error: float) -> bool:
    """Whether an output is not that of the map."""
    got, outcome, x = seen.output, seen.outcome, seen.pixels
    if got is None or outcome.output is None:
        return outcome.output is not None or outcome.problem is not None
    expected = affine.apply(channels, np.where(np.isfinite(x), x, 0.0))
    usable = np.isfinite(x[..., [c.source for c in channels]]) & np.isfinite(got)
    extent = np.abs(expected).max(initial=0.0) + max(abs(c.offset) for c in channels)
    scales = np.array([abs(c.scale) for c in channels])
    slack = scales * (2 * error + 0.05) + 16 * unit_roundoff(outcome.output.dtype) * extent
    return bool((np.abs(np.where(usable, got - expected, 0.0)) > slack).any())


class _Dependence(NamedTuple):
    """What an output depends on, in words; and whether on anything but its own pixel."""

    story: str
    elsewhere: bool = False


def _dependence(ask: Callable[[Probe], _Seen], base: _Seen) -> _Dependence:
    """What an output that is not an affine map of the pixels depends on, from changing the input here and there."""
    what, case, _ = base
    first = ask(Probe(what, case))
    before = first.output
    if before is None:
        if first.outcome.output is None:
            return _Dependence(
                str(first.outcome.refusal or first.outcome.problem or "it gives no result the second time")
            )
        shapes = case.array().shape, first.outcome.output.shape
        return _Dependence("an input of shape {} becomes an output of shape {}".format(*shapes))

    def changed(image: Array) -> Array | None:
        after = ask(Probe(what, replace(case, pixels=image.tobytes()))).output
        return None if after is None else ~tolerance.same_values(before, after, signed_zero=False)

    again = changed(case.values())
    if again is None or again.any():
        return _Dependence("the same image gives different results the second time (state, or chance)", True)
    image = case.values()
    pixel = (0,) * (image.ndim - 3) + (5, 6)
    image[pixel] = np.array([250, 3, 120]).astype(image.dtype)
    touched = changed(image)
    if touched is None:
        return _Dependence("it refuses the image with one pixel changed")
    own, others = touched[pixel], touched.copy()
    others[pixel] = False
    one_image = (others[0] if image.ndim == 4 else others).any(axis=-1)
    parts = []
    if one_image.mean() > 0.5:
        parts.append("every pixel depends on the whole image (its own mean, deviation, minimum or maximum)")
    elif one_image.any():
        parts.append(f"a pixel depends on its neighbours ({int(one_image.sum())} others follow a change)")
    if image.ndim == 4 and others[1:].any():
        parts.append("an image depends on the other images of its batch")
    if parts:
        return _Dependence("; ".join(parts), True)
    if not own.any():
        return _Dependence("no output depends on the pixels")
    image = case.values()
    image[..., 1] = image[..., 1][..., ::-1]
    mixed = changed(image)
    if mixed is not None and mixed.any(axis=tuple(range(mixed.ndim - 1))).sum() > 1:
        return _Dependence("an output channel depends on several input channels (a mix, or a grey image)")
    return _Dependence("each value depends on its own pixel and channel alone, but not linearly (clipped, a table)")
