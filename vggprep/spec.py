"""The definition as data: what each preprocess mode does, which model wants which mode, and the vocabulary.

Everything else in vggprep is derived from these tables. Constants are decimal strings, so no binary rounding has
happened yet; code that computes with them rounds them to the dtype it computes in. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Operation = Literal["divide", "subtract"]
ModeName = Literal["caffe", "tf", "torch", "identity"]
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

    ``constants`` holds one decimal string for each output channel, in the order of the output.
    """

    operation: Operation
    constants: tuple[str, str, str]


@dataclass(frozen=True)
class Mode:
    """One way to preprocess an RGB image with values 0..255.

    ``order`` gives, for each output channel, the input channel it is made from: ``(0, 1, 2)`` keeps RGB,
    ``(2, 1, 0)`` makes BGR. ``steps`` follow one after the other, each rounded to the dtype computed in.
    """

    name: ModeName
    order: tuple[int, int, int]
    steps: tuple[Step, ...]
    summary: str
    source: str

    @property
    def channel_order(self) -> str:
        """The output's channel order in letters, for instance ``"BGR"``."""
        return "".join("RGB"[channel] for channel in self.order)


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
"""The four modes by name."""

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
