"""What pages hold: well-formed, complete by themselves, and with nothing on them that was not measured."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import one_line, vggprep
from pages.conftest import COMMANDS, FEW, Made

from vggprep import Implementation, preprocess_input
from vggprep.cases import Cell
from vggprep.conformance.engine import Selection
from vggprep.conformance.judging import judge
from vggprep.conformance.report import causes
from vggprep.pages.pictures import Pictures, measure, scene
from vggprep.spec import Direction

_VOID = {"meta", "link", "img", "br", "path", "use"}


class Outline(HTMLParser):
    """The tags of a page, and what is wrong with them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: set[str] = set()
        self.wrong: list[str] = []
        self.feed(html)
        self.wrong += [f"{tag} is not closed" for tag in self.open if tag not in ("p", "li")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        if "id" in given:
            self.ids[given["id"] or ""] += 1
        for name in ("href", "src", "xlink:href"):
            value = given.get(name) or ""
            if value.startswith("#"):
                self.links.add(value[1:])
            elif value and not value.startswith("data:"):
                self.wrong.append(f"{tag} refers to {value}")
        needed = {"th": "scope", "img": "alt", "svg": "aria-labelledby"}.get(tag)
        if needed and not given.get(needed):
            self.wrong.append(f"{tag} has no {needed}")
        for name in (given.get("aria-labelledby") or "").split():
            self.links.add(name)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")


@pytest.mark.thorough
@pytest.mark.parametrize("name", FEW)
def test_a_page_is_one_whole_file_that_refers_to_nothing_outside(made: Made, name: str) -> None:
    html = made(name)[0].read_text(encoding="utf-8")
    outline = Outline(html)
    assert outline.wrong == []
    assert [tag for tag in ("html", "h1", "header", "main", "footer") if outline.tags[tag] != 1] == []
    assert [name for name, count in outline.ids.items() if count > 1] == []
    assert outline.links <= set(outline.ids)
    assert 'role="status"' in html
    assert not re.search(r"url\((?!#)|@import|undefined|nan\b", html)


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<table><th>x</th></table>", ["th has no scope"]),
        ('<img src="https://example.org/x.png" alt="x">', ["img refers to https://example.org/x.png"]),
        ("<div><p></div>", ["</div> closes nothing", "div is not closed"]),
    ],
)
def test_a_page_that_is_not_so_is_seen(html: str, wrong: list[str]) -> None:
    assert Outline(html).wrong == wrong


@pytest.mark.parametrize("name", ["identify", "diff"])
def test_what_is_printed_is_the_same_with_a_page_and_without(
    made: Made, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made(name)[0].parent)
    monkeypatch.syspath_prepend(made(name)[0].parent)
    exit_code, words = COMMANDS[name]
    done = vggprep(*words)
    timeless = re.compile(r"in \d.*")
    assert (done.returncode, timeless.sub("", done.stdout)) == (exit_code, timeless.sub("", made(name)[1]))


def test_of_two_recorded_releases_the_timeline_between_them_is_shown(made: Made) -> None:
    timeline = made("diff")[0].read_text(encoding="utf-8").partition("Release by release")[2]
    assert set(re.findall(r'scope="col">(\w+ [\d.]+)', timeline)) >= {"keras 3.0.0", "keras 3.12.0"}
    assert "keras 2.7.0" not in timeline


def test_the_page_says_what_is_printed(made: Made) -> None:
    page, printed = made("check-part")
    text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")).replace("&#39;", "'").replace("&lt;", "<")
    for line in (line.strip() for line in printed.splitlines()):
        if line.startswith(("from ", "# got", "# expected", "behaves ")) or " conform" in line:
            assert line in text


# Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["check", "identify", "prove", "diff", "history"])
@pytest.mark.parametrize(("file", "said"), [("missing/x.html", "there is no folder missing"), (".", "it is a folder")])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(
    verb: str, file: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"history": [], "diff": ["keras==2.15.0", "keras==3.15.1"]}.get(verb, ["no_such_module:f"])
    assert one_line(vggprep(verb, *words, "--html", file)) == f"vggprep: cannot write {file}: {said}"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_runs() -> None:
    said = one_line(vggprep("check", "no_such_module:f", "--html", "/proc/x.html"))
    assert said.startswith("vggprep: cannot write /proc/x.html: ")


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_one_line_that_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggprep.pages.find_spec", lambda name: None if name == missing else find_spec(name))
    said = one_line(vggprep("check", "no_such_module:f", "--html", "x.html"))
    assert said == f"vggprep: --html needs {missing}: pip install 'vggprep[pages]'"


# What is drawn ----------------------------------------------------------------------------------------------------


def drawn(function: object, direction: Direction = "forward", mode: str = "caffe") -> Pictures | str | None:
    both = (function, None) if direction == "forward" else (None, function)
    implementation = Implementation("shown", *both, modes=(mode,), data_formats=("channels_last",), ranks=(3,))
    report = judge(implementation, selection=Selection(dtypes=("float32",)), examples=0)
    return measure(implementation, causes(report.results)[0])


def test_a_wrong_constant_is_a_flat_line() -> None:
    found = drawn(lambda x: (x[..., ::-1] - np.array([103.939, 121.779, 123.68])).astype("float32"))
    assert isinstance(found, Pictures)
    assert found.ramps is not None
    assert found.cell == Cell("caffe", "channels_last", "float32", found.cell.rank)
    assert np.allclose(found.ramps, np.array([[0.0], [-5.0], [0.0]]), atol=1e-3)  # red, green, blue
    assert found.image is not None
    assert np.allclose(found.image.errors, 5, atol=1e-3)
    assert (found.image.expected == scene()).all()
    came = np.clip(scene().astype(int) - [0, 5, 0], 0, 255)
    assert (found.image.came == came).all()


def test_a_wrong_scale_is_a_ramp_and_exchanged_channels_cross() -> None:
    found = drawn(lambda x: (x / 128 - 1).astype("float32"), mode="tf")
    assert isinstance(found, Pictures)
    assert found.ramps is not None
    slope = (127.5 / 128 - 1) * np.arange(256)
    assert np.allclose(found.ramps, slope, atol=1e-3)
    swapped = drawn(lambda x: (x[..., ::-1] / 127.5 - 1).astype("float32"), mode="tf")
    assert isinstance(swapped, Pictures)
    assert swapped.ramps is not None
    # Where red rises, blue is 40, and it is blue that comes out in red's place.
    assert np.allclose(swapped.ramps[0], 40 - np.arange(256), atol=1e-3)
    assert np.allclose(swapped.ramps[1], 0, atol=1e-3)


def test_of_an_inverse_the_pixels_are_drawn_as_they_come() -> None:
    found = drawn(
        lambda x: np.clip(np.rint(x[..., ::-1] + [130.68, 116.779, 103.939]), 0, 255).astype("uint8"), "inverse"
    )
    assert isinstance(found, Pictures)
    assert found.image is not None
    assert (found.image.came[..., 0] == np.minimum(scene()[..., 0].astype(int) + 7, 255)).all()


def test_an_error_is_drawn_where_it_is() -> None:
    def lower_half(x: np.ndarray) -> np.ndarray:
        right = np.array(preprocess_input(x, mode="tf"))
        right[..., right.shape[-3] // 2 :, :, :] += 0.25
        return right

    found = drawn(lower_half, mode="tf")
    assert isinstance(found, Pictures)
    assert found.image is not None
    assert np.allclose(found.image.errors[:16], 0, atol=1e-3)
    assert np.allclose(found.image.errors[16:], 0.25 * 127.5, atol=1e-3)


def test_what_is_no_picture_is_said_and_not_drawn() -> None:
    def of_fractions(x: np.ndarray) -> np.ndarray:
        return preprocess_input(np.rint(x), mode="tf")

    said = drawn(of_fractions, mode="tf")
    assert isinstance(said, str)
    assert said.endswith("rank 3, ramps of all bytes and a small image of bytes come out right.")

    def overwrites(x: np.ndarray) -> np.ndarray:
        right = preprocess_input(x, mode="tf")
        x[...] = 0
        return right

    assert drawn(overwrites, mode="tf") is None


def test_the_scene_has_all_that_tells_channels_apart() -> None:
    image = scene()
    assert image.shape == (32, 32, 3)
    assert {(0, 0, 0), (255, 255, 255)} <= {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert (image[..., 0] != image[..., 2]).mean() > 0.9
