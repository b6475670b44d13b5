"""How long the RTL's units take, and how far they look ahead: what the RTL and the timing model share.

A number lies here, and in no RTL module, if a program's cycles depend on it.
"""

from __future__ import annotations

from .config import AcceleratorConfig
from .isa import Memory

# The memory port ----------------------------------------------------------------------------------------------

PAGE_BYTES = 4096
"""No burst crosses a multiple of this (AXI A3.4.1)."""

GRANT_TO_ADDRESS = 1
"""Cycles from a burst's grant to its address on the bus: a register slice."""

FETCH_BURST_BYTES = 128
FETCH_BUFFER_BYTES = 512
"""Of the fetch unit's reader."""

EPILOGUE_BURST = 16
EPILOGUE_BUFFER_BYTES = 2048
"""Beats of a burst, and bytes, of the store module's reader."""


def longest_burst(config: AcceleratorConfig) -> int:
    """Beats of the longest burst that the configuration and the 4 KiB rule allow; a power of two."""
    return min(config.max_burst, PAGE_BYTES // config.axi_bytes)


def streaming_beats(config: AcceleratorConfig) -> int:
    """Buffer of a reader that shall use the whole bus: two bursts, and 256 beats where those are short.

    One burst arrives while the place of the one before is requested again, so a latency of 200 cycles costs nothing.
    """
    return max(2 * longest_burst(config), 256)


# Instructions -------------------------------------------------------------------------------------------------

IN_FLIGHT = 4
"""Instructions of a module that may run at once: enough for GEMMs of two micro-ops to follow each other closely."""

MOST_ROOM = 4
"""The most that a token queue's ``room`` says."""

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
