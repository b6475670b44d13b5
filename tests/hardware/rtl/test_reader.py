"""BufferedReader: every beat of every range, in order, and never more requested than the buffer has room for."""

from __future__ import annotations

from collections import deque

import pytest
from support.bench import TINY, seeded, simulate
from support.range_memory import RangeReader
from weft_hardware.rtl.reader import BeatBuffer, BufferedReader
from weft_hardware.rtl.signatures import read_beat_layout

DRAM_BYTES = 1 << 14
BUFFER = 32


def draw_range(rng) -> tuple[int, int]:
    nbytes = rng.choice((1, 4, 8, 64, 300, 1000))
    return rng.randrange(DRAM_BYTES - nbytes), nbytes


@pytest.mark.parametrize("pace", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("latency", [0, 50])
@pytest.mark.parametrize("longest", [1, 8, 32])
def test_beats_of_random_ranges(longest, latency, pace):
    """Whatever the consumer's pace; what was requested and not taken always fits the buffer."""
    rng = seeded(31)
    data = rng.randbytes(DRAM_BYTES)
    dut = BufferedReader(TINY, buffer_beats=BUFFER, longest=longest)
    ranges = deque(draw_range(rng) for _ in range(12))
    expected = deque(k for address, nbytes in ranges for k in range(address // 8, (address + nbytes + 7) // 8))

    async def testbench(ctx):
        reader = RangeReader(TINY, data, rng, latency=latency, stall=rng.choice((0, 0.3)))
        consumed = 0
        while expected:
            ctx.set(dut.ranges.valid, bool(ranges))
            if ranges:
                ctx.set(dut.ranges.payload.address, ranges[0][0])
                ctx.set(dut.ranges.payload.nbytes, ranges[0][1])
                if ctx.get(dut.ranges.ready):
                    ranges.popleft()
            reader.step(ctx, dut.read)
            assert reader.outstanding + reader.beats_taken - consumed <= BUFFER
            ctx.set(dut.beats.ready, rng.random() < pace)
            if ctx.get(dut.beats.valid) and ctx.get(dut.beats.ready):
                start = 8 * expected.popleft()
                assert ctx.get(dut.beats.payload.data) == int.from_bytes(data[start : start + 8], "little")
                consumed += 1
            await ctx.tick()
        assert reader.outstanding == 0
        assert all(nbytes <= 8 * longest for _, nbytes in reader.requests)

    simulate(dut, testbench)


@pytest.mark.parametrize("ready", [0, 1])
def test_latencies(ready):
    """A burst is requested the cycle after its range; a beat is shown the cycle after it came, and stays."""
    dut, rng = BufferedReader(TINY, buffer_beats=BUFFER, longest=8), seeded(32)

    async def testbench(ctx):
        reader = RangeReader(TINY, rng.randbytes(DRAM_BYTES), rng)
        ctx.set(dut.ranges.valid, 1)
        ctx.set(dut.ranges.payload.nbytes, 16)
        ctx.set(dut.beats.ready, ready)
        shown = []
        for cycle in range(6):
            reader.step(ctx, dut.read)
            assert len(reader.requests) == (cycle >= 1)
            shown.append(ctx.get(dut.beats.valid))
            await ctx.tick()
            ctx.set(dut.ranges.valid, 0)
        assert shown == ([0, 0, 0, 1, 1, 0] if ready else [0, 0, 0, 1, 1, 1])

    simulate(dut, testbench)


def test_a_full_burst_a_cycle():
    """Two bursts of buffer are enough to miss no cycle, as long as the latency fits one of them."""
    dut, rng = BufferedReader(TINY, buffer_beats=64, longest=32), seeded(33)

    async def testbench(ctx):
        reader = RangeReader(TINY, rng.randbytes(DRAM_BYTES), rng, latency=25)
        ctx.set(dut.ranges.valid, 1)
        ctx.set(dut.ranges.payload.nbytes, 8 * 320)
        ctx.set(dut.beats.ready, 1)
        for _ in range(1 + 1 + 25 + 320):
            reader.step(ctx, dut.read)
            await ctx.tick()
            ctx.set(dut.ranges.valid, 0)
        assert reader.beats_taken == 320

    simulate(dut, testbench)


@pytest.mark.parametrize("offer", [1.0, 0.7, 0.3])
@pytest.mark.parametrize("take", [1.0, 0.7, 0.3])
def test_a_beat_is_there_in_the_cycle_after_it_came_whatever_its_way(offer, take):
    """In bursts and pauses, so that beats come to a buffer that is empty, that fills and that runs empty."""
    rng, depth = seeded(32), 16
    dut = BeatBuffer(read_beat_layout(TINY), depth)
    waiting: deque[int] = deque()

    async def testbench(ctx):
        sent, offering, taking = 0, True, True
        for _ in range(1500):
            offering, taking = (on if rng.random() < 0.9 else not on for on in (offering, taking))
            assert ctx.get(dut.source.valid) == bool(waiting)
            if waiting:
                assert ctx.get(dut.source.payload.data) == waiting[0]
            offered = offering and rng.random() < offer and len(waiting) < depth
            taken = taking and rng.random() < take
            ctx.set(dut.source.ready, taken)
            ctx.set(dut.sink.valid, offered)
            ctx.set(dut.sink.payload.data, sent)
            if taken and waiting:
                waiting.popleft()
            if offered:
                waiting.append(sent)
                sent += 1
            await ctx.tick()
        assert sent > 100

    simulate(dut, testbench)
