"""Witnesses: for each fault that gives wrong values, an input for which it is off by more than the bound, exactly.

The inputs are those of the corpus, the outputs the fault's; the error of each is computed in rationals. Nothing is left
to float64 but the choice of the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import Array, Cell, available_dtypes, panel, regimes
from vggprep.faults import FAULTS, Fault
from vggprep.oracle import FORMATS
from vggprep.spec import DTYPES, FLOATS, ModeName

VALUES = ("value", "every_byte", "restores_floats", "restores_pixels")
"""The checks that judge values by the definition: what they catch is a wrong value."""


class Witness(NamedTuple):
    """An input of one channel, what the fault makes of it, and the error, in ``u·S``: for pixels beyond rounding."""

    mode: ModeName
    dtype: str
    channel: int
    value: float
    got: float
    error: Fraction


def wrong_values() -> list[Fault]:
    """The faults of the gallery that give wrong values; what refuses some gives none."""
    return [fault for fault in FAULTS if fault.caught_by in VALUES and fault.name != "values_above_255_refused"]


def witness(fault: Fault, dtype: str, modes: tuple[ModeName, ...] | None = None) -> Witness | None:
    """The worst input of the corpus for a fault in a dtype; ``None`` where nothing is off at all, or is refused."""
    found = [each for mode in modes or fault.modes for each in _in_mode(fault, mode, dtype)]
    return max(found, key=lambda one: one.error, default=None)


def _in_mode(fault: Fault, mode: ModeName, dtype: str) -> Iterator[Witness]:
    function = fault.preprocess if fault.direction == "forward" else fault.deprocess
    assert function is not None
    cell = Cell(mode, "channels_last", dtype, 4)
    for regime in regimes(fault.direction, dtype):
        x = panel(fault.direction, cell, regime).array()
        try:
            got = function(x.copy(), "channels_last", mode)
        except (TypeError, ValueError):
            continue
        if got.shape == x.shape:
            for channel, source, target in oracle.routes(fault.direction, mode):
                yield from _worst(fault, mode, dtype, channel, x[..., source].ravel(), got[..., target].ravel())


def _worst(fault: Fault, mode: ModeName, dtype: str, channel: int, values: Array, got: Array) -> Iterator[Witness]:
    inputs, results = values.astype(np.float64), got.astype(np.float64)
    name, computed = str(got.dtype.name), oracle.computed_dtype(dtype, mode, fault.direction)
    pixels = fault.direction == "inverse" and name not in FORMATS
    # Integers that stay integers are exact in any format: the error is at least 1.
    fmt = next((each for each in (name, computed) if each in FORMATS), "float32")
    with np.errstate(all="ignore"):
        target, scale = oracle.real_plane(inputs, fault.direction, mode, channel)
        if pixels:
            target = np.clip(target, 0, 255)
        units = np.abs(results - target) / scale
        most = tolerance.limit(dtype, fmt)
        judged = np.isfinite(units) & (np.abs(inputs) <= most) & (np.abs(target) <= most)
    if not judged.any():
        return
    at = int(np.argmax(np.where(judged, units, -1)))
    value, result = values[at].item(), float(results[at])
    right = oracle.one_real(value, fault.direction, mode, channel)
    off = abs(Fraction(result) - (min(max(right, Fraction(0)), Fraction(255)) if pixels else right))
    size = oracle.one_scale(value, fault.direction, mode, channel, fmt)
    if size:
        beyond = max(off - Fraction(1, 2), Fraction(0)) if pixels else off
        yield Witness(mode, dtype, channel, float(value), result, beyond / size * (1 << FORMATS[fmt].precision))


def table() -> str:
    """The rows of the page: each fault with its witness, and what is left of it in float16."""
    lines = [
        "| fault | mode | dtype | input | it gives | off by, `u·S` | in float16 |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for fault in wrong_values():
        order = ["float32", *(d for d in DTYPES if d in available_dtypes() and d not in ("float32", "float16"))]
        order = [d for d in order if fault.direction == "forward" or d in FLOATS]
        found = (one for dtype in order if (one := witness(fault, dtype)) and one.error > tolerance.bound(one.mode))
        best = next(found, None)
        half = witness(fault, "float16")
        assert best is not None, fault.name
        least = "–" if half is None else f"{float(half.error):.3g}"
        said = f"{least}, within the bound" if half and half.error <= tolerance.bound(half.mode) else least
        row = [f"`{fault.name}`", best.mode, best.dtype, f"{best.value:g}", f"{best.got:g}", f"{float(best.error):.3g}"]
        lines.append(f"| {' | '.join([*row, said])} |")
    return "\n".join(lines) + "\n"
