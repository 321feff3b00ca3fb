"""How fast every implementation is at every task. A test is a row; no measurement makes it fail."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import gpu
from benchmarks.conftest import Session
from benchmarks.measure import Outcome, play, played_back


@pytest.mark.benchmark(timer=played_back)
def test_speed(benchmark: BenchmarkFixture, measurements: Session, task_name: str, peer_name: str) -> None:
    show(benchmark, measurements.outcome(task_name), task_name, peer_name)


@pytest.mark.benchmark(timer=played_back)
def test_gpu_speed(benchmark: BenchmarkFixture, measurements: Session, gpu_task_name: str, peer_name: str) -> None:
    if gpu.why_not():
        pytest.skip(gpu.why_not())
    show(benchmark, measurements.gpu_outcome(gpu_task_name), f"GPU: {gpu_task_name}", peer_name)


def show(benchmark: BenchmarkFixture, outcome: Outcome, group: str, peer_name: str) -> None:
    """One row."""
    if peer_name in outcome.reasons:
        pytest.skip(f"{peer_name}: {outcome.reasons[peer_name]}")
    found = outcome.measured[peer_name]
    benchmark.extra_info.update(outcome.extra_info(peer_name))
    # A wrong result has a time, too, but not among those that do the job.
    benchmark.group = group if found.verdict.ok else f"{group}: wrong, not ranked"
    benchmark.name = f"{found.label}: {found.verdict.label}" if found.verdict.label else found.label
    play(benchmark, found.seconds)
