"""The vector unit: operations on whole accumulator tiles."""

from __future__ import annotations

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import BASE_ALU_OPS, Alu, AluOp, Memory, Queue, field_limits

from ... import te
from ...errors import CompileError
from ...te.intrinsic import declared
from ..boxes import Linear
from ..emitter import Emitter, loop_columns
from ..expand import Expanded
from ..gemm import Mode, TileProduct
from ..intrinsic import AcceleratorIntrinsic
from ..operations import Operand, Operation
from ..stream import Touch
from .tiles import shape, tile

_LEAST, _MOST = field_limits(Alu, "imm")
IMMEDIATES = range(_LEAST, _MOST + 1)
"""What fits the instruction's immediate."""

COMMUTATIVE = (AluOp.MIN, AluOp.MAX, AluOp.ADD, AluOp.MUL)

REDUCTIONS = {AluOp.MIN: te.min, AluOp.MAX: te.max, AluOp.ADD: te.sum}
"""The operations that can merge any number of tiles into one."""


@declared
def alu_immediate(config: AcceleratorConfig, op: AluOp, immediate: int) -> AcceleratorIntrinsic:
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
    )
    inputs = () if op is AluOp.COPY else (source,)
    return _intrinsic(config, op, f"alu.{op.name.lower()}({immediate})", acc, inputs, immediate)


@declared
def alu(config: AcceleratorConfig, op: AluOp) -> AcceleratorIntrinsic:
    """``acc[b, o] = op(first[b, o], second[b, o])``.

    Raises
    ------
    CompileError
        If the configuration lacks the operation.
    """
    first, second = tile(config, "acc", "first"), tile(config, "acc", "second")
    acc = te.compute(shape(config, "acc"), lambda b, o: _apply(op, first[b, o], second[b, o]), "acc")
    return _intrinsic(config, op, f"alu.{op.name.lower()}", acc, (second,) if op is AluOp.COPY else (first, second))


@declared
def alu_reduce(config: AcceleratorConfig, op: AluOp) -> AcceleratorIntrinsic:
    """``acc[b, o] = op(acc[b, o], source[b, o])``, over any number of source tiles.

    Raises
    ------
    CompileError
        If the configuration cannot copy the first of them.
    """
    _require(AluOp.COPY, config)
    source = tile(config, "acc", "source")
    merged = REDUCTIONS[op](source[0, 0], ())
    acc = te.compute(shape(config, "acc"), lambda b, o: REDUCTIONS[op](source[b, o], ()), "acc")
    return AcceleratorIntrinsic(
        f"alu.reduce_{op.name.lower()}",
        acc,
        (source,),
        ("acc", "acc"),
        merged.combiner.identity,
        emit=lambda operation, emitter: _emit_reduction(operation, emitter, op),
    )


def _require(op: AluOp, config: AcceleratorConfig) -> None:
    if op not in BASE_ALU_OPS and not config.alu_extensions:
        raise CompileError(f"alu_extensions = False: the ALU has no {op.name}; enable alu_extensions")


def _intrinsic(
    config: AcceleratorConfig,
    op: AluOp,
    name: str,
    acc: te.Tensor,
    inputs: tuple[te.Tensor, ...],
    immediate: int | None = None,
) -> AcceleratorIntrinsic:
    _require(op, config)
    return AcceleratorIntrinsic(
        name,
        acc,
        inputs,
        ("acc",) * (1 + len(inputs)),
        emit=lambda operation, emitter: _emit(operation, emitter, op, immediate),
        in_place=() if op is AluOp.COPY else tuple(range(len(inputs))) if op in COMMUTATIVE else (0,),
    )


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


def _emit(operation: Operation, emitter: Emitter, op: AluOp, value: int | None) -> None:
    """The ALU writes over one operand: if the first lies elsewhere, it is copied there before."""
    dst = operation.output
    first, second = (None, None)
    if op is AluOp.COPY:
        second = operation.inputs[0] if operation.inputs else None
    else:
        first, *rest = operation.inputs
        second = rest[0] if rest else None
        if second is not None and op in COMMUTATIVE and _same(second, dst):
            first, second = second, first
    order = 0
    if first is not None and not _same(first, dst):
        order = _append(_rows(operation, emitter, dst, first), operation, emitter, AluOp.COPY, None, order)
    _append(_rows(operation, emitter, dst, second or dst), operation, emitter, op, value, order)


def _same(a: Operand, b: Operand) -> bool:
    return a.tile.factors == b.tile.factors and bool(np.array_equal(a.tile.base, b.tile.base))


def _rows(operation: Operation, emitter: Emitter, dst: Operand, src: Operand) -> Expanded:
    none = Linear(np.zeros(operation.steps, np.int64), (0,) * len(operation.extents))
    product = TileProduct(operation.extents, (dst.tile, src.tile, none), operation.guards)
    return emitter.accumulations(product, operation)


def _append(rows: Expanded, operation: Operation, emitter: Emitter, op: AluOp, value: int | None, order: int) -> int:
    """Add the instructions, those of one step from ``order`` on; returns the next."""
    _require(op, emitter.config)
    rows = Expanded(rows.step, rows.order + order, rows.columns)
    count = len(rows.step)
    columns = loop_columns(rows, ("dst", "src")) | {"alu_op": np.full(count, int(op))}
    if value is not None:
        columns |= {"use_imm": np.ones(count, np.int64), "imm": np.full(count, value)}
    touch = Touch(Memory.ACC, rows.columns["dst_first"], rows.columns["dst_end"], writes=True)
    emitter.append(Alu, Queue.COMPUTE, operation, rows, [touch], columns, kernel=rows.columns["kernel"])
    return int(rows.order.max(initial=-1)) + 1


def _emit_reduction(operation: Operation, emitter: Emitter, op: AluOp) -> None:
    """The first tile is copied, the others are merged into it."""
    none = Linear(np.zeros(operation.steps, np.int64), (0,) * len(operation.extents))
    (src,) = operation.inputs
    tiles = (operation.output.tile, src.tile, none)
    product = TileProduct(operation.extents, tiles, operation.guards, operation.omits)
    rows = emitter.products(product, operation, overwrites=True)
    mode = rows.columns["mode"]
    if (mode == Mode.RESET.value).any():
        raise CompileError(f"{operation.output.buffer.name}: no tile of the reduction is there for every element")
    for chosen, kind in ((mode == Mode.OVERWRITE.value, AluOp.COPY), (mode == Mode.ACCUMULATE.value, op)):
        _append(rows.only(chosen), operation, emitter, kind, None, 0)
