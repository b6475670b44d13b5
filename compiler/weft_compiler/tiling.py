"""Tile sizes and loop order of a convolution: what is resident in the scratchpads at a time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, scratchpad_depth, tile_bytes

from .conv_task import ConvTask
from .errors import CompileError

PARALLEL = ("n", "oc", "y", "x")
REDUCTION = ("ic", "ky", "kx")
OPERAND_LOOPS = {
    Memory.INP: ("n", "y", "x", "ic", "ky", "kx"),
    Memory.WGT: ("oc", "ic", "ky", "kx"),
    Memory.ACC: ("n", "oc", "y", "x"),
}
"""The loops on which each operand's tile depends."""

LOOP_ORDERS = (("n", "y", "x", "oc"), ("oc", "n", "y", "x"))

MAX_ITERATIONS = (1 << 14) - 1
"""Most iterations of one hardware loop: no tile is longer in any dimension."""

MEMORY_LATENCY = 64
"""Cycles charged to each step for instructions and DRAM latency that double buffering does not hide."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """One schedule of a convolution.

    Parameters
    ----------
    order : tuple of str
        All loops, outermost first; the reduction loops are innermost, so accumulators stay until they are complete.
    extents, tiles : dict
        Whole size and tile size of each loop, in blocks or pixels.
    slots : dict
        Tiles of each operand that its scratchpad holds at a time: 2 lets DMA and compute overlap.
    """

    order: tuple[str, ...]
    extents: dict[str, int]
    tiles: dict[str, int]
    slots: dict[Memory, int]

    def trips(self, loop: str) -> int:
        return -(-self.extents[loop] // self.tiles[loop])

    @property
    def nest(self) -> tuple[str, ...]:
        """The loops that iterate at all, outermost first."""
        return tuple(loop for loop in self.order if self.trips(loop) > 1)

    def level(self, memory: Memory) -> int:
        """Depth in the nest at which an operand's tile changes: the loops that enclose its DMA."""
        depths = [k + 1 for k, loop in enumerate(self.nest) if loop in OPERAND_LOOPS[memory]]
        return max(depths, default=0)

    def executions(self, memory: Memory) -> int:
        """How often an operand's tile is moved."""
        return prod(self.trips(loop) for loop in self.nest[: self.level(memory)])


def extents(task: ConvTask) -> dict[str, int]:
    """The iteration space of a convolution, in blocks and pixels."""
    return {
        "n": task.n, "oc": task.oc, "y": task.conv_oh, "x": task.conv_ow,
        "ic": task.ic, "ky": task.kh, "kx": task.kw,
    }  # fmt: skip


def input_window(task: ConvTask, tiles: dict[str, int]) -> tuple[int, int]:
    """Rows and columns of the input tile, halo included."""
    rows = (tiles["y"] - 1) * task.stride[0] + (tiles["ky"] - 1) * task.dilation[0] + 1
    columns = (tiles["x"] - 1) * task.stride[1] + (tiles["kx"] - 1) * task.dilation[1] + 1
    return rows, columns


def footprint(task: ConvTask, tiles: dict[str, int]) -> dict[Memory, int]:
    """Scratchpad tiles that one step needs of each operand."""
    return {
        Memory.INP: tiles["n"] * tiles["ic"] * prod(input_window(task, tiles)),
        Memory.WGT: tiles["oc"] * tiles["ic"] * tiles["ky"] * tiles["kx"],
        Memory.ACC: tiles["n"] * tiles["oc"] * tiles["y"] * tiles["x"],
    }


def _even_splits(extent: int) -> list[int]:
    """Tile sizes that cut an extent into pieces as equal as possible, largest first."""
    pieces, counts = [], 1
    while True:
        size = -(-extent // counts)
        if size <= MAX_ITERATIONS:
            pieces.append(size)
        if size == 1:
            return pieces
        # The next count that makes the piece smaller.
        counts = -(-extent // (size - 1))


def _cost(task: ConvTask, tiling: Tiling, config: AcceleratorConfig, tiles_of: dict[Memory, int]) -> float:
    """Estimated cycles: the busiest of the port's two directions and the multipliers, plus what cannot overlap."""
    moved = {m: tiles_of[m] * tile_bytes(m, config) / config.axi_bytes for m in tiles_of}
    steps = prod(tiling.trips(loop) for loop in tiling.nest)
    compute = task.macs + task.n * task.oc * task.conv_oh * task.conv_ow
    load = sum(moved[m] * tiling.executions(m) for m in (Memory.INP, Memory.WGT))
    store = moved[Memory.ACC] * tiling.executions(Memory.ACC)
    serial = any(tiling.slots[m] < min(2, tiling.executions(m)) for m in tiling.slots)
    body = compute + load + store if serial else max(compute, load, store)
    return body + moved[Memory.INP] + moved[Memory.WGT] + moved[Memory.ACC] + steps * MEMORY_LATENCY


def _fitting(
    task: ConvTask, config: AcceleratorConfig, tiles: dict[str, int], slot_count: int
) -> list[tuple[float, Tiling]]:
    """The schedules of one choice of tiles that fit the scratchpads, with their cost."""
    need = footprint(task, tiles)
    found = []
    for outer in LOOP_ORDERS:
        plain = Tiling(order=outer + REDUCTION, extents=extents(task), tiles=tiles, slots={})
        slots = {m: min(slot_count, plain.executions(m)) for m in need}
        if all(slots[m] * need[m] <= scratchpad_depth(m, config) for m in need):
            tiling = Tiling(order=plain.order, extents=plain.extents, tiles=tiles, slots=slots)
            found.append((_cost(task, tiling, config, need), tiling))
    return found


def _candidates(task: ConvTask, config: AcceleratorConfig, kernel: tuple[int, int]) -> list[dict[str, int]]:
    """Choices of tiles whose every operand fits its scratchpad at least once."""
    found = []
    for oc, ic in product(_even_splits(task.oc), _even_splits(task.ic)):
        if oc * ic * kernel[0] * kernel[1] > config.wgt_depth or oc > config.acc_depth:
            continue
        for y, x in product(_even_splits(task.conv_oh), _even_splits(task.conv_ow)):
            tiles = {"n": 1, "oc": oc, "y": y, "x": x, "ic": ic, "ky": kernel[0], "kx": kernel[1]}
            need = footprint(task, tiles)
            if need[Memory.INP] <= config.inp_depth and need[Memory.ACC] <= config.acc_depth:
                found.append(tiles)
    return found


def choose_tiling(task: ConvTask, config: AcceleratorConfig) -> Tiling:
    """The cheapest schedule by estimated cycles; double-buffered wherever that fits.

    The kernel is cut only if no schedule with the whole kernel fits.

    Raises
    ------
    CompileError
        If not even a single pixel fits the scratchpads.
    """
    for kernel in dict.fromkeys([(task.kh, task.kw), (1, task.kw), (1, 1)]):
        candidates = _candidates(task, config, kernel)
        for slot_count in (2, 1):
            fitting = [f for tiles in candidates for f in _fitting(task, config, tiles, slot_count)]
            if fitting:
                return min(fitting, key=lambda f: f[0])[1]
    raise CompileError(
        f"convolution {task.kh}×{task.kw} of {task.ih}×{task.iw} has no tile that fits scratchpads of "
        f"{config.inp_depth} inputs, {config.wgt_depth} weights and {config.acc_depth} accumulators; enlarge them"
    )
