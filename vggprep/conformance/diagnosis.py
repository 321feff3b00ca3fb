"""From a finding to its cause: the statement that everything seen bears out, and the smallest input that shows it."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vggprep import oracle, tolerance
from vggprep.cases import LARGE, Case, Cell, panel, regimes, to_format
from vggprep.checks import Finding, Subject
from vggprep.checks.contract import UNKNOWN
from vggprep.checks.findings import Array, Kind
from vggprep.checks.subject import same_bits
from vggprep.conformance.results import Example
from vggprep.conformance.words import FOLLOWS, OF_VALUES, grey_levels, predicate
from vggprep.explanation import search
from vggprep.explanation.candidates import candidates
from vggprep.explanation.dependence import dependence
from vggprep.explanation.statements import Seen, Statement, same, seen_last
from vggprep.faults import FAULTS, in_mode
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.implementations.callables import PROBLEMS, Outcome, call, keywords
from vggprep.implementations.commands import foresee
from vggprep.spec import DATA_FORMATS, MODES, Direction, ModeName, definition


@dataclass(frozen=True)
class Explanation:
    """What is stated of the cause of a finding, if anything, and lines that show it.

    ``partly``: what the statement is about, if not all that was seen in the cell. ``of_state``: the lines
    show that an earlier call decides.
    """

    statement: Statement | None = None
    reproducer: str = ""
    example: Example = ""
    partly: str = ""
    of_state: bool = False

    @property
    def text(self) -> str:
        """The statement, and which others cannot be told from it."""
        if self.statement is None:
            return ""
        known = FAULTS if self.statement.mode is None else in_mode(self.statement.mode)
        faults = [fault.name for fault in known if fault.name in self.statement.also][:3]
        said = f"{self.partly}, it {self.statement.text}" if self.partly else self.statement.text
        return f"{said.rstrip('.')}. What was seen fits {' and '.join(faults)}, too." if faults else said

    @property
    def cause(self) -> str:
        """What findings with this cause share; empty if it is not known."""
        if self.statement is None:
            return "state" if self.of_state else ""
        return self.statement.name


UNEXPLAINED = Explanation()


def explain(subject: Subject, findings: Sequence[tuple[str, Finding]]) -> list[Explanation]:
    """A cause and a reproducer for each finding of a check."""
    causes = _Causes(subject)
    causes.settle(finding for _, finding in findings)
    stated = [causes.of(finding) for _, finding in findings]
    for direction in subject.directions:
        pixels = [f for _, f in findings if f.direction == direction and f.case is not None and f.deviation is not None]
        asked = ((_worst_pixel(f)[1], f.cell.mode, f.cell.data_format) for f in pixels)
        foresee(subject.function(direction), asked)
    shown: dict[object, tuple[str, Example]] = {}
    stateful = {f.direction for _, f in findings if f.kind in ("stale", "state")}
    for direction in () if subject.implementation.serial else {*subject.directions} - stateful:
        unknown = [f for (_, f), said in zip(findings, stated, strict=True) if f.direction == direction and not said]
        if not all(_repeats(subject, finding) for finding in unknown[:_SEARCHES]):
            stateful.add(direction)
    explanations = []
    for number, ((check, finding), statement) in enumerate(zip(findings, stated, strict=True)):
        if statement is None and finding.direction in stateful and finding.kind in _SHOWN_IN_CALLS:
            # Once for a mode: each takes processes of its own.
            key = finding.direction, finding.cell.mode
            if key not in shown:
                shown[key] = _in_calls(subject, finding), "arguments"
            explanations.append(Explanation(None, *shown[key], of_state=True))
            continue
        if statement is None and finding.direction not in stateful and not subject.implementation.serial:
            statement = causes.measured(finding)
        # Where every shape is compiled, one example a cause and dtype is enough.
        cause = (statement.name if statement else check, finding.kind, finding.direction, finding.cell.dtype)
        example = cause if subject.implementation.compiled else number
        if example not in shown:
            shown[example] = _reproduce(subject, finding)
        explanations.append(Explanation(statement, *shown[example], causes.explains_part(finding)))
    return explanations


_SHOWN_IN_CALLS: frozenset[str] = frozenset({"stale", "thread_race", "shape", "alpha_dropped", *OF_VALUES, *FOLLOWS})
"""Kinds that may be due to earlier calls, where those matter."""


def _repeats(subject: Subject, finding: Finding) -> bool:
    """Whether another call gives the wrong values of a finding again."""
    case, outcome = finding.case, finding.outcome
    if finding.kind not in OF_VALUES or case is None or outcome is None or outcome.output is None:
        return True
    again = subject.call(case.direction, case.array(), case.mode, case.data_format).output
    return again is not None and same_bits(again, outcome.output)


def named(subject: Subject, findings: Sequence[Finding]) -> list[str]:
    """The cause of each finding; empty where it is not known."""
    causes = _Causes(subject)
    causes.settle(findings)
    return [Explanation(causes.of(finding)).cause for finding in findings]


_OF_VALUES: frozenset[Kind] = frozenset(
    {
        "value", "lost_pixels", "shape", "dtype_exact", "dtype_integer", "dtype_narrow", "dtype_pixels",
        "integer_dtypes", "layout", "batch_of_three", "batch", "permutation", "channels", "falling", "memory_layout",
    }
)  # fmt: skip
"""Kinds of findings that the values of a cell may explain."""

_OF_CALLS: frozenset[Kind] = frozenset(
    {
        *PROBLEMS, "refusal", "memory_layout", "mutation", "other_write", "input_returned", "view_returned",
        "unknown_accepted", "alpha_dropped",
    }
)  # fmt: skip
"""Kinds that a fault explains if it does the same, with the same effects on the input, in all calls of the cell."""

_SEARCHES = 4  # of a function that nothing explains, in one mode and direction: cells, and calls, that are looked into


def _divisible(by: int, case: Case) -> bool:
    return case.shape[-3] % by == case.shape[-2] % by == 0


def _within(case: Case, low: float, high: float) -> bool:
    values = oracle.as_float64(case.values())
    return bool((np.isfinite(values) & (values >= low) & (values <= high)).all())


class _Causes:
    """What is stated of each cell; statements that fit one cell are tried first in the next."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._seen = subject.seen()
        self._of_cells: dict[tuple[Direction, Cell], Statement | None] = {}
        self._partly: dict[tuple[Direction, Cell], Statement] = {}
        self._likely: dict[tuple[Direction, ModeName], list[Statement]] = {}
        self._near: dict[tuple[Direction, ModeName, bool], list[Statement]] = {}
        self._vain: Counter[tuple[Direction, ModeName, bool]] = Counter()
        self._vain_calls: Counter[tuple[Direction, ModeName, Kind]] = Counter()
        self._faults: dict[tuple[Direction, ModeName], list[Statement]] = {}
        self._depends: dict[object, Statement | None] = {}

    def settle(self, findings: Iterable[Finding]) -> None:
        """Find what is stated of each cell; of statements that fit the same cell, the one that fits the most cells."""
        keys = dict.fromkeys((f.direction, f.cell) for f in findings if f.kind in _OF_VALUES)
        # The plainest first. Images of black and white tell nothing: they wait for statements to try on them.
        for key in sorted(keys, key=lambda key: (key[1].dtype == "bool", key[1].dtype not in ("uint8", "float32"))):
            self._of_cells[key] = self._search(*key)
        for kind, statements in self._likely.items():
            cells = [key for key in keys if (key[0], key[1].mode) == kind]
            if len(statements) < 2 and all(self._of_cells[key] for key in cells):
                continue
            fits = {s: [k for k in cells if self._fits(s, *k)] for s in statements}
            for statement in sorted(statements, key=lambda s: len(fits[s])):
                self._of_cells |= dict.fromkeys(fits[statement], statement)
        for key in keys:
            kind = key[0], key[1].mode
            if self._of_cells[key] is None and not self._likely[kind]:
                self._of_cells[key] = next((s for s in self._near[*kind, False] if self._fits(s, *key)), None)
            if self._of_cells[key] is None and (found := self._search(*key, usual=True)):
                self._partly[key] = found
            elif self._of_cells[key] is None:
                self._of_cells[key] = self._rough(*key)
        for (direction, cell), partly in self._partly.items():  # what explains all of another cell, too, is one cause
            for key in keys:
                same_mode = (key[0], key[1].mode) == (direction, cell.mode)
                if same_mode and self._of_cells[key] not in (None, partly) and self._fits(partly, *key):
                    self._of_cells[key] = partly

    def _rough(self, direction: Direction, cell: Cell) -> Statement | None:
        """What other cells bear out, or what is right, where steps in few bits miss it."""
        kind = direction, cell.mode
        right = (e for e in candidates(*kind) if e.kind == "rounding")
        evidence = list(self._evidence(direction, cell))
        return next((s for e in (*right, *self._likely[kind]) if (s := search.roughly(e, evidence))), None)

    def _search(self, direction: Direction, cell: Cell, usual: bool = False) -> Statement | None:
        """What is stated exactly of a cell, or of usual values alone; what comes near is kept."""
        kind, every = (direction, cell.mode), list(self._evidence(direction, cell))
        shown = search.usual(every, direction) if usual else every
        likely, near, vain = (
            self._likely.setdefault(kind, []),
            self._near.setdefault((*kind, usual), []),
            (*kind, usual),
        )
        thorough, admit = self._vain[vain] < _SEARCHES, self._admits(direction, cell)
        found = search.explain(shown, *kind, likely, thorough=thorough, admit=admit)
        exact = found is not None and not found.within
        self._vain[vain] += not exact
        likely += [found] if found is not None and exact and found not in likely else []
        near += [found] if found is not None and not exact else []
        if not exact:
            # Nothing is met exactly in this mode: what comes near is better than nothing.
            found = None if likely or not usual else search.explain(shown, *kind, near, thorough=False)
        return None if usual and found is not None and search.contradicted(found, every, direction) else found

    def _admits(self, direction: Direction, cell: Cell) -> Callable[[Statement], bool]:
        return lambda statement: statement.kind != "fault" or self._holds_elsewhere(statement, direction, cell)

    def _fits(self, statement: Statement, direction: Direction, cell: Cell) -> bool:
        evidence = list(self._evidence(direction, cell))
        return search.explain(evidence, direction, cell.mode, [statement], thorough=False) is not None

    def explains_part(self, finding: Finding) -> str:
        """What the statement about a finding is about, if not all that was seen."""
        if (finding.direction, finding.cell) not in self._partly or finding.kind not in _OF_VALUES:
            return ""
        return "of images of 0..255" if finding.direction == "forward" else "of values from -255 to 255"

    def measured(self, finding: Finding) -> Statement | None:
        """What the values depend on in a cell of the finding's mode that nothing explains."""
        kind, asked = (finding.direction, finding.cell.mode), finding.cell
        if finding.kind not in _OF_VALUES or self._subject.implementation.compiled:
            return None
        known = bool(self._likely.get(kind))
        key = (*kind, asked.rank, asked.data_format) if known else kind
        if key not in self._depends:
            cells = [c for (d, c), said in self._of_cells.items() if (d, c.mode) == kind and said is None]
            if known:  # of others in the mode: of all of this rank, or of none
                cells = [c for c in cells if (c.rank, c.data_format) == key[2:] and (kind[0], c) not in self._partly]
            cell = next((c for c in cells if c.dtype in ("float32", "uint8")), None if known else (cells or [asked])[0])
            if cell is None:
                self._depends[key] = None
                return None
            case = panel(finding.direction, cell)

            def ask(image: Array) -> Outcome:
                array = np.ascontiguousarray(to_format(image, cell.data_format))
                return seen_last(self._subject.try_input(case.direction, array, cell.mode, cell.data_format), case)

            found = dependence(ask, case.values(), *kind)
            text = f"{found.story} (measured in {cell.dtype}{f', rank {cell.rank}' * known})"
            said = found.story and not found.of_calls
            self._depends[key] = Statement("measured", text, text, lambda seen: None) if said else None
        return self._depends[key]

    def of(self, finding: Finding) -> Statement | None:
        """The statement about a finding, if there is one."""
        statement = self._of_values(finding) if finding.kind in _OF_VALUES else None
        if statement is None and (finding.kind in _OF_CALLS or finding.case is not None):
            tries = finding.direction, finding.cell.mode, finding.kind
            statement = self._of_call(finding) if self._vain_calls[tries] < _SEARCHES else None
            self._vain_calls[tries] += statement is None
        if finding.kind == "refusal" and statement is None:
            statement = self._of_refusals(finding.direction, finding.cell)
        if finding.kind == "unknown_accepted" and statement is None:
            statement = self._of_unknown(finding)
        if statement is None or statement.kind != "mode" or not self._is_unknown(finding):
            return statement
        text = f"takes mode={finding.cell.mode!r} as any mode that it does not know: as {statement.mode}"
        return replace(statement, name=f"unknown_mode_taken_as_{statement.mode}", text=text, also=())

    def _of_refusals(self, direction: Direction, cell: Cell) -> Statement | None:
        """Which images alone are accepted in a cell, if that tells all that were from all that were refused."""
        seen = [(case, o.refusal is None) for case, o in self._seen.get((direction, cell), ()) if o.problem is None]
        for words, of in _ACCEPTED.items():
            if len({accepted for _, accepted in seen}) == 2 and all(of(case) == accepted for case, accepted in seen):
                text = f"accepts only images {words}"
                return Statement("steps", text, text, lambda seen: None)
        return None

    def _of_unknown(self, finding: Finding) -> Statement | None:
        """As which mode an unknown one is taken, by what comes out."""
        arguments, outcome = finding.arguments(), finding.outcome
        output = None if outcome is None else outcome.output
        right = preprocess_input if finding.direction == "forward" else deprocess_input
        if arguments is None or output is None or finding.about["keyword"] != "mode":
            return None
        for mode in MODES:
            if same(output, right(arguments.array, arguments.data_format, mode)):
                text = f"takes any mode that it does not know as {mode}"
                return Statement("steps", f"unknown_mode_taken_as_{mode}", text, lambda seen: None, mode=mode)
        return None

    def _is_unknown(self, finding: Finding) -> bool:
        """Whether the mode of a finding gets the bits that no mode's name gets."""
        if not self._subject.takes(finding.direction, "mode"):
            return False
        case = panel(finding.direction, finding.cell)
        asked = self._subject.try_input(finding.direction, case.array(), UNKNOWN, case.data_format).output
        output = self._subject.run(case).output
        return asked is not None and output is not None and asked.tobytes() == output.tobytes()

    def _of_values(self, finding: Finding) -> Statement | None:
        key = finding.direction, finding.cell
        if key in self._partly:
            return self._partly[key]
        statement = self._of_cells[key]
        own = _own(finding)
        if finding.kind == "memory_layout" and finding.case is not None:
            own = Seen(finding.case, self._subject.run(finding.case))
        return statement if statement is None or own is None or search.reproduces(statement, [own]) else None

    def _holds_elsewhere(
        self, statement: Statement, direction: Direction, cell: Cell, large: Case | None = None
    ) -> bool:
        """Whether a fault does what was seen of bytes and floats in either format, too: its story is about them all.

        ``large``: a large image that shows it, which is then tried in the other dtypes and formats.
        """
        dtypes = ("uint8", "float32") if direction == "forward" else ("float32",)
        others = [cell._replace(dtype=d, data_format=f) for d in dtypes for f in DATA_FORMATS]
        others = [c for c in others if self._subject.covers(direction, c) and self._subject.accepts(direction, c)]
        cases = [panel(direction, c) for c in others]
        if any(self._subject.run(case).refusal is not None for case in cases):
            return False  # a story about images that it refuses
        if large is not None and math.prod(large.shape) > _LARGE and large.layout == "c" and not large.pixels:
            cases += [replace(large, dtype=c.dtype, data_format=c.data_format) for c in others]
        return search.reproduces(statement, (Seen(case, self._subject.run(case)) for case in cases))

    def _evidence(self, direction: Direction, cell: Cell) -> Iterator[Seen]:
        """What was seen of a cell in C order, the plain images first."""
        # NaN is shown only where checks have shown it: an inverse to pixels is not to be given any.
        cases = [panel(direction, cell, r) for r in regimes(direction, cell.dtype) if r != "nonfinite"]
        for case in cases:
            yield Seen(case, self._subject.run(case))
        for case, outcome in self._seen.get((direction, cell), ()):
            if case.layout == "c" and case not in cases:
                yield Seen(case, outcome)

    def _of_call(self, finding: Finding) -> Statement | None:
        """A fault that does what was done in the call of the finding, and in all others of its cell."""
        outcome = finding.outcome
        if finding.case is not None and outcome is None:
            outcome = self._subject.run(finding.case)
        arguments = finding.arguments()
        if outcome is None or arguments is None or finding.kind not in _OF_CALLS | _OF_VALUES:
            return None
        direction, cell = finding.direction, finding.cell
        right = preprocess_input if direction == "forward" else deprocess_input
        alike = self._of_dtype if finding.kind.startswith("dtype_") else self._alike
        if alike(outcome, call(right, *arguments)) and self._does_all(right, direction, cell):
            return None  # it cannot be told from being right
        likely = self._faults.setdefault((direction, cell.mode), [])
        for statement in (*likely, *candidates(direction, cell.mode)):
            fault = statement.fault
            if fault is None or (arguments.array.size > _LARGE and fault.caught_by not in _OF_LARGE_IMAGES):
                continue
            function = fault.preprocess or fault.deprocess
            again = finding.arguments()  # its memory layout may matter
            assert function is not None
            assert again is not None
            if (
                alike(outcome, call(function, *again))
                and self._does_all(function, direction, cell)
                and self._does_in_others(function, finding)
                and self._holds_elsewhere(statement, direction, cell, finding.case)
            ):
                if statement not in likely:
                    likely.append(statement)
                return statement
        return None

    def _does_in_others(self, function: Callable[..., Array], finding: Finding) -> bool:
        """Whether a function does what was done on arguments of their own in bytes and floats alike."""
        if finding.given is None:
            return True
        array, *asked = finding.given
        others = [array.astype(dtype) for dtype in ("uint8", "float32") if array.max(initial=0) <= 255]
        done = (self._subject.try_input(finding.direction, other, *asked) for other in others)
        return all(self._alike(mine, call(function, x.copy(), *asked)) for x, mine in zip(others, done, strict=True))

    def _of_dtype(self, mine: Outcome, theirs: Outcome) -> bool:
        same_dtype = mine.output is None or theirs.output is None or mine.output.dtype == theirs.output.dtype
        return same_dtype and self._alike(mine, theirs)

    def _does_all(self, function: Callable[..., Array], direction: Direction, cell: Cell) -> bool:
        """Whether a function does what was seen of a cell, with the same effects on the inputs."""
        return all(
            self._alike(outcome, call(function, case.array(), case.mode, case.data_format))
            for case, outcome in self._seen.get((direction, cell), ())
        )

    def _alike(self, mine: Outcome, theirs: Outcome) -> bool:
        if mine.output is None or theirs.output is None:
            return mine.refusal is not None and theirs.refusal is not None
        free = self._subject.implementation.native_only or self._subject.implementation.writes_input
        effects = [(o.changed_input, o.shares_input) for o in (mine, theirs)]
        return (free or effects[0] == effects[1]) and same(mine.output, theirs.output)


_ACCEPTED: dict[str, Callable[[Case], bool]] = {
    "3 wide": lambda case: case.shape[-2] == 3,
    "3 high": lambda case: case.shape[-3] == 3,
    "as high as wide": lambda case: case.shape[-3] == case.shape[-2],
    "alone in their batch": lambda case: case.shape[0] == 1,
    "of at least one pixel": lambda case: math.prod(case.shape) > 0,
    **{f"of a height and width divisible by {n}": functools.partial(_divisible, n) for n in (32, 16, 8, 4, 2)},
    "of values of at most 1": lambda case: _within(case, -np.inf, 1),
    "of values from 0 to 1": lambda case: _within(case, 0, 1),
    "of values from 0 to 255": lambda case: _within(case, 0, 255),
    "of values from -1 to 1": lambda case: _within(case, -1, 1),
    "of finite values": lambda case: _within(case, -np.inf, np.inf),
}
"""In words, what an image must be for a function to accept it."""

_LARGE = 8192  # elements: beyond, only faults that show there are tried
_OF_LARGE_IMAGES = ("sizes", "memory_layouts", "batch_consistency", "purity", "fresh_output", "determinism")


def _own(finding: Finding) -> Seen | None:
    """The call that a finding is about, if it is not simply one of its cell's."""
    if finding.case is None or finding.given is not None or finding.outcome is None:
        return None
    if finding.about.get("shape", finding.case.array_shape) != finding.case.array_shape:
        return None  # one of its images alone
    return Seen(finding.case, finding.outcome)


# Reproducers ------------------------------------------------------------------------------------------------------


def _reproduce(subject: Subject, finding: Finding) -> tuple[str, Example]:
    """Lines to paste into a Python prompt that show the finding, on one pixel where one pixel shows it."""
    case = finding.case
    if finding.given is not None:
        array, mode, data_format = finding.given
        return _lines(subject, finding.direction, mode, data_format, literal(array)), "arguments"
    if case is None:
        return "", ""
    wrong = _wrong(subject, finding)
    small = _few_pixels(subject, wrong, finding.levels, follows=wrong is not finding) or _two_pixels(subject, finding)
    if small is not None:
        return small, "pixel"
    case = wrong.case or case
    if math.prod(case.shape) == 0 and case.layout == "c" and case.dtype != "bfloat16":
        x = f'np.zeros({case.array_shape}, dtype="{case.dtype}")'
        return _lines(subject, case.direction, case.mode, case.data_format, x), "arguments"
    shown = _lines(subject, case.direction, case.mode, case.data_format, f"{_case_source(case)}.array()")
    if wrong.kind == "value" and wrong.deviation is not None:
        shown += _got(subject, case, wrong, _place(wrong), finding.levels)
    return "from vggprep.cases import Case\n" + _hinted(finding.kind, shown, case), "case"


def _wrong(subject: Subject, finding: Finding) -> Finding:
    """The finding about the values that are wrong, where outputs disagree; else the finding itself."""
    if finding.case is None or finding.kind not in FOLLOWS:
        return finding
    cases = [finding.case]
    if finding.kind == "integer_dtypes":
        cases.append(replace(finding.case, dtype="float32"))
    for case in cases:
        found = subject.verdict(case, subject.run(case))[0]
        if found is not None and found.deviation is not None:
            return found
    return finding


_HINTS: dict[Kind, str] = {
    "mutation": "x has changed",
    "input_returned": "the result shares memory with x",
    "view_returned": "the result shares memory with x",
    "overwritten_result": "first has changed",
    "thread_race": "in several threads at once, with another image in each, it returns other bits than alone",
}


def _hinted(kind: Kind, shown: str, case: Case) -> str:
    """The lines with what a look at the arrays shows; of an earlier result, after another call."""
    if kind == "overwritten_result":
        *head, last = shown.splitlines()
        width = ", :" if case.data_format == "channels_last" else ""
        shown = "\n".join([*head, f"first = {last}", f"x = x[..., ::-1{width}].copy()", last])
    return f"{shown}\n# {_HINTS[kind]}" if kind in _HINTS else shown


def _got(subject: Subject, case: Case, wrong: Finding, at: tuple[int, ...], levels: float) -> str:
    """What comes out for a pixel and what should; how far off it is, if that is not what the finding says."""
    assert wrong.deviation is not None
    assert wrong.outcome is not None
    shape = (1,) * (case.rank - 1) + (3,)
    right, dtype = wrong.deviation.expected[at], ""
    if case.direction == "forward":
        dtype = f" {_expected_dtype(subject, case, wrong.outcome)}"
        if (integers := _kept(wrong)) is not None:
            right, dtype = integers[at], f" {case.dtype}"
    got, expected = (to_format(z.reshape(shape), case.data_format) for z in (wrong.deviation.got[at], right))
    digits = 4 if got.dtype.name in ("float16", "bfloat16") else 7
    if expected.dtype in (np.int64, np.uint64) or _values(got, digits) == _values(expected, digits):
        digits = 17
    place = [*map(str, at)]
    place.insert(len(at) if case.data_format == "channels_last" else len(at) - 2, ":")
    off = grey_levels(wrong.deviation.levels)
    return (
        f"\n# got      {_values(got, digits)} {got.dtype.name}"
        + (f" at [{', '.join(place)}]" if any(at) or math.prod(case.shape) > 3 else "")
        + f"\n# expected {_values(expected, digits)}{dtype}"
        + (f"\n# off by {off}" if wrong.kind == "value" and off != grey_levels(levels) else "")
    )


def _kept(finding: Finding) -> Array | None:
    """The integers that a mode without steps is to keep: float64 would blur those of 64 bits."""
    assert finding.deviation is not None
    x = finding.deviation.x
    if finding.direction == "inverse" or definition(finding.cell.mode).steps or x.dtype.kind not in "iu":
        return None
    return x[..., oracle.input_channels("forward", finding.cell.mode)]


def _place(finding: Finding) -> tuple[int, ...]:
    """Where the pixel is whose error in grey levels is that of the finding."""
    assert finding.deviation is not None
    got, expected = oracle.as_float64(finding.deviation.got), oracle.as_float64(finding.deviation.expected)
    with np.errstate(all="ignore"):
        off = np.abs(got - expected) * (oracle.grey_levels(finding.cell.mode) if finding.direction == "forward" else 1)
        right = _kept(finding)
        if right is not None and right.dtype.itemsize == 8 and tolerance.is_floating(finding.deviation.got):
            off = tolerance.distance(finding.deviation.got, right)
        found = np.argwhere(np.isclose(off, finding.deviation.levels, rtol=1e-9, atol=0))
    return tuple(map(int, found[0][:-1])) if len(found) else finding.deviation.worst[:-1]


def _worst_pixel(finding: Finding) -> tuple[Array, Array]:
    """The input pixel with the worst output: channels last, and in the case's data format."""
    assert finding.case is not None
    assert finding.deviation is not None
    pixel = np.array(finding.deviation.x[_place(finding)]).reshape((1,) * (finding.cell.rank - 1) + (3,))
    array = np.ascontiguousarray(to_format(pixel, finding.case.data_format))
    return pixel, _native(array)


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("=")) if array.dtype.name != "bfloat16" else array


def _drawn(case: Case, pixels: Array) -> Case:
    """The case with other pixels, channels last."""
    return Case(case.direction, case.mode, case.data_format, case.dtype, "c", "drawn", pixels.shape, pixels.tobytes())


def _few_pixels(subject: Subject, finding: Finding, levels: float, *, follows: bool) -> str | None:
    """Lines that show an error of so many grey levels on one pixel, or a few around it; else at least half as many.

    ``follows``: the number is that of two outputs that should agree, and any error shows it.
    """
    case, deviation = finding.case, finding.deviation
    if case is None or deviation is None:
        return None
    lone = subject.implementation.compiled or subject.implementation.serial  # each shape takes time there
    *lead, row, column = _place(finding)
    shown = None
    for height, width in _WINDOWS[:1] if lone else _WINDOWS:
        part = (*(slice(n, n + 1) for n in lead), slice(row, row + height), slice(column, column + width))
        pixels = _native(np.ascontiguousarray(np.broadcast_to(deviation.x, case.shape)[part]))
        array = np.ascontiguousarray(to_format(pixels, case.data_format))
        outcome = subject.try_input(case.direction, array, case.mode, case.data_format)
        plain = _drawn(case, pixels)
        again = subject.verdict(plain, outcome, array)[0]
        if again is None or again.deviation is None:
            continue
        lines = _lines(subject, case.direction, case.mode, case.data_format, literal(array))
        lines += _got(subject, plain, again, _place(again), levels)
        if f"{again.deviation.levels:.3g}" == f"{levels:.3g}":
            return lines
        if shown is None and (follows or not again.deviation.levels < levels / 2):
            shown = lines
    return shown


_WINDOWS = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3))


def _in_calls(subject: Subject, finding: Finding) -> str:
    """Lines with calls of which earlier ones decide what the last returns; in a new process, if it has one."""
    direction, usual_cells = finding.direction, [finding.cell._replace(dtype=dtype) for dtype in ("uint8", "float32")]
    cell = next(
        (c for c in usual_cells if subject.covers(direction, c) and subject.accepts(direction, c)), finding.cell
    )
    function, restart = subject.function(direction), getattr(subject.function(direction), "restart", None)
    assert function is not None
    usual = panel(direction, cell)
    height, width = (1, 2) if restart else (2, 4)  # here, a shape that has not been shown
    pixels = usual.values().reshape(-1, 3)[: height * width].reshape((1,) * (cell.rank - 3) + (height, width, 3))
    large = usual if subject.implementation.compiled else replace(usual, shape=LARGE[-cell.rank :])
    middle = large.values()
    pair = (*[-1] * (cell.rank - 3), middle.shape[-3] // 2, slice(middle.shape[-2] // 2, middle.shape[-2] // 2 + 2))
    middle[pair] = middle[pair][::-1].copy()

    def lines(x: str) -> str:
        return _lines(subject, direction, cell.mode, cell.data_format, x)

    def verdict(outcome: Outcome, values: Array, array: Array) -> Finding | None:
        return subject.verdict(_drawn(usual, values), outcome, array)[0]

    def got(wrong: Finding, values: Array) -> str:
        said = f"\n# {predicate(wrong)}"
        if wrong.deviation is not None:
            said = _got(subject, _drawn(usual, values), wrong, wrong.deviation.worst[:-1], wrong.levels)
        return said if restart else f"{said}\n# seen in a process in which it had been called before"

    tried = (
        (np.zeros_like(pixels), pixels, ""),
        (pixels, np.ascontiguousarray(pixels[..., ::-1, :]), ""),
        (large.values(), middle, f"{_case_source(large)}.array()"),
    )
    for first, second, source in tried:
        if restart:
            restart()
        earlier, x = (np.ascontiguousarray(to_format(z, cell.data_format)) for z in (first, second))
        shown = lines(source or literal(earlier))
        before = call(function, earlier.copy(), cell.mode, cell.data_format, keep=True)
        wrong = verdict(before, first, earlier)
        if wrong is not None and not source:
            return shown + got(wrong, first)  # it is wrong by itself
        if wrong is not None:
            break
        wrong = verdict(subject.call_again(direction, before, x, cell.mode, cell.data_format), second, x)
        if wrong is None:
            continue
        at = np.argwhere(x != earlier)
        fill = f"x[...] = {x.tolist()}"
        if source:
            low, high = at.min(axis=0), at.max(axis=0)
            region = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
            fill = f"x[{', '.join(f'{r.start}:{r.stop}' for r in region)}] = {x[region].tolist()}"
        head = "from vggprep.cases import Case\n" if source else ""
        return f"{head}{shown}\n{fill}\n{shown.splitlines()[-1]}{got(wrong, second)}"
    if restart:
        restart()
    x = np.ascontiguousarray(to_format(pixels, cell.data_format))
    *above, last = lines(literal(x)).splitlines()
    for number in range(1, _CALLS + 1):
        wrong = verdict(call(function, x.copy(), cell.mode, cell.data_format), pixels, x)
        if wrong is not None and restart:
            again = [f"for _ in range({number - 1}):", f"    {last}"] if number > 1 else []
            return "\n".join([*above, *again, last]) + got(wrong, pixels)
    return "\n".join([*above, last, f"# right in {_CALLS} calls one after the other; it is wrong after others"])


_CALLS = 40  # of the same image, to see whether one is wrong


def _two_pixels(subject: Subject, finding: Finding) -> str | None:
    """Lines that show what shape, dtype or memory comes back, on two pixels side by side."""
    case = finding.case
    of_form = finding.kind.startswith(("returned_", "dtype_")) or finding.kind == "shape"
    if case is None or not (finding.kind in _HINTS or of_form):
        return None
    shape = (1,) * (case.rank - 2) + (2, 3)
    if case.values().size < 6:
        case = panel(finding.direction, finding.cell)
    array = np.ascontiguousarray(to_format(case.values().reshape(-1, 3)[:2].reshape(shape), case.data_format))
    outcome = subject.try_input(case.direction, array, case.mode, case.data_format)
    plain = Case(case.direction, case.mode, case.data_format, case.dtype, "c", "drawn", shape)
    hint = _HINTS.get(finding.kind, "")
    shown = outcome.changed_input if finding.kind == "mutation" else outcome.shares_input
    shown = shown and finding.kind != "overwritten_result"
    if not hint and outcome.refusal is None:
        again = subject.unusable(plain, outcome, array.shape) or subject.wrong_dtype(plain, outcome)
        as_said = type(outcome.returned).__name__ == finding.about.get("got")  # a list, which is judged as an array
        shown = as_said or (again is not None and again.kind == finding.kind)
        hint = predicate(again or finding)
    if not shown:
        return None
    lines = _lines(subject, case.direction, case.mode, case.data_format, literal(array))
    return _hinted(finding.kind, lines, case) if finding.kind in _HINTS else f"{lines}\n# {hint}"


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
