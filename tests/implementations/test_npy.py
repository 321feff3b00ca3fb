"""The strict reader and the reproducible writer of ``.npy``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from vggprep.implementations import npy
from vggprep.spec import DTYPES

NUMPY_DTYPES = [d for d in DTYPES if d != "bfloat16"]


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (1, 2, 3, 3)])
def test_written_bytes_are_those_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 7).astype(dtype).reshape(shape)
    file = io.BytesIO()
    np.save(file, array)
    assert npy.encode(array) == file.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("descr", ["<f4", ">f8", "|u1", "<i8", "|b1", ">u2"])
def test_what_numpy_writes_is_read_back(
    tmp_path: Path, version: tuple[int, int], order: Literal["C", "F"], descr: str
) -> None:
    array = np.array(np.arange(24).reshape(2, 4, 3), dtype=descr, order=order)
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, version)
    got = npy.read(path)
    assert np.array_equal(got, array)
    assert got.dtype.isnative
    assert got.flags.c_contiguous


def file_of(header: bytes, data: bytes = b"") -> bytes:
    return npy.MAGIC + b"\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is not a .npy array: it begins with '<!DOCTYPE"),
        (b"\x93NUM", "ends within the .npy header"),
        (npy.MAGIC + b"\x09\x00" + bytes(200), "version 9.0"),
        (npy.MAGIC + b"\x02\x00" + b"\xff\xff\xff\xff", "header of 4294967295 bytes"),
        (file_of(b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"), "holds '|O', not"),
        (file_of(b"{'descr': '<U8', 'fortran_order': False, 'shape': (3,), }"), "holds '<U8', not"),
        (file_of(b"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }"), "holds '<c8', not"),
        (file_of(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }"), "cannot be read"),
        (file_of(b"__import__('os').abort()"), "cannot be read"),
        (file_of(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "cannot be read"),
        (file_of(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", bytes(4)), "is too short"),
        (file_of(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", bytes(4)), "is too long"),
        (file_of(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"), "is too short"),
        (
            file_of(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 400 + b",), }"),
            "has an invalid shape, (999",
        ),
        (file_of(b"{'descr': '<f4', 'fortran_order': False, }"), "cannot be read"),
    ],
)
def test_what_is_not_an_array_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(npy.NpyError) as error:
        npy.read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_bfloat16_cannot_be_written() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(npy.NpyError, match="bfloat16"):
        npy.encode(np.zeros(3, ml_dtypes.bfloat16))


def test_a_header_is_read_as_soon_as_it_is_complete() -> None:
    array = np.zeros((2, 3), np.float32)
    content = npy.encode(array)
    end = len(content) - array.nbytes
    assert all(npy.parse_header(content[:n]) is None for n in range(end))
    header = npy.parse_header(content[:end])
    assert header is not None
    assert (header.shape, header.dtype.name, header.offset, header.nbytes) == ((2, 3), "float32", end, 24)


def test_a_header_can_be_refused_before_the_data_is_read(tmp_path: Path) -> None:
    def refuse(header: npy.Header) -> None:
        raise npy.NpyError(f"has {header.nbytes} bytes")

    path = tmp_path / "a.npy"
    path.write_bytes(npy.encode(np.zeros(3)))
    with pytest.raises(npy.NpyError, match="has 24 bytes"):
        npy.read(path, refuse)
