"""The definition, the search for errors and digests, compiled with numba: the bits of ``oracle.exact_plane`` and of
``hashlib``, and where to look.

Of values nothing here decides. ``shards`` judges with NumPy the blocks in which these loops see something wrong, or
the largest error of an image if it is worse than all before, and leaves out the others. Where errors are first computed
in fewer operations than there, what comes as near to the worst as ``UNITS`` or ``LEVELS`` is computed again as there:
many times what float64 blurs.

Imports numba, hence itself imported only for work that repays it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from vggprep import oracle, tolerance
from vggprep.cases import Array
from vggprep.spec import Direction, ModeName

UNITS, LEVELS = 1e-6, 1e-11

WRONG, WORSE, MISSING, _MAYBE = 1, 2, 4, 8
"""What is flagged of a block: a wrong value, an error that is the largest so far, a NaN, and that it may hold such an
error."""

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
    constants = [oracle.constant_in(step, "float32") for step in steps]
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


class Prepared(NamedTuple):
    """An image: three planes of its values, those of what the function gets, and the pixels of the latter."""

    originals: Array
    inputs: Array
    pixels: Array


def prepared(firsts: Sequence[int], size: int, dtype: str, mode: ModeName | None, *, no_nan: bool) -> Prepared:
    """``size`` patterns of a 32-bit dtype from ``firsts`` on, one for each channel.

    With a mode the function gets, as float32, what the definition makes of them; with ``no_nan``, 0 instead of NaN.
    """
    bits = np.empty((3, size), np.uint32)
    starts = np.array(firsts, np.uint32)
    originals, pixels = bits.view(dtype), np.empty((size, 3), np.uint32)
    if mode is None:
        _count(starts, bits, pixels.reshape(-1))
        return Prepared(originals, originals, pixels.view(dtype))
    inputs = np.empty((3, size), np.float32)
    names, constants, sources = _all_named_steps(mode)
    _define(starts, bits, originals, names, constants, sources, no_nan, inputs, pixels.view(np.float32).reshape(-1))
    return Prepared(originals, inputs, pixels.view(np.float32))


@cache
def _all_named_steps(mode: ModeName) -> tuple[Array, Array, Array]:
    """Of the way forward, in the order of the preprocessed channels; and the image's channel of each."""
    names, constants = zip(*(_named_steps("forward", mode, channel) for channel in range(3)), strict=True)
    return np.array(names), np.array(constants), np.array([route.source for route in oracle.routes("forward", mode)])


def separate(image: Array, memory: Array) -> list[Array]:
    """The planes of a contiguous image, channels last, of a dtype of 8 or 32 bits, put into ``memory``."""
    unsigned = np.dtype(f"u{image.dtype.itemsize}")
    planes = memory.view(unsigned).reshape(3, -1)
    _separate(image.reshape(-1).view(unsigned), planes)
    return [*planes.view(image.dtype)]


def equal_bits(a: Array, b: Array) -> bool:
    """Whether two contiguous planes of one dtype, of 8 or 32 bits, are the same; of a multiple of eight bytes."""
    return not _difference(a.view(np.int64), b.view(np.int64))


class Watch:
    """Which blocks of an image NumPy has to judge, plane by plane.

    ``units`` and ``levels`` are the worst errors so far, in ``u·S`` and in grey levels: -1 for none, infinite if no
    right value counts any more. Raises whatever numba raises when it cannot compile.
    """

    def __init__(self, direction: Direction, mode: ModeName, block: int, units: float, levels: float) -> None:
        self.direction, self.mode, self.block = direction, mode, block
        self.units, self.levels = units, levels
        self._worst: dict[str, tuple[Array, int]] = {}

    def floats(
        self, original: Array, given: Array, got: Array, channel: int, *, exact: bool, flags: Array | None = None
    ) -> Array:
        """The flags of a float32 plane: the definition says what is wrong or, unless ``exact``, the bound."""
        flags = self.flags(len(got)) if flags is None else flags
        forward, roundoff = self.direction == "forward", oracle.FORMATS["float32"].unit_roundoff
        line = affine(self.direction, self.mode, channel)
        names, constants = _named_steps(self.direction, self.mode, channel)
        bound = -1.0 if exact else (tolerance.bound(self.mode) - UNITS) * roundoff
        grey = _grey(self.mode, channel) if forward else 1.0
        # Back, or where a constant is all that is added, the same operations are done again: a tie is not worse.
        added = len(names) == 1 and names[0] in (ord("a"), ord("s"))
        slack = LEVELS if forward and not added else 0.0
        near = _below(self.units, UNITS) * roundoff, _below(self.levels, slack) / abs(grey)
        limits, most = (_LIMIT, tolerance.PIXEL_LIKE), self.block
        if _watched(original, given, got, forward, names, constants, *line, bound, *limits, *near, most, flags):
            for number in np.flatnonzero(flags & _MAYBE).tolist():
                at = slice(number * self.block, (number + 1) * self.block)
                real = _real_steps(self.direction, self.mode, channel)
                planes = _float(original[at]), _float(given[at]), got[at]
                self._note(flags, number, *_maxima(*planes, forward, *real, grey, *limits, roundoff))
            flags &= WRONG | MISSING
        return flags

    def pixels(self, original: Array, given: Array, got: Array, channel: int, *, flags: Array | None = None) -> Array:
        """The flags of a plane of pixels: the definition says what is wrong."""
        flags = self.flags(len(got)) if flags is None else flags
        steps = _named_steps(self.direction, self.mode, channel)
        least = np.float32(self.levels)
        if least > self.levels:
            least = np.nextafter(least, np.float32(-2))
        if _other_pixels(original, given, *steps, got, tolerance.PIXEL_LIKE, least, self.block, flags):
            for number in np.flatnonzero(flags & _MAYBE).tolist():
                at = slice(number * self.block, (number + 1) * self.block)
                farthest, lost = _farthest(original[at], got[at], tolerance.PIXEL_LIKE)
                flags[number] |= WORSE * lost
                self._note(flags, number, -1.0, float(farthest))
            flags &= WRONG | WORSE
        return flags

    def flags(self, length: int) -> Array:
        """Flags for the blocks of a plane of so many values."""
        return np.zeros(-(-length // self.block), np.uint8)

    def _note(self, flags: Array, number: int, units: float, levels: float) -> None:
        if units > self.units:
            self.units, self._worst["units"] = units, (flags, number)
        if levels > self.levels:
            self.levels, self._worst["levels"] = levels, (flags, number)

    def finish(self) -> None:
        """Flag the blocks with the worst errors of the image, in the flags that were given out."""
        for flags, number in self._worst.values():
            flags[number] |= WORSE


_LIMIT = tolerance.limit("float32")


@cache
def _grey(mode: ModeName, channel: int) -> float:
    return float(oracle.grey_levels(mode)[channel])


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


@njit(nogil=True, cache=True)
def _interleave(first: Any, second: Any, third: Any, pixels: Any) -> None:
    for i in range(len(first)):
        pixels[3 * i] = first[i]
        pixels[3 * i + 1] = second[i]
        pixels[3 * i + 2] = third[i]


@njit(nogil=True, cache=True)
def _separate(pixels: Any, planes: Any) -> None:
    first, second, third = planes[0], planes[1], planes[2]
    for i in range(len(first)):
        first[i] = pixels[3 * i]
        second[i] = pixels[3 * i + 1]
        third[i] = pixels[3 * i + 2]


@njit(nogil=True, cache=True)
def _patterns(starts: Any, at: Any, bits: Any) -> None:
    """Fill the planes ``bits`` with the numbers from ``at`` after ``starts`` on, which wrap around."""
    for channel in range(3):
        plane, first = bits[channel], np.uint32(starts[channel] + np.uint32(at))
        for i in range(len(plane)):
            plane[i] = first + np.uint32(i)


@njit(nogil=True, cache=True)
def _count(starts: Any, bits: Any, pixels: Any) -> None:
    """Fill the planes ``bits`` with the numbers from ``starts`` on, and ``pixels`` with the same."""
    for start in range(0, bits.shape[1], _CHUNK):
        stop = min(start + _CHUNK, bits.shape[1])
        _patterns(starts, start, bits[:, start:stop])
        _interleave(bits[0, start:stop], bits[1, start:stop], bits[2, start:stop], pixels[3 * start : 3 * stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _define(
    starts: Any, bits: Any, originals: Any, names: Any, constants: Any, sources: Any, no_nan: bool, inputs: Any,
    pixels: Any,
) -> None:  # fmt: skip
    """The same, with the definition of ``originals``, the same memory as ``bits``, in ``inputs`` and ``pixels``."""
    for start in range(0, bits.shape[1], _CHUNK):
        stop = min(start + _CHUNK, bits.shape[1])
        _patterns(starts, start, bits[:, start:stop])
        for channel in range(3):
            chunk = inputs[channel, start:stop]
            _steps_in_turn(originals[sources[channel], start:stop], names[channel], constants[channel], chunk)
            for i in range(len(chunk) if no_nan else 0):
                chunk[i] = chunk[i] if chunk[i] == chunk[i] else np.float32(0)
        _interleave(inputs[0, start:stop], inputs[1, start:stop], inputs[2, start:stop], pixels[3 * start : 3 * stop])


@njit(nogil=True, cache=True)
def _difference(a: Any, b: Any) -> Any:
    found = False
    for i in range(len(a)):
        if a[i] != b[i]:
            found = True
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _watched(
    original: Any, given: Any, got: Any, forward: bool, names: Any, constants: Any, scale: float, offset: float,
    bound: float, limit: float, far: float, units: float, levels: float, block: int, flags: Any,
) -> Any:  # fmt: skip
    """Flag the blocks, each while it is in the cache: the definition says what is wrong or, if not negative, ``bound``.

    Whether any is ``_MAYBE``: it may hold errors above ``units`` or ``levels``, as ``_larger`` has it.
    """
    found = False
    for number in range(len(flags)):
        at = slice(number * block, number * block + block)
        values, results = given[at], got[at]
        if bound < 0:
            flags[number] = _other_than_defined(values, results, names, constants)
        else:
            flags[number] = _unfaithful(values, results, scale, offset, limit, bound)
        if forward and not len(names):
            continue  # what is right is not off
        if _larger(original[at], values, results, forward, scale, offset, limit, far, units, levels):
            flags[number] |= _MAYBE
            found = True
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _other_than_defined(given: Any, got: Any, names: Any, constants: Any) -> Any:
    """``WRONG`` if any float32 bits are not the definition's, NaNs being all equal; ``MISSING`` if there are NaNs."""
    defined = np.empty(_CHUNK, np.float32)
    wrong = missing = False
    for start in range(0, len(got), _CHUNK):
        at = slice(start, start + _CHUNK)
        mine, right = got[at], defined[: len(got[at])]
        _steps_in_turn(given[at], names, constants, right)
        bits, others = mine.view(np.int32), right.view(np.int32)
        other = False
        for i in range(len(bits)):
            if bits[i] != others[i]:
                other = True
            if mine[i] != mine[i]:
                missing = True
        for i in range(len(bits) if other else 0):
            if bits[i] != others[i] and (mine[i] == mine[i] or right[i] == right[i]):
                wrong = True
    return WRONG * wrong | MISSING * missing


@njit(nogil=True, cache=True, error_model="numpy")
def _any_within(x: Any, most: float) -> Any:
    found = False
    for i in range(len(x)):
        if abs(np.float64(x[i])) <= most:
            found = True
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _unfaithful(given: Any, got: Any, scale: float, offset: float, limit: float, bound: float) -> Any:
    """``WRONG`` if ``got`` may be further than ``bound`` times ``S`` from the formula; ``MISSING`` if there are NaNs.

    Beyond ``limit`` as ``tolerance.unfaithful`` has it, in modes whose target is NaN for NaN alone.
    """
    some, missing, wrong = np.int64(0), np.int64(0), np.int64(0)
    for i in range(len(got)):
        value, result = np.float64(given[i]), np.float64(got[i])
        missing |= np.int64(result != result)
        some |= np.int64(not (abs(result - (value * scale + offset)) <= bound * (abs(value * scale) + abs(offset))))
    for i in range(len(got) if some else 0):
        value, result = np.float64(given[i]), np.float64(got[i])
        target, size = value * scale + offset, abs(value * scale) + abs(offset)
        far = not (abs(result - target) <= bound * size)
        within = (abs(value) <= limit) & (abs(target) <= limit)
        other = (value != value) != (result != result)
        infinite = (abs(value) == np.inf) & (result != target)
        sign = (abs(result) == np.inf) & ((result > 0) != (target > 0))
        wrong |= np.int64(far & (within | other | infinite | sign))
    return WRONG * wrong | MISSING * missing


@njit(nogil=True, cache=True, error_model="numpy")
def _larger(
    original: Any, given: Any, got: Any, forward: bool, scale: float, offset: float, limit: float, far: float,
    units: float, levels: float,
) -> Any:  # fmt: skip
    """Whether a block may hold errors above ``units``, a factor of ``S``, or above ``levels``, in the output's units.

    ``scale`` and ``offset`` are the formula's. Forward ``got`` is compared with the formula, back with the original.
    The former is about originals up to ``limit``, the latter up to ``far``. What is negative stands for none so far:
    any of these will do.
    """
    if (levels < 0 and _any_within(original, far)) or (units < 0 and _any_within(original, limit)):
        return True
    found, size = False, abs(offset)
    if forward:
        for i in range(len(got)):
            pixel = np.float64(given[i])
            line = pixel * scale
            least = min(units * (abs(line) + size), levels if abs(pixel) <= far else np.inf)
            if abs(np.float64(got[i]) - (line + offset)) > least:
                found = True
    else:
        for i in range(len(got)):
            pixel = np.float64(original[i])
            least = min(units * (abs(np.float64(given[i]) * scale) + size), levels if abs(pixel) <= far else np.inf)
            if abs(np.float64(got[i]) - pixel) > least:
                found = True
    return found


@njit(nogil=True, cache=True)
def _largest(errors: Any, bits: Any) -> Any:
    """The largest of numbers that are at least 0, or -1, which stands for none.

    ``bits``: of the same memory. They are in the order of the numbers, and have no NaN: several are compared at a time.
    """
    at = 0
    largest = bits[0]
    for i in range(len(bits)):
        largest = max(largest, bits[i])
    while bits[at] != largest:
        at += 1
    return errors[at]


@njit(nogil=True, cache=True, error_model="numpy")
def _maxima(
    original: Any, given: Any, got: Any, forward: bool, names: Any, constants: Any, sizes: Any, magnitudes: Any,
    grey: float, limit: float, far: float, roundoff: float,
) -> Any:  # fmt: skip
    """The worst errors of a block, by the operations of ``shards``: in ``u·S`` and in grey levels; -1 for none.

    ``names`` and ``constants`` are those of the formula, ``sizes`` and ``magnitudes`` those of ``S``.
    """
    target, size = np.empty(_CHUNK), np.empty(_CHUNK)
    most_units = most_levels = -1.0
    for start in range(0, len(got), _CHUNK):
        at = slice(start, start + _CHUNK)
        values, pixels, results = given[at], original[at], got[at]
        units, levels = size[: len(values)], target[: len(values)]
        _steps_in_turn(values, names, constants, levels)
        _steps_in_turn(np.abs(values), sizes, magnitudes, units)
        for i in range(len(results)):
            pixel, result = np.float64(pixels[i]), np.float64(results[i])
            difference = abs(result - (levels[i] if forward else pixel))
            within = (abs(pixel) <= limit) & (abs(levels[i] if forward else result) <= limit)
            relative = difference / units[i] / roundoff
            relative = relative if difference > 0 else 0.0
            units[i] = relative if within else -1.0
            levels[i] = difference * grey if abs(pixel) <= far else -1.0
        most_units = max(most_units, _largest(units, units.view(np.int64)))
        most_levels = max(most_levels, _largest(levels, levels.view(np.int64)))
    return most_units, most_levels


@njit(nogil=True, cache=True, error_model="numpy")
def _other_pixels(
    original: Any, given: Any, names: Any, constants: Any, got: Any, limit: float, most: float, block: int, flags: Any
) -> Any:  # fmt: skip
    """Flag the blocks with pixels other than the definition's, rounded and clipped, and as ``_MAYBE`` those that may be
    worse; whether there are any of the latter.

    That is: further than ``most`` from an original within ``limit``, or not a whole number of 0..255 that the original
    is. float32 is enough for what is right, since the difference of numbers so near to each other has no rounding.
    """
    far, least, defined, found = np.float32(limit), np.float32(most), np.empty(_CHUNK, np.float32), False
    for number in range(len(flags)):
        for start in range(number * block, min((number + 1) * block, len(got)), _CHUNK):
            at = slice(start, min(start + _CHUNK, (number + 1) * block))
            right = defined[: len(got[at])]
            _steps_in_turn(given[at], names, constants, right)
            wrong, worse = _other_or_worse(original[at], right, got[at], far, least)
            flags[number] |= WRONG * wrong | _MAYBE * worse
            found |= worse
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _other_or_worse(original: Any, right: Any, got: Any, far: Any, least: Any) -> Any:
    black, white, never = np.float32(0), np.float32(255), np.float32(np.inf)
    wrong = worse = False
    for i in range(len(got)):
        result, pixel = np.float32(got[i]), np.float32(original[i])
        if result != min(max(np.rint(right[i]), black), white):
            wrong = True
        clipped = min(max(pixel, black), white)
        allowed = min(least if abs(pixel) <= far else never, black if clipped == np.rint(pixel) else never)
        if abs(result - clipped) > allowed:
            worse = True
    return wrong, worse


@njit(nogil=True, cache=True, error_model="numpy")
def _farthest(original: Any, got: Any, limit: float) -> Any:
    """How far pixels are at most from originals within ``limit``, -1 for none; whether a whole number may be lost."""
    black, white, far, lost = np.float32(0), np.float32(255), np.float32(limit), False
    off = np.empty(len(got), np.float32)
    for i in range(len(got)):
        result, pixel = np.float32(got[i]), np.float32(original[i])
        clipped = min(max(pixel, black), white)
        off[i] = abs(result - clipped) if abs(pixel) <= far else np.float32(-1)
        if abs(result - clipped) > (black if clipped == np.rint(pixel) else white):
            lost = True
    return _largest(off, off.view(np.int32)), lost


# Digests ------------------------------------------------------------------------------------------------------------
#
# SHA-256 of sixteen messages of one length at once, one in each lane of vector registers. The rounds of one message
# wait for each other, so that a processor is mostly idle; those of several do not.

LANES = 16
"""Messages that are hashed at once: words of 32 bits in a register of AVX-512."""

BLOCK = 64
"""Bytes of a block of SHA-256 (FIPS 180-4)."""


def _fractions(root: int, count: int) -> list[int]:
    """The first 32 bits of the fractional parts of square (2) or cube (3) roots of the first primes (FIPS 180-4)."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, math.isqrt(n) + 1))][:count]
    found = []
    for prime in primes:
        shifted, low, high = prime << (32 * root), 0, prime << 32
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**root <= shifted else (low, middle)
        found.append(low & 0xFFFFFFFF)
    return found


START, ROUNDS = _fractions(2, 8), _fractions(3, 64)


class Digest:
    """A digest that is known once its batch has been taken."""

    value = b""

    def __bytes__(self) -> bytes:
        return self.value


class Batch:
    """Messages on their way to be hashed: one is written into ``row``, then ``add`` makes it one of those to come."""

    def __init__(self) -> None:
        self._rows = np.empty((LANES, 0), np.uint8)
        self._waiting: list[Digest] = []
        self._floats: list[int] = []

    def row(self, size: int) -> Array:
        """``size`` bytes to write the next message to, valid until the next call."""
        if len(self._waiting) == LANES or size != self._rows.shape[1]:
            self.finish()
        if size != self._rows.shape[1]:
            self._rows = np.empty((LANES, size), np.uint8)
        free: Array = self._rows[len(self._waiting)]
        return free

    def add(self, *, nan: bool) -> Digest:
        """The digest of what is in the row that was given out last; with ``nan``, of float32, all NaNs made one."""
        if nan:
            self._floats.append(len(self._waiting))
        self._waiting.append(Digest())
        return self._waiting[-1]

    def finish(self) -> None:
        """Make known all digests that are not yet known."""
        rows = self._rows[: len(self._waiting)]
        for at in self._floats:
            _make_nans_one(rows[at].view(np.float32), rows[at].view(np.uint32))
        together = len(rows) == LANES and has_registers() and not rows.shape[1] % BLOCK
        found = sixteen(rows) if together else [hashlib.sha256(row).digest() for row in rows]
        for digest, value in zip(self._waiting, found, strict=True):
            digest.value = value
        self._waiting.clear()
        self._floats.clear()


@njit(nogil=True, cache=True)
def _make_nans_one(values: Any, bits: Any) -> None:
    for i in range(len(values)):
        bits[i] = bits[i] if values[i] == values[i] else np.uint32(0x7FC00000)


@cache
def has_registers() -> bool:
    """Whether the processor has registers for sixteen lanes; where it has not, ``hashlib`` is as fast."""
    return bool(llvm.get_host_cpu_features().get("avx512bw", False))


def sixteen(rows: Array) -> list[bytes]:
    """The digests of sixteen rows of bytes, whose length is a multiple of a block."""
    size = rows.shape[1]
    end = np.zeros((LANES, BLOCK), np.uint8)
    end[:, 0] = 0x80
    end[:, -8:] = np.frombuffer((8 * size).to_bytes(8, "big"), np.uint8)
    state = np.repeat(np.array(START, np.uint32), LANES)
    _absorb(state, rows.view(np.uint32), size // 4)
    _absorb(state, end.view(np.uint32), BLOCK // 4)
    return [lane.tobytes() for lane in state.reshape(8, LANES).T.astype(">u4")]


@njit(nogil=True, cache=True)
def _absorb(state: Any, words: Any, count: int) -> None:
    flat = words.reshape(-1)
    for first in range(0, count, BLOCK // 4):
        _compress(state, flat, first, count)


_VECTOR = ir.VectorType(ir.IntType(32), LANES)


def _all(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _places(start: int) -> ir.Constant:
    """From ``start`` on, a word of one register and a word of another, in turn."""
    return ir.Constant(_VECTOR, [start + i // 2 + i % 2 * LANES for i in range(LANES)])


def _call(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}i32")
    return builder.call(function, arguments)


def _mixed(builder: ir.IRBuilder, x: ir.Value, first: int, second: int, third: int, shifted: bool = False) -> ir.Value:
    """``x`` rotated to the right by three distances, exclusively or; the last may be a shift."""
    parts = [_call(builder, "fshr", x, x, _all(distance)) for distance in (first, second)]
    parts.append(builder.lshr(x, _all(third)) if shifted else _call(builder, "fshr", x, x, _all(third)))
    return builder.xor(builder.xor(parts[0], parts[1]), parts[2])


def _transposed(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Word by word what was lane by lane: interleaving each with that half as many further on, four times."""
    half = LANES // 2
    for _ in range(4):
        pairs = [(rows[at], rows[at + half]) for at in range(half)]
        rows = [builder.shuffle_vector(*pair, _places(start)) for pair in pairs for start in (0, half)]
    return rows


@intrinsic
def _compress(typing_context: Any, state: Any, words: Any, first: Any, stride: Any) -> Any:
    """Take one block of each lane into ``state``, eight words of all lanes: lanes are ``stride`` words apart."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        kinds = signature.args
        data = context.make_array(kinds[1])(context, builder, arguments[1]).data
        memory = context.make_array(kinds[0])(context, builder, arguments[0]).data
        at, rows = arguments[2], []
        for _ in range(LANES):
            address = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
            rows.append(_call(builder, "bswap", builder.load(address, align=4)))
            at = builder.add(at, arguments[3])
        schedule = _transposed(builder, rows)
        places = [
            builder.bitcast(builder.gep(memory, [ir.Constant(at.type, LANES * n)]), _VECTOR.as_pointer())
            for n in range(8)
        ]
        before = [builder.load(place, align=4) for place in places]
        a, b, c, d, e, f, g, h = before
        b_or_c = builder.xor(b, c)
        for number, constant in enumerate(ROUNDS):
            if number >= 16:
                old, near = schedule[number - 15], schedule[number - 2]
                word = builder.add(schedule[number - 16], _mixed(builder, old, 7, 18, 3, True))
                word = builder.add(builder.add(word, schedule[number - 7]), _mixed(builder, near, 17, 19, 10, True))
                schedule.append(word)
            choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
            total = builder.add(builder.add(h, builder.add(schedule[number], _all(constant))), choice)
            total = builder.add(total, _mixed(builder, e, 6, 11, 25))
            a_or_b = builder.xor(a, b)
            majority = builder.xor(b, builder.and_(a_or_b, b_or_c))
            b_or_c = a_or_b
            second = builder.add(_mixed(builder, a, 2, 13, 22), majority)
            a, b, c, d, e, f, g, h = builder.add(total, second), a, b, c, builder.add(d, total), e, f, g
        for place, old, new in zip(places, before, (a, b, c, d, e, f, g, h), strict=True):
            builder.store(builder.add(old, new), place, align=4)
        return context.get_dummy_value()

    return types.none(state, words, first, stride), generate
