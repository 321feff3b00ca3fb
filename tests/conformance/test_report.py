"""The table of several reports: checks down, environments across."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from judged import correct, judge

from vggprep import CHECKS
from vggprep.conformance.__main__ import main
from vggprep.conformance.report import ReportError, read, table, write_rows


def report(folder: Path, name: str, *rows: tuple[str, str]) -> Path:
    path = folder / f"{name}.jsonl"
    write_rows(path, [], [{"check": check, "status": status} for check, status in rows])
    return path


def printed(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.stdout, done.stderr


def test_the_table_has_a_line_for_each_check_and_a_column_for_each_environment(
    tmp_path: Path,
) -> None:
    report(tmp_path, "tf221-keras315", ("value", "passed"), ("value", "known"), ("purity", "passed"))
    report(tmp_path, "torch-keras315", ("value", "failed"), ("value", "passed"), ("purity", "skipped"))
    code, out, _ = printed("table", str(tmp_path))
    assert code == 0
    lines = [[field.strip() for field in line.strip("│┃").split("│")] for line in out.splitlines() if "│" in line]
    assert ["value", "known 1", "FAILED 1"] in lines
    assert ["purity", "ok 1", "skipped 1"] in lines
    assert ["verdict", "conforms", "does NOT"] in lines
    assert any(fields[0] == "numpy" and fields[1] == fields[2] != "" for fields in lines)
    assert not any(fields[0] == "threads" for fields in lines)
    assert "tf221" in out
    assert "torch" in out


def test_one_report_is_a_table_of_its_own(tmp_path: Path) -> None:
    old = report(tmp_path, "tf216-keras30", ("value", "failed"))
    report(tmp_path, "tf221-keras315", ("value", "passed"))
    code, out, error = printed("table", str(old))
    assert code == 0
    assert "FAILED 1" in out
    assert "tf221" not in out
    code, out, error = printed("table", str(tmp_path / "tf218-keras36.jsonl"))
    assert code == 2
    assert "there are no reports" in error


def test_an_environment_in_which_nothing_passed_does_not_conform(tmp_path: Path) -> None:
    assert not read(report(tmp_path, "a", ("value", "refused"))).conforms
    assert not read(report(tmp_path, "b")).conforms


@pytest.mark.parametrize("text", ["", "hello\n", "{}\n{}\n", "[]\n3\n"])
def test_a_file_that_is_no_whole_report_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text(text, encoding="utf-8")
    code, out, error = printed("table", str(tmp_path))
    assert code == 2
    assert out == ""
    assert "broken.jsonl is not a whole report of vggprep check" in error


def test_a_truncated_report_is_noticed(tmp_path: Path) -> None:
    path = report(tmp_path, "cut", ("value", "passed"), ("purity", "passed"))
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(ReportError, match="not a whole report"):
        read(path)


def test_no_reports_or_no_folder_are_one_line(tmp_path: Path) -> None:
    for arguments, said in (((str(tmp_path),), "there are no reports"), ((), "Usage")):
        code, _, error = printed("table", *arguments)
        assert code == 2
        assert said in error


def test_clearing_makes_the_folder_and_takes_the_last_report_away(tmp_path: Path) -> None:
    path = tmp_path / "matrix" / "one.jsonl"
    assert printed("clear", str(path))[0] == 0
    assert path.parent.is_dir()
    report(path.parent, "one", ("value", "passed"))
    assert printed("clear", str(path))[0] == 0
    assert not path.exists()


def test_reports_of_the_former_format_are_read_and_others_refused_by_name(tmp_path: Path) -> None:
    path = report(tmp_path, "old", ("value", "passed"))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("vggprep-report/2", "vggprep-report/1"), encoding="utf-8")
    assert read(path).conforms
    path.write_text(text.replace("vggprep-report/2", "vggprep-report/9"), encoding="utf-8")
    with pytest.raises(ReportError, match="has the format 'vggprep-report/9'"):
        read(path)


def test_a_verdict_has_a_row_for_each_check_that_ran() -> None:
    (value,) = [check for check in CHECKS if check.name == "value"]
    (names, *_) = table(judge(correct, checks=[value])).columns
    assert list(names.cells) == ["value"]


def test_a_report_names_the_packages_that_took_part(tmp_path: Path) -> None:
    header = json.loads(report(tmp_path, "a").read_text(encoding="utf-8").splitlines()[0])
    assert not set(header["versions"]) - {"python", "vggprep", "numpy", "hypothesis"} - set(sys.modules)
