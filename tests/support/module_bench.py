"""What the cocotb benches of single modules share: a module with its memory, its command queue and its neighbours."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiRamRead, AxiReadBus
from weft_hardware.encoding import encode
from weft_hardware.isa import Instruction, Memory
from weft_hardware.latencies import PAGE_BYTES
from weft_simulator.lockstep.reference import Machine

from .cocotb_ports import PAUSES, AxiWatch, Source, TokenSide, beats_of, pause_memory
from .single_modules import CONFIG

RAM_BYTES = 1 << 21
PATIENCE = 10_000
"""Cycles without anything new after which something hangs."""

ALL_OF_THEM = "WEFT_WHOLE_CROSSING" in os.environ

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")

Case = TypeVar("Case")


def share(cases: Sequence[Case], idle: str, backpressure: str) -> Sequence[Case]:
    """A pair of pauses takes its share of the cases, and all pairs together every case; or each pair takes all."""
    if ALL_OF_THEM:
        return cases
    names = list(PAUSES)
    return cases[names.index(idle) * len(names) + names.index(backpressure) :: len(names) ** 2]


def generator(*names: object) -> random.Random:
    """Of the bench's seed, which its test prints, and of the case."""
    return random.Random("/".join(map(str, (cocotb.RANDOM_SEED, *names))))


def random_flags(rng: random.Random, names: Iterable[str]) -> dict[str, bool]:
    return {name: rng.random() < 0.3 for name in names}


class ModuleBench:
    """One of the modules of `single_modules`; the others sleep.

    Parameters
    ----------
    neighbours : mapping
        For each token port the flags that pop from it and push to it.
    """

    def __init__(
        self, dut: Any, name: str, rng: random.Random, idle: str, backpressure: str, neighbours: dict[str, str]
    ) -> None:
        self.dut, self.name, self.rng = dut, name, rng
        self.clock = dut.clk
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        prefix = f"{name}_mem_"
        writes = hasattr(dut, f"{prefix}_awvalid")
        bus, memory = (AxiBus, AxiRam) if writes else (AxiReadBus, AxiRamRead)
        self.ram = memory(bus.from_prefix(dut, prefix), dut.clk, dut.rst, size=RAM_BYTES)
        self.watch = AxiWatch(dut, prefix, CONFIG)
        self._pauses = idle, backpressure
        self.machine = Machine(CONFIG)
        self.machine.dram = bytearray(rng.randbytes(RAM_BYTES))
        self.neighbours = {
            side: TokenSide(dut, f"{name}_{port}", rng, idle, backpressure) for side, port in neighbours.items()
        }
        self.pushed = dict.fromkeys(neighbours, 0)

    def signal(self, name: str) -> Any:
        return getattr(self.dut, f"{self.name}_{name}")

    def base(self, memory: Memory, address: int) -> None:
        """Where tile 0 of a memory lies."""
        self.machine.bases[memory] = address
        self.signal(f"base_{memory.name.lower()}").value = address

    async def begin(self) -> None:
        """Reset, then start the memory with its pauses."""
        self.dut.rst.value = 1
        for left_over in ("instruction__valid", "start"):
            # A test that failed stopped anywhere.
            if hasattr(self.dut, f"{self.name}_{left_over}"):
                self.signal(left_over).value = 0
        await ClockCycles(self.clock, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.clock, 1)
        self.ram.write(0, bytes(self.machine.dram))
        pause_memory(self.ram, *self._pauses, self.rng)
        cocotb.start_soon(self.watch.run())

    async def run(
        self,
        instructions: Sequence[Instruction],
        each_cycle: Callable[[], None],
        on_push: Callable[[int], None],
        rest: int = 20,
    ) -> None:
        """Launch, send instructions down the queue until all retired, and look on for some cycles more.

        Parameters
        ----------
        each_cycle : callable
            Called after every clock edge.
        on_push : callable
            Called with the number of the instruction whose token is being pushed.
        """
        source = Source(self.dut, f"{self.name}_instruction", PAUSES[self._pauses[0]](self.rng))
        words = encode(list(instructions), CONFIG)
        source.left.extend(int.from_bytes(word.tobytes(), "little") for word in words)
        pops = {side: [getattr(i, f"pop_{side}") for i in instructions] for side in self.neighbours}
        pushes = {
            side: [n for n, i in enumerate(instructions) if getattr(i, f"push_{side}")] for side in self.neighbours
        }
        for side, neighbour in self.neighbours.items():
            neighbour.give(sum(pops[side]))
        taken = reports = 0
        self.signal("clear").value = 1
        await RisingEdge(self.clock)
        self.signal("clear").value = 0
        retire, retired, raised = self.signal("retire"), self.signal("status__retired"), self.signal("fault__raised")
        patience = PATIENCE
        while patience:
            await RisingEdge(self.clock)
            patience = PATIENCE if int(retire.value) else patience - 1
            assert not int(raised.value), f"fault {int(self.signal('fault__cause').value)}"
            taken += source.step()
            reports += int(retire.value)
            for side, neighbour in self.neighbours.items():
                if neighbour.step():
                    assert self.pushed[side] < len(pushes[side]), f"a token too many for {side}"
                    on_push(pushes[side][self.pushed[side]])
                    self.pushed[side] += 1
                needed = sum(pops[side][:taken])
                assert neighbour.popped >= needed, f"instruction {taken - 1} began before its token of {side} was there"
            each_cycle()
            assert reports <= taken
            if reports == len(instructions):
                rest -= 1
                if not rest:
                    break
        else:
            raise AssertionError(f"{reports} of {len(instructions)} instructions retired, {taken} were taken")
        assert int(retired.value) == len(instructions)
        assert self.pushed == {side: len(pushes[side]) for side in pushes}
        assert {side: neighbour.popped for side, neighbour in self.neighbours.items()} == {
            side: sum(pops[side]) for side in pops
        }

    def check_reads(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Each beat that holds a byte asked for was read, and no other."""
        needed = beats_of(ranges, CONFIG)
        assert self.watch.beats_read() == needed, sorted(self.watch.beats_read() ^ needed)

    def rows(self, insn: Any) -> list[tuple[int, int]]:
        """The byte ranges of a block's rows in DRAM."""
        memory = Memory(insn.memory)
        size, base = self.machine.tile_bytes(memory), self.machine.bases[memory]
        starts = [base + (insn.dram + y * insn.x_stride) * size for y in range(insn.y_size if insn.x_size else 0)]
        return [(start, start + insn.x_size * size) for start in starts]


def tile_in_page(tile: int, memory: Memory, machine: Machine, page: int) -> int:
    """A tile's number counted from the begin of a page; from its end if negative."""
    per_page = PAGE_BYTES // machine.tile_bytes(memory)
    return page * per_page + tile % per_page
