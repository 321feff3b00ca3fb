"""Mutants of the code that judges against its own tests: ``python -m mutation own``.

A sample: mutants are drawn by a seed, from each module in turn, until the time is over. One process collects the tests;
for each mutant a fork of it puts the mutant's code into the function and runs the tests that reach the function, the
fastest first, until one fails. A mutant that takes ten times as long as its tests take otherwise is noticed as well.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mutation import Mutant, mutants
from vggprep.files import replacing

ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).parent / "own.jsonl"
"""The results: first a line with the seed and how many mutants each module has, then one line for each mutant."""

_CONFORMANCE = ("engine", "judging", "report", "ledger", "results", "exploration")
MODULES = (
    "vggprep.oracle",
    "vggprep.tolerance",
    *(f"vggprep.checks.{name}" for name in ("check", "contract", "inverse", "subject", "symmetries", "values")),
    *(f"vggprep.conformance.{name}" for name in _CONFORMANCE),
)
TESTS = (
    "test_oracle.py",
    "test_tolerance.py",
    "checks",
    *(f"conformance/test_{n}.py" for n in (*_CONFORMANCE[:4], "errors", "exploration")),
)

_MOST = 12.0
"""Seconds of tests for one mutant: of those that reach its function, the fastest."""


class Own(NamedTuple):
    """A mutant of one of our functions; ``name`` tells it from all others."""

    name: str
    module: str
    function: Any
    mutant: Mutant


def functions(module: str) -> Iterator[tuple[str, Any]]:
    """The functions and methods that a module defines, caches, properties and the like taken off."""
    found = importlib.import_module(module)
    for node in ast.parse(Path(str(found.__file__)).read_text(encoding="utf-8")).body:
        owner, inside = (vars(found)[node.name], node.body) if isinstance(node, ast.ClassDef) else (found, [node])
        for each in inside:
            if isinstance(each, ast.FunctionDef):
                function = vars(owner)[each.name]
                for wrapped in ("fget", "__func__", "__wrapped__", "judge"):
                    function = getattr(function, wrapped, function)
                if hasattr(function, "__code__"):
                    yield (each.name if owner is found else f"{node.name}.{each.name}"), function  # type: ignore[attr-defined]


def every(module: str) -> list[Own]:
    """All mutants of a module."""
    return [
        Own(f"{qualified}:{mutant.name.partition(':')[2]}", module, function, mutant)
        for qualified, function in functions(module)
        for mutant in mutants(function)
    ]


def drawn(seed: int) -> tuple[dict[str, int], list[Own]]:
    """How many mutants each module has, and all in the order in which they are judged: of each module in turn."""
    by_module = {module: every(module) for module in MODULES}
    shuffled = [random.Random(seed).sample(found, len(found)) for found in by_module.values()]
    return {m: len(found) for m, found in by_module.items()}, [o for row in zip_longest(*shuffled) for o in row if o]


def install(own: Own) -> None:
    """Put the mutant in the place of its function, for good."""
    warnings.simplefilter("ignore", SyntaxWarning)
    definition, function = own.mutant.definition, own.function
    function.__code__ = own.mutant.code()
    if function.__defaults__:
        function.__defaults__ = own.mutant.defaults(function.__globals__)
    if function.__kwdefaults__:
        given = {a.arg: d for a, d in zip(definition.args.kwonlyargs, definition.args.kw_defaults, strict=True) if d}
        values = {name: eval(ast.unparse(value), function.__globals__) for name, value in given.items()}
        function.__kwdefaults__ = values


# In pytest ----------------------------------------------------------------------------------------------------------


class Judge:
    """A plugin of pytest that runs no test itself, but forks to run some of them for each mutant."""

    def __init__(self, seed: int, seconds: float, workers: int) -> None:
        self.seed, self.end, self.workers = seed, time.monotonic() + seconds, workers

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests."""
        counts, order = drawn(self.seed)
        head = {"seed": self.seed, "mutants": counts}
        known = read(KEPT)
        done = {(row["module"], row["name"]): row for row in known[1]} if known[0] == head else {}
        measured = _reached(session.items)
        left = [own for own in order if (own.module, own.name) not in done]
        running: dict[int, tuple[Own, float]] = {}
        while running or (left and time.monotonic() < self.end):
            while left and len(running) < self.workers and time.monotonic() < self.end:
                own = left.pop(0)
                code = own.function.__code__
                tests = sorted(measured[f"{code.co_filename}:{code.co_firstlineno}"], key=lambda test: test[1])
                chosen, total = [], 0.0
                for number, seconds in tests:
                    total += seconds
                    if total <= _MOST:
                        chosen.append(session.items[number])
                running[_forked(own, chosen, 10 + 10 * min(total, _MOST))] = own, time.monotonic()
            process, status = os.wait()
            own, _ = running.pop(process)
            done[own.module, own.name] = {"module": own.module, "name": own.name, "noticed": _words(status)}
            kept = [done[o.module, o.name] for o in order if (o.module, o.name) in done]
            with replacing(KEPT) as file:
                file.write("".join(json.dumps(line) + "\n" for line in (head, *kept)))
            print(f"\r{len(done)} of {len(order)} mutants", end="", file=sys.stderr, flush=True)
        return True


def _words(status: int) -> str:
    """Who noticed, of how a fork ended; empty for nobody."""
    if os.WIFSIGNALED(status):
        return "time"
    return {0: "", 1: "test"}[os.WEXITSTATUS(status)]


def _forked(own: Own, items: Sequence[pytest.Item], limit: float) -> int:
    """Run tests in a fork with a mutant in place; return its process id. It ends with 1 if a test fails."""
    process = os.fork()
    if process:
        return process
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit),) * 2)  # a fork begins at 0
    signal.alarm(int(60 * limit))  # what waits for ever uses no time of the processor
    _quiet()
    try:
        install(own)
        _run(items)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


class _Stop:
    """Ends the run at the first failure."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of each phase of each test."""
        if report.failed:
            os._exit(1)


def _run(items: Sequence[pytest.Item]) -> None:
    for item, following in zip_longest(items, items[1:]):
        if item is items[0]:
            item.config.pluginmanager.register(_Stop())
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _reached(items: Sequence[pytest.Item]) -> Mapping[str, list[tuple[int, float]]]:
    """For each function, as file and line, the tests that call it: their numbers and how long they take."""
    files = {str(importlib.import_module(module).__file__) for module in MODULES}
    content = hashlib.sha256()
    for path in sorted([*(ROOT / "vggprep").rglob("*.py"), *{item.path for item in items}]):
        content.update(path.read_bytes())
    kept = ROOT / "build" / "mutation" / f"reached-{content.hexdigest()[:16]}.json"
    if kept.exists():
        return defaultdict(list, json.loads(kept.read_text(encoding="utf-8")))
    reader, writer = os.pipe()
    if not (process := os.fork()):
        os.close(reader)
        _quiet()
        with os.fdopen(writer, "w") as pipe:
            for number, item in enumerate(items):
                _forget()
                calls: set[str] = set()

                def note(frame: Any, event: str, _: Any, calls: set[str] = calls) -> None:
                    if event == "call" and frame.f_code.co_filename in files:
                        calls.add(f"{frame.f_code.co_filename}:{frame.f_code.co_firstlineno}")

                started = time.process_time()
                threading.setprofile(note)
                sys.setprofile(note)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=(*items, None)[number + 1])
                sys.setprofile(None)
                pipe.write(json.dumps([number, time.process_time() - started, sorted(calls)]) + "\n")
        os._exit(0)
    os.close(writer)
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with os.fdopen(reader) as pipe:
        for line in pipe:
            number, seconds, calls = json.loads(line)
            for place in calls:
                found[place].append((number, seconds))
            print(f"\r{number + 1} of {len(items)} tests measured", end="", file=sys.stderr, flush=True)
    os.waitpid(process, 0)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _forget() -> None:
    """Empty the caches, so that every test calls what it needs."""
    for name in [name for name in sys.modules if name.startswith("vggprep")]:
        for value in list(vars(sys.modules[name]).values()):
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


def judge(seed: int, minutes: float, workers: int) -> None:
    """Judge mutants until the time is over; those of earlier runs with the same seed and code are not judged again."""
    os.chdir(ROOT)
    where = [str(ROOT / "tests" / name) for name in TESTS]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main([*options, *where], [Judge(seed, 60 * minutes, workers)])


# The page -----------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The kept results: the seed with the counts, and the rows."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return (lines[0], lines[1:]) if lines else ({}, [])


REASONS: Mapping[str, str] = json.loads((Path(__file__).parent / "own_reasons.json").read_text(encoding="utf-8"))
"""Why a mutant that no test notices does the same, or does no harm; or the test that notices it since."""


KINDS: Mapping[str, str] = {
    "noticed by": "are noticed by other tests than those of the module, or by slower ones",
    "noticed since": "are noticed by tests that were written for them",
    "does the same": "do the same",
    "harmless": "do something else that no verdict depends on",
    "not explained": "are not explained",
}


def report(head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The generated part of the page about vggprep's own mutants."""
    lines = ["| module | mutants | drawn | noticed | not noticed |", "|---|--:|--:|--:|--:|"]
    for module in (*head["mutants"], "all"):
        those = [row for row in rows if module in (row["module"], "all")]
        seen, whole = (
            sum(bool(row["noticed"]) for row in those),
            head["mutants"].get(module, sum(head["mutants"].values())),
        )
        name = module if module == "all" else f"`{module}`"
        lines.append(f"| {name} | {whole:,} | {len(those):,} | {seen:,} | {len(those) - seen} |")
    seen, whole = sum(bool(row["noticed"]) for row in rows), sum(head["mutants"].values())
    lines += [
        "",
        f"Seed {head['seed']}: {len(rows):,} of {whole:,} mutants, {len(rows) / whole:.1%}; "
        f"{seen} are noticed. Of the others, all of which were read:",
        "",
    ]
    missed = [f"{row['module'].removeprefix('vggprep.')}.{row['name']}" for row in rows if not row["noticed"]]
    reasons = {name: REASONS.get(name, "not explained") for name in missed}
    for kind, words in KINDS.items():
        names = [name for name in missed if reasons[name].startswith(kind)]
        if names:
            lines += [f"{len(names)} {words}:", "", *(f"- `{name}`: {reasons[name]}" for name in names), ""]
    return "\n".join(lines)
