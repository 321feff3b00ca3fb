"""docs/reference.md agrees with the code: the generated tables whole, the hand-written ones in what they list."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from support import ROOT, module

import vggprep
from vggprep.cases import LAYOUTS, REGIMES
from vggprep.cli import __doc__ as about_the_command_line
from vggprep.conformance.ledger import Entry, entry
from vggprep.conformance.results import STATUSES, Report, Result, Status, exit_code

DOCS = ROOT / "docs"
TEXT, SPECIFICATION = ((DOCS / name).read_text(encoding="utf-8") for name in ("reference.md", "specification.md"))


generate = module(DOCS / "generate.py")


def section(title: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, flags=re.S | re.M)
    assert found is not None, title
    return found[1]


def first_column(title: str) -> list[str]:
    """The names in the first column of the first table of a section."""
    table = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n)+)", section(title), flags=re.M)
    assert table is not None, title
    return [line.split("|")[1].strip().strip("`") for line in table[1].splitlines()]


def test_the_generated_tables_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_every_table_that_can_be_generated_is_on_a_page() -> None:
    both = TEXT + SPECIFICATION
    assert {*re.findall(r"<!-- generated: (\w+)[\w ]* -->", both)} == {*generate.GENERATED}
    assert both.count("<!-- generated: ") == both.count("<!-- end -->")


def test_a_table_that_is_out_of_date_is_noticed_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "reference.md"
    page.write_text(TEXT.replace("Each of the 256 bytes", "Most of the 256 bytes"), encoding="utf-8")
    monkeypatch.setattr(generate, "PAGES", (page,))
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "reference.md is out of date; run: python docs/generate.py\n"
    assert generate.main([]) == 0
    assert page.read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Statuses", STATUSES),
        ("Memory layouts", LAYOUTS),
        ("Regimes", REGIMES),
    ],
    ids=["statuses", "layouts", "regimes"],
)
def test_a_table_written_by_hand_lists_what_the_code_has(title: str, names: tuple[str, ...]) -> None:
    assert first_column(title) == list(names)


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    codes = re.findall(r"(?:Exit codes:|;)\s+(\d+) ", about_the_command_line or "")
    assert first_column("Exit codes") == codes
    assert codes == ["0", "1", "2", "3", "130"]


def test_the_keys_of_a_ledger_are_those_of_an_entry() -> None:
    assert sorted(first_column("Ledgers")) == sorted({field.name for field in fields(Entry)} - {"over"})


def test_the_ledger_shown_is_one() -> None:
    block = re.search(r"```toml\n(.*?)```", section("Ledgers"), flags=re.S)
    assert block is not None
    entries = [entry(given) for given in tomllib.loads(block[1])["entry"]]
    assert [found.check for found in entries] == [("value", "every_byte"), ("errors",)]
    assert entries[0].link is not None


def test_every_public_name_is_explained() -> None:
    found = re.findall(r"^\| `(\w+)` \|", section("Python"), flags=re.M)
    assert sorted(found) == sorted(vggprep.__all__)


def test_the_options_of_pytest_are_those_of_the_plugin(pytestconfig: pytest.Config) -> None:
    for option in first_column("pytest"):
        name = option.split()[0]
        assert pytestconfig.getoption(name) in (None, [], "dev"), name
    assert len(first_column("pytest")) == 4


@pytest.mark.parametrize("status", STATUSES)
def test_the_table_of_statuses_says_which_of_them_conform(status: Status) -> None:
    def conforms(*statuses: Status) -> bool:
        results = [Result("mine", "value", "caffe", "channels_last", "uint8", 3, found) for found in statuses]
        return Report(vggprep.Implementation("mine", abs), results).conforms

    row = next(line for line in section("Statuses").splitlines() if line.startswith(f"| `{status}` "))
    if row.endswith(" yes |"):
        assert conforms(status)
    elif row.endswith(" no |"):
        assert not conforms(status, "passed")
    else:
        assert row.endswith(" does not count |")
        assert conforms(status, "passed")
        assert not conforms(status)


def test_an_error_wins_over_a_failure_in_the_exit_code() -> None:
    failed = Result("mine", "value", "caffe", "channels_last", "uint8", 3, "failed")
    error = Result("mine", "value", "caffe", "channels_last", "uint8", 4, "error")
    judged = vggprep.Implementation("mine", abs)
    assert exit_code([Report(judged, [failed]), Report(judged, [error])]) == 3
    assert exit_code([Report(judged, [failed])]) == 1
