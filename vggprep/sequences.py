"""Sequences of calls: what a result owes to the calls before it, and what becomes of it in the calls after.

A Hypothesis state machine for any implementation: modes, data formats, dtypes, memory layouts, and where the function
takes them ``threads=`` and ``out=``, change from call to call. Imports Hypothesis, NumPy, the cases and the checks'
subject.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vggprep import strategies
from vggprep.cases import LAYOUTS, Array, Case, Cell, available_dtypes, dtype_of, regimes
from vggprep.checks.subject import Subject
from vggprep.functions import overlap
from vggprep.implementations import Implementation
from vggprep.implementations.callables import call
from vggprep.spec import DATA_FORMATS, MODES, RANKS, Direction


@dataclass(eq=False)
class _Kept:
    """A result that the caller still holds: the array that came back, and what it held then."""

    array: Array
    content: Array


def machine(implementation: Implementation | Callable[[], Implementation]) -> type[RuleBasedStateMachine]:
    """A state machine that calls the implementation again and again; its ``TestCase`` is a test.

    Every result must be what the definition says, at the implementation's level, whatever was called before; must
    stay as it is whatever is called after; and shares no memory with an earlier one, but for the ``out=`` that was
    given. Results are also written over, as a caller may. What was accepted once is not refused later.

    Args:
        implementation: what to call; or a function that makes it anew for each sequence, for one that remembers
            things between calls: Hypothesis then shrinks a failure to the few calls that show it.

    >>> import vggprep
    >>> from vggprep.sequences import machine
    >>> mine = vggprep.Implementation("mine", vggprep.preprocess_input, vggprep.deprocess_input)
    >>> TestMine = machine(mine).TestCase  # for pytest and unittest
    """

    class Calls(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            made = implementation if isinstance(implementation, Implementation) else implementation()
            self.subject = Subject(made)
            self.kept: list[_Kept] = []
            self.accepted: set[tuple[Direction, Cell]] = set()
            self.before: dict[Direction, list[Case]] = {"forward": [], "inverse": []}

        @rule(data=st.data())
        def preprocess(self, data: st.DataObject) -> None:
            self._call("forward", data)

        @rule(data=st.data())
        def deprocess(self, data: st.DataObject) -> None:
            self._call("inverse", data)

        @rule(data=st.data())
        def write_over_a_result(self, data: st.DataObject) -> None:
            writeable = [kept for kept in self.kept if kept.array.flags.writeable]
            if writeable:
                kept = data.draw(st.sampled_from(writeable))
                self.kept.remove(kept)
                kept.array.fill(77)
                self._look("writing over one result")

        def _call(self, direction: Direction, data: st.DataObject) -> None:
            function = self.subject.function(direction)
            if function is None:
                return
            case = self._case(direction, data)
            self.before[direction].append(case)
            words: dict[str, Any] = {}
            if _takes(function, "threads"):
                words["threads"] = data.draw(st.integers(1, 4), "threads")
            given = self._buffer(function, case, data) if _takes(function, "out") else None
            if given is not None:
                words["out"] = given.array
            what = f"{direction} {case.mode} {case.data_format} {case.dtype} {case.shape} {words}"
            note(what)
            outcome = call(functools.partial(function, **words), case.array(), case.mode, case.data_format)
            where = direction, case.cell
            if outcome.refusal is not None:
                refused_before = where not in self.accepted or case.layout == "big_endian"
                assert refused_before, f"refuses now what it accepted before: {what}: {outcome.refusal}"
                self._look(f"{what}, which it refuses")
                return
            self.accepted.add(where)
            finding = self.subject.judge(case, outcome=outcome)
            assert finding is None, f"{finding.message} in {what}, after other calls"
            if given is not None:
                assert outcome.returned is given.array, f"does not return the out= it was given: {what}"
            else:
                shared = any(overlap(outcome.returned, kept.array) for kept in self.kept)
                assert not shared, f"the result shares memory with an earlier one: {what}"
            self._look(what)
            self.kept.append(_Kept(outcome.returned, outcome.returned.copy()))

        def _case(self, direction: Direction, data: st.DataObject) -> Case:
            """A new case; or one of a kind that was there before, for caches and buffers to be met again."""
            before = self.before[direction]
            kinds = ["new", "other pixels", "same ends"] if before else ["new"]
            kind = data.draw(st.sampled_from(kinds[:2] if direction == "inverse" else kinds), "kind")
            like = None if kind == "new" else data.draw(st.sampled_from(before), "like")
            if like is None or kind == "other pixels":
                return data.draw(_cases(self.subject.implementation, direction, like), "case")
            pixels = np.frombuffer(like.pixels, dtype_of(like.dtype)).copy()
            pixels[len(pixels) // 2] = pixels[0]
            return replace(like, pixels=pixels.tobytes())

        def _buffer(self, function: Callable[..., Any], case: Case, data: st.DataObject) -> _Kept | None:
            """An earlier result to reuse as ``out=``, from now on not kept; a new one if none fits; or none."""
            if not data.draw(st.booleans(), "reuse a buffer"):
                return None
            outcome = call(function, case.array(), case.mode, case.data_format)
            if outcome.output is None:
                return None
            due = outcome.output
            fitting = [k for k in self.kept if k.array.shape == due.shape and k.array.dtype == due.dtype]
            if not fitting:
                return _Kept(np.full_like(due, 33), due)
            chosen = data.draw(st.sampled_from(fitting))
            self.kept.remove(chosen)
            return chosen

        def _look(self, what: str) -> None:
            """Every result that is still held must be what it was."""
            for kept in self.kept:
                same = kept.array.tobytes() == kept.content.tobytes()
                assert same, f"an earlier result has changed after {what}"

    return Calls


def _takes(function: Callable[..., Any], keyword: str) -> bool:
    try:
        return keyword in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _cases(implementation: Implementation, direction: Direction, like: Case | None) -> st.SearchStrategy[Case]:
    """Small cases of everything that is claimed, or of everything; or of the mode, format, dtype and shape of one."""
    cells = tuple(
        Cell(mode, data_format, dtype, rank)
        for mode in implementation.modes or MODES
        for data_format in implementation.data_formats or DATA_FORMATS
        for dtype in implementation.dtypes or available_dtypes()
        if regimes(direction, dtype) and (direction == "forward" or dtype in ("float16", "float32", "float64"))
        for rank in implementation.ranks or RANKS
    )
    native = implementation.native_only or implementation.writes_input
    shapes = ((2, 3, 3), (1, 2, 3, 3), (5, 3, 3), (2, 4, 3, 3)) if like is None else (like.shape,)
    return strategies.cases(
        cells=cells if like is None else [like.cell],
        direction=direction,
        layouts=("c",) if native else LAYOUTS,
        shapes=shapes,
    )
