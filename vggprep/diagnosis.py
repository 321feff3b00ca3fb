"""From a finding to its cause: which fault of the gallery behaves like this, and the smallest input that shows it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vggprep import oracle
from vggprep.cases import Case, Cell, from_format, to_format
from vggprep.checks.subject import Array, Finding, Subject
from vggprep.faults import FAULTS, Fault
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Outcome, call, keywords
from vggprep.oracle import Direction


def behaves_like(subject: Subject, finding: Finding) -> list[Fault]:
    """The faults that do the same on the finding's input: same result, same effect on the input."""
    case = finding.case
    if case is None:
        return []
    outcome = subject.run(case)
    if outcome.output is None:
        return []
    return [fault for fault in FAULTS if _same_behaviour(subject, fault, case, outcome)]


def _same_behaviour(subject: Subject, fault: Fault, case: Case, outcome: Outcome) -> bool:
    function = fault.preprocess if case.direction == "forward" else fault.deprocess
    if function is None or not fault.stateless or case.mode not in fault.modes:
        return False
    theirs = call(function, case.array(), case.mode, case.data_format)
    mine = outcome.output
    if mine is None or theirs.output is None:
        return False
    if mine.shape != theirs.output.shape or mine.dtype.name != theirs.output.dtype.name:
        return False
    if (outcome.changed_input, outcome.shares_input) != (theirs.changed_input, theirs.shares_input) and (
        not subject.implementation.native_only
    ):
        return False
    if mine.shape != case.array().shape:
        return bool(oracle.same_values(oracle.as_float64(mine), oracle.as_float64(theirs.output), False).all())
    x = from_format(case.array(), case.data_format)
    a, b = (from_format(z, case.data_format) for z in (mine, theirs.output))
    # An integer result may have wrapped around: there, nearly equal is not equal.
    judge = _BITS if mine.dtype.kind in "iub" else _ROUNDING
    return not judge.agree(case, a, b, x).any()


_BITS = Subject(Implementation("bits", preprocess=np.asarray, level="exact"))
_ROUNDING = Subject(Implementation("rounding", preprocess=np.asarray, level="faithful"))


def choose(candidates: Sequence[list[Fault]]) -> list[Fault | None]:
    """One fault for each finding: of those that fit, the one that fits most findings."""
    counts = Counter(fault.name for fitting in candidates for fault in fitting)
    order = {fault.name: n for n, fault in enumerate(FAULTS)}
    return [
        min(fitting, key=lambda fault: (-counts[fault.name], order[fault.name])) if fitting else None
        for fitting in candidates
    ]


# Reproducers ------------------------------------------------------------------------------------------------------


def reproduce(subject: Subject, finding: Finding) -> str:
    """Lines to paste into a Python prompt that show the finding, on one pixel where one pixel shows it."""
    case = finding.case
    if case is None:
        return ""
    if finding.x is not None and finding.worst is not None:
        small = _one_pixel(subject, finding)
        if small is not None:
            return small
    shown = _lines(subject, case.direction, finding.cell, f"{case!r}.array()")
    return "from vggprep.cases import Case\n" + shown


def _one_pixel(subject: Subject, finding: Finding) -> str | None:
    case = finding.case
    assert case is not None
    assert finding.x is not None
    assert finding.worst is not None
    pixel = np.array(finding.x[finding.worst[:-1]]).reshape((1,) * (finding.cell.rank - 1) + (3,))
    array = np.ascontiguousarray(to_format(pixel, case.data_format))
    array = array.astype(array.dtype.newbyteorder("=")) if array.dtype.name != "bfloat16" else array
    outcome = subject.call(case.direction, array.copy(), case.mode, case.data_format)
    plain = Case(case.direction, case.mode, case.data_format, case.dtype, "c", "drawn", pixel.shape, pixel.tobytes())
    again = subject.judge(plain, array, outcome)
    if again is None or outcome.output is None or again.expected is None:
        return None
    kept = array.dtype.kind in "iub" and outcome.output.dtype.kind in "iub"
    expected = to_format(again.expected, case.data_format)
    digits = 3 if outcome.output.dtype.name in ("float16", "bfloat16") else 7
    return (
        _lines(subject, case.direction, finding.cell, literal(array))
        + f"\n# got      {_values(outcome.output, digits)} {outcome.output.dtype.name}"
        + f"\n# expected {_values(expected, 0 if kept and case.direction == 'inverse' else digits)}"
        + f"{'' if case.direction == 'inverse' else ' ' + oracle.computed_dtype(case.dtype, case.mode)}"
    )


def literal(array: Array) -> str:
    """An array as Python source."""
    values = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.astype(np.float64).tolist() if array.dtype.kind not in "iub" else array.tolist()))
    dtype = "ml_dtypes.bfloat16" if array.dtype.name == "bfloat16" else f'"{array.dtype.name}"'
    return f"np.array({values}, dtype={dtype})"


def _values(array: Array, digits: int) -> str:
    values = oracle.as_float64(array)
    if np.all(values == np.rint(values)) and array.dtype.kind in "iub":
        return repr(array.tolist())
    return re.sub(r"'", "", repr(np.vectorize(lambda v: f"{v:.{digits}g}", otypes=[object])(values).tolist()))


def _lines(subject: Subject, direction: Direction, cell: Cell, x: str) -> str:
    implementation = subject.implementation
    source = implementation.source if direction == "forward" else implementation.inverse_source
    head = "import numpy as np\n" + ("import ml_dtypes\n" if "ml_dtypes" in x else "")
    if source is not None:
        return f"{head}x = {x}\n{source(cell.mode, cell.data_format)}"
    function = subject.function(direction)
    assert function is not None
    words = [f"{key}={value!r}" for key, value in keywords(function, cell.mode, cell.data_format).items()]
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module and name.isidentifier():
        head += f"from {module} import {name}\n"
    else:
        name = "implementation.preprocess" if direction == "forward" else "implementation.deprocess"
    return f"{head}x = {x}\n{name}({', '.join(['x', *words])})"
