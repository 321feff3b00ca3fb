"""Verifying certificates: parts of them are repeated, and what they are about is compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enumerated import HERE, proven

from vggprep.proof import shards
from vggprep.proof.certificates import Certificate, ProofError
from vggprep.proof.verify import verify


@pytest.fixture(scope="module")
def good() -> Certificate:
    return proven("right", "uint8", "int8", "float16", modes=("tf", "torch"))


def test_a_certificate_is_verified_by_repeating_some_of_its_parts(good: Certificate) -> None:
    found = verify(good, parts=4, seed=3, executor=HERE)
    assert (found.repeated, found.total, found.disagreements, found.notes) == (4, 6, (), ())
    assert verify(good, parts=100, executor=HERE).repeated == 6


def test_other_outputs_and_larger_errors_are_disagreements(good: Certificate) -> None:
    row = good.rows[-1]
    assert row.units is not None
    for changed, message in (
        (replace(row, digests=("0" * 32,)), "outputs differ from those recorded in the certificate"),
        (replace(row, units=None), "errors are larger than those recorded"),
        (replace(row, units=row.units._replace(error=row.units.error * 0.99)), "errors are larger than those recorded"),
    ):
        (said,) = verify(replace(good, rows=(*good.rows[:-1], changed)), parts=6, executor=HERE).disagreements
        assert message in said
        assert f"{row.mode} {row.data_format} {row.dtype}, patterns 0 to " in said


def test_other_versions_and_another_machine_are_noted(good: Certificate) -> None:
    older = replace(good, versions={**good.versions, "numpy": "1.0"}, machine={**good.machine, "machine": "abacus"})
    versions, machine = verify(older, parts=1, executor=HERE).notes
    assert "other versions than in the certificate: numpy" in versions
    assert "other machine than in the certificate: machine" in machine


def test_a_certificate_without_digests_cannot_be_verified(good: Certificate) -> None:
    with pytest.raises(ProofError, match="has no part that can be repeated"):
        verify(replace(good, rows=tuple(replace(row, digests=()) for row in good.rows)), executor=HERE)


@pytest.mark.parametrize(("stop_at_first", "count"), [(True, 2), (False, 6)])
def test_a_certificate_of_a_wrong_function_is_verified_whether_it_stopped_or_not(
    stop_at_first: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "IMAGE", 1 << 14)  # four images in a part: those after the counterexample matter
    wrong = proven("two_numbers_wrong", "uint16", modes=("tf",), stop_at_first=stop_at_first)
    assert (wrong.arguments, wrong.rows[0].wrong) == ((), count)
    assert verify(wrong, executor=HERE).disagreements == ()
    unnoticed = replace(wrong, rows=tuple(replace(row, wrong=0, status="proven") for row in wrong.rows))
    (said,) = verify(unnoticed, executor=HERE).disagreements
    assert f"{count} values are wrong" in said
