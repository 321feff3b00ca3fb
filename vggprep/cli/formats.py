"""What a command found, in the forms that a pull request shows: Markdown, and the annotations of GitHub's workflows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import click

from vggprep.cli.common import fail

if TYPE_CHECKING:
    from click.decorators import FC

Format = Literal["text", "json", "markdown", "github"]
"""text: for people; json: for programs; markdown: for a comment; github: text, with annotations and a job summary."""


@dataclass(frozen=True)
class Remark:
    """One finding: how bad it is, its headline, and more about it, lines of plain text."""

    level: Literal["error", "warning", "notice"]
    headline: str
    more: str = ""


def format_option(function: FC) -> FC:
    """``--format``, with ``--json`` as a short form where the command has it."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(get_args(Format)),
        default="text",
        help="markdown: for a comment. github: text, an annotation for each finding, and Markdown in the job's "
        "summary where GITHUB_STEP_SUMMARY names it.",
    )(function)


def markdown(title: str, remarks: Sequence[Remark]) -> str:
    """A heading, and an item for each finding, with what more there is of it as it is."""
    lines = [f"## {title}", ""]
    for number, remark in enumerate(remarks, 1):
        bold = "**" if remark.level == "error" else ""
        lines.append(f"{number}. {bold}{_escaped(remark.headline)}{bold}")
        if remark.more:
            # Longer than any fence inside.
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", remark.more)), default=0))
            lines += ["", f"   {fence}text", *(f"   {line}" for line in remark.more.splitlines()), f"   {fence}", ""]
    return "\n".join(lines).rstrip() + "\n"


def present(form: Format, title: str, remarks: Sequence[Remark], text: Callable[[], None]) -> None:
    """Print findings in a form; ``text`` prints them for people. JSON is each command's own."""
    if form == "markdown":
        click.echo(markdown(title, remarks), nl=False)
        return
    text()
    if form != "github":
        return
    for remark in remarks:
        message = f"{remark.headline}\n{remark.more}".strip()
        click.echo(f"::{remark.level} title={_property(title)}::{_data(message)}")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(markdown(title, remarks) + "\n")
        except OSError as error:
            fail(f"cannot write the job's summary, which GITHUB_STEP_SUMMARY says is {summary}: {error.strerror}")


def _escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in text)


def _data(text: str) -> str:
    """A message as a workflow command takes it: on one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
