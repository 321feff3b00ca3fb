"""Mutants are what they say, what is equivalent is proven so, and docs/mutation.md adds up."""

from __future__ import annotations

import ast
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutation import __main__ as command
from mutation import keras_functions, mutants, own
from mutation.keras_functions import BROADCAST, OTHERWISE, SAME, installed, proof_of

Array = np.ndarray[Any, Any]


def function(x: Array, words: tuple[str, ...] = ("caffe", "tf"), deep: bool = False) -> Any:
    """A docstring, which is left alone."""
    if len(words) == 2 and not deep:
        x[..., 0] -= 1.5
    x = x[:, ::-1]
    if deep:
        raise ValueError(f"deep is {7}")
    return np.stack([x, x], axis=0)


MADE = list(mutants(function))  # type: ignore[arg-type]


def test_every_part_is_changed_once_and_only_there() -> None:
    assert {m.what for m in MADE} == {
        *("constant", "operator", "out of place", "in place", "branch", "index", "order", "dropped")
    }
    assert len({m.name for m in MADE}) == len(MADE)
    assert len({ast.dump(m.definition) for m in MADE}) == len(MADE)
    changes = {(m.before, m.after) for m in MADE}
    assert {("1.5", "1.6"), ("1.5", "1.4"), ("2", "3"), ("len(words) == 2", "len(words) != 2")} <= changes
    assert {("x[..., 0] -= 1.5", "x[..., 0] = x[..., 0] - 1.5"), ("x = x[:, ::-1]", "x[...] = x[:, ::-1]")} <= changes
    assert {("return np.stack([x, x], axis=0)", "pass"), ("'caffe'", "'torch'"), (":", "0")} <= changes
    assert not any("docstring" in m.before or m.before == "7" for m in MADE)


def test_a_mutant_does_what_it_says() -> None:
    x = np.zeros((1, 1, 3))
    (changed,) = [m for m in MADE if m.after == "1.6"]
    namespace: dict[str, Any] = {"np": np, "Array": Array, "Any": Any}
    exec(compile(ast.Module([changed.definition], []), "changed", "exec", dont_inherit=True), namespace)
    assert namespace["function"](x)[0, 0, 0, 0] == -1.6


def _preprocess_numpy_input(x: Any, data_format: str, mode: str) -> Any:
    if not issubclass(x.dtype.type, np.floating):
        x = x.astype("float32", copy=False)
    x /= 2.0
    x[..., 0] -= 1.0
    return x


def _preprocess_tensor_input(x: Any, data_format: str, mode: str) -> Any:
    x = ops.stack([x[..., i] for i in (2, 1, 0)], axis=-1)
    mean = ops.convert_to_tensor(np.array([1.0, 2.0, 3.0]), dtype=x.dtype)
    mean = ops.reshape(mean, (1, 3))
    x += mean
    return x


ops: Any = None


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions in the place of Keras's."""
    found = {f.__name__: f for f in (_preprocess_numpy_input, _preprocess_tensor_input)}
    monkeypatch.setattr(keras_functions, "functions", lambda: found)
    monkeypatch.setattr(keras_functions, "_CASES", keras_functions._CASES[::11])
    keras_functions._of_the_original.cache_clear()


@pytest.mark.usefixtures("stand_ins")
def test_what_does_the_same_is_proven_and_nothing_else_is() -> None:
    proofs = {m.before + " -> " + m.after: proof_of(m) for m in mutants(_preprocess_numpy_input)}  # type: ignore[arg-type]
    assert {change for change, proof in proofs.items() if proof == SAME} == {
        "False -> True",
        "x.astype('float32', copy=False) -> x.astype('float32')",
        "x[..., 0] -= 1.0 -> x[..., 0] = x[..., 0] - 1.0",
    }
    assert [change for change, proof in proofs.items() if proof == OTHERWISE] == ["x /= 2.0 -> x = x / 2.0"]
    assert len(proofs) > 20
    # What is out of place needs Keras to be proven.
    changed = [m for m in mutants(_preprocess_tensor_input) if m.what != "out of place"]  # type: ignore[arg-type]
    of_tensors = {m.before + " -> " + m.after: proof_of(m) for m in changed}
    proven = {change: proof for change, proof in of_tensors.items() if proof}
    assert proven == {
        "mean = ops.reshape(mean, (1, 3)) -> pass": BROADCAST,
    }
    assert len(of_tensors) > 20


@pytest.mark.usefixtures("stand_ins")
def test_a_mutant_takes_the_place_of_the_function_and_gives_it_back() -> None:
    (changed,) = [m for m in mutants(_preprocess_numpy_input) if m.after == "2.1"]  # type: ignore[arg-type]
    with installed(changed):
        assert _preprocess_numpy_input(np.full((1, 1, 3), 4.2), "", "").tolist() == [[[1.0, 2.0, 2.0]]]
    assert _preprocess_numpy_input(np.full((1, 1, 3), 4.0), "", "").tolist() == [[[1.0, 2.0, 2.0]]]


def row(name: str, **found: Any) -> dict[str, Any]:
    nothing = {"check": None, "proof": None, "tests": None, "error": 0.0, "allclose": False, "round trip": False}
    return {"name": name, **nothing, **found}


def test_the_report_counts_what_each_way_notices_and_names_what_nobody_does() -> None:
    rows = [
        row(
            "preprocess_input:1:1 dropped: a -> pass", check="value (value)", tests="test_x", error=0.01, allclose=True
        ),
        row("preprocess_input:2:1 dropped: b -> pass"),
        row("_preprocess_numpy_input:3:1 in place: c -> d", proof=SAME, tests="test_x"),
    ]
    text = command.report(rows)
    assert "| mutants | 2 | 1 | 0 | 3 |" in text
    assert "| **do something else** | 2 | 0 | 0 | 2 |" in text
    assert "| `vggprep check` | 1 | 0 | 0 | 1 |" in text
    assert "| one image, `atol=1e-1` | 0 | 0 | 0 | 0 |" in text
    assert "| one image, `atol=1e-3` | 1 | 0 | 0 | 1 |" in text
    assert "`vggprep check` conforms: 1.\n\n- `preprocess_input:2:1 dropped: b -> pass`\n" in text


def test_a_result_that_was_cut_off_is_judged_again(tmp_path: Path) -> None:
    (tmp_path / "kept.jsonl").write_text('{"name": "a"}\n{"name": "b', encoding="utf-8")
    assert list(command.kept(tmp_path / "kept.jsonl")) == ["a"]
    assert command.kept(tmp_path / "none.jsonl") == {}


PAGE = command.PAGE.read_text(encoding="utf-8")


def numbers(start: str) -> list[int]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start} |")]
    return [int(cell.replace(",", "")) for cell in line.strip("| ").split(" | ")[1:]]


def test_the_numbers_of_the_page_add_up() -> None:
    whole, same, different = map(numbers, ("mutants", "of these, do the same", r"**do something else**"))
    assert [a - b for a, b in zip(whole, same, strict=True)] == different
    for counts in (whole, same, different, *(numbers(way) for way in command.WAYS)):
        assert sum(counts[:-1]) == counts[-1]
    coarse, middle, fine = (numbers(f"one image, `atol=1e-{n}`")[-1] for n in (1, 3, 5))
    assert coarse <= middle <= fine <= different[-1]
    missed = int(re.search(r"`vggprep check` conforms: (\d+)\.", PAGE)[1])  # type: ignore[index]
    assert numbers("`vggprep check`")[-1] + missed == different[-1]
    first = [
        int(n)
        for n in re.findall(r"^\| \w+ \(\w+\)(?: where Keras is set to channels_first)? \| (\d+) \|$", PAGE, flags=re.M)
    ]
    assert sum(first) == different[-1] - missed
    proven = [int(n) for n in re.findall(r"^(\d+) do the same: ", PAGE, flags=re.M)]
    assert sum(proven) == same[-1]
    for way, sees in zip(command.WAYS, [numbers(way)[-1] for way in command.WAYS], strict=True):
        assert f"{way} {sees / different[-1]:.1%}" in PAGE


# vggprep's own mutants ------------------------------------------------------------------------------------------------


def test_the_page_says_what_was_kept_of_the_mutants_of_our_own_code() -> None:
    head, rows = own.read(own.KEPT)
    assert own.report(head, rows) in PAGE
    assert "not explained" not in own.report(head, rows)
    assert set(own.REASONS) <= {f"{row['module'].removeprefix('vggprep.')}.{row['name']}" for row in rows}


def test_every_mutant_can_be_drawn_and_a_seed_draws_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MODULES", ("vggprep.checks.inverse", "vggprep.checks.check"))
    counts, order = own.drawn(15)
    assert counts == {module: sum(o.module == module for o in order) for module in own.MODULES}
    assert {o.name.partition(":")[0] for o in order} >= {
        "restores_pixels",
        "restores_floats",
        "Check.applies_to",
        "check",
    }
    assert [o.module for o in order[:4]] == [*own.MODULES] * 2  # in turn
    assert [o.name for o in own.drawn(15)[1]] == [o.name for o in order] != [o.name for o in own.drawn(16)[1]]


def test_a_mutant_of_our_own_replaces_code_and_defaults() -> None:
    def judged(x: int, y: int = 3, *, z: int = 5) -> int:
        return x + y + z

    every = list(mutants(judged))  # type: ignore[arg-type]
    (changed,) = [m for m in every if (m.before, m.after) == ("5", "6")]
    own.install(own.Own("", "", judged, changed))
    assert judged(1) == 10
    (changed,) = [m for m in every if (m.before, m.after) == ("3", "2")]
    own.install(own.Own("", "", judged, changed))
    assert judged(1, z=0) == 3


def test_a_fork_says_whether_a_test_or_the_time_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(x: int) -> int:
        return x + 1

    def run(items: Any) -> None:
        assert judged(1) == items[0]

    monkeypatch.setattr(own, "_run", run)
    (changed,) = [m for m in mutants(judged) if m.after == "x - 1"]  # type: ignore[arg-type]
    for wanted, words in ((2, "test"), (0, "")):
        items: Any = [wanted]
        _, status = os.waitpid(own._forked(own.Own("", "", judged, changed), items, 60), 0)
        assert own._words(status) == words
    assert judged(1) == 2
    assert own._words(int(signal.SIGXCPU)) == "time"
