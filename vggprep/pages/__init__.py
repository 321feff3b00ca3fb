"""Pages: what the command line tells, as one self-contained HTML file each, to look at.

``render`` fills one of the ``templates``, ``write`` puts the file there. Jinja2 and matplotlib, the extra ``pages``,
are imported when a page is made; ``require`` says beforehand whether they are there.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vggprep import __version__
from vggprep.errors import VggprepError
from vggprep.files import replacing


class PagesError(VggprepError):
    """What pages are made with is not installed."""


def require() -> None:
    """Raise ``PagesError``, with the command that installs it, if something is missing that makes pages."""
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise PagesError(f"--html needs {' and '.join(missing)}: pip install 'vggprep[pages]'")


def render(template: str, **context: Any) -> str:
    """The page that ``templates/TEMPLATE`` makes of ``context``; text in it is escaped, ``markupsafe.Markup`` is not.

    A template extends ``base.html``, which wants ``title`` and takes ``command``, what was typed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vggprep.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html: str = environment.get_template(template).render(version=__version__, **context)
    return html


def write(path: Path, html: str) -> None:
    """Write a page, whole or not at all. Raises ``OSError`` as ``open``."""
    with replacing(path) as file:
        file.write(html)
