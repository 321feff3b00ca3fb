"""Certificates as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from enumerated import proven

from vggprep.proof import certificates
from vggprep.proof.certificates import Certificate, ProofError
from vggprep.proof.shards import WorstError
from vggprep.specification import VERSION


@pytest.fixture
def certificate() -> Certificate:
    """One with something proven, something wrong, something refused and an infinite error."""
    found = proven("refuses_integers", "uint8", "float16", modes=("tf",))
    wrong = proven("infinity_made_a_number", "float16", modes=("tf",)).rows[0]
    worst = WorstError(float("inf"), "7bff", "65504.0", 1)
    return replace(found, files={"model.onnx": "5" * 64}, rows=(*found.rows, replace(wrong, units=worst)))


@pytest.fixture
def path(certificate: Certificate, tmp_path: Path) -> Path:
    certificates.write(certificate, tmp_path / "certificate.json")
    return tmp_path / "certificate.json"


def test_a_certificate_that_is_written_and_read_is_the_same(certificate: Certificate, path: Path) -> None:
    assert certificates.read(path) == certificate
    assert certificate.specification == VERSION
    assert {row.status for row in certificate.rows} == {"proven", "refused", "wrong"}
    assert not certificate.holds


@pytest.mark.parametrize("arguments", [["prove", "x"], ["prove", "x", "--all"]])
def test_format_1_is_read_as_what_it_meant(certificate: Certificate, path: Path, arguments: list[str]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    old = {key: document[key] for key in document if key not in ("files", "stop_at_first", "spec", "specification")}
    old |= {"format": "vggprep-certificate/1", "wanted": document["spec"], "arguments": arguments}
    path.write_text(json.dumps(old), encoding="utf-8")
    expected = replace(
        certificate,
        arguments=tuple(arguments),
        files=None,
        stop_at_first="--all" not in arguments,
        specification="",
    )
    assert certificates.read(path) == expected


def test_half_a_certificate_is_refused(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    for length in range(0, len(whole) - 2, 97):
        path.write_text(whole[:length], encoding="utf-8")
        with pytest.raises(ProofError, match=r"is not a complete certificate: [^\n]+$"):
            certificates.read(path)


def test_another_file_is_refused_in_one_line(path: Path) -> None:
    whole = json.loads(path.read_text(encoding="utf-8"))
    row = whole["rows"][0]
    for other, message in [
        ([], "it names no format"),
        ({"kind": "header", "format": "vggprep-report/1"}, "its format is 'vggprep-report/1'"),
        ({**whole, "format": "vggprep-certificate/3"}, "its format is 'vggprep-certificate/3'"),
        ({key: value for key, value in whole.items() if key != "versions"}, "versions"),
        ({**whole, "versions": "none"}, "its versions is 'none'"),
        ({**whole, "spec": 5}, "not a complete certificate"),
        ({**whole, "spec": {}}, "targets"),
        ({key: value for key, value in whole.items() if key != "rows"}, "'rows'"),
        ({**whole, "rows": [{**row, "colour": "red"}]}, "colour"),
        ({**whole, "rows": [{**row, "units": ["much", "7bff", "65504.0", 1]}]}, "much"),
        ({**whole, "rows": [{**row, "units": [1.0, "7bff", "", 1]}]}, "could not convert string to float"),
        ({**whole, "rows": ["proven"]}, "not a complete certificate"),
    ]:
        path.write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(ProofError) as error:
            certificates.read(path)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    path.write_bytes(b"\x93NUMPY\x01\xff")
    with pytest.raises(ProofError, match="is not a complete certificate"):
        certificates.read(path)
    for missing in (path.parent, path.parent / "nowhere.json"):
        with pytest.raises(ProofError, match="cannot read"):
            certificates.read(missing)


def test_a_certificate_that_cannot_be_written_leaves_the_old_one(certificate: Certificate, path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(ProofError, match=r"cannot write .*certificate.json: File too large$"):
            certificates.write(certificate, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["certificate.json"]
    for nowhere in (path / "below.json", path.parent / "nowhere" / "certificate.json"):
        with pytest.raises(ProofError, match="cannot write"):
            certificates.write(certificate, nowhere)


def test_a_field_that_is_there_twice_is_refused(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    for first, name in ((' "target": "keras:graph",', "target"), (' "rows": ["evil"],', "rows")):
        path.write_text(whole.replace("{\n", "{\n" + first + "\n", 1), encoding="utf-8")
        with pytest.raises(ProofError, match=f"is not a complete certificate: it says '{name}' twice$"):
            certificates.read(path)
    path.write_text(whole.replace('{"implementation"', '{"mode": "tf", "implementation"', 1), encoding="utf-8")
    with pytest.raises(ProofError, match=r"it says 'mode' twice$"):
        certificates.read(path)


MANY = int("9" * 400)


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        *(("row", "units", [error, "00", "0", 0]) for error in ("nan", float("nan"), -1, "-inf", -0.5, MANY)),
        ("row", "levels", [1.0, "00", MANY, 0]),
        ("row", "patterns", MANY),
        ("row", "digests", ["\ud800"]),
        ("row", "counterexample", ["zz", "", "\n"]),
        ("row", "counterexample", ["0000", "0000", "00"]),
        ("whole", "seconds", 10**310),
        ("whole", "seconds", float("inf")),
        ("whole", "worked", float("nan")),
        ("whole", "values", MANY),
    ],
    ids=lambda value: str(value)[:20],
)
def test_numbers_and_bits_that_no_proof_writes_are_refused_in_one_line(
    of: str, name: str, value: object, path: Path
) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    (document["rows"][0] if of == "row" else document)[name] = value
    path.write_text(json.dumps(document | {"seal": certificates.seal_of(document)}), encoding="utf-8")
    with pytest.raises(ProofError, match=r"is not a complete certificate: [^\n]+$"):
        certificates.read(path)
