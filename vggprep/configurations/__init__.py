"""Modes in the configuration files of other libraries: reading, writing, and saying what they do.

Standard library only, so that a file is read in a moment.
"""

from vggprep.configurations.read import Configuration, read, read_mode
from vggprep.configurations.write import FORMATS, Written, write

__all__ = ["FORMATS", "Configuration", "Written", "read", "read_mode", "write"]
