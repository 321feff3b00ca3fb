"""``vggprep check``, and what holds for every verb: output, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from command_line import one_line, vggprep
from support import interruptible

from vggprep.cli import VERBS
from vggprep.files import replacing

SCRIPTS = {
    "right.py": """
        import vggprep

        def preprocess(x, data_format=None, mode="caffe"):
            return vggprep.preprocess_input(x, data_format, mode)

        def restore(y, data_format=None, mode="caffe"):
            return vggprep.deprocess_input(y, data_format, mode)

        claimed = vggprep.Implementation("claimed", preprocess, modes=["tf"], dtypes=["uint8"])
        number = 5
    """,
    "wrong.py": """
        def preprocess(x, mode="caffe"):
            return x[..., ::-1].astype("float32") - [103.939, 116.779, 123.68]

        def unswapped(x):
            return x.astype("float32") - __import__("numpy").array([103.939, 116.779, 123.68], "float32")

        def truncated(y):
            return ((y + 1) * 127.5).clip(0, 255).astype("uint8")

        def raises(x):
            raise RuntimeError("first line\\nsecond line")
    """,
    "broken.py": "import there_is_no_such_module",
    "angry.py": "raise SystemExit('no')",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return tmp_path


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            "right:preprocess --inverse right:restore --dtype float32 --mode torch --examples 5",
            0,
            ["right:preprocess conforms at level faithful"],
        ),
        ("right:claimed", 0, ["claimed conforms"]),
        (
            "wrong:unswapped --dtype uint8 --mode caffe",
            1,
            ["behaves like", "wrong import unswapped", "# expected"],
        ),
        ("--inverse wrong:truncated", 1, ["judged as tf", "inverse_truncated"]),
        ("wrong:raises", 1, ["refuses every mode", "RuntimeError: first line"]),
    ],
)
def test_the_exit_code_is_the_verdict_and_the_report_says_why(
    arguments: str, code: int, words: list[str], folder: Path
) -> None:
    done = vggprep("check", *arguments.split(), cwd=folder)
    assert done.returncode == code, done.output
    for word in words:
        assert word in done.stdout


def test_an_inverse_is_left_out_where_only_integers_are_asked_for() -> None:
    done = vggprep("check", "reference", "--dtype", "bool", "--mode", "tf", "--examples", "0")
    assert done.returncode == 0
    assert done.stderr == "vggprep: reference (inverse to floats) is left out: an inverse takes floating dtypes only\n"
    alone = vggprep("check", "--inverse", "vggprep:deprocess_input", "--dtype", "bool")
    assert (alone.returncode, "nothing was judged" in alone.stdout) == (1, True)


def test_the_reproducer_can_be_pasted(folder: Path) -> None:
    done = vggprep("check", "wrong:unswapped", "--dtype", "uint8", cwd=folder)
    lines = done.stdout.split("to see it:\n", 1)[1].split("\n\n", 1)[0].splitlines()
    code = "\n".join(line.strip() for line in lines)
    got = next(line for line in lines if "# got" in line).split("got", 1)[1].rsplit(" ", 1)[0]
    script = code.replace("unswapped(x)", "result = unswapped(x)") + f"\nassert np.allclose(result, {got.strip()})"
    ran = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, script + ran.stderr


@pytest.mark.no_cover
def test_reference_and_the_public_functions_conform(folder: Path) -> None:
    narrow = ("--dtype", "float16", "--dtype", "uint8", "--mode", "caffe", "--mode", "torch", "--examples", "10")
    done = vggprep("check", "reference", "vggprep", *narrow, cwd=folder)
    assert done.returncode == 0
    assert done.stdout.count("conforms at level exact") == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:f"], "there is no module nowhere"),
        (["right:f"], "right has no attribute 'f'; it has"),
        (["right:number"], "is int, neither a function nor an Implementation"),
        (["right"], "is not a valid target"),
        (["broken:f"], "broken fails to import: ModuleNotFoundError"),
        (["angry:f"], "angry fails to import: SystemExit: no"),
        (["keras:nowhere"], "is neither a path of Keras (ndarray, tensor, graph, xla, model) nor a constructor"),
        ([], "name at least one TARGET"),
        *(
            (["--inverse", it], "Keras has no inverse")
            for it in ("keras", "keras:ndarray", "keras:VGG16", "keras-hub:X")
        ),
        (["--inverse", "right"], "is not a valid inverse"),
        (["reference", "--known", "nowhere.toml"], "cannot read the ledger nowhere.toml"),
        (["reference", "--known", "right.py"], "is not a TOML ledger"),
        (["reference", "--report", "nowhere/report.jsonl"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_started_is_one_line_and_exit_code_2(arguments: list[str], said: str, folder: Path) -> None:
    assert said in one_line(vggprep("check", *arguments, cwd=folder))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "reference", "--mode", "vgg"],
        ["check", "reference", "--dtype", "complex64"],
        ["check", "reference", "--level", "good"],
        ["check", "reference", "--examples", "-1"],
        ["check", "reference", "--nonsense"],
        ["nonsense"],
    ],
)
def test_a_mistake_in_the_options_exits_with_2_and_says_what_is_accepted(arguments: list[str], folder: Path) -> None:
    done = vggprep(*arguments, cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


def test_two_runs_print_the_same_and_the_report_has_a_header_a_row_for_each_result_and_a_footer(folder: Path) -> None:
    report = folder / "report.jsonl"
    command = ("check", "wrong:preprocess", "--dtype", "uint8", "--report", str(report))
    done, again = (vggprep(*command, cwd=folder) for _ in range(2))
    assert (done.returncode, done.stdout) == (again.returncode, again.stdout)
    assert "does NOT conform" in done.stdout
    assert done.returncode == 1
    header, *rows, footer = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    assert header["kind"] == "header"
    assert header["versions"]["numpy"]
    assert header["implementations"][0]["level"] == "faithful"
    assert footer["kind"] == "footer"
    assert footer["rows"] == len(rows)
    assert footer["failed"] == sum(row["status"] == "failed" for row in rows) > 0
    wanted = {
        "check", "mode", "data_format", "dtype", "rank", "status", "message", "diagnosis", "reproducer",
        "worst_levels", "digest", "seconds",
    }  # fmt: skip
    assert all(wanted <= set(row) for row in rows)


def test_a_ledger_turns_failures_into_known_ones_and_goes_stale(folder: Path) -> None:
    ledger = folder / "known.toml"
    ledger.write_text('[[entry]]\ncheck = ["value", "every_byte", "sizes"]\nreason = "no swap"\n', encoding="utf-8")
    done = vggprep("check", "wrong:unswapped", "--dtype", "uint8", "--known", str(ledger), cwd=folder)
    assert done.returncode == 1
    assert "known (" in done.stdout
    ledger.write_text('[[entry]]\ncheck = "purity"\nreason = "it was mended"\n', encoding="utf-8")
    done = vggprep("check", "right:claimed", "--known", str(ledger), cwd=folder)
    assert done.returncode == 1
    assert "stale ledger entry, nothing fails any more: it was mended" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[entry]]\ncheck = "value"\n', "'reason' is missing"),
        ('[[entry]]\ncheck = "valeu"\nreason = "x"\n', "unknown check 'valeu'"),
        ('[[entry]]\ncheck = "value"\nreason = "x"\nmodus = "tf"\n', "unknown key 'modus'"),
        ("[[other]]\n", "[[entry]] tables and nothing else"),
    ],
)
def test_a_ledger_that_makes_no_sense_is_one_line_and_exit_code_2(text: str, said: str, folder: Path) -> None:
    (folder / "known.toml").write_text(text, encoding="utf-8")
    assert said in one_line(vggprep("check", "reference", "--known", "known.toml", cwd=folder))


def test_a_write_cut_short_leaves_the_old_report(folder: Path) -> None:
    path = folder / "report.jsonl"
    path.write_text("good\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(f"half{1 // 0}")
    assert path.read_text(encoding="utf-8") == "good\n"
    assert [p.name for p in folder.iterdir() if p.name.startswith("report")] == ["report.jsonl"]


@pytest.mark.parametrize("size", [0, 60_000])
def test_ctrl_c_keeps_what_was_judged(size: int, folder: Path) -> None:
    started = folder / "started"
    (folder / "endless.py").write_text(
        "import pathlib, time, vggprep\ndef f(x, mode):\n"
        f"    if x.size >= {size}:\n        pathlib.Path({str(started)!r}).touch()\n        time.sleep(60)\n"
        "    return vggprep.preprocess_input(x, mode=mode)\n",
        encoding="utf-8",
    )
    process = interruptible(["check", "endless:f", "--report", "r.jsonl", "--dtype", "uint8"], cwd=folder)
    while not started.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (130, "vggprep: stopped\n")
    assert "endless:f was interrupted; so far at level faithful" in output
    header, *rows, _ = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
    assert header["implementations"][0]["interrupted"] is True
    assert ("value", "passed") in {(row["check"], row["status"]) for row in rows} if size else not rows


def test_ctrl_c_while_a_report_is_printed_keeps_the_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vggprep.cli.check._print", interrupted)
    narrow = ["--mode", "tf", "--dtype", "float32", "--examples", "0", "--report", str(folder / "printed.jsonl")]
    done = vggprep("check", "reference", *narrow)
    assert (done.returncode, done.stderr) == (130, "vggprep: stopped\n")
    header, *rows, _ = [json.loads(line) for line in (folder / "printed.jsonl").read_text().splitlines()]
    assert [i["interrupted"] for i in header["implementations"]] == [False, True]
    assert {row["implementation"] for row in rows} == {"reference"}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_the_summary_of_its_help_and_an_example(verb: str, folder: Path) -> None:
    done = vggprep(verb, "--help", cwd=folder)
    assert done.returncode == 0
    assert re.search(rf"^  vggprep {verb}\b", done.stdout, re.M)
    (said,) = re.findall(r"\n\n(  \S.*?)\n\n", done.stdout, re.S)[:1]
    assert " ".join(said.split()) == VERBS[verb][1]


def test_a_crash_of_the_suite_ends_with_3_and_is_no_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> object:
        raise ZeroDivisionError("in the oracle")

    monkeypatch.setattr("vggprep.checks.subject.Subject.verdict", crash)
    done = vggprep("check", "right:claimed", "--report", "r.jsonl", "--examples", "0", cwd=folder)
    assert done.returncode == 3
    assert "right:claimed" not in done.stdout or "cannot be judged" in done.stdout
    assert "this is a fault of vggprep: please report it" in done.stdout
    assert "ZeroDivisionError: in the oracle" in (folder / "r.jsonl").read_text(encoding="utf-8")


def test_a_crash_outside_of_the_checks_ends_with_3_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> object:
        raise ZeroDivisionError("in the table")

    monkeypatch.setattr("vggprep.conformance.report.table", crash)
    done = vggprep("check", "right:claimed", "--examples", "0", cwd=folder)
    assert done.returncode == 3
    assert "ZeroDivisionError: in the table" in done.stderr
    assert done.stderr.endswith("vggprep: this is a fault of vggprep: please report it, with the traceback\n")
