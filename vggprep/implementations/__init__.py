"""What can be under test. ``Implementation`` is the one seam between the suite and everybody's code.

An implementation is one or two callables on NumPy arrays, with a name and what they claim. The other modules of this
package make such callables out of a Python function (``callables``), one of Keras's ways in (``keras``), a
program in any language (``commands``) or a model file (``models``); ``targets.load`` turns the words of a command
line into implementations.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from vggprep.errors import VggprepError
from vggprep.spec import DATA_FORMATS, DTYPES, LEVELS, MODELS, MODES, RANKS, DataFormat, Level, ModeName


@dataclass(frozen=True)
class Implementation:
    """Something to judge: a forward function, an inverse, or both, and what they claim.

    Args:
        name: how reports call it.
        preprocess: callable that takes an array of RGB images with values 0..255. ``mode=`` and
            ``data_format=`` are passed by name if its signature names them.
        deprocess: callable for the way back, called likewise. It may return an integer dtype (judged as
            pixels) or a floating one (judged as unrounded values).
        level: ``"exact"`` demands the bits of Keras's ndarray path; ``"faithful"`` the real-valued formula
            within 8 unit roundoffs of the magnitudes combined.
        modes, data_formats, dtypes, ranks: what it claims to accept. Refusing what is claimed is a failure;
            ``None`` claims nothing, and everything is tried.
        model: the ``keras.applications`` module, such as ``"vgg19"``, that it prepares images for: another way to
            claim its mode.
        writes_input: whether it overwrites float input, as Keras does. Otherwise that is a failure.
        native_only: give it native, C-contiguous arrays only, since it does not see the caller's memory
            (tensors, models, other programs).
        compiled: every new shape costs it a compilation; the suite then uses few shapes.
        serial: it answers one call at a time; calls from several threads are then not tried.
        source, inverse_source: from a mode and a data format, the Python lines that call it on an array ``x``
            in a reproducer; made from the function's name by default.
    """

    name: str
    preprocess: Callable[..., Any] | None = None
    deprocess: Callable[..., Any] | None = None
    _: KW_ONLY
    level: Level = "faithful"
    modes: Sequence[ModeName] | None = None
    data_formats: Sequence[DataFormat] | None = None
    dtypes: Sequence[str] | None = None
    ranks: Sequence[int] | None = None
    model: str | None = None
    writes_input: bool = False
    native_only: bool = False
    compiled: bool = False
    serial: bool = False
    source: Callable[[ModeName, DataFormat], str] | None = None
    inverse_source: Callable[[ModeName, DataFormat], str] | None = None

    def __post_init__(self) -> None:
        if self.preprocess is None and self.deprocess is None:
            raise TypeError(f"implementation {self.name!r} has neither preprocess nor deprocess")
        for function in (self.preprocess, self.deprocess):
            if function is not None and not callable(function):
                raise TypeError(f"implementation {self.name!r}: {function!r} is not callable")
        if self.model is not None:
            mode = mode_of(self.model)
            if self.modes is not None and tuple(self.modes) != (mode,):
                raise ValueError(f"model {self.model!r} has mode {mode!r}; got modes {self.modes!r}, too")
            object.__setattr__(self, "modes", (mode,))
        _one_of("level", (self.level,), LEVELS)
        _one_of("modes", self.modes, tuple(MODES))
        _one_of("data_formats", self.data_formats, DATA_FORMATS)
        _one_of("ranks", self.ranks, RANKS)
        _one_of("dtypes", self.dtypes, DTYPES)


class ModelError(VggprepError, ValueError):
    """A model that ``MODELS`` does not have; the message names those that are spelled alike."""


def mode_of(model: str) -> ModeName:
    """The mode of a ``keras.applications`` module: ``"vgg19"``, ``"VGG19"``, ``"keras.applications.vgg19"``.

    Raises ``ModelError`` for a name that is not in ``MODELS``.
    """
    name = model.rpartition(".")[2].lower()
    if name not in MODELS:
        alike = difflib.get_close_matches(name, MODELS, 4, 0.4) or list(MODELS)
        raise ModelError(f"unknown model {model!r}; did you mean {', '.join(alike)}? (vggprep modes lists all)")
    return MODELS[name]


def named(implementation: Implementation | Callable[..., Any]) -> Implementation:
    """An implementation as it is, or a forward function as one with its name."""
    if isinstance(implementation, Implementation):
        return implementation
    return Implementation(getattr(implementation, "__name__", type(implementation).__name__), implementation)


def _one_of(what: str, given: Sequence[Any] | None, accepted: Sequence[Any]) -> None:
    if isinstance(given, str):
        raise TypeError(f"{what} must be a sequence such as ({given!r},); got the string {given!r}")
    for value in given or ():
        if value not in accepted:
            raise ValueError(f"{what} must be among {', '.join(map(str, accepted))}; got {value!r}")
