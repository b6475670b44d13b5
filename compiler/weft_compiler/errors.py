"""Errors of the compiler layer."""

from weft_hardware.errors import WeftError


class CompileError(WeftError):
    """A model or tensor program that cannot be compiled; the message says which part and why."""
