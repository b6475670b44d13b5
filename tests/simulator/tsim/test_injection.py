"""Every fault at every phase of a program: told right, nothing written outside, and the next program runs.

Each run draws a fault and the moment it strikes. Guard bytes, random and compared after every run, fill the memory.
``--programs`` chooses the number of runs, ``--first-seed`` others.
"""

from dataclasses import replace

import numpy as np
import pytest
from support.bench import seeded
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Load,
    Memory,
    MemoryInstruction,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
)
from weft_hardware.isa import tile_bytes as isa_tile_bytes
from weft_hardware.registers import Cause, Status, Unit, offset
from weft_runtime.device import Launch
from weft_runtime.diagnosis import program_index
from weft_runtime.dram import Dram
from weft_runtime.errors import FaultError
from weft_simulator.functional.device import FunctionalDevice
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import Channel, Injection, MemoryTiming, Response

pytestmark = pytest.mark.rtl

CONFIG = AcceleratorConfig(
    block_in=4, block_out=4, inp_depth=11, wgt_depth=7, acc_depth=13, uop_depth=21, command_queue_depth=8
)
BASE, SIZE = 0x4_0000, 0x1_0000
PROGRAM = BASE + 0x1000
BASES = {memory: BASE + 0x2000 + 0x1000 * k + 64 * k for k, memory in enumerate(Memory)}
WINDOW_BYTES = 0x400
WINDOWS = {memory: (base, base + WINDOW_BYTES) for memory, base in BASES.items()}

LOOPS = {"uop_end": 3, "iter_out": 1, "iter_in": 2, "dst_in": 3, "src_in": 1}
INSTRUCTIONS = [
    Load(memory=Memory.UOP, x_size=3, y_size=1),
    Load(memory=Memory.ACC, x_size=3, y_size=2, x_stride=5),
    Load(memory=Memory.INP, dram=3, x_size=3, y_size=3, x_stride=4, x_pad0=0),
    Load(memory=Memory.WGT, x_size=1, y_size=4, x_stride=2, push_next=True),
    Gemm(pop_prev=True, push_prev=True, **LOOPS),
    Load(memory=Memory.INP, dram=20, x_size=5, y_size=2, x_stride=6, pop_next=True, push_next=True),
    Alu(alu_op=AluOp.ADD, use_imm=True, imm=7, push_next=True, **LOOPS),
    Store(memory=Memory.OUT, x_size=2, y_size=3, x_stride=5, pop_prev=True),
    Store(memory=Memory.ACC, dram=20, x_size=6, y_size=1, push_prev=True),
    Gemm(pop_prev=True, pop_next=True, push_next=True, **LOOPS),
    Store(memory=Memory.OUT, dram=40, x_size=3, y_size=2, x_stride=4, pop_prev=True, push_prev=True),
    Finish(pop_next=True),
]


EXTENDED = replace(
    CONFIG,
    pad_value=True,
    widening_load=True,
    gemm_overwrite=True,
    epilogue_lanes=2,
    param_depth=5,
    residual=True,
    table=True,
)
BOTH = StoreMode.RESIDUAL | StoreMode.TABLE | StoreMode.PARAM_X
AWAY = -71
"""Tiles from a result to its residual operand: another half of a beat."""

EXTENDED_INSTRUCTIONS = [
    Load(memory=Memory.UOP, x_size=3, y_size=1),
    Load(memory=Memory.PARAM, dram=2, x_size=5, y_size=1),
    Set(register=SetRegister.COMPUTE_PAD, value=5),
    Load(memory=Memory.ACC_8BIT, dram=1, x_size=2, y_size=2, x_stride=5, x_pad0=1),
    Set(register=SetRegister.LOAD_PAD, value=3),
    Load(memory=Memory.INP, dram=3, x_size=3, y_size=2, x_stride=4, y_pad0=1),
    Load(memory=Memory.WGT, x_size=1, y_size=4, x_stride=2, push_next=True),
    Load(memory=Memory.TABLE, dram=1, x_size=1, y_size=1),
    Set(register=SetRegister.OVERWRITE, value=2),
    GemmOverwrite(pop_prev=True, push_prev=True, **LOOPS),
    Load(memory=Memory.INP, dram=20, x_size=5, y_size=2, x_stride=6, pop_next=True, push_next=True),
    Alu(alu_op=AluOp.ADD, use_imm=True, imm=7, push_next=True, **LOOPS),
    Set(register=SetRegister.ZERO_POINT, value=3),
    Store(memory=Memory.ACC_8BIT, dram=100, x_size=2, y_size=3, x_stride=5, pop_prev=True, mode=StoreMode.PARAM_Y),
    Set(register=SetRegister.RESIDUAL, value=AWAY % (1 << 32)),
    Set(register=SetRegister.RESIDUAL_SCALE, value=0x3F000000),
    Set(register=SetRegister.SCALE, value=0x3F400000),
    Store(memory=Memory.ACC_8BIT, dram=121, x_size=3, y_size=2, x_stride=4, mode=BOTH, push_prev=True),
    Gemm(pop_prev=True, pop_next=True, push_next=True, **LOOPS),
    Store(memory=Memory.OUT, x_size=3, y_size=2, x_stride=4, pop_prev=True),
    Store(memory=Memory.ACC_8BIT, dram=140, x_size=5, y_size=1, mode=BOTH, push_prev=True),
    Finish(pop_next=True),
]
CASES = {"base": (CONFIG, INSTRUCTIONS), "extended": (EXTENDED, EXTENDED_INSTRUCTIONS)}


class Bench:
    """A device whose memory is noise around a program, and what a run without faults leaves of it."""

    def __init__(self, timing: MemoryTiming, case: str = "base") -> None:
        from weft_hardware.encoding import pack_uops

        self.config, self.instructions = CASES[case]
        self.dram = Dram.zeros(SIZE, BASE)
        self.device = TsimDevice(
            self.config, dram=self.dram, memory=timing, max_cycles=20_000, watchdog=400, drain_limit=400
        )
        self.image = np.random.default_rng(1).integers(0, 256, SIZE, np.uint8)
        uops = pack_uops(self.config, [0, 1, 2], [0, 3, 5], [1, 0, 3])
        start = BASES[Memory.UOP] - BASE
        raw = np.frombuffer(uops.tobytes(), np.uint8)
        self.image[start : start + raw.size] = raw
        self.functional_dram = Dram.zeros(SIZE, BASE)
        self.functional = FunctionalDevice(self.config, dram=self.functional_dram)
        self.expected = self._on(self.functional, self.functional_dram, self.instructions, WINDOWS)
        self.reads, self.writes, self.cycles = self._measure()

    def launch(self, words, windows=WINDOWS):
        return Launch(PROGRAM, len(words), BASES, windows)

    def install(self, dram, words):
        dram.data[:] = self.image
        raw = np.frombuffer(words.tobytes(), np.uint8)
        dram.data[PROGRAM - BASE : PROGRAM - BASE + raw.size] = raw

    def _on(self, device, dram, instructions, windows):
        words = encode(instructions, self.config)
        self.install(dram, words)
        device.launch(self.launch(words, windows))
        return dram.data.copy()

    def _measure(self):
        words = encode(self.instructions, self.config)
        self.install(self.dram, words)
        cycles = self.device.launch(self.launch(words)).cycles
        np.testing.assert_array_equal(self.dram.data, self.expected)
        reads = sum(self.device.read_traffic(n).beats for n in range(4))
        return reads, self.device.write_traffic().bursts, cycles

    def check_good_program(self):
        """The program without faults leaves the right bytes, all of them."""
        self.device.inject(Injection())
        got = self._on(self.device, self.dram, self.instructions, WINDOWS)
        np.testing.assert_array_equal(got, self.expected)

    def check_guards(self, words):
        """Nothing but the stores' windows changed, and there only bytes that the program writes, to their values."""
        self.install(self.functional_dram, words)
        before = self.functional_dram.data
        changed = np.flatnonzero(self.dram.data != before)
        np.testing.assert_array_equal(self.dram.data[changed], self.expected[changed])

    def check_acknowledged(self, retired):
        """STOREs among the instructions that its queue retired are in memory."""
        retired_ones = [insn for insn in self.instructions if insn.queue is Queue.STORE][:retired]
        for insn in (insn for insn in retired_ones if isinstance(insn, Store)):
            size = isa_tile_bytes(Memory(insn.memory), self.config)
            for y in range(insn.y_size):
                at = BASES[Memory(insn.memory)] - BASE + (insn.dram + y * insn.x_stride) * size
                row = slice(at, at + insn.x_size * size)
                np.testing.assert_array_equal(self.dram.data[row], self.expected[row])

    def fault(self, words, windows=WINDOWS):
        """Run a program that must fault; what the device says, and how many the store queue had retired."""
        self.install(self.dram, words)
        retired = []
        describe = self.device._engine._fault_error

        def watch(program):
            retired.append(self.device._engine.retired()[Queue.STORE])
            return describe(program)

        self.device._engine._fault_error = watch
        try:
            with pytest.raises(FaultError) as caught:
                self.device.launch(self.launch(words, windows))
        finally:
            del self.device._engine._fault_error
        return caught.value.fault, str(caught.value), retired[0]


def check_bus_error(bench, fault, words, write):
    """Unit, instruction and address belong together."""
    assert fault.cause is Cause.BUS_ERROR
    if fault.unit is Unit.FETCH:
        assert not write
        assert PROGRAM <= fault.value < PROGRAM + words.nbytes
        assert 0 <= fault.index < len(words)
        return
    index = program_index(words, bench.config, Queue(fault.unit), fault.index)
    insn = bench.instructions[index]
    assert isinstance(insn, MemoryInstruction)
    size, base = isa_tile_bytes(Memory(insn.memory), bench.config), BASES[Memory(insn.memory)]
    if isinstance(insn, Store) and not write:
        assert insn.mode & StoreMode.RESIDUAL
        base += AWAY * size
    assert isinstance(insn, Store) or not write
    rows = [base + (insn.dram + y * insn.x_stride) * size for y in range(insn.y_size)]
    beat = bench.config.axi_bytes
    assert any(row // beat * beat <= fault.value < row + insn.x_size * size for row in rows), (fault, insn)


def inject_read_error(bench, rng, words):
    response = rng.choice(list(Response))
    bench.device.inject(Injection(read_beat=rng.randrange(bench.reads), response=response))
    fault, _, retired = bench.fault(words)
    check_bus_error(bench, fault, words, write=False)
    return retired


def inject_write_error(bench, rng, words):
    response = rng.choice(list(Response))
    bench.device.inject(Injection(write_burst=rng.randrange(bench.writes), response=response))
    fault, _, retired = bench.fault(words)
    check_bus_error(bench, fault, words, write=True)
    assert fault.index == retired
    return retired


def inject_hang(bench, rng, words):
    """Some channel stops for ever: the watchdog sees it, and the soft reset that follows says what is missing."""
    channel = rng.choice(list(Channel))
    handshakes = rng.randrange(4 + bench.reads // 2)
    bench.device.inject(Injection(hang=channel, hang_after=handshakes))
    fault, message, retired = bench.fault(words)
    assert (fault.cause, fault.unit) == (Cause.BUS_HUNG, Unit.ENGINE)
    expected = 1 if channel in Channel.AR | Channel.R else 2
    assert fault.value & expected, (fault, channel)
    assert message.startswith("watchdog: nothing moved for 400 cycles after ")
    assert message.endswith("and it took a hardware reset of the accelerator to go on; check the bus")
    return retired


def inject_illegal(bench, rng, words):
    """An illegal instruction in place of one of the same queue, with its tokens."""
    index = rng.randrange(len(words))
    insn = bench.instructions[index]
    flags = {name: getattr(insn, name) for name in ("pop_prev", "pop_next", "push_prev", "push_next")}
    faulty = {
        Queue.LOAD: Set(register=0x0F, **flags),
        Queue.COMPUTE: Alu(alu_op=7, **flags),
        Queue.STORE: Store(memory=Memory.OUT, x_pad0=1, **flags),
    }[insn.queue]
    assert faulty.queue is insn.queue
    words[index] = encode([faulty], bench.config)[0]
    if insn.queue is Queue.COMPUTE and rng.random() < 0.5:
        words[index, 0] |= np.uint64(7)  # an opcode that there is not
    return check_like_functional(bench, words, WINDOWS, Cause.ILLEGAL_INSTRUCTION)


def inject_range(bench, rng, words):
    index = rng.choice([k for k, insn in enumerate(bench.instructions) if isinstance(insn, MemoryInstruction)])
    faulty = replace(bench.instructions[index], sram=21)
    words[index] = encode([faulty], bench.config)[0]
    return check_like_functional(bench, words, WINDOWS, Cause.SCRATCHPAD_RANGE)


def inject_window(bench, rng, words):
    """A window that begins a byte too late or ends a byte too early for one block."""
    index = rng.choice([k for k, insn in enumerate(bench.instructions) if isinstance(insn, MemoryInstruction)])
    insn = bench.instructions[index]
    memory = Memory(insn.memory)
    size = isa_tile_bytes(memory, bench.config)
    first = BASES[memory] + insn.dram * size
    last = first + ((insn.y_size - 1) * insn.x_stride + insn.x_size) * size
    begin, end = WINDOWS[memory]
    windows = dict(WINDOWS)
    windows[memory] = (first + 1, end) if rng.random() < 0.5 else (begin, last - 1)
    return check_like_functional(bench, words, windows, Cause.WINDOW)


def inject_far(bench, rng, words):
    """A block anywhere in the address space, or beyond its end."""
    index = rng.choice([k for k, insn in enumerate(bench.instructions) if isinstance(insn, MemoryInstruction)])
    memory = Memory(bench.instructions[index].memory)
    low = WINDOW_BYTES // isa_tile_bytes(memory, bench.config)
    faulty = replace(bench.instructions[index], dram=rng.choice((low, rng.randrange(low, 1 << 32), (1 << 32) - 1)))
    words[index] = encode([faulty], bench.config)[0]
    return check_like_functional(bench, words, WINDOWS, Cause.WINDOW)


def check_like_functional(bench, words, windows, cause):
    """The same fault, in the same words, as on the functional simulator."""
    bench.install(bench.functional_dram, words)
    with pytest.raises(FaultError) as caught:
        bench.functional.launch(bench.launch(words, windows))
    fault, message, retired = bench.fault(words, windows)
    assert (fault, message) == (caught.value.fault, str(caught.value))
    assert fault.cause is cause
    return retired


def inject_reset(bench, rng, words):
    """No fault: the host resets the engine in the middle of the program."""
    bench.install(bench.dram, words)
    device = bench.device
    device._engine.start(bench.launch(words))
    device._model.run_until(offset("STATUS"), Status.FAULT, rng.randrange(1, bench.cycles))
    retired = device._engine.retired()[Queue.STORE]
    assert device._engine.soft_reset() is None
    assert device._engine.read("STATUS") == 0
    return retired


INJECTIONS = [
    inject_read_error,
    inject_write_error,
    inject_hang,
    inject_illegal,
    inject_range,
    inject_window,
    inject_far,
    inject_reset,
]
TIMINGS = {
    "0": MemoryTiming(),
    "slow": MemoryTiming(read_latency=30, write_latency=17),
    "stalls": MemoryTiming(read_latency=3, stall_seed=4),
    "out of order": MemoryTiming(read_latency=9, stall_seed=8, stall_percent=60, out_of_order=True),
}
timings = pytest.mark.parametrize("timing", TIMINGS)
cases = pytest.mark.parametrize("case", CASES)


def run_injections(timing, case, seed, count):
    rng, bench = seeded(seed), Bench(TIMINGS[timing], case)
    for run in range(count):
        inject = INJECTIONS[run % len(INJECTIONS)]
        words = encode(bench.instructions, bench.config)
        try:
            retired = inject(bench, rng, words)
            bench.check_guards(words)
            bench.check_acknowledged(retired)
            bench.check_good_program()
        except BaseException as error:
            raise AssertionError(f"run {run} of seed {seed}, {inject.__name__}: {error}") from error


@cases
@timings
def test_injected_faults(timing, case, first_seed, program_count):
    run_injections(timing, case, first_seed, program_count(96))


@pytest.mark.slow
@cases
@timings
def test_thousands_of_injected_faults(timing, case, first_seed, program_count):
    run_injections(timing, case, first_seed + 1, program_count(2000))


def test_interrupts():
    bench = Bench(TIMINGS["0"])
    words = encode(bench.instructions, bench.config)
    device = bench.device
    device.clear_irq()
    bench.check_good_program()
    assert device.irq
    device.clear_irq()
    assert not device.irq
    bench.device.inject(Injection(read_beat=3))
    bench.fault(words)
    assert device.irq
    device.clear_irq()
    assert not device.irq
