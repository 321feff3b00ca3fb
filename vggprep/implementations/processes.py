"""A started program: what it is sent, what it answers, how it ends, and what it leaves running.

It is not trusted: what it prints is parsed by a pattern, sizes are checked before anything is read, and a program
that hangs is killed with its process group. POSIX only, because only there can one wait for several pipes at once.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import itertools
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.files import printable
from vggprep.implementations import npy

Array = npt.NDArray[Any]

_KEPT = 1 << 14  # bytes of standard error
_CHUNK = 1 << 20
_VOLUME = 1 << 20  # bytes of input that a program has its timeout for; for more it has more
_LOOK = 100.0  # milliseconds until the next look at a silent program
_MARK = "VGGPREP_PROGRAM"  # a variable of its environment, which what it starts inherits
_NUMBERS = itertools.count(1)


class CommandError(VggprepError):
    """A program that cannot be started or does not speak ``.npy``; the message is one line that says what to do."""


class Broken(Exception):
    """The program neither answers with an array nor refuses; the message completes "it ...".

    ``misread``: what it writes is not what is asked of a program.
    """

    def __init__(self, why: str, *, misread: bool = False) -> None:
        super().__init__(why)
        self.misread = misread


class Hangs(Broken):
    """The program does not answer in time."""


class Ended(Exception):
    """The program closed its output: its exit code, its standard error, and the bytes of an answer that came first."""

    def __init__(self, code: int, said: str, began: bytes) -> None:
        super().__init__(code)
        self.code, self.said, self.began = code, said, began


class Process:
    """A started program, with its pipes. ``note`` is told what it leaves running."""

    def __init__(self, argv: Sequence[str], note: Callable[[str], None]) -> None:
        self.note = note
        self.mark = f"{os.getpid()}.{next(_NUMBERS)}"
        try:
            self.popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, _MARK: self.mark},
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

    def exchange(self, arrays: Sequence[Array], answers: list[Array], timeout: float, patience: float | None) -> None:
        """Send arrays, and append the answers to ``answers`` as they come.

        After ``patience`` seconds without a byte in answer to what it has read, its standard input is closed; 0: as
        soon as everything is sent. ``timeout``: seconds for each MiB sent. Raises ``Broken``, ``Ended``, ``NpyError``.
        """
        sent = memoryview(b"".join(map(npy.encode, arrays)))
        timeout *= max(1.0, len(sent) / _VOLUME)
        data, at = bytearray(), 0
        since = started = time.monotonic()
        waiting = select.poll()
        for pipe, event in ((self.stdout, select.POLLIN), (self.stderr, select.POLLIN), (self.stdin, select.POLLOUT)):
            waiting.register(pipe, event)
        while len(answers) < len(arrays):
            now = time.monotonic()
            if now - started > timeout:
                raise Hangs(f"gives no answer within {timeout:g} s and is killed")
            if patience is not None and at == len(sent) and not self.stdin.closed:
                if patience and self._unread():  # it has not even begun: it may take long to start
                    since = now
                elif now - since >= patience and not data:
                    self.stdin.close()
            events = waiting.poll(min(1000.0 * (started + timeout - now) + 1.0, _LOOK))
            if not events and self.popen.poll() is not None:
                raise self._ended(bytes(data), started + timeout)  # though something holds its pipes
            for descriptor, _ in events:
                if descriptor == self.stderr.fileno():
                    if not self._listen():
                        waiting.unregister(self.stderr)
                elif descriptor == self.stdout.fileno():
                    chunk = os.read(descriptor, _CHUNK)
                    if not chunk:
                        raise self._ended(bytes(data), started + timeout)
                    data += chunk
                    while len(answers) < len(arrays):
                        answer = _take(data, arrays[len(answers)])
                        if answer is None:
                            break
                        answers.append(answer)
                elif at < len(sent):
                    try:
                        at += os.write(descriptor, sent[at : at + _CHUNK])
                    except BlockingIOError:
                        continue
                    except OSError:  # it reads no more; its standard error may say why
                        at = len(sent)
                    if at == len(sent):
                        waiting.unregister(self.stdin)
                        since = time.monotonic()
        if data:
            raise Broken(f"prints more than the answer: {npy.shown(bytes(data))} follows it", misread=True)
        if not self.stdin.closed and (at < len(sent) or self._unread()):
            raise Broken("answers before it has read the array", misread=True)
        self._listen()
        self.answers += len(answers)

    def _unread(self) -> int:
        """How many of the bytes sent the program has not read yet; 0 where the system cannot tell."""
        import fcntl  # not everywhere, where this module is imported all the same
        import termios

        count = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.stdin.fileno(), termios.FIONREAD, count)
        return count[0]

    def _listen(self) -> bool:
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

    def _ended(self, began: bytes, deadline: float) -> Ended:
        while self._listen() and time.monotonic() < deadline and self.popen.poll() is None:
            time.sleep(0.001)
        try:
            code = self.popen.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise Hangs("closes its output, does not exit, and is killed") from error
        self._listen()
        return Ended(code, self.text(), began)

    def text(self) -> str:
        """Standard error so far."""
        return self.said.decode("utf-8", "replace")

    def end(self) -> None:
        """Kill the process group, name what has left it, and end that, too, where it holds a pipe."""
        _RUNNING.discard(self)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        pipes = (self.stdin, self.stdout, self.stderr)
        waiting = select.poll()
        for pipe in pipes[1:]:
            waiting.register(pipe, 0)
        held = len(waiting.poll(0)) < 2  # else both have been closed by everyone
        ours = {os.readlink(f"/proc/self/fd/{p.fileno()}") for p in pipes if held and _PROC.is_dir() and not p.closed}
        for pid, name, holds in _left_running(self.popen.pid, self.mark, ours):
            if holds:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            fate = "ended, as it holds pipes" if holds else "it goes on"
            self.note(f"leaves {name} (process {pid}) running in its own session: {fate}")
        for pipe in pipes:
            pipe.close()


_RUNNING: set[Process] = set()


@atexit.register
def _end_all() -> None:
    for process in list(_RUNNING):
        name = printable(str(process.popen.args[0]))  # type: ignore[index]
        process.note = lambda what, name=name: print(f"vggprep: {name} {what}", file=sys.stderr)  # type: ignore[misc]
        process.end()


_PROC = Path("/proc")


def _left_running(group: int, mark: str, pipes: set[str]) -> Iterator[tuple[int, str, bool]]:
    """The processes outside the group with the mark or one of the pipes, by name, and whether they hold a pipe.

    Nothing where the system has no ``/proc``.
    """
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if pid == os.getpid() or os.getpgid(pid) == group:
                continue
            holds = bool(pipes) and any(os.readlink(link) in pipes for link in (folder / "fd").iterdir())
            if holds or f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield pid, repr((folder / "comm").read_text("utf-8", "replace").strip()), holds


def _take(data: bytearray, asked: Array) -> Array | None:
    """The first answer in ``data``, which is removed from it; ``None`` while it is not complete."""
    header = npy.parse_header(bytes(data[: npy.LONGEST_HEADER + 12]))
    if header is None:
        return None
    # An answer of the wrong shape is to be judged; one out of all proportion is not even read.
    if header.nbytes > 64 * asked.size + 4096:
        raise npy.NpyError(
            f"announces an array of shape {header.shape} and dtype {header.dtype}, {header.nbytes:.3g} bytes, for an "
            f"input of shape {asked.shape}, which is too large to be read"
        )
    end = header.offset + header.nbytes
    if len(data) < end:
        return None
    answer = npy.decode(bytes(data[header.offset : end]), header)
    del data[:end]
    return answer


def stderr_note(said: str) -> str:
    """What a program said on standard error, to follow a sentence about it."""
    return f"; on standard error: {error_line(said)}" if said.strip() else ""


_EXCEPTION = re.compile(r"^(?:[\w.:]*(?:Error|Exception)\b.*|\s*what\(\):.*)", re.MULTILINE)


def error_line(said: str) -> str:
    """The line of a program's standard error that says why it failed: an exception's, else the last."""
    match = _EXCEPTION.search(said)
    return printable((match.group() if match else said.strip().splitlines()[-1]).strip())[:150]
