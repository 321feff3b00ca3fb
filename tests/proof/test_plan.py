"""What there is to enumerate, and what cannot be."""

from __future__ import annotations

import pytest

from vggprep.conformance.engine import Selection
from vggprep.implementations.targets import TargetError, TargetSpec
from vggprep.proof import plan as planning
from vggprep.proof.certificates import ProofError
from vggprep.proof.domains import SHARD, SMALL
from vggprep.proof.plan import plan

REFERENCE = TargetSpec(("reference",))


def test_by_default_every_small_dtype_is_planned_small_ones_first() -> None:
    found = plan(REFERENCE)
    assert {part.dtype for part in found.parts} >= set(SMALL) - {"bfloat16"}
    assert found.parts[0].stop == 256
    assert found.values == sum((part.stop - part.start) * 6 for part in found.parts)
    assert (found.refused, found.notes) == ((), ())


def test_32_bits_are_cut_into_parts_that_stop_at_the_first_counterexample() -> None:
    found = plan(REFERENCE, Selection(("tf",), ("channels_last",), ("float32",)))
    assert {part.stop - part.start for part in found.parts} == {SHARD}
    assert len(found.parts) == 3 * (1 << 32) // SHARD  # forward, to pixels, to floats
    assert all(part.stop_at_first for part in found.parts)


def test_what_cannot_be_enumerated_is_an_error() -> None:
    with pytest.raises(TargetError, match="there is no module nowhere"):
        plan(TargetSpec(("nowhere:f",)))
    with pytest.raises(ProofError, match="cannot enumerate bool; expected one of uint8, "):
        plan(REFERENCE, Selection(dtypes=("bool",)))
    with pytest.raises(ProofError, match="nothing to enumerate: the target claims none"):
        plan(TargetSpec(("enumerated:only_bytes",)), Selection(dtypes=("float16",)))


def test_a_dtype_that_numpy_lacks_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_dtypes", lambda: ("uint8",))
    with pytest.raises(ProofError, match="NumPy has no bfloat16 here: install ml_dtypes"):
        plan(REFERENCE, Selection(dtypes=("bfloat16",)))
