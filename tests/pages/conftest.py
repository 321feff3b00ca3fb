"""Every kind of page, made once, of real programs and real records."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from click.testing import CliRunner

import vggprep
from vggprep.cli import main
from vggprep.pages.pictures import scene

PROGRAMS = """
import numpy as np

def swapped(x):
    "Red and blue are not exchanged, and the mean of green is off."
    return x.astype("float32") - np.array([103.939, 120.0, 123.68], "float32")

def wraps(x, mode="caffe"):
    "Computed in the integers of the image."
    return x[..., ::-1] - np.array([103, 116, 123], x.dtype)

def halves(x, mode="tf"):
    "Right, but for the lower half of large images, which it refuses to scale."
    result = x.astype("float32") / 127.5 - 1
    result[..., 16:, :, :] *= 1.0 if x.shape[-3] <= 16 else 0.5
    return result

def back(x):
    "An inverse with the means of another mode."
    return np.clip(np.rint(x[..., ::-1] + np.array([123.0, 117.0, 104.0])), 0, 255).astype("uint8")

def right(x, data_format=None, mode="caffe"):
    import vggprep
    return vggprep.preprocess_input(x, data_format, mode)
"""

_FEW = ("--data-format", "channels_last", "--dtype", "uint8", "--examples", "0", "--in-process", "--mode")
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "check": (1, ("check", "shown:swapped", "shown:wraps", "--inverse", "shown:back", *_FEW, "caffe")),
    "check-right": (0, ("check", "shown:right", *_FEW, "tf")),
    "check-part": (1, ("check", "shown:halves", *_FEW, "tf")),
    "identify": (1, ("identify", "shown:swapped", "--in-process")),
    "identify-array": (0, ("identify", "array.npy")),
    "prove": (0, ("prove", "shown:right", "--mode", "tf", "--dtype", "uint8", "--workers", "1")),
    "prove-wrong": (1, ("prove", "shown:swapped", "--mode", "caffe", "--dtype", "uint8", "--workers", "1")),
    "diff": (1, ("diff", "keras==2.15.0", "keras==3.15.1")),
    "diff-same": (0, ("diff", "keras==3.15.1", "keras==3.15.1")),
    "history": (0, ("history", "--all")),
}
"""What makes each page, and its exit code."""


FEW = ("check-part", "identify", "identify-array", "prove-wrong", "diff", "history")
"""One of each kind, for the tests without a browser."""

Made = Callable[[str], tuple[Path, str]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of a command its page, and what it printed; each is run once."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "shown.py").write_text(PROGRAMS)
    np.save(folder / "array.npy", vggprep.preprocess_input(scene(), mode="caffe"))

    @cache
    def page_of(name: str) -> tuple[Path, str]:
        exit_code, words = COMMANDS[name]
        page = folder / f"{name}.html"
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.syspath_prepend(folder)
            patch.setattr(sys, "argv", ["vggprep", *words, "--html", page.name])
            done = CliRunner().invoke(main, [*words, "--html", page.name])
        assert done.exit_code == exit_code, done.output
        return page, done.stdout

    return page_of
