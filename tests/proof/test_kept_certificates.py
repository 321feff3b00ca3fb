"""The certificates in the repository: complete, consistent with each other and with the code, and shown in the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vggprep.proof import certificates
from vggprep.proof.certificates import Row
from vggprep.proof.domains import domain
from vggprep.proof.shards import WorstError
from vggprep.proof.verify import verify
from vggprep.spec import DATA_FORMATS, MODES

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "certificates").glob("*.json"))
KEPT = {path.stem: certificates.read(path) for path in FILES}
TARGETS = (
    "reference", "vggprep:numpy", "vggprep:numba", "keras:ndarray", "keras:tensor", "keras:graph", "keras:xla",
)  # fmt: skip
BITS_32 = ("float32", "int32", "uint32")
EXACT = ("reference", "vggprep:numpy", "vggprep:numba", "keras:ndarray")


def rows(dtype: str, direction: str = "forward") -> list[Row]:
    return [
        row
        for certificate in KEPT.values()
        for row in certificate.rows
        if row.dtype == dtype and row.direction == direction
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float16", "bfloat16"])
def test_every_path_has_a_certificate_of_each_small_dtype(dtype: str) -> None:
    assert {row.implementation for row in rows(dtype)} == set(TARGETS)


def commands() -> Iterator[list[str]]:
    """What the blocks of the page with loops run, word by word."""
    page = (DOCS / "proofs.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(for .+?)^```$", page, re.MULTILINE | re.DOTALL):
        targets = [""]
        for line in block.splitlines():
            if line.startswith("for target in ") or line == "done":
                targets = line.removesuffix("; do").split()[3:] or [""]
                continue
            for target in targets:
                yield line.replace("${target/:/-}", target.replace(":", "-")).replace("$target", target).split()


def test_the_certificates_are_those_that_the_commands_of_the_page_make() -> None:
    made = {words[-1]: words for words in commands()}
    assert set(made) == {path.name for path in FILES}
    for name, (_, _, target, *options, _, _) in made.items():
        certificate = KEPT[name.removesuffix(".json")]
        asked = dict(zip(options[::2], options[1::2], strict=True)) if "--all" not in options else {}
        assert certificate.target == target
        assert {row.dtype for row in certificate.rows} & set(BITS_32) == {asked.get("--dtype")} - {None}
        assert {row.mode for row in certificate.rows} == ({asked["--mode"]} if "--mode" in asked else set(MODES))


@pytest.mark.parametrize("name", KEPT)
def test_a_certificate_is_complete_and_has_known_failures_only(name: str) -> None:
    for row in KEPT[name].rows:
        assert row.status in ("proven", "wrong", "refused")
        if row.status == "proven":
            assert row.patterns == domain(row.dtype).size
            assert row.wrong == row.lost == 0
        elif row.status == "wrong":  # a ledger says why
            assert row.implementation in ("keras:tensor", "keras:graph", "keras:xla")
            assert row.mode == "caffe"
            assert row.message.startswith(f"returns {row.dtype} for {row.dtype}")


def test_what_is_exact_has_the_same_outputs_as_the_reference() -> None:
    forward = [row for dtype in ("uint8", "int8", "uint16", "int16", "float16", *BITS_32) for row in rows(dtype)]
    expected = {(r.mode, r.data_format, r.dtype): r.digest for r in forward if r.implementation == "reference"}
    assert len(expected) == 8 * len(MODES) * len(DATA_FORMATS)
    for row in forward:
        if row.implementation in EXACT:
            assert row.digest == expected[row.mode, row.data_format, row.dtype]


def test_no_path_comes_near_the_bound() -> None:
    for row in rows("float32"):
        assert row.units is None or row.units.error < 5


@pytest.mark.parametrize(("name", "parts"), [("reference", 72), ("vggprep-numpy", 72), ("reference-float32", 1)])
def test_a_certificate_holds_for_the_code_as_it_is(name: str, parts: int) -> None:
    found = verify(KEPT[name], parts=parts, seed=3, executor="enumerated:one_thread")
    assert sum(found.repeated.values()) == parts
    assert not found.disagreements


def _shown(worst: WorstError | None) -> str:
    return "" if worst is None else f"{worst.error:.3g} at {float(worst.value):.6g}"


def table() -> list[str]:
    """The lines of the table in docs/proofs.md."""
    lines = [
        "| path | way | mode | dtype | patterns | worst error, `u·S` | worst error, grey levels |",
        "|---|" + "--:|" * 6,
    ]
    seen = [row for certificate in KEPT.values() for row in certificate.rows]
    seen = [row for row in seen if row.dtype in BITS_32 and row.data_format == "channels_last"]
    order = list(MODES)
    for row in sorted(
        seen,
        key=lambda r: (
            TARGETS.index(_target(r)), BITS_32.index(r.dtype), r.implementation, r.direction, order.index(r.mode)
        ),
    ):  # fmt: skip
        way = "forward" if row.direction == "forward" else "back, to pixels"
        if row.implementation.endswith("to floats)"):
            way = "back, to floats"
        patterns = f"all {row.patterns:,}" if row.patterns == 1 << 32 else f"{row.patterns:,}"
        cells = (f"`{_target(row)}`", way, row.mode, row.dtype, patterns, _shown(row.units), _shown(row.levels))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _target(row: Row) -> str:
    return row.implementation.partition(" ")[0]


def test_the_page_shows_what_the_certificates_say() -> None:
    page = (DOCS / "proofs.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in page
