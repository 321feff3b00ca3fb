"""SHA-256 of sixteen messages of one length at once, one in each lane of vector registers: the bytes of ``hashlib``.

The rounds of one message wait for each other, so a processor is mostly idle; those of several do not. Imports numba,
as ``compiled`` does.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from vggprep.cases import Array

LANES = 16
"""Messages at once: words of 32 bits in a register of AVX-512."""

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
        return self._rows[len(self._waiting)]

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
        rows = [
            builder.shuffle_vector(one, other, ir.Constant(_VECTOR, [start + i // 2 + i % 2 * LANES for i in range(LANES)]))
            for one, other in pairs
            for start in (0, half)
        ]
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

