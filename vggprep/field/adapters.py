"""The list of implementations. ``vggprep field``, the benchmarks and the tests take them from here."""

from __future__ import annotations

from functools import partial

from vggprep.field import libraries as lib
from vggprep.field import snippets as copied
from vggprep.field.programs import no_call, node
from vggprep.field.setup import BYTES, FEW, LAST, Adapter
from vggprep.spec import DIRECTIONS, Direction, ModeName

KERAS = "keras ndarray"
USUAL = "round, clip, astype"
_WITHOUT_CAFFE: tuple[ModeName, ...] = ("tf", "torch")
_OPENCV = "opencv-python-headless"
_INVERSE: tuple[Direction, ...] = ("inverse",)
_BATCHES = (4,)
_FLOATS = ("uint8", "float32", "float16")

_ours = partial(Adapter, directions=DIRECTIONS, dtypes=_FLOATS, out=True, threads=True, plain=True)
_tensorflow = partial(Adapter, distribution="keras", family="tensorflow", threads="start")
_torch = partial(Adapter, family="torch", threads=True)
_jax = partial(Adapter, family="jax", directions=DIRECTIONS, threads="start", compiled=True)
_opencv = partial(Adapter, distribution=_OPENCV, family="numpy", data_formats=LAST, threads=True)
_apart = partial(Adapter, threads="start", in_benchmarks=False)
_node = partial(Adapter, build=no_call, family="node", serial=True, in_benchmarks=False)


def _snippet(name: str, function: object, *modes: ModeName, inverse: bool = False) -> Adapter:
    build = copied.plain(function)  # type: ignore[arg-type]
    directions: tuple[Direction, ...] = _INVERSE if inverse else ("forward",)
    return Adapter(
        name, build, directions=directions, modes=modes, data_formats=LAST, plain=True, copied=True, in_benchmarks=False
    )


ADAPTERS = (
    # Ours
    _ours("vggprep numba", partial(lib.ours, "numba"), "numba"),
    _ours("vggprep numpy", partial(lib.ours, "numpy")),
    _ours("reference", partial(lib.ours, "reference")),
    # Keras
    Adapter(KERAS, partial(lib.keras, "ndarray"), "keras", "tensorflow", dtypes=_FLOATS, plain=True, writes_input=True),
    _tensorflow("keras eager", partial(lib.keras, "tensor")),
    _tensorflow("keras graph", partial(lib.keras, "graph"), compiled=True),
    _tensorflow("keras xla", partial(lib.keras, "xla"), compiled=True),
    _tensorflow("keras eager, cast first", partial(lib.keras, "tensor", cast=True), dtypes=BYTES),
    _tensorflow("keras graph, cast first", partial(lib.keras, "graph", cast=True), dtypes=BYTES, compiled=True),
    _tensorflow("keras xla, cast first", partial(lib.keras, "xla", cast=True), dtypes=BYTES, compiled=True),
    _tensorflow("keras model", partial(lib.keras, "model"), in_benchmarks=False),
    *(
        _apart(
            f"keras {name} on {backend}",
            partial(lib.keras, path, backend=backend),
            distribution="keras",
            family=f"keras on {backend}",
            compiled=backend == "jax",
            judged=FEW if backend == "jax" else None,
        )
        for backend, paths in (("torch", ("tensor", "model")), ("jax", ("tensor", "xla", "model")))
        for name, path in zip(("eager", "model") if len(paths) == 2 else ("eager", "jit", "model"), paths, strict=True)
    ),
    _tensorflow("keras Rescaling", lib.keras_rescaling, modes=_WITHOUT_CAFFE, data_formats=LAST),
    _tensorflow("keras Normalization", lib.keras_normalization),
    _tensorflow("KerasHub ImageConverter", lib.keras_hub, distribution="keras-hub", in_benchmarks=False),
    _apart(
        "tf_keras ndarray",
        partial(lib.keras, "ndarray", package="tf_keras"),
        distribution="tf_keras",
        family="tf_keras",
        plain=True,
        writes_input=True,
    ),
    _apart(
        "tf_keras eager",
        partial(lib.keras, "tensor", package="tf_keras"),
        distribution="tf_keras",
        family="tf_keras",
    ),
    _tensorflow(
        "keras_applications 1.0.8",
        lib.keras_applications,
        distribution="keras-applications",
        plain=True,
        writes_input=True,
        in_benchmarks=False,
    ),
    # Frameworks
    *(
        _tensorflow(
            f"tensorflow {name}",
            partial(lib.tensorflow_formula, compiled=compiled),
            distribution="tensorflow",
            compiled=bool(compiled),
            in_benchmarks=False,
        )
        for name, compiled in (("eager", ""), ("graph", "graph"), ("xla", "xla"))
    ),
    _tensorflow(
        "LiteRT",
        lib.lite_rt,
        distribution="ai-edge-litert",
        serial=True,
        compiled=True,
        judged=FEW,
        in_benchmarks=False,
    ),
    _torch("torch eager", lib.torch_eager, "torch", directions=DIRECTIONS),
    _torch("torch in place", lib.torch_in_place, "torch", out=True),
    _torch(
        "torch.compile",
        lib.torch_compile,
        "torch",
        directions=DIRECTIONS,
        compiled=True,
        serial=True,
        judged=BYTES,
    ),
    _torch("torchvision", lib.torchvision_v2, "torchvision", dtypes=BYTES),
    _torch("torchvision v1", lib.torchvision_v1, "torchvision", data_formats=LAST, dtypes=BYTES, in_benchmarks=False),
    _torch("timm", lib.timm, "timm", data_formats=LAST, dtypes=BYTES, in_benchmarks=False),
    *(
        _torch(f"transformers {backend}", partial(lib.transformers, backend), "transformers", most_images=64)
        for backend in ("pil", "torchvision")
    ),
    _torch("HF image processing", lib.transformers_functions, "transformers", most_images=64, threads=False),
    _torch("kornia", lib.kornia, "kornia", ranks=_BATCHES),
    _jax("jax eager", lib.jax_eager, "jax", judged=FEW),
    _jax("jax jit", lib.jax_jit, "jax"),
    Adapter("MLX on the CPU", lib.mlx, "mlx", "mlx", in_benchmarks=False),
    # Image libraries
    _opencv("OpenCV LUT", lib.opencv_lut, dtypes=BYTES, out=True),
    _opencv("OpenCV arithmetic", lib.opencv_arithmetic, directions=DIRECTIONS, out=True),
    _opencv("OpenCV blobFromImages", lib.opencv_blob, ranks=_BATCHES),
    _opencv("albucore", lib.albucore, distribution="albucore"),
    _opencv("albumentations", lib.albumentations, distribution="albumentations", in_benchmarks=False),
    Adapter("numexpr", lib.numexpr, "numexpr", out=True, threads=True, serial=True),
    Adapter("Pillow", lib.pillow, "pillow", data_formats=LAST, dtypes=BYTES, most_images=64),
    # Runtimes
    Adapter("onnxruntime", lib.onnx_runtime, "onnxruntime", "onnx", threads=True),
    Adapter("OpenVINO", lib.openvino, "openvino", "openvino", ranks=_BATCHES, serial=True, in_benchmarks=False),
    Adapter(
        "DALI on the CPU",
        lib.dali,
        "nvidia-dali-cuda120",
        "dali",
        dtypes=BYTES,
        ranks=_BATCHES,
        threads=True,
        serial=True,
        compiled=True,
    ),
    _node("TensorFlow.js, 1 image", distribution="@tensorflow/tfjs", most_images=1, program=node("tfjs", "cpu")),
    _node("TensorFlow.js wasm", distribution="@tensorflow/tfjs-backend-wasm", program=node("tfjs", "wasm")),
    _node("sharp", distribution="sharp", data_formats=LAST, dtypes=BYTES, program=node("sharp")),
    _node(
        "onnxruntime in Node",
        distribution="onnxruntime-node",
        data_formats=LAST,
        dtypes=BYTES,
        ranks=_BATCHES,
        program=node("onnx"),
    ),
    # Copied: forward
    Adapter("NumPy, as the formula", copied.numpy_formula, plain=True, copied=True, in_benchmarks=False),
    _snippet("channel by channel", copied.channel_by_channel, "caffe"),
    _snippet("means as float64", copied.float64_means, "caffe"),
    _snippet("/ 255, then caffe", copied.scaled_first, "caffe"),
    _snippet("[..., ::-1] after the means", copied.flipped_after, "caffe"),
    _snippet("[::-1] for [..., ::-1]", copied.first_axis_flipped, "caffe"),
    _snippet("no flip to BGR", copied.not_flipped, "caffe"),
    _snippet("means as bytes", copied.byte_means, "caffe"),
    _snippet("means 104, 117, 123", copied.whole_means, "caffe"),
    _opencv(
        "blobFromImages, 104 117 123",
        copied.blob_104,
        modes=("caffe",),
        ranks=_BATCHES,
        copied=True,
        in_benchmarks=False,
    ),
    _snippet("torch without deviation", copied.without_deviation, "torch"),
    _snippet("torch with 0.226", copied.one_deviation, "torch"),
    _snippet("(x - 128) / 128", copied.divided_by_128, "tf"),
    # Copied: back
    Adapter(USUAL, copied.usual_inverse, directions=_INVERSE, plain=True, copied=True),
    Adapter(
        "copied inverse 1", copied.inverse_in_place, directions=_INVERSE, modes=("caffe",), plain=True, copied=True
    ),
    Adapter(
        "copied inverse 2",
        copied.inverse_truncating,
        directions=_INVERSE,
        modes=("caffe",),
        data_formats=LAST,
        plain=True,
        copied=True,
    ),
    _snippet("inverse, still BGR", copied.inverse_not_flipped, "caffe", inverse=True),
    _snippet("inverse of DeepDream", copied.inverse_unit_range, "tf", inverse=True),
    _snippet("inverse for Pillow", copied.inverse_for_pillow, "torch", inverse=True),
)
"""In the order of ties in the tables. The limit is no implementation: none can be faster."""


def named(names: tuple[str, ...]) -> list[Adapter]:
    """Those whose names contain one of the words, in the order of the list; all for none."""
    return [a for a in ADAPTERS if not names or any(name.lower() in a.name.lower() for name in names)]
