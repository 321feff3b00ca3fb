"""Pages as a browser shows them: wide and narrow, light and dark. Not part of plain tox: see the environment pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages.browser import opened, problems, screenshot, started
from pages.conftest import COMMANDS, Made

from vggprep import pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_is_readable_and_complete_by_itself(
    browser: Any, made: Made, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    opened(browser, made(name)[0], width, scheme)
    found = problems(browser)
    screenshot(browser, Path(os.environ.get("VGGPREP_SCREENSHOTS", tmp_path)) / f"{name}-{width}-{scheme}.png")
    assert found == []


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ('<div style="width: 2000px">wide</div>', "overflow: 2"),
        ('<p style="color: #999; background: #fff">pale</p>', "contrast 2."),
        ('<p style="opacity: .4">pale</p>', "contrast "),
        ('<svg><text y="20" style="fill: #777">pale</text></svg>', "contrast "),
        ("<script>undefined_name()</script>", "console: "),
        ('<img alt="" src="https://example.org/x.png">', "console: "),
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_wrong_with_a_page_is_seen(browser: Any, tmp_path: Path, fault: str, seen: str, scheme: str) -> None:
    whole = pages.render("base.html", title="Broken")
    pages.write(tmp_path / "broken.html", whole.replace('<main id="main" tabindex="-1">', f"<main>{fault}"))
    opened(browser, tmp_path / "broken.html", 390, scheme)
    assert any(line.startswith(seen) for line in problems(browser))


def test_the_first_tab_leads_past_the_head_and_the_copy_button_copies(browser: Any, made: Made) -> None:
    opened(browser, made("check")[0])
    browser.find_element("css selector", "body").send_keys("\ue004")  # the tab key
    assert browser.execute_script("return document.activeElement.className") == "skip"
    button = browser.find_element("css selector", "button")
    button.click()
    script = "var b = arguments[0], done = arguments[1]; setTimeout(function () { done(b.textContent); }, 200)"
    assert browser.execute_async_script(script, button) in ("Copied", "Selected")
