"""Instructions as the timing model keeps them: LOADs and STOREs, SETs, GEMMs, each a row of numbers."""

from __future__ import annotations

from weft_hardware.isa import Memory, Queue, StoreMode
from weft_simulator.timing import state

from .compiled import leaf
from .pieces import FIELDS

INP, WGT, ACC, PARAM, UOP = range(5)
"""Operands, in the order in which schedules list them, and micro-ops."""

BLOCK = ("size", "base", "in_beat", "beats", "pad_cost", "first", "memory")
"""What the records of a memory's blocks need; ``first`` is the tensor's first tile, ``base`` its byte address."""
SIZE, BASE, IN_BEAT, BEATS, PAD_COST, FIRST, MEMORY = range(len(BLOCK))

_F = {name: k for k, name in enumerate(state.INSTRUCTION.names or ())}
FIELD_COUNT = len(_F)
QUEUE = _F["queue"]
KIND, REGISTER, _VALUE, _MOVING = _F["kind"], _F["register"], _F["value"], _F["moving"]
POP_PREV, POP_NEXT, PUSH_PREV, PUSH_NEXT = (_F[k] for k in ("pop_prev", "pop_next", "push_prev", "push_next"))
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
_SRAM, _MODE, _EIGHT_BIT, _REQUANTISED, UOP_LOAD, _EXTENT, _DATA_ROWS, _NBYTES, _ACKS, _LAST_PARAM = (
    _F[k]
    for k in (
        *("sram", "mode", "eight_bit", "requantised", "uop_load", "extent", "data_rows", "nbytes"),
        *("acknowledgements", "last_param"),
    )
)
_BEATS, UOP_BGN, UOP_END, BODY, _ITER_IN, _DST_OUT, _DST_IN, _SRC_OUT, _SRC_IN = (
    _F[k] for k in ("beats", "uop_bgn", "uop_end", "body", "iter_in", "dst_out", "dst_in", "src_out", "src_in")
)
_OVERWRITES, _READS_ACC, _DST_REACH, _SRC_REACH, _WGT_REACH, _SRC_DEPTH, _WGT_DEPTH = (
    _F[k] for k in ("overwrites", "reads_acc", "dst_reach", "src_reach", "wgt_reach", "src_depth", "wgt_depth")
)
Y_SIZE, X_SIZE, _Y_PAD0, _Y_PAD1, _X_PAD0, _X_PAD1, TILES, X_STRIDE, DRAM, SRAM, PARAMETER, _MODE_BITS, IS_LOAD = range(
    len(FIELDS)
)
LOAD_QUEUE, COMPUTE_QUEUE, STORE_QUEUE = int(Queue.LOAD), int(Queue.COMPUTE), int(Queue.STORE)
UOPS_AT = _F["uops_at"]
_ACC_8BIT = int(Memory.ACC_8BIT)
_LOAD_KIND, _STORE_KIND, _LOOP_KIND, _SET_KIND, _NOTHING_KIND = (
    state.LOAD_KIND, state.STORE_KIND, state.LOOP_KIND, state.SET_KIND, state.NOTHING_KIND,
)  # fmt: skip
_PARAM_X, _PARAM_Y = int(StoreMode.PARAM_X), int(StoreMode.PARAM_Y)
ACCUMULATE, OVERWRITE, RESET = range(3)


@leaf
def copy_record(records, at, rec, i):
    """Copy a record to a place of another table."""
    for k in range(FIELD_COUNT):
        records[at, k] = rec[i, k]


@leaf
def write_block(rec, i, moves, which, blocks, operand, sram, is_store, queue):
    """A LOAD or STORE's record, as `timing.program` describes it."""
    row, block = moves[which], blocks[operand]
    x, y, stride = row[X_SIZE], row[Y_SIZE], row[X_STRIDE]
    rows = row[_Y_PAD0] + y + row[_Y_PAD1]
    pads = row[_X_PAD0] + row[_X_PAD1] + row[_Y_PAD0] + row[_Y_PAD1]
    merged = stride == x and pads == 0
    width = row[_X_PAD0] + x + row[_X_PAD1]
    size = block[SIZE]
    has_data = x != 0 and y != 0
    r = rec[i]
    r[:] = 0
    r[QUEUE], r[REGISTER] = queue, -1
    r[KIND] = _STORE_KIND if is_store else _LOAD_KIND
    if (is_store and not has_data) or (not is_store and x == 0 and queue == COMPUTE_QUEUE):
        r[KIND] = _NOTHING_KIND
    r[_TILES] = width * rows if x != 0 else 0
    r[_RANGES] = (1 if merged else y) if has_data else 0
    r[_ADDRESS] = block[BASE] + row[DRAM] * size
    r[_ROW_TILES] = x * y if merged else x
    r[_STEP_BYTES] = stride * size
    r[_WIDTH] = x * y if merged else width
    r[_MERGED] = merged
    r[_PADS_BEFORE], r[_ROWS_BEFORE], r[_ROWS_AFTER] = row[_X_PAD0], row[_Y_PAD0], row[_Y_PAD1]
    r[_BEATS_PER_TILE], r[_TILES_PER_BEAT], r[_PAD_COST] = block[BEATS], block[IN_BEAT], block[PAD_COST]
    r[_SLOT] = (block[FIRST] + row[DRAM]) % block[IN_BEAT]
    r[_SLOT_STEP] = stride % block[IN_BEAT]
    r[_TILE_BYTES], r[_SRAM] = size, sram
    r[_EXTENT] = ((y - 1) * stride + x) * size
    r[_DATA_ROWS] = r[_RANGES]
    r[_NBYTES] = r[_ROW_TILES] * size
    if is_store:
        r[_MODE] = row[_MODE_BITS]
        r[_ACKS] = r[_RANGES]
        r[_EIGHT_BIT] = r[_REQUANTISED] = block[MEMORY] == _ACC_8BIT
        r[_LAST_PARAM] = (x - 1) * (row[_MODE_BITS] & _PARAM_X != 0) + (y - 1) * (row[_MODE_BITS] & _PARAM_Y != 0)


@leaf
def write_set(rec, i, queue, register, value, moving):
    r = rec[i]
    r[:] = 0
    r[QUEUE], r[KIND], r[REGISTER], r[_VALUE], r[_MOVING] = queue, _SET_KIND, register, value, moving


@leaf
def write_loop(rec, i, gemms, which, begin, depths):
    """A GEMM's record, its micro-ops from ``begin`` on."""
    r, g = rec[i], gemms[which]
    r[:] = 0
    mode, outer, inner, size = g[0], g[1], g[2], g[10]
    r[QUEUE], r[KIND], r[REGISTER] = COMPUTE_QUEUE, _LOOP_KIND, -1
    r[UOP_BGN], r[UOP_END], r[BODY], r[_ITER_IN] = begin, begin + size, size, inner
    r[_BEATS] = size * outer * inner
    r[_DST_OUT], r[_DST_IN], r[_SRC_OUT], r[_SRC_IN] = g[3], g[4], g[5], g[6]
    r[_DST_REACH] = (outer - 1) * g[3] + (inner - 1) * g[4]
    r[_SRC_REACH] = (outer - 1) * g[5] + (inner - 1) * g[6]
    r[_WGT_REACH] = (outer - 1) * g[7] + (inner - 1) * g[8]
    r[_OVERWRITES] = mode == OVERWRITE
    if mode != RESET:
        r[_READS_ACC], r[_SRC_DEPTH], r[_WGT_DEPTH] = 1, depths[0], depths[1]
