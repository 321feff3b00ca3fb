"""The definition as data: what each preprocess mode does, which model wants which mode, and the vocabulary.

Everything else in vggprep is derived from these tables. Constants are decimal strings, so no binary rounding has
happened yet; code that computes with them rounds them to the dtype it computes in. Imports the standard library only.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from html import escape
from types import MappingProxyType
from typing import Any, Literal

Operation = Literal["divide", "subtract", "multiply", "add"]
OPERATIONS: tuple[Operation, ...] = ("divide", "subtract", "multiply", "add")
Constant = str | int | float | Decimal
Constants = Constant | Sequence[Constant]
ModeName = str
"""The name of a mode: of Keras's four, of a published one, or of one's own that ``known`` was given."""
DataFormat = Literal["channels_last", "channels_first"]
Direction = Literal["forward", "inverse"]
Level = Literal["exact", "faithful"]

DATA_FORMATS: tuple[DataFormat, DataFormat] = ("channels_last", "channels_first")
DIRECTIONS: tuple[Direction, Direction] = ("forward", "inverse")
LEVELS: tuple[Level, Level] = ("exact", "faithful")
RANKS = (3, 4)
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
DTYPES = INTEGERS + FLOATS


@dataclass(frozen=True)
class Step:
    """One elementary operation, applied to every pixel: ``value = value <operation> constants[channel]``.

    ``constants`` holds one decimal string for each output channel, in the order of the output. A number stands for
    the shortest decimal that gives it back, one constant for three.

    >>> Step("divide", 127.5).constants
    ('127.5', '127.5', '127.5')
    """

    operation: Operation
    constants: tuple[str, str, str]

    def __init__(self, operation: Operation, constants: Constants) -> None:
        if operation not in OPERATIONS:
            raise ValueError(f"the operation of a step must be one of {', '.join(OPERATIONS)}; got {operation!r}")
        each = [decimal(c) for c in (constants if isinstance(constants, (tuple, list)) else (constants,))]
        if len(each) not in (1, 3):
            raise ValueError(f"a step needs one constant or three, one for each channel; got {len(each)}")
        if operation in ("divide", "multiply") and any(Fraction(c) == 0 for c in each):
            verb = "divides" if operation == "divide" else "multiplies"
            raise ValueError(f"a step that {verb} by 0 cannot be undone; got {', '.join(each)}")
        first, second, third = each * (3 // len(each))
        object.__setattr__(self, "operation", operation)
        object.__setattr__(self, "constants", (first, second, third))


@dataclass(frozen=True)
class Mode:
    """One way to preprocess an RGB image with values 0..255.

    ``order`` gives, for each output channel, the input channel it is made from: ``(0, 1, 2)`` or ``"RGB"`` keeps RGB,
    ``(2, 1, 0)`` or ``"BGR"`` makes BGR. ``steps`` follow one after the other, each rounded to the dtype computed in.
    ``source`` says where the definition comes from.

    Raises:
        ValueError: no order of three channels; a constant that is no finite number, or 0 where it divides or
            multiplies; a number of constants other than one and three.
    """

    name: str
    order: tuple[int, int, int]
    steps: tuple[Step, ...]
    summary: str = ""
    source: str = ""

    def __init__(
        self,
        name: str,
        order: str | Sequence[int],
        steps: Iterable[Step | tuple[Operation, Constants]] = (),
        summary: str = "",
        source: str = "",
    ) -> None:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ValueError(f"a mode needs a name of printable characters; got {name!r}")
        first, second, third = _channels(order)
        made = tuple(step if isinstance(step, Step) else _step(step) for step in steps)
        if len(made) > MOST_STEPS:
            raise ValueError(f"a mode has up to {MOST_STEPS} steps; got {len(made)}")
        fields = {"name": name, "order": (first, second, third), "steps": made, "summary": summary, "source": source}
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def channel_order(self) -> str:
        """The output's channel order in letters, for instance ``"BGR"``."""
        return "".join("RGB"[channel] for channel in self.order)

    @property
    def definition(self) -> tuple[tuple[int, int, int], tuple[tuple[Operation, tuple[Fraction, ...]], ...]]:
        """What it does to values: two modes with the same definition differ in words alone."""
        return self.order, tuple((step.operation, tuple(map(Fraction, step.constants))) for step in self.steps)

    def _repr_html_(self) -> str:
        """For notebooks: the steps, channel by channel."""
        head = "".join(f"<th>channel {k}, of {letter}</th>" for k, letter in enumerate(self.channel_order))
        rows = "".join(
            f"<tr><th>{s.operation}</th>{''.join(f'<td>{constant}</td>' for constant in s.constants)}</tr>"
            for s in self.steps
        )
        said = "".join(f"<p>{escape(text)}</p>" for text in (self.summary, self.source) if text)
        title = f"<caption><b>{escape(self.name)}</b></caption>"
        nothing = "" if self.steps else '<tr><td colspan="4">nothing</td></tr>'
        return f"<table>{title}<tr><td></td>{head}</tr>{rows}{nothing}</table>{said}"

    @classmethod
    def affine(
        cls,
        name: str,
        *,
        scale: Constants = 1,
        mean: Constants = 0,
        std: Constants = 1,
        order: str | Sequence[int] = "RGB",
        source: str = "",
    ) -> Mode:
        """``(x * scale - mean) / std``, each one number or three, in the order of the output.

        A ``scale`` such as ``"1/255"`` is carried out as a division by 255. Steps that do nothing are left out.

        >>> Mode.affine("half", scale="1/255", mean=0.5, std=0.5).steps[0]
        Step(operation='divide', constants=('255', '255', '255'))
        """
        reciprocals = [_reciprocal(c) for c in (scale if isinstance(scale, (tuple, list)) else (scale,))]
        steps = [
            Step("divide", [c for c in reciprocals if c]) if all(reciprocals) else Step("multiply", scale),
            Step("subtract", mean),
            Step("divide", std),
        ]
        neutral = {"subtract": 0, "divide": 1, "multiply": 1}
        kept = [s for s in steps if any(Fraction(c) != neutral[s.operation] for c in s.constants)]
        return cls(name, order, kept, source=source)


def _step(given: object) -> Step:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(f"a step must be a Step or an operation and its constants; got {given!r}")
    return Step(*given)


def decimal(constant: Constant) -> str:
    """A constant as the decimal that it is written as; a float as the shortest decimal that gives it back."""
    text = str(constant).strip()
    shown = text if len(text) <= _LONGEST else f"{text[:20]}..., of {len(text)} characters"
    try:
        value = Decimal(text) if len(text) <= _LONGEST else None
    except InvalidOperation:
        value = None
    if isinstance(constant, bool) or value is None or not value.is_finite():
        raise ValueError(f"a constant must be a decimal number of up to {_LONGEST} characters; got {shown}")
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(
            f"a constant must be 0 or between 1e-{_LARGEST_EXPONENT} and 1e{_LARGEST_EXPONENT}; got {shown}"
        )
    if not value:
        return "0"
    return text if _PLAIN.fullmatch(text) else str(value)


_LONGEST = 100
"""Characters of the longest constants."""

_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""Decimals that are numbers in Python's text, too."""

_LARGEST_EXPONENT = 30
"""Decimal exponent of the largest constants, and of the smallest: float32 holds them."""

MOST_STEPS = 16
"""Steps of the longest modes; published ones have up to four."""


def _reciprocal(constant: Constant) -> str | None:
    """What ``1/n`` divides by."""
    above, slash, below = str(constant).partition("/")
    return below.strip() if slash and above.strip() in ("1", "1.0") else None


def _channels(order: str | Sequence[int]) -> tuple[int, ...]:
    if isinstance(order, str):
        channels = tuple(map("RGB".find, order.upper()))
    else:
        channels = tuple(order) if isinstance(order, Iterable) else ()
    if any(type(c) is not int for c in channels) or sorted(channels) != [0, 1, 2]:
        raise ValueError(f"order must name each of the three channels once, as RGB, BGR or (2, 1, 0); got {order!r}")
    return channels


def _each(constant: str) -> tuple[str, str, str]:
    return (constant, constant, constant)


_CAFFE = Mode(
    name="caffe",
    order=(2, 1, 0),
    # Mean of the ImageNet training images in BGR order, as published with the VGG weights
    # (K. Simonyan, A. Zisserman, ILSVRC-2014 model page) and used by Keras since 0.3.
    steps=(Step("subtract", ("103.939", "116.779", "123.68")),),
    summary="RGB to BGR, then subtract the ImageNet mean (103.939, 116.779, 123.68); no scaling",
    source="keras.applications.imagenet_utils; the means come with the Caffe VGG weights of 2014",
)

_TF = Mode(
    name="tf",
    order=(0, 1, 2),
    # Maps 0..255 to -1..1, as TF-Slim's Inception preprocessing does.
    steps=(Step("divide", _each("127.5")), Step("subtract", _each("1"))),
    summary="divide by 127.5, subtract 1: values from -1 to 1, RGB",
    source="keras.applications.imagenet_utils; the range comes from TF-Slim's Inception preprocessing",
)

_TORCH = Mode(
    name="torch",
    order=(0, 1, 2),
    # Mean and standard deviation of ImageNet in units of 1/255, from torchvision's reference transforms.
    steps=(
        Step("divide", _each("255")),
        Step("subtract", ("0.485", "0.456", "0.406")),
        Step("divide", ("0.229", "0.224", "0.225")),
    ),
    summary="divide by 255, subtract (0.485, 0.456, 0.406), divide by (0.229, 0.224, 0.225), RGB",
    source="keras.applications.imagenet_utils; the constants come from torchvision's reference transforms",
)

_IDENTITY = Mode(
    name="identity",
    order=(0, 1, 2),
    steps=(),
    summary="nothing: the model scales its input itself",
    source="keras.applications modules whose preprocess_input returns its input",
)

MODES: Mapping[ModeName, Mode] = MappingProxyType({mode.name: mode for mode in (_CAFFE, _TF, _TORCH, _IDENTITY)})
"""Keras's four modes by name."""

_KNOWN: dict[str, Mode] = dict(MODES)


def known(mode: str | Mode) -> ModeName:
    """The name under which ``definition`` finds a mode in this process from now on.

    Raises:
        ValueError: an unknown name, or a mode whose name already stands for another definition.
    """
    if isinstance(mode, str):
        return definition(mode).name
    if not isinstance(mode, Mode):
        raise ValueError(f"mode must be a name or a Mode; got {mode!r}")
    other = _KNOWN.get(mode.name) or published().get(mode.name) or _KNOWN.setdefault(mode.name, mode)
    if other.definition != mode.definition:
        raise ValueError(f"two different modes are named {mode.name}: give one of them another name")
    return mode.name


def definition(name: ModeName) -> Mode:
    """The mode of that name: Keras's, a published one, or one that ``known`` was given.

    Raises:
        ValueError: an unknown name.
    """
    found = (_KNOWN.get(name) or published().get(name)) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"mode must be one of {', '.join(MODES)}, a name in vggprep.PUBLISHED or a vggprep.Mode; got {name!r}"
        )
    return found


def is_known(name: object) -> bool:
    """Whether ``definition`` finds a mode of that name."""
    return isinstance(name, str) and (name in _KNOWN or name in published())


@functools.cache
def published() -> Mapping[ModeName, Mode]:
    """The modes of ``vggprep.published``, by name."""
    # Found by name: that module is made of this one, and few need it.
    found: Mapping[ModeName, Mode] = importlib.import_module("vggprep.published").PUBLISHED
    return found


def definitions(names: Iterable[ModeName]) -> tuple[Mode, ...]:
    """The modes among ``names`` that are not Keras's, for whoever has to be told what their names mean."""
    return tuple(definition(name) for name in dict.fromkeys(names) if name not in MODES)


def registered() -> tuple[Mode, ...]:
    """The modes that ``known`` was given in this process, in that order; to tell another process."""
    return tuple(_KNOWN.values())[len(MODES) :]


def as_data(mode: Mode) -> dict[str, Any]:
    """A definition as files have it: ``{"name", "order": "RGB", "steps": [["divide", ["255", ...]], ...], ...}``."""
    steps = [[step.operation, list(step.constants)] for step in mode.steps]
    said = {"summary": mode.summary, "source": mode.source}
    return {"name": mode.name, "order": mode.channel_order, "steps": steps} | {k: v for k, v in said.items() if v}


def as_source(name: ModeName) -> str:
    """What stands for a mode in Python that is run somewhere else: its name, or else its definition."""
    if name in MODES or name in published():
        return repr(name)
    mode = definition(name)
    steps = [(s.operation, s.constants if len({*s.constants}) > 1 else s.constants[0]) for s in mode.steps]
    return f"vggprep.Mode({name!r}, {mode.channel_order!r}, {steps!r})"


def from_data(data: Mapping[str, Any]) -> Mode:
    """The mode that ``as_data`` wrote.

    Raises:
        ValueError: anything else.
    """
    try:
        return Mode(**data)
    except TypeError as error:
        raise ValueError(f"not the definition of a mode: {error}") from error


MODELS: Mapping[str, ModeName] = MappingProxyType(
    {
        "convnext": "identity",
        "densenet": "torch",
        "efficientnet": "identity",
        "efficientnet_v2": "identity",
        "inception_resnet_v2": "tf",
        "inception_v3": "tf",
        "mobilenet": "tf",
        "mobilenet_v2": "tf",
        "mobilenet_v3": "identity",
        "nasnet": "tf",
        "regnet": "identity",
        "resnet": "caffe",
        "resnet50": "caffe",
        "resnet_rs": "identity",
        "resnet_v2": "tf",
        "vgg16": "caffe",
        "vgg19": "caffe",
        "xception": "tf",
    }
)
"""Every ``keras.applications`` module with a ``preprocess_input``, and the mode its weights were trained with.

``regnet`` and ``resnet_rs`` exist in Keras 2 and tf_keras only. The mode belongs to the weights, not to the
architecture: other publishers' weights of the same network may want another mode.
"""
