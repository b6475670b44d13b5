"""Errors of the runtime layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft_hardware.errors import WeftError

if TYPE_CHECKING:
    from weft_hardware.registers import Cause, Unit


@dataclass(frozen=True)
class Fault:
    """What the fault registers say.

    ``index`` is the instruction's number in the unit's queue, from 0; FETCH counts in the program, and ENGINE those
    that retired. ``value`` is the index or address at fault, see `Cause`.
    """

    cause: Cause
    unit: Unit
    index: int
    value: int


class DeviceError(WeftError):
    """A device that cannot be opened, or a run that it could not complete."""


class FaultError(DeviceError):
    """The accelerator stopped the program; ``fault`` says why, the message says it in words."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault = fault


class DeadlockError(DeviceError):
    """The program hangs; the message says who waits for what at which instruction."""


class TokenError(DeviceError):
    """The program ended with tokens that nobody took."""


class ModuleError(WeftError):
    """A ``.weft`` file that cannot be read, or does not fit the device or the input."""
