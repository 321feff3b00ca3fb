"""What is enumerated."""

from __future__ import annotations

import numpy as np
import pytest
from enumerated import bits

from vggprep.cases import available_dtypes
from vggprep.proof.domains import BITS, DTYPES, SAMPLES, SHARD, SMALL, domain

WIDE = tuple(dtype for dtype in BITS if dtype not in SMALL)


def needs(dtype: str) -> None:
    if dtype not in available_dtypes():
        pytest.skip(f"NumPy has no {dtype} here")


def test_the_dtypes_of_up_to_32_bits_are_enumerated_and_the_others_sampled() -> None:
    assert {d: BITS[d] for d in BITS} == {
        "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "float16": 16, "bfloat16": 16,
        "float32": 32, "int32": 32, "uint32": 32,
    }  # fmt: skip
    assert set(DTYPES) - set(BITS) == set(SAMPLES) == {"float64", "int64", "uint64"}
    for dtype in ("uint8", "float32", "float64"):
        assert domain(dtype).complete == (dtype in BITS)


@pytest.mark.parametrize("dtype", SMALL)
def test_every_bit_pattern_comes_in_each_channel_exactly_once(dtype: str) -> None:
    needs(dtype)
    found = domain(dtype)
    assert [stop - start for start, stop in found.shards] == [1 << BITS[dtype]]
    for channel in range(3):
        values = found.values(0, found.size, channel)
        assert values.dtype.name == dtype
        assert np.array_equal(np.sort(bits(values)), np.arange(1 << BITS[dtype]))


def test_nan_payloads_subnormals_infinities_and_both_zeros_are_among_the_patterns() -> None:
    values = domain("float16").values(0, 1 << 16)
    assert np.isnan(values).sum() == 2 * 1023
    assert np.isinf(values).sum() == 2
    assert ((values != 0) & (abs(values) < np.finfo(np.float16).smallest_normal)).sum() == 2 * 1023
    assert sorted(np.signbit(values[values == 0])) == [False, True]


@pytest.mark.parametrize("dtype", WIDE)
def test_the_shards_of_32_bits_tile_all_patterns(dtype: str) -> None:
    parts = sorted(domain(dtype).shards)
    assert parts[0][0] == 0
    assert parts[-1][1] == 1 << 32
    assert [stop for _, stop in parts[:-1]] == [start for start, _ in parts[1:]]
    assert {stop - start for start, stop in parts} == {SHARD}


def test_the_search_of_float32_begins_where_pixels_are() -> None:
    first = domain("float32").shards[0]
    pattern = int(np.float32(128).view(np.uint32))
    assert first[0] <= pattern < first[1]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("channel", range(3))
def test_a_part_of_32_bits_holds_the_patterns_that_it_should(dtype: str, channel: int) -> None:
    found = domain(dtype)
    for start in (0, 1, 0x7F800000 - 2, 0x80000000 - 2, (1 << 32) // 3 - 2, (1 << 32) - SHARD, (1 << 32) - 3):
        values = found.values(start, 5, channel)
        offset = channel * ((1 << 32) // 3)
        assert values.dtype.name == dtype
        assert bits(values).tolist() == [(start + offset + i) % (1 << 32) for i in range(5)]


@pytest.mark.parametrize("dtype", BITS)
def test_no_two_channels_of_a_pixel_are_alike(dtype: str) -> None:
    needs(dtype)
    found = domain(dtype)
    count = min(found.size, 1 << 16)
    for start in {0, found.size - count}:
        red, green, blue = (bits(found.values(start, count, channel)) for channel in range(3))
        assert not ((red == green) | (green == blue) | (blue == red)).any()


def test_the_sample_of_float64_is_what_it_says() -> None:
    found = domain("float64")
    values = found.values(0, found.size)
    held = set(bits(values).tolist())
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    with np.errstate(invalid="ignore"):  # what NumPy says of signalling NaNs
        brain = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32).astype(np.float64)
    for widened in (half, brain, np.arange((1 << 16) + 1, dtype=np.float64)):
        assert held.issuperset(bits(widened).tolist())
    distinct = np.array(sorted(held), np.uint64)
    assert np.bincount((distinct >> np.uint64(52)).astype(int), minlength=1 << 12).min() >= 32
    assert {1, (1 << 63) + 1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000001} <= held  # subnormals, largest, signalling NaN


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_sample_of_64_bit_integers_is_what_it_says(dtype: str) -> None:
    found = domain(dtype)
    values = found.values(0, found.size)
    inner = values <= 1 << 24
    if dtype == "int64":
        inner &= values >= -(1 << 24)
    small = np.zeros((1 << 25) + 1, np.bool_)
    small[values[inner].astype(np.int64) + (1 << 24)] = True
    assert small[0 if dtype == "int64" else 1 << 24 :].all()
    outer = values[~inner]
    for signed in (outer, -outer.astype(np.int64)) if dtype == "int64" else (outer,):
        long = signed[signed > 0].astype(np.uint64)
        for length in range(25, 65 if dtype == "uint64" else 64):
            distinct = np.unique(long[long >> np.uint64(length - 1) == 1])
            assert len(distinct) >= 4095  # two meet, of the shortest
