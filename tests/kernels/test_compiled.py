"""numba in processes of their own: other CPUs, other cache folders, and a numba that is missing or broken."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_NUMBA = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
STRICT = "import warnings; warnings.simplefilter('error')\n"


def python(code: str, **environment: str) -> str:
    """The standard output of ``code`` run in a new interpreter; fails if it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


EAGER = """
import sys, numpy as np, vggprep
from vggprep import kernels
kernels._start_up.elements = 0
x = np.zeros((1, 128, 128, 3), np.uint8)
out = np.full(x.shape, 7, np.float32)
"""


@NEEDS_NUMBA
def test_auto_takes_numba_for_work_that_repays_it() -> None:
    python(f"{STRICT}{EAGER}vggprep.preprocess_input(x, out=out)\nassert 'numba' in sys.modules")


def test_without_numba_auto_works_and_asking_for_it_names_the_extra() -> None:
    code = """
try:
    vggprep.preprocess_input(x, backend="numba", out=out)
except ImportError as error:
    assert 'pip install numba' in str(error), error
    assert (out == 7).all()
else:
    raise AssertionError
vggprep.preprocess_input(x, out=out)
assert (out[..., 0] == np.float32(-103.939)).all()
"""
    python(f"{STRICT}import sys; sys.modules['numba'] = None\n{EAGER}{code}")


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


@NEEDS_NUMBA
@pytest.mark.parametrize(("cpu", "features"), [("generic", ""), ("haswell", "+avx2,+fma")])
def test_a_cpu_without_fma_or_avx_has_the_same_bits(cpu: str, features: str, tmp_path: Path) -> None:
    if features and os.uname().machine != "x86_64":
        pytest.skip("an x86-64 CPU")
    code = f"{STRICT}{SAME_BITS}\nfrom vggprep.kernels import compiled; print(compiled._has_fma())"
    # Without NUMBA_CPU_FEATURES, numba takes those of the CPU named.
    asked = {"NUMBA_CPU_FEATURES": features} if features else {}
    said = python(code, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME=cpu, **asked)
    assert said == str("+fma" in features)


# What numba meets where neither the package nor the home can be written to; file modes do not stop root.
READ_ONLY = """
import numba.core.caching as caching
def fail(self): raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = fail
"""

CANNOT_COMPILE = """
import llvmlite.ir as ir
def fail(*arguments, **options): raise OSError("no machine code today")
ir.IRBuilder.fadd = fail
"""


@NEEDS_NUMBA
@pytest.mark.parametrize("broken", [READ_ONLY, CANNOT_COMPILE], ids=["cannot keep what it compiles", "cannot compile"])
def test_a_broken_numba_is_replaced_with_one_warning(broken: str, tmp_path: Path) -> None:
    check = """
assert [w.category for w in caught] == [RuntimeWarning], [str(w.message) for w in caught]
assert "numba is installed but does not work here" in str(caught[0].message)
"""
    record = (
        "import warnings\ncaught = warnings.catch_warnings(record=True).__enter__()\nwarnings.simplefilter('always')"
    )
    python(f"{broken}\n{record}\n{SAME_BITS}\n{check}", NUMBA_CACHE_DIR=str(tmp_path))


@NEEDS_NUMBA
def test_a_cache_folder_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    one_mode = SAME_BITS.replace('("caffe", "tf", "torch")', '["torch"]')
    python(f"{STRICT}{one_mode}", NUMBA_CACHE_DIR=str(file / "cache"))


@NEEDS_NUMBA
def test_machine_code_is_kept_for_the_next_process(tmp_path: Path) -> None:
    code = "import numpy as np, vggprep\nvggprep.preprocess_input(np.zeros((16, 16, 3), np.uint8), backend='numba')\n"
    code += "from vggprep.kernels import compiled\nprint(sum(compiled._strips.stats.cache_hits.values()))"
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "1"
