"""What schedules of a convolution are estimated to take: multipliers, bus and epilogue, and what does not overlap.

The constants were measured at a memory latency of 50: docs/decisions/0028-what-stores-cost.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, tile_bytes

from .conv_task import ConvTask
from .tiling import (
    LOADED,
    OPERANDS,
    Tiling,
    buffer_sizes,
    buffer_tiles,
    image_tile,
    pixel_parameter_beats,
    store_cycles,
    used_share,
)

READ_TURN = 54
"""Cycles of a read beside its beats; as many reads as may be in flight share them."""

ROUND_TRIP = 70
"""Cycles from the end of a buffer's use to its being filled again, or emptied, beside those of its bytes."""

FILL_CYCLES = 4
"""Cycles of instructions for each buffer that is filled or emptied."""

HIDDEN_STEPS = 1.5
"""Products of so many inner steps hide the load of an operand that stays for several of them.

The load queue runs in order and comes to it when all but the last two inner buffers are used up.
"""

RESIDUAL_STORE = 140
"""Cycles of a STORE with a residual operand beside those of its tiles: it is asked for when all before have retired."""

RESIDUAL_CLASH = 0.4
"""Of the beats of a load that begins with such a STORE, those for which the residual operand has to wait."""

SLACK = 0.03
"""Of reads and stores that others hide, by the cube of their share: a busy unit often has others wait for it."""

PIXEL_TURN = 450
"""Cycles of a load of pixels' parameters and of the STORE that uses them, beside their tiles': neither overlaps."""

PIXEL_BEATS = 2.25
"""Cycles of each beat of pixels' parameters: short bursts share the bus with those of inputs and weights."""


@dataclass(frozen=True)
class Cost:
    """Cycles of each unit alone, and of all together; columns, if the schedules are."""

    compute: float
    load: Any
    store: Any
    cycles: Any


@dataclass(frozen=True)
class Buffers:
    """What schedules keep in the scratchpads: numbers of one of them, or columns with one entry each.

    Parameters
    ----------
    tiles, fills : dict
        Of each operand's buffer, and how often it is filled.
    shares : dict
        Of each buffer that is loaded, what is used of it on average.
    stored : dict
        What each loop does within a buffer of results.
    columns : Any
        Pixels of a row of the image in its buffer.
    cuts_rows : Any
        Whether the image has more than these.
    single : dict
        Whether an operand is filled more than once and has one buffer only, so that filling it hides behind nothing.
    """

    tiles: Mapping[Memory, Any]
    fills: Mapping[Memory, Any]
    shares: Mapping[Memory, Any]
    stored: Mapping[str, Any]
    columns: Any
    cuts_rows: Any
    single: Mapping[Memory, Any]


@lru_cache(maxsize=1024)
def products(task: ConvTask) -> int:
    """Tile products of a convolution: those with padding are left out where it is zero."""
    if task.phases is not None or task.pad_value:
        return task.macs
    rows, columns = (len(met) for met in _met(task))
    return task.n * task.groups * task.oc * task.ic * rows * columns


def _met(task: ConvTask) -> Iterator[NDArray[np.int64]]:
    """The rows, then the columns, of the image that the taps of all results meet, each as often as it is met."""
    for k, (size, kernel, whole) in enumerate(((task.oh, task.kh, task.ih), (task.ow, task.kw, task.iw))):
        at = np.arange(size)[:, None] * task.stride[k] + np.arange(kernel) * task.dilation[k] - task.pads[k]
        yield at[(at >= 0) & (at < whole)]


def least_cycles(task: ConvTask, config: AcceleratorConfig) -> float:
    """Cycles that no schedule goes below."""
    return max(needs(task, config))


def needs(task: ConvTask, config: AcceleratorConfig) -> tuple[float, float, float]:
    """Cycles of all products; of reading the pixels that taps meet and weights, once each; of storing the results."""
    pixels = 1 if task.phases is None else 0
    for met in _met(task):
        pixels *= len(np.unique(met))
    reads = task.n * task.inputs * pixels * tile_bytes(Memory.INP, config)
    reads += task.outputs * task.ic * task.kh * task.kw * tile_bytes(Memory.WGT, config)
    return float(products(task)), reads / config.axi_bytes, task.results * store_cycles(task, config)


def store_reads(task: ConvTask, config: AcceleratorConfig) -> float:
    """Beats that the store queue reads for all results: a residual operand, parameters of pixels."""
    operand = tile_bytes(Memory.ACC_8BIT, config) / config.axi_bytes if _has_residual(task) else 0.0
    return task.results * (operand + pixel_parameter_beats(task, config))


def _has_residual(task: ConvTask) -> bool:
    return task.requantisation is not None and task.requantisation.addition is not None


def stores(task: ConvTask, stored: Mapping[str, Any]) -> Any:
    """STOREs of a buffer of results: a STORE has two dimensions, and what is cut unevenly has one less."""
    # Whole rows follow each other; then the other dimension has the blocks of channels.
    whole = stored["x"] == task.ow
    uneven = np.where(whole, task.oh % stored["y"], task.ow % stored["x"]) != 0
    rows = np.where(whole, 1, stored["y"])
    one_each = stored["oc"] * np.where(uneven, rows, 1)
    together = (rows == 1) & ~uneven
    return stored["n"] * stored["g"] * np.where(together, 1, one_each) * task.phase_count


def _parameter_turns(task: ConvTask, stored: Mapping[str, Any], config: AcceleratorConfig) -> Any:
    """How often parameters of pixels are loaded for a buffer of results."""
    rows = np.maximum(config.param_depth // stored["x"], 1)
    return stored["n"] * stored["g"] * stored["oc"] * -(-stored["y"] // rows)


def cost_of(task: ConvTask, buffers: Buffers, config: AcceleratorConfig) -> Cost:
    """The busiest unit, what waits for a buffer, and the first and the last buffers, which nothing hides."""
    fills = buffers.fills
    each = {memory: tiles * (tile_bytes(memory, config) / config.axi_bytes) for memory, tiles in buffers.tiles.items()}
    each[Memory.ACC] = buffers.tiles[Memory.ACC] * store_cycles(task, config)
    # Rows that are cut are not read in one go with the next ones.
    rows = {Memory.INP: np.where(buffers.cuts_rows, buffers.tiles[Memory.INP] / buffers.columns, 0), Memory.WGT: 0}
    for memory, count in rows.items():
        reads = np.maximum(count, each[memory] / config.max_burst)
        each[memory] = np.maximum(each[memory], (each[memory] + reads * READ_TURN) / config.reads_in_flight)
    compute = float(products(task))
    load = each[Memory.INP] * fills[Memory.INP] + each[Memory.WGT] * fills[Memory.WGT]
    load = load + store_reads(task, config)
    store = each[Memory.ACC] * fills[Memory.ACC]
    if _has_residual(task):
        count = stores(task, buffers.stored) * fills[Memory.ACC]
        store = store + RESIDUAL_STORE * count
        for memory in LOADED:
            clashes = np.where(fills[memory] > 1, np.minimum(fills[memory], count), 0)
            store = store + RESIDUAL_CLASH * clashes * each[memory]
    if task.pixel_parameters:
        store = store + PIXEL_TURN * _parameter_turns(task, buffers.stored, config) * fills[Memory.ACC]
        store = store + (PIXEL_BEATS - 1) * pixel_parameter_beats(task, config) * task.n * task.oc * task.oh * task.ow
    body = np.maximum(_filled(compute, each, buffers), _emptied(compute, store, fills[Memory.ACC]))
    for memory, waits in buffers.single.items():
        body = body + np.where(waits, each[memory] * fills[memory], 0)
    busiest = np.maximum(np.maximum(body, load), store)
    slack = SLACK * (load * (load / busiest) ** 3 + store * (store / busiest) ** 3)
    first = each[Memory.INP] + each[Memory.WGT]
    last = compute / np.maximum(fills[Memory.INP], fills[Memory.WGT])
    cycles = np.maximum(np.maximum(body, store) + first, load + last) + each[Memory.ACC]
    cycles = cycles + slack + FILL_CYCLES * sum(fills.values())
    return Cost(compute, load, store, cycles)


def _filled(compute: float, each: Mapping[Memory, Any], buffers: Buffers) -> Any:
    """Cycles of products between loads of buffers that there are two of."""
    fills = buffers.fills
    inner = np.maximum(fills[Memory.INP], fills[Memory.WGT])
    step = compute / inner
    innermost = sum(np.where((fills[m] == inner) & (fills[m] > 1), each[m], 0) for m in LOADED)
    cycles = inner * _turns(step, innermost)
    for memory in LOADED:
        late = np.maximum(0, each[memory] * buffers.shares[memory] + innermost - HIDDEN_STEPS * step)
        cycles = cycles + np.where(fills[memory] < inner, (fills[memory] - 1) * late, 0)
    return cycles


def _emptied(compute: float, store: Any, count: Any) -> Any:
    """Cycles of products between stores of buffers that there are two of."""
    return np.where(count > 1, count * _turns(compute / count, store / count), compute)


def _turns(one: Any, other: Any) -> Any:
    """Cycles of a buffer of two that two units use in turn: the busier one's, or both and the way between them."""
    return np.maximum(np.maximum(one, other), (one + other + ROUND_TRIP) / 2)


def estimate(task: ConvTask, tilings: Sequence[Tiling], config: AcceleratorConfig) -> Cost:
    """What schedules take, one or more: columns with an entry for each."""
    each = [_buffers(task, tiling) for tiling in tilings]
    columns = {part.name: _columns([getattr(buffers, part.name) for buffers in each]) for part in fields(Buffers)}
    return cost_of(task, Buffers(**columns), config)


def _buffers(task: ConvTask, tiling: Tiling) -> Buffers:
    fills = {memory: tiling.executions(memory) for memory in OPERANDS}
    return Buffers(
        tiles={memory: buffer_tiles(task, tiling, memory) for memory in OPERANDS},
        fills=fills,
        shares={m: used_share(m, tiling.around(m), tiling.extents, tiling.tiles) for m in LOADED},
        stored=tiling.sizes(Memory.ACC),
        columns=image_tile(task, buffer_sizes(tiling, Memory.INP))[1],
        cuts_rows="x" in tiling.around(Memory.INP),
        single={memory: fills[memory] > 1 and tiling.slots[memory] == 1 for memory in OPERANDS},
    )


def _columns(values: Sequence[Any]) -> Any:
    """Numbers as a column, and mappings of them as a mapping of columns."""
    if isinstance(values[0], Mapping):
        return {key: np.array([of[key] for of in values]) for key in values[0]}
    return np.array(values)
