"""Configuration files as their own libraries write them, and what these libraries make of pixels.

``python tests/libraries.py FOLDER`` writes the files; ``tests/configurations/data`` keeps them. Each sample gives a
configuration, the name of its file, and a function from an image of bytes, RGB, height x width x 3, to floats of the
same shape.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Library = Callable[[], Iterator["Sample"]]


class Sample(NamedTuple):
    file: str
    text: str
    apply: Callable[[Array], Any]
    version: str


@functools.cache
def _operators_of_torchvision() -> Any:
    """Declares what torchvision's own library would: a build for CUDA does not load beside a torch for the CPU.

    Preprocessing uses none of these operators, but torchvision is not imported where it cannot name two of them.
    """
    import torch

    declared: Any = torch.library
    declared = declared.Library("torchvision", "FRAGMENT")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return declared  # while it lives


def transformers() -> Iterator[Sample]:
    _operators_of_torchvision()
    import transformers as t

    grey = {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}
    torch_constants = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    roots = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.47853944, 0.4732864, 0.47434163]}
    yield from (
        _processor(name, kind(do_resize=False, do_center_crop=False, **options), t.__version__)
        for name, kind, options in (
            ("clip", t.CLIPImageProcessor, {}),
            ("not_rescaled", t.ViTImageProcessor, {"do_rescale": False, **grey}),
            ("not_normalized", t.ViTImageProcessor, {"do_normalize": False}),
            ("efficientnet_include_top", t.EfficientNetImageProcessor, roots),
            (
                "efficientnet_offset",
                t.EfficientNetImageProcessor,
                {"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False, "do_normalize": False},
            ),
            ("vivit", t.VivitImageProcessor, {"do_normalize": False}),
            ("mobilevit", t.MobileViTImageProcessor, {}),
            ("tvp", t.TvpImageProcessor, {"do_pad": False, **torch_constants}),
            ("layoutlmv2", t.LayoutLMv2ImageProcessor, {"apply_ocr": False}),
        )
    )


def _processor(name: str, processor: Any, version: str) -> Sample:
    def apply(image: Array) -> Any:
        video = type(processor).__name__.startswith(("Tvp", "Vivit"))
        given = [[image]] if video else [image]
        found = np.asarray(processor(given, return_tensors="np", input_data_format="channels_last")["pixel_values"])
        return found.reshape(3, *image.shape[:2]).transpose(1, 2, 0)

    return Sample(f"transformers_{name}.json", processor.to_json_string(), apply, f"transformers {version}")


def timm() -> Iterator[Sample]:
    _operators_of_torchvision()
    import tempfile

    import timm
    from PIL import Image
    from timm.models._hub import save_config_for_hf

    for name in ("dpn68", "vit_tiny_patch16_224.augreg_in21k"):
        model = timm.create_model(name)
        with tempfile.TemporaryDirectory() as folder:
            save_config_for_hf(model, f"{folder}/config.json")
            text = (Path(folder) / "config.json").read_text()
        config = timm.data.resolve_data_config(model=model)
        last_two = timm.data.create_transform(**config).transforms[-2:]

        def apply(image: Array, steps: Any = last_two) -> Any:
            value = Image.fromarray(image)
            for step in steps:
                value = step(value)
            return np.asarray(value).transpose(1, 2, 0)

        yield Sample(f"timm_{name.partition('_')[0]}.json", text, apply, f"timm {timm.__version__}")


def torchvision() -> Iterator[Sample]:
    _operators_of_torchvision()
    import torchvision
    from PIL import Image
    from torchvision.transforms._presets import ImageClassification, VideoClassification

    for name, preset in (("image", ImageClassification), ("video", VideoClassification)):
        made = (
            preset(crop_size=16, resize_size=16) if name == "image" else preset(crop_size=(16, 16), resize_size=(16,))
        )

        def apply(image: Array, made: Any = made) -> Any:
            import torch

            tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
            if isinstance(made, VideoClassification):
                return np.asarray(made(tensor[None])[:, 0].permute(1, 2, 0))
            return np.asarray(made(Image.fromarray(image)).permute(1, 2, 0))

        text = json.dumps({"mean": made.mean, "std": made.std})
        yield Sample(f"torchvision_{name}.json", text, apply, f"torchvision {torchvision.__version__}")


def albumentations() -> Iterator[Sample]:
    import albumentations as A  # noqa: N812

    for name, options in (
        ("default", {}),
        ("inception", {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}),
        ("grey", {"mean": (103.53, 116.28, 123.675), "std": (1.0, 1.0, 1.0), "max_pixel_value": 1.0}),
    ):
        made = A.Compose([A.Resize(16, 16), A.Normalize(**options)])

        def apply(image: Array, made: Any = made) -> Any:
            return np.asarray(made(image=image)["image"])

        text = json.dumps(A.to_dict(made))
        yield Sample(f"albumentations_{name}.json", text, apply, f"albumentations {A.__version__}")


def keras() -> Iterator[Sample]:
    import keras

    layers = keras.layers
    whole = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.052441, 0.050176, 0.050625]),
            layers.Conv2D(2, 3),
        ]
    )
    made = {
        "rescaling": layers.Rescaling(1 / 127.5, -1),
        "rescaling_lists": layers.Rescaling([0.017, 0.0175, 0.0174], [-2.1, -2.0, -1.8]),
        "normalization": layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[3409.976025, 1.0, 4.0]),
        "inverted": layers.Normalization(mean=[0.5, 0.25, 0.125], variance=[4.0, 9.0, 16.0], invert=True),
        "model": whole,
    }
    for name, layer in made.items():
        text = layer.to_json() if name == "model" else json.dumps(keras.saving.serialize_keras_object(layer))
        leading = layer.layers[:2] if name == "model" else [layer]

        def apply(image: Array, leading: Any = leading) -> Any:
            value = image[None].astype(np.float32)
            for one in leading:
                value = one(value)
            return np.asarray(keras.ops.convert_to_numpy(value))[0]

        yield Sample(f"keras_{name}.json", text, apply, f"keras {keras.__version__}")


def keras_hub() -> Iterator[Sample]:
    import keras
    import keras_hub

    converter = keras_hub.layers.ImageConverter(
        image_size=(16, 16), scale=[0.017, 0.0175, 0.0174], offset=[-2.1, -2.0, -1.8]
    )

    def apply(image: Array) -> Any:
        return np.asarray(keras.ops.convert_to_numpy(converter(image[None].astype(np.float32))))[0]

    text = json.dumps({"preprocessor": keras.saving.serialize_keras_object(converter)})
    yield Sample("kerashub_converter.json", text, apply, f"keras-hub {keras_hub.__version__}")


def openvino() -> Iterator[Sample]:
    """What ``mo`` was, ``ovc`` and ``PrePostProcessor`` are; the rt_info of ModelAPI is read from the IR."""
    import tempfile

    import openvino as ov
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    parameter = ops.parameter([1, 16, 16, 3], np.float32, name="image")
    model = ov.Model([ops.add(parameter, np.float32(0))], [parameter], "preprocessing")
    info = {"mean_values": "103.94 116.78 123.68", "scale_values": "58.8 58.8 58.8", "reverse_input_channels": "True"}
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    with tempfile.TemporaryDirectory() as folder:
        ov.save_model(model, f"{folder}/model.xml", compress_to_fp16=False)
        text = (Path(folder) / "model.xml").read_text()
    embedded = PrePostProcessor(model)
    embedded.input().tensor().set_layout(ov.Layout("NHWC"))
    embedded.input().model().set_layout(ov.Layout("NHWC"))
    steps = embedded.input().preprocess()
    steps.reverse_channels().mean([103.94, 116.78, 123.68]).scale([58.8, 58.8, 58.8])
    compiled = ov.compile_model(embedded.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def apply(image: Array) -> Any:
        return np.asarray(next(iter(compiled([image[None].astype(np.float32)]).values())))[0]

    yield Sample("openvino_model.xml", text, apply, f"openvino {ov.__version__.partition('-')[0]}")


def opencv() -> Iterator[Sample]:
    import cv2

    for name, call in (
        ("caffe", "cv2.dnn.blobFromImage(image, 1.0, (16, 16), (104, 117, 123))"),
        ("swapped", "cv2.dnn.blobFromImage(image, 1 / 127.5, (16, 16), (124.5, 117.25, 103.5), swapRB=True)"),
        ("single_mean", "cv2.dnn.blobFromImage(image, 0.007843, (16, 16), 127.5)"),
    ):

        def apply(image: Array, call: str = call) -> Any:
            blob = eval(call, {"cv2": cv2, "image": np.ascontiguousarray(image[..., ::-1])})
            return np.asarray(blob)[0].transpose(1, 2, 0)

        yield Sample(f"opencv_{name}.txt", call, apply, f"opencv {cv2.__version__}")


LIBRARIES: tuple[Library, ...] = (transformers, timm, torchvision, albumentations, keras, keras_hub, openvino, opencv)


def loaded(format: str, text: str, image: Array) -> Any:
    """What the library of a format makes of an image by a file that vggprep wrote."""
    if format == "opencv":
        import cv2

        blob = eval(text, {"cv2": cv2, "image": np.ascontiguousarray(image[..., ::-1])})
        return np.asarray(blob)[0].transpose(1, 2, 0)
    document = json.loads(text)
    if format == "huggingface":
        _operators_of_torchvision()
        import transformers

        kind = getattr(transformers, document.pop("image_processor_type"))
        return _processor("", kind(**document), "").apply(image)
    if format == "albumentations":
        import albumentations

        return albumentations.from_dict(document)(image=image)["image"]
    import keras

    if format == "kerashub":
        import keras_hub  # noqa: F401
    layer = keras.saving.deserialize_keras_object(document)
    return np.asarray(keras.ops.convert_to_numpy(layer(image[None].astype(np.float32))))[0]


LOADED = ("huggingface", "albumentations", "keras", "keras-normalization", "kerashub", "opencv")

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    versions = {}
    for library in LIBRARIES:
        for sample in library():
            text = sample.text if sample.text.endswith("\n") else f"{sample.text}\n"
            (folder / sample.file).write_text(text, encoding="utf-8")
            versions[sample.file] = sample.version
    (folder / "MADE_WITH.json").write_text(json.dumps(versions, indent=2) + "\n", encoding="utf-8")
