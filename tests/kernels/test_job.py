"""Jobs: which there are, how they are cut into tiles and shared among threads."""

from __future__ import annotations

import numpy as np
import pytest

from vggprep.kernels.job import share_memory, split, tiles


def test_tiles_cover_every_pixel_once_and_are_contiguous() -> None:
    for shape in ((1, 1, 1), (3, 5, 7), (2, 1, 1000), (50, 3, 2), (0, 3, 4), (3, 0, 4), (1, 1, 0)):
        for limit in (1, 2, 6, 7, 35, 70, 10_000):
            index = np.arange(np.prod(shape)).reshape(shape)
            found = [index[tile].ravel() for tile in tiles(shape, limit)]
            assert all(piece.size <= max(1, limit) and (np.diff(piece) == 1).all() for piece in found)
            assert np.array_equal(np.concatenate([np.zeros(0, int), *found]), index.ravel())


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 100])
def test_every_index_is_in_one_threads_share(threads: int) -> None:
    seen: list[int] = []
    split(lambda part: seen.extend(range(part.start, part.stop)), 10, threads)
    assert sorted(seen) == list(range(10))


def test_an_error_in_a_thread_is_raised() -> None:
    def fail(part: slice) -> None:
        if part.start:
            raise RuntimeError("from a thread")

    with pytest.raises(RuntimeError, match="from a thread"):
        split(fail, 10, 3)


def test_memory_that_is_too_hard_to_compare_counts_as_shared() -> None:
    memory, rng = np.zeros(1 << 20, np.uint8), np.random.default_rng(0)
    a, b = (
        np.lib.stride_tricks.as_strided(memory[start:], (2,) * 9, rng.integers(1000, 60000, 9).tolist())
        for start in (0, 7)
    )
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    assert share_memory(a, b)
    assert not share_memory(memory[:9], memory[9:])
