"""Any program as an implementation: ``.npy`` arrays in on its standard input, ``.npy`` arrays out.

The program is started once for each combination of ``{mode}`` and ``{data_format}`` that its arguments name, and
kept for as long as it answers; one that answers a single array and exits is started again. It is not trusted:
what it prints is parsed by a pattern, sizes are checked before anything is read, and a program that hangs is killed
with its process group. A non-zero exit with a message is a refusal; anything else but an array is a failure.
POSIX only, because only there can one wait for several pipes at once. Imports NumPy and the cases.
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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy.typing as npt

from vggprep.cases import Cell, panel
from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, npy
from vggprep.implementations.callables import NoArray
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Direction, ModeName

Array = npt.NDArray[Any]

TIMEOUT = 10.0
"""Seconds that a program has for one answer, its start included."""

_MAX_HANGS = 6
_MAX_FAILURES = 80  # without a single answer: a few seconds of starting programs
_PATIENCE = 3.0  # seconds until the input of a program that has not answered yet is closed
_KEPT = 1 << 14  # bytes of standard error
_CHUNK = 1 << 20


class CommandError(VggprepError):
    """A program that cannot be started or does not speak ``.npy``; the message is one line that says what to do."""


class Refused(Exception):
    """The program exits with an error code and says why."""


class _Broken(Exception):
    """The program neither answers with an array nor refuses; the message completes "it ..."."""


class _Hangs(_Broken):
    """The program does not answer in time."""


class _Ended(Exception):
    """The program closed its output: its exit code, its standard error, and the bytes of an answer that came first."""

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
                raise _Hangs(f"gives no answer within {timeout:g} s and is killed")
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
                    except OSError:  # it reads no more; its standard error may say why
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
        """Read what is there of standard error; returns whether more may come."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.stderr.fileno(), 1 << 16):
                self.said = (self.said + chunk)[-_KEPT:]
            return False
        return True

    def unasked_output(self) -> bytes:
        """What it has printed since its last answer."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.stdout.fileno(), 256)
        return b""

    def _ended(self, began: bytes, deadline: float) -> _Ended:
        while self.listen() and time.monotonic() < deadline and self.popen.poll() is None:
            time.sleep(0.001)
        try:
            code = self.popen.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _Hangs("closes its output, does not exit, and is killed") from error
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
        self.closings = 0  # how often it answered only after its input was closed

    def ask(self, array: Array) -> Array:
        """The answer to an array. Raises ``Refused`` or ``_Broken``."""
        sent = npy.encode(array)
        while True:
            process = self.process or _Process(self.argv)
            self.process = None
            had_answered = process.answers > 0
            try:
                unasked = process.unasked_output() if had_answered else b""
                if unasked:
                    raise _Broken(f"prints more than the answer: {npy.shown(unasked)} follows it")
                answer = self._exchange(process, sent, functools.partial(_check_size, array))
            except _Ended as end:
                process.end()
                if had_answered and not end.began and (end.code == 0 or not end.said.strip()):
                    self.once = True
                    continue
                raise _meaning(end) from end
            except npy.NpyError as error:
                process.end()
                raise _Broken(f"{error}{_stderr_note(process.text())}") from error
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
        self.process = _Process(self.argv)  # it starts while its answer is judged

    def end(self) -> None:
        if self.process is not None:
            self.process.end()
            self.process = None


def _check_size(array: Array, header: npy.Header) -> None:
    """An answer of the wrong shape is to be judged; one out of all proportion is not even read."""
    if header.nbytes > 64 * array.size + 4096:
        raise npy.NpyError(
            f"announces an array of shape {header.shape} and dtype {header.dtype}, {header.nbytes:.3g} bytes, for an "
            f"input of shape {array.shape}, which is too large to be read"
        )


def _meaning(end: _Ended) -> Refused | _Broken:
    """Whether a program that ended has refused or failed."""
    if end.began:
        return _Broken(f"stops after {len(end.began)} bytes of an answer{_stderr_note(end.said)}")
    if end.code < 0:
        try:
            name = signal.Signals(-end.code).name
        except ValueError:
            name = f"signal {-end.code}"
        return _Broken(f"is killed by {name}{_stderr_note(end.said)}")
    if end.code == 0:
        return _Broken(f"exits without an answer{_stderr_note(end.said)}")
    if not end.said.strip():
        return _Broken(f"exits with code {end.code} and prints nothing on standard error")
    return Refused(f"{_error_line(end.said)} (exit code {end.code})")


def _stderr_note(said: str) -> str:
    return f"; on standard error: {_error_line(said)}" if said.strip() else ""


_EXCEPTION = re.compile(r"^(?:[\w.:]*(?:Error|Exception)\b.*|\s*what\(\):.*)", re.MULTILINE)


def _error_line(said: str) -> str:
    """The line of a program's standard error that says why it failed: an exception's, else the last."""
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
        self.programs: dict[tuple[ModeName, DataFormat], _Program] = {}
        self.lock = threading.Lock()
        self.answered: set[Cell] = set()
        self.failed: dict[Cell, Refused | _Broken] = {}
        self.given_up: dict[Cell, Refused | _Broken] = {}
        self.failures = self.hangs = 0

    def argv(self, mode: ModeName, data_format: DataFormat) -> list[str]:
        """The command line for a mode and a data format."""
        return [word.replace("{mode}", mode).replace("{data_format}", data_format) for word in self.words]

    def __call__(self, x: Array, mode: ModeName = "caffe", data_format: DataFormat = "channels_last") -> Any:
        """The program's answer, or ``NoArray``. Raises ``Refused``, ``CommandError``.

        Leave out a mode or a data format that the command line does not name.
        """
        if x.dtype.name == "bfloat16":
            raise Refused("bfloat16 is not sent: .npy cannot hold it")
        with self.lock:
            try:
                return self._ask(x, Cell(mode, data_format, x.dtype.name, x.ndim))
            except _Broken as error:
                return NoArray(str(error))

    def _ask(self, x: Array, cell: Cell) -> Array:
        known = None if cell in self.answered else self._known_failure(cell)
        if known is not None:
            raise known
        key = cell.mode, cell.data_format
        program = self.programs.get(key)
        if program is None:
            program = self.programs[key] = _Program(self.argv(*key), self.timeout)
        try:
            answer = program.ask(x)
        except (Refused, _Broken) as error:
            hangs = isinstance(error, _Hangs)
            self.failures += 1
            self.hangs += hangs
            if cell in self.failed or hangs:  # a hang takes so long that one is enough
                self.given_up[cell] = error
            self.failed[cell] = error
            raise
        self.answered.add(cell)
        return answer

    def _known_failure(self, cell: Cell) -> Refused | _Broken | None:
        """How the program failed before, where another try is a waste: starting programs only to fail takes time."""
        if self.hangs >= _MAX_HANGS:
            return _Broken(f"is not called any more, because it hung {self.hangs} times")
        if not self.answered and self.failures >= _MAX_FAILURES:
            return next(reversed(self.failed.values()))
        if cell in self.given_up:
            return self.given_up[cell]
        return self._blamed(cell, "dtype") or self._blamed(cell, "rank")

    def _blamed(self, cell: Cell, field: Literal["dtype", "rank"]) -> Refused | _Broken | None:
        """How it fails for a dtype or rank that it never accepts, in two cells that it accepts with another one."""
        value = getattr(cell, field)
        if any(getattr(accepted, field) == value for accepted in self.answered):
            return None
        accepted_otherwise = {accepted._replace(**{field: value}) for accepted in self.answered}
        failures = [error for c, error in self.given_up.items() if c in accepted_otherwise and c not in self.answered]
        return failures[-1] if len(failures) > 1 else None

    def end(self) -> None:
        """End every process."""
        for program in self.programs.values():
            program.end()


def _split(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise CommandError(f"cannot read the command line {template!r}: {error}") from error
    if not words:
        raise CommandError("command: needs a program, for example command:node port.js {mode}")
    return words


def _function(command: Command) -> Callable[..., Any]:
    """``command`` with a signature that names what its arguments do: the suite reads the signature."""
    if command.takes_mode and command.takes_format:
        return lambda x, mode, data_format: command(x, mode, data_format)
    if command.takes_mode:
        return lambda x, mode: command(x, mode)
    if command.takes_format:
        return lambda x, data_format: command(x, data_format=data_format)
    return lambda x: command(x)


def _plain_cells(command: Command, direction: Direction) -> Iterator[Cell]:
    """What a program most likely accepts, in every mode and data format that its command line can name."""
    for mode in tuple(MODES) if command.takes_mode else ("caffe",):
        for data_format in DATA_FORMATS if command.takes_format else DATA_FORMATS[:1]:
            yield Cell(mode, data_format, "float32", 4)
            if direction == "forward":
                yield Cell(mode, data_format, "uint8", 3)


def _start(template: str, timeout: float, direction: Direction) -> Command:
    """Start the program, and make sure that it answers at all: with an array, or with a refusal."""
    if not hasattr(select, "poll"):
        raise CommandError("command: targets need Linux or macOS; elsewhere use vggprep vectors and vggprep verify")
    command = Command(template, timeout)
    problem, refused = "", False
    for cell in _plain_cells(command, direction):
        array = panel(direction, cell).array()
        try:
            answer = command(array, cell.mode, cell.data_format)
        except Refused:
            refused = True
            continue
        if not isinstance(answer, NoArray):
            return command
        asked = f"asked for {cell.mode}, {cell.data_format}, {cell.dtype}, shape {array.shape}"
        problem = problem or f"{asked}, it {answer.why}"
    if refused:
        return command
    command.end()
    raise CommandError(
        f"{' '.join(command.words)} never returns an array: {problem}. It must read .npy arrays from standard input "
        "and write one .npy array to standard output for each; see the programs in examples/"
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
