"""The page of ``vggprep check --html``: verdict, matrix, and each cause with pictures of what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vggprep import pages
from vggprep.checks import CHECKS
from vggprep.conformance import report as words
from vggprep.conformance.results import STATUSES, Report, Result, Status
from vggprep.pages import charts
from vggprep.pages.pictures import Image, Pictures, measure
from vggprep.spec import DATA_FORMATS, DTYPES, MODES

if TYPE_CHECKING:
    from markupsafe import Markup

# The kind of chip, the sign in a small field, and the word, the loudest first.
LOOKS: dict[Status, tuple[str, str, str]] = {
    "error": ("bad", "!", "error"),
    "failed": ("bad", "✗", "failed"),
    "known": ("known", "≈", "known"),
    "passed": ("good", "✓", "passed"),
    "refused": ("warn", "–", "refused"),
    "skipped": ("dim", "·", "skipped"),
}
_LOUDEST = list(LOOKS)
_PICTURED = 12
"""Causes of one implementation that are pictured: each takes two calls."""


def page(reports: Sequence[Report], command: str = "") -> str:
    """The page of everything that was judged. Implementations are called again for the pictures of what they do."""
    told = [_told(number, report) for number, report in enumerate(reports, 1)]
    title = told[0]["name"] if len(told) == 1 else f"{len(told)} implementations"
    overall = words.overall(reports) if len(reports) > 1 else ""
    return pages.render(
        "check.html",
        title=f"vggprep check: {title}",
        command=command,
        reports=told,
        overall=overall,
        conform=all(report.conforms for report in reports),
        looks=LOOKS,
    )


def _told(number: int, report: Report) -> dict[str, Any]:
    causes = []
    for at, group in enumerate(words.causes(report.results), 1):
        pictures = measure(report.implementation, group) if at <= _PICTURED else None
        causes.append({**words.cause(group)._asdict(), "count": len(group), **_pictured(f"p{number}-{at}", pictures)})
    return {
        "id": f"r{number}",
        "name": report.implementation.name,
        "verdict": words.verdict(report),
        "conforms": report.conforms,
        "headlines": words.headlines(report),
        "notes": report.notes,
        "known": words.known_text(report),
        "errors": words.error_text(report),
        "causes": causes,
        "summary": _summary(report.results),
        "grids": _grids(report.results),
    }


# The matrix -----------------------------------------------------------------------------------------------------------


def _summary(results: Sequence[Result]) -> dict[str, Any]:
    """Checks down, modes across: how many cells have each status, and the worst error of what was judged."""
    modes = _modes(results)
    rows = []
    for check in CHECKS:
        own = [r for r in results if r.check == check.name]
        if own:
            fields = [_counts(r.status for r in own if r.mode == mode) for mode in modes]
            rows.append((check.name, check.sentence, fields, words.worst_error(own)))
    return {"modes": modes, "rows": rows}


def _modes(results: Sequence[Result]) -> list[str]:
    there = dict.fromkeys(r.mode for r in results)
    return [mode for mode in dict.fromkeys((*MODES, *there)) if mode in there]


def _counts(statuses: Any) -> list[tuple[Status, int]]:
    found = Counter(statuses)
    return [(status, found[status]) for status in _LOUDEST if found[status]]


def _grids(results: Sequence[Result]) -> list[dict[str, Any]]:
    """For each mode, checks down, data formats and dtypes across: the loudest status of the ranks and directions."""
    grids = []
    for mode in _modes(results):
        own = [r for r in results if r.mode == mode]
        dtypes = [dtype for dtype in DTYPES if any(r.dtype == dtype for r in own)]
        formats = [f for f in DATA_FORMATS if any(r.data_format == f for r in own)]
        loudest: dict[tuple[str, str, str], Status] = {}
        for result in own:
            key = result.check, result.data_format, result.dtype
            loudest[key] = min(loudest.get(key, result.status), result.status, key=_LOUDEST.index)
        rows = [
            (check.name, [loudest.get((check.name, f, dtype)) for f in formats for dtype in dtypes])
            for check in CHECKS
            if any(r.check == check.name for r in own)
        ]
        failed = sum(r.status in ("failed", "error") for r in own)
        statuses = [status for status in STATUSES if status in loudest.values()]
        grids.append(
            {"mode": mode, "dtypes": dtypes, "formats": formats, "rows": rows, "failed": failed, "statuses": statuses}
        )
    return grids


# Pictures -------------------------------------------------------------------------------------------------------------


def _pictured(name: str, found: Pictures | str | None) -> dict[str, Any]:
    if not isinstance(found, Pictures):
        return {"no_picture": found or "", "ramps": None, "image": None, "cell": "", "direction": ""}
    return {
        "no_picture": "",
        "cell": str(found.cell),
        "direction": found.direction,
        "ramps": None if found.ramps is None else _ramps(name, found),
        "image": None if found.image is None else _image(found.image),
    }


_CHANNELS = (("red", charts.RED), ("green", charts.GREEN), ("blue", charts.BLUE))


def _ramps(name: str, found: Pictures) -> Markup:
    assert found.ramps is not None
    said = []
    with charts.style():
        from matplotlib.figure import Figure

        figure = Figure((8.4, 2.5), layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        for (channel, colour), errors, axis in zip(_CHANNELS, found.ramps, axes, strict=True):
            finite = np.where(np.isfinite(errors), errors, np.nan)
            axis.axhline(0, color=charts.SOFT, linewidth=1, linestyle=(0, (4, 3)))
            axis.plot(np.arange(256), finite, color=colour, linewidth=2)
            axis.set(xlabel=f"{channel} of the image", xlim=(0, 255), xticks=(0, 64, 128, 192, 255))
            lost = int(np.isnan(finite).sum())
            said.append(f"{channel}: {_span(finite)}" + (f", not finite at {lost} of 256 levels" if lost else ""))
        axes[0].set_ylabel("error, grey levels")
        axes[0].margins(y=0.12)
        what = f"Error in grey levels as each channel rises from 0 to 255, in {found.cell}"
        return charts.svg(figure, name, what, "; ".join(said))


def _span(errors: Any) -> str:
    if np.isnan(errors).all():
        return "no finite value"
    least, most = float(np.nanmin(errors)), float(np.nanmax(errors))
    return f"{least:.4g} everywhere" if f"{least:.4g}" == f"{most:.4g}" else f"{least:.4g} to {most:.4g}"


def _image(image: Image) -> dict[str, Any]:
    finite = image.errors[np.isfinite(image.errors)]
    largest = float(finite.max(initial=0.0))
    share = np.where(np.isfinite(image.errors), image.errors / largest if largest else 0.0, 1.0)
    where = np.zeros((*share.shape, 4))
    where[..., :3] = 0.75, 0.11, 0.16
    where[..., 3] = share
    rows = zip(("went in", "came out", "should come out"), image.worst, strict=True)
    return {
        "original": charts.png(image.original),
        "came": charts.png(image.came),
        "expected": charts.png(image.expected),
        "where": charts.png((where * 255).round().astype(np.uint8)),
        "largest": f"{largest:.4g}",
        "wrong": f"{image.wrong:,} of {image.size:,}",
        "pixels": int((image.errors != 0).sum()),
        "of": image.errors.size,
        "worst": [(word, [f"{value:.7g}" for value in values]) for word, values in rows],
    }
