"""Sequences of calls: right functions survive them; those with a memory or a shared buffer are found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from vggprep import Implementation, deprocess_input, faults, kernels, preprocess_input
from vggprep.cases import Array
from vggprep.sequences import machine
from vggprep.spec import DataFormat, ModeName

SEQUENCES = settings(max_examples=60, stateful_step_count=12, deadline=None, derandomize=True, database=None)
UNSHRUNK = settings(SEQUENCES, phases=[Phase.generate])

BACKENDS = ["reference", "auto"]  # which is numpy without numba
if kernels.is_numba_installed():
    BACKENDS += ["numpy", "numba"]


def run(implementation: Implementation | Callable[[], Implementation], how: settings = UNSHRUNK) -> None:
    run_state_machine_as_test(machine(implementation), settings=how)


def ours(**words: Any) -> Implementation:
    return Implementation(
        "ours",
        functools.partial(preprocess_input, **words),
        functools.partial(deprocess_input, **words),
        level="exact",
    )


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_sequence_of_calls_changes_what_our_functions_return(backend: str) -> None:
    run(ours(backend=backend))


WITH_MEMORY = (
    "constants_of_previous_call", "cached_by_shape", "running_means", "buffer_reused", "stale_length",
    "result_kept_by_ends",
)  # fmt: skip


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_a_function_that_remembers_earlier_calls_is_found(name: str) -> None:
    fault = next(fault for fault in faults.FAULTS if fault.name == name)
    with pytest.raises(AssertionError):
        run(fault.implementation)  # called for every sequence: each starts without a memory


def test_what_the_previous_call_spoils_is_shown_by_two_calls() -> None:
    claims: dict[str, Any] = {"data_formats": ("channels_last",), "dtypes": ("float32",), "ranks": (3,)}
    fault = next(fault for fault in faults.FAULTS if fault.name == "constants_of_previous_call")
    with pytest.raises(AssertionError) as caught:
        run(
            lambda: replace(fault.implementation(), modes=("caffe", "torch"), **claims),
            settings(SEQUENCES, stateful_step_count=5, phases=[Phase.generate, Phase.shrink]),
        )
    calls = [line for line in caught.value.__notes__ if line.startswith("forward ")]
    assert sorted(line.split()[1] for line in calls) == ["caffe", "torch"]


def with_words(function: Callable[..., Array]) -> Implementation:
    return Implementation("odd", function, modes=("caffe", "tf"), dtypes=("float32", "uint8"), level="exact")


def undone(x: Array, data_format: DataFormat, mode: ModeName, threads: int = 1) -> Array:
    y = preprocess_input(x, data_format, mode)
    if threads == 3:
        y[..., -1:, :] = 0
    return y


def leftovers(x: Array, data_format: DataFormat, mode: ModeName, out: Array | None = None) -> Array:
    y = preprocess_input(x, data_format, mode)
    if out is None:
        return y
    np.copyto(out, y, where=y > 0)  # zeros it out first only if it is its own
    return out


def ignoring(x: Array, data_format: DataFormat, mode: ModeName, out: Array | None = None) -> Array:
    return preprocess_input(x, data_format, mode)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (undone, "values wrong"),
        (leftovers, "values wrong"),
        (ignoring, "does not return the out= it was given"),
    ],
)
def test_what_goes_wrong_with_threads_or_out_is_found(function: Callable[..., Array], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        run(with_words(function))


def test_an_out_that_is_written_to_in_a_later_call_is_found() -> None:
    def fresh() -> Implementation:
        held: list[Array] = []

        def holding(x: Array, data_format: DataFormat, mode: ModeName, out: Array | None = None) -> Array:
            y = preprocess_input(x, data_format, mode, out=out)
            for buffer in held:
                buffer.flat[:1] = 0
            held[:] = [] if out is None else [out]
            return y

        return with_words(holding)

    with pytest.raises(AssertionError, match="an earlier result has changed"):
        run(fresh)


def test_results_that_share_memory_are_found_even_if_their_values_stay() -> None:
    def fresh() -> Implementation:
        results: dict[bytes, Array] = {}

        def memoised(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
            key = repr((x.shape, x.dtype, data_format, mode)).encode() + x.tobytes()
            return results.setdefault(key, preprocess_input(x, data_format, mode))

        return Implementation("memoised", memoised, modes=("tf",), dtypes=("uint8",), level="exact")

    with pytest.raises(AssertionError, match=r"shares memory|values wrong"):
        run(fresh)


def test_a_function_that_refuses_what_it_took_before_is_found() -> None:
    def fresh() -> Implementation:
        count = [0]

        def tired(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
            count[0] += 1
            if count[0] > 2:
                raise RuntimeError("enough")
            return preprocess_input(x, data_format, mode)

        return Implementation("tired", tired, modes=("caffe",), dtypes=("uint8",), ranks=(3,), level="exact")

    with pytest.raises(AssertionError, match="refuses now what it accepted before"):
        run(fresh)


@pytest.mark.parametrize(
    "takes", [lambda x: preprocess_input(x), lambda x, mode: preprocess_input(x, mode=mode)], ids=["x", "x, mode"]
)
def test_what_a_function_does_not_take_is_not_varied(takes: Callable[..., Array]) -> None:
    run(Implementation("mine", takes))
    with pytest.raises(AssertionError, match="values wrong"):
        run(Implementation("mine", takes, modes=("caffe",), data_formats=("channels_first",)))
