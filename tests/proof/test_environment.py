"""What a proof is about: another model, program or version cannot resume, join or verify it."""

from __future__ import annotations

import shutil
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from enumerated import HERE

from vggprep.conformance.engine import Selection
from vggprep.implementations.targets import TargetSpec
from vggprep.proof import certificates, environment, run
from vggprep.proof.certificates import Certificate, ProofError
from vggprep.proof.plan import Plan, plan
from vggprep.proof.verify import verify

PORT = (Path(__file__).parents[2] / "examples" / "port.py").read_text(encoding="utf-8")


def write_model(path: Path, divisor: float) -> None:
    """``x / divisor - 1`` as ONNX."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT16
    constants = [helper.make_tensor(n, single, [], np.array([v], np.float16)) for n, v in (("d", divisor), ("o", 1.0))]
    images = [helper.make_tensor_value_info(n, single, [None, None, None, 3]) for n in "xy"]
    nodes = [helper.make_node("Div", ["x", "d"], ["q"]), helper.make_node("Sub", ["q", "o"], ["y"])]
    graph = helper.make_graph(nodes, "tf", images[:1], images[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture(params=["command", "onnx"])
def named(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TargetSpec, str]:
    """A target in the current folder, and the name of the file that it is about."""
    monkeypatch.chdir(tmp_path)
    if request.param == "command":
        (tmp_path / "port.py").write_text(PORT, encoding="utf-8")
        return TargetSpec((f"command:{sys.executable} port.py {{mode}} {{data_format}}",), timeout=60), "port.py"
    write_model(tmp_path / "model.onnx", 127.5)
    return TargetSpec(("onnx:model.onnx",)), "model.onnx"


def change(name: str) -> None:
    """Make the file one that divides by 128."""
    if name == "port.py":
        Path(name).write_text(PORT.replace("127.5", "128.0"), encoding="utf-8")
    else:
        write_model(Path(name), 128)


def planned(spec: TargetSpec) -> Plan:
    return plan(spec, Selection(("tf",), ("channels_last",), ("float16",)))


def prove(spec: TargetSpec, progress: Path | None = None) -> Certificate:
    return run.prove(planned(spec), executor=HERE, progress_file=progress)


def test_another_file_is_refused_by_verify_resume_and_workers(named: tuple[TargetSpec, str], tmp_path: Path) -> None:
    spec, name = named
    progress = tmp_path / "c.json.progress"
    certificate = prove(spec, progress)
    digest = sha256(Path(name).read_bytes()).hexdigest()
    assert certificate.files is not None
    assert certificate.files[name] == digest
    certificates.write(certificate, tmp_path / "c.json")
    assert certificates.read(tmp_path / "c.json").files == certificate.files
    assert verify(certificate, executor=HERE).disagreements == ()
    origin = run.dependencies(spec)
    part = planned(spec).parts[0]
    assert not isinstance(run.work(part, origin), str)

    change(name)
    other = sha256(Path(name).read_bytes()).hexdigest()
    said, back = f"{name} {other} instead of {digest}", f"{name} {digest} instead of {other}"
    with pytest.raises(ProofError, match=f"^this is not what the certificate is about: {said}$"):
        verify(certificate, executor=HERE)
    with pytest.raises(ProofError, match=f"was made with other files \\({back}\\): delete it"):
        prove(spec, progress)
    with pytest.raises(ProofError, match=f", process .* cannot take part: it has {said}$"):
        run.drive([part], origin, lambda *_: True, executor=HERE, workers=1, on_progress=None)
    assert certificate.holds
    assert not prove(spec).holds  # the new file is loaded, although the old one was


def test_a_file_that_is_gone_is_named(named: tuple[TargetSpec, str]) -> None:
    spec, name = named
    certificate = prove(spec)
    Path(name).unlink()
    with pytest.raises(ProofError, match=f"{name} missing instead of "):
        verify(certificate, executor=HERE)


def test_a_certificate_without_digests_is_verified_with_a_note(named: tuple[TargetSpec, str]) -> None:
    spec, name = named
    certificate = prove(spec)
    old = Certificate(**{**certificate.__dict__, "files": None})
    (note,) = verify(old, executor=HERE).notes
    assert name in note
    assert "no digest" in note


def test_a_folder_has_one_digest_over_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")

    def digest() -> str:
        (found,) = environment.files(TargetSpec((f"savedmodel:{folder}",))).values()
        return found

    first = digest()
    shutil.copytree(folder, tmp_path / "copy")
    assert environment.files(TargetSpec((f"savedmodel:{tmp_path / 'copy'}",))) == {str(tmp_path / "copy"): first}
    (folder / "variables" / "data").write_bytes(b"Weights")
    assert digest() != first
    (folder / "variables" / "data").write_bytes(b"weights")
    (folder / "variables" / "data").rename(folder / "variables" / "data2")
    assert digest() != first


@pytest.mark.parametrize("kind", ["tflite", "keras-model"])
def test_model_files_of_every_kind_are_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"model")
    assert environment.files(TargetSpec((f"{kind}:{path}",))) == {str(path): sha256(b"model").hexdigest()}


def test_a_command_is_its_program_and_its_files_in_every_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("caffe.bin", "torch.bin", "program"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "program").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = TargetSpec((), "command:program {mode}.bin {data_format} --fast " + "x" * 300)
    names = {"program", "caffe.bin", "torch.bin"}
    assert environment.files(spec) == {name: sha256(name.encode()).hexdigest() for name in names}
    assert environment.files(TargetSpec(("command:nowhere 'caffe.bin", "reference"))) == {}


def test_the_code_of_a_python_target_is_among_the_versions() -> None:
    versions = environment.versions(TargetSpec(("enumerated:right",)))
    assert {"python", "vggprep", "vggprep code", "numpy", "enumerated code"} <= set(versions)


def test_packages_have_the_versions_that_are_installed_imported_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ml_dtypes", raising=False)
    monkeypatch.setattr(environment, "_PACKAGES", ("ml_dtypes", "no_such_package"))
    found = environment.versions(TargetSpec(("reference",)), like={"ml_dtypes": "", "no_such_package": ""})
    assert "no_such_package" not in found
    assert ("ml_dtypes" in found) == bool(find_spec("ml_dtypes"))
    assert "ml_dtypes" not in environment.versions(TargetSpec(("reference",)))


def test_a_worker_without_the_target_cannot_take_part() -> None:
    part = planned(TargetSpec(("reference",))).parts[0]._replace(spec=TargetSpec(("nowhere:f",)))
    refusal = run.work(part, {})
    assert isinstance(refusal, str)
    assert "cannot take part: cannot load nowhere:f: there is no module nowhere" in refusal


def test_another_inverse_cannot_resume_or_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "backwards.py"
    source.write_text("from enumerated import to_floats\n", encoding="utf-8")
    spec = TargetSpec(("enumerated:right",), "backwards:to_floats")
    progress = tmp_path / "c.json.progress"
    certificate = prove(spec, progress)
    assert {"backwards code", "enumerated code"} <= certificate.versions.keys()
    before = certificate.versions["backwards code"]
    source.write_text("from enumerated import to_floats  # otherwise\n", encoding="utf-8")
    after = environment.versions(spec)["backwards code"]
    with pytest.raises(ProofError, match=f"other versions \\(backwards code {before} instead of {after}\\): delete it"):
        prove(spec, progress)
    (said,) = verify(certificate, executor=HERE).disagreements
    assert said == f"backwards code: the certificate says {before}, found {after}"
