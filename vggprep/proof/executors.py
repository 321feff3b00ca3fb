"""Where the parts are done: processes of this machine, a Dask cluster, or any other executor.

An executor is anything with the interface of ``concurrent.futures.Executor``; tasks and results are small.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from vggprep.implementations.callables import describe
from vggprep.proof.certificates import ProofError

_PATIENCE = 10
"""Seconds that a cluster has to answer, and to have a worker."""

DROPPED = "the executor dropped the work, or its scheduler is gone: restart it, and the same command resumes"

Alive = Callable[[], bool]
"""Whether any worker is left."""


@contextlib.contextmanager
def local(workers: int) -> Iterator[tuple[Executor, Alive]]:
    """Processes of this machine, ended at once when the context is left, whether done or not."""
    # spawn: a forked TensorFlow hangs.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)
    try:
        yield pool, lambda: True
    finally:
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown()  # its thread may not close what Python closes at the end


def _start() -> None:
    # On Ctrl-C the terminal signals every process; a worker just ends, and its part is done again later.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_the_parent()


def end_with_the_parent() -> None:
    """Let this process end when its parent is killed: a worker would wait for work for ever."""
    threading.Thread(target=_await_the_parent, daemon=True).start()


def _await_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def dask(address: str) -> Iterator[tuple[Executor, Alive]]:
    """A Dask cluster whose scheduler is at ``address``, such as ``tcp://127.0.0.1:8786``."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ProofError(
            f"--executor dask:{address} needs distributed, which is not installed: pip install distributed"
        ) from error
    # A broken connection, or one closed while work is under way, is reported below in one line.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client: Any = _within(_PATIENCE + 1, lambda: Client(address, timeout=_PATIENCE, name="vggprep"))  # type: ignore[no-untyped-call, unused-ignore]
    except (OSError, ValueError, TypeError) as error:
        raise ProofError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): is it running, and is the port right?"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ProofError(
                f"the Dask cluster at {address} has no workers: start some with dask worker {address} --nthreads 1"
            ) from error
        pool = client.get_executor(pure=False, retries=2)
        yield pool, lambda: _has_workers(client)
        pool.shutdown(wait=False)
    finally:
        client.close()


def _has_workers(client: Any) -> bool:
    try:
        return bool(client.ncores())
    except OSError as error:  # before its parts are cancelled
        raise ProofError(DROPPED) from error


def _within(seconds: float, function: Callable[[], Any]) -> Any:
    """The result of ``function``. ``TimeoutError`` if it takes longer: it may wait for ever for a connection."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(seconds)


@contextlib.contextmanager
def other(spec: str) -> Iterator[tuple[Executor, Alive]]:
    """The executor that the function ``spec`` (``module:factory``) returns."""
    module, _, name = spec.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)()
    except Exception as error:  # foreign code
        raise ProofError(f"--executor {spec}: {describe(error)}") from error
    if not callable(getattr(found, "submit", None)):
        raise ProofError(f"--executor {spec} returns a {type(found).__name__}, which has no submit(function, argument)")
    try:
        yield found, lambda: True
    finally:
        with contextlib.suppress(AttributeError):
            try:
                # A thread at work captures what this process prints: wait for it.
                found.shutdown(wait=True, cancel_futures=True)
            except TypeError:  # not every executor can cancel
                found.shutdown(wait=False)


def named(spec: str | None, workers: int) -> contextlib.AbstractContextManager[tuple[Executor, Alive]]:
    """The executor that a command line names: ``None``, ``dask:ADDRESS`` or ``module:factory``."""
    if spec is None:
        return local(workers)
    kind, _, rest = spec.partition(":")
    if not rest:
        raise ProofError(f"--executor {spec}: expected dask:tcp://HOST:PORT or module:factory")
    return dask(rest) if kind == "dask" else other(spec)
