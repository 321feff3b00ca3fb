"""Affine maps of pixels: fitting one, and those that are known. Imports the gallery and the public functions."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vggprep.cases import Cell, panel
from vggprep.configurations.affine import levels_apart, lines
from vggprep.configurations.words import sentence
from vggprep.faults import FAULTS
from vggprep.faults.arithmetic import row
from vggprep.functions import preprocess_input
from vggprep.implementations.callables import call
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode, ModeName

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Channel:
    """One output channel: ``source`` (0 is red) times ``scale`` plus ``offset``; input in 0..255."""

    source: int
    scale: float
    offset: float

    def __str__(self) -> str:
        return self.said()

    def said(self, letters: str = "RGB") -> str:
        """In words; ``letters`` name the input's channels."""
        value, sign = letters[self.source], "-" if self.offset < 0 else "+"
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
    """An affine map with a name: a mode, a fault in a mode, or (no ``mode``) other people's constants."""

    name: str
    story: str
    channels: Affine
    mode: ModeName | None = None


def _known(mode: Mode, story: str, name: ModeName | None = None) -> KnownMap:
    first, second, third = (Channel(c, float(scale), float(offset)) for c, scale, offset in lines(mode))
    return KnownMap(mode.name, story, (first, second, third), name)


def published_maps() -> tuple[KnownMap, ...]:
    """The published modes, but for those that no float32 tells from a mode of Keras's: they are named as that."""
    own = MODES.values()
    others = (m for m in PUBLISHED.values() if all(levels_apart(m, each) >= _APART for each in own))
    return tuple(_known(m, f"{m.summary} ({m.source})", m.name) for m in others)


_APART = 1e-4  # grey levels: maps that are nearer have one name


_FAMILIES = (
    ("divided_by_256", "divided by 256, a shift by eight bits", "RGB / 256"),
    ("unit_range_in_bgr", "scaled to 0..1 in BGR order, as OpenCV's blobs for YOLO", "BGR / 255"),
    ("scale_0_00392", "times 0.00392, which is 1/255 cut to three digits, as OpenCV's blobs for YOLO",
     "RGB * 0.00392"),
    ("facenet_in_bgr", "(x - 127.5)/128 in BGR order, as MTCNN in Caffe", "BGR - 127.5 / 128"),
    ("openpose_in_rgb", "x/256 - 0.5 in RGB order", "RGB / 256 - 0.5"),
    ("centred", "x - 128: unsigned bytes made signed, as quantised models want them", "RGB - 128"),
    ("centred_at_half", "x - 127.5, without a scale", "RGB - 127.5"),
    ("centred_at_122_5", "(x - 122.5)/122.5", "RGB - 122.5 / 122.5"),
    ("half_range", "x/255 - 0.5: values from -0.5 to 0.5", "RGB / 255 - 0.5"),
    ("torch_rounded", "means 123.68, 116.78 and 103.94, deviations 58.395, 57.12 and 57.375",
     "RGB - 123.68 116.78 103.94 / 58.395 57.12 57.375"),
    ("torch_rounded_both", "means 123.68, 116.78 and 103.94, deviations 58.40, 57.12 and 57.38",
     "RGB - 123.68 116.78 103.94 / 58.40 57.12 57.38"),
    ("resnest", "means 123.68, 116.779 and 103.939, deviations 58.393, 57.12 and 57.375, as ResNeSt in Gluon",
     "RGB - 123.68 116.779 103.939 / 58.393 57.12 57.375"),
    ("nanodet", "the torch means in grey levels, times 0.017429, 0.017507 and 0.017125, BGR, as NanoDet in ncnn",
     "BGR - 103.53 116.28 123.675 * 0.017429 0.017507 0.017125"),
    ("satellite", "mean and deviation of the satellite images SAT-493M, DINOv3",
     "RGB / 255 - 0.430 0.411 0.296 / 0.213 0.156 0.143"),
    ("centernet_rounded", "CenterNet's mean and deviation to three digits, BGR",
     "BGR / 255 - 0.408 0.447 0.470 / 0.289 0.274 0.278"),
    ("integer_means_in_rgb", "means 123, 117 and 104 in RGB order", "RGB - 123 117 104"),
    ("opencv_face", "means 104, 177 and 123 of OpenCV's face detector, BGR", "BGR - 104 177 123"),
    ("age_and_gender_means", "means 78.426, 87.769 and 114.896 in BGR order, of the age and gender Caffe models",
     "BGR - 78.4263377603 87.7689143744 114.895847746"),
    ("fcn_over_255", "the means of Caffe's ilsvrc_2012_mean.npy, then divided by 255, BGR",
     "BGR - 104.00698793 116.66876762 122.67891434 / 255"),
)  # fmt: skip
FAMILIES: tuple[KnownMap, ...] = tuple(
    _known(Mode(name, text[:3], row(text).steps), story) for name, story, text in _FAMILIES
)
"""Other people's constants that are neither a published mode nor a fault of a mode."""


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
    # Least squares: slope, offset and largest error of each input channel.
    mean_x, mean_y = x.mean(axis=0), y.mean()
    spread = ((x - mean_x) ** 2).sum(axis=0)
    scales = (y - mean_y) @ (x - mean_x) / np.where(spread, spread, 1)
    offsets = mean_y - scales * mean_x
    errors = np.abs(y[:, None] - scales * x - offsets).max(axis=0)
    source = int(np.argmin(errors))
    scale, offset, error = float(scales[source]), float(offsets[source]), float(errors[source])
    extent = abs(scale) * float(np.ptp(x[:, source]))
    if not error <= 0.01 * extent + 64 * unit_roundoff * abs(offset):
        return None
    near = min(1e-7, 64 * unit_roundoff)
    scale = 0.0 if extent <= near * abs(offset) else _tidy(scale, near * abs(scale))
    channel = Channel(source, scale, _tidy(offset, near * (abs(offset) + extent)))
    return channel, error / abs(scale) if scale else 0.0


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
    each = [x[..., c.source] * c.scale + c.offset if c.scale else np.full(x.shape[:-1], c.offset) for c in channels]
    return np.stack(each, axis=-1)


def undo(channels: Affine, y: Float64) -> Float64:
    """The pixels, ``(..., 3)`` in RGB, before a map that uses each input channel once."""
    x = np.empty(y.shape)
    for k, channel in enumerate(channels):
        x[..., channel.source] = (y[..., k] - channel.offset) / channel.scale
    return x


@functools.cache
def known_maps(own: tuple[Mode, ...] = ()) -> tuple[KnownMap, ...]:
    """Every mode, Keras's, published and ``own``, every fault that is affine, and every family; each map once."""
    x = panel("forward", Cell("tf", "channels_last", "float64", 4)).values()
    pixels = x.reshape(-1, 3)
    found: list[KnownMap] = []
    for name, mode in MODES.items():
        fitted = fit(pixels, preprocess_input(x, mode=name).reshape(-1, 3), 2.0**-53)
        assert fitted is not None
        found.append(KnownMap(name, mode.summary, fitted[0], name))
    found += published_maps()
    found += [_known(m, m.summary or sentence(m), m.name) for m in own if m.name not in [k.name for k in found]]
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
            if all(distance(fitted[0], known.channels) >= _APART for known in found):
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


def nearest(channels: Affine, own: tuple[Mode, ...] = ()) -> tuple[KnownMap, float]:
    """The known map that is nearest, and how far it is in grey levels."""
    return min(((known, distance(channels, known.channels)) for known in known_maps(own)), key=lambda found: found[1])
