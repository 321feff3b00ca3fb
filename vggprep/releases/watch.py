"""What the newest nightly build of Keras does otherwise than the newest release, as the text of a bug report.

``backtest`` tells of the changes in the record whether a weekly watch would have seen them before their release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pprint import pformat

from vggprep.releases import bisection, questions, record
from vggprep.releases.bisection import Build, Found
from vggprep.releases.changes import TITLES, Difference, compare, state
from vggprep.releases.environments import DAYS
from vggprep.releases.observation import Observation, ObservationError
from vggprep.releases.questions import Question

_LARGEST = 128
"""How many elements an array may have to be written out."""


def issue(ends: tuple[Build, Build], sides: tuple[Observation, Observation], since: Mapping[str, Found]) -> str:
    """A bug report in Markdown: what differs and matters, since which build, how to see it, and where it was seen.

    ``since`` has what was found of a difference, by its sentence.
    """
    differences = [difference for difference in compare(*sides) if difference.matters]
    lines = [f"# {ends[1].name} behaves otherwise than {ends[0].name}", ""]
    for kind in dict.fromkeys(difference.kind for difference in differences):
        lines += [f"## {TITLES[kind].capitalize()}", ""]
        for difference in differences:
            if difference.kind == kind:
                lines += [f"- {difference.sentence}"]
                if found := since.get(difference.sentence):
                    lines += [f"  First in {found.after}, not yet in {found.before}."]
                lines += [*_reproducer(difference, sides), ""]
    running = sides[1].running
    names = {"python": "Python", "numpy": "NumPy", "tensorflow": "TensorFlow", "torch": "torch", "jax": "JAX"}
    versions = [f"{name} {running[key]}" for key, name in names.items() if key in running]
    machine = " ".join(filter(None, (running.get("system"), running.get("machine"))))
    lines += ["## Environment", "", f"{', '.join(versions)}; backend {running.get('backend')}; {machine}", ""]
    return "\n".join(lines)


def _reproducer(difference: Difference, sides: tuple[Observation, Observation]) -> Iterator[str]:
    """The smallest of the rows as a program, where it is one of arrays, eager tensors or functional models."""
    plain = [q for q in map(questions.parse, difference.rows) if not (q.layout or q.after or q.dtype == "bfloat16")]
    small = [q for q in plain if questions.array(q).size <= _LARGEST and q.path in ("ndarray", "tensor", "model")]
    for asked in sorted(small, key=lambda q: (questions.array(q).size, q.path))[:1]:
        old, new = (state(asked, side.rows[asked.id]) for side in sides)
        yield from ("", "  ```python", *(f"  {line}" for line in program(asked).splitlines()))
        yield from (f"  # then: {old}", f"  # now: {new}", "  ```")


def program(asked: Question) -> str:
    """A question as a program of a few lines."""
    values = pformat(questions.array(asked).tolist(), width=88, compact=True)
    lines = ["import keras", "import numpy as np", ""]
    if asked.floatx:
        lines += [f"keras.config.set_floatx({asked.floatx!r})"]
    if asked.image_data_format:
        lines += [f"keras.config.set_image_data_format({asked.image_data_format!r})"]
    if asked.policy:
        lines += [f"keras.config.set_dtype_policy({asked.policy!r})"]
    lines += [f"x = np.array({values}, dtype={asked.dtype!r}).reshape({asked.shape})"]
    if asked.path == "tensor":
        lines += ["x = keras.ops.convert_to_tensor(x)"]
    call = asked.ask()
    arguments = [f"{key}={call[key]!r}" for key in ("data_format", "mode") if key in call]
    module = asked.module or "imagenet_utils"
    given = "inputs" if asked.path == "model" else "x"
    made = f"keras.applications.{module}.preprocess_input({', '.join([given, *arguments])})"
    if asked.path == "model":
        lines += ["inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)"]
        made = f"keras.Model(inputs, {made})(x)"
    lines += [f"y = {made}", "print(y)"]
    return "\n".join(lines)


# ---- had it been there -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A change of the record: its release, the first nightly build that had it, and when a weekly watch would say so.

    ``watched`` is the Monday on which the watch would first have met it; None where no build before the release had it.
    """

    release: str
    released: date
    sentence: str
    first: Build | None
    last_without: Build | None
    watched: date | None
    why_not: str = ""

    @property
    def days(self) -> int | None:
        """How many days before the release the watch would have told."""
        return (self.released - self.watched).days if self.watched and self.watched < self.released else None


def backtest(report: Callable[[Told], None], start: date) -> None:
    """Tell of each change in the record since ``start`` that matters when a weekly watch would have seen it."""
    together: dict[tuple[str, str], list[Difference]] = {}
    for change in record.history():
        released = DAYS.get(change.release)
        if released is not None and released >= start and change.difference.matters:
            together.setdefault((change.before, change.release), []).append(change.difference)
    for (before, name), differences in together.items():
        package, version = name.split("==")
        old, new = bisection.build(package, before.split("==")[1]), bisection.build(package, version)
        try:
            between = bisection.nightlies(old, new)
            sides = bisection.whole(old), bisection.whole(new)
            while differences:
                found = bisection.search((old, new), sides, between, differences)
                for difference, *_ in found.moved:
                    report(_told(name, difference, found))
                # What changed later, after the build just found.
                differences, old = list(found.later), found.after
                between = between[between.index(old) + 1 :] if old in between else []
        except ObservationError as error:
            for difference in differences:
                report(Told(name, DAYS[name], difference.sentence, None, None, None, str(error)))


def _told(name: str, difference: Difference, found: Found) -> Told:
    first = found.after if found.after.nightly else None
    day = first.day if first else None
    watched = day + timedelta(days=-day.weekday() % 7) if day else None
    lost = f"{len(found.between)} builds between do not run here" if found.between else ""
    return Told(name, DAYS[name], difference.sentence, first, found.before, watched, lost)
