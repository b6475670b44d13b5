"""Runs programs on devices and on the reference model and compares every byte of DRAM."""

from __future__ import annotations

import random

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.isa import Finish, Instruction, Load, Memory
from weft_runtime.device import Bytes, Device
from weft_runtime.dram import Dram

from .generator import DRAM_BASE, DRAM_SIZE, INSN_REGION
from .oracle import all_accesses, linear_order, predecessors
from .program import Program
from .reference import Machine


def random_order(program: Program, seed: int) -> list[int]:
    """One of the orders that queues and tokens allow."""
    return linear_order(predecessors(program.instructions), random.Random(seed))


class Session:
    """One reference machine and the devices that run the same programs, in the same sequence.

    Scratchpads keep their content from launch to launch, in the devices and in the reference alike, so a program may
    depend on those before it: a failure names the whole sequence.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.machine = Machine(config)
        self.devices: list[tuple[str, Device, Dram]] = []
        self.history: list[str] = []

    def attach(self, name: str, device: Device, dram: Dram) -> None:
        """Add a device with fresh scratchpads, or one that `clearing_program` just ran on."""
        self.devices.append((name, device, dram))

    def run(self, program: Program, order_seed: int = 0) -> None:
        """Run a legal program everywhere; every device must leave the reference's DRAM.

        Raises
        ------
        AssertionError
            With the program and the first difference.
        """
        difference = self.difference(program, order_seed)
        if difference is not None:
            raise AssertionError(f"{difference}\n{self._context(program)}")

    def difference(self, program: Program, order_seed: int = 0) -> str | None:
        """Run a legal program everywhere; the first device that refuses it or leaves other bytes, in one sentence."""
        self.history.append(program.name)
        expected = self.machine.run(program, random_order(program, order_seed))
        for name, device, dram in self.devices:
            dram.data[:] = program.image
            try:
                report = device.launch(program.launch())
            except WeftError as error:
                return f"{name} refused a legal program: {error}"
            if report.instructions != len(program.instructions):
                return f"{name} reports {report.instructions} instructions of {len(program.instructions)}"
            if not np.array_equal(dram.data, expected):
                return f"{name} differs: {describe_difference(program, dram.data, expected)}"
        return None

    def _context(self, program: Program) -> str:
        return f"{program}\nafter, on the same devices: {', '.join(self.history[:-1]) or 'nothing'}"


def clearing_program(config: AcceleratorConfig, dram_base: int = DRAM_BASE) -> Program:
    """Fills every scratchpad with zeros, by padding alone, so that a used device equals a fresh one."""
    depths = {
        Memory.UOP: config.uop_depth,
        Memory.WGT: config.wgt_depth,
        Memory.INP: config.inp_depth,
        Memory.ACC: config.acc_depth,
    }
    depths |= {Memory.PARAM: config.param_depth} if config.epilogue_lanes else {}
    depths |= {Memory.TABLE: 1} if config.table else {}
    loads: list[Instruction] = []
    for memory, depth in depths.items():
        width = min(depth, 65535)
        loads.append(Load(memory=int(memory), x_size=width, y_pad0=1))
        if depth > width:
            loads.append(Load(memory=int(memory), sram=width, x_size=depth - width, y_pad0=1))
    image = np.zeros(DRAM_SIZE, np.uint8)
    program = Program(config, [*loads, Finish()], image, dram_base, {}, dram_base + INSN_REGION[0], "clear")
    program.install()
    return program


def describe_difference(program: Program, actual: Bytes, expected: Bytes) -> str:
    """Where two images differ, and which instructions write there."""
    places = np.flatnonzero(actual != expected)
    first = int(places[0])
    writers = [k for k, entry in enumerate(all_accesses(program)) if entry.writes.get("dram", 0) >> first & 1]
    return (
        f"{places.size} bytes, first at {program.dram_base + first:#x}: {actual[first]:#04x} instead of "
        f"{expected[first]:#04x} (before the launch {program.image[first]:#04x}); instructions that write it: {writers}"
    )
