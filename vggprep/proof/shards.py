"""Judging one part of an enumeration: every pattern of a range, in all three channels, through one function.

The result is a ``Tally`` for each data format: how many values were wrong, a digest of the outputs and the worst error
with the input that attains it. The worst error is searched for in float64 and then computed exactly, in rationals.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, SupportsBytes

import numpy as np
import numpy.typing as npt

from vggprep import kernels, oracle, tolerance
from vggprep.cases import Array, Case, Cell, dtype_of
from vggprep.checks.subject import Subject
from vggprep.conformance.words import sentence
from vggprep.implementations import Implementation
from vggprep.implementations.callables import NoArray, Outcome, as_array, call, describe, keywords
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.oracle import FORMATS, Float64
from vggprep.proof import environment
from vggprep.proof.domains import BITS, domain
from vggprep.spec import DataFormat, Direction, Mode, ModeName
from vggprep.spec import definition as definition_of

IMAGE = 1 << 17
"""Pixels in one image: enough to make the cost of a call negligible, few enough to stay in the cache."""

_BLOCK = 1 << 14
"""Values judged at a time: intermediate results stay in the cache of one core."""

_SUSPECT = 1 << 12
"""Values judged where compiled loops have found that they are to be looked at."""

_REPAYS = 1 << 20
"""Patterns in a part from which compiled loops repay the time to load them."""

Bools = npt.NDArray[np.bool_]

Problem = Literal["no_result", "type", "shape", "dtype"]
"""Why an output cannot be right, whatever its values.

``no_result``: an exception, or a program or model that gives no array. Else the type, shape or dtype is wrong.
"""


class Part(NamedTuple):
    """One part of the work: patterns ``start`` to ``stop`` of ``dtype`` through one function in one mode.

    ``implementation`` is an index into those that ``spec`` names. ``stop_at_first``: stop at the first image with a
    counterexample. ``own``: the definition of a mode that is not Keras's, for a process that has not met it.
    """

    spec: TargetSpec
    implementation: int
    direction: Direction
    mode: ModeName
    data_formats: tuple[DataFormat, ...]
    dtype: str
    start: int
    stop: int
    stop_at_first: bool = True
    own: Mode | None = None


class WorstError(NamedTuple):
    """The largest error, correctly rounded, with the input that attains it: its bits and its RGB channel.

    No other input's error is larger by more than ``2**-24`` of itself or of ``u·S``.
    """

    error: float
    bits: str
    value: str
    channel: int


@dataclass(frozen=True)
class Tally:
    """The result of one part in one data format.

    ``wrong`` counts values; ``counterexample`` holds three values that make a pixel, as hexadecimal bits. ``units``
    and ``levels`` are the worst errors in ``u·S`` and in grey levels: of a forward function against the formula, of
    an inverse against the image that it should restore. ``lost`` counts the whole numbers 0..255 that were not
    restored. ``message`` puts ``problem`` into words.
    """

    data_format: DataFormat
    patterns: int = 0
    wrong: int = 0
    digest: str = ""
    problem: Problem | None = None
    message: str = ""
    counterexample: tuple[str, str, str] | None = None
    units: WorstError | None = None
    levels: WorstError | None = None
    lost: int = 0


def implementations(spec: TargetSpec) -> list[Implementation]:
    """The implementations that ``spec`` names, loaded once in a process, and again when their files have changed."""
    return _loaded(spec, tuple(environment.files(spec).items()))


@lru_cache(maxsize=4)
def _loaded(spec: TargetSpec, files: tuple[tuple[str, str], ...]) -> list[Implementation]:
    return load_all(spec)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@lru_cache(maxsize=1)
def tune_malloc() -> None:
    """Make glibc keep freed memory: getting each array anew from the kernel costs more than filling it."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        allocator.mallopt(_M_TRIM_THRESHOLD, 1 << 28)


@lru_cache(maxsize=1)
def _loops() -> Any:
    """The compiled loops, or ``None`` without a numba that works: NumPy gives the same, in more time."""
    try:
        if not kernels.is_numba_installed():
            return None
        from vggprep.proof import compiled

        compiled.exact_plane(np.zeros(1, np.float32), "forward", "torch", 0)
        if compiled.has_registers():
            compiled.sixteen(np.zeros((compiled.LANES, compiled.BLOCK), np.uint8))
    except Exception:  # whatever numba raises where it cannot be imported, compile or keep its machine code
        return None
    return compiled


def judge(part: Part) -> list[Tally]:
    """Enumerate one part: a tally for each of its data formats."""
    implementation = implementations(part.spec)[part.implementation]
    run = _Run(part, implementation)
    with np.errstate(all="ignore"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return run.tallies()


class _Block(NamedTuple):
    """Values of one channel, and where they come from: arrays of equal length, or one value of each.

    ``original`` is the image's value, ``input`` what the function gets (for an inverse, the preprocessed original),
    ``got`` its output. ``channel`` counts the mode's constants, ``image_channel`` is 0 for red.
    """

    original: Any
    input: Any
    got: Any
    channel: int
    image_channel: int

    def at(self, place: int | slice) -> _Block:
        return self._replace(original=self.original[place], input=self.input[place], got=self.got[place])


@dataclass
class _Maximum:
    """The largest error so far, in float64, and where it was; ``telling`` as in ``tolerance.shown``."""

    error: float = 0.0
    at: _Block | None = None
    telling: int = 0

    def update(self, errors: Float64, block: _Block, among: Bools | None = None, telling: int = 0) -> None:
        """Look through the ``errors`` of a block, or through some ``among`` them."""
        if telling < self.telling:
            return
        if among is not None:
            if not among.any():
                return
            errors = np.where(among, errors, -1.0)
        index = int(np.argmax(errors))
        if np.isnan(errors[index]):
            errors = np.nan_to_num(errors, nan=np.inf, posinf=np.inf)
            index = int(np.argmax(errors))
        if telling > self.telling or errors[index] > self.error or self.at is None:
            self.error, self.at, self.telling = float(errors[index]), block.at(index), telling


def _least(maxima: Sequence[_Maximum]) -> float:
    """The worst error so far, in all of them; -1 for none, and infinite where right values no longer count."""
    return min(-1.0 if m.at is None else np.inf if m.telling else m.error for m in maxima)


def _found(maximum: _Maximum) -> tuple[bool, int, float]:
    return maximum.at is not None, maximum.telling, maximum.error


@dataclass
class _Running:
    """The result so far: of one image, or of one part in one data format."""

    patterns: int = 0
    wrong: int = 0
    lost: int = 0
    counterexample: tuple[str, str, str] | None = None
    units: _Maximum = field(default_factory=_Maximum)
    levels: _Maximum = field(default_factory=_Maximum)
    problem: Problem | None = None
    message: str = ""
    digests: list[SupportsBytes] = field(default_factory=list)

    def add(self, image: _Running) -> None:
        self.patterns += image.patterns
        self.wrong += image.wrong
        self.lost += image.lost
        self.counterexample = self.counterexample or image.counterexample
        if self.problem is None:
            self.problem, self.message = image.problem, image.message
        self.units = max(self.units, image.units, key=_found)
        self.levels = max(self.levels, image.levels, key=_found)
        self.digests += image.digests


class _Output(NamedTuple):
    """The three planes that a function returned, or why there are none; both, if they have a wrong dtype.

    ``row``: the row of the batch that the planes are in, if they have been copied there.
    """

    planes: list[Array] | None
    problem: Problem | None = None
    message: str = ""
    row: Array | None = None


class _Run:
    """The enumeration of one part."""

    def __init__(self, part: Part, implementation: Implementation) -> None:
        self.part = part
        self.subject = Subject(implementation)
        self.exact = self.subject.exact
        self.domain = domain(part.dtype)
        function = self.subject.function(part.direction)
        assert function is not None
        self.function: Callable[..., Any] = function
        self.forward = part.direction == "forward"
        self.steps = definition_of(part.mode).steps
        self.bound = tolerance.bound(part.mode)
        self.input_dtype = input_dtype(part.direction, part.mode, part.dtype)
        self.to_pixels = not self.forward and any(
            self.subject.returns_pixels(Cell(part.mode, data_format, self.input_dtype, 4))
            for data_format in part.data_formats
        )

        self.loops: Any = _loops() if part.stop - part.start >= _REPAYS and self._is_plain() else None
        self.right_dtypes: set[tuple[DataFormat, np.dtype[Any]]] = set()
        self.batch: Any = None if self.loops is None else self.loops.Batch()

    def _is_plain(self) -> bool:
        """Whether the compiled loops know the dtype and the mode: no step of it is too narrow for ``S`` alone."""
        if BITS.get(self.part.dtype) != 32:
            return False
        directions: tuple[Direction, ...] = ("forward", "inverse")
        return all(tolerance.narrowness(direction, self.part.mode, "float32") is None for direction in directions)

    def tallies(self) -> list[Tally]:
        part = self.part
        running = {data_format: _Running() for data_format in part.data_formats}
        for start in range(part.start, part.stop, IMAGE):
            self._image(start, min(IMAGE, part.stop - start), running)
            if part.stop_at_first and any(found.wrong for found in running.values()):
                break
        if self.batch is not None:
            self.batch.finish()
        return [self._tally(data_format, found) for data_format, found in running.items()]

    def _tally(self, data_format: DataFormat, found: _Running) -> Tally:
        return Tally(
            data_format,
            patterns=found.patterns,
            wrong=found.wrong,
            digest=hashlib.sha256(b"".join(map(bytes, found.digests))).hexdigest()[:32],
            problem=found.problem,
            message=found.message,
            counterexample=found.counterexample,
            units=None if self.to_pixels else self._worst_error(found.units, self._exact_units),
            levels=self._worst_error(found.levels, partial(self._exact_levels, wrong=found.levels.telling > 0)),
            lost=found.lost,
        )

    # An image ---------------------------------------------------------------------------------------------------

    def _image(self, start: int, count: int, running: dict[DataFormat, _Running]) -> None:
        """Judge the image of ``count`` patterns from ``start`` on in every data format."""
        # The last image may repeat a few patterns: images have rows of 256 pixels, or of 16.
        width = 256 if self.domain.size > 256 else 16
        size = -(-count // width) * width
        originals, inputs, images = self._inputs(start, size, width)
        worst = [_least([getattr(found, name) for found in running.values()]) for name in ("units", "levels")]
        first: tuple[list[Array], _Running] | None = None
        for data_format, found in running.items():
            image = images[data_format]() if images else _image_of(inputs, data_format, width)
            output = self._call(image, inputs, data_format, carefully=start == self.part.start)
            if output.planes is None:
                index, output = self._culprit(inputs, data_format, output)
                pixel = _pixel(inputs, index)
                nothing = _Running(wrong=1, problem=output.problem, message=output.message, counterexample=pixel)
                nothing.digests.append(hashlib.sha256().digest())
                found.add(nothing)
            elif output.problem is not None:
                found.add(self._of_wrong_dtype(originals, inputs, output, count))
            else:
                # Equal bits in both data formats are judged once.
                if first is None or not all(map(self._are_equal, output.planes, first[0])):
                    if output.row is None:  # a function may use its memory again
                        copies = [plane if plane.flags.owndata else plane.copy() for plane in output.planes]
                        output = output._replace(planes=copies)
                    first = output.planes or [], self._judge(originals, inputs, output, count, worst)
                found.add(first[1])

    def _inputs(
        self, start: int, size: int, width: int
    ) -> tuple[list[Array], list[Array], dict[DataFormat, Callable[[], Array]] | None]:
        """The planes of an image and of what the function gets for it; the latter as images, if they are made."""
        if self.loops is None:
            originals = [self.domain.values(start, size, channel) for channel in range(3)]
            return originals, originals if self.forward else self._preprocessed(originals), None
        firsts = [self.domain.first(start, channel) for channel in range(3)]
        mode = None if self.forward else self.part.mode
        made = self.loops.prepared(firsts, size, self.part.dtype, mode, no_nan=self.to_pixels)
        return (
            [*made.originals],
            [*made.inputs],
            {
                "channels_last": lambda: made.pixels.reshape(1, -1, width, 3),
                "channels_first": lambda: made.inputs.copy().reshape(1, 3, -1, width),
            },
        )

    def _preprocessed(self, originals: list[Array]) -> list[Array]:
        """The definition's outputs, for an inverse; without NaN if it returns pixels, which cannot be NaN."""
        dtype, copy = dtype_of(self.input_dtype), not self.steps
        forward = definition(originals, "forward", self.part.mode)
        planes = [plane.astype(dtype, copy=copy) for plane in forward]
        for plane in planes if self.to_pixels else ():
            if (missing := np.isnan(plane)).any():
                plane[missing] = 0
        return planes

    def _call(self, image: Array, planes: list[Array], data_format: DataFormat, *, carefully: bool) -> _Output:
        mode, axis = self.part.mode, 1 if data_format == "channels_first" else -1
        if carefully:
            outcome = call(self.function, image, mode, data_format)
            if outcome.output is None:
                silent = outcome.refusal is not None or isinstance(outcome.returned, NoArray)
                return _Output(None, "no_result" if silent else "type", str(outcome.refusal or outcome.problem or ""))
            returned = outcome.output
        else:
            try:
                returned, _ = as_array(self.function(image, **keywords(self.function, mode, data_format)))
            except Exception as error:
                return _Output(None, "no_result", describe(error))
            if not isinstance(returned, np.ndarray):
                return _Output(None, "type", f"returns a {type(returned).__name__}, not a NumPy array")
        if returned.shape != image.shape:
            return _Output(None, "shape", f"returns shape {returned.shape} for an input of shape {image.shape}")
        wrong_dtype = None
        if (data_format, returned.dtype) not in self.right_dtypes:
            wrong_dtype = self.subject.wrong_dtype(self._case(planes, data_format), Outcome(returned))
            if not wrong_dtype:
                self.right_dtypes.add((data_format, returned.dtype))
        row: Array | None = None
        if not wrong_dtype and self._are_loops_for(returned) and axis == -1:
            row = self.batch.row(returned.nbytes)
            results = self.loops.separate(returned, row)
        else:
            results = [plane.reshape(-1) for plane in np.moveaxis(returned, axis, 0)]
        return _Output(results, "dtype", sentence(wrong_dtype)) if wrong_dtype else _Output(results, row=row)

    def _are_loops_for(self, array: Array) -> bool:
        return self.loops is not None and array.dtype in (np.float32, np.uint8) and array.flags.c_contiguous

    def _are_equal(self, a: Array, b: Array) -> bool:
        if a.dtype == b.dtype and self._are_loops_for(a) and self._are_loops_for(b):
            return bool(self.loops.equal_bits(a, b))
        return _equal_bits(a, b)

    def _culprit(self, planes: list[Array], data_format: DataFormat, output: _Output) -> tuple[int, _Output]:
        """Of an image without a usable output, a pixel that has none by itself, if there is one; and its output."""
        first, last = 0, len(planes[0])
        while last - first > 1:
            middle = (first + last) // 2
            for start, stop in ((first, middle), (middle, last)):
                some = [plane[start:stop] for plane in planes]
                half = self._call(_image_of(some, data_format, 1), some, data_format, carefully=True)
                if half.planes is None:
                    first, last, output = start, stop, half
                    break
            else:
                break
        return first, output

    def _case(self, planes: list[Array], data_format: DataFormat) -> Case:
        part = self.part
        pixel = np.array([plane[0] for plane in planes]).tobytes()
        return Case(part.direction, part.mode, data_format, self.input_dtype, "c", "drawn", (1, 1, 1, 3), pixel)

    # Its values -------------------------------------------------------------------------------------------------

    def _channels(
        self, originals: list[Array], inputs: list[Array], planes: list[Array]
    ) -> Iterator[tuple[int, _Block]]:
        """Each output channel: its index and its values."""
        for channel, source, target in oracle.routes(self.part.direction, self.part.mode):
            image_channel = source if self.forward else target
            yield target, _Block(originals[image_channel], inputs[source], planes[target], channel, image_channel)

    def _judge(
        self, originals: list[Array], inputs: list[Array], output: _Output, count: int, worst: Sequence[float]
    ) -> _Running:
        running, planes = _Running(patterns=count), output.planes or []
        flags = self._flags(originals, inputs, planes, worst)
        seen = None if flags is None else int(np.bitwise_or.reduce(flags, axis=None))
        if output.row is None:
            running.digests.append(_digest(planes))
        else:
            may_be_nan = seen is None or bool(seen & self.loops.MISSING)
            running.digests.append(self.batch.add(nan=may_be_nan and planes[0].dtype == np.float32))
        # The last image of a sample may repeat some of it, which is not judged again.
        originals, inputs, planes = ([plane[:count] for plane in each] for each in (originals, inputs, planes))
        # Of an image with a wrong value the right ones do not count, so it is looked at as a whole.
        if flags is None or seen is None or seen & self.loops.WRONG:
            self._judge_blocks(running, originals, inputs, planes, None)
        elif seen & self.loops.WORSE:
            self._judge_blocks(running, originals, inputs, planes, flags & self.loops.WORSE)
        return running

    def _judge_blocks(
        self,
        running: _Running,
        originals: list[Array],
        inputs: list[Array],
        planes: list[Array],
        suspects: Array | None,
    ) -> None:
        """Judge the blocks of each plane that are ``suspects``, or all."""
        size = _BLOCK if suspects is None else _SUSPECT
        expected: dict[int, list[Array]] = {}
        for target, whole in self._channels(originals, inputs, planes):
            for number, start in enumerate(range(0, len(whole.got), size)):
                if suspects is not None and not suspects[target][number]:
                    continue
                place = slice(start, start + size)
                block = whole.at(place)
                if self.exact:
                    if start not in expected:
                        some = [plane[place] for plane in inputs]
                        expected[start] = definition(some, self.part.direction, self.part.mode, self.loops)
                    wrong = _other_bits(block.got, self._expected(expected[start][target]))
                    if self.forward:
                        self._errors(running, block, wrong)
                else:
                    wrong = self._errors(running, block)
                    if self.to_pixels:
                        wrong = self._unrestored(wrong, block, [plane[place] for plane in inputs], target)
                if not self.forward:
                    self._round_trip(running, block, wrong)
                if wrong is not None and wrong.any():
                    running.wrong += int(wrong.sum())
                    pixel = _pixel(inputs, start + int(np.argmax(wrong)))
                    running.counterexample = running.counterexample or pixel

    def _flags(
        self, originals: list[Array], inputs: list[Array], planes: list[Array], worst: Sequence[float]
    ) -> Array | None:
        """Flags of the blocks of each plane, a row for each; ``None`` where the loops do not know.

        What has none is right, and no error there is above ``worst``, in ``u·S`` and in grey levels.
        """
        dtypes = {plane.dtype for plane in planes}
        if self.loops is None or (not self.exact and (self.to_pixels or not self.steps)):
            return None
        if dtypes - {np.dtype(np.float32), np.dtype(np.uint8)} or (not self.to_pixels and np.uint8 in dtypes):
            return None
        watch = self.loops.Watch(self.part.direction, self.part.mode, _SUSPECT, *worst)
        flags = np.zeros((3, -(-len(planes[0]) // _SUSPECT)), np.uint8)
        for target, whole in self._channels(originals, inputs, planes):
            values = whole.original, whole.input, whole.got, whole.channel
            if self.to_pixels:
                watch.pixels(*values, flags=flags[target])
            else:
                watch.floats(*values, exact=self.exact, flags=flags[target])
        watch.finish()
        return flags

    def _of_wrong_dtype(self, originals: list[Array], inputs: list[Array], output: _Output, count: int) -> _Running:
        """Every value counts as wrong; the errors are searched all the same."""
        planes = [plane.copy() for plane in output.planes or []]
        running = _Running(count, 3 * count, counterexample=_pixel(inputs, 0))
        running.problem, running.message = output.problem, output.message
        running.digests.append(_digest(planes))
        for _, block in self._channels(originals, inputs, planes):
            target, unit = block.original.astype(np.float64), 1.0
            if self.forward:
                target, _ = oracle.real_plane(target, "forward", self.part.mode, block.channel)
                unit = float(oracle.grey_levels(self.part.mode)[block.channel])
            self._update_levels(running, np.abs(block.got.astype(np.float64) - target) * unit, block)
        return running

    def _expected(self, plane: Array) -> Array:
        """The definition's values as the function returns them: as pixels, if it does."""
        return np.clip(np.rint(plane), 0, 255) if self.to_pixels else plane

    def _errors(self, running: _Running, block: _Block, bits: Bools | None = None) -> Bools | None:
        """Look at the errors against the formula in real numbers; return where they break the bound, if anywhere.

        ``bits``: what is wrong, if bits decide.
        """
        mode, got = self.part.mode, block.got
        if self.forward and not self.steps:
            other = _other_values(got, block.input) if bits is None else bits
            if other.any():
                wide = block.input.dtype.kind in "iu" and block.input.dtype.itemsize == 8 and tolerance.is_floating(got)
                off = tolerance.distance(got, block.input) if wide else np.abs(got.astype(np.float64) - block.input)
                self._update_levels(running, off, block, other)
            return other
        values = block.input.astype(np.float64)
        target, scale = oracle.real_plane(values, self.part.direction, mode, block.channel)
        output = block.channel if self.forward else block.image_channel
        if self.to_pixels:
            slack = tolerance.pixel_slack(scale, self.part.direction, mode, self.input_dtype, output)
            return _no_pixels(got, target, slack)
        name = oracle.name_of(got.dtype)
        result, limit = got.astype(np.float64), tolerance.limit(self.input_dtype, name)
        difference = np.subtract(result, target)
        np.abs(difference, out=difference)
        units = difference / tolerance.scaled(scale, self.part.direction, mode, name, output)
        units /= FORMATS[name].unit_roundoff
        if not self.steps:
            units[difference == 0] = 0.0  # 0 of 0
        judged = None if _all_within(values, limit) and _all_within(target, limit) else _within(values, target, limit)
        if (reached := tolerance.within_reach(values, self.part.direction, mode, name, output)) is not None:
            judged = reached if judged is None else judged & reached
        if name == "float64":
            self._sharpen(units, values, result, block.channel)
        wrong = None
        if judged is not None:
            wrong = tolerance.unfaithful(values, result, target, judged, units, self.bound)
        elif not units.max() <= self.bound:
            wrong = ~(units <= self.bound)
        if self.forward:
            running.units.update(units, block, judged)
            levels = difference * float(oracle.grey_levels(mode)[block.channel])
            self._update_levels(running, levels, block, wrong if bits is None else bits)
        return wrong

    def _unrestored(self, wrong: Bools | None, block: _Block, inputs: list[Array], target: int) -> Bools | None:
        """What is wrong, and where a byte does not come back that the definition keeps: the bound may allow it."""
        original = block.original.astype(np.float64)
        lost: Bools = (block.got != original) & (np.clip(np.rint(original), 0, 255) == original)
        if not lost.any():
            return wrong
        lost &= self._expected(definition(inputs, "inverse", self.part.mode)[target]) == original
        return lost if wrong is None else wrong | lost

    def _sharpen(self, units: Float64, values: Float64, result: Float64, channel: int) -> None:
        """Compute in rationals what float64 cannot resolve: all of a sample; otherwise what may break the bound."""
        doubtful = np.isfinite(values) & np.isfinite(result)
        if self.domain.complete:
            doubtful &= units > self.bound - 5  # more than the errors of real_plane
        part = self.part
        for index in np.flatnonzero(doubtful).tolist():
            value, found = float(values[index]), float(result[index])
            units[index] = float(oracle.one_error(value, found, part.direction, part.mode, channel, "float64"))

    def _round_trip(self, running: _Running, block: _Block, wrong: Bools | None) -> None:
        """Look at how far the restored values are from the image."""
        original, restored = block.original.astype(np.float64), block.got.astype(np.float64)
        if self.to_pixels:
            pixels = (original == np.rint(original)) & (original >= 0) & (original <= 255)
            running.lost += int((pixels & (restored != original)).sum())
            original = np.clip(original, 0, 255)
            if wrong is not None:
                original = np.where(wrong, np.rint(original), original)
        difference = np.abs(restored - original)
        self._update_levels(running, difference, block, wrong)
        if self.to_pixels:
            return
        _, scale = oracle.real_plane(block.input.astype(np.float64), "inverse", self.part.mode, block.channel)
        name = oracle.name_of(block.got.dtype)
        scale = tolerance.scaled(scale, "inverse", self.part.mode, name, block.image_channel)
        units = difference / scale / FORMATS[name].unit_roundoff
        limit = tolerance.limit(self.input_dtype, name)
        judged = None
        if not (_all_within(original, limit) and _all_within(restored, limit)):
            judged = _within(original, restored, limit)
        values = block.input.astype(np.float64)
        if (
            reached := tolerance.within_reach(values, "inverse", self.part.mode, name, block.image_channel)
        ) is not None:
            judged = reached if judged is None else judged & reached
        if not self.steps:
            units[difference == 0] = 0.0  # 0 of 0
        running.units.update(units, block, judged)

    def _update_levels(self, running: _Running, levels: Float64, block: _Block, wrong: Bools | None = None) -> None:
        among, telling = None, 0
        if wrong is not None or not _all_within(block.original, tolerance.PIXEL_LIKE):
            among, telling = tolerance.shown(block.original.astype(np.float64), wrong)
        running.levels.update(levels, block, among, telling)

    # What was found, exactly ------------------------------------------------------------------------------------

    def _worst_error(self, maximum: _Maximum, exactly: Callable[[_Block], Fraction]) -> WorstError | None:
        at = maximum.at
        if at is None:
            return None
        finite = all(np.isfinite(float(value)) for value in (at.original, at.input, at.got))
        error = float(exactly(at)) if finite else maximum.error
        return WorstError(error, _bits(at.original), repr(at.original.item()), at.image_channel)

    def _exact_units(self, at: _Block) -> Fraction:
        mode, name = self.part.mode, oracle.name_of(at.got.dtype)
        original, got = at.original.item(), at.got.item()
        if self.forward and not self.steps:
            return Fraction(0)
        if self.forward:
            return oracle.one_error(original, got, "forward", mode, at.channel, name)
        scale = oracle.one_scale(at.input.item(), "inverse", mode, at.channel, name)
        error = abs(Fraction(got) - Fraction(original))
        return error / scale * (1 << FORMATS[name].precision) if error and scale is not None else Fraction(0)

    def _exact_levels(self, at: _Block, *, wrong: bool) -> Fraction:
        mode, original, got = self.part.mode, Fraction(at.original.item()), Fraction(at.got.item())
        if self.to_pixels:
            pixel = min(max(original, Fraction(0)), Fraction(255))
            return abs(got - (round(pixel) if wrong else pixel))
        if not self.forward:
            return abs(got - original)
        unit = oracle.one_real(1, "forward", mode, at.channel) - oracle.one_real(0, "forward", mode, at.channel)
        return abs(got - oracle.one_real(at.original.item(), "forward", mode, at.channel)) / abs(unit)


def input_dtype(direction: Direction, mode: ModeName, dtype: str) -> str:
    """The dtype that a function gets for patterns of ``dtype``: an inverse gets the definition's floats."""
    if direction == "forward":
        return dtype
    computed = oracle.computed_dtype(dtype, mode)
    return computed if computed in ("float16", "float32", "float64") else "float32"


def definition(planes: list[Array], direction: Direction, mode: ModeName, loops: Any = None) -> list[Array]:
    """What the definition gives for ``planes``, in the dtype that it computes in; by compiled ``loops``, if given."""
    dtype = planes[0].dtype
    if direction == "forward" and not definition_of(mode).steps:
        return [planes[source] for source in oracle.input_channels(direction, mode)]
    computed = oracle.computed_dtype(oracle.name_of(dtype), mode, direction)
    result: list[Array] = [planes[0]] * 3
    if computed == "float32" and not (dtype.kind in "iu" and dtype.itemsize == 8):
        for channel, source, target in oracle.routes(direction, mode):
            result[target] = (loops or oracle).exact_plane(planes[source], direction, mode, channel)
        return result
    together = oracle.exact(np.stack(planes, axis=-1), direction, mode).astype(computed)
    return [np.ascontiguousarray(together[..., channel]) for channel in range(3)]


def _bits(value: Any) -> str:
    """The bits of a NumPy scalar, as hexadecimal digits."""
    return np.asarray(value).tobytes()[::-1].hex()


def from_bits(bits: str, dtype: str) -> Array:
    """The 0-d array with these bits."""
    return np.frombuffer(bytes.fromhex(bits)[::-1], dtype_of(dtype)).reshape(())


def _pixel(planes: list[Array], index: int) -> tuple[str, str, str]:
    first, second, third = (_bits(plane[index]) for plane in planes)
    return first, second, third


def _equal_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(_unsigned(a), _unsigned(b))


def _unsigned(x: Array) -> Array:
    return x.view(f"u{x.dtype.itemsize}")


def _digest(planes: Sequence[Array]) -> bytes:
    """The digest of an image: of one plane after the other."""
    together = hashlib.sha256()
    for plane in planes:
        together.update(_canonical(plane).data)
    return together.digest()


def _image_of(planes: Sequence[Array], data_format: DataFormat, width: int) -> Array:
    """The image with these planes."""
    axis = 1 if data_format == "channels_first" else -1
    return np.ascontiguousarray(np.stack([plane.reshape(1, -1, width) for plane in planes], axis=axis))


def _canonical(plane: Array) -> Array:
    """The bytes to take a digest of: native, all NaNs made one."""
    if oracle.name_of(plane.dtype) in FORMATS and (missing := np.isnan(plane)).any():
        plane = np.where(missing, np.array(np.nan, plane.dtype), plane)
    return _unsigned(plane)


def _other_bits(got: Array, expected: Array) -> Bools | None:
    """Where the bits differ, all NaNs being equal; None for nowhere."""
    if got.dtype != expected.dtype:
        other = _other_values(got, expected)
        if tolerance.is_floating(got):
            other |= (got == 0) & (np.signbit(got) != np.signbit(oracle.as_float64(expected)))
        return other
    if _equal_bits(got, expected):
        return None
    wrong: Bools = _unsigned(got) != _unsigned(expected)
    wrong &= ~((got != got) & (expected != expected))
    return wrong


def _other_values(got: Array, expected: Array) -> Bools:
    """Where the values differ, all NaNs being equal, and zeros of either sign."""
    if expected.dtype.kind in "iu" and expected.dtype.itemsize == 8 and tolerance.is_floating(got):
        return np.not_equal(tolerance.distance(got, expected), 0)
    wrong: Bools = (got != expected) & ~((got != got) & (expected != expected))
    return wrong


def _no_pixels(got: Array, target: Float64, slack: Float64) -> Bools:
    """Where integers are not a rounding of the clipped real values, give or take ``slack``."""
    slack = np.where(np.isfinite(slack), slack, 0.0)
    wrong: Bools = ~(
        (np.clip(target - slack, 0.0, 255.0) - 0.5 <= got) & (got <= np.clip(target + slack, 0.0, 255.0) + 0.5)
    )
    return wrong


def _all_within(values: Array, limit: float) -> bool:
    """Whether no magnitude is above ``limit``, and nothing is NaN."""
    return bool(values.max() <= limit and values.min() >= -limit)


def _within(a: Float64, b: Float64, limit: float) -> Bools:
    within: Bools = (np.abs(a) <= limit) & (np.abs(b) <= limit)
    return within
