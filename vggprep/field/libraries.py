"""Libraries, one small function for each way into one: from a setup to a call on arrays.

A call takes and returns a NumPy array in the setup's data format, so that conversions to and from a library's own
tensors are part of its time (most of them copy nothing). The code is what a library's documentation or its users would
write, not what would be fastest. Where a library knows no channel order, the channels are reversed before it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from vggprep.field.setup import (
    CONSTANTS,
    Array,
    Call,
    Setup,
    UnavailableError,
    along,
    axis_of,
    formula,
    image_by_image,
    load,
    pixel_units,
    reverse,
    unit_range,
)
from vggprep.functions import Backend
from vggprep.implementations import keras as keras_paths
from vggprep.implementations.callables import keywords

# Ours -------------------------------------------------------------------------------------------------------------


def ours(backend: Backend, setup: Setup) -> Call:
    """``preprocess_input`` and ``deprocess_input``."""
    from vggprep import deprocess_input, preprocess_input

    function: Any = preprocess_input if setup.direction == "forward" else deprocess_input
    if backend == "numba":
        load("numba")

    def call(x: Array, out: Array | None) -> Any:
        return function(x, setup.data_format, setup.mode, out=out, threads=setup.threads, backend=backend)

    return call


# Keras ------------------------------------------------------------------------------------------------------------

_started_with: dict[str, int] = {}


def _start(library: str, setup: Setup) -> None:
    """Note how many threads a library starts with that cannot change it later."""
    if _started_with.setdefault(library, setup.threads) != setup.threads:
        raise UnavailableError(
            f"{library} fixes its threads when it starts, here {_started_with[library]}; use --threads {setup.threads}"
        )


def tensorflow(setup: Setup) -> Any:
    """TensorFlow with the setup's number of threads."""
    _start("TensorFlow", setup)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    first = "tensorflow" not in sys.modules
    tf = load("tensorflow")
    if first:
        tf.config.threading.set_intra_op_parallelism_threads(setup.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def _backend(setup: Setup) -> None:
    """Start the library that Keras runs on with the setup's number of threads."""
    start: dict[str, Callable[[Setup], Any]] = {"tensorflow": tensorflow, "torch": torch_, "jax": jax_}
    start[os.environ.get("KERAS_BACKEND", "tensorflow")](setup)


def keras(path: str, setup: Setup, package: str = "keras", backend: str = "tensorflow", cast: bool = False) -> Call:
    """One of the paths of Keras or tf_keras, as ``vggprep check keras`` judges it.

    ``cast``: after a cast in NumPy; given bytes, Keras's tensors stay bytes and wrap around.
    """
    try:
        if path != "ndarray":
            _backend(setup)
        (implementation,) = keras_paths.load(package, path)
        found = keras_paths.backend_of(package)
    except keras_paths.UnavailableError as error:
        raise UnavailableError(str(error)) from error
    if found != backend and path != "ndarray":
        raise UnavailableError(f"Keras runs on {found} in this process; KERAS_BACKEND={backend} changes that")
    function = implementation.preprocess
    assert function is not None
    words = keywords(function, setup.mode, setup.data_format)
    if cast:
        return on_cpu(lambda x, out: function(x.astype(np.float32), **words))
    return on_cpu(lambda x, out: function(x, **words))


def on_cpu(call: Call) -> Call:
    """On the CPU even where TensorFlow has a GPU."""
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return call

    def there(x: Array, out: Array | None) -> Any:
        with tf.device("CPU:0"):
            return call(x, out)

    return there


def keras_rescaling(setup: Setup) -> Call:
    """The layer for tf; torch's deviation folded into scale and offset."""
    tensorflow(setup)
    mean, std = pixel_units(setup.mode)
    if setup.mode == "tf":
        layer = load("keras").layers.Rescaling(1 / 127.5, offset=-1)
    else:
        layer = load("keras").layers.Rescaling((1 / std).tolist(), offset=(-mean / std).tolist())
    return on_cpu(lambda x, out: layer(x).numpy())


def keras_normalization(setup: Setup) -> Call:
    """The layer with given mean and variance."""
    tensorflow(setup)
    mean, std = pixel_units(setup.mode)
    layer = load("keras").layers.Normalization(axis=axis_of(setup), mean=mean.tolist(), variance=(std**2).tolist())
    swap = setup.mode == "caffe"
    return on_cpu(lambda x, out: layer(reverse(x, setup) if swap else x).numpy())


def keras_hub(setup: Setup) -> Call:
    """KerasHub's ``ImageConverter`` with scale and offset, as the presets of its models have them."""
    tensorflow(setup)
    mean, std = pixel_units(setup.mode)
    converter = load("keras_hub").layers.ImageConverter(
        scale=(1 / std).tolist(), offset=(-mean / std).tolist(), data_format=setup.data_format
    )
    swap = setup.mode == "caffe"
    return on_cpu(lambda x, out: np.asarray(converter(reverse(x, setup) if swap else x)))


def keras_applications(setup: Setup) -> Call:
    """``keras_applications`` 1.0.8, from before the code moved into Keras; it is handed its backend."""
    package = load("keras_applications.imagenet_utils")
    backend = load("keras").backend

    def call(x: Array, out: Array | None) -> Any:
        return package.preprocess_input(x, data_format=setup.data_format, mode=setup.mode, backend=backend)

    return call


def tensorflow_formula(setup: Setup, compiled: str) -> Call:
    """The formula in TensorFlow's own operations; ``compiled``: ``""``, ``"graph"`` or ``"xla"``."""
    tf = tensorflow(setup)
    function = formula(
        setup,
        to_float=lambda t: tf.cast(t, tf.float32),
        constant=tf.constant,
        flip=lambda t: tf.reverse(t, [axis_of(setup) + len(t.shape)]),
    )
    if compiled:
        function = tf.function(function, jit_compile=compiled == "xla", autograph=False)
    return on_cpu(lambda x, out: function(tf.convert_to_tensor(x)).numpy())


def lite_rt(setup: Setup) -> Call:
    """The formula as a LiteRT model, converted by TensorFlow; one interpreter for each dtype and shape."""
    tf, interpreter = tensorflow(setup), load("ai_edge_litert.interpreter")
    function = formula(
        setup,
        to_float=lambda t: tf.cast(t, tf.float32),
        constant=tf.constant,
        flip=lambda t: tf.gather(t, [2, 1, 0], axis=axis_of(setup) + len(t.shape)),
    )

    @functools.cache
    def model(dtype: str, rank: int) -> bytes:
        shape = [None] * rank
        shape[axis_of(setup)] = 3  # type: ignore[call-overload]
        concrete = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype))
        converted: bytes = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
        return converted

    @functools.lru_cache(maxsize=4)
    def ready(dtype: str, shape: tuple[int, ...]) -> tuple[Any, int, int]:
        runner = interpreter.Interpreter(model_content=model(dtype, len(shape)), num_threads=setup.threads)
        source, target = runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]
        runner.resize_tensor_input(source, shape)
        runner.allocate_tensors()
        return runner, source, target

    def call(x: Array, out: Array | None) -> Any:
        runner, source, target = ready(x.dtype.name, x.shape)
        runner.set_tensor(source, x)
        runner.invoke()
        return runner.get_tensor(target)

    return call


# torch and its family ---------------------------------------------------------------------------------------------


def torch_(setup: Setup) -> Any:
    """Torch with the setup's number of threads."""
    torch = load("torch")
    torch.set_num_threads(setup.threads)
    return torch


def torch_formula(setup: Setup, torch: Any, device: str = "cpu") -> Callable[[Any], Any]:
    """The formula on a tensor; the inverse rounded and clipped."""
    function = formula(
        setup,
        to_float=lambda t: t.to(torch.float32),
        constant=lambda values: torch.as_tensor(values, device=device),
        flip=lambda t: t.flip(axis_of(setup)),
    )
    if setup.direction == "forward":
        return function
    return lambda t: function(t).round().clamp(0, 255).to(torch.uint8)


def torch_eager(setup: Setup) -> Call:
    """One operation after the other."""
    torch = torch_(setup)
    function = torch_formula(setup, torch)
    return lambda x, out: function(torch.from_numpy(x)).numpy()


def torch_in_place(setup: Setup) -> Call:
    """The same with in-place operations, in the caller's array if there is one."""
    torch = torch_(setup)
    scale, mean, std = CONSTANTS[setup.mode]
    means, stds = torch.from_numpy(along(mean, setup)), torch.from_numpy(along(std, setup))

    def call(x: Array, out: Array | None) -> Any:
        y = torch.empty(x.shape, dtype=torch.float32) if out is None else torch.from_numpy(out)
        t = torch.from_numpy(x)
        if setup.mode == "caffe":
            y.copy_(t.flip(axis_of(setup))).sub_(means)
        elif setup.mode == "tf":
            y.copy_(t).div_(scale).sub_(1.0)
        else:
            y.copy_(t).div_(scale).sub_(means).div_(stds)
        return y.numpy()

    return call


def torch_compile(setup: Setup) -> Call:
    """Torch's compiler (inductor, which needs a C++ compiler)."""
    torch = torch_(setup)
    torch._dynamo.reset()  # else the eighth shape is one recompilation too many, and it falls back to eager
    function = torch.compile(torch_formula(setup, torch))
    return lambda x, out: function(torch.from_numpy(x)).numpy()


def _channels_first(setup: Setup, torch: Any, function: Callable[[Any], Any]) -> Call:
    """A function of RGB or, in caffe, BGR tensors with the channels first; views turn the axes for the other format."""
    last = setup.data_format == "channels_last"

    def call(x: Array, out: Array | None) -> Any:
        t = torch.from_numpy(x)
        t = t.movedim(-1, -3) if last else t
        t = function(t.flip(-3) if setup.mode == "caffe" else t)
        return (t.movedim(-3, -1) if last else t).numpy()

    return call


def torchvision_v2(setup: Setup) -> Call:
    """``transforms.v2``: ``to_dtype`` and ``normalize``."""
    torch = torch_(setup)
    functional = load("torchvision.transforms.v2.functional")
    scaled = setup.mode != "caffe"
    mean, std = unit_range(setup.mode) if scaled else map(list, CONSTANTS[setup.mode][1:])

    def normalize(t: Any) -> Any:
        return functional.normalize(functional.to_dtype(t, torch.float32, scale=scaled), mean, std, inplace=True)

    return _channels_first(setup, torch, normalize)


def _from_images(setup: Setup, function: Callable[[Any], Any]) -> Call:
    """A function from an image as Pillow has it to a tensor with the channels first."""
    from_array = load("PIL.Image").fromarray

    def one(image: Array) -> Any:
        pixels = np.ascontiguousarray(image[..., ::-1]) if setup.mode == "caffe" else image
        return np.moveaxis(np.asarray(function(from_array(pixels))), 0, -1)

    return image_by_image(one)


def torchvision_v1(setup: Setup) -> Call:
    """``Compose([ToTensor(), Normalize(...)])``, image by image."""
    torch_(setup)
    transforms = load("torchvision.transforms")
    return _from_images(
        setup, transforms.Compose([transforms.ToTensor(), transforms.Normalize(*unit_range(setup.mode))])
    )


def timm(setup: Setup) -> Call:
    """What ``timm.data.create_transform`` makes, without resizing and cropping."""
    torch_(setup)
    data = load("timm.data")
    mean, std = unit_range(setup.mode)
    made = data.create_transform(input_size=(3, 224, 224), mean=mean, std=std).transforms[-2:]

    def apply(image: Any) -> Any:
        for step in made:
            image = step(image)
        return image

    return _from_images(setup, apply)


def transformers(backend: str, setup: Setup) -> Call:
    """ViT's image processor with other constants; ``backend``: ``torchvision`` (once "fast") or ``pil`` ("slow")."""
    torch_(setup)
    library = load("transformers")
    name = "ViTImageProcessor" + ("Pil" if backend == "pil" else "")
    if not hasattr(library, name):
        raise UnavailableError(f"transformers {library.__version__} has no {name}; release 5 has")
    mean, std = pixel_units(setup.mode)
    processor = getattr(library, name)(
        do_resize=False, do_rescale=False, image_mean=mean.tolist(), image_std=std.tolist()
    )
    if setup.mode != "caffe":
        mean, std = unit_range(setup.mode)  # type: ignore[assignment]
        processor = getattr(library, name)(do_resize=False, image_mean=mean, image_std=std)
    last = setup.data_format == "channels_last"

    def call(x: Array, out: Array | None) -> Any:
        images = np.ascontiguousarray(reverse(x, setup)) if setup.mode == "caffe" else x
        found = processor(images, return_tensors="np", input_data_format=setup.data_format)["pixel_values"]
        found = found[0] if x.ndim == 3 else found
        return np.moveaxis(found, -3, -1) if last else found

    return call


def transformers_functions(setup: Setup) -> Call:
    """The NumPy functions that transformers' image processors were made of, image by image."""
    transforms = load("transformers.image_transforms")
    scale, mean, std = CONSTANTS[setup.mode]
    layout = load("transformers.image_utils").ChannelDimension
    dimension = layout.LAST if setup.data_format == "channels_last" else layout.FIRST

    def one(image: Any) -> Any:
        image = reverse(image, setup) if setup.mode == "caffe" else image
        if scale == 1:
            image = image.astype(np.float32)
        else:
            image = transforms.rescale(image, 1 / scale, dtype=np.float32, input_data_format=dimension)
        return transforms.normalize(image, list(mean), list(std), input_data_format=dimension)

    return image_by_image(one)


def kornia(setup: Setup) -> Call:
    """``enhance.normalize``."""
    torch = torch_(setup)
    enhance = load("kornia.enhance")
    scale, mean, std = CONSTANTS[setup.mode]
    means, stds = torch.tensor(mean), torch.tensor(std)

    def normalize(t: Any) -> Any:
        t = t.to(torch.float32)
        return enhance.normalize(t if scale == 1 else t / scale, means, stds)

    return _channels_first(setup, torch, normalize)


# JAX and MLX ------------------------------------------------------------------------------------------------------


def jax_(setup: Setup) -> Any:
    """JAX with the setup's number of threads."""
    _start("JAX", setup)
    if "jax" not in sys.modules and setup.threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(setup.threads)  # the size of XLA's pool
    return load("jax")


def jax_formula(setup: Setup, jnp: Any) -> Callable[[Any], Any]:
    """The formula; the inverse rounded and clipped."""
    function = formula(setup, to_float=lambda t: t.astype(jnp.float32), constant=jnp.asarray)
    if setup.direction == "forward":
        return function
    return lambda t: jnp.clip(jnp.rint(function(t)), 0, 255).astype(jnp.uint8)


def jax_eager(setup: Setup) -> Call:
    """One operation after the other."""
    jax = jax_(setup)
    return _jax_on_cpu(jax, setup, lambda function: lambda x: function(jax.numpy.asarray(x)))


def jax_jit(setup: Setup) -> Call:
    """Compiled by XLA."""
    jax = jax_(setup)
    return _jax_on_cpu(jax, setup, jax.jit)


def _jax_on_cpu(jax: Any, setup: Setup, make: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]) -> Call:
    """On the CPU even where JAX has a GPU."""
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        function = make(jax_formula(setup, jax.numpy))

    def call(x: Array, out: Array | None) -> Array:
        with jax.default_device(cpu):
            return np.asarray(function(x))

    return call


def mlx(setup: Setup) -> Call:
    """Apple's arrays, on the CPU."""
    mx = load("mlx.core")
    mx.set_default_device(mx.cpu)
    function = formula(setup, to_float=lambda t: t.astype(mx.float32), constant=mx.array)
    return lambda x, out: np.array(function(mx.array(x)))


# OpenCV and what is built on it -----------------------------------------------------------------------------------


def opencv(setup: Setup) -> Any:
    """OpenCV with the setup's number of threads."""
    cv2 = load("cv2")
    cv2.setNumThreads(setup.threads)
    return cv2


def _tall(x: Array) -> Array:
    """A batch seen as one tall image, which is what OpenCV has."""
    return x.reshape(-1, *x.shape[-2:])


def _result(x: Array, setup: Setup, out: Array | None) -> Array:
    return np.empty(x.shape, np.float32 if setup.direction == "forward" else np.uint8) if out is None else out


def opencv_lut(setup: Setup) -> Call:
    """A table of 256 results for each channel; BGR by ``cvtColor`` first."""
    cv2 = opencv(setup)
    scale, mean, std = CONSTANTS[setup.mode]
    x = np.arange(256, dtype=np.float32)[:, np.newaxis]
    table = ((x / np.float32(scale) - np.array(mean, np.float32)) / np.array(std, np.float32))[np.newaxis]

    def call(x: Array, out: Array | None) -> Array:
        out = _result(x, setup, out)
        tall = _tall(x)
        cv2.LUT(cv2.cvtColor(tall, cv2.COLOR_RGB2BGR) if setup.mode == "caffe" else tall, table, dst=_tall(out))
        return out

    return call


def opencv_arithmetic(setup: Setup) -> Call:
    """``subtract`` and ``divide`` with scalars; ``add`` on the way back, which rounds and saturates by itself."""
    cv2 = opencv(setup)
    scale, mean, std = CONSTANTS[setup.mode]
    means, stds, scales = (*mean, 0.0), (*std, 1.0), (scale, scale, scale, 1.0)

    def forward(x: Array, out: Array | None) -> Array:
        out = _result(x, setup, out)
        source, target = _tall(x), _tall(out)
        if setup.mode == "caffe":
            cv2.subtract(cv2.cvtColor(source, cv2.COLOR_RGB2BGR), means, dst=target, dtype=cv2.CV_32F)
            return out
        cv2.divide(source, scales, dst=target, dtype=cv2.CV_32F)
        cv2.subtract(target, means, dst=target)
        if setup.mode == "torch":
            cv2.divide(target, stds, dst=target)
        return out

    def inverse(y: Array, out: Array | None) -> Array:
        out = _result(y, setup, out)
        source, target = _tall(y), _tall(out)
        if setup.mode == "caffe":
            cv2.add(source, means, dst=target, dtype=cv2.CV_8U)
            cv2.cvtColor(target, cv2.COLOR_BGR2RGB, dst=target)
            return out
        shifted = cv2.add(cv2.multiply(source, stds) if setup.mode == "torch" else source, means)
        cv2.multiply(shifted, scales, dst=target, dtype=cv2.CV_8U)
        return out

    return forward if setup.direction == "forward" else inverse


def opencv_blob(setup: Setup) -> Call:
    """``blobFromImages``, which makes channels-first of channels-last; a view turns its result back."""
    cv2 = opencv(setup)
    mean, std = pixel_units(setup.mode)
    swap = setup.mode == "caffe"
    if setup.mode == "torch":
        parameters = cv2.dnn.Image2BlobParams()
        parameters.scalefactor, parameters.mean = (*(1 / std), 1.0), (*mean, 0.0)
        return lambda x, out: cv2.dnn.blobFromImagesWithParams(list(x), parameters).transpose(0, 2, 3, 1)
    # The mean is subtracted in the order of the result when channels are swapped.
    factor = 1 / float(std[0])
    return lambda x, out: cv2.dnn.blobFromImages(list(x), factor, None, (*mean, 0.0), swap).transpose(0, 2, 3, 1)


def albucore(setup: Setup) -> Call:
    """``normalize`` with mean and reciprocal deviation."""
    cv2 = opencv(setup)
    library = load("albucore")
    mean, std = pixel_units(setup.mode)
    means, factors = mean.astype(np.float32), (1 / std).astype(np.float32)

    def call(x: Array, out: Array | None) -> Any:
        tall = _tall(x)
        tall = cv2.cvtColor(tall, cv2.COLOR_RGB2BGR) if setup.mode == "caffe" else tall
        return library.normalize(tall, means, factors).reshape(x.shape)

    return call


def albumentations(setup: Setup) -> Call:
    """``Normalize`` with ``max_pixel_value=1``, image by image."""
    opencv(setup)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    mean, std = pixel_units(setup.mode)
    step = load("albumentations").Normalize(mean=mean.tolist(), std=std.tolist(), max_pixel_value=1.0)

    def one(image: Array) -> Any:
        pixels = np.ascontiguousarray(image[..., ::-1]) if setup.mode == "caffe" else image
        return step(image=pixels)["image"]

    return image_by_image(one)


# Others -----------------------------------------------------------------------------------------------------------


def numexpr(setup: Setup) -> Call:
    """One expression over the whole batch."""
    library = load("numexpr")
    library.set_num_threads(setup.threads)
    scale, mean, std = CONSTANTS[setup.mode]
    values = {"m": along(mean, setup), "s": along(std, setup), "c": np.float32(scale), "one": np.float32(1)}
    expression = {"caffe": "x - m", "tf": "x / c - one", "torch": "(x / c - m) / s"}[setup.mode]

    def call(x: Array, out: Array | None) -> Array:
        out = _result(x, setup, out)
        given = values | {"x": reverse(x, setup) if setup.mode == "caffe" else x}
        library.evaluate(expression, local_dict=given, out=out, casting="unsafe", order="C")
        return out

    return call


def pillow(setup: Setup) -> Call:
    """Band by band, image by image: an ``F`` image knows ``x * scale + offset``."""
    image_module = load("PIL.Image")
    mean, std = pixel_units(setup.mode)

    def call(x: Array, out: Array | None) -> Array:
        out = _result(x, setup, out)
        images, targets = (x, out) if x.ndim == 4 else (x[np.newaxis], out[np.newaxis])
        for image, target in zip(images, targets, strict=True):
            bands = image_module.fromarray(image).split()
            for k, band in enumerate(bands[::-1] if setup.mode == "caffe" else bands):
                factor, offset = float(1 / std[k]), float(-mean[k] / std[k])
                target[..., k] = band.convert("F").point(lambda v, f=factor, o=offset: v * f + o)
        return out

    return call


def onnx_model(setup: Setup, dtype: str, rank: int) -> bytes:
    """A graph of the formula: Cast, Gather for BGR, Sub and Div."""
    onnx = load("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    scale, mean, std = CONSTANTS[setup.mode]
    axis = axis_of(setup) + rank
    constants = {"c": np.float32(scale), "m": along(mean, setup), "s": along(std, setup), "bgr": np.array([2, 1, 0])}
    steps = {
        "caffe": [("Gather", "x", "bgr"), ("Cast",), ("Sub", "m")],
        "tf": [("Cast",), ("Div", "c"), ("Sub", "m")],
        "torch": [("Cast",), ("Div", "c"), ("Sub", "m"), ("Div", "s")],
    }[setup.mode]
    nodes, last = [], "x"
    for n, (operator, *operands) in enumerate(steps):
        name = f"v{n}"
        words = {"Cast": {"to": kinds.FLOAT}, "Gather": {"axis": axis}}.get(operator, {})
        nodes.append(helper.make_node(operator, [last, *operands[-1:]], [name], **words))
        last = name
    shape = [3 if at == axis else None for at in range(rank)]
    graph = helper.make_graph(
        nodes,
        "preprocess",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [helper.make_tensor_value_info(last, kinds.FLOAT, shape)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return model


def onnx_runtime(setup: Setup) -> Call:
    """A session for each dtype and rank."""
    load("onnx")
    runtime = load("onnxruntime")

    @functools.cache
    def session(dtype: str, rank: int) -> Any:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = setup.threads
        options.log_severity_level = 3
        model = onnx_model(setup, dtype, rank)
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    return lambda x, out: session(x.dtype.name, x.ndim).run(None, {"x": x})[0]


def openvino(setup: Setup) -> Call:
    """A model that returns its input, behind a ``PrePostProcessor``, which takes batches only."""
    ov = load("openvino")
    preprocess = load("openvino.preprocess")
    mean, std = pixel_units(setup.mode)
    channels_last = setup.data_format == "channels_last"

    @functools.cache
    def compiled(dtype: str) -> Any:
        shape = ov.PartialShape([-1, -1, -1, 3] if channels_last else [-1, 3, -1, -1])
        parameter = ov.opset13.parameter(shape, np.float32)
        model = ov.Model([parameter], [parameter], "preprocess")
        made = preprocess.PrePostProcessor(model)
        layout = ov.Layout("NHWC" if channels_last else "NCHW")
        made.input().tensor().set_element_type(ov.Type(np.dtype(dtype))).set_layout(layout)
        made.input().model().set_layout(layout)
        steps = made.input().preprocess().convert_element_type(ov.Type.f32)
        steps = steps.reverse_channels() if setup.mode == "caffe" else steps
        steps.mean(mean.tolist()).scale(std.tolist())
        return ov.Core().compile_model(made.build(), "CPU", {"INFERENCE_NUM_THREADS": setup.threads})

    def call(x: Array, out: Array | None) -> Any:
        return compiled(x.dtype.name)(x)[0]

    return call


def dali(setup: Setup) -> Call:
    """NVIDIA's pipeline on the CPU: ``crop_mirror_normalize`` fed by ``external_source``."""
    if setup.mode == "caffe" and setup.data_format == "channels_first":
        raise UnavailableError("color_space_conversion takes channels last only")
    pipeline_def = load("nvidia.dali").pipeline_def
    fn, types = load("nvidia.dali.fn"), load("nvidia.dali.types")
    mean, std = pixel_units(setup.mode)
    layout = "HWC" if setup.data_format == "channels_last" else "CHW"
    given: list[Array] = []

    def graph() -> Any:
        images = fn.external_source(source=lambda: given[0], layout=layout, no_copy=True, device="cpu")
        if setup.mode == "caffe":
            images = fn.color_space_conversion(images, image_type=types.RGB, output_type=types.BGR)
        return fn.crop_mirror_normalize(
            images, dtype=types.FLOAT, output_layout=layout, mean=mean.tolist(), std=std.tolist()
        )

    @functools.cache
    def pipeline(images: int) -> Any:
        made = pipeline_def(
            batch_size=images, num_threads=setup.threads, device_id=None, exec_dynamic=False, prefetch_queue_depth=1
        )(graph)()
        made.build()
        return made

    def call(x: Array, out: Array | None) -> Any:
        given[:] = [x]
        try:
            return pipeline(len(x)).run()[0].as_array()
        except Exception:
            pipeline.cache_clear()  # it does not survive an input that it refuses
            raise

    return call
