"""The order in which instructions are fetched, as `weft_compiler.accel.order` has it, and records sorted by it."""

from __future__ import annotations

import numpy as np

from .compiled import entry
from .timed_records import (
    COMPUTE_QUEUE,
    FIELD_COUNT,
    KIND,
    LOAD_QUEUE,
    POP_NEXT,
    POP_PREV,
    PUSH_NEXT,
    PUSH_PREV,
    QUEUE,
    REGISTER,
    STORE_QUEUE,
    copy_record,
)


@entry
def fetch_sequence(rec, count, most, token_depth):
    """The instructions in the order of fetching, see `accel.order`; an empty one where that takes more thought."""
    loads, others = np.empty(count, np.int64), np.empty(count, np.int64)
    load_count = other_count = 0
    pushed = np.empty(count, np.int64)
    push_count = 0
    for i in range(count):
        if rec[i, QUEUE] == LOAD_QUEUE:
            loads[load_count] = i
            load_count += 1
        else:
            others[other_count] = i
            other_count += 1
            if rec[i, QUEUE] == COMPUTE_QUEUE and rec[i, PUSH_PREV]:
                pushed[push_count] = i
                push_count += 1
    keys = np.empty(load_count)
    wait, key, taken = -1.0, -1.0, 0
    for k in range(load_count):
        load = loads[k]
        if rec[load, POP_NEXT]:
            wait = max(wait, float(pushed[taken]))
            taken += 1
        key = max(key, min(float(load), max(wait + 0.5, float(load - most))))
        keys[k] = key
    sequence, place = np.empty(count, np.int64), np.empty(count, np.int64)
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
    pushes, pops = np.empty(count, np.int64), np.empty(count, np.int64)
    for channel in range(4):
        source = (LOAD_QUEUE, COMPUTE_QUEUE, COMPUTE_QUEUE, STORE_QUEUE)[channel]
        target = (COMPUTE_QUEUE, LOAD_QUEUE, STORE_QUEUE, COMPUTE_QUEUE)[channel]
        push = (PUSH_NEXT, PUSH_PREV, PUSH_NEXT, PUSH_PREV)[channel]
        pop = (POP_PREV, POP_NEXT, POP_PREV, POP_NEXT)[channel]
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


@entry
def by_queue(rec, count, sequence, finish):
    """Records queue by queue in the order of fetching, FINISH the last, and the queues in that order."""
    sizes = np.zeros(4, np.int64)
    for i in range(count):
        sizes[rec[i, QUEUE] + 1] += 1
    sizes[COMPUTE_QUEUE + 1] += 1
    at = np.cumsum(sizes)
    records = np.empty((count + 1, FIELD_COUNT), np.int64)
    fetched, places = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
    for position in range(count):
        queue = rec[sequence[position], QUEUE]
        copy_record(records, at[queue], rec, sequence[position])
        places[at[queue]] = position
        fetched[position] = queue
        at[queue] += 1
    r = records[at[COMPUTE_QUEUE]]
    r[:] = 0
    r[QUEUE], r[KIND], r[REGISTER] = COMPUTE_QUEUE, finish, -1
    places[at[COMPUTE_QUEUE]] = count
    fetched[count] = COMPUTE_QUEUE
    return records, fetched, places
