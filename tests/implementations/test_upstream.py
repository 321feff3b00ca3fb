"""The reports for Keras: what their programs show, and that their patches mend what they are about."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import blocks

from vggprep.specification import CLAUSES

PAGES = sorted(page for page in (Path(__file__).parents[2] / "docs" / "upstream").glob("*.md") if page.stem != "README")
REQUIRED = bool(os.environ.get("VGGPREP_REQUIRE_KERAS"))
RELEASE = "3.15.1"

pytestmark = pytest.mark.skipif(
    not REQUIRED and importlib.util.find_spec("tensorflow") is None, reason="needs Keras on TensorFlow"
)


def block(page: Path, language: str) -> str:
    (found,) = (text for kind, text in blocks(page) if kind == language)
    return found


def run(arguments: list[str], folder: Path, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])} if packages else {}
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **path}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the installed Keras with all the patches."""
    found = importlib.util.find_spec("keras")
    assert found is not None
    assert found.origin is not None
    folder = tmp_path_factory.mktemp("patched")
    shutil.copytree(Path(found.origin).parent, folder / "keras", ignore=shutil.ignore_patterns("__pycache__"))
    said = (folder / "keras" / "src" / "version.py").read_text(encoding="utf-8")
    if f'"{RELEASE}"' not in said:
        pytest.skip(f"the patches are for Keras {RELEASE}")
    if shutil.which("git") is None:
        pytest.skip("needs git, which applies the patches")
    for page in PAGES:
        patch = folder / f"{page.stem}.diff"
        patch.write_text(block(page, "diff"), encoding="utf-8")
        subprocess.run(["git", "apply", "--unidiff-zero", patch.name], cwd=folder, check=True)
    return folder


def test_a_program_shows_what_the_report_says(tmp_path: Path) -> None:
    pages = [page for page in PAGES if page.stem != "identity-data-format"]
    programs = "\n".join(block(page, "python") for page in (*pages, PAGES[0].with_stem("identity-data-format")))
    *lines, refused = programs.strip().splitlines()
    lines += ["try:", f"    {refused}", "except ValueError:", "    print('refused')"]
    done = run(["-c", "\n".join(lines)], tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "[[[152 240 133]]]" in said
    assert said.endswith("refused")
    assert "(1, 1, 3) (1, 1, 4)" in said
    assert len(re.findall(r"\[151.061 +138.221\d* +131.32 *\]", said)) == 3


@pytest.mark.no_cover
def test_check_passes_with_an_empty_ledger_once_patched(patched: Path, tmp_path: Path) -> None:
    # As it is, it does not: an entry of the shipped ledger that excuses nothing is stale, and fails test_keras.py.
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    narrow = ["--mode", "caffe", "--mode", "identity", "--dtype", "uint8", "--dtype", "float32", "--examples", "0"]
    targets = ["keras:ndarray", "keras:tensor", "keras:model"]
    arguments = ["-m", "vggprep", "check", *targets, *narrow, "--writes-input", "--known", "empty.toml"]
    done = run(arguments, tmp_path, patched)
    last = done.stdout.strip().splitlines()[-1]
    assert (done.returncode, last.startswith("all 3 conform")) == (0, True), done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_report_names_clauses_that_there_are(page: Path) -> None:
    named = re.findall(r"VP-[A-Z]+-\d+", page.read_text(encoding="utf-8"))
    assert named
    assert set(named) <= {clause.id for clause in CLAUSES}
