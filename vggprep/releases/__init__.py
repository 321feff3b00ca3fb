"""How Keras releases behave: a record that ships with the package, and how to ask for one side of a comparison.

``load_side`` turns what a person names (a file, an interpreter, a release) into an observation; ``record.history``
lists what changed between the recorded releases. ``python -m vggprep.releases rebuild`` makes the record from nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from packaging.version import InvalidVersion, Version

from vggprep.releases import observation, record
from vggprep.releases.changes import listed
from vggprep.releases.environments import PUBLISHED, install_and_observe
from vggprep.releases.observation import Interpreter, Observation, ObservationError, Progress

_RELEASE = re.compile(r"([A-Za-z_-]+)(?:\[(\w+)\])?==([\w.]+)")
_PACKAGES = {"tf-keras": "tf_keras", "keras_hub": "keras-hub", "keras_applications": "keras-applications"}


def load_side(spec: str, *, install: bool = False, progress: Progress | None = None) -> Observation:
    """One side of a comparison: a file, ``python:INTERPRETER``, or a release such as ``keras==2.15.0``.

    A release is looked up in the record; one that is not there is installed and observed if ``install`` says so.
    ``keras[torch]==3.15.1`` names a backend; ``tensorflow==2.4.4`` is its tf.keras.
    """
    if spec.startswith("python:"):
        return observation.observe(interpreter=Interpreter(spec.removeprefix("python:")), progress=progress)
    if "==" not in spec or Path(spec).exists():
        return observation.read(Path(spec))
    name = canonical(spec)
    if name in record.shipped().names():
        return record.shipped().observation(name)
    if install:
        return install_and_observe(name, progress=progress)
    around = nearest(name)
    near = f"; nearest: {listed(around)}" if around else ""
    raise ObservationError(f"{name} is not in the record{near}; --install observes it")


def canonical(spec: str) -> str:
    """A release as the record names it; an error if no such release was ever published."""
    match = _RELEASE.fullmatch(spec.strip())
    package, backend, version = match.groups() if match else ("", None, "")
    package = _PACKAGES.get(package.lower(), package.lower())
    if package not in PUBLISHED:
        packages = listed(PUBLISHED, "or")
        raise ObservationError(f"{spec} is not a release; expected {packages} with a version, such as keras==3.15.1")
    number = _number(version)
    backend = None if backend == "tensorflow" else backend
    if backend not in (None, "torch", "jax", "numpy", "openvino") or (
        backend and (package != "keras" or number.major < 3)
    ):
        raise ObservationError(
            f"{spec}: a backend must be tensorflow, torch, jax, numpy or openvino, and only Keras 3 has backends"
        )
    published = PUBLISHED[package]
    newest = Version(published[-1])
    if package == "tensorflow" and number > newest:
        raise ObservationError(f"{spec}: from TensorFlow 2.6 on, tf.keras is the package keras; name one of keras")
    if version not in published and number <= newest:
        close = sorted(sorted(published, key=lambda known: _distance(Version(known), number))[:2], key=Version)
        known = listed([f"{package}=={v}" for v in close], "or")
        raise ObservationError(f"{spec} is not a final release from {published[0]} on; did you mean {known}?")
    return f"{package}{f'[{backend}]' if backend else ''}=={version}"


def _number(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        raise ObservationError(f"{version} is not a version; expected one such as 3.15.1") from None


def _distance(known: Version, number: Version) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(known.release, (*number.release, 0, 0), strict=False))


def nearest(name: str) -> list[str]:
    """The recorded releases before and after one that is not recorded, of the same package and backend."""
    package, version = name.split("==")
    number = _number(version)
    same = [other for other in record.shipped().names() if other.split("==")[0] == package]
    before = [other for other in same if Version(other.split("==")[1]) < number]
    after = [other for other in same if Version(other.split("==")[1]) > number]
    return before[-1:] + after[:1]


def counterpart(observed: Observation) -> str:
    """The recorded release to compare an observation with: the same one, else the nearest older one."""
    running = observed.running
    if not {"target", "backend", "keras"} <= running.keys():
        raise ObservationError("the observation does not say which release it describes; observe again")
    package = {"tensorflow.keras": "tensorflow"}.get(running["target"], running["target"])
    backend = running["backend"]
    name = f"{package}{'' if backend == 'tensorflow' else f'[{backend}]'}=={running['keras']}"
    if name in record.shipped().names():
        return name
    around = nearest(name)
    if not around:
        raise ObservationError(f"nothing like {name} is in the record; compare two observations of your own")
    return around[0]
