"""The rows of an observation: what the probe asks an implementation of Keras, and with which pixels. Imports NumPy.

Made by arithmetic, without randomness. A question's id says all that it asks, ``path=tensor mode=caffe dtype=uint8
...``, so rows recorded years apart can be compared, and a recorded row needs no description but its id.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.spec import DATA_FORMATS, FLOATS, INTEGERS, MODELS, DataFormat, ModeName

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

KERAS_MODES: tuple[ModeName, ...] = ("caffe", "tf", "torch")

# The order in an id.
_KEYS = (
    *("module", "path", "mode", "data_format", "dtype", "pixels", "shape"),
    *("signature", "layout", "image_data_format", "floatx", "after"),
    *("file", "using", "policy"),
)

COMPARED = ("load_img", "directory", "generator", "adapted", "built", "converter")
"""Paths that mean a mode only where a row names one: of their other rows nothing says what is right."""

FILES = ("grey", "grey-alpha", "rgb", "rgba", "palette", "16-bit", "1-bit")
"""The kinds of PNG that the probe writes."""

# Constructors of keras.applications that preprocess themselves, or did in some release: the smallest of each family.
BUILT = (
    *("MobileNetV3Small", "ConvNeXtTiny", "EfficientNetB0", "EfficientNetV2B0", "EfficientNetV2S"),
    *("RegNetX002", "ResNetRS50", "ResNet50"),
)


@dataclass(frozen=True)
class Question:
    """One row: how ``preprocess_input`` is called, and with which array.

    ``mode`` and ``data_format`` are the arguments as an id has them: text as it is, other values as JSON (``null``,
    ``1``); None if the argument is not passed. ``module`` is one of ``keras.applications``; None is ``imagenet_utils``.
    ``image_data_format``, ``floatx`` and ``policy`` (of mixed precision) are settings of Keras, ``after`` names what
    the process has done before. ``file`` is the kind of PNG that holds the pixels, ``using`` an option of its path; on
    the path ``built``, ``module`` is a constructor.

    Rows of one ``group`` are asked in one process, in order; groups never share one. That is how "torch mode first,
    then caffe" is asked, and how torch-mode rows stay untouched by the caffe rows before them.
    """

    path: str
    dtype: str
    shape: Shape
    mode: str | None = None
    data_format: str | None = None
    pixels: str = "bytes"
    module: str | None = None
    signature: str | None = None
    layout: str | None = None
    image_data_format: str | None = None
    floatx: str | None = None
    after: str | None = None
    file: str | None = None
    using: str | None = None
    policy: str | None = None
    group: str = field(default="main", compare=False)

    @functools.cached_property
    def id(self) -> str:
        """``key=value`` for each attribute that is not None."""
        found = {key: getattr(self, key) for key in _KEYS} | {"shape": _text(self.shape)}
        return " ".join(f"{key}={value}" for key, value in found.items() if value is not None)

    @property
    def array_name(self) -> str:
        """The name of the array that is passed, which questions share."""
        return f"{self.pixels}:{self.dtype}:{_text(self.shape)}"

    @property
    def compared(self) -> bool:
        """Whether no mode is meant, so that a row is only compared with others."""
        return self.path in COMPARED and self.mode is None

    @property
    def known_mode(self) -> ModeName | None:
        """The mode that is asked for, by name or by module; None for a mode that Keras does not know, or for none."""
        if self.compared:
            return None
        if self.module is not None:
            return MODELS.get(self.module)
        asked = "caffe" if self.mode is None else self.mode
        return next((mode for mode in KERAS_MODES if mode == asked), None)

    @property
    def effective_format(self) -> str | None:
        """The data format as passed, else as set; None if neither."""
        passed = None if self.data_format == "null" else self.data_format
        return self.image_data_format if passed is None else passed

    def ask(self) -> dict[str, Any]:
        """The row as the probe wants it."""
        asked: dict[str, Any] = {key: getattr(self, key) for key in _KEYS if getattr(self, key) is not None}
        for argument in {"mode", "data_format"} & asked.keys():
            with contextlib.suppress(ValueError):
                asked[argument] = json.loads(asked[argument])
        return {**asked, "id": self.id, "array": self.array_name}


@functools.cache
def parse(question_id: str) -> Question:
    """The question that has this id; ValueError if none has."""
    said = dict(part.split("=", 1) for part in question_id.split(" "))
    if not {"path", "dtype", "pixels", "shape"} <= said.keys() <= set(_KEYS):
        raise ValueError(f"{question_id!r} is not the id of a question")
    shape = tuple(int(side) for side in said.pop("shape").split("x") if side)
    # Not by the constructor of a frozen class, which takes its time for each attribute: a record has thousands.
    found = object.__new__(Question)
    found.__dict__.update(_DEFAULTS, shape=shape, **said)
    return found


_DEFAULTS = {one.name: one.default for one in fields(Question) if one.default is not MISSING}


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


# ---- arrays ----------------------------------------------------------------------------------------------------------


def pixels(kind: str, shape: Shape) -> Array:
    """The values of an array, as float64: whole, wide, with NaN and infinities, or every byte in every channel."""
    size = int(np.prod(shape, dtype=np.int64))
    n = np.arange(size, dtype=np.int64)
    values = ((n * n * 7 + n * 31 + 5) % 256).astype(np.float64)
    if size > 2:
        values[0], values[-1] = 0, 255
    values = values.reshape(shape)
    if kind == "bytes":
        return values
    if kind == "alike":  # the same along the first axis, so that a stride of zero holds the same values
        return np.broadcast_to(values[:1], shape).copy()
    if kind == "wide":  # fractions, negative and large values, and every third one dark
        wide = values * 2.625 - 150.375
        wide.flat[::3] = values.flat[::3] / 256
        return wide
    if kind == "nonfinite":
        for start, value in enumerate((np.nan, np.inf, -np.inf)):
            values.flat[start * 5 + 1 :: 17] = value
        return values
    if kind == "ends":  # in place of which ``array`` puts the ends of the dtype
        return values
    if kind == "every-byte":  # odd multipliers visit every byte once
        n = np.arange(256)
        return np.stack([n, n * 85 + 7, n * 171 + 3], axis=-1).reshape(1, 16, 16, 3).astype(np.float64) % 256
    raise ValueError(kind)


def array(question: Question) -> Array:
    """The array that a question passes. bfloat16 comes as float32 holding bfloat16 values."""
    values = pixels(question.pixels, question.shape)
    if question.dtype == "bool":
        return values > 127
    if question.pixels == "ends":
        ends = np.iinfo(question.dtype)
        cycle = [ends.min, ends.max, ends.min + 1, ends.max - 1, 0, 1, ends.max // 2]
        return np.resize(np.array(cycle, question.dtype), question.shape)
    if question.dtype == "int8":
        return (values % 128).astype(np.int8)
    if question.dtype == "bfloat16":
        # Truncated rather than rounded; NaN stays NaN.
        return (values.astype("<f4").view("<u4") & np.uint32(0xFFFF0000)).view("<f4")
    return values.astype(question.dtype)


def encode(question: Question) -> dict[str, Any]:
    """The array that a question passes, for the probe."""
    x = array(question)
    if question.dtype == "bfloat16":
        stored = (np.ascontiguousarray(x).view("<u4") >> 16).astype("<u2")
    elif question.dtype == "longdouble":
        stored = x.astype("<f8")
    else:
        stored = x.astype(x.dtype.newbyteorder("<"))
    data = base64.b64encode(zlib.compress(stored.tobytes())).decode("ascii")
    return {"dtype": question.dtype, "shape": question.shape, "data": data}


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _image(data_format: str, rank: int) -> Shape:
    """The shape that most rows use: no two sides alike, and none but the channels 3."""
    shape: Shape = (4, 5, 3) if data_format == "channels_last" else (3, 4, 5)
    return (2, *shape) if rank == 4 else shape


# Where an axis could be taken for the channels, another number of channels, or another rank.
_ODD_SHAPES: dict[DataFormat, tuple[Shape, ...]] = {
    "channels_last": (
        *((3, 3, 3), (3, 5, 3), (5, 3, 3), (3, 3, 3, 3), (2, 3, 5, 3), (2, 5, 3, 3), (0, 5, 3), (0, 4, 5, 3)),
        *((4, 5, 1), (4, 5, 4), (2, 4, 5, 1), (2, 4, 5, 4), (), (3,), (5, 3), (2, 2, 4, 5, 3), (2, 2, 4, 5, 4)),
    ),
    "channels_first": (
        *((3, 3, 3), (3, 3, 5), (3, 5, 3), (3, 3, 3, 3), (2, 3, 3, 5), (2, 3, 5, 3), (3, 0, 5), (0, 3, 4, 5)),
        *((1, 4, 5), (4, 4, 5), (2, 1, 4, 5), (2, 4, 4, 5), (3,), (3, 5)),
        *((2, 3, 2, 4, 5), (2, 3, 3, 4, 5), (2, 3, 2, 4, 3), (2, 4, 2, 4, 5)),
    ),
}
_ODD_MODES = ("unknown", "identity", "TF", "Caffe", "", "null", '["caffe"]', "1")
_ODD_FORMATS = ("unknown", "CHANNELS_LAST", "NHWC", "", '["channels_last"]', "1")
_EACH = tuple((mode, data_format) for mode in KERAS_MODES for data_format in DATA_FORMATS)


def questions() -> list[Question]:
    """Every row, in the order asked."""
    # What compiles and what may keep something for later rows comes last.
    defaults = [Question(path, dtype, (2, 4, 5, 3)) for path in ("ndarray", "tensor") for dtype in ("uint8", "float32")]
    rows = [*defaults, *_arrays(), *_tensors("tensor"), *_images("variable", ("bool", "uint8", "int32", *FLOATS))]
    rows += [*_graphs(), *_models(), *_modules(), *_tensors("xla")]
    rows += _images("tf.data", ("uint8", "int32", "float16", "float32"))
    rows += [*_layers(), *_thin(), *_policies(), *_ends(), *_of_frameworks()]
    torch = [replace(row, group="torch") for row in rows if row.known_mode == "torch"]
    return list(dict.fromkeys([*(row for row in rows if row.known_mode != "torch"), *torch, *_sequences(), *_beside()]))


def _arrays() -> Iterator[Question]:
    for mode, data_format in _EACH:
        small, batch = _image(data_format, 3), _image(data_format, 4)
        for shape in (small, batch):
            for dtype in (*INTEGERS, *FLOATS, "longdouble"):
                yield Question("ndarray", dtype, shape, mode, data_format)
            for dtype in (*FLOATS, "longdouble"):
                yield Question("ndarray", dtype, shape, mode, data_format, "wide")
                yield Question("ndarray", dtype, shape, mode, data_format, "nonfinite")
            yield Question("ndarray", "complex64", shape, mode, data_format)
        for shape in _ODD_SHAPES[data_format]:
            for dtype in ("uint8", "float32"):
                yield Question("ndarray", dtype, shape, mode, data_format)
        for dtype in ("uint8", "float16", "float32", "float64"):
            for layout in ("F", "reversed", "sliced", "unaligned", "read-only", "big-endian"):
                yield Question("ndarray", dtype, batch, mode, data_format, layout=layout)
            yield Question("ndarray", dtype, batch, mode, data_format, "alike", layout="broadcast")
        for layout in ("list", "object", "text"):
            yield Question("ndarray", "float32", small, mode, data_format, layout=layout)
        yield Question("ndarray", "float32", (), mode, data_format, layout="scalar")
    for mode in KERAS_MODES:
        for setting in DATA_FORMATS:
            for path in ("ndarray", "tensor", "graph"):
                for rank in (3, 4):
                    shape = _image(setting, rank)
                    yield Question(path, "float32", shape, mode, "null", image_data_format=setting)
        for dtype in ("uint8", "float16", "float32", "float64"):
            yield Question("ndarray", dtype, (1, 16, 16, 3), mode, "channels_last", "every-byte")
    for path in ("ndarray", "tensor", "graph"):
        for dtype in ("float32", "uint8"):
            for odd in _ODD_MODES:
                yield Question(path, dtype, (2, 4, 5, 3), odd, "channels_last")
            for odd in _ODD_FORMATS:
                for mode in ("caffe", "tf"):
                    yield Question(path, dtype, (2, 4, 5, 3), mode, odd)


def _tensors(path: str) -> Iterator[Question]:
    """Eager tensors of every dtype; XLA, where each row is compiled, of fewer."""
    eager = path == "tensor"
    for mode, data_format in _EACH:
        for rank in (3, 4):
            shape = _image(data_format, rank)
            for dtype in (*INTEGERS, *FLOATS, "complex64") if eager else ("uint8", "int32", *FLOATS):
                yield Question(path, dtype, shape, mode, data_format)
            for dtype in FLOATS if eager else ("float32",):
                yield Question(path, dtype, shape, mode, data_format, "wide")
            for dtype in FLOATS if eager else ():
                yield Question(path, dtype, shape, mode, data_format, "nonfinite")
        for shape in _ODD_SHAPES[data_format] if eager else _ODD_SHAPES[data_format][:6]:
            for dtype in ("uint8", "float32") if eager else ("float32",):
                yield Question(path, dtype, shape, mode, data_format)
    for mode in KERAS_MODES:
        yield Question(path, "float32", (1, 16, 16, 3), mode, "channels_last", "every-byte")


def _graphs() -> Iterator[Question]:
    for mode, data_format in _EACH:
        for rank in (3, 4):
            shape = _image(data_format, rank)
            for dtype in ("bool", "uint8", "int32", *FLOATS):
                yield Question("graph", dtype, shape, mode, data_format)
            yield Question("graph", "float32", shape, mode, data_format, "wide")
            for signature in ("channels", "unknown"):
                yield Question("graph", "float32", shape, mode, data_format, signature=signature)
        for shape in _ODD_SHAPES[data_format]:
            if 0 not in shape:
                yield Question("graph", "float32", shape, mode, data_format)
    for mode in KERAS_MODES:
        yield Question("graph", "float32", (1, 16, 16, 3), mode, "channels_last", "every-byte")


def _models() -> Iterator[Question]:
    for mode, data_format in _EACH:
        for path in ("model", "lambda"):
            for dtype in ("uint8", "int32", *FLOATS):
                yield Question(path, dtype, _image(data_format, 4), mode, data_format)
            for shape in _ODD_SHAPES[data_format]:
                # Without the empty batch, which some releases take minutes to refuse.
                if len(shape) == 4 and 0 not in shape:
                    yield Question(path, "float32", shape, mode, data_format)


def _modules() -> Iterator[Question]:
    for module in sorted(MODELS):
        for data_format in DATA_FORMATS:
            shape = _image(data_format, 4)
            for path in ("ndarray", "tensor"):
                for dtype in ("uint8", "float32"):
                    yield Question(path, dtype, shape, data_format=data_format, module=module)
            yield Question("graph", "float32", shape, data_format=data_format, module=module)
        yield Question("ndarray", "float32", (4, 5, 3), module=module)


def _layers() -> Iterator[Question]:
    """Layers with the constants of a mode, called on arrays and on a model's input."""
    for path, modes in (("rescaling", ("tf", "torch")), ("normalization", ("torch",))):
        for mode in modes:
            for dtype in ("uint8", "int32", *FLOATS):
                yield Question(path, dtype, (2, 4, 5, 3), mode, "channels_last")
            yield Question(path, "float32", (2, 4, 5, 3), mode, "channels_last", "wide")
            yield Question(path, "float32", (1, 16, 16, 3), mode, "channels_last", "every-byte")


def _thin() -> Iterator[Question]:
    """Images one pixel high, wide or both."""
    for mode, data_format in _EACH:
        for height, width in ((1, 5), (4, 1), (1, 1)):
            for batch in ((), (2,), (1,)):
                image = (height, width, 3) if data_format == "channels_last" else (3, height, width)
                for path in ("ndarray", "tensor", "graph"):
                    yield Question(path, "float32", (*batch, *image), mode, data_format)


def _policies() -> Iterator[Question]:
    """Layers and functional models under policies of mixed precision."""
    paths = (("rescaling", ("tf", "torch")), ("normalization", ("torch",)), ("model", KERAS_MODES))
    for policy in ("mixed_float16", "mixed_bfloat16", "float64"):
        for path, modes in paths:
            for mode in modes:
                for dtype in ("uint8", "float32"):
                    yield Question(path, dtype, (2, 4, 5, 3), mode, "channels_last", policy=policy)


def _ends() -> Iterator[Question]:
    """Integers at the ends of their dtypes."""
    for path in ("ndarray", "tensor"):
        for mode in KERAS_MODES:
            for dtype in INTEGERS:
                if dtype != "bool":
                    yield Question(path, dtype, (4, 5, 3), mode, "channels_last", "ends")


def _of_frameworks() -> Iterator[Question]:
    """Graphs of unknown rank in other dtypes, TensorFlow's variables, and torch's tensors of several kinds."""
    for mode, data_format in _EACH:
        shape = _image(data_format, 4)
        for dtype in ("uint8", "float16"):
            yield Question("graph", dtype, shape, mode, data_format, signature="unknown")
        for dtype in ("uint8", *FLOATS):
            yield Question("tf.variable", dtype, shape, mode, data_format)
        for layout in ("leaf", "inference"):
            yield Question("tensor", "float32", shape, mode, data_format, layout=layout)
        yield Question("tensor", "float32", shape, mode, data_format, "alike", layout="expanded")


def _beside() -> Iterator[Question]:
    """What a pixel meets beside ``preprocess_input``: loaders, generators, layers, the models' own preprocessing."""
    files = "files"
    for file in FILES:
        channels = {"grey": 1, "grey-alpha": 2, "rgba": 4, "16-bit": 1, "1-bit": 1}.get(file, 3)
        for using in (None, "grayscale", "rgba"):
            yield Question("load_img", "uint8", (4, 5, channels), file=file, using=using, group=files)
        if file not in ("grey-alpha", "1-bit"):
            yield Question("directory", "uint8", (4, 5, channels), file=file, group=files)
    for using in ("smaller", "larger", "channels_first", "float64"):
        yield Question("load_img", "uint8", (4, 5, 3), file="rgb", using=using, group=files)
    for using in ("grayscale", "rgba", "smaller", "larger"):
        yield Question("directory", "uint8", (4, 5, 3), file="rgb", using=using, group=files)
    batch = (2, 4, 5, 3)
    for dtype in ("uint8", "float32"):
        for mode in KERAS_MODES:
            yield Question("generator", dtype, batch, mode, "channels_last", group=files)
        for using in ("rescale", "both"):
            yield Question("generator", dtype, batch, using=using, group=files)
        yield Question("adapted", dtype, batch, group=files)
    for name in BUILT:  # of the least size that all of them take
        for setting, shape in (("channels_last", (1, 32, 32, 3)), ("channels_first", (1, 3, 32, 32))):
            yield Question("built", "uint8", shape, module=name, image_data_format=setting, group=files)
        for using in ("imagenet", "left-out"):
            yield Question("built", "uint8", (1, 32, 32, 3), module=name, using=using, group=files)
    yield from converters()


def converters() -> Iterator[Question]:
    """What is asked of KerasHub's image converters, with the constants of a mode and without."""
    hub = "hub"
    for mode in ("tf", "torch"):
        for data_format in DATA_FORMATS:
            for dtype in ("uint8", "int32", *FLOATS):
                yield Question("converter", dtype, _image(data_format, 4), mode, data_format, group=hub)
            yield Question("converter", "uint8", _image(data_format, 3), mode, data_format, group=hub)
        for policy in ("mixed_float16", "mixed_bfloat16", "float64"):
            yield Question("converter", "uint8", (2, 4, 5, 3), mode, "channels_last", policy=policy, group=hub)
    for dtype in ("uint8", "float16", "float32", "float64"):
        for using in (None, "larger", "BLIP2ImageConverter"):
            yield Question("converter", dtype, (2, 4, 5, 3), using=using, group=hub)


def _images(path: str, dtypes: Iterable[str]) -> Iterator[Question]:
    for mode, data_format in _EACH:
        for rank in (3, 4):
            for dtype in dtypes:
                yield Question(path, dtype, _image(data_format, rank), mode, data_format)


def _sequences() -> Iterator[Question]:
    """Rows that depend on what the process did before, if an implementation lets them: settings, and other calls."""
    for floatx in ("float64", "float16", "bfloat16"):
        for mode, data_format in _EACH:
            group = "torch" if mode == "torch" else "floatx"
            for dtype in ("uint8", "int32", "float32"):
                for path in ("ndarray", "tensor"):
                    shape = _image(data_format, 4)
                    yield Question(path, dtype, shape, mode, data_format, floatx=floatx, group=group)
    for data_format in DATA_FORMATS:
        shape = _image(data_format, 4)
        for path in ("tensor", "graph"):
            for group, modes in (("main", ("caffe", "torch")), ("torch", ("torch", "caffe"))):
                for name in modes:
                    yield Question(path, "float32", shape, name, data_format, after=modes[0], group=group)
        for dtype in ("float64", "float32"):
            for path in ("graph", "tensor"):
                yield Question(path, dtype, shape, "caffe", data_format, after="graph", group="graph first")
        for path in ("tensor", "graph"):
            row = Question(path, "float32", shape, "caffe", data_format, after="float16", group="float16 first")
            yield from (replace(row, floatx="float16"), row)
