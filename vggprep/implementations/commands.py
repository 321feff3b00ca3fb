"""Any program as an implementation: ``.npy`` arrays in on its standard input, ``.npy`` arrays out.

The program is started once for each combination of ``{mode}`` and ``{data_format}`` that its arguments name, and
kept for as long as it answers; one that answers a single array and exits is started again. It is not trusted:
what it prints is parsed by a pattern, sizes are checked before anything is read, and whatever hangs is killed with
its process group. A non-zero exit with a message is a refusal; everything else that is no array is a failure.
POSIX only: waiting for several pipes at once is. Imports NumPy and the cases.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from vggprep.cases import Cell, panel
from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, npy
from vggprep.implementations.callables import NoArray
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Direction, ModeName

Array = npt.NDArray[Any]
Key = tuple[str, str]

TIMEOUT = 10.0
"""Seconds that a program has for one answer, its start included."""

_ENOUGH_HANGS = 6
_ENOUGH_REFUSALS = 200  # with not one answer among them: a few seconds' worth of starting programs
_ENOUGH_AFTER_ALL = 80  # the same, where the plainest arrays are refused in every mode and data format
_PATIENCE = 3.0  # seconds until a program that has not answered yet is shown the end of its input
_KEPT = 1 << 14  # bytes of standard error
_CHUNK = 1 << 20


class CommandError(VggprepError):
    """A program that cannot be started or does not speak ``.npy``; one line that says what to do."""


class Refused(Exception):
    """The program exits with an error code and says why."""


class _Broken(Exception):
    """The program gives no array and no refusal."""


class _Hangs(_Broken):
    pass


class _Ended(Exception):
    """The program closed its output: with which exit code, saying what, and after how many bytes of an answer."""

    def __init__(self, code: int, said: str, began: bytes) -> None:
        super().__init__(code)
        self.code, self.said, self.began = code, said, began


# One process ------------------------------------------------------------------------------------------------------


class _Process:
    """A started program, with its pipes."""

    def __init__(self, argv: Sequence[str]) -> None:
        try:
            self.popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # its own process group, to be ended as a whole
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CommandError(f"cannot start {argv[0]!r}: {reason}") from error
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self.stdin, self.stdout, self.stderr = self.popen.stdin, self.popen.stdout, self.popen.stderr
        for pipe in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(pipe.fileno(), False)
        self.said = bytearray()
        self.answers = 0
        _RUNNING.add(self)

    def exchange(self, sent: bytes, check: Callable[[npy.Header], None], timeout: float, patience: float) -> Array:
        """Send an array and read the answer; after ``patience`` seconds without one, close the standard input."""
        data = bytearray()
        header: npy.Header | None = None
        started = time.monotonic()
        waiting = select.poll()
        waiting.register(self.stdout, select.POLLIN)
        waiting.register(self.stderr, select.POLLIN)
        at, rest = 0, memoryview(sent)
        if not self.stdin.closed:
            waiting.register(self.stdin, select.POLLOUT)
        while header is None or len(data) < header.offset + header.nbytes:
            passed = time.monotonic() - started
            if passed > timeout:
                raise _Hangs(f"gives no answer within {timeout:g} s and is ended")
            if passed > patience and at == len(sent) and not data:
                self.stdin.close()
                patience = timeout
            for descriptor, _ in waiting.poll(1000.0 * max(0.0, min(timeout, max(patience, 0.001)) - passed) + 1.0):
                if descriptor == self.stderr.fileno():
                    if not self.listen():
                        waiting.unregister(self.stderr)
                elif descriptor == self.stdout.fileno():
                    chunk = os.read(descriptor, _CHUNK)
                    if not chunk:
                        raise self._ended(bytes(data), started + timeout)
                    data += chunk
                    if header is None:
                        header = npy.parse_header(bytes(data[: npy.LONGEST_HEADER + 12]))
                        if header is not None:
                            check(header)
                elif at < len(sent):
                    try:
                        at += os.write(descriptor, rest[at : at + _CHUNK])
                    except BlockingIOError:
                        continue
                    except OSError:  # it reads no more; what it says next tells why
                        at = len(sent)
                    if at == len(sent):
                        waiting.unregister(self.stdin)
        end = header.offset + header.nbytes
        if len(data) > end:
            raise _Broken(f"prints more than the answer: {npy.shown(bytes(data[end:]))} follows it")
        self.listen()
        self.answers += 1
        return npy.decode(memoryview(data)[header.offset : end], header)

    def listen(self) -> bool:
        """Take in what is there of standard error; whether more may come."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.stderr.fileno(), 1 << 16):
                self.said = (self.said + chunk)[-_KEPT:]
            return False
        return True

    def speaks_unasked(self) -> bytes:
        """What it has printed before it was asked anything, if so."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.stdout.fileno(), 256)
        return b""

    def _ended(self, began: bytes, deadline: float) -> _Ended:
        while self.listen() and time.monotonic() < deadline and self.popen.poll() is None:
            time.sleep(0.001)
        try:
            code = self.popen.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _Hangs("closes its output, does not exit, and is ended") from error
        self.listen()
        return _Ended(code, self.text(), began)

    def text(self) -> str:
        """Standard error so far."""
        return self.said.decode("utf-8", "replace")

    def end(self) -> None:
        """Kill the process group."""
        _RUNNING.discard(self)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()
        self.popen.wait()


_RUNNING: set[_Process] = set()


@atexit.register
def _end_all() -> None:
    for process in list(_RUNNING):
        process.end()


# One command line -------------------------------------------------------------------------------------------------


class _Program:
    """One command line: a process when needed, whether it goes on answering or is started for each array."""

    def __init__(self, argv: Sequence[str], timeout: float) -> None:
        self.argv, self.timeout = argv, timeout
        self.process: _Process | None = None
        self.once = False  # it answers one array and exits
        self.closings = 0  # how often it answered only after the end of its input

    def ask(self, array: Array) -> Array:
        """The answer to an array. Raises ``Refused`` or ``_Broken``."""
        sent = npy.encode(array)
        while True:
            process = self.process or _Process(self.argv)
            self.process = None
            had_answered = process.answers > 0
            try:
                unasked = process.speaks_unasked() if had_answered else b""
                if unasked:
                    raise _Broken(f"prints more than the answer: {npy.shown(unasked)} follows it")
                answer = self._exchange(process, sent, functools.partial(_check_size, array))
            except _Ended as end:
                process.end()
                if had_answered and not end.began and (end.code == 0 or not end.said.strip()):
                    self.once = True
                    continue
                raise _reading(end) from end
            except npy.NpyError as error:
                process.end()
                raise _Broken(f"{error}{_also(process.text())}") from error
            except BaseException:
                process.end()
                raise
            self._keep(process)
            return answer

    def _exchange(self, process: _Process, sent: bytes, check: Callable[[npy.Header], None]) -> Array:
        patience = 0.0 if self.closings > 1 else self.timeout if process.answers else min(_PATIENCE, self.timeout / 2)
        answer = process.exchange(sent, check, self.timeout, patience)
        self.closings += process.stdin.closed
        return answer

    def _keep(self, process: _Process) -> None:
        said = process.text().strip()
        if said:
            print(said[:2000], file=sys.stderr)
            process.said.clear()
        if not self.once and not process.stdin.closed:
            self.process = process
            return
        process.end()
        self.process = _Process(self.argv)  # its start and our judging overlap

    def end(self) -> None:
        if self.process is not None:
            self.process.end()
            self.process = None


def _check_size(array: Array, header: npy.Header) -> None:
    """An answer of the wrong shape is an answer, to be judged; one out of all proportion is not read."""
    if header.nbytes > 64 * array.size + 4096:
        raise npy.NpyError(
            f"announces shape {header.shape} of {header.dtype}, {header.nbytes:.3g} bytes, for an input of shape "
            f"{array.shape}; that is not read"
        )


def _reading(end: _Ended) -> Exception:
    if end.began:
        return _Broken(f"stops after {len(end.began)} bytes of an answer{_also(end.said)}")
    if end.code < 0:
        try:
            name = signal.Signals(-end.code).name
        except ValueError:
            name = f"signal {-end.code}"
        return _Broken(f"is killed by {name}{_also(end.said)}")
    if end.code == 0:
        return _Broken(f"exits without an answer{_also(end.said)}")
    if not end.said.strip():
        return _Broken(f"exits with code {end.code} and says nothing on standard error")
    return Refused(f"{_telling_line(end.said)} (exit code {end.code})")


def _also(said: str) -> str:
    return f"; on standard error: {_telling_line(said)}" if said.strip() else ""


_EXCEPTION = re.compile(r"^(?:[\w.:]*(?:Error|Exception)\b.*|\s*what\(\):.*)", re.MULTILINE)


def _telling_line(said: str) -> str:
    """Of what a program says as it dies, the line that tells why: an exception's, else the last."""
    match = _EXCEPTION.search(said)
    return (match.group() if match else said.strip().splitlines()[-1]).strip()[:200]


# The function under test ------------------------------------------------------------------------------------------


class Command:
    """All command lines of one target. Call it with an array, a mode and a data format."""

    def __init__(self, template: str, timeout: float) -> None:
        self.words = _split(template)
        self.takes_mode = any("{mode}" in word for word in self.words)
        self.takes_format = any("{data_format}" in word for word in self.words)
        self.timeout = timeout
        self.programs: dict[Key, _Program] = {}
        self.lock = threading.Lock()
        self.answered: set[tuple[Key, str, int]] = set()
        self.failed: dict[tuple[Key, str, int], list[Exception]] = {}
        self.hangs = 0
        self.refusals = 0
        self.enough = _ENOUGH_REFUSALS

    def argv(self, mode: ModeName, data_format: DataFormat) -> list[str]:
        """The command line for a mode and a data format."""
        return [word.replace("{mode}", mode).replace("{data_format}", data_format) for word in self.words]

    def __call__(self, x: Array, mode: ModeName, data_format: DataFormat) -> Any:
        """The program's answer, or ``NoArray``. Raises ``Refused``, ``CommandError``."""
        if x.dtype.name == "bfloat16":
            raise Refused("bfloat16 is not sent: .npy cannot hold it")
        with self.lock:
            return self._ask(x, (mode if self.takes_mode else "", data_format if self.takes_format else ""))

    def _ask(self, x: Array, key: Key) -> Any:
        cell = (key, x.dtype.name, x.ndim)
        known = None if cell in self.answered else self._not_again(cell)
        if known is not None:
            return _tell(known)
        program = self.programs.get(key)
        if program is None:
            program = self.programs[key] = _Program(self.argv(*key), self.timeout)
        try:
            answer = program.ask(x)
        except (Refused, _Broken) as error:
            self.failed.setdefault(cell, []).append(error)
            self.refusals += 1
            self.hangs += isinstance(error, _Hangs)
            return _tell(error)
        self.answered.add(cell)
        return answer

    def _not_again(self, cell: tuple[Key, str, int]) -> Exception | None:
        """What it answered before, if it need not be asked: starting programs only to be refused takes time."""
        _, dtype, rank = cell
        if self.hangs >= _ENOUGH_HANGS:
            return _Broken(f"is not asked any more: it has hung {self.hangs} times")
        if not self.answered and self.refusals >= self.enough:
            return next(reversed(self.failed.values()))[-1]
        # A hang takes so long that once is enough.
        twice = {
            c: errors[-1]
            for c, errors in self.failed.items()
            if c not in self.answered and (len(errors) > 1 or isinstance(errors[-1], _Hangs))
        }
        if cell in twice:
            return twice[cell]
        # A dtype or a rank is to blame where others are accepted; two command lines, or two ranks, will do.
        for place, mine in ((1, dtype), (2, rank)):
            if any(c[place] == mine for c in self.answered):
                continue
            blamed = [c for c in twice if c[place] == mine and any(_differ_in(c, a, place) for a in self.answered)]
            if len(blamed) > 1:
                return twice[blamed[-1]]
        return None

    def end(self) -> None:
        """End every process."""
        for program in self.programs.values():
            program.end()


def _differ_in(a: tuple[Any, ...], b: tuple[Any, ...], place: int) -> bool:
    return all((x == y) != (at == place) for at, (x, y) in enumerate(zip(a, b, strict=True)))


def _tell(error: Exception) -> NoArray:
    if isinstance(error, Refused):
        raise error
    return NoArray(str(error))


def _split(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise CommandError(f"cannot read the command line {template!r}: {error}") from error
    if not words:
        raise CommandError("command: needs a program, such as command:node port.js {mode}")
    return words


def _function(command: Command) -> Callable[..., Any]:
    """``command`` with a signature that names what its arguments do: the suite reads the signature."""
    if command.takes_mode and command.takes_format:
        return lambda x, mode, data_format: command(x, mode, data_format)
    if command.takes_mode:
        return lambda x, mode: command(x, mode, "")
    if command.takes_format:
        return lambda x, data_format: command(x, "", data_format)
    return lambda x: command(x, "", "")


_PLAINEST = (("float32", 4), ("uint8", 3))


def _start(template: str, timeout: float, direction: Direction) -> Command:
    """Start the program, and make sure that it answers at all: with an array, or with a refusal."""
    if not hasattr(select, "poll"):
        raise CommandError("command: targets need Linux or macOS; elsewhere use vggprep vectors and vggprep verify")
    command = Command(template, timeout)
    problem, refused = "", False
    for mode in MODES if command.takes_mode else ("caffe",):
        for data_format in DATA_FORMATS if command.takes_format else ("channels_last",):
            for dtype, rank in _PLAINEST if direction == "forward" else _PLAINEST[:1]:
                case = panel(direction, Cell(mode, data_format, dtype, rank))
                try:
                    answer = command(case.array(), mode, data_format)
                except Refused:
                    refused = True
                    continue
                if not isinstance(answer, NoArray):
                    return command
                where = f"asked for {mode}, {data_format}, {dtype}, shape {case.array().shape}"
                problem = problem or f"{where}, it {answer.why}"
    if refused:
        command.enough = _ENOUGH_AFTER_ALL
        return command
    command.end()
    raise CommandError(
        f"{' '.join(command.words)} never gives an array: {problem}. It must read .npy arrays from standard input and "
        "write one .npy array to standard output for each; examples/ has programs to start from"
    )


def load(target: str, template: str, timeout: float | None = None) -> Implementation:
    """The program ``template`` as an implementation called ``target``. Raises ``CommandError``."""
    function, source = load_inverse(template, timeout, "forward")
    return Implementation(target, function, native_only=True, serial=True, source=source)


def load_inverse(
    template: str, timeout: float | None = None, direction: Direction = "inverse"
) -> tuple[Callable[..., Any], Callable[[ModeName, DataFormat], str]]:
    """The program as a function, and how a reproducer calls it. Raises ``CommandError``."""
    command = _start(template, TIMEOUT if timeout is None else timeout, direction)
    return _function(command), functools.partial(_source, command)


def _source(command: Command, mode: ModeName, data_format: DataFormat) -> str:
    return (
        "import io, subprocess\n"
        "sent = io.BytesIO()\n"
        "np.save(sent, x)\n"
        f"run = subprocess.run({command.argv(mode, data_format)!r}, input=sent.getvalue(), stdout=subprocess.PIPE)\n"
        "np.load(io.BytesIO(run.stdout))"
    )
