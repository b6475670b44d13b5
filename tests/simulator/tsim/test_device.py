"""The RTL as a device: bytes, cycles, and every way a program can fail, each leaving the device usable."""

import re
import signal

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode, pack_uops
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Store
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_runtime.errors import DeadlockError, DeviceError, FaultError, TokenError
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

pytestmark = pytest.mark.rtl

CONFIG = AcceleratorConfig(
    block_in=4, block_out=4, inp_depth=11, wgt_depth=7, acc_depth=13, uop_depth=21, command_queue_depth=8
)
BASE, SIZE = 0x4_0000, 0x1_0000
PROGRAM, UOP, INP, WGT, OUT = (BASE + k * 0x1000 for k in range(5))
BASES = {Memory.UOP: UOP, Memory.INP: INP, Memory.WGT: WGT, Memory.OUT: OUT, Memory.ACC: OUT}
TILES = 6


END = Finish(pop_next=True)


def matmul(extra=(), finish=END):
    """Six input tiles times one weight tile; ``extra`` runs in the compute queue before the product."""
    return [
        Load(memory=Memory.UOP, x_size=1, y_size=1),
        *extra,
        Load(memory=Memory.INP, x_size=TILES, y_size=1),
        Load(memory=Memory.WGT, x_size=1, y_size=1, push_next=True),
        Gemm(reset=True, uop_end=1, iter_out=1, iter_in=TILES, dst_in=1),
        Gemm(pop_prev=True, uop_end=1, iter_out=1, iter_in=TILES, dst_in=1, src_in=1, push_next=True),
        Store(memory=Memory.OUT, x_size=TILES, y_size=1, pop_prev=True, push_prev=True),
        finish,
    ]


class Bench:
    """A device with operands in its memory."""

    def __init__(self, **options) -> None:
        self.dram = Dram.zeros(SIZE, BASE)
        rng = np.random.default_rng(2)
        self.inp = rng.integers(-128, 128, (TILES, 4), np.int8)
        self.wgt = rng.integers(-128, 128, (4, 4), np.int8)
        self.device = TsimDevice(CONFIG, dram=self.dram, **options)
        for address, array in ((UOP, pack_uops(CONFIG, [0])), (INP, self.inp), (WGT, self.wgt)):
            self.device.write(address, np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def run(self, program, bases=BASES):
        encoded = encode(program, CONFIG)
        self.device.write(PROGRAM, encoded.reshape(-1).view(np.uint8))
        return self.device.launch(Launch(PROGRAM, len(program), bases))

    def check_product(self) -> int:
        """Run the product, compare its bytes; the cycles it took."""
        self.device.write(OUT, np.zeros(TILES * 4, np.uint8))
        report = self.run(matmul())
        expected = (self.inp.astype(np.int32) @ self.wgt.astype(np.int32).T).astype(np.int8)
        np.testing.assert_array_equal(self.device.read(OUT, TILES * 4).view(np.int8).reshape(TILES, 4), expected)
        assert report.instructions == len(matmul())
        assert report.cycles is not None
        return report.cycles


@pytest.fixture
def bench():
    return Bench()


def test_a_product_is_right_and_takes_the_same_cycles_every_time(bench):
    cycles = bench.check_product()
    assert bench.check_product() == cycles
    assert TILES < cycles < 300


def test_cycles_do_not_depend_on_the_values(bench):
    cycles = bench.check_product()
    bench.inp = np.zeros_like(bench.inp)
    bench.device.write(INP, bench.inp.reshape(-1).view(np.uint8))
    assert bench.check_product() == cycles


def test_every_dependent_access_pays_the_latency():
    fast, slow, slower = (Bench(memory=MemoryTiming(read_latency=latency)).check_product() for latency in (0, 50, 200))
    # Fetch, then a load: two reads that must follow each other. Without latency the two wait a little for each other.
    assert slow - fast >= 2 * 50 - 8
    assert slower - slow == 2 * 150
    assert Bench(memory=MemoryTiming(write_latency=77)).check_product() == fast + 77


def test_stalls_change_the_cycles_and_nothing_else():
    steady = Bench().check_product()
    stalled = Bench(memory=MemoryTiming(stall_seed=5)).check_product()
    assert stalled > steady
    assert Bench(memory=MemoryTiming(stall_seed=5)).check_product() == stalled
    Bench(memory=MemoryTiming(stall_seed=6, out_of_order=True, read_latency=9)).check_product()


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        (matmul([Load(memory=7, x_size=1, y_size=1)]), FaultError, "instruction 1: LOAD.memory = 7 names no memory"),
        (
            matmul([Load(memory=Memory.ACC, sram=10, x_size=4, y_size=1)]),
            FaultError,
            "instruction 1 (LOAD ACC): tiles 10..13 do not fit the ACC scratchpad of 13 tiles (0..12); ",
        ),
        (
            matmul([Alu(alu_op=AluOp.ADD, use_imm=True, uop_end=1, iter_out=1, iter_in=14, dst_in=1)]),
            FaultError,
            "instruction 1 (ALU ADD): index 13 is outside its scratchpad (accumulator 0..12); ",
        ),
        (
            matmul([Load(memory=Memory.ACC, dram=0x1000, x_size=1, y_size=1)]),
            FaultError,
            "instruction 1 (LOAD ACC): DRAM access at 0x54000 is outside the memory or was refused; ",
        ),
        (matmul()[:-1], FaultError, "all 6 instructions ran and none was FINISH; end the program with FINISH"),
        (
            [Gemm(pop_prev=True), Finish()],
            DeadlockError,
            "deadlock after 0 of 2 instructions: compute waits at instruction 0 (GEMM) for a token from load, but no "
            "load instruction left pushes one; ",
        ),
        (
            matmul(finish=Finish()),
            TokenError,
            "the program ended with 1 token from store to compute (last pushed by instruction 5 (STORE OUT)) that no ",
        ),
    ],
    ids=["illegal", "block", "index", "bus", "no finish", "deadlock", "token"],
)
def test_a_failing_program_is_explained_and_the_device_goes_on(bench, program, error, message):
    cycles = bench.check_product()
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        bench.run(program)
    assert bench.check_product() == cycles


def test_an_injected_bus_error_is_a_fault():
    bench = Bench(memory=MemoryTiming(error_range=(INP, INP + 1)))
    with pytest.raises(FaultError, match=r"^instruction 1 \(LOAD INP\): DRAM access at 0x42000 is outside the memory"):
        bench.check_product()


ENDLESS = [
    Load(memory=Memory.UOP, x_size=1, y_size=1),
    Gemm(reset=True, uop_end=1, iter_out=16383, iter_in=16383),
    Finish(),
]


def test_too_many_cycles_are_an_error_that_says_what_was_going_on():
    bench = Bench(max_cycles=5000)
    message = (
        "program of 3 instructions did not end in max_cycles = 5000 (load idle after 0 instructions, "
        "compute busy after 1 instructions, store idle after 0 instructions); raise max_cycles or shorten the program"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        bench.run(ENDLESS)
    cycles = bench.check_product()
    assert Bench(max_cycles=cycles).check_product() == cycles
    with pytest.raises(DeviceError, match=rf"^program of 7 instructions did not end in max_cycles = {cycles - 1} "):
        Bench(max_cycles=cycles - 1).check_product()


def test_ctrl_c_stops_a_run_and_the_device_goes_on(bench):
    def interrupt(*_):
        raise KeyboardInterrupt

    cycles = bench.check_product()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            bench.run(ENDLESS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert bench.check_product() == cycles


def test_a_misaligned_launch_is_refused(bench):
    with pytest.raises(DeviceError, match=r"^insn_address = 0x40008 is not a multiple of 16"):
        bench.device.launch(Launch(BASE + 8, 1))


def test_allocations_come_from_the_memory(bench):
    address = bench.device.allocate(100)
    assert address % 64 == 0
    assert BASE <= address < BASE + SIZE
    bench.device.free(address)


def test_no_cycles_to_run_is_refused():
    with pytest.raises(DeviceError, match=r"^max_cycles = 0 leaves no cycle to run; choose at least 1$"):
        TsimDevice(CONFIG, max_cycles=0)
