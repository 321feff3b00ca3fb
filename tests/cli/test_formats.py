"""``--format``: what a pull request shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import one_line, vggprep

from vggprep.cli.formats import Remark, markdown

CHECK = ["check", "vggprep.faults:no_swap", "--dtype", "float32", "--examples", "0", "--in-process"]
DIFF = ["diff", "keras==3.11.3", "keras==3.12.0", "--path", "tensor", "--mode", "caffe"]


@pytest.mark.parametrize("arguments", [CHECK, DIFF], ids=lambda words: words[0])
def test_each_finding_is_an_item_an_annotation_and_part_of_the_summary(arguments: list[str], tmp_path: Path) -> None:
    text = vggprep(*arguments, cwd=tmp_path)
    page = vggprep(*arguments, "--format", "markdown", cwd=tmp_path)
    summary = tmp_path / "summary.md"
    github = vggprep(*arguments, "--format", "github", cwd=tmp_path, GITHUB_STEP_SUMMARY=str(summary))
    assert (text.returncode, page.returncode, github.returncode) == (1, 1, 1)
    items = re.findall(r"^\d+\. (?:\*\*)?(.*?)(?:\*\*)?$", page.stdout, flags=re.M)
    notes = [line for line in github.stdout.splitlines() if re.match(r"::(error|warning|notice) title=", line)]
    assert len(items) == len(notes) > 0
    assert github.stdout.startswith(text.stdout.rstrip("\n"))
    assert summary.read_text(encoding="utf-8").strip() == page.stdout.strip()
    for item, note in zip(items, notes, strict=True):
        said = re.sub(r"\\(.)", r"\1", item)
        assert note.partition("::")[2].partition("::")[2].partition("%0A")[0] == said.replace("%", "%25")
    assert page.stdout.startswith("## ")
    if arguments is CHECK:
        assert page.stdout.startswith("## no_swap does NOT conform")
        assert "   to see it:" in page.stdout


def test_json_is_what_the_report_is(tmp_path: Path) -> None:
    said = vggprep(*CHECK, "--format", "json", "--report", "report.jsonl", cwd=tmp_path)
    rows = [[json.loads(line) for line in text.splitlines()] for text in (
        said.stdout, (tmp_path / "report.jsonl").read_text(encoding="utf-8"))]  # fmt: skip
    assert rows[0][1:] == rows[1][1:]
    assert rows[0][0]["kind"] == "header"
    one = json.loads(vggprep(*DIFF, "--format", "json", cwd=tmp_path).stdout)
    assert one == json.loads(vggprep(*DIFF, "--json", cwd=tmp_path).stdout)


def test_what_is_said_is_no_markup_and_leaves_no_fence() -> None:
    page = markdown("f", [Remark("error", "a*b_[c] <d>", "```\nx\n````"), Remark("notice", "100 %")])
    assert page == (
        "## f\n\n1. **a\\*b\\_\\[c\\] \\<d\\>**\n\n   `````text\n   ```\n   x\n   ````\n   `````\n\n2. 100 %\n"
    )


def test_a_summary_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = vggprep(*DIFF, "--format", "github", cwd=tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "summary"))
    assert done.returncode == 2
    assert "GITHUB_STEP_SUMMARY" in one_line(done._replace(stdout=""))
