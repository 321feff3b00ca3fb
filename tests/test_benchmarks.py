"""The benchmarks label right and wrong, their report reads their results, and what it cannot read it says in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks import report
from benchmarks.measure import measure
from benchmarks.peers import KERAS, LIMIT, PEERS, Peer, UnavailableError, copied_inverse_truncating, usual_inverse
from benchmarks.tasks import MODES, Arrays, Task, all_tasks, judge, usual_tasks
from vggprep import deprocess_input, preprocess_input

ROOT = Path(__file__).parent.parent


def forward(task, change=lambda y: y):
    arrays = Arrays(task)
    return judge(arrays, change(preprocess_input(arrays.x, task.data_format, task.mode, backend="numpy")))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
class TestForwardLabels:
    def test_the_definition_is_exact(self, mode, data_format, dtype):
        verdict = forward(Task(mode=mode, data_format=data_format, dtype=dtype, images=1))
        assert (verdict.label, verdict.ok) == ("exact", True)

    def test_a_last_bit_is_faithful(self, mode, data_format, dtype):
        verdict = forward(
            Task(mode=mode, data_format=data_format, dtype=dtype, images=1), lambda y: np.nextafter(y, np.float32(9))
        )
        assert (verdict.label, verdict.ok) == ("faithful", True)

    def test_one_wrong_element_among_all_is_one_wrong_pair(self, mode, data_format, dtype):
        def spoil(y):
            y = y.copy()
            y.flat[12345] += 1
            return y

        verdict = forward(Task(mode=mode, data_format=data_format, dtype=dtype, images=1), spoil)
        assert (verdict.label, verdict.ok) == ("1 of 768 wrong", False)

    def test_one_nan_is_one_wrong_pair(self, mode, data_format, dtype):
        def spoil(y):
            y = y.copy()
            y.flat[12345] = np.nan
            return y

        verdict = forward(Task(mode=mode, data_format=data_format, dtype=dtype, images=1), spoil)
        assert verdict.label == "1 of 768 wrong"

    def test_a_mean_that_is_off_by_one_grey_level_is_wrong_everywhere(self, mode, data_format, dtype):
        level = {"caffe": 1, "tf": 1 / 127.5, "torch": 1 / 57}[mode]
        verdict = forward(
            Task(mode=mode, data_format=data_format, dtype=dtype, images=1), lambda y: y + np.float32(level)
        )
        assert verdict.label == "768 of 768 wrong"

    def test_what_is_no_float_or_has_another_shape_is_wrong(self, mode, data_format, dtype):
        task = Task(mode=mode, data_format=data_format, dtype=dtype, images=1)
        assert forward(task, lambda y: y.astype(np.uint8)).label.endswith("wrong: returns uint8")
        assert forward(task, lambda y: y[0]).pairs_wrong == 768
        assert forward(task, lambda y: y.tolist()).label == "768 of 768 wrong: returns a list"
        assert not forward(task, lambda y: y.astype(np.float16)).ok


def test_swapped_channels_are_wrong_but_for_bytes_that_do_not_move():
    verdict = forward(Task(mode="caffe", images=1), lambda y: y[..., ::-1])
    assert verdict.label == "512 of 768 wrong"  # green stays where it is


@pytest.mark.parametrize("mode", MODES)
def test_inverses_are_labelled(mode):
    task = Task("inverse", mode, dtype="float32", images=1)
    arrays = Arrays(task)
    assert judge(arrays, deprocess_input(arrays.x, mode=mode)).label == "exact"
    assert judge(arrays, usual_inverse(task)(arrays.x, None)).label == "exact"
    floats = deprocess_input(arrays.x, mode=mode, dtype=None)
    assert judge(arrays, floats).label == "exact, unrounded"
    assert judge(arrays, arrays.pixels + np.uint8(1)).label == "768 of 768 wrong"
    truncated = judge(arrays, floats.astype(np.uint8)).pairs_wrong
    assert truncated == {"caffe": 0, "tf": 189, "torch": 137}[mode]


def test_a_wrong_peer_is_measured_and_shown_as_wrong():
    def half(task):
        return lambda x, out: preprocess_input(x, mode=task.mode, backend="numpy") * np.float32(0.5)

    def missing(task):
        raise UnavailableError("cannot import nothing")

    def broken(task):
        raise TypeError("of another version")

    outcome = measure(Task(mode="tf", images=1), [Peer("half", half), Peer("gone", missing), Peer("new", broken)], 0.0)
    row = outcome.extra_info("half")
    assert row["verdict"].endswith("of 768 wrong")
    assert row["pairs_wrong"] > 700
    assert not row["ranked"]
    assert outcome.reasons["gone"] == "cannot import nothing"
    assert outcome.reasons["new"] == "raises TypeError: of another version"


def test_a_peer_that_writes_to_its_input_does_not_spoil_it_for_others():
    def writes(task):
        def call(x, out):
            x /= np.float32(127.5)
            x -= np.float32(1)
            return x

        return call

    def honest(task):
        return lambda x, out: preprocess_input(x, mode=task.mode, backend="numpy")

    task = Task(mode="tf", dtype="float32", images=1)
    outcome = measure(task, [Peer("writes", writes), Peer("honest", honest)], 0.0)
    assert outcome.extra_info("writes")["writes_input"]
    assert not outcome.extra_info("honest")["writes_input"]
    assert {outcome.extra_info(name)["verdict"] for name in ("writes", "honest")} == {"exact"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_peers_that_need_nothing_are_right(mode, data_format):
    for direction, dtype in (("forward", "uint8"), ("forward", "float32"), ("inverse", "float32")):
        task = Task(direction, mode, data_format, dtype, images=2)
        arrays = Arrays(task)
        for peer in PEERS:
            if not peer.can(task) or not (peer.distribution == "numpy" or peer.name.startswith("vggprep")):
                continue
            try:
                call = peer.build(task)
            except UnavailableError:
                continue
            for out in (None, np.full(task.shape, 77, task.result_dtype))[: 1 + peer.out]:
                assert judge(arrays, call(arrays.x, out)).label.startswith("exact"), (peer.name, task)
                arrays.restore()


def test_an_inverse_that_drops_the_axis_of_a_batch_of_one_is_wrong_there():
    labels = []
    for images in (1, 2):
        task = Task("inverse", dtype="float32", images=images)
        arrays = Arrays(task)
        labels.append(judge(arrays, copied_inverse_truncating(task)(arrays.x, None)).label)
    assert labels == ["768 of 768 wrong: returns shape (224, 224, 3)", "exact"]


def test_every_task_of_the_usual_run_is_in_the_full_grid():
    assert set(usual_tasks((1, 2), large=True)) <= set(all_tasks((1, 2), large=True))
    assert len({task.name for task in all_tasks((1, 2), large=True)}) == len(all_tasks((1, 2), large=True))


# A run and its report ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
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
    # pytest-benchmark turns itself off where it sees xdist, be it that of these tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.exists(), done.stdout + done.stderr
    return path


def test_a_run_says_of_each_row_what_it_is_worth(results):
    rows = {row["implementation"]: row for row in report.rows(json.loads(results.read_text()))}
    assert set(rows) == {LIMIT, "vggprep numpy", "yours: mine:grey"}
    ours = rows["vggprep numpy"]
    assert ours["verdict"] == "exact"
    assert ours["contiguous"]
    assert 0 < ours["ns_per_element"]["min"] <= ours["ns_per_element"]["median"]
    assert ours["versions"]["numpy"] == np.__version__
    assert rows["yours: mine:grey"]["verdict"].endswith("of 768 wrong")
    assert not rows["yours: mine:grey"]["ranked"]


def test_the_report_has_a_table_with_the_wrong_ones_last(results, tmp_path, capsys):
    assert report.main([str(results), "-o", str(tmp_path / "new"), "--no-charts"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / "results.md")]
    lines = (tmp_path / "new" / "results.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    assert table[0].startswith("|  | limit: ")
    assert table[1].startswith("| 1 | vggprep numpy | exact |")
    assert table[2].startswith("| wrong | yours: mine:grey | ")


def test_the_charts_are_drawn(results, tmp_path):
    pytest.importorskip("matplotlib")
    assert report.main([str(results), "-o", str(tmp_path)]) == 0
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    # A second size makes a second chart.
    found = json.loads(results.read_text())
    more = json.loads(results.read_text())["benchmarks"]
    for bench in more:
        bench["extra_info"]["images"] = 8
    found["benchmarks"] += more
    (tmp_path / "two.json").write_text(json.dumps(found))
    assert report.main([str(tmp_path / "two.json"), "-o", str(tmp_path)]) == 0
    assert (tmp_path / "batch.svg").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("", "it is empty"),
        ('{"benchmarks": [{"name"', "is it truncated?"),
        ("[1, 2]", "no result of pytest-benchmark"),
        ('{"benchmarks": 3}', "no result of pytest-benchmark"),
        ('{"benchmarks": []}', "holds no row"),
        ('{"benchmarks": [{"name": "test_other", "stats": {}, "extra_info": {}}]}', "holds no row"),
        ('{"benchmarks": [7, {"extra_info": null}, {"extra_info": {"what": 1}}]}', "holds no row"),
    ],
)
def test_what_is_no_result_is_one_line_and_exit_code_2(text, says, tmp_path, capsys):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    assert report.main([str(path), "-o", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_no_text_and_a_folder_that_cannot_be_made(results, tmp_path, capsys):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    assert report.main([str(tmp_path / "binary.json"), "-o", str(tmp_path)]) == 2
    (tmp_path / "file").write_text("")
    assert report.main([str(results), "-o", str(tmp_path / "file" / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "cannot write" in lines[1]


def test_a_wrong_option_is_one_line():
    command = [sys.executable, "-m", "pytest", "benchmarks/test_speed.py", "-q", "--threads", "none", "--co"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 4
    assert "--threads takes integers of 1 or more" in done.stderr + done.stdout


def test_keras_is_the_yardstick_wherever_it_is_installed():
    pytest.importorskip("keras")
    outcome = measure(Task(mode="tf", images=1), [], 0.0)
    assert outcome.extra_info(KERAS)["times_keras"] == {"min": 1.0, "median": 1.0}
