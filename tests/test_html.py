"""What notebooks show in place of ``repr``: without any extra, escaped, with nothing to load."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import vggprep
from vggprep import Implementation, html
from vggprep.conformance.engine import Selection
from vggprep.conformance.judging import Results, judge


def wrong(x: Any) -> Any:
    return (x[..., ::-1] - np.array([103.939, 116.779, 120.0])).astype("float32")


@pytest.fixture(scope="module")
def results() -> Results:
    implementation = Implementation("<b>wrong</b>", wrong, modes=("caffe",))
    return Results(judge(implementation, selection=Selection(dtypes=("uint8",)), examples=0))


def test_results_show_the_verdict_the_table_and_each_cause(results: Results) -> None:
    shown = results._repr_html_()
    assert "&lt;b&gt;wrong&lt;/b&gt; does NOT conform at level faithful" in shown
    assert '<th scope="row" style="text-align: left">value</th>' in shown
    assert "<details><summary>1. 256 of 768 values wrong, up to 3.68 grey levels</summary>" in shown
    assert "computes B - 103.939, G - 116.779, R - 120, where" in shown


def test_a_report_and_a_result_show_what_they_hold(results: Results) -> None:
    report = results.report._repr_html_()
    assert "does NOT conform at level faithful" in report
    assert f"failed {sum(r.status == 'failed' and r.check == 'value' for r in results)}" in report
    failed = next(r for r in results if r.status == "failed")
    assert failed.message in failed._repr_html_()
    assert "# expected" in failed._repr_html_()
    passed = next(r for r in results if r.status == "passed")._repr_html_()
    assert "clauses" not in passed
    assert "<pre" not in passed  # there is nothing to reproduce


def test_an_identified_function_shows_its_channels() -> None:
    shown = vggprep.identify(wrong)._repr_html_()
    assert "channel 2 = R - 120" in shown


@pytest.mark.parametrize(("side", "expected"), [(20, 20), (700, 234)])
def test_an_identified_array_shows_its_pixels(side: int, expected: int) -> None:
    image_of = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    shown = vggprep.identify_array(vggprep.preprocess_input(image, mode="caffe"))._repr_html_()
    found = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert found
    pixels = np.asarray(image_of.open(io.BytesIO(base64.b64decode(found[1]))))
    step = -(-side // expected)
    assert (pixels == image[0, ::step, ::step]).all()


def test_an_array_that_cannot_be_recovered_shows_no_pixels() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 20, 3)).astype("float32")
    assert "<img" not in vggprep.identify_array(noise)._repr_html_()


def test_a_mode_shows_its_steps_and_where_it_is_from() -> None:
    mode = vggprep.Mode("a<b", "BGR", [("divide", "255"), ("subtract", ("1", "2", "3"))], "say & do", "page <5>")
    shown = mode._repr_html_()
    for text in (
        "a&lt;b",
        "channel 0, of B",
        "<tr><th>subtract</th><td>1</td><td>2</td><td>3</td></tr>",
        "say &amp; do",
    ):
        assert text in shown
    assert "nothing" in vggprep.MODES["identity"]._repr_html_()
    assert "<5>" not in shown


def test_a_table_and_lines_are_escaped() -> None:
    assert "<i>" not in html.table(("<i>",), [("<i>", "<i>")], "<i>") + html.lines("<i>") + html.folded("<i>", "<i>")


def test_nothing_that_pages_need_is_imported() -> None:
    script = (
        "import sys; sys.modules['jinja2'] = sys.modules['matplotlib'] = None\n"
        "import vggprep, numpy as np\n"
        "r = vggprep.check_implementation(lambda x: x, on_fail=None, examples=0, expected_failures={})\n"
        "print(len(r[0]._repr_html_()) > 0, len(vggprep.MODES['tf']._repr_html_()) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["True", "True"]
