"""Observing what an installed Keras does, row by row, and keeping it. Keras runs in a process of its own.

``observe`` drives ``probe.py`` in this or any other interpreter and judges what comes back; ``write`` and ``read`` keep
observations as JSON Lines: a header, a line for each row, a footer that tells a whole file from a truncated one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from vggprep.errors import VggprepError
from vggprep.releases import questions
from vggprep.releases.questions import Question
from vggprep.releases.verdicts import judge

Array = npt.NDArray[Any]

FORMAT = "vggprep observation"
FORMAT_VERSION = 1
ROW_SECONDS = 120.0
START_SECONDS = 600.0
_PROBE = Path(__file__).with_name("probe.py")


class ObservationError(VggprepError):
    """An observation that cannot be made or read; the message is one line: what is wrong and what to do."""


@dataclass(frozen=True)
class Row:
    """What came back for one question: a result (``dtype`` and so on), an ``error``, ``skipped`` or ``fatal``.

    ``levels`` is the worst error in grey levels, None where the definition says nothing; ``verdict`` and ``cause`` are
    those of ``judging``. ``aliasing`` is ``same`` if the input itself came back, ``shared`` if its memory did.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()
    digest: str = ""
    type: str = ""
    verdict: str = ""
    levels: float | None = None
    cause: str = ""
    aliasing: str = ""
    written: bool = False
    error: str = ""
    message: str = ""
    warnings: tuple[str, ...] = ()
    skipped: str = ""
    fatal: str = ""

    def to_json(self) -> dict[str, Any]:
        """Only what is not the default."""
        return {key: value for key, value in asdict(self).items() if value != _NOTHING[key]}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Row:
        """A row as written; keys that a later version added are left out."""
        known: dict[str, Any] = {key: value for key, value in said.items() if key in _NOTHING}
        for key in ("shape", "warnings"):
            known[key] = tuple(known.get(key, ()))
        for key, value in known.items():
            if not isinstance(value, (int, float, type(None)) if key == "levels" else type(_NOTHING[key])):
                raise TypeError(f"{key} is {value!r}")
        return cls(**known)


_NOTHING: Mapping[str, Any] = {field.name: field.default for field in fields(Row)}


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


def observe(
    target: str = "keras",
    python: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    asked: list[Question] | None = None,
    row_seconds: float = ROW_SECONDS,
    start_seconds: float = START_SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Observation:
    """Ask the Keras called ``target`` every question, in this or in another interpreter.

    Args:
        target: the module: ``keras``, ``tf_keras`` or ``tensorflow.keras``.
        python: the interpreter; None for this one.
        environment: environment variables to set for it, ``KERAS_BACKEND`` for instance.
        asked: the questions; by default all.
        row_seconds: how long one row may take before its process is killed and the row recorded as that.
        start_seconds: how long importing Keras may take.
        progress: called with the number of rows answered and asked.
    """
    asked = questions.questions() if asked is None else asked
    command = [str(sys.executable if python is None else python), str(_PROBE)]
    variables = _variables(python, environment)
    arrays = questions.encode_all(asked)
    running: dict[str, str] = {}
    rows: dict[str, Row] = {}
    for group in dict.fromkeys(question.group for question in asked):
        remaining = [question for question in asked if question.group == group]
        while remaining:
            answers = _run_probe(command, variables, target, arrays, remaining, row_seconds, start_seconds)
            with contextlib.closing(answers):
                running = next(answers)
                for done, said in enumerate(answers, 1):
                    rows[remaining[done - 1].id] = _judged(remaining[done - 1], said)
                    if progress:
                        progress(len(rows), len(asked))
            remaining = remaining[done:]
    return Observation(running, {question.id: rows[question.id] for question in asked})


def _variables(python: str | Path | None, environment: Mapping[str, str] | None) -> dict[str, str]:
    variables = dict(os.environ)
    if python is not None:
        # Where this interpreter finds its packages says nothing about the other one.
        for name in ("PYTHONPATH", "PYTHONHOME"):
            variables.pop(name, None)
    return {**variables, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **(environment or {})}


def _run_probe(
    command: list[str],
    variables: dict[str, str],
    target: str,
    arrays: Mapping[str, Any],
    asked: list[Question],
    row_seconds: float,
    start_seconds: float,
) -> Generator[dict[str, Any], None, None]:
    """Yield what is running, then an answer for each question; one that was fatal is the last."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work.jsonl")
        # ASCII throughout: an interpreter of 2016 decodes its standard input as the locale says.
        with open(work, "w", encoding="ascii") as file:
            needed = {question.ask()["array"] for question in asked}
            file.write(json.dumps({"target": target, "arrays": {name: arrays[name] for name in needed}}) + "\n")
            file.writelines(json.dumps(question.ask()) + "\n" for question in asked)
        with open(work, "rb") as stdin, open(Path(folder, "errors"), "w+b") as stderr:
            # A path is meant from here, not from the probe's folder; a bare name is looked for on the PATH.
            program = os.path.abspath(command[0]) if os.path.dirname(command[0]) else command[0]
            try:
                process = subprocess.Popen(
                    [program, *command[1:]],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=variables,
                    cwd=folder,
                )
            except OSError as error:
                reason = f"cannot start the interpreter {command[0]}: {error.strerror}"
                raise ObservationError(f"{reason}; give the path of a Python that exists") from None
            assert process.stdout is not None
            lines = _lines(process.stdout)
            try:
                hello = _next(lines, start_seconds)
                if not hello or ("running" not in hello and "cannot" not in hello):
                    process.kill()
                    process.wait()
                    reason = _last_line(stderr) or "no answer"
                    raise ObservationError(
                        f"{command[0]} did not run the probe ({reason}); give a Python 3.6 or newer with NumPy"
                    )
                if "cannot" in hello:
                    raise ObservationError(f"{command[0]} cannot import {target} ({hello['cannot']}); install it there")
                yield hello["running"]
                for _ in asked:
                    said = _next(lines, row_seconds)
                    if said is None or said == {}:
                        yield {"fatal": f"no answer in {row_seconds:g} s" if said is None else _ending(process)}
                        return
                    yield said
            finally:
                process.kill()
                process.wait()
                process.stdout.close()


def _lines(stream: IO[bytes]) -> queue.Queue[bytes]:
    """The lines of a stream as they come, an empty one at its end."""
    lines: queue.Queue[bytes] = queue.Queue()

    def follow() -> None:
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


def _judged(question: Question, said: Mapping[str, Any]) -> Row:
    """The row for an answer: a digest in place of the values, and what they are worth."""
    keys = ("type", "aliasing", "written", "error", "message", "skipped", "fatal")
    common: dict[str, Any] = {key: said[key] for key in keys if key in said}
    common["warnings"] = tuple(said.get("warnings", ()))
    if "data" not in said:
        return Row(**common)
    shape = tuple(said["shape"])
    data = zlib.decompress(base64.b64decode(said["data"]))
    dtype = said["dtype"]
    y, canonical = _values(data, dtype, shape)
    digest = hashlib.sha256(f"{dtype}{list(shape)}".encode() + canonical).hexdigest()[:16]
    attributes = questions.parse(question.id)
    if y is None:
        return Row(dtype=dtype, shape=shape, digest=digest, verdict="undefined", **common)
    x = questions.array(attributes["pixels"], attributes["dtype"], attributes["shape"])
    # data_format=None means what the setting says.
    data_format = attributes.get("data_format") or attributes.get("image_data_format")
    # Where a setting chose a narrower dtype for integers, that precision is what was asked for.
    x_dtype = attributes["dtype"]
    if "floatx" in attributes and x_dtype not in questions.FLOATS:
        x_dtype = attributes["floatx"]
    judged = judge(x, y, x_dtype, dtype, questions.mode_of(attributes), data_format)
    levels = None if judged.levels is None else float(f"{judged.levels:.3g}")
    return Row(
        dtype=dtype, shape=shape, digest=digest, verdict=judged.verdict, levels=levels, cause=judged.cause, **common
    )


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


def observe_to_file(
    path: str | Path, target: str = "keras", python: str | Path | None = None, **more: Any
) -> Observation:
    """Observe and write; a file that is there stays whole until the new one is."""
    observation = observe(target, python, **more)
    write(observation, path)
    return observation


def write(observation: Observation, path: str | Path) -> None:
    """Write an observation as JSON Lines, all of it or nothing."""
    path = Path(path)
    header = {"format": FORMAT, "version": FORMAT_VERSION, "running": dict(observation.running)}
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.", text=True)
    except OSError as error:
        raise ObservationError(f"cannot write {path}: {error.strerror}; choose a writeable folder") from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(header, sort_keys=True) + "\n")
            for question_id, row in observation.rows.items():
                file.write(json.dumps({"id": question_id, **row.to_json()}) + "\n")
            file.write(json.dumps({"rows": len(observation.rows)}) + "\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: str | Path) -> Observation:
    """Read what ``write`` wrote."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ObservationError(f"cannot read {path}: {error.strerror}; make one with vggprep observe") from None
    except UnicodeDecodeError:
        lines = []
    try:
        header = json.loads(lines[0])
        if header["format"] != FORMAT:
            raise ValueError
        version, running = (
            int(header["version"]),
            {str(key): str(value) for key, value in dict(header.get("running", {})).items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ObservationError(f"{path} is not an observation; make one with vggprep observe") from None
    if version > FORMAT_VERSION:
        raise ObservationError(
            f"{path} has format version {version}, this vggprep reads {FORMAT_VERSION}; update vggprep or observe again"
        )
    try:
        footer = json.loads(lines[-1])
        said = [json.loads(line) for line in lines[1:-1]]
        rows = {row.pop("id"): Row.from_json(row) for row in said}
        whole = footer["rows"] == len(lines) - 2 == len(rows) and all(map(questions.parse, rows))
    except (ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ObservationError(f"{path} is truncated or damaged; observe again")
    return Observation(running, rows)
