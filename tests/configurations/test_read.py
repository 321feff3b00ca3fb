"""Reading configurations: the traps of each format, and what is refused."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggprep.configurations import read, read_mode
from vggprep.configurations.affine import levels_apart
from vggprep.configurations.read import read_text
from vggprep.errors import VggprepError
from vggprep.published import PUBLISHED
from vggprep.spec import MODES, Mode

M255 = "0.00392156862745098"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
GREY_MEAN, GREY_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
NAMED = {"image_mean": MEAN, "image_std": STD}
BLIP2 = (["0.014598426619242919", "0.015007768493717055", "0.014220065717024086"],
         ["-1.79226253374815", "-1.7520971281645974", "-1.4802197687835659"])  # fmt: skip
TORCH = [("subtract", MEAN), ("divide", STD)]
UNIT = ("multiply", M255)


def mode(order: str, *steps: Any) -> Mode:
    return Mode("expected", order, steps)


def pipeline(*names: str, **normalize: Any) -> dict[str, Any]:
    last = {"__class_fullname__": "Normalize", "mean": MEAN, "std": STD, "p": 1.0, **normalize}
    transforms = [*({"__class_fullname__": name} for name in names), last, {"__class_fullname__": "ToTensorV2"}]
    return {"transform": {"__class_fullname__": "Compose", "p": 1.0, "transforms": transforms}}


RESCALING = {"class_name": "Rescaling", "config": {"scale": 2}}


def functional(*layers: tuple[str, dict[str, Any], list[str]]) -> dict[str, Any]:
    each = [
        {
            **layer,
            "name": name,
            "inbound_nodes": [{"args": [{"config": {"keras_history": [s, 0, 0]}} for s in sources]}],
        }
        for name, layer, sources in layers
    ]
    return {"class_name": "Functional", "config": {"layers": each}}


INPUT, CONV = {"class_name": "InputLayer", "config": {}}, {"class_name": "Conv2D", "config": {}}


RUN = "mo --mean_values [1,2,3] -s 2 --input_model m.onnx"
XML = "<net><rt_info><mean_values value='{}'/><scale_values value='()'/><scale value='2.0'/></rt_info></net>"
BLOB = "b = cv2.dnn.blobFromImage(im, 0.5, (2, 2), (1, 2, 3), True)\n"
ONE_TWO_THREE = mode("RGB", ("subtract", [1, 2, 3]), ("divide", 2))
HALVED = mode("RGB", ("subtract", [1, 2, 3]), ("multiply", 0.5))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # Hugging Face
        ({**NAMED, "rescale_factor": 1 / 255, "do_rescale": True, "do_normalize": True}, mode("RGB", UNIT, *TORCH)),
        ({**NAMED, "rescale_factor": 1 / 255, "do_rescale": False}, mode("RGB", *TORCH)),
        ({**NAMED, "rescale_factor": 1 / 255, "do_normalize": False}, mode("RGB", UNIT)),
        ({**NAMED, "rescale_factor": 1 / 255, "do_normalize": None}, mode("RGB", UNIT)),
        ({**NAMED, "feature_extractor_type": "CLIPFeatureExtractor"}, mode("RGB", ("divide", 255), *TORCH)),
        ({"image_processor": {**NAMED, "rescale_factor": 1 / 255}}, mode("RGB", UNIT, *TORCH)),
        ({"image_processor": NAMED, "video_processor": {"do_rescale": False}}, mode("RGB", ("divide", 255), *TORCH)),
        (
            {"rescale_factor": 1 / 127.5, "offset": True, "do_normalize": False, **NAMED},
            mode("RGB", ("multiply", "0.00784313725490196"), ("subtract", 1)),
        ),
        (
            {"rescale_factor": 1 / 127.5, "rescale_offset": True, **NAMED},
            mode("RGB", ("multiply", "0.00784313725490196"), ("subtract", 1), *TORCH),
        ),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "rescale_factor": 1 / 255, **NAMED},
            mode("RGB", UNIT, *TORCH, ("divide", STD)),
        ),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "include_top": False, "do_rescale": False, **NAMED},
            mode("RGB", *TORCH),
        ),
        (
            {"do_rescale": False, "image_mean": GREY_MEAN, "image_std": GREY_STD},
            mode("RGB", ("subtract", GREY_MEAN), ("divide", GREY_STD)),
        ),
        ({"do_flip_channel_order": True, "do_rescale": True}, mode("BGR", ("divide", 255))),
        (
            {"do_flip_channel_order": True, "do_rescale": False, **NAMED},
            mode("BGR", ("subtract", MEAN[::-1]), ("divide", STD[::-1])),
        ),
        ({"image_mean": 0.5, "image_std": 0.25, "do_rescale": False}, mode("RGB", ("subtract", 0.5), ("divide", 0.25))),
        # timm, torchvision, OpenMMLab
        ({"pretrained_cfg": {"mean": MEAN, "std": STD}}, mode("RGB", ("divide", 255), *TORCH)),
        ({"image_processor_type": "TimmWrapperImageProcessor", "pretrained_cfg": {"mean": MEAN, "std": STD}},
         mode("RGB", ("divide", 255), *TORCH)),
        ({"architecture": "x", "mean": MEAN, "std": STD, "crop_pct": 0.9}, mode("RGB", ("divide", 255), *TORCH)),
        ({"mean": MEAN, "std": STD}, mode("RGB", ("divide", 255), *TORCH)),
        ({"mean": GREY_MEAN, "std": GREY_STD}, mode("RGB", ("subtract", GREY_MEAN), ("divide", GREY_STD))),
        ({"mean": [0, 0, 0], "std": [255, 255, 255], "to_rgb": True}, mode("RGB", ("divide", 255))),
        (
            {"img_norm_cfg": {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0], "to_rgb": False}},
            mode("BGR", ("subtract", [103.53, 116.28, 123.675])),
        ),
        # KerasHub, Keras
        ({"scale": 1 / 127.5, "offset": -1.0}, mode("RGB", ("multiply", "0.00784313725490196"), ("add", -1))),
        (
            {"class_name": "ResNetImageConverter", "config": {"scale": [1, 2, 4], "offset": [1, 0, -1]}},
            mode("RGB", ("multiply", [1, 2, 4]), ("add", [1, 0, -1])),
        ),
        ({"class_name": "ViTImageConverter", "config": {"scale": 0.5, "mean": [1, 2, 3], "variance": [4, 9, 0.25]}},
         mode("RGB", ("multiply", 0.5), ("subtract", [1, 2, 3]), ("divide", [2, 3, 0.5]))),
        ({"registered_name": "keras_hub>BLIP2ImageConverter", "class_name": "BLIP2ImageConverter", "config": {}},
         mode("RGB", ("multiply", BLIP2[0]), ("add", BLIP2[1]))),
        ({"class_name": "Rescaling", "config": {"scale": 2.0, "offset": 0.0}}, mode("RGB", ("multiply", 2))),
        ({"class_name": "Normalization", "config": {"mean": [[[MEAN]]], "variance": [[[[4, 9, 0.25]]]]}},
         mode("RGB", ("subtract", MEAN), ("divide", [2, 3, 0.5]))),
        ({"class_name": "Normalization", "config": {"mean": 1, "variance": 4, "invert": True}},
         mode("RGB", ("multiply", 2), ("add", 1))),
        ({"class_name": "Sequential", "config": {"layers": [
            {"class_name": "Rescaling", "config": {"scale": 2}}, {"class_name": "Resizing", "config": {}},
            {"class_name": "Rescaling", "config": {"scale": 2}}, {"class_name": "Conv2D", "config": {}},
            {"class_name": "Rescaling", "config": {"scale": 4}}]}},
         mode("RGB", ("multiply", 2), ("multiply", 2))),
        # albumentations
        ({"__class_fullname__": "albumentations.augmentations.transforms.Normalize", "mean": MEAN, "std": STD},
         mode("RGB", ("subtract", GREY_MEAN), ("divide", GREY_STD))),
        ({"mean": [2, 3, 4], "std": [1, 1, 1], "max_pixel_value": 10},
         mode("RGB", ("subtract", [20, 30, 40]), ("divide", 10))),
        # TensorFlow Lite's metadata, PaddlePaddle's NormalizeImage
        ({"process_units": [{"options_type": "NormalizationOptions", "options": {"mean": [0.0], "std": [1.0]}}]},
         mode("RGB")),
        ({"options_type": "NormalizationOptions", "options": {"mean": [1, 2, 3], "std": [2.5]}},
         mode("RGB", ("subtract", [1, 2, 3]), ("divide", 2.5))),
        ({"mean": MEAN, "std": STD, "scale": 0.5}, mode("RGB", ("multiply", 0.5), *TORCH)),
        ({"mean": MEAN, "std": STD, "scale": [0.08, 1.0]}, mode("RGB", ("divide", 255), *TORCH)),
        ({"mean": MEAN, "std": STD, "is_scale": False}, mode("RGB", *TORCH)),
        ({"mean": GREY_MEAN, "std": GREY_STD, "is_scale": True},
         mode("RGB", ("divide", 255), ("subtract", GREY_MEAN), ("divide", GREY_STD))),
        # OpenVINO's arguments, OpenCV's, Core ML's
        ({"mean_values": [1, 2, 3], "scale_values": [4, 5, 6], "reverse_input_channels": True},
         mode("BGR", ("subtract", [1, 2, 3]), ("divide", [4, 5, 6]))),
        ({"scalefactor": 0.5, "mean": [1, 2, 3], "swapRB": True},
         mode("RGB", ("subtract", [1, 2, 3]), ("multiply", 0.5))),
        ({"scalefactor": 0.5, "mean": [1, 2, 3]}, mode("BGR", ("subtract", [1, 2, 3]), ("multiply", 0.5))),
        ({"image_scale": 0.5, "red_bias": 1, "green_bias": 2, "blue_bias": 3, "is_bgr": True},
         mode("BGR", ("multiply", 0.5), ("add", [3, 2, 1]))),
        ({"scale": 0.5, "bias": [1, 2, 3], "color_layout": "ColorLayout.BGR"},
         mode("BGR", ("multiply", 0.5), ("add", [1, 2, 3]))),
        ({"net-scale-factor": 0.5, "offsets": [1, 2, 3], "model-color-format": 1},
         mode("BGR", ("subtract", [1, 2, 3]), ("multiply", 0.5))),
        # vggprep's own, also as dataclasses.asdict has it
        ({"order": [1, 0, 2], "steps": [{"multiply": "0.50"}]}, mode("GRB", ("multiply", "0.50"))),
        ({"steps": [{"operation": "add", "constants": ["1", "2", "3"]}]}, mode("RGB", ("add", [1, 2, 3]))),
        # what says no more of values than is read
        (pipeline("Resize", "HorizontalFlip"), mode("RGB", ("subtract", GREY_MEAN), ("divide", GREY_STD))),
        (functional(("a", INPUT, []), ("b", RESCALING, ["a"]), ("c", CONV, ["b"]), ("d", CONV, ["b"])),
         mode("RGB", ("multiply", 2))),
        ({"class_name": "Normalization", "config": {"mean": 1, "variance": [1e-20, 1, 4]}},
         mode("RGB", ("subtract", 1), ("divide", ["1e-7", 1, 2]))),
        ({"type": "ImgDataPreprocessor", "mean": [1, 2, 3], "std": 1}, mode("BGR", ("subtract", [1, 2, 3]))),
        ({"mean": [1, 2, 3], "std": 1, "rgb_to_bgr": False, "bgr_to_rgb": True}, mode("RGB", ("subtract", [1, 2, 3]))),
    ],
)  # fmt: skip
def test_a_mapping_is_read_as_its_library_does(document: dict[str, Any], expected: Mode) -> None:
    assert read_mode(document).definition == expected.definition
    assert read_text(json.dumps(document), "same").mode.definition == expected.definition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mo -m a.onnx --mean_values [1,2,3] --scale_values [4,5,6] --reverse_input_channels",
         mode("BGR", ("subtract", [1, 2, 3]), ("divide", [4, 5, 6]))),
        ("mo --mean_values=data(1.5,2,3) \\\n   --scale 127.5 \\\n  --input_shape [1,3,224,224]\n",
         mode("RGB", ("subtract", [1.5, 2, 3]), ("divide", 127.5))),
        ('<net><rt_info><mean_values value="1, 2, 3"/><scale_values value="[4.0]"/></rt_info></net>',
         mode("RGB", ("subtract", [1, 2, 3]), ("divide", 4))),
        ('<net><mean_values value="data[1,2,3]"/></net>', mode("RGB", ("subtract", [1, 2, 3]))),
        ("[property]\n# net-scale-factor=1\nnet-scale-factor=0.5\noffsets=1;2;3;\nmodel-color-format=0\n",
         mode("RGB", ("subtract", [1, 2, 3]), ("multiply", 0.5))),
        ("property:\n  net-scale-factor: 0.0039\n  model-color-format: 1\n", mode("BGR", ("multiply", "0.0039"))),
        ("blob = cv.dnn.blobFromImage(f, 1/255., (416, 416), [0,0,0], 1 == 1, crop=False)", None),
        ("x = cv2.dnn.blobFromImage(f, 1/255., (416, 416), swapRB=True)", mode("RGB", ("divide", 255))),
        ("cv::dnn::blobFromImage(frame, blob, 0.5f, cv::Size(2, 2), cv::Scalar(1, 2.5f, 3), true, false);",
         mode("RGB", ("subtract", [1, 2.5, 3]), ("multiply", 0.5))),
        ("model = dict(\n    type='X',\n    data_preprocessor=dict(  # mean(\n        type='DetDataPreprocessor',\n"
         "        mean=[123.675, 116.28, 103.53], std=(58.395, 57.12, 57.375),\n        bgr_to_rgb=True), z=1)",
         mode("RGB", ("subtract", GREY_MEAN), ("divide", GREY_STD))),
        ("data_preprocessor = dict(type='SegDataPreProcessor', mean=[1, 2, 3], std=[4, 5, 6 * 1.5])",
         mode("BGR", ("subtract", [1, 2, 3]), ("divide", [4, 5, 9]))),
        ("img_norm_cfg = dict(mean=[0.5 * 255] * 3, std=1)", None),
        ("img_norm_cfg = dict(mean=MEAN, std=1, to_rgb=False", None),
        ("blobFromImage(frame, blob, 0.5, Size(2, 2), Scalar(), true, false);", mode("RGB", ("multiply", 0.5))),
        ("const b = cv.blobFromImage(m, 1 / 128, new cv.Size(2, 2), [1, 2, 3], false);",
         mode("BGR", ("subtract", [1, 2, 3]), ("multiply", "0.0078125"))),
        ("cv2.dnn.blobFromImage(f, scale)", None),
        ("cv2.dnn.blobFromImage(f, mean=means)", None),
        ("cv2.dnn.blobFromImage(f, 1.0, mean=(1, 2)", None),
        ("steps = [{ subtract = 0.10 }]\norder = 'BGR'", mode("BGR", ("subtract", "0.10"))),
        ("order = 'RGB'\n[[steps]]\ndivide = 255\n", mode("RGB", ("divide", 255))),
        # what is said elsewhere is not mixed in
        (RUN, ONE_TWO_THREE),
        (f"# {RUN} -s 3\n{RUN}\n{RUN}\n", ONE_TWO_THREE),
        ("mo -s=2 --mean_values '[1, 2, 3]'", ONE_TWO_THREE),
        (XML.format("[1,2,3]"), ONE_TWO_THREE),
        (XML.format("()"), mode("RGB", ("divide", 2))),
        ("[property]\nnet-scale-factor=0.5\noffsets=1;2;3\n[other]\nnet-scale-factor=1\n", HALVED),
        (f"# {BLOB.replace('1', '7')}    // {BLOB.replace('2', '7')}/* {BLOB.replace('3', '7')} */\n{BLOB}{BLOB}",
         HALVED),
        ("blobFromImage(f, blob, 0.5, Size(2, 2), // (9)\n Scalar(1, 2, 3, 0), true, false); // (9)", HALVED),
        (f"url = 'http://x' # blobFromImage(\n{BLOB}", HALVED),
    ],
)  # fmt: skip
def test_a_text_is_read_as_its_program_does(text: str, expected: Mode | None) -> None:
    if expected is None:
        with pytest.raises(VggprepError, match=r"blobFromImage|scalefactor|mean|swapRB|dict"):
            read_text(text, "call")
    else:
        assert read_text(text, "text").mode.definition == expected.definition


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**NAMED, "image_std": [0.229, 0, 0.225]}, "image_std is divided by and must be positive; got 0"),
        ({**NAMED, "image_std": [0.229, -1, 0.225]}, "image_std is divided by and must be positive; got -1"),
        ({**NAMED, "image_mean": ["0.4", 0, 0]}, "image_mean must be finite numbers; got '0.4'"),
        ({**NAMED, "image_mean": [True, 0, 0]}, "image_mean must be finite numbers; got true"),
        ({**NAMED, "image_mean": [float("nan"), 0, 0]}, "image_mean must be finite numbers; got nan"),
        ({**NAMED, "image_mean": [0.5, 0.5]}, "image_mean must be one number or three, one for each channel; got 2"),
        ({**NAMED, "image_std": [1, 1, 1, 1]}, "image_std must be one number or three, one for each channel; got 4"),
        ({**NAMED, "image_mean": 1e-40}, "image_mean must be 0, or at least 1e-30 and below 1e31 in size; got 1E-40"),
        ({"image_mean": MEAN}, "image_std is missing"),
        ({"do_rescale": "yes"}, "do_rescale must be true or false; got 'yes'"),
        ({"do_rescale": False, "offset": True}, "offset needs do_rescale, which is false"),
        ({"image_mean": GREY_MEAN, "image_std": GREY_STD}, 'is in 0..255.*add "do_rescale": true or false'),
        ({"image_processor_type": "ViTImageProcessor", "size": 224},
         "ViTImageProcessor is named without its constants"),
        ({"image_processor_type": "Pix2StructImageProcessor"}, "normalises each image by its own mean"),
        ({"do_rescale": True, "do_grayscale": True}, "do not work channel by channel"),
        ({"rescale_factor": 0, "do_rescale": True}, "multiplys? by 0|by 0 cannot be undone"),
        ({"max_pixel_value": 255, "normalization": "image", "mean": 1, "std": 1}, "depends on the image"),
        ({"class_name": "Normalization", "config": {"mean": None}}, "adapt\\(\\) has put it among the weights"),
        ({"class_name": "Normalization", "config": {"mean": 1, "variance": 0}}, "variance is divided by"),
        ({"mean_values": [1, 2], "reverse_input_channels": False}, "mean_values must be one number or three"),
        ({"mean_values": 1, "std_values": 2}, "std_values is RKNN's"),
        ({"mean": MEAN, "std": STD, "scale": "1.0/255.0"}, "scale must be finite numbers; got '1.0/255.0'"),
        ({"mean": STD, "std": MEAN}, "mean and std are those of torch, exchanged; if that is meant, write it as steps"),
        ({"image_mean": STD, "image_std": MEAN}, "mean and std are those of torch, exchanged"),
        ({"max_pixel_value": 255, "mean": STD, "std": MEAN}, "mean and std are those of torch, exchanged"),
        ({"mean": GREY_STD, "std": GREY_MEAN}, "mean and std are those of torch, exchanged"),
        ({"mean-file": "mean.ppm", "net-scale-factor": 1}, "subtracted pixel by pixel"),
        ({"net-scale-factor": [1, 2, 3]}, "net-scale-factor must be one number"),
        ({"model-color-format": 2}, "model-color-format must be 0, RGB, or 1, BGR; got 2"),
        ({"color_layout": "G", "scale": 1}, "color_layout must be RGB or BGR; got G"),
        ([{"mean": MEAN, "std": STD}, {"mean": STD, "std": STD}], "it holds 2 different modes"),
        ({"order": "RGB", "steps": [{"halve": 2}]}, "a step is one of divide, subtract, multiply, add"),
        ({"steps": [], "order": "RGB", "summary": 3}, "name, summary and source are texts"),
        ({"mean_values": [1, 2, 3], "scale_values": "0.5", "reverse_input_channels": True}, "scale_values must be"),
        ({"order": "RGG", "steps": []}, "order must name each of the three channels once"),
        ({"order": "RGB", "steps": [{"divide": 0}]}, "a step that divides by 0 cannot be undone"),
        ({"order": "RGB", "steps": [], "scale": 1}, "a mode has name, order, steps, summary and source; got scale"),
        ({"hidden_size": 768, "vocab_size": 3}, "there is no mode in it; one is read from toml, "),
        ({}, "there is no mode in it"),
        ([], "there is no mode in it"),
    ],
)  # fmt: skip
def test_what_is_no_mode_is_one_line(document: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(json.dumps(document))
    said = "NaN is no number" if "got nan" in said else said  # JSON has none
    with pytest.raises(VggprepError, match=said) as caught:
        read_mode(tmp_path / "file.json")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "file.json") in str(caught.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"order": "RGB", "steps": [{"operation": [], "constants": 1}]}, "a step is one of divide"),
        ({"steps": [{"divide": 1}], 1: 2}, "a mode has name, order, steps, summary and source; got 1"),
        ({"steps": [{1: 2}], "order": "RGB"}, "a step is one of divide"),
        ('{"mean": %s, "std": 1}' % ("9" * 5000), "mean must be 0, or at .* in size; got 1.00000E"),
        ('{"mean": 0.%s, "std": 1}' % ("9" * 5000), "mean has a number of 5002 characters; 1000 are read"),
        ('{"steps": [{"divide": %s}], "order": "RGB"}' % ("9" * 5000), "divide has a number of 5000 characters"),
        ({"image_scale": 1, "gray_bias": -1}, "gray_bias is of images of one channel"),
        ('{"mean": 1e999999999, "std": 1}', r"mean must be 0, or at least 1e-30 and .* in size; got 1E\+999999999$"),
        # what says more of values than is read
        *((pipeline(name), f"{name} may change values") for name in ("ToFloat", "ToGray", "InvertImg", "ColorJitter")),
        (pipeline("Normalize"), "mean is missing"),
        (pipeline(p=0.5), "Normalize has p=0.5"),
        ({"a": pipeline(), "b": pipeline()}, "several Normalize"),
        ({"class_name": "ViTImageConverter"}, "ViTImageConverter is named without its config"),
        ({"class_name": "Rescaling"}, "Rescaling is named without its config"),
        ({"class_name": "Rescaling", "config": {"offset": 1}}, "Rescaling has no scale"),
        (functional(("a", INPUT, []), ("b", INPUT, []), ("c", RESCALING, ["a"])), "several inputs"),
        (functional(("a", INPUT, []), ("b", RESCALING, ["a"]), ("c", RESCALING, ["a"])), "no chain"),
        (functional(("a", INPUT, []), ("b", RESCALING, ["a"]), ("c", CONV, ["a", "b"])), "no chain"),
        ({"type": "ImgDataPreprocessor", "mean": GREY_MEAN, "std": 1, "rgb_to_bgr": True}, "rgb_to_bgr reverses"),
        ({"mean": GREY_MEAN, "std": 1, "to_rgb": 1}, "to_rgb must be true or false"),
        # what is said twice, or of others
        (f"{RUN}\nmo --mean_values [4,5,6]", "2 lines have options that differ"),
        (f"{RUN} --scale_values [1,2,3]", "scale and scale_values are both given"),
        (f"{RUN} --scale 3", "scale is given twice"),
        ("<net><a><scale value='2'/></a><b><scale value='3'/></b></net>", "scale is given twice"),
        ("[property]\nenable=1\n[user-configs]\npixel-normalization-factor=0.1\noffsets=1;2;3\n", "Gst-nvdspreprocess"),
        ("[property]\nmean-file=mean.ppm\n", "subtracted pixel by pixel"),
        ("[property]\nnet-scale-factor=0.5\ninput-tensor-from-meta=1\n", "input-tensor-from-meta leaves"),
        (BLOB + BLOB.replace("True", "False"), "2 calls of blobFromImage that differ"),
        (f"{BLOB}blob[0] /= std", "values are changed after blobFromImage"),
        ('{"image_processor_type": "VivitImageProcessor", "do_rescale": true}', "constants of its own"),
    ],
)  # fmt: skip
def test_what_is_odd_is_refused_in_one_line(document: Any, said: str) -> None:
    with pytest.raises(VggprepError, match=said):
        read_text(document, "text") if isinstance(document, str) else read_mode(document)


def test_numbers_of_numpy_are_read() -> None:
    assert (
        read_mode({"mean": [np.float32(m) for m in MEAN], "std": np.float32(0.5)}).definition
        == mode("RGB", ("divide", 255), ("subtract", MEAN), ("divide", 0.5)).definition
    )


def test_timm_divides_by_255_whatever_the_constants() -> None:
    found = read({"mean": GREY_MEAN, "std": GREY_STD, "interpolation": "bicubic"})
    expected = mode("RGB", ("divide", 255), ("subtract", GREY_MEAN), ("divide", GREY_STD))
    assert found.mode.definition == expected.definition
    assert "timm divides pixels by 255 first" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [" " * 100_000, "\n" * 100_000, "mo --mean_values " + "[" * 100_000, "mo --mean_values " + "1" * 100_000 + "x",
     "blob[" * 20_000 + BLOB + "blob /= 2", "\"'/*" * 50_000 + BLOB, ";" + " " * 100_000 + "blobFromImage"],
    ids=range(7),
)  # fmt: skip
def test_a_long_text_is_told_in_a_moment(text: str) -> None:
    started = time.process_time()
    with pytest.raises(VggprepError):
        read_text(text, "text")
    assert time.process_time() - started < 5


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"image_mean": [0.5,')
    (tmp_path / "broken.toml").write_text("steps = [")
    (tmp_path / "broken.xml").write_text("<net>")
    (tmp_path / "deep.json").write_text("[" * 5000 + "]" * 5000)
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00")
    for name, said in (
        ("broken.json", "not valid JSON"),
        ("broken.toml", "not valid TOML"),
        ("broken.xml", "not valid XML"),
        ("deep.json", "nested too deeply"),
        ("weights.bin", "is no text file"),
        ("missing.json", "cannot read .*: No such file"),
        (".", "is a folder"),
    ):
        with pytest.raises(VggprepError, match=said):
            read_mode(tmp_path / name)
    with pytest.raises(VggprepError, match="a path or a mapping; got int"):
        read_mode(3)  # type: ignore[arg-type]


def test_constants_are_the_decimals_of_the_file_and_no_binary_floats() -> None:
    text = '{"image_mean": 0.1000000000000000055511151231257827, "image_std": 1.0, "do_rescale": false}'
    (step,) = read_text(text, "long").mode.steps
    assert step.constants[0] == "0.1000000000000000055511151231257827"
    assert Fraction(step.constants[0]) != Fraction(0.1)


def test_a_mode_is_named_by_its_file_or_by_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    path = tmp_path / "clip" / "preprocessor_config.json"
    path.write_text(json.dumps(NAMED))
    assert read_mode(path).name == "clip/preprocessor_config.json"
    assert read_mode(path, name="mine").name == "mine"
    assert read_mode({"name": "own", "order": "RGB", "steps": []}).name == "own"
    assert read_mode(NAMED).name == read_mode(dict(NAMED)).name != read_mode({**NAMED, "do_rescale": False}).name


@pytest.mark.parametrize(
    ("document", "unjudged"),
    [
        (
            {**NAMED, "size": {"shortest_edge": 224}, "resample": 3, "crop_size": {"height": 224, "width": 224}},
            ("size 224", "crop size 224x224", "bicubic"),
        ),
        ({**NAMED, "size": 224, "do_resize": False, "resample": 3, "crop_size": 224}, ("crop size 224",)),
        ({**NAMED, "size": 224, "do_resize": False, "do_center_crop": False, "crop_size": 224}, ()),
        (
            {"mean": MEAN, "std": STD, "input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bilinear"},
            ("input size 3x224x224", "bilinear", "crop 0.875"),
        ),
        ({"transforms": [{"__class_fullname__": "CenterCrop"},
                         {"max_pixel_value": 1, "mean": 0, "std": 2}]}, ("CenterCrop",)),
    ],
)  # fmt: skip
def test_what_a_file_says_of_resizing_and_cropping_is_named(document: Any, unjudged: tuple[str, ...]) -> None:
    assert read(document).unjudged == unjudged


def test_fields_that_do_not_bear_on_values_are_kept_quiet() -> None:
    quiet = {"do_convert_rgb": True, "size_divisor": 32, "scale_resolution": 448, "max_pixels": 3, "label_offset": 1}
    found = read({**NAMED, **quiet, "data_format": "channels_first", "processor_class": "CLIPProcessor"})
    assert (found.unjudged, found.notes) == ((), ())


@pytest.mark.parametrize(
    ("document", "note"),
    [
        ({"image_mean": GREY_MEAN, "image_std": GREY_STD, "do_rescale": True}, "though it looks like grey levels"),
        ({"mean": GREY_MEAN, "std": GREY_STD}, "are taken for grey levels"),
        ({"scalefactor": 1, "mean": 127.5, "swapRB": True}, "from the first channel alone"),
        ({**NAMED, "rescale_mean": 0.5}, "rescale_mean may bear on values, and is not read"),
        ({"mean": MEAN, "std": STD, "input_norm": True}, "input_norm may bear on values"),
    ],
)
def test_what_is_suspicious_is_noted_and_read_as_it_stands(document: dict[str, Any], note: str) -> None:
    assert note in " ".join(read(document).notes)


def test_right_constants_in_their_places_are_not_noted() -> None:
    for known in (*MODES.values(), *PUBLISHED.values()):
        if [step.operation for step in known.steps] == ["divide", "subtract", "divide"]:
            constants = {
                "mean": [float(c) for c in known.steps[1].constants],
                "std": [float(c) for c in known.steps[2].constants],
            }
            assert read(constants).notes == ()


def test_one_mode_in_five_formats_has_the_same_values() -> None:
    documents: list[dict[str, Any]] = [
        {**NAMED, "rescale_factor": 1 / 255},
        {"pretrained_cfg": {"mean": MEAN, "std": STD}},
        {"max_pixel_value": 255.0, "mean": MEAN, "std": STD},
        {"mean_values": GREY_MEAN, "scale_values": GREY_STD},
        {"class_name": "Normalization", "config": {"mean": GREY_MEAN, "variance": [s * s for s in GREY_STD]}},
    ]
    assert all(levels_apart(MODES["torch"], read_mode(document)) < Fraction(1, 10**12) for document in documents)
