"""Random legal programs leave the same bytes in the reference model, the functional simulator and the RTL.

``--first-seed`` and ``--programs`` choose others; a failure prints the program and the seeds before it.
"""

import pytest
from support.configs import CONFIGS, EXTENDED
from support.devices import KINDS, shared_device
from weft_runtime.dram import Dram
from weft_simulator.functional.device import FunctionalDevice
from weft_simulator.lockstep.differential import Session, clearing_program
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate

KNOWN = CONFIGS | EXTENDED
ALL = pytest.mark.parametrize("name", CONFIGS)
EVERY = pytest.mark.parametrize("name", KNOWN)
TIMINGS = pytest.mark.parametrize(
    ("read_latency", "stall_seed"), [(0, None), (50, None), (200, None), (3, 7)], ids=["0", "50", "200", "stalls"]
)


def run_functional(config, seeds):
    session = Session(config)
    for order_seed in (None, 1, 2):
        dram = Dram.zeros(DRAM_SIZE, DRAM_BASE)
        device = FunctionalDevice(config, dram=dram, order_seed=order_seed)
        session.attach(f"functional (order seed {order_seed})", device, dram)
    for seed in seeds:
        session.run(generate(config, seed), order_seed=seed)


def run_rtl(config, seeds, **timing):
    session = Session(config)
    session.attach(f"tsim ({timing})", *shared_device("tsim", config, **timing))
    session.run(clearing_program(config))
    for seed in seeds:
        session.run(generate(config, seed), order_seed=seed)


@EVERY
def test_functional(name, first_seed, program_count):
    run_functional(KNOWN[name], range(first_seed, first_seed + program_count(30)))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_above_4_gib(kind, first_seed, program_count):
    """Forty address bits: the upper halves of the base registers and of the instructions' address count."""
    config, dram_base = CONFIGS["block32"], 0xA5_4000_0000
    device, dram = shared_device(kind, config, dram_base=dram_base)
    session = Session(config)
    session.attach(kind, device, dram)
    session.run(clearing_program(config, dram_base))
    for seed in range(first_seed, first_seed + program_count(12)):
        session.run(generate(config, seed, dram_base=dram_base))


@pytest.mark.slow
@EVERY
def test_functional_thousands(name, first_seed, program_count):
    run_functional(KNOWN[name], range(first_seed + 1000, first_seed + 1000 + program_count(3000)))


@pytest.mark.rtl
@TIMINGS
@ALL
def test_rtl(name, read_latency, stall_seed, first_seed, program_count):
    first = first_seed + 100 * (read_latency + (stall_seed or 0))
    run_rtl(CONFIGS[name], range(first, first + program_count(40)), read_latency=read_latency, stall_seed=stall_seed)


@pytest.mark.rtl
@TIMINGS
@pytest.mark.parametrize("name", EXTENDED)
def test_rtl_with_extensions(name, read_latency, stall_seed, first_seed, program_count):
    first = first_seed + 100 * (read_latency + (stall_seed or 0))
    run_rtl(EXTENDED[name], range(first, first + program_count(40)), read_latency=read_latency, stall_seed=stall_seed)


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["batch2", "int4", "narrow", "deep"])
@pytest.mark.parametrize(
    "timing",
    [
        {"write_latency": 60, "stall_seed": 1, "stall_percent": 10},
        {"read_latency": 5, "write_latency": 5, "stall_seed": 2, "stall_percent": 85},
        {"read_latency": 20, "stall_seed": 3, "out_of_order": True},
    ],
    ids=["late answers", "mostly stalled", "out of order"],
)
def test_rtl_with_an_awkward_memory(name, timing, first_seed, program_count):
    run_rtl(CONFIGS[name], range(first_seed + 50, first_seed + 50 + program_count(20)), **timing)


@pytest.mark.slow
@pytest.mark.rtl
@TIMINGS
@EVERY
def test_rtl_thousands(name, read_latency, stall_seed, first_seed, program_count):
    first = first_seed + 100_000 + 10_000 * (read_latency + (stall_seed or 0))
    run_rtl(KNOWN[name], range(first, first + program_count(500)), read_latency=read_latency, stall_seed=stall_seed)


class FlippedBit(FunctionalDevice):
    """A device that is wrong in one bit of the last guard byte."""

    def launch(self, launch):
        report = super().launch(launch)
        self.dram.data[-1] ^= 1
        return report


def test_one_wrong_bit_in_a_guard_region_is_found():
    session = Session(CONFIGS["int4"])
    dram = Dram.zeros(DRAM_SIZE, DRAM_BASE)
    session.attach("flipped", FlippedBit(CONFIGS["int4"], dram=dram), dram)
    program = generate(CONFIGS["int4"], 1)
    with pytest.raises(AssertionError) as caught:
        session.run(program)
    place, before = DRAM_BASE + DRAM_SIZE - 1, int(program.image[-1])
    first_line = str(caught.value).splitlines()[0]
    assert first_line == (
        f"flipped differs: 1 bytes, first at {place:#x}: {before ^ 1:#04x} instead of {before:#04x} "
        f"(before the launch {before:#04x}); instructions that write it: []"
    )
