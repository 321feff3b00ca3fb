"""The base of every error that a user can cause. Imports nothing."""

from __future__ import annotations


class VggprepError(Exception):
    """Something given to vggprep cannot be used. The message is one line: what was given, what is expected, what to do.

    The command line prints it and ends with exit code 2.
    """
