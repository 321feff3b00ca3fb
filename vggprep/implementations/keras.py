"""Every way Keras offers to call ``preprocess_input``, each as an implementation of its own.

``ndarray`` (NumPy arrays), ``tensor`` (eager tensors), ``graph`` (a traced ``tf.function``), ``xla`` (compiled by
XLA) and ``model`` (a functional model whose Input has the case's dtype), of ``keras`` on whichever backend it runs
or of ``tf_keras``. Keras is imported when a path is loaded, never before.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation
from vggprep.spec import DATA_FORMATS, MODES, RANKS, DataFormat, ModeName

Array = npt.NDArray[Any]
Function = Callable[..., Any]

PACKAGES = ("keras", "tf_keras")
PATHS = ("ndarray", "tensor", "graph", "xla", "model")

_PATHS_OF_BACKEND = {
    "tensorflow": PATHS,
    "torch": ("ndarray", "tensor", "model"),
    "jax": ("ndarray", "tensor", "xla", "model"),
    "numpy": ("ndarray",),
    "openvino": ("ndarray",),
}


class UnavailableError(VggprepError):
    """Keras, or a path of it, is not available here; the message is one line that says what to do."""


def load(package: str, path: str | None = None) -> list[Implementation]:
    """The implementations of ``package`` (``"keras"`` or ``"tf_keras"``): one path, or all that its backend has."""
    if path is not None and path not in PATHS:
        raise UnavailableError(f"{package}:{path} is not a path of Keras; the paths are {', '.join(PATHS)}")
    keras = installed(package)
    backend = backend_of(package)
    available = _PATHS_OF_BACKEND.get(backend, ("ndarray",))
    if path is not None and path not in available:
        raise UnavailableError(
            f"{package}:{path} is not available on the {backend} backend; the paths are {', '.join(available)}"
        )
    return [_implementation(package, keras, backend, p) for p in available if path in (None, p)]


def installed(package: str) -> ModuleType:
    """The package, imported. Raises ``UnavailableError``."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up
    try:
        with mute_native_stderr():
            return importlib.import_module(package)
    except ImportError as error:
        needed = "keras tensorflow" if package == "keras" else package
        raise UnavailableError(f"cannot import {package}: {error}; try: pip install {needed}") from error


@contextlib.contextmanager
def mute_native_stderr() -> Iterator[None]:
    """Discard what native code prints while TensorFlow is imported."""
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def version_of(package: str) -> str:
    """The installed version of ``package``."""
    return str(installed(package).__version__)


def backend_of(package: str) -> str:
    """The backend that ``package`` runs on."""
    return str(installed(package).backend.backend()) if package == "keras" else "tensorflow"


def _implementation(package: str, keras: ModuleType, backend: str, path: str) -> Implementation:
    apply = functools.partial(_apply, keras)
    make: dict[str, Callable[[], Function]] = {
        "ndarray": lambda: apply,
        "tensor": lambda: _tensor(keras, backend, apply),
        "graph": lambda: _traced(apply, jit_compile=False),
        "xla": lambda: _traced(apply, jit_compile=True) if backend == "tensorflow" else _jitted(keras, apply),
        "model": lambda: _model(keras, backend, apply),
    }
    function = make[path]()

    def preprocess(x: Array, data_format: DataFormat | None = None, mode: ModeName = "caffe") -> Any:
        return function(x, data_format, mode)

    return Implementation(
        f"{package}:{path}",
        preprocess,
        level="exact" if path == "ndarray" else "faithful",
        # A mode that fails as a whole is a failure, and not refused.
        modes=tuple(MODES),
        data_formats=DATA_FORMATS,
        ranks=RANKS,
        writes_input=path == "ndarray",
        native_only=path != "ndarray",
        default_format=keras.backend.image_data_format(),
        # JAX compiles eager operations too, for every shape.
        compiled=path in ("graph", "xla") or (backend == "jax" and path != "ndarray"),
        source=functools.partial(_source, package, backend, path),
    )


def _apply(keras: ModuleType, x: Any, data_format: DataFormat | None, mode: ModeName) -> Any:
    if mode == "identity":
        return keras.applications.efficientnet.preprocess_input(x, data_format=data_format)
    given: dict[str, Any] = {} if mode == "caffe" else {"mode": mode}
    # Single images in the default format are handed over without it: so the defaults are judged, too.
    if len(x.shape) == 4 or data_format != keras.backend.image_data_format():
        given["data_format"] = data_format
    return keras.applications.imagenet_utils.preprocess_input(x, **given)


def _source(package: str, backend: str, path: str, mode: ModeName, data_format: DataFormat) -> str:
    """The reproducer's lines for an array ``x``."""
    if mode == "identity":
        call = f"{package}.applications.efficientnet.preprocess_input({{}}, data_format={data_format!r})"
    else:
        call = (
            f"{package}.applications.imagenet_utils.preprocess_input({{}}, data_format={data_format!r}, mode={mode!r})"
        )
    convert = "tf.convert_to_tensor(x)" if backend == "tensorflow" else f"{package}.ops.convert_to_tensor(x)"
    head = f"import {package}\n" + (
        "import tensorflow as tf\n" if backend == "tensorflow" and path != "ndarray" else ""
    )
    if path == "ndarray":
        return head + call.format("x")
    if path == "tensor":
        return head + call.format(convert)
    if path == "model":
        return (
            f"{head}inputs = {package}.Input(batch_shape=x.shape, dtype=x.dtype.name)\n"
            f"{package}.Model(inputs, {call.format('inputs')})({convert})"
        )
    if backend == "jax":
        return f"{head}import jax\njax.jit(lambda t: {call.format('t')})({convert})"
    jit = ", jit_compile=True" if path == "xla" else ""
    return f"{head}tf.function(lambda t: {call.format('t')}{jit})({convert})"


# Paths: each takes an array and returns an array -----------------------------------------------------------------


def _to_tensor(keras: ModuleType, backend: str, x: Array) -> Any:
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(x)
    tensor = keras.ops.convert_to_tensor(x, dtype=x.dtype.name)
    found = keras.backend.standardize_dtype(tensor.dtype)
    if found != x.dtype.name:  # JAX without its 64-bit mode
        raise TypeError(f"the {backend} backend turns {x.dtype.name} into {found}")
    return tensor


def _to_array(keras: ModuleType, backend: str, tensor: Any) -> Array:
    result: Array = tensor.numpy() if backend == "tensorflow" else np.asarray(keras.ops.convert_to_numpy(tensor))
    return result


def _tensor(keras: ModuleType, backend: str, apply: Function) -> Function:
    def call(x: Array, data_format: DataFormat | None, mode: ModeName) -> Array:
        tensor = _to_tensor(keras, backend, x)
        result = _to_array(keras, backend, apply(tensor, data_format, mode))
        if backend == "torch":  # its tensors can be written to: show the suite whether the caller's was
            np.copyto(x, _to_array(keras, backend, tensor))
        return result

    return call


def _traced(apply: Function, jit_compile: bool) -> Function:
    import tensorflow as tf

    @functools.cache
    def concrete(data_format: DataFormat | None, mode: ModeName, shape: tuple[int, ...], dtype: str) -> Function:
        traced = tf.function(lambda t: apply(t, data_format, mode), jit_compile=jit_compile, autograph=False)
        found: Function = traced.get_concrete_function(tf.TensorSpec(shape, dtype))
        return found

    def call(x: Array, data_format: DataFormat | None, mode: ModeName) -> Array:
        tensor = tf.convert_to_tensor(x)
        result: Array = concrete(data_format, mode, tuple(x.shape), tensor.dtype.name)(tensor).numpy()
        return result

    return call


def _jitted(keras: ModuleType, apply: Function) -> Function:
    import jax

    @functools.cache
    def compiled(data_format: DataFormat | None, mode: ModeName) -> Function:
        found: Function = jax.jit(lambda t: apply(t, data_format, mode))
        return found

    def call(x: Array, data_format: DataFormat | None, mode: ModeName) -> Array:
        return _to_array(keras, "jax", compiled(data_format, mode)(_to_tensor(keras, "jax", x)))

    return call


def _model(keras: ModuleType, backend: str, apply: Function) -> Function:
    @functools.cache
    def model(data_format: DataFormat | None, mode: ModeName, rank: int, dtype: str) -> Function:
        # Free height, width and batch: one model serves every size, as a user's would.
        shape: list[int | None] = [None] * rank
        its = data_format or keras.backend.image_data_format()
        shape[rank - 1 if its == "channels_last" else rank - 3] = 3
        inputs = keras.Input(batch_shape=tuple(shape), dtype=dtype)
        found: Function = keras.Model(inputs, apply(inputs, data_format, mode))
        return found

    def call(x: Array, data_format: DataFormat | None, mode: ModeName) -> Array:
        tensor = _to_tensor(keras, backend, x)
        return _to_array(keras, backend, model(data_format, mode, x.ndim, x.dtype.name)(tensor))

    return call
