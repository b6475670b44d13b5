"""The burst splitter against plain arithmetic."""

from __future__ import annotations

from collections import deque
from itertools import accumulate

import pytest
from support.bench import seeded, simulate
from support.bursts import CONFIGS, check_burst, cut, draw_ranges
from weft_hardware.rtl.bursts import BurstSplitter, longest_burst


@pytest.mark.parametrize("name", CONFIGS)
def test_splitter(name):
    """Bursts cover what the ranges touch and nothing else, one a cycle."""
    config, rng = CONFIGS[name], seeded(3)
    dut = BurstSplitter(config, longest_burst(config))
    ranges = draw_ranges(rng, 40)
    expected = [burst for r in ranges for burst in cut(config, *r)]

    async def testbench(ctx):
        requests, found, cycles = deque(ranges), [], 0
        ctx.set(dut.bursts.ready, 1)
        while len(found) < len(expected):
            ctx.set(dut.ranges.valid, bool(requests))
            if requests:
                ctx.set(dut.ranges.payload.address, requests[0][0])
                ctx.set(dut.ranges.payload.nbytes, requests[0][1])
                if ctx.get(dut.ranges.ready):
                    requests.popleft()
            if ctx.get(dut.bursts.valid):
                burst = dut.bursts.payload
                found.append((ctx.get(burst.address), ctx.get(burst.length)))
                assert ctx.get(burst.last) == (found[-1] == cut(config, *ranges[ended(found)])[-1])
            await ctx.tick()
            cycles += 1
        assert found == expected
        assert cycles == len(expected) + 1

    def ended(found):
        """The range that the latest burst belongs to."""
        counts = list(accumulate(len(cut(config, *r)) for r in ranges))
        return next(k for k, count in enumerate(counts) if len(found) <= count)

    for address, length in expected:
        check_burst(config, address, length, config.axi_bytes.bit_length() - 1, 1)
    simulate(dut, testbench)
