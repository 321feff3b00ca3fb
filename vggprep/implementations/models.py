"""Model files as implementations: ONNX, TFLite, SavedModel and Keras's own.

A file becomes a function on arrays: from its one image input to its output, or to a named tensor inside.
It claims its static input dtype, rank and layout. Where its height, width or batch is fixed, images are put into
frames of that size, which makes no difference to preprocessing that goes pixel by pixel and shows any other; where it
crops or resizes, into frames of the size that comes out. Other inputs that matter are refused.
Imports NumPy; each runtime when a file of its kind is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.files import printable
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

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))  # files name tensors, and runtimes quote them


@dataclass(frozen=True)
class _Graph:
    """What each operation reads and makes, in the order in which they run, and the shapes that are known."""

    nodes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)

    def needed(self, name: str) -> set[str]:
        """What a tensor depends on, itself included."""
        found = {name}
        for reads, makes in reversed(self.nodes):
            if not found.isdisjoint(makes):
                found.update(reads)
        return found

    def taps(self, image: str, rank: int) -> tuple[str, ...]:
        """The tensors that depend on the image: the likeliest to follow preprocessing, then all in their order.

        The likeliest is the last that has the form of images, before one of their rank that has not.
        """
        made_from: dict[str, tuple[str, ...]] = {image: ()}
        for reads, makes in self.nodes:
            if not made_from.keys().isdisjoint(reads):
                made_from.update(dict.fromkeys(filter(None, makes), reads))
        found = list(made_from)[1:]
        likeliest: list[str] = []
        for name in found:
            shape = self.shapes.get(name)
            if shape is None or len(shape) != max(rank, 3) or 1 in (shape[-1], shape[-3]):
                continue  # a single channel, or a size
            if not _is_of_images(shape):
                break
            likeliest = [name]
            for other in made_from[name]:  # one that is only transposed is the same
                before = self.shapes.get(other)
                if before is not None and _is_of_images(before) and (before[-1] == 3) != (shape[-1] == 3):
                    likeliest = [other] if other != image else likeliest
        return tuple(dict.fromkeys([*likeliest, *found]))


def _is_of_images(shape: Shape | None) -> bool:
    return shape is not None and len(shape) in (3, 4) and 3 in (shape[-1], shape[-3])


def _refuse_other_inputs(graph: _Graph, others: Iterable[str], output: str) -> None:
    """Nothing stands for another input that matters; those that do not matter may be fed anything."""
    others = list(others)
    needed = graph.needed(output) if graph.nodes else set(others)
    if wanted := [name for name in others if name in needed]:
        raise ModelError(
            f"its output depends on {'further inputs' if len(wanted) > 1 else 'a further input'}, {_listed(wanted)}, "
            "that nobody says what to give; make it a constant of the model, or name with --tensor one that does not "
            "depend on it"
        )


@dataclass(frozen=True)
class _Window:
    """Where in the images that go in those lie that come out: offsets, and both sizes, height first."""

    at: tuple[int, int]
    size: tuple[int, int]
    whole: tuple[int, int]

    def filled(self, images: Array) -> Array:
        """Channels-last images, put where they come out."""
        (top, left), (height, width) = self.at, self.size
        frames = np.zeros((len(images), *self.whole, 3), images.dtype)
        frames[:, top : top + height, left : left + width] = images
        return frames


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
        call = functools.partial(_framed, model, data_format, transposed, None)
        try:
            answer = call(x)
            window = _window(model, data_format, transposed) if isinstance(answer, NoArray) else None
        except Exception as error:
            raise ModelError(f"cannot run {target} on an image of shape {x.shape}: {describe(error)}") from error
        if not isinstance(answer, NoArray):
            return call
        if window is not None:
            return functools.partial(_framed, model, data_format, transposed, window)
        why = why or answer.why
    what = f"tensor {tensor!r}" if tensor else "output"
    there = f"; it has {_listed(model.tensors)}" if model.tensors else ""
    raise ModelError(
        f"cannot judge {target}: its {what} {why}; name the tensor after preprocessing with --tensor{there}"
    )


def _window(model: _Model, data_format: DataFormat, transposed: bool) -> _Window | None:
    """Where images come out in another size than they go in: cropped, or resized to the size that they get here.

    ``None`` if neither explains what comes out.
    """
    batch, *sides = _channels_last(model, data_format)
    height, width = (side or 64 for side in sides)
    got = _through(model, data_format, transposed, np.ones((batch or 1, height, width, 3), model.dtype))
    if got is None or got.shape[0] != (batch or 1) or got.shape[-1] != 3 or not got.size:
        return None
    size = got.shape[1:3]
    whole = sides[0] or size[0], sides[1] or size[1]
    spare = [outer - inner for outer, inner in zip(whole, size, strict=True)]
    if min(spare) < 0:
        return None
    through = functools.partial(_through, model, data_format, transposed)
    frames = np.zeros((batch or 1, *whole, 3), model.dtype)
    empty, full = through(frames), through(frames + np.ones((), model.dtype))
    if empty is None or full is None or not empty.shape == full.shape == got.shape:
        return None
    at = []
    for axis, n in enumerate(spare):
        # As many first rows as lie outside: those of them that come out are cropped on the other side.
        marked = through(
            np.where(np.arange(whole[axis]).reshape(-1, *(2 - axis) * [1]) < n, np.ones_like(frames), frames)
        )
        changed = np.zeros(0) if marked is None else (marked != empty).any(axis=(0, 2 - axis, 3))
        at.append(n - int(changed.sum()))
    found = _Window((at[0], at[1]), (size[0], size[1]), whole)
    inside = through(found.filled(np.ones_like(got, model.dtype)))
    # What is outside does not matter, and everything inside does.
    return found if inside is not None and np.array_equal(inside, full) and bool((inside != empty).all()) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more


# Frames -----------------------------------------------------------------------------------------------------------


def _channels_last(model: _Model, data_format: DataFormat) -> tuple[int | None, int | None, int | None]:
    """The batch, height and width that a model fixes."""
    batch, *rest = model.shape if len(model.shape) == 4 else (1, *model.shape)
    height, width = rest[:2] if data_format == "channels_last" else rest[1:]
    return batch, height, width


def _framed(
    model: _Model, data_format: DataFormat, transposed: bool, window: _Window | None, x: Array
) -> Array | NoArray:
    """Run the model on images of any number and size, in as many calls as its fixed sizes take."""
    images = x if x.ndim == 4 else x[None]
    images = images if data_format == "channels_last" else images.transpose(0, 2, 3, 1)
    fixed, height, width = _channels_last(model, data_format)
    height, width = (height, width) if window is None else window.size

    def run(frames: Array) -> Array | NoArray:
        batch = fixed or len(frames)
        results = []
        for start in range(0, len(frames), batch):
            part = frames[start : start + batch]
            part = np.pad(part, ((0, batch - len(part)), *3 * ((0, 0),)))
            result = _through(model, data_format, transposed, part if window is None else window.filled(part))
            if result is None or result.shape != part.shape:
                return NoArray(_unlike(model, data_format, part))
            results.append(result[: len(frames) - start])
        return np.concatenate(results)

    y = framed(run, images, height, width)
    if isinstance(y, NoArray):
        return y
    y = y if data_format == "channels_last" else y.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(y if x.ndim == 4 else y[0])


def _sent(model: _Model, data_format: DataFormat, images: Array) -> Array:
    """Channels-last images as the model takes them."""
    sent = images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(sent if len(model.shape) == 4 else sent[0])


def _through(model: _Model, data_format: DataFormat, transposed: bool, images: Array) -> Array | None:
    """What comes out for channels-last images, as a channels-last batch; ``None`` if it has another rank."""
    sent = _sent(model, data_format, images)
    got = np.asarray(model.run(sent))
    if got.ndim != sent.ndim:
        return None
    if transposed:
        got = np.moveaxis(got, -3, -1) if data_format == "channels_last" else np.moveaxis(got, -1, -3)
    got = got if got.ndim == 4 else got[None]
    return got if data_format == "channels_last" else got.transpose(0, 2, 3, 1)


def _unlike(model: _Model, data_format: DataFormat, images: Array) -> str:
    """Why what comes out cannot be judged."""
    sent = _sent(model, data_format, images)
    got = np.asarray(model.run(sent))
    why = f"has shape {got.shape} for an input of shape {sent.shape}"
    if _is_of_images(got.shape) and got.ndim == sent.ndim:
        why += ", so images are resized inside, and not cropped to that size"
    return why


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
    near = [n for n in names if wanted.lower() in n.lower()] or names
    raise ModelError(f"it has no tensor {wanted!r}; it has {_listed(near)}")


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
    graph = _Graph()
    with contextlib.suppress(ImportError):
        content, graph = _onnx_tapped(content, tensor_name)
    if tensor_name is not None and not graph.nodes:
        raise ModelError("--tensor needs the package onnx: pip install onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = {i.name: i for i in session.get_inputs()}
    # Converters leave inputs that no node reads.
    used = {name for reads, _ in graph.nodes for name in reads} or set(inputs)
    name = _choose([n for n in inputs if n in used], input_name)
    if inputs[name].type not in _ONNX_TYPES:
        raise ModelError(f"its input has type {inputs[name].type}, which NumPy does not have")
    output = _find(tensor_name, _made(graph)) if tensor_name else session.get_outputs()[0].name
    others = {n: i for n, i in inputs.items() if n != name}
    _refuse_other_inputs(graph, others, output)
    sizes = {n: [size or 1 for size in _onnx_shape(i.shape)] for n, i in others.items()}
    unread = {n: np.zeros(sizes[n], _ONNX_TYPES.get(i.type, "float32")) for n, i in others.items()}

    def run(x: Array) -> Array:
        result: Array = session.run([output], {name: x, **unread})[0]
        return result

    return _Model(
        _onnx_shape(inputs[name].shape), _ONNX_TYPES[inputs[name].type], run, graph.taps(name, len(inputs[name].shape))
    )


def _made(graph: _Graph) -> list[str]:
    return [name for _, makes in graph.nodes for name in makes if name]


def _onnx_shape(shape: Sequence[Any]) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else None for n in shape)


def _onnx_tapped(content: bytes, tensor_name: str | None) -> tuple[bytes, _Graph]:
    """The model with the tensor as a further output, and its graph."""
    import onnx

    model = onnx.load_from_string(content)
    shapes: dict[str, Shape] = {}
    with contextlib.suppress(Exception):  # shapes are for a list in a message
        inferred = onnx.shape_inference.infer_shapes(model).graph
        for info in (*inferred.value_info, *inferred.output):
            if info.type.tensor_type.HasField("shape"):
                shapes[info.name] = tuple(d.dim_value or None for d in info.type.tensor_type.shape.dim)
    graph = _Graph(tuple((tuple(_onnx_reads(n)), tuple(n.output)) for n in model.graph.node), shapes)
    if tensor_name is None:
        return content, graph
    tensor_name = _find(tensor_name, _made(graph))
    if tensor_name not in [o.name for o in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=tensor_name))
    return model.SerializeToString(), graph


def _onnx_reads(node: Any) -> Iterator[str]:
    """What a node reads, branches and loop bodies included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for other in inner.node:
                yield from _onnx_reads(other)


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
    graph = _tflite_graph(interpreter)
    tapped = None if tensor_name is None else tensors[_find(tensor_name, list(tensors))]
    output = tapped if tapped is not None else interpreter.get_output_details()[0]
    _refuse_other_inputs(graph, [n for n in inputs if n != chosen["name"]], output["name"])
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
    return _Model(shape or current, np.dtype(chosen["dtype"]).name, run, graph.taps(chosen["name"], len(current)))


def _tflite_graph(interpreter: Any) -> _Graph:
    """The operations of a TFLite file; none where the runtime does not tell them."""
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    names = {index: d["name"] for index, d in details.items()}
    try:
        found = [
            [tuple(names[i] for i in op[key] if i in names) for key in ("inputs", "outputs")]
            for op in interpreter._get_ops_details()
        ]
    except (AttributeError, KeyError):
        return _Graph()
    shapes = {d["name"]: tuple(int(n) for n in d["shape"]) for d in details.values()}
    return _Graph(tuple((reads, makes) for reads, makes in found), shapes)


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
    constant = _frozen(signature)
    frozen = constant.graph
    holders = [op.name for op in frozen.get_operations() if op.type == "Placeholder"]
    # Where placeholders have other names than the inputs, they are in the order of the names.
    fed = dict(zip(sorted(inputs), holders, strict=False)) | {n: n for n in inputs if n in holders}
    graph = _Graph(
        tuple(
            (tuple(t.name for t in op.inputs), tuple(t.name for t in op.outputs))
            for op in frozen.get_operations()
            if op.type not in ("Const", "Placeholder")
        ),
        {t.name: tuple(t.shape) for op in frozen.get_operations() for t in op.outputs if t.shape.rank is not None},
    )
    if tensor_name is None:
        function = signature
        output = constant.outputs[0].name
    else:
        output = _find(tensor_name.removesuffix(":0"), [n.removesuffix(":0") for n in _made(graph)]) + ":0"
        function = _pruned(frozen, f"{fed[name]}:0", output)
    back = {f"{holder}:0": n for n, holder in fed.items() if n != name}
    _refuse_other_inputs(graph, back, output)
    others = {n: tf.zeros([d or 1 for d in s.shape], s.dtype) for n, s in inputs.items() if n != name}

    def run(x: Array) -> Array:
        tensor = tf.convert_to_tensor(x)
        result = function(**{name: tensor, **others}) if tensor_name is None else function(tensor)
        values = list(result.values()) if isinstance(result, dict) else [result]
        found: Array = values[0].numpy()
        return found

    taps = graph.taps(f"{fed[name]}:0", len(spec.shape))
    return _Model(tuple(spec.shape.as_list()), spec.dtype.name, run, taps, owner=loaded)  # it owns the variables


def _frozen(signature: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(signature)


def _pruned(frozen: Any, fed: str, wanted: str) -> Any:
    """A function from one input to a tensor inside."""
    import tensorflow as tf

    definition = frozen.as_graph_def()
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    return wrapped.prune(wrapped.graph.get_tensor_by_name(fed), wrapped.graph.get_tensor_by_name(wanted))


def _keras(path: Path, input_name: str | None, tensor_name: str | None) -> _Model:
    try:
        import keras
    except ImportError as error:
        raise ModelError("it needs Keras: pip install keras tensorflow") from error
    model = keras.models.load_model(path, compile=False)
    inputs = {tensor.name: tensor for tensor in model.inputs}
    chosen = inputs[_choose(list(inputs), input_name)]
    operations = {operation.name: operation for operation in getattr(model, "operations", model.layers)}
    graph = _keras_graph(operations)
    output = _keras_maker(model.outputs[0]) if tensor_name is None else _find(tensor_name, list(operations))
    _refuse_other_inputs(graph, [_keras_maker(t) for t in inputs.values() if t is not chosen], output)
    if tensor_name is not None or len(inputs) > 1:
        model = keras.Model(chosen, operations[output].output)

    def run(x: Array) -> Array:
        tensor = keras.ops.convert_to_tensor(x, dtype=x.dtype.name)
        result = model(tensor, training=False)
        found: Array = np.asarray(keras.ops.convert_to_numpy(result[0] if isinstance(result, list) else result))
        return found

    return _Model(
        tuple(chosen.shape),
        keras.backend.standardize_dtype(chosen.dtype),
        run,
        graph.taps(_keras_maker(chosen), len(chosen.shape)),
    )


def _keras_maker(tensor: Any) -> str:
    """The operation that a symbolic tensor comes from."""
    name: str = tensor._keras_history.operation.name
    return name


def _keras_graph(operations: Mapping[str, Any]) -> _Graph:
    """The operations of a Keras model, each under its name, as is what it makes."""
    nodes, shapes = [], {}
    for name, operation in operations.items():
        reads = [_keras_maker(t) for node in operation._inbound_nodes for t in node.input_tensors]
        if reads:
            nodes.append((tuple(reads), (name,)))
        with contextlib.suppress(Exception):  # more than one output
            shapes[name] = tuple(operation.output.shape)
    return _Graph(tuple(nodes), shapes)
