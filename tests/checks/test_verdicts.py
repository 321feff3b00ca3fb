"""Whatever a function under test does is reported, never fatal: results of the checks for odd functions."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from judged import CELL, Array, Function, correct, failed, failing_checks, judge, row, spoiled

from vggprep import (
    CHECKS,
    Implementation,
    deprocess_input,
    preprocess_input,
)
from vggprep.conformance.engine import Selection
from vggprep.spec import DataFormat, ModeName

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


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: None, "returns None, not an array"),
        (lambda y: [], "returns a list, not a NumPy array"),
        (lambda y: (y, y), "returns a tuple, not a NumPy array"),
        (lambda y: {"image": y, "mask": y}, "returns a dict, not a NumPy array"),
        (lambda y: y.tobytes(), "returns a bytes, not a NumPy array"),
        (lambda y: Tensor(y), r"returns a [\w.]*test_verdicts\.Tensor, not a NumPy array"),
        (lambda y: y.dtype.type(1), r"returns a numpy\.float32, not a NumPy array"),
        (lambda y: np.array(1.0), "returns a 0-d array"),
        (lambda y: y.astype(object), "returns an array of dtype object, not of real numbers"),
        (lambda y: y.astype(np.complex64), "returns an array of dtype complex64, not of real numbers"),
        (lambda y: np.zeros(y.shape, "U3"), "returns an array of dtype <U3, not of real numbers"),
        (lambda y: np.zeros(y.shape, "M8[s]"), r"returns an array of dtype datetime64\[s\], not of real numbers"),
        (lambda y: np.zeros(y.shape, [("r", "f4")]), r"returns an array of dtype \[.*\], not of real numbers"),
        (lambda y: np.ma.masked_greater(y, 0), r"returns a masked array that hides \d+ of its 768 values"),
        (lambda y: y.astype(">f4"), "returns float32 in foreign byte order for a native array"),
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


@pytest.mark.thorough
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


@pytest.mark.parametrize("spoil", [np.asfortranarray, lambda y: y[::-1].copy()[::-1]])
def test_the_layout_of_a_result_does_not_matter(spoil: Function) -> None:
    assert judge(spoiled(spoil)).conforms


def test_the_byte_order_of_foreign_input_may_be_kept() -> None:
    def kept(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        y = preprocess_input(x, data_format, mode)
        return y if x.dtype.isnative else y.astype(y.dtype.newbyteorder(">"))

    assert judge(kept).conforms


def test_a_subclass_of_an_array_is_an_array_if_it_hides_nothing() -> None:
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
    def raises(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        raise error

    report = judge(raises)
    assert not report.conforms
    assert {result.status for result in report.results} == {"refused", "failed"}
    (result,) = failed(report)
    assert result.message == f"refuses every mode, data format, dtype and rank: {words}"
    assert row(report, "monotone").message == words


def test_an_interrupt_by_the_user_is_no_result() -> None:
    def interrupted(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(interrupted)


def test_refusing_a_dtype_a_format_or_a_mode_is_allowed_and_reported() -> None:
    def picky(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if x.dtype == np.uint8 or mode not in ("tf", "torch") or data_format != "channels_last":
            raise ValueError(f"no {x.dtype} in {mode}")
        return preprocess_input(x, data_format, mode)

    report = judge(picky, selection=Selection(modes=("caffe", "tf"), dtypes=("uint8", "float32")))
    assert report.conforms
    assert {r.status for r in report.results if r.mode == "caffe" or r.dtype == "uint8"} == {"refused"}
    assert row(report, "value").message == "ValueError: no float32 in caffe"
    assert row(report, "value", CELL._replace(mode="tf")).status == "passed"


def test_refusing_by_size_layout_or_value_what_is_accepted_otherwise_fails() -> None:
    def by_size(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if x.size == 0:
            raise ValueError("nothing to do")
        return preprocess_input(x, data_format, mode)

    def by_layout(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if any(stride < 0 for stride in x.strides):
            raise ValueError("negative strides")
        return preprocess_input(x, data_format, mode)

    def by_value(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
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
    def chatty(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
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
    def strict(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        with np.errstate(all="ignore"):
            return preprocess_input(x, data_format, mode)

    before = np.geterr()
    assert judge(strict).conforms
    assert np.geterr() == before


# Aliasing and state -----------------------------------------------------------------------------------------------


def test_overwriting_the_input_is_impure_and_a_view_of_it_is_not_fresh() -> None:
    def in_place(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
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
    def itself(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        return x

    report = judge(Implementation("it", itself, modes=("identity",)), selection=Selection(dtypes=("uint8",)))
    assert failing_checks(report) == {"fresh_output"} | {r.check for r in failed(report) if "accepts " in r.message}
    assert {r.message for r in failed(report) if r.check == "fresh_output"} == {"returns the caller's array itself"}


def test_keeping_the_input_and_writing_to_it_later_is_impure() -> None:
    kept: list[Array] = []

    def keeps(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        for array in kept:
            with contextlib.suppress(ValueError):
                array[...] = 0
        kept[:] = [x]
        return preprocess_input(x.copy(), data_format, mode)

    report = judge(keeps)
    assert row(report, "purity").message == "keeps the caller's array and writes to it in a later call"
    assert row(report, "value").status == "passed"


@pytest.mark.parametrize("count", [1, 2, 16, 40])
def test_reusing_the_result_of_an_earlier_call_is_not_fresh(count: int) -> None:
    rings: dict[Any, list[Array]] = {}

    def reuses(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        result = preprocess_input(x, data_format, mode)
        ring = rings.setdefault((result.shape, result.dtype), [])
        ring.append(result if len(ring) < count else ring.pop(0))
        ring[-1][...] = result
        return ring[-1]

    report = judge(reuses, checks=[check for check in CHECKS if check.name in ("fresh_output", "value")])
    assert row(report, "fresh_output").message == "a later call changes the result of an earlier one"
    assert row(report, "value").status == "passed"


def test_buffers_that_nobody_holds_any_more_may_be_used_again() -> None:
    pool: list[Array] = []

    def reuses(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        result = preprocess_input(x, data_format, mode)
        for buffer in pool:
            if sys.getrefcount(buffer) == 3 and (buffer.shape, buffer.dtype) == (result.shape, result.dtype):
                buffer[...] = result
                return buffer
        pool.append(result)
        return result

    report = judge(Implementation("it", reuses, serial=True), checks=[c for c in CHECKS if c.name == "fresh_output"])
    assert report.conforms


def remembering(key: Callable[[Array], Any]) -> Function:
    """A function that keeps its results by what ``key`` makes of the image."""
    results: dict[Any, Array] = {}

    def function(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        known = (key(x), x.shape, x.dtype.str, data_format, mode)
        result: Array = results.setdefault(known, preprocess_input(x, data_format, mode)).copy()
        return result

    return function


REFILLED = "gives an array that was filled with other values the result of an earlier call"
MIDDLE = "gives an image that differs in the middle only the result of an earlier call"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (id, REFILLED),
        (lambda x: x.ctypes.data, REFILLED),
        (str, MIDDLE),
        (lambda x: x.tobytes()[:4096], MIDDLE),
        (lambda x: (x.shape, x.reshape(-1)[::997].tobytes(), x.reshape(-1)[:6].tobytes()), MIDDLE),
        (lambda x: float(np.nansum(x, dtype=np.float64)) if x.size > 1000 else x.tobytes(), MIDDLE),
    ],
)
def test_a_result_that_is_kept_by_less_than_the_pixels_is_stale(key: Callable[[Array], Any], message: str) -> None:
    result = row(judge(remembering(key), checks=[c for c in CHECKS if c.name == "determinism"]), "determinism")
    assert (result.finding, result.message) == ("stale", message)


def test_a_result_that_is_kept_by_all_pixels_is_right() -> None:
    assert judge(remembering(lambda x: x.tobytes())).conforms


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "spoil",
    [lambda x: np.minimum(x, 254), np.ceil, lambda x: np.floor(x + 0.3), lambda x: np.trunc(x + 1e-3), lambda x: 0 * x],
)
def test_values_that_are_simply_wrong_are_not_said_to_depend_on_earlier_calls(spoil: Function) -> None:
    def restore(y: Array, data_format: DataFormat, mode: ModeName) -> Array:
        x = spoil(deprocess_input(y, data_format, mode, dtype=None))
        pixels: Array = np.clip(np.nan_to_num(x), 0, 255).astype(np.uint8)
        return pixels

    few = Selection(("caffe", "torch"), ("channels_last",), ("float16", "float32"))
    report = judge(Implementation("it", deprocess=restore), selection=few)
    assert "restores_pixels" in failing_checks(report)
    assert "determinism" not in failing_checks(report)


def test_a_declared_writer_must_return_what_it_wrote() -> None:
    def elsewhere(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        result = preprocess_input(x, data_format, mode)
        if x.dtype.kind == "f" and x.flags.writeable:
            x[...] = 0
        return result

    result = row(judge(Implementation("it", elsewhere, writes_input=True)), "purity")
    assert result.status == "failed"
    assert "something other than the result" in result.message


@pytest.mark.thorough
def test_a_result_that_depends_on_the_calls_before_is_not_deterministic() -> None:
    calls = []

    def counts(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        calls.append(1)
        y = preprocess_input(x, data_format, mode)
        y.ravel()[:1] += np.array(len(calls) % 2, y.dtype)
        return y

    report = judge(counts, checks=[check for check in CHECKS if check.name in ("value", "determinism")])
    assert not report.conforms
    assert "determinism" in failing_checks(report) or "value" in failing_checks(report)


def test_a_function_that_raises_only_among_threads_fails_and_nobody_waits_for_ever() -> None:
    busy = threading.Lock()

    def alone(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
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


@pytest.mark.parametrize("setting", ["mode", "data_format"])
def test_threads_that_ask_for_different_things_get_them(setting: str) -> None:
    settings: dict[str, Any] = {}

    def keep(**given: Any) -> None:
        settings.update(given)

    def kept(name: str) -> Any:
        return settings[name]

    def function(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        asked: dict[str, Any] = {"mode": mode, "data_format": data_format}
        keep(**asked)
        asked[setting] = kept(setting)
        return preprocess_input(x, asked["data_format"], asked["mode"])

    only = [check for check in CHECKS if check.name == "threads"]
    report = judge(function, checks=only, selection=Selection(dtypes=("uint8", "float32")))
    assert {result.finding for result in failed(report)} <= {"thread_race", "thread_error"}
    assert failed(report)


def test_what_threads_print_reaches_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        print("hello")
        return preprocess_input(x, data_format, mode)

    report = judge(chatty, checks=[check for check in CHECKS if check.name == "threads"])
    assert report.conforms
    assert capsys.readouterr().out == ""


# Errors and defaults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_it_is_noted_that_a_grey_image_becomes_a_coloured_one(direction: str) -> None:
    compute: Function = preprocess_input if direction == "forward" else deprocess_input

    def repeats(x: Array, data_format: DataFormat, mode: ModeName) -> Any:
        axis = -1 if data_format == "channels_last" else -3
        return compute(np.repeat(x, 3, axis=axis) if x.shape[axis] == 1 else x, data_format, mode)

    def keeps(x: Array, data_format: DataFormat, mode: ModeName) -> Any:
        grey = x.shape[-1 if data_format == "channels_last" else -3] == 1
        return x.astype(np.float32) if grey else compute(x, data_format, mode)

    for function, noted in ((repeats, True), (keeps, False)):
        pair = (function, None) if direction == "forward" else (None, function)
        report = judge(Implementation("it", *pair), checks=[check for check in CHECKS if check.name == "errors"])
        assert failed(report) == []
        assert ("makes three channels of an image with one, without an error" in report.notes) == noted


def tf_by_default(x: Array, data_format: Any = None, mode: Any = "tf") -> Array:
    return preprocess_input(x, data_format, mode)


def torch_for_none(x: Array, data_format: Any = None, mode: Any = None) -> Array:
    return preprocess_input(x, data_format, mode or "torch")


def first_by_default(x: Array, data_format: Any = "channels_first", mode: Any = "caffe") -> Array:
    return preprocess_input(x, data_format or "channels_last", mode)


def first_for_none(x: Array, data_format: Any = None, mode: Any = "caffe") -> Array:
    return preprocess_input(x, data_format or "channels_first", mode)


def guessed_for_none(x: Array, data_format: Any = None, mode: Any = "caffe") -> Array:
    guess: DataFormat = "channels_first" if x.shape[-3] == 3 else "channels_last"
    return preprocess_input(x, data_format or guess, mode)


def mode_first(x: Array, mode: Any = "caffe", data_format: Any = None) -> Array:
    return preprocess_input(x, data_format, mode)


def as_keras(x: Array, data_format: Any = None, mode: Any = "caffe") -> Array:
    return preprocess_input(x, data_format, mode)


def caffe_for_none(x: Array, data_format: Any = None, mode: Any = None) -> Array:
    return preprocess_input(x, data_format, mode or "caffe")


def no_defaults(x: Array, *, mode: Any, data_format: Any) -> Array:
    return preprocess_input(x, data_format, mode)


@pytest.mark.parametrize(
    ("function", "note"),
    [
        (tf_by_default, "by default mode is 'tf', and not what Keras has, 'caffe'"),
        (torch_for_none, "by default mode is None, and not what Keras has, 'caffe'"),
        (first_by_default, "by default data_format is 'channels_first', and not what Keras has, 'channels_last'"),
        (first_for_none, "takes data_format=None otherwise than as 'channels_last', as Keras has it"),
        (guessed_for_none, "takes data_format=None otherwise than as 'channels_last', as Keras has it"),
        (mode_first, "takes mode before data_format: by position, Keras takes data_format first"),
        (as_keras, ""),
        (caffe_for_none, ""),
        (no_defaults, ""),
    ],
)
def test_defaults_and_an_order_that_are_not_kerass_are_noted_and_no_failure(function: Function, note: str) -> None:
    report = judge(function, checks=[check for check in CHECKS if check.name == "errors"])
    assert report.conforms
    assert [re.sub("^it:? ", "", line) for line in report.notes] == ([note] if note else [])


# Which mode is meant ----------------------------------------------------------------------------------------------


def unit_floats(mode: ModeName) -> Function:
    """Right for bytes; floats are taken to run from 0 to 1, as by torchvision and tf.image."""

    def function(x: Array) -> Array:
        return preprocess_input(x if x.dtype == np.uint8 else x * np.float32(255), mode=mode)

    return function


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("make", [unit_floats, lambda mode: lambda x: preprocess_input(x, mode=mode)])
def test_the_mode_of_a_function_that_takes_none_is_one_that_it_gets_right_somewhere(make: Function, mode: str) -> None:
    report = judge(make(mode), selection=Selection(dtypes=("uint8", "float32")), checks=[CHECKS[0], CHECKS[1]])
    assert {result.mode for result in report.results} == {mode}
    assert report.guessed == {"forward": mode}


def test_shapes_are_tried_in_the_rank_of_the_cell() -> None:
    seen: set[tuple[int, ...]] = set()

    def noting(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        seen.add(x.shape)
        return correct(x, data_format, mode)

    (shapes,) = [check for check in CHECKS if check.name == "shape_and_dtype"]
    judge(noting, selection=Selection(("tf",), ("channels_last",), ("uint8",)), checks=[shapes])
    assert seen >= {(1, 1, 3), (2, 1, 3), (1, 1, 1, 3), (1, 5, 4, 3), (3, 1, 2, 3)}
