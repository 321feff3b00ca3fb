"""Honest variants: other arithmetic, same definition. They must pass at level ``faithful``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from vggprep import reference
from vggprep.configurations.words import OPPOSITE
from vggprep.faults.arithmetic import Array, computed, floats, folded, in_order, native, numbers, to_bytes
from vggprep.faults.fault import on_arrays
from vggprep.implementations import Implementation
from vggprep.spec import ModeName, Step, definition

Images = Callable[[Array, ModeName], Array]


def _restored_order(x: Array, mode: ModeName) -> Array:
    return x[..., np.argsort(definition(mode).order)]


def _by_reciprocals(y: Array, steps: Iterable[Step]) -> Array:
    for step in steps:
        constants = numbers(step.constants, y.dtype)
        if step.operation in ("divide", "multiply"):
            y = y * (1 / constants) if step.operation == "divide" else y / (1 / constants)
        else:
            y = y - constants if step.operation == "subtract" else y + constants
    return y


def _reciprocal(x: Array, mode: ModeName) -> Array:
    return _by_reciprocals(in_order(x, mode), definition(mode).steps)


def _reciprocal_inverse(y: Array, mode: ModeName) -> Array:
    back = (Step(OPPOSITE[step.operation], step.constants) for step in reversed(definition(mode).steps))
    return to_bytes(_restored_order(_by_reciprocals(floats(y), back), mode))


def _folded_affine(x: Array, mode: ModeName) -> Array:
    scale, offset = folded(mode)
    y = in_order(x, mode)
    y *= scale.astype(y.dtype)
    y += offset.astype(y.dtype)
    return y


def _folded_affine_inverse(y: Array, mode: ModeName) -> Array:
    dtype = computed(y)
    scale, offset = folded(mode)
    return _restored_order(y.astype(dtype) * (1 / scale).astype(dtype) + (-offset / scale).astype(dtype), mode)


def _float64_inside(x: Array, mode: ModeName) -> Array:
    return reference.forward(x, definition(mode), np.dtype(np.float64)).astype(computed(x))


def _float64_inside_inverse(y: Array, mode: ModeName) -> Array:
    return reference.inverse(y, definition(mode), np.dtype(np.float64)).astype(computed(y))


def _fused(x: Array, scale: Array, offset: Array) -> Array:
    """``x * scale + offset`` with constants in the dtype of ``x`` and one rounding, as a fused multiply-add.

    longdouble, the last resort, may be no wider than float64 on some machines.
    """
    wide = np.dtype({"float16": np.float32, "float32": np.float64}.get(x.dtype.name, np.longdouble))
    y = x.astype(wide)
    y *= scale.astype(x.dtype).astype(wide)
    y += offset.astype(x.dtype).astype(wide)
    return y.astype(x.dtype)


def _fused_forward(x: Array, mode: ModeName) -> Array:
    return _fused(in_order(x, mode), *folded(mode))


def _fused_inverse(y: Array, mode: ModeName) -> Array:
    scale, offset = folded(mode)
    return to_bytes(_restored_order(_fused(floats(y), 1 / scale, -offset / scale), mode))


def _table_lookup(x: Array, mode: ModeName) -> Array:
    if x.dtype != np.uint8:
        return _reciprocal(x, mode)
    scale, offset = folded(mode)
    table = (np.arange(256)[:, None] * scale + offset).astype(np.float32)
    return np.stack([table[x[..., source], output] for output, source in enumerate(definition(mode).order)], axis=-1)


def _nearest_byte(y: Array, mode: ModeName) -> Array:
    """The byte whose preprocessed value is nearest, found by searching the midpoints between neighbours."""
    scale, offset = folded(mode)
    rises = np.sign(scale)
    midpoints = rises * ((np.arange(255)[:, None] + 0.5) * scale + offset)
    values = rises * y.astype(np.float64)
    found = [np.searchsorted(midpoints[:, channel], values[..., channel]) for channel in range(3)]
    return _restored_order(np.stack(found, axis=-1).astype(np.uint8), mode)


def _at_least_single(x: Array) -> np.dtype[np.generic]:
    return np.dtype(np.float32) if computed(x) == np.float16 else computed(x)


def _single_inside(x: Array, mode: ModeName) -> Array:
    return reference.forward(x, definition(mode), _at_least_single(x)).astype(computed(x))


def _single_inside_inverse(y: Array, mode: ModeName) -> Array:
    return to_bytes(reference.inverse(y, definition(mode), _at_least_single(y)))


def _plane_by_plane(x: Array, mode: ModeName) -> Array:
    """``(x - mean) / std`` with both in grey levels, one channel after the other."""
    scale, offset = folded(mode)
    y = np.empty(x.shape, computed(x))
    for output, source in enumerate(definition(mode).order):
        mean, std = y.dtype.type(-offset[output] / scale[output]), y.dtype.type(1 / scale[output])
        y[..., output] = (x[..., source].astype(y.dtype) - mean) / std
    return y


def _plane_by_plane_inverse(y: Array, mode: ModeName) -> Array:
    scale, offset = folded(mode)
    x = np.empty(y.shape, computed(y))
    for source, output in enumerate(definition(mode).order):
        mean, std = x.dtype.type(-offset[source] / scale[source]), x.dtype.type(1 / scale[source])
        x[..., output] = y[..., source].astype(x.dtype) * std + mean
    return x


def _honest(name: str, preprocess: Images, deprocess: Images) -> Implementation:
    """An honest variant; where there is no arithmetic to vary, it copies."""

    def forward(x: Array, mode: ModeName) -> Array:
        spec = definition(mode)
        return preprocess(x, mode) if spec.steps else x[..., list(spec.order)].astype(native(x))

    def inverse(y: Array, mode: ModeName) -> Array:
        return deprocess(y, mode) if definition(mode).steps else _restored_order(y, mode).astype(native(y))

    return Implementation(name, on_arrays(forward), on_arrays(inverse))


HONEST: tuple[Implementation, ...] = (
    _honest("reciprocal", _reciprocal, _reciprocal_inverse),
    _honest("folded_affine", _folded_affine, _folded_affine_inverse),
    _honest("float64_inside", _float64_inside, _float64_inside_inverse),
    _honest("fused_multiply_add", _fused_forward, _fused_inverse),
    _honest("table_lookup", _table_lookup, _nearest_byte),
    _honest("single_inside_for_half", _single_inside, _single_inside_inverse),
    _honest("plane_by_plane", _plane_by_plane, _plane_by_plane_inverse),
)
"""Implementations that differ from the reference in bits only, and must pass at level ``faithful``."""
