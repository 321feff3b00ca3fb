"""Code such as users write, for mypy to check against the installed package; it is never run.

A line that must be an error has the code of it in a ``type: ignore``: unused ones are errors, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import vggprep
from vggprep.spec import DataFormat, ModeName

image = np.zeros((4, 4, 3), np.uint8)
y: npt.NDArray[np.generic] = vggprep.preprocess_input(image, "channels_last", "caffe", threads=2, backend="numpy")
back = vggprep.deprocess_input(y, mode="caffe", dtype="uint8")
vggprep.deprocess_input(y, data_format="channels_first", mode="torch", dtype=None)

vggprep.preprocess_input(image, "caffe", "channels_last")  # type: ignore[arg-type]
vggprep.preprocess_input(image, mode=3)  # type: ignore[arg-type]
vggprep.deprocess_input(y, "nchw")  # type: ignore[arg-type]


def preprocess(x: npt.NDArray[np.generic], data_format: DataFormat, mode: ModeName) -> npt.NDArray[np.generic]:
    return vggprep.preprocess_input(x, mode, data_format)  # type: ignore[arg-type]


mine = vggprep.Implementation("mine", preprocess, modes=["caffe"], dtypes=("uint8",), level="faithful")
vggprep.Implementation("mine", preprocess, level="close")  # type: ignore[arg-type]

for result in vggprep.check_implementation(mine, expected_failures={"value": "known"}, on_fail=None):
    if result.status == "passd":  # type: ignore[comparison-overlap]
        continue
    cell: str = result.mode
    worst: float = result.worst_levels

mode: vggprep.spec.Mode = vggprep.MODES["caffe"]
vggprep.spec.Mode.affine("half", mean=0.5, std=["0.5", "0.25", 1])
wanted: ModeName = vggprep.MODELS["vgg19"]


@vggprep.parametrize_with_checks([mine], expected_failures=[{"check": "value", "reason": "known"}])
def test_conformance(implementation: vggprep.Implementation, check: object) -> None: ...
