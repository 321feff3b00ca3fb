"""``Seen``, one input with its outcome, and ``Statement``, what may be said of many. Imports NumPy and the oracle."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vggprep import oracle, tolerance
from vggprep.cases import Case, from_format
from vggprep.explanation.affine import Affine
from vggprep.faults import Fault
from vggprep.implementations.callables import Outcome
from vggprep.spec import ModeName

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

ROUNDINGS = 16
"""How far an output may be from a prediction, in unit roundoffs of its largest value: a dozen operations."""

_COLOURS = 8
"""Distinct pixels from which an image can tell causes apart: black, white, grey and single pixels cannot."""


T = TypeVar("T")


class Seen(NamedTuple):
    """One input, and what came of it."""

    case: Case
    outcome: Outcome

    @property
    def array(self) -> Array:
        """The input; a new array."""
        return self.case.array()

    @property
    def x(self) -> Float64:
        """The values of the input, channels last; read-only."""
        return values_of(self.case.of_values)

    @property
    def y(self) -> Float64 | None:
        """The output, seen as channels last, if it has the input's shape."""
        output = self.outcome.output
        if output is None or output.shape != self.case.array_shape:
            return None
        return oracle.as_float64(from_format(output, self.case.data_format))

    @property
    def tells(self) -> bool:
        """Whether the image has enough colours to tell one cause from another."""
        return _tells(self.case)


def kept_of_small(make: Callable[..., T]) -> Callable[..., T]:
    """What is made of a case, the last argument, as an array that is read-only or ``None``; of small images, once."""

    @functools.lru_cache(maxsize=8192)
    def kept(*of: Any) -> T:
        made = make(*of)
        if isinstance(made, np.ndarray):
            made = made.view()
            made.flags.writeable = False
        return made

    return lambda *of: (kept if math.prod(of[-1].shape) <= _SMALL else make)(*of)


_SMALL = 1024  # numbers


@kept_of_small
def values_of(case: Case) -> Float64:
    """The values of an input, channels last."""
    return oracle.as_float64(case.view())


def grey_levels(error: float) -> str:
    """An error in words."""
    return f"{error:.2g} grey level{'s' * (f'{error:.2g}' != '1')}"


def said_end(low: float, high: float) -> str:
    """What is clipped, in words; empty if nothing is."""
    if np.isinf(low):
        return "" if np.isinf(high) else f"at most {high:.6g}"
    return f"at least {low:.6g}" if np.isinf(high) else f"{low:.6g}..{high:.6g}"


def seen_last(outcome: Outcome, case: Case) -> Outcome:
    """An outcome with the output seen as channels last, if it has as many axes as the input."""
    output = outcome.output
    if output is None or output.ndim != case.rank:
        return outcome
    return outcome._replace(output=from_format(output, case.data_format))


@functools.lru_cache(maxsize=8192)
def _tells(case: Case) -> bool:
    pixels = case.values().reshape(-1, 3)
    if pixels.dtype == np.bool_ or len(pixels) < _COLOURS:
        return False
    return len(np.unique(pixels[:4096], axis=0)) >= _COLOURS and bool((pixels != pixels[:, :1]).any())


Kind = Literal["mode", "fault", "family", "inverse", "steps", "measured", "rounding"]


@dataclass(frozen=True, eq=False)
class Statement:
    """What a function does. ``predict`` is its output for an input, ``None`` where it would raise.

    ``text`` completes "it ...". ``single``: only to the precision of float32, whatever the output's dtype. ``size``: of
    the numbers that are combined before the output is clipped, and rounded in float32 at best. ``channels``: the
    affine map of each channel, where that is all. ``within``: how far off it may be beside rounding, which the text
    says. ``also``: names of others that everything seen fits as well; of steps, their texts.
    """

    kind: Kind
    name: str
    text: str
    predict: Callable[[Seen], Array | None]
    fault: Fault | None = None
    mode: ModeName | None = None
    single: bool = False
    size: float = 0.0
    within: float = 0.0
    channels: Affine | None = None
    also: tuple[str, ...] = ()


def same(seen: Array, predicted: Array, *, single: bool = False, size: float = 0.0, within: float = 0.0) -> bool:
    """Whether an output is a prediction, but for rounding: in the output's own dtype, or ``single`` precision.

    ``size``, ``within``: see ``Statement``. The bound comes from the output alone: a prediction does not widen it by
    being far off.
    """
    if seen.shape != predicted.shape:
        return False
    a, b = oracle.as_float64(seen), oracle.as_float64(predicted)
    u, of_float32 = unit_roundoff(seen.dtype), oracle.FORMATS["float32"].unit_roundoff
    if single:
        u = max(u, of_float32)
    with np.errstate(all="ignore"):
        furthest = np.abs(a - b).max(initial=0.0)
    whole = seen.dtype.kind in "iub" and not within and math.isfinite(furthest)
    finite = np.isfinite(a)
    if not math.isfinite(furthest):
        same_others = tolerance.same_values(a[~finite], b[~finite], signed_zero=False)
        if (finite != np.isfinite(b)).any() or not same_others.all():
            return False
    largest = np.abs(a[finite]).max(initial=0.0)
    bound = 0.0 if whole else ROUNDINGS * u * largest + min(ROUNDINGS * of_float32 * size, 0.01 * largest) + within
    return bool((np.abs(a[finite] - b[finite]) <= bound).all())


@functools.cache
def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """That of a floating dtype; of others, that of float32, which they are computed in."""
    return oracle.FORMATS[dtype.name if dtype.name in oracle.FORMATS else "float32"].unit_roundoff
