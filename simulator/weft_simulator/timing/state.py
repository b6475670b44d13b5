"""What the timing model remembers: numpy records, one a unit, that compiled functions read and write.

Times are cycles since the launch; `NEVER` is a time that is not known yet, or will not come.
A field named ``..._at`` is the cycle in which something happens, or from which on it holds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import Queue
from weft_hardware.registers import Activity

Records = NDArray[np.void]

NEVER = 1 << 62

RING = 1024
"""Places of each reader's bursts and releases, a power of two: at least the beats of the deepest buffer."""

FETCH, LOAD, COMPUTE, STORE = range(4)
"""Readers, in the order of their AXI ids; the modules' queues are one less."""

READERS = 4
QUEUES = len(Queue)

PLACES = 16
"""Of short queues, a power of two: more than the RTL's."""

CHANNELS = 4
"""Token queues: load to compute, compute to load, compute to store, store to compute."""

SIZE, CHECK, REQUEST, IDLE = range(4)
"""States of a `Rows` unit."""


def _record(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names])


PARAMETERS = _record(
    "clients",
    "reads_in_flight",
    "writes_in_flight",
    "command_depth",
    "token_depth",
    "axi_shift",
    "write_burst",
    "grant_to_beat",
    "instruction_parts",
    "instruction_slots",
    "instructions",
    "most_room",
    "blocks_ahead",
    "read_stage",
    "counts",
    "step_latency",
    "step_read_latency",
    "step_to_completion",
    "datapath_latency",
    "acc_half",
    "beat_to_answer",
    "acc_read_latency",
    "tiles_ahead",
    "blocks_read",
    "blocks_waiting",
    "epilogue_steps",
    "epilogue_latency",
    "epilogue_buffer",
    "residuals_pause",
    "residual_mode",
    "static_mode",
    "residual_register",
    "overwrite_register",
    "param_register",
    "param_depth",
    "acc_depth",
    "uop_depth",
    "residual_begin",
    "residual_end",
    "span",
)
"""What configuration, memory and RTL say; the same names as there."""

PORT = _record("last_client", "last_end", "oldest", "granted")
"""The shared read port: end of the last burst granted, and the numbers of the oldest one in flight and the next."""

READER = _record(
    "active",
    "beat",
    "left",
    "burst_from",
    "free_at",
    "longest",
    "buffer",
    "requested",
    "enough_at",
    "bursts_head",
    "bursts_tail",
    "releases_head",
    "releases_tail",
    "released",
)
"""A client's splitter and buffer.

``beat`` and ``left`` are the range being cut; a burst is offered from ``burst_from`` on, as soon as the buffer has
room at ``enough_at``. ``requested`` and ``released`` count beats, the latter those whose release is known."""

BURST = _record("start", "count")
"""Beats that arrive one a cycle, from cycle ``start`` on, and are not consumed yet."""

RELEASE = _record("before", "start", "count", "period")
"""Beats that leave the buffer, ``period`` cycles apart; ``before`` counts those released earlier."""

ROWS = _record("state", "valid_from", "insn", "rows_left", "address", "passed", "ahead", "pushed_at", "popped", "shift")
"""The front of a loader. ``ahead`` blocks wait for the walk, of which one came at ``pushed_at``."""

WALK = _record(
    "walking",
    "insn",
    "cursor",
    "done_at",
    "last_done",
    "started",
    "finished",
    "row",
    "slot",
    "first",
    "full",
    "full_cost",
    "tail",
    "pads_after",
    "waits_head",
    "waits_tail",
)
"""The back of a loader: ``cursor`` is the first cycle not accounted for; ``first``, ``full`` and ``tail`` are beats of
the present row, or, of the first and the last, their tiles."""

WAIT = _record("begin", "end")
"""Cycles in which a loader waits for a beat, the end not included."""

ACCOUNT = _record("since", "lasting")
"""The first cycle of a module that is not counted yet, and what it has done since then."""

MODULE = _record(
    "dispatched_at",
    "filled",
    "level",
    "shown",
    "present",
    "issued",
    "retired",
    "waiting",
    "prev_pushed",
    "prev_popped",
    "owed_prev",
    "owed_next",
    "at_once",
    "last_retire",
    "in_flight",
    "offset",
)
"""A command queue and what goes on around its instructions; ``at_once`` is when one without work is completed.

``level`` counts words in the queue's memory, ``shown`` says that one more is at its output, ``filled`` that the head
is there. Its instructions lie from ``offset`` on in the program."""

FETCHING = _record("next", "word_at", "free_at", "part", "slot", "last_dispatch", "blocked")
"""The fetch unit: instruction number ``next`` is offered from ``word_at`` on."""

PRESENT = _record("insn", "first_at", "beats", "mask", "bank")
"""A GEMM or ALU instruction in the pipeline: its first step's cycle, its beats, the register OVERWRITE, and the bank
that every beat reads: `NO_BANK` if beats differ, `UNKNOWN_BANK` until somebody asks."""

NO_BANK, UNKNOWN_BANK = -1, -2

STORING = _record(
    "param",
    "overwrite",
    "residual",
    "last_insn",
    "waiting",
    "following",
    "state",
    "insn",
    "rows_left",
    "address",
    "passed",
    "range_active",
    "range_beat",
    "range_left",
    "lengths_head",
    "lengths_tail",
    "sent",
    "unanswered",
    "answers_head",
    "answers_tail",
    "last_answer",
    "unread",
    "index",
    "ahead",
    "arriving",
    "buffered",
    "blocks_head",
    "blocks_tail",
    "present",
    "block",
    "tiles",
    "x",
    "slot",
    "row_slot",
    "part",
    "beat_valid",
    "acknowledged",
    "completed",
    "unended",
    "wanted",
    "looks",
    "loading",
    "shift",
    "path_head",
    "path_tail",
    "path_present",
    "path_requantised",
    "path_left",
    "path_mode",
    "inside",
    "step",
    "under_way",
    "results_head",
    "results_tail",
    "level",
    "shown",
    "result_part",
    "result_shown",
    "result_spare",
    "residuals",
    "residual_written",
    "flow_at",
    "room",
)
"""The store module but for its loader. What tiles pass is as at the beginning of cycle ``flow_at``, the rest as now;
until then the front sees ``room`` for a block, or none."""

STEPS = _record(
    "free_at",
    "completions_head",
    "completions_tail",
    "stepped_at",
    "last_step",
    "finished_at",
    "presents_head",
    "presents_tail",
)
"""The sequencer and the pipeline behind it."""

INSTRUCTION = _record(
    "kind",
    "queue",
    "pop_prev",
    "pop_next",
    "push_prev",
    "push_next",
    "uop_load",
    "ranges",
    "address",
    "nbytes",
    "step_bytes",
    "tiles",
    "width",
    "merged",
    "pads_before",
    "row_tiles",
    "data_rows",
    "rows_before",
    "rows_after",
    "pad_cost",
    "beats_per_tile",
    "tiles_per_beat",
    "slot",
    "slot_step",
    "tile_bytes",
    "sram",
    "uops_at",
    "mode",
    "eight_bit",
    "requantised",
    "acknowledgements",
    "beats",
    "uop_bgn",
    "body",
    "iter_in",
    "dst_out",
    "dst_in",
    "src_out",
    "src_in",
    "paired",
    "overwrites",
    "reads_acc",
    "uop_end",
    "dst_reach",
    "src_reach",
    "wgt_reach",
    "src_depth",
    "wgt_depth",
    "fault",
    "last_param",
    "extent",
    "register",
    "value",
    "moving",
)
"""One instruction, as far as time depends on it. ``address`` and ``step_bytes`` are of its ``ranges`` in DRAM, which
lie within ``extent`` bytes. A loop's operand reaches ``..._reach`` tiles beyond its micro-op's index; a depth of 0 says
that the operand is not used."""

KINDS = ("finish", "load", "loop", "set", "store", "nothing")
FINISH_KIND, LOAD_KIND, LOOP_KIND, SET_KIND, STORE_KIND, NOTHING_KIND = range(len(KINDS))

(
    WAKE_FETCH,
    WAKE_PORT,
    WAKE_ISSUE,
    _1,
    _2,
    WAKE_ROWS,
    _3,
    _4,
    _5,
    WAKE_WALK,
    _6,
    _7,
    _8,
    UNITS,
) = range(14)
"""Places in `MACHINE`'s ``wake``; those of issue are by queue, those of rows and walk by reader."""


UOP = _record("dst", "src", "wgt")

NO_FAULT, ILLEGAL, OUT_OF_SCRATCHPAD, OUT_OF_WINDOW, OUT_OF_PARAMETERS, RESIDUAL_OUT_OF_WINDOW = range(6)
"""Why an instruction is refused."""

REFUSAL = _record("outcome", "insn")
"""The instruction that stopped the program, and why."""

FETCHED = _record("queue")
"""An instruction in the order of fetching."""

MOMENTS = _record("issued", "retired")
"""When an instruction was issued and when it retired."""

TRAFFIC = _record("read", "written")
"""Beats in a span of cycles."""

MACHINE = np.dtype(
    [
        ("program", np.int64),
        ("fetched", np.int64),
        ("uops", np.int64),
        ("loaded_uops", np.int64),
        ("moments", np.int64),
        ("traffic", np.int64),
        ("parameters", PARAMETERS),
        ("wake", np.int64, UNITS),
        ("due", np.int64, UNITS),
        ("tokens", np.int64, CHANNELS),
        ("token_changes", np.int64, CHANNELS),
        ("port", PORT),
        ("ends", np.int64, RING),
        ("readers", READER, READERS),
        ("bursts", BURST, (READERS, RING)),
        ("releases", RELEASE, (READERS, RING)),
        ("fetching", FETCHING),
        ("modules", MODULE, QUEUES),
        ("accounts", ACCOUNT, QUEUES),
        ("activities", np.int64, (QUEUES, len(Activity))),
        ("rows", ROWS, READERS),
        ("walks", WALK, READERS),
        ("waits", WAIT, (READERS, RING)),
        ("ahead", np.int64, (READERS, PLACES)),
        ("steps", STEPS),
        ("completions", np.int64, PLACES),
        ("presents", PRESENT, PLACES),
        ("refusal", REFUSAL),
        ("storing", STORING),
        ("lengths", np.int64, (RING, 3)),
        ("answers", np.int64, (RING, 2)),
        ("results", np.int64, RING),
        ("sent_blocks", np.int64, PLACES),
        ("path_blocks", np.int64, PLACES),
    ]
)
"""All that a compiled function needs, in one piece, which it takes by its address.

The first six are addresses, too: of records of `INSTRUCTION`, queue by queue; of `FETCHED`; of `UOP`, the micro-op
buffer; of those that LOADs will put there; of `MOMENTS`, an instruction each; of `TRAFFIC`, each of ``parameters.span``
cycles. The last two count only while that is not zero."""
