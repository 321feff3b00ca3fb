"""How Keras releases behave: a record that ships with the package, and how to ask for one side of a comparison.

``load_side`` turns what a person names (a file, an interpreter, a release) into an observation; ``history`` lists what
changed between the recorded releases. ``python -m vggprep.releases rebuild`` makes the record from nothing.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from vggprep.releases import observation
from vggprep.releases.environments import (
    BASES,
    LINES,
    PUBLISHED,
    Combination,
    build_base,
    build_overlay,
    cache_directory,
    combinations,
    environment,
)
from vggprep.releases.observation import Observation, ObservationError
from vggprep.releases.rebuild import check_running
from vggprep.releases.record import Change, Record, history, record

__all__ = ["Change", "Record", "counterpart", "history", "install_and_observe", "load_side", "nearest", "record"]

_RELEASE = re.compile(r"([A-Za-z_-]+)(?:\[(\w+)\])?==([\w.]+)")


def load_side(spec: str, *, install: bool = False, progress: Callable[[int, int], None] | None = None) -> Observation:
    """One side of a comparison: a file, ``python:INTERPRETER``, or a release such as ``keras==2.15.0``.

    A release is looked up in the record; one that is not there is installed and observed if ``install`` says so.
    ``keras[torch]==3.15.1`` names a backend; ``tensorflow==2.4.4`` is its tf.keras.
    """
    if spec.startswith("python:"):
        return observation.observe(python=spec.removeprefix("python:"), progress=progress)
    if "==" not in spec or Path(spec).exists():
        return observation.read(spec)
    name = canonical(spec)
    if name in record().names():
        return record().observation(name)
    if install:
        return install_and_observe(name, progress=progress)
    around = nearest(name)
    near = f"; nearest: {_listed(around)}" if around else ""
    raise ObservationError(f"{name} is not in the record{near}; --install observes it")


def canonical(spec: str) -> str:
    """A release as the record names it; an error if none such was ever published."""
    match = _RELEASE.fullmatch(spec.strip())
    package, backend, version = match.groups() if match else ("", None, "")
    package = {"tf-keras": "tf_keras", "keras_applications": "keras-applications"}.get(package.lower(), package.lower())
    if package not in PUBLISHED:
        packages = _listed(PUBLISHED, "or")
        raise ObservationError(f"{spec} names no release; give {packages} with a version, as keras==3.15.1")
    backend = None if backend == "tensorflow" else backend
    if backend not in (None, "torch", "jax") or (backend and (package, version[:2]) != ("keras", "3.")):
        raise ObservationError(f"{spec}: a backend is torch, jax or tensorflow, and only Keras 3 has them")
    published = PUBLISHED[package]
    if package == "tensorflow" and _number(version) > _number(published[-1]):
        raise ObservationError(f"{spec}: from TensorFlow 2.6 on tf.keras is the package keras; give that")
    if version not in published and _number(version) <= _number(published[-1]):
        close = sorted(published, key=lambda known: _distance(known, version))[:2]
        known = _listed([f"{package}=={v}" for v in sorted(close, key=_number)], "or")
        raise ObservationError(f"{spec} is no final release since {published[0]}; did you mean {known}?")
    return f"{package}{f'[{backend}]' if backend else ''}=={version}"


def nearest(name: str) -> list[str]:
    """The recorded releases before and after one that is not recorded, of the same package and backend."""
    package, version = name.split("==")
    recorded = [(_number(other.split("==")[1]), other) for other in record().names() if other.split("==")[0] == package]
    before = [other for number, other in sorted(recorded) if number < _number(version)]
    after = [other for number, other in sorted(recorded) if number > _number(version)]
    return before[-1:] + after[:1]


def counterpart(observed: Observation) -> str:
    """The recorded release to hold an observation against: the same one, else the nearest older one."""
    running = observed.running
    if not {"target", "backend", "keras"} <= running.keys():
        raise ObservationError("the observation does not say which release it is of; observe again")
    package = {"tensorflow.keras": "tensorflow"}.get(running["target"], running["target"])
    backend, version = running["backend"], running["keras"]
    name = f"{package}{'' if backend == 'tensorflow' else f'[{backend}]'}=={version}"
    if name in record().names():
        return name
    around = nearest(name)
    if not around:
        raise ObservationError(f"nothing like {name} is in the record; compare two observations of your own")
    return around[0]


def install_and_observe(
    release: str, directory: Path | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Observation:
    """Build an overlay of a release in the user's cache directory, with uv when present, else pip, and observe it.

    The overlay lies over this interpreter where it has the backend and the release is of Keras 3 or tf_keras 2.16 or
    newer; else over an environment like that of the nearest recorded release, which is built first. The observation is
    kept beside the overlay and read from there the next time.
    """
    name = canonical(release)
    directory = directory or cache_directory()
    combination = _combination(name)
    kept = directory / "observations" / f"{name}.jsonl"
    if kept.exists():
        return observation.read(kept)
    python = None
    if not _modern(combination) or importlib.util.find_spec(combination.backend) is None:
        python = build_base(combination.base, directory)
    overlay = build_overlay(combination.overlay, python, directory)
    observed = observation.observe(
        combination.target, python, environment=environment(combination, overlay), progress=progress
    )
    check_running(combination, observed)
    kept.parent.mkdir(parents=True, exist_ok=True)
    observation.write(observed, kept)
    return observed


def _modern(combination: Combination) -> bool:
    return combination.base == "tf-2.21.0" or combination.backend != "tensorflow"


def _combination(name: str) -> Combination:
    """The environment for a release: its own, or like that of the nearest recorded one below it, else of the first."""
    for combination in combinations():
        if combination.name == name:
            return combination
    package, version = name.split("==")
    same = [c for line in LINES.values() for c in line if c.name.split("==")[0] == package]
    below = [c for c in same if _number(c.name.split("==")[1]) < _number(version)]
    like = max(below, key=lambda c: _number(c.name.split("==")[1])) if below else same[0]
    bare = f"{package.split('[')[0]}=={version}"
    if package == "tensorflow":
        base = f"tf-{version}"
        if base not in BASES:
            raise ObservationError(f"{name} has no environment to install; nearest: {like.name}")
        return Combination(bare, base)
    # Of several packages in an overlay, the one asked for takes the place of its other version.
    others = tuple(other for other in like.overlay if other.split("==")[0] != bare.split("==")[0])
    return Combination(bare, like.base, (bare, *others), like.backend)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))


def _distance(known: str, version: str) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(_number(known), (*_number(version), 0, 0), strict=False))


def _listed(words: Iterable[str], conjunction: str = "and") -> str:
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} {conjunction} {found[-1]}"
