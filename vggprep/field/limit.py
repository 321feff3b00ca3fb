"""The yardstick: the same bytes, only read, converted and written."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggprep.field.setup import Array, Call, Setup, UnavailableError, load
from vggprep.kernels.job import split

LIMIT = "limit"


def _compiled() -> Any:
    """The numba kernels; None without numba."""
    try:
        load("numba")
    except UnavailableError:
        return None
    return load("vggprep.kernels.compiled")


def limit_label(nbytes: int, compiled: bool = True) -> str:
    """What the limit measures here for a result of so many bytes; ``compiled``: if there is machine code for it."""
    kernels = _compiled() if compiled else None
    if kernels is None:
        return "limit: np.copyto"
    return f"limit: convert only, stores {'past' if nbytes >= kernels.STREAMING_BYTES else 'to'} the cache"


def limit(setup: Setup) -> Call:
    """The same bytes, only converted, into an existing array: what the memory bus allows.

    There is machine code for contiguous input without float16.
    """
    compiled = _compiled()

    def call(x: Array, out: Array | None) -> Array:
        assert out is not None
        if compiled is None or out.dtype == np.float16 or not x.flags.c_contiguous:
            np.copyto(out, x, casting="unsafe")
            return out
        flat_x, flat_out = x.reshape(-1), out.reshape(-1)
        streaming = out.nbytes >= compiled.STREAMING_BYTES

        def fill(part: slice) -> None:
            start, length = part.start, part.stop - part.start
            steps = (None, None, None, (None, None), None)
            compiled._strips(flat_x, flat_out, start, 0, start, 0, 1, length, *steps, streaming)

        split(fill, x.size, setup.threads)
        return out

    return call
