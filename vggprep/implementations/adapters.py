"""Functions as people have them: what a function takes is made of an array, and an array of what it returns.

An ``Adaptation`` says what a function takes; ``Adapted`` is the function with that done, a function of arrays. A
function in another process is adapted there. Imports NumPy; Pillow and the frameworks when they are asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vggprep.implementations.callables import NoArray, as_array
from vggprep.spec import DataFormat, ModeName

if TYPE_CHECKING:
    from vggprep.implementations import Implementation

Array = npt.NDArray[Any]
Takes = Literal["array", "pil", "path", "torch", "tf", "jax", "dict", "keyword"]
InputOrder = Literal["rgb", "bgr"]

TAKES: tuple[Takes, ...] = ("array", "pil", "path", "torch", "tf", "jax")
"""What can be asked for; a dict and a keyword are only tried, to say what a function seems to want."""

INPUT_ORDERS: tuple[InputOrder, ...] = ("rgb", "bgr")

_MODULES = {"pil": "PIL.Image", "path": "PIL.Image", "torch": "torch", "tf": "tensorflow", "jax": "jax"}


@dataclass(frozen=True)
class Adaptation:
    """What a function takes.

    ``size``: the height and width of all its images. ``input_order``: of the channels of images, which an inverse
    returns. ``layout``: the data format of a function that takes none. ``with_mode``: whether its ``mode`` is one of
    preprocessing. ``loaded_only``: use no framework that is not imported already.
    """

    takes: Takes = "array"
    size: tuple[int, int] | None = None
    input_order: InputOrder = "rgb"
    layout: DataFormat | None = None
    inverse: bool = False
    with_mode: bool = True
    loaded_only: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to do."""
        return self.with_mode and not self.changes_arrays

    @property
    def changes_arrays(self) -> bool:
        """Whether the function gets something else than the array."""
        return (self.takes, self.size, self.input_order) != ("array", None, "rgb")


@dataclass(frozen=True)
class Adapted:
    """A function of arrays around one that takes something else."""

    function: Callable[..., Any]
    how: Adaptation

    @property
    def __signature__(self) -> inspect.Signature:
        found = inspect.signature(self.function)
        kept = [p for p in found.parameters.values() if p.name != "mode" or self.how.with_mode]
        return found.replace(parameters=kept)

    def __call__(self, array: Array, **words: Any) -> Any:
        """What the function makes of an image or a batch; ``NoArray`` where that does not fit the frame."""
        layout: DataFormat = words.get("data_format") or self.how.layout or "channels_last"
        bgr = self.how.input_order == "bgr"
        images = _reversed(array, layout) if bgr and not self.how.inverse else array
        result = self._sized(images, layout, words) if self.how.size else self._called(images, layout, words)
        if bgr and self.how.inverse and isinstance(result, np.ndarray):
            result = _reversed(result, layout)
        return result

    def _sized(self, array: Array, layout: DataFormat, words: dict[str, Any]) -> Any:
        assert self.how.size is not None
        images = _to_last(array if array.ndim == 4 else array[None], layout)
        moved = False

        def run(frames: Array) -> Any:
            nonlocal moved
            sent = _from_last(frames, layout)
            if array.ndim == 4:
                got = self._called(sent, layout, words)
            else:
                each = [self._called(image, layout, words) for image in sent]
                strange = [result for result in each if not isinstance(result, np.ndarray)]
                got = strange[0] if strange else np.stack(each)
            if not isinstance(got, np.ndarray):
                return got
            for found in (layout, _OTHER[layout]):
                if _to_last(got, found).shape[:-1] == frames.shape[:-1]:
                    moved = found != layout
                    return _to_last(got, found)
            shapes = [shape if array.ndim == 4 else shape[1:] for shape in (got.shape, sent.shape)]
            return NoArray("returns shape {} for an input of shape {}".format(*shapes))

        result = framed(run, images, *self.how.size)
        if not isinstance(result, np.ndarray):
            return result
        result = _from_last(result, layout if not moved else _OTHER[layout])
        return np.ascontiguousarray(result if array.ndim == 4 else result[0])

    def _called(self, array: Array, layout: DataFormat, words: dict[str, Any]) -> Any:
        takes = self.how.takes
        if takes in ("pil", "path") and array.ndim == 4:  # one image at a time
            each = [self._called(image, layout, words) for image in array]
            strange = [result for result in each if not isinstance(result, np.ndarray)]
            return strange[0] if strange else np.stack(each) if each else array.astype(np.float32)
        with self._made(array, layout) as made:
            returned = self.function(image=made, **words) if takes == "keyword" else self.function(made, **words)
        # What takes tensors may return them; of an array, the form is remarked upon.
        return returned if takes == "array" and self.how.size is None else as_array(returned)[0]

    @contextlib.contextmanager
    def _made(self, array: Array, layout: DataFormat) -> Iterator[Any]:
        """What the function takes, made of an array."""
        takes = self.how.takes
        if takes in ("array", "dict", "keyword"):
            yield {"image": array} if takes == "dict" else array
            return
        module = _imported(_MODULES[takes], self.how.loaded_only and takes not in ("pil", "path"))
        if takes in ("pil", "path"):
            pixels = np.ascontiguousarray(_to_last(array, layout))
            if pixels.dtype != np.uint8 or pixels.shape[-1] != 3:
                raise TypeError(f"only RGB images of 8 bits are made, not of {pixels.dtype} and shape {pixels.shape}")
            image = module.fromarray(pixels)
            if takes == "pil":
                yield image
                return
            descriptor, path = tempfile.mkstemp(".png")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    image.save(file, "png")
                yield path
            finally:
                os.unlink(path)
        elif takes == "torch":
            native = np.ascontiguousarray(array)
            if native.dtype.name == "bfloat16":
                yield module.from_numpy(native.view(np.int16)).view(module.bfloat16)
            else:
                yield module.from_numpy(native if native.flags.writeable else native.copy())
        else:
            yield module.convert_to_tensor(array) if takes == "tf" else module.numpy.asarray(array)


def adapted(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """A function with an adaptation, of which ``how`` are the fields to set; adapted anew if it is one already."""
    if getattr(type(function), "IS_REMOTE", False) is True:
        remote: Callable[..., Any] = function.adapted(**how)  # type: ignore[attr-defined]
        return remote
    inner = function.function if isinstance(function, Adapted) else function
    now = replace(adaptation(function), **how)
    return inner if now.is_plain else Adapted(inner, now)


def adaptation(function: Callable[..., Any]) -> Adaptation:
    """How a function is adapted, in this process or in another."""
    found = getattr(function, "how", None)
    return found if isinstance(found, Adaptation) else Adaptation()


def framed(run: Callable[[Array], Any], images: Array, height: int | None, width: int | None) -> Any:
    """What ``run`` makes of channels-last images of any size, where it takes one height or width only.

    ``run`` gets frames, of shape (count, height, width, channels), and returns as many; anything that is no array is
    returned as it is. That makes no difference to preprocessing that goes pixel by pixel, and shows any other.
    """
    n, h, w, channels = images.shape
    fits = images.size > 0 and (height or h) >= h and (width or w) >= w
    if fits:
        frames = np.zeros((n, height or h, width or w, channels), images.dtype)
        frames[:, :h, :w] = images
    else:
        # Larger than a frame, or empty: pixel after pixel, in as many frames as they fill.
        high, wide = height or 1, width or max(n * h * w, 1)
        count = max(-(-n * h * w // (high * wide)), 1)
        pixels = np.zeros((count * high * wide, channels), images.dtype)
        pixels[: n * h * w] = images.reshape(-1, channels)
        frames = pixels.reshape(count, high, wide, channels)
    whole = run(frames)
    if not isinstance(whole, np.ndarray):
        return whole
    return (
        whole[:, :h, :w] if fits else whole.reshape(-1, whole.shape[-1])[: n * h * w].reshape(n, h, w, whole.shape[-1])
    )


@dataclass(frozen=True)
class Lines:
    """The Python lines that call an adapted function on an array ``x``, around those that call the function."""

    inner: Callable[[ModeName, DataFormat], str]
    how: Adaptation

    def __call__(self, mode: ModeName, data_format: DataFormat) -> str:
        """The lines."""
        how, call = self.how, self.inner(mode, data_format)
        call = call if how.with_mode else call.replace(f", mode={mode!r}", "")
        first = data_format == "channels_first"
        height, width = ("-2", "-1") if first else ("-3", "-2")
        lines, cut = [], ""
        if how.input_order == "bgr" and not how.inverse:
            lines.append(f"x = np.flip(x, {-3 if first else -1})")
        if how.size:
            full = ", ".join(map(str, (3, *how.size) if first else (*how.size, 3)))
            inside = f":x.shape[{height}], :x.shape[{width}]" + ("" if first else ", :")
            lines += [f"frame = np.zeros((*x.shape[:-3], {full}), x.dtype)", f"frame[..., {inside}] = x"]
            cut = f"[..., {inside.replace('x.', 'small.')}]"
            lines.append("small, x = x, frame")
        if how.takes in ("pil", "path"):
            image = "np.moveaxis(x, -3, -1).copy()" if first else "x.copy()"
            lines += ["from PIL import Image", f"x = Image.fromarray({image})"]
            lines += ['x.save("image.png")', 'x = "image.png"'] if how.takes == "path" else []
        lines += {
            "torch": ["import torch", "x = torch.from_numpy(x.copy())"],
            "tf": ["import tensorflow as tf", "x = tf.convert_to_tensor(x)"],
            "jax": ["import jax", "x = jax.numpy.asarray(x)"],
        }.get(how.takes, [])
        return "\n".join([*lines, call + cut])


def changed(implementation: Implementation, **changes: Any) -> Implementation:
    """An implementation with other fields; the lines that call its functions do what is new in its adaptation."""
    found = replace(implementation, **changes)
    lines: dict[str, Any] = {}
    for field, name in (("preprocess", "source"), ("deprocess", "inverse_source")):
        source = getattr(implementation, name)
        if source is None:
            continue
        before, now = (adaptation(getattr(each, field)) for each in (implementation, found))
        new = Adaptation(
            takes=now.takes if now.takes != before.takes else "array",
            size=now.size if now.size != before.size else None,
            input_order=now.input_order if now.input_order != before.input_order else "rgb",
            inverse=now.inverse,
            with_mode=now.with_mode or not before.with_mode,
        )
        lines[name] = source if new.is_plain else Lines(source, new)
    return replace(found, **lines)


_OTHER: dict[DataFormat, DataFormat] = {"channels_last": "channels_first", "channels_first": "channels_last"}


def _imported(name: str, loaded_only: bool) -> Any:
    if loaded_only and name.partition(".")[0] not in sys.modules:
        raise ImportError(f"{name} is not imported")
    return importlib.import_module(name)


def _reversed(array: Array, layout: DataFormat) -> Array:
    return np.ascontiguousarray(np.flip(array, -1 if layout == "channels_last" else -3))


def _to_last(array: Array, layout: DataFormat) -> Array:
    return array if layout == "channels_last" else np.moveaxis(array, -3, -1)


def _from_last(array: Array, layout: DataFormat) -> Array:
    return array if layout == "channels_last" else np.moveaxis(array, -1, -3)


def check_size(size: Sequence[int]) -> tuple[int, int]:
    """A height and a width. Raises ``ValueError`` for anything else."""
    found = tuple(size)
    if len(found) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in found):
        raise ValueError(f"size must be a height and a width, such as (224, 224); got {size!r}")
    return int(found[0]), int(found[1])
