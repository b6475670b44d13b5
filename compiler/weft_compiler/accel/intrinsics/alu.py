"""The vector unit: operations on whole accumulator tiles."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import BASE_ALU_OPS, AluOp

from ... import te
from ...errors import CompileError
from .tiles import shape, tile

IMMEDIATES = range(-(1 << 15), 1 << 15)
"""What fits the instruction's immediate."""


def alu_immediate(config: AcceleratorConfig, op: AluOp, immediate: int) -> te.Intrinsic:
    """``acc[b, o] = op(source[b, o], immediate)``.

    Raises
    ------
    CompileError
        If the immediate does not fit, or the configuration lacks the operation.
    """
    if immediate not in IMMEDIATES:
        raise CompileError(
            f"immediate {immediate} of {op.name} does not fit 16 bits ({IMMEDIATES[0]}..{IMMEDIATES[-1]}); "
            f"load a tile of it and use the operation of two accumulators"
        )
    source = tile(config, "acc", "source")
    acc = te.compute(
        shape(config, "acc"), lambda b, o: _apply(op, source[b, o], te.const(immediate, source.dtype)), "acc"
    )  # fmt: skip
    return _intrinsic(config, op, f"alu.{op.name.lower()}({immediate})", acc, (source,))


def alu(config: AcceleratorConfig, op: AluOp) -> te.Intrinsic:
    """``acc[b, o] = op(first[b, o], second[b, o])``.

    Raises
    ------
    CompileError
        If the configuration lacks the operation.
    """
    first, second = tile(config, "acc", "first"), tile(config, "acc", "second")
    acc = te.compute(shape(config, "acc"), lambda b, o: _apply(op, first[b, o], second[b, o]), "acc")
    inputs = (second,) if op is AluOp.COPY else (first, second)
    return _intrinsic(config, op, f"alu.{op.name.lower()}", acc, inputs)


def _intrinsic(
    config: AcceleratorConfig, op: AluOp, name: str, acc: te.Tensor, inputs: tuple[te.Tensor, ...]
) -> te.Intrinsic:
    if op not in BASE_ALU_OPS and not config.alu_extensions:
        raise CompileError(f"alu_extensions = False: the ALU has no {op.name}; enable alu_extensions")
    return te.Intrinsic(name, acc, inputs, ("acc",) * (1 + len(inputs)))


def _apply(op: AluOp, a: te.Expr, b: te.Expr) -> te.Expr:
    match op:
        case AluOp.MIN:
            return te.minimum(a, b)
        case AluOp.MAX:
            return te.maximum(a, b)
        case AluOp.ADD:
            return a + b
        case AluOp.SUB:
            return a - b
        case AluOp.SHR:
            return a >> b
        case AluOp.MUL:
            return a * b
        case AluOp.COPY:
            return b
