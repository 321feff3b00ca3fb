"""Running the command line in this process, as quickly as a function is called."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from vggprep.cli import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the folder the current one, and forget the modules that are imported from it."""
    path, before = list(sys.path), set(sys.modules)
    with contextlib.chdir(folder):
        try:
            yield
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - before:
                if name.partition(".")[0] in {file.stem for file in folder.glob("*.py")}:
                    del sys.modules[name]


def vggprep(*arguments: str, cwd: Path, **environment: str) -> Done:
    """``vggprep ARGUMENTS`` in the folder ``cwd``."""
    with importable(cwd):
        done = CliRunner().invoke(main, arguments, env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def one_line(done: Done) -> str:
    """The message of a run that ended with exit code 2: one line, on standard error."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    return lines[0]
