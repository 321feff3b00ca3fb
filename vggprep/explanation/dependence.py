"""What an output depends on, from changing the input: measured where no statement fits, of any function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vggprep import oracle, tolerance
from vggprep.explanation import affine
from vggprep.explanation.affine import Affine, apply
from vggprep.explanation.measure import expected_map, letters, listed
from vggprep.explanation.statements import Array, Float64, grey_levels, same
from vggprep.implementations.callables import Outcome
from vggprep.spec import Direction, ModeName


class Dependence(NamedTuple):
    """What an output depends on, in words; whether on more than the values in the image: its size, or earlier calls."""

    story: str
    on_more_than_values: bool = False
    of_calls: bool = False


Ask = Callable[[Array], Outcome]
Where = tuple[int, ...]

_PLACES = ((17, 20), (18, 26), (5, 33), (22, 19))  # of pixels that are changed, one at a time; odd and even
_SIZE = (36, 43)


def dependence(ask: Ask, image: Array, direction: Direction, mode: ModeName) -> Dependence:
    """What is measured of a function by calling it. ``ask`` takes and returns arrays with the channels last."""

    def of(x: Array) -> Array | None:
        return ask(np.ascontiguousarray(x)).output

    first, again = of(image), of(image)
    if first is None:
        return Dependence("it gives no result the second time", True, True)
    if again is None or _differ(first, again).any():
        return Dependence("the same image gives different results the second time (state, or chance)", True, True)
    x = np.resize(image.reshape(-1, 3), (*image.shape[:-3], *_SIZE, 3))
    places: list[Where] = [(*[0] * (x.ndim - 3), *place) for place in _PLACES]
    y = of(x)
    if y is None:
        x, y = image, first
        places = [(*[0] * (x.ndim - 3), i, j) for i, j in ((1, 2), (2, 4)) if i < x.shape[-3] and j < x.shape[-2]]
    if y.ndim != x.ndim or y.shape[-1] != 3 or y.shape[:-3] != x.shape[:-3]:
        return Dependence(f"an input of shape {x.shape} becomes an output of shape {y.shape}")
    followers: list[Array] = []
    for place in places:  # and where the first went, for what was there may have stayed
        after = of(_changed(x, place))
        if after is None or after.shape != y.shape:
            return Dependence("it refuses the image with one pixel changed", True, True)
        followers.append(np.argwhere(_differ(y, after).any(axis=-1)))
        if len(followers) == 1 == len(followers[0]) and y.shape == x.shape:
            places += {tuple(map(int, followers[0][0]))} - {*places}
    if x.ndim == 4 and len(image) > 1 and (order := _order(of, x, y)):
        alone = dependence(ask, image[:1], direction, mode).story
        own = f"it computes {'the inverse of ' * (direction == 'inverse')}mode {mode}"
        return Dependence(f"{order}; apart from that, {alone or own}")
    flat = _of_one_colour(of, x, direction, mode)
    spread = _spread(followers, places, x.shape, y.shape)
    if spread:
        return Dependence("; ".join(filter(None, [spread, _inside(of, x, direction, mode, spread), flat])))
    if not any(map(len, followers)):
        turned = of(x[..., ::-1, ::-1, ::-1])
        if turned is not None and not _differ(y, turned).any():
            return Dependence("no output depends on the pixels, of images of one shape")
    own = _on_its_surroundings(of, x, places)
    if own:
        return Dependence("; ".join(filter(None, [own, _inside(of, x, direction, mode, own), flat])))
    if elsewhere := _on_place_or_size(of, image, first):
        return Dependence(elsewhere, True)
    return Dependence("; ".join([*_channels(of, x, y, direction, mode)]))


def _order(of: Callable[[Array], Array | None], x: Array, y: Array) -> str:
    """Which image comes where, if they come in another order."""
    x = np.concatenate([x, (x[:1, ::-1] / 2).astype(x.dtype)])
    alone, y3 = [of(x[n : n + 1]) for n in range(len(x))], of(x)
    if y3 is None or any(each is None or each.shape != y[:1].shape for each in alone):
        return ""
    places = [[n for n, each in enumerate(alone) if each is not None and not _differ(one, each[0]).any()] for one in y3]
    order = [place[0] for place in places if len(place) == 1]
    moved = sorted(order) == [*range(len(x))] and order != sorted(order)
    return f"returns the images of a batch in another order, here {order}" if moved else ""


def _differ(a: Array, b: Array) -> Array:
    if a.shape != b.shape:
        return np.ones(a.shape, bool)
    same: Array = ~tolerance.same_values(oracle.as_float64(a), oracle.as_float64(b), signed_zero=False)
    return same


def _changed(x: Array, place: Where) -> Array:
    """The image with one pixel replaced by the pixel of it that differs the most in all channels."""
    pixels = x.reshape(-1, 3)
    off = np.abs(oracle.as_float64(pixels) - oracle.as_float64(x[place])).min(axis=1)
    found = x.copy()
    found[place] = pixels[int(np.argmax(off))]
    return found


def _spread(followers: list[Array], places: list[Where], given: Where, returned: Where) -> str:
    """Which output pixels follow a change of one; empty if only the pixel itself does."""
    steps = [each - np.array(place) for each, place in zip(followers, places, strict=True)]
    size = int(np.prod(returned[-3:-1]))
    most = max(map(len, followers))
    others = len(given) > 3 and any((each[:, 0] != 0).any() for each in followers)
    batch = "an image depends on the other images of its batch" if others and most > 1 else ""
    lone = [step[0] for step in steps if len(step) == 1]
    reached = [tuple(map(int, each[0])) for each in followers if len(each)]
    if most <= 1 and (met := next((at for at in reached if reached.count(at) > 1), None)):
        each = [_at(p) for p, f in zip(places, followers, strict=True) if len(f) and tuple(f[0]) == met]
        return f"a pixel depends on others, that at {_at(met)} on those at {' and '.join(each)}"
    if given == returned and most <= 1 and not any(map(np.any, lone)):
        return ""
    if most <= 1:
        moves = {(*map(bool, step[:-2]), *map(int, step[-2:])) for step in lone}
        if given != returned and len(lone) < 2:
            return _resized(given, returned)
        if len(moves) != 1:
            each = [f"{_at(p)} to {_at(f[0])}" for p, f in zip(places, followers, strict=True) if len(f)]
            return f"pixels go to other places: {', '.join(each)}" if lone else _resized(given, returned)
        *images, down, right = next(iter(moves))
        text = "" if given == returned else f"of {given[-3]} by {given[-2]} pixels, {returned[-3]} by {returned[-2]}"
        moved = [f"{abs(n)} pixel{'s' * (abs(n) > 1)} {w}" for n, w in _directions(down, right) if n]
        moved += ["to another image of the batch"] if any(images) else []
        where = f"each pixel moves {' and '.join(moved)}" if moved else "pixels stay where they are"
        return f"{where}{'; ' * bool(text)}{text}{' are returned' * bool(text)}"
    if given != returned and most < 0.5 * size:
        return f"{_resized(given, returned)}; up to {most} pixels of it follow a change of one"
    mine = [step[(step[:, :-2] == 0).all(axis=1)][:, -2:] for step in steps]
    reach = [int(np.abs(step[:, axis]).max(initial=0)) for axis in (0, 1) for step in (np.concatenate(mine),)]
    count = max(len(step) for step in mine)
    follow = f"{count - 1} of {size - 1} others follow a change of one"
    if count > 0.9 * size:
        return "; ".join(filter(None, [f"every pixel depends on the whole image ({follow})", batch]))
    if max(reach) <= 16 and count > 1:
        counts = [f"{n} {what}{'s' * (n > 1)}" for n, what in zip(reach, ("row", "column"), strict=True) if n]
        extent = f"{reach[0]}" if reach[0] == reach[1] else " and ".join(counts)
        return f"a pixel depends on its neighbours, up to {extent} away ({follow})"
    line = next((w for w, axis in (("row", 0), ("column", 1)) if count > 1 and not reach[axis]), "")
    what = f"a pixel depends on others of its {line}" if line else "a pixel depends on other pixels"
    return "; ".join(filter(None, [f"{what} ({follow})" if count > 1 else "", batch]))


def _colour(values: Array) -> str:
    return f"({', '.join(f'{float(v):.4g}' for v in values)})"


def _at(index: Array | Where) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]"


def _directions(down: int, right: int) -> Iterator[tuple[int, str]]:
    yield down, "down" if down > 0 else "up"
    yield right, "to the right" if right > 0 else "to the left"


def _resized(given: Where, returned: Where) -> str:
    return f"an image of {given[-3]} by {given[-2]} pixels becomes one of {returned[-3]} by {returned[-2]}"


def _on_its_surroundings(of: Callable[[Array], Array | None], x: Array, places: list[Where]) -> str:
    """What a change of all other pixels, to half their range, changes; where a change of one changes nothing else."""
    y, place = of(x), places[0]
    assert y is not None
    middle = x.reshape(-1, 3).astype(np.float64).mean()
    dim = ((x.astype(np.float64) - middle) / 2 + middle).astype(x.dtype)
    batch = ((0, "its image"), (slice(1, None), "the other images of its batch"), (..., "its batch"))
    for images, words in batch if x.ndim == 4 and len(x) > 1 else ((..., "its image"),):
        for other, on in ((x[..., ::-1, ::-1, :], "on other pixels of {}"), (dim, "on the range of values in {}")):
            changed = x.copy()
            changed[images] = other[images]
            changed[place] = x[place]
            after = of(changed)
            if after is not None and _differ(y, after)[place].any():
                return f"what becomes of a pixel depends {on.format(words)}"
    return ""


def _inside(of: Callable[[Array], Array | None], x: Array, direction: Direction, mode: ModeName, said: str) -> str:
    """What is done within one image: an affine map or a rising curve of its own, or weights of neighbours."""
    if "neighbours" in said:
        return _weights(of, x)
    if not any(words in said for words in ("whole image", "range", "other pixels")):
        return ""
    found = []
    middle = x.reshape(-1, 3).astype(np.float64).mean()
    for image in (x, ((x.astype(np.float64) - middle) / 2 + middle).astype(x.dtype)):
        y = of(image)
        assert y is not None
        one, out = (oracle.as_float64(z[0] if z.ndim == 4 else z).reshape(-1, 3) for z in (image, y))
        if not np.isfinite(out).all() or out.shape != one.shape:
            return ""
        fitted = affine.fit(one, out, 2.0**-24)
        if fitted is None or fitted[1] > 1e-3 * np.ptp(one):
            rising = all(_rises(one[:, k], out[:, k]) for k in range(3))
            return "within one image, each channel goes by a rising curve" if rising else ""
        ends = f"{one.min():.4g}..{one.max():.4g}"
        found.append(f"{listed(fitted[0], direction, mode, 4)} in an image of {ends}")
    return f"within one image it is affine: {' and '.join(found)}"


def _rises(x: Float64, y: Float64) -> bool:
    order = np.lexsort((y, x))
    return bool((np.diff(y[order]) >= 0).all()) and bool(np.ptp(y))


def _weights(of: Callable[[Array], Array | None], x: Array) -> str:
    """The share of its change that each neighbour gets of a pixel, if other changes, up or down, get theirs."""
    place = (*[0] * (x.ndim - 3), *_PLACES[0])
    grey = np.full(x.shape, x.reshape(-1, 3).astype(np.float64).mean()).astype(x.dtype)
    answers = []
    for part in (1, 2, -1):
        touched = grey.copy()
        touched[place] = (touched[place] + np.ptp(x.astype(np.float64)) / 4 * part).astype(x.dtype)
        before, after = of(grey), of(touched)
        if before is None or after is None or before.shape != x.shape or x.shape[-3:-1] != _SIZE:
            return ""
        answers.append((oracle.as_float64(after) - oracle.as_float64(before)).reshape(-1, *_SIZE, 3)[0, ..., 0] / part)
    total = answers[0].sum()
    if not total or max(np.abs(answers[0] - other).max() for other in answers[1:]) > 0.02 * abs(total):
        return ""
    rows, columns = (slice(max(p - 2, 0), p + 3) for p in place[-2:])
    shares = answers[0][rows, columns] / total
    kept = shares[np.ix_((shares != 0).any(axis=1), (shares != 0).any(axis=0))]
    if kept.size > 9 or not kept.size:
        return ""
    return f"of a change it passes on {'; '.join(', '.join(f'{v:.3g}' for v in row) for row in kept)} of the whole"


def _of_one_colour(of: Callable[[Array], Array | None], x: Array, direction: Direction, mode: ModeName) -> str:
    """The map of images of a single colour, which no geometry and no filter hides."""
    colours = np.unique(x.reshape(-1, 3), axis=0)
    colours = colours[:: max(1, len(colours) // 12)][:12]
    found = []
    for colour in colours:
        y = of(np.broadcast_to(colour, x.shape))
        if y is None or y.ndim != x.ndim or y.shape[-1] != 3 or not y.size:
            return ""
        height, width = (min(n, m) for n, m in zip(x.shape[-3:-1], y.shape[-3:-1], strict=True))
        rows, columns = (slice(n // 3, n - n // 3) for n in (height, width))
        pixels = oracle.as_float64(y)[..., rows, columns, :].reshape(-1, 3)
        if _differ(pixels, np.broadcast_to(pixels[0], pixels.shape)).any():
            return ""
        found.append(pixels[0])
    given, got = oracle.as_float64(colours), np.array(found)
    if len(colours) < 8 or not np.isfinite(got).all():
        return ""
    if not np.ptp(got, axis=0).any():
        return "images of one colour all give the same"
    said = map_of(given, got, direction, mode)
    return f"of images of one colour, it computes {said}" if said else ""


def map_of(x: Float64, y: Float64, direction: Direction, mode: ModeName) -> str:
    """The affine map of pixels ``x`` to ``y``, both ``(n, 3)``: by its name, or written out; empty if there is none."""
    fitted = affine.fit(x, y, 2.0**-24)
    if fitted is None:
        return ""

    def off(channels: Affine) -> float:
        """In grey levels."""
        scale = min(abs(c.scale) for c in channels) if direction == "forward" else 1.0
        return float(np.abs(apply(channels, x) - y).max()) / scale if scale else np.inf

    expected = expected_map(direction, mode)
    named = {} if expected is None else {f"{'the inverse of ' * (direction == 'inverse')}mode {mode}": expected}
    if direction == "forward":
        named |= {f"mode {known.name}": known.channels for known in affine.known_maps() if known.name == known.mode}
    least = off(fitted[0])
    error, said = min((off(channels), name) for name, channels in named.items())
    if error > max(1e-3, min(1.3, 4 * least)):
        error, said = least, ""
    within = f" to within {grey_levels(error)}" if error > 0.01 else ""
    return (said or listed(fitted[0], direction, mode, 4 if within else 6)) + within


def _on_place_or_size(of: Callable[[Array], Array | None], x: Array, y: Array) -> str:
    """Whether place, size or number matter, where nothing else of an image does."""
    for axis in range(x.ndim - 1):
        moved = of(np.roll(x, 1, axis))
        if moved is None or not same(np.roll(y, 1, axis), moved):
            where = "what becomes of a pixel depends on where it is in the image or the batch"
            return "; ".join(filter(None, [where, _at_places(of, x, y)]))
    copies = (1,) * (x.ndim - 3) + (20, 20, 1)
    sized = [np.s_[..., :height, :width, :] for height, width in ((4, 9), (9, 4))]
    for other, expected in (*((x[part], y[part]) for part in sized), (np.tile(x, copies), np.tile(y, copies))):
        if (found := of(other)) is None or not same(expected, found):
            return "what becomes of a pixel depends on the size of the image"
    for count in (1, 3, 40) if x.ndim == 4 else ():
        index = np.arange(count) % len(x)
        if (found := of(x[index])) is None or not same(y[index], found):
            return "what becomes of a pixel depends on the number of images"
    return ""


def _at_places(of: Callable[[Array], Array | None], x: Array, y: Array) -> str:
    """The affine map of each place, if there is one, from four images."""
    found = [(oracle.as_float64(x), oracle.as_float64(y))]
    for other in (x[..., ::-1, ::-1, :], x[..., ::-1, :, ::-1], x[..., ::-1, :]):
        if (z := of(other)) is None or z.shape != x.shape:
            return ""
        found.append((oracle.as_float64(other), oracle.as_float64(z)))
    for order in ("RGB", "BGR"):
        xs = np.stack([a[..., ["RGB".index(c) for c in order]] for a, _ in found])
        ys = np.stack([b for _, b in found])
        centre, middle = xs.mean(axis=0), ys.mean(axis=0)
        spread = ((xs - centre) ** 2).sum(axis=0)
        with np.errstate(all="ignore"):
            slope = ((xs - centre) * (ys - middle)).sum(axis=0) / spread
        offset = middle - slope * centre
        tells = spread > 0.01 * spread.max()
        if tells.any() and np.abs(ys - slope * xs - offset)[:, tells].max() <= 1e-5 * np.abs(ys).max():
            each = [(c, tells[..., k], slope[..., k], offset[..., k]) for k, c in enumerate(order)]
            said = ", ".join(f"{c} times {_range(a[t])} plus {_range(b[t])}" for c, t, a, b in each)
            return f"at each place, it computes {said}"
    return ""


def _range(values: Float64) -> str:
    values = np.where(np.abs(values) < 1e-5 * np.abs(values).max(), 0.0, values)
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low}..{high}"


def _channels(
    of: Callable[[Array], Array | None], x: Array, y: Array, direction: Direction, mode: ModeName
) -> Iterator[str]:
    """Which channels an output channel depends on; of one alone, the curve."""
    names = letters(direction, mode)
    if said := map_of(oracle.as_float64(x).reshape(-1, 3), oracle.as_float64(y).reshape(-1, 3), direction, mode):
        right = said in (f"mode {mode}", f"the inverse of mode {mode}")
        yield from () if right else (f"of an image of {x.min():.4g}..{x.max():.4g}, it computes {said}",)
        return
    low, high = (0.0, 255.0) if direction == "forward" else (float(x.min()), float(x.max()))
    uses: list[set[str]] = [set(), set(), set()]
    for k in range(3):
        mixed = x.copy()
        mixed[..., k] = x[..., ::-1, ::-1, k]
        after = of(mixed)
        if after is None:
            return
        for out in np.flatnonzero(_differ(y, after).reshape(-1, 3).any(axis=0)):
            uses[out].add(names[k])
    if any(len(each) > 1 for each in uses):
        each = [f"{k} on {', '.join(c for c in names if c in used) or 'none'}" for k, used in enumerate(uses)]
        colours = np.array([[high, low, low], [low, high, low], [low, low, high], [high] * 3]).astype(x.dtype)
        shown = of(np.resize(np.repeat(colours, 4, axis=0), (*x.shape[:-3], 4, 4, 3)))
        if shown is not None and shown.shape == (*x.shape[:-3], 4, 4, 3):
            rows = zip(colours, oracle.as_float64(shown.reshape(-1, 4, 4, 3)[0, :, 0]), strict=True)
            each += [f"{_colour(colour)} becomes {_colour(row)}" for colour, row in rows]
        yield f"an output channel depends on several input channels: {'; '.join(each)}"
        return
    values = np.linspace(low, high, 256).astype(x.dtype)
    ramp = of(np.resize(np.repeat(values[:, None], 3, axis=1), (*x.shape[:-3], 16, 16, 3)))
    if ramp is None or ramp.shape != (*x.shape[:-3], 16, 16, 3):
        return
    curves = oracle.as_float64(ramp).reshape(-1, 3)[:256]
    at = (0, 64, 128, 192, 255)
    points = [", ".join(f"{float(values[i]):.4g} becomes {float(curve[i]):.4g}" for i in at) for curve in curves.T]
    order = "".join(next(iter(used), "-") for used in uses)
    each = points[:1] if len(set(points)) == 1 else [f"{c}: {s}" for c, s in zip(order, points, strict=True)]
    falls = any(a > b for curve in curves.T for a, b in pairwise(curve))
    rises = any(a < b for curve in curves.T for a, b in pairwise(curve))
    shape = "rising and falling" if falls and rises else "falling" if falls else "rising"
    counts = {len(np.unique(curve)) for curve in curves.T}
    levels = f" with {max(counts)} different values for 256" if max(counts) < 200 else ""
    swapped = "" if order == names else f" ({', '.join(order)})"
    alone = f"each value depends on its own pixel and channel{swapped} alone"
    yield f"{alone}, by a {shape} curve{levels}: {'; '.join(each)}"
