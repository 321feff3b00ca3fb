"""Reading a mode from the file that ships with somebody's weights.

Each format has a function here, which takes the mapping that holds its constants and gives order and steps. Constants
stay the decimals of the file: JSON and TOML numbers are parsed as ``Decimal``. What an operation does, and in which
order, is what the library of the format does with the file. Imports the standard library, ``spec`` and ``errors``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from vggprep.configurations.decimals import decimal_of, number, terminates
from vggprep.errors import VggprepError
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, OPERATIONS, Mode, Step

Fields = Mapping[str, Any]
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
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise VggprepError(
            f"{path} is no text file; a configuration is JSON, TOML, XML, INI or a command line"
        ) from None
    except IsADirectoryError:
        raise VggprepError(f"{path} is a folder; name the configuration file in it") from None
    except OSError as error:
        raise VggprepError(f"cannot read {path}: {error.strerror}") from None
    return _read(
        str(path), _parsed(str(path), text, path.suffix.lower()), name or "/".join(path.parts[-2:]).lstrip("/")
    )


def read_text(text: str, name: str) -> Configuration:
    """As ``read``, of what a file holds."""
    return _read("the text", _parsed("the text", text), name)


def _parsed(where: str, text: str, suffix: str = "") -> Fields:
    """The mapping that a text holds, whatever its syntax."""
    try:
        if text.lstrip()[:1] == "{" or suffix == ".json":
            parsed = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
            return parsed if isinstance(parsed, dict) else {"list": parsed}
        if suffix == ".toml" or re.search(r"^\s*\[\[steps\]\]|^\s*steps *= *\[", text, flags=re.MULTILINE):
            return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise VggprepError(f"{where} is broken: {' '.join(str(error).split())}") from None
    if call := re.search(r"\bblobFromImages?(?:WithParams)?\s*\(", text):
        return {"blobFromImage": _call(text[call.start() :])}
    if re.search(r"(?<![\w-])--?(mean_values|scale_values|scale|reverse_input_channels)\b", text):
        return {"openvino": _command_line(text)}
    if re.search(r"^\s*net-scale-factor|^\s*offsets\s*[=:]|^\s*model-color-format", text, flags=re.MULTILINE):
        return {"deepstream": _ini(text)}
    return {}


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a mode can have")


def _read(where: str, document: Fields, name: str) -> Configuration:
    try:
        if _is_own(document):
            return _own(document, name)
        found, format, unjudged = _search(document)
        steps = tuple(step for step in found.steps if not _does_nothing(step))
        mode = Mode(name or _name_of(found.order, steps), found.order, steps, source=f"{format}: {where}")
    except VggprepError as error:
        raise VggprepError(f"{where}: {error}") from None
    except ValueError as error:
        raise VggprepError(f"{where}: {' '.join(str(error).split())}") from None
    return Configuration(mode, format, unjudged, found.notes)


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
        is_number = isinstance(one, int | float | Decimal) and not isinstance(one, bool)
        if not is_number or not Decimal(str(one)).is_finite():
            raise VggprepError(f"{key} must be finite numbers; got {one!r}")
        if positive and one <= 0:
            raise VggprepError(f"{key} is divided by and must be positive; got {number(one)}")
    if len(each) not in (1, 3):
        raise VggprepError(f"{key} must be one number or three, one for each channel; got {len(each)}")
    first, second, third = [number(one) for one in each] * (3 // len(each))
    return first, second, third


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
        raise VggprepError(f"{key} must be true or false; got {value!r}")
    return value


def _does_nothing(step: Step) -> bool:
    return all(Decimal(c) == (step.operation in ("divide", "multiply")) for c in step.constants)


def _reversed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(Step(step.operation, step.constants[::-1]) for step in steps)


# vggprep's own ----------------------------------------------------------------------------------------------------


def _is_own(document: Fields) -> bool:
    return "steps" in document and "order" in document


def _own(document: Fields, name: str) -> Configuration:
    unknown = set(document) - {"name", "order", "steps", "summary", "source"}
    if unknown:
        raise VggprepError(f"a mode has name, order, steps, summary and source; got {', '.join(sorted(unknown))}")
    order = document["order"]
    if not isinstance(order, str) and not (isinstance(order, list | tuple) and all(type(c) is int for c in order)):
        raise VggprepError(f"order must be RGB, BGR or three indices; got {order!r}")
    steps = []
    for step in document["steps"] if isinstance(document["steps"], list | tuple) else [None]:
        if not isinstance(step, Mapping) or len(step) != 1 or next(iter(step)) not in OPERATIONS:
            raise VggprepError(f"a step is one of {', '.join(OPERATIONS)} with its constants; got {step!r}")
        ((operation, constants),) = step.items()
        steps.append(Step(operation, constants))
    texts = {key: document.get(key, "") for key in ("summary", "source")}
    return Configuration(Mode(document.get("name", name), order, steps, **texts), "toml")


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
    if kind.startswith(("LayoutLMv2", "LayoutXLM")):  # neither rescales nor normalises, always reverses
        return _Found((), "BGR")
    values = {"do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_flip_channel_order"}
    if not values & f.keys():
        raise VggprepError(f"{kind or 'the image processor'} is named without its constants; save it with its library")
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
        if steps and any(abs(Decimal(c)) > _OF_UNITS for c in mean) and not {"do_rescale", "rescale_factor"} & f.keys():
            raise VggprepError(f"image_mean {', '.join(mean)} is in 0..255, and nothing says whether pixels are "
                               'rescaled first; add "do_rescale": true or false')  # fmt: skip
        if steps and any(abs(Decimal(c)) > _OF_UNITS for c in mean):
            notes = ("image_mean is subtracted from rescaled pixels, though it looks like grey levels",)
        notes += _exchanged(tuple(steps), mean, std)
        steps += [Step("subtract", mean), Step("divide", std)]
    if kind.startswith("EfficientNet") and _flag(f, "include_top", True):
        steps.append(Step("divide", _three(f, "image_std", positive=True)))
        notes += ("include_top divides by image_std once more",)
    flips = _flag(f, "do_flip_channel_order", kind.startswith(("MobileViT", "Tvp")))
    return _Found(_reversed(tuple(steps)) if flips else tuple(steps), "BGR" if flips else "RGB", notes)


_OF_THE_IMAGE = {
    "Pix2Struct": "normalises each image by its own mean and deviation: no mode does that",
    "ImageGPT": "replaces pixels by the nearest of its colour clusters: no mode does that",
}


_OF_UNITS = 4
"""Means and deviations of pixels in 0..1 are smaller, those of grey levels larger."""


def _mean_and_std(f: Fields, mean: str, std: str) -> tuple[Three, Three]:
    for key in (mean, std):
        if f.get(key) is None:
            raise VggprepError(f"{key} is missing")
    return _three(f, mean), _three(f, std, positive=True)


def _exchanged(before: tuple[Step, ...], mean: Three, std: Three) -> tuple[str, ...]:
    """A note where mean and deviation are those of a known mode, the one in the other's place."""
    for other in (*MODES.values(), *PUBLISHED.values()):
        if mean != std and [(s.operation, s.constants) for s in other.steps[-2:]] == [
            ("subtract", std),
            ("divide", mean),
        ]:
            return (f"mean and std are those of {other.name}, exchanged",)
    return ()


def _mean_std(f: Fields) -> _Found:
    """(x/255 - mean)/std after ``ToTensor``; without the division where the constants are grey levels.

    With ``to_rgb`` or ``bgr_to_rgb`` as OpenMMLab has it: images are read as BGR, constants are always grey levels.
    """
    mean, std = _mean_and_std(f, "mean", "std")
    rgb = next((f[key] for key in ("to_rgb", "bgr_to_rgb") if key in f), None)
    grey = rgb is not None or any(abs(Decimal(c)) > _OF_UNITS for c in mean + std)
    before = () if grey else (Step("divide", "255"),)
    notes: tuple[str, ...] = ("images are taken to be BGR, as OpenMMLab reads files",) if rgb is not None else ()
    notes += ("mean and std are taken for grey levels, so nothing is divided by 255",) if grey and rgb is None else ()
    order = "BGR" if rgb is False else "RGB"
    return _Found((*before, Step("subtract", mean), Step("divide", std)), order, notes + _exchanged(before, mean, std))


def _albumentations(f: Fields) -> _Found:
    """(x - mean * max_pixel_value) / (std * max_pixel_value), in the order of the image."""
    kind = f.get("normalization", "standard")
    if kind != "standard":
        raise VggprepError(f"normalization={kind!r} depends on the image: no mode does that")
    mean, std = _mean_and_std(f, "mean", "std")
    by = Fraction(_three(f, "max_pixel_value", 255, positive=True)[0])
    subtracted, divisor = ([decimal_of(by * Fraction(c)) for c in constants] for constants in (mean, std))
    return _Found((Step("subtract", subtracted), Step("divide", divisor)), notes=_exchanged((), mean, std))


def _scale_offset(f: Fields) -> _Found:
    """x * scale + offset: Keras's Rescaling, KerasHub's image converters."""
    return _Found((Step("multiply", _three(f, "scale", 1)), Step("add", _three(f, "offset", 0))))


def _normalization(f: Fields) -> _Found:
    """(x - mean) / sqrt(variance), or x * sqrt(variance) + mean where inverted: Keras's Normalization."""
    if f.get("mean") is None:
        raise VggprepError("Normalization has no mean here: adapt() has put it among the weights")
    mean, variance = _three(f, "mean"), _three(f, "variance", positive=True)
    with localcontext(prec=40):
        std = [number(Decimal(c).sqrt()) for c in variance]
    if _flag(f, "invert", False):
        return _Found((Step("multiply", std), Step("add", mean)))
    return _Found((Step("subtract", mean), Step("divide", std)))


def _openvino(f: Fields) -> _Found:
    """The channels reversed, then (x - mean_values) / scale_values, in the order of the model's channels.

    So it is documented in every version: older ones say that reversal comes after, and mean that it is inserted
    before what was inserted already.
    """
    scale = "scale_values" if f.get("scale_values") is not None else "scale"
    steps = (Step("subtract", _three(f, "mean_values", 0)), Step("divide", _three(f, scale, 1, positive=True)))
    return _Found(steps, "BGR" if _flag(f, "reverse_input_channels", False) else "RGB")


def _deepstream(f: Fields) -> _Found:
    """net-scale-factor * (x - offsets), in the order that model-color-format gives: 0 is RGB, 1 is BGR."""
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
    return lambda f: reader(f["config"]) if isinstance(f.get("config"), Mapping) else reader({})


_READERS: tuple[tuple[str, Callable[[Fields], bool], Callable[[Fields], _Found]], ...] = (
    ("kerashub", lambda f: _kind(f).endswith("ImageConverter"), _config(_scale_offset)),
    ("keras", lambda f: _kind(f) == "Rescaling", _config(_scale_offset)),
    ("keras-normalization", lambda f: _kind(f) == "Normalization", _config(_normalization)),
    ("albumentations", lambda f: _kind(f) == "Normalize" or "max_pixel_value" in f, _albumentations),
    ("huggingface", _has("image_processor_type", "feature_extractor_type", "image_mean", "do_rescale", "do_normalize",
                         "rescale_factor", "do_flip_channel_order"), _hugging_face),
    ("openvino", _has("mean_values", "scale_values", "reverse_input_channels"), _openvino),
    ("deepstream", _has("net-scale-factor", "offsets", "model-color-format", "mean-file"), _deepstream),
    ("opencv", _has("scalefactor", "swapRB"), _opencv),
    ("coreml", _has("image_scale", "red_bias", "green_bias", "blue_bias", "is_bgr", "color_layout", "bias"), _core_ml),
    ("keras-normalization", lambda f: "mean" in f and "variance" in f, _normalization),
    ("timm", lambda f: {"mean", "std"} <= f.keys() and bool({"interpolation", "crop_pct"} & f.keys()), _mean_std),
    ("torchvision", _has("mean", "std"), _mean_std),
    ("keras", lambda f: {"scale", "offset"} <= f.keys(), _scale_offset),
)  # fmt: skip
"""Format, what tells a part of it from others, and its reader; the first that fits is taken."""

READABLE = ("toml", *dict.fromkeys(name for name, _, _ in _READERS))


def _search(document: Fields) -> tuple[_Found, str, tuple[str, ...]]:
    """What the parts of a document say, which may be anywhere in it."""
    parts = list(_parts(document))
    found = list(dict.fromkeys((format, reader(part)) for format, reader, part in parts))
    if not found:
        raise VggprepError(f"there is no mode in it; one is read from {', '.join(READABLE)}")
    if _layers(document) is not None:
        return _chained(found), "keras", _unjudged(document)
    if len({(one.order, one.steps) for _, one in found}) > 1:
        raise VggprepError(f"it holds {len(found)} different modes; leave one in it")
    format, one = found[0]
    return one, format, _unjudged(document)


def _parts(value: Any) -> Iterator[tuple[str, Callable[[Fields], _Found], Fields]]:
    if isinstance(value, Mapping):
        for format, fits, reader in _READERS:
            if fits(value):
                yield format, reader, value
                return
        layers = _layers(value)
        # Where a processor has several parts, that of images is meant.
        value = (
            layers
            if layers is not None
            else [value["image_processor"]]
            if "image_processor" in value
            else list(value.values())
        )
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
        if not isinstance(layer, Mapping) or _kind(layer) not in (
            "InputLayer",
            "Rescaling",
            "Normalization",
            *_GEOMETRY,
        ):
            break
        leading.append(layer)
    return leading


_GEOMETRY = ("Resizing", "CenterCrop", "RandomFlip")


def _chained(found: list[tuple[str, _Found]]) -> _Found:
    return _Found(tuple(step for _, one in found for step in one.steps))


# What is not judged -------------------------------------------------------------------------------------------------

_SIZES = ("size", "crop_size", "input_size", "image_size", "input_shape", "infer-dims")
_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers for ``resample``."""


def _unjudged(value: Any) -> tuple[str, ...]:
    """What a document says of resizing, cropping and decoding, a few words each."""
    found: list[str] = []
    for f in _mappings(value):
        if f.get("do_resize", True) is not False:
            found += [f"{key.replace('_', ' ')} {_size(f[key])}" for key in _SIZES if f.get(key) and _kind(f) == ""
                      and (key != "crop_size" or f.get("do_center_crop", True) is not False)]  # fmt: skip
            resample = f.get("resample", f.get("interpolation"))
            if isinstance(resample, int) and 0 <= resample < len(_RESAMPLING) and not isinstance(resample, bool):
                resample = _RESAMPLING[resample]
            found += [resample] if isinstance(resample, str) and resample else []
        found += [f"crop {number(f['crop_pct'])}"] if isinstance(f.get("crop_pct"), int | float | Decimal) else []
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


# Texts that are neither JSON nor TOML -------------------------------------------------------------------------------


def _numbers(text: str) -> list[Decimal | str]:
    """The numbers in a list such as ``[123.675,116.28,103.53]`` or ``104;117;123``; what is none stays text."""
    words = [word for word in re.split(r"[\s,;]+", text.strip("[]()\"' ")) if word]
    return [Decimal(word) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", word) else word for word in words]


_OPTION = re.compile(
    r"(?<![\w-])--?(mean_values|scale_values|scale|reverse_input_channels|input_shape)\b(?:[= ]\s*([^\n]*?))?"
    r"(?=\s+--|\s*\\?\s*(?:\n|$))"
)


def _command_line(text: str) -> Fields:
    """The options of OpenVINO's Model Optimizer; values may stand for an input: ``data[123,117,104]``."""
    fields: dict[str, Any] = {}
    for key, value in _OPTION.findall(text):
        value = value.strip("\"' ")
        if key == "reverse_input_channels":
            fields[key] = value.lower() not in ("false", "0")
            continue
        lists = re.findall(r"[\[(]([^\])]*)[\])]", value)
        if len(lists) > 1:
            raise VggprepError(f"--{key} has values for {len(lists)} inputs; leave those of one")
        fields[key] = _numbers(lists[0] if lists else value) if key != "input_shape" else value
    return fields


def _ini(text: str) -> Fields:
    """Keys of DeepStream's configuration, INI or YAML, that bear on values or size."""
    fields: dict[str, Any] = {}
    for key, value in re.findall(r"^\s*([\w-]+)\s*[=:]\s*([^#\n]*)", text, flags=re.MULTILINE):
        if key in ("net-scale-factor", "offsets", "model-color-format"):
            numbers = _numbers(value)
            fields[key] = numbers if key != "model-color-format" else numbers[0] if numbers else ""
        if key in ("mean-file", "infer-dims"):
            fields[key] = value.strip()
    return fields


def _call(text: str) -> Fields:
    """The arguments of a call of blobFromImage in Python, C++ or JavaScript."""
    depth = 0
    for end, letter in enumerate(text, 1):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in ")]}":
            text = text[:end]
            break
    source = text.replace("::", ".").replace("new ", "").replace("{", "[").replace("}", "]")
    source = re.sub(r"(?<![\w.])(\d+\.?\d*)f\b", r"\1", source)
    try:
        call = ast.parse(" ".join(source.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise VggprepError("the call of blobFromImage cannot be understood") from None
    if not isinstance(call, ast.Call):
        raise VggprepError("the call of blobFromImage cannot be understood")
    names = ("image", "scalefactor", "size", "mean", "swapRB", "crop", "ddepth")
    arguments = list(call.args)
    if len(arguments) > 2 and _folded(arguments[1]) is None and _folded(arguments[2]) is not None:
        del arguments[1]  # C++: where the blob is put
    given = dict(zip(names, arguments, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
    fields: dict[str, Any] = {"scalefactor": Fraction(1), "mean": [0, 0, 0]}
    for name in ("scalefactor", "mean", "size", "swapRB", "crop"):
        if name in given:
            fields[name] = _constant(name, given[name])
    return fields


def _constant(name: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Call):  # Scalar(104, 117, 123), Size(224, 224)
        return [_constant(name, one) for one in node.args]
    if isinstance(node, ast.Tuple | ast.List):
        return [_constant(name, one) for one in node.elts]
    if name in ("swapRB", "crop"):
        flag = node.value if isinstance(node, ast.Constant) else getattr(node, "id", "").lower() == "true"
        if isinstance(flag, bool):
            return flag
    if name == "size":
        return ast.unparse(node)
    value = _folded(node)
    if value is None:
        raise VggprepError(f"{name} is not written as numbers: {ast.unparse(node)}")
    return value if name == "scalefactor" else Decimal(decimal_of(value))


def _folded(node: ast.expr) -> Fraction | None:
    """The value of an expression of numbers, such as ``1/127.5``."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and (value := _folded(node.operand)) is not None:
        return -value
    if (
        isinstance(node, ast.BinOp)
        and (left := _folded(node.left)) is not None
        and (right := _folded(node.right)) is not None
    ):
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div) and right:
            return left / right
    return None
