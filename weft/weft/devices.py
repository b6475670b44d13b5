"""Devices by name; each one's packages are imported when it is opened."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import load_config

from .errors import UsageError
from .extras import needs_extra

if TYPE_CHECKING:
    from weft_runtime.device import Device


def open_device(name: str, config: AcceleratorConfig | str | Path | None = None, **options: Any) -> Device:
    """Open a device.

    Parameters
    ----------
    name : str
        One of `DEVICES`, or a server's address such as ``grpc://board.lan:7350``, see docs/remote.md.
    config : AcceleratorConfig, str or Path, optional
        The accelerator: itself, a preset's name, or a file (see `weft_hardware.presets.load_config`). By default the
        ``vta`` preset, and of a server whatever it has.
    **options
        Passed on to the device: ``dram`` for all, ``memory`` and ``max_cycles`` for tsim and timing, ``read_latency``
        and ``max_cycles`` for a server's.

    Raises
    ------
    WeftError
        If the device does not exist, or what it needs is missing.
    """
    if is_remote(name):
        return _remote(name, None if config is None else load_config(config), **options)
    if name not in DEVICES:
        close = difflib.get_close_matches(name, DEVICES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UsageError(f"device {name!r} does not exist; choose one of {', '.join(DEVICES)}{hint}")
    return DEVICES[name](load_config("vta" if config is None else config), **options)


def is_remote(name: str) -> bool:
    """Whether a device's name is a server's address."""
    return name.startswith("grpc://")


def _remote(address: str, config: AcceleratorConfig | None, **options: Any) -> Device:
    with needs_extra("remote", "a remote device"):
        from weft_runtime.remote.device import RemoteDevice
    return RemoteDevice(address, config, **options)


def _functional(config: AcceleratorConfig, **options: Any) -> Device:
    with needs_extra("compiler", "the functional device"):
        from weft_simulator.functional.device import FunctionalDevice
    return FunctionalDevice(config, **options)


def _tsim(config: AcceleratorConfig, **options: Any) -> Device:
    with needs_extra("rtl", "the tsim device"):
        from weft_simulator.tsim.device import TsimDevice
    return TsimDevice(config, **options)


def _timing(config: AcceleratorConfig, **options: Any) -> Device:
    with needs_extra("timing", "the timing device"):
        from weft_simulator.timing.device import TimingDevice
    return TimingDevice(config, **options)


def _pynq(config: AcceleratorConfig, **options: Any) -> Device:
    from weft_boards.pynq_device import PynqDevice

    if "bitstream" not in options:
        raise UsageError(
            "device 'pynq' needs bitstream=, the path of a .bit with its .hwh beside it; see docs/boards.md"
        )
    return PynqDevice(config, **options)


def _uart(config: AcceleratorConfig, **options: Any) -> Device:
    from weft_runtime.uart import UartDevice

    if "port" not in options:
        raise UsageError("device 'uart' needs port=, the serial port of the board, as /dev/ttyUSB0; see docs/boards.md")
    return UartDevice(config, **options)


DEVICES: dict[str, Callable[..., Device]] = {
    "functional": _functional,
    "tsim": _tsim,
    "timing": _timing,
    "pynq": _pynq,
    "uart": _uart,
}
"""How each device is opened."""
