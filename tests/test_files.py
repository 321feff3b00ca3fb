"""Text made fit to print, and what is not replaced; writing files is tested where it is used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vggprep.files import printable, replacing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a ü → b 图", "a ü → b 图"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\r\nlines\tlong", r"two\r\nlines\tlong"),
        ("\x9b2J\x7f\x00", r"\x9b2J\x7f\x00"),
        ("gnp.\u202eevil\u2066\u2028", r"gnp.\u202eevil\u2066\u2028"),
        ("name\udcff", r"name\udcff"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.skipif(os.name != "posix", reason="named pipes are files of POSIX systems")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe) as file:
            file.write("ü\n")
        assert os.read(reader, 100) == "ü\n".encode()
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [*tmp_path.iterdir()] == [pipe]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"(?i)directory|denied"), replacing(tmp_path) as file:
        file.write("text")
    assert [*tmp_path.iterdir()] == []
