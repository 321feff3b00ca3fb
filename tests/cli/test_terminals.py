"""Verbs on terminals of 80 columns, without colours, on dumb ones, and into pipes of narrow encodings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import vggprep


def on_terminal(words: Sequence[str], env: Mapping[str, str], columns: int = 80) -> str:
    """What a verb prints on a terminal."""
    fcntl, pty, struct, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "struct", "termios"))
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    ends = {"stdin": its, "stdout": its, "stderr": its}
    process = subprocess.Popen([sys.executable, "-m", "vggprep", *words], env={**os.environ, **env}, **ends)
    os.close(its)
    printed = b""
    while True:
        try:
            printed += (more := os.read(ours, 65536))
        except OSError:  # how Linux says that the other end is closed
            break
        if not more:
            break
    os.close(ours)
    process.wait()
    return printed.decode().replace("\r\n", "\n")


DUMB, PLAIN = {"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}


@pytest.mark.parametrize(("verb", "env"), [("checks", DUMB), ("modes", PLAIN)])
def test_a_terminal_without_colours_gets_none(verb: str, env: Mapping[str, str]) -> None:
    printed = on_terminal([verb], env)
    colours = r"\x1b" if env["TERM"] == "dumb" else r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m"
    assert printed
    assert not re.findall(colours, printed)


def test_a_terminal_with_colours_gets_them() -> None:
    assert "\x1b[1m" in on_terminal(["checks"], {"TERM": "xterm", "NO_COLOR": ""})


@pytest.mark.parametrize("words", [("modes",), ("history", "--path", "rescaling", "--all")], ids=" ".join)
def test_tables_fit_80_columns_and_nothing_is_cut(words: Sequence[str]) -> None:
    printed = on_terminal(words, {"TERM": "dumb"})
    assert "…" not in printed
    assert max((len(line) for line in printed.split("\n") if line[:1] in "│┃┏└┡├"), default=0) <= 80


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("ascii", ("spec", "--trace")),
        ("cp1252", ("identify", "画像.npy")),
    ],
)
def test_an_encoding_that_lacks_a_character_is_no_error(encoding: str, words: Sequence[str], tmp_path: Path) -> None:
    image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    np.save(tmp_path / "画像.npy", vggprep.preprocess_input(image, mode="caffe"))
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "vggprep", *words]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding)


def test_a_name_that_cannot_be_encoded_is_shown_escaped(tmp_path: Path) -> None:
    (tmp_path / "模块.py").write_text("def f(x):\n    return x\n", encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "vggprep", "identify", "模块:f", "--in-process"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(rb"\u6a21\u5757:f:")
