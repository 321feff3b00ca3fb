"""The notebook in docs shows what it prints when it is run: its cells are run here, in turn, without Jupyter."""

from __future__ import annotations

import ast
import base64
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from typing import Any

import pytest
from PIL import Image
from support import ROOT

NOTEBOOK = ROOT / "docs" / "question.ipynb"


def cells() -> Iterator[tuple[str, dict[str, str]]]:
    """Of each cell with code its source, and what it shows by type of content."""
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            shown = {"printed": ""}
            for output in cell["outputs"]:
                shown |= {kind: "".join(text) for kind, text in output.get("data", {}).items()}
                shown["printed"] += "".join(output.get("text", ""))
            yield "".join(cell["source"]), shown


def ran(source: str, names: dict[str, Any]) -> tuple[Any, str]:
    """The value of the last expression of a cell, and what it printed."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    with redirect_stdout(StringIO()) as printed:
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None
    return value, printed.getvalue()


def plain(text: str) -> str:
    """Without spaces, and with pictures as what they show: zlib's versions compress otherwise."""
    pictures = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", lambda found: pixels(found[1]), text)
    return re.sub(r"\s+", "", pictures)


def pixels(encoded: str) -> str:
    with Image.open(BytesIO(base64.b64decode(encoded))) as image:
        return f"{image.mode} {image.size} {image.tobytes().hex()}"


def unlike(found: list[tuple[str, dict[str, str]]]) -> list[str]:
    """The cells that show something else than is in the notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    wrong = []
    for source, shown in found:
        value, printed = ran(source, names)
        said = {"printed": printed} | ({} if value is None else {"text/plain": repr(value)})
        if hasattr(value, "_repr_html_"):
            said["text/html"] = value._repr_html_()
        if {k: plain(v) for k, v in said.items()} != {k: plain(v) for k, v in shown.items()}:
            wrong.append(source)
    return wrong


def test_every_cell_shows_what_it_shows_now() -> None:
    assert unlike(list(cells())) == []


def test_another_output_is_seen() -> None:
    assert unlike([("x = 1", {"printed": ""}), ("x + 1", {"printed": "", "text/plain": "3"})]) == ["x + 1"]


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_the_notebook_is_kept_with_its_outputs(kind: str) -> None:
    assert sum(kind in shown for _, shown in cells()) >= 4
