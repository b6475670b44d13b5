"""Errors of the compiler layer."""

from weft_hardware.errors import WeftError


class CompileError(WeftError):
    """A model or tensor program that cannot be compiled; the message says which part and why."""


class ExpressionError(CompileError):
    """A tensor expression that means nothing: types that differ, indices outside a tensor."""


class ScheduleError(CompileError):
    """A schedule primitive that may not be applied; the message says to which stage and axis, why, and what may be."""
