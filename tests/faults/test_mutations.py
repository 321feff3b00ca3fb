"""Mutations of any mode: what they do, by hand; caught by the check they name, named by diagnosis, or proven equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import ODD

from vggprep import oracle
from vggprep.cases import Cell
from vggprep.checks import CHECKS, Subject
from vggprep.conformance.engine import Selection, run
from vggprep.faults import FAULTS, HONEST, Fault, in_mode, mutated
from vggprep.implementations import Implementation
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, ModeName, known

BY_NAME = {check.name: check for check in CHECKS}
JUDGED = (*MODES, *PUBLISHED, *map(known, ODD))


def fails(fault: Fault) -> bool:
    """Whether the check that it names finds wrong values, in few cells; a crash is an error here."""
    (mode,) = fault.modes
    subject = Subject(fault.implementation())
    for dtype in ("uint8", "float32"):
        found = BY_NAME[fault.caught_by].judge(subject, Cell(mode, "channels_last", dtype, 3), "forward")
        if any(finding is not None and finding.kind == "value" for finding in found):
            return True
    return False


@pytest.mark.parametrize("mode", JUDGED)
def test_a_mutation_fails_the_check_it_names(mode: ModeName) -> None:
    assert [fault.name for fault in mutated(mode).faults if not fails(fault)] == []


@pytest.mark.parametrize("mode", JUDGED)
def test_an_honest_variant_of_any_mode_is_faithful(mode: ModeName) -> None:
    few = Selection(dtypes=("uint8", "float32"), data_formats=("channels_last",))
    checks = [BY_NAME[name] for name in ("value", "every_byte", "restores_floats", "restores_pixels")]
    for honest in HONEST:
        report = run(replace(honest, modes=(mode,), ranks=(3,)), checks=checks, examples=0, selection=few)
        assert report.conforms, (honest.name, report.results)
        assert {result.check for result in report.results} >= {"value", "every_byte"}


# What they are ----------------------------------------------------------------------------------------------------

# From the pixel (10, 100, 200), by hand.
M, S = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
X = np.array([10, 100, 200]) / 255
TORCH_M, TORCH_S = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
OF_CLIP: dict[str, Any] = {
    "order_reversed": (X[::-1] - M) / S,
    "order_and_constants_reversed": ((X - M) / S)[::-1],
    "constants_reversed": (X - M[::-1]) / S[::-1],
    "constants_to_2_digits": (X - [0.48, 0.46, 0.41]) / [0.27, 0.26, 0.28],
    "scale_dropped": (X * 255 - M) / S,
    "scale_doubled": (X / 255 - M) / S,
    "scale_inverted": (X * 255**2 - M) / S,
    "mean_before_scale": (X * 255 - M) / 255 / S,
    "mean_reversed": (X - M[::-1]) / S,
    "mean_to_3_digits": (X - [0.481, 0.458, 0.408]) / S,
    "mean_to_whole_levels": (X - np.array([123, 117, 104]) / 255) / S,
    "mean_alike": (X - M.mean()) / S,
    "mean_times_255": (X - M * 255) / S,
    "mean_dropped": X / S,
    "mean_doubled": (X - 2 * M) / S,
    "mean_inverted": (X + M) / S,
    "mean_of_torch": (X - TORCH_M) / S,
    "mean_of_caffe": (X - np.array([123.68, 116.779, 103.939]) / 255) / S,
    "std_before_mean": X / S - M,
    "std_squared": (X - M) / S**2,
    "std_rooted": (X - M) / np.sqrt(S),
    "std_dropped": X - M,
    "std_inverted": (X - M) * S,
    "std_of_torch": (X - M) / TORCH_S,
    "std_alike": (X - M) / S.mean(),
    "applied_twice": ((((X - M) / S) / 255) - M) / S,
}
BY_HAND: dict[str, Any] = {f"clip:{what}": value for what, value in OF_CLIP.items()} | {
    "detectron:order_reversed": [10 - 103.53, 100 - 116.28, 200 - 123.675],
    "detectron:order_and_constants_reversed": [10 - 123.675, 100 - 116.28, 200 - 103.53],
    "detectron:mean_to_2_digits": [200 - 103.53, 100 - 116.28, 10 - 123.68],
    "detectron:mean_of_caffe": [200 - 103.939, 100 - 116.779, 10 - 123.68],
    "detectron:applied_twice": [10 - 123.675 - 103.53, 100 - 2 * 116.28, 200 - 103.53 - 123.675],
    "cyclic:applied_twice": [
        (2 * ((-0.1 * 200 - 2) / 7) + 1) / 3,
        (-0.1 * ((0.5 * 10 + 3) / 0.3) - 2) / 7,
        (0.5 * ((2 * 100 + 1) / 3) + 3) / 0.3,
    ],
    "dpn:std_of_torch": None,  # its factor is no deviation
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_mutation_does_what_its_name_says(name: str) -> None:
    mode = name.partition(":")[0]
    found = [fault for fault in mutated(mode).faults if fault.name == name]
    assert len(found) == (BY_HAND[name] is not None)
    for fault in found:
        got = oracle.as_float64(fault.preprocess(np.array([[[10.0, 100.0, 200.0]]]), "channels_last", mode))  # type: ignore[misc]
        np.testing.assert_allclose(got[0, 0], BY_HAND[name], rtol=1e-12)


def test_what_is_said_of_a_mutation_is_in_its_data() -> None:
    said = {fault.name: fault.story for fault in (*mutated("clip").faults, *mutated("detectron").faults)}
    assert said["clip:std_of_torch"] == (
        "It divides by (0.229, 0.224, 0.225), the std of torch (ImageNet's), "
        "where clip divides by (0.26862954, 0.26130258, 0.27577711)."
    )
    assert "which is (123, 117, 104) whole grey levels, where" in said["clip:mean_to_whole_levels"]
    assert said["detectron:order_reversed"].startswith("The channels come out as RGB, where detectron has BGR; the c")
    for story in said.values():
        assert story[0].isupper()
        assert story.endswith(".")
        assert ". " not in story


ALWAYS = ("reversed", "to_3_digits", "alike")  # of one constant of three digits


@pytest.mark.parametrize(
    ("mode", "equal"),
    [
        ("clip", {f"scale_{what}" for what in ("reversed", "to_3_digits", "to_2_digits", "to_whole_levels", "alike")}),
        ("detectron", {"mean_to_3_digits"}),
        ("slowfast", {"mean_to_2_digits"}.union(f"{role}_{what}" for role in ("scale", "mean", "std")
            for what in ALWAYS) | {"scale_to_2_digits", "scale_to_whole_levels"}),
        ("identity", set()),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_proven_equal(mode: ModeName, equal: set[str]) -> None:
    assert {name.partition(":")[2] for name in mutated(mode).equal} == equal


def test_a_mutation_with_a_history_is_the_fault_that_has_it() -> None:
    folded = mutated("torch").folded
    assert folded["torch:mean_before_scale"] == "subtract_before_divide"
    assert folded["torch:std_dropped"] == "std_forgotten"
    assert folded["torch:std_doubled"] == "torch:std_squared"  # to divide twice by the deviation
    assert mutated("clip").folded["clip:mean_over_255"] == "clip:mean_before_scale"  # (x - m)/255 = x/255 - m/255
    names = [fault.name for fault in in_mode("torch")]
    assert len(names) == len(set(names))
    assert [n for n in names if ":" not in n] == [fault.name for fault in FAULTS if "torch" in fault.modes]


@pytest.mark.parametrize("mode", ["clip", "detectron", "cyclic"])
def test_diagnosis_names_a_mutation_or_the_mode_that_it_makes(mode: ModeName) -> None:
    few = Selection(dtypes=("float32",), data_formats=("channels_last",))
    name = known(mode)  # those of ODD are known by now
    for fault in mutated(name).faults[:: 1 if name == "detectron" else 3]:
        one = replace(fault.implementation(), ranks=(3,))
        (result,) = run(one, checks=[BY_NAME["value"]], examples=0, selection=few).results
        said = result.diagnosis
        assert said.startswith((f"behaves like {fault.name}: {fault.story}", "computes mode ", "computes the pub")), (
            said
        )


def test_nothing_is_said_of_what_is_right_in_a_mode_of_ones_own() -> None:
    def right(x: Any) -> Any:
        return (x.astype("float32") / 255 - M.astype("float32")) / S.astype("float32")

    one = Implementation("right", right, modes=["clip"], dtypes=["float32"], ranks=[3], data_formats=["channels_last"])
    report = run(one, examples=0)
    assert report.conforms
    assert {result.diagnosis for result in report.results} == {""}
