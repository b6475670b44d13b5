"""The store module: rows announced, accumulators read, requantised on the way or not, written and acknowledged.

It is looked at in every cycle in which something in it moves. But where activities are not counted, tiles move on ahead
of the clock while nothing else can matter to them.
"""

from __future__ import annotations

from .access import beats_of, instruction, place, short_place, state, traffic
from .accumulators import bank_read, bank_read_until
from .activities import count_cycle
from .compiled import compiled
from .issuing import issue, may_begin, next_instruction, refuse, retire, step_queue, tokens_there
from .loading import rows_idle, start_rows
from .reading import release_beats, wake
from .state import (
    CHECK,
    IDLE,
    LOAD_KIND,
    NEVER,
    NOTHING_KIND,
    OUT_OF_PARAMETERS,
    REQUEST,
    RESIDUAL_OUT_OF_WINDOW,
    SET_KIND,
    STORE,
    WAKE_ISSUE,
    WAKE_WALK,
)

_QUEUE = STORE - 1


@compiled
def _send(m, time):
    """The write engine and the packer: returns whether anything moved and whether a tile ends, as bits 0 and 1."""
    p, s = state(m).parameters, state(m).storing
    taken = s.beat_valid == 1 and s.lengths_head != s.lengths_tail and state(m).lengths[place(s.lengths_head), 1] < time
    if taken:
        if p.span:
            traffic(m, time + 1).written += 1
        s.sent += 1
        if s.sent == state(m).lengths[place(s.lengths_head), 0]:
            s.sent = 0
            # On the bus in the next cycle; acknowledged after that, in order, one a cycle.
            answer = max(time + p.beat_to_answer, s.last_answer + 1)
            s.last_answer = answer
            state(m).answers[place(s.answers_tail), 0] = answer
            state(m).answers[place(s.answers_tail), 1] = state(m).lengths[place(s.lengths_head), 2]
            s.answers_tail += 1
            s.lengths_head += 1
    room = s.beat_valid == 0 or taken
    if not room:
        return False, False
    offered = _tile_offered(m, time)
    if not offered:
        if taken:
            s.beat_valid = 0
        return taken, False
    insn = instruction(m, s.block)
    last = s.tiles == 1 if insn.merged else s.x == insn.width - 1
    tile_ends, beat_ends = True, True
    if insn.tiles_per_beat > 1:
        beat_ends = last or s.slot % insn.tiles_per_beat == insn.tiles_per_beat - 1
    else:
        s.part += 1
        tile_ends = s.part == insn.beats_per_tile
        if tile_ends:
            s.part = 0
    s.beat_valid = 1 if beat_ends else 0
    if tile_ends:
        s.tiles -= 1
        s.x += 1
        s.slot += 1
        if last:
            s.x = 0
            s.row_slot += insn.slot_step
            s.slot = s.row_slot
    return True, tile_ends


@compiled
def _tile_offered(m, time):
    """Whether the present block's next tile is there."""
    p, s = state(m).parameters, state(m).storing
    if s.present == 0:
        return False
    if instruction(m, s.block).requantised:
        return s.result_shown == 1
    if p.clients <= STORE:
        return s.buffered > 0
    return s.buffered > 0 and s.path_present == 1 and s.path_requantised == 0


@compiled
def _next_block(m, sent):
    """The sender goes on to the next block; returns whether anything moved."""
    s = state(m).storing
    if s.present == 1 and not sent:
        return False
    was = s.present
    s.present = 0
    if s.blocks_head != s.blocks_tail:
        s.present = 1
        s.block = state(m).sent_blocks[short_place(s.blocks_head)]
        insn = instruction(m, s.block)
        s.tiles, s.x, s.slot, s.row_slot = insn.tiles, 0, insn.slot, insn.slot
        s.blocks_head += 1
    return s.present != was or s.present == 1


@compiled
def _requantise(m, time, tile_to_sender, result_to_sender):
    """The path past or through the epilogue; returns whether anything moved and whether it takes a tile."""
    p, s = state(m).parameters, state(m).storing
    moved = False
    # Results leave the buffer behind the lanes, complete ones for the register slice before the sender.
    last_part = s.result_part == p.epilogue_steps - 1
    read = s.shown == 1 and (s.result_spare == 0 or not last_part)
    complete = read and last_part
    if s.result_shown == 0 or result_to_sender:
        moved = s.result_shown == 1 or complete
        s.result_shown = 1 if complete or s.result_spare == 1 else 0
        s.result_spare = 0
    elif complete:
        s.result_spare = 1
    # Steps enter.
    operand = s.path_mode & p.residual_mode == 0 or s.residuals > 0
    enters = s.path_present == 1 and s.path_requantised == 1 and operand
    started = s.buffered > 0 and enters and s.under_way != p.epilogue_buffer
    tile_taken = tile_to_sender
    if started:
        s.step += 1
        state(m).results[place(s.results_tail)] = time + p.epilogue_latency
        s.results_tail += 1
        if s.step == p.epilogue_steps:
            s.step = 0
            tile_taken = True
            if s.path_mode & p.residual_mode:
                s.residuals -= 1
    if read:
        s.result_part = 0 if last_part else s.result_part + 1
    s.under_way += (1 if started else 0) - (1 if read else 0)
    # The buffer: a memory with an output register.
    arrived = s.results_head != s.results_tail and state(m).results[place(s.results_head)] == time
    inner = s.level > 0 and (s.shown == 0 or read)
    shown = 1 if inner else (0 if read else s.shown)
    moved = moved or started or read or arrived or inner
    s.shown = shown
    s.level += (1 if arrived else 0) - (1 if inner else 0)
    if arrived:
        s.results_head += 1
    return moved, tile_taken


@compiled
def _next_path_block(m, taken, sent, had):
    """The path goes on to the next block, of which ``had`` wait; returns whether anything moved."""
    p, s = state(m).parameters, state(m).storing
    ends = taken and s.path_left == 1
    advances = False
    if had and (s.path_present == 0 or ends):
        insn = instruction(m, state(m).path_blocks[short_place(s.path_head)])
        fits = s.inside == 0 or (insn.mode ^ s.path_mode) & p.static_mode == 0
        advances = s.loading == 0 and (insn.requantised == 0 or fits)
    if taken:
        s.path_left -= 1
        s.path_present = 0 if ends else 1
    enters = False
    if advances:
        insn = instruction(m, state(m).path_blocks[short_place(s.path_head)])
        s.path_head += 1
        s.path_left, s.path_present, s.path_requantised = insn.tiles, 1, insn.requantised
        enters = insn.requantised == 1
        if enters:
            s.path_mode = insn.mode
    s.inside += (1 if enters else 0) - (1 if sent else 0)
    return advances or taken


@compiled
def _read(m, time, taken):
    """The reader of accumulators; returns whether anything moved."""
    p, s = state(m).parameters, state(m).storing
    requested = False
    if s.unread and s.ahead != p.tiles_ahead:
        requested = bank_read(m, time) != (1 if s.index >= p.acc_half else 0)
        if not requested:
            wake(m, WAKE_ISSUE + _QUEUE, bank_read_until(m, time))
    arrived = s.arriving >> (p.acc_read_latency - 1) & 1
    s.arriving = (s.arriving << 1 | (1 if requested else 0)) & ((1 << p.acc_read_latency) - 1)
    s.buffered += arrived - (1 if taken else 0)
    s.ahead += (1 if requested else 0) - (1 if taken else 0)
    if requested:
        s.unread -= 1
        s.index += 1
    return requested or s.arriving != 0 or arrived == 1 or taken


@compiled
def _announce(m, time, room, waiting):
    """The front: blocks passed on, ranges cut into bursts; returns whether anything moved."""
    p, s = state(m).parameters, state(m).storing
    # Bursts of the range taken before.
    moved = False
    free = s.range_active == 0
    if s.range_active == 1 and s.unanswered < p.writes_in_flight:
        beats = min(s.range_left, p.write_burst - (s.range_beat & p.write_burst - 1))
        s.range_beat += beats
        s.range_left -= beats
        state(m).lengths[place(s.lengths_tail), 0] = beats
        state(m).lengths[place(s.lengths_tail), 1] = time
        state(m).lengths[place(s.lengths_tail), 2] = 1 if s.range_left == 0 else 0
        s.lengths_tail += 1
        s.unanswered += 1
        moved = True
        if s.range_left == 0:
            s.range_active = 0
            free = True
    advance = False
    if s.state == IDLE:
        advance = waiting
    else:
        requested, passed = s.rows_left == 0, s.passed == 1
        if not passed and room:
            _pass_block(m)
            passed = moved = True
        if not requested and free:
            s.range_active = 1
            s.range_beat, s.range_left = beats_of(m, s.address, instruction(m, s.insn).nbytes)
            s.address += instruction(m, s.insn).step_bytes
            s.rows_left -= 1
            moved = True
        if s.state == CHECK:
            s.state = REQUEST
            moved = True
        elif requested and passed:
            advance = waiting
            s.state = IDLE
            moved = True
    if advance:
        s.state = CHECK
        s.insn = s.following
        s.waiting = 0
        s.passed = 0
        s.rows_left = instruction(m, s.insn).ranges
        s.address = instruction(m, s.insn).address
        moved = True
    return moved


@compiled
def _pass_block(m):
    p, s = state(m).parameters, state(m).storing
    insn = instruction(m, s.insn)
    s.passed = 1
    s.unended += 1
    s.unread, s.index = insn.tiles, insn.sram
    state(m).sent_blocks[short_place(s.blocks_tail)] = s.insn
    s.blocks_tail += 1
    if p.clients > STORE:
        state(m).path_blocks[short_place(s.path_tail)] = s.insn
        s.path_tail += 1
        if insn.requantised and insn.mode & p.residual_mode:
            s.wanted = 1


@compiled
def _room_for_block(m):
    """Whether everybody takes the block on offer."""
    p, s = state(m).parameters, state(m).storing
    if s.unread or s.blocks_tail - s.blocks_head == p.blocks_read:
        return False
    return p.clients <= STORE or s.path_tail - s.path_head < p.blocks_waiting


@compiled
def _is_over(m, time):
    """Whether the oldest instruction that is not over ends now; acknowledgements of this cycle count from the next."""
    s, module, walk = state(m).storing, state(m).modules[_QUEUE], state(m).walks[STORE]
    if s.completed == module.issued:
        return False
    insn = instruction(m, module.offset + s.completed)
    if insn.kind == LOAD_KIND:
        return walk.walking == 1 and walk.done_at == time
    return s.acknowledged >= insn.acknowledgements


@compiled
def _complete(m):
    """The oldest instruction is over."""
    s = state(m).storing
    insn = instruction(m, state(m).modules[_QUEUE].offset + s.completed)
    s.acknowledged -= insn.acknowledgements
    s.unended -= 1 if insn.acknowledgements else 0
    s.completed += 1


@compiled
def _acknowledge(m, time):
    """Answers of the memory in this cycle; returns whether there is one."""
    s = state(m).storing
    if s.answers_head == s.answers_tail:
        return False
    if state(m).answers[place(s.answers_head), 0] > time:
        wake(m, WAKE_ISSUE + _QUEUE, state(m).answers[place(s.answers_head), 0])
        return False
    s.acknowledged += state(m).answers[place(s.answers_head), 1]
    s.answers_head += 1
    s.unanswered -= 1
    if s.answers_head != s.answers_tail:
        wake(m, WAKE_ISSUE + _QUEUE, state(m).answers[place(s.answers_head), 0])
    return True


@compiled
def _accept(m, time, number, running):
    """Whether the store module begins an instruction in this cycle; what becomes of it."""
    p, s = state(m).parameters, state(m).storing
    insn = instruction(m, number)
    if insn.fault:
        return refuse(m, number, insn.fault)
    if insn.kind == NOTHING_KIND:
        return True
    if insn.kind == SET_KIND:
        if not insn.moving and running:
            return False
        if insn.register == p.residual_register:
            s.residual = insn.value
        elif insn.register == p.param_register:
            s.param = insn.value
        return True
    if insn.kind == LOAD_KIND:
        if running:
            return False
        s.wanted = s.loading = 1
        s.shift = 0
        s.last_insn = number
        return True
    if s.waiting:
        return False
    if p.clients > STORE:
        idle = s.state == IDLE
        after = s.last_insn >= 0 and instruction(m, s.last_insn).eight_bit == 1
        if s.wanted or s.looks or not (idle or not (insn.eight_bit == 1 or after)):
            return False
        s.shift = s.residual * insn.tile_bytes
        if insn.requantised:
            if s.param + insn.last_param >= p.param_depth:
                return refuse(m, number, OUT_OF_PARAMETERS)
            first = insn.address + s.shift
            if insn.mode & p.residual_mode and (first < p.residual_begin or first + insn.extent > p.residual_end):
                return refuse(m, number, RESIDUAL_OUT_OF_WINDOW)
    s.last_insn = number
    s.following = number
    s.waiting = 1
    return True


@compiled
def _is_oldest(m):
    """Whether the loader's instruction, if it has begun, is the oldest that runs."""
    s, module = state(m).storing, state(m).modules[_QUEUE]
    if s.completed == module.issued:
        return False
    insn = instruction(m, module.offset + s.completed)
    if s.last_insn >= 0 and instruction(m, s.last_insn).kind == LOAD_KIND:
        return insn.kind == LOAD_KIND
    return insn.acknowledgements > 0 and s.unended == 1


@compiled
def _start_loader(m, time, wanted, oldest):
    """The loader takes a LOAD, or a residual operand; returns whether anything moved."""
    s = state(m).storing
    moved = s.looks != wanted
    s.looks = wanted
    if wanted and oldest and rows_idle(m, STORE, time):
        start_rows(m, STORE, time, s.last_insn)
        state(m).rows[STORE].shift = s.shift
        s.wanted = 0
        moved = True
    return moved


@compiled
def _walk_residual(m, time, paused):
    """One cycle of the loader's walk over a residual operand, which pauses; returns whether anything moved."""
    s, walk, reader = state(m).storing, state(m).walks[STORE], state(m).readers[STORE]
    arrived = s.residual_written
    s.residual_written = 0
    s.residuals += arrived
    if walk.walking == 0 or not instruction(m, walk.insn).requantised or walk.done_at != NEVER:
        return arrived == 1
    if walk.cursor > time:
        wake(m, WAKE_ISSUE + _QUEUE, walk.cursor)
        return arrived == 1
    if paused or reader.bursts_head == reader.bursts_tail:
        return arrived == 1
    burst = state(m).bursts[STORE, place(reader.bursts_head)]
    if burst.start >= time:
        wake(m, WAKE_ISSUE + _QUEUE, burst.start + 1)
        return arrived == 1
    insn = instruction(m, walk.insn)
    # ``first`` counts what is left of the present tile or beat, ``full`` the row's tiles, ``tail`` the slot.
    tile_ends, beat_ends = True, True
    if insn.tiles_per_beat > 1:
        beat_ends = walk.full == 1 or walk.tail == insn.tiles_per_beat - 1
        walk.tail = 0 if beat_ends else walk.tail + 1
    else:
        walk.first += 1
        tile_ends = walk.first == insn.beats_per_tile
    if beat_ends:
        release_beats(m, STORE, time, 1, 1)
        burst.start += 1
        burst.count -= 1
        if burst.count == 0:
            reader.bursts_head += 1
    if tile_ends:
        walk.first = 0
        s.residual_written = 1
        walk.full -= 1
        if walk.full == 0:
            walk.row += 1
            walk.full = insn.row_tiles
            walk.slot = (walk.slot + insn.slot_step) % insn.tiles_per_beat
            walk.tail = walk.slot
            if walk.row == insn.data_rows:
                walk.done_at = time
                state(m).due[WAKE_WALK + STORE] = 1
    return True


@compiled
def _flow(m, time):
    """One cycle of what tiles pass: reader, path, sender, walk over residuals; returns whether anything moved."""
    p, s = state(m).parameters, state(m).storing
    requantises = p.clients > STORE
    path_had, paused = s.path_head != s.path_tail, s.residuals >= p.residuals_pause
    moved, tile_ends = _send(m, time)
    requantised = s.present == 1 and instruction(m, s.block).requantised == 1
    sent = tile_ends and s.tiles == 0
    tile_taken = tile_ends and not requantised
    if requantises:
        requantising, tile_taken = _requantise(m, time, tile_taken, tile_ends and requantised)
        moved = moved or requantising
    moved = _next_block(m, sent) or moved
    moved = _read(m, time, tile_taken) or moved
    if requantises:
        moved = _next_path_block(m, tile_taken, sent and requantised, path_had) or moved
        moved = _walk_residual(m, time, paused) or moved
    return moved


@compiled
def _foreseen(m, time, room):
    """After a cycle's `_flow`: the next cycle whose own may depend on what other units, or the front, do from now on.

    Whoever waits for room passes a block only once there is, two cycles after it was given the instruction. A residual
    operand is walked four cycles after its loader can begin at the earliest, and beats take their time from the grant.
    A GEMM that is not accepted yet reads accumulators in the cycle of its first step's.
    """
    p, s = state(m).parameters, state(m).storing
    until = NEVER
    if p.counts or s.loading:
        return time + 1
    if p.clients > STORE:
        walk, rows = state(m).walks[STORE], state(m).rows[STORE]
        if walk.walking:
            if walk.done_at != NEVER:
                return time + 1
            until = time + 2 + p.grant_to_beat
        elif rows.state != IDLE or rows.ahead:
            return time + 1
        elif s.wanted:
            until = time + 4
    if room:
        if s.state != IDLE:
            return time + 2 if s.passed else time + 1
        until = min(until, time + 2 if s.waiting else time + 3)
    if s.unread:
        steps = state(m).steps
        until = min(until, max(time + 1, steps.free_at) + p.step_latency + p.read_stage)
    return until


@compiled
def _needs_others(m):
    """Whether the next cycle needs a burst that is not announced yet, or ends the walk over a residual operand."""
    s, walk = state(m).storing, state(m).walks[STORE]
    if s.beat_valid and s.lengths_head == s.lengths_tail:
        return True
    return walk.walking == 1 and walk.full == 1 and walk.row + 1 == instruction(m, walk.insn).data_rows


@compiled
def _flow_ahead(m, time, room):
    """`_flow` in this cycle, and at once in those after it that nothing else can change any more.

    Until then, ``room`` for a block is what the front sees.
    """
    s = state(m).storing
    cycle = until = time
    while True:
        moved = _flow(m, cycle)
        if cycle == time:
            until = _foreseen(m, time, room)
        cycle += 1
        if not moved or cycle >= until or _room_for_block(m) != room or _needs_others(m):
            break
    s.room, s.flow_at = room, cycle
    if moved:
        wake(m, WAKE_ISSUE + _QUEUE, cycle)
    if s.results_head != s.results_tail:
        wake(m, WAKE_ISSUE + _QUEUE, max(cycle, state(m).results[place(s.results_head)]))


@compiled
def step_store(m, time):
    """One cycle of the store module."""
    p, s, module = state(m).parameters, state(m).storing, state(m).modules[_QUEUE]
    running, owed_prev = module.issued - module.retired, module.owed_prev
    requantises = p.clients > STORE
    wanted, waiting, oldest = s.wanted, s.waiting == 1, _is_oldest(m)
    room = s.room if time < s.flow_at else _room_for_block(m)

    completed = _is_over(m, time)
    count_cycle(m, _QUEUE, time, completed)
    if completed:
        _complete(m)
    retired = retire(m, _QUEUE, time, 1 if completed else 0)
    moved = completed or retired
    if time < s.flow_at:
        wake(m, WAKE_ISSUE + _QUEUE, s.flow_at)
    else:
        _flow_ahead(m, time, room)

    issued = False
    if may_begin(m, _QUEUE, running, owed_prev, 0):
        popped = module.prev_popped
        if tokens_there(m, _QUEUE, time):
            number = next_instruction(m, _QUEUE)
            issued = _accept(m, time, number, running)
            if issued:
                issue(m, _QUEUE, time)
        moved = moved or popped != module.prev_popped
    if requantises:
        moved = _start_loader(m, time, wanted, oldest) or moved
        walk = state(m).walks[STORE]
        if walk.walking == 1 and walk.done_at == time:
            s.loading = 0
    moved = _announce(m, time, room, waiting) or moved
    moved = _acknowledge(m, time) or moved
    moved = step_queue(m, _QUEUE, time, issued) or moved
    if moved:
        wake(m, WAKE_ISSUE + _QUEUE, time + 1)
    walk = state(m).walks[STORE]
    if walk.walking == 1 and walk.done_at > time and walk.done_at != NEVER:
        wake(m, WAKE_ISSUE + _QUEUE, walk.done_at)
