"""docs/architecture.md names every room, and no page links to nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vggprep
from vggprep import conformance

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def modules(package: str | None) -> set[str]:
    """The modules and packages directly below a package, as the page writes them."""
    assert package is not None
    found = set()
    for path in Path(package).parent.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            found.add(f"{path.name}/")
        elif path.suffix == ".py" and not path.name.startswith("__"):
            found.add(path.name)
    return found


@pytest.mark.parametrize(
    ("start", "end", "cells", "package"),
    [
        ("## Rooms", "Inside `conformance/`", r"^\| \d* ?\| (.*?) \|", vggprep.__file__),
        ("Inside `conformance/`", "## What `vggprep check", r"^\| (.*?) \|", conformance.__file__),
    ],
)
def test_the_page_says_what_every_room_and_module_of_conformance_holds(
    start: str, end: str, cells: str, package: str | None
) -> None:
    table = TEXT[TEXT.index(start) : TEXT.index(end)]
    assert set(re.findall(r"`([\w.]+/?)`", " ".join(re.findall(cells, table, flags=re.M)))) == modules(package)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert "://" in target or file.exists(), target
        if heading and "://" not in target:
            titles = re.findall(r"^#+ (.*)", file.read_text(encoding="utf-8"), flags=re.M)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target
