"""Calling a Python function under test, whatever it does: the one place where foreign code runs.

Nothing that the function does gets out of here: exceptions, prints and warnings are caught, the result is
copied before anything can overwrite it, and the input is compared with what it was. Imports NumPy only.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.functions import overlap

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What one call did.

    ``output`` is a native, C-contiguous copy of the array that came back. Else ``refusal`` holds the exception,
    or ``problem`` says what came back instead of an array of real numbers. ``returned`` is the object itself.
    """

    output: Array | None
    refusal: str | None = None
    problem: str | None = None
    remarks: frozenset[str] = frozenset()
    changed_input: bool = False
    shares_input: bool = False
    returned: Any = None
    input_after: Array | None = None


@dataclass(frozen=True)
class NoArray:
    """What programs and model files come back with when there is no array to judge: ``why`` completes "it ..."."""

    why: str


@dataclass(frozen=True)
class Parameters:
    """Which of the two keywords a function takes."""

    mode: bool
    data_format: bool


@functools.lru_cache(maxsize=256)
def parameters(function: Callable[..., Any]) -> Parameters:
    """Read the signature. ``**kwargs`` counts for neither keyword; an unreadable signature takes none."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return Parameters(False, False)
    by_name = {name for name, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return Parameters("mode" in by_name, "data_format" in by_name)


def keywords(function: Callable[..., Any], mode: Any, data_format: Any) -> dict[str, Any]:
    """The keyword arguments to pass, as the signature names them."""
    takes = parameters(function)
    return ({"mode": mode} if takes.mode else {}) | ({"data_format": data_format} if takes.data_format else {})


def describe(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def call(function: Callable[..., Any], array: Array, mode: Any, data_format: Any) -> Outcome:
    """Call ``function`` on ``array``, which is its own: it may be written to."""
    before = array.tobytes()
    remarks = set()
    printed = io.StringIO()
    returned: Any = None
    refusal: str | None = None
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        with contextlib.redirect_stderr(printed):
            try:
                returned = function(array, **keywords(function, mode, data_format))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a function under test may raise anything, SystemExit included
                refusal = describe(error)
    if printed.getvalue().strip():
        remarks.add(f"prints: {printed.getvalue().strip().splitlines()[0][:100]!r}")
    for warning in caught:
        first = str(warning.message).strip().split("\n")[0][:160]
        remarks.add(f"warns: {warning.category.__name__}: {first}")
    changed = array.tobytes() != before
    if refusal is not None:
        return Outcome(None, refusal=refusal, remarks=frozenset(remarks), changed_input=changed, input_after=array)
    problem = _problem(returned)
    output = None if problem else np.array(returned, dtype=returned.dtype.newbyteorder("="), order="C", subok=False)
    shares = problem is None and overlap(returned, array)
    return Outcome(output, None, problem, frozenset(remarks), changed, shares, returned, array)


def _problem(returned: Any) -> str | None:
    """Why what came back cannot be judged, if so."""
    if returned is None:
        return "returns None, not an array"
    if isinstance(returned, NoArray):
        return returned.why
    if not isinstance(returned, np.ndarray):
        kind = type(returned)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return f"returns a {name}, not a NumPy array"
    if returned.dtype.kind not in "biuf" and returned.dtype.name != "bfloat16":
        return f"returns an array of dtype {returned.dtype}, not of real numbers"
    if returned.ndim == 0:
        return "returns a 0-d array"
    return None
