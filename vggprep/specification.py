"""The specification's clauses as data. ``docs/specification.md`` shows them, with definitions, bounds and proofs.

A clause is one or two sentences that can be tested. A check names the clauses that it tests, a fault those that it
breaks, and a failure prints those that the finding shows to be broken. Imports the spec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vggprep.spec import DIRECTIONS, LEVELS, MODES, Direction, Level, ModeName

VERSION = "1.0"
"""The version of the specification: see "How the specification changes" there."""

OTHER = "other"
"""What stands for all modes that are not Keras's in ``Clause.modes``."""

PIXELS, BITS = "pixels", "bits"
"""Kinds of wrong values: in integers of an inverse; wrong at level exact alone. Other findings have kinds of theirs."""


@dataclass(frozen=True)
class Clause:
    """One clause.

    ``reason`` says why it is as it is, where that is not plain. ``findings``: the kinds of findings that show it to be
    broken, in these directions, modes and at these levels. ``everywhere``: whichever check meets them; else only those
    that name the clause. ``certificates``: names in ``docs/certificates`` that rest on enumeration. ``theorems``:
    headings of the document.
    """

    id: str
    sentence: str
    findings: tuple[str, ...]
    reason: str = ""
    directions: tuple[Direction, ...] = DIRECTIONS
    modes: tuple[ModeName, ...] = (*MODES, OTHER)
    levels: tuple[Level, ...] = LEVELS
    everywhere: bool = False
    certificates: tuple[str, ...] = ()
    theorems: tuple[str, ...] = ()

    def concerns(self, direction: Direction, mode: ModeName) -> bool:
        """Whether it is about a function in that mode."""
        return direction in self.directions and (mode if mode in MODES else OTHER) in self.modes


_BITS = ("reference", "reference-float32", "vggprep-numpy", "vggprep-numba", "keras-ndarray", "keras-ndarray-float32")
_UNUSABLE = (
    "returned_none", "returned_type", "returned_dtype", "returned_scalar", "returned_huge", "returned_masked",
    "returned_swapped", "unreadable", "no_answer", "process_ended", "hangs", "given_up",
)  # fmt: skip
_BACK = ("reference", "reference-float32", "vggprep-numpy", "vggprep-numba")
_NEAR = ("keras-tensor-float32", "keras-graph-float32", "keras-xla-float32")

ROUNDING, INTERCHANGE, SEPARATION = "Theorem 1: rounding", "Theorem 2: interchange", "Theorem 3: separation"


def _defined(mode: ModeName, forward: str, inverse: str) -> tuple[Clause, Clause]:
    """The two clauses that define a mode."""
    name = f"VP-{mode.upper()}"
    there = Clause(
        f"{name}-1", forward, ("value",), directions=("forward",), modes=(mode,), everywhere=True, certificates=_BITS
    )
    back = Clause(
        f"{name}-2", inverse, ("value",), directions=("inverse",), modes=(mode,), everywhere=True, certificates=_BACK
    )
    return there, back


CLAUSES: tuple[Clause, ...] = (
    *_defined(
        "caffe",
        "Forward, mode caffe puts the channels in the order blue, green, red and subtracts 103.939 from blue, 116.779 "
        "from green and 123.68 from red.",
        "Back, mode caffe adds 103.939, 116.779 and 123.68 to the first, second and third channel and puts the "
        "channels in the order third, second, first.",
    ),
    *_defined(
        "tf",
        "Forward, mode tf divides each value by 127.5, then subtracts 1; the channels stay in the order red, green, "
        "blue.",
        "Back, mode tf adds 1 to each value, then multiplies by 127.5; the channels stay in their order.",
    ),
    *_defined(
        "torch",
        "Forward, mode torch divides each value by 255, then subtracts 0.485 from red, 0.456 from green and 0.406 from "
        "blue, then divides red by 0.229, green by 0.224 and blue by 0.225; the channels stay in that order.",
        "Back, mode torch multiplies the three channels by 0.229, 0.224 and 0.225, then adds 0.485, 0.456 and 0.406, "
        "then multiplies each by 255; the channels stay in their order.",
    ),
    *_defined(
        "identity",
        "Forward, mode identity gives each value as it is, in the input's dtype or one that holds it.",
        "Back, mode identity gives each value as it is.",
    ),
    Clause(
        "VP-MODE-1",
        "Any other mode is an order of channels and a list of steps: forward, the channels are put in that order, then "
        "each step divides, multiplies, subtracts or adds the constant of the channel; back, the opposite of each step "
        "is done, the last first, then the channels are put back.",
        ("value",),
        modes=(OTHER,),
        everywhere=True,
    ),
    Clause(
        "VP-EXACT-1",
        "At level exact a result has the bits of the steps in their order, with the input, each constant and the "
        "result of each step rounded to the compute dtype, to nearest and ties to even; a NaN may be any NaN, a zero "
        "has its sign, and integers of an inverse are those of VP-PIXEL-1 made of these values.",
        ("value", PIXELS, BITS),
        "These are the bits that Keras makes of arrays.",
        levels=("exact",),
        everywhere=True,
        certificates=_BITS,
    ),
    Clause(
        "VP-FAITHFUL-1",
        "At level faithful a floating result is off by at most the bound, 8·u·S in modes of up to three steps, where "
        "input and value are at most 2^100 (2^14 with float16); beyond, NaN stays NaN, nothing else becomes NaN, and "
        "infinities and overflows have the right sign.",
        ("value",),
        "It is what seven roundings can add up to, wherever and in whatever order they happen.",
        levels=("faithful",),
        everywhere=True,
        certificates=_NEAR,
        theorems=(ROUNDING, SEPARATION),
    ),
    Clause(
        "VP-PIXEL-1",
        "An inverse that returns integers limits the value to 0..255, infinities included, and rounds it to the "
        "nearest whole number, half to even; at level faithful it may be off as much as the bound before that.",
        (PIXELS,),
        "Cut-off fractions lose a grey level, and a cast without a limit turns white to black.",
        directions=("inverse",),
        everywhere=True,
        certificates=_BACK,
        theorems=(ROUNDING,),
    ),
    Clause(
        "VP-PIXEL-2",
        "Such an inverse gives each of the 256 bytes back from the value that the definition makes of it in float16, "
        "float32 and float64, as far as the definition itself keeps the bytes apart there.",
        ("lost_pixels",),
        "In float16 the bound alone would allow another byte.",
        directions=("inverse",),
        certificates=_BACK,
        theorems=(INTERCHANGE,),
    ),
    Clause(
        "VP-NAN-1",
        "An image that holds NaN or infinities gets the values of the definition, too: these stay in their pixel and "
        "channel, and nothing else changes.",
        ("value",),
        "A broken pixel must not pass for a good one, nor spread.",
        certificates=_BITS,
    ),
    Clause(
        "VP-INTEGER-1",
        "Equal values in any integer dtype or bool, and in float32, give results that agree.",
        ("integer_dtypes",),
        "A dtype says how numbers are stored, not what they mean.",
        directions=("forward",),
    ),
    Clause(
        "VP-MONOTONE-1",
        "As a value rises its result does not fall, or does not rise where a mode's scale is negative; results that "
        "agree count as equal.",
        ("falling", "rising"),
    ),
    Clause(
        "VP-FORMAT-1",
        "With channels_first the result agrees with the transposed result for the same image in channels_last, "
        "whatever the lengths of the axes; that of a single image agrees with that of a batch of one.",
        ("layout", "batch_of_three"),
        "An axis of length 3 need not be the channels.",
        certificates=("reference", "reference-float32"),
    ),
    Clause("VP-IMAGE-1", "The result for each image of a batch agrees with the one that it gets alone.", ("batch",)),
    Clause(
        "VP-IMAGE-2",
        "Where pixels change places their results do, and agree: none depends on its place or on other pixels.",
        ("permutation",),
    ),
    Clause(
        "VP-IMAGE-3",
        "Where the values of one channel change, the results of the other channels agree with those before.",
        ("channels",),
    ),
    Clause(
        "VP-SIZE-1",
        "An image or batch of any size, with no pixel, with one or with many, gets the values of the definition.",
        ("value", PIXELS),
        "Vectors, blocks and counters end somewhere.",
    ),
    Clause(
        "VP-RESULT-1",
        "A call returns, and what it returns is an array of real numbers in native byte order, of which none is "
        "hidden.",
        _UNUSABLE,
        everywhere=True,
    ),
    Clause("VP-RESULT-2", "The result has the input's shape.", ("shape",), everywhere=True),
    Clause(
        "VP-DTYPE-1",
        "Forward, at level exact, the result has the compute dtype (in mode identity the input's).",
        ("dtype_exact",),
        directions=("forward",),
        levels=("exact",),
        everywhere=True,
        certificates=_BITS,
    ),
    Clause(
        "VP-DTYPE-2",
        "A floating result is no narrower than float32, or than the input's dtype if that is narrower; only an "
        "inverse may return integers, and a mode without steps the integer dtype of its input.",
        ("dtype_integer", "dtype_narrow"),
        everywhere=True,
    ),
    Clause(
        "VP-DTYPE-3",
        "An inverse that returns integers returns a dtype that holds 0 to 255.",
        ("dtype_pixels",),
        directions=("inverse",),
        everywhere=True,
    ),
    Clause(
        "VP-INPUT-1",
        "A call leaves the caller's array as it was, unless it is of a floating dtype and writing to such input is "
        "declared.",
        ("mutation",),
        "Who preprocesses again what was overwritten gets plausible nonsense.",
    ),
    Clause("VP-INPUT-2", "No later call writes to the array of an earlier one.", ("late_write",)),
    Clause(
        "VP-INPUT-3",
        "Where writing to floating input is declared, what the caller's array holds after a call is what it held "
        "before, or it is the result, its channels perhaps in another order.",
        ("other_write",),
        "Keras does that: its result is the array, or a view of it.",
    ),
    Clause(
        "VP-OUTPUT-1",
        "The result shares no memory with the caller's array, unless writing to the input is declared or a function of "
        "mode identity alone passes the array on.",
        ("input_returned", "view_returned"),
    ),
    Clause("VP-OUTPUT-2", "No later call changes an earlier result.", ("overwritten_result",)),
    Clause(
        "VP-MEMORY-1",
        "The strides, the alignment, the writability and the order in memory of the input change no bit of the result.",
        ("memory_layout",),
    ),
    Clause(
        "VP-MEMORY-2",
        "Input in foreign byte order is refused, or gives the bits that native input gives.",
        ("memory_layout",),
    ),
    Clause("VP-STATE-1", "The same input gives the same bits, whatever was called before.", ("state",)),
    Clause(
        "VP-STATE-2",
        "The result is that of the values that are in the array when it is passed, whatever it held before, and "
        "whatever an earlier image has in common with it.",
        ("stale",),
        "Cameras fill one array again and again.",
    ),
    Clause(
        "VP-THREAD-1",
        "Calls from several threads at once, in any modes and data formats, give the bits of calls one after the "
        "other, and raise no error.",
        ("thread_error", "thread_race"),
    ),
    Clause(
        "VP-ERROR-1",
        "A function that takes a mode or a data format raises an error for an unknown one, unless it does nothing in "
        "any.",
        ("unknown_accepted",),
        "A misspelt mode is silently another one.",
    ),
    Clause(
        "VP-ERROR-2",
        "An image with four channels is an error, or none of its values is dropped.",
        ("alpha_dropped",),
        "Without its alpha channel an image shows colours that were hidden.",
    ),
    Clause(
        "VP-REFUSE-1",
        "A mode, a data format, a dtype or a rank that is not claimed may be refused, by an error. What is accepted in "
        "one is accepted whatever its values, size and place in memory, and what is claimed is not refused.",
        ("refusal", "claim", "missing_output"),
        "A refusal is honest, but one that depends on the picture comes too late.",
        everywhere=True,
    ),
)
"""Every clause, in the order of the document."""

BY_ID: Mapping[str, Clause] = MappingProxyType({clause.id: clause for clause in CLAUSES})

FORWARD = ("VP-CAFFE-1", "VP-TF-1", "VP-TORCH-1", "VP-IDENTITY-1", "VP-MODE-1", "VP-EXACT-1", "VP-FAITHFUL-1")
INVERSE = ("VP-CAFFE-2", "VP-TF-2", "VP-TORCH-2", "VP-IDENTITY-2", "VP-MODE-1", "VP-EXACT-1", "VP-FAITHFUL-1")
"""What values are, in the two directions: for checks that judge them."""


def broken(named: tuple[str, ...], finding: str, direction: Direction, mode: ModeName, level: Level) -> tuple[str, ...]:
    """The clauses that a finding shows to be broken: among those that its check has ``named``, else everywhere."""
    fitting = [
        clause
        for clause in CLAUSES
        if finding in clause.findings and level in clause.levels and clause.concerns(direction, mode)
    ]
    own = tuple(clause.id for clause in fitting if clause.id in named)
    return own or tuple(clause.id for clause in fitting if clause.everywhere)
