"""Proof by enumeration: every bit pattern of a dtype, in every channel, forward and back.

``plan`` says what there is to enumerate of a target, ``prove`` does it on many processes or machines and makes a
certificate, ``verify`` does a random part of one again. ``domains`` says what the patterns are, ``shards`` judges
some of them, ``certificates`` keeps what came of it, ``executors`` finds who does the work.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from vggprep.cases import Cell, available_dtypes
from vggprep.checks.subject import Subject
from vggprep.conformance.engine import Selection, scope
from vggprep.implementations import Implementation
from vggprep.implementations.callables import describe
from vggprep.implementations.targets import TargetError, TargetSpec
from vggprep.proof import environment, executors
from vggprep.proof.certificates import Certificate, Done, Progress, ProofError, Row, describe_domain, fold, now
from vggprep.proof.domains import DTYPES, SMALL, domain
from vggprep.proof.shards import Part, Worst, fed_dtype, implementations, judge
from vggprep.spec import DataFormat, Direction, ModeName

__all__ = [
    "Certificate", "Plan", "ProofError", "Row", "Verified", "Worst", "fed_dtype", "implementations_of",
    "keep_freed_memory", "plan", "prove", "verify",
]  # fmt: skip

_BREAKAGES = 3
"""How many times in a row a pool may lose a worker before any part is done."""


class Group(NamedTuple):
    """The rows that are enumerated together: one for each data format."""

    rows: tuple[Row, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plan:
    """What there is to do: groups of rows with their parts, rows that are refused, and remarks."""

    wanted: TargetSpec
    groups: tuple[Group, ...]
    refused: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def parts(self) -> list[Part]:
        """The work, small dtypes first."""
        return sorted((part for group in self.groups for part in group.parts), key=lambda part: domain(part.dtype).size)

    @property
    def values(self) -> int:
        """How many values are to be judged: patterns, times three channels, in each data format."""
        return sum(_values(part) for part in self.parts)


def _values(part: Part) -> int:
    return (part.stop - part.start) * 3 * len(part.data_formats)


def plan(wanted: TargetSpec, selection: Selection | None = None, *, everything: bool = False) -> Plan:
    """What to enumerate of the target in ``wanted``: by default the dtypes of up to 16 bits, which take seconds.

    Raises ``TargetError`` if there is no such target, ``ProofError`` if nothing of it can be enumerated.
    """
    selection = selection or Selection()
    dtypes = selection.dtypes or tuple(d for d in SMALL if d in available_dtypes())
    if missing := [d for d in dtypes if d not in available_dtypes()]:
        raise ProofError(f"NumPy has no {missing[0]} here: install ml_dtypes")
    if unknown := [d for d in dtypes if d not in DTYPES]:
        raise ProofError(f"{unknown[0]} cannot be enumerated: there are {', '.join(DTYPES)}")
    groups: list[Group] = []
    refused: list[Row] = []
    notes: list[str] = []
    for number, implementation in enumerate(implementations(wanted)):
        subject = Subject(implementation)
        for direction in subject.directions:
            modes, formats = scope(subject, direction, selection, notes)
            claimed = [d for d in dtypes if implementation.dtypes is None or d in implementation.dtypes]
            for mode, dtype in product(modes, claimed):
                rows = []
                for data_format in formats:
                    row = Row(
                        implementation.name, implementation.level, direction, mode, data_format, dtype,
                        describe_domain(dtype), "unfinished",
                    )  # fmt: skip
                    if refusal := _refusal(subject, direction, mode, data_format, dtype):
                        refused.append(replace(row, status="refused", message=refusal))
                    else:
                        rows.append(row)
                if rows:
                    accepted = tuple(row.data_format for row in rows)
                    parts = tuple(
                        Part(wanted, number, direction, mode, accepted, dtype, start, stop, everything)
                        for start, stop in domain(dtype).shards
                    )
                    groups.append(Group(tuple(rows), parts))
    if not groups and not refused:
        raise ProofError("there is nothing to enumerate: the target claims none of what was asked for")
    return Plan(wanted, tuple(groups), tuple(refused), tuple(dict.fromkeys(notes)))


def _refusal(subject: Subject, direction: Direction, mode: ModeName, data_format: DataFormat, dtype: str) -> str:
    """What it says to images of this kind, if it takes none."""
    cell = Cell(mode, data_format, fed_dtype(direction, mode, dtype), 4)
    return "" if subject.accepts(direction, cell) else subject.refusal(direction, cell) or "refused"


# Working ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Tell glibc not to hand freed memory back: to fetch each array anew from the kernel costs more than to fill it."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        allocator.mallopt(_M_TRIM_THRESHOLD, 1 << 28)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


_ONE_AT_A_TIME = threading.Lock()
"""Output and warnings are caught for the whole process: its threads take turns."""


def work(part: Part, versions: dict[str, str]) -> Done | str:
    """Do one part, wherever this is called; or say why not: in what this place differs from where the work is from."""
    with _ONE_AT_A_TIME:
        keep_freed_memory()
        try:
            implementations(part.wanted)
        except TargetError as error:
            return str(error)
        target = _target(part.wanted)
        here = environment.versions(target, like=versions)
        if reason := environment.difference(versions, here):
            return f"it has {reason}"
        started = time.perf_counter()
        tallies = tuple(judge(part))
        return Done(tallies, time.perf_counter() - started, environment.processor())


def _work_and_say_where(part: Part, versions: dict[str, str]) -> tuple[Done | str, str]:
    return work(part, versions), f"{platform.node()}, process {os.getpid()}"


def _target(wanted: TargetSpec) -> str:
    return wanted.targets[0] if wanted.targets else wanted.inverse or ""


def _key(part: Part) -> str:
    formats = "+".join(part.data_formats)
    end = "all" if part.everything else ""
    return f"{part.implementation} {part.direction} {part.mode} {formats} {part.dtype} {part.start} {part.stop} {end}"


Report = Callable[[int, int, float], None]
"""Called with the values judged, those there are, and how many there were a second in this run."""


def prove(
    what: Plan,
    *,
    progress_file: Path | None = None,
    executor: str | None = None,
    workers: int = 1,
    arguments: Sequence[str] = (),
    report: Report | None = None,
) -> Certificate:
    """Enumerate what is planned; return the certificate.

    Stops at the first part with a counterexample unless the plan says otherwise. ``progress_file`` remembers what is
    done: the same plan goes on from there. Raises ``ProofError``.
    """
    wanted, started = what.wanted, time.perf_counter()
    versions, machine = environment.versions(_target(wanted)), environment.machine()
    parts = what.parts
    identity = {"target": _words(wanted), "versions": versions, "machine": machine}
    done: dict[str, Done] = {}
    remembering = contextlib.nullcontext() if progress_file is None else Progress(progress_file, identity)
    with remembering as progress:
        if progress is not None:
            done.update({key: known for key, known in progress.done.items() if key in {_key(p) for p in parts}})
        counter = _Counter(parts, done, report)

        def finished(part: Part, result: Done) -> bool:
            if progress is not None:
                progress.add(_key(part), result)
            done[_key(part)] = result
            counter.add(part)
            return not part.everything and any(tally.wrong for tally in result.tallies)

        waiting = [part for part in parts if _key(part) not in done]
        known_wrong = any(tally.wrong for known in done.values() for tally in known.tallies)
        if waiting and not (known_wrong and not waiting[0].everything):
            _drive(waiting, versions, executor, workers, finished, counter.tick)
        return Certificate(
            target=_words(wanted),
            arguments=tuple(arguments),
            created=now(),
            versions=versions,
            machine=machine,
            processors=tuple(sorted({known.processor for known in done.values()})),
            values=sum(_values(part) for part in parts if _key(part) in done),
            worked=sum(known.seconds for known in done.values()),
            seconds=time.perf_counter() - started,
            rows=(*_rows(what, done), *what.refused),
            wanted=asdict(wanted),
        )


def _rows(what: Plan, done: dict[str, Done]) -> Iterable[Row]:
    for group in what.groups:
        found = [done.get(_key(part)) for part in group.parts]
        seconds = sum(known.seconds for known in found if known)
        for at, row in enumerate(group.rows):
            yield fold(row, [known.tallies[at] if known else None for known in found], seconds)


def _words(wanted: TargetSpec) -> str:
    """The target as one would type it, with what changes the verdict."""
    options = [f"--inverse {wanted.inverse}"] if wanted.inverse else []
    options += [f"--level {wanted.level}"] if wanted.level else []
    options += [f"--input {wanted.input_name}"] if wanted.input_name else []
    options += [f"--tensor {wanted.tensor_name}"] if wanted.tensor_name else []
    return " ".join([*wanted.targets, *options])


class _Counter:
    """How far the work is, and how fast it goes."""

    def __init__(self, parts: Sequence[Part], done: dict[str, Done], report: Report | None) -> None:
        self._all = sum(map(_values, parts))
        self._before = self._done = sum(_values(part) for part in parts if _key(part) in done)
        self._report, self._started = report, time.perf_counter()
        self.tick()

    def add(self, part: Part) -> None:
        self._done += _values(part)
        self.tick()

    def tick(self) -> None:
        if self._report is not None:
            elapsed = max(time.perf_counter() - self._started, 1e-9)
            self._report(self._done, self._all, (self._done - self._before) / elapsed)


def _drive(
    parts: Sequence[Part],
    versions: dict[str, str],
    executor: str | None,
    workers: int,
    finished: Callable[[Part, Done], bool],
    tick: Callable[[], None],
) -> None:
    """Have every part worked on. ``finished`` is told of each, and says whether that is enough."""
    waiting = dict.fromkeys(parts)
    breakages = 0
    while waiting:
        with executors.named(executor, workers) as (pool, alive):
            futures: dict[Future[Any], Part] = {}
            try:
                for part in waiting:
                    futures[pool.submit(_work_and_say_where, part, versions)] = part
                while futures:
                    for future in wait(futures, timeout=1.0, return_when=FIRST_COMPLETED).done:
                        part = futures.pop(future)
                        result = _result(future)
                        del waiting[part]
                        breakages = 0
                        if finished(part, result):
                            return
                    tick()
                    if futures and not alive():
                        raise ProofError(
                            "all workers of the cluster are gone: start new ones, and the same command goes on"
                        )
            except BrokenExecutor as error:
                breakages += 1
                if breakages >= _BREAKAGES:
                    raise ProofError(
                        f"a worker process died {breakages} times before it had done anything: out of memory, or the "
                        f"target ends the process; {len(waiting)} parts are left"
                    ) from error


def _result(future: Future[Any]) -> Done:
    try:
        result, where = future.result()
    except BrokenExecutor:
        raise
    except CancelledError as error:
        raise ProofError(
            "the executor has dropped the work, or its scheduler is gone: start it anew, and the same command goes on"
        ) from error
    except Exception as error:
        raise ProofError(f"a worker failed: {describe(error)}") from error
    if isinstance(result, str):
        raise ProofError(f"the worker at {where} cannot take part: {result}")
    assert isinstance(result, Done)
    return result


def _wanted(certificate: Certificate) -> TargetSpec:
    words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in certificate.wanted.items()}
    try:
        return TargetSpec(**words)
    except TypeError as error:
        raise ProofError(f"the certificate does not say what it is about: {error}") from error


def implementations_of(certificate: Certificate) -> list[Implementation]:
    """What the certificate is about, loaded again."""
    return implementations(_wanted(certificate))


# Verifying ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """What came of doing parts of a certificate again: how many, of how many, and where they did not agree."""

    again: int
    of: int
    disagreements: tuple[str, ...]
    notes: tuple[str, ...]


def verify(
    certificate: Certificate,
    *,
    parts: int = 8,
    seed: int | None = None,
    executor: str | None = None,
    workers: int = 1,
    report: Report | None = None,
) -> Verified:
    """Do a random choice of a certificate's parts again and compare what comes of them.

    Raises ``ProofError``, ``TargetError``.
    """
    wanted = _wanted(certificate)
    said = {(r.implementation, r.direction, r.mode, r.data_format, r.dtype): r for r in certificate.rows}
    selection = Selection(
        modes=tuple(dict.fromkeys(r.mode for r in certificate.rows)),
        data_formats=tuple(dict.fromkeys(r.data_format for r in certificate.rows)),
        dtypes=tuple(dict.fromkeys(r.dtype for r in certificate.rows)),
    )
    everything = "--all" in certificate.arguments
    known = {
        part: [(said.get((r.implementation, r.direction, r.mode, r.data_format, r.dtype)), at) for r in group.rows]
        for group in plan(wanted, selection, everything=everything).groups
        for at, part in enumerate(group.parts)
    }
    known = {
        part: rows
        for part, rows in known.items()
        if all(row is not None and at < len(row.digests) and row.digests[at] for row, at in rows)
    }
    if not known:
        raise ProofError("the certificate has no part that this target could do again")
    chosen = random.Random(seed).sample(list(known), min(parts, len(known)))
    versions = environment.versions(_target(wanted))
    disagreements: list[str] = []
    counter = _Counter(chosen, {}, report)

    def finished(part: Part, result: Done) -> bool:
        counter.add(part)
        for (row, at), tally in zip(known[part], result.tallies, strict=True):
            assert row is not None
            if tally.digest != row.digests[at]:
                disagreements.append(
                    f"{row.implementation} {row.direction} {row.mode} {row.data_format} {row.dtype}, patterns "
                    f"{part.start} to {part.stop}: other outputs than the certificate tells of"
                )
            elif _larger(tally.units, row.units) or _larger(tally.levels, row.levels):
                disagreements.append(
                    f"{row.implementation} {row.direction} {row.mode} {row.data_format} {row.dtype}, patterns "
                    f"{part.start} to {part.stop}: larger errors than the certificate tells of"
                )
            elif (tally.wrong > 0) > (row.wrong > 0):
                disagreements.append(f"{row.implementation} {row.mode} {row.dtype}: {tally.wrong} values are wrong")
        return False

    _drive(chosen, versions, executor, workers, finished, counter.tick)
    notes = []
    for word, mine, other in (
        ("versions", versions, certificate.versions),
        ("machine", environment.machine(), certificate.machine),
    ):
        if reason := environment.difference(other, mine):
            notes.append(f"other {word} than in the certificate: {reason}")
    return Verified(len(chosen), len(known), tuple(disagreements), tuple(notes))


def _larger(found: Worst | None, told: Worst | None) -> bool:
    """Whether an error is larger than the worst that is told of, beyond what ``Worst`` allows."""
    return found is not None and found.error > (told.error if told else 0.0) * (1 + 2**-20)
