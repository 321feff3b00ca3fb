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
from vggprep.functions import preprocess_input
from vggprep.identification import lattice, png
from vggprep.identification.lattice import Array, Fit, Precision, Values
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
        ValueError: a rank other than 3 or 4, no channel axis of length 3 or (with alpha) 4, no pixels.

    >>> import numpy as np, vggprep
    >>> image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> found = vggprep.identify_array(vggprep.preprocess_input(image, mode="torch"))
    >>> found.name, bool((found.pixels == image).all())
    ('torch', True)
    """
    own = tuple(definition(known(mode)) for mode in modes)
    a = array if isinstance(array, np.memmap) else np.asarray(array)
    if a.ndim in (3, 4) and a.size and 3 not in (a.shape[-1], a.shape[-3]) and (a.shape[-1] == 4) != (a.shape[-3] == 4):
        return _without_alpha(a, own)
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


def _without_alpha(a: Array, own: tuple[Mode, ...]) -> ArrayIdentification:
    """Of four channels, what three have been through; the last is taken for alpha, or a first of one value alone."""
    axis = -1 if a.shape[-1] == 4 else -3
    first, last = (a.take(k, axis) for k in (0, 3))
    leading = bool((first == first.flat[0]).all() and (last != last.flat[0]).any())
    alpha, rest = (first, (1, 2, 3)) if leading else (last, (0, 1, 2))
    found = identify_array(a.take(rest, axis), own)
    low, high = alpha.min(), alpha.max()
    held = f"{low:.6g} everywhere" if low == high else f"{low:.6g} to {high:.6g}"
    note = f"; the {'first' if leading else 'fourth'} channel holds {held}: taken for alpha, and left out"
    return replace(found, shape=a.shape, why=found.why + note)


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
    pixels = list(batch)
    values: list[Values | None] = []
    bad = 0
    for n, image in enumerate(_in_turn(batch, a)):
        image = image.astype(np.float32) if dtype == "bfloat16" else image
        finite = np.isfinite(image).all(axis=-1)
        if not finite.all():  # its other pixels may tell
            bad += int(image.size - np.isfinite(image).sum())
            pixels[n] = image = image[finite][None]
        each = [lattice.distinct(image[..., k]) for k in range(3)]
        values.append(None if any(v is None for v in each) else (each[0], each[1], each[2]))  # type: ignore[arg-type]
    images = _Images(pixels, values, dtype, own)
    if a.dtype.kind in "biu":
        return _integers(unknown, images)
    if bad:
        why = f"{bad} values are NaN or infinite, which no preprocessing step makes of pixels"
        found = unknown
        if all(image.size for image in pixels):
            found = _floats(unknown, images, last.ndim).found
            why += f"; of the other pixels: {found.why}"
        sure = "likely" if found.sure == "certain" else found.sure
        return replace(found, sure=sure, why=why, pixels=None, why_not="some values are not numbers")
    answer = _floats(unknown, images, last.ndim)
    if answer.fit is None:
        return answer.found
    out = np.empty(batch.shape, np.uint8)
    for n, image in enumerate(_in_turn(batch, a)):
        out[n] = _undone(image, answer.fit)
    return replace(answer.found, pixels=out if last.ndim == 4 else out[0])


def _floats(unknown: ArrayIdentification, images: _Images, rank: int) -> _Answer:
    """What floats have been through: all images the same, or each its own."""
    if answer := _known(unknown, images) or _unknown_constants(unknown, images):
        return answer
    return _Answer(_one_by_one(unknown, images, rank) if len(images.pixels) > 1 else _by_range(unknown, images))


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
    grey = all((image == image[..., :1]).all() for image in images.pixels)
    for parts in (1, 2, *([3] * grey), 4, 9, 16):
        for precision in lattice.precisions(values, images.dtype):
            if parts > 1 and precision.is_coarse:
                continue
            fits = lattice.fits(values, precision, parts, images.own)
            found = [f for f in fits if parts == 1 or f.candidate.is_odd(parts) or parts == 3]
            answer = _answer(unknown, images, values, found, precision) if found else None
            if answer is not None:
                return answer
    return None


def _answer(
    unknown: ArrayIdentification, images: _Images, values: Values, found: list[Fit], precision: Precision
) -> _Answer | None:
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
    half = precision.is_coarse
    sure: Literal["certain", "likely", "guess"] = "likely"
    jumps = _jumps(images.pixels) if c.name == "raw" else ""
    if (
        not same
        or whole_shift
        or jumps
        or stretched
        or (np.sqrt(levels) % 1 == 0).all()  # of a picture, or of another one squared
        or (high - low < 64 and not c.is_whole and lattice.half_precision(values) == "bfloat16")  # few bits hold much
        or (best.parts > 1 and not c.is_odd(best.parts))
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
    if half and (precision.cut or unknown.dtype != precision.name):
        why += f"{', cut to' if precision.cut else ' with'} the precision of {precision.name}"
    why += f"; {note}" if note else ""
    why_not = ""
    if jumps:
        why += f", {jumps}"
        why_not = _TURNED
    elif foreign:
        why_not = foreign
    elif best.parts > 1:
        why_not = "the image was averaged or resized before, its levels are no whole numbers"
    elif not best.exact:
        one = precision.grid or precision.cast
        why_not = f"{precision.name} are too few to tell neighbouring pixels apart (one rounding is {one:.2g})"
    elif whole_shift:
        spare = 255 - (high - low)
        shift = "a whole number was subtracted, and no array tells which"
        why_not = f"{shift}: the pixels are open by up to {spare} grey levels" if spare else ""
    elif not same:
        why_not = "what the array cannot be told from had other pixels"
    elif sure == "guess":
        why_not = "its levels fit other constants as well, such as those of its own range"
    also = tuple(dict.fromkeys((*c.twins, *(name for o in others for name in (o.candidate.name, *o.candidate.twins)))))
    if lattice.half_precision(values) == "bfloat16" and not (half or c.is_whole):
        cut = lattice.fits(values, lattice.CUT, best.parts, images.own)
        also = (*also, *(f"{f.candidate.name} cut to bfloat16" for f in cut if f.candidate.name != c.name))
    if best.parts == 1 and high - low < 255:
        also = (SHIFTED, *also)
    story = c.story + (f", of an image whose levels are multiples of 1/{best.parts}" if best.parts > 1 else "")
    answer = replace(unknown, name=c.name, story=story, sure=sure, why=why, also=also, why_not=why_not)
    return _Answer(answer, best if not why_not else None)


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
        several = max(map(len, ends)) > 1 or (image == image[..., :1]).all()
        if several or not all(np.array_equal(masks[0], mask) for mask in masks[1:]):
            extremes = [{float(v[0]), float(v[-1])} for v in values]
            inside = all(fit.candidate.reaches(k, end) for k in range(3) for end in ends[k])
            at_ends = all(bad <= end for bad, end in zip(ends, extremes, strict=True))
            if at_ends and inside and len(set().union(*ends)) <= 2:
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
    parts: list[str] = []
    if len(mask) == 1:
        return ""
    for name, axis in (("rows", 1), ("columns", 0)):
        full: npt.NDArray[np.bool_] = np.asarray(mask.all(axis=axis))
        if full.all() or not (full[0] or full[-1]):
            continue
        first, last = int(np.argmin(full)), int(np.argmin(full[::-1]))
        ranges = [f"0-{first - 1}"] * (first > 1) + [f"{len(full) - last}-{len(full) - 1}"] * (last > 1)
        parts += [f"{name} {' and '.join(ranges)}"] if ranges else []
    return f" in {' and '.join(parts)}" if parts else ""


def _undone(image: Array, fit: Fit) -> Array:
    x, candidate = np.empty(image.shape, np.uint8), fit.candidate
    for k, source in enumerate(candidate.sources):
        x[..., source] = np.rint((fit.precision.middle(image[..., k]) - candidate.offset[k]) / candidate.scale[k])
    return x


# Unknown constants ----------------------------------------------------------------------------------------------------


def _unknown_constants(unknown: ArrayIdentification, images: _Images) -> _Answer | None:
    """The values lie evenly, as whole grey levels do; by which constants is measured."""
    values = images.together()
    if values is None:
        return None
    half = lattice.half_precision(values)
    cuts = ((0, None), (0, -1), (1, None), (1, -1))  # values may be clipped at their ends
    inner = [next((v[a:b] for a, b in cuts if lattice.steps(v[a:b], half)), v) for v in values]
    clips = sorted({float(e) for v, kept in zip(values, inner, strict=True) for e in v if not kept[0] <= e <= kept[-1]})
    values = lattice.as_values(inner)
    found = [lattice.steps(v, half) for v in values]
    if (
        any(step is None for step in found)
        or len(clips) > 2
        or (half and all(s and abs((e := np.log2(s.size)) - np.rint(e)) < 1e-6 for s in found))
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
    formula, n = f"(x/255 - mean) / std with std {_list(deviations)} and mean {_list(means)}", "n/255"
    if all(scale == "1" for scale in scales):
        shift = [_short(-float(v[0]), 2**-22 * float(abs(v).max())) for v in values]
        formula, n = f"x - mean with mean {_list(shift)}", "n"
    open_to = f", each plus {n}, where n is the darkest grey level of the channel, from 0 to {shifts}"
    why = (
        f"its channels hold evenly spaced values, {_list(scales)} apart; if that is one grey level: {formula}"
        f"{open_to if any(open_by) else ''}; no array tells {'which, nor ' if any(open_by) else ''}the sign"
    )
    note = "" if clips else _statistics(images)
    why += f"; then clipped at {' and '.join(f'{end:.6g}' for end in clips)}" if clips else ""
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
    if all(x.max() == 1 and x.min() >= 0 for x in flat):
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
    if found.why_not or len({image.shape for image in images.pixels}) > 1:
        return found
    out = np.empty((len(images.pixels), *images.pixels[0].shape), np.uint8)
    for answer, which in answers:
        for n in which:
            assert answer.fit is not None
            out[n] = _undone(images.pixels[n], answer.fit)
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
    """Integers tell little: they may be pixels, wrapped, quantised, stretched or cut."""
    ends = [
        (min(int(x[..., k].min()) for x in images.pixels), max(int(x[..., k].max()) for x in images.pixels))
        for k in range(3)
    ]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    why = f"integers from {low} to {high}"
    if unknown.dtype == "bool":
        return replace(unknown, story="two levels: a mask", why=why, why_not="they are two levels, not pixels")
    also = ("quantised", "integer_arithmetic")
    if low > -4 and high < 4:
        story = "few whole numbers: a mask, labels, or numbers of a few units cut to whole ones"
        return replace(unknown, story=story, why=why, also=also, why_not="they are too few levels for pixels")
    signed = images.pixels[0].dtype.kind == "i"
    if low < 0 or (signed and high <= 151):  # what the caffe mode makes of white
        found = replace(
            unknown,
            name="raw" if low >= 0 else "",
            story=_BYTES if low >= 0 else "integers, some below 0",
            why=f"{why}: pixels, less any whole number, cut off, or quantised with a model's scale and zero point",
            also=also,
            why_not="integers do not say what was subtracted, nor whether they were quantised, wrapped or cut off",
        )
        if low < 0 and unknown.dtype == "int8":
            story = "signed bytes: x - 128, or quantised with a model's scale and zero point; they do not tell which"
            why = f"{why}; if quantised, (array - zero_point) * scale is what to identify"
            return replace(found, story=story, why=why, also=("centred", *also))
        touched = sum(
            int(e - mean) == got or round(e - mean) == got
            for mean, two in zip(_CAFFE, ends, strict=True)
            for e, got in zip((0, 255), two, strict=True)
        )
        if (
            low < 0
            and touched > 1
            and all(-mean - 0.5 <= a and b <= 255.5 - mean for mean, (a, b) in zip(_CAFFE, ends, strict=True))
        ):
            said = ", ".join(f"{a}..{b}" for a, b in ends)
            why = f"its channels hold {said}, within what caffe makes of 0..255 and with {touched} of its 6 ends"
            story = f"{MODES['caffe'].summary}; cut or rounded to whole numbers"
            return replace(found, name="caffe", story=story, why=why)
        return found
    if high > 255:
        times = int(np.gcd.reduce([np.gcd.reduce(image, axis=None) for image in images.pixels]))
        story = f"levels beyond 255, as of {int(high).bit_length()} bits"
        why_not = f"it does not hold bytes: those of 0..{2 ** int(high).bit_length() - 1} are"
        if times > 1 and high // times <= 255:
            story = f"bytes times {times}" + ", as 8-bit images widened to 16 bits" * (times in (256, 257))
            why_not = f"it does not hold bytes: divide by {times}"
        return replace(unknown, story=story, why=why, why_not=why_not)
    black, white = (float(np.mean([(image == end).mean() for image in images.pixels])) for end in (0, 255))
    clipped = min(black, white) > 0.04 and black + white < 0.9
    if max(black, white) > 0.04:
        why += f", {black:.0%} of them 0 and {white:.0%} 255{', as after clipping' if clipped else ''}"
    found = replace(
        unknown,
        name="raw",
        story=_BYTES,
        sure="guess" if clipped else "likely",
        why=f"{why}; a picture's own, or stretched, quantised, inverted or of YCbCr or HSV: bytes do not tell",
        also=("integer_arithmetic", "quantised", "stretched"),
        why_not="bytes that were clipped do not tell what they were" if clipped else "",
    )
    if told := _of_torch(images):
        return replace(found, name="", sure="guess", story=told, why=why, why_not=_TURNED)
    if jumps := _jumps(images.pixels):
        return replace(found, sure="guess", why=f"{why}, {jumps}", why_not=_TURNED)
    turned = [_turned(image) for image in images.pixels]
    if noisy := [n for n, each in enumerate(turned) if each == "noise"]:
        why = f"{why}; neighbours are too unlike to tell pixels from bytes that wrapped modulo 256 ({_images(noisy)})"
        return replace(found, sure="guess", why=why, why_not=_MAY_HAVE_WRAPPED)
    if clipped or "smooth" in turned:
        return replace(found, why_not=found.why_not or _MAY_HAVE_WRAPPED)
    out = np.stack([np.asarray(image).astype(np.uint8) for image in images.pixels])
    return replace(found, pixels=out if len(unknown.shape) == 4 else out[0])


def _of_torch(images: _Images) -> str:
    """That bytes are those alone to which torch mode times 255 can be cut; empty if others occur, or too few."""
    y = preprocess_input(np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3), mode="torch") * np.float32(255)
    for words, cut in (("wrapped modulo 256", y.astype(np.int64)), ("were clipped to 0..255", np.clip(y, 0, 255))):
        held = [np.unique(cut[..., k].astype(np.uint8)) for k in range(3)]
        seen = [np.unique(np.concatenate([image[..., k].ravel() for image in images.pixels])) for k in range(3)]
        chance = sum(len(s) * np.log2(len(h) / 256) for s, h in zip(seen, held, strict=True))
        if chance < -28 and all(np.isin(s, h).all() for s, h in zip(seen, held, strict=True)):
            return f"bytes that torch mode times 255 gives where they {words}, and no others"
    return ""


_BYTES = "whole numbers from 0 to 255, as in an image file"
_CAFFE = (103.939, 116.779, 123.68)
_MAY_HAVE_WRAPPED = "bytes may have wrapped when something was subtracted, and these do not show that they have not"
_TURNED = "bytes that wrapped or were clipped do not tell what they were"


def _jumps(images: Sequence[Array]) -> str:
    """Which images have neighbours that are nearer to each other modulo 256, in words."""
    wrapped = "with jumps between neighbours as of differences wrapped modulo 256"
    for kind, words in (("wrapped", wrapped), ("clipped", "with 0 beside 255")):
        if which := [n for n, image in enumerate(images) if _turned(image) == kind]:
            return f"{words} ({_images(which)})"
    return ""


def _turned(image: Array) -> Literal["plain", "smooth", "wrapped", "clipped", "noise"]:
    """Whether neighbours are nearer to each other as they are, or after the means that may have been subtracted.

    Those are the caffe means as bytes; of what is neither, whether it is smooth. Where values are clipped, 0 and 255
    are neighbours as they are where values wrapped: what the others show decides.
    """
    levels = np.asarray(image).astype(np.int16)
    inside = (levels % 255 != 0)[:, 1:] & (levels % 255 != 0)[:, :-1]
    found: list[Literal["plain", "smooth", "wrapped", "noise"]] = []
    for which in (inside, np.ones_like(inside)):
        as_is = float(np.abs(np.diff(levels, axis=1)[which]).sum())
        back = [float(np.abs(np.diff((levels + mean) % 256, axis=1)[which]).sum()) for mean in (104, 116, 123)]
        if as_is == 0 or 0.8 * as_is <= min(back) <= 1.1 * as_is:
            found.append("smooth" if as_is < 32 * np.count_nonzero(which) or as_is == 0 else "noise")
        else:
            found.append("wrapped" if min(back) < as_is else "plain")
    return "clipped" if found[1] == "wrapped" != found[0] else found[1]


_RANGES = ("yolo", "tf", "torch", "raw", "caffe")


def _by_range(unknown: ArrayIdentification, images: _Images) -> ArrayIdentification:
    """The values are not evenly spaced: resized, augmented, curved. Judge by range: of what fits, the widest first."""
    ends = [
        (min(float(x[..., k].min()) for x in images.pixels), max(float(x[..., k].max()) for x in images.pixels))
        for k in range(3)
    ]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    extents = [f"{a:.4g} to {b:.4g}" for a, b in ends]
    sizes = [b - a for a, b in ends]
    said = extents[0] if len(set(extents)) == 1 else f"{low:.4g} to {high:.4g}"
    said = f"{', '.join(extents)} in its channels" if max(sizes) > 4 * min(sizes) else said
    why = f"no known step undone gives whole numbers, so it is judged by its range alone, {said}"
    if low >= 0 and ends[0][1] > 2 and ends[0][1] <= 360 and max(ends[1][1], ends[2][1]) <= 1:
        why += ", as of a hue in degrees beside saturation and value"
    values = images.together()
    few = max(map(len, values)) if values is not None else 4097
    if few < 8:
        return replace(unknown, why=f"{few} values in a channel are too few to tell", why_not="it holds too few values")
    if few <= 256 and images.pixels[0].size >= 6 * few:
        why = (
            f"at most {few} values in a channel, unevenly spaced, as by a curve (gamma), a table, clipping or few bits"
        )
        return replace(unknown, why=why, why_not="no known step undone gives whole numbers")
    found: dict[str, str] = {}
    for name in _RANGES:
        c = next(c for c in lattice.candidates() if c.name == name)
        levels = [(e - o) / s for two, s, o in zip(ends, c.scale, c.offset, strict=True) for e in two]
        if min(levels) >= -_OVERSHOT and max(levels) <= 255 + _OVERSHOT and max(levels) - min(levels) > 51:
            found[name] = f"grey levels {min(levels):.4g} to {max(levels):.4g} before {name}"
    why += f": {', '.join(found.values())}" if found else ""
    if all((x == x[..., :1]).all() for x in images.pixels):
        why += "; its channels are equal, as of a grey picture"
    unknown = replace(
        unknown,
        why=why + _statistics(images),
        why_not="its values do not lie as whole grey levels do: resized, changed, or too few bits or values to tell",
    )
    if not found:
        return unknown
    name, *others = found
    story = next(c.story for c in lattice.candidates() if c.name == name)
    return replace(unknown, name=name, story=story, also=tuple(others))


_OVERSHOT = 25.0
"""Grey levels beyond 0 and 255 that resizing makes."""
