"""Calling a Python function under test, whatever it does: the one place where foreign code runs.

Nothing that the function does gets out of here: exceptions, prints and warnings are caught, the result is
copied before anything can overwrite it, and the input is compared with what it was. Imports NumPy only, and files.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, BrokenBarrierError
from types import FunctionType, MappingProxyType
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from vggprep.files import printable
from vggprep.kernels.job import share_memory

Array = npt.NDArray[Any]


class Raised(NamedTuple):
    """An exception: the name of its type, and the first line of its message."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type


ProblemKind = Literal[
    "returned_none", "returned_type", "returned_dtype", "returned_scalar", "returned_huge", "returned_masked",
    "returned_swapped", "unreadable", "no_answer", "process_ended", "hangs", "given_up",
]  # fmt: skip

PROBLEMS: Mapping[ProblemKind, str] = {
    "returned_none": "returns None, not an array",
    "returned_type": "returns a {got}, not a NumPy array",
    "returned_dtype": "returns an array of dtype {got}, not of real numbers",
    "returned_scalar": "returns a 0-d array",
    "returned_huge": "returns an array of shape {got}, far larger than its input",
    "returned_masked": "returns a masked array that hides {hidden} of its {size} values",
    "returned_swapped": "returns {got} in foreign byte order for a native array",
    "unreadable": "returns something that cannot be read: {error}",
    "no_answer": "{why}",
    "process_ended": "ends the process, with {why}",
    "hangs": "does not return within {why}",
    "given_up": "is not called any more: {why}",
}


class Problem(NamedTuple):
    """Why a returned object cannot be judged, with what its sentence in ``PROBLEMS`` needs."""

    kind: ProblemKind
    about: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return PROBLEMS[self.kind].format_map(self.about)


class Outcome(NamedTuple):
    """What one call did.

    ``output`` is a native, C-contiguous copy of the array that came back. Without one, ``refusal`` is the exception
    raised, or ``problem`` says why the returned object cannot be judged. ``returned`` is the object itself, and
    ``input_after`` the array that was passed in; of a call in another process, ``key`` is what both are known by there,
    and ``input_after`` a copy. ``form`` is a remark on the returned object, where that is no array.
    """

    output: Array | None
    refusal: Raised | None = None
    problem: Problem | None = None
    remarks: frozenset[str] = frozenset()
    changed_input: bool = False
    shares_input: bool = False
    returns_input: bool = False
    returned: Any = None
    input_after: Array | None = None
    key: int = 0
    form: str = ""


@dataclass(frozen=True)
class NoArray:
    """What programs and model files return when there is no array to judge; ``why`` completes "it ..."."""

    why: str


@dataclass(frozen=True)
class Parameters:
    """Which of the two keywords a function takes, and what else its signature says.

    ``defaults`` holds those of them that are a string or ``None``. ``mode_first``: by position, the mode comes before
    the data format. ``required``: parameters besides the image and the two keywords that have no default. ``layouts``:
    parameters whose names are other words for the data format.
    """

    mode: bool
    data_format: bool
    defaults: tuple[tuple[str, str | None], ...] = ()
    mode_first: bool = False
    required: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()

    @property
    def mode_default(self) -> str | None:
        """The word that is the default of ``mode``."""
        return dict(self.defaults).get("mode")


_LAYOUTS = (
    "channels_first", "channels_last", "channel_first", "channel_last", "layout", "data_layout", "input_layout",
    "image_data_format", "input_data_format", "dim_ordering", "image_format",
)  # fmt: skip


def parameters(function: Callable[..., Any]) -> Parameters:
    """Read the signature. ``**kwargs`` counts for neither keyword; an unreadable signature takes none."""
    if (remote := _remote(function)) is not None:
        return remote.parameters
    try:
        return _remembered_parameters(function)
    except Exception:  # unhashable, as callable dataclasses are, or worse
        return _parameters(function)


def _parameters(function: Callable[..., Any]) -> Parameters:
    try:
        found = inspect.signature(function).parameters
    except Exception:  # signatures can be made to raise anything
        return Parameters(False, False)
    by_name = {name: p for name, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    asked = [(name, p.default) for name, p in by_name.items() if name in ("mode", "data_format")]
    defaults = tuple((name, default) for name, default in asked if default is None or type(default) is str)
    by_position = [name for name, _ in asked if by_name[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    image = next((name for name, p in found.items() if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)), None)
    others = [name for name in by_name if name not in ("mode", "data_format", image)]
    return Parameters(
        "mode" in by_name,
        "data_format" in by_name,
        defaults,
        by_position == ["mode", "data_format"],
        tuple(name for name in others if by_name[name].default is inspect.Parameter.empty),
        tuple(name for name in others if name in _LAYOUTS),
    )


_remembered_parameters = functools.lru_cache(maxsize=256)(_parameters)


def keywords(function: Callable[..., Any], mode: Any, data_format: Any) -> dict[str, Any]:
    """The keyword arguments to pass, as the signature names them."""
    takes = parameters(function)
    return ({"mode": mode} if takes.mode else {}) | ({"data_format": data_format} if takes.data_format else {})


class Remote(Protocol):
    """A function in another process, which answers as the functions of this module do in this one.

    Its class has ``IS_REMOTE = True``; anything else is called here.
    """

    IS_REMOTE: ClassVar[Literal[True]]
    parameters: Parameters

    def call(self, array: Array, mode: Any, data_format: Any, *, keep: bool) -> Outcome:
        """As ``call``."""

    def now(self, outcome: Outcome) -> tuple[Array, Array | None]:
        """As ``now``."""

    def call_again(self, outcome: Outcome, values: Array, mode: Any, data_format: Any) -> Outcome:
        """As ``call_again``."""

    def call_together(self, calls: Sequence[Call], rounds: int) -> list[Together]:
        """As ``call_together``."""


class _Printed(io.TextIOWrapper):
    """What is printed, in memory; in a file as well, once somebody asks for the number of a file."""

    def __init__(self) -> None:
        self.memory = io.BytesIO()
        self.file: BinaryIO | None = None
        super().__init__(self.memory, encoding="utf-8", errors="replace", write_through=True)

    def fileno(self) -> int:
        if self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115
        return self.file.fileno()

    def close(self) -> None:
        """Does nothing: the function does not own it."""

    def text(self) -> str:
        """Everything that was printed."""
        if self.file is None and not self.memory.tell():
            return ""
        raw = self.memory.getvalue()
        if self.file is not None:
            self.file.seek(0)
            raw += self.file.read()
        return raw.decode("utf-8", "replace").strip()

    def discard(self) -> None:
        """Give the file back; where nothing was printed, serve again."""
        if self.file is not None:
            self.file.close()
        with contextlib.suppress(ValueError):  # detached, or closed underneath
            if not self.closed and self.file is None and not self.memory.tell() and self.encoding == "utf-8":
                _UNUSED.append(self)


_UNUSED: list[_Printed] = []
"""Streams that nothing was printed on: to make one takes as long as a small call."""


class captured_output:  # noqa: N801
    """Catch prints and warnings of every thread; ``fileno`` works. NumPy's error state is its default.

    File descriptors are left alone: what is written to those is not caught.
    """

    def __enter__(self) -> tuple[_Printed, list[warnings.WarningMessage]]:
        self._printed = _UNUSED.pop() if _UNUSED else _Printed()
        self._warnings = warnings.catch_warnings(record=True, action="always")
        self._errors = np.errstate(all="warn", under="ignore")
        self._streams = sys.stdout, sys.stderr
        caught = self._warnings.__enter__()
        self._errors.__enter__()
        sys.stdout = sys.stderr = self._printed
        return self._printed, caught

    def __exit__(self, *about: Any) -> None:
        sys.stdout, sys.stderr = self._streams
        self._errors.__exit__(*about)
        self._warnings.__exit__(*about)
        self._printed.discard()


def raised(error: BaseException) -> Raised:
    """An exception as data, even where its message cannot be read."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = ["(its message cannot be read)"]
    return Raised(type(error).__name__, printable(lines[0][:200]) if lines else "")


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return str(raised(error))


class Call(NamedTuple):
    """What to pass to a function."""

    array: Array
    mode: Any
    data_format: Any


def call(function: Callable[..., Any], array: Array, mode: Any, data_format: Any, *, keep: bool = False) -> Outcome:
    """Call ``function`` on ``array``, which is its own: it may be written to.

    ``keep``: ``now`` and ``call_again`` are going to be asked about the outcome; the last 64 of these are kept.
    """
    if (remote := _remote(function)) is not None:
        return remote.call(array, mode, data_format, keep=keep)
    before, form = array.tobytes(), _form(array)
    shape, dtype = array.shape, array.dtype
    returned: Any = None
    refusal: Raised | None = None
    remarks = _NO_REMARKS
    folder = _current_folder()
    with captured_output() as (printed, caught):
        try:
            returned = function(array, **keywords(function, mode, data_format))
        except BaseException as error:  # a function under test may raise anything, SystemExit included
            if type(error) is KeyboardInterrupt and not INTERRUPTS_ARE_ITS_OWN:
                raise
            refusal = raised(error)
        with contextlib.suppress(Exception):  # whatever was printed must not stop the suite
            remarks = _remarks(printed.text(), caught)
    if folder is not None and _current_folder() != folder:
        os.chdir(folder)
    if refusal is not None:
        changed = _form(array) != form or array.tobytes() != before
        return Outcome(None, refusal=refusal, remarks=remarks, changed_input=changed, input_after=array)
    output, problem, shares, after, remark = None, None, False, array, ""
    try:
        changed = array.tobytes() != before
        if _form(array) != form:
            changed = True
            after = np.frombuffer(before, dtype).reshape(shape)
        found, remark = as_array(returned)
        problem = _problem(found, len(before), dtype.isnative)
        if problem is None:
            output = _plain(found)
            shares = share_memory(np.ndarray.view(found, np.ndarray), array)
            remarks |= {remark} if remark else set()
    except Exception as error:
        changed, problem = True, Problem("unreadable", {"error": describe(error)})
    same = returned is array
    return Outcome(output, None, problem, remarks, changed, shares, same, returned, after, form=remark)


INTERRUPTS_ARE_ITS_OWN = False
"""Set in processes that no one interrupts: a ``KeyboardInterrupt`` there is something that the function raised."""


def _remote(function: Callable[..., Any]) -> Remote | None:
    kind = type(function)
    if kind is FunctionType or getattr(kind, "IS_REMOTE", False) is not True:
        return None
    return cast(Remote, function)


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _plain(returned: Array) -> Array:
    plain = np.ndarray.view(returned, np.ndarray)
    if not plain.dtype.isnative:
        return np.array(plain, dtype=plain.dtype.newbyteorder("="), order="C")
    # longdouble holds bytes that mean nothing; float64 is what is looked at.
    return np.array(plain, dtype=np.float64 if plain.dtype.char == "g" else None, order="C")


def now(function: Callable[..., Any], outcome: Outcome) -> tuple[Array, Array | None]:
    """The array that was passed in and the one that was returned, as they are now: copies."""
    if (remote := _remote(function)) is not None:
        return remote.now(outcome)
    assert outcome.input_after is not None
    return outcome.input_after.copy(), None if outcome.output is None else _plain(as_array(outcome.returned)[0])


def call_again(function: Callable[..., Any], outcome: Outcome, values: Array, mode: Any, data_format: Any) -> Outcome:
    """Fill the very array of an earlier call with other values, and call the function on it."""
    if (remote := _remote(function)) is not None:
        return remote.call_again(outcome, values, mode, data_format)
    assert outcome.input_after is not None
    outcome.input_after[...] = values
    return call(function, outcome.input_after, mode, data_format, keep=True)


Together = Raised | list[Array | None] | None
"""What one of several threads got: its results, ``None`` for what is no array; or what it raised. ``None``: another
one raised first."""

_SWITCH_INTERVAL = 1e-5  # seconds: a race that a few bytecodes make is otherwise met once in twenty runs


def call_together(
    function: Callable[..., Any], calls: Sequence[Call], rounds: int, gives_way: bool = True
) -> list[Together]:
    """Call the function from as many threads at once as there are calls, ``rounds`` times each.

    ``gives_way``: under a profile that lets threads meet anywhere. Keras is called without: an interpreter crashed.
    """
    if (remote := _remote(function)) is not None:
        return remote.call_together(calls, rounds)
    start = Barrier(len(calls))
    gives_way = gives_way and getattr(function, "__module__", "") != "vggprep.implementations.keras"

    def work(mine: Call) -> Together:
        results = []
        words = keywords(function, mine.mode, mine.data_format)
        try:
            start.wait()  # once: threads that then run freely meet each other anywhere
            for turn in range(rounds):
                array = mine.array.copy()
                sys.setprofile(_giving_way() if turn == 0 and gives_way else None)
                results.append(function(array, **words))
            arrays = [as_array(result)[0] for result in results]
        except BrokenBarrierError:
            return None
        except BaseException as error:
            start.abort()  # or the others would wait for this one for ever
            return raised(error)
        finally:
            sys.setprofile(None)
        return [_plain(a) if isinstance(a, np.ndarray) else None for a in arrays]

    interval = sys.getswitchinterval()
    with captured_output(), ThreadPoolExecutor(len(calls)) as pool:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        try:
            return list(pool.map(work, calls))
        finally:
            sys.setswitchinterval(interval)


_EVENTS = 100  # so many calls at most give way: a loop over pixels would take for ever
_PAUSE = 1e-6  # seconds: any pause lets another thread run, on a busy machine, too


def _giving_way() -> Callable[[Any, str, Any], None]:
    """A profile function that lets other threads run before each of the first calls that a function makes.

    So threads meet between any two steps of it, however short the moment and whatever else the machine is doing.
    """
    left = iter(range(_EVENTS))

    def event(frame: Any, what: str, about: Any) -> None:
        # It is not taken off from within, which interpreters may not stand.
        if what in ("call", "c_call") and next(left, None) is not None:
            time.sleep(_PAUSE)

    return event


def as_array(returned: Any) -> tuple[Any, str]:
    """The array that a function returned in another form, and a remark on the form; anything else as it is.

    Tensors of TensorFlow, torch and JAX, PIL images, mappings (``pixel_values``, or their one array), tuples with one
    array, and lists. A tensor shares the array's memory where its framework can. No framework is imported.
    """
    if isinstance(returned, np.ndarray) or returned is None:
        return returned, ""
    kind = type(returned)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    if (tensor := _of_tensor(returned)) is not None:
        return tensor, f"returns a {name}: converted to an array"
    if isinstance(returned, Mapping):
        arrays = {key: array for key, value in returned.items() if isinstance(array := as_array(value)[0], np.ndarray)}
        keys = ["pixel_values"] if "pixel_values" in arrays else list(arrays)
        if len(keys) == 1:
            return arrays[keys[0]], f"returns a {name}: its {keys[0]!r} is judged"
    elif isinstance(returned, tuple):
        inside = [array for value in returned if isinstance(array := as_array(value)[0], np.ndarray)]
        if len(inside) == 1:
            return inside[0], f"returns a {name} of {len(returned)}: the one array in it is judged"
    elif isinstance(returned, list) and returned:
        plain = isinstance(_first_leaf(returned), int | float | np.generic | np.ndarray)
        # Raises for arrays of several shapes.
        stacked = np.asarray(returned if plain else [as_array(value)[0] for value in returned])
        return stacked, "returns a list, not an array: judged as np.asarray makes one of it"
    return returned, ""


def _first_leaf(returned: Any) -> Any:
    while isinstance(returned, list | tuple) and returned:
        returned = returned[0]
    return returned


def _of_tensor(returned: Any) -> Array | None:
    """A tensor or a PIL image as an array; ``None`` for anything else. A subclass is known by its bases."""
    roots = {base.__module__.partition(".")[0] for base in type(returned).__mro__}
    if "torch" in roots and hasattr(returned, "detach"):
        tensor = returned.detach().cpu()
        if str(tensor.dtype) != "torch.bfloat16":
            found: Array = tensor.numpy()
            return found
        return _bfloat16(tensor.contiguous().view(sys.modules["torch"].int16).numpy())
    if "tensorflow" in roots and hasattr(returned, "numpy"):
        return np.asarray(returned.numpy())
    if roots & {"jax", "jaxlib", "PIL"} and hasattr(returned, "shape" if "PIL" not in roots else "getbands"):
        return np.asarray(returned)
    return None


def _bfloat16(bits: Array) -> Array:
    """The numbers of bfloat16 bits, in that dtype if NumPy has it here, else in float32."""
    try:
        import ml_dtypes
    except ImportError:
        return (bits.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return bits.view(ml_dtypes.bfloat16)


def _form(array: Array) -> tuple[Any, ...]:
    """Everything about an array but its values."""
    return array.shape, array.strides, array.dtype, array.flags.writeable


_NO_REMARKS: frozenset[str] = frozenset()


def _remarks(text: str, caught: list[warnings.WarningMessage]) -> frozenset[str]:
    if not text and not caught:
        return _NO_REMARKS
    remarks = set()
    if text:
        remarks.add(f"prints: {text.splitlines()[0][:100]!r}")
    for warning in caught:
        first = str(warning.message).strip().split("\n")[0][:160]
        remarks.add(f"warns: {warning.category.__name__}: {printable(first)}")
    return frozenset(remarks)


def _problem(returned: Any, size: int, native: bool) -> Problem | None:
    """Why the object returned for an input of ``size`` bytes, ``native`` or not, cannot be judged, if so."""
    if returned is None:
        return Problem("returned_none")
    if isinstance(returned, NoArray):
        return Problem("no_answer", {"why": returned.why})
    if not isinstance(returned, np.ndarray):
        if inspect.iscoroutine(returned):
            returned.close()
        kind = type(returned)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return Problem("returned_type", {"got": name})
    if returned.dtype.kind not in "biuf" and returned.dtype.name != "bfloat16":
        return Problem("returned_dtype", {"got": str(returned.dtype)})
    if returned.ndim == 0:
        return Problem("returned_scalar")
    if returned.size * returned.itemsize > 1024 * (size + 1024):
        return Problem("returned_huge", {"got": returned.shape})
    if isinstance(returned, np.ma.MaskedArray) and (hidden := int(np.ma.getmaskarray(returned).sum())):
        return Problem("returned_masked", {"hidden": hidden, "size": returned.size})
    if native and not returned.dtype.isnative:
        return Problem("returned_swapped", {"got": returned.dtype.name})
    return None
