"""Certificates: what was enumerated, with which software, and the result; a JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vggprep.errors import VggprepError
from vggprep.files import json_line, replacing
from vggprep.implementations.targets import TargetSpec
from vggprep.proof.domains import SAMPLES, domain
from vggprep.proof.shards import Problem, Tally, WorstError, from_bits, input_dtype
from vggprep.spec import MODES, DataFormat, Direction, Level, Mode, ModeName, as_data, from_data, known
from vggprep.tolerance import PIXEL_LIKE

FORMAT = "vggprep-certificate/2"
_FORMAT_1 = "vggprep-certificate/1"

Status = Literal["proven", "sampled", "wrong", "refused", "unfinished"]


class ProofError(VggprepError):
    """A proof that cannot be made, resumed, read or verified."""


@dataclass(frozen=True)
class Row:
    """One function in one mode, data format and dtype.

    ``status``: ``proven`` (every pattern, nothing wrong), ``sampled`` (not a proof: ``domain`` says what was tried),
    ``wrong``, ``refused`` (``message`` says how), ``unfinished``. ``patterns`` went through each of three channels.
    ``seconds`` of one core were spent on the row, or on those of both data formats together. ``digests`` are of the
    outputs of each part in turn, ``digest`` of all of them. The other fields are those of ``Tally``.
    """

    implementation: str
    level: Level
    direction: Direction
    mode: ModeName
    data_format: DataFormat
    dtype: str
    domain: str
    status: Status
    patterns: int = 0
    wrong: int = 0
    lost: int = 0
    units: WorstError | None = None
    levels: WorstError | None = None
    digest: str = ""
    digests: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: Problem | None = None
    message: str = ""
    counterexample: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Certificate:
    """The result of a proof.

    ``files``: SHA-256 digests of the programs and model files that the targets name; ``None`` if not recorded.
    ``seconds`` are those of the last run, ``worked`` those of all processes together. ``seals``: the digest
    of its content that a file names, and the one that it has; format 1 names none. ``modes``: the definitions of the
    modes that are not Keras's. ``specification``: the version of the specification that was judged by, if recorded.
    """

    target: str
    arguments: tuple[str, ...]
    created: str
    versions: Mapping[str, str]
    files: Mapping[str, str] | None
    machine: Mapping[str, str]
    processors: tuple[str, ...]
    values: int
    worked: float
    seconds: float
    rows: tuple[Row, ...]
    spec: TargetSpec
    stop_at_first: bool
    modes: tuple[Mode, ...] = ()
    specification: str = field(default="", compare=False)
    seals: tuple[str, str] = field(default=("", ""), compare=False)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong or unfinished, and something was proven or sampled."""
        found = {row.status for row in self.rows}
        return not found & {"wrong", "unfinished"} and bool(found & {"proven", "sampled"})


def describe_domain(dtype: str) -> str:
    """What is enumerated of a dtype, in words."""
    found = domain(dtype)
    return f"all {found.size:,} patterns" if found.complete else f"a sample of {found.size:,}: {SAMPLES[dtype]}"


def fold(row: Row, tallies: Sequence[Tally | None], seconds: float) -> Row:
    """A row with the results of its parts, in order; ``None`` for those that were not done."""
    done = [tally for tally in tallies if tally is not None]
    wrong = sum(tally.wrong for tally in done)
    size = domain(row.dtype).size
    complete = len(done) == len(tallies) and (wrong > 0 or sum(tally.patterns for tally in done) == size)
    status: Status = "proven" if domain(row.dtype).complete else "sampled"
    if wrong:
        status = "wrong"
    elif not complete:
        status = "unfinished"
    digests = tuple(tally.digest if tally else "" for tally in tallies)
    bad = next((tally for tally in done if tally.wrong), None)
    return replace(
        row,
        status=status,
        patterns=sum(tally.patterns for tally in done),
        wrong=wrong,
        lost=sum(tally.lost for tally in done),
        units=max((t.units for t in done if t.units), key=lambda worst: worst.error, default=None),
        levels=max(done, key=_worst_levels).levels if done else None,
        digest=hashlib.sha256("".join(digests).encode()).hexdigest() if complete and not wrong else "",
        digests=digests,
        seconds=round(seconds, 1),
        problem=bad.problem if bad else None,
        message=bad.message if bad else "",
        counterexample=bad.counterexample if bad else None,
    )


def _worst_levels(tally: Tally) -> tuple[bool, int, float]:
    """What ``max`` is to choose by, as in ``tolerance.shown``."""
    if tally.levels is None:
        return False, 0, 0.0
    telling = 1 + (abs(float(tally.levels.value)) <= PIXEL_LIKE) if tally.wrong else 0
    return True, telling, tally.levels.error


# Files --------------------------------------------------------------------------------------------------------------


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(certificate: Certificate, path: Path) -> None:
    """Write a certificate; an existing file is replaced by the whole of it or not touched."""
    document = {"format": FORMAT, **asdict(certificate)}
    del document["seals"], document["modes"]
    if certificate.modes:
        document["modes"] = [as_data(mode) for mode in certificate.modes]
    rows = [{key: value for key, value in row.items() if value} for row in document.pop("rows")]
    # A line for each row: short files that a person can read and compare.
    lines = [json_line(row).rstrip("\n") for row in rows]
    seal = seal_of({**document, "rows": [json.loads(line) for line in lines]})
    try:
        with replacing(path) as file:
            head = json.dumps({**document, "seal": seal}, indent=1).removesuffix("\n}")
            file.write(head + ',\n "rows": [\n' + ",\n".join(lines) + "\n ]\n}\n")
    except OSError as error:
        raise ProofError(f"cannot write {path}: {error.strerror}") from error


def seal_of(document: Mapping[str, Any]) -> str:
    """A digest of all that a certificate says. It shows an edit, not a forger, who makes a new one."""
    content = {key: value for key, value in document.items() if key != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Certificate:
    """Read a certificate of this format or of format 1. Whether what it says is so is for ``verify`` to find out."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise ProofError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ProofError(f"{path} is not a complete certificate: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found not in (FORMAT, _FORMAT_1):
        what = f"its format is {found!r}" if found else "it names no format"
        raise ProofError(f"{path} is not a certificate that this vggprep reads: {what}, not {FORMAT!r}")
    try:
        return _certificate(document if found == FORMAT else _from_format_1(document))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ProofError(f"{path} is not a complete certificate: {error}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, none of whose fields hides another: the seal is of those that are read."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it says {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _from_format_1(document: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 has no digest of a file or of itself, and shows only by its command line whether the search went on."""
    old = {
        **document,
        "spec": document["wanted"],
        "files": None,
        "stop_at_first": "--all" not in document["arguments"],
    }
    return old | {"seal": seal_of(old)}


def _certificate(document: Mapping[str, Any]) -> Certificate:
    plain = {field.name for field in fields(Certificate)} - {"rows", "spec", "seals", "modes"}
    modes = tuple(map(from_data, document.get("modes", ())))
    for mode in modes:
        known(mode)
    certificate = Certificate(
        **_tuples({key: value for key, value in document.items() if key in plain}),
        modes=modes,
        rows=tuple(Row(**errors(row)) for row in document["rows"]),
        spec=TargetSpec(**_tuples(document["spec"])),
        seals=(document["seal"], seal_of(document)),
    )
    if strangers := [row.mode for row in certificate.rows if row.mode not in (*MODES, *(m.name for m in modes))]:
        raise ValueError(f"it does not define its mode {strangers[0]}")
    for part in (certificate, certificate.spec, *certificate.rows):
        check_types(part)
    for row in certificate.rows:
        "".join(row.digests).encode()  # text that can be digested, or this is no certificate
        if row.counterexample is not None:
            for bits in row.counterexample:
                from_bits(bits, input_dtype(row.direction, row.mode, row.dtype))
    if document["format"] == FORMAT and certificate.files is None:
        raise TypeError("its files is None")
    return certificate


def check_types(part: Any) -> None:
    """Raise ``TypeError`` where a field that was read from a file is not what it must be."""
    for name, hint in _hints(part.__class__).items():
        if not _fits(value := getattr(part, name), hint):
            raise TypeError(f"its {name} is {value!r}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as far as the fields of certificates have types."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in inner
    if kind in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if kind is tuple:
        inner = inner[:1] * len(value) if inner[-1] is Ellipsis and isinstance(value, tuple) else inner
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if kind is Mapping:
        return isinstance(value, dict) and all(type(word) is str for word in (*value, *value.values()))
    if hint is WorstError:
        # The error itself is a number of at least 0, perhaps infinite.
        return isinstance(value, WorstError) and all(map(_fits, value[1:], [*_hints(WorstError).values()][1:]))
    if type(value) in (int, float) and hint in (type(value), float):
        return bool(abs(value) < 1 << 63)
    return type(value) is hint


def errors(written: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row or a tally, with their errors; infinite ones are written as the string ``"inf"``."""
    given = _tuples(written)
    for key in ("units", "levels"):
        if given.get(key):
            error, *where = given[key]
            given[key] = WorstError(float(error), *where)
            if not given[key].error >= 0:
                raise ValueError(f"its error in {key} is {error}")
            float(given[key].value)  # a number, or this is no row
    return given


def _tuples(written: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in written.items()}
