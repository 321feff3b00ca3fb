"""matplotlib figures as inline SVG that takes the page's colours, and small images as data.

Imports matplotlib when a chart is drawn. Colours here are names: ``svg`` replaces each by a variable of the style
sheet, so that a chart is readable on light and on dark paper.
"""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER = "#010203", "#020304", "#030405", "#040506"
RED, GREEN, BLUE = "#050607", "#060708", "#070809"
GOOD, BAD, KNOWN, WARN = "#08090a", "#090a0b", "#0a0b0c", "#0b0c0d"
_VARIABLES = {
    INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper", RED: "red", GREEN: "green", BLUE: "blue",
    GOOD: "good", BAD: "bad", KNOWN: "known", WARN: "warn",
}  # fmt: skip

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: to be read aloud, searched and copied
    "svg.hashsalt": "vggprep",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "figure.facecolor": "none",
    "figure.constrained_layout.wspace": 0.08,
    "savefig.facecolor": "none",
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}


def style() -> Any:
    """A context in which figures are made and drawn for ``svg``."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """A figure as ``<svg>`` for a page, with a title and a description for those who do not see it.

    ``name``: a word that no other picture of the page has; ids begin with it.
    """
    from markupsafe import Markup, escape

    with style():
        file = io.StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"\s*\n\s*", "\n", text)
    labels = f"{name}-title {name}-description"
    head = f'<svg class="chart" role="img" aria-labelledby="{labels}"'
    said = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>'
    return Markup(re.sub(r"<svg([^>]*)>", lambda found: f"{head}{found[1]}>\n{said}", text, count=1))


def png(pixels: Any) -> str:
    """A small image, uint8 of shape (height, width, 3 or 4), as a data URI."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
