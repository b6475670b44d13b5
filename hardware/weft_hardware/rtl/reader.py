"""A buffered view of the memory port: byte ranges in, their beats out.

A paced range is requested in chunks, and never more of them than the buffer has room for; so a consumer slower than
one beat a cycle does not hold up the shared read channel. An unpaced range is requested whole, for full bandwidth at
any latency; its consumer must take a beat a cycle, or nearly so.
"""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .signatures import RANGE_BYTES_BITS, read_beat_layout, read_port


class BufferedReader(wiring.Component):
    """Requests ranges ahead and queues their beats.

    Parameters
    ----------
    config : AcceleratorConfig
    chunk_beats : int
        Longest request of a paced range, and the alignment of its ends, in beats; a power of two.
    buffer_beats : int
        Beats that the buffer holds; at least ``chunk_beats``.
    nbytes_bits : int
        Bits of a range's length. An unpaced range fits `RANGE_BYTES_BITS`.

    Attributes
    ----------
    ranges : In stream of address, nbytes and paced
        ``nbytes`` is not zero.
    read : Out(read_port)
    beats : Out stream of read_beat_layout
        ``last`` comes with the final beat of every *request*, so not with that of a range only.
    busy : Out(1)
        Something of a range is still to be requested.
    """

    def __init__(
        self, config: AcceleratorConfig, *, chunk_beats: int, buffer_beats: int, nbytes_bits: int = RANGE_BYTES_BITS
    ) -> None:
        assert chunk_beats & (chunk_beats - 1) == 0
        assert chunk_beats <= buffer_beats
        self._config = config
        self._chunk_bytes = chunk_beats * config.axi_bytes
        self._chunk_beats = chunk_beats
        self._buffer_beats = buffer_beats
        self._range = data.StructLayout({"address": config.axi_addr_bits, "nbytes": nbytes_bits, "paced": 1})
        super().__init__(
            {
                "ranges": In(stream.Signature(self._range)),
                "read": Out(read_port(config)),
                "beats": Out(stream.Signature(read_beat_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat_layout = read_beat_layout(self._config)
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=beat_layout.size, depth=self._buffer_beats)
        m.d.comb += [
            buffer.w_data.eq(self.read.beats.payload),
            buffer.w_en.eq(self.read.beats.valid),
            self.read.beats.ready.eq(buffer.w_rdy),
            self.beats.payload.eq(buffer.r_data),
            self.beats.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.beats.ready),
        ]

        current = Signal(self._range)
        active = Signal()
        request = self.read.request
        requested = Signal()
        # Beats of paced requests that have not left the buffer yet.
        reserved = Signal(range(self._buffer_beats + 1))

        chunk_room = self._chunk_bytes - (current.address & (self._chunk_bytes - 1))
        take = Signal.like(request.payload.nbytes)
        limited = Signal()
        m.d.comb += [
            limited.eq(current.paced & (current.nbytes > chunk_room)),
            take.eq(Mux(limited, chunk_room, current.nbytes)),
            request.payload.address.eq(current.address),
            request.payload.nbytes.eq(take),
            request.valid.eq(active & (~current.paced | (reserved <= self._buffer_beats - self._chunk_beats))),
            requested.eq(request.valid & request.ready),
            self.ranges.ready.eq(~active | (requested & ~limited)),
            self.busy.eq(active),
        ]
        with m.If(requested):
            m.d.sync += [
                current.address.eq(current.address + take),
                current.nbytes.eq(current.nbytes - take),
                active.eq(limited),
            ]
        with m.If(self.ranges.valid & self.ranges.ready):
            m.d.sync += [current.eq(self.ranges.payload), active.eq(1)]

        axi_bytes = self._config.axi_bytes
        chunk_offset = take + (current.address & (axi_bytes - 1)) + (axi_bytes - 1)
        beats_taken = (chunk_offset // axi_bytes)[: len(reserved)]
        added = Mux(requested & current.paced, beats_taken, Const(0, len(reserved)))
        # An unpaced range leaves the buffer unreserved; it starts with all beats of the ranges before it taken.
        released = self.beats.valid & self.beats.ready & (reserved != 0)
        m.d.sync += reserved.eq(reserved + added - released)
        return m
