"""The machinery: whatever a function under test does is reported, never fatal, and the same on every run.

That each check catches the faults it is for is tested with the gallery.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import (
    CHECKS,
    Implementation,
    Result,
    check_implementation,
    deprocess_input,
    ledger,
    preprocess_input,
)
from vggprep.cases import Cell, panel
from vggprep.checks import Subject
from vggprep.conformance.engine import Report, Selection, run
from vggprep.implementations.callables import call, parameters

Array = npt.NDArray[Any]
Function = Callable[..., Any]

CELL = Cell("caffe", "channels_last", "float32", 4)
FEW = Selection(modes=("caffe", "tf"), data_formats=("channels_last",), dtypes=("uint8", "float32"))


BUT_SIZES = [check for check in CHECKS if check.name != "sizes"]
"""What most tests need: the ladder of sizes is half of the time."""


def correct(x: Array, data_format: str = "channels_last", mode: str = "caffe") -> Array:
    return preprocess_input(x, data_format, mode)


def spoiled(spoil: Function) -> Function:
    """A correct function whose result goes through ``spoil``."""

    def function(x: Array, data_format: str, mode: str) -> Any:
        return spoil(preprocess_input(x, data_format, mode))

    return function


def judge(function: Function | Implementation, *, selection: Selection = FEW, **words: Any) -> Report:
    implementation = function if isinstance(function, Implementation) else Implementation("it", function)
    words.setdefault("examples", 0)
    words.setdefault("checks", BUT_SIZES)
    return run(implementation, selection=selection, **words)


def failed(report: Report) -> list[Result]:
    return [result for result in report.results if result.status == "failed"]


def failing_checks(report: Report) -> set[str]:
    return {result.check for result in failed(report)}


def row(report: Report, check: str, cell: Cell = CELL) -> Result:
    """The result of one check in one cell."""
    (found,) = [result for result in report.results if result.check == check and result.cell == cell]
    return found


# The right ones ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["exact", "faithful"])
def test_the_definition_conforms_to_itself(level: Any) -> None:
    implementation = Implementation("ours", preprocess_input, deprocess_input, level=level)
    report = judge(implementation, checks=CHECKS)
    assert report.conforms
    assert not failed(report)
    assert report.notes == []
    assert {result.check for result in report.results if result.status == "passed"} == {
        check.name for check in CHECKS if check.name != "restores_floats"
    }


def test_every_row_says_where_it_belongs_and_has_a_digest() -> None:
    report = judge(correct)
    assert len({(r.check, r.cell) for r in report.results}) == len(report.results)
    for result in report.results:
        assert result.implementation == "it"
        assert result.status == "passed"
        assert (result.message, result.diagnosis, result.reproducer) == ("", "", "")
        assert len(result.digest) == 64
        assert result.seconds >= 0


def test_every_check_has_a_sentence_for_the_report_and_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.sentence.endswith(".")
        assert check.directions


# What comes back instead of an array ------------------------------------------------------------------------------


class Tensor:
    """As torch has them: not an array, but NumPy can make one of it."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: None, "returns None, not an array"),
        (lambda y: y.tolist(), "returns a list, not a NumPy array"),
        (lambda y: (y, y), "returns a tuple, not a NumPy array"),
        (lambda y: {"image": y}, "returns a dict, not a NumPy array"),
        (lambda y: y.tobytes(), "returns a bytes, not a NumPy array"),
        (lambda y: Tensor(y), r"returns a \w*test_checks\.Tensor, not a NumPy array"),
        (lambda y: y.dtype.type(1), r"returns a numpy\.float32, not a NumPy array"),
        (lambda y: np.array(1.0), "returns a 0-d array"),
        (lambda y: y.astype(object), "returns an array of dtype object, not of real numbers"),
        (lambda y: y.astype(np.complex64), "returns an array of dtype complex64, not of real numbers"),
        (lambda y: np.zeros(y.shape, "U3"), "returns an array of dtype <U3, not of real numbers"),
        (lambda y: np.zeros(y.shape, "M8[s]"), r"returns an array of dtype datetime64\[s\], not of real numbers"),
        (lambda y: np.zeros(y.shape, [("r", "f4")]), r"returns an array of dtype \[.*\], not of real numbers"),
        (lambda y: y[None], r"returns shape \(1, 2, 8, 16, 3\) for an input of shape \(2, 8, 16, 3\)"),
        (lambda y: y[..., :2], r"returns shape \(2, 8, 16, 2\) for an input of shape \(2, 8, 16, 3\)"),
        (lambda y: y.ravel(), r"returns shape \(768,\) for an input of shape \(2, 8, 16, 3\)"),
        (lambda y: y[:0], r"returns shape \(0, 8, 16, 3\) for an input of shape \(2, 8, 16, 3\)"),
    ],
)
def test_anything_but_an_array_of_numbers_of_the_right_shape_fails_in_words(spoil: Function, message: str) -> None:
    report = judge(spoiled(spoil))
    assert not report.conforms
    result = row(report, "value")
    assert result.status == "failed"
    assert re.fullmatch(message, result.message)
    # Only what looks at errors, not at results, can pass.
    assert {r.check for r in report.results if r.status == "passed"} <= {"errors", "purity"}


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("float16", "returns float16 for float32, which is too narrow"),
        ("int32", "returns int32 for float32, not a floating dtype"),
        ("bool", "returns bool for float32, not a floating dtype"),
    ],
)
def test_a_wrong_dtype_fails_and_is_named(dtype: str, message: str) -> None:
    result = row(judge(spoiled(lambda y: y.astype(dtype))), "shape_and_dtype")
    assert result.status == "failed"
    assert result.message == message


def test_a_wider_dtype_is_faithful_but_not_exact() -> None:
    function = spoiled(lambda y: y.astype(np.float64))
    assert row(judge(function), "shape_and_dtype").status == "passed"
    result = row(judge(Implementation("it", function, level="exact")), "shape_and_dtype")
    assert result.status == "failed"
    assert result.message == "returns float64 for float32, where Keras's arrays give float32"


@pytest.mark.parametrize("spoil", [lambda y: y.astype(">f4"), np.asfortranarray, lambda y: y[::-1].copy()[::-1]])
def test_neither_byte_order_nor_layout_of_a_result_matter(spoil: Function) -> None:
    assert judge(spoiled(spoil)).conforms


def test_a_subclass_of_an_array_is_an_array() -> None:
    assert judge(spoiled(lambda y: np.ma.MaskedArray(y))).conforms


# Raising, printing, warning, leaving ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("out of paint\nand more"), "RuntimeError: out of paint"),
        (SystemExit(3), "SystemExit: 3"),
        (AssertionError(), "AssertionError"),
        (GeneratorExit(), "GeneratorExit"),
        (MemoryError("no room"), "MemoryError: no room"),
    ],
)
def test_raising_everywhere_is_refusing_everything_and_fails(error: BaseException, words: str) -> None:
    def raises(x: Array, data_format: str, mode: str) -> Array:
        raise error

    report = judge(raises)
    assert not report.conforms
    assert {result.status for result in report.results} == {"refused", "failed"}
    (result,) = failed(report)
    assert result.message == f"refuses every mode, data format, dtype and rank: {words}"
    assert row(report, "monotone").message == words


def test_an_interrupt_by_the_user_is_no_result() -> None:
    def interrupted(x: Array, data_format: str, mode: str) -> Array:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(interrupted)


def test_refusing_a_dtype_a_format_or_a_mode_is_allowed_and_reported() -> None:
    def picky(x: Array, data_format: str, mode: str) -> Array:
        if x.dtype == np.uint8 or mode not in ("tf", "torch") or data_format != "channels_last":
            raise ValueError(f"no {x.dtype} in {mode}")
        return preprocess_input(x, data_format, mode)

    report = judge(picky, selection=Selection(modes=("caffe", "tf"), dtypes=("uint8", "float32")))
    assert report.conforms
    assert {r.status for r in report.results if r.mode == "caffe" or r.dtype == "uint8"} == {"refused"}
    assert row(report, "value").message == "ValueError: no float32 in caffe"
    assert row(report, "value", CELL._replace(mode="tf")).status == "passed"


def test_refusing_by_size_layout_or_value_what_is_accepted_otherwise_fails() -> None:
    def by_size(x: Array, data_format: str, mode: str) -> Array:
        if x.size == 0:
            raise ValueError("nothing to do")
        return preprocess_input(x, data_format, mode)

    def by_layout(x: Array, data_format: str, mode: str) -> Array:
        if any(stride < 0 for stride in x.strides):
            raise ValueError("negative strides")
        return preprocess_input(x, data_format, mode)

    def by_value(x: Array, data_format: str, mode: str) -> Array:
        if x.min() < 0:
            raise ValueError("negative pixels")
        return preprocess_input(x, data_format, mode)

    for function, check, why in (
        (by_size, "sizes", "nothing to do"),
        (by_layout, "memory_layouts", "negative strides"),
        (by_value, "value", "negative pixels"),
    ):
        only = [one for one in CHECKS if one.name == check]
        result = row(judge(function, checks=only), check)
        assert result.status == "failed"
        assert result.message.startswith("refuses this input (")
        assert result.message.endswith(f"and accepts others of the same kind: ValueError: {why}")


def test_prints_and_warnings_are_notes_and_reach_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    def chatty(x: Array, data_format: str, mode: str) -> Array:
        print("Hello")
        print("and good-bye", file=sys.stderr)
        warnings.warn("mind the gap", FutureWarning, stacklevel=1)
        return preprocess_input(x, data_format, mode)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = judge(chatty)
    assert report.conforms
    assert "prints: 'Hello'" in report.notes
    assert "warns: FutureWarning: mind the gap" in report.notes
    assert capfd.readouterr() == ("", "")
    assert not [w for w in caught if "mind the gap" in str(w.message)]


def test_a_function_that_changes_numpys_error_handling_disturbs_nobody() -> None:
    def strict(x: Array, data_format: str, mode: str) -> Array:
        with np.errstate(all="ignore"):
            return preprocess_input(x, data_format, mode)

    before = np.geterr()
    assert judge(strict).conforms
    assert np.geterr() == before


# Aliasing and state -----------------------------------------------------------------------------------------------


def test_overwriting_the_input_is_impure_and_a_view_of_it_is_not_fresh() -> None:
    def in_place(x: Array, data_format: str, mode: str) -> Array:
        if x.dtype.kind != "f" or not x.flags.writeable or not x.dtype.isnative:
            return preprocess_input(x, data_format, mode)
        x[...] = preprocess_input(x, data_format, mode)
        return x[...]

    report = judge(in_place)
    assert row(report, "purity").message == "overwrites the caller's array"
    assert row(report, "fresh_output").message == "returns a view of the caller's array"
    assert failing_checks(report) >= {"purity", "fresh_output"}
    assert not {r for r in failed(report) if r.dtype == "uint8" and r.check in ("purity", "fresh_output")}
    assert row(report, "value").status == "passed"


def test_returning_the_input_itself_is_said_so() -> None:
    def itself(x: Array, data_format: str, mode: str) -> Array:
        return x

    report = judge(Implementation("it", itself, modes=("identity",)), selection=Selection(dtypes=("uint8",)))
    assert failing_checks(report) == {"fresh_output"} | {r.check for r in failed(report) if "accepts " in r.message}
    assert {r.message for r in failed(report) if r.check == "fresh_output"} == {"returns the caller's array itself"}


def test_keeping_the_input_and_writing_to_it_later_is_impure() -> None:
    kept: list[Array] = []

    def keeps(x: Array, data_format: str, mode: str) -> Array:
        for array in kept:
            with contextlib.suppress(ValueError):
                array[...] = 0
        kept[:] = [x]
        return preprocess_input(x.copy(), data_format, mode)

    report = judge(keeps)
    assert row(report, "purity").message == "keeps the caller's array and writes to it in a later call"
    assert row(report, "value").status == "passed"


def test_reusing_the_result_of_an_earlier_call_is_not_fresh() -> None:
    buffers: dict[Any, Array] = {}

    def reuses(x: Array, data_format: str, mode: str) -> Array:
        result = preprocess_input(x, data_format, mode)
        buffer = buffers.setdefault((result.shape, result.dtype), result)
        buffer[...] = result
        return buffer

    report = judge(reuses)
    assert row(report, "fresh_output").message == "a later call changes the result of an earlier one"
    assert row(report, "value").status == "passed"


def test_a_declared_writer_must_return_what_it_wrote() -> None:
    def elsewhere(x: Array, data_format: str, mode: str) -> Array:
        result = preprocess_input(x, data_format, mode)
        if x.dtype.kind == "f" and x.flags.writeable:
            x[...] = 0
        return result

    result = row(judge(Implementation("it", elsewhere, writes_input=True)), "purity")
    assert result.status == "failed"
    assert "something else than the result" in result.message


def test_a_result_that_depends_on_the_calls_before_is_not_deterministic() -> None:
    calls = []

    def counts(x: Array, data_format: str, mode: str) -> Array:
        calls.append(1)
        y = preprocess_input(x, data_format, mode)
        y.ravel()[:1] += np.array(len(calls) % 2, y.dtype)
        return y

    report = judge(counts)
    assert not report.conforms
    assert "determinism" in failing_checks(report) or "value" in failing_checks(report)


def test_a_function_that_raises_only_among_threads_fails_and_nobody_waits_for_ever() -> None:
    busy = threading.Lock()

    def alone(x: Array, data_format: str, mode: str) -> Array:
        if not busy.acquire(blocking=False):
            raise RuntimeError("one at a time, please")
        try:
            time.sleep(0.0005)
            return preprocess_input(x, data_format, mode)
        finally:
            busy.release()

    small = Selection(modes=("tf",), data_formats=("channels_last",), dtypes=("uint8",))
    only = [check for check in CHECKS if check.name == "threads"]
    report = judge(alone, selection=small, checks=only)
    assert failed(report)
    for result in failed(report):
        assert "raises when called from several threads" in result.message
        assert "one at a time, please" in result.message


def test_what_threads_print_reaches_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(x: Array, data_format: str, mode: str) -> Array:
        print("hello")
        return preprocess_input(x, data_format, mode)

    report = judge(chatty, checks=[check for check in CHECKS if check.name == "threads"])
    assert report.conforms
    assert capsys.readouterr().out == ""


# Signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_function_without_a_mode_is_judged_as_the_nearest_and_that_is_said(mode: str) -> None:
    def fixed(x: Array, data_format: str) -> Array:
        return preprocess_input(x, data_format, mode)

    report = judge(fixed, selection=Selection(dtypes=("uint8", "float32")))
    assert report.conforms
    assert {result.mode for result in report.results} == {mode}
    assert f"takes no mode: judged as {mode}, the nearest of caffe, tf and torch" in report.notes


def test_an_inverse_without_a_mode_is_judged_as_the_nearest() -> None:
    def fixed(y: Array) -> Array:
        return deprocess_input(y, mode="torch")

    report = judge(Implementation("it", deprocess=fixed), selection=Selection(dtypes=("float32",)))
    assert report.conforms
    assert {result.mode for result in report.results} == {"torch"}


def test_a_function_without_a_data_format_is_judged_on_channels_last_and_that_is_said() -> None:
    def fixed(x: Array, mode: str) -> Array:
        return preprocess_input(x, mode=mode)

    report = judge(fixed, selection=Selection(dtypes=("uint8",)))
    assert report.conforms
    assert {result.data_format for result in report.results} == {"channels_last"}
    assert "takes no data_format: judged on channels_last only" in report.notes


def test_a_claim_says_which_mode_and_format_a_function_without_them_has() -> None:
    def fixed(x: Array) -> Array:
        return preprocess_input(x, "channels_first", "identity")

    report = judge(
        Implementation("it", fixed, modes=("identity",), data_formats=("channels_first",)),
        selection=Selection(dtypes=("uint8", "float32")),
    )
    assert report.conforms
    assert {(r.mode, r.data_format) for r in report.results} == {("identity", "channels_first")}


def test_keyword_catch_alls_count_for_neither_keyword() -> None:
    given: set[str] = set()

    def catch_all(x: Array, **words: Any) -> Array:
        given.update(words)
        return preprocess_input(x, mode="tf")

    report = judge(catch_all, selection=Selection(dtypes=("uint8",)))
    assert report.conforms
    assert given == set()
    assert {(r.mode, r.data_format) for r in report.results} == {("tf", "channels_last")}


def test_a_signature_that_cannot_be_read_gets_the_array_only() -> None:
    def odd(*arguments: Any) -> Array:
        (x,) = arguments
        return preprocess_input(x, mode="tf")

    odd.__signature__ = "unreadable"  # type: ignore[attr-defined]
    report = judge(odd, selection=Selection(dtypes=("uint8",)))
    assert report.conforms
    assert {r.mode for r in report.results} == {"tf"}


def test_positional_only_parameters_are_not_named() -> None:
    def positional(x: Array, mode: str = "tf", data_format: str = "channels_last", /) -> Array:
        return preprocess_input(x, data_format, mode)

    assert not parameters(positional).mode
    assert not parameters(positional).data_format
    assert judge(positional, selection=Selection(dtypes=("uint8",))).conforms


@dataclass
class Normalize:
    """Callable and, as dataclasses are, unhashable."""

    scale: float = 1.0

    def __call__(self, x: Array, mode: str) -> Array:
        return preprocess_input(x, mode=mode)


@pytest.mark.parametrize("function", [Normalize(), partial(correct, data_format="channels_last"), Normalize().__call__])
def test_callable_objects_are_functions(function: Function) -> None:
    assert judge(function).conforms


# Claims -----------------------------------------------------------------------------------------------------------


def refuses_caffe_bytes(x: Array, data_format: str, mode: str) -> Array:
    if mode == "caffe" or x.dtype == np.uint8 or x.ndim == 3 or data_format == "channels_first":
        raise TypeError("not this")
    return preprocess_input(x, data_format, mode)


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
    def inverse(y: Array, mode: str) -> Array:
        raise NotImplementedError

    report = judge(Implementation("it", correct, inverse, modes=("tf",)), selection=Selection(dtypes=("float32",)))
    assert {r.message for r in failed(report)} == {"inverse: refuses tf, which it claims: NotImplementedError"}


def test_a_verdict_on_half_precision_alone_says_so() -> None:
    def half(x: Array, data_format: str, mode: str) -> Array:
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


# Known failures ---------------------------------------------------------------------------------------------------


def swapped_in_caffe(x: Array, data_format: str, mode: str) -> Array:
    """Forgets the swap in caffe mode on floats."""
    if mode != "caffe" or x.dtype != np.float32:
        return preprocess_input(x, data_format, mode)
    axis = x.ndim - 1 if data_format == "channels_last" else x.ndim - 3
    return preprocess_input(np.flip(x, axis), data_format, mode)


def entry(**words: Any) -> ledger.Entry:
    return ledger.entry({"reason": "red and blue change places"} | words)


def test_a_failure_that_a_ledger_knows_is_known_and_says_why() -> None:
    report = judge(swapped_in_caffe)
    checks = sorted(failing_checks(report))
    assert checks
    known = judge(swapped_in_caffe, ledger=[entry(check=checks, mode="caffe", link="https://example.org/1")])
    assert known.conforms
    assert not failed(known)
    result = row(known, "value")
    assert result.status == "known"
    assert result.diagnosis == "red and blue change places (https://example.org/1)"
    assert row(known, "value", CELL._replace(mode="tf")).status == "passed"


def test_an_entry_covers_only_what_it_names() -> None:
    checks = sorted(failing_checks(judge(swapped_in_caffe)))
    for words in ({"rank": 4}, {"check": checks[:1]}, {"implementation": "another"}, {"dtype": "uint8"}):
        report = judge(swapped_in_caffe, ledger=[entry(**({"check": checks, "mode": "caffe"} | words))])
        assert not report.conforms
    assert row(judge(swapped_in_caffe, ledger=[entry(check="value", rank=4)]), "value").status == "known"


def test_cells_that_pass_stay_passed_under_a_live_entry() -> None:
    report = judge(swapped_in_caffe, ledger=[entry(check="value")])
    assert row(report, "value").status == "known"
    assert row(report, "value", CELL._replace(dtype="uint8")).status == "passed"


def test_an_entry_that_matches_what_was_judged_and_did_not_fail_is_stale_and_fails_the_run() -> None:
    stale = entry(check="monotone", mode="tf")
    report = judge(correct, ledger=[stale])
    assert not report.conforms
    (result,) = failed(report)
    assert result.message == "stale ledger entry, nothing fails any more: red and blue change places"
    warned = judge(correct, ledger=[stale], warn_stale=True)
    assert warned.conforms
    assert result.message in warned.notes


def test_an_entry_that_matches_nothing_that_was_run_is_ignored() -> None:
    for words in (
        {"mode": "torch"},
        {"implementation": "another"},
        {"dtype": "float64"},
        {"data_format": "channels_first"},
    ):
        assert judge(correct, ledger=[entry(check="value", **words)]).conforms
    refusing = Implementation("it", refuses_caffe_bytes)
    assert judge(refusing, ledger=[entry(check="value", mode="caffe")]).conforms


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"valeu": "a slip"}, r"'valeu' is no check; there are value, every_byte, .*errors"),
        ([{"check": "value"}], "'reason' is missing"),
        ([{"reason": "why"}], "'check' is missing"),
        ([{"check": "value", "reason": "why", "color": "red"}], "unknown key 'color'; the keys are "),
    ],
)
def test_expected_failures_that_make_no_sense_are_errors(given: Any, message: str) -> None:
    with pytest.raises(ledger.LedgerError, match=message):
        check_implementation(correct, expected_failures=given, examples=0)


# The Python door --------------------------------------------------------------------------------------------------

ONE_CELL: dict[str, Any] = {
    "modes": ("caffe",),
    "data_formats": ("channels_last",),
    "dtypes": ("float32",),
    "ranks": (4,),
}
WRONG = Implementation("swapped", swapped_in_caffe, **ONE_CELL)
RIGHT = Implementation("right", correct, **ONE_CELL)


def test_by_default_failures_raise_once_after_all_checks() -> None:
    with pytest.raises(AssertionError) as caught:
        check_implementation(WRONG, examples=0)
    text = str(caught.value)
    assert "swapped" in text
    assert "value" in text
    assert "grey level" in text


def test_failures_can_be_warned_of_instead() -> None:
    with pytest.warns(UserWarning, match="swapped"):
        results = check_implementation(WRONG, examples=0, on_fail="warn")
    assert "failed" in {result.status for result in results}


def test_failures_can_be_returned_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    results = check_implementation(WRONG, examples=0, on_fail=None)
    assert "failed" in {result.status for result in results}
    assert not recwarn.list


def test_nothing_is_raised_for_what_conforms() -> None:
    for on_fail in ("raise", "warn", None):
        results = check_implementation(RIGHT, examples=5, on_fail=on_fail)  # type: ignore[arg-type]
        assert {result.status for result in results} <= {"passed", "skipped"}


def test_an_unknown_way_to_fail_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"on_fail must be .*; got 'ignore'"):
        check_implementation(RIGHT, on_fail="ignore")  # type: ignore[arg-type]


def test_expected_failures_are_a_mapping_or_a_list_of_entries() -> None:
    checks = sorted({r.check for r in check_implementation(WRONG, examples=0, on_fail=None) if r.status == "failed"})
    as_mapping: Any = dict.fromkeys(checks, "known since spring")
    as_list: Any = [{"check": checks, "mode": "caffe", "reason": "known since spring"}]
    for expected in (as_mapping, as_list, [ledger.entry(as_list[0])]):
        results = check_implementation(WRONG, expected_failures=expected, examples=0)
        assert {r.check for r in results if r.status == "known"} == set(checks)


def test_an_expected_failure_that_does_not_fail_fails() -> None:
    with pytest.raises(AssertionError, match=r"stale ledger entry.*not for long"):
        check_implementation(RIGHT, expected_failures={"value": "not for long"}, examples=0)


def test_a_function_goes_by_its_own_name() -> None:
    def my_preprocess(x: Array) -> Array:
        raise RuntimeError("closed")

    results = check_implementation(my_preprocess, examples=0, on_fail=None)
    assert {result.implementation for result in results} == {"my_preprocess"}


# The same verdict every time --------------------------------------------------------------------------------------


def essence(report: Report) -> list[tuple[Any, ...]]:
    return [
        (r.check, r.cell, r.status, r.message, r.diagnosis, r.reproducer, r.worst_levels, r.digest)
        for r in report.results
    ]


@pytest.mark.parametrize("function", [correct, swapped_in_caffe])
def test_two_runs_give_the_same_rows_and_digests(function: Function) -> None:
    first, second = (judge(function, examples=30) for _ in range(2))
    assert essence(first) == essence(second)
    assert first.notes == second.notes


def test_digests_do_not_depend_on_layout_byte_order_or_which_nan_comes_back() -> None:
    def disguised(y: Array) -> Array:
        other = np.asfortranarray(y)
        if other.dtype == np.float32:
            other.view(np.uint32)[np.isnan(other)] = 0xFFC12345
        return other.astype(other.dtype.newbyteorder(">"))

    plain, other = judge(correct), judge(spoiled(disguised))
    assert [r.digest for r in plain.results] == [r.digest for r in other.results]


def test_digests_tell_different_results_apart() -> None:
    plain, other = judge(correct), judge(swapped_in_caffe)
    assert row(plain, "value").digest != row(other, "value").digest
    tf = CELL._replace(mode="tf")
    assert row(plain, "value", tf).digest == row(other, "value", tf).digest


# Exploration ------------------------------------------------------------------------------------------------------

RARE = Implementation(
    "rarely wrong",
    lambda x, mode: rarely_wrong(x, mode),
    modes=("tf",),
    data_formats=("channels_last",),
    dtypes=("float64",),
)


def rarely_wrong(x: Array, mode: str) -> Array:
    """Wrong on dark pixels of red 77, which the corpus has not in float64."""
    y = preprocess_input(x, mode=mode)
    y[(x[..., 0] == 77) & (x[..., 1] < 128) & (x[..., 2] < 128)] += 0.25
    return y


def test_what_the_corpus_cannot_see_hypothesis_finds() -> None:
    assert judge(RARE, selection=Selection(), examples=0, checks=CHECKS).conforms
    report = judge(RARE, selection=Selection(), examples=2000, seed=1)
    assert not report.conforms
    (result,) = failed(report)
    assert result.check == "value"
    assert result.message.endswith("(found by Hypothesis)")
    assert result.worst_levels == pytest.approx(0.25 * 127.5)
    assert "77.0" in result.reproducer


def test_hypothesis_finds_the_same_with_the_same_seed_and_draws_the_same_without_one() -> None:
    for seed in (1, None):
        first, second = (judge(RARE, selection=Selection(), examples=150, seed=seed) for _ in range(2))
        assert essence(first) == essence(second)


def test_exploration_changes_no_digest() -> None:
    assert [r.digest for r in judge(correct, examples=0).results] == [
        r.digest for r in judge(correct, examples=20).results
    ]


def test_an_inverse_is_explored_too() -> None:
    def inverse(y: Array, mode: str) -> Array:
        x = deprocess_input(y, mode=mode)
        x[(x[..., 0] == 77) & (x[..., 1] < 128) & (x[..., 2] < 128)] ^= 1
        return x

    implementation = Implementation("it", deprocess=inverse, modes=("tf",), dtypes=("float64",))
    assert judge(implementation, selection=Selection(), examples=0, checks=CHECKS).conforms
    report = judge(implementation, selection=Selection(), examples=2000, seed=1)
    (result,) = failed(report)
    assert (result.check, result.direction) == ("restores_pixels", "inverse")
    assert result.message.startswith("inverse: ")
    assert result.message.endswith("(found by Hypothesis)")


# Failures tell ----------------------------------------------------------------------------------------------------


def test_a_failure_is_diagnosed_and_comes_with_one_pixel_to_paste() -> None:
    result = row(judge(WRONG), "value")
    assert result.diagnosis.startswith("behaves like ")
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


# One call ---------------------------------------------------------------------------------------------------------


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
    def logs(x: Array, data_format: str, mode: str) -> Array:
        logging.getLogger("theirs").warning("noted")
        return preprocess_input(x, data_format, mode)

    assert judge(Implementation("it", logs, **ONE_CELL)).conforms
    assert "noted" in caplog.text
