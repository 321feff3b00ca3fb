"""The command line, a module for each group of verbs, imported when one of its verbs is used.

Exit codes: 0 conforms or nothing differs; 1 does not conform or differs; 2 wrong usage, or a target that cannot be
loaded; 3 a fault of the suite itself; 130 interrupted. Tables go to standard output, progress to standard error.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback
from typing import Any

import click

from vggprep import __version__
from vggprep.errors import VggprepError
from vggprep.files import printable

# Verb: its module, and the first sentence of its help, so that --help imports none of them.
VERBS = {
    "check": ("check", "Judge implementations of preprocess_input, or of its inverse, against the exact definition."),
    "identify": ("identify", "Name the mode, layout and any known fault of a black box, or the history of an array."),
    "prove": ("prove", "Enumerate every bit pattern of a dtype, in every channel, mode and data format."),
    "vectors": ("vectors", "Write the corpus as files, for a program in another language."),
    "verify": ("vectors", "Judge the outputs of a program for the files that vectors wrote."),
    "diff": ("releases", "Say in words what changed between two releases or environments, worst first."),
    "history": (
        "releases",
        "List the changes in the recorded releases by what they mean, worst first, with the release of each.",
    ),
    "bisect": ("releases", "Find the release, or the day, at which behaviour first changed between two versions."),
    "watch": (
        "releases",
        "Compare the newest nightly build with the newest release, and print the text of a bug report.",
    ),
    "show": ("releases", "Say what one release does wrong, or otherwise than with arrays, worst first."),
    "observe": ("releases", "Record how an installed Keras behaves, to compare it with another one later."),
    "field": ("field", "Judge and time every implementation that is installed here, in one table."),
    "modes": ("modes", "Print which keras.applications module wants which mode, and what each mode does."),
    "checks": (
        "catalogue",
        "List the checks, or tell what one of them demands, which faults it catches, and how to see it fail.",
    ),
    "faults": ("catalogue", "List the known wrong implementations, or tell the story of one and how to see it fail."),
    "spec": (
        "catalogue",
        "Print the clauses of the specification, or one of them, and what tests, breaks and proves each.",
    ),
}


class _Verbs(click.Group):
    """A group that imports a verb when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"vggprep.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in VERBS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        # --help and --version are printed while the command line is read.
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            said = str(error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                said = f"cannot write the output: {error.strerror}; make room, or send it to another disk"
            try:
                sys.stdout.flush()
            except OSError:  # Python tries again at its end, and would complain of it
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.echo(f"vggprep: {printable(said)}", err=True)
            sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        _suit_the_terminal(ctx)
        try:
            return super().invoke(ctx)
        except VggprepError as error:
            click.echo(f"vggprep: {printable(str(error))}", err=True)
            ctx.exit(2)
        except (OSError, click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click's own business, and that of main
        except KeyboardInterrupt as interruption:
            click.echo(f"vggprep: stopped{'; ' if interruption.args else ''}{interruption}", err=True)
            ctx.exit(130)
        except Exception:
            click.echo(traceback.format_exc(), err=True)
            click.echo("vggprep: this is a fault of vggprep: please report it, with the traceback", err=True)
            ctx.exit(3)


def _suit_the_terminal(ctx: click.Context) -> None:
    """No escapes where the terminal knows none, and no error for what an encoding lacks."""
    if os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        ctx.color = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
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
