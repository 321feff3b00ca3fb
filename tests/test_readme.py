"""Every code block of the README does what the README says it does."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from support import ROOT, blocks, run, write_files

from vggprep import MODELS, MODES

README = ROOT / "README.md"
BLOCKS = blocks(README)
THREE_LINES = next(block for _, block in BLOCKS if block.endswith("check_implementation(preprocess)\n"))
OPTION = next(block for _, block in BLOCKS if block.startswith("pytest --implementation")).strip()


def test_the_sessions_in_the_readme_run() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert (failed, tried > 5) == (0, True)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("python three_lines.py", "AssertionError.*behaves like slim_means"),
        (f"{OPTION} --ignore test_preprocessing.py", r"behaves like slim_means.*4 failed, \d+ passed"),
        ("pytest test_preprocessing.py", r"3 failed, \d+ passed.*1 xfailed"),
    ],
)
def test_each_way_in_python_judges_ones_own_function(command: str, printed: str, tmp_path: Path) -> None:
    write_files(README, tmp_path)
    (tmp_path / "three_lines.py").write_text(THREE_LINES, encoding="utf-8")
    done = run(command, tmp_path)
    assert done.returncode == 1
    assert re.search(printed, done.stdout + done.stderr, flags=re.S)


def test_the_set_up_commands_are_those_that_ci_runs() -> None:
    commands = [block.strip() for language, block in BLOCKS if language == "sh"]
    assert commands[0].startswith("git clone ADDRESS vggprep && cd vggprep ")
    assert commands[1] == 'python -m pip install ".[keras]" && vggprep check keras'
    assert commands[2] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_block_is_covered() -> None:
    for language, block in BLOCKS:
        first = block.partition("\n")[0]
        known = (
            (language == "console" and first.startswith("$ "))
            or (language == "python" and (first.startswith((">>>", "# ")) or "check_implementation" in block))
            or (language == "sh" and first.startswith(("git clone", "python -m pip install", "pytest")))
        )
        assert known, block


def test_the_table_of_modes_is_the_spec() -> None:
    for mode in MODES:
        models = ", ".join(model for model in MODELS if MODELS[model] == mode)
        assert f"| `{mode}` | {models} |" in README.read_text(encoding="utf-8")


OWN = "Keras's own unit tests"


def test_what_is_said_of_mutants_is_what_the_table_has() -> None:
    said = README.read_text(encoding="utf-8")
    table = (ROOT / "docs" / "mutation.md").read_text(encoding="utf-8")
    counts = {
        cells[0].strip(" *`"): cells[-1].strip()
        for line in table.splitlines()
        if (cells := line.strip("| ").split("|"))
    }
    total, all_noticed = counts["do something else"], counts["vggprep check"]
    assert total == all_noticed
    assert f"Of {total} ways to get Keras's own three functions wrong" in said
    assert f"Keras's own tests notice {counts[OWN]}" in said
    assert f"on a random image {counts['one image, `np.allclose`, its defaults']}." in said
