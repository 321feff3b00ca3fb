"""Progress on the way to a certificate: JSON Lines that grow by one line for each part that is done.

Whatever kills the process, complete lines stay valid, and an incomplete one is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vggprep.files import json_line, replacing
from vggprep.proof import environment
from vggprep.proof.certificates import ProofError, check_types, errors
from vggprep.proof.shards import Tally

FORMAT = "vggprep-progress/2"


@dataclass(frozen=True)
class Done:
    """The result of one part, and what it took."""

    tallies: tuple[Tally, ...]
    seconds: float
    processor: str


class Progress:
    """Which parts are done, in memory and, if ``path`` is given, in that file.

    ``identity`` is written in the first line; a file with another one is refused. Use it as a context manager; only
    one process can use a file at a time.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = json.loads(json.dumps(identity))
        self.done: dict[str, Done] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> Progress:
        if self.path is None:
            return self
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8", errors="surrogateescape")
            _lock(self._file, self.path)
            self._file.seek(0)
            self._resume(self._file)
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise ProofError(f"cannot keep progress in {self.path}: {error.strerror}") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _resume(self, file: IO[str]) -> None:
        head, *rest = file.readlines() or [""]
        if not head.endswith("\n"):  # an empty file, or the process was killed while it wrote the first line
            if head and not head.startswith('{"format": "vggprep-progress'):
                raise self._foreign()
            file.truncate(0)
            self._write({"format": FORMAT, **self.identity})
            return
        self._check(head)
        complete = len(head.encode())
        for line in rest:
            try:
                length = len(line.encode())
                part, done = _part(json.loads(line) if line.endswith("\n") else None)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                break  # an incomplete line, or one that no proof writes: that part is done again
            self.done[part] = done
            complete += length
        file.truncate(complete)

    def _check(self, head: str) -> None:
        try:
            head.encode()
            found = json.loads(head)
            version = found.pop("format")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._foreign() from error
        if version != FORMAT:
            raise self._foreign(f": its format is {version!r}, not {FORMAT!r}")
        for key, mine in self.identity.items():
            other = found.get(key)
            if other == mine:
                continue
            if isinstance(mine, dict) and isinstance(other, dict):
                what = f"was made with other {key} ({environment.difference(mine, other)})"
            else:
                what = f"is of {key} {other}, not {mine}"
            raise ProofError(f"the progress in {self.path} {what}: delete it, or keep this proof elsewhere with -o")

    def _foreign(self, why: str = "") -> ProofError:
        return ProofError(f"{self.path} is not a progress file of a proof{why}; delete it or name another file with -o")

    def add(self, part: str, done: Done) -> None:
        """Remember a part, on disk before in memory."""
        self._write({"part": part, **asdict(done)})
        self.done[part] = done

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json_line(row))
            self._file.flush()
        except OSError as error:
            raise ProofError(
                f"cannot write to {self.path}: {error.strerror}; completed parts are kept, and the same command resumes"
            ) from error


def _part(found: Any) -> tuple[str, Done]:
    """What a line says: a part, and its result in each of its data formats. Raises an error if it does not."""
    part: str = found["part"]
    done = Done(tuple(Tally(**errors(tally)) for tally in found["tallies"]), found["seconds"], found["processor"])
    for each in (done, *done.tallies):
        check_types(each)
    if "+".join(tally.data_format for tally in done.tallies) not in part.split():
        raise ValueError("another part's result")
    return part, done


def discard(path: Path, parts: Collection[str]) -> int:
    """Forget ``parts``; return how many others there are. A file without others, and that nobody uses, is deleted."""
    with contextlib.suppress(FileNotFoundError, ProofError), path.open("r+", encoding="utf-8") as file:
        _lock(file, path)
        head, *done = file.readlines()
        others = [line for line in done if json.loads(line)["part"] not in parts]
        if not others:
            path.unlink()
        else:
            with replacing(path) as rest:
                rest.writelines([head, *others])
        return len(others)
    return 0


def _lock(file: IO[str], path: Path) -> None:
    """Refuse a second process, where the system has such locks. The lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ProofError(f"another process is using {path}: wait for it, or name another file with -o") from error
    except OSError:
        return  # a file system without locks
    if os.name == "posix" and not path.exists():
        raise ProofError(f"another process has just finished {path}: run the command again")
