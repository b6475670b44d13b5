"""What all kernels share: the state they see, how they end, and an instruction's fields at hand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Instruction, Memory, SetRegister, layout, tile_bytes

from .emitter import Function
from .jit import host_has_vnni

STATE = (
    "uop_dst",
    "uop_src",
    "uop_wgt",
    "inp",
    "inp_sums",
    "wgt",
    "acc",
    "bias",
    "scale",
    "table",
    "registers",
    "dram",
)
"""Slots of the state array; `MEMORY_STATE` of each `Memory` follows."""

MEMORY_STATE = ("base", "window_begin", "window_end")
"""Base register and window ``[begin, end)``, relative to the DRAM's first byte; a window lies in the DRAM."""


def memory_slot(memory: Memory, name: str) -> int:
    """Where one of `MEMORY_STATE` lies in the state array."""
    return len(STATE) + memory * len(MEMORY_STATE) + MEMORY_STATE.index(name)


class Outcome(IntEnum):
    """What a kernel returns."""

    DONE = 0
    OUT_OF_SCRATCHPAD = 1
    OUT_OF_WINDOW = 2
    OUT_OF_PARAMETERS = 3
    """A parameter tile outside its scratchpad."""
    RESIDUAL_OUT_OF_WINDOW = 4


@dataclass(frozen=True)
class Packing:
    """How one variant lays out the operands of GEMM."""

    inp_bits: int
    wgt_bits: int
    group: int
    """Elements along block_in that one multiply-add instruction sums in a lane."""
    wgt_offset: int
    """Added to every stored weight."""


PORTABLE = Packing(inp_bits=16, wgt_bits=16, group=2, wgt_offset=0)
VNNI = Packing(inp_bits=8, wgt_bits=8, group=4, wgt_offset=128)

LANES = 16
"""int32 lanes of the widest vector written; narrower machines split it."""


def packing_for(config: AcceleratorConfig, *, portable: bool) -> Packing:
    """The fastest packing that this CPU and the operand widths allow."""
    fits = config.inp_bits <= 8 and config.wgt_bits <= 8
    return VNNI if fits and not portable and host_has_vnni() else PORTABLE


def queue_register(f: Function, register: SetRegister) -> str:
    """What a queue register holds, as i64; ``%state`` is a parameter of the function."""
    registers = f.load("ptr", f.at("%state", STATE.index("registers"), "i64"), 8)
    return f.load("i64", f.at(registers, int(register), "i64"), 8)


class Kernel(Function):
    """A kernel under construction, with its instruction's fields and the state at hand."""

    def __init__(self, name: str, cls: type[Instruction], config: AcceleratorConfig) -> None:
        super().__init__(f"i64 @{name}(ptr %state, ptr %row)")
        self._columns = list(layout(cls, config))

    def field(self, name: str) -> str:
        return self.load("i64", self.at("%row", self._columns.index(name), "i64"), 8)

    def fields(self, *names: str) -> list[str]:
        return [self.field(name) for name in names]

    def state(self, name: str) -> str:
        return self.load("ptr", self.at("%state", STATE.index(name), "i64"), 8)

    def register(self, register: SetRegister) -> str:
        """What a queue register holds, as i64."""
        return queue_register(self, register)

    def dram_offset(self, memory: Memory, config: AcceleratorConfig) -> str:
        """Byte offset of the instruction's first tile from the start of the DRAM array; may be negative."""
        base = self.memory_state(memory, "base")
        tiles = self.op(f"mul i64 {self.field('dram')}, {tile_bytes(memory, config)}")
        return self.op(f"add i64 {base}, {tiles}")

    def memory_state(self, memory: Memory, name: str) -> str:
        return self.load("i64", self.at("%state", memory_slot(memory, name), "i64"), 8)

    def refuse_outside_window(
        self,
        memory: Memory,
        first: str,
        pitch: str,
        row_bytes: str,
        rows: str,
        outcome: Outcome = Outcome.OUT_OF_WINDOW,
    ) -> None:
        """Return ``outcome`` unless all rows, if there are any, lie in the window; rows never go down."""
        steps = self.op(f"mul i64 {self.op(f'sub i64 {rows}, 1')}, {pitch}")
        end = self.op(f"add i64 {self.op(f'add i64 {first}, {steps}')}, {row_bytes}")
        below = self.op(f"icmp slt i64 {first}, {self.memory_state(memory, 'window_begin')}")
        above = self.op(f"icmp sgt i64 {end}, {self.memory_state(memory, 'window_end')}")
        any_rows = self.op(f"icmp ne i64 {rows}, 0")
        outside = self.op(f"and i1 {any_rows}, {self.op(f'or i1 {below}, {above}')}")
        self.return_if(outside, outcome)

    def finish(self) -> str:
        self.do(f"ret i64 {int(Outcome.DONE)}")
        return self.text()


def refuse_outside_scratchpad(kernel: Kernel, sram: str, tiles: str, depth: int) -> None:
    """Return ``OUT_OF_SCRATCHPAD`` unless a block lies inside."""
    end = kernel.op(f"add i64 {sram}, {tiles}")
    kernel.return_if(kernel.op(f"icmp sgt i64 {end}, {depth}"), Outcome.OUT_OF_SCRATCHPAD)


def splat(f: Function, kind: str, lanes: int, value: str) -> str:
    """A vector of one value."""
    single = f.op(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i32 0")
    return f.op(
        f"shufflevector <{lanes} x {kind}> {single}, <{lanes} x {kind}> poison, <{lanes} x i32> zeroinitializer"
    )
