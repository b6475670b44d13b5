"""cocotb: the fetch unit alone, its memory cocotbext-axi's RAM, the command queues taking words when they like."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from support.cocotb_ports import PAUSES, Sink
from support.module_bench import PATIENCE, RAM_BYTES, ModuleBench, generator, share
from support.single_modules import CONFIG
from weft_hardware.isa import Memory, Opcode, instruction_bytes
from weft_hardware.latencies import PAGE_BYTES

WORD = instruction_bytes(CONFIG)
COUNTS = (1, 2, 3, 7, 8, 33, 70)
"""Instructions: of less than a burst, of a whole one, and of more than the buffer holds."""

PLACES = (0, 1, 7, -1, -2, -8)
"""Instructions from the begin of a page or its end."""

CASES = [(count, place) for count in COUNTS for place in PLACES]


def queue_of(word: int) -> str:
    """Where an instruction belongs (docs/isa.md): what nobody can execute goes to compute, which says so."""
    opcode, memory, register = word & 7, word >> 7 & 7, word >> 7 & 63
    if opcode == Opcode.SET:
        return {0: "load", 2: "store"}.get(register >> 4, "compute")
    if opcode == Opcode.STORE or (opcode == Opcode.LOAD and memory in (Memory.PARAM, Memory.TABLE)):
        return "store"
    return "load" if opcode == Opcode.LOAD and memory in (Memory.INP, Memory.WGT) else "compute"


async def fetch(bench: ModuleBench, sinks: dict[str, Sink], address: int, count: int) -> None:
    """Each word reaches its queue, in order, and none of those around the program; only its beats are read."""
    dram = bench.machine.dram
    words = [int.from_bytes(dram[a : a + WORD], "little") for a in range(address, address + count * WORD, WORD)]
    left = {name: [word for word in words if queue_of(word) == name] for name in sinks}
    done, fetched = bench.signal("done"), bench.signal("left")
    reads = len(bench.watch.reads)
    bench.signal("address").value, bench.signal("count").value, bench.signal("start").value = address, count, 1
    await RisingEdge(bench.clock)
    bench.signal("start").value = 0
    rest = 20
    for _ in range(PATIENCE):
        await RisingEdge(bench.clock)
        for name, sink in sinks.items():
            word = sink.step()
            if word is not None:
                assert left[name], f"{name} gets {word:#x}, which is none of its words"
                expected = left[name].pop(0)
                assert word == expected, f"{name} gets {word:#x} instead of {expected:#x}"
        missing = sum(map(len, left.values()))
        if int(done.value):
            assert not missing, f"done, with {missing} words to come"
            rest -= 1
            if not rest:
                break
    else:
        raise AssertionError(f"{count} words from {address:#x} on: {missing} missing, {int(fetched.value)} not fetched")
    assert int(fetched.value) == 0
    assert not int(bench.signal("fault__raised").value)
    beats = [a + k * CONFIG.axi_bytes for a, length in bench.watch.reads[reads:] for k in range(length)]
    assert beats == list(range(address, address + count * WORD, CONFIG.axi_bytes)), f"{address:#x}: {beats}"


@cocotb.test()
@cocotb.parametrize(idle=list(PAUSES), backpressure=list(PAUSES))
async def programs_of_every_size_and_place(dut: Any, idle: str, backpressure: str) -> None:
    """One program after another, without a reset between."""
    rng = generator("fetch", idle, backpressure)
    bench = ModuleBench(dut, "fetch", rng, idle, backpressure, {})
    sinks = {name: Sink(dut, f"fetch_{name}", PAUSES[backpressure](rng)) for name in ("load", "compute", "store")}
    await bench.begin()
    for count, place in share(CASES, idle, backpressure):
        page = rng.randrange(1, RAM_BYTES // PAGE_BYTES - 1) * PAGE_BYTES
        await fetch(bench, sinks, page + place * WORD, count)


@cocotb.test()
async def an_empty_program_reads_nothing(dut: Any) -> None:
    rng = generator("fetch")
    bench = ModuleBench(dut, "fetch", rng, "none", "none", {})
    await bench.begin()
    bench.signal("address").value, bench.signal("count").value, bench.signal("start").value = PAGE_BYTES, 0, 1
    await ClockCycles(bench.clock, 30)
    assert int(bench.signal("done").value)
    assert not bench.watch.reads
