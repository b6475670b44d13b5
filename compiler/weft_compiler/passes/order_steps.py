"""Put host operations that wait for nothing on the accelerator beside its launches."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass

from ..dialects import qgraph
from ..dialects.calls import CallOp
from .plan_memory import main_function, runs_on_accelerator, storage_of


class _Order:
    """Operations in the order in which they are taken.

    The first that is ready in the network's order goes next, unless it is the host's and reads what is being computed
    by the accelerator: then others have precedence.
    """

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        index = {op: k for k, op in enumerate(operations)}
        self.readers: dict[Operation, list[int]] = {op: [] for op in operations}
        self.missing = [0] * len(operations)
        for k, op in enumerate(operations):
            for source in {operand.owner for operand in op.operands} & index.keys():
                assert isinstance(source, Operation)
                self.readers[source].append(k)
                self.missing[k] += 1
        self.ready = [k for k, missing in enumerate(self.missing) if not missing]
        heapq.heapify(self.ready)
        self.waiting: list[int] = []
        self.launched: set[Operation] = set()
        self.launching = False

    def __iter__(self) -> Iterator[Operation]:
        while self.ready or self.waiting:
            if self.ready:
                k = heapq.heappop(self.ready)
                if self._waits(self.operations[k]):
                    heapq.heappush(self.waiting, k)
                    continue
            else:
                k = heapq.heappop(self.waiting)
                self._completed()
            op = self.operations[k]
            if runs_on_accelerator(op):
                if not self.launching:
                    self._completed()
                self.launched.add(op)
                self.launching = True
            elif not isinstance(op, qgraph.ReshapeOp):
                self.launching = False
            yield op
            for reader in self.readers[op]:
                self.missing[reader] -= 1
                if not self.missing[reader]:
                    heapq.heappush(self.ready, reader)

    def _waits(self, op: Operation) -> bool:
        """Whether the host needs what the accelerator is at; views are nobody's work."""
        if isinstance(op, qgraph.ReshapeOp) or runs_on_accelerator(op):
            return False
        return any(storage_of(operand).owner in self.launched for operand in op.operands)

    def _completed(self) -> None:
        """The launch before is over, so that nothing waits for it."""
        self.launched.clear()
        for k in self.waiting:
            heapq.heappush(self.ready, k)
        self.waiting.clear()


@dataclass(frozen=True)
class OrderSteps(ModulePass):
    """Independent host operations come before those that read what the accelerator just computes.

    Chains keep their order. So does everything in a function that calls others, which may do more than give results.
    """

    name: ClassVar[str] = "order-steps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = main_function(op)
        block = function.body.block
        every = list(block.ops)
        if any(isinstance(inner, CallOp) for inner in every):
            return
        kept = [inner for inner in every if isinstance(inner, qgraph.ConstantOp)]
        moved = [inner for inner in every if not isinstance(inner, qgraph.ConstantOp | ReturnOp)]
        ordered = list(_Order(moved))
        if ordered != moved:
            _rearrange(function, block, [*kept, *ordered])


def _rearrange(function: FuncOp, block: Block, operations: list[Operation]) -> None:
    last = block.last_op
    assert isinstance(last, ReturnOp), function.sym_name.data
    for op in operations:
        op.detach()
    block.insert_ops_before(operations, last)
