"""The sentences of findings, and the names of their causes. Those of unusable results are in ``callables.PROBLEMS``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vggprep.checks.findings import Finding, Kind
from vggprep.implementations.callables import PROBLEMS, Raised
from vggprep.spec import Direction


class Words(NamedTuple):
    """The sentence of a kind, and the details that make two findings of it two causes."""

    sentence: str
    distinct: tuple[str, ...] = ()


WORDS: dict[Kind, Words] = {
    **{kind: Words(sentence, ("got", "why")) for kind, sentence in PROBLEMS.items()},
    "returned_swapped": Words(PROBLEMS["returned_swapped"]),
    "value": Words("{wrong} of {size} values wrong, {levels}"),
    "lost_pixels": Words("{wrong} of {size} pixels are not restored"),
    "shape": Words("returns shape {got} for an input of shape {shape}"),
    "dtype_exact": Words("returns {got} for {dtype}, where Keras's arrays give {expected}", ("got",)),
    "dtype_integer": Words("returns {got} for {dtype}, not a floating dtype", ("got",)),
    "dtype_narrow": Words("returns {got} for {dtype}, which is too narrow", ("got",)),
    "dtype_pixels": Words("returns {got}, which cannot hold 0..255", ("got",)),
    "refusal": Words(
        "refuses this input ({layout} layout, {regime}, shape {shape}) and accepts others of the same kind: {error}",
        ("error",),
    ),
    "claim": Words("refuses {what}: {error}", ("what", "error")),
    "integer_dtypes": Words("differs from float32 for the same values in {dtype}"),
    "layout": Words("{height} by {width} pixels: differs from {data_format}, rank {rank}, for the same image"),
    "batch_of_three": Words("3 images of 3 by 3 pixels: differs from channels_last for the same images"),
    "batch": Words("image {image} of a batch of {images} differs from the same image alone"),
    "permutation": Words("a pixel's result changes when the pixels are rearranged"),
    "channels": Words("changing {channel} changes outputs other than channel {own}"),
    "memory_layout": Words("{layout} layout gives other bits than a C-ordered copy of the same values", ("layout",)),
    "state": Words("the same input gives other bits after other calls"),
    "stale": Words("gives {what} the result of an earlier call", ("what",)),
    "falling": Words("the output falls from {before} to {after} although {channel} rises to {input}"),
    "rising": Words("the output rises from {before} to {after} as {channel} rises to {input}, in a falling mode"),
    "mutation": Words("overwrites the caller's array"),
    "other_write": Words("overwrites the caller's array with something other than the result it returns"),
    "late_write": Words("keeps the caller's array and writes to it in a later call"),
    "input_returned": Words("returns the caller's array itself"),
    "view_returned": Words("returns a view of the caller's array"),
    "overwritten_result": Words("a later call changes the result of an earlier one"),
    "thread_error": Words("raises when called from several threads: {error}", ("error",)),
    "thread_race": Words(
        "calls from several threads at once disturb each other: {wrong} of {calls} of one thread return other bits"
    ),
    "unknown_accepted": Words("accepts {keyword}={value!r} without an error", ("keyword",)),
    "alpha_dropped": Words("drops the fourth channel of an RGBA image without an error: shape {shape} becomes {got}"),
    "missing_output": Words("there is no output for this vector, though there are others of its kind ({name})"),
    "expired_entry": Words("expired ledger entry, {when}: {reason}", ("reason", "when")),
    "stale_entry": Words("stale ledger entry, nothing fails any more: {reason}", ("reason",)),
}

_WHEREVER = frozenset(
    {*PROBLEMS, "shape", "dtype_exact", "dtype_integer", "dtype_narrow", "dtype_pixels", "refusal", "claim"}
)
"""Kinds that are the same cause whichever check meets them."""

OF_VALUES: frozenset[str] = frozenset({"value", "lost_pixels"})
"""Kinds that are the same cause for all checks, in one mode."""

_OF_THE_PROCESS = frozenset({"process_ended", "hangs", "given_up"})
"""Kinds that are one cause: what is given up ended its process, or hung, before."""

_RELATIONS = frozenset(
    {"integer_dtypes", "layout", "batch_of_three", "batch", "permutation", "channels", "memory_layout", "state"}
)
"""Kinds of outputs that should agree; how far apart they are follows the sentence."""

FOLLOWS: frozenset[str] = frozenset({*_RELATIONS, "falling", "rising"})
"""Kinds that are no cause of their own where values are wrong, in one of the cells that are compared."""


def sentence(finding: Finding) -> str:
    """What is wrong, in one line."""
    found = " (found by Hypothesis)" if finding.explored else ""
    return directed(finding.direction, predicate(finding)) + found


def predicate(finding: Finding) -> str:
    """What is wrong, without a word about the direction; completes "it ..."."""
    about = dict(finding.about)
    deviation = finding.deviation
    if finding.case is not None:
        about = {"layout": finding.case.layout, "regime": finding.case.regime, **about}
    if deviation is not None:
        about |= {"wrong": deviation.wrong, "size": np.size(deviation.got), "levels": up_to(deviation.levels)}
    text = WORDS[finding.kind].sentence.format_map(about)
    if finding.kind in _RELATIONS:
        text += ": {wrong} of {size} values, by {levels}".format_map(about) if deviation else " (in rounding only)"
    return text


def directed(direction: Direction, text: str) -> str:
    """A sentence about a function, marked where that is the inverse."""
    return f"inverse: {text}" if direction == "inverse" else text


def cause_of(finding: Finding, check: str, fault: str) -> str:
    """A name that findings with the same cause share. ``fault``: the fault that explains it, or ``""``."""
    if fault:
        return f"{finding.direction}/fault/{fault}"
    if finding.kind in _OF_THE_PROCESS:
        return f"{finding.direction}/process"
    parts: list[str] = [finding.direction, finding.kind]
    if finding.kind in OF_VALUES:
        parts.append(finding.cell.mode)
    elif finding.kind not in _WHEREVER:
        parts.append(check)
    for name in WORDS[finding.kind].distinct:
        detail = finding.about.get(name, "")
        parts.append(detail.type if isinstance(detail, Raised) else str(detail))
    return "/".join(parts)


def up_to(levels: float) -> str:
    """The largest of several errors in grey levels."""
    return f"{'up to ' if np.isfinite(levels) else ''}{grey_levels(levels)}"


def grey_levels(levels: float) -> str:
    """An error in grey levels, readable."""
    if not np.isfinite(levels):
        return "beyond any number of grey levels"
    number = f"{levels:.3g}" if levels < 1000 else f"{levels:.3e}"
    return f"{number} grey level{'' if number == '1' else 's'}"
