"""Measuring: wrong peers are shown as wrong, broken ones as skipped, and no peer spoils the input of the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks.measure import measure, peak_bytes
from benchmarks.tasks import Task
from vggprep import preprocess_input
from vggprep.field.adapters import KERAS, USUAL
from vggprep.field.setup import Adapter, Array, Call, Setup, UnavailableError


def returning(function: Callable[[Array], Array]) -> Callable[[Setup], Call]:
    return lambda setup: lambda x, out: function(x)


def tf(x: Array) -> Array:
    return preprocess_input(x, mode="tf", backend="numpy")


def test_a_wrong_peer_is_measured_and_shown_as_wrong() -> None:
    half = Adapter("half", returning(lambda x: tf(x) * np.float32(0.5)))
    outcome = measure(Task(mode="tf", images=1), [half], 0.0)
    row = outcome.extra_info("half")
    assert row["verdict"].endswith("of 768 wrong")
    assert row["pairs_wrong"] > 700
    assert not row["ranked"]


def test_a_peer_that_cannot_run_has_a_reason() -> None:
    def missing(setup: Setup) -> Call:
        raise UnavailableError("cannot import nothing")

    def broken(setup: Setup) -> Call:
        raise TypeError("of another version")

    outcome = measure(Task(mode="tf", images=1), [Adapter("gone", missing), Adapter("new", broken)], 0.0)
    assert outcome.reasons["gone"] == "cannot import nothing"
    assert outcome.reasons["new"] == "raises TypeError: of another version"


def test_a_peer_that_writes_to_its_input_does_not_spoil_it_for_others() -> None:
    def writing(x: Array) -> Array:
        x /= np.float32(127.5)
        x -= np.float32(1)
        return x

    peers = [Adapter("writes", returning(writing)), Adapter("honest", returning(tf))]
    outcome = measure(Task(mode="tf", dtype="float32", images=1), peers, 0.0)
    assert outcome.extra_info("writes")["writes_input"]
    assert not outcome.extra_info("honest")["writes_input"]
    assert {outcome.extra_info(name)["verdict"] for name in ("writes", "honest")} == {"exact"}


def test_a_result_is_read_where_the_task_says_so_and_an_output_reused() -> None:
    outcome = measure(Task("inverse", "tf", dtype="float32", images=1, output="reused", reading=True), [], 0.0)
    row = outcome.extra_info(USUAL)
    assert row["label"] == f"{USUAL} (fresh output)"
    assert row["times_usual_inverse"] == {"min": 1.0, "median": 1.0}
    assert row["fraction_of_limit"]["min"] > 0


def test_memory_is_measured_with_and_without_the_systems_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def call() -> Array:
        return np.ones(1 << 21)

    assert peak_bytes(call) > 15e6
    monkeypatch.setattr("benchmarks.measure._status", lambda key: {}[key])
    assert 16e6 < peak_bytes(call) < 18e6


def test_keras_is_the_yardstick_wherever_it_is_installed() -> None:
    pytest.importorskip("keras")
    outcome = measure(Task(mode="tf", images=1), [], 0.0)
    assert outcome.extra_info(KERAS)["times_keras"] == {"min": 1.0, "median": 1.0}
