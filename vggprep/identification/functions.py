"""What a function does, from its outputs on a few images. Imports NumPy, the gallery and the public functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from vggprep import html
from vggprep.cases import Case
from vggprep.checks.subject import Subject, same_bits
from vggprep.configurations.words import sentence
from vggprep.conformance.engine import Selection
from vggprep.conformance.judging import judge
from vggprep.conformance.report import causes
from vggprep.conformance.results import Result
from vggprep.explanation import affine, search
from vggprep.explanation.affine import Affine
from vggprep.explanation.candidates import candidates
from vggprep.explanation.dependence import Dependence, dependence
from vggprep.explanation.statements import Seen, Statement, seen_last, unit_roundoff
from vggprep.identification.probes import DTYPES, Array, Probe, probes, sized_probes, square_probes
from vggprep.implementations import Implementation
from vggprep.implementations.advice import recognised
from vggprep.implementations.callables import Outcome, call, parameters
from vggprep.published import PUBLISHED
from vggprep.spec import DATA_FORMATS, LEVELS, MODES, DataFormat, Level, Mode, ModeName, definition


@dataclass(frozen=True, repr=False)
class Answer:
    """What a function does when asked for ``asked`` (``None`` if it takes no mode).

    ``name``: of the mode, fault or family (for ``"affine"``, of the nearest). ``level`` is that of a mode.
    ``data_format`` and ``dtype`` are words: those that it was recognised in. ``channels``: the affine map, if it is
    one. ``also``: what else everything seen fits. ``fails``: what ``check`` says of it, if it conforms on the images
    shown. ``notes``: what else there is to say.
    """

    kind: Literal["mode", "fault", "family", "inverse", "affine", "measured", "other", "refuses"]
    name: str
    asked: ModeName | None = None
    mode: ModeName | None = None
    level: Level | None = None
    data_format: str = ""
    dtype: str = ""
    channels: Affine | None = None
    story: str = ""
    also: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it is a mode or the inverse of one, the one asked for, and ``check`` finds nothing."""
        known = (self.kind == "mode" and self.level is not None) or self.kind == "inverse"
        return known and self.asked in (None, self.mode) and not self.fails

    def __repr__(self) -> str:
        level = f"level {self.level}" if self.level else "at neither level"
        published = " (published)" if self.name in PUBLISHED else ""
        head = {
            "mode": f"mode {self.name}{published}, {level}, {self.data_format}: {self.story}",
            "fault": f"{self.name} (in mode {self.mode}), {self.data_format}: {self.story}",
            "family": f"{self.name}, {self.data_format}: {self.story}",
            "inverse": f"{self.name}, {self.data_format}: {self.story}",
            "affine": f"an affine map of the pixels, {self.data_format}{'; ' if self.story else ''}{self.story}",
            "measured": f"none of the modes, {self.data_format}: it {self.story}",
            "other": f"not an affine map of the pixels: {self.story}",
            "refuses": self.story,
        }[self.kind]
        if self.asked is not None:
            wrong = "" if self.mode == self.asked or self.kind != "mode" else "NOT what was asked for: "
            head = f"asked for {self.asked}: {wrong}{head}"
        lines = [head]
        if self.channels is not None:
            lines += [f"  channel {k} = {channel}" for k, channel in enumerate(self.channels)]
        if self.also:
            lines.append(f"  what was seen fits {' and '.join(self.also)}, too")
        lines += [f"  but it fails vggprep check: {said}" for said in self.fails]
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

    def _repr_html_(self) -> str:
        """For notebooks."""
        return html.lines(repr(self))


def identify(
    function: Callable[..., Any] | Implementation, modes: Sequence[ModeName | Mode] | None = None
) -> Identification:
    """Find out what a function, or an implementation, does to images.

    Args:
        function: called with arrays of RGB images, and with ``mode=`` and ``data_format=`` if its signature names
            them, as ``check_implementation`` calls it.
        modes: names or modes that it may compute, beside Keras's and those that others have published; one that takes
            a mode is asked for these alone. Otherwise what the implementation claims.

    Returns:
        An object whose ``repr`` says it, with one ``Answer`` for each mode that it takes.

    >>> import vggprep
    >>> vggprep.identify(lambda x: x / 127.5 - 1.0).answers[0].name
    'tf'
    """
    if not isinstance(function, Implementation):
        function = Implementation(getattr(function, "__name__", type(function).__name__), function)
    if modes is not None:
        function = replace(function, modes=modes)
    function, advice = recognised(function)
    called = function.preprocess or function.deprocess
    assert called is not None
    asked = (function.modes or tuple(MODES)) if parameters(called).mode else (None,)
    forms: dict[str, None] = {}
    answers: list[Answer] = []
    for mode in asked:
        answer = _identify(function, called, mode, forms)
        answers.append(_checked(function, answer, few=any(each.is_right for each in answers)))
    notes = (*filter(None, forms), *map(str, advice))
    if function.compiled or function.serial:
        notes = (*notes, "seen on a few small images; vggprep check looks at sizes, memory and repeated calls, too")
    return Identification(function.name, tuple(answers), notes)


def _checked(implementation: Implementation, answer: Answer, few: bool) -> Answer:
    """The answer, with what ``check`` finds in uint8 and float32 of what is right; ``few``: in float32 alone."""
    if not answer.is_right or implementation.compiled or implementation.serial:
        return answer
    mode, inverse = answer.mode, implementation.preprocess is None or answer.kind == "inverse"
    function = implementation.deprocess if implementation.preprocess is None else implementation.preprocess
    assert mode is not None
    judged = replace(implementation, preprocess=None, deprocess=function) if inverse else implementation
    dtypes = tuple(dict.fromkeys((*(() if few else ("uint8",)), "float32", answer.dtype)))
    report = judge(replace(judged, modes=None), selection=Selection((mode,), None, dtypes), examples=0)
    return replace(answer, fails=tuple(dict.fromkeys(_said(group[0]) for group in causes(report.results))))


def _said(result: Result) -> str:
    return f"{result.message} ({result.diagnosis.rstrip('.')})" if result.diagnosis else result.message


# Asking -----------------------------------------------------------------------------------------------------------


class _Shown(NamedTuple):
    """What was shown, and what came back."""

    what: str
    seen: Seen

    @property
    def case(self) -> Case:
        return self.seen.case

    @property
    def outcome(self) -> Outcome:
        return self.seen.outcome


def _identify(
    implementation: Implementation, function: Callable[..., Any], asked: ModeName | None, forms: dict[str, None]
) -> Answer:
    def ask(probe: Probe) -> _Shown:
        outcome = call(function, probe.case.array(), asked, probe.case.data_format)
        forms[outcome.form] = None
        return _Shown(probe.what, Seen(probe.case, outcome))

    takes_format = parameters(function).data_format
    dtypes = [dtype for dtype in implementation.dtypes or DTYPES if dtype in DTYPES]
    first = [
        ask(next(probes(dtype, rank, data_format)))
        for data_format, dtype, rank in product(
            implementation.data_formats or DATA_FORMATS, dtypes, implementation.ranks or (4, 3)
        )
    ]
    plain = [shown for shown in first if shown.outcome.output is not None]
    if not plain:
        problem = next(filter(None, (shown.outcome.problem for shown in first)), None)
        refusal = next(filter(None, (shown.outcome.refusal for shown in first)), "")
        return Answer("refuses", "", asked, story=str(problem) if problem else f"refuses everything: {refusal}")
    base, fitted = _base(plain)
    shown = _all_shown(plain, base.case, takes_format, ask)
    channels, error = fitted or (None, 0.0)
    answer = Answer(
        "other", "", asked, data_format=_formats(plain, base, channels, takes_format), dtype=base.case.dtype
    )
    ranks = [each.case.rank for each in plain if each.case.data_format == base.case.data_format]
    sized = (
        ()
        if implementation.compiled or implementation.serial
        else sized_probes(base.case.dtype, ranks, base.case.data_format)
    )
    more = [*map(ask, sized)]
    large = more.pop() if more else None
    every = [*shown, *more]
    own = tuple(implementation.modes or ())
    named = _named(every, asked, answer, channels, large, own)
    if named is not None:
        return named
    if channels is not None and _is_plain([*every, *filter(None, [large])], asked):
        return _affine_answer(answer, channels, error, own)
    again = [ask(Probe("", base.case)).outcome.output for _ in range(2)]
    if any(other is None or not same_bits(other, cast(Array, base.outcome.output)) for other in again):
        return replace(answer, story="the same image gives different results the second time (state, or chance)")
    if (rough := _rough(every, asked, answer, fitted, large, own)) is not None:
        return rough

    def look(case: Case) -> Dependence:
        def again(image: Array) -> Outcome:
            pixels = image.tobytes()
            return seen_last(ask(Probe("", replace(case, shape=image.shape, pixels=pixels))).outcome, case)

        return dependence(again, case.values(), "forward", asked or "identity")

    if len(set(ranks)) > 1:
        of_dtype = [each for each in shown if _is_like(each.case, base.case, ("dtype", "data_format"))]
        by_rank = _by(of_dtype, lambda case: _RANK_WORDS[case.rank], asked, own)
        if len(by_rank) > 1 and _UNKNOWN not in by_rank:
            return replace(answer, kind="measured", story=_listed(by_rank, "rank"))
    measured = look(base.case)
    if not measured.on_more_than_values:
        # Of images of the same sizes: of other sizes, all may be otherwise.
        of_rank = [each for each in shown if _is_like(each.case, base.case)]
        by_dtype = _by(of_rank, lambda case: case.dtype, asked, own, look)
        of_sizes = [each for each in every if _is_like(each.case, base.case, ("dtype", "rank", "data_format"))]
        mine = next((text for text, dtypes in by_dtype.items() if base.case.dtype in dtypes), "")
        if by_dtype and (mine.startswith(_DOES) or mine in _by(of_sizes, lambda case: "", asked, own)):
            return replace(answer, kind="measured", story=_listed(by_dtype, "dtype"))
    if not measured.on_more_than_values and (part := _of_usual(every, asked)):
        return replace(answer, kind="measured", story=f"{part} (of images of 0..255; of others, something else)")
    return replace(answer, story=f"{measured.story or _VARIES} (measured in {base.case.dtype})")


def _of_usual(shown: Sequence[_Shown], asked: ModeName | None) -> str:
    """What is known or measured of finite images of 0..255 alone."""
    usual = search.usual(_evidence(shown), "forward")
    modes = (asked,) if asked else tuple(MODES)
    known = (e for mode in modes for e in candidates("forward", mode) if search.reproduces(e, usual))
    found = next(known, None) if usual and usual[0].tells else None
    found = found or search.measured(usual, "forward", asked or "identity")
    return found.text.rstrip(".") if found else ""


def _is_like(case: Case, base: Case, what: Sequence[str] = ("rank", "data_format")) -> bool:
    return all(getattr(case, each) == getattr(base, each) for each in what)


def _rough(
    shown: Sequence[_Shown],
    asked: ModeName | None,
    answer: Answer,
    fitted: tuple[Affine, float] | None,
    large: _Shown | None,
    own: Sequence[ModeName],
) -> Answer | None:
    """What holds of all images but those of float16, and of those to their precision."""
    few, others = ([s for s in shown if (s.case.dtype == "float16") == half] for half in (True, False))
    channels, error = fitted or (None, 0.0)
    told = _told(others, asked, answer, channels, large, own) if few else None
    if few and told is None and (found := search.measured(_evidence(others), "forward", asked or "identity")):
        plain = channels is not None and found.channels is not None
        measured = replace(answer, kind="measured", story=found.text)
        told = (_affine_answer(answer, channels, error, own) if plain and channels else measured), found
    if told is None or search.roughly(told[1], _evidence(few)) is None:
        return None
    note = "of float16, only to the precision of float16"
    return replace(told[0], fails=(note,)) if told[0].is_right else replace(told[0], notes=(*told[0].notes, note))


def _is_plain(shown: Sequence[_Shown], asked: ModeName | None) -> bool:
    """Whether an affine map of each channel, and nothing besides, fits all that was seen."""
    found = search.measured(_evidence(shown), "forward", asked or "identity")
    return found is not None and found.channels is not None


def _evidence(shown: Iterable[_Shown]) -> list[Seen]:
    found = [each.seen for each in shown if each.outcome.output is not None]
    return sorted(found, key=lambda seen: not seen.tells)


_RANKS = ("mode", "fault", "family", "inverse", "steps")


def _named(shown: Sequence[_Shown], *words: Any, **more: Any) -> Answer | None:
    told = _told(shown, *words, **more)
    return told and told[0]


def _told(
    shown: Sequence[_Shown],
    asked: ModeName | None,
    answer: Answer,
    channels: Affine | None,
    large: _Shown | None = None,
    own: Sequence[ModeName] = (),
    *,
    blame: bool = True,
) -> tuple[Answer, Statement] | None:
    """A mode, if the function conforms to it on all images; else what the law allows to say of all of them."""
    evidence = _evidence(shown)
    also_large = [] if large is None else [large.seen]
    all_shown = [*shown, *filter(None, [large])]
    modes = list(dict.fromkeys((*filter(None, [asked]), *own, *MODES)))
    mine = tuple(map(definition, own))
    maps = {(k.name, k.mode) for k in affine.known_maps(mine) if not (asked and k.name in PUBLISHED)}
    level = None
    conforming = next((mode for mode in modes if (level := _level(mode, all_shown)) is not None), None)
    known = [replace(e, single=search.is_wide(evidence)) for mode in modes for e in candidates("forward", mode)]
    if conforming:  # beside it, only what has other constants is named
        known = [e for e in known if (e.name, e.mode) in maps]
    wrong = [e for e in known if e.kind != "rounding" and (blame or e.kind != "fault")]
    fitting = search.fitting(wrong, [*evidence, *also_large])
    # A published mode is what was meant if nothing was asked for; else a fault in what was asked for says more.
    fitting.sort(key=lambda e: _RANKS.index("fault" if asked and e.kind == "mode" and e.name in PUBLISHED else e.kind))
    near = search.closest(fitting, evidence)
    if asked is None and conforming is None and evidence and evidence[0].tells:
        published = (e.name for e in fitting if e.kind == "mode" and e.name in PUBLISHED)
        conforming = next((mode for mode in published if (level := _level(mode, all_shown)) is not None), None)
    if conforming is not None:
        names = (e.name for e in near if e.name != conforming and (e.name, e.mode) in maps)
        made = replace(answer, kind="mode", name=conforming, mode=conforming, level=level, channels=channels)
        right = next(e for e in candidates("forward", conforming) if e.kind == "rounding")
        return replace(made, also=tuple(dict.fromkeys(names))[:4], story=_of_mode(conforming)), right
    if not evidence or not evidence[0].tells:
        return None
    best = next(iter(near), None) or (search.measured(evidence, "forward", modes[0]) if blame else None)
    best = best and search.plainer(best, evidence, "forward", modes[0])
    if best is None or best.channels is not None or not search.reproduces(best, also_large):
        return None  # an affine map of no name is written out with what is near it
    also = dict.fromkeys(e.name for e in near if e.name != best.name and (e.name, e.mode) in maps)
    named = replace(answer, mode=best.mode, story=best.text, also=tuple(also)[:4])
    if best.kind in ("steps", "measured", "rounding"):
        return replace(named, kind="measured"), best
    if best.kind == "mode" and best.mode is not None:
        level = _level(best.mode, shown)
        mode = replace(named, kind="mode", name=best.mode, level=level, channels=channels, story=_of_mode(best.mode))
        return mode, best
    story = best.fault.story if best.fault else best.text
    kind = cast(Literal["fault", "family", "inverse"], best.kind)
    exact = channels if (best.name, best.mode) in maps else None  # else they are those of one image
    return replace(named, kind=kind, name=best.name, channels=exact, story=story), best


def _of_mode(name: ModeName) -> str:
    """What a mode is, and who published it, if it is not Keras's."""
    mode = definition(name)
    source = f" ({mode.source})" if mode.source and name not in MODES else ""
    return f"{mode.summary or sentence(mode)}{source}"


def _by(
    shown: Sequence[_Shown],
    key: Callable[[Case], str],
    asked: ModeName | None,
    own: Sequence[ModeName],
    look: Callable[[Case], Dependence] | None = None,
) -> dict[str, list[str]]:
    """What is done to images of each kind, and to which; empty if none of it is known."""
    said: dict[str, list[str]] = {}
    unknown: dict[str, Case] = {}
    for kind in dict.fromkeys(key(each.case) for each in shown):
        of_kind = [each for each in shown if key(each.case) == kind]
        evidence = _evidence(of_kind)
        if not evidence or not evidence[0].tells:
            continue
        # As check does, which blames a fault, whose story is about all images, only if it holds elsewhere.
        found = _named(of_kind, asked, Answer("other", "", asked), None, own=own, blame=False)
        found = found or _named(of_kind, asked, Answer("other", "", asked), None, own=own)
        if found is None:
            statement = search.measured(evidence, "forward", asked or "identity")
            text = statement.text if statement is not None else _UNKNOWN
        elif found.kind in ("mode", "fault"):
            text = (
                f"computes mode {found.name}" if found.kind == "mode" else f"behaves like {found.name}: {found.story}"
            )
        else:
            text = found.story
        said.setdefault(text.rstrip("."), []).append(kind)
        if text == _UNKNOWN:
            unknown[kind] = evidence[0].case
        if len(unknown) == 2 and len(said) == 1:
            return {}
    for kind, case in list(unknown.items())[: len(said) > 1]:  # what is measured of the first may not hold of others
        if look and (story := look(case).story):
            said[_UNKNOWN].remove(kind)
            said[f"{_DOES}what was measured: {story}"] = [kind]
    return {text: kinds for text, kinds in said.items() if kinds} if {*said} - {_UNKNOWN} else {}


def _listed(said: dict[str, list[str]], what: str) -> str:
    if len(said) == 1:
        return next(iter(said))
    return f"differs by {what}: " + "; ".join(f"given {', '.join(kinds)}, it {text}" for text, kinds in said.items())


_RANK_WORDS = {3: "single images", 4: "batches"}
_VARIES = "it does not do to all images what it does to one"
_DOES = "does "
_UNKNOWN = f"{_DOES}something that is neither known nor measured"


def _level(mode: ModeName, shown: Sequence[_Shown]) -> Level | None:
    """The highest level at which it is the mode on all images, as ``check`` judges them."""
    for level in LEVELS:
        subject = Subject(Implementation("seen", np.asarray, level=level))
        judged = (
            subject.judge(replace(each.case, mode=mode), outcome=each.outcome)
            for each in shown
            if each.outcome.refusal is None
        )
        if all(finding is None for finding in judged):
            return level
    return None


def _base(plain: Sequence[_Shown]) -> tuple[_Shown, tuple[Affine, float] | None]:
    """The first image in the data format in which the outputs are an affine map, else in the first one; and the map.

    What tells rows apart, and is shown channels last, is no map of channels first that only three rows show: there,
    the other rows have a map of their own, or none.
    """
    firsts = [next(seen for seen in plain if seen.case.data_format == f) for f in _data_formats(plain)]
    for seen in firsts:
        if (fitted := _fit(seen)) and (seen is firsts[0] or _is_of_channels(fitted[0], firsts[0])):
            return seen, fitted
    return firsts[0], None


def _is_of_channels(channels: Affine, last: _Shown) -> bool:
    """Whether the first three rows of an image, channels last, alone get what the channels of another format do."""
    x, y = last.seen.x, last.seen.y
    if y is None:
        return True
    rest = affine.fit(x[..., 3:, :, :].reshape(-1, 3), y[..., 3:, :, :].reshape(-1, 3), 2.0**-24)
    if rest is None:
        return False
    return all((c.scale, c.offset) != (rest[0][k].scale, rest[0][k].offset) for k, c in enumerate(channels))


def _data_formats(plain: Sequence[_Shown]) -> list[DataFormat]:
    return list(dict.fromkeys(seen.case.data_format for seen in plain))


def _fit(seen: _Shown) -> tuple[Affine, float] | None:
    y = seen.seen.y
    if y is None or seen.outcome.output is None or not np.isfinite(y).all():
        return None
    return affine.fit(seen.seen.x.reshape(-1, 3), y.reshape(-1, 3), unit_roundoff(seen.outcome.output.dtype))


def _all_shown(plain: Sequence[_Shown], base: Case, takes_format: bool, ask: Callable[[Probe], _Shown]) -> list[_Shown]:
    """More images of what the function accepts; the kind of ``base`` in every way, the others once."""
    seen: list[_Shown] = []
    for each in plain:
        case = each.case
        if case.data_format != base.data_format and not takes_format:
            continue
        if case.data_format == base.data_format and (case.rank == base.rank or case.dtype == base.dtype):
            seen += map(ask, probes(case.dtype, case.rank, case.data_format))
        elif case.dtype == base.dtype:
            seen.append(each)
    if takes_format:
        ranks = [each.case.rank for each in plain if each.case.dtype == base.dtype]
        for data_format in _data_formats(plain):
            seen += map(ask, square_probes(base.dtype, ranks, data_format))
    return seen


def _formats(plain: Sequence[_Shown], base: _Shown, channels: Affine | None, takes_format: bool) -> str:
    """In words, the data formats that it takes."""
    data_formats = _data_formats(plain)
    if takes_format:
        return " and ".join(data_formats)
    layout = base.case.data_format
    if channels is None or len(data_formats) == 1:
        return layout
    again = _fit(next(seen for seen in plain if seen.case.data_format != layout))
    return "either data format" if again and affine.distance(again[0], channels) < 0.01 else layout


# No candidate -----------------------------------------------------------------------------------------------------


def _affine_answer(answer: Answer, channels: Affine, error: float, own: Sequence[ModeName] = ()) -> Answer:
    """The map written out, and beside it the known one that differs in constants only, if one is near."""
    known, distance = affine.nearest(channels, tuple(map(definition, own)))
    notes = (
        [f"with errors of up to {error:.2g} grey levels: rounded, or computed with few bits"] if error > 0.01 else []
    )
    if distance > _NEAR:
        return replace(answer, kind="affine", channels=channels, notes=tuple(notes))
    beside = ", ".join(map(str, known.channels))
    story = f"nearest is {known.name}, {beside}, off by up to {distance:.3g} grey levels"
    return replace(answer, kind="affine", name=known.name, channels=channels, story=story, notes=tuple(notes))


_NEAR = 2.0  # grey levels: what is further off is no variant of it
