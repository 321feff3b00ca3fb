"""Running the checks: every check in every cell, then exploration, the ledger and diagnosis; results are built last."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal, TypeVar

import numpy as np

from vggprep import oracle
from vggprep.cases import Cell, available_dtypes, cells, panel
from vggprep.checks import CHECKS, Check, Finding, Skipped, Subject, Unusable, clauses_broken
from vggprep.checks.subject import nearest_mode
from vggprep.conformance.diagnosis import UNEXPLAINED, Explanation, explain, named
from vggprep.conformance.ledger import Entry
from vggprep.conformance.profiles import PROFILES, Profile
from vggprep.conformance.results import Report, Result, Status
from vggprep.conformance.words import cause_of, directed, sentence
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Raised, describe
from vggprep.spec import DATA_FORMATS, FLOATS, MODES, RANKS, DataFormat, Direction, ModeName, known


@dataclass(frozen=True)
class Selection:
    """What to judge; ``None`` for everything. ``model``: the model whose mode ``modes`` is, if one was named.

    ``modes``: names, or modes, which are then known by theirs.
    """

    modes: tuple[ModeName, ...] | None = None
    data_formats: tuple[DataFormat, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if self.modes is not None:
            object.__setattr__(self, "modes", tuple(map(known, self.modes)))


EVERYTHING = Selection()


@dataclass(frozen=True, eq=False)
class Judgement:
    """One check in one cell before it is explained and excused: what was found, or why there is nothing."""

    check: str
    cell: Cell
    direction: Direction
    status: Status
    finding: Finding | None = None
    refusals: tuple[tuple[Direction, Raised], ...] = ()
    reasons: tuple[str, ...] = ()
    crash: BaseException | None = None
    levels: float = 0.0
    digest: str = ""
    seconds: float = 0.0


def run(
    implementation: Implementation,
    *,
    ledger: Sequence[Entry] = (),
    tolerate_stale: bool = False,
    selection: Selection = EVERYTHING,
    profile: str = "dev",
    examples: int | None = None,
    seed: int | None = None,
    checks: Sequence[Check] = CHECKS,
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> Report:
    """Judge an implementation: every check in every cell, then Hypothesis on top, as ``profile`` says.

    ``ledger`` holds the known deviations; an entry that matches judged cells of which none fails is stale, and
    fails the run unless ``tolerate_stale``; one that is over fails it. ``examples``: another number than the
    profile's. ``progress`` is called with a word and the fraction done. An interruption ends the judging, not the
    report of what was judged.
    """
    exploring = PROFILES[profile] if examples is None else PROFILES[profile]._replace(examples=examples)
    with np.errstate(all="ignore"):  # whatever the process has set; the functions under test get NumPy's default
        subject = Subject(implementation)
        notes: list[str] = []
        guessed: dict[Direction, ModeName] = {}
        chosen: list[Cell] = []
        judgements: list[Judgement] = []
        found: dict[tuple[str, Cell], Finding] = {}
        interrupted = False
        try:
            chosen = _cells(subject, selection, notes, guessed)
            for judgement in _judged(subject, checks, chosen, progress):
                judgements.append(judgement)
            if not judgements:
                notes.append("nothing was judged: no mode, data format and dtype that it claims was asked for")
            if exploring.examples:
                progress("exploring with Hypothesis", 1.0)
                found = _explored(subject, judgements, exploring, seed)
        except KeyboardInterrupt:
            interrupted = True
        tolerate_stale = tolerate_stale or interrupted
        report = conclude(subject, judgements, explored=found, ledger=ledger, tolerate_stale=tolerate_stale)
        notes += [*report.notes, *_remarks(subject, chosen)]
        return Report(implementation, report.results, notes, guessed, interrupted)


def _judged(
    subject: Subject, checks: Sequence[Check], chosen: Sequence[Cell], progress: Callable[[str, float], None]
) -> Iterator[Judgement]:
    """Every check in every cell, as far as there is something to judge."""
    broken = _broken_claims(subject, chosen)
    for number, check in enumerate(checks):
        for at, cell in enumerate(chosen):
            progress(check.name, (number + at / len(chosen)) / len(checks))
            judgement = _judge(subject, check, cell, broken)
            if judgement is not None:
                yield judgement


# Which cells ------------------------------------------------------------------------------------------------------


def _cells(subject: Subject, selection: Selection, notes: list[str], guessed: dict[Direction, ModeName]) -> list[Cell]:
    implementation = subject.implementation
    subject.scope = {d: scope(subject, d, selection, notes, guessed) for d in subject.directions}
    chosen = dict.fromkeys((*MODES, *(mode for of_direction, _ in subject.scope.values() for mode in of_direction)))
    modes = tuple(m for m in chosen if any(m in of_direction for of_direction, _ in subject.scope.values()))
    formats = tuple(f for f in DATA_FORMATS if any(f in of_direction for _, of_direction in subject.scope.values()))
    dtypes = _among(selection.dtypes, tuple(implementation.dtypes or available_dtypes()))
    missing = [d for d in (selection.dtypes or implementation.dtypes or ("bfloat16",)) if d not in available_dtypes()]
    if missing:
        notes.append("bfloat16 is not judged: install ml_dtypes to have it")
    dtypes = tuple(d for d in dtypes if d not in missing)
    every = cells(modes, formats, dtypes, tuple(implementation.ranks or RANKS))
    kept = {mode: keeping_bytes(mode, dtypes, notes) for mode in modes}
    return [cell for cell in every if cell.dtype in kept[cell.mode]]


def keeping_bytes(mode: ModeName, dtypes: Sequence[str], notes: list[str]) -> list[str]:
    """The dtypes in which a mode can be judged; the others are noted."""
    if lost := [dtype for dtype in dtypes if not oracle.keeps_bytes(mode, dtype)]:
        notes.append(f"{mode} is not judged in {', '.join(lost)}: there, not all bytes stay finite and apart")
    return [dtype for dtype in dtypes if dtype not in lost]


def scope(
    subject: Subject,
    direction: Direction,
    selection: Selection,
    notes: list[str],
    guessed: dict[Direction, ModeName] | None = None,
) -> tuple[tuple[ModeName, ...], tuple[DataFormat, ...]]:
    """The modes and data formats to judge a function in: claimed, taken as parameters, or the nearest."""
    implementation = subject.implementation
    who = "the inverse takes" if direction == "inverse" and len(subject.directions) > 1 else "takes"
    formats = tuple(implementation.data_formats or DATA_FORMATS)
    if implementation.data_formats is None and not subject.takes(direction, "data_format"):
        formats = ("channels_last",)
        notes.append(f"{who} no data_format: judged on channels_last only")
    # A mode of one's own is asked for by name, like any other.
    modes = tuple(implementation.modes or dict.fromkeys((*MODES, *(selection.modes or ()))))
    if implementation.modes is None and not subject.takes(direction, "mode"):
        if selection.modes is not None:
            modes = selection.modes
        else:
            found = (
                "identity" if returns_input(subject, direction, formats) else nearest_mode(subject, direction, formats)
            )
            modes = (found or "caffe",)
            if found and guessed is not None:
                guessed[direction] = found
    return _among(selection.modes, modes), _among(selection.data_formats, formats)


def returns_input(subject: Subject, direction: Direction, data_formats: Sequence[DataFormat]) -> bool:
    """Whether a forward function returns the values of all images in float32 and uint8 that it accepts."""
    if direction == "inverse":
        return False
    cases = [
        panel(direction, Cell("identity", data_format, dtype, rank), regime)
        for data_format, dtype, rank in product(data_formats, ("float32", "uint8"), RANKS)
        for regime in ("bytes", "dark")
    ]
    found = [(case.array(), subject.run(case)) for case in cases]
    same = [
        outcome.output is not None and outcome.output.shape == x.shape and bool((outcome.output == x).all())
        for x, outcome in found
        if outcome.refusal is None
    ]
    return bool(same) and all(same)


T = TypeVar("T")


def _among(selected: tuple[T, ...] | None, available: tuple[T, ...]) -> tuple[T, ...]:
    return available if selected is None else tuple(value for value in available if value in selected)


def _broken_claims(subject: Subject, chosen: Sequence[Cell]) -> dict[tuple[Direction, Cell], Finding]:
    """What is claimed and refused everywhere, by the first cell where it is."""
    implementation = subject.implementation
    modes, formats = implementation.modes or (None,), implementation.data_formats or (None,)
    claims = product(modes, formats, implementation.dtypes or (None,), implementation.ranks or (None,))
    found: dict[tuple[Direction, Cell], Finding] = {}
    for claim, direction in product(list(claims), subject.directions):
        claimed = [
            cell
            for cell in chosen
            if subject.covers(direction, cell) and (direction == "forward" or cell.dtype in FLOATS)
            if all(want is None or want == have for want, have in zip(claim, cell, strict=True))
        ]
        if not claimed or any(subject.accepts(direction, cell) for cell in claimed):
            continue
        words = [f"rank {word}" if isinstance(word, int) else str(word) for word in claim if word is not None]
        what = f"{', '.join(words)}, which it claims" if words else "every mode, data format, dtype and rank"
        cell = claimed[0]
        about = {"what": what, "error": subject.refusal(direction, cell)}
        found.setdefault((direction, cell), Finding("claim", direction, cell, panel(direction, cell), about=about))
    return found


# One check in one cell --------------------------------------------------------------------------------------------


def _judge(
    subject: Subject, check: Check, cell: Cell, broken: dict[tuple[Direction, Cell], Finding]
) -> Judgement | None:
    """Judge a cell. A broken claim is taken from ``broken`` by the first check that meets it."""
    directions = [d for d in subject.directions if check.applies_to(cell, d) and subject.covers(d, cell)]
    if not directions:
        return None
    started = time.perf_counter()
    findings: list[Finding] = []
    refusals: list[tuple[Direction, Raised]] = []
    skips: list[str] = []
    crash: BaseException | None = None
    judged = False
    with subject.recording() as record:
        for direction in directions:
            if not subject.accepts(direction, cell):
                refusals.append((direction, subject.refusal(direction, cell)))
                if (direction, cell) in broken:
                    findings.append(broken.pop((direction, cell)))
                continue
            try:
                for finding in check.judge(subject, cell, direction):
                    judged = True
                    if finding is not None:
                        findings.append(finding)
            except Unusable as why:
                judged = True
                findings.append(why.finding)
            except Skipped as why:
                skips.append(str(why))
            except Exception as error:
                crash = error
    worst: Finding | None = None
    status: Status
    if findings:
        # The worst says most, if it is of pixel size; of sizes, the smallest that fails.
        worst = findings[0] if check.name == "sizes" else max(findings, key=lambda f: (not _far_out(f), f.levels))
        status = "failed"
    elif crash is not None:
        status = "error"
    elif judged:
        status = "passed"
    elif refusals:
        status, skips = "refused", []
    elif skips:
        status = "skipped"
    else:
        return None  # the check has nothing to say about this cell
    return Judgement(
        check.name,
        cell,
        worst.direction if worst else directions[0],
        status,
        worst,
        tuple(refusals),
        tuple(skips),
        crash,
        max(worst.levels if worst else 0.0, record.levels),
        record.digest if judged else "",
        time.perf_counter() - started,
    )


def _far_out(finding: Finding) -> bool:
    return finding.case is not None and finding.case.regime in ("wide", "huge")


_EXPLORED: Mapping[Direction, tuple[str, ...]] = {
    "forward": ("value",),
    "inverse": ("restores_floats", "restores_pixels"),
}
"""The checks that what Hypothesis finds is booked under."""


def _explored(
    subject: Subject, judgements: Sequence[Judgement], profile: Profile, seed: int | None
) -> dict[tuple[str, Cell], Finding]:
    """What Hypothesis finds in the cells in which nothing has failed."""
    from vggprep.conformance.exploration import explore

    bad = {judgement.cell for judgement in judgements if judgement.status in ("failed", "error")}
    found = {}
    for direction in subject.directions:
        rows = {
            judgement.cell: judgement.check
            for judgement in judgements
            if judgement.status == "passed" and judgement.check in _EXPLORED[direction]
            if subject.covers(direction, judgement.cell) and judgement.cell not in bad
        }
        finding = explore(subject, direction, list(rows), profile, seed) if rows else None
        if finding is not None:
            found[rows[finding.cell], finding.cell] = finding
    return found


# From judgements to results -----------------------------------------------------------------------------------------


def conclude(
    subject: Subject,
    judgements: Sequence[Judgement],
    *,
    explored: Mapping[tuple[str, Cell], Finding] = MappingProxyType({}),
    ledger: Sequence[Entry] = (),
    tolerate_stale: bool = False,
) -> Report:
    """Excuse what the ledger knows, explain what else failed, and build the results."""
    name = subject.implementation.name
    findings = [judgement.finding or explored.get((judgement.check, judgement.cell)) for judgement in judgements]
    excuses: dict[int, Entry] = {}
    stale: list[tuple[Entry, int]] = []
    for entry in ledger:
        matched = [
            at
            for at, judgement in enumerate(judgements)
            if judgement.status in ("passed", "failed") and entry.matches(name, judgement.check, judgement.cell)
        ]
        failing = [at for at in matched if (f := findings[at]) is not None and entry.knows(f.kind)]
        if entry.cause is not None:
            stated = named(subject, [f for at in failing if (f := findings[at]) is not None])
            failing = [at for at, cause in zip(failing, stated, strict=True) if cause in entry.cause]
        excuses = dict.fromkeys(failing, entry) | excuses
        if matched and (entry.over or not failing):
            stale.append((entry, matched[0]))
    blamed = [(judgements[at].check, f) for at, f in enumerate(findings) if f is not None and at not in excuses]
    explanations = iter(explain(subject, blamed))
    results = [
        _result(
            subject.implementation,
            judgement,
            finding,
            excuses.get(at),
            next(explanations) if finding is not None and at not in excuses else UNEXPLAINED,
        )
        for at, (judgement, finding) in enumerate(zip(judgements, findings, strict=True))
    ]
    notes = []
    for entry, at in stale:
        where = judgements[at]
        kind: Literal["expired_entry", "stale_entry"] = "expired_entry" if entry.over else "stale_entry"
        finding = Finding(kind, where.direction, where.cell, about={"reason": entry.reason, "when": entry.over})
        if tolerate_stale and not entry.over:
            notes.append(sentence(finding))
        else:
            judgement = Judgement(where.check, where.cell, where.direction, "failed", finding)
            results.append(_result(subject.implementation, judgement, finding, None, UNEXPLAINED))
    return Report(subject.implementation, results, notes)


def _result(
    implementation: Implementation,
    judgement: Judgement,
    finding: Finding | None,
    excuse: Entry | None,
    explanation: Explanation,
) -> Result:
    message, status = _message(judgement), judgement.status
    direction, levels, kind, cause = judgement.direction, judgement.levels, "", ""
    if finding is not None:
        message, status = sentence(finding), "failed" if excuse is None else "known"
        direction, levels, kind = finding.direction, finding.levels or levels, finding.kind
        cause = cause_of(finding, judgement.check, explanation.cause)
    return Result(
        implementation.name,
        judgement.check,
        *judgement.cell,
        status=status,
        message=message,
        diagnosis=explanation.text if excuse is None else excuse.text,
        reproducer=explanation.reproducer,
        worst_levels=levels,
        digest=judgement.digest,
        seconds=judgement.seconds,
        direction=direction,
        finding=kind,
        cause=cause,
        example=explanation.example,
        traceback="".join(traceback.format_exception(judgement.crash)) if judgement.crash else "",
        clauses=clauses_broken(judgement.check, finding, implementation.level) if finding is not None else (),
    )


def _message(judgement: Judgement) -> str:
    """Why a judgement without a finding is as it is."""
    if judgement.crash is not None:
        return f"the suite itself failed: {describe(judgement.crash)}"
    refused = [directed(direction, str(refusal)) for direction, refusal in judgement.refusals]
    if judgement.status == "passed":
        return "; ".join(f"refused: {refusal}" for refusal in refused)
    return "; ".join(judgement.reasons if judgement.status == "skipped" else (*refused, *judgement.reasons))


def _remarks(subject: Subject, chosen: Sequence[Cell]) -> list[str]:
    notes = sorted(subject.remarks)[:5]
    for direction in subject.directions:
        accepted = {c.dtype for c in chosen if subject.covers(direction, c) and subject.accepts(direction, c)}
        if accepted and accepted <= {"float16", "bfloat16"}:
            word = "the inverse" if direction == "inverse" else "it"
            notes.append(f"{word} accepts half precision only: the verdict rests on coarse rounding")
    return notes
