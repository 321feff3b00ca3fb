"""Reading a mode from the file that ships with somebody's weights.

Each format has a function here, which takes the mapping that holds its constants and gives order and steps. Constants
stay the decimals of the file: JSON and TOML numbers are parsed as ``Decimal``. What an operation does, and in which
order, is what the library of the format does with the file. Imports the standard library, ``spec`` and ``errors``.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from vggprep.configurations.decimals import LARGEST_EXPONENT, decimal_of, number, terminates
from vggprep.configurations.texts import Fields, parsed
from vggprep.constructors import CONVERTERS
from vggprep.errors import VggprepError
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, OPERATIONS, Mode, Step

Three = tuple[str, str, str]


@dataclass(frozen=True)
class Configuration:
    """A mode, the ``format`` of the file it was read from, and what that file says beside values.

    ``unjudged``: what it asks for that vggprep does not judge, such as ``"size 224, bicubic"``. ``notes``: what a
    reader of the file should know, a sentence each.
    """

    mode: Mode
    format: str
    unjudged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Found(NamedTuple):
    """What one part of a file says. ``order`` is that of the output."""

    steps: tuple[Step, ...]
    order: str = "RGB"
    notes: tuple[str, ...] = ()


def read_mode(file_or_mapping: str | Path | Fields, *, name: str | None = None) -> Mode:
    """The mode in a configuration file, or in the mapping that such a file holds.

    Reads Hugging Face's, timm's, KerasHub's, Keras's, albumentations', torchvision's, OpenVINO's, DeepStream's,
    OpenCV's and Core ML's, and vggprep's own. ``name``: that of the mode, otherwise the file's own, or its path.

    Raises:
        VggprepError: no file; one that holds no mode, or one that depends on the image or on weights; constants that
            are no finite numbers, other than one or three, or a deviation that is not positive.

    >>> read_mode({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392156862745098},
    ...           name="half").steps[0].operation
    'multiply'
    """
    return read(file_or_mapping, name=name).mode


def read(file_or_mapping: str | Path | Fields, *, name: str | None = None) -> Configuration:
    """As ``read_mode``, with the format and what the file says beside values."""
    if isinstance(file_or_mapping, Mapping):
        return _read("the mapping", file_or_mapping, name or "")
    if not isinstance(file_or_mapping, str | Path):
        raise VggprepError(f"a configuration is a path or a mapping; got {type(file_or_mapping).__name__}")
    path = Path(file_or_mapping)
    try:
        mode = path.stat().st_mode
        from_shell = stat.S_ISFIFO(mode) and str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/"))
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or from_shell):
            raise VggprepError(f"{path} is no regular file, which a configuration is")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise VggprepError(f"{path} is no text file, which a configuration is") from None
    except IsADirectoryError:
        raise VggprepError(f"{path} is a folder; name the configuration file in it") from None
    except (OSError, ValueError) as error:
        raise VggprepError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    return _read(str(path), text, name or "/".join(path.parts[-2:]).lstrip("/"), path.suffix.lower())


def read_text(text: str, name: str) -> Configuration:
    """As ``read``, of what a file holds, whatever its constants."""
    return _read("the text", text, name, strict=False)


def _read(where: str, given: str | Fields, name: str, suffix: str = "", *, strict: bool = True) -> Configuration:
    try:
        document = parsed(given, suffix) if isinstance(given, str) else given
        if _is_own(document):
            return _own(document, name)
        found, format, unjudged = _search(document)
        steps = tuple(step for step in found.steps if not _does_nothing(step))
        mode = Mode(name or _name_of(found.order, steps), found.order, steps, source=f"{format}: {where}")
        if strict and (other := _exchanged(steps)):
            raise VggprepError(
                f"mean and std are those of {other}, exchanged; if that is meant, write it as steps in TOML"
            )
        return Configuration(mode, format, unjudged, found.notes)
    except RecursionError:
        raise VggprepError(f"{where}: nested too deeply") from None
    except (VggprepError, ValueError) as error:
        raise VggprepError(f"{where}: {' '.join(str(error).split())}") from None


def _name_of(order: str, steps: tuple[Step, ...]) -> str:
    """A name for a mode that has none: two that differ in what they do differ in it."""
    return "mode-" + hashlib.sha256(repr((order, steps)).encode()).hexdigest()[:8]


# Numbers ----------------------------------------------------------------------------------------------------------


def _three(fields: Fields, key: str, default: Any = None, *, positive: bool = False) -> Three:
    value = fields.get(key)
    value = default if value is None else value
    if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping) and "value" in value["config"]:
        value = value["config"]["value"]  # an array as Keras serialises it
    each = _flat(value) if isinstance(value, list | tuple) else [value]
    for one in each:
        is_number = isinstance(one, Real | Decimal) and not isinstance(one, bool | Fraction)  # NumPy's are, too
        if not is_number or not (value := Decimal(str(one))).is_finite():
            raise VggprepError(f"{key} must be finite numbers; got {_shown(one)}")
        if abs(value.adjusted()) > LARGEST_EXPONENT:
            sizes = f"at least 1e-{LARGEST_EXPONENT} and below 1e{LARGEST_EXPONENT + 1} in size"
            raise VggprepError(f"{key} must be 0, or {sizes}; got {_shown(one)}")
        _check_length(key, str(one))
        if positive and value <= 0:
            raise VggprepError(f"{key} is divided by and must be positive; got {number(value)}")
    if len(each) not in (1, 3):
        raise VggprepError(f"{key} must be one number or three, one for each channel; got {len(each)}")
    first, second, third = [number(Decimal(str(one))) for one in each] * (3 // len(each))
    return first, second, third


def _check_length(key: str, text: str) -> None:
    if len(text) > _LONGEST:
        raise VggprepError(f"{key} has a number of {len(text)} characters; {_LONGEST} are read")


_LONGEST = 1000
"""Characters of a number: Python refuses to make an ``int`` of some thousands of digits."""


def _shown(value: Any) -> str:
    """A value as a file has it, and no longer than a line."""
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, bool | list | tuple | Mapping) or value is None:
        text = json.dumps(value, default=str, skipkeys=True)
    else:
        text = f"{value:.5E}" if isinstance(value, Decimal) and len(str(value)) > 40 else str(value)
    return text if len(text) <= 80 else f"{text[:80]} ..."


def _flat(value: Any) -> list[Any]:
    """The numbers in nested lists, as Keras saves a mean of shape (1, 1, 1, 3)."""
    while isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    return list(value)


def _flag(fields: Fields, key: str, default: bool) -> bool:
    value = fields.get(key, default)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise VggprepError(f"{key} must be true or false; got {_shown(value)}")
    return value


def _does_nothing(step: Step) -> bool:
    return all(Decimal(c) == (step.operation in ("divide", "multiply")) for c in step.constants)


def _reversed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(Step(step.operation, step.constants[::-1]) for step in steps)


# vggprep's own ----------------------------------------------------------------------------------------------------


def _is_own(document: Fields) -> bool:
    steps = document.get("steps")
    return isinstance(steps, list | tuple) and ("order" in document or all(isinstance(s, Mapping) for s in steps))


def _own(document: Fields, name: str) -> Configuration:
    """``name``, ``order`` and ``steps`` such as ``{ divide = 255 }``; constants are kept as they are written."""
    unknown = set(document) - {"name", "order", "steps", "summary", "source"}
    if unknown:
        raise VggprepError(
            f"a mode has name, order, steps, summary and source; got {', '.join(sorted(map(str, unknown)))}"
        )
    steps = []
    for step in document["steps"]:
        pairs = list(step.items()) if isinstance(step, Mapping) else []
        if len(pairs) == 2 and step.keys() == {"operation", "constants"}:  # as dataclasses.asdict has it
            pairs = [(step["operation"], step["constants"])]
        if len(pairs) != 1 or pairs[0][0] not in OPERATIONS:
            raise VggprepError(f"a step is one of {', '.join(OPERATIONS)} with its constants; got {_shown(step)}")
        ((operation, constants),) = pairs
        for constant in constants if isinstance(constants, list | tuple) else [constants]:
            _check_length(operation, str(constant))
        steps.append(Step(operation, constants))
    order = document.get("order", "RGB")
    if not isinstance(order, str | list | tuple) or not all(type(c) is int for c in order if not isinstance(c, str)):
        raise VggprepError(f"order must be RGB, BGR or three indices; got {order!r}")
    texts = {key: document.get(key, "") for key in ("name", "summary", "source")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise VggprepError("name, summary and source are texts")
    texts["name"] = texts["name"] or name or _name_of(str(order), tuple(steps))
    return Configuration(Mode(order=order, steps=steps, **texts), "toml")


# Other people's ---------------------------------------------------------------------------------------------------


def _hugging_face(f: Fields) -> _Found:
    """(x * rescale_factor [- 1] - image_mean) / image_std, then the channels reversed: transformers' image processors.

    Where the file is silent, so are the classes: they rescale by 1/255, and normalise if they have constants for it.
    """
    kind = str(f.get("image_processor_type") or f.get("feature_extractor_type") or "")
    for prefix, why in _OF_THE_IMAGE.items():
        if kind.startswith(prefix):
            raise VggprepError(f"{kind} {why}")
    if f.get("do_color_quantize") or f.get("do_grayscale"):
        raise VggprepError("do_color_quantize and do_grayscale do not work channel by channel: no mode does that")
    if kind.startswith(("LayoutLMv2", "LayoutXLM")):  # neither rescales nor normalises
        return _Found((), "BGR")
    values = {"do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_flip_channel_order"}
    if not values & f.keys():
        raise VggprepError(f"{kind or 'the image processor'} is named without its constants; save it with its library")
    if kind.startswith("Vivit") and f.get("do_rescale") is not False and not {"offset", "rescale_factor"} <= f.keys():
        raise VggprepError(f"{kind} rescales by constants of its own; save it with its library, "
                           "so that the file has rescale_factor and offset")  # fmt: skip
    steps: list[Step] = []
    if _flag(f, "do_rescale", True):
        factor = f.get("rescale_factor")
        steps.append(Step("divide", "255") if factor is None else Step("multiply", _three(f, "rescale_factor")))
        if _flag(f, "offset", False) or _flag(f, "rescale_offset", False):
            steps.append(Step("subtract", "1"))
    elif _flag(f, "offset", False):
        raise VggprepError("offset needs do_rescale, which is false")
    notes: tuple[str, ...] = ()
    has_constants = f.get("image_mean") is not None or f.get("image_std") is not None
    if _flag(f, "do_normalize", has_constants and not kind.startswith("MobileViT")):
        mean, std = _mean_and_std(f, "image_mean", "image_std")
        if steps and any(abs(Decimal(c)) > UNITS for c in mean) and not {"do_rescale", "rescale_factor"} & f.keys():
            raise VggprepError(f"image_mean {', '.join(mean)} is in 0..255, and nothing says whether pixels are "
                               'rescaled first; add "do_rescale": true or false')  # fmt: skip
        if steps and any(abs(Decimal(c)) > UNITS for c in mean):
            notes = ("image_mean is subtracted from rescaled pixels, though it looks like grey levels",)
        steps += [Step("subtract", mean), Step("divide", std)]
    if kind.startswith("EfficientNet") and _flag(f, "include_top", True):
        steps.append(Step("divide", _three(f, "image_std", positive=True)))
        notes += ("include_top divides by image_std once more",)
    flips = _flag(f, "do_flip_channel_order", kind.startswith(_REVERSING))
    return _Found(_reversed(tuple(steps)) if flips else tuple(steps), "BGR" if flips else "RGB", notes)


_REVERSING = ("MobileViT", "Tvp", "PPLCNet", "PPOCRV5ServerDet", "PPOCRV6SmallRec", "UVDoc")
"""Of transformers 5.24: processors that reverse the channels at the end, if no flag says otherwise."""

_OF_THE_IMAGE = {
    "Pix2Struct": "normalises each image by its own mean and deviation: no mode does that",
    "Kosmos2_5": "normalises each image by its own mean and deviation: no mode does that",
    "ImageGPT": "replaces pixels by the nearest of its colour clusters: no mode does that",
}


UNITS = 4
"""Means and deviations of pixels in 0..1 are smaller, those of grey levels larger."""


def _mean_and_std(f: Fields, mean: str, std: str) -> tuple[Three, Three]:
    for key in (mean, std):
        if f.get(key) is None:
            raise VggprepError(f"{key} is missing")
    return _three(f, mean), _three(f, std, positive=True)


def _exchanged(steps: tuple[Step, ...]) -> str:
    """The known mode whose mean and deviation these are, the one in the other's place, in whatever unit; else empty."""
    ours = _statistics(steps)
    for other in (*MODES.values(), *PUBLISHED.values()):
        theirs = _statistics(other.steps)
        if ours and theirs and len({a / b for a, b in zip(ours, (*theirs[3:], *theirs[:3]), strict=True)}) == 1:
            return other.name
    return ""


def _statistics(steps: tuple[Step, ...]) -> tuple[Fraction, ...]:
    """Mean and deviation, if the last steps subtract and divide by three constants that differ, none of them 0."""
    last = steps[-2:]
    if [step.operation for step in last] != ["subtract", "divide"] or any(len({*s.constants}) == 1 for s in last):
        return ()
    found = tuple(Fraction(c) for step in last for c in step.constants)
    return found if all(found) else ()


def _mean_std(f: Fields) -> _Found:
    """(x/255 - mean)/std after ``ToTensor``; without the division where the constants are grey levels.

    With ``to_rgb`` or ``bgr_to_rgb`` as OpenMMLab has it: images are read as BGR, constants are always grey levels.
    With ``scale`` or ``is_scale`` as PaddlePaddle has it: pixels are multiplied by the one, or divided by 255.
    """
    mean, std = _mean_and_std(f, "mean", "std")
    if f.get("rgb_to_bgr"):
        raise VggprepError("rgb_to_bgr reverses the channels, and the file does not say in which order images are read")
    openmmlab = "rgb_to_bgr" in f or str(f.get("type", "")).lower().endswith("datapreprocessor")
    rgb = next((_flag(f, key, False) for key in ("to_rgb", "bgr_to_rgb") if key in f), False if openmmlab else None)
    grey = rgb is not None or any(abs(Decimal(c)) > UNITS for c in mean + std)
    before = () if grey else (Step("divide", "255"),)
    if not isinstance(f.get("scale"), list | tuple | None):
        before, grey = (Step("multiply", _three(f, "scale")),), False
    elif "is_scale" in f:
        grey = not _flag(f, "is_scale", True)
        before = () if grey else (Step("divide", "255"),)
    notes: tuple[str, ...] = ("images are taken to be BGR, as OpenMMLab reads files",) if rgb is not None else ()
    notes += ("mean and std are taken for grey levels, so nothing is divided by 255",) if grey and rgb is None else ()
    order = "BGR" if rgb is False else "RGB"
    return _Found((*before, Step("subtract", mean), Step("divide", std)), order, notes)


def _tflite(f: Fields) -> _Found:
    """(x - mean) / std of grey levels: NormalizationOptions in the metadata of TensorFlow Lite."""
    mean, std = _mean_and_std(_of(f, "options"), "mean", "std")
    return _Found((Step("subtract", mean), Step("divide", std)))


def _timm(f: Fields) -> _Found:
    """(x/255 - mean)/std, whatever the constants."""
    mean, std = _mean_and_std(f, "mean", "std")
    notes: tuple[str, ...] = ()
    if any(abs(Decimal(c)) > UNITS for c in mean + std):
        notes = ("timm divides pixels by 255 first, though mean and std look like grey levels",)
    return _Found((Step("divide", "255"), Step("subtract", mean), Step("divide", std)), notes=notes)


def _albumentations(f: Fields) -> _Found:
    """(x - mean * max_pixel_value) / (std * max_pixel_value), in the order of the image."""
    kind = f.get("normalization", "standard")
    if kind != "standard":
        raise VggprepError(f"normalization={kind!r} depends on the image: no mode does that")
    mean, std = _mean_and_std(f, "mean", "std")
    by = Fraction(_three(f, "max_pixel_value", 255, positive=True)[0])
    subtracted, divisor = ([decimal_of(by * Fraction(c)) for c in constants] for constants in (mean, std))
    return _Found((Step("subtract", subtracted), Step("divide", divisor)))


def _scale_offset(f: Fields) -> _Found:
    """x * scale + offset: Keras's Rescaling, KerasHub's image converters."""
    return _Found((Step("multiply", _three(f, "scale", 1)), Step("add", _three(f, "offset", 0))))


def _converter(f: Fields) -> _Found:
    """KerasHub's image converters: x * scale + offset, in the names of now and of older files."""
    if constants := CONVERTERS.get(_kind(f)):
        return _Found(constants.steps, notes=(f"{_kind(f)} has constants of its own",))
    config = f.get("config")
    if not isinstance(config, Mapping):
        raise VggprepError(f"{_kind(f)} is named without its config")
    if "variance" not in config or "mean" not in config:
        return _scale_offset(config)
    std = tuple(map(number, _roots(config)))
    scaled = Step("multiply", _three(config, "scale"))
    return _Found((scaled, Step("subtract", _three(config, "mean")), Step("divide", std)))


def _roots(f: Fields) -> list[Decimal]:
    with localcontext(prec=40):
        return [Decimal(c).sqrt() for c in _three(f, "variance", positive=True)]


def _normalization(f: Fields) -> _Found:
    """(x - mean) / max(sqrt(variance), 1e-7), or x * sqrt(variance) + mean where inverted: Keras's Normalization."""
    if f.get("mean") is None:
        raise VggprepError("Normalization has no mean here: adapt() has put it among the weights")
    mean, std = _three(f, "mean"), _roots(f)
    if _flag(f, "invert", False):
        return _Found((Step("multiply", [number(c) for c in std]), Step("add", mean)))
    return _Found((Step("subtract", mean), Step("divide", [number(max(c, KERAS_EPSILON)) for c in std])))


KERAS_EPSILON = Decimal("1e-7")


def _openvino(f: Fields) -> _Found:
    """The channels reversed, then (x - mean_values) / scale_values, in the order of the model's channels.

    Newer versions document it so. Older ones say that reversal comes after mean and scale, but also that these are in
    the order of the original model's channels, which is the same.
    """
    if f.get("std_values") is not None:
        raise VggprepError("std_values is RKNN's; write mean_values and scale_values, as OpenVINO has them")
    if f.get("scale_values") is not None and f.get("scale") is not None:
        raise VggprepError("scale and scale_values are both given; leave one of them")
    scale = "scale_values" if f.get("scale_values") is not None else "scale"
    steps = (Step("subtract", _three(f, "mean_values", 0)), Step("divide", _three(f, scale, 1, positive=True)))
    if not _flag(f, "reverse_input_channels", False):
        return _Found(steps)
    return _Found(steps, "BGR", ("images are taken to be RGB, and reach the model as BGR",))


def _deepstream(f: Fields) -> _Found:
    """net-scale-factor * (x - offsets), in the order that model-color-format gives: 0 is RGB, 1 is BGR."""
    if {"pixel-normalization-factor", "network-color-format"} & f.keys():
        raise VggprepError("it is a file of Gst-nvdspreprocess, which is not read; Gst-nvinfer's is")
    if str(f.get("input-tensor-from-meta", 0)) not in ("0", ""):
        raise VggprepError("input-tensor-from-meta leaves preprocessing to another element: no mode is read from it")
    if f.get("mean-file"):
        raise VggprepError("mean-file is an image that is subtracted pixel by pixel: no mode does that")
    colour = f.get("model-color-format", 0)
    if colour not in (0, 1):
        raise VggprepError(f"model-color-format must be 0, RGB, or 1, BGR; got {colour}")
    if len(set(_three(f, "net-scale-factor", 1))) != 1 or Decimal(_three(f, "net-scale-factor", 1)[0]) == 0:
        raise VggprepError("net-scale-factor must be one number, and not 0")
    steps = (Step("subtract", _three(f, "offsets", 0)), Step("multiply", _three(f, "net-scale-factor", 1)))
    return _Found(steps, "BGR" if colour == 1 else "RGB")


def _opencv(f: Fields) -> _Found:
    """(x - mean) * scalefactor on OpenCV's BGR images; with swapRB the result is RGB, and so is the order of mean."""
    mean = f.get("mean", (0, 0, 0))
    notes: tuple[str, ...] = ("images are taken to be BGR, as OpenCV reads them",)
    if not isinstance(mean, list | tuple):
        mean = [mean]
    if len(mean) == 1:
        mean = [mean[0], 0, 0]
        notes += ("a single mean is subtracted from the first channel alone, as OpenCV does",)
    factor = f.get("scalefactor", 1)
    scale = _by(factor) if isinstance(factor, Fraction) else Step("multiply", _three(f, "scalefactor", 1))
    order = "RGB" if _flag(f, "swapRB", False) else "BGR"
    return _Found((Step("subtract", _three({"mean": mean}, "mean")), scale), order, notes)


def _by(factor: Fraction) -> Step:
    """A multiplication by a fraction such as 1/255, or the division where that has the shorter constant."""
    return Step("divide", decimal_of(1 / factor)) if not terminates(factor) else Step("multiply", decimal_of(factor))


def _core_ml(f: Fields) -> _Found:
    """x * scale + bias, in the order of the colour layout: Core ML's image inputs and coremltools' ImageType."""
    order = "BGR" if _flag(f, "is_bgr", False) else str(f.get("color_layout", "RGB")).rpartition(".")[2]
    if order not in ("RGB", "BGR"):
        raise VggprepError(f"color_layout must be RGB or BGR; got {order}")
    if f.get("gray_bias"):
        raise VggprepError("gray_bias is of images of one channel: no mode does that")
    names = {"R": "red_bias", "G": "green_bias", "B": "blue_bias"}
    bias = _three(f, "bias", [f.get(names[letter], 0) for letter in order])
    return _Found(
        (Step("multiply", _three(f, "image_scale" if "image_scale" in f else "scale", 1)), Step("add", bias)), order
    )


# Which of them it is ------------------------------------------------------------------------------------------------


def _kind(f: Fields) -> str:
    """The name of a Keras or albumentations class, without its module."""
    return str(f.get("__class_fullname__") or f.get("class_name") or "").rpartition(".")[2].rpartition(">")[2]


def _has(*keys: str) -> Callable[[Fields], bool]:
    return lambda f: any(key in f for key in keys)


def _config(reader: Callable[[Fields], _Found]) -> Callable[[Fields], _Found]:
    """A reader of a Keras object: its constants are in ``config``."""

    def found(f: Fields) -> _Found:
        config = f.get("config")
        if not isinstance(config, Mapping):
            raise VggprepError(f"{_kind(f)} is named without its config")
        if _kind(f) == "Rescaling" and config.get("scale") is None:
            raise VggprepError("Rescaling has no scale")
        return reader(config)

    return found


_OF_PROCESSORS = ("image_processor_type", "feature_extractor_type", "image_mean", "do_rescale", "do_normalize",
                  "rescale_factor", "do_flip_channel_order")  # fmt: skip
_READERS: tuple[tuple[str, Callable[[Fields], bool], Callable[[Fields], _Found]], ...] = (
    ("kerashub", lambda f: _kind(f).endswith("ImageConverter"), _converter),
    ("keras", lambda f: _kind(f) == "Rescaling", _config(_scale_offset)),
    ("keras-normalization", lambda f: _kind(f) == "Normalization", _config(_normalization)),
    ("albumentations", lambda f: _kind(f) == "Normalize" or "max_pixel_value" in f, _albumentations),
    ("tflite", lambda f: f.get("options_type") == "NormalizationOptions", _tflite),
    ("huggingface", lambda f: "pretrained_cfg" not in f and any(key in f for key in _OF_PROCESSORS), _hugging_face),
    ("openvino", _has("mean_values", "scale_values", "reverse_input_channels"), _openvino),
    ("deepstream", _has("net-scale-factor", "offsets", "model-color-format", "mean-file", "pixel-normalization-factor",
                        "network-color-format"), _deepstream),
    ("opencv", _has("scalefactor", "swapRB"), _opencv),
    ("coreml", _has("image_scale", "red_bias", "green_bias", "blue_bias", "is_bgr", "color_layout", "bias"), _core_ml),
    ("keras-normalization", lambda f: "mean" in f and "variance" in f, _normalization),
    ("timm", lambda f: {"mean", "std"} <= f.keys() and bool({"interpolation", "crop_pct"} & f.keys()), _timm),
    ("torchvision", _has("mean", "std"), _mean_std),
    ("keras", lambda f: {"scale", "offset"} <= f.keys(), _scale_offset),
)  # fmt: skip
"""Format, what tells a part of it from others, and its reader; the first that fits is taken."""

READABLE = ("toml", *dict.fromkeys(name for name, _, _ in _READERS))


def _search(document: Fields) -> tuple[_Found, str, tuple[str, ...]]:
    """What the parts of a document say, which may be anywhere in it."""
    found = [(format, _watched(reader, part)) for format, reader, part in _parts(document)]
    if not found:
        raise VggprepError(f"there is no mode in it; one is read from {', '.join(READABLE)}")
    if any(format == "albumentations" for format, _ in found):
        _check_pipeline(document)
    if _layers(document) is not None:  # one after the other
        return _Found(tuple(step for _, one in found for step in one.steps)), "keras", _unjudged(document)
    if len({(one.order, one.steps) for _, one in found}) > 1:
        raise VggprepError(f"it holds {len(found)} different modes; leave one in it")
    format, one = found[0]
    return one, format, _unjudged(document)


class _Asked(Mapping[str, Any]):
    """Fields, and which of them a reader has asked for."""

    def __init__(self, fields: Fields) -> None:
        self.fields, self.keys_asked = fields, set[str]()

    def __getitem__(self, key: str) -> Any:
        self.keys_asked.add(key)
        return self.fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


_BEARS = re.compile(r"mean|std|varianc|scale|norm|offset|bias|bgr|rgb|swap|revers|divis|max_pixel_v", re.IGNORECASE)
_HARMLESS = re.compile(r"do_convert_rgb|bgr_to_rgb|to_rgb|label_.*|.*(size|resolution|scaled|heatmap|_to_meter).*")


def _watched(reader: Callable[[Fields], _Found], part: Fields) -> _Found:
    """What a reader finds, with a note on each number, flag or three that its name tells to bear on values."""
    asked = _Asked(part)
    found = reader(asked)
    left = [
        key
        for key, value in part.items()
        if isinstance(key, str) and key not in asked.keys_asked and not _HARMLESS.fullmatch(key) and _BEARS.search(key)
        if value is not None and value is not False and not isinstance(value, Mapping)
        if not (isinstance(value, list | tuple) and len(value) == 2)  # a range, of an augmentation
    ]
    return found._replace(notes=(*found.notes, *(f"{key} may bear on values, and is not read" for key in left)))


def _check_pipeline(document: Fields) -> None:
    """Refuse what else changes values in a pipeline of albumentations, and what is left to chance."""
    transforms = [f for f in _mappings(document) if "__class_fullname__" in f]
    for f in transforms:
        if _kind(f) not in _KEEPING_VALUES:
            raise VggprepError(f"{_kind(f)} may change values beside Normalize: no mode is read from such a pipeline")
        if _kind(f) in ("Normalize", *_PIPELINES) and f.get("p", 1) != 1:
            raise VggprepError(f"{_kind(f)} has p={f['p']}: whether values are normalised is left to chance")
    if sum(_kind(f) == "Normalize" for f in transforms) > 1:
        raise VggprepError("it has several Normalize; leave one in it")


_PIPELINES = ("Compose", "Sequential", "ReplayCompose")
_KEEPING_VALUES = frozenset(
    (
        *_PIPELINES,
        *("Normalize", "ToTensorV2", "ToTensor3D", "NoOp", "Resize", "SmallestMaxSize", "LongestMaxSize"),
        *("RandomScale", "Crop", "CenterCrop", "RandomCrop", "RandomResizedCrop", "RandomSizedCrop", "CropAndPad"),
        *("RandomCropFromBorders", "BBoxSafeRandomCrop", "RandomSizedBBoxSafeCrop", "Pad", "PadIfNeeded", "Transpose"),
        *("HorizontalFlip", "VerticalFlip", "Flip", "D4", "SquareSymmetry", "RandomRotate90", "Rotate", "SafeRotate"),
        *("Affine", "ShiftScaleRotate", "Perspective"),
    )
)
"""Of albumentations: what moves pixels, but leaves their values as they are or interpolates them."""


def _parts(value: Any) -> Iterator[tuple[str, Callable[[Fields], _Found], Fields]]:
    if isinstance(value, Mapping):
        for format, fits, reader in _READERS:
            if fits(value):
                yield format, reader, value
                return
        parts = _layers(value)
        if parts is None:  # where a processor has several, that of images is meant
            parts = [value["image_processor"]] if "image_processor" in value else list(value.values())
        value = parts
    if isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)


def _layers(value: Fields) -> list[Any] | None:
    """The layers with which a saved Keras model begins, as long as they do nothing but preprocess."""
    config = value.get("config")
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        return None
    leading = []
    for layer in config["layers"]:
        if not isinstance(layer, Mapping) or _kind(layer) not in _PREPROCESSING:
            break
        leading.append(layer)
    _check_chain(leading, config["layers"])
    return leading


def _check_chain(leading: list[Fields], layers: list[Any]) -> None:
    """Refuse a model whose first layers are no chain: what preprocesses one input need not preprocess another."""
    if sum(isinstance(layer, Mapping) and _kind(layer) == "InputLayer" for layer in layers) > 1:
        raise VggprepError("the model has several inputs; a mode is of one")
    inbound = [layer.get("inbound_nodes") if isinstance(layer, Mapping) else None for layer in layers]
    if any(inbound):
        names = [layer.get("name") or _of(layer, "config").get("name") for layer in leading]
        for place, name in enumerate(names):
            users = [
                user for user, nodes in enumerate(inbound) if nodes for source in _sources(nodes) if source == name
            ]
            if place + 1 < len(names) and users != [place + 1]:
                raise VggprepError("the first layers of the model are no chain; no mode does what they do")


def _of(f: Fields, key: str) -> Fields:
    value = f.get(key)
    return value if isinstance(value, Mapping) else {}


def _sources(nodes: Any) -> Iterator[str]:
    """The names of layers in ``inbound_nodes``: ``[name, node, tensor, ...]`` somewhere in it, in Keras 2 and 3."""
    if isinstance(nodes, list) and len(nodes) > 2 and isinstance(nodes[0], str) and type(nodes[1]) is int:
        yield nodes[0]
    elif isinstance(nodes, list | Mapping):
        for one in nodes.values() if isinstance(nodes, Mapping) else nodes:
            yield from _sources(one)


_GEOMETRY = ("Resizing", "CenterCrop")
_PREPROCESSING = ("InputLayer", "Rescaling", "Normalization", *_GEOMETRY)


# What is not judged -------------------------------------------------------------------------------------------------

_SIZES = ("size", "crop_size", "input_size", "image_size", "infer-dims")
_PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_OPENCV = ("nearest", "bilinear", "bicubic", "area", "lanczos")
"""Their numbers for ``resample`` and ``interpolation``."""


def _unjudged(value: Any) -> tuple[str, ...]:
    """What a document says of resizing, cropping and decoding, a few words each."""
    found: list[str] = []
    for f in _mappings(value):
        off = {"crop_size"} if f.get("do_center_crop") is False else set()
        off |= {"size", "resample"} if f.get("do_resize") is False else set()
        found += [f"{k.replace('_', ' ')} {_size(f[k])}" for k in _SIZES if f.get(k) and k not in off and not _kind(f)]
        for key, names in (("resample", _PILLOW), ("interpolation", _OPENCV)):
            how = f.get(key) if key not in off else None
            found += (
                [names[how]] if type(how) is int and 0 <= how < len(names) else [how] if isinstance(how, str) else []
            )
        found += [f"crop {f['crop_pct']}"] if isinstance(f.get("crop_pct"), int | float | Decimal) else []
        found += [f"input shape {f['input_shape']}"] if isinstance(f.get("input_shape"), str) else []
        found += ["crop"] if f.get("crop") is True else []
        found += ["padding"] if f.get("do_pad") is True else []
        found += [_kind(f)] if _kind(f) in _GEOMETRY or "Crop" in _kind(f) or "Resiz" in _kind(f) else []
    return tuple(dict.fromkeys(found))


def _mappings(value: Any) -> Iterator[Fields]:
    if isinstance(value, Mapping):
        yield value
    if isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _mappings(one)


def _size(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [v for v in value.values() if v is not None]
    if isinstance(value, list | tuple):
        return "x".join(str(v) for v in value)
    return str(value)
