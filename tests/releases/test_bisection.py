"""Finding the build at which behaviour changed: over made-up builds, and with a stand-in for uv and a real index."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from command_line import one_line, vggprep
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import RAISES, RIGHT, WRONG, question, write_script, write_stand_in

from vggprep.releases import bisection, record, watch
from vggprep.releases.bisection import Build, build, releases, rows_to_ask, search
from vggprep.releases.changes import compare
from vggprep.releases.observation import MachineError, Observation, ObservationError, Row
from vggprep.releases.questions import Question, questions

ASKED = [q for q in questions() if q.path == "tensor" and q.dtype == "float32" and q.mode == "caffe"][:3]
ENDS = Build("keras", "3.0.0", None), Build("keras", "3.1.0", None)


def behaviour(wrong: int) -> Observation:
    """Of three rows, the first ones are wrong; or raise, for a negative number."""
    other = RAISES if wrong < 0 else WRONG
    rows = {q.id: replace(other if at < abs(wrong) else RIGHT, shape=q.shape) for at, q in enumerate(ASKED)}
    return Observation({"keras": "3"}, rows)


def found_in(wrong: Sequence[int], broken: frozenset[int] = frozenset()) -> bisection.Found:
    """What is found over builds of which so many rows are wrong; the ends are the first and the last."""
    between = [Build("keras", f"3.0.0.dev2025{n:04}", None) for n in range(1, len(wrong) - 1)]
    behind = dict(zip([ENDS[0], *between, ENDS[1]], wrong, strict=True))

    def observe(one: Build, asked: Sequence[Question]) -> Observation:
        if one in between and between.index(one) + 1 in broken:
            raise ObservationError("it does not import")
        return behaviour(behind[one])

    sides = behaviour(wrong[0]), behaviour(wrong[-1])
    return search(ENDS, sides, between, compare(*sides), observe=observe)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.data())
def test_the_neighbours_are_found_in_few_tries_whatever_cannot_be_run(size: int, data: st.DataObject) -> None:
    change = data.draw(st.integers(1, size + 1), label="the first build that is otherwise")
    broken = data.draw(st.frozensets(st.integers(1, size)), label="builds that cannot be run")
    found = found_in([0] * change + [3] * (size + 2 - change), broken)
    names = [ENDS[0].name, *(f"keras-nightly==3.0.0.dev2025{n:04}" for n in range(1, size + 1)), ENDS[1].name]
    runs = [n for n in range(size + 2) if n not in broken]
    assert names.index(found.before.name) == max(n for n in runs if n < change)
    assert names.index(found.after.name) == min(n for n in runs if n >= change)
    assert {one.name for one in found.between} <= {names[n] for n in broken}
    ran = [one for one in found.tries if not one.why_not]
    assert len(ran) <= math.log2(size + 1) + 1 + 2
    assert [(count, of) for _, count, of in found.moved] == [(3, 3)]


def test_what_changes_later_and_what_changes_again_is_said() -> None:
    found = found_in([0, 0, 1, 1, 3, 3])
    assert (found.before.version, found.after.version) == ("3.0.0.dev20250001", "3.0.0.dev20250002")
    assert [(count, of) for _, count, of in found.moved] == [(1, 3)]
    assert not found.again
    found = found_in([0, 0, 3, 3, -1])
    assert found.again == (ASKED[0].id,)


def test_a_build_that_can_run_no_row_is_not_taken_for_one_like_the_old_end() -> None:
    between = [Build("keras", f"3.0.0.dev2025{n:04}", None) for n in range(1, 4)]
    skipped = Observation({"keras": "3"}, {q.id: Row(skipped="no such path here") for q in ASKED})
    behind = dict(
        zip(
            [ENDS[0], *between, ENDS[1]], [behaviour(0), behaviour(3), skipped, behaviour(3), behaviour(3)], strict=True
        )
    )
    sides = behaviour(0), behaviour(3)
    found = search(ENDS, sides, between, compare(*sides), observe=lambda one, asked: behind[one])
    assert (found.before, found.after) == (ENDS[0], between[0])
    assert [one.why_not for one in found.tries if one.build == between[1]] == [
        "it can run none of the rows that are asked"
    ]


def test_releases_of_a_package_whose_days_are_not_known_are_listed() -> None:
    found = releases(build("tensorflow", "2.4.0"), build("tensorflow", "2.5.0"))
    assert [(one.version, one.day) for one in found] == [(f"2.4.{n}", None) for n in (1, 2, 3, 4)]


def test_an_end_that_behaves_otherwise_here_than_recorded_is_no_result() -> None:
    sides = behaviour(0), behaviour(3)
    with pytest.raises(ObservationError, match=r"keras==3.0.0 does not behave here as recorded \(3 of 3 rows, "):
        search(ENDS, sides, [], compare(*sides), observe=lambda one, asked: behaviour(3))


@pytest.mark.parametrize(
    ("error", "said", "tries"),
    [
        (MachineError, "no room on the disk", 1),
        (ObservationError, "none of the 5 builds tried can be run here; keras-nightly==3.0.0.dev20250002: no room", 5),
    ],
)
def test_what_keeps_every_build_from_running_is_no_result(error: type[ObservationError], said: str, tries: int) -> None:
    between = [Build("keras", f"3.0.0.dev2025{n:04}", None) for n in range(1, 4)]
    sides = behaviour(0), behaviour(3)
    asked: list[Build] = []

    def observe(one: Build, _: Sequence[Question]) -> Observation:
        asked.append(one)
        raise error("no room on the disk")

    with pytest.raises(ObservationError, match=f"^{re.escape(said)}"):
        search(ENDS, sides, between, compare(*sides), observe=observe)
    assert len(asked) == tries


def test_few_rows_are_asked_with_what_comes_before_them_in_their_process() -> None:
    old, new = (record.shipped().observation(f"keras=={v}") for v in ("2.15.0", "3.15.1"))
    asked = rows_to_ask(differences := compare(old, new))
    assert len({q.id for q in asked}) < len(old.rows) / 3
    for difference in differences:
        assert {q.id for q in asked} & set(difference.rows)
    after = [q for q in questions() if q.after == "torch" and q.group == "torch"]
    rows = tuple(q.id for q in after[:1])
    assert rows_to_ask([replace(differences[0], keys=tuple(("", name) for name in rows))]) == after


def test_releases_between_are_in_order_with_their_days() -> None:
    found = releases(build("keras", "3.10.0"), build("keras", "3.12.0"))
    assert [one.version for one in found] == ["3.11.0", "3.11.1", "3.11.2", "3.11.3"]
    assert found[0].day == date(2025, 7, 30)
    assert build("keras[jax]", "3.12.0.dev2025100703").name == "keras-nightly[jax]==3.12.0.dev2025100703"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of nightly builds, and a uv that installs the stand-in; from 5 January on, caffe mode adds one."""
    days = [f"3.98.0.dev202601{day:02}03" for day in range(1, 10)]
    for package, versions in (("keras-nightly", days), ("keras", ["3.96.0", "3.97.0"])):
        page = tmp_path / "index" / package / "index.html"
        page.parent.mkdir(parents=True)
        files = [f"{package.replace('-', '_')}-{version}-py3-none-any.whl" for version in versions]
        links = "".join(f'<a href="{file}">{file}</a>' for file in files)
        page.write_text(f"<!DOCTYPE html><html><body>{links}</body></html>", encoding="utf-8")
    write_stand_in(tmp_path / "packages", backend="jax")
    write_script(
        tmp_path / "bin" / "uv",
        f"""
        echo "$@" >> "{tmp_path}/uv.log"
        for last; do :; done
        version="${{last#*==}}"
        [ "$version" = 3.98.0.dev2026010503 ] && {{ echo "error: No such wheel" >&2; exit 1; }}
        while [ "$1" ]; do
            if [ "$1" = --target ]; then
                mkdir -p "$2" && cp -r "{tmp_path}/packages/." "$2"
                sed -i "s/3.99.0/$version/" "$2/keras/__init__.py"
                case "$version" in
                    3.97.0 | *dev2026010[1-4]*) ;;
                    *) sed -i "s/103.939/104.939/" "$2/keras/applications/imagenet_utils.py";;
                esac
            fi
            shift
        done""",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("vggprep.releases.questions.questions", lambda: [question(), question(mode="tf")])
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for uv is a shell script")
def test_a_day_is_found_in_an_index_and_what_was_observed_is_kept(index: Path) -> None:
    ends = "keras[jax]", "3.98.0.dev2026010103", "3.98.0.dev2026010903"
    said = vggprep("bisect", *ends, "--nightly", "--json", cwd=index)
    assert said.returncode == 1, said.stderr
    found = json.loads(said.stdout)
    assert found["before"] == {"build": "keras-nightly[jax]==3.98.0.dev2026010403", "day": "2026-01-04"}
    assert found["after"]["day"] == "2026-01-06"
    assert found["not_run_between"] == ["keras-nightly[jax]==3.98.0.dev2026010503"]
    assert "No such wheel" in next(one["why_not"] for one in found["tries"] if one["why_not"])
    assert [one["levels"] for one in found["differences"]] == [1.0]
    installed = (index / "uv.log").read_text(encoding="utf-8").splitlines()
    again = vggprep("bisect", *ends, "--nightly", cwd=index)
    assert "First changed after keras-nightly[jax]==3.98.0.dev2026010403 (2026-01-04), in " in again.stdout
    assert "up to 1 grey level" in again.stdout
    more = (index / "uv.log").read_text(encoding="utf-8").splitlines()[len(installed) :]
    assert all(line.endswith("2026010503") for line in more)  # what failed is tried again
    same = vggprep("bisect", "keras[jax]", "3.98.0.dev2026010103", "3.98.0.dev2026010403", cwd=index)
    assert (same.returncode, same.stdout) == (0, "nothing differs\n")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for uv is a shell script")
def test_a_watch_prints_a_report_whose_program_shows_what_it_says(index: Path) -> None:
    said = vggprep("watch", "keras[jax]", cwd=index)
    assert said.returncode == 1, said.stderr
    head, *_ = said.stdout.splitlines()
    assert head == "# keras-nightly[jax]==3.98.0.dev2026010903 behaves otherwise than keras[jax]==3.97.0"
    first, last = "keras-nightly[jax]==3.98.0.dev2026010603 (2026-01-06)", "keras-nightly[jax]==3.98.0.dev2026010403"
    assert f"First in {first}, not yet in {last}" in said.stdout
    assert "# then: right" in said.stdout
    (program,) = re.findall(r"```python\n(.*?)```", said.stdout, flags=re.S)
    printed = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONPATH": str(overlay)}, capture_output=True, text=True, check=True,
        ).stdout
        for overlay in sorted((index / "cache" / "vggprep" / "releases" / "overlays").glob("*2026010[49]*"))
    ]  # fmt: skip
    values = [np.fromstring(re.sub(r"[][]|chatter.*", " ", text), sep=" ") for text in printed]
    assert np.allclose(values[0].reshape(-1, 3) - values[1].reshape(-1, 3), [1, 0, 0], atol=1e-3)
    same = vggprep("watch", "keras[jax]", "--no-since", cwd=index)
    assert "First in" not in same.stdout


def test_a_weekly_watch_tells_on_the_monday_after_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    change = next(c for c in record.history(path="tensor") if c.release == "keras==3.12.0" and c.difference.matters)
    builds = [Build("keras", f"3.12.0.dev202510{day:02}03", date(2025, 10, day)) for day in range(1, 27)]
    old, new = (record.shipped().observation(name) for name in (change.before, change.release))
    monkeypatch.setattr(bisection, "nightlies", lambda *ends: builds)

    def observe(one: Build, asked: Sequence[Question]) -> Observation:
        return new if one.day and one.day >= date(2025, 10, 9) else old

    monkeypatch.setattr(bisection, "search", functools.partial(search, observe=observe))
    monkeypatch.setattr(record, "history", lambda: [change])
    told: list[watch.Told] = []
    watch.backtest(told.append, date(2025, 1, 1))
    (one,) = told
    assert one.first is not None
    assert (one.first.day, one.watched, one.days) == (date(2025, 10, 9), date(2025, 10, 13), 14)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bisect", "keras", "3.12.0", "3.11.0"], "3.12.0 is not older than 3.11.0: name the older one first"),
        (
            ["bisect", "keras", "3.12.0", "3.12.9"],
            "keras==3.12.9 is not a final release .*did you mean keras==3.12.3 or ",
        ),
        (["bisect", "torch", "1.0", "2.0"], "torch==1.0 is not a release; expected "),
        (["bisect", "keras", "3.11.0", "3.12.0", "--nightly"], "cannot list keras-nightly: .*; is the package index "),
        (["watch", "tensorflow"], "tensorflow has no nightly builds to watch; expected keras, tf_keras or keras-hub"),
    ],
)
def test_what_cannot_be_searched_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "none").as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    assert re.search(said, one_line(vggprep(*arguments, cwd=tmp_path)))


def test_a_change_that_came_and_went_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = record.shipped().observation("keras==3.12.0")
    side = record.shipped().observation("keras==3.11.0")
    came = bisection.came_and_went(build("keras", "3.11.0"), build("keras", "3.13.2"), side, lambda one: one)
    assert [one.version for one in came] == ["3.12.0", "3.12.4"]
    assert bisection.came_and_went(build("keras", "3.12.0"), build("keras", "3.13.2"), wrong, lambda one: one) == []
