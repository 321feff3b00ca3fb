"""The two public functions: what they accept, what they return, and which backend does the work.

Everything about arguments is decided here, before anything is computed, so that a bad call leaves ``out``
untouched and every backend can assume good arrays. Imports NumPy and the spec; numba when first used.
"""

from __future__ import annotations

import operator
import sys
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from vggprep import kernels, reference
from vggprep.kernels.blocked import FEW_ELEMENTS, run_few
from vggprep.kernels.job import Array, make_job, share_memory, split
from vggprep.spec import DATA_FORMATS, RANKS, DataFormat, Direction, Mode, ModeName, definition

Backend = Literal["auto", "numpy", "numba", "reference"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

_FLOATING = "float16, float32, float64 and longdouble"


def preprocess_input(
    x: npt.ArrayLike,
    data_format: DataFormat | None = None,
    mode: ModeName | Mode = "caffe",
    *,
    dtype: npt.DTypeLike | None = None,
    out: Array | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> Array:
    """Preprocess RGB images with values 0..255 as Keras does, bit for bit, without touching ``x``.

    Args:
        x: images of shape ``(H, W, 3)`` or ``(N, H, W, 3)``; with ``channels_first``, ``(3, H, W)`` or
            ``(N, 3, H, W)``. Any bool, integer or real floating dtype, any memory layout.
        data_format: ``"channels_last"`` (also ``None``) or ``"channels_first"``.
        mode: a key of ``vggprep.MODES``: ``"caffe"``, ``"tf"``, ``"torch"`` or ``"identity"``; the name of a published
            mode; or a ``vggprep.Mode``.
        dtype: floating dtype to cast the input to first; also the dtype of the result. By default floating
            dtypes are kept, and bool, integers and bfloat16 become float32 (in a mode without steps, such as identity,
            nothing does).
        out: C-contiguous array of the result's shape and dtype to write to. May not overlap ``x``.
        threads: how many threads share the work; the result does not depend on it.
        backend: ``"numpy"``; ``"numba"``, compiled; ``"reference"``, plain and slow; ``"auto"``, numba where it is
            installed and the work repays its start-up, else NumPy. The result does not depend on it.

    Returns:
        A new C-contiguous array in native byte order, or ``out``.

    Raises:
        TypeError: complex, object, text or time input; a ``dtype`` that is not floating.
        ValueError: an unknown mode, data format or backend; a rank other than 3 or 4; a channel axis that is
            not 3; an unsuitable ``out``; ``threads`` below 1.
        ImportError: ``backend="numba"`` without numba.

    >>> import numpy as np
    >>> white = np.full((1, 1, 3), 255, np.uint8)
    >>> preprocess_input(white, mode="caffe")
    array([[[151.061  , 138.22101, 131.32   ]]], dtype=float32)
    """
    spec, axis, array = _images(x, data_format, mode)
    computed = _forward_dtype(array, spec, dtype)
    return _run("forward", array, spec, axis, computed, computed, out, threads, backend)


class Preprocessor:
    """``preprocess_input`` for long loops: the memory of a result is used again once nobody refers to it.

    A result that is still referred to, itself or by a view, a tensor or a buffer of it, is never written to. Only an
    address that was taken without a reference (``y.ctypes.data``) does not count. It pays for results too large
    for the allocator to keep, 32 MB with glibc; it returns what ``preprocess_input`` does.

    Args:
        data_format, mode, dtype, threads, backend: as for ``preprocess_input``.
        keep: how many arrays are kept at most; results beyond are new ones.

    Raises:
        ValueError: ``keep`` below 1. What ``preprocess_input`` raises is raised by calls.

    >>> import numpy as np
    >>> preprocess = Preprocessor(mode="tf")
    >>> preprocess(np.full((1, 1, 3), 255, np.uint8))
    array([[[1., 1., 1.]]], dtype=float32)
    """

    def __init__(
        self,
        data_format: DataFormat | None = None,
        mode: ModeName | Mode = "caffe",
        *,
        dtype: npt.DTypeLike | None = None,
        threads: int = 1,
        backend: Backend = "auto",
        keep: int = 4,
    ) -> None:
        if operator.index(keep) < 1:
            raise ValueError(f"keep must be 1 or more; got {keep}")
        self._data_format, self._mode, self._dtype = data_format, mode, dtype
        self._threads, self._backend, self._keep = threads, backend, keep
        self._kept: list[Array] = [np.empty(0)]
        self._lock = Lock()
        self._unused = self._references(0)  # of an array that nobody else has: interpreters count differently
        self._kept.clear()

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Preprocess images as ``preprocess_input`` does."""
        spec, axis, array = _images(x, self._data_format, self._mode)
        computed = _forward_dtype(array, spec, self._dtype).newbyteorder("=")
        out = self._buffer(array.shape, computed)
        return _run("forward", array, spec, axis, computed, computed, out, self._threads, self._backend)

    def _references(self, place: int) -> int:
        return sys.getrefcount(self._kept[place])

    def _buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        with self._lock:
            unused = [place for place in range(len(self._kept)) if self._references(place) <= self._unused]
            for place in unused:
                if self._kept[place].shape == shape and self._kept[place].dtype == dtype:
                    return self._kept[place]
            for place in reversed(unused):  # of another shape
                del self._kept[place]
            made = np.empty(shape, dtype)
            if len(self._kept) < self._keep:
                self._kept.append(made)
            return made


def deprocess_input(
    y: npt.ArrayLike,
    data_format: DataFormat | None = None,
    mode: ModeName | Mode = "caffe",
    *,
    dtype: npt.DTypeLike | None = "uint8",
    out: Array | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> Array:
    """Turn preprocessed images back into RGB images with values 0..255, without touching ``y``.

    Computes in the floating dtype of ``y`` (float32 for other dtypes), in this order: caffe ``y + m``, then
    BGR to RGB; tf ``(y + 1) * 127.5``; torch ``(y * s + m) * 255``; identity ``y``. Of any mode: the opposite of each
    step, the last one first, then the channels back.

    Args:
        y: preprocessed images; shapes as in ``preprocess_input``.
        mode: the mode that ``y`` was preprocessed with.
        dtype: of the result. To an integer dtype the values are rounded half to even and saturate to 0..255,
            infinities included. To a floating dtype, or with ``None`` (that of ``y`` if it is a NumPy floating
            dtype, else float32), they are neither rounded nor clipped.
        data_format, out, threads, backend: as in ``preprocess_input``.

    Returns:
        A new C-contiguous array in native byte order, or ``out``.

    Raises:
        TypeError: complex, object, text or time input; a ``dtype`` that cannot hold 0..255.
        ValueError: as ``preprocess_input``; also NaN in ``y`` when ``dtype`` is an integer dtype (what ``out``
            holds then is unspecified).
        ImportError: as ``preprocess_input``.

    >>> import numpy as np
    >>> image = np.array([[[0, 100, 255]]], np.uint8)
    >>> deprocess_input(preprocess_input(image))
    array([[[  0, 100, 255]]], dtype=uint8)
    """
    spec, axis, array = _images(y, data_format, mode)
    computed = array.dtype if _is_floating(array.dtype) else np.dtype(np.float32)
    accepted = f"None, an integer dtype that holds 0..255 or one of {_FLOATING}"
    result = computed if dtype is None else _result_dtype(dtype, accepted, holds_bytes=True)
    return _run("inverse", array, spec, axis, computed, result, out, threads, backend)


def _images(x: npt.ArrayLike, data_format: DataFormat | None, mode: ModeName | Mode) -> tuple[Mode, int, Array]:
    """Check what both functions take; return the mode, the channel axis and the array."""
    spec = mode if isinstance(mode, Mode) else definition(mode)
    if data_format is None:
        data_format = "channels_last"
    if not isinstance(data_format, str) or data_format not in DATA_FORMATS:
        raise ValueError(f"data_format must be None or one of {', '.join(DATA_FORMATS)}; got {data_format!r}")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"the images must be one array of numbers: {error}") from error
    if not (array.dtype.kind in "biu" or _is_floating(array.dtype) or array.dtype.name == "bfloat16"):
        raise TypeError(f"images must have a bool, integer or real floating dtype (or bfloat16); got {array.dtype}")
    if array.ndim not in RANKS:
        raise ValueError(
            f"images must have rank 3 (one image) or 4 (a batch); got rank {array.ndim}, shape {array.shape}"
        )
    axis = array.ndim - 1 if data_format == "channels_last" else array.ndim - 3
    if array.shape[axis] != 3:
        raise ValueError(f"with {data_format}, axis {axis} must hold the 3 channels; got shape {array.shape}")
    return spec, axis, array


def _forward_dtype(x: Array, mode: Mode, dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    """The dtype that the forward direction computes in and returns."""
    if dtype is not None:
        return _result_dtype(dtype, f"one of {_FLOATING}", holds_bytes=False)
    return x.dtype if _is_floating(x.dtype) or not mode.steps else np.dtype(np.float32)


def _is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether it is one of NumPy's own floats: ml_dtypes has others that call themselves floating."""
    return dtype.kind == "f" and dtype.type in (np.float16, np.float32, np.float64, np.longdouble)


def _result_dtype(dtype: npt.DTypeLike, accepted: str, holds_bytes: bool) -> np.dtype[Any]:
    """The dtype asked for: one of NumPy's floats or, with ``holds_bytes``, an integer dtype that holds 0..255."""
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype must be {accepted}; got {dtype!r}") from error
    if not (_is_floating(found) or (holds_bytes and found.kind in "iu" and np.iinfo(found).max >= 255)):
        raise TypeError(f"dtype must be {accepted}; got {found}")
    return found


def _check_out(out: Array, x: Array, dtype: np.dtype[Any]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array; got {type(out).__name__}")
    if out.shape != x.shape:
        raise ValueError(f"out must have the input's shape {x.shape}; got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have dtype {dtype}, the result's; got {out.dtype}")
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous; got an array that is not")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array")
    if share_memory(x, out):
        raise ValueError("out must not overlap the input, which is never written to; got arrays that share memory")


def _run(
    direction: Direction,
    x: Array,
    mode: Mode,
    axis: int,
    computed: np.dtype[Any],
    result: np.dtype[Any],
    out: Array | None,
    threads: int,
    backend: Backend,
) -> Array:
    try:
        threads = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be a whole number; got {threads!r}") from None
    if threads < 1:
        raise ValueError(f"threads must be 1 or more; got {threads}")
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if backend == "numba" and not kernels.is_numba_installed():
        raise ImportError('backend="numba" needs numba, which is not installed: pip install numba')
    if not (computed.isnative and result.isnative):
        computed, result = computed.newbyteorder("="), result.newbyteorder("=")
    target = np.empty(x.shape, result) if out is None else out
    if out is not None:
        _check_out(out, x, result)
    if backend == "reference":
        _reference(direction, x, mode, axis, computed, target, threads)
    elif backend != "numba" and x.size <= FEW_ELEMENTS:
        if run_few(direction, x, mode, axis, computed, target):
            raise ValueError(reference.NAN_MESSAGE)
    elif kernels.run(make_job(direction, x, mode, axis, computed, target, out is not None), threads, backend):
        raise ValueError(reference.NAN_MESSAGE)
    return target


def _reference(
    direction: Direction, x: Array, mode: Mode, axis: int, computed: np.dtype[Any], out: Array, threads: int
) -> None:
    """Fill ``out`` by the definition, one slice of the first axis that is not the channels' for each thread."""
    last = [a for a in range(x.ndim) if a != axis] + [axis]  # np.moveaxis takes as long as a small image
    source, target = x.transpose(last), out.transpose(last)

    def fill(part: slice) -> None:
        if direction == "forward":
            result = reference.forward(source[part], mode, computed)
        else:
            result = reference.inverse(source[part], mode, computed)
            if target.dtype.kind in "iu":
                result = reference.to_pixels(result, target.dtype)
        with np.errstate(over="ignore"):
            for channel in range(3):  # the result lies in planes: NumPy would copy three numbers at a time
                target[part][..., channel] = result[..., channel]

    split(fill, len(source), threads)
