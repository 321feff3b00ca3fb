"""Naming black boxes and arrays: with images, and code, that are not the suite's own."""

import numpy as np
import pytest
from click.testing import CliRunner

import vggprep
from vggprep.cli import main
from vggprep.faults import FAULTS, HONEST
from vggprep.identification import FAMILIES, Channel, png

# Written here anew, as people have them in their projects: constants, order, and a scale for each output channel.
TORCH_STD = (0.229, 0.224, 0.225)
TORCH_MEAN = (0.485, 0.456, 0.406)
BGR_MEAN = (103.939, 116.779, 123.68)


def subtract(order, *means, scale=1.0):
    return order, np.array(means) if len(means) > 1 else means[0], 1 / scale


CONSTANTS = {
    "caffe": subtract("BGR", *BGR_MEAN),
    "tf": subtract("RGB", 127.5, scale=1 / 127.5),
    "torch": ("RGB", 255 * np.array(TORCH_MEAN), 255 * np.array(TORCH_STD)),
    "identity": subtract("RGB", 0.0),
    "no_swap": subtract("RGB", *BGR_MEAN),
    "swap_undone": subtract("RGB", *BGR_MEAN[::-1]),
    "means_swapped": subtract("BGR", *BGR_MEAN[::-1]),
    "slim_means": subtract("BGR", 103.94, 116.78, 123.68),
    "slim_means_in_rgb": subtract("RGB", 123.68, 116.78, 103.94),
    "integer_means": subtract("BGR", 104.0, 117.0, 123.0),
    "truncated_means": subtract("BGR", 103.0, 116.0, 123.0),
    "mmdetection_means": subtract("BGR", 103.53, 116.28, 123.675),
    "vggface_means": subtract("BGR", 93.5940, 104.7624, 129.1863),
    "vggface2_means": subtract("BGR", 91.4953, 103.8827, 131.0912),
    "swap_only": subtract("BGR", 0.0),
    "caffe_scaled_to_unit": ("BGR", np.array(BGR_MEAN), 255.0),
    "caffe_scaled_by_0_017": ("BGR", np.array(BGR_MEAN), 1 / 0.017),
    "scaled_by_128": ("RGB", 128.0, 128.0),
    "scaled_by_127": ("RGB", 127.0, 127.0),
    "mean_127_std_128": ("RGB", 127.0, 128.0),
    "mean_128_std_127": ("RGB", 128.0, 127.0),
    "scale_0_007843": ("RGB", 127.5, 1 / 0.007843),
    "scale_0_003921": ("RGB", np.array(TORCH_MEAN) / 0.003921, np.array(TORCH_STD) / 0.003921),
    "unit_range": ("RGB", 0.0, 255.0),
    "clip_statistics": (
        "RGB",
        255 * np.array([0.48145466, 0.4578275, 0.40821073]),
        255 * np.array([0.26862954, 0.26130258, 0.27577711]),
    ),
    "cifar10_statistics": ("RGB", 255 * np.array([0.4914, 0.4822, 0.4465]), 255 * np.array([0.247, 0.2435, 0.2616])),
    "one_std": ("RGB", 255 * np.array(TORCH_MEAN), 255 * 0.226),
    "std_forgotten": ("RGB", 255 * np.array(TORCH_MEAN), 255.0),
    "mean_forgotten": ("RGB", 0.0, 255 * np.array(TORCH_STD)),
    "torch_without_255": ("RGB", np.array(TORCH_MEAN), np.array(TORCH_STD)),
    "statistics_in_bgr_order": ("RGB", 255 * np.array(TORCH_MEAN[::-1]), 255 * np.array(TORCH_STD[::-1])),
    "facenet": ("RGB", 127.5, 128.0),
    "openpose": ("RGB", 128.0, 256.0),
    "centred": ("RGB", 128.0, 1.0),
    "unit_range_in_bgr": ("BGR", 0.0, 255.0),
    "torch_in_bgr": ("BGR", 255 * np.array(TORCH_MEAN[::-1]), 255 * np.array(TORCH_STD[::-1])),
}


def black_box(name, dtype, channels_first=False):
    """A function that computes in ``dtype`` and takes nothing else."""
    order, offset, divisor = CONSTANTS[name]
    places = ["RGB".index(letter) for letter in order]

    def preprocess(x):
        if x.dtype != dtype:
            raise TypeError(f"wants {dtype}")
        if x.shape[-3 if channels_first else -1] != 3:
            raise ValueError("no images")
        images = np.moveaxis(x, -3, -1) if channels_first else x
        y = ((images[..., places].astype(np.float64) - offset) / divisor).astype(dtype)
        return np.moveaxis(y, -1, -3) if channels_first else y

    return preprocess


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_named_in_float32(name):
    answer = vggprep.identify(black_box(name, np.float32)).answers[0]
    assert answer.name == name
    assert not answer.also
    assert answer.channels is not None


HALF = [n for n in CONSTANTS if n not in ("slim_means", "slim_means_in_rgb", "scale_0_007843", "scale_0_003921")]


@pytest.mark.parametrize("name", HALF)
def test_constants_are_named_in_float16(name):
    answer = vggprep.identify(black_box(name, np.float16)).answers[0]
    assert answer.name == name, answer


@pytest.mark.parametrize("name", ["slim_means", "scale_0_003921"])
def test_what_float16_cannot_tell_apart_is_said(name):
    answer = vggprep.identify(black_box(name, np.float16)).answers[0]
    assert answer.kind == "mode"
    assert name in answer.also
    assert f"float16 cannot tell it from {name}" in repr(answer)


def test_enough_is_named():
    assert len(set(CONSTANTS) - {"identity"}) >= 25
    assert len(HALF) >= 15


NOT_AFFINE = {
    "own_channel_statistics": "caffe", "min_max_stretched": "torch", "clipped_first": "tf",
    "result_clipped_to_unit": "caffe", "fractions_rounded": "tf", "integer_arithmetic": "caffe",
    "saturating_subtraction": "caffe", "half_inside": "torch", "range_guessed_from_maximum": "tf",
    "uint16_rescaled": "torch", "nan_replaced_by_zero": "caffe", "bytes_read_as_signed": "tf",
}  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), NOT_AFFINE.items())
def test_faults_that_are_no_constants_are_named(name, mode):
    fault = next(f for f in FAULTS if f.name == name)
    answer = vggprep.identify(lambda x, data_format: fault.preprocess(x, data_format, mode)).answers[0]
    assert (answer.kind, answer.name, answer.mode) == ("fault", name, mode)
    assert fault.story in repr(answer)


@pytest.mark.parametrize("honest", HONEST, ids=lambda h: h.name)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_honest_variants_are_called_what_they_are(honest, dtype):
    def preprocess(x, mode):
        if x.dtype.name != dtype:
            raise TypeError
        return honest.preprocess(x, "channels_last", mode)

    found = vggprep.identify(preprocess)
    assert [a.name for a in found.answers] == list(vggprep.MODES), found
    assert found.is_right


def test_our_own_function_is_every_mode_exactly():
    found = vggprep.identify(vggprep.preprocess_input)
    assert [(a.asked, a.name, a.level) for a in found.answers] == [(m, m, "exact") for m in vggprep.MODES]
    assert "channels_last and channels_first" in repr(found)


def test_a_mode_that_was_not_asked_for_is_said():
    found = vggprep.identify(lambda x, mode: vggprep.preprocess_input(x, mode="caffe"))
    assert not found.is_right
    assert "asked for torch: NOT what was asked for: mode caffe" in repr(found)


def test_a_channels_first_box_is_recognised():
    answer = vggprep.identify(black_box("torch", np.float32, channels_first=True)).answers[0]
    assert (answer.name, answer.data_format) == ("torch", "channels_first")


def test_an_unknown_affine_map_is_written_out():
    answer = vggprep.identify(lambda x: x[..., ::-1] * np.float32(0.5) - np.float32([100, 110, 120])).answers[0]
    assert answer.kind == "affine"
    assert [str(c) for c in answer.channels] == ["B/2 - 100", "G/2 - 110", "R/2 - 120"]
    assert "nearest is" in answer.story


def test_the_nearest_family_of_an_unknown_map_is_named():
    answer = vggprep.identify(lambda x: x[..., ::-1] - np.float32([103.9, 116.8, 123.7])).answers[0]
    assert answer.kind == "affine"
    assert answer.name in ("caffe", "slim_means")
    assert "off by up to 0.0" in answer.story


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x - x.mean()) / x.std(), "depends on the whole image"),
        (lambda x: x + np.roll(x, 1, axis=-2), "neighbours"),
        (lambda x: np.sqrt(np.abs(x)), "not linearly"),
        (lambda x: x.mean(axis=-1, keepdims=True) * np.ones(3, np.float32), "several input channels"),
        (lambda x: x + np.random.default_rng().normal(size=x.shape), "second time"),
        (lambda x: x[..., :2], "becomes an output of shape"),
        (lambda x: x * 0 + 1, "no output depends on the pixels"),
    ],
)
def test_what_is_no_map_of_the_pixels_is_described(function, words):
    answer = vggprep.identify(function).answers[0]
    assert words in repr(answer) or (answer.kind == "affine" and words.startswith("no output"))
    assert not answer.is_right


def test_a_box_that_refuses_everything_says_so():
    answer = vggprep.identify(lambda x: 1 / 0).answers[0]
    assert answer.kind == "refuses"
    assert "ZeroDivisionError" in repr(answer)


def test_a_mode_that_is_wrong_in_one_dtype_is_not_right():
    def preprocess(x):
        y = vggprep.preprocess_input(x, mode="tf")
        return y * 1.0001 if x.dtype == np.int32 else y

    found = vggprep.identify(preprocess)
    assert not found.is_right
    assert "int32 image" in repr(found)


def test_channels_read_as_people_write_them():
    assert str(Channel(0, 1 / 127.5, -1)) == "R/127.5 - 1"
    assert str(Channel(2, 1, -103.939)) == "B - 103.939"
    assert str(Channel(1, 0.017, 0)) == "G*0.017"
    assert str(Channel(1, 0, 5)) == "5"


def test_families_are_distinct():
    assert len({f.name for f in FAMILIES} | {f.name for f in FAULTS}) == len(FAMILIES) + len(FAULTS)


# Arrays -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photograph():
    """Something smooth with noise, as a photograph is; by arithmetic."""
    y, x = np.mgrid[0:24, 0:32]
    image = np.stack([8 * x, 10 * y, 255 - 4 * x - 4 * y], axis=-1) + (x * 7 + y * 13)[..., None] % 5
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_preprocessed_array_is_recognised_and_undone(photograph, mode, data_format, dtype):
    image = photograph if data_format == "channels_last" else photograph.transpose(2, 0, 1)
    found = vggprep.identify_array(vggprep.preprocess_input(image, data_format, mode, dtype=dtype))
    assert (found.name, found.data_format) == (mode, data_format)
    assert found.sure in ("certain", "likely")
    assert np.array_equal(found.pixels, photograph)


@pytest.mark.parametrize("name", sorted(set(CONSTANTS) - {"no_swap", "means_swapped", "swap_only", "identity"}))
def test_arrays_of_other_constants_are_recognised(photograph, name):
    found = vggprep.identify_array(black_box(name, np.float32)(photograph.astype(np.float32)))
    assert name == found.name or name in found.also, found


def test_more_arrays_are_recognised(photograph):
    raw = vggprep.identify_array(photograph)
    assert raw.name == "raw"
    assert np.array_equal(raw.pixels, photograph)
    assert vggprep.identify_array(photograph.astype(np.float32)).name == "raw"
    assert vggprep.identify_array(photograph / 255).name == "unit_range"
    for mode in ("caffe", "tf", "torch"):
        twice = vggprep.preprocess_input(vggprep.preprocess_input(photograph, mode=mode), mode=mode)
        assert vggprep.identify_array(twice).name == "applied_twice"


def test_what_an_array_cannot_tell_is_said(photograph):
    found = vggprep.identify_array(vggprep.preprocess_input(photograph))
    assert "no_swap" in found.also
    assert "the array alone cannot tell it from no_swap" in repr(found)


def test_a_resized_image_is_guessed_and_not_restored(photograph):
    small = photograph.reshape(12, 2, 16, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    found = vggprep.identify_array(vggprep.preprocess_input(small, mode="torch"))
    assert (found.name, found.sure) == ("torch", "guess")
    assert found.pixels is None
    assert "resized" in found.why_not


def test_bfloat16_arithmetic_cannot_be_restored(photograph):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    mean, std = np.array(TORCH_MEAN).astype(bfloat16), np.array(TORCH_STD).astype(bfloat16)
    found = vggprep.identify_array((photograph.astype(bfloat16) / bfloat16(255) - mean) / std)
    assert found.pixels is None
    assert "cannot be recovered exactly" in repr(found)


def test_nan_is_named(photograph):
    array = vggprep.preprocess_input(photograph)
    array[0, 0, 0] = np.nan
    assert "1 values are NaN" in repr(vggprep.identify_array(array))


def test_bad_arrays_are_errors():
    for array, error in (
        (np.zeros((4, 4)), ValueError),
        (np.zeros((4, 4, 4)), ValueError),
        (np.zeros((0, 4, 3)), ValueError),
        (np.array([["a"]]), TypeError),
        (np.zeros((2, 2, 3), complex), TypeError),
        (np.array([None]), TypeError),
    ):
        with pytest.raises(error):
            vggprep.identify_array(array)


# The command line -------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, ["identify", *map(str, arguments)])


def test_identify_restores_a_file(photograph, tmp_path):
    file, restored = tmp_path / "batch.npy", tmp_path / "original.png"
    np.save(file, vggprep.preprocess_input(photograph, mode="tf"))
    result = run(file, "--restore", restored)
    assert result.exit_code == 0, result.output
    assert "likely, tf" in result.output
    image = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(image.open(restored)), photograph)
    again = run(restored)
    assert again.exit_code == 0
    assert "raw" in again.output


def test_identify_restores_each_image_of_a_batch(photograph, tmp_path):
    file = tmp_path / "batch.npy"
    np.save(file, vggprep.preprocess_input(np.stack([photograph, photograph[::-1]])))
    assert run(file, "--restore", tmp_path / "o.png").exit_code == 0
    assert (tmp_path / "o-0.png").exists()
    assert (tmp_path / "o-1.png").exists()


def test_identify_says_why_it_cannot_restore(photograph, tmp_path):
    file = tmp_path / "resized.npy"
    np.save(file, vggprep.preprocess_input((photograph + np.roll(photograph, 1)) / 3))
    result = run(file, "--restore", tmp_path / "o.png")
    assert result.exit_code == 1
    assert "is not written: its values are not those of whole pixels" in result.stderr
    assert not (tmp_path / "o.png").exists()


def test_identify_takes_targets():
    result = run("vggprep")
    assert result.exit_code == 0
    assert "mode torch, level exact" in result.output
    assert run("vggprep.faults.arithmetic:folded").exit_code == 1


def test_bad_files_are_one_line_and_code_2(tmp_path):
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "html.npy").write_text("<html>")
    (tmp_path / "no.png").write_text("no image")
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    for arguments, words in (
        ([tmp_path / "empty.npy"], "is empty"),
        ([tmp_path / "html.npy"], "is not a .npy array"),
        ([tmp_path / "flat.npy"], "an image has 3 axes, a batch 4; this array has shape (4, 4)"),
        ([tmp_path / "text.npy"], "holds '<U1', not"),
        ([tmp_path / "gone.npy"], "No such file"),
        ([tmp_path / "no.png"], "is no image" if _has_pillow() else "needs Pillow"),
        (["vggprep", "--restore", tmp_path / "x.png"], "--restore needs a FILE"),
        (["no.such.module:f"], "there is no module"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1


def _has_pillow():
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True


def test_png_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(ValueError, match="uint8 images"):
        png.write(tmp_path / "x.png", np.zeros((2, 2), np.uint8))
