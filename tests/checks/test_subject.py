"""What checks ask of outputs."""

from __future__ import annotations

import numpy as np
import pytest
from support import Array

from vggprep import Implementation, preprocess_input
from vggprep.cases import LAYOUTS, Case
from vggprep.checks.subject import Subject, same_bits
from vggprep.spec import DATA_FORMATS, DataFormat

OTHER_NAN = np.array([0x7FC00001], np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (np.array([1, np.nan], np.float32), np.array([1, np.nan], np.float32), True),
        (np.array([np.nan], np.float32), OTHER_NAN, True),
        (np.array([0.0], np.float32), np.array([-0.0], np.float32), False),
        (np.array([1, 2], np.float32), np.array([[1, 2]], np.float32), False),
        (np.array([0], np.float32), np.array([0], np.int32), False),
    ],
    ids=["equal", "another NaN", "the sign of zero", "another shape", "another dtype"],
)
def test_all_nans_are_one_and_everything_else_counts(a: Array, b: Array, same: bool) -> None:
    assert same_bits(a, b) is same


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 1, 2, 3)], ids=["image", "batch"])
@pytest.mark.parametrize("data_format", DATA_FORMATS)
def test_a_right_result_is_right_in_every_layout(data_format: DataFormat, shape: tuple[int, ...]) -> None:
    subject = Subject(Implementation("ours", preprocess_input))
    pixels = np.arange(np.prod(shape), dtype=np.float32).tobytes()
    for layout in LAYOUTS:
        case = Case("forward", "caffe", data_format, "float32", layout, "drawn", shape, pixels)
        assert subject.judge(case) is None, layout
