"""Programs whose micro-ops do not all fit the buffer: the LOADs that bring them, where the compiler has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from weft_compiler.accel.micro_code import residency
from weft_simulator.timing import state

from .compiled import entry
from .pieces import FIELDS
from .timed_records import (
    BODY,
    COMPUTE_QUEUE,
    DRAM,
    FIELD_COUNT,
    KIND,
    SRAM,
    UOP,
    UOP_BGN,
    UOP_END,
    UOP_LOAD,
    UOPS_AT,
    X_SIZE,
    X_STRIDE,
    Y_SIZE,
    copy_record,
    write_block,
)

Records = NDArray[np.int64]


def with_loads(rec: Records, count: int, blocks: NDArray[np.int64], capacity: int) -> tuple[Records, int]:
    """A program that `emit` made, with as many LOADs of micro-ops as it takes instead of one.

    Parameters
    ----------
    blocks : see `timed_records.BLOCK`.
    capacity : int
        Micro-ops that the buffer holds.
    """
    users = np.flatnonzero(rec[:count, KIND] == state.LOOP_KIND)
    _, first, uses = np.unique(rec[users, UOP_BGN], return_index=True, return_inverse=True)
    sizes = rec[users[first], BODY]
    held = residency(sizes, uses, capacity)
    rec[users, UOP_BGN] = held.begin
    rec[users, UOP_END] = held.begin + sizes[uses]
    moves = np.zeros((len(held.before), len(FIELDS)), np.int64)
    moves[:, Y_SIZE] = 1
    moves[:, X_SIZE] = moves[:, X_STRIDE] = held.size
    moves[:, DRAM], moves[:, SRAM] = held.dram, held.sram
    return _inserted(rec, count, users[held.before], moves, blocks)


@entry
def _inserted(rec, count, before, moves, blocks):
    """The records without their LOAD of micro-ops, and LOADs ``moves`` before some of them."""
    made = np.empty((count - 1 + len(moves), FIELD_COUNT), np.int64)
    at = k = 0
    for i in range(count):
        if rec[i, UOP_LOAD]:
            continue
        if k < len(moves) and before[k] == i:
            write_block(made, at, moves, k, blocks, UOP, moves[k, SRAM], False, COMPUTE_QUEUE)
            made[at, UOP_LOAD], made[at, UOPS_AT] = 1, moves[k, DRAM]
            at += 1
            k += 1
        copy_record(made, at, rec, i)
        at += 1
    return made, at
