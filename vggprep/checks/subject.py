"""The implementation under test as the checks see it: what it accepts, and what it did on a case.

Each small input is tried once and the outcome remembered, so that checks can look at the same call from their own
angles.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import oracle, tolerance
from vggprep.cases import SPREAD, Case, Cell, byte_places, from_format, panel, regimes
from vggprep.checks.findings import Deviation, Finding, Kind, worst_index
from vggprep.implementations import Implementation, callables
from vggprep.implementations.callables import Call, Outcome, Raised, Together, parameters
from vggprep.spec import DATA_FORMATS, DIRECTIONS, MODES, DataFormat, Direction, ModeName, definition

Array = npt.NDArray[Any]

_REMEMBERED = 4096  # elements: outputs of larger inputs are not kept


class Skipped(Exception):
    """Raised by a check that cannot be run on a cell; says why."""


class Unusable(Exception):
    """Raised where an output cannot be compared with anything; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.kind)
        self.finding = finding


@dataclass
class Record:
    """What is gathered while a check runs: the largest error in grey levels, and the digest of the outputs."""

    levels: float = 0.0
    _outputs: dict[Case, Array] = field(default_factory=dict)

    def add(self, case: Case, outcome: Outcome) -> None:
        """Add the output for a small case to the digest."""
        if outcome.output is not None and outcome.output.size <= _REMEMBERED:
            self._outputs[case] = outcome.output

    @property
    def digest(self) -> str:
        """SHA-256 of the outputs of small cases, in the order in which they were run, all NaNs made one."""
        digest = hashlib.sha256()
        for output in self._outputs.values():
            digest.update(canonical_bytes(output))
        return digest.hexdigest()


class Subject:
    """An implementation at a level, with what is to be judged of it."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.exact = implementation.level == "exact"
        self.remarks: set[str] = set()
        self.scope: dict[Direction, tuple[tuple[ModeName, ...], tuple[DataFormat, ...]]] = {}
        self._outcomes: dict[Case, Outcome] = {}
        self._of_inputs: dict[tuple[Any, ...], Outcome] = {}
        self._effects: dict[Case, Outcome] = {}
        self._judged: dict[Case, tuple[Finding | None, float]] = {}
        self._accepts: dict[tuple[Direction, Cell], bool] = {}
        self._record = Record()

    # Calling

    def function(self, direction: Direction) -> Callable[..., Any] | None:
        """The forward or the inverse function, if there is one."""
        return self.implementation.preprocess if direction == "forward" else self.implementation.deprocess

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that there is a function for."""
        return tuple(d for d in DIRECTIONS if self.function(d) is not None)

    def call(self, direction: Direction, array: Array, mode: Any, data_format: Any, *, keep: bool = False) -> Outcome:
        """Call the function. It owns ``array`` and may write to it. ``keep``: ``now`` is going to be asked about it."""
        outcome = callables.call(self._function(direction), array, mode, data_format, keep=keep)
        self.remarks |= outcome.remarks
        return outcome

    def now(self, direction: Direction, outcome: Outcome) -> tuple[Array, Array | None]:
        """Copies of the array that was passed in and of the one that was returned, as they are now."""
        return callables.now(self._function(direction), outcome)

    def call_again(self, direction: Direction, outcome: Outcome, values: Array, mode: Any, data_format: Any) -> Outcome:
        """Fill the very array of an earlier call with other values, and call the function on it."""
        return callables.call_again(self._function(direction), outcome, values, mode, data_format)

    def call_together(self, direction: Direction, calls: Sequence[Call], rounds: int) -> list[Together]:
        """Call the function from as many threads at once as there are calls, ``rounds`` times each."""
        return callables.call_together(self._function(direction), calls, rounds)

    def _function(self, direction: Direction) -> Callable[..., Any]:
        function = self.function(direction)
        assert function is not None
        return function

    def run(self, case: Case) -> Outcome:
        """The outcome on a case; cases of up to 4,096 elements are run once."""
        outcome = self._outcomes.get(case)
        if outcome is None:
            small = math.prod(case.shape) <= _REMEMBERED
            call = self.try_input if small and case.layout == "c" else self.call
            outcome = call(case.direction, case.array(), case.mode, case.data_format)
            if small:
                self._outcomes[case] = outcome
            elif case.layout == "c":
                self._effects[case] = outcome._replace(output=None, returned=None, input_after=None)
        self._record.add(case, outcome)
        return outcome

    def seen(self) -> dict[tuple[Direction, Cell], list[tuple[Case, Outcome]]]:
        """The cases that have been run and are remembered, with their outcomes, by cell."""
        found: dict[tuple[Direction, Cell], list[tuple[Case, Outcome]]] = {}
        for case, outcome in self._outcomes.items():
            found.setdefault((case.direction, case.cell), []).append((case, outcome))
        return found

    def remember(self, case: Case, outcome: Outcome) -> None:
        """Take an outcome that is known from elsewhere for what a call on the case does."""
        self._outcomes[case] = outcome

    def effects(self, case: Case) -> Outcome:
        """What a call on a case does to arrays; of a large case, without any array.

        A large case is judged along the way, so that it need not be run again.
        """
        if case in self._effects:
            return self._effects[case]
        outcome = self.run(case)
        if case not in self._outcomes and (found := self.verdict(case, outcome))[0] is None:
            self._judged[case] = found
        return outcome

    def try_input(self, direction: Direction, array: Array, mode: Any, data_format: Any) -> Outcome:
        """The outcome on a native, C-contiguous array, which is called for once, under whatever name it comes."""
        takes = parameters(self._function(direction))
        asked = (mode if takes.mode else None, data_format if takes.data_format else None)
        key = (direction, *asked, oracle.name_of(array.dtype), array.shape, array.tobytes())
        outcome = self._of_inputs.get(key)
        if outcome is None:
            outcome = self._of_inputs[key] = self.call(direction, array.copy(), mode, data_format)
        return outcome

    @contextmanager
    def recording(self) -> Iterator[Record]:
        """Gather errors and the digest of what is run and judged in the block."""
        before, self._record = self._record, Record()
        try:
            yield self._record
        finally:
            self._record = before

    # What it accepts

    def covers(self, direction: Direction, cell: Cell) -> bool:
        """Whether a function is judged in the cell's mode and data format at all."""
        modes, data_formats = self.scope.get(direction, (tuple(MODES), DATA_FORMATS))
        return cell.mode in modes and cell.data_format in data_formats

    def accepts(self, direction: Direction, cell: Cell) -> bool:
        """Whether anything in the cell gives an answer; the rest of the cell must then be accepted too.

        False for an inverse and a dtype that is not floating. A broadcast along the wrong axis raises no error for
        images with a side of 3, and for no others: they are tried, too.
        """
        key = (direction, cell)
        if key not in self._accepts:
            tried = [panel(direction, cell, r) for r in regimes(direction, cell.dtype) if r != "nonfinite"]
            if tried:
                tried.append(replace(tried[0], shape=(3, 3, 3) if cell.rank == 3 else (1, 3, 3, 3)))
            self._accepts[key] = any(self.run(case).refusal is None for case in tried)
        return self._accepts[key]

    def refusal(self, direction: Direction, cell: Cell) -> Raised:
        """What it raises where it does not accept the cell."""
        return self.run(panel(direction, cell)).refusal or Raised("", "")

    def returns_pixels(self, cell: Cell) -> bool:
        """Whether the inverse returns an integer dtype in this cell."""
        output = self.run(panel("inverse", cell)).output
        return output is not None and output.dtype.kind in "iub"

    def takes(self, direction: Direction, keyword: str) -> bool:
        """Whether the function's signature names ``mode`` or ``data_format``."""
        function = self.function(direction)
        return function is not None and bool(getattr(parameters(function), keyword))

    # Judging

    def output(self, case: Case) -> Array:
        """What it returns on a case. Raises ``Unusable`` where that cannot be compared with anything."""
        return self.usable(case, self.run(case), case.array_shape)

    def usable(self, case: Case, outcome: Outcome, shape: tuple[int, ...]) -> Array:
        """The output for an array of ``shape``. Raises ``Unusable`` where it cannot be compared with anything."""
        finding = self.unusable(case, outcome, shape)
        if finding is not None:
            raise Unusable(finding)
        assert outcome.output is not None
        return outcome.output

    def unusable(self, case: Case, outcome: Outcome, shape: tuple[int, ...]) -> Finding | None:
        """The finding where an outcome on an array of ``shape`` cannot be compared with anything."""
        kind: Kind
        if outcome.refusal is not None:
            kind, about = "refusal", {"error": outcome.refusal, "shape": shape}
        elif outcome.problem is not None:
            kind, about = outcome.problem.kind, dict(outcome.problem.about)
        elif outcome.output is not None and outcome.output.shape != shape:
            kind, about = "shape", {"got": outcome.output.shape, "shape": shape}
        else:
            return None
        return Finding(kind, case.direction, case.cell, case, outcome=outcome, about=about)

    def judge(self, case: Case, outcome: Outcome | None = None) -> Finding | None:
        """Judge a case, or an outcome on it, against the definition; the error is recorded."""
        found = self._judged.get(case) if outcome is None else None
        if found is None:
            known = outcome or self.run(case)
            found = self.verdict(case, known)
            if outcome is None and (found[0] is None or case in self._outcomes):
                self._judged[case] = found
        elif case in self._outcomes:
            self.run(case)  # for the digest
        self._record.levels = max(self._record.levels, found[1])
        return found[0]

    def verdict(self, case: Case, outcome: Outcome, array: Array | None = None) -> tuple[Finding | None, float]:
        """The finding about an outcome on a case, if any, and its error in grey levels."""
        finding = self.unusable(case, outcome, case.array_shape if array is None else array.shape)
        if finding is not None:
            return finding, 0.0
        assert outcome.output is not None
        got = from_format(outcome.output, case.data_format)
        compare = tolerance.compare_exact if self.exact else tolerance.compare_faithful
        if case.regime == "bytes" and got.size > _REMEMBERED and _repeats(case, got):
            first = replace(case, shape=(1, 256, 3)).view()[0]
            result = compare(first, got.reshape(-1, 3)[:256], case.direction, case.mode)
            if result.ok:
                return self.wrong_dtype(case, outcome), result.levels
        if array is None and case.layout in SPREAD:
            array = case.array()  # which in one image may be broadcast along another axis than its values
        x = case.view() if array is None else from_format(array, case.data_format)
        result = compare(x, got, case.direction, case.mode)
        if result.ok:
            return self.wrong_dtype(case, outcome), result.levels
        if array is None:
            x = from_format(case.array(), case.data_format)
        worst = _worst(result, got)
        deviation = Deviation(x, got, result.expected, int(result.wrong.sum()), worst, result.levels)
        return Finding("value", case.direction, case.cell, case, None, outcome, deviation), result.levels

    def wrong_dtype(self, case: Case, outcome: Outcome) -> Finding | None:
        """The finding about an output's dtype, if it is wrong."""
        assert outcome.output is not None
        expected = oracle.computed_dtype(case.dtype, case.mode, case.direction)
        kind = self._wrong_dtype(case, outcome.output.dtype, expected)
        if kind is None:
            return None
        about = {"got": oracle.name_of(outcome.output.dtype), "expected": expected, "dtype": case.dtype}
        return Finding(kind, case.direction, case.cell, case, outcome=outcome, about=about)

    def _wrong_dtype(self, case: Case, dtype: np.dtype[Any], expected: str) -> Kind | None:
        got = oracle.name_of(dtype)
        if case.direction == "inverse" and dtype.kind in "iu":
            return "dtype_pixels" if np.iinfo(dtype).max < 255 else None
        if got == expected:
            return None
        if self.exact and case.direction == "forward":
            return "dtype_exact"
        if got not in oracle.FORMATS:
            return "dtype_integer"
        # A floating input's own precision, or float32, is enough.
        kept = case.dtype if case.dtype in oracle.FORMATS else "float32"
        needed = min(oracle.FORMATS[kept].precision, oracle.FORMATS["float32"].precision)
        return "dtype_narrow" if oracle.FORMATS[got].precision < needed else None

    def disagreement(self, kind: Kind, case: Case, x: Array, a: Array, b: Array, **about: Any) -> Finding | None:
        """The finding if two outputs for ``x`` that should agree do not: ``a`` where ``b`` is expected.

        All are channels last.
        """
        wrong = disagreeing(case.direction, case.mode, x, a, b, exact=self.exact)
        if not wrong.any():
            return None
        with np.errstate(all="ignore"):
            difference = np.abs(oracle.as_float64(a) - oracle.as_float64(b))
            if case.direction == "forward" and definition(case.mode).steps:
                difference = difference * oracle.grey_levels(case.mode)
        difference = np.where(wrong, np.nan_to_num(difference, nan=np.inf), 0.0)
        worst = worst_index(difference)
        deviation = Deviation(x, a, oracle.as_float64(b), int(wrong.sum()), worst, float(difference[worst]))
        return Finding(kind, case.direction, case.cell, case, deviation=deviation, about=about)


def disagreeing(
    direction: Direction, mode: ModeName, x: Array, a: Array, b: Array, *, exact: bool, at_least: float = 0.0
) -> npt.NDArray[np.bool_]:
    """Where two outputs for ``x`` that should agree do not. All channels last.

    ``exact``: compare bits. ``at_least``: a unit roundoff to grant, should the outputs' own be smaller.
    """
    if a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes():
        return np.zeros(a.shape, np.bool_)
    first, second = oracle.as_float64(a), oracle.as_float64(b)
    same = tolerance.same_values(first, second, signed_zero=exact)
    if exact or not definition(mode).steps or (direction == "inverse" and a.dtype.kind in "iub"):
        return ~same
    names = [n if n in oracle.FORMATS else "float32" for n in (oracle.name_of(a.dtype), oracle.name_of(b.dtype))]
    u = max(at_least, *(oracle.FORMATS[n].unit_roundoff for n in names))
    _, scale = oracle.real(x, direction, mode)
    coarsest = max(names, key=lambda name: oracle.FORMATS[name].unit_roundoff)
    with np.errstate(all="ignore"):
        near = np.abs(first - second) <= tolerance.agreement(mode) * u * tolerance.scaled(
            scale, direction, mode, coarsest
        )
        largest = tolerance.limit(oracle.name_of(x.dtype), *names)
        values = oracle.as_float64(x)
        beyond = ~(np.abs(values) <= largest).all(axis=-1, keepdims=True)
        sources = oracle.input_channels(direction, mode)
        if (reached := tolerance.within_reach(values[..., sources], direction, mode, coarsest)) is not None:
            beyond = beyond | ~reached
    return ~(same | near | (beyond & np.isfinite(first) & np.isfinite(second)))


def canonical_bytes(array: Array) -> bytes:
    """Bytes that are the same wherever the values, dtype and shape are: little-endian, C order, one NaN."""
    name = oracle.name_of(array.dtype)
    head = f"{name}{array.shape}".encode()
    if name != "bfloat16" and (sys.byteorder != "little" or not array.dtype.isnative):
        array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.kind == "f" or name == "bfloat16":
        missing = np.isnan(array)
        if np.count_nonzero(missing):
            array = np.where(missing, np.array(np.nan, array.dtype), array)
    return head + array.tobytes()


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same ``canonical_bytes``."""
    alike = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return alike or canonical_bytes(a) == canonical_bytes(b)


def _repeats(case: Case, got: Array) -> bool:
    """Whether each byte of a large image has the bits everywhere that it has in the first 256 pixels.

    Then these decide about the image, which the definition need not be asked for pixel by pixel.
    """
    places = byte_places(got.size // 3)
    bits = got.view(f"u{got.dtype.itemsize}")
    sources = oracle.input_channels(case.direction, case.mode) if case.direction == "forward" else range(3)
    planes = [bits[..., channel].reshape(-1) for channel in range(3)]
    return all(
        np.array_equal(plane[:256].take(places[source]), plane) for plane, source in zip(planes, sources, strict=True)
    )


def _worst(result: tolerance.Comparison, got: Array) -> tuple[int, ...]:
    """Index of the worst wrong element, among those of pixel size if there are any; NaN and infinities come first."""
    with np.errstate(all="ignore"):
        error = np.abs(oracle.as_float64(got) - result.expected)
    error = np.where(np.isnan(error), np.inf, error)
    usual = result.wrong & (np.abs(result.expected) <= 1024.0)
    error = np.where(usual if usual.any() else result.wrong, error, -1.0)
    return worst_index(error)


_NEAREST: tuple[ModeName, ...] = ("caffe", "tf", "torch")


def nearest_mode(
    subject: Subject, direction: Direction, data_formats: tuple[DataFormat, ...] = DATA_FORMATS
) -> ModeName | None:
    """Of caffe, tf and torch, the one whose definition a function without a ``mode`` parameter comes nearest to.

    The smallest error in any dtype decides: code may be right for bytes and take floats for something else.
    """
    errors: dict[ModeName | None, float] = {}
    for dtype, data_format, rank, mode in itertools.product(
        ("uint8", "float32", "float64", "float16") if direction == "forward" else ("float32", "float64"),
        data_formats,
        (4, 3),
        _NEAREST,
    ):
        case = panel(direction, Cell(mode, data_format, dtype, rank))
        outcome = subject.run(case)
        array = case.array()
        if outcome.output is None or outcome.output.shape != array.shape:
            continue
        target, _ = oracle.real(from_format(array, data_format), direction, mode)
        levels = oracle.grey_levels(mode) if direction == "forward" else 1.0
        got = oracle.as_float64(from_format(outcome.output, data_format))
        with np.errstate(all="ignore"):
            error = np.abs(got - target) * levels
        mean = float(np.mean(np.minimum(np.nan_to_num(error, nan=1e6, posinf=1e6), 1e6)))
        # Rounding errors do not choose: of equals, the first stays.
        errors[mode] = min(errors.get(mode, np.inf), round(mean, 2))
    return min(errors, key=errors.__getitem__, default=None)
