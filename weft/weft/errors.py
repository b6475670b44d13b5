"""Errors of the public face and the command line."""

from weft_hardware.errors import WeftError


class UsageError(WeftError):
    """A call or a command that cannot be carried out: a missing extra, an unknown name, a file that does not fit."""
