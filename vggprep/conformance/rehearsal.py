"""Judging a program that answers only when its input ends: what it will be asked is found out before.

A right function is judged in its place, in the cells that the program accepts, and every call is noted; the program
then answers them in a few starts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from vggprep.cases import available_dtypes, cells, panel
from vggprep.checks import Subject
from vggprep.conformance.engine import Selection, run, scope
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.implementations import Implementation
from vggprep.implementations.commands import Command, foresee
from vggprep.spec import FLOATS, RANKS, DataFormat, Direction, ModeName

Array = npt.NDArray[Any]


def rehearse(implementation: Implementation, *, selection: Selection, **options: Any) -> None:
    """Have programs that answer at the end of their input answer what ``engine.run`` will ask; ``options`` are its."""
    subject = Subject(implementation)
    programs = [d for d in subject.directions if isinstance(p := subject.function(d), Command) and p.answers_at_end]
    if not programs:
        return
    stand_ins = {direction: _stand_in(subject, direction, selection) for direction in programs}
    right = replace(
        implementation,
        name=f"{implementation.name} (rehearsal)",
        preprocess=stand_ins.get("forward", implementation.preprocess),
        deprocess=stand_ins.get("inverse", implementation.deprocess),
    )
    run(right, selection=selection, examples=0, **options)
    for stand_in in stand_ins.values():
        foresee(stand_in.program, stand_in.asked)


def _stand_in(subject: Subject, direction: Direction, selection: Selection) -> _StandIn:
    program = subject.function(direction)
    assert isinstance(program, Command)
    modes, data_formats = scope(subject, direction, selection, [])
    dtypes = subject.implementation.dtypes or available_dtypes()
    dtypes = [d for d in dtypes if d in FLOATS] if direction == "inverse" else dtypes
    survey = cells(modes, data_formats, dtypes, subject.implementation.ranks or RANKS)
    foresee(program, ((panel(direction, c).array(), c.mode, c.data_format) for c in survey))
    right: Callable[..., Array] = preprocess_input
    if direction == "inverse":
        pixels = not survey or subject.returns_pixels(survey[0]._replace(dtype="float32"))
        right = deprocess_input if pixels else functools.partial(deprocess_input, dtype=None)
    return _StandIn(
        program, right, modes[0] if modes else "caffe", data_formats[0] if data_formats else "channels_last"
    )


@dataclass(eq=False)
class _StandIn:
    """A right function with the signature of a program, which refuses what the program refuses and notes its calls."""

    program: Command
    right: Callable[[Array, DataFormat, ModeName], Array]
    mode: ModeName
    data_format: DataFormat
    asked: list[tuple[Array, ModeName, DataFormat]] = field(default_factory=list)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.program)

    def __call__(self, x: Array, mode: ModeName | None = None, data_format: DataFormat | None = None) -> Array:
        call = x, mode or self.mode, data_format or self.data_format
        if self.program.refuses(*call):
            raise ValueError("the program does not accept it")
        self.asked.append((x.copy(), *call[1:]))
        return self.right(x, call[2], call[1])
