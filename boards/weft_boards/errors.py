"""Errors of the board layer."""

from weft_hardware.errors import WeftError


class BoardError(WeftError):
    """A board that does not exist, or that cannot carry what was asked for."""
