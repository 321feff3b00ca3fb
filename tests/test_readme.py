"""Every code block of the README does what the README says it does."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest
from support import ROOT, blocks, run, write_files

README = ROOT / "README.md"
BLOCKS = blocks(README)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README shows."""
    write_files(README, tmp_path)
    return tmp_path


def test_the_sessions_in_the_readme_run() -> None:
    text = "\n".join(block for language, block in BLOCKS if language == "python" and block.startswith(">>>"))
    assert text.count(">>>") > 5
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_three_lines_judge_ones_own_function(folder: Path) -> None:
    script = next(b for lang, b in BLOCKS if lang == "python" and "check_implementation(preprocess)" in b)
    assert len([line for line in script.splitlines() if line]) == 3
    (folder / "three_lines.py").write_text(script, encoding="utf-8")
    done = run(f'"{sys.executable}" three_lines.py', folder)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert "behaves like slim_means" in done.stderr


def test_the_pytest_option_judges_ones_own_function(folder: Path) -> None:
    (folder / "test_preprocessing.py").unlink()
    command = next(b for lang, b in BLOCKS if lang == "sh" and b.startswith("pytest"))
    done = run(command.strip(), folder)
    assert done.returncode == 1
    assert "behaves like slim_means" in done.stdout
    assert re.search(r"4 failed, \d+ passed", done.stdout)


def test_the_parametrized_test_runs(folder: Path) -> None:
    done = run("pytest test_preprocessing.py", folder)
    assert done.returncode == 1
    assert re.search(r"3 failed, \d+ passed.*1 xfailed", done.stdout)


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
    from vggprep import MODELS, MODES

    for mode in MODES:
        models = ", ".join(model for model in MODELS if MODELS[model] == mode)
        assert f"| `{mode}` | {models} |" in README.read_text(encoding="utf-8")
