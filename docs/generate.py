"""What follows from the code in docs/reference.md and docs/specification.md. ``python docs/generate.py`` writes it.

Each table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``, where ``NAME`` is a function below, whose
arguments may follow. ``--check`` writes nothing and exits with 1 if a table is out of date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

import vggprep
from vggprep import cases, oracle, tolerance
from vggprep.checks import CHECKS
from vggprep.cli import VERBS
from vggprep.conformance import ledger
from vggprep.conformance.profiles import PROFILES
from vggprep.conformance.words import WORDS
from vggprep.faults import FAULTS
from vggprep.spec import DATA_FORMATS, DIRECTIONS, DTYPES, FLOATS, INTEGERS, MODES, RANKS, Direction, Mode, Step
from vggprep.specification import CLAUSES, VERSION

HERE = Path(__file__).parent
PAGES = (HERE / "reference.md", HERE / "specification.md")
_BLOCK = re.compile(r"(<!-- generated: (\w+)((?: \w+)*) -->\n).*?(<!-- end -->)", flags=re.S)


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
    rows = (
        (f"`{check.name}`", check.sentence, " and ".join(check.directions), check.domain, ", ".join(check.clauses))
        for check in CHECKS
    )
    return _table(("check", "what must hold", "direction", "dtypes", "clauses"), rows)


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


def coverage() -> str:
    """Of the combinations of two and of three factors that exist, how many the corpus has."""
    levels: dict[str, Sequence[object]] = {
        "mode": tuple(MODES),
        "data format": DATA_FORMATS,
        "dtype": cases.available_dtypes(),
        "rank": RANKS,
        "layout": cases.LAYOUTS,
        "values": cases.REGIMES,
        "size": tuple(cases.SIZES),
    }
    rows = []
    for direction in DIRECTIONS:
        met = {
            (c.mode, c.data_format, c.dtype, c.rank, c.layout, c.regime, c.size)
            for c in cases.corpus()
            if c.direction == direction
        }
        fields = [direction]
        for count in (2, 3):
            had = possible = 0
            for chosen in combinations(range(len(levels)), count):
                had += len({tuple(case[i] for i in chosen) for case in met})
                names = [tuple(levels)[i] for i in chosen]
                given = (dict(zip(names, row, strict=True)) for row in product(*(levels[n] for n in names)))
                possible += sum(_exists(direction, row) for row in given)
            fields.append(f"{had:,} of {possible:,} ({100 * had / possible:.3g} %)")
        rows.append(fields)
    return _table(("direction", "pairs", "triples"), rows)


def _exists(direction: Direction, row: dict[str, Any]) -> bool:
    """Whether there can be a case with these.

    A batch of one image broadcast has more than one pixel; an empty image has neither values nor a layout.
    """
    layout, regime = row.get("layout", "c"), row.get("values", "bytes")
    if row.get("size") == "empty" and (layout, regime) != ("c", "bytes"):
        return False
    if layout == "repeated" and (row.get("rank") == 3 or row.get("size") == "one pixel"):
        return False
    dtypes = [row["dtype"]] if "dtype" in row else cases.available_dtypes()
    return any(regime in cases.regimes(direction, d) and cases.has_layout(d, layout) for d in dtypes)


def signatures() -> str:
    """The public functions as they are called."""
    functions = [name for name in vggprep.__all__ if inspect.isfunction(getattr(vggprep, name))]
    lines = [f"vggprep.{name}{_plain_signature(getattr(vggprep, name))}" for name in functions]
    return "```python\n" + "\n".join(lines) + "\n```\n"


def _plain_signature(function: Callable[..., Any]) -> str:
    given = inspect.signature(function)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in given.parameters.values()]
    return str(given.replace(parameters=plain, return_annotation=inspect.Signature.empty))


# The specification --------------------------------------------------------------------------------------------------


def version() -> str:
    """The version of the specification."""
    return f"Version {VERSION}.\n"


def clauses(*groups: str) -> str:
    """The clauses whose identifiers have these words."""
    chosen = [clause for clause in CLAUSES if clause.id.split("-")[1] in groups]
    return "\n".join(f"**{c.id}.** {c.sentence}{f' *{c.reason}*' if c.reason else ''}\n" for c in chosen)


_DOES = {"divide": "÷", "multiply": "×", "subtract": "−", "add": "+"}


def _operations(direction: Direction, mode: str) -> list[tuple[oracle.Operation, ...]]:
    return [oracle.operations(direction, mode, channel) for channel in range(3)]


def _does(steps: Sequence[oracle.Operation]) -> str:
    constants = dict.fromkeys(f"{float(step.constant):g}" for step in steps)
    return f"{_DOES[steps[0].operation]} {', '.join(constants)}"


def definitions() -> str:
    """Keras's modes: order, and the steps in both directions."""
    rows = []
    for mode in MODES.values():
        ways = ["; ".join(map(_does, zip(*_operations(direction, mode.name), strict=True))) for direction in DIRECTIONS]
        rows.append((f"`{mode.name}`", mode.channel_order, *(way or "nothing" for way in ways)))
    return _table(("mode", "channels of the result", "forward", "back"), rows)


def formats() -> str:
    """The formats that are computed in."""
    rows = (
        (
            f"`{name}`",
            str(f.precision),
            f"2^-{f.precision}",
            f"{f.emin} to {f.emax}",
            f"2^{int(np.log2(tolerance.limit(name)))}",
        )
        for name, f in oracle.FORMATS.items()
    )
    return _table(("format", "significant bits", "`u`", "exponents", "largest magnitude that the bound is for"), rows)


@cache
def interchange() -> str:
    """The most that a byte can be off after any conforming forward function and inverse, in grey levels."""
    rows = []
    for name in ("float64", "float32", "float16", "bfloat16"):
        u = Fraction(1, 1 << oracle.FORMATS[name].precision)
        worst = [max(_way_there_and_back(u, mode, k, b) for k in range(3) for b in (0, 255)) for mode in MODES]
        rows.append((f"`{name}`", *(f"{float(w):.3g}" for w in worst), "yes" if max(worst) < Fraction(1, 2) else "no"))
    return _table(("format", *(f"`{mode}`" for mode in MODES), "below half a level"), rows)


def _way_there_and_back(u: Fraction, mode: str, channel: int, byte: int) -> Fraction:
    """The bound of the forward direction, carried back, and that of the inverse. Both are greatest for some end."""
    bound = tolerance.FAITHFUL_BOUND * u
    there = bound * oracle.one_magnitude(byte, "forward", mode, channel) if MODES[mode].steps else Fraction(0)
    value = oracle.one_real(byte, "forward", mode, channel)
    slope = oracle.one_real(1, "inverse", mode, channel) - oracle.one_real(0, "inverse", mode, channel)
    # |y| + there, with exact fractions: one_magnitude takes anything that is a number.
    back = bound * oracle.one_magnitude(abs(value) + there, "inverse", mode, channel)  # type: ignore[arg-type]
    return slope * there + back


@cache
def separation() -> str:
    """Of the wrong constants of the gallery, those nearest to right: how far off bytes are at most, and at least."""
    rows = []
    for fault in FAULTS:
        for name, wrong in fault.rows.items():
            right = MODES[name]
            if wrong.order != right.order:
                continue  # told by colours, not by the size of an error
            units = _errors_of_bytes(right, wrong, fault.direction)
            if not units.any():
                continue  # another way of writing the same mode
            rows.append((float(units.max()), fault.name, name, float(units[units > 0].min())))
    shown = sorted(rows)[:6]
    half = 2.0 ** (oracle.FORMATS["float16"].precision - oracle.FORMATS["float32"].precision)
    return _table(
        ("fault", "mode", "largest error, `u·S` in float32", "smallest that is not 0", "largest, `u·S` in float16"),
        (
            (f"`{fault}`", f"`{mode}`", f"{most:.4g}", f"{least:.3g}", f"{most * half:.2g}")
            for most, fault, mode, least in shown
        ),
    )


def _errors_of_bytes(right: Mode, wrong: Mode, direction: Direction) -> np.ndarray[Any, np.dtype[np.float64]]:
    """In ``u·S`` of float32, of the formulas in real numbers: shape ``(256, 3)``."""
    image = np.arange(256.0)[:, None].repeat(3, axis=1)
    x = image if direction == "forward" else _through(right.steps, image)
    target = _through(right.steps, image) if direction == "forward" else image
    got = _through(wrong.steps, x) if direction == "forward" else _back(wrong.steps, x)
    scale = np.stack([oracle.real_plane(x[:, k], direction, right.name, k)[1] for k in range(3)], axis=-1)
    wrong = np.abs(got - target) > 2e-14 * scale  # else equal, but for the rounding of float64
    units = np.divide(np.abs(got - target), scale, out=np.zeros(scale.shape), where=wrong)
    return units / oracle.FORMATS["float32"].unit_roundoff


_NUMPY = {"divide": np.divide, "multiply": np.multiply, "subtract": np.subtract, "add": np.add}
_UNDONE = {"divide": "multiply", "multiply": "divide", "subtract": "add", "add": "subtract"}


def _through(steps: Iterable[Step], values: Any) -> Any:
    for step in steps:
        values = _NUMPY[step.operation](values, np.array(step.constants, np.float64))
    return values


def _back(steps: Sequence[Step], values: Any) -> Any:
    for step in reversed(steps):
        values = _NUMPY[_UNDONE[step.operation]](values, np.array(step.constants, np.float64))
    return values


GENERATED: dict[str, Callable[..., str]] = {
    make.__name__: make
    for make in (
        verbs, checks, findings, profiles, ledgers, report_header, report_result, manifest_vector, manifest_file,
        dtypes, coverage, signatures, version, clauses, definitions, formats, interchange, separation,
    )
}  # fmt: skip


def generate(text: str) -> str:
    """A page with every table as the code has it."""
    return _BLOCK.sub(lambda block: block[1] + GENERATED[block[2]](*block[3].split()) + block[4], text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only compare them; the exit code."""
    outdated = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = generate(before)
        if "--check" not in arguments:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            print(f"{page.name} is out of date; run: python docs/{Path(__file__).name}", file=sys.stderr)
            outdated = 1
    return outdated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
