"""Functions in a process of their own: what they do there is a finding, and takes nothing down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support import Array

from vggprep.cases import LAYOUTS, available_dtypes, has_layout, panel
from vggprep.cases import Cell as CellOf
from vggprep.cli import main
from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, callables, isolation
from vggprep.implementations.callables import Call, Problem
from vggprep.implementations.isolation import MAX_HANGS, Memory
from vggprep.implementations.targets import load

ODD = """
import builtins, ctypes, os, signal, sys, threading, time, warnings
import numpy as np
import vggprep

BUFFERS = [np.empty((1, 1, 3), "float32") for _ in range(2)]

def right(x, mode="caffe"): return vggprep.preprocess_input(x, mode=mode)
def exits(x): os._exit(0)
def exits_on_empty(x):
    if not x.size: os._exit(0)
    return right(x)
def segfaults(x): ctypes.string_at(0)
def aborts(x): os.abort()
def killed(x): os.kill(os.getpid(), signal.SIGKILL)
def alarmed(x):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(9)
def endless(x): time.sleep(99)
def deletes_len(x):
    if hasattr(builtins, "len"): del builtins.len
    return right(x)
def forgets_modules(x): sys.modules.clear(); return x
def closes_everything(x): os.closerange(3, 4096); return right(x)
def interrupts(x): raise KeyboardInterrupt
def exits_politely(x): sys.exit(3)
def closes_output(x):
    try: os.close(1)
    except OSError: pass
    return right(x)
def removes_folder(x):
    import tempfile
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    return right(x)
def shallow(x): sys.setrecursionlimit(60); return right(x)
def clears_environment(x): os.environ.clear(); return right(x)
def forks(x): os.fork(); return right(x)
def leaks_thread(x): threading.Thread(target=time.sleep, args=[999]).start(); return right(x)
def uses_fileno(x):
    import faulthandler, subprocess
    faulthandler.enable(sys.stdout)
    subprocess.run(["true"], stdout=sys.stdout, check=True)
    return right(x)
def speaks(x): print("a word"); warnings.warn("careful"); return right(x)
def in_place(x): x[...] = 7; return x
def two_buffers(x):
    BUFFERS.append(BUFFERS.pop(0))
    BUFFERS[0][...] = right(x)
    return BUFFERS[0]
LAST = []
def by_object(x):
    if not (LAST and LAST[0] is x): LAST[:] = [x, right(x)]
    return LAST[1]
STATE = {}
def in_a_module(x, mode):
    STATE["mode"] = mode
    time.sleep(0)
    return right(x, STATE["mode"])
claimed = vggprep.Implementation("claimed", right, lambda y: y, model="vgg19", ranks=[3])
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    (tmp_path / "ends.py").write_text("import os\nos._exit(0)\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("def f(:\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def loaded(name: str, **options: Any) -> Any:
        return load(f"odd:{name}", isolated=True, **options)[0].preprocess

    return loaded


PIXEL = np.array([[[1, 2, 3]]], np.float32)


def outcome_of(function: Any, array: Array = PIXEL, mode: str = "caffe", **options: Any) -> callables.Outcome:
    return callables.call(function, array.copy(), mode, "channels_last", **options)


def output_of(outcome: callables.Outcome) -> Array:
    assert outcome.output is not None
    return outcome.output


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_travels_with_its_layout(layout: str) -> None:
    for dtype in available_dtypes():
        if not has_layout(dtype, layout):
            continue
        for rank in (3, 4):
            array = panel("forward", CellOf("caffe", "channels_first", dtype, rank), layout=layout).array()
            travelled = Memory.of(array).array()
            assert travelled.tobytes() == array.tobytes()
            assert (travelled.strides, travelled.dtype, travelled.shape) == (array.strides, array.dtype, array.shape)
            assert str(travelled.flags) == str(array.flags)
            address, other = (a.__array_interface__["data"][0] for a in (array, travelled))
            assert array.size == 0 or address % array.itemsize == other % array.itemsize


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("exits", "exit code 0"),
        ("segfaults", "signal 11, segmentation fault in odd.py, line 13"),
        ("aborts", "signal 6, aborted in odd.py, line 14"),
        ("killed", "signal 9, killed"),
        ("alarmed", "signal 14, alarm clock"),
        ("deletes_len", "Python broken (NameError: name 'len' is not defined)"),
        ("forgets_modules", "Python broken (PicklingError: "),
        ("closes_everything", "its connection to the suite closed"),
    ],
)
def test_a_function_that_ends_its_process_is_a_finding(
    name: str, why: str, odd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "MAX_ENDS_IN_A_ROW", 3)
    function = odd(name)
    problem = outcome_of(function).problem
    assert problem is not None
    assert problem.kind == "process_ended"
    assert problem.about["why"].startswith(why)
    for _ in range(3):
        problem = outcome_of(function).problem
    assert problem is not None
    assert problem.kind == "given_up"
    assert f"ended the process 3 times, the last time with {why}" in str(problem)


def test_a_function_that_hangs_is_killed_and_given_up(odd: Callable[..., Any]) -> None:
    function = odd("endless", timeout=0.2)
    kinds = [(outcome_of(function).problem or Problem("no_answer")).kind for _ in range(MAX_HANGS + 1)]
    assert kinds == ["hangs"] * MAX_HANGS + ["given_up"]
    lines = load("odd:endless", isolated=True, timeout=0.2)[0].source
    assert lines is not None
    assert lines("caffe", "channels_last") == "from odd import endless\nendless(x)"


@pytest.mark.parametrize(
    "name",
    ["right", "closes_output", "removes_folder", "shallow", "clears_environment", "forks", "leaks_thread",
     "uses_fileno", "speaks"],
)  # fmt: skip
def test_what_does_no_harm_is_judged_as_it_is(name: str, odd: Callable[..., Any]) -> None:
    function = odd(name)
    for _ in range(2):
        outcome = outcome_of(function)
        assert output_of(outcome).tolist() == [
            [[3 - np.float32(103.939), 2 - np.float32(116.779), 1 - np.float32(123.68)]]
        ]
    said = {"prints: 'a word'", "warns: UserWarning: careful"} if name == "speaks" else set()
    assert outcome.remarks == said


@pytest.mark.parametrize(("name", "kind"), [("interrupts", "KeyboardInterrupt"), ("exits_politely", "SystemExit")])
def test_what_it_raises_is_a_refusal(name: str, kind: str, odd: Callable[..., Any]) -> None:
    refusal = outcome_of(odd(name)).refusal
    assert refusal is not None
    assert refusal.type == kind


def test_aliasing_is_seen_from_outside(odd: Callable[..., Any]) -> None:
    outcome = outcome_of(odd("in_place"))
    assert (outcome.changed_input, outcome.shares_input, outcome.returns_input) == (True, True, True)
    assert outcome.input_after is not None
    assert outcome.input_after.tolist() == [[[7, 7, 7]]]


def test_kept_arrays_are_looked_at_later_and_filled_again(odd: Callable[..., Any]) -> None:
    function = odd("two_buffers")
    first = outcome_of(function, keep=True)
    outcome_of(function, PIXEL + 1)
    assert callables.now(function, first)[1] == pytest.approx(first.output)
    outcome_of(function, PIXEL + 1)
    assert callables.now(function, first)[1] == pytest.approx(output_of(first) + 1)
    stale = odd("by_object")
    first = outcome_of(stale, keep=True)
    again = callables.call_again(stale, first, PIXEL + 9, "caffe", "channels_last")
    assert again.output == pytest.approx(first.output)


def test_arrays_of_a_process_that_has_ended_are_what_they_were(odd: Callable[..., Any]) -> None:
    function = odd("exits_on_empty")
    first = outcome_of(function, keep=True)
    assert outcome_of(function, PIXEL[:0]).problem is not None
    before, output = callables.now(function, first)
    assert before.tolist() == PIXEL.tolist()
    assert output is first.output
    again = callables.call_again(function, first, PIXEL + 1, "caffe", "channels_last")
    assert again.output == pytest.approx(output_of(first) + 1)


def test_threads_meet_in_the_process(odd: Callable[..., Any]) -> None:
    calls = [Call(PIXEL, mode, "channels_last") for mode in ("caffe", "tf", "torch")]
    right = callables.call_together(odd("right"), calls, 2)
    for call, got in zip(calls, right, strict=True):
        expected = output_of(outcome_of(odd("right"), mode=call.mode)).tolist()
        assert isinstance(got, list)
        assert [g.tolist() for g in got if g is not None] == [expected] * 2
    mixed = callables.call_together(odd("in_a_module"), calls, 20)
    right = callables.call_together(odd("right"), calls, 20)
    assert any(str(a) != str(b) for a, b in zip(mixed, right, strict=True))
    assert callables.call_together(odd("exits"), calls, 1)[0] == ("", "it ends the process, with exit code 0")


def test_an_implementation_keeps_its_claims_and_its_lines(odd: Callable[..., Any]) -> None:
    assert odd("right") is not None
    (found,) = load("odd:claimed", isolated=True)
    assert isinstance(found, Implementation)
    assert (found.name, found.model, found.modes, found.ranks) == ("claimed", "vgg19", ("caffe",), [3])
    assert found.source is not None
    assert found.source("caffe", "channels_last") == "from odd import claimed\nclaimed.preprocess(x, mode='caffe')"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ends:f", "cannot load ends:f: it ends the process, with exit code 0"),
        ("broken:f", "cannot load broken:f: broken fails to import: SyntaxError"),
        ("missing:f", "there is no module missing"),
        ("odd:nothing", "odd has no attribute 'nothing'"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(target: str, said: str, odd: Callable[..., Any]) -> None:
    with pytest.raises(VggprepError, match=said.replace("(", r"\(")):
        load(target, isolated=True)


def test_a_crash_names_check_and_case_and_the_rest_is_judged(odd: Callable[..., Any]) -> None:
    words = ["check", "odd:exits_on_empty", "--dtype", "uint8", "--model", "VGG19", "--examples", "0"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "ends the process, with exit code 0" in done.output
    assert "breaks sizes" in done.output
    assert 'x = np.zeros((0, 4, 3), dtype="uint8")' in done.output
    assert done.output.rstrip().endswith("passed, 2 failed")


def test_an_import_that_never_ends_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(99)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isolation, "LOADING", 1.0)
    with pytest.raises(VggprepError, match=r"^cannot load waits:f: its import takes more than 2 s; .* --timeout SECON"):
        load("waits:f", timeout=2.0, isolated=True)
