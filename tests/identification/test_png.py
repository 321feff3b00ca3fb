"""Writing PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggprep.identification import png


def test_png_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8 images"):
        png.write(tmp_path / "x.png", np.zeros((2, 2), np.uint8))
