"""The interfaces between units. Streams are `amaranth.lib.stream`: a transfer happens when valid and ready are high."""

from __future__ import annotations

from amaranth.hdl import Cat, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from ..config import AcceleratorConfig
from ..isa import Memory, storable
from ..latencies import ACC_READ_LATENCY as ACC_READ_LATENCY
from ..latencies import MOST_ROOM
from ..latencies import TOKEN_TO_READ as TOKEN_TO_READ

RANGE_BYTES_BITS = 30
"""Bits of a contiguous byte range's length: a scratchpad of 65,536 tiles of 8 KiB, the largest there is, fits."""


def range_layout(config: AcceleratorConfig, nbytes_bits: int = RANGE_BYTES_BITS) -> data.StructLayout:
    """A contiguous byte range of DRAM, of any start and length (both whole tiles of the memory concerned)."""
    return data.StructLayout({"address": config.axi_addr_bits, "nbytes": nbytes_bits})


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One burst as AXI counts it: byte address, a multiple of the beat, and beats less one."""
    return data.StructLayout({"address": config.axi_addr_bits, "length": 8})


def read_beat_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One beat of the memory port as it came, unshifted."""
    return data.StructLayout({"data": config.axi_data_bits, "error": 1})


def write_beat_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One beat for the memory port, already in its byte lanes; ``strobe`` says which bytes are written."""
    return data.StructLayout({"data": config.axi_data_bits, "strobe": config.axi_bytes, "last": 1})


def read_port(config: AcceleratorConfig) -> Signature:
    """A client's view of the read side of the memory port.

    Each burst is answered by its beats, in order. Several may be in flight. The client takes every beat in the cycle in
    which it comes: it requests no burst before it has room for it, so that nobody can block the shared read channel.
    """
    return Signature(
        {
            "request": Out(stream.Signature(burst_layout(config))),
            "beats": In(stream.Signature(read_beat_layout(config), always_ready=True)),
        }
    )


def write_port(config: AcceleratorConfig) -> Signature:
    """A client's view of the write side of the memory port.

    For each request the client supplies exactly the beats that its byte range touches. ``acknowledged`` pulses once
    per request, in order, after the bus acknowledged its last burst; ``error`` with it tells that one of them failed.
    """
    return Signature(
        {
            "request": Out(stream.Signature(range_layout(config))),
            "beats": Out(stream.Signature(write_beat_layout(config))),
            "acknowledged": In(1),
            "error": In(1),
        }
    )


def scratchpad_write(index_bits: int, tile_bits: int) -> Signature:
    """One tile written per cycle, never refused."""
    return Signature({"enable": Out(1), "index": Out(index_bits), "tile": Out(tile_bits)})


def stored_tile_bits(config: AcceleratorConfig) -> int:
    """What the store module gets of an accumulator tile: the low ``out_bits`` of each element, or all."""
    return config.out_tile_bits if storable(config) == {Memory.OUT} else config.acc_tile_bits


def narrowed(tile: Value, config: AcceleratorConfig) -> Value:
    """The low ``out_bits`` of each element of an accumulator tile."""
    return Cat(tile[k : k + config.out_bits] for k in range(0, len(tile), config.acc_bits))


def acc_read_port(config: AcceleratorConfig) -> Signature:
    """How the store module reads accumulators: the compute unit grants a read when its bank is free.

    ``tile`` holds what is stored of the accumulator tile exactly `ACC_READ_LATENCY` cycles after the request was
    accepted.
    """
    return Signature(
        {
            "request": Out(stream.Signature(config.acc_index_bits)),
            "tile": In(stored_tile_bits(config)),
        }
    )


def fault_port() -> Signature:
    """How a unit raises a fault: ``raised`` stays high until reset, ``cause`` and ``value`` with it.

    A unit that has raised a fault starts nothing new.
    """
    return Signature({"raised": Out(1), "cause": Out(8), "value": Out(64)})


def status_port() -> Signature:
    """What a module tells the host: its `registers.ModuleState` and the instructions it completed since the launch."""
    return Signature({"state": Out(3), "retired": Out(32)})


def effort_port() -> Signature:
    """What becomes of the instructions that a module runs, in this cycle.

    ``waits_memory`` and ``waits_bank`` say that none of them can do anything for want of the memory, or of an
    accumulator or its bank. ``moves`` says that one does something that the bus does not show.
    """
    return Signature({"waits_memory": Out(1), "waits_bank": Out(1), "moves": Out(1)})


def window_port(config: AcceleratorConfig) -> Signature:
    """How a unit looks a window up: the bytes where tiles of a memory may lie, both ends included.

    ``read`` asks for row ``row`` of the table (`registers.WINDOW_ROWS`); ``first`` and ``last`` hold it from the next
    cycle on, until the next ``read``. Unconnected, everything is allowed.
    """
    bits = config.axi_addr_bits
    return Signature({"read": Out(1), "row": Out(4), "first": In(bits), "last": In(bits, init=(1 << bits) - 1)})


def token_port() -> Signature:
    """A module's view of one neighbour: one token popped or pushed per cycle of valid and ready.

    ``room`` tokens will be taken for certain, `MOST_ROOM` at most.
    """
    return Signature(
        {
            "pop": In(stream.Signature(0)),
            "push": Out(stream.Signature(0)),
            "room": In(range(MOST_ROOM + 1)),
        }
    )
