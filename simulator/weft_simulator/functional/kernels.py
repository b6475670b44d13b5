"""The functional simulator's kernels: LLVM IR written for one configuration, one call an instruction.

Every kernel has the signature ``i64 kernel(ptr state, ptr row)``. ``state`` is an int64 array (`STATE`) of scratchpad
pointers and DRAM bounds, ``row`` the instruction's decoded fields as int64 in `layout` order. The result is an
`kernel.Outcome`; nothing was changed unless it is ``DONE``.

Scratchpads hold what the inner loop wants rather than what DRAM holds:

- ``portable``: inputs as int16; weights as int16, the tile's ``(block_out, block_in)`` matrix as
  ``(block_in / 2, block_out, 2)``, so that two products and their sum are one ``pmaddwd`` (or its like) a lane.
- ``vnni``: inputs as int8 beside their row sums times −128; weights as uint8 offset by 128, as
  ``(block_in / 4, block_out, 4)``. ``vpdpbusd`` multiplies unsigned by signed: Σ (w + 128)·x − 128·Σ x is Σ w·x,
  exactly, because all of it wraps at 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import QUEUE_REGISTERS, Set, SetRegister, settable

from .epilogue import epilogue_kernels
from .jit import compile_module
from .kernel import LANES, VNNI, Kernel, Packing
from .loads import load_kernels
from .loops import loop_kernels
from .stores import store_kernels

_DECLARATIONS = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @llvm.umax.i32(i32, i32)
"""


def _declarations(config: AcceleratorConfig, packing: Packing) -> str:
    lanes = min(LANES, config.batch * config.block_out)
    kind = f"<{lanes} x i32>"
    text = _DECLARATIONS
    for name in ("smin", "smax", "umin"):
        text += f"declare {kind} @llvm.{name}.v{lanes}i32({kind}, {kind})\n"
    if packing is VNNI:
        out = min(LANES, config.block_out)
        result, operand = f"<{out} x i32>", f"<{4 * out} x i8>"
        text += f"declare i32 @llvm.vector.reduce.add.v{config.block_in}i32(<{config.block_in} x i32>)\n"
        text += f"declare {result} @llvm.x86.avx512.vpdpbusd.{32 * out}({result}, {operand}, {operand})\n"
    return text


def _set_kernel(register: SetRegister, config: AcceleratorConfig) -> str:
    """SET of one register: the low bits of the value, with their sign if it has one."""
    k = Kernel(f"set_{register.name.lower()}", Set, config)
    declared = QUEUE_REGISTERS[register]
    low = k.op(f"trunc i64 {k.field('value')} to i{declared.width}")
    held = k.op(f"{'sext' if declared.signed else 'zext'} i{declared.width} {low} to i64")
    k.store("i64", held, k.at(k.state("registers"), int(register), "i64"), 8)
    return k.finish()


def emit(config: AcceleratorConfig, packing: Packing) -> str:
    """The IR of all kernels of a configuration."""
    parts = [_declarations(config, packing), *load_kernels(config, packing), *store_kernels(config)]
    parts += [*epilogue_kernels(config), *loop_kernels(config, packing)]
    parts += [_set_kernel(register, config) for register in sorted(settable(config))]
    return "\n".join(parts)


@lru_cache(maxsize=32)
def kernels(config: AcceleratorConfig, packing: Packing) -> dict[str, Callable[[int, int], int]]:
    """The compiled kernels by name (``load_inp``, ``gemm``, ``alu_shr_imm``, …); arguments are addresses.

    Raises
    ------
    DeviceError
        If llvmlite is not installed.
    """
    return compile_module(emit(config, packing))
