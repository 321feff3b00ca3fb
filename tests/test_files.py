"""Text made fit to print; writing files is tested where it is used."""

from __future__ import annotations

import pytest

from vggprep.files import printable


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
