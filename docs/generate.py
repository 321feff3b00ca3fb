"""``python docs/generate.py``: write the tables of docs/reference.md anew from the code.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; NAME is a key of ``TABLES``.
``tests/test_docs.py`` fails while the page and the code differ.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import vggprep
from vggprep.checks import CHECKS
from vggprep.cli import VERBS
from vggprep.conformance.exploration import PROFILES
from vggprep.conformance.ledger import Entry
from vggprep.conformance.results import STATUSES, Result
from vggprep.conformance.words import WORDS
from vggprep.faults import FAULTS

PAGE = Path(__file__).resolve().parent / "reference.md"

_STATUSES: Mapping[str, str] = {
    "passed": "The check ran and found nothing wrong.",
    "failed": "The check found something wrong, or a ledger entry is stale.",
    "refused": "The function raises for this mode, data format, dtype and rank, and does not claim them.",
    "known": "The check failed, and a ledger entry says why.",
    "skipped": "The check could not run; the message says why.",
    "error": "The suite itself crashed; the traceback is in the report.",
}

_RESULT: Mapping[str, str] = {
    "implementation": "name of the implementation",
    "check": "name of the check",
    "mode": "`caffe`, `tf`, `torch` or `identity`",
    "data_format": "`channels_last` or `channels_first`",
    "dtype": "dtype of the input",
    "rank": "3 or 4",
    "status": "see [Statuses](#statuses)",
    "message": "one sentence: what is wrong, or why the check did not run",
    "diagnosis": "the fault that the function behaves like; of a known failure, the reason in the ledger",
    "reproducer": "Python lines that show the failure",
    "worst_levels": "the largest error in grey levels; infinity is the string `inf`",
    "digest": "SHA-256 of the outputs judged",
    "seconds": "time taken",
    "direction": "`forward` or `inverse`",
    "finding": "the kind of what is wrong: see [Kinds of findings](#kinds-of-findings)",
    "cause": "equal for failures with the same cause",
    "example": "what the reproducer calls the function on: `pixel`, `arguments` or `case`",
    "traceback": "of a crash of the suite itself",
}

_LEDGER: Mapping[str, str] = {
    "check": "check or list of checks; mandatory",
    "reason": "why the failure is expected; mandatory",
    "implementation": "name or list of names, such as `keras:tensor`",
    "mode": "mode or list",
    "data_format": "data format or list",
    "dtype": "dtype or list",
    "rank": "3 or 4, or list",
    "releases": "releases of Keras that the entry is about",
    "link": "where the deviation is reported or discussed",
}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _described(names: Iterable[str], meanings: Mapping[str, str], head: tuple[str, str]) -> str:
    """A table of names that the code has, each with its meaning; a name without one, or the reverse, is an error."""
    names = list(names)
    if set(names) != set(meanings):
        raise SystemExit(f"docs/generate.py: describe {sorted(set(names) ^ set(meanings))}, or drop them")
    return _table(head, ([f"`{name}`", meanings[name]] for name in names))


def checks() -> str:
    """Every check with its sentence, what it judges, and how many faults it must catch."""
    faults = Counter(fault.caught_by for fault in FAULTS)
    dtypes = {"all": "all", "integers": "integers", "floats": "floats"}
    rows = (
        [f"`{c.name}`", c.sentence, " and ".join(c.directions), dtypes[c.domain], str(faults[c.name])] for c in CHECKS
    )
    return _table(("check", "what must hold", "function", "dtypes", "faults"), rows)


def statuses() -> str:
    """Every status."""
    return _described(STATUSES, _STATUSES, ("status", "meaning"))


def findings() -> str:
    """Every kind of finding with its sentence."""
    rows = ([f"`{kind}`", f"`{words.sentence}`"] for kind, words in WORDS.items())
    return _table(("kind", "sentence; the names in braces are filled in"), rows)


def profiles() -> str:
    """Every profile of exploration."""
    rows = (
        [
            f"`{name}`",
            f"{profile.examples:,}",
            "new in every run, and failures are saved" if profile.random else "the same in every run",
            "first" if profile.replay else "not read",
        ]
        for name, profile in PROFILES.items()
    )
    return _table(("profile", "cases, each direction", "which", "example database"), rows)


def ledger() -> str:
    """Every key of a ledger entry."""
    return _described((field.name for field in fields(Entry)), _LEDGER, ("key", "meaning"))


def result() -> str:
    """Every field of a result."""
    return _described((field.name for field in fields(Result)), _RESULT, ("field", "meaning"))


def verbs() -> str:
    """Every verb of the command line."""
    return _table(("verb", "what it does"), ([f"`{name}`", summary] for name, (_, summary) in VERBS.items()))


def names() -> str:
    """Every public name, with the first line of its docstring."""
    rows = []
    for name in vggprep.__all__:
        value = getattr(vggprep, name)
        documented = callable(value) or name in ("faults", "strategies")
        first = (value.__doc__ or "").strip().partition("\n")[0] if documented else _CONSTANTS[name]
        rows.append([f"`{name}`", first.replace("``", "`")])
    return _table(("name", "what it is"), rows)


_CONSTANTS: Mapping[str, str] = {
    "CHECKS": "The checks, in the order of the report.",
    "MODES": "The four modes by name.",
    "MODELS": "The mode of each module of `keras.applications`.",
}

TABLES: Mapping[str, Callable[[], str]] = {
    "verbs": verbs,
    "checks": checks,
    "statuses": statuses,
    "profiles": profiles,
    "ledger": ledger,
    "result": result,
    "findings": findings,
    "names": names,
}


def generated(page: str) -> str:
    """The page with every table made anew."""

    def table(match: re.Match[str]) -> str:
        return f"{match.group(1)}\n{TABLES[match.group(2)]()}\n{match.group(3)}"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?(<!-- end of table -->)", table, page, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
