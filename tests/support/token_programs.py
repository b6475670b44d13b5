"""Programs of loads, computations and stores that touch scratchpads at random."""

from __future__ import annotations

from itertools import product

import numpy as np
from weft_compiler.accel.conflicts import Accesses
from weft_compiler.accel.tokens import NEIGHBOURS

LOAD, COMPUTE, STORE = range(3)
INP, ACC = 2, 3


def accesses(*rows):
    """Rows of (instruction, memory, first, end, writes)."""
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    return Accesses(*columns[:4], columns[4].astype(bool))


def random_program(rng, count):
    """Loads write INP; compute reads INP and writes ACC; stores read ACC."""
    queue = rng.integers(0, 3, count)
    rows = []
    for k, q in enumerate(queue.tolist()):
        for memory, writes in {LOAD: [(INP, 1)], COMPUTE: [(INP, 0), (ACC, 1)], STORE: [(ACC, 0)]}[q]:
            first = int(rng.integers(0, 10))
            rows.append((k, memory, first, first + int(rng.integers(1, 5)), writes))
    return queue, accesses(*rows)


def every_conflict(queue, touched, within=False):
    """Pairs (earlier, later) of different queues that touch a tile, one of them writing; ``within`` a queue any."""
    rows = list(zip(touched.instruction, touched.memory, touched.first, touched.end, touched.writes, strict=True))
    found = set()
    for (a, m, low, high, w), (b, n, start, end, v) in product(rows, rows):
        matters = within if queue[a] == queue[b] else w or v
        if a < b and m == n and matters and low < end and start < high:
            found.add((int(a), int(b)))
    return found


def pairs_by_flags(queue, flags):
    """What the flags mean: the k-th pop of a token queue takes the k-th push."""
    edges = []
    for source, target, push, pop in NEIGHBOURS:
        pushes = np.flatnonzero(flags[push] & (queue == source))
        pops = np.flatnonzero(flags[pop] & (queue == target))
        assert len(pushes) == len(pops)
        edges += zip(pushes.tolist(), pops.tolist(), strict=True)
    return edges
