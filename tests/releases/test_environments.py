"""The environments of releases, built with a stand-in for uv."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stand_in import question, write_script, write_stand_in, write_uv

from vggprep.releases import environments
from vggprep.releases.changes import compare
from vggprep.releases.environments import (
    Combination,
    _combination,
    build_base,
    build_overlay,
    check_running,
    install_and_observe,
)
from vggprep.releases.observation import MachineError, Observation, ObservationError


@pytest.fixture
def uv_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What uv is asked for, which installs the stand-in for Keras on JAX."""
    write_stand_in(tmp_path / "packages", backend="jax")
    write_uv(tmp_path / "bin", tmp_path / "packages")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path / "bin" / "uv.log"


def test_every_environment_that_a_combination_names_is_declared() -> None:
    names = [combination.name for combination in environments.combinations()]
    assert len(set(names)) == len(names)
    for combination in environments.combinations():
        assert combination.base in environments.BASES
        package, version = combination.release.split("==")
        assert version in environments.PUBLISHED[package]


@pytest.mark.parametrize("has_jax", [True, False])
def test_a_release_is_installed_observed_and_kept(
    uv_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_jax: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if has_jax else None)
    monkeypatch.setattr("vggprep.releases.questions.questions", lambda: [question()])
    observed = install_and_observe("keras[jax]==3.99.0")
    assert observed.running["keras"] == "3.99.0"
    assert observed.rows[question().id].verdict == "right"
    asked = uv_log.read_text().splitlines()
    assert [line.split()[0] for line in asked] == (["pip"] if has_jax else ["venv", "pip", "pip"])
    assert asked[-1].endswith(" keras==3.99.0")
    assert compare(observed, install_and_observe("keras[jax]==3.99.0")) == []
    assert uv_log.read_text().splitlines() == asked
    # A later vggprep asks more.
    monkeypatch.setattr("vggprep.releases.questions.questions", lambda: [question(), question(mode="tf")])
    assert len(install_and_observe("keras[jax]==3.99.0").rows) == 2


def test_what_is_built_is_not_built_again(uv_log: Path, tmp_path: Path) -> None:
    for _ in range(2):
        python = build_base("tf-1.15.0", tmp_path)
        assert build_overlay(("keras==2.3.1",), python, tmp_path) == tmp_path / "overlays" / "keras==2.3.1"
    assert len(uv_log.read_text().splitlines()) == 3
    assert build_overlay((), python, tmp_path) is None


def test_what_uv_cannot_build_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_CANNOT", {})
    write_script(tmp_path / "bin" / "uv", 'echo starting >&2; echo "error: No luck" >&2; exit 2')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with pytest.raises(
        ObservationError, match=r"^uv cannot install Python 3.6: error: No luck; install Python 3.6 .*$"
    ):
        build_base("tf-1.15.0", tmp_path)
    write_script(tmp_path / "bin" / "uv", 'echo "error: another" >&2; exit 2')
    with pytest.raises(ObservationError, match=r"^uv cannot install Python 3.6: error: No luck; "):
        build_base("tf-1.15.0", tmp_path)  # is not tried again
    write_script(tmp_path / "bin" / "uv", 'echo "error: No luck" >&2; exit 2')
    with pytest.raises(MachineError, match=r"^uv cannot install keras==9: error: No luck; is the package index .*$"):
        build_overlay(("keras==9",), None, tmp_path)
    write_script(tmp_path / "bin" / "uv", 'mkdir -p "$7"; printf "error: Failed\\n  Caused by: no such\\n" >&2; exit 1')
    with pytest.raises(ObservationError, match=r"^uv cannot install keras==9: no such; choose what .*$") as caught:
        build_overlay(("keras==9",), None, tmp_path)
    assert not isinstance(caught.value, MachineError)  # another release may do
    assert not list((tmp_path / "overlays").glob("*"))
    write_script(tmp_path / "bin" / "uv", 'echo "error: No space left on device (os error 28)" >&2; exit 1')
    with pytest.raises(MachineError, match=r"^uv cannot install keras==9: .*28\); is .* room on the disk\?$"):
        build_overlay(("keras==9",), None, tmp_path)


def test_a_cache_that_cannot_be_written_is_one_line(
    uv_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        ObservationError, match=r"^cannot install keras\[jax\]==3.99.0 into .*: .*; make room there, or set"
    ):
        install_and_observe("keras[jax]==3.99.0")


def test_without_uv_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ObservationError, match=r"uv is not installed, .*: pip install uv"):
        build_overlay(("keras==3.15.1",), None, tmp_path)


@pytest.mark.parametrize(
    ("name", "base", "overlay"),
    [
        ("keras==3.12.0", "tf-2.21.0", ["keras==3.12.0"]),
        ("keras==3.12.1", "tf-2.21.0", ["keras==3.12.1"]),
        ("keras==2.1.0", "tf-1.10.0", ["keras==2.1.0"]),
        ("keras[torch]==3.99", "torch-2.13.0", ["keras==3.99"]),
        ("keras==2.2.1", "tf-1.10.0", ["keras==2.2.1", "keras-applications==1.0.2"]),
        ("tensorflow==2.5.3", "tf-2.5.3", []),
        ("keras-nightly==3.0.0.dev2023102803", "tf-2.21.0", ["keras-nightly==3.0.0.dev2023102803"]),
        ("keras-nightly==2.7.0.dev2021070900", "tf-2.7.4", ["keras-nightly==2.7.0.dev2021070900"]),
    ],
)
def test_a_release_gets_its_own_environment_or_that_of_its_predecessor(
    name: str, base: str, overlay: list[str]
) -> None:
    found = _combination(name)
    assert (found.name, found.base, list(found.overlay)) == (name, base, overlay)


def test_a_tensorflow_that_is_not_recorded_has_no_environment() -> None:
    with pytest.raises(ObservationError, match=r"tensorflow==2.4.1 has no environment .*; nearest: tensorflow==2.4.0"):
        _combination("tensorflow==2.4.1")


def test_another_release_than_the_one_named_is_refused() -> None:
    combination = Combination("keras==3.5.0", "tf-2.21.0")
    ran = Observation({"target": "keras", "keras": "3.15.1", "backend": "tensorflow"}, {})
    with pytest.raises(ObservationError, match=r"keras==3.5.0: keras 3.15.1 on tensorflow ran instead"):
        check_running(combination, ran)
