"""The mode's arithmetic compiled with numba: 48 elements at a time in vector registers, the GIL released.

The only module that imports numba when imported, hence itself imported only when used. One kernel serves
every mode, dtype and data format; numba compiles it once for each combination of argument types and keeps
the machine code on disk. Constants are arguments, so that what is on disk never outlives a change of the
spec. Threads are the caller's: numba's own parallel layer is not safe to enter from two threads.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

from vggprep.kernels.job import KEPT, REVERSED, Array, Job, Step, Tile, split, tiles

REGISTER = 16
"""Elements in a vector: a power of two, because LLVM takes any other apart into scalars to keep it for a loop."""

LANES = 3 * REGISTER
"""Elements computed together: the least that holds whole vectors and whole pixels."""

STREAMING_BYTES = 8 << 20
"""Results of this many bytes or more go past the cache when written to a caller's ``out``.

A smaller result may still be in the cache when the caller reads it; a fresh buffer is brought into the cache by the
page faults anyway.
"""

_PREFETCH_BYTES = 4096
"""How far ahead to ask for the input. The processor looks ahead by itself, but not past the end of a page."""

_FORMATS = {np.dtype(np.float32), np.dtype(np.float64)}
_BYTES = np.dtype(np.uint8)

_TILE = 1 << 14
"""Pixels copied at once where the memory layout or the dtype needs a copy: 384 KiB in float64."""

_SHARE = 1 << 14
"""Pixels from which a thread more saves time."""


def supports(job: Job) -> bool:
    """Whether there is a kernel for the job; if not, the NumPy kernels have the same bits."""
    images, rows, columns = job.target.shape[:3]
    length = 3 * images * rows * columns if job.interleaved else rows * columns
    return (
        job.computed in _FORMATS
        and (job.target.dtype == job.computed or (job.target.dtype == _BYTES and job.to_pixels))
        and job.target.flags.aligned
        and length >= LANES
        and _structure(job.steps) is not None
    )


def run(job: Job, threads: int) -> bool:
    """Fill ``job.target``. Returns whether the source held a NaN that has no pixel value.

    Raises whatever numba raises when it can't compile, before anything is written.
    """
    x_dtype = _kernel_dtype(job)
    direct = job.contiguous and job.source.dtype == x_dtype and job.source.flags.aligned
    pixels = job.target.size // 3
    limit = -(-pixels // min(threads, max(1, pixels // _SHARE))) if direct else _TILE
    parts = tiles(job.target.shape, limit)
    out = _flat(job.target, job.interleaved)
    streaming = job.caller_owns_target and job.target.nbytes >= STREAMING_BYTES
    found_nan = []

    def fill(part: slice) -> None:
        scratch = None if direct else np.empty(3 * min(_TILE, pixels), x_dtype)
        for tile in parts[part]:
            found_nan.append(_fill_tile(job, tile, out, scratch, streaming))

    split(fill, len(parts), threads)
    return any(found_nan)


def _kernel_dtype(job: Job) -> np.dtype[Any]:
    """The dtype to hand to the kernel: bytes forward to float32, everything else in the dtype computed in."""
    from_bytes = job.source.dtype == _BYTES and job.computed == np.float32 and not job.to_pixels
    return _BYTES if from_bytes else job.computed


def _fill_tile(job: Job, tile: Tile, out: Array, scratch: Array | None, streaming: bool) -> bool:
    """Compute one tile; through ``scratch``, contiguous and of a dtype that there is a kernel for, if given."""
    images, rows, columns = (part.stop - part.start for part in tile)
    size = rows * columns
    _, all_rows, all_columns, _ = job.target.shape
    plane = all_rows * all_columns
    start = tile[1].start * all_columns + tile[2].start
    if job.interleaved:
        first = 3 * (tile[0].start * plane + start)
        strips, length = 1, 3 * images * size
    else:
        first = 3 * tile[0].start * plane + start
        strips, length = images, size
    if scratch is None:
        x, x_first, x_plane = _flat(job.source, job.interleaved), first, plane
    else:
        source = job.source[tile]
        source = source if job.interleaved else np.moveaxis(source, -1, 1)
        x, x_first, x_plane = scratch, 0, size
        with np.errstate(all="ignore"):
            np.copyto(x[: source.size].reshape(source.shape), source, casting="unsafe")
    if job.interleaved:
        # The lanes are in the order of the source until pixels come out.
        first_channel, second, third = (job.order.index(c) if job.to_pixels else c for c in range(3))
        tables = _tables(job.steps, (first_channel, second, third), job.computed)
        order = _ORDERS[job.order]
        return bool(_strips(x, out, x_first, 0, first, 0, strips, length, *tables, order, streaming))
    found_nan = False
    for channel in range(3):
        x_start = x_first + x_plane * job.order[channel]
        tables = _tables(job.steps, (channel,) * 3, job.computed)
        found_nan |= _strips(
            x, out, x_start, 3 * x_plane, first + channel * plane, 3 * plane, strips, length, *tables, None, streaming
        )
    return found_nan


def _flat(array: Array, interleaved: bool) -> Array:
    """The memory behind ``(N, H, W, 3)``, contiguous in its data format, as one axis."""
    return (array if interleaved else np.moveaxis(array, -1, 1)).reshape(-1)


_ORDERS: dict[tuple[int, int, int], Any] = {
    KEPT: None,
    REVERSED: True,
    **{order: (True,) * (1 + at) for at, order in enumerate([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)])},
}
"""What the orders of channels are called in machine code: values of different types, since types are what it is made
for. Only what a caller asks for is compiled."""


@lru_cache(maxsize=64)
def _structure(steps: tuple[Step, ...]) -> tuple[Step | None, Step | None, Step | None] | None:
    """The steps as (scale, shift, scale), where any but not all may be None; None if they are anything else."""
    left = list(steps)
    scales, shifts = ("divide", "multiply"), ("add", "subtract")
    before, shift, after = (left.pop(0) if left and left[0][0] in names else None for names in (scales, shifts, scales))
    return (before, shift, after) if steps and not left else None


@lru_cache(maxsize=64)
def _tables(
    steps: tuple[Step, ...], channels: tuple[int, int, int], computed: np.dtype[Any]
) -> tuple[Any, Any, Any, tuple[Any, Any]]:
    """The arguments ``before``, ``shift``, ``after`` and ``dividing`` of ``_strips``, for lanes of these channels."""
    structure = _structure(steps)
    assert structure is not None
    before, shift, after = (step and _table(step, channels, computed) for step in structure)
    how = [None if step is None or step[0] == "multiply" else _quotient(steps) for step in structure]
    return before, shift, after, (how[0], how[2])


@lru_cache(maxsize=64)
def _quotient(steps: tuple[Step, ...]) -> bool | int:
    """How quotients of bytes come out right: ``True``, as ``_divide`` has it, tried on every byte; 1, by division.

    In float64 there is more than enough room to do in two operations what an FMA does in one. Where a sum comes so near
    to the middle between two numbers of float32 that its own rounding may matter, it counts as wrong.
    """
    x = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis], 3, axis=1)
    operate = {"divide": np.divide, "multiply": np.multiply, "subtract": np.subtract, "add": np.add}
    with np.errstate(all="ignore"):
        for name, constants in steps:
            divisor = np.array(constants).astype(np.float32)
            result = operate[name](x, divisor)
            if name == "divide":
                reciprocal, rest = _reciprocals(divisor)
                total = x.astype(np.float64) * reciprocal + x * rest
                found = [(total * (1 + nudge)).astype(np.float32) for nudge in (-(2.0**-51), 2.0**-51)]
                if not np.isfinite(total).all() or any(f.tobytes() != result.tobytes() for f in found):
                    return 1
            x = result
    return True


def _reciprocals(divisor: Array) -> tuple[Array, Array]:
    """Two numbers whose sum is the reciprocal, twice as precisely as one."""
    first = 1 / divisor
    return first, (1 / divisor.astype(np.float64) - first).astype(divisor.dtype)


def _table(step: Step, channels: tuple[int, int, int], computed: np.dtype[Any]) -> Array | tuple[Any, ...]:
    """A constant for each lane, then both parts of their reciprocals; three numbers if the lanes are alike."""
    name, constants = step
    pixel = np.array([constants[channel] for channel in channels]).astype(computed)
    if name == "subtract":
        pixel = -pixel  # x - m and x + (-m) are the same to the bit
    with np.errstate(all="ignore"):
        rows = (pixel, *_reciprocals(pixel))
    if pixel.tobytes() == pixel[:1].tobytes() * 3:
        return tuple(row[0] for row in rows)  # which registers have room for
    return np.concatenate([np.tile(row, REGISTER) for row in rows])


def _has_fma() -> bool:
    """Whether the CPU compiled for multiplies and adds with a single rounding in hardware."""
    if config.CPU_FEATURES is not None:
        return "+fma" in config.CPU_FEATURES.split(",")
    if config.CPU_NAME is not None and llvm.get_host_cpu_name() != config.CPU_NAME:
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    return bool(llvm.get_host_cpu_features().get("fma", False))


def _vector(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def _constant(element: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(_vector(element, REGISTER), [value] * REGISTER)


def _pick(builder: ir.IRBuilder, vector: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), _lanes(lanes))


def _lanes(lanes: Sequence[int]) -> ir.Constant:
    return ir.Constant(_vector(ir.IntType(32), len(lanes)), [*lanes])


def _convert(builder: ir.IRBuilder, vector: ir.Value, element: ir.Type) -> ir.Value:
    """Unsigned bytes to floats, or floats to bytes that hold them."""
    if vector.type.element == element:
        return vector
    convert = builder.fptoui if isinstance(element, ir.IntType) else builder.uitofp
    return convert(vector, _vector(element, REGISTER))


def _divide(builder: ir.IRBuilder, x: ir.Value, rows: list[ir.Value], multiplied: bool) -> ir.Value:
    """``x`` by the first of ``rows``, correctly rounded.

    For quotients that come from bytes the sum of a product with each part of the reciprocal (the other rows), one of
    them in an FMA, has the same bits as the division, several times faster (``multiplied``); ``_quotient`` tries every
    byte. Other values could overflow or vanish on the way, or come too near to the middle between two numbers: they
    are divided.
    """
    if not (multiplied and _has_fma()):
        return builder.fdiv(x, rows[0])
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(x.type, [x.type] * 3), f"llvm.fma.v{REGISTER}{x.type.element.intrinsic_name}"
    )
    return builder.call(fma, [x, rows[1], builder.fmul(x, rows[2])])


def _saturated(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Within 0..255; what is NaN stays so."""
    for bound, outside in ((0.0, "<"), (255.0, ">")):
        limit = _constant(x.type.element, bound)
        x = builder.select(builder.fcmp_ordered(outside, x, limit), limit, x)
    return x


def _rounded(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Bytes from numbers in 0..255, half to even.

    Adding 2^23 (2^52 in float64) leaves no bits for a fraction, so the addition itself rounds, half to even,
    and the sum's lowest byte is the pixel.
    """
    bits, fraction = (32, 23) if x.type.element == ir.FloatType() else (64, 52)
    rounded = builder.fadd(x, _constant(x.type.element, float(1 << fraction)))
    whole = builder.bitcast(rounded, _vector(ir.IntType(bits), REGISTER))
    return builder.trunc(whole, _vector(ir.IntType(8), REGISTER))


def _reordered(builder: ir.IRBuilder, parts: list[ir.Value], order: tuple[int, int, int]) -> list[ir.Value]:
    """Vectors that hold whole pixels together, with the channels of each in this order."""
    first, second, third = parts
    both = builder.shuffle_vector(first, second, _lanes(range(2 * REGISTER)))
    block = builder.shuffle_vector(both, _pick(builder, third, [*range(REGISTER)] * 2), _lanes(range(LANES)))
    at = [lane - lane % 3 + order[lane % 3] for lane in range(LANES)]
    return [_pick(builder, block, at[start : start + REGISTER]) for start in range(0, LANES, REGISTER)]


def _address(
    context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, index: ir.Value, offset: int, lanes: int
) -> ir.Value:
    """Where ``lanes`` elements of a one-dimensional array start at ``index + offset``."""
    data = context.make_array(kind)(context, builder, array).data
    start = builder.gep(data, [builder.add(index, ir.Constant(index.type, offset))])
    return builder.bitcast(start, _vector(context.get_data_type(kind.dtype), lanes).as_pointer())


def _prefetch(builder: ir.IRBuilder, address: ir.Value, size: int) -> None:
    """Ask for the ``size`` bytes that will be wanted some blocks after ``address``; harmless past the end."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    to_read, to_all_caches, data = (ir.Constant(number, flag) for flag in (0, 3, 1))
    start = builder.bitcast(address, byte)
    for line in range(0, size, 64):
        ahead = builder.gep(start, [ir.Constant(number, _PREFETCH_BYTES + line)])
        builder.call(prefetch, [ahead, to_read, to_all_caches, data])


@intrinsic
def _block(
    typing_context: Any,
    x: Any,
    i: Any,
    out: Any,
    j: Any,
    before: Any,
    shift: Any,
    after: Any,
    dividing: Any,
    order: Any,
    streaming: Any,
) -> Any:
    """``out[j:j+48]`` from ``x[i:i+48]``: scale by ``before``, add ``shift``, scale by ``after``.

    What is done is a matter of types, decided when compiling: ``None`` leaves a step out. ``order`` puts the channels
    of each pixel in another order, ``_ORDERS`` says in which: of pixels that come out last, otherwise first. The
    constants are tables of 144 elements, for a block in the order that it has then, and the reciprocals in two parts,
    or three numbers; ``dividing`` says of ``before`` and ``after`` whether they divide, and how (``_quotient``), or,
    with ``None``, multiply. ``streaming`` stores
    past the cache and needs ``out[j]`` at a multiple of 16 elements. Returns whether a NaN was made a byte.
    Without any step there is nothing but the conversion, the limit that the benchmarks measure.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        kind, value = _named(signature.args), _named(arguments)
        given = {name: not isinstance(kind[name], types.NoneType) for name in kind}
        bits_in, bits_out = kind["x"].dtype.bitwidth, kind["out"].dtype.bitwidth
        computed = ir.DoubleType() if 64 in (bits_in, bits_out) else ir.FloatType()
        result = context.get_data_type(kind["out"].dtype)
        flag = ir.IntType(1)

        def constants(step: str, offset: int) -> ir.Value:
            if isinstance(kind[step], types.UniTuple):
                number = builder.extract_value(value[step], offset // LANES)
                vector = ir.Constant(_vector(number.type, REGISTER), ir.Undefined)
                first = builder.insert_element(vector, number, ir.Constant(ir.IntType(32), 0))
                return _pick(builder, first, [0] * REGISTER)
            zero = ir.Constant(ir.IntType(64), 0)
            address = _address(context, builder, kind[step], value[step], zero, offset, REGISTER)
            vector = builder.load(address, align=kind[step].dtype.bitwidth // 8)
            # The table is never written to, so the compiler may load it once for the whole loop.
            vector.set_metadata("invariant.load", builder.module.add_metadata([]))
            return vector

        source = _address(context, builder, x, value["x"], value["i"], 0, LANES)
        _prefetch(builder, source, LANES * bits_in // 8)
        block = builder.load(source, align=bits_in // 8)
        from_bytes = isinstance(block.type.element, ir.IntType)
        computing = any(given[step] for step in ("before", "shift", "after"))
        to_pixels = computing and isinstance(result, ir.IntType)
        parts = [_pick(builder, block, list(range(start, start + REGISTER))) for start in range(0, LANES, REGISTER)]
        order = _order_of(kind["order"]) if given["order"] else None
        if order and not to_pixels:
            parts = _reordered(builder, parts, order)
        for start in range(0, LANES, REGISTER):
            v = parts[start // REGISTER]
            if computing:
                v = _convert(builder, v, computed)
            for step in ("before", "shift", "after"):
                if not given[step]:
                    continue
                if step == "shift":
                    v = builder.fadd(v, constants(step, start))
                elif isinstance(how := kind["dividing"][step == "after"], types.NoneType):
                    v = builder.fmul(v, constants(step, start))
                else:
                    multiplied = from_bytes and isinstance(how, types.Boolean)
                    rows = [constants(step, row * LANES + start) for row in range(3)]
                    v = _divide(builder, v, rows, multiplied)
            parts[start // REGISTER] = v if to_pixels else _convert(builder, v, result)
        nan = ir.Constant(flag, 0)
        if to_pixels:
            parts = [_saturated(builder, v) for v in parts]
            total = reduce(builder.fadd, parts)  # NaN if anything is
            lanes = builder.bitcast(builder.fcmp_unordered("uno", total, total), ir.IntType(REGISTER))
            nan = builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))
            parts = [_rounded(builder, v) for v in parts]
            if order:
                parts = _reordered(builder, parts, order)  # bytes, four times as many in a register
        for start, v in zip(range(0, LANES, REGISTER), parts, strict=True):
            stored = builder.store(v, _address(context, builder, out, value["out"], value["j"], start, REGISTER))
            if given["streaming"]:
                stored.align = REGISTER * bits_out // 8
                stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
            else:
                stored.align = bits_out // 8
        return nan

    return types.boolean(x, i, out, j, before, shift, after, dividing, order, streaming), generate


def _order_of(kind: Any) -> tuple[int, int, int]:
    """The order of channels that a type stands for."""
    many = len(kind) if isinstance(kind, types.BaseTuple) else 0
    return next(
        o for o, called in _ORDERS.items() if called is not None and (0 if called is True else len(called)) == many
    )


def _named(arguments: Any) -> dict[str, Any]:
    names = ("x", "i", "out", "j", "before", "shift", "after", "dividing", "order", "streaming")
    return dict(zip(names, arguments, strict=True))


@intrinsic
def _fence(typing_context: Any) -> Any:
    """Make streaming stores visible to other cores before anything that follows."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@njit(cache=True, nogil=True)
def _strips(  # pragma: no cover  (runs as machine code)
    x: Any,
    out: Any,
    x_start: int,
    x_stride: int,
    out_start: int,
    out_stride: int,
    count: int,
    length: int,
    before: Any,
    shift: Any,
    after: Any,
    dividing: Any,
    order: Any,
    streaming: bool,
) -> bool:
    """Compute ``count`` strips of ``length`` >= 48 elements; strip k starts at ``start + k * stride``.

    ``x`` and ``out`` are one-dimensional and contiguous and do not overlap. A strip with constants that differ
    by channel starts with a pixel. Returns whether there was a NaN on the way to bytes.
    """
    nan = False
    last = length - LANES
    for k in range(count):
        i = x_start + k * x_stride
        j = out_start + k * out_stride
        at = 0
        if streaming:
            nan |= _block(x, i, out, j, before, shift, after, dividing, order, None)
            # The first aligned element that is also the first of a pixel.
            while (out.ctypes.data + (j + at) * out.itemsize) % (REGISTER * out.itemsize) != 0 or at % 3 != 0:
                at += 1
            while at <= last:
                nan |= _block(x, i + at, out, j + at, before, shift, after, dividing, order, True)
                at += LANES
        else:
            while at <= last:
                nan |= _block(x, i + at, out, j + at, before, shift, after, dividing, order, None)
                at += LANES
        # The end of the strip, some of it for the second time: simpler than elements one by one.
        nan |= _block(x, i + last, out, j + last, before, shift, after, dividing, order, None)
    if streaming:
        _fence()
    return nan
