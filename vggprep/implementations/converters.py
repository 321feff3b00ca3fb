"""KerasHub's image converters under test: what they do to values.

That of a class as it is built without a preset, or one that a file describes. Resizing is left out, and not judged.
Imports NumPy; Keras and KerasHub when something is loaded.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.configurations import read_mode
from vggprep.constructors import CONVERTERS, NOTHING, PATCHES
from vggprep.implementations import Implementation
from vggprep.implementations.callables import describe
from vggprep.implementations.keras import UnavailableError, installed
from vggprep.spec import DataFormat, Mode, ModeName

PREFIX = "keras-hub"
Array = npt.NDArray[Any]


def load(target: str, rest: str) -> Implementation:
    """The converter of that class, or of that file, as an implementation in the one mode that it has.

    Raises:
        UnavailableError: KerasHub is not installed; no class or file of that name; a converter that cannot be built,
            or that returns something other than images.
        VggprepError: a file that no mode can be read from.
    """
    hub = _hub(target)
    keras = installed("keras")
    mode: Mode = NOTHING
    class_name = rest
    config: dict[str, Any] = {}
    if Path(rest).is_file():
        mode = read_mode(rest)
        class_name, config = _described(rest)
    converter_class = getattr(hub.layers, class_name, None) if class_name.endswith("ImageConverter") else None
    if converter_class is None:
        near = difflib.get_close_matches(class_name, [name for name in dir(hub.layers) if name.endswith("Converter")])
        hint = f"did you mean {', '.join(near)}?" if near else "vggprep modes --models lists them"
        raise UnavailableError(f"{target} names neither a file nor an image converter of keras_hub.layers; {hint}")
    if class_name in PATCHES:
        raise UnavailableError(f"{class_name} returns patches and no images: what it does to values is not judged")
    if not config:
        mode = CONVERTERS.get(class_name, NOTHING)

    @functools.cache
    def build(data_format: DataFormat) -> Any:
        made = converter_class.from_config({**config, "data_format": data_format})
        made.image_size = None
        return made

    def preprocess(x: Array, data_format: DataFormat) -> Array:
        return np.array(keras.ops.convert_to_numpy(build(data_format)(x)))

    try:
        shape = preprocess(np.zeros((1, 2, 2, 3), np.uint8), "channels_last").shape
    except Exception as error:
        raise UnavailableError(f"cannot use {class_name} of KerasHub {hub.__version__}: {describe(error)}") from error
    if shape != (1, 2, 2, 3):
        raise UnavailableError(f"{class_name} returns no images of the size that it is given: what it does to values "
                               "is not judged")  # fmt: skip
    return Implementation(
        f"{target} (values; resizing: not judged here)",
        preprocess,
        modes=(mode,),
        dtypes=("uint8",),  # as models in ``constructors``
        native_only=True,
        serial=True,
        source=functools.partial(_source, target),
    )


def _source(target: str, mode: ModeName, data_format: DataFormat) -> str:
    return f"from vggprep.implementations.targets import load\nload({target!r})[0].preprocess(x, {data_format!r})"


def _hub(target: str) -> ModuleType:
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise UnavailableError(f"{target} needs KerasHub: pip install keras-hub ({describe(error)})") from error


def _described(path: str) -> tuple[str, dict[str, Any]]:
    """Class and configuration of the first converter in a file, which ``read_mode`` has found to be the only one."""
    found = next(_converters(json.loads(Path(path).read_text(encoding="utf-8-sig"))), None)
    if found is None:
        raise UnavailableError(f"{path} describes no image converter of KerasHub")
    return found


def _converters(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, Mapping):
        name = str(value.get("class_name")).rpartition(">")[2]
        if name.endswith("ImageConverter") and isinstance(value.get("config"), dict):
            yield name, value["config"]
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _converters(one)
