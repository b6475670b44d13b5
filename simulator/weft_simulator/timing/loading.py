"""LOADs: their rows requested one after another, their tiles written as beats come."""

from __future__ import annotations

from .access import instruction, place, short_place, state
from .activities import remember_wait
from .compiled import compiled
from .reading import offer_range, release_beats, wake
from .state import CHECK, IDLE, NEVER, REQUEST, SIZE, WAKE_ISSUE, WAKE_ROWS, WAKE_WALK


@compiled
def start_rows(m, client, time, insn):
    """A LOAD is taken."""
    rows = state(m).rows[client]
    rows.state = SIZE
    rows.valid_from = time + 1
    rows.insn = insn
    rows.shift = 0
    state(m).walks[client].started += 1
    wake(m, WAKE_ROWS + client, time + 1)


@compiled
def step_rows(m, client, time):
    """One cycle of the front: a row requested, a block passed on."""
    rows = state(m).rows[client]
    unit = WAKE_ROWS + client
    if rows.state == IDLE:
        return
    if time < rows.valid_from:
        wake(m, unit, rows.valid_from)
        return
    insn = instruction(m, rows.insn)
    if rows.state == SIZE:
        rows.state = CHECK
        rows.rows_left = insn.ranges
        rows.address = insn.address + rows.shift
        rows.passed = 0
        wake(m, unit, time + 1)
        return
    requested, passed = rows.rows_left == 0, rows.passed == 1
    if not passed and rows.ahead < state(m).parameters.blocks_ahead:
        state(m).ahead[client, short_place(rows.popped + rows.ahead)] = rows.insn
        rows.ahead += 1
        rows.pushed_at = time
        rows.passed = 1
        passed = True
        if not state(m).walks[client].walking:
            wake(m, WAKE_WALK + client, time + 1)
    if not requested and state(m).readers[client].free_at <= time:
        offer_range(m, client, time, rows.address, insn.nbytes)
        rows.address += insn.step_bytes
        rows.rows_left -= 1
    if rows.state == CHECK:
        rows.state = REQUEST
    elif requested and passed:
        rows.state = IDLE
        rows.valid_from = time + 1
        wake(m, WAKE_ISSUE + client - 1, time + 1)
        return
    # A grant, or a block that the back takes, is what the rest waits for.
    if rows.passed and rows.rows_left == 0:
        wake(m, unit, time + 1)


@compiled
def rows_idle(m, client, time):
    """Whether the front takes a LOAD in this cycle."""
    rows = state(m).rows[client]
    return rows.state == IDLE and rows.valid_from <= time


@compiled
def step_walk(m, client, time):
    """One cycle of the back: a block ends, the next one begins."""
    walk, rows = state(m).walks[client], state(m).rows[client]
    unit = WAKE_WALK + client
    done = walk.walking == 1 and walk.done_at == time
    if done:
        walk.last_done = time
        walk.finished += 1
        walk.walking = 0
        wake(m, WAKE_ISSUE + client - 1, time + 1)
    if walk.walking:
        return
    walk.done_at = NEVER
    if rows.ahead - (1 if rows.pushed_at == time else 0) <= 0:
        if rows.ahead:
            wake(m, unit, time + 1)
        return
    walk.insn = state(m).ahead[client, short_place(rows.popped)]
    walk.walking = 1
    walk.cursor = time + 1
    rows.popped = short_place(rows.popped + 1)
    rows.ahead -= 1
    wake(m, WAKE_ROWS + client, time + 1)
    insn = instruction(m, walk.insn)
    if insn.tiles == 0:
        _end_block(m, client, time + 1)
        return
    walk.slot = insn.slot
    walk.row = 0
    if insn.requantised:
        # A residual operand: the store module walks it, since it pauses.
        walk.slot = (insn.slot + rows.shift // insn.tile_bytes) % insn.tiles_per_beat
        walk.first, walk.full, walk.tail = 0, insn.row_tiles, walk.slot
        wake(m, WAKE_ISSUE + client - 1, time + 1)
        return
    walk.cursor += insn.rows_before * insn.width * insn.pad_cost
    _begin_row(m, client)
    advance_walk(m, client)


@compiled
def _end_block(m, client, time):
    state(m).walks[client].done_at = time
    wake(m, WAKE_WALK + client, time)
    wake(m, WAKE_ISSUE + client - 1, time)


@compiled
def _begin_row(m, client):
    """The padding before a row of data, and how its tiles lie in beats."""
    walk = state(m).walks[client]
    insn = instruction(m, walk.insn)
    walk.first = walk.full = walk.tail = 0
    if walk.row >= insn.data_rows:
        return
    walk.cursor += insn.pads_before * insn.pad_cost
    in_beat, tiles = insn.tiles_per_beat, insn.row_tiles
    walk.full_cost = in_beat
    if in_beat == 1:
        walk.full = tiles * insn.beats_per_tile
        return
    if walk.slot:
        walk.first = min(in_beat - walk.slot, tiles)
        tiles -= walk.first
    walk.full = tiles // in_beat
    walk.tail = tiles % in_beat
    walk.slot = (walk.slot + insn.slot_step) % in_beat


@compiled
def _take(m, client, count, cost):
    """Take beats of the oldest burst, ``cost`` tiles each."""
    walk, reader = state(m).walks[client], state(m).readers[client]
    burst = state(m).bursts[client, place(reader.bursts_head)]
    start = max(walk.cursor, burst.start + 1)
    remember_wait(m, client, walk.cursor, start)
    release_beats(m, client, start + cost - 1, count, cost)
    walk.cursor = start + count * cost
    burst.start += count
    burst.count -= count
    if burst.count == 0:
        reader.bursts_head += 1


@compiled
def advance_walk(m, client):
    """Account for all beats whose arrival is known; tells when the block ends once that is."""
    walk, reader = state(m).walks[client], state(m).readers[client]
    if not walk.walking or walk.done_at != NEVER:
        return
    insn = instruction(m, walk.insn)
    if insn.requantised:
        return
    while walk.row < insn.data_rows:
        while walk.first or walk.full or walk.tail:
            if reader.bursts_head == reader.bursts_tail:
                return
            if walk.first:
                _take(m, client, 1, walk.first)
                walk.first = 0
            elif walk.full:
                count = min(walk.full, state(m).bursts[client, place(reader.bursts_head)].count)
                _take(m, client, count, walk.full_cost)
                walk.full -= count
            else:
                _take(m, client, 1, walk.tail)
                walk.tail = 0
        walk.cursor += (insn.width - insn.pads_before - insn.row_tiles) * insn.pad_cost
        walk.row += 1
        _begin_row(m, client)
    walk.cursor += insn.rows_after * insn.width * insn.pad_cost
    _end_block(m, client, walk.cursor - 1)
