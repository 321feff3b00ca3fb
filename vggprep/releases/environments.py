"""Which releases are recorded, in which environments, and how to build these.

A TensorFlow environment takes over a gigabyte and serves many Keras releases: each is installed alone, without its
dependencies, into a folder of its own (an overlay), which comes first on ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vggprep.releases.observation import ObservationError


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
        """The module to observe: tf.keras for a release of TensorFlow."""
        package = self.release.split("==")[0]
        return {"tensorflow": "tensorflow.keras", "tf_keras": "tf_keras"}.get(package, "keras")


_OLD = ("protobuf<3.20", "h5py<3", "scipy", "pyyaml", "six")
# dm-tree is what Keras 3.0 needs beside the requirements of later releases; scipy what 3.15 does.
_KERAS_3 = ("absl-py", "rich", "namex", "h5py", "optree", "ml-dtypes", "packaging", "dm-tree", "scipy")


def _tensorflow(version: str, python: str, *more: str) -> Base:
    return Base(python, (f"tensorflow-cpu=={version}", *more))


BASES: Mapping[str, Base] = MappingProxyType(
    {
        # The last TensorFlow that does not import keras-applications itself, which fails for the old ones.
        "tf-1.10": Base("3.6", ("tensorflow==1.10.0", *_OLD, "keras-preprocessing==1.0.9")),
        "tf-1.15": _tensorflow("1.15.0", "3.6", *_OLD, "keras-preprocessing==1.1.2"),
        "tf-2.1.4": _tensorflow("2.1.4", "3.7", *_OLD),
        **{f"tf-{v}": _tensorflow(v, "3.7", *_OLD) for v in ("2.2.0", "2.2.3", "2.3.0", "2.3.4", "2.4.0", "2.4.4")},
        **{f"tf-{v}": _tensorflow(v, "3.8", "protobuf<3.20") for v in ("2.5.0", "2.5.3", "2.6.5", "2.7.4")},
        **{
            f"tf-{v}": _tensorflow(v, "3.10", "protobuf<3.20", "numpy<1.24")
            for v in ("2.8.4", "2.9.3", "2.10.1", "2.11.1")
        },
        **{f"tf-{v}": _tensorflow(v, "3.10", "numpy<2") for v in ("2.12.1", "2.13.1", "2.14.1")},
        "tf-2.15.1": _tensorflow("2.15.1", "3.11", "numpy<2"),
        "tf-2.21.0": _tensorflow("2.21.0", "3.11", "jax", *_KERAS_3),
        "torch-2.13.0": Base("3.11", ("torch==2.13.0", "tensorflow-cpu==2.21.0", *_KERAS_3)),
    }
)
"""The environments by name. Old Pythons and pins only where a release asks for them."""


def _with_applications(version: str, applications: str, base: str, release: str | None = None) -> Combination:
    """From Keras 2.2.0 to 2.3.1 preprocessing was in a package of its own."""
    overlay = (f"keras=={version}", f"keras-applications=={applications}")
    return Combination(release or f"keras=={version}", base, overlay)


def _overlay(package: str, version: str, base: str, backend: str = "tensorflow") -> Combination:
    release = f"{package}=={version}"
    return Combination(release, base, (release,), backend)


LINES: Mapping[str, tuple[Combination, ...]] = MappingProxyType(
    {
        "keras 2.1 to 2.3": (
            *(_overlay("keras", v, "tf-1.10") for v in ("2.1.1", "2.1.2", "2.1.3", "2.1.6")),
            _with_applications("2.2.0", "1.0.2", "tf-1.10"),
            _with_applications("2.2.2", "1.0.4", "tf-1.10"),
            _with_applications("2.2.4", "1.0.6", "tf-1.10"),
            _with_applications("2.2.4", "1.0.7", "tf-1.10", "keras-applications==1.0.7"),
            _with_applications("2.2.4", "1.0.8", "tf-1.10", "keras-applications==1.0.8"),
            *(_with_applications(v, "1.0.8", "tf-1.15") for v in ("2.2.5", "2.3.0", "2.3.1")),
        ),
        "keras": (
            *(
                Combination(f"tensorflow=={v}", f"tf-{v}")
                for v in ("2.1.4", "2.2.0", "2.2.3", "2.3.0", "2.3.4", "2.4.0", "2.4.4", "2.5.0", "2.5.3")
            ),
            *(
                _overlay("keras", v, base)
                for v, base in (
                    ("2.6.0", "tf-2.6.5"),
                    ("2.7.0", "tf-2.7.4"),
                    ("2.8.0", "tf-2.8.4"),
                    ("2.9.0", "tf-2.9.3"),
                    ("2.10.0", "tf-2.10.1"),
                    ("2.11.0", "tf-2.11.1"),
                    ("2.12.0", "tf-2.12.1"),
                    ("2.13.1", "tf-2.13.1"),
                    ("2.14.0", "tf-2.14.1"),
                    ("2.15.0", "tf-2.15.1"),
                )
            ),
            *(
                _overlay("keras", v, "tf-2.21.0")
                for v in (
                    *("3.0.0", "3.0.5", "3.1.1", "3.2.1", "3.3.3", "3.4.1", "3.5.0", "3.6.0", "3.7.0", "3.8.0"),
                    *("3.9.0", "3.9.2", "3.10.0", "3.11.0", "3.11.3", "3.12.0", "3.12.4", "3.13.2", "3.14.1", "3.15.1"),
                )
            ),
        ),
        "tf_keras": (
            _overlay("tf_keras", "2.15.1", "tf-2.15.1"),
            *(
                _overlay("tf_keras", v, "tf-2.21.0")
                for v in ("2.16.0", "2.17.0", "2.18.0", "2.19.0", "2.20.1", "2.21.0")
            ),
        ),
        "keras[torch]": tuple(
            _overlay("keras", v, "torch-2.13.0", "torch")
            for v in ("3.0.5", "3.1.1", "3.4.1", "3.5.0", "3.6.0", "3.11.3", "3.12.0", "3.15.1")
        ),
        "keras[jax]": tuple(
            _overlay("keras", v, "tf-2.21.0", "jax")
            for v in ("3.0.5", "3.1.1", "3.4.1", "3.5.0", "3.6.0", "3.11.3", "3.12.0", "3.15.1")
        ),
    }
)
"""Lines of succession, oldest release first: each release is compared with the one before it in its line."""

_PUBLISHED = {
    "keras-applications": "1.0.0 1.0.1 1.0.2 1.0.4 1.0.5 1.0.6 1.0.7 1.0.8",
    "tensorflow": """
        2.1.0 2.1.1 2.1.2 2.1.3 2.1.4 2.2.0 2.2.1 2.2.2 2.2.3 2.3.0 2.3.1 2.3.2 2.3.3 2.3.4
        2.4.0 2.4.1 2.4.2 2.4.3 2.4.4 2.5.0 2.5.1 2.5.2 2.5.3""",
    "keras": """
        2.1.0 2.1.1 2.1.2 2.1.3 2.1.4 2.1.5 2.1.6 2.2.0 2.2.1 2.2.2 2.2.3 2.2.4 2.2.5 2.3.0 2.3.1
        2.4.0 2.4.1 2.4.2 2.4.3 2.6.0 2.7.0 2.8.0 2.9.0 2.10.0 2.11.0 2.12.0 2.13.1 2.14.0 2.15.0
        3.0.0 3.0.1 3.0.2 3.0.3 3.0.4 3.0.5 3.1.0 3.1.1 3.2.0 3.2.1 3.3.0 3.3.1 3.3.2 3.3.3 3.4.0 3.4.1 3.5.0
        3.6.0 3.7.0 3.8.0 3.9.0 3.9.1 3.9.2 3.10.0 3.11.0 3.11.1 3.11.2 3.11.3
        3.12.0 3.12.1 3.12.2 3.12.3 3.12.4 3.13.0 3.13.1 3.13.2 3.14.0 3.14.1 3.15.0 3.15.1""",
    "tf_keras": "2.14.1 2.15.0 2.15.1 2.16.0 2.17.0 2.18.0 2.19.0 2.20.0 2.20.1 2.21.0",
}

PUBLISHED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {package: tuple(versions.split()) for package, versions in _PUBLISHED.items()}
)
"""Every final release that an index offers, in order: tells which recorded neighbours are adjacent."""


def combinations() -> list[Combination]:
    """Every combination, line by line."""
    return [combination for line in LINES.values() for combination in line]


def cache_directory() -> Path:
    """Where environments are built unless the caller says otherwise: in the user's cache directory."""
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "vggprep" / "releases"


def find_interpreter(version: str) -> Path | None:
    """An installed Python of that version (``"3.6"``): this one, one on the PATH, or one of pyenv's."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    candidates = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    for candidate in candidates:
        # A name on the PATH proves nothing: a shim may stand there for a version that is not selected.
        said = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([candidate, "-c", said], capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return candidate
    return None


def find_uv() -> str | None:
    """The uv command, which builds environments several times faster than pip; None if there is none."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


def interpreter(directory: Path, name: str) -> Path:
    """The Python of the environment ``name`` under ``directory``, built or not."""
    folder = directory / name
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def build_base(name: str, directory: Path) -> Path:
    """Build the environment ``name`` under ``directory`` unless it is there; return its interpreter."""
    base, python, done = BASES[name], interpreter(directory, name), directory / f"{name}.done"
    if done.exists() and python.exists():
        return python
    found = find_interpreter(base.python)
    if found is None:
        raise ObservationError(f"no Python {base.python} found for {name}; install one and put it on the PATH")
    directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory / name, ignore_errors=True)
    if uv := find_uv():
        _run([uv, "venv", "--python", str(found), str(directory / name)])
        _run([uv, "pip", "install", "--python", str(python), *base.requirements])
    else:
        _run([str(found), "-m", "venv", str(directory / name)])
        # The pip that comes with an old Python does not know the wheels' platform tags.
        _run([str(python), "-m", "pip", "install", "--upgrade", "pip"])
        _run([str(python), "-m", "pip", "install", *base.requirements])
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
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ["--no-deps", "--target", str(unfinished), *packages]
    if uv := find_uv():
        _run([uv, "pip", "install", "--python", str(python or sys.executable), *options])
    else:
        _run([str(python or sys.executable), "-m", "pip", "install", *options])
    unfinished.rename(target)
    return target


def environment(combination: Combination, overlay: Path | None) -> dict[str, str]:
    """The environment variables under which the combination's interpreter is to run."""
    variables = {"KERAS_BACKEND": combination.backend, "PYTHONNOUSERSITE": "1"}
    if overlay is not None:
        variables["PYTHONPATH"] = str(overlay)
    return variables


def _run(command: list[str]) -> None:
    variables = dict(os.environ)
    # uv reads no setting of pip's; someone who told pip where else to look means uv as well.
    if "PIP_FIND_LINKS" in variables:
        variables.setdefault("UV_FIND_LINKS", variables["PIP_FIND_LINKS"])
    answer = subprocess.run(command, capture_output=True, text=True, env=variables)
    if answer.returncode:
        lines = (answer.stderr or answer.stdout).strip().splitlines() or ["no message"]
        reason = next((line for line in lines if "rror" in line or "×" in line or "No " in line), lines[-1])
        shown = " ".join(Path(part).name if "/" in part else part for part in command)
        raise ObservationError(f"{shown}: {reason.strip()}; is the release published, and the package index reachable?")
