"""A convolution's program as the timing model wants it, straight from a schedule: compiled code, no IR, no encoding.

The loops run once; each fill, product and store writes its records in program order, and leaves in every scratchpad
tile who touched it last, from which the tokens follow. What is emitted is what the compiler emits: products follow
`weft_compiler.accel.gemm` and `accel.kernels`, tokens `accel.tokens`, registers `accel.stream`, the order of fetching
`accel.order`; tests hold both together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config as numba_config
from weft_compiler.accel.kernels import MAX_ITERATIONS
from weft_hardware.isa import Memory, Queue, StoreMode
from weft_simulator.timing import state
from weft_simulator.tsim.cache import cache_directory, content_key, source_key

from .pieces import FIELDS, LOOPS

OK, TOO_MANY_UOPS = range(2)
"""What came of it: micro-ops that do not all fit the buffer are left to the compiler itself."""

N, G, OC, Y, X, IC, KY, KX = range(len(LOOPS))
_OWN = 7
"""Loops that an instruction can run: all but the images."""

INP, WGT, ACC, PARAM = range(4)
"""Operands, in the order in which schedules list them."""

BLOCK = ("size", "base", "in_beat", "beats", "pad_cost", "first", "memory")
"""What the records of a memory's blocks need; ``first`` is the tensor's first tile, ``base`` its byte address."""
SIZE, BASE, IN_BEAT, BEATS, PAD_COST, FIRST, MEMORY = range(len(BLOCK))

_F = {name: k for k, name in enumerate(state.INSTRUCTION.names or ())}
FIELD_COUNT = len(_F)
QUEUE = _F["queue"]
_KIND, _REGISTER, _VALUE, _MOVING = _F["kind"], _F["register"], _F["value"], _F["moving"]
_POP_PREV, _POP_NEXT, _PUSH_PREV, _PUSH_NEXT = (_F[k] for k in ("pop_prev", "pop_next", "push_prev", "push_next"))
_TILES, _RANGES, _ADDRESS, _ROW_TILES, _STEP_BYTES, _WIDTH, _MERGED, _PADS_BEFORE = (
    _F[k] for k in ("tiles", "ranges", "address", "row_tiles", "step_bytes", "width", "merged", "pads_before")
)
_ROWS_BEFORE, _ROWS_AFTER, _BEATS_PER_TILE, _TILES_PER_BEAT, _PAD_COST, _SLOT, _SLOT_STEP, _TILE_BYTES = (
    _F[k]
    for k in (
        *("rows_before", "rows_after", "beats_per_tile", "tiles_per_beat", "pad_cost", "slot", "slot_step"),
        "tile_bytes",
    )
)
_SRAM, _MODE, _EIGHT_BIT, _REQUANTISED, _UOP_LOAD, _EXTENT, _DATA_ROWS, _NBYTES, _ACKS, _LAST_PARAM = (
    _F[k]
    for k in (
        *("sram", "mode", "eight_bit", "requantised", "uop_load", "extent", "data_rows", "nbytes"),
        *("acknowledgements", "last_param"),
    )
)
_BEATS, _UOP_BGN, _UOP_END, _BODY, _ITER_IN, _DST_OUT, _DST_IN, _SRC_OUT, _SRC_IN = (
    _F[k] for k in ("beats", "uop_bgn", "uop_end", "body", "iter_in", "dst_out", "dst_in", "src_out", "src_in")
)
_OVERWRITES, _READS_ACC, _DST_REACH, _SRC_REACH, _WGT_REACH, _SRC_DEPTH, _WGT_DEPTH = (
    _F[k] for k in ("overwrites", "reads_acc", "dst_reach", "src_reach", "wgt_reach", "src_depth", "wgt_depth")
)
_Y_SIZE, _X_SIZE, _Y_PAD0, _Y_PAD1, _X_PAD0, _X_PAD1, _T, _X_STRIDE, _DRAM, _S, _PARAMETER, _M = range(len(FIELDS))
_LOAD_QUEUE, _COMPUTE_QUEUE, _STORE_QUEUE = int(Queue.LOAD), int(Queue.COMPUTE), int(Queue.STORE)
_ACC_8BIT = int(Memory.ACC_8BIT)
_LOAD_KIND, _STORE_KIND, _LOOP_KIND, _SET_KIND, _NOTHING_KIND = (
    state.LOAD_KIND, state.STORE_KIND, state.LOOP_KIND, state.SET_KIND, state.NOTHING_KIND,
)  # fmt: skip
_PARAM_X, _PARAM_Y = int(StoreMode.PARAM_X), int(StoreMode.PARAM_Y)
ACCUMULATE, OVERWRITE, RESET = range(3)
_NEVER_SET = -(1 << 40)
"""What no register holds."""


@functools.cache
def _directory() -> str:
    here = source_key([Path(__file__), Path(__file__).with_name("pieces.py"), Path(state.__file__)])
    return str(cache_directory() / "tune" / content_key(numba.__version__, here))


def _compiled(function: Callable[..., Any]) -> Any:
    settings: Any = numba_config
    before, settings.CACHE_DIR = settings.CACHE_DIR, _directory()
    try:
        return numba.njit(function, cache=True, error_model="numpy", boundscheck=False)
    finally:
        settings.CACHE_DIR = before


@_compiled
def _grown(table, count):
    """The table with room for one more row."""
    if count < len(table):
        return table
    larger = np.zeros((2 * len(table), table.shape[1]), np.int64)
    larger[: len(table)] = table
    return larger


@_compiled
def _slot(table, key):
    """Where a key lies in a table of keys and values, or belongs; keys of 0 are free places."""
    mask = len(table) - 1
    at = (key ^ key >> 17) & mask
    while table[at, 0] != 0 and table[at, 0] != key:
        at = at + 1 & mask
    return at


@_compiled
def _with_key(table, count, key, value):
    """The table with one more key, of which it has ``count`` before; twice as long where it gets full."""
    if 2 * (count + 1) > len(table):
        larger = np.zeros((2 * len(table), 2), np.int64)
        for k in range(len(table)):
            if table[k, 0]:
                larger[_slot(larger, table[k, 0])] = table[k]
        table = larger
    at = _slot(table, key)
    table[at, 0], table[at, 1] = key, value
    return table


@_compiled
def _block(rec, i, row, block, sram, is_store, queue):
    """A LOAD or STORE's record, as `timing.program` describes it."""
    x, y, stride = row[_X_SIZE], row[_Y_SIZE], row[_X_STRIDE]
    rows = row[_Y_PAD0] + y + row[_Y_PAD1]
    pads = row[_X_PAD0] + row[_X_PAD1] + row[_Y_PAD0] + row[_Y_PAD1]
    merged = stride == x and pads == 0
    width = row[_X_PAD0] + x + row[_X_PAD1]
    size = block[SIZE]
    has_data = x != 0 and y != 0
    r = rec[i]
    r[QUEUE], r[_REGISTER] = queue, -1
    r[_KIND] = _STORE_KIND if is_store else _LOAD_KIND
    if (is_store and not has_data) or (not is_store and x == 0 and queue == _COMPUTE_QUEUE):
        r[_KIND] = _NOTHING_KIND
    r[_TILES] = width * rows if x != 0 else 0
    r[_RANGES] = (1 if merged else y) if has_data else 0
    r[_ADDRESS] = block[BASE] + row[_DRAM] * size
    r[_ROW_TILES] = x * y if merged else x
    r[_STEP_BYTES] = stride * size
    r[_WIDTH] = x * y if merged else width
    r[_MERGED] = merged
    r[_PADS_BEFORE], r[_ROWS_BEFORE], r[_ROWS_AFTER] = row[_X_PAD0], row[_Y_PAD0], row[_Y_PAD1]
    r[_BEATS_PER_TILE], r[_TILES_PER_BEAT], r[_PAD_COST] = block[BEATS], block[IN_BEAT], block[PAD_COST]
    r[_SLOT] = (block[FIRST] + row[_DRAM]) % block[IN_BEAT]
    r[_SLOT_STEP] = stride % block[IN_BEAT]
    r[_TILE_BYTES], r[_SRAM] = size, sram
    r[_EXTENT] = ((y - 1) * stride + x) * size
    r[_DATA_ROWS] = r[_RANGES]
    r[_NBYTES] = r[_ROW_TILES] * size
    if is_store:
        r[_MODE] = row[_M]
        r[_ACKS] = r[_RANGES]
        r[_EIGHT_BIT] = r[_REQUANTISED] = block[MEMORY] == _ACC_8BIT
        r[_LAST_PARAM] = (x - 1) * (row[_M] & _PARAM_X != 0) + (y - 1) * (row[_M] & _PARAM_Y != 0)


@_compiled
def _set(rec, i, queue, register, value, moving):
    r = rec[i]
    r[QUEUE], r[_KIND], r[_REGISTER], r[_VALUE], r[_MOVING] = queue, _SET_KIND, register, value, moving


@_compiled
def _loop(rec, i, g, begin, depths):
    """A GEMM's record, its micro-ops from ``begin`` on."""
    r = rec[i]
    mode, outer, inner, size = g[0], g[1], g[2], g[10]
    r[QUEUE], r[_KIND], r[_REGISTER] = _COMPUTE_QUEUE, _LOOP_KIND, -1
    r[_UOP_BGN], r[_UOP_END], r[_BODY], r[_ITER_IN] = begin, begin + size, size, inner
    r[_BEATS] = size * outer * inner
    r[_DST_OUT], r[_DST_IN], r[_SRC_OUT], r[_SRC_IN] = g[3], g[4], g[5], g[6]
    r[_DST_REACH] = (outer - 1) * g[3] + (inner - 1) * g[4]
    r[_SRC_REACH] = (outer - 1) * g[5] + (inner - 1) * g[6]
    r[_WGT_REACH] = (outer - 1) * g[7] + (inner - 1) * g[8]
    r[_OVERWRITES] = mode == OVERWRITE
    if mode != RESET:
        r[_READS_ACC], r[_SRC_DEPTH], r[_WGT_DEPTH] = 1, depths[0], depths[1]


@_compiled
def _kernel(gemms, gemm_count, uops, uop_count, mode, counts, steps, starts, start_count, both):
    """One more instruction: see `accel.kernels.make_kernel`. ``both`` is whether src and wgt count, too."""
    loops = np.zeros((_OWN, 4), np.int64)
    n = 0
    for k in range(_OWN):
        count = counts[k]
        if count == 1:
            continue
        d, s, w = steps[k, 0], steps[k, 1] * both, steps[k, 2] * both
        if n:
            o = loops[n - 1]
            if o[1] == count * d and o[2] == count * s and o[3] == count * w and o[0] * count <= MAX_ITERATIONS:
                o[0], o[1], o[2], o[3] = o[0] * count, d, s, w
                continue
        loops[n, 0], loops[n, 1], loops[n, 2], loops[n, 3] = count, d, s, w
        n += 1
    first = second = -1
    for k in range(n):
        if loops[k, 0] > MAX_ITERATIONS:
            continue
        if first < 0 or loops[k, 0] > loops[first, 0]:
            first, second = k, first
        elif second < 0 or loops[k, 0] > loops[second, 0]:
            second = k
    low, high = min(first, second), max(first, second)
    gemms = _grown(gemms, gemm_count)
    g = gemms[gemm_count]
    g[:] = 0
    g[0], g[1], g[2] = mode, 1, 1
    if low >= 0:
        g[1], g[3], g[5], g[7] = loops[low, 0], loops[low, 1], loops[low, 2], loops[low, 3]
    if high >= 0:
        g[2], g[4], g[6], g[8] = loops[high, 0], loops[high, 1], loops[high, 2], loops[high, 3]
    total = start_count
    for k in range(n):
        if k != first and k != second:
            total *= loops[k, 0]
    while uop_count + total > len(uops):
        uops = _grown(uops, len(uops))
    for s in range(start_count):
        u = uops[uop_count + s * (total // start_count)]
        u[:] = 0
        for k in range(_OWN):
            u[0] += steps[k, 0] * starts[s, k]
            u[1] += steps[k, 1] * starts[s, k] * both
            u[2] += steps[k, 2] * starts[s, k] * both
        # The other loops, the innermost one fastest.
        size = 1
        span = total // start_count
        for k in range(n):
            if k in (first, second):
                continue
            span //= loops[k, 0]
            for have in range(size - 1, -1, -1):
                source = uop_count + s * (total // start_count) + have * span * loops[k, 0]
                for turn in range(1, loops[k, 0]):
                    for o in range(3):
                        uops[source + turn * span, o] = uops[source, o] + turn * loops[k, 1 + o]
            size *= loops[k, 0]
    g[9], g[10] = uop_count, total
    for o in range(3):
        least = most = uops[uop_count, o]
        for k in range(uop_count + 1, uop_count + total):
            least, most = min(least, uops[k, o]), max(most, uops[k, o])
        g[11 + 2 * o] = least
        g[12 + 2 * o] = most + 1 + (g[1] - 1) * g[3 + 2 * o] + (g[2] - 1) * g[4 + 2 * o]
    return gemms, gemm_count + 1, uops, uop_count + total


@_compiled
def _cut(low, high, extent, before, after, step):
    """``[low, high)`` of a loop whose iterations are ``step`` apart, of those at least −before and at most after."""
    low = max(low, -(before // step))
    high = min(high, after // step + 1)
    return low, max(high, low)


@_compiled
def _plan(gemms, gemm_count, uops, uop_count, cls, tiles, steps, geometry):
    """All instructions of a kind of step: see `accel.gemm.StepPlan`.

    ``cls`` has what is done of g, oc, ic, ky and kx, of y and x, what there is before and behind the first pixel's
    first tap in the image, for rows and columns, and whether the sums begin.
    """
    stride_y, stride_x, dilation_y, dilation_x, zeros_y, zeros_x, overwrites = geometry
    ky_whole, kx_whole = tiles[5], tiles[6]
    enum_y = zeros_y and tiles[2] > 1 and ky_whole > 1
    enum_x = zeros_x and tiles[3] > 1 and kx_whole > 1
    points_y, points_x = ky_whole if enum_y else 1, kx_whole if enum_x else 1
    count = points_y * points_x
    counts = np.zeros((count, _OWN), np.int64)
    starts = np.zeros((count, _OWN), np.int64)
    group_of = np.zeros(count, np.int64)
    group_count = boxes = 0
    lo, hi = np.zeros(_OWN, np.int64), np.zeros(_OWN, np.int64)
    for point in range(count):
        py, px = point // points_x, point % points_x
        lo[:] = 0
        hi[0], hi[1], hi[4], hi[5], hi[6] = cls[0], cls[1], cls[2], cls[3], cls[4]
        hi[2], hi[3] = cls[5], cls[6]
        empty = False
        for axis in range(2):
            p, k = 2 + axis, 5 + axis
            before, after = cls[7 + 2 * axis], cls[8 + 2 * axis]
            stride, dilation = (stride_x, dilation_x) if axis else (stride_y, dilation_y)
            if not (zeros_x if axis else zeros_y):
                continue
            if enum_x if axis else enum_y:
                at = px if axis else py
                if at >= hi[k]:
                    empty = True
                lo[k], hi[k] = at, at + 1
                lo[p], hi[p] = _cut(0, hi[p], 0, before + at * dilation, after - at * dilation, stride)
            elif tiles[p] > 1:
                lo[p], hi[p] = _cut(0, hi[p], 0, before, after, stride)
            elif tiles[k] > 1:
                lo[k], hi[k] = _cut(0, hi[k], 0, before, after, dilation)
            elif before < 0 or after < 0:
                empty = True
        for k in range(_OWN):
            if hi[k] <= lo[k]:
                empty = True
        if empty:
            continue
        group = -1
        for other in range(group_count):
            same = True
            for k in range(_OWN):
                if counts[other, k] != hi[k] - lo[k]:
                    same = False
            if same:
                group = other
                break
        if group < 0:
            group = group_count
            group_count += 1
            counts[group] = hi - lo
        starts[boxes] = lo
        group_of[boxes] = group
        boxes += 1
    chosen = -1
    if cls[11]:
        if overwrites:
            # The first box, group by group, that has every accumulator.
            for group in range(group_count):
                for box in range(boxes):
                    if group_of[box] != group or chosen >= 0:
                        continue
                    c = counts[group]
                    if c[0] == cls[0] and c[1] == cls[1] and c[2] == cls[5] and c[3] == cls[6]:
                        chosen = box
        if chosen < 0:
            whole = np.ones(_OWN, np.int64)
            whole[0], whole[1], whole[2], whole[3] = cls[0], cls[1], cls[5], cls[6]
            nothing = np.zeros((1, _OWN), np.int64)
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, RESET, whole, steps, nothing, 1, 0
            )
        else:
            full = counts[group_of[chosen]].copy()
            once = full.copy()
            once[4:] = 1
            one = starts[chosen : chosen + 1].copy()
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, OVERWRITE, once, steps, one, 1, 1
            )
            for k in range(4, _OWN):
                if full[k] <= 1:
                    continue
                left = full.copy()
                for j in range(4, k):
                    left[j] = once[j]
                left[k] -= 1
                behind = one.copy()
                behind[0, k] += 1
                gemms, gemm_count, uops, uop_count = _kernel(
                    gemms, gemm_count, uops, uop_count, ACCUMULATE, left, steps, behind, 1, 1
                )
    for group in range(group_count):
        members = np.zeros((boxes, _OWN), np.int64)
        n = 0
        for box in range(boxes):
            if group_of[box] == group and box != chosen:
                members[n] = starts[box]
                n += 1
        if n:
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, ACCUMULATE, counts[group], steps, members, n, 1
            )
    return gemms, gemm_count, uops, uop_count


@_compiled
def _execution(index, trips):
    """The number of an execution of a buffer, see `pieces.Moves`."""
    number = 0
    for loop in range(8):
        number = number * trips[loop] + (index[loop] if trips[loop] > 1 else 0)
    return number


@_compiled
def generate(
    order, extents, tiles, levels, slots, buffers, operand_steps, geometry, depths, windows,
    moves_inp, starts_inp, trips_inp, moves_wgt, starts_wgt, trips_wgt,
    moves_out, starts_out, trips_out, moves_par, starts_par, trips_par,
    blocks, registers, pad_register, pad_value,
):  # fmt: skip
    """All records in program order, the lists of micro-ops one after another, and whether they fit.

    Parameters
    ----------
    order : loops, outermost first; extents, tiles : of all loops; levels : of INP, WGT, ACC and PARAM.
    slots, buffers : of INP, WGT and ACC: copies, and where each copy begins.
    operand_steps : by own loop, tiles of dst, src and wgt from one iteration to the next, within the buffers.
    geometry : see `_plan`.
    depths : of INP, WGT and ACC, and the longest list of micro-ops.
    windows : stride and dilation, padding at the top and left, rows and columns of the image, tiles of dst and src from
        one image to the next, and whether INP's buffer has all rows and all columns.
    moves, starts, trips : `pieces.Moves` of INP, WGT, results and parameters.
    blocks : see `BLOCK`; of INP, WGT, results, parameters and micro-ops.
    registers : number, value, whether it moves with its STORE, initial value; the first is PARAM.
    """
    loop_count = len(order)
    trips = np.ones(8, np.int64)
    around = np.zeros((4, 8), np.bool_)
    for k in range(loop_count):
        loop = order[k]
        trips[loop] = -(-extents[loop] // tiles[loop])
        for operand in range(4):
            around[operand, loop] = k < levels[operand]
    for axis in range(2):
        if windows[10 + axis]:
            around[INP, X if axis else Y] = around[INP, KX if axis else KY] = False
    own = np.array([G, OC, Y, X, IC, KY, KX])
    own_tiles = np.zeros(_OWN, np.int64)
    for k in range(_OWN):
        own_tiles[k] = tiles[own[k]]
    rec = np.zeros((1024, FIELD_COUNT), np.int64)
    count = 0
    gemms, gemm_count = np.zeros((64, 17), np.int64), 0
    uops, uop_count = np.zeros((256, 3), np.int64), 0
    classes, class_count = np.zeros((16, 14), np.int64), 0
    lists, list_count = np.zeros((64, 2), np.int64), 0
    loaded, loaded_count = np.zeros((256, 3), np.int64), 0
    by_use, use_count = np.zeros((1024, 2), np.int64), 0
    by_content = np.zeros((256, 2), np.int64)
    wrote_inp, used_inp = np.full(depths[0], -1, np.int32), np.full(depths[0], -1, np.int32)
    wrote_wgt, used_wgt = np.full(depths[1], -1, np.int32), np.full(depths[1], -1, np.int32)
    wrote_acc, read_acc = np.full(depths[2], -1, np.int32), np.full(depths[2], -1, np.int32)
    covered = np.full(4, -1, np.int64)
    turns = np.zeros(3, np.int64)
    held = registers[:, 3].copy()
    pad_held = 0
    uop_load = -1
    index = np.zeros(8, np.int64)
    cls = np.zeros(12, np.int64)
    total_steps = 1
    for k in range(loop_count):
        total_steps *= trips[order[k]]
    changed = -1
    for _ in range(total_steps):
        # Fills of the buffers whose loops went on.
        for level in range(changed + 1, loop_count + 1):
            for operand in range(2):
                if levels[operand] != level:
                    continue
                moves = moves_inp if operand == INP else moves_wgt
                first = starts_inp if operand == INP else starts_wgt
                number = _execution(index, trips_inp if operand == INP else trips_wgt)
                base = buffers[operand, turns[operand] % slots[operand]]
                turns[operand] += 1
                used = used_inp if operand == INP else used_wgt
                wrote = wrote_inp if operand == INP else wrote_wgt
                for row in range(first[number], first[number + 1]):
                    rec = _grown(rec, count + 1)
                    if operand == INP and pad_register >= 0 and pad_held != pad_value:
                        _set(rec, count, _LOAD_QUEUE, pad_register, pad_value, 0)
                        pad_held = pad_value
                        count += 1
                    begin = base + moves[row, _S]
                    end = begin + moves[row, _T]
                    _block(rec, count, moves[row], blocks[operand], begin, False, _LOAD_QUEUE)
                    needed = np.int32(-1)
                    for tile in range(begin, end):
                        needed = max(needed, used[tile])
                        wrote[tile] = count
                    if needed > covered[1]:
                        covered[1] = needed
                        rec[needed, _PUSH_PREV] = 1
                        rec[count, _POP_NEXT] = 1
                    count += 1
            if levels[ACC] == level:
                turns[ACC] += 1
            if levels[PARAM] == level and levels[ACC] != level and len(starts_par) > 1:
                number = _execution(index, trips_par)
                for row in range(starts_par[number], starts_par[number + 1]):
                    rec = _grown(rec, count)
                    _block(rec, count, moves_par[row], blocks[3], moves_par[row, _S], False, _STORE_QUEUE)
                    count += 1
        # The product.
        done = np.zeros(8, np.int64)
        for loop in range(8):
            done[loop] = min(tiles[loop], extents[loop] - index[loop] * tiles[loop])
        cls[0], cls[1], cls[2], cls[3], cls[4] = done[G], done[OC], done[IC], done[KY], done[KX]
        cls[5], cls[6] = done[Y], done[X]
        for axis in range(2):
            if geometry[4 + axis]:
                p, k = (X, KX) if axis else (Y, KY)
                stride, dilation, pad, size = windows[axis], windows[2 + axis], windows[4 + axis], windows[6 + axis]
                before = index[p] * tiles[p] * stride + index[k] * tiles[k] * dilation - pad
                reach = (tiles[p] - 1) * stride + (tiles[k] - 1) * dilation
                cls[7 + 2 * axis] = min(before, 0)
                cls[8 + 2 * axis] = min(size - 1 - before, reach)
        cls[11] = index[IC] == 0 and index[KY] == 0 and index[KX] == 0
        kind = -1
        for k in range(class_count):
            same = True
            for f in range(12):
                if classes[k, f] != cls[f]:
                    same = False
                    break
            if same:
                kind = k
                break
        if kind < 0:
            classes = _grown(classes, class_count)
            kind = class_count
            class_count += 1
            for f in range(12):
                classes[kind, f] = cls[f]
            classes[kind, 12] = gemm_count
            gemms, gemm_count, uops, uop_count = _plan(
                gemms, gemm_count, uops, uop_count, cls, own_tiles, operand_steps, geometry
            )
            classes[kind, 13] = gemm_count
        dst = buffers[ACC, (turns[ACC] - 1) % slots[ACC]]
        src = buffers[INP, (turns[INP] - 1) % slots[INP]]
        wgt = buffers[WGT, (turns[WGT] - 1) % slots[WGT]]
        for k in range(_OWN):
            offset = index[own[k]] * tiles[own[k]]
            if not around[ACC, own[k]]:
                dst += offset * operand_steps[k, 0]
            if not around[INP, own[k]]:
                src += offset * operand_steps[k, 1]
            if not around[WGT, own[k]]:
                wgt += offset * operand_steps[k, 2]
        if not around[ACC, N]:
            dst += index[N] * windows[8]
        if not around[INP, N]:
            src += index[N] * windows[9]
        for row in range(classes[kind, 12], classes[kind, 13]):
            g = gemms[row]
            both = g[0] != RESET
            use = ((row * depths[2] + dst) * depths[0] + src * both) * depths[1] + wgt * both + 1
            at = _slot(by_use, use)
            which = by_use[at, 1]
            if by_use[at, 0] == 0:
                size = g[10]
                while loaded_count + size > len(loaded):
                    loaded = _grown(loaded, len(loaded))
                code = np.int64(size)
                for k in range(size):
                    u, into = uops[g[9] + k], loaded[loaded_count + k]
                    into[0], into[1], into[2] = u[0] + dst, u[1] + src * both, u[2] + wgt * both
                    for o in range(3):
                        code = (code ^ into[o]) * 1099511628211
                        code ^= code >> 29
                code |= 1
                which = -1
                at = _slot(by_content, code)
                if by_content[at, 0] != 0:
                    which = by_content[at, 1]
                    same = lists[which, 1] == size
                    for k in range(size if same else 0):
                        for o in range(3):
                            if loaded[lists[which, 0] + k, o] != loaded[loaded_count + k, o]:
                                same = False
                    if not same:
                        which = -1
                if which < 0:
                    lists = _grown(lists, list_count)
                    lists[list_count, 0], lists[list_count, 1] = loaded_count, size
                    which = list_count
                    by_content = _with_key(by_content, list_count, code, which)
                    list_count += 1
                    loaded_count += size
                    if loaded_count > depths[3]:
                        return rec, 0, loaded, 0, TOO_MANY_UOPS
                by_use = _with_key(by_use, use_count, use, which)
                use_count += 1
            if uop_load < 0:
                rec = _grown(rec, count)
                uop_load = count
                count += 1
            rec = _grown(rec, count)
            _loop(rec, count, g, lists[which, 0], depths)
            needed = np.int32(-1)
            for tile in range(dst + g[11], dst + g[12]):
                needed = max(needed, read_acc[tile])
                wrote_acc[tile] = count
            if needed > covered[3]:
                covered[3] = needed
                rec[needed, _PUSH_PREV] = 1
                rec[count, _POP_NEXT] = 1
            if both:
                needed = np.int32(-1)
                for tile in range(src + g[13], src + g[14]):
                    needed = max(needed, wrote_inp[tile])
                    used_inp[tile] = count
                for tile in range(wgt + g[15], wgt + g[16]):
                    needed = max(needed, wrote_wgt[tile])
                    used_wgt[tile] = count
                if needed > covered[0]:
                    covered[0] = needed
                    rec[needed, _PUSH_NEXT] = 1
                    rec[count, _POP_PREV] = 1
            count += 1
        # The next iteration, and how far out it changes.
        changed = loop_count - 1
        number = _execution(index, trips_out)
        param_number = _execution(index, trips_par)
        while changed >= 0:
            loop = order[changed]
            index[loop] += 1
            if index[loop] < trips[loop]:
                break
            index[loop] = 0
            changed -= 1
        if changed >= levels[ACC]:
            continue
        # All sums are complete.
        if levels[PARAM] == levels[ACC] and len(starts_par) > 1:
            for row in range(starts_par[param_number], starts_par[param_number + 1]):
                rec = _grown(rec, count)
                _block(rec, count, moves_par[row], blocks[3], moves_par[row, _S], False, _STORE_QUEUE)
                count += 1
        base = buffers[ACC, (turns[ACC] - 1) % slots[ACC]]
        for row in range(starts_out[number], starts_out[number + 1]):
            for register in range(len(registers)):
                value = moves_out[row, _PARAMETER] if register == 0 else registers[register, 1]
                if held[register] != value:
                    rec = _grown(rec, count)
                    _set(rec, count, _STORE_QUEUE, registers[register, 0], value, registers[register, 2])
                    held[register] = value
                    count += 1
            rec = _grown(rec, count)
            begin = base + moves_out[row, _S]
            end = begin + moves_out[row, _T]
            _block(rec, count, moves_out[row], blocks[2], begin, True, _STORE_QUEUE)
            needed = np.int32(-1)
            for tile in range(begin, end):
                needed = max(needed, wrote_acc[tile])
                read_acc[tile] = count
            if needed > covered[2]:
                covered[2] = needed
                rec[needed, _PUSH_NEXT] = 1
                rec[count, _POP_PREV] = 1
            count += 1
    if uop_load >= 0:
        row = np.zeros(len(FIELDS), np.int64)
        row[:] = 0
        row[_Y_SIZE], row[_X_SIZE], row[_X_STRIDE] = 1, loaded_count, loaded_count
        _block(rec, uop_load, row, blocks[4], 0, False, _COMPUTE_QUEUE)
        rec[uop_load, _UOP_LOAD] = 1
    return rec, count, loaded, loaded_count, OK


@_compiled
def fetch_sequence(rec, count, most, token_depth):
    """The instructions in the order of fetching, see `accel.order`; an empty one where that takes more thought."""
    loads, others = np.zeros(count, np.int64), np.zeros(count, np.int64)
    load_count = other_count = 0
    pushed = np.zeros(count, np.int64)
    push_count = 0
    for i in range(count):
        if rec[i, QUEUE] == _LOAD_QUEUE:
            loads[load_count] = i
            load_count += 1
        else:
            others[other_count] = i
            other_count += 1
            if rec[i, QUEUE] == _COMPUTE_QUEUE and rec[i, _PUSH_PREV]:
                pushed[push_count] = i
                push_count += 1
    keys = np.zeros(load_count)
    wait, key, taken = -1.0, -1.0, 0
    for k in range(load_count):
        load = loads[k]
        if rec[load, _POP_NEXT]:
            wait = max(wait, float(pushed[taken]))
            taken += 1
        key = max(key, min(float(load), max(wait + 0.5, float(load - most))))
        keys[k] = key
    sequence, place = np.zeros(count, np.int64), np.zeros(count, np.int64)
    a = b = 0
    for position in range(count):
        if a < load_count and (
            b == other_count or keys[a] < others[b] or (keys[a] == others[b] and loads[a] < others[b])
        ):
            sequence[position] = loads[a]
            a += 1
        else:
            sequence[position] = others[b]
            b += 1
        place[sequence[position]] = position
    for channel in range(4):
        source = (_LOAD_QUEUE, _COMPUTE_QUEUE, _COMPUTE_QUEUE, _STORE_QUEUE)[channel]
        target = (_COMPUTE_QUEUE, _LOAD_QUEUE, _STORE_QUEUE, _COMPUTE_QUEUE)[channel]
        push = (_PUSH_NEXT, _PUSH_PREV, _PUSH_NEXT, _PUSH_PREV)[channel]
        pop = (_POP_PREV, _POP_NEXT, _POP_PREV, _POP_NEXT)[channel]
        pushes, pops = np.zeros(count, np.int64), np.zeros(count, np.int64)
        n = m = 0
        for i in range(count):
            if rec[i, QUEUE] == source and rec[i, push]:
                pushes[n] = i
                n += 1
            if rec[i, QUEUE] == target and rec[i, pop]:
                pops[m] = i
                m += 1
        for k in range(n):
            if place[pushes[k]] >= place[pops[k]]:
                return sequence[:0]
            if k >= token_depth and place[pops[k - token_depth]] >= place[pushes[k]]:
                return sequence[:0]
    return sequence


@_compiled
def by_queue(rec, count, sequence, finish):
    """Records queue by queue in the order of fetching, FINISH the last, and the queues in that order."""
    sizes = np.zeros(4, np.int64)
    for i in range(count):
        sizes[rec[i, QUEUE] + 1] += 1
    sizes[_COMPUTE_QUEUE + 1] += 1
    at = np.cumsum(sizes)
    records = np.zeros((count + 1, FIELD_COUNT), np.int64)
    fetched, places = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for position in range(count):
        r = rec[sequence[position]]
        queue = r[QUEUE]
        records[at[queue]] = r
        places[at[queue]] = position
        fetched[position] = queue
        at[queue] += 1
    r = records[at[_COMPUTE_QUEUE]]
    r[QUEUE], r[_KIND], r[_REGISTER] = _COMPUTE_QUEUE, finish, -1
    places[at[_COMPUTE_QUEUE]] = count
    fetched[count] = _COMPUTE_QUEUE
    return records, fetched, places
