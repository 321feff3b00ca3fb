"""What is measured where nothing known fits: where pixels went, and what is computed of them, channel by channel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vggprep import oracle
from vggprep.cases import to_format
from vggprep.explanation import affine
from vggprep.explanation.affine import Affine, Channel
from vggprep.explanation.statements import Array, Float64, Seen, Statement, unit_roundoff
from vggprep.spec import MODES, Direction, ModeName, definition

# Geometry ---------------------------------------------------------------------------------------------------------


class Geometry(NamedTuple):
    """Pixels in another place: in words, and from the output to where they belong and back.

    ``undo`` takes an output and the shape of the input and gives an array of that shape, or ``None`` if it cannot;
    ``redo`` takes such an array. Both see arrays with the channels last, unless the output has another shape.
    """

    words: str
    undo: Callable[[Array, tuple[int, ...]], Array | None]
    redo: Callable[[Array], Array]


def _axes(words: str, change: Callable[[Array], Array], back: Callable[[Array], Array]) -> Geometry:
    def undo(y: Array, shape: tuple[int, ...]) -> Array | None:
        try:
            found = change(y)
        except (ValueError, IndexError):
            return None
        return found if found.shape == shape else None

    return Geometry(words, undo, back)


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
    _axes("drops the batch axis", lambda y: y[None], lambda y: y.reshape(y.shape[1:])),
    _axes(
        "adds a fourth channel",
        lambda y: y[..., :3] if y.shape[-1] == 4 else y[:0],
        lambda y: np.concatenate([y, np.full_like(y[..., :1], np.nan)], axis=-1),
    ),
)


# Values -----------------------------------------------------------------------------------------------------------


class _Before(NamedTuple):
    """Something done to the image before the affine map; ``words`` follows the map."""

    words: str
    compute: Callable[[Seen], Float64]


def _of(words: str, compute: Callable[[Float64], Float64]) -> _Before:
    return _Before(words, lambda seen: compute(seen.x))


def _own(values: Float64, axes: tuple[int, ...] | None) -> tuple[Float64, Float64]:
    mean = values.mean(axis=axes, keepdims=True)
    return mean, values.std(axis=axes, keepdims=True)


def _standardised(x: Float64, axes: tuple[int, ...] | None) -> Float64:
    mean, deviation = _own(x, axes)
    # Of a single colour the mean may miss it by a rounding.
    return np.where(deviation > 1e-9 * np.abs(mean), (x - mean) / deviation, np.nan)


def _stretched(x: Float64, axes: tuple[int, ...] | None) -> Float64:
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    return np.where(high > low, (x - low) / (high - low), np.nan)


_IMAGE, _CHANNEL = (-3, -2, -1), (-3, -2)


def _shifted(number: int, seen: Seen) -> Float64:
    """``x - number`` in an integer dtype of its own, which wraps around."""
    values = seen.case.values()
    if values.dtype.kind not in "iu":
        return seen.x - number
    with np.errstate(all="ignore"):
        return oracle.as_float64(values - np.array(number).astype(values.dtype))


def _signed(seen: Seen) -> Float64:
    values = seen.case.values()
    return oracle.as_float64(values.astype(np.int8)) if values.dtype.kind in "iu" else seen.x


def _curved(curve: Callable[[Float64], Float64], low: float, high: float, x: Float64) -> Float64:
    x = np.clip(x, low, high)
    return np.sign(x) * curve(np.abs(x) / 255)


def _power(power: float, u: Float64) -> Float64:
    return u**power


def _linear(u: Float64) -> Float64:
    return np.where(u <= 0.04045, u / 12.92, ((u + 0.055) / 1.055) ** 2.4)


_BEFORES: tuple[_Before, ...] = (
    _of("", lambda x: x),
    _of("of the image with its fractions cut off", np.trunc),
    _of("of the image clipped to 0..255", lambda x: np.clip(x, 0, 255)),
    _of("of the image clipped to 0..1", lambda x: np.clip(x, 0, 1)),
    _of("of the image stretched from its own minimum and maximum to 0..1", lambda x: _stretched(x, _IMAGE)),
    _of("of the batch stretched from its own minimum and maximum to 0..1", lambda x: _stretched(x, None)),
    _of("of each channel stretched from its own minimum and maximum to 0..1", lambda x: _stretched(x, _CHANNEL)),
    _of("of the image divided by its own maximum", lambda x: x / x.max(axis=_IMAGE, keepdims=True)),
    _of("of the batch divided by its own maximum", lambda x: x / x.max()),
    _of("of the image less its own minimum", lambda x: x - x.min(axis=_IMAGE, keepdims=True)),
    _of("of the batch less its own minimum", lambda x: x - x.min()),
    _of("of the image less its own mean", lambda x: x - x.mean(axis=_IMAGE, keepdims=True)),
    _of("of the batch less its own mean", lambda x: x - x.mean()),
    _of("of each channel less its own mean", lambda x: x - x.mean(axis=_CHANNEL, keepdims=True)),
    _of("of the image standardised by its own mean and deviation", lambda x: _standardised(x, _IMAGE)),
    _of("of each channel standardised by its own mean and deviation", lambda x: _standardised(x, _CHANNEL)),
    _of("of the batch standardised by its own mean and deviation", lambda x: _standardised(x, None)),
    *(
        _of(f"of (x/255)^{said}{also}", functools.partial(_curved, functools.partial(_power, power), low, high))
        for said, power in (("2.2", 2.2), ("(1/2.2)", 1 / 2.2), ("2", 2.0), ("0.5", 0.5))
        for also, low, high in (("", -np.inf, np.inf), (" of the image clipped to 0..255", 0, 255))
    ),
    _of(
        "of the image clipped to 0..255 and decoded from sRGB to linear light",
        functools.partial(_curved, _linear, 0, 255),
    ),
    _of("of the grey image Y = 0.299 R + 0.587 G + 0.114 B", lambda x: _grey(x, (0.299, 0.587, 0.114))),
    _of("of the grey image Y = (R + G + B)/3", lambda x: _grey(x, (1 / 3, 1 / 3, 1 / 3))),
    *(
        _Before(
            f"of an image whose integers wrap around when {number} is subtracted",
            functools.partial(_shifted, number),
        )
        for number in (128, 127, 1)
    ),
    _Before("of an image whose bytes are taken as signed", _signed),
)


def _grey(x: Float64, weights: tuple[float, float, float]) -> Float64:
    return np.repeat((x @ np.array(weights))[..., None], 3, axis=-1).astype(np.float64)


def affine_maps(
    evidence: Sequence[Seen], direction: Direction, mode: ModeName, *, thorough: bool = True
) -> Iterator[Statement]:
    """Affine maps of each channel, of the image or something made of it, perhaps clipped, that fit the first image.

    Without ``thorough``, of the image itself alone.
    """
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
        yield on_seen("constant", text, lambda seen: np.full(seen.case.shape, low, output.dtype))
    if low == high or output.dtype.kind in "iub":
        return
    slack = _ROUNDINGS * unit_roundoff(output.dtype) * max(abs(low), abs(high))
    for before in _BEFORES if thorough else _BEFORES[:1]:
        with np.errstate(all="ignore"):
            z = before.compute(plain)
        if not np.isfinite(z).all():
            continue
        for clip in (None, (low, high)):
            inside = np.ones(y.shape, bool) if clip is None else (y > low) & (y < high)
            if clip is not None and (inside.all() or inside.sum(axis=tuple(range(y.ndim - 1))).min() < _ENOUGH):
                continue
            each = [
                affine.fit_channel(z[inside[..., k]], y[..., k][inside[..., k]], unit_roundoff(output.dtype))
                for k in range(3)
            ]
            first, second, third = (None if found is None else found[0] for found in each)
            if first is None or second is None or third is None:
                continue
            fitted = first, second, third
            steep = slack / max(float(np.ptp(z)), 1e-30)
            channels = affine.readable(fitted, steep, slack)
            if clip is None and not before.words:
                channels = _refined(fitted, evidence, steep, slack)
            is_grey = "grey" in before.words
            said = channels[0].said("YYY") if is_grey else _listed(channels, direction, mode)
            text = " ".join(filter(None, ["computes", said, before.words]))
            if clip is not None:
                text += f", clipped to {low:.6g}..{high:.6g}"
            elif not before.words:
                text += _instead_of(direction, mode)
            size = 0.0 if clip is None else max(abs(channel.offset) for channel in channels)
            if before.words:  # sums over the image are rounded, too
                size += 4 * max(abs(low), abs(high))
            plain_map = channels if clip is None and not before.words else None
            yield on_seen("measured", text, functools.partial(_apply, before, channels, clip), size, plain_map)


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
            inputs = ", ".join(_letters(direction, mode)["RGB".index(c)] for c in order)
            text = (
                f"computes {inputs} with {', '.join(f'{v:+.6g}' for v in values)} in {those} and "
                f"{f'{rest:+.6g}' if rest else 'nothing'} in the others{_instead_of(direction, mode)}"
            )
            yield on_seen("along_an_axis", text, functools.partial(_along, order, axis, values, rest))


def in_places(evidence: Sequence[Seen], direction: Direction, mode: ModeName) -> Iterator[Statement]:
    """The mode, but in some rows, columns or images the input, nothing, or another mode."""
    plain = next((seen for seen in evidence if seen.y is not None and seen.tells), None)
    if plain is None or (y := plain.y) is None or not np.isfinite(y).all():
        return
    slack = 16 * unit_roundoff(np.asarray(plain.outcome.output).dtype) * float(np.abs(y).max())
    others: list[tuple[str, Callable[[Float64], Float64]]] = [("its input", lambda x: x), ("0", np.zeros_like)]
    others += [(f"mode {m}", functools.partial(_of_mode, direction, m)) for m in MODES if m not in (mode, "identity")]
    off = (np.abs(y - oracle.real(plain.x, direction, mode)[0]) > slack).any(axis=-1)
    if off.all() or not off.any():
        return
    right = f"mode {mode}" if direction == "forward" else f"the inverse of mode {mode}"
    for where, places in _PLACES.items():
        if (off & ~_mask(places, y)).any():
            continue
        for what, other in others:
            text = f"computes {right}, but {what} in {where}"

            def compute(seen: Seen, places: _Place = places, other: Callable[[Float64], Float64] = other) -> Float64:
                mask = _mask(places, seen.x)[..., None]
                return np.where(mask, other(seen.x), oracle.real(seen.x, direction, mode)[0])

            yield on_seen(f"{what} in {where}", text, compute)


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
}


def _mask(places: _Place, x: Array) -> Array:
    """Where the pixels of an image or a batch are, channels last."""
    shape = (1, *x.shape[:-1])[-3:]
    n, i, j = np.indices(shape)
    with np.errstate(all="ignore"):
        return np.broadcast_to(places(n, i, j, shape), shape).reshape(x.shape[:-1])


def _of_mode(direction: Direction, mode: ModeName, x: Float64) -> Float64:
    return oracle.real(x, direction, mode)[0]


def _letters(direction: Direction, mode: ModeName) -> str:
    """The input's channels: an inverse is given them in the order of the mode."""
    return definition(mode).channel_order if direction == "inverse" else "RGB"


def _listed(channels: Affine, direction: Direction, mode: ModeName) -> str:
    return ", ".join(channel.said(_letters(direction, mode)) for channel in channels)


def _instead_of(direction: Direction, mode: ModeName) -> str:
    """What is expected, if anything is: identity stands for no mode, too."""
    expected = expected_map(direction, mode) if definition(mode).steps else None
    return "" if expected is None else f", where {_listed(expected, direction, mode)} is expected"


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
_ENOUGH = 12  # pixels that are not clipped, to fit a map to


def _apply(before: _Before, channels: Affine, clip: tuple[float, float] | None, seen: Seen) -> Float64:
    y = affine.apply(channels, before.compute(seen))
    return y if clip is None else np.clip(y, *clip)


def on_seen(
    name: str, text: str, compute: Callable[[Seen], Array], size: float = 0.0, channels: Affine | None = None
) -> Statement:
    """A measured statement about values, channels last, in float64."""

    def predict(seen: Seen) -> Array | None:
        if not seen.x.size:
            return seen.outcome.output
        with np.errstate(all="ignore"):
            return to_format(compute(seen), seen.case.data_format)

    return Statement("measured", name, text, predict, size=size, channels=channels)


@functools.cache
def expected_map(direction: Direction, mode: ModeName) -> Affine | None:
    """The right map of each output channel."""
    grid = np.stack(np.meshgrid(*3 * [np.array([0.0, 255.0])], indexing="ij"), axis=-1).reshape(-1, 3)
    fitted = affine.fit(grid, oracle.real(grid, direction, mode)[0], 2.0**-53)
    return None if fitted is None else affine.readable(fitted[0], 1e-12, 1e-9)
