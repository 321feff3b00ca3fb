"""The models of ``keras.applications`` under test: what they do to a pixel before their first weight.

That is the operations before the first that has weights to train, of the model that the installed Keras builds. No
weights are fetched, and none are made. Imports NumPy; Keras when something is loaded.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.constructors import CONSTRUCTORS, WEIGHTS, Weights
from vggprep.implementations import Implementation
from vggprep.implementations.callables import describe
from vggprep.implementations.keras import PATHS, UnavailableError, installed, mute_native_stderr
from vggprep.spec import DataFormat, ModeName, known

Array = npt.NDArray[Any]
Built = tuple[str, tuple[Callable[[Any], Any], ...]]


def load(target: str, name: str) -> Implementation:
    """The model's own preprocessing as an implementation, in a mode for each graph that the constructor builds.

    Raises:
        UnavailableError: a name that the table or the installed Keras does not have, or that it cannot build.
    """
    if name not in CONSTRUCTORS:
        lowered = {one.lower(): one for one in (*PATHS, *CONSTRUCTORS)}
        near = [lowered[one] for one in difflib.get_close_matches(name.lower(), lowered, 4, 0.5)]
        raise UnavailableError(
            f"{target} is neither a path of Keras ({', '.join(PATHS)}) nor a constructor of keras.applications; "
            + (f"did you mean {', '.join(near)}?" if near else "vggprep modes --models lists all")
        )
    family = CONSTRUCTORS[name]
    keras = installed("keras")
    graphs: dict[ModeName, Weights] = {}
    for weights in WEIGHTS:
        graphs.setdefault(known(family.does(weights)), weights)

    @functools.cache  # what cannot be built is not tried again, either
    def build(weights: Weights, data_format: DataFormat) -> Built | Exception:
        try:
            return inside(keras, name, weights, data_format)
        except Exception as error:
            return error

    if isinstance(failed := build(None, "channels_last"), Exception):
        raise UnavailableError(f"cannot build {name} of Keras {keras.__version__}: {describe(failed)}") from failed

    def preprocess(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
        if mode not in graphs:
            raise ValueError(f"mode must be one of {', '.join(graphs)}; got {mode!r}")
        built = build(graphs[mode], data_format)
        if isinstance(built, Exception):
            raise built.with_traceback(None)
        return apply(keras, built, x, data_format)

    return Implementation(
        target,
        preprocess,
        modes=tuple(graphs),
        # Of float32, TensorFlow and XLA take the subnormal for 0, which no image has.
        dtypes=("uint8",),
        ranks=(4,),
        native_only=True,
        serial=True,  # Keras's data format is that of the whole process
        source=functools.partial(_source, target),
    )


def _source(target: str, mode: ModeName, data_format: DataFormat) -> str:
    return (
        "from vggprep.implementations.targets import load\n"
        f"load({target!r})[0].preprocess(x, {data_format!r}, {mode!r})"
    )


def inside(keras: ModuleType, name: str, weights: Weights, data_format: DataFormat, **options: Any) -> Built:
    """The dtype of a new model's input, and its operations before the first that has weights to train, or pads.

    Raises:
        ValueError: from the constructor; or if these operations do not follow one upon the other,
            or one of them says that its output has another shape than the images.
    """
    made = getattr(keras.applications, name)
    # Outside of this scope the weights would be made.
    with _data_format(keras, data_format), _nothing_loaded(keras), keras.StatelessScope(initialize_variables=False):
        model = made(weights=weights, include_top=False, **options)
    last, *operations = model.operations
    found = []
    for operation in operations:
        if isinstance(operation, keras.layers.ZeroPadding2D) or getattr(operation, "trainable_weights", None):
            break
        if operation.input is not last.output:
            raise ValueError(f"{name} branches before its first weight, at {operation.name}")
        if operation.output.shape != last.output.shape:  # Keras 3.11.0: the next kernel is made for one channel
            raise ValueError(
                f"{operation.name} of {name} says that {operation.output.shape} comes out of {last.output.shape}"
            )
        found.append(operation)
        last = operation
    return keras.backend.standardize_dtype(model.inputs[0].dtype), tuple(found)


def apply(keras: ModuleType, built: Built, x: Array, data_format: DataFormat) -> Array:
    """What the first weight is given for a batch of images."""
    dtype, operations = built
    with _data_format(keras, data_format):
        y = keras.ops.convert_to_tensor(x, dtype=dtype)
        for operation in operations:
            y = operation(y)
        return np.array(keras.ops.convert_to_numpy(y))


@contextlib.contextmanager
def _data_format(keras: ModuleType, data_format: DataFormat) -> Iterator[None]:
    """Keras's setting, which Rescaling reads when it is built and each time it is called."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


@contextlib.contextmanager
def _nothing_loaded(keras: ModuleType) -> Iterator[None]:
    """The graph of ``weights="imagenet"`` without its weights: nothing is fetched."""
    files, model = sys.modules[keras.utils.get_file.__module__], keras.Model
    before = files.get_file, model.load_weights
    files.get_file = model.load_weights = lambda *_, **__: None  # type: ignore[attr-defined]
    try:
        with mute_native_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes for which there are no weights
            yield
    finally:
        files.get_file, model.load_weights = before  # type: ignore[attr-defined]
