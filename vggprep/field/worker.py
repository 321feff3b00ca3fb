"""The process of a family of libraries: it judges its implementations, and times them when it is their turn."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vggprep import oracle
from vggprep.errors import VggprepError
from vggprep.field.adapters import ADAPTERS
from vggprep.field.judged import judged
from vggprep.field.limit import LIMIT, limit
from vggprep.field.programs import Clock
from vggprep.field.setup import Adapter, Array, Setup, UnavailableError
from vggprep.machine import version_of
from vggprep.spec import Direction, ModeName

SIDE = 224
IMAGES = 64

_LISTED = {a.name: a for a in (Adapter(LIMIT, limit, out=True), *ADAPTERS)}


def main(descriptor: int) -> None:
    """Answer requests on a socket until it is closed."""
    connection, server = Connection(descriptor), _Server()
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, *about = connection.recv()
            try:
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")
                    answer = getattr(server, what)(*about)
            except UnavailableError as error:
                answer = str(error)
            except VggprepError as error:
                answer = str(error)
            except Exception as error:  # whatever another version of a library raises
                lines = str(error).strip().splitlines() or [""]
                answer = f"raises {type(error).__name__}: {lines[0][:160]}"
            connection.send(answer)
    os._exit(0)  # threads of libraries may never end


class _Server:
    def __init__(self) -> None:
        self._arrays: dict[Any, tuple[Array, Array]] = {}
        self._ready: dict[Any, Any] = {}

    def judge(self, name: str, mode: ModeName, direction: Direction) -> dict[str, Any]:
        adapter = _LISTED[name]
        return judged(adapter, mode, direction) | {"version": version_of(adapter.distribution)}

    def prepare(self, name: str, mode: ModeName, direction: Direction, images: int) -> float:
        """Build a call and warm it up; the seconds that it then takes."""
        adapter, x = _LISTED[name], self._input(mode, direction, images)[0]
        setup = Setup(direction, mode)
        if adapter.program is not None:
            self._ready[name, direction] = Clock(adapter.program(setup), x)
        else:
            out = np.empty(x.shape, np.float32) if name == LIMIT else None
            self._ready[name, direction] = adapter.build(setup), out
        self.time(name, mode, direction, images, 1)
        return self.time(name, mode, direction, images, 1)[0]

    def time(self, name: str, mode: ModeName, direction: Direction, images: int, rounds: int) -> list[float]:
        """Seconds of some rounds."""
        if (name, direction) not in self._ready:  # another one has ended the process since
            self.prepare(name, mode, direction, images)
        ready = self._ready[name, direction]
        if isinstance(ready, Clock):
            return ready.seconds(rounds)
        (x, pristine), (call, out) = self._input(mode, direction, images), ready
        seconds, clock = [], time.perf_counter
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                if direction == "inverse":  # some write to it
                    np.copyto(x, pristine)
                start = clock()
                result = call(x, out)
                seconds.append(clock() - start)
                del result  # giving memory back is not timed
        finally:
            gc.enable()
        return seconds

    def _input(self, mode: ModeName, direction: Direction, images: int) -> tuple[Array, Array]:
        """Images to work on, and what they have to hold."""
        if (mode, direction, images) not in self._arrays:
            pixels = np.random.default_rng(0).integers(0, 256, (images, SIDE, SIDE, 3), np.uint8)
            x: Array = pixels
            if direction == "inverse":
                bytes_ = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis], 3, axis=1)
                table = oracle.exact(bytes_, "forward", mode).astype(np.float32)
                sources = oracle.input_channels("forward", mode)
                x = np.stack([table[:, k][pixels[..., source]] for k, source in enumerate(sources)], axis=-1)
            self._arrays[mode, direction, images] = x, x.copy()
        return self._arrays[mode, direction, images]
