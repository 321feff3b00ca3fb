"""Running the checks: from an implementation to results, with known deviations, diagnoses and reproducers.

The one engine behind the command line, ``check_implementation`` and the pytest plugin. The corpus decides;
Hypothesis then explores the cells in which nothing has failed.
"""

from __future__ import annotations

import re
import time
import unittest
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from vggprep.cases import Cell, available_dtypes, cells, panel
from vggprep.checks import CHECKS, Check, Finding, Skipped, Subject
from vggprep.checks.subject import nearest_mode
from vggprep.conformance import ledger as ledgers
from vggprep.implementations import Implementation
from vggprep.implementations.callables import describe
from vggprep.oracle import FORMATS
from vggprep.spec import DATA_FORMATS, MODES, RANKS, DataFormat, Direction, ModeName

Status = Literal["passed", "failed", "refused", "known", "skipped"]


class Profile(NamedTuple):
    """How Hypothesis explores on top of the corpus.

    ``examples``: cases drawn for each direction of an implementation. ``random``: others in every run, and what is
    found is saved in the example database. ``replay``: what the database holds comes first.
    """

    examples: int
    random: bool
    replay: bool


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "dev": Profile(40, random=False, replay=True),
        "ci": Profile(400, random=False, replay=False),
        "nightly": Profile(4000, random=True, replay=True),
    }
)
"""``dev`` is the default. The verdict of ``ci`` depends on nothing but the code."""


@dataclass(frozen=True)
class Result:
    """One check in one cell of one implementation.

    ``status``: ``passed``; ``failed``; ``known`` (failed, and a ledger says why); ``refused`` (it raises for this
    mode, data format, dtype and rank); ``skipped`` (the check could not be run; ``message`` says why).
    ``worst_levels`` is the largest error in grey levels, ``digest`` the SHA-256 of the outputs judged.
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

    @property
    def cell(self) -> Cell:
        """Where the result belongs."""
        return Cell(self.mode, self.data_format, self.dtype, self.rank)

    @property
    def cause(self) -> tuple[str, ...]:
        """Failures with an equal cause are shown once."""
        if self.diagnosis:
            return (self.direction, self.diagnosis)
        message = re.sub(r"\d[\d.e+-]*", "#", re.sub(r" \([^)]*\)", "", self.message))
        if message.removeprefix("inverse: ").startswith(("returns ", "refuses ")):
            return (self.direction, message)  # whichever check met it
        return (self.direction, self.mode if "values wrong" in message else self.check, message)


@dataclass(frozen=True)
class Report:
    """Everything about one implementation: its results and what else is worth saying."""

    implementation: Implementation
    results: list[Result]
    notes: list[str] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """Whether nothing failed and something passed (or failed as known)."""
        statuses = {result.status for result in self.results}
        return "failed" not in statuses and bool(statuses & {"passed", "known"})


@dataclass(frozen=True)
class Selection:
    """What to judge; ``None`` for everything."""

    modes: tuple[str, ...] | None = None
    data_formats: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None


def judge(
    implementation: Implementation | Callable[..., Any],
    *,
    known: Sequence[ledgers.Entry] | None = None,
    selection: Selection = Selection(),
    profile: str = "dev",
    examples: int | None = None,
    seed: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Report:
    """Judge an implementation with the ledger entries that apply to it: what every door calls."""
    if not isinstance(implementation, Implementation):
        name = getattr(implementation, "__name__", type(implementation).__name__)
        implementation = Implementation(name, implementation)
    ledger = ledgers.shipped(implementation.name) if known is None else ledgers.given(known, implementation.name)
    report = run(
        implementation,
        ledger=ledger.entries,
        warn_stale=bool(ledger.borrowed_from),
        selection=selection,
        profile=profile,
        examples=examples,
        seed=seed,
        progress=progress,
    )
    if ledger.borrowed_from:
        report.notes.append(ledger.note)
    return report


def run(
    implementation: Implementation,
    *,
    ledger: Sequence[ledgers.Entry] = (),
    selection: Selection = Selection(),
    examples: int | None = None,
    seed: int | None = None,
    profile: str = "dev",
    checks: Sequence[Check] = CHECKS,
    warn_stale: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Report:
    """Judge an implementation: every check in every cell, then Hypothesis on top, as ``profile`` says.

    ``ledger`` holds the known deviations; an entry that matches judged cells of which none fails is stale, and
    fails the run unless ``warn_stale``. ``progress`` is called with a word and the fraction done.
    """
    with np.errstate(all="ignore"):  # whatever the process has set; the functions under test get NumPy's default
        chosen = PROFILES[profile]
        if examples is not None:
            chosen = chosen._replace(examples=examples)
        return _run(implementation, ledger, selection, chosen, seed, checks, warn_stale, progress)


def _run(
    implementation: Implementation,
    ledger: Sequence[ledgers.Entry],
    selection: Selection,
    profile: Profile,
    seed: int | None,
    checks: Sequence[Check],
    warn_stale: bool,
    progress: Callable[[str, float], None] | None,
) -> Report:
    subject = Subject(implementation)
    notes: list[str] = []
    chosen = _cells(subject, selection, notes)
    pending: list[tuple[Result, Finding | None]] = []
    for number, check in enumerate(checks):
        for at, cell in enumerate(chosen):
            if progress is not None and at % 16 == 0:
                progress(check.name, (number + at / len(chosen)) / len(checks))
            outcome = _judge(subject, check, cell)
            if outcome is not None:
                pending.append(outcome)
    _judge_claims(subject, chosen, pending)
    if not pending:
        notes.append("nothing was judged: no mode, data format and dtype that it claims was asked for")
    if profile.examples:
        if progress is not None:
            progress("exploring with Hypothesis", 1.0)
        _explore(subject, pending, profile, seed)
    results = _apply_ledger(implementation.name, pending, ledger, warn_stale, notes)
    results = diagnosed(subject, results, [finding for _, finding in pending])
    notes += _remarks(subject, chosen)
    return Report(implementation, results, notes)


# Which cells ------------------------------------------------------------------------------------------------------


def _cells(subject: Subject, selection: Selection, notes: list[str]) -> list[Cell]:
    implementation = subject.implementation
    for direction in subject.directions:
        subject.scope[direction] = scope(subject, direction, selection, notes)
    modes = tuple(m for m in MODES if any(m in of_direction for of_direction, _ in subject.scope.values()))
    formats = tuple(f for f in DATA_FORMATS if any(f in of_direction for _, of_direction in subject.scope.values()))
    dtypes = _among(selection.dtypes, tuple(implementation.dtypes or available_dtypes()))
    missing = [d for d in (selection.dtypes or implementation.dtypes or ("bfloat16",)) if d not in available_dtypes()]
    if missing:
        notes.append("bfloat16 is not judged: install ml_dtypes to have it")
        dtypes = tuple(d for d in dtypes if d not in missing)
    return cells(modes, formats, dtypes, tuple(implementation.ranks or RANKS))


def scope(
    subject: Subject, direction: Direction, selection: Selection, notes: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modes and data formats to judge a function in: claimed, taken as parameters, or the nearest."""
    implementation = subject.implementation
    who = "the inverse takes" if direction == "inverse" and len(subject.directions) > 1 else "takes"
    formats = tuple(implementation.data_formats or DATA_FORMATS)
    if implementation.data_formats is None and not subject.takes(direction, "data_format"):
        formats = ("channels_last",)
        notes.append(f"{who} no data_format: judged on channels_last only")
    modes = tuple(implementation.modes or MODES)
    if implementation.modes is None and not subject.takes(direction, "mode"):
        if selection.modes is not None:
            modes = selection.modes
        else:
            found = nearest_mode(subject, direction, formats)
            modes = (found or "caffe",)
            if found:
                notes.append(f"{who} no mode: judged as {found}, the nearest of caffe, tf and torch")
    return _among(selection.modes, modes), _among(selection.data_formats, formats)


def _among(selected: tuple[str, ...] | None, available: tuple[str, ...]) -> tuple[str, ...]:
    return available if selected is None else tuple(value for value in available if value in selected)


# One check in one cell --------------------------------------------------------------------------------------------


def _judge(subject: Subject, check: Check, cell: Cell) -> tuple[Result, Finding | None] | None:
    directions = [d for d in subject.directions if check.concerns(cell, d) and subject.covers(d, cell)]
    if not directions:
        return None
    started = time.perf_counter()
    subject.start_digest()
    findings: list[Finding] = []
    refusals: list[str] = []
    skips: list[str] = []
    judged = False
    for direction in directions:
        if not subject.accepts(direction, cell):
            refusals.append(("inverse: " if direction == "inverse" else "") + subject.refusal(direction, cell))
            continue
        try:
            for finding in check.judge(subject, cell, direction):
                judged = True
                if finding is not None:
                    findings.append(finding)
        except Skipped as why:
            skips.append(str(why))
        except Exception as error:
            text = f"the suite could not look at what came back: {describe(error)}"
            findings.append(Finding(direction, cell, text, panel(direction, cell)))
    status: Status
    worst: Finding | None = None
    if findings:
        # The worst tells most, if it is of pixel size; of sizes, the smallest that fails.
        worst = findings[0] if check.name == "sizes" else max(findings, key=lambda f: (not _far_out(f), f.levels))
        status, message = "failed", worst.message
    elif judged:
        status, message = "passed", "; ".join(f"refused: {r}" for r in refusals)
    elif refusals:
        status, message = "refused", "; ".join(refusals)
    elif skips:
        status, message = "skipped", "; ".join(skips)
    else:
        return None  # the check has nothing to say about this cell
    result = Result(
        subject.implementation.name,
        check.name,
        *cell,
        status=status,
        message=message,
        worst_levels=max(worst.levels if worst else 0.0, subject.levels),
        digest=subject.digest() if judged else "",
        seconds=time.perf_counter() - started,
        direction=worst.direction if worst else directions[0],
    )
    return result, worst


def _far_out(finding: Finding) -> bool:
    return finding.case is not None and finding.case.regime in ("wide", "huge")


def _judge_claims(subject: Subject, chosen: Sequence[Cell], pending: list[tuple[Result, Finding | None]]) -> None:
    """Fail what is claimed and refused: the first row of each such cell says so."""
    implementation = subject.implementation
    claims: list[tuple[Any, ...]] = [
        tuple(getattr(implementation, name)) if getattr(implementation, name) is not None else (None,)
        for name in ("modes", "data_formats", "dtypes", "ranks")
    ]
    for direction in subject.directions:
        judged = [c for c in chosen if subject.covers(direction, c) and (direction == "forward" or c.dtype in FORMATS)]
        for claim in product(*claims):
            claimed = [
                c for c in judged if all(want is None or want == have for want, have in zip(claim, c, strict=True))
            ]
            if not claimed or any(subject.accepts(direction, c) for c in claimed):
                continue
            words = ", ".join(
                str(word) if not isinstance(word, int) else f"rank {word}" for word in claim if word is not None
            )
            text = f"refuses {words}, which it claims" if words else "refuses every mode, data format, dtype and rank"
            cell = claimed[0]
            prefix = "inverse: " if direction == "inverse" else ""
            message = f"{prefix}{text}: {subject.refusal(direction, cell)}"
            for at, (result, _) in enumerate(pending):
                if result.cell == cell and result.status == "refused":
                    failed = replace(result, status="failed", message=message, direction=direction)
                    pending[at] = (failed, Finding(direction, cell, message, panel(direction, cell)))
                    break


# Exploration ------------------------------------------------------------------------------------------------------


class _Counterexample(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _explore(
    subject: Subject, pending: list[tuple[Result, Finding | None]], profile: Profile, seed: int | None
) -> None:
    """Let Hypothesis look for a failure in the cells that have none; a counterexample fails the cell's row."""
    from vggprep import strategies
    from vggprep.cases import LAYOUTS, PANEL

    bad = {result.cell for result, _ in pending if result.status == "failed"}
    names: dict[Direction, tuple[str, ...]] = {
        "forward": ("value",),
        "inverse": ("restores_floats", "restores_pixels"),
    }
    for direction in subject.directions:
        rows = {
            result.cell: at
            for at, (result, _) in enumerate(pending)
            if result.status == "passed" and result.check in names[direction]
            if subject.covers(direction, result.cell) and result.cell not in bad
        }
        if not rows:
            continue
        native = subject.implementation.native_only or subject.implementation.writes_input
        layouts = ("c",) if native else LAYOUTS
        shapes = tuple(PANEL.values()) if subject.implementation.compiled else None
        cases = strategies.cases(cells=list(rows), direction=direction, layouts=layouts, shapes=shapes)
        # What is saved stands for draws from these strategies, and for no others.
        about = repr((subject.implementation.name, subject.exact, direction, list(rows), layouts, shapes))
        found = _search(subject, cases, about, profile, seed)
        if found is not None:
            at = rows[found.cell]
            message = f"{found.message} (found by Hypothesis)"
            failed = replace(
                pending[at][0], status="failed", message=message, worst_levels=found.levels, direction=direction
            )
            pending[at] = (failed, replace(found, message=message))


def _search(subject: Subject, cases: Any, about: str, profile: Profile, seed: int | None) -> Finding | None:
    """What Hypothesis finds among the cases, if anything: of what the database holds, then of new ones."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Flaky

    from vggprep.conformance import examples

    def explore(case: Any) -> None:
        outcome = subject.call(case.direction, case.array(), case.mode, case.data_format)
        if outcome.refusal is not None and case.layout == "big_endian":
            return  # as it may
        finding = subject.judge(case, outcome=outcome)
        if finding is not None:
            seen.append(finding)
            raise _Counterexample(finding)

    seen: list[Finding] = []
    usual = settings(
        max_examples=profile.examples,
        derandomize=not profile.random and seed is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    passes = [usual]
    if profile.replay:
        database = examples.database(about)
        if profile.random:
            passes = [settings(usual, database=database, phases=[Phase.reuse, Phase.generate, Phase.shrink])]
        else:
            passes.insert(0, settings(usual, derandomize=False, database=database, phases=[Phase.reuse, Phase.shrink]))
    for each in passes:
        test: Any = each(given(cases)(explore))  # type: ignore[no-untyped-call]
        if seed is not None:
            test = seeded(seed)(test)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                test()
        except unittest.SkipTest:  # what Hypothesis says of an empty database
            continue
        except (_Counterexample, Flaky):  # the simplest comes last; what is wrong once and right again is wrong, too
            return seen[-1]
    return None


# Ledger -----------------------------------------------------------------------------------------------------------


def _apply_ledger(
    name: str,
    pending: Sequence[tuple[Result, Finding | None]],
    ledger: Sequence[ledgers.Entry],
    warn_stale: bool,
    notes: list[str],
) -> list[Result]:
    results = [result for result, _ in pending]
    for entry in ledger:
        matched = [
            at
            for at, result in enumerate(results)
            if result.status in ("passed", "failed", "known") and entry.matches(name, result.check, result.cell)
        ]
        failing = [at for at in matched if results[at].status in ("failed", "known")]
        for at in failing:
            if results[at].status == "failed":
                link = f" ({entry.link})" if entry.link else ""
                results[at] = replace(results[at], status="known", diagnosis=f"{entry.reason}{link}")
        if matched and not failing:
            message = f"stale ledger entry, nothing fails any more: {entry.reason}"
            if warn_stale:
                notes.append(message)
            else:
                results.append(replace(results[matched[0]], status="failed", message=message, reproducer=""))
    return results


# Diagnosis --------------------------------------------------------------------------------------------------------


def diagnosed(subject: Subject, results: list[Result], findings: Sequence[Finding | None]) -> list[Result]:
    """The results with a cause and a reproducer for each failed one that has a finding, one a result."""
    from vggprep.conformance import diagnosis

    wanted = [at for at, finding in enumerate(findings) if finding is not None and results[at].status == "failed"]
    by_case: dict[Any, Any] = {}
    likely: dict[Any, Any] = {}
    candidates = []
    for at in wanted:
        finding = findings[at]
        assert finding is not None
        key: Any = finding.case if finding.given is None and finding.case is not None else (at,)
        if key not in by_case:
            kind = (finding.direction, finding.cell.mode)
            by_case[key] = diagnosis.behaves_like(subject, finding, likely.get(kind, ()))
            likely[kind] = by_case[key] or likely.get(kind, ())
        candidates.append(by_case[key])
    names = [results[at].check for at in wanted]
    results = list(results)
    for at, fault in zip(wanted, diagnosis.choose(candidates, names), strict=True):
        text = f"behaves like {fault.name}: {fault.story}" if fault else ""
        if fault and fault.origin:
            text += f" [{fault.origin}]"
        results[at] = replace(results[at], diagnosis=text)
    shown: dict[Any, str] = {}
    for at in wanted:
        finding = findings[at]
        assert finding is not None
        key = (results[at].cause, finding.cell.dtype) if subject.implementation.compiled else at
        if key not in shown:
            shown[key] = diagnosis.reproduce(subject, finding)
        results[at] = replace(results[at], reproducer=shown[key])
    return results


def _remarks(subject: Subject, chosen: Sequence[Cell]) -> list[str]:
    notes = sorted(subject.remarks)[:5]
    for direction in subject.directions:
        accepted = {c.dtype for c in chosen if subject.covers(direction, c) and subject.accepts_quietly(direction, c)}
        if accepted and accepted <= {"float16", "bfloat16"}:
            word = "the inverse" if direction == "inverse" else "it"
            notes.append(f"{word} accepts half precision only: the verdict rests on coarse rounding")
    return notes


# The Python door --------------------------------------------------------------------------------------------------


def check_implementation(
    implementation: Implementation | Callable[..., Any],
    *,
    expected_failures: Mapping[str, str] | Sequence[Any] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
    examples: int | None = None,
    seed: int | None = None,
) -> list[Result]:
    """Judge an implementation of ``preprocess_input``, of its inverse, or of both.

    Args:
        implementation: an ``Implementation``, or a function for the forward direction.
        expected_failures: ``{check: reason}``, or a list of ledger entries (mappings with ``check``, ``reason``
            and optionally ``mode``, ``data_format``, ``dtype``, ``rank``). One that no longer fails is a failure.
        on_fail: ``"raise"`` one ``AssertionError`` after all checks, ``"warn"``, or ``None``.
        examples: how many cases Hypothesis draws on top of the corpus; 0 for none.
        seed: makes Hypothesis draw other cases; without, it draws the same ones every time.

    Returns:
        One result for each (check, mode, data_format, dtype, rank).

    >>> import vggprep
    >>> results = vggprep.check_implementation(vggprep.preprocess_input, examples=0)
    >>> {result.status for result in results} <= {"passed", "skipped"}
    True
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f'on_fail must be "raise", "warn" or None; got {on_fail!r}')
    if not isinstance(implementation, Implementation):
        name = getattr(implementation, "__name__", type(implementation).__name__)
        implementation = Implementation(name, implementation)
    report = run(implementation, ledger=ledgers.expected(expected_failures), examples=examples, seed=seed)
    if not report.conforms and on_fail is not None:
        from vggprep.conformance.report import failure_text

        text = failure_text([report])
        if on_fail == "raise":
            raise AssertionError(text)
        warnings.warn(text, stacklevel=2)
    return report.results
