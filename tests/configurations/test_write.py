"""Writing modes: what is read again is the same, or the writer has said what is lost, and how much."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggprep.configurations import FORMATS, words, write
from vggprep.configurations.affine import ROUNDING, levels_apart, lines
from vggprep.configurations.read import read_text
from vggprep.errors import VggprepError
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode, Step

KNOWN = {**MODES, **PUBLISHED}
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=4)
ABOVE_ZERO = st.decimals(min_value="0.001", max_value=1000, places=3)


def steps() -> st.SearchStrategy[list[Step]]:
    three = st.tuples(NUMBERS, NUMBERS, NUMBERS)
    factors = st.one_of(ABOVE_ZERO, st.tuples(ABOVE_ZERO, ABOVE_ZERO, ABOVE_ZERO), ABOVE_ZERO.map(lambda x: -x))
    sums = st.builds(Step, st.sampled_from(["add", "subtract"]), st.one_of(NUMBERS, three))
    products = st.builds(Step, st.sampled_from(["multiply", "divide"]), factors)
    return st.lists(st.one_of(sums, products), max_size=4)


def modes() -> st.SearchStrategy[Mode]:
    names = st.text("ab \"'\\é", min_size=1, max_size=5).filter(str.strip)
    orders = st.one_of(st.sampled_from(["RGB", "BGR"]), st.permutations("RGB").map("".join))
    return st.builds(Mode, names, orders, steps(), summary=st.text(max_size=5), source=st.just("a\nb"))


@pytest.mark.thorough
@given(modes(), st.sampled_from(FORMATS))
@settings(max_examples=100, deadline=None)
def test_what_was_written_is_the_same_mode_or_its_loss_is_said(mode: Mode, format: str) -> None:
    written = write(mode, format)
    again = read_text(written.text, mode.name).mode
    assert written.levels == float(levels_apart(mode, again))
    if format == "toml":
        assert (again, written.lost) == (mode, ())
    elif not written.lost:
        assert again.order == mode.order
        assert written.levels <= ROUNDING


@pytest.mark.parametrize(("name", "format"), [*product(KNOWN, FORMATS)])
def test_known_modes_lose_what_the_format_cannot_say(name: str, format: str) -> None:
    mode = KNOWN[name]
    one_scale = len({line.scale for line in lines(mode)}) == 1
    says_one = format in ("deepstream", "opencv", "coreml") and not one_scale
    says_rgb = format in ("timm", "torchvision", "albumentations", "kerashub", "keras", "keras-normalization")
    expected = ("three scales",) * says_one + ("the channel order BGR",) * (says_rgb and mode.channel_order == "BGR")
    assert write(mode, format).lost == expected


@pytest.mark.parametrize(
    ("mode", "format", "lost", "levels"),
    [
        # 127.5 * (0.229 - 0.224) / (0.229 + 0.224): the best that one factor can do.
        (MODES["torch"], "deepstream", "three scales", 127.5 * 0.005 / 0.453),
        # Red is taken for blue: 255 and the difference of their means.
        (MODES["caffe"], "timm", "the channel order BGR", 255 + 123.68 - 103.939),
        (Mode("m", "GRB"), "openvino", "the channel order GRB", 255),
        (Mode("m", "RGB", [("multiply", -1)]), "timm", "a scale below 0", 510),
        (Mode("m", "RGB", [("multiply", -1)]), "deepstream", None, 0),
        (Mode("m", "RGB", [("multiply", [1, -1, 1])]), "coreml", "three scales", 255),
        (Mode("m", "RGB", [("multiply", "1e-20"), ("add", "1e10")]), "keras", None, 0),
    ],
)
def test_what_is_lost_is_counted_in_grey_levels(mode: Mode, format: str, lost: str | None, levels: float) -> None:
    written = write(mode, format)
    assert written.lost == ((lost,) if lost else ())
    assert written.levels == pytest.approx(levels, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("mode", "format", "why"),
    [
        (Mode("m", "RGB", [("divide", 2000)]), "torchvision", "means and deviations above 4"),
        (Mode("m", "RGB", [("multiply", "1e8")]), "keras-normalization", "a deviation below 1E-7"),
        (Mode("m", "RGB", [("multiply", "1e8")]), "timm", None),
        (Mode("m", "RGB", [("divide", 2000), ("subtract", 9)]), "timm", None),
    ],
)
def test_the_true_cause_of_a_loss_is_said(mode: Mode, format: str, why: str | None) -> None:
    lost = write(mode, format).lost
    assert lost == () if why is None else len(lost) == 1 and lost[0].startswith(why)


@pytest.mark.parametrize("format", ["timm", "keras-normalization", "deepstream"])
def test_constants_that_a_format_cannot_hold_are_named_as_the_cause(format: str) -> None:
    mode = Mode("m", "RGB", [("multiply", "1e30"), ("multiply", "1e30")])
    with pytest.raises(VggprepError, match=f"{format} cannot hold the constants of m"):
        write(mode, format)


@pytest.mark.parametrize("summary", ["a\x7fb", "a\x00\x1b\u2028"])
def test_toml_escapes_what_it_cannot_have(summary: str) -> None:
    mode = Mode("m", "RGB", summary=summary)
    assert read_text(write(mode, "toml").text, "m").mode == mode


def test_one_factor_is_the_nearest_there_is() -> None:
    mode = MODES["torch"]
    best = write(mode, "coreml").levels
    scales = [line.scale for line in lines(mode)]
    for factor in (*scales, sum(scales) / 3, min(scales) * Fraction("1.005")):
        for middle in (Fraction(0), Fraction("127.5"), Fraction(255)):
            means = [middle - (line.scale * middle + line.offset) / factor for line in lines(mode)]
            other = Mode(
                "other", "RGB", [("subtract", [str(float(m)) for m in means]), ("multiply", str(float(factor)))]
            )
            assert levels_apart(mode, other) >= best - 1e-9


def test_the_distance_of_two_modes_is_the_largest_on_bytes() -> None:
    mode, other = Mode("a", "RGB", [("divide", 2)]), Mode("b", "BRG", [("divide", 2), ("add", [0, 3, -1])])
    pixels = np.array(list(product((0, 100, 255), repeat=3)), float)
    values = [pixels[:, list(m.order)] * [float(x.scale) for x in lines(m)] + [float(x.offset) for x in lines(m)]
              for m in (mode, other)]  # fmt: skip
    assert float(levels_apart(mode, other)) == abs(values[0] - values[1]).max() * 2


@pytest.mark.parametrize("mode", KNOWN.values(), ids=KNOWN)
def test_the_lines_of_python_do_and_undo_the_mode(mode: Mode) -> None:
    do, undo = words.python(mode)
    x = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1).astype(np.uint8)
    scope: dict[str, Any] = {"np": np, "x": x}
    exec(do, scope)
    y = scope["y"]
    assert y.dtype == np.float32
    for channel, line in enumerate(lines(mode)):
        scale, offset = float(line.scale), float(line.offset)
        right = x[:, line.source] * scale + offset
        assert (abs(y[:, channel] - right) <= 8 * 2.0**-24 * (x[:, line.source] * abs(scale) + abs(offset))).all()
    del scope["x"]
    exec(undo, scope)
    assert scope["x"].dtype == np.uint8
    assert (scope["x"] == x).all()


def test_words_and_formulas_say_the_steps_in_their_order() -> None:
    mode = Mode("m", "BGR", [("add", 1), ("multiply", [1, 2, 3]), ("divide", 2), ("subtract", 4)])
    assert words.sentence(mode) == "RGB to BGR, then add 1, multiply by (1, 2, 3), divide by 2, subtract 4"
    assert words.formula(mode) == "(x + 1) * (1, 2, 3) / 2 - 4"
    assert (words.sentence(MODES["identity"]), words.formula(MODES["identity"])) == ("nothing", "x")


def test_an_unknown_format_is_one_line_with_those_there_are() -> None:
    with pytest.raises(VggprepError, match="no format 'caffe2'; a mode is written as toml, huggingface, "):
        write(MODES["tf"], "caffe2")
