"""The implementations compared: one small function each, from a task to a call on arrays.

Each takes and returns a NumPy array in the task's data format, so that conversions to and from a library's own tensors
are part of its time (most of them copy nothing). A call takes the input and ``out``, which is None where the result is
to be a new array. Libraries are imported by the function that needs them: where one is missing, ``UnavailableError``
gives the reason, and its rows are skipped.

The code of a peer is what its documentation or its users would write, not what would be fastest.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.tasks import MODES, Array, Task
from vggprep import deprocess_input, preprocess_input
from vggprep.functions import Backend
from vggprep.implementations import Implementation
from vggprep.implementations import keras as keras_paths
from vggprep.implementations.callables import keywords
from vggprep.kernels.job import split
from vggprep.spec import DATA_FORMATS, DIRECTIONS, DataFormat, Direction, ModeName

Call = Callable[[Array, Array | None], Any]
Triple = tuple[float, float, float]

# y = (x / scale - mean) / std, in the order of the result's channels.
CONSTANTS: dict[ModeName, tuple[float, Triple, Triple]] = {
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class UnavailableError(Exception):
    """A peer cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Peer:
    """An implementation that can do some of the tasks.

    ``distribution`` is its name on PyPI. ``out``: it can write to the caller's array. ``threads``: the number can be
    set at any time (``"start"``: only when it starts, so that it has one number per session). ``most_images`` keeps
    the slow ones out of tasks that would take minutes. A peer that is ``on_gpu`` may return a tensor on the GPU.
    """

    name: str
    build: Callable[[Task], Call]
    distribution: str = "numpy"
    directions: tuple[Direction, ...] = ("forward",)
    modes: tuple[ModeName, ...] = MODES
    data_formats: tuple[DataFormat, ...] = DATA_FORMATS
    dtypes: tuple[str, ...] = ("uint8", "float32")
    out: bool = False
    threads: bool | str = False
    most_images: int = 1 << 30
    on_gpu: bool = False

    def can(self, task: Task) -> bool:
        """Whether it can do the task."""
        return (
            task.direction in self.directions
            and task.mode in self.modes
            and task.data_format in self.data_formats
            and task.dtype in self.dtypes
            and (self.out or task.output == "fresh")
            and (bool(self.threads) or task.threads == 1)
            and task.images <= self.most_images
        )


def load(module: str) -> Any:
    """Import a library; an error that it raises is the reason why its rows are skipped."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # a broken install raises anything
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
        raise UnavailableError(f"cannot import {module} ({reason})") from error


def along(values: tuple[float, ...] | Array, task: Task, dtype: Any = np.float32) -> Array:
    """One value for each channel, in a shape that broadcasts over the task's arrays."""
    shape = (3,) if task.data_format == "channels_last" else (3, 1, 1)
    return np.asarray(values).astype(dtype).reshape(shape)


def reverse(x: Any, task: Task) -> Any:
    """The channels backwards: RGB to BGR and back."""
    return x[..., ::-1] if task.data_format == "channels_last" else x[:, ::-1]


def pixel_units(mode: ModeName) -> tuple[Array, Array]:
    """Mean and standard deviation of pixels 0..255, for libraries that know only these two."""
    scale, mean, std = CONSTANTS[mode]
    return np.array(mean) * scale, np.array(std) * scale


def formula(
    task: Task,
    to_float: Callable[[Any], Any],
    constant: Callable[[Array], Any],
    flip: Callable[[Any], Any] | None = None,
) -> Callable[[Any], Any]:
    """The task's formula for any library's arrays; the inverse is left unrounded.

    ``to_float`` casts to float32, ``constant`` makes an array the library's, ``flip`` reverses the channels.
    """
    scale, mean, std = CONSTANTS[task.mode]
    means, stds = constant(along(mean, task)), constant(along(std, task))
    backwards = flip or functools.partial(reverse, task=task)

    def forward(t: Any) -> Any:
        if task.mode == "caffe":
            return to_float(backwards(t)) - means
        if task.mode == "tf":
            return to_float(t) / scale - 1.0
        return (to_float(t) / scale - means) / stds

    def inverse(t: Any) -> Any:
        if task.mode == "caffe":
            return backwards(t + means)
        if task.mode == "tf":
            return (t + 1.0) * scale
        return (t * stds + means) * scale

    return forward if task.direction == "forward" else inverse


# Ours and the yardsticks ------------------------------------------------------------------------------------------


def _ours(backend: Backend, task: Task) -> Call:
    function = preprocess_input if task.direction == "forward" else deprocess_input
    if backend == "numba":
        load("numba")

    def call(x: Array, out: Array | None) -> Array:
        return function(x, task.data_format, task.mode, out=out, threads=task.threads, backend=backend)

    return call


def _compiled() -> Any:
    """The numba kernels; None without numba."""
    try:
        load("numba")
    except UnavailableError:
        return None
    return load("vggprep.kernels.compiled")


def _streams(task: Task) -> bool:
    return bool(task.elements * task.result_dtype.itemsize >= _compiled().STREAMING_BYTES)


def limit_label(task: Task) -> str:
    """What the limit measures here."""
    if _compiled() is None:
        return "limit: np.copyto"
    return f"limit: convert only, stores {'past' if _streams(task) else 'to'} the cache"


def limit(task: Task) -> Call:
    """The same bytes, only converted, into an existing array: what the memory bus allows."""
    compiled = _compiled()
    streaming = compiled is not None and _streams(task)

    def call(x: Array, out: Array | None) -> Array:
        assert out is not None
        if compiled is None:
            np.copyto(out, x, casting="unsafe")
            return out
        flat_x, flat_out = x.reshape(-1), out.reshape(-1)

        def fill(part: slice) -> None:
            start, length = part.start, part.stop - part.start
            steps = (None, None, None, (None, None), None)
            compiled._strips(flat_x, flat_out, start, 0, start, 0, 1, length, *steps, streaming)

        split(fill, x.size, task.threads)
        return out

    return call


def _own(implementation: Implementation, task: Task) -> Call:
    function = implementation.preprocess if task.direction == "forward" else implementation.deprocess
    assert function is not None
    words = keywords(function, task.mode, task.data_format)

    def call(x: Array, out: Array | None) -> Any:
        return function(x, **words)

    return call


def own_peers(target: str) -> list[Peer]:
    """The implementations of ``--implementation TARGET``. Raises ``vggprep.implementations.targets.TargetError``."""
    from vggprep.implementations.targets import load as load_target

    found = []
    for own in load_target(target):
        functions = {"forward": own.preprocess, "inverse": own.deprocess}
        directions = tuple(direction for direction in DIRECTIONS if functions[direction] is not None)
        modes = tuple(mode for mode in MODES if own.modes is None or mode in own.modes)
        formats = tuple(own.data_formats or DATA_FORMATS)
        found.append(Peer(f"yours: {own.name}", functools.partial(_own, own), "numpy", directions, modes, formats))
    return found


# Keras ------------------------------------------------------------------------------------------------------------

_started_with: dict[str, int] = {}


def _start(library: str, task: Task) -> None:
    """Note how many threads a library starts with that cannot change it later."""
    if _started_with.setdefault(library, task.threads) != task.threads:
        raise UnavailableError(
            f"{library} fixes its threads when it starts, here {_started_with[library]}; use --threads {task.threads}"
        )


def tensorflow(task: Task) -> Any:
    """TensorFlow with the task's number of threads."""
    _start("TensorFlow", task)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    first = "tensorflow" not in sys.modules
    tf = load("tensorflow")
    if first:
        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def _keras(path: str, task: Task, cast: bool = False) -> Call:
    """One of Keras's paths, as ``vggprep check keras`` judges it.

    ``cast``: after a cast in NumPy; given bytes, Keras's tensors stay bytes and wrap around.
    """
    try:
        tf = None if path == "ndarray" else tensorflow(task)
        (implementation,) = keras_paths.load("keras", path)
    except keras_paths.UnavailableError as error:
        raise UnavailableError(str(error)) from error
    own = _own(implementation, task)
    call: Call = (lambda x, out: own(x.astype(np.float32), out)) if cast else own
    return call if tf is None else _tf_on_cpu(tf, call)


def _tf_on_cpu(tf: Any, call: Call) -> Call:
    """On the CPU even where TensorFlow has a GPU."""

    def on_cpu(x: Array, out: Array | None) -> Any:
        with tf.device("CPU:0"):
            return call(x, out)

    return on_cpu


def keras_rescaling(task: Task) -> Call:
    """The layer for tf; torch's deviation folded into scale and offset."""
    tf = tensorflow(task)
    keras = load("keras")
    mean, std = pixel_units(task.mode)
    if task.mode == "tf":
        layer = keras.layers.Rescaling(1 / 127.5, offset=-1)
    else:
        layer = keras.layers.Rescaling((1 / std).tolist(), offset=(-mean / std).tolist())
    return _tf_on_cpu(tf, lambda x, out: layer(x).numpy())


def keras_normalization(task: Task) -> Call:
    """The layer with given mean and variance."""
    tf = tensorflow(task)
    keras = load("keras")
    mean, std = pixel_units(task.mode)
    axis = -1 if task.data_format == "channels_last" else 1
    layer = keras.layers.Normalization(axis=axis, mean=mean.tolist(), variance=(std**2).tolist())
    swap = task.mode == "caffe"
    return _tf_on_cpu(tf, lambda x, out: layer(reverse(x, task) if swap else x).numpy())


# torch and its family ---------------------------------------------------------------------------------------------


def torch_(task: Task) -> Any:
    """Torch with the task's number of threads."""
    torch = load("torch")
    torch.set_num_threads(task.threads)
    return torch


def _torch_axis(task: Task) -> int:
    return -1 if task.data_format == "channels_last" else 1


def torch_formula(task: Task, torch: Any, device: str = "cpu") -> Callable[[Any], Any]:
    """The formula on a tensor; the inverse rounded and clipped."""
    function = formula(
        task,
        to_float=lambda t: t.to(torch.float32),
        constant=lambda values: torch.as_tensor(values, device=device),
        flip=lambda t: t.flip(_torch_axis(task)),
    )
    if task.direction == "forward":
        return function
    return lambda t: function(t).round().clamp(0, 255).to(torch.uint8)


def torch_eager(task: Task) -> Call:
    """One operation after the other."""
    torch = torch_(task)
    function = torch_formula(task, torch)
    return lambda x, out: function(torch.from_numpy(x)).numpy()


def torch_in_place(task: Task) -> Call:
    """The same with in-place operations, in the caller's array if there is one."""
    torch = torch_(task)
    scale, mean, std = CONSTANTS[task.mode]
    means, stds = torch.from_numpy(along(mean, task)), torch.from_numpy(along(std, task))

    def call(x: Array, out: Array | None) -> Any:
        y = torch.empty(task.shape, dtype=torch.float32) if out is None else torch.from_numpy(out)
        t = torch.from_numpy(x)
        if task.mode == "caffe":
            y.copy_(t.flip(_torch_axis(task))).sub_(means)
        elif task.mode == "tf":
            y.copy_(t).div_(scale).sub_(1.0)
        else:
            y.copy_(t).div_(scale).sub_(means).div_(stds)
        return y.numpy()

    return call


def torch_compile(task: Task) -> Call:
    """Torch's compiler (inductor, which needs a C++ compiler)."""
    torch = torch_(task)
    torch._dynamo.reset()  # else the eighth task is one recompilation too many, and it falls back to eager
    function = torch.compile(torch_formula(task, torch), fullgraph=True, dynamic=False)
    return lambda x, out: function(torch.from_numpy(x)).numpy()


def _channels_first(task: Task, torch: Any, function: Callable[[Any], Any]) -> Call:
    """A function of RGB or, in caffe, BGR tensors with the channels first; views turn the axes for the other format."""
    last = task.data_format == "channels_last"

    def call(x: Array, out: Array | None) -> Any:
        t = torch.from_numpy(x)
        t = t.permute(0, 3, 1, 2) if last else t
        t = function(t.flip(1) if task.mode == "caffe" else t)
        return (t.permute(0, 2, 3, 1) if last else t).numpy()

    return call


def torchvision(task: Task) -> Call:
    """``transforms.v2``."""
    torch = torch_(task)
    functional = load("torchvision.transforms.v2.functional")
    scaled = task.mode != "caffe"
    # to_dtype(scale=True) divides by 255; mode tf then has mean and deviation 0.5.
    mean, std = ([0.5] * 3, [0.5] * 3) if task.mode == "tf" else map(list, CONSTANTS[task.mode][1:])

    def normalize(t: Any) -> Any:
        return functional.normalize(functional.to_dtype(t, torch.float32, scale=scaled), mean, std, inplace=True)

    return _channels_first(task, torch, normalize)


def kornia(task: Task) -> Call:
    """``enhance.normalize``."""
    torch = torch_(task)
    enhance = load("kornia.enhance")
    scale, mean, std = CONSTANTS[task.mode]
    means, stds = torch.tensor(mean), torch.tensor(std)

    def normalize(t: Any) -> Any:
        t = t.to(torch.float32)
        return enhance.normalize(t if scale == 1 else t / scale, means, stds)

    return _channels_first(task, torch, normalize)


# JAX --------------------------------------------------------------------------------------------------------------


def jax_(task: Task) -> Any:
    """JAX with the task's number of threads."""
    _start("JAX", task)
    if "jax" not in sys.modules and task.threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(task.threads)  # the size of XLA's pool
    return load("jax")


def jax_formula(task: Task, jnp: Any) -> Callable[[Any], Any]:
    """The formula; the inverse rounded and clipped."""
    function = formula(task, to_float=lambda t: t.astype(jnp.float32), constant=jnp.asarray)
    if task.direction == "forward":
        return function
    return lambda t: jnp.clip(jnp.rint(function(t)), 0, 255).astype(jnp.uint8)


def jax_eager(task: Task) -> Call:
    """One operation after the other."""
    jax = jax_(task)
    return _jax_on_cpu(jax, task, lambda function: lambda x: function(jax.numpy.asarray(x)))


def jax_jit(task: Task) -> Call:
    """Compiled by XLA."""
    jax = jax_(task)
    return _jax_on_cpu(jax, task, jax.jit)


def _jax_on_cpu(jax: Any, task: Task, make: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]) -> Call:
    """On the CPU even where JAX has a GPU."""
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        function = make(jax_formula(task, jax.numpy))

    def call(x: Array, out: Array | None) -> Array:
        with jax.default_device(cpu):
            return np.asarray(function(x))

    return call


# OpenCV and what is built on it -----------------------------------------------------------------------------------


def opencv(task: Task) -> Any:
    """OpenCV with the task's number of threads."""
    cv2 = load("cv2")
    cv2.setNumThreads(task.threads)
    return cv2


def _tall(x: Array) -> Array:
    """A batch seen as one tall image, which is what OpenCV has."""
    return x.reshape(-1, *x.shape[-2:])


def _result(task: Task, out: Array | None) -> Array:
    return np.empty(task.shape, task.result_dtype) if out is None else out


def opencv_lut(task: Task) -> Call:
    """A table of 256 results for each channel; BGR by ``cvtColor`` first."""
    cv2 = opencv(task)
    scale, mean, std = CONSTANTS[task.mode]
    x = np.arange(256, dtype=np.float32)[:, np.newaxis]
    table = ((x / np.float32(scale) - np.array(mean, np.float32)) / np.array(std, np.float32))[np.newaxis]

    def call(x: Array, out: Array | None) -> Array:
        out = _result(task, out)
        tall = _tall(x)
        cv2.LUT(cv2.cvtColor(tall, cv2.COLOR_RGB2BGR) if task.mode == "caffe" else tall, table, dst=_tall(out))
        return out

    return call


def opencv_arithmetic(task: Task) -> Call:
    """``subtract`` and ``divide`` with scalars; ``add`` on the way back, which rounds and saturates by itself."""
    cv2 = opencv(task)
    scale, mean, std = CONSTANTS[task.mode]
    means, stds, scales = (*mean, 0.0), (*std, 1.0), (scale, scale, scale, 1.0)

    def forward(x: Array, out: Array | None) -> Array:
        out = _result(task, out)
        source, target = _tall(x), _tall(out)
        if task.mode == "caffe":
            cv2.subtract(cv2.cvtColor(source, cv2.COLOR_RGB2BGR), means, dst=target, dtype=cv2.CV_32F)
            return out
        cv2.divide(source, scales, dst=target, dtype=cv2.CV_32F)
        cv2.subtract(target, means, dst=target)
        if task.mode == "torch":
            cv2.divide(target, stds, dst=target)
        return out

    def inverse(y: Array, out: Array | None) -> Array:
        out = _result(task, out)
        source, target = _tall(y), _tall(out)
        if task.mode == "caffe":
            cv2.add(source, means, dst=target, dtype=cv2.CV_8U)
            cv2.cvtColor(target, cv2.COLOR_BGR2RGB, dst=target)
            return out
        shifted = cv2.add(cv2.multiply(source, stds) if task.mode == "torch" else source, means)
        cv2.multiply(shifted, scales, dst=target, dtype=cv2.CV_8U)
        return out

    return forward if task.direction == "forward" else inverse


def opencv_blob(task: Task) -> Call:
    """``blobFromImages``, which makes channels-first of channels-last; a view turns its result back."""
    cv2 = opencv(task)
    mean, std = pixel_units(task.mode)
    swap = task.mode == "caffe"
    if task.mode == "torch":
        parameters = cv2.dnn.Image2BlobParams()
        parameters.scalefactor, parameters.mean = (*(1 / std), 1.0), (*mean, 0.0)
        return lambda x, out: cv2.dnn.blobFromImagesWithParams(list(x), parameters).transpose(0, 2, 3, 1)
    # The mean is subtracted in the order of the result when channels are swapped.
    factor = 1 / float(std[0])
    return lambda x, out: cv2.dnn.blobFromImages(list(x), factor, None, (*mean, 0.0), swap).transpose(0, 2, 3, 1)


def albucore(task: Task) -> Call:
    """``normalize`` with mean and reciprocal deviation."""
    cv2 = opencv(task)
    library = load("albucore")
    mean, std = pixel_units(task.mode)
    means, factors = mean.astype(np.float32), (1 / std).astype(np.float32)

    def call(x: Array, out: Array | None) -> Any:
        tall = _tall(x)
        tall = cv2.cvtColor(tall, cv2.COLOR_RGB2BGR) if task.mode == "caffe" else tall
        return library.normalize(tall, means, factors).reshape(task.shape)

    return call


# Others -----------------------------------------------------------------------------------------------------------


def numexpr(task: Task) -> Call:
    """One expression over the whole batch."""
    library = load("numexpr")
    library.set_num_threads(task.threads)
    scale, mean, std = CONSTANTS[task.mode]
    values = {"m": along(mean, task), "s": along(std, task), "c": np.float32(scale), "one": np.float32(1)}
    expression = {"caffe": "x - m", "tf": "x / c - one", "torch": "(x / c - m) / s"}[task.mode]

    def call(x: Array, out: Array | None) -> Array:
        out = _result(task, out)
        values["x"] = reverse(x, task) if task.mode == "caffe" else x
        library.evaluate(expression, local_dict=values, out=out, casting="unsafe", order="C")
        return out

    return call


def pillow(task: Task) -> Call:
    """Band by band, image by image: an ``F`` image knows ``x * scale + offset``."""
    image_module = load("PIL.Image")
    mean, std = pixel_units(task.mode)

    def call(x: Array, out: Array | None) -> Array:
        out = _result(task, out)
        for image, target in zip(x, out, strict=True):
            bands = image_module.fromarray(image).split()
            for k, band in enumerate(bands[::-1] if task.mode == "caffe" else bands):
                factor, offset = float(1 / std[k]), float(-mean[k] / std[k])
                target[..., k] = band.convert("F").point(lambda v, f=factor, o=offset: v * f + o)
        return out

    return call


def hugging_face(task: Task) -> Call:
    """The NumPy functions of transformers' image processors, image by image as they call them."""
    transforms = load("transformers.image_transforms")
    scale, mean, std = CONSTANTS[task.mode]
    layout = load("transformers.image_utils").ChannelDimension
    dimension = layout.LAST if task.data_format == "channels_last" else layout.FIRST

    def one(image: Any) -> Any:
        if task.mode == "caffe":
            image = image[..., ::-1] if dimension == layout.LAST else image[::-1]
        if scale == 1:
            image = image.astype(np.float32)
        else:
            image = transforms.rescale(image, 1 / scale, dtype=np.float32, input_data_format=dimension)
        return transforms.normalize(image, list(mean), list(std), input_data_format=dimension)

    return lambda x, out: np.stack([one(image) for image in x])


def onnx_runtime(task: Task) -> Call:
    """A graph of the formula: Cast, Gather for BGR, Sub and Div."""
    onnx, runtime = load("onnx"), load("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    scale, mean, std = CONSTANTS[task.mode]
    axis = 3 if task.data_format == "channels_last" else 1
    constants = {"c": np.float32(scale), "m": along(mean, task), "s": along(std, task), "bgr": np.array([2, 1, 0])}
    steps = {
        "caffe": [("Gather", "x", "bgr"), ("Cast",), ("Sub", "m")],
        "tf": [("Cast",), ("Div", "c"), ("Sub", "m")],
        "torch": [("Cast",), ("Div", "c"), ("Sub", "m"), ("Div", "s")],
    }[task.mode]
    nodes, last = [], "x"
    for n, (operator, *operands) in enumerate(steps):
        name = f"v{n}"
        words = {"Cast": {"to": kinds.FLOAT}, "Gather": {"axis": axis}}.get(operator, {})
        nodes.append(helper.make_node(operator, [last, *operands[-1:]], [name], **words))
        last = name
    kind = kinds.UINT8 if task.dtype == "uint8" else kinds.FLOAT
    graph = helper.make_graph(
        nodes,
        "preprocess",
        [helper.make_tensor_value_info("x", kind, [None, *task.shape[1:]])],
        [helper.make_tensor_value_info(last, kinds.FLOAT, [None, *task.shape[1:]])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x, out: session.run([last], {"x": x})[0]


def dali(task: Task) -> Call:
    """NVIDIA's pipeline on the CPU: ``crop_mirror_normalize`` fed by ``external_source``."""
    if task.mode == "caffe" and task.data_format == "channels_first":
        raise UnavailableError("color_space_conversion takes channels last only")
    pipeline_def = load("nvidia.dali").pipeline_def
    fn, types = load("nvidia.dali.fn"), load("nvidia.dali.types")
    mean, std = pixel_units(task.mode)
    layout = "HWC" if task.data_format == "channels_last" else "CHW"
    given: list[Array] = []

    def graph() -> Any:
        images = fn.external_source(source=lambda: given[0], layout=layout, no_copy=True, device="cpu")
        if task.mode == "caffe":
            images = fn.color_space_conversion(images, image_type=types.RGB, output_type=types.BGR)
        return fn.crop_mirror_normalize(
            images, dtype=types.FLOAT, output_layout=layout, mean=mean.tolist(), std=std.tolist()
        )

    pipeline = pipeline_def(
        batch_size=task.images, num_threads=task.threads, device_id=None, exec_dynamic=False, prefetch_queue_depth=1
    )(graph)()
    pipeline.build()

    def call(x: Array, out: Array | None) -> Any:
        given[:] = [x]
        return pipeline.run()[0].as_array()

    return call


# Inverses ---------------------------------------------------------------------------------------------------------


def usual_inverse(task: Task) -> Call:
    """The inverse as people write it, without the mistakes: round, clip, cast."""
    function = formula(task, to_float=lambda y: y, constant=lambda values: values)
    return lambda y, out: np.clip(np.rint(function(y)), 0, 255).astype(np.uint8)


def copied_inverse_in_place(task: Task) -> Call:
    """The first inverse that people copy: adds the means to its input in place, returns it flipped, as floats."""
    mean = CONSTANTS["caffe"][1]

    def call(y: Array, out: Array | None) -> Any:
        channels = np.moveaxis(y, 1, -1) if task.data_format == "channels_first" else y
        for k in range(3):
            channels[..., k] += mean[k]
        return reverse(y, task)

    return call


def copied_inverse_truncating(task: Task) -> Call:
    """The second: copies, drops the axis of a batch of one, adds the means, flips, clips and cuts the fraction off."""
    mean = CONSTANTS["caffe"][1]

    def call(y: Array, out: Array | None) -> Array:
        image: Array = np.squeeze(y.copy(), 0) if len(y) == 1 else y.copy()
        for k in range(3):
            image[..., k] += mean[k]
        return np.clip(image[..., ::-1], 0, 255).astype(np.uint8)

    return call


LIMIT = "limit"
KERAS = "keras ndarray"
USUAL = "round, clip, astype"
_LAST: tuple[DataFormat, ...] = ("channels_last",)
_BYTES = ("uint8",)
_OPENCV = "opencv-python-headless"
_TENSOR_PATHS = {"eager": "tensor", "graph": "graph", "xla": "xla"}
_WITHOUT_CAFFE: tuple[ModeName, ...] = ("tf", "torch")

PEERS = (
    Peer("vggprep numba", functools.partial(_ours, "numba"), "numba", DIRECTIONS, out=True, threads=True),
    Peer("vggprep numpy", functools.partial(_ours, "numpy"), "numpy", DIRECTIONS, out=True, threads=True),
    Peer("reference", functools.partial(_ours, "reference"), "numpy", DIRECTIONS, out=True, threads=True),
    Peer(KERAS, functools.partial(_keras, "ndarray"), "keras"),
    *(
        Peer(
            f"keras {name}{', cast first' if cast else ''}",
            functools.partial(_keras, path, cast=cast),
            "keras",
            dtypes=dtypes,
            threads="start",
        )
        for cast, dtypes in ((False, ("uint8", "float32")), (True, _BYTES))
        for name, path in _TENSOR_PATHS.items()
    ),
    Peer("keras Rescaling", keras_rescaling, "keras", modes=_WITHOUT_CAFFE, data_formats=_LAST, threads="start"),
    Peer("keras Normalization", keras_normalization, "keras", threads="start"),
    Peer("torch eager", torch_eager, "torch", DIRECTIONS, threads=True),
    Peer("torch in place", torch_in_place, "torch", out=True, threads=True),
    Peer("torch.compile", torch_compile, "torch", DIRECTIONS, threads=True),
    Peer("torchvision", torchvision, "torchvision", dtypes=_BYTES, threads=True),
    Peer("kornia", kornia, "kornia", threads=True),
    Peer("jax eager", jax_eager, "jax", DIRECTIONS, threads="start"),
    Peer("jax jit", jax_jit, "jax", DIRECTIONS, threads="start"),
    Peer("OpenCV LUT", opencv_lut, _OPENCV, data_formats=_LAST, dtypes=_BYTES, out=True, threads=True),
    Peer("OpenCV arithmetic", opencv_arithmetic, _OPENCV, DIRECTIONS, data_formats=_LAST, out=True, threads=True),
    Peer("OpenCV blobFromImages", opencv_blob, _OPENCV, data_formats=_LAST, threads=True),
    Peer("albucore", albucore, "albucore", data_formats=_LAST, threads=True),
    Peer("numexpr", numexpr, "numexpr", out=True, threads=True),
    Peer("Pillow", pillow, "pillow", data_formats=_LAST, dtypes=_BYTES, most_images=64),
    Peer("HF image processing", hugging_face, "transformers", most_images=64),
    Peer("onnxruntime", onnx_runtime, "onnxruntime", threads=True),
    Peer("DALI on the CPU", dali, "nvidia-dali-cuda120", dtypes=_BYTES, threads=True),
    Peer(USUAL, usual_inverse, "numpy", ("inverse",)),
    Peer("copied inverse 1", copied_inverse_in_place, "numpy", ("inverse",), modes=("caffe",)),
    Peer("copied inverse 2", copied_inverse_truncating, "numpy", ("inverse",), modes=("caffe",), data_formats=_LAST),
)
"""In the order of ties in the tables. The limit is not a peer: no implementation can be faster."""
