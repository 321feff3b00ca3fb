"""Verifying a certificate: a random choice of its parts is repeated and compared."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from vggprep.conformance.engine import Selection
from vggprep.proof import environment
from vggprep.proof.certificates import Certificate, ProofError, Row
from vggprep.proof.plan import plan
from vggprep.proof.progress import Done
from vggprep.proof.run import OnProgress, drive
from vggprep.proof.shards import Part, Tally, WorstError


@dataclass(frozen=True)
class Verified:
    """How many of a certificate's parts were repeated, of how many, and where they disagree."""

    repeated: int
    total: int
    disagreements: tuple[str, ...]
    notes: tuple[str, ...]


class _Recorded(NamedTuple):
    """What a certificate says of one part in one data format."""

    row: Row
    digest: str


def verify(
    certificate: Certificate,
    *,
    parts: int = 8,
    seed: int | None = None,
    executor: str | None = None,
    workers: int = 1,
    on_progress: OnProgress | None = None,
) -> Verified:
    """Repeat a random choice of a certificate's parts and compare the results.

    Raises ``TargetError``, and ``ProofError`` if the target's files are not those of the certificate.
    """
    notes = _compared_files(certificate)
    recorded = _recorded(certificate)
    chosen = random.Random(seed).sample(list(recorded), min(parts, len(recorded)))
    versions, files = environment.versions(certificate.spec), environment.files(certificate.spec)
    disagreements: list[str] = []

    def finished(part: Part, result: Done) -> bool:
        for (row, digest), tally in zip(recorded[part], result.tallies, strict=True):
            if reason := _disagreement(row, digest, tally):
                where = f"{row.implementation} {row.direction} {row.mode} {row.data_format} {row.dtype}"
                disagreements.append(f"{where}, patterns {part.start} to {part.stop}: {reason}")
        return False

    drive(chosen, versions | files, finished, executor=executor, workers=workers, on_progress=on_progress)
    for word, mine, other in (
        ("versions", versions, certificate.versions),
        ("machine", environment.machine(), certificate.machine),
    ):
        if reason := environment.difference(other, mine):
            notes.append(f"other {word} than in the certificate: {reason}")
    return Verified(len(chosen), len(recorded), tuple(disagreements), tuple(notes))


def _compared_files(certificate: Certificate) -> list[str]:
    """Refuse files other than the certificate's; return a note if it records none."""
    found = environment.files(certificate.spec)
    if certificate.files is None:
        names = ", ".join(found)
        return [f"the certificate has no digest of {names}: it may be about another file"] if found else []
    if reason := environment.difference(certificate.files, found):
        raise ProofError(f"this is not what the certificate is about: {reason}")
    return []


def _recorded(certificate: Certificate) -> dict[Part, list[_Recorded]]:
    """The parts of the certificate that can be repeated: every data format has a digest of them."""
    by_row = {(r.implementation, r.direction, r.mode, r.data_format, r.dtype): r for r in certificate.rows}
    selection = Selection(
        modes=tuple(dict.fromkeys(r.mode for r in certificate.rows)),
        data_formats=tuple(dict.fromkeys(r.data_format for r in certificate.rows)),
        dtypes=tuple(dict.fromkeys(r.dtype for r in certificate.rows)),
    )
    recorded = {}
    for group in plan(certificate.spec, selection, stop_at_first=certificate.stop_at_first).groups:
        rows = [by_row.get((r.implementation, r.direction, r.mode, r.data_format, r.dtype)) for r in group.rows]
        for at, part in enumerate(group.parts):
            found = [_Recorded(row, row.digests[at]) for row in rows if row and at < len(row.digests)]
            if len(found) == len(rows) and all(digest for _, digest in found):
                recorded[part] = found
    if not recorded:
        raise ProofError("the certificate has no part that can be repeated on this target")
    return recorded


def _disagreement(row: Row, digest: str, tally: Tally) -> str:
    if tally.digest != digest:
        return "outputs differ from those recorded in the certificate"
    if _larger(tally.units, row.units) or _larger(tally.levels, row.levels):
        return "errors are larger than those recorded in the certificate"
    if tally.wrong and not row.wrong:
        return f"{tally.wrong} values are wrong"
    return ""


def _larger(found: WorstError | None, recorded: WorstError | None) -> bool:
    """Whether an error is larger than the recorded worst, beyond what ``WorstError`` allows."""
    return found is not None and found.error > (recorded.error if recorded else 0.0) * (1 + 2**-20)
