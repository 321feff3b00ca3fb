"""The strict reader and the reproducible writer of ``.npy``."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from random import Random
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


def shaped(shape: str) -> bytes:
    return file_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}".encode())


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
        (shaped("0," * 65), "of 65 sides"),
        (shaped("1," * 33), "of 33 sides"),
        (shaped("0, 100000000000000000, 100000000000000000"), "has an invalid shape, (0, 1000"),
        (shaped("0, 9223372036854775807"), "has an invalid shape, (0, 9223372036854775807), of 2 sides"),
        (shaped("3,\n\n" + 20 * "9"), "has an invalid shape, (3, 999"),
        (shaped("(3,),"), "'shape': ((3,),)"),
        (shaped("-1,"), "'shape': (-1,)"),
        (shaped(",,,"), "cannot be read"),
        (shaped("L"), "cannot be read"),
        (shaped("\u0663,"), "cannot be read"),
        (file_of(b"{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (3,), }"), r"holds '\x1b[2J', not"),
        (file_of(b"{'descr': '<f4\0', 'fortran_order': False, 'shape': (3,), }"), r"holds '<f4\x00', not"),
    ],
)
def test_what_is_not_an_array_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(npy.NpyError) as error:
        npy.read(path)
    assert words in str(error.value)
    assert str(error.value).isprintable()


def test_more_than_the_memory_holds_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = shaped("1000000000000,")
    path.write_bytes(header)
    os.truncate(path, len(header) + 4 * 10**12)  # a hole
    with pytest.raises(npy.NpyError, match=r"is too large to be read: it holds 4e\+12 bytes"):
        npy.read(path)


def test_whatever_a_header_is_changed_to_it_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    whole, random = shaped("3,") + bytes(12), Random(1)
    path = tmp_path / "a.npy"
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            at = random.randrange(6, len(whole) - 12)
            content[at : at + random.randint(0, 1)] = random.choice(
                [b"", bytes([random.randrange(256)]), b"9", b"(", b","]
            )
        path.write_bytes(content)
        with contextlib.suppress(npy.NpyError):
            npy.read(path)


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
