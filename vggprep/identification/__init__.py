"""What a black box does, and what an array has been through: the mode, the known fault, or the map that it is.

A function is asked about a few images of its own kind (none of them in the corpus) and compared with every mode,
every fault of the gallery and a list of other people's constants. An array has no input to compare with; but
pixels were whole numbers once, and undoing the right step makes them whole again. Imports NumPy, the gallery and
the public functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep import oracle
from vggprep.cases import Case, dtype_of, from_format, to_format
from vggprep.checks import Subject
from vggprep.faults import FAULTS
from vggprep.functions import deprocess_input, preprocess_input
from vggprep.implementations import Implementation
from vggprep.implementations.callables import Outcome, call, parameters
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, Level, ModeName

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

# Affine maps ------------------------------------------------------------------------------------------------------


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
class Family:
    """Constants that people use, with where they come from."""

    name: str
    story: str
    channels: Affine


def _family(name: str, story: str, order: str, scale: Sequence[float], offset: Sequence[float]) -> Family:
    first, second, third = (
        Channel("RGB".index(c), s, o) for c, s, o in zip(order, 3 * list(scale), 3 * list(offset), strict=False)
    )
    return Family(name, story, (first, second, third))


_TORCH = [(1 / 255 / s, -m / s) for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]

FAMILIES: tuple[Family, ...] = (
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
"""Other people's constants that are no fault of a mode, besides those in the gallery."""


def fit(x: Float64, y: Float64, unit_roundoff: float) -> tuple[Affine, float] | None:
    """The affine map from pixels ``x`` to outputs ``y``, both ``(n, 3)``, and how far off it is in grey levels.

    ``None`` where no single input channel explains an output channel to within 1%.
    """
    channels = []
    worst = 0.0
    for k in range(3):
        found = min(((*_line(x[:, j], y[:, k]), j) for j in range(3)), key=lambda f: f[2])
        scale, offset, error, source = found
        extent = abs(scale) * float(np.ptp(x[:, source]))
        if not error <= 0.01 * extent + 64 * unit_roundoff * abs(offset):
            return None
        channels.append(Channel(source, _tidy(scale, 1e-7), _tidy(offset, 1e-7 * (abs(offset) + extent))))
        worst = max(worst, error / abs(scale) if scale else 0.0)
    return (channels[0], channels[1], channels[2]), worst


def _line(x: Float64, y: Float64) -> tuple[float, float, float]:
    """Least squares: slope, offset, largest error."""
    mean_x, mean_y = x.mean(), y.mean()
    spread = ((x - mean_x) ** 2).sum()
    scale = float(((x - mean_x) * (y - mean_y)).sum() / spread) if spread else 0.0
    offset = float(mean_y - scale * mean_x)
    return scale, offset, float(np.abs(y - scale * x - offset).max())


def _tidy(value: float, within: float) -> float:
    """The value itself, or the whole number that it misses by rounding only."""
    return float(round(value)) if abs(value - round(value)) <= within else value


def _apply(channels: Affine, x: Float64) -> Float64:
    return np.stack([x[..., c.source] * c.scale + c.offset for c in channels], axis=-1)


@functools.cache
def _known_maps() -> tuple[tuple[str, str, Affine, str | None], ...]:
    """Name, what it is, map and mode of every mode, every fault that is affine, and every family; each map once."""
    x = _image("plain", "float64", (1, 40, 40, 3))
    pixels = x.reshape(-1, 3)
    found: list[tuple[str, str, Affine, str | None]] = []
    for name, mode in MODES.items():
        affine = fit(pixels, preprocess_input(x, mode=name).reshape(-1, 3), 2.0**-53)
        assert affine is not None
        found.append((name, mode.summary, affine[0], name))
    for fault in FAULTS:
        for mode_name in fault.modes:
            if fault.preprocess is None or not fault.stateless or fault.caught_by not in ("value", "monotone"):
                continue
            outcome = call(fault.preprocess, x.copy(), mode_name, "channels_last")
            if outcome.output is None or outcome.output.shape != x.shape:
                continue
            affine = fit(pixels, outcome.output.reshape(-1, 3).astype(np.float64), 2.0**-53)
            if (
                affine is None
                or affine[1] > 1e-6
                or any(_distance(affine[0], known) < 1e-4 for _, _, known, _ in found)
            ):
                continue
            found.append((fault.name, fault.story, affine[0], mode_name))
    return (*found, *((f.name, f.story, f.channels, None) for f in FAMILIES))


def _distance(a: Affine, b: Affine) -> float:
    """The largest difference of two maps over 0..255, in grey levels of ``b``; infinite if they swap differently."""
    if any(p.source != q.source or q.scale == 0 for p, q in zip(a, b, strict=True)):
        return float("inf")
    ends = [
        abs((p.scale - q.scale) * v + p.offset - q.offset) / abs(q.scale)
        for p, q in zip(a, b, strict=True)
        for v in (0, 255)
    ]
    return max(ends)


def nearest(channels: Affine) -> tuple[str, str, float]:
    """Name and story of the known map that is nearest, and how far it is in grey levels."""
    name, story, known, _ = min(_known_maps(), key=lambda m: _distance(channels, m[2]))
    return name, story, _distance(channels, known)


# Probing images ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Probe:
    """An image to ask about; ``what`` names it in reports."""

    what: str
    image: Array  # channels last
    data_format: DataFormat

    def array(self) -> Array:
        return np.ascontiguousarray(to_format(self.image, self.data_format)).copy()


def _image(kind: str, dtype: str, shape: tuple[int, ...]) -> Array:
    """Pixels by multiplication and shifts, other than the corpus has them."""
    count = int(np.prod(shape))
    index = np.arange(1, count + 1, dtype=np.uint64)
    mixed = index * np.uint64(0xD1342543DE82EF95)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x2545F4914F6CDD1D)
    unit = ((mixed >> np.uint64(33)).astype(np.float64) / 2.0**31).reshape(shape)
    floating = dtype in oracle.FORMATS
    if dtype == "bool":
        return unit >= 0.5
    if kind == "dark":
        values = unit if floating else np.rint(unit)
    elif kind == "wide":
        low, high = (-400.0, 700.0) if floating else (float(max(np.iinfo(dtype).min, -3000)), _highest(dtype))
        values = low + unit * (high - low)
    else:
        # Black, white and the two halves of the range in every channel, so that no end goes unseen.
        values = unit * 255.0
        values.reshape(-1)[:6] = (0.0, 255.0, 131.0, 255.0, 0.0, 64.0)
        if kind == "nonfinite":
            values.reshape(-1)[[7, 20, 33]] = (np.nan, np.inf, -np.inf)
    whole = np.rint(values) if kind in ("whole",) or not floating else values
    if dtype == "int8":
        whole = np.minimum(whole, 127)
    return whole.astype(dtype_of(dtype))


def _highest(dtype: str) -> float:
    return float(min(np.iinfo(dtype).max, 60000))


_KINDS = {
    "plain": "{} image",
    "whole": "{} image of whole numbers",
    "dark": "{} image with values from 0 to 1",
    "wide": "{} image with values outside 0..255",
    "nonfinite": "{} image with NaN and infinities",
}
_DTYPES = ("float32", "float64", "float16", "uint8", "uint16", "int8", "int32", "int64", "bool")


def _probes(dtype: str, rank: int, data_format: DataFormat) -> Iterator[_Probe]:
    shape = (2, 11, 13, 3) if rank == 4 else (11, 26, 3)
    kinds = list(_KINDS) if dtype in oracle.FORMATS else ["plain", "dark", "wide"]
    if dtype in ("bool", "uint8", "int8"):
        kinds = kinds[:2] if dtype != "bool" else kinds[:1]
    for kind in kinds:
        yield _Probe(_KINDS[kind].format(dtype), _image(kind, dtype, shape), data_format)


def _square_probes(dtype: str, ranks: Sequence[int], data_format: DataFormat) -> Iterator[_Probe]:
    """Images three pixels high or wide, whose axes can be mistaken for each other."""
    for shape in ((3, 5, 3), (5, 3, 3), (1, 3, 5, 3), (1, 5, 3, 3)):
        if len(shape) in ranks:
            yield _Probe(f"{dtype} image of shape {shape}, {data_format}", _image("plain", dtype, shape), data_format)


# Candidates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """Something that the black box may be. ``rank``: of two that fit equally well, the lower is named."""

    kind: str
    name: str
    story: str
    mode: str | None
    function: Callable[..., Any]
    rank: int

    def outcome(self, probe: _Probe) -> Outcome:
        """What it does on the probe; remembered, since every black box is shown the same images."""
        key = (self.kind, self.name, self.story, self.mode, probe.what, probe.data_format, probe.image.shape)
        if key not in _OUTCOMES:
            if len(_OUTCOMES) >= _REMEMBERED:
                _OUTCOMES.clear()
            found = call(self.function, probe.array(), self.mode, probe.data_format)
            _OUTCOMES[key] = Outcome(found.output, found.refusal, found.problem)
        return _OUTCOMES[key]


_REMEMBERED = 4096  # outcomes of up to 7 kB each
_OUTCOMES: dict[tuple[Any, ...], Outcome] = {}


@functools.cache
def _candidates(asked: str | None) -> tuple[_Candidate, ...]:
    """Everything that a black box may be when asked for a mode: the faults of that mode come first."""
    found = [
        _Candidate("mode", name, mode.summary, name, preprocess_input, 0 if name == asked else 1)
        for name, mode in MODES.items()
    ]
    for fault in FAULTS:
        if fault.preprocess is None or not fault.stateless:
            continue
        for mode in fault.modes:
            rank = 0 if mode == asked else 2
            found.append(_Candidate("fault", fault.name, fault.story, mode, fault.preprocess, rank))
    for family in FAMILIES:
        found.append(_Candidate("family", family.name, family.story, None, _of_family(family), 3))
    for name in MODES:
        if name == "identity":
            continue
        for words, dtype in (("unrounded", None), ("rounded and clipped to pixels", "uint8")):
            undo = functools.partial(_undo, dtype=dtype)
            found.append(
                _Candidate("inverse", f"inverse of {name}", f"the way back from {name}, {words}", name, undo, 4)
            )
    return tuple(found)


def _of_family(family: Family) -> Callable[..., Any]:
    def function(x: Array, data_format: DataFormat) -> Array:
        dtype = np.dtype(oracle.computed_dtype(x.dtype.name, "tf"))
        y = _apply(family.channels, from_format(x, data_format).astype(np.float64))
        return to_format(y.astype(dtype), data_format)

    return function


def _undo(y: Array, data_format: DataFormat, mode: ModeName, dtype: str | None) -> Array:
    return deprocess_input(y, data_format, mode, dtype=dtype)


_SURVIVES = 16.0  # in units of u times the largest value of a channel
_ROUNDING = 1.0  # root mean square, in the same units: what honest arithmetic differs by


def _difference(mine: Outcome, theirs: Outcome, probe: _Probe) -> float | None:
    """Root mean square difference in units of ``u`` times the channel's extent; ``None`` if they cannot be the same."""
    if mine.output is None or theirs.output is None:
        same = mine.refusal is not None and theirs.refusal is not None
        return 0.0 if same else None
    if mine.output.shape != theirs.output.shape or mine.output.shape != probe.array().shape:
        same = mine.output.shape == theirs.output.shape and np.array_equal(mine.output, theirs.output)
        return 0.0 if same else None
    a, b = (oracle.as_float64(from_format(o, probe.data_format)) for o in (mine.output, theirs.output))
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any() or not oracle.same_values(a[~finite], b[~finite], False).all():
        return None
    names = [o.dtype.name for o in (mine.output, theirs.output)]
    if all(name not in oracle.FORMATS for name in names):
        return 0.0 if np.array_equal(a, b) else None
    mine_u, their_u = (oracle.FORMATS[n if n in oracle.FORMATS else "float32"].unit_roundoff for n in names)
    # Who returns more than float32 need not have computed in more; who returns less has rounded.
    u = max(mine_u, min(their_u, oracle.FORMATS["float32"].unit_roundoff))
    size = np.maximum(np.abs(np.where(finite, b, 0.0)).max(axis=tuple(range(b.ndim - 1)), initial=0.0), 1e-12)
    with np.errstate(invalid="ignore"):
        units = np.where(finite, np.abs(a - b), 0.0) / (u * size)
    if not units.size or units.max() > _SURVIVES:
        return None if units.size else 0.0
    return float(np.sqrt(np.mean(units**2)))


# Functions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Answer:
    """What a function does when asked for ``asked`` (``None`` if it takes no mode).

    ``kind``: ``"mode"``, ``"fault"``, ``"family"``, ``"inverse"``, ``"affine"``, ``"other"`` or ``"refuses"``.
    ``name``: of the mode, fault or family (for ``"affine"``, of the nearest). ``level`` is that of a mode.
    ``channels``: the affine map, if it is one. ``notes``: what else there is to say.
    """

    kind: str
    name: str
    asked: str | None = None
    mode: str | None = None
    level: str | None = None
    data_format: DataFormat = ""
    dtype: str = ""
    channels: Affine | None = None
    story: str = ""
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it is a mode or the inverse of one, and the one asked for."""
        known = (self.kind == "mode" and self.level is not None) or self.kind == "inverse"
        return known and self.asked in (None, self.mode)

    def __repr__(self) -> str:
        level = f"level {self.level}" if self.level else "at neither level"
        head = {
            "mode": f"mode {self.name}, {level}, {self.data_format}: {self.story}",
            "fault": f"{self.name} (in mode {self.mode}), {self.data_format}: {self.story}",
            "family": f"{self.name}, {self.data_format}: {self.story}",
            "inverse": f"{self.name}, {self.data_format}: {self.story}",
            "affine": f"an affine map of the pixels, {self.data_format}; {self.story}",
            "other": f"not an affine map of the pixels: {self.story}",
            "refuses": f"refuses everything: {self.story}",
        }[self.kind]
        if self.asked is not None:
            wrong = "" if self.mode == self.asked or self.kind != "mode" else "NOT what was asked for: "
            head = f"asked for {self.asked}: {wrong}{head}"
        lines = [head]
        if self.channels is not None:
            lines += [f"  channel {k} = {channel}" for k, channel in enumerate(self.channels)]
        if self.also:
            lines.append(f"  {self.dtype} cannot tell it from {', '.join(self.also)}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True, repr=False)
class Identification:
    """What a black box is: one answer, or one for each mode if it takes a mode."""

    name: str
    answers: tuple[Answer, ...]

    @property
    def is_right(self) -> bool:
        """Whether every answer is a mode or the inverse of one, and the one asked for."""
        return all(answer.is_right for answer in self.answers)

    def __repr__(self) -> str:
        return "\n".join([f"{self.name}:", *(f"{answer!r}" for answer in self.answers)])


def identify(function: Callable[..., Any] | Implementation) -> Identification:
    """Find out what a function, or an implementation, does to images.

    Args:
        function: called with arrays of RGB images, and with ``mode=`` and ``data_format=`` if its signature names
            them, as ``check_implementation`` calls it.

    Returns:
        An object whose ``repr`` says it, with one ``Answer`` for each mode that it takes.

    >>> import vggprep
    >>> vggprep.identify(lambda x: x / 127.5 - 1.0).answers[0].name
    'tf'
    """
    if not isinstance(function, Implementation):
        function = Implementation(getattr(function, "__name__", type(function).__name__), function)
    called = function.preprocess or function.deprocess
    assert called is not None
    asked = (function.modes or tuple(MODES)) if parameters(called).mode else (None,)
    return Identification(function.name, tuple(_identify(function, called, mode) for mode in asked))


def _identify(implementation: Implementation, function: Callable[..., Any], asked: str | None) -> Answer:
    def ask(probe: _Probe) -> Outcome:
        return call(function, probe.array(), asked, probe.data_format)

    formats = tuple(implementation.data_formats or DATA_FORMATS)
    takes_format = parameters(function).data_format
    dtypes = tuple(implementation.dtypes or _DTYPES)
    plain: dict[tuple[str, str, int], tuple[_Probe, Outcome]] = {}
    refusal = ""
    for data_format in formats:
        for dtype in dtypes:
            if dtype not in _DTYPES:
                continue
            for rank in implementation.ranks or (4, 3):
                probe = next(_probes(dtype, rank, data_format))
                outcome = ask(probe)
                if outcome.output is not None:
                    plain[data_format, dtype, rank] = probe, outcome
                refusal = refusal or outcome.refusal or outcome.problem or ""
    if not plain:
        return Answer("refuses", "", asked, story=refusal)
    layout, affine = _layout(plain, takes_format)
    base = next(key for key in plain if key[0] == layout)
    # What it accepts is asked more; the base first, since it tells most.
    seen: list[tuple[_Probe, Outcome]] = []
    for key in plain:
        data_format, dtype, rank = key
        if data_format != layout and not takes_format:
            continue
        if rank == base[2] and data_format == layout:
            seen += [(p, ask(p)) for p in _probes(dtype, rank, data_format)]
        elif dtype == base[1]:
            seen.append(plain[key])
    if takes_format:
        ranks = [key[2] for key in plain if key[1] == base[1]]
        for data_format in dict.fromkeys(key[0] for key in plain):
            seen += [(p, ask(p)) for p in _square_probes(base[1], ranks, data_format)]
    said = _either(layout, plain, affine, takes_format)
    named = _name(seen, asked)
    level, doubts = _level(implementation, named[0], seen) if named and named[0].kind == "mode" else (None, ())
    if doubts:
        # The numbers are a mode's, and something else is not: a fault may explain that too.
        named = [c for c in named if c.kind == "fault" and _same_dtypes(c, seen)][:1] or named
    if named:
        first = named[0]
        maps = {(name, mode) for name, _, _, mode in _known_maps()}
        also = tuple(dict.fromkeys(c.name for c in named[1:] if c.name != first.name and (c.name, c.mode) in maps))[:4]
        return Answer(
            first.kind, first.name, asked, first.mode, level, said, base[1], affine[0] if affine else None,
            first.story, also, doubts if first.kind == "mode" else (),
        )  # fmt: skip
    depends = _dependence(ask, plain[base][0])
    if affine is not None and not any(word in depends for word in _ELSEWHERE):
        return _affine_answer(affine, seen, asked, said, base[1])
    return Answer("other", "", asked, None, None, said, base[1], None, depends)


def _same_dtypes(candidate: _Candidate, seen: Sequence[tuple[_Probe, Outcome]]) -> bool:
    for probe, mine in seen:
        theirs = candidate.outcome(probe).output
        if mine.output is not None and theirs is not None and mine.output.dtype != theirs.dtype:
            return False
    return True


def _layout(
    plain: dict[tuple[str, str, int], tuple[_Probe, Outcome]], takes_format: bool
) -> tuple[str, tuple[Affine, float] | None]:
    """The data format in which the outputs are a map of the pixels, else the first that is accepted; and the map."""
    formats = list(dict.fromkeys(key[0] for key in plain))
    for data_format in formats:
        key = next(k for k in plain if k[0] == data_format)
        affine = _fit_outcome(*plain[key])
        if affine is not None:
            return data_format, affine
    return formats[0], None


def _fit_outcome(probe: _Probe, outcome: Outcome) -> tuple[Affine, float] | None:
    if outcome.output is None or outcome.output.shape != probe.array().shape:
        return None
    y = oracle.as_float64(from_format(outcome.output, probe.data_format)).reshape(-1, 3)
    if not np.isfinite(y).all():
        return None
    u = oracle.FORMATS[outcome.output.dtype.name if outcome.output.dtype.name in oracle.FORMATS else "float32"]
    return fit(oracle.as_float64(probe.image).reshape(-1, 3), y, u.unit_roundoff)


def _either(layout: str, plain: Any, affine: Any, takes_format: bool) -> str:
    formats = list(dict.fromkeys(key[0] for key in plain))
    if takes_format:
        return " and ".join(formats)
    if affine is None or len(formats) == 1:
        return layout
    other = next(k for k in plain if k[0] != layout)
    again = _fit_outcome(*plain[other])
    return "either data format" if again is not None and _distance(again[0], affine[0]) < 0.01 else layout


def _name(seen: Sequence[tuple[_Probe, Outcome]], asked: str | None) -> list[_Candidate]:
    """The candidates that do the same on every probe, the best first; of equals, all are given."""
    plain = {probe.image.dtype.name: outcome for probe, outcome in reversed(seen)}
    left: list[tuple[float, _Candidate]] = []
    for candidate in _candidates(asked):
        total = 0.0
        for probe, outcome in seen:
            if outcome.refusal is not None and plain[probe.image.dtype.name].refusal is not None:
                continue
            difference = _difference(outcome, candidate.outcome(probe), probe)
            if difference is None:
                break
            total = max(total, difference)
        else:
            left.append((total, candidate))
    if not left:
        return []
    best = min(total for total, _ in left)
    # A mode is not to be called a fault for a rounding error.
    equal = [(c.rank, total, c) for total, c in left if total <= 2.0 * best + _ROUNDING]
    modes = [entry for entry in equal if entry[2].kind == "mode"]
    return [c for *_, c in sorted(modes or equal, key=lambda e: e[:2])] + (
        [c for *_, c in sorted(equal, key=lambda e: e[:2]) if c.kind != "mode"] if modes else []
    )


def _level(
    implementation: Implementation, mode: _Candidate, seen: Sequence[tuple[_Probe, Outcome]]
) -> tuple[str | None, tuple[str, ...]]:
    """The level at which it is the mode on all probes; if at none, what is wrong with which probe."""
    assert mode.mode is not None
    wrong: list[str] = []
    levels: tuple[Level, ...] = ("exact", "faithful")
    for level in levels:
        subject = Subject(Implementation("seen", np.asarray, level=level))
        wrong = []
        for probe, outcome in seen:
            if outcome.refusal is not None:
                continue
            image = probe.image
            words = (mode.mode, probe.data_format, image.dtype.name, "c", "drawn", image.shape, image.tobytes())
            finding = subject.judge(Case("forward", *words), outcome=outcome)
            if finding is not None:
                wrong.append(f"{probe.what}: {finding.message}")
        if not wrong:
            return level, ()
    more = (f"and {len(wrong) - 3} more like these",) if len(wrong) > 3 else ()
    return None, (*(f"but not on {w}" for w in wrong[:3]), *more)


def _affine_answer(
    affine: tuple[Affine, float], seen: Sequence[tuple[_Probe, Outcome]], asked: str | None, said: str, dtype: str
) -> Answer:
    channels, error = affine
    name, story, distance = nearest(channels)
    if not np.isfinite(distance):
        near = "no known family swaps and scales the channels so"
        name = ""
    else:
        near = f"nearest is {name}, off by up to {distance:.3g} grey levels: {story}"
    notes = []
    if error > 0.01:
        notes.append(f"with errors of up to {error:.2g} grey levels: rounded, or computed with few bits")
    astray = []
    for probe, outcome in seen:
        x = oracle.as_float64(probe.image)
        expected = _apply(channels, np.where(np.isfinite(x), x, 0.0))
        if outcome.output is None or outcome.output.shape != probe.array().shape:
            if outcome.output is not None or outcome.problem is not None:
                astray.append(probe.what)
            continue
        got = oracle.as_float64(from_format(outcome.output, probe.data_format))
        size = np.array([abs(c.scale) for c in channels])
        usable = np.isfinite(x[..., [c.source for c in channels]]) & np.isfinite(got)
        computed = outcome.output.dtype.name
        u = oracle.FORMATS[computed if computed in oracle.FORMATS else "float32"].unit_roundoff
        extent = np.abs(expected).max(initial=0.0) + max(abs(c.offset) for c in channels)
        slack = size * (2 * error + 0.05) + 16 * u * extent
        if (np.abs(np.where(usable, got - expected, 0.0)) > slack).any():
            astray.append(probe.what)
    if astray:
        notes.append(f"but something else on: {', '.join(dict.fromkeys(astray))}")
    return Answer("affine", name, asked, None, None, said, dtype, channels, near, (), tuple(notes))


_ELSEWHERE = ("whole image", "neighbours", "batch", "second time")


def _dependence(ask: Callable[[_Probe], Outcome], probe: _Probe) -> str:
    """What an output that is no affine map of the pixels depends on, from changing the input here and there."""
    first = ask(probe)
    if first.output is None:
        return first.refusal or first.problem or "it gives nothing twice"
    if first.output.shape != probe.array().shape:
        return f"an input of shape {probe.array().shape} becomes an output of shape {first.output.shape}"
    before = oracle.as_float64(from_format(first.output, probe.data_format))
    parts = []

    def changed(image: Array) -> npt.NDArray[np.bool_] | None:
        outcome = ask(_Probe(probe.what, image, probe.data_format))
        if outcome.output is None or outcome.output.shape != probe.array().shape:
            return None
        after = oracle.as_float64(from_format(outcome.output, probe.data_format))
        return ~oracle.same_values(before, after, signed_zero=False)

    again = changed(probe.image)
    if again is None or again.any():
        return "the same image gives other results the second time (state, or chance)"
    image = probe.image.copy()
    pixel = (0,) * (image.ndim - 3) + (5, 6)
    image[pixel] = np.array([250, 3, 120]).astype(image.dtype)
    touched = changed(image)
    if touched is None:
        return "it refuses the image with one pixel changed"
    own = touched[pixel]
    others = touched.copy()
    others[pixel] = False
    one_image = others[0] if image.ndim == 4 else others
    if one_image.any(axis=-1).mean() > 0.5:
        parts.append("every pixel depends on the whole image (its own mean, deviation, minimum or maximum)")
    elif one_image.any():
        parts.append(f"a pixel depends on its neighbours ({int(one_image.any(axis=-1).sum())} others follow a change)")
    if image.ndim == 4 and others[1:].any():
        parts.append("an image depends on the other images of its batch")
    if not others.any() and own.any():
        single = probe.image.copy()
        single[..., 1] = single[..., 1][..., ::-1]
        mixed = changed(single)
        if mixed is not None and mixed.any(axis=tuple(range(mixed.ndim - 1))).sum() > 1:
            parts.append("an output channel depends on several input channels (a mix, or a grey image)")
        else:
            parts.append("each value depends on its own pixel and channel alone, but not linearly (clipped, a table)")
    return "; ".join(parts) or "no output depends on the pixels"


# Arrays -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class ArrayIdentification:
    """What an array has most likely been through.

    ``name``: ``"raw"``, a mode, a fault or a family; ``""`` if nothing fits. ``sure``: ``"certain"``, ``"likely"``
    or ``"guess"``; ``why`` says so in words. ``pixels``: the original images as uint8, channels last, if they can
    be recovered exactly; else ``why_not`` says why they cannot.
    """

    name: str
    story: str
    data_format: DataFormat
    sure: str
    why: str
    shape: tuple[int, ...]
    dtype: str
    also: tuple[str, ...] = ()
    pixels: Array | None = field(default=None, compare=False)
    why_not: str = ""

    def __repr__(self) -> str:
        known = f"{self.name}: {self.story}" if self.name else "nothing known"
        lines = [f"{self.dtype} array of shape {self.shape}: {self.sure}, {known}", f"  {self.why}"]
        if self.data_format:
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
    if a.dtype.kind not in "biuf" and a.dtype.name != "bfloat16":
        raise TypeError(f"an image holds integers or floats; this array has dtype {a.dtype}")
    if a.ndim not in (3, 4):
        raise ValueError(f"an image has 3 axes, a batch 4; this array has shape {a.shape}")
    axes = {f: axis for f, axis in zip(DATA_FORMATS, (-1, -3), strict=True) if a.shape[axis] == 3}
    if not axes:
        raise ValueError(f"neither the last axis nor the third from the end is 3 long: shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"there are no pixels in an array of shape {a.shape}")
    dtype = a.dtype.name
    fits = [(data_format, *_fit_array(a, data_format)) for data_format in axes]
    data_format, names, distance = min(fits, key=lambda f: (not f[1], round(f[2], 3)))
    undecided = len(fits) > 1 and all(f[1] and f[1][0][0] == names[0][0] for f in fits if names) and bool(names)
    said = "either: the last axis and the third from the end are both 3 long" if undecided else data_format
    values = from_format(a, data_format)
    flat = oracle.as_float64(values)
    if not np.isfinite(flat).all():
        bad = int((~np.isfinite(flat)).sum())
        return ArrayIdentification(
            "", "", data_format, "guess", f"{bad} values are NaN or infinite; no step of preprocessing makes those of "
            "pixels", a.shape, dtype, why_not="there are values that are no numbers",
        )  # fmt: skip
    if not names:
        return _by_range(flat, a, said)
    (name, story, channels), others = names[0], names[1:]
    pixels, why_not = _restored(values, flat, channels, name)
    distinct = len(np.unique(flat.reshape(-1, 3), axis=0))
    half = _precision(a) in ("float16", "bfloat16") and name != "raw"
    sure = "certain" if not others and distinct >= 8 and not half else "likely"
    if undecided:
        sure, pixels, why_not = "likely", None, "the data format cannot be told"
    why = (
        f"undoing it gives whole numbers from {_extent(channels, flat)}, to within {distance:.2g} grey levels, "
        f"in {flat.size} values"
        + (f" with the precision of {_precision(a)}" if half and dtype != _precision(a) else "")
    )
    also = tuple(other[0] for other in others[:4])
    return ArrayIdentification(name, story, said, sure, why, a.shape, dtype, also, pixels, why_not)


def _undone(channels: Affine, flat: Float64) -> Float64:
    """The pixels, ``(..., 3)`` in RGB, before a map with one output for each input channel."""
    x = np.empty(flat.shape)
    for k, channel in enumerate(channels):
        x[..., channel.source] = (flat[..., k] - channel.offset) / channel.scale
    return x


def _extent(channels: Affine, flat: Float64) -> str:
    x = np.rint(_undone(channels, flat)) + 0.0  # no -0
    return f"{x.min():.0f} to {x.max():.0f}"


def _precision(a: Array) -> str:
    """The narrowest format that holds all values: a float32 array may have been float16 before."""
    if a.dtype.name not in oracle.FORMATS:
        return "float32"
    values = oracle.as_float64(a)
    with np.errstate(over="ignore"):
        for name in ("float16", "float32"):
            if (
                oracle.FORMATS[name].precision < oracle.FORMATS[a.dtype.name].precision
                and (oracle.round_array(values, oracle.FORMATS[name]) == values).all()
            ):
                return name
    return a.dtype.name


def _fit_array(a: Array, data_format: DataFormat) -> tuple[list[tuple[str, str, Affine]], float]:
    """The known maps whose undoing makes every value a whole number within 0..255, the best first; and how whole."""
    flat = oracle.as_float64(from_format(a, data_format)).reshape(-1, 3)
    if not np.isfinite(flat).all():
        return [], float("inf")
    u = max(oracle.FORMATS[_precision(a)].unit_roundoff, 2.0**-40)  # the maps are fitted, to no more than this
    found: list[tuple[float, int, tuple[str, str, Affine]]] = []
    for place, (name, story, channels, _) in enumerate(_known_maps()):
        if {c.source for c in channels} != {0, 1, 2} or min(c.scale for c in channels) <= 0:
            continue
        if name == "identity":
            name, story = "raw", "the pixels as they are in the file, not preprocessed"
        x = _undone(channels, flat)
        if x.min() < -0.5 or x.max() > 255.5:
            continue
        error = np.abs(x - np.rint(x))
        # How far off a few roundings, of the value and of what was subtracted, may make it; but never as far as
        # values without any such structure are: up to 0.5, and 0.29 in the root mean square.
        slack = max(
            float(3 * u * (np.abs(flat[:, k]).max() + abs(c.offset)) / abs(c.scale)) for k, c in enumerate(channels)
        )
        if error.max() > min(0.45, slack) or np.sqrt(np.mean(error**2)) > 0.2:
            continue
        if float(np.ptp(x)) < 1.5 and name not in ("raw", "unit_range"):
            continue  # a handful of values would fit anything
        found.append((float(np.sqrt(np.mean(error**2))), place, (name, story, channels)))
    if not found:
        return [], float("inf")
    best = min(error for error, *_ in found)
    near = sorted((place, entry) for error, place, entry in found if error <= 1.5 * best + 0.01)
    return [entry for _, entry in near], best


def _restored(values: Array, flat: Float64, channels: Affine, name: str) -> tuple[Array | None, str]:
    pixels = np.rint(_undone(channels, flat)).astype(np.uint8)
    again = _apply(channels, pixels.astype(np.float64))
    u = oracle.FORMATS[values.dtype.name if values.dtype.name in oracle.FORMATS else "float32"].unit_roundoff
    step = np.array([abs(c.scale) for c in channels])
    if values.dtype.kind == "f" and (np.abs(again - flat) > 0.45 * step).any():
        return None, f"{values.dtype} has too few bits (one rounding is {u:.2g}) to tell neighbouring pixels apart"
    return pixels, ""


def _by_range(flat: Float64, a: Array, said: str) -> ArrayIdentification:
    """Nothing makes the values whole: they were resized, augmented or scaled in an unknown way. Judge by range."""
    low, high = float(flat.min()), float(flat.max())
    ranges = {
        "unit_range": (0.0, 1.0, "scaled to 0..1"),
        "tf": (-1.0, 1.0, MODES["tf"].summary),
        "torch": (-2.12, 2.65, MODES["torch"].summary),
        "raw": (0.0, 255.0, "the pixels, resized or averaged, not preprocessed"),
        "caffe": (-123.68, 151.07, MODES["caffe"].summary),
    }
    why = f"no known step undone gives whole numbers, so it is judged by its range alone, {low:.4g} to {high:.4g}"
    name, story = "", ""
    for candidate, (bottom, top, words) in ranges.items():
        slack = 0.03 * (top - bottom)
        if bottom - slack <= low and high <= top + slack and high - low > 0.2 * (top - bottom):
            name, story = candidate, words
            break
    reason = "its values are not those of whole pixels: the image was resized or changed before, or the step is unknown"
    return ArrayIdentification(name, story, said, "guess", why, a.shape, a.dtype.name, (), None, reason)
