"""The one door: the command line, ``check_implementation`` and the pytest plugin all judge through ``judge``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

from vggprep import html
from vggprep.conformance import ledger
from vggprep.conformance.engine import EVERYTHING, Selection, run
from vggprep.conformance.rehearsal import rehearse
from vggprep.conformance.report import cause_text, causes, failure_text, headlines, verdict
from vggprep.conformance.results import Report, Result, summary
from vggprep.implementations import Implementation, named
from vggprep.implementations.advice import recognised
from vggprep.spec import definitions


def judge(
    implementation: Implementation | Callable[..., Any],
    *,
    known: Sequence[ledger.Entry] | None = None,
    selection: Selection = EVERYTHING,
    profile: str = "dev",
    examples: int | None = None,
    seed: int | None = None,
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> Report:
    """Judge an implementation.

    ``known``: the deviations to excuse; ``None`` for those that ship with vggprep, which are all of Keras's. Of
    either, only the entries for the installed release count. ``examples``: of ``profile``, another number.
    """
    implementation = named(implementation)
    try:
        implementation, advice = recognised(implementation)
    except KeyboardInterrupt:
        return Report(implementation, [], interrupted=True)
    applicable = ledger.applicable(known, implementation.name)
    rehearse(implementation, selection=selection, progress=progress)
    report = run(
        implementation,
        ledger=applicable.entries,
        tolerate_stale=bool(applicable.borrowed_from),
        selection=selection,
        profile=profile,
        examples=examples,
        seed=seed,
        progress=progress,
    )
    judged = {(result.check, result.cell) for result in report.results if result.status not in ("refused", "skipped")}
    ending = ledger.ending(applicable.entries, implementation.name, judged, date.today())
    notes = [*map(str, advice), *report.notes, *filter(None, [applicable.note]), *ending, *_unknown_names(report)]
    return replace(report, notes=notes)


def _unknown_names(report: Report) -> Iterator[str]:
    """What to do about modes that are not Keras's whose names the function refuses."""
    for mode in definitions(result.mode for result in report.results):
        found = {result.finding or result.status for result in report.results if result.mode == mode.name}
        if found <= {"refused", "claim"}:
            yield (
                f"refuses mode={mode.name!r}: a function with a parameter mode is given the name of a mode; if it does "
                "this one in another way, wrap it in a function of the image alone"
            )


class Results(list[Result]):
    """The results of ``check_implementation``; ``report`` is what they belong to, and ``repr`` its verdict."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.results)
        self.report = report

    def __repr__(self) -> str:
        return "\n".join([*headlines(self.report), verdict(self.report)])

    def _repr_html_(self) -> str:
        """For notebooks: the verdict, the table of checks, and each cause to open."""
        told = [cause_text(group) for group in causes(self.report.results)]
        shown = [html.folded(f"{n}. {text.splitlines()[0]}", text) for n, text in enumerate(told, 1)]
        return "".join([html.lines(repr(self)), summary(self.report.results, ""), *shown])


def check_implementation(
    implementation: Implementation | Callable[..., Any],
    *,
    expected_failures: Mapping[str, str] | Sequence[Any] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
    examples: int | None = None,
    seed: int | None = None,
) -> Results:
    """Judge an implementation of ``preprocess_input``, of its inverse, or of both.

    Args:
        implementation: an ``Implementation``, or a function for the forward direction.
        expected_failures: ``{check: reason}``, or a list of ledger entries (mappings with ``check``, ``reason``
            and optionally ``mode``, ``data_format``, ``dtype``, ``rank``, ``releases``). One that no longer fails is a
            failure. By default the ledger that ships with vggprep, which covers Keras only.
        on_fail: ``"raise"`` one ``AssertionError`` after all checks, ``"warn"``, or ``None``.
        examples: how many cases Hypothesis draws on top of the corpus; 0 for none.
        seed: makes Hypothesis draw other cases; by default they are the same every time.

    Returns:
        One result for each (check, mode, data_format, dtype, rank), in a list that prints as the verdict.

    >>> import vggprep
    >>> results = vggprep.check_implementation(vggprep.preprocess_input, examples=0)
    >>> {result.status for result in results} <= {"passed", "skipped"}
    True
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f'on_fail must be "raise", "warn" or None; got {on_fail!r}')
    known = None if expected_failures is None else ledger.expected(expected_failures)
    report = judge(implementation, known=known, examples=examples, seed=seed)
    if report.interrupted:
        raise KeyboardInterrupt
    if not report.conforms and on_fail is not None:
        text = failure_text([report])
        if on_fail == "raise":
            raise AssertionError(text)
        warnings.warn(text, stacklevel=2)
    return Results(report)
