"""Writing 8-bit RGB images as PNG: what ``identify --restore`` needs, and no library for it.

Imports NumPy and ``files``. The format: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.files import replacing

_IMAGES = re.compile(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP", re.DOTALL)
"""How the files begin that ``identify`` reads, except arrays."""


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its first bytes; not a folder, a pipe or a device, which are not opened."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _IMAGES.match(file.read(12)) is not None


def write(path: Path, image: npt.NDArray[Any]) -> None:
    """Write a uint8 image, shape ``(height, width, 3)``, whole or not at all.

    Raises ``ValueError`` for others, ``OSError`` as ``open``.
    """
    content = encode(image)
    with replacing(path) as file:
        file.buffer.write(content)


def encode(image: npt.NDArray[Any]) -> bytes:
    """A uint8 image, shape ``(height, width, 3)``, as PNG. Raises ``ValueError`` for others."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"a PNG is written of uint8 images (height, width, 3); got {image.dtype}, shape {image.shape}")
    height, width, _ = image.shape
    rows = np.ascontiguousarray(image).reshape(height, width * 3)
    # Each row begins with its filter: 0, none.
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw, 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
