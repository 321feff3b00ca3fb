"""What all tests share.

The benchmarks are not installed: their tests find them in the checkout, which comes after installed packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

# Counting lines makes a test take twice as long, and the cases of one test run the same lines on other values: of a
# test with many cases, so many are counted, spread over all. Coverage is thus a lower bound.
COUNTED = 10


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most cases of tests with many out of the coverage."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for many in cases.values():
        counted = {i * len(many) // COUNTED for i in range(COUNTED)}
        for place, item in enumerate(many):
            if len(many) > COUNTED and place not in counted:
                item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def vectors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors, written once: to be read only."""
    from vggprep import vectors

    vectors.write(folder := tmp_path_factory.mktemp("vectors") / "set")
    return folder


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 kB that are in use, with room for the names of two more files; mounted in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=4", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with suppress(OSError), open(folder / "all", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
