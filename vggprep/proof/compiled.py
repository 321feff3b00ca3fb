"""The definition and the search for errors, compiled with numba: the bits of ``oracle.exact_plane``, and where to look.

Nothing here decides. ``shards`` judges with NumPy the blocks in which these loops see something wrong, or errors worse
than all before, and leaves out the others. Errors are computed here in fewer operations than there, so what comes as
near to the worst as ``UNITS`` or ``LEVELS`` is looked at as well: many times what float64 blurs.

Imports numba, hence itself imported only for work that repays it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from vggprep import oracle, tolerance
from vggprep.cases import Array
from vggprep.spec import Direction, ModeName

UNITS, LEVELS = 1e-5, 1e-11

WRONG, WORSE, _MAYBE = 1, 2, 4
"""What is flagged of a block: a wrong value, an error that is the largest so far, and one that comes near to it."""

_CHUNK = 1024
"""Values that go through one step after the other: they stay in the innermost cache."""


def exact_plane(x: Array, direction: Direction, mode: ModeName, channel: int) -> Array:
    """``oracle.exact_plane`` of one dimension, bit for bit."""
    out = np.empty(x.shape, np.float32)
    _steps_in_turn(_float(x), *_named_steps(direction, mode, channel), out)
    return out


@cache
def _named_steps(direction: Direction, mode: ModeName, channel: int) -> tuple[Array, Array]:
    steps = oracle.operations(direction, mode, channel)
    constants = [oracle.round_rational(step.constant, oracle.FORMATS["float32"]) for step in steps]
    return np.array([ord(step.operation[0]) for step in steps], np.int64), np.array(constants, np.float32)


@cache
def _real_steps(direction: Direction, mode: ModeName, channel: int) -> tuple[Array, Array, Array, Array]:
    """The steps of ``oracle.real_plane``, and those of ``S``."""
    steps = oracle.operations(direction, mode, channel)
    names = np.array([ord(step.operation[0]) for step in steps], np.int64)
    constants = np.array([float(step.constant) for step in steps], np.float64)
    return names, constants, np.where(names == ord("s"), ord("a"), names), np.abs(constants)


@cache
def affine(direction: Direction, mode: ModeName, channel: int) -> tuple[float, float]:
    """The formula of a preprocessed channel as a scale and an offset."""
    offset = oracle.one_real(0, direction, mode, channel)
    return float(oracle.one_real(1, direction, mode, channel) - offset), float(offset)


def _float(x: Array) -> Array:
    return x if x.dtype == np.float32 else x.astype(np.float64)


class Watch:
    """Which blocks of a plane NumPy has to judge.

    ``units`` and ``levels`` are the worst errors so far, in ``u·S`` and in grey levels: -1 for none, infinite if no
    right value counts any more. Raises whatever numba raises when it cannot compile.
    """

    def __init__(self, direction: Direction, mode: ModeName, block: int, units: float, levels: float) -> None:
        self.direction, self.mode, self.block = direction, mode, block
        self.units, self.levels = units, levels

    def floats(self, original: Array, given: Array, got: Array, expected: Array | None, channel: int) -> Array:
        """The flags of a float32 plane; without the ``expected`` bits, the bound decides."""
        flags = np.zeros(-(-len(got) // self.block), np.uint8)
        forward, roundoff = self.direction == "forward", oracle.FORMATS["float32"].unit_roundoff
        line, values = affine(self.direction, self.mode, channel), _float(given)
        limits = np.array([tolerance.limit("float32"), tolerance.PIXEL_LIKE])
        if expected is not None:
            _other_bits(got, expected, self.block, flags)
        else:
            bound = (tolerance.bound(self.mode) - UNITS) * roundoff
            _unfaithful(values, got, *line, limits[0], bound, self.block, flags)
        pixels = values if forward else _float(original)
        grey = float(oracle.grey_levels(self.mode)[channel]) if forward else 1.0
        near = np.array([_below(self.units, UNITS) * roundoff, _below(self.levels, LEVELS) / abs(grey)])
        _larger(pixels, values, got, forward, *line, limits, near, self.block, flags)
        most = np.array([self.units, self.levels])
        for number in np.flatnonzero(flags & _MAYBE):
            at = slice(number * self.block, (number + 1) * self.block)
            real = _real_steps(self.direction, self.mode, channel)
            if _worse(pixels[at], values[at], got[at], forward, real, grey, limits, most, roundoff):
                flags[number] |= WORSE
        return flags & (WRONG | WORSE)

    def pixels(self, original: Array, got: Array, expected: Array) -> Array:
        """The flags of a plane of pixels."""
        flags = np.zeros(-(-len(got) // self.block), np.uint8)
        _other_pixels(_float(original), expected, got, tolerance.PIXEL_LIKE, self.levels, self.block, flags)
        return flags


def _below(worst: float, slack: float) -> float:
    return worst if worst < 0 else max(worst - slack, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _steps_in_turn(x: Any, names: Any, constants: Any, out: Any) -> None:
    """A name is the first letter of an operation. Each is done in float64 and rounded to the dtype of ``out``.

    LLVM may do it in that dtype, which is that of the constants: the bits are the same (Figueroa).
    """
    for start in range(0, len(x), _CHUNK):
        given, chunk = x[start : start + _CHUNK], out[start : start + _CHUNK]
        for i in range(len(chunk)):
            chunk[i] = given[i]
        for step in range(len(names)):
            name, constant = names[step], np.float64(constants[step])
            if name == ord("d"):
                for i in range(len(chunk)):
                    chunk[i] = np.float64(chunk[i]) / constant
            elif name == ord("m"):
                for i in range(len(chunk)):
                    chunk[i] = np.float64(chunk[i]) * constant
            elif name == ord("s"):
                for i in range(len(chunk)):
                    chunk[i] = np.float64(chunk[i]) - constant
            else:
                for i in range(len(chunk)):
                    chunk[i] = np.float64(chunk[i]) + constant


@njit(nogil=True, cache=True, error_model="numpy")
def _other_bits(got: Any, expected: Any, block: int, flags: Any) -> None:
    """Flag the blocks in which the float32 bits differ; NaNs are all equal."""
    for number in range(len(flags)):
        at = slice(number * block, number * block + block)
        bits, others = got[at].view(np.int32), expected[at].view(np.int32)
        mine, right = got[at], expected[at]
        wrong = np.int32(0)
        for i in range(len(mine)):
            wrong |= np.int32((bits[i] != others[i]) & ((mine[i] == mine[i]) | (right[i] == right[i])))
        flags[number] |= WRONG * wrong


@njit(nogil=True, cache=True, error_model="numpy")
def _any_between(x: Any, least: float, most: float) -> Any:
    found = np.int32(0)
    for i in range(len(x)):
        found |= np.int32((abs(x[i]) > least) & (abs(x[i]) <= most))
    return found != 0


@njit(nogil=True, cache=True, error_model="numpy")
def _unfaithful(
    given: Any, got: Any, scale: float, offset: float, limit: float, bound: float, block: int, flags: Any
) -> None:
    """Flag the blocks in which ``got`` may be further than ``bound`` times ``S`` from the formula.

    Beyond ``limit`` as ``tolerance.unfaithful`` has it, in modes whose target is NaN for NaN alone.
    """
    for number in range(len(flags)):
        at = slice(number * block, number * block + block)
        values, results = given[at], got[at]
        some = np.int64(0)
        for i in range(len(results)):
            value, result = np.float64(values[i]), np.float64(results[i])
            some |= np.int64(not (abs(result - (value * scale + offset)) <= bound * (abs(value * scale) + abs(offset))))
        wrong = np.int64(0)
        for i in range(len(results) if some else 0):
            value, result = np.float64(values[i]), np.float64(results[i])
            target, size = value * scale + offset, abs(value * scale) + abs(offset)
            far = not (abs(result - target) <= bound * size)
            within = (abs(value) <= limit) & (abs(target) <= limit)
            other = (value != value) != (result != result)
            infinite = (abs(value) == np.inf) & (result != target)
            sign = (abs(result) == np.inf) & ((result > 0) != (target > 0))
            wrong |= np.int64(far & (within | other | infinite | sign))
        flags[number] |= WRONG * wrong


@njit(nogil=True, cache=True, error_model="numpy")
def _larger(
    original: Any, given: Any, got: Any, forward: bool, scale: float, offset: float,
    limits: Any, most: Any, block: int, flags: Any,
) -> None:  # fmt: skip
    """Flag the blocks with errors above ``most``: as a factor of ``S`` and in the output's units, a limit for each.

    ``scale`` and ``offset`` are the formula's. Forward ``got`` is compared with the formula, back with the original.
    A negative ``most`` stands for none so far: blocks with any value within its limit are flagged.
    """
    for number in range(len(flags)):
        at = slice(number * block, number * block + block)
        values, results, pixels = given[at], got[at], original[at]
        units, levels = most[0], most[1]
        if (levels < 0 and _any_between(pixels, -1.0, limits[1])) or (
            units < 0 and _any_between(pixels, -1.0, limits[0])
        ):
            flags[number] |= WORSE
            continue
        worse = np.int64(0)
        if forward:
            for i in range(len(results)):
                line = np.float64(values[i]) * scale
                worse |= np.int64(abs(np.float64(results[i]) - (line + offset)) > units * (abs(line) + abs(offset)))
        else:
            for i in range(len(results)):
                size = abs(np.float64(values[i]) * scale) + abs(offset)
                worse |= np.int64(abs(np.float64(results[i]) - np.float64(pixels[i])) > units * size)
        # Smaller ones are no more than so many units off.
        least = (levels / units - abs(offset)) / abs(scale) if forward and units > 0 else -1.0
        for i in range(len(results) if not worse and _any_between(pixels, least, limits[1]) else 0):
            pixel = np.float64(pixels[i])
            right = np.float64(values[i]) * scale + offset if forward else pixel
            worse |= np.int64((abs(pixel) <= limits[1]) & (abs(np.float64(results[i]) - right) > levels))
        flags[number] |= _MAYBE * worse


@njit(nogil=True, cache=True, error_model="numpy")
def _worse(
    original: Any, given: Any, got: Any, forward: bool, real: Any, grey: float, limits: Any, most: Any, roundoff: float,
) -> Any:  # fmt: skip
    """``_larger`` of one block, by the operations of ``shards``; ``real``: those of the formula and of ``S``."""
    names, constants, sizes, magnitudes = real
    target, size = np.empty(len(got)), np.empty(len(got))
    _steps_in_turn(given, names, constants, target)
    _steps_in_turn(np.abs(given), sizes, magnitudes, size)
    worse = np.int64(0)
    for i in range(len(got)):
        pixel, result = np.float64(original[i]), np.float64(got[i])
        difference = abs(result - (target[i] if forward else pixel))
        within = (abs(pixel) <= limits[0]) & (abs(target[i] if forward else result) <= limits[0])
        worse |= np.int64(within & (difference / size[i] / roundoff > most[0]))
        worse |= np.int64((abs(pixel) <= limits[1]) & (difference * grey > most[1]))
    return worse != 0


@njit(nogil=True, cache=True, error_model="numpy")
def _other_pixels(original: Any, expected: Any, got: Any, limit: float, most: float, block: int, flags: Any) -> None:
    """Flag the blocks with pixels other than the ``expected``, rounded and clipped, or further off than ``most``.

    A block in which a whole number of 0..255 is not restored is flagged as well: these are counted.
    """
    for number in range(len(flags)):
        at = slice(number * block, number * block + block)
        pixels, right, results = original[at], expected[at], got[at]
        wrong, worse = np.int32(0), np.int64(0)
        for i in range(len(results)):
            wrong |= np.int32(np.float32(results[i]) != min(max(np.rint(right[i]), np.float32(0)), np.float32(255)))
        for i in range(len(results) if _any_between(pixels, -1.0, limit) else 0):
            result, pixel = np.float64(results[i]), np.float64(pixels[i])
            clipped = min(max(pixel, 0.0), 255.0)
            worse |= np.int64((abs(pixel) <= limit) & (abs(result - clipped) > most))
            worse |= np.int64((clipped == pixel) & (pixel == np.rint(pixel)) & (result != pixel))
        flags[number] |= WRONG * wrong | WORSE * worse
