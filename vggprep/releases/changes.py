"""What differs between two observations, grouped by cause, in sentences that a person can act on.

A row differs if its dtype, shape, values, error or aliasing do. Messages, warnings and everything about the machine do
not count. What matters is a wrong value, before or now, and working input that is refused or written to now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal, NamedTuple

from vggprep.releases import questions
from vggprep.releases.observation import Observation, Row
from vggprep.releases.questions import KERAS_MODES, Question
from vggprep.releases.verdicts import channel_axis, defined
from vggprep.spec import DATA_FORMATS, INTEGERS, RANKS

Kind = Literal["value", "crash", "refusal", "writes", "outside", "error", "dtype", "aliasing", "rounding"]

TITLES: dict[Kind, str] = {
    "value": "wrong values, before or now",
    "crash": "the interpreter is killed",
    "refusal": "what worked raises now",
    "writes": "the input is written to now",
    "outside": "changes outside the definition",
    "error": "changes of errors",
    "dtype": "changes of dtype",
    "aliasing": "changes of aliasing",
    "rounding": "rounding only",
}
"""The kinds of difference in words, worst first."""

KINDS = tuple(TITLES)
MATTERS = KINDS[:4]


@dataclass(frozen=True)
class Difference:
    """Rows that differ for one cause: what they have in common, what they were and are, and the worst grey levels."""

    kind: Kind
    subject: str
    old: str
    new: str
    rows: tuple[str, ...]
    levels: float | None

    @property
    def matters(self) -> bool:
        """Whether a guard should fail for it."""
        return self.kind in MATTERS

    @property
    def sentence(self) -> str:
        """The whole of it for a person."""
        count = _rows(len(self.rows))
        off = "" if not self.levels else f"; {_up_to(self.levels)}"
        if self.kind == "rounding":
            return f"{self.subject}: other bits, the same values to rounding. {count}."
        return f"{self.subject}: now {self.new}; before, {self.old}. {count}{off}."

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
    if levels >= 1e6:
        return f"up to {levels:.1g} grey levels"
    return f"up to {levels:,.0f} grey levels" if levels >= 100 else f"up to {levels:.3g} grey levels"


class _State(NamedTuple):
    """What a row was or is, as far as rows that changed for one cause have it in common."""

    kind: Literal["dies", "raises", "right", "result", "another result", "dtype", "ownership"]
    detail: str = ""

    def __str__(self) -> str:
        if self.kind == "dies":
            return f"the process dies ({self.detail})"
        if self.kind == "raises":
            return f"raises {self.detail}"
        return self.detail or {"result": "some result"}.get(self.kind, self.kind)


@dataclass(frozen=True)
class _Changed:
    id: str
    question: Question
    kind: Kind
    old: Row
    new: Row

    @property
    def states(self) -> tuple[_State, _State]:
        """What the row was and is."""
        if self.kind == "rounding":
            return _State("right"), _State("right")
        if self.kind in ("aliasing", "writes"):
            return _ownership(self.old), _ownership(self.new)
        if self.kind == "dtype":
            return _State("dtype", self.old.dtype), _State("dtype", self.new.dtype)
        old, new = _state(self.old), _state(self.new)
        # What raised before and works now is one thing, whichever way it raised; the sentence lists the ways.
        if self.old.error and not self.new.error:
            old = _State("raises")
        return (_State("another result") if old == new else old), new

    @property
    def image(self) -> tuple[Any, ...]:
        """What kind of image it is."""
        asked = self.question
        return asked.known_mode, asked.effective_format, len(asked.shape), input_category(asked)


def _state(row: Row) -> _State:
    if row.fatal:
        return _State("dies", row.fatal)
    if row.error:
        return _State("raises", row.error)
    return _State("right") if row.verdict == "right" else _State("result", row.cause)


def _ownership(row: Row) -> _State:
    written = "the input is written to" if row.written else "the input is left alone"
    back = {"same": "returned itself", "shared": "shares memory with the result"}.get(row.aliasing)
    return _State("ownership", f"{written} and {back}" if back else written)


# ---- comparing -------------------------------------------------------------------------------------------------------


def compare(old: Observation, new: Observation) -> list[Difference]:
    """Everything that differs between two observations in the rows that both could run, worst first.

    XLA rounds with the instructions that the processor has (fused, or of half precision), so how it rounds on two
    processors says nothing about two releases.
    """
    one_processor = old.running.get("processor") == new.running.get("processor")
    changed = []
    for question_id in common(old, new):
        before, after = old.rows[question_id], new.rows[question_id]
        if before is after:
            continue
        question = questions.parse(question_id)
        kind = _kind_of(question, before, after)
        if kind and (one_processor or (kind, question.path) != ("rounding", "xla")):
            changed.append(_Changed(question_id, question, kind, before, after))
    differences = [_difference(rows) for rows in _merged(_grouped(changed))]
    return sorted(differences, key=lambda d: (KINDS.index(d.kind), -(d.levels or 0), -len(d.rows), d.subject))


def common(old: Observation, new: Observation) -> dict[str, None]:
    """The rows that both observations could run, in order."""
    found = (name for name, row in old.rows.items() if name in new.rows and not (row.skipped or new.rows[name].skipped))
    return dict.fromkeys(found)


def behaves_alike(question_id: str, one: Row, other: Row) -> bool:
    """Whether two answers to a question are the same but for rounding."""
    return _kind_of(questions.parse(question_id), one, other) in (None, "rounding")


def _kind_of(question: Question, old: Row, new: Row) -> Kind | None:
    """The kind of difference between two answers to one question; None if there is none."""
    in_domain = defined(question.shape, question.dtype, question.known_mode, question.effective_format)
    newly_written = new.written and not old.written and in_domain
    if old.fatal or new.fatal:
        return None if old.fatal == new.fatal else "crash" if new.fatal else "error"
    verdicts = (_verdict(question, old), _verdict(question, new))
    counts = len(question.shape) in RANKS
    if old.error or new.error:
        if old.error == new.error:
            return "writes" if newly_written else None
        if counts and "wrong" in verdicts:
            return "value"
        return "refusal" if in_domain and old.verdict == "right" else "error"
    if (old.digest, old.dtype, old.shape) != (new.digest, new.dtype, new.shape):
        if _same_but_for_rounding(old, new):
            return "rounding"
        if "wrong" in verdicts:
            return "value" if counts else "outside"
        return "dtype" if verdicts == ("right", "right") else "outside"
    if newly_written:
        return "writes"
    return "aliasing" if (old.aliasing, old.written) != (new.aliasing, new.written) else None


def _verdict(question: Question, row: Row) -> str:
    """The verdict; any answer to an unknown mode or data format is wrong, for only an error is right."""
    unknown = input_category(question) in ("unknown mode", "unknown data_format")
    return "wrong" if unknown and row.verdict == "undefined" else row.verdict


def _same_but_for_rounding(old: Row, new: Row) -> bool:
    """Both right, or both wrong for one known cause by as much."""
    if (old.dtype, old.shape, old.verdict) != (new.dtype, new.shape, new.verdict):
        return False
    same = (old.cause, old.levels) == (new.cause, new.levels)
    return old.verdict == "right" or (old.verdict == "wrong" and bool(old.cause_kind) and same)


def _channels(question: Question) -> int | None:
    axis = channel_axis(len(question.shape), question.effective_format)
    return None if axis is None else question.shape[axis]


def input_category(question: Question) -> str:
    """What is peculiar about a question's input, so that unlike rows are kept apart; empty for plain images."""
    if question.known_mode is None:
        return "unknown mode"
    if question.effective_format not in (None, *DATA_FORMATS):
        return "unknown data_format"
    if _channels(question) != 3:
        return "channels"
    if len(question.shape) not in RANKS:
        return "rank"
    if question.signature == "unknown":
        return "unknown rank"
    if question.layout in ("list", "object", "text", "read-only"):
        return question.layout
    if question.dtype == "complex64":
        return "complex"
    return "integers" if question.dtype in INTEGERS else ""


# ---- grouping --------------------------------------------------------------------------------------------------------


def _grouped(changed: list[_Changed]) -> list[list[_Changed]]:
    groups: dict[Any, list[_Changed]] = {}
    for row in changed:
        groups.setdefault((row.kind, row.states, input_category(row.question)), []).append(row)
    return list(groups.values())


def _merged(groups: list[list[_Changed]]) -> list[list[_Changed]]:
    """Move rows that raised to those that were silently wrong for the same cause: the same images in another size."""
    # Silently wrong: along an axis that happens to be 3 long.
    values = [rows for rows in groups if rows[0].kind == "value"]
    silent = [rows for rows in values if "axis" in (rows[0].old.cause_kind, rows[0].new.cause_kind)]
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
    mended = silent_new.kind == new.kind == "right" and row.old.error
    broken = silent_old.kind == old.kind == "right" and row.new.error
    return bool(mended or broken) and row.image in images


def _difference(rows: list[_Changed]) -> Difference:
    kind, (old, new) = rows[0].kind, rows[0].states
    joined = [row for row in rows if row.states != (old, new)]
    was, now = str(old), str(new)
    if old == _State("raises"):
        was = f"raises {listed(dict.fromkeys(row.old.error for row in rows), 'or')}"
    if joined:
        errors = listed(dict.fromkeys(row.old.error or row.new.error for row in joined), "or")
        otherwise = f", silently where that is 3 long, else raises {errors}"
        was, now = (was + otherwise, now) if new.kind == "right" else (was, now + otherwise)
    wrong = [row.levels for changed in rows for row in (changed.old, changed.new) if row.verdict == "wrong"]
    # An infinite error, a NaN moved or lost, says less than the worst of the others.
    worst = max((level for level in wrong if level), key=lambda level: (level < math.inf, level), default=None)
    levels = worst if kind in ("value", "outside") else None
    return Difference(kind, _subject([row.question for row in rows]), was, now, tuple(row.id for row in rows), levels)


# ---- what did not change ---------------------------------------------------------------------------------------------


def unchanged(old: Observation, new: Observation, differences: Sequence[Difference]) -> str:
    """The ordinary images that behave to the last bit as they did, in words; empty if there are none.

    Ordinary images have three channels and a known mode, and nothing peculiar about their layout, settings or trace.
    Of the families of images that can be named, this is the one that is the same on most paths in most modes.
    """
    changed = {name for difference in differences for name in difference.rows}
    cells: dict[tuple[Any, ...], list[bool]] = {}
    for name in common(old, new):
        asked = questions.parse(name)
        if _is_ordinary(asked):
            image = (len(asked.shape), asked.effective_format or DATA_FORMATS[0], asked.dtype, asked.known_mode)
            same = name not in changed and old.rows[name].digest == new.rows[name].digest
            cells.setdefault((*image, asked.path), []).append(same)
    ranks, formats = ((), (4,), (3,)), ((), *combinations(DATA_FORMATS, 1))
    dtypes = ((), ("float32",), ("uint8",), ("float32", "uint8"), INTEGERS)
    modes = ((), *combinations(KERAS_MODES, 1), *combinations(KERAS_MODES, 2))
    best, words = (0, 0), ""
    for family in product(ranks, formats, dtypes, modes):
        within = [cell for cell in cells if _is_of(cell, family)]
        differing = {cell[-1] for cell in within if not all(cells[cell])}
        kept = [cell for cell in within if cell[-1] not in differing]
        score = (len({cell[-2:] for cell in kept}), sum(len(cells[cell]) for cell in kept))
        if score > best:
            best, words = score, _family(*family, dict.fromkeys(cell[-1] for cell in kept))
    return words and f"{words} ({_rows(best[1])})"


def _is_ordinary(asked: Question) -> bool:
    peculiar = asked.layout or asked.floatx or asked.after or asked.signature or 0 in asked.shape
    return not peculiar and input_category(asked) in ("", "integers")


def _is_of(image: tuple[Any, ...], family: tuple[tuple[Any, ...], ...]) -> bool:
    """Whether an image's rank, format, dtype and mode are of a family, in which nothing stands for everything."""
    return all(not those or value in those for value, those in zip(image, family, strict=False))


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
}


def _subject(asked: Sequence[Question]) -> str:
    """What the rows have in common: rank, format, dtypes, where, mode, and what is peculiar about them."""
    words = []
    ranks = {len(question.shape) for question in asked}
    formats = {question.effective_format for question in asked}
    dtypes = list(dict.fromkeys(question.dtype for question in asked))
    if len(ranks) == 1:
        words.append(f"{ranks.pop()}-D")
    if len(formats) == 1 and (only := formats.pop()) in DATA_FORMATS:
        words.append(str(only))
    if set(dtypes) <= set(INTEGERS) and len(dtypes) > 3:
        words.append("integer")
    elif len(dtypes) <= 3:
        words.append(listed(dtypes))
    words.append(listed(PATHS.get(path, path) for path in dict.fromkeys(question.path for question in asked)))
    modules = dict.fromkeys(question.module for question in asked if question.module)
    modes = dict.fromkeys(question.mode for question in asked if question.mode is not None and not question.module)
    if modules and not modes:
        words.append(f"of {_some(modules)}")
    elif modes.keys() < set(KERAS_MODES) and modes:
        words.append(f"in {listed(modes)} mode")
    elif not modes.keys() <= set(KERAS_MODES):
        words.append(f"with mode {_some(map(repr, modes))}")
    text = " ".join(words + _peculiarities(asked))
    return text[0].upper() + text[1:]


def _peculiarities(asked: Sequence[Question]) -> list[str]:
    """What all the rows have that plain images do not."""
    words = []
    category = input_category(asked[0])
    if category == "unknown data_format":
        words.append(f"with data_format {_some(dict.fromkeys(repr(question.data_format) for question in asked))}")
    if category == "channels" and (counts := sorted(filter(None, {_channels(question) for question in asked}))):
        words.append(f"with {listed(map(str, counts), 'or')} channel{'s' * (counts != [1])}")
    if category == "unknown rank":
        words.append("traced with unknown rank")
    for key, text in (("floatx", "with floatx {}"), ("after", "asked after {}"), ("layout", "from {} input")):
        found = dict.fromkeys(getattr(question, key) for question in asked)
        if None not in found:
            words.append(text.format(_some(map(str, found))))
    return words


def _some(words: Iterable[str]) -> str:
    found = list(words)
    return listed(found) if len(found) <= 4 else f"{', '.join(found[:4])} and others"


def listed(words: Iterable[str], conjunction: str = "and") -> str:
    """``a, b and c``."""
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last
