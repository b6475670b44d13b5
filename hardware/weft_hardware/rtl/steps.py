"""What a GEMM or ALU instruction asks of the compute pipeline, and what one step of it is."""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Shape, Value
from amaranth.lib import data

from ..config import AcceleratorConfig
from ..isa import QUEUE_REGISTERS, Alu, Gemm, Opcode, SetRegister, layout
from .layouts import instruction_layout

IMMEDIATE_BITS = 16

COUNTS = ("uop_bgn", "uop_end", "iter_out", "iter_in")
OFFSETS = tuple(f"{operand}_{loop}" for operand in ("dst", "src", "wgt") for loop in ("out", "in"))


def operation_layout() -> data.StructLayout:
    """What is done at every step; ``immediate`` is the ALU's second operand with ``use_imm``."""
    return data.StructLayout(
        {"gemm": 1, "reset": 1, "alu_op": 3, "use_imm": 1, "immediate": Shape(IMMEDIATE_BITS, signed=True)}
    )


def loops_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One GEMM or ALU instruction: its loop nest and what is done at every step.

    Only with ``gemm_overwrite``: ``overwrite`` says that steps may overwrite, ``mask`` is the register OVERWRITE.
    """
    widths = {name: position.width for name, position in layout(Gemm, config).items()}
    fields = {name: widths[name] for name in (*COUNTS, *OFFSETS)}
    fields["src_out"] = fields["src_in"] = config.src_index_bits
    if config.gemm_overwrite:
        fields |= {"overwrite": 1, "mask": QUEUE_REGISTERS[SetRegister.OVERWRITE].width}
    return data.StructLayout({**fields, "operation": operation_layout()})


def access_layout(config: AcceleratorConfig) -> data.StructLayout:
    """The indices of one step; ``first`` marks the first of the two beats of a register-register ALU step.

    With ``gemm_overwrite``, ``overwrite`` marks a step whose sums replace the accumulator.
    """
    return data.StructLayout(
        {
            "dst": config.acc_index_bits,
            "src": config.src_index_bits,
            "wgt": config.wgt_index_bits,
            "first": 1,
            **({"overwrite": 1} if config.gemm_overwrite else {}),
        }
    )


def reads_src(operation: data.View) -> Value:
    """Whether a step reads ``src`` (of a GEMM also ``wgt``), so that its index counts."""
    return Mux(operation.gemm, ~operation.reset, ~operation.use_imm)


def is_paired(operation: data.View) -> Value:
    """Whether a step takes `latencies.PAIRED_BEATS` instead of one: a register-register ALU operation."""
    return ~operation.gemm & ~operation.use_imm


def decode_loops(word: Value, config: AcceleratorConfig) -> tuple[dict[str, Value], dict[str, Value]]:
    """The loop nest of a GEMM or ALU instruction word and its operation, by the names of their layouts.

    Any other instruction has no steps. ``mask`` does not come from the word.
    """
    gemm, alu = (instruction_layout(cls, config)(word) for cls in (Gemm, Alu))
    overwrites = gemm.opcode == Opcode.GEMM_OVERWRITE if config.gemm_overwrite else Const(0)
    is_gemm = (gemm.opcode == Opcode.GEMM) | overwrites
    loops: dict[str, Value] = {name: gemm[name] for name in (*COUNTS, "wgt_out", "wgt_in")}
    loops |= {name: Mux(is_gemm, gemm[name], alu[name]) for name in ("dst_out", "dst_in", "src_out", "src_in")}
    loops["iter_out"] = Mux(is_gemm | (alu.opcode == Opcode.ALU), gemm.iter_out, 0)
    if config.gemm_overwrite:
        loops["overwrite"] = overwrites & ~gemm.reset
    operation: dict[str, Value] = {
        "gemm": is_gemm,
        "reset": gemm.reset,
        "alu_op": alu.alu_op,
        "use_imm": alu.use_imm,
        "immediate": alu.imm,
    }
    return loops, operation
