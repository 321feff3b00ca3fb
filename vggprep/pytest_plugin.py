"""The pytest plugin: ``pytest --implementation TARGET`` and ``parametrize_with_checks``.

Only the options are defined when pytest starts; everything else is imported when an option is used. An
implementation is judged once in each process, whole, and each item shows one check of it: so the verdicts and the
rows are those of ``vggprep check``, and the staleness of a ledger is seen over all checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vggprep.checks import Check
    from vggprep.conformance.ledger import Entry
    from vggprep.conformance.results import Report, Result
    from vggprep.implementations import Implementation

_PROPERTY = "vggprep"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("vggprep", "conformance of ImageNet preprocessing")
    group.addoption(
        "--implementation",
        action="append",
        default=[],
        metavar="TARGET",
        help="judge an implementation of preprocess_input, such as keras or module:function (repeatable)",
    )
    group.addoption(
        "--implementation-level",
        choices=["exact", "faithful"],
        default=None,
        help="the level to judge --implementation at",
    )
    group.addoption(
        "--implementation-mode",
        action="append",
        default=[],
        metavar="MODE",
        help="the mode to judge --implementation in: a name or a configuration file (repeatable)",
    )
    group.addoption(
        "--implementation-profile",
        choices=["dev", "ci", "nightly"],
        default="dev",
        help="how Hypothesis explores: dev, 40 cases, always the same, after what the example database holds; ci, 400 "
        "cases, always the same; nightly, 4,000 others each time, saved in the database if they fail",
    )
    group.addoption(
        "--implementation-report",
        metavar="FILE.jsonl",
        default=None,
        help="write every result of --implementation as JSON Lines",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect notes and rows where tests are reported: not in the workers of xdist."""
    if not config.getoption("--implementation", []):
        return
    if not config.pluginmanager.hasplugin("xdist"):
        config.addinivalue_line("markers", "xdist_group(name): items for one worker of pytest-xdist")
    if hasattr(config, "workerinput"):
        return
    path = config.getoption("--implementation-report", None)
    if path and not Path(path).resolve().parent.is_dir():
        raise pytest.UsageError(f"--implementation-report: there is no folder {Path(path).parent}")
    config.pluginmanager.register(_Reporter(Path(path) if path else None), "vggprep-report")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one item for each implementation and check."""
    targets = config.getoption("--implementation", [])
    if not targets:
        return
    from vggprep.implementations.targets import TargetError, load

    level = config.getoption("--implementation-level")
    _modes(config)  # known before targets are loaded
    for target in dict.fromkeys(targets):
        try:
            found = load(target, level=level)
        except TargetError as error:
            raise pytest.UsageError(str(error)) from error
        for implementation in found:
            items.extend(
                _Item.from_parent(
                    session,
                    name=f"{implementation.name}::{check.name}",
                    nodeid=f"vggprep::{implementation.name}::{check.name}",
                    implementation=implementation,
                    check=check,
                )
                for check in _concerned(implementation)
            )


def _concerned(implementation: Implementation) -> list[Check]:
    """The checks that can have anything to say about an implementation."""
    from vggprep.checks import CHECKS

    present = {
        direction
        for direction, function in (("forward", implementation.preprocess), ("inverse", implementation.deprocess))
        if function is not None
    }
    return [check for check in CHECKS if present & set(check.directions)]


class _Item(pytest.Item):
    """One check of one implementation."""

    def __init__(self, *, implementation: Implementation, check: Check, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.implementation, self.check = implementation, check
        self.add_marker(pytest.mark.xdist_group(implementation.name))

    def runtest(self) -> None:
        from vggprep.conformance.report import head

        profile = self.config.getoption("--implementation-profile")
        report = _judge(self.implementation, None, profile, _modes(self.config))
        rows = [result for result in report.results if result.check == self.check.name]
        wanted = rows if self.config.getoption("--implementation-report") else []
        self.user_properties.append((_PROPERTY, {"head": head(report), "rows": [asdict(row) for row in wanted]}))
        refused = [row for row in rows if row.status == "refused"]
        if refused and len(refused) == len(rows):
            self.add_report_section("call", "vggprep", f"refused in all {len(rows)} cells: {refused[0].message}")
        _show(report, rows)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The causes, not a traceback through the suite."""
        if isinstance(excinfo.value, _NonConformance):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[str, None, str]:
        """How pytest names the item."""
        return ("vggprep", None, f"{self.implementation.name}: {self.check.name}")


class _NonConformance(AssertionError):
    """A check failed; the message is the report."""


def _show(report: Report, rows: Sequence[Result]) -> None:
    """Turn the rows of a check into pytest's outcomes."""
    __tracebackhide__ = True
    from vggprep.conformance.report import cause_text, causes, verdict

    crashed = [row for row in rows if row.status == "error"]
    if crashed:
        advice = "this is a fault of vggprep: please report it"
        raise _NonConformance(f"{crashed[0].message}\n{advice}\n{crashed[0].traceback}")
    if any(row.status == "failed" for row in rows):
        text = "\n".join(f"{n}. {cause_text(group)}" for n, group in enumerate(causes(rows), 1))
        raise _NonConformance(f"{report.implementation.name}, level {report.implementation.level}:\n{text}")
    if not report.conforms and all(row.status not in ("failed", "error") for row in report.results):
        raise _NonConformance(verdict(report) + "".join(f"\n{note}" for note in report.notes))
    known = list(dict.fromkeys(row.diagnosis for row in rows if row.status == "known"))
    if known:
        pytest.xfail("; ".join(known))
    if all(row.status == "skipped" for row in rows):
        pytest.skip(rows[0].message if rows else "nothing to judge")


_REPORTS: dict[int, tuple[Implementation, Sequence[Entry] | None, Report]] = {}


def _modes(config: pytest.Config) -> tuple[str, ...] | None:
    """The modes asked for; a wrong one is a usage error."""
    words = config.getoption("--implementation-mode", [])
    if not words:
        return None
    import click

    from vggprep.cli.common import mode_named
    from vggprep.errors import VggprepError

    try:
        return tuple(map(mode_named, words))
    except (click.ClickException, VggprepError) as error:
        raise pytest.UsageError(f"--implementation-mode: {getattr(error, 'message', error)}") from error


def _judge(
    implementation: Implementation,
    known: Sequence[Entry] | None,
    profile: str = "dev",
    modes: tuple[str, ...] | None = None,
) -> Report:
    """Judge an implementation once in this process; ``known`` as in ``judging.judge``."""
    from vggprep.conformance.engine import Selection
    from vggprep.conformance.judging import judge

    found = _REPORTS.get(id(implementation))
    if found is None or found[1] is not known:
        found = implementation, known, judge(implementation, known=known, selection=Selection(modes), profile=profile)
        if found[2].interrupted:
            raise KeyboardInterrupt
        _REPORTS[id(implementation)] = found
    return found[2]


def parametrize_with_checks(
    implementations: Sequence[Implementation | Callable[..., Any]],
    *,
    expected_failures: Mapping[str, str] | Sequence[Any] | None = None,
) -> pytest.MarkDecorator:
    """Parametrize a test over implementations and checks; for people who keep their own test file.

    The test takes ``implementation`` and ``check`` and calls ``check(implementation)``:

    >>> import vggprep
    >>> @vggprep.parametrize_with_checks([vggprep.preprocess_input])
    ... def test_conformance(implementation, check):
    ...     check(implementation)

    Args:
        implementations: ``Implementation`` objects, or functions for the forward direction.
        expected_failures: as for ``check_implementation``; an expected failure is an xfail.
    """
    from vggprep.conformance.ledger import expected
    from vggprep.implementations import named

    entries = None if expected_failures is None else expected(expected_failures)
    parameters = []
    for implementation in map(named, implementations):
        parameters += [
            pytest.param(implementation, _Checker(check, entries), id=f"{implementation.name}-{check.name}")
            for check in _concerned(implementation)
        ]
    return pytest.mark.parametrize(("implementation", "check"), parameters)


class _Checker:
    """What a parametrized test gets as ``check``."""

    def __init__(self, check: Check, entries: Sequence[Entry] | None) -> None:
        self.name = check.name
        self.sentence = check.sentence
        self._entries = entries

    def __call__(self, implementation: Implementation) -> None:
        __tracebackhide__ = True
        report = _judge(implementation, self._entries)
        _show(report, [result for result in report.results if result.check == self.name])


class _Reporter:
    """Gathers notes and rows from the test reports, which come here from xdist's workers, too."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.heads: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == _PROPERTY and isinstance(value, dict):
                self.heads.setdefault(value["head"]["name"], value["head"])
                self.rows += value["rows"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        from vggprep.conformance.report import guess

        for head in self.heads.values():
            for direction, mode in head["guessed"].items():
                line = guess(direction, mode, len(head["guessed"]) > 1)
                terminalreporter.write_line(f"{head['name']}: {line}", bold=True, yellow=True)
            for note in head["notes"]:
                terminalreporter.write_line(f"{head['name']}: note: {note}")

    def pytest_sessionfinish(self) -> None:
        if self.path is not None:
            from vggprep.conformance.report import write_rows

            write_rows(self.path, list(self.heads.values()), self.rows)
