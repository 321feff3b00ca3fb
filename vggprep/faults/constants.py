"""Wrong constants, channel orders and steps: rows of the table of modes. The check ``value`` catches them all.

Each fault has a row for every mode in which it shows: the order of the output's channels, then its steps: what is
divided by (``/``), subtracted (``-``) or multiplied by (``*``), one number for all channels or three in the order of
the output; or a published mode.
"""

from __future__ import annotations

from vggprep.faults.fault import Fault
from vggprep.faults.fault import wrong_rows as fault
from vggprep.published import PUBLISHED
from vggprep.spec import MODES

BGR = " ".join(MODES["caffe"].steps[0].constants)
MEAN, STD = (" ".join(step.constants) for step in MODES["torch"].steps[1:])

ROWS: tuple[Fault, ...] = (
    # Channel order and means of mode caffe.
    fault(
        "no_swap",
        "The channels stay in RGB order while the means are those for BGR, so blue's mean is taken from red, as in code"
        " that expects OpenCV's BGR images or that copied the constants without the swap.",
        caffe=f"RGB - {BGR}",
    ),
    fault(
        "swap_undone",
        "Every channel gets its own mean but the result is in RGB order, because the swap to BGR is missing"
        " or is done twice.",
        caffe="RGB - 123.68 116.779 103.939",
    ),
    fault(
        "means_swapped",
        "The channels are in BGR order but red's mean is taken from blue and blue's from red, because the means are"
        " subtracted before the swap or are written in RGB order after it.",
        "deep-learning-models#41 (shipped by Keras in 2016), DALI#3610, Deeplearning4j",
        caffe="BGR - 123.68 116.779 103.939",
    ),
    fault(
        "slim_means_in_rgb",
        "The result is in RGB order, less the two-decimal means 123.68, 116.78 and 103.94, as TF-Slim and the MLPerf"
        " reference preprocess for VGG and ResNet.",
        "TF-Slim, MLPerf",
        caffe=PUBLISHED["slim"],
    ),
    fault(
        "slim_means",
        "The means are rounded to two decimals, 103.94 for 103.939 and 116.78 for 116.779, as in code that takes"
        " TF-Slim's constants into a BGR pipeline.",
        "TF-Slim's constants",
        caffe="BGR - 103.94 116.78 123.68",
    ),
    fault(
        "integer_means",
        "The means are the whole numbers 104, 117 and 123, as in old Caffe prototxt files and in the servers and"
        " samples that followed them.",
        "Caffe, Triton",
        caffe=PUBLISHED["squeezenet"],
    ),
    fault(
        "truncated_means",
        "The means lose their fractions and become 103, 116 and 123, because they were put into an integer array"
        " before the subtraction.",
        caffe="BGR - 103 116 123",
    ),
    fault(
        "mmdetection_means",
        "The means are 103.53, 116.28 and 123.675, which are the torch-mode means times 255 and not those of the Caffe"
        " weights, as in detection configurations.",
        "mmdetection",
        caffe=PUBLISHED["detectron"],
    ),
    fault(
        "vggface_means",
        "The means are 93.5940, 104.7624 and 129.1863, those of the face data set VGGFace and not of ImageNet.",
        "VGGFace, version 1 weights",
        caffe=PUBLISHED["vggface"],
    ),
    fault(
        "vggface2_means",
        "The means are 91.4953, 103.8827 and 131.0912, those of the face data set VGGFace2 and not of ImageNet.",
        "VGGFace2 weights",
        caffe=PUBLISHED["vggface2"],
    ),
    fault(
        "one_mean",
        "One mean, 117, is subtracted from all three channels, as for the early Inception graphs.",
        caffe="BGR - 117",
    ),
    fault("swap_only", "The channels are swapped to BGR but no mean is subtracted.", caffe="BGR"),
    fault(
        "caffe_scaled_to_unit",
        "The result is divided by 255 after the means are subtracted, though the Caffe weights expect grey levels.",
        caffe=f"BGR - {BGR} / 255",
    ),
    fault(
        "caffe_scaled_by_0_017",
        "The result is multiplied by 0.017 after the means are subtracted, as the Caffe ports of DenseNet and MobileNet"
        " expect and the VGG and ResNet weights do not.",
        caffe=f"BGR - {BGR} * 0.017",
    ),
    fault(
        "means_from_unit_range",
        "The image is scaled to 0..1 first and the means in grey levels are subtracted from that, because the loader"
        " already divides by 255.",
        caffe=f"BGR / 255 - {BGR}",
    ),
    fault(
        "restored_by_256",
        "An image scaled to 0..1 is multiplied by 256 instead of 255 before the means are subtracted.",
        "neural-style",
        caffe=f"BGR / 255 * 256 - {BGR}",
    ),
    fault(
        "mean_cached_from_other_mode",
        "The mean is that of the other mode, because a global cache keeps the mean of whichever mode ran first in the"
        " process.",
        "Keras 2.1.3 to keras-applications 1.0.8, tf.keras up to 2.1",
        caffe=f"BGR - {MEAN}",
        torch=f"RGB / 255 - {BGR} / {STD}",
    ),
    # Scale and offset of mode tf.
    fault(
        "scaled_by_128",
        "The image is divided by 128 instead of 127.5 before 1 is subtracted.",
        "MobileNetV2 in keras-applications before 1.0.7",
        tf=PUBLISHED["efficientnet_v2_sml_inside"],
    ),
    fault(
        "scaled_by_127",
        "The image is divided by 127 instead of 127.5 before 1 is subtracted.",
        "coremltools",
        tf="RGB / 127 - 1",
    ),
    fault(
        "mean_127_std_128",
        "127 is subtracted and the rest divided by 128, whole-number constants from quantised TFLite models.",
        "TFLite",
        tf=PUBLISHED["efficientnet_lite"],
    ),
    fault(
        "mean_128_std_127",
        "128 is subtracted and the rest divided by 127, the constants of quantised TFLite models in the other order.",
        tf="RGB - 128 / 127",
    ),
    fault(
        "scale_0_007843",
        "127.5 is subtracted and the rest multiplied by 0.007843, which is 1/127.5 cut to four digits, as in OpenCV's"
        " samples.",
        "OpenCV",
        tf="RGB - 127.5 * 0.007843",
    ),
    fault(
        "one_not_subtracted",
        "The image is divided by 127.5 but 1 is not subtracted, so the values run from 0 to 2.",
        tf="RGB / 127.5",
    ),
    fault(
        "centred_not_scaled",
        "127.5 is subtracted but nothing is divided, so the values run from -127.5 to 127.5.",
        tf="RGB - 127.5",
    ),
    fault(
        "scaled_by_256",
        "The image is divided by 256 instead of 255, as if 256 were the largest byte.",
        tf="RGB / 256",
        torch=f"RGB / 256 - {MEAN} / {STD}",
    ),
    fault(
        "subtract_before_divide",
        "The mean is subtracted before the image is scaled, so a mean meant for small values is taken from grey"
        " levels.",
        tf="RGB - 1 / 127.5",
        torch=f"RGB - {MEAN} / 255 / {STD}",
    ),
    # Mean and standard deviation of mode torch.
    fault(
        "scale_0_003921",
        "The image is multiplied by 0.003921, which is 1/255 cut to four digits, as in OpenCV's samples.",
        "OpenCV",
        torch=f"RGB * 0.003921 - {MEAN} / {STD}",
    ),
    fault(
        "half_mean_half_std",
        "Mean and standard deviation are 0.5 for every channel, which is the tf mode and not ImageNet's statistics.",
        torch=PUBLISHED["half"],
    ),
    fault(
        "clip_statistics",
        "Mean and standard deviation are those of the CLIP models and not ImageNet's.",
        "CLIP",
        torch=PUBLISHED["clip"],
    ),
    fault(
        "cifar10_statistics",
        "Mean and standard deviation are those of CIFAR-10 and not ImageNet's, copied along with a training script.",
        torch=PUBLISHED["cifar10"],
    ),
    fault(
        "one_std",
        "One standard deviation, 0.226, serves all three channels, because the target takes a single scale.",
        "coremltools",
        torch=f"RGB / 255 - {MEAN} / 0.226",
    ),
    fault(
        "torch_without_255",
        "The image is not divided by 255 before mean and standard deviation are applied, because the statistics were"
        " copied without the step that scales to 0..1.",
        torch=f"RGB - {MEAN} / {STD}",
    ),
    fault(
        "std_forgotten",
        "The mean is subtracted but nothing is divided by the standard deviation.",
        torch=f"RGB / 255 - {MEAN}",
    ),
    fault(
        "mean_forgotten",
        "The image is divided by the standard deviation but the mean is not subtracted.",
        torch=f"RGB / 255 / {STD}",
    ),
    fault(
        "std_before_mean",
        "The standard deviation is divided out before the mean is subtracted.",
        torch=f"RGB / 255 / {STD} - {MEAN}",
    ),
    fault(
        "multiplied_by_std",
        "The result is multiplied by the standard deviation instead of divided by it, because the constant was taken"
        " for a scale factor.",
        torch=f"RGB / 255 - {MEAN} * {STD}",
    ),
    fault(
        "statistics_in_bgr_order",
        "The channels are in RGB order while mean and standard deviation are in BGR order.",
        torch="RGB / 255 - 0.406 0.456 0.485 / 0.225 0.224 0.229",
    ),
    # Wrong in several modes.
    fault(
        "bgr_images",
        "Red and blue are exchanged, because OpenCV reads BGR images or because caffe's swap is done in every mode.",
        tf="BGR / 127.5 - 1",
        torch=f"BGR / 255 - {MEAN} / {STD}",
        identity="BGR",
    ),
    fault(
        "always_caffe",
        "The caffe mode is used whatever the model expects, because it is the default and the mode was not passed on.",
        None,
        **dict.fromkeys(("tf", "torch", "identity"), MODES["caffe"]),
    ),
    fault(
        "unit_range",
        "The image is divided by 255 and that is all, as with rescale=1/255.",
        None,
        **dict.fromkeys(MODES, PUBLISHED["yolo"]),
    ),
    fault(
        "applied_twice",
        "The image is preprocessed twice, once in the input pipeline and once more before the model or inside it.",
        caffe=f"RGB - 123.68 116.779 103.939 - {BGR}",
        tf="RGB / 127.5 - 1 / 127.5 - 1",
        torch=f"RGB / 255 - {MEAN} / {STD} / 255 - {MEAN} / {STD}",
    ),
)
