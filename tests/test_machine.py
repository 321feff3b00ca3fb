"""The processor and the versions are those of this machine."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vggprep import machine

CPUINFO = "processor : 0\nmodel name\t: Some CPU @ 2 GHz\ncpu family\t: 6\nmodel\t\t: 143\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (CPUINFO, "Some CPU @ 2 GHz (family 6, model 143)"),
        ("processor : 0\nCPU part : 0xd40\n", platform.machine()),
        (None, platform.processor() or platform.machine()),
    ],
)
def test_the_processor_is_named_as_far_as_the_system_does(
    cpuinfo: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, encoding: str) -> str:
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read)
    assert machine.processor.__wrapped__() == expected


def test_versions_are_those_imported_or_installed_and_absent_packages_are_left_out() -> None:
    found = machine.versions(["numpy", "no_such_package", "pytest"])
    assert found == {"python": platform.python_version(), "numpy": np.__version__, "pytest": pytest.__version__}


def test_an_imported_package_is_asked_before_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("numpy")
    module.__version__ = "0.0.1+mine"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy", module)
    assert machine.version_of("numpy") == "0.0.1+mine"
    assert machine.version_of("no_such_package") is None


def test_a_package_may_come_from_a_distribution_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine._DISTRIBUTIONS, "tensorflow", ("no-such-distribution", "pytest"))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert machine.version_of("tensorflow") == pytest.__version__
