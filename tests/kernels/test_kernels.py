"""The kernels have the bits of ``reference.py``, whatever they are given; and what happens where they can't run."""

from __future__ import annotations

import importlib.util
import itertools
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from support import CLIP, ODD, Array, bits

from vggprep import MODES, deprocess_input, functions, kernels, preprocess_input, strategies
from vggprep.cases import LAYOUTS, arrange, dtype_of, has_layout, to_format
from vggprep.functions import Backend
from vggprep.spec import DATA_FORMATS, DTYPES, DataFormat, Mode, ModeName, Step

Function = Callable[..., Array]

BOTH = (preprocess_input, deprocess_input)
NEEDS_NUMBA = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
BACKENDS = [pytest.param("numpy"), pytest.param("numba", marks=NEEDS_NUMBA)]
FOREIGN = ("longdouble", ">f4", ">i2")


class Kernel(NamedTuple):
    """A backend in a mode and data format."""

    backend: Backend
    mode: ModeName | Mode
    data_format: DataFormat


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setattr(functions, "FEW_ELEMENTS", 0)  # few pixels go another way, which has a test of its own
    found: Backend = request.param
    return found


@pytest.fixture(params=itertools.product(MODES, DATA_FORMATS), ids="-".join)
def kernel(request: pytest.FixtureRequest, backend: Backend) -> Kernel:
    return Kernel(backend, *request.param)


def values(shape: tuple[int, ...], dtype: str) -> Array:
    """Images of ``(..., H, W)``, channels last: bytes, or floats with fractions and on both sides of 0..255."""
    index, found = np.arange(3 * int(np.prod(shape))).reshape(*shape, 3), dtype_of(dtype)
    return (index * 37 % 256 if found.kind in "iub" else index * 37 % 311 * 1.03125 - 29.40625).astype(found)


def images(shape: tuple[int, ...], data_format: DataFormat, dtype: str) -> Array:
    """Images of ``(..., H, W)`` given by their shape without channels."""
    return np.ascontiguousarray(to_format(values(shape, dtype), data_format))


def layouts(shape: tuple[int, ...], data_format: DataFormat, dtype: str) -> Iterator[Array]:
    """The same images in every memory layout that the dtype has."""
    for layout in LAYOUTS:
        if has_layout(dtype, layout) and not (dtype in FOREIGN and layout == "big_endian"):
            yield arrange(values(shape, dtype), data_format, layout)


def assert_same_bits(actual: Array, expected: Array, what: object = "") -> None:
    """Equal dtype, shape and bits, but for the payload of NaNs; in C order."""
    assert actual.flags.c_contiguous, what
    assert bits(actual, one_nan=True) == bits(expected, one_nan=True), what


def assert_like_reference(function: Function, x: Array, kernel: Kernel, threads: int = 1, **options: Any) -> None:
    call = partial(function, x, kernel.data_format, kernel.mode, **options)
    what = (function.__name__, kernel, x.dtype, x.shape, x.strides, threads, options)
    with np.errstate(all="ignore"):
        expected = call(backend="reference")
        before = x.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_same_bits(call(backend=kernel.backend, threads=threads), expected, what)
            # Neither the right nor an impossible value shows what a kernel leaves out.
            out = np.full_like(expected, 77, order="C", subok=False)
            assert call(backend=kernel.backend, threads=threads, out=out) is out, what
    assert_same_bits(out, expected, what)
    assert x.tobytes() == before.tobytes(), what


# The same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*DTYPES, *FOREIGN])
def test_every_dtype_rank_and_layout_has_the_bits_of_the_reference(dtype: str, kernel: Kernel) -> None:
    # Modes take turns: each layout of each dtype, rank and data format meets two of the four.
    ranks = [list(layouts(shape, kernel.data_format, dtype)) for shape in ((5, 11), (2, 7, 8))]
    for number, both in enumerate(zip(*ranks, strict=True), list(MODES).index(str(kernel.mode))):
        for function in BOTH:
            assert_like_reference(function, both[number % 2], kernel)


@pytest.mark.thorough
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", [*DTYPES, *FOREIGN])
def test_few_pixels_have_the_bits_of_the_reference(dtype: str, data_format: DataFormat) -> None:
    for mode in (*MODES.values(), *ODD):
        kernel = Kernel("numpy", mode, data_format)
        for x in layouts((2, 3, 2), data_format, dtype):
            for function in BOTH:
                assert_like_reference(function, x, kernel)
        x = images((1, 5), data_format, dtype)
        for target in ("float16", "float64", "longdouble"):
            assert_like_reference(preprocess_input, x, kernel, dtype=target)
            assert_like_reference(deprocess_input, x, kernel, dtype=target)
        if x.dtype.kind == "f":
            x.reshape(-1)[:8] = [0.0, -0.0, np.inf, -np.inf, 6e4, -6e4, 1e-7, 127.5]
            for pixels in ("int16", ">u2", "int64", None):
                assert_like_reference(deprocess_input, x, kernel, dtype=pixels)
            x.reshape(-1)[9] = np.nan
            assert_like_reference(preprocess_input, x, kernel)
            with pytest.raises(ValueError, match="holds NaN"):
                deprocess_input(x, data_format, mode)
        assert_like_reference(deprocess_input, x[..., :0] if data_format == "channels_first" else x[:0], kernel)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64", "bfloat16", "longdouble"])
def test_every_dtype_that_can_be_asked_for(dtype: str, kernel: Kernel) -> None:
    x = images((2, 7, 8), kernel.data_format, dtype)
    y = x if x.dtype.kind in "iuV" else preprocess_input(x, kernel.data_format, kernel.mode)
    for target in ("float16", "float32", "float64", "longdouble"):
        assert_like_reference(preprocess_input, x, kernel, dtype=target)
        assert_like_reference(deprocess_input, x, kernel, dtype=target)
    for pixels in (None, "uint8", "int16", ">u2", "int64", "uint64"):
        assert_like_reference(deprocess_input, y, kernel, dtype=pixels)


@pytest.mark.parametrize("mode", ODD, ids=[mode.name for mode in ODD])
def test_any_order_and_any_steps_have_the_bits_of_the_reference(
    mode: Mode, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each dtype and data format is a compilation to numba.
    every = backend == "numpy"
    if not every and mode.name not in ("order alone", "many"):
        monkeypatch.delattr(kernels.blocked, "run")  # scales and shifts are for machine code
    for data_format in DATA_FORMATS if every or mode is CLIP else DATA_FORMATS[:1]:
        kernel = Kernel(backend, mode, data_format)
        for dtype in ("uint8", "float32", *(("int32", "float16", "float64", "bfloat16") if every else ())):
            x = images((2, 7, 40), data_format, dtype)
            assert_like_reference(preprocess_input, x, kernel)
            if dtype == "float32":
                x.reshape(-1)[:8] = [0.0, -0.0, np.inf, -np.inf, 3e38, -3e38, 1e-45, 127.5]
            elif dtype == "uint8" and not every:
                continue
            assert_like_reference(preprocess_input, x, kernel)
            y = x if dtype in ("int32", "uint8") else np.where(np.isnan(x), x.dtype.type(0), x)
            assert_like_reference(deprocess_input, y, kernel)
    if every:
        assert_like_reference(preprocess_input, images((400, 200), kernel.data_format, "float16"), kernel)
        x = images((200, 225), "channels_last", "uint8")  # more than a block, and little enough for one
        for function, given_x in ((preprocess_input, x), (deprocess_input, x * np.float32(0.75))):
            assert_like_reference(function, given_x, Kernel("numpy", mode, "channels_last"))


@given(mode=strategies.definitions(max_steps=4), image=strategies.images())
@settings(max_examples=30)
def test_a_mode_drawn_at_random_has_the_bits_of_the_reference(mode: Mode, image: Array) -> None:
    assert_like_reference(preprocess_input, image, Kernel("numpy", mode, "channels_last"))
    assert_like_reference(deprocess_input, image, Kernel("numpy", mode, "channels_last"))


@NEEDS_NUMBA
@given(mode=strategies.definitions())
@settings(max_examples=60, deadline=None)  # some are compiled first
def test_quotients_of_bytes_by_any_constant_are_what_division_gives(mode: Mode) -> None:
    from vggprep.kernels.compiled import _quotient

    # Compiled for one kind of mode: (scale, shift, scale), all quotients, in both ways to divide.
    steps = [step.constants for step in (*mode.steps, *[Step("divide", "0.3")] * 3)][:3]
    kind = Mode("kind", "RGB", [("divide", steps[0]), ("add", steps[1]), ("divide", steps[2])])
    assert_like_reference(
        preprocess_input, images((1, 256), "channels_last", "uint8"), Kernel("numba", kind, "channels_last")
    )
    assert _quotient((("divide", (1e-30, 1.0, 1.0)),)) == 1  # its reciprocal is, but a product with it may overflow


def test_every_number_of_pixels_up_to_70(kernel: Kernel) -> None:
    for pixels in range(71):
        for shape in ((1, pixels), (pixels, 1, 1), (2, pixels, 1)):
            threads = 1 + pixels % 4
            assert_like_reference(preprocess_input, images(shape, kernel.data_format, "uint8"), kernel, threads)
            assert_like_reference(deprocess_input, images(shape, kernel.data_format, "float32"), kernel, threads)


def test_sizes_around_blocks_and_vectors_with_any_number_of_threads(kernel: Kernel) -> None:
    for elements, more, dtype in itertools.product((12, 14, 16, 18), (-1, 5), ("uint8", "float32")):
        x = images((1, (1 << elements) // 3 + more), kernel.data_format, dtype)
        for threads, function in itertools.product((1, 2, 3, 4), BOTH):
            assert_like_reference(function, x, kernel, threads)


def test_batches_and_large_arrays_that_need_a_copy(kernel: Kernel) -> None:
    for shape in ((3, 131, 83), (500, 7, 11), (1, 2, 40_009)):
        for dtype in ("uint8", "int32", "float32", "float64"):
            x = images(shape, kernel.data_format, dtype)
            for y, function in itertools.product((x, x[::-1]), BOTH):
                assert_like_reference(function, y, kernel, threads=3)


def test_every_half_precision_value_in_every_channel(kernel: Kernel) -> None:
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    x = np.ascontiguousarray(to_format(np.stack([half] * 3, -1).reshape(256, 256, 3), kernel.data_format))
    finite = np.where(np.isnan(x), np.float16(0), x)
    assert_like_reference(preprocess_input, x, kernel)
    assert_like_reference(preprocess_input, x, kernel, dtype="float32")
    assert_like_reference(deprocess_input, x, kernel, dtype=None)
    for target in ("uint8", "int16"):
        assert_like_reference(deprocess_input, finite, kernel, dtype=target)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_infinities_nan_and_extreme_values(dtype: type[np.float32 | np.float64], kernel: Kernel) -> None:
    limits = np.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, limits.max, limits.min, limits.tiny, -limits.smallest_subnormal, np.nan]
    turns = (-103.939, -116.779, -123.68, 0.5, 127.5, 254.5, 255.5)
    near = [turn + shift for turn in turns for shift in (-1, 0, 1)]
    flat = np.resize(np.array(special + near, dtype), 16 * 31)
    rows = np.stack([np.roll(flat, shift) for shift in range(3)], -1).reshape(16, 31, 3)
    x = np.ascontiguousarray(to_format(rows, kernel.data_format))
    assert_like_reference(preprocess_input, x, kernel)
    assert_like_reference(deprocess_input, x, kernel, dtype=None)
    assert_like_reference(deprocess_input, np.where(np.isnan(x), dtype(1), x), kernel)


def test_one_nan_anywhere_is_not_a_pixel(kernel: Kernel) -> None:
    for pixels, position in ((3, 0), (100, 0), (100, 150), (100, 299), (60_000, 179_999), (60_000, 90_000)):
        for dtype, threads in itertools.product(("float16", "float32", "float64"), (1, 2)):
            x = images((1, pixels), kernel.data_format, dtype)
            x.reshape(-1)[position] = np.nan
            with pytest.raises(ValueError, match="holds NaN, which is not a valid pixel value"):
                deprocess_input(x, kernel.data_format, kernel.mode, backend=kernel.backend, threads=threads)


def test_an_output_at_any_address(kernel: Kernel) -> None:
    x = images((2, 9, 11), kernel.data_format, "uint8")
    call = partial(preprocess_input, x, kernel.data_format, kernel.mode, dtype="float32")
    expected = call(backend="reference")
    memory = np.zeros(4 * x.size + 64, np.uint8)
    for offset in (*range(0, 64, 4), 1, 2):
        out = memory[offset : offset + 4 * x.size].view(np.float32).reshape(x.shape)
        call(out=out, backend=kernel.backend)
        assert_same_bits(out, expected, offset)
        assert not memory[:offset].any()
        assert not memory[offset + 4 * x.size :].any()
        memory[:] = 0


def test_large_outputs_that_go_past_the_cache(kernel: Kernel) -> None:
    x = images((15, 224, 219), kernel.data_format, "uint8")
    call = partial(preprocess_input, x, kernel.data_format, kernel.mode, dtype="float32")
    expected = call(backend="reference")
    memory = np.zeros(x.size + 3, np.float32)
    for offset, threads in ((0, 1), (3, 2)):
        out = memory[offset : offset + x.size].reshape(x.shape)
        assert_same_bits(call(out=out, backend=kernel.backend, threads=threads), expected)
    back = np.zeros_like(x)
    deprocess_input(expected, kernel.data_format, kernel.mode, out=back, backend=kernel.backend, threads=2)
    np.testing.assert_array_equal(back, x)


def test_calls_at_the_same_time_do_not_meet(kernel: Kernel) -> None:
    x = [images((1, 70_001), kernel.data_format, "uint8") + np.uint8(k) for k in range(4)]
    expected = [preprocess_input(image, kernel.data_format, kernel.mode, backend="reference") for image in x]

    def work(k: int) -> list[Array]:
        options: dict[str, Any] = {"backend": kernel.backend, "threads": 1 + k % 3}
        return [preprocess_input(x[k], kernel.data_format, kernel.mode, **options) for _ in range(3)]

    with ThreadPoolExecutor(len(x)) as pool:
        for results, wanted in zip(pool.map(work, range(len(x))), expected, strict=True):
            for result in results:
                assert_same_bits(result, wanted)


@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_memory_beyond_input_and_output_stays_under_2_mib_a_thread(mode: ModeName, backend: Backend) -> None:
    x, back = images((8, 224, 224), "channels_last", "uint8"), np.zeros((8, 224, 224, 3), np.uint8)
    for dtype, threads, step in itertools.product(("float16", "float32", "float64", "longdouble"), (1, 2), (1, -1)):
        y = np.zeros(x.shape, dtype)
        for call in (
            partial(preprocess_input, x[::step], None, mode, dtype=dtype, out=y, threads=threads, backend=backend),
            partial(deprocess_input, y[::step], None, mode, out=back, threads=threads, backend=backend),
        ):
            call()
            tracemalloc.start()
            call()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < threads * (2 << 20), (call.func.__name__, dtype, threads, step)


# Which kernel -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "repaid"),
    [([30_000] * 3, [False, True, True]), ([60_000], [True]), ([1_000] * 100, [False] * 100)],
)
def test_numba_repays_its_start_once_numpy_would_have_worked_as_long(sizes: list[int], repaid: list[bool]) -> None:
    start_up = kernels.StartUp(elements=60_000)  # arrays too small for any kernel do not count
    assert [start_up.is_repaid(size) for size in sizes] == repaid


def test_a_numba_that_fails_is_replaced_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no machine code today")

    monkeypatch.setattr(kernels, "load_compiled", broken)
    monkeypatch.setattr(kernels, "_numba_failed", False)
    monkeypatch.setattr(kernels, "_start_up", kernels.StartUp(elements=0))
    monkeypatch.setattr(kernels, "is_numba_installed", lambda: True)
    x = images((1, 128, 128), "channels_last", "uint8")
    with pytest.warns(RuntimeWarning, match=r"does not work here \(OSError: no machine code today\)") as caught:
        results = [preprocess_input(x, backend=backend) for backend in ("auto", "numba", "auto")]
    assert len(caught) == 1
    for result in results:
        assert_same_bits(result, preprocess_input(x, backend="reference"))
