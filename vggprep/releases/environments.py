"""Which releases are recorded, in which environments, how to build these with uv, and how to observe in them.

A TensorFlow environment takes over a gigabyte and serves many Keras releases: each is installed alone, without its
dependencies, into a folder of its own (an overlay), which comes first on ``PYTHONPATH``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

from packaging.version import Version

from vggprep.files import cache_folder
from vggprep.releases import observation, questions
from vggprep.releases.observation import Interpreter, MachineError, Observation, ObservationError, Progress
from vggprep.releases.questions import Question

NIGHTLY = "-nightly"
"""What the name of a package of nightly builds ends with, ``keras-nightly`` for instance."""


@dataclass(frozen=True)
class Base:
    """An environment that several releases share: a Python version and what is installed for it."""

    python: str
    requirements: tuple[str, ...]


@dataclass(frozen=True)
class Combination:
    """One release on one backend. ``release`` as a requirement; that of TensorFlow stands for its tf.keras."""

    release: str
    base: str
    overlay: tuple[str, ...] = ()
    backend: str = "tensorflow"

    @property
    def name(self) -> str:
        """The release with its backend, ``keras[torch]==3.15.1``; TensorFlow goes without saying."""
        package, version = self.release.split("==")
        return self.release if self.backend == "tensorflow" else f"{package}[{self.backend}]=={version}"

    @property
    def target(self) -> str:
        """The module to observe: tf.keras for a release of TensorFlow, Keras for one of KerasHub."""
        package = self.release.split("==")[0].removesuffix(NIGHTLY)
        return {"tensorflow": "tensorflow.keras", "tf_keras": "tf_keras"}.get(package, "keras")


_OLD = ("protobuf<3.20", "h5py<3", "scipy", "pyyaml", "six", "pillow")
# dm-tree is what Keras 3.0 needs beside the requirements of later releases; scipy what 3.15 does.
_KERAS_3 = ("absl-py", "rich", "namex", "h5py", "optree", "ml-dtypes", "packaging", "dm-tree", "scipy", "pillow")


_PROTOBUF = "protobuf<3.20"
_IMAGES = ("pillow", "scipy")
_TENSORFLOW = {
    ("3.6", (*_OLD, "keras-preprocessing==1.1.2")): "1.15.0",
    ("3.7", _OLD): "2.1.4 2.2.0 2.2.3 2.3.0 2.3.4 2.4.0 2.4.4",
    ("3.8", (_PROTOBUF, *_IMAGES)): "2.5.0 2.5.3 2.6.5 2.7.4",
    ("3.10", (_PROTOBUF, "numpy<1.24", *_IMAGES)): "2.8.4 2.9.3 2.10.1 2.11.1",
    ("3.10", ("numpy<2", *_IMAGES)): "2.12.1 2.13.1 2.14.1",
    ("3.11", ("numpy<2", *_IMAGES)): "2.15.1",
    ("3.11", ("jax", *_KERAS_3)): "2.21.0",
}

BASES: Mapping[str, Base] = MappingProxyType(
    {
        # The last TensorFlow that does not import keras-applications itself, which fails for the old ones.
        "tf-1.10.0": Base("3.6", ("tensorflow==1.10.0", *_OLD, "keras-preprocessing==1.0.9")),
        **{
            f"tf-{version}": Base(python, (f"tensorflow-cpu=={version}", *more))
            for (python, more), versions in _TENSORFLOW.items()
            for version in versions.split()
        },
        "openvino": Base("3.11", ("openvino", "tensorflow-cpu==2.21.0", *_KERAS_3)),
        "torch-2.13.0": Base("3.11", ("torch==2.13.0", "tensorflow-cpu==2.21.0", *_KERAS_3)),
    }
)
"""The environments by name. Old Pythons and pins only where a release asks for them."""


def _with_applications(version: str, applications: str, base: str, release: str | None = None) -> Combination:
    """From Keras 2.2.0 to 2.3.1 preprocessing was in a package of its own."""
    overlay = (f"keras=={version}", f"keras-applications=={applications}")
    return Combination(release or f"keras=={version}", base, overlay)


def _overlays(package: str, versions: str, base: str, backend: str = "tensorflow") -> list[Combination]:
    releases = [f"{package}=={version}" for version in versions.split()]
    return [Combination(release, base, (release,), backend) for release in releases]


# Keras, and the TensorFlow that it is recorded with.
_KERAS_2 = """
    2.6.0/2.6.5 2.7.0/2.7.4 2.8.0/2.8.4 2.9.0/2.9.3 2.10.0/2.10.1 2.11.0/2.11.1 2.12.0/2.12.1 2.13.1/2.13.1
    2.14.0/2.14.1 2.15.0/2.15.1"""
_ON_OTHER_BACKENDS = "3.0.5 3.1.1 3.4.1 3.5.0 3.6.0 3.11.3 3.12.0 3.15.1"

_HUBS = "0.17.0 0.18.1 0.19.3 0.20.0 0.21.1 0.22.2 0.23.0 0.24.0 0.32.0"
_HUB = ("regex==2026.11.19", "tokenizers==0.23.3", "tensorflow-text==2.21.1")

_LINES = {
    "keras 2.1 to 2.3": (
        *_overlays("keras", "2.1.1 2.1.2 2.1.3 2.1.6", "tf-1.10.0"),
        _with_applications("2.2.0", "1.0.2", "tf-1.10.0"),
        _with_applications("2.2.2", "1.0.4", "tf-1.10.0"),
        _with_applications("2.2.4", "1.0.6", "tf-1.10.0"),
        _with_applications("2.2.4", "1.0.7", "tf-1.10.0", "keras-applications==1.0.7"),
        _with_applications("2.2.4", "1.0.8", "tf-1.10.0", "keras-applications==1.0.8"),
        *(_with_applications(v, "1.0.8", "tf-1.15.0") for v in ("2.2.5", "2.3.0", "2.3.1")),
    ),
    "keras": (
        *(
            Combination(f"tensorflow=={v}", f"tf-{v}")
            for v in ("2.1.4", "2.2.0", "2.2.3", "2.3.0", "2.3.4", "2.4.0", "2.4.4", "2.5.0", "2.5.3")
        ),
        *(
            one
            for v, tensorflow in (pair.split("/") for pair in _KERAS_2.split())
            for one in _overlays("keras", v, f"tf-{tensorflow}")
        ),
        *_overlays("keras", "3.0.0 3.0.5 3.1.1 3.2.1 3.3.3 3.4.1 3.5.0 3.6.0 3.7.0 3.8.0 3.9.0 3.9.2", "tf-2.21.0"),
        *_overlays("keras", "3.10.0 3.11.0 3.11.3 3.12.0 3.12.4 3.13.2 3.14.1 3.15.1", "tf-2.21.0"),
    ),
    "tf_keras": (
        *_overlays("tf_keras", "2.15.1", "tf-2.15.1"),
        *_overlays("tf_keras", "2.16.0 2.17.0 2.18.0 2.19.0 2.20.1 2.21.0", "tf-2.21.0"),
    ),
    "keras[torch]": tuple(_overlays("keras", _ON_OTHER_BACKENDS, "torch-2.13.0", "torch")),
    "keras[jax]": tuple(_overlays("keras", _ON_OTHER_BACKENDS, "tf-2.21.0", "jax")),
    "keras[numpy]": tuple(_overlays("keras", "3.15.1", "tf-2.21.0", "numpy")),
    "keras[openvino]": tuple(_overlays("keras", "3.15.1", "openvino", "openvino")),
    # With the newest Keras, and what KerasHub imports itself.
    "keras-hub": tuple(
        Combination(f"keras-hub=={v}", "tf-2.21.0", (f"keras-hub=={v}", "keras==3.15.1", *_HUB)) for v in _HUBS.split()
    ),
}

LINES: Mapping[str, tuple[Combination, ...]] = MappingProxyType(_LINES)
"""Lines of succession, oldest release first: each release is compared with the one before it in its line."""

# With the day on which Keras's own were published: year, month, day.
_PUBLISHED = {
    "keras-applications": "1.0.0 1.0.1 1.0.2 1.0.4 1.0.5 1.0.6 1.0.7 1.0.8",
    "tensorflow": """
        2.1.0 2.1.1 2.1.2 2.1.3 2.1.4 2.2.0 2.2.1 2.2.2 2.2.3 2.3.0 2.3.1 2.3.2 2.3.3 2.3.4
        2.4.0 2.4.1 2.4.2 2.4.3 2.4.4 2.5.0 2.5.1 2.5.2 2.5.3""",
    "keras": """
        2.1.0/171113 2.1.1/171114 2.1.2/171201 2.1.3/180116 2.1.4/180214 2.1.5/180306 2.1.6/180423
        2.2.0/180606 2.2.1/180727 2.2.2/180728 2.2.3/181001 2.2.4/181003 2.2.5/190822 2.3.0/190917
        2.3.1/191007 2.4.0/200617 2.4.1/200618 2.4.2/200619 2.4.3/200624 2.6.0/210809 2.7.0/211103
        2.8.0/220131 2.9.0/220513 2.10.0/220902 2.11.0/221114 2.12.0/230320 2.13.1/230627 2.14.0/230911
        2.15.0/231107 3.0.0/231128 3.0.1/231206 3.0.2/231221 3.0.3/240120 3.0.4/240120 3.0.5/240214
        3.1.0/240318 3.1.1/240319 3.2.0/240408 3.2.1/240410 3.3.0/240422 3.3.1/240422 3.3.2/240422
        3.3.3/240426 3.4.0/240625 3.4.1/240626 3.5.0/240812 3.6.0/241003 3.7.0/241126 3.8.0/250107
        3.9.0/250304 3.9.1/250326 3.9.2/250402 3.10.0/250519 3.11.0/250730 3.11.1/250731 3.11.2/250811
        3.11.3/250821 3.12.0/251027 3.12.1/260130 3.12.2/260507 3.12.3/260626 3.12.4/260729 3.13.0/251217
        3.13.1/260114 3.13.2/260130 3.14.0/260403 3.14.1/260507 3.15.0/260624 3.15.1/260729""",
    "tf_keras": """
        2.14.1/230929 2.15.0/231107 2.15.1/240308 2.16.0/240309 2.17.0/240715 2.18.0/241024 2.19.0/250303
        2.20.0/250303 2.20.1/250904 2.21.0/260318""",
    "keras-hub": """
        0.16.1/241022 0.17.0/241022 0.18.0/241205 0.18.1/241206 0.19.0/250226 0.19.1/250227 0.19.2/250318
        0.19.3/250326 0.20.0/250403 0.21.0/250528 0.21.1/250603 0.22.0/250814 0.22.1/250815 0.22.2/250912
        0.23.0/251021 0.24.0/251205 0.25.0/251218 0.25.1/260113 0.26.0/260206 0.27.1/260403 0.28.0/260416
        0.29.0/260505 0.29.1/260602 0.30.0/260724 0.31.0/260808 0.31.1/260822 0.32.0/260918""",
}

PUBLISHED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {package: tuple(word.partition("/")[0] for word in versions.split()) for package, versions in _PUBLISHED.items()}
)
"""Every final release that an index offers, in order: tells which recorded neighbours are adjacent."""

DAYS: Mapping[str, date] = MappingProxyType(
    {
        f"{package}=={version}": date.fromisoformat(f"20{day}")
        for package, versions in _PUBLISHED.items()
        for version, _, day in (word.partition("/") for word in versions.split())
        if day
    }
)
"""The day on which a release of Keras was published (its first file uploaded), ``keras==3.15.1`` for instance."""


def published_on(name: str) -> date | None:
    """The day on which a release was published, ``keras[torch]==3.15.1`` for instance, if it is known."""
    return DAYS.get(re.sub(r"\[\w+\]", "", name))


def combinations() -> list[Combination]:
    """Every combination, line by line."""
    return [combination for line in LINES.values() for combination in line]


_CANNOT: dict[str, str] = {}
"""Why an environment could not be built in this process: a search does not try again for each of its builds."""


def build_base(name: str, directory: Path) -> Path:
    """Build the environment ``name`` under ``directory`` unless it is there; return its interpreter."""
    base, done = BASES[name], directory / f"{name}.done"
    python = directory / name / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if done.exists() and python.exists():
        return python
    if name in _CANNOT:
        raise ObservationError(_CANNOT[name])
    directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory / name, ignore_errors=True)
    remedy = f"install Python {base.python} where uv finds it (uv python list)"
    try:
        _uv(f"Python {base.python}", "venv", "--python", base.python, str(directory / name), remedy=remedy)
        _uv(f"the packages of {name}", "pip", "install", "--python", str(python), *base.requirements)
    except ObservationError as error:
        _CANNOT[name] = str(error)
        raise
    done.touch()
    return python


def build_overlay(packages: tuple[str, ...], python: Path | None, directory: Path) -> Path | None:
    """Install ``packages`` without dependencies into a folder of their own; return the folder, None for no packages.

    ``python`` is the interpreter that they are for; None for this one.
    """
    if not packages:
        return None
    target = directory / "overlays" / "+".join(packages)
    if target.exists():
        return target
    # Built aside and renamed, so that an overlay that exists is a whole one.
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    for_python = str(python or sys.executable)
    try:
        options = ("--python", for_python, "--no-deps", "--target", str(unfinished))
        _uv(" and ".join(packages), "pip", "install", *options, *packages)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _uv(what: str, *arguments: str, remedy: str = "choose what the package index has") -> None:
    """Run uv, which finds Pythons and makes environments for all of them; one line if it fails to install ``what``.

    MachineError where it is not what is asked for that cannot be installed: uv ends with 2 then, or names an error of
    the system by its number.
    """
    # uv lies next to the interpreter of an environment that it was installed in, which need not be activated.
    uv = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
    if uv is None:
        raise MachineError("uv is not installed, and installing releases needs it: pip install uv")
    answer = subprocess.run([uv, *arguments], capture_output=True, text=True)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["no message"]
        causes = [line.partition(":")[2] for line in lines if re.match(r"\s*(cause|Caused by):", line)]
        plain = next((line for line in lines if "rror" in line or "×" in line or "No " in line), lines[-1])
        reason = (causes or [plain])[-1].strip().rstrip(".")
        if (answer.returncode == 2 and arguments[0] == "pip") or re.search(r"\(os error \d+\)", reason):
            remedy = "is the package index reachable, and is there room on the disk?"
            raise MachineError(f"uv cannot install {what}: {reason}; {remedy}")
        raise ObservationError(f"uv cannot install {what}: {reason}; {remedy}")


# ---- observing -------------------------------------------------------------------------------------------------------


def observe_combination(
    combination: Combination,
    directory: Path,
    *,
    here: bool = False,
    asked: Sequence[Question] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """Build what the combination needs under ``directory``, unless it is there, and observe it.

    ``here``: the overlay goes over this interpreter instead of the combination's base. ``asked`` are the questions, by
    default all.
    """
    python = None if here else build_base(combination.base, directory)
    overlay = build_overlay(combination.overlay, python, directory)
    variables = {"KERAS_BACKEND": combination.backend, "PYTHONNOUSERSITE": "1"}
    if overlay is not None:
        variables["PYTHONPATH"] = str(overlay)
    asked = _questions(combination, asked)
    observed = observation.observe(combination.target, Interpreter(python, variables), asked=asked, progress=progress)
    check_running(combination, observed)
    return observed


def _questions(combination: Combination, asked: Sequence[Question] | None) -> Sequence[Question]:
    """What a release is asked: by default everything, one of KerasHub about its image converters."""
    if asked is not None:
        return asked
    return list(questions.converters()) if combination.release.startswith("keras-hub") else questions.questions()


def check_running(combination: Combination, observed: Observation) -> None:
    """Refuse an observation of another release than the one named: its overlay did not come first, for instance."""
    package, version = combination.release.split("==")
    running = observed.running
    keys = {"keras-applications": "keras_applications", "keras-hub": "keras_hub", "keras-hub-nightly": "keras_hub"}
    found = running.get(keys.get(package, "keras"), "nothing")
    # Nightly builds of Keras 2 give the number of the release to come.
    expected = Version(version).base_version if package.endswith(NIGHTLY) and ".dev" not in found else version
    if (found, running.get("backend")) != (expected, combination.backend):
        ran = f"{package} {found} on {running.get('backend')} ran instead"
        raise ObservationError(f"{combination.name}: {ran}; check the environment {combination.base}")


def observation_file(name: str, directory: Path, asked: Sequence[Question] | None = None) -> Path:
    """Where the observation of a release is kept; one of some questions only, apart from others."""
    folder = directory / "observations"
    if asked is not None:
        folder /= hashlib.sha256("\n".join(question.id for question in asked).encode()).hexdigest()[:16]
    return folder / f"{name}.jsonl"


def install_and_observe(
    name: str,
    directory: Path | None = None,
    *,
    asked: Sequence[Question] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """Install a release or a nightly build into the user's cache directory with uv, and observe it.

    The overlay lies over this interpreter where it has the backend and the release is of Keras 3 or tf_keras 2.16 or
    newer; else over an environment like that of the nearest recorded release, which is built first. ``asked`` are the
    questions, by default all. The observation is kept and read from there the next time.
    """
    directory = directory or cache_folder("releases")
    kept = observation_file(name, directory, asked)
    combination = _combination(name)
    if kept.exists():
        found = observation.read(kept)
        # An older vggprep asked less: what it did not ask would pass for what this release cannot run.
        if {question.id for question in _questions(combination, asked)} <= found.rows.keys():
            return found
    modern = combination.base == "tf-2.21.0" or combination.backend != "tensorflow"
    here = modern and importlib.util.find_spec(combination.backend) is not None
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        observed = observe_combination(combination, directory, here=here, asked=asked, progress=progress)
    except OSError as error:
        reason = f"cannot install {name} into {directory}: {error.strerror}"
        raise MachineError(
            f"{reason}; make room there, or set XDG_CACHE_HOME to a folder that can be written"
        ) from None
    try:
        observation.write(observed, kept)
    except MachineError as error:  # what was observed is as good as ever
        print(f"vggprep: {error}", file=sys.stderr)
    return observed


def _combination(name: str) -> Combination:
    """The environment for a release: its own, or like that of the nearest recorded one below it, else of the first."""
    for combination in combinations():
        if combination.name == name:
            return combination
    package, version = name.split("==")
    line = package.replace(NIGHTLY, "")
    # A nightly build has the number of the release to come, and needs what that needs.
    wanted = Version(Version(version).base_version if NIGHTLY in package else version)
    same = [(Version(c.name.split("==")[1]), c) for c in combinations() if c.name.split("==")[0] == line]
    below = [(number, c) for number, c in same if number < wanted or (number == wanted and NIGHTLY in package)]
    _, like = max(below, key=lambda pair: pair[0]) if below else same[0]
    bare = f"{package.split('[')[0]}=={version}"
    if package == "tensorflow":
        if f"tf-{version}" not in BASES:
            raise ObservationError(f"{name} has no environment to install; nearest: {like.name}")
        return Combination(bare, f"tf-{version}")
    # Of several packages in an overlay, the one asked for replaces its other version.
    others = tuple(other for other in like.overlay if other.split("==")[0] != line.split("[")[0])
    return Combination(bare, like.base, (bare, *others), like.backend)
