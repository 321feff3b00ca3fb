"""What differs between two observations, and what is wrong in one, grouped by cause, in sentences.

A row differs if its dtype, shape, values, error or aliasing do. Messages, warnings and everything about the machine do
not count. What matters is a wrong value, before or now, and working input that is refused or written to now.

A sentence is made of data: selections of rows, and what each row in them was and is. Every row that a selection covers
is as the sentence says, or the selection is made narrower. One that names no setting, memory layout, module or earlier
call is about calls without any.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from typing import Any, Literal, NamedTuple

from vggprep.releases import questions
from vggprep.releases.observation import Observation, Row
from vggprep.releases.questions import KERAS_MODES, Question
from vggprep.releases.recognised import computed_as
from vggprep.releases.verdicts import channel_axis, defined, free_axes
from vggprep.spec import DATA_FORMATS, DTYPES, INTEGERS, RANKS

Kind = Literal[
    "value", "crash", "refusal", "writes", "compared", "outside", "error", "dtype", "aliasing", "rounding"
]  # fmt: skip

TITLES: dict[Kind, str] = {
    "value": "wrong values, before or now",
    "crash": "the interpreter is killed",
    "refusal": "what worked raises now",
    "writes": "the input is written to now",
    "compared": "loaders, generators, layers and models: other results",
    "outside": "changes outside the definition",
    "error": "changes of errors",
    "dtype": "changes of dtype",
    "aliasing": "changes of aliasing",
    "rounding": "rounding only",
}
"""The kinds of difference in words, worst first."""

FAULTS: dict[Kind, str] = {
    "value": "wrong values",
    "crash": "the interpreter is killed",
    "refusal": "what is defined raises",
    "writes": "the input is overwritten",
    "outside": "unlike arrays, outside the definition",
    "compared": "what comes out of loaders, generators, layers and models, of which nothing says what is right",
}
"""The kinds of fault of one release in words, worst first."""

Meaning = Literal["broken", "unlike", "mended", "gone", "crash", "refusal", "writes", "compared", "other"]

MEANINGS: dict[Meaning, str] = {
    "broken": "wrong values now",
    "unlike": "other wrong values now than before",
    "mended": "right values now, wrong ones before: a model trained with the old release meets others",
    "gone": "raises now, where values were wrong before",
    "crash": TITLES["crash"],
    "refusal": TITLES["refusal"],
    "writes": TITLES["writes"],
    "compared": TITLES["compared"],
    "other": "nothing that matters: errors, dtypes, aliasing, rounding, what is outside the definition",
}
"""What changes mean to somebody who upgrades, worst first."""

KINDS = tuple(TITLES)
MATTERS = KINDS[:5]

Key = tuple[str, str]
"""A backend and the id of a question."""


class State(NamedTuple):
    """What a row was or is, as far as rows that changed for one cause have it in common."""

    kind: Literal["dies", "raises", "setting", "right", "result", "dtype", "ownership"]
    detail: str = ""
    axis: str = ""

    def __str__(self) -> str:
        form = {"dies": "the process dies ({})", "raises": "raises {}", "right": "right"}.get(self.kind, "{}")
        return form.format(self.detail)


@dataclass(frozen=True)
class Selection:
    """Rows by their traits: the values that each may have; a trait that is not mentioned may have any."""

    traits: Mapping[str, tuple[Any, ...]]

    def covers(self, key: Key) -> bool:
        """Whether a row is meant."""
        found = traits(*key)
        return all(found[trait] in values for trait, values in self.traits.items())


@dataclass(frozen=True)
class Difference:
    """Rows that differ for one cause: what they have in common, what they were and are, and the worst grey levels.

    ``selections`` are the rows that ``subject`` names; ``keys`` are those and the ones that it only counts. ``levels``
    are those of both sides, the worse first; ``against`` is what the old side is.
    """

    kind: Kind
    subject: str
    old: str
    new: str
    keys: tuple[Key, ...]
    levels: float | None
    selections: tuple[Selection, ...] = ()
    off: str = ""
    against: str = "before"
    meaning: Meaning = "other"

    @property
    def rows(self) -> tuple[str, ...]:
        """The ids of the questions."""
        return tuple(dict.fromkeys(question_id for _, question_id in self.keys))

    @property
    def matters(self) -> bool:
        """Whether a guard should fail for it."""
        return self.kind in MATTERS

    @property
    def sentence(self) -> str:
        """The whole of it for a person."""
        count = _rows(len(self.keys))
        if self.kind == "rounding":
            return f"{self.subject}: other bits, the same values to rounding. {count}."
        now = self.new if self.against == "arrays" else f"now {self.new}"
        then = f"; {self.against}, {self.old}" if self.old else ""
        return f"{self.subject}: {now}{then}. {count}{self.off}."

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "kind": self.kind,
            "matters": self.matters,
            "subject": self.subject,
            "old": self.old,
            "new": self.new,
            "levels": "infinite" if self.levels == math.inf else self.levels,
            "sentence": self.sentence,
            "rows": list(self.rows),
        }


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _up_to(levels: float) -> str:
    if levels == math.inf:
        return "NaN or infinities made or lost"
    shown = f"{levels:.1g}" if levels >= 1e6 else f"{levels:,.0f}" if levels >= 100 else f"{levels:.3g}"
    return f"up to {shown} grey level{'s' * (shown != '1')}"


class _Changed(NamedTuple):
    """One row and one thing that changed in it: what it was, what it is."""

    key: Key
    kind: Kind
    states: tuple[State, State]
    old: Row
    new: Row

    @property
    def question(self) -> Question:
        return questions.parse(self.key[1])

    @property
    def image(self) -> tuple[Any, ...]:
        """What kind of image it is."""
        asked = self.question
        kind = input_category(asked) or ("unknown rank" if asked.signature == "unknown" else "")
        return self.key[0], asked.known_mode, asked.effective_format, len(asked.shape), kind


# ---- what a row was or is --------------------------------------------------------------------------------------------


def state(question: Question, row: Row) -> State:
    """What came back, in words that hold for this row."""
    if row.fatal:
        return State("dies", row.fatal)
    if row.error:
        if row.type == "setting":
            return State("setting", f"set_{'floatx' if question.floatx else 'image_data_format'} raises {row.error}")
        if row.error == "OutputShapeError":
            return State("setting", row.cause or "a layer says that another shape comes out than does")
        return State("raises", row.error)
    if row.verdict == "right":
        return State("right")
    if question.compared:
        return State("result", f"{row.cause} as {row.dtype}")
    axis = re.search(r"along the (\w+)$", row.cause) if row.cause.count(" along the ") == 1 else None
    words = row.cause or f"{row.dtype} values{_in_shape(question, row)}, for which nothing is defined"
    if row.verdict == "wrong" and row.levels is None and row.shape != question.shape and _channels(question) == 3:
        words = _stretched(question, row)
    return State("result", words, axis[1] if axis and row.cause_kind == "axis" else "")


def _in_shape(question: Question, row: Row) -> str:
    return "" if row.shape == question.shape else f" of shape {_by(row)}"


def _stretched(question: Question, row: Row) -> str:
    """How a result's shape differs from the input's: how many times as high and wide, else the shape itself."""
    axes = free_axes(question.shape, question.effective_format)
    came = free_axes(row.shape, question.effective_format)
    times = {axis: came[axis] / side for axis, side in axes.items() if side and came.keys() == axes.keys()}
    named = {axis: f"{n:g} times as {_LONG[axis]}" for axis, n in times.items() if n != 1 and axis in _TIMES}
    channels = channel_axis(len(row.shape), question.effective_format)
    if not named or len(named) < sum(n != 1 for n in times.values()) or channels is None or row.shape[channels] != 3:
        return f"the shape {_by(row)}"
    return listed(named.values())


_TIMES = ("depth", "height", "width")


def _ownership(row: Row) -> State:
    if row.error:
        left = f" and leaves it changed ({row.cause})" if row.cause else " and writes to the input"
        return State("ownership", f"raises {row.error}{left * row.written}")
    written = "the input is written to" if row.written else "the input is left alone"
    back = {"same": "returned itself", "shared": "shares memory with the result"}.get(row.aliasing)
    return State("ownership", f"{written} and {back}" if back else written)


# ---- comparing -------------------------------------------------------------------------------------------------------


def compare(old: Observation, new: Observation) -> list[Difference]:
    """Everything that differs between two observations in the rows that both could run, worst first.

    XLA rounds with the instructions that the processor has (fused, or of half precision), so how it rounds on two
    processors says nothing about two releases.
    """
    return compare_backends({"": (old, new)})


def compare_backends(steps: Mapping[str, tuple[Observation, Observation]]) -> list[Difference]:
    """``compare`` for the same two releases on several backends: what changed on more than one is one difference."""
    changed: list[_Changed] = []
    both = {backend: common(*step) for backend, step in steps.items()}
    for backend, (old, new) in steps.items():
        one_processor = old.running.get("processor") == new.running.get("processor")
        told = {"probe"} <= old.running.keys() & new.running.keys()
        for name in both[backend]:
            before, after = old.rows[name], new.rows[name]
            if before is after:
                continue
            question = questions.parse(name)
            for kind, states in _changes(question, before, after, told):
                if one_processor or (kind, question.path) != ("rounding", "xla"):
                    changed.append(_Changed((backend, name), kind, states, before, after))
    if not changed:
        return []
    # A selection names its paths, and those of these rows: what ran on others is none of its business.
    paths = {f"path={one.question.path}" for one in changed}
    ran = {
        backend: _mask([(backend, name) for name in names if not paths.isdisjoint(name.split(" ", 2)[:2])])
        for backend, names in both.items()
    }
    differences = [_difference(rows, ran) for rows in _merged(_grouped(changed))]
    return _worst_first(differences)


def _worst_first(differences: Iterable[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda d: (KINDS.index(d.kind), -(d.levels or 0), -len(d.keys), d.subject))


def common(old: Observation, new: Observation) -> dict[str, None]:
    """The rows that both observations could run, in order.

    Variables of Keras 2 are TensorFlow's, those of Keras 3 its own: two things that are not compared.
    """
    same = _variables(old) == _variables(new)
    found = (name for name, row in old.rows.items() if name in new.rows and not (row.skipped or new.rows[name].skipped))
    return dict.fromkeys(name for name in found if same or questions.parse(name).path != "variable")


def _variables(observation: Observation) -> str:
    """What a variable is in an observation."""
    running = observation.running
    own = running.get("target", "keras") == "keras" and not running.get("keras", "3").startswith(("2.", "1."))
    return "keras" if own else "tensorflow"


def behaves_alike(question_id: str, one: Row, other: Row) -> bool:
    """Whether two answers to a question are the same but for rounding."""
    return all(kind == "rounding" for kind, _ in _changes(questions.parse(question_id), one, other, True))


def _changes(question: Question, old: Row, new: Row, told: bool) -> list[tuple[Kind, tuple[State, State]]]:
    """What differs between two answers to one question: the result, and what became of the input.

    ``told`` is whether both tell what became of a tensor in a call that raised; before vggprep 0.2 none did.
    """
    found: list[tuple[Kind, tuple[State, State]]] = []
    if kind := _kind_of(question, old, new):
        before, after = state(question, old), state(question, new)
        if kind == "rounding":
            before = after = State("right")
        elif kind == "dtype":
            before, after = State("dtype", old.dtype), State("dtype", new.dtype)
        elif kind == "compared" and old.shape != new.shape:
            before, after = (_of_shape(side, row) for side, row in ((before, old), (after, new)))
        elif before == after and old.shape != new.shape:
            before, after = (before._replace(detail=f"{before}, {_by(row)}") for row in (old, new))
        elif before == after:
            modes = [computed_as(question, row.dtype, row.shape, row.digest) for row in (old, new)]
            if all(modes):
                before, after = (before._replace(detail=f"{before}, computed as in mode {mode}") for mode in modes)
            else:
                after = before._replace(detail=f"{after}, not bit for bit the same")
            if before == after:
                kind, before, after = "rounding", State("right"), State("right")
        elif before.kind == "raises" and not new.error:
            # What raised before and works now is one thing, whichever way it raised; the sentence lists the ways.
            before = State("raises")
        found.append((kind, (before, after)))
    raised = bool(old.error or new.error)
    known = not (old.fatal or new.fatal) and (told or not raised or question.path == "ndarray")
    in_domain = defined(question.shape, question.dtype, question.known_mode, question.effective_format)
    if known and new.written and not old.written and in_domain and (new.error or not old.error):
        found.append(("writes", (_ownership(old), _ownership(new))))
    elif known and not raised and (old.aliasing, old.written) != (new.aliasing, new.written):
        found.append(("aliasing", (_ownership(old), _ownership(new))))
    return found


def _of_shape(side: State, row: Row) -> State:
    return side._replace(detail=f"{side} of shape {_by(row)}")


def _by(row: Row) -> str:
    return "x".join(map(str, row.shape))


def _kind_of(question: Question, old: Row, new: Row) -> Kind | None:
    """The kind of difference between two results; None if there is none."""
    if old.fatal or new.fatal:
        return None if old.fatal == new.fatal else "crash" if new.fatal else "error"
    if question.compared:
        if old.error or new.error:
            return None if old.error == new.error else "error" if old.error else "refusal"
        if (old.digest, old.dtype, old.shape) == (new.digest, new.dtype, new.shape):
            return None
        same = (old.dtype, old.shape, old.cause) == (new.dtype, new.shape, new.cause)
        return "rounding" if same and old.cause_kind == new.cause_kind == "known" else "compared"
    in_domain = defined(question.shape, question.dtype, question.known_mode, question.effective_format)
    verdicts = (_verdict(question, old), _verdict(question, new))
    counts = len(question.shape) in RANKS
    if old.error or new.error:
        if old.error == new.error:
            return None
        if counts and "wrong" in verdicts:
            return "value"
        return "refusal" if in_domain and old.verdict == "right" else "error"
    if (old.digest, old.dtype, old.shape) == (new.digest, new.dtype, new.shape):
        return None
    if _same_but_for_rounding(old, new):
        return "rounding"
    if "wrong" in verdicts:
        return "value" if counts else "outside"
    return "dtype" if verdicts == ("right", "right") else "outside"


def _verdict(question: Question, row: Row) -> str:
    """The verdict; any answer to an unknown mode or data format is wrong, for only an error is right."""
    unknown = input_category(question) in ("unknown mode", "unknown data_format")
    return "wrong" if unknown and row.verdict == "undefined" else row.verdict


def _same_but_for_rounding(old: Row, new: Row) -> bool:
    """Both right, or both wrong for one known cause by as much, or because as little precision was left."""
    if (old.dtype, old.shape, old.verdict) != (new.dtype, new.shape, new.verdict):
        return False
    same = old.cause == new.cause and (old.levels == new.levels or old.cause_kind == "precision")
    return old.verdict == "right" or (old.verdict == "wrong" and bool(old.cause_kind) and same)


def _channels(question: Question) -> int | None:
    axis = channel_axis(len(question.shape), question.effective_format)
    return None if axis is None else question.shape[axis]


def input_category(question: Question) -> str:
    """What is peculiar about a question's input, so that unlike rows are kept apart; empty for plain images."""
    if question.compared:
        return "compared"
    if question.known_mode is None:
        return "unknown mode"
    if question.effective_format not in (None, *DATA_FORMATS):
        return "unknown data_format"
    if _channels(question) != 3:
        return "channels"
    if len(question.shape) not in RANKS:
        return "rank"
    return "complex" if question.dtype == "complex64" else ""


# ---- one release -----------------------------------------------------------------------------------------------------


def faults(observation: Observation, of: Container[str] | None = None) -> list[Difference]:
    """What a release does wrong, and where it does otherwise than with arrays, worst first; ``of`` some rows or all."""
    found = []
    ran = [name for name, row in observation.rows.items() if not row.skipped and (of is None or name in of)]
    for name in ran:
        question, row = questions.parse(name), observation.rows[name]
        array = observation.rows.get(replace(question, path="ndarray", signature=None, after=None).id, row)
        found += [_Changed(("", name), kind, states, array, row) for kind, states in _faults_of(question, row, array)]
    mask = {"": _mask([("", name) for name in ran])}
    return _worst_first(_difference(rows, mask, "arrays") for rows in _grouped(found))


def _faults_of(question: Question, row: Row, array: Row) -> list[tuple[Kind, tuple[State, State]]]:
    found: list[tuple[Kind, tuple[State, State]]] = []
    is_, on_arrays = state(question, row), state(question, array)
    in_domain = defined(question.shape, question.dtype, question.known_mode, question.effective_format)
    same = (row.error, row.fatal, row.shape, row.cause) == (array.error, array.fatal, array.shape, array.cause)
    unlike = not same or (row.verdict == "undefined" and row.dtype != array.dtype)
    if on_arrays == is_ or on_arrays.kind == "setting":
        on_arrays = State("result")
    if row.fatal:
        found.append(("crash", (on_arrays, is_)))
    elif question.compared:
        found.append(("compared", (State("result"), is_)))
    elif _verdict(question, row) == "wrong" and len(question.shape) in RANKS:
        found.append(("value", (on_arrays, is_)))
    elif in_domain and row.error and row.type != "setting":
        found.append(("refusal", (on_arrays, is_)))
    elif unlike and row.verdict != "right" and row.type != "setting":
        found.append(("outside", (on_arrays, is_)))
    if row.written and in_domain:
        found.append(("writes", (State("result"), _ownership(row))))
    return found


# ---- grouping --------------------------------------------------------------------------------------------------------


def _grouped(changed: list[_Changed]) -> list[list[_Changed]]:
    groups: dict[Any, list[_Changed]] = {}
    for row in changed:
        groups.setdefault((row.kind, row.states, input_category(row.question)), []).append(row)
    return list(groups.values())


def _merged(groups: list[list[_Changed]]) -> list[list[_Changed]]:
    """Move rows that raised to those that were silently wrong for the same cause: the same images in another size."""
    # Silently wrong: along an axis that happens to be 3 long.
    silent = [rows for rows in groups if rows[0].kind == "value" and any(state.axis for state in rows[0].states)]
    images = [{row.image for row in rows} for rows in silent]
    kept = list(silent)
    for rows in groups:
        if any(rows is host for host in silent):
            continue
        stay: list[_Changed] = []
        for row in rows:
            hosts = (host for host, those in zip(silent, images, strict=True) if _joins(row, host[0], those))
            next(hosts, stay).append(row)
        if stay:
            kept.append(stay)
    return kept


def _joins(row: _Changed, silent: _Changed, images: set[tuple[Any, ...]]) -> bool:
    """Whether a row raised where ``silent`` was wrong, both right at the other end, for the same kind of images."""
    (old, new), (silent_old, silent_new) = row.states, silent.states
    mended = silent_new.kind == new.kind == "right" and old.kind == "raises"
    broken = silent_old.kind == old.kind == "right" and new.kind == "raises"
    other_size = traits(*row.key)[silent_old.axis or silent_new.axis] not in (None, 0, 3)
    return bool(mended or broken) and other_size and row.image in images


def _difference(rows: list[_Changed], ran: Mapping[str, int], against: str = "before") -> Difference:
    kind, (old, new) = rows[0].kind, rows[0].states
    joined = [row for row in rows if row.states != (old, new)]
    was, now = str(old), str(new)
    if old == State("raises"):
        was = f"raises {listed(dict.fromkeys(row.old.error for row in rows), 'or')}"
    if joined:
        axis = old.axis or new.axis
        errors = listed(dict.fromkeys(row.old.error or row.new.error for row in joined), "or")
        others = listed(map(str, sorted({traits(*row.key)[axis] for row in joined})), "or")
        form = f"{{}} where exactly 3 {_LONG[axis]}, raises {errors} where {others} {_LONG[axis]}"
        was, now = (form.format(was), now) if new.kind == "right" else (was, form.format(now))
    sides = [_worst(row.old for row in rows), _worst(row.new for row in rows)]
    if against == "arrays":
        sides[0] = None
    worst, off = max(sides, key=_weight), ""
    if kind not in ("value", "outside"):
        worst = None
    elif all(sides):
        off = f"; {_up_to(sides[1] or 0)} off now, {_up_to(sides[0] or 0)} before"
    elif worst:
        off = f"; {_up_to(worst)}"
    keys = tuple(row.key for row in rows)
    selections = _cover(keys, {backend: ran[backend] for backend, _ in keys})
    subject = _subject(selections, keys)
    return Difference(kind, subject, was, now, keys, worst, selections, off, against, _meaning(kind, old, new))


def _meaning(kind: Kind, old: State, new: State) -> Meaning:
    if kind == "value":
        if new.kind == "right":
            return "mended"
        if old.kind != "result":
            return "broken"
        return "unlike" if new.kind == "result" else "gone"
    matters: dict[Kind, Meaning] = {
        "crash": "crash", "refusal": "refusal", "writes": "writes", "compared": "compared",
    }  # fmt: skip
    return matters.get(kind, "other")


def _weight(level: float | None) -> tuple[bool, bool, float]:
    # An infinite error, a NaN moved or lost, says less than the worst of the others.
    return bool(level), level is not None and level < math.inf, level or 0


def _worst(rows: Iterable[Row]) -> float | None:
    return max((row.levels for row in rows if row.verdict == "wrong" and row.levels), key=_weight, default=None)


# ---- what did not change ---------------------------------------------------------------------------------------------


def unchanged(old: Observation, new: Observation, differences: Sequence[Difference]) -> str:
    """The ordinary images that behave to the last bit as they did, in words; empty if there are none.

    Ordinary images have three channels and a known mode, and nothing peculiar about their layout, settings or trace.
    Of the families of images that can be named, this is the one that is the same on most paths in most modes.
    """
    changed = {name for difference in differences for name in difference.rows}
    cells: dict[tuple[Any, ...], list[bool]] = {}
    for name in common(old, new):
        if _PECULIAR.search(name):
            continue
        asked = questions.parse(name)
        if not input_category(asked) and 0 not in asked.shape:
            image = (len(asked.shape), asked.effective_format or DATA_FORMATS[0], asked.dtype, asked.known_mode)
            same = name not in changed and old.rows[name].digest == new.rows[name].digest
            cells.setdefault((*image, asked.path), []).append(same)
    ranks, formats = ((), (4,), (3,)), ((), *combinations(DATA_FORMATS, 1))
    dtypes = ((), ("float32",), ("uint8",), ("float32", "uint8"), INTEGERS)
    modes = ((), *combinations(KERAS_MODES, 1), *combinations(KERAS_MODES, 2))
    choices: tuple[tuple[tuple[Any, ...], ...], ...] = (ranks, formats, dtypes, modes)
    # Sets of cells are integers, a bit a cell.
    bits = {cell: 1 << at for at, cell in enumerate(cells)}
    by_path: dict[str, int] = {}
    ways: dict[tuple[Any, ...], int] = {}
    for cell, bit in bits.items():
        by_path[cell[-1]] = by_path.get(cell[-1], 0) | bit
        ways[cell[-2:]] = ways.get(cell[-2:], 0) | bit
    members = [
        {those: sum(bit for cell, bit in bits.items() if not those or cell[k] in those) for those in choices[k]}
        for k in range(4)
    ]
    differ = sum(bit for cell, bit in bits.items() if not all(cells[cell]))
    best, words = (0, 0), ""
    for family in product(*choices):
        within = -1
        for of, those in zip(members, family, strict=True):
            within &= of[those]
        kept = 0
        for mask in by_path.values():
            kept |= 0 if within & mask & differ else within & mask
        count = sum(bool(kept & mask) for mask in ways.values())
        score = (count, sum(len(cells[cell]) for cell, bit in bits.items() if kept & bit) if count >= best[0] else 0)
        if score > best:
            paths = [path for path, mask in by_path.items() if kept & mask]
            best, words = score, _family(family[0], family[1], family[2], family[3], paths)
    return words and f"{words} ({_rows(best[1])})"


_PECULIAR = re.compile(" (?:policy|using|layout|floatx|after|signature)=")


def _family(
    ranks: tuple[int, ...],
    formats: tuple[str, ...],
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    paths: Iterable[str],
) -> str:
    words = [*(f"{rank}-D" for rank in ranks), *formats]
    words += ["integer" if dtypes == INTEGERS else listed(dtypes)] if dtypes else []
    words.append(listed(PATHS.get(path, path) for path in paths))
    words += [f"in {listed(modes)} mode"] if modes else []
    return " ".join(words)


# ---- what rows have in common ----------------------------------------------------------------------------------------

PATHS = {
    "ndarray": "arrays",
    "tensor": "eager tensors",
    "graph": "graphs",
    "xla": "XLA",
    "model": "functional models",
    "lambda": "Lambda layers",
    "tf.data": "tf.data",
    "variable": "variables",
    "rescaling": "Rescaling layers",
    "normalization": "Normalization layers",
    "tf.variable": "TensorFlow's own variables",
    "adapted": "adapted Normalization layers",
    "load_img": "load_img and img_to_array",
    "directory": "image_dataset_from_directory",
    "generator": "ImageDataGenerator",
    "built": "what reaches the first weight",
    "converter": "KerasHub's image converters",
}

_LONG = {"batch": "images long", "depth": "deep", "height": "high", "width": "wide"}
_PIXELS = {
    "bytes": "with whole numbers from 0 to 255",
    "wide": "with values outside 0 to 255",
    "nonfinite": "with NaN and infinities",
    "ends": "at the ends of their dtype",
}
_FORMS = {
    "signature": "traced with {}",
    "layout": "from {} input",
    "image_data_format": "with image_data_format {}",
    "floatx": "with floatx {}",
    "after": "{}",
    "empty": "of empty images",
    "left out": "with {} left out",
    "file": "of {} files",
    "using": "{}",
    "policy": "under policy {}",
}
_SAID = {
    ("signature", "unknown"): "unknown rank",
    ("signature", "channels"): "only the channels known",
    ("after", "graph"): "in a process whose first call is a float64 graph in caffe mode",
    ("after", "float16"): "in a process whose first call has floatx float16",
    ("using", "grayscale"): "asked for grayscale",
    ("using", "rgba"): "asked for rgba",
    ("using", "smaller"): "made smaller",
    ("using", "larger"): "made larger",
    ("using", "channels_first"): "asked for channels_first",
    ("using", "float64"): "asked for float64",
    ("using", "rescale"): "given a rescale of 1/255",
    ("using", "both"): "given a rescale of 1/255 and preprocess_input in mode tf",
    ("using", "imagenet"): "built for imagenet weights",
    ("using", "left-out"): "built without preprocessing",
    ("using", "BLIP2ImageConverter"): "as BLIP2ImageConverter",
    **{("after", str(mode)): f"after a call in {mode} mode in the same process" for mode in KERAS_MODES},
}
_DTYPES = (*DTYPES, "longdouble", "complex64")
_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}

# What an ordinary call does not have.
_CIRCUMSTANCES = (
    *("module", "signature", "layout", "image_data_format", "floatx", "after", "empty", "left out"),
    *("file", "using", "policy"),
)

_WHOLE = tuple(dtype for dtype in INTEGERS if dtype != "bool")

# A selection need not mention these; if it does, it is since others are otherwise.
_FREE = ("pixels", *_LONG, "dtype", "backend")
_ORDERS = (
    ("pixels", *_LONG, "path", "image", "mode", "dtype", "backend", "channels", *_CIRCUMSTANCES),
    ("pixels", *_LONG, "dtype", "backend", "mode", "image", "path", "channels", *_CIRCUMSTANCES),
)
# The one of rows that mean no mode: their path, file and options say which image it is.
_ANY_IMAGE = (0, "")

_MOST = 3  # selections that a sentence names


@cache
def traits(backend: str, question_id: str) -> Mapping[str, Any]:
    """What a selection may ask of a row."""
    asked = questions.parse(question_id)
    found: dict[str, Any] = {"backend": backend, "path": asked.path, "dtype": asked.dtype, "left out": None}
    compared, data_format = asked.compared, asked.effective_format
    if not (asked.module or compared):
        missing = (("mode", asked.mode), ("data_format", asked.data_format))
        found["left out"] = " and ".join(name for name, given in missing if given is None) or None
    found["mode"] = asked.known_mode or asked.mode
    found["pixels"] = asked.pixels if asked.pixels in _PIXELS else "bytes"
    found["empty"] = 0 in asked.shape or None
    found |= _of_image(() if compared else asked.shape, data_format)
    if compared:
        found |= {"image": _ANY_IMAGE, "channels": None}
    for key in _ATTRIBUTES:
        found[key] = getattr(asked, key)
    return found


@cache
def _of_image(shape: tuple[int, ...], data_format: str | None) -> Mapping[str, Any]:
    """The traits of an image's shape."""
    axis, axes = channel_axis(len(shape), data_format), free_axes(shape, data_format)
    image = (len(shape), DATA_FORMATS[0] if data_format is None else data_format)
    channels = None if axis is None else shape[axis]
    return {"image": image, "channels": channels, **{side: axes.get(side) for side in _LONG}}


_ATTRIBUTES = [key for key in _CIRCUMSTANCES if key not in ("empty", "left out")]

_PLACES: dict[Key, int] = {}
_MASKS: dict[tuple[str, Any], int] = {}
_HAVING: dict[str, int] = {}
"""The rows that have a trait at all, which few have of most: None is what all others have."""


def _mask(keys: Sequence[Key]) -> int:
    """A set of rows as an integer, one bit a row, so that sets of thousands are intersected at once."""
    new = list(dict.fromkeys(key for key in keys if key not in _PLACES))
    first = len(_PLACES)
    _PLACES.update((key, first + at) for at, key in enumerate(new))
    having: dict[tuple[str, Any], list[int]] = {}
    for key in new:
        for had in traits(*key).items():
            if had[1] is not None:
                having.setdefault(had, []).append(_PLACES[key])
    for had, places in having.items():
        _MASKS[had] = _MASKS.get(had, 0) | _bits(places)
        _HAVING[had[0]] = _HAVING.get(had[0], 0) | _MASKS[had]
    return _bits([_PLACES[key] for key in keys])


def _bits(places: Iterable[int]) -> int:
    bits = bytearray(len(_PLACES) // 8 + 1)
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(bits, "little")


def _having(trait: str, value: Any) -> int:
    """The rows that have a value of a trait; of None, all that have none."""
    return ~_HAVING.get(trait, 0) if value is None else _MASKS.get((trait, value), 0)


def _meant(chosen: Mapping[str, Iterable[Any]], universe: int, but: str = "") -> int:
    """The rows of a universe that have the chosen traits, all but one."""
    for trait, values in chosen.items():
        if trait != but:
            any_of = 0
            for value in values:
                any_of |= _having(trait, value)
            universe &= any_of
    return universe


def _cover(keys: Sequence[Key], ran: Mapping[str, int]) -> tuple[Selection, ...]:
    """Selections that mean rows of ``keys`` and no other that ran; first those of ordinary calls.

    Rows under circumstances that a selection of ordinary calls would mean without them need none of their own.
    """
    universe, wanted = sum(ran.values()), _mask(keys)
    kinds: dict[tuple[bool, ...], list[Key]] = {(False,) * len(_CIRCUMSTANCES): []}
    for key in keys:
        had = traits(*key)
        kinds.setdefault(tuple(had[trait] is not None for trait in _CIRCUMSTANCES), []).append(key)
    found: list[Selection] = []
    for circumstances, rest in kinds.items():
        if any(circumstances):
            rest = [key for key in rest if not any(_meant_otherwise(one, key) for one in found)]
        values = {trait: dict.fromkeys(traits(*key)[trait] for key in rest) for trait in _ORDERS[0]}
        while rest:
            grown = [_grown(rest[0], values, wanted, universe, order) for order in _ORDERS]
            best = max(grown, key=lambda one: _meant(one.traits, universe).bit_count())
            # Rows with the same traits that answered unlike each other are meant by none.
            found += [best] * best.covers(rest[0])
            rest = [key for key in rest[1:] if not best.covers(key)]
    return tuple(found[:_MOST])


def _meant_otherwise(selection: Selection, key: Key) -> bool:
    """Whether a selection of ordinary calls would mean a row if it had no circumstances."""
    return Selection({t: v for t, v in selection.traits.items() if t not in _CIRCUMSTANCES}).covers(key)


def _grown(
    seed: Key, values: Mapping[str, Iterable[Any]], wanted: int, universe: int, order: Sequence[str]
) -> Selection:
    """The traits of one row, with as many more values of each as mean no row but those that are wanted."""
    chosen: dict[str, tuple[Any, ...]] = {trait: (value,) for trait, value in traits(*seed).items()}
    for trait in (*order, *order):
        if trait not in chosen:
            continue
        without = _meant(chosen, universe, but=trait)
        if trait in _FREE and not without & ~wanted:
            del chosen[trait]
        else:
            meant = {value: without & _having(trait, value) for value in values[trait]}
            chosen[trait] = tuple(value for value, rows in meant.items() if rows and not rows & ~wanted)
    without, named = _meant(chosen, universe, but="dtype"), chosen.pop("dtype", None)
    dtypes = named or tuple(value for value in values["dtype"] if without & _having("dtype", value))
    if set(dtypes) <= set(_WHOLE) and len(dtypes) > 3 and not _meant({"dtype": _WHOLE}, without) & ~wanted:
        dtypes = _WHOLE
    if named or len(dtypes) <= 3 or dtypes == _WHOLE:
        chosen["dtype"] = dtypes
    return Selection(chosen)


def _subject(selections: Sequence[Selection], keys: Sequence[Key]) -> str:
    """What the selections mean, and how many rows are meant by none of them."""
    left = [traits(*key) for key in keys if not any(one.covers(key) for one in selections)]
    odd = sum(had["image"] != _ANY_IMAGE and any(had[trait] is not None for trait in _CIRCUMSTANCES) for had in left)
    clauses = [_clause(selection.traits) for selection in selections]
    clauses += [f"{_rows(len(left) - odd).replace(' ', ' other ')}"] if len(left) > odd else []
    clauses += [f"{_rows(odd)} with a module, setting, layout or earlier call"] if odd else []
    text = "; ".join(clauses)
    is_name = text.startswith(("load_img", "image_dataset_from", "tf."))
    return text if is_name else text[0].upper() + text[1:]


def _clause(chosen: Mapping[str, tuple[Any, ...]]) -> str:
    compared = set(chosen["image"]) == {_ANY_IMAGE}
    words = [] if compared else [_images(chosen["image"])]
    if "dtype" in chosen and chosen["file"] == (None,) and chosen["path"] != ("built",):
        dtypes = sorted(chosen["dtype"], key=_DTYPES.index)
        if set(_WHOLE) <= set(dtypes):
            dtypes = ["integer", *(dtype for dtype in dtypes if dtype not in _WHOLE)]
        words.append(listed(dtypes))
    plain = ("generator", "converter") if compared else ()
    words.append(listed("plain " * (path in plain) + PATHS.get(path, path) for path in chosen["path"]))
    known = set(chosen["mode"]) <= {*KERAS_MODES, "identity"}
    if None not in chosen["module"]:
        words.append(f"of {listed(chosen['module'])}")
    elif compared:
        pass
    elif known and set(chosen["mode"]) != set(KERAS_MODES):
        words.append(f"in {listed([mode for mode in KERAS_MODES if mode in chosen['mode']])} mode")
    elif not known:
        words.append(f"with mode {listed(map(_argument, chosen['mode']))}")
    formats = dict.fromkeys(data_format for _, data_format in chosen["image"])
    if not compared and not formats.keys() <= set(DATA_FORMATS):
        words.append(f"with data_format {listed(map(_argument, formats))}")
    if set(chosen["channels"]) not in ({3}, {None}):
        counts = sorted(filter(None, chosen["channels"]))
        words.append(f"with {listed(map(str, counts), 'or')} channel{'s' * (counts != [1])}")
    for trait, form in _FORMS.items():
        if None not in chosen[trait]:
            values = [_SAID.get((trait, value), str(value)) for value in chosen[trait]]
            words.append(form.format(listed(values, "or")))
    sizes = {axis: sorted(filter(None, chosen[axis])) for axis in _LONG if axis in chosen}
    long = [f"{'exactly ' * (s == [3])}{listed(map(str, s), 'or')} {_LONG[axis]}" for axis, s in sizes.items() if s]
    words += [listed(long)] if long else []
    if "pixels" in chosen:
        words.append(listed([_PIXELS[pixels] for pixels in chosen["pixels"]], "or"))
    if "backend" in chosen:
        words.append(f"on {listed(_BACKENDS.get(backend, backend) for backend in chosen['backend'])}")
    return " ".join(filter(None, words))


def _images(images: Iterable[tuple[int, str]]) -> str:
    """Ranks and data formats; nothing for every image."""
    ranks: dict[str, tuple[int, ...]] = {}
    for rank, data_format in sorted(images, key=lambda image: (image[1] != DATA_FORMATS[0], image)):
        ranks[data_format] = (*ranks.get(data_format, ()), rank)
    shown = {those: "" if those == RANKS else listed([f"{rank}-D" for rank in those]) for those in ranks.values()}
    if len(shown) == 1 and (len(ranks) == 2 or not ranks.keys() <= set(DATA_FORMATS)):
        return next(iter(shown.values()))
    return listed([f"{shown[those]} {data_format}".strip() for data_format, those in ranks.items()])


def _argument(value: str) -> str:
    """An argument as Python has it."""
    try:
        return repr(json.loads(value))
    except ValueError:
        return repr(value)


def listed(words: Iterable[str], conjunction: str = "and") -> str:
    """``a, b and c``."""
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last
