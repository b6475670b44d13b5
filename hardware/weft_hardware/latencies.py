"""How long the RTL's units take, and how far they look ahead: what the RTL and the timing model share.

A number lies here, and in no RTL module, if a program's cycles depend on it.
"""

from __future__ import annotations

from .config import AcceleratorConfig
from .isa import Memory, SetRegister, StoreMode

# The memory port ----------------------------------------------------------------------------------------------

PAGE_BYTES = 4096
"""No burst crosses a multiple of this (AXI A3.4.1)."""

SLICE_LATENCY = 1
"""Cycles from a burst's grant to its address on the bus, and of a written beat: a register slice."""

FETCH_BURST_BYTES = 128
FETCH_BUFFER_BYTES = 512
"""Of the fetch unit's reader."""

EPILOGUE_BURST = 16
EPILOGUE_BUFFER_BYTES = 2048
"""Of the store module's reader: more than a residual operand of half a beat a cycle needs at a latency of 200 cycles;
its bursts are short, so that they hold up those of others for a short time only."""


def longest_burst(config: AcceleratorConfig) -> int:
    """Beats of the longest burst that the configuration and the 4 KiB rule allow; a power of two."""
    return min(config.max_burst, PAGE_BYTES // config.axi_bytes)


def streaming_beats(config: AcceleratorConfig) -> int:
    """Buffer of a reader that shall use the whole bus: two bursts, and 256 beats where those are short.

    One burst arrives while the place of the one before is requested again, so a latency of 200 cycles costs nothing.
    """
    return max(2 * longest_burst(config), 256)


def fetch_burst(config: AcceleratorConfig) -> int:
    """Beats of the longest burst of instructions."""
    return min(max(1, FETCH_BURST_BYTES // config.axi_bytes), longest_burst(config))


def epilogue_burst(config: AcceleratorConfig) -> int:
    """Beats of the longest burst of the store module's reader."""
    return min(EPILOGUE_BURST, longest_burst(config))


def epilogue_reader_beats(config: AcceleratorConfig) -> int:
    """Buffer of the store module's reader."""
    return max(2 * EPILOGUE_BURST, EPILOGUE_BUFFER_BYTES // config.axi_bytes)


# Instructions -------------------------------------------------------------------------------------------------

IN_FLIGHT = 4
"""Instructions of a module that may run at once: enough for GEMMs of two micro-ops to follow each other closely."""

MOST_ROOM = 4
"""The most that a token queue's ``room`` says."""

RETIRE_TO_DONE = 2
"""Cycles from the last instruction's retirement to *done*: its count, and the comparison of the sum, are registered."""

BLOCKS_AHEAD = 2
"""Blocks that are checked and wait for the one that is being written; two more LOADs are here and there."""

TOKEN_TO_READ = 3
"""Cycles from a token's push to the first in which the module that pops it may read or write a scratchpad."""

# Compute ------------------------------------------------------------------------------------------------------

MEMORY_LATENCY = 1
"""Cycles from a read's enable to its tile, as the memory puts it out: for who registers it at once."""

READ_LATENCY = MEMORY_LATENCY + 1
"""Cycles from a read's enable to its tile where the scratchpad registers its output."""

STEP_LATENCY = READ_LATENCY + 1
"""Cycles from an accepted instruction to its first step."""

PAIRED_BEATS = 2
"""Cycles of an ALU step of two accumulators, the second of which is read in a cycle of its own; others take one."""

MAC_LATENCY = 3
"""Of the multiplier array: operands, products and sums registered."""

ACC_READ_STAGE = 2
"""Cycles from a step to its read of the accumulator."""

DATAPATH_LATENCY = MEMORY_LATENCY + MAC_LATENCY + 2
"""Cycles from a step to the first in which a read of the accumulators sees what it wrote."""

STEP_TO_COMPLETION = DATAPATH_LATENCY - TOKEN_TO_READ
"""Cycles from a step to the push that announces it."""

# Loads --------------------------------------------------------------------------------------------------------

WRITTEN_BY_BEAT = frozenset({Memory.PARAM, Memory.TABLE})
"""Memories whose rows are narrower than their tiles: each beat is written as it comes, and no tile is put together."""

# Stores -------------------------------------------------------------------------------------------------------

STORES_IN_FLIGHT = 8
"""STOREs that may be under way at once: one of a tile takes 11 cycles, and every second cycle one begins."""

ACC_READ_LATENCY = 2
"""Cycles from an accepted store read to its tile: one to read the bank, one to register its output."""

TILES_AHEAD = 8
"""Tiles read but not yet packed: covers the read latency and the buffer's own at one tile a cycle."""

BLOCKS_READ = 4
"""Blocks whose tiles are read but not yet all packed: a block of one tile is read 4 cycles ahead, and every second
cycle one begins."""

# The epilogue -------------------------------------------------------------------------------------------------

BLOCKS_WAITING = 2
"""Blocks whose tiles come next."""

RESIDUALS_AHEAD = 4
"""Residual tiles between the loader and the epilogue; their beats wait in the loader's buffer."""

RESIDUALS_PAUSE = RESIDUALS_AHEAD - 2
"""Residual tiles that make the loader pause: one may be on its way when the pause begins."""

STATIC_MODE = StoreMode.UNSIGNED | StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.TABLE
"""What all tiles inside the epilogue have in common."""

MOVING = (SetRegister.PARAM, SetRegister.RESIDUAL)
"""Registers of which a STORE takes a copy when it is accepted, so that SET need not wait for it."""

FETCH_LATENCY = 2
"""Cycles from a read's enable to the parameters: the memory, and a register behind it."""

REQUANTISE_LATENCY = 11
RESIDUAL_LATENCY = 14
TABLE_LATENCY = 2
"""Stages of the lanes."""

BUFFER_LATENCY = 2
"""Cycles through the empty buffer behind the lanes."""


def lanes_latency(config: AcceleratorConfig) -> int:
    """Cycles from a step's start to its result at the buffer behind the lanes."""
    optional = RESIDUAL_LATENCY * config.residual + TABLE_LATENCY * config.table
    return FETCH_LATENCY + REQUANTISE_LATENCY + optional


def epilogue_buffer(config: AcceleratorConfig) -> int:
    """Places for the steps under way at full rate, each of which has its own; 32 cost as much as fewer."""
    return max(32, 1 << (lanes_latency(config) + BUFFER_LATENCY).bit_length())
