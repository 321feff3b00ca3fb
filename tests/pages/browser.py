"""A page in a real browser, and what is wrong with how it looks there."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

_LOOK = """
function parsed(colour) {
  var n = colour.match(/[\\d.]+/g).map(Number);
  return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1];
}
function over(top, below) {
  return [0, 1, 2].map(function (k) { return top[k] * top[3] + below[k] * (1 - top[3]); }).concat(1);
}
function light(colour) {
  var c = colour.slice(0, 3).map(function (v) {
    v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4);
  });
  return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}
var canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
var papers = new Map();
function paper(element) {
  if (!element) { return canvas; }
  if (!papers.has(element)) {
    papers.set(element, over(parsed(getComputedStyle(element).backgroundColor), paper(element.parentElement)));
  }
  return papers.get(element);
}
var found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = 0;
while (walker.nextNode()) {
  var node = walker.currentNode, element = node.parentElement, style = getComputedStyle(element);
  if (!node.data.trim() || !element.getClientRects().length || /^(SCRIPT|STYLE|TITLE|DESC)$/i.test(element.tagName)) {
    continue;
  }
  var below = paper(element), own = parsed(element.closest("svg") ? style.fill : style.color);
  own[3] *= Number(style.opacity);
  var a = light(over(own, below)), b = light(below), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  seen += 1;
  if (ratio < 4.5) { found.push("contrast " + ratio.toFixed(2) + ": " + node.data.trim().slice(0, 40)); }
}
if (!seen) { found.push("no text"); }
var root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  found.push("overflow: " + root.scrollWidth + " pixels in " + root.clientWidth);
}
performance.getEntriesByType("resource").forEach(function (entry) {
  if (entry.name.indexOf("data:") !== 0) { found.push("loads " + entry.name); }
});
return found;
"""


@contextmanager
def started() -> Iterator[Any]:
    """A browser without a window. Skips where there is none, unless ``VGGPREP_REQUIRE_BROWSER`` is set."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        if os.environ.get("VGGPREP_REQUIRE_BROWSER"):
            pytest.fail("VGGPREP_REQUIRE_BROWSER is set, and there is no chromium or no chromedriver")
        pytest.skip("needs chromium and chromedriver (apt install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield running
    finally:
        running.quit()


def opened(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> None:
    """Open a page in a window of a width, for a reader who prefers a scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser")  # of the page before
    browser.get(page.as_uri())


def problems(browser: Any) -> list[str]:
    """What is wrong with the page that is open: contrast, overflow, what it loads, what the console says."""
    found: list[str] = browser.execute_script(_LOOK)
    said = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return found + [f"console: {entry['message']}" for entry in said]


def screenshot(browser: Any, path: Path) -> None:
    """The whole page that is open, as PNG."""
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    options = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    path.write_bytes(base64.b64decode(taken["data"]))
