"""Verifying certificates: no claim can be edited, one by one or cleverly, without being found out."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from enumerated import HERE, proven

from vggprep.conformance.engine import Selection
from vggprep.errors import VggprepError
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import certificates, domains, shards
from vggprep.proof.certificates import Certificate, Row
from vggprep.proof.plan import plan
from vggprep.proof.run import prove
from vggprep.proof.verify import Verified, verify
from vggprep.spec import ModeName

SOME = ("uint8", "int8", "float16")


@pytest.fixture(scope="module")
def good() -> Certificate:
    return proven("right", *SOME, modes=("tf", "torch"))


def test_all_of_a_certificate_is_repeated_or_some_of_it(good: Certificate) -> None:
    found = verify(good, executor=HERE).total
    assert verify(good, executor=HERE) == Verified(found, found, (), ())
    assert found == {f"enumerated:right forward {m} {d}": 1 for m in ("tf", "torch") for d in SOME}
    some = verify(good, parts=4, seed=3, executor=HERE)
    assert (sum(some.repeated.values()), some.total, some.disagreements) == (4, found, ())
    assert verify(good, parts=4, seed=3, executor=HERE) == some
    assert verify(good, parts=100, executor=HERE).repeated == found


def test_other_versions_and_another_machine_are_noted(good: Certificate) -> None:
    older = replace(good, versions={**good.versions, "numpy": "1.0"}, machine={**good.machine, "machine": "abacus"})
    versions, machine = verify(older, parts=1, executor=HERE).notes
    assert "other versions than in the certificate: numpy" in versions
    assert "other machine than in the certificate: machine" in machine


@pytest.mark.parametrize(("stop_at_first", "count"), [(True, 2), (False, 6)])
def test_a_certificate_of_a_wrong_function_is_verified_whether_it_stopped_or_not(
    stop_at_first: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "IMAGE", 1 << 14)  # four images in a part: those after the counterexample matter
    wrong = proven("two_numbers_wrong", "uint16", modes=("tf",), stop_at_first=stop_at_first)
    assert (wrong.arguments, wrong.rows[0].wrong) == ((), count)
    assert verify(wrong, executor=HERE).disagreements == ()
    (said,) = verify(replace(wrong, stop_at_first=not stop_at_first), executor=HERE).disagreements
    assert f"wrong: the certificate says {count}, found {8 - count}" in said
    unnoticed = replace(wrong, rows=tuple(replace(row, wrong=0, status="proven") for row in wrong.rows))
    (said,) = verify(unnoticed, executor=HERE).disagreements
    assert "status: the certificate says proven, found wrong; " in said


# One edit at a time -------------------------------------------------------------------------------------------------

FREE = {
    "created": "a time", "worked": "a time", "seconds": "a time",
    "arguments": "what was typed; spec says what it meant",
    "versions": "of packages, whichever are loaded", "machine": "the host", "system": "the host",
    "byteorder": "the host", "processor": "the host", "processors": "the host",
    "timeout": "how long a program may take", "isolated": "the process that a function runs in",
    "stop_at_first": "where nothing is wrong, it makes no difference",
}  # fmt: skip
"""What no repetition can tell, with the reason: an edit of it is found by the seal, and in a newly sealed file not."""

Places = tuple[str | int, ...]


def places(value: Any, here: Places = ()) -> Iterator[Places]:
    """Every field, at every depth."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*here, key)
        yield from places(value[key], (*here, key))


def otherwise(name: str | int, value: Any) -> list[Any]:
    """Other values for a field: another of its kind, and some that cannot be."""
    words = {
        "status": ["proven", "wrong", "refused", "unfinished", "sampled"], "mode": ["tf", "caffe", "no mode"],
        "data_format": ["channels_last", "channels_first", "NHWC"], "dtype": ["uint8", "int8", "float16", "complex64"],
        "direction": ["forward", "inverse", "sideways"], "level": ["exact", "faithful", "good"],
    }  # fmt: skip
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 0.5 + 0.25, -1, None, str(value)]
    if isinstance(value, str):
        return [*words.get(str(name), []), f"{value}0", "0" * len(value), "", None, 5]
    return [None, "x", 5] if value is not None else ["x", 1]


def edits(document: dict[str, Any]) -> Iterator[tuple[Places, dict[str, Any]]]:
    """The document with each field changed in turn, in several ways, and without it."""
    for place in places(document):
        *above, name = place
        for new in [*otherwise(name, inside(document, place)), ...]:
            edited = copy.deepcopy(document)
            around = inside(edited, tuple(above))
            if new is ...:
                del around[name]
            elif new == around[name]:
                continue
            else:
                around[name] = new
            yield place, edited


def inside(document: Any, place: Places) -> Any:
    for key in place:
        document = document[key]
    return document


def refusal(document: dict[str, Any], path: Path, *, seal: bool = True) -> str:
    """Why an edited certificate is refused, a line for each reason; empty if it is not.

    With ``seal``, a new one; with the old one, which tells by itself, no part is repeated.
    """
    again = {"seal": certificates.seal_of(document)} if seal and "seal" in document else {}
    path.write_text(json.dumps(document | again), encoding="utf-8")
    try:
        return "\n".join(verify(certificates.read(path), parts=None if seal else 0, executor=HERE).disagreements)
    except VggprepError as error:
        return f"{path.name}: {error}"


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize("target", ["right", "to_floats", "wrong_in_blue", "refuses_integers", "raises_for_one_value"])
def test_every_edit_of_every_field_is_refused(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "SHARD", 1 << 7)  # two parts of a byte
    path = tmp_path / "c.json"
    # Refused in one, in both; one edit of a mode makes the other.
    modes: tuple[ModeName, ...] = ("tf", "caffe") if target == "refuses_integers" else ("tf",)
    certificate = proven(target, "uint8", inverse=target == "to_floats", modes=modes)
    certificates.write(certificate, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert refusal(document, path) == ""
    for place, edited in edits(document):
        if target != "right" and place[0] not in ("rows", "values"):
            continue  # the rest is as in the first
        if refusal(edited, path) == "" and not FREE.keys() & set(place):
            # A default or a claim that is left out.
            rest = certificates.read(path)
            assert place == ("seal",) or replace(rest, rows=certificate.rows) == certificate, place
            assert set(rest.rows) <= set(certificate.rows), place
        assert refusal(edited, path, seal=False) != "", place


# Clever edits -------------------------------------------------------------------------------------------------------


def resummed(row: Row, **changes: Any) -> Row:
    """A row with changes, and with the digest that belongs to its digests."""
    changed = replace(row, **changes)
    return replace(changed, digest=sha256("".join(changed.digests).encode()).hexdigest())


def forged(good: Certificate) -> Iterator[tuple[str, bool, Certificate]]:
    """Certificates changed consistently; what is said of them, and whether that needs the changed part repeated."""
    row, *others = good.rows
    first, second, *rest = row.digests
    assert row.units is not None
    for said, hidden, changed in (
        (r"digests\[0\]", True, resummed(row, digests=(second, first, *rest))),
        (r"digests\[1\]", True, resummed(row, digests=(first, "0" * 32, *rest))),
        ("digest: ", False, replace(row, digest="0" * 64)),
        ("number of digests: the certificate says 3, found 4", False, resummed(row, digests=row.digests[:-1])),
        ("counterexample: the certificate says None, found ", False, replace(row, status="wrong", wrong=3, digest="")),
        ("level: the certificate says exact, found faithful", False, replace(row, level="exact")),
        ("units: ", True, replace(row, units=row.units._replace(error=row.units.error / 2))),
        ("units: ", True, replace(row, units=None)),
        ("found at most 8", False, replace(row, units=row.units._replace(error=8.5))),
        ("units, value: the certificate says 7, found ", False, replace(row, units=row.units._replace(value="7"))),
        ("units, value: ", False, replace(row, units=row.units._replace(bits="7"))),
        ("units, channel: ", False, replace(row, units=row.units._replace(channel=3))),
        ("lost: the certificate says 1, found 0", True, replace(row, lost=1)),
    ):
        yield said, hidden, replace(good, rows=(changed, *others))
    fewer = replace(row, patterns=row.patterns - 1)
    said = "patterns: the certificate says 65535|status: the certificate says proven, found unfinished"
    yield said, False, replace(good, rows=(fewer, *others), values=good.values - 3)
    shorter = [resummed(r, digests=(*r.digests[:-1], ""), patterns=3 << 14) for r in good.rows[:2]]
    yield said, False, replace(good, rows=(*shorter, *others[1:]), values=good.values - (6 << 14))
    yield "its row is missing", False, replace(good, rows=tuple(others), values=good.values - 3 * row.patterns)
    yield "there are two rows of it", False, replace(good, rows=(row, *good.rows))
    yield "values: ", False, replace(good, values=good.values + 1)
    for spec, words in (
        (replace(good.spec, level="exact"), " --level exact"),
        (replace(good.spec, writes_input=True), ""),
        (replace(good.spec, targets=("enumerated:right",)), ""),
    ):
        exact = tuple(replace(row, level=spec.level or row.level) for row in good.rows)
        said = "status: the certificate says proven, found wrong" if words else "target: "
        yield said, bool(words), replace(good, spec=spec, rows=exact, target=good.target + words)


@pytest.mark.parametrize("parts", [None, 1])
def test_a_clever_forgery_is_refused_without_repetition_if_it_does_not_add_up(
    parts: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "SHARD", 1 << 14)  # four parts
    good = proven("GALLERY.reciprocal", "uint16", modes=("tf", "torch"))
    assert verify(good, executor=HERE).disagreements == ()
    for seed, (said, hidden, certificate) in enumerate(forged(good)):
        found = "\n".join(verify(certificate, parts=parts, seed=seed, executor=HERE).disagreements)
        assert re.search(said, found) or (hidden and parts), (said, found)


def without(certificate: Certificate, **left_out: str) -> Certificate:
    """A certificate without the rows that have these values in these fields, and that counts what is left."""
    rows = [r for r in certificate.rows if any(getattr(r, name) != value for name, value in left_out.items())]
    assert 0 < len(rows) < len(certificate.rows)
    return replace(certificate, rows=tuple(rows), values=sum(3 * row.patterns for row in rows))


def test_a_function_of_the_target_cannot_be_left_out() -> None:
    chosen = Selection(("tf", "caffe"), dtypes=("uint8",))
    good = prove(plan(TargetSpec(("reference",)), chosen), executor=HERE)
    assert verify(good, executor=HERE).disagreements == ()
    back = "reference (inverse to floats)"
    for left_out, missing in (
        ({"direction": "inverse"}, {f"{name} inverse: its rows are missing" for name in ("reference", back)}),
        ({"direction": "forward"}, {"reference forward: its rows are missing"}),
        ({"implementation": back}, {f"{back} inverse: its rows are missing"}),
        (
            {"implementation": back, "mode": "tf"},
            {f"{back} inverse tf uint8 channels_{at}: its row is missing" for at in ("first", "last")},
        ),
    ):
        assert {*verify(without(good, **left_out), parts=1, executor=HERE).disagreements} == missing
    # Fewer modes of every function are less, and still so.
    assert verify(without(good, mode="tf"), executor=HERE).disagreements == ()


def test_functions_that_know_no_modes_need_no_rows_in_each_others() -> None:
    spec = TargetSpec(("enumerated:tf_alone",), "enumerated:caffe_back_alone")
    good = prove(plan(spec, Selection(dtypes=("uint8",))), executor=HERE)
    assert [(row.direction, row.mode) for row in good.rows] == [("forward", "tf"), ("inverse", "caffe")]
    assert verify(good, executor=HERE).disagreements == ()
    (said,) = verify(without(good, direction="inverse"), executor=HERE).disagreements
    assert said.endswith(" inverse: its rows are missing")


def test_an_infinite_error_where_nothing_is_wrong_and_a_loss_forward_are_refused_without_repetition(
    good: Certificate,
) -> None:
    row, *others = good.rows
    back = proven("to_floats", "uint8", inverse=True, modes=("tf",))
    for certificate, said in (
        (replace(good, rows=(replace(row, lost=1), *others)), "lost: the certificate says 1, found 0"),
        *(
            (replace(of, rows=(replace(of.rows[0], **{name: worst._replace(error=float("inf"))}), *of.rows[1:])), name)
            for of in (good, back)
            for name in ("units", "levels")
            if (worst := getattr(of.rows[0], name))
        ),
    ):
        found = verify(certificate, parts=0, executor=HERE).disagreements
        assert len(found) == 1
        assert said in found[0]
