"""The implementation under test as the checks see it: what it accepts, and what it did on a case.

Runs each small case once and remembers the outcome, so that checks can look at the same call from their own
angles. ``Finding`` is what a check returns when something is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Case, Cell, from_format, panel, regimes
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Outcome, call, parameters
from vggprep.spec import DATA_FORMATS, MODES, Direction

Array = npt.NDArray[Any]

_REMEMBERED = 4096  # elements: outputs of larger cases are not kept


class Skipped(Exception):
    """Raised by a check that cannot be run on a cell; says why."""


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that is wrong.

    ``x``, ``got`` and ``expected`` are channels last; they are there when values are wrong, and then ``worst`` is
    the index of the worst element. ``levels`` is the error in grey levels. ``given`` is what it was called with,
    as (array, mode, data format), where that is not simply the case; ``hint`` is a last line for the reproducer.
    """

    direction: Direction
    cell: Cell
    message: str
    case: Case | None = None
    x: Array | None = None
    got: Array | None = None
    expected: Array | None = None
    worst: tuple[int, ...] | None = None
    levels: float = 0.0
    given: tuple[Array, Any, Any] | None = None
    hint: str = ""

    def input(self) -> tuple[Array, Any, Any]:
        """A new copy of what it was called with: array, mode, data format."""
        if self.given is not None:
            return (self.given[0].copy(), *self.given[1:])
        assert self.case is not None
        return self.case.array(), self.case.mode, self.case.data_format


class Subject:
    """An implementation at a level, with what is to be judged of it."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.exact = implementation.level == "exact"
        self._outcomes: dict[Case, Outcome] = {}
        self._accepts: dict[tuple[Direction, Cell], bool] = {}
        self.remarks: set[str] = set()
        self.scope: dict[Direction, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._digest = hashlib.sha256()
        self.levels = 0.0
        self.units = 0.0

    # Calling

    def function(self, direction: Direction) -> Callable[..., Any] | None:
        """The forward or the inverse function, if there is one."""
        return self.implementation.preprocess if direction == "forward" else self.implementation.deprocess

    @property
    def directions(self) -> tuple[Direction, ...]:
        """What there is to judge."""
        both: tuple[Direction, Direction] = ("forward", "inverse")
        return tuple(d for d in both if self.function(d) is not None)

    def call(self, direction: Direction, array: Array, mode: Any, data_format: Any) -> Outcome:
        """Call on an array that is given away."""
        function = self.function(direction)
        assert function is not None
        outcome = call(function, array, mode, data_format)
        self.remarks |= outcome.remarks
        return outcome

    def run(self, case: Case) -> Outcome:
        """What it does on a case. Cases of up to 4,096 elements are run once."""
        outcome = self._outcomes.get(case)
        if outcome is None:
            outcome = self.call(case.direction, case.array(), case.mode, case.data_format)
            if np.prod(case.shape, dtype=np.int64) <= _REMEMBERED:
                self._outcomes[case] = outcome
        if outcome.output is not None and outcome.output.size <= _REMEMBERED:
            self._digest.update(canonical_bytes(outcome.output))
        return outcome

    def start_digest(self) -> None:
        """Forget what ``digest``, ``levels`` and ``units`` have gathered."""
        self._digest = hashlib.sha256()
        self.levels = self.units = 0.0

    def digest(self) -> str:
        """SHA-256 of the outputs of the small cases run since ``start_digest``, all NaNs made one."""
        return self._digest.hexdigest()

    # What it accepts

    def covers(self, direction: Direction, cell: Cell) -> bool:
        """Whether a function is judged in the cell's mode and data format at all."""
        modes, data_formats = self.scope.get(direction, (tuple(MODES), DATA_FORMATS))
        return cell.mode in modes and cell.data_format in data_formats

    def accepts(self, direction: Direction, cell: Cell) -> bool:
        """Whether anything in the cell gives an answer; the rest of the cell must then be accepted too.

        A broadcast along the wrong axis fits, without an error, images with a side of 3 alone: they are tried too.
        """
        key = (direction, cell)
        if key not in self._accepts:
            tried = [panel(direction, cell, r) for r in regimes(direction, cell.dtype) if r != "nonfinite"]
            lead = () if cell.rank == 3 else (1,)
            tried.append(replace(tried[0], shape=(*lead, 3, 3, 3)))
            self._accepts[key] = any(self.run(case).refusal is None for case in tried)
        return self._accepts[key]

    def accepts_quietly(self, direction: Direction, cell: Cell) -> bool:
        """``accepts``, for inverses too, which are only ever given floats."""
        return bool(regimes(direction, cell.dtype)) and self.accepts(direction, cell)

    def refusal(self, direction: Direction, cell: Cell) -> str:
        """What it says when it does not accept the cell."""
        return self.run(panel(direction, cell)).refusal or ""

    def returns_pixels(self, cell: Cell) -> bool:
        """Whether the inverse returns an integer dtype in this cell."""
        output = self.run(panel("inverse", cell)).output
        return output is not None and output.dtype.kind in "iub"

    def takes(self, direction: Direction, keyword: str) -> bool:
        """Whether the function's signature names ``mode`` or ``data_format``."""
        function = self.function(direction)
        return function is not None and bool(getattr(parameters(function), keyword))

    # Judging

    def judge(self, case: Case, array: Array | None = None, outcome: Outcome | None = None) -> Finding | None:
        """Judge what it does on a case against the definition: refusals, types, shapes, dtypes and values."""
        outcome = self.run(case) if outcome is None else outcome
        array = case.array() if array is None else array
        x = from_format(array, case.data_format)
        finding = self.unusable(case, array, outcome)
        if finding is not None:
            return finding
        assert outcome.output is not None
        wrong_dtype = self.wrong_dtype(case, outcome.output)
        got = from_format(outcome.output, case.data_format)
        compare = oracle.compare_exact if self.exact else oracle.compare_faithful
        result = compare(x, got, case.direction, case.mode)
        self.levels = max(self.levels, result.levels)
        self.units = max(self.units, result.units)
        if result.ok:
            return None if wrong_dtype is None else Finding(case.direction, case.cell, wrong_dtype, case, x=x, got=got)
        worst = _worst(result, got)
        message = (
            f"{_of(case.direction)}{int(result.wrong.sum())} of {result.wrong.size} values wrong, "
            f"up to {format_levels(result.levels)}"
        )
        return Finding(case.direction, case.cell, message, case, x, got, result.expected, worst, result.levels)

    def unusable(self, case: Case, array: Array, outcome: Outcome) -> Finding | None:
        """The finding if what came back cannot be compared with anything."""
        where = (case.direction, case.cell)
        if outcome.refusal is not None:
            what = f"refuses this input ({case.layout} layout, {case.regime}, shape {array.shape}) and accepts others"
            return Finding(*where, f"{_of(case.direction)}{what} of the same kind: {outcome.refusal}", case)
        if outcome.problem is not None:
            return Finding(*where, f"{_of(case.direction)}{outcome.problem}", case)
        assert outcome.output is not None
        if outcome.output.shape != array.shape:
            return Finding(
                *where,
                f"{_of(case.direction)}returns shape {outcome.output.shape} for an input of shape {array.shape}",
                case,
                x=from_format(array, case.data_format),
            )
        return None

    def wrong_dtype(self, case: Case, output: Array) -> str | None:
        """What is wrong with the dtype of an output, if anything."""
        got = oracle.name_of(output.dtype)
        if case.direction == "inverse" and output.dtype.kind in "iu":
            if np.iinfo(output.dtype).max < 255:
                return f"inverse: returns {got}, which cannot hold 0..255"
            return None
        expected = oracle.computed_dtype(case.dtype, case.mode, case.direction)
        if self.exact and case.direction == "forward":
            return None if got == expected else f"returns {got} for {case.dtype}, where Keras's arrays give {expected}"
        if got == expected:
            return None
        # A floating input's own precision, or float32, is enough.
        kept = case.dtype if case.dtype in oracle.FORMATS else "float32"
        needed = min(oracle.FORMATS[kept].precision, oracle.FORMATS["float32"].precision)
        if got not in oracle.FORMATS:
            return f"{_of(case.direction)}returns {got} for {case.dtype}, not a floating dtype"
        if oracle.FORMATS[got].precision < needed:
            return f"{_of(case.direction)}returns {got} for {case.dtype}, which is too narrow"
        return None

    def agree(self, case: Case, a: Array, b: Array, x: Array, *, at_least: float = 0.0) -> npt.NDArray[np.bool_]:
        """Where two outputs that should agree do not. All channels last, of the case's direction and mode.

        ``at_least``: a unit roundoff to grant, should the outputs' own be smaller.
        """
        first, second = oracle.as_float64(a), oracle.as_float64(b)
        same = oracle.same_values(first, second, signed_zero=self.exact)
        if self.exact or not MODES[case.mode].steps:
            return ~same
        if case.direction == "inverse" and a.dtype.kind in "iub":
            return ~same
        names = [n if n in oracle.FORMATS else "float32" for n in (oracle.name_of(a.dtype), oracle.name_of(b.dtype))]
        u = max(at_least, *(oracle.FORMATS[n].unit_roundoff for n in names))
        _, scale = oracle.real(x, case.direction, case.mode)
        with np.errstate(all="ignore"):
            near = np.abs(first - second) <= oracle.AGREEMENT_BOUND * u * scale
            beyond = ~(np.abs(oracle.as_float64(x)) <= oracle.limit(oracle.name_of(x.dtype), *names)).all(
                axis=-1, keepdims=True
            )
        return ~(same | near | (beyond & np.isfinite(first) & np.isfinite(second)))

    def disagreement(self, case: Case, x: Array, a: Array, b: Array, message: str) -> Finding | None:
        """The finding if two outputs that should agree do not. All channels last."""
        wrong = self.agree(case, a, b, x)
        if not wrong.any():
            return None
        with np.errstate(all="ignore"):
            difference = np.abs(oracle.as_float64(a) - oracle.as_float64(b))
            if case.direction == "forward" and MODES[case.mode].steps:
                difference = difference * oracle.grey_levels(case.mode)
        difference = np.where(wrong, np.nan_to_num(difference, nan=np.inf), 0.0)
        worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), difference.shape))
        return Finding(
            case.direction,
            case.cell,
            f"{_of(case.direction)}{message}: {int(wrong.sum())} of {wrong.size} values, "
            f"by up to {format_levels(float(difference[worst]))}",
            case,
            x,
            a,
            oracle.as_float64(b),
            worst,
            float(difference[worst]),
        )


def canonical_bytes(array: Array) -> bytes:
    """Bytes that are the same wherever the values, dtype and shape are: little-endian, C order, one NaN."""
    head = f"{oracle.name_of(array.dtype)}{array.shape}".encode()
    if oracle.name_of(array.dtype) != "bfloat16":
        array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.kind == "f" or oracle.name_of(array.dtype) == "bfloat16":
        missing = np.isnan(array)
        if missing.any():
            array = np.where(missing, np.array(np.nan, array.dtype), array)
    return head + array.tobytes()


def format_levels(levels: float) -> str:
    """An error in grey levels, readable."""
    if not np.isfinite(levels):
        return "beyond any number of grey levels"
    number = f"{levels:.3g}" if levels < 1000 else f"{levels:.3e}"
    return f"{number} grey level{'' if number == '1' else 's'}"


def _of(direction: Direction) -> str:
    return "inverse: " if direction == "inverse" else ""


def _worst(result: oracle.Comparison, got: Array) -> tuple[int, ...]:
    """Index of the worst wrong element, among those of pixel size if there are any; NaN and infinities come first."""
    with np.errstate(all="ignore"):
        error = np.abs(oracle.as_float64(got) - result.expected)
    error = np.where(np.isnan(error), np.inf, error)
    usual = result.wrong & (np.abs(result.expected) <= 1024.0)
    error = np.where(usual if usual.any() else result.wrong, error, -1.0)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))


def nearest_mode(subject: Subject, direction: Direction, data_formats: tuple[str, ...] = DATA_FORMATS) -> str | None:
    """Of caffe, tf and torch, the one whose definition a function without a ``mode`` parameter comes nearest to."""
    for data_format in data_formats:
        for dtype in ("float32", "uint8", "float64", "float16") if direction == "forward" else ("float32", "float64"):
            for rank in (4, 3):
                errors = {}
                for mode in ("caffe", "tf", "torch"):
                    case = panel(direction, Cell(mode, data_format, dtype, rank))
                    outcome = subject.run(case)
                    array = case.array()
                    if outcome.output is None or outcome.output.shape != array.shape:
                        continue
                    x = from_format(array, data_format)
                    target, _ = oracle.real(x, direction, mode)
                    levels = oracle.grey_levels(mode) if direction == "forward" else 1.0
                    got = oracle.as_float64(from_format(outcome.output, data_format))
                    with np.errstate(all="ignore"):
                        error = np.abs(got - target) * levels
                    errors[mode] = float(np.mean(np.minimum(np.nan_to_num(error, nan=1e6, posinf=1e6), 1e6)))
                if errors:
                    return min(errors, key=errors.__getitem__)
    return None
