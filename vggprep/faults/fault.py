"""``Fault``: a known wrong implementation, and the decorator that makes one of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vggprep import reference
from vggprep.faults.arithmetic import Array, channel_axis, computed, row
from vggprep.functions import preprocess_input
from vggprep.implementations import Implementation
from vggprep.spec import DATA_FORMATS, MODES, RANKS, DataFormat, Direction, Mode, ModeName, definition, is_known

Function = Callable[[Array, DataFormat, ModeName], Array]

ALL_MODES = tuple(MODES)


@dataclass(frozen=True)
class Fault:
    """A known way to get preprocessing wrong.

    Args:
        name: in terms of the field, unique in the gallery.
        story: one sentence on what the code does wrong and how people come to it; printed as
            "behaves like NAME: STORY".
        caught_by: the name of the check that must catch it.
        direction: whether the fault is in the forward function or in the inverse.
        make: makes the wrong function; every function it makes has its own memory of earlier calls, if any.
        modes: the modes in which the fault shows; it is not to be run in others.
        origin: where it was seen: an upstream issue, a project, a release. ``None`` if no place is known.
        stateless: whether its outcome depends on the arguments alone and differs from the right one for some
            input, so that a user's output can be compared with it.
        rows: of a fault that is nothing but wrong definitions, what it takes each mode for.
        breaks: clauses of the specification that it breaks beside those about values that its check names for its
            direction and modes.
    """

    name: str
    story: str
    caught_by: str
    direction: Direction
    make: Callable[[], Function]
    modes: tuple[ModeName, ...]
    origin: str | None = None
    stateless: bool = True
    rows: Mapping[ModeName, Mode] = field(default_factory=dict, compare=False)
    breaks: tuple[str, ...] = ()

    @property
    def preprocess(self) -> Function | None:
        """The wrong forward function, without memory of earlier calls; ``None`` if the fault is in the inverse."""
        return self.make() if self.direction == "forward" else None

    @property
    def deprocess(self) -> Function | None:
        """The wrong inverse, likewise."""
        return self.make() if self.direction == "inverse" else None

    def implementation(self) -> Implementation:
        """The fault as something to judge, at level ``faithful``, claiming the modes in which it shows."""
        return Implementation(self.name, self.preprocess, self.deprocess, modes=self.modes)


def fault(
    caught_by: str,
    *,
    modes: Sequence[ModeName] = ("caffe", "tf", "torch"),
    direction: Direction = "forward",
    origin: str | None = None,
    stateless: bool = True,
    memory: Callable[[], Any] | None = None,
    checked: bool = True,
    breaks: Sequence[str] = (),
) -> Callable[[Callable[..., Array]], Fault]:
    """Make a fault of a function, whose name is the fault's and whose docstring is its story.

    What the function takes says what it does. ``(x)`` changes the input of the right function, ``(x, mode)``
    preprocesses channels-last images, ``(x, data_format, mode)`` does everything. ``memory`` makes what the function
    keeps between calls, its last argument. Arguments out of the domain are refused first, unless ``checked`` is false.
    """

    def decorate(function: Callable[..., Array]) -> Fault:
        story = " ".join((function.__doc__ or "").split())
        if memory is None:
            made = on_arrays(function, checked=checked)

        def make() -> Function:
            return made if memory is None else on_arrays(function, memory(), checked=checked)

        lasting = stateless and memory is None
        return Fault(
            function.__name__, story, caught_by, direction, make, tuple(modes), origin, lasting, breaks=tuple(breaks)
        )

    return decorate


def on_arrays(function: Callable[..., Array], *memory: Any, checked: bool = True) -> Function:
    """``function`` in either data format, as ``fault`` describes; it never warns."""
    takes = inspect.signature(function).parameters

    def call(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if checked:
            _check_arguments(x, data_format, mode)
        with np.errstate(all="ignore"):
            if "data_format" in takes:
                return function(x, data_format, mode, *memory)
            if "mode" not in takes:
                return preprocess_input(function(x), data_format, mode)
            axis = channel_axis(data_format)
            return np.moveaxis(function(np.moveaxis(x, axis, -1), mode, *memory), -1, axis)

    return call


def _check_arguments(x: Array, data_format: DataFormat, mode: ModeName) -> None:
    if not is_known(mode):
        raise ValueError(f"unknown mode {mode!r}")
    if data_format not in DATA_FORMATS:
        raise ValueError(f"unknown data_format {data_format!r}")
    if x.ndim not in RANKS or x.shape[channel_axis(data_format)] != 3:
        raise ValueError(f"not RGB images in {data_format}: shape {x.shape}")


def wrong_rows(name: str, story: str, origin: str | None = None, **rows: str | Mode) -> Fault:
    """A fault that is nothing but wrong rows in the table of modes, as ``row`` reads them; it shows in those modes."""
    return of_rows(name, story, origin, {mode: row(rows[mode]) for mode in MODES if mode in rows})


def wrong_inverse_rows(name: str, story: str, origin: str | None = None, **rows: str | Mode) -> Fault:
    """An inverse with wrong rows in the table of modes, which returns unrounded floats."""
    table = {mode: row(rows[mode]) for mode in MODES if mode in rows}
    return of_rows(name, story, origin, table, "restores_floats", "inverse")


def of_rows(
    name: str,
    story: str,
    origin: str | None,
    rows: Mapping[ModeName, Mode],
    caught_by: str = "value",
    direction: Direction = "forward",
) -> Fault:
    """A fault that takes each of some modes for another."""
    compute = reference.forward if direction == "forward" else reference.inverse
    function = on_arrays(lambda x, mode: compute(x, rows.get(mode) or definition(mode), computed(x)))
    return Fault(name, story, caught_by, direction, lambda: function, tuple(rows), origin, rows=rows)
