"""The rows of an observation: what the probe asks an implementation of Keras, and with which pixels. Imports NumPy.

Made by arithmetic, without randomness. A question is named by what it asks, ``path=tensor mode=caffe dtype=uint8 ...``,
so that rows recorded years apart can be compared, and so that a recorded row needs no description beside its name.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.spec import DATA_FORMATS as FORMATS
from vggprep.spec import FLOATS, INTEGERS, MODELS

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

KERAS_MODES = ("caffe", "tf", "torch")


@dataclass(frozen=True)
class Question:
    """One row: the attributes that name it, and the process it shares with others.

    Rows of one group are asked in one process, in order; groups never share one. That is how "torch mode first,
    then caffe" is asked, and how torch-mode rows stay untouched by the caffe rows before them.
    """

    group: str
    attributes: tuple[tuple[str, Any], ...]

    @property
    def id(self) -> str:
        """``key=value`` for each attribute; values that are not text as JSON."""
        return " ".join(f"{key}={value if isinstance(value, str) else dumps(value)}" for key, value in self.attributes)

    def ask(self) -> dict[str, Any]:
        """The row as the probe wants it."""
        asked = dict(self.attributes)
        return {**asked, "id": self.id, "array": array_name(asked)}


def dumps(value: Any) -> str:
    """JSON without spaces: ids are split at them."""
    return json.dumps(value, separators=(",", ":"))


def parse(question_id: str) -> dict[str, Any]:
    """The attributes that an id names: all text but ``shape`` (a tuple), and ``null`` (None)."""
    attributes: dict[str, Any] = dict(part.split("=", 1) for part in question_id.split(" "))
    attributes["shape"] = tuple(map(int, filter(None, attributes["shape"].split("x"))))
    return {key: None if value == "null" else value for key, value in attributes.items()}


def array_name(attributes: dict[str, Any]) -> str:
    """The name of the array that a question is asked with."""
    return f"{attributes['pixels']}:{attributes['dtype']}:{attributes['shape']}"


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
    if kind == "every-byte":  # odd multipliers visit every byte once
        n = np.arange(256)
        return np.stack([n, n * 85 + 7, n * 171 + 3], axis=-1).reshape(1, 16, 16, 3).astype(np.float64) % 256
    raise ValueError(kind)


def array(kind: str, dtype: str, shape: Shape) -> Array:
    """The array that a question is asked with. bfloat16 comes as float32 holding bfloat16 values."""
    values = pixels(kind, shape)
    if dtype == "bool":
        return values > 127
    if dtype == "int8":
        return (values % 128).astype(np.int8)
    if dtype == "bfloat16":
        return truncate_to_bfloat16(values)
    return values.astype(dtype)


def truncate_to_bfloat16(values: Array) -> Array:
    """Values as float32 of which only the upper half of the bits is used; NaN stays NaN."""
    bits = values.astype("<f4").view("<u4") & np.uint32(0xFFFF0000)
    return bits.view("<f4")


def encode(kind: str, dtype: str, shape: Shape) -> dict[str, Any]:
    """The array for the probe."""
    x = array(kind, dtype, shape)
    if dtype == "bfloat16":
        data = (np.ascontiguousarray(x).view("<u4") >> 16).astype("<u2").tobytes()
    elif dtype == "longdouble":
        data = x.astype("<f8").tobytes()
    else:
        data = x.astype(x.dtype.newbyteorder("<")).tobytes()
    return {"dtype": dtype, "shape": shape, "data": base64.b64encode(zlib.compress(data)).decode("ascii")}


def encode_all(asked: list[Question]) -> dict[str, dict[str, Any]]:
    """Every array that the questions need, by name."""
    arrays = {}
    for question in asked:
        attributes = parse(question.id)
        name = array_name(dict(question.attributes))
        if name not in arrays:
            arrays[name] = encode(attributes["pixels"], attributes["dtype"], attributes["shape"])
    return arrays


def text(shape: Shape) -> str:
    """A shape in an id: ``2x4x5x3``."""
    return "x".join(map(str, shape))


def image(data_format: str, rank: int) -> Shape:
    """The shape that most rows use: no two sides alike, and none but the channels 3."""
    shape: Shape = (4, 5, 3) if data_format == "channels_last" else (3, 4, 5)
    return (2, *shape) if rank == 4 else shape


# Where an axis could be taken for the channels, another number of channels, or another rank.
ODD_SHAPES: dict[str, tuple[Shape, ...]] = {
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


_ODD_MODES: tuple[Any, ...] = ("unknown", "identity", "TF", "Caffe", "", None, ["caffe"], 1)
_ODD_FORMATS: tuple[Any, ...] = ("unknown", "CHANNELS_LAST", "NHWC", "", ["channels_last"], 1)


def questions() -> list[Question]:
    """Every row, in the order asked."""
    # What compiles and what may keep something for later rows comes last.
    rows = [*_defaults(), *_arrays(), *_tensors("tensor"), *_variables(), *_graphs(), *_models(), *_modules()]
    rows += [*_tensors("xla"), *_data()]
    found: dict[str, Question] = {}
    for group in ("main", "torch"):
        for attributes in rows:
            torch = attributes.get("mode") == "torch" or MODELS.get(str(attributes.get("module"))) == "torch"
            if torch == (group == "torch"):
                question = Question(group, tuple(attributes.items()))
                found.setdefault(question.id, question)
    for attributes in _sequences():
        question = Question(attributes.pop("group"), tuple(attributes.items()))
        found.setdefault(question.id, question)
    return list(found.values())


def _row(
    path: str, mode: Any, data_format: Any, dtype: str, shape: Shape, kind: str = "bytes", **more: Any
) -> dict[str, Any]:
    named = {"path": path, "mode": mode, "data_format": data_format}
    return {**named, "dtype": dtype, "pixels": kind, "shape": text(shape), **more}


def _each() -> Iterator[tuple[str, str]]:
    for mode in KERAS_MODES:
        for data_format in FORMATS:
            yield mode, data_format


def _arrays() -> Iterator[dict[str, Any]]:
    for mode, data_format in _each():
        small, batch = image(data_format, 3), image(data_format, 4)
        for shape in (small, batch):
            for dtype in (*INTEGERS, *FLOATS, "longdouble"):
                yield _row("ndarray", mode, data_format, dtype, shape)
            for dtype in (*FLOATS, "longdouble"):
                yield _row("ndarray", mode, data_format, dtype, shape, "wide")
                yield _row("ndarray", mode, data_format, dtype, shape, "nonfinite")
            yield _row("ndarray", mode, data_format, "complex64", shape)
        for shape in ODD_SHAPES[data_format]:
            for dtype in ("uint8", "float32"):
                yield _row("ndarray", mode, data_format, dtype, shape)
        for dtype in ("uint8", "float16", "float32", "float64"):
            for layout in ("F", "reversed", "sliced", "unaligned", "read-only", "big-endian"):
                yield _row("ndarray", mode, data_format, dtype, batch, layout=layout)
            yield _row("ndarray", mode, data_format, dtype, batch, "alike", layout="broadcast")
        for layout in ("list", "object", "text"):
            yield _row("ndarray", mode, data_format, "float32", small, layout=layout)
        yield _row("ndarray", mode, data_format, "float32", (), layout="scalar")
    for mode in KERAS_MODES:
        for data_format in FORMATS:
            for path in ("ndarray", "tensor", "graph"):
                for rank in (3, 4):
                    # data_format=None: what the setting says
                    yield _row(path, mode, None, "float32", image(data_format, rank), image_data_format=data_format)
        yield _row("ndarray", mode, "channels_last", "uint8", (1, 16, 16, 3), "every-byte")
        for dtype in ("float16", "float32", "float64"):
            yield _row("ndarray", mode, "channels_last", dtype, (1, 16, 16, 3), "every-byte")
    for path in ("ndarray", "tensor", "graph"):
        for dtype in ("float32", "uint8"):
            shape = image("channels_last", 4)
            for odd in _ODD_MODES:
                yield _row(path, odd, "channels_last", dtype, shape)
            for odd in _ODD_FORMATS:
                for mode in ("caffe", "tf"):
                    yield _row(path, mode, odd, dtype, shape)


def _defaults() -> Iterator[dict[str, Any]]:
    """Called with nothing but the images."""
    for path in ("ndarray", "tensor"):
        for dtype in ("uint8", "float32"):
            row = _row(path, None, None, dtype, image("channels_last", 4))
            yield {key: value for key, value in row.items() if key not in ("mode", "data_format")}


def _tensors(path: str) -> Iterator[dict[str, Any]]:
    """Eager tensors of every dtype; XLA, where each row is compiled, of fewer."""
    eager = path == "tensor"
    for mode, data_format in _each():
        for rank in (3, 4):
            shape = image(data_format, rank)
            dtypes = (*INTEGERS, *FLOATS, "complex64") if eager else ("uint8", "int32", *FLOATS)
            for dtype in dtypes:
                yield _row(path, mode, data_format, dtype, shape)
            for dtype in FLOATS if eager else ("float32",):
                yield _row(path, mode, data_format, dtype, shape, "wide")
            if eager:
                for dtype in FLOATS:
                    yield _row(path, mode, data_format, dtype, shape, "nonfinite")
        for shape in ODD_SHAPES[data_format] if eager else ODD_SHAPES[data_format][:6]:
            for dtype in ("uint8", "float32") if eager else ("float32",):
                yield _row(path, mode, data_format, dtype, shape)
    for mode in KERAS_MODES:
        yield _row(path, mode, "channels_last", "float32", (1, 16, 16, 3), "every-byte")


def _variables() -> Iterator[dict[str, Any]]:
    for mode, data_format in _each():
        for rank in (3, 4):
            for dtype in ("bool", "uint8", "int32", *FLOATS):
                yield _row("variable", mode, data_format, dtype, image(data_format, rank))


def _graphs() -> Iterator[dict[str, Any]]:
    for mode, data_format in _each():
        for rank in (3, 4):
            shape = image(data_format, rank)
            for dtype in ("bool", "uint8", "int32", *FLOATS):
                yield _row("graph", mode, data_format, dtype, shape)
            yield _row("graph", mode, data_format, "float32", shape, "wide")
            yield _row("graph", mode, data_format, "float32", shape, signature="channels")
            yield _row("graph", mode, data_format, "float32", shape, signature="unknown")
        for shape in ODD_SHAPES[data_format]:
            if 0 not in shape:
                yield _row("graph", mode, data_format, "float32", shape)
    for mode in KERAS_MODES:
        yield _row("graph", mode, "channels_last", "float32", (1, 16, 16, 3), "every-byte")


def _models() -> Iterator[dict[str, Any]]:
    for mode, data_format in _each():
        for path in ("model", "lambda"):
            for dtype in ("uint8", "int32", *FLOATS):
                yield _row(path, mode, data_format, dtype, image(data_format, 4))
            for shape in ODD_SHAPES[data_format]:
                # Without the empty batch, which some releases take minutes to refuse.
                if len(shape) == 4 and 0 not in shape:
                    yield _row(path, mode, data_format, "float32", shape)


def _modules() -> Iterator[dict[str, Any]]:
    for module in sorted(MODELS):
        for data_format in FORMATS:
            for path in ("ndarray", "tensor"):
                for dtype in ("uint8", "float32"):
                    yield _module_row(path, module, data_format, dtype, image(data_format, 4))
            yield _module_row("graph", module, data_format, "float32", image(data_format, 4))
        row = _module_row("ndarray", module, None, "float32", (4, 5, 3))
        del row["data_format"]
        yield row


def _module_row(path: str, module: str, data_format: Any, dtype: str, shape: Shape) -> dict[str, Any]:
    row = _row(path, None, data_format, dtype, shape)
    del row["mode"]
    return {"module": module, **row}


def _data() -> Iterator[dict[str, Any]]:
    for mode, data_format in _each():
        for rank in (3, 4):
            for dtype in ("uint8", "int32", "float16", "float32"):
                yield _row("tf.data", mode, data_format, dtype, image(data_format, rank))


def _sequences() -> Iterator[dict[str, Any]]:
    """Rows that hang on what the process did before, if an implementation lets them: settings, and other calls."""
    for floatx in ("float64", "float16", "bfloat16"):
        for mode, data_format in _each():
            for dtype in ("uint8", "int32", "float32"):
                for path in ("ndarray", "tensor"):
                    group = "torch" if mode == "torch" else "floatx"
                    yield {"group": group, **_row(path, mode, data_format, dtype, image(data_format, 4), floatx=floatx)}
    for data_format in FORMATS:
        shape = image(data_format, 4)
        for path in ("tensor", "graph"):
            for group, first, then in (("main", "caffe", "torch"), ("torch", "torch", "caffe")):
                for mode in (first, then):
                    yield {"group": group, **_row(path, mode, data_format, "float32", shape, after=first)}
        for dtype in ("float64", "float32"):
            for path in ("graph", "tensor"):
                yield {"group": "graph first", **_row(path, "caffe", data_format, dtype, shape, after="graph")}
        for path in ("tensor", "graph"):
            for setting in ({"floatx": "float16"}, {}):
                row = _row(path, "caffe", data_format, "float32", shape, **setting, after="float16")
                yield {"group": "float16 first", **row}


def mode_of(attributes: dict[str, Any]) -> Any:
    """The mode that a row asks for, by name or by module; identity has no name that Keras knows."""
    module = attributes.get("module")
    if module is not None:
        return MODELS[module]
    mode = attributes.get("mode", "caffe")
    return mode if mode in KERAS_MODES else None
