"""The page about the original question: everything it shows is run again; and the functions it is about."""

from __future__ import annotations

import code
import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vggprep
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.report import failure_text
from vggprep.conformance.results import Report
from vggprep.implementations import Implementation
from vggprep.implementations.targets import load, load_inverse

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "question.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell(command: str) -> str:
    """Run a command of the page in ``examples/``, with this interpreter's vggprep."""
    command = re.sub(r"^vggprep\b", f"{sys.executable} -m vggprep", command)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, shell=True, cwd=ROOT / "examples", env=environment, capture_output=True, text=True, timeout=300
    )
    return done.stdout


class Prompt(code.InteractiveConsole):
    """A Python prompt whose output is collected."""

    def ask(self, source: str) -> str:
        written = io.StringIO()
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            assert not self.runsource(source, symbol="single"), f"unfinished: {source}"
        return written.getvalue()


def rerun(page: str) -> str:
    """The page with every output made anew."""
    prompt = Prompt()

    def block(match: re.Match[str]) -> str:
        kind, lines = match.group(1), match.group(2).splitlines()
        made: list[str] = []
        if kind == "console":
            for line in lines:
                if line.startswith("$ "):
                    made += [line, *shell(line[2:]).rstrip().splitlines()]
        else:
            sources: list[list[str]] = []
            for line in lines:
                if line.startswith(">>> "):
                    sources.append([line[4:]])
                elif line.startswith("... "):
                    sources[-1].append(line[4:])
            for source in sources:
                made += [("... " if n else ">>> ") + text for n, text in enumerate(source)]
                ending = "\n" if len(source) > 1 else ""
                made += prompt.ask("\n".join(source) + ending).rstrip().splitlines()
        return f"```{kind}\n" + "".join(line.rstrip() + "\n" for line in made) + "```"

    return BLOCK.sub(block, page)


def test_the_page_shows_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("keras_applications", reason="pip install keras-applications==1.0.8")
    pytest.importorskip("PIL")
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(ROOT / "examples")
    page = PAGE.read_text(encoding="utf-8")
    assert rerun(page) == page


def test_keras_applications_has_keras_bits_and_takes_unknown_modes_for_caffe() -> None:
    pytest.importorskip("keras_applications", reason="pip install keras-applications==1.0.8")
    pytest.importorskip("keras")
    report = run(load("vggprep.implementations.legacy:keras_applications")[0], examples=20)
    failed = [r for r in report.results if r.status == "failed"]
    assert {r.check for r in failed} == {"errors"}, failure_text([report])
    assert "behaves like unknown_mode_taken_as_caffe" in {r.diagnosis.split(":")[0] for r in failed}


@pytest.mark.parametrize("target", ["keras.applications.vgg19", "keras.applications.imagenet_utils"])
def test_the_functions_people_call_conform(target: str) -> None:
    pytest.importorskip("keras")
    report = run(load(f"{target}:preprocess_input", level="exact", writes_input=True)[0], examples=10)
    assert report.conforms, failure_text([report])


def inverse(monkeypatch: pytest.MonkeyPatch, name: str, *, default: bool = False) -> Report:
    monkeypatch.syspath_prepend(ROOT / "examples")
    function = load_inverse(f"inverses:{name}").deprocess
    assert function is not None
    found = Implementation(name, deprocess=(lambda y: function(y.copy())) if default else function)
    return run(found, selection=Selection(("caffe",), None, ("float32",)), examples=0)


def failures(report: Report) -> tuple[set[str], set[str]]:
    return {r.check for r in report.results if r.status == "failed"}, {
        r.diagnosis.split(":")[0] for r in report.results if r.status == "failed"
    }


def test_the_copied_inverses_fail_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, _ = failures(inverse(monkeypatch, "in_place"))
    assert {"purity", "fresh_output"} <= checks
    _, diagnoses = failures(inverse(monkeypatch, "in_place", default=True))
    assert "behaves like inverse_always_channels_first" in diagnoses
    _, diagnoses = failures(inverse(monkeypatch, "truncating"))
    assert any("cut to whole bytes" in said or "truncated" in said for said in diagnoses)


def test_the_rounding_inverse_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    report = inverse(monkeypatch, "rounding")
    assert report.conforms, failure_text([report])


def test_load_img_gives_whole_pixels_at_any_target_size(tmp_path: Path) -> None:
    utils = pytest.importorskip("keras").utils
    pytest.importorskip("PIL")
    from vggprep.identification import png

    image = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
    png.write(tmp_path / "i.png", image)
    assert np.array_equal(utils.img_to_array(utils.load_img(tmp_path / "i.png")), image)
    for interpolation in ("nearest", "bilinear", "bicubic", "lanczos", "box"):
        loaded = utils.load_img(tmp_path / "i.png", target_size=(16, 16), interpolation=interpolation)
        small = utils.img_to_array(loaded)
        found = vggprep.identify_array(vggprep.preprocess_input(small, mode="caffe"))
        assert found.pixels is not None
        assert np.array_equal(found.pixels, small)


if __name__ == "__main__":  # write the page anew
    sys.path.insert(0, str(ROOT / "examples"))
    os.chdir(ROOT / "examples")
    PAGE.write_text(rerun(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
