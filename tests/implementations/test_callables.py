"""One call of a function under test."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from judged import CELL, ONE_CELL, Array, judge

from vggprep import (
    Implementation,
    preprocess_input,
)
from vggprep.cases import panel
from vggprep.checks import Subject
from vggprep.implementations.callables import _UNUSED, call
from vggprep.spec import DataFormat, ModeName


def test_a_call_gets_a_copy_of_its_own_and_reports_what_became_of_it() -> None:
    def halves(x: Array) -> Array:
        x //= 2
        return x

    given = np.arange(12, dtype=np.int32).reshape(2, 2, 3)
    outcome = call(halves, given, None, None)
    assert outcome.changed_input
    assert outcome.shares_input
    assert outcome.output is not None
    assert not np.shares_memory(outcome.output, given)


def test_small_cases_are_run_once() -> None:
    calls = []

    def counts(x: Array) -> Array:
        calls.append(x.shape)
        return preprocess_input(x)

    subject = Subject(Implementation("it", counts))
    case = panel("forward", CELL)
    assert subject.run(case) is subject.run(case)
    assert len(calls) == 1


def test_logging_is_not_the_suites_business(caplog: pytest.LogCaptureFixture) -> None:
    def logs(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        logging.getLogger("theirs").warning("noted")
        return preprocess_input(x, data_format, mode)

    assert judge(Implementation("it", logs, **ONE_CELL)).conforms
    assert "noted" in caplog.text


def written_later(stream: Any) -> Any:
    """What a logger does that is set up in one call and writes in another."""
    print("earlier", file=stream)
    return stream.write


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stream: stream.detach(),
        lambda stream: stream.buffer.close(),
        lambda stream: stream.reconfigure(encoding="utf-16"),
        lambda stream: stream.fileno(),
        written_later,
    ],
    ids=["detached", "closed underneath", "another encoding", "a file", "kept"],
)
def test_what_one_call_does_to_its_streams_is_nothing_to_the_next(spoil: Callable[[Any], Any]) -> None:
    kept = []

    def odd(x: Array) -> Array:
        kept.append(spoil(sys.stdout))
        return x

    def prints(x: Array) -> Array:
        print("märz")
        return x

    x = np.zeros((1, 1, 3))
    for _ in range(2):
        assert call(odd, x, None, None).output is not None
        if callable(kept[-1]):
            kept[-1]("later")
        assert call(lambda x: x, x, None, None).remarks == frozenset()
        assert call(prints, x, None, None).remarks == {"prints: 'märz'"}


def test_a_stream_that_nothing_was_printed_on_serves_again() -> None:
    seen: list[io.TextIOBase] = []

    def looks(x: Array) -> Array:
        seen.append(sys.stdout)  # type: ignore[arg-type]
        return x

    _UNUSED.clear()
    for _ in range(3):
        call(looks, np.zeros((1, 1, 3)), None, None)
    assert seen[0] is seen[1] is seen[2]
    assert len(_UNUSED) == 1
