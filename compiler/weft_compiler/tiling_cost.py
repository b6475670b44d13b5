"""What a schedule of a convolution is estimated to take: cycles of multipliers and bus, and what does not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, tile_bytes

from .conv_task import ConvTask
from .tiling import (
    MEMORY_LATENCY,
    OPERANDS,
    ROW_CYCLES,
    Tiling,
    buffer_sizes,
    buffer_tiles,
    image_tile,
    store_cycles,
)


@dataclass(frozen=True)
class Cost:
    """Cycles of each unit alone, and of all together."""

    compute: float
    load: float
    store: float
    cycles: float


@lru_cache(maxsize=1024)
def products(task: ConvTask) -> int:
    """Tile products of a convolution: those with padding are left out where it is zero."""
    if task.phases is not None or task.pad_value:
        return task.macs
    taps = []
    for k, (size, kernel, whole) in enumerate(((task.oh, task.kh, task.ih), (task.ow, task.kw, task.iw))):
        first = np.arange(size)[:, None] * task.stride[k] - task.pads[k]
        at = first + np.arange(kernel)[None] * task.dilation[k]
        taps.append(int(((at >= 0) & (at < whole)).sum()))
    return task.n * task.groups * task.oc * task.ic * taps[0] * taps[1]


def estimate(task: ConvTask, tiling: Tiling, config: AcceleratorConfig) -> Cost:
    """The busiest unit, what waits for a buffer of which there is one copy only, and the first and the last buffers."""
    need = {memory: buffer_tiles(task, tiling, memory) for memory in OPERANDS}
    each = {memory: tiles * tile_bytes(memory, config) / config.axi_bytes for memory, tiles in need.items()}
    each[Memory.ACC] = need[Memory.ACC] * store_cycles(task, config)
    if "x" in tiling.around(Memory.INP):
        columns = image_tile(task, buffer_sizes(tiling, Memory.INP))[1]
        each[Memory.INP] = max(each[Memory.INP], need[Memory.INP] / columns * ROW_CYCLES)
    fills = {memory: tiling.executions(memory) for memory in OPERANDS}
    moved = {memory: each[memory] * fills[memory] for memory in OPERANDS}
    compute, load, store = float(products(task)), moved[Memory.INP] + moved[Memory.WGT], moved[Memory.ACC]
    alone = sum(moved[memory] for memory in OPERANDS if fills[memory] > 1 and tiling.slots[memory] == 1)
    steps = sum(fills.values())
    cycles = max(compute + alone, load, store) + sum(each.values()) + steps * MEMORY_LATENCY
    return Cost(compute, load, store, cycles)
