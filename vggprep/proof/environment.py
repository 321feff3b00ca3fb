"""What a result rests on besides the target: versions, the code itself, the machine. Standard library only."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import vggprep

_PACKAGES = (
    "numpy", "ml_dtypes", "numba", "keras", "tf_keras", "tensorflow", "torch", "jax", "onnxruntime", "ai_edge_litert",
)  # fmt: skip


def versions(target: str, like: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of Python, vggprep and of whatever is imported once ``target`` is loaded; digests of source code.

    ``like`` names what to tell, in place of what is imported.
    """
    found = {"python": platform.python_version(), "vggprep": vggprep.__version__, "vggprep code": _code()}
    # numba is imported when it is first used.
    used = {name for name in _PACKAGES if name in sys.modules or (name == "numba" and target.startswith("vggprep"))}
    for name in _PACKAGES:
        if name in (used if like is None else like) and (version := _version(name)) is not None:
            found[name] = version
    module = target.partition(":")[0]
    if module != "vggprep" and (source := getattr(sys.modules.get(module), "__file__", None)):
        found[f"{module} code"] = _digest([Path(source)])
    return found


def _version(name: str) -> str | None:
    module = sys.modules.get(name)
    if version := getattr(module, "__version__", None):
        return str(version)
    distribution = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "ai_edge_litert": ("ai-edge-litert",)}
    for candidate in distribution.get(name, (name,)):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


@lru_cache(maxsize=1)
def _code() -> str:
    """A digest of what a result rests on: the definition, what enumerates, and vggprep's own implementations."""
    folder = Path(vggprep.__file__).parent
    patterns = (
        "spec.py",
        "oracle.py",
        "reference.py",
        "functions.py",
        "kernels/*.py",
        "proof/domains.py",
        "proof/shards.py",
    )
    return _digest(sorted(file for pattern in patterns for file in folder.glob(pattern)))


def _digest(files: list[Path]) -> str:
    together = hashlib.sha256()
    for file in files:
        together.update(file.name.encode())
        together.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return together.hexdigest()[:12]


@lru_cache(maxsize=1)
def machine() -> dict[str, str]:
    """The kind of machine: a result is carried over to no other."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "byteorder": sys.byteorder,
        "processor": processor(),
    }


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = [values[key] for key in ("model name", "cpu family", "model") if values.get(key)]
    return f"{named[0]} (family {named[1]}, model {named[2]})" if len(named) == 3 else platform.machine()


def difference(mine: Mapping[str, str], other: Mapping[str, str]) -> str:
    """In words, how ``other`` differs from ``mine``; empty if it does not."""
    names = [name for name in {**mine, **other} if mine.get(name) != other.get(name)]
    return ", ".join(f"{name} {other.get(name, 'missing')} instead of {mine.get(name, 'none')}" for name in names)
