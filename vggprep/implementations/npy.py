"""The ``.npy`` format, written the same everywhere and read with suspicion.

NumPy's reader takes a whole file and trusts the size that its header announces. Files and programs of other people
are read here, by a pattern and as the bytes arrive, and sizes are checked before anything is allocated. Imports NumPy.
The format: https://numpy.org/neps/nep-0001-npy-format.html
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError

Array = npt.NDArray[Any]

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 4096
"""Bytes. NumPy's headers for plain arrays have 118."""
_MOST_SIDES = 32  # NumPy 1; NumPy 2 takes 64


class NpyError(VggprepError, ValueError):
    """Bytes that are not a ``.npy`` array of numbers; the message is one line that completes "it ..."."""


@dataclass(frozen=True)
class Header:
    """What comes before the data: dtype, shape, order and the number of bytes up to the data."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """How many bytes of data must follow."""
        return math.prod(self.shape) * self.dtype.itemsize


_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?:
        descr(?P=quote)\s*:\s*(?P<q>['"])(?P<descr>[^'"]{1,32})(?P=q)
        |fortran_order(?P=quote)\s*:\s*(?P<order>True|False)
        |shape(?P=quote)\s*:\s*\((?P<shape>\s*(?:[0-9]+L?\s*(?:,\s*[0-9]+L?\s*)*,?\s*)?)\)
    )\s*(?:,|(?=\}))""",
    re.VERBOSE,
)
_NUMBERS = re.compile(r"[<>=|]?([biu]1|[iuf][248])")


def encode(array: Array) -> bytes:
    """A C-ordered, little-endian array as a ``.npy`` file, version 1.0: the same bytes on every machine.

    Raises ``NpyError`` for dtypes that the format has no name for, such as bfloat16.
    """
    little = array.dtype.newbyteorder("<")
    if not _NUMBERS.fullmatch(little.str):
        raise NpyError(f".npy has no name for dtype {array.dtype}")
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, little, order="C"), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def parse_header(start: bytes) -> Header | None:
    """Read the header at the beginning of ``start``; ``None`` while more bytes are needed.

    Raises ``NpyError`` as soon as ``start`` cannot be the beginning of one.
    """
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise NpyError(f"is not a .npy array: it begins with {shown(start)}")
    if len(start) < len(MAGIC) + 4:
        return None
    version = (start[6], start[7])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise NpyError(f"has .npy version {version[0]}.{version[1]}, which does not exist")
    width = 2 if version == (1, 0) else 4
    if len(start) < 8 + width:
        return None
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > LONGEST_HEADER:
        raise NpyError(f"announces a .npy header of {length} bytes; at most {LONGEST_HEADER} are read")
    offset = 8 + width + length
    if len(start) < offset:
        return None
    dtype, shape, order = _parse_dict(start[8 + width : offset].decode("latin-1"))
    return Header(dtype, shape, order, offset)


def _parse_dict(text: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    body = text.strip()
    found: dict[str, str] = {}
    at = 1
    while match := _ENTRY.match(body, at):
        found |= {key: value for key, value in match.groupdict().items() if key in _WANTED and value is not None}
        at = match.end()
    if not body.startswith("{") or body[at:].strip() != "}" or set(found) != _WANTED:
        raise NpyError(f"has a .npy header that cannot be read: {shown(body.encode('latin-1'), 120)}")
    if not _NUMBERS.fullmatch(found["descr"]):
        raise NpyError(f"holds {found['descr']!r}, not bool, integer or floating numbers of 1 to 8 bytes")
    dtype = np.dtype(found["descr"])
    shape = tuple(int(part.strip().rstrip("L")) for part in found["shape"].split(",") if part.strip())
    # NumPy wants a product that it can address even where a side of 0 makes it 0.
    if len(shape) > _MOST_SIDES or math.prod(n or 1 for n in shape) * dtype.itemsize >= 2**63:
        raise NpyError(f"has an invalid shape, ({' '.join(found['shape'].split())[:60]}), of {len(shape)} sides")
    return dtype, shape, found["order"] == "True"


_WANTED = {"descr", "order", "shape"}


def decode(data: bytes | bytearray | memoryview, header: Header) -> Array:
    """The array of ``header`` from exactly its ``nbytes`` bytes of data: a new one, native and in C order."""
    flat = np.frombuffer(data, header.dtype, count=math.prod(header.shape))
    array = flat.reshape(header.shape, order="F" if header.fortran_order else "C")
    return np.array(array, header.dtype.newbyteorder("="), order="C")


def read(path: Path, check: Callable[[Header], None] | None = None) -> Array:
    """The array in a ``.npy`` file. ``check`` sees the header first and may raise ``NpyError``.

    Raises ``NpyError`` (one line without the path) for a file that holds anything else, ``OSError`` as ``open``.
    """
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER + 12)
        if not start:
            raise NpyError("is empty")
        header = parse_header(start)
        if header is None:
            raise NpyError("ends within the .npy header")
        if check is not None:
            check(header)
        size = path.stat().st_size - header.offset
        if size != header.nbytes:
            kind = "short" if size < header.nbytes else "long"
            raise NpyError(
                f"is too {kind}: shape {header.shape} of {header.dtype} takes {header.nbytes} bytes, and it has {size}"
            )
        file.seek(header.offset)
        try:
            return decode(file.read(header.nbytes), header)
        except MemoryError as error:
            raise NpyError(f"is too large to be read: it holds {header.nbytes:.3g} bytes") from error


def shown(data: bytes, most: int = 40) -> str:
    """The first bytes of something, for a message."""
    return repr(bytes(data[:most]).decode("latin-1")) + (" ..." if len(data) > most else "")
