"""Where whole grey levels come to lie: after published constants, after two steps in a row, or at a measured distance.

All of it works on the *distinct* values of each channel, of which a right answer has at most 256, so it is complete
and quick. Imports NumPy, the oracle's formats and the known maps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.explanation import affine
from vggprep.spec import MODES, Mode

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Values = tuple[Float64, Float64, Float64]
"""The distinct values of the three channels, ascending."""

MOST = 4096
"""Distinct values of a channel that are looked at: 256 whole levels in sixteenths."""


@dataclass(frozen=True)
class Candidate:
    """A map with a name, by output channel: ``level * scale + offset``, from the input channels ``sources``.

    ``twins``: other names of the same numbers, for instance with red and blue exchanged. ``common``: not two steps.
    """

    name: str
    story: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    sources: tuple[int, int, int]
    twins: tuple[str, ...] = ()
    common: bool = True

    def is_odd(self, parts: int = 1) -> bool:
        """Whether 0 lies at an odd place between the levels, or parts of them, as by no whole or half constant."""
        places = [2 * parts * o / s for s, o in zip(self.scale, self.offset, strict=True)]
        return any(abs(place - round(place)) > 1e-3 for place in places)

    def reaches(self, channel: int, value: float) -> bool:
        """Whether some pixel of 0..255 gives this value or a higher, and some this or a lower."""
        return 0 <= (value - self.offset[channel]) / self.scale[channel] <= 255

    @property
    def is_whole(self) -> bool:
        """Whether it adds whole numbers and nothing else."""
        return all(s == 1 and o == round(o) for s, o in zip(self.scale, self.offset, strict=True))

    def reordered(self, a: int, b: int, c: int) -> Candidate:
        """The same constants for the same colours, in another channel order."""
        order = "".join("rgb"[self.sources[k]] for k in (a, b, c))
        name, story = f"{self.name}_in_{order}", f"{self.story}; with channels and constants in {order.upper()} order"
        scale, offset = ((each[a], each[b], each[c]) for each in (self.scale, self.offset))
        sources = self.sources[a], self.sources[b], self.sources[c]
        return Candidate(name, story, scale, offset, sources, common=self.common)


def _from_map(known: affine.KnownMap) -> Candidate:
    first, second, third = known.channels
    name, story = (
        ("raw", "whole numbers from 0 to 255, as in an image file")
        if known.name == "identity"
        else (known.name, known.story)
    )
    return Candidate(
        name,
        story,
        (first.scale, second.scale, third.scale),
        (first.offset, second.offset, third.offset),
        (first.source, second.source, third.source),
    )


def _compositions(common: dict[str, Candidate]) -> Iterator[Candidate]:
    """Two steps in a row, each something that people do."""
    unit = common["yolo"]
    steps = [unit, *(common[name] for name in ("caffe", "tf", "torch", "clip"))]
    steps.append(Candidate("half_without_255", "", (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0), (0, 1, 2)))
    for name in ("torch", "clip"):
        first, second, third = (255 * s for s in common[name].scale)
        steps.append(Candidate(f"{name}_without_255", "", (first, second, third), common[name].offset, (0, 1, 2)))
    for one in steps:
        for last in steps:
            name, story = f"{last.name}_of_{one.name}", f"{last.name} of what {one.name} has made of an image"
            if last is unit:
                name, story = f"{one.name}_over_255", f"{one.name}, then divided by 255"
            elif one is unit:
                name, story = f"{last.name}_of_unit", f"{last.name} of an image that was already divided by 255"
            scale, offset = _three(last.scale), _three(last.offset)
            source = list(last.sources)
            yield Candidate(
                name,
                story,
                _tuple(scale * _three(one.scale)[source]),
                _tuple(scale * _three(one.offset)[source] + offset),
                (one.sources[source[0]], one.sources[source[1]], one.sources[source[2]]),
                common=False,
            )


def _three(numbers: Sequence[float]) -> Float64:
    return np.array(numbers, np.float64)


def _tuple(numbers: Float64) -> tuple[float, float, float]:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


@functools.cache
def candidates(own: tuple[Mode, ...] = ()) -> tuple[Candidate, ...]:
    """Every map that an array is compared with, the plainest first; maps of the same numbers are one, with twins."""
    known, asked = affine.known_maps(own), [mode.name for mode in own]
    often = [k.name for k in known]
    singles: list[Candidate] = []
    plain = sorted(known, key=lambda k: (k.name not in MODES, k.name != "yolo", k.mode not in (None, k.name)))
    for each in sorted(plain, key=lambda k: k.name not in asked):
        scales = [c.scale for c in each.channels]
        uniform = len({(round(c.scale, 9), round(c.offset, 9)) for c in each.channels}) == 1
        if {c.source for c in each.channels} != {0, 1, 2} or (min(scales) <= 0 and uniform):
            continue
        if each.name in ("own_channel_statistics", "image_subtracted_from_mean"):
            continue  # the means of one image; a sign that would fit every symmetric range
        candidate = _from_map(each)
        if often.count(each.name) > 1 and each.mode:
            candidate = replace(candidate, story=f"{candidate.story} (in mode {each.mode})")
        singles.append(candidate)
    found: dict[tuple[float, ...], Candidate] = {}
    for one in singles:
        key = _key(one)
        first = found.setdefault(key, one)
        if one.name not in (first.name, *first.twins):
            found[key] = replace(first, twins=(*first.twins, one.name))
    orders = [(2, 1, 0), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)]
    turned = [s.reordered(*order) for order in orders for s in singles if order == orders[0] or s.name in MODES]
    for one in (*turned, *_compositions({s.name: s for s in reversed(singles)})):
        found.setdefault(_key(one), one)
    return tuple(found.values())


def _key(one: Candidate) -> tuple[float, ...]:
    return tuple(float(f"{number:.7g}") for number in (*one.scale, *one.offset))


# What fits ----------------------------------------------------------------------------------------------------------


class Precision(NamedTuple):
    """What the values have been rounded to: at the end (``cast``) and in each step (``each``); unit roundoffs.

    ``cut``: at the end, bits were dropped. ``grid``: at the end, to multiples of it.
    """

    name: str
    cast: float
    each: float
    cut: bool = False
    grid: float = 0.0

    @property
    def is_once(self) -> bool:
        """Whether only the last step has few bits."""
        return self.each < 2.0**-20 < self.cast

    @property
    def is_coarse(self) -> bool:
        """Whether the values hold less than those of float32."""
        return self.cast > 2.0**-20 or bool(self.grid)

    def rounded(self, exact: Float64) -> Float64:
        """What becomes of a number at the end."""
        if self.grid:
            return np.asarray(self.grid * np.rint(exact / self.grid))
        if not self.cut:
            return np.asarray(oracle.round_array(exact.copy(), oracle.FORMATS[self.name]))
        grain = np.maximum(_grain(exact, self.name), 1e-300)
        return np.asarray(np.trunc(exact / grain) * grain)

    def middle(self, v: Array) -> Float64:
        """What the values were, as likely as not, before they were cut."""
        v = v.astype(np.float64)
        return v + np.sign(v) * _grain(v, self.name) / 2 if self.cut else v


CUT = Precision("bfloat16", 2.0**-8, 2.0**-24, cut=True)
"""As where the lower half of a float32 is dropped."""


@dataclass(frozen=True)
class Fit:
    """A candidate whose undoing makes the values whole.

    ``levels``: the grey level of each distinct value. ``odd``: of each channel, the values that are none of its
    levels, at most two. ``error``: the largest distance from a whole level. ``parts``: into how many a level is split.
    ``exact``: whether the precision tells neighbouring levels apart everywhere. ``misfit``: how far the values are from
    those of the map. ``bits``: how surprising the fit would be by chance.
    """

    candidate: Candidate
    levels: Values
    outside: Values
    error: float
    parts: int
    exact: bool
    bits: float
    misfit: float
    precision: Precision


def precisions(values: Values, dtype: str) -> Iterator[Precision]:
    """The formats that the values may have been computed in, the finest first."""
    u = {name: fmt.unit_roundoff for name, fmt in oracle.FORMATS.items()}
    if dtype == "float64" and not all(_is_held(v, "float32") for v in values):
        yield Precision("float64", 2.0**-40, 2.0**-40)  # the maps are fitted no more closely than this
    yield Precision("float32", u["float32"], u["float32"])
    each = 8 * u["float32"]
    for digits in (1, 2, 3, 4, 5):
        grid = 10.0**-digits
        if all((abs(v / grid - np.rint(v / grid)) <= each * abs(v) / grid).all() for v in values):
            if not all((v == np.rint(v)).all() for v in values):
                yield Precision(f"{digits} decimal{'s' * (digits > 1)}", u["float32"], u["float32"], grid=grid)
            break
    half = half_precision(values)
    if half and max(map(len, values)) > 2:
        yield Precision(half, u[half], u["float32"])
        if half == CUT.name:
            yield CUT
        yield Precision(half, u[half], u[half])


def half_precision(values: Values) -> str:
    """The 16-bit format that holds all values, or ""; whole numbers are in both by nature."""
    return next((name for name in ("bfloat16", "float16") if all(_is_held(v, name) for v in values)), "")


def _is_held(v: Float64, name: str) -> bool:
    return bool((oracle.round_array(v.copy(), oracle.FORMATS[name]) == v).all())


def _grain(v: Float64, half: str) -> Float64:
    """How far apart numbers of a 16-bit format lie at each value: by that much they lie evenly without a reason."""
    if not half:
        return np.zeros(v.shape)
    _, exponent = np.frexp(v)
    return np.where(v == 0, 0.0, np.ldexp(1.0, exponent - oracle.FORMATS[half].precision))


def fits(values: Values, precision: Precision, parts: int = 1, own: tuple[Mode, ...] = ()) -> list[Fit]:
    """Every candidate that the values fit, the best first."""
    everyone = [c for c in candidates(own) if c.common or (parts == 1 and precision.each == precision.cast < 2.0**-20)]
    alive = np.arange(len(everyone))
    scale, offset = (np.array([getattr(c, what) for c in everyone]) for what in ("scale", "offset"))
    given, values = values, as_values([precision.middle(v) for v in values])
    few = tuple(v[:: max(1, len(v) // 12)] for v in values)
    for k in range(3):  # a few values first: most candidates need no more
        near = _distance(few[k], scale[alive, k], offset[alive, k], precision, parts)[2]
        alive = alive[near.sum(axis=1) >= len(few[k]) - 2]
    half = half_precision(given)
    found = []
    for index in alive:
        candidate = everyone[index]
        measured = []
        for v, s, o in zip(values, scale[index], offset[index], strict=True):
            measured.append(_distance(v, s[None], o[None], precision, parts))
            bad = len(v) - int(np.count_nonzero(measured[-1][2]))
            if bad > 2 or (bad and (precision.cut or len(v) < 8 + bad)):
                measured = []
                break
        if not measured:
            continue
        good = [m[2][0] for m in measured]
        levels = tuple(m[0][0] for m in measured)
        slack = [m[1][0] for m in measured]
        resolved = max(float(s.max()) for s in slack) <= 0.45
        if max(map(len, values)) > 2 and not candidate.is_whole:
            slack = [
                np.maximum(s, _grain(v, half) / abs(scale) / 2)
                for s, v, scale in zip(slack, values, candidate.scale, strict=True)
            ]
        # By chance a value would lie this near to a whole level with a probability of twice the slack.
        bits = sum(float(-np.log2(np.clip(2 * s[g], 1e-12, 1)).sum()) for s, g in zip(slack, good, strict=True))
        if bits < (10 if max(map(len, values)) <= 2 else 30):
            continue
        off = [
            abs((v - o) / s * parts - level)[g].max(initial=0.0)
            for v, o, s, level, g in zip(values, candidate.offset, candidate.scale, levels, good, strict=True)
        ]
        count = sum(map(len, values))
        found.append(
            Fit(
                candidate,
                as_values([np.where(g, level, -1.0) for g, level in zip(good, levels, strict=True)]),
                as_values([v[~g] for v, g in zip(given, good, strict=True)]),
                float(max(off)),
                parts,
                resolved or (max(off) <= 0.25 and count >= 30),
                bits,
                _misfit(candidate, given, levels, good, precision, parts),
                precision,
            )
        )
    if not found:
        return []
    # What has every second level alone, but at the ends, where values may be clipped, is no map of theirs.
    outside, strides = ([of(f) for f in found] for of in (lambda f: sum(map(len, f.outside)), _stride))
    finest = min(strides[n] for n, count in enumerate(outside) if count == min(outside))
    finest = min(strides) if min(strides) < finest else max(strides)
    found = [f for f, stride in zip(found, strides, strict=True) if stride <= finest]
    fewest = min(sum(map(len, f.outside)) for f in found)
    found = [f for f in found if sum(map(len, f.outside)) == fewest]
    best = min(f.misfit for f in found)
    found = [f for f in found if f.misfit <= 1.5 * best + 0.02]
    if precision.is_once:
        if best > 0.3:
            return []
        found.sort(key=lambda f: f.misfit > 1.1 * best + 0.005)  # stable: the plainest first
    simple = [f for f in found if f.candidate.common]
    return simple or found


def _stride(fit: Fit) -> int:
    """Of which number all levels are multiples, but for the first and the last of a channel."""
    inner = [np.sort(level[level >= 0])[1:-1] for level in fit.levels]
    return int(np.gcd.reduce(np.concatenate([np.diff(each) for each in inner]).astype(np.int64)))


def as_values(each: Sequence[Float64]) -> Values:
    """Those of three channels."""
    return each[0], each[1], each[2]


def _distance(
    v: Float64, scale: Float64, offset: Float64, precision: Precision, parts: int
) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """For each map and value the nearest level, how far off rounding may take it, and whether that explains it."""
    s, o = scale[:, None], offset[:, None]
    x = (v - o) / s * parts
    levels = np.minimum(np.maximum(np.rint(x), 0), 255 * parts)
    roundings = 3 if precision.each > 2.0**-20 else 6  # of halves few are wanted, for they explain too much
    lost = precision.grid / 2 + precision.cast * abs(v)
    slack = (lost + roundings * precision.each * (abs(v) + abs(o))) / abs(s) * parts
    most = np.maximum(slack, 0.5) if precision.cut else 0.5  # above, what is 255 may seem to be more
    return levels, slack, abs(x - levels) <= np.where(slack > 0.45, most, slack)


def _misfit(
    candidate: Candidate,
    values: Values,
    levels: Sequence[Float64],
    good: Sequence[npt.NDArray[np.bool_]],
    precision: Precision,
    parts: int,
) -> float:
    """How far the values are from what the map gives, rounded likewise; in roundings, the root mean square.

    Of values that were rounded once, at the end, the largest: they are hardly ever rounded otherwise.
    """
    total, count, worst = 0.0, 0, 0.0
    for k in range(3):
        exact = levels[k][good[k]] / parts * candidate.scale[k] + candidate.offset[k]
        v = values[k][good[k]]
        size = precision.grid + precision.cast * abs(v) + precision.each * (abs(v) + abs(candidate.offset[k])) + 1e-30
        # What is rounded once had a neighbour in float32, which may go to the other side.
        reach = 2 * precision.each * (abs(exact) + abs(candidate.offset[k])) if precision.is_once else 0 * exact
        near = exact + reach * np.array([[-1], [1]])
        off = (((precision.rounded(near) - v) / size) ** 2).min(axis=0)
        total, count, worst = total + float(off.sum()), count + len(v), max(worst, float(off.max(initial=0.0)))
    return float(np.sqrt(worst if precision.is_once else total / max(count, 1)))


# Unknown constants ----------------------------------------------------------------------------------------------------


class Steps(NamedTuple):
    """How far apart the levels of a channel lie, how well that is known, and how many steps the values span."""

    size: float
    uncertainty: float
    span: int


def steps(v: Float64, half: str) -> Steps | None:
    """The distance of which all differences of the values are multiples; ``None`` if there is none, or too few values.

    If only every second level occurs, it is twice that of the map. ``half``: what ``half_precision`` says.
    """
    if not 5 <= len(v) <= 256:
        return None
    slack = 8 * oracle.FORMATS["float32"].unit_roundoff * float(abs(v).max())
    smallest = float(np.diff(v).min())
    for divisor in range(1, 7):
        size = smallest / divisor
        if (v[-1] - v[0]) / size > 255.5:
            return None
        if slack > 0.05 * size:
            return None
        count = _counted(v, size)
        if count is None:
            continue
        size, start = np.polynomial.polynomial.polyfit(count, v, 1)[::-1]
        if abs(v - start - size * count).max() <= slack:
            chance = np.maximum(2 * slack, _grain(v, half if size < 0.999 else "")) / size
            if np.log2(np.clip(chance, 1e-12, 1)).sum() < -28 - 2 * np.log2(size / slack):
                return Steps(float(size), 2 * slack / float(count[-1]), int(count[-1]))
    return None


def _counted(v: Float64, size: float) -> Float64 | None:
    """The number of each value, counted from the first; the step is refined as the reach grows."""
    x = v - v[0]
    reach = 4.0
    while True:
        near = x <= reach * size
        count: Float64 = np.rint(x[near] / size)
        if abs(x[near] / size - count).max() > 0.2:
            return None
        if count[-1] > 0:
            size = float((x[near] * count).sum() / (count**2).sum())
        if near.all():
            return count
        reach *= 2


def distinct(channel: Array) -> Float64 | None:
    """The distinct finite values, ascending; those that differ by a rounding of float32 only are one.

    ``None`` if there are more than ``MOST``.
    """
    v: Array = np.unique(channel)
    if len(v) > 1 and v.dtype.kind == "f":
        slack = 6 * oracle.FORMATS["float32"].unit_roundoff * float(max(abs(v[0]), abs(v[-1])))
        slack = slack / 64 if v.dtype == np.float64 else slack
        v = v[np.concatenate([[True], np.diff(v.astype(np.float64)) > slack])]
    values: Float64 = v.astype(np.float64)
    return values if len(v) <= MOST else None
