"""The ports in ``examples/`` as command lines, for tests that judge programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="session", name="port")
def port_fixture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The command line of a port by language, or a visible skip."""

    def command(language: str) -> str:
        if language == "python":
            return f"{sys.executable} {EXAMPLES / 'port.py'}"
        if language == "javascript":
            if shutil.which("node") is None:
                pytest.skip("node is not installed")
            return f"node {EXAMPLES / 'port.js'}"
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler is installed")
        program = tmp_path_factory.getbasetemp() / "port"
        if not program.exists():
            source = str(EXAMPLES / "port.cpp")
            subprocess.run([compiler, "-O1", "-std=c++17", "-Wall", "-o", str(program), source], check=True)
        return str(program)

    return command
