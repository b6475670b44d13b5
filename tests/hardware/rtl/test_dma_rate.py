"""Cycles of loads and stores on the memory port of the whole accelerator, AXI 64 bits, against their goals.

Those from the first address to the last beat are exact; those of the program, which other units share, are a bound.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Finish

from benchmarks.rtl_dma import GOALS, STREAMS, UOP_LOADS, fetches, load, padded, run, share, store

VTA = AcceleratorConfig()
BEATS = 4096
pytestmark = pytest.mark.rtl


@pytest.mark.parametrize("max_burst", [256, 16])
@pytest.mark.parametrize(("shape", "latency"), GOALS)
def test_one_load(shape, latency, max_burst):
    """No cycle is lost from the first beat to the last."""
    result = run(replace(VTA, max_burst=max_burst), [load(shape == "8-beat rows"), Finish()], latency)
    traffic = result.reads["load"]
    assert (traffic.beats, traffic.cycles) == (BEATS, BEATS + latency + 1)
    assert share(traffic) >= GOALS[shape, latency]
    assert result.cycles <= BEATS + 2 * (latency + 1) + 20


@pytest.mark.parametrize("max_burst", [256, 16])
@pytest.mark.parametrize(("shape", "latency"), GOALS)
def test_one_store(shape, latency, max_burst):
    """No cycle is lost between address and data, nor between the bursts, however late their answers."""
    result = run(replace(VTA, max_burst=max_burst), [store(shape == "8-beat rows"), Finish()], latency)
    assert (result.writes.beats, result.writes.cycles) == (BEATS, BEATS + 4)
    assert share(result.writes) >= GOALS[shape, latency]
    assert result.cycles <= BEATS + 2 * (latency + 1) + 25


@pytest.mark.parametrize("latency", [0, 50])
def test_loads_and_stores_at_once(latency):
    """Full duplex: neither is slower for the other, but for the beats of the longer program."""
    loads, stores = [load(rows=False)] * STREAMS, [store(rows=False)] * STREAMS
    both, alone = (run(VTA, [*program, Finish()], latency) for program in ([*loads, *stores], loads))
    more_fetched = both.reads["fetch"].beats - alone.reads["fetch"].beats
    assert both.reads["load"].cycles <= alone.reads["load"].cycles + more_fetched
    assert share(both.reads["load"]) >= 95
    assert share(both.writes) >= 95


def test_padding_hides_behind_the_latency():
    """What is written before the first beat comes costs nothing; every other padding tile costs a cycle."""
    traffic = run(VTA, [padded(14), Finish()], 50).reads["load"]
    assert (traffic.beats, traffic.cycles) == (14 * 14 * 2, 51 + 14 * 14 * 2)


def test_long_loads_starve_nobody():
    """A fetch waits for what was requested before it: the loader's buffer of 512 beats at most."""
    latency = 50
    result = fetches(VTA, latency)
    micro_ops = result.reads["compute"]
    assert micro_ops.bursts == UOP_LOADS
    assert micro_ops.cycles <= UOP_LOADS * (512 + latency + 16)
    assert result.reads["load"].cycles <= STREAMS * (BEATS + latency + 16)
    assert micro_ops.last_beat < result.reads["load"].last_beat
