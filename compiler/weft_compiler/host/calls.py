"""Calls of templates in the IR before LLVM."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.func import CallOp, FuncOp


def declarations(functions: Sequence[FuncOp]) -> list[FuncOp]:
    """A private declaration of everything that functions call, as a module wants it."""
    calls = (op for function in functions for op in function.walk() if isinstance(op, CallOp))
    called = {op.callee.string_value(): [operand.type for operand in op.arguments] for op in calls}
    return [FuncOp.external(name, types, []) for name, types in called.items()]
