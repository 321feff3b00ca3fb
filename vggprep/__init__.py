"""The conformance authority for ImageNet preprocessing.

``preprocess_input`` and ``deprocess_input`` are every Keras preprocess mode and its inverse, bit for bit.
``check_implementation``, ``parametrize_with_checks`` and the command ``vggprep check`` judge anybody else's.

Importing this package imports NumPy and nothing heavier: the suite is imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vggprep.functions import deprocess_input, preprocess_input
from vggprep.spec import MODELS, MODES

if TYPE_CHECKING:
    from vggprep import faults, strategies
    from vggprep.checks import CHECKS
    from vggprep.conformance import Result, check_implementation
    from vggprep.implementations import Implementation
    from vggprep.pytest_plugin import parametrize_with_checks

__version__ = "0.1.0"

__all__ = [
    "CHECKS",
    "MODELS",
    "MODES",
    "Implementation",
    "Result",
    "check_implementation",
    "deprocess_input",
    "faults",
    "parametrize_with_checks",
    "preprocess_input",
    "strategies",
]

_WHEN_USED = {
    "CHECKS": "vggprep.checks",
    "Implementation": "vggprep.implementations",
    "Result": "vggprep.conformance",
    "check_implementation": "vggprep.conformance",
    "faults": "",
    "parametrize_with_checks": "vggprep.pytest_plugin",
    "strategies": "",
}


def __getattr__(name: str) -> Any:
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _WHEN_USED[name]
    if not module:
        return importlib.import_module(f"vggprep.{name}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
