"""The state of the field as Markdown with its picture, and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vggprep.field import picture, results
from vggprep.files import replacing

Row = dict[str, Any]

_HEAD = """\
# The state of the field

Who preprocesses images for ImageNet networks right, and how fast: libraries, Keras on each of its backends, programs in
Node, and what people copy from each other. Each is judged by the same suite as `vggprep check`, and timed. One command
writes this page and its pictures:

```bash
tox run -e field                               # installs what can be had, and writes docs/field.md
vggprep field --html field.html                # what is installed here, as a page
vggprep field --only torch --only opencv       # some of it
```

"""

_READ = """\
## How to read it

- **Verdict.** `vggprep check` on the whole corpus, in this mode, in every dtype, rank and data format that an
  implementation is meant for. `exact`: the bits of Keras's arrays on every value. `faithful`: within the suite's bound
  of the real formula. No deviation is excused, Keras's included. Refusing is no failure; what is refused is listed.
- **Worst error** is over every byte in every channel, on colours: in `u·S` of float32, as in
  [levels](reference.md#levels); of what is wrong, how many of the 768 pairs of a channel and a byte, and grey levels.
- **Causes** are the suite's own: named only where they reproduce every output that was seen.
- **ns / element** is best round / median of a NumPy array in, a NumPy array out, on one thread, in turns with all the
  others; `~` marks rows whose median stayed more than 5 % above the best round. A program times its own function,
  without the pipe. **× Keras** compares medians with Keras's arrays.
- **The limit** is the same number of bytes converted into existing memory, with no arithmetic.
- The implementations are in [`vggprep/field`](../vggprep/field/adapters.py), each a few lines as its documentation, or
  whoever copies it, writes them. Where a library knows no channel order, the channels are reversed before it.

## Add your machine

```bash
vggprep field --report mine.json                               # send this file
vggprep field --merge mine.json --merge yours.json             # several machines side by side
```

The file's [schema](schemas/field.schema.json). A picture is refused where the machine was busy: more than a tenth of a
core of other work, 1 % of stolen time, or half of the rows not settled. `--noisy` draws it all the same.
"""


def write_markdown(path: Path, files: Sequence[Row]) -> None:
    """Write the page, and next to it a picture for each file: ``NAME.svg``, or ``NAME-MODE.svg`` for several modes."""
    parts = [_HEAD]
    many = len(files) > 1
    for number, found in enumerate(files, 1):
        name = path.stem + (f"-{found['mode']}" if many else "")
        if many and len({f["mode"] for f in files}) < len(files):
            name += f"-{number}"
        with replacing(path.with_name(f"{name}.svg")) as file:
            file.write(picture.svg(found))
        parts += [f"## Mode {found['mode']}\n\n", *(f"- {line}\n" for line in results.about(found)), "\n"]
        parts += [f"![Time against error in mode {found['mode']}; the tables have the numbers]({name}.svg)\n\n"]
        for direction in results.TITLES:
            if results.ranked(found, direction):
                parts += [f"{results.title(found, direction)}.\n\n", _table(found, direction), "\n"]
        left = results.skipped(found)
        if left:
            parts += ["Not here:\n\n", *(f"- {row['name']}: {row['skipped']}\n" for row in left), "\n"]
    parts.append(_READ)
    with replacing(path) as file:
        file.write("".join(parts))


def _table(found: Row, direction: str) -> str:
    lines = [results.HEAD, ["---"] * 5 + ["--:"] * 2]
    lines += [results.cells(row, brief=False) for row in results.ranked(found, direction)]
    bar = "\\|"
    return "".join(f"| {' | '.join(word.replace('|', bar) for word in line)} |\n" for line in lines)


def write_html(path: Path, files: Sequence[Row], command: str) -> None:
    """Write the page. ``command``: what was typed."""
    from markupsafe import Markup

    from vggprep import pages

    html = pages.render(
        "field.html",
        title="The state of the field",
        command=command,
        machines=[
            {
                "about": results.about(found),
                "mode": found["mode"],
                # As wide as its words need: a narrow window scrolls.
                "picture": Markup(picture.svg(found).replace("<svg", '<svg style="min-width: 52rem"', 1)),
                "tables": list(_tables(found)),
                "skipped": [(row["name"], row["skipped"]) for row in results.skipped(found)],
            }
            for found in files
        ],
        head=results.HEAD,
        together=[
            (name, [word for row in rows for word in results.merged_cells(row)])
            for name, rows in (results.together(files) if len({f["mode"] for f in files}) < len(files) else [])
        ],
    )
    pages.write(path, html)


def _tables(found: Row) -> Iterable[tuple[str, list[tuple[bool, tuple[str, ...]]]]]:
    for direction in results.TITLES:
        rows = results.ranked(found, direction)
        if rows:
            yield results.title(found, direction), [(r["conforms"], results.cells(r, brief=False)) for r in rows]
