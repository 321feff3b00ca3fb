"""The compiled loops against NumPy: the definition bit for bit, and the same tallies whoever looks first."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from enumerated import Array

from vggprep import oracle
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import shards
from vggprep.proof.domains import domain
from vggprep.proof.shards import IMAGE, Part, Tally, judge
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Direction, ModeName

compiled: Any = pytest.importorskip("vggprep.proof.compiled")

DIRECTIONS: tuple[Direction, ...] = ("forward", "inverse")


def every(dtype: str) -> Array:
    return domain(dtype).values(0, domain(dtype).size)


ANYTHING = np.random.default_rng(15).integers(0, 1 << 32, 100_003, np.uint64).astype(np.uint32)


@pytest.mark.parametrize("mode", MODES)
def test_the_definition_has_the_same_bits_for_every_pattern_of_16_bits_and_for_any_of_32(mode: ModeName) -> None:
    halves = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)  # every bfloat16
    every_kind = [every("int16"), every("uint16"), every("uint8"), halves]
    every_kind += [ANYTHING, ANYTHING.view(np.int32), ANYTHING.view(np.float32)]
    for direction in DIRECTIONS:
        for channel in range(3):
            for values in every_kind:
                got = compiled.exact_plane(values, direction, mode, channel)
                right = oracle.exact_plane(values, direction, mode, channel)
                same = (got.view(np.uint32) == right.view(np.uint32)) | (np.isnan(got) & np.isnan(right))
                assert got.dtype == right.dtype == np.float32
                assert same.all()


def both(monkeypatch: pytest.MonkeyPatch, part: Part) -> list[list[Tally]]:
    """The tallies of NumPy alone, and with the loops."""
    found = []
    for repays in (1 << 40, 0):
        monkeypatch.setattr(shards, "_REPAYS", repays)
        found.append(judge(part))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "start"),
    [
        ("float32", 0x43000000 - IMAGE // 2),  # 128
        ("float32", 0x44800000 - IMAGE // 2),  # 1024, where grey levels end
        ("float32", 0x71800000 - IMAGE // 2),  # 2^100, where the bound ends
        ("float32", 0x7F800000 - IMAGE // 2),  # infinity, then NaNs
        ("int32", (1 << 24) - IMAGE // 2),  # where float32 begins to round integers
        ("uint32", (1 << 32) - 3 * IMAGE),
    ],
)
def test_tallies_are_the_same_with_and_without_the_loops(
    monkeypatch: pytest.MonkeyPatch, dtype: str, start: int, mode: ModeName
) -> None:
    assert shards._loops() is compiled
    for implementation, direction in ((0, DIRECTIONS[0]), (0, DIRECTIONS[1]), (1, DIRECTIONS[1])):
        first = Part(
            TargetSpec(("reference",)), implementation, direction, mode, ("channels_last",), dtype, start, start
        )
        part = first._replace(stop=start + 2 * IMAGE, stop_at_first=False)
        alone, together = both(monkeypatch, part)
        assert alone == together
        assert not together[0].wrong


@pytest.mark.parametrize(
    ("target", "mode"),
    [
        ("one_number_wrong", "tf"), ("nan_for_one_number", "tf"), ("wrong_channels_first", "tf"), ("truncating", "tf"),
        ("GALLERY.fused_multiply_add", "torch"), ("GALLERY.folded_affine", "torch"), ("GALLERY.integer_means", "caffe"),
        ("GALLERY.half_inside", "torch"), ("GALLERY.no_swap", "caffe"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_as_without_the_loops(
    monkeypatch: pytest.MonkeyPatch, target: str, mode: ModeName
) -> None:
    name = f"enumerated:{target}"
    inverse = target == "truncating"
    spec = TargetSpec((), name) if inverse else TargetSpec((name,))
    formats: tuple[DataFormat, ...] = ("channels_last",) if "GALLERY" in target else DATA_FORMATS
    part = Part(spec, 0, DIRECTIONS[inverse], mode, formats, "int32", 0, 2 * IMAGE, stop_at_first=False)
    alone, together = both(monkeypatch, part)
    assert alone == together
    honest = target in ("GALLERY.fused_multiply_add", "GALLERY.folded_affine")
    assert any(tally.wrong for tally in together) != honest


VALUES = np.linspace(-300, 300, 4096, dtype=np.float32)


def flags(got: Array, exact: bool, worst: float = 8.0) -> list[int]:
    watch = compiled.Watch("forward", "torch", 1024, worst, worst)
    found = watch.floats(VALUES, VALUES, got, 1, exact=exact)
    watch.finish()
    return list(found)


def test_a_plane_is_watched_for_each_kind_of_trouble() -> None:
    right = compiled.exact_plane(VALUES, "forward", "torch", 1)
    assert flags(right, exact=True) == flags(right, exact=False) == [0, 0, 0, 0]
    off = right.copy()
    off[1500] = np.nextafter(off[1500], np.float32(9))
    assert flags(off, exact=True) == [0, compiled.WRONG, 0, 0]
    assert flags(off, exact=False) == [0, 0, 0, 0]  # within the bound
    off[3000] = np.nan
    assert flags(off, exact=True) == [0, compiled.WRONG, compiled.WRONG | compiled.MISSING, 0]
    assert flags(off, exact=False) == [0, 0, compiled.WRONG | compiled.MISSING, 0]


@pytest.mark.parametrize("exact", [True, False])
def test_of_a_plane_only_the_blocks_with_the_worst_errors_are_judged(exact: bool) -> None:
    right = compiled.exact_plane(VALUES, "forward", "torch", 1)
    target, scale = oracle.real_plane(VALUES.astype(np.float64), "forward", "torch", 1)
    errors = np.abs(right - target)
    worst = {int(np.argmax(kind)) // 1024 for kind in (errors, errors / scale)}
    assert flags(right, exact, worst=-1.0) == [compiled.WORSE * (block in worst) for block in range(4)]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_each_kind_of_error_is_looked_for_by_itself(direction: Direction) -> None:
    given = VALUES if direction == "forward" else compiled.exact_plane(VALUES, "forward", "torch", 1)
    got = compiled.exact_plane(given, direction, "torch", 1)
    target, scale = oracle.real_plane(given.astype(np.float64), direction, "torch", 1)
    errors = np.abs(got - (target if direction == "forward" else VALUES.astype(np.float64)))
    grey = oracle.grey_levels("torch")[1] if direction == "forward" else 1.0
    for at, kind in enumerate((errors / scale * 2.0**24, errors * grey)):
        most = kind.reshape(4, 1024).max(axis=1)
        runner_up, largest = sorted(most)[2:]
        assert runner_up < largest
        worst = [np.inf, np.inf]
        worst[at] = float(runner_up)
        watch = compiled.Watch(direction, "torch", 1024, *worst)
        found = watch.floats(VALUES, given, got, 1, exact=True)
        watch.finish()
        assert list(found) == [compiled.WORSE * (block == np.argmax(most)) for block in range(4)]


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_worse_by_the_last_bit_of_float64_is_found_and_what_is_as_bad_is_not(
    direction: Direction, mode: ModeName
) -> None:
    given = VALUES if direction == "forward" else compiled.exact_plane(VALUES, "forward", mode, 1)
    got = compiled.exact_plane(given, direction, mode, 1)
    target, scale = oracle.real_plane(given.astype(np.float64), direction, mode, 1)
    errors = np.abs(got - (target if direction == "forward" else VALUES.astype(np.float64)))
    grey = float(oracle.grey_levels(mode)[1]) if direction == "forward" else 1.0
    for at, kind in enumerate((errors / scale * 2.0**24, errors * grey)):
        seen = 0
        for index in np.flatnonzero(kind)[::4].tolist():
            plane, error = slice(index, index + 1), float(kind[index])
            for worst, flag in ((np.nextafter(error, 0.0), compiled.WORSE), (error, 0)):
                watch = compiled.Watch(direction, mode, 1, *((worst, np.inf) if at == 0 else (np.inf, worst)))
                found = watch.floats(VALUES[plane], given[plane], got[plane], 1, exact=True)
                watch.finish()
                assert list(found) == [flag]
                seen += 1
        assert seen > 200


def test_of_pixels_the_block_with_the_worst_error_and_those_that_lose_one_are_judged() -> None:
    original = np.linspace(-20, 280, 4096, dtype=np.float32)
    given = compiled.exact_plane(original, "forward", "caffe", 2)
    got = np.clip(np.rint(compiled.exact_plane(given, "inverse", "caffe", 2)), 0, 255).astype(np.uint8)
    errors = np.abs(got - np.clip(original, 0, 255))

    def flagged(original: Array, got: Array, worst: float = -1.0) -> list[int]:
        watch = compiled.Watch("inverse", "caffe", 1024, worst, worst)
        found = watch.pixels(original, given, got, 2)
        watch.finish()
        return list(found)

    assert flagged(original, got) == [compiled.WORSE * (block == np.argmax(errors) // 1024) for block in range(4)]
    assert flagged(original, got, float(errors.max())) == [0, 0, 0, 0]
    lost = original.copy()
    lost[1500] = np.float32(got[1500]) + 1
    assert flagged(lost, got, 2.0) == [0, compiled.WORSE, 0, 0]
    got[3000] += 1
    assert flagged(original, got, 2.0) == [0, 0, compiled.WRONG, 0]


def anything(*shape: int) -> Array:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [0, 64, 128, 4096, 3 << 17])
def test_sixteen_messages_have_the_digests_of_hashlib(size: int) -> None:
    rows = anything(16, size)
    assert compiled.sixteen(rows) == [hashlib.sha256(row.tobytes()).digest() for row in rows]


@pytest.mark.parametrize("registers", [True, False])
def test_a_batch_of_any_number_of_messages_of_any_size_has_the_digests_of_hashlib(
    monkeypatch: pytest.MonkeyPatch, registers: bool
) -> None:
    monkeypatch.setattr(compiled, "has_registers", lambda: registers)
    batch, found, expected = compiled.Batch(), [], []
    for size, count in ((128, 35), (192, 16), (100, 17), (64, 1)):
        for number in range(count):
            message = anything(size + number)[number:]
            batch.row(size)[:] = 7  # written to and not added, as where the output has been judged already
            batch.row(size)[:] = message
            found.append(batch.add(nan=False))
            expected.append(hashlib.sha256(message.tobytes()).digest())
    batch.finish()
    assert list(map(bytes, found)) == expected


def test_sixteen_are_hashed_together_where_the_processor_has_the_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    sixteen = compiled.sixteen

    def counted(rows: Array) -> list[bytes]:
        together.append(len(rows))
        return list(sixteen(rows))

    monkeypatch.setattr(compiled, "sixteen", counted)
    monkeypatch.setattr(compiled, "has_registers", lambda: True)
    batch = compiled.Batch()
    for _ in range(39):
        batch.row(64)[:] = 1
        batch.add(nan=False)
    batch.finish()
    assert together == [16, 16]


def test_all_nans_count_as_one_and_nothing_else_is_changed() -> None:
    bits = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF812345, 0x7F800000, 0x80000000, 1, 0x3F800000], np.uint32)
    one = np.where(np.isnan(bits.view(np.float32)), np.uint32(0x7FC00000), bits)
    assert (one != bits).sum() == 3
    batch = compiled.Batch()
    found = []
    for nan in (True, False, True):
        batch.row(32)[:] = bits.view(np.uint8)
        found.append(batch.add(nan=nan))
    batch.finish()
    batch.row(32)[:] = bits.view(np.uint8)
    found.append(batch.add(nan=False))
    batch.finish()
    same, canonical = hashlib.sha256(bits.tobytes()).digest(), hashlib.sha256(one.tobytes()).digest()
    assert list(map(bytes, found)) == [canonical, same, canonical, same]
