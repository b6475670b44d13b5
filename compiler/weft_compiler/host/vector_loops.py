"""Which loops run on vectors, and what is then one value for all lanes, or counts up from lane to lane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdsl.dialects import arith, math, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType
from xdsl.ir import Operation, SSAValue

VECTOR_BYTES = 64
"""Of the widest values; narrower CPUs take several instructions for one."""

_LANEWISE = (
    *(arith.AddiOp, arith.SubiOp, arith.MuliOp, arith.DivUIOp, arith.RemUIOp, arith.DivSIOp, arith.RemSIOp),
    *(arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.ShLIOp, arith.ShRSIOp, arith.ShRUIOp),
    *(arith.MaxSIOp, arith.MinSIOp, arith.MaxUIOp, arith.MinUIOp, arith.MaximumfOp, arith.MinimumfOp),
    *(arith.AddfOp, arith.SubfOp, arith.MulfOp, arith.DivfOp, arith.CmpiOp, arith.CmpfOp, arith.SelectOp),
    *(arith.ExtSIOp, arith.ExtUIOp, arith.TruncIOp, arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp),
    *(arith.BitcastOp, arith.IndexCastOp, arith.ConstantOp),
    *(math.RoundEvenOp, math.ExpOp, math.LogOp, math.PowFOp, math.SqrtOp, math.TanhOp, math.FmaOp),
)


@dataclass(frozen=True)
class VectorLoop:
    """A loop whose iterations are done some at a time.

    Parameters
    ----------
    begin, end : int
        Its bounds.
    lanes : int
        Iterations that are done at once.
    steps : mapping
        How much a value grows from iteration to iteration; what is not in it differs in no such way.
    """

    begin: int
    end: int
    lanes: int
    steps: Mapping[SSAValue, int]

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """Begin, end and lanes: whole vectors, then what is left in powers of two."""
        lanes, begin = self.lanes, self.begin
        while lanes:
            end = begin + (self.end - begin) // lanes * lanes
            if end > begin:
                yield begin, end, lanes
            begin, lanes = end, lanes // 2


def vector_loop(loop: scf.ForOp) -> VectorLoop | None:
    """How a loop runs on vectors.

    None if it does not: other loops or conditions inside, bounds that are no constants, or elements that do not lie
    side by side.
    """
    bounds = [_constant(value) for value in (loop.lb, loop.ub, loop.step)]
    if loop.iter_args or None in bounds[:2] or bounds[2] != 1:
        return None
    begin, end = (bound for bound in bounds[:2] if bound is not None)
    inside = set(loop.body.block.ops)
    steps: dict[SSAValue, int] = {loop.body.block.args[0]: 1}

    def step(value: SSAValue) -> int | None:
        return steps.get(value) if value in steps or value.owner in inside else 0

    widest = 1
    for op in loop.body.block.ops:
        if isinstance(op, scf.YieldOp):
            continue
        if isinstance(op, memref.LoadOp | memref.StoreOp):
            grows = [step(i) for i in op.indices]
            uniform = not any(grow != 0 for grow in grows)
            beside = bool(grows) and grows[-1] == 1 and not any(grow != 0 for grow in grows[:-1])
            if not (beside or (uniform and isinstance(op, memref.LoadOp))):
                return None
            if uniform:
                steps[op.results[0]] = 0
            memory = op.memref.type
            widest = max(widest, _bytes(memory.element_type))  # type: ignore[attr-defined]
            continue
        if not isinstance(op, _LANEWISE):
            return None
        grown = _grown(op, [step(operand) for operand in op.operands])
        if grown is not None:
            steps[op.results[0]] = grown
        else:
            widest = max(widest, _bytes(op.results[0].type))
    return VectorLoop(begin, end, VECTOR_BYTES // widest, steps)


def _constant(value: SSAValue) -> int | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    return None


def _grown(op: Operation, steps: list[int | None]) -> int | None:
    """The step of a result; indexes never overflow, so that sums and multiples of what counts up count up."""
    if all(step == 0 for step in steps):
        return 0
    if not isinstance(op.results[0].type, IndexType) or None in steps:
        return None
    known = [step for step in steps if step is not None]
    match op:
        case arith.AddiOp():
            return known[0] + known[1]
        case arith.SubiOp():
            return known[0] - known[1]
        case arith.MuliOp():
            for k in (0, 1):
                if (factor := _constant(op.operands[k])) is not None:
                    return known[1 - k] * factor
    return None


def _bytes(type_: object) -> int:
    if isinstance(type_, IndexType):
        return 8
    if isinstance(type_, IntegerType):
        return -(-type_.width.data // 8)
    return 4
