"""Is a program legal? Decided from tokens and queue order alone, before anything simulates it.

*Legal*: every pair of conflicting accesses from different queues is ordered by the happens-before relation, which is
the transitive closure of queue order and of the edges from each push to the pop that takes it (token queues are
first-in first-out and each has one sender and one receiver, so the k-th pop takes the k-th push, whatever the
timing). Then every order that tokens allow leaves the same bytes.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from weft_hardware.isa import Instruction, Queue, Store

from .accesses import Accesses, AccessTracker
from .program import Program
from .tokens import CHANNELS, Channel, popped, pushed


@dataclass(frozen=True)
class Race:
    """Two unordered instructions and where they collide."""

    first: int
    second: int
    places: tuple[str, ...]


@dataclass
class Verdict:
    """What the oracle found; a program is worth running everywhere when `legal` holds."""

    before: list[int] = field(default_factory=list)
    """For each instruction the bit mask of those that happen before it."""
    races: list[Race] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    hangs: bool = False
    """Whether some module waits for ever, under the most generous reading of queue capacities."""
    completes: bool = True
    """Whether it runs to its end, under the strictest reading; between the two the answer is the hardware's."""
    leftover: Counter[Channel] = field(default_factory=Counter)

    @property
    def legal(self) -> bool:
        return self.completes and not (self.races or self.problems or self.leftover)


def token_edges(instructions: Sequence[Instruction]) -> tuple[list[tuple[int, int]], Counter[Channel]]:
    """The (pusher, popper) pairs, and pushes minus pops of every unbalanced channel."""
    pushers: dict[Channel, list[int]] = {channel: [] for channel in CHANNELS}
    poppers: dict[Channel, list[int]] = {channel: [] for channel in CHANNELS}
    for index, insn in enumerate(instructions):
        for channel in pushed(insn):
            pushers[channel].append(index)
        for channel in popped(insn):
            poppers[channel].append(index)
    edges = [pair for channel in CHANNELS for pair in zip(pushers[channel], poppers[channel], strict=False)]
    surplus = {c: len(pushers[c]) - len(poppers[c]) for c in CHANNELS if len(pushers[c]) != len(poppers[c])}
    return edges, Counter(surplus)


def predecessors(instructions: Sequence[Instruction]) -> list[list[int]]:
    """Direct happens-before predecessors: the one before in the queue, and the pushers of the tokens taken."""
    direct: list[list[int]] = [[] for _ in instructions]
    last: dict[Queue, int] = {}
    for index, insn in enumerate(instructions):
        if insn.queue in last:
            direct[index].append(last[insn.queue])
        last[insn.queue] = index
    for pusher, popper in token_edges(instructions)[0]:
        direct[popper].append(pusher)
    return direct


def linear_order(direct: list[list[int]], rng: random.Random | None = None) -> list[int]:
    """An order that respects the direct predecessors, random with ``rng``; instructions of a cycle are left out."""
    missing = [len(p) for p in direct]
    followers: list[list[int]] = [[] for _ in direct]
    for index, before in enumerate(direct):
        for p in before:
            followers[p].append(index)
    ready = [k for k, n in enumerate(missing) if n == 0]
    order = []
    while ready:
        index = ready.pop(rng.randrange(len(ready)) if rng else 0)
        order.append(index)
        for f in followers[index]:
            missing[f] -= 1
            if missing[f] == 0:
                ready.append(f)
    return order


def runs_to_end(instructions: Sequence[Instruction], command_depth: int, token_depth: int, *, atomic: bool) -> bool:
    """Whether in-order fetch, bounded command queues and bounded token queues let every instruction retire.

    The network is deterministic (who waits waits for ever or not whatever the timing), so one greedy run decides.
    With ``atomic`` an instruction takes all its tokens at once, gives all at once, and holds its place in the command
    queue until then; without it each token moves as soon as it can.
    """
    waiting: dict[Queue, deque[int]] = {queue: deque() for queue in Queue}
    tokens: Counter[Channel] = Counter()
    running: dict[Queue, list[Channel]] = {}  # instructions that started, and the pushes they still owe
    owed: dict[Queue, list[Channel]] = {}  # pops that the head of a queue still waits for
    fetched = retired = 0
    progress = True
    while progress:
        progress = False
        while fetched < len(instructions) and len(waiting[instructions[fetched].queue]) < command_depth:
            waiting[instructions[fetched].queue].append(fetched)
            fetched += 1
            progress = True
        for queue, line in waiting.items():
            if not line:
                continue
            if queue not in running:
                need = owed.setdefault(queue, popped(instructions[line[0]]))
                present = [channel for channel in need if tokens[channel]]
                if len(present) == len(need) or not atomic:
                    progress |= bool(present)
                    tokens.subtract(present)
                    owed[queue] = [channel for channel in need if channel not in present]
                if not owed[queue]:
                    del owed[queue]
                    running[queue] = pushed(instructions[line[0]])
                    progress = True
            if queue in running:
                room = [channel for channel in running[queue] if tokens[channel] < token_depth]
                if len(room) == len(running[queue]) or not atomic:
                    progress |= bool(room)
                    tokens.update(room)
                    running[queue] = [channel for channel in running[queue] if channel not in room]
                if not running[queue]:
                    del running[queue]
                    line.popleft()
                    retired += 1
                    progress = True
    return retired == len(instructions)


def closure(direct: list[list[int]]) -> list[int] | None:
    """For each instruction the mask of all that happen before it; None if tokens form a cycle."""
    order = linear_order(direct)
    if len(order) < len(direct):
        return None
    before = [0] * len(direct)
    for index in order:
        for p in direct[index]:
            before[index] |= before[p] | 1 << p
    return before


def all_accesses(program: Program) -> list[Accesses]:
    """The accesses of every instruction; raises `accesses.OutOfRangeError` where one would fault."""
    tracker = AccessTracker(program)
    return [tracker.of(insn) for insn in program.instructions]


def judge(program: Program, accesses: list[Accesses] | None = None) -> Verdict:
    """Decide whether a program is legal, and if not why."""
    instructions, config = program.instructions, program.config
    verdict = Verdict()
    depths = config.command_queue_depth, config.token_queue_depth
    verdict.completes = runs_to_end(instructions, *depths, atomic=True)
    verdict.hangs = not verdict.completes and not runs_to_end(instructions, depths[0] + 2, depths[1] + 1, atomic=False)
    before = closure(predecessors(instructions))
    _, verdict.leftover = token_edges(instructions)
    if before is None:
        verdict.problems.append("tokens form a cycle")
        return verdict
    verdict.before = before
    accesses = accesses or all_accesses(program)
    queues = [insn.queue for insn in instructions]
    for second, later in enumerate(accesses):
        for first in range(second):
            if queues[first] is queues[second] or (before[second] >> first | before[first] >> second) & 1:
                continue
            places = later.conflicts(accesses[first])
            if places:
                verdict.races.append(Race(first, second, tuple(places)))
    verdict.problems += _untracked(program, accesses)
    return verdict


def _untracked(program: Program, accesses: list[Accesses]) -> list[str]:
    """Stores that reach the instructions, a micro-op source or what they read themselves: no relation orders those."""
    begin, end = (address - program.dram_base for address in program.insn_range)
    fixed = ((1 << (end - begin)) - 1) << begin
    for entry in accesses:
        if "uop" in entry.writes:
            fixed |= entry.reads.get("dram", 0)
    problems = [
        f"instruction {index} stores over instructions or micro-ops"
        for index, entry in enumerate(accesses)
        if entry.writes.get("dram", 0) & fixed
    ]
    for index, (insn, entry) in enumerate(zip(program.instructions, accesses, strict=True)):
        if isinstance(insn, Store) and overlaps_itself(insn, entry):
            problems.append(f"instruction {index} stores over its own residual operand")
    return problems


def overlaps_itself(insn: Store, entry: Accesses) -> bool:
    """Whether a STORE writes what it may still have to read: a residual operand that is not exactly in place."""
    read, written = entry.reads.get("dram", 0), entry.writes.get("dram", 0)
    rows_overlap = insn.y_size > 1 and insn.x_stride < insn.x_size
    return read & written != 0 and (read != written or rows_overlap)


def unordered_fraction(program: Program, verdict: Verdict) -> float:
    """Of all pairs of instructions from different queues, the share that may run either way round."""
    queues = [insn.queue for insn in program.instructions]
    pairs = free = 0
    for second, queue in enumerate(queues):
        for first in range(second):
            if queues[first] is not queue:
                pairs += 1
                free += not (verdict.before[second] >> first | verdict.before[first] >> second) & 1
    return free / pairs if pairs else 0.0
