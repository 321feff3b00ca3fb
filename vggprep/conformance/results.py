"""What judging comes to: results and reports, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vggprep import html
from vggprep.cases import Cell
from vggprep.implementations import Implementation
from vggprep.spec import DataFormat, Direction, ModeName

Status = Literal["passed", "failed", "refused", "known", "skipped", "error"]
STATUSES: tuple[Status, ...] = ("passed", "failed", "refused", "known", "skipped", "error")

Example = Literal["", "pixel", "arguments", "case"]
"""What a reproducer calls the function on: nothing, one pixel, the arguments written out, or a case by name."""


@dataclass(frozen=True)
class Result:
    """One check in one cell of one implementation; ``clauses``: those of the specification that its failure breaks.

    ``status``: ``passed``; ``failed``; ``known`` (failed, and a ledger says why); ``refused`` (it raises for this
    mode, data format, dtype and rank); ``skipped`` (the check could not be run; ``message`` says why); ``error`` (the
    suite itself failed; ``message`` says how, ``traceback`` where). ``finding`` is the kind of what is wrong; failures
    with an equal ``cause`` are shown once. ``worst_levels`` is the largest error in grey levels: of a failure whose
    values are wrong, that of the finding; else that of all outputs judged. ``digest`` is the SHA-256 of these.
    """

    implementation: str
    check: str
    mode: ModeName
    data_format: DataFormat
    dtype: str
    rank: int
    status: Status
    message: str = ""
    diagnosis: str = ""
    reproducer: str = ""
    worst_levels: float = 0.0
    digest: str = ""
    seconds: float = 0.0
    direction: Direction = "forward"
    finding: str = ""
    cause: str = ""
    example: Example = ""
    traceback: str = ""
    clauses: tuple[str, ...] = ()

    @property
    def cell(self) -> Cell:
        """Where the result belongs."""
        return Cell(self.mode, self.data_format, self.dtype, self.rank)

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = [("status", self.status), ("cell", self.cell), ("message", self.message), ("behaves", self.diagnosis)]
        if self.clauses:
            rows.append(("breaks", ", ".join(self.clauses)))
        if self.worst_levels:
            rows.append(("worst error", f"{self.worst_levels:.4g} grey levels"))
        rows = [(word, said) for word, said in rows if said]
        shown = html.table(("check", self.check), rows, f"{self.implementation}, {self.direction}")
        return shown + (html.lines(self.reproducer) if self.reproducer else "")


@dataclass(frozen=True)
class Report:
    """Everything about one implementation: its results, and notes about how it was judged.

    ``guessed``: the modes that were judged because they are nearest, where neither the function nor its user names one.
    ``interrupted``: whether it was stopped before everything was judged.
    """

    implementation: Implementation
    results: list[Result]
    notes: list[str] = field(default_factory=list)
    guessed: Mapping[Direction, ModeName] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def conforms(self) -> bool:
        """Whether everything was judged, nothing failed and something passed (or failed as known)."""
        statuses = {result.status for result in self.results}
        return not self.interrupted and not statuses & {"failed", "error"} and bool(statuses & {"passed", "known"})

    def _repr_html_(self) -> str:
        """For notebooks."""
        word = "was interrupted" if self.interrupted else "conforms" if self.conforms else "does NOT conform"
        shown = summary(self.results, f"{self.implementation.name} {word} at level {self.implementation.level}")
        return shown + (html.lines("\n".join(f"note: {note}" for note in self.notes)) if self.notes else "")


def summary(results: Sequence[Result], caption: str) -> str:
    """An HTML table for notebooks: checks down, modes across, the number of cells of each status."""
    modes = list(dict.fromkeys(result.mode for result in results))
    rows = []
    for check in dict.fromkeys(result.check for result in results):
        found = {m: Counter(r.status for r in results if (r.check, r.mode) == (check, m)) for m in modes}
        rows.append([check, *(", ".join(f"{s} {f[s]}" for s in STATUSES if f[s]) for f in found.values())])
    return html.table(("check", *modes), rows, caption)


def exit_code(reports: Sequence[Report]) -> int:
    """0 if everything conforms, 3 if the suite itself failed anywhere, 130 after an interruption, else 1."""
    if any(result.status == "error" for report in reports for result in report.results):
        return 3
    if any(report.interrupted for report in reports):
        return 130
    return 0 if all(report.conforms for report in reports) else 1
