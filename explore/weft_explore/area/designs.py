"""The designs that the area model is fitted to, and those that are held out to judge it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.presets import PRESETS

SMALL = PRESETS["tiny4"]
"""What fitted designs vary: its modules take a second each."""


@dataclass(frozen=True)
class Design:
    """One accelerator, and whether the model is judged by it and has not seen it."""

    name: str
    config: AcceleratorConfig
    packed: bool = False
    held_out: bool = False


_EXTENDED = {"pad_value": True, "widening_load": True, "gemm_overwrite": True, "alu_extensions": True}
_DEEP = {"inp_depth": 1024, "wgt_depth": 512, "acc_depth": 1024, "uop_depth": 2048}
_MIDDLE = {"inp_depth": 200, "wgt_depth": 100, "acc_depth": 128, "uop_depth": 512}
_QUEUES = {"command_queue_depth": 64, "token_queue_depth": 31}
_PORT = {"reads_in_flight": 8, "writes_in_flight": 8, "max_burst": 16}

_VARIATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "columns": {"block_out": 8},
    "rows": {"block_in": 8},
    "extended": _EXTENDED,
    "epilogue": {"epilogue_lanes": 2, "param_depth": 32},
    "wide bus": {"axi_data_bits": 128},
    "larger": {"block_in": 8, "block_out": 16, **_MIDDLE},
    "residual": {"epilogue_lanes": 2, "param_depth": 32, "residual": True},
    "deep": _DEEP,
    "batch": {"batch": 2},
    "port": _PORT,
    "table": {"epilogue_lanes": 1, "param_depth": 32, "table": True},
    "queues": _QUEUES,
    "all": {
        **_EXTENDED,
        **_DEEP,
        **_PORT,
        **_QUEUES,
        "block_in": 8,
        "block_out": 8,
        "epilogue_lanes": 4,
        "residual": True,
        "table": True,
    },
    "narrow weights": {"wgt_bits": 4},
    "wide inputs": {"inp_bits": 16},
    "wide outputs": {"out_bits": 16},
    "wider bus": {"axi_data_bits": 256, "block_out": 8},
    "addresses": {"axi_addr_bits": 40},
    "no raw store": {"raw_store": False},
    "queues of 512": {"command_queue_depth": 512, "token_queue_depth": 255},
    "many in flight": {"reads_in_flight": 32, "writes_in_flight": 32},
    "sixteen": {"block_in": 16, "block_out": 16, "inp_depth": 256, "wgt_depth": 256, "acc_depth": 256},
    "deeper": {"inp_depth": 4096, "wgt_depth": 2048, "acc_depth": 4096, "uop_depth": 16384},
    "batch and bus": {"batch": 4, "block_out": 8, "axi_data_bits": 128, "gemm_overwrite": True},
    "epilogue, wide bus": {"epilogue_lanes": 4, "axi_data_bits": 128, "block_out": 8, "residual": True, "table": True},
    "thirty-two": {"block_in": 4, "block_out": 32, "epilogue_lanes": 8, "param_depth": 256},
    "widest bus": {"axi_data_bits": 512},
    "long addresses": {"axi_addr_bits": 64},
    "longer dot products": {"block_in": 16},
    "longest dot products": {"block_in": 32},
    "long dot products of narrow weights": {"block_in": 8, "wgt_bits": 4},
    "longer dot products of narrow weights": {"block_in": 16, "wgt_bits": 4},
    "long dot products of wide inputs": {"block_in": 8, "inp_bits": 16},
}
_PACKED: dict[str, dict[str, Any]] = {
    "packed": {},
    "packed columns": {"block_out": 8},
    "packed rows": {"block_in": 16},
    "packed weights": {"wgt_bits": 4},
    "packed batch": {"batch": 2, "block_in": 8, "block_out": 8},
    "packed long rows": {"block_in": 8},
    "packed longest rows": {"block_in": 32},
    "packed long rows of narrow weights": {"block_in": 8, "wgt_bits": 4},
    "packed longer rows of narrow weights": {"block_in": 16, "wgt_bits": 4},
}


def fitted() -> list[Design]:
    """The designs that the model is fitted to, the most telling ones first."""
    plain = [Design(name, replace(SMALL, **changed)) for name, changed in _VARIATIONS.items()]
    packed = [Design(name, replace(SMALL, **changed), packed=True) for name, changed in _PACKED.items()]
    return [*plain[:8], *packed[:5], *plain[8:], *packed[5:]]


def whole() -> list[Design]:
    """The designs that are synthesised as one, of a family that dissolves the hierarchy."""
    names = ("small", "epilogue", "larger", "packed columns")
    known = {design.name: design for design in fitted()}
    return [Design("ecp5", PRESETS["ecp5"]), *(known[name] for name in names)]


_CHOICES: dict[str, tuple[Any, ...]] = {
    "batch": (1, 1, 2),
    "block_in": (4, 8, 16),
    "block_out": (8, 16),
    "wgt_bits": (8, 8, 8, 4),
    "inp_depth": (64, 256, 512, 1024, 2048),
    "wgt_depth": (32, 128, 256, 512, 1024),
    "acc_depth": (64, 256, 512, 1024),
    "uop_depth": (256, 1024, 4096),
    "axi_data_bits": (64, 64, 128),
    "max_burst": (16, 256),
    "reads_in_flight": (4, 16),
    "writes_in_flight": (4, 16),
    "command_queue_depth": (32, 128),
    "token_queue_depth": (15, 63),
    "pad_value": (True, False),
    "gemm_overwrite": (True, False),
    "alu_extensions": (True, False),
    "epilogue_lanes": (0, 2, 4),
    "param_depth": (64, 128),
    "residual": (True, False),
    "table": (True, False),
}
"""What a field of a held-out design is; a value listed twice is as likely as two others."""


def held_out(count: int, seed: int = 8) -> Iterator[Design]:
    """One with a wider bus, whose modules are few, and designs drawn at random: the same for the same seed."""
    yield Design("wide bus and columns", replace(SMALL, axi_data_bits=128, block_out=8), held_out=True)
    draw = random.Random(seed)
    for number in range(count):
        while True:
            chosen = {name: draw.choice(values) for name, values in _CHOICES.items()}
            packed = draw.random() < 0.5
            if not chosen["epilogue_lanes"]:
                chosen.update(residual=False, table=False, param_depth=SMALL.param_depth)
            try:
                config = replace(SMALL, **chosen)
            except ConfigError:
                continue
            break
        yield Design(f"random {number}", config, packed and packable(config), held_out=True)


def packable(config: AcceleratorConfig) -> bool:
    """Whether two products fit a multiplier, so that the accelerator can be built packed."""
    return config.inp_bits + 2 * config.wgt_bits + 1 <= 25 and config.inp_bits <= 18
