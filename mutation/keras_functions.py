"""Who notices that Keras's own functions are wrong: each first-order mutant of them, judged in several ways.

A mutant's code takes the place of the function's in this process, for as long as it is judged. Imports Keras.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import unittest
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from mutation import Mutant, mutants
from vggprep import deprocess_input, oracle
from vggprep.cases import Cell
from vggprep.checks import CHECKS, Check, Finding, Subject, Unusable
from vggprep.conformance import ledger
from vggprep.conformance.engine import EVERYTHING, Selection, run
from vggprep.implementations import keras as paths
from vggprep.spec import DATA_FORMATS, Direction

Array = npt.NDArray[Any]

MODES = ("caffe", "tf", "torch")
PATHS = {
    "preprocess_input": ("ndarray", "tensor"),
    "_preprocess_numpy_input": ("ndarray",),
    "_preprocess_tensor_input": ("tensor",),
}
"""The functions, and the paths of Keras that are judged."""


def functions() -> dict[str, FunctionType]:
    """The installed functions."""
    paths.installed("keras")
    from keras.src.applications import imagenet_utils

    return {name: getattr(imagenet_utils, name) for name in PATHS}


@contextlib.contextmanager
def installed(mutant: Mutant) -> Iterator[None]:
    """Keras with the mutant in the place of its function."""
    function = functions()[mutant.function]
    code, defaults = function.__code__, function.__defaults__
    function.__code__ = mutant.code()
    function.__defaults__ = mutant.defaults(function.__globals__) or None
    try:
        yield
    finally:
        function.__code__, function.__defaults__ = code, defaults


class _Killed(KeyboardInterrupt):
    """Ends the judging at the first failure, as an interruption does."""


QUICK = tuple(Selection(modes=(mode,), dtypes=("float32", "uint8")) for mode in MODES)
"""What fails in a part fails in the whole: most mutants do so at once."""


def killed_by_check(
    path: str, parts: Sequence[Selection] = (EVERYTHING,), checks: Sequence[Check] = CHECKS
) -> str | None:
    """The check of the corpus that fails first, or ``None``: conforms, with the shipped ledger.

    In ``parts`` of everything, an entry of the ledger may be stale.
    """
    (implementation,) = paths.load("keras", path)
    entries = ledger.applicable(None, implementation.name).entries
    found: list[str] = []

    def stops(check: Check) -> Check:
        def excused(finding: Finding, cell: Cell) -> bool:
            return any(e.matches(implementation.name, check.name, cell) and e.knows(finding.kind) for e in entries)

        def judge(subject: Subject, cell: Cell, direction: Direction) -> Iterator[Finding | None]:
            try:
                for finding in check.judge(subject, cell, direction):
                    if finding is not None and not excused(finding, cell):
                        found.append(f"{check.name} ({finding.kind})")
                        raise _Killed
                    yield finding
            except Unusable as why:
                if excused(why.finding, cell):
                    raise
                found.append(f"{check.name} ({why.finding.kind})")
                raise _Killed from None

        return replace(check, judge=judge)

    watched = [stops(check) for check in checks]
    whole = tuple(parts) == (EVERYTHING,)
    for part in parts:
        report = run(
            implementation, ledger=entries, tolerate_stale=not whole, selection=part, examples=0, checks=watched
        )
        if found:
            return found[0]
        wrong = [r for r in report.results if r.status in ("failed", "error")]
        if wrong:
            return f"{wrong[0].check} ({wrong[0].finding or wrong[0].status})"
    return None if not whole or report.conforms else "nothing passes"


def own_tests(mutant: Mutant) -> str | None:
    """The test of Keras's own that fails first, of those that the wheel ships; ``None``: all pass.

    Functional models never call the function of arrays, so its mutants are not shown to the tests of models.
    """
    import keras
    from keras.src.applications.imagenet_utils_test import TestImageNetUtils

    np.random.seed(0)
    keras.Model.predict = lambda self, x: np.asarray(self(x))  # the same arrays, without making a graph of each model
    for test in unittest.TestLoader().loadTestsFromTestCase(TestImageNetUtils):
        assert isinstance(test, unittest.TestCase)
        name = test.id().rpartition(".")[2]
        if "preprocess" not in name or ("symbolic" in name and mutant.function == "_preprocess_numpy_input"):
            continue
        result = unittest.TestResult()
        with contextlib.redirect_stdout(io.StringIO()):
            test.run(result)
        if not result.wasSuccessful():
            return name
    return None


class _Symbol:
    """What a pixel has become: an expression. Two that are equal are the same roundings of the same numbers."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __sub__(self, other: object) -> _Symbol:
        return _Symbol("-", self, other)

    def __add__(self, other: object) -> _Symbol:
        return _Symbol("+", self, other)

    def __truediv__(self, other: object) -> _Symbol:
        return _Symbol("/", self, other)

    def __repr__(self) -> str:
        return repr(self.parts)


class _Symbols(np.ndarray[Any, Any]):
    """An array of symbols that says it is of a floating dtype, or of an integer one, and then can be cast."""

    pretended = np.dtype(np.float64)

    def __array_finalize__(self, other: object) -> None:
        self.pretended = getattr(other, "pretended", self.pretended)

    @property
    def dtype(self) -> Any:
        return self.pretended

    def astype(self, dtype: Any, copy: bool = True) -> Any:  # type: ignore[override]
        if np.dtype(dtype) == self.pretended and not copy:
            return self
        made = np.array([_Symbol("cast", str(dtype), one) for one in self.ravel()], object).reshape(self.shape)
        symbols = made.view(_Symbols)
        symbols.pretended = np.dtype(dtype)
        return symbols


def _symbolic(
    name: str, code: CodeType, shape: tuple[int, ...], order: str, dtype: str, *arguments: str
) -> tuple[object, ...]:
    """What a function makes of each pixel; of arrays also what is left in the array, and whether they share memory."""
    x = np.empty(shape, object, order="F" if order == "F" else "C")
    for at in np.ndindex(shape):
        x[at] = _Symbol(at)
    tensors = {"ops": _Ops} if name == "_preprocess_tensor_input" else {}
    symbols = (x[:, ::-1] if order == "view" else x).view(_Tensor if tensors else _Symbols)
    symbols.pretended = np.dtype(dtype)
    try:
        result = FunctionType(code, functions()[name].__globals__ | tensors)(symbols, *arguments)
        made = f"{result.dtype} {result.tolist()!r}"
    except Exception as error:
        return type(error).__name__, repr(x.tolist()), False
    return (made,) if tensors else (made, repr(x.tolist()), np.shares_memory(result, x))


class _Tensor(_Symbols):
    """Symbols that cannot be changed."""

    def __setitem__(self, *given: object) -> None:
        raise TypeError

    def _not_in_place(self, other: object) -> Any:
        return NotImplemented  # Python then does it out of place

    __iadd__ = __isub__ = __itruediv__ = _not_in_place


class _Ops:
    """What the function of tensors uses of ``keras.ops``, of symbols; they broadcast as arrays do."""

    reshape = staticmethod(np.reshape)

    @staticmethod
    def stack(each: Sequence[Array], axis: int = 0) -> Array:
        made = np.stack(each, axis).view(_Tensor)
        made.pretended = each[0].dtype
        return made

    @staticmethod
    def convert_to_tensor(values: Array, dtype: object = None) -> Array:
        return np.array([_Symbol("constant", float(value), str(dtype)) for value in values], object).view(_Tensor)


_CASES = tuple(
    itertools.product(
        ((2, 4, 3), (3, 2, 4), (3, 3, 3), (1, 1, 3), (2, 4, 5, 3), (2, 3, 4, 5), (3, 3, 3, 3), (1, 3, 3, 3)),
        ("C", "F", "view"),
        ("float16", "float32", "float64", "uint8"),
        DATA_FORMATS,
        MODES,
    )
)


@functools.cache
def _of_the_original(name: str) -> list[tuple[object, ...]]:
    return [_symbolic(name, functions()[name].__code__, *case) for case in _CASES]


def _on_symbols(mutant: Mutant) -> str | None:
    code, otherwise = mutant.code(), False
    for case, expected in zip(_CASES, _of_the_original(mutant.function), strict=True):
        got = _symbolic(mutant.function, code, *case)
        if got != expected:
            if got[0] != expected[0] or case[2] == "uint8":
                return None
            otherwise = True
    if mutant.function == "_preprocess_tensor_input":
        return BROADCAST
    return OTHERWISE if otherwise else SAME


SAME = "the same operations on the same pixels, and the same left in the caller's array"
OTHERWISE = (
    "the same operations on the same pixels; what is left in the caller's floating array differs, which `writes_input` "
    "leaves open"
)
BROADCAST = (
    "the same operations on the same pixels, by broadcasting; and `vggprep check keras:model` conforms in float32"
)
NOT_IN_PLACE = "tensors have no operations in place: Python does the same for both"


def proof_of(mutant: Mutant) -> str | None:
    """Why a mutant does what the function does, for every value, or ``None``.

    Run on symbols, both make the same expressions of the same pixels; of arrays, both leave the same in the caller's,
    or something else in one of floats. Of tensors also: the change is one of ``x /= y`` to ``x = x / y``, which Python
    carries out in the same way for types without an operation in place.
    """
    if mutant.what == "out of place" and mutant.function == "_preprocess_tensor_input":
        import keras
        import tensorflow as tf

        types = (tf.Tensor, type(tf.constant(0.0)), keras.KerasTensor)
        if not any(hasattr(kind, f"__i{name}__") for kind in types for name in ("add", "sub", "truediv")):
            return NOT_IN_PLACE
    return None if mutant.function == "preprocess_input" else _on_symbols(mutant)


def _image() -> Array:
    return np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)


def as_people_test(mutant: Mutant) -> dict[str, float | bool]:
    """One random image, in each mode, by whichever paths run the function.

    ``error``: the largest difference from the right output, infinite where there is none to compare; ``allclose``:
    whether ``np.allclose`` with its defaults sees a difference; ``round trip``: whether vggprep's inverse does not
    give back the pixels.
    """
    x = _image()
    error, close, restored = 0.0, True, True
    for path in PATHS[mutant.function]:
        (implementation,) = paths.load("keras", path)
        call: Callable[..., Array] | None = implementation.preprocess
        assert call
        for mode in MODES:
            expected = oracle.exact(x, "forward", mode)
            pixels = np.rint(x)
            try:
                got = np.asarray(call(x.copy(), mode=mode), np.float64)
                back = deprocess_input(np.asarray(call(pixels.copy(), mode=mode)), mode=mode)
            except Exception:
                return {"error": float("inf"), "allclose": True, "round trip": True}
            if got.shape != expected.shape:
                return {"error": float("inf"), "allclose": True, "round trip": True}
            error = max(error, float(np.abs(got - expected).max()))
            close = close and bool(np.allclose(got, expected))
            restored = restored and back.shape == x.shape and bool((back == pixels).all())
    return {"error": error, "allclose": not close, "round trip": not restored}


def with_channels_first(killer: Callable[..., str | None], which: Sequence[str]) -> str | None:
    """What kills a mutant where Keras is set to channels first."""
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        found = killer(which, QUICK)
    finally:
        keras.config.set_image_data_format(before)
    return f"{found} where Keras is set to channels_first" if found else None


def judged(mutant: Mutant) -> dict[str, Any]:
    """All ways to notice a mutant, each with what noticed it; ``proof``: why there is nothing to notice."""

    def killer(which: Sequence[str], *arguments: Any) -> str | None:
        with installed(mutant), np.errstate(all="ignore"):
            return next(filter(None, (killed_by_check(path, *arguments) for path in which)), None)

    which, proof = PATHS[mutant.function], None
    with installed(mutant), np.errstate(all="ignore"):
        people, tests = as_people_test(mutant), own_tests(mutant)
    found = killer(which, QUICK, [check for check in CHECKS if check.name in ("value", "errors")])
    if not found and mutant.function == "preprocess_input":
        found = with_channels_first(killer, which)
    if not found:
        proof = proof_of(mutant)
        found = killer(which) if proof is None else None
        if proof == BROADCAST:  # Keras's models add in another way
            found = killer(("model",), [Selection(dtypes=("float32",))])
    return {"name": mutant.name, "check": found, "proof": None if found else proof, "tests": tests, **people}


def prepared() -> None:
    """What a process needs before it judges: TensorFlow and Keras without their messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")


@functools.cache
def every() -> tuple[Mutant, ...]:
    """Every mutant of every function."""
    return tuple(mutant for function in functions().values() for mutant in mutants(function))


def judged_at(at: int) -> dict[str, Any]:
    """``judged`` of ``every()[at]``, for another process."""
    return judged(every()[at])
