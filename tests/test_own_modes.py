"""A mode of one's own, from a configuration file to a verdict, and its definition wherever that is written down."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, vggprep
from enumerated import HERE
from hypothesis import given, settings
from rich.console import Console
from support import CLIP, ODD

import vggprep as package
from vggprep import spec, strategies
from vggprep.conformance import exploration, ledger
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.judging import check_implementation, judge
from vggprep.conformance.profiles import PROFILES
from vggprep.conformance.report import failure_text, print_report
from vggprep.errors import VggprepError
from vggprep.implementations.targets import TargetSpec, load
from vggprep.proof import certificates
from vggprep.proof.plan import plan
from vggprep.proof.progress import Done
from vggprep.proof.run import prove, work
from vggprep.proof.verify import verify
from vggprep.spec import DIRECTIONS, Mode

CONFIGURATION = {
    "image_processor_type": "CLIPImageProcessor",
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
PORT = """
import numpy as np
import vggprep

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], "float32")
STD = np.array([0.26862954, 0.26130258, 0.27577711], "float32")

def right(x):
    return (x.astype("float32") / 255 - MEAN) / STD

def wrong(x):
    return (x.astype("float32") / 255 - MEAN) / np.array([0.229, 0.224, 0.225], "float32")

def by_name(x, mode="caffe"):
    if mode != "port_processor.json":
        raise KeyError(mode)
    return right(x)

def keras_only(x, mode="caffe"):
    return vggprep.preprocess_input(x, mode=mode if mode in vggprep.MODES else None)

OWN = vggprep.Mode("of the module", "BRG", [("multiply", ("-2", "3", "0.5")), ("subtract", "0.25")])
LATER = vggprep.Implementation("later", lambda x: vggprep.preprocess_input(x, mode=OWN), modes=[OWN], dtypes=["uint8"],
                               data_formats=["channels_last"])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "port_processor.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    (tmp_path / "own_port.py").write_text(PORT, encoding="utf-8")
    return tmp_path


OPTIONS = ("--mode", "port_processor.json", "--dtype", "uint8", "--examples", "5")


def test_a_function_of_the_image_alone_is_judged_in_the_mode_of_a_file(folder: Path) -> None:
    done = vggprep("check", "own_port:right", *OPTIONS, "--report", "r.jsonl", cwd=folder)
    assert done.returncode == 0, done.stdout
    head, row, *_ = (json.loads(line) for line in (folder / "r.jsonl").read_text(encoding="utf-8").splitlines())
    (said,) = head["implementations"][0]["modes"]
    assert said["name"] == row["mode"] == "port_processor.json"
    assert spec.from_data(said).definition == spec.definition("port_processor.json").definition


def test_what_is_wrong_is_shown_with_lines_that_run(folder: Path) -> None:
    done = vggprep("check", "own_port:wrong", *OPTIONS, "--report", "r.jsonl", cwd=folder)
    assert done.returncode == 1
    rows = [json.loads(line) for line in (folder / "r.jsonl").read_text(encoding="utf-8").splitlines()]
    reproducer = next(row["reproducer"] for row in rows if row.get("status") == "failed" and row["dtype"] == "uint8")
    *lines, call = (line for line in reproducer.splitlines() if not line.startswith("#"))
    code = "\n".join([*lines, f"print({call})"])
    printed = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    got = next(line for line in reproducer.splitlines() if line.startswith("# got"))
    shown = [float(n) for n in got.partition("[[[")[2].partition("]")[0].split(",")]
    np.testing.assert_allclose([float(n) for n in printed.stdout.strip("[]\n ").split()], shown, rtol=1e-5)


@pytest.mark.parametrize(("function", "code"), [("by_name", 0), ("keras_only", 1)])
def test_a_parameter_mode_gets_the_name(folder: Path, function: str, code: int) -> None:
    done = vggprep("check", f"own_port:{function}", *OPTIONS, cwd=folder)
    assert done.returncode == code, done.stdout
    assert ("note: refuses mode='port_processor.json'" in done.stdout) == (code == 1)


def test_modes_that_a_module_claims_are_known_wherever_it_is_loaded(folder: Path) -> None:
    done = vggprep("check", "own_port:LATER", "--examples", "5", cwd=folder)  # in a process of its own
    assert done.returncode == 0, done.stdout
    assert "of the module" in done.stdout
    assert spec.definition("of the module").channel_order == "BRG"


def test_a_reproducer_of_our_own_functions_defines_the_mode() -> None:
    source = load("vggprep")[0].source
    assert source is not None
    for mode in ODD:
        names: dict[str, Any] = {"x": np.full((1, 1, 3), 7, np.uint8)}
        *lines, call = source(spec.known(mode), "channels_last").splitlines()
        exec("\n".join([*lines, f"y = {call.replace(mode.name, mode.name + ' again')}"]), names)
        np.testing.assert_array_equal(names["y"], package.preprocess_input(names["x"], mode=mode))


def test_a_wrong_mode_is_one_line(folder: Path) -> None:
    done = vggprep("check", "own_port:right", "--mode", "no.json", cwd=folder)
    assert done.returncode == 2
    assert "'no.json' is not one of 'caffe', 'tf', 'torch', 'identity', nor a published mode, nor a" in done.stderr
    spec.known(Mode("taken.toml", "RGB", [("divide", "3")]))
    (folder / "taken.toml").write_text('name = "taken.toml"\norder = "RGB"\nsteps = [{divide = "4"}]\n')
    message = one_line(vggprep("check", "own_port:right", "--mode", "taken.toml", cwd=folder))
    assert message == "vggprep: taken.toml: two different modes are named taken.toml: give one of them another name"


@pytest.mark.parametrize("mode", ODD, ids=[mode.name for mode in ODD])
def test_our_own_functions_conform_in_any_mode(mode: Mode) -> None:
    target = load("vggprep")[0]
    few: dict[str, Any] = {"modes": [mode], "ranks": [3], "data_formats": ["channels_first"]}
    one = package.Implementation("ours", target.preprocess, target.deprocess, level="exact", dtypes=["float16"], **few)
    assert check_implementation(one, examples=5).report.conforms


@settings(max_examples=2, deadline=None)
@given(mode=strategies.definitions())
def test_a_drawn_mode_is_judged_like_any_other(mode: Mode) -> None:
    def right(x: Any) -> Any:
        return package.preprocess_input(x, mode=mode)

    few: dict[str, Any] = {"modes": [mode], "ranks": [3], "dtypes": ["float32"]}
    assert check_implementation(package.Implementation("right", right, **few), examples=0).report.conforms
    swapped = package.Implementation("swapped", lambda x: right(x)[..., [1, 0, 2]], **few)
    found = check_implementation(swapped, examples=0, on_fail=None)
    assert "failed" in {result.status for result in found if result.check == "channel_independence"}


def test_where_a_mode_falls_an_output_that_rises_is_found() -> None:
    falls = Mode("falls", "RGB", [("multiply", "-1")])
    rises = package.Implementation(
        "rises", lambda x: np.multiply(x, 1, dtype=np.float32), modes=[falls], dtypes=["uint8"], ranks=[3]
    )
    found = [r for r in check_implementation(rises, examples=0, on_fail=None) if r.check == "monotone"]
    assert {(r.status, r.finding) for r in found} == {("failed", "rising")}
    assert found[0].message == "the output rises from 254.0 to 255.0 as R rises to 255, in a falling mode"


PORTS = """
import numpy as np

def right(x):
    return (x.astype("float32") / 255 - np.float32([0.41, 0.39, 0.5])) / np.float32([0.3, 0.2, 0.1])

def swapped(x):
    return right(x)[..., ::-1]

def by_name(x, mode="caffe"):
    if mode != "own.json":
        raise ValueError(mode)
    return right(x)
"""


@pytest.mark.parametrize(
    ("target", "said", "code"),
    [
        (
            "of_own_mode:right",
            "mode own.json, level faithful, channels_last: divide by 255, subtract (0.41, 0.39, 0.5), ",
            0,
        ),
        ("of_own_mode:swapped", "own.json:order_and_constants_reversed (in mode own.json)", 1),
        ("of_own_mode:by_name", "asked for own.json: mode own.json, level faithful", 0),
        ("right.npy", "certain, own.json: divide by 255, ", 0),
        ("swapped.npy", "certain, own.json_in_bgr: divide by 255, ", 0),
        ("clip.npy", "certain, clip", 0),
    ],
)
def test_identify_has_the_mode_of_a_file_among_its_candidates(
    target: str, said: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "own.json").write_text('{"mean": [0.41, 0.39, 0.5], "std": [0.3, 0.2, 0.1]}', encoding="utf-8")
    (tmp_path / "of_own_mode.py").write_text(PORTS, encoding="utf-8")
    x = np.stack([np.arange(1024) * k % 256 for k in (1, 3, 5)], axis=-1).reshape(32, 32, 3).astype(np.uint8)
    own = Mode.affine("own", scale="1/255", mean=[0.41, 0.39, 0.5], std=[0.3, 0.2, 0.1])
    y = package.preprocess_input(x, mode=own)
    for name, array in (("right", y), ("swapped", y[..., ::-1]), ("clip", package.preprocess_input(x, mode="clip"))):
        np.save(tmp_path / f"{name}.npy", array)
    done = vggprep("identify", target, "--mode", "own.json", "--in-process", cwd=tmp_path)
    assert said in done.stdout
    assert done.returncode == code


# Files ------------------------------------------------------------------------------------------------------------


def other(mode: Mode) -> dict[str, Any]:
    """Another definition under the same name."""
    return {**spec.as_data(mode), "steps": [["divide", ["2", "2", "2"]]]}


def test_definitions_are_written_and_read_as_they_are() -> None:
    for mode in (*ODD, *package.PUBLISHED.values()):
        assert spec.from_data(json.loads(json.dumps(spec.as_data(mode)))) == mode
    for data in ({"name": "x", "order": "RGB", "steps": [["divide", ["1", "2"]]]}, {"name": "x"}, {"nam": 3}):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            spec.from_data(data)


def test_a_ledger_defines_the_modes_that_it_is_about(tmp_path: Path) -> None:
    name, order, steps = spec.as_data(CLIP)["name"], "RGB", json.dumps(spec.as_data(CLIP)["steps"])
    entry = f'[[entry]]\ncheck = "value"\nmode = "{name}"\nreason = "r"\n'
    path = tmp_path / "known.toml"
    for text, message in (
        (f'[[mode]]\nname = "{name}"\norder = "{order}"\nsteps = {steps}\n{entry}', ""),
        (entry, "unknown mode"),
        (
            f'[[mode]]\nname = "{name}"\norder = "BGR"\nsteps = {steps}\n{entry}',
            "two different modes are named clip of",
        ),
        (f'[[mode]]\nname = "{name}"\n{entry}', "not the definition of a mode"),
    ):
        path.write_text(text, encoding="utf-8")
        if not message:
            assert ledger.read(path)[0].mode == (name,)
            continue
        with pytest.raises(ledger.LedgerError, match=message):
            ledger.read(path)
    assert ledger.expected([{"check": "value", "reason": "r", "mode": CLIP}])[0].mode == (name,)


@pytest.mark.parametrize("mode", [ODD[1], ODD[4]], ids=["cyclic", "order alone"])
def test_a_certificate_carries_the_definition(tmp_path: Path, mode: Mode) -> None:
    for target in ("reference", "vggprep"):
        made = plan(TargetSpec((target,)), Selection(modes=(spec.known(mode),), dtypes=("uint8", "float16")))
        certificate = prove(made, executor=HERE)
        assert certificate.holds, certificate.rows
        assert certificate.modes == (mode,)
    path = tmp_path / "c.json"
    certificates.write(certificate, path)
    assert certificates.read(path) == certificate
    assert verify(certificates.read(path), executor=HERE).disagreements == ()
    document = json.loads(path.read_text(encoding="utf-8"))
    for changed, message in (
        (document | {"modes": [other(mode)]}, "two different modes are named"),
        ({key: value for key, value in document.items() if key != "modes"}, "does not define its mode"),
    ):
        path.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(VggprepError, match=message):
            certificates.read(path)


def test_work_on_a_mode_takes_its_definition_along(tmp_path: Path) -> None:
    """To another process, as pools and clusters send it, and to no progress of another mode of its name."""
    mode = Mode("travels", (1, 2, 0), [("multiply", "-0.5"), ("add", "3")])
    made = plan(TargetSpec(("reference",)), Selection(modes=(spec.known(mode),), dtypes=("uint8",)))
    progress = tmp_path / "progress"
    certificate = prove(made, progress_file=progress, workers=2)  # processes that have not met the mode
    assert certificate.holds
    assert len(progress.read_text(encoding="utf-8").splitlines()) == 1 + len(made.parts)
    (part,) = [part for part in made.parts if part.direction == "forward"]
    twin = part._replace(own=Mode("travels", "RGB", []))
    said = work(twin, {})
    assert isinstance(said, str)
    assert "two different modes are named travels" in said
    from vggprep.proof.run import _key

    assert _key(part) != _key(twin)
    assert not isinstance(said, Done)


def test_vectors_carry_the_definition(tmp_path: Path) -> None:
    from vggprep import vectors

    vectors.write(tmp_path / "set", [CLIP, ODD[4]])
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text(encoding="utf-8"))
    assert list(map(spec.from_data, manifest["modes"])) == [CLIP, ODD[4]]
    (tmp_path / "outputs").mkdir()
    right = load("vggprep")[0]
    for row in manifest["vectors"]:
        if row["values"] == "nonfinite" and row["direction"] == "inverse":
            continue
        x = np.load(tmp_path / "set" / row["input"]["npy"])
        function = right.preprocess if row["direction"] == "forward" else right.deprocess
        assert function is not None
        np.save(tmp_path / "outputs" / f"{row['name']}.npy", function(x, row["data_format"], row["mode"]))
    found = vectors.verify(tmp_path / "set", tmp_path / "outputs", "exact")
    assert found.conforms, [r.message for r in found.results if r.status == "failed"]
    assert {result.mode for result in found.results} == {CLIP.name, ODD[4].name}
    manifest["modes"][0] = other(CLIP)
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(vectors.VectorsError, match="two different modes are named"):
        vectors.verify(tmp_path / "set", tmp_path / "outputs")
    with pytest.raises(vectors.VectorsError, match="would have the same names"):
        vectors.write(tmp_path / "more", [Mode("a b", "RGB"), Mode("a_b", "RGB")])


def test_examples_that_are_saved_belong_to_a_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    from vggprep.cases import Cell
    from vggprep.checks import Subject

    asked: list[str] = []

    def passes(profile: Any, seed: Any, about: str) -> list[Any]:
        asked.append(about)
        return []

    monkeypatch.setattr(exploration, "_passes", passes)
    for steps in ("2", "3"):
        monkeypatch.setitem(spec._KNOWN, "changing", Mode("changing", "RGB", [("divide", steps)]))
        cells = [Cell("changing", "channels_last", "uint8", 3)]
        exploration.explore(Subject(load("vggprep")[0]), DIRECTIONS[0], cells, PROFILES["dev"], None)
    assert len(set(asked)) == 2


def test_a_dtype_in_which_a_mode_loses_bytes_is_not_judged() -> None:
    far = Mode("far", "RGB", [("multiply", 1000)])

    def preprocess(x: Any) -> Any:
        return x.astype(x.dtype if x.dtype.kind == "f" else np.float32) * np.float16(1000)

    selection = Selection(modes=(spec.known(far),), dtypes=("float16", "float32"))
    report = run(package.Implementation("it", preprocess, modes=[far]), selection=selection, examples=0)
    assert report.conforms, failure_text([report])
    assert {result.dtype for result in report.results} == {"float32"}
    assert "far is not judged in float16: there, not all bytes stay finite and apart" in report.notes
    nowhere = Mode("nowhere", "RGB", [("multiply", 1e30), ("multiply", 1e30)])
    report = run(package.Implementation("it", lambda x: x, modes=[nowhere]), examples=0)
    assert not report.conforms
    assert {result.dtype for result in report.results} == {"float64"}


def test_names_with_square_brackets_are_headings_as_they_are() -> None:
    odd = Mode("a[/b]c", "RGB", [("divide", 2)])
    implementation = package.Implementation("it[/x]", lambda x: x / np.float32(2), modes=[odd], dtypes=["uint8"])
    console = Console(file=io.StringIO(), width=100)
    print_report(run(implementation, examples=0), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "a[/b]c" in printed
    assert "it[/x]" in printed


def test_a_function_that_knows_the_mode_asked_for_is_called_with_it() -> None:
    spec.known(mine := Mode("mine too", "BGR", [("divide", 3)]))

    def preprocess(x: Any, mode: str = "another") -> Any:
        if mode not in ("another", mine.name):
            raise ValueError(mode)
        return x[..., ::-1] / np.float32(3 if mode == mine.name else 2)

    selection = Selection((mine.name,), dtypes=("uint8",))
    report = judge(package.Implementation("it", preprocess), selection=selection, examples=0)
    assert report.conforms, failure_text([report])


@pytest.mark.parametrize(
    "arguments",
    [("a", None), ("a", "RGB", [5]), ("a", "RGB", [("add",)]), ("a", [0, 1.0, 2]), ("a", [True, False, 2]),
     ("a", "RGB", [("add", 1)] * 17), ("a", "RGB", [("add", "1" * 101)]), ("a", "RGB", [("add", 1e40)])],
)  # fmt: skip
def test_what_is_no_mode_is_a_value_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"order must|a step must|up to|between"):
        Mode(*arguments)


@pytest.mark.parametrize("constant", ["0255", "٢٥٥", "2_5_5", "+255", "255."])
def test_constants_are_numbers_in_python_too(constant: str) -> None:
    (written, *_) = spec.Step("divide", constant).constants
    assert float(written) == 255
    assert ast.literal_eval(written) == 255
