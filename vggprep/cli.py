"""The command line. Exit codes: 0 conforms, 1 does not, 2 usage or a target that cannot be loaded.

Tables go to standard output, progress to standard error. The suite is imported by the verb that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vggprep import __version__
from vggprep.spec import DATA_FORMATS, MODELS, MODES

if TYPE_CHECKING:
    from rich.console import Console

    from vggprep.comparison import Difference
    from vggprep.conformance import Report
    from vggprep.implementations import Implementation, Level
    from vggprep.implementations.targets import Wanted
    from vggprep.ledger import Entry

_DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "bfloat16", "float32", "float64",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vggprep")
def main() -> None:
    """Is my image preprocessing exactly what this network was trained on?

    \b
    vggprep check keras                      judge the installed Keras
    vggprep check mymodule:preprocess        judge your own function
    vggprep prove reference                  every bit pattern, not a sample
    vggprep diff keras==2.15.0 keras==3.15.1 what an upgrade changes
    vggprep modes                            which model wants which mode
    """


def _fail(message: str) -> NoReturn:
    click.echo(f"vggprep: {message}", err=True)
    raise SystemExit(2)


def _out() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


# Options that verbs share.
_mode_option = click.option(
    "--mode", "modes", multiple=True, type=click.Choice(list(MODES)), help="This mode only (repeatable)."
)
_data_format_option = click.option(
    "--data-format",
    "data_formats",
    multiple=True,
    type=click.Choice(DATA_FORMATS),
    help="This data format only (repeatable).",
)
_level_option = click.option(
    "--level",
    type=click.Choice(["exact", "faithful"]),
    help="exact: Keras's bits. faithful: the real formula within 8 unit roundoffs.",
)
_timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="How long a command: target has for one answer, its start included; 10 by default.",
)
_input_option = click.option(
    "--input", "input_name", metavar="NAME", help="Of a model file: the input that takes the images."
)
_tensor_option = click.option(
    "--tensor",
    "tensor_name",
    metavar="NAME",
    help="Of a model file: the tensor after preprocessing, where that is inside a larger graph.",
)


@main.command()
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--inverse", metavar="TARGET", help="An inverse to judge with it, or alone if no TARGET is given.")
@_mode_option
@_data_format_option
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(_DTYPES), help="Judge this input dtype only (repeatable)."
)
@_level_option
@click.option(
    "--writes-input",
    is_flag=True,
    help="The target overwrites float input, as Keras does; do not hold that against it.",
)
@click.option(
    "--known",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ledger of known deviations (TOML), instead of the shipped one.",
)
@click.option(
    "--profile",
    type=click.Choice(["dev", "ci", "nightly"]),
    default="dev",
    help="How Hypothesis explores on top of the corpus. dev (the default): 40 cases, the same every time, after those "
    "that the example database holds. ci: 400, the same every time. nightly: 4,000 others each time; what fails is "
    "saved in the database.",
)
@click.option(
    "--examples",
    metavar="N",
    type=click.IntRange(min=0),
    help="Another number of cases than the profile's; 0 for the corpus alone.",
)
@click.option(
    "--seed", metavar="N", type=int, help="Let Hypothesis draw other cases; without, it draws the same ones every time."
)
@_timeout_option
@_input_option
@_tensor_option
@click.option(
    "--report",
    "report_file",
    metavar="FILE.jsonl",
    type=click.Path(path_type=Path),
    help="Also write every result as JSON Lines.",
)
def check(
    targets: tuple[str, ...],
    inverse: str | None,
    modes: tuple[str, ...],
    data_formats: tuple[str, ...],
    dtypes: tuple[str, ...],
    level: Level | None,
    writes_input: bool,
    known: Path | None,
    profile: str,
    examples: int | None,
    seed: int | None,
    timeout: float | None,
    input_name: str | None,
    tensor_name: str | None,
    report_file: Path | None,
) -> None:
    """Judge implementations of preprocess_input, or of its inverse, against the exact definition.

    TARGET is module:attribute (a function or a vggprep.Implementation; the current folder is importable),
    reference, vggprep, keras, keras:PATH or tf_keras[:PATH] with PATH one of ndarray, tensor, graph, xla, model,
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
    from vggprep.conformance import Selection
    from vggprep.implementations.targets import Wanted

    if not targets and inverse is None:
        _fail("name at least one TARGET, such as keras or mymodule:preprocess (vggprep check --help)")
    if report_file is not None:
        if not report_file.resolve().parent.is_dir():
            _fail(f"cannot write {report_file}: there is no folder {report_file.parent}")
        if report_file.is_dir():
            _fail(f"cannot write {report_file}: it is a folder")
        report_file = report_file.resolve()  # the code under test may change the current folder
    wanted = Wanted(targets, inverse, level, writes_input, timeout, input_name, tensor_name)
    implementations = _load(wanted)
    selection = Selection(modes or None, data_formats or None, dtypes or None)
    reports = _judge(implementations, known, selection, profile, examples, seed)
    if report_file is not None:
        from vggprep.report import write

        try:
            write(report_file, reports, arguments=sys.argv[1:])
        except OSError as error:
            _fail(f"cannot write {report_file}: {error.strerror}")
    raise SystemExit(0 if all(report.conforms for report in reports) else 1)


def _load(wanted: Wanted) -> list[Implementation]:
    from vggprep.implementations.targets import TargetError, load_all

    try:
        return load_all(wanted)
    except TargetError as error:
        _fail(str(error))


def _judge(
    implementations: list[Implementation],
    known: Path | None,
    selection: Any,
    profile: str,
    examples: int | None,
    seed: int | None,
) -> list[Report]:
    from vggprep.conformance import run
    from vggprep.ledger import LedgerError, given, read, shipped
    from vggprep.report import print_report

    out = _out()
    reports = []
    try:
        entries: tuple[Entry, ...] | None = None if known is None else read(known)
    except LedgerError as error:
        _fail(str(error))
    with _Progress() as advance:
        for implementation in implementations:
            ledger = shipped(implementation.name) if entries is None else given(entries, implementation.name)
            name = implementation.name
            report = run(
                implementation,
                ledger=ledger.entries,
                warn_stale=bool(ledger.borrowed_from),
                selection=selection,
                profile=profile,
                examples=examples,
                seed=seed,
                progress=lambda what, done, name=name: advance(f"{name}: {what}", done),  # type: ignore[misc]
            )
            if ledger.borrowed_from:
                report.notes.append(ledger.note)
            print_report(report, out)
            out.print()
            reports.append(report)
    return reports


class _Progress:
    """A progress bar on standard error when it is a terminal; else nothing, since a check takes seconds."""

    def __enter__(self) -> Callable[[str, float], None]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._bar.start()
        task = self._bar.add_task("", total=1.0)
        return lambda what, done: self._bar.update(task, description=what, completed=done)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def modes(as_json: bool) -> None:
    """Print which keras.applications module wants which mode, and what each mode does.

    \b
    vggprep modes
    vggprep modes --json
    """
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(
            json.dumps(
                {"modes": {name: asdict(mode) for name, mode in MODES.items()}, "models": dict(MODELS)}, indent=2
            )
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "mode", "keras.applications modules", "what it does to RGB 0..255", "where it comes from", show_lines=True
    )
    for name, mode in MODES.items():
        table.add_row(name, ", ".join(model for model in MODELS if MODELS[model] == name), mode.summary, mode.source)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


@main.command()
@click.argument("target", type=click.Choice(["keras", "tf_keras", "tensorflow.keras"]))
@click.option(
    "-o", "--output", required=True, metavar="FILE.jsonl", type=click.Path(path_type=Path), help="Where to write it."
)
@click.option("--python", metavar="INTERPRETER", help="Observe the Keras of this interpreter, which needs no vggprep.")
def observe(target: str, output: Path, python: str | None) -> None:
    """Record how an installed Keras behaves, row by row, to compare it with another one later.

    \b
    vggprep observe keras -o now.jsonl
    vggprep observe keras --python ../old-venv/bin/python -o old.jsonl
    """
    from vggprep.observation import ObservationError, observe_to_file

    if not output.resolve().parent.is_dir():
        _fail(f"cannot write {output}: there is no folder {output.parent}")
    if output.is_dir():
        _fail(f"cannot write {output}: it is a folder")
    with _Progress() as advance:
        try:
            observed = observe_to_file(
                output, target, python, progress=lambda done, all_: advance(f"observing {target}", done / all_)
            )
        except (ObservationError, OSError) as error:
            _fail(str(error))
    click.echo(f"{observed.name}: {len(observed.rows)} rows written to {output}")


@main.command()
@click.argument("old")
@click.argument("new")
@click.option("--strict", is_flag=True, help="Exit with 1 for any difference, not only for one that matters.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@click.option(
    "--install", is_flag=True, help="Install and observe a release that is not in the record (takes minutes)."
)
def diff(old: str, new: str, strict: bool, as_json: bool, install: bool) -> None:
    """Say in words what changed between two releases or environments, worst first.

    OLD and NEW are files written by observe, python:INTERPRETER, or releases such as keras==2.15.0,
    keras[torch]==3.15.1, tf_keras==2.21.0, tensorflow==2.4.4 (its tf.keras) or keras-applications==1.0.7. OLD may be
    the word recorded: the release in the record that NEW should behave like. Exit code 1 if something that matters
    changed: a value that was or is wrong, or working input that is now refused or written to.

    \b
    vggprep diff keras==2.15.0 keras==3.15.1
    vggprep diff python:../old/bin/python python:../new/bin/python
    vggprep diff recorded now.jsonl
    """
    from vggprep.comparison import compare, compared
    from vggprep.observation import ObservationError
    from vggprep.releases import counterpart, load_side

    if new == "recorded":
        _fail("recorded stands for OLD only: the release that NEW should behave like")
    with _Progress() as advance:
        try:
            sides = [None, load_side(new, install=install, progress=lambda d, a: advance(f"observing {new}", d / a))]
            name = counterpart(sides[1]) if old == "recorded" and sides[1] else old
            sides[0] = load_side(name, install=install, progress=lambda d, a: advance(f"observing {name}", d / a))
        except (ObservationError, OSError) as error:
            _fail(str(error))
    before, after = sides
    assert before is not None
    assert after is not None
    rows = compared(before, after)
    if not rows:
        _fail(f"{name} and {new} have no row in common that both could run; observe again with this vggprep")
    found = compare(before, after)
    matters = [difference for difference in found if difference.matters]
    if as_json:
        import json

        document = {"old": before.running, "new": after.running, "differences": [d.to_json() for d in found]}
        click.echo(json.dumps(document, indent=2))
    else:
        _print_differences(f"{name} -> {new}", found, rows)
    raise SystemExit(1 if (found if strict else matters) else 0)


def _print_differences(title: str, found: Sequence[Difference], rows: int) -> None:
    click.echo(f"{title}: {rows} rows compared")
    heading = ""
    for difference in found:
        if difference.title != heading:
            heading = difference.title
            click.echo(f"\n{heading}{' (this matters)' if difference.matters else ''}")
        click.echo(f"  {difference.sentence}")
    matters = sum(difference.matters for difference in found)
    count = f"{len(found)} difference{'s' * (len(found) != 1)}"
    verb = "matters" if matters in (0, 1) else "matter"
    click.echo(f"\n{count}, {matters or 'none'} that {verb}" if found else "\nnothing differs")


@main.command()
@click.option(
    "--mode", type=click.Choice([name for name in MODES if MODES[name].steps]), help="Changes in this mode only."
)
@click.option(
    "--path",
    type=click.Choice(["ndarray", "tensor", "graph", "xla", "model", "lambda", "tf.data", "variable"]),
    help="Changes of this way to call only.",
)
@click.option("--all", "everything", is_flag=True, help="Also changes that do not matter: errors, dtypes, rounding.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def history(mode: str | None, path: str | None, everything: bool, as_json: bool) -> None:
    """List the changes of behaviour in the recorded releases, with the release that made each.

    \b
    vggprep history
    vggprep history --mode torch --path tensor --all
    """
    from vggprep.observation import ObservationError
    from vggprep.releases import history as changes
    from vggprep.releases import record

    try:
        found = [change for change in changes(mode, path) if everything or change.difference.matters]
    except ObservationError as error:
        _fail(str(error))
    if as_json:
        import json

        rows = [
            {
                "line": c.line,
                "before": c.before,
                "release": c.release,
                "adjacent": c.adjacent,
                "beside": dict(c.beside),
                **c.difference.to_json(),
            }
            for c in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("line", "release", "what changed", show_lines=True)
    for change in found:
        table.add_row(*map(escape, (change.line, change.when, change.difference.sentence)))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    click.echo(f"{len(record().releases)} releases are recorded.")
    reasons: dict[str, list[str]] = {}
    for release, reason in record().not_run.items():
        reasons.setdefault(reason, []).append(release)
    for reason, releases in reasons.items():
        click.echo(f"Not run: {', '.join(releases)} ({reason}).")


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def vectors(folder: Path) -> None:
    """Write the corpus as files, for a program in another language: inputs, expected outputs and a manifest.

    \b
    vggprep vectors vectors
    your-program vectors/inputs outputs
    vggprep verify vectors outputs
    """
    from vggprep.vectors import VectorsError, write

    try:
        count = write(folder)
    except VectorsError as error:
        _fail(str(error))
    click.echo(f"{count} vectors in {folder}: see {folder / 'README.txt'}")


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("outputs", metavar="OUTPUTS", type=click.Path(path_type=Path))
@click.option(
    "--level",
    type=click.Choice(["exact", "faithful"]),
    default="faithful",
    help="exact: Keras's bits. faithful: the real formula within 8 unit roundoffs.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE.jsonl",
    type=click.Path(path_type=Path),
    help="Also write every result as JSON Lines.",
)
def verify(folder: Path, outputs: Path, level: Level, report_file: Path | None) -> None:
    """Judge what a program made of the vectors in DIR: OUTPUTS holds NAME.npy, or NAME.bin, for each input.

    \b
    vggprep verify vectors outputs
    """
    from vggprep.report import print_report, write
    from vggprep.vectors import VectorsError
    from vggprep.vectors import verify as judge

    try:
        report = judge(folder, outputs, level)
    except VectorsError as error:
        _fail(str(error))
    print_report(report, _out())
    if report_file is not None:
        try:
            write(report_file, [report], arguments=sys.argv[1:])
        except OSError as error:
            _fail(f"cannot write {report_file}: {error.strerror}")
    raise SystemExit(0 if report.conforms else 1)


_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@main.command()
@click.argument("target", metavar="TARGET|FILE")
@click.option(
    "--restore",
    metavar="OUT.png",
    type=click.Path(path_type=Path),
    help="Of a FILE: write the original pixels, if they can be recovered exactly.",
)
@_timeout_option
@_input_option
@_tensor_option
def identify(
    target: str, restore: Path | None, timeout: float | None, input_name: str | None, tensor_name: str | None
) -> None:
    """Name the mode, layout and any known fault of a black box, or what an array has been through.

    TARGET is as in vggprep check; FILE is a .npy array or an image. The exit code is 0 for one of the modes or its
    inverse (the one asked for, if it takes a mode) and for an array whose origin is known, else 1.

    \b
    vggprep identify mymodule:preprocess
    vggprep identify "command:node port.js {mode} {data_format}"
    vggprep identify batch.npy --restore original.png
    """
    path = Path(target)
    if path.suffix.lower() in (".npy", *_IMAGES) and ":" not in target:
        _identify_file(path, restore)
    if restore is not None:
        _fail("--restore needs a FILE: a black box has no image to give back")
    from vggprep.identification import identify as judge
    from vggprep.implementations.targets import Wanted

    wanted = Wanted((target,), timeout=timeout, input_name=input_name, tensor_name=tensor_name)
    found = [judge(implementation) for implementation in _load(wanted)]
    for identification in found:
        click.echo(repr(identification))
    raise SystemExit(0 if all(identification.is_right for identification in found) else 1)


def _identify_file(path: Path, restore: Path | None) -> None:
    from vggprep import npy, png
    from vggprep.identification import identify_array

    try:
        array = npy.read(path) if path.suffix.lower() == ".npy" else _image(path)
        found = identify_array(array)
    except npy.NpyError as error:
        _fail(f"{path} {error}")
    except OSError as error:
        _fail(f"cannot read {path}: {error.strerror or error}")
    except (TypeError, ValueError) as error:
        _fail(f"{path}: {error}")
    click.echo(repr(found))
    if restore is not None:
        if found.pixels is None:
            click.echo(f"vggprep: {restore} is not written: {found.why_not}", err=True)
            raise SystemExit(1)
        images = found.pixels if found.pixels.ndim == 4 else found.pixels[None]
        names = [restore.with_stem(f"{restore.stem}-{n}") if len(images) > 1 else restore for n in range(len(images))]
        try:
            for name, image in zip(names, images, strict=True):
                png.write(name, image)
        except OSError as error:
            _fail(f"cannot write {restore}: {error.strerror}")
        click.echo(f"the original pixels are in {', '.join(map(str, names))}")
    raise SystemExit(0 if found.sure != "guess" else 1)


def _image(path: Path) -> Any:
    """An image file as RGB, through Pillow."""
    import numpy as np

    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        _fail(f'{path}: reading image files needs Pillow: pip install "vggprep[images]"; or give a .npy file')
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        _fail(f"{path} is no image that Pillow can read")


@main.command()
@click.argument("target", required=False)
@click.option("--inverse", metavar="TARGET", help="An inverse to prove with it, or alone if no TARGET is given.")
@_mode_option
@_data_format_option
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    type=click.Choice([d for d in _DTYPES if d != "bool"]),
    help="This dtype (repeatable); by default those of up to 16 bits, which take seconds. 32 bits take minutes; "
    "of 64 bits a sample is tried.",
)
@_level_option
@click.option("--all", "everything", is_flag=True, help="Go on after a counterexample, and count all that is wrong.")
@click.option(
    "-o",
    "--output",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Write the certificate. FILE.json.progress remembers what is done until then.",
)
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="How many processes; one a core by default.")
@click.option(
    "--executor",
    metavar="SPEC",
    help="Let others do the work: dask:tcp://HOST:PORT, a Dask cluster, or module:factory, a function that makes a "
    "concurrent.futures.Executor.",
)
@click.option(
    "--verify",
    "certificate_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Do a random part of a certificate again, and compare.",
)
@click.option("--parts", metavar="N", type=click.IntRange(min=1), default=8, help="How many parts --verify does; 8.")
@click.option("--seed", metavar="N", type=int, help="Let --verify choose the same parts again.")
@_timeout_option
@_input_option
@_tensor_option
def prove(
    target: str | None,
    inverse: str | None,
    modes: tuple[str, ...],
    data_formats: tuple[str, ...],
    dtypes: tuple[str, ...],
    level: Level | None,
    everything: bool,
    output: Path | None,
    workers: int | None,
    executor: str | None,
    certificate_file: Path | None,
    parts: int,
    seed: int | None,
    timeout: float | None,
    input_name: str | None,
    tensor_name: str | None,
) -> None:
    """Enumerate every bit pattern of a dtype, in every channel, mode and data format; not a sample.

    A forward function gets every pattern, an inverse every output that the definition produces from one. TARGET is
    as in vggprep check, with one implementation; vggprep:numpy and vggprep:numba name the kernels.

    \b
    vggprep prove mymodule:preprocess --mode caffe
    vggprep prove reference --dtype float32 -o reference.json
    vggprep prove --verify reference.json
    vggprep prove keras:graph --dtype float32 --executor dask:tcp://127.0.0.1:8786
    """
    import os

    from vggprep.conformance import Selection
    from vggprep.implementations.targets import TargetError, Wanted
    from vggprep.proof import ProofError, certificates
    from vggprep.proof import plan as make_plan
    from vggprep.proof import prove as enumerate_all
    from vggprep.proof.report import print_certificate

    workers = workers or os.cpu_count() or 1
    if certificate_file is not None:
        if target or inverse:
            _fail("--verify takes the target from the certificate: leave TARGET and --inverse out")
        _verify_certificate(certificate_file, parts, seed, executor, workers)
    if target is None and inverse is None:
        _fail("name a TARGET, such as reference or mymodule:preprocess (vggprep prove --help)")
    if output is not None and not output.resolve().parent.is_dir():
        _fail(f"cannot write {output}: there is no folder {output.parent}")
    if output is not None and output.is_dir():
        _fail(f"cannot write {output}: it is a folder")
    wanted = Wanted((target,) if target else (), inverse, level, False, timeout, input_name, tensor_name)
    progress_file: Path | None = None
    try:
        plan = make_plan(wanted, Selection(modes or None, data_formats or None, dtypes or None), everything=everything)
        progress_file = _progress_file(output, " ".join(filter(None, (target, inverse))), plan.values)
        with _LongProgress() as report:
            certificate = enumerate_all(
                plan,
                progress_file=progress_file,
                executor=executor,
                workers=workers,
                arguments=sys.argv[1:],
                report=report,
            )
        if output is not None:
            certificates.write(certificate, output)
    except (ProofError, TargetError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        kept = f"what is done is kept in {progress_file}: the same command goes on from there"
        _fail(f"stopped; {kept if progress_file else 'nothing was kept'}")
    if progress_file is not None:
        progress_file.unlink(missing_ok=True)
    print_certificate(certificate, plan.notes, _out())
    if output is not None:
        click.echo(f"the certificate is in {output}")
    raise SystemExit(0 if certificate.holds else 1)


_WORTH_KEEPING = 1 << 31
"""Values from which on progress is kept even where no certificate was asked for: a minute's work or so."""


def _progress_file(output: Path | None, target: str, values: int) -> Path | None:
    if output is not None:
        return output.with_name(f"{output.name}.progress")
    if values < _WORTH_KEEPING:
        return None
    import re

    from vggprep.releases.environments import cache_directory

    return cache_directory().parent / "proofs" / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', target)}.progress"


def _verify_certificate(path: Path, parts: int, seed: int | None, executor: str | None, workers: int) -> NoReturn:
    from vggprep.implementations.targets import TargetError
    from vggprep.proof import ProofError, certificates, verify

    try:
        certificate = certificates.read(path)
        with _LongProgress() as report:
            found = verify(certificate, parts=parts, seed=seed, executor=executor, workers=workers, report=report)
    except (ProofError, TargetError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped")
    for line in (*(f"note: {note}" for note in found.notes), *found.disagreements):
        click.echo(line)
    agree = "they agree with the certificate" if not found.disagreements else "the certificate does NOT hold here"
    click.echo(f"{certificate.target}: {found.again} of {found.of} parts done again; {agree}")
    raise SystemExit(1 if found.disagreements else 0)


class _LongProgress:
    """For what takes minutes: a bar with rate and time left on a terminal, else a line now and then."""

    _SECONDS = 15.0

    def __enter__(self) -> Callable[[int, int, float], None]:
        import time

        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TaskProgressColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
            speed_estimate_period=120.0,
        )
        self._bar.start()
        task = self._bar.add_task("", total=1.0)
        told = time.monotonic()

        def report(done: int, total: int, rate: float) -> None:
            nonlocal told
            speed = f"{rate / 1e6:,.0f} million values a second"
            self._bar.update(task, description=speed, completed=done, total=total)
            if self._bar.disable and time.monotonic() - told > self._SECONDS and done > total / 100:
                told = time.monotonic()
                left = (total - done) / rate
                minutes = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
                click.echo(f"{done / total:.1%} of {total:,} values, {speed}, {minutes} left", err=True)

        return report

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
