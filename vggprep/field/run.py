"""Judging and timing: a process for each family, verdicts kept between runs, and rounds in turns."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vggprep.field import quiet
from vggprep.field.adapters import KERAS
from vggprep.field.limit import LIMIT, limit
from vggprep.field.results import results
from vggprep.field.setup import Adapter
from vggprep.field.worker import IMAGES, SIDE
from vggprep.files import cache_folder, replacing
from vggprep.spec import DIRECTIONS, Direction, ModeName

JUDGING, TIMING = 600.0, 120.0
"""Seconds that an implementation has to be judged, and for one turn of its rounds."""

ROUNDS, TURN, LEAST, FEWEST, MOST_SECONDS = 4, 0.6, 8, 3, 1.5
"""Rounds in a turn, and seconds of a turn; the least number of rounds in all, and of those that take seconds each; and
seconds of rounds after which one that has not settled is left."""

Row = dict[str, Any]
Told = Callable[[str, float], None]
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip


class Lost(Exception):
    """A process has ended, or has not answered in time."""


class Worker:
    """The process of a family; started when it is asked first, and again after it has ended."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(self, seconds: float, *request: Any) -> Any:
        """Its answer: a string is the reason why there is none. Raises ``Lost``."""
        if self._process is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send(request)
            if not self._connection.poll(seconds):
                raise Lost(f"does not answer within {seconds:g} s")
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise Lost("ends its process") from error
        finally:
            if isinstance(sys.exception(), Lost | EOFError | OSError | KeyboardInterrupt):
                self.end()

    def _start(self) -> None:
        mine, its = socket.socketpair()
        backend = self._family.partition("keras on ")[2] or "tensorflow"
        code = f"import sys; sys.path[:] = {sys.path!r}; from vggprep.field import worker; worker.main({its.fileno()})"
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                env={**os.environ, **_ENVIRONMENT, "KERAS_BACKEND": backend},
            )
        self._connection = Connection(mine.detach())

    def end(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def field(
    adapters: Sequence[Adapter], mode: ModeName, told: Told, images: int = IMAGES, most: float = MOST_SECONDS
) -> Row:
    """Judge and time implementations in a mode: the file of ``results``.

    ``told`` is called with a word and the fraction done. ``images``: how many are timed. ``most``: seconds of rounds
    that each has to settle.
    """
    asked = [(a, d) for d in DIRECTIONS for a in adapters if d in a.directions and mode in a.modes]
    workers = {family: Worker(family) for family in dict.fromkeys(a.family for a, _ in asked)}
    try:
        rows = _judge_all(asked, mode, workers, told)
        noise = _time_all(asked, rows, mode, workers, images, most, told)
    finally:
        for worker in workers.values():
            worker.end()
    return results(mode, images, SIDE, list(rows.values()), noise)


# Judging ----------------------------------------------------------------------------------------------------------


def _judge_all(
    asked: Sequence[tuple[Adapter, Direction]], mode: ModeName, workers: dict[str, Worker], told: Told
) -> dict[tuple[str, Direction], Row]:
    known = _fingerprint()
    rows: dict[tuple[str, Direction], Row] = {}

    def judge_family(family: str) -> None:
        for adapter, direction in (pair for pair in asked if pair[0].family == family):
            claims = [getattr(adapter, f.name) for f in fields(adapter) if f.name not in ("build", "program")]
            key = hashlib.sha256(f"{known}\n{claims}\n{direction}\n{mode}".encode()).hexdigest()
            row = _kept(key)
            if row is None:
                row = _judge(workers[family], adapter, direction, mode)
                _keep(key, row)
            rows[adapter.name, direction] = row
            told(f"judged {adapter.name}", 0.5 * len(rows) / len(asked))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(judge_family, workers))
    return {(a.name, d): rows[a.name, d] for a, d in asked}


def _judge(worker: Worker, adapter: Adapter, direction: Direction, mode: ModeName) -> Row:
    about: Row = {"name": adapter.name, "direction": direction, "distribution": adapter.distribution}
    about |= {"copied": adapter.copied, "judged": adapter.judged and list(adapter.judged)}
    start = time.monotonic()
    try:
        answer = worker.ask(JUDGING, "judge", adapter.name, mode, direction)
    except Lost as lost:
        answer = str(lost)
    if isinstance(answer, str):
        return {**about, "skipped": answer}
    return {**about, "skipped": "", **answer, "seconds_judged": round(time.monotonic() - start, 1)}


def _fingerprint() -> str:
    """What a verdict depends on: the suite's code, what is installed, and the packages that node finds."""
    here = Path(__file__).parents[1]
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(
        p for p in here.rglob("*") if p.suffix in (".py", ".js") and p.parent.name not in ("cli", "pages")
    ):
        if path.name not in ("run.py", "worker.py", "adapters.py", "results.py", "picture.py", "page.py", "quiet.py"):
            digest.update(path.read_bytes())
    digest.update(json.dumps(sorted(f"{d.name} {d.version}" for d in metadata.distributions())).encode())
    for folder in filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)):
        lock = Path(folder, ".package-lock.json")
        digest.update(lock.read_bytes() if lock.exists() else folder.encode())
    return digest.hexdigest()


def _kept(key: str) -> Row | None:
    try:
        row: Row = json.loads((cache_folder("field") / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row


def _keep(key: str, row: Row) -> None:
    if row["skipped"]:  # it may be installed next time
        return
    folder = cache_folder("field")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{key}.json") as file:
        json.dump(row, file)


# Timing -----------------------------------------------------------------------------------------------------------


def _time_all(
    asked: Sequence[tuple[Adapter, Direction]],
    rows: dict[tuple[str, Direction], Row],
    mode: ModeName,
    workers: dict[str, Worker],
    images: int,
    most: float,
    told: Told,
) -> quiet.Noise | None:
    workers.setdefault("numpy", Worker("numpy"))
    turns = [(a, d) for a, d in asked if not rows[a.name, d]["skipped"]]
    yardstick = Adapter(LIMIT, limit)
    rows[LIMIT, "forward"] = {"name": LIMIT, "direction": "forward", "distribution": "numpy", "skipped": ""}
    turns = [(yardstick, "forward"), *turns]
    seconds: dict[tuple[str, Direction], list[float]] = {}
    rounds: dict[tuple[str, Direction], int] = {}
    for number, (adapter, direction) in enumerate(turns):
        told(f"starts {adapter.name}", 0.5 + 0.1 * number / len(turns))
        try:
            answer = workers[adapter.family].ask(
                JUDGING, "prepare", adapter.name, mode, direction, min(images, adapter.most_images)
            )
        except Lost as lost:
            answer = str(lost)
        if isinstance(answer, float):
            seconds[adapter.name, direction] = []
            rounds[adapter.name, direction] = min(ROUNDS, max(1, int(TURN / max(answer, 1e-9))))
        else:
            rows[adapter.name, direction]["not_timed"] = answer
    before = quiet.snapshot()
    left = [turn for turn in turns if (turn[0].name, turn[1]) in seconds]
    while left:
        random.shuffle(left)
        for adapter, direction in left:
            told(f"times all in turns, {len(left)} have not settled", 1.0 - 0.4 * len(left) / len(turns))
            mine = seconds[adapter.name, direction]
            try:
                few, count = rounds[adapter.name, direction], min(images, adapter.most_images)
                answer = workers[adapter.family].ask(TIMING, "time", adapter.name, mode, direction, count, few)
            except Lost as lost:
                answer = str(lost)
            if isinstance(answer, str):
                rows[adapter.name, direction]["not_timed"] = answer
                mine[:] = [float("inf")] * LEAST
            else:
                mine += answer
        left = [(a, d) for a, d in left if not _done(seconds[a.name, d], most)]
    after = quiet.snapshot()
    counts = {a.name: min(images, a.most_images) for a, _ in turns}
    for (name, direction), found in seconds.items():
        if found and found[0] != float("inf"):
            rows[name, direction] |= _figures(found, counts[name] * SIDE * SIDE * 3)
    _relate(rows.values())
    timed = [row for row in rows.values() if "ns" in row]
    return quiet.noise(before, after, sum(not row["settled"] for row in timed) / max(1, len(timed)))


def _done(seconds: Sequence[float], most: float) -> bool:
    if len(seconds) >= LEAST:
        return quiet.settled(seconds) or sum(seconds) > most
    return len(seconds) >= FEWEST and sum(seconds) > 4 * most > 0


def _figures(seconds: Sequence[float], elements: int) -> Row:
    least, middle = (value / elements * 1e9 for value in (min(seconds), statistics.median(seconds)))
    return {
        "ns": {"min": least, "median": middle},
        "rounds": len(seconds),
        "settled": quiet.settled(seconds),
    }


def _relate(rows: Iterable[Row]) -> None:
    """How many times as fast as Keras's arrays each is, by medians."""
    listed = list(rows)
    base = next((row["ns"]["median"] for row in listed if row["name"] == KERAS and "ns" in row), None)
    for row in listed:
        forward = "ns" in row and row["direction"] == "forward"
        row["times_keras"] = base / row["ns"]["median"] if base and forward else None
