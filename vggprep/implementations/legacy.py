"""keras-applications 1.0.8, the package that held ``preprocess_input`` until it moved into Keras.

Its own file is called, with Keras's backend handed to it as Keras 2.2 and 2.3 did. Imported when used; the target is
``vggprep.implementations.legacy:keras_applications``.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from vggprep.implementations import Implementation
from vggprep.spec import DataFormat, ModeName


def _preprocess(x: npt.NDArray[Any], data_format: DataFormat, mode: ModeName) -> Any:
    import keras
    from keras_applications import imagenet_utils

    return imagenet_utils.preprocess_input(x, data_format, mode, backend=keras.backend)


def _source(mode: ModeName, data_format: DataFormat) -> str:
    return (
        "import keras\nfrom keras_applications import imagenet_utils\n"
        f"imagenet_utils.preprocess_input(x, {data_format!r}, {mode!r}, backend=keras.backend)"
    )


keras_applications = Implementation(
    "keras-applications",
    _preprocess,
    level="exact",
    modes=("caffe", "tf", "torch"),
    writes_input=True,
    source=_source,
)
"""The ndarray path of keras-applications 1.0.8, at the level of Keras's own."""
