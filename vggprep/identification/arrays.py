"""What an array has been through, from its values alone. Imports NumPy and ``lattice``.

docs/arrays.md says what the words mean, and how often each is right.
"""

from __future__ import annotations

import base64
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import html
from vggprep.cases import from_format
from vggprep.identification import lattice, png
from vggprep.identification.lattice import Array, Candidate, Fit, Precision, Values
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Mode, ModeName, definition, known

SHIFTED = "itself plus whole grey levels"
ORDER = "RGB or BGR: no array tells whether red and blue were exchanged before; taken for not"


@dataclass(frozen=True, repr=False)
class ArrayIdentification:
    """What an array has most likely been through.

    ``name``: ``"raw"``, a mode, a fault, a family or two steps; ``""`` if nothing known fits. ``data_format`` is in
    words. ``why`` gives the reason for ``sure``, whose words docs/arrays.md defines. ``also``: what else would give
    such an array. ``pixels``: the original images as uint8, channels last, if they can be recovered exactly, taken for
    RGB; else ``why_not`` says why they cannot.
    """

    name: str
    story: str
    data_format: str
    sure: Literal["certain", "likely", "guess"]
    why: str
    shape: tuple[int, ...]
    dtype: str
    also: tuple[str, ...] = ()
    pixels: Array | None = field(default=None, compare=False)
    why_not: str = ""

    def __repr__(self) -> str:
        known = f"{self.name}: {self.story}" if self.name else self.story or "nothing known"
        lines = [f"{self.dtype} array of shape {self.shape}: {self.sure}, {known}", f"  {self.why}"]
        lines += [f"  data format: {self.data_format}", f"  {ORDER}"]
        if self.also:
            more = f" and {len(self.also) - 6} more" if len(self.also) > 6 else ""
            lines.append(f"  the array alone cannot tell it from {', '.join(self.also[:6])}{more}")
        if self.pixels is not None:
            lines.append("  the original pixels can be recovered exactly if that is what it is")
        else:
            lines.append(f"  the original pixels cannot be recovered exactly: {self.why_not}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks: what it is, and the first of the recovered images."""
        if self.pixels is None:
            return html.lines(repr(self))
        image = self.pixels if self.pixels.ndim == 3 else self.pixels[0]
        step = -(-max(image.shape[:2]) // _SHOWN)
        data = base64.b64encode(png.encode(image[::step, ::step])).decode()
        return f'{html.lines(repr(self))}<img alt="the recovered pixels" src="data:image/png;base64,{data}">'


_SHOWN = 320
"""The largest side of an image in a notebook, in pixels; of a larger one, every second or third line is shown."""


def identify_array(array: npt.ArrayLike, modes: Iterable[ModeName | Mode] = ()) -> ArrayIdentification:
    """Find out what an array of images has been through, and get the pixels back if possible.

    Args:
        array: one image or a batch, in either data format; integers or floats. A ``numpy.memmap`` is read image by
            image.
        modes: names or modes that it may have been through, beside Keras's and those that others have published.

    Returns:
        An object whose ``repr`` says it; ``pixels`` holds the original images where they can be recovered exactly.

    Raises:
        TypeError: text, objects, complex numbers or times.
        ValueError: a rank other than 3 or 4, no channel axis of length 3, no pixels.

    >>> import numpy as np, vggprep
    >>> image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> found = vggprep.identify_array(vggprep.preprocess_input(image, mode="torch"))
    >>> found.name, bool((found.pixels == image).all())
    ('torch', True)
    """
    own = tuple(definition(known(mode)) for mode in modes)
    a = array if isinstance(array, np.memmap) else np.asarray(array)
    with np.errstate(over="ignore", invalid="ignore"):
        answers = [_identify(a, data_format, own) for data_format in _data_formats(a)]
        if len(answers) == 1:
            return _in_other_places(a, answers[0])
    best = min(answers, key=lambda found: (_WORDS.index(found.sure), not found.name))
    if len({found.name for found in answers}) > 1:
        return best
    either = "either: the last axis and the third from the end are both 3 long"
    sure = min((found.sure for found in answers), key=_WORDS.index)
    return replace(
        best,
        data_format=either,
        sure="guess" if sure == "guess" else "likely",
        pixels=None,
        why_not="the data format cannot be determined",
    )


_WORDS = ("certain", "likely", "guess")


def _in_other_places(a: Array, found: ArrayIdentification) -> ArrayIdentification:
    """The answer; or that of planes in the shape of pixels, or pixels in that of planes, where that says more.

    It does where a step fits that does not fit otherwise, or where neighbours are more alike. Where they are as alike
    either way, the pixels are not known.
    """
    last = found.data_format == "channels_last"
    height, width = a.shape[-3:-1] if last else a.shape[-2:]
    mine, other = DATA_FORMATS if last else DATA_FORMATS[::-1]
    moved = a.reshape(*a.shape[:-3], *((3, height, width) if last else (height, width, 3)))
    as_is, turned = (_roughness(from_format(z, f)) for z, f in ((a, mine), (moved, other)))
    known = bool(found.name) and found.sure != "guess"
    if as_is == 0 or height * width < 256 or (known and turned > 1.05 * as_is):
        return found
    again = _identify(moved, other)
    if not again.name or again.sure == "guess":
        return found
    if turned < 0.83 * as_is or not (known or again.name == found.name):
        words = f"{'planes' if last else 'pixels'} in the shape of {found.data_format}"
        return replace(again, data_format=words, shape=a.shape)
    why_not = "neighbours are as alike as planes in the shape of pixels as they are as pixels"
    return replace(found, pixels=None, why_not=found.why_not or why_not) if turned <= 1.05 * as_is else found


def _roughness(images: Array) -> float:
    """How unlike neighbours are in the first image, channels last; 0 for a grey one."""
    image = (images if images.ndim == 3 else images[0]).astype(np.float64)
    if (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all():
        return 0.0
    return sum(float(np.abs(np.diff(image, axis=axis)).mean()) for axis in (0, 1) if image.shape[axis] > 1)


def _data_formats(a: Array) -> list[DataFormat]:
    """The data formats that an array of this shape may have."""
    if a.dtype.kind not in "biuf" and a.dtype.name != "bfloat16":
        raise TypeError(f"an image holds integers or floats; this array has dtype {a.dtype}")
    if a.ndim not in (3, 4):
        raise ValueError(f"an image has 3 axes, a batch 4; this array has shape {a.shape}")
    found = [f for f, axis in zip(DATA_FORMATS, (-1, -3), strict=True) if a.shape[axis] == 3]
    if not found:
        raise ValueError(f"neither the last axis nor the third from the end is 3 long: shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"there are no pixels in an array of shape {a.shape}")
    return found


class _Images(NamedTuple):
    """Images, channels last, and the distinct values of each; ``None`` for those that have too many."""

    pixels: Sequence[Array]
    values: Sequence[Values | None]
    dtype: str
    own: tuple[Mode, ...] = ()

    def only(self, n: int) -> _Images:
        return _Images(self.pixels[n : n + 1], self.values[n : n + 1], self.dtype, self.own)

    def together(self) -> Values | None:
        if any(v is None for v in self.values):
            return None
        if len(self.values) == 1:
            return self.values[0]
        merged = [lattice.distinct(np.concatenate([v[k] for v in self.values if v])) for k in range(3)]
        return None if any(m is None for m in merged) else (merged[0], merged[1], merged[2])  # type: ignore[return-value]


class _Answer(NamedTuple):
    """What is known of some images that have been through the same; ``fit`` gives their pixels back."""

    found: ArrayIdentification
    fit: Fit | None = None


def _identify(a: Array, data_format: DataFormat, own: tuple[Mode, ...] = ()) -> ArrayIdentification:
    last = from_format(a, data_format)
    batch = last if last.ndim == 4 else last[None]
    dtype = a.dtype.name
    unknown = ArrayIdentification("", "", data_format, "guess", "", a.shape, dtype)
    values: list[Values | None] = []
    bad = 0
    for image in _in_turn(batch, a):
        image = image.astype(np.float32) if dtype == "bfloat16" else image
        bad += int(image.size - np.isfinite(image).sum()) if a.dtype.kind not in "biu" else 0
        each = [lattice.distinct(image[..., k]) for k in range(3)] if not bad else [None]
        values.append(None if any(v is None for v in each) else (each[0], each[1], each[2]))  # type: ignore[arg-type]
    if bad:
        why = f"{bad} values are NaN or infinite, which no preprocessing step makes of pixels"
        return replace(unknown, why=why, why_not="some values are not numbers")
    images = _Images(list(batch), values, dtype, own)
    if a.dtype.kind in "biu":
        return _integers(unknown, images)
    answer = _known(unknown, images) or _unknown_constants(unknown, images)
    if answer is None and len(batch) > 1:
        return _one_by_one(unknown, images, last.ndim)
    if answer is None:
        return _by_range(unknown, images)
    if answer.fit is None:
        return answer.found
    out = np.empty(batch.shape, np.uint8)
    for n, image in enumerate(_in_turn(batch, a)):
        out[n] = _undone(image, answer.fit.candidate)
    return replace(answer.found, pixels=out if last.ndim == 4 else out[0])


def _in_turn(batch: Array, a: Array) -> Iterator[Array]:
    """The images; of a file that is mapped for reading, memory is given back once they have been seen."""
    mapped = getattr(a, "_mmap", None) if isinstance(a, np.memmap) and a.mode == "r" else None
    for n, image in enumerate(batch):
        yield np.asarray(image)
        if n % 32 == 31 and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]


# A known step ---------------------------------------------------------------------------------------------------------


def _known(unknown: ArrayIdentification, images: _Images) -> _Answer | None:
    """All images have been through one known map."""
    values = images.together()
    if values is None:
        return None
    for parts in (1, 2, 4, 9, 16):
        for precision in lattice.precisions(values, images.dtype):
            if parts > 1 and precision.cast > 2.0**-20:
                continue
            fits = lattice.fits(values, precision, parts, images.own)
            found = [f for f in fits if parts == 1 or f.candidate.is_odd(parts)]
            answer = _answer(unknown, images, found, precision) if found else None
            if answer is not None:
                return answer
    return None


def _answer(unknown: ArrayIdentification, images: _Images, found: list[Fit], precision: Precision) -> _Answer | None:
    """The best of what fits, and how sure it is."""
    count = max(len(v) for v in found[0].levels)
    if count <= 2:
        found = sorted(found, key=lambda f: not _is_extreme(f))  # white and black before everything else
    best, *others = found
    c = best.candidate
    outside = _outside(images, best)
    if outside is None:
        return None
    foreign, note = outside
    levels = np.concatenate([level[level >= 0] for level in best.levels])
    low, high = int(levels.min()), int(levels.max())
    same = all(_same_levels(best, other) for other in others)
    coarse = int(np.gcd.reduce((levels - low).astype(np.int64))) > best.parts or count <= 2
    whole_shift = c.is_whole and any(c.offset)
    ends = {f(v[at] for each in images.values if each for v in each) for f, at in ((min, 0), (max, -1))}
    stretched = not foreign and ends in ({0, 1}, {-1, 1}) and (low, high) != (0, 255)
    half = precision.cast > 2.0**-20
    sure: Literal["certain", "likely", "guess"] = "likely"
    wrapped = [n for n, image in enumerate(images.pixels) if c.name == "raw" and _turned(image) == "wrapped"]
    if (
        not same
        or whole_shift
        or wrapped
        or stretched
        or (np.sqrt(levels) % 1 == 0).all()  # of a picture, or of another one squared
        or (high - low < 64 and not c.is_whole and _is_held(images, "bfloat16"))  # so few bits hold much
        or (half and (count < 8 or best.bits < 80))
        or (not c.is_odd() and (coarse or (half and len(others) > 3)))
    ):
        sure = "guess"
    elif c.is_odd() and c.common and not (others or half or coarse or foreign) and best.parts == 1:
        sure = "certain" if (low, high) == (0, 255) and count >= 8 else "likely"
    size = sum(image.size for image in images.pixels)
    what = "whole numbers" if best.parts == 1 else f"multiples of 1/{best.parts}"
    why = f"undoing it gives {what} from {low / best.parts:.4g} to {high / best.parts:.4g}, "
    why += f"to within {best.error / best.parts:.2g} grey levels, in {size} values"
    why += f" with the precision of {precision.name}" if half and unknown.dtype != precision.name else ""
    why += f"; {note}" if note else ""
    why_not = ""
    if wrapped:
        why += f", {_JUMPS} ({_images(wrapped)})"
        why_not = "bytes that wrapped do not tell what was subtracted"
    elif foreign:
        why_not = foreign
    elif best.parts > 1:
        why_not = "the image was averaged or resized before, its levels are no whole numbers"
    elif not best.exact:
        few = f"{precision.name} has too few bits (one rounding is {precision.cast:.2g})"
        why_not = f"{few} to tell neighbouring pixels apart"
    elif whole_shift:
        spare = 255 - (high - low)
        shift = "a whole number was subtracted, and no array tells which"
        why_not = f"{shift}: the pixels are open by up to {spare} grey levels" if spare else ""
    elif not same:
        why_not = "what the array cannot be told from had other pixels"
    elif sure == "guess":
        why_not = "its levels fit other constants as well, such as those of its own range"
    also = tuple(dict.fromkeys((*c.twins, *(name for o in others for name in (o.candidate.name, *o.candidate.twins)))))
    if best.parts == 1 and high - low < 255:
        also = (SHIFTED, *also)
    story = c.story + (f", of an image whose levels are multiples of 1/{best.parts}" if best.parts > 1 else "")
    answer = replace(unknown, name=c.name, story=story, sure=sure, why=why, also=also, why_not=why_not)
    return _Answer(answer, best if not why_not else None)


def _is_held(images: _Images, name: str) -> bool:
    """Whether a 16-bit format holds all values."""
    return (values := images.together()) is not None and lattice.half_precision(values) == name


def _is_extreme(fit: Fit) -> bool:
    levels = np.concatenate(fit.levels)
    return bool(np.isin(levels, (0, 255)).all())


def _same_levels(a: Fit, b: Fit) -> bool:
    return a.parts == b.parts and all(np.array_equal(p, q) for p, q in zip(a.levels, b.levels, strict=True))


def _outside(images: _Images, fit: Fit) -> tuple[str, str] | None:
    """Why pixels are lost at values that are no level, and a note on where; ``None`` if that remains unexplained."""
    if not any(map(len, fit.outside)):
        return "", _one_colour(images)
    ends = [set(map(float, bad)) for bad in fit.outside]
    count, place = 0, ""
    for image, values in zip(images.pixels, images.values, strict=True):
        if values is None or not any(np.isin(v, bad).any() for v, bad in zip(values, fit.outside, strict=True)):
            continue
        masks = [np.isin(image[..., k].astype(np.float64), fit.outside[k]) for k in range(3)]
        if not all(np.array_equal(masks[0], mask) for mask in masks[1:]):
            extremes = [{float(v[0]), float(v[-1])} for v in values]
            if all(bad <= end for bad, end in zip(ends, extremes, strict=True)) and len(set().union(*ends)) <= 2:
                clipped = " and ".join(f"{end:.6g}" for end in sorted(set().union(*ends)))
                return f"values are clipped at {clipped}", f"then clipped at {clipped}"
            return None
        count += int(masks[0].sum())
        place = place or _edges(masks[0])
    colour = ", ".join(f"{bad[0]:.6g}" for bad in fit.outside)
    note = f"but {count} pixels are ({colour}), which is no pixel of it{place}: padded or cut out afterwards"
    return f"{count} of them were replaced by ({colour}){place}", note


def _one_colour(images: _Images) -> str:
    """A note on a border of one colour, for one image."""
    if len(images.pixels) != 1 or min(images.pixels[0].shape[:2]) < 8:
        return ""
    place = _edges((images.pixels[0] == images.pixels[0][0, 0]).all(axis=-1))
    return f"one colour{place}" if place else ""


def _edges(mask: npt.NDArray[np.bool_]) -> str:
    """The rows and columns at the edges that are wholly in the mask, in words; "" for none."""
    parts = []
    for name, axis in (("rows", 1), ("columns", 0)):
        full: npt.NDArray[np.bool_] = np.asarray(mask.all(axis=axis))
        if full.all() or not (full[0] or full[-1]):
            continue
        first, last = int(np.argmin(full)), int(np.argmin(full[::-1]))
        ranges = [f"0-{first - 1}"] * (first > 1) + [f"{len(full) - last}-{len(full) - 1}"] * (last > 1)
        parts += [f"{name} {' and '.join(ranges)}"] if ranges else []
    return f" in {' and '.join(parts)}" if parts else ""


def _undone(image: Array, candidate: Candidate) -> Array:
    x = np.empty(image.shape, np.uint8)
    for k, source in enumerate(candidate.sources):
        x[..., source] = np.rint((image[..., k].astype(np.float64) - candidate.offset[k]) / candidate.scale[k])
    return x


# Unknown constants ----------------------------------------------------------------------------------------------------


def _unknown_constants(unknown: ArrayIdentification, images: _Images) -> _Answer | None:
    """The values lie evenly, as whole grey levels do; by which constants is measured."""
    values = images.together()
    if values is None:
        return None
    half = lattice.half_precision(values)
    found = [lattice.steps(v, half) for v in values]
    if any(step is None for step in found) or (
        half and all(s and abs((e := np.log2(s.size)) - np.rint(e)) < 1e-6 for s in found)
    ):
        return None  # of powers of two, few bits are steps by themselves
    scales, means, deviations, open_by = [], [], [], []
    for v, step in zip(values, found, strict=True):
        assert step is not None
        within = step.uncertainty
        scales.append(_short(step.size, within))
        deviations.append(_short(1 / step.size / 255, within / step.size**2 / 255))
        means.append(_short(-float(v[0]) / step.size / 255, 2**-22 * float(abs(v).max()) / step.size / 255))
        open_by.append(255 - step.span)
    shifts = _list([f"{n}" for n in open_by])
    darkest = f"n is the darkest grey level of the channel, from 0 to {shifts}; no array tells which, nor the sign"
    formula = f"(x/255 - mean) / std with std {_list(deviations)} and mean {_list(means)}, each plus n/255, where"
    if all(scale == "1" for scale in scales):
        shift = [_short(-float(v[0]), 2**-22 * float(abs(v).max())) for v in values]
        formula = f"x - mean with mean {_list(shift)}, each plus n, where"
    why = (
        f"its channels hold evenly spaced values, {_list(scales)} apart; if that is one grey level: {formula} {darkest}"
    )
    note = _statistics(images)
    answer = replace(
        unknown,
        story=f"evenly spaced values, of grey levels by no known constants or of quantised numbers{note}",
        sure="likely",
        why=why,
        why_not="its constants are known up to whole grey levels only",
    )
    return _Answer(answer)


def _list(texts: Sequence[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


def _short(value: float, within: float) -> str:
    """The decimal of the fewest digits that is near enough."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if abs(float(text) - value) <= within:
            return f"{float(text) + 0.0:.9g}"
    return f"{value:.9g}"


def _statistics(images: _Images) -> str:
    """Whether every image has the mean, deviation or range that its own statistics would give it."""
    flat = [image.reshape(-1, 3).astype(np.float64) for image in images.pixels]
    for each in ("channel", "image"):
        axis = 0 if each == "channel" else None
        if all(
            np.allclose(x.mean(axis=axis), 0, atol=1e-3) and np.allclose(x.std(axis=axis), 1, atol=2e-3) for x in flat
        ):
            return f"; each {each} has mean 0 and deviation 1, as after standardising with its own statistics"
        for low, high in ((0, 1), (-1, 1), (0, 255)):
            if all((x.min(axis=axis) == low).all() and (x.max(axis=axis) == high).all() for x in flat):
                return f"; each {each} ranges from {low} to {high}, as after stretching its own minimum and maximum"
    if all(x.max() == 1 for x in flat):
        return "; the largest value of each image is 1, as after dividing by it"
    return ""


# Images that differ, integers, and what is left -----------------------------------------------------------------------


_ALIKE = ("name", "story", "sure", "why_not")


def _one_by_one(unknown: ArrayIdentification, images: _Images, rank: int) -> ArrayIdentification:
    """Each image of a batch by itself."""
    answers: list[tuple[_Answer, list[int]]] = []
    for n in range(len(images.pixels)):
        one = images.only(n)
        answer = _known(unknown, one) or _unknown_constants(unknown, one) or _Answer(_by_range(unknown, one))
        for earlier, which in answers:
            if all(getattr(earlier.found, what) == getattr(answer.found, what) for what in _ALIKE):
                which.append(n)
                break
        else:
            answers.append((answer, [n]))
    if len(answers) == 1 and not answers[0][0].found.name:
        note = "each image by other constants" if answers[0][0].found.sure == "likely" else "no image fits a known step"
        if answers[0][0].found.sure == "guess":
            return _by_range(unknown, images)
        note += _statistics(images)
        first = answers[0][0].found
        return replace(first, story=f"evenly spaced values, {note}", why=f"in image 0, {first.why}")
    parts = [f"{_images(which)} {answer.found.name or 'unknown'} ({answer.found.sure})" for answer, which in answers]
    worst = max((answer.found.sure for answer, _ in answers), key=_WORDS.index)
    known = all(answer.found.name for answer, _ in answers)
    found = replace(
        unknown,
        name="mixed" if len(answers) > 1 else answers[0][0].found.name,
        story=f"its images differ: {', '.join(parts)}" if len(answers) > 1 else answers[0][0].found.story,
        sure=("likely" if worst == "certain" else worst) if known else "guess",
        why="; ".join(f"{_images(which)}: {answer.found.why}" for answer, which in answers[:4]),
        also=tuple(dict.fromkeys(name for answer, _ in answers for name in answer.found.also)),
        why_not="; ".join(f"{_images(w)}: {a.found.why_not}" for a, w in answers if a.fit is None),
    )
    if found.why_not:
        return found
    out = np.empty((len(images.pixels), *images.pixels[0].shape), np.uint8)
    for answer, which in answers:
        for n in which:
            assert answer.fit is not None
            out[n] = _undone(images.pixels[n], answer.fit.candidate)
    return replace(found, pixels=out if rank == 4 else out[0])


def _images(which: Sequence[int]) -> str:
    """``images 0-2 and 5``."""
    runs: list[list[int]] = []
    for n in which:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return f"image{'s' if len(which) > 1 else ''} {', '.join(texts[:5])}{more}"


def _integers(unknown: ArrayIdentification, images: _Images) -> ArrayIdentification:
    """Integers tell little: they may be pixels, wrapped, quantised or cut."""
    low = min(int(image.min()) for image in images.pixels)
    high = max(int(image.max()) for image in images.pixels)
    why = f"integers from {low} to {high}"
    if unknown.dtype == "bool":
        return replace(unknown, story="two levels: a mask", why=why, why_not="they are two levels, not pixels")
    signed = images.pixels[0].dtype.kind == "i"
    if low < 0 or (signed and high <= 151):  # what the caffe mode makes of white
        name, story = (
            ("raw", "whole numbers from 0 to 255, as in an image file") if low >= 0 else ("", "integers, some below 0")
        )
        if unknown.dtype == "int8" and low < 0:
            name, story = "centred", "x - 128: bytes made signed"
        return replace(
            unknown,
            name=name,
            story=story,
            why=f"{why}: pixels, less any whole number, cut off, or quantised with a model's scale and zero point",
            also=("quantised", "integer_arithmetic"),
            why_not="integers do not say what was subtracted, nor whether they were quantised, wrapped or cut off",
        )
    if high > 255:
        widened = all(bool((image % 257 == 0).all()) for image in images.pixels)
        story = "bytes times 257, as 8-bit images widened to 16 bits" if widened else "levels beyond 255, as of 16 bits"
        return replace(
            unknown, story=story, why=why, why_not="it does not hold bytes: divide by 257 where it is a 16-bit image"
        )
    found = replace(
        unknown,
        name="raw",
        story="whole numbers from 0 to 255, as in an image file, not preprocessed",
        sure="likely",
        why=f"{why}; YCbCr or inverted: bytes do not tell",
        also=("integer_arithmetic", "quantised"),
    )
    turned = [_turned(image) for image in images.pixels]
    if wrapped := [n for n, each in enumerate(turned) if each == "wrapped"]:
        why = f"{why}, {_JUMPS} ({_images(wrapped)})"
        why_not = "bytes that wrapped do not tell what was subtracted"
        return replace(found, sure="guess", why=why, why_not=why_not)
    if noisy := [n for n, each in enumerate(turned) if each == "noise"]:
        why = f"{why}; neighbours are too unlike to tell pixels from bytes that wrapped modulo 256 ({_images(noisy)})"
        return replace(found, sure="guess", why=why, why_not=_MAY_HAVE_WRAPPED)
    if "smooth" in turned:
        return replace(found, why_not=_MAY_HAVE_WRAPPED)
    out = np.stack([np.asarray(image).astype(np.uint8) for image in images.pixels])
    return replace(found, pixels=out if len(unknown.shape) == 4 else out[0])


_MAY_HAVE_WRAPPED = "bytes may have wrapped when something was subtracted, and these do not show that they have not"
_JUMPS = "with jumps between neighbours as of differences wrapped modulo 256"


def _turned(image: Array) -> Literal["plain", "smooth", "wrapped", "noise"]:
    """Whether neighbours are nearer to each other as they are, or after the means that may have been subtracted.

    Those are the caffe means as bytes; of what is neither, whether it is smooth.
    """
    levels = np.asarray(image).astype(np.int16)
    as_is = float(np.abs(np.diff(levels, axis=1)).mean()) if levels.shape[1] > 1 else 0.0
    if as_is == 0:
        return "smooth"
    back = min(float(np.abs(np.diff((levels + mean) % 256, axis=1)).mean()) for mean in (104, 116, 123))
    if back < 0.8 * as_is:
        return "wrapped"
    if back > 1.1 * as_is:
        return "plain"
    return "smooth" if as_is < 32 else "noise"


_RANGES = (
    ("yolo", 0.0, 1.0, "scaled to 0..1, as for YOLO and many others"),
    ("tf", -1.0, 1.0, MODES["tf"].summary),
    ("torch", -2.12, 2.65, MODES["torch"].summary),
    ("raw", 0.0, 255.0, "the pixels, resized or averaged, not preprocessed"),
    ("caffe", -123.68, 151.07, MODES["caffe"].summary),
)


def _by_range(unknown: ArrayIdentification, images: _Images) -> ArrayIdentification:
    """The values are not evenly spaced: resized, augmented, curved. Judge by range."""
    low = min(float(image.min()) for image in images.pixels)
    high = max(float(image.max()) for image in images.pixels)
    why = f"no known step undone gives whole numbers, so it is judged by its range alone, {low:.4g} to {high:.4g}"
    values = images.together()
    few = max(map(len, values)) if values is not None else 4097
    if few < 8:
        return replace(unknown, why=f"{few} values in a channel are too few to tell", why_not="it holds too few values")
    if few <= 256 and images.pixels[0].size >= 6 * few:
        why = f"at most {few} values in a channel, unevenly spaced: a curve (gamma) or a table"
        return replace(unknown, why=why, why_not="no known step undone gives whole numbers")
    unknown = replace(
        unknown,
        why=why + _statistics(images),
        why_not="its values do not lie as whole grey levels do: resized, changed, or too few bits or values to tell",
    )
    for name, bottom, top, story in _RANGES:
        slack = 0.03 * (top - bottom)
        if bottom - slack <= low and high <= top + slack and high - low > 0.2 * (top - bottom):
            return replace(unknown, name=name, story=story)
    return unknown
