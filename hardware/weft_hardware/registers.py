"""The AXI4-Lite register map, declared once: RTL, drivers and docs derive from it.

32-bit registers at byte offsets that are multiples of 4. A 64-bit quantity takes two, ``_LO`` then ``_HI``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from .isa import Memory

ADDRESS_BITS = 8
"""Bits of the AXI4-Lite address: the map fills 256 bytes at most."""

IDENTITY_VALUE = 0x54464557
"""``WEFT`` in ASCII, read little-endian."""


@dataclass(frozen=True)
class Register:
    """One 32-bit register; ``writable`` ones read back what was written."""

    name: str
    offset: int
    doc: str
    writable: bool = False


class Control(IntFlag):
    """Bits of CONTROL; each reads as 0."""

    START = 1 << 0
    """Launch: clears done, fault, cycle counters and tokens, then fetches."""


class Status(IntFlag):
    """Bits of STATUS."""

    BUSY = 1 << 0
    DONE = 1 << 1
    """FINISH was executed and every unit drained; holds until the next launch."""
    FAULT = 1 << 2
    """The engine stopped; FAULT says why; a hardware reset starts it afresh."""


class Cause(IntEnum):
    """Bits 7..0 of FAULT."""

    NONE = 0
    ILLEGAL_INSTRUCTION = 1
    """Opcode, memory id, ALU operation or padding that the hardware does not have."""
    SCRATCHPAD_RANGE = 2
    """A block or an index outside its scratchpad; FAULT_VALUE holds the first index outside."""
    BUS_ERROR = 3
    """The memory answered SLVERR or DECERR; FAULT_VALUE holds the low 32 bits of the burst's address."""
    DEADLOCK = 4
    """Every module waits for a token or has nothing to do, so that none can ever go on."""
    NO_FINISH = 5
    """All instructions ran and none was FINISH."""


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


def _declare() -> tuple[Register, ...]:
    rows: list[tuple[str, str, bool]] = [
        ("IDENTITY", f"reads {IDENTITY_VALUE:#x} (``WEFT``)", False),
        ("CONFIG_DIGEST", "first 32 bits of the configuration's SHA-256", False),
        ("CONTROL", "write START to launch", True),
        ("STATUS", "see `Status`", False),
        ("INSN_COUNT", "instructions to fetch", True),
        ("INSN_ADDR_LO", "byte address of the first instruction, a multiple of its size", True),
        ("INSN_ADDR_HI", "its upper half", True),
    ]
    for memory in Memory:
        rows.append((f"{memory.name}_BASE_LO", f"byte address of {memory.name} tile 0, a multiple of 64", True))
        rows.append((f"{memory.name}_BASE_HI", "its upper half", True))
    rows += [
        ("CYCLES_LO", "cycles from the launch taking effect to done, or to the fault", False),
        ("CYCLES_HI", "its upper half", False),
        ("FAULT", "cause in bits 7..0 (see `Cause`), unit in bits 15..8 (see `Unit`)", False),
        ("FAULT_VALUE", "the index or address at fault", False),
        ("LOAD_STATE", "what the load module does now (see `ModuleState`)", False),
        ("COMPUTE_STATE", "what the compute module does now", False),
        ("STORE_STATE", "what the store module does now", False),
        ("LOAD_RETIRED", "load-queue instructions completed since the launch, tokens pushed", False),
        ("COMPUTE_RETIRED", "compute-queue instructions completed since the launch", False),
        ("STORE_RETIRED", "store-queue instructions completed since the launch", False),
        ("TOKENS_LOAD_COMPUTE", "tokens waiting, from load to compute", False),
        ("TOKENS_COMPUTE_LOAD", "tokens waiting, from compute to load", False),
        ("TOKENS_COMPUTE_STORE", "tokens waiting, from compute to store", False),
        ("TOKENS_STORE_COMPUTE", "tokens waiting, from store to compute", False),
    ]
    return tuple(Register(name, 4 * k, doc, writable) for k, (name, doc, writable) in enumerate(rows))


REGISTERS: tuple[Register, ...] = _declare()
BY_NAME: dict[str, Register] = {register.name: register for register in REGISTERS}


def offset(name: str) -> int:
    """Byte offset of a register."""
    return BY_NAME[name].offset
