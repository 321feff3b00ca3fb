"""A package called ``keras`` that is enough for the probe: NumPy only, chatty, and with faults to order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vggprep.releases.questions import Question, Shape, text

_SOURCES = {
    "keras/__init__.py": """
        from keras import applications, backend
        __version__ = "3.99.0"
        class Variable:
            pass
    """,
    "keras/backend.py": """
        _settings = {"floatx": "float32", "image_data_format": "channels_last"}
        def backend(): return "numpy"
        def floatx(): return _settings["floatx"]
        def set_floatx(value): _settings["floatx"] = value
        def image_data_format(): return _settings["image_data_format"]
        def set_image_data_format(value): _settings["image_data_format"] = value
    """,
    "keras/applications/__init__.py": "",
    "keras/applications/imagenet_utils.py": """
        import os, warnings
        import numpy as np
        from keras import backend
        calls = []
        def preprocess_input(x, data_format=None, mode="caffe"):
            print("chatter on standard output")
            warnings.warn("careful", UserWarning)
            calls.append(mode)
            if mode not in ("caffe", "tf", "torch"):
                raise ValueError("unknown mode" + os.linesep + "second line")
            if (data_format or backend.image_data_format()) != "channels_last":
                raise NotImplementedError
            x = x.astype(x.dtype if x.dtype.kind == "f" else backend.floatx(), copy=False)
            if mode == "tf":
                x /= 127.5
                x -= 1.0
                return x
            if mode == "torch":
                x /= 255.0
                x -= [0.485, 0.456, 0.406]
                x /= [0.229, 0.224, 0.225]
                return x
            x = x[..., ::-1]
            x -= [103.939, 116.779, 123.68] if "torch" not in calls else [0.485, 0.456, 0.406]
            return x
    """,
}


def write_stand_in(folder: Path) -> dict[str, str]:
    """Write the package under ``folder``; return the environment variables that let an interpreter find it."""
    for name, source in _SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = source.splitlines()
        path.write_text("\n".join(line[8:] for line in lines) + "\n")
    return {"PYTHONPATH": str(folder)}


def question(path: str = "ndarray", dtype: str = "float32", shape: Shape = (4, 5, 3), **more: Any) -> Question:
    """A question about the stand-in; ``group`` and the other attributes by name."""
    group = more.pop("group", "main")
    attributes = {"mode": "caffe", "data_format": "channels_last", "pixels": "bytes", **more}
    return Question(group, tuple({"path": path, "dtype": dtype, "shape": text(shape), **attributes}.items()))
