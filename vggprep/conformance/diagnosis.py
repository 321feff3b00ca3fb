"""From a finding to its cause: which fault of the gallery behaves like this, and the smallest input that shows it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vggprep import oracle
from vggprep.cases import Case, from_format, panel, to_format
from vggprep.checks.subject import Array, Finding, Subject
from vggprep.faults import FAULTS, Fault
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Outcome, call, keywords
from vggprep.spec import DataFormat, Direction, ModeName


def behaves_like(subject: Subject, finding: Finding, likely: Sequence[Fault] = ()) -> list[Fault]:
    """The faults that do the same on the finding's input: same result or refusal, same effect on the input.

    Only where that is not what it should do: most faults are right most of the time. ``likely`` are tried first, and
    if some of them fit, no others.
    """
    if finding.case is None and finding.given is None:
        return []
    array, mode, data_format = finding.input()
    outcome = subject.call(finding.direction, array, mode, data_format)
    if _as_it_should(subject, finding, outcome):
        return []
    if outcome.refusal is not None and subject.run(panel(finding.direction, finding.cell)).refusal is not None:
        return []  # it refuses the plainest image too: nothing about this one is to blame
    found = _matching(subject, finding, outcome, 0.0, likely)
    if not found and finding.case is not None and finding.case.regime == "huge":
        return []  # where nearly everything may overflow, nearly everything looks alike
    found = found or _matching(subject, finding, outcome, 0.0)
    single = oracle.FORMATS["float32"].unit_roundoff
    if not found and finding.expected is not None and outcome.output is not None and outcome.output.dtype == np.float64:
        # Constants in float32 that met a wider image: the same fault, blurred. But the right answer blurred is none.
        array, mode, data_format = finding.input()
        right = call(
            preprocess_input if finding.direction == "forward" else deprocess_input,
            array.astype(np.float64),
            mode,
            data_format,
        )
        if not _same(subject, finding, outcome, right, single):
            found = _matching(subject, finding, outcome, single)
    return found


def _matching(
    subject: Subject, finding: Finding, outcome: Outcome, at_least: float, among: Sequence[Fault] = FAULTS
) -> list[Fault]:
    large = finding.input()[0].size > _LARGE
    found = []
    for fault in among:
        function = fault.preprocess if finding.direction == "forward" else fault.deprocess
        if function is None or not fault.stateless or finding.cell.mode not in fault.modes:
            continue
        if large and fault.caught_by != "sizes":
            continue
        array, mode, data_format = finding.input()
        if outcome.output is not None and finding.expected is not None and _narrower(array, outcome.output):
            array = array.astype(outcome.output.dtype)  # it computes with more bits than it was given; so must they
        if _same(subject, finding, outcome, call(function, array, mode, data_format), at_least):
            found.append(fault)
    return found


def _narrower(array: Array, output: Array) -> bool:
    names = [z.dtype.name for z in (array, output)]
    known = [oracle.FORMATS[name].precision for name in names if name in oracle.FORMATS]
    return len(known) == 2 and known[0] < known[1]


def _as_it_should(subject: Subject, finding: Finding, outcome: Outcome) -> bool:
    if finding.given is not None or finding.case is None:
        right = call(preprocess_input if finding.direction == "forward" else deprocess_input, *finding.input())
        return _same(subject, finding, outcome, right)
    effects = outcome.changed_input or outcome.shares_input
    return not effects and subject.judge(finding.case, outcome=outcome) is None


_LARGE = 8192  # elements: beyond, only faults of size are tried


def _same(subject: Subject, finding: Finding, mine: Outcome, theirs: Outcome, at_least: float = 0.0) -> bool:
    if mine.output is None or theirs.output is None:
        return mine.refusal is not None and theirs.refusal is not None
    a, b = mine.output, theirs.output
    floating = [z.dtype.kind == "f" or z.dtype.name == "bfloat16" for z in (a, b)]
    # A float of another width is the same behaviour where the values are at fault, not the dtype.
    if a.shape != b.shape or (a.dtype.name != b.dtype.name and not (all(floating) and finding.expected is not None)):
        return False
    if all(floating) and _narrower(b, a) and not at_least:
        return False
    effects = [(o.changed_input, o.shares_input) for o in (mine, theirs)]
    free = subject.implementation.native_only or subject.implementation.writes_input or finding.expected is not None
    if effects[0] != effects[1] and not free:
        return False
    array, _, data_format = finding.input()
    if finding.given is not None or a.shape != array.shape:
        return bool(oracle.same_values(oracle.as_float64(a), oracle.as_float64(b), signed_zero=False).all())
    assert finding.case is not None
    x, a, b = (from_format(z, data_format) for z in (array, a, b))
    # An integer result may have wrapped around: there, nearly equal is not equal.
    judge = _BITS if a.dtype.kind in "iub" else _ROUNDING
    return not judge.agree(finding.case, a, b, x, at_least=at_least).any()


_BITS = Subject(Implementation("bits", preprocess=np.asarray, level="exact"))
_ROUNDING = Subject(Implementation("rounding", preprocess=np.asarray, level="faithful"))


def choose(candidates: Sequence[list[Fault]], checks: Sequence[str]) -> list[Fault | None]:
    """One fault for each finding, by check: of those that fit, one that this check is for, and fits most findings."""
    counts = Counter(fault.name for fitting in candidates for fault in fitting)
    order = {fault.name: n for n, fault in enumerate(FAULTS)}
    return [
        min(fitting, key=lambda f: (f.caught_by != check, -counts[f.name], order[f.name])) if fitting else None
        for fitting, check in zip(candidates, checks, strict=True)
    ]


# Reproducers ------------------------------------------------------------------------------------------------------


def reproduce(subject: Subject, finding: Finding) -> str:
    """Lines to paste into a Python prompt that show the finding, on one pixel where one pixel shows it."""
    case = finding.case
    if finding.given is not None:
        array, mode, data_format = finding.given
        return _lines(subject, finding.direction, mode, data_format, literal(array))
    if case is None:
        return ""
    if finding.x is not None and finding.worst is not None:
        small = _one_pixel(subject, finding)
        if small is not None:
            return small
    shown = _lines(subject, case.direction, case.mode, case.data_format, f"{_case_source(case)}.array()")
    return "from vggprep.cases import Case\n" + shown + (f"\n{finding.hint}" if finding.hint else "")


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
    expected = to_format(again.expected, case.data_format)
    digits = 4 if outcome.output.dtype.name in ("float16", "bfloat16") else 7
    if _values(outcome.output, digits) == _values(expected, digits):
        digits = 17
    return (
        _lines(subject, case.direction, case.mode, case.data_format, literal(array))
        + f"\n# got      {_values(outcome.output, digits)} {outcome.output.dtype.name}"
        + f"\n# expected {_values(expected, digits)}"
        + (f" {_expected_dtype(subject, case, outcome.output)}" if case.direction == "forward" else "")
    )


def _expected_dtype(subject: Subject, case: Case, output: Array) -> str:
    """The dtype that is due; one that came back and will do is not held up to another."""
    wrong = subject.wrong_dtype(case, output)
    return output.dtype.name if wrong is None else oracle.computed_dtype(case.dtype, case.mode)


def _case_source(case: Case) -> str:
    words = (case.direction, case.mode, case.data_format, case.dtype, case.layout, case.regime, case.shape)
    pixels = f", pixels={case.pixels!r}" if case.pixels else ""
    return f"Case({', '.join(map(repr, words))}{pixels})"


def literal(array: Array) -> str:
    """An array as Python source."""
    values = re.sub(
        r"\b(nan|inf)\b",
        r"np.\1",
        repr(array.astype(np.float64).tolist() if array.dtype.kind not in "iub" else array.tolist()),
    )
    dtype = "ml_dtypes.bfloat16" if array.dtype.name == "bfloat16" else f'"{array.dtype.name}"'
    return f"np.array({values}, dtype={dtype})"


def _values(array: Array, digits: int) -> str:
    values = oracle.as_float64(array)
    if np.all(values == np.rint(values)) and array.dtype.kind in "iub":
        return repr(array.tolist())
    return re.sub(r"'", "", repr(np.vectorize(lambda v: f"{v:.{digits}g}", otypes=[object])(values).tolist()))


def _lines(subject: Subject, direction: Direction, mode: ModeName, data_format: DataFormat, x: str) -> str:
    implementation = subject.implementation
    source = implementation.source if direction == "forward" else implementation.inverse_source
    head = "import numpy as np\n" + ("import ml_dtypes\n" if "ml_dtypes" in x else "")
    if source is not None:
        return f"{head}x = {x}\n{source(mode, data_format)}"
    function = subject.function(direction)
    assert function is not None
    words = [f"{key}={value!r}" for key, value in keywords(function, mode, data_format).items()]
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    parts = name.split(".")
    if module and all(part.isidentifier() for part in parts):
        head += f"from {module} import {parts[0]}\n"
    else:
        head += f"# implementation: {subject.implementation.name!r}, the Implementation that was judged\n"
        name = "implementation.preprocess" if direction == "forward" else "implementation.deprocess"
    return f"{head}x = {x}\n{name}({', '.join(['x', *words])})"
