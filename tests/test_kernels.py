"""The kernels have the bits of ``reference.py``, whatever they are given; and what happens where they can't run."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
import warnings

import ml_dtypes
import numpy as np
import pytest

import vggprep
from vggprep import deprocess_input, kernels, preprocess_input
from vggprep.kernels import blocked
from vggprep.kernels.job import split, tiles

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
BACKENDS = [pytest.param("numpy"), pytest.param("numba", marks=needs_numba)]
FORMATS = ("channels_last", "channels_first")
DTYPES = "uint8 int8 bool uint16 int16 uint32 int32 uint64 int64 float16 float32 float64 longdouble bfloat16 >f4 >i2"


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def made_by_arithmetic(count, dtype):
    """``count`` values: bytes for integers; for floats also fractions, and values on both sides of 0..255."""
    index = np.arange(count)
    if dtype.kind in "iub":
        return (index * 37 % 256).astype(dtype)
    return (index * 37 % 311 * 1.03125 - 29.40625).astype(dtype)


def images(shape, data_format, dtype):
    """Images of ``(..., H, W)`` given by their shape without channels."""
    values = made_by_arithmetic(3 * int(np.prod(shape)), dtype).reshape(*shape, 3)
    return values if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(values, -1, -3))


def assert_same_bits(actual, expected):
    """Equal dtype, shape and bits, but for the payload of NaNs; in C order."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.flags.c_contiguous
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected)
        return
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(actual), nan)
    with np.errstate(invalid="ignore"):
        assert ((actual == expected) | nan).all()
        assert ((np.signbit(actual) == np.signbit(expected)) | nan).all()


def assert_like_reference(function, x, *arguments, backend, threads=1, **options):
    with np.errstate(all="ignore"):
        expected = function(x, *arguments, backend="reference", **options)
        before = x.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_same_bits(function(x, *arguments, backend=backend, threads=threads, **options), expected)
            # Neither the right nor an impossible value: what a kernel leaves out is seen.
            out = np.full_like(expected, 77, order="C", subok=False)
            assert function(x, *arguments, backend=backend, threads=threads, out=out, **options) is out
    assert_same_bits(out, expected)
    assert x.tobytes() == before.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("mode", vggprep.MODES)
class TestBits:
    @pytest.mark.parametrize("dtype", DTYPES.split())
    def test_every_dtype_rank_and_layout_has_the_bits_of_the_reference(self, mode, data_format, backend, dtype):
        for shape in ((5, 11), (2, 7, 8)):
            x = images(shape, data_format, dtype_of(dtype))
            for layout in layouts(x, data_format):
                for direction in (preprocess_input, deprocess_input):
                    assert_like_reference(direction, layout, data_format, mode, backend=backend)

    @pytest.mark.parametrize("target", ["float16", "float32", "float64", "longdouble"])
    def test_every_dtype_that_can_be_asked_for(self, mode, data_format, backend, target):
        for dtype in ("uint8", "int32", "float16", "float32", "float64", "bfloat16"):
            x = images((2, 7, 8), data_format, dtype_of(dtype))
            for direction in (preprocess_input, deprocess_input):
                assert_like_reference(direction, x, data_format, mode, backend=backend, dtype=target)

    def test_every_dtype_of_restored_pixels(self, mode, data_format, backend):
        for dtype, target in itertools.product(
            ("float16", "float32", "float64", "longdouble", "uint8"), (None, "uint8", "int16", ">u2", "int64", "uint64")
        ):
            x = images((2, 7, 8), data_format, dtype_of(dtype))
            y = preprocess_input(x, data_format, mode) if dtype != "uint8" else x
            assert_like_reference(deprocess_input, y, data_format, mode, backend=backend, dtype=target)

    def test_every_number_of_pixels_up_to_70(self, mode, data_format, backend):
        for pixels in range(71):
            for shape in ((1, pixels), (pixels, 1, 1), (2, pixels, 1)):
                x = images(shape, data_format, np.dtype(np.uint8))
                threads = 1 + pixels % 4
                assert_like_reference(preprocess_input, x, data_format, mode, backend=backend, threads=threads)
                y = images(shape, data_format, np.dtype(np.float32))
                assert_like_reference(deprocess_input, y, data_format, mode, backend=backend, threads=threads)

    @pytest.mark.parametrize("threads", [1, 2, 3, 4])
    def test_sizes_around_blocks_and_vectors_with_any_number_of_threads(self, mode, data_format, backend, threads):
        for elements, more in itertools.product((12, 14, 16, 18), (-1, 5)):
            pixels = (1 << elements) // 3 + more
            for dtype in ("uint8", "float32"):
                x = images((1, pixels), data_format, dtype_of(dtype))
                assert_like_reference(preprocess_input, x, data_format, mode, backend=backend, threads=threads)
                assert_like_reference(deprocess_input, x, data_format, mode, backend=backend, threads=threads)

    def test_batches_and_large_arrays_that_need_a_copy(self, mode, data_format, backend):
        for shape in ((3, 131, 83), (500, 7, 11), (1, 2, 40_009)):
            for dtype in ("uint8", "int32", "float32", "float64"):
                x = images(shape, data_format, dtype_of(dtype))
                for y in (x, x[::-1]):
                    assert_like_reference(preprocess_input, y, data_format, mode, backend=backend, threads=3)
                    assert_like_reference(deprocess_input, y, data_format, mode, backend=backend, threads=3)

    def test_every_half_precision_value_in_every_channel(self, mode, data_format, backend):
        half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
        x = np.stack([half] * 3, -1).reshape(256, 256, 3)
        if data_format == "channels_first":
            x = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        finite = np.where(np.isnan(x), np.float16(0), x)
        assert_like_reference(preprocess_input, x, data_format, mode, backend=backend)
        assert_like_reference(preprocess_input, x, data_format, mode, backend=backend, dtype="float32")
        assert_like_reference(deprocess_input, x, data_format, mode, backend=backend, dtype=None)
        for target in ("uint8", "int16"):
            assert_like_reference(deprocess_input, finite, data_format, mode, backend=backend, dtype=target)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_zeros_infinities_nan_and_extreme_values(self, mode, data_format, backend, dtype):
        limits = np.finfo(dtype)
        special = [0.0, -0.0, np.inf, -np.inf, limits.max, limits.min, limits.tiny, -limits.smallest_subnormal, np.nan]
        turns = (-103.939, -116.779, -123.68, 0.5, 127.5, 254.5, 255.5)
        near = [turn + shift for turn in turns for shift in (-1, 0, 1)]
        values = np.array(special + near, dtype)
        x = np.stack([np.roll(np.resize(values, 16 * 31), shift) for shift in range(3)], -1).reshape(16, 31, 3)
        if data_format == "channels_first":
            x = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        assert_like_reference(preprocess_input, x, data_format, mode, backend=backend)
        assert_like_reference(deprocess_input, x, data_format, mode, backend=backend, dtype=None)
        without_nan = np.where(np.isnan(x), x.dtype.type(1), x)
        assert_like_reference(deprocess_input, without_nan, data_format, mode, backend=backend)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_one_nan_anywhere_is_no_pixel(self, mode, data_format, backend, dtype):
        for pixels, position in ((3, 0), (100, 0), (100, 150), (100, 299), (60_000, 179_999), (60_000, 90_000)):
            x = images((1, pixels), data_format, dtype_of(dtype))
            x.reshape(-1)[position] = np.nan
            for threads in (1, 2):
                with pytest.raises(ValueError, match="holds NaN, which is not a valid pixel value"):
                    deprocess_input(x, data_format, mode, backend=backend, threads=threads)

    def test_an_output_at_any_address(self, mode, data_format, backend):
        x = images((2, 9, 11), data_format, np.dtype(np.uint8))
        expected = preprocess_input(x, data_format, mode, dtype="float32", backend="reference")
        memory = np.zeros(4 * x.size + 64, np.uint8)
        for offset in (*range(0, 64, 4), 1, 2):
            out = memory[offset : offset + 4 * x.size].view(np.float32).reshape(x.shape)
            preprocess_input(x, data_format, mode, dtype="float32", out=out, backend=backend)
            assert_same_bits(out, expected)
            assert not memory[:offset].any()
            assert not memory[offset + 4 * x.size :].any()
            memory[:] = 0

    def test_large_outputs_that_go_past_the_cache(self, mode, data_format, backend):
        x = images((15, 224, 219), data_format, np.dtype(np.uint8))
        memory = np.zeros(x.size + 3, np.float32)
        for offset, threads in ((0, 1), (3, 2)):
            out = memory[offset : offset + x.size].reshape(x.shape)
            y = preprocess_input(x, data_format, mode, dtype="float32", out=out, backend=backend, threads=threads)
            assert_same_bits(y, preprocess_input(x, data_format, mode, dtype="float32", backend="reference"))
        back = np.zeros_like(x)
        deprocess_input(y, data_format, mode, out=back, backend=backend, threads=2)
        np.testing.assert_array_equal(back, x)

    def test_a_bad_call_leaves_the_output_alone(self, mode, data_format, backend):
        x = images((4, 9, 11), data_format, np.dtype(np.float32))
        good = np.full(x.shape, 7, np.float32)
        read_only = good.copy()
        read_only.setflags(write=False)
        both = np.full((2, *x.shape), 7, np.float32)
        bad = {
            "shape": good[:3],
            "dtype": good.astype(np.float64),
            "C-contiguous": np.full(x.shape[::-1], 7, np.float32).T,
            "read-only": read_only,
        }
        for message, out in bad.items():
            with pytest.raises(ValueError, match=message):
                preprocess_input(x, data_format, mode, out=out, backend=backend)
            assert (out == 7).all()
        with pytest.raises(ValueError, match="overlap"):
            preprocess_input(both[0], data_format, mode, out=both[0], backend=backend)
        with pytest.raises(ValueError, match="threads must be 1 or more"):
            preprocess_input(x, data_format, mode, out=good, threads=0, backend=backend)
        with pytest.raises(ValueError, match="backend must be one of auto, numpy, numba, reference"):
            preprocess_input(x, data_format, mode, out=good, backend="fortran")
        assert (good == 7).all()
        assert (both == 7).all()

    def test_calls_at_the_same_time_do_not_meet(self, mode, data_format, backend):
        x = [images((1, 70_001), data_format, np.dtype(np.uint8)) + np.uint8(k) for k in range(4)]
        expected = [preprocess_input(image, data_format, mode, backend="reference") for image in x]
        results = [None] * len(x)

        def work(k):
            for _ in range(3):
                results[k] = preprocess_input(x[k], data_format, mode, backend=backend, threads=1 + k % 3)

        workers = [threading.Thread(target=work, args=(k,)) for k in range(len(x))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for result, wanted in zip(results, expected, strict=True):
            assert_same_bits(result, wanted)


def layouts(x, data_format):
    """``x`` in C order, and other arrays of its dtype that need another way through memory."""
    rows = x.ndim - 3 if data_format == "channels_last" else x.ndim - 2
    upside_down = np.flip(x, rows)
    every_other = np.repeat(x, 2, rows)
    every_other = every_other[(slice(None),) * rows + (slice(None, None, 2),)]
    memory = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    uniform = np.broadcast_to(x[(slice(None),) * rows + (slice(0, 1),)], x.shape)
    read_only = x.copy()
    read_only.setflags(write=False)
    channel = x.ndim - 1 if data_format == "channels_last" else x.ndim - 3
    bgr = np.flip(x, channel)
    return x, np.asfortranarray(x), upside_down, every_other, unaligned, uniform, read_only, bgr


def test_tiles_cover_every_pixel_once_and_are_contiguous():
    for shape in ((1, 1, 1), (3, 5, 7), (2, 1, 1000), (50, 3, 2), (0, 3, 4), (3, 0, 4), (1, 1, 0)):
        for limit in (1, 2, 6, 7, 35, 70, 10_000):
            index = np.arange(np.prod(shape)).reshape(shape)
            found = [index[tile].ravel() for tile in tiles(shape, limit)]
            assert all(piece.size <= max(1, limit) and (np.diff(piece) == 1).all() for piece in found)
            assert np.array_equal(np.concatenate([np.zeros(0, int), *found]), index.ravel())


def test_an_error_in_a_thread_is_raised():
    def fail(part):
        if part.start:
            raise RuntimeError("from a thread")

    with pytest.raises(RuntimeError, match="from a thread"):
        split(fail, 10, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_memory_beyond_input_and_output_stays_under_2_mib_a_thread(backend, mode):
    x = images((8, 224, 224), "channels_last", np.dtype(np.uint8))
    for dtype, threads, layout in itertools.product(
        ("float16", "float32", "float64", "longdouble"), (1, 2), (slice(None), slice(None, None, -1))
    ):
        y, back = np.zeros(x.shape, dtype), np.zeros(x.shape, np.uint8)
        calls = (
            lambda y=y, t=threads, i=layout: preprocess_input(
                x[i], None, mode, dtype=y.dtype, out=y, threads=t, backend=backend
            ),
            lambda y=y, t=threads, i=layout, out=back: deprocess_input(
                y[i], None, mode, out=out, threads=t, backend=backend
            ),
        )
        for call in calls:
            call()
            tracemalloc.start()
            call()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < threads * (2 << 20), (dtype, threads, layout)


def test_auto_turns_to_numba_when_the_work_repays_its_start(monkeypatch):
    used = []
    monkeypatch.setattr(kernels, "_elements_so_far", 0)
    monkeypatch.setattr(kernels, "is_numba_installed", lambda: True)
    monkeypatch.setattr(kernels, "load_compiled", lambda: used.append("numba") or blocked_as_compiled())
    x = images((1, 100, 100), "channels_last", np.dtype(np.uint8))
    monkeypatch.setattr(kernels, "_START_UP_ELEMENTS", 2 * x.size)
    preprocess_input(x)
    assert not used
    preprocess_input(x)
    assert used == ["numba"]
    preprocess_input(x[:, :9])
    assert used == ["numba"]
    monkeypatch.setattr(kernels, "_elements_so_far", 0)
    preprocess_input(images((2, 100, 100), "channels_last", np.dtype(np.uint8)))
    assert used == ["numba"] * 2


def blocked_as_compiled():
    class Compiled:
        supports = staticmethod(lambda job: True)
        run = staticmethod(blocked.run)

    return Compiled


def python(code, **environment):
    """The standard output of ``code`` run in a new interpreter; fails if it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_neither_the_import_nor_a_small_array_imports_numba():
    python(
        "import sys, numpy as np, vggprep\n"
        "vggprep.preprocess_input(np.zeros((1, 64, 64, 3), np.uint8), threads=2)\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )


def test_without_numba_auto_works_and_asking_for_it_names_the_extra():
    code = """
import sys
sys.modules["numba"] = None
import numpy as np, vggprep
from vggprep import kernels
kernels._START_UP_ELEMENTS = 0
x = np.zeros((1, 128, 128, 3), np.uint8)
out = np.full(x.shape, 7, np.float32)
try:
    vggprep.preprocess_input(x, backend="numba", out=out)
except ImportError as error:
    assert 'pip install "vggprep[numba]"' in str(error), error
    assert (out == 7).all()
else:
    raise AssertionError
vggprep.preprocess_input(x, out=out)
assert (out[..., 0] == np.float32(-103.939)).all()
"""
    python("import warnings; warnings.simplefilter('error')\n" + code)


SAME_BITS = """
import itertools, numpy as np, vggprep
x = (np.arange(768 * 40) // 40 % 256).astype(np.uint8).reshape(1, -1, 16, 3)
x = np.concatenate([x, x[:, ::-1, :, ::-1]])
for mode, data_format in itertools.product(("caffe", "tf", "torch"), ("channels_last", "channels_first")):
    z = x if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(x, -1, 1))
    expected = vggprep.preprocess_input(z, data_format, mode, backend="reference")
    y = vggprep.preprocess_input(z, data_format, mode, backend="numba")
    assert y.tobytes() == expected.tobytes(), (mode, data_format)
    assert vggprep.deprocess_input(y, data_format, mode, backend="numba").tobytes() == z.tobytes()
"""


@needs_numba
@pytest.mark.parametrize(
    "cpu",
    [
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    ],
    ids=lambda cpu: cpu["NUMBA_CPU_NAME"],
)
def test_a_cpu_without_fma_or_avx_has_the_same_bits(cpu, tmp_path):
    if cpu["NUMBA_CPU_NAME"] != "generic" and os.uname().machine != "x86_64":
        pytest.skip("an x86-64 CPU")
    code = f"import warnings; warnings.simplefilter('error')\n{SAME_BITS}\n"
    code += "from vggprep.kernels import compiled; print(compiled._has_fma())"
    expected = str("+fma" in cpu.get("NUMBA_CPU_FEATURES", ""))
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path), **cpu) == expected


WARNS_ONCE = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    exec(SAME_BITS)
assert [w.category for w in caught] == [RuntimeWarning], [str(w.message) for w in caught]
assert "numba is installed but does not work here" in str(caught[0].message)
"""


@needs_numba
def test_a_numba_that_cannot_keep_what_it_compiles_is_replaced_with_one_warning(tmp_path):
    # What numba sees where neither the package nor the home can be written to; file modes do not stop root.
    read_only = "import numba.core.caching as caching\ndef fail(self): raise OSError('read-only file system')\n"
    read_only += "caching._CacheLocator.ensure_cache_path = fail\n"
    python(f"{read_only}SAME_BITS = {SAME_BITS!r}\n{WARNS_ONCE}", NUMBA_CACHE_DIR=str(tmp_path))


@needs_numba
def test_a_cache_folder_that_cannot_be_made_is_no_obstacle(tmp_path):
    file = tmp_path / "file"
    file.touch()
    python(f"import warnings; warnings.simplefilter('error')\n{SAME_BITS}", NUMBA_CACHE_DIR=str(file / "cache"))


@needs_numba
def test_a_numba_that_cannot_compile_is_replaced_with_one_warning(tmp_path):
    broken = "import llvmlite.ir as ir\ndef fail(*arguments, **options): raise OSError('no machine code today')\n"
    broken += "ir.IRBuilder.fadd = fail\n"
    python(f"{broken}SAME_BITS = {SAME_BITS!r}\n{WARNS_ONCE}", NUMBA_CACHE_DIR=str(tmp_path))


@needs_numba
def test_what_is_compiled_is_kept_for_the_next_process(tmp_path):
    code = "import numpy as np, vggprep\nvggprep.preprocess_input(np.zeros((16, 16, 3), np.uint8), backend='numba')\n"
    code += "from vggprep.kernels import compiled\nprint(sum(compiled._strips.stats.cache_hits.values()))"
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "1"
