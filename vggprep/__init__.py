"""The conformance authority for ImageNet preprocessing.

``preprocess_input`` and ``deprocess_input`` are every Keras preprocess mode and its inverse, bit for bit.
``check_implementation``, ``parametrize_with_checks`` and the command ``vggprep check`` judge any other implementation.

Importing this package costs next to nothing: each name is imported when it is first used, so that the pytest plugin
adds nothing to the start-up of projects that merely have vggprep installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vggprep import faults, strategies
    from vggprep.checks import CHECKS
    from vggprep.configurations import read_mode
    from vggprep.conformance.judging import check_implementation
    from vggprep.conformance.results import Result
    from vggprep.functions import Preprocessor, deprocess_input, preprocess_input
    from vggprep.identification.arrays import identify_array
    from vggprep.identification.functions import identify
    from vggprep.implementations import Implementation
    from vggprep.published import PUBLISHED
    from vggprep.pytest_plugin import parametrize_with_checks
    from vggprep.spec import MODELS, MODES, Mode, Step

__version__ = "0.1.0"

__all__ = [
    "CHECKS",
    "MODELS",
    "MODES",
    "PUBLISHED",
    "Implementation",
    "Mode",
    "Preprocessor",
    "Result",
    "Step",
    "check_implementation",
    "deprocess_input",
    "faults",
    "identify",
    "identify_array",
    "parametrize_with_checks",
    "preprocess_input",
    "read_mode",
    "strategies",
]

_HOMES = {
    "CHECKS": "checks",
    "MODELS": "spec",
    "MODES": "spec",
    "PUBLISHED": "published",
    "Implementation": "implementations",
    "Mode": "spec",
    "Preprocessor": "functions",
    "Result": "conformance.results",
    "Step": "spec",
    "check_implementation": "conformance.judging",
    "deprocess_input": "functions",
    "identify": "identification.functions",
    "identify_array": "identification.arrays",
    "parametrize_with_checks": "pytest_plugin",
    "preprocess_input": "functions",
    "read_mode": "configurations",
}


def __getattr__(name: str) -> Any:
    if name in ("faults", "strategies"):
        return importlib.import_module(f"vggprep.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vggprep.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
