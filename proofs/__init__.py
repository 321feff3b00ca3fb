"""Scripts for Gappa, made of the spec: how far arithmetic in a format can be from the definition, for every input.

A *program* is what a function computes of one number: operations, each with the constant of the definition, the
constant that is used in its place, and the format that its result is rounded to. Its script says, step by step,

- ``y``, what is computed: a rounding turns ``z`` into ``z + z·d + h`` with ``|d| <= u`` and ``|h| <= eta``, the former
  for normal numbers, the latter for those below (``rounding`` proves that of each format, by Gappa's own rounding);
- ``r``, what the definition says, in real numbers, and ``f``, which is ``S`` carried to that step;
- how the error of a step, in units of ``f``, comes of that of the step before. Gappa checks these equations.

``x = s·a`` with ``-1 <= s <= 1`` is the input, of either sign; ``q`` is the share of the constants in ``S``, which
Gappa cuts into ``PIECES``. Constants are rounded by Gappa. The conclusion is also that no step overflows.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from vggprep import oracle, tolerance
from vggprep.configurations.affine import lines
from vggprep.oracle import FORMATS, Arithmetic
from vggprep.spec import Direction, ModeName, definition

PIECES = 16
"""Parts that the range of ``q`` is cut into: twice as many take twice the time, and give bounds 2 % lower."""

_GAPPA = ("gappa", "-Eprecision=96", "-Wno-null-denominator")
"""Enough bits for constants that float64 rounds. ``S`` is never 0."""


@dataclass(frozen=True)
class Operation:
    """``value = value <operation> used``, rounded to ``fmt`` (``None``: not rounded), where ``ideal`` is right.

    ``used`` is an expression of Gappa; an operation that adds nothing to the input is its cast to ``fmt``.
    """

    operation: Arithmetic
    ideal: Fraction
    used: str
    fmt: str | None


Program = tuple[Operation, ...]


_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_AND = " /\\ "


def _text(number: Fraction) -> str:
    """A decimal if it is a short one, else a fraction."""
    if 10**6 % number.denominator == 0:
        return str(float(number)) if number >= 0 else f"({float(number)})"
    return f"({number.numerator}/{number.denominator})"


def _lowest(fmt: str) -> int:
    """The exponent of the smallest positive number."""
    return FORMATS[fmt].emin - FORMATS[fmt].precision + 1


def _rounded(constant: Fraction | str, fmt: str) -> str:
    """By way of float64, as a Python float meets an array."""
    wide = f"float64({constant if isinstance(constant, str) else _text(constant)})"
    return wide if fmt == "float64" else f"{fmt}({wide})"


def reference(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    """The order of ``vggprep.reference``, of Keras's arrays and of the kernels."""
    steps = oracle.operations(direction, mode, channel)
    return tuple(Operation(name, constant, _rounded(constant, fmt), fmt) for name, constant in steps)


def _cast_first(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    return (Operation("add", Fraction(0), "0", fmt), *reference(direction, mode, channel, fmt))


def _reciprocals(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    def turned(step: Operation) -> Operation:
        if step.operation in ("add", "subtract"):
            return step
        other: Arithmetic = "multiply" if step.operation == "divide" else "divide"
        return Operation(other, 1 / step.ideal, f"{fmt}(1/{step.used})", fmt)

    return tuple(map(turned, reference(direction, mode, channel, fmt)))


def _line(direction: Direction, mode: ModeName, channel: int) -> tuple[Fraction, Fraction, str, str]:
    """Scale and offset, and the expressions of them in float64."""
    _, scale, offset = lines(definition(mode))[channel]
    wide_scale, wide_offset = _rounded(scale, "float64"), _rounded(offset, "float64")
    if direction == "forward":
        return scale, offset, wide_scale, wide_offset
    return 1 / scale, -offset / scale, f"float64(1/{wide_scale})", f"float64(-{wide_offset}/{wide_scale})"


def _folded(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    scale, offset, wide_scale, wide_offset = _line(direction, mode, channel)
    return (
        Operation("multiply", scale, _rounded(wide_scale, fmt), fmt),
        Operation("add", offset, _rounded(wide_offset, fmt), fmt),
    )


def _fused(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    product, total = _folded(direction, mode, channel, fmt)
    return replace(product, fmt=None), total


def _wider(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    wide = "float64" if fmt == "float32" else "float32"
    return (*reference(direction, mode, channel, wide), Operation("add", Fraction(0), "0", fmt))


def _grey_levels(direction: Direction, mode: ModeName, channel: int, fmt: str) -> Program:
    scale, offset, wide_scale, wide_offset = _line("forward", mode, channel)
    mean = -offset / scale
    std = Operation("divide", 1 / scale, _rounded(f"float64(1/{wide_scale})", fmt), fmt)
    level = Operation("subtract", mean, _rounded(f"float64(-{wide_offset}/{wide_scale})", fmt), fmt)
    if direction == "forward":
        return level, std
    return replace(std, operation="multiply"), replace(level, operation="add")


REARRANGEMENTS: Mapping[str, Callable[[Direction, ModeName, int, str], Program]] = {
    "reference": reference,
    "input cast first": _cast_first,
    "reciprocals": _reciprocals,
    "folded scale and offset": _folded,
    "fused multiply-add": _fused,
    "wider inside": _wider,
    "grey levels, plane by plane": _grey_levels,
}
"""The orders of operations that have proofs: that of the definition, and what honest implementations do instead."""


def programs(rearrangement: str, direction: Direction, mode: ModeName, fmt: str) -> tuple[Program, ...]:
    """The programs of the channels, without repetition; none for float64 in something wider.

    Operations that change nothing and round nothing, such as a factor of 1, are left out.
    """
    if rearrangement == "wider inside" and fmt == "float64":
        return ()
    made = (REARRANGEMENTS[rearrangement](direction, mode, channel, fmt) for channel in range(3))
    kept = (tuple(op for op in program if op.operation in ("add", "subtract") or op.ideal != 1) for program in made)
    return tuple(dict.fromkeys(kept))


def script(program: Program, bound: str | None) -> str:
    """The script that proves the program's error to be at most ``bound`` (a decimal) in ``u·S``; ``None`` asks."""
    scale, offset = Fraction(1), Fraction(0)
    for op in program:
        if op.operation in ("add", "subtract"):
            offset += abs(op.ideal)
        else:
            factor = op.ideal if op.operation == "multiply" else 1 / op.ideal
            scale, offset = scale * factor, offset * factor
    constants, formats = offset / scale, sorted({"float64", *(op.fmt for op in program if op.fmt)})
    limit = Fraction(tolerance.limit(*formats))
    named = [f"@{fmt} = float<{FORMATS[fmt].precision},{_lowest(fmt)},ne>;" for fmt in formats]
    named += ["x = s * a;", f"f0 = a + {_text(constants)};", f"q = {_text(constants)} / f0;"]
    hints = ["x / f0 -> s * (1 - q);"]
    given, wanted = ["s in [-1,1]", f"a in [0,{min(limit, ceil((limit + offset) / scale))}]"], []
    y, r, f, carried, error = "x", "x", "f0", Fraction(1), "0"
    for k, op in enumerate(program, 1):
        ideal, sign = _text(op.ideal), _SIGNS[op.operation]
        named += [f"c{k} = {op.used};", f"t{k} = {y} {sign} c{k};", f"r{k} = {r} {sign} {ideal};"]
        if op.operation in ("add", "subtract"):
            share = _text(op.ideal / carried / constants)
            off = f"(c{k} - {ideal}) / {ideal} * {share} * q" if op.ideal else "0"
            hints += [f"r{k} / {f} -> {r} / {f} {sign} {share} * q;", f"(t{k} - r{k}) / {f} -> {error} {sign} {off};"]
        else:
            off = f"c{k} / {ideal}" if sign == "*" else f"{ideal} / c{k}"
            named += [f"f{k} = {f} {sign} {ideal};"]
            hints += [f"r{k} / f{k} -> {r} / {f};"]
            carried_on = f"{error} * ({off}) + " if error != "0" else ""
            hints += [f"(t{k} - r{k}) / f{k} -> {carried_on}{r} / {f} * ({off} - 1);"]
            f, carried = f"f{k}", carried * op.ideal if sign == "*" else carried / op.ideal
        y, r = f"y{k}", f"r{k}"
        error = f"({y} - {r}) / {f}"
        if op.fmt is None:
            named += [f"{y} = t{k};"]
            continue
        precision, emin, emax = FORMATS[op.fmt]
        named += [f"{y} = t{k} + d{k} * t{k} + h{k};"]
        given += [f"|d{k}| <= 1b-{precision}", f"|h{k}| <= 1b{emin - precision}"]
        wanted += [f"|{y}| <= {2**precision - 1}b{emax - precision + 1}"]
        hints += [f"t{k} / {f} -> (t{k} - {r}) / {f} + {r} / {f};"]
        hints += [f"{error} -> d{k} * (t{k} / {f}) + h{k} / {f} + (t{k} - {r}) / {f};"]
    named += [f"S = a * {_text(scale)} + {_text(offset)};"]
    hints += [f"({y} - {r}) / S -> {error};", f"$ q in {PIECES};"]
    units = f"({y} - {r}) / S * 1b{FORMATS[program[-1].fmt or ''].precision}"
    wanted += [f"{units} in ?" if bound is None else f"|{units}| <= {bound}"]
    return "\n".join([*named, f"{{ {_AND.join(given)}\n  -> {_AND.join(wanted)} }}", *hints]) + "\n"


def rounding(fmt: str) -> tuple[str, str]:
    """The scripts that prove what ``script`` takes for granted of a rounding, for large numbers and for small ones."""
    precision, emin, emax = FORMATS[fmt]
    head = f"@rnd = float<{precision},{_lowest(fmt)},ne>;\n"
    return (
        f"{head}{{ |z| in [1b{emin + 1},1b{emax + 1}] -> |rnd(z) -/ z| <= 1b-{precision} }}\n",
        f"{head}{{ |z| <= 1b{emin + 1} -> |rnd(z) - z| <= 1b{emin - precision} }}\n",
    )


def interchange(mode: ModeName, channel: int, fmt: str, bound: str | None) -> str:
    """The script that proves how many grey levels a byte may be off after two faithful functions, there and back."""
    _, scale, offset = lines(definition(mode))[channel]
    u = f"{tolerance.bound(mode)}b-{FORMATS[fmt].precision}"
    size, k, m = _text(scale), _text(abs(offset) / scale), _text(-offset / scale)
    error = "z - x in ?" if bound is None else f"|z - x| <= {bound}"
    return (
        f"y = (x - {m}) * {size} + e * {u} * ((x + {k}) * {size});\n"
        f"z = y / {size} + {m} + g * {u} * (|y| / {size} + {k});\n"
        f"{{ x in [0,255] /\\ |e| <= 1 /\\ |g| <= 1 -> {error} }}\n"
        f"z - x -> e * {u} * (x + {k}) + g * {u} * (|y| / {size} + {k});\n"
    )


_FOUND = re.compile(r"in \[(-?\d+)(?:b(-?\d+))?(?: {[^}]*})?, (-?\d+)(?:b(-?\d+))?")
"""An interval, its ends as integers times powers of 2."""


@dataclass(frozen=True)
class Answer:
    """What Gappa says of a script: whether all of it is proven, and the largest magnitude where it was asked."""

    proven: bool
    largest: Fraction
    said: str


def ask(text: str) -> Answer:
    """Have Gappa prove a script. It is not proven if Gappa doubts one of its equations.

    Raises:
        FileNotFoundError: Gappa is not installed.
    """
    done = subprocess.run(_GAPPA, input=text, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    ends = (
        abs(int(number)) * Fraction(2) ** int(exponent or 0)
        for found in _FOUND.findall(said)
        for number, exponent in (found[:2], found[2:])
    )
    return Answer(done.returncode == 0 and "not trivially equal" not in said, max(ends, default=Fraction(0)), said)
