"""Small pieces of HTML for ``_repr_html_``, which notebooks show in place of ``repr``. Standard library only.

They carry no colours of their own, so that they are readable on whatever a notebook shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; the first field of each row is its heading."""
    said = f'<caption style="text-align: left; font-weight: bold">{escape(caption)}</caption>' if caption else ""
    top = "".join(f'<th scope="col" style="text-align: left">{escape(word)}</th>' for word in head)
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{escape(str(first))}</th>'
        + "".join(f'<td style="text-align: left">{escape(str(field))}</td>' for field in fields)
        + "</tr>"
        for first, *fields in rows
    )
    return f"<table>{said}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def lines(text: str) -> str:
    """Text as it would be printed."""
    return f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'


def folded(summary: str, text: str) -> str:
    """A line that opens into text."""
    return f"<details><summary>{escape(summary)}</summary>{lines(text)}</details>"
