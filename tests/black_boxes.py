"""Functions and an image that are not the suite's own, for tests of identification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Written anew, as people have them in their projects: order, offset and divisor of each output channel.
TORCH_STD = (0.229, 0.224, 0.225)
TORCH_MEAN = (0.485, 0.456, 0.406)
BGR_MEAN = (103.939, 116.779, 123.68)


def subtract(order: str, *means: float, scale: float = 1.0) -> tuple[str, Any, Any]:
    return order, np.array(means) if len(means) > 1 else means[0], 1 / scale


CONSTANTS: dict[str, tuple[str, Any, Any]] = {
    "caffe": subtract("BGR", *BGR_MEAN),
    "tf": subtract("RGB", 127.5, scale=1 / 127.5),
    "torch": ("RGB", 255 * np.array(TORCH_MEAN), 255 * np.array(TORCH_STD)),
    "identity": subtract("RGB", 0.0),
    "no_swap": subtract("RGB", *BGR_MEAN),
    "swap_undone": subtract("RGB", *BGR_MEAN[::-1]),
    "means_swapped": subtract("BGR", *BGR_MEAN[::-1]),
    "slim_means": subtract("BGR", 103.94, 116.78, 123.68),
    "slim": subtract("RGB", 123.68, 116.78, 103.94),
    "squeezenet": subtract("BGR", 104.0, 117.0, 123.0),
    "truncated_means": subtract("BGR", 103.0, 116.0, 123.0),
    "detectron": subtract("BGR", 103.53, 116.28, 123.675),
    "vggface": subtract("BGR", 93.5940, 104.7624, 129.1863),
    "vggface2": subtract("BGR", 91.4953, 103.8827, 131.0912),
    "swap_only": subtract("BGR", 0.0),
    "caffe_scaled_to_unit": ("BGR", np.array(BGR_MEAN), 255.0),
    "caffe_scaled_by_0_017": ("BGR", np.array(BGR_MEAN), 1 / 0.017),
    "efficientnet_v2_sml_inside": ("RGB", 128.0, 128.0),
    "scaled_by_127": ("RGB", 127.0, 127.0),
    "efficientnet_lite": ("RGB", 127.0, 128.0),
    "mean_128_std_127": ("RGB", 128.0, 127.0),
    "scale_0_007843": ("RGB", 127.5, 1 / 0.007843),
    "scale_0_003921": ("RGB", np.array(TORCH_MEAN) / 0.003921, np.array(TORCH_STD) / 0.003921),
    "yolo": ("RGB", 0.0, 255.0),
    "clip": (
        "RGB",
        255 * np.array([0.48145466, 0.4578275, 0.40821073]),
        255 * np.array([0.26862954, 0.26130258, 0.27577711]),
    ),
    "cifar10": ("RGB", 255 * np.array([0.4914, 0.4822, 0.4465]), 255 * np.array([0.247, 0.2435, 0.2616])),
    "one_std": ("RGB", 255 * np.array(TORCH_MEAN), 255 * 0.226),
    "std_forgotten": ("RGB", 255 * np.array(TORCH_MEAN), 255.0),
    "mean_forgotten": ("RGB", 0.0, 255 * np.array(TORCH_STD)),
    "torch_without_255": ("RGB", np.array(TORCH_MEAN), np.array(TORCH_STD)),
    "statistics_in_bgr_order": ("RGB", 255 * np.array(TORCH_MEAN[::-1]), 255 * np.array(TORCH_STD[::-1])),
    "facenet": ("RGB", 127.5, 128.0),
    "openpose_in_rgb": ("RGB", 128.0, 256.0),
    "centred": ("RGB", 128.0, 1.0),
    "unit_range_in_bgr": ("BGR", 0.0, 255.0),
    "torch_in_bgr": ("BGR", 255 * np.array(TORCH_MEAN[::-1]), 255 * np.array(TORCH_STD[::-1])),
}


def black_box(name: str, dtype: type[np.floating[Any]], channels_first: bool = False) -> Callable[[Array], Array]:
    """A function that computes in ``dtype`` and takes nothing else."""
    order, offset, divisor = CONSTANTS[name]
    places = ["RGB".index(letter) for letter in order]

    def preprocess(x: Array) -> Array:
        if x.dtype != dtype:
            raise TypeError(f"wants {dtype}")
        if x.shape[-3 if channels_first else -1] != 3:
            raise ValueError("no images")
        images = np.moveaxis(x, -3, -1) if channels_first else x
        y: Array = ((images[..., places].astype(np.float64) - offset) / divisor).astype(dtype)
        return np.moveaxis(y, -1, -3) if channels_first else y

    return preprocess


def _photograph() -> Array:
    """Something smooth with noise, as a photograph is; by arithmetic."""
    y, x = np.mgrid[0:24, 0:32]
    image: Array = np.stack([8 * x, 10 * y, 255 - 4 * x - 4 * y], axis=-1) + (x * 7 + y * 13)[..., None] % 5
    clipped: Array = np.clip(image, 0, 255).astype(np.uint8)
    return clipped


PHOTOGRAPH = _photograph()
