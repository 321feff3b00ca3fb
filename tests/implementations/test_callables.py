"""One call of a function under test."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from judged import CELL, ONE_CELL, Array, judge

from vggprep import (
    Implementation,
    preprocess_input,
)
from vggprep.cases import panel
from vggprep.checks import Subject
from vggprep.implementations.callables import call
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
