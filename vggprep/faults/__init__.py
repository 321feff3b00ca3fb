"""The gallery: known wrong implementations, each with its story and the check that must catch it.

It proves the suite (``FAULTS`` must fail, ``HONEST`` must pass) and diagnoses users' failures: a wrong output
is compared with what each fault makes of the same input. A fault that shows only for one data format, dtype or
shape returns the right answer elsewhere, so that the suite has to find the spot. Imports NumPy, the spec, the
reference, the public functions and ``implementations``; never the checks, which it judges, nor a framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from vggprep.faults import constants, contract, inverse, symmetries, values
from vggprep.faults.fault import Fault
from vggprep.faults.honest import HONEST


def _faults(module: ModuleType) -> Iterator[Fault]:
    """The faults of a module in the order of their definition, alone or in tuples."""
    for found in vars(module).values():
        for item in found if isinstance(found, tuple) else (found,):
            if isinstance(item, Fault):
                yield item


FAULTS: tuple[Fault, ...] = tuple(
    fault for module in (constants, values, symmetries, contract, inverse) for fault in _faults(module)
)
"""The gallery, in the order of the checks; diagnosis prefers the earlier of two faults that fit equally well."""

__all__ = ["FAULTS", "HONEST", "Fault"]
