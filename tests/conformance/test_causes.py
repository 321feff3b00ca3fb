"""What fails is shown once for each cause, with what the user would mend first, and on the smallest input."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from judged import judge
from support import Array

from vggprep import CHECKS, Implementation, preprocess_input
from vggprep.conformance.engine import Selection
from vggprep.conformance.report import cause_text, causes
from vggprep.spec import DataFormat, ModeName

MEANS = np.array([103.939, 116.779, 123.86], np.float32)
FEW = Selection(data_formats=("channels_last",), dtypes=("bool", "uint8", "float32", "float16"))

QUICK = [check for check in CHECKS if check.name not in ("sizes", "threads", "determinism", "layout_equivariance")]


def floats(x: Array) -> Array:
    return np.array(x, x.dtype if x.dtype.kind == "f" else np.float32)


def wrong_mean(x: Array) -> Array:
    return floats(x)[..., ::-1] - MEANS


def transposed(x: Array) -> Array:
    return np.moveaxis(preprocess_input(floats(x), mode="caffe"), -1, -3)


def in_place(x: Array) -> Array:
    if x.dtype.kind != "f":
        x = x.astype(np.float32)
    x[...] = preprocess_input(x, mode="caffe")
    return x


def of_its_batch(x: Array) -> Array:
    values = x.astype(np.float64)
    result: Array = ((values - values.mean()) / max(values.std(), 1e-12)).astype(np.float32) if x.size else floats(x)
    return result


def columns(x: Array) -> Array:
    y = floats(x)
    for k, mean in enumerate((103.939, 116.779, 123.68)):
        y[..., k : k + 1, :] -= np.float32(mean)
    return y


def in_bytes(x: Array) -> Array:
    return np.clip(preprocess_input(floats(x), mode="caffe"), 0, 255).astype(np.uint8)


def signed(x: Array) -> Array:
    y: Array = floats(x - np.array(128).astype(x.dtype)) if x.dtype.kind in "iu" else floats(x) - np.float32(128)
    return y / np.float32(128)


def grey(x: Array) -> Array:
    return np.repeat(floats(x).mean(axis=-1, keepdims=True, dtype=np.float64), 3, axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "said", "shown"),
    [
        (wrong_mean, "computes B - 103.939, G - 116.779, R - 123.86, where", "# got "),
        (transposed, "returns channels first; apart from that, it computes mode caffe", "# returns shape (3, 1, 2)"),
        (in_place, "overwrites the caller's array", "# x has changed"),
        (of_its_batch, "of the batch standardised by its own mean and deviation", "# got "),
        (columns, "-103.939, -116.779, -123.68 in columns 0, 1, 2 of every channel", "# got "),
        (in_bytes, "computes mode caffe, clipped to 0..255 and cut to whole bytes", "# got "),
        (
            signed,
            "computes R/128, G/128, B/128 of an image whose integers wrap around when 128 is subtracted",
            "# got ",
        ),
        (grey, "computes 0.333333*R + 0.333333*G + 0.333333*B in every channel", "# got "),
    ],
)
def test_one_cause_is_one_finding(function: Callable[[Array], Array], said: str, shown: str) -> None:
    groups = causes(judge(function, selection=replace(FEW, modes=("caffe",)), checks=QUICK).results)
    texts = [cause_text(group) for group in groups]
    assert said in texts[0]
    assert shown in texts[0]
    assert "Case(" not in texts[0]
    others = [text for text in texts[1:] if "refuses" not in text and "fourth channel" not in text]
    assert not others


STD = np.array([58.395, 57.12, 57.375], np.float32)


def over_and_times(x: Array) -> Array:
    return (floats(x) - MEANS) / STD * 65025


def without_brackets(x: Array) -> Array:
    return floats(x) / 255 - MEANS / STD


def by_its_dtype(x: Array) -> Array:
    return floats(x / np.iinfo(x.dtype).max) if x.dtype.kind in "iu" else floats(x)


def of_unit_range_alone(x: Array) -> Array:
    if x.size and np.nanmax(x) > 1:
        raise ValueError("not in 0..1")
    return floats(x) * 2 - 1


def less_the_first(x: Array) -> Array:
    return floats(x) - floats(x[:1]) if x.ndim == 4 else floats(x)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("function", "said", "unsaid"),
    [
        (over_and_times, "computes R*1113.54 - 115740", "integers"),
        (
            without_brackets,
            "is expected, but only to the precision of float16",
            "levels\n  in torch; channels_last; float16",
        ),
        (by_its_dtype, "computes R/65535, G/65535, B/65535", "mode caffe"),
        (of_unit_range_alone, "computes mode tf of an image that is multiplied by 255 first", "range_guessed"),
        (less_the_first, "on those at [0, 17, 20] and [1, 17, 20]", "moves"),
    ],
)
def test_what_is_said_of_one_dtype_or_rank_is_true_of_it(
    function: Callable[[Array], Array], said: str, unsaid: str
) -> None:
    dtypes = ("uint8", "uint16", "uint32", "float16", "float32", "float64")
    report = judge(function, selection=Selection(("torch",), ("channels_last",), dtypes), checks=QUICK)
    text = "\n".join(map(cause_text, causes(report.results)))
    assert said in text
    assert unsaid not in text


def luma_and_chroma(x: Array) -> Array:
    rows = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    return np.round(floats(x) @ np.array(rows, np.float32).T + np.array([0, 128, 128], np.float32))


def test_what_is_met_to_within_some_levels_is_one_cause() -> None:
    selection = Selection(("caffe",), ("channels_last",), ("float16", "float32", "float64"))
    value = [check for check in CHECKS if check.name in ("value", "channel_independence")]
    (group,) = causes(judge(luma_and_chroma, selection=selection, checks=value).results)
    assert "computes 0.299*R + 0.587*G + 0.114*B, " in cause_text(group)
    assert "to within 0." in cause_text(group)


def floats_in_unit_range(x: Array) -> Array:
    return preprocess_input(x * x.dtype.type(255) if x.dtype.kind == "f" else x, mode="caffe")


def without_alpha(x: Array) -> Array:
    return preprocess_input(x[..., :3], mode="caffe")


def rounded(x: Array) -> Array:
    return np.rint(preprocess_input(floats(x), mode="caffe"))


def in_half(x: Array) -> Array:
    return preprocess_input(floats(x), mode="caffe").astype(np.float16)


def rows_from_the_second(x: Array) -> Array:
    y = preprocess_input(floats(x), mode="caffe")
    y[..., 1:, :, :] += 1
    return y


def kept_by_shape() -> Callable[[Array], Array]:
    kept: dict[object, Array] = {}
    return lambda x: kept.setdefault((x.shape, x.dtype), preprocess_input(x, mode="caffe")).copy()


def previous() -> Callable[[Array], Array]:
    last: list[Array] = []

    def function(x: Array) -> Array:
        last.append(preprocess_input(x, mode="caffe"))
        return last[-2] if len(last) > 1 and last[-2].shape == x.shape else last[-1]

    return function


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("make", "said", "lines"),
    [
        (lambda: floats_in_unit_range, "behaves like floats_taken_as_unit_range: ", 1),
        (lambda: without_alpha, "behaves like alpha_dropped: ", 1),
        (lambda: rounded, "computes mode caffe, rounded to whole numbers", 1),
        (lambda: in_half, "behaves like half_returned: ", 1),
        (lambda: rows_from_the_second, "at each place, it computes B times 1 plus", 1),
        (kept_by_shape, "the result of an earlier call", 2),
        (previous, "the result of an earlier call", 2),
    ],
)
def test_the_lines_show_the_number_of_the_headline(
    make: Callable[[], Callable[[Array], Array]], said: str, lines: int
) -> None:
    """They are run here: of two calls, on a function that has not been called before."""
    selection = Selection(("caffe",), ("channels_last",), ("uint8", "float32"))
    (group,) = causes(judge(make(), selection=selection).results)
    text, first = cause_text(group), group[0]
    assert said in text
    assert "half_inside" not in text
    of_values = [r for r in group if r.finding == "value" and np.isfinite(r.worst_levels)]
    if not of_values:
        return
    code, got = first.reproducer.split("\n# got      ")
    *before, last = code.splitlines()
    assert [*before, last].count(last) == lines
    scope: dict[str, object] = {"implementation": Implementation("it", make())}
    exec("\n".join([*before, f"y = {last}"]), scope)
    x, result = (np.asarray(scope[name]) for name in "xy")
    error = np.abs(result - preprocess_input(x, mode="caffe")).max()
    assert error > 0
    if lines == 1:  # its own number is that of the headline, and the largest
        largest = max(r.worst_levels for r in of_values)
        assert f"{error:.3g}" == f"{largest:.3g}"
        assert f"{largest:.3g}" == f"{first.worst_levels:.3g}"
    assert "# expected " in got
    assert ("had been called before" in got) == (lines > 1)


class Counting:
    """Is wrong in every ``period``th call; a new process counts anew."""

    def __init__(self, period: int, first: int = 1) -> None:
        self.period, self.first, self.calls = period, first, 0

    def restart(self) -> None:
        self.calls = 0

    def __call__(self, x: Array) -> Array:
        self.calls += 1
        y = preprocess_input(x, mode="tf")
        return y + 1 if self.calls >= self.first and self.calls % self.period == 0 else y


@pytest.mark.parametrize(("period", "first"), [(3, 1), (7, 1), (5, 90)])
def test_what_other_calls_decide_is_shown_with_those_calls_or_without_a_result(period: int, first: int) -> None:
    selection = Selection(("tf",), ("channels_last",), ("uint8",))
    group, *_ = causes(judge(Counting(period, first), selection=selection).results)
    assert group[0].cause == "forward/fault/state"
    assert len({result.reproducer for result in group}) == 1
    code, _, got = group[0].reproducer.partition("\n# got      ")
    if first > 40:
        assert code.endswith("# right in 40 calls one after the other; it is wrong after others")
        return
    assert f"for _ in range({period - 1}):\n    implementation.preprocess(x)\n" in code
    scope: dict[str, object] = {"implementation": Implementation("it", Counting(period, first))}
    *before, last = code.splitlines()
    exec("\n".join([*before, f"y = {last}"]), scope)
    x, y = (np.asarray(scope[name]) for name in "xy")
    assert np.array_equal(y, preprocess_input(x, mode="tf") + 1)
    assert f"{y.ravel()[0]:.7g}" in got


def test_a_part_that_is_explained_is_said_to_be_a_part() -> None:
    def overflows(x: Array) -> Array:
        y = floats(x) / x.dtype.type(127.5) if x.dtype.kind == "f" else floats(x) / np.float32(127.5)
        return np.where(np.abs(floats(x)) <= 300, y, 7).astype(y.dtype) if x.dtype == np.float16 else y

    (group,) = causes(judge(overflows, selection=replace(FEW, modes=("tf",)), checks=QUICK).results)
    whole, part = sorted({result.diagnosis for result in group}, key=lambda said: "of images" in said)
    assert part == f"of images of 0..255, it {whole}"
    assert {result.dtype for result in group if result.diagnosis == part} == {"float16"}
    lines = cause_text(group).splitlines()
    assert lines[lines.index(f"  {part}") - 2].startswith("  in tf; channels_last; float16; rank 3, 4 (4 results)")
    assert any(line.endswith(f"results): {whole}") for line in lines)


def test_a_mode_that_a_function_does_not_know_is_named_as_that() -> None:
    def keras_applications(x: Array, data_format: DataFormat, mode: str) -> Array:
        known: ModeName = "tf" if mode == "tf" else "torch" if mode == "torch" else "caffe"
        return preprocess_input(x, data_format, known)

    (group,) = causes(judge(keras_applications, selection=FEW, checks=QUICK).results)
    assert "takes mode='identity' as any mode that it does not know: as caffe" in {r.diagnosis for r in group}
    assert {result.finding for result in group} >= {"value", "unknown_accepted"}
    # What is said of values is said of the mode that has them.
    assert "  in identity; channels_last; " in cause_text(group).splitlines()[1]


@pytest.mark.parametrize("function", [lambda x: x, lambda x, **others: x, lambda x, data_format=None: x[...]])
def test_a_function_that_has_nothing_to_do_may_hand_on_its_input(function: Callable[..., Array]) -> None:
    report = judge(function, selection=FEW, checks=QUICK)
    assert report.guessed == {"forward": "identity"}
    assert report.conforms
    assert any("the caller's array itself" in note for note in report.notes)


def test_an_inverse_is_said_of_the_colours_that_it_is_given() -> None:
    def restore(y: Array) -> Array:  # the means of RGB, added to BGR
        added: Array = y + np.array([123.68, 116.779, 103.939], y.dtype)
        return added[..., ::-1]

    selection = Selection(modes=("caffe",), data_formats=("channels_last",), dtypes=("float32",))
    first, *_ = causes(judge(Implementation("it", deprocess=restore), selection=selection).results)
    said = cause_text(first)
    assert (
        "computes R + 103.939, G + 116.779, B + 123.68, where R + 123.68, G + 116.779, B + 103.939 is expected" in said
    )
    assert "breaks restores_floats (VP-CAFFE-2, VP-FAITHFUL-1): " in said


def test_integers_that_floats_do_not_hold_are_shown_as_integers_and_the_pixel_is_one_that_is_lost() -> None:
    def copied(x: Array) -> Array:
        return x.astype(np.float64)

    value = [check for check in CHECKS if check.name == "value"]
    selection = Selection(("identity",), ("channels_last",), ("int64",))
    text = cause_text(causes(judge(copied, selection=selection, checks=value).results)[0])
    shown = {word: re.findall(r"-?[\d.e+]+", line) for word, line in re.findall(r"# (got|expected) +\[+(.*?)\]", text)}
    lost = [abs(int(float(got)) - int(right)) for got, right in zip(shown["got"], shown["expected"], strict=True)]
    assert f"up to {max(lost)} grey levels" in text
    assert max(lost) > 1
