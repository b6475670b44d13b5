"""A whole program decoded at once: for each instruction its kernel, its fields, its queue and its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, opcodes, unpack
from weft_hardware.isa import (
    INSTRUCTIONS,
    Alu,
    Finish,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    Opcode,
    Set,
    Store,
    StoreMode,
    alu_operations,
    layout,
    loadable,
    settable,
    storable,
    store_modes,
)
from weft_runtime.schedule import Plan, plan_of

ILLEGAL = "illegal"
"""The kernel name of an instruction that faults as soon as it starts."""

NOTHING = "nothing"
"""The kernel name of FINISH."""


@dataclass(frozen=True)
class Decoded:
    """A program as the interpreter wants it.

    Attributes
    ----------
    kernel : list of str
        Name of the kernel of each instruction, `ILLEGAL` or `NOTHING`.
    rows : int64 array, shape (n, fields)
        Decoded fields in `layout` order of each instruction's class.
    plan : Plan
        Queue and tokens of each instruction.
    """

    kernel: list[str]
    rows: NDArray[np.int64]
    plan: Plan
    finishes: bool


def _memory_kernels(verb: str, columns: dict[str, NDArray[np.int64]], legal: frozenset[Memory]) -> NDArray[np.object_]:
    table = np.full(8, ILLEGAL, object)
    for memory in legal:
        table[memory] = f"{verb}_{memory.name.lower()}"
    return table[columns["memory"]]


def _names(cls: type[Instruction], columns: dict[str, NDArray[np.int64]], config: AcceleratorConfig) -> NDArray:
    """The kernel of each row of one class."""
    if cls is Load:
        return _memory_kernels("load", columns, loadable(config))
    if cls is Store:
        names = _memory_kernels("store", columns, storable(config))
        padded = columns["y_pad0"] | columns["y_pad1"] | columns["x_pad0"] | columns["x_pad1"]
        names[padded != 0] = ILLEGAL
        requantises = names == "store_acc_8bit"
        names[requantises & (columns["mode"] & StoreMode.RESIDUAL != 0)] = "store_acc_8bit_residual"
        names[requantises & (columns["mode"] & ~int(store_modes(config)) != 0)] = ILLEGAL
        return names
    if cls is GemmOverwrite and not config.gemm_overwrite:
        return np.full(len(columns["reset"]), ILLEGAL, object)
    if issubclass(cls, Gemm):
        return np.array([cls.OPCODE.name.lower(), "gemm_reset"], object)[columns["reset"]]
    if cls is Set:
        table = np.full(64, ILLEGAL, object)
        for register in settable(config):
            table[register] = f"set_{register.name.lower()}"
        return table[columns["register"]]
    if cls is Alu:
        table = np.full((8, 2), ILLEGAL, object)
        for op in alu_operations(config):
            table[op] = [f"alu_{op.name.lower()}_reg", f"alu_{op.name.lower()}_imm"]
        return table[columns["alu_op"], columns["use_imm"]]
    kernel = NOTHING if cls is Finish else ILLEGAL
    return np.full(len(columns["pop_prev"]), kernel, object)


def decode_program(program: Words, config: AcceleratorConfig) -> Decoded:
    """Decode every instruction; never refuses one, since a fault belongs to the moment its queue reaches it."""
    codes = opcodes(program)
    width = max(len(layout(cls, config)) for cls in INSTRUCTIONS)
    rows = np.zeros((len(program), width), np.int64)
    kernel = np.full(len(program), ILLEGAL, object)
    for cls in INSTRUCTIONS:
        chosen = np.flatnonzero(codes == cls.OPCODE)
        columns = unpack(cls, program[chosen], config)
        rows[chosen, : len(columns)] = np.stack(list(columns.values()), axis=1)
        kernel[chosen] = _names(cls, columns, config)
    return Decoded(
        kernel=kernel.tolist(),
        rows=rows,
        plan=plan_of(program, config),
        finishes=bool((codes == Opcode.FINISH).any()),
    )
