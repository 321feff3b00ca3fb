"""Programs under test: the ports in ``examples/``, and programs that do everything wrong."""

from __future__ import annotations

import inspect
import os
import select
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Done, one_line, vggprep
from ports import port_fixture  # noqa: F401

from vggprep.checks.inverse import restores_pixels
from vggprep.checks.values import value
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.judging import judge
from vggprep.conformance.report import causes, failure_text
from vggprep.conformance.results import Report
from vggprep.errors import VggprepError
from vggprep.implementations import commands
from vggprep.implementations.callables import NoArray
from vggprep.implementations.targets import load, load_inverse

pytestmark = pytest.mark.skipif(not hasattr(select, "poll"), reason="command: targets need POSIX")

Port = Callable[[str], str]
LANGUAGES = {"python": "means_swapped", "javascript": "no_swap", "c++": "integer_arithmetic"}


@pytest.mark.thorough
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_port_conforms_in_both_directions(port: Port, language: str) -> None:
    command = f"command:{port(language)} {{mode}} {{data_format}}"
    inverse = load_inverse(f"{command} --inverse").deprocess
    both = replace(load(command)[0], deprocess=inverse)
    whole = run(both, selection=Selection(("caffe",), ("channels_first",), ("float32",)), examples=10)
    bulk = Selection(dtypes=("uint8", "float32"))
    values = run(both, selection=bulk, checks=[value, restores_pixels], examples=0)
    for report in (whole, values):
        assert report.conforms, failure_text([report])
    assert {r.mode for r in values.results if r.status == "passed"} == {"caffe", "tf", "torch", "identity"}
    assert {r.status for r in whole.results if r.check == "threads"} == {"skipped"}


@pytest.mark.parametrize(("language", "fault"), LANGUAGES.items())
def test_the_fault_of_a_port_is_named(port: Port, language: str, fault: str) -> None:
    found = load(f"command:{port(language)} {{mode}} {{data_format}} --fault")[0]
    report = run(found, selection=Selection(("caffe",), ("channels_last",), ("uint8",)), examples=0)
    assert not report.conforms
    groups = causes(report.results)
    assert len(groups) == 1
    assert groups[0][0].diagnosis.startswith(f"behaves like {fault}:")


def program(tmp_path: Path, body: str) -> str:
    """A Python program that can ``read()`` an array (its bytes, header and data) and ``write`` bytes, as a target."""
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(
            """
            import os, signal, subprocess, sys, time
            log = os.path.join(os.path.dirname(__file__), "starts.log")
            open(log, "a").write("x")
            def read():
                head = sys.stdin.buffer.read(10)
                if len(head) < 10:
                    sys.exit(0)
                text = sys.stdin.buffer.read(head[8] + 256 * head[9]).decode()
                shape = eval(text)["shape"]
                size = int(eval(text)["descr"][2:])
                for n in shape:
                    size *= n
                return head + (text).encode(), eval(text), sys.stdin.buffer.read(size)
            def write(data):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            """
        )
        + textwrap.dedent(body)
    )
    return f"command:{sys.executable} -S {path}"


ECHO = """
while True:
    head, header, data = read()
    write(head + data)
"""


def starts(tmp_path: Path) -> int:
    """How often the program was started."""
    return len((tmp_path / "starts.log").read_text())


def forward(target: str) -> Callable[..., Any]:
    function = load(target)[0].preprocess
    assert function is not None
    return function


def check(target: str, *options: str) -> Done:
    return vggprep("check", target, "--mode", "identity", "--examples", "0", *options)


def test_a_program_is_started_once(tmp_path: Path) -> None:
    assert check(program(tmp_path, ECHO)).returncode == 0
    assert starts(tmp_path) < 10  # the RGBA image and the like


READS_ALL = """
data, answers = sys.stdin.buffer.read(), []
while data:
    end = 10 + data[8] + 256 * data[9]
    header = eval(data[10:end])
    size = int(header["descr"][2:])
    for n in header["shape"]:
        size *= n
    head, x, data = data[:end], data[end : end + size], data[end + size :]
    answers.append(head + x)
write(b"".join(answers))
"""


@pytest.mark.parametrize(
    "body", ["head, header, data = read()\nwrite(head + data)", READS_ALL.replace("while data:", "if data:")]
)
def test_a_program_that_answers_once_and_exits_is_told_to_loop(tmp_path: Path, body: str) -> None:
    message = one_line(check(program(tmp_path, body)))
    assert "answers one array and exits, whenever it is started; let it go on in a loop until its input ends" in message
    assert starts(tmp_path) in (2, 3)


def judged(target: str, dtypes: tuple[str, ...] | None = None, examples: int = 0) -> Report:
    return judge(load(target)[0], selection=Selection(("identity",), dtypes=dtypes), examples=examples)


def test_a_program_that_answers_at_the_end_of_its_input_is_fed_everything_at_once(tmp_path: Path) -> None:
    report = judged(program(tmp_path, READS_ALL), examples=10)
    assert report.conforms, failure_text([report])
    # Two to learn how it works, a survey, one for all, RGBA images in four cells, and what Hypothesis draws.
    assert starts(tmp_path) <= 10
    assert sum(r.status == "passed" for r in report.results) > 200


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "words", "most"),
    [
        ("x = bytes(size) if size == 51 else x", "breaks sizes", 12),
        ("x = x[:-1] + b'A' if len(answers) % 7 == 6 else x", "the same input gives other bits after other calls", 60),
        ("0 in header['shape'] and sys.exit('nothing there')", "Refused: nothing there (exit code 1)", 70),
        ("header['descr'] == '|u1' and size == 51 and os.kill(os.getpid(), 11)", "is killed by SIGSEGV", 60),
    ],
)
def test_what_is_wrong_in_a_batch_is_found(tmp_path: Path, fault: str, words: str, most: int) -> None:
    body = READS_ALL.replace("    answers.append", f"    {fault}\n    answers.append")
    report = judged(program(tmp_path, body), ("uint8", "float32"))
    assert words in failure_text([report])
    assert starts(tmp_path) <= most


def test_a_program_that_answers_at_the_end_may_refuse(tmp_path: Path) -> None:
    refusal = "header['descr'] in ('<f8', '|i1') and sys.exit('no code for ' + header['descr'])\n"
    report = judged(program(tmp_path, READS_ALL.replace("    answers.append", f"    {refusal}    answers.append")))
    assert report.conforms, failure_text([report])
    refused = {r.dtype: r.message for r in report.results if r.status == "refused"}
    assert refused.keys() == {"bfloat16", "float64", "int8"}
    assert refused["float64"] == "Refused: no code for <f8 (exit code 1)"
    assert starts(tmp_path) < 60


def test_an_answer_given_ahead_is_the_programs_own(tmp_path: Path) -> None:
    (found,) = load(program(tmp_path, READS_ALL.replace("head + x)", "head + x[::-1])")))
    assert isinstance(found.preprocess, commands.Command)
    x = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    found.preprocess.prefetch([(x, "caffe", "channels_last")] * 2)
    before = starts(tmp_path)
    assert [found.preprocess(x).tolist() for _ in range(2)] == 2 * [x[:, ::-1, ::-1].tolist()]
    assert starts(tmp_path) == before
    assert found.preprocess(x + 1).tolist() == (x + 1)[:, ::-1, ::-1].tolist()
    assert starts(tmp_path) == before + 1


def test_a_dtype_refused_twice_is_not_sent_again(tmp_path: Path) -> None:
    target = program(
        tmp_path,
        """
        while True:
            head, header, data = read()
            if header["descr"] != "<f4":
                sys.exit(f"no code for {header['descr']}")
            write(head + data)
        """,
    )
    result = check(target)
    assert result.returncode == 0, result.output
    assert starts(tmp_path) < 60  # of some 900 arrays that it would refuse


def test_bfloat16_is_never_sent(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    function = forward(program(tmp_path, ECHO))
    with pytest.raises(commands.Refused, match="bfloat16 is not sent"):
        function(np.zeros((1, 1, 3), ml_dtypes.bfloat16))


def test_a_refusal_says_what_the_program_said(tmp_path: Path) -> None:
    result = check(program(tmp_path, "read()\nraise ValueError('not today')"))
    assert result.returncode == 1
    assert "refuses every mode" in result.output
    assert "Refused: ValueError: not today (exit code 1)" in result.output
    assert starts(tmp_path) <= 110


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "is killed by SIGSEGV"),
        ("os.kill(os.getpid(), 40)", "is killed by signal 40"),
        ("head, header, data = read()\nwrite(head[:40])", "stops after 40 bytes of an answer"),
        ("read()\nwrite(b'<html><body>500</body></html>')", "is not a .npy array: it begins with '<html>"),
        ("read()\nprint('starting up')", "begins with 'starting up"),
        ("sys.exit(0)", "exits without an answer"),
        ("sys.exit(7)", "exits with code 7 and prints nothing"),
        (
            "h = b\"{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000, 1250000), }\"\n"
            "read()\nwrite(b'\\x93NUMPY\\x01\\x00' + len(h).to_bytes(2, 'little') + h)\ntime.sleep(60)",
            "1e+13 bytes, for an input of shape",
        ),
        (
            "import pickle\nh = b\"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\"\n"
            "write(b'\\x93NUMPY\\x01\\x00' + len(h).to_bytes(2, 'little') + h + pickle.dumps([print]))",
            "holds '|O', not bool, integer or floating",
        ),
        ("head, header, data = read()\nwrite(head + data + b'ok')", "prints more than the answer: 'ok'"),
        (
            "while True:\n    head, header, data = read()\n    write(head + data + b'\\n')",
            r"prints more than the answer: '\n'",
        ),
        ("write(b'READY'); read()", "begins with 'READY'"),
        (
            "head = sys.stdin.buffer.raw.read(128)\nwrite(head + bytes(3072))\ntime.sleep(9)",
            "answers before it has read",
        ),
        ("read()\nwrite((3072).to_bytes(4, 'little') + bytes(3072))", r"begins with '\x00\x0c"),
        ("import base64\nhead, header, data = read()\nwrite(base64.b64encode(head + data))", "begins with 'k05VTVB"),
        ("read()\nwrite(b'[[103.9, 0.1]]')", "begins with '[[103.9"),
        ("print('\\x1b[2J\\u202egnp.\\x07', file=sys.stderr)", r"\x1b[2J\u202egnp.\x07"),
    ],
)
def test_a_program_that_never_gives_an_array_is_one_line_and_code_2(tmp_path: Path, body: str, words: str) -> None:
    message = one_line(check(program(tmp_path, body)))
    assert words in message
    assert "asked for caffe, channels_last, float32, shape" in message
    assert "must read .npy arrays from its standard input until that ends, and write one .npy array for each" in message
    assert "docs/programs.md" in message
    assert message.strip().isprintable()


def test_a_missing_program_is_one_line_and_code_2() -> None:
    assert "cannot start './no-such-program': No such file" in one_line(check("command:./no-such-program {mode}"))
    assert "needs a program" in one_line(check("command: "))
    assert "cannot read the command line" in one_line(check("command:port 'x"))


def is_running(pid: str) -> bool:
    return os.path.exists(f"/proc/{pid}") and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_hang_is_ended_with_its_whole_process_group(tmp_path: Path) -> None:
    body = "child = subprocess.Popen(['sleep', '60'])\nopen(log + '.pid', 'a').write(f'{child.pid}\\n')\ntime.sleep(60)"
    message = one_line(check(program(tmp_path, body), "--timeout", "0.7"))
    assert "gives no answer within 0.7 s and is killed" in message
    for pid in (tmp_path / "starts.log.pid").read_text().split():
        for _ in range(100):
            if not is_running(pid):
                break
            time.sleep(0.02)
        else:
            pytest.fail("a child of the program outlives it")


def test_a_hang_on_one_dtype_fails_that_dtype_only(tmp_path: Path) -> None:
    body = ECHO.replace("write(head", "time.sleep(60 if header['descr'] == '<i8' else 0)\n    write(head")
    result = check(program(tmp_path, body), "--timeout", "0.5")
    assert result.returncode == 1
    assert "gives no answer within 0.5 s and is killed" in result.output
    assert "float32" not in result.output
    assert starts(tmp_path) < 20


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("print('a word of warning', file=sys.stderr, flush=True)", 0, "prints: 'a word of warning'"),
        ("head = head.replace(b'(2, 8', b'(8, 2')", 1,
         "returns shape (8, 2, 16, 3) for an input of shape (2, 8, 16, 3)"),
        ("data = bytes(len(data)) if len(data) == 51 else data", 1, "breaks sizes"),
    ],
)  # fmt: skip
def test_what_a_program_does_to_bytes_is_judged_and_shown(tmp_path: Path, line: str, code: int, words: str) -> None:
    result = check(program(tmp_path, ECHO.replace("write(head", f"{line}\n    write(head")), "--dtype", "uint8")
    assert result.returncode == code
    assert words in result.output


def test_an_inverse_alone_can_be_a_program(tmp_path: Path, port: Port) -> None:
    target = f"command:{port('python')} {{mode}} {{data_format}} --inverse"
    result = vggprep("check", "--inverse", target, "--mode", "tf", "--dtype", "float32", "--examples", "0")
    assert result.returncode == 0, result.output
    with pytest.raises(VggprepError, match="does not answer as it must"):
        load_inverse(program(tmp_path, "sys.exit(0)"))


def wait_for(path: Path) -> None:
    for _ in range(500):
        if path.exists():
            return
        time.sleep(0.01)
    pytest.fail(f"the program has not made {path.name}")


def test_what_a_program_prints_between_two_arrays_is_a_failure(tmp_path: Path) -> None:
    late = "header['shape'] == (1, 1, 3) and (time.sleep(0.1), write(b'done'), open(log + '.done', 'w'))"
    function = forward(program(tmp_path, ECHO.replace("write(head + data)", f"write(head + data)\n    {late}")))
    function(np.zeros((1, 1, 3), np.uint8))
    wait_for(tmp_path / "starts.log.done")
    answer = function(np.zeros((1, 1, 3), np.uint8))
    assert isinstance(answer, NoArray)
    assert answer.why.startswith("prints more than the answer: 'done' follows it; a program must read .npy arrays")


@pytest.mark.parametrize("last", ["sys.exit(0)", "sys.exit('tired')", "os.kill(os.getpid(), 9)"])
def test_a_program_that_ends_after_every_few_answers_is_given_up(tmp_path: Path, last: str) -> None:
    result = check(program(tmp_path, ECHO.replace("while True", "for _ in range(3)") + f"read()\n{last}"))
    assert result.returncode == 1
    assert "is not called any more, because it ended 20 times after an array that it had answered" in result.output
    assert 20 <= starts(tmp_path) <= 30


STRAY = """
child = subprocess.Popen(['sleep', '60'], start_new_session=True{})
open(log + '.pid', 'a').write(f'{{child.pid}} ')
"""


@pytest.mark.parametrize(
    ("streams", "fate"),
    [("", "ended, as it holds pipes"), (", stdin=-3, stdout=-3, stderr=-3", "it goes on")],
)
def test_what_a_program_leaves_running_is_named(tmp_path: Path, streams: str, fate: str) -> None:
    body = ECHO.replace("write(head", "header['descr'] == '|u1' and sys.exit('no bytes')\n    write(head")
    result = check(program(tmp_path, STRAY.format(streams) + body))
    assert result.returncode == 0, result.output
    first, *later = (tmp_path / "starts.log.pid").read_text().split()[:-1]  # the last still runs
    assert f"it leaves 'sleep' (process {first}) running in its own session: {fate}" in " ".join(result.output.split())
    assert later
    assert [is_running(pid) for pid in (first, *later)] == (1 + len(later)) * [bool(streams)]
    for pid in (first, *later) if streams else ():
        os.kill(int(pid), 9)


def test_what_a_program_that_fails_leaves_running_is_named(tmp_path: Path) -> None:
    message = one_line(check(program(tmp_path, STRAY.format("") + "read()")))
    assert "exits without an answer" in message
    assert "; it also leaves 'sleep' (process " in message


def test_a_program_that_exits_without_reading_a_large_array_can_still_refuse(tmp_path: Path) -> None:
    function = forward(program(tmp_path, "time.sleep(0.1)\nsys.exit('too large')"))
    with pytest.raises(commands.Refused, match="too large"):
        function(np.zeros((512, 512, 3), np.float32))


def test_a_program_that_closes_its_output_and_goes_on_is_killed(tmp_path: Path) -> None:
    target = program(tmp_path, "read()\nos.close(1)\ntime.sleep(60)")
    assert "closes its output, does not exit, and is killed" in one_line(check(target, "--timeout", "0.7"))


def test_a_program_that_hangs_again_and_again_is_not_called_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_MAX_HANGS", 2)
    body = ECHO.replace("write(head", "time.sleep(60 if header['descr'] != '<f4' else 0)\n    write(head")
    function = load(program(tmp_path, body), timeout=0.5)[0].preprocess
    assert function is not None
    answers = [function(np.zeros((1, 1, 3), dtype)) for dtype in ("uint8", "uint16", "int32")]
    reasons = [answer.why for answer in answers if isinstance(answer, NoArray)]
    assert reasons[0] == reasons[1] == "gives no answer within 0.5 s and is killed"
    assert reasons[2] == "is not called any more, because it hung 2 times"


def test_a_dtype_refused_in_two_modes_is_not_sent_in_a_third(tmp_path: Path) -> None:
    body = ECHO.replace("write(head", "header['descr'] == '<f8' and sys.exit('only single')\n    write(head")
    function = forward(program(tmp_path, body) + " {mode}")
    for mode in ("caffe", "tf", "torch"):
        function(np.zeros((1, 1, 3), np.float32), mode)
    for mode in ("caffe", "tf"):
        for _ in range(2):
            with pytest.raises(commands.Refused, match="only single"):
                function(np.zeros((1, 1, 3)), mode)
    before = starts(tmp_path)
    with pytest.raises(commands.Refused, match="only single"):
        function(np.zeros((1, 1, 3)), "torch")
    assert starts(tmp_path) == before


def test_a_program_that_refuses_everything_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_MAX_FAILURES", 4)
    function = forward(program(tmp_path, "sys.exit('not today')"))
    for dtype in ("uint16", "int8", "int32", "float64"):
        with pytest.raises(commands.Refused, match="not today"):
            function(np.zeros((1, 1, 3), dtype))
    assert starts(tmp_path) == 4


@pytest.mark.parametrize("named", [("mode",), ("data_format",), ("mode", "data_format"), ()])
def test_a_program_takes_what_its_command_line_names(tmp_path: Path, named: tuple[str, ...]) -> None:
    (found,) = load(program(tmp_path, ECHO) + "".join(f" {{{name}}}" for name in named))
    assert found.preprocess is not None
    assert tuple(inspect.signature(found.preprocess).parameters) == ("x", *named)
    assert found.source is not None
    words = {"mode": "tf", "data_format": "channels_first"}
    assert all((repr(word) in found.source("tf", "channels_first")) == (name in named) for name, word in words.items())


def test_where_pipes_cannot_be_polled_vectors_are_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")
    with pytest.raises(VggprepError, match="need Linux or macOS; elsewhere use vggprep vectors"):
        load("command:true")
