"""The record of releases: that it holds what is known of them, and how it is stored."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import RAISES, RIGHT, question

from vggprep.cases import Cell
from vggprep.releases import environments, record
from vggprep.releases.observation import Observation, ObservationError
from vggprep.releases.questions import KERAS_MODES, array, parse
from vggprep.releases.record import (
    FILE,
    Change,
    Recorded,
    adjacent,
    history,
    no_longer_accepted,
    pack,
    read,
    shipped,
    unpack,
)
from vggprep.releases.verdicts import judge
from vggprep.spec import DATA_FORMATS, DataFormat, ModeName


@cache
def changes() -> tuple[Change, ...]:
    return tuple(history())


def change(release: str, *words: str) -> Change:
    """The first change of that release whose sentence has all the words."""
    found = [c for c in changes() if release in c.releases and all(word in c.difference.sentence for word in words)]
    assert found, [c.difference.sentence for c in changes() if release in c.releases]
    return found[0]


# ---- what the record holds -------------------------------------------------------------------------------------------


def test_the_record_is_small_and_holds_many_releases() -> None:
    assert FILE.stat().st_size < 60_000
    assert len(shipped().releases) >= 24
    assert {release.running["backend"] for release in shipped().releases} >= {"tensorflow", "torch", "jax"}
    changed = {parse(row).path for c in changes() for row in c.difference.rows}
    assert changed >= {
        "ndarray",
        "tensor",
        "graph",
        "xla",
        "model",
        "lambda",
        "tf.data",
        "variable",
        "rescaling",
        "built",
    }


def test_every_recorded_release_is_the_one_named_and_the_rest_are_accounted_for() -> None:
    ran = {release.name: release.running for release in shipped().releases}
    for combination in environments.combinations():
        if combination.name in ran:
            assert combination.release.split("==")[1] in ran[combination.name].values()
            assert ran[combination.name]["backend"] == combination.backend
        else:
            assert shipped().not_run[combination.name]


def test_the_array_path_has_been_frozen_since_2_2_0() -> None:
    dtypes = ("uint8", "float32", "float64")
    plain = [question(dtype=d, mode=mode, shape=(2, 4, 5, 3)).id for mode in KERAS_MODES for d in dtypes]
    names = [name for name in shipped().names() if not name.startswith("keras-hub")]
    newest = shipped().observation(names[-1]).rows
    for release in names[names.index("keras==2.2.0") :]:
        rows = shipped().observation(release).rows
        assert [(rows[q].verdict, rows[q].digest) for q in plain] == [("right", newest[q].digest) for q in plain]


KNOWN = [
    ("keras==2.1.2", ("graphs", "caffe mode", "now right", "before, raises TypeError or AttributeError")),
    ("keras==2.1.2", ("data_format 'unknown'", "now raises ValueError; before, raises AssertionError")),
    ("keras==2.1.3", ("torch mode", "now right; before, the result of mode caffe")),
    (
        "keras==2.1.3",
        ("caffe mode after a call in torch mode in the same process: now the mean of mode torch; before, right",),
    ),
    ("keras==2.2.0", ("nteger and bool arrays", "now right; before, raises TypeError")),
    ("keras-applications==1.0.7", ("mobilenet_v2: now right; before, x / 128 - 1",)),
    (
        "tensorflow==2.2.0",
        ("caffe mode after a call in torch mode in the same process: now right; before, the mean of mode torch",),
    ),
    ("tensorflow==2.3.0", ("with mode 'unknown'", "now raises ValueError; before, taken for mode caffe")),
    (
        "tensorflow==2.5.0",
        ("4-D channels_first", "now right; before, the std along the width where exactly 3 wide"),
    ),
    ("tensorflow==2.5.0", ("hannels_last float16 and bfloat16", "now raises TypeError; before, right")),
    ("keras==2.7.0", ("float16", "torch mode", "now right; before, raises TypeError")),
    ("keras==3.0.0", ("loat64", "caffe and torch mode", "now right; before, only as precise as float32")),
    ("keras==3.0.0", ("4 channels in, 3 out",)),
    ("keras==3.0.5", ("floatx bfloat16: now computed in integers; before, set_floatx raises ValueError",)),
    ("keras==3.0.0", ("unknown rank: now raises ValueError; before, right",)),
    ("keras==3.5.0", ("ariables", "now right; before, raises")),
    # On torch and JAX the same variables were silently wrong before.
    ("keras[torch]==3.5.0", ("Uint8 and int32 variables in tf mode: now right; before, x / 127 - 1",)),
    ("keras[jax]==3.5.0", ("ool variables in tf mode: now right; before, x - 1, nothing divided",)),
    ("keras==3.6.0", ("omplex64 eager tensors",)),
    ("keras[jax]==3.6.0", ("omplex64 eager tensors",)),
    # Not known before it was recorded: Keras 3.7.0 takes a mean that fits the last axis for a bias along that axis.
    (
        "keras==3.7.0",
        ("4-D channels_first float32 functional models", "exactly 3 wide: now the mean along the width; before, right"),
    ),
    ("keras==3.12.0", ("3-D channels_first", "now right; before, the mean along the height where exactly 3 high")),
]


@pytest.mark.parametrize(("release", "words"), KNOWN, ids=[f"{release}-{i}" for i, (release, _) in enumerate(KNOWN)])
def test_what_is_known_of_releases_is_found_in_the_data(release: str, words: tuple[str, ...]) -> None:
    found = change(release, *words)
    assert found.when == ("after keras==3.0.0, by keras==3.0.5" if release == "keras==3.0.5" else found.release)


def test_causes_that_are_exact_give_the_recorded_bits() -> None:
    """What a row is said to have computed, computed here in its dtype, has the digest that was recorded."""
    mean, torch_mean, std = (
        np.array(v, "float32") for v in ([103.939, 116.779, 123.68], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    seen: dict[str, int] = {}
    rows = {
        (name, row.dtype, row.digest): row
        for release in shipped().names()
        for name, row in shipped().observation(release).rows.items()
    }
    for (name, *_), row in rows.items():
        asked, cause = parse(name), row.cause
        if row.verdict != "wrong" or len(asked.shape) not in (3, 4):
            continue
        x, first = array(asked), asked.effective_format == "channels_first"
        axis = x.ndim - 3 if first else x.ndim - 1
        along = {"height": x.ndim - 2 if first else x.ndim - 3}.get(cause.split()[-1], axis)
        single = x.astype("float32")

        def shaped(v: Any, axis: int) -> Any:
            return v.reshape([3 if i == axis else 1 for i in range(x.ndim)])  # noqa: B023

        with np.errstate(all="ignore"):
            if "computed in integers" in cause:
                cut = np.trunc(mean).astype(row.dtype)
                results = [np.flip(x, axis).astype(row.dtype) - shaped(cut, along)]
            elif cause == "x / 127 - 1":  # JAX multiplies by the reciprocal
                results = [single / np.float32(127) - 1, single * (np.float32(1) / np.float32(127)) - 1]
            elif cause == "x - 1, nothing divided":
                results = [single - 1]
            elif cause == "not divided by 255":
                results = [(single - shaped(torch_mean, axis)) / shaped(std, axis)]
            elif cause == "the result of mode caffe with the mean along the height":
                results = [np.flip(single, axis) - shaped(mean, along)]
            elif "only as precise as" in cause and asked.path != "xla":  # XLA fuses
                mode = "caffe" if "mode caffe" in cause else asked.known_mode
                found = rounded(np.moveaxis(x, axis, -1), row.dtype, cause.split()[-1], asked.path, mode)
                results = [np.ascontiguousarray(np.moveaxis(y, -1, axis)) for y in found]
                results = [np.where(np.isnan(y), np.nan, y).astype(y.dtype) for y in results]
                judged = [
                    judge(x, y, asked.dtype, row.dtype, asked.known_mode, asked.effective_format) for y in results
                ]
                assert {(one.cause, one.cause_kind) for one in judged} == {(cause, "precision")}
            else:
                continue
        digests = [hashlib.sha256(f"{y.dtype.name}{list(y.shape)}".encode() + y.tobytes()) for y in results]
        assert row.digest in {digest.hexdigest()[:16] for digest in digests}, (name, row)
        seen[cause] = seen.get(cause, 0) + 1
    assert len(seen) == 10


def rounded(x: Any, dtype: str, to: str, path: str, mode: ModeName | None) -> list[Any]:
    """What Keras's versions compute of ``x``, ``(..., 3)``, in ``dtype`` with constants that are rounded to another."""
    x = x.astype(dtype)

    def r(constant: Any) -> Any:
        return np.asarray(constant).astype(to).astype(dtype)

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    with np.errstate(all="ignore"):
        if mode == "caffe":
            return [np.flip(x, -1) - r([103.939, 116.779, 123.68])]
        if mode == "tf":
            return [x * r(1 / 127.5) - 1]
        if path == "rescaling":
            return [x * r(1 / (255 * std)) + r(-mean / std)]
        if path == "normalization":
            variance = (255 * std) ** 2
            return [(x - r(255 * mean)) / s for s in (np.sqrt(r(variance)), r(np.sqrt(variance.astype(to))))]
        one = np.ones((), dtype)
        of_means = [(y - r(mean)) for y in (x / (255 * one), x * (one / (255 * one)))]
        return [y for z in of_means for y in (z / std.astype(dtype), z * (one / std.astype(dtype)), z / r(std))]


def test_releases_are_adjacent_if_none_was_published_between_them() -> None:
    assert adjacent("keras==2.15.0", "keras==3.0.0")
    assert adjacent("keras[torch]==3.11.3", "keras[torch]==3.12.0")
    assert adjacent("tensorflow==2.5.3", "keras==2.6.0")
    assert adjacent("keras==2.2.4", "keras-applications==1.0.7")
    assert not adjacent("keras==3.9.0", "keras==3.9.2")
    assert not adjacent("keras==3.12.0", "keras==3.11.3")
    assert not adjacent("keras==3.15.1", "keras==3.99.0")


def test_what_else_changed_with_a_release_is_recorded() -> None:
    found = change("keras==2.7.0")
    assert found.also_changed["tensorflow"] == ("2.6.5", "2.7.4")
    assert "torch" not in found.also_changed


# ---- packing ---------------------------------------------------------------------------------------------------------


def test_packing_loses_nothing_that_is_compared() -> None:
    said = replace(RAISES, message="at 0x7f", warnings=("UserWarning",))
    first = Observation({"keras": "1"}, {question().id: RIGHT, question("tensor").id: said})
    second = Observation({"keras": "2"}, {question().id: replace(RIGHT, digest="b")})
    third = Observation({"keras": "3"}, {question().id: replace(RIGHT, digest="b"), question("xla").id: RIGHT})
    observed = [(Recorded(f"keras=={i}", "keras", o.running), o) for i, o in enumerate((first, second, third))]
    packed = unpack(pack(observed, {"keras==9": "no such release"}))
    for recorded, original in observed:
        rows = {name: replace(row, message="", warnings=()) for name, row in original.rows.items()}
        assert packed.observation(recorded.name) == Observation(original.running, rows)
    assert packed.not_run == {"keras==9": "no such release"}


def test_a_record_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(b"not a record")
    for name in ("record", "nothing"):
        with pytest.raises(ObservationError, match="missing or damaged; install vggprep again"):
            read(tmp_path / name)


def test_a_record_of_a_later_format_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    later = pack([], {})
    monkeypatch.setattr(record, "FORMAT_VERSION", 0)
    with pytest.raises(ObservationError, match="cannot read this record of releases; install vggprep again"):
        unpack(later)


@pytest.mark.parametrize(
    ("release", "path", "refused", "said"),
    [
        (
            "keras==99.0",
            "tensor",
            [("caffe", "channels_last", "uint8", 4)],
            "refuses .*uint8.*, which keras==3.15.1 acc",
        ),
        ("keras==99.0", "ndarray", [("tf", f, "float32", 4) for f in DATA_FORMATS], "and 1 more kinds of input, which"),
        (
            "keras[jax]==99.0",
            "tensor",
            [("caffe", "channels_last", "uint8", 4)],
            r"which keras\[jax\]==3.15.1 accepted",
        ),
        ("keras==3.0.5", "tensor", [("caffe", "channels_last", "uint8", 4)], r"which keras==3\.0\.\d accepted"),
        ("tf_keras==99.0", "tensor", [("caffe", "channels_first", "float32", 3)], "^$"),  # refused before, too
        ("keras==0.1", "tensor", [("caffe", "channels_last", "uint8", 4)], "^$"),
        ("keras==99.0", "tensor", [], "^$"),
    ],
)
def test_what_a_release_accepted_and_a_later_one_refuses_is_said(
    release: str, path: str, refused: list[tuple[ModeName, DataFormat, str, int]], said: str
) -> None:
    assert re.search(said, no_longer_accepted(shipped(), release, path, [Cell(*each) for each in refused]))
