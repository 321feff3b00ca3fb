"""The site of the pages: every page is in its navigation, and links lead to pages. tox run -e docs builds it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from support import ROOT, module

site: Any = module(ROOT / "docs" / "site.py")


def test_every_page_is_in_the_navigation_and_is_there() -> None:
    nav = set(re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.M))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert nav == pages | {*site.OUTSIDE.values(), *site.NOTEBOOKS.values()}


@pytest.mark.parametrize(
    ("page", "given", "expected"),
    [
        ("index.md", "[a](../README.md#check)", "[a](readme.md#check)"),
        ("index.md", "[a](question.ipynb)", "[a](notebook.md)"),
        ("index.md", "[a](../examples)", "a"),
        ("index.md", "![a](picture.png)", "![a](picture.png)"),
        ("index.md", "[a](missing.md)", "[a](missing.md)"),
        ("index.md", "[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("upstream/x.md", "[a](../arrays.md#b)", "[a](../arrays.md#b)"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site(page: str, given: str, expected: str) -> None:
    files = [SimpleNamespace(src_uri=name) for name in ("index.md", "arrays.md", "readme.md", "notebook.md")]
    page_of = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert site.on_page_markdown(given, page_of, None, files) == expected


def test_a_notebook_keeps_its_outputs() -> None:
    text = site.notebook(ROOT / "docs" / "question.ipynb")
    assert "```python\nimport numpy as np\nimport vggprep\n\nwhite" in text
    assert "```text\narray([[[151.061  , 138.22101, 131.32   ]]], dtype=float32)\n```" in text
    assert "<details><summary>1. 512 of 768 values wrong" in text
