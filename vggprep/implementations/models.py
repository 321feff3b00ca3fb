"""Model files as implementations: ONNX, TFLite, SavedModel and Keras's own.

A file becomes a function on arrays: from its one image input to its output, or to a named tensor inside.
It claims its static input dtype, rank and layout. Where its height, width or batch is fixed, images are put into
frames of that size, which makes no difference to preprocessing that goes pixel by pixel and shows any other.
Imports NumPy; each runtime when a file of its kind is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation
from vggprep.implementations.adapters import framed
from vggprep.implementations.callables import NoArray, describe
from vggprep.implementations.keras import mute_native_stderr
from vggprep.spec import DataFormat, ModeName

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]

KINDS = ("onnx", "tflite", "savedmodel", "keras-model")


class ModelError(VggprepError):
    """A model file that cannot be loaded or used; the message is one line that says what to do."""


@dataclass(frozen=True)
class _Model:
    """A loaded model: its image input, and how to run it. ``tensors`` names those that may follow preprocessing."""

    shape: Shape
    dtype: str
    run: Callable[[Array], Array]
    tensors: tuple[str, ...]
    owner: Any = None  # what must live as long as ``run``


def load(
    target: str, kind: str, path: str, input_name: str | None = None, tensor_name: str | None = None
) -> Implementation:
    """The model in the file or folder ``path`` as an implementation called ``target``. Raises ``ModelError``."""
    place = Path(path)
    if kind == "savedmodel" and not place.is_dir():
        raise ModelError(f"cannot load {target}: there is no folder {path}")
    if kind != "savedmodel" and not place.is_file():
        raise ModelError(f"cannot load {target}: there is no file {path}")
    open_model = {"onnx": _onnx, "tflite": _tflite, "savedmodel": _savedmodel, "keras-model": _keras}[kind]
    try:
        with mute_runtimes():
            model = open_model(place, input_name, tensor_name)
    except ModelError as error:
        raise ModelError(f"cannot load {target}: {error}") from error
    except Exception as error:
        raise ModelError(f"cannot load {target}: {describe(error)}") from error
    data_format = _data_format(target, model.shape)
    call = _usable(target, model, data_format, tensor_name)
    return Implementation(
        target,
        call,
        data_formats=(data_format,),
        dtypes=(model.dtype,),
        ranks=(len(model.shape),),
        native_only=True,
        serial=True,
        source=functools.partial(_source, target, input_name, tensor_name),
    )


@contextlib.contextmanager
def mute_runtimes() -> Iterator[None]:
    """Discard what the runtimes print and warn of while they load a model."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with mute_native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _source(
    target: str, input_name: str | None, tensor_name: str | None, mode: ModeName, data_format: DataFormat
) -> str:
    words = [repr(target)]
    words += [f"input_name={input_name!r}"] if input_name else []
    words += [f"tensor_name={tensor_name!r}"] if tensor_name else []
    return f"from vggprep.implementations.targets import load\nload({', '.join(words)})[0].preprocess(x)"


def _data_format(target: str, shape: Shape) -> DataFormat:
    if len(shape) in (3, 4):
        if shape[-3] == 3 and shape[-1] != 3:
            return "channels_first"
        if shape[-1] in (3, None):
            return "channels_last"
    raise ModelError(f"cannot judge {target}: its input has shape {_shown(shape)}, which is not that of RGB images")


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if n is None else str(n) for n in shape) + ")"


def _usable(target: str, model: _Model, data_format: DataFormat, tensor: str | None) -> Callable[[Array], Any]:
    """The model as a function, run once on an image whose axes differ in length: an image must come out.

    A graph may transpose images before or after it preprocesses them; then its output is transposed back.
    """
    shape = (5, 7, 3) if data_format == "channels_last" else (3, 5, 7)
    x = np.ones(shape if len(model.shape) == 3 else (2, *shape), model.dtype)
    why = ""
    for transposed in (False, True):
        call = functools.partial(_framed, model, data_format, transposed)
        try:
            answer = call(x)
        except Exception as error:
            raise ModelError(f"cannot run {target} on an image of shape {x.shape}: {describe(error)}") from error
        if not isinstance(answer, NoArray):
            return call
        why = why or answer.why
    what = f"tensor {tensor!r}" if tensor else "output"
    there = f"; it has {_listed(model.tensors)}" if model.tensors else ""
    raise ModelError(
        f"cannot judge {target}: its {what} {why}; name the tensor after preprocessing with --tensor{there}"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more


# Frames -----------------------------------------------------------------------------------------------------------


def _framed(model: _Model, data_format: DataFormat, transposed: bool, x: Array) -> Array | NoArray:
    """Run the model on images of any number and size, in as many calls as its fixed sizes take."""
    images = x if x.ndim == 4 else x[None]
    images = images if data_format == "channels_last" else images.transpose(0, 2, 3, 1)
    fixed = model.shape if len(model.shape) == 4 else (1, *model.shape)
    height, width = fixed[1:3] if data_format == "channels_last" else fixed[2:]

    def run(frames: Array) -> Array | NoArray:
        batch = fixed[0] or len(frames)
        results = []
        for start in range(0, len(frames), batch):
            part = frames[start : start + batch]
            result = _run_batch(model, data_format, transposed, np.pad(part, ((0, batch - len(part)), *3 * ((0, 0),))))
            if isinstance(result, NoArray):
                return result
            results.append(result[: len(part)])
        return np.concatenate(results)

    y = framed(run, images, height, width)
    if isinstance(y, NoArray):
        return y
    y = y if data_format == "channels_last" else y.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(y if x.ndim == 4 else y[0])


def _run_batch(model: _Model, data_format: DataFormat, transposed: bool, images: Array) -> Array | NoArray:
    """Run the model on one batch of channels-last images."""
    sent = images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)
    sent = np.ascontiguousarray(sent if len(model.shape) == 4 else sent[0])
    got = np.asarray(model.run(sent))
    if transposed and got.ndim == sent.ndim:
        got = np.moveaxis(got, -3, -1) if data_format == "channels_last" else np.moveaxis(got, -1, -3)
    if got.shape != sent.shape:
        return NoArray(f"has shape {got.shape} for an input of shape {sent.shape}")
    got = got if got.ndim == 4 else got[None]
    return got if data_format == "channels_last" else got.transpose(0, 2, 3, 1)


def _choose(names: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise ModelError(f"it has no input {wanted!r}; it has {', '.join(names)}")
        return wanted
    if len(names) != 1:
        raise ModelError(f"it has {len(names)} inputs, {_listed(names)}: name the one that takes images with --input")
    return names[0]


def _find(wanted: str, names: Sequence[str]) -> str:
    """The tensor of that name, from which leading scopes and the trailing number of the output may be left out."""
    for found in (
        [n for n in names if n == wanted],
        [n for n in names if f"/{n}".removesuffix(":0").endswith(f"/{wanted}")],
    ):
        if len(found) == 1:
            return found[0]
    raise _no_tensor(wanted, names)


def _no_tensor(wanted: str, names: Sequence[str]) -> ModelError:
    near = [n for n in names if wanted.lower() in n.lower()] or names
    return ModelError(f"it has no tensor {wanted!r}; it has {_listed(near)}")


# Kinds of files ---------------------------------------------------------------------------------------------------

_ONNX_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _onnx(path: Path, input_name: str | None, tensor_name: str | None) -> _Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("it needs onnxruntime: pip install onnxruntime") from error
    content = path.read_bytes()
    names: tuple[str, ...] = ()
    used: frozenset[str] | None = None
    with contextlib.suppress(ImportError):
        content, names, used = _onnx_tapped(content, tensor_name)
    if tensor_name is not None and not names:
        raise ModelError("--tensor needs the package onnx: pip install onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = {i.name: i for i in session.get_inputs()}
    # Converters leave inputs that no node reads.
    name = _choose([n for n in inputs if used is None or n in used], input_name)
    if inputs[name].type not in _ONNX_TYPES:
        raise ModelError(f"its input has type {inputs[name].type}, which NumPy does not have")
    outputs = [o.name for o in session.get_outputs()]
    output = _find(tensor_name, names) if tensor_name else outputs[0]
    others = {
        n: np.zeros(_ones(_onnx_shape(i.shape)), _ONNX_TYPES.get(i.type, "float32"))
        for n, i in inputs.items()
        if n != name
    }

    def run(x: Array) -> Array:
        result: Array = session.run([output], {name: x, **others})[0]
        return result

    return _Model(_onnx_shape(inputs[name].shape), _ONNX_TYPES[inputs[name].type], run, names)


def _onnx_shape(shape: Sequence[Any]) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else None for n in shape)


def _ones(shape: Shape) -> tuple[int, ...]:
    return tuple(n or 1 for n in shape)


def _onnx_tapped(content: bytes, tensor_name: str | None) -> tuple[bytes, tuple[str, ...], frozenset[str]]:
    """The model with the tensor as a further output, the names of all tensors, and of those that some node reads."""
    import onnx

    model = onnx.load_from_string(content)
    names = tuple(name for node in model.graph.node for name in node.output if name)
    used = frozenset(name for node in model.graph.node for name in node.input)
    if tensor_name is None:
        return content, names, used
    tensor_name = _find(tensor_name, names)
    if tensor_name not in [o.name for o in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=tensor_name))
    return model.SerializeToString(), names, used


def _tflite(path: Path, input_name: str | None, tensor_name: str | None) -> _Model:
    interpreter_class = _tflite_interpreter()
    with open(path, "rb") as file:
        if file.read(8)[4:] != b"TFL3":  # the runtime may crash on other files
            raise ModelError("it is not a TFLite file")
    interpreter = interpreter_class(str(path), experimental_preserve_all_tensors=tensor_name is not None, num_threads=1)
    interpreter.allocate_tensors()
    inputs = {d["name"]: d for d in interpreter.get_input_details()}
    chosen = inputs[_choose(list(inputs), input_name)]
    tensors = {d["name"]: d for d in interpreter.get_tensor_details() if d["name"]}
    tapped = None if tensor_name is None else tensors[_find(tensor_name, list(tensors))]
    output = tapped if tapped is not None else interpreter.get_output_details()[0]
    current = tuple(int(n) for n in chosen["shape"])

    def run(x: Array) -> Array:
        nonlocal current
        if x.shape != current:
            interpreter.resize_tensor_input(chosen["index"], x.shape)
            interpreter.allocate_tensors()
            current = x.shape
        interpreter.set_tensor(chosen["index"], x)
        interpreter.invoke()
        y: Array = interpreter.get_tensor(output["index"])
        scale, zero = output["quantization"]
        return (y.astype(np.float32) - zero) * np.float32(scale) if scale and y.dtype.kind in "iu" else y

    shape = tuple(int(n) if n > 0 else None for n in chosen.get("shape_signature", chosen["shape"]))
    same = [n for n, d in tensors.items() if len(d["shape"]) == len(shape) and 3 in (d["shape"][-1], d["shape"][-3])]
    return _Model(shape or current, np.dtype(chosen["dtype"]).name, run, tuple(same))


def _tflite_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    except ImportError:
        try:
            import tensorflow as tf

            return tf.lite.Interpreter
        except (ImportError, AttributeError) as error:
            raise ModelError("it needs LiteRT or TensorFlow: pip install ai-edge-litert") from error


def _savedmodel(path: Path, input_name: str | None, tensor_name: str | None) -> _Model:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ModelError("it needs TensorFlow: pip install tensorflow") from error
    loaded = tf.saved_model.load(str(path))
    if not loaded.signatures:
        raise ModelError("it has no signature to call; export it with one")
    key = "serving_default" if "serving_default" in loaded.signatures else next(iter(loaded.signatures))
    signature = loaded.signatures[key]
    inputs = signature.structured_input_signature[1]
    name = _choose(list(inputs), input_name)
    spec = inputs[name]
    others = {n: tf.zeros([d or 1 for d in s.shape], s.dtype) for n, s in inputs.items() if n != name}
    names = _tensor_names(signature)
    if tensor_name is None:
        function = signature
    else:
        function = _pruned(signature, name, tensor_name)
        others = {}

    def run(x: Array) -> Array:
        tensor = tf.convert_to_tensor(x)
        result = function(**{name: tensor, **others}) if tensor_name is None else function(tensor)
        values = list(result.values()) if isinstance(result, dict) else [result]
        found: Array = values[0].numpy()
        return found

    return _Model(tuple(spec.shape.as_list()), spec.dtype.name, run, names, owner=loaded)  # it owns the variables


def _frozen(signature: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(signature)


def _tensor_names(signature: Any) -> tuple[str, ...]:
    """The tensors with the layout of the input, once all functions inside are inlined."""
    with contextlib.suppress(Exception):
        graph = _frozen(signature).graph
        found = [t for op in graph.get_operations() for t in op.outputs if op.type not in ("Const", "Placeholder")]
        return tuple(t.name for t in found if t.shape.rank in (3, 4) and 3 in (t.shape[-1], t.shape[-3]))
    return ()


def _pruned(signature: Any, input_name: str, tensor_name: str) -> Any:
    """A function from the one input to a tensor inside."""
    import tensorflow as tf

    definition = _frozen(signature).graph.as_graph_def()
    wanted = (
        _find(tensor_name.removesuffix(":0"), [n.name for n in definition.node if n.op not in ("Const", "Placeholder")])
        + ":0"
    )
    placeholders = [n.name for n in definition.node if n.op == "Placeholder"]
    fed = input_name if input_name in placeholders else placeholders[0]
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    return wrapped.prune(wrapped.graph.get_tensor_by_name(f"{fed}:0"), wrapped.graph.get_tensor_by_name(wanted))


def _keras(path: Path, input_name: str | None, tensor_name: str | None) -> _Model:
    try:
        import keras
    except ImportError as error:
        raise ModelError("it needs Keras: pip install keras tensorflow") from error
    model = keras.models.load_model(path, compile=False)
    inputs = {tensor.name: tensor for tensor in model.inputs}
    chosen = inputs[_choose(list(inputs), input_name)]
    names = tuple(operation.name for operation in getattr(model, "operations", model.layers))
    if tensor_name is not None:
        operations = {operation.name: operation for operation in getattr(model, "operations", model.layers)}
        model = keras.Model(chosen, operations[_find(tensor_name, names)].output)

    def run(x: Array) -> Array:
        tensor = keras.ops.convert_to_tensor(x, dtype=x.dtype.name)
        result = model(tensor, training=False)
        found: Array = np.asarray(keras.ops.convert_to_numpy(result[0] if isinstance(result, list) else result))
        return found

    return _Model(tuple(chosen.shape), keras.backend.standardize_dtype(chosen.dtype), run, names)
