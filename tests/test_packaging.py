"""What is installed, what imports what, and the examples in docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vggprep"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)

HEAVY = ("keras", "tensorflow", "tf_keras", "torch", "jax", "numba", "onnxruntime")


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """The modules that a file imports: everywhere, or at import time alone. What mypy alone imports does not count."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if not everywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        pending.extend(ast.iter_child_nodes(node))
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


OURS = {name_of(path): path for path in PACKAGE.rglob("*.py")}


@cache
def arrows(*, everywhere: bool = True) -> dict[str, set[str]]:
    """What each module of ours imports of ours; a name that is no module counts for the module that has it."""
    found = {}
    for name, path in OURS.items():
        mine = {i for i in imports(path, everywhere=everywhere) if i in OURS and i != name}
        # ``from vggprep import oracle`` is about oracle, not about the face of the package.
        found[name] = {i for i in mine if not any(other.startswith(f"{i}.") for other in mine)}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_a_framework_at_import_time(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports(path, everywhere=False)}
    allowed = {"numba"} if path.name == "compiled.py" else set()
    assert not roots & set(HEAVY) - allowed


def test_the_spec_imports_nothing_of_ours() -> None:
    assert not {n for n in imports(PACKAGE / "spec.py", everywhere=True) if n.startswith("vggprep")}


def test_oracle_and_reference_never_import_each_other() -> None:
    judge = {"vggprep.oracle", "vggprep.tolerance"}
    computed = {"vggprep.reference", "vggprep.functions"} | {name for name in OURS if ".kernels" in name}
    for name, found in arrows().items():
        assert name not in judge or not found & computed, name
        assert name not in computed or not found & judge, name


ROOMS = (
    ("errors", "files", "html", "machine", "spec", "specification", "published", "configurations", "constructors"),
    ("reference", "oracle", "kernels"),
    ("tolerance", "functions", "cases"),
    ("strategies", "implementations"),
    ("checks", "faults"),
    ("explanation",),
    ("sequences", "conformance"),
    ("vectors", "identification", "proof", "releases"),
    ("pages", "field"),
    ("pytest_plugin", "cli"),
    ("__main__",),
)
"""The rooms of the house, floor by floor. A module imports from its own room, from rooms beside it and from below."""

UPWARDS = {"vggprep"}
"""The face of the package imports each name from its room when the name is used."""


def room_of(module: str) -> str:
    """The first name below the package; what ``python -m`` runs is a door, wherever it is."""
    return "__main__" if module.endswith(".__main__") else module.split(".")[1]


def test_every_module_is_in_a_room_and_imports_go_one_way() -> None:
    floor = {room: n for n, rooms in enumerate(ROOMS) for room in rooms}
    assert {room_of(name) for name in OURS if name not in UPWARDS} == set(floor)
    wrong = [
        f"{name} imports {other}"
        for name, found in arrows().items()
        if name not in UPWARDS
        for other in found
        if other not in UPWARDS and floor[room_of(other)] > floor[room_of(name)]
    ]
    assert not wrong


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, if there are any."""
    left = {name: set(found) for name, found in graph.items()}
    while free := [name for name, found in left.items() if not found & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_there_are_no_import_circles_not_even_inside_functions() -> None:
    assert circle({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    graph = {name: found - UPWARDS for name, found in arrows().items() if name not in UPWARDS}
    assert circle(graph) == []
    rooms: dict[str, set[str]] = {}
    for name, found in graph.items():
        rooms.setdefault(room_of(name), set()).update(room_of(other) for other in found)
    assert circle({room: found - {room} for room, found in rooms.items()}) == []


PROSE = {"message", "diagnosis", "reproducer", "why", "sentence", "story", "reason", "arguments", "text"}
"""Attributes that hold words for people, or the words that a command was given."""


def decisions_on_words(tree: ast.AST) -> list[int]:
    """Lines that compare, search or cut what is said to people."""

    def prose(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in PROSE and not isinstance(node.ctx, ast.Store)

    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            words = [node.left, *node.comparators]
            against = [n for n in words if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value]
            searched = any(isinstance(op, ast.In | ast.NotIn) for op in node.ops) and any(map(prose, node.comparators))
            if searched or (against and any(map(prose, words))):
                found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            cuts = {"startswith", "endswith", "removeprefix", "removesuffix", "find", "index", "partition", "split"}
            regular = (
                isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape"
            )
            if (node.func.attr in cuts and prose(node.func.value)) or (regular and any(map(prose, node.args))):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "habit",
    [
        'if result.message.startswith("returns "): pass',
        '"values wrong" in finding.message',
        'if "--all" in certificate.arguments: pass',
        're.sub("x", "#", result.diagnosis)',
        'key = "np.array(" not in r.reproducer',
        'name = result.message.removeprefix("inverse: ")',
        'found = entry.reason == "mended"',
    ],
)
def test_the_habit_of_deciding_on_words_is_seen(habit: str) -> None:
    assert decisions_on_words(ast.parse(habit))


@pytest.mark.parametrize("code", ["print(result.message)", "if not result.diagnosis: pass", "a.kind == 'value'"])
def test_showing_words_is_no_decision(code: str) -> None:
    assert not decisions_on_words(ast.parse(code))


@pytest.mark.parametrize("path", OURS.values(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_decision_is_taken_on_words_for_people(path: Path) -> None:
    assert decisions_on_words(ast.parse(path.read_text(encoding="utf-8"))) == []


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def verb(*words: str) -> str:
    return f"""import sys; sys.argv = {["vggprep", *words]!r}
from contextlib import redirect_stdout, suppress; from io import StringIO
from vggprep.cli import main
with redirect_stdout(StringIO()), suppress(SystemExit): main()"""


OTHERS = {"hypothesis", "click", "rich", "pytest"}
CLIP = str(ROOT / "tests" / "configurations" / "data" / "transformers_clip.json")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import vggprep", {*HEAVY, *OTHERS, "numpy"}),
        ("import vggprep; vggprep.preprocess_input([[[0, 0, 0]] * 4096], threads=2)", {*HEAVY, *OTHERS}),
        ("import vggprep.pytest_plugin", {*HEAVY, *OTHERS - {"pytest"}, "numpy"}),
        (verb("check", "reference", "--examples", "1", "--dtype", "uint8"), {*HEAVY}),
        (verb("--help"), {"numpy"}),
        *((verb(name, "--help"), {"hypothesis"}) for name in ("check", "identify", "prove", "history")),
        (verb("check", "reference", "--examples", "0", "--dtype", "bool"), {"hypothesis"}),
        (verb("modes", "--json"), {"numpy"}),
        (verb("modes", CLIP), {*HEAVY, "numpy", "rich", "hypothesis"}),
    ],
)
def test_no_more_is_imported_than_is_needed(code: str, absent: set[str]) -> None:
    assert not loaded_by(code) & absent


@pytest.mark.thorough
@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_hold(module: str) -> None:
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    assert doctest.testmod(loaded).failed == 0


def test_the_public_names_are_those_of_the_contract() -> None:
    import vggprep

    names = {
        "preprocess_input", "deprocess_input", "MODES", "MODELS", "Implementation", "check_implementation",
        "parametrize_with_checks", "CHECKS", "strategies", "faults",
    }  # fmt: skip
    assert names <= set(vggprep.__all__)
    for name in vggprep.__all__:
        assert getattr(vggprep, name) is not None
    for name in ("images", "cases", "modes", "data_formats", "dtypes", "layouts"):
        assert callable(getattr(vggprep.strategies, name))


def test_under_tox_the_installed_package_is_tested_and_not_the_checkout() -> None:
    import vggprep

    if "TOX_ENV_NAME" not in os.environ:
        pytest.skip("not run by tox")
    assert not Path(vggprep.__file__).is_relative_to(PACKAGE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    pytest.importorskip("hatchling")
    for kind in ("wheel", "sdist"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def data_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__" and path.suffix != ".py"
    }


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {"vggprep/py.typed", "vggprep/conformance/ledgers/keras-tensorflow.toml"} < data_files()
    assert names == data_files() | {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}


def test_the_source_distribution_holds_what_the_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert data_files() <= names
    assert {"tox.ini", "README.md", "tests/test_packaging.py", "benchmarks/peers.py", "LICENSE"} <= names


@pytest.mark.thorough
def test_code_of_users_is_typed_against_the_installed_package(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    shutil.copy(ROOT / "tests" / "typing" / "api.py", tmp_path / "api.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--config-file=", "api.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "Success: no issues found in 1 source file\n"


def test_no_tracked_text_names_a_place_outside_the_repository() -> None:
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in done.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".ini") and path != Path(__file__) and path.exists():
            text = path.read_text(encoding="utf-8")
            assert "../shared" not in text, name
