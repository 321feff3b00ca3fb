"""Exploration on top of the corpus: profiles, and counterexamples that are shared and replayed first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from judged import Array, correct, essence, failed, judge

from vggprep import (
    CHECKS,
    Implementation,
    deprocess_input,
    preprocess_input,
)
from vggprep.conformance import judging
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.profiles import PROFILES
from vggprep.spec import ModeName

ABOUT_VALUES = [check for check in CHECKS if check.name in ("value", "restores_pixels", "restores_floats")]
"""Under which what Hypothesis finds is booked."""

RARE = Implementation(
    "rarely wrong",
    lambda x, mode: rarely_wrong(x, mode),
    modes=("tf",),
    data_formats=("channels_last",),
    dtypes=("float64",),
)


def rarely_wrong(x: Array, mode: ModeName) -> Array:
    """Wrong on dark pixels of red 77, which the corpus has not in float64."""
    y = preprocess_input(x, mode=mode)
    y[(x[..., 0] == 77) & (x[..., 1] < 128) & (x[..., 2] < 128)] += 0.25
    return y


def test_a_byte_order_that_is_refused_is_no_counterexample() -> None:
    def native(x: Array, mode: ModeName) -> Array:
        if not x.dtype.isnative:
            raise TypeError("another byte order")
        return preprocess_input(x, mode=mode)

    implementation = Implementation(
        "native", native, modes=("tf",), data_formats=("channels_last",), dtypes=("float32",)
    )
    assert judge(implementation, selection=Selection(), examples=60, seed=1).conforms


def test_what_the_corpus_cannot_see_hypothesis_finds() -> None:
    assert judge(RARE, selection=Selection(), examples=0, checks=CHECKS).conforms
    report = judge(RARE, selection=Selection(), examples=2000, seed=1, checks=ABOUT_VALUES)
    assert not report.conforms
    (result,) = failed(report)
    assert result.check == "value"
    assert result.message.endswith("(found by Hypothesis)")
    assert result.worst_levels == pytest.approx(0.25 * 127.5)
    assert "77.0" in result.reproducer


@pytest.mark.thorough
def test_hypothesis_finds_the_same_with_the_same_seed_and_draws_the_same_without_one() -> None:
    for seed in (1, None):
        first, second = (
            judge(RARE, selection=Selection(), examples=150, seed=seed, checks=ABOUT_VALUES) for _ in range(2)
        )
        assert essence(first) == essence(second)


def test_exploration_changes_no_digest() -> None:
    assert [r.digest for r in judge(correct, examples=0).results] == [
        r.digest for r in judge(correct, examples=20).results
    ]


@pytest.mark.thorough
def test_an_inverse_is_explored_too() -> None:
    def inverse(y: Array, mode: ModeName) -> Array:
        x = deprocess_input(y, mode=mode)
        x[(x[..., 0] == 77) & (x[..., 1] < 64) & (x[..., 2] < 64)] ^= 1
        return x

    implementation = Implementation("it", deprocess=inverse, modes=("tf",), dtypes=("float64",))
    assert judge(implementation, selection=Selection(), examples=0, checks=CHECKS).conforms
    report = judge(implementation, selection=Selection(), examples=2000, seed=1, checks=ABOUT_VALUES)
    (result,) = failed(report)
    assert (result.check, result.direction) == ("restores_pixels", "inverse")
    assert result.message.startswith("inverse: ")
    assert result.message.endswith("(found by Hypothesis)")


# Profiles and the database, in processes of their own

# Wrong for some images of two pixels, of which the corpus has none; tells a file of each call.
RARE_FILE = """
import os
import vggprep

def preprocess(x, data_format=None, mode="caffe"):
    y = vggprep.preprocess_input(x, data_format, mode)
    red = x[..., 0] if data_format == "channels_last" else x[..., 0, :, :]
    wrong = x.dtype == "uint8" and red.size == 2 and red.ravel()[0] // 64 == 2
    if wrong:
        y[...] += 1
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{os.getpid()} {int(wrong)}\\n")
    return y

claims = {"modes": ["caffe"], "data_formats": ["channels_last"], "dtypes": ["uint8"]}
rare = vggprep.Implementation("rare", preprocess, **claims)
right = vggprep.Implementation("right", vggprep.preprocess_input, **claims)
"""

ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTEST_ADDOPTS")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "odd.py").write_text(RARE_FILE, encoding="utf-8")
    return tmp_path


def calls_of(folder: Path, name: str, *words: str) -> tuple[str, dict[str, list[bool]]]:
    """Run Python with the words; return what it printed, and whether each call in each process was a wrong one."""
    record = folder / name
    record.touch()
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**ENVIRONMENT, "CALLS": str(record)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    processes: dict[str, list[bool]] = {}
    for line in record.read_text(encoding="utf-8").splitlines():
        process, wrong = line.split()
        processes.setdefault(process, []).append(wrong == "1")
    return done.stdout + done.stderr, processes


def pytest_words(profile: str, *words: str) -> tuple[str, ...]:
    return ("pytest", "--implementation", "odd:rare", "--implementation-profile", profile, "-q", "-x", *words)


@pytest.mark.thorough
def test_a_counterexample_that_one_worker_finds_is_the_first_case_of_the_next_run(folder: Path) -> None:
    corpus = calls_of(folder, "corpus", "vggprep", "check", "odd:rare", "--examples", "0")[1]
    (calls,) = corpus.values()
    assert not any(calls)

    said, found = calls_of(folder, "found", *pytest_words("nightly", "-n", "2", "--dist", "load"))
    assert "found by Hypothesis" in said
    assert any(map(any, found.values()))
    assert list((folder / ".hypothesis" / "examples").iterdir())

    said, replayed = calls_of(folder, "replayed", *pytest_words("nightly", "-p", "no:xdist"))
    assert "found by Hypothesis" in said
    (again,) = replayed.values()
    assert again.index(True) == len(calls)  # right after the corpus

    said, replayed = calls_of(folder, "dev", "vggprep", "check", "odd:rare")
    assert "found by Hypothesis" in said
    (again,) = replayed.values()
    assert again.index(True) == len(calls)


@pytest.mark.thorough
def test_the_database_bears_neither_on_another_implementation_nor_on_the_verdict_of_profile_ci(folder: Path) -> None:
    def saved() -> set[Path]:
        return {path for path in (folder / ".hypothesis" / "examples").rglob("*") if path.is_file()}

    calls_of(folder, "found", "vggprep", "check", "odd:rare", "--profile", "nightly")
    before = saved()
    assert before
    assert "right conforms" in calls_of(folder, "right", "vggprep", "check", "odd:right")[0]
    assert saved() == before  # what is tried and does not fail is deleted

    first = calls_of(folder, "first", "vggprep", "check", "odd:rare", "--profile", "ci")
    (folder / ".hypothesis").rename(folder / "elsewhere")
    second = calls_of(folder, "second", "vggprep", "check", "odd:rare", "--profile", "ci")
    assert list(first[1].values()) == list(second[1].values())


@pytest.mark.parametrize(("profile", "examples"), [("dev", None), ("ci", None), ("nightly", 150)])
def test_as_many_cases_are_drawn_as_the_profile_or_the_caller_says(
    profile: str, examples: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    counts: list[None] = []

    def preprocess(x, data_format=None, mode="caffe"):  # type: ignore[no-untyped-def]
        counts.append(None)
        return preprocess_input(x, data_format, mode)

    implementation = Implementation("counting", preprocess)
    tf = Selection(modes=("tf",), data_formats=("channels_last",), dtypes=("float32",))
    judging.judge(implementation, selection=tf, examples=0)
    corpus = len(counts)
    counts.clear()
    judging.judge(implementation, selection=tf, profile=profile, examples=examples)
    assert len(counts) - corpus == (examples or PROFILES[profile].examples)


def test_what_is_wrong_once_and_right_again_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls = [0]

    def preprocess(x, data_format=None, mode="caffe"):  # type: ignore[no-untyped-def]
        calls[0] += 1
        y = preprocess_input(x, data_format, mode)
        return y + 1 if calls[0] == corpus + 20 else y

    corpus = 10**9
    claims = {"modes": ["tf"], "data_formats": ["channels_last"], "dtypes": ["float32"]}
    implementation = Implementation("unsteady", preprocess, **claims)  # type: ignore[arg-type]
    run(implementation, examples=0)
    corpus, calls[0] = calls[0], 0
    failed = [result for result in run(implementation).results if result.status == "failed"]
    assert [result.check for result in failed] == ["value"]
