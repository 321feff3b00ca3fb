"""observe, diff and history: sentences, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import one_line, vggprep
from stand_in import RIGHT, question, write_interpreter, write_script, write_stand_in
from support import interruptible

from vggprep.releases.changes import MEANINGS
from vggprep.releases.observation import Observation, read, write
from vggprep.releases.questions import parse
from vggprep.releases.record import shipped

NEWEST = "keras==3.7.0 on TensorFlow, 2024-11-26"
UPGRADE = ("keras==2.15.0", "keras==3.15.1")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def observed(folder: Path) -> Path:
    path = folder / "now.jsonl"
    running = {"target": "keras", "keras": "3.15.1", "backend": "tensorflow"}
    write(Observation(running, {question("tensor").id: RIGHT, question("graph").id: RIGHT}), path)
    return path


# ---- diff ------------------------------------------------------------------------------------------------------------


def test_diff_says_what_an_upgrade_changes_and_exits_with_1() -> None:
    done = vggprep("diff", "keras==2.15.0", "keras==3.15.1")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("keras==2.15.0 -> keras==3.15.1: ")
    mean = next(line for line in lines if "the mean along the height where" in line)
    assert "now right; before, the mean along the height where exactly 3 high, raises" in mean
    assert "up to 20.1 grey levels" in mean
    headings = ["wrong values, before or now (this matters)", "what worked raises now (this matters)", "rounding only"]
    assert [lines.index(heading) for heading in headings] == sorted(lines.index(heading) for heading in headings)
    assert lines[-3].endswith("that matter")
    assert lines[-2].startswith("Not changed: ordinary channels_last float32 arrays, eager tensors, graphs, ")
    assert lines[-1] == "Not compared, as it was not observed of keras==2.15.0: TensorFlow's own variables."


def test_what_was_not_observed_of_one_side_is_said_to_be_so() -> None:
    done = vggprep("diff", "keras==3.0.0", "keras[torch]==3.0.5", "--path", "graph", "--path", "ndarray")
    assert done.stdout.splitlines()[-1] == "Not compared, as it was not observed of keras[torch]==3.0.5: graphs."
    assert "Not compared" not in vggprep("diff", "keras==3.14.1", "keras==3.15.1").stdout
    assert vggprep("diff", "keras[torch]==3.0.5", "keras==3.0.0", "--path", "graph").returncode == 2


def test_a_release_does_not_differ_from_itself() -> None:
    done = vggprep("diff", "keras[jax]==3.15.1", "keras[jax]==3.15.1", "--strict")
    assert done.returncode == 0
    assert done.stdout.endswith("\nnothing differs\n")


def test_strict_exits_with_1_for_any_difference(observed: Path) -> None:
    whole = read(observed)
    other = {**whole.rows, question("graph").id: replace(RIGHT, digest="b")}
    write(Observation(whole.running, other), observed.with_name("other.jsonl"))
    lax, strict = (vggprep("diff", "now.jsonl", "other.jsonl", *more) for more in ([], ["--strict"]))
    assert (lax.returncode, strict.returncode) == (0, 1)
    assert lax.stdout == strict.stdout
    assert "rounding only\n" in lax.stdout
    assert "\n1 difference, none that matters\nNot changed: ordinary eager tensors (1 row).\n" in lax.stdout


def test_diff_prints_json() -> None:
    done = vggprep("diff", "keras==3.11.3", "keras==3.12.0", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["old"]["keras"] == "3.11.3"
    assert document["new"]["keras"] == "3.12.0"
    assert document["differences"][0]["matters"]
    wanted = {"kind", "matters", "subject", "old", "new", "levels", "sentence", "rows", "answers"}
    assert all(set(difference) == wanted for difference in document["differences"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keras==3.0.3", "keras==3.15.1"], "not in the record; nearest: keras==3.0.0 and keras==3.0.5; --install"),
        (["keras==3.15.1", "recorded"], "only OLD can be recorded"),
        ([*UPGRADE, "--mode", "Torch"], "--mode Torch: no recorded row has it; expected caffe, tf, torch or identity"),
        ([*UPGRADE, "--path", "numpy"], "--path numpy: no recorded row has it; expected ndarray, "),
        ([*UPGRADE, "--data-format", "NHWC"], "expected channels_last or channels_first"),
        ([*UPGRADE, "--dtype", "uint8", "--dtype", "float8"], "--dtype float8: no recorded row has it"),
        ([*UPGRADE, "--dtype", "int64", "--path", "model"], "could run, dtype int64, path model; leave out an option"),
        ([*UPGRADE, "--baseline", "none.json"], "cannot read none.json: No such file or directory; create one with"),
        ([*UPGRADE, "--baseline", __file__], "is not a list of differences; create one with vggprep diff OLD NEW"),
    ],
)
def test_a_side_that_cannot_be_had_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    assert said in one_line(vggprep("diff", *arguments))


def test_two_observations_without_a_common_row_are_not_called_the_same(observed: Path) -> None:
    write(Observation(read(observed).running, {question("xla").id: RIGHT}), observed.with_name("other.jsonl"))
    message = one_line(vggprep("diff", "now.jsonl", "other.jsonl"))
    assert "now.jsonl and other.jsonl have no row in common" in message


def test_recorded_stands_for_the_release_that_a_file_says_it_is_of(observed: Path) -> None:
    done = vggprep("diff", "recorded", "now.jsonl")
    assert done.stdout.startswith("keras==3.15.1 -> now.jsonl: ")
    write(Observation({}, read(observed).rows), observed)
    assert "does not say which release it describes" in one_line(vggprep("diff", "recorded", "now.jsonl"))


NARROW = [
    ("--mode", "torch", "known_mode"),
    ("--path", "tf.data", "path"),
    ("--data-format", "channels_first", "effective_format"),
    ("--dtype", "bfloat16", "dtype"),
]


@pytest.mark.parametrize(("option", "value", "attribute"), NARROW)
def test_diff_can_be_narrowed(option: str, value: str, attribute: str) -> None:
    whole, narrow = (
        {row for d in json.loads(vggprep("diff", *UPGRADE, "--json", *more).stdout)["differences"] for row in d["rows"]}
        for more in ((), (option, value))
    )
    assert narrow == {row for row in whole if getattr(parse(row), attribute) == value}
    assert narrow


def test_every_recorded_value_can_be_asked_for() -> None:
    rows = [row for row in map(parse, shipped().runs) if row.known_mode]
    given = {option: {getattr(row, attribute) for row in rows} for option, _, attribute in NARROW[:2] + NARROW[3:]}
    options = [word for option, values in given.items() for value in values for word in (option, value)]
    done = vggprep("diff", *UPGRADE, *options, "--data-format", "channels_last", "--data-format", "channels_first")
    assert done.stdout.splitlines()[-1] == vggprep("diff", *UPGRADE).stdout.splitlines()[-1]


def test_what_a_baseline_accepts_is_not_reported_again(folder: Path) -> None:
    document = vggprep("diff", *UPGRADE, "--json").stdout
    (folder / "all.json").write_text(document)
    done = vggprep("diff", *UPGRADE, "--baseline", "all.json", "--strict")
    assert done.returncode == 0
    assert "\nnothing differs but what all.json accepts\nNot changed: " in done.stdout

    float32 = [
        d
        for d in json.loads(document)["differences"]
        if "mode=caffe data_format=channels_first dtype=float32" in str(d["rows"])
    ]
    *some, left_out = float32[:4]
    (folder / "some.json").write_text(json.dumps({"differences": some}))
    narrow = ("--dtype", "float32", "--mode", "caffe", "--baseline", "some.json", "--json")
    found = json.loads(vggprep("diff", *UPGRADE, *narrow).stdout)
    reported = {row for difference in found["differences"] for row in difference["rows"]}
    assert not reported & {row for difference in some for row in difference["rows"]}
    assert reported & set(left_out["rows"])
    assert found["stale"] == []


def test_another_wrong_value_than_the_accepted_one_is_new_and_an_entry_without_a_row_is_stale(observed: Path) -> None:
    tensor, graph = question("tensor").id, question("graph").id
    wrong = replace(RIGHT, verdict="wrong", digest="b", cause="the input unchanged", levels=math.inf, message="0x7f")
    for name, rows in {
        "both": {tensor: wrong, graph: wrong},
        "one": {tensor: replace(wrong, digest="c", cause="another")},
    }.items():
        write(Observation({}, {**read(observed).rows, **rows}), observed.with_name(name))
    observed.with_name("accepted.json").write_text(vggprep("diff", "now.jsonl", "both", "--json").stdout)
    assert "0x7f" not in observed.with_name("accepted.json").read_text()  # what belongs to the machine
    assert vggprep("diff", "now.jsonl", "both", "--baseline", "accepted.json").returncode == 0
    done = vggprep("diff", "now.jsonl", "one", "--baseline", "accepted.json")
    assert done.returncode == 1
    assert "eager tensors in caffe mode: now another; before, right. 1 row" in done.stdout
    assert "accepted.json accepts what is no longer so; delete that entry: 3-D channels_last float32" in done.stdout
    assert "no longer so" not in vggprep("diff", "now.jsonl", "both", "--baseline", "accepted.json").stdout


# ---- show ------------------------------------------------------------------------------------------------------------


def test_show_says_what_one_release_does_wrong_and_what_it_overwrites() -> None:
    done = vggprep("show", "keras[torch]==3.15.1")
    assert (done.returncode, done.stderr) == (1, "")
    titles = [line for line in done.stdout.splitlines()[1:] if line and not line.startswith(" ")]
    wanted = ("wrong values", "what is defined raises", "the input is overwritten")
    assert titles[:3] == [f"{title} (this matters)" for title in wanted]
    assert "eager tensors in tf and torch mode" in done.stdout.split("the input is overwritten")[1]
    assert ": computed in integers; arrays, right. " in done.stdout


def test_show_can_be_narrowed_to_what_is_right_and_prints_json() -> None:
    right = vggprep("show", "keras==3.15.1", "--path", "model", "--mode", "tf", "--dtype", "float32")
    assert (right.returncode, right.stdout.splitlines()[-1]) == (0, "nothing is wrong, or otherwise than with arrays")
    narrow = ("--path", "model", "--dtype", "float32", "--mode", "caffe", "--data-format", "channels_first", "--json")
    done = vggprep("show", "keras==3.15.1", *narrow)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["release"]["keras"] == "3.15.1"
    assert [fault["new"] for fault in document["faults"][:1]] == ["the mean along the width"]
    assert "exactly 3 wide" in document["faults"][0]["subject"]
    assert "no row that it could run" in one_line(vggprep("show", "keras==3.15.1", "--path", "xla", "--dtype", "bool"))


def test_show_says_what_comes_out_of_loaders_and_models_where_they_are_asked_for() -> None:
    done = vggprep("show", "keras==3.15.1", "--path", "load_img", "--path", "built")
    assert (done.returncode, done.stderr) == (0, "")
    assert "(this matters)" not in done.stdout
    assert (
        "  load_img and img_to_array of 16-bit files: grey three times, 16 bits cut to 255 as float32. 1 row."
        in done.stdout
    )
    inside = [line for line in done.stdout.splitlines() if "EfficientNetB0 built for imagenet weights" in line]
    assert [line.partition(": ")[2] for line in inside] == [
        'what "multiply by (2.08969, 2.11289, 2.10819)" gives as float32. 1 row.'
    ]
    assert "load_img" not in vggprep("show", "keras==3.15.1").stdout.lower()


# ---- history ---------------------------------------------------------------------------------------------------------


def test_history_names_the_releases_that_made_the_changes() -> None:
    done = vggprep("history")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "  keras==3.12.0 on TensorFlow, torch and JAX, 2025-10-27" in lines
    assert "after keras==3.0.0, by " in done.stdout
    newest_first = [
        lines.index(f"  {head}") for head in (NEWEST, "keras==2.2.0, 2018-06-06", "keras==2.1.2, 2017-12-01")
    ]
    assert newest_first == sorted(newest_first)
    meanings = [lines.index(title) for title in MEANINGS.values() if title in lines]
    assert meanings == sorted(meanings)
    assert lines[0] == "wrong values now"
    assert len(meanings) >= 5
    told = [line for line in lines if line.startswith("    ")]
    assert len(set(told)) == len(told) > 50
    assert "TensorFlow 2.6.5" in done.stdout  # what else differed
    assert f"\n{len(shipped().releases)} releases are recorded.\n" in done.stdout


def test_history_names_each_commit_once_with_its_day_and_the_builds_around_it() -> None:
    lines = vggprep("history", "--path", "model").stdout.splitlines()
    (wide,) = [line for line in lines if "exactly 3 wide: now the mean along the width" in line]
    assert wide.endswith(" [eb5c5ae1cb]")
    (commit,) = [line for line in lines if line.startswith("  [eb5c5ae1cb] Made on 2024-10-23: ")]
    assert "https://github.com/keras-team/keras/commit/eb5c5ae1cb" in commit
    assert commit.endswith("First in keras-nightly==3.7.0.dev2024102503, not yet in 3.6.0.dev2024101603.")


def test_history_names_what_could_not_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(shipped(), not_run={"keras==2.1.1": "no Python 3.6", "keras==2.1.2": "no Python 3.6"})
    monkeypatch.setattr("vggprep.releases.record.shipped", lambda: lacking)
    done = vggprep("history", "--path", "lambda")
    assert done.returncode == 0
    assert done.output.endswith("\nNot run: keras==2.1.1, keras==2.1.2 (no Python 3.6).\n")


def test_history_can_be_narrowed_and_printed_as_json() -> None:
    done = vggprep("history", "--mode", "torch", "--path", "tf.data", "--json")
    assert done.returncode == 0
    changes = json.loads(done.stdout)
    assert {change["release"] for change in changes} >= {"keras==2.1.3", "tensorflow==2.5.0", "keras==3.12.0"}
    for change in changes:
        assert change["matters"]
        assert change["beside"].keys() <= {"python", "numpy", "tensorflow", "torch", "jax"}
        assert any("mode=torch" in row for row in change["rows"])
        assert any("path=tf.data" in row for row in change["rows"])
    everything = json.loads(vggprep("history", "--json", "--all").stdout)
    assert len(everything) > len(changes)
    assert {change["kind"] for change in everything} >= {"value", "refusal", "error", "rounding"}


def test_history_of_an_unknown_path_exits_with_2() -> None:
    done = vggprep("history", "--path", "nowhere")
    assert done.returncode == 2
    assert "'tf.data'" in done.stderr


# ---- observe ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "output", "said"),
    [
        ("./nowhere", "now.jsonl", "cannot start the interpreter ./nowhere"),
        (
            "./program",
            "now.jsonl",
            "./program did not run the probe (no answer); give a Python 3.6 or newer with NumPy",
        ),
        ("./nowhere", "nowhere/now.jsonl", "cannot write nowhere/now.jsonl: there is no folder nowhere"),
        ("./nowhere", ".", "cannot write .: it is a folder"),
    ],
)
def test_what_cannot_be_observed_is_one_line(python: str, output: str, said: str, folder: Path) -> None:
    program = write_script(folder / "program", "exit 0")
    assert said in one_line(vggprep("observe", "keras", "--python", python, "-o", output))
    assert list(folder.iterdir()) == [program]


def test_observe_asks_another_interpreter_and_diff_takes_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vggprep.releases.questions.questions", lambda: [question(), question(group="other", mode="tf")]
    )
    write_stand_in(folder / "packages")
    write_interpreter(folder / "python", folder / "packages")
    done = vggprep("observe", "keras", "--python", "./python", "-o", "now.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "keras 3.99.0 (numpy): 2 rows written to now.jsonl\n"
    assert read(folder / "now.jsonl").running["keras"] == "3.99.0"
    assert vggprep("diff", "now.jsonl", "python:./python", "--strict").returncode == 0


def test_a_good_file_outlives_an_interrupted_run(observed: Path) -> None:
    started = observed.with_name("started")
    write_script(observed.with_name("python"), f'touch "{started}"; exec sleep 60')
    good, before = observed.read_bytes(), sorted(observed.parent.iterdir())
    with interruptible(["observe", "keras", "--python", "./python", "-o", "now.jsonl"]) as process:
        while not started.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "vggprep: stopped\n"
    started.unlink()
    assert observed.read_bytes() == good
    assert sorted(observed.parent.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["diff", "keras==3.11.0", "keras==3.11.3"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line_with_what_to_do(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "vggprep", *words], stdout=full, stderr=subprocess.PIPE, text=True)
    said = "vggprep: cannot write the output: No space left on device; make room, or send it to another disk\n"
    assert (done.returncode, done.stderr) == (2, said)
