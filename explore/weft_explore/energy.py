"""Energy from a table: what each access and operation takes, times how many a program makes.

It ranks designs by what they move and compute. Clock trees, control and leakage are not in it, and no FPGA is: the
figures are those of chips.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import exp, log

from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, opcodes, unpack
from weft_hardware.isa import (
    Alu,
    AluOp,
    Gemm,
    Load,
    Memory,
    Opcode,
    Store,
    StoreMode,
    scratchpad_depth,
    tile_bytes,
    uop_bits,
)
from weft_hardware.work import count_work, loop_steps


@dataclass(frozen=True)
class Accesses:
    """What a program makes; they add.

    Parameters
    ----------
    dram_bytes : int
        Read and written, instructions included.
    inp_bytes, wgt_bytes, acc_bytes, uop_bytes, param_bytes : int
        Read from and written to each scratchpad.
    macs : int
        Products, padding to blocks included.
    adds, multiplies : int
        Operations of the vector unit, on 32 bits.
    requantised : int
        Elements that the epilogue makes: a 32-bit addition, a float multiplication and a float addition each.
    """

    dram_bytes: int = 0
    inp_bytes: int = 0
    wgt_bytes: int = 0
    acc_bytes: int = 0
    uop_bytes: int = 0
    param_bytes: int = 0
    macs: int = 0
    adds: int = 0
    multiplies: int = 0
    requantised: int = 0

    def __add__(self, other: Accesses) -> Accesses:
        return Accesses(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def count_accesses(words: Words, config: AcceleratorConfig) -> Accesses:
    """Count an encoded program, whose instructions are legal; shape (n, instruction_bits / 64)."""
    codes = opcodes(words)
    work = count_work(words, config)
    inp, wgt, acc = (tile_bytes(memory, config) for memory in (Memory.INP, Memory.WGT, Memory.ACC))
    gemm = unpack(Gemm, words[(codes == Opcode.GEMM) | (codes == Opcode.GEMM_OVERWRITE)], config)
    overwrites = codes[(codes == Opcode.GEMM) | (codes == Opcode.GEMM_OVERWRITE)] == Opcode.GEMM_OVERWRITE
    steps, resets = loop_steps(gemm), gemm["reset"] != 0
    products, cleared = int(steps[~resets].sum()), int(steps[resets].sum())
    summed = int(steps[~resets & ~overwrites].sum())
    alu = unpack(Alu, words[codes == Opcode.ALU], config)
    alu_steps, paired = loop_steps(alu), alu["use_imm"] == 0
    vectors = int(alu_steps.sum())
    elements = config.batch * config.block_out
    multiplied = int(alu_steps[alu["alu_op"] == AluOp.MUL].sum())
    load, store = unpack(Load, words[codes == Opcode.LOAD], config), unpack(Store, words[codes == Opcode.STORE], config)
    loaded = {
        memory: int(_tiles(load)[load["memory"] == memory].sum())
        for memory in (Memory.INP, Memory.WGT, Memory.ACC, Memory.ACC_8BIT, Memory.UOP, Memory.PARAM)
    }
    stored = int((store["x_size"] * store["y_size"]).sum())
    narrow = store["memory"] == Memory.ACC_8BIT
    requantised = int((store["x_size"] * store["y_size"])[narrow].sum())
    residual = narrow & (store["mode"] & StoreMode.RESIDUAL != 0)
    adds = (vectors - multiplied) * elements + int((store["x_size"] * store["y_size"])[residual].sum()) * elements
    uop = uop_bits(config) // 8
    param = tile_bytes(Memory.PARAM, config)
    return Accesses(
        dram_bytes=work.read_bytes + work.write_bytes,
        inp_bytes=(products + loaded[Memory.INP]) * inp,
        wgt_bytes=(products + loaded[Memory.WGT]) * wgt,
        acc_bytes=(products + summed + cleared + 2 * vectors + int(alu_steps[paired].sum()) + stored) * acc
        + (loaded[Memory.ACC] + loaded[Memory.ACC_8BIT]) * acc,
        uop_bytes=(products + cleared + vectors + loaded[Memory.UOP]) * uop,
        param_bytes=(requantised + loaded[Memory.PARAM]) * param,
        macs=products * config.macs,
        adds=adds,
        multiplies=multiplied * elements,
        requantised=requantised * elements,
    )


def _tiles(columns):
    """Tiles that LOADs write, padding included."""
    rows = columns["y_pad0"] + columns["y_size"] + columns["y_pad1"]
    return (columns["x_pad0"] + columns["x_size"] + columns["x_pad1"]) * rows * (columns["x_size"] != 0)


@dataclass(frozen=True)
class Technology:
    """What things take, in pJ.

    Parameters
    ----------
    add8, add32, multiply8, multiply32, float_add, float_multiply : float
        One operation on 8 or 32 bits.
    sram : dict
        One access of 64 bits by the memory's bytes; between and beyond by a power law.
    dram : float
        One access of 64 bits.
    """

    name: str
    source: str
    add8: float
    add32: float
    multiply8: float
    multiply32: float
    float_add: float
    float_multiply: float
    sram: dict[int, float]
    dram: float

    def sram_byte(self, nbytes: int) -> float:
        """pJ a byte of a memory of this size."""
        points = sorted(self.sram.items())
        low, high = next(((a, b) for a, b in pairwise(points) if nbytes <= b[0]), (points[-2], points[-1]))
        slope = log(high[1] / low[1]) / log(high[0] / low[0])
        return low[1] * exp(slope * log(max(nbytes, 64) / low[0])) / 8


TECHNOLOGIES: dict[str, Technology] = {
    technology.name: technology
    for technology in (
        # Which of the figures were compared with a second source is in docs/exploration.md.
        Technology(
            "45nm",
            "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, figure 1.1.9",
            0.03, 0.1, 0.2, 3.1, 0.9, 3.7,
            {8 << 10: 10.0, 32 << 10: 20.0, 1 << 20: 100.0},
            1300.0,
        ),
        Technology(
            "7nm",
            "N. Jouppi et al., Ten lessons from three generations shaped Google's TPUv4i, ISCA 2021, table 2",
            0.007, 0.03, 0.07, 1.48, 0.38, 1.31,
            {8 << 10: 7.5, 32 << 10: 8.5, 1 << 20: 14.0},
            1300.0,
        ),
    )
}  # fmt: skip
"""By name."""


def energy_uj(accesses: Accesses, config: AcceleratorConfig, technology: Technology) -> float:
    """Microjoules of what a program makes."""
    sizes = {
        "inp_bytes": scratchpad_depth(Memory.INP, config) * tile_bytes(Memory.INP, config),
        "wgt_bytes": scratchpad_depth(Memory.WGT, config) * tile_bytes(Memory.WGT, config),
        "acc_bytes": scratchpad_depth(Memory.ACC, config) * tile_bytes(Memory.ACC, config),
        "uop_bytes": config.uop_depth * uop_bits(config) // 8,
        "param_bytes": config.param_depth * tile_bytes(Memory.PARAM, config),
    }
    picojoules = accesses.dram_bytes * technology.dram / 8
    picojoules += sum(getattr(accesses, name) * technology.sram_byte(size) for name, size in sizes.items())
    picojoules += accesses.macs * (technology.multiply8 * config.inp_bits * config.wgt_bits / 64 + technology.add32)
    picojoules += accesses.adds * technology.add32 + accesses.multiplies * technology.multiply32
    each = technology.add32 + technology.float_multiply + technology.float_add
    picojoules += accesses.requantised * each
    return picojoules / 1e6
