"""What the pages in docs show happens, every other command is one that vggprep takes."""

from __future__ import annotations

import configparser
import doctest
import re
import shlex
from pathlib import Path

import click
import pytest
from support import ROOT, run

from vggprep.cli import main

# The page about the original question needs files and packages of its own: test_question.py runs it.
PAGES = sorted(p for p in (ROOT / "docs").glob("*.md") if p.name != "question.md")
BLOCKS = [
    (page.name, language, block)
    for page in PAGES
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.S | re.M)
]
CONSOLE = [(page, block) for page, language, block in BLOCKS if language == "console"]
COMMANDS = [
    (page, command)
    for page, language, block in BLOCKS
    if language in ("sh", "yaml", "ini")
    for command in re.findall(r"\bvggprep (?:observe|diff|history|check|prove|modes)\b[^#\n]*", block)
]


@pytest.mark.parametrize(
    ("page", "block"), CONSOLE, ids=[f"{page}: {block.splitlines()[0]}" for page, block in CONSOLE]
)
def test_a_command_prints_what_the_page_shows(page: str, block: str, tmp_path: Path) -> None:
    command, _, expected = block.removeprefix("$ ").partition("\n")
    done = run(command, tmp_path)
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"
    assert done.returncode == (1 if "(this matters)" in expected else 0), done.stderr
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, printed, flags), printed


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command}" for page, command in COMMANDS])
def test_a_command_of_a_recipe_is_one_that_vggprep_takes(page: str, command: str) -> None:
    # A variable of the shell or of tox stands for some file or folder: take the current one.
    _, verb, *arguments = shlex.split(re.sub(r"\$?\{[^}]*\}", ".", command))
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


def test_nobody_is_told_to_install_vggprep_from_an_index_where_it_is_not() -> None:
    files = [file for file in ROOT.glob("**/*.*") if file.suffix in (".py", ".md") and ".tox" not in file.parts]
    told = re.compile(r"pip install [^\n`&]*[ \"]vggprep(?!/)")
    assert told.search('pip install "vggprep[x]"')
    assert len(files) > 100
    assert not [file for file in files if file != Path(__file__) and told.search(file.read_text(encoding="utf-8"))]
