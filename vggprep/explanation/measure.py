"""What is measured where nothing known fits: where pixels went, and what is computed of them, channel by channel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from vggprep import oracle
from vggprep.cases import Case, to_format
from vggprep.explanation import affine
from vggprep.explanation.affine import Affine, Channel
from vggprep.explanation.candidates import real
from vggprep.explanation.statements import (
    ROUNDINGS,
    Array,
    Float64,
    Seen,
    Statement,
    grey_levels,
    kept_of_small,
    said_end,
    unit_roundoff,
    values_of,
)
from vggprep.spec import MODES, Direction, ModeName, definition

# Geometry ---------------------------------------------------------------------------------------------------------


class Geometry(NamedTuple):
    """Pixels in another place: in words, and from the output to where they belong and back.

    ``undo`` takes an output and the shape of the input and gives an array of that shape, or ``None`` if it cannot;
    ``redo`` takes such an array. Both see arrays with the channels last, unless the output has another shape. ``like``
    is ``redo`` where the output says more: it takes that, too.
    """

    words: str
    undo: Callable[[Array, tuple[int, ...]], Array | None]
    redo: Callable[[Array], Array]
    like: Callable[[Array, Array], Array] | None = None


def _axes(words: str, change: Callable[[Array], Array], back: Callable[[Array], Array]) -> Geometry:
    def undo(y: Array, shape: tuple[int, ...]) -> Array | None:
        try:
            found = change(y)
        except (ValueError, IndexError):
            return None
        return found if found.shape == shape else None

    return Geometry(words, undo, back)


def _exchanged(words: str, where: Callable[[int, int], bool]) -> Geometry:
    """Height and width exchanged of some images alone."""

    def turned(y: Array, shape: tuple[int, ...]) -> Array:
        return np.swapaxes(y, -3, -2) if where(shape[-3], shape[-2]) else y

    return Geometry(
        f"exchanges height and width of images that are {words}",
        lambda y, shape: found if y.ndim >= 3 and (found := turned(y, shape)).shape == shape else None,
        lambda y: turned(y, y.shape),
    )


def _paired(y: Array, axis: int) -> Array:
    """Every second line before the one above or left of it."""
    order = np.arange(y.shape[axis])
    order[: len(order) // 2 * 2] ^= 1
    return y.take(order, axis)


def _planes(y: Array) -> Array:
    """Pixels whose memory holds planes, as pixels."""
    *lead, height, width, channels = y.shape
    return np.moveaxis(y.reshape(*lead, channels, height, width), -3, -1)


def _as_planes(y: Array) -> Array:
    return np.moveaxis(y, -1, -3).reshape(y.shape)


GEOMETRIES: tuple[Geometry, ...] = (
    _axes("returns channels first", lambda y: np.moveaxis(y, -3, -1), lambda y: np.moveaxis(y, -1, -3)),
    _axes("returns channels last", lambda y: np.moveaxis(y, -1, -3), lambda y: np.moveaxis(y, -3, -1)),
    _axes("exchanges height and width", lambda y: np.swapaxes(y, -3, -2), lambda y: np.swapaxes(y, -3, -2)),
    _axes(
        "returns channels first with height and width exchanged",
        lambda y: np.swapaxes(y, -3, -1),
        lambda y: np.swapaxes(y, -3, -1),
    ),
    _axes("turns the image upside down", lambda y: y[..., ::-1, :, :], lambda y: y[..., ::-1, :, :]),
    _axes("mirrors the image", lambda y: y[..., ::-1, :], lambda y: y[..., ::-1, :]),
    _axes("turns the image by 180 degrees", lambda y: y[..., ::-1, ::-1, :], lambda y: y[..., ::-1, ::-1, :]),
    *(
        _axes(f"exchanges each pair of {lines}", of, of)
        for lines, of in (("rows", lambda y: _paired(y, -3)), ("columns", lambda y: _paired(y, -2)))
    ),
    _exchanged("square", lambda height, width: height == width),
    _exchanged("wider than high", lambda height, width: height < width),
    _exchanged("higher than wide", lambda height, width: height > width),
    _axes("returns planes in the shape of pixels", _planes, _as_planes),
    _axes("returns pixels in the shape of planes", _as_planes, _planes),
    _axes(
        "takes the shape of channels first, with the values in the order of channels last",
        lambda y: y.reshape(*y.shape[:-3], *y.shape[-2:], y.shape[-3]),
        lambda y: y.reshape(*y.shape[:-3], y.shape[-1], *y.shape[-3:-1]),
    ),
    _axes("reverses the order of the images", lambda y: y[::-1], lambda y: y[::-1]),
    _axes("adds a batch axis", lambda y: y.reshape(y.shape[1:]), lambda y: y[None]),
    Geometry(
        "returns channels first, and even one image as a batch",
        lambda y, shape: (
            np.moveaxis(y, -3, -1).reshape(shape)
            if y.ndim == 4 and y.shape == ((1, *shape)[-4], shape[-1], *shape[-3:-1])
            else None
        ),
        lambda y: np.moveaxis(y, -1, -3)[None if y.ndim == 3 else ...],
    ),
    _axes("adds an axis of length 1 as the second", lambda y: np.squeeze(y, 1), lambda y: np.expand_dims(y, 1)),
    _axes("adds an axis of length 1 as the last", lambda y: np.squeeze(y, -1), lambda y: y[..., None]),
    _axes("drops the batch axis", lambda y: y[None], lambda y: y.reshape(y.shape[1:])),
    Geometry(
        "drops every axis of length 1",
        lambda y, shape: y.reshape(shape) if y.shape == tuple(n for n in shape if n != 1) else None,
        np.squeeze,
    ),
    Geometry(
        "adds a fourth channel",
        lambda y, shape: y[..., :3] if y.shape == (*shape[:-1], 4) else None,
        lambda y: np.concatenate([y, np.zeros_like(y[..., :1])], axis=-1),
        lambda y, output: np.concatenate([y, output[..., 3:]], axis=-1),
    ),
    Geometry(
        "returns the values in their order, in another shape",
        lambda y, shape: y.reshape(shape) if y.size == np.prod(shape) and (y.shape != shape or not y.size) else None,
        lambda y: y.reshape(*y.shape[:-3], -1),
        lambda y, output: y.reshape(output.shape),
    ),
)


# Values -----------------------------------------------------------------------------------------------------------


class _Before(NamedTuple):
    """Something done to the image before the affine map; ``words`` follows the map. ``whole``: shown by integers."""

    words: str
    make: Callable[[Case], Float64]
    whole: bool = False

    def compute(self, seen: Seen) -> Float64:
        """What the map is of."""
        return _made(self, seen.case.of_values)


@kept_of_small
def _made(before: _Before, case: Case) -> Float64:
    return before.make(case)


def _of(words: str, compute: Callable[[Float64], Float64]) -> _Before:
    return _Before(words, lambda case: compute(values_of(case)))


def _statistic(values: Float64, words: str) -> Float64:
    """What is subtracted from values, or what they are divided by; along all axes but the first."""
    if words.startswith("p"):
        return np.percentile(values, float(words[1:]), axis=1, keepdims=True)
    of: dict[str, Callable[..., Float64]] = {"norm": np.linalg.norm, "mean": np.mean, "median": np.median}
    of |= {"minimum": np.min, "maximum": np.max, "deviation": np.std, "sum": np.sum, "adjusted": _adjusted}
    of |= {"unbiased": lambda values, **along: np.std(values, ddof=1, **along)}
    return np.asarray(of[words](values, axis=1, keepdims=True))


def _adjusted(values: Float64, **along: Any) -> Float64:
    return np.asarray(np.maximum(np.std(values, **along), values.shape[1] ** -0.5))


def _by_its_own(axes: tuple[int, ...], less: str, over: str, x: Float64) -> Float64:
    """Values less a statistic of theirs, and over another, along those of ``axes`` that there are."""
    axes = tuple(axis for axis in axes if axis >= -x.ndim)
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    rows = last.reshape(-1, int(np.prod(last.shape[x.ndim - len(axes) :])))
    low = _statistic(rows, less) if less else np.zeros((len(rows), 1))
    size = np.ones((len(rows), 1))
    if over:
        size = _statistic(rows, over) - (low if over[0] == "p" or over == "maximum" else 0)
        # Of a single colour the mean may miss it by a rounding.
        size = np.where(np.abs(size) > 1e-9 * np.abs(low), size, np.nan)
    return np.moveaxis(((rows - low) / size).reshape(last.shape), range(-len(axes), 0), axes)


_OWN = (
    ("stretched from its own minimum and maximum to 0..1", "minimum", "maximum"),
    ("standardised by its own mean and deviation", "mean", "deviation"),
    ("standardised by its own mean and unbiased deviation (over n - 1, as torch.std)", "mean", "unbiased"),
    ("standardised by its own mean and deviation, of at least 1/sqrt(size)", "mean", "adjusted"),
    ("divided by its own maximum", "", "maximum"),
    ("less its own minimum", "minimum", ""),
    ("less its own mean", "mean", ""),
    ("less its own median", "median", ""),
    ("divided by its own mean", "", "mean"),
    ("divided by its own deviation", "", "deviation"),
    ("divided by its own Euclidean norm", "", "norm"),
    ("divided by its own sum", "", "sum"),
    *((f"stretched from its own percentiles {p} and {100 - p} to 0..1", f"p{p}", f"p{100 - p}") for p in (1, 2, 5)),
)
_OF: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("the image", (-3, -2, -1)), ("the batch", (-4, -3, -2, -1)), ("each channel", (-3, -2)),
    ("each channel of the batch", (-4, -3, -2)), ("each pixel", (-1,))
)  # fmt: skip


def _wrapping(compute: Callable[[Array], Array], case: Case) -> Float64:
    """What is computed of an image in an integer dtype of its own, which wraps around."""
    values = case.view()
    with np.errstate(all="ignore"):
        return oracle.as_float64(compute(values if values.dtype.kind in "iu" else values_of(case)))


def _with(operation: np.ufunc, number: int | tuple[int, ...], values: Array) -> Array:
    return np.asarray(operation(values, np.array(number).astype(values.dtype)))


def _signed(values: Array) -> Array:
    return values.astype(np.int8) if values.dtype.kind in "iu" else values


def _curved(curve: Callable[[Float64], Float64], low: float, high: float, x: Float64) -> Float64:
    x = np.clip(x, low, high)
    return np.sign(x) * curve(np.abs(x) / 255)


def _power(power: float, u: Float64) -> Float64:
    return u**power


def _linear(u: Float64) -> Float64:
    return np.where(u <= 0.04045, u / 12.92, ((u + 0.055) / 1.055) ** 2.4)


_SUBTRACTED: dict[str, int | tuple[int, ...]] = {
    "128 is": 128,
    "127 is": 127,
    "1 is": 1,
    "R's 123, G's 116 and B's 103 are": (123, 116, 103),
    "R's 124, G's 117 and B's 104 are": (124, 117, 104),
    "R's 103, G's 116 and B's 123 are": (103, 116, 123),
}
AS_IT_IS = _of("", lambda x: x)
_BEFORES: tuple[_Before, ...] = (
    AS_IT_IS,
    _of("of the image with its fractions cut off", np.trunc),
    _of("of the image clipped to 0..255", lambda x: np.clip(x, 0, 255)),
    _of("of the image clipped to at least 0", lambda x: np.maximum(x, 0)),
    _of("of the image clipped to at most 255", lambda x: np.minimum(x, 255)),
    _of("of the image's absolute values", np.abs),
    _of("of the image rounded to whole numbers", np.rint),
    _of("of the image clipped to 0..255 and rounded to whole numbers", lambda x: np.rint(np.clip(x, 0, 255))),
    _of("of the image clipped to 0..1", lambda x: np.clip(x, 0, 1)),
    _of("of the image clipped to 0..255, with its fractions cut off", lambda x: np.trunc(np.clip(x, 0, 255))),
    *(
        _of(f"of {what} {words}", functools.partial(_by_its_own, axes, less, over))
        for (words, less, over), (what, axes) in product(_OWN, _OF)
    ),
    _of(
        "of the image clipped to 0..255 and decoded from sRGB to linear light",
        functools.partial(_curved, _linear, 0, 255),
    ),
    *(
        _Before(
            f"of an image whose integers wrap around when {said} subtracted",
            functools.partial(_wrapping, functools.partial(_with, np.subtract, number)),
            whole=True,
        )
        for said, number in _SUBTRACTED.items()
    ),
    _Before("of an image whose bytes are taken as signed", functools.partial(_wrapping, _signed), whole=True),
    *(
        _Before(
            f"of an image whose integers wrap around when they are multiplied by {n}",
            functools.partial(_wrapping, functools.partial(_with, np.multiply, n)),
            whole=True,
        )
        for n in (2, 255)
    ),
)


def _curves(x: Float64, y: Float64, dtype: np.dtype[Any]) -> Iterator[_Before]:
    """The power of the image of which its first output channel is an affine map, by the curve's ends and middle."""
    for z in np.moveaxis(x, -1, 0):
        order = np.argsort(z[inside := (z >= 0) & (z <= 255)])
        u, v = z[inside][order] / 255, y[..., 0][inside][order]
        if (
            len(u) < _ENOUGH
            or not u[0] < u[len(u) // 2] < u[-1]
            or v[0] == v[-1]
            or not ((d := np.diff(v)) >= 0).all() | (d <= 0).all()
        ):
            continue
        part, low, high = (v[len(u) // 2] - v[0]) / (v[-1] - v[0]), 1 / 16, 16.0
        for _ in range(50):
            a, b, c = (float(u[at]) ** (low * high) ** 0.5 for at in (0, len(u) // 2, -1))
            low, high = ((low * high) ** 0.5, high) if (b - a) / (c - a) > part else (low, (low * high) ** 0.5)
        near = 256 * max(unit_roundoff(dtype), 2.0**-24)
        power, root = affine.shortest(low, near * low), affine.shortest(1 / low, near / low)
        if power == 1:
            continue
        said = f"{power:.6g}"
        if len(f"{root:.6g}") + 2 < len(said):
            said, power = f"(1/{root:.6g})", 1 / root
        for also, least, most in (("", -np.inf, np.inf), (" of the image clipped to 0..255", 0, 255)):
            yield _of(
                f"of (x/255)^{said}{also}", functools.partial(_curved, functools.partial(_power, power), least, most)
            )


READ: tuple[_Before, ...] = (
    _of("of an image whose memory is read as planes", _planes),
    _of("of an image whose planes are read as pixels", _as_planes),
)


def affine_maps(
    evidence: Sequence[Seen], direction: Direction, mode: ModeName, befores: Sequence[_Before] = _BEFORES
) -> Iterator[Statement]:
    """Affine maps of each channel, of the image or something made of it, perhaps clipped, that fit the first image."""
    plain = next((seen for seen in evidence if seen.y is not None and seen.tells), None)
    if plain is None or plain.outcome.output is None:
        return
    y, output = plain.y, plain.outcome.output
    assert y is not None
    if not np.isfinite(y).all():
        return
    low, high = float(y.min()), float(y.max())
    if low == high:
        text = f"returns {low:.6g} whatever the image"
        yield on_seen(text, lambda seen: np.full(seen.case.shape, low, output.dtype), name="constant")
    if low == high or output.dtype.kind in "iub":
        return
    slack = _ROUNDINGS * unit_roundoff(output.dtype) * max(abs(low), abs(high))
    for extremes in (None, _ends(y)):
        for before in (*befores, *_curves(plain.x, y, output.dtype)) if befores is _BEFORES else befores:
            if before.whole and plain.case.dtype in oracle.FORMATS:
                continue
            ends = extremes
            with np.errstate(all="ignore"):
                z = before.compute(plain)
            if not np.isfinite(z).all():
                continue
            inside = np.ones(y.shape, bool) if ends is None else (y > ends[0]) & (y < ends[1])
            if ends is not None and (inside.all() or inside.sum(axis=tuple(range(y.ndim - 1))).min() < _ENOUGH):
                continue
            if not _may_fit(z, y, inside) or (fitted := _fitted(z, y, inside, unit_roundoff(output.dtype))) is None:
                continue
            steep = slack / max(float(np.ptp(z)), 1e-30)
            rows = fitted if isinstance(fitted, np.ndarray) else _rows(fitted)
            near = (
                64
                * max(unit_roundoff(output.dtype), 2.0**-24)
                * (8 * max(abs(low), abs(high)) + np.abs(rows[:, 3]).max())
            )
            if (np.abs(z @ rows[:, :3].T + rows[:, 3] - y)[inside] > near).any():
                continue
            if ends is not None and (ends := _seen_ends(before, rows, evidence, ends, 4 * slack)) is None:
                continue
            if isinstance(fitted, np.ndarray):
                yield _mixing(before, fitted, ends, steep, slack, direction, mode)
                continue
            channels = affine.readable(fitted, steep, 4 * slack if "its own" in before.words else slack)
            if ends is None and not before.words:
                channels = _refined(fitted, evidence, steep, slack)
            text = _whole_text(listed(channels, direction, mode), before, ends)
            if ends is None and not before.words:
                text += _instead_of(direction, mode)
            size = 0.0 if ends is None else max(abs(channel.offset) for channel in channels)
            if "its own" in before.words:  # sums over the image are rounded, too
                size += 4 * max(abs(low), abs(high))
            plain_map = channels if ends is None and not before.words else None
            yield on_seen(text, functools.partial(_apply, before, channels, ends), size, plain_map)


Ends = tuple[Float64, Float64]


def _ends(y: Float64) -> Ends:
    """The smallest and the largest value of each channel; of all, where they are the same."""
    pixels = y.reshape(-1, 3)
    return pixels.min(axis=0), pixels.max(axis=0)


def _seen_ends(before: _Before, rows: Float64, evidence: Sequence[Seen], ends: Ends, beyond: float) -> Ends | None:
    """The ends at which outputs are seen to be clipped: where the map alone goes beyond; ``None`` if at none."""
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    beyond_low, beyond_high = np.zeros(3, bool), np.zeros(3, bool)
    for seen in evidence:
        if seen.y is None or not seen.x.size or seen.case.regime == "huge":
            continue
        y, given = _summed(before, rows, None, seen).reshape(-1, 3), seen.y.reshape(-1, 3)
        roundings = 1e-3 + 2 * ROUNDINGS * unit_roundoff(np.asarray(seen.outcome.output).dtype)
        near = roundings * np.abs([*ends, given.min(axis=0), given.max(axis=0)]).max()
        with np.errstate(invalid="ignore"):
            off = np.minimum(np.abs(np.clip(y, *ends) - given), np.abs(y - given))
        if (off > near).any():
            return None  # the map would not be what comes out, wherever it is clipped
        low = np.where((y < ends[0] - beyond).any(axis=0), ends[0], low)
        high = np.where((y > ends[1] + beyond).any(axis=0), ends[1], high)
        beyond_low |= (given < ends[0] - beyond).any(axis=0)
        beyond_high |= (given > ends[1] + beyond).any(axis=0)
    low, high = np.where(beyond_low, -np.inf, low), np.where(beyond_high, np.inf, high)
    return (low, high) if np.isfinite([low, high]).any() else None


def _rows(channels: Affine) -> Float64:
    """An affine map as the weights of three channels and what is added."""
    return np.array([[c.scale * (c.source == k) for k in range(3)] + [c.offset] for c in channels])


def _said_ends(ends: Ends) -> str:
    each = [said_end(low, high) for low, high in zip(*ends, strict=True)]
    if len(set(each)) == 1:
        return each[0]
    return ", ".join(f"{said} in channel {k}" for k, said in enumerate(each) if said)


def _may_fit(z: Float64, y: Float64, inside: Array) -> bool:
    """Whether a hundred values of the first channel are near a sum of channels: quick to say of what is far off."""
    of, values = z[inside[..., 0]][:100], y[..., 0][inside[..., 0]][:100]
    terms = np.concatenate([of, np.ones((len(of), 1))], axis=1)
    row, *_ = np.linalg.lstsq(terms, values, rcond=None)
    return bool(np.abs(terms @ row - values).max() <= 0.02 * np.ptp(y) + 1e-3 * np.abs(values).max())


def _fitted(z: Float64, y: Float64, inside: Array, u: float, loose: float = 0.0) -> Affine | Float64 | None:
    """The affine map from ``z`` to ``y`` as far as it is ``inside``: of one channel each, else of three, ``(3, 4)``.

    ``loose``: how much of the outputs' extent it may be off.
    """
    each = [affine.fit_channel(z[inside[..., k]], y[..., k][inside[..., k]], u) for k in range(3)]
    first, second, third = (None if found is None else found[0] for found in each)
    if first is not None and second is not None and third is not None:
        return first, second, third
    rows = []
    for k in range(3):
        of, values = z[inside[..., k]], y[..., k][inside[..., k]]
        terms = np.concatenate([of, np.ones((len(of), 1))], axis=1)
        row = np.linalg.lstsq(terms, values, rcond=None)[0]
        bound = 64 * u * np.abs(values).max(initial=0) + loose * float(np.ptp(values))
        if len(of) < _ENOUGH or np.abs(terms @ row - values).max() > bound:
            return None
        rows.append(row)
    return np.array(rows)


def _mixing(
    before: _Before, rows: Float64, ends: Ends | None, steep: float, slack: float, direction: Direction, mode: ModeName
) -> Statement:
    """That each output channel is a sum of the input's, with constants of few digits."""
    short = _short(rows, steep, slack)
    text = _whole_text(_said_sums(short, direction, mode), before, ends)
    size = float(np.abs(short[:, 3]).max()) + slack / _ROUNDINGS
    return on_seen(text, functools.partial(_summed, before, short, ends), size)


def _short(rows: Float64, steep: float, slack: float) -> Float64:
    within = [steep] * 3 + [slack]
    return np.array([[affine.shortest(v, w) for v, w in zip(row, within, strict=True)] for row in rows])


def _said_sums(rows: Float64, direction: Direction, mode: ModeName) -> str:
    said = list(dict.fromkeys(_sum(row, letters(direction, mode)) for row in rows))
    return f"{said[0]} in every channel" if len(said) == 1 else ", ".join(said)


def _whole_text(said: str, before: _Before, ends: Ends | None) -> str:
    text = " ".join(filter(None, ["computes", said, before.words]))
    return text if ends is None else f"{text}, clipped to {_said_ends(ends)}"


def _summed(before: _Before, rows: Float64, ends: Ends | None, seen: Seen) -> Float64:
    with np.errstate(all="ignore"):
        y: Float64 = before.compute(seen) @ rows[:, :3].T + rows[:, 3]
    return y if ends is None else np.clip(y, *ends)


def _sum(row: Float64, names: str) -> str:
    """A weighted sum of channels, in words."""
    terms = [(f"{abs(w):.6g}*{c}", w) for w, c in zip(row, names, strict=False) if w]
    terms += [(f"{abs(row[3]):.6g}", row[3])] if row[3] or not terms else []
    joined = "".join(f" {'-' if v < 0 else '+'} {t}" for t, v in terms)
    return joined.removeprefix(" + ").replace(" - ", "-", 1) if joined.startswith(" - ") else joined.removeprefix(" + ")


def nearly(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Statement | None:
    """An affine map that all outputs seen are near, perhaps clipped, where they are not on it: rounded on the way."""
    pairs = [(seen, y) for seen in evidence if seen.case.regime != "huge" and (y := seen.y) is not None and y.size]
    if len(pairs) < len([seen for seen in evidence if seen.case.regime != "huge"]) or not pairs:
        return None
    y = np.concatenate([y.reshape(-1, 3) for _, y in pairs])
    plain = next((y for seen, y in pairs if seen.tells), None)
    if plain is None or not np.isfinite(y).all() or not np.ptp(y):
        return None
    for before in (each for each in _BEFORES if not any(w in each.words for w in ("its own", "^", "linear"))):
        with np.errstate(all="ignore"):
            z = np.concatenate([before.compute(seen).reshape(-1, 3) for seen, _ in pairs])
        if not np.isfinite(z).all():
            continue
        for extremes in (None, _ends(y)):
            ends = extremes
            inside = np.ones(y.shape, bool) if ends is None else (y > ends[0]) & (y < ends[1])
            if inside.sum(axis=0).min() < _ENOUGH:
                continue
            fitted = _fitted(z, y, inside, 0.0, loose=_LOOSE)
            if fitted is None:
                continue
            fitted = fitted if isinstance(fitted, np.ndarray) else _rows(fitted)
            beyond = _LOOSE * float(np.ptp(plain))
            if ends is not None and (ends := _seen_ends(before, fitted, evidence, ends, beyond)) is None:
                continue
            expected = expected_map(direction, mode)
            right = None if expected is None else _rows(expected)

            def errors(rows: Float64, z: Float64 = z, ends: Ends | None = ends) -> Float64:
                found = z @ rows[:, :3].T + rows[:, 3]
                return np.abs((found if ends is None else np.clip(found, *ends)) - y)

            worst = float(errors(fitted).max())
            if not 0 < worst <= beyond:
                continue
            near = right is not None and errors(right).max() <= max(1.5 * worst, 1.3 * _level(right, direction))
            rows, said = fitted, f"{'the inverse of ' * (direction == 'inverse')}mode {mode}"
            if near and right is not None:
                rows = right
            # What rounding leaves has many values; few of them are a difference of another kind.
            if len(np.unique(np.round(errors(rows) / errors(rows).max(), 2))) < _MANY:
                return None
            if not near:
                rows = _short(fitted, worst / 8 / max(float(np.abs(z).max()), 1.0), worst / 8)
                said = _said_sums(rows, direction, mode)
            worst = 1.25 * float(errors(rows).max())
            levels = worst / _level(rows, direction)
            text = f"{_whole_text(said, before, ends)}, to within {grey_levels(levels)}"
            return replace(on_seen(text, functools.partial(_summed, before, rows, ends)), within=worst)
    return None


def _level(rows: Float64, direction: Direction) -> float:
    """A grey level in the outputs of sums."""
    return float(np.abs(rows[:, :3]).sum(axis=1).max()) if direction == "forward" else 1.0


def offsets_along_an_axis(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """Constants that rows or columns get and channels should: an index that meets another axis than it is meant for."""
    plain = next((seen for seen in evidence if seen.y is not None and seen.tells), None)
    if plain is None or (y := plain.y) is None or not np.isfinite(y).all():
        return
    slack = _ROUNDINGS * unit_roundoff(np.asarray(plain.outcome.output).dtype) * float(np.abs(y).max())
    for words, axis in (("columns", -2), ("rows", -3)):
        for order in ("RGB", "BGR"):
            off = np.moveaxis(y - plain.x[..., ["RGB".index(c) for c in order]], axis, -1)
            lines = off.reshape(-1, off.shape[-1])
            usual = float(np.median(lines[:, -1]))
            special = np.abs(lines[0] - usual) > 2 * slack
            count = int(special.sum())
            if not 0 < count <= min(_FEW, len(special) - 2):
                continue
            if np.ptp(lines, axis=0).max() > 2 * slack or not special[:count].all():
                continue
            values = [affine.shortest(float(np.median(lines[:, k])), slack) for k in range(count)]
            rest = affine.shortest(usual, slack)
            those = f"{words} {', '.join(map(str, range(count)))} of every channel"
            inputs = ", ".join(letters(direction, mode)["RGB".index(c)] for c in order)
            text = (
                f"computes {inputs} with {', '.join(f'{v:+.6g}' for v in values)} in {those} and "
                f"{f'{rest:+.6g}' if rest else 'nothing'} in the others{_instead_of(direction, mode)}"
            )
            yield on_seen(text, functools.partial(_along, order, axis, values, rest))


def in_places(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """The mode, but in some rows, columns or images the input, nothing, or another mode."""
    offs = []
    for seen in evidence:
        if seen.case.regime == "huge" or (y := seen.y) is None or not y.size or not np.isfinite(y).all():
            continue
        slack = 16 * unit_roundoff(np.asarray(seen.outcome.output).dtype) * float(np.abs(y).max())
        off = (np.abs(y - real(direction, mode, seen.x)) > slack).any(axis=-1)
        offs.append((y, off))
    if not any(off.any() for _, off in offs) or all(off.all() for _, off in offs):
        return
    others: list[tuple[str, Callable[[Float64], Float64]]] = [("its input", lambda x: x), ("0", np.zeros_like)]
    others += [(f"mode {m}", functools.partial(real, direction, m)) for m in MODES if m not in (mode, "identity")]
    right = f"mode {mode}" if direction == "forward" else f"the inverse of mode {mode}"
    for where, places in _PLACES.items():
        if any((off & ~_mask(places, y)).any() for y, off in offs):
            continue
        for what, other in others:
            text = f"computes {right}, but {what} in {where}"

            def compute(seen: Seen, places: _Place = places, other: Callable[[Float64], Float64] = other) -> Float64:
                mask = _mask(places, seen.x)[..., None]
                return np.where(mask, other(seen.x), real(direction, mode, seen.x))

            yield on_seen(text, compute)


_NO_NUMBERS: dict[str, Callable[[Float64], Array]] = {
    "NaN": np.isnan,
    "infinity": np.isposinf,
    "minus infinity": np.isneginf,
}


def of_no_numbers(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """The mode, but of NaN or infinities a number of its own for each channel."""
    expected = expected_map(direction, mode)
    shown = [(seen.x, y) for seen in evidence if (y := seen.y) is not None and not np.isfinite(seen.x).all()]
    if expected is None or not shown:
        return
    sources = [c.source for c in expected]
    found: dict[str, Float64] = {}
    said, lost = [], []
    for name, is_it in _NO_NUMBERS.items():
        each = [np.concatenate([y[..., k][is_it(x[..., s])] for x, y in shown]) for k, s in enumerate(sources)]
        met = [k for k in range(3) if len(each[k])]
        if not met or all(is_it(each[k]).all() for k in met):
            continue
        values = np.array([each[k][0] if k in met else np.nan for k in range(3)])
        if name != "NaN" and all(np.isnan(each[k]).all() for k in met):
            lost.append(name)
            continue
        if not np.isfinite(values[met]).all() or any(np.ptp(each[k]) > 1e-6 * abs(values[k]) for k in met):
            return
        found[name] = values
        levels = [(values[k] - expected[k].offset) / expected[k].scale for k in met]
        numbers = dict.fromkeys(f"{values[k]:.6g}" for k in met)
        alike = len(numbers) > 1 and np.ptp(levels) < 1e-3
        as_what = f"is taken for {affine.shortest(levels[0], 1e-3):.6g}" if alike else f"becomes {', '.join(numbers)}"
        said.append(f"{name} {as_what}")

    def compute(seen: Seen) -> Float64:
        y, x = real(direction, mode, seen.x), seen.x[..., sources]
        for name, values in found.items():
            y = np.where(_NO_NUMBERS[name](x) & ~np.isnan(values), values, y)
        for name in lost:
            y = np.where(_NO_NUMBERS[name](x), np.nan, y)
        return y

    what = f"{'the inverse of ' * (direction == 'inverse')}mode {mode}"
    said += [f"{' and '.join(lost)} become{'s' * (len(lost) == 1)} NaN"] * bool(lost)
    if said:
        yield on_seen(f"computes {what}, but {' and '.join(said)}", compute)


_Place = Callable[[Array, Array, Array, tuple[int, ...]], Array]
_PLACES: dict[str, _Place] = {
    "the first row": lambda n, i, j, of: i == 0,
    "the last row": lambda n, i, j, of: i == of[1] - 1,
    "the first column": lambda n, i, j, of: j == 0,
    "the last column": lambda n, i, j, of: j == of[2] - 1,
    "every second row, from the second": lambda n, i, j, of: i % 2 == 1,
    "every second row, from the first": lambda n, i, j, of: i % 2 == 0,
    "the border, which is one pixel wide": lambda n, i, j, of: (i % (of[1] - 1) == 0) | (j % (of[2] - 1) == 0),
    "the last image of a batch": lambda n, i, j, of: n == of[0] - 1,
    "the first image of a batch": lambda n, i, j, of: n == 0,
    "all images of a batch but the first": lambda n, i, j, of: n > 0,
    "square images": lambda n, i, j, of: (n >= 0) & (of[1] == of[2]),
    "images that are not square": lambda n, i, j, of: (n >= 0) & (of[1] != of[2]),
    "images wider than high": lambda n, i, j, of: (n >= 0) & (of[1] < of[2]),
    "images higher than wide": lambda n, i, j, of: (n >= 0) & (of[1] > of[2]),
    "images of odd height": lambda n, i, j, of: (n >= 0) & (of[1] % 2 == 1),
    "images of odd width": lambda n, i, j, of: (n >= 0) & (of[2] % 2 == 1),
    "images of even height": lambda n, i, j, of: (n >= 0) & (of[1] % 2 == 0),
    "images of even width": lambda n, i, j, of: (n >= 0) & (of[2] % 2 == 0),
    "batches of more than one image": lambda n, i, j, of: (n >= 0) & (of[0] > 1),
}


def _mask(places: _Place, x: Array) -> Array:
    """Where the pixels of an image or a batch are, channels last."""
    shape = (1, *x.shape[:-1])[-3:]
    n, i, j = np.indices(shape)
    with np.errstate(all="ignore"):
        return np.broadcast_to(places(n, i, j, shape), shape).reshape(x.shape[:-1])


def letters(direction: Direction, mode: ModeName) -> str:
    """The input's channels: an inverse is given them in the order of the mode."""
    return definition(mode).channel_order if direction == "inverse" else "RGB"


def listed(channels: Affine, direction: Direction, mode: ModeName, digits: int = 9) -> str:
    """The channels of a map in words."""
    short = [replace(c, scale=float(f"{c.scale:.{digits}g}"), offset=float(f"{c.offset:.{digits}g}")) for c in channels]
    return ", ".join(channel.said(letters(direction, mode)) for channel in short)


def _instead_of(direction: Direction, mode: ModeName) -> str:
    """What is expected, if anything is: identity stands for no mode, too."""
    expected = expected_map(direction, mode) if definition(mode).steps else None
    return "" if expected is None else f", where {listed(expected, direction, mode)} is expected"


_FEW = 4  # rows or columns that get constants of their own


def _along(order: str, axis: int, values: Sequence[float], rest: float, seen: Seen) -> Float64:
    y: Float64 = seen.x[..., ["RGB".index(c) for c in order]]
    offsets = np.full(y.shape[axis], rest)
    offsets[: len(values)] = values[: y.shape[axis]]
    y += offsets.reshape(-1, *[1] * (-axis - 1))
    return y


def _refined(channels: Affine, evidence: Sequence[Seen], steep: float, slack: float) -> Affine:
    """The map with slopes from the image whose values range furthest, which shows them best."""
    wide = [(seen, seen.y) for seen in evidence if seen.tells and seen.case.regime == "wide"]
    for seen, y in wide:
        output = seen.outcome.output
        if y is None or output is None or output.dtype.kind in "iub" or not np.isfinite(y).all():
            continue
        x = seen.x
        found = []
        for k, channel in enumerate(channels):
            z = x[..., channel.source].ravel()
            low, high = int(np.argmin(z)), int(np.argmax(z))
            if z[high] == z[low]:
                return affine.readable(channels, steep, slack)
            scale = (y[..., k].ravel()[high] - y[..., k].ravel()[low]) / (z[high] - z[low])
            found.append(Channel(channel.source, float(scale), channel.offset))
        furthest = _ROUNDINGS * unit_roundoff(output.dtype) * float(np.abs(y).max()) / float(np.ptp(x))
        return affine.readable((found[0], found[1], found[2]), min(furthest, steep), slack)
    return affine.readable(channels, steep, slack)


_ROUNDINGS = 4  # unit roundoffs within which a constant may be made readable
_LOOSE = 0.008  # of the extent: two grey levels of 255
_MANY = 12  # different errors
_ENOUGH = 12  # pixels that are not clipped, to fit a map to


def _apply(before: _Before, channels: Affine, ends: Ends | None, seen: Seen) -> Float64:
    y = affine.apply(channels, before.compute(seen))
    return y if ends is None else np.clip(y, *ends)


def on_seen(
    text: str, compute: Callable[[Seen], Array], size: float = 0.0, channels: Affine | None = None, name: str = ""
) -> Statement:
    """A measured statement about values, channels last, in float64."""

    def predict(seen: Seen) -> Array | None:
        if not seen.x.size:
            return seen.outcome.output
        with np.errstate(all="ignore"):
            return to_format(compute(seen), seen.case.data_format)

    return Statement("measured", name or text, text, predict, size=size, channels=channels)


@functools.cache
def expected_map(direction: Direction, mode: ModeName) -> Affine | None:
    """The right map of each output channel."""
    grid = np.stack(np.meshgrid(*3 * [np.array([0.0, 255.0])], indexing="ij"), axis=-1).reshape(-1, 3)
    fitted = affine.fit(grid, oracle.real(grid, direction, mode)[0], 2.0**-53)
    return None if fitted is None else affine.readable(fitted[0], 1e-12, 1e-9)
