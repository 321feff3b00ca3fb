"""CONTRIBUTING.md names what exists, and the faults that it shows are faults."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from vggprep.checks import CHECKS
from vggprep.conformance.engine import Selection, run
from vggprep.faults import FAULTS, Fault, arithmetic
from vggprep.faults.fault import fault, wrong_rows

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:vggprep|tests|docs|\.github)/[\w/.]*\w", TEXT))))
def test_a_path_in_a_recipe_exists(path: str) -> None:
    placeholders = {"tests/ROOM", "vggprep/ROOM"} | {
        f"{folder}/{name}.py"
        for folder in ("vggprep/implementations", "tests/implementations")
        for name in ("NAME", "test_NAME")
    }
    assert path in placeholders or (ROOT / path).exists()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("MODELS", "vggprep/spec.py"),
        ("STEPS", "tests/test_spec.py"),
        ("by_hand", "tests/test_oracle.py"),
        ("CHECKS", "vggprep/checks/__init__.py"),
        ("Kind", "vggprep/checks/findings.py"),
        ("WORDS", "vggprep/conformance/words.py"),
        ("NOT_NAMED", "tests/faults/test_gallery.py"),
        ("_load", "vggprep/implementations/targets.py"),
        ("SYNTAX", "vggprep/implementations/targets.py"),
        ("_RELATIONS", "vggprep/conformance/words.py"),
        ("_HINTS", "vggprep/conformance/diagnosis.py"),
        ("_ABOUT_RESULTS", "vggprep/conformance/report.py"),
        ("_defined", "vggprep/specification.py"),
        ("FORWARD", "vggprep/specification.py"),
        ("VERSION", "vggprep/specification.py"),
        ("UNSEEN", "tests/proof/test_shards.py"),
        ("SHOWS_IN", "tests/faults/test_gallery.py"),
        ("KINDS", "vggprep/implementations/models.py"),
        ("_LINES", "vggprep/releases/environments.py"),
        ("_PUBLISHED", "vggprep/releases/environments.py"),
        ("_TENSORFLOW", "vggprep/releases/environments.py"),
        ("BASES", "vggprep/releases/environments.py"),
    ],
)
def test_a_name_in_a_recipe_is_where_the_recipe_says(name: str, path: str) -> None:
    assert f"`{name}`" in TEXT
    assert re.search(rf"^(?:def )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), flags=re.M)


def faults_shown() -> list[Fault]:
    """The faults that the recipe defines, one as a row of constants and one as a function."""
    row, function = (textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.S))
    names: dict[str, Any] = {"fault": wrong_rows}
    exec(f"made = {row}", names)
    found = [names["made"]]
    names = {**vars(arithmetic), "fault": fault}
    exec(f"from __future__ import annotations\n{function}", names)
    return [*found, *(value for value in names.values() if isinstance(value, Fault))]


@pytest.mark.parametrize("shown", faults_shown(), ids=lambda shown: shown.name)
def test_a_fault_in_the_recipe_is_caught_by_the_check_that_it_names(shown: Fault) -> None:
    assert shown.name not in {known.name for known in FAULTS}
    assert f"{shown.name}" in re.findall(r"pytest tests/faults -k \"(.*?)\"", TEXT)[0]
    named = [check for check in CHECKS if check.name == shown.caught_by]
    report = run(shown.implementation(), checks=named, examples=0, selection=Selection(dtypes=("float32",)))
    assert {result.status for result in report.results} == {"failed"}
    assert {result.mode for result in report.results} == set(shown.modes)
