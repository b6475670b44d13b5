"""From the `accel` dialect to streams: loops, offsets and sizes evaluated over all iterations at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeVar

import numpy as np
from weft_hardware.isa import Memory
from xdsl.dialects import affine, func, scf
from xdsl.dialects.builtin import AffineMapAttr, MemRefType, ModuleOp
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.ir.affine import AffineDimExpr

from .dialects import accel
from .passes.insert_tokens import enclosing_loops, slot_count
from .passes.tile_convolution import coefficients
from .streams import Column, Contraction, Streams, Transfer

OneOp = TypeVar("OneOp", bound=Operation)

MEMORIES = {"inp": Memory.INP, "wgt": Memory.WGT, "acc": Memory.ACC}


class _Evaluator:
    """The value of every index of a loop nest, at every step."""

    def __init__(self, loops: Sequence[scf.ForOp]) -> None:
        bounds = [[accel.constant_value(v) for v in (loop.lb, loop.ub, loop.step)] for loop in loops]
        ranges = [range(*(value for value in bound if value is not None)) for bound in bounds]
        self.trips = tuple(len(r) for r in ranges)
        self.steps = prod(self.trips)
        indices = np.indices((*self.trips, 1)).reshape(len(loops) + 1, -1)
        self._known: dict[SSAValue, Column] = {
            loop.body.block.args[0]: r.start + r.step * index
            for loop, r, index in zip(loops, ranges, indices[:-1], strict=True)
        }

    def __call__(self, value: SSAValue) -> Column:
        """One entry a step."""
        if value not in self._known:
            known = accel.constant_value(value)
            column = self._evaluate(value.owner) if known is None else np.array(known, np.int64)
            self._known[value] = np.broadcast_to(column, self.steps)
        return self._known[value]

    def _evaluate(self, op: object) -> Column:
        assert isinstance(op, affine.ApplyOp | affine.MinOp), f"index of unknown origin: {op}"
        operands = [self(operand) for operand in op.operands]
        # The expressions only add, multiply and divide: they work on columns as on numbers.
        results = [np.asarray(r.eval(operands, [])) for r in op.map.data.results]  # type: ignore[arg-type]
        return np.minimum.reduce(np.broadcast_arrays(*results))

    def over_executions(self, values: Sequence[SSAValue], level: int) -> tuple[Column, ...]:
        """One entry for each run of an operation inside ``level`` loops."""
        return tuple(self(value)[:: prod(self.trips[level:])] for value in values)


def _lag(waits: Sequence[SSAValue], level: Sequence[scf.ForOp]) -> int:
    """How many runs ago the token was made that an operation waits for: the times it goes round the loop."""
    assert len(waits) == 1, "an operation that begins to overwrite a slot waits for one token"
    if not level:
        return 1
    loop = level[-1]
    token, lag = waits[0], 0
    end = loop.body.block.last_op
    assert isinstance(end, scf.YieldOp)
    while isinstance(token, BlockArgument) and token.block is loop.body.block:
        token = end.arguments[token.index - 1]
        lag += 1
    assert lag, "a slot is overwritten after a token that does not come from a run before"
    return lag


def _transfer(op: accel.LoadOp | accel.StoreOp, value: _Evaluator, slots: int) -> Transfer:
    tensor = op.source if isinstance(op, accel.LoadOp) else op.target
    tile = op.tile.owner
    assert isinstance(tile, accel.LoadOp | accel.TileOp)
    buffer = tile.buffer
    assert isinstance(tensor.type, MemRefType)
    assert isinstance(buffer.type, MemRefType)
    level = len(enclosing_loops(op))
    return Transfer(
        memory=MEMORIES[accel.space(buffer) or ""],
        level=level,
        shape=tensor.type.get_shape()[: -accel.TILE_RANK],
        offsets=value.over_executions(op.offsets, level),
        sizes=value.over_executions(tile.sizes, level),
        slots=slots,
        slot_tiles=buffer.type.get_shape()[1],
    )


def _tile_sizes(tile: SSAValue, value: _Evaluator) -> list[Column]:
    owner = tile.owner
    assert isinstance(owner, accel.LoadOp | accel.TileOp)
    return [value(size) for size in owner.sizes]


def _moves(attr: AffineMapAttr, sizes: list[Column]) -> tuple[Column, ...]:
    """By how many tiles one iteration of each dimension moves in a dense box of the given sizes."""
    dims = attr.data.num_dims
    moves = [np.zeros_like(sizes[0]) for _ in range(dims)]
    pitch = np.ones_like(sizes[0])
    for expression, size in zip(attr.data.results[::-1], sizes[::-1], strict=True):
        moves = [m + c * pitch for m, c in zip(moves, coefficients(expression, dims), strict=True)]
        pitch = pitch * size
    return tuple(moves)


def _contraction(op: accel.GemmOp, value: _Evaluator) -> Contraction:
    sizes = [_tile_sizes(tile, value) for tile in (op.inp, op.wgt, op.acc)]
    bounds: dict[int, Column] = {}
    for attr, extent in zip(op.maps, sizes, strict=True):
        for expression, size in zip(attr.data.results, extent, strict=True):
            if isinstance(expression, AffineDimExpr):
                bounds[expression.position] = size
    inp, wgt, acc = (_moves(attr, extent) for attr, extent in zip(op.maps, sizes, strict=True))
    return Contraction(bounds=tuple(bounds[d] for d in sorted(bounds)), dst=acc, src=inp, wgt=wgt)


def _only(operations: list[Operation], cls: type[OneOp]) -> OneOp:
    found = [op for op in operations if isinstance(op, cls)]
    assert len(found) == 1, f"{len(found)} operations {cls.name}, a tile program has one"
    return found[0]


def extract_streams(module: ModuleOp) -> Streams:
    """Read a tile program with tokens; it holds one function of one loop nest."""
    function = next(op for op in module.ops if isinstance(op, func.FuncOp))
    operations = list(function.walk())
    gemm, reset = _only(operations, accel.GemmOp), _only(operations, accel.ResetOp)
    store = _only(operations, accel.StoreOp)
    loops = enclosing_loops(gemm)
    assert enclosing_loops(reset) == enclosing_loops(store), "a tile is reset and stored at different levels"
    value = _Evaluator(loops)
    loads = [op for op in operations if isinstance(op, accel.LoadOp)]
    for acquire in (*loads, reset):
        lag = _lag(acquire.waits, enclosing_loops(acquire))
        assert lag == slot_count(acquire), f"{acquire.name} waits for {lag} runs ago with {slot_count(acquire)} slots"
        assert acquire.done in gemm.waits, f"nothing orders {acquire.name} and the GEMM that uses its tile"
    return Streams(
        trips=value.trips,
        loads=tuple(_transfer(op, value, slot_count(op)) for op in loads),
        contraction=_contraction(gemm, value),
        store=_transfer(store, value, slot_count(reset)),
    )
