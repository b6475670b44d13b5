"""`accel`: the accelerator's DMA, GEMM and store on tiles, ordered by dependency tokens.

A scratchpad buffer is a memref ``slots × tiles × tile shape`` in the memory space ``"inp"``, ``"wgt"`` or ``"acc"``.
The operations use its slots in turn; a *tile* is the box that lies dense at the front of the current slot. Every
operation that runs in a queue gives a ``!accel.token`` when it is done and runs after the tokens it waits for.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    ArrayAttr,
    DenseArrayBase,
    IndexType,
    IntegerAttr,
    MemRefType,
    StringAttr,
    i64,
)
from xdsl.ir import Dialect, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

TILE_RANK = 2
"""Trailing dimensions of every memref that make up one hardware tile."""


@irdl_attr_definition
class TokenType(ParametrizedAttribute, TypeAttribute):
    """The completion of an operation, on which another can wait."""

    name = "accel.token"


token = TokenType()


def space(value: SSAValue) -> str | None:
    """The scratchpad a memref lies in, None for DRAM."""
    assert isinstance(value.type, MemRefType)
    memory_space = value.type.memory_space
    return memory_space.data if isinstance(memory_space, StringAttr) else None


def constant_value(value: SSAValue) -> int | None:
    """The value of an index constant, None of anything else."""
    attr = value.owner.value if isinstance(value.owner, ConstantOp) else None
    return int(attr.value.data) if isinstance(attr, IntegerAttr) else None


def tile_type(buffer: MemRefType, sizes: Sequence[SSAValue]) -> MemRefType:
    """The tile of given sizes in a buffer: dimensions are static where the sizes are constants."""
    known = [constant_value(s) for s in sizes]
    shape = [DYNAMIC_INDEX if k is None else k for k in known]
    return MemRefType(buffer.element_type, [*shape, *buffer.get_shape()[-TILE_RANK:]], memory_space=buffer.memory_space)


def _require_space(value: SSAValue, allowed: tuple[str | None, ...], what: str) -> None:
    if space(value) not in allowed:
        names = " or ".join(s or "DRAM" for s in allowed)
        raise VerifyException(f"{what} lies in {space(value) or 'DRAM'}, it must lie in {names}")


def _require_rank(value: SSAValue, rank: int, what: str) -> None:
    assert isinstance(value.type, MemRefType)
    if value.type.get_num_dims() != rank + TILE_RANK:
        raise VerifyException(f"{what} has {value.type.get_num_dims() - TILE_RANK} tile dimensions, expected {rank}")


@irdl_op_definition
class PadOp(IRDLOperation):
    """A tensor seen with zeros around it; nothing is copied."""

    name = "accel.pad"

    source = operand_def(MemRefType)
    low = prop_def(DenseArrayBase.constr(i64))
    high = prop_def(DenseArrayBase.constr(i64))
    result = result_def(MemRefType)

    assembly_format = "$source `low` $low `high` $high attr-dict `:` type($source) `to` type($result)"

    def __init__(self, source: SSAValue, low: Sequence[int], high: Sequence[int]) -> None:
        inner = source.type
        assert isinstance(inner, MemRefType)
        shape = [a + b + c for a, b, c in zip(low, inner.get_shape(), high, strict=True)]
        super().__init__(
            operands=[source],
            properties={"low": DenseArrayBase.from_list(i64, low), "high": DenseArrayBase.from_list(i64, high)},
            result_types=[MemRefType(inner.element_type, shape, memory_space=inner.memory_space)],
        )

    def verify_(self) -> None:
        assert isinstance(self.source.type, MemRefType)
        assert isinstance(self.result.type, MemRefType)
        low, high = self.low.get_values(), self.high.get_values()
        expected = tuple(a + b + c for a, b, c in zip(low, self.source.type.get_shape(), high, strict=True))
        if expected != self.result.type.get_shape():
            raise VerifyException(f"padded shape is {expected}, not {self.result.type.get_shape()}")


@irdl_op_definition
class LoadOp(IRDLOperation):
    """Copy a box of a DRAM tensor into the next slot of a buffer; what lies outside the tensor is zero."""

    name = "accel.load"

    source = operand_def(MemRefType)
    buffer = operand_def(MemRefType)
    offsets = var_operand_def(IndexType())
    sizes = var_operand_def(IndexType())
    waits = var_operand_def(TokenType)
    tile = result_def(MemRefType)
    done = result_def(TokenType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$source `[` $offsets `]` `[` $sizes `]` `into` $buffer (`after` $waits^)? attr-dict "
        "`:` type($source) `,` type($buffer) `to` type($tile) (`waits` type($waits)^)?"
    )

    def __init__(
        self,
        source: SSAValue,
        offsets: Sequence[SSAValue],
        sizes: Sequence[SSAValue],
        buffer: SSAValue,
        waits: Sequence[SSAValue] = (),
    ) -> None:
        assert isinstance(buffer.type, MemRefType)
        super().__init__(
            operands=[source, buffer, offsets, sizes, waits],
            result_types=[tile_type(buffer.type, sizes), token],
        )

    def verify_(self) -> None:
        _require_space(self.source, (None,), "source")
        _require_space(self.buffer, ("inp", "wgt"), "buffer")
        _require_rank(self.source, len(self.offsets), "source")
        _require_rank(self.tile, len(self.sizes), "tile")


@irdl_op_definition
class TileOp(IRDLOperation):
    """The accumulator tile at the front of the next slot of a buffer; nothing is moved."""

    name = "accel.tile"

    buffer = operand_def(MemRefType)
    sizes = var_operand_def(IndexType())
    tile = result_def(MemRefType)

    assembly_format = "$buffer `[` $sizes `]` attr-dict `:` type($buffer) `to` type($tile)"

    def __init__(self, buffer: SSAValue, sizes: Sequence[SSAValue]) -> None:
        assert isinstance(buffer.type, MemRefType)
        super().__init__(operands=[buffer, sizes], result_types=[tile_type(buffer.type, sizes)])

    def verify_(self) -> None:
        _require_space(self.buffer, ("acc",), "buffer")
        _require_rank(self.tile, len(self.sizes), "tile")


@irdl_op_definition
class ResetOp(IRDLOperation):
    """Set every accumulator of a tile to zero."""

    name = "accel.reset"

    tile = operand_def(MemRefType)
    waits = var_operand_def(TokenType)
    done = result_def(TokenType)

    assembly_format = "$tile (`after` $waits^)? attr-dict `:` type($tile) (`waits` type($waits)^)?"

    def __init__(self, tile: SSAValue, waits: Sequence[SSAValue] = ()) -> None:
        super().__init__(operands=[tile, waits], result_types=[token])

    def verify_(self) -> None:
        _require_space(self.tile, ("acc",), "tile")


@irdl_op_definition
class GemmOp(IRDLOperation):
    """``acc[map₂(i)] += inp[map₀(i)] · wgt[map₁(i)]ᵀ`` for every point of a box, tile by tile."""

    name = "accel.gemm"

    inp = operand_def(MemRefType)
    wgt = operand_def(MemRefType)
    acc = operand_def(MemRefType)
    waits = var_operand_def(TokenType)
    maps = prop_def(ArrayAttr[AffineMapAttr])
    done = result_def(TokenType)

    assembly_format = (
        "$inp `,` $wgt `into` $acc `by` $maps (`after` $waits^)? attr-dict "
        "`:` type($inp) `,` type($wgt) `,` type($acc) (`waits` type($waits)^)?"
    )

    def __init__(
        self,
        inp: SSAValue,
        wgt: SSAValue,
        acc: SSAValue,
        maps: ArrayAttr[AffineMapAttr],
        waits: Sequence[SSAValue] = (),
    ) -> None:
        super().__init__(operands=[inp, wgt, acc, waits], properties={"maps": maps}, result_types=[token])

    def verify_(self) -> None:
        if len(self.maps) != 3:
            raise VerifyException(f"{len(self.maps)} maps, expected one for each of inp, wgt and acc")
        names = ("inp", "wgt", "acc")
        for name, operand, attr in zip(names, (self.inp, self.wgt, self.acc), self.maps, strict=True):
            _require_space(operand, (name,), name)
            _require_rank(operand, len(attr.data.results), name)
        if len({attr.data.num_dims for attr in self.maps}) != 1:
            raise VerifyException("the three maps count different dimensions")


@irdl_op_definition
class StoreOp(IRDLOperation):
    """Copy an accumulator tile to a box of a DRAM tensor, all bits of it."""

    name = "accel.store"

    tile = operand_def(MemRefType)
    target = operand_def(MemRefType)
    offsets = var_operand_def(IndexType())
    waits = var_operand_def(TokenType)
    done = result_def(TokenType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$tile `to` $target `[` $offsets `]` (`after` $waits^)? attr-dict "
        "`:` type($tile) `,` type($target) (`waits` type($waits)^)?"
    )

    def __init__(
        self, tile: SSAValue, target: SSAValue, offsets: Sequence[SSAValue], waits: Sequence[SSAValue] = ()
    ) -> None:
        super().__init__(operands=[tile, target, offsets, waits], result_types=[token])

    def verify_(self) -> None:
        _require_space(self.tile, ("acc",), "tile")
        _require_space(self.target, (None,), "target")
        _require_rank(self.target, len(self.offsets), "target")


@irdl_op_definition
class ReadyOp(IRDLOperation):
    """A token of something that never has to be waited for: a slot nobody used before."""

    name = "accel.ready"

    done = result_def(TokenType)

    assembly_format = "attr-dict"

    def __init__(self) -> None:
        super().__init__(result_types=[token])


@irdl_op_definition
class FinishOp(IRDLOperation):
    """The end of the program, after the last store."""

    name = "accel.finish"

    waits = var_operand_def(TokenType)

    assembly_format = "(`after` $waits^)? attr-dict (`:` type($waits)^)?"

    def __init__(self, waits: Sequence[SSAValue] = ()) -> None:
        super().__init__(operands=[waits])


Accel = Dialect("accel", [PadOp, LoadOp, TileOp, ResetOp, GemmOp, StoreOp, ReadyOp, FinishOp], [TokenType])
