"""``vggprep prove`` in processes of its own: exit codes, stopping and going on, executors, a Dask cluster."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vggprep
from vggprep.proof import Certificate, Row, certificates

TARGETS = """
    import os, time
    from concurrent.futures import ThreadPoolExecutor
    from vggprep import preprocess_input

    def right(x, data_format=None, mode="caffe"):
        return preprocess_input(x, data_format, mode)

    def slow(x, data_format=None, mode="caffe"):
        if x.size > 100_000:
            time.sleep(float(os.environ.get("PAUSE", "0.2")))
        return preprocess_input(x, data_format, mode)

    def wrong(x, mode="tf"):
        y = preprocess_input(x, mode=mode)
        y[x == 77] = 0
        return y

    def wrong_or_slow(x, mode):
        if mode == "torch" and x.size > 100_000:
            time.sleep(4)
        return x.astype("float32") if mode == "tf" else preprocess_input(x, mode=mode)

    def deadly(x, mode="tf"):
        if x.size > 100_000:
            os._exit(7)
        return preprocess_input(x, mode=mode)

    def deadly_once(x, mode="tf"):
        if x.size > 100_000 and not os.path.exists("died"):
            open("died", "w").close()
            os._exit(7)
        return preprocess_input(x, mode=mode)

    def raises_for_one(x, mode="tf"):
        if (x == 43981).any():
            raise ArithmeticError("no such grey")
        return preprocess_input(x, mode=mode)

    def threads():
        return ThreadPoolExecutor(2)

    def no_executor():
        return 5

    def no_luck():
        raise RuntimeError("no machines today")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "targets.py").write_text(textwrap.dedent(TARGETS), encoding="utf-8")
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vggprep", "prove", *arguments]


def vggprep_prove(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, check=False, timeout=300, **more
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a run that ended with exit code 2: one line, on standard error, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def timeless(certificate: Certificate) -> list[Row]:
    from dataclasses import replace

    return [replace(row, seconds=0) for row in certificate.rows]


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


# Verdicts -----------------------------------------------------------------------------------------------------------


def test_what_holds_exits_with_0_and_its_certificate_is_verified(folder: Path) -> None:
    done = vggprep_prove("targets:right", "--dtype", "uint8", "--dtype", "float16", "-o", "good.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "targets:right at level faithful: nothing is wrong (16 proven)" in done.stdout
    assert "the certificate is in good.json" in done.stdout
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["good.json", "targets.py"]
    good = certificates.read(folder / "good.json")
    assert good.holds
    assert good.arguments == ("prove", "targets:right", "--dtype", "uint8", "--dtype", "float16", "-o", "good.json")

    done = vggprep_prove("--verify", "good.json", "--parts", "3", "--seed", "1", "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "targets:right: 3 of 8 parts done again; they agree with the certificate\n"

    document = json.loads((folder / "good.json").read_text(encoding="utf-8"))
    document["rows"][3]["digests"] = ["0" * 32]
    (folder / "altered.json").write_text(json.dumps(document), encoding="utf-8")
    done = vggprep_prove("--verify", "altered.json", "--workers", "1", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "other outputs than the certificate tells of" in done.stdout
    assert "the certificate does NOT hold here" in done.stdout


def test_a_sample_is_never_called_a_proof(folder: Path) -> None:
    done = vggprep_prove("targets:right", "--dtype", "float64", "--mode", "identity", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no fault met" in done.stdout
    assert "float64 is a sample of" in done.stdout
    assert "That is no proof." in done.stdout
    assert "(2 sampled)" in done.stdout


def test_what_is_wrong_exits_with_1_and_says_where(folder: Path) -> None:
    done = vggprep_prove("targets:wrong", "--dtype", "uint8", "--mode", "tf", "--all", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG 3" in done.stdout
    assert "3 of 768 values wrong" in done.stdout
    assert "from targets import wrong" in done.stdout
    assert "NOT proven (1 wrong)" in done.stdout


def test_an_exception_for_one_value_is_reproduced_with_that_value(folder: Path) -> None:
    done = vggprep_prove("targets:raises_for_one", "--dtype", "uint16", "--mode", "tf", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "gives no result for some values that it should: ArithmeticError: no such grey" in done.stdout
    code = done.stdout.split("to see it:\n", 1)[1].split("\n\n", 1)[0]
    assert "43981" in code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a TARGET"),
        (["nowhere:f"], "there is no module nowhere"),
        (["targets:f"], "targets has no attribute 'f'"),
        (["--verify", "nowhere.json"], "cannot read nowhere.json: No such file or directory"),
        (["--verify", "targets.py"], "targets.py is no certificate, or half of one"),
        (["--verify", "nowhere.json", "reference"], "leave TARGET and --inverse out"),
        (["reference", "-o", "nowhere/c.json"], "there is no folder nowhere"),
        (["reference", "-o", "."], "it is a folder"),
        (["targets:right", "--executor", "here"], "--executor here: give dask:tcp://HOST:PORT or module:factory"),
        (["targets:right", "--executor", "nowhere:f"], "--executor nowhere:f: ModuleNotFoundError"),
        (["targets:right", "--executor", "targets:f"], "--executor targets:f: AttributeError"),
        (["targets:right", "--executor", "targets:no_executor"], "makes a int, which has no submit"),
        (["targets:right", "--executor", "targets:no_luck"], "RuntimeError: no machines today"),
    ],
)
def test_what_cannot_be_started_is_one_line_and_exit_code_2(arguments: list[str], said: str, folder: Path) -> None:
    assert said in one_line(vggprep_prove(*arguments, cwd=folder))


@pytest.mark.parametrize(
    "arguments",
    [["--dtype", "bool"], ["--dtype", "complex64"], ["--mode", "vgg"], ["--workers", "0"], ["--parts", "x"]],
)
def test_a_mistake_in_the_options_exits_with_2_and_says_what_is_accepted(arguments: list[str], folder: Path) -> None:
    done = vggprep_prove("reference", *arguments, cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Invalid value" in done.stderr


# Executors ----------------------------------------------------------------------------------------------------------

SMALL = ("--dtype", "uint8", "--dtype", "uint16", "--mode", "tf", "--mode", "torch")


def test_any_executor_does_the_work(folder: Path) -> None:
    done = vggprep_prove("targets:right", *SMALL, "--executor", "targets:threads", "-o", "threads.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    done = vggprep_prove("targets:right", *SMALL, "--workers", "1", "-o", "processes.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    threads, processes = (certificates.read(folder / f"{name}.json") for name in ("threads", "processes"))
    assert timeless(threads) == timeless(processes)


def test_what_threads_are_still_at_does_not_swallow_the_report(folder: Path) -> None:
    arguments = ("targets:wrong_or_slow", "--dtype", "uint16", "--mode", "tf", "--mode", "torch")
    done = vggprep_prove(*arguments, "--executor", "targets:threads", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT proven (1 wrong, 1 unfinished)" in done.stdout


def test_a_worker_that_dies_once_is_replaced(folder: Path) -> None:
    done = vggprep_prove("targets:deadly_once", "--dtype", "uint16", "--mode", "tf", "--workers", "2", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "died").exists()


def test_workers_that_die_again_and_again_are_one_line(folder: Path) -> None:
    done = vggprep_prove("targets:deadly", "--dtype", "uint16", "--mode", "tf", "--workers", "1", cwd=folder)
    assert "a worker process died 3 times before it had done anything" in one_line(done)
    assert "1 parts are left" in done.stderr


# Stopping and going on ----------------------------------------------------------------------------------------------

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system lists no processes in /proc")


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """A run in a session of its own, as on a terminal of its own."""
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # nohup may ignore it
    )


def family(session: int) -> list[str]:
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            name, _, rest = (folder / "stat").read_text(encoding="utf-8").rpartition(")")
        except (OSError, UnicodeDecodeError):
            continue
        state, _, _, its_session, *_ = rest.split()
        if folder.name.isdigit() and int(its_session) == session and state not in "ZX":
            found.append(name)
    return found


def ended(session: int, seconds: float = 20) -> bool:
    """Whether all processes of a session end by themselves."""
    end = time.monotonic() + seconds
    while family(session) and time.monotonic() < end:
        time.sleep(0.05)
    return not family(session)


def kill_all(session: int) -> None:
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


def parts_done(progress: Path) -> int:
    return progress.read_bytes().count(b"\n") - 1 if progress.exists() else 0


SLOW = ("targets:slow", "--dtype", "uint16", "--dtype", "float16", "--workers", "2", "-o", "slow.json")  # 8 parts


@pytest.fixture
def uninterrupted(folder: Path) -> list[Row]:
    """What comes of ``SLOW`` if nothing comes between."""
    done = vggprep_prove(*SLOW[:-1], "whole.json", cwd=folder, env={**os.environ, "PAUSE": "0"})
    assert done.returncode == 0, done.stdout + done.stderr
    return timeless(certificates.read(folder / "whole.json"))


@needs_proc
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to all processes", "to the main process"])
def test_ctrl_c_stops_a_long_run_at_once_and_says_how_to_resume(send: Callable[[int, int], None], folder: Path) -> None:
    process = start("reference", "--dtype", "float32", "--workers", "2", "-o", "long.json", cwd=folder)
    try:
        # Its own process, multiprocessing's resource tracker and two workers, which are given time to be at work.
        wait_for(lambda: len(family(process.pid)) >= 4)
        time.sleep(3)
        asked = time.monotonic()
        send(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        took = time.monotonic() - asked
        print(f"Ctrl-C took {took:.2f} s")
        assert ended(process.pid)
    finally:
        kill_all(process.pid)
    assert (process.returncode, output) == (2, "")
    assert errors.strip().splitlines()[-1] == (
        "vggprep: stopped; what is done is kept in long.json.progress: the same command goes on from there"
    )
    assert "Traceback" not in errors
    assert took < 5


@needs_proc
def test_after_ctrl_c_the_same_command_goes_on(folder: Path, uninterrupted: list[Row]) -> None:
    progress = folder / "slow.json.progress"
    process = start(*SLOW, cwd=folder)
    try:
        wait_for(lambda: parts_done(progress) >= 2)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert ended(process.pid)
    finally:
        kill_all(process.pid)
    assert process.returncode == 2, errors
    assert "the same command goes on from there" in errors
    assert 2 <= parts_done(progress) < 8
    assert not (folder / "slow.json").exists()
    done = vggprep_prove(*SLOW, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not progress.exists()
    assert timeless(certificates.read(folder / "slow.json")) == uninterrupted


@needs_proc
def test_kill_9_at_any_moment_loses_nothing_and_leaves_nobody_behind(folder: Path, uninterrupted: list[Row]) -> None:
    progress = folder / "slow.json.progress"
    moments = random.Random(9)
    for parts in (0, 3, 6):
        process = start(*SLOW, cwd=folder)
        try:
            wait_for(lambda: len(family(process.pid)) >= 4 and parts_done(progress) >= parts)  # noqa: B023
            time.sleep(moments.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            assert ended(process.pid)
        finally:
            kill_all(process.pid)
        assert process.returncode == -signal.SIGKILL
        assert not (folder / "slow.json").exists()
    assert 6 <= parts_done(progress) < 8
    done = vggprep_prove(*SLOW, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert timeless(certificates.read(folder / "slow.json")) == uninterrupted


def test_a_full_disk_is_one_line_and_what_was_done_is_kept(folder: Path, uninterrupted: list[Row]) -> None:
    resource = pytest.importorskip("resource")

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = vggprep_prove(*SLOW, cwd=folder, preexec_fn=little_room)
    said = one_line(done)
    assert "cannot write to slow.json.progress: File too large; what it holds is kept" in said
    assert 1 <= parts_done(folder / "slow.json.progress") < 8
    done = vggprep_prove(*SLOW, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert timeless(certificates.read(folder / "slow.json")) == uninterrupted


def test_a_second_process_on_the_same_work_is_refused(folder: Path) -> None:
    with certificates.Progress(folder / "slow.json.progress", {}):
        said = one_line(vggprep_prove(*SLOW, cwd=folder))
    assert "another process is at work on slow.json.progress: wait for it, or name another file with -o" in said


def test_progress_of_another_target_or_a_foreign_file_is_refused_in_one_line(folder: Path) -> None:
    progress = folder / "slow.json.progress"
    progress.write_text("my diary\n", encoding="utf-8")
    assert "slow.json.progress is no progress of a proof" in one_line(vggprep_prove(*SLOW, cwd=folder))
    assert progress.read_text(encoding="utf-8") == "my diary\n"
    progress.unlink()
    with certificates.Progress(progress, {"target": "targets:right"}):
        pass
    said = one_line(vggprep_prove(*SLOW, cwd=folder))
    assert "is of target targets:right, not targets:slow: delete it, or keep this proof elsewhere with -o" in said


# A Dask cluster: a real scheduler and real workers on the loopback interface ----------------------------------------


class Cluster:
    """A scheduler, and the workers that a test starts; what is started is ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._run("dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
        wait_for(lambda: self._answers(port))

    def _run(self, program: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *arguments, "--no-dashboard"],
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )

    def _answers(self, port: int) -> bool:
        assert self.scheduler.poll() is None, (self.folder / "dask.log").read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def start_workers(self, count: int = 2, **environment: str) -> None:
        """Start workers of one thread each, and wait until the scheduler knows all that there are."""
        from distributed import Client

        options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder)]
        self.workers += [self._run("dask_worker", self.address, *options, **environment) for _ in range(count)]
        with Client(self.address, timeout=30) as client:
            wait_for(lambda: len(client.ncores()) == len(self.workers))

    def kill_workers(self, count: int | None = None) -> None:
        """``kill -9``."""
        for worker in self.workers[:count]:
            worker.kill()
            worker.wait()
        del self.workers[:count]

    def end(self) -> None:
        self.kill_workers()
        self.scheduler.kill()
        self.scheduler.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason='needs distributed: pip install "vggprep[dask]"')
    folder = tmp_path_factory.mktemp("dask")
    (folder / "targets.py").write_text(textwrap.dedent(TARGETS), encoding="utf-8")
    found = Cluster(folder)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def cluster(scheduler: Cluster) -> Iterator[Cluster]:
    """The scheduler without workers, and what is written in its folder taken away."""
    yield scheduler
    scheduler.kill_workers()
    for path in scheduler.folder.glob("*.json*"):
        path.unlink()


def slow_on(cluster: Cluster, **environment: str) -> subprocess.Popen[str]:
    return start(*SLOW, "--executor", f"dask:{cluster.address}", cwd=cluster.folder, **environment)


def test_a_cluster_and_this_machine_make_the_same_certificate(cluster: Cluster) -> None:
    cluster.start_workers()
    for target, more in (("reference", ()), ("targets:right", ("--inverse", "reference"))):
        for name, executor in (("local", ()), ("dask", ("--executor", f"dask:{cluster.address}"))):
            arguments = (target, *more, *SMALL, *executor, "-o", f"{name}.json")
            done = vggprep_prove(*arguments, cwd=cluster.folder)
            assert done.returncode == 0, done.stdout + done.stderr
        local, dask = (certificates.read(cluster.folder / f"{name}.json") for name in ("local", "dask"))
        assert timeless(dask) == timeless(local)
        assert (dask.versions, dask.machine, dask.values) == (local.versions, local.machine, local.values)
    done = vggprep_prove("--verify", "local.json", "--executor", f"dask:{cluster.address}", cwd=cluster.folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_killed_half_way_loses_nothing(cluster: Cluster) -> None:
    done = vggprep_prove(*SLOW[:-1], "whole.json", cwd=cluster.folder, env={**os.environ, "PAUSE": "0"})
    assert done.returncode == 0, done.stdout + done.stderr
    cluster.start_workers(PAUSE="0.5")
    process = slow_on(cluster)
    try:
        wait_for(lambda: parts_done(cluster.folder / "slow.json.progress") >= 2)
        cluster.kill_workers(1)
        _, errors = process.communicate(timeout=120)
    finally:
        kill_all(process.pid)
    assert process.returncode == 0, errors
    slow, whole = (certificates.read(cluster.folder / f"{name}.json") for name in ("slow", "whole"))
    assert timeless(slow) == timeless(whole)


def test_when_all_workers_are_gone_it_says_so_and_the_same_command_goes_on(cluster: Cluster) -> None:
    cluster.start_workers(PAUSE="0.5")
    progress = cluster.folder / "slow.json.progress"
    process = slow_on(cluster)
    try:
        wait_for(lambda: parts_done(progress) >= 2)
        cluster.kill_workers()
        output, errors = process.communicate(timeout=120)
    finally:
        kill_all(process.pid)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    assert "all workers of the cluster are gone: start new ones, and the same command goes on" in one_line(done)
    assert 2 <= parts_done(progress) < 8
    cluster.start_workers(1, PAUSE="0")
    done = vggprep_prove(*SLOW, "--executor", f"dask:{cluster.address}", cwd=cluster.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert certificates.read(cluster.folder / "slow.json").holds


def test_when_the_scheduler_is_gone_it_says_so_and_what_is_done_is_kept(scheduler: Cluster, folder: Path) -> None:
    own = Cluster(folder)
    progress = folder / "slow.json.progress"
    try:
        own.start_workers(PAUSE="0.5")
        process = slow_on(own)
        try:
            wait_for(lambda: parts_done(progress) >= 2)
            own.scheduler.kill()
            output, errors = process.communicate(timeout=120)
        finally:
            kill_all(process.pid)
    finally:
        own.end()
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    assert "its scheduler is gone: start it anew, and the same command goes on" in one_line(done)
    assert 2 <= parts_done(progress) < 8


@needs_proc
def test_ctrl_c_stops_waiting_for_a_cluster_at_once(cluster: Cluster) -> None:
    cluster.start_workers(1, PAUSE="2")
    process = slow_on(cluster)
    try:
        wait_for(lambda: parts_done(cluster.folder / "slow.json.progress") >= 1)
        asked = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        took = time.monotonic() - asked
        print(f"Ctrl-C took {took:.2f} s")
    finally:
        kill_all(process.pid)
    assert process.returncode == 2
    assert errors.strip() == (
        "vggprep: stopped; what is done is kept in slow.json.progress: the same command goes on from there"
    )
    assert took < 5


def test_a_worker_with_other_code_is_named_and_refused(cluster: Cluster) -> None:
    theirs = cluster.folder / "theirs" / "vggprep"
    shutil.copytree(Path(vggprep.__file__).parent, theirs, ignore=shutil.ignore_patterns("__pycache__"))
    with (theirs / "reference.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    cluster.start_workers(1)
    cluster.start_workers(1, PYTHONPATH=str(theirs.parent))
    other = cluster.workers[1].pid
    process = slow_on(cluster)
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        kill_all(process.pid)
    said = one_line(subprocess.CompletedProcess(process.args, process.returncode, output, errors))
    assert f"process {other} cannot take part: it has vggprep code" in said
    assert (cluster.folder / "slow.json.progress").exists()


def test_a_cluster_that_does_not_answer_is_one_line(cluster: Cluster) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        runs = {
            f"tcp://127.0.0.1:{silent.getsockname()[1]}": "no Dask scheduler answers at tcp://127.0.0.1",
            "tcp://127.0.0.1:1": "no Dask scheduler answers at tcp://127.0.0.1:1",
            "nonsense://x": "no Dask scheduler answers at nonsense://x",
            cluster.address: "has no workers: start some with dask worker tcp://127.0.0.1",
        }
        waiting = {
            address: start("targets:right", *SMALL, "--executor", f"dask:{address}", cwd=cluster.folder)
            for address in runs
        }
        for address, process in waiting.items():
            output, errors = process.communicate(timeout=120)
            done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
            assert runs[address] in one_line(done)
        took = time.monotonic() - started
        print(f"no answer: told after {took:.1f} s")
    assert took < 60
