"""TensorFlow, torch and JAX on an NVIDIA GPU, with the transfer to the GPU and back included or left out.

Included: a NumPy array goes in and a NumPy array comes out, as for all of ``vggprep.field``. Left out: input and result
stay on the GPU; the time is that of the arithmetic alone, until it is done.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vggprep.field.libraries import jax_formula, torch_formula
from vggprep.field.setup import Adapter, Array, Call, Setup, UnavailableError, formula, load


def why_not() -> str:
    """Why nothing can run here, or ``""``."""
    return "" if any(Path("/dev").glob("nvidia[0-9]*")) else "there is no NVIDIA GPU on this machine"


def _resident(move: Callable[[Array], Any], work: Callable[[Any], Any]) -> Call:
    """A call whose input is moved to the GPU the first time it is seen."""
    there: dict[int, Any] = {}

    def call(x: Array, out: Array | None) -> Any:
        if id(x) not in there:
            there[id(x)] = move(x)
        return work(there[id(x)])

    return call


def _torch(transfer: bool, setup: Setup) -> Call:
    torch = load("torch")
    if not torch.cuda.is_available():
        raise UnavailableError(f"torch {torch.__version__} sees no NVIDIA GPU")
    function = torch.compile(torch_formula(setup, torch, "cuda"), fullgraph=True, dynamic=False)
    if transfer:
        return lambda x, out: function(torch.from_numpy(x).cuda()).cpu().numpy()

    def work(t: Any) -> Any:
        result = function(t)
        torch.cuda.synchronize()
        return result

    return _resident(lambda x: torch.from_numpy(x).cuda(), work)


def _jax(transfer: bool, setup: Setup) -> Call:
    jax = load("jax")
    try:
        gpu = jax.devices("gpu")[0]
    except RuntimeError as error:
        raise UnavailableError(f"JAX {jax.__version__} sees no NVIDIA GPU") from error
    with jax.default_device(gpu):
        function = jax.jit(jax_formula(setup, jax.numpy))
    if transfer:
        return lambda x, out: np.asarray(function(jax.device_put(x, gpu)))
    return _resident(lambda x: jax.device_put(x, gpu), lambda t: function(t).block_until_ready())


def _tensorflow(transfer: bool, setup: Setup) -> Call:
    tf = load("tensorflow")
    if not tf.config.list_physical_devices("GPU"):
        raise UnavailableError(f"TensorFlow {tf.__version__} sees no NVIDIA GPU")
    to_float = functools.partial(tf.cast, dtype=tf.float32)
    function = tf.function(formula(setup, to_float, constant=lambda values: values), jit_compile=True)

    def move(x: Array) -> Any:
        with tf.device("GPU:0"):
            return tf.identity(tf.convert_to_tensor(x))

    def included(x: Array, out: Array | None) -> Any:
        with tf.device("GPU:0"):
            return function(tf.convert_to_tensor(x)).numpy()

    def work(t: Any) -> Any:
        with tf.device("GPU:0"):
            result = function(t)
        tf.test.experimental.sync_devices()
        return result

    return included if transfer else _resident(move, work)


PEERS = tuple(
    Adapter(
        f"{name} on the GPU, transfer {'included' if transfer else 'left out'}",
        functools.partial(build, transfer),
        name,
        on_gpu=True,
    )
    for name, build in (("tensorflow", _tensorflow), ("torch", _torch), ("jax", _jax))
    for transfer in (True, False)
)
