"""Certificates: what was enumerated, by what, and what came of it, as a JSON file; and progress on the way to one.

A certificate is written whole or not at all. Progress is a file of JSON lines that grows by one line for each part
that is done: whatever kills the process, what the lines say stays true, and half a line is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from vggprep.errors import VggprepError
from vggprep.proof import environment
from vggprep.proof.domains import SAMPLES, domain
from vggprep.proof.shards import Tally, Worst
from vggprep.spec import DataFormat, Direction, ModeName

FORMAT = "vggprep-certificate/1"
PROGRESS = "vggprep-progress/1"

Status = Literal["proven", "sampled", "wrong", "refused", "unfinished"]


class ProofError(VggprepError):
    """What keeps a proof from being made, resumed, read or verified: one line that says what to do."""


@dataclass(frozen=True)
class Row:
    """One function in one mode, data format and dtype.

    ``status``: ``proven`` (every pattern, nothing wrong), ``sampled`` (no proof: ``domain`` says what was tried),
    ``wrong``, ``refused`` (``message`` says how), ``unfinished``. ``patterns`` went through each of three channels.
    ``seconds`` of one core went into the row, or into those of both data formats together.
    ``digests`` are of the outputs of each part in turn, ``digest`` of all of them. ``units`` and ``levels``: see
    ``Tally``.
    """

    implementation: str
    level: str
    direction: Direction
    mode: ModeName
    data_format: DataFormat
    dtype: str
    domain: str
    status: Status
    patterns: int = 0
    wrong: int = 0
    lost: int = 0
    units: Worst | None = None
    levels: Worst | None = None
    digest: str = ""
    digests: tuple[str, ...] = ()
    seconds: float = 0.0
    message: str = ""
    counterexample: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Certificate:
    """The result of a proof. ``seconds`` are those of the last run, ``worked`` those of all processes together."""

    target: str
    arguments: tuple[str, ...]
    created: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    processors: tuple[str, ...]
    values: int
    worked: float
    seconds: float
    rows: tuple[Row, ...]
    wanted: Mapping[str, Any]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong or unfinished, and something was proven or sampled."""
        found = {row.status for row in self.rows}
        return not found & {"wrong", "unfinished"} and bool(found & {"proven", "sampled"})


def describe_domain(dtype: str) -> str:
    """What is enumerated of a dtype, in words."""
    found = domain(dtype)
    return f"all {found.size:,} patterns" if found.complete else f"a sample of {found.size:,}: {SAMPLES[dtype]}"


def fold(row: Row, tallies: Sequence[Tally | None], seconds: float) -> Row:
    """A row with what came of its parts, in order; ``None`` for those that were not done."""
    done = [tally for tally in tallies if tally is not None]
    wrong = sum(tally.wrong for tally in done)
    size = domain(row.dtype).size
    complete = len(done) == len(tallies) and (wrong > 0 or sum(tally.patterns for tally in done) == size)
    status: Status = "proven" if domain(row.dtype).complete else "sampled"
    if wrong:
        status = "wrong"
    elif not complete:
        status = "unfinished"
    digests = tuple(tally.digest if tally else "" for tally in tallies)
    bad = next((tally for tally in done if tally.wrong), None)
    return replace(
        row,
        status=status,
        patterns=sum(tally.patterns for tally in done),
        wrong=wrong,
        lost=sum(tally.lost for tally in done),
        units=_worst([tally.units for tally in done]),
        levels=_worst([tally.levels for tally in done]),
        digest=hashlib.sha256("".join(digests).encode()).hexdigest() if complete and not wrong else "",
        digests=digests,
        seconds=round(seconds, 1),
        message=bad.refusal if bad else "",
        counterexample=bad.counterexample if bad else None,
    )


def _worst(errors: Sequence[Worst | None]) -> Worst | None:
    return max((error for error in errors if error is not None), key=lambda error: error.error, default=None)


# Files --------------------------------------------------------------------------------------------------------------


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(certificate: Certificate, path: Path) -> None:
    """Write a certificate; what is there is replaced by the whole of it or not touched."""
    from vggprep.files import replacing

    said = _plain({"format": FORMAT, **asdict(certificate)})
    # A line for each row: short files that a person can read and compare.
    rows = ",\n".join(json.dumps({key: value for key, value in row.items() if value}) for row in said.pop("rows"))
    try:
        with replacing(path) as file:
            head = json.dumps(said, indent=1).removesuffix("\n}")
            file.write(f'{head},\n "rows": [\n{rows}\n ]\n}}\n')
    except OSError as error:
        raise ProofError(f"cannot write {path}: {error.strerror}") from error


def read(path: Path) -> Certificate:
    """Read a certificate."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProofError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ProofError(f"{path} is no certificate, or half of one: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        what = f"its format is {found!r}" if found else "it names no format"
        raise ProofError(f"{path} is no certificate that this vggprep reads: {what}, not {FORMAT!r}")
    try:
        rows = tuple(_row(row) for row in document.pop("rows"))
        known = {field.name for field in fields(Certificate)} - {"rows"}
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items() if k in known}
        certificate = Certificate(**given, rows=rows)
        for words in (certificate.versions, certificate.machine, certificate.wanted):
            if not isinstance(words, Mapping):
                raise TypeError(f"{words!r} is no object")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProofError(f"{path} is not a whole certificate: {error}") from error
    return certificate


def _row(said: Mapping[str, Any]) -> Row:
    return Row(**_errors(said))


def _tally(said: Mapping[str, Any]) -> Tally:
    return Tally(**_errors(said))


def _errors(said: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
    for key in ("units", "levels"):
        if given.get(key):
            error, *where = given[key]
            given[key] = Worst(float(error), *where)
    return given


def _plain(value: Any) -> Any:
    """Infinite errors as the string ``"inf"``: JSON has no infinities."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


@dataclass(frozen=True)
class Done:
    """What came of one part, and what it took."""

    tallies: tuple[Tally, ...]
    seconds: float
    processor: str


class Progress:
    """The file that remembers what is done. Use as a context manager; one process at a time."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = json.loads(json.dumps(identity))
        self.done: dict[str, Done] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> Progress:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
            _lock(self._file, self.path)
            self._file.seek(0)
            self._take_up(self._file.read())
        except OSError as error:
            raise ProofError(f"cannot keep progress in {self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ProofError(f"{self.path} is no progress of a proof: delete it or name another file") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _take_up(self, text: str) -> None:
        assert self._file is not None
        head, *rest = text.splitlines(keepends=True) or [""]
        if not head.endswith("\n"):  # nothing, or killed while it wrote the first line
            if head and not head.startswith('{"format": "vggprep-progress'):
                raise ProofError(f"{self.path} is no progress of a proof: delete it or name another file")
            self._file.truncate(0)
            self._say({"format": PROGRESS, **self.identity})
            return
        self._check(head)
        whole = len(head.encode())
        for line in rest:
            try:
                said: Any = json.loads(line) if line.endswith("\n") else None
                done = Done(tuple(_tally(t) for t in said["tallies"]), said["seconds"], said["processor"])
            except (ValueError, KeyError, TypeError):
                break  # half a line: that part is done again
            self.done[said["part"]] = done
            whole += len(line.encode())
        self._file.truncate(whole)

    def _check(self, head: str) -> None:
        remedy = "delete it, or keep this proof elsewhere with -o"
        try:
            said = json.loads(head)
            if said.pop("format") != PROGRESS:
                raise ValueError("another format")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProofError(f"{self.path} is no progress of a proof: {remedy}") from error
        for key, mine in self.identity.items():
            other = said.get(key)
            if other == mine:
                continue
            if isinstance(mine, dict) and isinstance(other, dict):
                reason = environment.difference(other, mine)
                raise ProofError(f"the progress in {self.path} was made with other {key} ({reason}): {remedy}")
            raise ProofError(f"the progress in {self.path} is of {key} {other}, not {mine}: {remedy}")

    def add(self, part: str, done: Done) -> None:
        """Remember a part, on disk before in memory."""
        self._say({"part": part, **asdict(done)})
        self.done[part] = done

    def _say(self, what: Mapping[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(json.dumps(_plain(what)) + "\n")
            self._file.flush()
        except OSError as error:
            raise ProofError(
                f"cannot write to {self.path}: {error.strerror}; what it holds is kept, and the same command goes on"
            ) from error

    def forget(self) -> None:
        """Remove the file: the certificate says it all."""
        self.__exit__()
        self.path.unlink(missing_ok=True)


def _lock(file: IO[str], path: Path) -> None:
    """Refuse a second process, where the system has such locks. The lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ProofError(f"another process is at work on {path}: wait for it, or name another file with -o") from error
    except OSError:
        return  # a file system without locks
    if os.name == "posix" and not path.exists():
        raise ProofError(f"{path} has just been finished by another process: run the command again")
