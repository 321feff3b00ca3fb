"""What is installed, what imports what, and the examples in docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
import tomllib
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


def imports_at_import_time(path: Path) -> set[str]:
    """The modules that a file names in imports outside functions."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
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


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_a_framework_at_import_time(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports_at_import_time(path)}
    allowed = {"numba"} if path.name == "compiled.py" else set()
    assert not roots & set(HEAVY) - allowed


def test_the_spec_imports_nothing_of_ours() -> None:
    assert not {n for n in imports_at_import_time(PACKAGE / "spec.py") if n.startswith("vggprep")}


def test_oracle_and_reference_never_import_each_other() -> None:
    assert not {n for n in imports_at_import_time(PACKAGE / "oracle.py") if "reference" in n or "functions" in n}
    assert not {n for n in imports_at_import_time(PACKAGE / "reference.py") if "oracle" in n}


def test_imports_go_one_way() -> None:
    """spec <- {oracle, reference, cases} <- {implementations, strategies, checks} <- conformance <- {cli, plugin}."""
    levels = [
        ("spec",),
        ("oracle", "reference", "cases", "functions", "kernels"),
        ("implementations", "strategies", "checks", "faults"),
        ("ledger", "diagnosis", "conformance"),
        ("report",),
        ("proof",),
        ("cli", "pytest_plugin"),
    ]
    rank = {name: n for n, names in enumerate(levels) for name in names}
    for path in PACKAGE.rglob("*.py"):
        mine = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if mine not in rank:
            continue
        for name in imports_at_import_time(path):
            parts = name.split(".")
            if parts[0] == "vggprep" and len(parts) > 1 and parts[1] in rank:
                assert rank[parts[1]] <= rank[mine], f"{path.name} imports {name}"


def test_there_are_no_import_cycles() -> None:
    """Each module is imported before any other of ours."""
    script = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    for name in [name for name in sys.modules if name.partition('.')[0] == 'vggprep']:\n"
        "        del sys.modules[name]\n"
        "    try:\n"
        "        importlib.import_module(module)\n"
        "    except ModuleNotFoundError as error:\n"
        "        # An extra that is not installed here.\n"
        "        assert module.endswith('compiled') and error.name in ('numba', 'llvmlite'), module\n"
        "    except Exception as error:\n"
        "        sys.exit(f'import {module}: {error!r}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *MODULES], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_vggprep_imports_nothing_heavier_than_numpy() -> None:
    assert not loaded_by("import vggprep") & {*HEAVY, "hypothesis", "click", "rich", "pytest", "numpy"}
    loaded = loaded_by("import vggprep; vggprep.preprocess_input")
    assert "numpy" in loaded
    assert not loaded & {*HEAVY, "hypothesis", "click", "rich", "pytest"}


def test_the_pytest_plugin_imports_nothing_of_the_suite() -> None:
    assert not loaded_by("import vggprep.pytest_plugin") & {*HEAVY, "hypothesis", "click", "rich", "numpy"}


def test_check_reference_imports_no_framework() -> None:
    code = (
        "import sys; sys.argv = ['vggprep', 'check', 'reference', '--examples', '1', '--dtype', 'uint8']\n"
        "from contextlib import redirect_stdout, suppress; from io import StringIO\n"
        "from vggprep.cli import main\n"
        "with redirect_stdout(StringIO()), suppress(SystemExit): main()"
    )
    assert not loaded_by(code) & set(HEAVY)


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


def test_the_project_file_names_the_command_the_plugin_and_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"vggprep": "vggprep.cli:main"}
    assert project["entry-points"]["pytest11"] == {"vggprep": "vggprep.pytest_plugin"}
    assert {"keras", "torch", "jax", "test"} <= set(project["optional-dependencies"])
    assert project["requires-python"] == ">=3.11"


def test_no_tracked_text_names_a_place_outside_the_repository() -> None:
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in done.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".ini") and path != Path(__file__) and path.exists():
            text = path.read_text(encoding="utf-8")
            assert "../shared" not in text, name
