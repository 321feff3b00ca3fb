"""From pytest-benchmark's JSON to a page: ``python -m benchmarks.report RESULTS.json -o DIR``.

Writes ``results.md``, vggprep's aims and a table for each task; ``speed.svg`` and ``.png``, bars with the limit as a
line; and ``batch.svg`` and ``.png``, ns per element against the batch size. The charts need matplotlib (extra
``bench``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from vggprep.errors import VggprepError
from vggprep.field import quiet
from vggprep.field.adapters import KERAS
from vggprep.field.limit import LIMIT

OURS = "vggprep"

Row = dict[str, Any]


class ReportError(VggprepError):
    """The results cannot be read, or the report cannot be written."""


_NEEDED = {
    *("implementation", "label", "verdict", "ranked", "ns_per_element", "gb_per_s", "fraction_of_limit", "times_keras"),
    *("times_usual_inverse", "contiguous", "writes_input", "peak_bytes", "direction", "mode", "data_format", "dtype"),
    *("images", "output", "fresh", "threads", "reading"),
}


def read(path: Path) -> dict[str, Any]:
    """The JSON of a run of these benchmarks. Raises ``ReportError``."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if rows(found) or costs(found):
            return found
        reason = "holds no rows of vggprep's benchmarks"
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError):
        reason = "is not the whole JSON of pytest-benchmark"
    raise ReportError(f"{path} {reason}; make one with pytest benchmarks --benchmark-json=FILE")


def rows(results: dict[str, Any]) -> list[Row]:
    """What was measured about speed: the ``extra_info`` of each benchmark that has it."""
    return [bench["extra_info"] for bench in results["benchmarks"] if bench["extra_info"].keys() >= _NEEDED]


def costs(results: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What the suite itself costs: extra_info and statistics of each benchmark of ``test_suite_cost.py``."""
    return [(b["extra_info"], b["stats"]) for b in results["benchmarks"] if "what" in b["extra_info"]]


def task_of(row: Row, *without: str) -> tuple[Any, ...]:
    """What two rows must have in common to be compared."""
    names = ("direction", "mode", "data_format", "dtype", "images", "output", "threads", "reading", "cropped", "gpu")
    return tuple(row.get(name) for name in names if name not in without)


def grouped(found: Iterable[Row], *without: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by task, in order."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        groups.setdefault(task_of(row, *without), []).append(row)
    return groups


def ranked(group: Sequence[Row]) -> list[Row]:
    """The limit, those that do the job by median time, and those that are wrong by name."""

    def key(row: Row) -> tuple[int, float, str]:
        if row["implementation"] == LIMIT:
            return (0, 0.0, "")
        return (1, row["ns_per_element"]["median"], "") if row["ranked"] else (2, 0.0, row["label"])

    return sorted(group, key=key)


# Markdown ---------------------------------------------------------------------------------------------------------


def markdown(results: dict[str, Any]) -> str:
    """The page."""
    lines = ["# Results", "", *_machine(results), ""]
    if rows(results):
        lines += [
            "ns is nanoseconds per element, minimum / median over the rounds; ranks go by the median. Ratios are of",
            "minima / of medians. `exact`: the bits of Keras's arrays. `faithful`: within 8 unit roundoffs of the real",
            "formula. Of the 768 pairs of a channel and a byte, the wrong ones are counted; an implementation with any",
            "has no rank. `~`: the median is more than 5 % above the minimum.",
            "",
            *_aims_table(rows(results)),
        ]
    for group in grouped(rows(results)).values():
        lines += [f"## {title(group[0])}", "", *_table(group), ""]
    if costs(results):
        lines += ["## What the suite itself costs", "", *_cost_table(results), ""]
    return "\n".join(lines)


def title(row: Row) -> str:
    """A task in words."""
    way = "Forward" if row["direction"] == "forward" else "Inverse to uint8"
    images = "1 image" if row["images"] == 1 else f"{row['images']} images"
    threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
    extra = ", then read" if row["reading"] else ""
    extra += ", cropped input" if row.get("cropped") else ""
    extra += ", on the GPU" if row.get("gpu") else ""
    what = f"{row['mode']}, {row['data_format']}, {row['dtype']}, {images}"
    return f"{way}, {what}, {row['output']} output, {threads}{extra}"


def _machine(results: dict[str, Any]) -> list[str]:
    info = results.get("machine_info", {})
    cpu = info.get("cpu", {})
    found = rows(results)
    name = found[0].get("cpu") if found else cpu.get("brand_raw")
    cores = found[0].get("cores") if found else cpu.get("count")
    versions = ", ".join(f"{key} {value}" for key, value in info.get("versions", {}).items())
    system = f"{info.get('system', '?')} {info.get('machine', '')}"
    first = f"{name}, {cores} cores, {system}; {results.get('datetime', '')[:10]}."
    return [first, "", f"Versions: {versions}.", "", quiet.described(noise(results))]


def noise(results: dict[str, Any]) -> quiet.Noise | None:
    """How quiet the machine was; None in the files of older runs."""
    found = quiet.read(results.get("machine_info", {}).get("noise"))
    timed = rows(results)
    return found and replace(found, unsettled=round(sum(not _settled(row) for row in timed) / max(1, len(timed)), 3))


def _settled(row: Row) -> bool:
    return bool(row["ns_per_element"]["median"] <= quiet.SETTLED * row["ns_per_element"]["min"])


def _pair(value: dict[str, float] | None, digits: int = 2) -> str:
    return "" if value is None else f"{value['min']:.{digits}f} / {value['median']:.{digits}f}"


def _table(group: Sequence[Row]) -> list[str]:
    inverse = group[0]["direction"] == "inverse"
    base = "× rint-clip-astype" if inverse else "× Keras arrays"
    lines = [
        f"| # | implementation | verdict | ns | GB/s | of the limit | {base} | contiguous | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    place = 0
    for row in ranked(group):
        place += bool(row["ranked"])
        number = str(place) if row["ranked"] else ("" if row["implementation"] == LIMIT else "wrong")
        notes = " (writes its input)" if row["writes_input"] else ""
        cells = [
            number,
            row["label"] + notes,
            row["verdict"],
            ("" if _settled(row) else "~") + _pair(row["ns_per_element"], 3),
            _pair(row["gb_per_s"], 1),
            _pair(row["fraction_of_limit"]),
            _pair(row["times_usual_inverse"] if inverse else row["times_keras"]),
            "yes" if row["contiguous"] else "no",
            f"{row['peak_bytes'] / 1e6:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cost_table(results: dict[str, Any]) -> list[str]:
    lines = ["| what | min | median | |", "|---|---|---|---|"]
    for info, stats in costs(results):
        lines.append(f"| {info['what']} | {_time(stats['min'])} | {_time(stats['median'])} | {info.get('note', '')} |")
    return lines


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


# Aims -------------------------------------------------------------------------------------------------------------


class Aim(NamedTuple):
    """How large a figure of ours should be at least, in each of ``MODES``; channels last, one thread."""

    backend: str
    direction: str
    images: int
    output: str
    figure: str
    at_least: tuple[float, float, float]


MODES = ("caffe", "tf", "torch")
AIMS = (
    Aim("numba", "forward", 64, "reused", "times_keras", (11, 7, 15)),
    Aim("numba", "forward", 64, "fresh", "times_keras", (2.8, 1.9, 3.8)),
    Aim("numpy", "forward", 64, "reused", "times_keras", (2.3, 1.9, 3.7)),
    Aim("numpy", "forward", 64, "fresh", "times_keras", (1.5, 1.25, 2.5)),
    Aim("numba", "forward", 64, "reused", "fraction_of_limit", (0.9, 0.9, 0.9)),
    Aim("numba", "inverse", 64, "reused", "fraction_of_limit", (0.88, 0.88, 0.88)),
    Aim("numpy", "inverse", 64, "reused", "times_usual_inverse", (3, 3, 3)),
    Aim("numba", "forward", 64, "reused", "times_one_thread", (1.5, 1.5, 1.5)),
    Aim("numba", "forward", 1, "fresh", "times_keras", (1, 1, 1)),
    Aim("numpy", "forward", 1, "fresh", "times_keras", (1, 1, 1)),
)

_FIGURES = {
    "times_keras": "× Keras arrays",
    "fraction_of_limit": "of the limit",
    "times_usual_inverse": "× rint-clip-astype",
    "times_one_thread": "two threads × one (aim for an idle machine)",
}


def _aims_table(found: Sequence[Row]) -> list[str]:
    """vggprep's aims, as far as they were measured."""
    usual = {("forward", "uint8", "channels_last", False), ("inverse", "float32", "channels_last", False)}
    rows_by_aim = {
        tuple(row[key] for key in ("implementation", "direction", "images", "output", "mode", "threads")): row
        for row in found
        if (row["direction"], row["dtype"], row["data_format"], row["reading"]) in usual
        and not (row.get("gpu") or row.get("cropped"))
    }
    lines = []
    for aim in AIMS:
        for mode, least in zip(MODES, aim.at_least, strict=True):
            key = (f"{OURS} {aim.backend}", aim.direction, aim.images, aim.output, mode)
            one, two = rows_by_aim.get((*key, 1)), rows_by_aim.get((*key, 2))
            value = _aimed(aim.figure, one, two)
            if one is not None and value is not None:
                verdict = ("missed", "by one of the two", "met")[sum(value[by] >= least for by in ("min", "median"))]
                what = f"{title(one)}: {one['label']}, {_FIGURES[aim.figure]}"
                lines.append(f"| {what} | ≥ {least:g} | {value['min']:.2f} | {value['median']:.2f} | {verdict} |")
    head = ["## Aims of vggprep", "", "| | aim | by minima | by medians | |", "|---|---|---|---|---|"]
    return [*head, *lines, ""] if lines else []


def _aimed(figure: str, one: Row | None, two: Row | None) -> dict[str, float] | None:
    """A figure of a row with one thread, perhaps against the same with two; None if it was not measured."""
    if one is None or figure != "times_one_thread":
        value: dict[str, float] | None = one and one[figure]
        return value
    if two is None:
        return None
    return {by: one["ns_per_element"][by] / two["ns_per_element"][by] for by in ("min", "median")}


# Charts -----------------------------------------------------------------------------------------------------------

_INK, _GREY, _BLUE, _ORANGE = "#222222", "#7d8894", "#1f6fb4", "#d9822b"


def charts(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the charts that the rows allow. Raises ``ReportError`` without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise ReportError("the charts need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    # Text stays text and nothing depends on the time: small files that can be compared.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vggprep", "font.size": 9})
    written = []
    noisy = quiet.why_noisy(noise(results))
    for name, figure in (("speed", _speed_chart(rows(results))), ("batch", _batch_chart(rows(results)))):
        if figure is None:
            continue
        if noisy:
            figure.text(0.5, -0.02, f"A noisy run: {noisy}.", ha="center", va="top", fontsize=8)
        for suffix in ("svg", "png"):
            path = folder / f"{name}.{suffix}"
            figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Date": None} if suffix == "svg" else None)
            written.append(path)
    return written


def _panels(found: list[Row]) -> list[list[Row]]:
    """Up to three tasks to draw: the usual one in each mode if it was measured, else those with the most rows."""
    groups = grouped(found, "output")
    usual = [
        group
        for group in groups.values()
        if (group[0]["direction"], group[0]["data_format"], group[0]["dtype"]) == ("forward", "channels_last", "uint8")
        and group[0]["images"] == 64
        and not (group[0]["reading"] or group[0].get("cropped") or group[0].get("gpu"))
        and group[0]["threads"] == min(row["threads"] for row in found)
    ]
    return (usual or sorted(groups.values(), key=len, reverse=True))[:3]


def _name(row: Row) -> str:
    return f"{row['label']}{'' if row['fresh'] else ', out reused'}"


def _comparable(found: Iterable[Row]) -> list[Row]:
    """Without the yardsticks that return a fresh output where the others reuse one."""
    return [row for row in found if row["output"] == "fresh" or not row["fresh"]]


def _colour(row: Row) -> str:
    if row["implementation"] == LIMIT:
        return _INK
    if row["implementation"].startswith(OURS):
        return _BLUE
    return _ORANGE if row["implementation"] == KERAS else _GREY


def _speed_chart(found: list[Row]) -> Any:
    from matplotlib import pyplot

    panels = _panels(found)
    if not panels:
        return None
    height = 1.2 + 0.2 * max(len(panel) for panel in panels)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.6 * len(panels), height), squeeze=False)
    for panel, ax in zip(panels, axes[0], strict=True):
        _draw_speeds(ax, [row for row in ranked(_comparable(panel)) if row["implementation"] != LIMIT])
        limits = [row["gb_per_s"]["median"] for row in panel if row["implementation"] == LIMIT]
        if limits:
            ax.axvline(max(limits), color=_INK, linestyle="--", linewidth=1)
            ax.text(max(limits), -1, "limit", ha="center", va="bottom", fontsize=8, backgroundcolor="white")
        ax.invert_yaxis()
        ax.set_xlabel("GB/s read and written")
        first = panel[0]
        ax.set_title(f"{first['direction']}, {first['mode']}: {first['images']} images, {first['dtype']}")
        ax.spines[["top", "right"]].set_visible(False)
    caption = "Bar and number: the median. Tick: the best round. ~: they are more than 5 % apart."
    figure.supxlabel(caption, fontsize=9)
    figure.tight_layout()
    return figure


def _draw_speeds(ax: Any, bars: Sequence[Row]) -> None:
    for place, row in enumerate(bars):
        speed = row["gb_per_s"]
        style = {"color": _colour(row)} if row["ranked"] else {"color": "white", "edgecolor": _GREY, "hatch": "////"}
        ax.barh(place, speed["median"], **style)
        ax.plot([speed["min"]], [place], marker="|", markersize=7, color=_INK)
        text = f" {'' if _settled(row) else '~'}{speed['median']:.1f}" + (
            f"  {row['verdict']}" if row["verdict"] != "exact" else ""
        )
        ax.text(speed["min"], place, text, va="center", fontsize=7, color=_INK)
    ax.set_yticks(range(len(bars)), [_name(row) for row in bars])


def _batch_chart(found: list[Row]) -> Any:
    from matplotlib import pyplot, ticker

    curves = max(
        grouped(found, "images", "output").values(),
        key=lambda group: (len({row["images"] for row in group}), len(group)),
        default=[],
    )
    sizes = sorted({row["images"] for row in curves})
    if len(sizes) < 2:
        return None
    # One limit: into an existing array where that was measured.
    limit_output = "reused" if any(row["output"] == "reused" for row in curves) else "fresh"
    lines: dict[str, list[Row]] = {}
    for row in sorted(_comparable(curves), key=lambda row: row["images"]):
        if row["implementation"] == LIMIT and row["output"] == limit_output:
            lines.setdefault("limit: convert only", []).append(row)
        elif row["ranked"]:
            lines.setdefault(_name(row), []).append(row)
    figure, ax = pyplot.subplots(figsize=(9, 7))
    ends = []
    for name, points in lines.items():
        last = points[-1]
        if last["images"] == sizes[-1]:  # others are too slow for the largest
            x, y = zip(*((row["images"], row["ns_per_element"]["median"]) for row in points), strict=True)
            width = 1 if _colour(last) == _GREY else 1.8
            ax.plot(x, y, "-" if last["fresh"] else "--", marker=".", color=_colour(last), linewidth=width)
            ends.append((x[-1], y[-1], name, _colour(last)))
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    _label_ends(ax, ends)
    ax.set_xlabel("images of 224x224x3 in the batch")
    ax.set_ylabel("ns per element, median")
    first = curves[0]
    what = f"{first['direction']}, {first['mode']}, {first['data_format']}, {first['dtype']}"
    ax.set_title(f"{what} (dashed: output reused)")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


_APART = 1.16
"""Of two names beside a logarithmic axis, how many times higher one is to be than the other."""


def _label_ends(ax: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """The lines' names next to their ends, moved apart where they would overlap, each joined to its end."""
    ends = sorted(ends, key=lambda end: end[1])
    places: list[float] = []
    for _, y, *_ in ends:
        places.append(max(y, places[-1] * _APART if places else 0.0))
    highest = ax.get_ylim()[1]
    for number in reversed(range(len(places))):
        places[number] = min(places[number], highest)
        highest = places[number] / _APART
    for (x, y, name, colour), at in zip(ends, places, strict=True):
        line = {
            "arrowstyle": "-",
            "color": colour,
            "linewidth": 0.5,
            "shrinkB": 0,
            "relpos": (0, 0.5),
        }  # from the name to its end
        place = {"xytext": (x * 1.25, at), "va": "center", "annotation_clip": False}
        ax.annotate(name, (x, y), fontsize=7, color=colour, arrowprops=line, **place)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", metavar="RESULTS.json", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), required=True, help="created if missing"
)
@click.option("--noisy", is_flag=True, help="draw the charts even if the machine was too busy to measure well")
@click.option("--no-charts", is_flag=True, help="write the tables only; needs no matplotlib")
def main(results: Path, output: Path, noisy: bool, no_charts: bool) -> None:
    """Make a page of tables and charts from the file that pytest benchmarks --benchmark-json writes."""
    page = output / "results.md"
    try:
        found = read(results)
        output.mkdir(parents=True, exist_ok=True)
        page.write_text(markdown(found), encoding="utf-8")
        written = [page]
        if not no_charts:
            if (why := quiet.why_noisy(noise(found))) and not noisy:
                raise ReportError(f"no chart is drawn of a noisy run: {why}; --noisy draws it all the same")
            written += charts(found, output)
    except (ReportError, OSError) as error:
        click.echo(f"benchmarks.report: {error}", err=True)
        raise SystemExit(2) from error
    for path in written:
        click.echo(path)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.report")
