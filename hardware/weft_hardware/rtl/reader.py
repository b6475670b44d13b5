"""A buffered view of the memory port: byte ranges in, their beats out.

No burst is requested before the buffer has room for it. So every beat is taken in the cycle in which it arrives, a
consumer that pauses holds up nobody else, and what is on the way ends by itself when a consumer stops for good.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..latencies import longest_burst
from ..latencies import streaming_beats as streaming_beats
from .bursts import BurstSplitter
from .signatures import RANGE_BYTES_BITS, range_layout, read_beat_layout, read_port

FRONT = 4
"""Words of a `BeatBuffer` in front of its block RAM: as many as its way takes cycles, and one."""


class BeatBuffer(wiring.Component):
    """A queue in block RAM whose word can be taken in the cycle after it came, one a cycle.

    Words are taken from a small queue in front of the block RAM, whose output is too late for who decides by what it
    says. A word goes there at once if nothing is before it in the block RAM; else a cycle after it was read. What is in
    front lasts while the next are on their way, so nobody waits for them.

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
        m.submodules.front = front = memory.Memory(
            shape=self._layout, depth=FRONT, init=[], attrs={"ram_style": "distributed"}
        )
        put, show = front.write_port(), front.read_port(domain="comb")
        # Words in the block RAM; those in front; and those in front or on their way there.
        waiting, shown, held = Signal(range(self._depth + 1)), Signal(range(FRONT + 1)), Signal(range(FRONT + 1))
        direct, landing, taken, room = Signal(), Signal(), Signal(), Signal()
        # A word that came while another one was put in front is put there in the next cycle. The block RAM was empty
        # when it came, so that none arrives from there then.
        late, is_late = Signal(self._layout, reset_less=True), Signal()
        m.d.comb += [
            room.eq(held != FRONT),
            direct.eq(self.sink.valid & (waiting == 0) & room),
            write.en.eq(self.sink.valid & ~direct),
            write.data.eq(self.sink.payload),
            read.en.eq((waiting != 0) & room),
            put.en.eq(landing | is_late | direct),
            put.data.eq(Mux(landing, read.data, Mux(is_late, late, self.sink.payload))),
            self.source.payload.eq(show.data),
            taken.eq(self.source.valid & self.source.ready),
        ]
        m.d.sync += [landing.eq(read.en), is_late.eq(direct & (landing | is_late))]
        with m.If(direct & (landing | is_late)):
            m.d.sync += late.eq(self.sink.payload)
        for count, more, fewer in (
            (waiting, write.en, read.en),
            (held, direct | read.en, taken),
            (shown, put.en, taken),
        ):
            with m.If(more != fewer):
                m.d.sync += count.eq(Mux(more, count + 1, count - 1))
        with m.If(put.en != taken):
            m.d.sync += self.source.valid.eq(put.en | (shown != 1))
        for port, moves in ((write, write.en), (read, read.en), (put, put.en), (show, taken)):
            with m.If(moves):
                m.d.sync += port.addr.eq(port.addr + 1)
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
        enough, requested, released = Signal(init=1), Signal(), Signal()
        burst = splitter.bursts.payload
        m.d.comb += [
            request.payload.address.eq(burst.address),
            request.payload.length.eq(burst.length),
            request.valid.eq(splitter.bursts.valid & enough),
            splitter.bursts.ready.eq(request.ready & enough),
            requested.eq(request.valid & request.ready),
            released.eq(self.beats.valid & self.beats.ready),
        ]
        # Each sum by itself: what is requested and released is known late.
        fewer, less, more = (Signal.like(room, name=n) for n in ("fewer", "less", "more"))
        m.d.comb += [fewer.eq(room - burst.length), less.eq(room - burst.length - 1), more.eq(room + 1)]

        def suffices(value: Value) -> Value:
            return value[self._longest.bit_length() - 1 :].any()

        with m.If(requested & released):
            m.d.sync += [room.eq(fewer), enough.eq(suffices(fewer))]
        with m.Elif(requested):
            m.d.sync += [room.eq(less), enough.eq(suffices(less))]
        with m.Elif(released):
            m.d.sync += [room.eq(more), enough.eq(suffices(more))]
        return m
