"""One picture: time against error, the front of what nobody beats, and the memory limit. SVG, by hand, as text.

Each label is placed next to its point where it covers neither another label nor a point; a thin line leads to it where
that is farther away. Colours are the page's variables, or the picture's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from vggprep.field import quiet
from vggprep.field.adapters import KERAS
from vggprep.field.limit import LIMIT
from vggprep.field.results import FieldError
from vggprep.tolerance import bound

WIDTH, HEIGHT = 1180, 780
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 44, 66
_LETTER, _LINE = 6.3, 14.0  # of a label, in pixels; measured for 11 pixels of a sans-serif font, generously
_RADIUS = 4.5
_LEAST, _MOST = 0.03, 1e9  # of the error axis, in u·S
_RIGHT_FROM, _RIGHT_TO, _WRONG_FROM = 0.08, 0.66, 0.72  # heights of zero, of the bound, and from where on it is wrong

Row = dict[str, Any]

_STYLE = """
.field { --f-ink: var(--ink, #1b1f24); --f-soft: var(--soft, #57606a); --f-line: var(--line, #d0d7de);
  --f-paper: var(--paper, #ffffff); --f-ours: var(--blue, #0b5cad); --f-keras: var(--red, #b3420b); }
@media (prefers-color-scheme: dark) { .field { --f-ink: var(--ink, #e6edf3); --f-soft: var(--soft, #9da7b1);
  --f-line: var(--line, #3d444d); --f-paper: var(--paper, #0d1117); --f-ours: var(--blue, #6cb6ff);
  --f-keras: var(--red, #ff9d66); } }
.field text { font: 11px sans-serif; fill: var(--f-ink); }
.field .soft { fill: var(--f-soft); }
.field .title { font-size: 15px; font-weight: bold; }
.field .axis { stroke: var(--f-line); fill: none; }
.field .lead { stroke: var(--f-soft); fill: none; stroke-width: 0.8; }
.field .rule { stroke: var(--f-soft); fill: none; stroke-dasharray: 5 4; }
.field .front { stroke: var(--f-ours); fill: none; stroke-width: 2; opacity: 0.6; }
.field .best { stroke: var(--f-soft); fill: none; }
.field circle { stroke: var(--f-ink); fill: var(--f-ink); stroke-width: 1.6; }
.field .ours circle { stroke: var(--f-ours); fill: var(--f-ours); }
.field .ours text { fill: var(--f-ours); }
.field .keras circle { stroke: var(--f-keras); fill: var(--f-keras); }
.field .keras text { fill: var(--f-keras); }
.field .wrong circle { fill: var(--f-paper); }
.field .wrong .dot { fill: var(--f-ink); stroke: none; }
"""


class Box(NamedTuple):
    """A rectangle: its least and greatest x and y."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: Box) -> bool:
        """Whether two have a point in common."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


class Label(NamedTuple):
    """Where a name stands, and the point that it belongs to."""

    name: str
    box: Box
    x: float
    y: float


def drawn(found: Row) -> list[Row]:
    """The rows that have a place: forward, timed, and with an error on every byte."""
    return [
        row
        for row in found["rows"]
        if row["name"] != LIMIT and row["direction"] == "forward" and "ns" in row and row["wrong"] is not None
    ]


def front(rows: Sequence[Row]) -> list[Row]:
    """Those that are right on every byte and that none that is right beats, in both time and error; by time."""
    kept: list[Row] = []
    for row in sorted((r for r in rows if r["wrong"] == 0), key=lambda r: (r["ns"]["median"], r["units"])):
        if not kept or row["units"] < kept[-1]["units"]:
            kept.append(row)
    return kept


def height(units: float | None, most: float) -> float:
    """Where an error stands, from 0 at the bottom to 1: zero, what is within the bound, and what is wrong, apart."""
    if units is None or not math.isfinite(units):
        return 1.0
    if units <= most:
        part = math.log(max(units, _LEAST) / _LEAST) / math.log(most / _LEAST)
        return 0.02 if units == 0 else _RIGHT_FROM + part * (_RIGHT_TO - _RIGHT_FROM)
    part = math.log(units / most) / math.log(_MOST / most)
    return min(1.0, _WRONG_FROM + part * (1.0 - _WRONG_FROM))


def labels(points: Sequence[tuple[str, float, float]], lines: Sequence[Box] = ()) -> list[Label]:
    """A place for each name, near its point, that covers no other label, point or line. Raises ``FieldError``."""
    taken = [*lines]
    taken += [Box(x - _RADIUS - 1, y - _RADIUS - 1, x + _RADIUS + 1, y + _RADIUS + 1) for _, x, y in points]
    placed = []
    for name, x, y in sorted(points, key=lambda point: (point[2], point[1])):
        box = next((b for b in _places(name, x, y) if not any(b.meets(other) for other in taken)), None)
        if box is None:
            raise FieldError(f"there is no room for the label {name!r} in the picture; show fewer with --only")
        taken.append(box)
        placed.append(Label(name, box, x, y))
    return placed


def _places(name: str, x: float, y: float) -> Iterable[Box]:
    """Boxes inside the picture, the nearest first: right, left, then ever farther above and below."""
    width = len(name) * _LETTER + 8
    steps = [(0, dx) for dx in (_RADIUS + 3, -width - _RADIUS - 3)]
    steps += [
        (dy, dx)
        for dy in sorted((n for n in range(-44, 45) if n), key=abs)
        for dx in (-width / 2, 4.0, -width - 4, 0.5 * width, -1.5 * width)
    ]
    steps.sort(key=lambda step: math.hypot(step[0] * _LINE, max(0.0, step[1], -width - step[1])))
    for dy, dx in steps:
        box = Box(x + dx, y + dy * _LINE - _LINE / 2, x + dx + width, y + dy * _LINE + _LINE / 2)
        if box.x0 >= LEFT + 4 and box.x1 <= WIDTH - RIGHT and box.y0 >= TOP and box.y1 <= HEIGHT - BOTTOM:
            yield box


def svg(found: Row) -> str:
    """The picture of a run. Raises ``FieldError`` where nothing has a place in it."""
    rows = drawn(found)
    if not rows:
        raise FieldError("there is nothing to draw: nothing was timed on images that it accepts")
    limit = next((row["ns"]["median"] for row in found["rows"] if row["name"] == LIMIT and "ns" in row), None)
    times = [row["ns"]["median"] for row in rows] + ([limit] if limit else [])
    least, most = min(times) / 1.35, max(times) * 1.6
    allowed = float(bound(found["mode"]))

    def across(ns: float) -> float:
        part = math.log(max(ns, least) / least) / math.log(most / least)
        return LEFT + part * (WIDTH - RIGHT - LEFT)

    def down(part: float) -> float:
        return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)

    parts = [*_frame(least, most, across, down, allowed, found)]
    if limit is not None:
        x = across(limit)
        parts.append(f'<path class="rule" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="soft" x="{x + 4:.1f}" y="{TOP + 12}">memory limit {limit:.2g} ns</text>')
    places = {row["name"]: (across(row["ns"]["median"]), down(height(row["units"], allowed))) for row in rows}
    edge = [places[row["name"]] for row in front(rows)]
    if edge:
        path = f"M{edge[0][0]:.1f} {TOP}V{edge[0][1]:.1f}"
        path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in edge[1:]) + f"H{WIDTH - RIGHT}"
        parts.append(f'<path class="front" d="{path}"/>')
    by_name = {row["name"]: row for row in rows}
    lines = [Box(across(by_name[name]["ns"]["min"]), y - 1, x, y + 1) for name, (x, y) in places.items()]
    corners = [*edge, (WIDTH - RIGHT, HEIGHT)]
    lines += [Box(x0, y0 - 1, x1, y0 + 1) for (x0, y0), (x1, _) in pairwise(corners)]  # the front, where it is level
    for label in labels([(name, x, y) for name, (x, y) in places.items()], lines):
        parts.append(_point(by_name[label.name], label, across(by_name[label.name]["ns"]["min"])))
    what = (
        f"{len(rows)} implementations of mode {found['mode']}: time in ns per element against the worst error over "
        "every byte in every channel; the table has the numbers"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="field" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([f"{head}<title>{escape(what)}</title><style>{_STYLE}</style>", *parts, "</svg>", ""])


def _point(row: Row, label: Label, best: float) -> str:
    """A circle, its whisker to the best round, and its name."""
    kind = "ours" if row["name"].startswith("vggprep") else "keras" if row["name"] == KERAS else "other"
    kind += "" if row["conforms"] else " wrong"
    x, y, box = label.x, label.y, label.box
    almost = not row["conforms"] and not row["wrong"]
    dot = f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' if almost else ""
    near = min(max(x, box.x0), box.x1), min(max(y, box.y0 + 2), box.y1 - 2)
    lead = ""
    if math.hypot(near[0] - x, near[1] - y) > _RADIUS + 6:
        lead = f'<path class="lead" d="M{x:.1f} {y:.1f}L{near[0]:.1f} {near[1]:.1f}"/>'
    whisker = f'<path class="best" d="M{best:.1f} {y:.1f}H{x:.1f}"/>' if x - best > _RADIUS + 1 else ""
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/>'
    text = f'<text x="{box.x0 + 1:.1f}" y="{box.y1 - 3.5:.1f}">{escape(label.name)}</text>'
    return f'<g class="{kind}">{lead}{whisker}{circle}{dot}{text}</g>'


def _frame(least: float, most: float, across: Any, down: Any, allowed: float, found: Row) -> Iterable[str]:
    """Paper, axes, ticks and words."""
    bottom = HEIGHT - BOTTOM
    noisy = " (a noisy run)" if quiet.why_noisy(quiet.read(found["noise"])) else ""
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--f-paper)"/>'
    title = f"Mode {found['mode']}: time against error, lower left is better{noisy}"
    yield f'<text class="title" x="{LEFT}" y="24">{title}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>'
    for ns in (n * 10.0**e for e in range(-3, 6) for n in (1, 2, 5)):
        if least <= ns <= most:
            x = across(ns)
            yield f'<path class="axis" d="M{x:.1f} {bottom}v5"/>'
            yield f'<text class="soft" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{ns:g}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    words = "ns per element, median; the thin line to the left of a point reaches to its best round"
    yield f'<text x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle">{words}</text>'
    words = (
        "filled: conforms; dotted ring: right on every byte, fails elsewhere; ring: wrong; thick line: none is better"
    )
    yield f'<text class="soft" x="{middle:.1f}" y="{bottom + 54}" text-anchor="middle">{words}</text>'
    for units in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, allowed, 1e3, 1e5, 1e7):
        y = down(height(units, allowed))
        yield f'<text class="soft" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{units:g}</text>'
    y = down(height(allowed, allowed))
    yield f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    yield f'<text class="soft" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">above: wrong</text>'
    yield (
        f'<text transform="translate(16 {(TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        "worst error over every byte, in u·S of float32</text>"
    )
