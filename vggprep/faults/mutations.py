"""Mutations: how a mode's definition is got wrong, made of the definition itself, for any mode.

Digits are rounded as constants are written, in their own unit; to whole numbers in grey levels, where people round.
Whether a mutation changes anything is decided in rational numbers: for each output channel, the input channel, scale
and offset that its steps amount to (``configurations.affine``). Imports the gallery's rows and published modes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vggprep.configurations.affine import ROUNDING, amount, lines
from vggprep.configurations.decimals import decimal_of
from vggprep.configurations.words import OPPOSITE
from vggprep.faults.constants import ROWS
from vggprep.faults.fault import Fault, of_rows
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode, ModeName, Operation, Step, definition

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


class _Step(NamedTuple):
    """A step with constants that need be no decimals."""

    operation: Operation
    constants: Three

    @property
    def written(self) -> Step:
        return Step(self.operation, [decimal_of(constant) for constant in self.constants])

    @property
    def does(self) -> str:
        return f"{_DOES[self.operation]} {_listed(self.written.constants)}"


def _listed(constants: Sequence[str]) -> str:
    return f"({', '.join(constants)})" if len({*constants}) > 1 else constants[0]


class _Part(NamedTuple):
    """A step and what it is called; ``before``: the scale, by channel, of the values that it gets."""

    role: str
    step: _Step
    before: Three

    @property
    def constants(self) -> Three:
        return self.step.constants

    @property
    def levels(self) -> Three:
        """The constants in grey levels."""
        return _three(c / b for c, b in zip(self.constants, self.before, strict=True))


class _Mutant(NamedTuple):
    """What is done, a sentence on it, and the definition that comes of it; of some, the mode's own."""

    what: str
    story: str
    order: Sequence[int]
    steps: Sequence[_Step]


@functools.cache
def mutated(name: ModeName) -> Mutations:
    """The mutations of the mode of that name, in a fixed order.

    Raises:
        ValueError: an unknown name.
    """
    mode = definition(name)
    found = {lines(fault.rows[name]): fault.name for fault in ROWS if name in fault.rows}
    faults, equal, folded = [], [], {}
    for mutant in _mutants(mode):
        called, does = f"{name}:{mutant.what}", amount(mutant.order, mutant.steps)
        if does == lines(mode):
            equal.append(called)
        elif (first := found.setdefault(does, called)) != called:
            folded[called] = first
        else:
            wrong = Mode(name, mutant.order, [step.written for step in mutant.steps])
            faults.append(of_rows(called, mutant.story, None, {name: wrong}))
    return Mutations(tuple(faults), tuple(equal), folded)


def _three(numbers: Iterable[Fraction]) -> Three:
    first, second, third = numbers
    return first, second, third


def _parts(mode: Mode) -> list[_Part]:
    """The mean is what is added or subtracted, the std what divides afterwards; the others are scales."""
    parts: list[_Part] = []
    before: Three = (Fraction(1), Fraction(1), Fraction(1))
    for operation, constants in mode.definition[1]:
        role = "mean" if operation in ("add", "subtract") else "scale"
        if operation == "divide" and any(part.role.startswith("mean") for part in parts):
            role = "std"
        count = sum(part.role.startswith(role) for part in parts)
        parts.append(_Part(f"{role}_{count + 1}" if count else role, _Step(operation, _three(constants)), before))
        if role != "mean":
            factors = [c if operation == "multiply" else 1 / c for c in constants]
            before = _three(b * f for b, f in zip(before, factors, strict=True))
    return parts


def _mutants(mode: Mode) -> Iterator[_Mutant]:
    parts = _parts(mode)
    steps = [part.step for part in parts]
    turned = f"The channels come out as {mode.channel_order[::-1]}, where {mode.name} has {mode.channel_order}"
    backwards = mode.order[::-1]
    stay = "; the constants stay where they are" if steps else ""
    yield _Mutant("order_reversed", f"{turned}{stay}.", backwards, steps)
    flipped = [step._replace(constants=step.constants[::-1]) for step in steps]
    yield _Mutant("order_and_constants_reversed", f"{turned}, each with its own constants.", backwards, flipped)
    for what, why, change in _CHANGES:
        new = [step for part in parts if (step := change(part)) is not None]
        if len(new) == len(steps) and sum(a != b for a, b in zip(new, steps, strict=True)) > 1:
            yield _Mutant(f"constants_{what}", f"The constants of all steps are {why}.", mode.order, new)
    for at, part in enumerate(parts):
        for what, story, between in _of_one(mode, part):
            yield _Mutant(what, story, mode.order, [*steps[:at], *between, *steps[at + 1 :]])
        if at + 1 < len(parts):
            after = parts[at + 1]
            story = f"It first {after.step.does} and then {part.step.does}, which {mode.name} does the other way round."
            swapped = [*steps[:at], after.step, part.step, *steps[at + 2 :]]
            yield _Mutant(f"{after.role}_before_{part.role}", story, mode.order, swapped)
    if steps:
        first = [step._replace(constants=_three(step.constants[c] for c in mode.order)) for step in steps]
        story = f"The image is preprocessed twice: {mode.name} of what {mode.name} has made of it."
        yield _Mutant("applied_twice", story, [mode.order[c] for c in mode.order], [*first, *steps])


def _of_one(mode: Mode, part: _Part) -> Iterator[tuple[str, str, list[_Step]]]:
    """The mutations of one step: what, the story, and what takes its place."""
    role, old = part.role, part.step

    def instead(new: _Step, why: str = "") -> tuple[str, list[_Step]]:
        return f"It {new.does}{why and f', {why}'}, where {mode.name} {old.does}.", [new]

    for what, why, change in (*_CHANGES, *_OF_ROLES.get(role.partition("_")[0], ())):
        if (new := change(part)) is not None:
            if what == "to_whole_levels" and any(before != 1 for before in part.before):
                why = f"which is {_listed([str(round(level)) for level in part.levels])} whole grey levels"
            yield f"{role}_{what}", *instead(new, why)
    yield f"{role}_dropped", f"The step that {old.does} is missing.", []
    yield f"{role}_doubled", f"The step that {old.does} is done twice.", [old, old]
    yield f"{role}_inverted", *instead(_Step(OPPOSITE[old.operation], old.constants))
    if role in ("mean", "std"):
        for other, new in _of_others(mode, part):
            yield f"{role}_of_{other}", *instead(new, f"the {role} of {other}{_WHOSE.get(other, '')}")


# One step with other constants; None where that is no step --------------------------------------------------------

Change = Callable[[_Part], _Step | None]


def _changed(compute: Callable[[_Part], Sequence[Fraction]]) -> Change:
    def change(part: _Part) -> _Step | None:
        constants = _three(compute(part))
        is_zero = part.step.operation in ("divide", "multiply") and not all(constants)
        return None if is_zero else part.step._replace(constants=constants)

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
    (
        "alike",
        "the mean of the three for each channel",
        _changed(lambda part: [sum(part.constants, Fraction()) / 3] * 3),
    ),
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


def _of_others(mode: Mode, part: _Part) -> Iterator[tuple[str, _Step]]:
    """The mean or std of other modes, in the unit of this one, by colour: the nearest, and ImageNet's."""
    found: dict[Three, tuple[float, str, _Step]] = {}
    for name, other in (*MODES.items(), *PUBLISHED.items()):
        theirs = next((p for p in _parts(other) if p.role == part.role), None)
        if theirs is None:
            continue
        levels = [theirs.levels[other.order.index(colour)] for colour in mode.order]
        if theirs.step.operation != part.step.operation:
            levels = [-level for level in levels]
        far = max(abs(a - b) for a, b in zip(levels, part.levels, strict=True))
        constants = _three(_plain(level * before) for level, before in zip(levels, part.before, strict=True))
        if far > ROUNDING:
            found.setdefault(constants, (float(far), name, part.step._replace(constants=constants)))
    nearest = sorted(found.values(), key=lambda each: each[0])
    for number, (_, name, step) in enumerate(nearest):
        if number < _OTHERS or name in _WHOSE:
            yield name, step


def _plain(constant: Fraction) -> Fraction:
    """The decimal of 12 digits that it misses by no more than a scale written in float64, or itself."""
    short = Fraction(f"{float(constant):.12g}")
    return short if abs(short - constant) <= abs(constant) / 10**15 else constant
