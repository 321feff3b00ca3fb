"""Everything that needs Keras: vggprep is its ndarray path to the bit, and its other ways in are judged.

Skipped, and says so, where Keras is missing; with ``VGGPREP_REQUIRE_KERAS`` set, that is an error.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import pkgutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import support
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

keras: Any
if os.environ.get("VGGPREP_REQUIRE_KERAS"):
    import keras  # type: ignore[no-redef]
else:
    keras = pytest.importorskip("keras")

from vggprep import CHECKS, MODELS, MODES, Implementation, deprocess_input, preprocess_input, strategies  # noqa: E402
from vggprep.cli import main, parallel  # noqa: E402
from vggprep.conformance.engine import Selection, run  # noqa: E402
from vggprep.conformance.judging import judge  # noqa: E402
from vggprep.conformance.results import Report  # noqa: E402
from vggprep.errors import VggprepError  # noqa: E402
from vggprep.implementations import keras as keras_paths  # noqa: E402
from vggprep.implementations import targets  # noqa: E402
from vggprep.spec import DataFormat, ModeName  # noqa: E402

Array = npt.NDArray[Any]
bits = functools.partial(support.bits, one_nan=True)

TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the shipped ledger is of the TensorFlow backend"
)

THOROUGH = settings(max_examples=400, deadline=None, derandomize=True, database=None)
QUICK = settings(THOROUGH, max_examples=100)


def keras_module(name: str) -> Any:
    return importlib.import_module(f"keras.applications.{name}")


def colourful(dtype: npt.DTypeLike = np.float32) -> Array:
    """Every byte in every channel of a batch; no channel like another."""
    image = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1)
    return image.reshape(2, 8, 16, 3).astype(dtype)


# The table of models ----------------------------------------------------------------------------------------------


def modules_of(package: str) -> dict[str, Any]:
    """Every module of ``package.applications`` that models of its own are preprocessed with."""
    applications = importlib.import_module(f"{package}.applications")
    found = {}
    for module_name in dir(applications):
        module = getattr(applications, module_name)
        has_models = hasattr(module, "preprocess_input") and hasattr(module, "decode_predictions")
        if has_models and module_name != "imagenet_utils":
            found[module_name] = module
    return found


def mode_of(preprocess: Any) -> ModeName:
    """The mode that agrees bit for bit, in every dtype tried."""
    fitting = []
    for mode in MODES:
        pairs = [
            (np.asarray(preprocess(colourful(dtype))), preprocess_input(colourful(dtype), mode=mode))
            for dtype in (np.float32, np.float64, np.float16, np.uint8)
        ]
        if all(bits(theirs) == bits(ours) for theirs, ours in pairs):
            fitting.append(mode)
    (mode,) = fitting
    return mode


@pytest.mark.parametrize("name", sorted(modules_of("keras")))
def test_the_mode_of_each_module_is_the_one_that_agrees_bit_for_bit(name: str) -> None:
    assert mode_of(modules_of("keras")[name].preprocess_input) == MODELS[name]


def test_the_table_lists_every_module_and_only_two_are_of_keras_2_alone() -> None:
    public = pkgutil.iter_modules(keras.applications.__path__)
    named = {module.name for module in public}
    assert set(modules_of("keras")) <= named
    assert set(MODELS) - set(modules_of("keras")) == {"regnet", "resnet_rs"}


@pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="tf_keras is not installed")
def test_the_modules_of_keras_2_alone_are_in_the_mode_that_agrees_with_tf_keras() -> None:
    modules = modules_of("tf_keras")
    for name in ("regnet", "resnet_rs"):
        assert mode_of(modules[name].preprocess_input) == MODELS[name]
    assert set(modules) <= set(MODELS)


# Bit for bit ------------------------------------------------------------------------------------------------------


def as_keras_can_take_it(x: Array) -> Array:
    """A copy in the same memory layout that Keras may overwrite; broadcast arrays lose their zero strides."""
    if 0 in x.strides and x.size:
        return x.copy()
    if not x.flags.aligned:
        memory = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    elif x.dtype.isnative and x.size:
        # The same strides, in new memory.
        lowest = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True) if s < 0)
        highest = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True) if s > 0)
        buffer = np.empty(highest - lowest + x.itemsize, np.uint8)
        memory = np.ndarray(x.shape, x.dtype, buffer, offset=-lowest, strides=x.strides)
    else:
        memory = np.empty_like(x, subok=False)
    memory[...] = x
    return memory


def keras_forward(x: Array, data_format: DataFormat, mode: ModeName) -> Array:
    if mode == "identity":
        return np.asarray(keras.applications.efficientnet.preprocess_input(x, data_format=data_format))
    return np.asarray(keras.applications.imagenet_utils.preprocess_input(x, data_format=data_format, mode=mode))


def longdouble_images() -> st.SearchStrategy[Array]:
    """float64 images as longdouble, with bits beyond float64's."""

    def lengthen(image: Array) -> Array:
        longer = image.astype(np.longdouble)
        return longer + longer * np.longdouble(2) ** -57

    return strategies.images(dtypes=["float64"]).map(lengthen)


def any_images(data_format: DataFormat) -> st.SearchStrategy[Array]:
    longer = longdouble_images().map(lambda x: x if data_format == "channels_last" else np.moveaxis(x, -1, -3))
    return strategies.images(data_format=data_format, nonfinite=True) | longer


@pytest.mark.no_cover
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", MODES)
def test_preprocessing_is_keras_bit_for_bit(mode: ModeName, data_format: DataFormat) -> None:
    @THOROUGH
    @given(any_images(data_format))
    def agree(x: Array) -> None:
        before = x.tobytes()
        ours = preprocess_input(x, data_format, mode)
        assert x.tobytes() == before
        with np.errstate(all="ignore"):
            theirs = keras_forward(as_keras_can_take_it(x), data_format, mode)
        native = theirs.astype(theirs.dtype.newbyteorder("="))
        assert bits(ours) == bits(native)

    agree()


def test_the_copy_for_keras_keeps_the_layout_and_can_be_written_to() -> None:
    @QUICK
    @given(strategies.images(data_format=strategies.data_formats()))
    def keeps(x: Array) -> None:
        copy = as_keras_can_take_it(x)
        assert copy.flags.writeable
        assert not np.shares_memory(copy, x)
        assert copy.tobytes() == x.tobytes()
        assert copy.dtype == x.dtype
        assert copy.flags.aligned == x.flags.aligned
        if x.size and 0 not in x.strides and x.dtype.isnative:
            assert copy.strides == x.strides

    keeps()


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_both_default_to_channels_last(dtype: str, mode: ModeName) -> None:
    x = colourful(dtype)
    theirs = keras.applications.imagenet_utils.preprocess_input(x.copy(), mode=mode)
    assert bits(preprocess_input(x, mode=mode)) == bits(theirs)


def test_it_is_a_drop_in_for_keras_positional_signature() -> None:
    first = np.ascontiguousarray(colourful().transpose(0, 3, 1, 2))
    theirs = keras.applications.imagenet_utils.preprocess_input(first.copy(), "channels_first", "torch")
    assert bits(preprocess_input(first, "channels_first", "torch")) == bits(theirs)
    assert bits(preprocess_input(colourful())) == bits(keras_module("vgg19").preprocess_input(colourful()))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_16_bit_pattern_is_as_in_keras(dtype: str) -> None:
    patterns = np.arange(2**16, dtype=np.uint16).view(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
    with np.errstate(invalid="ignore"):
        x = np.stack([patterns, patterns[::-1], np.roll(patterns, 777)], axis=-1).reshape(256, 256, 3).astype(dtype)
    for mode in ("caffe", "tf", "torch"):
        with np.errstate(all="ignore"):
            theirs = keras_forward(x.copy(), "channels_last", mode)
        assert bits(preprocess_input(x, mode=mode)) == bits(theirs)


# The inverse of what Keras made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vgg19", "mobilenet_v2", "densenet", "efficientnet"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64", "longdouble"])
def test_every_byte_comes_back_from_keras(dtype: str, name: str) -> None:
    image = colourful(np.uint8)
    preprocessed = np.asarray(keras_module(name).preprocess_input(image.astype(dtype)))
    np.testing.assert_array_equal(deprocess_input(preprocessed, mode=MODELS[name]), image)


@pytest.mark.no_cover
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", ["vgg19", "xception", "densenet"])
def test_any_image_of_bytes_comes_back_from_keras(name: str, data_format: DataFormat) -> None:
    @QUICK
    @given(
        strategies.images(dtypes=["uint8"], data_format=data_format),
        st.sampled_from(["uint8", "int64", "float16", "float32", "float64", "longdouble"]),
    )
    def comes_back(image: Array, dtype: str) -> None:
        preprocessed = keras_module(name).preprocess_input(image.astype(dtype), data_format=data_format)
        restored = deprocess_input(preprocessed, data_format, MODELS[name])
        assert restored.dtype == np.uint8
        np.testing.assert_array_equal(restored, image)

    comes_back()


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_bytes_come_back_from_eager_tensors(mode: ModeName) -> None:
    image = colourful(np.uint8)
    tensor = keras.ops.convert_to_tensor(image.astype(np.float32))
    preprocessed = keras.applications.imagenet_utils.preprocess_input(tensor, mode=mode)
    restored = deprocess_input(keras.ops.convert_to_numpy(preprocessed), mode=mode)
    np.testing.assert_array_equal(restored, image)


# Paths ------------------------------------------------------------------------------------------------------------


@TENSORFLOW
@pytest.mark.parametrize("path", keras_paths.PATHS)
def test_each_path_loads_and_preprocesses_white(path: str) -> None:
    (implementation,) = targets.load(f"keras:{path}")
    assert implementation.name == f"keras:{path}"
    assert implementation.level == ("exact" if path == "ndarray" else "faithful")
    assert implementation.writes_input == (path == "ndarray")
    assert implementation.preprocess is not None
    got = implementation.preprocess(np.full((1, 2, 2, 3), 255, np.float32), "channels_last", "caffe")
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.broadcast_to([151.061, 138.221, 131.32], (1, 2, 2, 3)), atol=3e-5)


@TENSORFLOW
def test_keras_alone_is_all_its_paths() -> None:
    assert [i.name for i in targets.load("keras")] == [f"keras:{path}" for path in keras_paths.PATHS]


@pytest.mark.parametrize("path", ["ndarray", "model"])
@pytest.mark.parametrize("own", ["channels_last", "channels_first"])
def test_a_data_format_that_is_left_out_is_the_one_that_keras_is_set_to(own: DataFormat, path: str) -> None:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(own)
    try:
        (implementation,) = keras_paths.load("keras", path)
        assert implementation.default_format == own
        notes = [judge_defaults(implementation), judge_defaults(replace(implementation, default_format=OTHER[own]))]
    finally:
        keras.config.set_image_data_format(before)
    said = f"it: takes data_format=None otherwise than as {OTHER[own]!r}, as Keras has it"
    assert [said in each for each in notes] == [False, True]


OTHER: dict[DataFormat, DataFormat] = {"channels_last": "channels_first", "channels_first": "channels_last"}


def judge_defaults(implementation: Implementation) -> list[str]:
    errors = [check for check in CHECKS if check.name == "errors"]
    chosen = Selection(modes=("caffe",), dtypes=("float32",))
    return list(run(implementation, selection=chosen, examples=0, checks=errors).notes)


@pytest.mark.parametrize("target", ["keras:nosuch", "keras:Tensor", "keras:ndarray:more"])
def test_an_unknown_path_is_an_error_that_lists_those_there_are(target: str) -> None:
    with pytest.raises(VggprepError, match=r"a path of Keras \(ndarray, tensor, graph, xla, model\)"):
        targets.load(target)


@TENSORFLOW
def test_a_path_that_the_backend_does_not_have_is_an_error_that_lists_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras_paths, "backend_of", lambda package: "torch")
    with pytest.raises(VggprepError, match="not available on the torch backend; the paths are ndarray, tensor, model"):
        targets.load("keras:xla")


def test_a_missing_package_is_an_error_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(VggprepError, match=r"cannot import tf_keras: .*; try: pip install tf_keras$"):
        targets.load("tf_keras:tensor")


@pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="tf_keras is not installed")
def test_tf_keras_has_the_same_paths() -> None:
    (implementation,) = targets.load("tf_keras:tensor")
    assert implementation.preprocess is not None
    got = implementation.preprocess(colourful(), "channels_last", "tf")
    np.testing.assert_array_equal(got, preprocess_input(colourful(), mode="tf"))


# Verdicts ---------------------------------------------------------------------------------------------------------


def judged(path: str, *, known: bool, selection: Selection, examples: int | None = 0) -> Report:
    (implementation,) = targets.load(f"keras:{path}")
    return judge(implementation, known=None if known else (), selection=selection, examples=examples)


def failures(report: Report) -> str:
    return "\n".join(f"{r.check}, {r.cell}: {r.message}" for r in report.results if r.status == "failed")


def diagnosed(report: Report) -> set[str]:
    """The faults that failures are said to behave like."""
    texts = {r.diagnosis for r in report.results if r.status == "failed" and r.diagnosis}
    return {text.removeprefix("behaves like ").partition(":")[0] for text in texts}


@pytest.mark.no_cover
@TENSORFLOW
@pytest.mark.parametrize("path", keras_paths.PATHS)
def test_every_path_conforms_with_the_shipped_ledger(path: str) -> None:
    """As ``vggprep check keras`` judges them, with fewer examples, and in fewer dtypes where each shape is compiled.

    That the others are as recorded is tested below.
    """
    compiled = ("bool", "uint8", "int64", "uint64", "float16", "float32", "float64")
    dtypes = compiled if path in ("graph", "xla", "model") else None
    report = judged(path, known=True, selection=Selection(dtypes=dtypes), examples=5)
    assert report.conforms, failures(report)
    assert {"passed", "known"} <= {r.status for r in report.results}


@TENSORFLOW
def test_without_a_ledger_eager_tensors_fail_and_the_diagnosis_names_the_causes() -> None:
    report = judged("tensor", known=False, selection=Selection(dtypes=("uint8", "float32")))
    assert not report.conforms
    assert "integer_arithmetic" in diagnosed(report)
    failing = {(r.check, r.mode) for r in report.results if r.status == "failed"}
    assert ("every_byte", "caffe") in failing
    assert not [check for check, mode in failing if mode in ("tf", "torch")]
    shown = next(r for r in report.results if r.check == "every_byte" and r.status == "failed")
    assert "tf.convert_to_tensor(x)" in shown.reproducer


@TENSORFLOW
def test_without_a_ledger_a_functional_model_fails_where_a_side_of_three_is_taken_for_the_channels() -> None:
    selection = Selection(
        modes=("caffe", "torch"), data_formats=("channels_last", "channels_first"), dtypes=("float32",)
    )
    report = judged("model", known=False, selection=selection)
    failing = {(r.check, r.data_format) for r in report.results if r.status == "failed"}
    assert ("layout_equivariance", "channels_first") in failing
    assert ("layout_equivariance", "channels_last") not in failing
    assert "means_added_as_bias" in diagnosed(report)


@pytest.mark.no_cover
def test_the_installed_keras_behaves_as_recorded(tmp_path: Path) -> None:
    now = str(tmp_path / "now.jsonl")
    done = CliRunner().invoke(main, ["observe", "keras", "-o", now])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("keras 3.")
    done = CliRunner().invoke(main, ["diff", "recorded", now])
    assert done.exit_code == 0, done.output
    assert "(this matters)" not in done.stdout


# Side by side -------------------------------------------------------------------------------------------------------


SMALL: dict[str, Any] = {"selection": Selection(("tf",), ("channels_last",), ("uint8",)), "examples": 0}


def of_two_paths() -> list[list[tuple[str, ...]]]:
    spec = targets.TargetSpec(("keras:ndarray", "keras:tensor"))
    reports = list(parallel.judged(spec, targets.load_all(spec), **SMALL))
    assert not support.threads_of_pools()
    return [[(r.check, str(r.cell), r.status, r.digest, r.message) for r in report.results] for report in reports]


def test_processes_side_by_side_judge_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = of_two_paths()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(parallel, "_apart", None)
    assert apart == of_two_paths()
    assert all(len(rows) > 20 for rows in apart)


def test_paths_whose_processes_end_are_judged_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_start", os._exit)  # without its one argument: an error in the process
    assert all(len(rows) > 20 for rows in of_two_paths())


def test_ctrl_c_ends_the_processes_and_keeps_what_was_judged(tmp_path: Path) -> None:
    report = ("--report", str(tmp_path / "r.jsonl"))
    process = support.interruptible(["check", "keras", "--mode", "tf", "--examples", "0", *report])
    assert process.stdout is not None
    while "conforms" not in process.stdout.readline():
        assert process.poll() is None
    process.stdout.readline()  # the report of the first path has been printed
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "vggprep: stopped\n")
    header = json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert [i["interrupted"] for i in header["implementations"]][:1] == [False]
    assert header["implementations"][-1]["interrupted"] is True
