"""The page of ``vggprep prove --html``: a certificate to look at, and to print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vggprep import pages
from vggprep.proof.certificates import Certificate, Row
from vggprep.proof.report import counts, failures, verdict
from vggprep.proof.shards import WorstError

_LOOKS = {"proven": "good", "sampled": "warn", "wrong": "bad", "refused": "warn", "unfinished": "dim"}


def page(certificate: Certificate, notes: Sequence[str], disagreements: Sequence[str] = (), command: str = "") -> str:
    """A certificate. ``disagreements``: what a verification found otherwise."""
    implementations: dict[str, list[dict[str, Any]]] = {}
    for row in certificate.rows:
        implementations.setdefault(row.implementation, []).append(_row(row))
    samples = {f"{row.dtype} is {row.domain}" for row in certificate.rows if row.status == "sampled"}
    sampled = [f"{said}. That is not a proof." for said in sorted(samples)]
    html = pages.render(
        "prove.html",
        title=f"Certificate: {certificate.target}",
        command=command,
        certificate=certificate,
        verdict=verdict(certificate),
        counts=counts(certificate),
        look="bad" if disagreements or not certificate.holds else "good" if not sampled else "warn",
        implementations=implementations,
        notes=[*sampled, *notes],
        disagreements=disagreements,
        # What does not hold need not have a counterexample that can be judged again.
        failures=[] if disagreements else [text.partition("\n") for text in failures(certificate)],
        looks=_LOOKS,
    )
    return html.encode("utf-8", "backslashreplace").decode("utf-8")


def _row(row: Row) -> dict[str, Any]:
    return {
        "of": row,
        "patterns": f"{row.patterns:,}" if row.patterns else "",
        "result": f"wrong {row.wrong:,}" if row.status == "wrong" else row.status,
        "units": _error(row.units),
        "levels": _error(row.levels),
        "digest": row.digest[:12],
    }


def _error(worst: WorstError | None) -> str:
    return "" if worst is None else f"{worst.error:.3g}"
