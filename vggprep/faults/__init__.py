"""The gallery: known wrong implementations, each with its story and the check that must catch it.

It proves the suite (``FAULTS`` must fail, ``HONEST`` must pass) and diagnoses users' failures: a wrong output
is compared with what each fault makes of the same input. A fault that shows only for one data format, dtype or
shape returns the right answer elsewhere, so that the suite has to find the spot. Imports NumPy
and rooms below; never the checks, which it judges, nor a framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

from vggprep.faults import constants, contract, inverse, symmetries, values
from vggprep.faults.fault import Fault
from vggprep.faults.honest import HONEST
from vggprep.faults.mutations import mutated
from vggprep.implementations import Implementation
from vggprep.spec import ModeName, is_known


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


def in_mode(mode: ModeName) -> tuple[Fault, ...]:
    """The gallery of a mode: the faults that show in it, and the mutations of its definition."""
    return (*(fault for fault in FAULTS if mode in fault.modes), *mutated(mode).faults)


def __getattr__(name: str) -> Implementation:
    """A fault or an honest variant as something to judge: ``vggprep check vggprep.faults:NAME``."""
    mode, _, mutant = name.partition(":")
    known = mutated(mode).faults if mutant and is_known(mode) else FAULTS
    made = {fault.name: fault.implementation for fault in known}
    honest = {variant.name: variant for variant in HONEST}
    if name not in made and name not in honest:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = made[name]() if name in made else honest[name]
    getter = f"faults.{name}" if name.isidentifier() else f"getattr(faults, {name!r})"
    call = f"from vggprep import faults\n{getter.replace('{', '{{').replace('}', '}}')}.{{}}(x, {{!r}}, {{!r}})"
    return replace(
        found,
        source=lambda mode, data_format: call.format("preprocess", data_format, mode),
        inverse_source=lambda mode, data_format: call.format("deprocess", data_format, mode),
    )


__all__ = ["FAULTS", "HONEST", "Fault", "in_mode", "mutated"]
