"""A buffered view of the memory port: byte ranges in, their beats out.

No burst is requested before the buffer has room for it. So every beat is taken in the cycle in which it arrives, a
consumer that pauses holds up nobody else, and what is on the way ends by itself when a consumer stops for good.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..latencies import longest_burst
from ..latencies import streaming_beats as streaming_beats
from .bursts import BurstSplitter
from .signatures import RANGE_BYTES_BITS, range_layout, read_beat_layout, read_port


class BeatBuffer(wiring.Component):
    """A queue in block RAM whose word can be taken in the cycle after it came, one a cycle.

    Parameters
    ----------
    layout : data.Layout
    depth : int
        Words; a power of two. Who writes sees to it that there is room.

    Attributes
    ----------
    sink : In stream, always ready
    source : Out stream
    """

    def __init__(self, layout: data.Layout, depth: int) -> None:
        assert depth & (depth - 1) == 0
        self._layout = layout
        self._depth = depth
        super().__init__(
            {
                "sink": In(stream.Signature(layout, always_ready=True)),
                "source": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = words = memory.Memory(shape=self._layout, depth=self._depth, init=[])
        write, read = words.write_port(), words.read_port()
        # The word on show: a register when it found the queue empty, else the memory's output.
        direct = Signal(self._layout, reset_less=True)
        from_memory, moves = Signal(), Signal()
        waiting = Signal(range(self._depth + 1))
        m.d.comb += [
            moves.eq(~self.source.valid | self.source.ready),
            self.source.payload.eq(Mux(from_memory, read.data, direct)),
            read.en.eq(moves & (waiting != 0)),
            write.en.eq(self.sink.valid & ~(moves & (waiting == 0))),
            write.data.eq(self.sink.payload),
        ]
        with m.If(moves):
            m.d.sync += [self.source.valid.eq(self.sink.valid | (waiting != 0)), from_memory.eq(waiting != 0)]
            with m.If(self.sink.valid & (waiting == 0)):
                m.d.sync += direct.eq(self.sink.payload)
        with m.If(write.en != read.en):
            m.d.sync += waiting.eq(Mux(write.en, waiting + 1, waiting - 1))
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(read.en):
            m.d.sync += read.addr.eq(read.addr + 1)
        return m


class BufferedReader(wiring.Component):
    """Requests ranges ahead, as far as its buffer reaches.

    A range's first burst is requested in the cycle after ``ranges`` took it; a beat can be taken in the cycle after the
    memory port brought it.

    Parameters
    ----------
    config : AcceleratorConfig
    buffer_beats : int
        Beats that the buffer holds; a power of two.
    longest : int, optional
        Beats of the longest burst; a power of two, at most ``buffer_beats``. Default: the configuration's.
    nbytes_bits : int
        Bits of a range's length.

    Attributes
    ----------
    ranges : In stream of range_layout
        ``nbytes`` is not zero.
    read : Out(read_port)
    beats : Out stream of read_beat_layout
        All beats that each range touches, in order.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        buffer_beats: int,
        longest: int | None = None,
        nbytes_bits: int = RANGE_BYTES_BITS,
    ) -> None:
        self._config = config
        self._longest = longest or longest_burst(config)
        self._buffer_beats = buffer_beats
        self._nbytes_bits = nbytes_bits
        assert self._longest <= buffer_beats
        super().__init__(
            {
                "ranges": In(stream.Signature(range_layout(config, nbytes_bits))),
                "read": Out(read_port(config)),
                "beats": Out(stream.Signature(read_beat_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, request = self._config, self.read.request
        m.submodules.splitter = splitter = BurstSplitter(config, self._longest, self._nbytes_bits)
        m.submodules.buffer = buffer = BeatBuffer(read_beat_layout(config), self._buffer_beats)
        wiring.connect(m, wiring.flipped(self.ranges), splitter.ranges)
        wiring.connect(m, wiring.flipped(self.read).beats, buffer.sink)
        wiring.connect(m, buffer.source, wiring.flipped(self.beats))

        # Beats of the buffer that are neither filled nor promised to a burst. Compared with the longest burst and not
        # with the present one: a look at the upper bits instead of a chain of adders.
        room = Signal(range(self._buffer_beats + 1), init=self._buffer_beats)
        enough, requested, released = Signal(), Signal(), Signal()
        burst = splitter.bursts.payload
        m.d.comb += [
            enough.eq(room[self._longest.bit_length() - 1 :].any()),
            request.payload.address.eq(burst.address),
            request.payload.length.eq(burst.length),
            request.valid.eq(splitter.bursts.valid & enough),
            splitter.bursts.ready.eq(request.ready & enough),
            requested.eq(request.valid & request.ready),
            released.eq(self.beats.valid & self.beats.ready),
        ]
        with m.If(requested | released):
            m.d.sync += room.eq(room - Mux(requested, burst.length + 1, 0) + released)
        return m
