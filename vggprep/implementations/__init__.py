"""What can be under test. ``Implementation`` is the one seam between the suite and everybody's code.

An implementation is one or two callables on NumPy arrays, with a name and what they claim. The other modules of this
package make such callables out of a Python function (``callables``), one of Keras's ways in (``keras``), a program in
any language (``commands``), a model file (``models``), a layer of KerasHub (``converters``) or the input of a whole
model (``constructors``); ``adapters`` are for functions of other things than arrays, ``isolation`` runs a function in
another process, and ``targets.load`` turns the words of a command line into implementations.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from vggprep.errors import VggprepError
from vggprep.implementations.adapters import (
    INPUT_ORDERS,
    TAKES,
    InputOrder,
    Takes,
    adaptation,
    adapted,
    check_size,
)
from vggprep.spec import (
    DATA_FORMATS,
    DTYPES,
    LEVELS,
    MODELS,
    MODES,
    RANKS,
    DataFormat,
    Level,
    Mode,
    ModeName,
    is_known,
    known,
)


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
            ``None`` claims nothing, and everything is tried. A mode may be a ``vggprep.Mode``: a function with a
            parameter ``mode`` gets its name, as it does of any other; one without is judged in it.
        model: the ``keras.applications`` module, such as ``"vgg19"``, that it prepares images for: another way to
            claim its mode.
        takes: what the functions take in place of an array: ``"pil"`` images and ``"path"``, of a PNG file, for
            forward functions, which are then claimed for uint8 images of rank 3 alone; ``"torch"``, ``"tf"`` and
            ``"jax"`` tensors.
        size: the height and width that all their images must have; images of other sizes are put into such frames.
        input_order: ``"bgr"`` for functions whose images have OpenCV's channel order: images are reversed before they
            are handed over, and after an inverse has returned them.
        writes_input: whether it overwrites float input, as Keras does. Otherwise that is a failure.
        default_format: the data format that leaving ``data_format`` out, or ``None``, stands for.
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
    modes: Sequence[Any] | None = None  # names and modes when given, names afterwards
    data_formats: Sequence[DataFormat] | None = None
    dtypes: Sequence[str] | None = None
    ranks: Sequence[int] | None = None
    model: str | None = None
    takes: Takes = "array"
    size: Sequence[int] | None = None
    input_order: InputOrder = "rgb"
    writes_input: bool = False
    native_only: bool = False
    default_format: DataFormat | None = None
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
        _one_of("takes", (self.takes,), TAKES)
        _one_of("input_order", (self.input_order,), INPUT_ORDERS)
        _one_of("level", (self.level,), LEVELS)
        object.__setattr__(self, "modes", _names(self.modes))
        _one_of("data_formats", self.data_formats, DATA_FORMATS)
        _one_of("ranks", self.ranks, RANKS)
        _one_of("dtypes", self.dtypes, DTYPES)
        self._adapt()

    def _adapt(self) -> None:
        """Make functions of arrays of functions that take something else."""
        if self.takes in ("pil", "path"):
            if self.deprocess is not None:
                raise ValueError(f"takes={self.takes!r} is for a forward function; judge the inverse by itself")
            for what, only in (("dtypes", ("uint8",)), ("ranks", (3,))):
                claimed = getattr(self, what)
                if claimed is not None and tuple(claimed) != only:
                    raise ValueError(f"takes={self.takes!r} means {what}={only!r}; got {what}={claimed!r}")
                object.__setattr__(self, what, only)
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        layout = self.data_formats[0] if self.data_formats is not None and len(self.data_formats) == 1 else None
        for name, inverse in (("preprocess", False), ("deprocess", True)):
            function = getattr(self, name)
            if function is None:
                continue
            function = adapted(
                function,
                takes=self.takes,
                size=self.size,
                input_order=self.input_order,
                layout=layout,
                inverse=inverse,
            )
            object.__setattr__(self, name, function)
            if adaptation(function).changes_arrays:
                object.__setattr__(self, "native_only", True)


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


def _names(modes: Sequence[ModeName | Mode] | None) -> Sequence[ModeName] | None:
    """The names under which modes are known from now on."""
    if isinstance(modes, (str, Mode)):
        what = "mode" if isinstance(modes, Mode) else "string"
        raise TypeError(f"modes must be a sequence such as ({modes!r},); got the {what} {modes!r}")
    for mode in modes or ():
        if not isinstance(mode, Mode) and not is_known(mode):
            raise ValueError(f"modes must be among {', '.join(MODES)}, or a Mode; got {mode!r}")
    return None if modes is None else tuple(map(known, modes))


def _one_of(what: str, given: Sequence[Any] | None, accepted: Sequence[Any]) -> None:
    if isinstance(given, str):
        raise TypeError(f"{what} must be a sequence such as ({given!r},); got the string {given!r}")
    for value in given or ():
        if value not in accepted:
            raise ValueError(f"{what} must be among {', '.join(map(str, accepted))}; got {value!r}")
