"""Making the record from nothing, or again for some releases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stand_in import RAISES, RIGHT, question

from vggprep.releases import __main__, observation, rebuild
from vggprep.releases.environments import Combination, observation_file
from vggprep.releases.observation import Observation, ObservationError
from vggprep.releases.record import FILE, Recorded, pack, unpack

OLD = Observation({"keras": "old"}, {question().id: RIGHT})
NEW = Observation({"keras": "new"}, {question().id: replace(RAISES, message="")})


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every release be observed as NEW but those named, which cannot be."""

    def losing(*names: str) -> None:
        def observe(combination: Combination, directory: Path) -> Observation:
            if combination.name in names:
                raise ObservationError("no such luck")
            return NEW

        monkeypatch.setattr(rebuild, "observe_combination", observe)

    def build(name: str, directory: Path) -> Path:
        raise ObservationError("no interpreter")

    monkeypatch.setattr(rebuild, "build_base", build)
    return losing


def test_rebuilding_some_releases_keeps_what_is_recorded_of_the_others(
    tmp_path: Path, lose: Callable[..., None]
) -> None:
    recorded, again, lost = "keras==3.0.0", "keras==3.12.0", "keras==3.0.5"
    lose(lost)
    output = tmp_path / "record"
    before = [(Recorded(name, "keras", {}), OLD) for name in (recorded, lost, again)]
    output.write_bytes(pack(before, {"keras==3.4.1": "no interpreter"}))
    reports: list[str] = []
    rebuild.rebuild(tmp_path, output, only=[again, lost], workers=1, report=reports.append)
    rebuilt = unpack(output.read_bytes())
    assert rebuilt.names() == [recorded, again]
    assert rebuilt.observation(recorded).rows == OLD.rows
    assert rebuilt.observation(again).rows == NEW.rows
    reasons = {"keras==3.4.1": "no interpreter", lost: "no such luck", "keras==2.15.0": "not observed"}
    assert reasons.items() <= rebuilt.not_run.items()
    assert "tf-2.21.0: no interpreter" in reports
    assert f"{lost}: not run: no such luck" in reports
    assert sorted(path.name for path in tmp_path.iterdir()) == ["observations", "record"]


@pytest.mark.parametrize("resume", [True, False])
def test_an_observation_that_is_there_is_kept_to_resume_only(
    tmp_path: Path, lose: Callable[..., None], resume: bool
) -> None:
    lose()
    kept = observation_file("keras==3.12.0", tmp_path)
    kept.parent.mkdir()
    observation.write(OLD, kept)
    rebuild.rebuild(tmp_path, tmp_path / "record", only=["keras==3.12.0"], resume=resume)
    found = unpack((tmp_path / "record").read_bytes()).observation("keras==3.12.0")
    assert found == (OLD if resume else NEW)


def test_a_record_of_nothing_is_not_written(tmp_path: Path, lose: Callable[..., None]) -> None:
    lose("keras==3.15.1")
    with pytest.raises(ObservationError, match="no combination could be observed"):
        rebuild.rebuild(tmp_path, tmp_path / "record", only=["keras==3.15.1"])
    assert not (tmp_path / "record").exists()


def command(folder: Path, *more: str) -> Result:
    arguments = ["keras==3.15.1", "--output", str(folder / "record"), "--directory", str(folder), *more]
    return CliRunner().invoke(__main__.main, ["rebuild", *arguments])


def test_the_command_passes_its_options_on(tmp_path: Path, lose: Callable[..., None]) -> None:
    lose()
    done = command(tmp_path, "--workers", "1")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path / 'record'}: 1 releases, ")
    assert unpack((tmp_path / "record").read_bytes()).names() == ["keras==3.15.1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keras==0.1"], "the record has no release keras==0.1"),
        (["--workers", "0"], "0 is not in the range"),
        (["--output", "nowhere/record"], "cannot write nowhere/record: there is no folder nowhere"),
        (["--output", "."], "cannot write .: it is a folder"),
    ],
)
def test_rebuilding_what_cannot_be_is_a_usage_error_at_once(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(__main__.main, ["rebuild", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr


def test_rebuilding_some_releases_of_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(FILE.read_bytes()[:1000])
    done = command(tmp_path)
    assert done.exit_code == 2
    assert "missing or damaged" in done.stderr
    assert done.stderr.count("\n") == 1
