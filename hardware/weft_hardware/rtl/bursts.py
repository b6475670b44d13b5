"""Byte ranges into bursts."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..latencies import longest_burst as longest_burst
from .signatures import RANGE_BYTES_BITS, range_layout


def split_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One burst: its aligned byte address, its beats less one, and whether it is the last of its range."""
    return data.StructLayout({"address": config.axi_addr_bits, "length": 8, "last": 1})


class BurstSplitter(wiring.Component):
    """Cuts byte ranges into bursts, one a cycle, without a gap between ranges.

    Bursts end at multiples of ``longest`` beats, so that none crosses a 4 KiB boundary.

    Parameters
    ----------
    config : AcceleratorConfig
    longest : int
        Beats of the longest burst; a power of two, at most `longest_burst`.
    nbytes_bits : int
        Bits of a range's length.

    Attributes
    ----------
    ranges : In stream of range_layout
        ``nbytes`` is not zero.
    bursts : Out stream of split_layout
        Valid from the cycle after its range was taken.
    """

    def __init__(self, config: AcceleratorConfig, longest: int, nbytes_bits: int = RANGE_BYTES_BITS) -> None:
        assert longest & (longest - 1) == 0
        assert longest <= longest_burst(config)
        self._config = config
        self._longest = longest
        self._beats_left = Signal(nbytes_bits - (config.axi_bytes.bit_length() - 1) + 1, name="beats_left")
        self._room = Signal(9, name="room")
        super().__init__(
            {
                "ranges": In(stream.Signature(range_layout(config, nbytes_bits))),
                "bursts": Out(stream.Signature(split_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi_bytes = self._config.axi_bytes
        lane_bits = axi_bytes.bit_length() - 1

        # Everything in beats from here on.
        beat = Signal(self._config.axi_addr_bits - lane_bits)
        beats_left = self._beats_left
        active = Signal()
        # Whether the burst is the last of its range, found out with the one before.
        last = Signal()
        # Beats to the next multiple of the longest burst: from there on the longest burst itself.
        room, length = self._room, Signal(9)
        burst = self.bursts.payload
        m.d.comb += [
            length.eq(Mux(last, beats_left, room)),
            burst.address.eq(beat << lane_bits),
            burst.length.eq(length - 1),
            burst.last.eq(last),
            self.bursts.valid.eq(active),
            self.ranges.ready.eq(~active | (self.bursts.ready & last)),
        ]
        with m.If(self.bursts.valid & self.bursts.ready):
            # Wherever this is not the last burst, it fills its room.
            left = (beats_left - room)[: len(beats_left)]
            m.d.sync += [
                beat.eq(beat + length),
                beats_left.eq(left),
                last.eq(left <= self._longest),
                room.eq(self._longest),
                active.eq(~last),
            ]
        with m.If(self.ranges.valid & self.ranges.ready):
            start = self.ranges.payload.address
            beats = (start[:lane_bits] + self.ranges.payload.nbytes + (axi_bytes - 1)) >> lane_bits
            first_room = self._longest - ((start >> lane_bits) & (self._longest - 1))
            m.d.sync += [
                beat.eq(start >> lane_bits),
                beats_left.eq(beats),
                room.eq(first_room),
                last.eq(beats <= first_room),
                active.eq(1),
            ]
        return m
