"""Calling a Python function under test, whatever it does: the one place where foreign code runs.

Nothing that the function does gets out of here: exceptions, prints and warnings are caught, the result is
copied before anything can overwrite it, and the input is compared with what it was. Imports NumPy only.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.kernels.job import share_memory

Array = npt.NDArray[Any]


class Raised(NamedTuple):
    """An exception: the name of its type, and the first line of its message."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type


ProblemKind = Literal[
    "returned_none", "returned_type", "returned_dtype", "returned_scalar", "returned_huge", "unreadable", "no_answer"
]

PROBLEMS: Mapping[ProblemKind, str] = {
    "returned_none": "returns None, not an array",
    "returned_type": "returns a {got}, not a NumPy array",
    "returned_dtype": "returns an array of dtype {got}, not of real numbers",
    "returned_scalar": "returns a 0-d array",
    "returned_huge": "returns an array of shape {got}, far larger than its input",
    "unreadable": "returns something that cannot be read: {error}",
    "no_answer": "{why}",
}


class Problem(NamedTuple):
    """Why a returned object cannot be judged, with what its sentence in ``PROBLEMS`` needs."""

    kind: ProblemKind
    about: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return PROBLEMS[self.kind].format_map(self.about)


@dataclass(frozen=True)
class Outcome:
    """What one call did.

    ``output`` is a native, C-contiguous copy of the array that came back. Without one, ``refusal`` is the exception
    raised, or ``problem`` says why the returned object cannot be judged. ``returned`` is the object itself.
    """

    output: Array | None
    refusal: Raised | None = None
    problem: Problem | None = None
    remarks: frozenset[str] = frozenset()
    changed_input: bool = False
    shares_input: bool = False
    returned: Any = None
    input_after: Array | None = None


@dataclass(frozen=True)
class NoArray:
    """What programs and model files return when there is no array to judge; ``why`` completes "it ..."."""

    why: str


@dataclass(frozen=True)
class Parameters:
    """Which of the two keywords a function takes."""

    mode: bool
    data_format: bool


def parameters(function: Callable[..., Any]) -> Parameters:
    """Read the signature. ``**kwargs`` counts for neither keyword; an unreadable signature takes none."""
    try:
        return _remembered_parameters(function)
    except Exception:  # unhashable, as callable dataclasses are, or worse
        return _parameters(function)


def _parameters(function: Callable[..., Any]) -> Parameters:
    try:
        found = inspect.signature(function).parameters
    except Exception:  # signatures can be made to raise anything
        return Parameters(False, False)
    by_name = {name for name, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return Parameters("mode" in by_name, "data_format" in by_name)


_remembered_parameters = functools.lru_cache(maxsize=256)(_parameters)


def keywords(function: Callable[..., Any], mode: Any, data_format: Any) -> dict[str, Any]:
    """The keyword arguments to pass, as the signature names them."""
    takes = parameters(function)
    return ({"mode": mode} if takes.mode else {}) | ({"data_format": data_format} if takes.data_format else {})


@contextlib.contextmanager
def captured_output() -> Iterator[tuple[io.BytesIO, list[warnings.WarningMessage]]]:
    """Catch prints and warnings of every thread. NumPy's error state is its default."""
    raw = io.BytesIO()
    printed = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)
    streams = sys.stdout, sys.stderr
    with warnings.catch_warnings(record=True, action="always") as caught, np.errstate(all="warn", under="ignore"):
        sys.stdout = sys.stderr = printed
        try:
            yield raw, caught
        finally:
            sys.stdout, sys.stderr = streams
    with contextlib.suppress(ValueError):  # the function may have closed it
        printed.detach()


def raised(error: BaseException) -> Raised:
    """An exception as data, even where its message cannot be read."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = ["(its message cannot be read)"]
    return Raised(type(error).__name__, lines[0][:200] if lines else "")


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return str(raised(error))


def call(function: Callable[..., Any], array: Array, mode: Any, data_format: Any) -> Outcome:
    """Call ``function`` on ``array``, which is its own: it may be written to."""
    before, form = array.tobytes(), _form(array)
    shape, dtype = array.shape, array.dtype
    returned: Any = None
    refusal: Raised | None = None
    remarks: frozenset[str] = frozenset()
    folder = os.getcwd()
    with captured_output() as (raw, caught):
        try:
            returned = function(array, **keywords(function, mode, data_format))
        except BaseException as error:  # a function under test may raise anything, SystemExit included
            if type(error) is KeyboardInterrupt:
                raise
            refusal = raised(error)
    if os.getcwd() != folder:
        os.chdir(folder)
    with contextlib.suppress(Exception):  # whatever was printed must not stop the suite
        remarks = _remarks(raw, caught)
    if refusal is not None:
        changed = _form(array) != form or array.tobytes() != before
        return Outcome(None, refusal=refusal, remarks=remarks, changed_input=changed, input_after=array)
    output, problem, shares, after = None, None, False, array
    try:
        changed = _form(array) != form or array.tobytes() != before
        if _form(array) != form:
            after = np.frombuffer(before, dtype).reshape(shape)
        problem = _problem(returned, len(before))
        if problem is None:
            plain = np.ndarray.view(returned, np.ndarray)
            # longdouble holds bytes that mean nothing; float64 is what is looked at.
            result = np.float64 if plain.dtype == np.longdouble else plain.dtype.newbyteorder("=")
            output = np.array(plain, dtype=result, order="C")
            shares = share_memory(plain, array)
    except Exception as error:
        changed, problem = True, Problem("unreadable", {"error": describe(error)})
    return Outcome(output, None, problem, remarks, changed, shares, returned, after)


def _form(array: Array) -> tuple[Any, ...]:
    """Everything about an array but its values."""
    return array.shape, array.strides, array.dtype, array.flags.writeable


def _remarks(raw: io.BytesIO, caught: list[warnings.WarningMessage]) -> frozenset[str]:
    remarks = set()
    text = "" if raw.closed else raw.getvalue().decode("utf-8", "replace").strip()
    if text:
        remarks.add(f"prints: {text.splitlines()[0][:100]!r}")
    for warning in caught:
        first = str(warning.message).strip().split("\n")[0][:160]
        remarks.add(f"warns: {warning.category.__name__}: {first}")
    return frozenset(remarks)


def _problem(returned: Any, size: int) -> Problem | None:
    """Why the object returned for an input of ``size`` bytes cannot be judged, if so."""
    if returned is None:
        return Problem("returned_none")
    if isinstance(returned, NoArray):
        return Problem("no_answer", {"why": returned.why})
    if not isinstance(returned, np.ndarray):
        if inspect.iscoroutine(returned):
            returned.close()
        kind = type(returned)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return Problem("returned_type", {"got": name})
    if returned.dtype.kind not in "biuf" and returned.dtype.name != "bfloat16":
        return Problem("returned_dtype", {"got": str(returned.dtype)})
    if returned.ndim == 0:
        return Problem("returned_scalar")
    if returned.size * returned.itemsize > 1024 * (size + 1024):
        return Problem("returned_huge", {"got": returned.shape})
    return None
