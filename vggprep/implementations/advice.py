"""What a function under test seems to want, found by calling it: one size, another kind of image, other words.

``recognised`` asks before a function is judged; one that returns an image of the input's shape, with more than three
different values, is called once. A framework is tried only where the function's process has imported it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vggprep.implementations.adapters import Takes, adaptation, adapted, changed
from vggprep.implementations.callables import Outcome, Parameters, call, parameters
from vggprep.spec import DATA_FORMATS, MODES, DataFormat, registered

if TYPE_CHECKING:
    from vggprep.implementations import Implementation

Array = npt.NDArray[Any]
Function = Callable[..., Any]

SIZES = (224, 299, 331, 227, 256, 384, 512)
"""The heights and widths of images that published models take."""

NoteKind = Literal[
    "one_size", "one_size_alone", "one_image", "resizes", "mixes", "channels_first", "takes_channels_first", "wants",
    "wants_dict", "wants_keyword", "required", "mode_word", "mode_refused", "data_format_words", "layout_parameter",
]  # fmt: skip

NOTES: Mapping[NoteKind, str] = {
    "one_size": "refuses images of {small} and accepts {size}: judged at that size",
    "one_size_alone": "returns the same for all images of {small}, but not for those of {size}: judged at that size",
    "one_image": "refuses batches of more than one image and accepts one of {size}: wrap it as "
    "lambda x: np.concatenate([{name}(image[None]) for image in x]), and judge it with --size {size}",
    "resizes": "returns images of {size} whatever their size: judged at that size; resizing is not judged",
    "mixes": "returns images of {size} whatever their size, and mixes the pixels even of one of that size: resizing "
    "and cropping are not judged, so wrap the part after them",
    "channels_first": "returns channels first: judged as such",
    "takes_channels_first": "refuses channels last and accepts channels first: judged as such",
    "wants": "refuses arrays and accepts {what}: judge it with --takes {word}, which is takes={word!r} of an "
    "Implementation",
    "wants_dict": "refuses arrays and accepts a dict: wrap it as lambda x: {name}({{'image': x}})",
    "wants_keyword": "refuses arrays by position and accepts image=: wrap it as lambda x: {name}(image=x)",
    "required": "needs {names} besides the image: wrap it as functools.partial({name}, {arguments})",
    "mode_word": "its mode means something else ({default!r} by default; {modes} are refused or ignored): judged "
    "without mode",
    "mode_refused": "refuses every mode ({modes}): if its mode means something else, wrap it as "
    "lambda x: {name}(x, mode=...)",
    "data_format_words": "refuses channels_last and accepts data_format={word!r}: wrap it as lambda x, data_format: "
    '{name}(x, data_format={{"channels_last": {word!r}, "channels_first": {other!r}}}[data_format])',
    "layout_parameter": "its parameter {parameter} seems to be the data format, and is left at its default: to have "
    "both judged, wrap it in a function that takes data_format",
}

_WHAT: Mapping[Takes, str] = {
    "pil": "PIL images",
    "path": "the path of an image file",
    "torch": "torch tensors",
    "tf": "TensorFlow tensors",
    "jax": "JAX arrays",
    "keyword": "",
    "dict": "",
}

_ENDED = ("process_ended", "hangs", "given_up")


class Note(NamedTuple):
    """Something about how a function is called, with what its sentence in ``NOTES`` needs."""

    kind: NoteKind
    about: Mapping[str, Any]

    def __str__(self) -> str:
        return NOTES[self.kind].format_map(self.about)


class _Stop(Exception):
    """The function ended its process or hung: it is asked no more."""


def recognised(implementation: Implementation) -> tuple[Implementation, list[Note]]:
    """An implementation that is called as its functions can be called, and what there is to say about that."""
    notes: list[Note] = []
    for inverse, field in ((False, "preprocess"), (True, "deprocess")):
        function = getattr(implementation, field)
        # A program, a model file or a wrapper has said what it takes.
        if function is None or implementation.compiled:
            continue
        if implementation.native_only and adaptation(function).is_plain:
            continue
        asker = _Asker(implementation, function, inverse)
        try:
            changes = asker.find()
        except _Stop:
            continue
        if changes.pop("without_mode", False):
            changes[field] = adapted(function, with_mode=False)
        implementation = changed(implementation, **changes)
        notes += asker.notes
    return implementation, notes


class _Asker:
    """One function, asked."""

    def __init__(self, implementation: Implementation, function: Function, inverse: bool) -> None:
        self.implementation, self.function, self.inverse = implementation, function, inverse
        self.takes: Parameters = parameters(function)
        self.name = implementation.name.rpartition(":")[2]
        self.notes: list[Note] = []

    def note(self, kind: NoteKind, **about: Any) -> None:
        self.notes.append(Note(kind, {"name": self.name, **about}))

    def call(self, array: Array, *, function: Function | None = None, mode: Any = None, words: Any = None) -> Outcome:
        mode = mode or next(iter(self.implementation.modes or MODES))
        outcome = call(function or self.function, array.copy(), mode, words or self.layout)
        if outcome.problem is not None and outcome.problem.kind in _ENDED:
            raise _Stop
        return outcome

    @property
    def layout(self) -> DataFormat:
        return next(iter(self.implementation.data_formats or ("channels_last",)))

    def images(self, height: int, width: int, layout: DataFormat | None = None) -> Iterator[Array]:
        """An image and a batch in the dtypes that a function is most likely to take."""
        layout = layout or self.layout
        claimed = self.implementation.dtypes
        dtypes = [d for d in ("float32", "uint8")[: 1 if self.inverse else 2] if claimed is None or d in claimed]
        shapes = [(2, height, width, 3), (height, width, 3)]
        ranks = self.implementation.ranks or (4, 3)
        for dtype, shape in product(dtypes, [shape for shape in shapes if len(shape) in ranks]):
            image = (np.arange(np.prod(shape)).reshape(shape) * 89 % 256).astype(dtype)
            yield image if layout == "channels_last" else np.ascontiguousarray(np.moveaxis(image, -1, -3))

    def find(self) -> dict[str, Any]:
        """The fields of the implementation to change."""
        takes = self.takes
        if takes.required:
            arguments = ", ".join(f"{name}=..." for name in takes.required)
            self.note("required", names=" and ".join(takes.required), arguments=arguments)
            return {}
        if takes.layouts and not takes.data_format:
            self.note("layout_parameter", parameter=takes.layouts[0])
        returned: list[tuple[Array, Outcome]] = []
        for array in self.images(*_SMALL):
            outcome = self.call(array)
            if outcome.output is not None and outcome.output.shape == array.shape:
                flat = len(np.unique(outcome.output)) <= 3 and self.ignores(array)
                return (self.at_one_size(array) if flat else {}) or self.without_mode(array)
            returned += [(array, outcome)] if outcome.refusal is None else []
        if returned:
            return self.of_one_output(*returned[0])
        for array in self.images(*_SMALL):
            if changes := self.without_mode(array):
                return changes
        if any(self.call(a, mode=m).refusal is None for m in self.modes for a in self.images(*_SMALL)):
            return {}
        return self.at_one_size() or self.channels_first() or self.otherwise()

    @property
    def modes(self) -> list[Any]:
        """The other modes that it may take."""
        return list(self.implementation.modes or MODES)[1:] if self.takes.mode else []

    def without_mode(self, array: Array) -> dict[str, Any]:
        """Whether its mode means something else: it has a default that is no mode, and modes change nothing."""
        default = self.takes.mode_default
        known = (*MODES, *(mode.name for mode in registered()))
        if not self.takes.mode or self.implementation.modes is not None or default is None or default in known:
            return {}
        plain = self.call(array, function=adapted(self.function, with_mode=False)).output
        if plain is None:
            return {}
        for mode in known:
            outcome = self.call(array, mode=mode)
            if outcome.refusal is None and not _same(plain, outcome.output):
                return {}
        self.note("mode_word", default=default, modes=", ".join(MODES))
        return {"without_mode": True}

    # One size

    def of_one_output(self, array: Array, outcome: Outcome) -> dict[str, Any]:
        """What returns images of another shape: of one size, or channels first."""
        changes: dict[str, Any] = {}
        if outcome.output is None:
            return changes
        moved = self.is_moved(outcome.output.shape, array.shape)
        size = None if moved else _size_of(outcome.output)
        if size is not None and all(
            any(self.returns(other, outcome.output.shape) for other in self.images(*shape) if other.ndim == array.ndim)
            for shape in ((11, 13), (size[0] + 13, size[1] + 11))  # what pads images returns larger ones larger
        ):
            found = self.at(size)
            if found is None:
                return changes
            image, after = found
            one = image.copy()
            one[..., size[0] // 2, size[1] // 3, :] = 255 - one[..., size[0] // 2, size[1] // 3, :]
            other = self.call(one).output if self.layout == "channels_last" else after
            # A pixel of each image has changed, in three channels.
            if other is None or np.count_nonzero(other != after) > 3 * (len(image) if image.ndim == 4 else 1):
                self.note("mixes", size=_shown(size))
                return changes
            self.note("resizes", size=_shown(size))
            changes |= {"size": size}
            moved = self.is_moved(after.shape, image.shape)
        if moved and self.implementation.data_formats is None and self.implementation.takes in ("pil", "path"):
            # What it is given has no data format: that of its result is as good as the other.
            self.note("channels_first")
            changes["data_formats"] = ("channels_first",)
        return changes

    def returns(self, image: Array, shape: tuple[int, ...]) -> bool:
        """Whether an image becomes one of a shape."""
        y = self.call(image).output
        return y is not None and y.shape[-3:] == shape[-3:]

    def is_moved(self, got: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Whether an output of shape ``got`` has the other data format."""
        return self.layout == "channels_last" and got == (*shape[:-3], shape[-1], *shape[-3:-1]) and got != shape

    def at(self, size: tuple[int, int]) -> tuple[Array, Array] | None:
        """An image of a size and its result, if that has the same size."""
        for image in self.images(*size):
            y = self.call(image).output
            if y is not None and _size_of(y) == size and y.size == image.size:
                return image, y
        return None

    def ignores(self, image: Array) -> bool:
        """Whether another image gives the same."""
        # The images of a batch may be equal, and these are not.
        unlike = (np.arange(image.size, dtype=np.int64) ** 2 // 7 % 256).reshape(image.shape).astype(image.dtype)
        first, other = self.call(image).output, self.call(unlike).output
        return first is not None and _same(first, other)

    def at_one_size(self, ignored: Array | None = None) -> dict[str, Any]:
        """What refuses small images, or ignores them, may take those of one size: that it names, or a usual one."""
        said = [str(self.call(array).refusal or "") for array in self.images(*_SMALL)]
        named = [(int(h), int(w)) for text in said for h, w in re.findall(r"(\d{2,4})\D{1,5}(\d{2,4})", text)]
        for size in dict.fromkeys([*(s for s in named if s != _SMALL and max(s) <= 2048), *((n, n) for n in SIZES)]):
            found = self.at(size)
            if found is not None and (ignored is None or not self.ignores(found[0])):
                self.note("one_size" if ignored is None else "one_size_alone", small=_shown(_SMALL), size=_shown(size))
                return {"size": size, **self.only_rank(size, self.layout)}
            if found is None and any(
                self.call(image[:1]).output is not None for image in self.images(*size) if image.ndim == 4
            ):
                self.note("one_image", size=_shown(size))
                return {}
        return {}

    def only_rank(self, size: tuple[int, int], layout: DataFormat) -> dict[str, Any]:
        """The claim of the one rank in which images of a size come back, if it is one."""
        outputs = [(array.shape, self.call(array).output) for array in self.images(*size, layout)]
        ranks = {len(shape) for shape, output in outputs if output is not None and output.shape == shape}
        return {"ranks": tuple(ranks)} if len(ranks) == 1 else {}

    # Something else

    def channels_first(self) -> dict[str, Any]:
        """Whether it takes channels first alone, where nothing is said of its data format."""
        if self.takes.data_format or self.implementation.data_formats is not None:
            return {}
        for array in self.images(*_SMALL, "channels_first"):
            output = self.call(array).output
            if output is not None and output.shape == array.shape:
                self.note("takes_channels_first")
                return {"data_formats": ("channels_first",), **self.only_rank(_SMALL, "channels_first")}
        return {}

    def otherwise(self) -> dict[str, Any]:
        """Say what it accepts where it refuses arrays."""
        if self.takes.data_format and self.implementation.data_formats is None:
            for word, other in (("NHWC", "NCHW"), ("last", "first"), ("HWC", "CHW")):
                if any(self.call(array, words=word).output is not None for array in self.images(*_SMALL)):
                    self.note("data_format_words", word=word, other=other)
                    return {}
        if adaptation(self.function).takes == "array":
            for takes, what in _WHAT.items():
                if self.inverse and takes in ("pil", "path"):
                    continue
                made = adapted(self.function, takes=takes, loaded_only=True)
                shapes = product((_SMALL, (224, 224)), DATA_FORMATS)
                arrays = (array for size, layout in shapes for array in self.images(*size, layout))
                if any(self.call(array, function=made).output is not None for array in arrays):
                    kind: NoteKind = "wants" if what else "wants_dict" if takes == "dict" else "wants_keyword"
                    self.note(kind, what=what, word=takes)
                    return {}
        if self.takes.mode and self.implementation.modes is None:
            self.note("mode_refused", modes=", ".join(MODES))
        return {}


_SMALL = (8, 32)


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _size_of(image: Array) -> tuple[int, int] | None:
    """The height and width of an image in either data format."""
    if image.ndim not in (3, 4) or 3 not in (image.shape[-1], image.shape[-3]):
        return None
    height, width = image.shape[-3:-1] if image.shape[-1] == 3 else image.shape[-2:]
    return int(height), int(width)


def _same(a: Array, b: Array | None) -> bool:
    return b is not None and a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
