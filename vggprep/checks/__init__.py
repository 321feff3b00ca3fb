"""The checks, in the order of the report."""

from __future__ import annotations

from vggprep.checks.check import Check
from vggprep.checks.contract import (
    byte_order,
    determinism,
    errors,
    fresh_output,
    memory_layouts,
    purity,
    shape_and_dtype,
    sizes,
    threads,
)
from vggprep.checks.findings import Finding
from vggprep.checks.inverse import restores_floats, restores_pixels
from vggprep.checks.subject import Skipped, Subject, Unusable
from vggprep.checks.symmetries import batch_consistency, channel_independence, layout_equivariance, pixel_equivariance
from vggprep.checks.values import every_byte, integers_agree, monotone, nonfinite, value
from vggprep.spec import Level
from vggprep.specification import BITS, PIXELS, broken
from vggprep.tolerance import compare_faithful

CHECKS: tuple[Check, ...] = (
    value,
    every_byte,
    nonfinite,
    integers_agree,
    monotone,
    restores_pixels,
    restores_floats,
    layout_equivariance,
    batch_consistency,
    pixel_equivariance,
    channel_independence,
    shape_and_dtype,
    purity,
    fresh_output,
    memory_layouts,
    byte_order,
    sizes,
    determinism,
    threads,
    errors,
)
"""Every check, in the order of the report."""


def clauses_broken(check: str, finding: Finding, level: Level) -> tuple[str, ...]:
    """The clauses of the specification that a finding of the check of that name shows to be broken."""
    named = next((known.clauses for known in CHECKS if known.name == check), ())
    kind, direction, mode = str(finding.kind), finding.direction, finding.cell.mode
    if kind == "value" and (found := finding.deviation) is not None:
        if level == "exact" and compare_faithful(found.x, found.got, direction, mode).ok:
            kind = BITS
        elif direction == "inverse" and found.got.dtype.kind in "iub":
            kind = PIXELS
    return broken(named, kind, direction, mode, level)


__all__ = ["CHECKS", "Check", "Finding", "Skipped", "Subject", "Unusable", "clauses_broken"]
