"""TensorFlow, torch and JAX on an NVIDIA GPU: the way there and back included, or left out.

Included: a NumPy array goes in and a NumPy array comes out, as for everybody in ``peers.py``. Left out: input and
result stay on the GPU; the time is that of the arithmetic alone, up to the moment when it is done.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import CONSTANTS, Call, Peer, UnavailableError, along, jax_function, load, reverse, torch_forward
from benchmarks.tasks import Array, Task


def why_not() -> str:
    """Why nothing can run here, or ``""``."""
    return "" if any(Path("/dev").glob("nvidia[0-9]*")) else "there is no NVIDIA GPU on this machine"


def _torch(transfer: bool, task: Task) -> Call:
    torch = load("torch")
    if not torch.cuda.is_available():
        raise UnavailableError(f"torch {torch.__version__} sees no NVIDIA GPU")
    function = torch.compile(torch_forward(task, torch, "cuda"), fullgraph=True, dynamic=False)
    if transfer:
        return lambda x, out: function(torch.from_numpy(x).cuda()).cpu().numpy()
    there: dict[int, Any] = {}

    def call(x: Array, out: Array | None) -> Any:
        if id(x) not in there:
            there[id(x)] = torch.from_numpy(x).cuda()
        result = function(there[id(x)])
        torch.cuda.synchronize()
        return result

    return call


def _jax(transfer: bool, task: Task) -> Call:
    jax = load("jax")
    try:
        gpu = jax.devices("gpu")[0]
    except RuntimeError as error:
        raise UnavailableError(f"JAX {jax.__version__} sees no NVIDIA GPU") from error
    with jax.default_device(gpu):
        function = jax.jit(jax_function(task, jax.numpy))
    if transfer:
        return lambda x, out: np.asarray(function(jax.device_put(x, gpu)))
    there: dict[int, Any] = {}

    def call(x: Array, out: Array | None) -> Any:
        if id(x) not in there:
            there[id(x)] = jax.device_put(x, gpu)
        return function(there[id(x)]).block_until_ready()

    return call


def _tensorflow(transfer: bool, task: Task) -> Call:
    tf = load("tensorflow")
    if not tf.config.list_physical_devices("GPU"):
        raise UnavailableError(f"TensorFlow {tf.__version__} sees no NVIDIA GPU")
    scale, mean, std = CONSTANTS[task.mode]
    means, stds = along(mean, task), along(std, task)

    @tf.function(jit_compile=True)
    def function(t: Any) -> Any:
        if task.mode == "caffe":
            return tf.cast(reverse(t, task), tf.float32) - means
        if task.mode == "tf":
            return tf.cast(t, tf.float32) / scale - 1.0
        return (tf.cast(t, tf.float32) / scale - means) / stds

    def included(x: Array, out: Array | None) -> Array:
        with tf.device("GPU:0"):
            return function(tf.convert_to_tensor(x)).numpy()

    if transfer:
        return included
    there: dict[int, Any] = {}

    def call(x: Array, out: Array | None) -> Any:
        with tf.device("GPU:0"):
            if id(x) not in there:
                there[id(x)] = tf.identity(tf.convert_to_tensor(x))
            result = function(there[id(x)])
        tf.test.experimental.sync_devices()
        return result

    return call


PEERS = tuple(
    Peer(
        f"{name} on the GPU, transfer {'included' if transfer else 'left out'}",
        functools.partial(build, transfer),
        name,
        on_gpu=True,
    )
    for name, build in (("tensorflow", _tensorflow), ("torch", _torch), ("jax", _jax))
    for transfer in (True, False)
)
