"""The options of ``pytest benchmarks``, and which tasks and implementations there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.measure import Outcome, measure
from benchmarks.peers import PEERS, can, own_peers
from benchmarks.tasks import Task, all_tasks, usual_tasks
from vggprep.field import quiet
from vggprep.field.adapters import KERAS
from vggprep.field.limit import LIMIT, limit
from vggprep.field.setup import Adapter
from vggprep.machine import versions


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vggprep benchmarks")
    group.addoption("--full", action="store_true", help="the full grid, hours, instead of one axis at a time")
    group.addoption("--large", action="store_true", help="also batches of 512 images (a result of 308 MB each)")
    group.addoption(
        "--threads",
        default="1,2",
        metavar="N[,N]",
        help="numbers of threads; TensorFlow and JAX, which fix theirs when they start, take part with the first",
    )
    group.addoption(
        "--seconds-each",
        type=float,
        default=0.2,
        metavar="S",
        help="how long to time each implementation in each task (at least five rounds)",
    )


def _thread_counts(config: pytest.Config) -> tuple[int, ...]:
    given = config.getoption("--threads")
    try:
        counts = tuple(dict.fromkeys(int(word) for word in given.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise pytest.UsageError(f"--threads takes integers of 1 or more, such as 1,2; got {given!r}")
    return counts


_BEFORE = pytest.StashKey[quiet.Snapshot | None]()
_PEERS = pytest.StashKey[dict[str, Adapter]]()
_TASKS = pytest.StashKey[dict[str, Task]]()


def pytest_configure(config: pytest.Config) -> None:
    from vggprep.implementations.targets import TargetError

    found = {LIMIT: Adapter(LIMIT, limit), **{peer.name: peer for peer in PEERS}}
    for target in dict.fromkeys(config.getoption("--implementation", [])):
        try:
            found |= {peer.name: peer for peer in own_peers(target)}
        except TargetError as error:
            raise pytest.UsageError(str(error)) from error
    config.stash[_BEFORE] = quiet.snapshot()
    config.stash[_PEERS] = found
    make = all_tasks if config.getoption("--full") else usual_tasks
    tasks = make(_thread_counts(config), config.getoption("--large"))
    config.stash[_TASKS] = {task.name: task for task in tasks}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    tasks, peers = metafunc.config.stash[_TASKS], metafunc.config.stash[_PEERS]
    if "gpu_task_name" in metafunc.fixturenames:
        full = metafunc.config.getoption("--full")
        names = [t.name for t in tasks.values() if _for_gpu(t) and (full or t.data_format == "channels_last")]
        metafunc.parametrize("gpu_task_name", names)
        metafunc.parametrize("peer_name", [LIMIT, KERAS, *(peer.name for peer in gpu.PEERS)])
    elif "task_name" in metafunc.fixturenames:
        pairs = [
            pytest.param(task.name, peer.name, id=f"{task.name}-{peer.name}")
            for task in tasks.values()
            for peer in peers.values()
            if peer.name == LIMIT or can(peer, task) or (peer.name == KERAS and task.direction == "forward")
        ]
        metafunc.parametrize(("task_name", "peer_name"), pairs)


def _for_gpu(task: Task) -> bool:
    """64 images of bytes, without the caller's output and threads, which a GPU does not have."""
    return (task.direction, task.dtype, task.images, task.output) == ("forward", "uint8", 64, "fresh") and not (
        task.reading or task.cropped or task.threads > 1
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--implementation``, leave out the checks that the plugin adds: only speed is measured here."""
    checks = [item for item in items if item.nodeid.startswith("vggprep::")]
    if checks:
        config.hook.pytest_deselected(items=checks)
        items[:] = [item for item in items if not item.nodeid.startswith("vggprep::")]


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info["versions"] = versions(["vggprep", *dict.fromkeys(peer.distribution for peer in PEERS)])
    noise = quiet.noise(config.stash[_BEFORE], quiet.snapshot())
    machine_info["noise"] = None if noise is None else asdict(noise)


class Session:
    """The measurements of this session; each task is measured once, when the first of its tests runs."""

    def __init__(self, session: pytest.Session) -> None:
        self._config = session.config
        self._wanted: dict[str, list[str]] = {}
        for item in session.items:
            callspec = getattr(item, "callspec", None)
            parameters: dict[str, str] = callspec.params if callspec else {}
            for kind in ("task_name", "gpu_task_name"):
                if kind in parameters:
                    self._wanted.setdefault(kind + parameters[kind], []).append(parameters["peer_name"])
        self._last = ""
        self._outcome: Outcome | None = None

    def outcome(self, task_name: str) -> Outcome:
        """All selected implementations on this task."""
        return self._measured("task_name", task_name, self._config.stash[_PEERS])

    def gpu_outcome(self, task_name: str) -> Outcome:
        """The same on the GPU."""
        return self._measured("gpu_task_name", task_name, {peer.name: peer for peer in gpu.PEERS})

    def _measured(self, kind: str, task_name: str, peers: dict[str, Adapter]) -> Outcome:
        if self._outcome is None or self._last != kind + task_name:
            self._outcome = None  # frees its memory before more is allocated
            wanted = [peers[name] for name in self._wanted[kind + task_name] if name in peers and name != LIMIT]
            task = self._config.stash[_TASKS][task_name]
            self._outcome = measure(task, wanted, self._config.getoption("--seconds-each"))
            self._last = kind + task_name
        return self._outcome


@pytest.fixture(scope="session")
def measurements(request: pytest.FixtureRequest) -> Session:
    """The measurements of this session."""
    return Session(request.session)
