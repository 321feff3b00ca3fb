"""The kernels against their aims, in one interleaved run: ``python -m benchmarks.aims [--rounds N]``.

64x224x224x3 uint8 to float32, one thread, unless a row says otherwise. Every round times every entry once, in an
order that changes; ratios are of minima and of medians over all rounds, so that a noisy machine slows all alike.
Needs keras (its ndarray path is the yardstick) and numba (the limit: conversion alone, stored past the cache).
"""

from __future__ import annotations

import argparse
import itertools
import platform
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import keras
import numba
import numpy as np
from keras.applications import imagenet_utils

import vggprep
from vggprep import deprocess_input, preprocess_input
from vggprep.kernels import compiled

MODES = ("caffe", "tf", "torch")
BACKENDS = ("numpy", "numba")
FORWARD_AIMS = {
    ("numba", "out"): (11, 7, 15),
    ("numba", "fresh"): (2.8, 1.9, 3.8),
    ("numpy", "out"): (2.3, 1.9, 3.7),
    ("numpy", "fresh"): (1.5, 1.25, 2.5),
}


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), np.uint8)


def keras_ndarray(x, mode):
    return imagenet_utils.preprocess_input(x, "channels_last", mode)


def convert_only(x, out):
    compiled._strips(x.ravel(), out.ravel(), 0, 0, 0, 0, 1, x.size, None, None, None, None, None, True)


def rint_clip_astype(y, mode):
    """The inverse as people write it, without the mistakes."""
    if mode == "caffe":
        y = (y + np.array([103.939, 116.779, 123.68], y.dtype))[..., ::-1]
    elif mode == "tf":
        y = (y + 1) * np.float32(127.5)
    else:
        y = (y * np.array([0.229, 0.224, 0.225], y.dtype) + np.array([0.485, 0.456, 0.406], y.dtype)) * np.float32(255)
    return np.clip(np.rint(y), 0, 255).astype(np.uint8)


def interleaved(entries: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each entry, by name, for each round."""
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    for call in entries.values():
        call()
        call()
    order = list(entries)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            result = entries[name]()
            seconds[name].append(time.perf_counter() - start)
            del result
    return seconds


def row(label: str, base: list[float], timed: list[float], aim: float | None) -> None:
    """Print how many times faster ``timed`` is than ``base``."""
    by_min = min(base) / min(timed)
    by_median = statistics.median(base) / statistics.median(timed)
    verdict = "" if aim is None else ("ok" if by_min >= aim and by_median >= aim else "MISSED")
    verdict = "half" if verdict == "MISSED" and (by_min >= aim or by_median >= aim) else verdict
    aimed = "" if aim is None else f">= {aim}"
    print(f"| {label:42} | {min(timed) * 1e3:8.3f} | {by_min:6.2f} | {by_median:6.2f} | {aimed:8} | {verdict:6} |")


def heading(title: str) -> None:
    print(f"\n{title}\n| {'':42} | {'min ms':>8} | {'by min':>6} | {'median':>6} | {'aim':8} | {'':6} |")
    print(f"|{'-' * 44}|{'-' * 10}|{'-' * 8}|{'-' * 8}|{'-' * 10}|{'-' * 8}|")


def forward(rounds: int) -> None:
    x = images(64)
    # One for each user: what streaming stores leave in memory is not what the next one finds in the cache.
    outs = {name: np.zeros(x.shape, np.float32) for name in ("limit", *BACKENDS)}
    entries: dict[str, Callable[[], object]] = {"limit": lambda: convert_only(x, outs["limit"])}
    for mode in MODES:
        entries[f"keras {mode}"] = partial(keras_ndarray, x, mode)
    for mode, backend in itertools.product(MODES, BACKENDS):
        call = partial(preprocess_input, x, None, mode, backend=backend)
        assert np.array_equal(call(), keras_ndarray(x, mode))
        entries[f"{backend} {mode} out"] = partial(call, out=outs[backend])
        entries[f"{backend} {mode} fresh"] = call
    seconds = interleaved(entries, rounds)
    heading("forward: times Keras's ndarray path")
    for (backend, where), aims in FORWARD_AIMS.items():
        for mode, aim in zip(MODES, aims, strict=True):
            row(f"{backend} {mode} {where}", seconds[f"keras {mode}"], seconds[f"{backend} {mode} {where}"], aim)
    for mode in MODES:
        row(f"keras {mode}", seconds[f"keras {mode}"], seconds[f"keras {mode}"], None)
    heading("forward: fraction of the limit")
    for mode in MODES:
        row(f"numba {mode} out", seconds["limit"], seconds[f"numba {mode} out"], 0.9)
    row("limit", seconds["limit"], seconds["limit"], None)


def inverse(rounds: int) -> None:
    x = images(64)
    outs = {name: np.zeros(x.shape, np.uint8) for name in ("limit", *BACKENDS)}
    entries: dict[str, Callable[[], object]] = {}
    for mode in MODES:
        y = preprocess_input(x, None, mode)
        entries[f"limit {mode}"] = partial(convert_only, y, outs["limit"])
        entries[f"usual {mode}"] = partial(rint_clip_astype, y, mode)
        for backend in BACKENDS:
            call = partial(deprocess_input, y, None, mode, out=outs[backend], backend=backend)
            assert np.array_equal(call(), x)
            entries[f"{backend} {mode}"] = call
    seconds = interleaved(entries, rounds)
    heading("inverse to uint8: fraction of the limit")
    for mode in MODES:
        row(f"numba {mode} out", seconds[f"limit {mode}"], seconds[f"numba {mode}"], 0.88)
    for mode in MODES:
        row(f"limit {mode}", seconds[f"limit {mode}"], seconds[f"limit {mode}"], None)
    heading("inverse to uint8: times rint, clip, astype")
    for mode in MODES:
        row(f"numpy {mode} out", seconds[f"usual {mode}"], seconds[f"numpy {mode}"], 3)
        row(f"numba {mode} out", seconds[f"usual {mode}"], seconds[f"numba {mode}"], None)


def two_threads(rounds: int) -> None:
    x, out = images(64), np.zeros((64, 224, 224, 3), np.float32)
    entries: dict[str, Callable[[], object]] = {}
    for backend, mode, n in itertools.product(BACKENDS, MODES, (1, 2)):
        entries[f"{backend} {mode} {n}"] = partial(preprocess_input, x, None, mode, out=out, backend=backend, threads=n)
    seconds = interleaved(entries, rounds)
    heading("two threads: times one thread (the aim is for an idle machine)")
    for backend, mode in itertools.product(BACKENDS, MODES):
        aim = 1.5 if backend == "numba" else None
        row(f"{backend} {mode} out", seconds[f"{backend} {mode} 1"], seconds[f"{backend} {mode} 2"], aim)


def one_image(rounds: int) -> None:
    x, out = images(1), np.zeros((1, 224, 224, 3), np.float32)
    entries: dict[str, Callable[[], object]] = {}
    for mode in MODES:
        entries[f"keras {mode}"] = partial(keras_ndarray, x, mode)
        for backend in BACKENDS:
            call = partial(preprocess_input, x, None, mode, backend=backend)
            entries[f"{backend} {mode} out"] = partial(call, out=out)
            entries[f"{backend} {mode} fresh"] = call
    seconds = interleaved(entries, rounds * 10)
    heading("one image: times Keras's ndarray path")
    for backend, mode, where in itertools.product(BACKENDS, MODES, ("out", "fresh")):
        row(f"{backend} {mode} {where}", seconds[f"keras {mode}"], seconds[f"{backend} {mode} {where}"], 1)


def batch_sizes(rounds: int) -> None:
    print("\nns per element against batch size, caffe, with out (min, median)")
    for backend in BACKENDS:
        cells = []
        for count in (1, 8, 64, 256, 512):
            x, out = images(count), np.zeros((count, 224, 224, 3), np.float32)
            call = partial(preprocess_input, x, None, "caffe", out=out, backend=backend)
            timed = interleaved({"": call}, max(5, rounds // 4))[""]
            cells.append(f"{count}: {min(timed) / x.size * 1e9:.3f} {statistics.median(timed) / x.size * 1e9:.3f}")
        print(f"{backend:6} " + " | ".join(cells))


def peak_memory() -> None:
    print("\npeak KiB beyond input and output, torch mode, forward and inverse (aim: under 2048 a thread)")
    x, back = images(16), np.zeros((16, 224, 224, 3), np.uint8)
    for backend, dtype, threads, step in itertools.product(
        BACKENDS, ("float16", "float32", "float64", "longdouble"), (1, 2), (1, -1)
    ):
        y = np.zeros(x.shape, dtype)
        options = {"backend": backend, "threads": threads}
        forward = peak(partial(preprocess_input, x[:, ::step], None, "torch", dtype=dtype, out=y, **options))
        inverse = peak(partial(deprocess_input, y[:, ::step], None, "torch", out=back, **options))
        layout = "contiguous" if step == 1 else "reversed"
        print(f"{backend} {dtype:10} {layout:10} threads={threads}: {forward:6.0f} {inverse:6.0f}")


def peak(call: Callable[[], object]) -> float:
    """KiB allocated at worst by a second call."""
    call()
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    print(
        f"vggprep {vggprep.__version__}, Keras {keras.__version__}, NumPy {np.__version__}, numba {numba.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    forward(rounds)
    inverse(rounds)
    two_threads(rounds)
    one_image(rounds)
    batch_sizes(rounds)
    peak_memory()


if __name__ == "__main__":
    main()
