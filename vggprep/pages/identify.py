"""The page of ``vggprep identify --html``: what a black box does, by what came out of it; or an array's history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vggprep import pages
from vggprep.identification.arrays import ArrayIdentification
from vggprep.identification.functions import Answer, Identification
from vggprep.implementations import Implementation
from vggprep.pages import charts
from vggprep.pages.pictures import transfer

_SHOWN = 320
"""The largest side of a recovered image that is shown, in pixels; of a larger one, every second or third line is."""


def of_functions(found: Sequence[tuple[Implementation, Identification]], command: str = "") -> str:
    """What functions do; they are called again for the picture of what comes out."""
    sections = [
        {
            "name": identification.name,
            "notes": identification.notes,
            "answers": [
                {"text": repr(answer), "right": answer.is_right, "picture": _transfer(f"p{n}-{m}", called, answer)}
                for m, answer in enumerate(identification.answers)
            ],
        }
        for n, (called, identification) in enumerate(found)
    ]
    right = all(identification.is_right for _, identification in found)
    names = ", ".join(identification.name for _, identification in found)
    return pages.render(
        "identify.html", title=f"What {names} does", command=command, sections=sections, right=right, array=None
    )


def of_array(name: str, found: ArrayIdentification | str, command: str = "") -> str:
    """What an array, or the image in a file, has been through; the recovered pixels are shown."""
    picture = None
    if not isinstance(found, str) and found.pixels is not None:
        image = found.pixels if found.pixels.ndim == 3 else found.pixels[0]
        step = -(-max(image.shape[:2]) // _SHOWN)
        picture = {
            "uri": charts.png(image[::step, ::step]),
            "step": step,
            "small": max(image.shape[:2]) < 160,
            "of": 1 if found.pixels.ndim == 3 else len(found.pixels),
        }
    known = not isinstance(found, str) and found.sure != "guess" and bool(found.name)
    text = found if isinstance(found, str) else repr(found)
    title = f"What {name} has been through"
    return pages.render(
        "identify.html", title=title, command=command, sections=[], array=text, right=known, image=picture
    )


_LOOKS = (("red", charts.RED, "-"), ("green", charts.GREEN, "--"), ("blue", charts.BLUE, ":"))


def _transfer(name: str, implementation: Implementation, answer: Answer) -> dict[str, Any] | None:
    """Each output channel, as each channel of the image rises; measured."""
    asked = None if answer.kind == "refuses" else transfer(implementation, answer.asked, answer.dtype)
    if asked is None:
        return None
    case, outputs = asked
    said = []
    with charts.style():
        import numpy as np
        from matplotlib.figure import Figure

        figure = Figure((8.4, 2.7), layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        for k, axis in enumerate(axes):
            for (channel, colour, line), values in zip(_LOOKS, outputs[:, :, k], strict=True):
                finite = np.where(np.isfinite(values), values, np.nan)
                axis.plot(np.arange(256), finite, color=colour, linestyle=line, linewidth=2, label=f"{channel} rises")
                said.append(f"output channel {k}, {channel} rises: {values[0]:.4g} to {values[-1]:.4g}")
            axis.set_title(f"output channel {k}", fontsize=10)
            axis.set(xlabel="grey level of the image", xlim=(0, 255), xticks=(0, 64, 128, 192, 255))
        axes[0].set_ylabel("output")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        svg = charts.svg(figure, name, f"What comes out as one channel rises, in {case.cell}", "; ".join(said))
    return {"svg": svg, "cell": f"{case.data_format}, {case.dtype}, rank {case.rank}"}
