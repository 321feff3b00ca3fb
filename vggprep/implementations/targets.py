"""From the words of a command line to implementations."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, commands, models
from vggprep.implementations import keras as keras_paths
from vggprep.implementations.callables import describe
from vggprep.spec import DataFormat, Level, ModeName

SYNTAX = (
    "module:attribute, reference, vggprep, vggprep:BACKEND, keras, keras:PATH, tf_keras, tf_keras:PATH, "
    "command:PROGRAM ARGS, onnx:FILE, tflite:FILE, savedmodel:DIR or keras-model:FILE"
)


class TargetError(VggprepError):
    """A target that cannot be loaded; the message is one line that says what and what to do."""


def load(
    target: str,
    *,
    level: Level | None = None,
    writes_input: bool = False,
    timeout: float | None = None,
    input_name: str | None = None,
    tensor_name: str | None = None,
) -> list[Implementation]:
    """The implementations that ``target`` names. Raises ``TargetError``.

    ``timeout``: the seconds that a program has for an answer. ``input_name``, ``tensor_name``: of a model file, the
    input that takes images and the tensor to look at in place of the output.
    """
    if target.partition(":")[0] in models.KINDS:
        found = _load_model(target, input_name, tensor_name)
    elif input_name or tensor_name:
        raise TargetError(f"{target} is no model file: --input and --tensor are for {', '.join(models.KINDS)}")
    else:
        found = _load(target, timeout)
    if level is not None:
        found = [replace(implementation, level=level) for implementation in found]
    if writes_input:
        found = [replace(implementation, writes_input=True) for implementation in found]
    return found


def _load_model(target: str, input_name: str | None, tensor_name: str | None) -> list[Implementation]:
    kind, _, path = target.partition(":")
    if not path:
        raise TargetError(f"{target} needs a file, such as {kind}:model")
    try:
        return [models.load(target, kind, path, input_name, tensor_name)]
    except models.ModelError as error:
        raise TargetError(str(error)) from error


def _load(target: str, timeout: float | None) -> list[Implementation]:
    prefix, _, rest = target.partition(":")
    if _is_ours(target):
        return _ours(target)
    if prefix in keras_paths.PACKAGES:
        try:
            return keras_paths.load(prefix, rest or None)
        except keras_paths.UnavailableError as error:
            raise TargetError(str(error)) from error
    if prefix == "command":
        try:
            return [commands.load(target, rest, timeout)]
        except commands.CommandError as error:
            raise TargetError(str(error)) from error
    if not rest:
        raise TargetError(f"{target!r} is no target; a target is {SYNTAX}")
    attribute = _attribute(target, prefix, rest)
    if isinstance(attribute, Implementation):
        return [attribute]
    if not callable(attribute):
        raise TargetError(f"{target} is {type(attribute).__name__}, neither a function nor an Implementation")
    return [Implementation(target, attribute, source=functools.partial(_call_source, prefix, rest, attribute))]


@dataclass(frozen=True)
class TargetSpec:
    """What a command line names: targets, perhaps an inverse for them, and how to take them."""

    targets: tuple[str, ...]
    inverse: str | None = None
    level: Level | None = None
    writes_input: bool = False
    timeout: float | None = None
    input_name: str | None = None
    tensor_name: str | None = None


def load_all(wanted: TargetSpec) -> list[Implementation]:
    """The implementations that a command line names. Raises ``TargetError``."""
    found = [
        implementation
        for target in wanted.targets
        for implementation in load(
            target,
            level=wanted.level,
            writes_input=wanted.writes_input,
            timeout=wanted.timeout,
            input_name=wanted.input_name,
            tensor_name=wanted.tensor_name,
        )
    ]
    inverse, targets = wanted.inverse, wanted.targets
    if inverse is None:
        return found
    function, source, whole = load_inverse(inverse, wanted.timeout)
    forward = [i for i in found if i.preprocess is not None]
    if targets and not forward:
        raise TargetError(f"{', '.join(targets)} has no forward function to judge with --inverse; leave it out")
    if forward:
        return [replace(i, deprocess=function, inverse_source=source) for i in forward]
    if whole is not None:
        return [replace(whole, preprocess=None, level=wanted.level or whole.level)]
    outside = inverse.startswith("command:")
    return [
        Implementation(
            inverse,
            deprocess=function,
            level=wanted.level or "faithful",
            native_only=outside,
            serial=outside,
            inverse_source=source,
        )
    ]


def load_inverse(
    target: str, timeout: float | None = None
) -> tuple[Callable[..., Any], Callable[[ModeName, DataFormat], str] | None, Implementation | None]:
    """The inverse function that ``target`` names, how a reproducer calls it, and the Implementation it is of, if so.

    Raises ``TargetError``.
    """
    if _is_ours(target):
        ours = _ours(target)[0]
        assert ours.deprocess is not None
        return ours.deprocess, ours.inverse_source, ours
    prefix, _, rest = target.partition(":")
    if prefix in keras_paths.PACKAGES:
        raise TargetError(f"{target}: Keras has no inverse of preprocess_input")
    if prefix == "command":
        try:
            return (*commands.load_inverse(rest, timeout), None)
        except commands.CommandError as error:
            raise TargetError(str(error)) from error
    if not rest:
        raise TargetError(
            f"{target!r} is no inverse; an inverse is module:attribute, command:PROGRAM, reference or vggprep"
        )
    attribute = _attribute(target, prefix, rest)
    if isinstance(attribute, Implementation):
        if attribute.deprocess is None:
            raise TargetError(f"{target} is an Implementation without an inverse (deprocess)")
        return attribute.deprocess, attribute.inverse_source, attribute
    if not callable(attribute):
        raise TargetError(f"{target} is {type(attribute).__name__}, neither a function nor an Implementation")
    return attribute, functools.partial(_call_source, prefix, rest, attribute), None


def _attribute(target: str, module: str, path: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as python -m does
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            raise TargetError(f"cannot load {target}: there is no module {error.name}") from error
        raise TargetError(f"cannot load {target}: {module} fails to import: {describe(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything when it is imported
        raise TargetError(f"cannot load {target}: {module} fails to import: {describe(error)}") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            names = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n, None))]
            known = f"; it has {', '.join(names[:8])}" if names else ""
            raise TargetError(f"cannot load {target}: {module} has no attribute {name!r}{known}") from error
    return found


def _call_source(module: str, path: str, function: Callable[..., Any], mode: ModeName, data_format: DataFormat) -> str:
    from vggprep.implementations.callables import keywords

    words = [f"{k}={v!r}" for k, v in keywords(function, mode, data_format).items()]
    first, _, rest = path.partition(".")
    name = f"{first}.{rest}" if rest else first
    return f"from {module} import {first}\n{name}({', '.join(['x', *words])})"


def _is_ours(target: str) -> bool:
    from vggprep.functions import BACKENDS

    return target in ("reference", "vggprep") or target in {f"vggprep:{backend}" for backend in BACKENDS}


def _ours(target: str) -> list[Implementation]:
    """The public functions, on the default backend or a given one; the inverse to pixels and to floats."""
    from vggprep import kernels
    from vggprep.functions import deprocess_input, preprocess_input

    backend = "reference" if target == "reference" else target.partition(":")[2]
    if backend == "numba" and not kernels.is_numba_installed():
        raise TargetError(f'{target} needs numba, which is not installed: pip install "vggprep[numba]"')
    words = {"backend": backend} if backend else {}

    def preprocess(x: Any, data_format: DataFormat, mode: ModeName) -> Any:
        return preprocess_input(x, data_format, mode, **words)  # type: ignore[arg-type]

    def deprocess(y: Any, data_format: DataFormat, mode: ModeName) -> Any:
        return deprocess_input(y, data_format, mode, **words)  # type: ignore[arg-type]

    def unrounded(y: Any, data_format: DataFormat, mode: ModeName) -> Any:
        return deprocess_input(y, data_format, mode, dtype=None, **words)  # type: ignore[arg-type]

    extra = "".join(f", {key}={value!r}" for key, value in words.items())
    call = "import vggprep\nvggprep.{}(x, {data_format}, {mode}{})"

    def source(name: str, more: str, mode: ModeName, data_format: DataFormat) -> str:
        return call.format(name, more, mode=repr(mode), data_format=repr(data_format))

    forward = functools.partial(source, "preprocess_input", extra)
    return [
        Implementation(
            target,
            preprocess,
            deprocess,
            level="exact",
            source=forward,
            inverse_source=functools.partial(source, "deprocess_input", extra),
        ),
        Implementation(
            f"{target} (inverse to floats)",
            deprocess=unrounded,
            level="exact",
            inverse_source=functools.partial(source, "deprocess_input", f", dtype=None{extra}"),
        ),
    ]
