"""The programs in ``node/``: their command lines, and their own clock."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vggprep.field.libraries import onnx_model
from vggprep.field.setup import Array, Call, Setup, UnavailableError

FOLDER = Path(__file__).parent / "node"


def no_call(setup: Setup) -> Call:
    """What is in place of ``build`` for a program, which is asked in its own way."""
    raise UnavailableError("a program is not called")


def node(program: str, backend: str = "") -> Callable[[Setup], list[str]]:
    """The command line of a program for a setup."""

    def arguments(setup: Setup) -> list[str]:
        found = shutil.which("node")
        if found is None:
            raise UnavailableError("there is no node")
        package = {"tfjs": "@tensorflow/tfjs", "onnx": "onnxruntime-node", "sharp": "sharp"}[program]
        package = "@tensorflow/tfjs-backend-wasm" if backend == "wasm" else package
        asked = subprocess.run([found, "-e", f"require({package!r})"], capture_output=True, text=True, check=False)
        if asked.returncode:
            raise UnavailableError(f"node cannot load {package}: npm install it, and name its folder in NODE_PATH")
        words = [f"TFJS_BACKEND={backend}"] if backend else []
        words += [f"ONNX_MODEL={_model(setup)}"] if program == "onnx" else []
        return ["env", *words, found, str(FOLDER / f"{program}.js"), setup.mode, setup.data_format]

    return arguments


@functools.cache
def _model(setup: Setup) -> str:
    folder = tempfile.mkdtemp(prefix="vggprep-field")
    weakref.finalize(os, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "model.onnx")
    path.write_bytes(onnx_model(setup, "uint8", 4))
    return str(path)


class Clock:
    """A program that times its own function on one array, as it has no memory in common with this process."""

    def __init__(self, words: list[str], x: Array) -> None:
        self._process = subprocess.Popen([*words, "--time"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._input, self._output = self._process.stdin, self._process.stdout
        sent = io.BytesIO()
        np.save(sent, x)
        assert self._input is not None
        self._input.write(sent.getvalue())

    def seconds(self, rounds: int) -> list[float]:
        """The seconds of some rounds, at most 255."""
        assert self._input is not None
        assert self._output is not None
        self._input.write(bytes([rounds]))
        self._input.flush()
        head = self._output.read(128)
        found = np.load(io.BytesIO(head + self._output.read(8 * rounds)))
        return [float(nanoseconds) / 1e9 for nanoseconds in found]
