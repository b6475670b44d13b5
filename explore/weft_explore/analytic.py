"""What a design takes by the compiler's analytic model: no programs are made, so that thousands can be looked at.

It ranks: cycles lack what layers win by overlapping, accesses are those of the tiles alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from weft_compiler.accel.pooling import choose_pool_tiling, pool_cycles
from weft_compiler.conv_task import ConvTask
from weft_compiler.network import Network
from weft_compiler.pool_task import PoolTask
from weft_compiler.tasks import Task
from weft_compiler.tiling import OPERANDS, buffer_tiles
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, tile_bytes, uop_bits

from .energy import Accesses

_TILED = ("inp_depth", "wgt_depth", "acc_depth", "param_depth", "axi_data_bits", "epilogue_lanes")
"""Fields that decide how a task is cut into tiles, but not what the tasks are, as long as enough fits."""

_BLOCKS = (
    *("batch", "block_in", "block_out", "inp_bits", "wgt_bits", "acc_bits", "out_bits"),
    *("raw_store", "pad_value", "widening_load", "gemm_overwrite", "alu_extensions", "residual", "table"),
)
"""Fields that decide what the tasks are."""


def estimate(network: Network, known: dict[AcceleratorConfig, Counter[Task]], config: AcceleratorConfig) -> Estimated:
    """Cycles and accesses of a network.

    Parameters
    ----------
    known : dict
        The network's tasks by the blocks of a configuration; filled here.

    Raises
    ------
    CompileError
        If a task does not fit the scratchpads.
    """
    roomy = _roomy(config)
    if roomy not in known:
        known[roomy] = network.tasks(roomy)
    tiled = replace(roomy, **{name: getattr(config, name) for name in _TILED})
    cycles, accesses = 0.0, Accesses()
    for task, count in known[roomy].items():
        each = _conv(task, tiled) if isinstance(task, ConvTask) else _pool(task, tiled)
        cycles += count * each[0]
        accesses += Accesses(**{name: count * value for name, value in each[1].items()})
    return cycles, accesses


Estimated = tuple[float, Accesses]


def _roomy(config: AcceleratorConfig) -> AcceleratorConfig:
    """The configuration whose tasks those of the same blocks have: what fits at all fits here."""
    lanes = min(config.block_out, 4) if config.epilogue_lanes else 0
    return AcceleratorConfig(**{name: getattr(config, name) for name in _BLOCKS}, epilogue_lanes=lanes)


@lru_cache(maxsize=1 << 15)
def _conv(task: ConvTask, config: AcceleratorConfig) -> tuple[float, Mapping[str, int]]:
    tiling = choose_tiling(task, config)
    inp, wgt, acc = (
        buffer_tiles(task, tiling, memory) * tiling.executions(memory) * tile_bytes(memory, config)
        for memory in OPERANDS
    )
    written = task.results * tile_bytes(Memory.OUT if task.requantisation is not None else Memory.ACC, config)
    return tiling.cycles, {
        "dram_bytes": inp + wgt + written,
        "inp_bytes": task.macs * tile_bytes(Memory.INP, config) + inp,
        "wgt_bytes": task.macs * tile_bytes(Memory.WGT, config) + wgt,
        "acc_bytes": 2 * task.macs * tile_bytes(Memory.ACC, config) + acc,
        "uop_bytes": task.macs * uop_bits(config) // 8,
        "macs": task.macs * config.macs,
        "requantised": task.results * config.batch * config.block_out if task.requantisation is not None else 0,
    }


@lru_cache(maxsize=1 << 12)
def _pool(task: PoolTask, config: AcceleratorConfig) -> tuple[float, Mapping[str, int]]:
    cycles = pool_cycles(task, choose_pool_tiling(task, config), config)
    moved = task.n * task.channels * (task.ih * task.iw + task.oh * task.ow) * tile_bytes(Memory.INP, config)
    return cycles, {"dram_bytes": moved, "acc_bytes": 2 * cycles * tile_bytes(Memory.ACC, config)}
