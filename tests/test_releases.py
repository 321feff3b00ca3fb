"""The record of releases: that it holds what is known of them, answers fast, and says what it does not hold."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from stand_in import question, write_stand_in

from vggprep import releases
from vggprep.releases import (
    __main__,
    canonical,
    environments,
    history,
    install_and_observe,
    load_side,
    nearest,
    observation,
    rebuild,
    record,
)
from vggprep.releases.changes import compare
from vggprep.releases.observation import Observation, ObservationError, Row
from vggprep.releases.record import FILE, Change, Recorded, adjacent, pack, unpack

RIGHT = Row(dtype="float32", shape=(4, 5, 3), digest="a", verdict="right", levels=0.0)
RAISES = Row(error="TypeError")


@cache
def changes() -> tuple[Change, ...]:
    return tuple(history())


def change(release: str, *words: str) -> Change:
    """The one change of that release whose sentence has all the words."""
    found = [c for c in changes() if c.release == release and all(word in c.difference.sentence for word in words)]
    assert found, [c.difference.sentence for c in changes() if c.release == release]
    return found[0]


# ---- what the record holds -------------------------------------------------------------------------------------------


def test_the_record_is_small_and_holds_many_releases() -> None:
    assert FILE.stat().st_size < 500_000
    assert len(record().releases) >= 24
    assert {release.running["backend"] for release in record().releases} == {"tensorflow", "torch", "jax"}


def test_every_recorded_release_is_the_one_named_and_the_rest_are_accounted_for() -> None:
    ran = {release.name: release.running for release in record().releases}
    for combination in environments.combinations():
        if combination.name in ran:
            assert combination.release.split("==")[1] in ran[combination.name].values()
            assert ran[combination.name]["backend"] == combination.backend
        else:
            assert record().not_run[combination.name]


def test_the_array_path_has_been_frozen_since_2_2_0() -> None:
    plain = [
        question("ndarray", dtype, mode=mode, data_format="channels_last", pixels="bytes", shape=(2, 4, 5, 3))
        for mode in ("caffe", "tf", "torch")
        for dtype in ("uint8", "float32", "float64")
    ]
    ids = [f"path=ndarray mode={dict(q.attributes)['mode']} data_format=channels_last" for q in plain]
    names = record().names()
    for release in names[names.index("keras==2.2.0") :]:
        rows = record().observation(release).rows
        for start, q in zip(ids, plain, strict=True):
            row = rows[f"{start} dtype={dict(q.attributes)['dtype']} pixels=bytes shape=2x4x5x3"]
            assert row.verdict == "right"
            assert (
                row.digest
                == record()
                .observation(names[-1])
                .rows[f"{start} dtype={dict(q.attributes)['dtype']} pixels=bytes shape=2x4x5x3"]
                .digest
            )


KNOWN = [
    ("keras==2.1.2", ("graphs", "caffe mode", "now right", "before, raises TypeError or AttributeError")),
    ("keras==2.1.2", ("data_format 'unknown'", "now raises ValueError; before, raises AssertionError")),
    ("keras==2.1.3", ("torch mode", "now right; before, the result of mode caffe")),
    ("keras==2.1.3", ("caffe mode asked after torch: now the mean of mode torch; before, right",)),
    ("keras==2.2.0", ("nteger arrays: now right; before, raises TypeError",)),
    ("keras-applications==1.0.7", ("mobilenet_v2: now right; before, x / 128 - 1",)),
    ("tensorflow==2.2.0", ("caffe mode asked after torch: now right; before, the mean of mode torch",)),
    ("tensorflow==2.3.0", ("with mode 'unknown'", "now raises ValueError; before, taken for mode caffe")),
    ("tensorflow==2.5.0", ("4-D channels_first", "torch mode: now right; before, the std along the width, silently")),
    ("tensorflow==2.5.0", ("float16, bfloat16", "torch mode: now raises TypeError; before, right")),
    ("keras==2.7.0", ("float16", "torch mode: now right; before, raises TypeError")),
    ("keras==3.0.0", ("loat64", "caffe and torch mode: now right; before, only as precise as float32")),
    ("keras==3.0.0", ("4 channels in, 3 out",)),
    ("keras==3.0.0", ("unknown rank: now raises ValueError; before, right",)),
    ("keras==3.5.0", ("ariables", "now right; before, raises")),
    # On torch and JAX the same variables were silently wrong before.
    ("keras[torch]==3.5.0", ("Uint8 and int32 variables in tf mode", "now right; before, x / 128 - 1")),
    ("keras[jax]==3.5.0", ("Bool variables in tf and torch mode: now right; before, wrong",)),
    ("keras==3.6.0", ("omplex64 eager tensors",)),
    ("keras[jax]==3.6.0", ("Complex64 eager tensors",)),
    # Not known before it was recorded: Keras 3.7.0 takes a mean that fits the last axis for a bias along that axis.
    ("keras==3.7.0", ("4-D channels_first float32 functional models", "now the mean along the width; before, right")),
    ("keras==3.12.0", ("3-D channels_first", "now right; before, the mean along the height, silently")),
]


@pytest.mark.parametrize(("release", "words"), KNOWN, ids=[f"{release}-{i}" for i, (release, _) in enumerate(KNOWN)])
def test_what_is_known_of_releases_is_found_in_the_data(release: str, words: tuple[str, ...]) -> None:
    assert change(release, *words).adjacent


def test_a_change_names_a_release_only_after_its_published_predecessor() -> None:
    for found in changes():
        assert found.when == (found.release if found.adjacent else f"after {found.before}, by {found.release}")
    assert adjacent("keras==3.11.3", "keras==3.12.0")
    assert adjacent("keras[torch]==3.11.3", "keras[torch]==3.12.0")
    assert adjacent("keras==2.15.0", "keras==3.0.0")
    assert adjacent("tensorflow==2.5.3", "keras==2.6.0")
    assert adjacent("keras==2.2.4", "keras-applications==1.0.7")
    assert not adjacent("keras==3.9.0", "keras==3.9.2")
    assert not adjacent("keras==3.12.0", "keras==3.11.3")


def test_history_can_be_narrowed() -> None:
    some = history(mode="torch", path="xla")
    assert 0 < len(some) < len(changes())
    assert all(any("mode=torch" in row for row in c.difference.rows) for c in some)


def test_a_diff_of_recorded_releases_takes_less_than_two_seconds() -> None:
    program = (
        "import time; start = time.perf_counter()\n"
        "from vggprep.releases.changes import compare\n"
        "from vggprep.releases import load_side\n"
        "assert compare(load_side('keras==2.15.0'), load_side('keras==3.15.1'))\n"
        "print(time.perf_counter() - start)"
    )
    seconds = float(subprocess.check_output([sys.executable, "-c", program]))
    assert seconds < 2


# ---- packing ---------------------------------------------------------------------------------------------------------


def test_packing_loses_nothing_that_is_compared() -> None:
    first = Observation({"keras": "1"}, {question().id: RIGHT, question("tensor").id: RAISES})
    second = Observation({"keras": "2"}, {question().id: replace(RIGHT, digest="b")})
    third = Observation({"keras": "3"}, {question().id: replace(RIGHT, digest="b"), question("xla").id: RIGHT})
    observed = [(Recorded(f"keras=={i}", "keras", o.running), o) for i, o in enumerate((first, second, third))]
    packed = unpack(pack(observed, {"keras==9": "no such release"}))
    for recorded, original in observed:
        assert packed.observation(recorded.name) == original
    assert packed.not_run == {"keras==9": "no such release"}


def test_messages_and_warnings_are_not_recorded() -> None:
    said = Observation({}, {question().id: replace(RAISES, message="at 0x7f", warnings=("UserWarning",))})
    packed = unpack(pack([(Recorded("keras==1", "keras", {}), said)], {}))
    assert packed.observation("keras==1").rows[question().id] == RAISES


def test_a_damaged_record_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "record").write_bytes(b"not a record")
    monkeypatch.setattr("vggprep.releases.record.FILE", tmp_path / "record")
    with pytest.raises(ObservationError, match="missing or damaged"):
        record.__wrapped__()


# ---- sides of a comparison -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("keras==3.99", r"keras==3.99 is not in the record; nearest: keras==3\.15\.1; --install observes it"),
        ("keras==3.0.3", r"nearest: keras==3\.0\.0 and keras==3\.0\.5"),
        ("keras[torch]==3.13.0", r"nearest: keras\[torch\]==3\.12\.0 and keras\[torch\]==3\.15\.1"),
        ("keras==2.99.0", r"no final release since 2\.1\.0; did you mean keras==2\."),
        ("keras==0.3", r"no final release"),
        ("numpy==2.0", r"names no release; give keras-applications, .* or tf_keras"),
        ("keras==", r"names no release"),
        ("keras[theano]==3.0.0", r"a backend is torch, jax or tensorflow"),
        ("keras[torch]==2.15.0", r"only Keras 3 has them"),
        ("tensorflow==2.15.0", r"tf.keras is the package keras"),
        ("nothing.jsonl", r"cannot read nothing.jsonl"),
        ("python:/no/such/python", r"cannot start the interpreter"),
    ],
)
def test_a_side_that_cannot_be_had_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(ObservationError, match=message) as caught:
        load_side(spec)
    assert "\n" not in str(caught.value)


def test_spellings_of_a_release() -> None:
    assert canonical("keras[tensorflow]==3.15.1") == "keras==3.15.1"
    assert canonical("tf-keras==2.21.0") == "tf_keras==2.21.0"
    assert canonical("Keras==2.15.0") == "keras==2.15.0"
    assert nearest("keras==3.8.1") == ["keras==3.8.0", "keras==3.9.0"]


def test_an_observation_is_held_against_its_release_or_the_nearest_older() -> None:
    assert releases.counterpart(record().observation("keras==3.15.1")) == "keras==3.15.1"
    running = dict(record().observation("keras[jax]==3.15.1").running)
    assert releases.counterpart(Observation(running | {"keras": "3.16.0"}, {})) == "keras[jax]==3.15.1"
    with pytest.raises(ObservationError, match="nothing like theano"):
        releases.counterpart(Observation(running | {"target": "theano"}, {}))


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="Keras is not installed")
def test_the_installed_keras_does_what_its_release_is_recorded_to_do() -> None:
    eager = ("path=ndarray ", "path=tensor ", "path=variable ")
    asked = [q for q in observation.questions.questions() if q.group != "floatx" and q.id.startswith(eager)]
    installed = observation.observe("keras", asked=asked)
    differences = compare(record().observation(releases.counterpart(installed)), installed)
    assert [d.sentence for d in differences if d.matters] == []


def test_every_environment_that_a_combination_names_is_declared() -> None:
    names = [combination.name for combination in environments.combinations()]
    assert len(set(names)) == len(names)
    for combination in environments.combinations():
        assert combination.base in environments.BASES
        package, version = combination.release.split("==")
        assert version in environments.PUBLISHED[package]


def test_a_release_is_installed_observed_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stand_in(tmp_path / "overlay")
    built = []

    def build(packages: tuple[str, ...], python: Path | None, directory: Path) -> Path:
        built.append(packages)
        return tmp_path / "overlay"

    monkeypatch.setattr(releases, "build_overlay", build)
    monkeypatch.setattr(releases, "build_base", lambda name, directory: Path(sys.executable))
    monkeypatch.setattr(releases, "check_running", lambda combination, observed: None)
    monkeypatch.setattr(observation.questions, "questions", lambda: [question()])
    observed = install_and_observe("keras==3.99.0", tmp_path)
    assert observed.running["keras"] == "3.99.0"
    assert compare(observed, install_and_observe("keras==3.99.0", tmp_path)) == []
    assert built == [("keras==3.99.0",)]


def test_another_release_than_the_one_named_is_refused(tmp_path: Path) -> None:
    combination = environments.Combination("keras==3.5.0", "tf-2.21.0")
    ran = Observation({"target": "keras", "keras": "3.15.1", "backend": "tensorflow"}, {})
    with pytest.raises(ObservationError, match=r"keras==3.5.0: keras 3.15.1 on tensorflow ran instead"):
        releases.check_running(combination, ran)


def test_a_python_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "find_interpreter", lambda version: None)
    with pytest.raises(ObservationError, match=r"no Python 3.6 found for tf-1.15"):
        environments.build_base("tf-1.15", tmp_path)


def test_rebuilding_some_releases_keeps_what_is_recorded_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, again, lost = "keras==3.0.0", "keras==3.12.0", "keras==3.0.5"
    seen = Observation({"keras": "old"}, {question().id: RIGHT})
    now = Observation({"keras": "new"}, {question().id: RAISES})

    def observe(combination: environments.Combination, directory: Path) -> Observation:
        if combination.name == lost:
            raise ObservationError("no such luck")
        return now

    monkeypatch.setattr(rebuild, "build_base", lambda name, directory: Path(sys.executable))
    monkeypatch.setattr(rebuild, "observe_combination", observe)
    output = tmp_path / "record"
    before = [(Recorded(name, "keras", {}), seen) for name in (recorded, lost, again)]
    output.write_bytes(pack(before, {"keras==3.4.1": "no interpreter"}))
    rebuild.rebuild(tmp_path, output, {again, lost}, 1, True, lambda line: None)
    rebuilt = unpack(output.read_bytes())
    assert rebuilt.names() == [recorded, again]
    assert rebuilt.observation(recorded).rows == seen.rows
    assert rebuilt.observation(again).rows == now.rows
    reasons = {"keras==3.4.1": "no interpreter", lost: "no such luck", "keras==2.15.0": "not observed"}
    assert reasons.items() <= rebuilt.not_run.items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keras==0.1"], "not among the combinations: keras==0.1"),
        (["--workers", "0"], "--workers is 0; give 1 or more"),
        (["--output", "nowhere/record"], "cannot write nowhere/record: give a file in a folder that exists"),
        (["--output", "."], "cannot write .: give a file in a folder that exists"),
    ],
)
def test_rebuilding_what_cannot_be_is_a_usage_error_at_once(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(["rebuild", *arguments])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_rebuilding_some_releases_of_a_damaged_record_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "record").write_bytes(FILE.read_bytes()[:1000])
    output, directory = ["--output", str(tmp_path / "record")], ["--directory", str(tmp_path)]
    assert __main__.main(["rebuild", "keras==3.15.1", *output, *directory]) == 2
    said = capsys.readouterr().err
    assert "missing or damaged" in said
    assert said.count("\n") == 1
