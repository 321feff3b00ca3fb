"""The same error is the same number of grey levels in ``check``, ``verify`` and ``prove``."""

from __future__ import annotations

import re
from pathlib import Path

import enumerated
import numpy as np
import pytest
from enumerated import proven

from vggprep import vectors
from vggprep.cases import available_dtypes
from vggprep.conformance import judging
from vggprep.conformance.engine import Selection
from vggprep.conformance.report import causes
from vggprep.conformance.results import Report
from vggprep.implementations import Implementation
from vggprep.implementations.callables import call
from vggprep.proof.report import failures
from vggprep.spec import Direction


def said(direction: Direction, messages: list[str]) -> set[str]:
    """The numbers of grey levels in the messages about values."""
    own = [m for m in messages if m.startswith("inverse: ") == (direction == "inverse")]
    return {m[1] for text in own if (m := re.search(r"values wrong, (?:up to )?(.* levels?)", text))}


def of_report(report: Report, check: str) -> list[str]:
    return [group[0].message for group in causes([r for r in report.results if r.check == check])]


def of_verify(folder: Path, outputs: Path, implementation: Implementation, direction: Direction) -> Report:
    outputs.mkdir()
    function = implementation.preprocess if direction == "forward" else implementation.deprocess
    assert function is not None
    for vector in vectors.vectors():
        case = vector.case
        claimed = case.mode in (implementation.modes or ()) and case.data_format == "channels_last"
        if claimed and case.direction == direction:
            output = call(function, case.array(), case.mode, case.data_format).output
            assert output is not None
            np.save(outputs / f"{vector.name}.npy", output)
    return vectors.verify(folder, outputs)


FAR = "beyond any number of grey levels"


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "direction", "dtype", "check", "levels"),
    [
        ("mean_off", "forward", "uint8", "every_byte", "0.24 grey levels"),
        ("mean_off", "forward", "float32", "value", "0.24 grey levels"),
        ("mean_off", "forward", "bfloat16", "value", "0.24 grey levels"),
        ("mean_off", "inverse", "float32", "restores_floats", "0.24 grey levels"),
        ("scaled_mean_off", "forward", "uint8", "every_byte", "2.5 grey levels"),
        ("scaled_mean_off", "inverse", "float32", "restores_floats", "2.5 grey levels"),
        ("nan_everywhere", "forward", "uint8", "every_byte", FAR),
        ("nan_everywhere", "inverse", "float32", "restores_floats", FAR),
        ("infinite", "forward", "float16", "value", FAR),
        ("mistaken_identity", "forward", "uint8", "every_byte", "255 grey levels"),
        ("mistaken_identity", "forward", "uint16", "value", "1 grey level"),
        ("cut_off", "inverse", "float32", "restores_pixels", "1 grey level"),
    ],
)
def test_the_three_doors_say_the_same_number(
    name: str, direction: Direction, dtype: str, check: str, levels: str, vectors_folder: Path, tmp_path: Path
) -> None:
    if dtype not in available_dtypes():
        pytest.skip(f"NumPy has no {dtype} here")
    implementation = getattr(enumerated, name)
    report = judging.judge(implementation, known=(), selection=Selection(dtypes=(dtype,)), examples=0)
    assert said(direction, of_report(report, check)) == {levels}
    if dtype != "bfloat16":  # of which there are no vectors
        found = of_verify(vectors_folder, tmp_path / "outputs", implementation, direction)
        own = Report(found.implementation, [r for r in found.results if r.dtype == dtype], [])
        assert said(direction, of_report(own, check)) == {levels}
    # An inverse gets the float32 values that are made of bytes; float32 itself would take minutes.
    certificate = proven(name, "uint8" if dtype == "float32" else dtype, inverse=direction == "inverse")
    assert said("forward", failures(certificate)) == {levels}
