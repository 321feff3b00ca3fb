"""``Check``: one property, one function, one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from vggprep.cases import Cell
from vggprep.checks.findings import Finding
from vggprep.checks.subject import Subject
from vggprep.spec import DIRECTIONS, FLOATS, INTEGERS, Direction

Judge = Callable[[Subject, Cell, Direction], Iterable[Finding | None]]
Domain = Literal["all", "integers", "floats"]


@dataclass(frozen=True)
class Check:
    """A property of an implementation, judged cell by cell.

    ``sentence`` is what the report prints. ``judge`` yields what is wrong in a cell (``None`` where nothing is); it
    raises ``Skipped`` where it cannot be run, ``Unusable`` where an output cannot be compared with anything. ``domain``
    says for which dtypes there is anything to judge. ``clauses``: those of the specification that it tests.
    """

    name: str
    sentence: str
    judge: Judge
    directions: tuple[Direction, ...]
    domain: Domain
    clauses: tuple[str, ...] = ()

    def applies_to(self, cell: Cell, direction: Direction) -> bool:
        """Whether there is anything to judge: inverses take floats only."""
        if direction not in self.directions or (direction == "inverse" and cell.dtype not in FLOATS):
            return False
        return self.domain == "all" or cell.dtype in (INTEGERS if self.domain == "integers" else FLOATS)


def check(*directions: Direction, domain: Domain = "all", clauses: Iterable[str] = ()) -> Callable[[Judge], Check]:
    """Make a check of a function; its docstring is the sentence that the report prints."""

    def make(judge: Judge) -> Check:
        sentence = " ".join((judge.__doc__ or "").split())
        return Check(judge.__name__, sentence, judge, directions or DIRECTIONS, domain, tuple(clauses))

    return make
