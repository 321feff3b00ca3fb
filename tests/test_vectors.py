"""The corpus as files: complete, small, the same everywhere; and the verdict on what comes of them."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, vggprep
from ports import port_fixture  # noqa: F401
from support import bits

from vggprep import deprocess_input, faults, preprocess_input
from vggprep.conformance.report import cause_text, causes
from vggprep.implementations import npy
from vggprep.spec import DataFormat, ModeName
from vggprep.vectors import verify, write

Manifest = list[dict[str, Any]]
Function = Callable[..., Any]


@pytest.fixture(scope="session")
def folder(vectors_folder: Path) -> Path:
    return vectors_folder


@pytest.fixture(scope="session")
def manifest(folder: Path) -> Manifest:
    found: Manifest = json.loads((folder / "manifest.json").read_text())["vectors"]
    return found


def restore(y: Any, data_format: DataFormat, mode: ModeName) -> Any:
    return deprocess_input(y, data_format, mode, dtype=None if np.isnan(y).any() else "uint8")


def floats(y: Any, data_format: DataFormat, mode: ModeName) -> Any:
    return deprocess_input(y, data_format, mode, dtype=None)


def answer(
    folder: Path,
    manifest: Manifest,
    outputs: Path,
    preprocess: Function,
    deprocess: Function | None = None,
    raw: bool = False,
    keep: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> Path:
    """Do what a program in another language would."""
    outputs.mkdir(exist_ok=True)
    for row in manifest:
        function = preprocess if row["direction"] == "forward" else deprocess
        if function is None or not keep(row):
            continue
        x = np.load(folder / row["input"]["npy"])
        if raw:
            stored = np.fromfile(folder / row["input"]["raw"], np.dtype(row["dtype"]).newbyteorder("<"))
            assert np.array_equal(stored.reshape(row["shape"]), x, equal_nan=row["dtype"][0] == "f")
        y = function(x, row["data_format"], row["mode"])
        if raw:
            y.astype(y.dtype.newbyteorder("<")).tofile(outputs / f"{row['name']}.bin")
        else:
            np.save(outputs / f"{row['name']}.npy", y)
    return outputs


def test_the_set_is_small_and_reproducible(folder: Path, tmp_path: Path) -> None:
    count = write(tmp_path)
    first, again = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (folder, tmp_path)
    )
    assert first == again
    assert sum(map(len, first.values())) < 5_000_000
    assert count > 300


def test_the_numbers_are_the_same_on_every_machine(folder: Path) -> None:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.npy")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    assert digest.hexdigest() == "27a6aa562b777fed287634e9b1f211e346d5c984ef9adc066cf508104a44b252"


def test_the_manifest_tells_the_truth(folder: Path, manifest: Manifest) -> None:
    for row in manifest:
        for key in ("input", "expected", "expected_floats"):
            if key in row:
                for form in ("npy", "raw"):
                    content = (folder / row[key][form]).read_bytes()
                    assert hashlib.sha256(content).hexdigest() == row[key][f"sha256_{form}"]
                array = npy.read(folder / row[key]["npy"])
                assert list(array.shape) == row["shape"]
                assert array.dtype.name == row[key]["dtype"]
                assert (folder / row[key]["raw"]).stat().st_size == array.nbytes
        assert row["tolerance"]["rule"]


def test_what_is_expected_is_what_vggprep_gives(folder: Path, manifest: Manifest) -> None:
    for row in manifest:
        x, expected = (npy.read(folder / row[key]["npy"]) for key in ("input", "expected"))
        inverse = restore if expected.dtype == np.uint8 else floats
        got = (preprocess_input if row["direction"] == "forward" else inverse)(x, row["data_format"], row["mode"])
        assert bits(got, one_nan=True) == bits(expected, one_nan=True), row["name"]


def test_every_fault_of_values_is_caught_by_a_vector_that_names_it(manifest: Manifest) -> None:
    named = {name for row in manifest for name in row["catches"]}
    values = {"value", "every_byte", "nonfinite", "monotone", "integers_agree", "restores_pixels", "restores_floats"}
    assert {f.name for f in faults.FAULTS if f.caught_by in values and f.stateless} <= named


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("inverse", [restore, floats])
def test_the_right_answers_are_verified_in_either_form(
    folder: Path, manifest: Manifest, tmp_path: Path, raw: bool, inverse: Any
) -> None:
    outputs = answer(folder, manifest, tmp_path / "out", preprocess_input, inverse, raw)
    report = verify(folder, outputs, "exact")
    assert report.conforms, [r for r in report.results if r.status == "failed"][:3]
    assert not report.notes


@pytest.mark.parametrize("name", ["no_swap", "slim_means", "integer_arithmetic", "scale_0_007843"])
def test_a_fault_is_diagnosed_as_check_would(folder: Path, manifest: Manifest, tmp_path: Path, name: str) -> None:
    fault = next(f for f in faults.FAULTS if f.name == name)
    assert fault.preprocess is not None
    outputs = answer(
        folder, manifest, tmp_path / "out", fault.preprocess, restore, keep=lambda r: r["mode"] in fault.modes
    )
    report = verify(folder, outputs)
    assert not report.conforms
    failed = [r for r in report.results if r.status == "failed"]
    assert any(r.diagnosis.startswith(f"behaves like {name}:") for r in failed)
    assert {r.direction for r in failed} == {"forward"}
    assert any("# expected" in r.reproducer for r in failed)


def test_what_no_fault_does_is_measured_as_check_would(folder: Path, manifest: Manifest, tmp_path: Path) -> None:
    def preprocess(x: Any, data_format: DataFormat, mode: ModeName) -> Any:
        y = preprocess_input(x, data_format, mode)
        return y if mode != "tf" else (y * np.asarray(0.9, y.dtype)).astype(y.dtype)

    outputs = answer(folder, manifest, tmp_path / "out", preprocess, keep=lambda row: row["direction"] == "forward")
    groups = causes(verify(folder, outputs).results)
    said = "computes R/141.667 - 0.9, G/141.667 - 0.9, B/141.667 - 0.9, where R/127.5 - 1, G/127.5 - 1, B/127.5 - 1"
    assert said in cause_text(groups[0])
    assert {result.mode for result in groups[0]} == {"tf"}


def test_missing_extra_short_and_wrongly_shaped_files_are_named(
    folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    outputs = answer(folder, manifest, tmp_path / "out", preprocess_input)
    gone, short, shaped, html = (
        f"forward-tf-channels_last-uint8-{rest}"
        for rest in ("dark-2x8x16x3", "white-2x8x16x3", "bytes-3x3x3", "bytes-1x17x1x3")
    )
    for name in (gone, short):
        (outputs / f"{name}.npy").unlink()
    (outputs / f"{short}.bin").write_bytes(bytes(100))
    np.save(outputs / f"{shaped}.npy", np.zeros((3, 9), np.float32))
    (outputs / f"{html}.npy").write_text("<html>")
    (outputs / "hello.npy").write_text("")
    result = vggprep("verify", str(folder), str(outputs))
    assert result.returncode == 1
    said = " ".join(result.output.split())
    assert f"missing: {gone}.npy" in said
    assert f"{short}.bin is too short: shape (2, 8, 16, 3) takes 3072 bytes as float32, and it has 100" in said
    assert f"{shaped} returns shape (3, 9) for an input of shape (3, 3, 3)" in said
    assert f"{html}.npy is not a .npy array: it begins with '<html>'" in said
    assert "1 files belong to no vector: hello.npy" in said


def test_a_program_may_leave_out_whole_kinds(folder: Path, manifest: Manifest, tmp_path: Path) -> None:
    outputs = answer(folder, manifest, tmp_path / "out", preprocess_input, keep=lambda r: r["dtype"] == "float32")
    report = verify(folder, outputs)
    assert report.conforms
    assert "taken as refused" in report.notes[0]
    assert {r.status for r in report.results if r.dtype == "int8"} == {"refused"}


def test_bad_folders_are_one_line_and_code_2(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    tampered = tmp_path / "tampered"
    shutil.copytree(folder, tampered)
    victim = next((tampered / "inputs").glob("*.npy"))
    victim.write_bytes(victim.read_bytes() + b"x")
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "manifest.json").write_text('{"format": "vggprep-vectors/1", "vectors": [{}]}')
    for arguments, words in (
        (["vectors", tmp_path / "full"], "is not an empty folder"),
        (["verify", tmp_path / "nowhere", tmp_path], "manifest.json; write the vectors with"),
        (["verify", folder, tmp_path / "nowhere"], "there is no folder"),
        (["verify", folder, tmp_path / "empty"], "holds none of the"),
        (["verify", tampered, tmp_path / "empty"], "is not what the manifest says"),
        (["verify", broken, tmp_path / "empty"], "cannot be read"),
    ):
        assert words in one_line(vggprep(*map(str, arguments))), arguments


def test_the_cpp_port_is_verified_from_files_alone(folder: Path, tmp_path: Path, port: Any) -> None:
    program = port("c++")
    for flags, conforms in (([], True), (["--fault"], False)):
        outputs = tmp_path / f"out{len(flags)}"
        outputs.mkdir()
        subprocess.run([program, "--vectors", folder, outputs, *flags], check=True, stderr=subprocess.DEVNULL)
        report = verify(folder, outputs)
        assert report.conforms == conforms
        diagnoses = {r.diagnosis.split(":")[0] for r in report.results if r.status == "failed"}
        assert diagnoses == (set() if conforms else {"behaves like integer_arithmetic"})
