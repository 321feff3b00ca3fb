"""The implementations compared: those of ``vggprep field`` that share a process, the limit, and yours."""

from __future__ import annotations

import functools

from benchmarks.tasks import Task
from vggprep.field.adapters import ADAPTERS
from vggprep.field.setup import MODES, Adapter, Array, Call, Setup
from vggprep.implementations import Implementation
from vggprep.implementations.callables import keywords
from vggprep.spec import DATA_FORMATS, DIRECTIONS

PEERS = tuple(adapter for adapter in ADAPTERS if adapter.in_benchmarks)
"""In the order of ties in the tables. The limit is not a peer: no implementation can be faster."""


def can(peer: Adapter, task: Task) -> bool:
    """Whether a peer can do a task."""
    return (
        task.direction in peer.directions
        and task.mode in peer.modes
        and task.data_format in peer.data_formats
        and task.dtype in peer.dtypes
        and (peer.out or task.output == "fresh")
        and (bool(peer.threads) or task.threads == 1)
        and task.images <= peer.most_images
    )


def _own(implementation: Implementation, setup: Setup) -> Call:
    function = implementation.preprocess if setup.direction == "forward" else implementation.deprocess
    assert function is not None
    words = keywords(function, setup.mode, setup.data_format)

    def call(x: Array, out: Array | None) -> object:
        return function(x, **words)

    return call


def own_peers(target: str) -> list[Adapter]:
    """The implementations of ``--implementation TARGET``. Raises ``vggprep.implementations.targets.TargetError``."""
    from vggprep.implementations.targets import load as load_target

    found = []
    for own in load_target(target):
        functions = {"forward": own.preprocess, "inverse": own.deprocess}
        directions = tuple(direction for direction in DIRECTIONS if functions[direction] is not None)
        modes = tuple(mode for mode in MODES if own.modes is None or mode in own.modes)
        formats = tuple(own.data_formats or DATA_FORMATS)
        build = functools.partial(_own, own)
        found.append(Adapter(f"yours: {own.name}", build, "numpy", "numpy", directions, modes, formats))
    return found
