"""Files that are written whole or not at all, JSON Lines, and text made fit to print.

Imports platformdirs and the standard library.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from platformdirs import user_cache_path


def cache_folder(name: str) -> Path:
    """The folder ``name`` for what vggprep keeps between runs, in the user's cache directory; it may not exist yet."""
    return user_cache_path("vggprep", appauthor=False, opinion=False) / name


def is_replaced(path: Path) -> bool:
    """Whether a file will be put in the place of ``path``: not of a device, a pipe or a folder."""
    return path.is_file() or not path.exists()


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open ``path`` for writing text; it is replaced when the block ends, and left as it was if the block raises.

    A device or a pipe stays what it is, and is written to.
    """
    path = Path(path)
    if not is_replaced(path):
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def json_line(row: dict[str, Any]) -> str:
    """One line of a JSON Lines file; infinities become the strings ``"inf"`` and ``"-inf"``, as JSON has none."""
    return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


# C0 (line ends included), DEL and C1; line separators; marks that turn the direction of text; halves of surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` in one line, with what could act on a terminal shown as escapes, such as ``\\x1b``."""
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)
