"""Any program as an implementation: ``.npy`` arrays in on its standard input, ``.npy`` arrays out.

The program is started once for each combination of ``{mode}`` and ``{data_format}`` that its arguments name, and
kept for as long as it answers. One that answers only when its input ends is fed many arrays at once, as far as it is
known beforehand what it will be asked (``prefetch``). One that answers a single array and exits is not judged. A
non-zero exit with a message is a refusal; anything else but an array is a failure. Imports NumPy and the cases.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import select
import shlex
import signal
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vggprep.cases import Cell, from_format, panel
from vggprep.files import printable
from vggprep.implementations import Implementation, npy
from vggprep.implementations.callables import NoArray, keywords
from vggprep.implementations.processes import Broken, CommandError, Ended, Hangs, Process, error_line, stderr_note
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Direction, ModeName, is_known, registered

Array = npt.NDArray[Any]


TIMEOUT = 10.0
"""Seconds that a program has for one answer, its start included; for each MiB where it is sent more."""

PROTOCOL = (
    "a program must read .npy arrays from its standard input until that ends, and write one .npy array for each to its "
    "standard output, and nothing else there (docs/programs.md, examples/)"
)

_LOOP = (
    "let it go on in a loop until its input ends: read an array, write its answer, flush (docs/programs.md, examples/)"
)

_MAX_HANGS = 6
_MAX_FAILURES = 80  # without a single answer: a few seconds of starting programs
_MAX_RESTARTS = 20
_PATIENCE = 1.0  # seconds until the input of a program that has read it and does not answer is closed
_BATCH = 8 << 20  # bytes sent to one process that answers at the end of its input


class Refused(Exception):
    """The program exits with an error code and says why."""


# The function under test ------------------------------------------------------------------------------------------


class Command:
    """All command lines of one target. Call it with an array, a mode and a data format.

    ``answers_at_end``: it answers when its input ends, so each call costs a start unless it was prefetched.
    """

    def __init__(self, template: str, timeout: float) -> None:
        self.words = _split(template)
        self.timeout = timeout
        self.answers_at_end = False
        self.processes: dict[tuple[str, str], Process] = {}
        self.starts = self.restarts = self.failures = self.hangs = 0
        self.lock = threading.Lock()
        self.answered: set[Cell] = set()
        self.failed: dict[Cell, Refused | Broken] = {}
        self.given_up: dict[Cell, Refused | Broken] = {}
        self.ahead: defaultdict[Hashable, deque[Array | Refused | Broken]] = defaultdict(deque)
        self.said: dict[str, None] = {}
        self.noted: dict[str, str] = {}

    @property
    def __signature__(self) -> inspect.Signature:
        """What its command line names: the suite reads the signature."""
        names = ["x", *(name for name in ("mode", "data_format") if any(f"{{{name}}}" in word for word in self.words))]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def argv(self, mode: ModeName, data_format: DataFormat) -> list[str]:
        """The command line for a mode and a data format."""
        return [word.replace("{mode}", mode).replace("{data_format}", data_format) for word in self.words]

    def __call__(self, x: Array, mode: ModeName = "caffe", data_format: DataFormat = "channels_last") -> Any:
        """The program's answer, or ``NoArray``. Raises ``Refused``, ``CommandError``.

        Leave out a mode or a data format that the command line does not name.
        """
        with self.lock:
            try:
                ahead = self.ahead.get(_key(x, mode, data_format))
                if not ahead:
                    return self._ask(x, _cell(x, mode, data_format))
                answer = ahead.popleft()
                if isinstance(answer, Exception):
                    raise answer
                return answer
            except Broken as error:
                return NoArray(f"{error}; {PROTOCOL}" if error.misread else str(error))
            finally:
                for line in self.said:
                    print(line, file=sys.stderr)
                self.said.clear()

    def _ask(self, x: Array, cell: Cell) -> Array:
        known = self._known_failure(cell)
        if known is not None:
            raise known
        try:
            answer = self._answer(x, cell)
        except (Refused, Broken) as error:
            self._failed(cell, error)
            raise
        self.answered.add(cell)
        return answer

    def _failed(self, cell: Cell, error: Refused | Broken) -> None:
        self.failures += 1
        self.hangs += isinstance(error, Hangs)
        # One hang is enough, as it takes so long, and one refusal where each takes a start or of a name that is none.
        once = (
            isinstance(error, Hangs)
            or self.answers_at_end
            or not is_known(cell.mode)
            or cell.data_format not in DATA_FORMATS
        )
        if cell in self.failed or once:
            self.given_up[cell] = error
        self.failed[cell] = error

    def _answer(self, x: Array, cell: Cell) -> Array:
        """From a process that goes on, or else from a new one. Raises ``Refused`` or ``Broken``."""
        running = self.processes.pop((cell.mode, cell.data_format), None)
        ended = False
        if running is not None:
            try:
                return self._exchange(running, cell, [x])[0]
            except Ended as end:
                # The array may be the reason, or it gives up after some. Another process tells.
                ended = not end.began and (end.code == 0 or not end.said.strip() or self._is_usual(x, cell))
                if not ended:
                    raise _meaning(end, told=True) from end
        try:
            answer = self._exchange(self._start(cell), cell, [x])[0]
        except Ended as end:
            raise _meaning(end, told=bool(self.answered)) from end
        self.restarts += ended
        return answer

    def _is_usual(self, x: Array, cell: Cell) -> bool:
        """Whether an array is of a kind that it has answered."""
        axis = -1 if cell.data_format == "channels_last" else -3
        return cell in self.answered and x.shape[axis] == 3

    def _start(self, cell: Cell) -> Process:
        self.starts += 1
        return Process(self.argv(cell.mode, cell.data_format), self._note)

    def _note(self, what: str) -> None:
        """Say once, with the next answer, what is noticed about processes."""
        if self.noted.setdefault(what.partition("(")[0], what) == what:
            self.said[f"it {what}"] = None

    def _exchange(
        self, process: Process, cell: Cell, arrays: Sequence[Array], answers: list[Array] | None = None
    ) -> list[Array]:
        """Send arrays; the answers are in ``answers`` as far as they came. Raises ``Broken`` and ``Ended``."""
        answers = [] if answers is None else answers
        patience = 0.0 if self.answers_at_end else None if self.answered else min(_PATIENCE, self.timeout / 2)
        try:
            unasked = process.unasked_output() if process.answers else b""
            if unasked:
                raise Broken(f"prints more than the answer: {npy.shown(unasked)} follows it", misread=True)
            process.exchange(arrays, answers, self.timeout, patience)
        except npy.NpyError as error:
            process.end()
            raise Broken(f"{error}{stderr_note(process.text())}", misread=True) from error
        except BaseException:
            process.end()
            raise
        for line in process.text().strip()[:2000].splitlines():
            self.said[printable(line)] = None
        process.said.clear()
        if process.stdin.closed:
            process.end()
        else:
            self.processes[cell.mode, cell.data_format] = process
        return answers

    # Many arrays at once

    def prefetch(self, asked: Iterable[tuple[Array, ModeName, DataFormat]]) -> None:
        """Have a program that answers at the end of its input answer arrays that it will be asked, in that order.

        Each answer is used for one call. What it refuses is remembered; what it does not get to is asked when the
        call comes, by a start of its own.
        """
        lines: defaultdict[tuple[ModeName, DataFormat], list[Array]] = defaultdict(list)
        for x, mode, data_format in asked:
            if is_known(mode) and data_format in DATA_FORMATS and from_format(x, data_format).shape[-1] == 3:
                lines[mode, data_format].append(x)
        with self.lock:
            for (mode, data_format), arrays in lines.items():
                self._feed(mode, data_format, sorted(arrays, key=_is_odd))  # what programs refuse most comes last

    def _feed(self, mode: ModeName, data_format: DataFormat, arrays: Sequence[Array]) -> None:
        todo, most, alone = deque(arrays), len(arrays), False
        while todo := deque(x for x in todo if self._known_failure(_cell(x, mode, data_format)) is None):
            cell = _cell(todo[0], mode, data_format)
            batch = list(_first(todo, most))
            answers: list[Array] = []
            failure: Refused | Broken | None = None
            try:
                self._exchange(self._start(cell), cell, batch, answers)
            except Ended as end:
                failure = _meaning(end, told=bool(self.answered), answers=len(answers))
            except Broken as error:
                failure = error
            for answer in answers:
                x = todo.popleft()
                self.answered.add(_cell(x, mode, data_format))
                self.ahead[_key(x, mode, data_format)].append(answer)
            if isinstance(failure, Hangs):
                return  # what hangs is found when it is asked alone
            if failure is None:
                self.restarts += alone  # so the array was not the reason
                most, alone = len(arrays), False
            elif answers:
                most, alone = 1, True  # the next array may be the reason
            elif len(batch) > 1:
                most = len(batch) // 2
            else:
                x = todo.popleft()
                if cell not in self.answered:
                    self._failed(cell, failure)
                self.ahead[_key(x, mode, data_format)].append(failure)
                most, alone = len(arrays), False

    # What is not tried any more

    def refuses(self, x: Array, mode: ModeName, data_format: DataFormat) -> bool:
        """Whether it has failed so often on arrays of this kind that it is not asked any more."""
        return self._known_failure(_cell(x, *_named(self, mode, data_format))) is not None

    def _known_failure(self, cell: Cell) -> Refused | Broken | None:
        """How the program failed before, where another try is a waste: starting programs only to fail takes time."""
        if cell.dtype == "bfloat16":
            return Refused("bfloat16 is not sent: .npy cannot hold it")
        if self.restarts >= _MAX_RESTARTS:
            return Broken(
                f"is not called any more, because it ended {self.restarts} times after an array that it had answered "
                f"and took the next when it was started again; {_LOOP}"
            )
        if cell in self.answered:
            return None
        if self.hangs >= _MAX_HANGS:
            return Broken(f"is not called any more, because it hung {self.hangs} times")
        if not self.answered and self.failures >= _MAX_FAILURES:
            return next(reversed(self.failed.values()))
        if cell in self.given_up:
            return self.given_up[cell]
        fields: tuple[tuple[Literal["dtype", "rank", "mode", "data_format"], Iterable[str]], ...]
        fields = ("dtype", ()), ("rank", ()), ("mode", MODES), ("data_format", DATA_FORMATS)
        blamed = (self._blamed(cell, field) for field, never in fields if getattr(cell, field) not in never)
        return next((error for error in blamed if error is not None), None)

    def _blamed(self, cell: Cell, field: Literal["dtype", "rank", "mode", "data_format"]) -> Refused | Broken | None:
        """How it fails for a dtype, a rank or a name that it never accepts, in two cells accepted with another one."""
        value = getattr(cell, field)
        if any(getattr(accepted, field) == value for accepted in self.answered):
            return None
        accepted_otherwise = {accepted._replace(**{field: value}) for accepted in self.answered}
        failures = [error for c, error in self.given_up.items() if c in accepted_otherwise and c not in self.answered]
        return failures[-1] if len(failures) > 1 else None

    def end(self) -> None:
        """End every process."""
        for process in self.processes.values():
            process.end()


def _key(x: Array, mode: str, data_format: str) -> Hashable:
    return mode, data_format, x.dtype.name, x.shape, hashlib.blake2b(x.tobytes(), digest_size=16).digest()


def _cell(x: Array, mode: ModeName, data_format: DataFormat) -> Cell:
    return Cell(mode, data_format, x.dtype.name, x.ndim)


def _is_odd(x: Array) -> bool:
    return not x.size or (x.dtype.kind == "f" and not np.isfinite(x).all())


def _first(arrays: Iterable[Array], most: int) -> Iterator[Array]:
    """The first arrays, at most so many, and one or as many as fit a batch."""
    size = 0
    for number, x in enumerate(arrays):
        size += x.nbytes
        if number and (number >= most or size > _BATCH):
            return
        yield x


def _meaning(end: Ended, *, told: bool, answers: int = 0) -> Refused | Broken:
    """Whether a program that ended has refused or failed. ``told``: it knows how to answer."""
    if end.began:
        return Broken(f"stops after {len(end.began)} bytes of an answer{stderr_note(end.said)}", misread=True)
    if end.code < 0:
        try:
            name = signal.Signals(-end.code).name
        except ValueError:
            name = f"signal {-end.code}"
        return Broken(f"is killed by {name}{stderr_note(end.said)}")
    if end.code == 0:
        return Broken(f"exits without an answer{stderr_note(end.said)}", misread=True)
    if not end.said.strip():
        return Broken(f"exits with code {end.code} and prints nothing on standard error")
    hint = "" if told else "; docs/programs.md says what it is sent"
    return Refused(f"{error_line(end.said)} (exit code {end.code}){hint}")


def _split(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise CommandError(f"cannot read the command line {template!r}: {error}") from error
    if not words:
        raise CommandError("command: needs a program, for example command:node port.js {mode}")
    return words


def _plain_cells(command: Command, direction: Direction) -> Iterator[Cell]:
    """What a program most likely accepts, in every mode and data format that its command line can name."""
    names = inspect.signature(command).parameters
    for mode in (*MODES, *(mode.name for mode in registered())) if "mode" in names else ("caffe",):
        for data_format in DATA_FORMATS if "data_format" in names else DATA_FORMATS[:1]:
            yield Cell(mode, data_format, "float32", 4)
            if direction == "forward":
                yield Cell(mode, data_format, "uint8", 3)


def _started(template: str, timeout: float, direction: Direction) -> Command:
    """Start the program, and learn whether it answers, and when: at once, at the end of its input, or only once."""
    if not hasattr(select, "poll"):
        raise CommandError("command: targets need Linux or macOS; elsewhere use vggprep vectors and vggprep verify")
    command = Command(template, timeout)
    problem, refused = "", False
    for cell in _plain_cells(command, direction):
        array = panel(direction, cell).array()
        try:
            command._ask(array, cell)
            if _answers_once(command, array, cell):
                raise _failed_start(command, f"answers one array and exits, whenever it is started; {_LOOP}")
            return command
        except Refused:
            refused = True
        except Broken as error:
            asked = f"asked for {cell.mode}, {cell.data_format}, {cell.dtype}, shape {array.shape}"
            problem = problem or f"{asked}, it {error}"
    if refused:
        return command
    raise _failed_start(command, f"does not answer as it must: {problem}; {PROTOCOL}")


def _failed_start(command: Command, why: str) -> CommandError:
    command.end()
    also = "".join(f"; it also {what}" for what in command.noted.values())
    return CommandError(f"{printable(' '.join(command.words))} {why}{also}")


def _answers_once(command: Command, array: Array, cell: Cell) -> bool:
    """Whether a program that has answered an array answers no second one; sets ``answers_at_end``."""
    if command.processes:
        for _ in range(2):
            command._ask(array, cell)
        return command.restarts == 2
    command.answers_at_end = True
    answers: list[Array] = []
    with contextlib.suppress(Ended):
        command._exchange(command._start(cell), cell, [array, array], answers)
    return len(answers) == 1


def answers_at_end(function: Callable[..., Any] | None) -> bool:
    """Whether a function is a program that answers at the end of its input: a call not foreseen costs a start."""
    return isinstance(function, Command) and function.answers_at_end


def foresee(function: Callable[..., Any] | None, asked: Iterable[tuple[Array, ModeName, DataFormat]]) -> None:
    """Have a program that answers at the end of its input answer arrays before it is called with them."""
    if isinstance(function, Command) and function.answers_at_end:
        function.prefetch((x, *_named(function, mode, data_format)) for x, mode, data_format in asked)


def _named(command: Command, mode: ModeName, data_format: DataFormat) -> tuple[ModeName, DataFormat]:
    """What a call with a mode and a data format comes down to, if the command line names them or not."""
    words = keywords(command, mode, data_format)
    return words.get("mode", "caffe"), words.get("data_format", "channels_last")


def load(target: str, template: str, timeout: float | None = None) -> Implementation:
    """The program ``template`` as an implementation called ``target``. Raises ``CommandError``."""
    function, source = load_inverse(template, timeout, "forward")
    return Implementation(target, function, native_only=True, serial=True, source=source)


def load_inverse(
    template: str, timeout: float | None = None, direction: Direction = "inverse"
) -> tuple[Command, Callable[[ModeName, DataFormat], str]]:
    """The program as a function, and how a reproducer calls it. Raises ``CommandError``."""
    command = _started(template, TIMEOUT if timeout is None else timeout, direction)
    return command, functools.partial(_source, command)


def _source(command: Command, mode: ModeName, data_format: DataFormat) -> str:
    return (
        "import io, subprocess\n"
        "sent = io.BytesIO()\n"
        "np.save(sent, x)\n"
        f"run = subprocess.run({command.argv(mode, data_format)!r}, input=sent.getvalue(), stdout=subprocess.PIPE)\n"
        "np.load(io.BytesIO(run.stdout))"
    )
