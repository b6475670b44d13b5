"""Compute once what several nodes compute alike."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from ..dialects import qgraph


def _what(op: Operation) -> Hashable:
    """What an operation computes, whichever node it came from."""
    types = tuple(result.type for result in op.results)
    return type(op), tuple(op.operands), tuple(sorted(op.properties.items(), key=lambda item: item[0])), types


@dataclass(frozen=True)
class CommonSubexpressions(ModulePass):
    """The same operation of the same operands, for example one tensor quantised twice, is kept once: the first.

    Constants are left alone, and so are operations of other dialects.
    """

    name: ClassVar[str] = "common-subexpressions"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp) and function.body.blocks:
                self._block(function)

    @staticmethod
    def _block(function: FuncOp) -> None:
        known: dict[Hashable, Operation] = {}
        for op in list(function.body.block.ops):
            if not op.name.startswith("qgraph.") or isinstance(op, qgraph.ConstantOp):
                continue
            first = known.setdefault(_what(op), op)
            if first is not op:
                for mine, kept in zip(op.results, first.results, strict=True):
                    mine.replace_all_uses_with(kept)
                op.detach()
                op.erase()


SHARED_BYTES = 1024
"""Of constants that are worth being one; smaller ones lie beside what they are read with."""


def share_constants(module: ModuleOp) -> None:
    """Constants of the same type and bytes become one: the first. Small ones are left alone."""
    for function in module.body.block.ops:
        if not isinstance(function, FuncOp) or not function.body.blocks:
            continue
        known: dict[Hashable, list[qgraph.ConstantOp]] = {}
        for op in list(function.body.block.ops):
            if not isinstance(op, qgraph.ConstantOp) or len(op.data.data) < SHARED_BYTES:
                continue
            alike = known.setdefault(op.y.type, [])
            # Bytes that differ mostly do so early, and a digest would have to read them all.
            first = next((other for other in alike if other.data.data == op.data.data), None)
            if first is None:
                alike.append(op)
            else:
                op.y.replace_all_uses_with(first.y)
                op.detach()
                op.erase()
