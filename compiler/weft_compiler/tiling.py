"""Tile sizes and loop order of a convolution: what is resident in the scratchpads at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, tile_bytes

from .accel.kernels import MAX_ITERATIONS
from .conv_task import ConvTask
from .errors import CompileError

PARALLEL = ("n", "g", "oc", "y", "x")
REDUCTION = ("ic", "ky", "kx")
OPERAND_LOOPS = {
    Memory.INP: ("n", "g", "y", "x", "ic", "ky", "kx"),
    Memory.WGT: ("g", "oc", "ic", "ky", "kx"),
    Memory.ACC: ("n", "g", "oc", "y", "x"),
    Memory.PARAM: ("g", "oc"),
}
"""The loops on which each operand's tile depends; of parameters of pixels see `accel.convolution`."""

OPERANDS = (Memory.INP, Memory.WGT, Memory.ACC)
"""What the GEMM reads and writes."""

PLACED: tuple[Memory, ...] = (*OPERANDS, Memory.PARAM)
"""What has a level: the operands, and the epilogue's parameters."""

LOADED = (Memory.INP, Memory.WGT)
"""What the load queue brings."""

PARAMETER_TURN = 130
"""Cycles in which the store queue does nothing else for a load of parameters, at a memory latency of 50."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """One schedule of a convolution: loops over tiles, and where in them each operand's tile stays.

    Inside the loops of ``order`` a GEMM runs over one tile. An operand's buffer is filled, or emptied, at its *level*:
    so many loops are around it, and it holds what all loops further in need of it.

    Parameters
    ----------
    order : tuple of str
        The loops that iterate, outermost first. Those inside the level of the accumulators are loops of the sum.
    extents, tiles : dict
        Whole size and tile size of each loop, in blocks or pixels.
    levels : dict
        Of INP, WGT, ACC and PARAM. The reduction loops are inside the level of ACC, so that accumulators stay until
        they are complete.
    slots : dict
        Buffers of each of INP, WGT and ACC that its scratchpad holds at a time: 2 lets DMA and compute overlap.
    cycles : float
        What it is estimated to take.
    """

    order: tuple[str, ...]
    extents: dict[str, int]
    tiles: dict[str, int]
    levels: dict[Memory, int]
    slots: dict[Memory, int]
    cycles: float = field(default=0.0, compare=False)

    def __hash__(self) -> int:
        tiles = tuple(self.tiles[loop] for loop in self.order)
        return hash((self.order, tiles, *self.levels.values(), *self.slots.values()))

    def trips(self, loop: str) -> int:
        return -(-self.extents[loop] // self.tiles[loop])

    def around(self, memory: Memory) -> tuple[str, ...]:
        """The loops around an operand's buffer."""
        return self.order[: self.levels[memory]]

    def sizes(self, memory: Memory) -> dict[str, int]:
        """What the loops inside an operand's level cover together."""
        around = self.around(memory)
        return {loop: self.tiles[loop] if loop in around else size for loop, size in self.extents.items()}

    def executions(self, memory: Memory) -> int:
        """How often an operand's buffer is filled."""
        return prod(self.trips(loop) for loop in self.around(memory))

    def to_json(self) -> dict[str, Any]:
        """What `tiling_from_json` makes the same of again: loops that do not iterate go without saying."""
        return {
            "order": list(self.order),
            "tiles": {loop: self.tiles[loop] for loop in self.order},
            "levels": {memory.name.lower(): level for memory, level in self.levels.items()},
            "slots": {memory.name.lower(): count for memory, count in self.slots.items()},
        }


def extents(task: ConvTask) -> dict[str, int]:
    """The iteration space of a convolution, in blocks and pixels."""
    return {
        "n": task.n, "g": task.groups, "oc": task.oc, "y": task.oh, "x": task.ow,
        "ic": task.ic, "ky": task.kh, "kx": task.kw,
    }  # fmt: skip


def row_step(task: ConvTask) -> int:
    """Image rows from one that is loaded to the next: a kernel of one row leaves out those between its own."""
    return task.stride[0] if task.kh == 1 and task.phases is None else 1


def image_span(task: ConvTask, sizes: Mapping[str, Any]) -> tuple[Any, Any]:
    """Rows and columns of the image that so many results and taps need, were it large enough; or columns of them."""
    down, right = task.phases.reach if task.phases is not None else (0, 0)
    rows = (sizes["y"] - 1) * (task.stride[0] // row_step(task)) + (sizes["ky"] - 1) * task.dilation[0] + 1 + down
    columns = (sizes["x"] - 1) * task.stride[1] + (sizes["kx"] - 1) * task.dilation[1] + 1 + right
    return rows, columns


def footprint(task: ConvTask, tiles: Mapping[str, Any]) -> dict[Memory, Any]:
    """Scratchpad tiles that one step needs of each operand, the input's halo included; works on columns alike."""
    rows, columns = image_span(task, tiles)
    weights = tiles["g"] * tiles["oc"] * tiles["ic"] * tiles["ky"] * tiles["kx"]
    return {
        Memory.INP: tiles["n"] * tiles["g"] * tiles["ic"] * rows * columns,
        Memory.WGT: weights * task.phase_count,
        Memory.ACC: tiles["n"] * tiles["g"] * tiles["oc"] * tiles["y"] * tiles["x"] * task.phase_count,
    }


def buffer_sizes(tiling: Tiling, memory: Memory) -> dict[str, int]:
    """Iterations of each loop that a buffer holds; loops that do not move it are whole.

    Where tiles do not divide a loop, the image's last rows and columns are counted as if they did.
    """
    around, moving, inside = tiling.around(memory), OPERAND_LOOPS[memory], dict(tiling.extents)
    for k in around:
        if k in moving:
            inside[k] = tiling.tiles[k]
    if memory is Memory.INP:
        for k in ("y", "x", "ky", "kx"):
            if k not in around:
                inside[k] = tiling.trips(k) * tiling.tiles[k]
    return inside


def image_size(task: ConvTask) -> tuple[int, int]:
    """Rows and columns of the padded image, without rows that no kernel touches."""
    down, right = task.phases.reach if task.phases is not None else (0, 0)
    height = (task.oh - 1) * (task.stride[0] // row_step(task)) + (task.kh - 1) * task.dilation[0] + 1 + down
    if task.phases is not None:
        return height, task.ow - 1 + task.kw + right
    return height, task.iw + task.pads[1] + task.pads[3]


def image_tile(task: ConvTask, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Rows and columns of the image that so many results and taps need; there are no more than the image has."""
    rows, columns = image_span(task, sizes)
    height, width = image_size(task)
    return min(rows, height), min(columns, width)


def buffer_tiles(task: ConvTask, tiling: Tiling, memory: Memory) -> int:
    """Scratchpad tiles of one buffer of INP, WGT, ACC or PARAM."""
    return held_tiles(task, buffer_sizes(tiling, memory), memory)


def held_tiles(task: ConvTask, sizes: Mapping[str, int], memory: Memory) -> int:
    """Scratchpad tiles of an operand's buffer of so many iterations of each loop: see `buffer_sizes`."""
    if memory is Memory.PARAM:
        return sizes["g"] * sizes["oc"] * task.parameters
    if memory is not Memory.INP:
        return footprint(task, sizes)[memory]
    rows, columns = image_tile(task, sizes)
    return sizes["n"] * sizes["g"] * sizes["ic"] * rows * columns


def tiling_from_json(task: ConvTask, data: Mapping[str, Any]) -> Tiling:
    """The schedule that `Tiling.to_json` said. Whether its buffers fit is found by lowering it.

    Raises
    ------
    CompileError
        If it is none of this task.
    """
    whole = extents(task)
    try:
        order = tuple(data["order"])
        inside = {loop: int(data["tiles"][loop]) for loop in order}
        levels = {memory: int(data["levels"][memory.name.lower()]) for memory in OPERAND_LOOPS}
        slots = {memory: int(data["slots"][memory.name.lower()]) for memory in OPERANDS}
    except (KeyError, TypeError, ValueError) as error:
        raise CompileError(f"it says no loops, tiles, levels and slots ({error!r})") from None
    for loop in order:
        if loop not in whole or order.count(loop) > 1:
            raise CompileError(f"loop {loop!r} is none of {', '.join(whole)}, or is there twice")
        if not 1 <= inside[loop] < whole[loop]:
            raise CompileError(f"tile {inside[loop]} of loop {loop} is not within 1..{whole[loop] - 1}")
    sums = next((k for k, loop in enumerate(order) if loop in REDUCTION), len(order))
    most = {m: len(order) for m in OPERANDS} | {Memory.ACC: sums, Memory.PARAM: min(sums, levels[Memory.ACC])}
    for memory, level in levels.items():
        if not 0 <= level <= most[memory]:
            raise CompileError(f"level {level} of {memory.name} is not within 0..{most[memory]}")
    for memory, count in slots.items():
        if count not in (1, 2):
            raise CompileError(f"{count} slots of {memory.name} are not 1 or 2")
    return Tiling(order=order, extents=whole, tiles=whole | inside, levels=levels, slots=slots)


def even_splits(extent: int) -> list[int]:
    """Tile sizes that cut an extent into pieces as equal as possible, largest first.

    >>> even_splits(10)
    [10, 5, 4, 3, 2, 1]
    """
    pieces, count = [], 1
    while True:
        size = -(-extent // count)
        if size <= MAX_ITERATIONS:
            pieces.append(size)
        if size == 1:
            return pieces
        # The next count that makes the piece smaller.
        count = -(-extent // (size - 1))


def used_share(memory: Memory, around: Sequence[str], whole: Mapping[str, int], tiles: Mapping[str, Any]) -> Any:
    """What an operand's buffer inside these loops holds on average, of what it has room for; works on columns alike.

    Tiles that do not divide a loop leave a smaller one at its end.
    """
    moving = [loop for loop in around if loop in OPERAND_LOOPS[memory]]
    return prod(whole[loop] / (-(-whole[loop] // tiles[loop]) * tiles[loop]) for loop in moving)


def parameter_level(task: ConvTask, order: Sequence[str], tiles: Mapping[str, int], config: AcceleratorConfig) -> int:
    """Where parameters are loaded, given the loops around a buffer of results: never twice if the scratchpad has room.

    Then as few at a time as that allows, since what is read before the first product delays everything; but all at once
    where STOREs are what takes longest: a load of parameters waits until those before it have retired.
    """
    if task.requantisation is None or task.pixel_parameters:
        return 0
    moving = OPERAND_LOOPS[Memory.PARAM]
    if task.outputs * task.parameters > config.param_depth:
        return max((k + 1 for k, loop in enumerate(order) if loop in moving), default=0)
    level = next((k for k, loop in enumerate(order) if loop not in moving), len(order))
    whole = extents(task)
    loads = prod(-(-whole[loop] // tiles[loop]) for loop in order[:level])
    hidden = task.results * store_cycles(task, config) + loads * PARAMETER_TURN <= task.macs
    return level if hidden else 0


def store_cycles(task: ConvTask, config: AcceleratorConfig) -> float:
    """Cycles in which one accumulator tile leaves: those of the bus, or of the epilogue if that takes longer.

    Parameters of its own are loaded before, in the same queue.
    """
    if task.requantisation is None:
        return tile_bytes(Memory.ACC, config) / config.axi_bytes
    elements = config.batch * config.block_out
    return max(elements / config.axi_bytes, elements / config.epilogue_lanes) + pixel_parameter_beats(task, config)


def pixel_parameter_beats(task: ConvTask, config: AcceleratorConfig) -> float:
    """Beats of the parameters of one tile of results, where each has its own."""
    return tile_bytes(Memory.PARAM, config) / config.axi_bytes if task.pixel_parameters else 0.0


def read_cycles(task: ConvTask, tiling: Tiling, config: AcceleratorConfig) -> int:
    """Cycles in which the bus brings inputs and weights."""
    return sum(tiling.executions(m) * buffer_tiles(task, tiling, m) * tile_bytes(m, config) for m in LOADED) // (
        config.axi_bytes
    )
