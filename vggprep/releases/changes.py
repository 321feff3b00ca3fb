"""What differs between two observations, grouped by cause, in sentences that a person can act on.

A row differs if its dtype, shape, values, error or aliasing do. Messages, warnings and everything about the machine do
not count. What matters is a wrong value, before or now, and working input that is refused or written to now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vggprep.releases import questions
from vggprep.releases import verdicts as judging
from vggprep.releases.observation import Observation, Row

KINDS = ("value", "crash", "refusal", "writes", "outside", "error", "dtype", "aliasing", "rounding")
"""The kinds of difference, worst first; the first four matter."""

MATTERS = KINDS[:4]

_KIND_TEXT = {
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


@dataclass(frozen=True)
class Difference:
    """Rows that differ for one cause: what they have in common, what they were and are, and the worst grey levels."""

    kind: str
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
    def title(self) -> str:
        """The kind in words, for headings."""
        return _KIND_TEXT[self.kind]

    @property
    def sentence(self) -> str:
        """The whole of it for a person."""
        count = f"{len(self.rows)} row{'s' * (len(self.rows) != 1)}"
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


def _up_to(levels: float) -> str:
    if levels == math.inf:
        return "NaN or infinities made or lost"
    if levels >= 1e6:
        return f"up to {levels:.1g} grey levels"
    return f"up to {levels:,.0f} grey levels" if levels >= 100 else f"up to {levels:.3g} grey levels"


@dataclass(frozen=True)
class _Changed:
    id: str
    attributes: dict[str, Any]
    kind: str
    old: Row
    new: Row


def compare(old: Observation, new: Observation) -> list[Difference]:
    """Everything that differs between two observations in the rows that both could run, worst first.

    XLA rounds with the instructions that the processor has (fused, or of half precision), so how it rounds on two
    processors tells nothing of two releases.
    """
    one_processor = old.running.get("processor") == new.running.get("processor")
    changed = []
    for question_id, before in old.rows.items():
        after = new.rows.get(question_id)
        if after is None or before is after or before.skipped or after.skipped:
            continue
        attributes = questions.parse(question_id)
        kind = kind_of(attributes, before, after)
        if kind and (one_processor or (kind, attributes["path"]) != ("rounding", "xla")):
            changed.append(_Changed(question_id, attributes, kind, before, after))
    differences = [_difference(rows) for rows in _merged(_grouped(changed))]
    return sorted(differences, key=lambda d: (KINDS.index(d.kind), -(d.levels or 0), -len(d.rows), d.subject))


def compared(old: Observation, new: Observation) -> int:
    """How many rows both observations could run."""
    return sum(
        not before.skipped and question_id in new.rows and not new.rows[question_id].skipped
        for question_id, before in old.rows.items()
    )


def in_domain(attributes: dict[str, Any]) -> bool:
    """Whether the definition says what a question's answer should be."""
    mode = questions.mode_of(attributes)
    return judging.defined(attributes["shape"], attributes["dtype"], mode, _data_format(attributes))


def kind_of(attributes: dict[str, Any], old: Row, new: Row) -> str:
    """The kind of difference between two answers to one question; empty if there is none."""
    if old.fatal or new.fatal:
        return "" if old.fatal == new.fatal else "crash" if new.fatal else "error"
    verdicts = (_verdict(attributes, old), _verdict(attributes, new))
    counts = not _other_rank(attributes)
    if old.error or new.error:
        if old.error == new.error:
            return "writes" if new.written and not old.written and in_domain(attributes) else ""
        if counts and "wrong" in verdicts:
            return "value"
        return "refusal" if in_domain(attributes) and old.verdict == "right" else "error"
    if (old.digest, old.dtype, old.shape) != (new.digest, new.dtype, new.shape):
        if _same_but_for_rounding(old, new):
            return "rounding"
        if "wrong" in verdicts:
            return "value" if counts else "outside"
        return "dtype" if verdicts == ("right", "right") else "outside"
    if new.written and not old.written and in_domain(attributes):
        return "writes"
    return "aliasing" if (old.aliasing, old.written) != (new.aliasing, new.written) else ""


def _verdict(attributes: dict[str, Any], row: Row) -> str:
    """The verdict; any answer to an unknown mode or data format is wrong, for only an error is right."""
    unknown = _territory(attributes) in ("unknown mode", "unknown data_format")
    return "wrong" if unknown and row.verdict == "undefined" else row.verdict


def _same_but_for_rounding(old: Row, new: Row) -> bool:
    """Both right, or both wrong for one known cause by as much."""
    if (old.dtype, old.shape, old.verdict) != (new.dtype, new.shape, new.verdict):
        return False
    known = old.cause == new.cause and ("along" in old.cause or "only as precise" in old.cause)
    return old.verdict == "right" or (old.verdict == "wrong" and known and old.levels == new.levels)


def _other_rank(attributes: dict[str, Any]) -> bool:
    return len(attributes["shape"]) not in (3, 4)


def _state(row: Row) -> str:
    if row.fatal:
        return f"the process dies ({row.fatal})"
    if row.error:
        return f"raises {row.error}"
    if row.verdict == "right":
        return "right"
    return row.cause or "some result"


def _ownership(row: Row) -> str:
    written = "the input is written to" if row.written else "the input is left alone"
    back = {"same": "returned itself", "shared": "shares memory with the result"}.get(row.aliasing)
    return f"{written} and {back}" if back else written


# ---- grouping --------------------------------------------------------------------------------------------------------


def _states(row: _Changed) -> tuple[str, str]:
    """What a row was and is, in words that rows changed for one cause have in common."""
    if row.kind == "rounding":
        return "right", "right"
    if row.kind in ("aliasing", "writes"):
        return _ownership(row.old), _ownership(row.new)
    if row.kind == "dtype":
        return row.old.dtype, row.new.dtype
    old, new = _state(row.old), _state(row.new)
    # What raised before and works now is one thing, whichever way it raised; the sentence lists the ways.
    if row.old.error and not row.new.error:
        old = "raises"
    return ("another result" if old == new else old), new


def _grouped(changed: list[_Changed]) -> list[list[_Changed]]:
    groups: dict[Any, list[_Changed]] = {}
    for row in changed:
        groups.setdefault((row.kind, _states(row), _territory(row.attributes)), []).append(row)
    return list(groups.values())


def _merged(groups: list[list[_Changed]]) -> list[list[_Changed]]:
    """Move rows that raised to those that were silently wrong for the same cause: the same images in another size."""
    silent = [rows for rows in groups if rows[0].kind == "value" and " along " in "".join(_states(rows[0]))]
    images = [{_images(row) for row in rows} for rows in silent]
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
    (old, new), (silent_old, silent_new) = _states(row), _states(silent)
    mended = (silent_new, new) == ("right", "right") and row.old.error
    broken = (silent_old, old) == ("right", "right") and row.new.error
    return bool(mended or broken) and _images(row) in images


def _images(row: _Changed) -> tuple[Any, ...]:
    attributes = row.attributes
    territory = _territory(attributes)
    return questions.mode_of(attributes), _data_format(attributes), len(attributes["shape"]), territory


def _data_format(attributes: dict[str, Any]) -> Any:
    return attributes.get("data_format") or attributes.get("image_data_format")


def _channels(attributes: dict[str, Any]) -> int | None:
    axis = judging.channel_axis(len(attributes["shape"]), _data_format(attributes))
    return None if axis is None else attributes["shape"][axis]


def _territory(attributes: dict[str, Any]) -> str:
    """What is peculiar about a question's input, so that unlike rows are kept apart; empty for plain images."""
    if "module" not in attributes and attributes.get("mode", "caffe") not in questions.KERAS_MODES:
        return "unknown mode"
    if _data_format(attributes) not in (None, *questions.FORMATS):
        return "unknown data_format"
    if _channels(attributes) != 3:
        return "channels"
    if _other_rank(attributes):
        return "rank"
    if attributes.get("signature") == "unknown":
        return "unknown rank"
    if attributes.get("layout") in ("list", "object", "text", "read-only"):
        return str(attributes["layout"])
    if attributes["dtype"] == "complex64":
        return "complex"
    return "integers" if attributes["dtype"] in questions.INTEGERS else ""


def _difference(rows: list[_Changed]) -> Difference:
    kind, (old, new) = rows[0].kind, _states(rows[0])
    joined = [row for row in rows if _states(row) != (old, new)]
    if old == "raises":
        old = f"raises {_listed(dict.fromkeys(row.old.error for row in rows), 'or')}"
    if joined:
        errors = _listed(dict.fromkeys(row.old.error or row.new.error for row in joined), "or")
        if new == "right":
            old = f"{old}, silently where that is 3 long, else raises {errors}"
        else:
            new = f"{new}, silently where that is 3 long, else raises {errors}"
    wrong = [row.levels for changed in rows for row in (changed.old, changed.new) if row.verdict == "wrong"]
    # An infinite error, a NaN moved or lost, says less than the worst of the others.
    worst = max((level for level in wrong if level), key=lambda level: (level < math.inf, level), default=None)
    levels = worst if kind in ("value", "outside") else None
    return Difference(kind, _subject(rows), old, new, tuple(row.id for row in rows), levels)


_PATHS = {
    "ndarray": "arrays",
    "tensor": "eager tensors",
    "graph": "graphs",
    "xla": "XLA",
    "model": "functional models",
    "lambda": "Lambda layers",
    "tf.data": "tf.data",
    "variable": "variables",
}


def _subject(rows: list[_Changed]) -> str:
    """What the rows have in common: rank, format, dtypes, where, mode, and what is peculiar about them."""
    attributes = [row.attributes for row in rows]
    words = []
    ranks = {len(a["shape"]) for a in attributes}
    formats = {_data_format(a) for a in attributes}
    dtypes = list(dict.fromkeys(a["dtype"] for a in attributes))
    if len(ranks) == 1:
        words.append(f"{ranks.pop()}-D")
    if len(formats) == 1 and (only := formats.pop()) in questions.FORMATS:
        words.append(str(only))
    if set(dtypes) <= set(questions.INTEGERS) and len(dtypes) > 3:
        words.append("integer")
    elif len(dtypes) <= 3:
        words.append(_listed(dtypes))
    words.append(_listed(_PATHS.get(path, path) for path in dict.fromkeys(a["path"] for a in attributes)))
    modules = {str(a["module"]): None for a in attributes if "module" in a}
    modes = {str(a["mode"]): None for a in attributes if "mode" in a and "module" not in a}
    if modules and not modes:
        words.append(f"of {_some(modules)}")
    elif set(modes) < set(questions.KERAS_MODES) and modes:
        words.append(f"in {_listed(modes)} mode")
    elif modes and not set(modes) <= set(questions.KERAS_MODES):
        words.append(f"with mode {_some(map(repr, modes))}")
    words += _peculiarities(attributes)
    text = " ".join(words)
    return text[0].upper() + text[1:]


def _peculiarities(attributes: list[dict[str, Any]]) -> list[str]:
    """What all the rows have that plain images do not."""
    words = []
    if _territory(attributes[0]) == "unknown data_format":
        words.append(f"with data_format {_some(dict.fromkeys(repr(a['data_format']) for a in attributes))}")
    if _territory(attributes[0]) == "channels" and (counts := {_channels(a) for a in attributes} - {None}):
        words.append(f"with {_listed(map(str, sorted(filter(None, counts))), 'or')} channel{'s' * (counts != {1})}")
    if _territory(attributes[0]) == "unknown rank":
        words.append("traced with unknown rank")
    for key, text in (("floatx", "with floatx {}"), ("after", "asked after {}"), ("layout", "from {} input")):
        found = dict.fromkeys(a.get(key) for a in attributes)
        if None not in found:
            words.append(text.format(_some(map(str, found))))
    return words


def _some(words: Iterable[str]) -> str:
    found = list(words)
    return _listed(found) if len(found) <= 4 else f"{', '.join(found[:4])} and others"


def _listed(words: Iterable[str], conjunction: str = "and") -> str:
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} {conjunction} {found[-1]}" if found else ""
