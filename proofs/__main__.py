"""``python -m proofs``: prove every bound that docs/proofs.md states. ``--write`` finds the bounds and states them.

``--scripts FOLDER`` keeps the scripts; ``--witnesses`` writes the table of witnesses, without Gappa. Exit codes: 0 all
is proven, 1 something is not, 2 Gappa is not there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import ceil, floor, log10
from pathlib import Path
from typing import NamedTuple

import numpy as np

import proofs
from proofs import separation
from vggprep import reference, tolerance
from vggprep.files import replacing
from vggprep.oracle import FORMATS
from vggprep.proof import certificates
from vggprep.spec import DIRECTIONS, Direction, ModeName, definition

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "proofs.md"
MODES = ("caffe", "tf", "torch")
_TABLE = re.compile(r"(<!-- generated: python -m proofs --write -->\n).*?(<!-- end -->)", flags=re.S)

WITNESSES = re.compile(r"(<!-- generated: python -m proofs --witnesses -->\n).*?(<!-- end -->)", flags=re.S)

INTERCHANGE = "there and back"


class Cell(NamedTuple):
    """What one bound is about: a way, in ``u·S``, or there and back, in grey levels."""

    way: str
    mode: ModeName
    order: str
    fmt: str

    def scripts(self, bound: str | None) -> list[str]:
        """The scripts that prove it, one for each channel that differs; none where nothing is claimed."""
        if self.way == INTERCHANGE:
            return sorted({proofs.interchange(self.mode, channel, self.fmt, bound) for channel in range(3)})
        direction: Direction = "forward" if self.way == "forward" else "inverse"
        return [proofs.script(p, bound) for p in proofs.programs(self.order, direction, self.mode, self.fmt)]


_BOTH = "any two faithful functions, grey levels"
ROWS = [(str(way), mode, order) for order in proofs.REARRANGEMENTS for way in DIRECTIONS for mode in MODES]
ROWS += [(INTERCHANGE, mode, _BOTH) for mode in MODES]
CELLS = [Cell(*row, fmt) for row in ROWS for fmt in FORMATS]


def stated(page: str) -> dict[Cell, str]:
    """The bounds that the page states."""
    found = _TABLE.search(page)
    rows = [line.strip("| ").split(" | ") for line in (found[0] if found else "").splitlines() if line[:1] == "|"][2:]
    return {
        Cell(way, mode, order, fmt): cell.split()[0]
        for order, way, mode, *cells in rows
        for fmt, cell in zip(FORMATS, cells, strict=True)
        if cell != "–"
    }


def enumerated(direction: str, mode: ModeName, fmt: str) -> float | None:
    """The worst error of the reference over every bit pattern, in ``u·S``; ``None`` where there are too many."""
    if fmt == "float32" and direction == "forward":
        rows = certificates.read(DOCS / "certificates" / "reference-float32.json").rows
        return max(r.units.error for r in rows if r.mode == mode and r.direction == direction and r.units)
    if fmt not in ("float16", "bfloat16"):
        return None
    import ml_dtypes

    dtype = np.dtype(np.float16 if fmt == "float16" else ml_dtypes.bfloat16)
    patterns = np.repeat(np.arange(2**16, dtype=np.uint16).view(dtype)[:, None], 3, axis=1)
    way: Direction = "forward" if direction == "forward" else "inverse"
    function = reference.forward if direction == "forward" else reference.inverse
    return tolerance.compare_faithful(patterns, function(patterns, definition(mode), dtype), way, mode).units


def enumerated_integers(direction: str, mode: ModeName, fmt: str) -> float | None:
    """The worst error of the reference over all integers of 32 bits, where a certificate has them: they are cast."""
    if (direction, fmt) != ("forward", "float32"):
        return None
    files = (DOCS / "certificates").glob(f"reference-*int32-{mode}.json")
    found = (row for file in files for row in certificates.read(file).rows if row.direction == direction)
    return max((row.units.error for row in found if row.units), default=None)


def table(bounds: dict[Cell, str]) -> str:
    """The table of the page: beside the reference's bounds, in brackets, the worst that enumeration found."""
    lines = [f"| order of operations | way | mode | {' | '.join(FORMATS)} |", "|---|---|---|" + "--:|" * 4]
    for way, mode, order in ROWS:
        cells = [bounds.get(Cell(way, mode, order, fmt), "–") for fmt in FORMATS]
        if order in ("reference", "input cast first"):
            of = enumerated if order == "reference" else enumerated_integers
            worst = [of(way, mode, fmt) for fmt in FORMATS]
            cells = [cell if w is None else f"{cell} ({w:.2f})" for cell, w in zip(cells, worst, strict=True)]
        lines.append(f"| {order} | {way} | {mode} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rounded_up(number: Fraction) -> str:
    """Two decimals; below a tenth, two digits and an exponent."""
    if number >= Fraction(1, 10):
        return f"{ceil(number * 100) / 100:.2f}"
    exponent = floor(log10(number))
    return f"{ceil(number * Fraction(10) ** (1 - exponent)) / 10}e{exponent:03d}"


def _work(bounds: dict[Cell, str] | None) -> Iterator[tuple[Cell, int, str]]:
    for cell in CELLS:
        if bounds is None or cell in bounds:
            for number, text in enumerate(cell.scripts(None if bounds is None else bounds[cell])):
                yield cell, number, text


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="find the bounds, and write them into docs/proofs.md")
    parser.add_argument("--scripts", type=Path, metavar="FOLDER", help="keep the scripts there")
    parser.add_argument("--witnesses", action="store_true", help="write the witnesses of faults into docs/proofs.md")
    options = parser.parse_args()
    if options.witnesses:
        page = PAGE.read_text(encoding="utf-8")
        with replacing(PAGE) as file:
            file.write(WITNESSES.sub(lambda match: match[1] + separation.table() + match[2], page))
        return 0
    if shutil.which("gappa") is None:
        print("gappa is not installed: the bounds are not proven here (Debian has it: apt install gappa)")
        return 2
    page = PAGE.read_text(encoding="utf-8")
    roundings = [(Cell("rounding", "", "", fmt), k, s) for fmt in FORMATS for k, s in enumerate(proofs.rounding(fmt))]
    work = [*roundings, *_work(None if options.write else stated(page))]
    if options.scripts:
        options.scripts.mkdir(parents=True, exist_ok=True)
        for cell, number, text in work:
            name = "-".join(filter(None, (*cell, str(number)))).replace(",", "").replace(" ", "_")
            (options.scripts / f"{name}.g").write_text(text, encoding="utf-8")
    found: dict[Cell, Fraction] = {}
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (cell, _, _), answer in zip(work, pool.map(lambda item: proofs.ask(item[2]), work), strict=True):
            found[cell] = max(found.get(cell, Fraction(0)), answer.largest)
            if not answer.proven:
                failed += 1
                print(f"not proven: {', '.join(filter(None, cell))}")
    if options.write and not failed:
        shown = table({cell: _rounded_up(bound) for cell, bound in found.items() if cell in CELLS})
        with replacing(PAGE) as file:
            file.write(_TABLE.sub(lambda match: match[1] + shown + match[2], page))
    print(f"{len(work) - failed} of {len(work)} scripts proven, of {len(found)} bounds")
    return 1 if failed or len(work) == len(roundings) else 0


if __name__ == "__main__":
    sys.exit(main())
