"""What an array has been through, from its values alone. Imports NumPy and the known maps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import from_format
from vggprep.explanation import affine
from vggprep.explanation.affine import Affine, Float64, KnownMap
from vggprep.explanation.statements import unit_roundoff
from vggprep.identification.probes import Array
from vggprep.spec import DATA_FORMATS, MODES, DataFormat


@dataclass(frozen=True, repr=False)
class ArrayIdentification:
    """What an array has most likely been through.

    ``name``: ``"raw"``, a mode, a fault or a family; ``""`` if nothing fits. ``data_format`` is in words. ``why``
    gives the reason for ``sure``. ``also``: what else would give such an array. ``pixels``: the original images as
    uint8, channels last, if they can be recovered exactly; else ``why_not`` says why they cannot.
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
        known = f"{self.name}: {self.story}" if self.name else "nothing known"
        lines = [f"{self.dtype} array of shape {self.shape}: {self.sure}, {known}", f"  {self.why}"]
        lines.append(f"  data format: {self.data_format}")
        if self.also:
            lines.append(f"  the array alone cannot tell it from {', '.join(self.also)}")
        if self.pixels is not None:
            also = " if that is what it is" if self.also else ""
            lines.append(f"  the original pixels can be recovered exactly{also}")
        else:
            lines.append(f"  the original pixels cannot be recovered exactly: {self.why_not}")
        return "\n".join(lines)


def identify_array(array: npt.ArrayLike) -> ArrayIdentification:
    """Find out what an array of images has been through, and get the pixels back if possible.

    Args:
        array: one image or a batch, in either data format; integers or floats.

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
    a = np.asarray(array)
    fits = [_fit(a, data_format) for data_format in _data_formats(a)]
    best = min(fits, key=lambda f: (not f.maps, round(f.error, 3)))
    flat, dtype = best.flat, a.dtype.name
    undecided = len(fits) > 1 and bool(best.maps) and all(f.maps and f.maps[0].name == best.maps[0].name for f in fits)
    said = "either: the last axis and the third from the end are both 3 long" if undecided else best.data_format
    unknown = ArrayIdentification("", "", said, "guess", "", a.shape, dtype)
    if not np.isfinite(flat).all():
        bad = int((~np.isfinite(flat)).sum())
        return replace(
            unknown,
            why=f"{bad} values are NaN or infinite, which no preprocessing step makes of pixels",
            why_not="some values are not numbers",
        )
    if not best.maps:
        return _by_range(unknown, flat)
    known, *others = best.maps
    precision = _precision(a)
    half = precision in ("float16", "bfloat16") and known.name != "raw"
    x = np.rint(affine.undo(known.channels, flat)) + 0.0  # no -0
    why = (
        f"undoing it gives whole numbers from {x.min():.0f} to {x.max():.0f}, to within {best.error:.2g} grey levels, "
    )
    why += f"in {flat.size} values" + (f" with the precision of {precision}" if half and dtype != precision else "")
    found = replace(
        unknown, name=known.name, story=known.story, sure="likely", why=why, also=tuple(o.name for o in others[:4])
    )
    if undecided:
        return replace(found, why_not="the data format cannot be determined")
    if not others and not half and len(np.unique(flat.reshape(-1, 3), axis=0)) >= 8:
        found = replace(found, sure="certain")
    pixels = x.astype(np.uint8)
    if a.dtype.kind == "f" and not _tells_neighbours_apart(known.channels, pixels, flat):
        u = unit_roundoff(a.dtype)
        return replace(
            found, why_not=f"{a.dtype} has too few bits (one rounding is {u:.2g}) to tell neighbouring pixels apart"
        )
    return replace(found, pixels=pixels)


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


class _Fit(NamedTuple):
    """Values in a data format, and the known maps whose undoing makes them whole, the best first; and how whole."""

    data_format: DataFormat
    flat: Float64
    maps: tuple[KnownMap, ...] = ()
    error: float = float("inf")


def _precision(a: Array) -> str:
    """The narrowest format that holds all values: a float32 array may have been float16 before."""
    if a.dtype.name not in oracle.FORMATS:
        return "float32"
    values, precision = oracle.as_float64(a), oracle.FORMATS[a.dtype.name].precision
    with np.errstate(over="ignore"):
        for name in ("float16", "float32"):
            narrow = oracle.FORMATS[name]
            if narrow.precision < precision and (oracle.round_array(values, narrow) == values).all():
                return name
    return a.dtype.name


def _fit(a: Array, data_format: DataFormat) -> _Fit:
    values = oracle.as_float64(from_format(a, data_format))
    fit = _Fit(data_format, values)
    flat = values.reshape(-1, 3)
    if not np.isfinite(flat).all():
        return fit
    u = max(oracle.FORMATS[_precision(a)].unit_roundoff, 2.0**-40)  # the maps are fitted no more closely than this
    found: list[tuple[float, KnownMap]] = []
    for known in affine.known_maps():
        channels = known.channels
        if {c.source for c in channels} != {0, 1, 2} or min(c.scale for c in channels) <= 0:
            continue
        if known.name == "identity":
            known = replace(known, name="raw", story="the pixels as they are in the file, not preprocessed")
        x = affine.undo(channels, flat)
        if x.min() < -0.5 or x.max() > 255.5:
            continue
        if float(np.ptp(x)) < 1.5 and known.name not in ("raw", "unit_range"):
            continue  # a handful of values would fit anything
        error = np.abs(x - np.rint(x))
        # How far off a few roundings, of the value and of what was subtracted, may make it; but never as far as
        # values without any such structure are: up to 0.5, and 0.29 in the root mean square.
        extent = (np.abs(flat[:, k]).max() + abs(c.offset) for k, c in enumerate(channels))
        slack = max(float(3 * u * e / abs(c.scale)) for e, c in zip(extent, channels, strict=True))
        mean = float(np.sqrt(np.mean(error**2)))
        if error.max() <= min(0.45, slack) and mean <= 0.2:
            found.append((mean, known))
    if not found:
        return fit
    best = min(error for error, _ in found)
    return fit._replace(maps=tuple(known for error, known in found if error <= 1.5 * best + 0.01), error=best)


def _tells_neighbours_apart(channels: Affine, pixels: Array, flat: Float64) -> bool:
    again = affine.apply(channels, pixels.astype(np.float64))
    return bool((np.abs(again - flat) <= 0.45 * np.array([abs(c.scale) for c in channels])).all())


_RANGES = (
    ("unit_range", 0.0, 1.0, "scaled to 0..1"),
    ("tf", -1.0, 1.0, MODES["tf"].summary),
    ("torch", -2.12, 2.65, MODES["torch"].summary),
    ("raw", 0.0, 255.0, "the pixels, resized or averaged, not preprocessed"),
    ("caffe", -123.68, 151.07, MODES["caffe"].summary),
)


def _by_range(unknown: ArrayIdentification, flat: Float64) -> ArrayIdentification:
    """Nothing makes the values whole: they were resized, augmented or scaled in an unknown way. Judge by range."""
    low, high = float(flat.min()), float(flat.max())
    unknown = replace(
        unknown,
        why=f"no known step undone gives whole numbers, so it is judged by its range alone, {low:.4g} to {high:.4g}",
        why_not="its values are not those of whole pixels: the image was resized or changed, or the step is unknown",
    )
    for name, bottom, top, story in _RANGES:
        slack = 0.03 * (top - bottom)
        if bottom - slack <= low and high <= top + slack and high - low > 0.2 * (top - bottom):
            return replace(unknown, name=name, story=story)
    return unknown
