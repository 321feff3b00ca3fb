"""From a finding to its cause: which fault of the gallery behaves like this, and the smallest input that shows it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import Case, from_format, panel, to_format
from vggprep.checks import Finding, Subject
from vggprep.checks.findings import Array, Kind
from vggprep.checks.subject import disagreeing
from vggprep.conformance.results import Example
from vggprep.faults import FAULTS, Fault
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.implementations.callables import PROBLEMS, Outcome, call, keywords
from vggprep.implementations.commands import foresee
from vggprep.spec import Direction, ModeName


@dataclass(frozen=True)
class Explanation:
    """The fault that a finding behaves like, if any, and lines that show it."""

    fault: Fault | None = None
    reproducer: str = ""
    example: Example = ""

    @property
    def text(self) -> str:
        """The fault in a sentence."""
        if self.fault is None:
            return ""
        origin = f" [{self.fault.origin}]" if self.fault.origin else ""
        return f"behaves like {self.fault.name}: {self.fault.story}{origin}"


UNEXPLAINED = Explanation()


def explain(subject: Subject, findings: Sequence[tuple[str, Finding]]) -> list[Explanation]:
    """A cause and a reproducer for each finding of a check."""
    of_input: dict[object, list[Fault]] = {}
    likely: dict[tuple[Direction, ModeName], list[Fault]] = {}
    candidates = []
    for number, (_, finding) in enumerate(findings):
        key = number if finding.given is not None or finding.case is None else finding.case
        if key not in of_input:
            kind = (finding.direction, finding.cell.mode)
            of_input[key] = behaves_like(subject, finding, likely.get(kind, ()))
            likely[kind] = of_input[key] or likely.get(kind, [])
        candidates.append(of_input[key])
    chosen = _choose(candidates, [check for check, _ in findings])
    for direction in subject.directions:
        pixels = [f for _, f in findings if f.direction == direction and f.case is not None and f.deviation is not None]
        asked = ((_worst_pixel(f)[1], f.cell.mode, f.cell.data_format) for f in pixels)
        foresee(subject.function(direction), asked)
    shown: dict[object, tuple[str, Example]] = {}
    explanations = []
    for number, ((check, finding), fault) in enumerate(zip(findings, chosen, strict=True)):
        # Where every shape is compiled, one example a cause and dtype is enough.
        cause = (fault.name if fault else check, finding.kind, finding.direction, finding.cell.dtype)
        example = cause if subject.implementation.compiled else number
        if example not in shown:
            shown[example] = _reproduce(subject, finding)
        explanations.append(Explanation(fault, *shown[example]))
    return explanations


_WRONG_BY_NATURE = frozenset({*PROBLEMS, "value", "shape", "dtype_exact", "dtype_integer", "dtype_narrow", "refusal"})
"""Kinds of findings whose outcome itself is wrong, not only by comparison with another."""


def behaves_like(subject: Subject, finding: Finding, likely: Sequence[Fault] = ()) -> list[Fault]:
    """The faults that do the same on the finding's input: same result or refusal, same effect on the input.

    Only where that is wrong: most faults are right most of the time. ``likely`` are tried first, and if some of them
    fit, no others.
    """
    outcome = finding.outcome
    if finding.case is not None and (outcome is None or finding.kind not in _WRONG_BY_NATURE):
        outcome = subject.run(finding.case)
    if outcome is None or _as_it_should(subject, finding, outcome):
        return []
    if outcome.refusal is not None and subject.run(panel(finding.direction, finding.cell)).refusal is not None:
        return []  # it refuses the plainest image, too: this one is not to blame
    found = _matching(subject, finding, outcome, 0.0, likely)
    if not found and finding.case is not None and finding.case.regime == "huge":
        return []  # where nearly everything may overflow, nearly everything looks alike
    found = found or _matching(subject, finding, outcome, 0.0)
    single = oracle.FORMATS["float32"].unit_roundoff
    double = outcome.output is not None and outcome.output.dtype == np.float64
    if not found and double and finding.deviation is not None:
        # Constants in float32 on a wider image: the same fault, blurred. But the right answer blurred is none.
        arguments = finding.arguments()
        assert arguments is not None
        right = call(_reference(finding.direction), arguments.array.astype(np.float64), *arguments[1:])
        if not _same(subject, finding, outcome, right, single):
            found = _matching(subject, finding, outcome, single)
    return found


def _reference(direction: Direction) -> Callable[..., Array]:
    return preprocess_input if direction == "forward" else deprocess_input


def _matching(
    subject: Subject, finding: Finding, outcome: Outcome, at_least: float, among: Sequence[Fault] = FAULTS
) -> list[Fault]:
    found = []
    for fault in among:
        function = fault.preprocess if finding.direction == "forward" else fault.deprocess
        if function is None or not fault.stateless or finding.cell.mode not in fault.modes:
            continue
        arguments = finding.arguments()  # anew, as its memory layout may matter
        assert arguments is not None
        array = arguments.array
        if array.size > _LARGE and fault.caught_by != "sizes":
            continue
        if outcome.output is not None and finding.deviation is not None and _narrower(array, outcome.output):
            array = array.astype(outcome.output.dtype)  # it computes with more bits than it was given; so must they
        if _same(subject, finding, outcome, call(function, array, *arguments[1:]), at_least):
            found.append(fault)
    return found


def _narrower(array: Array, output: Array) -> bool:
    names = [z.dtype.name for z in (array, output)]
    known = [oracle.FORMATS[name].precision for name in names if name in oracle.FORMATS]
    return len(known) == 2 and known[0] < known[1]


def _as_it_should(subject: Subject, finding: Finding, outcome: Outcome) -> bool:
    if finding.given is not None:
        right = call(_reference(finding.direction), *finding.given._replace(array=finding.given.array.copy()))
        return _same(subject, finding, outcome, right)
    assert finding.case is not None
    if finding.kind in _WRONG_BY_NATURE or outcome.changed_input or outcome.shares_input:
        return False
    return subject.verdict(finding.case, outcome)[0] is None


_LARGE = 8192  # elements: beyond, only faults of size are tried


def _same(subject: Subject, finding: Finding, mine: Outcome, theirs: Outcome, at_least: float = 0.0) -> bool:
    if mine.output is None or theirs.output is None:
        return mine.refusal is not None and theirs.refusal is not None
    a, b = mine.output, theirs.output
    floating = [z.dtype.kind == "f" or z.dtype.name == "bfloat16" for z in (a, b)]
    of_values = finding.deviation is not None
    # A float of another width is the same behaviour where the values are at fault, not the dtype.
    if a.shape != b.shape or (a.dtype.name != b.dtype.name and not (all(floating) and of_values)):
        return False
    if all(floating) and _narrower(b, a) and not at_least:
        return False
    effects = [(o.changed_input, o.shares_input) for o in (mine, theirs)]
    free = subject.implementation.native_only or subject.implementation.writes_input or of_values
    if effects[0] != effects[1] and not free:
        return False
    arguments = finding.arguments()
    assert arguments is not None
    if finding.case is None or finding.given is not None or a.shape != arguments.array.shape:
        return bool(tolerance.same_values(oracle.as_float64(a), oracle.as_float64(b), signed_zero=False).all())
    case = finding.case
    x, a, b = (from_format(z, case.data_format) for z in (arguments.array, a, b))
    # An integer result may have wrapped around: there, nearly equal is not equal.
    bits = a.dtype.kind in "iub"
    return not disagreeing(case.direction, case.mode, x, a, b, exact=bits, at_least=at_least).any()


def _choose(candidates: Sequence[list[Fault]], checks: Sequence[str]) -> list[Fault | None]:
    """One fault for each finding, by check: of those that fit, one that this check is for, and fits most findings."""
    counts = Counter(fault.name for fitting in candidates for fault in fitting)
    order = {fault.name: n for n, fault in enumerate(FAULTS)}
    return [
        min(fitting, key=lambda f: (f.caught_by != check, -counts[f.name], order[f.name])) if fitting else None
        for fitting, check in zip(candidates, checks, strict=True)
    ]


# Reproducers ------------------------------------------------------------------------------------------------------


def _reproduce(subject: Subject, finding: Finding) -> tuple[str, Example]:
    """Lines to paste into a Python prompt that show the finding, on one pixel where one pixel shows it."""
    case = finding.case
    if finding.given is not None:
        array, mode, data_format = finding.given
        return _lines(subject, finding.direction, mode, data_format, literal(array)), "arguments"
    if case is None:
        return "", ""
    small = _one_pixel(subject, finding)
    if small is not None:
        return small, "pixel"
    shown = _lines(subject, case.direction, case.mode, case.data_format, f"{_case_source(case)}.array()")
    hint = _HINTS.get(finding.kind)
    return "from vggprep.cases import Case\n" + shown + (f"\n# {hint}" if hint else ""), "case"


_HINTS: dict[Kind, str] = {
    "mutation": "x has changed",
    "input_returned": "the result shares memory with x",
    "view_returned": "the result shares memory with x",
    "overwritten_result": "keep this result, call with another image, and look at it again: it has changed",
}


def _worst_pixel(finding: Finding) -> tuple[Array, Array]:
    """The input pixel with the worst output: channels last, and in the case's data format."""
    assert finding.case is not None
    assert finding.deviation is not None
    pixel = np.array(finding.deviation.x[finding.deviation.worst[:-1]]).reshape((1,) * (finding.cell.rank - 1) + (3,))
    array = np.ascontiguousarray(to_format(pixel, finding.case.data_format))
    return pixel, array.astype(array.dtype.newbyteorder("=")) if array.dtype.name != "bfloat16" else array


def _one_pixel(subject: Subject, finding: Finding) -> str | None:
    case, deviation = finding.case, finding.deviation
    if case is None or deviation is None:
        return None
    pixel, array = _worst_pixel(finding)
    outcome = subject.try_input(case.direction, array, case.mode, case.data_format)
    plain = Case(case.direction, case.mode, case.data_format, case.dtype, "c", "drawn", pixel.shape, pixel.tobytes())
    again = subject.verdict(plain, outcome, array)[0]
    if again is None or again.deviation is None:
        return None
    got, expected = (to_format(z, case.data_format) for z in (again.deviation.got, again.deviation.expected))
    digits = 4 if got.dtype.name in ("float16", "bfloat16") else 7
    if _values(got, digits) == _values(expected, digits):
        digits = 17
    return (
        _lines(subject, case.direction, case.mode, case.data_format, literal(array))
        + f"\n# got      {_values(got, digits)} {got.dtype.name}"
        + f"\n# expected {_values(expected, digits)}"
        + (f" {_expected_dtype(subject, case, outcome)}" if case.direction == "forward" else "")
    )


def _expected_dtype(subject: Subject, case: Case, outcome: Outcome) -> str:
    """The expected dtype; an acceptable returned dtype is kept."""
    wrong = subject.wrong_dtype(case, outcome)
    assert outcome.output is not None
    return outcome.output.dtype.name if wrong is None else oracle.computed_dtype(case.dtype, case.mode)


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


def _lines(subject: Subject, direction: Direction, mode: Any, data_format: Any, x: str) -> str:
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
