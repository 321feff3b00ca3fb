"""``Finding``: one thing that is wrong, as data. Its sentence is made in ``conformance.words``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.cases import Case, Cell
from vggprep.implementations.callables import Outcome, ProblemKind
from vggprep.spec import Direction

Array = npt.NDArray[Any]

Kind = Literal[
    ProblemKind,
    # What came back: against the definition
    "value", "lost_pixels", "shape", "dtype_exact", "dtype_integer", "dtype_narrow", "dtype_pixels",
    # What was refused
    "refusal", "claim",
    # Against another call
    "integer_dtypes", "layout", "batch_of_three", "batch", "permutation", "channels", "memory_layout", "state",
    "stale", "falling", "rising",
    # What happened to arrays, and in threads
    "mutation", "other_write", "late_write", "input_returned", "view_returned", "overwritten_result",
    "thread_error", "thread_race",
    # Errors that should have been raised
    "unknown_accepted", "alpha_dropped",
    # Not about a call
    "missing_output", "stale_entry", "expired_entry",
]  # fmt: skip


class Arguments(NamedTuple):
    """What a function was called with; mode and data format may be unknown names."""

    array: Array
    mode: Any
    data_format: Any


@dataclass(frozen=True, eq=False)
class Deviation:
    """Values that are not as expected. ``x``, ``got`` and ``expected`` are channels last.

    ``wrong`` counts the wrong elements, ``worst`` is the index of the worst one, ``levels`` its error in grey levels.
    """

    x: Array
    got: Array
    expected: Array
    wrong: int
    worst: tuple[int, ...]
    levels: float


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that is wrong: what, where, in which call, and by how much.

    ``case`` is the input; ``given`` holds the arguments where they are not simply the case. ``outcome`` is what the
    call did that the finding was made from. ``deviation`` is there when values differ. ``about`` fills the sentence of
    the kind. ``explored``: whether Hypothesis found it.
    """

    kind: Kind
    direction: Direction
    cell: Cell
    case: Case | None = None
    given: Arguments | None = None
    outcome: Outcome | None = None
    deviation: Deviation | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    explored: bool = False

    @property
    def levels(self) -> float:
        """The largest error in grey levels, 0 where no values differ."""
        return self.deviation.levels if self.deviation else 0.0

    def arguments(self) -> Arguments | None:
        """A new copy of the arguments of the call, if it is about one."""
        if self.given is not None:
            return self.given._replace(array=self.given.array.copy())
        if self.case is None:
            return None
        return Arguments(self.case.array(), self.case.mode, self.case.data_format)


def worst_index(error: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """The index of the largest element."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
