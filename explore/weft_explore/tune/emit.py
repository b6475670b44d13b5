"""A convolution's program as the timing model wants it, straight from a schedule: compiled code, no IR, no encoding.

The loops run once; each fill, product and store writes its records in program order, and leaves in every scratchpad
tile who touched it last, from which the tokens follow. What is emitted is what the compiler emits: products follow
`weft_compiler.accel.gemm` and `accel.kernels` (`products.py`), tokens `accel.tokens`, registers `accel.stream`, the
order of fetching `accel.order` (`fetching.py`); tests hold both together.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled, entry
from .pieces import FIELDS, LOOPS
from .products import plan
from .tables import find, grown, slot, with_key
from .timed_records import (
    ACC,
    COMPUTE_QUEUE,
    FIELD_COUNT,
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

OK, TOO_MANY_UOPS = range(2)
"""What came of it: micro-ops that do not all fit the buffer are left to the compiler itself."""

N, G, OC, Y, X, IC, KY, KX = range(len(LOOPS))

_FROM_LOAD, _FREE_INPUT, _FROM_COMPUTE, _FREE_SUMS = range(4)
"""Token queues: from LOAD to compute and back, from compute to STORE and back."""


@compiled
def _newest(marks, begin, end):
    """The last instruction that touched one of some tiles, -1 if none did."""
    found = np.int32(-1)
    for tile in range(begin, end):
        found = max(found, marks[tile])
    return found


@compiled
def _wait(rec, count, covered, queue, needed, push, pop):
    """Instruction ``count`` waits for another one by a token, unless it does already by a later one's."""
    if needed > covered[queue]:
        covered[queue] = needed
        rec[needed, push] = 1
        rec[count, pop] = 1


@compiled
def _uop_list(state, lists, loaded, by_content, uops, g, dst, src, wgt, most):
    """The list of micro-ops of a product at its place in the scratchpads, shared by all with the same content.

    ``state`` counts lists and micro-ops.

    Returns
    -------
    The tables, which may have grown, and the number of the list; -1 if its micro-ops do not fit the buffer any more.
    """
    begin, size = state[1], g[10]
    while begin + size > len(loaded):
        loaded = grown(loaded, len(loaded))
    code = np.int64(size)
    for k in range(size):
        u, into = uops[g[9] + k], loaded[begin + k]
        into[0], into[1], into[2] = u[0] + dst, u[1] + src, u[2] + wgt
        for o in range(3):
            code = (code ^ into[o]) * 1099511628211
            code ^= code >> 29
    code |= 1
    at = slot(by_content, code)
    if by_content[at, 0] != 0:
        which = by_content[at, 1]
        same = lists[which, 1] == size
        for k in range(size if same else 0):
            for o in range(3):
                if loaded[lists[which, 0] + k, o] != loaded[begin + k, o]:
                    same = False
        if same:
            return lists, loaded, by_content, which
    which = state[0]
    lists = grown(lists, which)
    lists[which, 0], lists[which, 1] = begin, size
    by_content = with_key(by_content, which, code, which)
    state[0] += 1
    state[1] += size
    return lists, loaded, by_content, which if state[1] <= most else -1


@compiled
def _execution(index, trips):
    """The number of an execution of a buffer, see `pieces.Moves`."""
    number = 0
    for loop in range(8):
        number = number * trips[loop] + (index[loop] if trips[loop] > 1 else 0)
    return number


@entry
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
    geometry : see `products.plan`.
    depths : of INP, WGT and ACC, and the longest list of micro-ops.
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
    rec = np.zeros((1024, FIELD_COUNT), np.int64)
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
                    rec = grown(rec, count + 1)
                    if operand == INP and pad_register >= 0 and pad_held != pad_value:
                        write_set(rec, count, LOAD_QUEUE, pad_register, pad_value, 0)
                        pad_held = pad_value
                        count += 1
                    begin = base + moves[row, SRAM]
                    end = begin + moves[row, TILES]
                    write_block(rec, count, moves[row], blocks[operand], begin, False, LOAD_QUEUE)
                    _wait(rec, count, covered, _FREE_INPUT, _newest(used, begin, end), PUSH_PREV, POP_NEXT)
                    wrote[begin:end] = count
                    count += 1
            if levels[ACC] == level:
                turns[ACC] += 1
            if levels[PARAM] == level and len(starts_par) > 1:
                number = _execution(index, trips_par)
                for row in range(starts_par[number], starts_par[number + 1]):
                    rec = grown(rec, count)
                    write_block(rec, count, moves_par[row], blocks[PARAM], moves_par[row, SRAM], False, STORE_QUEUE)
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
            g = gemms[row]
            both = g[0] != RESET
            use = ((row * depths[2] + dst) * depths[0] + src * both) * depths[1] + wgt * both + 1
            at = slot(by_use, use)
            which = by_use[at, 1]
            if by_use[at, 0] == 0:
                lists, loaded, by_content, which = _uop_list(
                    list_state, lists, loaded, by_content, uops, g, dst, src * both, wgt * both, depths[3]
                )
                if which < 0:
                    return rec, 0, loaded, 0, TOO_MANY_UOPS
                by_use = with_key(by_use, use_count, use, which)
                use_count += 1
            if uop_load < 0:
                rec = grown(rec, count)
                uop_load = count
                count += 1
            rec = grown(rec, count)
            write_loop(rec, count, g, lists[which, 0], depths)
            begin, end = dst + g[11], dst + g[12]
            _wait(rec, count, covered, _FREE_SUMS, _newest(read_acc, begin, end), PUSH_PREV, POP_NEXT)
            wrote_acc[begin:end] = count
            if both:
                needed = max(_newest(wrote_inp, src + g[13], src + g[14]), _newest(wrote_wgt, wgt + g[15], wgt + g[16]))
                used_inp[src + g[13] : src + g[14]] = count
                used_wgt[wgt + g[15] : wgt + g[16]] = count
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
            move = moves_out[row]
            rec = grown(rec, count)
            if move[IS_LOAD]:
                write_block(rec, count, move, blocks[PARAM], move[SRAM], False, STORE_QUEUE)
                count += 1
                continue
            for register in range(len(registers)):
                value = move[PARAMETER] if register == 0 else registers[register, 1]
                if held[register] != value:
                    write_set(rec, count, STORE_QUEUE, registers[register, 0], value, registers[register, 2])
                    held[register] = value
                    count += 1
                    rec = grown(rec, count)
            begin, end = base + move[SRAM], base + move[SRAM] + move[TILES]
            write_block(rec, count, move, blocks[ACC], begin, True, STORE_QUEUE)
            _wait(rec, count, covered, _FROM_COMPUTE, _newest(wrote_acc, begin, end), PUSH_NEXT, POP_PREV)
            read_acc[begin:end] = count
            count += 1
    if uop_load >= 0:
        row = np.zeros(len(FIELDS), np.int64)
        row[Y_SIZE], row[X_SIZE], row[X_STRIDE] = 1, list_state[1], list_state[1]
        write_block(rec, uop_load, row, blocks[UOP], 0, False, COMPUTE_QUEUE)
        rec[uop_load, UOP_LOAD] = 1
    return rec, count, loaded, list_state[1], OK
