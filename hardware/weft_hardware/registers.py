"""The AXI4-Lite register map, declared once: RTL, drivers, C header and docs derive from it.

32-bit registers at byte offsets that are multiples of 4. A 64-bit quantity takes two, ``_LO`` then ``_HI``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from .isa import Memory, Queue

ADDRESS_BITS = 10
"""Bits of the AXI4-Lite address: the map fills 1,024 bytes at most."""

IDENTITY_VALUE = 0x54464557
"""``WEFT`` in ASCII, read little-endian."""

DRAIN_LIMIT_INITIAL = 1 << 16
"""Cycles that a soft reset waits for the bus unless DRAIN_LIMIT is written."""


class Access(IntEnum):
    """What the host may do with a register."""

    READ = 0
    WRITE = 1
    """It reads back what was written, as far as bits behind it exist; those of CONTROL read as 0."""
    CLEAR = 2
    """Writing a 1 clears that bit."""
    LATCH = 3
    """The lower half of a pair; reading it keeps the upper half, as it was in that cycle, for the next read of that."""


@dataclass(frozen=True)
class Register:
    """One 32-bit register."""

    name: str
    offset: int
    doc: str
    access: Access = Access.READ

    @property
    def writable(self) -> bool:
        """Whether it reads back what was written."""
        return self.access is Access.WRITE


class Control(IntFlag):
    """Bits of CONTROL; each reads as 0."""

    START = 1 << 0
    """Launch: clears done, counters and tokens, then fetches. Ignored unless BUSY, FAULT and RESETTING are 0."""
    RESET = 1 << 1
    """Soft reset: empties the bus, then clears every unit, STATUS and FAULT. Registers that the host writes stay."""


class Status(IntFlag):
    """Bits of STATUS."""

    BUSY = 1 << 0
    DONE = 1 << 1
    """FINISH was executed and every unit drained; holds until the next launch or reset."""
    FAULT = 1 << 2
    """The engine stopped; FAULT says why; a reset starts it afresh."""
    RESETTING = 1 << 3
    """A soft reset waits for the bus; it ends with all bits 0, or with the fault BUS_HUNG."""


class Interrupt(IntFlag):
    """Bits of IRQ_ENABLE and IRQ_STATUS."""

    DONE = 1 << 0
    """A program ended."""
    FAULT = 1 << 1
    """A fault stopped the engine, or a soft reset found the bus hung."""


class Cause(IntEnum):
    """Bits 7..0 of FAULT."""

    NONE = 0
    ILLEGAL_INSTRUCTION = 1
    """Opcode, memory id, ALU operation or padding that the hardware does not have."""
    SCRATCHPAD_RANGE = 2
    """A block or an index outside its scratchpad; FAULT_VALUE holds the first index outside."""
    BUS_ERROR = 3
    """The memory answered SLVERR or DECERR; FAULT_VALUE holds the address of the burst."""
    DEADLOCK = 4
    """Every module waits for a token or has nothing to do, so that none can ever go on."""
    NO_FINISH = 5
    """All instructions ran and none was FINISH."""
    WINDOW = 6
    """A block that is not wholly in its memory's window; FAULT_VALUE holds the address of its first byte if that lies
    outside, otherwise of its last. Nothing of the block was requested."""
    WATCHDOG = 7
    """No unit made progress for WATCHDOG cycles; FAULT_VALUE holds that number."""
    BUS_HUNG = 8
    """The memory did not answer within DRAIN_LIMIT cycles of a soft reset; FAULT_VALUE's bit 0 says that reads are
    missing, bit 1 that writes are. Needs a hardware reset of accelerator and bus."""


class Unit(IntEnum):
    """Bits 15..8 of FAULT: who raised it. The first three are the command queues' modules."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2
    FETCH = 3
    ENGINE = 4


class ModuleState(IntEnum):
    """Bits 2..0 of LOAD_STATE, COMPUTE_STATE and STORE_STATE."""

    IDLE = 0
    """No instruction in the queue."""
    BUSY = 1
    WAIT_POP_PREV = 2
    WAIT_POP_NEXT = 3
    WAIT_PUSH_PREV = 4
    """The token queue to the previous module is full."""
    WAIT_PUSH_NEXT = 5


class Activity(IntEnum):
    """What a module does in a cycle. Each cycle of a program counts as exactly one, in each module."""

    BUSY = 0
    """Works on an instruction: none of the others."""
    TOKEN = 1
    """Waits to pop a token, or to push one into a full queue."""
    MEMORY = 2
    """Runs an instruction that can do nothing in this cycle until the memory takes or answers something."""
    QUEUE = 3
    """Its command queue is empty, and fetch has instructions left (for whichever queue)."""
    HAZARD = 4
    """Runs an instruction that waits for an accumulator or its bank."""
    IDLE = 5
    """Its command queue is empty, and all instructions were dispatched."""


WINDOW_ROWS: dict[str, int] = {**{memory.name: int(memory) for memory in Memory}, "INSN": 15}
"""Row of each window in the window table: a memory's id; the instructions' is the last."""

_SETUP, _BASES, _RESULTS, _WINDOWS, _COUNTERS = 0x000, 0x040, 0x0C0, 0x100, 0x200
"""Where the parts of the map begin."""

_Row = tuple[str, str, Access]


def _place(begin: int, end: int, rows: Iterable[_Row]) -> Iterator[Register]:
    """Registers one after another in their part of the map, so that one part may grow without moving another."""
    for offset, (name, doc, access) in enumerate(rows):
        assert begin + 4 * offset < end, f"{name} does not fit its part of the map"
        yield Register(name, begin + 4 * offset, doc, access)


def _pair(name: str, doc: str, access: Access) -> list[_Row]:
    """The two halves of a 64-bit quantity."""
    upper = Access.READ if access is Access.LATCH else access
    return [(f"{name}_LO", doc, access), (f"{name}_HI", "its upper half", upper)]


def _setup() -> Iterator[_Row]:
    yield "IDENTITY", f"reads {IDENTITY_VALUE:#x} (``WEFT``)", Access.READ
    yield "CONFIG_DIGEST", "first 32 bits of the configuration's SHA-256", Access.READ
    yield "CONTROL", "write START to launch, RESET to reset", Access.WRITE
    yield "STATUS", "see `Status`", Access.READ
    yield "INSN_COUNT", "instructions to fetch", Access.WRITE
    yield from _pair("INSN_ADDR", "byte address of the first instruction, a multiple of its size", Access.WRITE)
    yield "IRQ_ENABLE", "which bits of IRQ_STATUS raise ``irq``; see `Interrupt`", Access.WRITE
    yield "IRQ_STATUS", "what happened since the host cleared it; see `Interrupt`", Access.CLEAR
    watchdog = "cycles without progress of any unit after which a program is stopped; 0, as at first, for never"
    yield "WATCHDOG", watchdog, Access.WRITE
    yield "DRAIN_LIMIT", f"cycles that a soft reset waits for the bus; {DRAIN_LIMIT_INITIAL:,} at first", Access.WRITE


def _bases() -> Iterator[_Row]:
    for memory in Memory:
        text = f"byte address of {memory.name} tile 0, a multiple of 64"
        yield from _pair(f"{memory.name}_BASE", text, Access.WRITE)


def _results() -> Iterator[_Row]:
    yield from _pair("CYCLES", "cycles from the launch taking effect to done, or to the fault", Access.LATCH)
    yield "FAULT", "cause in bits 7..0 (see `Cause`), unit in bits 15..8 (see `Unit`)", Access.READ
    yield (
        "FAULT_INDEX",
        "the instruction at fault: its number in its queue, from 0; of FETCH in the program; of ENGINE those retired",
        Access.READ,
    )
    yield from _pair("FAULT_VALUE", "the index or address at fault", Access.LATCH)
    for queue in Queue:
        yield f"{queue.name}_STATE", f"what the {queue.name.lower()} module does now (see `ModuleState`)", Access.READ
    for queue in Queue:
        text = f"{queue.name.lower()}-queue instructions completed since the launch, tokens pushed"
        yield f"{queue.name}_RETIRED", text, Access.READ
    for source, target in ((0, 1), (1, 0), (1, 2), (2, 1)):
        names = Queue(source).name, Queue(target).name
        text = f"tokens waiting, from {names[0].lower()} to {names[1].lower()}"
        yield f"TOKENS_{names[0]}_{names[1]}", text, Access.READ


def _windows(row: str) -> Iterator[_Row]:
    what = "instructions" if row == "INSN" else row
    yield from _pair(f"{row}_FIRST", f"first byte address where {what} may lie; 0 at first", Access.WRITE)
    yield from _pair(f"{row}_LAST", f"last byte address where {what} may lie; the highest at first", Access.WRITE)


def _counters(queue: Queue) -> Iterator[_Row]:
    for activity in Activity:
        text = f"cycles that the {queue.name.lower()} module spent as {activity.name} (see `Activity`)"
        yield from _pair(f"{queue.name}_{activity.name}", text, Access.LATCH)


def _declare() -> Iterator[Register]:
    yield from _place(_SETUP, _BASES, _setup())
    yield from _place(_BASES, _RESULTS, _bases())
    yield from _place(_RESULTS, _WINDOWS, _results())
    for name, row in WINDOW_ROWS.items():
        yield from _place(_WINDOWS + 16 * row, _WINDOWS + 16 * (row + 1), _windows(name))
    for queue in Queue:
        yield from _place(_COUNTERS + 64 * queue, _COUNTERS + 64 * (queue + 1), _counters(queue))


REGISTERS: tuple[Register, ...] = tuple(_declare())
"""Every register, in the order of its offset."""

BY_NAME: dict[str, Register] = {register.name: register for register in REGISTERS}


def offset(name: str) -> int:
    """Byte offset of a register."""
    return BY_NAME[name].offset
