"""Order between a STORE and a LOAD that reads what it wrote: through the compute queue, where it holds nobody up.

A fence is an instruction of the compute queue that does nothing but take a token from Store and give one to Load. It
stands where compute will come by when the STORE is over, as far as can be estimated, and in any case before the first
instruction that needs what is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Alu, Gemm, Load, Memory, Queue, Store, tile_bytes
from weft_hardware.latencies import PAIRED_BEATS

from .columns import Column
from .conflicts import NONE, Pairs
from .line import BESIDE, Line, Piece
from .stream import UOPS, Rows
from .tokens import waits

LATENCY = 32
"""Cycles from a STORE's last beat until a token of it arrives."""

LOAD_LATENCY = 64
"""Cycles that compute waits for micro-ops, beside their bytes."""


def order_memory(line: Line, offsets: Sequence[Mapping[str, int]], config: AcceleratorConfig) -> None:
    """Put fences between the STOREs of one part and the LOADs of another that read what they wrote.

    Parameters
    ----------
    offsets : sequence of Mapping
        Each part's tensors in DRAM, in bytes.
    """
    needs = _needs(line, offsets, config)
    if (needs == NONE).all():
        return
    view = _View(line, needs, config)
    for load in view.later(Queue.COMPUTE):
        line.conflicts.append(Pairs(np.array([view.number(int(needs[load]))]), np.array([load])))
    # What that moves waits for nothing of DRAM, and stays before the instructions that need it: the view still holds.
    _weights_first(line, view)
    _insert(line, [fence for fence in map(view.fence, view.later(Queue.LOAD)) if fence is not None], view)


def _boxes(rows: Rows, first: int, size: int, unit: int) -> tuple[Column, Column, Column]:
    """The stretches ``[begin, end)`` of DRAM, in units, that blocks take, and whose each is."""
    columns = rows.columns
    height = np.where(columns["x_size"] > 0, columns["y_size"], 0)
    who = np.repeat(np.arange(len(rows)), height)
    row = np.arange(height.sum()) - np.repeat(np.cumsum(height) - height, height)
    begin = (columns["dram"][who] + row * columns["x_stride"][who]) * size + first
    return who, begin // unit, (begin + columns["x_size"][who] * size) // unit


def _needs(line: Line, offsets: Sequence[Mapping[str, int]], config: AcceleratorConfig) -> Column:
    """For each LOAD but the store queue's the key of the last STORE that wrote what it reads, otherwise `NONE`."""
    sizes = {memory: tile_bytes(memory, config) for memory in Memory}
    unit = min(sizes[m] for m in (Memory.INP, Memory.WGT, Memory.OUT, Memory.ACC_8BIT))
    boxes, done = [], 0
    for piece in line.pieces:
        rows = piece.rows
        reads = rows.cls is Load and rows.queue is not Queue.STORE
        if rows.tensor is not None and rows.tensor[0] != UOPS and (rows.cls is Store or reads):
            name, memory = rows.tensor
            who, begin, end = _boxes(rows, offsets[piece.part][name], sizes[memory], unit)
            boxes.append((piece.part, rows.cls is Store, who + done, begin, end))
        done += len(rows)
    needs, keys = np.full(done, NONE, np.int64), line.keys
    stored = [(begin.min(), end.max()) for _, stores, _, begin, end in boxes if stores and len(begin)]
    if not stored:
        return needs
    low, high = min(begin for begin, _ in stored), max(end for _, end in stored)
    writer = np.full(high - low + 1, NONE, np.int64)
    for _, stores, who, begin, end in sorted(boxes, key=lambda box: box[:2]):
        begin, end = np.clip(begin, low, high) - low, np.clip(end, low, high) - low
        inside = begin < end
        who, begin, end = who[inside], begin[inside], end[inside]
        if stores:
            length = end - begin
            first = np.cumsum(length) - length
            writer[np.arange(length.sum()) + np.repeat(begin - first, length)] = np.repeat(keys[who], length)
        elif len(who):
            latest = np.maximum.reduceat(writer, np.stack([begin, end], axis=1).reshape(-1))[::2]
            np.maximum.at(needs, who, latest)
    return needs


@dataclass(frozen=True)
class _Fence:
    """A fence's key and part, and the numbers of the STORE and the LOAD."""

    key: int
    part: int
    store: int
    load: int


class _View:
    """A line with what scratchpads alone ask for, and when that would happen.

    Everything is said in keys. Of the pairs of one channel both sides rise, so who waits for a certain instruction, or
    for a later one, is found by bisection.
    """

    def __init__(self, line: Line, needs: Column, config: AcceleratorConfig) -> None:
        self.keys, self.parts, self.queues = line.keys, line.parts(), line.queues()
        self.needs = needs
        place = line.place()
        self.numbers = np.argsort(place)
        queue = self.queues[self.numbers]
        ordered = self.keys[self.numbers]
        self.pairs = {
            (source, target): (ordered[earlier], ordered[later])
            for source, target, earlier, later in waits(queue, line.conflicts_at(place))
        }
        self._estimate(line, config)

    def of(self, queue: Queue) -> Column:
        """The numbers of a queue's instructions, in order."""
        return self.numbers[self.queues[self.numbers] == queue]

    def later(self, queue: Queue) -> Iterator[int]:
        """A queue's LOADs that wait for a later STORE than all before them, in order."""
        loads = self.of(queue)
        most = np.maximum.accumulate(self.needs[loads])
        return iter(loads[np.diff(most, prepend=NONE) > 0].tolist())

    def _estimate(self, line: Line, config: AcceleratorConfig) -> None:
        """When compute is over with each of its instructions, and Store."""
        self.cycles = cycles = line.column(lambda piece: _cycles(piece.rows, config))
        busy = np.zeros((len(Queue), int(self.parts.max()) + 1))
        np.add.at(busy, (self.queues, self.parts), cycles)
        # Where memory is slower, compute waits for it about evenly.
        slower = np.maximum(1, busy.max(axis=0) / np.maximum(1, busy[Queue.COMPUTE]))
        compute = self.of(Queue.COMPUTE)
        self.compute_keys = self.keys[compute]
        self.compute_end = np.cumsum(cycles[compute] * slower[self.parts[compute]])
        stores = self.of(Queue.STORE)
        self.store_keys, self.store_numbers = self.keys[stores], stores
        earlier, later = self.pairs[Queue.COMPUTE, Queue.STORE]
        last = np.searchsorted(later, self.store_keys, side="right") - 1
        ready = np.where(last >= 0, earlier[np.maximum(last, 0)] if len(earlier) else NONE, NONE)
        at = np.searchsorted(self.compute_keys, ready)
        begin = np.where(ready >= 0, self.compute_end[np.minimum(at, len(compute) - 1)], 0.0)
        total = np.cumsum(cycles[stores])
        self.store_end = np.maximum.accumulate(begin - (total - cycles[stores])) + total + LATENCY

    def stored_at(self, key: int) -> float:
        """When a STORE is over."""
        return float(self.store_end[np.searchsorted(self.store_keys, key)])

    def computed_at(self, key: int) -> float:
        """When compute is over with an instruction."""
        return float(self.compute_end[np.searchsorted(self.compute_keys, key)]) if key >= 0 else 0.0

    def needed_at(self, load: int) -> int:
        """Key of the first instruction of compute that waits for a LOAD, or for a later one."""
        found = self._first(Queue.LOAD, int(self.keys[load]))
        return int(self.compute_keys[-1]) if found is None else found

    def number(self, key: int) -> int:
        """The STORE with a key."""
        return int(self.store_numbers[np.searchsorted(self.store_keys, key)])

    def waits_for(self, load: int) -> int:
        """Key of the last instruction of compute that a LOAD waits for already, `NONE` if for none."""
        earlier, later = self.pairs[Queue.COMPUTE, Queue.LOAD]
        last = int(np.searchsorted(later, self.keys[load], side="right")) - 1
        return int(earlier[last]) if last >= 0 else NONE

    def _first(self, source: Queue, key: int) -> int | None:
        """Key of the first instruction of compute that waits for this one, or a later one, of another queue."""
        earlier, later = self.pairs[source, Queue.COMPUTE]
        found = int(np.searchsorted(earlier, key))
        return int(later[found]) if found < len(later) else None

    def fence(self, load: int) -> _Fence | None:
        """Where the fence of a LOAD stands; None where tokens for scratchpads are enough."""
        store, before = int(self.needs[load]), self.waits_for(load)
        covered = self._first(Queue.STORE, store)
        if covered is not None and covered <= before:
            return None
        over = self.stored_at(store)
        at = int(np.searchsorted(self.compute_end, over))
        key = self._around(at, over)
        key = max(key, store + BESIDE, before + BESIDE)
        needed = self._first(Queue.LOAD, int(self.keys[load]))
        if needed is not None:
            key = min(key, needed - BESIDE)
        behind = min(int(np.searchsorted(self.compute_keys, key)), len(self.compute_keys) - 1)
        part = self.parts[self.of(Queue.COMPUTE)[behind]]
        return _Fence(key, int(part), self.number(store), load)

    def _around(self, at: int, over: float) -> int:
        """Right before or right behind an instruction of compute that runs at a time, whichever costs less."""
        if at == len(self.compute_end):
            return int(self.compute_keys[-1]) + BESIDE
        begin = float(self.compute_end[at - 1]) if at else 0.0
        is_early = over - begin < self.compute_end[at] - over
        return int(self.compute_keys[at]) + (-BESIDE if is_early else BESIDE)


def _cycles(rows: Rows, config: AcceleratorConfig) -> Column:
    """About how long each instruction keeps its module."""
    columns = rows.columns
    if issubclass(rows.cls, Gemm | Alu):
        each = PAIRED_BEATS if rows.cls is Alu and "use_imm" not in columns else 1
        return each * columns["iter_out"] * columns["iter_in"] * (columns["uop_end"] - columns["uop_bgn"])
    if rows.tensor is None or rows.cls not in (Load, Store):
        return np.ones(len(rows), np.int64)
    memory = rows.tensor[1]
    tiles = columns["x_size"] * columns["y_size"]
    cycles = tiles * tile_bytes(memory, config) // config.axi_bytes
    if rows.cls is Store and memory is Memory.ACC_8BIT:
        cycles = np.maximum(cycles, tiles * (config.batch * config.block_out) // config.epilogue_lanes)
    return cycles + (LOAD_LATENCY if rows.cls is Load and rows.queue is not Queue.LOAD else 0)


def _weights_first(line: Line, view: _View) -> None:
    """Weights come before a LOAD that has to wait for a STORE: as many as come meanwhile, and those needed with it."""
    keys = view.keys.copy()
    seen = set()
    for load in view.later(Queue.LOAD):
        part = int(view.parts[load])
        idle = view.stored_at(int(view.needs[load])) - view.computed_at(view.waits_for(load))
        if part in seen or idle <= 0:
            continue
        seen.add(part)
        needed = view.needed_at(load)
        for rank, number in enumerate(n for n in _first_weights(line, part) if view.needs[n] == NONE):
            idle -= view.cycles[number]
            if idle < 0 and keys[number] > needed:
                break
            if keys[number] > keys[load]:
                keys[number] = keys[load] - BESIDE + rank
    line.set_keys(keys)


def _first_weights(line: Line, part: int) -> list[int]:
    """The numbers of a part's LOADs of weights into tiles that nothing in it touched before, in order."""
    touched: list[tuple[Column, Column, Column]] = []
    loads: list[tuple[int, int, int, int]] = []
    done = 0
    for piece in line.pieces:
        rows = piece.rows
        for touch in rows.touches if piece.part == part else ():
            if touch.memory is Memory.WGT:
                touched.append((piece.keys, touch.first, touch.end))
                if rows.cls is Load:
                    numbers = range(done, done + len(rows))
                    loads += zip(piece.keys.tolist(), numbers, touch.first.tolist(), touch.end.tolist(), strict=True)
        done += len(rows)
    size = max((end for *_, end in loads), default=0)
    first = np.full(size + 1, np.iinfo(np.int64).max)
    for keys, begin, end in touched:
        for key, low, high in set(zip(keys.tolist(), begin.tolist(), end.tolist(), strict=True)):
            first[low:high] = np.minimum(first[low:high], key)
    return [number for key, number, low, high in sorted(loads) if key <= first[low:high].min()]


def _insert(line: Line, found: Sequence[_Fence], view: _View) -> None:
    """Add the fences with their conflicts; LOADs come behind the fence that they wait for."""
    if not found:
        return
    keys = line.keys
    base, loads = len(keys), view.of(Queue.LOAD)
    loads = loads[np.argsort(keys[loads])]
    behind = np.full(len(keys), NONE, np.int64)
    zeros = np.zeros(1, np.int64)
    nothing = {name: zeros for name in ("dram", "sram", "x_size", "y_size", "x_stride")}
    for number, fence in enumerate(found):
        columns = nothing | {"memory": zeros + int(Memory.UOP)}
        rows = Rows(cls=Load, queue=Queue.COMPUTE, time=zeros[None], columns=columns)
        line.pieces.append(Piece(fence.part, rows, zeros + fence.key))
        line.conflicts.append(Pairs(np.array([fence.store, base + number]), np.array([base + number, fence.load])))
        behind[fence.load] = fence.key + 1
    # The load queue keeps its order.
    least = np.maximum.accumulate(behind[loads])
    keys[loads] = np.where(keys[loads] < least, least + np.arange(len(loads)), keys[loads])
    line.set_keys(keys)
