"""The bounds that docs/proofs.md states: no enumeration is above them, Gappa proves them, and no smaller ones."""

from __future__ import annotations

import re
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import proofs
from proofs import separation
from proofs.__main__ import CELLS, INTERCHANGE, PAGE, Cell, main, stated, table
from vggprep import oracle, tolerance
from vggprep.faults.honest import HONEST
from vggprep.oracle import FORMATS, computed_dtype
from vggprep.proof import certificates
from vggprep.proof.certificates import Row
from vggprep.spec import Direction, ModeName

needs_gappa = pytest.mark.skipif(shutil.which("gappa") is None, reason="needs gappa: apt install gappa")
STATED = {cell: float(bound) for cell, bound in stated(PAGE.read_text(encoding="utf-8")).items()}
ORDERS = {
    "reciprocal": "reciprocals",
    "folded_affine": "folded scale and offset",
    "single_inside_for_half": "wider inside",
    "plane_by_plane": "grey levels, plane by plane",
}


def most(mode: ModeName, fmt: str) -> float:
    """The largest bound of any order of operations forward, without a cast of the input."""
    return max(
        bound
        for cell, bound in STATED.items()
        if cell[:2] == ("forward", mode) and cell.fmt == fmt and cell.order != "input cast first"
    )


def test_the_page_states_a_bound_for_every_cell_and_the_worst_that_enumeration_finds() -> None:
    nothing_wider = {cell for cell in CELLS if cell.order == "wider inside" and cell.fmt == "float64"}
    assert set(CELLS) - set(STATED) == nothing_wider
    page = PAGE.read_text(encoding="utf-8")
    assert table(stated(page)) in page
    for line in page.splitlines():
        cells = [cell.split() for cell in line.split("|") if line.startswith(("| reference |", "| input cast"))]
        for bound, worst in (cell for cell in cells if len(cell) == 2):
            assert float(worst.strip("()")) <= float(bound)


def test_every_honest_order_of_operations_is_faithful_and_bytes_survive_strangers() -> None:
    for cell, bound in STATED.items():
        if cell.way != INTERCHANGE:
            assert bound < tolerance.bound(cell.mode)
        else:
            assert (bound < 0.5) == (cell.fmt in ("float32", "float64"))


def rows() -> list[Row]:
    files = sorted((PAGE.parent / "certificates").glob("*.json"))
    return [row for path in files for row in certificates.read(path).rows if row.units and row.mode != "identity"]


def test_no_certificate_is_above_what_is_proven() -> None:
    seen = set()
    for row in rows():
        assert row.units
        keras = row.implementation in ("keras:tensor", "keras:graph", "keras:xla")
        fmt = row.dtype if keras and row.dtype in FORMATS else computed_dtype(row.dtype, row.mode)
        if row.status != "proven":  # keras:tensor returns integers for integers
            continue
        # Not every one of these integers is a float32.
        order = "input cast first" if row.dtype in ("int32", "uint32") else "reference"
        there, back = STATED[Cell("forward", row.mode, order, fmt)], STATED[Cell("inverse", row.mode, "reference", fmt)]
        if row.direction == "inverse":  # against the image: both ways
            assert row.units.error <= back + 2 * there
        else:
            proven = most(row.mode, fmt) if keras else there
            assert row.units.error <= proven, row
        seen.add((row.implementation.split()[0], row.direction, fmt))
    assert len(seen) >= 20


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("implementation", [i for i in HONEST if i.name in ORDERS], ids=lambda i: i.name)
def test_no_half_is_further_off_than_is_proven(implementation: object, mode: ModeName) -> None:
    found = next(i for i in HONEST if i is implementation)
    patterns = np.repeat(np.arange(2**16, dtype=np.uint16).view(np.float16)[:, None], 3, axis=1)[None]
    ways: list[tuple[Direction, object]] = [("forward", found.preprocess), ("inverse", found.deprocess)]
    for direction, function in ways:
        assert callable(function)
        with np.errstate(all="ignore"):
            got = function(patterns, mode=mode, data_format="channels_last")
        if got.dtype.kind == "f":  # some inverses return bytes
            worst = tolerance.compare_faithful(patterns, got, direction, mode).units
            assert worst <= STATED[Cell(direction, mode, ORDERS[found.name], "float16")]


HANDFUL = [
    Cell("forward", "torch", "fused multiply-add", "float64"),
    Cell("inverse", "tf", "reference", "float16"),
    Cell("forward", "caffe", "input cast first", "bfloat16"),
    Cell(INTERCHANGE, "torch", CELLS[-1].order, "float32"),
]


@needs_gappa
@pytest.mark.parametrize("cell", HANDFUL, ids=lambda cell: "-".join(cell))
def test_gappa_proves_what_is_stated_and_nothing_much_smaller(cell: Cell) -> None:
    bound = STATED[cell]
    assert all(proofs.ask(script).proven for script in cell.scripts(str(bound)))
    assert not all(proofs.ask(script).proven for script in cell.scripts(str(bound * 0.9)))


@needs_gappa
@pytest.mark.parametrize("fmt", FORMATS)
def test_gappa_proves_what_the_scripts_say_of_roundings_and_no_less(fmt: str) -> None:
    for script in proofs.rounding(fmt):
        assert proofs.ask(script).proven
        exponent = script.rpartition("b")[2].split()[0]
        assert not proofs.ask(script.replace(f"b{exponent}", f"b{int(exponent) - 1}")).proven


CAFFE = proofs.programs("reference", "forward", "caffe", "float32")[0]


@needs_gappa
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("c1 = float32(float64(103.939))", "c1 = float32(float64(103.94))"),  # another mean is used
        ("|h1| <= 1b-150", "|h1| <= 1b-20"),  # a coarser format
        ("s in [-1,1]", "s in [-3,3]"),  # a larger input than S is for
        ("(t1 - r1) / f0 -> 0 -", "(t1 - r1) / f0 -> 0 * "),  # an equation that is none
        ("<= 16777215b104", "<= 16777215b70"),  # a format that overflows
    ],
)
def test_a_wrong_script_is_not_proven(right: str, wrong: str) -> None:
    script = proofs.script(CAFFE, "1.55")
    assert proofs.ask(script).proven
    assert script.count(right) == 1
    assert not proofs.ask(script.replace(right, wrong)).proven


@needs_gappa
def test_gappa_is_asked_for_the_largest_error() -> None:
    answer = proofs.ask(proofs.script(CAFFE, None))
    assert answer.proven
    assert Fraction(139, 100) < answer.largest < Fraction(155, 100)


def run(arguments: list[str], page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    monkeypatch.setattr("proofs.__main__.PAGE", tmp_path / "page.md")
    monkeypatch.setattr(sys, "argv", ["proofs", *arguments])
    return main()


PART = """<!-- generated: python -m proofs --write -->
| order of operations | way | mode | float16 | bfloat16 | float32 | float64 |
|---|---|---|--:|--:|--:|--:|
| reference | forward | caffe | – | – | {bound} | – |
<!-- end -->"""


@needs_gappa
@pytest.mark.parametrize(("bound", "code"), [("1.55", 0), ("1.30", 1)])
def test_the_command_says_whether_all_that_the_page_states_is_proven(
    bound: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PART.format(bound=bound)
    assert run(["--scripts", str(tmp_path / "scripts")], page, tmp_path, monkeypatch) == code
    printed = capsys.readouterr().out
    assert ("not proven: forward, caffe, reference, float32" in printed) == bool(code)
    assert len(list((tmp_path / "scripts").glob("forward-caffe-reference-*.g"))) == 3


@needs_gappa
def test_a_page_without_bounds_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run([], "no table", tmp_path, monkeypatch) == 1


def test_without_gappa_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run([], PART, tmp_path, monkeypatch) == 2
    assert "gappa is not installed" in capsys.readouterr().out


ROWS = [
    [cell.strip("` ") for cell in line.strip("|").split("|")]
    for line in re.findall(r"witnesses -->\n(.*?)<!-- end", PAGE.read_text(encoding="utf-8"), flags=re.S)[
        0
    ].splitlines()
    if line.startswith("| `")
]


def test_every_fault_that_gives_wrong_values_has_a_witness_above_the_bound() -> None:
    assert [row[0] for row in ROWS] == [fault.name for fault in separation.wrong_values()]
    for _, mode, _, _, _, error, half in ROWS:
        assert float(error) > tolerance.bound(mode)
        if half != "–":
            assert (float(half.split(",")[0]) <= tolerance.bound(mode)) == half.endswith(", within the bound")


@pytest.mark.parametrize("row", ROWS[4::16], ids=lambda row: row[0])
def test_a_witness_is_what_the_fault_does(row: list[str]) -> None:
    (fault,) = [fault for fault in separation.wrong_values() if fault.name == row[0]]
    found = separation.witness(fault, row[2])
    assert found is not None
    assert [found.mode, f"{found.value:g}", f"{found.got:g}", f"{float(found.error):.3g}"] == [row[1], *row[3:6]]
    if fault.direction == "forward":
        right = oracle.one_real(found.value, "forward", found.mode, found.channel)
        scale = oracle.one_magnitude(found.value, "forward", found.mode, found.channel)
        assert found.error == abs(Fraction(found.got) - right) / scale * 2**24
