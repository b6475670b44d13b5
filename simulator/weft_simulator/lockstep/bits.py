"""The encoding once more, packed with Python integers from a table of its own: the tests' second opinion.

The tables list fields from the least significant bit up, as design §3 gives them for VTA. Where a deep scratchpad
widens a field, the fields above it move up within their half.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Alu, Finish, Gemm, GemmOverwrite, Instruction, Load, Set, Store

FLAGS = ["opcode:3", "pop_prev:1", "pop_next:1", "push_prev:1", "push_next:1"]
MEMORY_LOW = [*FLAGS, "memory:3", "sram:16", "dram:32"]
MEMORY_HIGH = ["y_size:16", "x_size:16", "x_stride:16", "y_pad0:4", "y_pad1:4", "x_pad0:4", "x_pad1:4"]
LOOP_LOW = [*FLAGS, "reset:1", "uop_bgn:uop", "uop_end:uop+1", "iter_out:14", "iter_in:14"]
GEMM_HIGH = ["dst_out:acc", "dst_in:acc", "src_out:inp", "src_in:inp", "wgt_out:wgt", "wgt_in:wgt"]
ALU_HIGH = ["dst_out:acc", "dst_in:acc", "src_out:src", "src_in:src", "alu_op:3", "use_imm:1", "imm:16"]

HALVES: dict[type[Instruction], tuple[list[str], list[str]]] = {
    Load: (MEMORY_LOW, MEMORY_HIGH),
    Store: ([*MEMORY_LOW, "mode:6"], MEMORY_HIGH),
    Gemm: (LOOP_LOW, GEMM_HIGH),
    Alu: (LOOP_LOW, ALU_HIGH),
    Finish: (FLAGS, []),
    Set: ([*FLAGS, "register:6"], ["value:32"]),
    GemmOverwrite: (LOOP_LOW, GEMM_HIGH),
}
OPCODES: dict[type[Instruction], int] = {Load: 0, Store: 1, Gemm: 2, Finish: 3, Alu: 4, Set: 5, GemmOverwrite: 6}


def _index_bits(depth: int) -> int:
    bits = 0
    while 1 << bits < depth:
        bits += 1
    return bits


@cache
def widths(config: AcceleratorConfig) -> dict[str, int]:
    """Widths of the fields that depend on a depth."""
    acc = max(11, _index_bits(config.acc_depth))
    inp = max(11, _index_bits(config.inp_depth))
    wgt = max(10, _index_bits(config.wgt_depth))
    uop = max(13, _index_bits(config.uop_depth))
    return {"acc": acc, "inp": inp, "wgt": wgt, "src": max(acc, inp), "uop": uop, "uop+1": uop + 1}


def _sized(fields: list[str], config: AcceleratorConfig) -> list[tuple[str, int]]:
    known = widths(config)
    pairs = (entry.split(":") for entry in fields)
    return [(name, known[width] if width in known else int(width)) for name, width in pairs]


@cache
def instruction_bytes(config: AcceleratorConfig) -> int:
    """16, or more once a half outgrows 64 bits."""
    longest = max(sum(w for _, w in _sized(half, config)) for halves in HALVES.values() for half in halves)
    half_bits = 64
    while half_bits < longest:
        half_bits *= 2
    return half_bits // 4


@cache
def uop_bytes(config: AcceleratorConfig) -> int:
    """4, or 8 once the three indices outgrow 32 bits."""
    known = widths(config)
    return 4 if known["acc"] + known["src"] + known["wgt"] <= 32 else 8


@cache
def field_positions(cls: type[Instruction], config: AcceleratorConfig) -> dict[str, tuple[int, int]]:
    """Offset and width of each field, ``opcode`` among them."""
    positions = {}
    for half, fields in enumerate(HALVES[cls]):
        offset = half * instruction_bytes(config) * 4
        for name, width in _sized(fields, config):
            positions[name] = (offset, width)
            offset += width
    return positions


def instructions_to_bytes(instructions: Iterable[Instruction], config: AcceleratorConfig) -> bytes:
    """Encode a program; values are taken modulo their field's width."""
    size = instruction_bytes(config)
    tables = {cls: field_positions(cls, config) for cls in HALVES}
    chunks = []
    for insn in instructions:
        word = OPCODES[type(insn)]
        values = vars(insn)
        for name, (offset, width) in tables[type(insn)].items():
            if name != "opcode":
                word |= (int(values[name]) & ((1 << width) - 1)) << offset
        chunks.append(word.to_bytes(size, "little"))
    return b"".join(chunks)


def uop_word(config: AcceleratorConfig, dst: int, src: int = 0, wgt: int = 0) -> int:
    """One micro-op as an integer."""
    known = widths(config)
    return dst | src << known["acc"] | wgt << (known["acc"] + known["src"])


def uop_fields(word: int, config: AcceleratorConfig) -> tuple[int, int, int]:
    """The ``dst``, ``src`` and ``wgt`` of a micro-op."""
    known = widths(config)
    acc, src, wgt = known["acc"], known["src"], known["wgt"]
    return word & ((1 << acc) - 1), (word >> acc) & ((1 << src) - 1), (word >> (acc + src)) & ((1 << wgt) - 1)


def uops_to_bytes(uops: Iterable[tuple[int, int, int]], config: AcceleratorConfig) -> bytes:
    """Encode micro-ops given as (dst, src, wgt)."""
    return b"".join(uop_word(config, *uop).to_bytes(uop_bytes(config), "little") for uop in uops)
