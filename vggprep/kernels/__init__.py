"""The results of ``reference.py``, fast: which kernel does a job. Imports NumPy; numba only for work that repays it."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from types import ModuleType

from vggprep.kernels import blocked
from vggprep.kernels.job import Job

_LEAST_ELEMENTS = 1 << 14
"""Below this, calling either takes longer than computing."""


@dataclass
class StartUp:
    """When numba repays its start-up: once the arrays so far have taken NumPy as long as the start-up takes.

    How many more arrays will come is unknown, and switching at that moment never costs more than twice the best choice.
    ``elements``: what NumPy computes in the second or so that importing numba and loading a kernel takes.
    """

    elements: int = 1 << 30
    so_far: int = 0

    def is_repaid(self, elements: int) -> bool:
        """Whether ``elements`` more, after those so far, repay the start-up."""
        if elements < _LEAST_ELEMENTS:
            return False
        self.so_far += elements
        return self.so_far >= self.elements


# The two things that a process remembers here; neither changes a result.
_start_up = StartUp()
_numba_failed = False


def run(job: Job, threads: int, backend: str) -> bool:
    """Do ``job`` with backend ``auto``, ``numpy`` or ``numba``.

    Returns True if the result is unusable: integers were wanted (``job.to_pixels``) and the source held a NaN. Always
    False for other jobs. A numba that cannot be imported, cannot compile or cannot store its machine code is replaced
    by NumPy, with one warning.
    """
    global _numba_failed
    wanted = backend == "numba" or (backend == "auto" and _start_up.is_repaid(job.target.size) and is_numba_installed())
    if wanted and not _numba_failed:
        try:
            compiled = load_compiled()
            if compiled.supports(job):
                return bool(compiled.run(job, threads))
        except Exception as error:
            _numba_failed = True
            warnings.warn(
                f"numba is installed but does not work here ({type(error).__name__}: {error}); "
                "using the NumPy kernels, which give the same results",
                RuntimeWarning,
                stacklevel=4,
            )
    return blocked.run(job, threads)


def is_numba_installed() -> bool:
    """Whether numba can be imported; does not import it."""
    return importlib.util.find_spec("numba") is not None


def load_compiled() -> ModuleType:
    """The numba kernels; importing them takes half a second."""
    from vggprep.kernels import compiled

    return compiled
