"""Running the command line in this process, as quickly as a function is called."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from vggprep.cli import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str
    output: str


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


def vggprep(*arguments: str, cwd: Path = Path(), **environment: str) -> Done:
    """``vggprep ARGUMENTS`` in the folder ``cwd``."""
    with importable(cwd):
        done = CliRunner().invoke(main, arguments, env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr, done.output)


def one_line(done: Done | subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The message of a run that ended with an error: one line, on standard error."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def on_terminal(words: Sequence[str], env: Mapping[str, str], stderr: int | None = None) -> str:
    """What a verb prints on a terminal of 80 columns, in a process of its own that must end with 0."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {**env}
    command = [sys.executable, "-m", "vggprep", *words]
    printed = b""
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=stderr or its, env=environment) as process:
        os.close(its)
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while more := os.read(ours, 65536):
                printed += more
    os.close(ours)
    assert process.returncode == 0
    return printed.decode().replace("\r\n", "\n")
