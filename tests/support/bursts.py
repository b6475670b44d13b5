"""What the bursts of a byte range must be, and random ranges to cut."""

from __future__ import annotations

from dataclasses import replace

from support.bench import TINY
from weft_hardware.rtl.axi import PAGE_BYTES

CONFIGS = {
    "64 bits, 16 beats": replace(TINY, max_burst=16, reads_in_flight=4, writes_in_flight=3),
    "128 bits, 256 beats": replace(TINY, axi_data_bits=128, max_burst=256, axi_addr_bits=40),
    "64 bits, 1 beat, 1 in flight": replace(TINY, max_burst=1, reads_in_flight=1, writes_in_flight=1),
    "512 bits, 256 beats": replace(TINY, axi_data_bits=512, max_burst=256, reads_in_flight=2),
}


def cut(config, address, nbytes):
    """A byte range's bursts: aligned address and beats less one."""
    longest = min(config.max_burst, PAGE_BYTES // config.axi_bytes) * config.axi_bytes
    edges = [address // config.axi_bytes * config.axi_bytes]
    edges += range((address // longest + 1) * longest, address + nbytes, longest)
    ends = [*edges[1:], -(-(address + nbytes) // config.axi_bytes) * config.axi_bytes]
    return [(begin, (end - begin) // config.axi_bytes - 1) for begin, end in zip(edges, ends, strict=True)]


def check_burst(config, address, length, size, burst):
    assert (1 << size, burst) == (config.axi_bytes, 1)
    assert address % config.axi_bytes == 0
    assert length + 1 <= config.max_burst
    end = address + (length + 1) * config.axi_bytes - 1
    assert address // PAGE_BYTES == end // PAGE_BYTES, f"the burst at {address:#x} crosses a 4 KiB boundary"


def draw_ranges(rng, count):
    return [(rng.randrange(1 << 14), rng.choice((1, 4, 8, 100, 1000, rng.randrange(1, 3000)))) for _ in range(count)]
