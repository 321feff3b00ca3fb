"""The benchmarks are not installed: their tests find them in the checkout, which comes after installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
