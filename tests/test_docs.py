"""What the pages in docs show happens, what they tabulate is what the code says, and links lead somewhere."""

from __future__ import annotations

import ast
import configparser
import doctest
import importlib.util
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from support import ROOT, run

import vggprep
from vggprep import spec, vectors
from vggprep.cli import main
from vggprep.conformance import report
from vggprep.conformance.judging import judge
from vggprep.conformance.results import STATUSES, Example, Result

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
    _, verb, *arguments = shlex.split(command)
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


# The reference ----------------------------------------------------------------------------------------------------


def generator() -> Any:
    loader = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    return module


def test_the_tables_of_the_reference_are_those_of_the_code() -> None:
    generate = generator()
    page = generate.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- table: (\w+) -->", page) == list(generate.TABLES)
    assert page == generate.generated(page), "run python docs/generate.py"


def test_the_signatures_in_the_reference_are_those_of_the_functions() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    signatures = re.findall(r"^vggprep\.(\w+)\((.*)\)$", page, flags=re.M)
    assert len(signatures) == 4
    for name, arguments in signatures:
        (function,) = ast.parse(f"def f({arguments}): ...").body
        assert isinstance(function, ast.FunctionDef)
        bare = inspect.signature(getattr(vggprep, name))
        parameters = [p.replace(annotation=inspect.Parameter.empty) for p in bare.parameters.values()]
        assert ast.dump(ast.parse(f"def f{inspect.Signature(parameters)}: ...").body[0]) == ast.dump(function)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_architecture_lists_every_room_of_the_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.findall(r"`(\w+)/?`", "".join(re.findall(r"^\| (`.*?) \|", page.partition("## Rooms")[2], flags=re.M)))
    names = (p.stem for p in (ROOT / "vggprep").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())
    assert sorted(rooms) == sorted(set(names) - {"__init__"})


# The schemas ------------------------------------------------------------------------------------------------------


def schema(name: str) -> Any:
    return json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))


def validator(name: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_reports_are_what_their_schema_says(tmp_path: Path) -> None:
    only = {"modes": ("caffe",), "data_formats": ("channels_last",), "dtypes": ("uint8", "float32")}

    def negative(x: Any) -> Any:
        return -vggprep.preprocess_input(x).astype("float64")

    right = vggprep.Implementation("right", vggprep.preprocess_input, vggprep.deprocess_input, **only)
    wrong = vggprep.Implementation("wrong", negative, **only)
    path = tmp_path / "report.jsonl"
    report.write(path, [judge(right, examples=0), judge(wrong, examples=0)], arguments=["check", "right"])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {"passed", "failed"} <= {line["status"] for line in lines if line["kind"] == "result"}
    for line in lines:
        validator("report").validate(line)
    assert not validator("report").is_valid({**lines[1], "status": "well"})
    assert not validator("report").is_valid({**lines[1], "kind": "header"})


def test_the_schema_of_reports_lists_what_the_code_has() -> None:
    found = schema("report")["$defs"]
    properties = found["result"]["properties"]
    expected = {
        "status": STATUSES,
        "mode": tuple(spec.MODES),
        "data_format": spec.DATA_FORMATS,
        "dtype": spec.DTYPES,
        "rank": spec.RANKS,
        "direction": spec.DIRECTIONS,
        "example": get_args(Example),
    }
    assert {key: tuple(properties[key]["enum"]) for key in expected} == expected
    assert set(properties) == {"kind", *Result.__dataclass_fields__} == set(found["result"]["required"])
    assert set(found["footer"]["properties"]) == {"kind", "rows", *STATUSES}
    assert found["header"]["properties"]["format"]["const"] == report.FORMAT


def test_the_manifest_of_the_vectors_is_what_its_schema_says(tmp_path: Path) -> None:
    vectors.write(tmp_path / "vectors")
    manifest = json.loads((tmp_path / "vectors" / "manifest.json").read_text(encoding="utf-8"))
    validator("vectors").validate(manifest)
    assert {vector["mode"] for vector in manifest["vectors"]} == set(spec.MODES)
    manifest["vectors"][0].pop("tolerance")
    assert not validator("vectors").is_valid(manifest)
