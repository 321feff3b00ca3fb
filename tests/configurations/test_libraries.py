"""Configuration files that their own libraries wrote: what is read from them is what these libraries do.

Without the libraries, the kept files are read; with them, by ``tox run -e configurations``, files are made anew, and
the values that the libraries make of every byte are compared with those of the mode.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import libraries
import numpy as np
import pytest

from vggprep.configurations import read
from vggprep.configurations.affine import lines

DATA = Path(__file__).parent / "data"
MADE_WITH = json.loads((DATA / "MADE_WITH.json").read_text(encoding="utf-8"))
"""The library and its version that wrote each file."""

BYTES = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1).astype(np.uint8).reshape(16, 16, 3)
"""Every byte in each channel, the channels in different orders."""


def test_every_kept_file_says_what_wrote_it() -> None:
    assert sorted(MADE_WITH) == sorted(path.name for path in DATA.iterdir() if path.name != "MADE_WITH.json")


@pytest.mark.parametrize("library", libraries.LIBRARIES, ids=lambda library: library.__name__)
def test_a_library_makes_of_bytes_what_is_read_from_its_file(library: libraries.Library, tmp_path: Path) -> None:
    if "VGGPREP_REQUIRE_LIBRARIES" not in os.environ:
        pytest.skip("tox run -e configurations has the libraries")
    for sample in library():
        (tmp_path / sample.file).write_text(sample.text, encoding="utf-8")
        made = read(tmp_path / sample.file)
        assert made.mode.definition == read(DATA / sample.file).mode.definition, sample.file
        got = np.asarray(sample.apply(BYTES), np.float64)
        for channel, line in enumerate(lines(made.mode)):
            scale, offset = float(line.scale), float(line.offset)
            right = BYTES[..., line.source] * scale + offset
            # Some of these libraries fold constants, in float32: sixteen roundings of what is combined.
            bound = 16 * 2.0**-24 * (BYTES[..., line.source] * abs(scale) + abs(offset))
            assert (abs(got[..., channel] - right) <= bound).all(), (sample.file, channel)


EXPECTED = {
    "transformers_clip.json": ("RGB", "0.00392156862745098", "0.48145466 0.4578275 0.40821073"),
}


def _unused() -> Fraction:
    return Fraction(0)
