"""DMA of a convolution's buffers, each made once for all schedules whose buffers are alike.

What a LOAD or STORE says depends on its buffer's extents and on which of them it is, not on the loops around nor on
where the scratchpad has it. So all executions of one kind of buffer are a table, made by the compiler's own
`accel.dma.move_columns`, and schedules that differ in loop order, levels or slots share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray
from weft_compiler.accel.boxes import Linear
from weft_compiler.accel.dma import TileMove, move_columns
from weft_compiler.conv_task import ConvTask
from weft_compiler.tiling import OPERAND_LOOPS, extents, image_size, image_tile, row_step
from weft_hardware.isa import Memory, StoreMode

LOOPS: tuple[str, ...] = ("n", "g", "oc", "y", "x", "ic", "ky", "kx")

FIELDS = (
    *("y_size", "x_size", "y_pad0", "y_pad1", "x_pad0", "x_pad1", "tiles", "x_stride", "dram", "sram"),
    *("parameter", "mode", "is_load"),
)
"""What the rows of a table say of an instruction; ``sram`` counts from the buffer's beginning."""

_MODE, _IS_LOAD = FIELDS.index("mode"), FIELDS.index("is_load")

Table = NDArray[np.int64]


@dataclass(frozen=True)
class Moves:
    """The instructions of all executions of a buffer.

    Parameters
    ----------
    rows : int64 array (n, fields)
        See `FIELDS`.
    starts : int64 array (executions + 1,)
        Where each execution's rows begin; executions count as the indices of `LOOPS` do, the last one fastest.
    trips : int64 array (loops,)
        Executions by loop.
    """

    rows: Table
    starts: NDArray[np.int64]
    trips: NDArray[np.int64]


@lru_cache(maxsize=4096)
def inputs(task: ConvTask, tiles: tuple[int, ...]) -> Moves:
    """LOADs of the image, for tiles of so many iterations of each of `LOOPS`; a whole loop has one tile."""
    t, of = task, dict(zip(LOOPS, tiles, strict=True))
    at, trips = _indices(task, of, Memory.INP)
    scale = t.stride[0] // row_step(t)
    height, width = image_size(t)
    rows, columns = image_tile(t, of)
    top, left = t.pads[:2]
    first_row = at["y"] * of["y"] * scale + at["ky"] * of["ky"] * t.dilation[0]
    first_column = at["x"] * of["x"] * t.stride[1] + at["kx"] * of["kx"] * t.dilation[1]
    # A buffer as large as the image begins where that does, whatever of it a tile needs.
    if rows == height:
        first_row = 0 * first_row
    if columns == width:
        first_column = 0 * first_column
    step = row_step(t)
    loops = (
        _Loop(at["n"] * of["n"], of["n"], t.n, t.inputs * t.ih * t.iw),
        _Loop(at["g"] * of["g"], of["g"], t.groups, t.ic * t.ih * t.iw),
        _Loop(at["ic"] * of["ic"], of["ic"], t.ic, t.ih * t.iw),
        _Loop(first_row, rows, height, step * t.iw),
        _Loop(first_column, columns, width, 1),
    )
    inside: list[tuple[int, int, NDArray[np.int64]]] = []
    if any(t.pads):
        row, column = first_row * step - top, first_column - left
        inside = [(3, step, row), (3, -step, t.ih - 1 - row), (4, 1, column), (4, -1, t.iw - 1 - column)]
    return _moves(loops, -top * t.iw - left, inside, can_pad=True, trips=trips)


@lru_cache(maxsize=4096)
def weights(task: ConvTask, tiles: tuple[int, ...]) -> Moves:
    """LOADs of weights."""
    t, of = task, dict(zip(LOOPS, tiles, strict=True))
    at, trips = _indices(task, of, Memory.WGT)
    sizes = {"g": t.groups, "oc": t.oc, "ic": t.ic, "ky": t.kh, "kx": t.kw}
    return _moves(_dense(at, of, sizes), 0, (), can_pad=True, trips=trips)


@lru_cache(maxsize=4096)
def parameters(task: ConvTask, tiles: tuple[int, ...]) -> Moves:
    """LOADs of parameters."""
    of = dict(zip(LOOPS, tiles, strict=True))
    at, trips = _indices(task, of, Memory.PARAM)
    return _moves(_dense(at, of, {"g": task.groups, "oc": task.oc}), 0, (), can_pad=True, trips=trips)


@lru_cache(maxsize=4096)
def results(
    task: ConvTask, tiles: tuple[int, ...], parameter_tiles: tuple[int, ...], constant_mode: int, loads: bool
) -> Moves:
    """STOREs of results, for buffers of parameters of so many tiles; each behind their LOADs if these go along."""
    of, held = (dict(zip(LOOPS, sizes, strict=True)) for sizes in (tiles, parameter_tiles))
    at, trips = _indices(task, of, Memory.ACC)
    t = task
    sizes = {"n": t.n, "g": t.groups, "oc": t.oc, "y": t.oh, "x": t.ow}
    first, factors = np.zeros_like(at["n"]), [0] * len(sizes)
    if t.requantisation is not None:
        for loop, step in (("g", held["oc"]), ("oc", 1)):
            first = first + at[loop] * of[loop] % held[loop] * step
            factors[list(sizes).index(loop)] = step
    made = _moves(_dense(at, of, sizes), 0, (), can_pad=False, trips=trips, parameter=(first, factors))
    made.rows[:, _MODE] += constant_mode
    if not loads:
        return made
    return _behind(_moves(_dense(at, of, {"g": t.groups, "oc": t.oc}), 0, (), can_pad=True, trips=trips), made)


@lru_cache(maxsize=4096)
def results_by_pixel(task: ConvTask, tiles: tuple[int, ...], rows: int, constant_mode: int) -> Moves:
    """STOREs of so many rows of one block of channels at a time, each behind the LOAD of its pixels' parameters."""
    t, of = task, dict(zip(LOOPS, tiles, strict=True))
    at, trips = _indices(task, of, Memory.ACC)
    parts = of["y"] // rows
    shape = (len(at["n"]), of["n"], of["g"], of["oc"], parts)
    execution, n, g, oc, part = (index.reshape(-1) for index in np.indices(shape))
    begin = {loop: at[loop][execution] * of[loop] for loop in ("n", "g", "oc", "y", "x")}
    channels = (_Loop(begin["g"] + g, 1, t.groups, t.oc * t.oh * t.ow), _Loop(begin["oc"] + oc, 1, t.oc, t.oh * t.ow))
    pixels = (_Loop(begin["y"] + part * rows, rows, t.oh, t.ow), _Loop(begin["x"], of["x"], t.ow, 1))
    image = _Loop(begin["n"] + n, 1, t.n, t.outputs * t.oh * t.ow)
    loads = _moves((*channels, *pixels), 0, (), can_pad=True, trips=trips)
    block = (n * of["g"] + g) * of["oc"] + oc
    stores = _moves(
        (image, *channels, *pixels), 0, (), can_pad=False, trips=trips,
        parameter=(np.zeros_like(n), [0, 0, 0, of["x"], 1]),
        sram=(block * of["y"] + part * rows) * of["x"],
    )  # fmt: skip
    stores.rows[:, _MODE] += constant_mode
    made = _behind(loads, stores)
    return Moves(made.rows, made.starts[:: len(n) // shape[0]], trips)


def _behind(loads: Moves, stores: Moves) -> Moves:
    """The LOADs of each execution, then its STOREs."""
    loads.rows[:, _IS_LOAD] = 1
    counts = [np.diff(moves.starts) for moves in (loads, stores)]
    step = np.concatenate([np.repeat(np.arange(len(each)), each) for each in counts])
    rows = np.concatenate([loads.rows, stores.rows])[np.argsort(step, kind="stable")]
    return Moves(rows, loads.starts + stores.starts, stores.trips)


@dataclass(frozen=True)
class _Loop:
    """A loop of the copy: its first index in each execution, its iterations, those of the tensor, tiles apart there."""

    first: NDArray[np.int64]
    count: int
    whole: int
    dram: int


def _indices(task: ConvTask, of: dict[str, int], memory: Memory) -> tuple[dict[str, NDArray[np.int64]], Table]:
    """The index of each loop in every execution of an operand's buffer, and the executions by loop."""
    whole = extents(task)
    trips = [-(-whole[loop] // of[loop]) if loop in OPERAND_LOOPS[memory] else 1 for loop in LOOPS]
    grid = np.indices(trips).reshape(len(LOOPS), -1)
    return dict(zip(LOOPS, grid, strict=True)), np.array(trips, np.int64)


def _dense(at: dict[str, NDArray[np.int64]], of: dict[str, int], sizes: dict[str, int]) -> tuple[_Loop, ...]:
    """Loops over a tensor of these dimensions."""
    names = list(sizes)
    return tuple(
        _Loop(at[loop] * of[loop], of[loop], sizes[loop], prod(sizes[inner] for inner in names[k + 1 :]))
        for k, loop in enumerate(names)
    )


def _moves(
    loops: Sequence[_Loop],
    origin: int,
    inside: Sequence[tuple[int, int, NDArray[np.int64]]],
    *,
    can_pad: bool,
    trips: Table,
    parameter: tuple[NDArray[np.int64], list[int]] | None = None,
    sram: NDArray[np.int64] | None = None,
) -> Moves:
    """The table of a copy whose buffer holds its loops densely, from tile ``sram`` on."""
    steps = len(loops[0].first)
    own = [k for k, loop in enumerate(loops) if loop.count > 1]
    apart = [prod(loop.count for loop in loops[k + 1 :]) for k in range(len(loops))]

    def over(base: NDArray[np.int64], factors: Sequence[int]) -> Linear:
        return Linear(base, tuple(factors[k] for k in own) or (0,))

    def single(k: int, factor: int) -> list[int]:
        return [factor if j == k else 0 for j in range(len(loops))]

    base = np.full(steps, origin, np.int64)
    for loop in loops:
        base = base + loop.first * loop.dram
    move = TileMove(
        "the tensor",
        tuple(loops[k].count for k in own) or (1,),
        over(base, [loop.dram for loop in loops]),
        over(np.zeros(steps, np.int64) if sram is None else sram, apart),
        tuple(over(loop.whole - 1 - loop.first, single(k, -1)) for k, loop in enumerate(loops)),
        tuple(over(first, single(k, factor)) for k, factor, first in inside),
        can_pad,
        None if parameter is None else over(*parameter),
    )
    step, columns = move_columns(move)
    mode = columns["parameter_x"] * int(StoreMode.PARAM_X) + columns["parameter_y"] * int(StoreMode.PARAM_Y)
    columns |= {"mode": mode, "is_load": np.zeros_like(mode)}
    table = np.stack([columns[name] for name in FIELDS], axis=1).astype(np.int64)
    return Moves(table, np.searchsorted(step, np.arange(steps + 1)), trips)
