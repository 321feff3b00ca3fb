"""``vggprep check``."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import click
from rich.console import Console

from vggprep.cli import parallel
from vggprep.cli.common import (
    console,
    fail,
    html_option,
    in_process_option,
    level_option,
    report_option,
    selection_options,
    target_options,
    write_page,
    writing,
)
from vggprep.cli.formats import Format, Remark, format_option, present
from vggprep.conformance import ledger, report
from vggprep.conformance.engine import Selection
from vggprep.conformance.profiles import PROFILES
from vggprep.conformance.results import Report, exit_code
from vggprep.implementations import keras
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.releases import record
from vggprep.spec import FLOATS, Level


@click.command()
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--inverse", metavar="TARGET", help="An inverse to judge with it, or alone if no TARGET is given.")
@selection_options()
@level_option
@click.option(
    "--writes-input", is_flag=True, help="The target overwrites float input, as Keras does; do not count that as wrong."
)
@click.option(
    "--known",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ledger of known deviations (TOML), instead of the shipped one.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="dev",
    help="How Hypothesis explores on top of the corpus. dev (the default): 40 cases, the same every time, after those "
    "in the example database. ci: 400, the same every time. nightly: 4,000 new ones each time; failures are saved in "
    "the database.",
)
@click.option(
    "--examples",
    metavar="N",
    type=click.IntRange(min=0),
    help="Draw N cases instead of the profile's number; 0 for the corpus alone.",
)
@click.option("--seed", metavar="N", type=int, help="Draw other cases; by default they are the same every time.")
@target_options
@in_process_option
@report_option
@html_option
@format_option
def check(
    targets: tuple[str, ...],
    inverse: str | None,
    selection: Selection,
    level: Level | None,
    writes_input: bool,
    known: Path | None,
    profile: str,
    examples: int | None,
    seed: int | None,
    load_options: dict[str, Any],
    report_file: Path | None,
    page: Path | None,
    form: Format,
) -> None:
    """Judge implementations of preprocess_input, or of its inverse, against the exact definition.

    TARGET is module:attribute (a function or a vggprep.Implementation; the current folder is importable),
    reference, vggprep, keras, keras:PATH or tf_keras[:PATH] with PATH one of ndarray, tensor, graph, xla, model,
    keras:NAME with NAME a model of keras.applications such as EfficientNetB0 (vggprep modes --models),
    keras-hub:NAME and keras-hub:FILE for an image converter of KerasHub,
    a model file onnx:FILE, tflite:FILE, savedmodel:DIR or keras-model:FILE, or command:PROGRAM ARGS, a program in
    any language that reads .npy arrays from standard input and writes one for each; {mode} and {data_format} in
    ARGS are filled in.

    \b
    vggprep check keras
    vggprep check mymodule:preprocess --mode caffe --inverse mymodule:restore
    vggprep check keras:tensor --mode torch --report tensor.jsonl
    vggprep check "command:node port.js {mode} {data_format}"
    vggprep check onnx:model.onnx --tensor preprocessed
    """
    if not targets and inverse is None:
        fail("name at least one TARGET, such as keras or mymodule:preprocess (vggprep check --help)")
    entries = None if known is None else ledger.read(known)
    spec = TargetSpec(targets, inverse, level, writes_input, **load_options)
    implementations = load_all(spec)
    if selection.dtypes is not None and not set(selection.dtypes) & set(FLOATS):
        forward = [i for i in implementations if i.preprocess is not None]
        for left in implementations if forward else ():
            if left not in forward:
                click.echo(f"vggprep: {left.name} is left out: an inverse takes floating dtypes only", err=True)
        implementations = forward or implementations
    out = console()
    reports: list[Report] = []
    options = {"known": entries, "selection": selection, "profile": profile, "examples": examples, "seed": seed}
    try:
        for judged in parallel.judged(spec, implementations, **options):
            judged.notes.extend(_lost(judged))
            reports.append(judged)
            if form != "json":
                present(form, report.verdict(judged), _remarks(judged), lambda judged=judged: _print(judged, out))  # type: ignore[misc]
            if judged.interrupted:
                break
    except KeyboardInterrupt:  # while a report is printed
        reports += [Report(i, [], interrupted=True) for i in implementations[len(reports) :][:1]]
    if reports and reports[-1].interrupted:
        click.echo("vggprep: stopped", err=True)
    if form == "json":
        with TemporaryDirectory() as folder:
            report.write(path := Path(folder, "report.jsonl"), reports, arguments=sys.argv[1:])
            click.echo(path.read_text(encoding="utf-8"), nl=False)
    elif len(reports) > 1:
        out.print(report.overall(reports), style="bold", markup=False, highlight=False, soft_wrap=True)
    if report_file is not None:
        with writing(report_file):
            report.write(report_file, reports, arguments=sys.argv[1:])
    if page is not None:
        from vggprep.pages import check as of_check

        write_page(page, lambda typed: of_check.page(reports, typed))
    raise SystemExit(exit_code(reports))


def _print(judged: Report, out: Console) -> None:
    report.print_report(judged, out)
    out.print()


def _remarks(judged: Report) -> list[Remark]:
    """Headlines, notes and known deviations, then causes."""
    said = [Remark("warning", line) for line in report.headlines(judged)]
    said += [Remark("notice", line) for line in (*judged.notes, *report.known_text(judged))]
    said += [Remark("error", line) for line in report.error_text(judged)]
    for group in report.causes(judged.results):
        headline, _, more = report.cause_text(group).partition("\n")
        said.append(Remark("error", headline, dedent(more)))
    return said


def _lost(judged: Report) -> list[str]:
    """What an installed Keras refuses though a recorded release accepted it."""
    package, _, path = judged.implementation.name.partition(":")
    refused = list(dict.fromkeys(r.cell for r in judged.results if r.status == "refused" and r.check == "value"))
    if package not in keras.PACKAGES or not refused:
        return []
    backend = keras.backend_of(package)
    line = package if backend == "tensorflow" else f"{package}[{backend}]"
    said = record.no_longer_accepted(record.shipped(), f"{line}=={keras.version_of(package)}", path, refused)
    return [said] if said else []
