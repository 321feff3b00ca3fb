"""Modes that other people have published, each with its source. Imports ``spec`` only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vggprep.spec import Mode

PUBLISHED: Mapping[str, Mode] = MappingProxyType({})
