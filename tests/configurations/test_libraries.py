"""Configuration files that their own libraries wrote: what is read from them is what these libraries do.

Without the libraries, the kept files are read; with them, by ``tox run -e configurations``, files are made anew, and
the values that the libraries make of every byte are compared with those of the mode.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import libraries
import numpy as np
import pytest

from vggprep.configurations import read, write
from vggprep.configurations.affine import lines
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode

DATA = Path(__file__).parent / "data"
MADE_WITH = json.loads((DATA / "MADE_WITH.json").read_text(encoding="utf-8"))
"""The library and its version that wrote each file."""

BYTES = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1).astype(np.uint8).reshape(16, 16, 3)
"""Every byte in each channel, the channels in different orders."""


def test_every_kept_file_says_what_wrote_it() -> None:
    assert sorted(MADE_WITH) == sorted(path.name for path in DATA.iterdir() if path.name != "MADE_WITH.json")


# Written out once more by hand: scale and offset of each output channel, and the input channel it is made from.
TORCH = [(1 / 255 / s, -m / s) for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
CLIP = [
    (1 / 255 / s, -m / s)
    for m, s in zip((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), strict=True)
]
ROOTS = [0.47853944, 0.4732864, 0.47434163]
LISTS = [(0.017, -2.1), (0.0175, -2.0), (0.0174, -1.8)]
KINETICS = zip((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989), strict=True)
KEPT = {
    "albumentations_default.json": ("RGB", TORCH),
    "albumentations_grey.json": ("RGB", [(1, -103.53), (1, -116.28), (1, -123.675)]),
    "albumentations_inception.json": ("RGB", [(1 / 127.5, -1)] * 3),
    "keras_inverted.json": ("RGB", [(2, 0.5), (3, 0.25), (4, 0.125)]),
    "keras_model.json": ("RGB", TORCH),
    "keras_normalization.json": ("RGB", [(1 / 58.395, -103.939 / 58.395), (1, -116.779), (1 / 2, -123.68 / 2)]),
    "keras_rescaling.json": ("RGB", [(1 / 127.5, -1)] * 3),
    "keras_rescaling_lists.json": ("RGB", LISTS),
    "kerashub_converter.json": ("RGB", LISTS),
    "opencv_caffe.txt": ("BGR", [(1, -104), (1, -117), (1, -123)]),
    "opencv_single_mean.txt": ("BGR", [(0.007843, -127.5 * 0.007843), (0.007843, 0), (0.007843, 0)]),
    "opencv_swapped.txt": ("RGB", [(1 / 127.5, -m / 127.5) for m in (124.5, 117.25, 103.5)]),
    "openvino_model.xml": ("BGR", [(1 / 58.8, -m / 58.8) for m in (103.94, 116.78, 123.68)]),
    "timm_dpn68.json": ("RGB", [(0.0167, -m * 0.0167) for m in (124, 117, 104)]),
    "timm_vit.json": ("RGB", [(1 / 127.5, -1)] * 3),
    "torchvision_image.json": ("RGB", TORCH),
    "torchvision_video.json": ("RGB", [(1 / 255 / s, -m / s) for m, s in KINETICS]),
    "transformers_clip.json": ("RGB", CLIP),
    "transformers_efficientnet_include_top.json": (
        "RGB",
        [(1 / 255 / s / s, -m / s / s) for m, s in zip((0.485, 0.456, 0.406), ROOTS, strict=True)],
    ),
    "transformers_efficientnet_offset.json": ("RGB", [(1 / 127.5, -1)] * 3),
    "transformers_layoutlmv2.json": ("BGR", [(1, 0)] * 3),
    "transformers_mobilevit.json": ("BGR", [(1 / 255, 0)] * 3),
    "transformers_not_normalized.json": ("RGB", [(1 / 255, 0)] * 3),
    "transformers_not_rescaled.json": ("RGB", TORCH),
    "transformers_tvp.json": ("BGR", TORCH[::-1]),
    "transformers_vivit.json": ("RGB", [(1 / 127.5, -1)] * 3),
}


@pytest.mark.parametrize("file", sorted(MADE_WITH))
def test_what_a_file_says_is_read_from_it(file: str) -> None:
    order, expected = KEPT[file]
    mode = read(DATA / file).mode
    assert mode.channel_order == order
    assert np.allclose(
        [[float(line.scale), float(line.offset)] for line in lines(mode)],
        np.array(expected, float),
        rtol=1e-14,
        atol=1e-14,
    )


needs_libraries = pytest.mark.skipif(
    "VGGPREP_REQUIRE_LIBRARIES" not in os.environ, reason="tox run -e configurations has the libraries"
)


def is_what_it_does(got: Any, mode: Mode) -> bool:
    """Whether a library's result on ``BYTES`` is that of the mode, within eight roundings of float32."""
    for channel, line in enumerate(lines(mode)):
        x, scale, offset = BYTES[..., line.source], float(line.scale), float(line.offset)
        bound = 8 * 2.0**-24 * (x * abs(scale) + abs(offset))
        if not (abs(np.asarray(got, np.float64)[..., channel] - (x * scale + offset)) <= bound).all():
            return False
    return True


@needs_libraries
@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize("library", libraries.LIBRARIES, ids=lambda library: library.__name__)
def test_a_library_makes_of_bytes_what_is_read_from_its_file(library: libraries.Library, tmp_path: Path) -> None:
    for sample in library():
        (tmp_path / sample.file).write_text(sample.text, encoding="utf-8")
        made = read(tmp_path / sample.file).mode
        assert made.definition == read(DATA / sample.file).mode.definition, sample.file
        assert is_what_it_does(sample.apply(BYTES), made), sample.file


@needs_libraries
@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize("format", libraries.LOADED)
def test_a_library_makes_of_a_file_that_was_written_for_it_what_the_mode_does(format: str) -> None:
    for mode in (*MODES.values(), *PUBLISHED.values()):
        if not (written := write(mode, format)).lost:
            assert is_what_it_does(libraries.loaded(format, written.text, BYTES), mode), mode.name
