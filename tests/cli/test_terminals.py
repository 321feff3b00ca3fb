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
from command_line import on_terminal

import vggprep

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
    ("encoding", "words", "start"),
    [
        ("ascii", ("spec", "--trace"), b""),
        ("cp1252", ("identify", "画像.npy"), b""),
        ("cp1252", ("identify", "模块:f", "--in-process"), rb"\u6a21\u5757:f:"),
    ],
)
def test_what_an_encoding_lacks_is_shown_escaped(
    encoding: str, words: Sequence[str], start: bytes, tmp_path: Path
) -> None:
    image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    np.save(tmp_path / "画像.npy", vggprep.preprocess_input(image, mode="caffe"))
    (tmp_path / "模块.py").write_text("def f(x):\n    return x\n", encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "vggprep", *words]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding)
    assert done.stdout.startswith(start)
