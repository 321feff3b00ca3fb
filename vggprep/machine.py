"""What a result rests on besides the code: the processor and the versions of packages. Standard library only."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# Where the distribution has another name than the package.
_DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "ai_edge_litert": ("ai-edge-litert",)}


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = [values[key] for key in ("model name", "cpu family", "model") if values.get(key)]
    return f"{named[0]} (family {named[1]}, model {named[2]})" if len(named) == 3 else platform.machine()


def version_of(package: str) -> str | None:
    """The version of a package that is imported or installed (or of a distribution of that name), else None."""
    if version := getattr(sys.modules.get(package), "__version__", None):
        return str(version)
    for distribution in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of the packages that can be found, in their order."""
    found = {name: version_of(name) for name in packages}
    return {"python": platform.python_version(), **{name: version for name, version in found.items() if version}}
