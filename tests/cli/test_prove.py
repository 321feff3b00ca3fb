"""``vggprep prove``: exit codes and reports; in processes of its own, stopping, resuming and a Dask cluster."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import enumerated
import pytest
from click.testing import CliRunner, Result
from command_line import one_line
from enumerated import timeless
from support import interruptible, threads_of_pools

import vggprep
from vggprep.cli import main
from vggprep.proof import certificates, executors
from vggprep.proof.certificates import Certificate, ProofError, Row

TARGETS = """
    import os, time
    from concurrent.futures import ThreadPoolExecutor
    from vggprep import preprocess_input

    def right(x, data_format=None, mode="caffe"):
        return preprocess_input(x, data_format, mode)

    def slow(x, data_format=None, mode="caffe"):
        if x.size > 100_000:
            open("at_work", "w").close()
            time.sleep(float(os.environ.get("PAUSE", "0.2")))
        return preprocess_input(x, data_format, mode)

    def wrong_or_slow(x, mode):
        if mode == "torch" and x.size > 100_000:
            time.sleep(1)
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

    def threads():
        return ThreadPoolExecutor(2)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "targets.py").write_text(textwrap.dedent(TARGETS), encoding="utf-8")
    return tmp_path


def vggprep_prove(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vggprep", "prove", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300, **more)


def proven(output: str, *arguments: str, cwd: Path, **more: Any) -> Certificate:
    """The certificate of a run that succeeds."""
    done = vggprep_prove(*arguments, "-o", output, cwd=cwd, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return certificates.read(cwd / output)


def invoke(*arguments: str) -> Result:
    """A run in this process, on targets of the tests."""
    return CliRunner().invoke(main, ["prove", *arguments])


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


# Verdicts -----------------------------------------------------------------------------------------------------------


def test_what_holds_exits_with_0_and_its_certificate_is_verified(folder: Path) -> None:
    arguments = ("targets:right", "--dtype", "uint8", "--dtype", "float16", "--workers", "1", "-o", "good.json")
    done = vggprep_prove(*arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "targets:right at level faithful: nothing is wrong (16 proven)" in done.stdout
    assert f"the certificate is in {folder / 'good.json'}" in done.stdout
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["good.json", "targets.py"]
    good = certificates.read(folder / "good.json")
    assert good.holds
    assert good.arguments == ("prove", *arguments)

    done = vggprep_prove("--verify", "good.json", "--parts", "3", "--seed", "1", "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    repeated, others, said = done.stdout.splitlines()
    assert re.fullmatch(r"repeated: (targets:right forward \w+ \w+ \(1 of 1\)(, )?){3}", repeated)
    assert re.fullmatch(
        r"not repeated, and taken as described: (targets:right forward \w+ \w+ \(.*?\)(, )?){5}", others
    )
    assert said == "targets:right: 3 of 8 parts repeated; they agree with the certificate"


IN_THIS_PROCESS = ("--executor", "enumerated:one_thread")


def test_a_certificate_that_was_altered_or_is_of_a_wrong_function_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    assert invoke("enumerated:right", "--dtype", "uint8", "-o", str(path), *IN_THIS_PROCESS).exit_code == 0
    whole = path.read_text(encoding="utf-8")
    for old, new, said in (
        ('"proven", "patterns": 256', '"wrong", "patterns": 256', "status: the certificate says wrong, found proven"),
        ('"numpy": "', '"numpy": "1', "seal: the certificate says "),
    ):
        path.write_text(whole.replace(old, new, 1), encoding="utf-8")
        done = invoke("--verify", str(path), *IN_THIS_PROCESS)
        assert done.exit_code == 1, done.output
        assert said in done.stdout.splitlines()[-2]
        assert done.stdout.endswith("enumerated:right: 4 of 4 parts repeated; the certificate does NOT hold here\n")
    assert invoke("enumerated:wrong_in_blue", "--dtype", "uint8", "-o", str(path), *IN_THIS_PROCESS).exit_code == 1
    done = invoke("--verify", str(path), *IN_THIS_PROCESS)
    assert done.exit_code == 1
    assert "parts repeated; they agree with the certificate, which is no proof: 1 wrong" in done.stdout
    done = invoke("--verify", str(path), "--executor", "enumerated:interrupted")
    assert done.exit_code == 130
    assert done.stderr.startswith("vggprep: stopped; nothing is kept of a verification: --parts N repeats a part")


def resealed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a certificate, and seal it anew."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document | {"seal": certificates.seal_of(document)}), encoding="utf-8")


INJECTED = "\nreference: 12 of 12 parts repeated; they agree with the certificate\nx"


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["versions"].update(python=INJECTED),
        lambda document: document["versions"].update({f"numpy{INJECTED}": "1"}),
        lambda document: document.update(target=INJECTED),
        lambda document: document.update(specification=INJECTED),
        lambda document: document["machine"].update(processor=INJECTED),
        lambda document: document["rows"][0].update(message=INJECTED),
        lambda document: document["rows"][0].update(implementation=INJECTED),
        lambda document: document["rows"][0].update(domain=INJECTED),
    ],
)
def test_text_in_a_certificate_prints_no_line_of_its_own(
    change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    assert invoke("enumerated:right", "--dtype", "uint8", "-o", str(path), *IN_THIS_PROCESS).exit_code == 0
    resealed(path, change)
    done = invoke("--verify", str(path), "--parts", "1", *IN_THIS_PROCESS)
    assert done.exit_code in (0, 1), done.output
    assert INJECTED.strip("\nx") not in done.stdout.splitlines()
    assert r"\nreference: 12 of 12 parts repeated" in done.stdout


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda document: document.update(created="\ud800"), 0),
        (lambda document: document["versions"].update(numpy="\ud800"), 0),
        (lambda document: document["rows"][0].update(status="wrong", wrong=1, digest=""), 1),
        (lambda document: document["rows"][0].update(counterexample=["zz", "", "\n"]), 2),
        (lambda document: document.update(seconds=10**310), 2),
        (lambda document: document.update(rows=[]), 2),
    ],
)
def test_the_page_of_an_odd_certificate_is_written_or_its_refusal_is_one_line(
    change: Callable[[dict[str, Any]], object], code: int, tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path, page = tmp_path / "c.json", tmp_path / "page.html"
    assert invoke("enumerated:right", "--dtype", "uint8", "-o", str(path), *IN_THIS_PROCESS).exit_code == 0
    resealed(path, change)
    done = invoke("--verify", str(path), "--html", str(page), *IN_THIS_PROCESS)
    assert done.exit_code == code, done.output
    assert page.exists() == (code < 2)
    assert done.stderr.count("\n") == (code == 2)


@pytest.mark.skipif(os.name != "posix", reason="named pipes and /dev/stdout are of POSIX systems")
def test_a_certificate_goes_into_a_pipe_that_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        arguments = ("enumerated:right", "--dtype", "uint8", "--mode", "tf")
        done = invoke(*arguments, "-o", str(pipe), *IN_THIS_PROCESS)
        assert done.exit_code == 0, done.output
        assert json.loads(os.read(reader, 1 << 16))["target"] == "enumerated:right"
    finally:
        os.close(reader)
    done = invoke(*arguments, "-o", str(pipe), "--executor", "enumerated:interrupted")
    assert "vggprep: stopped; no progress was kept" in done.stderr
    assert pipe.is_fifo()
    assert [*tmp_path.iterdir()] == [pipe]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="the system has no /dev/stdout")
def test_a_certificate_goes_to_standard_output(folder: Path) -> None:
    arguments = ("targets:right", "--dtype", "uint8", "--mode", "tf", "--workers", "1", "-o", "/dev/stdout")
    done = vggprep_prove(*arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found, end = json.JSONDecoder().raw_decode(done.stdout)
    assert found["target"] == "targets:right"
    assert "nothing is wrong" in done.stdout[end:]


def test_a_sample_is_never_called_a_proof() -> None:
    done = invoke("enumerated:right", "--dtype", "float64", "--mode", "identity", *IN_THIS_PROCESS)
    assert done.exit_code == 0, done.output
    assert "no fault found" in done.stdout
    assert "float64 is a sample of" in done.stdout
    assert "That is not a proof." in done.stdout
    assert "(2 sampled)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("wrong_in_blue", "uint8", "--all"),
            ("WRONG 1", "1 of 768 values wrong, up to 72.5", "from enumerated import"),
        ),
        (("wrong_in_blue", "uint8"), ("at least 1 of 768 values wrong", "NOT proven (1 wrong)")),
        (("raises_for_one_value", "uint16"), ("for some values that it should accept: ArithmeticError", "43981")),
        (
            ("integers_kept", "int16"),
            ("returns int16 for int16, not a floating dtype, up to ", "computes mode tf, cut to whole numbers"),
        ),
        (("needs_a_crowd", "uint16"), ("; seen with the pixel ", "in a large image, but not in a small one")),
        (("refuses_integers", "uint8"), ("nothing was proven: everything was refused (1 refused)",)),
    ],
)
def test_a_wrong_function_exits_with_1_and_the_report_says_where(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    target, dtype, *options = arguments
    done = invoke(f"enumerated:{target}", "--dtype", dtype, "--mode", "tf", *options, *IN_THIS_PROCESS)
    assert done.exit_code == 1, done.output
    for word in words:
        assert word in done.stdout


def test_the_ledger_explains_known_failures() -> None:
    pytest.importorskip("tensorflow")
    done = invoke("keras:tensor", "--dtype", "uint8", "--mode", "caffe", *IN_THIS_PROCESS)
    assert done.exit_code == 1, done.output
    assert "(known: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a TARGET"),
        (["nowhere:f"], "there is no module nowhere"),
        (["enumerated:f"], "enumerated has no attribute 'f'"),
        (["--verify", "nowhere.json"], "cannot read nowhere.json: No such file or directory"),
        (["--verify", __file__], "is not a complete certificate"),
        (["--verify", "nowhere.json", "reference"], "leave TARGET and --inverse out"),
        (["reference", "-o", "nowhere/c.json"], "there is no folder nowhere"),
        (["reference", "-o", "."], "it is a folder"),
        (
            ["enumerated:right", "--executor", "here"],
            "--executor here: expected dask:tcp://HOST:PORT or module:factory",
        ),
        (["enumerated:right", "--executor", "nowhere:f"], "--executor nowhere:f: ModuleNotFoundError"),
        (["enumerated:right", "--executor", "enumerated:f"], "--executor enumerated:f: AttributeError"),
        (["enumerated:right", "--executor", "enumerated:no_executor"], "returns a int, which has no submit"),
        (["enumerated:right", "--executor", "enumerated:no_luck"], "RuntimeError: no machines today"),
        (["enumerated:right", "--executor", "enumerated:no_work"], "a worker failed: RuntimeError: not today"),
        (["enumerated:right", "--executor", "enumerated:loses_workers"], "a worker process died 3 times before it"),
        (["enumerated:right", "--executor", "enumerated:drops_work"], "the executor dropped the work"),
    ],
)
def test_a_proof_that_cannot_start_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [["--dtype", "bool"], ["--dtype", "complex64"], ["--mode", "vgg"], ["--workers", "0"], ["--parts", "x"]],
)
def test_a_wrong_option_exits_with_2_and_says_what_is_accepted(arguments: list[str]) -> None:
    done = invoke("reference", *arguments)
    assert done.exit_code == 2
    assert "Invalid value" in done.stderr


def test_progress_of_long_work_without_a_certificate_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ("enumerated:right", "--dtype", "float32", "--mode", "tf", "--data-format", "channels_last")
    done = invoke(*arguments, "--executor", "enumerated:interrupted")
    assert done.exit_code == 130, done.output
    (progress,) = tmp_path.rglob("*.progress")
    assert f"completed parts are kept in {progress}: the same command resumes from there" in done.stderr


def test_another_proof_with_the_same_o_keeps_the_progress_of_the_first(tmp_path: Path) -> None:
    progress = tmp_path / "c.json.progress"
    enumerated.proven("right", "uint8", modes=("tf",), stop_at_first=True, progress_file=progress)
    begun = progress.read_bytes()
    arguments = ("enumerated:right", "--mode", "tf", "-o", str(tmp_path / "c.json"), *IN_THIS_PROCESS)
    for dtype, options in (("int8", ()), ("uint8", ("--all",)), ("uint8", ("--level", "faithful"))):
        done = invoke(*arguments, "--dtype", dtype, *options)
        if "--level" in options:
            assert done.exit_code == 2
            assert "c.json.progress is of target enumerated:right, not enumerated:right --level faithful" in done.stderr
        else:
            assert (
                f"note: {progress} is kept: another proof resumes from there, of which 1 parts are done" in done.stdout
            )
        assert progress.read_bytes() == begun
    assert invoke(*arguments, "--dtype", "uint8").exit_code == 0
    assert not progress.exists()


# Executors ----------------------------------------------------------------------------------------------------------

SMALL = ("--dtype", "uint8", "--dtype", "uint16", "--mode", "tf", "--mode", "torch")


def test_any_executor_does_the_work(folder: Path) -> None:
    threads = proven("threads.json", "targets:right", *SMALL, "--executor", "targets:threads", cwd=folder)
    processes = proven("processes.json", "targets:right", *SMALL, "--workers", "1", cwd=folder)
    assert timeless(threads) == timeless(processes)


def test_threads_that_are_still_at_work_do_not_swallow_the_report(folder: Path) -> None:
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
    assert "a worker process died 3 times before it completed a part" in one_line(done)
    assert "1 parts are left" in done.stderr


# Stopping and going on ----------------------------------------------------------------------------------------------

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system lists no processes in /proc")


@contextmanager
def running(*arguments: str, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a session of its own, as on a terminal of its own; what is left of it is killed."""
    process = interruptible(["prove", *arguments], cwd=cwd, env={**os.environ, **environment}, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def end_of(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


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


def parts_done(progress: Path) -> int:
    return progress.read_bytes().count(b"\n") - 1 if progress.exists() else 0


SLOW = ("targets:slow", "--dtype", "uint16", "--dtype", "float16", "--workers", "2")  # 8 parts
IN_ONE_PROCESS = ("--executor", "targets:threads")  # what processes have begun


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The rows of ``SLOW`` if nothing interrupts it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "targets.py").write_text(textwrap.dedent(TARGETS), encoding="utf-8")
    return timeless(proven("slow.json", *SLOW, *IN_ONE_PROCESS, cwd=folder, env={**os.environ, "PAUSE": "0"}))


STOPPED = "vggprep: stopped; completed parts are kept in {}/slow.json.progress: the same command resumes from there"


@needs_proc
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to all processes", "to the main process"])
def test_ctrl_c_stops_a_long_run_and_says_how_to_resume(send: Callable[[int, int], None], folder: Path) -> None:
    with running(*SLOW, "-o", "slow.json", cwd=folder, PAUSE="600") as process:
        wait_for((folder / "at_work").exists)
        send(process.pid, signal.SIGINT)
        done = end_of(process)
        wait_for(lambda: not family(process.pid))
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip().splitlines()[-1] == STOPPED.format(folder)
    assert "Traceback" not in done.stderr


@needs_proc
def test_after_ctrl_c_the_same_command_resumes(folder: Path, uninterrupted: list[Row]) -> None:
    progress = folder / "slow.json.progress"
    with running(*SLOW, "-o", "slow.json", cwd=folder) as process:
        wait_for(lambda: parts_done(progress) >= 2)
        os.killpg(process.pid, signal.SIGINT)
        assert end_of(process).returncode == 130
    assert 2 <= parts_done(progress) < 8
    assert not (folder / "slow.json").exists()
    assert timeless(proven("slow.json", *SLOW, cwd=folder)) == uninterrupted
    assert not progress.exists()


@needs_proc
def test_kill_9_at_any_moment_loses_nothing_and_leaves_no_process_behind(
    folder: Path, uninterrupted: list[Row]
) -> None:
    progress = folder / "slow.json.progress"
    moments = random.Random(9)
    for parts in (0, 3, 6):
        with running(*SLOW, "-o", "slow.json", cwd=folder) as process:
            # Its own process, multiprocessing's resource tracker and two workers.
            wait_for(lambda: len(family(process.pid)) >= 4 and parts_done(progress) >= parts)  # noqa: B023
            time.sleep(moments.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
            assert end_of(process).returncode == -signal.SIGKILL
            wait_for(lambda: not family(process.pid))
        assert not (folder / "slow.json").exists()
    assert 6 <= parts_done(progress) < 8
    assert timeless(proven("slow.json", *SLOW, *IN_ONE_PROCESS, cwd=folder)) == uninterrupted


def test_a_full_disk_is_one_line_and_completed_parts_are_kept(folder: Path, uninterrupted: list[Row]) -> None:
    resource = pytest.importorskip("resource")

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = vggprep_prove(*SLOW, "-o", "slow.json", *IN_ONE_PROCESS, cwd=folder, preexec_fn=little_room)
    assert "slow.json.progress: File too large; completed parts are kept" in one_line(done)
    assert 1 <= parts_done(folder / "slow.json.progress") < 8
    assert timeless(proven("slow.json", *SLOW, *IN_ONE_PROCESS, cwd=folder)) == uninterrupted


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
        with Client(self.address, timeout=30) as client:  # type: ignore[no-untyped-call, unused-ignore]
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
    pytest.importorskip("distributed", reason="needs distributed: pip install distributed")
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
    for path in (*scheduler.folder.glob("*.json*"), scheduler.folder / "at_work"):
        path.unlink(missing_ok=True)


def on(cluster: Cluster) -> tuple[str, str]:
    return "--executor", f"dask:{cluster.address}"


def slow_on(cluster: Cluster) -> AbstractContextManager[subprocess.Popen[str]]:
    return running(*SLOW, "-o", "slow.json", *on(cluster), cwd=cluster.folder)


@pytest.mark.thorough
def test_a_cluster_and_this_machine_make_the_same_certificate(cluster: Cluster) -> None:
    cluster.start_workers()
    # With a mode that no worker knows before.
    steps = "[{ multiply = 0.0041 }, { add = [0.1, -0.2, 0.3] }]"
    (cluster.folder / "own.toml").write_text(f'name = "own"\norder = "GBR"\nsteps = {steps}\n', encoding="utf-8")
    arguments = ("targets:right", "--inverse", "reference", *SMALL, "--mode", "own.toml")
    local = proven("local.json", *arguments, *IN_ONE_PROCESS, cwd=cluster.folder)
    dask = proven("dask.json", *arguments, *on(cluster), cwd=cluster.folder)
    assert timeless(dask) == timeless(local)
    assert (dask.versions, dask.machine, dask.values) == (local.versions, local.machine, local.values)
    done = vggprep_prove("--verify", "local.json", *on(cluster), cwd=cluster.folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_and_processes_are_executors(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.start_workers(1)
    for spec in (None, f"dask:{cluster.address}"):
        with executors.named(spec, 1) as (pool, alive):
            assert pool.submit(abs, -1).result(60) == 1
            assert alive()
        assert not threads_of_pools()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ProofError, match="needs distributed, which is not installed"), executors.named("dask:x", 1):
        pass


def test_a_killed_worker_loses_nothing(cluster: Cluster, uninterrupted: list[Row]) -> None:
    cluster.start_workers(PAUSE="0.5")
    with slow_on(cluster) as process:
        wait_for(lambda: parts_done(cluster.folder / "slow.json.progress") >= 2)
        cluster.kill_workers(1)
        done = end_of(process)
    assert done.returncode == 0, done.stderr
    assert timeless(certificates.read(cluster.folder / "slow.json")) == uninterrupted


def test_a_cluster_without_workers_is_reported_and_the_same_command_resumes(cluster: Cluster) -> None:
    cluster.start_workers(PAUSE="0.5")
    progress = cluster.folder / "slow.json.progress"
    with slow_on(cluster) as process:
        wait_for(lambda: parts_done(progress) >= 2)
        cluster.kill_workers()
        said = one_line(end_of(process))
    assert "the cluster has lost all workers: start new ones, and the same command resumes" in said
    assert 2 <= parts_done(progress) < 8
    cluster.start_workers(1, PAUSE="0")
    assert proven("slow.json", *SLOW, *on(cluster), cwd=cluster.folder).holds


def test_a_lost_scheduler_is_reported_and_completed_parts_are_kept(scheduler: Cluster, folder: Path) -> None:
    own = Cluster(folder)
    progress = folder / "slow.json.progress"
    try:
        own.start_workers(PAUSE="0.5")
        with slow_on(own) as process:
            wait_for(lambda: parts_done(progress) >= 2)
            own.scheduler.kill()
            said = one_line(end_of(process))
    finally:
        own.end()
    assert "its scheduler is gone: restart it, and the same command resumes" in said
    assert 2 <= parts_done(progress) < 8


@needs_proc
def test_ctrl_c_stops_waiting_for_a_cluster(cluster: Cluster) -> None:
    cluster.start_workers(1, PAUSE="600")
    with slow_on(cluster) as process:
        wait_for((cluster.folder / "at_work").exists)
        os.killpg(process.pid, signal.SIGINT)
        assert one_line(end_of(process), 130) == STOPPED.format(cluster.folder)


def test_a_worker_with_other_code_is_named_and_refused(cluster: Cluster) -> None:
    theirs = cluster.folder / "theirs" / "vggprep"
    shutil.copytree(Path(vggprep.__file__).parent, theirs, ignore=shutil.ignore_patterns("__pycache__"))
    with (theirs / "reference.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    cluster.start_workers(1)
    cluster.start_workers(1, PYTHONPATH=str(theirs.parent))
    other = cluster.workers[1].pid
    with slow_on(cluster) as process:
        said = one_line(end_of(process))
    assert f"process {other} cannot take part: it has vggprep code" in said
    assert (cluster.folder / "slow.json.progress").exists()


def test_a_cluster_that_does_not_answer_is_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_PATIENCE", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for address, message in (
            (f"tcp://127.0.0.1:{silent.getsockname()[1]}", "no Dask scheduler answers at tcp://127.0.0.1"),
            ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
            ("nonsense://x", "no Dask scheduler answers at nonsense://x"),
            (cluster.address, "has no workers: start some with dask worker tcp://127.0.0.1"),
        ):
            with pytest.raises(ProofError, match=message), executors.named(f"dask:{address}", 1):
                pass
