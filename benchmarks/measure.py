"""Timing all implementations of a task together, and what each row of a result holds.

pytest-benchmark times one test after the other; on a machine that others use too, that compares minutes rather than
implementations. So the rounds of all implementations of a task are shuffled together here and timed in that order, and
each test then plays its own rounds back to pytest-benchmark (``play``): no library interleaves, and with
pytest-benchmark stay ``-k``, its table, its JSON and its comparison of runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import random
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import PEERS
from benchmarks.tasks import Arrays, Task, Verdict, judge
from vggprep.field.adapters import KERAS, USUAL
from vggprep.field.limit import LIMIT, limit, limit_label
from vggprep.field.quiet import settled
from vggprep.field.setup import Adapter, Array, Call, UnavailableError
from vggprep.machine import processor, versions

LEAST_ROUNDS, MOST_ROUNDS = 5, 200
LEAST_SECONDS = 0.004
"""A round of calls that are shorter is as many of them as take this long; it counts as their median."""

MOST_TURNS = 3
"""How often the rounds are repeated for those whose median is not within 5 % of their minimum."""


@dataclass
class Measured:
    """What one implementation did on a task: its rounds in seconds, and everything else that is reported."""

    peer: Adapter
    call: Call
    out: Array | None
    label: str
    verdict: Verdict
    contiguous: bool
    writes_input: bool
    peak_bytes: int
    seconds: list[float] = field(default_factory=list)

    def figure(self, of: Callable[[float], float]) -> dict[str, float]:
        """A figure of the best round and of the median."""
        return {"min": of(min(self.seconds)), "median": of(statistics.median(self.seconds))}

    def times_faster_than(self, base: Measured | None) -> dict[str, float] | None:
        """By both minima and by both medians."""
        ours = self.figure(float)
        return None if base is None else {by: seconds / ours[by] for by, seconds in base.figure(float).items()}


@dataclass
class Outcome:
    """All implementations on one task; for those that could not run, the reason."""

    task: Task
    measured: dict[str, Measured]
    reasons: dict[str, str]

    @property
    def gpu(self) -> bool:
        """Whether the task was done on a GPU."""
        return any(found.peer.on_gpu for found in self.measured.values())

    def extra_info(self, name: str) -> dict[str, Any]:
        """What the row of an implementation holds besides its times."""
        found, task = self.measured[name], self.task
        yardstick = self.measured.get(KERAS if task.direction == "forward" else USUAL)
        times = found.times_faster_than(yardstick if yardstick and yardstick.verdict.ok else None)
        return {
            **{key: getattr(task, key) for key in Task.__dataclass_fields__},
            "gpu": self.gpu,
            "implementation": name,
            "label": found.label,
            "verdict": "yardstick" if name == LIMIT else found.verdict.label,
            "ranked": found.verdict.ok and name != LIMIT,
            "pairs_wrong": found.verdict.pairs_wrong,
            "ns_per_element": found.figure(lambda seconds: seconds / task.elements * 1e9),
            "gb_per_s": found.figure(lambda seconds: task.nbytes / seconds / 1e9),
            # A GPU has another bus and another memory.
            "fraction_of_limit": None if found.peer.on_gpu else found.times_faster_than(self.measured[LIMIT]),
            "times_keras": times if task.direction == "forward" else None,
            "times_usual_inverse": times if task.direction == "inverse" else None,
            "fresh": found.out is None,
            "contiguous": found.contiguous,
            "writes_input": found.writes_input,
            "peak_bytes": found.peak_bytes,
            "peak_of": peak_of(),
            "versions": versions(dict.fromkeys((found.peer.distribution, "numpy", "vggprep"))),
            "cpu": processor(),
            "cores": os.cpu_count(),
        }


def measure(task: Task, peers: Sequence[Adapter], seconds_each: float) -> Outcome:
    """Judge all peers on the task's arrays, then time them, shuffled; each for ``seconds_each`` or five rounds.

    Up to three times as long where they do not settle.
    """
    arrays = Arrays(task)
    entries: list[Measured] = []
    reasons: dict[str, str] = {}
    for peer in (Adapter(LIMIT, limit, out=True), *_with_yardsticks(task, peers)):
        try:
            with quiet():
                entries.append(_enter(task, peer, arrays))
        except UnavailableError as error:
            reasons[peer.name] = str(error)
        except Exception as error:  # whatever another version of a library raises
            lines = str(error).strip().splitlines() or [""]
            reasons[peer.name] = f"raises {type(error).__name__}: {lines[0][:160]}"
        arrays.restore()
    restore = any(entry.writes_input for entry in entries)
    _time(task, entries, arrays, seconds_each, restore)
    return Outcome(task, {entry.peer.name: entry for entry in entries}, reasons)


def _with_yardsticks(task: Task, peers: Sequence[Adapter]) -> list[Adapter]:
    """The peers, and in any case Keras's arrays or the usual inverse."""
    yardstick = next(p for p in PEERS if p.name == (KERAS if task.direction == "forward" else USUAL))
    return list(dict.fromkeys([*peers, yardstick]))


def _enter(task: Task, peer: Adapter, arrays: Arrays) -> Measured:
    """Build a peer's call, let it do the task and judge the result. This also warms it up."""
    call = peer.build(task.setup)
    given = peer.out and (task.output == "reused" or peer.name == LIMIT)
    # A value that is never right shows what was not written.
    out = np.full(task.shape, 77, task.result_dtype) if given else None
    result = call(arrays.x, out)
    result = _on_host(result) if peer.on_gpu else result
    writes = arrays.is_changed()
    verdict = Verdict("", 0) if peer.name == LIMIT else judge(arrays, result)
    contiguous = isinstance(result, np.ndarray) and result.flags.c_contiguous
    del result
    arrays.restore()
    peak = peak_bytes(lambda: call(arrays.x, out))
    compiled = task.dtype != "float16" and not task.cropped
    label = limit_label(task.elements * task.result_dtype.itemsize, compiled) if peer.name == LIMIT else peer.name
    if task.output == "reused" and out is None:
        label += " (fresh output)"  # a yardstick without out=
    return Measured(peer, call, out, label, verdict, contiguous, writes, peak)


def _on_host(result: Any) -> Array:
    """A result that may be on a GPU, as an array."""
    if hasattr(result, "cpu") and not isinstance(result, np.ndarray):
        result = result.cpu()
    return np.asarray(result.numpy() if hasattr(result, "numpy") else result)


def _time(task: Task, entries: list[Measured], arrays: Arrays, seconds_each: float, restore: bool) -> None:
    clock = time.perf_counter

    def once(entry: Measured) -> float:
        if restore:
            arrays.restore()
        start = clock()
        result = entry.call(arrays.x, entry.out)
        if task.reading:
            read(result)
        seconds = clock() - start
        del result  # giving memory back is not timed
        return seconds

    def in_a_row(entry: Measured) -> float:
        # What ran before has left the caches full of its own: a short call counts as it is in a loop of them.
        seconds = [once(entry)]
        while sum(seconds) < LEAST_SECONDS:
            seconds.append(once(entry))
        return statistics.median(seconds)

    left = list(entries)
    with quiet():
        for _ in range(MOST_TURNS if seconds_each else 1):
            plan: list[Measured] = []
            for entry in left:
                rounds = int(seconds_each / max(once(entry), LEAST_SECONDS))
                plan += [entry] * min(MOST_ROUNDS, max(LEAST_ROUNDS, rounds))
            random.shuffle(plan)
            gc.collect()
            gc.disable()
            try:
                for entry in plan:
                    entry.seconds.append(in_a_row(entry))
            finally:
                gc.enable()
            left = [entry for entry in left if not settled(entry.seconds)]


def read(result: Any) -> None:
    """Read every byte in the order of a contiguous array, as a consumer would; a view is made contiguous first."""
    flat = np.ascontiguousarray(result).reshape(-1).view(np.uint64)
    np.bitwise_xor.reduce(flat)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings and prints of libraries out of the table."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


# pytest-benchmark -------------------------------------------------------------------------------------------------

_now = 0.0


def played_back() -> float:
    """The timer to give to pytest-benchmark with ``play``."""
    return _now


def play(benchmark: BenchmarkFixture, seconds: Sequence[float]) -> None:
    """Give rounds that were timed earlier to pytest-benchmark, which then reports them as its own."""
    rounds = iter(seconds)

    def one_round() -> None:
        global _now
        _now += next(rounds)

    benchmark.pedantic(one_round, rounds=len(seconds))


# Memory ------------------------------------------------------------------------------------------------------


def peak_of() -> str:
    """What ``peak_bytes`` counts here."""
    return "resident memory" if sys.platform == "linux" else "NumPy's and Python's allocations"


def peak_bytes(call: Callable[[], object]) -> int:
    """How much memory a call takes at its peak, a fresh result included.

    On Linux the resident memory, which counts what any library allocates, to within some 100 KiB; elsewhere what
    Python and NumPy allocate.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the high-water mark
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # freed memory that was kept would hide new allocations
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        result = call()
        most = _status("VmHWM")
        del result
    except (OSError, KeyError):
        tracemalloc.start()
        result = call()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del result
        return most
    return max(0, most - before)


def _status(key: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024
