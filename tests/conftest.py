"""What all tests share.

The benchmarks are not installed: their tests find them in the checkout, which comes after installed packages.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

# Counting lines makes a test take twice as long, and the cases of one test run the same lines on other values: of a
# test with many cases, so many are counted, spread over all. Coverage is thus a lower bound.
COUNTED = 6


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
