"""Every sentence of the record is read again, word by word, and held against every row that it can be read to mean."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations

import pytest

from vggprep.releases import changes
from vggprep.releases.changes import PATHS, Difference, common, compare, faults
from vggprep.releases.observation import Observation, Row
from vggprep.releases.questions import Question, parse
from vggprep.releases.recognised import computed_as
from vggprep.releases.record import history, shipped
from vggprep.spec import DTYPES, INTEGERS

Steps = Mapping[str, tuple[Observation, Observation]]

USING = {
    "grayscale": "asked for grayscale",
    "rgba": "asked for rgba",
    "smaller": "made smaller",
    "larger": "made larger",
    "channels_first": "asked for channels_first",
    "float64": "asked for float64",
    "rescale": "given a rescale of 1/255",
    "both": "given a rescale of 1/255 and preprocess_input in mode tf",
    "imagenet": "built for imagenet weights",
    "left-out": "built without preprocessing",
    "BLIP2ImageConverter": "as BLIP2ImageConverter",
}
CHANNELS = ("channels_last", "channels_first")
SETTINGS = ("module", "layout", "image_data_format", "floatx", "after", "file", "using", "policy")


@cache
def observation(name: str) -> Observation:
    return shipped().observation(name)


def read(words: str, pattern: str) -> tuple[set[str] | None, str]:
    """What a part of a clause lists, and the clause without it."""
    found = re.search(pattern, words)
    if not found:
        return None, words
    return set(re.split(r", | and | or ", found[1])), words[: found.start()] + " " + words[found.end() :]


def sizes(q: Question) -> dict[str, str]:
    """How long the axes but the channels' are, by the word for it."""
    if len(q.shape) not in (3, 4, 5) or q.effective_format not in (None, *CHANNELS):
        return {}
    sides = list(q.shape)
    del sides[-1 if q.effective_format != "channels_first" else 0 if len(sides) == 3 else 1]
    words = ("wide", "high", "deep") if len(q.shape) == 5 else ("wide", "high")
    found = dict(zip(words, map(str, reversed(sides)), strict=False))
    return {**found, **({"images long": str(sides[0])} if len(q.shape) > 3 else {})}


class Clause:
    """One clause of a subject, read from its words alone."""

    def __init__(self, words: str) -> None:
        w = words[0].lower() + words[1:]
        self.asked: dict[str, set[str] | None] = {}
        w = w.replace("in a process whose first call is a float64 graph in caffe mode", "<after graph>")
        w = w.replace("in a process whose first call has floatx float16", "<after float16>")
        w = re.sub(r"after a call in (.*?) mode in the same process", r"<after \1>", w)
        self.asked["after"], w = read(w, r"<after (.*?)>")
        using = set()
        for key, text in sorted(USING.items(), key=lambda pair: -len(pair[1])):
            w, times = re.subn(f"(,| or|) {re.escape(text)}", "", w)
            using |= {key} if times else set()
        self.asked["using"] = using or None
        self.asked["file"], w = read(w, r" of ([\w, -]+?) files")
        self.asked["policy"], w = read(w, r" under policy (\w+(?:, \w+)*(?: or \w+)?)")
        for key, pattern in (
            ("module", r" of ((?!empty)[\w, ]+?)(?= with| from|$)"),
            ("layout", r" from (.*?) input"),
            ("floatx", r" with floatx ([\w, ]+?)(?= with| <| of|$|  )"),
            ("image_data_format", r" with image_data_format (channels_\w+(?: or channels_\w+)?)"),
            ("left out", r" with ([a-z_ ]+?) left out"),
            ("traced", r" traced with ([a-z ]+? (?:rank|known))"),
        ):
            self.asked[key], w = read(w, pattern)
        self.empty = " of empty images" in w
        w = w.replace(" of empty images", "")
        self.long = {}
        for word in ("images long", "high", "wide", "deep"):
            self.long[word], w = read(w, rf"(?:exactly )?(\d+(?:, \d+)*(?: or \d+)?) {word}(?: and)?")
        self.channels, w = read(w, r"with ([\d, or]+) channels?")
        self.pixels = {k for k, text in changes._PIXELS.items() if text in w}
        self.backends, w = read(w, r" on ((?:TensorFlow|torch|JAX)[\w, ]*)")
        self.formats = re.search(r" with data_format (.*?)(?= with |$)", w)
        w = w.replace(self.formats[0], "") if self.formats else w
        self.modes = re.search(r" with mode (.*?)(?= with |$)", w)
        self.known, w = read(w, r" in ([\w, ]+) mode\b")
        words_of_paths = "|".join(map(re.escape, PATHS.values()))
        lowered = {path.lower(): path for path in PATHS.values()}
        found = re.findall(f"(plain )?({words_of_paths})", w, re.I)
        self.paths = {lowered[path.lower()] for _, path in found}
        self.plain = {lowered[path.lower()] for plain, path in found if plain}
        head = re.split(words_of_paths, w, flags=re.I)[0]
        self.dtypes = {d for d in (*DTYPES, "longdouble", "complex64") if re.search(rf"\b{d}\b", head)}
        if re.search(r"\binteger\b", head):
            self.dtypes |= set(INTEGERS) - {"bool"}
        # "channels_last and 4-D channels_first", "3-D and 4-D channels_last", "4-D".
        self.images: set[tuple[str, str]] = set()
        ranks: list[str] = []
        for rank, data_format in re.findall(r"(\d)-D|(channels_\w+)", head):
            if data_format:
                self.images |= {(rank, data_format) for rank in ranks or ("3", "4")}
                ranks = []
            else:
                ranks.append(rank)
        if not self.images:
            self.images = {(rank, data_format) for rank in ranks or ("3", "4") for data_format in CHANNELS}

    def means(self, backend: str, q: Question) -> bool:
        signature = {"unknown": "unknown rank", "channels": "only the channels known"}.get(q.signature or "")
        left = [
            k
            for k, v in (("mode", q.mode), ("data_format", q.data_format))
            if v is None and not (q.module or q.compared)
        ]
        has = {"traced": signature, "left out": " and ".join(left) or None, **{k: getattr(q, k) for k in SETTINGS}}
        for key, value in has.items():
            wanted = self.asked[key]
            if key == "left out" and wanted:
                wanted = {" and ".join(sorted(wanted, reverse=True))}
            if (value is not None or wanted is not None) and value not in (wanted or ()):
                return False
        if q.path in ("generator", "converter") and q.compared != (PATHS[q.path] in self.plain):
            return False
        if q.compared:
            named = {"tensorflow": "TensorFlow", "jax": "JAX"}.get(backend, backend)
            paths = PATHS[q.path] in self.paths and (not self.dtypes or q.dtype in self.dtypes)
            return paths and not (self.backends and named not in self.backends)
        if self.empty != (0 in q.shape) or (self.dtypes and q.dtype not in self.dtypes):
            return False
        if PATHS.get(q.path, q.path) not in self.paths or (self.pixels and q.pixels not in self.pixels):
            return False
        image = (str(len(q.shape)), "channels_last" if q.effective_format is None else q.effective_format)
        if self.formats:
            if value_of(q.data_format) not in self.formats[1] or (image[0], "channels_last") not in self.images:
                return False
        elif image not in self.images:
            return False
        if self.modes:
            if q.known_mode or value_of(q.mode) not in self.modes[1]:
                return False
        elif not q.known_mode or (not q.module and q.known_mode not in (self.known or ("caffe", "tf", "torch"))):
            return False
        counted = {str(c) for c in [changes._channels(q)] if c is not None}
        if counted and not counted <= (self.channels or {"3"}):
            return False
        named = {"tensorflow": "TensorFlow", "jax": "JAX"}.get(backend, backend)
        if self.backends and named not in self.backends:
            return False
        return all(not wanted or sizes(q).get(word) in wanted for word, wanted in self.long.items())


def value_of(text: str | None) -> str:
    try:
        return repr(json.loads(text or ""))
    except ValueError:
        return repr(text)


def claimed(words: str, q: Question, row: Row) -> bool:
    """Whether a row is what one side of a sentence says."""
    where = re.fullmatch(r"(.*) where exactly 3 (\w+), (raises .*) where ([\d, or]+) \w+", words)
    if where:
        silent, axis, raises, others = where.groups()
        long = sizes(q).get(axis)
        if long == "3" and claimed(silent, q, row):
            return True
        return long in re.split(r", | or ", others) and claimed(raises, q, row)
    if mode := re.fullmatch(r"(.*), computed as in mode (\w+)", words):
        return computed_as(q, row.dtype, row.shape, row.digest) == mode[2] and claimed(mode[1], q, row)
    words = words.removesuffix(", not bit for bit the same")
    shape = "x".join(map(str, row.shape))
    if row.cause == "another shape":
        return words == f"the shape {shape}" or stretched(words, q, row)
    if raises := re.fullmatch(r"raises ([\w, ]+?)(?: and writes to the input| and leaves it changed \((.*)\))?", words):
        written = " and " not in words.replace(raises[1], "") or (row.written and (raises[2] or "") == row.cause)
        return row.error in re.split(r", | or ", raises[1]) and row.type != "setting" and written
    if words.startswith("set_"):
        return row.type == "setting" and words.endswith(f" raises {row.error}")
    if words.startswith("the input is "):
        back = {"same": "returned itself", "shared": "shares memory"}.get(row.aliasing)
        shown = back in words if back else "returned" not in words and "shares" not in words
        return not row.error and row.written == ("written to" in words) and shown
    if words.startswith("the process dies"):
        return row.fatal in words and bool(row.fatal)
    if words.startswith("a layer says "):
        return (row.error, row.cause) == ("OutputShapeError", words)
    if row.error or row.fatal:
        return False
    if q.compared:
        shapes = (f" of shape {'x'.join(map(str, row.shape))}", "")
        return any(words == f"{row.cause} as {row.dtype}{shape}" for shape in shapes)
    if words == "right":
        return row.verdict == "right"
    if words.endswith("nothing is defined"):
        other = row.shape != q.shape
        return row.verdict == "undefined" and words.startswith(row.dtype) and other == (f"of shape {shape}" in words)
    return words in (row.cause, row.dtype)


def stretched(words: str, q: Question, row: Row) -> bool:
    """Whether an image came out so many times as high and wide."""
    times = {axis: int(n) for n, axis in re.findall(r"(\d+) times as (high|wide)", words)}
    first = q.effective_format == "channels_first"
    axes = {"high": len(q.shape) - (2 if first else 3), "wide": len(q.shape) - (1 if first else 2)}
    made = {axes[word]: n for word, n in times.items()}
    return bool(times) and tuple(side * made.get(at, 1) for at, side in enumerate(q.shape)) == row.shape


def clauses(subject: str) -> Iterator[Clause]:
    for part in subject.split("; "):
        if not re.match(r"\d+ (other )?rows?\b", part):
            yield Clause(part)


def held(difference: Difference, steps: Steps) -> tuple[int, list[str]]:
    """How many rows a sentence can be read to mean, and those that are otherwise than it says."""
    count, otherwise, found = 0, [], set()
    for backend in dict.fromkeys(backend for backend, _ in difference.keys):
        old, new = steps[backend]
        for name in common(old, new):
            q = parse(name)
            if not any(clause.means(backend, q) for clause in read_clauses(difference.subject)):
                continue
            found.add((backend, name))
            count += 1
            before, after = old.rows[name], new.rows[name]
            if difference.kind == "rounding":
                true = before.dtype == after.dtype and before.digest != after.digest
            else:
                true = claimed(difference.new, q, after)
                true &= difference.against == "arrays" or claimed(difference.old, q, before)
            if not true:
                otherwise.append(f"{difference.sentence} | {name}: {before} -> {after}")
    # The words and the data that they are made of mean the same rows.
    data = {
        (b, n)
        for b, step in steps.items()
        for n in common(*step)
        if any(s.covers((b, n)) for s in difference.selections)
    }
    if found != {key for key in data if key[0] in {b for b, _ in difference.keys}}:
        otherwise.append(f"{difference.sentence} | is read as {sorted(found ^ data)[:3]}")
    return count, otherwise


@cache
def read_clauses(subject: str) -> tuple[Clause, ...]:
    return tuple(clauses(subject))


def in_history() -> Iterator[tuple[Difference, Steps]]:
    for change in history():
        steps = {}
        for line in change.lines:
            extra = re.sub(r"^[^\[]*", "", line)
            old, new = (re.sub(r"(\[\w+\])?==", f"{extra}==", name) for name in (change.before, change.release))
            steps[observation(new).running["backend"]] = (observation(old), observation(new))
        yield change.difference, steps


@pytest.mark.thorough
@pytest.mark.no_cover
def test_every_sentence_of_the_history_holds_for_every_row_that_it_can_be_read_to_mean() -> None:
    results = [held(*both) for both in in_history()]
    assert [line for _, otherwise in results for line in otherwise] == []
    assert len(results) > 100
    assert sum(count for count, _ in results) > 1500


PAIRS = [
    *random.Random(13).sample(list(combinations(shipped().names(), 2)), 10),
    # Layers, policies and models; image converters.
    ("keras==3.10.0", "keras==3.11.0"),
    ("keras-hub==0.19.3", "keras-hub==0.20.0"),
]


@pytest.mark.thorough
@pytest.mark.parametrize("pair", PAIRS, ids="->".join)
def test_every_sentence_of_a_comparison_holds_for_every_row_that_it_can_be_read_to_mean(pair: tuple[str, str]) -> None:
    old, new = map(observation, pair)
    results = [held(difference, {"": (old, new)}) for difference in compare(old, new)]
    assert [line for _, otherwise in results for line in otherwise] == []


@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["keras==3.15.1", "keras[torch]==3.15.1", "keras-hub==0.32.0", "keras==2.1.2"])
def test_every_sentence_about_one_release_holds(name: str) -> None:
    seen = observation(name)
    results = [held(difference, {"": (seen, seen)}) for difference in faults(seen)]
    assert [line for _, otherwise in results for line in otherwise] == []
    assert results


def test_a_sentence_that_means_more_than_is_so_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = changes._clause
    for left_out in ("height", "pixels", "mode"):
        free = {"mode": ("caffe", "tf", "torch")}.get(left_out)
        monkeypatch.setattr(
            changes,
            "_clause",
            lambda chosen, out=left_out, free=free: whole(
                {**{k: v for k, v in chosen.items() if k != out}, **({out: free} if free else {})}
            ),
        )
        old, new = observation("keras==3.11.3"), observation("keras==3.12.0")
        otherwise = [line for d in compare(old, new) for line in held(d, {"": (old, new)})[1]]
        assert bool(otherwise) == (left_out != "pixels"), left_out  # where no pixels are named, none can be left out
