"""The peers that need no other library do their tasks; a missing library is a reason."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers import PEERS, can, own_peers
from benchmarks.tasks import Arrays, Task, judge
from vggprep.field.setup import MODES, UnavailableError, load
from vggprep.field.snippets import inverse_truncating
from vggprep.spec import DATA_FORMATS, DataFormat, Direction, ModeName

WAYS: tuple[tuple[Direction, str], ...] = (("forward", "uint8"), ("forward", "float32"), ("inverse", "float32"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", DATA_FORMATS)
def test_the_peers_that_need_nothing_are_right(mode: ModeName, data_format: DataFormat) -> None:
    for direction, dtype in WAYS:
        task = Task(direction, mode, data_format, dtype, images=2)
        arrays = Arrays(task)
        for peer in PEERS:
            if not can(peer, task) or not (peer.distribution == "numpy" or peer.name.startswith("vggprep")):
                continue
            try:
                call = peer.build(task.setup)
            except UnavailableError:
                continue
            for out in (None, np.full(task.shape, 77, task.result_dtype))[: 1 + peer.out]:
                assert judge(arrays, call(arrays.x, out)).label.startswith("exact"), (peer.name, task)
                arrays.restore()


def test_an_inverse_that_drops_the_axis_of_a_batch_of_one_is_wrong_there() -> None:
    labels = []
    for images in (1, 2):
        task = Task("inverse", dtype="float32", images=images)
        arrays = Arrays(task)
        labels.append(judge(arrays, inverse_truncating(task.setup)(arrays.x, None)).label)
    assert labels == ["768 of 768 wrong: returns shape (224, 224, 3)", "exact"]


def test_a_library_that_cannot_be_imported_is_a_reason() -> None:
    with pytest.raises(UnavailableError, match=r"cannot import no_such_library \(ModuleNotFoundError: No module"):
        load("no_such_library")


def test_your_own_implementation_is_a_peer_for_what_it_claims() -> None:
    reference, floats = own_peers("reference")
    assert reference.name == "yours: reference"
    assert (reference.directions, floats.directions) == (("forward", "inverse"), ("inverse",))
    task = Task(images=1)
    arrays = Arrays(task)
    assert judge(arrays, reference.build(task.setup)(arrays.x, None)).label == "exact"
