"""The devices of a server, by what the command line or a file says."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.presets import PRESETS, load_config
from weft_runtime.device import Device
from weft_runtime.dram import Dram

from .devices import DEVICES, open_device
from .errors import UsageError
from .extras import needs_extra

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.remote.sources import Source, Wish

SIMULATORS = ("functional", "tsim", "timing")
"""Devices of which every client gets one of its own; all others are hardware, which there is once."""

_KEYS = {"device": str, "config": str, "count": int, "bitstream": str, "port": str}

MAX_COUNT = 64
"""Devices of one line of a pool."""


@dataclass(frozen=True)
class Served:
    """``count`` devices of a kind and a configuration (a preset, or a file); a board by its bitstream or port."""

    device: str
    config: str = "vta"
    count: int = 1
    bitstream: str = ""
    port: str = ""

    @property
    def board_options(self) -> dict[str, str]:
        """What opens a board."""
        return {name: value for name in ("bitstream", "port") if (value := getattr(self, name))}


def from_options(devices: Sequence[str], configs: Sequence[str], bitstream: str = "", port: str = "") -> list[Served]:
    """One entry a ``--device``, each with its ``--config``, or all with the only one; a board with what is its own.

    Raises
    ------
    UsageError
        If there is no device, or the numbers do not match.
    """
    if not devices:
        raise UsageError("nothing to serve; give --device functional, or --pool FILE.toml")
    if len(configs) > 1 and len(configs) != len(devices):
        raise UsageError(
            f"{len(devices)} --device and {len(configs)} --config do not go together; "
            "give one --config for all, or one for each"
        )
    each = list(configs) * len(devices) if len(configs) == 1 else list(configs) or ["vta"] * len(devices)
    return [
        Served(device, config, 1, bitstream if device == "pynq" else "", port if device == "uart" else "")
        for device, config in zip(devices, each, strict=True)
    ]


def from_file(path: Path) -> list[Served]:
    """Read a pool: a TOML file with a table ``[[device]]`` for each entry, its keys those of `Served`.

    Files, of configurations and bitstreams, are looked for beside the pool's.

    Raises
    ------
    UsageError
        If it cannot be read or says something else.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"pool {path} cannot be read: {error.strerror or error}; check its path") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"pool {path} is not TOML ({error}); write a table [[device]] for each device") from None
    tables = values.get("device")
    if set(values) != {"device"} or not isinstance(tables, list) or not tables:
        raise UsageError(f"pool {path} does not consist of tables [[device]]; write one for each device")
    return [_entry(path, table) for table in tables]


def _entry(path: Path, table: Any) -> Served:
    if not isinstance(table, Mapping) or "device" not in table:
        raise UsageError(f"pool {path}: a table [[device]] has no key 'device'; name a kind such as \"tsim\"")
    for key, value in table.items():
        if key not in _KEYS:
            raise UsageError(f"pool {path}: {key!r} is no key of [[device]]; use {', '.join(_KEYS)}")
        if type(value) is not _KEYS[key]:
            raise UsageError(f"pool {path}: {key} = {value!r} is no {_KEYS[key].__name__}; correct it")
    served = Served(**table)
    if not 1 <= served.count <= MAX_COUNT:
        raise UsageError(f"pool {path}: count = {served.count} is outside 1..{MAX_COUNT}; correct it")
    if served.bitstream:
        served = replace(served, bitstream=str(path.parent / served.bitstream))
    if served.config not in PRESETS:
        served = replace(served, config=str(path.parent / served.config))
    return served


def open_sources(entries: Iterable[Served], progress: Any = None, *, shared: bool = False) -> list[Source]:
    """Sources of all entries, each of which has been opened once: what is missing shows now.

    Parameters
    ----------
    shared : bool
        Lend simulators as boards are lent: one device, and one memory, for all clients.
    progress : callable, optional
        Told how far the build of a simulator is.

    Raises
    ------
    WeftError
        If a device does not exist, or cannot be opened.
    """
    with needs_extra("remote", "serving devices"):
        from weft_runtime.remote.sources import FreshDevices, KeptDevice
    sources: list[Source] = []
    try:
        for entry in entries:
            if entry.device not in DEVICES:
                open_device(entry.device, entry.config)  # which says what there is
            config = load_config(entry.config)
            for _ in range(entry.count):
                if entry.device in SIMULATORS and not shared:
                    sources.append(_simulators(entry.device, config, FreshDevices, progress))
                else:
                    sources.append(KeptDevice(entry.device, open_device(entry.device, config, **entry.board_options)))
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _simulators(kind: str, config: AcceleratorConfig, make: Any, progress: Any) -> Source:
    def opener(wish: Wish) -> Device:
        return open_device(kind, config, **_options(kind, wish))

    from weft_runtime.remote.sources import Wish

    building = {"progress": progress} if kind == "tsim" and progress is not None else {}
    open_device(kind, config, **_options(kind, Wish()), **building).close()
    return make(kind, config, opener)


def _options(kind: str, wish: Wish) -> dict[str, Any]:
    """A client's wish as options of a simulator."""
    options: dict[str, Any] = {}
    if wish.memory is not None:
        base, size = wish.memory
        options["dram"] = Dram.zeros(size, base)
    if kind != "functional":
        from weft_simulator.tsim.model import MemoryTiming

        options["memory"] = MemoryTiming(read_latency=wish.read_latency)
        options["max_cycles"] = wish.max_cycles
    return options
