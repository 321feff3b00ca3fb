"""Functions under test in a process of their own: nothing that they do there can take the suite down.

The process loads the target and answers one call at a time (``worker`` is its side). Modes go by name; with each
request and answer go the definitions that the other side has not been told. Arrays travel as the memory that
they lie in, so that layout, alignment and flags are those of the case. A process that ends, hangs or breaks its own
interpreter is a finding about the call that did it, and is started again for the next one. POSIX only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import pickle
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation
from vggprep.implementations.adapters import Adaptation
from vggprep.implementations.callables import Call, Outcome, Parameters, Problem, Raised, Together
from vggprep.spec import DataFormat, Direction, ModeName, known, registered

Array = npt.NDArray[Any]

TIMEOUT = 30.0
"""Seconds that a Python function or a model file has for one call."""

LOADING = 120.0
"""Seconds that a target has to be imported; a call that may take longer gives it as long."""

MAX_ENDS_IN_A_ROW, MAX_ENDS, MAX_HANGS = 10, 200, 3
"""How often a function may end its process before it is called no more, and how often it may hang."""

DISCONNECTED, UNUSABLE = 86, 87
"""The exit codes of a process whose connection has been closed, and of one whose interpreter no longer works."""

REASON = "after the call: "
"""What the reason for ``UNUSABLE`` follows on the standard error of the process."""


class IsolationError(VggprepError):
    """A target that cannot be loaded in a process of its own; the message says why."""


Place = tuple[int, Adaptation]
"""Which of the implementations that a process has loaded, and how its functions are adapted."""


class Memory(NamedTuple):
    """An array as the bytes from its first to its last element, and where they lie."""

    data: bytes
    address: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    writeable: bool
    owned: bool

    @classmethod
    def of(cls, array: Array) -> Memory:
        """The memory of an array."""
        low, high = byte_bounds(array)
        start = array.__array_interface__["data"][0]
        owned = array.base is None
        return cls(
            ctypes.string_at(low, high - low), low % _ALIGNED, start - low, array.shape, array.strides, array.dtype,
            array.flags.writeable, owned,
        )  # fmt: skip

    def array(self) -> Array:
        """A new array like the one it was made of, at an address that is as well aligned."""
        larger = np.empty(len(self.data) + _ALIGNED, np.uint8)
        first = (self.address - larger.__array_interface__["data"][0]) % _ALIGNED
        larger[first : first + len(self.data)] = np.frombuffer(self.data, np.uint8)
        array: Array = np.ndarray(self.shape, self.dtype, larger, first + self.start, self.strides)
        if self.owned:
            array = array.copy(order="K")
        array.flags.writeable = self.writeable
        return array


_ALIGNED = 64  # bytes: what vector instructions look at


class _Lost(Exception):
    """The process has gone: why, as a problem of the function."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Worker:
    """A process that loads targets and calls their functions.

    ``options`` are those of ``targets.TargetSpec``, and ``timeout`` is the seconds that a call may take.
    """

    def __init__(self, options: Mapping[str, Any], timeout: float | None) -> None:
        self._options = dict(options)
        self._timeout = timeout or TIMEOUT
        self._loading = max(LOADING, self._timeout)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._told = 0  # how many modes of one's own the process knows
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._said.close)
        self._kept: set[int] = set()
        self._keys = itertools.count(1)
        self._ends = self._ends_in_a_row = self._hangs = 0
        self._given_up: Problem | None = None
        self._finalizer: Any = None

    def load(self) -> list[Implementation]:
        """What the target names, with functions that run in the process. Raises ``VggprepError``."""
        try:
            descriptions = self._ask(("describe",), 0.0)
        except _Lost as lost:
            if lost.problem.kind == "hangs":
                remedy = "import it yourself to see what it waits for, or give it more with --timeout SECONDS"
                what = f"{', '.join(self._options['targets'])}: its import takes more than {self._loading:g} s"
                raise IsolationError(f"cannot load {what}; {remedy}") from None
            raise IsolationError(f"cannot load {', '.join(self._options['targets'])}: it {lost.problem}") from None
        if isinstance(descriptions, str):
            raise IsolationError(descriptions)
        return [self._implementation(at, **description) for at, description in enumerate(descriptions)]

    def _implementation(
        self, at: int, fields: dict[str, Any], takes: dict[Direction, Parameters], sourced: Sequence[Direction]
    ) -> Implementation:
        functions = {d: RemoteFunction(self, at, d, parameters) for d, parameters in takes.items()}
        sources = {d: functools.partial(self.source, at, d) for d in sourced}
        return Implementation(
            **fields,
            preprocess=functions.get("forward"),
            deprocess=functions.get("inverse"),
            source=sources.get("forward"),
            inverse_source=sources.get("inverse"),
        )

    def source(self, at: int, direction: Direction, mode: ModeName, data_format: DataFormat) -> str:
        """The lines that call a function; these can be had even if it is no longer called."""
        given_up, self._given_up = self._given_up, None
        try:
            return str(self._ask(("source", at, direction, mode, data_format), self._timeout))
        except _Lost as lost:
            return f"# no lines to call it: it {lost.problem}"
        finally:
            self._given_up = given_up or self._given_up

    def call(self, at: Place, direction: Direction, array: Array, mode: Any, data_format: Any, keep: bool) -> Outcome:
        """The outcome of a call."""
        key = next(self._keys) if keep else 0
        outcome = self._outcome(("call", at, direction, Memory.of(array), mode, data_format, key), array)
        if key and outcome.problem is None:
            self._kept.add(key)
        return outcome

    def now(self, outcome: Outcome) -> tuple[Array, Array | None]:
        """The arrays of a kept call as they are now; as they were, if the process has gone since."""
        assert outcome.input_after is not None
        if outcome.key in self._kept:
            with contextlib.suppress(_Lost):
                found: tuple[Array, Array | None] = self._ask(("now", outcome.key), self._timeout)
                return found
        return outcome.input_after, outcome.output

    def call_again(
        self, at: Place, direction: Direction, outcome: Outcome, values: Array, mode: Any, data_format: Any
    ) -> Outcome:
        """The outcome of a call on the array of a kept call, with other values."""
        if outcome.key not in self._kept:
            return self.call(at, direction, values.copy(), mode, data_format, keep=True)
        return self._outcome(("again", at, direction, outcome.key, values, mode, data_format), values)

    def call_together(self, at: Place, direction: Direction, calls: Sequence[Call], rounds: int) -> list[Together]:
        """What several threads get."""
        sent = [(Memory.of(call.array), call.mode, call.data_format) for call in calls]
        lost: _Lost
        for gives_way in (True, False):  # a crash under the profile is not the function's, unless it comes without, too
            try:
                found: list[Together] = self._ask(("together", at, direction, sent, rounds, gives_way), self._timeout)
                return found
            except _Lost as error:
                lost = error
        return [Raised("", f"it {lost.problem}")] * len(calls)

    # The process

    def _outcome(self, request: tuple[Any, ...], array: Array) -> Outcome:
        try:
            outcome: Outcome = self._ask(request, self._timeout)
        except _Lost as lost:
            return Outcome(None, problem=lost.problem, input_after=array)
        return outcome

    def _ask(self, request: tuple[Any, ...], seconds: float) -> Any:
        """Send a request and wait for its answer. Raises ``_Lost`` if there is none."""
        if self._given_up is not None:
            raise _Lost(self._given_up)
        fresh = self._process is None
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            modes = registered()
            self._connection.send_bytes(pickle.dumps((modes[self._told :], request)))
            self._told = len(modes)
            if not self._ready.poll(1000.0 * (seconds + (self._loading if fresh else 0.0))):
                raise TimeoutError
            modes, answer = pickle.loads(self._connection.recv_bytes())
        except TimeoutError:
            self._hangs += 1
            self._kill()
            problem = Problem("hangs", {"why": f"{seconds:g} s"})
        except (EOFError, OSError, pickle.UnpicklingError):
            self._ends += 1
            self._ends_in_a_row += 1
            problem = Problem("process_ended", {"why": self._how_it_ended()})
        except BaseException:  # an interruption: the answer that is under way belongs to no later request
            self._kill()
            raise
        else:
            self._ends_in_a_row = 0
            try:
                for mode in modes:
                    known(mode)
            except ValueError as error:
                raise IsolationError(f"{', '.join(self._options['targets'])}: {error}") from None
            return answer
        if self._hangs >= MAX_HANGS:
            self._given_up = Problem("given_up", {"why": f"it did not return within {seconds:g} s {MAX_HANGS} times"})
        elif self._ends >= MAX_ENDS or self._ends_in_a_row >= MAX_ENDS_IN_A_ROW:
            why = f"it ended the process {self._ends} times, the last time with {problem.about['why']}"
            self._given_up = Problem("given_up", {"why": why})
        raise _Lost(problem)

    def _start(self) -> None:
        mine, its = socket.socketpair()
        self._told = 0
        with its:
            self._said.seek(0)
            self._said.truncate()
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; from vggprep.implementations import worker; "
                f"worker.main({its.fileno()}, {self._options!r})"
            )
            self._process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=[its.fileno()],
                start_new_session=True,  # an interruption from the terminal is for the suite alone
            )
        self._connection = Connection(mine.detach())
        self._ready = select.poll()  # once: the connection's own poll makes a selector for every answer
        self._ready.register(self._connection, select.POLLIN)
        self._finalizer = weakref.finalize(self, _end, self._process)

    def _kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._finalizer is not None:
            self._finalizer()
        self._connection = None
        self._kept.clear()

    def restart(self) -> None:
        """End the process; another one is started for the next call."""
        self._kill()
        self._process = None

    def _how_it_ended(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        self._kill()
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace")
        # By faulthandler, the innermost frame first; a library's are passed over, if its caller is there.
        frames = re.findall(r'File "([^"]*)", line (\d+) in', said)
        frames.sort(key=lambda frame: frame[0].startswith((sys.prefix, sys.base_prefix)))
        place = f" in {os.path.basename(frames[0][0])}, line {frames[0][1]}" if frames else ""
        if code is None or code == DISCONNECTED:
            return "its connection to the suite closed"
        if code == UNUSABLE:
            return f"Python broken ({said.rpartition(REASON)[2].strip()})"
        if code >= 0:
            return f"exit code {code}{place}"
        return f"signal {-code}, {(signal.strsignal(-code) or 'unknown').lower()}{place}"


class RemoteFunction:
    """A function in a ``Worker``; see ``callables.Remote``."""

    IS_REMOTE: Literal[True] = True

    def __init__(
        self,
        worker: Worker,
        at: int,
        direction: Direction,
        parameters: Parameters,
        how: Adaptation = Adaptation(),  # noqa: B008
    ) -> None:
        self.worker, self.direction, self.parameters, self.how = worker, direction, parameters, how
        self.at = (at, how)

    def adapted(self, **how: Any) -> RemoteFunction:
        """As ``adapters.adapted``: the function is adapted where it is."""
        now = replace(self.how, **how)
        parameters = replace(self.parameters, mode=self.parameters.mode and now.with_mode)
        return RemoteFunction(self.worker, self.at[0], self.direction, parameters, now)

    def call(self, array: Array, mode: Any, data_format: Any, *, keep: bool) -> Outcome:
        """As ``callables.call``."""
        return self.worker.call(self.at, self.direction, array, mode, data_format, keep)

    def restart(self) -> None:
        """Forget everything: the next call is the first of a new process."""
        self.worker.restart()

    def now(self, outcome: Outcome) -> tuple[Array, Array | None]:
        """As ``callables.now``."""
        return self.worker.now(outcome)

    def call_again(self, outcome: Outcome, values: Array, mode: Any, data_format: Any) -> Outcome:
        """As ``callables.call_again``."""
        return self.worker.call_again(self.at, self.direction, outcome, values, mode, data_format)

    def call_together(self, calls: Sequence[Call], rounds: int) -> list[Together]:
        """As ``callables.call_together``."""
        return self.worker.call_together(self.at, self.direction, calls, rounds)

    def __call__(self, array: Array, mode: Any = None, data_format: Any = None) -> Array:
        """What it returns. Raises ``RuntimeError`` where that is no array."""
        outcome = self.call(array, mode, data_format, keep=False)
        if outcome.output is None:
            raise RuntimeError(str(outcome.refusal or outcome.problem))
        return outcome.output


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _flags() -> list[str]:
    """The options of this interpreter that matter to the functions under test."""
    return [*(f"-W{option}" for option in sys.warnoptions), *(["-O"] if sys.flags.optimize else [])]
