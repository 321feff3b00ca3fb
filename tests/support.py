"""What tests of several modules share: images by arithmetic, the bits of arrays, and commands of a shell."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from vggprep.spec import DataFormat, Mode

Array = npt.NDArray[Any]

ROOT = Path(__file__).resolve().parent.parent


CLIP = Mode.affine(
    "clip of the tests",
    scale="1/255",
    mean=("0.48145466", "0.4578275", "0.40821073"),
    std=("0.26862954", "0.26130258", "0.27577711"),
    source="openai/clip-vit-base-patch32, preprocessor_config.json",
)
ODD = (
    CLIP,
    Mode(
        "cyclic",
        (1, 2, 0),
        [("multiply", ("2", "-0.1", "0.5")), ("add", ("1", "-2", "3")), ("divide", ("3", "7", "0.3"))],
    ),
    Mode("the other way", (2, 0, 1), [("subtract", ("3", "0", "-0.3")), ("multiply", ("-0.3", "0.1", "3"))]),
    Mode("quotients", (0, 2, 1), [("divide", ("255", "-0.7", "3"))]),
    Mode("order alone", (2, 0, 1), []),
    Mode("reversed, channels alike", "BGR", [("divide", "127.5"), ("subtract", "1")]),
    Mode(
        "many",
        (1, 0, 2),
        [("add", "5"), ("multiply", "-2"), ("subtract", ("1", "2", "0")), ("divide", "3"), ("add", "7")],
    ),
)
"""Modes unlike Keras's: cyclic orders, negative scales, nothing but a scale, nothing but an order, many steps,
reversed channels that are treated alike."""


def colours(*shape: int) -> npt.NDArray[np.uint8]:
    """Bytes that keep the channels of a channels-last image apart."""
    return ((np.arange(np.prod(shape)) * 89 + 7).reshape(shape) % 256).astype(np.uint8)


def every_byte(data_format: DataFormat) -> npt.NDArray[np.uint8]:
    """Each of the 256 bytes in each channel, the channels in different orders."""
    image = np.stack([(np.arange(256) * k + 50 * k) % 256 for k in (1, 3, 5)], axis=-1).reshape(16, 16, 3)
    image = image if data_format == "channels_last" else image.transpose(2, 0, 1)
    return np.ascontiguousarray(image, np.uint8)


def bits(array: Array, *, one_nan: bool = False) -> tuple[str, tuple[int, ...], bytes]:
    """Dtype with its byte order, shape, and values to the last bit in C order; with ``one_nan``, all NaNs are equal."""
    values = array
    if array.dtype == np.longdouble:  # has padding of any value: take it apart
        with np.errstate(all="ignore"):
            near = array.astype(np.float64)
            values = np.stack([near, (array - near).astype(np.float64)])
    if one_nan and values.dtype.kind == "f":
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return array.dtype.str, array.shape, values.tobytes()


def blocks(page: Path) -> list[tuple[str, str]]:
    """The code blocks of a page, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows: Python that begins with its name as a comment, others with theirs above."""
    for name, block in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page.read_text("utf-8"), flags=re.S | re.M):
        (folder / name).write_text(block, encoding="utf-8")
    for language, block in blocks(page):
        named = re.match(r"# (\w+\.py)\n", block)
        if language == "python" and named:
            (folder / named[1]).write_text(block, encoding="utf-8")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command in a folder, with this interpreter's scripts first on the path."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"], "COLUMNS": "120"}
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def module(path: Path) -> ModuleType:
    """The module in a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def interruptible(words: Sequence[str], **more: Any) -> subprocess.Popen[str]:
    """``python -m vggprep WORDS``, started so that Ctrl-C reaches it: where a shell runs it in the background, or nohup
    does, it is ignored.
    """
    listen = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "vggprep", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=listen, **more)


def threads_of_pools() -> list[threading.Thread]:
    """Of pools of processes that are not quite ended: what they close at the end Python may close first."""
    return [thread for thread in threading.enumerate() if type(thread).__name__ == "_ExecutorManagerThread"]
