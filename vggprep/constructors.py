"""What a pixel goes through in each model of ``keras.applications``, before its first weight.

Read in Keras's source and measured by building every constructor (``implementations.constructors`` does). Imports the
spec only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from vggprep.published import PUBLISHED
from vggprep.spec import MODELS, MODES, Mode

Weights = Literal["imagenet"] | None

KERAS = "3.15.1"
"""The release of Keras that the table was measured with."""

WEIGHTS: tuple[Weights, Weights] = (None, "imagenet")

NOTHING = MODES["identity"]
TORCH = MODES["torch"]
TF = MODES["tf"]
UNIT = Mode(
    "efficientnet_inside",
    "RGB",
    [("divide", 255)],
    "divide by 255",
    "keras.applications.efficientnet: Rescaling(1 / 255), then a Normalization that nothing was adapted to",
)
# In words of what they do; published are they in words of whose they are.
UNIT_IMAGENET = replace(PUBLISHED["efficientnet_imagenet_inside"], summary="multiply by (2.08969, 2.11289, 2.10819)")
EIGHT_BITS = replace(
    PUBLISHED["efficientnet_v2_sml_inside"], summary="divide by 128, subtract 1: values from -1 to 0.9922"
)


@dataclass(frozen=True)
class Family:
    """Constructors that do the same: the module of their ``preprocess_input``, and what happens inside.

    Args:
        inside: what a model built with ``weights=None`` does itself, before its first weight.
        imagenet: the same for ``weights="imagenet"``, without what is loaded.
        loaded: the model also subtracts a mean and divides by the root of a variance that are loaded with its
            weights, after the first step of ``inside``; 0 and 1 until then.
        optional: ``include_preprocessing=False`` leaves all of it out.
    """

    module: str
    constructors: tuple[str, ...]
    inside: Mode = NOTHING
    imagenet: Mode = NOTHING
    loaded: bool = False
    optional: bool = False

    @property
    def mode(self) -> Mode:
        """What ``preprocess_input`` does."""
        return MODES[MODELS[self.module]]

    def does(self, weights: Weights) -> Mode:
        """What a model built with these weights does itself."""
        return self.inside if weights is None else self.imagenet


def _names(pattern: str, variants: str) -> tuple[str, ...]:
    return tuple(pattern.format(variant) for variant in variants.split())


FAMILIES = (
    Family("vgg16", ("VGG16",)),
    Family("vgg19", ("VGG19",)),
    Family("resnet", _names("ResNet{}", "50 101 152")),
    Family("resnet_v2", _names("ResNet{}V2", "50 101 152")),
    Family("inception_v3", ("InceptionV3",)),
    Family("inception_resnet_v2", ("InceptionResNetV2",)),
    Family("xception", ("Xception",)),
    Family("mobilenet", ("MobileNet",)),
    Family("mobilenet_v2", ("MobileNetV2",)),
    Family("nasnet", _names("NASNet{}", "Mobile Large")),
    Family("densenet", _names("DenseNet{}", "121 169 201")),
    Family("mobilenet_v3", _names("MobileNetV3{}", "Small Large"), TF, TF, optional=True),
    Family("convnext", _names("ConvNeXt{}", "Tiny Small Base Large XLarge"), TORCH, TORCH, optional=True),
    Family("efficientnet", _names("EfficientNetB{}", "0 1 2 3 4 5 6 7"), UNIT, UNIT_IMAGENET, loaded=True),
    Family("efficientnet_v2", _names("EfficientNetV2B{}", "0 1 2 3"), TORCH, TORCH, optional=True),
    Family("efficientnet_v2", _names("EfficientNetV2{}", "S M L"), EIGHT_BITS, EIGHT_BITS, optional=True),
)
"""The smallest of each family comes first."""

CONSTRUCTORS: Mapping[str, Family] = MappingProxyType({name: f for f in FAMILIES for name in f.constructors})

KERAS_HUB = "0.32.0"
"""The release of KerasHub that the image converters were measured with."""

# All others get theirs from a preset, and do nothing without one.
CONVERTERS: Mapping[str, Mode] = MappingProxyType(
    {
        "BLIP2ImageConverter": Mode(
            "blip2_converter",
            "RGB",
            [
                ("multiply", ("0.014598426619242919", "0.015007768493717055", "0.014220065717024086")),
                ("add", ("-1.79226253374815", "-1.7520971281645974", "-1.4802197687835659")),
            ],
            "the values of clip, by a scale and an offset of its own, whatever its configuration says",
            "keras_hub.layers.BLIP2ImageConverter",
        )
    }
)
"""KerasHub's image converters whose constants are in their code, and what these do."""

PATCHES = ("Gemma4ImageConverter", "Qwen3_5ImageConverter", "Qwen3_5MoeImageConverter")
"""Those that return patches and no images, with the scale and offset of a preset."""

INCIDENTS = (
    # https://github.com/tensorflow/tensorflow/issues/62193
    'weights that were trained in a model of weights="imagenet" load into one of weights=None without a word; there '
    "they get values that are 2.09 to 2.11 times smaller",
    # https://github.com/keras-team/keras/issues/21529: Rescaling with three scales promised one channel.
    'Keras 3.11.0 to 3.11.3 load neither weights="imagenet" nor a saved model of them',
)
"""What went wrong with the one family whose graph depends on its weights."""
