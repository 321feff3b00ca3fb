"""``python -m mutation``: who notices each mutant of Keras's functions. Writes docs/mutation.md and its picture.

``python -m mutation own``: whether vggprep's own tests notice mutants of the code that judges; a sample.

Results are kept in ``build/mutation``, so that the same command goes on where it was interrupted; remove the folder to
begin anew.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from mutation import keras_functions
from vggprep.files import replacing

Row = Mapping[str, Any]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mutation.md"
CURVE = ROOT / "docs" / "mutation.svg"
KEPT = ROOT / "build" / "mutation" / "keras.jsonl"


def kept(path: Path) -> dict[str, dict[str, Any]]:
    """The results of earlier runs, by mutant; a line that was cut off is left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["name"]] = row
    return found


def judge_keras(workers: int, limit: int | None = None) -> list[dict[str, Any]]:
    """Mutants of Keras's functions in the order of the source: all, or those of earlier runs and ``limit`` more."""
    keras_functions.prepared()
    names = [mutant.name for mutant in keras_functions.every()]
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    done = kept(KEPT)
    # The cheap ones first.
    left = sorted((at for at, name in enumerate(names) if name not in done), key=lambda at: names[at].partition(":")[0])
    left = left[:limit]
    context = multiprocessing.get_context("spawn")
    with (
        KEPT.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(workers, context, keras_functions.prepared) as pool,
    ):
        for number, future in enumerate(as_completed([pool.submit(keras_functions.judged_at, at) for at in left]), 1):
            row = future.result()
            done[row["name"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            if (live := sys.stderr.isatty()) or number % 50 == 0:
                print(f"{len(done)} of {len(names)} mutants", end="\r" if live else "\n", file=sys.stderr)
    return [done[name] for name in names if name in done]


WAYS: Mapping[str, Callable[[Row], bool]] = {
    "Keras's own unit tests": lambda row: row["tests"] is not None,
    "one image there and back": lambda row: row["round trip"],
    "one image, `np.allclose`, its defaults": lambda row: row["allclose"],
    "one image, `atol=1e-1`": lambda row: row["error"] > 1e-1,
    "one image, `atol=1e-3`": lambda row: row["error"] > 1e-3,
    "one image, `atol=1e-5`": lambda row: row["error"] > 1e-5,
    "`vggprep check`": lambda row: row["check"] is not None,
}
"""Ways to notice that a function is wrong."""


def _function(row: Row) -> str:
    return str(row["name"]).partition(":")[0]


def report(rows: Sequence[Row]) -> str:
    """The generated part of the page: who notices how many, by which check, and what nobody notices and why."""
    different = [row for row in rows if not row["proof"]]
    columns = [*keras_functions.PATHS, "all"]

    def cells(chosen: Sequence[Row]) -> str:
        counts = Counter(map(_function, chosen))
        return " | ".join(f"{count:,}" for count in (*(counts[name] for name in columns[:-1]), len(chosen)))

    lines = [f"| | {' | '.join(f'`{name}`' if name != 'all' else name for name in columns)} |", "|---|" + "--:|" * 4]
    lines += [f"| mutants | {cells(rows)} |", f"| of these, do the same | {cells([r for r in rows if r['proof']])} |"]
    lines += [f"| **do something else** | {cells(different)} |"]
    lines += [f"| {way} | {cells([row for row in different if sees(row)])} |" for way, sees in WAYS.items()]
    share = [f"{way} {sum(map(sees, different)) / len(different):.1%}" for way, sees in WAYS.items()]
    lines += [
        "",
        f"Of those that do something else: {', '.join(share)}.",
        "",
        "| check (finding) | mutants it is first to see |",
    ]
    lines += ["|---|--:|"]
    lines += [f"| {check} | {n} |" for check, n in Counter(r["check"] for r in different if r["check"]).most_common()]
    missed = [row["name"] for row in different if not row["check"]]
    lines += ["", f"Do something else, and `vggprep check` conforms: {len(missed)}.", ""]
    lines += [f"- `{name}`" for name in missed]
    for proof in sorted({row["proof"] for row in rows if row["proof"]}):
        names = [row["name"] for row in rows if row["proof"] == proof]
        lines += ["", f"{len(names)} do the same: {proof}.", "", *(f"- `{name}`" for name in names)]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[Row]) -> None:
    """The picture: how many mutants a comparison with one image notices, by its tolerance."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "vggprep"
    from matplotlib import pyplot as plt

    different = [row for row in rows if not row["proof"]]
    tolerances = [10 ** (exponent / 10) for exponent in range(-80, 31)]
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    seen = [100 * sum(row["error"] > tolerance for row in different) / len(different) for tolerance in tolerances]
    axes.semilogx(tolerances, seen, label="one random image, absolute tolerance")
    for way in ("`vggprep check`", "Keras's own unit tests"):
        share = 100 * sum(map(WAYS[way], different)) / len(different)
        axes.axhline(share, linestyle="--", color="black" if "check" in way else "grey", label=way.strip("`"))
    axes.set(xlabel="tolerance", ylabel="mutants noticed, %", ylim=(0, 103))
    axes.legend(loc="lower left")
    figure.savefig(CURVE, metadata={"Date": None})


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, 1 GB each")
    parser.add_argument("whose", nargs="?", choices=("keras", "own"), default="keras", help="the mutants of what")
    parser.add_argument("--seed", type=int, default=15, help="own: draws the sample")
    parser.add_argument("--minutes", type=float, default=30, help="own: how long to draw; 0 only writes the page")
    parser.add_argument("--limit", type=int, help="keras: how many more to judge; the page is written when all are")
    options = parser.parse_args()
    if options.whose == "own":
        from mutation import own  # with pytest

        if options.minutes:
            own.judge(options.seed, options.minutes, options.workers)
        _write("python -m mutation own", own.report(*own.read(own.KEPT)))
        return 0
    rows = judge_keras(options.workers, options.limit)
    if len(rows) < (whole := len(keras_functions.every())):
        print(f"{len(rows)} of {whole} mutants are judged, kept in {KEPT}: the same command goes on")
        return 0
    draw(rows)
    _write("python -m mutation", report(rows))
    return 0


def _write(command: str, text: str) -> None:
    """Put ``text`` into the page, between what names the command and the end."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- generated: {command} -->\n).*?(<!-- end -->)", flags=re.S)
    with replacing(PAGE) as file:
        file.write(block.sub(lambda match: match[1] + text + match[2], page))


if __name__ == "__main__":
    sys.exit(main())
