"""Modes in the configuration files of other libraries: reading, writing, and saying in words what they do.

Standard library only, so that a file is read in a moment.
"""

from vggprep.configurations.read import Configuration, read, read_mode

__all__ = ["Configuration", "read", "read_mode"]
