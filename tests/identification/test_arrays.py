"""Naming arrays."""

from __future__ import annotations

import numpy as np
import pytest
from black_boxes import CONSTANTS, PHOTOGRAPH, TORCH_MEAN, TORCH_STD, black_box

import vggprep
from vggprep.identification.arrays import identify_array
from vggprep.spec import DataFormat, ModeName


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_a_preprocessed_array_is_recognised_and_undone(mode: ModeName, data_format: DataFormat, dtype: str) -> None:
    image = PHOTOGRAPH if data_format == "channels_last" else PHOTOGRAPH.transpose(2, 0, 1)
    found = identify_array(vggprep.preprocess_input(image, data_format, mode, dtype=dtype))
    assert (found.name, found.data_format) == (mode, data_format)
    assert found.sure in ("certain", "likely")
    assert found.pixels is not None
    assert np.array_equal(found.pixels, PHOTOGRAPH)


@pytest.mark.parametrize("name", sorted(set(CONSTANTS) - {"no_swap", "means_swapped", "swap_only", "identity"}))
def test_arrays_of_other_constants_are_recognised(name: str) -> None:
    found = identify_array(black_box(name, np.float32)(PHOTOGRAPH.astype(np.float32)))
    assert name == found.name or name in found.also, found


def test_more_arrays_are_recognised() -> None:
    raw = identify_array(PHOTOGRAPH)
    assert raw.name == "raw"
    assert raw.pixels is not None
    assert np.array_equal(raw.pixels, PHOTOGRAPH)
    assert identify_array(PHOTOGRAPH.astype(np.float32)).name == "raw"
    assert identify_array(PHOTOGRAPH / 255).name == "unit_range"
    for mode in ("caffe", "tf", "torch"):
        twice = vggprep.preprocess_input(vggprep.preprocess_input(PHOTOGRAPH, mode=mode), mode=mode)
        assert identify_array(twice).name == "applied_twice"


def test_what_an_array_cannot_tell_is_said() -> None:
    found = identify_array(vggprep.preprocess_input(PHOTOGRAPH))
    assert "no_swap" in found.also
    assert "the array alone cannot tell it from no_swap" in repr(found)


def test_a_resized_image_is_guessed_and_not_restored() -> None:
    small = PHOTOGRAPH.reshape(12, 2, 16, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    found = identify_array(vggprep.preprocess_input(small, mode="torch"))
    assert (found.name, found.sure) == ("torch", "guess")
    assert found.pixels is None
    assert "resized" in found.why_not


def test_bfloat16_arithmetic_cannot_be_restored() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    mean, std = np.array(TORCH_MEAN).astype(bfloat16), np.array(TORCH_STD).astype(bfloat16)
    found = identify_array((PHOTOGRAPH.astype(bfloat16) / bfloat16(255) - mean) / std)
    assert found.pixels is None
    assert "cannot be recovered exactly" in repr(found)


def test_nan_is_named() -> None:
    array = vggprep.preprocess_input(PHOTOGRAPH)
    array[0, 0, 0] = np.nan
    assert "1 values are NaN" in repr(identify_array(array))


def test_bad_arrays_are_errors() -> None:
    for array, error in (
        (np.zeros((4, 4)), ValueError),
        (np.zeros((4, 4, 4)), ValueError),
        (np.zeros((0, 4, 3)), ValueError),
        (np.array([["a"]]), TypeError),
        (np.zeros((2, 2, 3), complex), TypeError),
        (np.array([None]), TypeError),
    ):
        with pytest.raises(error):
            identify_array(array)


def test_an_array_with_two_axes_of_3_may_have_either_data_format() -> None:
    found = identify_array(vggprep.preprocess_input(PHOTOGRAPH[:3, :3], mode="tf"))
    assert (found.name, found.sure, found.pixels) == ("tf", "likely", None)
    assert "data format: either" in repr(found)
    assert "the data format cannot be determined" in repr(found)


def test_values_of_no_known_range_are_a_guess_without_a_name() -> None:
    found = identify_array(np.arange(48.0).reshape(4, 4, 3) * 1e5)
    assert (found.name, found.sure) == ("", "guess")
    assert "nothing known" in repr(found)
