"""Observing what an installed Keras does, row by row, and keeping it. Keras runs in a process of its own.

``observe`` drives ``probe.py`` in this or any other interpreter and judges what comes back; ``write`` and ``read`` keep
observations as JSON Lines: a header, a line for each row, a footer that tells a whole file from a truncated one.
"""

from __future__ import annotations

import base64
import json
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.files import cache_folder, json_line, replacing
from vggprep.releases import questions
from vggprep.releases.questions import Question
from vggprep.releases.recognised import digest, recognised
from vggprep.releases.verdicts import CauseKind, judge
from vggprep.spec import DATA_FORMATS, FLOATS

Array = npt.NDArray[Any]
Answer = Mapping[str, Any]
Progress = Callable[[int, int], None]

FORMAT = "vggprep observation"
FORMAT_VERSION = 1
_PROBE = Path(__file__).with_name("probe.py")


class ObservationError(VggprepError):
    """An observation that cannot be made or read; the message is one line: what is wrong and what to do."""


class MachineError(ObservationError):
    """What would keep any other release from being observed, too: no network, a full disk, no uv."""


@dataclass(frozen=True)
class Row:
    """What came back for one question: a result (``dtype`` and so on), an ``error``, ``skipped`` or ``fatal``.

    ``verdict``, ``levels``, ``cause`` and ``cause_kind`` are those of a ``Judgement``; where no mode is meant,
    ``cause`` is what came out; where a call raised and wrote to its input, what was left of it; where a layer says that
    another shape comes out, which. ``aliasing`` is
    ``same`` if the input itself came back, ``shared`` if the result shares its memory. ``type`` is ``array``,
    ``tensor`` or ``other``, or ``setting`` if Keras refused the setting, so that ``preprocess_input`` was not called.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()
    digest: str = ""
    type: str = ""
    verdict: str = ""
    levels: float | None = None
    cause: str = ""
    cause_kind: CauseKind = ""
    aliasing: str = ""
    written: bool = False
    error: str = ""
    message: str = ""
    warnings: tuple[str, ...] = ()
    skipped: str = ""
    fatal: str = ""

    def to_json(self) -> dict[str, Any]:
        """Only what is not the default; an infinity is ``"inf"``, as JSON has none."""
        said = {key: value for key, value in asdict(self).items() if value != _DEFAULTS[key]}
        return said | {"levels": "inf"} if self.levels == math.inf else said

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Row:
        """A row as written; keys that a later version added are left out."""
        known: dict[str, Any] = {key: value for key, value in said.items() if key in _DEFAULTS}
        for key in ("shape", "warnings"):
            known[key] = tuple(known.get(key, ()))
        if known.get("levels") == "inf":
            known["levels"] = math.inf
        if "cause" in known:
            known.setdefault("cause_kind", _kind_of_old(known["cause"]))
        for key, value in known.items():
            if not isinstance(value, (int, float, type(None)) if key == "levels" else type(_DEFAULTS[key])):
                raise TypeError(f"{key} is {value!r}")
        return cls(**known)


_NOTHING = Row()
_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(Row)}


def _kind_of_old(cause: str) -> CauseKind:
    """The kind of a cause in a file of vggprep 0.1, which has only the words; they are these for good."""
    if " along the " in cause:
        return "axis"
    return "precision" if "only as precise as " in cause else ""


@dataclass(frozen=True)
class Observation:
    """What ran (versions, machine), and the rows by question id."""

    running: Mapping[str, str]
    rows: Mapping[str, Row]

    @property
    def name(self) -> str:
        """What was observed, in a word: ``keras 3.15.1``, with the backend where it is not TensorFlow's."""
        backend = self.running.get("backend", "tensorflow")
        shown = f"{self.running.get('target', '?')} {self.running.get('keras', '?')}"
        return shown if backend == "tensorflow" else f"{shown} ({backend})"


# ---- observing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interpreter:
    """Where the probe runs, and how long it may take.

    ``python`` is the interpreter, None for this one; ``environment`` has environment variables to set for it,
    ``KERAS_BACKEND`` for instance. A row that takes more than ``row_seconds`` is recorded as fatal; importing Keras may
    take ``start_seconds``.
    """

    python: str | Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    row_seconds: float = 120.0
    start_seconds: float = 600.0

    @property
    def name(self) -> str:
        """What to start, as given: a path, or a name that is searched for on the PATH."""
        return str(sys.executable if self.python is None else self.python)

    @property
    def variables(self) -> dict[str, str]:
        """All environment variables that it gets."""
        # Where this interpreter finds its packages says nothing about another one.
        hidden = () if self.python is None else ("PYTHONPATH", "PYTHONHOME")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        return {**variables, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **self.environment}


def observe(
    target: str = "keras",
    interpreter: Interpreter | None = None,
    *,
    asked: Sequence[Question] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """Ask the Keras called ``target`` (``keras``, ``tf_keras`` or ``tensorflow.keras``) every question.

    ``asked`` are the questions, by default all; ``progress`` is called with the number of rows answered and asked.
    """
    asked = questions.questions() if asked is None else asked
    running: dict[str, str] = {}
    rows: dict[str, Row] = {}
    for group in dict.fromkeys(question.group for question in asked):
        remaining = [question for question in asked if question.group == group]
        while remaining:
            with _probe(interpreter or Interpreter(), target, remaining) as (here, answers):
                running = here
                for question, answer in zip(remaining, answers, strict=False):
                    if "no room" in answer:
                        raise _no_room(answer["no room"])
                    rows[question.id] = _judged(question, answer)
                    if progress:
                        progress(len(rows), len(asked))
            remaining = [question for question in remaining if question.id not in rows]
    return Observation(running, clarified({question.id: rows[question.id] for question in asked}))


def clarified(rows: dict[str, Row]) -> dict[str, Row]:
    """Rows that are understood from others of the same observation.

    An unknown mode or data format whose result is that of a known one, bit for bit, was taken for it. A setting that
    all its rows raise alike is what raises; before vggprep 0.2 the probe did not tell.
    """
    refused: dict[str, list[str]] = {}
    for name, row in rows.items():
        if "floatx=" in name and not row.skipped and questions.parse(name).floatx:
            refused.setdefault(str(questions.parse(name).floatx), []).append(name)
        elif row.verdict == "undefined" and not row.cause and " mode=" in name:
            asked = questions.parse(name)
            others = [(replace(asked, mode=m), f"mode {m}") for m in questions.KERAS_MODES if asked.known_mode is None]
            if asked.effective_format not in (None, *DATA_FORMATS):
                others = [(replace(asked, data_format=str(known)), str(known)) for known in DATA_FORMATS]
            alike = [word for other, word in others if rows.get(other.id, _NOTHING).digest == row.digest]
            if alike:
                rows[name] = replace(row, cause=f"taken for {alike[0]}")
    for names in refused.values():
        errors = {(rows[name].error, rows[name].type) for name in names}
        if len(names) > 1 and len(errors) == 1 and next(iter(errors))[0]:
            rows.update({name: replace(rows[name], type="setting") for name in names})
    return rows


@contextmanager
def _work(target: str, asked: Sequence[Question]) -> Iterator[Path]:
    """A file with what the probe is to do, in a folder of its own for as long as it is needed."""
    passed = {question.array_name: question for question in asked}
    arrays = {name: questions.encode(question) for name, question in passed.items()}
    lines = [{"target": target, "arrays": arrays}, *(question.ask() for question in asked)]
    with ExitStack() as stack:
        try:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory()), "work.jsonl")
            # ASCII throughout: an interpreter of 2016 decodes its standard input as the locale says.
            work.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
        except OSError as error:
            raise _no_room(str(error.strerror)) from None
        yield work


def _no_room(reason: str) -> MachineError:
    return MachineError(f"no folder for temporary files can be written: {reason}; make room, or set TMPDIR to another")


@contextmanager
def _probe(
    interpreter: Interpreter, target: str, asked: Sequence[Question]
) -> Iterator[tuple[dict[str, str], Iterator[Answer]]]:
    """Run the probe: what is running there, and an answer for each question; one that was fatal is the last."""
    with _work(target, asked) as work:
        folder = str(work.parent)
        program = os.path.abspath(interpreter.name) if os.path.dirname(interpreter.name) else interpreter.name
        with open(work, "rb") as stdin, open(Path(folder, "errors"), "w+b") as stderr:
            try:
                process = subprocess.Popen(
                    [program, str(_PROBE)],
                    stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=interpreter.variables, cwd=folder,
                )  # fmt: skip
            except OSError as error:
                reason = f"cannot start the interpreter {interpreter.name}: {error.strerror}"
                raise ObservationError(f"{reason}; give the path of an existing Python") from None
            with process:
                try:
                    assert process.stdout is not None
                    said = _lines(process.stdout)
                    running = _running(_next(said, interpreter.start_seconds), interpreter, target, stderr)
                    yield running, _answers(process, said, interpreter.row_seconds)
                finally:
                    process.kill()


def _running(hello: Answer | None, interpreter: Interpreter, target: str, stderr: IO[bytes]) -> dict[str, str]:
    """What runs, from the first line that the probe wrote."""
    if hello and "running" in hello:
        return dict(hello["running"])
    if hello and "cannot" in hello:
        remedy = "install it there" if hello.get("missing") else "install it anew, with what it needs"
        raise ObservationError(f"{interpreter.name} cannot import {target} ({hello['cannot']}); {remedy}")
    reason = _last_line(stderr) or "no answer"
    raise ObservationError(
        f"{interpreter.name} did not run the probe ({reason}); give a Python 3.6 or newer with NumPy"
    )


def _answers(process: subprocess.Popen[bytes], said: queue.Queue[bytes], row_seconds: float) -> Iterator[Answer]:
    while answer := _next(said, row_seconds):
        yield answer
    yield {"fatal": f"no answer in {row_seconds:g} s" if answer is None else _ending(process)}


def _lines(stream: IO[bytes]) -> queue.Queue[bytes]:
    """The lines of a stream as they come, an empty one at its end."""
    lines: queue.Queue[bytes] = queue.Queue()

    def follow() -> None:
        # Whoever ends the probe closes its output, which may come between two reads.
        with suppress(ValueError):
            for line in stream:
                lines.put(line)
        lines.put(b"")

    threading.Thread(target=follow, daemon=True).start()
    return lines


def _next(lines: queue.Queue[bytes], seconds: float) -> dict[str, Any] | None:
    """The next answer, nothing at the end or after half a line, None if time ran out."""
    try:
        line = lines.get(timeout=seconds)
    except queue.Empty:
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, as the name of a signal where it was one."""
    try:
        code = process.wait(30)
    except subprocess.TimeoutExpired:
        return "closed its output"
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_line(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""


def _judged(question: Question, said: Answer) -> Row:
    """The row for an answer: a digest instead of the values, and the verdict on them."""
    keys = ("type", "aliasing", "written", "error", "message", "skipped", "fatal")
    common: dict[str, Any] = {key: said[key] for key in keys if key in said}
    for key in {"message", "skipped"} & common.keys():
        common[key] = common[key].encode("utf-8", "replace").decode()  # lone surrogates, which no file can hold
    common["warnings"] = tuple(said.get("warnings", ()))
    if said.get("error") == "OutputShapeError":
        common |= {"cause": common.pop("message")}
    if "left" in said:
        left = said["left"]
        y, _ = _values(zlib.decompress(base64.b64decode(left["data"])), left["dtype"], tuple(left["shape"]))
        cause = "" if y is None else recognised(question, questions.array(question), y, left["dtype"])[0]
        common |= {"cause": cause}
    if "data" not in said:
        return Row(**common)
    dtype, shape = said["dtype"], tuple(said["shape"])
    y, canonical = _values(zlib.decompress(base64.b64decode(said["data"])), dtype, shape)
    common |= {"dtype": dtype, "shape": shape, "digest": digest(dtype, shape, canonical)}
    if y is None:
        return Row(verdict="undefined", **common)
    if question.compared:
        cause, kind = recognised(question, questions.array(question), y, dtype)
        return Row(verdict="undefined", cause=cause, cause_kind=kind, **common)
    # Where a setting chose a narrower dtype for integers, that precision is what was asked for.
    x_dtype = question.dtype if question.dtype in FLOATS else question.floatx or question.dtype
    if question.policy and question.policy.removeprefix("mixed_") == dtype:
        x_dtype = dtype
    judged = judge(questions.array(question), y, x_dtype, dtype, question.known_mode, question.effective_format)
    levels = None if judged.levels is None else float(f"{judged.levels:.3g}")
    return Row(verdict=judged.verdict, levels=levels, cause=judged.cause, cause_kind=judged.cause_kind, **common)


def _values(data: bytes, dtype: str, shape: tuple[int, ...]) -> tuple[Array | None, bytes]:
    """An answer's values, and its bytes with all NaNs made one."""
    if dtype == "longdouble":
        high, low = np.frombuffer(data, "<f8").reshape(2, *shape)
        low = np.where(np.isnan(high), 0, low)
        high = np.where(np.isnan(high), np.nan, high)
        return high.astype(np.longdouble) + low, high.tobytes() + low.tobytes()
    if dtype == "bfloat16":
        y = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    else:
        try:
            y = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
        except (TypeError, ValueError):
            return None, data
    if y.dtype.kind == "f":
        y = np.where(np.isnan(y), np.array(np.nan, y.dtype), y).astype(y.dtype)
    return y, y.tobytes()


# ---- files -----------------------------------------------------------------------------------------------------------


def write(observation: Observation, path: Path) -> None:
    """Write an observation as JSON Lines, all of it or nothing; it took minutes, so if not there, then elsewhere.

    MachineError, which says where it is, if anywhere.
    """
    try:
        _write(observation, path)
    except OSError as error:
        reason = f"cannot write {path}: {error.strerror}"
    else:
        return
    for folder in (tempfile.gettempdir(), cache_folder("kept"), Path.home()):
        elsewhere = Path(folder, f"vggprep-{os.getpid()}-{path.name}")
        with suppress(OSError):
            elsewhere.parent.mkdir(parents=True, exist_ok=True)
            _write(observation, elsewhere)
            raise MachineError(f"{reason}; nothing is lost: make room, and move {elsewhere} there")
    raise MachineError(f"{reason}; make room there, or choose another folder")


def _write(observation: Observation, path: Path) -> None:
    with replacing(path) as file:
        header = {"format": FORMAT, "version": FORMAT_VERSION, "running": dict(observation.running)}
        file.write(json_line(header))
        file.writelines(json_line({"id": name, **row.to_json()}) for name, row in observation.rows.items())
        file.write(json_line({"rows": len(observation.rows)}))


def read(path: Path) -> Observation:
    """Read what ``write`` wrote."""
    try:
        # Not splitlines(), which splits at characters that a message may contain.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise ObservationError(f"cannot read {path}: {error.strerror}; create one with vggprep observe") from None
    except UnicodeDecodeError:
        lines = []
    try:
        header = json.loads(lines[0])
        if header["format"] != FORMAT:
            raise ValueError
        version = int(header["version"])
        running = {str(key): str(value) for key, value in dict(header.get("running", {})).items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ObservationError(f"{path} is not an observation; create one with vggprep observe") from None
    if version > FORMAT_VERSION:
        raise ObservationError(
            f"{path} has format version {version}, this vggprep reads {FORMAT_VERSION}; update vggprep or observe again"
        )
    try:
        said = [json.loads(line) for line in lines[1:-1]]
        rows = {row.pop("id"): Row.from_json(row) for row in said}
        whole = json.loads(lines[-1])["rows"] == len(said) == len(rows) and all(map(questions.parse, rows))
    except (ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ObservationError(f"{path} is truncated or damaged; observe again")
    return Observation(running, clarified(rows))
