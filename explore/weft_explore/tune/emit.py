"""A convolution's program as the timing model wants it, straight from a schedule: compiled code, no IR, no encoding.

The loops run once; each fill, product and store writes its records in program order, and leaves in every scratchpad
tile who touched it last, from which the tokens follow. What is emitted is what the compiler emits: products follow
`weft_compiler.accel.gemm` and `accel.kernels` (`products.py`), tokens `accel.tokens`, registers `accel.stream`, the
order of fetching `accel.order` (`fetching.py`); tests hold both together.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled, entry, leaf
from .pieces import FIELDS, LOOPS
from .products import plan
from .tables import find, grown, slot, with_key
from .timed_records import (
    ACC,
    COMPUTE_QUEUE,
    INP,
    IS_LOAD,
    LOAD_QUEUE,
    PARAM,
    PARAMETER,
    POP_NEXT,
    POP_PREV,
    PUSH_NEXT,
    PUSH_PREV,
    RESET,
    SRAM,
    STORE_QUEUE,
    TILES,
    UOP,
    UOP_LOAD,
    WGT,
    X_SIZE,
    X_STRIDE,
    Y_SIZE,
    write_block,
    write_loop,
    write_set,
)

N, G, OC, Y, X, IC, KY, KX = range(len(LOOPS))

_FROM_LOAD, _FREE_INPUT, _FROM_COMPUTE, _FREE_SUMS = range(4)
"""Token queues: from LOAD to compute and back, from compute to STORE and back."""


@leaf
def _newest(marks, begin, end):
    """The last instruction that touched one of some tiles, -1 if none did."""
    found = np.int32(-1)
    for mark in marks[begin:end]:
        found = max(found, mark)
    return found


@leaf
def _mark(marks, begin, end, count):
    """Instruction ``count`` touches some tiles."""
    marks[begin:end] = count


@leaf
def _wait(rec, count, covered, queue, needed, push, pop):
    """Instruction ``count`` waits for another one by a token, unless it does already by a later one's."""
    if needed > covered[queue]:
        covered[queue] = needed
        rec[needed, push] = 1
        rec[count, pop] = 1


@leaf
def _fill(rec, count, moves, row, last, base, blocks, operand, used, wrote, covered):
    """LOADs of a buffer's copy at ``base``, from one row of ``moves`` up to another; returns the next one's number."""
    for k in range(row, last):
        begin = base + moves[k, SRAM]
        end = begin + moves[k, TILES]
        write_block(rec, count, moves, k, blocks, operand, begin, False, LOAD_QUEUE)
        _wait(rec, count, covered, _FREE_INPUT, _newest(used, begin, end), PUSH_PREV, POP_NEXT)
        _mark(wrote, begin, end, count)
        count += 1
    return count


@leaf
def _placed(uops, first, size, loaded, begin, dst, src, wgt):
    """Micro-ops at their places in the scratchpads; returns a number that tells what they are, never 0."""
    code = np.int64(size)
    for k in range(size):
        u, into = uops[first + k], loaded[begin + k]
        into[0], into[1], into[2] = u[0] + dst, u[1] + src, u[2] + wgt
        for o in range(3):
            code = (code ^ into[o]) * 1099511628211
            code ^= code >> 29
    return code | 1


@leaf
def _same(loaded, one, other, size):
    """Whether two lists of micro-ops are."""
    for k in range(size):
        for o in range(3):
            if loaded[one + k, o] != loaded[other + k, o]:
                return False
    return True


@compiled
def _uop_list(state, lists, loaded, by_content, uops, first, size, dst, src, wgt):
    """The list of micro-ops of a product at its place in the scratchpads, shared by all with the same content.

    ``state`` counts lists and micro-ops.

    Returns
    -------
    The tables, which may have grown, and the number of the list.
    """
    begin = state[1]
    while begin + size > len(loaded):
        loaded = grown(loaded, len(loaded))
    code = _placed(uops, first, size, loaded, begin, dst, src, wgt)
    at = slot(by_content, code)
    if by_content[at, 0] != 0:
        which = by_content[at, 1]
        if lists[which, 1] == size and _same(loaded, lists[which, 0], begin, size):
            return lists, loaded, by_content, which
    which = state[0]
    lists = grown(lists, which)
    lists[which, 0], lists[which, 1] = begin, size
    by_content = with_key(by_content, which, code, which)
    state[0] += 1
    state[1] += size
    return lists, loaded, by_content, which


@leaf
def _execution(index, trips):
    """The number of an execution of a buffer, see `pieces.Moves`."""
    number = 0
    for loop in range(8):
        number = number * trips[loop] + (index[loop] if trips[loop] > 1 else 0)
    return number


@entry
def generate(
    rec, order, extents, tiles, levels, slots, buffers, operand_steps, geometry, depths, windows,
    moves_inp, starts_inp, trips_inp, moves_wgt, starts_wgt, trips_wgt,
    moves_out, starts_out, trips_out, moves_par, starts_par, trips_par,
    blocks, registers, pad_register, pad_value,
):  # fmt: skip
    """All records in program order, as if all micro-ops fitted their buffer, and the lists of these one after another.

    Parameters
    ----------
    rec : where records are written, in a larger copy if they do not fit.
    order : loops, outermost first; extents, tiles : of all loops; levels : of INP, WGT, ACC and PARAM.
    slots, buffers : of INP, WGT and ACC: copies, and where each copy begins.
    operand_steps : by own loop, tiles of dst, src and wgt from one iteration to the next, within the buffers.
    geometry : see `products.plan`.
    depths : of INP, WGT and ACC.
    windows : stride and dilation, padding at the top and left, rows and columns of the image, tiles of dst and src from
        one image to the next, and whether INP's buffer has all rows and all columns.
    moves, starts, trips : `pieces.Moves` of INP, WGT, results and parameters; results may have LOADs of parameters
        between them, and the other parameters have none then.
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
    own_count = len(own)
    own_tiles = np.zeros(own_count, np.int64)
    for k in range(own_count):
        own_tiles[k] = tiles[own[k]]
    count = 0
    gemms, gemm_count = np.zeros((64, 17), np.int64), 0
    uops, uop_count = np.zeros((256, 3), np.int64), 0
    classes, class_count = np.zeros((16, 14), np.int64), 0
    lists, loaded = np.zeros((64, 2), np.int64), np.zeros((256, 3), np.int64)
    list_state = np.zeros(2, np.int64)
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
    cls, done = np.zeros(12, np.int64), np.zeros(8, np.int64)
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
                base = buffers[operand, turns[operand] % slots[operand]]
                turns[operand] += 1
                if operand == WGT:
                    number = _execution(index, trips_wgt)
                    row, last = starts_wgt[number], starts_wgt[number + 1]
                    while count + last - row >= len(rec):
                        rec = grown(rec, len(rec))
                    count = _fill(rec, count, moves_wgt, row, last, base, blocks, WGT, used_wgt, wrote_wgt, covered)
                    continue
                number = _execution(index, trips_inp)
                row, last = starts_inp[number], starts_inp[number + 1]
                while count + 1 + last - row >= len(rec):
                    rec = grown(rec, len(rec))
                if row < last and pad_register >= 0 and pad_held != pad_value:
                    write_set(rec, count, LOAD_QUEUE, pad_register, pad_value, 0)
                    pad_held = pad_value
                    count += 1
                count = _fill(rec, count, moves_inp, row, last, base, blocks, INP, used_inp, wrote_inp, covered)
            if levels[ACC] == level:
                turns[ACC] += 1
            if levels[PARAM] == level and len(starts_par) > 1:
                number = _execution(index, trips_par)
                for row in range(starts_par[number], starts_par[number + 1]):
                    if count >= len(rec):
                        rec = grown(rec, count)
                    sram = moves_par[row, SRAM]
                    write_block(rec, count, moves_par, row, blocks, PARAM, sram, False, STORE_QUEUE)
                    count += 1
        # The product.
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
        kind = find(classes, class_count, cls)
        if kind < 0:
            classes = grown(classes, class_count)
            kind = class_count
            class_count += 1
            classes[kind, :12] = cls
            classes[kind, 12] = gemm_count
            gemms, gemm_count, uops, uop_count = plan(
                gemms, gemm_count, uops, uop_count, cls, own_tiles, operand_steps, geometry
            )
            classes[kind, 13] = gemm_count
        dst = buffers[ACC, (turns[ACC] - 1) % slots[ACC]]
        src = buffers[INP, (turns[INP] - 1) % slots[INP]]
        wgt = buffers[WGT, (turns[WGT] - 1) % slots[WGT]]
        for k in range(own_count):
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
            both = gemms[row, 0] != RESET
            use = ((row * depths[2] + dst) * depths[0] + src * both) * depths[1] + wgt * both + 1
            at = slot(by_use, use)
            which = by_use[at, 1]
            if by_use[at, 0] == 0:
                lists, loaded, by_content, which = _uop_list(
                    list_state, lists, loaded, by_content, uops,
                    gemms[row, 9], gemms[row, 10], dst, src * both, wgt * both,
                )  # fmt: skip
                by_use = with_key(by_use, use_count, use, which)
                use_count += 1
            if count + 1 >= len(rec):
                rec = grown(rec, count + 1)
            if uop_load < 0:
                uop_load = count
                count += 1
            write_loop(rec, count, gemms, row, lists[which, 0], depths)
            begin, end = dst + gemms[row, 11], dst + gemms[row, 12]
            _wait(rec, count, covered, _FREE_SUMS, _newest(read_acc, begin, end), PUSH_PREV, POP_NEXT)
            _mark(wrote_acc, begin, end, count)
            if both:
                begin, end = src + gemms[row, 13], src + gemms[row, 14]
                needed = _newest(wrote_inp, begin, end)
                _mark(used_inp, begin, end, count)
                begin, end = wgt + gemms[row, 15], wgt + gemms[row, 16]
                needed = max(needed, _newest(wrote_wgt, begin, end))
                _mark(used_wgt, begin, end, count)
                _wait(rec, count, covered, _FROM_LOAD, needed, PUSH_NEXT, POP_PREV)
            count += 1
        # The next iteration, and how far out it changes.
        changed = loop_count - 1
        number = _execution(index, trips_out)
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
        base = buffers[ACC, (turns[ACC] - 1) % slots[ACC]]
        for row in range(starts_out[number], starts_out[number + 1]):
            if count + len(registers) >= len(rec):
                rec = grown(rec, count + len(registers))
            sram = moves_out[row, SRAM]
            if moves_out[row, IS_LOAD]:
                write_block(rec, count, moves_out, row, blocks, PARAM, sram, False, STORE_QUEUE)
                count += 1
                continue
            for register in range(len(registers)):
                value = moves_out[row, PARAMETER] if register == 0 else registers[register, 1]
                if held[register] != value:
                    write_set(rec, count, STORE_QUEUE, registers[register, 0], value, registers[register, 2])
                    held[register] = value
                    count += 1
            begin, end = base + sram, base + sram + moves_out[row, TILES]
            write_block(rec, count, moves_out, row, blocks, ACC, begin, True, STORE_QUEUE)
            _wait(rec, count, covered, _FROM_COMPUTE, _newest(wrote_acc, begin, end), PUSH_NEXT, POP_PREV)
            _mark(read_acc, begin, end, count)
            count += 1
    if uop_load >= 0:
        move = np.zeros((1, len(FIELDS)), np.int64)
        move[0, Y_SIZE], move[0, X_SIZE], move[0, X_STRIDE] = 1, list_state[1], list_state[1]
        write_block(rec, uop_load, move, 0, blocks, UOP, 0, False, COMPUTE_QUEUE)
        rec[uop_load, UOP_LOAD] = 1
    return rec, count, loaded, list_state[1]
