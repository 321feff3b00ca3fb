"""Judging functions in tests: small selections, and what to read off a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import (
    CHECKS,
    Implementation,
    Result,
    preprocess_input,
)
from vggprep.cases import Cell
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.results import Report
from vggprep.spec import DataFormat, ModeName

Array = npt.NDArray[Any]
Function = Callable[..., Any]

CELL = Cell("caffe", "channels_last", "float32", 4)
FEW = Selection(modes=("caffe", "tf"), data_formats=("channels_last",), dtypes=("uint8", "float32"))


BUT_SIZES = [check for check in CHECKS if check.name != "sizes"]
"""What most tests need: the ladder of sizes is half of the time."""


def correct(x: Array, data_format: DataFormat = "channels_last", mode: ModeName = "caffe") -> Array:
    return preprocess_input(x, data_format, mode)


def spoiled(spoil: Function) -> Function:
    """A correct function whose result goes through ``spoil``."""

    def function(x: Array, data_format: DataFormat, mode: ModeName) -> Any:
        return spoil(preprocess_input(x, data_format, mode))

    return function


def judge(function: Function | Implementation, *, selection: Selection = FEW, **words: Any) -> Report:
    implementation = function if isinstance(function, Implementation) else Implementation("it", function)
    words.setdefault("examples", 0)
    words.setdefault("checks", BUT_SIZES)
    return run(implementation, selection=selection, **words)


def failed(report: Report) -> list[Result]:
    return [result for result in report.results if result.status == "failed"]


def failing_checks(report: Report) -> set[str]:
    return {result.check for result in failed(report)}


def row(report: Report, check: str, cell: Cell = CELL) -> Result:
    """The result of one check in one cell."""
    (found,) = [result for result in report.results if result.check == check and result.cell == cell]
    return found


def swapped_in_caffe(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    """Forgets the swap in caffe mode on floats."""
    if mode != "caffe" or x.dtype != np.float32:
        return preprocess_input(x, data_format, mode)
    axis = x.ndim - 1 if data_format == "channels_last" else x.ndim - 3
    return preprocess_input(np.flip(x, axis), data_format, mode)


def refuses_caffe_bytes(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if mode == "caffe" or x.dtype == np.uint8 or x.ndim == 3 or data_format == "channels_first":
        raise TypeError("not this")
    return preprocess_input(x, data_format, mode)


def essence(report: Report) -> list[tuple[Any, ...]]:
    return essence_of(report.results)


def essence_of(results: Sequence[Result]) -> list[tuple[Any, ...]]:
    """Everything about results but the time they took."""
    return [
        (r.check, r.cell, r.status, r.message, r.diagnosis, r.reproducer, r.worst_levels, r.digest) for r in results
    ]


ONE_CELL: dict[str, Any] = {
    "modes": ("caffe",),
    "data_formats": ("channels_last",),
    "dtypes": ("float32",),
    "ranks": (4,),
}
WRONG = Implementation("swapped", swapped_in_caffe, **ONE_CELL)
RIGHT = Implementation("right", correct, **ONE_CELL)
