"""Modes that other people have published and that people meet, each with the file it was read in.

The steps are those of the source, in its order and with its constants. Some have the values of a mode of Keras's by
other steps; their summaries say so. Imports ``spec`` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from vggprep.spec import Mode, Step


def _three(numbers: str) -> tuple[str, ...]:
    return tuple(numbers.split())


def _mode(name: str, order: Literal["RGB", "BGR"], steps: str, summary: str, source: str) -> Mode:
    """``steps`` are an operation sign and its constants, one or three: ``"/ 255, - 0.485 0.456 0.406"``."""
    signs: Mapping[str, Literal["divide", "subtract", "multiply"]] = {"/": "divide", "-": "subtract", "*": "multiply"}
    made = [Step(signs[step[0]], _three(step[1:])) for step in steps.split(", ")]
    return Mode(name, order, made, summary, source)


_ALL = (
    _mode("clip", "RGB", "/ 255, - 0.48145466 0.4578275 0.40821073, / 0.26862954 0.26130258 0.27577711",
          "CLIP and the models that descend from it", "openai/CLIP, clip/clip.py, _transform"),
    _mode("half", "RGB", "/ 255, - 0.5, / 0.5",
          "mean and deviation 0.5, as ViT, SigLIP and timm's Inception: the values of tf, by other steps",
          "huggingface/pytorch-image-models, timm/data/constants.py, IMAGENET_INCEPTION_MEAN"),
    _mode("mmdetection", "RGB", "- 123.675 116.28 103.53, / 58.395 57.12 57.375",
          "OpenMMLab with torchvision's weights: the values of torch, in grey levels",
          "open-mmlab/mmdetection, configs/_base_/models/faster-rcnn_r50_fpn.py"),
    _mode("torch_in_bgr", "BGR", "- 103.53 116.28 123.675, / 57.375 57.12 58.395",
          "RTMDet, and whatever else takes the torch mode with channels, means and deviations all in BGR order",
          "open-mmlab/mmdetection, configs/rtmdet/rtmdet_l_8xb32-300e_coco.py"),
    _mode("mmdetection_ssd", "RGB", "- 123.675 116.28 103.53", "SSD in OpenMMLab: the means of torch, no deviation",
          "open-mmlab/mmdetection, configs/_base_/models/ssd300.py"),
    _mode("detectron", "BGR", "- 103.53 116.28 123.675",
          "Detectron2, and OpenMMLab with Caffe's weights: the means of torch in grey levels, no deviation",
          "facebookresearch/detectron2, detectron2/config/defaults.py, PIXEL_MEAN"),
    _mode("faster_rcnn", "BGR", "- 102.9801 115.9465 122.7717",
          "py-faster-rcnn",
          "rbgirshick/py-faster-rcnn, lib/fast_rcnn/config.py, PIXEL_MEANS"),
    _mode("slim", "RGB", "- 123.68 116.78 103.94",
          "VGG and ResNet of TF-Slim", "tensorflow/models, research/slim/preprocessing/vgg_preprocessing.py"),
    _mode("squeezenet", "BGR", "- 104 117 123",
          "SqueezeNet, and other Caffe models with whole means",
          "forresti/SqueezeNet, SqueezeNet_v1.0/train_val.prototxt"),
    _mode("fcn", "BGR", "- 104.00698793 116.66876762 122.67891434",
          "FCN, and other Caffe models with the means of ilsvrc_2012_mean.npy",
          "shelhamer/fcn.berkeleyvision.org, infer.py"),
    _mode("mobilenet_caffe", "BGR", "- 103.94 116.78 123.68, * 0.017",
          "MobileNet and DenseNet of shicai for Caffe", "shicai/MobileNet-Caffe, README.md"),
    _mode("mobilenet_ssd", "BGR", "- 127.5, * 0.007843",
          "MobileNet-SSD for Caffe", "chuanqi305/MobileNet-SSD, demo.py"),
    _mode("dpn", "RGB", "- 124 117 104, * 0.0167", "Dual path networks", "cypw/DPNs, README.md"),
    _mode("inception5h", "RGB", "- 117", "Inception of 2015 in TensorFlow's first Android demo",
          "tensorflow/tensorflow, tensorflow/examples/android, ClassifierActivity.java, IMAGE_MEAN"),
    _mode("efficientnet_lite", "RGB", "- 127, / 128", "EfficientNet-Lite and EfficientNet-EdgeTPU",
          "tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py"),
    _mode("efficientnet_transformers", "RGB",
          "* 0.00392156862745098, - 0.485 0.456 0.406, / 0.47853944 0.4732864 0.47434163, "
          "/ 0.47853944 0.4732864 0.47434163",
          "EfficientNet in transformers: the roots of torch's deviations, divided by twice",
          "huggingface/transformers, models/efficientnet/convert_efficientnet_to_pytorch.py, with include_top"),
    _mode("efficientnet_imagenet_inside", "RGB",
          "/ 255, * 2.0896918976428642 2.1128856368212916 2.1081851067789197",
          "Keras's EfficientNet, inside a model built for weights, but for the mean and variance that are loaded",
          "keras-team/keras, keras/src/applications/efficientnet.py: 1 / sqrt(IMAGENET_STDDEV_RGB) in float64"),
    _mode("efficientnet_v2_sml_inside", "RGB", "/ 128, - 1", "EfficientNetV2 S, M and L: in Keras, inside the model",
          "keras-team/keras, keras/src/applications/efficientnet_v2.py, Rescaling(1 / 128, -1)"),
    _mode("facenet", "RGB", "- 127.5, / 128", "FaceNet with fixed standardization, and MTCNN",
          "davidsandberg/facenet, src/facenet.py, FIXED_STANDARDIZATION"),
    _mode("vggface", "BGR", "- 93.5940 104.7624 129.1863", "VGGFace", "rcmalli/keras-vggface, keras_vggface/utils.py"),
    _mode("vggface2", "BGR", "- 91.4953 103.8827 131.0912", "VGGFace2",
          "rcmalli/keras-vggface, keras_vggface/utils.py, version 2"),
    _mode("openpose", "BGR", "/ 256, - 0.5", "OpenPose",
          "CMU-Perceptual-Computing-Lab/openpose, src/openpose/utilities/openCv.cpp"),
    _mode("yolo", "RGB", "/ 255", "YOLOv5, and whatever else takes values from 0 to 1",
          "ultralytics/yolov5, detect.py"),
    _mode("centernet", "BGR", "/ 255, - 0.40789654 0.44719302 0.47026115, / 0.28863828 0.27408164 0.27809835",
          "CenterNet", "xingyizhou/CenterNet, src/lib/datasets/dataset/coco.py"),
    _mode("kinetics", "RGB", "/ 255, - 0.43216 0.394666 0.37645, / 0.22803 0.22145 0.216989",
          "torchvision's video models", "pytorch/vision, torchvision/transforms/_presets.py, VideoClassification"),
    _mode("slowfast", "RGB", "/ 255, - 0.45, / 0.225", "SlowFast",
          "facebookresearch/SlowFast, slowfast/config/defaults.py, DATA.MEAN"),
    _mode("cifar10", "RGB", "/ 255, - 0.4914 0.4822 0.4465, / 0.2470 0.2435 0.2616",
          "CIFAR-10 with the deviation of all its pixels", "issue 19 of kuangliu/pytorch-cifar, which found it"),
    _mode("cifar10_kuangliu", "RGB", "/ 255, - 0.4914 0.4822 0.4465, / 0.2023 0.1994 0.2010",
          "CIFAR-10 with the mean of its images' deviations, as pytorch-cifar and OpenMMLab",
          "kuangliu/pytorch-cifar, main.py"),
    _mode("cifar100", "RGB", "/ 255, - 0.5071 0.4867 0.4408, / 0.2675 0.2565 0.2761",
          "CIFAR-100", "training scripts of many repositories, none of them the first"),
)  # fmt: skip

PUBLISHED: Mapping[str, Mode] = MappingProxyType({mode.name: mode for mode in _ALL})
"""Published modes by name, none of them with the steps of one of Keras's."""
