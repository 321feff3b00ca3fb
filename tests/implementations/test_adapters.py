"""What people's functions take and return: images, paths, tensors, dicts; one size; OpenCV's order."""

from __future__ import annotations

import re
import sys
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command_line import importable, vggprep
from support import colours

from vggprep import Implementation
from vggprep.conformance.engine import Selection, run
from vggprep.conformance.judging import judge
from vggprep.conformance.report import headlines
from vggprep.implementations.advice import recognised
from vggprep.implementations.callables import as_array, call
from vggprep.implementations.targets import load

Array = npt.NDArray[Any]
MEANS = np.array([103.939, 116.779, 123.68], np.float32)


def caffe(x: Any) -> Array:
    return np.asarray(x, np.float32)[..., ::-1] - MEANS


def from_pil(image: Any) -> Array:
    return caffe(image.convert("RGB"))


def from_path(path: Any) -> Array:
    from PIL import Image

    with open(path, "rb") as file:
        return caffe(Image.open(file))


def from_torch(x: Any) -> Any:
    import torch

    return x.flip(-1).float() - torch.from_numpy(MEANS)


def from_nchw(x: Any) -> Any:
    import torch

    assert x.dim() == 4
    return x.permute(0, 2, 3, 1).flip(-1).permute(0, 3, 1, 2).float() - torch.from_numpy(MEANS).view(3, 1, 1)


def from_tf(x: Any) -> Any:
    import tensorflow as tf

    assert tf.is_tensor(x)
    return tf.cast(x, tf.float32)[..., ::-1] - MEANS


def from_jax(x: Any) -> Any:
    import jax

    assert isinstance(x, jax.Array)
    return x[..., ::-1].astype("float32") - MEANS


def only_224(x: Any) -> Array:
    if x.shape[-3:] != (224, 224, 3):
        raise ValueError("expected 224x224x3")
    return caffe(x)


NEEDS = {"pil": "PIL", "path": "PIL", "torch": "torch", "tf": "tensorflow", "jax": "jax"}
WANTS = {"pil": from_pil, "path": from_path, "torch": from_torch, "tf": from_tf, "jax": from_jax}


# What comes back --------------------------------------------------------------------------------------------------


def torch_tensor(y: Array) -> Any:
    return pytest.importorskip("torch").from_numpy(y)


def with_gradient(y: Array) -> Any:
    return torch_tensor(y).requires_grad_()


def tf_tensor(y: Array) -> Any:
    return pytest.importorskip("tensorflow").constant(y)


def tf_variable(y: Array) -> Any:
    return pytest.importorskip("tensorflow").Variable(y)


def jax_array(y: Array) -> Any:
    return pytest.importorskip("jax").numpy.asarray(y)


def batch_feature(y: Array) -> Any:
    return pytest.importorskip("transformers").BatchFeature({"pixel_values": y, "pixel_mask": y[..., 0]})


@pytest.mark.parametrize(
    ("made", "remark"),
    [
        (torch_tensor, "returns a torch.Tensor: converted to an array"),
        (with_gradient, "returns a torch.Tensor: converted to an array"),
        (tf_tensor, "EagerTensor: converted to an array"),
        (tf_variable, "ResourceVariable: converted to an array"),
        (jax_array, "ArrayImpl: converted to an array"),
        (batch_feature, "BatchFeature: its 'pixel_values' is judged"),
        (lambda y: {"pixel_values": y, "mask": y[..., 0]}, "returns a dict: its 'pixel_values' is judged"),
        (lambda y: UserDict(pixel_values=[y[0], y[1]], sizes=y[0]), "UserDict: its 'pixel_values' is judged"),
        (lambda y: {"image": y, "label": "cat"}, "returns a dict: its 'image' is judged"),
        (lambda y: {"pixel_values": torch_tensor(y)}, "returns a dict: its 'pixel_values' is judged"),
        (lambda y: (y, 1.0), "returns a tuple of 2: the one array in it is judged"),
        (lambda y: y.tolist(), "returns a list, not an array"),
        (lambda y: list(y), "returns a list, not an array"),
        (lambda y: list(torch_tensor(y)), "returns a list, not an array"),
    ],
)
def test_what_is_returned_in_another_form_is_judged_with_a_remark(made: Callable[[Array], Any], remark: str) -> None:
    x = colours(2, 3, 4, 3)
    returned = made(caffe(x))
    outcome = call(lambda x: returned, x, None, None)
    assert outcome.output is not None
    np.testing.assert_array_equal(outcome.output, caffe(x))
    assert remark in outcome.form
    assert outcome.form in outcome.remarks


def test_bfloat16_tensors_keep_their_numbers() -> None:
    torch = pytest.importorskip("torch")
    y = torch.tensor([[1.5, -300.0]]).bfloat16()
    found, _ = as_array(y.requires_grad_())
    assert found.astype(np.float32).tolist() == [[1.5, -300.0]]
    assert found.dtype.name == ("bfloat16" if "ml_dtypes" in sys.modules else "float32")


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (lambda y: (y, y), "tuple"),
        (lambda y: {"a": y, "b": y}, "dict"),
        (lambda y: {}, "dict"),
        (lambda y: [], "list"),
        (lambda y: "image", "str"),
    ],
)
def test_what_holds_no_single_array_is_not_judged(made: Callable[[Array], Any], got: str) -> None:
    outcome = call(lambda x: made(x), colours(2, 3, 3), None, None)
    assert str(outcome.problem) == f"returns a {got}, not a NumPy array"


def test_a_list_of_images_of_several_sizes_cannot_be_read() -> None:
    outcome = call(lambda x: [x, x[:1]], colours(2, 3, 3), None, None)
    assert outcome.problem is not None
    assert outcome.problem.kind == "unreadable"


def test_a_tensor_in_the_callers_memory_is_known_as_a_view() -> None:
    torch = pytest.importorskip("torch")
    outcome = call(lambda x: torch.from_numpy(x), colours(2, 3, 3), None, None)
    assert outcome.shares_input
    assert not outcome.returns_input


# What goes in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes", WANTS)
def test_a_function_gets_what_it_takes(takes: Any) -> None:
    pytest.importorskip(NEEDS[takes])
    x = colours(5, 7, 3)
    adapted = Implementation("it", WANTS[takes], takes=takes)
    assert adapted.preprocess is not None
    assert adapted.native_only
    np.testing.assert_array_equal(adapted.preprocess(x), caffe(x))
    np.testing.assert_array_equal(adapted.preprocess(np.stack([x, x[::-1]])), caffe(np.stack([x, x[::-1]])))
    assert (adapted.dtypes, adapted.ranks) == ((("uint8",), (3,)) if takes in ("pil", "path") else (None, None))


@pytest.mark.parametrize("dtype", ["bfloat16", "uint16", "float64", "bool"])
def test_torch_tensors_are_made_of_every_dtype(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    adapted = Implementation("it", lambda x: (x.dtype == getattr(torch, dtype)) * x.float(), takes="torch")
    x = colours(2, 3, 3).astype(dtype)
    assert adapted.preprocess is not None
    np.testing.assert_array_equal(adapted.preprocess(x), x.astype(np.float32))


def test_the_file_of_a_path_is_gone_after_the_call() -> None:
    pytest.importorskip("PIL")
    seen: list[Path] = []

    def remembers(path: str) -> Array:
        seen.append(Path(path))
        return from_path(path)

    adapted = Implementation("it", remembers, takes="path")
    assert adapted.preprocess is not None
    adapted.preprocess(colours(2, 3, 3))
    assert seen[0].suffix == ".png"
    assert not seen[0].exists()


def test_images_of_opencv_are_reversed_on_their_way_in_and_out() -> None:
    both = Implementation("it", lambda x: x - MEANS, lambda y: y + MEANS, input_order="bgr")
    x = colours(2, 4, 3)
    assert both.preprocess is not None
    assert both.deprocess is not None
    np.testing.assert_array_equal(both.preprocess(x), caffe(x))
    np.testing.assert_allclose(both.deprocess(caffe(x)), x, atol=1e-4)
    first = Implementation("it", lambda x: x, input_order="bgr", data_formats=["channels_first"])
    assert first.preprocess is not None
    np.testing.assert_array_equal(first.preprocess(np.moveaxis(x, -1, 0)), np.moveaxis(x[..., ::-1], -1, 0))


@pytest.mark.parametrize(
    "shape", [(8, 32, 3), (2, 8, 16, 3), (224, 224, 3), (1, 60000, 3), (3, 1, 500, 3), (0, 4, 3), (0, 4, 4, 3)]
)
def test_pixels_of_any_image_are_put_into_frames_of_the_one_size(shape: tuple[int, ...]) -> None:
    framed = Implementation("it", only_224, size=[224, 224])
    x = colours(*shape)
    assert framed.preprocess is not None
    assert framed.size == (224, 224)
    np.testing.assert_array_equal(framed.preprocess(x), caffe(x))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda y: np.moveaxis(y, -1, -3), (3, 4, 5)),
        (lambda y: y[..., :2], (4, 5, 2)),
        (lambda y: y[:100], "returns shape (100, 224, 3) for an input of shape (224, 224, 3)"),
        (lambda y: None, "returns None, not an array"),
    ],
)
def test_a_frame_that_comes_back_in_another_shape_is_seen(spoil: Callable[[Array], Any], expected: Any) -> None:
    framed = Implementation("it", lambda x: spoil(only_224(x)), size=(224, 224))
    assert framed.preprocess is not None
    outcome = call(framed.preprocess, colours(4, 5, 3), None, None)
    assert (outcome.output.shape if outcome.output is not None else str(outcome.problem)) == expected


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"takes": "image"}, "takes must be among array, pil, path, torch, tf, jax; got 'image'"),
        ({"takes": "dict"}, "takes must be among array, pil, path, torch, tf, jax; got 'dict'"),
        ({"takes": "pil", "dtypes": ["float32"]}, "takes='pil' means dtypes=('uint8',); got dtypes=['float32']"),
        ({"takes": "path", "ranks": [4]}, "takes='path' means ranks=(3,); got ranks=[4]"),
        ({"takes": "pil", "deprocess": caffe}, "takes='pil' is for a forward function; judge the inverse by itself"),
        ({"size": (224,)}, "size must be a height and a width, such as (224, 224); got (224,)"),
        ({"size": (0, 5)}, "size must be a height and a width, such as (224, 224); got (0, 5)"),
        ({"input_order": "gbr"}, "input_order must be among rgb, bgr; got 'gbr'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(claims: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"must be|means|is for") as caught:
        Implementation("it", caffe, **claims)
    assert str(caught.value) == message


# What is recognised -----------------------------------------------------------------------------------------------


def resizes(x: Any) -> Array:
    from PIL import Image

    return caffe(np.asarray(Image.fromarray(np.asarray(x, np.uint8)).resize((96, 64))))


def pads(x: Any) -> Array:
    """To multiples of 32, as small images of which all have one size."""
    height, width = x.shape[-3:-1]
    return np.pad(caffe(x), [(0, 0)] * (x.ndim - 3) + [(0, -height % 32), (0, -width % 32), (0, 0)])


def resizes_and_crops(x: Any) -> Array:
    from PIL import Image

    return caffe(np.asarray(Image.fromarray(np.asarray(x, np.uint8)).resize((80, 80)))[8:72, 8:72])


def needs_constants(x: Any, mean: Any, std: Any) -> Any:
    return (x - mean) / std


def colour_mode(x: Any, mode: str = "RGB") -> Any:
    if mode not in ("RGB", "BGR"):
        raise ValueError(mode)
    return caffe(x)


def ignores_mode(x: Any, mode: str = "test") -> Any:
    return caffe(x)


def requires_mode(x: Any, mode: str) -> Any:
    raise ValueError(mode)


def nhwc(x: Any, data_format: str = "NHWC") -> Any:
    return {"NHWC": caffe}[data_format](x)


def first_or_not(x: Any, channels_first: bool = False) -> Any:
    return caffe(x)


def planes(x: Any) -> Any:
    return x[..., ::-1, :, :] - MEANS[:, None, None]


def from_dict(x: Any) -> Any:
    return caffe(x["image"])


def by_keyword(*images: Any, **named: Any) -> Any:
    if images:
        raise KeyError("pass the image by name")
    return {"image": caffe(named["image"])}


def channels_first_of_pil(image: Any) -> Any:
    return np.moveaxis(from_pil(image), -1, 0)


def only_320_by_192(x: Any) -> Any:
    if x.shape[-3:-1] != (320, 192):
        raise ValueError("images must be 320 by 192")
    return caffe(x)


@pytest.mark.parametrize(
    ("function", "claims", "kinds", "changes"),
    [
        (caffe, {}, [], {}),
        (only_224, {}, ["one_size"], {"size": (224, 224)}),
        (only_320_by_192, {}, ["one_size"], {"size": (320, 192)}),
        (resizes, {}, ["resizes"], {"size": (64, 96)}),
        (resizes, {"takes": "pil"}, ["resizes"], {"size": (64, 96)}),
        (pads, {}, [], {"size": None}),
        (resizes_and_crops, {}, ["mixes"], {"size": None}),
        (channels_first_of_pil, {"takes": "pil"}, ["channels_first"], {"data_formats": ("channels_first",)}),
        (planes, {}, ["takes_channels_first"], {"data_formats": ("channels_first",), "ranks": None}),
        (needs_constants, {}, ["required"], {}),
        (colour_mode, {}, ["mode_word"], {}),
        (ignores_mode, {}, ["mode_word"], {}),
        (requires_mode, {}, ["mode_refused"], {}),
        (nhwc, {}, ["data_format_words"], {}),
        (first_or_not, {}, ["layout_parameter"], {}),
        (from_pil, {}, ["wants"], {"takes": "array"}),
        (from_path, {}, ["wants"], {}),
        (from_dict, {}, ["wants_dict"], {}),
        (by_keyword, {}, ["wants_keyword"], {}),
        (from_nchw, {"takes": "torch"}, ["takes_channels_first"], {"ranks": (4,)}),
        (from_nchw, {}, ["wants"], {}),
        (from_tf, {}, ["wants"], {}),
        (from_jax, {}, ["wants"], {}),
    ],
)
def test_what_a_function_wants_is_found_by_calling_it(
    function: Callable[..., Any], claims: dict[str, Any], kinds: list[str], changes: dict[str, Any]
) -> None:
    for name, module in (("pil", "PIL"), ("path", "PIL"), ("nchw", "torch"), ("tf", "tensorflow"), ("jax", "jax")):
        if name in function.__name__ or claims.get("takes") == name or function.__name__.startswith("resizes"):
            pytest.importorskip(module)
    found, notes = recognised(Implementation("it", function, **claims))
    assert [note.kind for note in notes] == kinds
    assert {name: getattr(found, name) for name in changes} == changes
    assert all("\n" not in str(note) for note in notes)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (
            from_pil,
            "refuses arrays and accepts PIL images: judge it with --takes pil, which is takes='pil' of an Implem",
        ),
        (needs_constants, "needs mean and std besides the image: wrap it as functools.partial(it, mean=..., std=...)"),
        (
            colour_mode,
            "its mode means something else ('RGB' by default; caffe, tf, torch, identity are refused or ignor",
        ),
        (only_224, "refuses images of 8x32 and accepts 224x224: judged at that size"),
        (
            nhwc,
            "refuses channels_last and accepts data_format='NHWC': wrap it as lambda x, data_format: it(x, data_form",
        ),
    ],
)
def test_advice_is_one_line_that_says_what_to_do(note: Callable[..., Any], said: str) -> None:
    if note is from_pil:
        pytest.importorskip("PIL")
    (found,) = recognised(Implementation("it", note))[1]
    assert str(found).startswith(said)


def test_a_function_that_takes_arrays_is_called_once() -> None:
    seen = []

    def counts(x: Array) -> Array:
        seen.append(x.shape)
        return caffe(x)

    implementation = Implementation("it", counts)
    assert recognised(implementation) == (implementation, [])
    assert len(seen) == 1


def test_a_mode_that_a_wrong_function_ignores_is_still_asked_for() -> None:
    def always_caffe(x: Any, mode: str = "caffe") -> Any:
        return caffe(x)

    assert recognised(Implementation("it", always_caffe))[1] == []


def test_frameworks_that_are_not_imported_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)

    def refuses(x: Any) -> Any:
        raise TypeError(type(x).__name__)

    assert recognised(Implementation("it", refuses))[1] == []
    assert not {"torch", "tensorflow", "jax"} & set(sys.modules)


# The whole way ----------------------------------------------------------------------------------------------------

THEIRS = """
import numpy as np

import vggprep

MEANS = np.array([103.939, 116.779, 123.68], "float32")


def from_pil(image):
    return np.asarray(image.convert("RGB").resize((224, 224)), "float32")[..., ::-1] - MEANS


def deprocess(y):
    return np.rint(np.clip((np.array(y).reshape((224, 224, 3)) + MEANS)[..., ::-1], 0, 255)).astype("uint8")


def swapped(x):
    if x.shape != (299, 299, 3):
        raise ValueError("another size")
    return x.astype("float32") - MEANS


def worded(x, mode="RGB"):
    if mode != "RGB":
        raise ValueError(mode)
    return x.astype("float32") - MEANS


claimed = vggprep.Implementation("claimed", from_pil, takes="pil")
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["check", "theirs:from_pil", "--takes", "pil", "--mode", "caffe"],
            0,
            "returns images of 224x224 whatever their",
        ),
        (["check", "--inverse", "theirs:deprocess", "--mode", "caffe"], 0, "accepts 224x224: judged at that size"),
        (["identify", "theirs:swapped", "--input-order", "bgr"], 0, "refuses images of 8x32 and accepts 299x299"),
        (["identify", "theirs:swapped", "--size", "299X299"], 1, "channel 0 = R - 103.939"),
        (
            ["prove", "theirs:from_pil", "--takes", "pil", "--size", "224x224", "--mode", "caffe", "--dtype", "uint8"],
            0,
            "768",
        ),
        (["check", "theirs:swapped", "--size", "299"], 2, "--size 299 is not a height and a width, such as 224x224"),
        (
            ["check", "keras", "--takes", "pil"],
            2,
            "keras takes arrays: --takes, --size and --input-order are for module",
        ),
        (["identify", "onnx:no.onnx", "--size", "8x8"], 2, "onnx:no.onnx takes arrays"),
        (
            ["check", "theirs:from_pil", "--takes", "pil", "--inverse", "theirs:deprocess"],
            2,
            "is for a forward function",
        ),
    ],
)
def test_the_command_line_feeds_functions_what_they_take(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "theirs.py").write_text(THEIRS)
    done = vggprep(*arguments, *(["--examples", "0"] if arguments[0] == "check" else []), cwd=tmp_path)
    assert said in done.stdout + done.stderr
    assert done.returncode == code


@pytest.mark.parametrize(
    ("target", "options"),
    [("theirs:from_pil", {"takes": "pil"}), ("theirs:claimed", {}), ("theirs:swapped", {}), ("theirs:worded", {})],
)
@pytest.mark.parametrize("isolated", [False, True])
def test_a_reproducer_makes_what_the_function_takes(
    target: str, options: dict[str, Any], isolated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "theirs.py").write_text(THEIRS.replace(", ::-1] - MEANS", "] - MEANS"))
    with importable(tmp_path):
        (judged,) = load(target, isolated=isolated, **options)
        report = judge(judged, selection=Selection(("caffe",), dtypes=("uint8",)), examples=0)
        lines = next(r.reproducer for r in report.results if r.example == "pixel")
        *before, last = [line for line in lines.splitlines() if not line.startswith("#")]
        names: dict[str, Any] = {}
        exec("\n".join(before), names)
        got = eval(last, names)
    assert re.search(rf"got +{re.escape(repr(got.astype(float).round(3).tolist()[0][0][0]))}", lines.replace("[", ""))


@pytest.mark.parametrize("function", [lambda x: x, lambda x, mean=None: x.copy(), lambda x: {"pixel_values": x}])
def test_a_function_that_returns_its_input_is_judged_as_identity(function: Callable[..., Any]) -> None:
    report = run(Implementation("it", function), examples=0, checks=[])
    assert report.guessed == {"forward": "identity"}
    assert "judged as identity, which returns its input" in headlines(report)[0]


@pytest.mark.parametrize(
    "function", [caffe, lambda x: x if x.dtype == np.uint8 else x / 255, lambda x: x / 255 if x.max() > 1 else x]
)
def test_a_function_that_changes_some_images_is_no_identity(function: Callable[..., Any]) -> None:
    assert run(Implementation("it", function), examples=0, checks=[]).guessed["forward"] != "identity"
