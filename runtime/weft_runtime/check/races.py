"""Data races: instructions are visited in a legal order, and each looks at who touched its places last.

What happens before an instruction is a prefix of every queue, so three numbers hold it (a vector clock): how many
instructions of load, of compute, of store. For every place the last reader and writer of each queue is enough: if it
happens before, so does all that its queue did before it.

Source
------
C. Flanagan, S. Freund, "FastTrack: efficient and precise dynamic race detection", PLDI 2009, for last accesses in
place of all pairs; here on a program's static order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Instruction, Load, Memory, MemoryInstruction, Queue, scratchpad_depth, tile_bytes

from ..diagnosis import Channel
from ..dram import ALIGNMENT, Dram
from ..schedule import Plan
from .accesses import Accesses
from .findings import Finding, Kind, Span
from .regions import Key, elements, key_of

LOAD, COMPUTE, STORE = Queue.LOAD, Queue.COMPUTE, Queue.STORE

Touchers = tuple[tuple[Queue, bool], ...]
"""Queues, and whether they write."""

SCRATCHPADS: dict[Memory, Touchers] = {
    Memory.INP: ((LOAD, True), (COMPUTE, False)),
    Memory.WGT: ((LOAD, True), (COMPUTE, False)),
    Memory.ACC: ((COMPUTE, True), (STORE, False)),
}
"""Who reaches a scratchpad that several queues reach; what they do besides meets only accesses of their own queue."""

DRAM: Touchers = ((STORE, True), (LOAD, False), (COMPUTE, False))
"""What the store queue reads of DRAM is in its own order."""


@dataclass(frozen=True)
class _Last:
    """For each element the position in its queue, from 1, of the last instruction that touched it; 0 if none did."""

    queue: Queue
    writes: bool
    positions: NDArray[np.int32]


@dataclass(frozen=True)
class _Conflict:
    """An earlier access that nothing orders: the last one of its queue, whose token would order those before, too."""

    queue: Queue
    position: int
    writes: bool
    span: Span


class _Place:
    """A scratchpad or the DRAM; an element stands for ``granule`` units from unit ``origin`` on."""

    def __init__(self, name: str, size: int, touchers: Touchers, origin: int = 0, granule: int = 1) -> None:
        self.name, self.origin, self.granule = name, origin, granule
        self._last = [_Last(queue, writes, np.zeros(size, np.int32)) for queue, writes in touchers]

    def touch(self, queue: Queue, position: int, writes: bool, key: Key, clock: list[int]) -> list[_Conflict]:
        """Record an access; returns those that it races with."""
        conflicts = []
        for last in self._last:
            if last.queue is queue:
                if last.writes == writes:
                    last.positions[key] = position
            elif writes or last.writes:
                touched = last.positions[key]
                latest = int(touched.max())
                if latest > clock[last.queue]:
                    span = self._span(elements(key)[touched == latest])
                    conflicts.append(_Conflict(last.queue, latest, last.writes, span))
        return conflicts

    def last_write(self, key: Key) -> tuple[int, Span] | None:
        """Position of the last instruction that wrote one of the elements, and which it wrote."""
        for last in self._last:
            if last.writes and (latest := int((touched := last.positions[key]).max())):
                return latest, self._span(elements(key)[touched == latest])
        return None

    def _span(self, where: NDArray[np.intp]) -> Span:
        g = self.granule
        first, last = self.origin + int(where.min()) * g, self.origin + int(where.max()) * g + g - 1
        return Span(self.name, first, last, np.unique(where).size * g)


class RaceFinder:
    """Looks at every conflicting pair of a program.

    Parameters
    ----------
    instructions : sequence of Instruction or None
    accesses : sequence of Accesses
        Of each of them.
    memory : Dram
        Its extent alone matters.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction | None],
        accesses: Sequence[Accesses],
        plan: Plan,
        memory: Dram,
        config: AcceleratorConfig,
    ) -> None:
        self._instructions = instructions
        self._accesses = accesses
        self._plan = plan
        self._places = {m: _Place(m.name, scratchpad_depth(m, config), who) for m, who in SCRATCHPADS.items()}
        self._begin, self._end = _written(accesses)
        self._dram = self._dram_place(memory, config)

    def _dram_place(self, memory: Dram, config: AcceleratorConfig) -> _Place:
        """DRAM in the largest steps between which all edges of blocks lie that a STORE may meet."""
        memories = {
            Memory(instruction.memory)
            for instruction, accesses in zip(self._instructions, self._accesses, strict=True)
            if isinstance(instruction, MemoryInstruction)
            and any(writes or block.meets(self._begin, self._end) for writes, block in accesses.blocks)
        }
        granule = min((tile_bytes(m, config) for m in memories), default=ALIGNMENT)
        granule = min(granule, ALIGNMENT)
        origin = memory.base - memory.base % ALIGNMENT
        size = -(-(memory.base + memory.data.size - origin) // granule) if memories else 0
        return _Place("DRAM", size, DRAM, origin, granule)

    def walk(self, order: Iterable[int], sources: Mapping[int, Sequence[int]]) -> list[Finding]:
        """Visit the instructions in a legal order.

        Where a token is missing the walk goes on as if it were there, so that one missing token is one finding.

        Parameters
        ----------
        sources : Mapping
            Of each instruction that pops, those that push the tokens.
        """
        findings: list[Finding] = []
        givers = {source for of in sources.values() for source in of}
        clocks = {queue: [0, 0, 0] for queue in Queue}
        after: dict[int, list[int]] = {}
        queues = {index: queue for queue, line in self._plan.queues.items() for index in line}
        for index in order:
            queue = queues[index]
            clock = clocks[queue]
            for source in sources.get(index, ()):
                clock[:] = map(max, clock, after[source])
            findings += self._visit(index, queue, clock)
            clock[queue] += 1
            if index in givers:
                after[index] = clock.copy()
        return findings

    def _visit(self, index: int, queue: Queue, clock: list[int]) -> list[Finding]:
        findings: list[Finding] = []
        for memory, writes, tiles in self._accesses[index].tiles:
            key = tiles if isinstance(tiles, slice) else key_of(tiles)
            findings += self._touch(self._places[memory], index, queue, writes, key, clock)
        for writes, block in self._accesses[index].blocks:
            if writes or block.meets(self._begin, self._end):
                key = block.key(self._dram.origin, self._dram.granule)
                findings += self._touch(self._dram, index, queue, writes, key, clock)
                findings += self._written_uops(index, key)
        return findings

    def _touch(
        self, place: _Place, index: int, queue: Queue, writes: bool, key: Key, clock: list[int]
    ) -> list[Finding]:
        findings = []
        for c in place.touch(queue, clock[queue] + 1, writes, key, clock):
            first = self._plan.queues[c.queue][c.position - 1]
            path = token_path(c.queue, queue)
            findings.append(Finding(Kind.RACE, (first, index), c.span, (c.writes, writes), path))
            clock[c.queue] = c.position
        return findings

    def _written_uops(self, index: int, key: Key) -> list[Finding]:
        """Micro-ops that the program itself stored before."""
        instruction = self._instructions[index]
        if not isinstance(instruction, Load) or instruction.memory != Memory.UOP:
            return []
        written = self._dram.last_write(key)
        if written is None:
            return []
        position, span = written
        return [Finding(Kind.UNKNOWN_MICRO_OPS, (self._plan.queues[STORE][position - 1], index), span)]


def _written(accesses: Sequence[Accesses]) -> tuple[int, int]:
    """The stretch ``[begin, end)`` of DRAM from the first byte to the last that is written."""
    blocks = [block for one in accesses for writes, block in one.blocks if writes]
    return min((b.start for b in blocks), default=0), max((b.end for b in blocks), default=0)


def token_path(sender: Queue, receiver: Queue) -> tuple[Channel, ...]:
    """The token queues that lead from one queue to another; Load and Store meet through Compute."""
    if COMPUTE in (sender, receiver):
        return ((sender, receiver),)
    return (sender, COMPUTE), (COMPUTE, receiver)
