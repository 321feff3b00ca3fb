"""The part of an observation that runs where Keras is: asks ``preprocess_input`` what it does, row by row.

One file with nothing of vggprep's: it runs in any interpreter from Python 3.6 to 3.13 with NumPy 1.16 or newer and the
Keras in question, so it keeps to the syntax of Python 3.6 and judges nothing. ``observation`` drives it::

    INTERPRETER probe.py < work.jsonl > answers.jsonl

The work's first line holds the module to observe and the arrays, every further line one row: which path, called how,
with which array. The first answer says what runs here, every further one answers one row, in order. A process that ends
before the last answer was killed by the first row without one.
"""

import base64
import contextlib
import importlib
import json
import os
import platform
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

# Run as a script, our own folder comes first on the path, and its modules would hide others of the same names.
if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]

import numpy as np

Row = Dict[str, Any]
Function = Callable[[Any], Any]


class UnavailableError(Exception):
    """What a row asks for does not exist here, eager tensors or a dtype: neither a result nor an error of Keras."""


class OutputShapeError(Exception):
    """A layer says of a model's input that another shape comes out than does."""


class RoomError(Exception):
    """A file for a row cannot be written here, which is no answer of Keras."""


class SettingError(Exception):
    """Keras refuses a setting, before ``preprocess_input`` is called."""


class Target:
    """The Keras under observation: its modules, its backend, and the framework that makes its tensors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keras = importlib.import_module(name)  # type: Any
        self.version = str(getattr(self.keras, "__version__", "")) or "unknown"
        if name.startswith("tensorflow"):
            self.version = str(importlib.import_module("tensorflow").__version__)
        self.major = int(self.version.split(".")[0])
        self.multi_backend = not name.startswith("tensorflow") and self.major >= 3
        self.backend = str(self.keras.backend.backend()) if hasattr(self.keras.backend, "backend") else "tensorflow"
        self.tf = self._optional("tensorflow")
        self.torch = self._optional("torch") if self.backend == "torch" else None  # type: Any
        self.jax = self._optional("jax") if self.backend == "jax" else None  # type: Any
        # In Keras 3.0 not yet in the top module on every backend.
        self.variable = getattr(self.keras, "Variable", None) or getattr(self.keras.backend, "Variable", ())  # type: Any
        # Before TensorFlow 2 a tensor has no value until a session runs it.
        self.session = bool(self.backend == "tensorflow" and not self.tf.__version__.startswith("2"))
        self._xla = None  # type: Optional[str]

    @staticmethod
    def _optional(name: str) -> Any:
        try:
            return importlib.import_module(name)
        except Exception:
            return None

    def module(self, name: str) -> Any:
        """``applications.<name>``, which not every release has."""
        try:
            return importlib.import_module("{}.applications.{}".format(self.name, name))
        except ImportError:
            # tf.keras is made of attributes where TensorFlow loads it lazily.
            found = getattr(self.keras.applications, name, None)
            if found is None:
                raise UnavailableError("this release has no module applications.{}".format(name))
            return found

    def describe(self) -> Dict[str, str]:
        """Versions of everything that can matter."""
        found = {
            "target": self.name,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "keras": self.version,
            "backend": self.backend,
            "machine": platform.machine(),
            "system": platform.system(),
            "processor": processor(),
            # From 2 on, what became of a tensor in a call that raised is told, and a setting that raises is called one.
            "probe": "2",
        }
        for module in (self.tf, self.torch, self.jax):
            if module is not None:
                found[module.__name__] = str(module.__version__)
        packages = (
            ("keras_hub", "keras-hub"),
            ("keras_hub", "keras-hub-nightly"),
            ("PIL", "pillow"),
            ("openvino", "openvino"),
        )
        for module_name, package in packages:
            try:
                found[module_name] = importlib.import_module("importlib.metadata").version(package)
            except Exception:  # not installed, or a Python that cannot tell
                continue
        applications = sys.modules.get("keras_applications")
        if applications is not None:
            found["keras_applications"] = str(getattr(applications, "__version__", "before 1.0.5"))
        return found


def processor() -> str:
    """The CPU's model, which decides the last bit in compiled code."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


# ---- inputs ----------------------------------------------------------------------------------------------------------


def bfloat16(target: Target) -> Any:
    """NumPy's dtype for bfloat16: TensorFlow's for its tensors, which once took no other, else that of ml_dtypes."""
    if target.backend == "tensorflow" and target.tf is not None:
        return np.dtype(target.tf.bfloat16.as_numpy_dtype)
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        raise UnavailableError("NumPy has no bfloat16 here")


def load_array(described: Row, target: Target) -> Any:
    """The array that ``described`` holds: C-contiguous, native, writeable."""
    data, name = zlib.decompress(base64.b64decode(described["data"])), described["dtype"]
    if name == "bfloat16":
        array = np.frombuffer(data, "<u2").astype("=u2").view(bfloat16(target))
    elif name == "longdouble":
        array = np.frombuffer(data, "<f8").astype(np.longdouble)
    else:
        stored = np.dtype(name).newbyteorder("<")
        array = np.frombuffer(data, stored).astype(stored.newbyteorder("="))
    return array.reshape(described["shape"]).copy()


def unaligned(x: Any) -> Any:
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    odd = buffer[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    return odd


def read_only(x: Any) -> Any:
    y = x.copy()
    y.flags.writeable = False
    return y


# The same values in another memory layout, or in another form that people pass.
LAYOUTS = {
    "C": lambda x: x.copy(),
    "F": lambda x: np.array(x, order="F"),
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "broadcast": lambda x: np.broadcast_to(x[:1].copy(), x.shape),
    "unaligned": unaligned,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "list": lambda x: x.tolist(),
    "scalar": lambda x: x[()],
    "object": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    # Made of the tensor.
    "leaf": lambda x: x.copy(),
    "inference": lambda x: x.copy(),
    "expanded": lambda x: x.copy(),
}  # type: Dict[str, Function]


def to_tensor(x: Any, target: Target) -> Any:
    """An eager tensor of the same dtype."""
    if target.session:
        raise UnavailableError("no eager tensors before TensorFlow 2")
    if target.backend == "tensorflow":
        return target.tf.constant(x)
    if target.backend == "torch":
        if x.dtype.name == "bfloat16":
            return target.torch.from_numpy(x.view(np.int16).copy()).view(target.torch.bfloat16)
        try:
            return target.torch.from_numpy(x.copy())
        except TypeError as error:
            raise UnavailableError("torch has no such dtype: {}".format(error))
    if target.backend == "jax":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensor = target.jax.numpy.asarray(x)
        if str(tensor.dtype) != x.dtype.name:
            raise UnavailableError("JAX has no {} by default".format(x.dtype.name))
        return tensor
    if target.backend == "openvino":
        return target.keras.ops.convert_to_tensor(x)
    raise UnavailableError("the {} backend has no tensors of its own".format(target.backend))


def of_torch(t: Any, layout: str, target: Target) -> Any:
    """A tensor that autograd keeps, that it must not see, or whose rows lie in one place."""
    if target.torch is None:
        raise UnavailableError("only torch has such tensors")
    if layout == "leaf":
        return t.requires_grad_()
    if layout == "expanded":
        return t[:1].clone().expand_as(t)
    with target.torch.inference_mode():
        return t.clone()


# ---- outputs ---------------------------------------------------------------------------------------------------------


def to_array(y: Any, target: Target) -> Any:
    """The values of a result as an array; lists and numbers are left to the caller."""
    if isinstance(y, (np.ndarray, np.generic)):
        return np.asarray(y)
    if target.torch is not None and isinstance(y, target.torch.Tensor):
        y = y.detach()
        if y.dtype == target.torch.bfloat16:
            return y.contiguous().view(target.torch.int16).numpy().view(np.uint16).copy().view(bfloat16(target))
        return y.numpy()
    if target.backend == "openvino" and type(y).__name__ == "OpenVINOKerasTensor":
        return np.asarray(target.keras.ops.convert_to_numpy(y))
    if target.multi_backend and isinstance(y, target.variable):
        return to_array(y.value, target)
    if hasattr(y, "numpy"):
        return np.asarray(y.numpy())
    if target.jax is not None and isinstance(y, target.jax.Array):
        return np.asarray(y)
    return None


def describe_array(y: Any) -> Row:
    """dtype, shape and bytes, independent of machine: little-endian, C order, no padding."""
    name = y.dtype.name
    if name == "bfloat16":
        data = np.ascontiguousarray(y).view(np.uint16).astype("<u2").tobytes()
    elif y.dtype.kind == "f" and y.dtype.itemsize > 8:
        # As a sum of two float64: the bytes of a longdouble include padding, and its width is the machine's.
        name = "longdouble"
        with np.errstate(all="ignore"):
            high = y.astype(np.float64)
            low = np.where(np.isfinite(y), y - high, 0).astype(np.float64)
        data = np.stack([high, low]).astype("<f8").tobytes()
    elif y.dtype.kind in "biufc":
        data = y.astype(y.dtype.newbyteorder("<")).tobytes()
    else:
        data = repr(y.tolist()).encode("utf-8")
    return {"dtype": name, "shape": list(y.shape), "data": base64.b64encode(zlib.compress(data, 1)).decode("ascii")}


# ---- paths -----------------------------------------------------------------------------------------------------------
# Each takes the function under observation, the array and the row, and returns (input as passed, result).


def run_ndarray(target: Target, function: Function, x: Any, row: Row) -> Any:
    return x, function(x)


def run_tensor(target: Target, function: Function, x: Any, row: Row) -> Any:
    t = to_tensor(x, target)
    if row.get("layout") in ("leaf", "inference", "expanded"):
        t = of_torch(t, row["layout"], target)
    return t, function(t)


def run_tf_variable(target: Target, function: Function, x: Any, row: Row) -> Any:
    if target.backend != "tensorflow" or not target.multi_backend:
        raise UnavailableError("TensorFlow's variables are others than Keras's on Keras 3 with TensorFlow alone")
    variable = target.tf.Variable(x)
    return variable, function(variable)


def run_variable(target: Target, function: Function, x: Any, row: Row) -> Any:
    if target.session:
        raise UnavailableError("no variables with a value before TensorFlow 2")
    if target.multi_backend:
        variable = target.variable(x, dtype=x.dtype.name, trainable=False)
    else:
        variable = target.tf.Variable(x)
    return variable, function(variable)


def in_session(target: Target, fetched: Any, feed: Any) -> Any:
    return target.keras.backend.get_session().run(fetched, feed)


def signature(target: Target, x: Any, row: Row) -> Any:
    """The shape that is known while tracing: all of it, only the channels, or not even the rank."""
    known = row.get("signature", "static")
    if known == "static":
        return x.shape
    return None if known == "unknown" else [size if size == 3 else None for size in x.shape]


def run_graph(target: Target, function: Function, x: Any, row: Row) -> Any:
    if target.backend != "tensorflow":
        raise UnavailableError("no graphs on the {} backend".format(target.backend))
    shape = signature(target, x, row)
    if target.session:
        held = target.tf.placeholder(target.tf.as_dtype(x.dtype), shape)
        return held, in_session(target, function(held), {held: x})
    t = target.tf.constant(x)
    traced = target.tf.function(function, input_signature=[target.tf.TensorSpec(shape, t.dtype)])
    return t, traced(t)


def xla(target: Target, function: Function) -> Function:
    try:
        return target.tf.function(function, jit_compile=True)  # type: ignore[no-any-return]
    except TypeError:  # its name before TensorFlow 2.5
        return target.tf.function(function, experimental_compile=True)  # type: ignore[no-any-return]


def run_xla(target: Target, function: Function, x: Any, row: Row) -> Any:
    t = to_tensor(x, target)
    if target.backend == "jax":
        return t, target.jax.jit(function)(t)
    if target.backend != "tensorflow":
        raise UnavailableError("no XLA on the {} backend".format(target.backend))
    if target._xla is None:
        try:
            xla(target, lambda z: z * 2)(target.tf.constant([1.0, 2.0]))
            target._xla = "works"
        except Exception as error:
            target._xla = first_line(error)
    if target._xla != "works":
        raise UnavailableError("XLA does not work here: " + target._xla)
    return t, xla(target, function)(t)


def call_model(target: Target, inputs: Any, outputs: Any, x: Any) -> Any:
    model_class = getattr(target.keras, "Model", None) or target.keras.models.Model
    model = model_class(inputs, outputs)
    if target.session:
        return model.predict(x)
    return model(to_tensor(x, target) if target.backend in ("tensorflow", "torch", "jax", "openvino") else x)


def new_input(target: Target, x: Any) -> Any:
    make = getattr(target.keras, "Input", None) or target.keras.layers.Input
    return make(shape=x.shape[1:], dtype=x.dtype.name)


def run_model(target: Target, function: Function, x: Any, row: Row) -> Any:
    inputs = new_input(target, x)
    return None, call_model(target, inputs, function(inputs), x)


def run_lambda(target: Target, function: Function, x: Any, row: Row) -> Any:
    inputs = new_input(target, x)
    return None, call_model(target, inputs, target.keras.layers.Lambda(function)(inputs), x)


def layer(target: Target, name: str) -> Any:
    """A class of ``layers``, wherever this release has it."""
    layers = target.keras.layers
    experimental = getattr(getattr(layers, "experimental", None), "preprocessing", None)
    found = getattr(layers, name, None) or getattr(experimental, name, None)
    if found is None:
        raise UnavailableError("this release has no layer {}".format(name))
    return found


def compare_shapes(said: Tuple[Optional[int], ...], came: Tuple[int, ...]) -> None:
    """OutputShapeError, if another shape is said to come out than does; None and the length of a batch fit any."""
    shown = str(said), str(came)
    if len(said) == len(came) and said[1:-1] == came[1:-1] and said[-1] is not None:
        shown = "{} channel{}".format(said[-1], "s" * (said[-1] != 1)), str(came[-1])
    if len(said) != len(came) or any(a not in (None, b) for a, b in zip(said[1:], came[1:])):  # noqa: B905
        raise OutputShapeError("a layer says that the output has {}, and it has {}".format(*shown))


def run_layers(target: Target, made: List[Any], x: Any) -> Any:
    """Call layers on an array, and see that each says of a model's input what comes out of the array."""
    said, y = new_input(target, x), x
    for one in made:
        said, y = one(said), one(y)
        compare_shapes(tuple(said.shape), tuple(y.shape))
    return None, y


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run_rescaling(target: Target, function: Function, x: Any, row: Row) -> Any:
    make = layer(target, "Rescaling")
    if row["mode"] == "tf":
        return run_layers(target, [make(1 / 127.5, offset=-1.0)], x)
    scale, offset = [1 / (255 * s) for s in STD], [-m / s for m, s in zip(MEAN, STD)]  # noqa: B905
    return run_layers(target, [make(scale), make(1.0, offset=offset)], x)


def run_normalization(target: Target, function: Function, x: Any, row: Row) -> Any:
    mean, variance = [255 * m for m in MEAN], [(255 * s) ** 2 for s in STD]
    return run_layers(target, [layer(target, "Normalization")(mean=mean, variance=variance)], x)


def run_adapted(target: Target, function: Function, x: Any, row: Row) -> Any:
    made = layer(target, "Normalization")()
    made.adapt(x)
    return run_layers(target, [made], x)


# ---- files, generators, models ---------------------------------------------------------------------------------------

PNG = {  # bits and colour type of each kind
    "grey": (8, 0), "16-bit": (16, 0), "1-bit": (1, 0), "rgb": (8, 2), "palette": (8, 3), "grey-alpha": (8, 4),
    "rgba": (8, 6),
}  # fmt: skip


def png(x: Any, kind: str) -> bytes:
    """Pixels of shape (H, W, channels) as a PNG; a palette holds each pixel's colour, 1-bit what is over 127."""
    bits, colour = PNG[kind]
    height, width = x.shape[:2]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    if kind == "palette":
        chunks.append((b"PLTE", x.tobytes()))
        x = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    elif kind == "16-bit":
        x = (x.astype(np.uint16) * 257).astype(">u2")
    elif kind == "1-bit":
        x = np.packbits(x[..., 0] > 127, axis=1)
    lines = b"".join(b"\0" + line.tobytes() for line in x)
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    made = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d) & 0xFFFFFFFF) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


SIZES = {"smaller": (2, 3), "larger": (8, 10)}


def found_in(target: Target, names: List[str]) -> Any:
    """The first of these that the release has, by dotted names below its package."""
    for name in names:
        path, _, last = name.rpartition(".")
        try:
            module = importlib.import_module("{}.{}".format(target.name, path))  # type: Any
        except ImportError:
            module = target.keras
            for part in path.split("."):
                module = getattr(module, part, None)
        found = getattr(module, last, None)
        if found is not None:
            return found
    raise UnavailableError("this release has no {}".format(names[0]))


@contextlib.contextmanager
def folder_with(image: bytes) -> Iterator[str]:
    """A folder of a class, with one image, for as long as it is needed."""
    folder = ""
    try:
        try:
            folder = tempfile.mkdtemp()
            os.mkdir(os.path.join(folder, "class"))
            with open(os.path.join(folder, "class", "image.png"), "wb") as file:
                file.write(image)
        except OSError as error:
            raise RoomError(error.strerror)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_load_img(target: Target, function: Function, x: Any, row: Row) -> Any:
    load, to_array = (
        found_in(target, ["utils." + name, "preprocessing.image." + name]) for name in ("load_img", "img_to_array")
    )
    using = row.get("using")
    loading, making = {}, {}  # type: Row, Row
    if using in SIZES:
        loading["target_size"] = SIZES[using]
    elif using in ("grayscale", "rgba"):
        loading["color_mode"] = using
    elif using is not None:
        making["data_format" if using == "channels_first" else "dtype"] = using
    with folder_with(png(x, row["file"])) as folder:
        path = os.path.join(folder, "class", "image.png")
        return None, only_if_installed(lambda: to_array(load(path, **loading), **making))


def run_directory(target: Target, function: Function, x: Any, row: Row) -> Any:
    make = found_in(target, ["utils.image_dataset_from_directory", "preprocessing.image_dataset_from_directory"])
    using = row.get("using")
    options = {"image_size": SIZES.get(using or "", x.shape[:2])}  # type: Row
    if using in ("grayscale", "rgba"):
        options["color_mode"] = using
    with folder_with(png(x, row["file"])) as folder:
        found = only_if_installed(lambda: make(folder, labels=None, label_mode=None, shuffle=False, **options))
        return None, next(iter(found))


def only_if_installed(call: Callable[[], Any]) -> Any:
    """What a call gives; a library that it needs may be missing here."""
    try:
        return call()
    except ImportError as error:
        raise UnavailableError(first_line(error))


def run_generator(target: Target, function: Function, x: Any, row: Row) -> Any:
    names = ["preprocessing.image.ImageDataGenerator", "_tf_keras.keras.preprocessing.image.ImageDataGenerator"]
    make = found_in(target, [*names, "src.legacy.preprocessing.image.ImageDataGenerator"])
    options = {}  # type: Row
    if row.get("using") != "rescale":
        options["preprocessing_function"] = function
    if row.get("using") is not None:
        options["rescale"] = 1 / 255
    return None, next(only_if_installed(lambda: make(**options)).flow(x, batch_size=len(x), shuffle=False))


class FirstLayerError(Exception):
    """A model has come to its first layer with weights, or one that pads."""


def run_built(target: Target, function: Function, x: Any, row: Row) -> Any:
    """What the first layer with weights of a model would be given, which is neither made nor loaded."""
    name, using = row["module"], row.get("using")
    make = getattr(target.keras.applications, name, None)
    if make is None:
        raise UnavailableError("this release has no {}".format(name))
    options = {"include_preprocessing": False} if using == "left-out" else {}  # type: Row
    if options and "include_preprocessing" not in make.__code__.co_varnames[: make.__code__.co_argcount]:
        raise UnavailableError("{} has no include_preprocessing".format(name))
    layers = target.keras.layers
    stopping = [layers.Conv2D, layers.DepthwiseConv2D, layers.ZeroPadding2D, layers.Dense]
    stopping.append(getattr(target.keras, "Sequential", None) or target.keras.models.Sequential)
    own = [one.__dict__.get("__call__") for one in stopping]

    def stop(self: Any, given: Any, *_: Any, **__: Any) -> Any:
        raise FirstLayerError(given)

    makes_input = getattr(target.keras, "Input", None) or layers.Input
    inputs = makes_input(shape=x.shape[1:])
    try:
        for one in stopping:
            one.__call__ = stop
        make(weights="imagenet" if using == "imagenet" else None, include_top=False, input_tensor=inputs, **options)
    except FirstLayerError as reached:
        outputs = reached.args[0]
    else:
        raise UnavailableError("{} has no layer that it could be stopped at".format(name))
    finally:
        for one, before in zip(stopping, own):  # noqa: B905
            if before is None:
                del one.__call__
            else:
                one.__call__ = before
    compare_shapes(tuple(outputs.shape), tuple(x.shape))
    return None, x.astype(np.float32) if outputs is inputs else call_model(target, inputs, outputs, x)


def run_converter(target: Target, function: Function, x: Any, row: Row) -> Any:
    try:
        hub = importlib.import_module("keras_hub")
    except Exception as error:
        raise UnavailableError("no KerasHub here: {}".format(first_line(error)))
    using, options = row.get("using"), {}  # type: Any, Row
    if using is not None:
        options["image_size"] = SIZES.get(using, x.shape[1:3])
    if "mode" in row:
        torch = row["mode"] == "torch"
        options["scale"] = [1 / (255 * s) for s in STD] if torch else 1 / 127.5
        options["offset"] = [-m / s for m, s in zip(MEAN, STD)] if torch else -1.0  # noqa: B905
        options["data_format"] = row["data_format"]
    make = getattr(hub.layers, using if using == "BLIP2ImageConverter" else "ImageConverter", None)
    if make is None:
        raise UnavailableError("this release has no {}".format(using or "ImageConverter"))
    return None, only_if_installed(lambda: make(**options)(x))


def run_tfdata(target: Target, function: Function, x: Any, row: Row) -> Any:
    if target.tf is None:
        raise UnavailableError("tf.data needs TensorFlow")
    data = target.tf.data.Dataset.from_tensors(x).map(function)
    if target.session:
        return None, in_session(target, data.make_one_shot_iterator().get_next(), {})
    return None, next(iter(data))


def run_abort(target: Target, function: Function, x: Any, row: Row) -> Any:
    os.abort()


def run_hang(target: Target, function: Function, x: Any, row: Row) -> Any:
    time.sleep(3600)


PATHS = {
    "ndarray": run_ndarray,
    "tensor": run_tensor,
    "variable": run_variable,
    "tf.variable": run_tf_variable,
    "graph": run_graph,
    "xla": run_xla,
    "model": run_model,
    "lambda": run_lambda,
    "tf.data": run_tfdata,
    # Layers that amount to the mode.
    "rescaling": run_rescaling,
    "normalization": run_normalization,
    "adapted": run_adapted,
    # What a pixel meets before and after ``preprocess_input``.
    "load_img": run_load_img,
    "directory": run_directory,
    "generator": run_generator,
    "built": run_built,
    "converter": run_converter,
    # For the tests of what drives this file.
    "test-abort": run_abort,
    "test-hang": run_hang,
}


# ---- one row ---------------------------------------------------------------------------------------------------------


def first_line(error: BaseException) -> str:
    """The first line of a message that says something; of a traced function's, the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return ""
    return (lines[-1] if lines[0] in ("in user code:", "in converted code:") else lines[0])[:200]


def error_name(error: BaseException) -> str:
    """The exception's type; of NumPy's, which come and go with its releases, the builtin one behind it."""
    for kind in type(error).__mro__:
        if not kind.__module__.startswith("numpy"):
            return kind.__name__
    return type(error).__name__


def settings(target: Target, row: Row, undo: List[Any]) -> None:
    """Set floatx and image_data_format as the row wants; add what undoes it to ``undo``."""
    for name in ("floatx", "image_data_format"):
        if name in row:
            before = getattr(target.keras.backend, name)()
            change = getattr(target.keras.backend, "set_" + name)
            try:
                change(row[name])
            except Exception as error:
                raise SettingError(error)
            undo.append((change, before))
    if "policy" in row:
        found = getattr(target.keras, "mixed_precision", None)  # type: Any
        found = getattr(found, "experimental", found) if not hasattr(found, "set_global_policy") else found
        change = getattr(found, "set_global_policy", None) or getattr(found, "set_policy", None)
        if change is None:
            raise UnavailableError("this release has no policies")
        current = getattr(found, "global_policy", None) or found.dtype_policy
        undo.append((change, current()))
        change(row["policy"])


def bytes_of(x: Any, target: Target) -> Optional[bytes]:
    found = to_array(x, target)
    return None if found is None else found.tobytes()


def aliasing(x: Any, y: Any, target: Target) -> str:
    """How the result relates to the input: the same object, memory in common, or neither."""
    if y is x:
        return "same"
    shared = False
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        shared = bool(np.may_share_memory(x, y))
    elif target.torch is not None and isinstance(x, target.torch.Tensor) and isinstance(y, target.torch.Tensor):
        shared = x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr() and x.numel() > 0
    return "shared" if shared else "fresh"


def answer(row: Row, arrays: Dict[str, Row], target: Target) -> Row:
    """What came back for one row."""
    said = {"id": row["id"]}  # type: Row
    undo = []  # type: List[Any]
    given = []  # type: List[Any]
    x = passed = before = None  # type: Any
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = target.module(row.get("module", "imagenet_utils") if row["path"] != "built" else "imagenet_utils")
            arguments = {key: row[key] for key in ("mode", "data_format") if key in row}
            if row.get("using") == "both":
                arguments["mode"] = "tf"
            x = LAYOUTS[row.get("layout", "C")](load_array(arrays[row["array"]], target))

            def function(value: Any) -> Any:
                given.append(value)
                return module.preprocess_input(value, **arguments)

            settings(target, row, undo)
            before = bytes_of(x, target)
            passed, y = PATHS[row["path"]](target, function, x, row)
            found = to_array(y, target)
            if found is None:
                said["type"] = "other"
            else:
                said["type"] = "array" if isinstance(y, (np.ndarray, np.generic)) else "tensor"
                said.update(describe_array(found))
            if passed is not None:
                said["aliasing"] = aliasing(passed, y, target)
        except UnavailableError as reason:
            said["skipped"] = str(reason)
        except RoomError as reason:
            said["no room"] = str(reason)
        except SettingError as refused:
            said["type"] = "setting"
            said["error"], said["message"] = error_name(refused.args[0]), first_line(refused.args[0])
        except Exception as error:
            said["error"], said["message"] = error_name(error), first_line(error)
            passed = given[0] if given else x
        finally:
            for change, value in undo:
                change(value)
    if "skipped" not in said:
        if row["path"] in ("ndarray", "tensor", "variable", "tf.variable") and before is not None:
            after = (bytes_of(passed, target), bytes_of(x, target))
            if any(found is not None and found != before for found in after):
                said["written"] = True
                left = to_array(passed, target)
                if "error" in said and left is not None:
                    said["left"] = describe_array(left)
        said["warnings"] = sorted({w.category.__name__ for w in caught})
    return said


def main() -> None:
    """Answer every row of the work on standard input."""
    # Libraries may print to standard output: the answers get it to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    warnings.simplefilter("ignore")

    def say(what: Row) -> None:
        answers.write(json.dumps(what, sort_keys=True) + "\n")
        answers.flush()

    work = json.loads(sys.stdin.readline())
    try:
        target = Target(work["target"])
        target.module("imagenet_utils")
        said = {"running": target.describe()}  # type: Row
    except BaseException as error:
        missing = isinstance(error, ImportError) and error.name == work["target"].partition(".")[0]
        say({"cannot": "{}: {}".format(type(error).__name__, first_line(error)), "missing": missing})
        return
    say(said)
    for line in sys.stdin:
        say(answer(json.loads(line), work["arrays"], target))
    answers.flush()
    # Some frameworks abort while they take themselves down; every answer is out by now.
    os._exit(0)


if __name__ == "__main__":
    main()
