"""Errors of the runtime layer."""

from weft_hardware.errors import WeftError


class DeviceError(WeftError):
    """A device that cannot be opened, or a run that it could not complete."""


class FaultError(DeviceError):
    """The accelerator refused the program: illegal instruction, index outside a scratchpad, bus error."""


class DeadlockError(DeviceError):
    """The program hangs; the message says who waits for what at which instruction."""


class TokenError(DeviceError):
    """The program ended with tokens that nobody took."""


class ModuleError(WeftError):
    """A ``.weft`` file that cannot be read, or does not fit the device or the input."""
