"""Cut a convolution into tile loops with explicit scratchpad buffers and DMA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from weft_hardware.isa import Memory
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import affine, arith, func, memref, scf
from xdsl.dialects.builtin import AffineMapAttr, IndexType, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Block, SSAValue
from xdsl.ir.affine import AffineExpr, AffineMap
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from ..conv_ir import LOOPS, contraction, zero
from ..dialects import accel
from ..tiling import Tiling

SPACES = {Memory.INP: "inp", Memory.WGT: "wgt", Memory.ACC: "acc"}


def coefficients(expression: AffineExpr, dims: int) -> list[int]:
    """The factor of each dimension in a linear expression."""
    origin = expression.eval([0] * dims, [])
    return [expression.eval([int(k == d) for k in range(dims)], []) - origin for d in range(dims)]


@dataclass
class _LoopNest:
    """What the builder knows while it descends the nest: a value for each loop's start and tile size."""

    constants: Builder
    builder: Builder
    tiling: Tiling
    maps: list[AffineMap]
    starts: dict[str, SSAValue] = field(default_factory=dict)
    sizes: dict[str, SSAValue] = field(default_factory=dict)
    known: dict[int, SSAValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = dict.fromkeys(LOOPS, self.constant(0))
        self.sizes = {loop: self.constant(min(self.tiling.tiles[loop], self.tiling.extents[loop])) for loop in LOOPS}

    def constant(self, value: int) -> SSAValue:
        """An index constant at the beginning of the function."""
        if value not in self.known:
            constant = self.constants.insert(arith.ConstantOp.from_int_and_width(value, IndexType()))
            constant.result.name_hint = f"c{value}" if value >= 0 else f"minus{-value}"
            self.known[value] = constant.result
        return self.known[value]

    def apply(self, factors: dict[str, int], operands: dict[str, SSAValue], offset: int) -> SSAValue:
        """``Σ factor · operand + offset``, folded where the operands are constants."""
        variable = []
        for loop, factor in factors.items():
            known = accel.constant_value(operands[loop])
            if known is None:
                variable.append((operands[loop], factor))
            else:
                offset += factor * known
        if not variable:
            return self.constant(offset)
        if offset == 0 and len(variable) == 1 and variable[0][1] == 1:
            return variable[0][0]
        expression = sum(
            (AffineExpr.dimension(k) * factor for k, (_, factor) in enumerate(variable)), AffineExpr.constant(offset)
        )
        attr = AffineMapAttr(AffineMap(len(variable), 0, (expression,)))
        return self.builder.insert(affine.ApplyOp([value for value, _ in variable], attr)).result

    def box(self, operand: Memory, low: Sequence[int]) -> tuple[list[SSAValue], list[SSAValue]]:
        """Offsets and sizes of an operand's tile, in tiles of its tensor; ``low`` is its padding."""
        index_map = self.maps[list(SPACES).index(operand)]
        offsets, sizes = [], []
        for expression, pad in zip(index_map.results[: -accel.TILE_RANK], low, strict=False):
            factors = {
                loop: factor
                for loop, factor in zip(LOOPS, coefficients(expression, index_map.num_dims), strict=False)
                if factor
            }
            offsets.append(self.apply(factors, self.starts, -pad))
            sizes.append(self.apply(factors, self.sizes, 1 - sum(factors.values())))
        return offsets, sizes

    def open_loop(self, loop: str) -> scf.ForOp:
        """Append a loop over tiles; afterwards the builder stands in its body."""
        extent, tile = self.tiling.extents[loop], self.tiling.tiles[loop]
        body = Block(arg_types=[IndexType()])
        nest = scf.ForOp(self.constant(0), self.constant(extent), self.constant(tile), [], body)
        self.builder.insert(nest)
        self.builder = Builder(InsertPoint.at_end(body))
        self.starts[loop] = body.args[0]
        body.args[0].name_hint = loop
        if extent % tile:
            start = AffineExpr.dimension(0)
            bound = AffineMap(1, 0, (AffineExpr.constant(tile), start * -1 + extent))
            self.sizes[loop] = self.builder.insert(affine.MinOp([body.args[0]], AffineMapAttr(bound))).result
        return nest


@dataclass(frozen=True)
class TileConvolution(ModulePass):
    """One contraction over DRAM becomes loops over tiles: load, contract in the scratchpads, store.

    Each operand's DMA stands in the innermost loop on which its tile depends, so a tile that stays is not moved again.
    """

    name: ClassVar[str] = "tile-convolution"

    tiling: Tiling
    capacity: dict[Memory, int]
    """Tiles of one slot of each scratchpad buffer."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in [f for f in op.ops if isinstance(f, func.FuncOp)]:
            for generic in [g for g in function.body.block.ops if isinstance(g, GenericOp)]:
                self._tile(function, generic)

    def _tile(self, function: func.FuncOp, generic: GenericOp) -> None:
        source, wgt, acc = generic.operands
        rank = len(generic.indexing_maps.data[0].data.results)
        low: Sequence[int] = [0] * rank
        pad = source.owner
        if isinstance(pad, accel.PadOp):
            source, low = pad.source, pad.low.get_values()
        maps = [attr.data for attr in generic.indexing_maps]
        for old in list(function.body.block.ops)[::-1]:
            if not isinstance(old, func.ReturnOp):
                old.detach()
                old.erase()
        builder = Builder(InsertPoint.at_start(function.body.block))
        tensors = {Memory.INP: (source, low), Memory.WGT: (wgt, [0] * rank), Memory.ACC: (acc, [0] * rank)}
        buffers = {memory: self._buffer(builder, memory, tensor) for memory, (tensor, _) in tensors.items()}
        first_buffer = function.body.block.first_op
        assert first_buffer is not None
        nest = _LoopNest(Builder(InsertPoint.before(first_buffer)), builder, self.tiling, maps)
        tiles: dict[Memory, SSAValue] = {}
        self._descend(nest, 0, tensors, buffers, tiles)

    def _buffer(self, builder: Builder, memory: Memory, tensor: SSAValue) -> SSAValue:
        assert isinstance(tensor.type, MemRefType)
        shape = [self.tiling.slots[memory], self.capacity[memory], *tensor.type.get_shape()[-accel.TILE_RANK :]]
        alloc = memref.AllocOp.get(tensor.type.element_type, None, shape, memory_space=StringAttr(SPACES[memory]))
        alloc.memref.name_hint = f"{SPACES[memory]}_buffer"
        return builder.insert(alloc).memref

    def _descend(
        self,
        nest: _LoopNest,
        depth: int,
        tensors: dict[Memory, tuple[SSAValue, Sequence[int]]],
        buffers: dict[Memory, SSAValue],
        tiles: dict[Memory, SSAValue],
    ) -> None:
        """Fill the body at one depth of the nest: what moves here, the loop inside, and what leaves here."""
        offsets: dict[Memory, list[SSAValue]] = {}
        for memory in (Memory.ACC, Memory.WGT, Memory.INP):
            if self.tiling.level(memory) != depth:
                continue
            tensor, low = tensors[memory]
            offsets[memory], sizes = nest.box(memory, low)
            if memory is Memory.ACC:
                tiles[memory] = nest.builder.insert(accel.TileOp(buffers[memory], sizes)).tile
                nest.builder.insert(zero(tiles[memory]))
            else:
                load = nest.builder.insert(accel.LoadOp(tensor, offsets[memory], sizes, buffers[memory]))
                tiles[memory] = load.tile
            tiles[memory].name_hint = SPACES[memory]
        builder = nest.builder
        if depth < len(self.tiling.nest):
            loop = self.tiling.nest[depth]
            saved = nest.starts[loop], nest.sizes[loop]
            nest.open_loop(loop)
            self._descend(nest, depth + 1, tensors, buffers, tiles)
            nest.builder.insert(scf.YieldOp())
            nest.builder = builder
            nest.starts[loop], nest.sizes[loop] = saved
        else:
            builder.insert(contraction(nest.maps, tiles[Memory.INP], tiles[Memory.WGT], tiles[Memory.ACC]))
        if Memory.ACC in offsets:
            builder.insert(accel.StoreOp(tiles[Memory.ACC], tensors[Memory.ACC][0], offsets[Memory.ACC]))
