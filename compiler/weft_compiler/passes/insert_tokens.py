"""Order DMA, GEMM and stores by tokens: the loops begin to carry, for each scratchpad slot, who used it last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects import func, scf
from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects import accel

Acquire = accel.LoadOp | accel.ResetOp
"""The operations that begin to overwrite a slot."""

Waiter = accel.LoadOp | accel.ResetOp | accel.GemmOp | accel.StoreOp
"""The operations that run in a queue."""


def slot_count(op: Acquire) -> int:
    """Slots of the buffer that an operation writes."""
    buffer = op.buffer if isinstance(op, accel.LoadOp) else _tile_op(op.tile).buffer
    assert isinstance(buffer.type, MemRefType)
    return buffer.type.get_shape()[0]


def waiting(op: Waiter, waits: Sequence[SSAValue]) -> Waiter:
    """Replace an operation by the same one that waits for tokens, once each."""
    once = list(dict.fromkeys(waits))
    if isinstance(op, accel.LoadOp):
        new: Waiter = accel.LoadOp(op.source, op.offsets, op.sizes, op.buffer, once)
    elif isinstance(op, accel.ResetOp):
        new = accel.ResetOp(op.tile, once)
    elif isinstance(op, accel.GemmOp):
        new = accel.GemmOp(op.inp, op.wgt, op.acc, op.maps, once)
    else:
        new = accel.StoreOp(op.tile, op.target, op.offsets, once)
    for old_result, new_result in zip(op.results, new.results, strict=True):
        new_result.name_hint = old_result.name_hint
    Rewriter.replace_op(op, new)
    return new


def _tile_op(tile: SSAValue) -> accel.TileOp:
    assert isinstance(tile.owner, accel.TileOp)
    return tile.owner


def enclosing_loops(op: Operation) -> list[scf.ForOp]:
    """The loops around an operation, outermost first."""
    loops, parent = [], op.parent_op()
    while parent is not None:
        if isinstance(parent, scf.ForOp):
            loops.insert(0, parent)
        parent = parent.parent_op()
    return loops


@dataclass
class _Carried:
    """What loops carry for one acquiring operation: ``slots`` tokens, in the order in which slots come round again."""

    acquire: Acquire
    level: int
    slots: int
    current: list[SSAValue] = field(default_factory=list)


@dataclass(frozen=True)
class InsertTokens(ModulePass):
    """Every operation waits for what it reads, and for the last user of the slot it overwrites.

    A load waits for the last GEMM that read its slot, a reset for the store that emptied its slot, a GEMM for its
    loads and its reset, a store for the last GEMM of its tile, the end of the program for the last store.
    """

    name: ClassVar[str] = "insert-tokens"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in [f for f in op.ops if isinstance(f, func.FuncOp)]:
            self._function(function)

    def _function(self, function: func.FuncOp) -> None:
        acquires = [o for o in function.walk() if isinstance(o, accel.LoadOp | accel.ResetOp)]
        carried = [_Carried(o, len(enclosing_loops(o)), slot_count(o)) for o in acquires]
        block = function.body.block
        first = block.first_op
        assert first is not None
        ready = accel.ReadyOp()
        block.insert_op_before(ready, first)
        for entry in carried:
            entry.current = [ready.done] * entry.slots
        done = self._body(block, 0, carried, ready.done)
        end = next((entry.current[-1] for entry in carried if isinstance(entry.acquire, accel.ResetOp)), done)
        last = block.last_op
        assert last is not None
        block.insert_op_before(accel.FinishOp([end]), last)

    def _body(self, block: Block, depth: int, carried: list[_Carried], before: SSAValue) -> SSAValue:
        """Give the operations of one body their tokens; returns the token of its last GEMM.

        Afterwards each entry's ``current`` is what the body passes on.
        """
        here = [entry for entry in carried if entry.level == depth]
        for entry in here:
            acquired = waiting(entry.acquire, [entry.current[0]])
            assert isinstance(acquired, Acquire)
            entry.acquire = acquired
        done = before
        stored: SSAValue | None = None
        for op in list(block.ops):
            if isinstance(op, scf.ForOp):
                done = self._loop(op, depth, carried, done)
            elif isinstance(op, accel.GemmOp):
                done = waiting(op, self._operands_ready(op, carried)).done
            elif isinstance(op, accel.StoreOp):
                stored = waiting(op, [done]).done
        for entry in here:
            freed = stored if isinstance(entry.acquire, accel.ResetOp) else done
            assert freed is not None, "an accumulator tile is reset but never stored"
            entry.current = [*entry.current[1:], freed]
        return done

    def _operands_ready(self, gemm: accel.GemmOp, carried: list[_Carried]) -> list[SSAValue]:
        tiles = (gemm.inp, gemm.wgt, gemm.acc)
        return [entry.acquire.done for entry in carried if (entry.acquire.tile in tiles)]

    def _loop(self, loop: scf.ForOp, depth: int, carried: list[_Carried], before: SSAValue) -> SSAValue:
        """Rebuild a loop so that it carries the tokens of everything inside it, and that of the last GEMM."""
        inside = [entry for entry in carried if entry.level > depth]
        initial = [before, *(token for entry in inside for token in entry.current)]
        body = loop.body.detach_block(0)
        arguments = [body.insert_arg(accel.token, len(body.args)) for _ in initial]
        for entry, values in zip(inside, self._split(inside, arguments[1:]), strict=True):
            entry.current = values
        done = self._body(body, depth + 1, carried, arguments[0])
        end = body.last_op
        assert isinstance(end, scf.YieldOp)
        body.erase_op(end)
        body.add_op(scf.YieldOp(done, *(token for entry in inside for token in entry.current)))
        rebuilt = scf.ForOp(loop.lb, loop.ub, loop.step, initial, body)
        parent = loop.parent
        assert parent is not None
        parent.insert_op_before(rebuilt, loop)
        parent.erase_op(loop)
        for entry, values in zip(inside, self._split(inside, list(rebuilt.results[1:])), strict=True):
            entry.current = values
        return rebuilt.results[0]

    def _split(self, entries: list[_Carried], values: list) -> list[list[SSAValue]]:
        result, first = [], 0
        for entry in entries:
            result.append(list(values[first : first + entry.slots]))
            first += entry.slots
        return result
