"""A package called ``keras`` that is enough for the probe, and a ``uv`` that installs it: NumPy only, fast, chatty."""

from __future__ import annotations

import sys
from pathlib import Path

from vggprep.releases.observation import Observation, Row
from vggprep.releases.questions import Question, Shape

RIGHT = Row("float32", (4, 5, 3), "a", "tensor", "right", 1e-6, aliasing="fresh")
WRONG = Row("float32", (4, 5, 3), "b", "tensor", "wrong", 19.7, "the mean along the height", "axis", "fresh")
RAISES = Row(error="TypeError", message="no")

_SOURCES = {
    # The real ones take seconds to import.
    "tensorflow.py": """
        raise ImportError
    """,
    "jax.py": """
        raise ImportError
    """,
    "keras/__init__.py": """
        from keras import applications, backend
        __version__ = "3.99.0"
        class Variable:
            pass
    """,
    "keras/backend.py": """
        _settings = {"floatx": "float32", "image_data_format": "channels_last"}
        def backend(): return "BACKEND"
        def floatx(): return _settings["floatx"]
        def set_floatx(value): _settings["floatx"] = value
        def image_data_format(): return _settings["image_data_format"]
        def set_image_data_format(value): _settings["image_data_format"] = value
    """,
    "keras/applications/__init__.py": """
        from keras.applications import imagenet_utils
    """,
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


def write_stand_in(folder: Path, backend: str = "numpy") -> dict[str, str]:
    """Write the package under ``folder``; return the environment variables that let an interpreter find it."""
    for name, source in _SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = source.replace("BACKEND", backend).splitlines()
        path.write_text("\n".join(line[8:] for line in lines) + "\n", encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def question(
    path: str = "ndarray",
    dtype: str = "float32",
    shape: Shape = (4, 5, 3),
    *,
    mode: str = "caffe",
    data_format: str = "channels_last",
    **more: str,
) -> Question:
    """A question about the stand-in."""
    return Question(path, dtype, shape, mode, data_format, **more)


def observed(**rows: Row) -> Observation:
    """What some release did: one row a path."""
    return Observation({"keras": "3.0.0"}, {question(path).id: row for path, row in rows.items()})


def write_script(path: Path, lines: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def write_interpreter(path: Path, packages: Path) -> Path:
    """An interpreter that finds ``packages``."""
    return write_script(path, f'PYTHONPATH="{packages}" exec "{sys.executable}" "$@"')


def write_uv(folder: Path, packages: Path) -> Path:
    """A ``uv`` in ``folder`` whose environments are this interpreter and which installs ``packages``, whatever it is
    asked for; what it is asked for is written to ``uv.log``.
    """
    python = write_script(folder / "base-python", f'exec "{sys.executable}" "$@"')
    return write_script(
        folder / "uv",
        f"""
        echo "$@" >> "{folder}/uv.log"
        for last; do :; done
        case "$1 $last" in venv*) mkdir -p "$last/bin" && cp "{python}" "$last/bin/python";; esac
        while [ "$1" ]; do
            [ "$1" = --target ] && mkdir -p "$2" && cp -r "{packages}/." "$2"
            shift
        done
        exit 0""",
    )
