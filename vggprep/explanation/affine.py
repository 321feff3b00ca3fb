"""Affine maps of pixels: fitting one, and those that are known. Imports the gallery and the public functions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vggprep.cases import Cell, panel
from vggprep.faults import FAULTS
from vggprep.functions import preprocess_input
from vggprep.implementations.callables import call
from vggprep.spec import MODES, ModeName

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Channel:
    """One output channel: ``source`` (0 is red) times ``scale`` plus ``offset``; input in 0..255."""

    source: int
    scale: float
    offset: float

    def __str__(self) -> str:
        value, sign = "RGB"[self.source], "-" if self.offset < 0 else "+"
        if self.scale == 0:
            return _short(self.offset)
        if self.scale != 1:
            inverse = 1 / self.scale
            divides = len(_short(inverse)) < len(_short(self.scale))
            value += f"/{_short(inverse)}" if divides else f"*{_short(self.scale)}"
        return value if self.offset == 0 else f"{value} {sign} {_short(abs(self.offset))}"


def _short(value: float) -> str:
    return f"{value:.6g}"


Affine = tuple[Channel, Channel, Channel]


@dataclass(frozen=True)
class KnownMap:
    """An affine map with a name: a mode, a fault in a mode, or (no ``mode``) constants that other people use."""

    name: str
    story: str
    channels: Affine
    mode: ModeName | None = None


def _family(name: str, story: str, order: str, scale: Sequence[float], offset: Sequence[float]) -> KnownMap:
    first, second, third = (
        Channel("RGB".index(c), s, o) for c, s, o in zip(order, 3 * list(scale), 3 * list(offset), strict=False)
    )
    return KnownMap(name, story, (first, second, third))


_TORCH = [(1 / 255 / s, -m / s) for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]

FAMILIES: tuple[KnownMap, ...] = (
    _family("divided_by_256", "divided by 256, a shift by eight bits", "RGB", [1 / 256], [0]),
    _family("unit_range_in_bgr", "scaled to 0..1 in BGR order, as OpenCV's blobs for YOLO", "BGR", [1 / 255], [0]),
    _family("facenet", "(x - 127.5)/128, as FaceNet and ArcFace", "RGB", [1 / 128], [-127.5 / 128]),
    _family("facenet_in_bgr", "(x - 127.5)/128 in BGR order, as MTCNN in Caffe", "BGR", [1 / 128], [-127.5 / 128]),
    _family("openpose", "x/256 - 0.5, as OpenPose", "RGB", [1 / 256], [-0.5]),
    _family("centred", "x - 128: unsigned bytes made signed, as quantised models want them", "RGB", [1], [-128]),
    _family("centred_at_half", "x - 127.5, without a scale", "RGB", [1], [-127.5]),
    _family("half_range", "x/255 - 0.5: values from -0.5 to 0.5", "RGB", [1 / 255], [-0.5]),
    _family(
        "torch_in_bgr", "the torch mode with channels, means and deviations all in BGR order, as in PaddlePaddle",
        "BGR", [s for s, _ in _TORCH[::-1]], [o for _, o in _TORCH[::-1]],
    ),
    _family(
        "mmdetection_means_in_rgb", "means 123.675, 116.28 and 103.53 in RGB order without a scale",
        "RGB", [1], [-123.675, -116.28, -103.53],
    ),
    _family("integer_means_in_rgb", "means 123, 117 and 104 in RGB order", "RGB", [1], [-123, -117, -104]),
    _family(
        "age_and_gender_means", "means 78.426, 87.769 and 114.896 in BGR order, of the age and gender Caffe models",
        "BGR", [1], [-78.4263377603, -87.7689143744, -114.895847746],
    ),
)  # fmt: skip
"""Other people's constants that are not a fault of a mode, in addition to those in the gallery."""


def fit(x: Float64, y: Float64, unit_roundoff: float) -> tuple[Affine, float] | None:
    """The affine map from pixels ``x`` to outputs ``y``, both ``(n, 3)``, and how far off it is in grey levels.

    ``None`` where no single input channel explains an output channel to within 1%.
    """
    channels = []
    worst = 0.0
    for k in range(3):
        fitted = fit_channel(x, y[:, k], unit_roundoff)
        if fitted is None:
            return None
        channels.append(fitted[0])
        worst = max(worst, fitted[1])
    return (channels[0], channels[1], channels[2]), worst


def fit_channel(x: Float64, y: Float64, unit_roundoff: float) -> tuple[Channel, float] | None:
    """The map from pixels ``x``, ``(n, 3)``, to one output channel ``y``, ``(n,)``; otherwise as ``fit``."""
    scale, offset, error, source = min(((*_line(x[:, j], y), j) for j in range(3)), key=lambda f: f[2])
    extent = abs(scale) * float(np.ptp(x[:, source]))
    if not error <= 0.01 * extent + 64 * unit_roundoff * abs(offset):
        return None
    channel = Channel(source, _tidy(scale, 1e-7), _tidy(offset, 1e-7 * (abs(offset) + extent)))
    return channel, error / abs(scale) if scale else 0.0


def _line(x: Float64, y: Float64) -> tuple[float, float, float]:
    """Least squares: slope, offset, largest error."""
    mean_x, mean_y = x.mean(), y.mean()
    spread = ((x - mean_x) ** 2).sum()
    scale = float(((x - mean_x) * (y - mean_y)).sum() / spread) if spread else 0.0
    offset = float(mean_y - scale * mean_x)
    return scale, offset, float(np.abs(y - scale * x - offset).max())


def _tidy(value: float, within: float) -> float:
    """The value itself, or the whole number that it misses only by rounding."""
    return float(round(value)) if abs(value - round(value)) <= within else value


def readable(channels: Affine, steep: float, slack: float) -> Affine:
    """The map with the constants of fewest digits: slopes within ``steep``, offsets within ``slack``."""
    found = []
    for channel in channels:
        scale = shortest(channel.scale, steep)
        if channel.scale:
            divisor = shortest(1 / channel.scale, steep / channel.scale**2)
            if divisor and len(_short(divisor)) < len(_short(scale)):
                scale = 1 / divisor
        found.append(Channel(channel.source, scale, shortest(channel.offset, slack)))
    return (found[0], found[1], found[2])


def shortest(value: float, within: float) -> float:
    """The decimal of the fewest significant digits that is near enough."""
    if abs(value) <= within:
        return 0.0
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= within:
            return short
    return value


def apply(channels: Affine, x: Float64) -> Float64:
    """The map of ``x``, shape ``(..., 3)``."""
    return np.stack([x[..., c.source] * c.scale + c.offset for c in channels], axis=-1)


def undo(channels: Affine, y: Float64) -> Float64:
    """The pixels, ``(..., 3)`` in RGB, before a map that uses each input channel once."""
    x = np.empty(y.shape)
    for k, channel in enumerate(channels):
        x[..., channel.source] = (y[..., k] - channel.offset) / channel.scale
    return x


@functools.cache
def known_maps() -> tuple[KnownMap, ...]:
    """Every mode, every fault that is affine, and every family; each map once."""
    x = panel("forward", Cell("tf", "channels_last", "float64", 4)).values()
    pixels = x.reshape(-1, 3)
    found: list[KnownMap] = []
    for name, mode in MODES.items():
        fitted = fit(pixels, preprocess_input(x, mode=name).reshape(-1, 3), 2.0**-53)
        assert fitted is not None
        found.append(KnownMap(name, mode.summary, fitted[0], name))
    for fault in FAULTS:
        if fault.preprocess is None or not fault.stateless or fault.caught_by not in ("value", "monotone"):
            continue
        for mode_name in fault.modes:
            outcome = call(fault.preprocess, x.copy(), mode_name, "channels_last")
            if outcome.output is None or outcome.output.shape != x.shape:
                continue
            fitted = fit(pixels, outcome.output.reshape(-1, 3).astype(np.float64), 2.0**-53)
            if fitted is None or fitted[1] > 1e-6:
                continue
            if all(distance(fitted[0], known.channels) >= 1e-4 for known in found):
                found.append(KnownMap(fault.name, fault.story, fitted[0], mode_name))
    return (*found, *FAMILIES)


def distance(a: Affine, b: Affine) -> float:
    """The largest difference of two maps over 0..255, in grey levels of ``b``; infinite if they swap differently."""
    if any(p.source != q.source or q.scale == 0 for p, q in zip(a, b, strict=True)):
        return float("inf")
    return max(
        abs((p.scale - q.scale) * v + p.offset - q.offset) / abs(q.scale)
        for p, q in zip(a, b, strict=True)
        for v in (0, 255)
    )


def nearest(channels: Affine) -> tuple[KnownMap, float]:
    """The known map that is nearest, and how far it is in grey levels."""
    return min(((known, distance(channels, known.channels)) for known in known_maps()), key=lambda found: found[1])
