"""``vggprep prove``."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from vggprep.cli.common import (
    console,
    fail,
    html_option,
    level_option,
    long_progress,
    output_option,
    selection_options,
    target_options,
    write_page,
)
from vggprep.conformance.engine import Selection
from vggprep.files import cache_folder, is_replaced, printable
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import certificates
from vggprep.proof.certificates import Certificate
from vggprep.proof.domains import DTYPES
from vggprep.proof.plan import plan as make_plan
from vggprep.proof.report import counts, print_certificate
from vggprep.proof.run import finish, words_of
from vggprep.proof.run import prove as make_certificate
from vggprep.proof.verify import verify
from vggprep.spec import Level


@click.command()
@click.argument("target", required=False)
@click.option("--inverse", metavar="TARGET", help="An inverse to prove with it, or by itself if no TARGET is given.")
@selection_options(
    DTYPES,
    "This dtype (repeatable); by default those of up to 16 bits, which take seconds. 32 bits take minutes; for 64 bits "
    "a sample is tried.",
)
@level_option
@click.option("--all", "count_all", is_flag=True, help="Continue after a counterexample, and count all wrong values.")
@output_option(
    "-o",
    "--output",
    metavar="FILE.json",
    help="Write the certificate. Until it is finished, FILE.json.progress remembers which parts are done.",
)
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="How many processes; by default one per core.")
@click.option(
    "--executor",
    metavar="SPEC",
    help="Where to run the work: dask:tcp://HOST:PORT, a Dask cluster, or module:factory, a function that returns a "
    "concurrent.futures.Executor.",
)
@click.option(
    "--verify",
    "certificate_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Repeat all that a certificate is about, and compare its rows with what is found.",
)
@click.option(
    "--parts", metavar="N", type=click.IntRange(min=1), help="With --verify: repeat N parts only, chosen at random."
)
@click.option("--seed", metavar="N", type=int, help="Makes --verify choose the same parts again.")
@html_option
@target_options
def prove(
    target: str | None,
    inverse: str | None,
    selection: Selection,
    level: Level | None,
    count_all: bool,
    output: Path | None,
    workers: int | None,
    executor: str | None,
    certificate_file: Path | None,
    parts: int | None,
    seed: int | None,
    page: Path | None,
    load_options: dict[str, Any],
) -> None:
    """Enumerate every bit pattern of a dtype, in every channel, mode and data format.

    A forward function gets every pattern, an inverse every output that the definition produces from one. TARGET is
    as in vggprep check, with one implementation; vggprep:numpy and vggprep:numba name the kernels. Only programs
    (command:) have a --timeout: a function or a model file runs in the process that judges it, for as long as it takes.

    \b
    vggprep prove mymodule:preprocess --mode caffe
    vggprep prove reference --dtype float32 -o reference.json
    vggprep prove --verify reference.json
    vggprep prove keras:graph --dtype float32 --executor dask:tcp://127.0.0.1:8786
    """
    workers = workers or os.cpu_count() or 1
    if certificate_file is not None:
        if target or inverse:
            fail("--verify takes the target from the certificate: leave TARGET and --inverse out")
        _verify(certificate_file, parts, seed, executor, workers, page)
    if target is None and inverse is None:
        fail("name a TARGET, such as reference or mymodule:preprocess (vggprep prove --help)")
    spec = TargetSpec((target,) if target else (), inverse, level, False, **load_options)
    progress_file: Path | None = None
    try:
        plan = make_plan(spec, selection, stop_at_first=not count_all)
        progress_file = _progress_file(output, words_of(spec), plan.values)
        with long_progress() as on_progress:
            certificate = make_certificate(
                plan,
                progress_file=progress_file,
                executor=executor,
                workers=workers,
                arguments=sys.argv[1:],
                on_progress=on_progress,
            )
        if output is not None:
            certificates.write(certificate, output)
    except KeyboardInterrupt:
        kept = f"completed parts are kept in {progress_file}: the same command resumes from there"
        raise KeyboardInterrupt(kept if progress_file else "no progress was kept") from None
    notes = [*plan.notes]
    if progress_file is not None and (others := finish(plan, progress_file)):
        notes.append(f"{progress_file} is kept: another proof resumes from there, of which {others} parts are done")
    print_certificate(certificate, notes, console())
    if page is not None:
        _write_page(page, certificate, notes)
    if output is not None:
        click.echo(f"the certificate is in {output}")
    raise SystemExit(0 if certificate.holds else 1)


def _write_page(page: Path, certificate: Certificate, notes: Sequence[str], disagreements: Sequence[str] = ()) -> None:
    from vggprep.pages import prove as of_proof

    write_page(page, lambda typed: of_proof.page(certificate, notes, disagreements, typed))


_WORTH_KEEPING = 1 << 31
"""The number of values from which progress is kept even without -o: about a minute's work."""


def _progress_file(output: Path | None, target: str, values: int) -> Path | None:
    if output is not None and is_replaced(output):
        return output.with_name(f"{output.name}.progress")
    if values < _WORTH_KEEPING:
        return None
    digest = hashlib.sha256(target.encode()).hexdigest()[:8]
    return cache_folder("proofs") / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', target)[:80]}-{digest}.progress"


def _verify(
    path: Path, parts: int | None, seed: int | None, executor: str | None, workers: int, page: Path | None
) -> NoReturn:
    certificate = certificates.read(path)
    choice: dict[str, Any] = {"parts": parts, "seed": seed, "executor": executor, "workers": workers}
    try:
        with long_progress() as on_progress:
            found = verify(certificate, **choice, on_progress=on_progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "nothing is kept of a verification: --parts N repeats a part of the certificate"
        ) from None
    for line in (*(f"note: {note}" for note in found.notes), *found.disagreements):
        click.echo(printable(line))
    repeated, total = sum(found.repeated.values()), sum(found.total.values())
    if repeated < total:
        for word, numbers in (
            ("repeated", found.repeated),
            ("not repeated, and taken as described", {n: found.total[n] - found.repeated[n] for n in found.total}),
        ):
            parts_of = [f"{name} ({count} of {found.total[name]})" for name, count in numbers.items() if count]
            click.echo(printable(f"{word}: {', '.join(parts_of)}"))
    agree = "they agree with the certificate" if not found.disagreements else "the certificate does NOT hold here"
    if not found.disagreements and not certificate.holds:
        agree += f", which is no proof: {counts(certificate)}"
    said = f"{repeated} of {total} parts repeated; {agree}"
    click.echo(printable(f"{certificate.target}: {said}"))
    if page is not None:
        _write_page(page, certificate, [*found.notes, said], found.disagreements)
    raise SystemExit(0 if certificate.holds and not found.disagreements else 1)
