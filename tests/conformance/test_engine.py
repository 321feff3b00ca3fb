"""Which cells are judged, what claims mean, and that two runs give the same rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from judged import (
    CELL,
    FEW,
    RIGHT,
    WRONG,
    Array,
    Function,
    correct,
    essence,
    failed,
    judge,
    refuses_caffe_bytes,
    row,
    spoiled,
    swapped_in_caffe,
)

from vggprep import (
    Implementation,
    deprocess_input,
    preprocess_input,
)
from vggprep.cases import Cell
from vggprep.conformance.engine import Selection
from vggprep.conformance.report import headlines
from vggprep.spec import MODES, DataFormat, ModeName

# Signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_function_without_a_mode_is_judged_as_the_nearest_and_that_is_said(mode: ModeName) -> None:
    def fixed(x: Array, data_format: DataFormat) -> Array:
        return preprocess_input(x, data_format, mode)

    report = judge(fixed, selection=Selection(dtypes=("uint8", "float32")))
    assert report.conforms
    assert {result.mode for result in report.results} == {mode}
    assert report.guessed == {"forward": mode}
    assert f"judged as {mode}, the nearest of caffe, tf and torch" in headlines(report)[0]


def unreadable(*arguments: Any) -> Array:
    (x,) = arguments
    return preprocess_input(x, mode="tf")


unreadable.__signature__ = "no signature"  # type: ignore[attr-defined]


def positional(x: Array, mode: ModeName = "tf", data_format: DataFormat = "channels_last", /) -> Array:
    return preprocess_input(x, data_format, mode)


CLAIM = Implementation(
    "it",
    lambda x: preprocess_input(x, "channels_first", "identity"),
    modes=("identity",),
    data_formats=("channels_first",),
)


@pytest.mark.parametrize(
    ("function", "modes", "data_format"),
    [
        (Implementation("it", deprocess=lambda y: deprocess_input(y, mode="torch")), ["torch"], "channels_last"),
        (lambda x, mode: preprocess_input(x, mode=mode), MODES, "channels_last"),
        (CLAIM, ["identity"], "channels_first"),
        (lambda x, **words: preprocess_input(x, mode="tf", **words), ["tf"], "channels_last"),
        (unreadable, ["tf"], "channels_last"),
        (positional, ["tf"], "channels_last"),
    ],
    ids=["inverse", "no data_format", "claim", "catch-all", "unreadable", "positional only"],
)
def test_what_a_signature_does_not_name_is_guessed_or_claimed_and_never_passed(
    function: Function | Implementation, modes: Iterable[str], data_format: DataFormat
) -> None:
    report = judge(function, selection=Selection(dtypes=("uint8", "float32")))
    assert report.conforms
    assert {(r.mode, r.data_format) for r in report.results} == {(mode, data_format) for mode in modes}
    assert ("takes no data_format: judged on channels_last only" in report.notes) == (function is not CLAIM)


@dataclass
class Normalize:
    """Callable and, as dataclasses are, unhashable."""

    scale: float = 1.0

    def __call__(self, x: Array, mode: ModeName) -> Array:
        return preprocess_input(x, mode=mode)


@pytest.mark.parametrize("function", [Normalize(), partial(correct, data_format="channels_last"), Normalize().__call__])
def test_callable_objects_are_functions(function: Function) -> None:
    assert judge(function).conforms


# Claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"modes": ("caffe", "tf")}, "refuses caffe, which it claims: TypeError: not this"),
        ({"dtypes": ("uint8", "float32")}, "refuses uint8, which it claims: TypeError: not this"),
        ({"ranks": (3, 4)}, "refuses rank 3, which it claims: TypeError: not this"),
        ({"data_formats": ("channels_first",)}, "refuses channels_first, which it claims: TypeError: not this"),
        ({"modes": ("tf",), "dtypes": ("uint8",)}, "refuses tf, uint8, which it claims: TypeError: not this"),
    ],
)
def test_refusing_what_is_claimed_fails(claims: dict[str, Any], words: str) -> None:
    selection = Selection(modes=("caffe", "tf"), dtypes=("uint8", "float32"))
    report = judge(Implementation("it", refuses_caffe_bytes, **claims), selection=selection)
    assert not report.conforms
    assert words in {result.message for result in failed(report)}


def test_refusing_what_is_not_claimed_is_allowed() -> None:
    claims: dict[str, Any] = {
        "modes": ("tf",),
        "dtypes": ("float32",),
        "ranks": (4,),
        "data_formats": ("channels_last",),
    }
    for words in (claims, {}):
        report = judge(Implementation("it", refuses_caffe_bytes, **words), selection=FEW)
        assert report.conforms
        assert row(report, "value", CELL._replace(mode="tf")).status == "passed"


def test_only_what_is_claimed_is_judged() -> None:
    implementation = Implementation(
        "it", correct, modes=("tf",), data_formats=("channels_first",), dtypes=("int16",), ranks=(3,)
    )
    report = judge(implementation, selection=Selection())
    assert {result.cell for result in report.results} == {Cell("tf", "channels_first", "int16", 3)}


def test_an_inverse_that_refuses_its_claim_fails_though_the_forward_function_does_not() -> None:
    def inverse(y: Array, mode: ModeName) -> Array:
        raise NotImplementedError

    report = judge(Implementation("it", correct, inverse, modes=("tf",)), selection=Selection(dtypes=("float32",)))
    assert {r.message for r in failed(report)} == {"inverse: refuses tf, which it claims: NotImplementedError"}


def test_a_verdict_on_half_precision_alone_says_so() -> None:
    def half(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if x.dtype.name != "float16":
            raise TypeError("float16 only")
        return preprocess_input(x, data_format, mode)

    selection = Selection(modes=("tf",), dtypes=("float16", "float32"))
    report = judge(half, selection=selection)
    assert report.conforms
    assert report.notes == ["it accepts half precision only: the verdict rests on coarse rounding"]
    assert judge(correct, selection=selection).notes == []


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({}, TypeError, "neither preprocess nor deprocess"),
        ({"preprocess": 3}, TypeError, "3 is not callable"),
        ({"preprocess": correct, "level": "roughly"}, ValueError, "level must be among exact, faithful; got 'roughly'"),
        ({"preprocess": correct, "modes": ("bgr",)}, ValueError, "modes must be among caffe, .*; got 'bgr'"),
        ({"preprocess": correct, "modes": "tf"}, TypeError, r"modes must be a sequence .*; got the string 'tf'"),
        ({"preprocess": correct, "data_formats": ("nhwc",)}, ValueError, "data_formats must be among .*; got 'nhwc'"),
        ({"preprocess": correct, "dtypes": ("float8",)}, ValueError, "dtypes must be among .*; got 'float8'"),
        ({"preprocess": correct, "ranks": (5,)}, ValueError, "ranks must be among 3, 4; got 5"),
    ],
)
def test_an_implementation_that_makes_no_sense_is_an_error(
    words: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Implementation("it", **words)


# The same verdict every time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [correct, swapped_in_caffe])
def test_two_runs_give_the_same_rows_and_digests(function: Function) -> None:
    first, second = (judge(function, examples=30) for _ in range(2))
    assert essence(first) == essence(second)
    assert first.notes == second.notes


def test_digests_do_not_depend_on_layout_or_which_nan_comes_back() -> None:
    def disguised(y: Array) -> Array:
        other = np.asfortranarray(y)
        if other.dtype == np.float32:
            other.view(np.uint32)[np.isnan(other)] = 0xFFC12345
        return other

    plain, other = judge(correct), judge(spoiled(disguised))
    assert [r.digest for r in plain.results] == [r.digest for r in other.results]


def test_digests_tell_different_results_apart() -> None:
    plain, other = judge(correct), judge(swapped_in_caffe)
    assert row(plain, "value").digest != row(other, "value").digest
    tf = CELL._replace(mode="tf")
    assert row(plain, "value", tf).digest == row(other, "value", tf).digest


# Failures tell ----------------------------------------------------------------------------------------------------


def test_a_failure_is_diagnosed_and_comes_with_one_pixel_to_paste() -> None:
    result = row(judge(WRONG), "value")
    assert result.diagnosis.startswith("computes R - 103.939, G - 116.779, B - 123.68, where B - 103.939, ")
    assert result.worst_levels > 100
    lines = result.reproducer.splitlines()
    assert lines[0] == "import numpy as np"
    assert any(line.startswith("# got ") for line in lines)
    assert any(line.startswith("# expected ") for line in lines)
    (array,) = [line for line in lines if line.startswith("x = ")]
    assert eval(array.removeprefix("x = "), {"np": np}).shape == (1, 1, 1, 3)


def test_progress_is_told_in_words_and_fractions() -> None:
    told: list[tuple[str, float]] = []
    judge(RIGHT, examples=5, progress=lambda word, done: told.append((word, done)))
    assert all(word and 0 <= done <= 1 for word, done in told)
    assert [done for _, done in told] == sorted(done for _, done in told)
