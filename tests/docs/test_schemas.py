"""The JSON Schemas in docs/schemas: the files that vggprep writes are valid, broken ones are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy.typing as npt
import pytest
from jsonschema import Draft202012Validator

from vggprep import Implementation, vectors
from vggprep.checks import Subject
from vggprep.checks.check import check
from vggprep.conformance import report
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.ledger import entry
from vggprep.conformance.results import STATUSES, Example, Report, Result
from vggprep.spec import DATA_FORMATS, DIRECTIONS, DTYPES, LEVELS, RANKS
from vggprep.specification import VERSION

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
Array = npt.NDArray[Any]
Row = dict[str, Any]


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


REPORT, VECTORS = validator("report"), validator("vectors")
HEADER, RESULT, FOOTER = (REPORT.schema["$defs"][kind] for kind in ("header", "result", "footer"))


# Reports ----------------------------------------------------------------------------------------------------------


def floats_only(x: Array, mode: str) -> Array:
    """Refuses integers."""
    if x.dtype.kind in "iu":
        raise TypeError("floats only")
    return x


@check()
def crashes(subject: Subject, cell: object, direction: str) -> Any:
    """The suite itself fails."""
    raise RuntimeError("a bug of ours")


def reports() -> list[Report]:
    """A report with every status in both directions."""
    known = [entry({"check": "every_byte", "reason": "as an example"})]
    chosen = Selection(modes=("caffe", "tf"), dtypes=("uint8", "float32"))
    both = Implementation("both", lambda x: x, lambda y: y, modes=("caffe",), native_only=True)
    return [
        run(Implementation("refuses", floats_only), selection=chosen, examples=0),
        run(both, selection=chosen, ledger=known, examples=0),
        run(both, selection=chosen, checks=[crashes], examples=0),
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    path = tmp_path_factory.mktemp("report") / "report.jsonl"
    report.write(path, reports(), arguments=["both", "--dtype", "uint8"])
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_report_with_every_status_is_valid(rows: list[Row]) -> None:
    for row in rows:
        REPORT.validate(row)
    results = [row for row in rows if row["kind"] == "result"]
    assert {row["status"] for row in results} == set(STATUSES)
    assert {row["direction"] for row in results} == set(DIRECTIONS)
    assert len(rows) == rows[-1]["rows"] + 2


def test_an_infinite_error_and_a_report_without_arguments_are_valid(tmp_path: Path) -> None:
    result = Result("mine", "value", "caffe", "channels_last", "float32", 3, "passed", worst_levels=float("inf"))
    report.write(tmp_path / "infinite.jsonl", [Report(Implementation("mine", abs), [result])])
    written = [json.loads(row) for row in (tmp_path / "infinite.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["kind"], row.get("worst_levels")) for row in written[1:]] == [("result", "inf"), ("footer", None)]
    assert "arguments" not in written[0]
    for row in written:
        REPORT.validate(row)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("result", {"status": "ok"}),
        ("result", {"status": "error", "traceback": ""}),
        ("result", {"status": "failed", "finding": ""}),
        ("result", {"rank": 2}),
        ("result", {"dtype": "complex64"}),
        ("result", {"worst_levels": -1.0}),
        ("result", {"worst_levels": "NaN"}),
        ("result", {"digest": "0123"}),
        ("result", {"cell": "caffe"}),
        ("result", {"clauses": ["value"]}),
        ("header", {"specification": "first"}),
        ("header", {"format": "vggprep-report/1"}),
        ("header", {"created": "yesterday"}),
        ("header", {"versions": {}}),
        ("header", {"implementations": [{"name": "both"}]}),
        ("footer", {"rows": -1}),
        ("footer", {"rows": "many"}),
        ("footer", {"kind": "end"}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_a_broken_row_is_not_valid(rows: list[Row], kind: str, broken: Row) -> None:
    row = next(row for row in rows if row["kind"] == kind)
    REPORT.validate(row)
    assert not REPORT.is_valid(row | broken)


@pytest.mark.parametrize("kind", ["header", "result", "footer"])
def test_a_row_that_lacks_a_field_is_not_valid(rows: list[Row], kind: str) -> None:
    row = next(row for row in rows if row["kind"] == kind)
    assert row.get("specification", VERSION) == VERSION
    optional = {"arguments"}
    for name in set(row) - optional:
        assert not REPORT.is_valid({key: value for key, value in row.items() if key != name}), name


def test_the_schema_of_a_result_has_the_fields_and_values_of_the_code() -> None:
    assert set(RESULT["properties"]) == {"kind", *(field.name for field in fields(Result))}
    assert set(RESULT["required"]) == set(RESULT["properties"])
    accepted = {name: tuple(value["enum"]) for name, value in RESULT["properties"].items() if "enum" in value}
    assert accepted == {
        "data_format": DATA_FORMATS,
        "rank": RANKS,
        "status": STATUSES,
        "direction": DIRECTIONS,
        "example": get_args(Example),
    }
    assert tuple(REPORT.schema["$defs"]["dtype"]["enum"]) == DTYPES
    assert set(FOOTER["properties"]) == {"kind", "rows", *STATUSES}
    implementation = HEADER["properties"]["implementations"]["items"]
    assert tuple(implementation["properties"]["level"]["enum"]) == LEVELS
    assert HEADER["properties"]["format"]["const"] == report.FORMAT


# Vectors ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(vectors_folder: Path) -> Row:
    found: Row = json.loads((vectors_folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_the_manifest_of_the_vectors_is_valid(manifest: Row) -> None:
    VECTORS.validate(manifest)
    assert manifest["specification"] == VERSION
    VECTORS.validate({key: value for key, value in manifest.items() if key != "specification"})  # of an older vggprep
    assert VECTORS.schema["properties"]["format"]["const"] == vectors.FORMAT
    assert tuple(VECTORS.schema["$defs"]["dtype"]["enum"]) == DTYPES


def drop(name: str) -> Callable[[Row], object]:
    return lambda row: row.pop(name)


@pytest.mark.parametrize(
    "spoil",
    [
        drop("tolerance"),
        drop("expected"),
        lambda row: row.update(shape=[3]),
        lambda row: row.update(shape=[-1, 3, 3]),
        lambda row: row.update(direction="backward"),
        lambda row: row.update(extra=1),
        lambda row: row["input"].update(sha256_raw="0123"),
        lambda row: row["input"].update(dtype="complex64"),
        lambda row: row["tolerance"].update(least=-1),
    ],
)
def test_a_broken_vector_is_not_valid(manifest: Row, spoil: Callable[[Row], object]) -> None:
    row = json.loads(json.dumps(manifest["vectors"][0]))
    assert VECTORS.is_valid({"format": vectors.FORMAT, "vectors": [row]})
    spoil(row)
    assert not VECTORS.is_valid({"format": vectors.FORMAT, "vectors": [row]})


def test_another_format_or_no_vectors_is_not_valid(manifest: Row) -> None:
    assert not VECTORS.is_valid(manifest | {"format": "vggprep-vectors/0"})
    assert not VECTORS.is_valid(manifest | {"vectors": []})
