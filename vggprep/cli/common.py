"""What verbs share: options, the console, progress, and writing files."""

from __future__ import annotations

import functools
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vggprep import pages
from vggprep.errors import VggprepError
from vggprep.files import is_replaced, printable
from vggprep.implementations import mode_of
from vggprep.implementations.adapters import INPUT_ORDERS, TAKES
from vggprep.spec import DATA_FORMATS, DTYPES, LEVELS, MODES, ModeName, known, published

if TYPE_CHECKING:
    from click.decorators import FC


def fail(message: str) -> NoReturn:
    """End with exit code 2 and one line."""
    click.echo(f"vggprep: {printable(message)}", err=True)
    raise SystemExit(2)


def console() -> Console:
    """Standard output, 120 columns wide where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


# Options ----------------------------------------------------------------------------------------------------------

level_option = click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="exact: Keras's bits. faithful: the real formula within 8 unit roundoffs.",
)


class ModeError(VggprepError):
    """A mode that cannot be told from another one of its name."""


def mode_named(word: str) -> ModeName:
    """The name under which a mode is known from now on: one of Keras's, of a published one, or a configuration file."""
    if word in MODES or word in published():
        return word
    if not Path(word).is_file():
        names = ", ".join(map(repr, MODES))
        raise click.BadParameter(f"{word!r} is not one of {names}, nor a published mode, nor a configuration file.")
    from vggprep.configurations import read_mode

    try:
        return known(read_mode(Path(word)))
    except ValueError as error:
        raise ModeError(f"{word}: {error}") from error


def mode_option(help: str) -> Callable[[FC], FC]:
    """``--mode``, repeatable; the verb gets ``modes``, names that are known from now on."""

    def known_from_now_on(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> tuple[ModeName, ...]:
        return tuple(map(mode_named, words))

    return click.option("--mode", "modes", metavar="MODE", multiple=True, callback=known_from_now_on, help=help)


THIS_MODE = "This mode only (repeatable): caffe, tf, torch, identity, a published one, or a configuration file."


def selection_options(dtypes: tuple[str, ...] = DTYPES, about_dtypes: str = "") -> Callable[[FC], FC]:
    """``--mode``, ``--data-format`` and ``--dtype``, each repeatable; the verb gets ``selection``."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def bundled(*args: Any, modes: Any, data_formats: Any, dtypes: Any, model: str | None, **others: Any) -> Any:
            from vggprep.conformance.engine import Selection

            if model is not None and modes:
                fail(f"--model {model} is another way to say --mode {mode_of(model)}; leave one of them out")
            modes = modes if model is None else (mode_of(model),)
            chosen = Selection(modes or None, data_formats or None, dtypes or None, model)
            return function(*args, selection=chosen, **others)

        for name, variable, choices, help_text in (
            ("--dtype", "dtypes", dtypes, about_dtypes or "This input dtype only (repeatable)."),
            ("--data-format", "data_formats", DATA_FORMATS, "This data format only (repeatable)."),
        ):
            bundled = click.option(name, variable, multiple=True, type=click.Choice(choices), help=help_text)(bundled)
        bundled = mode_option(THIS_MODE)(bundled)
        return click.option(
            "--model", metavar="NAME", help="The mode of this keras.applications module, such as vgg19 (vggprep modes)."
        )(bundled)

    return decorate


_LOAD_OPTIONS = ("timeout", "input_name", "tensor_name", "takes", "size", "input_order")


def _size(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text, flags=re.IGNORECASE)
    if found is None or not int(found[1]) or not int(found[2]):
        fail(f"--size {text} is not a height and a width, such as 224x224")
    return int(found[1]), int(found[2])


def target_options(function: FC) -> FC:
    """How to load targets; the verb gets ``load_options``, a dict for ``TargetSpec``."""

    @functools.wraps(function)
    def bundled(*args: Any, **others: Any) -> Any:
        options = {name: others.pop(name) for name in _LOAD_OPTIONS}
        return function(*args, load_options=options, **others)

    for option in (
        click.option(
            "--input-order",
            type=click.Choice(INPUT_ORDERS),
            help="Of a function: the channel order of its images; bgr for one that is handed OpenCV's.",
        ),
        click.option(
            "--size",
            metavar="HxW",
            callback=_size,
            help="Of a function: the one size that it takes, such as 224x224; images are put into frames of it.",
        ),
        click.option(
            "--takes",
            type=click.Choice(TAKES),
            help="Of a function: what it takes in place of an array: a PIL image, the path of a PNG file, or a tensor.",
        ),
        click.option(
            "--tensor",
            "tensor_name",
            metavar="NAME",
            help="Of a model file: the tensor after preprocessing, where that is inside a larger graph.",
        ),
        click.option("--input", "input_name", metavar="NAME", help="Of a model file: the input that takes the images."),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            help="How long one call may take: of a command: target, its start included, 10 by default; of a function "
            "or a model file, 30.",
        ),
    ):
        bundled = option(bundled)
    return bundled  # type: ignore[return-value]


def in_process_option(function: FC) -> FC:
    """``--in-process``, below ``target_options``: otherwise targets are loaded in processes of their own."""

    @functools.wraps(function)
    def bundled(*args: Any, in_process: bool, load_options: dict[str, Any], **others: Any) -> Any:
        return function(*args, load_options={**load_options, "isolated": not in_process}, **others)

    option = click.option(
        "--in-process",
        is_flag=True,
        help="Call functions and model files in this process, for debugging. Otherwise they run in one of their own, "
        "which may crash or hang without harm.",
    )
    return option(bundled)  # type: ignore[return-value]


def output_option(*names: str, help: str, required: bool = False, metavar: str = "FILE.jsonl") -> Callable[[FC], FC]:
    """An option that names a file to write; it is made absolute, as code under test may change the current folder."""

    def writable(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        if path is None:
            return None
        if not path.resolve().parent.is_dir():
            fail(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            fail(f"cannot write {path}: it is a folder")
        with writing(path):
            if not is_replaced(path):  # /dev/stdout, whose link leads to nothing that has a name
                return path.absolute()
            with TemporaryFile(dir=path.resolve().parent):
                return path.resolve()

    return click.option(
        *names, required=required, metavar=metavar, type=click.Path(path_type=Path), callback=writable, help=help
    )


def html_option(function: FC) -> FC:
    """``--html FILE``, refused before any work if FILE cannot be written or a page cannot be made; see ``pages``."""

    @functools.wraps(function)
    def bundled(*args: Any, page: Path | None, **others: Any) -> Any:
        if page is not None:
            pages.require()
        return function(*args, page=page, **others)

    help_text = "Also write a page to look at: one self-contained file. Needs vggprep[pages]."
    option = output_option("--html", "page", metavar="FILE.html", help=help_text)
    return option(bundled)  # type: ignore[return-value]


def write_page(path: Path, page: Callable[[str], str]) -> None:
    """Write what ``page`` makes of the command line as it was typed."""
    with writing(path):
        pages.write(path, page(shlex.join(["vggprep", *sys.argv[1:]])))


report_option = output_option("--report", "report_file", help="Also write every result as JSON Lines.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """One line, exit code 2, if ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")


# Progress ---------------------------------------------------------------------------------------------------------


def _bar(*columns: ProgressColumn, **options: Any) -> Progress:
    """A bar on the standard error of now, whatever code under test puts in its place, where that is a terminal."""
    return Progress(
        *columns,
        console=Console(file=sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
        redirect_stdout=False,
        redirect_stderr=False,
        **options,
    )


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error where that is a terminal, else nothing: for what takes seconds."""
    with _bar(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)


_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def long_progress() -> Iterator[Callable[[int, int, float], None]]:
    """For what takes minutes: a bar with rate and time left on a terminal, else a line now and then."""
    with _bar(
        TaskProgressColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        speed_estimate_period=120.0,
    ) as bar:
        task = bar.add_task("", total=1.0)
        last = time.monotonic()

        def report(done: int, total: int, rate: float) -> None:
            nonlocal last
            speed = f"{rate / 1e6:,.3g} million values a second"
            bar.update(task, description=speed, completed=done, total=total)
            if bar.disable and time.monotonic() - last > _SECONDS_BETWEEN_LINES and done > total / 100:
                last = time.monotonic()
                left = (total - done) / rate
                minutes = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
                click.echo(f"{done / total:.1%} of {total:,} values, {speed}, {minutes} left", err=True)

        yield report
