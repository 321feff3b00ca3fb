"""Doing the work of a plan, here or on other machines, and making the certificate."""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from pathlib import Path
from typing import Any

from vggprep.implementations.callables import describe
from vggprep.implementations.targets import TargetError, TargetSpec
from vggprep.machine import processor
from vggprep.proof import environment, executors
from vggprep.proof.certificates import Certificate, ProofError, Row, fold, now
from vggprep.proof.plan import Plan, values_of
from vggprep.proof.progress import Done, Progress, discard
from vggprep.proof.shards import Part, implementations, judge, tune_malloc
from vggprep.spec import definitions, known
from vggprep.specification import VERSION

_BREAKAGES = 3
"""How many times in a row a pool may lose a worker before any part is done."""

_ONE_AT_A_TIME = threading.Lock()
"""Output and warnings are caught for the whole process, so its threads take turns."""

OnProgress = Callable[[int, int, float], None]
"""Called with the number of values judged, their total, and how many were judged per second in this run."""


def dependencies(spec: TargetSpec, like: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions and files: what must be the same wherever parts of one proof are done."""
    return environment.versions(spec, like) | environment.files(spec)


def work(part: Part, origin: Mapping[str, str]) -> Done | str:
    """Do one part, in any process; or say why not: what this one has differs from ``origin``, the ``dependencies``."""
    place = f"the worker at {platform.node()}, process {os.getpid()} cannot take part"
    with _ONE_AT_A_TIME:
        if part.own is not None:
            try:
                known(part.own)
            except ValueError as error:
                return f"{place}: {error}"
        tune_malloc()
        try:
            implementations(part.spec)
        except TargetError as error:
            return f"{place}: {error}"
        if reason := environment.difference(origin, dependencies(part.spec, like=origin)):
            return f"{place}: it has {reason}"
        started = time.perf_counter()
        tallies = tuple(judge(part))
        return Done(tallies, time.perf_counter() - started, processor())


def _key(part: Part) -> str:
    formats = "+".join(part.data_formats)
    end = "" if part.stop_at_first else "all"
    if part.own is not None:
        end += f" {hashlib.sha256(repr(part.own.definition).encode()).hexdigest()[:16]}"
    return f"{part.implementation} {part.direction} {part.mode} {formats} {part.dtype} {part.start} {part.stop} {end}"


def prove(
    plan: Plan,
    *,
    progress_file: Path | None = None,
    executor: str | None = None,
    workers: int = 1,
    arguments: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Certificate:
    """Enumerate what is planned; return the certificate.

    Stops at the first part with a counterexample unless the plan says otherwise. ``progress_file`` remembers which
    parts are done: the same plan resumes from there. Raises ``ProofError``.
    """
    spec, started, parts = plan.spec, time.perf_counter(), plan.parts
    words = words_of(spec)
    versions, files, machine = environment.versions(spec), environment.files(spec), environment.machine()
    identity = {"target": words, "versions": versions, "files": files, "machine": machine}
    with Progress(progress_file, identity) as progress:
        waiting = [part for part in parts if _key(part) not in progress.done]

        def finished(part: Part, result: Done) -> bool:
            progress.add(_key(part), result)
            return plan.stop_at_first and _is_wrong(result)

        known = [part for part in parts if _key(part) in progress.done]
        if not (plan.stop_at_first and any(_is_wrong(progress.done[_key(part)]) for part in known)):
            drive(
                waiting, versions | files, finished, executor=executor, workers=workers, on_progress=on_progress,
                before=sum(map(values_of, known)),
            )  # fmt: skip
        done = {part: progress.done[_key(part)] for part in parts if _key(part) in progress.done}
    return Certificate(
        target=words,
        arguments=tuple(arguments),
        created=now(),
        versions=versions,
        files=files,
        machine=machine,
        processors=tuple(sorted({result.processor for result in done.values()})),
        values=sum(map(values_of, done)),
        worked=sum(result.seconds for result in done.values()),
        seconds=time.perf_counter() - started,
        rows=(*_rows(plan, done), *plan.refused),
        spec=spec,
        stop_at_first=plan.stop_at_first,
        modes=definitions([row.mode for row in (*(row for group in plan.groups for row in group.rows), *plan.refused)]),
        specification=VERSION,
    )


def finish(plan: Plan, progress_file: Path) -> int:
    """Forget the progress of a proof whose certificate is written; return how many parts of other proofs are kept."""
    return discard(progress_file, {_key(part) for part in plan.parts})


def _is_wrong(result: Done) -> bool:
    return any(tally.wrong for tally in result.tallies)


def _rows(plan: Plan, done: Mapping[Part, Done]) -> Iterator[Row]:
    for group in plan.groups:
        results = [done.get(part) for part in group.parts]
        seconds = sum(result.seconds for result in results if result)
        for at, row in enumerate(group.rows):
            yield fold(row, [result.tallies[at] if result else None for result in results], seconds)


def words_of(spec: TargetSpec) -> str:
    """The target as one would type it, with the options that change the verdict."""
    options = {
        "inverse": spec.inverse,
        "level": spec.level,
        "input": spec.input_name,
        "tensor": spec.tensor_name,
        "writes-input": spec.writes_input,
    }
    return " ".join(
        [*spec.targets, *(f"--{name} {value}" for name, value in options.items() if value not in (None, False))]
    )


def drive(
    parts: Sequence[Part],
    origin: Mapping[str, str],
    finished: Callable[[Part, Done], bool],
    *,
    executor: str | None,
    workers: int,
    on_progress: OnProgress | None,
    before: int = 0,
) -> None:
    """Run every part, calling ``finished`` with each result until it returns True; ``before`` values were judged."""
    started, total = time.perf_counter(), before + sum(map(values_of, parts))

    def report() -> None:
        if on_progress is not None:
            done = total - sum(map(values_of, waiting))
            on_progress(done, total, (done - before) / max(time.perf_counter() - started, 1e-9))

    waiting = dict.fromkeys(parts)
    breakages = 0
    while waiting:
        try:
            with executors.named(executor, workers) as (pool, alive):
                futures = {pool.submit(work, part, origin): part for part in waiting}
                while futures:
                    for future in wait(futures, timeout=1.0, return_when=FIRST_COMPLETED).done:
                        part, result = futures.pop(future), _result(future)
                        del waiting[part]
                        report()
                        breakages = 0
                        if finished(part, result):
                            return
                    report()
                    if futures and not alive():
                        raise ProofError(
                            "the cluster has lost all workers: start new ones, and the same command resumes"
                        )
        except BrokenExecutor as error:
            breakages += 1
            if breakages >= _BREAKAGES:
                raise ProofError(
                    f"a worker process died {breakages} times before it completed a part: out of memory, or the target "
                    f"ends the process; {len(waiting)} parts are left"
                ) from error


def _result(future: Future[Any]) -> Done:
    try:
        result = future.result()
    except BrokenExecutor:
        raise
    except CancelledError as error:
        raise ProofError(executors.DROPPED) from error
    except Exception as error:
        raise ProofError(f"a worker failed: {describe(error)}") from error
    if isinstance(result, str):
        raise ProofError(result)
    assert isinstance(result, Done)
    return result
