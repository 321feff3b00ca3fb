"""Writing a mode in somebody's format, and saying what is lost.

Every format can say an offset for each channel, and a scale for each or for all; some can say that channels are
reversed. What a format cannot say is replaced, and what was written is read again, to see how far off it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from vggprep.configurations.affine import ROUNDING, levels_apart, lines
from vggprep.configurations.decimals import LARGEST_EXPONENT, rounded
from vggprep.configurations.read import KERAS_EPSILON, UNITS, read_text
from vggprep.errors import VggprepError
from vggprep.spec import Mode


@dataclass(frozen=True)
class Written:
    """A mode in a format: ``levels`` is how far off its text is on bytes, in grey levels, and ``lost`` says why.

    Without anything lost, only constants may be rounded, which moves values by less than ``affine.ROUNDING``.
    """

    text: str
    lost: tuple[str, ...]
    levels: float


@dataclass(frozen=True)
class _Form:
    """``(x * scale - mean) / std``, and the order of the output, in which the constants are, too."""

    order: str
    scale: Fraction
    mean: tuple[Fraction, ...]
    std: tuple[Fraction, ...]

    def with_scale(self, scale: Fraction) -> _Form:
        """The same values from pixels that are scaled otherwise first."""
        factor = scale / self.scale
        return _Form(self.order, scale, tuple(m * factor for m in self.mean), tuple(s * factor for s in self.std))

    @property
    def factors(self) -> tuple[Fraction, ...]:
        return tuple(self.scale / s for s in self.std)

    @property
    def offsets(self) -> tuple[Fraction, ...]:
        return tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))


def write(mode: Mode, format: str) -> Written:
    """The mode in one of ``FORMATS``, or one near it that the format can say; of three scales, the nearest single one.

    Raises:
        VggprepError: an unknown format, or one that has no numbers as large or small as this mode needs.
    """
    if format == "toml":
        return Written(_toml(mode), (), 0.0)
    if format not in _WRITERS:
        raise VggprepError(f"there is no format {format!r}; a mode is written as {', '.join(FORMATS)}")
    writer, reverses, scales, below_zero = _WRITERS[format]
    form, lost = _form(mode), []
    if mode.channel_order not in (("RGB", "BGR") if reverses else ("RGB",)):
        lost.append(f"the channel order {mode.channel_order}")
        form = _in_order(form, "RGB")
    if not below_zero and min(form.factors) < 0:
        lost.append("a scale below 0")
        form = _Form(form.order, form.scale, form.mean, tuple(map(abs, form.std)))
    if scales == 1 and len(set(form.factors)) > 1:
        lost.append("three scales")
        form = _one_scale(form)
    try:
        text = writer(form)
        apart = levels_apart(mode, read_text(text, mode.name).mode)
        levels = float(apart)
    except (VggprepError, ArithmeticError):
        raise VggprepError(f"{format} cannot hold the constants of {mode.name}: in it, one of them would be outside "
                           f"1e-{LARGEST_EXPONENT}..1e{LARGEST_EXPONENT + 1}") from None  # fmt: skip
    if apart > ROUNDING and not lost:
        lost.append(_why(form, format))
    return Written(text, tuple(lost), levels)


def _why(form: _Form, format: str) -> str:
    """What is lost where the format could say the steps."""
    unit, grey = form.with_scale(Fraction(1, 255)), _grey(form)
    if format == "torchvision" and max(map(abs, unit.mean + unit.std)) > UNITS:
        return f"means and deviations above {UNITS}, which are taken for grey levels,"
    if format == "keras-normalization" and min(grey.std) < Fraction(KERAS_EPSILON):
        return f"a deviation below {KERAS_EPSILON}, which Keras replaces by it,"
    return "constants that need more than 17 digits"


def _form(mode: Mode) -> _Form:
    """The steps as a scale of all channels, where they begin with one, then mean and deviation."""
    scale = Fraction(1)
    for step in mode.steps:
        if step.operation in ("add", "subtract") or len(set(step.constants)) > 1:
            break
        constant = Fraction(step.constants[0])
        if constant < 0:
            break
        scale *= constant if step.operation == "multiply" else 1 / constant
    std = tuple(scale / line.scale for line in lines(mode))
    mean = tuple(-line.offset * s for line, s in zip(lines(mode), std, strict=True))
    return _Form(mode.channel_order, scale, mean, std)


def _in_order(form: _Form, order: str) -> _Form:
    places = [form.order.index(letter) for letter in order]
    return _Form(order, form.scale, tuple(form.mean[p] for p in places), tuple(form.std[p] for p in places))


def _one_scale(form: _Form) -> _Form:
    """One factor for three, such that the largest error in grey levels, over bytes and channels, is the smallest.

    That is the harmonic mean of the extremes, with means that leave the middle grey, 127.5, as it is.
    """
    factors = form.factors
    if min(factors) < 0 < max(factors):
        factor = max(factors, key=abs)
    else:
        factor = 2 / (1 / min(factors) + 1 / max(factors))
    middle = Fraction("127.5")
    values = [f * middle + o for f, o in zip(factors, form.offsets, strict=True)]
    return _Form(form.order, Fraction(1), tuple(middle - v / factor for v in values), (1 / factor,) * 3)


# Formats ----------------------------------------------------------------------------------------------------------


def _json(document: Mapping[str, Any]) -> str:
    """JSON with fractions as decimals; a list of three equal ones stays a list."""

    def plain(value: Any) -> Any:
        if isinstance(value, Fraction):
            return f"#{rounded(value)}"
        if isinstance(value, tuple | list):
            return [plain(v) for v in value]
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    text = json.dumps(plain(document), indent=2)
    text = re.sub(r'"#([-+.\de]+)"', r"\1", text)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def _hugging_face(form: _Form) -> str:
    shown = _in_order(form, "RGB")
    document: dict[str, Any] = {"do_resize": False, "do_center_crop": False, "do_rescale": form.scale != 1}
    if form.scale != 1:
        document["rescale_factor"] = form.scale
    document["do_normalize"] = any(form.mean) or set(form.std) != {1}
    if document["do_normalize"]:
        document |= {"image_mean": shown.mean, "image_std": shown.std}
    # The processor of TVP normalises and then reverses the channels; that of ViT never reverses them.
    reverses = form.order == "BGR"
    document |= {"do_flip_channel_order": True, "do_pad": False} if reverses else {}
    return _json(document | {"image_processor_type": "TvpImageProcessor" if reverses else "ViTImageProcessor"})


def _unit(form: _Form) -> dict[str, Any]:
    form = form.with_scale(Fraction(1, 255))
    return {"mean": form.mean, "std": form.std}


def _grey(form: _Form) -> _Form:
    return form.with_scale(Fraction(1))


def _albumentations(form: _Form) -> str:
    fields = {"__class_fullname__": "Normalize", "p": 1.0, **_unit(form), "max_pixel_value": 255.0}
    return _json({"__version__": "2.0.8", "transform": fields | {"normalization": "standard"}})


def _scale_offset(class_name: str, module: str) -> Callable[[_Form], str]:
    def written(form: _Form) -> str:
        config = {"scale": list(form.factors), "offset": list(form.offsets)}
        return _json({"module": module, "class_name": class_name, "config": config})

    return written


def _normalization(form: _Form) -> str:
    form = _grey(form)
    config = {"axis": [-1], "mean": form.mean, "variance": tuple(s * s for s in form.std), "invert": False}
    return _json({"module": "keras.layers", "class_name": "Normalization", "config": config})


def _openvino(form: _Form) -> str:
    form = _grey(form)
    mean, std = (",".join(map(rounded, each)) for each in (form.mean, form.std))
    reverses = " --reverse_input_channels" if form.order == "BGR" else ""
    return f"--mean_values=[{mean}] --scale_values=[{std}]{reverses}\n"


def _deepstream(form: _Form) -> str:
    form = _grey(form)
    offsets = ";".join(map(rounded, form.mean))
    colour = 1 if form.order == "BGR" else 0
    factor = rounded(form.factors[0])
    return f"[property]\nnet-scale-factor={factor}\noffsets={offsets}\nmodel-color-format={colour}\n"


def _opencv(form: _Form) -> str:
    form = _grey(form)
    mean = ", ".join(map(rounded, form.mean))
    factor = rounded(form.factors[0])
    return f"cv2.dnn.blobFromImage(image, scalefactor={factor}, mean=({mean}), swapRB={form.order == 'RGB'})\n"


def _core_ml(form: _Form) -> str:
    bias = dict(zip(form.order, form.offsets, strict=True))
    names = {"red_bias": bias["R"], "green_bias": bias["G"], "blue_bias": bias["B"]}
    return _json({"image_scale": form.factors[0], **names, "is_bgr": form.order == "BGR"})


def _quoted(text: str) -> str:
    """A string of TOML, which has no U+007F and no halves of surrogate pairs as they are."""
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(mode: Mode) -> str:
    """Constants as numbers where TOML gives back the same text, else as strings."""

    def constant(text: str) -> str:
        plain = re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) and text != "-0" and str(Decimal(text)) == text
        return text if plain else json.dumps(text)

    def step(operation: str, constants: tuple[str, ...]) -> str:
        each = [constant(c) for c in constants]
        listed = ", ".join(each)
        return f"  {{ {operation} = {each[0] if len(set(each)) == 1 else f'[{listed}]'} }},\n"

    texts = {"summary": mode.summary, "source": mode.source}
    order = mode.channel_order
    head = {"name": mode.name, "order": order, **{key: text for key, text in texts.items() if text}}
    steps = "".join(step(s.operation, s.constants) for s in mode.steps)
    fields = "".join(f"{key} = {_quoted(text)}\n" for key, text in head.items())
    return f"{fields}steps = [\n{steps}]\n"


_WRITERS: Mapping[str, tuple[Callable[[_Form], str], bool, int, bool]] = {
    "huggingface": (_hugging_face, True, 3, False),
    "timm": (lambda f: _json({"pretrained_cfg": _unit(f) | {"interpolation": "bicubic"}}), False, 3, False),
    "torchvision": (lambda f: _json(_unit(f)), False, 3, False),
    "albumentations": (_albumentations, False, 3, False),
    "kerashub": (_scale_offset("ImageConverter", "keras_hub.layers"), False, 3, True),
    "keras": (_scale_offset("Rescaling", "keras.layers"), False, 3, True),
    "keras-normalization": (_normalization, False, 3, False),
    "openvino": (_openvino, True, 3, False),
    "deepstream": (_deepstream, True, 1, True),
    "opencv": (_opencv, True, 1, True),
    "coreml": (_core_ml, True, 1, True),
}
"""Of each format: its writer; whether it can say BGR; how many scales; whether these may be below 0."""

FORMATS = ("toml", *_WRITERS)
