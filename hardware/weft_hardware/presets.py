"""Named configurations, and configurations from files: our own TOML and VTA's ``vta_config.json``."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import AcceleratorConfig
from .errors import ConfigError

BASE = AcceleratorConfig()
"""VTA's published default, without an extension but raw_store: 1×16×16, int8 operands, int32 accumulators."""

VTA = replace(
    BASE,
    pad_value=True,
    widening_load=True,
    gemm_overwrite=True,
    alu_extensions=True,
    epilogue_lanes=4,
    residual=True,
    table=True,
)
"""The same with every extension; programs of the base run on it unchanged."""

PRESETS: dict[str, AcceleratorConfig] = {
    "vta": VTA,
    "base": BASE,
    # Zynq-7000's memory ports are AXI3: bursts of 16 beats at most.
    "pynq": replace(VTA, max_burst=16),
    "ultra96": replace(VTA, axi_data_bits=128, axi_addr_bits=40),
    # Wider blocks rather than deeper scratchpads: the depths are the most that VTA's encoding can address.
    "zcu104": replace(VTA, block_in=32, block_out=32, axi_data_bits=128, axi_addr_bits=40, epilogue_lanes=8),
    "ecp5": AcceleratorConfig(
        block_in=8,
        block_out=8,
        inp_depth=1024,
        wgt_depth=512,
        acc_depth=512,
        uop_depth=1024,
        command_queue_depth=32,
        token_queue_depth=31,
        reads_in_flight=4,
        writes_in_flight=4,
    ),
    # For tests: a few tiles, tiles narrower than the bus, shallow queues.
    "tiny4": AcceleratorConfig(
        block_in=4,
        block_out=4,
        inp_depth=32,
        wgt_depth=16,
        acc_depth=32,
        uop_depth=64,
        command_queue_depth=8,
        token_queue_depth=4,
        reads_in_flight=2,
        writes_in_flight=2,
    ),
    "tiny8": AcceleratorConfig(
        batch=2,
        block_in=8,
        block_out=8,
        inp_depth=48,
        wgt_depth=20,
        acc_depth=40,
        uop_depth=96,
        command_queue_depth=16,
        token_queue_depth=8,
        reads_in_flight=4,
        writes_in_flight=2,
    ),
}

VTA_KEYS = (
    "LOG_INP_WIDTH",
    "LOG_WGT_WIDTH",
    "LOG_ACC_WIDTH",
    "LOG_BATCH",
    "LOG_BLOCK",
    "LOG_UOP_BUFF_SIZE",
    "LOG_INP_BUFF_SIZE",
    "LOG_WGT_BUFF_SIZE",
    "LOG_ACC_BUFF_SIZE",
)
"""Base-two logarithms of element widths in bits, of batch and block in elements, and of buffer sizes in bytes."""

_MAX_LOG = 40
"""Largest logarithm that is looked at; anything near it is refused by `AcceleratorConfig` in plain words."""


def load_config(name_or_path: AcceleratorConfig | str | Path) -> AcceleratorConfig:
    """A preset by its name, or the configuration in a ``.toml`` or ``vta_config.json`` file; one that is there stays.

    A preset's name wins over a file of that name; ``./vta`` means the file.

    Raises
    ------
    ConfigError
        If there is no such preset or file, or the file holds no buildable configuration.
    """
    if isinstance(name_or_path, AcceleratorConfig):
        return name_or_path
    name = str(name_or_path)
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name_or_path)
    if path.suffix not in (".toml", ".json") and not _is_file(path):
        raise ConfigError(
            f"configuration {name!r} is neither a preset nor a file; "
            f"use a .toml or .json file or one of {', '.join(PRESETS)}{_hint(name, PRESETS)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"configuration file {name!r} cannot be read: {reason}; check its path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"configuration file {name!r} is not UTF-8 text; give a TOML or JSON file") from None
    try:
        return from_vta_json(text) if path.suffix == ".json" else from_toml(text)
    except ConfigError as error:
        raise ConfigError(f"configuration file {name!r}: {error}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no file can have this name
        return False


def from_toml(text: str) -> AcceleratorConfig:
    """Read the fields of `AcceleratorConfig` from TOML; those left out keep the ``vta`` preset's values.

    Raises
    ------
    ConfigError
        If the text is not TOML, a key is no field, or the combination cannot be built.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}; write one `field = value` a line") from None
    known = VTA.to_dict()
    for key in values:
        if key not in known:
            raise ConfigError(f"{key!r} is no field of a configuration{_hint(key, known)}; see `weft config show vta`")
    return replace(VTA, **values)


def to_toml(config: AcceleratorConfig) -> str:
    """Write every chosen field, one a line, so that `from_toml` gives the same configuration."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.to_dict().items())


def from_vta_json(text: str) -> AcceleratorConfig:
    """Read a ``vta_config.json``.

    ``TARGET``, where it names a preset, chooses that preset's memory port; other keys but `VTA_KEYS` have no
    meaning here. VTA's outputs are as wide as its inputs.

    Raises
    ------
    ConfigError
        If the text is not a JSON object, a key is missing or no logarithm, or the combination cannot be built.
    """
    from .isa import Memory, tile_bytes

    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}; give a vta_config.json") from None
    if not isinstance(values, dict):
        raise ConfigError(f"a JSON {type(values).__name__} is no vta_config.json; it must be an object of LOG_… keys")
    log = {key: _logarithm(values, key) for key in VTA_KEYS}
    target = values.get("TARGET")
    port = PRESETS.get(target, VTA) if isinstance(target, str) else VTA
    elements = replace(
        VTA,
        batch=1 << log["LOG_BATCH"],
        block_in=1 << log["LOG_BLOCK"],
        block_out=1 << log["LOG_BLOCK"],
        inp_bits=1 << log["LOG_INP_WIDTH"],
        wgt_bits=1 << log["LOG_WGT_WIDTH"],
        acc_bits=1 << log["LOG_ACC_WIDTH"],
        out_bits=1 << log["LOG_INP_WIDTH"],
        axi_data_bits=port.axi_data_bits,
        axi_addr_bits=port.axi_addr_bits,
        max_burst=port.max_burst,
    )
    depths = {
        f"{memory.name.lower()}_depth": (1 << log[f"LOG_{memory.name}_BUFF_SIZE"]) // tile_bytes(memory, elements)
        for memory in (Memory.UOP, Memory.INP, Memory.WGT, Memory.ACC)
    }
    return replace(elements, **depths)


def _logarithm(values: Mapping[str, Any], key: str) -> int:
    if key not in values:
        raise ConfigError(f"{key} is missing{_hint(key, values)}; a vta_config.json needs {', '.join(VTA_KEYS)}")
    value = values[key]
    if type(value) is not int or not 0 <= value <= _MAX_LOG:
        raise ConfigError(f"{key} = {value!r} is not a base-two logarithm (0..{_MAX_LOG}); give a whole number")
    return value


def _hint(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
