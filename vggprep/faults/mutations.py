"""Mutations: how a mode's definition is got wrong, made of the definition itself, for any mode.

Digits are rounded as constants are written, in their own unit; to whole numbers in grey levels, where people round.
Whether a mutation changes anything is decided in rational numbers: for each output channel, the input channel, scale
and offset that its steps amount to (``configurations.affine``). Imports the gallery's rows and published modes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vggprep.configurations.affine import ROUNDING, lines
from vggprep.configurations.decimals import decimal_of
from vggprep.configurations.words import OPPOSITE
from vggprep.faults.constants import ROWS
from vggprep.faults.fault import Fault, of_rows
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode, ModeName, Step, definition

_DOES = {"divide": "divides by", "subtract": "subtracts", "multiply": "multiplies by", "add": "adds"}
_OTHERS = 2
"""Published modes whose constants are tried, beside ImageNet's: the nearest."""

Three = tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class Mutations:
    """The mutations of a mode.

    ``faults``: those that are wrong, each once. ``equal``: the names of those that are the mode, exactly. ``folded``:
    of those that are another mutation, or a fault with a history, exactly; which one.
    """

    faults: tuple[Fault, ...]
    equal: tuple[str, ...]
    folded: Mapping[str, str]


@functools.cache
def mutated(name: ModeName) -> Mutations:
    """The mutations of the mode of that name, in a fixed order.

    Raises:
        ValueError: an unknown name.
    """
    mode = definition(name)
    found = {lines(fault.rows[name]): fault.name for fault in ROWS if name in fault.rows}
    faults, equal, folded = [], [], {}
    for what, story, mutant in _mutants(mode):
        called, does = f"{name}:{what}", lines(mutant)
        if does == lines(mode):
            equal.append(called)
        elif (first := found.setdefault(does, called)) != called:
            folded[called] = first
        else:
            faults.append(of_rows(called, story, None, {name: mutant}))
    return Mutations(tuple(faults), tuple(equal), folded)


class _Part(NamedTuple):
    """A step and what it is called; ``before``: the scale, by channel, of the values that it gets."""

    role: str
    step: Step
    before: Three

    @property
    def constants(self) -> Three:
        return _three(map(Fraction, self.step.constants))

    @property
    def levels(self) -> Three:
        """The constants in grey levels."""
        return _three(c / b for c, b in zip(self.constants, self.before, strict=True))


def _three(numbers: Iterator[Fraction]) -> Three:
    first, second, third = numbers
    return first, second, third


def _parts(mode: Mode) -> list[_Part]:
    """The mean is what is added or subtracted, the std what divides afterwards; the others are scales."""
    parts: list[_Part] = []
    before: Three = (Fraction(1), Fraction(1), Fraction(1))
    for step in mode.steps:
        role = "mean" if step.operation in ("add", "subtract") else "scale"
        if step.operation == "divide" and any(part.role.startswith("mean") for part in parts):
            role = "std"
        count = sum(part.role.startswith(role) for part in parts)
        parts.append(_Part(f"{role}_{count + 1}" if count else role, step, before))
        if role != "mean":
            factors = [f if step.operation == "multiply" else 1 / f for f in parts[-1].constants]
            before = _three(b * f for b, f in zip(before, factors, strict=True))
    return parts


def _mutants(mode: Mode) -> Iterator[tuple[str, str, Mode]]:
    """What is done, a sentence on it, and the mode that comes of it; equal ones, too."""
    parts = _parts(mode)
    steps = list(mode.steps)

    def made(changed: Sequence[Step], order: Sequence[int] = mode.order) -> Mode:
        return Mode(f"mutant of {mode.name}"[:60], order, changed)

    backwards = mode.order[::-1]
    letters, reverse = mode.channel_order, mode.channel_order[::-1]
    stay = "; the constants stay where they are" if steps else ""
    yield "order_reversed", f"The channels come out as {reverse}, where {mode.name} has {letters}{stay}.", made(
        steps, backwards
    )
    flipped = [_with(step, step.constants[::-1]) for step in steps]
    text = f"The channels come out as {reverse}, where {mode.name} has {letters}, each with its own constants."
    yield "order_and_constants_reversed", text, made(flipped, backwards)
    changes: list[tuple[str, str, list[Step]]] = [
        (what, why, [s for s in new if s is not None])
        for what, why, change in _CHANGES
        if None not in (new := [change(part) for part in parts])
    ]
    if len(steps) > 1:
        for what, why, new in changes:
            if sum(a != b for a, b in zip(new, steps, strict=True)) > 1:
                yield f"constants_{what}", f"The constants of all steps are {why}.", made(new)
    for at, part in enumerate(parts):
        old = part.step

        def instead(*new: Step, at: int = at) -> Mode:
            return made([*steps[:at], *new, *steps[at + 1 :]])

        for what, why, change in (*_CHANGES, *_OF_ROLES.get(part.role.partition("_")[0], ())):
            if (one := change(part)) is not None:
                if what == "to_whole_levels" and part.step.operation != "multiply" and part.before != (1, 1, 1):
                    why = f"which is {_listed([str(round(level)) for level in part.levels])} whole grey levels"
                yield f"{part.role}_{what}", _story(one, why, mode, old), instead(one)
        yield f"{part.role}_dropped", f"The step that {_does(old)} is missing.", instead()
        yield f"{part.role}_doubled", f"The step that {_does(old)} is done twice.", instead(old, old)
        opposite = Step(OPPOSITE[old.operation], old.constants)
        yield f"{part.role}_inverted", f"It {_does(opposite)}, where {mode.name} {_does(old)}.", instead(opposite)
        if at + 1 < len(parts):
            after = parts[at + 1]
            text = f"It first {_does(after.step)} and then {_does(old)}, which {mode.name} does the other way round."
            swapped = [*steps[:at], after.step, old, *steps[at + 2 :]]
            yield f"{after.role}_before_{part.role}", text, made(swapped)
        if part.role in ("mean", "std"):
            for other, new in _of_others(mode, part):
                whose = f"the {part.role} of {other}{_WHOSE.get(other, '')}"
                yield f"{part.role}_of_{other}", _story(new, whose, mode, old), instead(new)
    if steps:
        again = [_with(step, [step.constants[c] for c in mode.order]) for step in steps]
        text = f"The image is preprocessed twice: {mode.name} of what {mode.name} has made of it."
        yield "applied_twice", text, made([*again, *steps], [mode.order[c] for c in mode.order])


def _story(new: Step, why: str, mode: Mode, old: Step) -> str:
    return f"It {_does(new)}, {why}, where {mode.name} {_does(old)}."


def _does(step: Step) -> str:
    return f"{_DOES[step.operation]} {_listed(step.constants)}"


def _listed(constants: Sequence[str]) -> str:
    return f"({', '.join(constants)})" if len({*constants}) > 1 else constants[0]


def _with(step: Step, constants: Sequence[Fraction | str]) -> Step:
    return Step(step.operation, [c if isinstance(c, str) else decimal_of(c) for c in constants])


# One step with other constants; None where that is no step -------------------------------------------------------------

Change = Callable[[_Part], Step | None]


def _changed(compute: Callable[[_Part], Sequence[Fraction]]) -> Change:
    def change(part: _Part) -> Step | None:
        constants = compute(part)
        is_zero = part.step.operation in ("divide", "multiply") and not all(constants)
        return None if is_zero else _with(part.step, constants)

    return change


def _whole(part: _Part) -> Sequence[Fraction]:
    if part.step.operation == "multiply":
        return part.constants  # a factor is in no grey levels
    return [round(level) * before for level, before in zip(part.levels, part.before, strict=True)]


def _root(part: _Part) -> Sequence[Fraction]:
    return [Fraction(repr(abs(float(c)) ** 0.5)) for c in part.constants]


_CHANGES: tuple[tuple[str, str, Change], ...] = (
    ("reversed", "in the reverse order", _changed(lambda part: part.constants[::-1])),
    ("to_3_digits", "rounded to 3 decimal places", _changed(lambda part: [round(c, 3) for c in part.constants])),
    ("to_2_digits", "rounded to 2 decimal places", _changed(lambda part: [round(c, 2) for c in part.constants])),
    ("to_whole_levels", "rounded to whole grey levels", _changed(_whole)),
    ("alike", "the mean of the three for each channel", _changed(lambda part: [sum(part.constants, Fraction()) / 3] * 3)),
)
_OF_ROLES: Mapping[str, tuple[tuple[str, str, Change], ...]] = {
    "mean": (
        ("times_255", "255 times what it should be", _changed(lambda part: [c * 255 for c in part.constants])),
        ("over_255", "a 255th of what it should be", _changed(lambda part: [c / 255 for c in part.constants])),
    ),
    "std": (
        ("squared", "its square, the variance", _changed(lambda part: [c * c for c in part.constants])),
        ("rooted", "its square root", _changed(_root)),
    ),
}

_WHOSE = {"torch": " (ImageNet's)", "caffe": " (ImageNet's, of the VGG weights)"}


def _plain(constant: Fraction) -> Fraction:
    """The decimal of 12 digits that it misses by no more than a scale written in float64, or itself."""
    short = Fraction(f"{float(constant):.12g}")
    return short if abs(short - constant) <= abs(constant) / 10**15 else constant


def _of_others(mode: Mode, part: _Part) -> Iterator[tuple[str, Step]]:
    """The mean or std of other modes, in the unit of this one, each colour with its own; the nearest, and ImageNet's."""
    found: dict[tuple[str, ...], tuple[float, str, Step]] = {}
    for name, other in (*MODES.items(), *PUBLISHED.items()):
        theirs = next((p for p in _parts(other) if p.role == part.role), None)
        if theirs is None:
            continue
        levels = [theirs.levels[other.order.index(colour)] for colour in mode.order]
        if theirs.step.operation != part.step.operation:
            levels = [-level for level in levels]
        far = max(abs(a - b) for a, b in zip(levels, part.levels, strict=True))
        step = _with(part.step, [_plain(level * before) for level, before in zip(levels, part.before, strict=True)])
        if far > ROUNDING:
            found.setdefault(step.constants, (float(far), name, step))
    nearest = sorted(found.values(), key=lambda each: each[0])
    for number, (_, name, step) in enumerate(nearest):
        if number < _OTHERS or name in _WHOSE:
            yield name, step
