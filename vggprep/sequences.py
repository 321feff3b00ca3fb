"""Sequences of calls: no result may depend on the calls before it, nor change in the calls after it.

A Hypothesis state machine for any implementation: modes, data formats, dtypes, memory layouts, and where the function
takes them ``threads=`` and ``out=``, change from call to call. Imports Hypothesis, NumPy, the cases, the checks'
subject, and what the engine judges a function in.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vggprep import strategies
from vggprep.cases import LAYOUTS, Array, Case, Cell, available_dtypes, dtype_of, regimes
from vggprep.checks.subject import Subject
from vggprep.conformance.engine import EVERYTHING, scope
from vggprep.conformance.words import sentence
from vggprep.implementations import Implementation
from vggprep.implementations.callables import call
from vggprep.kernels.job import share_memory
from vggprep.spec import RANKS, DataFormat, Direction, ModeName


def machine(implementation: Implementation | Callable[[], Implementation]) -> type[RuleBasedStateMachine]:
    """A state machine that calls the implementation again and again; its ``TestCase`` is a test.

    Every result must be what the definition says, at the implementation's level, whatever was called before; must
    stay as it is whatever is called after; and must share no memory with an earlier one, except for the ``out=``
    given. Results are also overwritten, as a caller may do. What was accepted once may not be refused later.

    Args:
        implementation: what to call; or a function that makes it anew for each sequence, for one that remembers
            things between calls: Hypothesis then shrinks a failure to the few calls that show it.

    >>> import vggprep
    >>> from vggprep.sequences import machine
    >>> mine = vggprep.Implementation("mine", vggprep.preprocess_input, vggprep.deprocess_input)
    >>> TestMine = machine(mine).TestCase  # for pytest and unittest
    """

    class Calls(_Calls):
        def make(self) -> Implementation:
            return implementation if isinstance(implementation, Implementation) else implementation()

    return Calls


@dataclass(eq=False)
class _Held:
    """A result that the caller still holds: the array that was returned, and what it held then."""

    array: Array
    content: Array


class _Calls(RuleBasedStateMachine):
    def make(self) -> Implementation:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.subject = Subject(self.make())
        self.held: list[_Held] = []
        self.accepted: set[tuple[Direction, Cell]] = set()
        self.before: dict[Direction, list[Case]] = {"forward": [], "inverse": []}
        # What a function does not take and does not claim is not varied, as in a check.
        self.scope = {d: scope(self.subject, d, EVERYTHING, []) for d in self.subject.directions}

    @rule(data=st.data())
    def preprocess(self, data: st.DataObject) -> None:
        self.call("forward", data)

    @rule(data=st.data())
    def deprocess(self, data: st.DataObject) -> None:
        self.call("inverse", data)

    @rule(data=st.data())
    def overwrite_a_result(self, data: st.DataObject) -> None:
        if writeable := [held for held in self.held if held.array.flags.writeable]:
            held = data.draw(st.sampled_from(writeable))
            self.held.remove(held)
            held.array.fill(77)
            self.check_held("overwriting one result")

    def call(self, direction: Direction, data: st.DataObject) -> None:
        function = self.subject.function(direction)
        if function is None:
            return
        case = self.draw_case(direction, data)
        self.before[direction].append(case)
        options: dict[str, Any] = {}
        if _takes(function, "threads"):
            options["threads"] = data.draw(st.integers(1, 4), "threads")
        buffer = self.draw_buffer(function, case, data) if _takes(function, "out") else None
        if buffer is not None:
            options["out"] = buffer.array
        what = f"{direction} {case.mode} {case.data_format} {case.dtype} {case.shape} {options}"
        note(what)
        outcome = call(functools.partial(function, **options), case.array(), case.mode, case.data_format)
        if outcome.refusal is not None:
            refused_before = (direction, case.cell) not in self.accepted or case.layout == "big_endian"
            assert refused_before, f"refuses now what it accepted before: {what}: {outcome.refusal}"
            self.check_held(f"{what}, which it refuses")
            return
        self.accepted.add((direction, case.cell))
        finding = self.subject.judge(case, outcome=outcome)
        assert finding is None, f"{sentence(finding)} in {what}, after other calls"
        if buffer is not None:
            assert outcome.returned is buffer.array, f"does not return the out= it was given: {what}"
        else:
            shared = any(share_memory(outcome.returned, held.array) for held in self.held)
            assert not shared, f"the result shares memory with an earlier one: {what}"
        self.check_held(what)
        self.held.append(_Held(outcome.returned, outcome.returned.copy()))

    def draw_case(self, direction: Direction, data: st.DataObject) -> Case:
        """A new case; or one like an earlier case, so that caches and buffers are met again."""
        before = self.before[direction]
        kinds = ["new", "other pixels", "same ends"] if before else ["new"]
        kind = data.draw(st.sampled_from(kinds[:2] if direction == "inverse" else kinds), "kind")
        like = None if kind == "new" else data.draw(st.sampled_from(before), "like")
        if like is None or kind == "other pixels":
            return data.draw(_cases(self.subject.implementation, direction, *self.scope[direction], like), "case")
        pixels = np.frombuffer(like.pixels, dtype_of(like.dtype)).copy()
        pixels[len(pixels) // 2] = pixels[0]
        return replace(like, pixels=pixels.tobytes())

    def draw_buffer(self, function: Callable[..., Any], case: Case, data: st.DataObject) -> _Held | None:
        """An earlier result to reuse as ``out=``, which is then no longer held; a new one if none fits; or none."""
        if not data.draw(st.booleans(), "reuse a buffer"):
            return None
        expected = call(function, case.array(), case.mode, case.data_format).output
        if expected is None:
            return None
        fitting = [h for h in self.held if (h.array.shape, h.array.dtype) == (expected.shape, expected.dtype)]
        if not fitting:
            return _Held(np.full_like(expected, 33), expected)
        chosen = data.draw(st.sampled_from(fitting))
        self.held.remove(chosen)
        return chosen

    def check_held(self, what: str) -> None:
        """Fail unless every result that is still held is what it was."""
        for held in self.held:
            assert held.array.tobytes() == held.content.tobytes(), f"an earlier result has changed after {what}"


def _takes(function: Callable[..., Any], keyword: str) -> bool:
    try:
        return keyword in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _cases(
    implementation: Implementation,
    direction: Direction,
    modes: Sequence[ModeName],
    data_formats: Sequence[DataFormat],
    like: Case | None,
) -> st.SearchStrategy[Case]:
    """Small cases in these modes and data formats, or of one case's cell and shape."""
    native = implementation.native_only or implementation.writes_input
    layouts = ("c",) if native else LAYOUTS
    if like is not None:
        return strategies.cases(cells=[like.cell], direction=direction, layouts=layouts, shapes=(like.shape,))
    cells = tuple(
        Cell(mode, data_format, dtype, rank)
        for mode in modes
        for data_format in data_formats
        for dtype in implementation.dtypes or available_dtypes()
        if regimes(direction, dtype) and (direction == "forward" or dtype in ("float16", "float32", "float64"))
        for rank in implementation.ranks or RANKS
    )
    shapes = ((2, 3, 3), (1, 2, 3, 3), (5, 3, 3), (2, 4, 3, 3))
    return strategies.cases(cells=cells, direction=direction, layouts=layouts, shapes=shapes)
