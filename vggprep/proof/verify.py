"""Verifying a certificate: the results that it claims are computed again, or as many as asked, and compared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isinf
from typing import Any

from vggprep.checks import Subject
from vggprep.conformance.engine import Selection
from vggprep.proof import environment
from vggprep.proof.certificates import Certificate, ProofError, Row, fold
from vggprep.proof.plan import Group, Plan, plan, values_of
from vggprep.proof.progress import Done
from vggprep.proof.run import OnProgress, drive, words_of
from vggprep.proof.shards import Part, Tally, WorstError, from_bits, implementations
from vggprep.spec import MODES
from vggprep.specification import VERSION
from vggprep.tolerance import bound


@dataclass(frozen=True)
class Verified:
    """What was repeated, of how many parts, and where the certificate is not right.

    ``repeated`` and ``total``: of each function, mode and dtype, the parts that were repeated and those that there are.
    A part that was not repeated is taken as the certificate describes it. A disagreement names the field, what the
    certificate claims and what was found.
    """

    repeated: Mapping[str, int]
    total: Mapping[str, int]
    disagreements: tuple[str, ...]
    notes: tuple[str, ...]


def verify(
    certificate: Certificate,
    *,
    parts: int | None = None,
    seed: int | None = None,
    executor: str | None = None,
    workers: int = 1,
    on_progress: OnProgress | None = None,
) -> Verified:
    """Compute again what a certificate claims, or ``parts`` of it that are chosen at random, and compare.

    Raises ``TargetError``, and ``ProofError`` if the target's files are not those of the certificate.
    """
    spec, claimed = certificate.spec, {_key(row): row for row in certificate.rows}
    notes = _compared_files(certificate)
    selection = Selection(
        modes=tuple(dict.fromkeys(row.mode for row in certificate.rows)),
        data_formats=tuple(dict.fromkeys(row.data_format for row in certificate.rows)),
        dtypes=tuple(dict.fromkeys(row.dtype for row in certificate.rows)),
    )
    planned = plan(spec, selection, stop_at_first=certificate.stop_at_first)
    groups = [group for group in planned.groups if any(_key(row) in claimed for row in group.rows)]
    there = {
        part: _name(group.rows[0])
        for group in groups
        for at, part in enumerate(group.parts)
        if any(_is_done(claimed.get(_key(row)), at) for row in group.rows)
    }
    chosen = list(there) if parts is None else random.Random(seed).sample(list(there), min(parts, len(there)))
    versions, files = environment.versions(spec), environment.files(spec)
    results: dict[Part, Done] = {}

    def finished(part: Part, result: Done) -> bool:
        results[part] = result
        return False

    drive(chosen, versions | files, finished, executor=executor, workers=workers, on_progress=on_progress)
    expected = {_key(row): row for row in planned.refused}
    for group in groups:
        for at, row in enumerate(group.rows):
            tallies = [results[part].tallies[at] if part in results else None for part in group.parts]
            if _key(row) in claimed:
                expected[_key(row)] = _expected(row, claimed[_key(row)], tallies)
    changed = environment.difference(certificate.versions, versions)
    ignored = {"seconds"} | ({"message"} if changed else set())  # other versions word their errors otherwise
    ignored |= {"problem"} if certificate.files is None else set()  # format 1 has none
    disagreements = [
        *_about_the_whole(certificate, versions, groups),
        *_about_rows(certificate.rows, expected, ignored),
        *_missing(certificate.rows, planned),
    ]
    if not disagreements and certificate.seals[0] != certificate.seals[1]:
        disagreements.append(_differs("seal", *certificate.seals))
    machine = environment.difference(certificate.machine, environment.machine())
    for word, reason in (("versions", changed), ("machine", machine)):
        if reason:
            notes.append(f"other {word} than in the certificate: {reason}")
    return Verified(_counted(there, chosen), _counted(there, there), tuple(disagreements), tuple(notes))


def _compared_files(certificate: Certificate) -> list[str]:
    """Refuse files other than the certificate's; return a note if it records none."""
    found = environment.files(certificate.spec)
    if certificate.files is None:
        names = ", ".join(found)
        return [f"the certificate has no digest of {names}: it may be about another file"] if found else []
    if reason := environment.difference(certificate.files, found):
        raise ProofError(f"this is not what the certificate is about: {reason}")
    return []


def _key(row: Row) -> tuple[str, ...]:
    return row.implementation, row.direction, row.mode, row.dtype, row.data_format


def _name(row: Row) -> str:
    return f"{row.implementation} {row.direction} {row.mode} {row.dtype}"


def _counted(names: Mapping[Part, str], parts: Sequence[Part] | Mapping[Part, str]) -> dict[str, int]:
    counts = dict.fromkeys(names.values(), 0)
    for part in parts:
        counts[names[part]] += 1
    return counts


def _is_done(row: Row | None, at: int) -> bool:
    """Whether a row says something about its part ``at``, if only that it is refused."""
    return row is not None and (row.status == "refused" or (at < len(row.digests) and bool(row.digests[at])))


def _expected(row: Row, claimed: Row, tallies: Sequence[Tally | None]) -> Row:
    """The row as it must be: with what was found in the parts that were repeated, and the others as claimed."""
    found = [tally for tally in tallies if tally is not None]
    left = {
        name: max(getattr(claimed, name) - sum(getattr(tally, name) for tally in found), 0)
        for name in ("patterns", "wrong", "lost")
    }
    whole = list(tallies)
    for at, tally in enumerate(tallies):
        if tally is None and _is_done(claimed, at) and claimed.digests:
            whole[at] = Tally(
                claimed.data_format, **left, digest=claimed.digests[at], problem=claimed.problem,
                message=claimed.message, counterexample=claimed.counterexample, units=claimed.units,
                levels=claimed.levels,
            )  # fmt: skip
            left = {}
    return fold(row, whole, claimed.seconds)


def _about_the_whole(certificate: Certificate, versions: Mapping[str, str], groups: Sequence[Group]) -> Iterator[str]:
    """What the certificate says of itself and does not say row by row."""
    yield from _differences("target", certificate.target, words_of(certificate.spec))
    if certificate.specification:
        yield from _differences("specification", certificate.specification, VERSION)
    claimed = {_key(row): row for row in certificate.rows}
    judged = [
        sum(_is_done(claimed.get(_key(row)), at) for row in group.rows) * values_of(part) // len(group.rows)
        for group in groups
        for at, part in enumerate(group.parts)
    ]
    yield from _differences("values", certificate.values, sum(judged))
    for name in sorted({*certificate.versions, *versions}):
        # The target's own code; a package has a version, which may be another.
        if name.endswith(" code") and name.removesuffix(" code") not in certificate.versions:
            yield from _differences(name, certificate.versions.get(name), versions.get(name))


def _about_rows(rows: Sequence[Row], expected: Mapping[tuple[str, ...], Row], ignored: set[str]) -> Iterator[str]:
    seen = set()
    for row in rows:
        name = f"{_name(row)} {row.data_format}"
        if _key(row) in seen:
            yield f"{name}: there are two rows of it"
        seen.add(_key(row))
        if _key(row) not in expected:
            yield f"{name}: the target has nothing of the kind"
            continue
        found = [
            difference
            for field in fields(Row)
            if field.name not in ignored
            for difference in _differences(
                field.name, getattr(row, field.name), getattr(expected[_key(row)], field.name)
            )
        ]
        found += _misquoted(row)
        if found:
            yield f"{name}: {'; '.join(found)}"


def _missing(rows: Sequence[Row], planned: Plan) -> Iterator[str]:
    """Rows that the target has in the modes, data formats and dtypes of the certificate, and the certificate has not.

    A function that knows no modes is planned in each of them here; it was judged in those named, or in the nearest.
    """
    seen = {_key(row) for row in rows}
    subjects = {one.name: Subject(one) for one in implementations(planned.spec)}
    there = [*(row for group in planned.groups for row in group.rows), *planned.refused]
    for name, direction in dict.fromkeys((row.implementation, row.direction) for row in there):
        own = [row for row in there if (row.implementation, row.direction) == (name, direction)]
        modes = {row.mode for row in rows if (row.implementation, row.direction) == (name, direction)}
        if not modes:
            yield f"{name} {direction}: its rows are missing"
            continue
        knows_modes = subjects[name].implementation.modes is not None or subjects[name].takes(direction, "mode")
        for row in own:
            if _key(row) not in seen and (knows_modes or row.mode in modes):
                yield f"{_name(row)} {row.data_format}: its row is missing"


def _misquoted(row: Row) -> Iterator[str]:
    """What a row alone shows to be false."""
    if row.status == "wrong" and row.counterexample is None:
        yield _differs("counterexample", None, "wrong values, which have one")
    if row.direction == "forward" and row.lost:
        yield _differs("lost", row.lost, "0, as of every function that is no inverse")
    # Of modes of one's own, what overflows beyond the bytes may be right, and infinitely far in grey levels.
    for name in ("units", "levels") if row.mode in MODES else ("units",):
        worst: WorstError | None = getattr(row, name)
        if row.status != "wrong" and worst is not None and isinf(worst.error):
            yield _differs(name, worst, "a finite error where nothing is wrong")
    if row.status == "proven" and row.direction == "forward" and row.units and row.units.error > bound(row.mode):
        yield _differs("units", row.units, f"at most {bound(row.mode)} where nothing is wrong")
    for name in ("units", "levels"):
        worst = getattr(row, name)
        if worst is not None:
            try:
                value = repr(from_bits(worst.bits, row.dtype).item())
            except (ValueError, TypeError):
                value = "no such bits"
            yield from _differences(f"{name}, value", worst.value, value)
            if worst.channel not in (0, 1, 2):
                yield _differs(f"{name}, channel", worst.channel, "0, 1 or 2")


def _differences(name: str, claimed: Any, found: Any) -> Iterator[str]:
    if name == "digests" and type(claimed) is tuple:
        yield from _differences("number of digests", len(claimed), len(found))
        for at, (mine, other) in enumerate(zip(claimed, found, strict=False)):
            yield from _differences(f"digests[{at}]", mine, other)
    elif claimed != found or type(claimed) is not type(found):
        yield _differs(name, claimed, found)


def _differs(name: str, claimed: Any, found: Any) -> str:
    given, other = (f"{v.error!r} at {v.value}" if isinstance(v, WorstError) else str(v) for v in (claimed, found))
    return f"{name}: the certificate says {given}, found {other}"
