"""From the words of a command line to implementations."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from vggprep.errors import VggprepError
from vggprep.implementations import Implementation, commands, constructors, converters, models
from vggprep.implementations import keras as keras_paths
from vggprep.implementations.adapters import InputOrder, Takes, changed
from vggprep.implementations.callables import describe, keywords
from vggprep.implementations.isolation import Worker
from vggprep.spec import DataFormat, Level, ModeName, as_source

SYNTAX = (
    "module:attribute, reference, vggprep, vggprep:BACKEND, keras, keras:PATH, keras:NAME, tf_keras, tf_keras:PATH, "
    "keras-hub:NAME, keras-hub:FILE, command:PROGRAM ARGS, onnx:FILE, tflite:FILE, savedmodel:DIR or keras-model:FILE"
)


class TargetError(VggprepError):
    """A target that cannot be loaded; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class TargetSpec:
    """What a command line names: targets, perhaps an inverse for them, and how to load them.

    ``timeout``: the seconds that a program, or a function in a process of its own, has for an answer. ``input_name``,
    ``tensor_name``: of a model file, the input that takes images and the tensor to judge instead of the output.
    ``takes``, ``size``, ``input_order``: of Python functions, as in ``Implementation``.
    ``isolated``: load Python functions and model files in processes of their own, which they cannot take the suite
    down with.
    """

    targets: tuple[str, ...]
    inverse: str | None = None
    level: Level | None = None
    writes_input: bool = False
    timeout: float | None = None
    input_name: str | None = None
    tensor_name: str | None = None
    isolated: bool = False
    takes: Takes | None = None
    size: tuple[int, int] | None = None
    input_order: InputOrder | None = None

    @property
    def adaptation(self) -> dict[str, Any]:
        """What is said of what functions take, by the fields of ``Implementation``."""
        said = {"takes": self.takes, "size": self.size, "input_order": self.input_order}
        return {field: value for field, value in said.items() if value is not None}


def load(target: str, **options: Any) -> list[Implementation]:
    """The implementations that ``target`` names; ``options`` as in ``TargetSpec``. Raises ``VggprepError``."""
    return load_all(TargetSpec((target,), **options))


def load_all(spec: TargetSpec) -> list[Implementation]:
    """The implementations that a command line names. Raises ``VggprepError``."""
    if spec.adaptation:
        for target in (*spec.targets, *filter(None, [spec.inverse])):
            if not _is_foreign(target) or target.partition(":")[0] in models.KINDS:
                raise TargetError(f"{target} takes arrays: --takes, --size and --input-order are for module:attribute")
        plain = load_all(replace(spec, takes=None, size=None, input_order=None))
        try:
            return [changed(implementation, **spec.adaptation) for implementation in plain]
        except ValueError as error:
            raise TargetError(f"{', '.join(spec.targets) or spec.inverse}: {error}") from error
    isolated = spec.isolated and os.name == "posix"
    if isolated and len(spec.targets) < 2 and all(map(_is_foreign, (*spec.targets, spec.inverse or "module:inverse"))):
        return _isolated(spec)
    found = [
        implementation
        for target in spec.targets
        for implementation in (
            _isolated(replace(spec, targets=(target,), inverse=None))
            if isolated and _is_foreign(target)
            else _load(target, spec)
        )
    ]
    if spec.inverse is not None:
        inverse = (
            _isolated(replace(spec, targets=()))[0]
            if isolated and _is_foreign(spec.inverse)
            else load_inverse(spec.inverse, spec.timeout)
        )
        forward = [implementation for implementation in found if implementation.preprocess is not None]
        if spec.targets and not forward:
            raise TargetError(
                f"{', '.join(spec.targets)} has no forward function to judge with --inverse; leave it out"
            )
        found = [replace(f, deprocess=inverse.deprocess, inverse_source=inverse.inverse_source) for f in forward]
        found = found or [replace(inverse, preprocess=None)]
    if spec.level is not None:
        found = [replace(implementation, level=spec.level) for implementation in found]
    if spec.writes_input:
        found = [replace(implementation, writes_input=True) for implementation in found]
    return found


def _is_foreign(target: str) -> bool:
    """Whether a target is code that nothing is known of, to be run in this process or in another."""
    return not _is_ours(target) and target.partition(":")[0] not in (
        *keras_paths.PACKAGES,
        converters.PREFIX,
        "command",
    )


def _isolated(spec: TargetSpec) -> list[Implementation]:
    return Worker(asdict(replace(spec, isolated=False)), spec.timeout).load()


def _load(target: str, spec: TargetSpec) -> list[Implementation]:
    prefix, _, rest = target.partition(":")
    if prefix in models.KINDS:
        if not rest:
            raise TargetError(f"{target} needs a file, such as {prefix}:model")
        return [models.load(target, prefix, rest, spec.input_name, spec.tensor_name)]
    if spec.input_name or spec.tensor_name:
        raise TargetError(f"{target} is not a model file: --input and --tensor are for {', '.join(models.KINDS)}")
    if _is_ours(target):
        return _ours(target)
    if prefix == "keras" and rest not in ("", *keras_paths.PATHS):
        return [constructors.load(target, rest)]
    if prefix == converters.PREFIX:
        return [converters.load(target, rest)]
    if prefix in keras_paths.PACKAGES:
        return keras_paths.load(prefix, rest or None)
    if prefix == "command":
        return [commands.load(target, rest, spec.timeout)]
    if not rest:
        raise TargetError(f"{target!r} is not a valid target; a target is {SYNTAX}")
    attribute = _callable(target, prefix, rest)
    if isinstance(attribute, Implementation):
        return [_sourced(attribute, prefix, rest)]
    return [Implementation(target, attribute, source=functools.partial(_call_source, prefix, rest, attribute))]


def load_inverse(target: str, timeout: float | None = None) -> Implementation:
    """The inverse that ``target`` names, as an implementation that may have a forward function, too."""
    prefix, _, rest = target.partition(":")
    if _is_ours(target):
        return _ours(target)[0]
    if prefix in (*keras_paths.PACKAGES, converters.PREFIX):
        raise TargetError(f"{target}: Keras has no inverse of preprocess_input")
    if prefix == "command":
        function, source = commands.load_inverse(rest, timeout)
        return Implementation(target, deprocess=function, native_only=True, serial=True, inverse_source=source)
    if not rest:
        raise TargetError(
            f"{target!r} is not a valid inverse; an inverse is module:attribute, command:PROGRAM, reference or vggprep"
        )
    attribute = _callable(target, prefix, rest)
    if not isinstance(attribute, Implementation):
        source = functools.partial(_call_source, prefix, rest, attribute)
        return Implementation(target, deprocess=attribute, inverse_source=source)
    if attribute.deprocess is None:
        raise TargetError(f"{target} is an Implementation without an inverse (deprocess)")
    return _sourced(attribute, prefix, rest)


def _sourced(implementation: Implementation, module: str, path: str) -> Implementation:
    """An implementation that can be called by its name in a module, unless it says how itself."""
    call = functools.partial(_call_source, module)
    found = {
        word: functools.partial(call, f"{path}.{name}", function)
        for word, name, function in (
            ("source", "preprocess", implementation.preprocess),
            ("inverse_source", "deprocess", implementation.deprocess),
        )
        if function is not None and getattr(implementation, word) is None
    }
    return replace(implementation, **found)  # type: ignore[arg-type]


def _callable(target: str, module: str, path: str) -> Any:
    """The function or ``Implementation`` that ``module:path`` names."""
    attribute = _attribute(target, module, path)
    if not isinstance(attribute, Implementation) and not callable(attribute):
        raise TargetError(f"{target} is {type(attribute).__name__}, neither a function nor an Implementation")
    return attribute


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
        raise TargetError(f"{target} needs numba, which is not installed: pip install numba")
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
        return call.format(name, more, mode=as_source(mode), data_format=repr(data_format))

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
