"""What the README and the pages in docs show happens, every other command is one that vggprep takes."""

from __future__ import annotations

import configparser
import doctest
import importlib.util
import os
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from command_line import vggprep
from support import ROOT, blocks, run, write_files

from vggprep.cli import main

# The page about the original question needs files and packages of its own: test_question.py runs it.
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "question.md")]
BLOCKS = [(page, language, block) for page in PAGES for language, block in blocks(page)]
CONSOLE = [(page, block) for page, language, block in BLOCKS if language == "console"]
COMMANDS = [
    (page.name, command)
    for page, language, block in BLOCKS
    if language in ("sh", "yaml", "ini")
    for command in re.findall(r"\bvggprep (?:observe|diff|history|check|prove|modes)\b[^#\n]*", block)
]


FRAMEWORKS = {"keras", "tensorflow", "torch"}


def needed(command: str, folder: Path) -> set[str]:
    """The modules that a command needs; a release by its number comes from the record."""
    found = {"keras", "tensorflow"} if "keras" in command and "==" not in command else set()
    for module in re.findall(r"\b(\w+):\w+", command):
        if (folder / f"{module}.py").exists():
            found |= set(re.findall(r"^(?:import|from) (\w+)", (folder / f"{module}.py").read_text(), flags=re.M))
    return found


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("page", "block"), CONSOLE, ids=[f"{page.name}: {block.splitlines()[0]}" for page, block in CONSOLE]
)
def test_a_command_prints_what_the_page_shows(page: Path, block: str, tmp_path: Path) -> None:
    command, _, expected = block.removeprefix("$ ").partition("\n")
    write_files(page, tmp_path)
    if "node " in command and shutil.which("node") is None:
        pytest.skip("needs node")
    modules = needed(command, tmp_path)
    if not modules & FRAMEWORKS and os.environ.get("VGGPREP_REQUIRE_KERAS"):
        pytest.skip("needs no framework: runs in the environment without any")
    for name in modules:
        required = os.environ.get("VGGPREP_REQUIRE_KERAS") and name != "torch"
        if importlib.util.find_spec(name) is None and not required:
            pytest.skip(f"needs {name}")
    words = shlex.split(command)
    alone = words[0] == "vggprep" and not modules & FRAMEWORKS and not set(command) & set("|;>")
    done = vggprep(*words[1:], cwd=tmp_path, COLUMNS="120") if alone else run(command, tmp_path)
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"
    fails = any(words in expected for words in ("does NOT conform", "(this matters)", "grey levels off"))
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, printed, flags), printed


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command}" for page, command in COMMANDS])
def test_a_command_of_a_recipe_is_one_that_vggprep_takes(page: str, command: str) -> None:
    # A variable of the shell or of tox stands for some file or folder: take the current one.
    _, verb, *arguments = shlex.split(re.sub(r"\$?\{[^}]*\}", ".", command.partition(" > ")[0]))
    context = click.Context(main)
    found = main.get_command(context, verb)
    assert found is not None
    assert found.make_context(verb, arguments, parent=context).params


def test_the_tox_recipe_is_one() -> None:
    recipes = [block for _, language, block in BLOCKS if language == "ini"]
    assert recipes
    for recipe in recipes:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(recipe)
        assert parser.sections() == ["testenv:preprocessing"]
        assert "vggprep diff recorded" in parser["testenv:preprocessing"]["commands"]


QUICK = """from hypothesis import Phase, settings
settings.register_profile("quick", max_examples=10, derandomize=True, database=None, phases=[Phase.generate])
settings.load_profile("quick")
"""


def test_the_state_machine_shown_passes_a_right_function_that_takes_only_an_array_and_fails_a_wrong_one(
    tmp_path: Path,
) -> None:
    write_files(ROOT / "docs" / "exploration.md", tmp_path)
    (tmp_path / "conftest.py").write_text(QUICK, encoding="utf-8")
    right = "import vggprep\n\ndef preprocess(x):\n    return vggprep.preprocess_input(x, mode='tf')\n"
    for text, code in ((right, 0), (right.replace("tf')", "tf') + 1"), 1)):
        (tmp_path / "mymodule.py").write_text(text, encoding="utf-8")
        done = run("pytest -p no:cacheprovider test_sequences.py", tmp_path)
        assert done.returncode == code, done.stdout


def test_nobody_is_told_to_install_vggprep_from_an_index_where_it_is_not() -> None:
    files = [file for file in ROOT.glob("**/*.*") if file.suffix in (".py", ".md") and ".tox" not in file.parts]
    told = re.compile(r"pip install [^\n`&]*[ \"]vggprep(?!/)")
    assert told.search('pip install "vggprep[x]"')
    assert len(files) > 100
    assert not [file for file in files if file != Path(__file__) and told.search(file.read_text(encoding="utf-8"))]
