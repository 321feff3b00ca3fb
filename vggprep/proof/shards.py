"""Judging one part of an enumeration: every pattern of a range, in all three channels, through one function.

What is known of the part afterwards is a ``Tally`` for each data format: how many values were wrong, a digest of the
outputs and the worst error with the input that attains it. Errors are looked for in float64 and told exactly, by
rationals.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Array, Case, Cell, dtype_of
from vggprep.checks.subject import Subject
from vggprep.implementations import Implementation
from vggprep.implementations.callables import call, describe, keywords
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.oracle import FORMATS, Float64
from vggprep.proof.domains import domain
from vggprep.spec import MODES, DataFormat, Direction, ModeName

IMAGE = 1 << 17
"""Pixels in one image: enough that a call costs little, few enough that it stays in the cache."""

_BLOCK = 1 << 14
"""Values judged at a time: what is computed on the way stays in the cache of one core."""


class Part(NamedTuple):
    """One part of the work: patterns ``start`` to ``stop`` of ``dtype`` through one function in one mode.

    ``implementation`` counts among those that ``wanted`` names. ``everything``: go on after a counterexample.
    """

    wanted: TargetSpec
    implementation: int
    direction: Direction
    mode: ModeName
    data_formats: tuple[str, ...]
    dtype: str
    start: int
    stop: int
    everything: bool = False


class Worst(NamedTuple):
    """An error, exact to the last digit of a float, with the input that attains it: its bits and its RGB channel.

    No other input's error is larger by more than ``2**-24`` of itself or of ``u·S``.
    """

    error: float
    bits: str
    value: str
    channel: int


@dataclass(frozen=True)
class Tally:
    """What came of one part in one data format.

    ``wrong`` counts values; ``counterexample`` holds three values that make a pixel, as hexadecimal bits. ``units``
    and ``levels`` are the worst errors in ``u·S`` and in grey levels: of a forward function against the formula, of
    an inverse against the image that it should give back. ``lost`` counts the whole numbers 0..255 that did not come
    back. ``refusal`` says why nothing was judged, or what broke off.
    """

    data_format: DataFormat
    patterns: int = 0
    wrong: int = 0
    digest: str = ""
    refusal: str = ""
    counterexample: tuple[str, str, str] | None = None
    units: Worst | None = None
    levels: Worst | None = None
    lost: int = 0


@lru_cache(maxsize=4)
def implementations(wanted: TargetSpec) -> list[Implementation]:
    """The implementations that ``wanted`` names, loaded once in a process."""
    return load_all(wanted)


def judge(part: Part) -> list[Tally]:
    """Enumerate one part: a tally for each of its data formats."""
    implementation = implementations(part.wanted)[part.implementation]
    run = _Run(part, implementation)
    with np.errstate(all="ignore"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return run.tallies()


@dataclass
class _Search:
    """The largest error so far, as float64 knows it, and where it was."""

    error: float = 0.0
    at: tuple[Any, ...] = ()

    def look(self, errors: Float64, *places: Array | int, among: npt.NDArray[np.bool_] | None = None) -> None:
        """Look through ``errors``, which came about at ``places``: arrays like ``errors``, or one for all."""
        if among is not None:
            if not among.any():
                return
            errors = np.where(among, errors, -1.0)
        index = int(np.argmax(errors))
        if np.isnan(errors[index]):
            errors = np.nan_to_num(errors, nan=np.inf, posinf=np.inf)
            index = int(np.argmax(errors))
        if errors[index] > self.error or not self.at:
            self.error = float(errors[index])
            self.at = tuple(p if isinstance(p, int) else p[index] for p in places)


def _found(search: _Search) -> tuple[bool, float]:
    return bool(search.at), search.error


@dataclass
class _Seen:
    """What one image, or one part in one data format, has come to."""

    patterns: int = 0
    wrong: int = 0
    lost: int = 0
    counterexample: tuple[str, str, str] | None = None
    units: _Search = field(default_factory=_Search)
    levels: _Search = field(default_factory=_Search)
    refusal: str = ""
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, image: _Seen) -> None:
        self.patterns += image.patterns
        self.wrong += image.wrong
        self.lost += image.lost
        self.counterexample = self.counterexample or image.counterexample
        self.refusal = self.refusal or image.refusal
        self.units = max(self.units, image.units, key=_found)
        self.levels = max(self.levels, image.levels, key=_found)
        self.digest.update(image.digest.digest())


class _Run:
    """One part on its way."""

    def __init__(self, part: Part, implementation: Implementation) -> None:
        self.part = part
        self.subject = Subject(implementation)
        self.exact = self.subject.exact
        self.domain = domain(part.dtype)
        function = self.subject.function(part.direction)
        assert function is not None
        self.function: Callable[..., Any] = function
        self.forward = part.direction == "forward"
        self.steps = MODES[part.mode].steps
        self.fed = fed_dtype(part.direction, part.mode, part.dtype)
        self.to_pixels = not self.forward and any(
            self.subject.returns_pixels(Cell(part.mode, data_format, self.fed, 4)) for data_format in part.data_formats
        )

    def tallies(self) -> list[Tally]:
        part = self.part
        seen = {data_format: _Seen() for data_format in part.data_formats}
        for start in range(part.start, part.stop, IMAGE):
            self._image(start, min(IMAGE, part.stop - start), seen)
            if not part.everything and any(found.wrong for found in seen.values()):
                break
        return [self._tally(data_format, found) for data_format, found in seen.items()]

    def _tally(self, data_format: DataFormat, seen: _Seen) -> Tally:
        return Tally(
            data_format,
            seen.patterns,
            seen.wrong,
            seen.digest.hexdigest()[:32],
            seen.refusal,
            seen.counterexample,
            None if self.to_pixels else self._told(seen.units, self._exact_units),
            self._told(seen.levels, self._exact_levels),
            seen.lost,
        )

    # An image ---------------------------------------------------------------------------------------------------

    def _image(self, start: int, count: int, seen: dict[str, _Seen]) -> None:
        """Judge the image of ``count`` patterns from ``start`` on in every data format."""
        # A few patterns come twice where the last image is not full: images have rows of 256 pixels, or of 16.
        width = 256 if self.domain.size > 256 else 16
        size = -(-count // width) * width
        originals = [self.domain.values(start, size, channel) for channel in range(3)]
        fed = originals if self.forward else self._preprocessed(originals)
        expected = definition(fed, self.part.direction, self.part.mode) if self.exact else None
        first: tuple[list[Array], _Seen] | None = None
        for data_format, found in seen.items():
            planes, trouble = self._call(fed, data_format, width, carefully=start == self.part.start)
            if planes is None:
                index, trouble = self._culprit(fed, data_format, trouble)
                found.add(_Seen(wrong=1, refusal=trouble, counterexample=_pixel(fed, index)))
                continue
            if trouble:
                found.add(self._of_wrong_dtype(originals, fed, planes, count, trouble))
                continue
            # Where two formats give the same bits, what is known of the one is known of the other.
            if first is None or not all(_equal_bits(a, b) for a, b in zip(planes, first[0], strict=True)):
                first = planes, self._judge(originals, fed, expected, planes, count)
            found.add(first[1])

    def _preprocessed(self, originals: list[Array]) -> list[Array]:
        """What an inverse is fed: the definition's outputs; no NaN where the inverse is to pixels, which have none."""
        planes = [p.astype(dtype_of(self.fed)) for p in definition(originals, "forward", self.part.mode)]
        for plane in planes if self.to_pixels else ():
            plane[np.isnan(plane)] = 0
        return planes

    def _call(
        self, planes: list[Array], data_format: DataFormat, width: int, *, carefully: bool
    ) -> tuple[list[Array] | None, str]:
        """The planes that come out, or why there are none; both, if they have a wrong dtype."""
        image = np.stack(planes, axis=-1).reshape(1, -1, width, 3)
        if data_format == "channels_first":
            image = np.stack(planes).reshape(1, 3, -1, width)
        mode = self.part.mode
        if carefully:
            outcome = call(self.function, image, mode, data_format)
            if outcome.output is None:
                return None, outcome.refusal or outcome.problem or ""
            returned = outcome.output
        else:
            try:
                returned = self.function(image, **keywords(self.function, mode, data_format))
            except Exception as error:
                return None, describe(error)
            if not isinstance(returned, np.ndarray):
                return None, f"returns a {type(returned).__name__}, not a NumPy array"
        if returned.shape != image.shape:
            return None, f"returns shape {returned.shape} for an input of shape {image.shape}"
        wrong_dtype = self.subject.wrong_dtype(self._case(planes, data_format), returned) or ""
        # Copies, since the function may use its memory again.
        if data_format == "channels_first":
            return [returned[0, channel].reshape(-1).copy() for channel in range(3)], wrong_dtype
        return [returned[..., channel].reshape(-1).copy() for channel in range(3)], wrong_dtype

    def _culprit(self, planes: list[Array], data_format: DataFormat, trouble: str) -> tuple[int, str]:
        """Of an image that gives no result, a pixel that gives none by itself, if there is one, and what is said."""
        first, last = 0, len(planes[0])
        while last - first > 1:
            middle = (first + last) // 2
            for start, stop in ((first, middle), (middle, last)):
                found, said = self._call([p[start:stop] for p in planes], data_format, 1, carefully=True)
                if found is None:
                    first, last, trouble = start, stop, said
                    break
            else:
                break
        return first, trouble

    def _case(self, planes: list[Array], data_format: DataFormat) -> Case:
        pixel = np.array([plane[0] for plane in planes])
        words = (self.part.direction, self.part.mode, data_format, self.fed, "c", "drawn", (1, 1, 1, 3))
        return Case(*words, pixels=pixel.tobytes())

    # Its values -------------------------------------------------------------------------------------------------

    def _judge(
        self,
        originals: list[Array],
        fed: list[Array],
        expected: list[Array] | None,
        planes: list[Array],
        count: int,
    ) -> _Seen:
        seen = _Seen(patterns=count)
        for plane in planes:
            seen.digest.update(_canonical(plane))
        for number, source, target in oracle.channels(self.part.direction, self.part.mode):
            rgb = source if self.forward else target
            for at in range(0, len(planes[target]), _BLOCK):
                block = slice(at, at + _BLOCK)
                got, x, y = planes[target][block], originals[rgb][block], fed[source][block]
                if expected is not None:
                    wrong = _other_bits(got, self._due(expected[target][block]))
                    if self.forward:
                        self._errors(seen, x, y, got, number, rgb)
                else:
                    wrong = self._errors(seen, x, y, got, number, rgb)
                if not self.forward:
                    self._round_trip(seen, x, y, got, number, rgb)
                if wrong is not None and wrong.any():
                    seen.wrong += int(wrong.sum())
                    seen.counterexample = seen.counterexample or _pixel(fed, at + int(np.argmax(wrong)))
        return seen

    def _of_wrong_dtype(
        self, originals: list[Array], fed: list[Array], planes: list[Array], count: int, trouble: str
    ) -> _Seen:
        """Every value is wrong, whatever it is; how far off is told all the same."""
        seen = _Seen(patterns=count, wrong=3 * count, refusal=trouble, counterexample=_pixel(fed, 0))
        for plane in planes:
            seen.digest.update(_canonical(plane))
        for number, source, target in oracle.channels(self.part.direction, self.part.mode):
            rgb = source if self.forward else target
            x, y, got = originals[rgb], fed[source], planes[target]
            due, unit = x.astype(np.float64), 1.0
            if self.forward:
                due, _ = oracle.real_plane(due, "forward", self.part.mode, number)
                unit = float(oracle.grey_levels(self.part.mode)[number])
            self._look_at_levels(seen, np.abs(got.astype(np.float64) - due) * unit, x, y, got, number, rgb)
        return seen

    def _due(self, expected: Array) -> Array:
        """The definition's values as the function returns them: as pixels, if it does."""
        return np.clip(np.rint(expected), 0, 255) if self.to_pixels else expected

    def _errors(
        self, seen: _Seen, x: Array, fed: Array, got: Array, number: int, rgb: int
    ) -> npt.NDArray[np.bool_] | None:
        """Look at the errors against the formula in real numbers; return where they break the bound, if anywhere."""
        direction, mode = self.part.direction, self.part.mode
        if self.forward and not self.steps:
            return _other_values(got, fed)
        values = fed.astype(np.float64)
        target, scale = oracle.real_plane(values, direction, mode, number)
        if self.to_pixels:
            return _no_pixels(got, target, oracle.FAITHFUL_BOUND * FORMATS[self.fed].unit_roundoff * scale)
        name = oracle.name_of(got.dtype)
        result, limit = got.astype(np.float64), oracle.limit(self.fed, name)
        difference = np.subtract(result, target)
        np.abs(difference, out=difference)
        u = FORMATS[name].unit_roundoff
        units = difference / (u * scale)
        if not self.steps:
            units[difference == 0] = 0.0  # 0 of 0
        judged = None if _all_within(values, limit) and _all_within(target, limit) else _within(values, target, limit)
        if name == "float64":
            self._sharpen(units, values, result, number)
        wrong = None
        if judged is not None:
            wrong = oracle.unfaithful(values, result, target, judged, units)
        elif not units.max() <= oracle.FAITHFUL_BOUND:
            wrong = ~(units <= oracle.FAITHFUL_BOUND)
        if self.forward:
            seen.units.look(units, x, fed, got, number, rgb, among=judged)
            self._look_at_levels(seen, difference * float(oracle.grey_levels(mode)[number]), x, fed, got, number, rgb)
        return wrong

    def _sharpen(self, units: Float64, values: Float64, result: Float64, number: int) -> None:
        """Do with rationals what float64 cannot tell: of a sample everything, of more what may break the bound."""
        doubtful = np.isfinite(values) & np.isfinite(result)
        if self.domain.complete:
            doubtful &= units > oracle.FAITHFUL_BOUND - 5  # more than the errors of real_plane
        part = self.part
        for index in np.flatnonzero(doubtful).tolist():
            value, found = float(values[index]), float(result[index])
            units[index] = float(oracle.one_error(value, found, part.direction, part.mode, number, "float64"))

    def _round_trip(self, seen: _Seen, x: Array, fed: Array, got: Array, number: int, rgb: int) -> None:
        """Look at how far what came back is from the image."""
        original, restored = x.astype(np.float64), got.astype(np.float64)
        if self.to_pixels:
            pixels = (original == np.rint(original)) & (original >= 0) & (original <= 255)
            seen.lost += int((pixels & (restored != original)).sum())
            original = np.clip(original, 0, 255)
        difference = np.abs(restored - original)
        self._look_at_levels(seen, difference, x, fed, got, number, rgb)
        if self.to_pixels:
            return
        values = fed.astype(np.float64)
        _, scale = oracle.real_plane(values, "inverse", self.part.mode, number)
        name = oracle.name_of(got.dtype)
        units = difference / (FORMATS[name].unit_roundoff * scale)
        limit = oracle.limit(self.fed, name)
        judged = None
        if not (_all_within(original, limit) and _all_within(restored, limit)):
            judged = _within(original, restored, limit)
        if not self.steps:
            units[difference == 0] = 0.0  # 0 of 0
        seen.units.look(units, x, fed, got, number, rgb, among=judged)

    def _look_at_levels(self, seen: _Seen, levels: Float64, x: Array, *places: Array | int) -> None:
        among = None if _all_within(x, oracle.PIXEL_LIKE) else np.abs(x.astype(np.float64)) <= oracle.PIXEL_LIKE
        seen.levels.look(levels, x, *places, among=among)

    # What was found, exactly ------------------------------------------------------------------------------------

    def _told(self, search: _Search, exactly: Callable[..., Fraction]) -> Worst | None:
        if not search.at:
            return None
        x, fed, got, number, rgb = search.at
        finite = np.isfinite([float(v) for v in (x, fed, got)]).all()
        error = float(exactly(*(v.item() for v in (x, fed, got)), number, got.dtype)) if finite else search.error
        return Worst(error, _bits(x), repr(x.item()), rgb)

    def _exact_units(self, x: float, fed: float, got: float, number: int, dtype: np.dtype[Any]) -> Fraction:
        mode, name = self.part.mode, oracle.name_of(dtype)
        if self.forward and not self.steps:
            return Fraction(0)
        if self.forward:
            return oracle.one_error(x, got, "forward", mode, number, name)
        scale = oracle.one_magnitude(fed, "inverse", mode, number)
        error = abs(Fraction(got) - Fraction(x))
        return error / scale * (1 << FORMATS[name].precision) if error else Fraction(0)

    def _exact_levels(self, x: float, fed: float, got: float, number: int, dtype: np.dtype[Any]) -> Fraction:
        mode = self.part.mode
        if not self.forward:
            original = min(max(Fraction(x), Fraction(0)), Fraction(255)) if self.to_pixels else Fraction(x)
            return abs(Fraction(got) - original)
        unit = oracle.one_real(1, "forward", mode, number) - oracle.one_real(0, "forward", mode, number)
        return abs(Fraction(got) - oracle.one_real(x, "forward", mode, number)) / unit


def fed_dtype(direction: Direction, mode: ModeName, dtype: str) -> str:
    """What a function is fed for patterns of ``dtype``: an inverse what the definition produces, as a float."""
    if direction == "forward":
        return dtype
    computed = oracle.computed_dtype(dtype, mode)
    return computed if computed in ("float16", "float32", "float64") else "float32"


def definition(planes: list[Array], direction: Direction, mode: ModeName) -> list[Array]:
    """The planes that come out for ``planes``, by the definition, in the dtype computed in."""
    dtype = planes[0].dtype
    if direction == "forward" and not MODES[mode].steps:
        return list(planes)
    computed = oracle.computed_dtype(oracle.name_of(dtype), mode, direction)
    result: list[Array] = [planes[0]] * 3
    if computed == "float32" and not (dtype.kind in "iu" and dtype.itemsize == 8):
        for channel, source, target in oracle.channels(direction, mode):
            result[target] = oracle.exact_plane(planes[source], direction, mode, channel)
        return result
    together = oracle.exact(np.stack(planes, axis=-1), direction, mode).astype(computed)
    return [np.ascontiguousarray(together[..., channel]) for channel in range(3)]


def _bits(value: Any) -> str:
    """The bits of a NumPy scalar, as hexadecimal digits."""
    return np.asarray(value).tobytes()[::-1].hex()


def from_bits(bits: str, dtype: str) -> Array:
    """The 0-d array that ``bits`` are of."""
    return np.frombuffer(bytes.fromhex(bits)[::-1], dtype_of(dtype)).reshape(())


def _pixel(planes: list[Array], index: int) -> tuple[str, str, str]:
    first, second, third = (_bits(plane[index]) for plane in planes)
    return first, second, third


def _equal_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _unsigned(x: Array) -> Array:
    return x.view(f"u{x.dtype.itemsize}")


def _canonical(plane: Array) -> Array:
    """The bytes that a digest is of: native, all NaNs made one."""
    if oracle.name_of(plane.dtype) in FORMATS and (missing := np.isnan(plane)).any():
        plane = np.where(missing, np.array(np.nan, plane.dtype), plane)
    return _unsigned(plane)


def _other_bits(got: Array, expected: Array) -> npt.NDArray[np.bool_] | None:
    """Where the bits differ, all NaNs being equal; None for nowhere."""
    if got.dtype != expected.dtype:
        return _other_values(got, expected)
    if got.tobytes() == expected.tobytes():
        return None
    wrong: npt.NDArray[np.bool_] = _unsigned(got) != _unsigned(expected)
    wrong &= ~((got != got) & (expected != expected))
    return wrong


def _other_values(got: Array, expected: Array) -> npt.NDArray[np.bool_]:
    """Where the values differ, all NaNs being equal, and zeros of either sign."""
    wrong: npt.NDArray[np.bool_] = (got != expected) & ~((got != got) & (expected != expected))
    return wrong


def _no_pixels(got: Array, target: Float64, slack: Float64) -> npt.NDArray[np.bool_]:
    """Where integers are no rounding of the clipped real values, give or take ``slack``."""
    slack = np.where(np.isfinite(slack), slack, 0.0)
    wrong: npt.NDArray[np.bool_] = ~(
        (np.clip(target - slack, 0.0, 255.0) - 0.5 <= got) & (got <= np.clip(target + slack, 0.0, 255.0) + 0.5)
    )
    return wrong


def _all_within(values: Array, limit: float) -> bool:
    """Whether no magnitude is above ``limit``, and nothing is NaN."""
    return bool(values.max() <= limit and values.min() >= -limit)


def _within(a: Float64, b: Float64, limit: float) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = (np.abs(a) <= limit) & (np.abs(b) <= limit)
    return within
