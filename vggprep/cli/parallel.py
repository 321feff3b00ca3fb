"""The paths of Keras judged in processes side by side: they are slow, and share nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, wait
from typing import Any

from vggprep.cli.common import progress
from vggprep.conformance.judging import judge
from vggprep.conformance.results import Report, Result
from vggprep.implementations import Implementation, keras
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.proof.executors import end_with_the_parent
from vggprep.spec import Direction, Mode, ModeName, known, registered

_NOTHING: tuple[list[Result], list[str], Mapping[Direction, ModeName], bool] = ([], [], {}, True)

_PATIENCE = 5.0  # seconds that a process has to stop at the next check

_STOP = -1  # where the shared numbers say whether to stop; the others are the fractions done


def judged(spec: TargetSpec, implementations: Sequence[Implementation], **options: Any) -> Iterator[Report]:
    """Judge what ``spec`` names, with the ``options`` of ``judge``; the reports come in order.

    Several paths of Keras are judged by as many processes as there are processors. What is interrupted comes with
    what was judged until then.
    """
    processes = min(len(implementations), os.cpu_count() or 1)
    ours = all(i.name.partition(":")[0] in keras.PACKAGES for i in implementations)
    reports = _apart(spec, implementations, options, processes) if ours and processes > 1 else iter(())
    for implementation in implementations:
        yield next(reports, None) or _here(implementation, options)


def _here(implementation: Implementation, options: Mapping[str, Any]) -> Report:
    name = implementation.name
    with progress() as advance:
        return judge(implementation, progress=lambda what, done: advance(f"{name}: {what}", done), **options)


def _apart(
    spec: TargetSpec, implementations: Sequence[Implementation], options: Mapping[str, Any], processes: int
) -> Iterator[Report]:
    """The reports, in order, as far as the processes live: there may not be enough memory for so many."""
    context = multiprocessing.get_context("spawn")  # a forked TensorFlow hangs
    shared = context.Array("d", len(implementations) + 1, lock=False)
    pool = ProcessPoolExecutor(processes, context, _start, (shared, spec, registered()))
    try:
        asked = [pool.submit(_judge, at, options) for at in range(len(implementations))]
        for implementation, future in zip(implementations, asked, strict=True):
            try:
                with progress() as advance:
                    while not future.done():
                        running = [i.name for i, f in zip(implementations, asked, strict=True) if f.running()]
                        advance(", ".join(running[:processes]), sum(shared[:_STOP]) / len(asked))
                        wait([future], 0.2)
            except KeyboardInterrupt:
                shared[_STOP] = 1.0
                future.cancel()
                wait([future], _PATIENCE)
            try:
                stopped = future.cancelled() or not future.done()
                yield Report(implementation, *(_NOTHING if stopped else future.result()))
            except BrokenExecutor:
                return
    finally:
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown(cancel_futures=True)  # its thread may not close what Python closes at the end


# In the processes -------------------------------------------------------------------------------------------------

_shared: Any
_spec: TargetSpec


def _start(shared: Any, spec: TargetSpec, modes: Sequence[Mode]) -> None:
    global _shared, _spec
    _shared, _spec = shared, spec
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal signals every process; the first one says when to stop
    end_with_the_parent()
    for mode in modes:
        known(mode)


def _judge(at: int, options: Mapping[str, Any]) -> tuple[list[Result], list[str], Mapping[Direction, ModeName], bool]:
    """A report without its implementation, which cannot be sent."""

    def progress(_: str, done: float) -> None:
        _shared[at] = done
        if _shared[_STOP]:
            raise KeyboardInterrupt

    try:
        report = judge(load_all(_spec)[at], progress=progress, **options)
    except KeyboardInterrupt:
        return _NOTHING
    _shared[at] = 1.0
    return report.results, report.notes, report.guessed, report.interrupted
