"""Published modes: constants written once more by hand, their sources, and names that mean one thing."""

from __future__ import annotations

from typing import Any

import pytest

from vggprep.configurations.affine import lines, same_as
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, known

# A value of red, green and blue in the order of the output, from the input (10, 100, 200), by hand.
VALUES = {
    "clip": [
        (10 / 255 - 0.48145466) / 0.26862954,
        (100 / 255 - 0.4578275) / 0.26130258,
        (200 / 255 - 0.40821073) / 0.27577711,
    ],
    "half": [10 / 127.5 - 1, 100 / 127.5 - 1, 200 / 127.5 - 1],
    "mmdetection": [(10 - 123.675) / 58.395, (100 - 116.28) / 57.12, (200 - 103.53) / 57.375],
    "torch_in_bgr": [(200 - 103.53) / 57.375, (100 - 116.28) / 57.12, (10 - 123.675) / 58.395],
    "mmdetection_ssd": [10 - 123.675, 100 - 116.28, 200 - 103.53],
    "detectron": [200 - 103.53, 100 - 116.28, 10 - 123.675],
    "faster_rcnn": [200 - 102.9801, 100 - 115.9465, 10 - 122.7717],
    "slim": [10 - 123.68, 100 - 116.78, 200 - 103.94],
    "squeezenet": [200 - 104, 100 - 117, 10 - 123],
    "fcn": [200 - 104.00698793, 100 - 116.66876762, 10 - 122.67891434],
    "mobilenet_caffe": [(200 - 103.94) * 0.017, (100 - 116.78) * 0.017, (10 - 123.68) * 0.017],
    "mobilenet_ssd": [(200 - 127.5) * 0.007843, (100 - 127.5) * 0.007843, (10 - 127.5) * 0.007843],
    "dpn": [(10 - 124) * 0.0167, (100 - 117) * 0.0167, (200 - 104) * 0.0167],
    "inception5h": [10 - 117, 100 - 117, 200 - 117],
    "efficientnet_lite": [(10 - 127) / 128, (100 - 127) / 128, (200 - 127) / 128],
    "efficientnet_transformers": [
        (10 / 255 - 0.485) / 0.47853944**2, (100 / 255 - 0.456) / 0.4732864**2, (200 / 255 - 0.406) / 0.47434163**2,
    ],
    "efficientnet_imagenet_inside": [10 / 255 / 0.229**0.5, 100 / 255 / 0.224**0.5, 200 / 255 / 0.225**0.5],
    "efficientnet_v2_sml_inside": [10 / 128 - 1, 100 / 128 - 1, 200 / 128 - 1],
    "facenet": [(10 - 127.5) / 128, (100 - 127.5) / 128, (200 - 127.5) / 128],
    "vggface": [200 - 93.594, 100 - 104.7624, 10 - 129.1863],
    "vggface2": [200 - 91.4953, 100 - 103.8827, 10 - 131.0912],
    "openpose": [200 / 256 - 0.5, 100 / 256 - 0.5, 10 / 256 - 0.5],
    "yolo": [10 / 255, 100 / 255, 200 / 255],
    "centernet": [
        (200 / 255 - 0.40789654) / 0.28863828,
        (100 / 255 - 0.44719302) / 0.27408164,
        (10 / 255 - 0.47026115) / 0.27809835,
    ],
    "kinetics": [(10 / 255 - 0.43216) / 0.22803, (100 / 255 - 0.394666) / 0.22145, (200 / 255 - 0.37645) / 0.216989],
    "slowfast": [(10 / 255 - 0.45) / 0.225, (100 / 255 - 0.45) / 0.225, (200 / 255 - 0.45) / 0.225],
    "cifar10": [(10 / 255 - 0.4914) / 0.247, (100 / 255 - 0.4822) / 0.2435, (200 / 255 - 0.4465) / 0.2616],
    "cifar10_kuangliu": [(10 / 255 - 0.4914) / 0.2023, (100 / 255 - 0.4822) / 0.1994, (200 / 255 - 0.4465) / 0.201],
    "cifar100": [(10 / 255 - 0.5071) / 0.2675, (100 / 255 - 0.4867) / 0.2565, (200 / 255 - 0.4408) / 0.2761],
}  # fmt: skip


def test_published_modes_are_those_written_out_here() -> None:
    assert list(PUBLISHED) == list(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_a_published_mode_makes_of_a_pixel_what_its_source_does(name: str) -> None:
    got = [float(line.scale * (10, 100, 200)[line.source] + line.offset) for line in lines(PUBLISHED[name])]
    assert got == pytest.approx(VALUES[name], rel=1e-12)


@pytest.mark.parametrize(("name", "mode"), PUBLISHED.items(), ids=PUBLISHED)
def test_a_published_mode_has_its_name_its_source_and_steps_of_its_own(name: str, mode: Any) -> None:
    assert mode.name == name
    assert mode.summary
    assert mode.source
    assert name not in MODES
    assert mode.definition not in [other.definition for other in MODES.values()]
    assert known(mode) == name


def test_no_two_have_the_same_values_but_those_whose_summaries_say_so() -> None:
    same = {name: [other for other in same_as(mode) if other != name] for name, mode in PUBLISHED.items()}
    assert {name: others for name, others in same.items() if others} == {"half": ["tf"], "mmdetection": ["torch"]}
    assert all(other in PUBLISHED[name].summary for name, others in same.items() for other in others)
