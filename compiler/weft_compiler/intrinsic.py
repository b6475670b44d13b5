"""The hardware's GEMM, declared as a tensor expression, and the structural test whether a contraction contains it."""

from __future__ import annotations

from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import AffineMapAttr, ArrayAttr, IntegerType, MemRefType
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineExpr, AffineMap

from .conv_ir import PARALLEL, REDUCTION, multiply_accumulate

BodySignature = list[tuple[str, tuple[int, ...], dict[str, Attribute], list[Attribute]]]


def body_signature(block: Block) -> BodySignature:
    """The operations of a block with their operands as numbers: equal for equal computations."""
    numbers: dict[SSAValue, int] = {argument: k for k, argument in enumerate(block.args)}
    signature: BodySignature = [("arguments", (), {}, [argument.type for argument in block.args])]
    for op in block.ops:
        operands = tuple(numbers.get(operand, -1) for operand in op.operands)
        numbers.update({result: len(numbers) + k for k, result in enumerate(op.results)})
        signature.append((op.name, operands, op.properties, [result.type for result in op.results]))
    return signature


@dataclass(frozen=True, kw_only=True)
class Intrinsic:
    """A tensor expression on single tiles.

    Parameters
    ----------
    maps : tuple of AffineMap
        Index map of each operand over the intrinsic's own dimensions.
    iterators : tuple
        Parallel or reduction, dimension by dimension.
    tiles : tuple of MemRefType
        Shape and element type of each operand's tile.
    body : Region
        What happens at one point.
    """

    maps: tuple[AffineMap, ...]
    iterators: tuple[IteratorTypeAttr, ...]
    tiles: tuple[MemRefType, ...]
    body: Region

    def outer_maps(self, generic: GenericOp) -> ArrayAttr[AffineMapAttr] | None:
        """The index maps over the dimensions outside the intrinsic if a contraction contains it, otherwise None."""
        own = self.maps[0].num_dims
        maps = [attr.data for attr in generic.indexing_maps]
        outer = maps[0].num_dims - own
        if outer < 0 or len(maps) != len(self.maps):
            return None
        if tuple(generic.iterator_types.data[outer:]) != self.iterators:
            return None
        if body_signature(generic.body.block) != body_signature(self.body.block):
            return None
        for whole, mine, operand, tile in zip(maps, self.maps, generic.operands, self.tiles, strict=True):
            rank = len(mine.results)
            shifted = tuple(
                AffineExpr.dimension(outer + r.position) for r in mine.results if isinstance(r, AffineDimExpr)
            )
            if whole.results[-rank:] != shifted or not _has_tile(operand, tile):
                return None
            if any(d >= outer for result in whole.results[:-rank] for d in result.used_dims()):
                return None
        return ArrayAttr(AffineMapAttr(AffineMap(outer, 0, m.results[: -len(i.results)])) for m, i in
                         zip(maps, self.maps, strict=True))  # fmt: skip


def _has_tile(operand: SSAValue, tile: MemRefType) -> bool:
    assert isinstance(operand.type, MemRefType)
    shape = tile.get_shape()
    return operand.type.element_type == tile.element_type and operand.type.get_shape()[-len(shape) :] == shape


def gemm_intrinsic(config: AcceleratorConfig) -> Intrinsic:
    """``acc[b, o] += Σᵢ inp[b, i] · wgt[o, i]``."""
    batch, block_out, block_in = (AffineExpr.dimension(d) for d in range(3))
    inp, wgt, acc = IntegerType(config.inp_bits), IntegerType(config.wgt_bits), IntegerType(config.acc_bits)
    return Intrinsic(
        maps=(
            AffineMap(3, 0, (batch, block_in)),
            AffineMap(3, 0, (block_out, block_in)),
            AffineMap(3, 0, (batch, block_out)),
        ),
        iterators=(PARALLEL, PARALLEL, REDUCTION),
        tiles=(
            MemRefType(inp, [config.batch, config.block_in]),
            MemRefType(wgt, [config.block_out, config.block_in]),
            MemRefType(acc, [config.batch, config.block_out]),
        ),
        body=multiply_accumulate(inp, wgt, acc),
    )
