"""What a person names, as one side of a comparison: releases, interpreters and files."""

from __future__ import annotations

import importlib.util

import pytest

from vggprep import releases
from vggprep.releases import canonical, counterpart, load_side, nearest, observation
from vggprep.releases.changes import compare
from vggprep.releases.observation import Observation, ObservationError
from vggprep.releases.questions import questions
from vggprep.releases.record import shipped


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("keras==3.99", r"keras==3.99 is not in the record; nearest: keras==3\.15\.1; --install observes it"),
        ("keras==3.0.3", r"nearest: keras==3\.0\.0 and keras==3\.0\.5"),
        ("keras[torch]==3.13.0", r"nearest: keras\[torch\]==3\.12\.0 and keras\[torch\]==3\.15\.1"),
        ("keras==2.99.0", r"not a final release from 2\.1\.0 on; did you mean keras==2\."),
        ("keras==0.3", r"not a final release"),
        ("numpy==2.0", r"is not a release; expected keras-applications, .* or keras-hub"),
        ("keras==", r"is not a release"),
        ("keras==3.x", r"3\.x is not a version; expected one such as 3\.15\.1"),
        ("keras==3.15.1rc1", r"not a final release from 2\.1\.0"),
        ("keras[theano]==3.0.0", r"a backend must be tensorflow, torch, jax, numpy or openvino"),
        ("keras[torch]==2.15.0", r"only Keras 3 has backends"),
        ("tensorflow==2.15.0", r"tf.keras is the package keras"),
        ("nothing.jsonl", r"cannot read nothing.jsonl"),
        ("python:/no/such/python", r"cannot start the interpreter"),
    ],
)
def test_a_side_that_cannot_be_had_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(ObservationError, match=rf"^.*{message}.*$"):
        load_side(spec)


def test_spellings_of_a_release() -> None:
    assert canonical("keras[tensorflow]==3.15.1") == "keras==3.15.1"
    assert canonical("tf-keras==2.21.0") == "tf_keras==2.21.0"
    assert canonical("Keras==2.15.0") == "keras==2.15.0"


def test_a_release_that_is_not_recorded_is_installed_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "install_and_observe", lambda name, progress: Observation({"named": name}, {}))
    assert load_side("Keras==3.99", install=True).running == {"named": "keras==3.99"}


def test_releases_are_ordered_as_versions_are() -> None:
    assert nearest("keras==3.8.1") == ["keras==3.8.0", "keras==3.9.0"]
    assert nearest("keras==3.12.0rc1") == ["keras==3.11.3", "keras==3.12.0"]
    assert nearest("keras==3.16.0rc1") == ["keras==3.15.1"]
    assert nearest("keras==0.1") == ["keras==2.1.1"]


def test_an_observation_is_compared_with_its_release_or_the_nearest_older() -> None:
    assert counterpart(shipped().observation("keras==3.15.1")) == "keras==3.15.1"
    running = dict(shipped().observation("keras[jax]==3.15.1").running)
    assert counterpart(Observation(running | {"keras": "3.16.0"}, {})) == "keras[jax]==3.15.1"
    with pytest.raises(ObservationError, match="nothing like theano"):
        counterpart(Observation(running | {"target": "theano"}, {}))


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="Keras is not installed")
def test_the_installed_keras_does_what_its_release_is_recorded_to_do() -> None:
    eager = ("ndarray", "tensor", "variable")
    asked = [q for q in questions() if q.path in eager and not (q.floatx or q.after)]
    installed = observation.observe("keras", asked=asked)
    differences = compare(shipped().observation(counterpart(installed)), installed)
    assert [d.sentence for d in differences if d.matters] == []
