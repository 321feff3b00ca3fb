"""What comes out where no mode is meant, in words: only what reproduces every value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from vggprep import preprocess_input
from vggprep.releases.questions import Question, array, parse
from vggprep.releases.recognised import computed_as, recognised
from vggprep.releases.record import history, shipped

RGB = Question("load_img", "uint8", (4, 5, 3), file="rgb")
BATCH = Question("built", "uint8", (2, 4, 5, 3))
X, B = (array(question).astype("float32") for question in (RGB, BATCH))
FOUR = Question("tensor", "float32", (4, 5, 4))
GREY, RGBA, DEEP = (
    Question("load_img", "uint8", (4, 5, c), file=file) for c, file in ((1, "grey"), (4, "rgba"), (1, "16-bit"))
)


def said(question: Question, y: npt.NDArray[np.generic]) -> str:
    words, kind = recognised(question, array(question), y, y.dtype.name)
    assert (kind == "known") == (not words.startswith("values")), words
    return words


def loaded(question: Question, channels: int, times: float = 1) -> npt.NDArray[np.float32]:
    return (array(question)[..., :channels] * np.float32(times)).astype("float32")


LUMA = (X * np.array([0.299, 0.587, 0.114])).sum(-1, keepdims=True).round().astype("float32")


@pytest.mark.parametrize(
    ("question", "y", "words"),
    [
        (RGB, X, "the pixels themselves"),
        (RGB, X[..., ::-1].copy(), "values from 0 to 255"),
        (RGB, X[1:], "values from 7 to 255"),
        (RGB, LUMA, "Rec. 601 luma"),
        (RGB, X.mean(-1, keepdims=True), "values from "),
        (RGBA, loaded(RGBA, 3), "the colours without alpha"),
        (RGBA, loaded(RGBA, 4), "the pixels themselves"),
        (GREY, np.repeat(loaded(GREY, 1), 3, -1), "grey three times"),
        (DEEP, loaded(DEEP, 1, 257), "the pixels themselves, all 16 bits"),
        (DEEP, np.minimum(loaded(DEEP, 1, 257), 255), "the pixels themselves, 16 bits cut to 255"),
        (BATCH, B / np.float32(255), 'what "divide by 255" gives'),
        (BATCH, preprocess_input(B.copy(), "channels_last", mode="torch"), "what mode torch gives"),
        (BATCH, preprocess_input(B.copy(), "channels_last", mode="caffe"), "what mode caffe gives"),
        (BATCH, B / np.float32(254), "values from 0 to 1.004"),
        (FOUR, array(FOUR) / np.float32(255), "values from 0 to 1"),
        (BATCH, np.where(B > 254, np.nan, B), "values that are not all finite"),
        (BATCH, np.zeros((0, 3), "float32"), "values of which there are none"),
    ],
    ids=str,
)
def test_what_came_out_is_named_if_every_value_says_so(
    question: Question, y: npt.NDArray[np.generic], words: str
) -> None:
    found = said(question, y)
    assert found.startswith(words) if words.endswith(" ") else found == words


def test_a_dataset_resizes_and_says_how() -> None:
    large = Question("directory", "uint8", (4, 5, 3), file="rgb", using="larger")
    nearest = np.repeat(np.repeat(X, 2, 0), 2, 1)
    assert said(large, nearest[None]) == "resized to the nearest pixels"
    assert said(large, nearest[None, ::-1].copy()) == "values from 0 to 255"
    # By hand: three parts of the nearer pixel and one of the farther.
    halves = X
    for axis in (0, 1):
        near = far = halves
        sides = np.arange(far.shape[axis])
        up, down = (far.take(np.clip(sides + step, 0, sides[-1]), axis) for step in (-1, 1))
        both = np.stack([near * 0.75 + up * 0.25, near * 0.75 + down * 0.25], axis + 1)
        halves = both.reshape([side * (1 + (i == axis)) for i, side in enumerate(halves.shape)])
    assert said(large, halves[None].astype("float32")) == "resized to bilinear means of four pixels"


def test_what_is_left_of_a_tensor_is_named() -> None:
    tensor = Question("tensor", "float32", (4, 5, 3), "torch", "channels_last")
    x = array(tensor)
    assert said(tensor, x / np.float32(255)) == 'what "divide by 255" gives'
    first = Question("tensor", "float32", (3, 4, 5), "torch", "channels_first")
    y = array(first) / np.float32(255)
    assert said(first, y) == 'what "divide by 255" gives'


def test_layers_that_learn_and_generators_that_do_two_things_are_named() -> None:
    adapted = Question("adapted", "float32", (2, 4, 5, 3))
    x = array(adapted)
    standardised = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    assert said(adapted, standardised) == "standardised by the mean and variance of what it was adapted to"
    assert said(adapted, ((x - x.mean()) / x.std()).astype("float32")).startswith("values from ")
    both = Question("generator", "float32", (2, 4, 5, 3), using="both")
    inner = preprocess_input(x.copy(), "channels_last", mode="tf")
    assert said(both, (inner / 255).astype("float32")) == "what mode tf gives, then divided by 255"
    outer = preprocess_input((x / 255).astype("float32"), "channels_last", mode="tf")
    assert said(both, outer) == "divided by 255, then what mode tf gives"


@pytest.mark.parametrize(
    ("release", "name", "mode"),
    [
        ("keras==2.1.2", "path=ndarray mode=torch data_format=channels_last dtype=float32 shape=4x5x4", "caffe"),
        ("keras==2.1.3", "path=ndarray mode=torch data_format=channels_first dtype=float32 shape=4x4x5", "torch"),
        ("keras==2.1.2", "path=ndarray mode=torch data_format=channels_first dtype=complex64 shape=3x4x5", "caffe"),
        ("keras==2.1.3", "path=graph mode=torch data_format=channels_last dtype=float32 shape=4x5x1", "torch"),
        ("tensorflow==2.3.4", "path=model mode=tf data_format=channels_last dtype=float32 shape=2x4x5x1", "tf"),
        ("keras==2.1.3", "path=graph mode=torch data_format=channels_first dtype=float32 shape=3x1x1", ""),
    ],
)
def test_the_mode_that_was_computed_is_told_by_a_digest(release: str, name: str, mode: str) -> None:
    name = name.replace(" shape", " pixels=bytes shape")
    row = shipped().observation(release).rows[name]
    assert computed_as(parse(name), row.dtype, row.shape, row.digest) == mode
    assert computed_as(parse(name), row.dtype, row.shape, row.digest[::-1]) == ""


def test_no_sentence_of_the_history_leaves_unsaid_which_values_came_out() -> None:
    assert not [c.difference.sentence for c in history() if "bit for bit" in c.difference.sentence]
