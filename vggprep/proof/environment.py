"""What a result depends on: versions, the code itself, the files that a target names, and the machine.

Imports the standard library and the vocabulary of targets.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path

import vggprep
from vggprep.implementations import models
from vggprep.implementations.targets import TargetSpec
from vggprep.machine import processor, version_of
from vggprep.spec import DATA_FORMATS, MODES, registered

_PACKAGES = (
    "numpy", "ml_dtypes", "numba", "keras", "tf_keras", "tensorflow", "torch", "jax", "onnxruntime", "ai_edge_litert",
)  # fmt: skip


def versions(spec: TargetSpec, like: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of Python, vggprep and the packages imported once ``spec`` is loaded; digests of source code.

    With ``like``, the packages that it names, imported or not.
    """
    modules = [target.partition(":")[0] for target in (*spec.targets, *filter(None, [spec.inverse]))]
    found = {"python": platform.python_version(), "vggprep": vggprep.__version__, "vggprep code": _code()}
    # numba is imported when it is first used.
    used = {name for name in _PACKAGES if name in sys.modules or (name == "numba" and "vggprep" in modules)}
    for name in _PACKAGES:
        if name in (used if like is None else like) and (version := version_of(name)) is not None:
            found[name] = version
    for module in modules:
        if module != "vggprep" and (source := getattr(sys.modules.get(module), "__file__", None)):
            found[f"{module} code"] = _digest([Path(source)])
    return found


@lru_cache(maxsize=1)
def _code() -> str:
    """A digest of the definition, the enumeration, and vggprep's own implementations."""
    folder = Path(vggprep.__file__).parent
    patterns = (
        "spec.py",
        "oracle.py",
        "tolerance.py",
        "reference.py",
        "functions.py",
        "kernels/*.py",
        "proof/domains.py",
        "proof/shards.py",
        "proof/compiled.py",
    )
    return _digest(sorted(file for pattern in patterns for file in folder.glob(pattern)))


def _digest(files: list[Path]) -> str:
    together = hashlib.sha256()
    for file in files:
        together.update(file.name.encode())
        together.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return together.hexdigest()[:12]


def files(spec: TargetSpec) -> dict[str, str]:
    """SHA-256 digests of the model files and programs that the targets name, by the names that they have there.

    Of a command: the program and each argument that is a file. Of a folder: one digest over all its files.
    """
    found = {}
    for target in (*spec.targets, *filter(None, [spec.inverse])):
        kind, _, rest = target.partition(":")
        named = [(rest, rest)] if kind in models.KINDS else _of_command(rest) if kind == "command" else []
        for name, path in named:
            if os.path.isdir(path):
                inside = sorted(file for file in Path(path).rglob("*") if file.is_file())
                digests = [f"{file.relative_to(path).as_posix()} {_file_digest(file)}\n" for file in inside]
                found[name] = hashlib.sha256("".join(digests).encode()).hexdigest()
            elif os.path.isfile(path):
                found[name] = _file_digest(Path(path))
    return found


def _of_command(template: str) -> Iterator[tuple[str, str]]:
    """The files that the command line names, in any mode and data format: what it calls them, and where they are."""
    try:
        words = shlex.split(template)
    except ValueError:  # loading the target reports it
        return
    modes = (*MODES, *(mode.name for mode in registered()))
    for mode, data_format in product(modes, DATA_FORMATS):
        for place, word in enumerate(words):
            name = word.replace("{mode}", mode).replace("{data_format}", data_format)
            path = name if place else shutil.which(name)
            if path and os.path.isfile(path):
                yield name, path


def _file_digest(path: Path) -> str:
    status = path.stat()
    return _sha256(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=4096)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    """Read a file once for each ``state`` that it is in: workers ask before each part."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def machine() -> dict[str, str]:
    """The kind of machine: results of one kind are not continued on another."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "byteorder": sys.byteorder,
        "processor": processor(),
    }


def difference(mine: Mapping[str, str], other: Mapping[str, str]) -> str:
    """In words, how ``other`` differs from ``mine``; empty if it does not."""
    names = [name for name in {**mine, **other} if mine.get(name) != other.get(name)]
    return ", ".join(f"{name} {other.get(name, 'missing')} instead of {mine.get(name, 'none')}" for name in names)
