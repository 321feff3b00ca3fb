"""What differs between two observations, grouped by cause, in sentences that a person can act on. Standard library only.

A row differs if its dtype, shape, values, error or aliasing do. Messages, warnings and everything about the machine do
not count. What matters is a wrong value, before or now, and working input that is refused or written to now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vggprep import judging, questions
from vggprep.observation import Observation, Row

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
        off = "" if not self.levels else f"; up to {self.levels:.3g} grey levels"
        if self.kind == "rounding":
            return f"{self.subject}: bits differ, both right. {count}."
        return f"{self.subject}: now {self.new}; before, {self.old}. {count}{off}."

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            **{"kind": self.kind, "matters": self.matters, "subject": self.subject, "old": self.old, "new": self.new},
            **{"levels": self.levels if self.levels is None or math.isfinite(self.levels) else "infinite"},
            **{"sentence": self.sentence, "rows": list(self.rows)},
        }


@dataclass(frozen=True)
class _Changed:
    id: str
    attributes: dict[str, Any]
    kind: str
    old: Row
    new: Row

    @property
    def states(self) -> tuple[str, str]:
        if self.kind in ("aliasing", "writes"):
            return _ownership(self.old), _ownership(self.new)
        if self.kind == "dtype":
            return self.old.dtype, self.new.dtype
        old, new = _state(self.old), _state(self.new)
        if old == new and self.kind != "rounding":
            return f"{old} ({_result(self.old)})", f"{new} ({_result(self.new)})"
        return old, new


def compare(old: Observation, new: Observation) -> list[Difference]:
    """Everything that differs between two observations in the rows that both could run, worst first."""
    changed = []
    for question_id, before in old.rows.items():
        after = new.rows.get(question_id)
        if after is None or before.skipped or after.skipped:
            continue
        attributes = questions.parse(question_id)
        kind = kind_of(attributes, before, after)
        if kind:
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
    data_format = attributes.get("data_format") or attributes.get("image_data_format")
    mode = questions.mode_of(attributes)
    return judging.defined(attributes["shape"], attributes["dtype"], mode, data_format)


def kind_of(attributes: dict[str, Any], old: Row, new: Row) -> str:
    """The kind of difference between two answers to one question; empty if there is none."""
    if old.fatal or new.fatal:
        return "" if old.fatal == new.fatal else "crash" if new.fatal else "error"
    # A result too short of channels is wrong wherever it is asked for: alpha is never dropped silently.
    counts = in_domain(attributes) or "wrong" in (old.verdict, new.verdict) and not _other_rank(attributes)
    if old.error or new.error:
        if old.error == new.error:
            return "writes" if new.written and not old.written and in_domain(attributes) else ""
        if counts and "wrong" in (old.verdict, new.verdict):
            return "value"
        return "refusal" if counts and old.verdict == "right" else "error"
    if (old.digest, old.dtype, old.shape) != (new.digest, new.dtype, new.shape):
        if "wrong" in (old.verdict, new.verdict):
            return "value" if counts else "outside"
        if (old.verdict, new.verdict) != ("right", "right"):
            return "outside"
        return "dtype" if old.dtype != new.dtype else "rounding"
    if new.written and not old.written and in_domain(attributes):
        return "writes"
    return "aliasing" if (old.aliasing, old.written) != (new.aliasing, new.written) else ""


def _other_rank(attributes: dict[str, Any]) -> bool:
    return len(attributes["shape"]) not in (3, 4)


def _result(row: Row) -> str:
    return f"{row.dtype}, {questions.text(row.shape) or 'a number'}, {row.digest[:6]}"


def _state(row: Row) -> str:
    if row.fatal:
        return f"the process dies ({row.fatal})"
    if row.error:
        return f"raises {row.error}"
    if row.verdict == "right":
        return "right"
    return row.cause or "a result"


def _ownership(row: Row) -> str:
    written = "the input is written to" if row.written else "the input is left alone"
    back = {"same": "returned itself", "shared": "shares memory with the result"}.get(row.aliasing)
    return f"{written} and {back}" if back else written


# ---- grouping --------------------------------------------------------------------------------------------------------


def _grouped(changed: list[_Changed]) -> list[list[_Changed]]:
    groups: dict[Any, list[_Changed]] = {}
    for row in changed:
        # Bits and results that nothing defines have as many states as rows.
        states = ("", "") if row.kind in ("rounding",) else row.states
        if row.kind == "outside" and row.states[0].split(" (")[0] == row.states[1].split(" (")[0]:
            states = ("another result", "a result")
        groups.setdefault((row.kind, states, _facet(row.attributes)), []).append(row)
    return list(groups.values())


def _merged(groups: list[list[_Changed]]) -> list[list[_Changed]]:
    """Join rows that raised to those that were silently wrong for the same cause: another size of the same images."""
    silent = [rows for rows in groups if rows[0].kind == "value" and "along" in "".join(rows[0].states)]
    kept = []
    for rows in groups:
        host = None
        if rows[0].kind in ("error", "refusal"):
            for candidate in silent:
                if _same_images(rows, candidate):
                    host = candidate
        if host is None:
            kept.append(rows)
        else:
            host.extend(rows)
    return kept


def _same_images(rows: list[_Changed], candidate: list[_Changed]) -> bool:
    shared = 0 if candidate[0].new.verdict == "right" else 1
    if (rows[0].states[1 - shared], candidate[0].states[1 - shared]) != ("right", "right"):
        return False
    return {_image(row) for row in rows} <= {_image(row) for row in candidate}


def _image(row: _Changed) -> tuple[Any, ...]:
    attributes = row.attributes
    data_format = attributes.get("data_format") or attributes.get("image_data_format")
    return questions.mode_of(attributes), data_format, len(attributes["shape"])


def _facet(attributes: dict[str, Any]) -> str:
    """What is peculiar about a question, so that unlike rows are not thrown together."""
    mode, data_format, dtype = attributes.get("mode"), attributes.get("data_format"), attributes["dtype"]
    if "module" in attributes:
        return str(attributes["module"]) if attributes["module"] == "mobilenet_v2" else "application modules"
    if mode not in questions.KERAS_MODES:
        return "an unknown mode"
    if data_format not in (None, *questions.FORMATS):
        return "an unknown data_format"
    if "after" in attributes:
        return f"asked after {attributes['after']}"
    axis = judging.channel_axis(len(attributes["shape"]), data_format)
    if axis is None or attributes["shape"][axis] != 3:
        return "no 3 channels"
    if _other_rank(attributes):
        return f"rank {len(attributes['shape'])}"
    if attributes.get("floatx"):
        return "another floatx"
    if attributes.get("layout", "C") != "C":
        return {"list": "lists", "object": "objects", "text": "text"}.get(attributes["layout"], "other memory layouts")
    if attributes.get("signature") == "unknown":
        return "unknown rank"
    if dtype == "complex64":
        return "complex"
    if dtype in questions.INTEGERS:
        return "integers"
    return "floats" if dtype == "float32" else "other floats"


def _difference(rows: list[_Changed]) -> Difference:
    first = rows[0]
    old, new = first.states
    kind = first.kind
    if kind == "rounding":
        old = new = "right"
    elif kind == "outside" and old.split(" (")[0] == new.split(" (")[0]:
        old, new = "another result", old.split(" (")[0]
    joined = [row for row in rows if row.states != first.states]
    if kind == "value" and joined:
        raised = _listed(dict.fromkeys(joined[0].states[i] for i in (0, 1) if joined[0].states[i] != "right"))
        if new == "right":
            old = f"{raised}, or silently {old} where that is 3 long"
        else:
            new = f"{raised}, or silently {new} where that is 3 long"
    levels = [row.levels for changed in rows for row in (changed.old, changed.new) if row.verdict == "wrong" and row.levels]
    worst = max(levels, default=None) if kind in ("value", "outside") else None
    return Difference(kind, _subject(rows), old, new, tuple(row.id for row in rows), worst)


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
    """What the rows have in common: rank, format, where, mode, dtypes, and what is peculiar about them."""
    attributes = [row.attributes for row in rows]
    words = []
    ranks = sorted({len(a["shape"]) for a in attributes})
    if len(ranks) == 1:
        words.append(f"{ranks[0]}-D")
    formats = {a.get("data_format") or a.get("image_data_format") for a in attributes}
    if len(formats) == 1 and (only := formats.pop()) in questions.FORMATS:
        words.append(str(only))
    dtypes = list(dict.fromkeys(a["dtype"] for a in attributes))
    if len(dtypes) <= 3:
        words.append(_listed(dtypes))
    elif set(dtypes) <= set(questions.INTEGERS):
        words.append("integer")
    words.append(_listed(_PATHS.get(a, a) for a in dict.fromkeys(a["path"] for a in attributes)))
    modes = list(dict.fromkeys(str(a.get("mode")) for a in attributes if "module" not in a))
    modules = list(dict.fromkeys(str(a["module"]) for a in attributes if "module" in a))
    if modules:
        words.append(f"of {_listed(modules[:4]) + (' and others' if len(modules) > 4 else '')}")
    if modes and set(modes) < set(questions.KERAS_MODES):
        words.append(f"in {_listed(modes)} mode")
    elif modes and not set(modes) <= set(questions.KERAS_MODES):
        words.append(f"with mode {_listed(repr(mode) for mode in modes[:3]) + (' and others' if len(modes) > 3 else '')}")
    facet = _facet(attributes[0])
    if facet.startswith("asked after"):
        words.append(facet)
    elif facet == "no 3 channels":
        axes = {judging.channel_axis(len(a["shape"]), a.get("data_format")) for a in attributes}
        counts = {a["shape"][axis] for a in attributes for axis in axes if axis is not None and len(a["shape"]) > axis}
        words.append("with 1 or 4 channels" if len(ranks) > 1 or len(counts) != 1 else f"with {counts.pop()} channels")
    elif facet in ("an unknown data_format", "unknown rank", "another floatx"):
        words.append(f"with {facet}")
    elif facet in ("other memory layouts", "lists", "objects", "text"):
        words.append(f"from {_listed(dict.fromkeys(a.get('layout', 'C') for a in attributes))} input")
    text = " ".join(words)
    return text[0].upper() + text[1:]


def _listed(words: Iterable[str]) -> str:
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else ""
