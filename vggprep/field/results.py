"""What a run comes to: a file, tables of one machine or of several. See docs/schemas/field.schema.json."""

from __future__ import annotations

import json
import math
import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from vggprep.errors import VggprepError
from vggprep.field import quiet
from vggprep.field.limit import LIMIT
from vggprep.files import replacing
from vggprep.machine import processor, versions

FORMAT = "vggprep-field/1"

_FEW_DTYPES = 3

Row = dict[str, Any]


class FieldError(VggprepError):
    """Results that cannot be read or drawn."""


def results(mode: str, images: int, side: int, rows: Sequence[Row], noise: quiet.Noise | None) -> Row:
    """The file of one machine."""
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "mode": mode,
        "images": images,
        "side": side,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": versions(("vggprep", "numpy")),
        "noise": None if noise is None else asdict(noise),
        "rows": list(rows),
    }


def write(path: Path, found: Row) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as file:
        file.write(text(found))


def text(found: Row) -> str:
    """The file's text."""
    return json.dumps(_finite(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Infinite errors, which JSON has not, as None; ``wrong`` says that there are some."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


def read(path: Path) -> Row:
    """Read a file. Raises ``FieldError``."""
    try:
        found: Row = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] == FORMAT and all(row["name"] and row["direction"] for row in found["rows"]):
            quiet.read(found["noise"])
            return found
        why = f"has the format {found['format']!r}; this vggprep reads {FORMAT}"
    except OSError as error:
        raise FieldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError):
        why = "is not a whole file of results; make one with vggprep field --report FILE"
    raise FieldError(f"{path} {why}")


# Words ------------------------------------------------------------------------------------------------------------


def ranked(found: Row, direction: str) -> list[Row]:
    """The rows of a direction: those that conform by time, those that do not by time, those not timed."""
    mine = [r for r in found["rows"] if r["direction"] == direction and r["name"] != LIMIT and not r["skipped"]]
    return sorted(mine, key=lambda r: (not r["conforms"], r["ns"]["median"] if "ns" in r else math.inf))


def skipped(found: Row) -> list[Row]:
    """What could not be judged here."""
    return [row for row in found["rows"] if row["skipped"]]


def limit_of(found: Row) -> Row | None:
    """The row of the limit."""
    return next((row for row in found["rows"] if row["name"] == LIMIT and "ns" in row), None)


def error_words(row: Row) -> str:
    """The worst error: in units of ``u·S`` where it is right, else in bytes and grey levels."""
    if row["wrong"] is None:
        return "refuses bytes" if row["direction"] == "forward" else "raises"
    if row["wrong"] and row["levels"] is None:
        return f"{row['wrong']} of 768 bytes: no image" if row["units"] is None else f"{row['wrong']} of 768 bytes"
    if row["wrong"]:
        return f"{row['wrong']} of 768 bytes, up to {row['levels']:.3g} grey levels"
    return "0 bytes" if row["units"] is None else f"{row['units']:.2g} u·S"


def verdict_words(row: Row) -> str:
    """Whether it conforms, and to which level."""
    return f"conforms, {row['level']}" if row["conforms"] else "does NOT conform"


def cause_words(row: Row, brief: bool = True, most: int = 2) -> str:
    """The widest-spread causes; ``brief``: of one that is known, its name."""
    said = [
        (cause["fault"] if brief and cause["fault"] else _sentence(cause["words"])) + _where(cause)
        for cause in row["causes"]
    ]
    said = list(dict.fromkeys(said))
    more = f" (and {len(said) - most} more)" if len(said) > most else ""
    return "; ".join([*row["crashes"], *said[:most]]) + more


_MOST = 320
"""Characters of a cause in the table: the messages of exceptions are longer, and hold the paths of a build."""


def _where(cause: Row) -> str:
    """The data format and the rank of a cause, if it is not in others, and its dtypes, if they are few."""
    dtypes = cause["dtypes"] if len(cause["dtypes"]) <= _FEW_DTYPES else []
    words = [*cause.get("where", []), *dtypes]
    return f" ({', '.join(words)})" if words else ""


def _sentence(words: str) -> str:
    first, dot, _ = words.partition(". ")
    return textwrap.shorten(first if dot else words.rstrip("."), _MOST, placeholder=" …")


def speed_words(row: Row) -> str:
    """Nanoseconds per element: the least, and the median; a tilde where they have not settled."""
    if "ns" not in row:
        return "not timed"
    return f"{'' if row['settled'] else '~'}{row['ns']['min']:.2f} / {row['ns']['median']:.2f}"


def times_words(row: Row) -> str:
    """How many times as fast as Keras's arrays."""
    return "" if row["times_keras"] is None else f"{row['times_keras']:.2f}"


HEAD = ("implementation", "verdict", "worst error", "causes", "inputs refused", "ns / element", "× Keras")
TITLES = {"forward": "Forward", "inverse": "Inverse"}


def cells(row: Row, brief: bool = True) -> tuple[str, ...]:
    """A row in words, under ``HEAD``."""
    return (
        row["name"],
        verdict_words(row),
        error_words(row),
        cause_words(row, brief),
        ", ".join([*row["refused"], *([f"judged on {' and '.join(row['judged'])} alone"] if row["judged"] else [])]),
        speed_words(row),
        times_words(row),
    )


def title(found: Row, direction: str) -> str:
    """What the rows of a direction have in common."""
    dtype = "uint8" if direction == "forward" else "float32"
    rows = ranked(found, direction)
    count = f"{len(rows)} implementations, {sum(row['conforms'] for row in rows)} conform"
    return f"{TITLES[direction]}, mode {found['mode']}: {count}; timed on " + (
        f"{found['images']} images of {found['side']}x{found['side']}, {dtype}, channels last, fresh result, one thread"
    )


def about(found: Row) -> list[str]:
    """The machine, how quiet it was, and the limit."""
    machine = found["machine"]
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {found['created'][:10]}"]
    noise = quiet.read(found["noise"])
    lines.append(quiet.described(noise))
    if why := quiet.why_noisy(noise):
        lines.append(f"A noisy run: {why}. Its times say little.")
    had = {r["distribution"]: r.get("version") for r in found["rows"] if not r["skipped"]} | found["versions"]
    lines.append(f"Versions: {', '.join(f'{name} {version}' for name, version in had.items() if version)}.")
    limit = limit_of(found)
    if limit is not None:
        lines.append(
            f"The limit, bytes converted to float32 into existing memory: {speed_words(limit)} ns per element."
        )
    return lines


def table(found: Row, direction: str) -> Table:
    """The rows of a direction, for people."""
    grid = Table(
        title=title(found, direction), title_justify="left", title_style="bold", header_style="bold", pad_edge=False
    )
    for name in HEAD:
        right = name in ("ns / element", "× Keras")
        grid.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in ranked(found, direction):
        style = "green" if row["conforms"] else "red"
        name, verdict, *rest = (word.replace("[", r"\[") for word in cells(row))
        grid.add_row(name, f"[{style}]{verdict}[/{style}]", *rest)
    return grid


def merged(files: Sequence[Row]) -> Table:
    """Several machines: the verdict and the time on each."""
    grid = Table(
        title="Several machines", title_justify="left", title_style="bold", header_style="bold", pad_edge=False
    )
    grid.add_column("implementation")
    for n in range(1, len(files) + 1):
        grid.add_column(f"{n}: verdict")
        grid.add_column("ns / element", justify="right")
        grid.add_column("× Keras", justify="right")
    for name, rows in together(files):
        grid.add_row(name.replace("[", r"\["), *(word for row in rows for word in merged_cells(row)))
    return grid


def merged_cells(row: Row | None) -> tuple[str, str, str]:
    """One machine's row in a table of several."""
    if row is None or row["skipped"]:
        return "-", "", ""
    return verdict_words(row), speed_words(row), times_words(row)


def together(files: Sequence[Row]) -> list[tuple[str, list[Row | None]]]:
    """Each implementation with its row on each machine."""
    listed: dict[tuple[str, str, str], list[Row | None]] = {}
    for n, found in enumerate(files):
        for row in found["rows"]:
            if row["name"] != LIMIT:
                key = (found["mode"], row["direction"], row["name"])
                listed.setdefault(key, [None] * len(files))[n] = row
    return [
        (f"{name}{', inverse' if direction == 'inverse' else ''}, {mode}", rows)
        for (mode, direction, name), rows in listed.items()
        if any(row is not None and not row["skipped"] for row in rows)
    ]
