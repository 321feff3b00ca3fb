"""What differs between two observations, in sentences."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from stand_in import RAISES, RIGHT, WRONG, observed, question

from vggprep.releases.changes import KINDS, PATHS, Difference, State, common, compare, state, unchanged
from vggprep.releases.observation import Observation, Row
from vggprep.releases.questions import Question, Shape, parse
from vggprep.releases.record import shipped


def differences(old: Row, new: Row, **attributes: Any) -> list[Difference]:
    asked = question(**{"path": "tensor", **attributes}).id
    return compare(Observation({}, {asked: old}), Observation({}, {asked: new}))


def one(old: Row, new: Row, **attributes: Any) -> Difference:
    (difference,) = differences(old, new, **attributes)
    return difference


def test_nothing_differs_from_itself() -> None:
    whole = observed(ndarray=RIGHT, tensor=WRONG, graph=RAISES, model=Row(fatal="SIGSEGV"))
    assert compare(whole, whole) == []
    assert list(common(whole, whole)) == list(whole.rows)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (WRONG, RIGHT, "value"),
        (RIGHT, WRONG, "value"),
        (WRONG, replace(WRONG, digest="c", levels=40.0), "value"),
        (RAISES, WRONG, "value"),
        (WRONG, RAISES, "value"),
        (RIGHT, Row(fatal="SIGABRT"), "crash"),
        (RIGHT, RAISES, "refusal"),
        (RIGHT, replace(RIGHT, written=True), "writes"),
        (RAISES, RIGHT, "error"),
        (RAISES, Row(error="ValueError"), "error"),
        (Row(fatal="SIGABRT"), RIGHT, "error"),
        (RIGHT, replace(RIGHT, dtype="float64", digest="c"), "dtype"),
        (RIGHT, replace(RIGHT, aliasing="same"), "aliasing"),
        (replace(RIGHT, written=True), RIGHT, "aliasing"),
        (RIGHT, replace(RIGHT, digest="c"), "rounding"),
        (WRONG, replace(WRONG, digest="c"), "rounding"),
        (RAISES, replace(RAISES, message="another text"), None),
        (RIGHT, replace(RIGHT, warnings=("UserWarning",)), None),
        (RIGHT, Row(skipped="not here"), None),
        (Row(skipped="not here"), WRONG, None),
        (RIGHT, replace(RIGHT, levels=2e-6), None),
    ],
)
def test_every_kind_of_difference_and_what_is_none(old: Row, new: Row, kind: str | None) -> None:
    found = differences(old, new)
    assert [difference.kind for difference in found] == [kind] * (kind is not None)
    for difference in found:
        assert difference.matters == (kind in ("value", "crash", "refusal", "writes"))
        assert difference.sentence.endswith(".")
        assert json.dumps(difference.to_json())


def test_how_xla_rounds_on_another_processor_is_no_difference() -> None:
    here = observed(xla=RIGHT, graph=RIGHT)
    there = Observation({**here.running, "processor": "another"}, dict(here.rows))
    other_bits = {question(path).id: replace(RIGHT, digest="c") for path in ("xla", "graph")}
    assert compare(here, there) == []
    (both,) = compare(here, Observation(here.running, other_bits))
    (graph,) = compare(here, Observation(there.running, other_bits))
    assert set(both.rows) == set(other_bits)
    assert graph.rows == (question("graph").id,)
    (wrong,) = compare(here, Observation(there.running, {question("xla").id: WRONG}))
    assert wrong.matters


def test_outside_the_definition_nothing_matters_but_a_dropped_channel() -> None:
    undefined = replace(RIGHT, verdict="undefined", levels=None, digest="c")
    assert one(undefined, replace(undefined, digest="d"), shape=(4, 5, 4)).kind == "outside"
    assert one(RIGHT, WRONG, shape=(2, 2, 4, 5, 3)).kind == "outside"
    dropped = replace(WRONG, cause="4 channels in, 3 out", levels=None)
    assert one(undefined, dropped, shape=(4, 5, 4)).kind == "value"


def test_an_unknown_mode_or_format_that_is_answered_is_wrong() -> None:
    taken = replace(RIGHT, verdict="undefined", levels=None, cause="taken for mode caffe")
    assert one(taken, RAISES, mode="unknown").sentence == (
        "3-D channels_last float32 eager tensors with mode 'unknown': "
        "now raises TypeError; before, taken for mode caffe. 1 row."
    )
    assert one(taken, RAISES, mode="unknown").matters
    assert one(RAISES, taken, data_format="NHWC").matters


def test_rows_of_one_cause_are_one_sentence_and_the_worst_comes_first() -> None:
    narrow = question("tensor", shape=(3, 3, 5), data_format="channels_first").id
    usual = [question(path, shape=(3, 4, 5), data_format="channels_first").id for path in ("tensor", "graph")]
    rounded = question("xla").id
    old = {narrow: WRONG, **dict.fromkeys(usual, RAISES), rounded: RIGHT}
    new = {**dict.fromkeys(old, RIGHT), rounded: replace(RIGHT, digest="z")}
    first, last = compare(Observation({}, old), Observation({}, new))
    assert first.sentence == (
        "3-D channels_first float32 eager tensors and graphs in caffe mode: now right; "
        "before, the mean along the height where exactly 3 high, raises TypeError where 4 high. "
        "3 rows; up to 19.7 grey levels."
    )
    assert last.kind == "rounding"
    assert KINDS.index(first.kind) < KINDS.index(last.kind)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("keras==2.15.0", "keras==3.15.1"),
        ("keras==2.1.2", "keras==2.1.3"),
        ("tensorflow==2.4.4", "keras==2.6.0"),
        ("keras[jax]==3.0.5", "keras[torch]==3.15.1"),
    ],
)
def test_what_is_said_not_to_have_changed_has_the_same_bits(old: str, new: str) -> None:
    before, after = (shipped().observation(name) for name in (old, new))
    said = unchanged(before, after, compare(before, after))
    family, modes, rows = re.fullmatch(r"(.*?)(?: in (.*) mode)? \((\d+) rows\)", said).groups()  # type: ignore[union-attr]

    def of(asked: Question) -> bool:
        peculiar = asked.policy, asked.using, asked.layout, asked.floatx, asked.after, asked.signature
        plain = not any(peculiar) and 0 not in asked.shape
        data_format = "channels_last" if asked.effective_format is None else asked.effective_format
        traits = (("D", f"{len(asked.shape)}-D"), ("channels", data_format), ("float|uint|integer", asked.dtype))
        named = all(trait in family.split() or not re.search(rf"\b\d?-?({some})", family) for some, trait in traits)
        known = {"channels_last": asked.shape[-1:], "channels_first": asked.shape[-3:-2]}.get(data_format) == (3,)
        here = len(asked.shape) in (3, 4) and known and asked.dtype != "complex64" and PATHS[asked.path] in family
        return bool(plain and named and here and asked.known_mode and (not modes or asked.known_mode in modes))

    within = [name for name in common(before, after) if of(parse(name))]
    assert len(within) == int(rows)
    assert all(before.rows[name].digest == after.rows[name].digest for name in within)


def test_nothing_is_said_not_to_have_changed_where_everything_did() -> None:
    old, new = observed(tensor=RIGHT, graph=RIGHT), observed(tensor=WRONG, graph=replace(RIGHT, digest="c"))
    assert unchanged(old, new, compare(old, new)) == ""
    there = Observation({"processor": "another"}, new.rows)  # whose XLA may round in its own way
    assert unchanged(observed(xla=RIGHT), observed(xla=replace(RIGHT, digest="c")), []) == ""
    assert unchanged(old, there, compare(old, there)) == ""


@pytest.mark.parametrize("old", [RIGHT, RAISES])
def test_overwriting_the_input_is_a_change_of_its_own(old: Row) -> None:
    new = replace(old, digest=old.digest and "c", written=True)
    assert next(iter(differences(old, new, path="ndarray"))).kind == "writes"
    assert any(difference.matters for difference in differences(old, new, path="ndarray"))


def test_what_a_call_that_raised_left_of_a_tensor_is_compared_only_if_both_probes_tell() -> None:
    asked = question("tensor").id
    before, after = {asked: RAISES}, {asked: replace(RAISES, written=True)}
    assert compare(Observation({}, before), Observation({"probe": "2"}, after)) == []
    (found,) = compare(Observation({"probe": "2"}, before), Observation({"probe": "2"}, after))
    assert found.kind == "writes"


def test_variables_of_two_libraries_are_not_compared() -> None:
    asked = question("variable").id
    old, new = (
        Observation({"target": "keras", "keras": v}, {asked: r}) for v, r in (("2.15.0", RAISES), ("3.0.0", RIGHT))
    )
    assert compare(old, new) == []
    assert len(compare(Observation(new.running, old.rows), new)) == 1


@pytest.mark.parametrize(
    ("given", "came", "words"),
    [
        ((3, 1, 5), (3, 3, 5), "3 times as high"),
        ((3, 1, 1), (3, 3, 3), "3 times as high and 3 times as wide"),
        ((2, 3, 4, 1), (2, 3, 4, 3), "3 times as wide"),
        ((3, 1, 5), (3, 5), "the shape 3x5"),
        ((2, 3, 4, 5), (6, 3, 4, 5), "the shape 6x3x4x5"),
        ((2, 3, 4, 5), (2, 3, 8, 5), "2 times as high"),
    ],
)
def test_a_shape_that_is_wrong_is_told(given: Shape, came: Shape, words: str) -> None:
    asked = question("tensor", shape=given, data_format="channels_first")
    assert state(asked, Row("float32", came, "a", verdict="wrong", cause="another shape")) == State("result", words)
