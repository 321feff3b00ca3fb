"""What mkdocs needs to make a site of pages that are written to be read as files: see mkdocs.yml.

README.md, CONTRIBUTING.md and CHANGELOG.md join the pages of this folder, and so does the notebook, with its outputs.
Links between them are kept; links to what is no page, such as a folder of programs, become their text.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OUTSIDE = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
NOTEBOOKS = {"docs/question.ipynb": "notebook.md"}
_LINK = re.compile(r"(?<!!)\[([^]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in this folder."""
    from mkdocs.structure.files import File

    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    for name, page in NOTEBOOKS.items():
        files.append(File.generated(config, page, content=notebook(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links at the pages of the site."""
    folder = posixpath.dirname(page.file.src_uri)
    there = {file.src_uri for file in files}
    moved = {f"../{name}": to for name, to in OUTSIDE.items()} | OUTSIDE
    moved |= {posixpath.basename(name): to for name, to in NOTEBOOKS.items()}

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if ":" in target:
            return found[0]
        target = target if posixpath.normpath(posixpath.join(folder, target)) in there else moved.get(target, target)
        known = posixpath.normpath(posixpath.join(folder, target)) in there
        # A page that is missing is left for mkdocs to complain about.
        return f"[{text}]({target}{anchor})" if known or target.endswith(".md") else text

    return _LINK.sub(link, markdown)


def notebook(path: Path) -> str:
    """A notebook with its outputs as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
        for output in cell.get("outputs", ()):
            shown = output.get("data", {"text/plain": output.get("text", "")})
            text = "".join(shown["text/plain"])
            parts.append("".join(shown["text/html"]) if "text/html" in shown else f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"
