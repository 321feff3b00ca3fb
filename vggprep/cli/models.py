"""``vggprep modes --models``: what a pixel goes through on its way to the first weight of each Keras model.

Imports no framework: which Keras is installed, and which constructors it has, is read from its files.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggprep.configurations.affine import lines
from vggprep.constructors import (
    CONSTRUCTORS,
    CONVERTERS,
    FAMILIES,
    INCIDENTS,
    KERAS,
    KERAS_HUB,
    NOTHING,
    PATCHES,
    WEIGHTS,
    Family,
)
from vggprep.errors import VggprepError
from vggprep.spec import MODES, Mode

if TYPE_CHECKING:
    from click.decorators import FC


def models_option(function: FC) -> FC:
    """``--models``, of a verb with ``as_json``: print the table of constructors, and nothing else."""

    @functools.wraps(function)
    def bundled(*args: Any, models: bool, **others: Any) -> Any:
        if not models:
            return function(*args, **others)
        if any(given for name, given in others.items() if name != "as_json"):
            raise VggprepError("--models prints one table: leave names, files and --as out")
        click.echo(json.dumps(_rows(), indent=2) if others["as_json"] else "\n".join(_lines()))
        return None

    option: Callable[[Any], Any] = click.option(
        "--models", is_flag=True, help="Print what each model of keras.applications does to its input itself."
    )
    return option(bundled)  # type: ignore[no-any-return]


def _rows() -> list[dict[str, Any]]:
    rows = []
    for name, family in CONSTRUCTORS.items():
        for weights in WEIGHTS:
            does = family.does(weights)
            channels = lines(does)
            rows.append(
                {
                    "constructor": name,
                    "weights": weights,
                    "mode": family.mode.name,  # of preprocess_input; so is the order
                    "order": family.mode.channel_order,
                    "scale": [float(channel.scale) for channel in channels],  # of the model itself; so is the offset
                    "offset": [float(channel.offset) for channel in channels],
                    "inside": does.name,
                    "statistics_are_loaded": family.loaded,
                    "include_preprocessing": family.optional or None,
                }
            )
    return rows


def _lines() -> Iterator[str]:
    yield from _wrapped(
        "What a pixel goes through on its way to the first weight of each model of keras.applications: first "
        f"preprocess_input, then the model itself. Measured with Keras {KERAS}; {_here()}."
    )
    groups: dict[tuple[Any, ...], list[Family]] = {}
    for family in FAMILIES:
        alike = family.mode.name, family.inside.name, family.imagenet.name, family.loaded, family.optional
        groups.setdefault(alike, []).append(family)
    for families in groups.values():
        yield ""
        yield from _wrapped(", ".join(name for family in families for name in family.constructors))
        for label, text in _account(families[0]):
            yield from _wrapped(text, f"  {label:<20}")
    yield from _converters()


def _converters() -> Iterator[str]:
    """KerasHub's image converters, if it is installed: what each does as it is built without a preset."""
    found = importlib.util.find_spec("keras_hub")  # which does not import it
    if found is None or not found.origin:
        return
    try:
        version = metadata.version("keras-hub")
        text = (Path(found.origin).parent / "layers" / "__init__.py").read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError):
        return
    names = sorted(set(re.findall(r"\bas (\w*ImageConverter)\b", text)))
    yield ""
    yield from _wrapped(
        f"Image converters of the installed KerasHub {version}, as they are built without a "
        f"preset (resizing: not judged here). Measured with {KERAS_HUB}; vggprep check keras-hub:NAME, or "
        "keras-hub:FILE for the file of a preset, measures one."
    )
    plain = [name for name in names if name not in (*CONVERTERS, *PATCHES)]
    accounts = [(", ".join(plain), "nothing; with a preset, its scale and offset")]
    accounts += [(name, CONVERTERS[name].summary) for name in names if name in CONVERTERS]
    accounts += [(", ".join(n for n in names if n in PATCHES), "not judged: it returns patches and no images")]
    for each, does in accounts:
        if each:
            yield ""
            yield from [*_wrapped(each), *_wrapped(does, f"  {'the converter':<20}")]


def _account(family: Family) -> Iterator[tuple[str, str]]:
    yield "preprocess_input", f"{family.mode.name}: {_said(family.mode)}"
    if not family.loaded:
        yield "the model", _said(family.inside)
        if family.optional:
            yield "", "with include_preprocessing=False: nothing"
        whole = family.mode if family.inside is NOTHING else family.inside
        yield "in all", f"{whole.name} mode" if whole.name in MODES else _said(whole)
        return
    yield "weights=None", f"{family.inside.summary}, then the Normalization that is loaded with weights"
    yield 'weights="imagenet"', f"the same, then {family.imagenet.summary}"
    yield "in all", "(x/255 - mean) / sqrt(variance), 0 and 1 until weights with a mean and a variance are loaded"
    yield (
        "",
        'weights="imagenet": that / sqrt(0.229, 0.224, 0.225); torch mode if these are the variance that is loaded',
    )
    for incident in INCIDENTS:
        yield "beware", incident


def _said(mode: Mode) -> str:
    return "nothing" if mode is NOTHING else mode.summary


def _wrapped(text: str, label: str = "") -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False)


def _here() -> str:
    """Which Keras is installed, and by which constructors it differs."""
    try:
        version = metadata.version("keras")
    except metadata.PackageNotFoundError:
        return "Keras is not installed here"
    found = importlib.util.find_spec("keras")  # which does not import it
    folder = Path(found.origin).parent if found is not None and found.origin else Path()
    try:
        text = (folder / "applications" / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return f"Keras {version} is installed here, and does not say which constructors it has"
    has = set(re.findall(r"\bas ([A-Z]\w+)", text))
    differ = [
        f"{what}: {', '.join(sorted(names))}"
        for what, names in (("without", CONSTRUCTORS.keys() - has), ("not in this table", has - CONSTRUCTORS.keys()))
        if names
    ]
    same = "with the same constructors" if not differ else "; ".join(differ)
    return f"Keras {version} is installed here, {same}" + (
        "" if version == KERAS else " (vggprep check keras:NAME measures one)"
    )
