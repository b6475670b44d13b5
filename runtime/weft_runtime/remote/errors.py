"""Errors of remote devices, and how every error travels."""

from __future__ import annotations

from typing import Any

from weft_hardware.errors import WeftError
from weft_hardware.registers import Cause, Unit

from ..errors import DeadlockError, DeviceError, Fault, FaultError, ModuleError, TokenError
from .messages import message


class RemoteError(DeviceError):
    """The link, the server, or what it lets a client do: not the program.

    ``status`` is the name of the gRPC status that a server answers with.
    """

    def __init__(self, message: str, status: str = "FAILED_PRECONDITION") -> None:
        super().__init__(message)
        self.status = status


_KINDS: dict[str, type[WeftError]] = {
    "fault": FaultError,
    "deadlock": DeadlockError,
    "token": TokenError,
    "remote": RemoteError,
    "device": DeviceError,
    "module": ModuleError,
}
"""Error classes by their names in the protocol, derived ones before their bases."""

_Error, _Fault = message("Error"), message("Fault")


def error_to_message(error: WeftError) -> Any:
    """What the sentence alone does not tell."""
    kind = next((kind for kind, cls in _KINDS.items() if isinstance(error, cls)), "device")
    if not isinstance(error, FaultError):
        return _Error(kind=kind)
    fault = error.fault
    value = _Fault(cause=fault.cause.name, unit=fault.unit.name, index=fault.index, value=fault.value)
    return _Error(kind=kind, fault=value)


def status_of(error: WeftError) -> str:
    """The name of the status that a call fails with."""
    return error.status if isinstance(error, RemoteError) else "ABORTED"


def error_from_message(sentence: str, value: Any) -> WeftError:
    """The error that the server raised."""
    if value.kind == "fault":
        fault = value.fault
        return FaultError(sentence, Fault(Cause[fault.cause], Unit[fault.unit], fault.index, fault.value))
    return _KINDS.get(value.kind, RemoteError)(sentence)
