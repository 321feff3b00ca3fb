"""The two pytest doors, in pytest runs of their own."""

from __future__ import annotations

import json
from pathlib import Path

# Each run in this process forgets what it imported: what cannot be imported twice, or takes long, is there before.
import ml_dtypes  # noqa: F401
import pytest

import vggprep.cli.check
import vggprep.conformance.judging  # noqa: F401

pytest_plugins = ["pytester"]

MODULE = """
import numpy as np
import vggprep

def right(x, data_format=None, mode="caffe"):
    return vggprep.preprocess_input(x, data_format, mode)

def unswapped(x):
    return x.astype("float32") - np.array([103.939, 116.779, 123.68], "float32")

def picky(x):
    if x.dtype != np.float32:
        raise TypeError("float32 only")
    return vggprep.preprocess_input(x)

few = dict(dtypes=["uint8", "float32"], ranks=[4])
quick = vggprep.Implementation("quick", right, modes=["caffe"], **few)
wrong = vggprep.Implementation("unswapped", unswapped, **few)
"""


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(mine=MODULE)
    return pytester


def test_the_option_adds_an_item_for_each_check_even_without_test_files(folder: pytest.Pytester) -> None:
    from vggprep import CHECKS

    result = folder.runpytest_inprocess("--implementation", "mine:quick", "-v")
    assert result.ret == 0
    forward = [check for check in CHECKS if "forward" in check.directions]
    result.assert_outcomes(passed=len(forward))
    result.stdout.fnmatch_lines(["*quick::value PASSED*"])


def test_a_failure_shows_the_cause_and_no_traceback(folder: pytest.Pytester) -> None:
    result = folder.runpytest_inprocess("--implementation", "mine:unswapped")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*behaves like*", "*expected*"])
    result.stdout.no_fnmatch_line("*conformance.py*")


def test_a_check_that_is_refused_everywhere_passes_and_says_so(folder: pytest.Pytester) -> None:
    result = folder.runpytest_inprocess("--implementation", "mine:picky", "-rA")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*refused in all * cells: TypeError: float32 only*"])


def test_a_target_that_cannot_be_loaded_is_a_usage_error(folder: pytest.Pytester) -> None:
    result = folder.runpytest_inprocess("--implementation", "mine:nothing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*mine has no attribute 'nothing'*"])


def test_the_rows_are_those_of_the_command_line(folder: pytest.Pytester) -> None:
    from click.testing import CliRunner

    from vggprep.cli import main

    options = ("--implementation", "mine:wrong", "--implementation-report")
    folder.runpytest_inprocess(*options, "plain.jsonl")
    folder.runpytest_subprocess(*options, "workers.jsonl", "-n", "2")
    report = str(folder.path / "command.jsonl")
    CliRunner().invoke(main, ["check", "mine:wrong", "--report", report])

    def rows(name: str) -> list[str]:
        found = []
        for line in (folder.path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["kind"] == "result":
                row.pop("seconds")
                found.append(json.dumps(row, sort_keys=True))
        return sorted(found)

    assert rows("plain") == rows("workers") == rows("command")
    assert len(rows("plain")) > 20


def test_the_level_can_be_chosen(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        approximate="""
        import numpy as np
        import vggprep

        def f(x):
            return (x * np.float32(1 / 127.5) - np.float32(1)).astype("float32")

        tf = vggprep.Implementation("reciprocal", f, modes=["tf"], dtypes=["float32"])
        """
    )
    faithful = folder.runpytest_inprocess("--implementation", "approximate:tf")
    exact = folder.runpytest_inprocess("--implementation", "approximate:tf", "--implementation-level", "exact")
    assert (faithful.ret, exact.ret) == (0, 1)


def test_parametrize_with_checks_runs_each_check_as_a_test(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        test_mine="""
        import vggprep
        from mine import quick, wrong

        @vggprep.parametrize_with_checks([quick])
        def test_right(implementation, check):
            check(implementation)

        @vggprep.parametrize_with_checks(
            [wrong],
            expected_failures={c: "no swap" for c in ("value", "every_byte", "nonfinite", "sizes")},
        )
        def test_wrong(implementation, check):
            check(implementation)
        """
    )
    result = folder.runpytest_subprocess("-n", "2", "-rf")
    assert {line.split()[1] for line in result.outlines if line.startswith("FAILED")} == {
        f"test_mine.py::test_wrong[unswapped-{check}]" for check in ("channel_independence", "monotone")
    }
    assert result.parseoutcomes()["xfailed"] == 4


def test_an_expected_failure_that_passes_fails(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        test_mine="""
        import vggprep
        from mine import quick

        @vggprep.parametrize_with_checks([quick], expected_failures={"purity": "mended long ago"})
        def test_right(implementation, check):
            check(implementation)
        """
    )
    result = folder.runpytest_inprocess("-rf")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["FAILED *purity*"])
    result.stdout.fnmatch_lines(["*stale ledger entry*mended long ago*"])


def test_pytest_without_the_option_loads_nothing_of_the_suite(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        test_other="""
        import sys

        def test_nothing_is_loaded():
            loaded = {name for name in sys.modules if name.startswith("vggprep")}
            assert loaded <= {"vggprep", "vggprep.pytest_plugin"}
        """
    )
    Path(folder.path / "mine.py").unlink()
    folder.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_mode_of_a_configuration_file_is_judged_in_the_workers(folder: pytest.Pytester) -> None:
    Path("own.toml").write_text('name = "own"\norder = "BRG"\nsteps = [{divide = "3"}]\n', encoding="utf-8")
    folder.makepyfile(
        own="""
        import vggprep
        def right(x):
            return vggprep.preprocess_input(x, mode=vggprep.Mode("mine", "BRG", [("divide", 3)]))
        quick = vggprep.Implementation("quick", right, dtypes=["uint8"], ranks=[3])
        """
    )
    options = ["--implementation", "own:quick", "--implementation-report", "r.jsonl", "-n", "1"]
    assert folder.runpytest_subprocess(*options, "--implementation-mode", "own.toml").ret == 0
    head, *_ = Path("r.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(head)["implementations"][0]["modes"][0]["order"] == "BRG"


def test_a_mode_that_is_none_is_a_usage_error(folder: pytest.Pytester) -> None:
    result = folder.runpytest_inprocess("--implementation", "mine:quick", "--implementation-mode", "vgg")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --implementation-mode: 'vgg' is not one of 'caffe', 'tf', *"])
