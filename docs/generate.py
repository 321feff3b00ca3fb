"""The tables of docs/reference.md that follow from the code. ``python docs/generate.py`` writes them.

Each stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``, where ``NAME`` is a function below. ``--check``
writes nothing and exits with 1 if a table is out of date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import vggprep
from vggprep import oracle
from vggprep.checks import CHECKS
from vggprep.cli import VERBS
from vggprep.conformance import ledger
from vggprep.conformance.exploration import PROFILES
from vggprep.conformance.words import WORDS
from vggprep.spec import DTYPES, FLOATS, INTEGERS

HERE = Path(__file__).parent
PAGE = HERE / "reference.md"
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", flags=re.S)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(field.replace('|', chr(92) + '|') for field in line)} |\n" for line in lines)


def _code(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def verbs() -> str:
    """The verbs of the command line."""
    return _table(("verb", "what it does"), ((f"`{verb}`", summary) for verb, (_, summary) in VERBS.items()))


def checks() -> str:
    """Every check: what it says, of which functions, for which dtypes."""
    rows = ((f"`{check.name}`", check.sentence, " and ".join(check.directions), check.domain) for check in CHECKS)
    return _table(("check", "what must hold", "direction", "dtypes"), rows)


def findings() -> str:
    """Every kind of finding and its sentence."""
    return _table(("kind", "sentence"), ((f"`{kind}`", f"`{words.sentence}`") for kind, words in WORDS.items()))


def profiles() -> str:
    """The profiles of exploration."""
    rows = (
        (
            f"`{name}`",
            f"{profile.examples:,}",
            "new in every run" if profile.random else "the same in every run",
            ("read and written" if profile.random else "read") if profile.replay else "not used",
        )
        for name, profile in PROFILES.items()
    )
    return _table(("profile", "cases for each direction", "which", "example database"), rows)


def ledgers() -> str:
    """The ledgers that ship with vggprep."""
    rows = []
    for path in sorted(Path(ledger.__file__).with_name("ledgers").glob("*.toml")):
        entries = ledger.read(path)
        releases = dict.fromkeys(release for entry in entries for release in entry.releases or ())
        rows.append((f"`{path.stem}`", str(len(entries)), ", ".join(releases)))
    return _table(("ledger", "entries", "releases"), rows)


def _properties(schema: dict[str, Any]) -> str:
    rows = [
        (f"`{name}`" + ("" if name in schema["required"] else " (optional)"), _values(value), value["description"])
        for name, value in schema["properties"].items()
        if name != "kind"
    ]
    return _table(("field", "value", "meaning"), rows)


_DEFINITIONS = {"#/$defs/dtype": "a dtype", "#/$defs/file": "object", "#/$defs/sha256": "string"}


def _values(schema: dict[str, Any]) -> str:
    """The values that a JSON Schema accepts, in words."""
    if "$ref" in schema:
        return _DEFINITIONS[schema["$ref"]]
    if "anyOf" in schema:
        return " or ".join(map(_values, schema["anyOf"]))
    if "type" in schema:
        return str(schema["type"])
    return _code(map(json.dumps, schema.get("enum", [schema.get("const")])))


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def report_header() -> str:
    """The fields of a report's header."""
    return _properties(_schema("report")["$defs"]["header"])


def report_result() -> str:
    """The fields of a result."""
    return _properties(_schema("report")["$defs"]["result"])


def manifest_vector() -> str:
    """The fields of a vector in the manifest."""
    return _properties(_schema("vectors")["$defs"]["vector"])


def manifest_file() -> str:
    """The fields of a pair of files in the manifest."""
    return _properties(_schema("vectors")["$defs"]["file"])


def dtypes() -> str:
    """What each input dtype becomes."""
    rows = [
        (
            f"`{dtype}`",
            "integer" if dtype in INTEGERS else "floating",
            f"`{oracle.computed_dtype(dtype, 'caffe')}`",
            f"`{oracle.computed_dtype(dtype, 'identity')}`",
            "yes" if dtype in FLOATS else "no",
        )
        for dtype in DTYPES
    ]
    return _table(("input", "domain", "result, caffe, tf and torch", "result, identity", "inverses are judged"), rows)


def signatures() -> str:
    """The public functions as they are called."""
    functions = [name for name in vggprep.__all__ if inspect.isfunction(getattr(vggprep, name))]
    lines = [f"vggprep.{name}{_plain_signature(getattr(vggprep, name))}" for name in functions]
    return "```python\n" + "\n".join(lines) + "\n```\n"


def _plain_signature(function: Callable[..., Any]) -> str:
    given = inspect.signature(function)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in given.parameters.values()]
    return str(given.replace(parameters=plain, return_annotation=inspect.Signature.empty))


GENERATED: dict[str, Callable[[], str]] = {
    make.__name__: make
    for make in (
        verbs, checks, findings, profiles, ledgers, report_header, report_result, manifest_vector, manifest_file,
        dtypes, signatures,
    )
}  # fmt: skip


def generate(text: str) -> str:
    """The page with every table as the code has it."""
    return _BLOCK.sub(lambda block: block[1] + GENERATED[block[2]]() + block[3], text)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with ``--check`` only compare it; the exit code."""
    before = PAGE.read_text(encoding="utf-8")
    after = generate(before)
    if "--check" not in arguments:
        PAGE.write_text(after, encoding="utf-8")
    elif before != after:
        print(f"{PAGE.name} is out of date; run: python docs/{Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
