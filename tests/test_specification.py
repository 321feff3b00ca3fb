"""The specification: document and data are the same, every clause is tested and broken, and the theorems hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import oracle, reference, tolerance
from vggprep.checks import CHECKS, Check
from vggprep.checks.findings import Kind
from vggprep.cli.catalogue import clauses_of, traced
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.report import cause_text, causes
from vggprep.conformance.results import Result
from vggprep.faults import FAULTS, HONEST, Fault, mutated
from vggprep.proof import certificates
from vggprep.proof.certificates import Certificate
from vggprep.spec import MODES, Direction, ModeName
from vggprep.specification import BITS, BY_ID, CLAUSES, PIXELS, VERSION, Clause

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "specification.md").read_text(encoding="utf-8")
Float64 = npt.NDArray[np.float64]
Computed = Callable[[npt.NDArray[Any], ModeName], npt.NDArray[Any]]
ROWS = {row["id"]: row for row in traced(CLAUSES)}
KNOWN = {fault.name: fault for fault in (*FAULTS, *mutated("clip").faults)}
CHECK = {check.name: check for check in CHECKS}


def test_the_document_has_every_clause_once_and_its_version() -> None:
    assert re.findall(r"^\*\*(VP-\w+-\d+)\.\*\* ", TEXT, flags=re.M) == [clause.id for clause in CLAUSES]
    assert f"\nVersion {VERSION}.\n" in TEXT
    assert {name for clause in CLAUSES for name in clause.theorems} == {
        *re.findall(r"^## (Theorem .*)$", TEXT, flags=re.M)
    }


def test_a_changed_clause_needs_a_new_version() -> None:
    digest = hashlib.sha256("".join(f"{clause.id} {clause.sentence}\n" for clause in CLAUSES).encode())
    assert {VERSION: digest.hexdigest()[:16]} == {"1.0": "6bad0eb7b6d020be"}


def test_every_clause_has_a_check_and_a_fault_and_every_check_and_fault_a_clause() -> None:
    assert len(BY_ID) == len(CLAUSES)
    assert not [name for name, row in ROWS.items() if not row["checks"] or not row["faults"]]
    for named in (*(check.clauses for check in CHECKS), *map(clauses_of, KNOWN.values())):
        assert named
        assert {*named} <= {*BY_ID}


ENTRIES = {"stale_entry", "expired_entry"}
"""What is wrong with a ledger, and with no implementation."""


def test_every_kind_of_finding_breaks_a_clause() -> None:
    kinds = {kind for part in get_args(Kind) for kind in (get_args(part) or (part,))}
    assert {kind for clause in CLAUSES for kind in clause.findings} == (kinds | {PIXELS, BITS}) - ENTRIES
    for kind in kinds - ENTRIES:
        own = [clause for clause in CLAUSES if kind in clause.findings and not clause.everywhere]
        assert all(any(clause.id in check.clauses for check in CHECKS) for clause in own), kind


def failures(fault: Fault, check: Check, clause: Clause) -> list[Result]:
    """How a fault breaks the clause and fails the check, in the first dtype in which it does."""
    (level, *_) = reversed(clause.levels)
    modes = tuple(mode for mode in fault.modes if clause.concerns(fault.direction, mode))
    judged = fault.implementation()
    if clause.id == "VP-INPUT-3":
        judged = replace(judged, writes_input=True)
    if check.name not in ("layout_equivariance", "shape_and_dtype"):
        judged = replace(judged, data_formats=("channels_last",), ranks=(4,))
    for dtypes in (("float32",), ("uint8",), ("float64", "int8"), ("float16", "int64"), ("uint16", "bool")):
        selection = Selection(modes if check.name == "threads" else modes[:1], dtypes=dtypes)
        report = run(replace(judged, level=level), checks=[check], examples=0, selection=selection)
        found = [result for result in report.results if result.status == "failed"]
        if any(clause.id in result.clauses for result in found):
            break
    return found


def evidence() -> Iterator[tuple[str, str, str]]:
    """Each clause with each check that names it and the first fault of that check; the gallery has the rest."""
    for name, row in ROWS.items():
        caught = {check: [f for f in row["faults"] if KNOWN[f].caught_by == check] for check in row["checks"]}
        pairs = [(name, check, found[0]) for check, found in caught.items() if found]
        yield from pairs or [(name, row["checks"][0], row["faults"][0])]


@pytest.mark.parametrize(("clause", "check", "fault"), dict.fromkeys(evidence()))
def test_a_failure_prints_the_clause_that_the_fault_breaks(clause: str, check: str, fault: str) -> None:
    found = failures(KNOWN[fault], CHECK[check], BY_ID[clause])
    assert clause in {name for result in found for name in result.clauses}
    said = re.findall(rf"^  breaks {check} \((.*?)\): ", "\n".join(map(cause_text, causes(found))), flags=re.M)
    assert clause in ", ".join(said).split(", ")


def test_other_arithmetic_breaks_the_clause_of_bits_alone() -> None:
    selection = Selection(("torch",), ("channels_last",), ("float32",))
    found = run(replace(HONEST[0], level="exact"), checks=[CHECK["value"]], examples=0, selection=selection)
    assert {result.clauses for result in found.results} == {("VP-EXACT-1",)}


@cache
def read(name: str) -> Certificate:
    return certificates.read(DOCS / "certificates" / f"{name}.json")


@pytest.mark.parametrize("clause", [c for c in CLAUSES if c.certificates], ids=lambda clause: clause.id)
def test_a_certificate_named_proves_what_the_clause_is_about(clause: Clause) -> None:
    for name in clause.certificates:
        certificate = read(name)
        proven = [row for row in certificate.rows if row.status == "proven" and row.level in clause.levels]
        assert any(clause.concerns(row.direction, row.mode) for row in proven), name
        assert not any(row.lost for row in proven)


# The theorems -----------------------------------------------------------------------------------------------------


def every_half() -> npt.NDArray[np.float16]:
    """Every float16 to which the bound applies, in all three channels."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    return np.repeat(every[np.abs(every) <= 2.0**14][:, None], 3, axis=1)


def by(honest: str) -> Computed:
    """A forward function that computes in another way."""
    preprocess = next(variant.preprocess for variant in HONEST if variant.name == honest)
    assert preprocess is not None
    return lambda x, mode: preprocess(x[None], data_format="channels_last", mode=mode)[0]


HALF = np.dtype(np.float16)
WAYS: dict[str, tuple[Direction, Computed]] = {
    "forward, step by step": ("forward", lambda x, mode: reference.forward(x, MODES[mode], HALF)),
    "back, step by step": ("inverse", lambda x, mode: reference.inverse(x, MODES[mode], HALF)),
    "forward, with a reciprocal for each division": ("forward", by("reciprocal")),
    "forward, folded to `x·scale + offset`, both rounded once": ("forward", by("folded_affine")),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_compute_is_off_by_more_than_its_roundings_allow(way: str) -> None:
    row = re.search(rf"^\| {re.escape(way)} \| (\d) \| (\d) \| (\d) \|$", TEXT, flags=re.M)
    assert row is not None
    direction, compute = WAYS[way]
    u = oracle.FORMATS["float16"].unit_roundoff
    for mode, roundings in zip(("caffe", "tf", "torch"), map(int, row.groups()), strict=True):
        found = tolerance.compare_faithful(every_half(), compute(every_half(), mode), direction, mode)
        assert roundings / 4 < found.units <= roundings / (1 - roundings * u) + 2**-12


def test_seven_roundings_are_within_eight_units() -> None:
    for fmt in oracle.FORMATS.values():
        n, u = tolerance.FAITHFUL_BOUND - 1, fmt.unit_roundoff
        assert u <= 1 / 56
        assert n / (1 - n * u) <= tolerance.FAITHFUL_BOUND < (n + 1) / (1 - (n + 1) * u)


def strangers(dtype: str, mode: ModeName) -> tuple[float, int]:
    """How far off bytes may be after a conforming pair of functions; how many of them rounding does not restore."""
    u = 8 * oracle.FORMATS[dtype].unit_roundoff
    image = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    target, scale = (image, np.zeros(image.shape)) if mode == "identity" else oracle.real(image, "forward", mode)
    off: list[Float64] = []
    for there in (-1, 1):
        y = target + there * u * scale
        back, other = oracle.real(y, "inverse", mode)
        order = oracle.input_channels("inverse", mode)
        off += [np.abs(back + sign * u * other - image[:, order]) for sign in (-1, 1)]
    worst = np.max(off, axis=0)
    return float(worst.max()), int((worst >= 0.5).sum())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_strangers_restore_every_byte_where_the_document_says_so(dtype: str) -> None:
    row = re.search(rf"^\| `{dtype}` \| ([-+.e\d |]+) \| (yes|no) \|$", TEXT, flags=re.M)
    assert row is not None
    for mode, bound in zip(MODES, row[1].split(" | "), strict=True):
        worst, lost = strangers(dtype, mode)
        assert 0.9 * float(bound) < worst < 1.1 * float(bound)
        assert (lost == 0) == (row[2] == "yes")


def test_the_nearest_wrong_constants_are_told_in_float32_and_those_said_to_be_too_near_not_in_float16() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \| \S+ \| (\S+) \|$", TEXT, flags=re.M)
    told = {name: float(single) > 8 for name, _, single, _ in rows}
    assert len(told) == 6
    assert all(told.values())
    near = {name for name, *_, half in rows if float(half) < 1}
    assert 0 < len(near) < len(told)
    for name, *_ in rows:
        fault = KNOWN[name]
        selection = Selection(fault.modes[:1], ("channels_last",), ("float16",))
        report = run(fault.implementation(), checks=[CHECK[fault.caught_by]], examples=0, selection=selection)
        assert {result.status for result in report.results} == {"passed" if name in near else "failed"}, name
