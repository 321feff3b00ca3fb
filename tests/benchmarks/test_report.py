"""A run's rows, the report of it, and one line for a file that is none."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import ROOT

pytest.importorskip("pytest_benchmark")

from benchmarks import report
from benchmarks.report import Row
from vggprep.field.adapters import KERAS
from vggprep.field.limit import LIMIT


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of a real run: two implementations and the limit, one image, five rounds."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "mine.py").write_text("def grey(x, mode):\n    return x.astype('float32') * 0 + 1\n")
    path = folder / "results.json"
    command = [
        *(sys.executable, "-m", "pytest", str(ROOT / "benchmarks" / "test_speed.py"), "-q", "-p", "no:cacheprovider"),
        *("--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), "--seconds-each", "0", "--threads", "1"),
        *("--implementation", "mine:grey", "--benchmark-json", str(path)),
        *("-k", "forward-tf-channels_last-uint8-1-fresh-1thread and (numpy or mine or limit)"),
    ]
    # pytest-benchmark turns itself off where it sees xdist, even that of these tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.exists(), done.stdout + done.stderr
    return path


def make(*arguments: str | Path) -> Result:
    return CliRunner().invoke(report.main, [str(argument) for argument in arguments])


def test_a_run_has_a_row_for_each_implementation(results: Path) -> None:
    rows = {row["implementation"]: row for row in report.rows(json.loads(results.read_text()))}
    assert set(rows) == {LIMIT, "vggprep numpy", "yours: mine:grey"}
    ours = rows["vggprep numpy"]
    assert ours["verdict"] == "exact"
    assert ours["contiguous"]
    assert 0 < ours["ns_per_element"]["min"] <= ours["ns_per_element"]["median"]
    assert ours["versions"]["numpy"] == np.__version__
    assert rows["yours: mine:grey"]["verdict"].endswith("of 768 wrong")
    assert not rows["yours: mine:grey"]["ranked"]


def test_the_report_has_a_table_with_the_wrong_ones_last(results: Path, tmp_path: Path) -> None:
    done = make(results, "-o", tmp_path / "new", "--no-charts")
    assert (done.exit_code, done.stdout.split()) == (0, [str(tmp_path / "new" / "results.md")])
    page = (tmp_path / "new" / "results.md").read_text()
    table = [line for line in page.partition("## Forward")[2].splitlines() if line.startswith("|")][2:]
    assert table[0].startswith("|  | limit: ")
    assert table[1].startswith("| 1 | vggprep numpy | exact |")
    assert table[2].startswith("| wrong | yours: mine:grey | ")


def test_the_charts_are_drawn(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert make(results, "-o", tmp_path, "--noisy").exit_code == 0
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    # A second size makes a second chart.
    found, more = (json.loads(results.read_text()) for _ in range(2))
    for bench in more["benchmarks"]:
        bench["extra_info"]["images"] = 8
    found["benchmarks"] += more["benchmarks"]
    (tmp_path / "two.json").write_text(json.dumps(found))
    assert make(tmp_path / "two.json", "-o", tmp_path, "--noisy").exit_code == 0
    assert (tmp_path / "batch.svg").exists()


QUIET = {"load_before": 0.1, "load_after": 1.0, "steal": 0.0, "others": 0.02, "unsettled": 0.0}


@pytest.mark.parametrize(
    ("noise", "spread", "why"),
    [
        (QUIET, 1.04, ""),
        (QUIET | {"others": 0.7}, 1.04, "other processes kept 0.70 cores busy"),
        (QUIET | {"steal": 0.03}, 1.04, "3.0% of the time was stolen"),
        (QUIET, 1.06, "100% of the rows have not settled"),
        (None, 1.04, "nothing is known of what else the machine did"),
    ],
)
def test_a_noisy_run_has_tables_and_charts_only_if_told_to(
    noise: Row | None, spread: float, why: str, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    figure = {"min": 1.0, "median": spread}
    mine = row("mine", 1.0, ns_per_element=figure)
    found = {"machine_info": {"noise": noise} if noise else {}, "benchmarks": [{"extra_info": mine}]}
    (tmp_path / "run.json").write_text(json.dumps(found))
    done = make(tmp_path / "run.json", "-o", tmp_path)
    assert (tmp_path / "results.md").exists()
    assert (tmp_path / "speed.svg").exists() is not bool(why)
    assert done.exit_code == (2 if why else 0)
    assert why in done.stderr
    assert ("| ~1.000 / " in (tmp_path / "results.md").read_text()) is (spread > 1.05)
    assert make(tmp_path / "run.json", "-o", tmp_path, "--noisy").exit_code == 0
    assert ("A noisy run: " in (tmp_path / "speed.svg").read_text()) is bool(why)


def test_names_beside_the_lines_are_apart_in_the_order_of_the_lines_and_not_above_the_axis() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot
    from matplotlib.text import Annotation

    _, ax = pyplot.subplots()
    ax.set_yscale("log")
    ax.set_ylim(0.1, 20)
    ends = [(1.0, y, f"{y:g}", "black") for y in (19, 0.2, 18, 18.5, 0.21, 17)]
    report._label_ends(ax, ends)
    placed = {name.get_text(): name.xyann[1] for name in ax.texts if isinstance(name, Annotation)}
    assert sorted(placed, key=placed.__getitem__) == ["0.2", "0.21", "17", "18", "18.5", "19"]
    heights = sorted(placed.values())
    assert heights[-1] <= 20
    assert all(b / a > 1.159 for a, b in itertools.pairwise(heights))
    pyplot.close()


def row(label: str, ns: float, **more: Any) -> dict[str, Any]:
    """A row of mode caffe, uint8, 64 images, reused output, one thread, unless ``more`` says otherwise."""
    figure = {"min": ns, "median": 2 * ns}
    figures: dict[str, Any] = dict.fromkeys(("ns_per_element", "gb_per_s", "fraction_of_limit"), figure)
    figures |= {"times_usual_inverse": None, "times_keras": {"min": 12.0, "median": 10.0}, "peak_bytes": 1}
    what = {"implementation": label, "label": label, "verdict": "exact", "ranked": True, "fresh": False}
    task = {"direction": "forward", "mode": "caffe", "data_format": "channels_last", "dtype": "uint8", "images": 64}
    rest = {"output": "reused", "threads": 1, "reading": False, "contiguous": True, "writes_input": False}
    return {**figures, **what, **task, **rest, **more}


def aims(*rows: dict[str, Any]) -> list[str]:
    page = report.markdown({"benchmarks": [{"extra_info": row} for row in rows]})
    return [line for line in page.partition("## Forward")[0].splitlines() if "≥" in line]


def test_aims_are_held_against_the_rows_that_were_measured() -> None:
    ours = row("vggprep numba", 0.9)
    what = "| Forward, caffe, channels_last, uint8, 64 images, reused output, 1 thread: vggprep numba"
    assert aims(ours, row(KERAS, 9.0)) == [
        f"{what}, × Keras arrays | ≥ 11 | 12.00 | 10.00 | by one of the two |",
        f"{what}, of the limit | ≥ 0.9 | 0.90 | 1.80 | met |",
    ]
    two = row("vggprep numba", 0.9, threads=2, ns_per_element={"min": 0.5, "median": 2.0})
    assert aims(ours, two)[2:] == [
        f"{what}, two threads × one (aim for an idle machine) | ≥ 1.5 | 1.80 | 0.90 | by one of the two |"
    ]
    assert aims(two) == aims(row("vggprep numba", 0.9, reading=True)) == aims(row(KERAS, 9.0)) == []
    assert aims(row("vggprep numba", 0.9, times_keras=None))[0].endswith("| met |")


def test_what_the_suite_costs_is_a_table() -> None:
    costs = [
        {"extra_info": {"what": "an import", "note": "new process"}, "stats": {"min": 0.0123, "median": 0.5}},
        {"extra_info": {"what": "a verdict"}, "stats": {"min": 2.0, "median": 12.34}},
    ]
    page = report.markdown({"benchmarks": costs, "machine_info": {"cpu": {"brand_raw": "Some CPU", "count": 2}}})
    assert page.startswith("# Results\n\nSome CPU, 2 cores, ")
    assert "| an import | 12.3 ms | 500.0 ms | new process |\n| a verdict | 2.0 s | 12.3 s |  |" in page


def test_charts_without_matplotlib_are_one_line(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = make(results, "-o", tmp_path, "--noisy")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "benchmarks.report: the charts need matplotlib: pip install matplotlib\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read .*: No such file"),
        ("", "is not the whole JSON"),
        ('{"benchmarks": [{"name"', "is not the whole JSON"),
        ("[1, 2]", "is not the whole JSON"),
        ('{"benchmarks": [7, {"extra_info": null}, {"extra_info": {"what": 1}}]}', "is not the whole JSON"),
        (b"\xff\xfe\x00", "is not the whole JSON"),
        ('{"benchmarks": []}', "holds no rows of vggprep's benchmarks; make one with pytest benchmarks"),
        ('{"benchmarks": [{"name": "test_other", "stats": {}, "extra_info": {}}]}', "holds no rows"),
    ],
)
def test_a_file_that_is_not_a_result_is_one_line_and_exit_code_2(
    text: str | bytes | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = make(path, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.fullmatch(f"benchmarks.report: .*{says}.*\n", done.stderr)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_line(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = make(results, "-o", tmp_path / "file" / "out")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert str(tmp_path / "file" / "out") in done.stderr


def test_a_wrong_option_of_the_benchmarks_is_one_line() -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks/test_speed.py", "-q", "--threads", "none", "--co"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 4
    assert "--threads takes integers of 1 or more, such as 1,2; got 'none'" in done.stderr + done.stdout
