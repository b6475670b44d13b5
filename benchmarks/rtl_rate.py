"""Cycles of the RTL where its modules decide: GEMM and ALU streams, stores, and raw VTA programs beside VTA's RTL.

Configuration ``vta``, AXI of 64 bits, memory read latency 0 unless said. The cycles of one instruction are those of a
stream of 96 less those of a stream of 64, over 32; those of a tile are those of a STORE of 512 less one of 256, over
256. *Beside*: by how much a program of GEMM or ALU steps is longer for a STORE of 512 tiles of the other bank.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Store, storable
from weft_hardware.presets import load_config
from weft_runtime.device import Device, Launch, RunReport
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

from .vta_programs import VtaProgram, lenet5, matrix_product

VTA_CYCLES = {
    "16x16": (213, 463),
    "32x32": (663, 913),
    "lenet5_conv1": (7986, 8236),
    "lenet5_conv1_relu": (8779, 9029),
    "lenet5_layer1": (9221, 9471),
}
"""What VTA's own RTL takes at memory read latency 0 and 50."""

LATENCIES = (0, 50)


def vta_programs(config: AcceleratorConfig) -> dict[str, VtaProgram]:
    """The programs that `VTA_CYCLES` names."""
    return {
        "16x16": matrix_product(config, 1),
        "32x32": matrix_product(config, 2),
        "lenet5_conv1": lenet5(config),
        "lenet5_conv1_relu": lenet5(config, relu=True),
        "lenet5_layer1": lenet5(config, pool=True),
    }


def launch_program(device: Device, region: int, program: VtaProgram) -> RunReport:
    """Run a program in a region of DRAM."""
    for offset, data in program.placed.items():
        device.write(region + offset, np.frombuffer(data, np.uint8))
    return device.launch(Launch(region + program.insn_offset, len(program.instructions), dict.fromkeys(Memory, region)))


def run_program(device: TsimDevice, region: int, program: VtaProgram) -> int:
    """Cycles of a program in a region of DRAM, whose result is checked."""
    report = launch_program(device, region, program)
    found = device.read(region + program.out_offset, program.expected.size).view(np.int8)
    if not np.array_equal(found, program.expected.reshape(-1)):
        raise AssertionError("the program left a wrong result")
    return report.cycles or 0


def stream_cycles(device: TsimDevice, region: int, instructions: list[Instruction]) -> int:
    """Cycles of a launch of these instructions; all micro-ops are zero."""
    program = [Load(memory=Memory.UOP, x_size=128, y_size=1, x_stride=128), *instructions, Finish()]
    device.write(region, np.zeros(512, np.uint8))
    device.write(region + 4096, np.frombuffer(encode(program, device.config).tobytes(), np.uint8))
    return device.launch(Launch(region + 4096, len(program), dict.fromkeys(Memory, region))).cycles or 0


def cycles_each(device: TsimDevice, region: int, instruction: Instruction) -> float:
    """Cycles of each instruction of a long stream that a GEMM before it gives fetch the time to run ahead of."""
    ahead = Gemm(uop_end=1, iter_out=1, iter_in=4096)
    short, long = (stream_cycles(device, region, [ahead] + [instruction] * count) for count in (64, 96))
    return (long - short) / 32


def stores_each(device: TsimDevice, region: int, store: Store) -> float:
    """Cycles of each STORE of a long stream, likewise."""
    ahead = [Gemm(uop_end=1, iter_out=1, iter_in=4096, push_next=True), Store(memory=Memory.OUT, pop_prev=True)]
    short, long = (stream_cycles(device, region, [*ahead, *[store] * count]) for count in (64, 96))
    return (long - short) / 32


def cycles_a_tile(device: TsimDevice, region: int, store: Store) -> float:
    """Cycles of each tile of a long STORE."""
    short, long = (stream_cycles(device, region, [replace(store, x_size=count)]) for count in (256, 512))
    return (long - short) / 256


def cost_beside(device: TsimDevice, region: int, work: Instruction, store: Store) -> int:
    """Cycles that a STORE adds to a program of steps that run meanwhile; in its place stands one of nothing."""
    alone, both = (stream_cycles(device, region, [insn, work]) for insn in (replace(store, x_size=0), store))
    return both - alone


def measure() -> dict[str, float | int | str]:
    """Cycles, of each stream an instruction, and for VTA's programs the reference beside ours."""
    config = load_config("vta")
    figures: dict[str, float | int | str] = {}
    with TsimDevice(config) as device:
        region = device.allocate(1 << 17)
        for name, instruction in STREAMS.items():
            figures[f"{name}, cycles each"] = cycles_each(device, region, instruction)
        cycles = stream_cycles(device, region, [STREAMS["gemm of 8192"]] * 64)
        figures["64 gemms of 8192, MAC/cycle"] = round(64 * 8192 * config.macs / cycles, 2)
        for (work, store), cost in costs_beside(device, region).items():
            figures[f"{store} beside {work}, cycles more"] = cost
        for name, store in STORES.items():
            figures[f"{name} of a tile, cycles each"] = stores_each(device, region, replace(store, x_size=1))
    for lanes in LANES:
        with TsimDevice(replace(config, epilogue_lanes=lanes)) as device:
            cycles = cycles_a_tile(device, device.allocate(1 << 17), STORES["requantising store"])
            figures[f"requantising store on {lanes} lanes, cycles a tile"] = cycles
    for position, latency in enumerate(LATENCIES):
        with TsimDevice(config, memory=MemoryTiming(read_latency=latency)) as device:
            region = device.allocate(1 << 17)
            for name, program in vta_programs(config).items():
                cycles = run_program(device, region, program)
                figures[f"{name} at {latency}"] = f"{cycles} (VTA {VTA_CYCLES[name][position]})"
    return figures


def costs_beside(device: TsimDevice, region: int) -> dict[tuple[str, str], int]:
    """`cost_beside` of all works and all stores that the accelerator has."""
    return {
        (work, store): cost_beside(device, region, WORKS[work], STORES[store])
        for work in WORKS
        for store in STORES
        if STORES[store].memory in storable(device.config)
    }


WORKS: dict[str, Instruction] = {
    "gemm": Gemm(uop_end=128, iter_out=8, iter_in=8, dst_out=8, dst_in=1),
    "alu immediate": Alu(
        uop_end=128, iter_out=8, iter_in=8, dst_out=8, dst_in=1, alu_op=AluOp.ADD, use_imm=True, imm=1
    ),
    "alu of two accumulators": Alu(uop_end=128, iter_out=8, iter_in=8, dst_out=8, src_in=1, alu_op=AluOp.MAX),
}
"""8,192 steps on the lower bank."""

STORES: dict[str, Store] = {
    "store": Store(memory=Memory.OUT, sram=1024, dram=1024, x_size=512, y_size=1),
    "requantising store": Store(memory=Memory.ACC_8BIT, sram=1024, dram=1024, x_size=512, y_size=1),
}
"""Of the upper bank."""

LANES = (1, 4, 16)

STREAMS: dict[str, Instruction] = {
    "gemm of 2": Gemm(uop_end=2, iter_out=1, iter_in=1),
    "gemm of 9": Gemm(uop_end=9, iter_out=1, iter_in=1),
    "gemm of 16": Gemm(uop_end=4, iter_out=2, iter_in=2, dst_in=1, dst_out=2, src_in=1, wgt_out=1),
    "gemm of 8192": Gemm(uop_end=128, iter_out=8, iter_in=8),
    "alu immediate of 16": Alu(uop_end=16, iter_out=1, iter_in=1, alu_op=AluOp.ADD, use_imm=True, imm=1),
    "alu of two accumulators of 16": Alu(uop_end=16, iter_out=1, iter_in=1, alu_op=AluOp.MAX),
}
