"""From pytest-benchmark's JSON to a page: ``python -m benchmarks.report RESULTS.json -o DIR``.

Writes ``results.md``, a table for each task; ``speed.svg`` and ``.png``, bars with the limit as a line; and
``batch.svg`` and ``.png``, ns per element against the batch size. The charts need matplotlib (extra ``bench``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LIMIT = "limit"
OURS = "vggprep"

Row = dict[str, Any]


class ReportError(Exception):
    """What is wrong with the input, in one line."""


def read(path: Path) -> dict[str, Any]:
    """The JSON of a run of these benchmarks. Raises ``ReportError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReportError(f"{path} is no JSON: not UTF-8") from error
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        why = "it is empty" if not text.strip() else f"line {error.lineno}: {error.msg}; is it truncated?"
        raise ReportError(f"{path} is no JSON: {why}") from error
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        raise ReportError(f"{path} is no result of pytest-benchmark (pytest benchmarks --benchmark-json=FILE)")
    if not rows(found) and not costs(found):
        raise ReportError(
            f"{path} holds no row of vggprep's benchmarks; other benchmarks say too little for this report"
        )
    return found


_NEEDED = {
    *("implementation", "label", "verdict", "ranked", "ns_per_element", "gb_per_s", "fraction_of_limit", "times_keras"),
    *("times_usual_inverse", "contiguous", "writes_input", "peak_bytes", "direction", "mode", "data_format", "dtype"),
    *("images", "output", "fresh", "threads", "reading"),
}


def rows(results: dict[str, Any]) -> list[Row]:
    """What was measured about speed: the ``extra_info`` of each benchmark that has it."""
    found = [bench.get("extra_info") for bench in results["benchmarks"] if isinstance(bench, dict)]
    return [row for row in found if isinstance(row, dict) and row.keys() >= _NEEDED]


def costs(results: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What the suite itself costs: extra_info and statistics of each benchmark of ``test_suite_cost.py``."""
    found = [(b.get("extra_info"), b.get("stats")) for b in results["benchmarks"] if isinstance(b, dict)]
    return [
        (info, stats)
        for info, stats in found
        if isinstance(info, dict) and "what" in info and isinstance(stats, dict) and {"min", "median"} <= stats.keys()
    ]


def task_of(row: Row, *without: str) -> tuple[Any, ...]:
    """What two rows have in common that can be compared."""
    names = ("direction", "mode", "data_format", "dtype", "images", "output", "threads", "reading", "gpu")
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
            "formula. Of the 768 pairs of a channel and a byte, the wrong ones are counted; who has any has no rank.",
            "",
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
    return [
        f"{name}, {cores} cores, {system}; {results.get('datetime', '')[:10]}.",
        "",
        f"Versions: {versions}.",
    ]


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
            _pair(row["ns_per_element"], 3),
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


# Charts -----------------------------------------------------------------------------------------------------------

_INK, _GREY, _BLUE, _ORANGE = "#222222", "#9aa5b1", "#1f6fb4", "#d9822b"


def charts(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what there is to draw. Raises ``ReportError`` without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise ReportError('the charts need matplotlib: pip install "vggprep[bench]"') from error
    matplotlib.use("Agg")
    # Text stays text and nothing depends on the hour: small files that can be compared.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vggprep", "font.size": 9})
    written = []
    for name, figure in (("speed", _speed_chart(rows(results))), ("batch", _batch_chart(rows(results)))):
        if figure is None:
            continue
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
        and (group[0]["images"], group[0]["reading"], bool(group[0].get("gpu"))) == (64, False, False)
        and group[0]["threads"] == min(row["threads"] for row in found)
    ]
    return (usual or sorted(groups.values(), key=len, reverse=True))[:3]


def _name(row: Row) -> str:
    return row["label"] + ("" if row["fresh"] else ", out reused")


def _at_home(found: Iterable[Row]) -> list[Row]:
    """Without those who are among reused outputs as a yardstick only."""
    return [row for row in found if row["output"] == "fresh" or not row["fresh"]]


def _speed_chart(found: list[Row]) -> Any:
    from matplotlib import pyplot

    panels = _panels(found)
    if not panels:
        return None
    height = 1.2 + 0.2 * max(len(panel) for panel in panels)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.6 * len(panels), height), squeeze=False)
    for panel, ax in zip(panels, axes[0], strict=True):
        everybody = [row for row in _at_home(panel) if row["implementation"] != LIMIT]
        right = sorted((r for r in everybody if r["ranked"]), key=lambda r: r["ns_per_element"]["median"])
        wrong = sorted((r for r in everybody if not r["ranked"]), key=_name)
        for place, row in enumerate([*right, *wrong]):
            ours = row["implementation"].startswith(OURS)
            speed = row["gb_per_s"]
            colour = (
                "white" if row in wrong else _BLUE if ours else _ORANGE if "keras ndarray" in row["label"] else _GREY
            )
            ax.barh(
                place,
                speed["median"],
                color=colour,
                edgecolor=_GREY if row in wrong else "none",
                hatch="////" if row in wrong else None,
            )
            ax.plot([speed["median"], speed["min"]], [place, place], color=_INK, linewidth=0.8)
            text = f" {speed['median']:.1f}" + (f"  {row['verdict']}" if row["verdict"] != "exact" else "")
            ax.text(speed["min"], place, text, va="center", fontsize=7, color=_INK)
        limits = [row["gb_per_s"]["median"] for row in panel if row["implementation"] == LIMIT]
        if limits:
            ax.axvline(max(limits), color=_INK, linestyle="--", linewidth=1)
            ax.text(max(limits), -1, "limit", ha="center", va="bottom", fontsize=8, backgroundcolor="white")
        ax.set_yticks(range(len(everybody)), [_name(row) for row in [*right, *wrong]])
        ax.invert_yaxis()
        ax.set_xlabel("GB/s read and written, median (thin line: best round)")
        first = panel[0]
        ax.set_title(f"{first['direction']}, {first['mode']}: {first['images']} images, {first['dtype']}")
        ax.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def _batch_chart(found: list[Row]) -> Any:
    from matplotlib import pyplot

    curves = max(
        grouped(found, "images", "output").values(),
        key=lambda group: (len({row["images"] for row in group}), len(group)),
        default=[],
    )
    sizes = sorted({row["images"] for row in curves})
    if len(sizes) < 2:
        return None
    lines: dict[str, list[Row]] = {}
    for row in _at_home(curves):
        if row["ranked"] or row["implementation"] == LIMIT:
            limit = row["implementation"] == LIMIT
            if not (limit and row["output"] == "fresh" and any(r["output"] == "reused" for r in curves)):
                lines.setdefault("limit: convert only" if limit else _name(row), []).append(row)
    figure, ax = pyplot.subplots(figsize=(9, 7))
    ends = []
    for name, points in lines.items():
        points.sort(key=lambda row: row["images"])
        if points[-1]["images"] < sizes[-1]:
            continue  # too slow to be asked for the largest
        x = [row["images"] for row in points]
        y = [row["ns_per_element"]["median"] for row in points]
        colour = _INK if name.startswith("limit") else _BLUE if name.startswith(OURS) else _GREY
        colour = _ORANGE if name.startswith("keras ndarray") else colour
        style = "--" if name.startswith("limit") or name.endswith("reused") else "-"
        ax.plot(x, y, style, marker=".", color=colour, linewidth=1 if colour == _GREY else 1.8)
        ends.append((x[-1], y[-1], name, colour))
    _label_ends(ax, ends)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_xlabel("images of 224x224x3 in the batch")
    ax.set_ylabel("ns per element, median")
    first = curves[0]
    ax.set_title(
        f"{first['direction']}, {first['mode']}, {first['data_format']}, {first['dtype']} (dashed: output reused)"
    )
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _label_ends(ax: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """The lines' names beside their ends, moved apart where they would overlap."""
    least = 0.0
    for x, y, name, colour in sorted(ends, key=lambda end: end[1]):
        at = max(y, least)
        least = at * 1.16
        ax.annotate(name, (x, y), xytext=(x * 1.25, at), fontsize=7, color=colour, va="center", annotation_clip=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.split("\n")[0])
    parser.add_argument(
        "results", metavar="RESULTS.json", type=Path, help="from pytest benchmarks --benchmark-json=..."
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="folder, made if it is not there"
    )
    parser.add_argument("--no-charts", action="store_true", help="the tables only; needs no matplotlib")
    given = parser.parse_args(arguments)
    try:
        results = read(given.results)
        try:
            given.output.mkdir(parents=True, exist_ok=True)
            page = given.output / "results.md"
            page.write_text(markdown(results), encoding="utf-8")
        except OSError as error:
            raise ReportError(f"cannot write to {given.output}: {error.strerror}") from error
        written = [page, *([] if given.no_charts else charts(results, given.output))]
    except ReportError as error:
        print(f"benchmarks.report: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
