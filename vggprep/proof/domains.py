"""What is enumerated: every bit pattern of a dtype or, where there are too many, a sample that says so.

Each of the three channels gets every pattern, at a different offset, so that no two channels of a pixel are equal.
Imports NumPy and ``cases``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from vggprep.cases import Array, dtype_of

BITS: Mapping[str, int] = MappingProxyType(
    {
        "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "float16": 16, "bfloat16": 16,
        "float32": 32, "int32": 32, "uint32": 32,
    }
)  # fmt: skip
"""The dtypes that can be enumerated, and how many bits they have."""

SAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "float64": "every float16 and bfloat16 widened, every integer to 2^16, 32 values for each exponent and sign",
        "int64": "every integer from -2^24 to 2^24, 4,096 values for each longer bit length and sign",
        "uint64": "every integer to 2^24, 4,096 values for each longer bit length",
    }
)
"""What is tried of the dtypes with too many patterns."""

DTYPES = (*BITS, *SAMPLES)

SMALL = tuple(dtype for dtype, bits in BITS.items() if bits <= 16)
"""The dtypes that take seconds to enumerate."""

SHARD = 1 << 26
"""Patterns in one part of the work: a few seconds."""


@dataclass(frozen=True)
class Domain:
    """The patterns of ``dtype``: ``size`` of them, all (``complete``) or a sample."""

    dtype: str
    size: int
    complete: bool

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First and last (exclusive) pattern of each part; those near 128, where mistakes show, come first."""
        parts = [(start, min(start + SHARD, self.size)) for start in range(0, self.size, SHARD)]
        middle = _PATTERN_OF_128.get(self.dtype, 0)
        return sorted(parts, key=lambda part: abs(part[0] + SHARD // 2 - middle))

    def first(self, start: int, channel: int) -> int:
        """The pattern that a channel has where the first channel has ``start``."""
        return (start + channel * (self.size // 3)) % self.size

    def values(self, start: int, count: int, channel: int = 0) -> Array:
        """``count`` patterns from ``start`` on, as a channel of the images has them; after the last comes the first."""
        start = self.first(start, channel)
        if not self.complete:
            return np.take(_sample(self.dtype), np.arange(start, start + count), mode="wrap")
        unsigned = np.dtype(f"uint{BITS[self.dtype]}")
        patterns: Array = _count(count, unsigned) + unsigned.type(start)  # wraps around
        return patterns.view(dtype_of(self.dtype))


_PATTERN_OF_128 = {"float32": 0x43000000}


def domain(dtype: str) -> Domain:
    """The domain of one of ``DTYPES``."""
    if dtype in BITS:
        return Domain(dtype, 1 << BITS[dtype], True)
    return Domain(dtype, len(_sample(dtype)), False)


@lru_cache(maxsize=8)
def _count(count: int, unsigned: np.dtype[Any]) -> Array:
    return np.arange(count, dtype=unsigned)


@lru_cache(maxsize=1)
def _sample(dtype: str) -> Array:
    if dtype == "float64":
        return _float64_sample()
    return _integer_sample(dtype)


def _float64_sample() -> Array:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    # The upper half of a float32 is a bfloat16: no package is needed to widen it.
    brains = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    exponents = np.arange(1 << 11, dtype=np.uint64) << np.uint64(52)  # with zeros and subnormals, infinities and NaNs
    fractions = np.concatenate(
        [np.array([0, 1, (1 << 52) - 1, 1 << 51], np.uint64), _hashed(28) >> np.uint64(12)]
    )  # the ends, the middle, and others
    positive = (exponents[:, None] | fractions).reshape(-1)
    stratified = np.concatenate([positive, positive | np.uint64(1 << 63)]).view(np.float64)
    with np.errstate(invalid="ignore"):  # NumPy warns of signalling NaNs
        widened = [halves.astype(np.float64), brains.astype(np.float64)]
    return np.concatenate([*widened, np.arange(1 << 16, dtype=np.float64), stratified])


def _integer_sample(dtype: str) -> Array:
    whole = np.arange(-(1 << 24) if dtype == "int64" else 0, (1 << 24) + 1, dtype=np.int64)
    parts = [whole.astype(dtype)]
    for bits in range(25, 65 if dtype == "uint64" else 64):
        # The leading bit set, the others mixed.
        mixed = _hashed(4096) >> np.uint64(64 - bits) | np.uint64(1 << (bits - 1))
        parts.append(mixed.astype(dtype))
        if dtype == "int64":
            parts.append(-mixed.astype(dtype))
    return np.concatenate(parts)


def _hashed(count: int) -> Array:
    """Well-mixed 64-bit numbers without a random generator: the same on every version of everything."""
    mixed = (np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    return mixed * np.uint64(0x94D049BB133111EB)
