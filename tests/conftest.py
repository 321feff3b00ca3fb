"""The benchmarks are not installed: their tests find them in the checkout, which comes after installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))


@pytest.fixture(scope="session")
def vectors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors, written once: to be read only."""
    from vggprep import vectors

    vectors.write(folder := tmp_path_factory.mktemp("vectors") / "set")
    return folder
