"""The results of ``reference.py``, fast: which kernel does a job. Imports NumPy only; numba when a job is worth it."""

from __future__ import annotations

import importlib.util
import warnings
from types import ModuleType

from vggprep.kernels import blocked
from vggprep.kernels.job import Job

_START_UP_ELEMENTS = 1 << 30
"""Elements that NumPy computes in the second or so that importing numba and loading a kernel takes."""

_LEAST_ELEMENTS = 1 << 14
"""Below this, calling either takes longer than computing."""

# The two things that a process remembers here; neither changes a result.
_numba_failed = False
_elements_so_far = 0


def run(job: Job, threads: int, backend: str) -> bool:
    """Do ``job`` with backend ``auto``, ``numpy`` or ``numba``. Returns whether a NaN was to become a pixel.

    A numba that cannot be imported, compile or keep what it compiled is replaced by NumPy, with one warning.
    """
    global _numba_failed
    if not _numba_failed and (backend == "numba" or (backend == "auto" and _repays(job))):
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
    """Whether there is a numba to import; does not import it."""
    return importlib.util.find_spec("numba") is not None


def load_compiled() -> ModuleType:
    """The numba kernels; importing them takes half a second."""
    from vggprep.kernels import compiled

    return compiled


def _repays(job: Job) -> bool:
    """Whether numba is installed and worth its start-up.

    It is for an array so large, or when the arrays seen so far together are: nobody can know how many more will
    come, and switching after as long a time as the start-up takes never costs more than twice the best choice.
    """
    global _elements_so_far
    if job.target.size < _LEAST_ELEMENTS:
        return False
    _elements_so_far += job.target.size
    return _elements_so_far >= _START_UP_ELEMENTS and is_numba_installed()
